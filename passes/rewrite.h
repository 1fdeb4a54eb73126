// rewrite.h: rules on the graph. A rule looks at one value and returns an equal one (built with graph_add) or NO_VAL.
// Laws: the type is preserved; each rule lowers a stated measure, so that rewriting ends (the driver also has a step
// budget and names the rule that loops); no rule undoes another.
#ifndef SY_REWRITE_H
#define SY_REWRITE_H

#include "pass.h"

enum { RULE_ARGS = 16 }; // operands that rules look at; a longer concat stays as it is

typedef struct RuleCtx {
  Graph *g;
  Uses uses;    // of the graph as the sweep found it
  size_t known; // values with an id below this are covered by `uses`
  bool follow;  // a value that the sweep made is looked at: uses are counted as they are now
  const PassOptions *opt;
} RuleCtx;
typedef Val RuleFn(RuleCtx *c, Val v);
typedef struct Rule {
  const char *name; // equation in words: "slice_linear_rows"
  const char *equation;
  RuleFn *fn;
} Rule;

// Applies the rules to every value of every route until nothing changes. Returns the number of rewrites.
size_t rewrite_run(Module *m, Arena *scratch, const PassOptions *o, const char *pass, const Rule *rules, size_t n);

// once.c: op(broadcast(w)) => broadcast(op(w)) for what depends on weights alone.
RuleFn rule_weights_once;

// Facts for rules.
// One user (outputs count). A value made in this sweep has unknown uses, false, unless what was made is followed.
bool rule_single_use(const RuleCtx *c, Val v);
const Value *rule_value(const RuleCtx *c, Val v); // of NO_VAL: operator none, rank 0; builders give NO_VAL for it
bool rule_is(const RuleCtx *c, Val v, Op op);
// Builders that keep the span of `at`.
SY_MUST_USE Val rule_slice(RuleCtx *c, Val x, int axis, int64_t start, Dim len,
                           Span at); // keeps segments that remain whole
SY_MUST_USE Val rule_op(RuleCtx *c, Op op, const Val *args, size_t n,
                        const Value *like);                              // same attributes and span as `like`
SY_MUST_USE Val rule_reshape(RuleCtx *c, Val x, const Type *t, Span at); // x itself if it has that type already

#endif

// precision.h: how many bits numbers are kept in and products are computed in (precisions.def), and sets of rules that
// say it by the paths of weights:
//
//   precision mixed {                 PrecisionSet {.name = "mixed",
//     "encoder.*.mlp.3" = bf16w         .rule = {{"encoder.*.mlp.3", bf16w},
//     "encoder.*" = int8                         {"encoder.*", int8}}}
//   }
//
// The first rule that fits a weight counts, as in a `rename`; what no rule fits is as the model says. A pattern fits
// the name of a weight, or the module that it is the `weight` of ("heads.head" fits "heads.head.weight"). In it *
// stands for any text, ? for one character, {i} for a part of a name without points, {a...} for any text, at least one
// character each. What has no name (caches of a generate) goes by the rule "*".
//
// A page and a file make the same sets, and the text of the IR carries the one in force (Module.precision).
#ifndef SY_PRECISION_H
#define SY_PRECISION_H

#include "graph.h"

typedef struct Precision { // a row of precisions.def
  const char *name;
  DType keep;
  int codes;     // bits of the weights in products of codes, 0: there are none; PRECISION_PAIRS: products of bf16
  double cosine; // of outputs to those of the authors, at least; 0: tolerances hold
  const char *about;
} Precision;
extern const Precision precisions[];
extern const size_t precision_count;
const Precision *precision_by_name(const char *name); // NULL: there is none; of NULL: the first, f32
const char *precision_near(const char *name);         // the nearest name there is, or NULL
const char *precision_names(Arena *a);                // "f32, bf16w, .."

enum { PRECISION_PAIRS = 16 };
enum { PRECISION_MOST_RULES = 1000, PRECISION_LONGEST = 400 }; // bytes of a pattern

typedef struct PrecisionRule {
  const char *pattern;
  const Precision *is;
  Span span;
  size_t used;     // products that came out in it; the pass `quantise` counts
  const char *why; // the first of those that did not, and why; NULL: none
  bool told;       // that was said of the product
} PrecisionRule;
typedef struct PrecisionSet {
  const char *name;
  Span span;
  bool own; // of the page itself, not of a file that it uses
  VEC(PrecisionRule) rule;
} PrecisionSet;

// What is wrong with a pattern, in the arena; NULL: nothing.
const char *precision_problem(Arena *a, const char *pattern);
// Does the pattern, which has no problem, fit a weight of this name?
bool precision_fits(const char *pattern, const char *weight);
bool precision_is_name(const char *pattern); // it stands for one name
// The rule that counts for a weight; "" for what has no name. NULL: none.
PrecisionRule *precision_rule(const PrecisionSet *s, const char *weight);
// "{"encoder.*" = int8, "head" = bf16w}", in the arena
const char *precision_text(Arena *a, const PrecisionSet *s);
// The least that outputs are like those of the authors; 0: tolerances hold. set NULL: of `all`.
double precision_cosine(const PrecisionSet *s, const Precision *all);
// Are there products of bf16 (pairs), or of codes?
bool precision_has(const PrecisionSet *s, const Precision *all, bool pairs);

#endif

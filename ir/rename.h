// rename.h: patterns of weight names, for pages whose checkpoints exist under other names.
//
//   "layers.{i}.attn.in_proj_{p}"   {i} stands for a part of a name without points, {a...} for any text; both for at
//                                   least one character. One name stands for one text.
#ifndef SY_RENAME_H
#define SY_RENAME_H

#include "ir/base/base.h"

enum { RENAME_MAX_PLACES = 4, RENAME_MAX_PARTS = 16 };

typedef struct RenameMatch { // what the places of a pattern stand for
  struct {
    const char *name, *text;
    size_t nname, ntext;
  } at[RENAME_MAX_PLACES];
  size_t n;
} RenameMatch;

// How a weight is made of others: "" (it is the other), "concat" along the first axis, "transposed". Sets how many
// others it takes; false if there is no such way.
bool rename_way(const char *how, size_t *least, size_t *most);

// What is wrong with a rule of two patterns ("{i} of theirs is not in ours"), or NULL.
const char *rename_problem(Arena *a, const char *ours, const char *theirs);

// Does the pattern, which has no problem, cover the whole name?
SY_MUST_USE bool rename_match(const char *pattern, const char *name, RenameMatch *m);

// The other pattern of the rule with the texts put in.
SY_MUST_USE const char *rename_apply(Arena *a, const char *pattern, const RenameMatch *m);

#endif

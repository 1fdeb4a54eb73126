// cache.h: what the files of the pass `cache` share; private to them.
//
//   cache.c        the two graphs, their ports and names
//   cache_rows.c   from a value of the start to its rows in the step, operator by operator
//   cache_order.c  proof from the masks that no row depends on a later one; masks of start and step
#ifndef SY_CACHE_H
#define SY_CACHE_H

#include "pass.h"

typedef enum Need { NEED_ROWS, NEED_ALL } Need; // of a value: the rows of the step's words, or all of it
typedef struct Task {
  Need need;
  Val v;
} Task;

typedef struct Split {
  Module *m;
  Graph *g, *s;   // start and step
  Val words;      // in g
  int32_t sym;    // run-time dim that counts them
  int32_t prompt; // run-time dim of a mask that counts those of the prompt, -1: none
  int64_t width;  // words of a step
  Dim batch;      // sentences
  Val at;         // in s: position of the step's first word, i32[batch]
  // by value of g
  bool *dep, *many, *weights; // depends on the words; on how many there are; on weights and constants alone
  int8_t *batch_axis;         // axis of the sentences, NO_BATCH, LOST_BATCH
  Val *made[2], *cached;      // its counterparts in s by Need; keys and values with the rows of all words so far
  // what is being made: operands are asked for before their users, without recursion
  VEC(Task) todo;
  Arena *scratch;
  bool waiting, failed;
  int ncache, nkept;
} Split;
enum { NO_BATCH = -1, LOST_BATCH = -2 }; // the sentences are no axis; they are a part of one

// Where the words stand in a type: word j is index before + j of the axis (by upper bounds).
typedef struct WordsAt {
  int axis, seg; // seg: -1 without segments
  int64_t before;
  int64_t front; // rows in front of the words in their own part, included in `before`
} WordsAt;
// How often a type counts the words: 0 = not at all. *w is filled if it is once, and their rows are one by one.
enum { WORDS_NOT_ROWS = 100 };
int cache_words(const Split *p, const Type *t, WordsAt *w);

// Reports E0304 for an operator (only the first one) and returns NO_VAL.
Val cache_fail(Split *p, Val v, const char *why);
const char *cache_port_name(const Split *p, const char *name); // that name, or one like it that is free

// The counterpart of v in the step; NO_VAL after an error.
SY_MUST_USE Val cache_rows(Split *p, Val v);

// Of a row: no word, one of the prompt, one that was chosen behind it.
typedef enum CacheWord { WORD_NONE, WORD_GIVEN, WORD_CHOSEN } CacheWord;
// Does an attention hide the words behind a word from it, and all words from what is no word? Else: what is wrong.
const char *cache_disorder(const Split *p, const Value *x);
// The mask of an attention among the words in the step; NULL: that depends on the length of the prompt.
SY_MUST_USE const Mask *cache_step_mask(const Split *p, const Value *x);
void cache_start_masks(const Split *p); // the prompt's length in masks of the start becomes that of the words
void cache_put_mask(const Split *p, Attr *attr, uint32_t *n, const Mask *mask); // in the place of `where`
bool cache_compares(const Mask *m);                                             // positions of keys and queries
// Rows of the queries in front of the words, which positions count. False: not constant.
SY_MUST_USE bool cache_rows_before(const Split *p, const Type *q, int64_t *n);

#endif

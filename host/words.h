// words.h - a compiled `generate` behind the callbacks of generate.h: its two entry points, the caches between them,
// and what the start computed once for each picture. Which tensor is for what is said by its role, never by its name.
//
//   Words *w = words_new(&info, given, &err);
//   GenerateModel m = words_model(w);
//   generate(&m, &options, batch, prompt, n, ids, score, &why);
//   words_free(w);
//
// Between two calls every sequence has its row in each cache. When the search continues other sequences (beams), rows
// are copied to where their continuation stands; what depends on the picture alone is copied once.
#ifndef SWITCHYARD_HOST_WORDS_H
#define SWITCHYARD_HOST_WORDS_H

#include "generate.h"
#include "host.h"
#include "runtime/switchyard.h"

#include <stddef.h>

typedef struct WordsTensor { // an input or output
  const char *name;
  size_t bytes; // of the caller's buffer, by bounds
  size_t rows;  // bound of axis 0 if that counts the sequences, else 0
  sy_port port; // what it is for
} WordsTensor;
typedef struct WordsEntry {
  size_t ninput, noutput;
  const WordsTensor *input, *output;
} WordsEntry;
typedef struct WordsInfo {
  WordsEntry start, step;
  size_t batch_bound, length_bound, vocab;
  // One call of an entry point with `rows` sequences of `length` words in all. False: the call failed.
  bool (*call)(void *ud, bool step, size_t rows, size_t length, const void *const *in, void *const *out);
  void *ud;
} WordsInfo;

// The options of a generate as the page states them; lengths that the page leaves open are those of the model.
void words_options(const sy_generate *g, int64_t length_bound, GenerateOptions *o);
// The first of n tensors with a role; n: there is none.
size_t words_with_role(const WordsTensor *list, size_t n, sy_role role);

typedef struct Words Words;
// given: by input of the start, buffers of the C API; those of the words and of `last` are ignored. The description,
// its arrays and the buffers must outlive the result. NULL with err if memory is short or the two entries do not fit.
SY_MUST_USE Words *words_new(const WordsInfo *info, const void *const *given, HostError *err);
void words_free(Words *w); // NULL is allowed
GenerateModel words_model(Words *w);

#endif

// face_parts.h - what the files of the command line face share; private to face*.c. (`syc bench` takes the part of
// face_words.c that describes a generate.)
//
//   face_args.c     the options of the command line, and --help
//   face_options.c  prepare texts: "resize=shorter(256), crop=224, mean=[0.5, 0.5, 0.5]"
//   face_npy.c      NumPy files
//   face_data.c     filling a route's inputs from pictures, sentences and NumPy files
//   face_words.c    captions and answers: the search loop over a generate
//   face_show.c     labels, similarity tables, summaries, --describe
//   face.c          the flow: find weights, pick the route, batch by batch
#ifndef SWITCHYARD_HOST_FACE_PARTS_H
#define SWITCHYARD_HOST_FACE_PARTS_H

#include "generate.h"
#include "face.h"
#include "image.h"
#include "tokenizer.h"
#include "topk.h"
#include "words.h"

enum { FACE_MAX_TENSORS = 256, FACE_MAX_DIMS = 16 };

/* face_args.c ----------------------------------------------------------------------------------------------------- */
typedef struct FaceList { // strings of argv, in order
  const char **at;
  size_t n;
} FaceList;
typedef struct FaceArgs {
  const char *weights, *labels, *vocab, *isa, *route, *out;
  FaceList image, text, input; // input: NAME=FILE.npy
  size_t top, threads, repeat, beams, longest, shortest, top_k, seed;
  double temperature, top_p;
  bool json, time, help, version, describe, selftest, sample;
} FaceArgs;
// Fills *a (free with face_args_free even after an error). False: err says what is wrong with the command line.
bool face_args_parse(FaceArgs *a, int argc, char **argv, HostError *err);
void face_args_free(FaceArgs *a);
void face_args_help(const sy_info *info, const char *program); // to stdout

/* face_options.c -------------------------------------------------------------------------------------------------- */
// The prepare entry of a tensor; NULL: none.
const sy_prepare *face_prepare(const sy_info *info, const char *tensor);
bool face_prepare_is(const sy_info *info, const char *tensor, const char *kind);
// The value of a key in an options text as written, in dst; false if the key is absent or the value too long.
bool face_option(const char *options, const char *key, char *dst, size_t room);
double face_option_number(const char *options, const char *key, double absent);
// picture(...): how to preprocess. False with err if the text makes no sense.
bool face_option_picture(const char *options, HostPreprocess *how, HostError *err);

/* face_npy.c ------------------------------------------------------------------------------------------------------ */
typedef struct FaceArray { // dense, row-major
  char dtype;              // 'f' float, 'i' int32_t, 'b' bytes 0 or 1
  unsigned rank;
  size_t dim[6];
  size_t n;   // elements
  void *data; // malloc'd
} FaceArray;
size_t face_dtype_bytes(char dtype);
bool face_npy_read(const char *path, FaceArray *out, HostError *err); // f4, f8, i4, i8, b1, u1; little-endian, C order
bool face_npy_write(const char *path, const FaceArray *a, HostError *err);
void face_array_free(FaceArray *a);

/* face_data.c ----------------------------------------------------------------------------------------------------- */
typedef struct FaceRun { // a route, and one call of it at a time
  const sy_info *info;
  const sy_route *route;
  const FaceArgs *args;
  HostTokenizer *tokenizer;                           // loaded when the route has a sentence input
  HostTokenizerOptions how;                           // of the last sentence input filled
  const char *words;                                  // of a generate: the input that the search fills, or NULL
  FaceArray given[FACE_MAX_TENSORS];                  // --input files by input number; data NULL: not given
  void *in[FACE_MAX_TENSORS], *out[FACE_MAX_TENSORS]; // by the layout of the bounds
  size_t dims[FACE_MAX_DIMS];
  bool dim_set[FACE_MAX_DIMS];
  size_t pictures;                  // picture inputs of the route; item k of the j-th takes picture k * pictures + j
  size_t side[FACE_MAX_TENSORS][2]; // of the last picture put into an input: pixels high and wide; 0: none was
  bool paired;                      // pictures and sentences share their first axis: item k takes sentence k
  size_t total, batch; // items of the whole run (pictures, else sentences; 1 if none), items of one call at most
  size_t first, count; // items [first, first + count) are in this call
  bool usage;          // a failure is a mistake of the command line, not of a file
} FaceRun;
// Loads what the whole run needs (vocabulary, --input files), allocates the buffers, counts the items. Free with
// face_run_free, after an error too.
bool face_run_start(FaceRun *r, HostError *err);
void face_run_free(FaceRun *r);
// Fills the inputs for items [first, first + count) and sets the dims.
bool face_run_fill(FaceRun *r, size_t first, size_t count, HostError *err);
// Output o at its extents, dense; out->data is malloc'd.
bool face_run_output(const FaceRun *r, unsigned o, FaceArray *out, HostError *err);

// Does a prepare kind make ids of sentences?
bool face_is_tokenizer(const char *kind);
// Loads --vocab if it is not loaded. False if it is missing, no vocabulary, or one of another kind.
bool face_load_vocabulary(FaceRun *r, const char *kind, HostError *err);
// Says on stderr that a sentence had more than `most` tokens.
void face_note_cut(const char *sentence, size_t most);

/* face_words.c ---------------------------------------------------------------------------------------------------- */
typedef struct FaceWords { // a generate: its rule and its two entry points
  const sy_prepare *rule;
  const sy_route *start, *step;
} FaceWords;
// The generate of a name, or of the entry point; false if there is none.
bool face_words_find(const sy_info *info, const char *name, FaceWords *out);
bool face_words_part(const sy_info *info, const sy_route *r); // is it an entry point of a generate?
typedef struct FaceWordsShape { // what a WordsInfo points to, and where the run-time dims are
  int batch_dim, length_dim;
  WordsTensor tensor[4][FACE_MAX_TENSORS];
} FaceWordsShape;
// Describes both entry points for words_new; `words`: the input that holds the words. *shape must outlive *info, whose
// call and ud the caller sets. False with err if they are not those of a generate.
bool face_words_describe(const FaceWords *w, const char *words, FaceWordsShape *shape, WordsInfo *info, HostError *err);
// Runs a generate on everything given and prints the sentences. call: one call of an entry point.
typedef bool FaceCall(void *ud, const sy_route *route, const size_t *dims, const void *const *in, void *const *out);
bool face_words_run(FaceRun *r, const FaceWords *w, FaceCall *call, void *ud, bool *started, HostError *err);

/* face_show.c ----------------------------------------------------------------------------------------------------- */
void face_json_string(const char *s);
void face_describe(const sy_info *info, bool json);
// Prints output o of the call just made; *started: something was printed before (JSON commas).
void face_show(const FaceRun *r, unsigned o, const FaceArray *a, const HostLabels *labels, bool *started);
size_t face_count_nan(const FaceArray *a);

#endif

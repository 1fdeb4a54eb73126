// face_parts.h - what the files of the command line face share; private to face*.c. (`syc bench` takes the part of
// face_words.c that describes a generate.)
//
//   face_args.c     the options of the command line, and --help
//   face_options.c  prepare texts: "resize=shorter(256), crop=224, mean=[0.5, 0.5, 0.5]"
//   face_npy.c      NumPy files
//   face_text.c     the vocabulary of sentences, the number of labels
//   face_data.c     filling a route's inputs from pictures, sentences and NumPy files
//   face_prompt.c   what the sentences of a generate begin with
//   face_words.c    captions and answers: the search loop over a generate
//   face_vectors.c  one vector of length 1 for each picture or sentence
//   face_zero.c     zero-shot classes: labels in templates against pictures
//   face_embed.c    the command embed: a .npy of vectors and the names beside it, continued after an interruption
//   face_search.c   the command search: the nearest vectors of a .npy
//   face_show.c     labels, similarity tables, summaries
//   face_describe.c --describe
//   face.c          the flow: find weights, pick the route, batch by batch
#ifndef SWITCHYARD_HOST_FACE_PARTS_H
#define SWITCHYARD_HOST_FACE_PARTS_H

#include "common/must_use.h"
#include "common/json.h"
#include "face.h"
#include "generate.h"
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
typedef enum FaceCommand { FACE_RUN, FACE_EMBED, FACE_SEARCH } FaceCommand;
typedef struct FaceArgs {
  FaceCommand command;
  const char *weights, *labels, *vocab, *isa, *route, *out, *lines;
  FaceList image, text, input; // input: NAME=FILE.npy
  FaceList word, template;     // word: what a command is given without an option
  size_t top, threads, repeat, beams, longest, shortest, top_k, seed, batch;
  double temperature, top_p, scale;
  bool json, time, help, version, describe, selftest, sample, strict, restart, cased, uncased, as_stored;
} FaceArgs;
// Fills *a (free with face_args_free even after an error). False: err says what is wrong with the command line.
SY_MUST_USE bool face_args_parse(FaceArgs *a, int argc, char **argv, HostError *err);
void face_args_free(FaceArgs *a);
void face_args_help(const sy_info *info, const char *program, FaceCommand command); // to stdout

/* face_options.c -------------------------------------------------------------------------------------------------- */
// The prepare entry of a tensor; NULL: none.
const sy_prepare *face_prepare(const sy_info *info, const char *tensor);
bool face_prepare_is(const sy_info *info, const char *tensor, const char *kind);
// The value of a key in an options text as written, in dst; false if the key is absent or the value too long.
SY_MUST_USE bool face_option(const char *options, const char *key, char *dst, size_t room);
double face_option_number(const char *options, const char *key, double absent);
// picture(...): how to preprocess. False with err if the text makes no sense.
SY_MUST_USE bool face_option_picture(const char *options, HostPreprocess *how, HostError *err);

/* face_npy.c ------------------------------------------------------------------------------------------------------ */
typedef struct FaceArray { // dense, row-major
  char dtype;              // 'f' float, 'i' int32_t, 'b' bytes 0 or 1
  unsigned rank;
  size_t dim[6];
  size_t n;   // elements
  void *data; // malloc'd
} FaceArray;
size_t face_dtype_bytes(char dtype);
SY_MUST_USE bool face_npy_read(const char *path, FaceArray *out,
                               HostError *err); // f4, f8, i4, i8, b1, u1; little-endian, C order
SY_MUST_USE bool face_npy_write(const char *path, const FaceArray *a, HostError *err); // "-": to standard output
void face_array_free(FaceArray *a);
// The header of a file of `size` bytes at `bytes`: fills out's dtype, rank, dim and n; *start is where the elements
// begin, as many as the header says. False: err says what is wrong. path is for the message.
SY_MUST_USE bool face_npy_header(const char *path, const char *bytes, size_t size, FaceArray *out, size_t *start,
                                 HostError *err);
// The same of elements of any type that is read, as they are in the file; its name as in safetensors ("I64", "U8").
// NULL with err.
const char *face_npy_layout(const char *path, const char *bytes, size_t size, FaceArray *out, size_t *start,
                            HostError *err);
// Writes the header of an array, NUL behind it, to dst; returns its bytes, a multiple of 64 below FACE_NPY_HEADER.
enum { FACE_NPY_HEADER = 512 };
size_t face_npy_start(const FaceArray *a, char dst[FACE_NPY_HEADER]);

/* face_data.c ----------------------------------------------------------------------------------------------------- */
typedef struct FaceBad { // an item that cannot be read
  size_t item;
  HostError why;
} FaceBad;
typedef struct FaceBads { // in the order of their numbers
  FaceBad *at;
  size_t n, shown; // shown: how many of them --json has printed
} FaceBads;
SY_MUST_USE bool face_bads_add(FaceBads *b, size_t item, const HostError *why, HostError *err);
// Says on stderr what cannot be read and why, each in its line.
void face_bads_say(const FaceBads *b, const char *program);
// The error of a run that left out items, behind what was said of each: FACE_OK if there are none. total: items of the
// run.
int face_bads_code(size_t left_out, size_t total, HostError *err);
typedef struct FaceRun { // a route, and one call of it at a time
  const sy_info *info;
  const sy_route *route;
  const FaceArgs *args;
  Json *json;                                         // where results go; NULL: as text to stdout
  HostTokenizer *tokenizer;                           // loaded when the route has a sentence input
  HostTokenizerOptions how;                           // of the last sentence input filled
  const struct FaceWords *words;                      // the generate that is searched, or NULL
  const HostLabels *labels;                           // of --labels; NULL: none
  FaceArray prompt;                                   // of a generate: ids of an --input; data NULL: none
  FaceArray given[FACE_MAX_TENSORS];                  // --input files by input number; data NULL: not given
  void *in[FACE_MAX_TENSORS], *out[FACE_MAX_TENSORS]; // by the layout of the bounds
  size_t dims[FACE_MAX_DIMS];
  bool dim_set[FACE_MAX_DIMS];
  size_t pictures;                    // picture inputs of the route; item k of the j-th takes picture k * pictures + j
  size_t side[FACE_MAX_TENSORS][2];   // of the last picture put into an input: pixels high and wide; 0: none was
  const char *held[FACE_MAX_TENSORS]; // the word whose picture is in row 0 of an input; NULL: none
  bool paired;                        // pictures and sentences share their first axis: item k takes sentence k
  size_t total, batch; // items of the whole run (pictures, else sentences; 1 if none), items of one call at most
  size_t count;        // rows of this call
  size_t *item;        // [count]: which item of the run a row is of
  FaceBads bad;        // items of this call that cannot be read and have no row
  size_t left_out;     // such items of the whole run
  const char *program; // for what is said about items
  bool quiet;          // no notes on stderr
  size_t longest;      // tokens of the longest sentence of this call
  bool usage;          // a failure is a mistake of the command line, not of a file
  bool nan;            // a failure is a score that is not a number
} FaceRun;
// Loads what the whole run needs (vocabulary, --input files), allocates the buffers, counts the items. Free with
// face_run_free, after an error too.
SY_MUST_USE bool face_run_start(FaceRun *r, HostError *err);
void face_run_free(FaceRun *r);
// Fills the inputs for those of the items [first, first + count) whose pictures can be read and sets the dims. r->count
// may be 0 then: there is nothing to call.
SY_MUST_USE bool face_run_fill(FaceRun *r, size_t first, size_t count, HostError *err);
// Of a generate: the rows of the --input files for it, 1 if there are none.
size_t face_run_given_rows(const FaceRun *r);
// Takes over the picture that row 0 of an input of another run holds, if the inputs are alike, so that it is not read
// again.
bool face_run_hold(FaceRun *to, const FaceRun *from, const char *path);
// The same item by item, for routes of one picture or one sentence an item: begin, add at most r->batch of them, end.
// An item that cannot be read leaves the others as they are.
void face_run_begin(FaceRun *r);
SY_MUST_USE bool face_run_add(FaceRun *r, const char *item, HostError *err);
SY_MUST_USE bool face_run_end(FaceRun *r, HostError *err);
// Puts a prepared picture, normalised, into the top left corner of one item of an input f32[.., 3, height, width], in
// the layout of its bounds; zeros elsewhere. It must fit.
SY_MUST_USE bool face_put_picture(const sy_tensor *t, const HostImage *rgb, const HostPreprocess *how, float *dst,
                                  HostError *err);
// Bytes of the name of the sentences that an input of this name follows from: NAME_mask (*which 0: true = no padding),
// NAME_type (1: all 0). 0: it follows from none.
size_t face_follows(const char *name, size_t *which);
// What a route wants: its numbers of pictures and sentences. False if there is an input that does not follow from them.
bool face_route_wants(const sy_info *info, const sy_route *route, size_t *pictures, size_t *texts);
// Output o at its extents, dense; out->data is malloc'd.
SY_MUST_USE bool face_run_output(const FaceRun *r, unsigned o, FaceArray *out, HostError *err);

/* face_text.c ----------------------------------------------------------------------------------------------------- */
// Does a prepare kind make ids of sentences?
bool face_is_tokenizer(const char *kind);
// Loads --vocab if it is not loaded. False if it is missing, no vocabulary, or one of another kind or size.
SY_MUST_USE bool face_load_vocabulary(FaceRun *r, const sy_prepare *p, HostError *err);
// The tokenizer's usual ends, and whose ids they are: those of the file or (SentencePiece, xlmr) of XLM-R.
HostTokenizerOptions face_tokenizer_options(const HostTokenizer *t, const char *options);
// What is put around sentences and whether they become lower case, by the options of their prepare and the command
// line.
HostTokenizerOptions face_sentence_options(const HostTokenizer *t, const FaceArgs *a, const char *options);
// The same in r->how.
void face_text_options(FaceRun *r, const char *options);
// Says on stderr that a sentence had more than `most` tokens.
void face_note_cut(const char *sentence, size_t most);
// Prints what --vocab is to each input of sentences, for --describe.
SY_MUST_USE bool face_describe_vocabulary(const sy_info *info, const FaceArgs *a, HostError *err);
// Are there as many labels as the route's outputs of classes have? (labels of another number are other classes' names)
bool face_labels_fit(const FaceRun *r, HostError *err);

/* face_words.c ---------------------------------------------------------------------------------------------------- */
typedef struct FaceWords { // a generate and its two entry points
  const sy_generate *is;
  const sy_route *start, *step;
} FaceWords;
FaceWords face_words_at(const sy_info *info, unsigned i); // number i of info->generate
// Is it an entry point of a generate? Which, in *w.
bool face_words_part(const sy_info *info, const sy_route *r, FaceWords *w);
unsigned face_words_input(const FaceWords *w);             // the number of the words among the inputs of the start
bool face_words_fills(const FaceWords *w, unsigned input); // is it an input of the start that the search fills?
// Is --input NAME what its sentences begin with: the page's prompt, or the words themselves?
bool face_words_begin(const FaceWords *w, const char *name);
typedef struct FaceWordsShape { // what a WordsInfo points to, and where the run-time dims are
  int batch_dim, length_dim;
  WordsTensor tensor[4][FACE_MAX_TENSORS];
} FaceWordsShape;
// Describes both entry points for words_new. *shape must outlive *info, whose call and ud the caller sets. False with
// err if they are not those of a generate.
SY_MUST_USE bool face_words_describe(const FaceWords *w, FaceWordsShape *shape, WordsInfo *info, HostError *err);
// Runs a generate on everything given and prints the sentences. call: one call of an entry point.
typedef bool FaceCall(void *ud, const sy_route *route, const size_t *dims, const void *const *in, void *const *out);
SY_MUST_USE bool face_words_run(FaceRun *r, const FaceWords *w, FaceCall *call, void *ud, HostError *err);

/* face_prompt.c --------------------------------------------------------------------------------------------------- */
typedef struct FacePrompts {
  HostIds *at; // one for all items, or one for each
  size_t n;
} FacePrompts;
// Free with face_prompts_free, after an error too.
SY_MUST_USE bool face_prompts_make(FaceRun *r, const FaceWords *w, const GenerateOptions *how, const WordsInfo *info,
                                   FacePrompts *out, HostError *err);
void face_prompts_free(FacePrompts *p);

/* face_vectors.c -------------------------------------------------------------------------------------------------- */
typedef enum FaceKind { FACE_PICTURES, FACE_TEXTS } FaceKind;
typedef struct FaceVectors { // a route that makes one vector of each picture or sentence
  FaceKind kind;
  const sy_route *route;
  unsigned output;
  size_t width;
} FaceVectors;
typedef struct FaceModel { // a started model, and what the command line says
  const sy_info *info;
  const FaceArgs *args;
  Json *json; // as in FaceRun
  const char *program, *isa;
  uint64_t weights; // a number that tells one weight file from another
  sy_pool *pool;
  FaceCall *call;
  void *ud;
} FaceModel;
// The first route with an output image_embed or image_features (text_embed or text_features) of f32[N, width] that
// takes nothing but one picture (sentence); named: that route only, NULL for any. False if there is none.
SY_MUST_USE bool face_vectors_find(const sy_info *info, FaceKind kind, const char *named, FaceVectors *out);
// As above, for the commands: a missing route is an error of the command line that says what is looked for.
SY_MUST_USE int face_vectors_need(const FaceModel *m, FaceKind kind, FaceVectors *out, HostError *err);
// Runs what face_run_end has made ready and writes r->count rows of length 1 to dst f32[count, width]. A FACE_ code.
SY_MUST_USE int face_vectors_call(const FaceModel *m, const FaceVectors *v, FaceRun *r, float *dst, HostError *err);
// The vectors of all items that can be read, f32[n, width], malloc'd, in *out. The others go to *bad; if that is NULL,
// the first of them is an error.
SY_MUST_USE int face_vectors_all(const FaceModel *m, const FaceVectors *v, const FaceList *items, float **out,
                                 FaceBads *bad, HostError *err);
// Makes v f32[n] of length 1. False if it holds what is not a number or nothing but zeros.
bool face_unit(float *v, size_t n);
float face_dot(const float *a, const float *b, size_t n); // the same bits for the same n, whatever the alignment

/* the commands: each prints its results and returns a FACE_ code -----------------------------------------------------
 */
// Zero-shot: are the labels classes for pictures, or does a route have classes of its own?
bool face_zero_wanted(const sy_info *info, const FaceArgs *a);
SY_MUST_USE int face_zero(const FaceModel *m, HostError *err);
SY_MUST_USE int face_embed(const FaceModel *m, HostError *err);
SY_MUST_USE int face_search(const FaceModel *m, HostError *err);
// NAME.npy gives NAME.txt, anything else has .txt put behind it. False if there is no room.
SY_MUST_USE bool face_names_path(const char *npy, char *dst, size_t room);

/* face_show.c ----------------------------------------------------------------------------------------------------- */
// Prints output o of the call just made.
SY_MUST_USE bool face_show(FaceRun *r, unsigned o, const FaceArray *a, const HostLabels *labels, HostError *err);
// The best classes of the count items of the call just made; a: f32[items, classes]. p: how the page shows them.
typedef enum FaceShares { FACE_SCORES, FACE_SOFTMAX, FACE_SIGMOID } FaceShares; // what a page shows of its scores
FaceShares face_shares(const sy_prepare *p);
SY_MUST_USE bool face_show_labels(FaceRun *r, const sy_prepare *p, const FaceArray *a, const HostLabels *labels,
                                  HostError *err);
// As JSON: the entries of the items below a number that cannot be read, if they were not printed before.
void face_show_bad(FaceRun *r, size_t below);
void face_json_bad(Json *j, const char *kind, const char *name, const HostError *why); // one of them
size_t face_count_nan(const FaceArray *a);
// A bar on stderr if that is a terminal; removes it when done == total. seconds: since the first item.
void face_progress(size_t done, size_t total, double seconds);
double face_now(void); // seconds of a clock that only goes forward

/* face_describe.c ------------------------------------------------------------------------------------------------- */
void face_describe(const sy_info *info, Json *json); // json NULL: as text to stdout

#endif

// frontend.h: from the text of a .sy file to graphs. The only header of the front end that other parts include.
//
//   FrontOptions o = {.entry_or_preset = "base", .find = find_file};
//   Module *m = front_compile(&arena, &names, &diag, "vit.sy", text, size, &o);   // NULL: see diag
//
// Never exits, prints or reads files: `use NAME` asks the caller's finder. Any bytes are safe: nesting, recursion, loop
// counts and total work are bounded and reported.
#ifndef SY_FRONTEND_H
#define SY_FRONTEND_H

#include "ir/graph.h"

typedef struct FrontDim { // --dim NAME=most: a run-time dim goes up to `most` only, if that is one of its values
  const char *name;
  int64_t most;
  bool found;     // result: the model has it
  int64_t lo, hi; // result: as the page declares it
} FrontDim;

typedef struct FrontOptions {
  const char *entry_or_preset; // model or preset; NULL: the file's only model, or the one named like the file
  const char **define_name;    // -D name=value: parameters of the model; values are compile-time expressions
  const char **define_value;
  size_t ndefine;
  const char *names; // set of names (`rename`) whose parameters and preparations are in force; NULL: the page's own
  FrontDim *dim;
  size_t ndim;
  const char **routes; // routes to build; nroutes = 0: all
  size_t nroutes;
  const char **objectives; // objectives to build; with one of them and nroutes = 0: no routes
  size_t nobjectives;
  const char **given; // inputs of objectives that may be left out, and are not
  size_t ngiven;
  bool draws;                  // objectives draw: dropout drops, and they have an input of role `noise`
  const char *stage;           // a stage of training: recorded in the module, and its objectives are built; they draw
  const StagePattern *pattern; // behind those of the stage; with an `adapt` among them all graphs get adapters
  size_t npattern;
  bool stages; // without one: all stages are recorded, and nothing is built for them
  // Finds the text of `use NAME`: NUL-terminated, *n bytes, living as long as the Module. NULL if there is none.
  // *path may be set to the name that diagnostics show (default: NAME.sy).
  const char *(*find)(void *ud, const char *name, size_t *n, const char **path);
  void *ud;
} FrontOptions;

// Compiles the text: one Graph per selected route, in the order of the source (or of o->routes). NULL after reporting
// errors to diag. `path` is used in diagnostics and to choose the entry; o may be NULL.
Module *front_compile(Arena *a, Intern *names, Diag *diag, const char *path, const char *text, size_t n,
                      const FrontOptions *o);

// The rules of a precision (ir/precision.h) in a file of their own, which reads like the lines between the braces of a
// page; its set is called `name`. NULL after reporting to diag.
struct PrecisionSet *front_precision(Arena *a, Intern *names, Diag *diag, const char *path, const char *text, size_t n,
                                     const char *name);

/* What a file offers, without elaborating it
 * ---------------------------------------------------------------------------- */
typedef struct FrontParam {
  const char *name;
  const char *text;  // model: source text of the default; input, output: of the type; "" if none
  const char *about; // comment on its line, "" if none
} FrontParam;
typedef struct FrontRoute {
  const char *name, *about;
  const FrontParam *input, *output;
  size_t ninput, noutput;
} FrontRoute;
typedef struct FrontModel {
  const char *name, *about; // about: the comment lines just above
  const FrontParam *param;
  size_t nparam;
  const FrontParam *dim; // run-time dims: text = "1..32"
  size_t ndim;
  const FrontRoute *route;
  size_t nroute;
  const FrontRoute *objective;
  size_t nobjective;
} FrontModel;
typedef struct FrontPreset {
  const char *name, *model, *args, *about; // args: source text between the parentheses
} FrontPreset;
typedef struct FrontListing {
  const FrontModel *model;
  size_t nmodel;
  const FrontPreset *preset;
  size_t npreset;
  const char **use; // names of `use` declarations
  size_t nuse;
} FrontListing;
// Parses the text and lists its entries. NULL after syntax errors.
const FrontListing *front_list(Arena *a, Intern *names, Diag *diag, const char *path, const char *text, size_t n);

// Canonical formatting: appends the formatted text to *out. False (and nothing appended) if the text has syntax errors,
// which go to diag under the path "input.sy". Idempotent; comments, blank lines (at most one) and line breaks inside
// brackets survive.
bool front_format(const char *text, size_t n, Buf *out, Diag *diag);
// The syntax tree as indented text (--emit=ast). False after syntax errors.
bool front_dump_ast(Arena *a, Intern *names, Diag *diag, const char *path, const char *text, size_t n, Buf *out);

#endif

// emit_model.h: what the files that print a C module share: its public names and the tables that describe it. Private
// to emit_model*.c.
//
// Invariants: every name is a C and C++ identifier, unique in its scope and the same in the header, the module and the
// glue, because all three take it from one ModelNames; no name of a page is one of ours (emit_model_names.c). Output
// depends on the Program alone: no time, no pointers, no absolute paths.
//
//   names.prefix "vit"   names.upper "VIT"   names.route[0].fn "vit_classify"   .route[0].macro "VIT_CLASSIFY"
#ifndef SY_EMIT_MODEL_H
#define SY_EMIT_MODEL_H

#include "model_facts.h"

typedef struct RouteNames {
  const char *fn;                           // "vit_classify"
  const char *id;                           // "classify"
  const char *macro;                        // "VIT_CLASSIFY"
  const char **input, **output;             // parameter names
  const char **input_macro, **output_macro; // "VIT_CLASSIFY_IMAGE"
  const char *dim[MAX_DIMS];                // parameter names of the run-time dims it uses
  uint32_t dims;                            // which it uses, by bit
} RouteNames;

typedef struct ModelNames {
  Arena arena; // free with model_names_free
  const char *prefix, *upper;
  const char *own, *own_upper; // "vit_", "VIT_": what stands before the _ of names that no page can reach
  RouteNames *route;
  const char **kernel;             // by Program.kernel
  const char *dim_macro[MAX_DIMS]; // "B": VIT_MAX_B
} ModelNames;

ModelNames model_names(const Program *p, const EmitModel *o);
void model_names_free(ModelNames *n);

void emit_string(Buf *out, const char *s);  // a C string literal; NULL gives NULL
void emit_comment(Buf *out, const char *s); // text that cannot end a comment

// The function of one route, a call of PREFIX_call. (emit_model_h.c, beside the prototype)
// Lines of the C file that compare its header with the one it was made with.
void emit_header_check(const Program *p, const ModelNames *n, const EmitModel *o, Buf *out);
void emit_route_definition(const Program *p, const ModelNames *n, size_t at, Buf *out);

// All that the header of any model declares, with what stands around it; for the names in it.
void emit_header_fixed(const Program *p, const ModelNames *n, Buf *out);

#endif

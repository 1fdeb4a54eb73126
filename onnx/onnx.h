// onnx.h: routes as ONNX files, and ONNX files as pages. Without libprotobuf-c the functions are there too and say what
// to install (none.c).
//
//   OnnxExport o = {.weights = &source, .version = "0.1.0"};
//   if (!onnx_export(graph, &o, model_file, data_file, &why)) ...
#ifndef SY_ONNX_H
#define SY_ONNX_H

#include "codegen/program.h"

const char *onnx_missing(void); // what to install, or NULL if ONNX files can be read and written

/* export.c: a graph as the front end leaves it, before all passes, as an ONNX model of operator set 17
 * ------------------------------------------------------------------------------------------------------------------ */
typedef struct OnnxExport {
  const WeightSource *weights; // NULL: weights are inputs of the model
  const char *data_name;       // bytes of weights go to a file that the model names so; NULL: into the model
  const char *version;         // of the compiler
} OnnxExport;
enum { ONNX_MOST_BYTES = 0x7f000000 }; // of weights in the model itself: a protobuf message ends at 2 GB
// Bytes of the weights that the graph reads.
int64_t onnx_weight_bytes(const Graph *g);
// Writes the model, and its data (NULL without a data_name). What cannot be exported is reported to the module's diag,
// with its place; other failures to `why`. False after either; the files are then of no use.
SY_MUST_USE bool onnx_export(const Graph *g, const OnnxExport *o, FILE *model, FILE *data, Buf *why);

/* import.c: an ONNX model as a page and a checkpoint
 * ------------------------------------------------------------------------------------------------------------------ */
typedef struct OnnxImport {
  const char *model;      // what the model of the page is called
  const char *const *dim; // names of run-time dims, as the page has them, whose bounds are given
  const int64_t *most;
  size_t ndim;
} OnnxImport;
typedef struct OnnxTensor {
  const char *name;
  DType dtype; // f32, i32 or bool
  int rank;
  int64_t dim[MAX_RANK];
  size_t bytes;
  const void *data;
} OnnxTensor;
typedef struct OnnxPage {
  Module *module; // as the page says it
  Buf text;       // to be freed
  VEC(OnnxTensor) weight;
} OnnxPage;
// Everything lives in the arena. False: `why` says what is wrong, with the node or tensor; nothing is left in *out.
SY_MUST_USE bool onnx_import(Arena *a, Intern *names, const char *path, const OnnxImport *o, OnnxPage *out, Buf *why);
SY_MUST_USE bool onnx_import_bytes(Arena *a, Intern *names, const void *bytes, size_t n, const OnnxImport *o,
                                   OnnxPage *out, Buf *why);

#endif

// none.c: what stands for the ONNX reader and writer where syc was built without libprotobuf-c.
#include "onnx.h"

const char *onnx_missing(void) {
  return "libprotobuf-c-dev and protobuf-c-compiler, and build syc again";
}

int64_t onnx_weight_bytes(const Graph *g) {
  (void)g;
  return 0;
}

bool onnx_export(const Graph *g, const OnnxExport *o, FILE *model, FILE *data, Buf *why) {
  (void)g, (void)o, (void)model, (void)data;
  buf_puts(why, "this syc was built without libprotobuf-c");
  return false;
}

bool onnx_import(Arena *a, Intern *names, const char *path, const OnnxImport *o, OnnxPage *out, Buf *why) {
  (void)a, (void)names, (void)path, (void)o, (void)out;
  buf_puts(why, "this syc was built without libprotobuf-c");
  return false;
}

bool onnx_import_bytes(Arena *a, Intern *names, const void *bytes, size_t n, const OnnxImport *o, OnnxPage *out,
                       Buf *why) {
  (void)bytes, (void)n;
  return onnx_import(a, names, NULL, o, out, why);
}

// none.c: the ONNX reader and writer where syc was built without libprotobuf-c.
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
  buf_printf(why, "this syc was built without %s", "libprotobuf-c");
  return false;
}

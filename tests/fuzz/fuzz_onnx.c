// fuzz_onnx.c: bytes as an ONNX file: a page in canonical syntax and its weights, or a reason.
#include "frontend/frontend.h"
#include "onnx/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Arena a = {0};
  Intern names = {.arena = &a};
  OnnxImport o = {.model = "m"};
  OnnxPage page;
  Buf why = {0};
  if (onnx_import_bytes(&a, &names, data, n, &o, &page, &why)) {
    Diag d;
    diag_init(&d, &a);
    Buf canonical = {0};
    CHECK(front_format(page.text.s, page.text.n, &canonical, &d)); // std is not here: its form alone
    buf_free(&canonical);
    buf_free(&page.text);
  } else {
    CHECK(why.n || onnx_missing());
  }
  buf_free(&why);
  arena_free(&a);
  return 0;
}

// gen_engine.c: prints the engine (emit_model_engine.c) while syc is built:  gen_engine engine|glue > FILE
#include "codegen/emit_model.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  bool glue = argc == 2 && !strcmp(argv[1], "glue");
  if (argc != 2 || (!glue && strcmp(argv[1], "engine") != 0)) {
    fprintf(stderr, "usage: gen_engine engine|glue\n");
    return 2;
  }
  Buf b = {0};
  (glue ? emit_model_engine_glue : emit_model_engine)(&b);
  bool ok = fwrite(b.s, 1, b.n, stdout) == b.n && fflush(stdout) == 0;
  buf_free(&b);
  return ok ? 0 : 3;
}

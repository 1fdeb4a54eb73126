// growth.c: the time to compile grows with the depth of a model, not with its square. Processor time of the passes,
// of lowering and of printing C at two depths; the least of a few tries, since other work on the machine only adds.
// Four times the depth takes 4 to 5 times as long; where every step looked at the whole graph it took 16.
#include "codegen/program.h"
#include "page_support.h"

#include <time.h>

enum { SHORT = 60, FACTOR = 4, TRIES = 4, MOST = 9 };

static const char layers[] =
    "use std\nmodel m() {\n  dim B = 1..2\n  block layer(x: f32[B, 4, 16]) -> f32[B, 4, 16] {\n"
    "    let h = norm(x, 1e-6)  @ln_1\n    let x = x + torch_attention(h, 2)  @attention\n"
    "    let h = norm(x, 1e-6)  @ln_2\n    let h = gelu(linear(h, 32))  @fc1\n"
    "    return x + linear(h, 16)  @fc2\n  }\n  route r(x: f32[B, 4, 16]) -> y {\n"
    "    repeat i in %d { let x = layer(x)  @l.{i} }\n    return x\n  }\n}\n";
static const char scalars[] =
    "model m() {\n  dim B = 1..2\n  route r(x: f32[B, 4], w: f32[4, 4]) -> y {\n"
    "    repeat i in %d { let x = softmax(transpose(transpose(x) * 2)) + x }\n    return x\n  }\n}\n";

static double seconds(const char *text, int depth) {
  char page[2048];
  snprintf(page, sizeof page, text, depth);
  Arena a = {0};
  clock_t from = clock();
  Module *m = page_compile(&a, page);
  PassOptions o = {.verify = true};
  cr_assert(passes_run(m, &o));
  Program *p = program_lower(m, targets, 1);
  cr_assert(p);
  Buf c = {0};
  emit_model_c(p, &(EmitModel){.prefix = "m", .header_name = "m.h"}, &c);
  buf_free(&c);
  double took = (double)(clock() - from) / CLOCKS_PER_SEC;
  arena_free(&a);
  return took;
}

static void grows(const char *name, const char *text, int depth) {
  double few = 1e9, many = 1e9;
  for (int i = 0; i < TRIES && (i < 2 || many > MOST * few); i++) {
    double s = seconds(text, depth), l = seconds(text, FACTOR * depth);
    few = s < few ? s : few;
    many = l < many ? l : many;
  }
  cr_expect(many <= MOST * few, "%s: %d take %.3f s, %d take %.3f s", name, depth, few, FACTOR * depth, many);
}

static const char one_group[] = "model m() {\n  dim B = 1..2\n  route r(x: f32[B, 4]) -> y {\n"
                                "    repeat i in %d { let x = tanh(x) }\n    return x\n  }\n}\n";

Test(growth, one_group, .timeout = 300) {
  grows("one kernel", one_group, 4 * SHORT);
}
Test(growth, layers, .timeout = 300) {
  grows("layers", layers, SHORT);
}
Test(growth, views, .timeout = 300) {
  grows("views", scalars, 4 * SHORT);
}

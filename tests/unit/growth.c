// growth.c: the time to compile grows with the depth of a model, not with its square. Processor time of the passes,
// of lowering and of printing C at two depths; the least of a few tries, since other work on the machine only adds.
// Four times the depth takes 4 to 5 times as long; where every step looked at the whole graph it took 16.
#include "codegen/program.h"
#include "page_support.h"

#include <malloc.h>
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

static const char row_of_last_layer[] = // the selection goes up through all layers
    "use std\nmodel m() {\n  dim B = 1..2\n  route r(x: f32[B, 4, 16]) -> y {\n    repeat i in %d {\n"
    "      let x = x + (linear(gelu(linear(norm(x, 1e-6) @ln, 32) @a), 16) @b) @l.{i}\n    }\n    return x[:, 0]\n  "
    "}\n}\n";
static const char row_by_number[] =
    "model m() {\n  dim B = 1..2\n  route r(x: f32[B, 4, 16], at: i32[B]) -> y {\n"
    "    repeat i in %d { let x = gelu(x * 2) + x }\n    return gather_rows(x, at)\n  }\n}\n";
static const char concats[] = // more concats, one in the other, than a value may lie in
    "model m() {\n  dim B = 1..2\n  route r(x: f32[B, 4]) -> y {\n    weight w: f32[1000, 4]\n    let y = x\n"
    "    repeat i in %d { let y = concat(y, affine(x, w[i:i + 1]), axis = 1) }\n    return y\n  }\n}\n";

// A text for each i < n, where one page has no repeat for it: $ is i.
static void put_each(Buf *b, const char *text, int n) {
  for (int i = 0; i < n; i++)
    for (const char *c = text; *c; c++)
      if (*c == '$')
        buf_printf(b, "%d", i);
      else
        buf_putc(b, *c);
}

// As many routes, and a route of as many outputs: names are not compared with all others.
static void put_names(Buf *b, int n) {
  buf_puts(b, "model m() {\n  dim B = 1..2\n");
  put_each(b, "  route r$(x: f32[B, 4]) -> y { x * $.0 }\n", n);
  buf_puts(b, "  route all(x: f32[B, 4]) -> ");
  put_each(b, "y$, ", n);
  buf_puts(b, "z {\n    return ");
  put_each(b, "x + $.0, ", n);
  buf_puts(b, "x * 2\n  }\n}\n");
}

static double seconds(const char *text, int depth) {
  Buf page = {0};
  if (text)
    buf_printf(&page, text, depth);
  else
    put_names(&page, depth);
  Arena a = {0};
  clock_t from = clock();
  Module *m = page_compile(&a, page.s);
  PassOptions o = {.verify = true};
  cr_assert(passes_run(m, &o));
  Program *p = program_lower(m, targets, 1);
  cr_assert(p);
  Buf c = {0};
  emit_model_c(p, &(EmitModel){.prefix = "m", .header_name = "m.h"}, &c);
  buf_free(&c);
  buf_free(&page);
  double took = (double)(clock() - from) / CLOCKS_PER_SEC;
  arena_free(&a);
  return took;
}

// Memory that was touched once is kept for the next try: what a page costs the first time is the system's, and in some
// virtual machines as much as all the rest.
static void grows(const char *name, const char *text, int depth) {
  double few = 1e9, many = 1e9;
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
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
Test(growth, selected_rows, .timeout = 300) {
  grows("layers above a row", row_of_last_layer, SHORT);
  grows("elementwise work above a row", row_by_number, 2 * SHORT);
}
Test(growth, concats, .timeout = 300) {
  grows("concats", concats, SHORT);
}
Test(growth, names, .timeout = 300) {
  grows("names", NULL, 2 * SHORT);
}

// pairs.c: products of bf16 with sums in f32 (ir/op/pairs.c, passes/quantise.c, codegen/lower_codes.c). The order of a
// sum is fixed and no product or sum is below 2^-126, so kernels of every target must give exactly what the reference
// evaluator does, whatever the shapes, tiles and tasks, with fma and without.
#include "ir/op/pairs.h"
#include "products_support.h"

static Val paired_linear(Graph *g, Val x, Val w, int64_t n) {
  Val args[] = {graph_add(g, OP_pairs, &x, 1, NULL, 0, NO_SPAN),
                graph_add(g, OP_weight_pairs, &w, 1, NULL, 0, NO_SPAN)};
  Attr columns = attr_int(A_columns, n);
  return graph_add(g, OP_linear_pairs, args, 2, &columns, 1, NO_SPAN);
}

// y = 2^16 times the product of x, or of max(x, 0). Nothing around the product rounds, and what `compare` takes for
// equal is less than a last bit of numbers of this size.
static void run_shape(int64_t batch, int64_t rows, int64_t k, int64_t n, bool before) {
  Scene made;
  Graph *g = new_graph(&made, "pairs", batch);
  Val x = source(g, OP_input, "x", 3, (int64_t[]){0, rows, k});
  Val w = source(g, OP_weight, "w.weight", 2, (int64_t[]){n, k});
  if (before) x = graph_add(g, OP_relu, &x, 1, NULL, 0, NO_SPAN);
  Val y = paired_linear(g, x, w, n);
  for (int i = 0; i < 16; i++) y = graph_add(g, OP_add, (Val[]){y, y}, 2, NULL, 0, NO_SPAN);
  graph_output(g, "y", y, NO_SPAN);
  Program *p = lower_all(made.m);
  char *data = pack_all(p, &made.a);
  char what[100];
  snprintf(what, sizeof what, "%lld x %lld rows, k %lld, n %lld", (long long)batch, (long long)rows, (long long)k,
           (long long)n);
  for (int64_t at = 1; at <= batch; at += batch > 1 ? batch - 1 : 1) {
    int64_t dims[MAX_DIMS] = {at};
    Want want;
    reference(&made.a, made.m->graph.at[0], dims, 9, &want);
    for (size_t t = 0; t < p->ntarget; t++) compare(p, 0, t, data, dims, &want, what, 0);
  }
  arena_free(&made.a);
}

Test(pairs, kernels_are_the_definition) {
  static const int64_t ks[] = {1, 3, 32, 33, 64, 96, 200}, ns[] = {1, 5, 16, 17, 48, 100};
  for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
    for (size_t j = 0; j < sizeof ns / sizeof *ns; j++)
      run_shape(1 + (int64_t)(i + j) % 3, 1 + (int64_t)(3 * i + 5 * j) % 23, ks[i], ns[j], (i + j) % 2);
  run_shape(1, 150, 1024, 16, true); // several blocks of rows
}

// Rows that are not like others, by the definition of pairs.h; the last word's second half is no number of the row.
Test(pairs, rows_at_the_edges) {
  enum { K = 11, WORDS = 16 };
  static const float in[K] = {1,        -0.0f,         0x1p-56f, -0x1.fffffep-57f, 0x1.01p0f, 0x1.03p0f, 0x1.8p-140f,
                              INFINITY, -0x1.ff8p127f, NAN,      -0x1.010002p0f};
  static const uint32_t want[K] = {0x3f80, 0x8000, 0x2380, 0x8000, 0x3f80, 0x3f82, 0, 0x7f80, 0xff80, 0x7fc0, 0xbf81};
  Scene made;
  Graph *g = new_graph(&made, "pairs", 1);
  Val x = source(g, OP_input, "x", 2, (int64_t[]){0, K});
  graph_output(g, "words", graph_add(g, OP_pairs, &x, 1, NULL, 0, NO_SPAN), NO_SPAN);
  Program *p = lower_all(made.m);
  int64_t dims[MAX_DIMS] = {1};
  cr_assert_eq(pairs_words(K), WORDS);
  for (size_t t = 0; t < p->ntarget; t++) {
    uint32_t out[WORDS];
    const char *err = "";
    cr_assert(program_interpret(p, 0, t, NULL, (const void *[]){in}, (void *[]){out}, dims, NULL, NULL, &err), "%s",
              err);
    for (int i = 0; i < 2 * WORDS; i++) {
      uint32_t half = out[i / 2] >> 16 * (i % 2) & 0xffffu;
      cr_expect_eq(half, i < K ? want[i] : 0, "%s: column %d: %x", p->target[t]->name, i, half);
    }
  }
  arena_free(&made.a);
}

// The second number of a pair is added first: 2^30 + 1 is 2^30, and what is left differs.
Test(pairs, order_of_a_sum) {
  static const float in[3][4] = {{1, 0x1p30f, 0, -0x1p30f}, {0x1p30f, 1, -0x1p30f, 0}, {0x1p30f, 1, 1, -0x1p30f}};
  static const float want[3] = {0, 0, 1};
  Scene made;
  Graph *g = new_graph(&made, "pairs", 3);
  Val x = source(g, OP_input, "x", 2, (int64_t[]){0, 4}), w = source(g, OP_weight, "w.weight", 2, (int64_t[]){1, 4});
  w = graph_add(g, OP_exp, (Val[]){graph_add(g, OP_sub, (Val[]){w, w}, 2, NULL, 0, NO_SPAN)}, 1, NULL, 0, NO_SPAN);
  graph_output(g, "y", paired_linear(g, x, w, 1), NO_SPAN); // ones
  Program *p = lower_all(made.m);
  char *data = pack_all(p, &made.a);
  int64_t dims[MAX_DIMS] = {3};
  for (size_t t = 0; t < p->ntarget; t++) {
    float out[3];
    const char *err = "";
    cr_assert(program_interpret(p, 0, t, data, (const void *[]){in}, (void *[]){out}, dims, NULL, NULL, &err), "%s",
              err);
    for (int i = 0; i < 3; i++) cr_expect_eq(out[i], want[i], "%s: row %d: %a", p->target[t]->name, i, (double)out[i]);
  }
  arena_free(&made.a);
}

// A set for pairs has its own kernels for them, and those of its base else; without such products it is left out.
Test(pairs, sets_of_their_own) {
  Scene made;
  Graph *g = new_graph(&made, "pairs", 2);
  Val x = source(g, OP_input, "x", 2, (int64_t[]){0, 64}), w = source(g, OP_weight, "w.weight", 2, (int64_t[]){32, 64});
  Val y = paired_linear(g, x, w, 32);
  graph_output(g, "y", graph_add(g, OP_softmax, &y, 1, NULL, 0, NO_SPAN), NO_SPAN);
  Program *p = lower_all(made.m);
  size_t own = 0, sets = 0;
  for (size_t t = 0; t < p->ntarget; t++) {
    size_t alike = target_alike(p->target, p->ntarget, t);
    cr_expect_neq(p->target[t]->isa->products, PRODUCTS_codes, "%s is of no use", p->target[t]->name);
    sets += alike < t;
    for (size_t i = 0; alike < t && i < p->kernel.n; i++) own += p->kernel.at[i].k[t] != p->kernel.at[i].k[alike];
  }
  cr_expect_eq(own, sets);
  cr_expect_gt(sets, 0);
  arena_free(&made.a);
}

// The same products as in 8 bits: not the last one of a route. Rows are made once for all that read them.
Test(pairs, which_products) {
  Scene made;
  Graph *g = new_graph(&made, "pairs", 4);
  Val x = source(g, OP_input, "x", 2, (int64_t[]){0, 64}), h[2];
  for (int i = 0; i < 2; i++) {
    Val w = source(g, OP_weight, i ? "a.weight" : "b.weight", 2, (int64_t[]){64, 64});
    h[i] = graph_add(g, OP_linear, (Val[]){x, w}, 2, NULL, 0, NO_SPAN);
    h[i] = graph_add(g, i ? OP_gelu : OP_tanh, &h[i], 1, NULL, 0, NO_SPAN);
  }
  Val sum = graph_add(g, OP_add, h, 2, NULL, 0, NO_SPAN), w = source(g, OP_weight, "c.weight", 2, (int64_t[]){10, 64});
  graph_output(g, "scores", graph_add(g, OP_linear, (Val[]){sum, w}, 2, NULL, 0, NO_SPAN), NO_SPAN);
  const Graph *after = quantised(&made, "bf16");
  cr_expect_eq(count(after, OP_linear_pairs), 2);
  cr_expect_eq(count(after, OP_pairs), 1);
  cr_expect_eq(count(after, OP_linear), 1);
  arena_free(&made.a);
}

// codes.c: products of codes of 8 bits (ir/op/codes.c, passes/quantise.c, codegen/lower_codes.c). Sums are of whole
// numbers and all else is rounded where the definition says, so kernels of every target must give exactly what the
// reference evaluator does, whatever the shapes, tiles and tasks.
#include "ir/op/codes.h"
#include "products_support.h"

static Val coded_linear(Graph *g, Val x, Val w, int64_t n, int bits) {
  Attr columns = attr_int(A_columns, n);
  if (bits == 4) {
    Attr group = attr_int(A_group, CODE_GROUP), to = {.key = A_to, .s = "bf16"};
    Val scales = graph_add(g, OP_weight_scales4, &w, 1, NULL, 0, NO_SPAN);
    scales = graph_add(g, OP_cast, &scales, 1, &to, 1, NO_SPAN);
    Val four[3] = {graph_add(g, OP_quantise, &x, 1, &group, 1, NO_SPAN),
                   graph_add(g, OP_weight_codes4, &w, 1, NULL, 0, NO_SPAN),
                   graph_add(g, OP_widen, &scales, 1, NULL, 0, NO_SPAN)};
    return graph_add(g, OP_linear_codes4, four, 3, &columns, 1, NO_SPAN);
  }
  Val args[4] = {
      graph_add(g, OP_quantise, &x, 1, NULL, 0, NO_SPAN), graph_add(g, OP_weight_codes, &w, 1, NULL, 0, NO_SPAN),
      graph_add(g, OP_weight_scales, &w, 1, NULL, 0, NO_SPAN), graph_add(g, OP_weight_sums, &w, 1, NULL, 0, NO_SPAN)};
  return graph_add(g, OP_linear_codes, args, 4, &columns, 1, NO_SPAN);
}

// Every instruction set, and AVX2 and AVX-512 once more with each way in which a target may multiply codes: that there
// is no set yet with one of these does not leave its code untried. Kernels run in the interpreter.
static size_t all_ways(Target *own, const Target **t) {
  size_t n = 0;
  for (; targets[n]; n++) t[n] = targets[n];
  for (DotKind dot = DOT_WORDS; dot <= DOT_PLAIN; dot++) {
    const Target *like = target_by_name(dot == DOT_WORDS ? "avx2" : "avx512");
    *own = *like;
    own->dot = dot;
    t[n++] = own++;
  }
  CHECK(n <= MAX_TARGETS);
  return n;
}

// y = relu(codes(max(x, c) ..) + bias) + residual: work before and behind, all of it exact.
static void run_shape(int64_t batch, int64_t rows, int64_t k, int64_t n, bool before, int bits) {
  Scene made;
  Graph *g = new_graph(&made, "codes", batch);
  Val x = source(g, OP_input, "x", 3, (int64_t[]){0, rows, k});
  Val w = source(g, OP_weight, "w.weight", 2, (int64_t[]){n, k});
  Val b = source(g, OP_weight, "w.bias", 1, (int64_t[]){n});
  Val rest = source(g, OP_input, "rest", 3, (int64_t[]){0, rows, n});
  if (before) x = graph_add(g, OP_neg, &x, 1, NULL, 0, NO_SPAN);
  Val y = graph_add(g, OP_add, (Val[]){coded_linear(g, x, w, n, bits), b}, 2, NULL, 0, NO_SPAN);
  y = graph_add(g, OP_relu, &y, 1, NULL, 0, NO_SPAN);
  y = graph_add(g, OP_add, (Val[]){y, rest}, 2, NULL, 0, NO_SPAN);
  graph_output(g, "y", y, NO_SPAN);
  Target own[3];
  const Target *ways[MAX_TARGETS];
  Program *p = lower_for(made.m, ways, all_ways(own, ways));
  char *data = pack_all(p, &made.a);
  char what[100];
  snprintf(what, sizeof what, "%d bits, %lld x %lld rows, k %lld, n %lld", bits, (long long)batch, (long long)rows,
           (long long)k, (long long)n);
  for (int64_t at = 1; at <= batch; at += batch > 1 ? batch - 1 : 1) {
    int64_t dims[MAX_DIMS] = {at};
    Want want;
    reference(&made.a, made.m->graph.at[0], dims, 9, &want);
    for (size_t t = 0; t < p->ntarget; t++) compare(p, 0, t, data, dims, &want, what, 3e-7); // sums behind are rounded
  }
  arena_free(&made.a);
}

Test(codes, kernels_are_the_definition) {
  static const int64_t ks[] = {1, 3, 32, 63, 64, 65, 96, 128, 200, 640}, ns[] = {1, 5, 16, 17, 48, 100, 160};
  for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
    for (size_t j = 0; j < sizeof ns / sizeof *ns; j++)
      run_shape(1 + (int64_t)(i + j) % 3, 1 + (int64_t)(3 * i + 5 * j) % 23, ks[i], ns[j], (i + j) % 2,
                (i + j) / 2 % 2 ? 4 : 8);
  run_shape(2, 197, 256, 40, false, 8); // several blocks of rows
  run_shape(1, 400, 1024, 16, true, 8);
  run_shape(2, 60, 1000, 40, true, 4);
  run_shape(1, 1, 640, 160, false, 4); // tiles of one row
}

// Rows that are not like others: their words and scales by the definition of codes.h, and what becomes of them.
Test(codes, rows_at_the_edges) {
  enum { K = 64, ROWS = 8 };
  Scene made;
  Graph *g = new_graph(&made, "codes", ROWS);
  Val x = source(g, OP_input, "x", 2, (int64_t[]){0, K});
  graph_output(g, "words", graph_add(g, OP_quantise, &x, 1, NULL, 0, NO_SPAN), NO_SPAN);
  Program *p = lower_all(made.m);
  float in[ROWS][K] = {{0}};
  for (int k = 0; k < K; k++) {
    in[1][k] = 0x1p-126f * (float)k;              // too small for a scale
    in[2][k] = k == 7 ? 1e30f : 1;                // one is large
    in[3][k] = k == 9 ? NAN : 2;                  // not a number
    in[4][k] = k == 3 ? -INFINITY : (float)k;     // infinite
    in[5][k] = k % 2 ? -0.0f : (float)(k - 32);   // zeros with a sign
    in[6][k] = ((float)(k % 8) - 3.5f) / 127 * 5; // halves, once scaled by 127 / m
    in[7][k] = k ? 1e-3f : -127;
  }
  in[6][0] = 5;
  int64_t dims[MAX_DIMS] = {ROWS};
  for (size_t t = 0; t < p->ntarget; t++) {
    int32_t out[ROWS][K / 4 + CODE_ROOM];
    const char *err = "";
    cr_assert(program_interpret(p, 0, t, NULL, (const void *[]){in}, (void *[]){out}, dims, NULL, NULL, &err), "%s",
              err);
    for (int r = 0; r < ROWS; r++) {
      float scale, most = 0;
      memcpy(&scale, &out[r][K / 4], sizeof scale);
      for (int k = 0; k < K; k++) most = fmaxf(most, fabsf(in[r][k]));
      for (int i = 1; i < CODE_ROOM; i++) cr_expect_eq(out[r][K / 4 + i], 0, "room behind the scale");
      if (r == 3) cr_expect(isnan(scale));
      if (r == 4) cr_expect(isinf(scale));
      if (r == 0 || r == 1) cr_expect_eq(scale, 0);
      if (r == 2 || r >= 5) cr_expect_eq(scale, most / 127);
      for (int k = 0; k < K; k++) {
        int code = (int8_t)(uint8_t)((uint32_t)out[r][k % (K / 4)] >> 8 * (k / (K / 4)));
        float factor = r < 2 || r == 4 ? 0 : 127 / most;
        int want = r == 3 || isinf(in[r][k]) ? 0 : (int)nearbyintf(in[r][k] * factor);
        cr_expect_eq(code, want, "row %d, column %d: %d, not %d", r, k, code, want);
      }
    }
  }
  arena_free(&made.a);
}

static bool infinite_weight(void *ud, const char *name, const Type *t, Tensor *out, const char **err) {
  if (!weight_in(ud, name, t, out, err)) return false;
  if (out->rank == 2) out->f[3] = HUGE_VAL;
  return true;
}

static void refuse_infinite(int bits) {
  Scene made;
  Graph *g = new_graph(&made, "codes", 1);
  Val x = source(g, OP_input, "x", 2, (int64_t[]){0, 64});
  Val w = source(g, OP_weight, "w.weight", 2, (int64_t[]){16, 64});
  graph_output(g, "y", coded_linear(g, x, w, 16, bits), NO_SPAN);
  Program *p = lower_all(made.m);
  WeightSource src = {.get = infinite_weight};
  char *data = arena_alloc(&made.a, p->weight_bytes + 64);
  bool refused = false;
  for (size_t i = 0; i < p->weight.n; i++) {
    const char *err = "";
    if (pack_weight(p, &p->weight.at[i], &src, data + p->weight.at[i].offset, &err)) continue;
    refused = true;
    cr_expect(strstr(err, "not a finite number"), "%s", err);
  }
  cr_expect(refused);
  arena_free(&made.a);
}

Test(codes, weights_must_be_finite) {
  refuse_infinite(8);
  refuse_infinite(4);
}

// A set that differs in products of codes alone has its own kernels for these and all others of its base; a program
// without such products leaves it out, unless nothing else was asked for.
Test(codes, sets_of_their_own) {
  for (int coded = 0; coded < 2; coded++) {
    Scene made;
    Graph *g = new_graph(&made, "codes", 2);
    Val x = source(g, OP_input, "x", 2, (int64_t[]){0, 64}),
        w = source(g, OP_weight, "w.weight", 2, (int64_t[]){32, 64});
    Val y = coded ? coded_linear(g, x, w, 32, 8) : graph_add(g, OP_linear, (Val[]){x, w}, 2, NULL, 0, NO_SPAN);
    graph_output(g, "y", graph_add(g, OP_softmax, &y, 1, NULL, 0, NO_SPAN), NO_SPAN);
    Program *p = lower_all(made.m);
    size_t own = 0, shared = 0;
    for (size_t t = 0; t < p->ntarget; t++) {
      size_t alike = target_alike(p->target, p->ntarget, t);
      cr_expect(!p->target[t]->isa->codes_of || alike < t, "%s: its base comes first", p->target[t]->name);
      for (size_t i = 0; alike < t && i < p->kernel.n; i++)
        *(p->kernel.at[i].k[t] == p->kernel.at[i].k[alike] ? &shared : &own) += 1;
    }
    size_t sets = 0;
    size_t others = 0; // for pairs of bf16
    for (size_t i = 0; targets[i]; i++) {
      sets += targets[i]->isa->products == PRODUCTS_codes;
      others += targets[i]->isa->products == PRODUCTS_pairs;
      cr_expect_eq(targets[i]->isa->products != PRODUCTS_f32, targets[i]->isa->codes_of != NULL);
    }
    cr_expect_gt(sets, 0);
    cr_expect_eq(p->ntarget, target_count() - others - (coded ? 0 : sets));
    cr_expect_eq(own, coded ? sets : 0);
    cr_expect_eq(shared, coded ? (p->kernel.n - 1) * sets : 0);
    arena_free(&made.a);
  }
  Scene made;
  Graph *g = new_graph(&made, "codes", 2);
  Val x = source(g, OP_input, "x", 2, (int64_t[]){0, 64});
  graph_output(g, "y", graph_add(g, OP_softmax, &x, 1, NULL, 0, NO_SPAN), NO_SPAN);
  const Target *alone = target_by_name("avx512_vnni");
  Program *p = lower_for(made.m, &alone, 1);
  cr_expect(p->ntarget == 1 && p->target[0] == alone);
  arena_free(&made.a);
}

// Rows of which a call may have one or many go through tiles of several: a tile of one is for what is always few.
Test(codes, tiles_by_the_most_rows) {
  for (int many = 0; many < 2; many++) {
    Scene made;
    Graph *g = new_graph(&made, "codes", many ? 77 : 4);
    Val x = source(g, OP_input, "x", 2, (int64_t[]){0, 64});
    Val w = source(g, OP_weight, "w.weight", 2, (int64_t[]){128, 64});
    graph_output(g, "y", coded_linear(g, x, w, 128, 8), NO_SPAN);
    Program *p = lower_all(made.m);
    const char *text = "";
    for (size_t i = 0; i < p->route.at[0].step.n; i++)
      if (strstr(p->route.at[0].step.at[i].comment, "tile")) text = p->route.at[0].step.at[i].comment;
    cr_expect(strstr(text, many ? "tile 8 x 48" : "tile 1 x 64"), "%s", text);
    arena_free(&made.a);
  }
}

static Val product(Graph *g, Val x, const char *name, int64_t n, int64_t k) {
  Val w = source(g, OP_weight, name, 2, (int64_t[]){n, k});
  return graph_add(g, OP_linear, (Val[]){x, w}, 2, NULL, 0, NO_SPAN);
}

// Rows are quantised once for all that read them; the last product of a route and one of short rows stay as they are.
Test(codes, which_products) {
  Scene made;
  Graph *g = new_graph(&made, "codes", 4);
  Val x = source(g, OP_input, "x", 2, (int64_t[]){0, 64});
  Val a = product(g, x, "a.weight", 96, 64), b = product(g, x, "b.weight", 96, 64);
  a = graph_add(g, OP_gelu, &a, 1, NULL, 0, NO_SPAN);
  b = graph_add(g, OP_tanh, &b, 1, NULL, 0, NO_SPAN);
  Val h = product(g, graph_add(g, OP_add, (Val[]){a, b}, 2, NULL, 0, NO_SPAN), "short.weight", 16, 96);
  h = graph_add(g, OP_relu, &h, 1, NULL, 0, NO_SPAN);
  h = product(g, h, "wide.weight", 64, 16); // rows of 16
  h = graph_add(g, OP_relu, &h, 1, NULL, 0, NO_SPAN);
  graph_output(g, "scores", product(g, h, "head.weight", 10, 64), NO_SPAN);
  const Graph *after = quantised(&made, "int8");
  cr_expect_eq(count(after, OP_linear_codes), 3);
  cr_expect_eq(count(after, OP_quantise), 2);
  cr_expect_eq(count(after, OP_linear), 2);
  arena_free(&made.a);
  cr_expect_null(precision_by_name("int9"));
  cr_expect_eq(precision_by_name(NULL)->codes, 0);
}

// With weights of 4 bits the rows have the sums of their groups, and a table of words that is looked up has 8.
Test(codes, which_weights_have_four_bits) {
  Scene made;
  Graph *g = new_graph(&made, "codes", 4);
  Type ids = {.dtype = DT_I32, .rank = 1};
  ids.dim[0] = (Dim){0, 1, 0};
  Val table = source(g, OP_weight, "words.weight", 2, (int64_t[]){32, 64});
  Val h = graph_add(g, OP_embedding, (Val[]){table, graph_input(g, "ids", &ids, NO_SPAN)}, 2, NULL, 0, NO_SPAN);
  h = product(g, h, "a.weight", 64, 64);
  h = graph_add(g, OP_gelu, &h, 1, NULL, 0, NO_SPAN);
  Val y = graph_add(g, OP_linear, (Val[]){h, table}, 2, NULL, 0, NO_SPAN);
  y = graph_add(g, OP_softmax, &y, 1, NULL, 0, NO_SPAN);
  graph_output(g, "y", graph_add(g, OP_add, (Val[]){y, y}, 2, NULL, 0, NO_SPAN), NO_SPAN);
  h = product(g, h, "b.weight", 48, 64);
  graph_output(g, "z", graph_add(g, OP_mul, (Val[]){h, h}, 2, NULL, 0, NO_SPAN), NO_SPAN);
  const Graph *after = quantised(&made, "int4w");
  cr_expect_eq(count(after, OP_linear_codes4), 2);
  cr_expect_eq(count(after, OP_linear_codes), 1);
  cr_expect_eq(count(after, OP_quantise), 3);
  arena_free(&made.a);
}

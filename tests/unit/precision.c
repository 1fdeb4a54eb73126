// precision.c: weights kept in fewer bits (passes/precision.c). Random graphs through the passes, lowering, packing and
// the kernels in the interpreter, against the reference evaluator on the graph that the passes left: its casts round
// the weights, so what is compared is how narrow weights are packed, widened and read.
#include "program_check.h"

#include <string.h>

enum { GRAPHS = 60, BATCH = 2, ROWS = 3 };

static void lower_and_compare(uint32_t seed, DType keep, size_t *narrow) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  Module *m = module_new(&a, &names, &d, "random");
  Graph *g = random_graph(m, seed);
  Buf what = {0};
  buf_printf(&what, "seed %u, %s\n", seed, dtype_info[keep].name);
  module_print(m, &what);
  PassOptions o = {.verify = true, .precision = precision_by_name(keep == DT_BF16 ? "bf16w" : "f16w")};
  cr_assert(passes_run(m, &o), "%s", what.s);
  int64_t dims[MAX_DIMS] = {BATCH};
  Want want;
  reference(&a, g, dims, ROWS, &want);
  Program *p = program_lower(m, targets, target_count());
  cr_assert(p, "%s", what.s);
  for (size_t i = 0; i < p->weight.n; i++) {
    const PackedWeight *w = &p->weight.at[i];
    *narrow += w->dtype == keep;
    cr_expect_eq(w->bytes, (uint64_t)w->shape.elements * dtype_info[w->dtype].bytes);
    cr_expect(w->dtype != DT_F32 || w->shape.form.kind != PACK_panels, "%s: a matrix is kept in f32", what.s);
  }
  char *data = pack_all(p, &a);
  for (size_t t = 0; t < p->ntarget; t++) compare(p, 0, t, data, dims, &want, what.s, 2e-4);
  buf_free(&what);
  arena_free(&a);
}

Test(precision, random_graphs, .timeout = 300) {
  size_t narrow = 0;
  for (uint32_t seed = 1; seed <= GRAPHS; seed++) lower_and_compare(seed, seed % 2 ? DT_BF16 : DT_F16, &narrow);
  cr_expect_gt(narrow, GRAPHS / 2, "only %zu weights are narrow", narrow);
}

static Module *parsed(Arena *a, Intern *names, Diag *d, const char *text) {
  diag_init(d, a);
  names->arena = a;
  uint32_t file = diag_add_file(d, "t.ir", text, strlen(text));
  Module *m = module_parse(a, names, d, text, strlen(text), file);
  cr_assert(m, "%s", text);
  return m;
}

// What a step finds and leaves is narrow, is read widened, and takes rows of f32; what is not of the generate stays.
Test(precision, states_are_kept_narrow) {
  Arena a = {0};
  Intern names = {0};
  Diag d;
  const char *err = "";
  size_t n = 0;
  const char *text = file_read(&a, "tests/passes/cache_step.ir", &n, &err);
  cr_assert(text, "%s", err);
  Module *m = parsed(&a, &names, &d, text);
  PassOptions o = {.verify = true, .precision = precision_by_name("bf16w"), .stop_after = "precision"};
  cr_assert(passes_run(m, &o));
  Buf b = {0};
  module_print(m, &b);
  const char *step = strstr(b.s, "graph @caption_step");
  cr_assert(step);
  static const char *const has[] = {"input \"kept_0\" : bf16[B,3,8] role kept", "= state : bf16[B,L,8]",
                                    "{start = 0} : bf16[B,L,8]", "input \"text\" : i32[B,1]"};
  for (size_t i = 0; i < sizeof has / sizeof *has; i++) cr_expect(strstr(step, has[i]), "no %s in\n%s", has[i], step);
  size_t casts = 0, widened = 0;
  for (const char *s = step; (s = strstr(s, "= cast")); s++) casts++;
  for (const char *s = step; (s = strstr(s, "= widen")); s++) widened++;
  cr_expect_eq(casts, 2, "two weights: rows are rounded where they are put\n%s", step);
  cr_expect_eq(widened, 2 + 3, "two weights, two caches and what is kept\n%s", step);
  buf_free(&b);
  arena_free(&a);
}

// A number that the type cannot hold is said with its weight, not packed as an infinity.
Test(precision, a_number_too_large_for_the_type) {
  Arena a = {0};
  Intern names = {0};
  Diag d;
  Module *m = parsed(&a, &names, &d,
                     "module \"t\" dims { B = 1..2 }\nweight \"w\"\ngraph @r {\n  %1 = input \"x\" : f32[B,4]\n"
                     "  %2 = weight \"w\" : f32[3,4]\n  %3 = constant {value = 0x1p+17} : f32[3,4]\n"
                     "  %4 = mul %2, %3 : f32[3,4]\n  %5 = linear %1, %4 : f32[B,3]\n  output \"y\" = %5\n}\n");
  PassOptions o = {.verify = true, .precision = precision_by_name("f16w")};
  cr_assert(passes_run(m, &o));
  Program *p = program_lower(m, targets, target_count());
  cr_assert(p && p->weight.n == 1 && p->weight.at[0].dtype == DT_F16);
  WeightSource src = {.get = weight_in};
  const char *err = "";
  char *data = arena_alloc(&a, p->weight_bytes + 64);
  cr_assert_not(pack_weight(p, &p->weight.at[0], &src, data, &err));
  cr_expect(strstr(err, "w") && strstr(err, "beyond 65504, the largest f16"), "%s", err);
  arena_free(&a);
}

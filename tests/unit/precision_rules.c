// precision_rules.c: sets of rules: which pattern fits which weight, which rule counts, and what the passes make of a
// graph whose weights are asked for in different precisions.
#include "frontend/frontend.h"
#include "ir/precision.h"
#include "passes/pass.h"

#include <criterion/criterion.h>
#include <string.h>

Test(precision_rules, patterns) {
  static const struct {
    const char *pattern, *weight;
    bool fits;
  } kase[] = {
      {"a.b", "a.b", true},
      {"a.b", "a.b.weight", true},
      {"a.b", "a.b.bias", false},
      {"a.b.weight", "a.b.weight", true},
      {"a", "weight", false},
      {"weight", "weight", true},
      {"*", "", true},
      {"{a...}", "", false},
      {"{a...}", "a.b", true},
      {"encoder.*", "encoder.layers.0.mlp.weight", true},
      {"encoder.*", "decoder.encoder.x", false},
      {"*.mlp", "encoder.layers.0.mlp.weight", true},
      {"*.mlp", "encoder.layers.0.mlp.weight.x", false},
      {"?.x", "1.x", true},
      {"?.x", "12.x", false},
      {"layers.{i}.q", "layers.10.q.weight", true},
      {"layers.{i}.q", "layers..q", false},
      {"layers.{i}.q", "layers.1.2.q", false},
      {"layers.{i}.{a...}.q", "layers.1.b.c.q", true},
      {"layers.{i}.{a...}.q", "layers.1..q", false},
      {"{a}{b}x", "11x", true},
      {"{a}{b}x", "1x", false},
      {"*{i}*", "a.b", true},
      {"*{i}*", "...", false},
      {"a{i}*b", "a1.b.b", true},
  };
  Arena a = {0};
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    const char *wrong = precision_problem(&a, kase[i].pattern);
    cr_assert_null(wrong, "%s: %s", kase[i].pattern, wrong);
    cr_expect_eq(precision_fits(kase[i].pattern, kase[i].weight), kase[i].fits, "%s and %s", kase[i].pattern,
                 kase[i].weight);
  }
  cr_expect(precision_is_name("a.b") && !precision_is_name("a.?") && !precision_is_name("{a}"));
  arena_free(&a);
}

Test(precision_rules, what_is_wrong_with_a_pattern) {
  static const char *const kase[][2] = {
      {"", "empty"},         {"{", "followed by"},        {"{}", "followed by"},
      {"{a", "followed"},    {"{a..}", "followed by"},    {"a}", "closes nothing"},
      {"{a b}", "followed"}, {"{i}.{i}", "stands twice"}, {"{i}.{i...}", "stands twice"}};
  Arena a = {0};
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    const char *got = precision_problem(&a, kase[i][0]);
    cr_expect(got && strstr(got, kase[i][1]), "%s: %s", kase[i][0], got ? got : "nothing");
  }
  cr_expect_null(precision_problem(&a, "{i}.{ii}"));
  char lengthy[PRECISION_LONGEST + 2];
  memset(lengthy, '*', sizeof lengthy - 1);
  lengthy[sizeof lengthy - 1] = 0;
  cr_expect_not_null(precision_problem(&a, lengthy));
  cr_expect_null(precision_problem(&a, lengthy + 1));
  arena_free(&a);
}

// However many places there are, a name takes the time of its length.
Test(precision_rules, ends_soon, .timeout = 20) {
  char pattern[PRECISION_LONGEST + 1] = "", name[20001];
  for (unsigned i = 0; i < 60; i++) snprintf(pattern + strlen(pattern), 16, "*{p%02u}", i % 100);
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = 0;
  strcat(pattern, "b");
  cr_expect_not(precision_fits(pattern, name));
}

typedef struct Scene {
  Arena a;
  Intern names;
  Diag d;
} Scene;

static PrecisionSet *rules(Scene *s, const char *text) {
  PrecisionSet *set = front_precision(&s->a, &s->names, &s->d, "t.precision", text, strlen(text), "t");
  Buf b = {0};
  diag_print(&s->d, &b, false);
  cr_assert(set, "%s", b.s);
  buf_free(&b);
  return set;
}

static Module *page(Scene *s, const char *text) {
  s->names.arena = &s->a;
  diag_init(&s->d, &s->a);
  Module *m = front_compile(&s->a, &s->names, &s->d, "m.sy", text, strlen(text), NULL);
  Buf b = {0};
  diag_print(&s->d, &b, false);
  cr_assert(m, "%s", b.s);
  buf_free(&b);
  return m;
}

static size_t count(const Module *m, Op op) {
  size_t n = 0;
  for (size_t i = 0; i < m->graph.n; i++)
    for (uint32_t v = 1; v < m->graph.at[i]->value.n; v++) {
      const Value *x = &m->graph.at[i]->value.at[v];
      n += !x->dead && x->op == op;
    }
  return n;
}

static size_t kept(const Module *m, DType t) {
  size_t n = 0;
  for (uint32_t v = 1; v < m->graph.at[0]->value.n; v++) {
    const Value *x = &m->graph.at[0]->value.at[v];
    n += !x->dead && x->op == OP_cast && x->type.dtype == t;
  }
  return n;
}

static const char layers[] = "model m(dim = 64) {\n"
                             "  dim B = 1..4\n"
                             "  route r(x: f32[B, 3, dim]) -> y {\n"
                             "    weight q: f32[dim, dim]  @a.q.weight\n"
                             "    weight k: f32[dim, dim]  @a.k.weight\n"
                             "    weight v: f32[dim, dim]  @a.v.weight\n"
                             "    weight fc: f32[dim, dim]  @fc.weight\n"
                             "    weight head: f32[10, dim]  @head.weight\n"
                             "    let z = attention(affine(x, q), affine(x, k), affine(x, v), heads = 4)\n"
                             "    return affine(gelu(affine(z, fc)), head)\n"
                             "  }\n"
                             "}\n";

static Module *passed(Scene *s, const char *text, const char *stop) {
  Module *m = page(s, layers);
  m->precision = rules(s, text);
  PassOptions o = {.verify = true, .stop_after = stop};
  cr_assert(passes_run(m, &o), "%s", text);
  return m;
}

// The first rule counts; what is in one product is in one precision, so that linears are joined by their rules.
Test(precision_rules, products_by_path) {
  static const struct {
    const char *rules;
    size_t codes, linears, bf16, f16; // products of codes, others; weights kept in bf16, f16
  } kase[] = {
      {"\"*\" = int8", 2, 1, 1, 0},
      {"\"*\" = f32", 0, 3, 0, 0},
      {"\"*\" = f32\n\"fc\" = int8", 0, 3, 0, 0},
      {"\"fc\" = int8 # a comment\n\"*\" = f32", 1, 2, 0, 0},
      {"\"fc\" = f16w; \"a.*\" = int8", 1, 2, 0, 1},
      {"\"a.q\" = int8\n\"a.{p}\" = bf16w", 1, 3, 1, 0},
      {"\"a.q\" = int8\n\"a.k\" = f16w", 1, 4, 0, 1},
      {"\"head\" = int8", 1, 2, 0, 0}, // asked for by its name
      {"\"hea*\" = f16w\n\"*\" = int8", 2, 1, 0, 1},
  };
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    Scene s = {0};
    Module *m = passed(&s, kase[i].rules, "precision");
    cr_expect_eq(count(m, OP_linear_codes), kase[i].codes, "%s: %zu of codes", kase[i].rules,
                 count(m, OP_linear_codes));
    cr_expect_eq(count(m, OP_linear), kase[i].linears, "%s: %zu linears", kase[i].rules, count(m, OP_linear));
    cr_expect_eq(kept(m, DT_BF16), kase[i].bf16, "%s: %zu in bf16", kase[i].rules, kept(m, DT_BF16));
    cr_expect_eq(kept(m, DT_F16), kase[i].f16, "%s: %zu in f16", kase[i].rules, kept(m, DT_F16));
    arena_free(&s.a);
  }
}

// A rule for everything is the precision itself.
Test(precision_rules, one_rule_is_uniform) {
  for (size_t i = 0; i < precision_count; i++) {
    Scene s = {0}, t = {0};
    Module *all = page(&t, layers), *by_rule = passed(&s, arena_printf(&t.a, "\"*\" = %s", precisions[i].name), NULL);
    PassOptions o = {.verify = true, .precision = &precisions[i]};
    cr_assert(passes_run(all, &o));
    by_rule->precision = NULL;
    by_rule->built = all->built = NULL;
    Buf x = {0}, y = {0};
    module_print(by_rule, &x);
    module_print(all, &y);
    cr_expect_str_eq(x.s, y.s, "%s", precisions[i].name);
    buf_free(&x);
    buf_free(&y);
    arena_free(&s.a);
    arena_free(&t.a);
  }
}

static void refused(const char *text, const char *code, const char *message, size_t errors) {
  Scene s = {0};
  Module *m = page(&s, layers);
  m->precision = rules(&s, text);
  PassOptions o = {.verify = true, .stop_after = "quantise"};
  cr_expect_eq(passes_run(m, &o), !errors, "%s", text);
  cr_assert_eq(s.d.list.n, 1, "%s: %zu messages", text, s.d.list.n);
  cr_expect_str_eq(s.d.list.at[0].code, code);
  cr_expect(strstr(s.d.list.at[0].text, message), "%s: %s", text, s.d.list.at[0].text);
  arena_free(&s.a);
}

Test(precision_rules, what_cannot_be) {
  refused("\"hea*\" = int8", "W0002", "the last product of its route", 0);
  refused("\"hea*\" = int8\n\"*.bias\" = f16w", "W0002", "the last product of its route", 0);
}

// Text and rules are the same thing.
Test(precision_rules, text_of_the_ir) {
  Scene s = {0}, t = {0};
  Module *m = passed(&s, "\"a.{i}\" = int8\n\"x\\\"y*\" = f16w", "merge");
  Buf x = {0}, y = {0};
  module_print(m, &x);
  t.names.arena = &t.a;
  diag_init(&t.d, &t.a);
  Module *again = module_parse(&t.a, &t.names, &t.d, x.s, x.n, diag_add_file(&t.d, "t.ir", x.s, x.n));
  cr_assert(again && again->precision && again->precision->rule.n == 2, "%s", x.s);
  module_print(again, &y);
  cr_expect_str_eq(x.s, y.s);
  cr_expect(strstr(x.s, "precision \"t\" \"a.{i}\" \"int8\"\n"), "%s", x.s);
  buf_free(&x);
  buf_free(&y);
  arena_free(&s.a);
  arena_free(&t.a);
}

Test(precision_rules, files_that_are_none) {
  static const char *const kase[] = {"",
                                     "\"a\" =",
                                     "\"a\" = int9",
                                     "\"a\" = \"int8\"",
                                     "\"a\" = int8(1)",
                                     "a = int8",
                                     "\"a\" int8",
                                     "\"{\" = int8",
                                     "\"a\" = int8 }",
                                     "{ \"a\" = int8 }",
                                     "\"a",
                                     "\"a\\0\" = int8",
                                     "\177ELF\2",
                                     "\"a\" = 8",
                                     "# a comment\n",
                                     "prepare x: picture()",
                                     "\"a\" = int8\n\"a\" = f32",
                                     "\xff\xfe\x00"};
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    Scene s = {0};
    s.names.arena = &s.a;
    diag_init(&s.d, &s.a);
    PrecisionSet *set = front_precision(&s.a, &s.names, &s.d, "t.precision", kase[i], strlen(kase[i]), "t");
    cr_expect(!set && s.d.errors, "%s", kase[i]);
    arena_free(&s.a);
  }
}

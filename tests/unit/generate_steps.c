// generate_steps.c: pages with a `generate`, compiled for real: after the first words and after each further one, the
// scores of the compiled steps (kernels in the interpreter, through host/words.c as a program does it) against those
// that the reference evaluator gives for the whole sequence. Two sentences, which change their rows on the way.
#include "codegen/generates.h"
#include "host/words.h"
#include "program_check.h"

#include "page_support.h"

#include <criterion/parameterized.h>

enum { WORDS = 7, SENTENCES = 2, VOCAB = 11 };

// A page: its inputs, further declarations, the name of the words, and what it makes of their vectors x.
#define PAGE_OF(inputs, more, words, body) PAGE_FROM("[1]", inputs, more, words, body)
#define PAGE_FROM(start, inputs, more, words, body)                                                                    \
  "use std\nmodality vision, depth, language\nmodel m(dim = 8, heads = 2, most = 7) {\n  dim B = 1..4\n"               \
  "  dim L = 1..most\n" more "  generate g(" inputs ") {\n"                                                            \
  "    words " words ": i32[B, L] = next_word(start = " start ", end = 2, pad = 0)\n"                                  \
  "    weight table: f32[11, dim]\n    let x = embedding(table, " words ")\n" body                                     \
  "    return affine(x, table)\n  }\n}\n"
#define PAGE(inputs, body) PAGE_OF(inputs, "", "text", body)
#define PROMPT_PAGE(body)                                                                                              \
  PAGE_FROM("prompt", IMAGE ", prompt: i32[B, S]", "  dim S = 1..most\n", "text", body) // S counts the first words
#define LOOK(at, where) "    let x = x + attention_apart(x, x, heads, where = " where ")  @" at "\n"
#define SEE(at, what) "    let x = x + attention_apart(x, " what ", heads)  @" at "\n"
#define CAUSAL LOOK("look", "key <= query")
#define IMAGE "image: f32[B, 3, dim]"

typedef struct Page {
  const char *name, *page;
} Page;

static const Page pages[] = {
    {"words alone", PAGE(IMAGE, CAUSAL)},
    {"words and a picture", PAGE(IMAGE, CAUSAL SEE("see", "image"))},
    // names that the steps would like to have
    {"at", PAGE("at: f32[B, 3, dim]", CAUSAL SEE("see", "at"))},
    {"last", PAGE("last: f32[B, 3, dim]", SEE("see", "tanh(last)"))},
    {"every name", PAGE("scores: f32[B, 3, dim], cache_0: f32[B, 3, dim], kept_0: f32[B, 3, dim], at: f32[B, 3, dim],"
                        "AT: f32[B, 3, dim], last_2: f32[B, 3, dim]",
                        CAUSAL SEE("see", "scores + cache_0") SEE("more", "tanh(kept_0 + at + AT + last_2)"))},
    {"words named at", PAGE_OF("last: f32[B, 3, dim]", "", "at", CAUSAL SEE("see", "last"))},
    {"a route of the name", PAGE_OF("last: f32[B, 3, dim]", "  route g_step(x: f32[B, 2]) -> y { return x }\n", "at",
                                    CAUSAL SEE("see", "last"))},
    {"no batch", PAGE("image: f32[3, dim]", SEE("see", "broadcast(tanh(image), [B, 3, dim])"))},
    // positions
    {"a table", PAGE(IMAGE, "    weight p: f32[most, dim]\n    let x = x + p[0:L]\n" CAUSAL)},
    {"a table from row 2 on", PAGE(IMAGE, "    weight p: f32[most + 2, dim]\n    let x = x + p[2:L + 2]\n" CAUSAL)},
    {"a table with an axis in front",
     PAGE(IMAGE, "    weight p: f32[1, most, dim]\n    let x = x + p[:, 0:L]\n" CAUSAL)},
    {"a table stretched",
     PAGE(IMAGE, "    weight p: f32[most, dim]\n    let x = x + broadcast(p[0:L], [B, L, dim])\n" CAUSAL)},
    {"a column", PAGE(IMAGE, "    weight p: f32[most]\n    let x = x * reshape(p[0:L], [L, 1])\n" CAUSAL)},
    {"a computed table",
     PAGE(IMAGE, "    let n = reshape(cast(range(most), f32), [most, 1]) * 0.25\n    weight w: f32[dim]\n"
                 "    let x = x + tanh(n * w)[0:L]\n" CAUSAL)},
    {"position ids",
     PAGE(IMAGE, "    weight p: f32[most, dim]\n    let x = x + embedding(p, range(most)[0:L])\n" CAUSAL)},
    {"position ids turned round",
     PAGE(IMAGE, "    weight p: f32[most, dim]\n    let x = x + embedding(p, 6 - range(most)[0:L])\n" CAUSAL)},
    {"a layer on positions",
     PAGE(IMAGE, "    weight p: f32[most, dim]\n    let x = x + norm(linear(p[0:L], dim) @lin, 1e-5) @n\n" CAUSAL)},
    {"rotary by halves",
     PAGE(IMAGE, "    weight c: f32[most, 4]\n    weight s: f32[most, 4]\n    let y = reshape(x, [B, L, 2, 4])\n"
                 "    let r = concat(-y[:, :, :, 2:4], y[:, :, :, 0:2], axis = 3)\n"
                 "    let y = y * reshape(c[0:L], [L, 1, 4]) + r * reshape(s[0:L], [L, 1, 4])\n"
                 "    let x = x + reshape(y, [B, L, dim])\n" CAUSAL)},
    {"rotary interleaved",
     PAGE(IMAGE,
          "    weight c: f32[1, most, 1, 2]\n    weight s: f32[1, most, 1, 2]\n"
          "    let y = reshape(x, [B, L, 2, 2, 2])\n    let c = c[:, 0:L]\n    let s = s[:, 0:L]\n"
          "    let a = reshape(y[:, :, :, :, 0:1], [B, L, 2, 2])\n    let b = reshape(y[:, :, :, :, 1:2], [B, L, 2, "
          "2])\n"
          "    let u = reshape(a * c - b * s, [B, L, 2, 2, 1])\n    let v = reshape(a * s + b * c, [B, L, 2, 2, 1])\n"
          "    let x = x + reshape(concat(u, v, axis = 4), [B, L, dim])\n" CAUSAL)},
    {"rotary on heads first",
     PAGE(IMAGE, "    weight c: f32[most, 4]\n    let y = transpose(reshape(x, [B, L, 2, 4]), [0, 2, 1, 3])\n"
                 "    let y = y * c[0:L] + concat(-y[:, :, :, 2:4], y[:, :, :, 0:2], axis = 3) * c[0:L][:, 0:1]\n"
                 "    let x = x + reshape(transpose(y, [0, 2, 1, 3]), [B, L, dim])\n" CAUSAL)},
    {"a table for each head",
     PAGE(IMAGE,
          "    weight p: f32[2, most, 4]\n    let y = transpose(reshape(x, [B, L, 2, 4]), [0, 2, 1, 3]) + p[:, 0:L]\n"
          "    let x = x + reshape(transpose(y, [0, 2, 1, 3]), [B, L, dim])\n" CAUSAL)},
    {"two tables joined", PAGE(IMAGE, "    weight p: f32[most, 4]\n    weight q: f32[most, 4]\n"
                                      "    let x = x + concat(p[0:L], q[0:L], axis = 1)\n" CAUSAL)},
    {"a table and a number joined",
     PAGE(IMAGE,
          "    weight p: f32[most, 4]\n    let x = x + concat(p[0:L], fill(0.5, f32[L, 4]), axis = 1)\n" CAUSAL)},
    {"half of a table", PAGE(IMAGE, "    weight p: f32[most, 12]\n    let x = x + p[0:L][:, 2:10]\n" CAUSAL)},
    {"words in front",
     PAGE(IMAGE, "    weight p: f32[most, dim]\n    let y = transpose(x, [1, 0, 2]) + reshape(p[0:L], [L, 1, dim])\n"
                 "    let x = transpose(y, [1, 0, 2])\n" CAUSAL)},
    {"positions of the picture", PAGE("image: f32[B, 9, dim]", "    let x = x + tanh(image)[:, 1:L + 1]\n" CAUSAL)},
    {"a choice by position", PAGE(IMAGE, "    weight p: f32[most, dim]\n    let x = select(reshape(range(most)[0:L], "
                                         "[L, 1]) < 3, x, x * p[0:L])\n" CAUSAL)},
    // what stands before and behind the words
    {"a picture in front", PAGE(IMAGE, "    let x = concat(image as vision, x as language)\n" CAUSAL LOOK(
                                           "two", "key <= query") "    let x = x[:, language]\n")},
    {"a picture that sees itself",
     PAGE(IMAGE, "    let x = concat(image as vision, x as language)\n" LOOK("one", "key is vision or key <= query")
                     LOOK("two", "key is vision or key <= query") "    let x = x[:, language]\n")},
    {"two pictures in front",
     PAGE(IMAGE ", map: f32[B, 2, dim]",
          "    let x = concat(image as vision, map as depth, x as language)\n" LOOK(
              "one", "not (query < key) or (key is depth and query is depth)")
              LOOK("two", "key is vision or key is depth or key <= query") "    let x = x[:, language]\n")},
    {"a picture in front, no names",
     PAGE(IMAGE, "    let x = concat(image, x)\n" CAUSAL LOOK("two", "key <= query") "    let x = x[:, 3:]\n")},
    {"a token in front",
     PAGE(IMAGE, "    weight cls: f32[1, 1, dim]\n    let x = concat(broadcast(cls, [B, 1, dim]) as language, x as "
                 "language)\n" CAUSAL LOOK("two", "key <= query") "    let x = x[:, 1:]\n")},
    {"a picture behind",
     PAGE(IMAGE,
          "    let x = concat(x as language, image as vision)\n" LOOK(
              "one", "key is vision or (query is language and key <= query)")
              LOOK("two", "key is vision or (query is language and key <= query)") "    let x = x[:, language]\n")},
    {"a picture on both sides",
     PAGE(IMAGE ", map: f32[B, 2, dim]",
          "    let x = concat(map as depth, x as language, image as vision)\n" LOOK(
              "one", "not (key is language) or (query is language and key <= query)")
              LOOK("two", "key <= query and query is language or key is depth") "    let x = x[:, language]\n")},
    {"positions of all",
     PAGE(IMAGE, "    weight p: f32[10, dim]\n    let x = concat(image, x) + p[0:L + 3]\n" CAUSAL LOOK(
                     "two", "key <= query") "    let x = x[:, 3:]\n")},
    {"experts",
     PAGE(IMAGE,
          "    let x = concat(image as vision, x as language)\n" LOOK(
              "one", "key is vision or key <= query") "    let x = switch x { vision -> linear(x, dim) @v  language -> "
                                                      "linear(x, dim) @l }\n" LOOK("two", "key is vision or key <= "
                                                                                          "query") "    let x = x[:, "
                                                                                                   "language]\n")},
    // what attention has
    {"heads that share keys, turned",
     PAGE(IMAGE, "    let angle = rotary_angles(range(L), 2, 100.0)\n    let q = rotary(linear(x, dim) @q, 2, angle)\n"
                 "    let k = rotary(linear(x, 4) @k, 1, angle, interleaved = true)\n"
                 "    let x = x + attention(q, k, linear(x, 4) @v, heads = 2, kv_heads = 1, where = key <= query)\n")},
    {"a window of keys, capped",
     PAGE(IMAGE,
          "    let x = x + attention(x, x, x, heads = 2, where = key <= query and query < key + 3, cap = 1.5)\n" LOOK(
              "two", "query - 2 <= key and not (key > query)"))},
    {"a bias",
     PAGE(IMAGE,
          "    weight t: f32[2, most, most]\n    let x = x + attention(x, x, x, heads = 2, where = key <= query, "
          "bias = t)\n")},
    {"a bias with a picture in front",
     PAGE(IMAGE, "    weight t: f32[2, most + 3, most + 3]\n    let x = concat(image as vision, x as language)\n"
                 "    let x = x + attention(x, x, x, heads = 2, where = key is vision or key <= query, bias = t)\n"
                 "    let x = x[:, language]\n")},
    {"a norm of roots", PAGE(IMAGE, CAUSAL "    weight g: f32[dim]\n    let x = silu(rms_norm(x, g, eps = 1e-5))\n")},
    // masks
    {"a mask of the picture",
     PAGE(IMAGE ", seen: bool[B, 3]",
          "    let x = concat(image as vision, x as language)\n    let m = concat(seen as vision, fill(true, bool[B, "
          "L]) as language)\n" LOOK("one", "m[key] and (key is vision or key <= query)")
              LOOK("two", "m[key] and key <= query") "    let x = x[:, language]\n")},
    {"a mask of another picture", PAGE(IMAGE ", seen: bool[B, 3]", CAUSAL
                                       "    let x = x + attention_apart(x, image, heads, where = seen[key])  @see\n")},
    {"padding among the words",
     PAGE(IMAGE, LOOK("one", "(text != 3)[key] and key <= query") LOOK("two", "key <= query and (text != 3)[key]"))},
    {"a mask by position", PAGE(IMAGE, LOOK("one", "broadcast(range(most)[0:L] != 2, [B, L])[key] and key <= query"))},
    // the words of a prompt see each other
    {"a prompt", PROMPT_PAGE(LOOK("one", "key < S or key <= query") LOOK("two", "not (key > query) or S >= key + 1"))},
    {"a prompt, picture in front",
     PROMPT_PAGE("    let x = concat(image as vision, x as language)\n" LOOK("one", "key < 3 + S or key <= query")
                     LOOK("two", "key < 3 + S or key <= query") "    let x = x[:, language]\n")},
    {"a prompt with a picture in front, no names",
     PROMPT_PAGE("    let x = concat(image, x)\n" LOOK("one", "key <= query or key <= 2 + S")
                     LOOK("two", "key <= query or key < S + 3") "    let x = x[:, 3:]\n")},
    {"a prompt that sees the picture alone",
     PROMPT_PAGE("    let x = concat(image as vision, x as language)\n" LOOK(
         "one", "key < 3 or (key <= query and query >= 3 + S) or (key == query)")
                     LOOK("two", "key is vision or (key <= query)") "    let x = x[:, language]\n")},
    {"a prompt turned, masked",
     PAGE_FROM(
         "prompt", "image: f32[B, 3, dim], seen: bool[B, 3], prompt: i32[B, S]", "  dim S = 1..most\n", "text",
         "    let x = concat(image as vision, x as language)\n    let m = concat(seen as vision, (text != 3) as "
         "language)\n    let angle = rotary_angles(range(L + 3), 2, 100.0)\n    let q = rotary(linear(x, dim) @q, "
         "2, angle)\n    let k = rotary(linear(x, 4) @k, 1, angle)\n    let x = x + attention(q, k, linear(x, 4) "
         "@v, heads = 2, kv_heads = 1, where = m[key] and (key < 3 + S or key <= query))\n" LOOK(
             "two", "m[key] and (key < S + 3 or key <= query)") "    let x = x[:, language]\n")},
    {"strictly before", PAGE(IMAGE, LOOK("one", "key < query") LOOK("two", "key <= query"))},
    {"itself alone", PAGE(IMAGE, LOOK("one", "key == query") LOOK("two", "not (key != query)"))},
};

typedef struct Run {
  Arena *a;
  const Program *p;
  const char *weights;
  const sy_generate *is;
} Run;

static bool call_entry(void *ud, bool step, size_t rows, size_t length, const void *const *in, void *const *out) {
  Run *r = ud;
  int64_t dims[MAX_DIMS] = {(int64_t)rows, (int64_t)length};
  const char *err = "";
  bool ok = program_interpret(r->p, step ? r->is->step : r->is->start, 0, r->weights, in, out, dims, NULL, NULL, &err);
  cr_assert(ok, "%s", err);
  return ok;
}

static WordsTensor *tensors(Arena *a, const Graph *g, const Port *list, const sy_port *port, size_t n) {
  WordsTensor *t = ARENA_ARRAY(a, WordsTensor, n + 1);
  for (size_t i = 0; i < n; i++) {
    const Type *type = &graph_value(g, list[i].val)->type;
    bool by_row = type->rank && type->dim[0].k;
    t[i] = (WordsTensor){list[i].name, (size_t)type_bytes(g->module, type),
                         by_row ? (size_t)type_extent(g->module, type, 0) : 0, port[i]};
  }
  return t;
}

static WordsInfo describe(Arena *a, const Program *p, const sy_generate *x) {
  const Graph *s = p->route.at[x->start].graph, *t = p->route.at[x->step].graph;
  return (WordsInfo){.start = {s->input.n, s->output.n, tensors(a, s, s->input.at, x->start_in, s->input.n),
                               tensors(a, s, s->output.at, x->start_out, s->output.n)},
                     .step = {t->input.n, t->output.n, tensors(a, t, t->input.at, x->step_in, t->input.n),
                              tensors(a, t, t->output.at, x->step_out, t->output.n)},
                     .batch_bound = 4,
                     .length_bound = WORDS,
                     .vocab = VOCAB,
                     .call = call_entry};
}

typedef struct Given { // what the evaluator reads: two sentences of n words, and inputs of the sentences they came from
  int32_t (*words)[WORDS];
  const char *name; // of the input of words
  const int32_t *of;
  int64_t n, first; // first: of the prompt
} Given;

static bool whole_input(void *ud, const char *name, const Type *t, Tensor *out) {
  const Given *g = ud;
  if (!strcmp(name, g->name)) {
    for (int64_t b = 0; b < SENTENCES; b++)
      for (int64_t i = 0; i < g->n; i++) out->i[b * g->n + i] = g->words[b][i];
    return true;
  }
  value_in(NULL, name, t, out);
  size_t row = out->n / (size_t)out->dim[0], bytes = dtype_info[t->dtype].bytes == 4 && t->dtype == DT_I32 ? 4
                                                     : t->dtype == DT_BOOL                                 ? 1
                                                                                                           : 8;
  if (!t->dim[0].k) return true;
  char *copy = malloc(out->n * bytes);
  cr_assert(copy);
  memcpy(copy, out->b, out->n * bytes);
  for (size_t b = 0; b < SENTENCES; b++)
    memcpy(out->b + b * row * bytes, copy + (size_t)g->of[b] * row * bytes, row * bytes);
  free(copy);
  return true;
}

static bool whole_weight(void *ud, const char *name, const Type *t, Tensor *out) {
  (void)ud;
  return value_in(NULL, name, t, out);
}

// Scores of the last of n words by the whole sequence.
static void whole(const char *page, const Given *given, float scores[SENTENCES][VOCAB]) {
  Arena a = {0};
  Module *m = page_compile(&a, page);
  const Graph *g = m->graph.at[0];
  for (size_t i = 0; strcmp(g->name, "g") != 0; i++) g = m->graph.at[i];
  EvalEnv env = {.arena = &a,
                 .dim = {SENTENCES, given->n, given->first},
                 .weight = whole_weight,
                 .input = whole_input,
                 .ud = (void *)given};
  Tensor out;
  cr_assert(graph_eval(g, &env, &g->output.at[0].val, 1, &out), "%s", env.error);
  for (int64_t b = 0; b < SENTENCES; b++)
    for (int64_t v = 0; v < VOCAB; v++) scores[b][v] = (float)out.f[(b * given->n + given->n - 1) * VOCAB + v];
  arena_free(&a);
}

static void compare_scores(const char *page, const char *name, const Given *given, const float *got) {
  float want[SENTENCES][VOCAB];
  whole(page, given, want);
  for (int b = 0; b < SENTENCES; b++)
    for (int v = 0; v < VOCAB; v++) {
      float w = want[b][v];
      cr_assert(fabsf(got[b * VOCAB + v] - w) <= 1e-4f * (1 + fabsf(w)),
                "%s: %d words, sentence %d: score %d is %g instead of %g", name, (int)given->n, b, v,
                (double)got[b * VOCAB + v], (double)w);
    }
}

static void *input_buffer(Arena *a, const Module *m, const Graph *g, size_t i) {
  int64_t dims[MAX_DIMS] = {SENTENCES, 1};
  const Type *t = &graph_value(g, g->input.at[i].val)->type;
  int64_t extent[MAX_RANK];
  for (int d = 0; d < t->rank; d++) extent[d] = t->dim[d].c + (t->dim[d].k ? t->dim[d].k * dims[t->dim[d].sym] : 0);
  Tensor dense = tensor_new(a, t->dtype, t->rank, extent);
  value_in(NULL, g->input.at[i].name, t, &dense);
  if (t->dtype != DT_BOOL) return caller_buffer(a, m, t, dims, &dense);
  void *buffer = arena_alloc(a, (size_t)type_bytes(m, t) + 64);
  Layout l = layout_of(a, m, t, dims, NULL);
  layout_store(&l, dense.b, buffer);
  return buffer;
}

// The first words, then one at a time; after the second the sentences change places.
static void run_page(const char *name, const char *page, int64_t first) {
  Arena a = {0};
  Module *m = page_compile(&a, page);
  Program *p = lower_for(m, &targets[0], 1);
  size_t generates;
  const sy_generate *is = program_generates(p, &a, &generates);
  cr_assert_eq(generates, 1);
  Run run = {&a, p, pack_all(p, &a), is};
  WordsInfo info = describe(&a, p, is);
  info.ud = &run;
  const Graph *s = p->route.at[is->start].graph;
  const void **given = ARENA_ARRAY(&a, const void *, s->input.n + 1);
  for (size_t i = 0; i < s->input.n; i++) given[i] = input_buffer(&a, m, s, i);
  HostError err = {0};
  Words *w = words_new(&info, given, &err);
  cr_assert(w, "%s: %s", name, err.text);
  GenerateModel model = words_model(w);
  int32_t words[SENTENCES][WORDS], of[SENTENCES] = {0, 1}, prompt[SENTENCES * WORDS];
  for (uint32_t k = 0; k < SENTENCES * WORDS; k++)
    words[k / WORDS][k % WORDS] = (int32_t)(hash_bytes(&k, sizeof k, 5) % VOCAB);
  for (int64_t b = 0; b < SENTENCES; b++)
    for (int64_t i = 0; i < first; i++) prompt[b * first + i] = words[b][i];
  float scores[SENTENCES * VOCAB];
  Given seen = {words, s->input.at[words_with_role(info.start.input, s->input.n, SY_ROLE_WORDS)].name, of, first,
                first};
  cr_assert(model.start(model.ud, SENTENCES, first, prompt, scores));
  compare_scores(page, name, &seen, scores);
  for (int64_t at = first; at < WORDS; at++) {
    static const int32_t ways[][SENTENCES] = {{0, 1}, {1, 0}, {1, 1}};
    const int32_t *parent = ways[at % 3];
    int32_t before[SENTENCES][WORDS], was[SENTENCES], next[SENTENCES];
    memcpy(before, words, sizeof words);
    memcpy(was, of, sizeof of);
    for (int b = 0; b < SENTENCES; b++) {
      memcpy(words[b], before[parent[b]], (size_t)at * sizeof **words);
      of[b] = was[parent[b]];
      next[b] = words[b][at];
    }
    seen.n = at + 1;
    cr_assert(model.step(model.ud, SENTENCES, at, 1, parent, next, scores));
    compare_scores(page, name, &seen, scores);
  }
  words_free(w);
  arena_free(&a);
}

ParameterizedTestParameters(generate_steps, words) {
  static size_t number[sizeof pages / sizeof *pages];
  for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) number[i] = i;
  return cr_make_param_array(size_t, number, sizeof pages / sizeof *pages);
}

ParameterizedTest(const size_t *i, generate_steps, words, .timeout = 600) {
  for (int64_t first = 1; first < WORDS; first += 2) run_page(pages[*i].name, pages[*i].page, first);
}

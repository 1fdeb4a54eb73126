// generate_names.c: pages with a `generate` whose inputs, routes and dims have the names that the pass `cache` would
// like to give, through every way that makes machine code: whoever runs the search finds its tensors by their roles in
// the compiled tables. The scores have the bits of the interpreter, after the first words and after each further one,
// and those of the same page under harmless names.
#include "program_ways.h"

#include "host/face_parts.h"
#include "page_support.h"

enum { WORDS = 5, SENTENCES = 2, VOCAB = 11 };

// What a page calls: the dims, two inputs, the words, its generate, a further route with its input and output, and a
// preparation of a tensor of the name of the generate.
typedef struct Names {
  const char *batch, *length, *a, *b, *words, *generate, *route, *in, *out;
} Names;

static const Names harmless = {"B", "L", "image", "map", "text", "g", "other", "x", "y"};
static const Names hostile[] = {
    {"words", "at", "last", "scores", "at", "last", "step", "start", "kept_1"},
    {"at", "last", "cache_0", "kept_0", "words", "at", "at_step", "at", "at"},
    {"scores", "words", "at", "last", "scores", "g", "g_step", "last", "scores"},
    {"last", "scores", "words", "cache_1", "cache_0", "scores", "scores_start", "kept_0", "cache_0"},
    {"cache_0", "kept_0", "states", "param", "kept_0", "cache_0", "kept_1", "words", "kept_0"},
    {"start", "step", "data", "words", "last", "words", "last", "at", "last"},
    {"steps", "next_word", "masked_word", "start", "text", "steps", "next_word", "masked_word", "steps"},
    {"given", "kept", "kept_1", "at_2", "at", "kept", "given", "prompt", "prompt"},
};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static const char *page_of(Arena *a, const Names *n) {
  return arena_printf(
      a,
      "use std\nmodel m(dim = 8, heads = 2, most = 5) {\n  dim %s = 1..4\n  dim %s = 1..most\n"
      "  route %s(%s: f32[%s, 2]) -> %s { return tanh(%s) }\n"
      "  generate %s(%s: f32[%s, 3, dim], %s: f32[%s, 2, dim]) {\n"
      "    words %s: i32[%s, %s] = next_word(start = [1], end = 2, pad = 0)\n    weight table: f32[11, dim]\n"
      "    let h = embedding(table, %s)\n    let h = h + attention_apart(h, h, heads, where = key <= query) @own\n"
      "    let h = h + attention_apart(h, tanh(%s), heads) @one\n    let h = h + attention_apart(h, %s, heads) @two\n"
      "    return affine(h, table)\n  }\n}\n",
      n->batch, n->length, n->route, n->in, n->batch, n->out, n->in, n->generate, n->a, n->batch, n->b, n->batch,
      n->words, n->batch, n->length, n->words, n->a, n->b);
}

/* one search ------------------------------------------------------------------------------------------------------ */
typedef bool EntryFn(void *ud, bool step, size_t rows, size_t length, const void *const *in, void *const *out);

// Scores after the first word and after each further one: f32[WORDS][SENTENCES][VOCAB].
static void search(const sy_info *info, EntryFn *call, void *ud, float (*scores)[SENTENCES][VOCAB]) {
  cr_assert_eq(info->ngenerate, 1);
  FaceWords w = face_words_at(info, 0);
  FaceWordsShape *shape = malloc(sizeof *shape);
  WordsInfo words;
  HostError err = {0};
  cr_assert(shape && face_words_describe(&w, shape, &words, &err), "%s", err.text);
  words.call = call;
  words.ud = ud;
  float *given_data = malloc(4096 * sizeof *given_data);
  const void *given[FACE_MAX_TENSORS] = {0};
  cr_assert(given_data);
  for (uint32_t i = 0; i < 4096; i++) given_data[i] = (float)(hash_bytes(&i, sizeof i, 2) % 1000) / 500 - 1;
  for (unsigned i = 0; i < w.start->ninput; i++)
    if (!face_words_fills(&w, i)) given[i] = given_data + w.start->input[i].axis[1].bound; // others for each
  Words *run = words_new(&words, given, &err);
  cr_assert(run, "%s", err.text);
  GenerateModel model = words_model(run);
  int32_t first[SENTENCES] = {1, 7};
  cr_assert(model.start(model.ud, SENTENCES, 1, first, &scores[0][0][0]));
  for (int64_t at = 1; at < WORDS; at++) {
    int32_t parent[SENTENCES] = {at == 3, 0}, next[SENTENCES] = {(int32_t)at + 2, (int32_t)(9 - at)};
    cr_assert(model.step(model.ud, SENTENCES, at, 1, parent, next, &scores[at][0][0]));
  }
  words_free(run);
  free(given_data);
  free(shape);
}

typedef struct Interpreted {
  const Run *r;
  size_t target;
  const sy_info *info;
} Interpreted;

static bool interpret(void *ud, bool step, size_t rows, size_t length, const void *const *in, void *const *out) {
  const Interpreted *x = ud;
  int64_t dims[MAX_DIMS] = {(int64_t)rows, (int64_t)length};
  const char *err = "";
  const sy_generate *g = x->info->generate;
  bool ok =
      program_interpret(x->r->p, step ? g->step : g->start, x->target, x->r->data, in, out, dims, NULL, NULL, &err);
  cr_assert(ok, "%s", err);
  return ok;
}

typedef struct Compiled {
  const sy_model *m;
  void *ctx;
} Compiled;

static bool call_compiled(void *ud, bool step, size_t rows, size_t length, const void *const *in, void *const *out) {
  const Compiled *x = ud;
  size_t dims[MAX_DIMS] = {rows, length};
  const sy_generate *g = x->m->info->generate;
  return x->m->call(x->ctx, step ? g->step : g->start, dims, in, out) == SY_OK;
}

static float expected[MAX_TARGETS][WORDS][SENTENCES][VOCAB]; // of the harmless page, by target
static bool known[MAX_TARGETS];

static void look(const Run *r, const sy_model *m, size_t target, const char *way) {
  static float want[WORDS][SENTENCES][VOCAB], got[WORDS][SENTENCES][VOCAB];
  search(m->info, interpret, &(Interpreted){r, target, m->info}, want);
  sy_map map = {0};
  cr_assert_eq(sy_map_open(&map, r->weights, 0), SY_OK);
  size_t bytes = m->arena_bytes(1);
  void *arena = aligned_alloc(SY_ALIGN, (bytes + SY_ALIGN - 1) / SY_ALIGN * SY_ALIGN), *ctx = NULL;
  sy_config config = {SY_ABI_VERSION, map.data, map.bytes, arena, bytes, NULL, r->p->target[target]->name};
  cr_assert_eq(m->init(&ctx, &config), SY_OK);
  search(m->info, call_compiled, &(Compiled){m, ctx}, got);
  cr_expect(!memcmp(want, got, sizeof got), "%s through %s: not the bits of the interpreter", r->what, way);
  if (!known[target]) memcpy(expected[target], want, sizeof want), known[target] = true;
  cr_expect(!memcmp(expected[target], want, sizeof want), "%s: not the scores of the harmless page", r->what);
  free(arena);
  sy_map_close(&map);
}

static void run_page(const Names *n, const char *dir, unsigned with, uint32_t number) {
  Arena a = {0};
  const char *page = page_of(&a, n);
  const Target *t[MAX_TARGETS];
  size_t ntarget = host_targets(t); // the best one that runs here
  while (ntarget > 1 && !sy_cpu_runs(t[ntarget - 1]->name)) ntarget--;
  Run r = {.a = &a, .what = arena_printf(&a, "page %u, generate %s", number, n->generate)};
  r.p = lower_for(page_compile(&a, page), t + ntarget - 1, 1);
  cr_assert_eq(r.p->route.n, 3);
  ways_run(&r, dir, with, number, look);
  arena_free(&a);
}

// Names that the compiler gives are for people: nobody compares with them. (rgb = last is an option of pictures.)
Test(generate_names, nobody_looks_for_them) {
  int status = system("cd " SOURCE_DIR " && ! grep -rnE --include='*.[chyl]' 'str(n?cmp|n?casecmp|str)\\([^;]*"
                      "\"(words|at|last|scores|steps?|start|_start|_step|cache_|kept_|next_word|masked_word)[=\"0-9%]' "
                      "ir passes codegen frontend host driver runtime | grep -v rgb_last >&2");
  cr_expect_eq(status, 0, "a name of a port is compared with");
}

Test(generate_names, any_name, .timeout = 3000) {
  Arena a = {0};
  unsigned all = 0;
  const char *dir = ways_folder(&a, &all);
  run_page(&harmless, dir, all & 1, 100);
  for (uint32_t i = 0; i < HOSTILE; i++) run_page(&hostile[i], dir, all & (1u << i % COMPILERS), i);
  cr_expect(known[0], "neither LLVM nor a C compiler is there");
  ways_remove(dir);
  arena_free(&a);
}

// models_other.c: the model pages at sizes nobody published: odd image sizes with a remainder, one head and many,
// widths that are no multiple of a vector, one layer, short texts, every batch. Kernels of every target in the
// interpreter against the reference evaluator, all routes.
#include "program_check.h"

#ifndef SY_SOURCE_DIR
#define SY_SOURCE_DIR "."
#endif

typedef struct Config {
  const char *spec;       // FILE, whose model is called like it, or FILE:MODEL
  const char *define[24]; // NAME, VALUE, ..., NULL; the name --dim: the largest L, behind the others
  int64_t batch, texts, length;
} Config;

#define VLMO                                                                                                           \
  "size", "24", "patch", "8", "dim", "16", "depth", "3", "heads", "2", "ffn", "24", "vl", "2", "vocab", "30",          \
      "answers", "5"

static const Config configs[] = {
    {"vit", {"size", "35", "patch", "8", "dim", "24", "depth", "1", "heads", "3"}, 1, 0, 0},
    {"vit", {"size", "20", "patch", "5", "dim", "20", "depth", "2", "heads", "5", "classes", "3"}, 3, 0, 0},
    {"vit", {"size", "16", "patch", "16", "dim", "64", "depth", "1", "heads", "1", "classes", "17"}, 2, 0, 0},
    {"vit", {"size", "64", "patch", "8", "dim", "48", "depth", "1", "heads", "2", "ffn", "50"}, 2, 0, 0},
    {"vit_timm", {"size", "33", "patch", "4", "dim", "36", "depth", "2", "heads", "6", "classes", "5"}, 2, 0, 0},
    {"vit_timm", {"size", "32", "patch", "8", "dim", "128", "depth", "1", "heads", "2", "eps", "1e-3"}, 5, 0, 0},
    {"beit", {"size", "35", "patch", "8", "dim", "24", "depth", "2", "heads", "3", "vocab", "11"}, 2, 0, 0},
    {"beit", {"height", "24", "width", "40", "patch", "8", "dim", "48", "depth", "1", "vocab", "9"}, 3, 0, 0},
    {"beit2", {"size", "24", "patch", "8", "dim", "24", "depth", "3", "early", "1", "vocab", "10"}, 2, 0, 0},
    {"uniter",
     {"dim", "24", "depth", "1", "heads", "3", "vocab", "40", "features", "17", "region_classes", "5"},
     2,
     0,
     7},
    {"brivl",
     {"channels", "20", "map", "3", "pixels", "66", "wide", "10", "deep", "10", "layers", "1", "text_dim", "12",
      "text_depth", "1", "vocab", "40"},
     3,
     2,
     9},
    {"clip", {"size", "24", "patch", "8", "dim", "24", "depth", "1", "heads", "2", "vocab", "40"}, 2, 3, 7},
    {"clip", {"size", "17", "patch", "4", "dim", "40", "depth", "2", "heads", "5", "embed", "9"}, 1, 1, 1},
    {"clip",
     {"size", "16", "patch", "8", "text_dim", "36", "text_depth", "2", "text_heads", "3", "max_text", "19"},
     3,
     2,
     19},
    {"clip",
     {"size", "16", "patch", "8", "text_dim", "64", "text_heads", "1", "max_text", "50", "embed", "33"},
     2,
     4,
     33},
    {"clip:clip_resnet",
     {"size",   "32", "dim",      "6",  "depth1",     "1", "depth2",     "1", "depth3", "2",
      "depth4", "1",  "text_dim", "24", "text_depth", "1", "text_heads", "2", "vocab",  "40"},
     2,
     1,
     5},
    {"clip:clip_resnet",
     {"size",   "96", "dim",      "2",  "depth1",     "1", "depth2", "2", "depth3", "1",
      "depth4", "1",  "text_dim", "16", "text_depth", "1", "heads",  "4", "vocab",  "40"},
     1,
     1,
     3},
    {"align",
     {"size", "64", "resize", "64", "wide", "10", "deep", "10", "text_dim", "20", "text_depth", "1", "text_heads", "2",
      "text_ffn", "30", "vocab", "40"},
     2,
     3,
     5},
    {"align",
     {"size", "35", "wide", "30", "deep", "40", "text_dim", "16", "text_depth", "1", "text_heads", "1", "text_ffn", "8",
      "vocab", "40", "eps", "1e-2"},
     1,
     1,
     1},
    // fewer words than the page has room for: what is laid out by the bound of L moves
    {"vlmo", {VLMO, "max_text", "7", "--dim", "4"}, 2, 1, 3},
    {"vlmo", {VLMO, "max_text", "7", "--dim", "1"}, 1, 2, 1},
    {"vlmo", {VLMO, "max_text", "1"}, 1, 2, 1},
    {"uniter", {"dim", "24", "depth", "1", "heads", "3", "vocab", "40", "features", "17", "--dim", "5"}, 2, 0, 3},
    {"uniter", {"dim", "24", "depth", "1", "heads", "3", "vocab", "40", "features", "17", "--dim", "1"}, 2, 0, 1},
    {"vl_bert",
     {"dim", "24", "depth", "1", "heads", "3", "vocab", "40", "features", "17", "types", "30", "--dim", "3"},
     2,
     0,
     2},
};

static const char *find_model(void *ud, const char *name, size_t *n, const char **path) {
  const char *err;
  (void)path;
  return file_read(ud, arena_printf(ud, "%s/models/%s.sy", SY_SOURCE_DIR, name), n, &err);
}

static Module *compile(const Config *c, Arena *a, Intern *names, Diag *d) {
  const char *entry = strchr(c->spec, ':') ? strchr(c->spec, ':') + 1 : c->spec, *err = "";
  int file = (int)strcspn(c->spec, ":");
  const char *path = arena_printf(a, "%s/models/%.*s.sy", SY_SOURCE_DIR, file, c->spec);
  const char *name[12], *value[12];
  size_t n = 0, size;
  for (; n < 12 && c->define[2 * n]; n++) name[n] = c->define[2 * n], value[n] = c->define[2 * n + 1];
  if (!strcmp(c->spec, "clip")) { // keep the rest of CLIP small
    const char *small[][2] = {{"text_depth", "1"}, {"vocab", "60"}, {"depth", "1"}};
    for (size_t i = 0; i < 3; i++) {
      bool given = false;
      for (size_t k = 0; k < n; k++) given = given || !strcmp(name[k], small[i][0]);
      if (!given) name[n] = small[i][0], value[n++] = small[i][1];
    }
  }
  char *text = file_read(a, path, &size, &err);
  cr_assert(text, "%s: %s", path, err);
  FrontDim narrow = {.name = "L"};
  bool narrowed = n && !strcmp(name[n - 1], "--dim");
  if (narrowed) narrow.most = strtoll(value[--n], NULL, 10);
  FrontOptions o = {.entry_or_preset = entry,
                    .define_name = name,
                    .define_value = value,
                    .ndefine = n,
                    .dim = &narrow,
                    .ndim = narrowed,
                    .find = find_model,
                    .ud = a};
  Module *m = front_compile(a, names, d, path, text, size, &o);
  Buf why = {0};
  diag_print(d, &why, false);
  cr_assert(m, "%s", why.s ? why.s : path);
  cr_expect_eq(narrow.found, narrowed);
  buf_free(&why);
  return m;
}

static void set_dims(const Config *c, const Module *m, int64_t *dims) {
  for (size_t i = 0; i < m->ndim; i++) {
    int64_t v = !strcmp(m->dim[i].name, "B") ? c->batch : !strcmp(m->dim[i].name, "T") ? c->texts : c->length;
    dims[i] = v > m->dim[i].lo ? (v < m->dim[i].hi ? v : m->dim[i].hi) : m->dim[i].lo;
  }
}

Test(models, other_sizes, .timeout = 240) {
  for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
    Arena a = {0};
    Intern names = {.arena = &a};
    Diag d;
    diag_init(&d, &a);
    Module *m = compile(&configs[c], &a, &names, &d);
    int64_t dims[MAX_DIMS] = {0};
    set_dims(&configs[c], m, dims);
    Want want[12];
    cr_assert(m->graph.n <= 12);
    for (size_t r = 0; r < m->graph.n; r++) reference(&a, m->graph.at[r], dims, 30, &want[r]);
    Program *p = lower_all(m);
    char *data = pack_all(p, &a);
    for (size_t r = 0; r < p->route.n; r++)
      for (size_t t = 0; t < p->ntarget; t++)
        compare(p, r, t, data, dims, &want[r], arena_printf(&a, "config %zu (%s)", c, configs[c].spec), 2e-5);
    arena_free(&a);
  }
}

// Batch norms are weight arithmetic: a kernel that takes a root or divides by one would be left of it.
Test(models, batch_norm_is_folded) {
  for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
    if (strcmp(configs[c].spec, "clip:clip_resnet") && strcmp(configs[c].spec, "align") &&
        strcmp(configs[c].spec, "brivl"))
      continue;
    Arena a = {0};
    Intern names = {.arena = &a};
    Diag d;
    diag_init(&d, &a);
    Module *m = compile(&configs[c], &a, &names, &d);
    lower_all(m);
    size_t roots = 0;
    for (size_t r = 0; r < m->graph.n; r++)
      for (size_t i = 1; i < m->graph.at[r]->value.n; i++) {
        const Value *v = &m->graph.at[r]->value.at[i];
        roots += v->op == OP_sqrt;
        cr_expect(v->op != OP_sqrt || !v->group, "a square root is taken at run time");
      }
    cr_expect_gt(roots, 10u);
    arena_free(&a);
  }
}

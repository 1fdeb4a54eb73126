// models_other.c: the model pages at sizes nobody published: odd image sizes with a remainder, one head and many,
// widths that are no multiple of a vector, one layer, short texts, every batch. Kernels of every target in the
// interpreter against the reference evaluator, all routes.
#include "driver/check.h"
#include "random_graph.h"

#include <math.h>
#include <stdlib.h>

#ifndef SY_SOURCE_DIR
#define SY_SOURCE_DIR "."
#endif

typedef struct Config {
  const char *file;
  const char *define[12]; // NAME, VALUE, ..., NULL
  int64_t batch, texts, length;
} Config;

static const Config configs[] = {
    {"vit", {"size", "35", "patch", "8", "dim", "24", "depth", "1", "heads", "3"}, 1, 0, 0},
    {"vit", {"size", "20", "patch", "5", "dim", "20", "depth", "2", "heads", "5", "classes", "3"}, 3, 0, 0},
    {"vit", {"size", "16", "patch", "16", "dim", "64", "depth", "1", "heads", "1", "classes", "17"}, 2, 0, 0},
    {"vit", {"size", "64", "patch", "8", "dim", "48", "depth", "1", "heads", "2", "ffn", "50"}, 2, 0, 0},
    {"vit_timm", {"size", "33", "patch", "4", "dim", "36", "depth", "2", "heads", "6", "classes", "5"}, 2, 0, 0},
    {"vit_timm", {"size", "32", "patch", "8", "dim", "128", "depth", "1", "heads", "2", "eps", "1e-3"}, 5, 0, 0},
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
};

static const char *find_model(void *ud, const char *name, size_t *n, const char **path) {
  const char *err;
  (void)path;
  return file_read(ud, arena_printf(ud, "%s/models/%s.sy", SY_SOURCE_DIR, name), n, &err);
}

static Module *compile(const Config *c, Arena *a, Intern *names, Diag *d) {
  const char *path = arena_printf(a, "%s/models/%s.sy", SY_SOURCE_DIR, c->file), *err = "";
  const char *name[12], *value[12];
  size_t n = 0, size;
  for (; n < 6 && c->define[2 * n]; n++) name[n] = c->define[2 * n], value[n] = c->define[2 * n + 1];
  if (!strcmp(c->file, "clip")) { // keep the rest of CLIP small
    const char *small[][2] = {{"text_depth", "1"}, {"vocab", "60"}, {"depth", "1"}};
    for (size_t i = 0; i < 3; i++) {
      bool given = false;
      for (size_t k = 0; k < n; k++) given = given || !strcmp(name[k], small[i][0]);
      if (!given) name[n] = small[i][0], value[n++] = small[i][1];
    }
  }
  char *text = file_read(a, path, &size, &err);
  cr_assert(text, "%s: %s", path, err);
  FrontOptions o = {.entry_or_preset = c->file,
                    .define_name = name,
                    .define_value = value,
                    .ndefine = n,
                    .find = find_model,
                    .ud = a};
  Module *m = front_compile(a, names, d, path, text, size, &o);
  Buf why = {0};
  diag_print(d, &why, false);
  cr_assert(m, "%s", why.s ? why.s : path);
  buf_free(&why);
  return m;
}

static bool value_in(void *ud, const char *name, const Type *t, Tensor *out) {
  (void)ud;
  if (t->dtype == DT_I32) { // ids: the largest stands once, somewhere
    for (size_t i = 0; i < out->n; i++) out->i[i] = (int32_t)(hash_bytes(&i, sizeof i, 3) % 30);
    return true;
  }
  fill(NULL, name, t, out);
  double scale = strstr(name, "weight") && out->rank == 2 ? sqrt(3.0 / (double)out->dim[1]) : 1;
  for (size_t i = 0; i < out->n; i++)
    out->f[i] = (double)(float)(out->f[i] * scale + (out->rank == 1 && strstr(name, "weight")));
  return true;
}
static bool weight_in(void *ud, const char *name, const Type *t, Tensor *out, const char **err) {
  (void)err;
  return value_in(ud, name, t, out);
}

static void set_dims(const Config *c, const Module *m, int64_t *dims) {
  for (size_t i = 0; i < m->ndim; i++) {
    int64_t v = !strcmp(m->dim[i].name, "B") ? c->batch : !strcmp(m->dim[i].name, "T") ? c->texts : c->length;
    dims[i] = v > m->dim[i].lo ? (v < m->dim[i].hi ? v : m->dim[i].hi) : m->dim[i].lo;
  }
}

// A dense tensor in the caller's layout (strides by upper bounds), as the type the C API takes.
static void *caller_buffer(Arena *a, const Module *m, const Type *t, const int64_t *dims, const Tensor *dense) {
  Layout l = layout_of(a, m, t, dims, NULL);
  void *buffer = arena_alloc(a, (size_t)type_bytes(m, t) + 64);
  if (!dense) return buffer;
  float *f = ARENA_ARRAY(a, float, dense->n);
  for (size_t i = 0; t->dtype == DT_F32 && i < dense->n; i++) f[i] = (float)dense->f[i];
  layout_store(&l, t->dtype == DT_F32 ? (void *)f : (void *)dense->i, buffer);
  return buffer;
}

typedef struct Want {
  size_t n;
  Tensor in[4], out[4];
} Want;

static void reference(Arena *a, const Graph *g, const int64_t *dims, Want *w) {
  EvalEnv env = {.arena = a, .weight = value_in, .input = value_in};
  memcpy(env.dim, dims, sizeof env.dim);
  Val want[8];
  size_t nin = g->input.n, nout = g->output.n;
  for (size_t i = 0; i < nin; i++) want[i] = g->input.at[i].val;
  for (size_t i = 0; i < nout; i++) want[nin + i] = g->output.at[i].val;
  Tensor got[8];
  cr_assert(graph_eval(g, &env, want, nin + nout, got), "%s", env.error);
  memcpy(w->in, got, nin * sizeof *got);
  memcpy(w->out, got + nin, nout * sizeof *got);
  w->n = nout;
}

static void compare(const Program *p, size_t route, size_t target, const char *weights, const int64_t *dims,
                    const Want *w, const char *what) {
  Arena a = {0};
  const Graph *g = p->route.at[route].graph;
  const void *in[4];
  void *out[4];
  for (size_t i = 0; i < g->input.n; i++)
    in[i] = caller_buffer(&a, p->module, &graph_value(g, g->input.at[i].val)->type, dims, &w->in[i]);
  for (size_t i = 0; i < w->n; i++)
    out[i] = caller_buffer(&a, p->module, &graph_value(g, g->output.at[i].val)->type, dims, NULL);
  const char *err = "";
  cr_assert(program_interpret(p, route, target, weights, in, out, dims, NULL, NULL, &err), "%s: %s", what, err);
  for (size_t i = 0; i < w->n; i++) {
    const Type *t = &graph_value(g, g->output.at[i].val)->type;
    Layout l = layout_of(&a, p->module, t, dims, NULL);
    float *got = ARENA_ARRAY(&a, float, w->out[i].n);
    layout_load(&l, out[i], got);
    double most = 0, worst = 0;
    for (size_t k = 0; k < w->out[i].n; k++) {
      double d = fabs((double)got[k] - w->out[i].f[k]);
      if (fabs(w->out[i].f[k]) > most) most = fabs(w->out[i].f[k]);
      if (!(d <= worst)) worst = d;
    }
    cr_expect(worst <= 2e-5 * most + 1e-6, "%s, @%s %s on %s: off by %g of %g", what, g->name, g->output.at[i].name,
              p->target[target]->name, worst, most);
  }
  arena_free(&a);
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
    Want want[8];
    cr_assert(m->graph.n <= 8);
    for (size_t r = 0; r < m->graph.n; r++) reference(&a, m->graph.at[r], dims, &want[r]);
    PassOptions o = {.verify = true};
    cr_assert(passes_run(m, &o));
    const Target *all[MAX_TARGETS];
    size_t n = 0;
    for (; targets[n]; n++) all[n] = targets[n];
    Program *p = program_lower(m, all, n);
    cr_assert(p);
    WeightSource src = {.get = weight_in};
    char *data = arena_alloc(&a, p->weight_bytes + 64);
    const char *err = "";
    for (size_t i = 0; i < p->weight.n; i++)
      cr_assert(pack_weight(p, &p->weight.at[i], &src, data + p->weight.at[i].offset, &err), "%s", err);
    for (size_t r = 0; r < p->route.n; r++)
      for (size_t t = 0; t < n; t++)
        compare(p, r, t, data, dims, &want[r], arena_printf(&a, "config %zu (%s)", c, configs[c].file));
    arena_free(&a);
  }
}

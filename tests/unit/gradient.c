// gradient.c: the pass `gradient` against differences, in double precision by the reference evaluator.
//
// Each page below has an objective whose loss is a sum of what an operator makes of weights, times fixed factors. With
// all weights moved by h along a direction d, (f(w + h d) - f(w - h d)) / 2h must be <gradient, d>. Every operator that
// has a gradient rule stands in one of them.
#include "frontend/frontend.h"
#include "program_check.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct Page {
  const char *name, *body; // body of the objective: from weights and the inputs c, ids to y
  const char *fixed;       // objective inputs beside c, or ""
} Page;

// The dims: B = 3 rows, L = 4 of at most 6 words.
static const Page pages[] = {
    {"arithmetic", "weight a: f32[4, 5]\nweight b: f32[5]\nlet y = -(a * b + a / (b + 3.0) - b)", ""},
    {"both sides stretched", "weight a: f32[4, 1]\nweight b: f32[1, 5]\nlet y = a * b + b", ""},
    {"a number", "weight s: f32\nweight a: f32[2, 3]\nlet y = a * exp(s) / s", ""},
    {"the same twice", "weight a: f32[3, 4]\nlet y = a * a - a", ""},
    {"functions", "weight a: f32[4, 5]\nlet y = exp(a) + log(a + 4.0) + sqrt(a + 4.0) + tanh(a) + sigmoid(a)", ""},
    {"kinks", "weight a: f32[4, 5]\nweight b: f32[4, 5]\nlet y = relu(a) + max(a, b) + min(a, 0.25)", ""},
    {"waves", "weight a: f32[4, 5]\nlet y = sin(a) * cos(a * 3.0) + abs(a) + floor(a) + silu(a)", ""},
    {"clamped", "weight a: f32[4, 5]\nlet y = clamp(a, -0.5, 0.75) * a", ""},
    {"activations", "weight a: f32[4, 5]\nlet y = gelu(a) + gelu_tanh(a) + quick_gelu(a) + swish(a)", ""},
    {"chosen", "weight a: f32[4, 5]\nweight b: f32[5]\nlet y = select(a > b, a * 2.0, b * a)", ""},
    {"cast", "weight a: f32[4, 5]\nlet y = cast(a, f32) * cast(a > 0.0, f32)", ""},
    {"linear", "weight w: f32[6, 5]\nweight b: f32[6]\nweight x: f32[3, 4, 5]\nlet y = affine(x, w, b)", ""},
    {"linear transposed", "weight w: f32[5, 6]\nweight x: f32[4, 5]\nlet y = affine(x, w, transposed = true)", ""},
    {"matmul", "weight a: f32[2, 3, 4]\nweight b: f32[2, 4, 5]\nlet y = matmul(a, b)", ""},
    {"matmul transposed", "weight a: f32[2, 3, 4]\nweight b: f32[2, 5, 4]\nlet y = matmul(a, b, transposed = true)",
     ""},
    {"matmul shared",
     "weight a: f32[2, 3, 4]\nweight b: f32[4, 5]\nweight d: f32[6, 5]\n"
     "let y = matmul(matmul(a, b), d, transposed = true)",
     ""},
    {"norm", "weight x: f32[3, 7]\nweight g: f32[7]\nweight b: f32[7]\nlet y = layer_norm(x, g, b, eps = 0.01)", ""},
    {"norm of sentences",
     "weight x: f32[2, 3, 7]\nweight g: f32[7]\nweight b: f32[7]\nlet y = layer_norm(x, g, b, eps = 0.01)", ""},
    {"norm over segments",
     "weight w: f32[7, 4]\nweight p: f32[2, 4]\nweight g: f32[4]\nweight b: f32[4]\n"
     "let words = embedding(w, ids) as language\n"
     "let x = concat(words, broadcast(p, [B, 2, 4]) as vision)\n"
     "let y = reduce_sum(layer_norm(x, g, b, eps = 0.01)[:, language] * 0.5)\nlet y = y + reduce_sum(layer_norm(x, g, "
     "b, eps = 0.01)[:, vision][:, 1:2])",
     ", ids: i32[B, L]"},
    {"norm of sentences without shift",
     "weight x: f32[2, 3, 7]\nweight g: f32[7]\nlet y = layer_norm(x, g, eps = 0.01)", ""},
    {"norm plain", "weight x: f32[2, 3, 7]\nlet y = layer_norm(x, eps = 1e-5)", ""},
    {"norm without shift", "weight x: f32[3, 7]\nweight g: f32[7]\nlet y = layer_norm(x, g, eps = 0.01)", ""},
    {"root of mean square",
     "weight x: f32[3, 7]\nweight g: f32[7]\nlet y = rms_norm(x, g, eps = 0.01) + rms_norm(x, eps = 1.0)", ""},
    {"other axes",
     "weight x: f32[3, 4, 7]\nlet y = softmax(x, axis = 1) + reduce_mean(x, axis = 0) + log_softmax(x, axis = -2) + "
     "reduce_max(x, axis = 1)",
     ""},
    {"length", "weight x: f32[3, 7]\nlet y = l2_norm(x, eps = 0.5) + l2_norm(x * 0.01, eps = 0.5)", ""},
    {"softmax", "weight x: f32[3, 7]\nlet y = softmax(x) + log_softmax(x * 2.0)", ""},
    {"reductions", "weight x: f32[3, 7]\nlet y = x * reduce_sum(x) + reduce_max(x)", ""},
    {"attention",
     "weight q: f32[2, 3, 8]\nweight k: f32[2, 5, 8]\nweight v: f32[2, 5, 6]\n"
     "let y = attention(q, k, v, heads = 2)",
     ""},
    {"attention itself", "weight x: f32[2, 5, 8]\nlet y = attention(x, x, x, heads = 2, where = key <= query)", ""},
    {"attention hidden",
     "weight x: f32[2, 3, 4]\n"
     "let y = attention(x, x, x, heads = 2, where = mask[key], masked = -1.5)",
     ", mask: bool[2, 3]"},
    {"attention none seen",
     "weight x: f32[2, 3, 4]\nlet y = attention(x, x, x, heads = 1, where = mask[key] and key < query)",
     ", mask: bool[2, 3]"},
    {"rotated",
     "weight x: f32[2, 3, 20]\nlet a = cast(reshape(range(12), [3, 4]), f32)\n"
     "let y = rotate(x, cos(a), sin(a), heads = 2) + rotate(x, cos(a), sin(a), heads = 2, interleaved = true)",
     ""},
    {"attention shared",
     "weight q: f32[2, 3, 8]\nweight k: f32[2, 3, 4]\nweight v: f32[2, 3, 6]\n"
     "let y = attention(q, k, v, heads = 4, kv_heads = 2, where = key <= query and key > query - 2)",
     ""},
    {"attention bias",
     "weight x: f32[2, 3, 4]\nweight t: f32[2, 3, 3]\nlet y = attention(x, x, x, heads = 2, bias = t)", ""},
    {"attention dropped",
     "weight q: f32[2, 3, 8]\nweight k: f32[2, 5, 8]\nweight v: f32[2, 5, 12]\nweight t: f32[2, 3, 5]\n"
     "let y = attention(q, k, v, heads = 2, where = mask[key], masked = -1.5, bias = t, dropout = 0.3)\n"
     "let y = y + attention(q, k, v, heads = 2, bias = t, dropout = 0.6) + attention(q, k, v, heads = 2, dropout = "
     "0.0)",
     ", mask: bool[2, 5]"},
    {"attention dropped, its last rows",
     "weight x: f32[2, 6, 8]\nlet y = attention(x, x, x, heads = 4, kv_heads = 4, where = key <= query, dropout = "
     "0.4)\n"
     "let y = y[:, 2:5] * 2.0",
     ""},
    {"attention dropped along L",
     "weight w: f32[7, 4]\n"
     "let x = concat(broadcast(w[0:2], [B, 2, 4]) as vision, embedding(w, ids) as language)\n"
     "let y = attention(x, x, x, heads = 2, where = key is vision or query is language, dropout = 0.5)\n"
     "let y = y[:, vision] * reduce_sum(y[:, language][:, 0:1])",
     ", ids: i32[B, L]"},
    {"attention along L", "weight w: f32[7, 6]\nlet x = embedding(w, ids)\nlet y = attention(x, x, x, heads = 3)",
     ", ids: i32[B, L]"},
    {"embedding", "weight w: f32[7, 4]\nlet y = embedding(w, ids) * embedding(w, ids)", ", ids: i32[B, L]"},
    {"embedding of blocks", "weight w: f32[7, 2, 2]\nlet y = reshape(embedding(w, ids), [B, 4])", ", ids: i32[B]"},
    {"rows", "weight x: f32[2, 7, 4]\nlet y = gather_rows(x, ids)", ", ids: i32[2]"},
    {"several rows", "weight x: f32[2, 7, 4]\nlet y = gather_rows(x, ids)", ", ids: i32[2, 3]"},
    {"views",
     "weight x: f32[2, 3, 4]\nlet t = transpose(x, [2, 0, 1])\nlet y = reshape(t, [4, 6]) * reshape(x, [4, 6])", ""},
    {"stretched", "weight x: f32[1, 4]\nlet y = broadcast(x, [3, 4]) * broadcast(reshape(x, [4]), [3, 4])", ""},
    {"slices", "weight x: f32[3, 8]\nlet y = x[:, 0:3] * x[:, 5:8] + x[:, 2:5]", ""},
    {"slices with a gap", "weight x: f32[3, 8]\nlet y = x[:, 1:3] * x[:, 5:7]", ""},
    {"one place", "weight x: f32[3, 4, 2]\nlet y = x[:, 0] * x[:, 3]", ""},
    {"a prefix", "weight t: f32[6, 4]\nlet y = broadcast(t[0:L], [B, L, 4])", ""},
    {"parts", "weight a: f32[3, 2]\nweight b: f32[3, 5]\nlet y = concat(a, b, a)", ""},
    {"parts of rows", "weight a: f32[2, 4]\nweight b: f32[4]\nlet y = concat(a, reshape(b, [1, 4]), axis = 0)", ""},
    {"segments",
     "weight w: f32[7, 4]\nweight p: f32[2, 4]\n"
     "let words = embedding(w, ids) as language\n"
     "let x = concat(broadcast(p, [B, 2, 4]) as vision, words)\n"
     "let y = x[:, vision] * x[:, language][:, 0:1] + reduce_sum(x[:, language][:, 0:1])",
     ", ids: i32[B, L]"},
    {"segments in the other order",
     "weight w: f32[7, 4]\nweight p: f32[2, 4]\nweight g: f32[4]\n"
     "let words = embedding(w, ids) as language\n"
     "let x = concat(words, broadcast(p, [B, 2, 4]) as vision) * g\n"
     "let z = attention(x, x, x, heads = 2)\n"
     "let y = z[:, vision]",
     ", ids: i32[B, L]"},
    {"windows", "weight x: f32[2, 5, 6, 3]\nlet y = reshape(windows(x, [2, 3]), [2, 16, 18])", ""},
    {"windows apart", "weight x: f32[2, 6, 9, 2]\nlet y = reshape(windows(x, [3, 2], [2, 3]), [2, 6, 12])", ""},
    {"windows dilated",
     "weight x: f32[2, 6, 9, 2]\nlet y = reshape(windows(x, [3, 2], [1, 2], dilation = [2, 3]), [2, 6, 12])", ""},
    {"depthwise dilated",
     "weight x: f32[2, 6, 9, 3]\nweight k: f32[3, 2, 3]\n"
     "let y = reshape(depthwise(x, k, stride = [1, 2], dilation = [2, 3]), [2, 6, 3])",
     ""},
    {"steps", "weight x: f32[2, 7, 5]\nlet y = x[:, 0::3, ::2] * 2.0 + pad(x[:, ::4, 1:4], 1, 1, 0)", ""},
    {"groups and pools",
     "weight x: f32[2, 5, 4, 8]\nweight k: f32[16, 2, 3, 3]\nweight b: f32[16]\n"
     "let z = average_pool(convolve(x, k, b, pad = 2, dilation = 2, groups = 4), 3, 2, 1, counted = false)\n"
     "let y = reshape(max_pool(z, 2, 1), [2, 2, 16])",
     ""},
    {"mask of queries and keys",
     "weight x: f32[2, 5, 8]\nlet at = reshape(range(5), [5, 1]) * 3 + reshape(range(5), [1, 5])\n"
     "let m = broadcast(reshape(at - at / 4 * 4 != 1, [1, 5, 5]), [2, 5, 5])\n"
     "let y = attention(x, x, x, heads = 2, where = m[query, key])",
     ""},
    {"windows with gaps", "weight x: f32[1, 7, 8, 2]\nlet y = reshape(windows(x, [1, 2], [3, 3]), [1, 9, 4])", ""},
    {"convolution",
     "weight x: f32[2, 5, 4, 3]\nweight k: f32[6, 3, 3, 3]\nweight b: f32[6]\n"
     "let y = reshape(relu(convolve(x, k, b, stride = 2, pad = 1)), [2, 6, 6])",
     ""},
    {"depthwise",
     "weight x: f32[2, 5, 6, 3]\nweight k: f32[2, 3, 3]\nweight b: f32[3]\n"
     "let y = reshape(depthwise(x, k, b), [2, 16, 3])",
     ""},
    {"depthwise apart",
     "weight x: f32[2, 6, 9, 3]\nweight k: f32[3, 2, 3]\nlet y = reshape(depthwise(x, k, stride = [2, 3]), [2, 6, 3])",
     ""},
    {"scores of labels",
     "weight x: f32[3, 4, 5]\nweight w: f32[40, 5]\nweight b: f32[40]\n"
     "let y = row_losses(affine(x, w, b), ids, ignore = 3, smoothing = 0.25)",
     ", ids: i32[3, 4]"},
    {"scores of labels along L",
     "weight w: f32[7, 4]\nlet y = row_losses(affine(embedding(w, ids), w), ids, ignore = 2)", ", ids: i32[B, L]"},
    {"scores of all rows",
     "weight x: f32[3, 5]\nweight w: f32[20, 5]\nlet z = log_softmax(affine(x, w))\n"
     "let y = reshape(pick(z, ids), [3, 1]) * reduce_sum(z) + 1.0",
     ", ids: i32[3]"},
    {"dropped", "weight a: f32[6, 4]\nlet y = dropout(a, 0.4) * drop_path(a, 0.3) + dropout(a, 0.0)", ""},
    {"dropped along L",
     "weight w: f32[7, 4]\n"
     "let x = concat(broadcast(w[0:2], [B, 2, 4]) as vision, embedding(w, ids) as language)\n"
     "let y = dropout(x, 0.5)[:, vision] * drop_path(dropout(embedding(w, ids), 0.25), 0.5)[:, 0:1]",
     ", ids: i32[B, L]"},
    {"drawn",
     "weight w: f32[5, 4]\nlet x = embedding(w, ids)\nlet y = x * embedding(x, draw(softmax(stop(matmul(x, x, "
     "transposed = true)))))",
     ", ids: i32[B]"},
    {"stopped", "weight a: f32[3, 4]\nlet y = a * stop(a) + stop(exp(a))", ""},
};
enum { NPAGES = sizeof pages / sizeof *pages };

static const char *find(void *ud, const char *name, size_t *n, const char **path) {
  const char *err;
  (void)path;
  return file_read(ud, arena_printf(ud, "%s/models/%s.sy", SY_SOURCE_DIR, name), n, &err);
}

// Numbers by name and place, in (-1, 1) and away from 0.
static double number(const char *name, size_t i) {
  uint64_t h = hash_bytes(name, strlen(name), 77 + i);
  double x = (double)(h >> 11) * 0x1p-53;
  return h & 1 ? 0.1 + 0.9 * x : -0.1 - 0.9 * x;
}

typedef struct World {
  Arena arena;
  Intern names;
  Diag diag;
  Module *m;
  EvalEnv env;
  double h; // how far the weights are moved along their direction
} World;

static bool weight_at(void *ud, const char *name, const Type *t, Tensor *out) {
  const World *b = ud;
  (void)t;
  for (size_t i = 0; i < out->n; i++) out->f[i] = number(name, i) + b->h * number(name, i + 1000);
  return true;
}

static bool input_at(void *ud, const char *name, const Type *t, Tensor *out) {
  (void)ud, (void)t;
  for (size_t i = 0; i < out->n; i++) {
    double x = number(name, i);
    if (out->dtype == DT_I32) out->i[i] = (int32_t)((x + 1) * 3.4);
    if (out->dtype == DT_BOOL) out->b[i] = x > 0 && i % 3 != 2;
    if (out->dtype == DT_F32) out->f[i] = x;
  }
  return true;
}

static void world_begin(World *b, const char *text, bool gradients) {
  *b = (World){0};
  b->names.arena = &b->arena;
  diag_init(&b->diag, &b->arena);
  const char *objective = "fit";
  FrontOptions o = {.objectives = &objective, .nobjectives = 1, .find = find, .ud = &b->arena, .draws = true};
  b->m = front_compile(&b->arena, &b->names, &b->diag, "page.sy", text, strlen(text), &o);
  static const Train train = {0};
  if (b->m && gradients) b->m->train = &train;
  PassOptions p = {.stop_after = "gradient", .verify = true, .logits = 1};
  bool ok = b->m && passes_run(b->m, &p);
  Buf said = {0};
  diag_print(&b->diag, &said, false);
  cr_assert(ok, "%s\n%s", text, said.s ? said.s : "");
  buf_free(&said);
  b->env = (EvalEnv){.arena = &b->arena, .dim = {3, 4}, .weight = weight_at, .input = input_at, .ud = b};
}

static double loss_at(World *b, double h) {
  const Graph *g = b->m->graph.at[0];
  Tensor out;
  b->h = h;
  cr_assert(graph_eval(g, &b->env, &g->output.at[0].val, 1, &out), "%s", b->env.error);
  return out.f[0];
}

// <gradient, direction> over all weights.
static double slope_of(World *b) {
  const Graph *g = b->m->graph.at[0];
  double sum = 0;
  b->h = 0;
  for (size_t i = 0; i < g->output.n; i++) {
    const Port *p = &g->output.at[i];
    Tensor d;
    if (p->role != ROLE_gradient) continue;
    cr_assert(graph_eval(g, &b->env, &p->val, 1, &d), "%s", b->env.error);
    for (size_t k = 0; k < d.n; k++) sum += d.f[k] * number(p->name, k + 1000);
  }
  return sum;
}

static const char *page_text(Arena *a, const Page *p) {
  return arena_printf(a,
                      "use std\nuse losses\nmodality vision, language\nmodel m() {\n  dim B = 1..4\n  dim L = 1..6\n"
                      "  objective fit(c: f32[40]%s) -> loss: f32 {\n%s\n"
                      "    let flat = reduce_sum(y * c[1:1 + width(y)])\n"
                      "    return total(flat * flat) + total(y)\n  }\n}\n",
                      p->fixed, p->body);
}

Test(gradient, operators) {
  for (size_t i = 0; i < NPAGES; i++) {
    World b;
    Arena a = {0};
    world_begin(&b, page_text(&a, &pages[i]), true);
    const double h = 1e-6;
    double want = (loss_at(&b, h) - loss_at(&b, -h)) / (2 * h), got = slope_of(&b);
    // "stopped": the differences move what is stopped, too; the product rule's other half is missing
    if (!strcmp(pages[i].name, "stopped")) {
      cr_expect(fabs(got - want) > 1e-3, "%s: nothing is stopped", pages[i].name);
    } else {
      cr_expect(fabs(got - want) <= 1e-6 * (1 + fabs(want)), "%s: %.12g, differences give %.12g", pages[i].name, got,
                want);
    }
    arena_free(&a);
    arena_free(&b.arena);
  }
}

Test(gradient, every_rule_is_tried) {
  bool seen[OP_COUNT] = {false};
  for (size_t i = 0; i < NPAGES; i++) {
    World b;
    Arena a = {0};
    world_begin(&b, page_text(&a, &pages[i]), false);
    const Graph *g = b.m->graph.at[0];
    for (size_t v = 1; v < g->value.n; v++) seen[g->value.at[v].op] = true;
    arena_free(&a);
    arena_free(&b.arena);
  }
  for (int op = 1; op < OP_COUNT; op++)
    if (op_hooks[op].grad != grad_none && op_hooks[op].grad != grad_refused)
      cr_expect(seen[op], "%s has a gradient rule and no case", op_info[op].name);
}

// The kernels of all targets in the interpreter against the reference: all have the same bits where they have fma.
Test(gradient, kernels) {
  for (size_t i = 0; i < NPAGES; i++) {
    World b;
    Arena a = {0};
    Want *want = ARENA_NEW(&a, Want);
    int64_t dims[MAX_DIMS] = {3, 4};
    world_begin(&b, page_text(&a, &pages[i]), true);
    reference(&b.arena, b.m->graph.at[0], dims, 6, want);
    Program *p = lower_all(b.m);
    char *weights = pack_all(p, &b.arena);
    for (size_t t = 0; t < p->ntarget; t++) compare(p, 0, t, weights, dims, want, pages[i].name, 2e-5);
    arena_free(&a);
    arena_free(&b.arena);
  }
}

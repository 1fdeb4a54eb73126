// lower.c: from a graph with groups and places to a Program: kernels and straight lists of launches.
//
// Each group is lowered once per target by the function of its kind (lower_gemm.c, lower_attention.c, lower_row.c,
// lower_map.c). Kernels with equal bodies are one kernel: addresses inside a kernel never depend on where its operands
// lie, so the twelve equal layers of a transformer share theirs. Packed weights are shared the same way: equal
// expression, equal layout => stored once, in the order of first use, so that a run reads the file from front to back.
#include "program.h"
#include "arena_scale.h"
#include "update.h"
#include "passes/products.h"

#include <string.h>

static LowerFn *const lower_by_kind[] = {
    [GROUP_GEMM] = lower_gemm, [GROUP_ATTENTION] = lower_attention, [GROUP_ROW] = lower_row, [GROUP_MAP] = lower_map};

/* weights -----------------------------------------------------------------------------------------------------------
 */
// What is known of the values of a graph that depend on weights alone; each is looked at once, however many share it.
typedef struct Expressions {
  const Graph *g;
  uint64_t *key;     // hash of the expression, for the plan's; 0 = not worked out yet
  const char **same; // text of the expression, interned: equal pointers <=> equal bytes; NULL = not worked out yet
  Intern *texts;
  uint32_t *seen; // number of the last search that met the value
  uint32_t search;
} Expressions;

static void print_node(const Graph *g, const Value *v, Buf *b) {
  buf_puts(b, op_info[v->op].name);
  for (uint32_t i = 0; i < v->nattr; i++) {
    const Attr *a = &v->attr[i];
    buf_printf(b, " %s=", attr_info[a->key].name);
    if (attr_info[a->key].kind == AK_INT) buf_printf(b, "%lld", (long long)a->i);
    if (attr_info[a->key].kind == AK_FLOAT) buf_printf(b, "%a", a->f);
    if (attr_info[a->key].kind == AK_STR) buf_printf(b, "\"%s\"", a->s);
    for (size_t k = 0; k < a->nv; k++) buf_printf(b, "%lld,", (long long)a->v[k]);
  }
  buf_putc(b, ':');
  type_print(b, g->module, &v->type);
}

// The key of a value: of its operator, attributes and type, and of the keys of its operands.
static uint64_t expression_key(const Expressions *x, Val val) {
  const Value *v = graph_value(x->g, val);
  if (x->key[val.id]) return x->key[val.id];
  Buf b = {0};
  print_node(x->g, v, &b);
  for (uint32_t i = 0; i < v->nargs; i++) buf_printf(&b, ",%llx", (unsigned long long)expression_key(x, v->args[i]));
  uint64_t key = hash_bytes(b.s, b.n, 1);
  buf_free(&b);
  return x->key[val.id] = key ? key : 1;
}

// The expression itself: its operator, attributes and type, and which texts its operands have. A hash is not enough to
// store two weights once.
static const char *expression_text(const Expressions *x, Val val) {
  const Value *v = graph_value(x->g, val);
  if (x->same[val.id]) return x->same[val.id];
  Buf b = {0};
  print_node(x->g, v, &b);
  for (uint32_t i = 0; i < v->nattr; i++) // a name may hold what looks like other attributes
    if (attr_info[v->attr[i].key].kind == AK_STR) buf_printf(&b, " %zu", strlen(v->attr[i].s));
  for (uint32_t i = 0; i < v->nargs; i++) buf_printf(&b, ",%p", (const void *)expression_text(x, v->args[i]));
  x->same[val.id] = intern(x->texts, b.s);
  buf_free(&b);
  return x->same[val.id];
}

static void count_weights(const Expressions *x, Val val, const char **first, size_t *n) {
  const Value *v = graph_value(x->g, val);
  if (x->seen[val.id] == x->search) return;
  x->seen[val.id] = x->search;
  if (v->op == OP_weight && !(*n)++) *first = value_str(v, A_name);
  for (uint32_t i = 0; i < v->nargs; i++) count_weights(x, v->args[i], first, n);
}

// "encoder.ln.weight", or "mul(encoder.ln.weight, and 2 more)"
static const char *weight_label(Arena *a, Expressions *x, Val val) {
  const char *first = "constant";
  size_t n = 0;
  x->search++;
  count_weights(x, val, &first, &n);
  const char *op = op_info[graph_value(x->g, val)->op].name;
  if (graph_value(x->g, val)->op == OP_weight) return first;
  return n > 1 ? arena_printf(a, "%s(%s, and %zu more)", op, first, n - 1) : arena_printf(a, "%s(%s)", op, first);
}

typedef struct NameCopies {
  const char *name; // interned
  unsigned n;
} NameCopies;
typedef struct ProgramMaker {
  Program *p;
  Arena *a;
  Arena text;             // bodies of the kernels so far, for comparison
  VEC(const char *) body; // texts of the kernels, and their hashes
  VEC(uint64_t) body_hash;
  Intern names;            // of kernels
  VEC(NameCopies) copies;  // of names that several would have
  Intern texts;            // of weight expressions
  Expressions expressions; // of the graph at hand
} ProgramMaker;

static Expressions *expressions_of(ProgramMaker *l, const Graph *g) {
  if (l->expressions.g != g)
    l->expressions = (Expressions){.g = g,
                                   .key = ARENA_ARRAY(l->a, uint64_t, g->value.n),
                                   .same = ARENA_ARRAY(l->a, const char *, g->value.n),
                                   .texts = &l->texts,
                                   .seen = ARENA_ARRAY(l->a, uint32_t, g->value.n)};
  return &l->expressions;
}

// The layout's part of the key; what kernels of all targets share goes without saying.
static uint64_t packed_key(const PackedWeight *w, uint64_t expression) {
  PackForm f = w->shape.form;
  DType dtype = graph_value(w->graph, w->val)->type.dtype;
  Buf b = {0};
  buf_printf(&b, "%d %d %llx", (int)f.kind, (int)f.trans, (unsigned long long)expression);
  if (f.kind != PACK_plain && f.panel != PANEL) buf_printf(&b, " panel %lld", (long long)f.panel);
  if (w->dtype != dtype) buf_printf(&b, " to %s", dtype_info[w->dtype].name);
  uint64_t key = hash_bytes(b.s, b.n, 1);
  buf_free(&b);
  return key;
}

static bool stored_alike(const PackedWeight *a, const PackedWeight *b) {
  PackForm f = a->shape.form, e = b->shape.form;
  return a->expression == b->expression && a->dtype == b->dtype && f.kind == e.kind && f.trans == e.trans &&
         (f.kind == PACK_plain || f.panel == e.panel);
}

static uint32_t pack_intern(ProgramMaker *l, const Graph *g, const KernelArg *arg) {
  Program *p = l->p;
  PackedWeight w = packed_weight(g, arg->val);
  Expressions *x = expressions_of(l, g);
  w.key = packed_key(&w, expression_key(x, w.val));
  w.expression = expression_text(x, w.val);
  for (size_t i = 0; i < p->weight.n; i++)
    if (stored_alike(&p->weight.at[i], &w)) return (uint32_t)i;
  w.offset = (uint64_t)round_up((int64_t)p->weight_bytes, 64);
  w.label = weight_label(l->a, x, w.val);
  p->weight_bytes = w.offset + w.bytes;
  VEC_PUSH(l->a, p->weight, w);
  return (uint32_t)p->weight.n - 1;
}

/* operands ----------------------------------------------------------------------------------------------------------
 */
static Operand operand_of(ProgramMaker *l, const Graph *g, const KernelArg *arg) {
  const Value *v = graph_value(g, arg->val);
  int64_t offset = arg->offset * (int64_t)dtype_info[v->type.dtype].bytes;
  if (arg->weight) return (Operand){.kind = PLACE_WEIGHT, .index = pack_intern(l, g, arg), .offset = offset};
  switch (v->place.kind) {
  case PLACE_ARENA: return (Operand){.kind = PLACE_ARENA, .offset = v->place.offset + offset, .base = v->place.offset};
  case PLACE_INPUT:
  case PLACE_OUTPUT: return (Operand){.kind = v->place.kind, .index = v->place.index, .offset = offset};
  default: ICE("lower: %%%u (%s) of @%s has no place", arg->val.id, op_info[v->op].name, g->name);
  }
}

/* kernels ------------------------------------------------------------------------------------------------------------
 */
// A name that no other kernel has, by what it differs in from those: how many rows it yields, how far apart they lie;
// where that is the same, a number.
static const char *unique_name(ProgramMaker *l, const char *name, const Value *root, const Module *m) {
  const Type *t = &root->type;
  const char *rows, *pitch = "";
  Dim n = t->rank > 1 ? t->dim[t->rank - 2] : DIM(1);
  bool named = !dim_is_const(n) && n.sym != DIM_SEGS;
  rows = named ? arena_printf(l->a, "_rows%s", m->dim[n.sym].name)
               : arena_printf(l->a, "_rows%lld", (long long)(t->rank > 1 ? type_extent(m, t, t->rank - 2) : 1));
  if (root->pitch) pitch = arena_printf(l->a, "_p%lld", (long long)root->pitch);
  const char *const with[][2] = {{"", ""}, {rows, ""}, {"", pitch}, {rows, pitch}};
  for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
    const char *unique = arena_printf(l->a, "%s%s%s", name, with[i][0], with[i][1]);
    if (!is_interned(&l->names, unique)) return intern(&l->names, unique);
  }
  const char *of = intern(&l->names, arena_printf(l->a, "%s%s%s", name, rows, pitch));
  size_t i = 0;
  while (i < l->copies.n && l->copies.at[i].name != of) i++;
  if (i == l->copies.n) VEC_PUSH(l->a, l->copies, ((NameCopies){of, 1}));
  for (;;) {
    const char *unique = arena_printf(l->a, "%s_v%u", of, ++l->copies.at[i].n);
    if (!is_interned(&l->names, unique)) return intern(&l->names, unique);
  }
}

// The number of the kernel; one that is new takes over the memory it was built in.
static uint32_t kernel_intern(ProgramMaker *l, const KernelSlot *slot, const Value *root, Arena *built) {
  Program *p = l->p;
  Buf b = {0};
  for (size_t t = 0; t < p->ntarget; t++) kernel_print_body(slot->k[t], &b);
  uint64_t hash = hash_bytes(b.s, b.n, 0);
  for (size_t i = 0; i < l->body.n; i++)
    if (l->body_hash.at[i] == hash && !strcmp(l->body.at[i], b.s)) {
      buf_free(&b);
      return (uint32_t)i;
    }
  VEC_PUSH(&l->text, l->body, arena_strdup(&l->text, b.s));
  VEC_PUSH(&l->text, l->body_hash, hash);
  buf_free(&b);
  KernelSlot s = *slot;
  s.name = unique_name(l, slot->name, root, p->module);
  for (size_t t = 0; t < p->ntarget; t++) {
    s.k[t]->name = s.name;
    int64_t scratch = kernel_scratch_bytes(s.k[t]);
    if (scratch > p->scratch_bytes) p->scratch_bytes = scratch;
  }
  VEC_PUSH(l->a, p->kernel, s);
  arena_adopt(l->a, built);
  for (size_t t = 0; t < p->ntarget; t++) s.k[t]->arena = l->a;
  return (uint32_t)p->kernel.n - 1;
}

// Every row number that a kernel reads is one of those that are looked at before it runs, or one that it wrote itself.
// Those of an attention say where its queries stand for the mask: no address depends on them.
static void check_ids(const Kernel *k, const Lowered *low) {
  for (size_t i = 1; i < k->ins.n; i++) {
    if (k->ins.at[i].op != K_ldidx) continue;
    bool known = k->buf.at[k->ins.at[i].buf.id].role == KB_SCRATCH;
    for (uint32_t r = 0; r < low->nids; r++) known = known || low->ids[r].arg + 1 == k->ins.at[i].buf.id;
    if (!known) ICE("lower: %s reads a row number that nobody looks at", low->name);
  }
}

// A narrow type is for keeping numbers: what yields one is a cast to it, or moves elements that have it already.
static bool keeps_type(const Value *v) {
  return v->op == OP_cast || v->op == OP_put_rows || v->op == OP_pack ||
         (op_info[v->op].flags & (F_VIEW | F_DATA | F_WINDOWS));
}

static bool types_have_kernels(const Graph *g, const Group *grp) {
  for (size_t i = 0; i < grp->member.n; i++) {
    const Value *v = graph_value(g, grp->member.at[i]);
    if (!dtype_is_narrow(v->type.dtype) || keeps_type(v)) continue;
    const char *name = dtype_info[v->type.dtype].name, *computes = dtype_info[dtype_info[v->type.dtype].computes].name;
    Diagnostic *d = diag_error(g->module->diag, "E0303", v->span,
                               "%s: %s is a type to keep numbers in, not to compute in", op_info[v->op].name, name);
    diag_hint(g->module->diag, d, "compute in %s: cast(x, %s), and cast the result to %s", computes, computes, name);
    return false;
  }
  return true;
}

static ProductsOf products_of(const Value *v) {
  return v->op == OP_linear_codes || v->op == OP_linear_codes4 ? PRODUCTS_codes
         : v->op == OP_linear_pairs                            ? PRODUCTS_pairs
                                                               : PRODUCTS_f32;
}

// Has the set t a kernel of its own for the group, or that of its base?
static bool is_own(const Target *t, const Graph *g, const Group *grp) {
  ProductsOf of = grp->anchor.id ? products_of(graph_value(g, grp->anchor)) : PRODUCTS_f32;
  return of != PRODUCTS_f32 && of <= t->isa->products;
}

// The sets of a program, a base before those that differ from it, and without these where no product is of what they
// are for.
static void take_targets(Program *p, const Target *const *target, size_t n) {
  bool has[PRODUCTS_pairs + 1] = {false};
  for (size_t i = 0; i < p->module->graph.n; i++) {
    const Graph *g = p->module->graph.at[i];
    for (uint32_t v = 1; v < g->value.n; v++) has[products_of(&g->value.at[v])] = true;
  }
  for (int alike = 0; alike < 2; alike++)
    for (size_t t = 0; t < n; t++)
      if ((target_alike(target, n, t) != t) == alike && (has[target[t]->isa->products] || !alike))
        p->target[p->ntarget++] = target[t];
}

// What a launch is, with what its product is in, by the name of its weight, where a precision is asked for.
static const char *with_precision(ProgramMaker *l, const Graph *g, const Group *grp, const char *comment) {
  Product p;
  bool asked = strcmp(precision_label(g->module->built), precisions[0].name) != 0;
  if (!asked || !grp->anchor.id || !product_of(g, grp->anchor, &p)) return arena_strdup(l->a, comment);
  return arena_printf(l->a, "%s; %s in %s", comment, p.name, p.is->name);
}

// Kernels are built in `built`; the caller frees what was not taken over.
static bool lower_group(ProgramMaker *l, RouteProgram *r, const Group *grp, Arena *built) {
  Program *p = l->p;
  const Graph *g = r->graph;
  KernelSlot slot = {0};
  Lowered first = {0};
  if (!types_have_kernels(g, grp)) return false;
  for (size_t t = 0; t < p->ntarget; t++) {
    Lowered low = {0};
    size_t alike = is_own(p->target[t], g, grp) ? t : target_alike(p->target, p->ntarget, t);
    if (alike != t) {
      slot.k[t] = slot.k[alike];
      continue;
    }
    if (!lower_by_kind[grp->kind](built, g, grp, p->target[t], &low)) return false;
    kernel_legalise(low.kernel, p->target[t]->has_fma);
    kernel_fold_loops(low.kernel);
    const char *why = NULL;
    if (!kernel_verify(low.kernel, &why)) ICE("lower: %s for %s: %s", low.name, p->target[t]->name, why);
    Op op = graph_value(g, grp->root)->op;
    if (op != OP_attention && op != OP_attention_grad) check_ids(low.kernel, &low);
    slot.k[t] = low.kernel;
    if (t == 0) first = low;
    first.comment = low.comment; // the tile it names is that of the preferred target, which comes last
    if (low.narg != first.narg) ICE("lower: %s takes other operands on %s", low.name, p->target[t]->name);
  }
  slot.name = arena_strdup(l->a, first.name);
  Step step = {.comment = with_precision(l, g, grp, first.comment),
               .span = graph_value(g, grp->root)->span,
               .root = grp->root,
               .narg = first.narg,
               .nids = first.nids};
  memcpy(step.ids, first.ids, sizeof step.ids);
  for (uint32_t i = 0; i < first.narg; i++) step.arg[i] = operand_of(l, g, &first.arg[i]);
  step.kernel = kernel_intern(l, &slot, graph_value(g, grp->root), built);
  int64_t dims[MAX_DIMS];
  program_typical_dims(p->module, dims);
  Work work = group_work(g, grp, dims);
  step.flops = work.flops;
  step.bytes = work.bytes;
  VEC_PUSH(l->a, r->step, step);
  return true;
}

void program_typical_dims(const Module *m, int64_t *dims) {
  for (size_t d = 0; d < m->ndim; d++) dims[d] = m->dim[d].hi;
  for (size_t i = 0; i < m->graph.n; i++) {
    const Graph *g = m->graph.at[i];
    for (size_t k = 0; k < g->input.n; k++) {
      const Type *t = &graph_value(g, g->input.at[k].val)->type;
      if (t->rank > 1 && t->dim[0].k) dims[t->dim[0].sym] = m->dim[t->dim[0].sym].lo;
    }
  }
}

// The parameters count, too: weights packed for another epsilon or activation are those of another model.
static uint64_t hash_plan(const Program *p) {
  uint64_t h = hash_bytes("switchyard packed weights 2", 27, 0);
  const char *params = p->module->built ? strchr(p->module->built, ',') : NULL; // behind the preset's name
  if (params) h = hash_bytes(params, strlen(params), h);
  for (size_t i = 0; i < p->weight.n; i++) {
    uint64_t row[] = {p->weight.at[i].key, p->weight.at[i].offset, p->weight.at[i].bytes};
    h = hash_bytes(row, sizeof row, h);
  }
  return h;
}

// The kernels of updates, where objectives have gradients in place.
static void add_updates(ProgramMaker *l) {
  Program *p = l->p;
  for (size_t i = 0; p->module->train && p->module->train->in_place && i < p->route.n; i++)
    p->trains = p->trains || p->route.at[i].graph->objective;
  if (!p->trains) return;
  p->update = p->kernel.n;
  for (unsigned k = 0; k < MDL__UPDATES; k++) {
    KernelSlot s = {0};
    for (size_t t = 0; t < p->ntarget; t++) {
      size_t alike = target_alike(p->target, p->ntarget, t);
      s.k[t] = alike != t ? s.k[alike] : update_kernel(l->a, p->target[t], k);
    }
    s.name = intern(&l->names, s.k[0]->name);
    VEC_PUSH(l->a, p->kernel, s);
  }
}

Program *program_lower(Module *m, const Target *const *target, size_t ntarget) {
  Program *p = ARENA_NEW(m->arena, Program);
  ProgramMaker l = {.p = p, .a = m->arena, .texts = {.arena = m->arena}, .names = {.arena = m->arena}};
  p->module = m;
  CHECK(ntarget >= 1 && ntarget <= MAX_TARGETS);
  take_targets(p, target, ntarget);
  bool ok = true;
  for (size_t i = 0; i < m->graph.n && ok; i++) {
    RouteProgram r = {.graph = m->graph.at[i]};
    GroupList groups = groups_collect(r.graph, m->arena);
    for (size_t s = 0; s < groups.n && ok; s++) {
      Arena built = {0};
      ok = lower_group(&l, &r, &groups.at[s], &built);
      arena_free(&built);
    }
    LiveList live = place_live(r.graph, m->arena);
    r.arena_bytes = place_arena_bytes(r.graph, &live);
    r.arena_lower_bound = place_lower_bound(&live);
    arena_scale(&r, &live);
    if (r.arena_bytes > p->arena_bytes) p->arena_bytes = r.arena_bytes;
    VEC_PUSH(m->arena, p->route, r);
  }
  if (ok) add_updates(&l);
  p->plan_hash = hash_plan(p);
  arena_free(&l.text);
  return ok ? p : NULL;
}

// emit_llvm_model.c: a model around its kernels: the tables that the engine runs (runtime/engine/plan.h has their
// structs), the engine itself, linked in as bitcode, and one function for each route. What stands in the tables comes
// from where the C printer has it: the Program, model_facts.h and ModelNames.
//
// Invariant: a row of a table is a constant struct whose members are those of the engine's C struct, in order; LLVM
// lays both out by the rules of the target.
//
//   @mdl__plans = internal constant [1 x {...}] [{ i32 33, i32 0, i32 1, i32 1, i32 1, i64 417792, ptr @.., ptr
//   null }] define i32 @vit_classify(ptr %ctx, i64 %B, ptr %image, ptr %logits)
#include "emit_llvm.h"

#include "codegen/emit_model.h"
#include "codegen/generates.h"
#include "codegen/probe.h"
#include "engine_bitcode.h"
#include "runtime/weights_format.h"

#include <llvm-c/BitReader.h>
#include <llvm-c/Linker.h>
#include <string.h>

typedef VEC(LLVMValueRef) Rows;

/* constants
 * ------------------------------------------------------------------------------------------------------------------------------
 */
static LLVMValueRef c32(const Llvm *l, uint64_t v) {
  return LLVMConstInt(l->i32, v, false);
}
static LLVMValueRef c64(const Llvm *l, uint64_t v) {
  return LLVMConstInt(l->i64, v, false);
}
static LLVMValueRef c8(const Llvm *l, uint64_t v) {
  return LLVMConstInt(l->i8, v, false);
}
static LLVMValueRef cf64(const Llvm *l, double v) {
  return LLVMConstReal(l->f64, v);
}
static LLVMValueRef null(const Llvm *l) {
  return LLVMConstNull(l->ptr);
}

static LLVMValueRef constant(Llvm *l, const char *name, LLVMValueRef init) {
  LLVMValueRef g = LLVMAddGlobal(l->module, LLVMTypeOf(init), name);
  LLVMSetInitializer(g, init);
  LLVMSetGlobalConstant(g, true);
  LLVMSetLinkage(g, LLVMInternalLinkage);
  return g;
}

static LLVMValueRef text(Llvm *l, const char *s) {
  if (!s) return null(l);
  LLVMValueRef g = constant(l, ".text", LLVMConstStringInContext(l->ctx, s, (unsigned)strlen(s), false));
  LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
  LLVMSetLinkage(g, LLVMPrivateLinkage);
  return g;
}

static LLVMValueRef row_of(Llvm *l, const LLVMValueRef *v, size_t n) {
  LLVMValueRef *copy = ARENA_ARRAY(&l->arena, LLVMValueRef, n);
  memcpy(copy, v, n * sizeof *v);
  return LLVMConstStructInContext(l->ctx, copy, (unsigned)n, false);
}
#define ROW(l, ...)                                                                                                    \
  row_of((l), (const LLVMValueRef[]){__VA_ARGS__}, sizeof((const LLVMValueRef[]){__VA_ARGS__}) / sizeof(LLVMValueRef))

static LLVMValueRef array_of(LLVMValueRef *v, size_t n) {
  return LLVMConstArray(LLVMTypeOf(v[0]), v, (unsigned)n);
}

// A table under a name; NULL of no rows.
static LLVMValueRef table(Llvm *l, const char *name, const Rows *r) {
  return r->n ? constant(l, name, array_of(r->at, r->n)) : null(l);
}

/* steps and checks
 * -----------------------------------------------------------------------------------------------------------------------
 */
enum { AT_NONE, AT_ARENA, AT_WEIGHT, AT_IN, AT_OUT }; // as in the engine

static LLVMValueRef operand_row(Llvm *l, const Operand *a) {
  static const uint8_t kind[] = {
      [PLACE_ARENA] = AT_ARENA, [PLACE_WEIGHT] = AT_WEIGHT, [PLACE_INPUT] = AT_IN, [PLACE_OUTPUT] = AT_OUT};
  uint64_t offset = (uint64_t)(a->offset - a->base);
  if (a->kind == PLACE_WEIGHT) offset += l->p->weight.at[a->index].offset;
  bool numbered = a->kind != PLACE_WEIGHT;
  return ROW(l, c32(l, kind[a->kind]), c32(l, numbered ? a->index : 0), c64(l, (uint64_t)a->base), c64(l, offset));
}

static LLVMValueRef steps_table(Llvm *l, const ModelNames *n, size_t route) {
  const RouteProgram *r = &l->p->route.at[route];
  Rows rows = {0};
  for (size_t i = 0; i < r->step.n; i++) {
    const Step *s = &r->step.at[i];
    LLVMValueRef arg[MAX_KERNEL_ARGS];
    for (uint32_t j = 0; j < MAX_KERNEL_ARGS; j++)
      arg[j] = j < s->narg ? operand_row(l, &s->arg[j]) : ROW(l, c32(l, AT_NONE), c32(l, 0), c64(l, 0), c64(l, 0));
    VEC_PUSH(&l->arena, rows, ROW(l, c32(l, s->kernel), array_of(arg, MAX_KERNEL_ARGS), cf64(l, s->flops)));
  }
  return table(l, arena_printf(&l->arena, "%s_steps_%s", n->own, n->route[route].id), &rows);
}

static LLVMValueRef extent_row(Llvm *l, Dim d) {
  return ROW(l, c64(l, (uint64_t)d.c), c64(l, (uint64_t)(int64_t)d.k), c32(l, d.k ? (uint64_t)d.sym : 0));
}

static LLVMValueRef checks_table(Llvm *l, const ModelNames *n, size_t route, size_t *count) {
  IdChecks checks = route_id_checks(&l->p->route.at[route], &l->arena);
  Rows rows = {0};
  for (size_t i = 0; i < checks.list.n; i++) {
    const IdCheck *k = &checks.list.at[i];
    LLVMValueRef stride[6], extent[6];
    for (int d = 0; d < 6; d++) {
      stride[d] = c64(l, d < k->rank ? (uint64_t)k->stride[d] : 0);
      extent[d] = extent_row(l, d < k->rank ? k->extent[d] : DIM(1));
    }
    VEC_PUSH(&l->arena, rows,
             ROW(l, c32(l, k->step), c32(l, (uint64_t)k->rank), operand_row(l, &k->at), array_of(stride, 6),
                 array_of(extent, 6), extent_row(l, k->limit)));
  }
  *count = rows.n;
  return table(l, arena_printf(&l->arena, "%s_checks_%s", n->own, n->route[route].id), &rows);
}

static void plans_table(Llvm *l, const ModelNames *n) {
  Rows rows = {0};
  for (size_t i = 0; i < l->p->route.n; i++) {
    const RouteProgram *r = &l->p->route.at[i];
    size_t checks = 0;
    LLVMValueRef step = steps_table(l, n, i), check = checks_table(l, n, i, &checks);
    VEC_PUSH(&l->arena, rows,
             ROW(l, c32(l, r->step.n), c32(l, checks), c32(l, r->graph->input.n), c32(l, r->graph->output.n),
                 c32(l, n->route[i].dims), c32(l, r->scale), c32(l, r->nbase), c64(l, (uint64_t)r->arena_bytes), step,
                 check));
  }
  table(l, "mdl__plans", &rows);
}

/* kernels
 * --------------------------------------------------------------------------------------------------------------------------------
 */
// The line that the first step with this kernel comes from, 0: unknown; its file (the page, or one that it uses)
// becomes that of the functions made next.
static unsigned line_of_kernel(Llvm *l, size_t kernel) {
  const char *path = NULL;
  uint32_t line = 0, column = 0;
  for (size_t r = 0; l->debug && r < l->p->route.n; r++)
    for (size_t i = 0; i < l->p->route.at[r].step.n; i++) {
      const Step *s = &l->p->route.at[r].step.at[i];
      if (s->kernel != kernel || !diag_place(l->p->module->diag, s->span, &path, &line, &column)) continue;
      l->file = emit_llvm_file(l, path);
      return line;
    }
  return 0;
}

static LLVMValueRef slots_table(Llvm *l, const ModelNames *n, size_t t) {
  const Program *p = l->p;
  const Target *target = p->target[t];
  Rows rows = {0};
  for (size_t i = 0; i < p->kernel.n; i++) {
    const Kernel *k = p->kernel.at[i].k[t];
    const char *name = arena_printf(&l->arena, "%s_%s_%s", n->own, n->kernel[i], target->name);
    LLVMValueRef run = emit_llvm_kernel(l, k, target, name, line_of_kernel(l, i));
    LLVMValueRef tasks = emit_llvm_tasks(l, k, arena_printf(&l->arena, "%s.tasks", name));
    VEC_PUSH(&l->arena, rows, ROW(l, run, tasks, c64(l, model_task_cost(k))));
  }
  return table(l, arena_printf(&l->arena, "%s_slots_%s", n->own, target->name), &rows);
}

static void isas_table(Llvm *l, const ModelNames *n) {
  const Program *p = l->p;
  size_t order[MAX_TARGETS];
  Rows rows = {0};
  model_rank_order(p, order);
  for (size_t i = 0; i < p->ntarget; i++) {
    const Target *t = p->target[order[i]];
    uint32_t need[4];
    if (!target_cpu_needs(t, need)) ICE("target %s: its attribute names an unknown CPU feature", t->name);
    LLVMValueRef v[4];
    for (int k = 0; k < 4; k++) v[k] = c32(l, need[k]);
    const Kernel *probe = probe_kernel(&l->arena, t);
    LLVMValueRef run = emit_llvm_kernel(l, probe, t, arena_printf(&l->arena, "%s_probe_%s", n->own, t->name), 0);
    VEC_PUSH(&l->arena, rows,
             ROW(l, text(l, t->name), c32(l, t->rank), array_of(v, 4), slots_table(l, n, order[i]), run,
                 c64(l, probe_sum(probe))));
  }
  LLVMValueRef zero[4] = {c32(l, 0), c32(l, 0), c32(l, 0), c32(l, 0)};
  VEC_PUSH(&l->arena, rows, ROW(l, null(l), c32(l, 0), array_of(zero, 4), null(l), null(l), c64(l, 0)));
  table(l, "mdl__isas", &rows);
}

// What max_isa may say; -2: that is of another family of processors.
static void caps_table(Llvm *l) {
  const Target *mine[MAX_TARGETS];
  const char *err = NULL;
  size_t n = llvm_targets(LLVMGetTarget(l->module), mine, &err);
  Rows rows = {0};
  for (size_t i = 0; targets[i]; i++) {
    uint64_t rank = (uint64_t)-2;
    for (size_t k = 0; k < n; k++)
      if (mine[k] == targets[i]) rank = targets[i]->rank;
    VEC_PUSH(&l->arena, rows, ROW(l, text(l, targets[i]->name), c32(l, rank)));
  }
  VEC_PUSH(&l->arena, rows, ROW(l, null(l), c32(l, 0)));
  table(l, "mdl__caps", &rows);
}

static void kernels_tables(Llvm *l, const ModelNames *n) {
  const Program *p = l->p;
  Rows params = {0}, names = {0};
  for (size_t i = 0; i < p->kernel.n; i++) {
    ModelParam param[MAX_KERNEL_ARGS] = {{0}};
    LLVMValueRef row[MAX_KERNEL_ARGS];
    model_params(p, i, param);
    for (size_t b = 0; b < MAX_KERNEL_ARGS; b++)
      row[b] = ROW(l, c8(l, (uint64_t)param[b].role), c8(l, (uint64_t)param[b].dtype), c64(l, (uint64_t)param[b].n));
    VEC_PUSH(&l->arena, params, array_of(row, MAX_KERNEL_ARGS));
    VEC_PUSH(&l->arena, names, text(l, n->kernel[i]));
  }
  if (!p->kernel.n) { // the engine never looks, but the symbols must be there
    LLVMValueRef none = ROW(l, c8(l, 0), c8(l, 0), c64(l, 0)), row[MAX_KERNEL_ARGS];
    for (size_t b = 0; b < MAX_KERNEL_ARGS; b++) row[b] = none;
    VEC_PUSH(&l->arena, params, array_of(row, MAX_KERNEL_ARGS));
    VEC_PUSH(&l->arena, names, text(l, ""));
  }
  table(l, "mdl__params", &params);
  table(l, "mdl__kernel_names", &names);
}

/* what describe returns
 * ------------------------------------------------------------------------------------------------------------------ */
static LLVMValueRef axis_row(Llvm *l, const Type *t, int d) {
  if (d >= t->rank) return ROW(l, c64(l, d == 0), c64(l, 0), c32(l, d == 0 ? UINT32_MAX : 0), c64(l, d == 0));
  Dim x = t->dim[d];
  uint64_t bound = (uint64_t)type_extent(l->p->module, t, d);
  if (x.sym == DIM_SEGS) return ROW(l, c64(l, bound), c64(l, 0), c32(l, UINT32_MAX), c64(l, bound));
  return ROW(l, c64(l, (uint64_t)x.c), c64(l, (uint64_t)x.k), c32(l, x.k ? (uint64_t)x.sym : UINT32_MAX),
             c64(l, bound));
}

static LLVMValueRef tensors_table(Llvm *l, const char *name, const Graph *g, const Port *list, size_t n) {
  Rows rows = {0};
  for (size_t i = 0; i < n; i++) {
    const Type *t = &graph_value(g, list[i].val)->type;
    LLVMValueRef axis[6];
    for (int d = 0; d < 6; d++) axis[d] = axis_row(l, t, d);
    VEC_PUSH(&l->arena, rows,
             ROW(l, text(l, list[i].name), text(l, dtype_info[t->dtype].name), c32(l, (uint64_t)t->rank),
                 array_of(axis, 6), c64(l, (uint64_t)type_elements(l->p->module, t)),
                 c64(l, (uint64_t)type_bytes(l->p->module, t))));
  }
  return table(l, name, &rows);
}

// steps: the routes of a sy_info, which list them.
static LLVMValueRef routes_table(Llvm *l, const ModelNames *n, bool steps) {
  const Program *p = l->p;
  Rows rows = {0};
  for (size_t i = 0; i < p->route.n; i++) {
    const RouteProgram *r = &p->route.at[i];
    const char *id = n->route[i].id;
    double flops = 0;
    Rows list = {0};
    for (size_t k = 0; k < r->step.n; k++) {
      const Step *s = &r->step.at[k];
      flops += s->flops;
      if (steps)
        VEC_PUSH(&l->arena, list,
                 ROW(l, text(l, p->kernel.at[s->kernel].name), text(l, s->comment ? s->comment : ""), cf64(l, s->flops),
                     cf64(l, s->bytes)));
    }
    LLVMValueRef in = tensors_table(l, arena_printf(&l->arena, "%s_info_%s_in", n->own, id), r->graph,
                                    r->graph->input.at, r->graph->input.n),
                 out = tensors_table(l, arena_printf(&l->arena, "%s_info_%s_out", n->own, id), r->graph,
                                     r->graph->output.at, r->graph->output.n),
                 listed = table(l, arena_printf(&l->arena, "%s_info_%s_steps", n->own, id), &list);
    LLVMValueRef row[] = {text(l, r->graph->name),
                          c32(l, n->route[i].dims),
                          c32(l, r->graph->input.n),
                          c32(l, r->graph->output.n),
                          c32(l, r->step.n),
                          in,
                          out,
                          listed,
                          cf64(l, flops),
                          c64(l, (uint64_t)r->arena_bytes)};
    if (!steps) memmove(row + 7, row + 8, 2 * sizeof *row);
    VEC_PUSH(&l->arena, rows, row_of(l, row, steps ? 10 : 9));
  }
  return table(l, arena_printf(&l->arena, "%s_%s_routes", n->own, steps ? "glue" : "info"), &rows);
}

static uint64_t weights_bytes(const Program *p) {
  return sy_weights_data_offset(p->weight.n) + p->weight_bytes;
}

static LLVMValueRef ports_table(Llvm *l, const sy_port *port, size_t n) {
  Rows rows = {0};
  for (size_t i = 0; i < n; i++) VEC_PUSH(&l->arena, rows, ROW(l, c32(l, port[i].role), c32(l, port[i].pair)));
  return table(l, ".ports", &rows);
}

static LLVMValueRef generates_table(Llvm *l, const char *name, size_t *n) {
  Rows rows = {0};
  const sy_generate *all = program_generates(l->p, &l->arena, n);
  for (size_t i = 0; i < *n; i++) {
    const sy_generate *x = &all[i];
    const Graph *s = l->p->route.at[x->start].graph, *t = l->p->route.at[x->step].graph;
    VEC_PUSH(&l->arena, rows,
             ROW(l, text(l, x->name), text(l, x->prompt), c32(l, x->rule), c32(l, x->width), c32(l, x->start),
                 c32(l, x->step), ports_table(l, x->start_in, s->input.n), ports_table(l, x->start_out, s->output.n),
                 ports_table(l, x->step_in, t->input.n), ports_table(l, x->step_out, t->output.n),
                 c64(l, (uint64_t)x->start_id), c64(l, (uint64_t)x->mask_id), c64(l, (uint64_t)x->end_id),
                 c64(l, (uint64_t)x->pad_id), c64(l, (uint64_t)x->beams), c64(l, (uint64_t)x->longest),
                 c64(l, (uint64_t)x->shortest), cf64(l, x->length_penalty), cf64(l, x->repetition_penalty)));
  }
  return table(l, name, &rows);
}

static void info_table(Llvm *l, const ModelNames *n, const char *name, bool steps, LLVMValueRef dims) {
  const Program *p = l->p;
  const Module *m = p->module;
  Rows isas = {0}, prepare = {0};
  size_t order[MAX_TARGETS];
  model_rank_order(p, order);
  for (size_t t = 0; t < p->ntarget; t++) VEC_PUSH(&l->arena, isas, text(l, p->target[order[t]]->name));
  VEC_PUSH(&l->arena, isas, null(l));
  for (size_t i = 0; i < m->prepare.n; i++) {
    const Prepare *q = &m->prepare.at[i];
    VEC_PUSH(&l->arena, prepare, ROW(l, text(l, q->name), text(l, q->kind), text(l, q->options ? q->options : "")));
  }
  size_t ngenerate;
  LLVMValueRef generate = generates_table(l, arena_printf(&l->arena, "%s_generate", name), &ngenerate);
  constant(l, name,
           ROW(l, text(l, m->name), c64(l, p->plan_hash), c64(l, weights_bytes(p)), c64(l, (uint64_t)p->arena_bytes),
               c64(l, (uint64_t)p->scratch_bytes), c32(l, m->ndim), c32(l, p->route.n), c32(l, p->ntarget),
               c32(l, m->prepare.n), dims, routes_table(l, n, steps),
               table(l, arena_printf(&l->arena, "%s_isas", name), &isas),
               table(l, arena_printf(&l->arena, "%s_prepare", name), &prepare), text(l, m->built ? m->built : ""),
               c32(l, ngenerate), generate));
}

static LLVMValueRef bounds_table(Llvm *l) {
  const Module *m = l->p->module;
  Rows rows = {0};
  for (size_t i = 0; i < m->ndim; i++)
    VEC_PUSH(&l->arena, rows,
             ROW(l, text(l, m->dim[i].name), c64(l, (uint64_t)m->dim[i].lo), c64(l, (uint64_t)m->dim[i].hi)));
  while (rows.n < MAX_DIMS) VEC_PUSH(&l->arena, rows, ROW(l, text(l, ""), c64(l, 0), c64(l, 0)));
  return table(l, "mdl__bounds", &rows);
}

static void facts_table(Llvm *l) {
  const Program *p = l->p;
  constant(l, "mdl__facts_table",
           ROW(l, c64(l, p->plan_hash), c64(l, weights_bytes(p)), c64(l, sy_weights_data_offset(p->weight.n)),
               c64(l, p->weight.n), c64(l, (uint64_t)p->arena_bytes), c64(l, (uint64_t)p->scratch_bytes),
               c64(l, p->route.n)));
}

/* the engine
 * ---------------------------------------------------------------------------------------------------------------------------
 */
static const EngineBitcode *engine_for(const Llvm *l, const char *what) {
  const char *triple = LLVMGetTarget(l->module);
  const EngineBitcode *spare = NULL;
  size_t bits = LLVMPointerSize(l->layout) * 8;
  for (const EngineBitcode *e = engine_bitcode; e->arch; e++) {
    if (strcmp(e->what, what) != 0) continue;
    size_t len = strlen(e->arch);
    if (!strncmp(triple, e->arch, len) && (triple[len] == '-' || !triple[len])) return e;
    if (e->bits == bits && (!spare || !strcmp(e->arch, "aarch64")))
      spare = e; // aarch64's has no instruction of its own
  }
  return spare;
}

// Functions compiled for another family of processors keep no attribute of it.
static void forget_target(LLVMModuleRef m) {
  static const char *const keys[] = {"target-cpu", "target-features", "tune-cpu"};
  for (LLVMValueRef f = LLVMGetFirstFunction(m); f; f = LLVMGetNextFunction(f))
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
      LLVMRemoveStringAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, keys[i],
                                       (unsigned)strlen(keys[i]));
}

static bool link_engine(Llvm *l, const char *what, const char **err) {
  const EngineBitcode *e = engine_for(l, what);
  if (!e) {
    *err = "this build has no engine for the pointer size of the target";
    return false;
  }
  LLVMMemoryBufferRef text = LLVMCreateMemoryBufferWithMemoryRange((const char *)e->data, e->size, what, false);
  LLVMModuleRef engine = NULL;
  if (LLVMParseBitcodeInContext2(l->ctx, text, &engine)) {
    LLVMDisposeMemoryBuffer(text);
    *err = "the engine inside syc cannot be read by this LLVM";
    return false;
  }
  LLVMDisposeMemoryBuffer(text);
  forget_target(engine);
  LLVMSetTarget(engine, LLVMGetTarget(l->module));
  LLVMSetDataLayout(engine, LLVMGetDataLayoutStr(l->module));
  if (!LLVMLinkModules2(l->module, engine)) return true;
  *err = "the engine inside syc does not fit the module";
  return false;
}

// The engine's public functions get the model's prefix; all else is internal.
static void name_functions(Llvm *l, const ModelNames *n) {
  static const char prefix[] = "mdl_";
  static const char *const open[] = {"init", "call",     "describe", "arena_bytes",
                                     "isa",  "strerror", "selftest", "set_trace"};
  for (LLVMValueRef g = LLVMGetFirstGlobal(l->module); g; g = LLVMGetNextGlobal(g))
    if (!LLVMIsDeclaration(g) && LLVMGetLinkage(g) == LLVMExternalLinkage) LLVMSetLinkage(g, LLVMInternalLinkage);
  for (LLVMValueRef f = LLVMGetFirstFunction(l->module); f; f = LLVMGetNextFunction(f)) {
    size_t len = 0;
    const char *name = LLVMGetValueName2(f, &len);
    if (LLVMIsDeclaration(f) || strncmp(name, prefix, sizeof prefix - 1) != 0) continue;
    const char *rest = arena_strdup(&l->arena, name + sizeof prefix - 1);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
      if (!strcmp(rest, open[i])) {
        const char *full = arena_printf(&l->arena, "%s_%s", n->prefix, rest);
        LLVMSetValueName2(f, full, strlen(full));
        LLVMSetVisibility(f, LLVMDefaultVisibility); // clang hides all of a module for WebAssembly
      }
  }
}

/* routes
 * ---------------------------------------------------------------------------------------------------------------------------------
 */
// status PREFIX_ROUTE(ptr ctx, word dims.., ptr inputs.., ptr outputs..): arrays of them, and PREFIX_call.
static void emit_route(Llvm *l, const ModelNames *n, size_t at) {
  const RouteNames *r = &n->route[at];
  const Graph *g = l->p->route.at[at].graph;
  size_t ndim = l->p->module->ndim, count = 0;
  LLVMTypeRef *type = ARENA_ARRAY(&l->arena, LLVMTypeRef, 1 + ndim + g->input.n + g->output.n);
  const char **name = ARENA_ARRAY(&l->arena, const char *, 1 + ndim + g->input.n + g->output.n);
  type[count] = l->ptr, name[count++] = "ctx";
  for (size_t j = 0; j < ndim; j++)
    if (r->dims >> j & 1) type[count] = l->word, name[count++] = r->dim[j];
  for (size_t i = 0; i < g->input.n; i++) type[count] = l->ptr, name[count++] = r->input[i];
  for (size_t i = 0; i < g->output.n; i++) type[count] = l->ptr, name[count++] = r->output[i];
  LLVMValueRef call = LLVMGetNamedFunction(l->module, "mdl_call");
  LLVMTypeRef call_type = LLVMGlobalGetValueType(call);
  LLVMValueRef fn = LLVMAddFunction(l->module, r->fn, LLVMFunctionType(l->i32, type, (unsigned)count, false));
  for (unsigned i = 0; i < count; i++) LLVMSetValueName2(LLVMGetParam(fn, i), name[i], strlen(name[i]));
  LLVMPositionBuilderAtEnd(l->b, LLVMAppendBasicBlockInContext(l->ctx, fn, "entry"));
  LLVMSetCurrentDebugLocation2(l->b, NULL);
  size_t sizes[] = {ndim, g->input.n, g->output.n};
  LLVMTypeRef element[] = {l->word, l->ptr, l->ptr};
  static const char *const label[] = {"dims", "in", "out"};
  LLVMValueRef array[3];
  unsigned param = 1;
  for (int k = 0; k < 3; k++) {
    array[k] = LLVMBuildAlloca(l->b, LLVMArrayType(element[k], (unsigned)(sizes[k] ? sizes[k] : 1)), label[k]);
    for (size_t i = 0; i < sizes[k]; i++) {
      bool used = k != 0 || (r->dims >> i & 1);
      LLVMValueRef index = LLVMConstInt(l->word, i, false),
                   to = LLVMBuildInBoundsGEP2(l->b, element[k], array[k], &index, 1, "");
      LLVMBuildStore(l->b, used ? LLVMGetParam(fn, param++) : LLVMConstNull(l->word), to);
    }
  }
  LLVMValueRef arg[] = {LLVMGetParam(fn, 0), c32(l, at), array[0], array[1], array[2]};
  LLVMValueRef status = LLVMBuildCall2(l->b, call_type, call, arg, 5, "status");
  static const char *const extend[] = {"signext", "zeroext"}; // as the target's C passes an enum
  for (int i = 0; i < 2; i++) {
    unsigned kind = LLVMGetEnumAttributeKindForName(extend[i], strlen(extend[i]));
    LLVMAttributeRef a = LLVMGetEnumAttributeAtIndex(call, LLVMAttributeReturnIndex, kind);
    if (!a) continue;
    LLVMAddAttributeAtIndex(fn, LLVMAttributeReturnIndex, a);
    LLVMAddCallSiteAttribute(status, LLVMAttributeReturnIndex, a);
  }
  LLVMBuildRet(l->b, status);
}

bool emit_llvm_model(Llvm *l, const char **err) {
  ModelNames n = model_names(l->p, &(EmitModel){.prefix = l->o->prefix});
  isas_table(l, &n);
  caps_table(l);
  plans_table(l, &n);
  kernels_tables(l, &n);
  facts_table(l);
  LLVMValueRef dims = bounds_table(l);
  if (!l->p->module->ndim) dims = null(l);
  info_table(l, &n, "mdl__info_table", false, dims);
  if (l->o->glue) info_table(l, &n, "mdl__glue_table", true, dims);
  // The linker joins them with the engine's declarations only while they are visible.
  static const char *const shared[] = {"plans",  "isas",       "caps",        "params",    "kernel_names",
                                       "bounds", "info_table", "facts_table", "glue_table"};
  for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
    LLVMValueRef g = LLVMGetNamedGlobal(l->module, arena_printf(&l->arena, "mdl__%s", shared[i]));
    if (g) LLVMSetLinkage(g, LLVMExternalLinkage);
  }
  bool ok = link_engine(l, "engine", err) && (!l->o->glue || link_engine(l, "glue", err));
  for (size_t i = 0; ok && i < l->p->route.n; i++) emit_route(l, &n, i);
  if (ok) name_functions(l, &n);
  model_names_free(&n);
  return ok;
}

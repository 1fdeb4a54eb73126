// image.c: a Program as an Image: what each route does step by step, the kernels of every target, what the engine
// checks, what a model tells about itself. Every fact is put into a table here, once for all back ends.
//
// Invariants: tables stand behind those that they point to; every member of a row is set and has the kind that
// records.def says; a list has an element.
#include "image.h"

#include "generates.h"
#include "image_records.h"
#include "probe.h"
#include "training.h"
#include "runtime/cpu_words.h"
#include "runtime/engine/plan.h"
#include "runtime/weights_format.h"

#include <string.h>

_Static_assert(MDL__MAX_ARGS == MAX_KERNEL_ARGS && MDL__ARG_DIMS == MAX_DIMS, "as in runtime/engine/plan.h");

/* cells ---------------------------------------------------------------------------------------------------------------
 */
static Cell cell_u32(uint64_t u) {
  if (u > UINT32_MAX) ICE("a number of 32 bits is %llu", (unsigned long long)u);
  return (Cell){.kind = CK_U32, .is.u = u};
}
static Cell cell_mask(uint32_t u) {
  return (Cell){.kind = CK_MASK, .is.u = u};
}
static Cell cell_i32(int32_t i) {
  return (Cell){.kind = CK_I32, .is.i = i};
}
static Cell cell_u64(uint64_t u) {
  return (Cell){.kind = CK_U64, .is.u = u};
}
static Cell cell_hash(uint64_t u) {
  return (Cell){.kind = CK_HASH, .is.u = u};
}
static Cell cell_i64(int64_t i) {
  return (Cell){.kind = CK_I64, .is.i = i};
}
static Cell cell_f64(double f) {
  return (Cell){.kind = CK_F64, .is.f = f};
}
static Cell cell_char(char c) {
  return (Cell){.kind = CK_CHAR, .is.u = (unsigned char)c};
}
static Cell cell_text(const char *s) {
  return (Cell){.kind = CK_TEXT, .is.text = s};
}
static Cell cell_ref(const Table *t) { // of no rows: NULL
  return (Cell){.kind = CK_REF, .is.table = t && t->row.n ? t : NULL};
}
static Cell cell_function(size_t f) {
  return (Cell){.kind = CK_FUNCTION, .is.u = f};
}

static Cell cell_list(Image *im, const Cell *at, size_t n) {
  Cell *copy = ARENA_ARRAY(&im->arena, Cell, n);
  memcpy(copy, at, n * sizeof *at);
  return (Cell){.kind = at[0].kind, .list = copy, .nlist = n};
}

Cell image_row(Image *im, const Record *r, const Cell *cell) {
  Cell *copy = ARENA_ARRAY(&im->arena, Cell, r->n);
  for (size_t i = 0; i < r->n; i++) {
    const Member *m = &r->member[i];
    if (cell[i].kind == CK_NONE) ICE("image.c gives %s.%s no value", r->name, m->name);
    if (cell[i].kind != m->kind || (cell[i].nlist > 0) != (m->count > 0) || cell[i].nlist > m->count)
      ICE("image.c gives %s.%s a value of another kind", r->name, m->name);
    copy[i] = cell[i];
  }
  return (Cell){.kind = CK_RECORD, .is.row = copy};
}

/* tables --------------------------------------------------------------------------------------------------------------
 */
static Table *new_table(Image *im, TablePart part, const Record *r, const char *name) {
  Table *t = ARENA_NEW(&im->arena, Table);
  *t = (Table){.name = name, .element = {.kind = r ? CK_RECORD : CK_TEXT, .record = r}, .part = part};
  return t;
}

static TableRow *add_row(Image *im, Table *t, Cell cell) {
  VEC_PUSH(&im->arena, t->row, (TableRow){.cell = cell});
  return &t->row.at[t->row.n - 1];
}

// The table has its rows; one without any is not printed.
static const Table *finish(Image *im, Table *t) {
  if (t->row.n) VEC_PUSH(&im->arena, im->table, t);
  return t;
}

static const char *route_table(Image *im, const char *what, size_t route) {
  return arena_printf(&im->arena, "mdl__%s_%s", what, im->names->route[route].id);
}

/* steps and checks ----------------------------------------------------------------------------------------------------
 */
static Cell none_operand(Image *im) {
  return ROW(im, operand, V(operand, kind, cell_u32(MDL__AT_NONE)), V(operand, index, cell_u32(0)),
             V(operand, base, cell_u64(0)), V(operand, offset, cell_u64(0)));
}

static Cell operand(Image *im, const Operand *a) {
  static const uint8_t kind[] = {[PLACE_ARENA] = MDL__AT_ARENA,
                                 [PLACE_WEIGHT] = MDL__AT_WEIGHT,
                                 [PLACE_INPUT] = MDL__AT_IN,
                                 [PLACE_OUTPUT] = MDL__AT_OUT};
  if (a->kind >= sizeof kind || !kind[a->kind]) ICE("image: operand of kind %u", a->kind);
  bool weight = a->kind == PLACE_WEIGHT;
  uint64_t offset = (uint64_t)(a->offset - a->base) + (weight ? im->p->weight.at[a->index].offset : 0);
  return ROW(im, operand, V(operand, kind, cell_u32(kind[a->kind])), V(operand, index, cell_u32(weight ? 0 : a->index)),
             V(operand, base, cell_u64((uint64_t)a->base)), V(operand, offset, cell_u64(offset)));
}

// "0: vit.sy:41 linear qkv f32[B,197,768] x [768,2304] + bias, 0.70 GFLOP"
static const char *step_comment(Image *im, const Step *s, size_t i) {
  const char *path = NULL, *what = s->comment ? s->comment : im->p->kernel.at[s->kernel].name;
  uint32_t line = 0, col = 0;
  if (!im->p->module->diag || !diag_place(im->p->module->diag, s->span, &path, &line, &col))
    return arena_printf(&im->arena, "%zu: %s", i, what);
  const char *slash = path ? strrchr(path, '/') : NULL;
  return arena_printf(&im->arena, "%zu: %s:%u %s", i, slash ? slash + 1 : path ? path : "", line, what);
}

static const Table *steps(Image *im, size_t route) {
  const RouteProgram *r = &im->p->route.at[route];
  Table *t = new_table(im, PART_STEPS, &record_step, route_table(im, "steps", route));
  for (size_t i = 0; i < r->step.n; i++) {
    const Step *s = &r->step.at[i];
    Cell arg[MAX_KERNEL_ARGS] = {none_operand(im)}, kernel = {.kind = CK_KERNEL, .is.u = s->kernel};
    for (uint32_t j = 0; j < s->narg; j++) arg[j] = operand(im, &s->arg[j]);
    TableRow *row =
        add_row(im, t,
                ROW(im, step, V(step, kernel, kernel), V(step, arg, cell_list(im, arg, s->narg ? s->narg : 1)),
                    V(step, flops, cell_f64(s->flops))));
    row->comment = step_comment(im, s, i);
  }
  return finish(im, t);
}

static Cell extent(Image *im, Dim d) { // may be below 0
  return ROW(im, extent, V(extent, constant, cell_i64(d.c)), V(extent, factor, cell_i64(d.k)),
             V(extent, dim, cell_u32(d.k ? (uint32_t)d.sym : 0)));
}

static const Table *checks(Image *im, size_t route) {
  IdChecks list = route_id_checks(&im->p->route.at[route], &im->arena);
  Table *t = new_table(im, PART_STEPS, &record_check, route_table(im, "checks", route));
  for (size_t i = 0; i < list.list.n; i++) {
    const IdCheck *c = &list.list.at[i];
    Cell stride[MAX_RANK] = {cell_u64(0)}, extents[MAX_RANK] = {extent(im, DIM(1))};
    size_t n = c->rank ? (size_t)c->rank : 1;
    for (int d = 0; d < c->rank; d++) {
      stride[d] = cell_u64((uint64_t)c->stride[d]);
      extents[d] = extent(im, c->extent[d]);
    }
    add_row(im, t,
            ROW(im, check, V(check, step, cell_u32(c->step)), V(check, rank, cell_u32((uint32_t)c->rank)),
                V(check, ids, operand(im, &c->at)), V(check, stride, cell_list(im, stride, n)),
                V(check, extent, cell_list(im, extents, n)), V(check, limit, extent(im, c->limit))));
  }
  return finish(im, t);
}

static void plans(Image *im) {
  Table *t = new_table(im, PART_STEPS, &record_plan, "mdl__plans");
  t->shared = true;
  t->size = "MDL_ROUTE_COUNT";
  for (size_t i = 0; i < im->p->route.n; i++) {
    const RouteProgram *r = &im->p->route.at[i];
    const Table *step = steps(im, i), *check = checks(im, i);
    add_row(im, t,
            ROW(im, plan, V(plan, nstep, cell_u32(r->step.n)), V(plan, ncheck, cell_u32(check->row.n)),
                V(plan, ninput, cell_u32(r->graph->input.n)), V(plan, noutput, cell_u32(r->graph->output.n)),
                V(plan, dims, cell_mask(im->names->route[i].dims)), V(plan, scale, cell_u32(r->scale)),
                V(plan, nbase, cell_u32(r->nbase)), V(plan, shared_bytes, cell_u64((uint64_t)r->arena_bytes)),
                V(plan, step, cell_ref(step)), V(plan, check, cell_ref(check))));
  }
  finish(im, t);
}

/* kernels -------------------------------------------------------------------------------------------------------------
 */
static size_t add_function(Image *im, const ImageFunction *f) {
  VEC_PUSH(&im->arena, im->function, *f);
  return im->function.n - 1;
}

// The function that counts a kernel's tasks; equal expressions share one.
static size_t tasks_function(Image *im, const Kernel *k) {
  Buf text = {0};
  size_t n = 0;
  emit_c_tasks(k, &text);
  const char *mine = arena_strdup(&im->arena, text.s);
  buf_free(&text);
  for (size_t i = 0; i < im->function.n; i++) {
    if (!im->function.at[i].tasks) continue;
    if (!strcmp(im->function.at[i].tasks, mine)) return i;
    n++;
  }
  return add_function(im, &(ImageFunction){arena_printf(&im->arena, "mdl__tasks_%zu", n), k, .tasks = mine});
}

// A set may have kernels of another one (InstructionSet.codes_of), which comes before it.
static size_t function_of(const Image *im, const Kernel *k) {
  for (size_t i = 0; i < im->function.n; i++)
    if (im->function.at[i].k == k && !im->function.at[i].tasks) return i;
  return SIZE_MAX;
}

static const Table *slots(Image *im, size_t target) {
  const Program *p = im->p;
  const Target *t = p->target[target];
  Table *table = new_table(im, PART_KERNELS, &record_slot, arena_printf(&im->arena, "mdl__slots_%s", t->name));
  table->size = "MDL__KERNELS";
  table->target = t;
  for (size_t i = 0; i < p->kernel.n; i++) {
    const Kernel *k = p->kernel.at[i].k[target];
    size_t run = function_of(im, k), tasks = tasks_function(im, k);
    if (run == SIZE_MAX) {
      const char *name = arena_printf(&im->arena, "mdl__%s_%s", im->names->kernel[i], t->name);
      run = add_function(im, &(ImageFunction){name, k, t, .kernel = i});
    }
    add_row(im, table,
            ROW(im, slot, V(slot, run, cell_function(run)), V(slot, tasks, cell_function(tasks)),
                V(slot, cost, cell_u64(model_task_cost(k)))));
  }
  if (!p->kernel.n)
    add_row(im, table,
            ROW(im, slot, V(slot, run, cell_function(SIZE_MAX)), V(slot, tasks, cell_function(SIZE_MAX)),
                V(slot, cost, cell_u64(0))));
  return finish(im, table);
}

static Cell isa_row(Image *im, const char *name, uint32_t rank, const uint32_t *need, const Table *slot, size_t probe,
                    uint64_t sum) {
  Cell masks[SY_CPU_WORDS];
  for (int k = 0; k < SY_CPU_WORDS; k++) masks[k] = cell_mask(need[k]);
  return ROW(im, isa_row, V(isa_row, name, cell_text(name)), V(isa_row, rank, cell_u32(rank)),
             V(isa_row, need, cell_list(im, masks, SY_CPU_WORDS)), V(isa_row, slot, cell_ref(slot)),
             V(isa_row, probe, cell_function(probe)), V(isa_row, probe_sum, cell_hash(sum)));
}

static void isas(Image *im) {
  static const uint32_t nothing[SY_CPU_WORDS];
  Table *table = new_table(im, PART_TABLES, &record_isa_row, "mdl__isas");
  size_t order[MAX_TARGETS];
  table->about = "Compiled instruction sets, worst first.";
  table->shared = true;
  model_rank_order(im->p, order);
  for (size_t i = 0; i < im->p->ntarget; i++) {
    const Target *t = im->p->target[order[i]];
    const Table *slot = slots(im, order[i]);
    const Kernel *probe = probe_kernel(&im->arena, t);
    uint32_t need[SY_CPU_WORDS];
    target_cpu_needs(t, need);
    size_t run = add_function(
        im, &(ImageFunction){arena_printf(&im->arena, "mdl__probe_%s", t->name), probe, t, .kernel = im->p->kernel.n});
    TableRow *row = add_row(im, table, isa_row(im, t->name, t->rank, need, slot, run, probe_sum(probe)));
    row->where = WHERE_COMPILED;
    row->target = t;
  }
  add_row(im, table, isa_row(im, NULL, 0, nothing, NULL, SIZE_MAX, 0));
  finish(im, table);
}

static void add_cap(Image *im, Table *table, const Target *t, Where where, int32_t rank, const char *name) {
  TableRow *row = add_row(im, table, ROW(im, cap, V(cap, name, cell_text(name)), V(cap, rank, cell_i32(rank))));
  row->where = where;
  row->target = t;
}

static void add_target_caps(Image *im, Table *table, const Target *t) {
  add_cap(im, table, t, WHERE_FAMILY, (int32_t)t->rank, t->name);
  if (strcmp(t->isa->family->is, "1") != 0) add_cap(im, table, t, WHERE_NOT_FAMILY, -2, t->name);
}

static void caps(Image *im) {
  Table *table = new_table(im, PART_TABLES, &record_cap, "mdl__caps");
  table->about = "What max_isa may say; -2: that is of another family of processors.";
  table->shared = true;
  for (size_t i = 0; targets[i]; i++) add_target_caps(im, table, targets[i]);
  for (size_t i = 0; i < im->p->ntarget; i++)
    if (target_by_name(im->p->target[i]->name) != im->p->target[i]) add_target_caps(im, table, im->p->target[i]);
  add_cap(im, table, NULL, EVERYWHERE, 0, NULL);
  finish(im, table);
}

static Cell param(Image *im, const ModelParam *m) {
  return ROW(im, param, V(param, role, cell_char(m->role)), V(param, dtype, cell_char(m->dtype)),
             V(param, n, cell_u64((uint64_t)m->n)));
}

static void params(Image *im) {
  Table *t = new_table(im, PART_TABLES, &record_param, "mdl__params");
  t->size = "MDL__KERNELS";
  t->inner = "MDL__MAX_ARGS";
  t->element.count = MAX_KERNEL_ARGS;
  t->shared = true;
  for (size_t i = 0; i < im->p->kernel.n || (!im->p->kernel.n && !i); i++) {
    ModelParam list[MAX_KERNEL_ARGS] = {{0}};
    Cell cell[MAX_KERNEL_ARGS];
    size_t n = im->p->kernel.n ? model_params(im->p, i, list) : 0;
    if (!n) n = 1;
    for (size_t b = 0; b < n; b++) cell[b] = param(im, &list[b]);
    add_row(im, t, cell_list(im, cell, n));
  }
  finish(im, t);
}

static void kernel_names(Image *im) {
  Table *t = new_table(im, PART_TABLES, NULL, "mdl__kernel_names");
  t->size = "MDL__KERNELS";
  t->guard = "defined(MDL_TRACE)";
  t->shared = true;
  for (size_t i = 0; i < im->p->kernel.n; i++) add_row(im, t, cell_text(im->names->kernel[i]));
  if (!im->p->kernel.n) add_row(im, t, cell_text(""));
  finish(im, t);
}

/* what a model tells about itself -------------------------------------------------------------------------------------
 */
static uint64_t weights_bytes(const Program *p) {
  return sy_weights_data_offset(p->weight.n) + p->weight_bytes;
}

static Cell bound(Image *im, const char *name, int64_t lo, int64_t hi) {
  return ROW(im, bound, V(bound, name, cell_text(name)), V(bound, lo, cell_u64((uint64_t)lo)),
             V(bound, hi, cell_u64((uint64_t)hi)));
}

static const Table *bounds(Image *im, const char *name, TablePart part) {
  const Module *m = im->p->module;
  Table *t = new_table(im, part, &record_bound, name);
  for (size_t i = 0; i < m->ndim; i++) add_row(im, t, bound(im, m->dim[i].name, m->dim[i].lo, m->dim[i].hi));
  if (part == PART_BOUNDS) {
    t->size = "MDL__ARG_DIMS";
    t->least = MAX_DIMS;
    t->shared = true;
    if (!m->ndim) add_row(im, t, bound(im, "", 0, 0));
  }
  return finish(im, t);
}

static Cell axis(Image *im, uint64_t constant, uint64_t factor, int dim, uint64_t most) {
  return ROW(im, axis, V(axis, constant, cell_u64(constant)), V(axis, factor, cell_u64(factor)),
             V(axis, dim, cell_i32(dim)), V(axis, bound, cell_u64(most)));
}

static Cell axis_of(Image *im, const Type *t, int d) {
  Dim x = t->dim[d];
  uint64_t most = (uint64_t)type_extent(im->p->module, t, d);
  if (x.sym == DIM_SEGS) return axis(im, most, 0, -1, most); // several run-time parts: laid out by their bounds
  return axis(im, (uint64_t)x.c, (uint64_t)x.k, x.k ? (int)x.sym : -1, most);
}

static const Table *tensors(Image *im, const Graph *g, const Port *list, size_t n, const char *name) {
  const Module *m = im->p->module;
  Table *table = new_table(im, PART_TABLES, &record_tensor, name);
  for (size_t i = 0; i < n; i++) {
    const Type *t = &graph_value(g, list[i].val)->type;
    Cell axes[MAX_RANK] = {axis(im, 1, 0, -1, 1)};
    for (int d = 0; d < t->rank; d++) axes[d] = axis_of(im, t, d);
    add_row(im, table,
            ROW(im, tensor, V(tensor, name, cell_text(list[i].name)),
                V(tensor, dtype, cell_text(dtype_info[t->dtype].name)), V(tensor, rank, cell_u32(t->rank)),
                V(tensor, axis, cell_list(im, axes, t->rank ? t->rank : 1)),
                V(tensor, elements, cell_u64((uint64_t)type_elements(m, t))),
                V(tensor, bytes, cell_u64((uint64_t)type_bytes(m, t)))));
  }
  return finish(im, table);
}

static const Table *listed_steps(Image *im, size_t route, const char *name) {
  const RouteProgram *r = &im->p->route.at[route];
  Table *t = new_table(im, PART_TABLES, &record_listed_step, name);
  for (size_t i = 0; i < r->step.n; i++) {
    const Step *s = &r->step.at[i];
    add_row(im, t,
            ROW(im, listed_step, V(listed_step, kernel, cell_text(im->p->kernel.at[s->kernel].name)),
                V(listed_step, about, cell_text(s->comment ? s->comment : "")),
                V(listed_step, flops, cell_f64(s->flops)), V(listed_step, bytes, cell_f64(s->bytes))));
  }
  return finish(im, t);
}

// The members that a route has with and without its steps.
#define ROUTE_MEMBERS(R, r, i, in, out, flops_)                                                                        \
  V(R, name, cell_text((r)->graph->name)), V(R, dims, cell_mask(im->names->route[i].dims)),                            \
      V(R, ninput, cell_u32((r)->graph->input.n)), V(R, noutput, cell_u32((r)->graph->output.n)),                      \
      V(R, nstep, cell_u32((r)->step.n)), V(R, input, cell_ref(in)), V(R, output, cell_ref(out)),                      \
      V(R, flops, cell_f64(flops_)), V(R, arena_bytes, cell_u64((uint64_t)(r)->arena_bytes))

static const Table *routes(Image *im, const char *stem, bool listed) {
  const Program *p = im->p;
  Arena *a = &im->arena;
  Table *t = new_table(im, PART_TABLES, listed ? &record_listed_route : &record_route,
                       arena_printf(a, "mdl__%s_routes", stem));
  for (size_t i = 0; i < p->route.n; i++) {
    const RouteProgram *r = &p->route.at[i];
    const Graph *g = r->graph;
    const char *id = im->names->route[i].id;
    const Table *in = tensors(im, g, g->input.at, g->input.n, arena_printf(a, "mdl__%s_%s_in", stem, id)),
                *out = tensors(im, g, g->output.at, g->output.n, arena_printf(a, "mdl__%s_%s_out", stem, id)),
                *step = listed ? listed_steps(im, i, arena_printf(a, "mdl__%s_%s_steps", stem, id)) : NULL;
    double flops = 0;
    for (size_t k = 0; k < r->step.n; k++) flops += r->step.at[k].flops;
    add_row(im, t,
            listed ? ROW(im, listed_route, ROUTE_MEMBERS(listed_route, r, i, in, out, flops),
                         V(listed_route, step, cell_ref(step)))
                   : ROW(im, route, ROUTE_MEMBERS(route, r, i, in, out, flops)));
  }
  return finish(im, t);
}

static const Table *isa_names(Image *im, const char *name) {
  Table *t = new_table(im, PART_TABLES, NULL, name);
  size_t order[MAX_TARGETS];
  model_rank_order(im->p, order);
  for (size_t i = 0; i < im->p->ntarget; i++) {
    TableRow *row = add_row(im, t, cell_text(im->p->target[order[i]]->name));
    row->where = WHERE_COMPILED;
    row->target = im->p->target[order[i]];
  }
  add_row(im, t, cell_text(NULL));
  return finish(im, t);
}

static const Table *prepares(Image *im, const char *name) {
  const Module *m = im->p->module;
  Table *t = new_table(im, PART_TABLES, &record_prepare, name);
  for (size_t i = 0; i < m->prepare.n; i++) {
    const Prepare *q = &m->prepare.at[i];
    add_row(im, t,
            ROW(im, prepare, V(prepare, name, cell_text(q->name)), V(prepare, kind, cell_text(q->kind)),
                V(prepare, options, cell_text(q->options ? q->options : ""))));
  }
  return finish(im, t);
}

static const Table *ports(Image *im, const char *stem, size_t at, const char *what, const sy_port *port, size_t n) {
  Table *t = new_table(im, PART_TABLES, &record_port, arena_printf(&im->arena, "mdl__%s_%zu_%s", stem, at, what));
  for (size_t i = 0; i < n; i++)
    add_row(im, t, ROW(im, port, V(port, role, cell_u32(port[i].role)), V(port, pair, cell_u32(port[i].pair))));
  return finish(im, t);
}

static Cell generate(Image *im, const char *stem, size_t at, const sy_generate *x) {
  const Graph *s = im->p->route.at[x->start].graph, *t = im->p->route.at[x->step].graph;
  const Table *start_in = ports(im, stem, at, "start_in", x->start_in, s->input.n),
              *start_out = ports(im, stem, at, "start_out", x->start_out, s->output.n),
              *step_in = ports(im, stem, at, "step_in", x->step_in, t->input.n),
              *step_out = ports(im, stem, at, "step_out", x->step_out, t->output.n);
  return ROW(im, generate, V(generate, name, cell_text(x->name)), V(generate, prompt, cell_text(x->prompt)),
             V(generate, rule, cell_u32(x->rule)), V(generate, width, cell_u32(x->width)),
             V(generate, start, cell_u32(x->start)), V(generate, step, cell_u32(x->step)),
             V(generate, start_in, cell_ref(start_in)), V(generate, start_out, cell_ref(start_out)),
             V(generate, step_in, cell_ref(step_in)), V(generate, step_out, cell_ref(step_out)),
             V(generate, start_id, cell_i64(x->start_id)), V(generate, mask_id, cell_i64(x->mask_id)),
             V(generate, end_id, cell_i64(x->end_id)), V(generate, pad_id, cell_i64(x->pad_id)),
             V(generate, beams, cell_i64(x->beams)), V(generate, longest, cell_i64(x->longest)),
             V(generate, shortest, cell_i64(x->shortest)), V(generate, length_penalty, cell_f64(x->length_penalty)),
             V(generate, repetition_penalty, cell_f64(x->repetition_penalty)));
}

static const Table *generates(Image *im, const char *stem) {
  Table *t = new_table(im, PART_TABLES, &record_generate, arena_printf(&im->arena, "mdl__%s_generate", stem));
  size_t n = 0;
  const sy_generate *all = program_generates(im->p, &im->arena, &n);
  for (size_t i = 0; i < n; i++) add_row(im, t, generate(im, stem, i, &all[i]));
  return finish(im, t);
}

#define INFO_MEMBERS(R)                                                                                                \
  V(R, model, cell_text(m->name)), V(R, plan_hash, cell_hash(p->plan_hash)),                                           \
      V(R, weights_bytes, cell_u64(weights_bytes(p))), V(R, shared_bytes, cell_u64((uint64_t)p->arena_bytes)),         \
      V(R, scratch_bytes, cell_u64((uint64_t)p->scratch_bytes)), V(R, ndim, cell_u32(m->ndim)),                        \
      V(R, nroute, cell_u32(p->route.n)), V(R, nisa, count), V(R, nprepare, cell_u32(prepare ? prepare->row.n : 0)),   \
      V(R, dim, cell_ref(dim)), V(R, route, cell_ref(route)), V(R, isa, names), V(R, prepare, cell_ref(prepare)),      \
      V(R, built, cell_text(m->built ? m->built : "")), V(R, ngenerate, cell_u32(generated->row.n)),                   \
      V(R, generate, cell_ref(generated))

// stem: "info", "glue": of its tables and its own name.
static void info(Image *im, const char *stem, bool listed, bool shared, bool with_prepare) {
  const Program *p = im->p;
  const Module *m = p->module;
  Arena *a = &im->arena;
  Table *t =
      new_table(im, PART_TABLES, listed ? &record_listed_info : &record_info, arena_printf(a, "mdl__%s_table", stem));
  const Table *dim = bounds(im, arena_printf(a, "mdl__%s_dims", stem), PART_TABLES), *route = routes(im, stem, listed),
              *isa = isa_names(im, arena_printf(a, "mdl__%s_isas", stem)),
              *prepare = with_prepare ? prepares(im, arena_printf(a, "mdl__%s_prepare", stem)) : NULL,
              *generated = generates(im, stem);
  Cell names = {.kind = CK_TEXTS, .is.table = isa}, count = {.kind = CK_U32, .is.table = isa, .rows = true};
  t->one = true;
  t->shared = shared;
  add_row(im, t, listed ? ROW(im, listed_info, INFO_MEMBERS(listed_info)) : ROW(im, info, INFO_MEMBERS(info)));
  finish(im, t);
}

static void facts(Image *im) {
  const Program *p = im->p;
  uint64_t part[MDL__PARTS] = {0}, add = 0;
  if (program_trains(p)) {
    Training x = program_training(p, &im->arena);
    training_parts(p, &x, part);
    add = training_add_bytes(&x);
  }
  Table *t = new_table(im, PART_ENGINE, &record_facts, "mdl__facts_table");
  t->one = true;
  t->shared = true;
  add_row(
      im, t,
      ROW(im, facts, V(facts, plan_hash, cell_hash(p->plan_hash)), V(facts, weights_bytes, cell_u64(weights_bytes(p))),
          V(facts, weights_data, cell_u64(sy_weights_data_offset(p->weight.n))),
          V(facts, weights_count, cell_u64(p->weight.n)), V(facts, shared_bytes, cell_u64((uint64_t)p->arena_bytes)),
          V(facts, scratch_bytes, cell_u64((uint64_t)p->scratch_bytes)), V(facts, routes, cell_u64(p->route.n)),
          V(facts, train_bytes, cell_u64(part[MDL__ADDED])), V(facts, train_add_bytes, cell_u64(add))));
  finish(im, t);
}

/* training ------------------------------------------------------------------------------------------------------------
 */
static void entries(Image *im) {
  Table *t = new_table(im, PART_TABLES, &record_entry, "mdl__entries");
  t->about = "Entries of the weight file.";
  t->shared = true;
  for (size_t i = 0; i < im->p->weight.n || !i; i++) {
    const PackedWeight *w = i < im->p->weight.n ? &im->p->weight.at[i] : NULL;
    add_row(im, t,
            ROW(im, entry, V(entry, offset, cell_u64(w ? w->offset : 0)), V(entry, bytes, cell_u64(w ? w->bytes : 0)),
                V(entry, type, cell_u64(w ? (uint64_t)dtype_info[w->dtype].code : 0))));
  }
  finish(im, t);
}

static Cell stored(Image *im, const TrainingTensor *x) {
  const Module *m = im->p->module;
  mdl__stored s = training_stored(m, x);
  Cell about = ROW(im, trained, V(trained, name, cell_text(x->name)), V(trained, elements, cell_u64(s.about.elements)),
                   V(trained, dtype, cell_char(s.about.dtype)), V(trained, trained, cell_i32(s.about.trained)));
  return ROW(im, stored, V(stored, about, about), V(stored, offset, cell_u64(s.offset)),
             V(stored, slot, cell_u64(s.slot)), V(stored, next, cell_u64(s.next)), V(stored, bytes, cell_u64(s.bytes)),
             V(stored, turned, cell_i32(s.turned)), V(stored, outer, cell_u64(s.outer)), V(stored, n, cell_u64(s.n)),
             V(stored, k, cell_u64(s.k)), V(stored, panel, cell_u64(s.panel)), V(stored, pitch, cell_u64(s.pitch)));
}

static Cell adapter(Image *im, const mdl__adapter *x) {
  return ROW(im, adapter, V(adapter, name, cell_text(x->name)), V(adapter, a, cell_u32(x->a)),
             V(adapter, b, cell_u32(x->b)), V(adapter, turned, cell_i32(x->turned)), V(adapter, n, cell_u64(x->n)),
             V(adapter, k, cell_u64(x->k)), V(adapter, rank, cell_u64(x->rank)), V(adapter, scale, cell_f64(x->scale)));
}

static Cell left(Image *im, const TrainingOutput *o) {
  return ROW(im, left, V(left, kind, cell_u32(o->kind)), V(left, stored, cell_u32(o->tensor)));
}

static Cell objective(Image *im, const TrainingObjective *o) {
  size_t n = im->p->route.at[o->route].graph->output.n;
  Table *t = new_table(im, PART_TABLES, &record_left, route_table(im, "left", o->route));
  for (size_t i = 0; i < n; i++) add_row(im, t, left(im, &o->output[i]));
  return ROW(im, objective, V(objective, route, cell_u32(o->route)), V(objective, noutput, cell_u32(n)),
             V(objective, output, cell_ref(finish(im, t))));
}

// Where nothing is trained, an engine that is compiled ahead wants the tables all the same.
static void training(Image *im) {
  Training x = program_trains(im->p) ? program_training(im->p, &im->arena) : (Training){0};
  Table *tensor = new_table(im, PART_TABLES, &record_stored, "mdl__stored_table"),
        *adapted = new_table(im, PART_TABLES, &record_adapter, "mdl__adapters"),
        *list = new_table(im, PART_TABLES, &record_objective, "mdl__objectives"),
        *facts = new_table(im, PART_TABLES, &record_training, "mdl__training_table");
  uint64_t part[MDL__PARTS] = {0};
  Cell parts[MDL__PARTS];
  tensor->shared = adapted->shared = list->shared = facts->shared = facts->one = true;
  if (program_trains(im->p)) training_parts(im->p, &x, part);
  for (int i = 0; i < MDL__PARTS; i++) parts[i] = cell_u64(part[i]);
  for (size_t i = 0; i < x.tensor.n; i++) add_row(im, tensor, stored(im, &x.tensor.at[i]));
  if (!x.tensor.n) add_row(im, tensor, stored(im, &(TrainingTensor){.name = ""}));
  finish(im, tensor);
  for (size_t i = 0; i < x.adapter.n; i++) add_row(im, adapted, adapter(im, &x.adapter.at[i]));
  if (!x.adapter.n) add_row(im, adapted, adapter(im, &(mdl__adapter){.name = ""}));
  finish(im, adapted);
  for (size_t i = 0; i < x.objective.n; i++) add_row(im, list, objective(im, &x.objective.at[i]));
  if (!x.objective.n)
    add_row(im, list,
            ROW(im, objective, V(objective, route, cell_u32(0)), V(objective, noutput, cell_u32(0)),
                V(objective, output, cell_ref(NULL))));
  finish(im, list);
  add_row(im, facts,
          ROW(im, training, V(training, nstored, cell_u32(x.tensor.n)),
              V(training, nobjective, cell_u32(x.objective.n)), V(training, nadapter, cell_u32(x.adapter.n)),
              V(training, update, cell_u32(program_trains(im->p) ? im->p->update : 0)),
              V(training, slots, cell_u64(x.slots)), V(training, part, cell_list(im, parts, MDL__PARTS)),
              V(training, layout, cell_u64(x.layout))));
  finish(im, facts);
}

/* images --------------------------------------------------------------------------------------------------------------
 */
Image image_of(const Program *p, const ModelNames *n, const ImageOf *o) {
  Image im = {.p = p, .names = n};
  bounds(&im, "mdl__bounds", PART_BOUNDS);
  plans(&im);
  isas(&im);
  caps(&im);
  params(&im);
  kernel_names(&im);
  info(&im, "info", false, true, o->prepare);
  if (o->alone) facts(&im);
  if (o->alone || program_trains(p)) entries(&im), training(&im);
  if (o->glue) info(&im, "glue", true, true, o->prepare);
  return im;
}

Image image_of_glue(const Program *p, const ModelNames *n, const ImageOf *o) {
  Image im = {.p = p, .names = n};
  info(&im, "info", true, false, o->prepare);
  return im;
}

void image_free(Image *im) {
  arena_free(&im->arena);
}

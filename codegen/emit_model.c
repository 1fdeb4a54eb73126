// emit_model.c: a Program as one C file: what each route does (tables of steps, one commented row a launch), the
// kernels of every target in guarded sections, within the engine (runtime/engine/engine.c), which checks calls and runs
// steps.
//
// Invariants: no mutable static data, no dependency but the C library, equal programs give equal bytes; a kernel is
// printed once a target however many steps use it.
//
//   static const vit_step vit_steps_classify[] = {
//     /* vit.sy:41 linear qkv f32[B,197,768] x [768,2304] + bias: 0.70 GFLOP, tile 8x48 */
//     {vit_k_gemm_k768_n2304_bias, {A(0), W(1769472), W(8847360), A(19365888)}, 697303040.0},
#include "template.h"

#include "probe.h"
#include "runtime/weights_format.h"

#include <string.h>

static void emit_rule(Buf *out, const char *title) {
  buf_putc(out, '\n');
  emit_section(out, title, strlen(title));
  buf_putc(out, '\n');
}

/* numbers and structs -------------------------------------------------------------------------------------------------
 */
static uint32_t max_args(const Program *p) {
  uint32_t n = 2; // of the probe
  for (size_t r = 0; r < p->route.n; r++)
    for (size_t i = 0; i < p->route.at[r].step.n; i++)
      if (p->route.at[r].step.at[i].narg > n) n = p->route.at[r].step.at[i].narg;
  return n;
}

static void emit_numbers(const Program *p, const ModelNames *n, Buf *out) {
  const char *u = n->own_upper;
  size_t dims = p->module->ndim ? p->module->ndim : 1;
  buf_printf(out, "#define %s_KERNELS %zu\n", u, p->kernel.n ? p->kernel.n : 1);
  buf_printf(out, "#define %s_MAX_ARGS %u\n#define %s_ARG_DIMS %zu\n", u, max_args(p), u, dims);
  buf_printf(out, "#define %s_WEIGHTS_DATA %lluu /* where the packed weights begin in their file */\n", u,
             (unsigned long long)sy_weights_data_offset(p->weight.n));
  buf_printf(out, "#define %s_WEIGHTS_COUNT %zuu\n\n", u, p->weight.n);
}

static void emit_bounds(const Program *p, const ModelNames *n, Buf *out) {
  const Module *m = p->module;
  buf_printf(out, "\nstatic const %s_bound %s_bounds[%s_ARG_DIMS] = {", n->prefix, n->own, n->own_upper);
  for (size_t i = 0; i < m->ndim; i++) {
    buf_puts(out, i ? ", {" : "{");
    emit_string(out, m->dim[i].name);
    buf_printf(out, ", %lld, %lld}", (long long)m->dim[i].lo, (long long)m->dim[i].hi);
  }
  buf_puts(out, m->ndim ? "};\n" : "{\"\", 0, 0}};\n");
}

/* steps ---------------------------------------------------------------------------------------------------------------
 */
static void emit_kernel_enum(const Program *p, const ModelNames *n, Buf *out) {
  buf_puts(out, "enum { /* kernels */\n");
  for (size_t i = 0; i < p->kernel.n; i++) {
    const Kernel *k = p->kernel.at[i].k[0];
    buf_printf(out, "  %s_k_%s%s", n->own, n->kernel[i], i + 1 < p->kernel.n ? "," : "");
    if (k && k->about && *k->about) {
      buf_puts(out, " /* ");
      emit_comment(out, k->about);
      buf_puts(out, " */");
    }
    buf_putc(out, '\n');
  }
  if (!p->kernel.n) buf_printf(out, "  %s_k_none\n", n->own);
  buf_puts(out, "};\n");
}

static void emit_weight_list(const Program *p, Buf *out) {
  buf_puts(out, "/* Packed weights: W(offset), and what is there.\n");
  for (size_t i = 0; i < p->weight.n; i++) {
    const PackedWeight *w = &p->weight.at[i];
    buf_printf(out, " *   %10llu %10llu bytes  ", (unsigned long long)w->offset, (unsigned long long)w->bytes);
    emit_comment(out, w->label ? w->label : "");
    buf_putc(out, '\n');
  }
  buf_puts(out, " */\n");
}

static void emit_operand(const Program *p, const Operand *a, Buf *out) {
  switch (a->kind) {
  case PLACE_ARENA:
    buf_printf(out, "A(%u, %lld, %lld)", a->index, (long long)a->base, (long long)(a->offset - a->base));
    return;
  case PLACE_WEIGHT:
    buf_printf(out, "W(%lld)", (long long)p->weight.at[a->index].offset + (long long)a->offset);
    return;
  case PLACE_INPUT: buf_printf(out, "IN(%u, %lld)", a->index, (long long)a->offset); return;
  case PLACE_OUTPUT: buf_printf(out, "OUT(%u, %lld)", a->index, (long long)a->offset); return;
  default: ICE("emit_model: operand of kind %u", a->kind);
  }
}

static void emit_place(const Program *p, Span span, Buf *out) {
  const char *path = NULL;
  uint32_t line = 0, col = 0;
  if (!p->module->diag || !diag_place(p->module->diag, span, &path, &line, &col)) return;
  const char *slash = path ? strrchr(path, '/') : NULL;
  emit_comment(out, slash ? slash + 1 : path);
  buf_printf(out, ":%u ", line);
}

static void emit_route_steps(const Program *p, const ModelNames *n, size_t at, Buf *out) {
  const RouteProgram *r = &p->route.at[at];
  if (!r->step.n) return;
  buf_printf(out, "\nstatic const %s_step %s_steps_%s[] = {\n", n->own, n->own, n->route[at].id);
  for (size_t i = 0; i < r->step.n; i++) {
    const Step *s = &r->step.at[i];
    buf_printf(out, "  {%s_k_%s, {", n->own, n->kernel[s->kernel]);
    for (uint32_t j = 0; j < s->narg; j++) {
      if (j) buf_puts(out, ", ");
      emit_operand(p, &s->arg[j], out);
    }
    if (!s->narg) buf_puts(out, "{0, 0, 0, 0}");
    buf_printf(out, "}, %.1f}, /* %zu: ", s->flops, i);
    emit_place(p, s->span, out);
    emit_comment(out, s->comment ? s->comment : p->kernel.at[s->kernel].name);
    buf_puts(out, " */\n");
  }
  buf_puts(out, "};\n");
}

static void emit_extent(Dim d, Buf *out) {
  buf_printf(out, "{%lld, %d, %d}", (long long)d.c, d.k, d.k ? (int)d.sym : 0); // may be below 0: see ids_fit
}

static size_t emit_route_checks(const Program *p, const ModelNames *n, size_t at, Buf *out) {
  Arena a = {0};
  IdChecks checks = route_id_checks(&p->route.at[at], &a);
  if (checks.list.n) buf_printf(out, "\nstatic const %s_check %s_checks_%s[] = {\n", n->own, n->own, n->route[at].id);
  for (size_t i = 0; i < checks.list.n; i++) {
    const IdCheck *c = &checks.list.at[i];
    buf_printf(out, "  {%u, %d, ", c->step, c->rank);
    emit_operand(p, &c->at, out);
    buf_puts(out, ", {");
    for (int d = 0; d < c->rank; d++) buf_printf(out, "%s%lld", d ? ", " : "", (long long)c->stride[d]);
    buf_puts(out, c->rank ? "}, {" : "0}, {");
    for (int d = 0; d < c->rank; d++) {
      if (d) buf_puts(out, ", ");
      emit_extent(c->extent[d], out);
    }
    buf_puts(out, c->rank ? "}, " : "{1, 0, 0}}, ");
    emit_extent(c->limit, out);
    buf_puts(out, "},\n");
  }
  if (checks.list.n) buf_puts(out, "};\n");
  size_t count = checks.list.n;
  arena_free(&a);
  return count;
}

static void emit_plans(const Program *p, const ModelNames *n, Buf *out) {
  const char *x = n->own;
  buf_puts(
      out,
      "/* Where an operand is: the arena (number of the place, where it begins), the weights, an input or output of\n"
      " * the caller; and the byte offset. */\n");
  buf_printf(out, "#define A(i, base, offset) {%s_AT_ARENA, i, base, offset}\n", n->own_upper);
  buf_printf(out, "#define W(offset) {%s_AT_WEIGHT, 0, 0, offset}\n", n->own_upper);
  buf_printf(out, "#define IN(i, offset) {%s_AT_IN, i, 0, offset}\n", n->own_upper);
  buf_printf(out, "#define OUT(i, offset) {%s_AT_OUT, i, 0, offset}\n", n->own_upper);
  for (size_t i = 0; i < p->route.n; i++) emit_route_steps(p, n, i, out);
  size_t *checks = ARENA_ARRAY(p->module->arena, size_t, p->route.n + 1);
  for (size_t i = 0; i < p->route.n; i++) checks[i] = emit_route_checks(p, n, i, out);
  buf_puts(out, "\n#undef A\n#undef W\n#undef IN\n#undef OUT\n\n");
  buf_printf(out, "static const %s_plan %s_plans[%s_ROUTE_COUNT] = {\n", x, x, n->upper);
  for (size_t i = 0; i < p->route.n; i++) {
    const RouteProgram *r = &p->route.at[i];
    buf_printf(out, "  {%zu, %zu, %zu, %zu, 0x%xu, %u, %u, %lld, ", r->step.n, checks[i], r->graph->input.n,
               r->graph->output.n, n->route[i].dims, r->scale, r->nbase, (long long)r->arena_bytes);
    buf_printf(out, r->step.n ? "%s_steps_%s, " : "NULL, ", x, n->route[i].id);
    buf_printf(out, checks[i] ? "%s_checks_%s},\n" : "NULL},\n", x, n->route[i].id);
  }
  buf_puts(out, "};\n");
}

/* kernels -------------------------------------------------------------------------------------------------------------
 */
// Functions that count tasks, one for each different expression.
typedef struct TaskFns {
  Arena arena;
  const char **text;
  size_t n;
  uint32_t *of; // [kernel * ntarget + target]
} TaskFns;

static TaskFns emit_task_functions(const Program *p, const ModelNames *n, Buf *out) {
  TaskFns f = {0};
  f.text = ARENA_ARRAY(&f.arena, const char *, p->kernel.n * p->ntarget + 1);
  f.of = ARENA_ARRAY(&f.arena, uint32_t, p->kernel.n * p->ntarget + 1);
  buf_puts(out, "/* How many tasks a kernel has for the run-time dims d. */\n");
  for (size_t i = 0; i < p->kernel.n; i++)
    for (size_t t = 0; t < p->ntarget; t++) {
      Buf text = {0};
      emit_c_tasks(p->kernel.at[i].k[t], &text);
      size_t at = 0;
      while (at < f.n && strcmp(f.text[at], text.s) != 0) at++;
      if (at == f.n) {
        f.text[f.n++] = arena_strdup(&f.arena, text.s);
        buf_printf(out, "%s_UNUSED static size_t %s_tasks_%zu(const size_t *d) {\n  (void)d;\n  return %s;\n}\n",
                   n->own_upper, n->own, at, text.s);
      }
      f.of[i * p->ntarget + t] = (uint32_t)at;
      buf_free(&text);
    }
  return f;
}

static void emit_probe(const ModelNames *n, const Target *target, EmitFunctions *functions, Buf *out) {
  Arena a = {0};
  const char *name = arena_printf(&a, "%s_probe_%s", n->own, target->name);
  emit_c_kernel(probe_kernel(&a, target), target, &(EmitC){n->own, name, "  ", functions}, out);
  buf_putc(out, '\n');
  arena_free(&a);
}

static void emit_section_of(const Program *p, const ModelNames *n, size_t t, const TaskFns *tasks, Buf *out) {
  const Target *target = p->target[t];
  bool always = !strcmp(target->macro, "1");
  Buf title = {0};
  buf_printf(&title, "Kernels: %s", target->name);
  emit_rule(out, title.s);
  buf_free(&title);
  if (!always) buf_printf(out, "#if %s\n", target->macro);
  if (target->prelude && *target->prelude) buf_printf(out, "%s\n", target->prelude);
  EmitFunctions functions = {0};
  for (size_t i = 0; i < p->kernel.n; i++) {
    Buf name = {0};
    buf_printf(&name, "%s_%s_%s", n->own, n->kernel[i], target->name);
    emit_c_kernel(p->kernel.at[i].k[t], target, &(EmitC){n->own, name.s, "  ", &functions}, out);
    buf_putc(out, '\n');
    buf_free(&name);
  }
  emit_probe(n, target, &functions, out);
  emit_c_functions_free(&functions);
  buf_printf(out, "static const %s_slot %s_slots_%s[%s_KERNELS] = {\n", n->own, n->own, target->name, n->own_upper);
  for (size_t i = 0; i < p->kernel.n; i++)
    buf_printf(out, "  {%s_%s_%s, %s_tasks_%u, %llu},\n", n->own, n->kernel[i], target->name, n->own,
               tasks->of[i * p->ntarget + t], (unsigned long long)model_task_cost(p->kernel.at[i].k[t]));
  if (!p->kernel.n) buf_puts(out, "  {NULL, NULL, 0},\n");
  buf_puts(out, "};\n");
  if (!always) buf_printf(out, "#endif /* %s */\n", target->name);
}

static void emit_cap(const Target *t, Buf *out) {
  bool any = !strcmp(t->family, "1");
  if (!any) buf_printf(out, "#if %s\n", t->family);
  buf_printf(out, "  {\"%s\", %u},\n", t->name, t->rank);
  if (!any) buf_printf(out, "#else\n  {\"%s\", -2},\n#endif\n", t->name);
}

static void emit_caps(const Program *p, const ModelNames *n, Buf *out) {
  buf_printf(out, "static const %s_cap %s_caps[] = {\n", n->own, n->own);
  for (size_t i = 0; targets[i]; i++) emit_cap(targets[i], out);
  for (size_t i = 0; i < p->ntarget; i++)
    if (target_by_name(p->target[i]->name) != p->target[i]) emit_cap(p->target[i], out);
  buf_puts(out, "  {NULL, 0}};\n");
}

static void emit_isas(const Program *p, const ModelNames *n, Buf *out) {
  Arena scratch = {0};
  size_t order[MAX_TARGETS];
  model_rank_order(p, order);
  buf_printf(out, "/* Compiled instruction sets, worst first. */\nstatic const %s_isa_row %s_isas[] = {\n", n->own,
             n->own);
  for (size_t i = 0; i < p->ntarget; i++) {
    const Target *t = p->target[order[i]];
    uint32_t need[4];
    if (!target_cpu_needs(t, need))
      ICE("target %s: its attribute names a CPU feature that emit_model_names.c does not know", t->name);
    bool always = !strcmp(t->macro, "1");
    if (!always) buf_printf(out, "#if %s\n", t->macro);
    buf_printf(out, "  {\"%s\", %u, {0x%xu, 0x%xu, 0x%xu, 0x%xu}, %s_slots_%s, %s_probe_%s, UINT64_C(0x%016llx)},\n",
               t->name, t->rank, need[0], need[1], need[2], need[3], n->own, t->name, n->own, t->name,
               (unsigned long long)probe_sum(probe_kernel(&scratch, t)));
    if (!always) buf_puts(out, "#endif\n");
  }
  buf_puts(out, "  {NULL, 0, {0, 0, 0, 0}, NULL, NULL, 0}};\n\n");
  arena_free(&scratch);
  emit_caps(p, n, out);
}

static void emit_kernel_tables(const Program *p, const ModelNames *n, Buf *out) {
  buf_printf(out, "\nstatic const %s_param %s_params[%s_KERNELS][%s_MAX_ARGS] = {\n", n->own, n->own, n->own_upper,
             n->own_upper);
  for (size_t i = 0; i < p->kernel.n; i++) {
    buf_puts(out, "  {");
    ModelParam param[MAX_KERNEL_ARGS];
    size_t count = model_params(p, i, param);
    for (size_t b = 0; b < count; b++)
      buf_printf(out, "%s{'%c', '%c', %lld}", b ? ", " : "", param[b].role, param[b].dtype, (long long)param[b].n);
    buf_puts(out, count ? "},\n" : "{0, 0, 0}},\n");
  }
  if (!p->kernel.n) buf_puts(out, "  {{0, 0, 0}},\n");
  buf_printf(out, "};\n\n#ifdef %s_TRACE\nstatic const char *const %s_kernel_names[%s_KERNELS] = {\n", n->upper, n->own,
             n->own_upper);
  for (size_t i = 0; i < p->kernel.n; i++) buf_printf(out, "  \"%s\",\n", n->kernel[i]);
  if (!p->kernel.n) buf_puts(out, "  \"\",\n");
  buf_puts(out, "};\n#endif\n");
}

/* the parts of engine.c -----------------------------------------------------------------------------------------------
 */
static void part_title(const ModelText *m, Buf *out) {
  buf_puts(out, "/* The compiled model \"");
  emit_comment(out, m->p->module->name);
  buf_printf(out, "\" in C. Generated by syc; do not edit. Interface: %s.\n *\n", m->o->header_name);
  buf_puts(
      out,
      " * Steps of the routes, then the kernels of each instruction set, then checking and running calls. Nothing is\n"
      " * allocated and nothing static is written. Build with -O2 -ffp-contract=off and without fast-math. */\n");
  buf_printf(out, "#include \"%s\"\n\n", m->o->header_name);
  emit_header_check(m->p, m->n, m->o, out);
}

static void part_numbers(const ModelText *m, Buf *out) {
  emit_numbers(m->p, m->n, out);
}

static void part_tables(const ModelText *m, Buf *out) {
  const Program *p = m->p;
  const ModelNames *n = m->n;
  emit_bounds(p, n, out);
  emit_rule(out, "Steps");
  emit_kernel_enum(p, n, out);
  buf_putc(out, '\n');
  emit_weight_list(p, out);
  buf_putc(out, '\n');
  emit_plans(p, n, out);
  emit_rule(out, "Kernels: what all instruction sets share");
  buf_printf(out, "%s\n", emit_c_scalar_prelude());
  TaskFns tasks = emit_task_functions(p, n, out);
  for (size_t t = 0; t < p->ntarget; t++) emit_section_of(p, n, t, &tasks, out);
  arena_free(&tasks.arena);
  emit_rule(out, "Tables");
  emit_isas(p, n, out);
  emit_kernel_tables(p, n, out);
  buf_putc(out, '\n');
  emit_info(p, m->o, n, n->prefix, out);
}

static void part_route_functions(const ModelText *m, Buf *out) {
  emit_rule(out, "Routes");
  for (size_t i = 0; i < m->p->route.n; i++) {
    if (i) buf_putc(out, '\n');
    emit_route_definition(m->p, m->n, i, out);
  }
}

void emit_model_c(const Program *p, const EmitModel *o, Buf *out) {
  static const TextPartRow parts[] = {{"title", part_title},
                                      {"numbers", part_numbers},
                                      {"tables", part_tables},
                                      {"route_functions", part_route_functions},
                                      {NULL, NULL}};
  ModelNames n = model_names(p, o);
  template_print("engine.c", &(ModelText){p, o, &n}, parts, out);
  model_names_free(&n);
}

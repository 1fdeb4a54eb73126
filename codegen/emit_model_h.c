// emit_model_h.c: the header of a compiled model. Everything a caller needs to know is a macro, a type or a comment in
// it: sizes, bounds, layouts, the order of calls. C11 and C++11. Its frame is runtime/engine/model.h; here are the
// parts that differ from model to model.
//
// Invariants: only names that begin with the prefix; no dependency but <stddef.h> and <stdint.h>; equal programs give
// equal bytes.
//
//   #define VIT_CLASSIFY_IMAGE_ELEMENTS 4816896u     // f32[B,3,224,224], B <= 32
//   vit_status vit_classify(vit_ctx *ctx, size_t B, const float *image, float *logits);
#include "template.h"
#include "training.h"

#include "runtime/engine/plan.h"
#include "runtime/weights_format.h"

#include <string.h>

static void emit_fixed_sizes(const Program *p, const ModelNames *n, Buf *out) {
  const char *u = n->upper;
  uint64_t data = sy_weights_data_offset(p->weight.n);
  buf_printf(out, "#define %s_PLAN_HASH UINT64_C(0x%016llx)\n", u, (unsigned long long)p->plan_hash);
  buf_printf(out, "#define %s_WEIGHTS_BYTES %lluu /* the weight file */\n", u,
             (unsigned long long)(data + p->weight_bytes));
  buf_printf(out, "#define %s_CONTEXT_BYTES %lldu\n", u, (long long)MDL_CONTEXT_BYTES);
  buf_printf(out, "#define %s_SHARED_BYTES %lldu  /* tensors between kernels: the largest route */\n", u,
             (long long)p->arena_bytes);
  buf_printf(out, "#define %s_SCRATCH_BYTES %lldu /* of one thread */\n", u, (long long)p->scratch_bytes);
  buf_puts(out, "\n/* Arena for a number of threads: any route, or one route alone. */\n");
  buf_printf(out,
             "#define %s_ARENA_BYTES(threads) (%s_CONTEXT_BYTES + %s_SHARED_BYTES + ((threads) > 1 ? (size_t)(threads) "
             ": 1u) * %s_SCRATCH_BYTES)\n",
             u, u, u, u);
}

static void emit_sizes(const Program *p, const ModelNames *n, Buf *out) {
  const char *u = n->upper;
  const Module *m = p->module;
  emit_fixed_sizes(p, n, out);
  for (size_t i = 0; i < p->route.n; i++)
    buf_printf(out,
               "#define %s_ARENA_BYTES(threads) (%s_CONTEXT_BYTES + %lldu + ((threads) > 1 ? (size_t)(threads) : 1u) * "
               "%s_SCRATCH_BYTES)\n",
               n->route[i].macro, u, (long long)p->route.at[i].arena_bytes, u);
  if (m->ndim) buf_puts(out, "\n/* Bounds of the run-time dims, inclusive. */\n");
  for (size_t i = 0; i < m->ndim; i++)
    buf_printf(out, "#define %s_MIN_%s %lldu\n#define %s_MAX_%s %lldu\n", u, n->dim_macro[i], (long long)m->dim[i].lo,
               u, n->dim_macro[i], (long long)m->dim[i].hi);
}

static void emit_elements(const Module *m, const Port *list, size_t count, const Graph *g, const char **macro,
                          Buf *out) {
  for (size_t i = 0; i < count; i++) {
    const Type *t = &graph_value(g, list[i].val)->type;
    buf_printf(out, "#define %s_ELEMENTS %lldu /* ", macro[i], (long long)type_elements(m, t));
    type_print(out, m, t);
    buf_puts(out, " */\n");
  }
}

// A tensor whose inner extents are run-time values: its strides are those of the bounds, which a caller must know.
static bool has_inner_dim(const Type *t) {
  for (unsigned d = 1; d < t->rank; d++)
    if (!dim_is_const(t->dim[d])) return true;
  return false;
}

static void emit_layout_note(const Module *m, const char *name, const Type *t, bool in_place, Buf *out) {
  buf_printf(out, " *   %s: ", name);
  type_print(out, m, t);
  if (has_inner_dim(t)) {
    buf_puts(out, ", strides of the bounds:");
    int64_t stride[MAX_RANK], s = 1;
    for (int d = t->rank - 1; d >= 0; d--) {
      stride[d] = s;
      s *= type_extent(m, t, d);
    }
    for (unsigned d = 0; d < t->rank; d++) buf_printf(out, " %lld", (long long)stride[d]);
  }
  buf_puts(out, in_place ? "; in and out: changed in place\n" : "\n");
}

// Of an objective in a module that trains: gradients and next values lie in the state, the caller has the rest.
static bool is_callers(const Program *p, const Graph *g, const Port *output) {
  return !program_trains(p) || !g->objective || output->role == ROLE_data;
}

// Behind the first parameter: dims, inputs, outputs.
static void emit_parameters(const Program *p, const ModelNames *n, size_t at, Buf *out) {
  const RouteNames *r = &n->route[at];
  const Graph *g = p->route.at[at].graph;
  for (size_t j = 0; j < p->module->ndim; j++)
    if (r->dims >> j & 1) buf_printf(out, ", size_t %s", r->dim[j]);
  for (size_t i = 0; i < g->input.n; i++)
    buf_printf(out, ", const %s *%s", dtype_info[graph_value(g, g->input.at[i].val)->type.dtype].memory, r->input[i]);
  for (size_t i = 0; i < g->output.n; i++)
    if (is_callers(p, g, &g->output.at[i]))
      buf_printf(out, ", %s *%s", dtype_info[graph_value(g, g->output.at[i].val)->type.dtype].memory, r->output[i]);
}

static void emit_prototype(const Program *p, const ModelNames *n, size_t at, Buf *out) {
  buf_printf(out, "%s_status %s(%s_ctx *ctx", n->prefix, n->route[at].fn, n->prefix);
  emit_parameters(p, n, at, out);
  buf_putc(out, ')');
}

// A comment up to the layouts of its tensors; the caller ends it.
static void emit_about(const Program *p, const ModelNames *n, size_t at, const char *what, Buf *out) {
  const RouteNames *r = &n->route[at];
  const Graph *g = p->route.at[at].graph;
  buf_printf(out, "\n/* %s %s", what, g->name);
  if (g->about && *g->about) {
    buf_puts(out, ": ");
    emit_comment(out, g->about);
  }
  buf_putc(out, '\n');
  for (size_t i = 0; i < g->input.n; i++)
    emit_layout_note(p->module, r->input[i], &graph_value(g, g->input.at[i].val)->type, false, out);
  for (size_t i = 0; i < g->output.n; i++)
    if (is_callers(p, g, &g->output.at[i]))
      emit_layout_note(p->module, r->output[i], &graph_value(g, g->output.at[i].val)->type,
                       g->output.at[i].state.id != 0, out);
}

static void emit_route_decl(const Program *p, const ModelNames *n, size_t at, Buf *out) {
  emit_about(p, n, at, "Route", out);
  buf_puts(out, " * Row-major; no alignment beyond that of the element type. */\n");
  emit_prototype(p, n, at, out);
  buf_puts(out, ";\n");
}

void emit_route_definition(const Program *p, const ModelNames *n, size_t at, Buf *out) {
  const RouteNames *r = &n->route[at];
  const Graph *g = p->route.at[at].graph;
  emit_prototype(p, n, at, out);
  buf_printf(out, " {\n  const size_t dims[%zu] = {", p->module->ndim ? p->module->ndim : 1);
  for (size_t j = 0; j < p->module->ndim; j++)
    buf_printf(out, "%s%s", j ? ", " : "", r->dims >> j & 1 ? r->dim[j] : "0");
  if (!p->module->ndim) buf_putc(out, '0');
  buf_printf(out, "};\n  const void *const in[%zu] = {", g->input.n ? g->input.n : 1);
  for (size_t i = 0; i < g->input.n; i++) buf_printf(out, "%s%s", i ? ", " : "", r->input[i]);
  if (!g->input.n) buf_puts(out, "NULL");
  buf_printf(out, "};\n  void *const out[%zu] = {", g->output.n ? g->output.n : 1);
  for (size_t i = 0; i < g->output.n; i++) buf_printf(out, "%s%s", i ? ", " : "", r->output[i]);
  if (!g->output.n) buf_puts(out, "NULL");
  buf_printf(out, "};\n  return %s_call(ctx, %s_ROUTE_%s, dims, in, out);\n}\n", n->prefix, n->upper,
             r->macro + strlen(n->upper) + 1);
}

static void part_sizes(const ModelText *m, Buf *out) {
  emit_sizes(m->p, m->n, out);
  buf_puts(out, "\n/* Elements of the callers' buffers, by the bounds of the dims. */\n");
  for (size_t i = 0; i < m->p->route.n; i++) {
    const Graph *g = m->p->route.at[i].graph;
    emit_elements(m->p->module, g->input.at, g->input.n, g, m->n->route[i].input_macro, out);
    if (program_trains(m->p) && g->objective) continue;
    emit_elements(m->p->module, g->output.at, g->output.n, g, m->n->route[i].output_macro, out);
  }
}

static void part_fixed_sizes(const ModelText *m, Buf *out) {
  emit_fixed_sizes(m->p, m->n, out);
}

static void part_routes(const ModelText *m, Buf *out) {
  const Program *p = m->p;
  const ModelNames *n = m->n;
  buf_puts(out, "\n/* Numbers of the routes, for ");
  buf_printf(out, "%s_call. */\nenum {", n->prefix);
  for (size_t i = 0; i < p->route.n; i++)
    buf_printf(out, "%s %s_ROUTE_%s = %zu", i ? "," : "", n->upper, n->route[i].macro + strlen(n->upper) + 1, i);
  buf_printf(out, "%s %s_ROUTE_COUNT = %zu };\n", p->route.n ? "," : "", n->upper, p->route.n);
  for (size_t i = 0; i < p->route.n; i++)
    if (!program_trains(p) || !p->route.at[i].graph->objective) emit_route_decl(p, n, i, out);
}

/* training ------------------------------------------------------------------------------------------------------------
 */
// What stands behind PREFIX_OBJECTIVE_: the name of an objective, of which the route has grad_NAME.
static const char *objective_macro(const ModelNames *n, size_t route) {
  return n->route[route].macro + strlen(n->upper) + strlen("_GRAD_");
}

static void emit_train_sizes(const Program *p, const ModelNames *n, Buf *out) {
  Arena a = {0};
  const char *u = n->upper;
  Training t = program_training(p, &a);
  uint64_t part[MDL__PARTS];
  training_parts(p, &t, part);
  buf_printf(out, "\n#define %s_TRAIN_BYTES UINT64_C(%llu) /* the state of a training */\n", u,
             (unsigned long long)part[MDL__ADDED]);
  buf_printf(out, "#define %s_TRAIN_ADD_BYTES UINT64_C(%llu) /* more, to add the gradients of several batches */\n", u,
             (unsigned long long)training_add_bytes(&t));
  buf_printf(out, "\n/* Numbers of the objectives, for %s_grad. */\nenum {", n->prefix);
  for (size_t i = 0; i < t.objective.n; i++)
    buf_printf(out, "%s %s_OBJECTIVE_%s = %zu", i ? "," : "", u, objective_macro(n, t.objective.at[i].route), i);
  buf_puts(out, " };\n\n");
  arena_free(&a);
}

// PREFIX_grad_NAME: mdl_grad with the objective's inputs and what it gives the caller as parameters.
static void emit_gradient_function(const Program *p, const ModelNames *n, size_t at, Buf *out) {
  const RouteNames *r = &n->route[at];
  const Graph *g = p->route.at[at].graph;
  size_t given = 0;
  emit_about(p, n, at, "Objective", out);
  buf_printf(out, " */\nstatic inline %s_status %s(%s_train *t", n->prefix, r->fn, n->prefix);
  emit_parameters(p, n, at, out);
  buf_printf(out, ") {\n  size_t dims[%zu] = {0};\n", p->module->ndim ? p->module->ndim : 1);
  for (size_t j = 0; j < p->module->ndim; j++)
    if (r->dims >> j & 1) buf_printf(out, "  dims[%zu] = %s;\n", j, r->dim[j]);
  buf_printf(out, "  const void *in[%zu] = {0};\n", g->input.n ? g->input.n : 1);
  for (size_t i = 0; i < g->input.n; i++) buf_printf(out, "  in[%zu] = %s;\n", i, r->input[i]);
  buf_printf(out, "  void *out[%zu] = {0};\n", g->output.n);
  for (size_t i = 0; i < g->output.n; i++)
    if (is_callers(p, g, &g->output.at[i])) buf_printf(out, "  out[%zu] = %s;\n", given++, r->output[i]);
  buf_printf(out, "  return %s_grad(t, %s_OBJECTIVE_%s, dims, in, out);\n}\n", n->prefix, n->upper,
             objective_macro(n, at));
}

static void part_training(const ModelText *m, Buf *out) {
  static const TextPartRow none[] = {{NULL, NULL}};
  if (!program_trains(m->p)) return;
  emit_train_sizes(m->p, m->n, out);
  template_print("train.h", m, none, out);
  for (size_t i = 0; i < m->p->route.n; i++)
    if (m->p->route.at[i].graph->objective) emit_gradient_function(m->p, m->n, i, out);
  buf_putc(out, '\n');
}

// Its names of which no name of a page is a part.
static void part_fixed_training(const ModelText *m, Buf *out) {
  static const TextPartRow none[] = {{NULL, NULL}};
  if (!program_trains(m->p)) return;
  buf_printf(out, "%s_TRAIN_ADD_BYTES\n", m->n->upper);
  template_print("train.h", m, none, out);
}

void emit_header_fixed(const Program *p, const ModelNames *n, Buf *out) {
  static const TextPartRow parts[] = {
      {"sizes", part_fixed_sizes}, {"routes", NULL}, {"training", part_fixed_training}, {NULL, NULL}};
  buf_printf(out, "%s_H_INCLUDED %s_TRACE %s_ROUTE_COUNT\n", n->upper, n->upper, n->upper);
  template_print("model.h", &(ModelText){.p = p, .n = n}, parts, out);
}

// All behind the guard.
static void emit_body(const Program *p, const ModelNames *n, Buf *out) {
  static const TextPartRow parts[] = {
      {"sizes", part_sizes}, {"routes", part_routes}, {"training", part_training}, {NULL, NULL}};
  template_print("model.h", &(ModelText){.p = p, .n = n}, parts, out);
}

// What tells this header from any other: the guard has it as its value, and the C file compares.
static uint64_t header_id(const Buf *body) {
  return hash_bytes(body->s, body->n, 0) | 1; // an older header's guard has no value, which counts as 0
}

void emit_header_check(const Program *p, const ModelNames *n, const EmitModel *o, Buf *out) {
  Buf body = {0};
  emit_body(p, n, &body);
  buf_printf(out, "#if %s_H_INCLUDED - 0 != 0x%016llxu\n#error \"", n->upper, (unsigned long long)header_id(&body));
  buf_printf(out, "%s is not the header of this file: make both again, with one call of syc\"\n#endif\n\n",
             o->header_name);
  buf_free(&body);
}

void emit_model_h(const Program *p, const EmitModel *o, Buf *out) {
  ModelNames n = model_names(p, o);
  buf_printf(out, "/* %s: C interface of the compiled model \"", o->header_name);
  emit_comment(out, p->module->name);
  buf_printf(out,
             "\".\n * Generated by syc; do not edit. Build the .c file with -O2 -ffp-contract=off; it needs nothing "
             "but the C library.\n"
             " *\n"
             " *   static _Alignas(64) unsigned char arena[%s_ARENA_BYTES(1)];\n"
             " *   %s_config config = {%s_ABI_VERSION, weights, weights_bytes, arena, sizeof arena, NULL, NULL};\n"
             " *   %s_ctx *ctx;\n"
             " *   if (%s_init(&ctx, &config) != %s_OK) ...\n"
             " */\n",
             n.upper, n.prefix, n.upper, n.prefix, n.prefix, n.upper);
  Buf body = {0};
  emit_body(p, &n, &body);
  buf_printf(out, "#ifndef %s_H_INCLUDED\n#define %s_H_INCLUDED 0x%016llxu\n\n", n.upper, n.upper,
             (unsigned long long)header_id(&body));
  buf_putn(out, body.s, body.n);
  buf_free(&body);
  model_names_free(&n);
}

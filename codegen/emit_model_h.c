// emit_model_h.c: the header of a compiled model. Everything a caller needs to know is a macro, a type or a comment in
// it: sizes, bounds, layouts, the order of calls. C11 and C++11.
//
// Invariants: only names that begin with the prefix; no dependency but <stddef.h> and <stdint.h>; equal programs give
// equal bytes.
//
//   #define VIT_CLASSIFY_IMAGE_ELEMENTS 4816896u     // f32[B,3,224,224], B <= 32
//   vit_status vit_classify(vit_ctx *ctx, size_t B, const float *image, float *logits);
#include "emit_model.h"

#include "runtime/weights_format.h"

#include <string.h>

static const char *const head[] = {
    "#include <stddef.h>",
    "#include <stdint.h>",
    "",
    "#ifdef __cplusplus",
    "extern \"C\" {",
    "#endif",
    "",
    "#define $P_ABI_VERSION 2u /* of this interface; goes into $p_config.abi */",
    "#define $P_ALIGN 64u      /* alignment of the arena and of the weights, bytes */",
};

static const char *const types[] = {
    "",
    "typedef enum $p_status {",
    "  $P_OK = 0,",
    "  $P_EINVAL,   /* a null pointer, an unknown route or instruction set */",
    "  $P_EABI,     /* $p_config.abi is not $P_ABI_VERSION */",
    "  $P_EPLAN,    /* the weight file was packed for another build of this model */",
    "  $P_EWEIGHTS, /* not a weight file, cut off, or damaged */",
    "  $P_EARENA,   /* the arena is too small */",
    "  $P_EALIGN,   /* the arena or the weights are not aligned to $P_ALIGN */",
    "  $P_EISA,     /* no compiled instruction set can run here under the cap, or the cap is of another family */",
    "  $P_ESHAPE,   /* a run-time dim is out of its bounds */",
    "  $P_EINDEX,   /* an id is outside its table */",
    "  $P_ETEST     /* $p_selftest found different results */",
    "} $p_status;",
    "",
    "/* How to run things in parallel. parallel_for calls task(arg, i) for each i < n, in any order and on any "
    "threads, and",
    " * returns when all are done; n is at most `threads`. NULL instead of a $p_exec means one thread. The results "
    "have the",
    " * same bits for any number of threads. */",
    "typedef struct $p_exec {",
    "  void (*parallel_for)(void *ud, size_t n, void (*task)(void *arg, size_t i), void *arg);",
    "  void *ud;",
    "  unsigned threads;",
    "} $p_exec;",
    "",
    "typedef struct $p_config {",
    "  uint32_t abi;          /* $P_ABI_VERSION */",
    "  const void *weights;   /* the whole weight file, mapped or read, aligned to $P_ALIGN; only read */",
    "  size_t weights_bytes;  /* $P_WEIGHTS_BYTES */",
    "  void *arena;           /* aligned to $P_ALIGN; belongs to the context from $p_init on */",
    "  size_t arena_bytes;    /* $P_ARENA_BYTES(threads), the macro of the one route that is called, or "
    "$p_arena_bytes() */",
    "  const $p_exec *exec; /* copied; NULL: one thread */",
    "  const char *max_isa;   /* \"portable\", \"avx2\", \"avx512\", \"neon\": use nothing better; NULL: the best */",
    "} $p_config;",
    "",
    "/* Lives at the start of the arena; there is nothing to free. One call at a time on one context; different "
    "contexts may",
    " * be used from different threads at once, and may share the weights. */",
    "typedef struct $p_ctx $p_ctx;",
    "",
    "/* What $p_describe returns. */",
    "typedef struct $p_axis { /* extent = constant + factor * (run-time dim) */",
    "  uint64_t constant, factor;",
    "  int dim;        /* index into $p_info.dim, -1: constant */",
    "  uint64_t bound; /* largest extent; strides are products of bounds */",
    "} $p_axis;",
    "typedef struct $p_tensor {",
    "  const char *name, *dtype; /* \"f32\", \"i32\" or \"bool\" (one byte, 0 or 1) */",
    "  unsigned rank;",
    "  $p_axis axis[6];",
    "  uint64_t elements, bytes; /* of the caller's buffer, by bounds */",
    "} $p_tensor;",
    "typedef struct $p_route {",
    "  const char *name;",
    "  unsigned dims; /* bit j: run-time dim j is used */",
    "  unsigned ninput, noutput, nstep;",
    "  const $p_tensor *input, *output;",
    "  double flops; /* of one call, as estimated by the compiler */",
    "  uint64_t arena_bytes;",
    "} $p_route;",
    "typedef struct $p_prepare { /* how a host may fill an input or show an output */",
    "  const char *name, *kind, *options;",
    "} $p_prepare;",
    "typedef struct $p_bound {",
    "  const char *name;",
    "  uint64_t lo, hi; /* inclusive */",
    "} $p_bound;",
    "/* A generate: its two routes, what their tensors are for, and how the page says that words are chosen. role and "
    "rule are",
    " * numbers of sy_role and sy_rule (switchyard.h): a state (role 5) of the step is in and out, and output `pair` "
    "of "
    "the start",
    " * gives it first; a kept input (6) is output `pair` of the start, a given one (7) is its input `pair`. */",
    "typedef struct $p_port {",
    "  unsigned role, pair;",
    "} $p_port;",
    "typedef struct $p_generate {",
    "  const char *name, *prompt; /* prompt: what the words begin with; NULL: start_id */",
    "  unsigned rule, width;      /* width: words of a step */",
    "  unsigned start, step;      /* routes */",
    "  const $p_port *start_in, *start_out, *step_in, *step_out; /* one for each tensor */",
    "  int64_t start_id, mask_id, end_id, pad_id; /* -1: the page says none */",
    "  int64_t beams, longest, shortest;          /* longest 0: as long as the words may be */",
    "  double length_penalty, repetition_penalty;",
    "} $p_generate;",
    "typedef struct $p_info {",
    "  const char *model;",
    "  uint64_t plan_hash, weights_bytes, shared_bytes, scratch_bytes;",
    "  unsigned ndim, nroute, nisa, nprepare;",
    "  const $p_bound *dim;",
    "  const $p_route *route;",
    "  const char *const *isa; /* compiled instruction sets, worst first */",
    "  const $p_prepare *prepare;",
    "  const char *built; /* with which preset, names and parameters: \"preset=base, size=224, ..\" */",
    "  unsigned ngenerate;",
    "  const $p_generate *generate;",
    "} $p_info;",
    "",
    "/* The least arena for calls of a route ($P_ROUTE_COUNT: of any) with these run-time dims, one value for each of "
    "the "
    "model;",
    " * NULL: with any. Less than $P_ARENA_BYTES(threads) where a batch is smaller than it may be. */",
    "size_t $p_arena_bytes(unsigned route, const size_t *dims, unsigned threads);",
    "",
    "/* Checks everything in the config, picks the instruction set, puts the context into the arena. */",
    "$p_status $p_init($p_ctx **ctx, const $p_config *config);",
};

static const char *const tail[] = {
    "",
    "/* Any route by its number ($P_ROUTE_...). dims: one value for each run-time dim of the model, in order; those "
    "that the",
    " * route does not use are ignored. in, out: as in the route's function. */",
    "$p_status $p_call($p_ctx *ctx, unsigned route, const size_t *dims, const void *const *in, void *const *out);",
    "",
    "const $p_info *$p_describe(void);",
    "const char *$p_isa(const $p_ctx *ctx);       /* the instruction set in use */",
    "const char *$p_strerror(int status); /* one line; never NULL */",
    "",
    "/* Compares the weights with their checksums ($P_EWEIGHTS) and runs a part of every kernel on every compiled "
    "instruction",
    " * set that this CPU has, on the same numbers ($P_ETEST). Overwrites the working part of the arena. */",
    "$p_status $p_selftest($p_ctx *ctx);",
    "",
    "#ifdef $P_TRACE",
    "/* Calls fn after every kernel launch of a call, with its number in the route; fn may take the time. NULL: off. "
    "*/",
    "void $p_set_trace($p_ctx *ctx, void (*fn)(void *ud, unsigned step, const char *kernel, double flops), void *ud);",
    "#endif",
    "",
    "#ifdef __cplusplus",
    "}",
    "#endif",
    "",
    "#endif",
};

static void emit_fixed_sizes(const Program *p, const ModelNames *n, Buf *out) {
  const char *u = n->upper;
  uint64_t data = sy_weights_data_offset(p->weight.n);
  buf_printf(out, "#define %s_PLAN_HASH UINT64_C(0x%016llx)\n", u, (unsigned long long)p->plan_hash);
  buf_printf(out, "#define %s_WEIGHTS_BYTES %lluu /* the weight file */\n", u,
             (unsigned long long)(data + p->weight_bytes));
  buf_printf(out, "#define %s_CONTEXT_BYTES %lldu\n", u, (long long)model_ctx_bytes());
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

static const char *c_type(DType d) {
  static const char *const name[DT_COUNT] = {[DT_F32] = "float",
                                             [DT_F16] = "uint16_t",
                                             [DT_BF16] = "uint16_t",
                                             [DT_I32] = "int32_t",
                                             [DT_BOOL] = "unsigned char"};
  return name[d];
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

static void emit_prototype(const Program *p, const ModelNames *n, size_t at, Buf *out) {
  const RouteNames *r = &n->route[at];
  const Graph *g = p->route.at[at].graph;
  buf_printf(out, "%s_status %s(%s_ctx *ctx", n->prefix, r->fn, n->prefix);
  for (size_t j = 0; j < p->module->ndim; j++)
    if (r->dims >> j & 1) buf_printf(out, ", size_t %s", r->dim[j]);
  for (size_t i = 0; i < g->input.n; i++)
    buf_printf(out, ", const %s *%s", c_type(graph_value(g, g->input.at[i].val)->type.dtype), r->input[i]);
  for (size_t i = 0; i < g->output.n; i++)
    buf_printf(out, ", %s *%s", c_type(graph_value(g, g->output.at[i].val)->type.dtype), r->output[i]);
  buf_putc(out, ')');
}

static void emit_route_decl(const Program *p, const ModelNames *n, size_t at, Buf *out) {
  const RouteNames *r = &n->route[at];
  const Graph *g = p->route.at[at].graph;
  buf_printf(out, "\n/* Route %s", g->name);
  if (g->about && *g->about) {
    buf_puts(out, ": ");
    emit_comment(out, g->about);
  }
  buf_putc(out, '\n');
  for (size_t i = 0; i < g->input.n; i++)
    emit_layout_note(p->module, r->input[i], &graph_value(g, g->input.at[i].val)->type, false, out);
  for (size_t i = 0; i < g->output.n; i++)
    emit_layout_note(p->module, r->output[i], &graph_value(g, g->output.at[i].val)->type, g->output.at[i].state.id != 0,
                     out);
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

void emit_header_text(const ModelNames *n, const char *sizes, Buf *out) {
  buf_printf(out, "#ifndef %s_H_INCLUDED\n#define %s_H_INCLUDED\n\n", n->upper, n->upper);
  EMIT_LINES(out, n, head);
  buf_puts(out, sizes);
  EMIT_LINES(out, n, types);
  EMIT_LINES(out, n, tail);
}

void emit_header_fixed(const Program *p, const ModelNames *n, Buf *out) {
  buf_printf(out, "%s_H_INCLUDED %s_TRACE %s_ROUTE_COUNT\n", n->upper, n->upper, n->upper);
  EMIT_LINES(out, n, head);
  emit_fixed_sizes(p, n, out);
  EMIT_LINES(out, n, types);
  EMIT_LINES(out, n, tail);
}

// All behind the guard.
static void emit_body(const Program *p, const ModelNames *n, Buf *out) {
  EMIT_LINES(out, n, head);
  emit_sizes(p, n, out);
  buf_puts(out, "\n/* Elements of the callers' buffers, by the bounds of the dims. */\n");
  for (size_t i = 0; i < p->route.n; i++) {
    const Graph *g = p->route.at[i].graph;
    emit_elements(p->module, g->input.at, g->input.n, g, n->route[i].input_macro, out);
    emit_elements(p->module, g->output.at, g->output.n, g, n->route[i].output_macro, out);
  }
  EMIT_LINES(out, n, types);
  buf_puts(out, "\n/* Numbers of the routes, for ");
  buf_printf(out, "%s_call. */\nenum {", n->prefix);
  for (size_t i = 0; i < p->route.n; i++)
    buf_printf(out, "%s %s_ROUTE_%s = %zu", i ? "," : "", n->upper, n->route[i].macro + strlen(n->upper) + 1, i);
  buf_printf(out, "%s %s_ROUTE_COUNT = %zu };\n", p->route.n ? "," : "", n->upper, p->route.n);
  for (size_t i = 0; i < p->route.n; i++) emit_route_decl(p, n, i, out);
  EMIT_LINES(out, n, tail);
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

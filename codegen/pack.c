// pack.c: evaluates the weight expressions of a program and writes them in the layout its kernels read: one file, one
// tensor at a time, so that memory stays near the size of the largest tensor. The format is runtime/weights_format.h.
//
// An expression is evaluated by the reference evaluator in double precision and rounded once; a weight that is used as
// it is goes straight from the checkpoint.
#include "passes/products.h"
#include "program.h"
#include "runtime/weights_format.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Element i of the evaluated value, row-major.
typedef double GetFn(const void *src, int64_t i);
static double get_f32(const void *src, int64_t i) {
  return (double)((const float *)src)[i];
}
static double get_f64(const void *src, int64_t i) {
  return ((const double *)src)[i];
}

// Writes an element of the file in its type.
typedef struct Elements {
  DType dtype;
  void *dst;
  bool overflow; // a number became an infinity
} Elements;
static void put_element(Elements *e, int64_t i, double x) {
  if (!dtype_is_narrow(e->dtype)) {
    ((float *)e->dst)[i] = (float)x;
    return;
  }
  uint32_t bits = dtype_narrow(e->dtype, x);
  ((uint16_t *)e->dst)[i] = (uint16_t)bits;
  e->overflow = e->overflow || (isfinite(x) && !isfinite(dtype_widen(e->dtype, bits)));
}

typedef struct LayOut {
  Elements e;
  const void *src;
  GetFn *get;
} LayOut;

static void lay_run(void *ud, int64_t packed, int64_t plain, int64_t step, int64_t n) {
  LayOut *l = ud;
  for (int64_t i = 0; i < n; i++) put_element(&l->e, packed + i, l->get(l->src, plain + i * step));
}

// What is filled up is zero. False: a number is too large for the type that the weight is kept in.
static bool lay_out(const PackedWeight *w, const void *src, GetFn *get, void *dst, const char **err) {
  LayOut l = {{.dtype = w->dtype, .dst = dst}, src, get};
  memset(dst, 0, (size_t)w->bytes);
  pack_runs(&w->shape, lay_run, &l);
  if (l.e.overflow)
    *err = arena_printf(w->graph->module->arena, "%s has a number beyond %g, the largest %s: keep it in another type",
                        w->label, dtype_most(w->dtype), dtype_info[w->dtype].name);
  return !l.e.overflow;
}

PackedWeight packed_weight(const Graph *g, Val val) {
  const Value *v = graph_value(g, val);
  PackForm form = {.kind = PACK_plain};
  PackedWeight w = {.graph = g, .val = val, .dtype = v->type.dtype, .label = op_info[v->op].name};
  if (v->op == OP_pack) {
    form = pack_form(v);
    w.val = v->args[0];
    v = graph_value(g, w.val);
  }
  int64_t dim[MAX_RANK];
  for (int d = 0; d < v->type.rank; d++) dim[d] = type_extent(g->module, &v->type, d);
  w.shape = pack_shape(form, v->type.rank, dim);
  w.bytes = (uint64_t)w.shape.elements * dtype_info[w.dtype].bytes;
  return w;
}

static bool eval_weight(void *ud, const char *name, const Type *t, Tensor *out) {
  const WeightSource *src = ((void **)ud)[0];
  const char **err = ((void **)ud)[1];
  return src->get(src->ud, name, t, out, err);
}

static bool eval_rows(void *ud, const char *name, const Type *t, int64_t *rows) {
  const WeightSource *src = ((void **)ud)[0];
  return src->rows && src->rows(src->ud, name, t, rows);
}

bool pack_weight(const Program *p, const PackedWeight *w, const WeightSource *src, void *dst, const char **err) {
  (void)p;
  bool plain = dtype_info[w->dtype].kind != DK_FLOAT;
  if (plain && w->shape.form.kind != PACK_plain) ICE("pack: %s of %s", w->label, dtype_info[w->dtype].name);
  // What is cast to a narrow type is rounded here, once, from what the evaluator or the checkpoint has.
  const Value *v = graph_value(w->graph, w->val);
  Val val = v->op == OP_cast && dtype_is_narrow(w->dtype) ? v->args[0] : w->val;
  v = graph_value(w->graph, val);
  if (v->op == OP_weight && v->type.dtype == DT_F32 && src->f32) {
    const float *direct = src->f32(src->ud, value_str(v, A_name), &v->type);
    if (direct) return lay_out(w, direct, get_f32, dst, err);
  }
  Arena a = {0};
  *err = NULL;
  void *ud[] = {(void *)(uintptr_t)src, (void *)err};
  EvalEnv env = {.arena = &a, .weight = eval_weight, .weight_rows = eval_rows, .ud = ud};
  const Module *m = w->graph->module; // weights have no run-time dims; the evaluator wants legal values all the same
  for (size_t d = 0; d < m->ndim; d++) env.dim[d] = m->dim[d].lo;
  Tensor t;
  bool ok = graph_eval(w->graph, &env, &val, 1, &t);
  if (ok && plain)
    memcpy(dst, t.b, (size_t)w->bytes); // truth values and i32 are stored as the evaluator holds them
  else if (ok)
    ok = lay_out(w, t.f, get_f64, dst, err);
  else if (!*err)
    *err = arena_strdup(w->graph->module->arena, env.error ? env.error : "the expression cannot be evaluated");
  arena_free(&a);
  return ok;
}

typedef struct Output {
  FILE *f;
  const char *err;
} Output;

static bool put(Output *o, const void *data, size_t n) {
  if (fwrite(data, 1, n, o->f) == n) return true;
  o->err = strerror(errno);
  return false;
}
static bool put_zeros(Output *o, uint64_t n) {
  static const char zero[4096];
  for (; n > 0; n -= n < sizeof zero ? n : sizeof zero)
    if (!put(o, zero, n < sizeof zero ? (size_t)n : sizeof zero)) return false;
  return true;
}

static bool write_data(Output *o, const Program *p, const WeightSource *src, sy_weights_entry *entry,
                       void (*progress)(void *ud, double share), void *ud) {
  uint64_t at = 0, largest = 1;
  for (size_t i = 0; i < p->weight.n; i++)
    if (p->weight.at[i].bytes > largest) largest = p->weight.at[i].bytes;
  void *dst = malloc(largest);
  if (!dst) {
    o->err = "out of memory";
    return false;
  }
  bool ok = true;
  for (size_t i = 0; i < p->weight.n && ok; i++) {
    const PackedWeight *w = &p->weight.at[i];
    ok = pack_weight(p, w, src, dst, &o->err) && put_zeros(o, w->offset - at) && put(o, dst, (size_t)w->bytes);
    entry[i] = (sy_weights_entry){w->offset, w->bytes, ok ? sy_weights_checksum(dst, w->bytes) : 0,
                                  (uint64_t)dtype_info[w->dtype].code};
    at = w->offset + w->bytes;
    if (progress) progress(ud, (double)at / (double)(p->weight_bytes ? p->weight_bytes : 1));
  }
  free(dst);
  return ok;
}

static bool write_file(Output *o, const Program *p, const WeightSource *src, sy_weights_entry *entry,
                       void (*progress)(void *ud, double share), void *ud) {
  sy_weights_header h = {.version = SY_WEIGHTS_VERSION,
                         .endian = SY_WEIGHTS_ENDIAN,
                         .plan_hash = p->plan_hash,
                         .data_offset = sy_weights_data_offset(p->weight.n),
                         .data_bytes = p->weight_bytes,
                         .count = p->weight.n};
  memcpy(h.magic, SY_WEIGHTS_MAGIC, sizeof h.magic);
  if (!put_zeros(o, h.data_offset) || !write_data(o, p, src, entry, progress, ud)) return false;
  if (fseek(o->f, 0, SEEK_SET) != 0) return o->err = strerror(errno), false;
  const char *in = precision_label(p->module->built);
  const uint64_t room = h.data_offset - sizeof h - h.count * sizeof *entry;
  const size_t text = strcmp(in, precisions[0].name) != 0 && room ? strnlen(in, (size_t)room - 1) : 0;
  return put(o, &h, sizeof h) && put(o, entry, p->weight.n * sizeof *entry) && put(o, in, text);
}

bool pack_into(const Program *p, const WeightSource *src, NewFile *out, void (*progress)(void *ud, double share),
               void *ud, const char **err) {
  sy_weights_entry *entry = calloc(p->weight.n + 1, sizeof *entry);
  Output o = {.f = out->f, .err = "out of memory"};
  bool ok = entry && write_file(&o, p, src, entry, progress, ud);
  if (ok && !new_file_close(out, NEW_FILE_SAFE)) ok = false, o.err = strerror(errno);
  if (!ok) *err = o.err;
  free(entry);
  return ok;
}

bool pack_file(const Program *p, const WeightSource *src, const char *path, void (*progress)(void *ud, double share),
               void *ud, const char **err) {
  NewFile out = {0};
  if (file_is_special(path)) return *err = "it is not a regular file", false;
  if (!new_file_open(&out, path)) return *err = strerror(errno), false;
  bool ok = pack_into(p, src, &out, progress, ud, err);
  if (ok && !new_file_put(&out, NEW_FILE_SAFE)) ok = false, *err = strerror(errno);
  new_file_drop(&out);
  return ok;
}

// pack.c: pack and unpack, and the arithmetic of their layouts (pack.h).
//
//   %3 = pack %2 {layout = "panels", panel = 16, trans = 1, to = "bf16"} : bf16[..,N/16,K,16]     %2 : f32[..,K,N]
//   %4 = unpack %3 {layout = "panels", panel = 16, trans = 1} : bf16[..,K,N]
// A packed tensor is an ordinary one: its type says what lies in memory, row-major, and what is added to fill up is
// zero. pack rounds to the element type that it is told; unpack is a view, and leaves out what was added.
#include "pack.h"
#include "movement.h"

#include <string.h>

const PackInfo pack_info[PACK_COUNT] = {
#define PACK(name, doc) {#name, doc},
#include "../packs.def"
#undef PACK
};

enum { MOST_PANEL = 1024 };

static PackKind kind_of(const char *name) {
  int k = 0;
  while (k < PACK_COUNT && (!name || strcmp(pack_info[k].name, name) != 0)) k++;
  return (PackKind)k;
}

PackForm pack_form(const Value *v) {
  return (PackForm){kind_of(value_str(v, A_layout)), value_int(v, A_trans, 0) != 0, value_int(v, A_panel, 1)};
}

size_t pack_attrs(PackForm f, Attr attr[4]) {
  size_t n = 0;
  attr[n++] = attr_str(A_layout, pack_info[f.kind].name);
  attr[n++] = attr_int(A_panel, f.panel);
  if (f.trans) attr[n++] = attr_int(A_trans, 1);
  return n;
}

static int64_t padded(PackForm f, int64_t n) {
  if (f.kind == PACK_plain) return n;
  return round_up(n, f.panel) + (f.kind == PACK_rows ? f.panel : 0);
}

const char *pack_type(PackForm f, const Type *from, Type *out) {
  bool panels = f.kind == PACK_panels;
  int last = from->rank - 1, first = panels ? last - 1 : last; // axes that are laid out
  *out = *from;
  if (f.kind == PACK_plain) return NULL;
  if (first < 0) return panels ? "panels are made of matrices" : "a scalar has no rows";
  if (f.kind == PACK_vector && last > 0) return "a vector has one axis";
  if (panels && from->rank == MAX_RANK) return "the result would have too many axes";
  for (int d = first; d <= last; d++)
    if (!dim_is_const(from->dim[d])) return "an axis that is laid out has a constant length";
  if (from->nseg && from->segaxis >= first) out->nseg = out->segaxis = 0;
  if (!panels) return out->dim[last].c = padded(f, from->dim[last].c), NULL;
  int64_t n = from->dim[f.trans ? last : first].c, k = from->dim[f.trans ? first : last].c;
  out->rank++;
  out->dim[first] = DIM(round_up(n, f.panel) / f.panel);
  out->dim[last] = DIM(k);
  out->dim[last + 1] = DIM(f.panel);
  return NULL;
}

PackShape pack_shape(PackForm f, int rank, const int64_t *dim) {
  PackShape s = {.form = f, .outer = 1, .n = rank ? dim[rank - 1] : 1, .k = 1};
  int own = f.kind == PACK_panels ? 2 : 1;
  if (own == 2) s.n = dim[rank - (f.trans ? 1 : 2)], s.k = dim[rank - (f.trans ? 2 : 1)];
  for (int d = 0; d + own < rank; d++) s.outer *= dim[d];
  s.elements = s.outer * padded((PackForm){f.kind == PACK_panels ? PACK_vector : f.kind, f.trans, f.panel}, s.n) * s.k;
  return s;
}

void pack_runs(const PackShape *s, PackRun *run, void *ud) {
  PackForm f = s->form;
  bool panels = f.kind == PACK_panels;
  int64_t most = panels ? f.panel : s->n, step_n = panels && !f.trans ? s->k : 1, step_k = f.trans ? s->n : 1;
  int64_t each = s->outer ? s->elements / s->outer : 0;
  for (int64_t o = 0; o < s->outer; o++)
    for (int64_t n0 = 0; n0 < s->n; n0 += most)
      for (int64_t k = 0; k < s->k; k++) {
        int64_t packed = o * each + n0 * s->k + k * most, plain = o * s->n * s->k + n0 * step_n + k * step_k;
        run(ud, packed, plain, step_n, s->n - n0 < most ? s->n - n0 : most);
      }
}

/* the operators --------------------------------------------------------------------------------------------------- */
static bool shape_form(const ShapeCtx *c, PackForm *f) {
  const char *layout = shape_attr(c, A_layout)->s;
  int64_t trans = shape_int(c, A_trans, 0);
  *f = (PackForm){kind_of(layout), trans != 0, shape_int(c, A_panel, 1)};
  if (f->kind == PACK_COUNT)
    return shape_error_attr(c, A_layout, "E0208", "there is no layout \"%s\" (plain, panels, rows, vector)", layout);
  if (f->panel < 1 || f->panel > MOST_PANEL)
    return shape_error_attr(c, A_panel, "E0208", "a panel has 1 to %d columns", MOST_PANEL);
  if (trans != 0 && (trans != 1 || f->kind != PACK_panels))
    return shape_error_attr(c, A_trans, "E0208", "trans is 1 of the panels of a matrix [K,N], and 0 else");
  return true;
}

static bool is_whole_weight(const ShapeCtx *c) {
  const Value *x = graph_value(c->g, c->args[0]);
  while (x->op == OP_reshape || x->op == OP_transpose) x = graph_value(c->g, x->args[0]);
  return x->op == OP_weight;
}

bool shape_pack(const ShapeCtx *c, Type *out) {
  PackForm f;
  int64_t stored = shape_int(c, A_stored, 0);
  const Attr *to = shape_attr(c, A_to);
  DType kept;
  if (!shape_form(c, &f) || !shape_float(c)) return false;
  const char *why = pack_type(f, shape_arg(c, 0), out);
  if (why)
    return shape_error(c, "E0204", "%s cannot be laid out as %s: %s", shape_type(c, 0), pack_info[f.kind].name, why);
  if (stored != 0 && (stored != 1 || to || !is_whole_weight(c)))
    return shape_error_attr(c, A_stored, "E0208", "stored is 1 of a weight in its own element type, or 0");
  if (!to) return true;
  if (!dtype_by_name(to->s, &kept) || dtype_info[kept].kind != DK_FLOAT)
    return shape_error_attr(c, A_to, "E0208", "there is no floating type '%s'", to->s);
  out->dtype = kept;
  return true;
}

bool shape_unpack(const ShapeCtx *c, Type *out) {
  PackForm f;
  Type packed;
  const Type *x = shape_arg(c, 0);
  if (!shape_form(c, &f)) return false;
  const char *why = pack_type(f, c->declared, &packed);
  if (why)
    return shape_error(c, "E0204", "the declared type cannot be laid out as %s: %s", pack_info[f.kind].name, why);
  if (!type_equal(x, &packed))
    return shape_error(c, "E0204", "%s are not the %s of the declared type", shape_type(c, 0), pack_info[f.kind].name);
  *out = *c->declared;
  return true;
}

typedef struct Copy {
  const RefCtx *c;
  Tensor *out;
  bool pack; // else unpack
} Copy;

static void copy_run(void *ud, int64_t packed, int64_t plain, int64_t step, int64_t n) {
  const Copy *m = ud;
  for (int64_t i = 0; i < n; i++) {
    size_t p = (size_t)(packed + i), q = (size_t)(plain + i * step);
    if (m->pack)
      ref_put(m->c, m->out, p, dtype_round(m->out->dtype, tensor_get(&m->c->arg[0], q)));
    else
      ref_put(m->c, m->out, q, tensor_get(&m->c->arg[0], p));
  }
}

static void ref_copy(const RefCtx *c, const Tensor *tensor, Tensor *out, bool pack) {
  PackShape s = pack_shape(pack_form(c->v), tensor->rank, tensor->dim);
  for (size_t i = 0; i < out->n; i++) ref_put(c, out, i, 0);
  pack_runs(&s, copy_run, &(Copy){c, out, pack});
}

void ref_pack(const RefCtx *c, Tensor *out) {
  ref_copy(c, &c->arg[0], out, true);
}

void ref_unpack(const RefCtx *c, Tensor *out) {
  ref_copy(c, out, out, false);
}

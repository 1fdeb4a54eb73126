// source.c: input, state, weight, constant, iota, and shape_declared, the rule of every operator whose type the caller
// declares.
//
//   %1 = input "image" : f32[B,3,224,224]
//   %2 = weight "cls_token" : f32[1,1,768]
//   %3 = constant {value = 0x1p-1} : f32[]
//   %4 = iota {axis = 1} : i32[14,14]        element (y, x) is x
//   %5 = state : f32[B,L,32]                 of  output "keys" = %9 changes %5
// Sources have no operands; their type is taken as declared (graph_add checks that it is well-formed).
#include "op.h"
#include "movement.h"
#include "resize.h"

static bool shape_source(const ShapeCtx *c, Type *out) {
  *out = *c->declared;
  return true;
}

static bool shape_iota(const ShapeCtx *c, Type *out) {
  const Type *t = c->declared;
  int64_t axis = shape_int(c, A_axis, 0);
  if (t->dtype != DT_I32) return shape_error(c, "E0203", "an index is i32, not %s", dtype_info[t->dtype].name);
  if (axis < 0 || axis >= t->rank)
    return shape_error(c, "E0208", "axis %lld does not exist, the type has %d axes", (long long)axis, t->rank);
  for (int d = 0; d < t->rank; d++)
    if (!dim_is_const(t->dim[d])) return shape_error(c, "E0206", "an index has constant extents");
  *out = *t;
  return true;
}

static bool shape_weight(const ShapeCtx *c, Type *out) {
  int64_t trained = shape_int(c, A_trained, 0);
  if (trained != 0 && trained != 1) return shape_error(c, "E0208", "trained is 0 or 1, not %lld", (long long)trained);
  return shape_source(c, out);
}

static ShapeFn *const declared_rule[OP_COUNT] = {
    [OP_input] = shape_source,  [OP_weight] = shape_weight,       [OP_constant] = shape_source,
    [OP_state] = shape_source,  [OP_iota] = shape_iota,           [OP_reshape] = shape_reshape,
    [OP_slice] = shape_slice,   [OP_broadcast] = shape_broadcast, [OP_retag] = shape_retag,
    [OP_unpack] = shape_unpack,
};

bool shape_declared(const ShapeCtx *c, Type *out) {
  if (!c->declared) ICE("%s needs a declared type (graph_add_typed)", op_info[c->op].name);
  const char *why = type_problem(c->g->module, c->declared);
  if (why) return shape_error(c, "E0213", "the declared type cannot be used: %s", why);
  CHECK(declared_rule[c->op]);
  return declared_rule[c->op](c, out);
}

static void take_input(const RefCtx *c, const char *name, Tensor *out) {
  if (!c->env->input || !c->env->input(c->env->ud, name, &c->v->type, out))
    *c->error = arena_printf(c->g->module->arena, "no value for the input %s", name);
}

void ref_input(const RefCtx *c, Tensor *out) {
  take_input(c, value_str(c->v, A_name), out);
}

// A state is handed to the evaluator like an input, under the name of its output.
void ref_state(const RefCtx *c, Tensor *out) {
  const Port *p = graph_state_port(c->g, (Val){(uint32_t)(c->v - c->g->value.at)});
  if (p)
    take_input(c, p->name, out);
  else
    *c->error = "a state belongs to no output";
}

// A checkpoint of another grid: its table, resized as the page allows.
static bool resized(const RefCtx *c, const char *name, Tensor *out) {
  Type t = c->v->type;
  const char *method = value_str(c->v, A_method);
  const Attr *grid = value_attr(c->v, A_grid);
  int64_t rows = t.rank > 1 ? t.dim[t.rank - 2].c : 0, have = 0;
  ResizePlan p;
  if (!method || t.rank < 2 || !c->env->weight_rows || !c->env->weight_rows(c->env->ud, name, &t, &have)) return false;
  if (have == rows || !resize_plan(method, value_int(c->v, A_keep, 0), grid ? grid->v : NULL, have, rows, &p))
    return false;
  t.dim[t.rank - 2] = DIM(have);
  int64_t dim[MAX_RANK];
  for (int d = 0; d < t.rank; d++) dim[d] = t.dim[d].c;
  Tensor table = tensor_new(c->env->arena, t.dtype, t.rank, dim);
  if (!c->env->weight(c->env->ud, name, &t, &table)) return false;
  resize_run(c->env->arena, &p, table.f, dim[t.rank - 1], out->f);
  return true;
}

void ref_weight(const RefCtx *c, Tensor *out) {
  const char *name = value_str(c->v, A_name);
  if (!resized(c, name, out) && (!c->env->weight || !c->env->weight(c->env->ud, name, &c->v->type, out)))
    *c->error = arena_printf(c->g->module->arena, "no weight %s", name);
  else if (dtype_is_narrow(out->dtype)) // whatever the source holds: rounded once
    for (size_t i = 0; i < out->n; i++) out->f[i] = dtype_round(out->dtype, out->f[i]);
}

void ref_constant(const RefCtx *c, Tensor *out) {
  for (size_t i = 0; i < out->n; i++) ref_put(c, out, i, value_float(c->v, A_value, 0));
}

void ref_iota(const RefCtx *c, Tensor *out) {
  int axis = (int)value_int(c->v, A_axis, 0);
  size_t inner = 1;
  for (int d = axis + 1; d < out->rank; d++) inner *= (size_t)out->dim[d];
  for (size_t i = 0; i < out->n; i++) ref_put(c, out, i, (double)(i / inner % (size_t)out->dim[axis]));
}

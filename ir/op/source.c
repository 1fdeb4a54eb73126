// source.c: input, weight, constant, and shape_declared, the rule of every operator whose type the caller declares.
//
//   %1 = input "image" : f32[B,3,224,224]
//   %2 = weight "cls_token" : f32[1,1,768]
//   %3 = constant {value = 0x1p-1} : f32[]
// Sources have no operands; their type is taken as declared (graph_add checks that it is well-formed).
#include "op.h"
#include "movement.h"

static bool shape_source(const ShapeCtx *c, Type *out) {
  *out = *c->declared;
  return true;
}

static ShapeFn *const declared_rule[OP_COUNT] = {
    [OP_input] = shape_source,    [OP_weight] = shape_source, [OP_constant] = shape_source,
    [OP_reshape] = shape_reshape, [OP_slice] = shape_slice,   [OP_broadcast] = shape_broadcast,
    [OP_retag] = shape_retag,
};

bool shape_declared(const ShapeCtx *c, Type *out) {
  if (!c->declared) ICE("%s needs a declared type (graph_add_typed)", op_info[c->op].name);
  const char *why = type_problem(c->g->module, c->declared);
  if (why) return shape_error(c, "E0213", "the declared type cannot be used: %s", why);
  CHECK(declared_rule[c->op]);
  return declared_rule[c->op](c, out);
}

void ref_input(const RefCtx *c, Tensor *out) {
  const char *name = value_str(c->v, A_name);
  if (!c->env->input || !c->env->input(c->env->ud, name, &c->v->type, out))
    *c->error = arena_printf(c->g->module->arena, "no value for the input %s", name);
}

void ref_weight(const RefCtx *c, Tensor *out) {
  const char *name = value_str(c->v, A_name);
  if (!c->env->weight || !c->env->weight(c->env->ud, name, &c->v->type, out))
    *c->error = arena_printf(c->g->module->arena, "no weight %s", name);
}

void ref_constant(const RefCtx *c, Tensor *out) {
  for (size_t i = 0; i < out->n; i++) ref_put(c, out, i, value_float(c->v, A_value, 0));
}

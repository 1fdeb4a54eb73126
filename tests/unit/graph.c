// graph.c: shape rules (with their negative twins), folding, sharing, rewriting and masks. The references of all
// operators: graph_eval.c.
#include "graph_support.h"

static const Dim DB = {0, 1, 0}, DL = {0, 1, 1};

static Type type(int rank, ...) { // f32 of the given Dims
  Type t = {.dtype = DT_F32, .rank = (uint8_t)rank};
  va_list ap;
  va_start(ap, rank);
  for (int i = 0; i < rank; i++) t.dim[i] = va_arg(ap, Dim);
  va_end(ap);
  return t;
}

static Type both(DType dt) { // [B, vision: 4 + language: L, 8]
  Type t = type(3, DB, DIM(0), DIM(8));
  Seg s[2] = {{0, DIM(4)}, {1, DL}};
  t.dtype = dt;
  type_set_segs(&t, 1, s, 2);
  return t;
}

static Val in(Bench *b, const char *name, Type t) {
  return graph_input(b->g, name, &t, NO_SPAN);
}
static Val op1(Bench *b, Op op, Val x) {
  return graph_add(b->g, op, &x, 1, NULL, 0, NO_SPAN);
}
static Val op2(Bench *b, Op op, Val x, Val y) {
  return graph_add(b->g, op, (Val[]){x, y}, 2, NULL, 0, NO_SPAN);
}

static void expect_type(const Bench *b, Val v, const char *want) {
  Buf out = {0}, why = {0};
  diag_print(&b->diag, &why, false);
  cr_assert(v.id, "%s expected, but: %s", want, why.s);
  type_print(&out, b->m, &graph_value(b->g, v)->type);
  cr_assert_str_eq(out.s, want);
  buf_free(&out);
  buf_free(&why);
}

static void expect_error(Bench *b, Val v, const char *code, const char *text) {
  cr_assert_eq(v.id, 0, "%s expected", code);
  cr_assert_gt(b->diag.list.n, 0);
  const Diagnostic *d = &b->diag.list.at[b->diag.list.n - 1];
  cr_assert_str_eq(d->code, code, "%s: %s", d->code, d->text);
  cr_assert(strstr(d->text, text) != NULL, "\"%s\" lacks \"%s\"", d->text, text);
}

Test(graph, dims_and_types) {
  Bench b;
  bench_init(&b);
  Dim d;
  cr_assert(dim_add(DB, DIM(3), &d) && dim_equal(d, ((Dim){3, 1, 0})));
  cr_assert_not(dim_add(DB, DL, &d));
  cr_assert_eq(dim_bound(b.m, (Dim){1, 2, 1}), 13);
  cr_assert_eq(dim_least(b.m, (Dim){7, -1, 1}), 1);
  Type t = both(DT_F32);
  cr_assert_eq(type_extent(b.m, &t, 1), 10);
  cr_assert_eq(seg_start(b.m, &t, 1), 4);
  cr_assert_eq(type_bytes(b.m, &t), 4 * 10 * 8 * 4);
  cr_assert(dim_equal(t.dim[1], ((Dim){4, 1, 1})));
  cr_assert(type_is_dense(&t));
  Type huge = type(3, DIM(1 << 20), DIM(1 << 20), DIM(2));
  cr_assert_not_null(type_problem(b.m, &huge));
  Type empty = type(1, DIM(0));
  cr_assert_not_null(type_problem(b.m, &empty));
  bench_free(&b);
}

Test(graph, elementwise_shapes) {
  Bench b;
  bench_init(&b);
  Val x = in(&b, "x", both(DT_F32)), row = in(&b, "row", type(1, DIM(8))),
      col = in(&b, "col", type(3, DB, DIM(1), DIM(8)));
  expect_type(&b, op2(&b, OP_add, x, row), "f32[B,vision: 4 + language: L,8]");
  expect_type(&b, op2(&b, OP_mul, col, x), "f32[B,vision: 4 + language: L,8]");
  Val plain = in(&b, "plain", type(3, DB, (Dim){4, 1, 1}, DIM(8)));
  expect_type(&b, op2(&b, OP_sub, plain, x), "f32[B,vision: 4 + language: L,8]");
  expect_error(&b, op2(&b, OP_add, x, in(&b, "a", type(1, DIM(7)))), "E0204", "8 does not match 7");
  Type turned = both(DT_F32);
  type_set_segs(&turned, 1, (Seg[]){{1, DL}, {0, DIM(4)}}, 2);
  Val t = in(&b, "turned", turned);
  expect_error(&b, op2(&b, OP_add, x, t), "E0205", "vision: 4 + language: L");
  expect_error(&b, op2(&b, OP_add, plain, t), "E0206", "same segments");
  Type ids = type(1, DIM(8));
  ids.dtype = DT_I32;
  expect_error(&b, op2(&b, OP_add, x, in(&b, "i", ids)), "E0203", "f32");
  expect_error(&b, op1(&b, OP_logical_not, x), "E0203", "needs bool");
  expect_error(&b, op1(&b, OP_gelu, in(&b, "j", ids)), "E0203", "i32");
  cr_assert_eq(b.diag.list.at[0].nnote, 2, "both shapes are shown");
  bench_free(&b);
}

Test(graph, linear_and_norm_shapes) {
  Bench b;
  bench_init(&b);
  Val x = in(&b, "x", both(DT_F32));
  Type wt = type(2, DIM(16), DIM(8)), bad = type(2, DIM(16), DIM(5)), bias = type(1, DIM(15));
  Val w = graph_weight(b.g, "w", &wt, NO_SPAN);
  expect_type(&b, op2(&b, OP_linear, x, w), "f32[B,vision: 4 + language: L,16]");
  expect_error(&b, op2(&b, OP_linear, x, graph_weight(b.g, "v", &bad, NO_SPAN)), "E0204",
               "takes 5 columns, but x is f32[B,vision: 4 + language: L,8] with 8");
  Val three[3] = {x, w, graph_weight(b.g, "bias", &bias, NO_SPAN)};
  expect_error(&b, graph_add(b.g, OP_linear, three, 3, NULL, 0, NO_SPAN), "E0204", "bias has 15");
  expect_error(&b, op1(&b, OP_linear, x), "E0201", "2 to 3 operands, has 1");
  expect_error(&b, op1(&b, OP_layer_norm, x), "E0212", "eps");
  Attr eps = attr_float(A_eps, 1e-5);
  expect_type(&b, graph_add(b.g, OP_layer_norm, &x, 1, &eps, 1, NO_SPAN), "f32[B,vision: 4 + language: L,8]");
  expect_error(&b, graph_add(b.g, OP_layer_norm, (Val[]){x, three[2]}, 2, &eps, 1, NO_SPAN), "E0204",
               "the gain is f32[15]");
  expect_type(&b, op1(&b, OP_reduce_sum, x), "f32[B,vision: 4 + language: L,1]");
  expect_type(&b, op1(&b, OP_argmax, x), "i32[B,vision: 4 + language: L]");
  Attr trans = attr_int(A_trans, 1);
  Val q = in(&b, "q", type(3, DB, DL, DIM(8)));
  expect_type(&b, graph_add(b.g, OP_matmul, (Val[]){q, q}, 2, &trans, 1, NO_SPAN), "f32[B,L,L]");
  expect_error(&b, op2(&b, OP_matmul, q, q), "E0204", "8 columns meet L rows");
  expect_error(&b, graph_add(b.g, OP_matmul, (Val[]){x, x}, 2, &trans, 1, NO_SPAN), "E0207", "segmented");
  bench_free(&b);
}

Test(graph, movement_shapes) {
  Bench b;
  bench_init(&b);
  Val x = in(&b, "x", both(DT_F32));
  Attr at[2] = {attr_int(A_axis, 1), attr_int(A_start, 4)};
  Type t = type(3, DB, DL, DIM(8));
  Val words = graph_add_typed(b.g, OP_slice, &x, 1, at, 2, &t, NO_SPAN);
  expect_type(&b, words, "f32[B,language: L,8]");
  at[1].i = 1;
  t.dim[1] = DIM(3);
  expect_type(&b, graph_add_typed(b.g, OP_slice, &x, 1, at, 2, &t, NO_SPAN), "f32[B,vision: 3,8]");
  t.dim[1] = DIM(4);
  expect_error(&b, graph_add_typed(b.g, OP_slice, &x, 1, at, 2, &t, NO_SPAN), "E0209", "neither whole parts");
  at[1].i = 0;
  t.dim[1] = DIM(1); // first word, certain because L >= 1
  expect_type(&b, graph_add_typed(b.g, OP_slice, &words, 1, at, 2, &t, NO_SPAN), "f32[B,language: 1,8]");
  t.dim[1] = DIM(2);
  expect_error(&b, graph_add_typed(b.g, OP_slice, &words, 1, at, 2, &t, NO_SPAN), "E0209", "2 elements from 0");
  expect_type(&b, graph_add(b.g, OP_concat, (Val[]){words, x}, 2, at, 1, NO_SPAN),
              "f32[B,language: L + vision: 4 + language: L,8]");
  Val plain = in(&b, "plain", type(3, DB, DL, DIM(8)));
  expect_error(&b, graph_add(b.g, OP_concat, (Val[]){words, plain}, 2, at, 1, NO_SPAN), "E0205", "tag all");
  expect_error(&b, graph_add(b.g, OP_concat, (Val[]){plain, plain}, 2, at, 1, NO_SPAN), "E0206", "run-time length L");
  t = type(4, DB, DL, DIM(2), DIM(4));
  expect_type(&b, graph_add_typed(b.g, OP_reshape, &plain, 1, NULL, 0, &t, NO_SPAN), "f32[B,L,2,4]");
  t = type(3, DB, DIM(8), DL);
  expect_error(&b, graph_add_typed(b.g, OP_reshape, &plain, 1, NULL, 0, &t, NO_SPAN), "E0210", "f32[B,L,8]");
  Type tagged = type(3, DB, DL, DIM(8));
  type_set_segs(&tagged, 1, &(Seg){1, DL}, 1);
  Attr to = attr_str(A_to, "language");
  expect_type(&b, graph_add_typed(b.g, OP_retag, &plain, 1, &to, 1, &tagged, NO_SPAN), "f32[B,language: L,8]");
  expect_error(&b, graph_add_typed(b.g, OP_retag, &x, 1, &to, 1, &tagged, NO_SPAN), "E0204", "extents must stay");
  int64_t perm[3] = {2, 0, 1}, twice[3] = {0, 0, 1};
  Attr p = attr_ints(A_perm, perm, 3), q = attr_ints(A_perm, twice, 3);
  expect_type(&b, graph_add(b.g, OP_transpose, &x, 1, &p, 1, NO_SPAN), "f32[8,B,vision: 4 + language: L]");
  expect_error(&b, graph_add(b.g, OP_transpose, &x, 1, &q, 1, NO_SPAN), "E0208", "each of the 3 axes");
  Val image = in(&b, "image", type(4, DB, DIM(3), DIM(9), DIM(8)));
  Attr side = attr_int(A_patch, 4);
  expect_type(&b, graph_add(b.g, OP_patchify, &image, 1, &side, 1, NO_SPAN), "f32[B,4,48]");
  side.i = 10;
  expect_error(&b, graph_add(b.g, OP_patchify, &image, 1, &side, 1, NO_SPAN), "E0208", "do not fit");
  bench_free(&b);
}

Test(graph, attention_and_rows_shapes) {
  Bench b;
  bench_init(&b);
  Val x = in(&b, "x", both(DT_F32));
  Type m = both(DT_BOOL);
  m.rank = 2;
  Val mask = in(&b, "mask", m), args[4] = {x, x, x, mask};
  Attr a[2] = {attr_int(A_heads, 2), attr_str(A_where, "(or (is key vision) (arg 3))")};
  expect_type(&b, graph_add(b.g, OP_attention, args, 4, a, 2, NO_SPAN), "f32[B,vision: 4 + language: L,8]");
  expect_error(&b, graph_add(b.g, OP_attention, args, 3, a, 2, NO_SPAN), "E0208", "reads operand 3");
  a[1].s = "(or (is key video))";
  expect_error(&b, graph_add(b.g, OP_attention, args, 4, a, 2, NO_SPAN), "E0208", "malformed mask");
  a[0].i = 3;
  expect_error(&b, graph_add(b.g, OP_attention, args, 4, a, 1, NO_SPAN), "E0204", "3 heads do not divide");
  a[0].i = 4;
  a[1] = attr_int(A_kv_heads, 3);
  expect_error(&b, graph_add(b.g, OP_attention, args, 3, a, 2, NO_SPAN), "E0208", "kv_heads = 3 must divide");
  a[1].i = 2; // heads of q have 2 columns, those of k have 4
  expect_error(&b, graph_add(b.g, OP_attention, args, 3, a, 2, NO_SPAN), "E0204", "the key");
  a[1] = attr_float(A_cap, 0);
  expect_error(&b, graph_add(b.g, OP_attention, args, 3, a, 2, NO_SPAN), "E0208", "cap is 0, must be positive");
  Type table = type(2, DIM(100), DIM(8)), ids = type(2, DB, DL);
  ids.dtype = DT_I32;
  Val w = graph_weight(b.g, "table", &table, NO_SPAN), i = in(&b, "ids", ids);
  expect_type(&b, op2(&b, OP_embedding, w, i), "f32[B,L,8]");
  expect_error(&b, op2(&b, OP_embedding, w, x), "E0203", "row numbers are i32");
  Type rows = type(1, DB);
  rows.dtype = DT_I32;
  expect_type(&b, op2(&b, OP_gather_rows, x, in(&b, "rows", rows)), "f32[B,8]");
  bench_free(&b);
}

Test(graph, folding_and_sharing) {
  Bench b;
  bench_init(&b);
  Val x = in(&b, "x", type(2, DB, DIM(8))), y = in(&b, "y", type(2, DB, DIM(8)));
  Val zero = graph_scalar(b.g, 0, NO_SPAN), one = graph_scalar(b.g, 1, NO_SPAN);
  cr_assert_eq(op2(&b, OP_add, x, zero).id, x.id);
  cr_assert_eq(op2(&b, OP_mul, one, x).id, x.id);
  cr_assert_neq(op2(&b, OP_mul, x, zero).id, x.id);
  cr_assert_neq(op2(&b, OP_sub, x, zero).id, x.id); // no folder
  Type wide = type(3, DIM(2), DB, DIM(8));
  Val ones = graph_add_typed(b.g, OP_broadcast, &one, 1, NULL, 0, &wide, NO_SPAN);
  cr_assert_neq(op2(&b, OP_mul, x, ones).id, x.id); // the type changes
  cr_assert_eq(graph_scalar(b.g, 1, NO_SPAN).id, one.id);
  cr_assert_eq(op2(&b, OP_add, x, y).id, op2(&b, OP_add, y, x).id);
  cr_assert_neq(op2(&b, OP_sub, x, y).id, op2(&b, OP_sub, y, x).id);
  cr_assert_neq(graph_scalar(b.g, -0.0, NO_SPAN).id, zero.id);
  Type t = type(1, DIM(8)), other = type(1, DIM(9));
  Val w = graph_weight(b.g, "w", &t, NO_SPAN);
  cr_assert_eq(graph_weight(b.g, "w", &t, NO_SPAN).id, w.id);
  expect_error(&b, graph_weight(b.g, "w", &other, NO_SPAN), "E0211", "f32[9] here and as f32[8] before");
  expect_error(&b, in(&b, "x", t), "E0211", "already has an input x");
  cr_assert_eq(op2(&b, OP_add, x, NO_VAL).id, 0);
  for (int i = 0; i < 2000; i++) graph_scalar(b.g, i, NO_SPAN);
  cr_assert_eq(op2(&b, OP_add, y, x).id, op2(&b, OP_add, x, y).id);
  cr_assert_eq(graph_scalar(b.g, 1, NO_SPAN).id, one.id);
  bench_free(&b);
}

Test(graph, rewriting) {
  Bench b;
  const char *why;
  bench_init(&b);
  Val x = in(&b, "x", type(2, DB, DIM(8))), unused = in(&b, "unused", type(1, DIM(8)));
  Val e = op1(&b, OP_exp, x), n = op1(&b, OP_neg, e), t = op1(&b, OP_tanh, e);
  graph_output(b.g, "n", n, NO_SPAN);
  Val lost = op1(&b, OP_sqrt, t);
  Uses u = graph_uses(b.g, &b.arena);
  cr_assert_eq(u.start[e.id + 1] - u.start[e.id], 2);
  cr_assert_eq(u.user[u.start[n.id]], UINT32_MAX);
  Val r = op1(&b, OP_relu, e); // wraps e: its own operand must stay
  graph_replace(b.g, e, r);
  cr_assert_eq(graph_value(b.g, r)->args[0].id, e.id);
  cr_assert_eq(graph_value(b.g, n)->args[0].id, r.id);
  cr_assert_not(graph_verify(b.g, &why)); // r stands below its user
  cr_assert_eq(graph_dce(b.g), 2);
  cr_assert(graph_value(b.g, lost)->dead && graph_value(b.g, t)->dead && !graph_value(b.g, unused)->dead);
  graph_compact(b.g);
  cr_assert(graph_verify(b.g, &why), "%s", why);
  cr_assert_eq(b.g->value.n, 6);
  cr_assert_eq(graph_value(b.g, b.g->output.at[0].val)->op, OP_neg);
  Type wt = type(1, DIM(8));
  Val w = graph_weight(b.g, "w", &wt, NO_SPAN), w2 = op2(&b, OP_mul, w, graph_scalar(b.g, 2, NO_SPAN));
  cr_assert_eq(graph_residency(b.g, w2), RES_const);
  cr_assert_eq(graph_residency(b.g, op2(&b, OP_add, w2, b.g->input.at[0].val)), RES_act);
  Type ones = type(1, DB);
  Val one = graph_scalar(b.g, 1, NO_SPAN),
      stretched = graph_add_typed(b.g, OP_broadcast, &one, 1, NULL, 0, &ones, NO_SPAN);
  cr_assert_eq(graph_residency(b.g, stretched), RES_const);
  Val all = op1(&b, OP_reduce_sum, stretched);
  cr_assert_eq(graph_residency(b.g, all), RES_act, "the sum over a run-time dim is a fact of the call");
  cr_assert_not(graph_is_packed(b.g, all));
  bench_free(&b);
}

Test(graph, verify_finds_damage) {
  Bench b;
  const char *why = "";
  bench_init(&b);
  Val x = in(&b, "x", type(2, DB, DIM(8))), e = op1(&b, OP_exp, x);
  graph_output(b.g, "e", e, NO_SPAN);
  cr_assert(graph_verify(b.g, &why));
  Value *v = graph_value(b.g, e), keep = *v;
  v->type.dim[1] = DIM(9);
  cr_assert(!graph_verify(b.g, &why) && strstr(why, "operands give"));
  *v = keep, v->pitch = 16;
  cr_assert(!graph_verify(b.g, &why) && strstr(why, "padded"));
  *v = keep, v->pitch = 4;
  cr_assert(!graph_verify(b.g, &why) && strstr(why, "pitch"));
  *v = keep, v->place = (Place){PLACE_OUTPUT, 1, 0};
  cr_assert(!graph_verify(b.g, &why) && strstr(why, "does not exist"));
  *v = keep, v->alias = e;
  cr_assert(!graph_verify(b.g, &why) && strstr(why, "only a concat"));
  *v = keep, v->group = 1000;
  cr_assert(!graph_verify(b.g, &why) && strstr(why, "number of its group"));
  *v = keep, v->args[0] = e;
  cr_assert(!graph_verify(b.g, &why) && strstr(why, "above"));
  v->args[0] = x;
  graph_value(b.g, x)->dead = true;
  cr_assert(!graph_verify(b.g, &why) && strstr(why, "erased"));
  bench_free(&b);
}

Test(graph, masks) {
  Bench b;
  bench_init(&b);
  static const char *const good[] = {"true",
                                     "(le key query)",
                                     "(lt query key)",
                                     "(eq key query)",
                                     "(below key 3)",
                                     "(below query L)",
                                     "(below key L -2)",
                                     "(is query language)",
                                     "(and (arg 3) (or (is key vision) (not (le key query))))"};
  static const char *const bad[] = {"",
                                    "le",
                                    "(true)",
                                    "(le key key)",
                                    "(is key audio)",
                                    "(below key)",
                                    "(below key T)",
                                    "(below 3 key)",
                                    "(below key L 2 3)",
                                    "(arg x)",
                                    "(arg 3",
                                    "(not)",
                                    "(and true)",
                                    "true true",
                                    "(le key query",
                                    "()",
                                    "(arg 3))",
                                    "(arg 99999999)",
                                    "(foo key query)"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    Mask *m = mask_parse(&b.arena, b.m, good[i]);
    cr_assert_not_null(m, "%s", good[i]);
    cr_assert_str_eq(mask_text(&b.arena, b.m, m), good[i]);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_assert_null(mask_parse(&b.arena, b.m, bad[i]), "%s", bad[i]);
  Buf deep = {0};
  for (int i = 0; i < 100000; i++) buf_puts(&deep, "(not ");
  cr_assert_null(mask_parse(&b.arena, b.m, deep.s));
  buf_free(&deep);
  cr_assert_str_eq(mask_text(&b.arena, b.m, mask_parse(&b.arena, b.m, " ( eq  query\nkey ) ")), "(eq key query)");
  bench_free(&b);
}

/* the table ------------------------------------------------------------------------------------------- */
// What ops.def says of an operator holds together: attributes that must be there are allowed, calls are
// NAME(PARAMETERS), what a parameter names behind a colon is an attribute of the operator, and docs/language.md has the
// function.
Test(graph, operator_table) {
  Arena a = {0};
  size_t n;
  const char *err = "";
  const char *language = file_read(&a, arena_printf(&a, "%s/docs/language.md", SY_SOURCE_DIR), &n, &err);
  cr_assert_not_null(language, "%s", err);
  for (int op = OP_none + 1; op < OP_COUNT; op++) {
    const OpInfo *o = &op_info[op];
    cr_expect_eq(o->required & ~o->attrs, 0, "%s", o->name);
    if (!*o->call) continue;
    const char *open = strchr(o->call, '(');
    cr_assert(open && open > o->call && o->call[strlen(o->call) - 1] == ')', "%s: %s", o->name, o->call);
    cr_expect(strstr(language, arena_strndup(&a, o->call, (size_t)(open - o->call))), "%s is not in docs/language.md",
              o->call);
    for (const char *p = strchr(open, ':'); p; p = strchr(p + 1, ':')) {
      size_t len = strcspn(p + 1, " ?)");
      bool known = false;
      for (int k = 0; k < ATTR_COUNT; k++)
        known = known ||
                ((o->attrs >> k & 1) && strlen(attr_info[k].name) == len && !strncmp(attr_info[k].name, p + 1, len));
      cr_expect(known, "%s: no attribute '%.*s'", o->name, (int)len, p + 1);
    }
  }
  arena_free(&a);
}

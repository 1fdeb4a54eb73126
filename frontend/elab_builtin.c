// elab_builtin.c: the builtins: the operators that ir/ops.def lets pages call, and a few functions that are none.
//
//   affine(x, weight, bias, transposed = true)     layer_norm(x, gain, bias, eps = 1e-6)     width(x)
//
// Arguments are bound to parameters by position or name; then call_operator makes operands and attributes of them as
// the signature in ops.def says, or a function of its own where that is not enough. Kinds of arguments are checked
// here, shapes and ranges by the shape rules of ir/op, which speak of this call in their messages (PageNames). On
// compile-time numbers exp, log, sqrt, min and max compute numbers.
#include "elab_builtin.h"

#include <math.h>
#include <string.h>

typedef struct Param {
  char name[16];
  AttrKey key; // the attribute that it gives; ATTR_COUNT: an operand
  bool optional;
} Param;

static const char *role(Elab *e, const Call *c, const char *what) {
  return arena_printf(e->arena, "'%s' of %s", what, c->name);
}

bool tensor_at(Elab *e, Call *c, int i, const char *what) {
  return want_tensor(e, c->slot[i], c->span[i], role(e, c, what));
}

static bool is_one_number(CtVal v) {
  return (v.kind == CV_INT && !v.d.k) || v.kind == CV_REAL;
}

/* elementwise
 * ------------------------------------------------------------------------------------------------------------------ */

// On numbers; those of `whole` numbers are whole, as is floor.
static CtVal call_function(Elab *e, Call *c) {
  static double (*const fn[OP_COUNT])(double) = {[OP_exp] = exp, [OP_log] = log,  [OP_sqrt] = sqrt,  [OP_sin] = sin,
                                                 [OP_cos] = cos, [OP_abs] = fabs, [OP_floor] = floor};
  if (is_one_number(c->slot[0])) {
    double x, y;
    bool whole = c->op == OP_floor || (c->op == OP_abs && c->slot[0].kind == CV_INT);
    if (!want_real(e, c->slot[0], c->span[0], "the operand", &x)) return CT_ERROR;
    y = fn[c->op](x);
    if (whole && fabs(y) < 0x1p53) return ct_int((int64_t)y);
    if (isfinite(y) && !whole) return ct_real(y);
    elab_error(e, "E0108", c->at, "%s(%g) is no finite number", c->name, x);
    return CT_ERROR;
  }
  return call_operator(e, c);
}

static CtVal call_minmax(Elab *e, Call *c) {
  if (is_one_number(c->slot[0]) && is_one_number(c->slot[1])) {
    CtVal less = num_binary(e, AO_le, c->slot[0], c->slot[1], c->at);
    if (less.kind == CV_ERROR) return less;
    return less.b == (c->op == OP_minimum) ? c->slot[0] : c->slot[1];
  }
  return tensor_elementwise(e, c->op, c->op == OP_minimum ? "take the minimum of" : "take the maximum of", c->slot[0],
                            c->slot[1], NULL, 0, c->at);
}

// min(max(x, low), high); a NaN stays.
static CtVal call_clamp(Elab *e, Call *c) {
  CtVal x = c->slot[0];
  static const char *const what[] = {"raise", "lower"};
  static const Op op[] = {OP_maximum, OP_minimum};
  static const AstOp less[] = {AO_lt, AO_gt};
  if (!is_one_number(x) && !tensor_at(e, c, 0, "x")) return CT_ERROR;
  for (int i = 0; i < 2; i++) {
    CtVal limit = c->slot[1 + i];
    if (!is_one_number(x) || !is_one_number(limit)) {
      x = tensor_elementwise(e, op[i], what[i], limit, x, NULL, 0, c->at);
    } else {
      CtVal beyond = num_binary(e, less[i], x, limit, c->at);
      if (beyond.kind == CV_ERROR) return beyond;
      if (beyond.b) x = limit;
    }
    if (x.kind == CV_ERROR) return x;
  }
  return x;
}

static CtVal call_silu(Elab *e, Call *c) {
  c->op = OP_swish;
  return call_operator(e, c);
}

static CtVal call_select(Elab *e, Call *c) {
  if (!tensor_at(e, c, 0, "condition")) return CT_ERROR;
  DType dt = c->slot[1].kind == CV_TENSOR   ? val_type(e, c->slot[1].v)->dtype
             : c->slot[2].kind == CV_TENSOR ? val_type(e, c->slot[2].v)->dtype
                                            : DT_F32;
  Val args[3] = {c->slot[0].v};
  for (int i = 1; i < 3; i++) {
    CtVal v = c->slot[i].kind == CV_TENSOR ? c->slot[i] : tensor_lift(e, c->slot[i], dt, c->span[i]);
    if (v.kind == CV_ERROR) return v;
    args[i] = v.v;
  }
  return add_op(e, OP_select, args, 3, NULL, 0, c->at);
}

static CtVal call_cast(Elab *e, Call *c) {
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  if (c->slot[1].kind != CV_TYPE || c->slot[1].type->rank) {
    elab_error(e, "E0106", c->span[1], "cast needs an element type: cast(x, f32)");
    return CT_ERROR;
  }
  Attr to = attr_str(A_to, dtype_info[c->slot[1].type->dtype].name);
  return add_op(e, OP_cast, &c->slot[0].v, 1, &to, 1, c->at);
}

/* operators
 * ----------------------------------------------------------------------------------------------------------------------
 */

static size_t split(const char *s, Op op, Param *p, bool *many);

// One number for rows and columns, or a list of two. Absent: 1.
static bool want_pair(Elab *e, Call *c, int slot, const char *what, int64_t *out) {
  CtVal v = given(c, slot) ? c->slot[slot] : ct_int(1);
  bool list = v.kind == CV_LIST && v.n == 2;
  for (int i = 0; i < 2; i++)
    if (!want_int(e, list ? v.item[i] : v, c->span[slot], role(e, c, what), INT32_MIN, INT32_MAX, &out[i]))
      return false;
  return true;
}

// An argument as an attribute, of the kind that the attribute has. Absent: 0, false, [1, 1].
static bool want_attr(Elab *e, Call *c, int slot, const Param *p, Attr *out) {
  const char *what = role(e, c, p->name);
  *out = (Attr){.key = p->key};
  if (attr_info[p->key].kind == AK_INTS) {
    int64_t *v = ARENA_ARRAY(e->arena, int64_t, 2);
    *out = attr_ints(p->key, v, 2);
    return want_pair(e, c, slot, p->name, v);
  }
  if (!given(c, slot)) return true;
  if (attr_info[p->key].kind == AK_FLOAT) return want_real(e, c->slot[slot], c->span[slot], what, &out->f);
  CHECK(attr_info[p->key].kind == AK_INT);
  if (p->key != A_trans && p->key != A_pairs)
    return want_int(e, c->slot[slot], c->span[slot], what, INT32_MIN, INT32_MAX, &out->i);
  bool yes = false; // those that are truth values in the language
  bool ok = want_bool(e, c->slot[slot], c->span[slot], what, &yes);
  out->i = yes;
  return ok;
}

// A number that the operator can do without is left out, too.
static bool left_out(const Call *c, int slot, const Param *p) {
  return !given(c, slot) && p->key != A_trans && !(op_info[c->op].required >> p->key & 1);
}

CtVal add_named(Elab *e, Call *c, const Val *args, const char *const *name, const Span *at, size_t n, const Attr *attr,
                size_t nattr, const Span *attr_at) {
  PageNames was = e->page;
  e->page.call = c->name, e->page.operand = name, e->page.at = at, e->page.n = n, e->page.attr_at = attr_at;
  CtVal v = add_op(e, c->op, args, n, attr, nattr, c->at);
  e->page = was;
  return v;
}

// An operator as its signature in ir/ops.def says: operands and attributes.
CtVal call_operator(Elab *e, Call *c) {
  Param p[MAX_SLOTS];
  bool many;
  size_t np = split(op_info[c->op].call, c->op, p, &many), n = 0, nattr = 0, absent = 0;
  Val args[MAX_SLOTS];
  const char *name[MAX_SLOTS];
  Span at[MAX_SLOTS], attr_at[ATTR_COUNT] = {{0}};
  Attr attr[MAX_SLOTS];
  for (size_t i = 0; i < np; i++) {
    if (p[i].key != ATTR_COUNT) {
      if (left_out(c, (int)i, &p[i])) continue;
      if (!want_attr(e, c, (int)i, &p[i], &attr[nattr++])) return CT_ERROR;
      attr_at[p[i].key] = c->span[i];
    } else if (!given(c, (int)i)) {
      absent = i;
    } else if (absent) {
      elab_error(e, "E0103", c->span[i], "'%s' of %s needs '%s'", p[i].name, c->name, p[absent].name);
      return CT_ERROR;
    } else {
      if (!tensor_at(e, c, (int)i, p[i].name)) return CT_ERROR;
      name[n] = p[i].name, at[n] = c->span[i], args[n++] = c->slot[i].v;
    }
  }
  return add_named(e, c, args, name, at, n, attr, nattr, attr_at);
}

/* attention
 * --------------------------------------------------------------------------------------------------------------------------
 */

enum {
  AT_Q,
  AT_K,
  AT_V,
  AT_HEADS,
  AT_SCALE,
  AT_WHERE,
  AT_MASKED,
  AT_START,
  AT_BIAS,
  AT_KV_HEADS,
  AT_CAP,
  AT_DROPOUT,
  MAX_ATTENTION = 13,
  DRAWS = 2 // operands of a dropout
};

static CtVal call_attention(Elab *e, Call *c) {
  static const char *const what[MAX_ATTENTION] = {"q", "k", "v"};
  int64_t heads, start = 0;
  double scale = 0, masked = 0;
  Val args[MAX_ATTENTION + DRAWS];
  Span at[MAX_ATTENTION + DRAWS], attr_at[ATTR_COUNT] = {{0}};
  const char *name[MAX_ATTENTION + DRAWS] = {NULL};
  Attr attr[9];
  size_t n = 0, na = 0;
  const char *where;
  if (!want_int(e, c->slot[AT_HEADS], c->span[AT_HEADS], "'heads' of attention", 1, 65536, &heads)) return CT_ERROR;
  for (; n < 3; n++) {
    if (!tensor_at(e, c, (int)n, what[n])) return CT_ERROR;
    args[n] = c->slot[n].v, at[n] = c->span[n], name[n] = what[n];
  }
  const Type *q = val_type(e, args[0]);
  if (q->rank == 3) scale = 1 / sqrt((double)(q->dim[2].c / heads));
  if (given(c, AT_SCALE) && !want_real(e, c->slot[AT_SCALE], c->span[AT_SCALE], "'scale' of attention", &scale))
    return CT_ERROR;
  attr[na++] = attr_int(A_heads, heads);
  attr[na++] = attr_float(A_scale, scale);
  int64_t shared = heads;
  if (given(c, AT_KV_HEADS) &&
      !want_int(e, c->slot[AT_KV_HEADS], c->span[AT_KV_HEADS], "'kv_heads' of attention", 1, 65536, &shared))
    return CT_ERROR;
  if (shared != heads) attr[na++] = attr_int(A_kv_heads, shared);
  double cap = 0;
  bool no_cap = c->slot[AT_CAP].kind == CV_BOOL && !c->slot[AT_CAP].b; // cap = false, as bias = false
  if (given(c, AT_CAP) && !no_cap) {
    if (!want_real(e, c->slot[AT_CAP], c->span[AT_CAP], "'cap' of attention", &cap)) return CT_ERROR;
    attr[na++] = attr_float(A_cap, cap);
  }
  if (given(c, AT_MASKED)) {
    if (!want_real(e, c->slot[AT_MASKED], c->span[AT_MASKED], "'masked' of attention", &masked)) return CT_ERROR;
    attr[na++] = attr_float(A_masked, masked);
  }
  CtVal mask = given(c, AT_WHERE) ? c->slot[AT_WHERE] : ct_bool(true);
  if (!mask_lower(e, mask, c->span[AT_WHERE], args, at, &n, MAX_ATTENTION - 2, &where)) return CT_ERROR;
  if (where) attr[na++] = attr_str(A_where, where);
  if (given(c, AT_START) && c->slot[AT_START].kind == CV_TENSOR) {
    name[n] = "start", at[n] = c->span[AT_START], args[n++] = c->slot[AT_START].v;
  } else if (given(c, AT_START)) {
    if (!want_int(e, c->slot[AT_START], c->span[AT_START], "'start' of attention", 0, INT32_MAX, &start))
      return CT_ERROR;
    attr[na++] = attr_int(A_qstart, start);
  }
  bool no_bias = c->slot[AT_BIAS].kind == CV_BOOL && !c->slot[AT_BIAS].b; // bias = false, as where = true
  if (given(c, AT_BIAS) && !no_bias) {
    if (!tensor_at(e, c, AT_BIAS, "bias")) return CT_ERROR;
    name[n] = "bias", at[n] = c->span[AT_BIAS], args[n++] = c->slot[AT_BIAS].v;
  }
  bool drops;
  if (given(c, AT_DROPOUT)) {
    Span here = c->span[AT_DROPOUT];
    if (!draw_attention(e, args[0], heads, c->slot[AT_DROPOUT], here, args + n, attr + na, &drops)) return CT_ERROR;
    for (size_t i = 0; i < DRAWS && drops; i++) name[n] = "dropout", at[n++] = here;
    if (drops) na += 2;
  }
  attr_at[A_heads] = c->span[AT_HEADS], attr_at[A_kv_heads] = c->span[AT_KV_HEADS], attr_at[A_cap] = c->span[AT_CAP];
  return add_named(e, c, args, name, at, n, attr, na, attr_at);
}

/* compile time
 * ---------------------------------------------------------------------------------------------------------------------------
 */

// The largest value of a length: of L, where dim L = 1..40, 40.
static CtVal call_bound(Elab *e, Call *c) {
  CtVal n = c->slot[0];
  if (n.kind == CV_INT) return ct_int(dim_bound(e->m, n.d));
  if (n.kind != CV_ERROR)
    elab_error(e, "E0106", c->span[0], "bound needs a length, such as L or length(x), not %s", kind_text(e, n));
  return CT_ERROR;
}

static CtVal call_extent(Elab *e, Call *c) {
  int64_t axis;
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  const Type *t = val_type(e, c->slot[0].v);
  int64_t absent = strcmp(c->name, "width") == 0 ? t->rank - 1 : 1;
  if (!want_axis(e, c->slot[1], c->at, t->rank, absent, &axis)) return CT_ERROR;
  if (t->dim[axis].k && t->dim[axis].sym == DIM_SEGS) {
    elab_error(e, "E0106", c->at, "axis %lld of %s has no single length", (long long)axis, val_text(e, c->slot[0].v));
    return CT_ERROR;
  }
  CtVal v = ct_dim(t->dim[axis]);
  v.name = val_names(e, c->slot[0].v)->at[axis];
  return v;
}

// The number of axes.
static CtVal call_rank(Elab *e, Call *c) {
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  return ct_int(val_type(e, c->slot[0].v)->rank);
}

static CtVal call_require(Elab *e, Call *c) {
  bool ok;
  if (!want_bool(e, c->slot[0], c->span[0], "the condition of require", &ok)) return CT_ERROR;
  if (ok) return CT_NONE;
  elab_error(e, "E0129", c->at, "%s", c->slot[1].kind == CV_STR ? c->slot[1].s : "this requirement is not met");
  return CT_ERROR;
}

/* random numbers and ranks
 * ------------------------------------------------------------------------------------------------------------------
 */

static CtVal call_random(Elab *e, Call *c) {
  if (!strcmp(c->name, "draw")) return call_draw(e, c->slot[0], c->at);
  return call_drop(e, c->name, c->slot[0], c->slot[1], c->at, c->span[1]);
}

// The rows of all ranks, in their order: there is one.
static CtVal call_all_ranks(Elab *e, Call *c) {
  return tensor_at(e, c, 0, "x") ? c->slot[0] : CT_ERROR;
}

/* the table
 * ----------------------------------------------------------------------------------------------------------------------------------
 */

// Operators whose arguments are more than operands and attributes; the others that ops.def lets pages call are done by
// call_operator. `number`: it computes on compile-time numbers too, and needs no graph then.
static const struct {
  BuiltinFn *fn;
  bool number;
} special[OP_COUNT] = {
    [OP_exp] = {call_function, true},         [OP_log] = {call_function, true},
    [OP_sqrt] = {call_function, true},        [OP_minimum] = {call_minmax, true},
    [OP_maximum] = {call_minmax, true},       [OP_select] = {call_select, false},
    [OP_cast] = {call_cast, false},           [OP_attention] = {call_attention, false},
    [OP_reshape] = {call_shape, false},       [OP_broadcast] = {call_shape, false},
    [OP_transpose] = {call_transpose, false}, [OP_concat] = {call_concat, false},
    [OP_constant] = {call_fill, false},       [OP_iota] = {call_range, false},
    [OP_sin] = {call_function, true},         [OP_cos] = {call_function, true},
    [OP_abs] = {call_function, true},         [OP_floor] = {call_function, true},
    [OP_softmax] = {call_along, false},       [OP_log_softmax] = {call_along, false},
    [OP_reduce_sum] = {call_along, false},    [OP_reduce_max] = {call_along, false},
    [OP_argmax] = {call_along, false},
};

// What is no operator.
static const struct {
  const char *call;
  BuiltinFn *fn;
  bool tensor; // works on tensors
} others[] = {
    {"bound(n)", call_bound, false},
    {"width(x)", call_extent, true},
    {"length(x)", call_extent, true},
    {"extent(x axis)", call_extent, true},
    {"dropout(x p)", call_random, true},
    {"drop_path(x p)", call_random, true},
    {"draw(weights)", call_random, true},
    {"all_ranks(x)", call_all_ranks, true},
    {"rank(x)", call_rank, true},
    {"require(condition text?)", call_require, false},
    {"clamp(x low high)", call_clamp, false},
    {"reduce_mean(x axis?)", call_reduce_mean, true},
    {"pad(x axis before after value?)", call_pad, true},
    {"silu(x)", call_silu, true},
};
enum { NOTHERS = sizeof others / sizeof others[0] };

typedef struct Builtin {
  const char *call; // as in ops.def
  Op op;
  bool tensor; // needs a graph
  BuiltinFn *fn;
} Builtin;

// Number i of all, false behind the last: those of operators first.
static bool builtin_at(size_t i, Builtin *b) {
  if (i < OP_COUNT) {
    BuiltinFn *fn = special[i].fn;
    *b = (Builtin){op_info[i].call, (Op)i, !special[i].number, fn ? fn : call_operator};
  } else if (i < OP_COUNT + NOTHERS) {
    *b = (Builtin){others[i - OP_COUNT].call, OP_none, others[i - OP_COUNT].tensor, others[i - OP_COUNT].fn};
  }
  return i < OP_COUNT + NOTHERS;
}

static bool find(const char *name, Builtin *b) {
  size_t n = strlen(name);
  for (size_t i = 0; builtin_at(i, b); i++)
    if (n && !strncmp(b->call, name, n) && b->call[n] == '(') return true;
  return false;
}

bool builtin_exists(const char *name) {
  Builtin b;
  return find(name, &b);
}

void builtin_names(Elab *e, const char *name, const char **best, size_t *dist) {
  Builtin b;
  for (size_t i = 0; builtin_at(i, &b); i++)
    if (*b.call) near_name(name, intern_n(e->names, b.call, strcspn(b.call, "(")), best, dist);
}

// Splits "affine(x weight bias? transposed:trans?)" into parameters; *many if it takes any number of operands.
static size_t split(const char *s, Op op, Param *p, bool *many) {
  size_t n = 0;
  *many = false;
  for (s += strcspn(s, "(") + 1; *s != ')'; s += strspn(s, " ?")) {
    size_t len = strcspn(s, " ?:)"), end = strcspn(s, " ?)");
    if (*s == '*') {
      *many = true;
    } else {
      Param *one = &p[n++];
      *one = (Param){.key = ATTR_COUNT, .optional = s[end] == '?'};
      memcpy(one->name, s, len);
      const char *attr = len < end ? s + len + 1 : s;
      for (int k = 0; k < ATTR_COUNT; k++)
        if ((op_info[op].attrs >> k & 1) && strlen(attr_info[k].name) == (size_t)(s + end - attr) &&
            !strncmp(attr_info[k].name, attr, (size_t)(s + end - attr)))
          one->key = (AttrKey)k;
    }
    s += end;
  }
  return n;
}

static void hint_signature(Elab *e, Diagnostic *g, const Builtin *b) {
  Param p[MAX_SLOTS];
  bool many;
  size_t n = split(b->call, b->op, p, &many);
  Buf s = {0};
  if (many) buf_puts(&s, "x, ...");
  for (size_t i = 0; i < n; i++) buf_printf(&s, "%s%s%s", s.n ? ", " : "", p[i].name, p[i].optional ? "?" : "");
  diag_hint(e->diag, g, "it is %.*s(%s)", (int)strcspn(b->call, "("), b->call, s.s ? s.s : "");
  buf_free(&s);
}

static bool bind(Elab *e, const Builtin *b, const CallArg *arg, size_t n, Call *c) {
  Param p[MAX_SLOTS];
  bool many;
  size_t np = split(b->call, b->op, p, &many), next = 0;
  for (size_t i = 0; i < n; i++) {
    size_t k = next;
    if (arg[i].name) {
      for (k = 0; k < np && strcmp(p[k].name, arg[i].name) != 0;) k++;
      if (k == np) {
        const char *best = NULL;
        size_t dist = 0;
        for (size_t j = 0; j < np; j++) near_name(arg[i].name, p[j].name, &best, &dist);
        Diagnostic *g = elab_error(e, "E0104", arg[i].name_span, "%s has no parameter '%s'", c->name, arg[i].name);
        if (best)
          hint_near(e, g, arena_strdup(e->arena, best));
        else
          hint_signature(e, g, b);
        return false;
      }
    } else if (many) {
      k = 1 + c->rest++;
    } else {
      next++;
    }
    if (k >= MAX_SLOTS || (!many && k >= np)) {
      Diagnostic *g = elab_error(e, "E0103", c->at, "too many arguments for %s", c->name);
      hint_signature(e, g, b);
      return false;
    }
    if (given(c, (int)k)) {
      elab_error(e, "E0104", arg[i].span, "the parameter '%s' is given twice", p[k].name);
      return false;
    }
    c->slot[k] = arg[i].val;
    c->span[k] = arg[i].span;
  }
  for (size_t k = 0; k < np; k++) {
    if (given(c, (int)k) || p[k].optional) continue;
    Diagnostic *g = elab_error(e, "E0103", c->at, "%s needs a value for '%s'", c->name, p[k].name);
    hint_signature(e, g, b);
    return false;
  }
  return true;
}

bool builtin_call(Elab *e, const char *name, const CallArg *arg, size_t n, Span at, CtVal *out) {
  Builtin b;
  if (!find(name, &b)) return false;
  Call c = {.name = name, .op = b.op, .at = at};
  for (size_t i = 0; i < MAX_SLOTS; i++) c.slot[i] = CT_NONE, c.span[i] = at;
  *out = CT_ERROR;
  if (!e->g && b.tensor) {
    elab_error(e, "E0012", at, "%s works on tensors, and outside routes and blocks there are none", name);
    return true;
  }
  if (bind(e, &b, arg, n, &c)) *out = b.fn(e, &c);
  return true;
}

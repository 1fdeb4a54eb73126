// pickle.c - see pickle.h. The machine has a stack of values, a stack of marks (positions in the stack), and a memo of
// numbered values. Opcodes are the rows of `ops`: how their operand is written, and what they do.
#include "pickle.h"
#include "pickle_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
  MAX_PROTOCOL = 5,
  MAX_AXES = 64 // of any tensor; more than a reader of tensors takes
};

typedef struct Machine {
  const uint8_t *bytes;
  size_t n, at, op; // at: next byte; op: where the present opcode is
  StPool *pool;
  StError *err;
  PkList stack, memo; // memo: NULL where nothing was stored
  size_t *mark;
  size_t nmark, mark_cap;
  PkNames names;
  PkValue *none, *yes, *no, *other, *foreign; // values without content exist once
  bool stopped;
} Machine;

typedef struct Operand {
  uint64_t number; // little-endian, or the length of text
  PkText text, second;
} Operand;

/* values -------------------------------------------------------------------------------------------------------- */
static bool no_memory(Machine *m) {
  return st_fail(m->err, "pickle, offset %zu: needs too much memory for a file of this size", m->op);
}

#define WRONG(m, ...) st_fail((m)->err, "pickle, offset %zu: " __VA_ARGS__)

static PkValue *value_new(Machine *m, PkKind kind) {
  PkValue *v = st_alloc(m->pool, sizeof *v);
  if (!v) {
    no_memory(m);
    return NULL;
  }
  v->kind = kind;
  v->dtype = ST_DTYPE_COUNT;
  return v;
}

static bool list_reserve(Machine *m, PkList *l, size_t n) {
  if (n <= l->cap) return true;
  size_t cap = l->cap ? l->cap : 4;
  while (cap < n) cap *= 2;
  PkValue **at = st_alloc(m->pool, cap * sizeof *at);
  if (!at) return no_memory(m);
  if (l->n) memcpy(at, l->at, l->n * sizeof *at);
  l->at = at;
  l->cap = cap;
  return true;
}

static bool list_add(Machine *m, PkList *l, PkValue *v) {
  if (!list_reserve(m, l, l->n + 1)) return false;
  l->at[l->n++] = v;
  return true;
}

static bool push(Machine *m, PkValue *v) {
  return v && list_add(m, &m->stack, v);
}

static bool push_int(Machine *m, int64_t i) {
  PkValue *v = value_new(m, PK_INT);
  if (v) v->i = i;
  return push(m, v);
}

// How many values lie above the last mark (all, if there is none): an opcode cannot reach below it.
static size_t reach(const Machine *m) {
  return m->stack.n - (m->nmark ? m->mark[m->nmark - 1] : 0);
}

static bool need(Machine *m, size_t values) {
  if (reach(m) >= values) return true;
  return WRONG(m, "opcode 0x%02x finds too few values", m->op, m->bytes[m->op]);
}

static PkValue *pop(Machine *m) { // after need()
  return m->stack.at[--m->stack.n];
}

static PkValue *top(const Machine *m) {
  return m->stack.at[m->stack.n - 1];
}

// Removes the last mark: *item points at the values that were above it, which no longer are on the stack.
static bool pop_mark(Machine *m, PkValue ***item, size_t *n) {
  if (!m->nmark) return WRONG(m, "opcode 0x%02x finds no mark", m->op, m->bytes[m->op]);
  size_t from = m->mark[--m->nmark];
  *n = m->stack.n - from;
  *item = m->stack.at ? m->stack.at + from : NULL;
  m->stack.n = from;
  return true;
}

static bool text_is(PkText t, const char *s) {
  return t.n == strlen(s) && !memcmp(t.s, s, t.n);
}

PkValue *pk_get(const PkValue *dict, const char *key) {
  if (!dict || dict->kind != PK_DICT) return NULL;
  for (size_t i = dict->list.n; i >= 2; i -= 2) {
    const PkValue *k = dict->list.at[i - 2];
    if (k->kind == PK_TEXT && text_is(k->text, key)) return dict->list.at[i - 1];
  }
  return NULL;
}

/* names --------------------------------------------------------------------------------------------------------- */
// The value of a name; NULL after an error.
static PkValue *global_value(Machine *m, PkText module, PkText name) {
  const char *why = NULL;
  PkName *n = pk_name_find(&m->names, module, name, &why);
  if (!n) {
    WRONG(m, "%s", m->op, why);
    return NULL;
  }
  if (n->hostile) {
    WRONG(
        m,
        "it asks for %.100s.%.100s. A checkpoint has no business calling that: the file is hostile or broken; nothing "
        "of it was run. Get the file elsewhere",
        m->op, n->module, n->name);
    return NULL;
  }
  if (n->value) return n->value;
  n->value = value_new(m, n->known ? PK_GLOBAL : PK_OTHER);
  if (!n->value) return NULL;
  n->value->dtype = n->dtype;
  if (n->known) n->value->function = (int)n->function;
  n->value->label = n->name;
  return n->value;
}

/* the functions that have a meaning ----------------------------------------------------------------------------- */
static PkValue *call_none(Machine *m, const PkList *args) {
  (void)args;
  return m->other;
}

static PkValue *call_first(Machine *m, const PkList *args) {
  return args->n ? args->at[0] : m->other;
}

// OrderedDict(), OrderedDict([(key, value), ...]), defaultdict(type).
static PkValue *call_dict(Machine *m, const PkList *args) {
  PkValue *d = value_new(m, PK_DICT);
  if (!d || !args->n || args->at[0]->kind != PK_LIST) return d;
  const PkList *pairs = &args->at[0]->list;
  for (size_t i = 0; i < pairs->n; i++) {
    const PkValue *pair = pairs->at[i];
    if ((pair->kind != PK_TUPLE && pair->kind != PK_LIST) || pair->list.n != 2) {
      WRONG(m, "a dictionary is made from something that is not pairs", m->op);
      return NULL;
    }
    if (!list_add(m, &d->list, pair->list.at[0]) || !list_add(m, &d->list, pair->list.at[1])) return NULL;
  }
  return d;
}

static bool is_shape(const PkValue *v) {
  if (v->kind != PK_TUPLE || v->list.n > MAX_AXES) return false; // a list could still grow
  for (size_t i = 0; i < v->list.n; i++)
    if (v->list.at[i]->kind != PK_INT) return false;
  return true;
}

static PkValue *make_tensor(Machine *m, const PkList *args, StDtype dtype) {
  PkValue *t = value_new(m, PK_TENSOR);
  if (!t) return NULL;
  t->view.storage = args->at[0];
  t->view.offset = args->at[1]->i;
  t->view.size = args->at[2];
  t->view.stride = args->at[3];
  t->dtype = dtype;
  return t;
}

// Storage, offset, size, stride, ... ; NULL after an error, `foreign` for an unknown element type.
static PkValue *tensor_args(Machine *m, const PkList *args) {
  if (args->n < 4 || args->at[1]->kind != PK_INT || !is_shape(args->at[2]) || !is_shape(args->at[3]) ||
      args->at[2]->list.n != args->at[3]->list.n) {
    WRONG(m, "a tensor is made from something that is not a storage, an offset, a shape and strides", m->op);
    return NULL;
  }
  if (args->at[0]->kind == PK_FOREIGN || args->at[0]->kind == PK_STORAGE) return args->at[0];
  WRONG(m, "a tensor is made from something that is not a storage", m->op);
  return NULL;
}

// A tensor of elements that cannot be read: how they are called, and its shape.
static PkValue *make_foreign(Machine *m, const PkList *args, const char *label) {
  PkValue *t = value_new(m, PK_FOREIGN);
  if (!t) return NULL;
  t->label = label;
  t->view.size = args->at[2];
  return t;
}

static PkValue *call_tensor(Machine *m, const PkList *args) {
  PkValue *storage = tensor_args(m, args);
  if (!storage) return NULL;
  return storage->kind == PK_STORAGE ? make_tensor(m, args, storage->dtype) : make_foreign(m, args, storage->label);
}

// The form of newer files whose storages have no type: it stands behind the hooks.
static PkValue *call_typed_tensor(Machine *m, const PkList *args) {
  PkValue *storage = tensor_args(m, args);
  if (!storage) return NULL;
  if (storage->kind != PK_STORAGE) return make_foreign(m, args, storage->label);
  if (args->n < 7) return m->foreign;
  if (args->at[6]->dtype == ST_DTYPE_COUNT) return make_foreign(m, args, args->at[6]->label);
  return make_tensor(m, args, args->at[6]->dtype);
}

// Tensors of a kind that is not known here: quantised, sparse, nested.
static PkValue *call_foreign(Machine *m, const PkList *args) {
  (void)args;
  return m->foreign;
}

static PkValue *call_from_type(Machine *m, const PkList *args);

static PkValue *(*const functions[PF_COUNT])(Machine *, const PkList *) = {
    [PF_NONE] = call_none,       [PF_FIRST] = call_first,         [PF_DICT] = call_dict,
    [PF_TENSOR] = call_tensor,   [PF_FROM_TYPE] = call_from_type, [PF_TYPED_TENSOR] = call_typed_tensor,
    [PF_FOREIGN] = call_foreign,
};

// (function, type, its arguments, state): a tensor with attributes. It cannot wrap itself, so there is no recursion.
static PkValue *call_from_type(Machine *m, const PkList *args) {
  const PkValue *f = args->n >= 3 ? args->at[0] : NULL;
  if (!f || f->kind != PK_GLOBAL || f->function == PF_FROM_TYPE || args->at[2]->kind != PK_TUPLE) return m->other;
  return functions[f->function](m, &args->at[2]->list);
}

static bool push_call(Machine *m, const PkValue *callee, const PkValue *args) {
  if (callee->kind == PK_OTHER) return push(m, m->other);
  if (callee->kind != PK_GLOBAL) return WRONG(m, "a value that is no function is called", m->op);
  if (args->kind != PK_TUPLE) return WRONG(m, "a function is called with something that is not a tuple", m->op);
  return push(m, functions[callee->function](m, &args->list));
}

/* opcodes ------------------------------------------------------------------------------------------------------- */
static bool do_proto(Machine *m, Operand o) {
  return o.number <= MAX_PROTOCOL || WRONG(m, "protocol %" PRIu64 " is not known", m->op, o.number);
}
static bool do_frame(Machine *m, Operand o) {
  return o.number <= m->n - m->at || WRONG(m, "a frame reaches beyond the end", m->op);
}
static bool do_stop(Machine *m, Operand o) {
  (void)o;
  m->stopped = true;
  return need(m, 1);
}
static bool do_mark(Machine *m, Operand o) {
  (void)o;
  if (m->nmark == m->mark_cap) {
    size_t cap = m->mark_cap ? 2 * m->mark_cap : 64;
    size_t *mark = st_alloc(m->pool, cap * sizeof *mark);
    if (!mark) return no_memory(m);
    if (m->nmark) memcpy(mark, m->mark, m->nmark * sizeof *mark);
    m->mark = mark;
    m->mark_cap = cap;
  }
  m->mark[m->nmark++] = m->stack.n;
  return true;
}
static bool do_pop(Machine *m, Operand o) {
  (void)o;
  if (m->nmark && !reach(m)) { // a mark counts as a value here
    m->nmark--;
    return true;
  }
  return need(m, 1) && pop(m);
}
static bool do_pop_mark(Machine *m, Operand o) {
  PkValue **item = NULL;
  size_t n = 0;
  (void)o;
  return pop_mark(m, &item, &n);
}
static bool do_dup(Machine *m, Operand o) {
  (void)o;
  return need(m, 1) && push(m, top(m));
}

static bool do_none(Machine *m, Operand o) {
  (void)o;
  return push(m, m->none);
}
static bool do_true(Machine *m, Operand o) {
  (void)o;
  return push(m, m->yes);
}
static bool do_false(Machine *m, Operand o) {
  (void)o;
  return push(m, m->no);
}
static bool do_other(Machine *m, Operand o) { // numbers with a point, bytes
  (void)o;
  return push(m, m->other);
}
static bool do_unsigned(Machine *m, Operand o) {
  return push_int(m, (int64_t)o.number); // 1 or 2 bytes
}
static bool do_int4(Machine *m, Operand o) {
  return push_int(m, o.number < 0x80000000u ? (int64_t)o.number : (int64_t)o.number - 0x100000000);
}
static bool do_long(Machine *m, Operand o) { // two's complement of any length
  const uint8_t *p = (const uint8_t *)o.text.s;
  if (o.text.n > 8) return push(m, m->other); // no shape or offset can be that large
  uint64_t v = 0;
  for (size_t i = 0; i < o.text.n; i++) v |= (uint64_t)p[i] << 8 * i;
  bool negative = o.text.n && p[o.text.n - 1] & 0x80;
  if (negative)
    for (size_t i = o.text.n; i < 8; i++) v |= (uint64_t)0xff << 8 * i;
  return push_int(m, negative ? -(int64_t)(~v) - 1 : (int64_t)v);
}
static bool do_decimal(Machine *m, Operand o) { // "12", "12L", "-3"; "00" and "01" are truth values
  if (text_is(o.text, "00")) return push(m, m->no);
  if (text_is(o.text, "01")) return push(m, m->yes);
  size_t i = o.text.n && o.text.s[0] == '-', n = o.text.n;
  bool negative = i != 0;
  int64_t v = 0;
  if (n && o.text.s[n - 1] == 'L') n--;
  if (i == n || n - i > 18) return push(m, m->other);
  for (; i < n; i++) {
    if (o.text.s[i] < '0' || o.text.s[i] > '9') return WRONG(m, "a number has a strange digit", m->op);
    v = 10 * v + (o.text.s[i] - '0');
  }
  return push_int(m, negative ? -v : v);
}
static bool do_text(Machine *m, Operand o) {
  PkValue *v = value_new(m, PK_TEXT);
  if (v) v->text = o.text;
  return push(m, v);
}

static bool push_list(Machine *m, PkKind kind, PkValue **item, size_t n) {
  PkValue *v = value_new(m, kind);
  if (!v) return false;
  if (n) { // of exactly this length: most tuples are short
    v->list.at = st_alloc(m->pool, n * sizeof *item);
    if (!v->list.at) return no_memory(m);
    memcpy(v->list.at, item, n * sizeof *item);
    v->list.n = v->list.cap = n;
  }
  return push(m, v);
}
static bool push_top_tuple(Machine *m, size_t n) {
  if (!need(m, n)) return false;
  m->stack.n -= n;
  return push_list(m, PK_TUPLE, m->stack.at + m->stack.n, n);
}
static bool push_marked(Machine *m, PkKind kind) {
  PkValue **item = NULL;
  size_t n = 0;
  if (!pop_mark(m, &item, &n)) return false;
  if (kind == PK_DICT && n % 2) return WRONG(m, "a key without a value", m->op);
  return push_list(m, kind, item, n);
}
static bool do_empty_tuple(Machine *m, Operand o) {
  (void)o;
  return push_list(m, PK_TUPLE, NULL, 0);
}
static bool do_tuple1(Machine *m, Operand o) {
  (void)o;
  return push_top_tuple(m, 1);
}
static bool do_tuple2(Machine *m, Operand o) {
  (void)o;
  return push_top_tuple(m, 2);
}
static bool do_tuple3(Machine *m, Operand o) {
  (void)o;
  return push_top_tuple(m, 3);
}
static bool do_tuple(Machine *m, Operand o) {
  (void)o;
  return push_marked(m, PK_TUPLE);
}
static bool do_empty_list(Machine *m, Operand o) {
  (void)o;
  return push_list(m, PK_LIST, NULL, 0);
}
static bool do_list(Machine *m, Operand o) {
  (void)o;
  return push_marked(m, PK_LIST);
}
static bool do_empty_dict(Machine *m, Operand o) {
  (void)o;
  return push_list(m, PK_DICT, NULL, 0);
}
static bool do_dict(Machine *m, Operand o) {
  (void)o;
  return push_marked(m, PK_DICT);
}
static bool do_frozenset(Machine *m, Operand o) {
  (void)o;
  return do_pop_mark(m, o) && push(m, m->other);
}

// Adds n values to a list or dictionary; an opaque value swallows them.
static bool extend(Machine *m, PkKind kind, PkValue *const *item, size_t n) {
  PkValue *to = top(m);
  if (to->kind == PK_OTHER) return true;
  if (to->kind != kind) return WRONG(m, "values are added to something that cannot hold them", m->op);
  if (kind == PK_DICT && n % 2) return WRONG(m, "a key without a value", m->op);
  for (size_t i = 0; i < n; i++)
    if (!list_add(m, &to->list, item[i])) return false;
  return true;
}
static bool extend_marked(Machine *m, PkKind kind) {
  PkValue **item = NULL;
  size_t n = 0;
  return pop_mark(m, &item, &n) && need(m, 1) && extend(m, kind, item, n);
}
static bool extend_top(Machine *m, PkKind kind, size_t n) {
  if (!need(m, n + 1)) return false;
  m->stack.n -= n;
  return extend(m, kind, m->stack.at + m->stack.n, n);
}
static bool do_append(Machine *m, Operand o) {
  (void)o;
  return extend_top(m, PK_LIST, 1);
}
static bool do_appends(Machine *m, Operand o) {
  (void)o;
  return extend_marked(m, PK_LIST);
}
static bool do_setitem(Machine *m, Operand o) {
  (void)o;
  return extend_top(m, PK_DICT, 2);
}
static bool do_setitems(Machine *m, Operand o) {
  (void)o;
  return extend_marked(m, PK_DICT);
}
static bool do_additems(Machine *m, Operand o) { // of a set, which is opaque
  (void)o;
  return extend_marked(m, PK_OTHER);
}

static bool memo_put(Machine *m, uint64_t i) {
  if (!need(m, 1)) return false;
  if (i >= m->n) return WRONG(m, "memo number %" PRIu64 " is larger than the pickle", m->op, i);
  if (!list_reserve(m, &m->memo, (size_t)i + 1)) return false;
  m->memo.at[i] = top(m);
  if (m->memo.n <= i) m->memo.n = (size_t)i + 1;
  return true;
}
static bool memo_get(Machine *m, uint64_t i) {
  if (i >= m->memo.n || !m->memo.at[i]) return WRONG(m, "memo number %" PRIu64 " was never stored", m->op, i);
  return push(m, m->memo.at[i]);
}
static bool line_number(Machine *m, PkText t, uint64_t *v) {
  *v = 0;
  if (!t.n || t.n > 18) return WRONG(m, "a memo number is not a number", m->op);
  for (size_t i = 0; i < t.n; i++) {
    if (t.s[i] < '0' || t.s[i] > '9') return WRONG(m, "a memo number is not a number", m->op);
    *v = 10 * *v + (uint64_t)(t.s[i] - '0');
  }
  return true;
}
static bool do_put(Machine *m, Operand o) {
  return memo_put(m, o.number);
}
static bool do_get(Machine *m, Operand o) {
  return memo_get(m, o.number);
}
static bool do_put_line(Machine *m, Operand o) {
  uint64_t i;
  return line_number(m, o.text, &i) && memo_put(m, i);
}
static bool do_get_line(Machine *m, Operand o) {
  uint64_t i;
  return line_number(m, o.text, &i) && memo_get(m, i);
}
static bool do_memoize(Machine *m, Operand o) {
  (void)o;
  return memo_put(m, m->memo.n);
}

static bool do_global(Machine *m, Operand o) {
  return push(m, global_value(m, o.text, o.second));
}
static bool do_stack_global(Machine *m, Operand o) {
  (void)o;
  if (!need(m, 2)) return false;
  PkValue *name = pop(m), *module = pop(m);
  if (name->kind != PK_TEXT || module->kind != PK_TEXT) return WRONG(m, "a name that is not text", m->op);
  if (name->module != module) { // else it was asked for a moment ago
    name->global = global_value(m, module->text, name->text);
    name->module = module;
  }
  return push(m, name->global);
}
static bool do_reduce(Machine *m, Operand o) {
  (void)o;
  if (!need(m, 2)) return false;
  const PkValue *args = pop(m), *callee = pop(m);
  return push_call(m, callee, args);
}
static bool do_newobj_ex(Machine *m, Operand o) {
  return need(m, 3) && pop(m) && do_reduce(m, o); // the named arguments have no meaning here
}
// Calls a function with what lies above the mark.
static bool call_marked(Machine *m) {
  if (!push_marked(m, PK_TUPLE)) return false;
  const PkValue *args = pop(m), *callee = pop(m);
  return push_call(m, callee, args);
}
static bool do_inst(Machine *m, Operand o) {
  // The name goes below the mark, where OBJ has it.
  if (!m->nmark) return WRONG(m, "opcode 0x%02x finds no mark", m->op, m->bytes[m->op]);
  PkValue *callee = global_value(m, o.text, o.second);
  size_t from = m->mark[m->nmark - 1];
  if (!push(m, callee)) return false; // NULL: reported
  memmove(m->stack.at + from + 1, m->stack.at + from, (m->stack.n - 1 - from) * sizeof *m->stack.at);
  m->stack.at[from] = callee;
  m->mark[m->nmark - 1] = from + 1;
  return call_marked(m);
}
static bool do_obj(Machine *m, Operand o) {
  (void)o;
  if (m->nmark && reach(m)) { // the function is the first value above the mark
    m->mark[m->nmark - 1]++;
    return call_marked(m);
  }
  return WRONG(m, "a call without a function", m->op);
}
// An object of unknown code becomes the dictionary of its attributes, so that modules have their tensors by name; the
// attributes of anything else have no meaning here.
static bool do_build(Machine *m, Operand o) {
  (void)o;
  if (!need(m, 2)) return false;
  PkValue *state = pop(m);
  if (top(m)->kind != PK_OTHER || state->kind != PK_DICT) return true;
  return pop(m) && push(m, state);
}
static bool do_extension(Machine *m, Operand o) {
  return WRONG(m, "it calls number %" PRIu64 " of Python's extension registry, which a checkpoint never does", m->op,
               o.number);
}
static bool do_buffer(Machine *m, Operand o) {
  (void)o;
  return WRONG(m, "data outside of the pickle are not supported", m->op);
}

// ('storage', type, key, place, number of elements).
static bool do_persistent(Machine *m, Operand o) {
  (void)o;
  if (!need(m, 1)) return false;
  const PkValue *id = pop(m);
  PkValue *const *a = id->list.at;
  if (id->kind != PK_TUPLE || id->list.n < 5 || a[0]->kind != PK_TEXT || !text_is(a[0]->text, "storage") ||
      a[2]->kind != PK_TEXT || a[4]->kind != PK_INT || a[4]->i < 0)
    return WRONG(m, "a reference that is not ('storage', type, key, place, elements)", m->op);
  bool foreign = a[1]->dtype == ST_DTYPE_COUNT;
  PkValue *v = value_new(m, foreign ? PK_FOREIGN : PK_STORAGE);
  if (!v) return false;
  v->label = a[1]->label;
  if (foreign) return push(m, v);
  v->text = a[2]->text;
  v->dtype = a[1]->dtype;
  v->numel = a[4]->i;
  return push(m, v);
}
static bool do_persistent_line(Machine *m, Operand o) {
  (void)o;
  return WRONG(m, "references as text are not supported", m->op);
}

/* the table ----------------------------------------------------------------------------------------------------- */
typedef enum Form { NO_OPERAND, U1 = 1, U2 = 2, U4 = 4, U8 = 8, TEXT1, TEXT4, TEXT8, LINE, LINES } Form;

static const struct {
  Form form;
  bool (*fn)(Machine *, Operand); // NULL: there is no such opcode
} ops[256] = {
    ['('] = {NO_OPERAND, do_mark},
    ['.'] = {NO_OPERAND, do_stop},
    ['0'] = {NO_OPERAND, do_pop},
    ['1'] = {NO_OPERAND, do_pop_mark},
    ['2'] = {NO_OPERAND, do_dup},
    ['F'] = {LINE, do_other},
    ['G'] = {U8, do_other},
    ['I'] = {LINE, do_decimal},
    ['J'] = {U4, do_int4},
    ['K'] = {U1, do_unsigned},
    ['L'] = {LINE, do_decimal},
    ['M'] = {U2, do_unsigned},
    ['N'] = {NO_OPERAND, do_none},
    ['P'] = {LINE, do_persistent_line},
    ['Q'] = {NO_OPERAND, do_persistent},
    ['R'] = {NO_OPERAND, do_reduce},
    ['S'] = {LINE, do_other},
    ['T'] = {TEXT4, do_text},
    ['U'] = {TEXT1, do_text},
    ['V'] = {LINE, do_other},
    ['X'] = {TEXT4, do_text},
    ['a'] = {NO_OPERAND, do_append},
    ['b'] = {NO_OPERAND, do_build},
    ['c'] = {LINES, do_global},
    ['d'] = {NO_OPERAND, do_dict},
    ['}'] = {NO_OPERAND, do_empty_dict},
    ['e'] = {NO_OPERAND, do_appends},
    ['g'] = {LINE, do_get_line},
    ['h'] = {U1, do_get},
    ['i'] = {LINES, do_inst},
    ['j'] = {U4, do_get},
    ['l'] = {NO_OPERAND, do_list},
    [']'] = {NO_OPERAND, do_empty_list},
    ['o'] = {NO_OPERAND, do_obj},
    ['p'] = {LINE, do_put_line},
    ['q'] = {U1, do_put},
    ['r'] = {U4, do_put},
    ['s'] = {NO_OPERAND, do_setitem},
    ['t'] = {NO_OPERAND, do_tuple},
    [')'] = {NO_OPERAND, do_empty_tuple},
    ['u'] = {NO_OPERAND, do_setitems},
    ['B'] = {TEXT4, do_other},
    ['C'] = {TEXT1, do_other},
    [0x80] = {U1, do_proto},
    [0x81] = {NO_OPERAND, do_reduce},
    [0x82] = {U1, do_extension},
    [0x83] = {U2, do_extension},
    [0x84] = {U4, do_extension},
    [0x85] = {NO_OPERAND, do_tuple1},
    [0x86] = {NO_OPERAND, do_tuple2},
    [0x87] = {NO_OPERAND, do_tuple3},
    [0x88] = {NO_OPERAND, do_true},
    [0x89] = {NO_OPERAND, do_false},
    [0x8a] = {TEXT1, do_long},
    [0x8b] = {TEXT4, do_long},
    [0x8c] = {TEXT1, do_text},
    [0x8d] = {TEXT8, do_text},
    [0x8e] = {TEXT8, do_other},
    [0x8f] = {NO_OPERAND, do_other},
    [0x90] = {NO_OPERAND, do_additems},
    [0x91] = {NO_OPERAND, do_frozenset},
    [0x92] = {NO_OPERAND, do_newobj_ex},
    [0x93] = {NO_OPERAND, do_stack_global},
    [0x94] = {NO_OPERAND, do_memoize},
    [0x95] = {U8, do_frame},
    [0x96] = {TEXT8, do_other},
    [0x97] = {NO_OPERAND, do_buffer},
    [0x98] = {NO_OPERAND, do_buffer},
};

static bool cut_short(Machine *m) {
  return WRONG(m, "it ends within an opcode (cut short?)", m->op);
}

static bool read_number(Machine *m, size_t bytes, uint64_t *v) {
  if (bytes > m->n - m->at) return cut_short(m);
  *v = 0;
  for (size_t i = bytes; i-- > 0;) *v = *v << 8 | m->bytes[m->at + i];
  m->at += bytes;
  return true;
}

static bool read_text(Machine *m, size_t length_bytes, PkText *t) {
  uint64_t n;
  if (!read_number(m, length_bytes, &n)) return false;
  if (n > m->n - m->at) return cut_short(m);
  *t = (PkText){(const char *)m->bytes + m->at, (size_t)n};
  m->at += (size_t)n;
  return true;
}

static bool read_line(Machine *m, PkText *t) {
  const uint8_t *from = m->bytes + m->at, *end = m->at < m->n ? memchr(from, '\n', m->n - m->at) : NULL;
  if (!end) return cut_short(m);
  *t = (PkText){(const char *)from, (size_t)(end - from)};
  m->at += t->n + 1;
  if (t->n && t->s[t->n - 1] == '\r') t->n--;
  return true;
}

static bool read_operand(Machine *m, Form form, Operand *o) {
  *o = (Operand){0};
  if (form == NO_OPERAND) return true;
  if (form <= U8) return read_number(m, (size_t)form, &o->number);
  if (form == TEXT1) return read_text(m, 1, &o->text);
  if (form == TEXT4) return read_text(m, 4, &o->text);
  if (form == TEXT8) return read_text(m, 8, &o->text);
  return read_line(m, &o->text) && (form == LINE || read_line(m, &o->second));
}

PkValue *pk_read(const uint8_t *bytes, size_t n, StPool *pool, StError *err) {
  Machine m = {.bytes = bytes, .n = n, .pool = pool, .err = err, .names = pk_names(pool, n)};
  PkValue **fixed[] = {&m.none, &m.yes, &m.no, &m.other, &m.foreign};
  static const PkKind kind[] = {PK_NONE, PK_BOOL, PK_BOOL, PK_OTHER, PK_FOREIGN};
  for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
    if (!(*fixed[i] = value_new(&m, kind[i]))) return NULL;
  m.yes->i = 1;
  while (!m.stopped) {
    Operand o;
    m.op = m.at;
    if (m.at == n) {
      WRONG(&m, "it ends without a STOP (cut short?)", m.op);
      return NULL;
    }
    uint8_t op = bytes[m.at++];
    if (!ops[op].fn) {
      WRONG(&m, "0x%02x is no opcode", m.op, op);
      return NULL;
    }
    if (!read_operand(&m, ops[op].form, &o) || !ops[op].fn(&m, o)) return NULL;
  }
  return top(&m);
}

// graph_parse.c: reads the text form of the graph IR (ir/README.md). Recursive descent; the rule stands above each
// function. The first mistake is reported and ends the parse; any bytes are allowed.
//
// Values become exactly the lines of the text: nothing is folded or shared. Names of values (%1, %x) are free, must be
// defined before use and once. Each declared type must be what the shape rule gives. A module that is returned passes
// module_verify.
#include "graph.h"
#include "ir_lex.h"
#include "op/op.h"
#include "precision.h"
#include "rename.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LISTED = 1024 }; // graphs, inputs, outputs, prepares: names are compared pairwise

typedef struct Fixup { // `in %9`: the concat stands below its parts
  Val part;
  const char *target;
  Span span;
} Fixup;

typedef struct Parser {
  IrLex lex;
  Module *m;
  Graph *g;
  struct {
    const char *name; // interned: compared by pointer
    Val val;
  } * slot; // hash table, nslot a power of two
  size_t nslot, used;
  VEC(Fixup) fixup;
} Parser;

typedef VEC(Val) ValList;

static bool fail(Parser *p, const char *code, const char *what, const char *name) {
  return irlex_error(&p->lex, code, "%s %s", what, name);
}

/* Names of values
 * ------------------------------------------------------------------------------------------------------ */

static size_t name_slot(const Parser *p, const char *name) {
  size_t i = (size_t)hash_bytes(name, strlen(name), 1) & (p->nslot - 1);
  while (p->slot[i].name && p->slot[i].name != name) i = (i + 1) & (p->nslot - 1);
  return i;
}

static Val name_find(const Parser *p, const char *name) {
  return p->nslot ? p->slot[name_slot(p, name)].val : NO_VAL;
}

static void name_put(Parser *p, const char *name, Val v) {
  if (2 * (p->used + 1) > p->nslot) {
    Parser old = *p;
    p->nslot = old.nslot ? 2 * old.nslot : 64;
    p->slot = arena_alloc(p->m->arena, p->nslot * sizeof *p->slot);
    for (size_t i = 0; i < old.nslot; i++)
      if (old.slot[i].name) p->slot[name_slot(p, old.slot[i].name)] = old.slot[i];
  }
  size_t i = name_slot(p, name);
  p->slot[i].name = name;
  p->slot[i].val = v;
  p->used++;
}

static bool parse_use(Parser *p, Val *v) {
  const char *name;
  IrLex at = p->lex;
  if (!irlex_take(&p->lex, IT_LOCAL, "a value like %3", &name)) return false;
  *v = name_find(p, name);
  return v->id || fail((p->lex = at, p), "E0221", "no value above is called", name);
}

/* Types
 * ---------------------------------------------------------------------------------------------------------------- */

static int find_dim(const Module *m, const char *name) {
  for (size_t i = 0; i < m->ndim; i++)
    if (!strcmp(m->dim[i].name, name)) return (int)i;
  return -1;
}

static int find_modality(const Module *m, const char *name) {
  for (size_t i = 0; i < m->nmodality; i++)
    if (!strcmp(m->modality[i].name, name)) return (int)i;
  return -1;
}

// term = INT | INT "*" name | name
static bool parse_term(Parser *p, bool minus, Dim *d) {
  int64_t n = 1;
  bool number = p->lex.tok == IT_INT;
  if (number) {
    n = p->lex.i;
    irlex_next(&p->lex);
  }
  if (n > INT32_MAX) return irlex_error(&p->lex, "E0220", "extent is too large");
  if (minus) n = -n;
  if (number && !irlex_accept(&p->lex, "*")) return *d = DIM(n), true;
  int sym = p->lex.tok == IT_IDENT ? find_dim(p->m, p->lex.s) : -1;
  if (sym < 0) return irlex_error(&p->lex, "E0221", "expected an extent: a number or a dim of the module");
  irlex_next(&p->lex);
  *d = n ? (Dim){0, (int32_t)n, sym} : DIM(0);
  return true;
}

// Does a new segment begin at the current `+`?  + name :
static bool at_segment(const Parser *p) {
  IrLex l = p->lex;
  if (!irlex_accept(&l, "+") || l.tok != IT_IDENT) return false;
  irlex_next(&l);
  return irlex_is(&l, ":");
}

// dim = ["-"] term {("+" | "-") term}
static bool parse_dim(Parser *p, Dim *d) {
  bool minus = irlex_accept(&p->lex, "-");
  if (!parse_term(p, minus, d)) return false;
  while ((irlex_is(&p->lex, "+") || irlex_is(&p->lex, "-")) && !at_segment(p)) {
    Dim more;
    minus = irlex_is(&p->lex, "-");
    irlex_next(&p->lex);
    if (!parse_term(p, minus, &more)) return false;
    if (!dim_add(*d, more, d))
      return irlex_error(&p->lex, "E0220", "an extent has one run-time dim; segments may add more");
  }
  return true;
}

// axis = dim | name ":" dim {"+" name ":" dim}
static bool parse_axis(Parser *p, Type *t) {
  IrLex ahead = p->lex;
  bool named = ahead.tok == IT_IDENT;
  irlex_next(&ahead);
  int axis = t->rank++;
  if (!named || !irlex_is(&ahead, ":")) return parse_dim(p, &t->dim[axis]);
  if (t->nseg) return irlex_error(&p->lex, "E0220", "only one axis may have segments");
  Seg seg[MAX_SEGS] = {{0}};
  int n = 0;
  do {
    if (n == MAX_SEGS) return irlex_error(&p->lex, "E0220", "more than %d segments", MAX_SEGS);
    int which = p->lex.tok == IT_IDENT ? find_modality(p->m, p->lex.s) : -1;
    if (which < 0) return irlex_error(&p->lex, "E0221", "expected a modality of the module");
    irlex_next(&p->lex);
    seg[n].modality = which;
    if (!irlex_expect(&p->lex, ":") || !parse_dim(p, &seg[n++].len)) return false;
  } while (irlex_accept(&p->lex, "+"));
  type_set_segs(t, axis, seg, n);
  return true;
}

// type = dtype "[" [axis {"," axis}] "]"
static bool parse_type(Parser *p, Type *t) {
  *t = (Type){0};
  int dt = 0;
  while (dt < DT_COUNT && !irlex_is(&p->lex, dtype_info[dt].name)) dt++;
  if (dt == DT_COUNT) return irlex_error(&p->lex, "E0220", "expected an element type (f32 f16 bf16 i32 bool)");
  t->dtype = (DType)dt;
  irlex_next(&p->lex);
  if (!irlex_expect(&p->lex, "[")) return false;
  if (irlex_accept(&p->lex, "]")) return true;
  do {
    if (t->rank == MAX_RANK) return irlex_error(&p->lex, "E0220", "more than %d axes", MAX_RANK);
    if (!parse_axis(p, t)) return false;
  } while (irlex_accept(&p->lex, ","));
  return irlex_expect(&p->lex, "]");
}

/* Values
 * --------------------------------------------------------------------------------------------------------------- */

// ints = "[" [INT {"," INT}] "]"
static bool parse_ints(Parser *p, Attr *a) {
  VEC(int64_t) v = {0};
  if (!irlex_expect(&p->lex, "[")) return false;
  while (!irlex_is(&p->lex, "]")) {
    int64_t i;
    if (v.n && !irlex_expect(&p->lex, ",")) return false;
    if (!irlex_int(&p->lex, &i)) return false;
    VEC_PUSH(p->m->arena, v, i);
  }
  a->v = v.at;
  a->nv = v.n;
  return irlex_expect(&p->lex, "]");
}

static bool parse_attr_value(Parser *p, Attr *a) {
  switch (attr_info[a->key].kind) {
  case AK_INT: return irlex_int(&p->lex, &a->i);
  case AK_FLOAT: return irlex_float(&p->lex, &a->f);
  case AK_STR: return irlex_string(&p->lex, &a->s);
  case AK_INTS: return parse_ints(p, a);
  }
  return false;
}

// attrs = "{" key "=" value {"," key "=" value} "}"
static bool parse_attrs(Parser *p, Op op, Attr *attr, size_t *n) {
  uint64_t seen = *n ? 1ull << attr[0].key : 0;
  do {
    int key = 0;
    while (key < ATTR_COUNT && !irlex_is(&p->lex, attr_info[key].name)) key++;
    if (key == ATTR_COUNT || !(op_info[op].attrs >> key & 1))
      return irlex_error(&p->lex, "E0221", "%s has no such attribute", op_info[op].name);
    if (seen >> key & 1) return fail(p, "E0222", "attribute given twice:", attr_info[key].name);
    seen |= 1ull << key;
    irlex_next(&p->lex);
    attr[*n] = (Attr){.key = (AttrKey)key};
    if (!irlex_expect(&p->lex, "=") || !parse_attr_value(p, &attr[(*n)++])) return false;
  } while (irlex_accept(&p->lex, ","));
  return irlex_expect(&p->lex, "}");
}

static bool parse_count(Parser *p, int64_t most, int64_t *out) {
  IrLex at = p->lex;
  if (!irlex_int(&p->lex, out)) return false;
  if (*out >= 0 && *out <= most) return true;
  p->lex = at;
  return irlex_error(&p->lex, "E0220", "number outside 0..%lld", (long long)most);
}

// at = "at" (INT | kind INT ["+" INT])
static bool parse_place(Parser *p, Place *place) {
  static const char *const kind[] = {[PLACE_NONE] = "none",     [PLACE_ARENA] = "arena",   [PLACE_INPUT] = "input",
                                     [PLACE_OUTPUT] = "output", [PLACE_WEIGHT] = "weight", [PLACE_ALIAS] = "alias"};
  int64_t n;
  if (p->lex.tok == IT_INT) {
    place->kind = PLACE_ARENA;
    return parse_count(p, INT64_MAX, &place->offset);
  }
  for (size_t k = 0; k < sizeof kind / sizeof *kind; k++)
    if (irlex_accept(&p->lex, kind[k])) {
      place->kind = (uint8_t)k;
      if (!parse_count(p, UINT32_MAX, &n)) return false;
      place->index = (uint32_t)n;
      return !irlex_accept(&p->lex, "+") || parse_count(p, INT64_MAX, &place->offset);
    }
  return irlex_error(&p->lex, "E0220", "expected a place: a number, input, output, weight, arena, alias or none");
}

// role = "role" name ["pair" INT] ["offset" INT]
static bool parse_role(Parser *p, Port *port) {
  int64_t n = 0;
  if (!irlex_accept(&p->lex, "role")) return true;
  if (p->lex.tok == IT_IDENT) port->role = role_by_name(p->lex.s);
  if (p->lex.tok != IT_IDENT || port->role == ROLE_COUNT)
    return irlex_error(&p->lex, "E0221", "expected a role: data, words, at, .. (ir/roles.def)");
  irlex_next(&p->lex);
  if (role_info[port->role].pair != PAIR_NONE) {
    if (!irlex_expect(&p->lex, "pair") || !parse_count(p, MAX_LISTED, &n)) return false;
    port->pair = (uint32_t)n;
  }
  return port->role != ROLE_param || (irlex_expect(&p->lex, "offset") && parse_count(p, INT64_MAX / 2, &port->offset));
}

// res = "res" residency        what is said must be so
static bool parse_residency(Parser *p, const char **said, Span *at) {
  if (!irlex_accept(&p->lex, "res")) return true;
  *at = irlex_span(&p->lex);
  return irlex_ident(&p->lex, said);
}

static bool residency_is(Parser *p, Val v, const char *said, Span at) {
  const char *is = res_info[graph_residency(p->g, v)].name;
  if (!said || !strcmp(is, said)) return true;
  Diagnostic *d = diag_error(p->m->diag, "E0223", at, "the residency of this value is %s", is);
  for (int r = 0; r < RES_COUNT; r++)
    if (!strcmp(res_info[r].name, is)) diag_note(p->m->diag, d, NO_SPAN, "%s: %s", is, res_info[r].doc);
  diag_hint(p->m->diag, d, "`res` may be left out: it follows from the operands");
  return false;
}

// notes = ["group" INT] ["pitch" INT] [at] ["in" %value] ["shift" INT]
static bool parse_notes(Parser *p, Value *v, const char **alias, Span *alias_span) {
  int64_t n = 0;
  if (irlex_accept(&p->lex, "group") && !parse_count(p, UINT32_MAX, &n)) return false;
  v->group = (uint32_t)n;
  if (irlex_accept(&p->lex, "pitch") && !parse_count(p, INT64_MAX, &v->pitch)) return false;
  bool placed = irlex_accept(&p->lex, "at");
  if (placed && !parse_place(p, &v->place)) return false;
  if (irlex_accept(&p->lex, "in")) {
    *alias_span = irlex_span(&p->lex);
    if (!irlex_take(&p->lex, IT_LOCAL, "a value like %3", alias)) return false;
    if (!placed) v->place.kind = PLACE_ALIAS;
  }
  return !irlex_accept(&p->lex, "shift") || parse_count(p, INT64_MAX, &v->alias_offset);
}

// values = %value {"," %value}
static bool parse_values(Parser *p, ValList *list) {
  while (p->lex.tok == IT_LOCAL) {
    Val v;
    if (!parse_use(p, &v)) return false;
    VEC_PUSH(p->m->arena, *list, v);
    if (!irlex_accept(&p->lex, ",")) break;
  }
  return true;
}

// operands = [values] ["after" values]        after: of writing operators
static bool parse_operands(Parser *p, Op op, Val **args, size_t *n) {
  ValList list = {0};
  if (!parse_values(p, &list)) return false;
  int want = op_info[op].nargs;
  if (want >= 0 && (size_t)want != list.n)
    return irlex_error(&p->lex, "E0220", "%s takes %d operands, has %zu", op_info[op].name, want, list.n);
  if ((op_info[op].flags & F_WRITES) && irlex_accept(&p->lex, "after") && !parse_values(p, &list)) return false;
  *args = list.at;
  *n = list.n;
  return true;
}

// value = %name "=" op [STRING] [operands] [attrs] ":" type [role] [res] notes        role: of inputs
static bool parse_value(Parser *p) {
  const char *name, *word, *alias = NULL, *res = NULL;
  Val *args = NULL;
  size_t nargs = 0, nattr = 0;
  Attr attr[ATTR_COUNT];
  Type type;
  Value notes = {0};
  Port port = {0};
  Span span = irlex_span(&p->lex), alias_span = NO_SPAN, res_span = NO_SPAN;
  if (name_find(p, p->lex.s).id) return fail(p, "E0222", "two values are called", p->lex.s);
  if (!irlex_take(&p->lex, IT_LOCAL, "a value", &name) || !irlex_expect(&p->lex, "=")) return false;
  span.hi = (uint32_t)p->lex.at;
  Op op = p->lex.tok == IT_IDENT ? op_by_name(p->lex.s) : OP_none;
  if (op == OP_none && p->lex.tok == IT_IDENT)
    return irlex_error(&p->lex, "E0221", "there is no operator '%.60s'", p->lex.s);
  if (op == OP_none) return irlex_error(&p->lex, "E0220", "expected an operator");
  irlex_next(&p->lex);
  if ((op_info[op].attrs >> A_name & 1)) {
    if (!irlex_string(&p->lex, &word)) return false;
    attr[nattr++] = attr_str(A_name, word);
  }
  if (op == OP_input && p->g->input.n == MAX_LISTED)
    return irlex_error(&p->lex, "E0223", "more than %d inputs", MAX_LISTED);
  if (!parse_operands(p, op, &args, &nargs)) return false;
  if (irlex_accept(&p->lex, "{") && !parse_attrs(p, op, attr, &nattr)) return false;
  if (!irlex_expect(&p->lex, ":") || !parse_type(p, &type) || (op == OP_input && !parse_role(p, &port)) ||
      !parse_residency(p, &res, &res_span) || !parse_notes(p, &notes, &alias, &alias_span))
    return false;
  Val v = graph_add_exact(p->g, op, args, nargs, attr, nattr, &type, span);
  if (!v.id) return false;
  Value *made = graph_value(p->g, v);
  if (!type_equal(&made->type, &type)) {
    Buf b = {0};
    type_print(&b, p->m, &made->type);
    diag_error(p->m->diag, "E0223", span, "%s gives %s, not the declared type", op_info[op].name, b.s);
    buf_free(&b);
    return false;
  }
  if (op == OP_input) {
    Port *made_port = &p->g->input.at[p->g->input.n - 1];
    made_port->role = port.role, made_port->pair = port.pair, made_port->offset = port.offset;
  }
  if (!residency_is(p, v, res, res_span)) return false; // of an input: by its role
  made->group = notes.group;
  made->pitch = notes.pitch;
  made->place = notes.place;
  made->alias_offset = notes.alias_offset;
  made->label = irlex_comment(&p->lex, p->m->arena);
  made->span = NO_SPAN;
  made->text = span;
  Fixup fix = {v, alias, alias_span};
  if (alias) VEC_PUSH(p->m->arena, p->fixup, fix);
  name_put(p, name, v);
  return true;
}

// output = "output" STRING "=" %value ["changes" %value] [role]
static bool parse_output(Parser *p) {
  const char *name;
  Val v;
  Span span = irlex_span(&p->lex);
  size_t before = p->g->output.n;
  irlex_next(&p->lex);
  if (before == MAX_LISTED) return irlex_error(&p->lex, "E0223", "more than %d outputs", MAX_LISTED);
  if (!irlex_string(&p->lex, &name) || !irlex_expect(&p->lex, "=") || !parse_use(p, &v)) return false;
  graph_output(p->g, name, v, span);
  if (p->g->output.n == before) return false;
  Port *out = &p->g->output.at[before];
  if (irlex_accept(&p->lex, "changes") && !parse_use(p, &out->state)) return false;
  return parse_role(p, out);
}

// graph = "graph" @name ["objective"] [STRING] "{" {value} {output} "}"
// Views of views are followed one by one down to their memory, for each of them: what a page makes is merged before, a
// text may have any number.
static bool views_are_few(Parser *p, Span span) {
  enum { MOST = 2000 };
  const Graph *g = p->g;
  uint16_t *depth = ARENA_ARRAY(p->m->arena, uint16_t, g->value.n);
  for (size_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    if (!(op_info[v->op].flags & F_VIEW) || !v->nargs) continue;
    depth[i] = (uint16_t)(depth[v->args[0].id] + 1);
    if (depth[i] <= MOST) continue;
    diag_error(p->m->diag, "E0223", v->span.file ? v->span : span, "more than %d views of one another", MOST);
    return false;
  }
  return true;
}

static bool parse_graph(Parser *p) {
  const char *name, *why;
  Span span = irlex_span(&p->lex);
  if (!irlex_take(&p->lex, IT_GLOBAL, "a graph name like @classify", &name)) return false;
  for (size_t i = 0; i < p->m->graph.n; i++)
    if (p->m->graph.at[i]->name == name) return fail(p, "E0222", "two graphs are called", name);
  if (p->m->graph.n == MAX_LISTED) return irlex_error(&p->lex, "E0223", "more than %d graphs", MAX_LISTED);
  p->g = graph_new(p->m, name);
  p->nslot = p->used = p->fixup.n = 0;
  p->g->objective = irlex_accept(&p->lex, "objective");
  if (p->lex.tok == IT_STRING && !irlex_string(&p->lex, &p->g->about)) return false;
  if (!irlex_expect(&p->lex, "{")) return false;
  while (p->lex.tok == IT_LOCAL)
    if (!parse_value(p)) return false;
  while (irlex_is(&p->lex, "output"))
    if (!parse_output(p)) return false;
  for (size_t i = 0; i < p->fixup.n; i++) {
    Val target = name_find(p, p->fixup.at[i].target);
    if (!target.id) {
      diag_error(p->m->diag, "E0221", p->fixup.at[i].span, "no value is called %s", p->fixup.at[i].target);
      return false;
    }
    graph_value(p->g, p->fixup.at[i].part)->alias = target;
  }
  if (!irlex_expect(&p->lex, "}")) return false;
  if (graph_verify(p->g, &why)) return views_are_few(p, span);
  diag_error(p->m->diag, "E0223", span, "invalid graph: %s", why);
  return false;
}

/* Module
 * --------------------------------------------------------------------------------------------------------------- */

// dims = "{" name "=" INT ".." INT {"," ...} "}"
static bool parse_dims(Parser *p) {
  Module *m = p->m;
  if (!irlex_expect(&p->lex, "{")) return false;
  do {
    RuntimeDim d;
    if (m->ndim == MAX_DIMS) return irlex_error(&p->lex, "E0223", "more than %d run-time dims", MAX_DIMS);
    if (!irlex_ident(&p->lex, &d.name)) return false;
    if (find_dim(m, d.name) >= 0) return fail(p, "E0222", "two dims are called", d.name);
    if (!irlex_expect(&p->lex, "=") || !parse_count(p, INT32_MAX, &d.lo)) return false;
    if (p->lex.tok != IT_DOTDOT) return irlex_error(&p->lex, "E0220", "expected `..`");
    irlex_next(&p->lex);
    if (!parse_count(p, INT32_MAX, &d.hi)) return false;
    if (d.lo > d.hi || d.hi < 1) return fail(p, "E0223", "the range is empty: dim", d.name);
    m->dim[m->ndim++] = d;
  } while (irlex_accept(&p->lex, ","));
  return irlex_expect(&p->lex, "}");
}

// modalities = "{" name STRING {"," name STRING} "}"
static bool parse_modalities(Parser *p) {
  Module *m = p->m;
  if (!irlex_expect(&p->lex, "{")) return false;
  do {
    Modality d;
    if (m->nmodality == MAX_MODALITIES) return irlex_error(&p->lex, "E0223", "more than %d modalities", MAX_MODALITIES);
    if (!irlex_ident(&p->lex, &d.name)) return false;
    if (find_modality(m, d.name) >= 0) return fail(p, "E0222", "two modalities are called", d.name);
    if (!irlex_string(&p->lex, &d.infix)) return false;
    m->modality[m->nmodality++] = d;
  } while (irlex_accept(&p->lex, ","));
  return irlex_expect(&p->lex, "}");
}

static bool parse_prepare(Parser *p) {
  Prepare r;
  if (p->m->prepare.n == MAX_LISTED) return irlex_error(&p->lex, "E0223", "more than %d prepares", MAX_LISTED);
  if (!irlex_string(&p->lex, &r.name) || !irlex_string(&p->lex, &r.kind) || !irlex_string(&p->lex, &r.options))
    return false;
  VEC_PUSH(p->m->arena, p->m->prepare, r);
  return true;
}

// rename = "rename" STRING STRING STRING STRING {STRING}
static bool parse_rename(Parser *p) {
  Rename r = {0};
  VEC(const char *) theirs = {0};
  if (p->m->rename.n == MAX_LISTED) return irlex_error(&p->lex, "E0223", "more than %d renames", MAX_LISTED);
  if (!irlex_string(&p->lex, &r.set) || !irlex_string(&p->lex, &r.ours) || !irlex_string(&p->lex, &r.how)) return false;
  do {
    const char *name;
    if (!irlex_string(&p->lex, &name)) return false;
    const char *wrong = rename_problem(p->m->arena, r.ours, name);
    if (wrong) return irlex_error(&p->lex, "E0223", "rename: %s", wrong);
    VEC_PUSH(p->m->arena, theirs, name);
  } while (p->lex.tok == IT_STRING && theirs.n < MAX_LISTED);
  r.theirs = theirs.at;
  r.n = theirs.n;
  size_t least, most;
  if (!rename_way(r.how, &least, &most) || r.n < least || r.n > most)
    return irlex_error(&p->lex, "E0223", "rename: \"%s\" of %zu names has no meaning", r.how, r.n);
  VEC_PUSH(p->m->arena, p->m->rename, r);
  return true;
}

// precision = "precision" STRING STRING STRING: the rules of one set, in their order
static bool parse_precision(Parser *p) {
  PrecisionRule r = {.span = irlex_span(&p->lex)};
  const char *set, *is;
  if (!irlex_string(&p->lex, &set) || !irlex_string(&p->lex, &r.pattern) || !irlex_string(&p->lex, &is)) return false;
  const char *wrong = precision_problem(p->m->arena, r.pattern);
  r.is = precision_by_name(is);
  if (wrong) return irlex_error(&p->lex, "E0223", "precision: %s", wrong);
  if (!r.is) return irlex_error(&p->lex, "E0221", "there is no precision '%s'", is);
  if (!p->m->precision) {
    p->m->precision = ARENA_NEW(p->m->arena, PrecisionSet);
    *p->m->precision = (PrecisionSet){.name = set, .span = r.span, .own = true};
  }
  if (strcmp(p->m->precision->name, set) != 0) return irlex_error(&p->lex, "E0223", "precision: rules of two sets");
  if (p->m->precision->rule.n == PRECISION_MOST_RULES)
    return irlex_error(&p->lex, "E0223", "more than %d rules of a precision", PRECISION_MOST_RULES);
  VEC_PUSH(p->m->arena, p->m->precision->rule, r);
  return true;
}

// @name of a graph above
static bool parse_route(Parser *p, Graph **g) {
  const char *name;
  IrLex at = p->lex;
  if (!irlex_take(&p->lex, IT_GLOBAL, "a graph name like @caption_start", &name)) return false;
  for (size_t i = 0; i < p->m->graph.n; i++)
    if (p->m->graph.at[i]->name == name) return *g = p->m->graph.at[i], true;
  return fail((p->lex = at, p), "E0221", "there is no graph called", name);
}

// options = "{" name "=" (INT | FLOAT) {"," ...} "}"
static bool parse_search(Parser *p, Generate *x) {
  unsigned seen = 0;
  do {
    size_t i = 0;
    double value;
    while (i < search_option_count && !irlex_is(&p->lex, search_option[i].name)) i++;
    if (i == search_option_count || !(search_option[i].rules >> x->rule & 1))
      return irlex_error(&p->lex, "E0221", "%s has no such option", rule_info[x->rule].name);
    if (seen >> i & 1) return fail(p, "E0222", "option given twice:", search_option[i].name);
    seen |= 1u << i;
    irlex_next(&p->lex);
    if (!irlex_expect(&p->lex, "=")) return false;
    IrLex at = p->lex;
    if (!irlex_float(&p->lex, &value)) return false;
    bool whole = search_option[i].kind == OPTION_REAL || (value <= INT32_MAX && value == (double)(int64_t)value);
    if (!(value >= search_option[i].least) || !whole)
      return irlex_error((p->lex = at, &p->lex), "E0223", "%s cannot be this number", search_option[i].name);
    search_set(&x->option, i, value);
  } while (irlex_accept(&p->lex, ","));
  return irlex_expect(&p->lex, "}");
}

// generate = "generate" STRING rule "start" @graph ["step" @graph] ["prompt" STRING] [options]
static bool parse_generate(Parser *p) {
  Generate x = {.rule = RULE_COUNT, .option = search_defaults(), .span = irlex_span(&p->lex)};
  if (p->m->generate.n == MAX_LISTED) return irlex_error(&p->lex, "E0223", "more than %d generates", MAX_LISTED);
  if (!irlex_string(&p->lex, &x.name)) return false;
  if (p->lex.tok == IT_IDENT) x.rule = rule_by_name(p->lex.s);
  if (x.rule == RULE_COUNT) return irlex_error(&p->lex, "E0221", "expected a rule: next_word or masked_word");
  irlex_next(&p->lex);
  if (!irlex_expect(&p->lex, "start") || !parse_route(p, &x.start)) return false;
  if (irlex_accept(&p->lex, "step") && !parse_route(p, &x.step)) return false;
  if (irlex_accept(&p->lex, "prompt") && !irlex_string(&p->lex, &x.prompt)) return false;
  if (irlex_accept(&p->lex, "{") && !parse_search(p, &x)) return false;
  VEC_PUSH(p->m->arena, p->m->generate, x);
  return true;
}

static bool parse_stage(Parser *p) {
  Stage s;
  if (p->m->stage.n == MAX_LISTED) return irlex_error(&p->lex, "E0223", "more than %d stages", MAX_LISTED);
  if (!stage_parse(p->m->arena, &p->lex, &s)) return false;
  VEC_PUSH(p->m->arena, p->m->stage, s);
  return true;
}

// module = "module" STRING ["after" pass] ["dims" dims] ["modalities" modalities] ["built" STRING]
//          {"prepare" STRING STRING STRING}
//          {rename} {precision} {"weight" STRING} {graph} {generate} {stage}
static bool parse_module(Parser *p) {
  if (irlex_accept(&p->lex, "after") && !irlex_ident(&p->lex, &p->m->after)) return false;
  if (irlex_accept(&p->lex, "dims") && !parse_dims(p)) return false;
  if (irlex_accept(&p->lex, "modalities") && !parse_modalities(p)) return false;
  if (irlex_accept(&p->lex, "built") && !irlex_string(&p->lex, &p->m->built)) return false;
  while (irlex_accept(&p->lex, "prepare"))
    if (!parse_prepare(p)) return false;
  while (irlex_accept(&p->lex, "rename"))
    if (!parse_rename(p)) return false;
  while (irlex_accept(&p->lex, "precision"))
    if (!parse_precision(p)) return false;
  while (irlex_accept(&p->lex, "weight")) {
    DeclaredWeight w = {.span = irlex_span(&p->lex)};
    if (!irlex_string(&p->lex, &w.name)) return false;
    VEC_PUSH(p->m->arena, p->m->weight, w);
  }
  while (irlex_accept(&p->lex, "graph"))
    if (!parse_graph(p)) return false;
  while (irlex_accept(&p->lex, "generate"))
    if (!parse_generate(p)) return false;
  while (irlex_accept(&p->lex, "stage"))
    if (!parse_stage(p)) return false;
  const char *why = NULL, *what = "invalid generate: ";
  bool end = p->lex.tok == IT_END, right = !end || generates_verify(p->m, &why);
  if (right && end && !weights_verify(p->m, &why)) right = false, what = "";
  if (!right) {
    diag_error(p->m->diag, "E0223", irlex_span(&p->lex), "%s%s", what, why);
    return false;
  }
  return p->lex.tok == IT_END || irlex_error(&p->lex, "E0220", "expected a graph or the end of the text");
}

Module *module_parse(Arena *a, Intern *names, Diag *diag, const char *text, size_t n, uint32_t file) {
  Parser p = {0};
  const char *name;
  irlex_init(&p.lex, text, n, file, names, diag);
  if (!irlex_expect(&p.lex, "module") || !irlex_string(&p.lex, &name)) return NULL;
  p.m = module_new(a, names, diag, name);
  return parse_module(&p) && !p.lex.failed ? p.m : NULL;
}

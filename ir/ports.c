// ports.c: roles of inputs and outputs, and the records of generates: their tables, and what must hold of them.
//
//   graph @g_start { .. input "text" : i32[B,L] role words ..  output "keys" = %9 role state pair 1 }
//   graph @g_step  { .. output "keys" = %7 changes %5 role state pair 2 }
//   generate "g" next_word start @g_start step @g_step {start = 1, end = 2}
//
// A route has each of the roles words, last, at and scores at most once. Pairs go both ways: a state or kept output of
// the start and its counterpart in the step name each other and have one type.
#include "graph.h"

#include <string.h>

#define IN PORT_IN
#define OUT PORT_OUT
#define INOUT PORT_INOUT
#define NONE PAIR_NONE
#define INPUT PAIR_INPUT
#define OUTPUT PAIR_OUTPUT
#define KEPT PAIR_KEPT
const RoleInfo role_info[ROLE_COUNT] = {
#define ROLE(name_, where_, pair_, doc_) [ROLE_##name_] = {#name_, where_, pair_, doc_},
#include "roles.def"
#undef ROLE
};
#undef IN
#undef OUT
#undef INOUT
#undef NONE
#undef INPUT
#undef OUTPUT
#undef KEPT

const RuleInfo rule_info[RULE_COUNT] = {
#define RULE(name_, width_, doc_) [RULE_##name_] = {#name_, width_, doc_},
#include "generate.def"
};

#define NEXT (1u << RULE_next_word)
#define MASKED (1u << RULE_masked_word)
const SearchOption search_option[] = {
#define OPTION(name_, kind_, absent_, least_, rules_, needed_, doc_)                                                   \
  {#name_, OPTION_##kind_, absent_, least_, rules_, needed_, offsetof(SearchOptions, name_), doc_},
#include "generate.def"
};
const size_t search_option_count = sizeof search_option / sizeof *search_option;

Role role_by_name(const char *name) {
  int r = 0;
  while (r < ROLE_COUNT && strcmp(role_info[r].name, name) != 0) r++;
  return (Role)r;
}

GenerateRule rule_by_name(const char *name) {
  int r = 0;
  while (r < RULE_COUNT && strcmp(rule_info[r].name, name) != 0) r++;
  return (GenerateRule)r;
}

double search_get(const SearchOptions *s, size_t option) {
  const char *at = (const char *)s + search_option[option].offset;
  if (search_option[option].kind == OPTION_REAL) return *(const double *)(const void *)at;
  return (double)*(const int64_t *)(const void *)at;
}

void search_set(SearchOptions *s, size_t option, double value) {
  char *at = (char *)s + search_option[option].offset;
  if (search_option[option].kind == OPTION_REAL)
    *(double *)(void *)at = value;
  else
    *(int64_t *)(void *)at = (int64_t)value;
}

SearchOptions search_defaults(void) {
  SearchOptions s;
  for (size_t i = 0; i < search_option_count; i++) search_set(&s, i, search_option[i].absent);
  return s;
}

Port *graph_input_port(const Graph *g, Val v) {
  for (size_t i = 0; i < g->input.n; i++)
    if (g->input.at[i].val.id == v.id) return &g->input.at[i];
  return NULL;
}

Port *graph_state_port(const Graph *g, Val state) {
  for (size_t i = 0; i < g->output.n && state.id; i++)
    if (g->output.at[i].state.id == state.id) return &g->output.at[i];
  return NULL;
}

unsigned port_direction(const Port *p, bool input) {
  return input ? PORT_IN : p->state.id ? PORT_INOUT : PORT_OUT;
}

/* one graph ------------------------------------------------------------------------------------------------------- */
static const Port *port_at(const Graph *g, bool input, size_t i) {
  return input ? &g->input.at[i] : &g->output.at[i];
}
static size_t port_count(const Graph *g, bool input) {
  return input ? g->input.n : g->output.n;
}

static const char *side(bool input) {
  return input ? "input" : "output";
}

static const char *role_problem(const Port *p, bool input, unsigned *seen) {
  const RoleInfo *r = &role_info[p->role];
  if (p->role >= ROLE_COUNT) return "has no role";
  if (!(r->where & port_direction(p, input)))
    return input                                  ? "has a role that no input has"
           : port_direction(p, input) == PORT_OUT ? "has a role that no output has"
                                                  : "is in and out, which its role forbids";
  if (input && p->state.id) return "has a state";
  if (r->pair == PAIR_NONE && p->pair) return "has a pair, which its role has not";
  if (p->role != ROLE_param && p->offset) return "has an offset, which is for parameters";
  bool once = p->role == ROLE_words || p->role == ROLE_last || p->role == ROLE_at || p->role == ROLE_scores;
  if (once && *seen >> p->role & 1) return "has a role that another port has";
  *seen |= 1u << p->role;
  return NULL;
}

enum { PARAM_ALIGN = 64 };

static const char *param_problem(const Graph *g, const Port *p) {
  int64_t bytes = type_bytes(g->module, &graph_value(g, p->val)->type);
  if (p->offset < 0 || p->offset % PARAM_ALIGN) return "does not begin at a multiple of 64 bytes of its block";
  for (int input = 0; input < 2; input++)
    for (size_t i = 0; i < port_count(g, input); i++) {
      const Port *q = port_at(g, input, i);
      if (q == p || q->role != ROLE_param) continue;
      int64_t more = type_bytes(g->module, &graph_value(g, q->val)->type);
      if (p->offset < q->offset + more && q->offset < p->offset + bytes) return "overlaps another parameter";
    }
  return NULL;
}

const char *ports_problem(const Graph *g) {
  unsigned seen = 0;
  for (int input = 1; input >= 0; input--)
    for (size_t i = 0; i < port_count(g, input); i++) {
      const Port *p = port_at(g, input, i);
      const char *why = role_problem(p, input, &seen);
      if (!why && p->role == ROLE_param) why = param_problem(g, p);
      if (why)
        return arena_printf(g->module->arena, "@%s: the %s \"%s\" (role %s) %s", g->name, side(input), p->name,
                            p->role < ROLE_COUNT ? role_info[p->role].name : "?", why);
    }
  return NULL;
}

/* a generate ------------------------------------------------------------------------------------------------------ */
typedef struct Pairs { // a generate while it is checked
  const Module *m;
  const Generate *x;
  const char *why;
} Pairs;

static bool bad(Pairs *c, const Graph *g, const char *fmt, const char *name) {
  const char *text = arena_printf(c->m->arena, fmt, name);
  c->why = arena_printf(c->m->arena, "generate \"%s\": @%s %s", c->x->name, g->name, text);
  return false;
}

static const Type *type_of(const Graph *g, const Port *p) {
  return &graph_value(g, p->val)->type;
}

static const Port *with_role(const Graph *g, bool input, Role role) {
  for (size_t i = 0; i < port_count(g, input); i++)
    if (port_at(g, input, i)->role == role) return port_at(g, input, i);
  return NULL;
}

// The type of the port of a role: i32 or f32, with these axes.
static bool has_port(Pairs *c, const Graph *g, bool input, Role role, DType dtype, int rank, const Dim *dim) {
  const Port *p = with_role(g, input, role);
  if (!p) return bad(c, g, input ? "has no input of role %s" : "has no output of role %s", role_info[role].name);
  const Type *t = type_of(g, p);
  bool fits = t->dtype == dtype && t->rank == rank && !t->nseg;
  for (int d = 0; fits && d < rank; d++) fits = dim_equal(t->dim[d], dim[d]);
  return fits || bad(c, g, "has another type for role %s than its words ask for", role_info[role].name);
}

// The other end of a pair; NULL after reporting.
static bool pair_fits(Pairs *c, const Graph *g, bool input, size_t i, const Graph *other) {
  const Port *p = port_at(g, input, i);
  int kind = role_info[p->role].pair;
  bool there = kind == PAIR_INPUT || (kind == PAIR_KEPT && !input);
  if (p->pair >= port_count(other, there)) return bad(c, g, "has no counterpart for \"%s\"", p->name);
  const Port *q = port_at(other, there, p->pair);
  if (kind != PAIR_INPUT && (q->role != p->role || q->pair != i))
    return bad(c, g, "has a counterpart for \"%s\" that has another one itself", p->name);
  if (!type_equal(type_of(g, p), type_of(other, q)))
    return bad(c, g, "has another type for \"%s\" than its counterpart", p->name);
  return true;
}

// Which roles the ports of start and step have, by direction.
static bool role_fits(Pairs *c, const Graph *g, bool input, const Port *p, bool step) {
  unsigned d = port_direction(p, input);
  static const struct {
    bool step;
    unsigned where;
    unsigned roles;
  } may[] = {
      {false, PORT_IN, 1u << ROLE_data | 1u << ROLE_words | 1u << ROLE_last},
      {false, PORT_OUT, 1u << ROLE_scores | 1u << ROLE_state | 1u << ROLE_kept},
      {true, PORT_IN, 1u << ROLE_words | 1u << ROLE_at | 1u << ROLE_kept | 1u << ROLE_given},
      {true, PORT_OUT, 1u << ROLE_scores},
      {true, PORT_INOUT, 1u << ROLE_state},
  };
  for (size_t i = 0; i < sizeof may / sizeof *may; i++)
    if (may[i].step == step && may[i].where == d && (may[i].roles >> p->role & 1)) return true;
  return bad(c, g, "has a role that does not fit for \"%s\"", p->name);
}

static bool entry_fits(Pairs *c, const Graph *g, const Graph *other, bool step) {
  for (int input = 1; input >= 0; input--)
    for (size_t i = 0; i < port_count(g, input); i++) {
      const Port *p = port_at(g, input, i);
      if (!role_fits(c, g, input, p, step)) return false;
      if (role_info[p->role].pair != PAIR_NONE && !pair_fits(c, g, input, i, other)) return false;
    }
  return true;
}

static bool words_fit(Pairs *c) {
  const Graph *g = c->x->start, *s = c->x->step;
  const Port *w = with_role(g, true, ROLE_words), *scores = with_role(g, false, ROLE_scores);
  if (!w || type_of(g, w)->rank != 2) return bad(c, g, "has no input i32[B,L] of role %s", "words");
  if (!scores || type_of(g, scores)->rank < 2) return bad(c, g, "has no output of role %s", "scores");
  const Type *t = type_of(g, w), *y = type_of(g, scores);
  Dim every[] = {t->dim[0], t->dim[1], y->dim[y->rank - 1]}, one[] = {t->dim[0], y->dim[y->rank - 1]};
  Dim row[] = {t->dim[0], DIM(rule_info[c->x->rule].width)};
  if (t->dim[1].k != 1 || t->dim[1].c || (t->dim[0].k && t->dim[0].sym == t->dim[1].sym))
    return bad(c, g, "has %s that a run-time dim of their own does not count", "words");
  if (!has_port(c, g, true, ROLE_words, DT_I32, 2, every)) return false;
  if (!s) return has_port(c, g, false, ROLE_scores, DT_F32, 3, every);
  return has_port(c, g, true, ROLE_last, DT_I32, 1, every) && has_port(c, g, false, ROLE_scores, DT_F32, 2, one) &&
         has_port(c, s, true, ROLE_words, DT_I32, 2, row) && has_port(c, s, true, ROLE_at, DT_I32, 1, every) &&
         has_port(c, s, false, ROLE_scores, DT_F32, 2, one);
}

const char *generate_problem(const Module *m, const Generate *x) {
  Pairs c = {m, x, NULL};
  if (x->rule >= RULE_COUNT || !x->start || x->start == x->step) return "a generate without rule or routes";
  if (!words_fit(&c) || !x->step) return c.why;
  if (entry_fits(&c, x->start, x->step, false)) entry_fits(&c, x->step, x->start, true);
  return c.why;
}

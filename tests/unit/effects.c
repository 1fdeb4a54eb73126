// effects.c: states, reads of them and writes. Texts in which a read need not come before its write are refused; passes
// keep the order; seeded random graphs with states give the same through the evaluator, the passes, the interpreter,
// and, to the bit, through LLVM and C.
#include "program_ways.h"

enum { BATCH = 2, ROWS = 3, GRAPHS = 60, EVERY_C = 15 };

/* texts ----------------------------------------------------------------------------------------------------------- */
#define HEAD                                                                                                           \
  "module \"m\" dims { B = 1..4 }\n"                                                                                   \
  "graph @g {\n"                                                                                                       \
  "  %1 = input \"x\" : f32[B,1,4]\n"                                                                                  \
  "  %2 = input \"at\" : i32[B]\n"                                                                                     \
  "  %3 = state : f32[B,6,4]\n"
#define ROW "  %4 = slice %3 {axis = 1, start = 2} : f32[B,1,4] res state\n"

static Module *parse(Arena *a, Diag **diag, const char *text) {
  Intern *names = ARENA_NEW(a, Intern);
  names->arena = a;
  *diag = ARENA_NEW(a, Diag);
  diag_init(*diag, a);
  return module_parse(a, names, *diag, text, strlen(text), diag_add_file(*diag, "t.gir", text, strlen(text)));
}

static Module *good(Arena *a, const char *text) {
  Diag *d;
  Module *m = parse(a, &d, text);
  cr_assert(m, "%s", d->list.n ? d->list.at[0].text : "no module");
  return m;
}

static char *printed(const Module *m, Arena *a) {
  Buf b = {0};
  module_print(m, &b);
  char *s = arena_strdup(a, b.s);
  buf_free(&b);
  return s;
}

static void refused(const char *text, const char *want) {
  Arena a = {0};
  Diag *d;
  cr_expect_null(parse(&a, &d, text), "%s", text);
  cr_expect(d->list.n == 1 && !strcmp(d->list.at[0].code, "E0223") && strstr(d->list.at[0].text, want),
            "'%s' instead of '%s'", d->list.n ? d->list.at[0].text : "", want);
  arena_free(&a);
}

static const char in_order[] = HEAD ROW "  %5 = exp %4 : f32[B,1,4] res state\n"
                                        "  %6 = put_rows %3, %1, %2 after %5 {start = 0} : f32[B,6,4]\n"
                                        "  %7 = add %6, %5 : f32[B,6,4]\n"
                                        "  %8 = put_rows %6, %5, %2 after %7 {start = 1} : f32[B,6,4]\n"
                                        "  %9 = tanh %8 : f32[B,6,4]\n"
                                        "  output \"s\" = %8 changes %3\n"
                                        "  output \"y\" = %7\n"
                                        "  output \"z\" = %9\n"
                                        "}\n";

Test(effects, text_in_order) {
  Arena a = {0};
  cr_expect_str_eq(printed(good(&a, in_order), &a), in_order);
  arena_free(&a);
}

#define PUT(more) "  %6 = put_rows %3, %1, %2" more " {start = 0} : f32[B,6,4]\n"
#define END "  output \"s\" = %6 changes %3\n}\n"

Test(effects, texts_refused) {
  const char *late = "%6 = exp: reads what %5 overwrites, and nothing makes it come before that";
  refused(HEAD ROW PUT("") "  %7 = exp %4 : f32[B,1,4]\n  output \"y\" = %7\n" END, late);
  refused(HEAD ROW "  %7 = exp %4 : f32[B,1,4]\n" PUT("") "  output \"y\" = %7\n" END,
          "%5 = exp: reads what %6 overwrites, and nothing makes it come before that (put_rows .. after %5)");
  refused(HEAD PUT("") "  %7 = exp %3 : f32[B,6,4]\n  output \"y\" = %7\n" END, "reads what %4 overwrites");
  // the read stands on the write
  refused(HEAD PUT("") "  %7 = add %3, %6 : f32[B,6,4]\n  output \"y\" = %7\n" END, "reads what %4 overwrites");
  refused(HEAD ROW PUT("") "  output \"y\" = %4\n" END, "the output \"y\" is memory that %5 overwrites");
  refused(HEAD ROW "  %6 = put_rows %3, %4, %2 {start = 0} : f32[B,6,4]\n" END, "which it overwrites");
  refused(HEAD PUT("") "  %7 = put_rows %3, %1, %2 {start = 1} : f32[B,6,4]\n" END, "changes what %4 overwrites");
  refused(HEAD "  %6 = put_rows %3, %1, %2 {start = 0} : f32[B,6,4]\n"
               "  %7 = put_rows %6, %1, %2 {start = 1} : f32[B,6,4]\n" END,
          "its output is not its last version, %5");
  refused(HEAD "  %6 = exp %3 : f32[B,6,4]\n" END, "nothing writes this state");
  refused(HEAD "  %7 = exp %1 : f32[B,1,4]\n  %8 = put_rows %7, %1, %2 {start = 0} : f32[B,1,4]\n" PUT("") END,
          "no state and no result of a write");
  refused(HEAD PUT("") "  output \"s\" = %6\n}\n", "no output changes this state");
}

/* passes ---------------------------------------------------------------------------------------------------------- */
// Reads get their order, what is not needed for one is taken away, and dead reads with it.
Test(effects, order_is_made) {
  Arena a = {0};
  Module *m = good(&a, in_order);
  Graph *g = m->graph.at[0];
  graph_order_writes(g);
  cr_expect_str_eq(printed(m, &a), in_order);
  Value *w = graph_value(g, g->output.at[0].val);
  cr_assert_eq(w->nargs, 4);
  w->nargs--; // as a pass that loses it
  const char *why = NULL;
  cr_expect_not(graph_verify(g, &why));
  graph_order_writes(g);
  cr_expect(graph_verify(g, &why), "%s", why);
  g->output.n -= 2; // the second write's reader is dead, the first one's is among its rows
  graph_order_writes(g);
  cr_expect(graph_verify(g, &why), "%s", why);
  const char *text = printed(m, &a), *first = strstr(text, " after ");
  cr_expect(first && !strstr(first + 1, " after ") && !strstr(text, " add "), "%s", text);
  arena_free(&a);
}

// Equal writes stay two, a view is not looked through, x + 0 is not the state itself.
Test(effects, passes_leave_reads_alone) {
  Arena a = {0};
  Module *m = good(&a, HEAD "  %4 = state : f32[B,6,4]\n"
                            "  %5 = slice %3 {axis = 1, start = 1} : f32[B,4,4]\n"
                            "  %6 = reshape %5 : f32[B,4,4]\n"
                            "  %7 = concat %6, %1 {axis = 1} : f32[B,5,4]\n"
                            "  %8 = put_rows %3, %1, %2 after %7 {start = 0} : f32[B,6,4]\n"
                            "  %9 = put_rows %4, %1, %2 {start = 0} : f32[B,6,4]\n"
                            "  %10 = slice %8 {axis = 1, start = 0} : f32[B,5,4]\n"
                            "  %11 = add %7, %10 : f32[B,5,4]\n"
                            "  %12 = slice %11 {axis = 1, start = 0} : f32[B,1,4]\n"
                            "  output \"y\" = %12\n"
                            "  output \"s\" = %8 changes %3\n"
                            "  output \"t\" = %9 changes %4\n"
                            "}\n");
  PassOptions o = {.verify = true}; // sink would read row 1 of %3 behind the write
  cr_expect(passes_run(m, &o));
  size_t puts = 0;
  for (uint32_t i = 1; i < m->graph.at[0]->value.n; i++) puts += m->graph.at[0]->value.at[i].op == OP_put_rows;
  cr_expect_eq(puts, 2);
  arena_free(&a);
}

/* random graphs --------------------------------------------------------------------------------------------------- */
typedef struct States {
  Gen r;
  Val ids; // below the number of rows of a state, less those of a write
  Val first[3], now[3];
  size_t n;
} States;

static bool is_memory_of(const Graph *g, Val v, Val version) {
  while (op_info[graph_value(g, v)->op].flags & F_VIEW) v = graph_value(g, v)->args[0];
  return v.id == version.id;
}

// Reads of `version` may stand in other values of the pool from now on, its memory may not.
static void forget_memory(States *s, Val version) {
  size_t kept = 0;
  for (size_t i = 0; i < s->r.n; i++)
    if (!is_memory_of(s->r.g, s->r.pool[i], version)) s->r.pool[kept++] = s->r.pool[i];
  s->r.n = kept;
}

static void remember(States *s, Val v) {
  if (v.id && s->r.n < POOL) s->r.pool[s->r.n++] = v;
}

static void add_state(States *s) {
  Type t = {.dtype = DT_F32, .rank = 3, .dim = {{0, 1, 0}, DIM(3 + draw(&s->r, 5)), DIM(4)}};
  s->first[s->n] = s->now[s->n] = graph_add_typed(s->r.g, OP_state, NULL, 0, NULL, 0, &t, NO_SPAN);
  remember(s, s->now[s->n++]);
}

// Rows of some value that is not the state's own memory, with the columns of the state.
static void write_rows(States *s, size_t k) {
  Val x = pick(&s->r), version = s->now[k];
  if (is_memory_of(s->r.g, x, version)) x = op(&s->r, OP_tanh, &x, 1);
  x = slice(&s->r, linear(&s->r, x, 4), 1, 0, 1);
  Attr start = attr_int(A_start, draw(&s->r, (uint32_t)type_of(&s->r, version)->dim[1].c - 2));
  Val put = graph_add(s->r.g, OP_put_rows, (Val[]){version, x, s->ids}, 3, &start, 1, NO_SPAN);
  forget_memory(s, version);
  s->now[k] = put;
  remember(s, put);
}

static void take_outputs(States *s) {
  Graph *g = s->r.g;
  for (size_t k = 0; k < s->n; k++) {
    graph_output(g, arena_printf(g->module->arena, "s%zu", k), s->now[k], NO_SPAN);
    g->output.at[g->output.n - 1].state = s->first[k];
  }
  for (size_t k = 0; k < 3 && k < s->r.n; k++)
    graph_output(g, arena_printf(g->module->arena, "y%zu", k), s->r.pool[s->r.n - 1 - k], NO_SPAN);
}

static Graph *random_states(Module *m, uint32_t seed) {
  Graph *g = graph_new(m, "g");
  States s = {.r = {.g = g, .state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1}};
  m->dim[m->ndim++] = (RuntimeDim){intern(m->names, "B"), 1, 4};
  Type x = {.dtype = DT_F32, .rank = 3, .dim = {{0, 1, 0}, DIM(5), DIM(4)}};
  Type ids = {.dtype = DT_I32, .rank = 1, .dim = {{0, 1, 0}}};
  remember(&s, graph_input(g, "x", &x, NO_SPAN));
  s.r.ids = graph_input(g, "ids", &ids, NO_SPAN);
  Attr zero = attr_float(A_value, 0);
  s.ids = op(&s.r, OP_minimum, (Val[]){s.r.ids, graph_add_typed(g, OP_constant, NULL, 0, &zero, 1, &ids, NO_SPAN)}, 2);
  s.ids = draw(&s.r, 2) ? s.ids : graph_input(g, "at", &ids, NO_SPAN);
  for (uint32_t n = 1 + draw(&s.r, 3); s.n < n;) add_state(&s);
  for (uint32_t i = 0, n = 6 + draw(&s.r, 10); i < n; i++) {
    if (draw(&s.r, 3) == 0) write_rows(&s, draw(&s.r, (uint32_t)s.n));
    remember(&s, grow(&s.r, pick(&s.r)));
  }
  for (size_t k = 0; k < s.n; k++)
    if (s.now[k].id == s.first[k].id) write_rows(&s, k);
  take_outputs(&s);
  graph_order_writes(g);
  graph_dce(g);
  graph_compact(g);
  return g;
}

static void compare_bits(const Run *r, const sy_model *m, size_t target, const char *way) {
  const Graph *g = r->p->route.at[0].graph;
  const void *in[16];
  void *out[16], *want[16], *ctx = NULL;
  const char *isa = r->p->target[target]->name, *err = "";
  make_buffers(r, in, out);
  make_buffers(r, in, want);
  cr_assert(program_interpret(r->p, 0, target, r->data, in, want, r->dims, NULL, NULL, &err), "%s", err);
  sy_map map = {0};
  cr_assert_eq(sy_map_open(&map, r->weights, 0), SY_OK);
  size_t bytes = m->arena_bytes(1), dims[MAX_DIMS];
  for (size_t i = 0; i < MAX_DIMS; i++) dims[i] = (size_t)r->dims[i];
  void *arena = aligned_alloc(SY_ALIGN, (bytes + SY_ALIGN - 1) / SY_ALIGN * SY_ALIGN);
  sy_config config = {SY_ABI_VERSION, map.data, map.bytes, arena, bytes, NULL, isa};
  cr_assert_eq(m->init(&ctx, &config), SY_OK, "%s: init", r->what);
  cr_assert_eq(m->call(ctx, 0, dims, in, out), SY_OK, "%s: call", r->what);
  for (size_t i = 0; i < r->want->n; i++) {
    size_t n = (size_t)type_bytes(r->p->module, &graph_value(g, g->output.at[i].val)->type);
    cr_expect(!memcmp(out[i], want[i], n), "%s, output %s, %s through %s: not the bits of the interpreter", r->what,
              g->output.at[i].name, isa, way);
  }
  free(arena);
  sy_map_close(&map);
}

// Has it a read that is no operand of its write by itself?
static bool run_random(uint32_t seed, const char *dir, unsigned with) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  Module *m = module_new(&a, &names, &d, "random");
  Graph *g = random_states(m, seed);
  const char *why = NULL, *what = arena_printf(&a, "seed %u", seed);
  cr_assert(module_verify(m, &why), "%s: %s\n%s", what, why, printed(m, &a));
  cr_expect_str_eq(printed(good(&a, printed(m, &a)), &a), printed(m, &a));
  bool ordered = strstr(printed(m, &a), " after ");
  const Target *t[MAX_TARGETS];
  size_t n = host_targets(t);
  int64_t dims[MAX_DIMS] = {BATCH};
  Want want;
  reference(&a, g, dims, ROWS - 1, &want);
  Run r = {.a = &a, .p = lower_for(m, t, n), .dims = dims, .want = &want, .what = what};
  for (size_t k = 0; k < r.p->ntarget; k++) compare(r.p, 0, k, pack_all(r.p, &a), dims, &want, what, 1e-3);
  ways_run(&r, dir, with, seed, compare_bits);
  arena_free(&a);
  return ordered;
}

Test(effects, random_graphs, .timeout = 3000) {
  Arena a = {0};
  unsigned all = 0, ordered = 0;
  const char *dir = ways_folder(&a, &all);
  for (uint32_t seed = 1; seed <= GRAPHS; seed++)
    ordered += run_random(seed, dir, seed % EVERY_C ? 0 : all & (1u << seed / EVERY_C % COMPILERS));
  cr_expect(ordered > GRAPHS / 4, "only %u graphs say what comes before a write", ordered);
  ways_remove(dir);
  arena_free(&a);
}

// generates.c: see generates.h.
//
//   static const sy_port vit__info_0_step_in[] = {{1, 0}, {3, 0}, {6, 3}};
//   static const sy_generate vit__info_generate[] = {{"caption", "prompt", 0, 1, 0, 1, vit__info_0_start_in, ..}};
#include "generates.h"

#include "emit_model.h"

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), "switchyard.h lists them in our order")
SAME(ROLE_data, SY_ROLE_DATA);
SAME(ROLE_words, SY_ROLE_WORDS);
SAME(ROLE_last, SY_ROLE_LAST);
SAME(ROLE_at, SY_ROLE_AT);
SAME(ROLE_scores, SY_ROLE_SCORES);
SAME(ROLE_state, SY_ROLE_STATE);
SAME(ROLE_kept, SY_ROLE_KEPT);
SAME(ROLE_given, SY_ROLE_GIVEN);
SAME(ROLE_param, SY_ROLE_PARAM);
SAME(ROLE_COUNT, SY_ROLE_PARAM + 1);
SAME(RULE_next_word, SY_RULE_NEXT_WORD);
SAME(RULE_masked_word, SY_RULE_MASKED_WORD);
SAME(RULE_COUNT, SY_RULE_MASKED_WORD + 1);

static size_t route_of(const Program *p, const Graph *g) {
  size_t i = 0;
  while (i < p->route.n && p->route.at[i].graph != g) i++;
  return i;
}

static const sy_port *ports_of(Arena *a, const Port *list, size_t n) {
  sy_port *out = ARENA_ARRAY(a, sy_port, n + 1);
  for (size_t i = 0; i < n; i++) out[i] = (sy_port){(unsigned)list[i].role, list[i].pair};
  return out;
}

sy_generate *program_generates(const Program *p, Arena *a, size_t *n) {
  const Module *m = p->module;
  sy_generate *all = ARENA_ARRAY(a, sy_generate, m->generate.n + 1);
  *n = 0;
  for (size_t i = 0; i < m->generate.n; i++) {
    const Generate *x = &m->generate.at[i];
    size_t start = route_of(p, x->start), step = x->step ? route_of(p, x->step) : p->route.n;
    if (start == p->route.n || step == p->route.n) continue;
    const SearchOptions *o = &x->option;
    all[(*n)++] = (sy_generate){.name = x->name,
                                .prompt = x->prompt,
                                .rule = (unsigned)x->rule,
                                .width = (unsigned)rule_info[x->rule].width,
                                .start = (unsigned)start,
                                .step = (unsigned)step,
                                .start_in = ports_of(a, x->start->input.at, x->start->input.n),
                                .start_out = ports_of(a, x->start->output.at, x->start->output.n),
                                .step_in = ports_of(a, x->step->input.at, x->step->input.n),
                                .step_out = ports_of(a, x->step->output.at, x->step->output.n),
                                .start_id = o->start,
                                .mask_id = o->mask,
                                .end_id = o->end,
                                .pad_id = o->pad,
                                .beams = o->beams,
                                .longest = o->longest,
                                .shortest = o->shortest,
                                .length_penalty = o->length_penalty,
                                .repetition_penalty = o->repetition_penalty};
  }
  return all;
}

static void emit_ports(const sy_port *port, size_t n, const char *type, const char *own, size_t at, const char *what,
                       Buf *out) {
  buf_printf(out, "static const %s_port %s_info_%zu_%s[] = {", type, own, at, what);
  for (size_t i = 0; i < n; i++) buf_printf(out, "%s{%u, %u}", i ? ", " : "", port[i].role, port[i].pair);
  buf_puts(out, "};\n");
}

static void emit_text(Buf *out, const char *s) {
  if (s)
    emit_string(out, s);
  else
    buf_puts(out, "NULL");
}

static void emit_generate(const sy_generate *x, const char *own, size_t at, Buf *out) {
  buf_puts(out, "    {");
  emit_text(out, x->name);
  buf_puts(out, ", ");
  emit_text(out, x->prompt);
  buf_printf(out, ", %u, %u, %u, %u,\n     ", x->rule, x->width, x->start, x->step);
  static const char *const what[] = {"start_in", "start_out", "step_in", "step_out"};
  for (int k = 0; k < 4; k++) buf_printf(out, "%s_info_%zu_%s, ", own, at, what[k]);
  const int64_t number[] = {x->start_id, x->mask_id, x->end_id, x->pad_id, x->beams, x->longest, x->shortest};
  buf_puts(out, "\n     ");
  for (size_t k = 0; k < sizeof number / sizeof *number; k++) buf_printf(out, "%lld, ", (long long)number[k]);
  buf_printf(out, "%.17g, %.17g},\n", x->length_penalty, x->repetition_penalty);
}

size_t emit_generates(const Program *p, const char *type, const char *own, Buf *out) {
  Arena a = {0};
  size_t n;
  const sy_generate *all = program_generates(p, &a, &n);
  for (size_t i = 0; i < n; i++) {
    const Graph *s = p->route.at[all[i].start].graph, *t = p->route.at[all[i].step].graph;
    emit_ports(all[i].start_in, s->input.n, type, own, i, "start_in", out);
    emit_ports(all[i].start_out, s->output.n, type, own, i, "start_out", out);
    emit_ports(all[i].step_in, t->input.n, type, own, i, "step_in", out);
    emit_ports(all[i].step_out, t->output.n, type, own, i, "step_out", out);
  }
  if (n) buf_printf(out, "static const %s_generate %s_info_generate[] = {\n", type, own);
  for (size_t i = 0; i < n; i++) emit_generate(&all[i], own, i, out);
  if (n) buf_puts(out, "};\n");
  arena_free(&a);
  return n;
}

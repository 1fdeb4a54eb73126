// generates.c: see generates.h.
#include "generates.h"

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
SAME(ROLE_next, SY_ROLE_NEXT);
SAME(ROLE_gradient, SY_ROLE_GRADIENT);
SAME(ROLE_noise, SY_ROLE_NOISE);
SAME(ROLE_COUNT, SY_ROLE_NOISE + 1);
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

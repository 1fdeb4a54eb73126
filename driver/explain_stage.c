// explain_stage.c: the stages of training in `syc explain`: what is trained, by what, on how much.
//
//   stage pairs from words  # pictures with their texts
//       objective  pretrain
//       trained    only "*mlp_text*", "*norm2_text*"
//       optimiser  adamw_hf, lr 0.0002, decay 0.01; schedule linear
//       length     200000 steps, batch 1024
//       made       text mlm_labels: mask_words
#include "explain.h"

static const char *names_text(Arena *a, const char *const *name, size_t n) {
  const char *all = "";
  for (size_t i = 0; i < n; i++) all = arena_printf(a, "%s%s%s", all, i ? " " : "", name[i]);
  return all;
}

static const char *objectives_text(Arena *a, const Stage *s) {
  const char *all = "";
  for (size_t i = 0; i < s->objective.n; i++) {
    const StageObjective *o = &s->objective.at[i];
    all = arena_printf(a, "%s%s%s", all, i ? ", " : "", o->name);
    if (o->weight != 1) all = arena_printf(a, "%s times %g", all, o->weight);
  }
  return all;
}

static const char *trained_text(Arena *a, const Stage *s) {
  const char *all = "";
  for (size_t i = 0; i < s->pattern.n; i++) {
    const StagePattern *p = &s->pattern.at[i];
    static const char *const word[] = {
        [PATTERN_freeze] = "not", [PATTERN_only] = "only", [PATTERN_adapt] = "adapters of"};
    bool again = i && p[-1].kind == p->kind && p[-1].adapter.rank == p->adapter.rank;
    const char *of = p->kind == PATTERN_adapt ? arena_printf(a, " rank %lld", (long long)p->adapter.rank) : "";
    all = arena_printf(a, "%s%s%s%s%s\"%s\"", all, i ? ", " : "", again ? "" : word[p->kind], again ? "" : of,
                       again ? "" : " ", p->glob);
  }
  return *all ? all : "all weights";
}

static const char *length_text(Arena *a, const Stage *s) {
  if (s->steps) return arena_printf(a, "%llu steps", (unsigned long long)s->steps);
  if (s->epochs > 0) return arena_printf(a, "%g epochs", s->epochs);
  if (s->schedule.steps) return arena_printf(a, "%llu steps", (unsigned long long)s->schedule.steps);
  return s->schedule.epochs > 0 ? arena_printf(a, "%g epochs", s->schedule.epochs) : "not said";
}

static void print_stage(Arena *a, const Stage *s) {
  putchar('\n');
  text_line(stdout, "stage %s%s%s%s%s", s->name, s->from ? " from " : "", s->from ? s->from : "",
            *s->about ? "  # " : "", s->about);
  text_line(stdout, "    objective  %s", objectives_text(a, s));
  text_line(stdout, "    trained    %s", trained_text(a, s));
  if (s->optimiser)
    text_line(stdout, "    optimiser  %s, lr %g, decay %g; schedule %s", s->optimiser, s->hyper.lr, s->hyper.decay,
              stage_schedule_name(s->schedule.kind));
  text_line(stdout, "    length     %s%s", length_text(a, s),
            s->batch ? arena_printf(a, ", batch %llu", (unsigned long long)s->batch) : "");
  for (size_t i = 0; i < s->input.n; i++)
    text_line(stdout, "    made       %s: %s", names_text(a, s->input.at[i].name, s->input.at[i].n),
              s->input.at[i].from.call->name);
}

void explain_stages(const Facts *f) {
  const Module *m = f->program->module;
  for (size_t i = 0; i < m->stage.n; i++) print_stage(&f->s->arena, &m->stage.at[i]);
}

static void put_stage(Json *j, const Stage *s) {
  json_object(j, NULL);
  json_string(j, "name", s->name);
  if (s->from) json_string(j, "from", s->from);
  json_string(j, "about", s->about);
  json_array(j, "objectives");
  for (size_t i = 0; i < s->objective.n; i++) {
    json_object(j, NULL);
    json_string(j, "name", s->objective.at[i].name);
    json_double(j, "weight", s->objective.at[i].weight);
    json_end(j);
  }
  json_end(j);
  if (s->optimiser) {
    json_string(j, "optimiser", s->optimiser);
    json_double(j, "lr", s->hyper.lr);
    json_double(j, "decay", s->hyper.decay);
    json_string(j, "schedule", stage_schedule_name(s->schedule.kind));
  }
  if (s->steps || s->schedule.steps) json_unsigned(j, "steps", s->steps ? s->steps : s->schedule.steps);
  if (s->epochs > 0 || s->schedule.epochs > 0) json_double(j, "epochs", s->epochs > 0 ? s->epochs : s->schedule.epochs);
  if (s->batch) json_unsigned(j, "batch", s->batch);
  json_end(j);
}

void explain_stages_json(const Facts *f, Json *j) {
  const Module *m = f->program->module;
  json_array(j, "stages");
  for (size_t i = 0; i < m->stage.n; i++) put_stage(j, &m->stage.at[i]);
  json_end(j);
}

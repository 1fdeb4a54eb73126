// stage_says.c: what a stage says of a step and of a parameter: how long it goes on, its learning rate, its decay,
// whether it is trained.
#include "stage.h"

#include "common/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Steps of a length, 0: nothing says it.
static double length_of(uint64_t steps, double epochs, double per) {
  return steps ? (double)steps : floor(epochs * per + 0.5);
}

static double schedule_length(const Stage *s, double per) {
  double own = length_of(s->schedule.steps, s->schedule.epochs, per);
  return own > 0 ? own : length_of(s->steps, s->epochs, per);
}

uint64_t stage_length(const Stage *s, uint64_t steps_per_epoch) {
  double per = (double)steps_per_epoch, own = length_of(s->steps, s->epochs, per);
  return (uint64_t)(own > 0 ? own : schedule_length(s, per));
}

static double risen(ScheduleRise rise, double i, double n) {
  if (rise == RISE_one) return (i + 1) / n;
  if (rise == RISE_closed) return n > 1 ? i / (n - 1) : 1; // numpy.linspace
  return i / n;
}

double stage_rate(const Stage *s, uint64_t step, uint64_t steps_per_epoch) {
  const StageSchedule *c = &s->schedule;
  const double per = steps_per_epoch ? (double)steps_per_epoch : 1, lr = s->hyper.lr, length = schedule_length(s, per);
  const double epoch = floor((double)step / per);
  const bool epochs = c->by_epoch && c->warmup_epochs > 0; // the warm-up moves by whole epochs
  // what counts up, the warm-up and the end in the same unit
  double at = c->by_epoch ? epoch : (double)step, end = c->by_epoch ? length / per : length;
  double warm = c->warmup < 1 ? floor(c->warmup * length) : c->warmup, behind = 0;
  if (c->warmup_epochs > 0) warm = epochs ? c->warmup_epochs : floor(c->warmup_epochs * per + 0.5);
  // ALBEF sets the rate behind a step, so stairs are one step late; its warm-up and BLIP's end with the first epoch
  double i = epochs ? epoch : (double)step;
  if (c->stairs > 1) i = step ? (double)((step - 1) / c->stairs * c->stairs) : 0;
  if (i < warm && (epochs || !c->by_epoch || epoch == 0)) return c->from + (lr - c->from) * risen(c->rise, i, warm);
  if (!c->whole && (epochs || !c->by_epoch)) behind = warm;
  double part = end > behind ? (at - behind) / (end - behind) : 0;
  part = part < 0 ? 0 : part > 1 ? 1 : part;
  switch (c->kind) {
  case SCHEDULE_linear: return c->to + (lr - c->to) * (1 - part);
  case SCHEDULE_cosine: return c->to + 0.5 * (lr - c->to) * (1 + cos(3.14159265358979323846 * part));
  case SCHEDULE_poly: return c->to + (lr - c->to) * pow(1 - part, c->power);
  case SCHEDULE_exponential: return fmax(c->to, lr * pow(c->rate, at - behind));
  case SCHEDULE_constant: break;
  }
  return lr;
}

static const StagePattern *last_match(const StagePattern *pattern, size_t n, const char *name) {
  while (n > 0 && !text_matches(pattern[n - 1].glob, name)) n--;
  return n ? &pattern[n - 1] : NULL;
}

bool stage_patterns_train(const StagePattern *pattern, size_t n, const char *name) {
  bool trained = true;
  for (size_t i = 0; i < n; i++) trained = trained && pattern[i].kind == PATTERN_freeze; // others are named
  const StagePattern *last = last_match(pattern, n, name);
  return last ? last->kind == PATTERN_only : trained;
}

const StagePattern *stage_patterns_adapt(const StagePattern *pattern, size_t n, const char *name) {
  const StagePattern *last = last_match(pattern, n, name);
  return last && last->kind == PATTERN_adapt ? last : NULL;
}

bool stage_trains(const Stage *s, const char *name) {
  return stage_patterns_train(s->pattern.at, s->pattern.n, name);
}

static bool in_globs(const StageGlob *glob, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (text_matches(glob[i].glob, name)) return true;
  return false;
}

int64_t stage_layer(const char *pattern, const char *name) {
  const char *hole = strstr(pattern, "{i}");
  char glob[512];
  if (!hole) return -1;
  for (const char *c = name; *c;) {
    size_t digits = strspn(c, "0123456789");
    // the number in the place of {i}: does the whole name fit then?
    int n = digits && digits < 10
                ? snprintf(glob, sizeof glob, "%.*s%.*s%s", (int)(hole - pattern), pattern, (int)digits, c, hole + 3)
                : 0;
    if (n > 0 && (size_t)n < sizeof glob && text_matches(glob, name)) return strtoll(c, NULL, 10);
    c += digits ? digits : 1;
  }
  return -1;
}

StageShare stage_group(const Stage *s, const char *name, int rank) {
  StageShare x = {1, s->hyper.decay};
  for (size_t i = 0; i < s->group.n; i++) {
    const StageGroup *g = &s->group.at[i];
    if (!(g->rank >= 0 && g->rank == rank) && !in_globs(g->glob, g->nglob, name)) continue;
    if (g->has_decay) x.decay = g->decay;
    if (g->has_lr) x.lr = g->lr;
  }
  const StageLayers *y = &s->layers;
  if (!y->layer.glob) return x;
  int64_t layer = stage_layer(y->layer.glob, name);
  if (in_globs(y->first, y->nfirst, name))
    x.lr *= pow(y->scale, (double)(y->depth + 1));
  else if (layer >= 0 && layer < y->depth)
    x.lr *= pow(y->scale, (double)(y->depth - layer));
  return x;
}

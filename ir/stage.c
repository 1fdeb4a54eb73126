// stage.c: the lines of a `train` stage checked against stage.def, and the record they make (what that says:
// stage_says.c).
//
// Invariant: a line that is reported makes stage_take false; all lines are looked at, so that one run reports several
// mistakes. Lines may come from any text: every list that is walked here is bounded by its text.
#include "stage.h"

#include "common/text.h"
#include "ir_lex.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* tables
 * ---------------------------------------------------------------------------------------------------------------- */

enum { ONCE, MANY };
const StageWordInfo stage_word[STAGE_WORD_COUNT] = {
#define STAGE_WORD(word, often, doc) [STAGE_##word] = {#word, often, doc},
#include "stage.def"
};

enum CallId { // places in stage_call
#define OPTIMISER(name, id, hyper, doc) C_##name,
#include "optimisers.def"
#undef OPTIMISER
#define STAGE_CALL(name, family, least, most, doc) C_##name,
#include "stage.def"
  C_COUNT
};
#define TO(name) (1u << C_##name)
enum { ADAM, SGD };
enum { // optimisers by their hyper-parameters
#define OPTIMISER(name, id, hyper, doc) +((hyper) == ADAM ? TO(name) : 0)
  ADAM_CALLS = 0
#include "optimisers.def"
  ,
#undef OPTIMISER
#define OPTIMISER(name, id, hyper, doc) +((hyper) == SGD ? TO(name) : 0)
  SGD_CALLS = 0
#include "optimisers.def"
#undef OPTIMISER
};

const StageCall stage_call[] = {
#define OPTIMISER(name, id, hyper, doc) {#name, FAMILY_OPTIMISER, 0, 0, doc},
#include "optimisers.def"
#undef OPTIMISER
#define STAGE_CALL(name, family, least, most, doc) {#name, FAMILY_##family, least, most, doc},
#include "stage.def"
};
const size_t stage_call_count = sizeof stage_call / sizeof *stage_call;

#define ADAM ADAM_CALLS
#define SGD SGD_CALLS
#define OPTIMISERS (ADAM_CALLS | SGD_CALLS)
#define SCHEDULES (TO(constant) | TO(linear) | TO(cosine) | TO(poly) | TO(exponential))
const StageParam stage_param[] = {
#define STAGE_ARG(name, kind, least, most, absent, words, calls, doc)                                                  \
  {#name, PARAM_##kind, least, most, absent, words, calls, doc},
#include "stage.def"
};
#undef ADAM
#undef SGD
const size_t stage_param_count = sizeof stage_param / sizeof *stage_param;

static const char *const family_name[] = {"optimiser", "schedule", "sampler"};
static const char *const schedule_name[] = {"constant", "linear", "cosine", "poly", "exponential"};
static const char *const rise_name[] = {"zero", "one", "closed"};
static const char measures[] = " accuracy vqa recall words ";

StageWord stage_word_by_name(const char *name) {
  int w = 0;
  while (w < STAGE_WORD_COUNT && strcmp(stage_word[w].name, name) != 0) w++;
  return (StageWord)w;
}

const char *stage_schedule_name(ScheduleKind k) {
  return schedule_name[k];
}

const StageCall *stage_call_by_name(const char *name, StageFamily family) {
  for (size_t i = 0; i < stage_call_count; i++)
    if (stage_call[i].family == family && !strcmp(stage_call[i].name, name)) return &stage_call[i];
  return NULL;
}

const StageValue *stage_value(const StageUse *u, const char *param) {
  for (size_t i = 0; i < u->n; i++)
    if (!strcmp(u->param[i]->name, param)) return &u->value[i];
  ICE("%s has no parameter '%s'", u->call ? u->call->name : "nothing", param);
}

double stage_number(const StageUse *u, const char *param) {
  return stage_value(u, param)->number;
}

/* values
 * ---------------------------------------------------------------------------------------------------------------- */

typedef struct Take {
  Arena *a;
  Diag *diag;
  Stage *s;
  const StageLine *line;
  bool ok;
} Take;

#define FAIL(t, at, ...) ((t)->ok = false, diag_error((t)->diag, "E0140", (at), __VA_ARGS__))
#define OUT_OF_RANGE(t, at, ...) ((t)->ok = false, diag_error((t)->diag, "E0141", (at), __VA_ARGS__))

static bool is_whole(double x) {
  return x == floor(x) && fabs(x) <= 9007199254740992.0;
}

// Has the value the kind of p and lies it in its range? False after reporting.
static bool check_number(Take *t, const char *name, const StageValue *v, bool whole, double least, double most) {
  if (v->kind != SV_NUMBER || (whole && !is_whole(v->number))) {
    FAIL(t, v->span, "'%s' is %s", name, whole ? "a whole number" : "a number");
    return false;
  }
  if (v->number >= least && v->number <= most) return true;
  OUT_OF_RANGE(t, v->span, "'%s' is %g, must be in %g..%g", name, v->number, least, most);
  return false;
}

static bool check_list(Take *t, const StageParam *p, const StageValue *v) {
  size_t want = p->words[0] == '*' ? v->n : (size_t)(p->words[0] - '0');
  bool may_be_empty = p->absent && !strcmp(p->absent, "[]");
  if (v->kind != SV_LIST || (v->n != want && !(may_be_empty && !v->n))) {
    FAIL(t, v->span, "'%s' is a list of %s%s", p->name, p->words[0] == '*' ? "" : arena_printf(t->a, "%zu ", want),
         p->kind == PARAM_COUNTS ? "whole numbers" : "numbers");
    return false;
  }
  for (size_t i = 0; i < v->n; i++)
    if (!check_number(t, p->name, &v->item[i].value, p->kind == PARAM_COUNTS, p->least, p->most)) return false;
  return true;
}

static bool check_value(Take *t, const StageParam *p, const StageValue *v) {
  switch (p->kind) {
  case PARAM_REAL:
  case PARAM_COUNT: return check_number(t, p->name, v, p->kind == PARAM_COUNT, p->least, p->most);
  case PARAM_TRUTH:
    if (v->kind == SV_TRUTH) return true;
    FAIL(t, v->span, "'%s' is true or false", p->name);
    return false;
  case PARAM_CHOICE:
    if (v->kind == SV_WORD && word_in(arena_printf(t->a, " %s ", p->words), v->text)) return true;
    diag_hint(t->diag, FAIL(t, v->span, "'%s' is one of some words", p->name), "the words are %s", p->words);
    return false;
  case PARAM_NAME:
    if (v->kind == SV_WORD || (v->kind == SV_TEXT && !v->text[0])) return true;
    FAIL(t, v->span, "'%s' is the name of an input", p->name);
    return false;
  case PARAM_REALS:
  case PARAM_COUNTS: return check_list(t, p, v);
  }
  return false;
}

// The value that counts where a page says nothing.
static StageValue absent_value(Take *t, const StageParam *p, Span at) {
  Intern names = {.arena = t->a};
  IrLex l;
  StageValue v;
  irlex_init(&l, p->absent, strlen(p->absent), 0, &names, t->diag);
  CHECK(stage_parse_value(t->a, &l, &v));
  v.span = at;
  return v;
}

/* calls
 * ----------------------------------------------------------------------------------------------------------------- */

static const StageCall *find_call(Take *t, const StageValue *v, StageFamily family) {
  const StageCall *c = stage_call_by_name(v->text, family);
  if (c) return c;
  const char *best = NULL;
  size_t dist = 0;
  Buf all = {0};
  for (size_t i = 0; i < stage_call_count; i++) {
    if (stage_call[i].family != family) continue;
    near_name(v->text, stage_call[i].name, &best, &dist);
    buf_printf(&all, "%s%s", all.n ? " " : "", stage_call[i].name);
  }
  Diagnostic *g = FAIL(t, v->span, "there is no %s '%s'", family_name[family], v->text);
  if (best)
    diag_hint(t->diag, g, "did you mean '%s'?", best);
  else
    diag_hint(t->diag, g, "there are %s", all.s);
  buf_free(&all);
  return NULL;
}

static const StageParam *param_named(Take *t, const StageUse *u, const StageValue *call, const StageArg *x) {
  const char *best = NULL;
  size_t dist = 0;
  Buf all = {0};
  for (size_t i = 0; i < u->n; i++) {
    if (!strcmp(u->param[i]->name, x->name)) {
      buf_free(&all);
      return u->param[i];
    }
    near_name(x->name, u->param[i]->name, &best, &dist);
    buf_printf(&all, "%s%s", i ? " " : "", u->param[i]->name);
  }
  Diagnostic *g = FAIL(t, x->value.span, "%s has no '%s'", call->text, x->name);
  if (best)
    diag_hint(t->diag, g, "did you mean '%s'?", best);
  else
    diag_hint(t->diag, g, "it has %s", all.s);
  buf_free(&all);
  return NULL;
}

// A call with all its parameters. False after reporting.
static bool take_use(Take *t, const StageValue *v, StageFamily family, StageUse *u) {
  const StageCall *c = find_call(t, v, family);
  if (!c) return false;
  uint64_t bit = (uint64_t)1 << (c - stage_call);
  size_t n = 0;
  const StageParam **param = ARENA_ARRAY(t->a, const StageParam *, stage_param_count);
  StageValue *value = ARENA_ARRAY(t->a, StageValue, stage_param_count);
  bool *said = ARENA_ARRAY(t->a, bool, stage_param_count);
  for (size_t i = 0; i < stage_param_count; i++)
    if (stage_param[i].calls & bit) param[n++] = &stage_param[i];
  *u = (StageUse){c, param, value, n};
  bool ok = true;
  for (size_t i = 0; i < v->n; i++) {
    const StageArg *x = &v->item[i];
    size_t k = 0;
    const StageParam *p = x->name ? param_named(t, u, v, x) : i < n ? param[i] : NULL;
    if (!p && !x->name) FAIL(t, x->value.span, "%s has no argument number %zu", v->text, i + 1);
    if (!p) return false;
    while (param[k] != p) k++;
    if (said[k]) FAIL(t, x->value.span, "'%s' is said twice", p->name);
    ok = check_value(t, p, &x->value) && !said[k] && ok;
    said[k] = true;
    value[k] = x->value;
  }
  for (size_t k = 0; k < n; k++) {
    if (said[k]) continue;
    if (!param[k]->absent) {
      diag_hint(t->diag, FAIL(t, v->span, "%s needs '%s'", v->text, param[k]->name), "%s", param[k]->doc);
      return false;
    }
    value[k] = absent_value(t, param[k], v->span);
  }
  return ok;
}

static size_t choice(const StageUse *u, const char *param, const char *const *name, size_t n) {
  size_t i = 0;
  while (i + 1 < n && strcmp(name[i], stage_value(u, param)->text) != 0) i++;
  return i;
}

/* lines
 * ----------------------------------------------------------------------------------------------------------------- */

typedef void TakeLine(Take *t, const StageLine *l);

static const char *word_of(const StageLine *l) {
  return stage_word[l->word].name;
}

// The line's only argument, without a name; NULL after reporting.
static const StageValue *only_value(Take *t, const StageLine *l, const char *what) {
  if (l->narg == 1 && !l->arg[0].name && !l->nmore) return &l->arg[0].value;
  FAIL(t, l->span, "'%s' is followed by %s", word_of(l), what);
  return NULL;
}

static double one_number(Take *t, const StageLine *l, bool whole, double least, double most) {
  const StageValue *v = only_value(t, l, "a number");
  return v && check_number(t, word_of(l), v, whole, least, most) ? v->number : 0;
}

static const double MOST_COUNT = 1e15;

static void take_steps(Take *t, const StageLine *l) {
  t->s->steps = (uint64_t)one_number(t, l, true, 1, MOST_COUNT);
}
static void take_epochs(Take *t, const StageLine *l) {
  t->s->epochs = one_number(t, l, false, 1e-6, 1e9);
}
static void take_batch(Take *t, const StageLine *l) {
  t->s->batch = (uint64_t)one_number(t, l, true, 1, 1e9);
}
static void take_micro(Take *t, const StageLine *l) {
  t->s->micro = (uint64_t)one_number(t, l, true, 1, 1e9);
}
static void take_accumulate(Take *t, const StageLine *l) {
  t->s->accumulate = (uint64_t)one_number(t, l, true, 1, 1e9);
}
static void take_clip(Take *t, const StageLine *l) {
  t->s->clip = one_number(t, l, false, 1e-12, 1e12);
}

static void take_objective(Take *t, const StageLine *l) {
  if (!l->narg || l->nmore) FAIL(t, l->span, "'objective' is followed by a name, or by names with weights");
  for (size_t i = 0; i < l->narg; i++) {
    const StageArg *x = &l->arg[i];
    StageObjective o = {x->name, 1, x->value.span};
    if (!x->name && x->value.kind == SV_WORD)
      o.name = x->value.text;
    else if (!x->name) {
      FAIL(t, x->value.span, "this is no name of an objective");
      continue;
    } else if (check_number(t, x->name, &x->value, false, 1e-9, 1e9))
      o.weight = x->value.number;
    for (size_t k = 0; k < t->s->objective.n; k++)
      if (!strcmp(t->s->objective.at[k].name, o.name)) FAIL(t, o.span, "the objective '%s' stands here twice", o.name);
    VEC_PUSH(t->a, t->s->objective, o);
  }
}

static void take_given(Take *t, const StageLine *l) {
  for (size_t i = 0; i < l->narg; i++) {
    const StageValue *v = &l->arg[i].value;
    if (l->arg[i].name || v->kind != SV_WORD || l->nmore) {
      FAIL(t, v->span, "'given' is followed by names of inputs");
      return;
    }
    VEC_PUSH(t->a, t->s->given, ((StageGlob){v->text, v->span}));
  }
}

// A glob, or a list of them, pushed to a vector of StageGlob.
typedef VEC(StageGlob) GlobList;
static bool push_globs(Take *t, const StageValue *v, GlobList *out) {
  size_t n = v->kind == SV_LIST ? v->n : 1;
  for (size_t i = 0; i < n; i++) {
    const StageValue *x = v->kind == SV_LIST ? &v->item[i].value : v;
    if (x->kind != SV_TEXT || !x->text[0]) {
      diag_hint(t->diag, FAIL(t, x->span, "a pattern of weight names is text"), "write \"encoder.*\"");
      return false;
    }
    VEC_PUSH(t->a, *out, ((StageGlob){x->text, x->span}));
  }
  return true;
}

static void take_patterns(Take *t, const StageLine *l) {
  GlobList all = {0};
  for (size_t i = 0; i < l->narg; i++) {
    if (l->arg[i].name) FAIL(t, l->arg[i].value.span, "a pattern has no name");
    if (l->arg[i].name || !push_globs(t, &l->arg[i].value, &all)) return;
  }
  if (!l->narg || l->nmore) FAIL(t, l->span, "'%s' is followed by patterns of weight names", word_of(l));
  for (size_t i = 0; i < all.n; i++)
    VEC_PUSH(t->a, t->s->pattern,
             ((StagePattern){.glob = all.at[i].glob,
                             .kind = l->word == STAGE_only ? PATTERN_only : PATTERN_freeze,
                             .span = all.at[i].span}));
}

const char *stage_adapter_problem(Arena *a, const StageAdapter *x) {
  if (x->rank < 1 || x->rank > 65536)
    return arena_printf(a, "a rank of %lld: an adapter has 1 to 65536", (long long)x->rank);
  if (!(x->alpha > 0 && x->alpha <= 1e6))
    return arena_printf(a, "an alpha of %g: it is above 0, 1e6 at most", x->alpha);
  if (!(x->dropout >= 0 && x->dropout < 1))
    return arena_printf(a, "a dropout of %g: it is at least 0 and less than 1", x->dropout);
  return NULL;
}

static void take_adapt(Take *t, const StageLine *l) {
  static const char *const name[] = {"rank", "alpha", "dropout"};
  double value[] = {0, -1, 0};
  GlobList all = {0};
  for (size_t i = 0; i < l->narg; i++)
    if (l->arg[i].name || !push_globs(t, &l->arg[i].value, &all)) {
      if (l->arg[i].name) FAIL(t, l->arg[i].value.span, "a pattern has no name");
      return;
    }
  for (size_t i = 0; i < l->nmore; i++) {
    const StageArg *x = &l->more[i];
    size_t k = 0;
    while (k < 3 && (!x->name || strcmp(name[k], x->name) != 0)) k++;
    if (k == 3) {
      FAIL(t, x->value.span, "'adapt' has 'rank', 'alpha' and 'dropout'");
      return;
    }
    if (!check_number(t, name[k], &x->value, k == 0, 0, 1e6)) return;
    value[k] = x->value.number;
  }
  if (!all.n || value[0] == 0) {
    diag_hint(t->diag, FAIL(t, l->span, "'adapt' says which linears get an adapter, and of which rank"),
              "write adapt \"*.attn.*\": rank = 8");
    return;
  }
  StageAdapter adapter = {(int64_t)value[0], value[1] < 0 ? value[0] : value[1], value[2]};
  const char *problem = stage_adapter_problem(t->a, &adapter);
  if (problem) OUT_OF_RANGE(t, l->span, "%s", problem);
  for (size_t i = 0; i < all.n && !problem; i++)
    VEC_PUSH(t->a, t->s->pattern, ((StagePattern){all.at[i].glob, PATTERN_adapt, adapter, all.at[i].span}));
}

static void take_optimiser(Take *t, const StageLine *l) {
  const StageValue *v = only_value(t, l, "a call");
  StageUse u;
  if (!v) return;
  if (v->kind != SV_CALL) {
    FAIL(t, v->span, "an optimiser is a call: adamw(lr = 1e-4)");
    return;
  }
  if (!take_use(t, v, FAMILY_OPTIMISER, &u)) return;
  StageHyper *h = &t->s->hyper;
  bool adam = TO(adamw) & ADAM_CALLS && ((uint64_t)1 << (u.call - stage_call)) & ADAM_CALLS;
  t->s->optimiser = u.call->name;
  *h = (StageHyper){.lr = stage_number(&u, "lr"), .decay = stage_number(&u, "decay")};
  if (adam) {
    const StageValue *betas = stage_value(&u, "betas");
    h->beta1 = betas->item[0].value.number, h->beta2 = betas->item[1].value.number;
    h->eps = stage_number(&u, "eps");
  } else {
    h->beta1 = stage_number(&u, "momentum");
  }
}

static void take_group(Take *t, const StageLine *l) {
  StageGroup g = {.rank = -1};
  GlobList globs = {0};
  for (size_t i = 0; i < l->narg; i++) {
    const StageArg *x = &l->arg[i];
    if (!x->name && !push_globs(t, &x->value, &globs)) return;
    if (x->name && (strcmp(x->name, "rank") != 0 || !check_number(t, "rank", &x->value, true, 0, 6))) {
      if (strcmp(x->name, "rank") != 0) FAIL(t, x->value.span, "a group is patterns, and rank = N");
      return;
    }
    if (x->name) g.rank = (int)x->value.number;
  }
  for (size_t i = 0; i < l->nmore; i++) {
    const StageArg *x = &l->more[i];
    bool decay = x->name && !strcmp(x->name, "decay"), lr = x->name && !strcmp(x->name, "lr");
    if (!decay && !lr) {
      FAIL(t, x->value.span, "a group sets 'decay', and 'lr', a factor of the stage's");
      return;
    }
    if (!check_number(t, x->name, &x->value, false, 0, decay ? 1 : 1e6)) return;
    if (decay) g.has_decay = true, g.decay = x->value.number;
    if (lr) g.has_lr = true, g.lr = x->value.number;
  }
  if ((!globs.n && g.rank < 0) || !l->nmore) {
    diag_hint(t->diag, FAIL(t, l->span, "a group says which weights and what of them"),
              "write group \"*.bias\", rank = 1: decay = 0");
    return;
  }
  g.glob = globs.at, g.nglob = globs.n;
  VEC_PUSH(t->a, t->s->group, g);
}

static void take_layers(Take *t, const StageLine *l) {
  StageLayers y = {.depth = -1};
  GlobList first = {0};
  const StageValue *v = l->narg == 1 && !l->arg[0].name ? &l->arg[0].value : NULL;
  const char *hole = v && v->kind == SV_TEXT ? strstr(v->text, "{i}") : NULL;
  if (!hole || strchr(hole + 3, '{') || strchr(v->text, '{') != hole) {
    diag_hint(t->diag, FAIL(t, l->span, "'layers' is followed by a pattern with one {i}"),
              "write layers \"blocks.{i}.*\": scale = 0.75, depth = depth, first = [\"patch_embed.*\"]");
    return;
  }
  y.layer = (StageGlob){v->text, v->span};
  for (size_t i = 0; i < l->nmore; i++) {
    const StageArg *x = &l->more[i];
    const char *name = x->name ? x->name : "";
    bool ok;
    if (!strcmp(name, "scale"))
      ok = check_number(t, name, &x->value, false, 1e-3, 1), y.scale = x->value.number;
    else if (!strcmp(name, "depth"))
      ok = check_number(t, name, &x->value, true, 1, 1e6), y.depth = ok ? (int64_t)x->value.number : 0;
    else if (!strcmp(name, "first"))
      ok = push_globs(t, &x->value, &first);
    else
      ok = false, FAIL(t, x->value.span, "'layers' has 'scale', 'depth' and 'first'");
    if (!ok) return;
  }
  if (y.scale == 0 || y.depth < 0) {
    FAIL(t, l->span, "'layers' needs 'scale' and 'depth'");
    return;
  }
  y.first = first.at, y.nfirst = first.n;
  t->s->layers = y;
}

static void take_schedule(Take *t, const StageLine *l) {
  const StageValue *v = only_value(t, l, "a call");
  StageUse u;
  if (!v) return;
  if (v->kind != SV_CALL && v->kind != SV_WORD) {
    FAIL(t, v->span, "a schedule is a call: cosine(warmup = 1000)");
    return;
  }
  if (!take_use(t, v, FAMILY_SCHEDULE, &u)) return;
  size_t kind = 0;
  while (strcmp(schedule_name[kind], u.call->name) != 0) kind++;
  StageSchedule *s = &t->s->schedule;
  *s = (StageSchedule){.kind = (ScheduleKind)kind,
                       .by_epoch = !strcmp(stage_value(&u, "by")->text, "epoch"),
                       .rise = (ScheduleRise)choice(&u, "rise", rise_name, 3),
                       .warmup = stage_number(&u, "warmup"),
                       .warmup_epochs = stage_number(&u, "warmup_epochs"),
                       .stairs = (uint64_t)stage_number(&u, "stairs"),
                       .from = stage_number(&u, "from"),
                       .power = 1,
                       .rate = 1,
                       .steps = (uint64_t)stage_number(&u, "steps"),
                       .epochs = stage_number(&u, "epochs")};
  if (kind != SCHEDULE_constant) s->to = stage_number(&u, "to");
  if (kind != SCHEDULE_constant && kind != SCHEDULE_exponential) s->whole = stage_number(&u, "whole") != 0;
  if (kind == SCHEDULE_poly) s->power = stage_number(&u, "power");
  if (kind == SCHEDULE_exponential) s->rate = stage_number(&u, "rate");
  if (s->warmup > 1 && !is_whole(s->warmup))
    OUT_OF_RANGE(t, v->span, "'warmup' is %g: a number of steps, or a share of all", s->warmup);
  if (s->warmup > 0 && s->warmup_epochs > 0) FAIL(t, v->span, "the warm-up is said in steps and in epochs");
  if (s->steps && s->epochs > 0) FAIL(t, v->span, "the length is said in steps and in epochs");
}

static void take_average(Take *t, const StageLine *l) {
  for (size_t i = 0; i < l->narg; i++) {
    const StageArg *x = &l->arg[i];
    bool named = x->name && !strcmp(x->name, "named");
    if (i == 0 && !x->name) {
      if (check_number(t, "average", &x->value, false, 0, 1)) t->s->average = x->value.number;
    } else if (named && x->value.kind == SV_TEXT && strstr(x->value.text, "{name}") &&
               strcmp(x->value.text, "{name}")) {
      t->s->averaged = x->value.text;
    } else {
      diag_hint(t->diag,
                FAIL(t, x->value.span, "'average' is followed by a rate, and by another name for the averages"),
                "write average 0.9999 as \"{name}_ema\"");
      return;
    }
  }
  if (!l->narg || l->nmore) FAIL(t, l->span, "'average' is followed by a rate");
}

static void take_evaluate(Take *t, const StageLine *l) {
  const char **measure = ARENA_ARRAY(t->a, const char *, l->nmore + 1);
  if (l->narg != 1 || l->arg[0].name || !l->nmore) {
    diag_hint(t->diag, FAIL(t, l->span, "'evaluate' says how often, and what"), "write evaluate every 1000: accuracy");
    return;
  }
  if (check_number(t, "every", &l->arg[0].value, true, 1, MOST_COUNT))
    t->s->evaluate = (uint64_t)l->arg[0].value.number;
  for (size_t i = 0; i < l->nmore; i++) {
    const StageValue *v = &l->more[i].value;
    if (l->more[i].name || v->kind != SV_WORD || !word_in(measures, v->text)) {
      diag_hint(t->diag, FAIL(t, v->span, "this is nothing to evaluate by"), "there are%.*s", (int)sizeof measures - 2,
                measures);
      return;
    }
    measure[t->s->nmeasure++] = v->text;
  }
  t->s->measure = measure;
}

static bool has_input(const Stage *s, const char *name) {
  for (size_t i = 0; i < s->input.n; i++)
    for (size_t k = 0; k < s->input.at[i].n; k++)
      if (!strcmp(s->input.at[i].name[k], name)) return true;
  return false;
}

static void take_input(Take *t, const StageLine *l) {
  const char **name = ARENA_ARRAY(t->a, const char *, l->narg + 1);
  StageInput x = {name, 0, {0}, l->span};
  if (l->nmore != 1 || l->more[0].name || l->more[0].value.kind != SV_CALL || !l->narg) {
    diag_hint(t->diag, FAIL(t, l->span, "this does not say where inputs come from"),
              "write image: augment(crop = [0.5, 1.0])");
    return;
  }
  for (size_t i = 0; i < l->narg; i++) {
    const StageValue *v = &l->arg[i].value;
    bool named = !l->arg[i].name && v->kind == SV_WORD, twice = named && has_input(t->s, v->text);
    for (size_t k = 0; named && k < x.n; k++) twice = twice || !strcmp(name[k], v->text);
    if (!named) FAIL(t, v->span, "this is no name of an input");
    if (twice) FAIL(t, v->span, "where '%s' comes from is said twice", v->text);
    if (!named || twice) return;
    name[x.n++] = v->text;
  }
  if (!take_use(t, &l->more[0].value, FAMILY_SAMPLER, &x.from)) return;
  const StageCall *c = x.from.call;
  if (x.n < c->least || x.n > c->most) {
    FAIL(t, l->span, "%s makes %zu%s input%s, not %zu", c->name, c->least,
         c->most > c->least ? arena_printf(t->a, " to %zu", c->most) : "", c->most == 1 ? "" : "s", x.n);
    return;
  }
  VEC_PUSH(t->a, t->s->input, x);
}

static TakeLine *const take_line[STAGE_WORD_COUNT] = {
    [STAGE_objective] = take_objective, [STAGE_given] = take_given,           [STAGE_only] = take_patterns,
    [STAGE_freeze] = take_patterns,     [STAGE_adapt] = take_adapt,           [STAGE_optimiser] = take_optimiser,
    [STAGE_group] = take_group,         [STAGE_layers] = take_layers,         [STAGE_schedule] = take_schedule,
    [STAGE_steps] = take_steps,         [STAGE_epochs] = take_epochs,         [STAGE_batch] = take_batch,
    [STAGE_micro] = take_micro,         [STAGE_accumulate] = take_accumulate, [STAGE_clip] = take_clip,
    [STAGE_average] = take_average,     [STAGE_evaluate] = take_evaluate,     [STAGE_input] = take_input,
};

bool stage_take(Arena *a, Diag *diag, Stage *s) {
  Take t = {a, diag, s, NULL, true};
  const StageLine *first[STAGE_WORD_COUNT] = {0};
  s->micro = s->accumulate = 1;
  s->schedule = (StageSchedule){.stairs = 1, .power = 1, .rate = 1};
  for (size_t i = 0; i < s->nline; i++) {
    const StageLine *l = &s->line[i];
    if (first[l->word] && !stage_word[l->word].many) {
      Diagnostic *g = FAIL(&t, l->span, "the stage '%s' has two lines '%s'", s->name, word_of(l));
      diag_note(diag, g, first[l->word]->span, "the first one");
      continue;
    }
    first[l->word] = l;
    take_line[l->word](&t, l);
  }
  if (!first[STAGE_objective] && t.ok) {
    Diagnostic *g = FAIL(&t, s->span, "the stage '%s' has no objective", s->name);
    diag_hint(diag, g, "begin it with: objective NAME");
  }
  if (first[STAGE_steps] && first[STAGE_epochs])
    FAIL(&t, first[STAGE_epochs]->span, "the stage '%s' ends after steps and after epochs", s->name);
  if (s->batch && t.ok && s->batch % s->micro)
    OUT_OF_RANGE(&t, first[STAGE_micro]->span, "a batch of %llu does not go into %llu parts",
                 (unsigned long long)s->batch, (unsigned long long)s->micro);
  return t.ok;
}

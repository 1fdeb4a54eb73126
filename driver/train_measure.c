// train_measure.c: what is measured beside the loss on the data of --val, by routes of the page (train.h).
//
//   accuracy  share of samples whose label has the largest score
//   vqa       mean score of the answer that the model gives: what the data say it is worth
//   recall    share of pictures with one of their texts among the nearest 1, 5, 10, and of texts the other way
//             (train_recall.c)
//   words     share of words that have the largest score at their place, given those before or around it
//
// A route fits better the more it has in common with what is trained: 3: it reads the objective's inputs, all but what
// is right; 2: it has the objective's name; 1: it gives what is measured at all.
#include "train_measure.h"

#include <math.h>
#include <string.h>

enum { FIT_ALIKE = 1, FIT_NAME, FIT_INPUTS };

const Port *measure_input(const Graph *g, const char *name) {
  for (size_t i = 0; i < g->input.n; i++)
    if (!strcmp(g->input.at[i].name, name)) return &g->input.at[i];
  return NULL;
}

static bool is_prepared(const Module *m, const char *name, const char *kind) {
  for (size_t i = 0; i < m->prepare.n; i++)
    if (!strcmp(m->prepare.at[i].name, name) && !strcmp(m->prepare.at[i].kind, kind)) return true;
  return false;
}

// The only input of the objective with this type that the route does not read; *all: the route reads no others than the
// objective's.
static const char *rest_of(const Graph *route, const Graph *objective, DType dtype, int rank, bool *all) {
  const char *found = NULL;
  size_t n = 0;
  *all = true;
  for (size_t i = 0; i < route->input.n; i++) *all = *all && measure_input(objective, route->input.at[i].name);
  for (size_t i = 0; i < objective->input.n; i++) {
    const Port *p = &objective->input.at[i];
    const Type *t = &graph_value(objective, p->val)->type;
    if (p->role != ROLE_data || t->dtype != dtype || t->rank != rank || measure_input(route, p->name)) continue;
    found = p->name;
    n++;
  }
  return n == 1 ? found : NULL;
}

static void take(TrainMeasure *x, size_t which, int fit, const Graph *route, const char *target) {
  if (fit <= x->fit[which]) return;
  x->fit[which] = fit;
  x->route[which] = route->name;
  x->target = target;
}

static void fit_to(TrainMeasure *x, const Graph *route, const Graph *objective, DType dtype, int rank) {
  bool all;
  const char *target = rest_of(route, objective, dtype, rank, &all);
  take(x, 0, all && target ? FIT_INPUTS : !strcmp(route->name, objective->name) ? FIT_NAME : FIT_ALIKE, route, target);
}

/* classes
 * --------------------------------------------------------------------------------------------------------------------
 */

static const Type *output_type(const Graph *g, size_t i) {
  return &graph_value(g, g->output.at[i].val)->type;
}

static bool gives_classes(const Module *m, const Graph *route) {
  return output_type(route, 0)->rank == 2 && is_prepared(m, route->output.at[0].name, "labels");
}

static void look_accuracy(TrainMeasure *x, const Module *m, const Graph *route, const Graph *objective) {
  if (gives_classes(m, route)) fit_to(x, route, objective, DT_I32, 1);
}

static void look_vqa(TrainMeasure *x, const Module *m, const Graph *route, const Graph *objective) {
  bool chooses = output_type(route, 0)->rank == 1 && is_prepared(m, route->output.at[0].name, "choices");
  if (chooses || gives_classes(m, route)) fit_to(x, route, objective, DT_F32, 2);
}

size_t measure_largest(const float *x, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

// Which class or answer the first output of a route chooses for row k.
static size_t chosen(const sy_route *r, void *const *out, size_t k) {
  if (r->output[0].rank == 1) return (size_t)((const int32_t *)out[0])[k];
  size_t classes = (size_t)r->output[0].axis[1].bound;
  return measure_largest((const float *)out[0] + k * classes, classes);
}

static void show(TrainEval *e, uint32_t sample, int32_t right, size_t given, double worth) {
  if (e->nshown < TRAIN_SHOWN) e->shown[e->nshown++] = (TrainShown){sample, right, (int32_t)given, worth};
}

static bool count_labels(void *ud, const Batch *b, Arena *a) {
  Measuring *c = ud;
  void **out = train_eval_call(c->e, c->number, b, a);
  const int32_t *label = b->in[c->r->ninput];
  for (size_t k = 0; out && k < b->rows; k++, c->n++) {
    size_t given = chosen(c->r, out, k);
    bool right = (int64_t)given == label[k];
    c->score += right;
    show(c->e, b->sample[k], label[k], given, right);
    if (c->e->confused && label[k] >= 0 && (size_t)label[k] < c->e->classes)
      c->e->confused[(size_t)label[k] * c->e->classes + given]++;
  }
  return out != NULL;
}

static bool count_worth(void *ud, const Batch *b, Arena *a) {
  Measuring *c = ud;
  void **out = train_eval_call(c->e, c->number, b, a);
  const size_t n = (size_t)c->target.axis[1].bound;
  const float *worth = b->in[c->r->ninput];
  for (size_t k = 0; out && k < b->rows; k++, c->n++) {
    size_t answer = chosen(c->r, out, k);
    double score = answer < n ? (double)worth[k * n + answer] : 0;
    c->score += score;
    show(c->e, b->sample[k], -1, answer, score);
  }
  return out != NULL;
}

static sy_dim axis_of(size_t n) {
  return (sy_dim){.constant = n, .dim = -1, .bound = n};
}

static sy_tensor rows_of(const char *name, const char *dtype, const sy_tensor *like, unsigned rank) {
  sy_tensor t = {.name = name, .dtype = dtype, .rank = rank, .elements = 1};
  for (unsigned d = 0; d < rank; d++) t.axis[d] = like->axis[d], t.elements *= like->axis[d].bound;
  t.bytes = t.elements * 4;
  return t;
}

static bool run_count(Measuring *c, TrainEach *each, double *value) {
  const sy_info *info = c->e->run.model->info;
  Arena a = {0};
  sy_tensor *input = ARENA_ARRAY(&a, sy_tensor, c->r->ninput + 1);
  memcpy(input, c->r->input, c->r->ninput * sizeof *input);
  input[c->r->ninput] = c->target;
  BatchWants wants = {input, c->r->ninput + 1, info->dim, info->ndim, info->prepare, info->nprepare};
  bool ok = train_eval_batches(c->e, &wants, 0, each, c);
  *value = c->score / c->n;
  arena_free(&a);
  return ok;
}

static bool run_accuracy(Measuring *c, double *value) {
  size_t classes = (size_t)c->r->output[0].axis[1].bound;
  if (classes <= MOST_CLASSES) {
    c->e->classes = classes;
    c->e->confused = ARENA_ARRAY(&c->e->shown_arena, uint32_t, classes * classes);
  }
  c->target = rows_of(c->x->target ? c->x->target : "labels", "i32", &c->r->output[0], 1);
  return run_count(c, count_labels, value);
}

static bool run_vqa(Measuring *c, double *value) {
  const HostLabels *answers = c->e->options.answers;
  c->target = rows_of("targets", "f32", &c->r->output[0], c->r->output[0].rank);
  if (c->r->output[0].rank == 1) { // it chooses from the list of answers
    size_t n = answers ? answers->count : 1;
    c->target.rank = 2, c->target.axis[1] = axis_of(n), c->target.elements *= n, c->target.bytes *= n;
  }
  return run_count(c, count_worth, value);
}

/* words
 * ----------------------------------------------------------------------------------------------------------------------
 */
static const char *const word_scores[] = {"mlm_logits", "logits"};

static void look_words(TrainMeasure *x, const Module *m, const Graph *route, const Graph *objective) {
  bool reads = false, gives = false, all;
  (void)m;
  for (size_t i = 0; i < route->input.n; i++) {
    const Type *t = &graph_value(route, route->input.at[i].val)->type;
    reads = reads || (t->dtype == DT_I32 && t->rank == 2);
  }
  for (size_t i = 0; i < route->output.n; i++)
    for (size_t k = 0; k < 2; k++)
      gives = gives || (output_type(route, i)->rank == 3 && !strcmp(route->output.at[i].name, word_scores[k]));
  const char *target = reads && gives ? rest_of(route, objective, DT_I32, 2, &all) : NULL;
  if (target && all) take(x, 0, FIT_INPUTS, route, target);
}

// Does the label at a place say what the score at the place before it is of?
static bool is_shifted(const TrainEval *e, const char *target) {
  for (size_t i = 0; i < e->stage->input.n; i++)
    for (size_t k = 0; k < e->stage->input.at[i].n; k++)
      if (!strcmp(e->stage->input.at[i].name[k], target))
        return !strcmp(e->stage->input.at[i].from.call->name, "text_labels");
  return false;
}

static bool count_words(void *ud, const Batch *b, Arena *a) {
  Measuring *c = ud;
  void **out = train_eval_call(c->e, c->number, b, a);
  const sy_tensor *t = &c->r->output[c->output];
  const size_t length = (size_t)t->axis[1].bound, words = (size_t)t->axis[2].bound;
  const size_t now = t->axis[1].dim < 0 ? length : b->dims[t->axis[1].dim] < length ? b->dims[t->axis[1].dim] : length;
  for (size_t k = 0; out && k < b->rows; k++)
    for (size_t i = c->shift; i < now; i++) {
      int32_t label = ((const int32_t *)b->in[c->r->ninput])[k * length + i];
      if (label < 0) continue;
      const float *score = (const float *)out[c->output] + (k * length + i - c->shift) * words;
      c->score += (int64_t)measure_largest(score, words) == label;
      c->n++;
    }
  return out != NULL;
}

static bool run_words(Measuring *c, double *value) {
  for (unsigned k = 2; k-- > 0;)
    for (unsigned i = 0; i < c->r->noutput; i++)
      if (c->r->output[i].rank == 3 && !strcmp(c->r->output[i].name, word_scores[k])) c->output = i;
  c->target = rows_of(c->x->target, "i32", &c->r->output[c->output], 2);
  c->shift = is_shifted(c->e, c->x->target);
  return run_count(c, count_words, value);
}

/* the table
 * ------------------------------------------------------------------------------------------------------------------ */
static const struct MeasureInfo {
  const char *name;
  const char *column[8]; // the first is the one that chooses
  bool itself;           // measured also if nobody asks
  const char *needs;     // for people
  void (*look)(TrainMeasure *x, const Module *m, const Graph *route, const Graph *objective);
  bool (*run)(Measuring *c, double *value);
} measures[MEASURES] = {
    {"accuracy",
     {"accuracy"},
     true,
     "a route whose first output is prepared as labels(..)",
     look_accuracy,
     run_accuracy},
    {"vqa", {"vqa"}, false, "a route whose first output is prepared as labels(..) or choices(..)", look_vqa, run_vqa},
    {"recall",
     {"recall", "recall_i2t_1", "recall_i2t_5", "recall_i2t_10", "recall_t2i_1", "recall_t2i_5", "recall_t2i_10"},
     false,
     "routes with the outputs image_embed and text_embed",
     recall_look,
     recall_run},
    {"words",
     {"words"},
     false,
     "a route with the output logits or mlm_logits, f32[B, L, words], and the objective's inputs, but for its labels",
     look_words,
     run_words},
};

static int measure_named(const char *name, size_t n) {
  for (int i = 0; i < MEASURES; i++)
    if (strlen(measures[i].name) == n && !strncmp(measures[i].name, name, n)) return i;
  return -1;
}

static void want(TrainEval *e, int i, int *first) {
  e->what[i].asked = true;
  if (*first < 0) *first = i;
}

bool measures_wanted(TrainEval *e) {
  const char *list = e->s->opt.measure;
  int first = -1;
  bool by_loss = !list && !e->stage->nmeasure;
  for (const char *at = list; at && *at; at += strspn(at, ",")) {
    size_t n = strcspn(at, ",");
    int i = measure_named(at, n);
    bool loss = n == 4 && !strncmp(at, "loss", n);
    if (i < 0 && !loss)
      return session_fail(e->s, EXIT_USAGE, "--measure %.*s: takes loss, accuracy, vqa, recall and words", (int)n, at),
             false;
    by_loss = by_loss || (loss && first < 0);
    if (!loss) want(e, i, &first);
    at += n;
  }
  for (size_t i = 0; !list && i < e->stage->nmeasure; i++)
    want(e, measure_named(e->stage->measure[i], strlen(e->stage->measure[i])), &first);
  for (int i = 0; i < MEASURES; i++) {
    bool itself = measures[i].itself && !list && !e->stage->nmeasure;
    if (e->what[i].asked || itself) e->what[i].info = &measures[i];
  }
  e->best = by_loss || first < 0 ? MEASURE_LOSS : (size_t)first; // its column is not known yet
  return true;
}

void measures_look(TrainEval *e, const Module *m, const Graph *route, const Graph *const *objective, size_t n) {
  for (size_t i = 0; i < MEASURES; i++)
    for (size_t k = 0; e->what[i].info && k < n; k++) e->what[i].info->look(&e->what[i], m, route, objective[k]);
}

bool measures_found(TrainEval *e) {
  size_t best = e->best;
  e->best = 0;
  for (size_t i = 0; i < MEASURES; i++) {
    TrainMeasure *x = &e->what[i];
    if (!x->info) continue;
    if (!x->route[0] || (!x->asked && x->fit[0] < FIT_INPUTS) || (x->info->run == recall_run && !x->route[1])) {
      if (x->asked)
        return session_fail(e->s, EXIT_USAGE, "--measure %s: the page has no such route: %s", x->info->name,
                            x->info->needs),
               false;
      x->info = NULL;
      continue;
    }
    x->column = e->nmeasure;
    if (i == best) e->best = e->nmeasure + 1;
    for (size_t k = 0; x->info->column[k]; k++) e->measure[e->nmeasure++] = x->info->column[k];
  }
  return true;
}

unsigned measure_route(const TrainEval *e, const char *name) {
  const sy_info *info = e->run.model->info;
  unsigned i = 0;
  while (i < info->nroute && (strcmp(info->route[i].name, name) != 0 || e->program->route.at[i].graph->objective)) i++;
  CHECK(i < info->nroute);
  return i;
}

bool measures_run(TrainEval *e, double *value) {
  arena_free(&e->shown_arena);
  e->nshown = 0, e->confused = NULL;
  for (size_t i = 0; i < MEASURES; i++) {
    const TrainMeasure *x = &e->what[i];
    if (!x->info) continue;
    Measuring c = {.e = e, .x = x, .number = measure_route(e, x->route[0])};
    c.r = &e->run.model->info->route[c.number];
    if (!x->info->run(&c, value + x->column)) return false;
  }
  return true;
}

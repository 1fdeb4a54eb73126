// trainer.c: see trainer.h.
#include "trainer.h"

#include "ckpt/safetensors.h"
#include "codegen/update.h"
#include "runtime/weights_format.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

int optimiser_named(const char *name) {
  for (int o = 0; o < MDL_OPTIMISERS; o++)
    if (!strcmp(update_info[o].name, name)) return o;
  return -1;
}

unsigned optimiser_moments(int o) {
  return o == MDL_SGD ? 1 : 2;
}

bool option_number(Session *s, const char *option, const char *text, double lo, double hi, double *out) {
  char *end;
  if (!text) return true;
  *out = strtod(text, &end);
  if (end != text && !*end && *out >= lo && *out <= hi) return true;
  session_fail(s, EXIT_USAGE, "--%s %s: must be a number from %g to %g", option, text, lo, hi);
  return false;
}

bool optimiser_options(Session *s, int o, sy_hyper *h, double *clip) {
  const Options *opt = &s->opt;
  return option_number(s, "lr", opt->lr, 0, 1e6, &h->lr) && option_number(s, "decay", opt->decay, 0, 1e6, &h->decay) &&
         option_number(s, "beta1", opt->beta1, 0, 1 - 1e-12, &h->beta1) &&
         option_number(s, "beta2", opt->beta2, 0, 1 - 1e-12, &h->beta2) &&
         option_number(s, "eps", opt->eps, o == MDL_SGD ? 0 : FLT_MIN, 1, &h->eps) &&
         option_number(s, "clip", opt->clip, 0, 1e30, clip);
}

const char *trainer_moment(Arena *a, const char *name, unsigned which) {
  return arena_printf(a, "optimizer.%c.%s", which ? 'v' : 'm', name);
}

/* the model at work
 * ---------------------------------------------------------------------------------------------------------- */

static bool fail(Trainer *t, const char *what, sy_status status) {
  return session_fail(t->s, EXIT_WRONG, "%s: %s", what, sy_strerror((int)status)), false;
}

static sy_status interpreted(void *ud, size_t route, const size_t *dims, const void *file, size_t bytes,
                             const void *const *in, void *const *out) {
  const Trainer *t = ud;
  int64_t d[MAX_DIMS];
  const char *err = NULL;
  (void)bytes;
  for (int i = 0; i < MAX_DIMS; i++) d[i] = (int64_t)dims[i];
  const char *data = (const char *)file + sy_weights_data_offset(t->program->weight.n);
  if (program_interpret(t->program, route, 0, data, in, out, d, NULL, NULL, &err)) return SY_OK;
  session_fail(t->s, EXIT_WRONG, "the interpreter refuses the call: %s", err);
  return SY_EINVAL;
}

static bool begin(Trainer *t, const void *weights, size_t bytes) {
  sy_exec exec = {NULL, NULL, 1};
  sy_train_config config = {.abi = SY_ABI_VERSION, .weights = weights, .weights_bytes = bytes};
  config.comm = t->comm, config.calls = t->calls;
  if (t->c->interp || t->call) {
    t->f = train_host(&t->s->arena, t->program, t->call ? t->call : interpreted, t->call ? t->ud : t);
  } else {
    if (!runner_load(&t->run, t->c, t->program)) return false;
    const sy_model *m = t->run.model;
    t->f = m->training ? m->training() : NULL;
    if (!t->f) return fail(t, "the compiled model", SY_EABI);
    t->pool = sy_pool_new(t->c->threads);
    exec = sy_pool_exec(t->pool);
    t->arena_bytes = m->arena_bytes(exec.threads);
    t->arena = sy_memory(t->arena_bytes);
    config.arena = t->arena, config.arena_bytes = t->arena_bytes;
    config.exec = &exec, config.max_isa = t->c->isa;
  }
  t->state_bytes = (size_t)t->f->state_bytes(t->add);
  t->state = sy_memory(t->state_bytes);
  if (!t->state || (!t->arena && config.arena_bytes))
    return session_fail(t->s, EXIT_IO, "no memory for the training: %.1f GB, and %.1f GB between kernels",
                        (double)t->state_bytes / 1e9, (double)t->arena_bytes / 1e9),
           false;
  config.state = t->state, config.state_bytes = t->state_bytes;
  sy_status status = t->f->init(&t->train, &config);
  return status ? fail(t, "the training cannot begin", status) : true;
}

/* from checkpoints
 * ----------------------------------------------------------------------------------------------------------- */

static size_t element_bytes(const TrainingTensor *x) {
  return dtype_info[x->type.dtype].bytes;
}

static size_t tensor_bytes(const Trainer *t, const TrainingTensor *x) {
  return (size_t)type_elements(t->program->module, &x->type) * element_bytes(x);
}

// What an earlier run has left of the optimiser, or zeros; states that no route reads.
static bool take_rest(Trainer *t, Checkpoint *from) {
  const StTensor *step = checkpoint_find(from, "optimizer.step");
  if (step && step->dtype == ST_I32 && step->bytes == 4)
    t->f->set_step(t->train, (uint32_t)check_element(ST_I32, step->data, 0));
  for (size_t i = 0; i < t->training.tensor.n; i++) {
    const TrainingTensor *x = &t->training.tensor.at[i];
    size_t n = (size_t)type_elements(t->program->module, &x->type);
    for (int part = MDL_VALUE; part <= MDL_MOMENT2; part++) {
      bool moment = part == MDL_MOMENT1 || part == MDL_MOMENT2;
      if (moment ? !x->trained : part != MDL_VALUE || x->weight) continue;
      const char *name = moment ? trainer_moment(&t->s->arena, x->name, part == MDL_MOMENT2) : x->name;
      const StTensor *have = checkpoint_find(from, name);
      if (!have || checkpoint_is_new(from, x->name)) continue;
      if ((size_t)st_elements(have) != n || (!moment && kept_dtype(x->type.dtype) != have->dtype))
        return session_fail(t->s, EXIT_WRONG, "%s: not the optimiser's state of this model", name), false;
      float *rows = moment ? malloc(n * sizeof *rows + 1) : NULL;
      bool ok = !moment || (rows && st_to_f32(have, rows, 0, n));
      sy_status status =
          ok ? t->f->put(t->train, x->name, part, rows ? rows : have->data, n * element_bytes(x)) : SY_EINVAL;
      free(rows);
      if (status) return fail(t, name, status);
    }
  }
  return true;
}

bool trainer_open(Trainer *t, Checkpoint *from) {
  Session *s = t->s;
  char *packed = arena_printf(&s->arena, "%s/start", t->c->temp);
  sy_map w = {0};
  t->training = program_training(t->program, &s->arena);
  for (size_t i = 0; i < t->training.tensor.n; i++) {
    const TrainingTensor *x = &t->training.tensor.at[i];
    DType d = x->type.dtype;
    if ((d != DT_F32 && x->trained) || (x->next != MDL__NONE && d != DT_F32 && d != DT_I32 && d != DT_BOOL))
      return session_fail(s, EXIT_WRONG, "%s is %s: f32 weights are trained, states are f32 or i32", x->name,
                          dtype_info[d].name),
             false;
  }
  if (!weights_pack(s, t->program, packed, from)) return false;
  sy_status status = sy_map_open(&w, packed, 0);
  bool ok = status ? fail(t, packed, status) : begin(t, w.data, w.bytes) && take_rest(t, from);
  sy_map_close(&w);
  remove(packed);
  return ok;
}

void trainer_close(Trainer *t) {
  free(t->arena);
  free(t->state);
  free(t->average);
  sy_pool_free(t->pool);
  runner_close(&t->run);
  t->arena = t->state = NULL, t->average = NULL, t->pool = NULL;
}

/* averages
 * -------------------------------------------------------------------------------------------------------------------
 */
static const float *weight_at(const Trainer *t, const TrainingTensor *x) {
  uint64_t data = MDL__TRAIN_HEADER + sy_weights_data_offset(t->program->weight.n);
  return (const float *)(const void *)((const char *)t->state + data + x->weight->offset);
}

static const char *average_name(const Trainer *t, const char *name) {
  const char *at = t->averaged ? strstr(t->averaged, "{name}") : NULL;
  if (!at) return arena_printf(&t->s->arena, "optimizer.average.%s", name);
  return arena_printf(&t->s->arena, "%.*s%s%s", (int)(at - t->averaged), t->averaged, name, at + strlen("{name}"));
}

bool trainer_average(Trainer *t, Checkpoint *from) {
  t->average = malloc(t->training.slots * sizeof *t->average + 1);
  if (!t->average) return session_fail(t->s, EXIT_IO, "no memory for the average of the weights"), false;
  for (size_t i = 0; i < t->training.tensor.n; i++) {
    const TrainingTensor *x = &t->training.tensor.at[i];
    if (!x->trained) continue;
    size_t n = (size_t)type_elements(t->program->module, &x->type);
    const StTensor *have = checkpoint_find(from, average_name(t, x->name));
    memcpy(t->average + x->slot, weight_at(t, x), x->weight->bytes);
    if (!have || checkpoint_is_new(from, x->name)) continue;
    if ((size_t)st_elements(have) != n || have->dtype != ST_F32)
      return session_fail(t->s, EXIT_WRONG, "%s: not an average of this model", have->name), false;
    train_store(t->program->module, x, have->data, t->average + x->slot);
  }
  return true;
}

void trainer_average_move(Trainer *t, double rate) {
  const float keep = (float)rate, rest = (float)(1 - rate);
  for (size_t i = 0; i < t->training.tensor.n; i++) {
    const TrainingTensor *x = &t->training.tensor.at[i];
    if (!x->trained) continue;
    float *a = t->average + x->slot;
    const float *w = weight_at(t, x);
    for (size_t k = 0; k < x->weight->bytes / sizeof *a; k++) a[k] = keep * a[k] + rest * w[k];
  }
}

/* to checkpoints
 * ------------------------------------------------------------------------------------------------------------- */

void *trainer_get(Trainer *t, Arena *a, const TrainingTensor *x, int part) {
  size_t bytes = tensor_bytes(t, x);
  void *rows = arena_alloc(a, bytes + 1);
  if (part == TRAINER_AVERAGE) {
    if (!t->average || !x->trained) return NULL;
    train_rows(t->program->module, x, t->average + x->slot, rows);
    return rows;
  }
  return t->f->get(t->train, x->name, part, rows, bytes) ? NULL : rows;
}

static const TrainingTensor *tensor_named(const Trainer *t, const char *name) {
  for (size_t i = 0; i < t->training.tensor.n; i++)
    if (!strcmp(t->training.tensor.at[i].name, name)) return &t->training.tensor.at[i];
  return NULL;
}

typedef struct Saving {
  Trainer *t;
  StWriter *out;
  StDesc *d;
  const TrainingTensor **of; // by tensor of the file, NULL: of the checkpoint it began with
  const WeightName **name;
  int *part;
  size_t n;
  WeightSource from;
} Saving;

static StDesc *add(Saving *w, const char *name, const Type *type, const TrainingTensor *of, int part) {
  StDesc *d = &w->d[w->n];
  *d = (StDesc){.name = name, .dtype = kept_dtype(type->dtype), .rank = type->rank};
  for (int k = 0; k < type->rank; k++) d->shape[k] = type->dim[k].c;
  w->of[w->n] = of;
  w->part[w->n++] = part;
  return d;
}

// The elements of a tensor of the evaluator in the type of the file.
static const void *written(Arena *a, const Tensor *t, size_t *bytes) {
  StDtype d = kept_dtype(t->dtype);
  *bytes = t->n * st_dtype_size(d);
  if (dtype_info[t->dtype].kind != DK_FLOAT) return t->dtype == DT_BOOL ? (const void *)t->b : t->i;
  float *f = ARENA_ARRAY(a, float, t->n + 1);
  for (size_t k = 0; k < t->n; k++) f[k] = (float)t->f[k];
  void *as = arena_alloc(a, t->n * sizeof *f + 1); // large enough for every type
  st_from_f32(d, f, as, t->n);
  return as;
}

static bool put(Saving *w, size_t i, StError *err) {
  Arena a = {0};
  const char *why = "it cannot be read";
  const void *data = NULL;
  size_t bytes = 0;
  if (w->of[i]) {
    data = trainer_get(w->t, &a, w->of[i], w->part[i]);
    bytes = tensor_bytes(w->t, w->of[i]);
  } else {
    const Type *type = &w->name[i]->type;
    int64_t dim[MAX_RANK];
    for (int k = 0; k < type->rank; k++) dim[k] = type->dim[k].c;
    Tensor x = tensor_new(&a, type->dtype, type->rank, dim);
    if (w->from.get(w->from.ud, w->name[i]->name, type, &x, &why)) data = written(&a, &x, &bytes);
  }
  bool ok = data && st_write_data(w->out, data, bytes, err);
  if (!data) session_fail(w->t->s, EXIT_WRONG, "%s: %s", w->d[i].name, why);
  arena_free(&a);
  return ok;
}

// part: of what is trained.
static void list_weights(Saving *w, const WeightNames *names, int part) {
  for (size_t i = 0; i < names->list.n; i++) {
    const WeightName *x = &names->list.at[i];
    const TrainingTensor *of = tensor_named(w->t, x->name);
    w->name[w->n] = x;
    add(w, x->name, &x->type, of, of && of->trained ? part : MDL_VALUE);
  }
  for (size_t i = 0; i < w->t->training.tensor.n; i++) { // states that are only written
    const TrainingTensor *x = &w->t->training.tensor.at[i];
    if (!weight_names_has(names, x->name)) add(w, x->name, &x->type, x, MDL_VALUE);
  }
}

static void list_rest(Saving *w, int optimiser) {
  for (size_t i = 0; i < w->t->training.tensor.n; i++) {
    const TrainingTensor *x = &w->t->training.tensor.at[i];
    if (!x->trained) continue;
    for (unsigned which = 0; which < optimiser_moments(optimiser); which++)
      add(w, trainer_moment(&w->t->s->arena, x->name, which), &x->type, x, which ? MDL_MOMENT2 : MDL_MOMENT1);
    if (w->t->average) add(w, average_name(w->t, x->name), &x->type, x, TRAINER_AVERAGE);
  }
}

// optimiser -1: the averages in the place of the weights, and nothing of the optimiser.
static bool write_file(Trainer *t, const char *path, int optimiser, Checkpoint *from) {
  Session *s = t->s;
  ArenaMark mark = arena_mark(&s->arena);
  WeightNames names = weight_names_of_module(t->program->module, &s->arena);
  size_t most = names.list.n + 5 * t->training.tensor.n + 1;
  int32_t step = (int32_t)t->f->step(t->train);
  StError err = {""};
  Saving w = {.t = t, .from = checkpoint_source(from)};
  w.d = ARENA_ARRAY(&s->arena, StDesc, most);
  w.of = ARENA_ARRAY(&s->arena, const TrainingTensor *, most);
  w.name = ARENA_ARRAY(&s->arena, const WeightName *, most);
  w.part = ARENA_ARRAY(&s->arena, int, most);
  list_weights(&w, &names, optimiser < 0 ? TRAINER_AVERAGE : MDL_VALUE);
  if (optimiser >= 0) list_rest(&w, optimiser);
  w.d[w.n] = (StDesc){.name = "optimizer.step", .dtype = ST_I32, .rank = 1, .shape = {1}};
  w.out = st_write_begin(path, w.n + 1, w.d, &err);
  bool ok = w.out != NULL;
  for (size_t i = 0; i < w.n && ok; i++) ok = put(&w, i, &err);
  ok = ok && st_write_data(w.out, &step, sizeof step, &err);
  if (ok)
    ok = st_write_end(w.out, &err);
  else if (w.out)
    st_write_abort(w.out);
  if (!ok && !s->exit_code) session_fail(s, EXIT_IO, "%s", err.text);
  arena_reset(&s->arena, mark);
  return ok;
}

bool trainer_save(Trainer *t, const char *path, int optimiser, Checkpoint *from) {
  return write_file(t, path, optimiser, from);
}

bool trainer_save_average(Trainer *t, const char *path, Checkpoint *from) {
  return write_file(t, path, -1, from);
}

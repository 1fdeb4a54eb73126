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
  t->adapter = adapters_of(t->program->module, &s->arena);
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

static bool is_factor(const Trainer *t, const char *name) {
  for (size_t i = 0; i < t->adapter.n; i++)
    if (!strcmp(t->adapter.at[i].a, name) || !strcmp(t->adapter.at[i].b, name)) return true;
  return false;
}

// Of adapters, too, which are no part of the model of the file.
static const char *average_name(const Trainer *t, const TrainingTensor *x) {
  const char *at = t->averaged && !is_factor(t, x->name) ? strstr(t->averaged, "{name}") : NULL;
  if (!at) return arena_printf(&t->s->arena, "optimizer.average.%s", x->name);
  return arena_printf(&t->s->arena, "%.*s%s%s", (int)(at - t->averaged), t->averaged, x->name, at + strlen("{name}"));
}

bool trainer_average(Trainer *t, Checkpoint *from) {
  t->average = malloc(t->training.slots * sizeof *t->average + 1);
  if (!t->average) return session_fail(t->s, EXIT_IO, "no memory for the average of the weights"), false;
  for (size_t i = 0; i < t->training.tensor.n; i++) {
    const TrainingTensor *x = &t->training.tensor.at[i];
    if (!x->trained) continue;
    size_t n = (size_t)type_elements(t->program->module, &x->type);
    const StTensor *have = checkpoint_find(from, average_name(t, x));
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

enum { SCALE_PART = TRAINER_AVERAGE + 1 }; // of an adapter

typedef struct Saved {      // a tensor of the file
  const TrainingTensor *of; // NULL: of the checkpoint it began with
  const WeightName *name;   // there
  int part;
  const Adapter *adapter; // what is merged into it, or its scale; NULL: nothing
} Saved;
typedef struct Saving {
  Trainer *t;
  StWriter *out;
  StDesc *d;
  Saved *tensor;
  size_t n;
  WeightSource from;
} Saving;

static void add(Saving *w, const char *name, const Type *type, Saved x) {
  StDesc *d = &w->d[w->n];
  *d = (StDesc){.name = name, .dtype = kept_dtype(type->dtype), .rank = type->rank};
  for (int k = 0; k < type->rank; k++) d->shape[k] = type->dim[k].c;
  w->tensor[w->n++] = x;
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

static const void *of_checkpoint(Saving *w, Arena *a, const WeightName *name, size_t *bytes, const char **why) {
  const Type *type = &name->type;
  int64_t dim[MAX_RANK];
  for (int k = 0; k < type->rank; k++) dim[k] = type->dim[k].c;
  Tensor x = tensor_new(a, type->dtype, type->rank, dim);
  return w->from.get(w->from.ud, name->name, type, &x, why) ? written(a, &x, bytes) : NULL;
}

static const void *merged(Saving *w, Arena *a, const Saved *x, size_t *bytes, const char **why) {
  const void *base = of_checkpoint(w, a, x->name, bytes, why);
  float *rows = base ? memcpy(arena_alloc(a, *bytes + 1), base, *bytes) : NULL;
  return rows && w->t->f->merge(w->t->train, x->adapter->base, rows, *bytes) ? NULL : rows;
}

static bool put(Saving *w, size_t i, StError *err) {
  Arena a = {0};
  const char *why = "it cannot be read";
  const void *data = NULL;
  const Saved *x = &w->tensor[i];
  float scale;
  size_t bytes = 0;
  if (x->part == SCALE_PART)
    scale = (float)x->adapter->scale, data = &scale, bytes = sizeof scale;
  else if (x->adapter)
    data = merged(w, &a, x, &bytes, &why);
  else if (x->of)
    data = trainer_get(w->t, &a, x->of, x->part), bytes = tensor_bytes(w->t, x->of);
  else
    data = of_checkpoint(w, &a, x->name, &bytes, &why);
  bool ok = data && st_write_data(w->out, data, bytes, err);
  if (!data) session_fail(w->t->s, EXIT_WRONG, "%s: %s", w->d[i].name, why);
  arena_free(&a);
  return ok;
}

// An adapted matrix; `rest`: also what a run goes on from.
static void list_adapted(Saving *w, const WeightName *x, const Adapter *adapter, bool rest) {
  static const Type one = {.dtype = DT_F32, .rank = 1, .dim = {{1, 0, 0}}};
  Arena *a = &w->t->s->arena;
  add(w, x->name, &x->type, (Saved){.name = x, .adapter = adapter});
  if (!rest) return;
  add(w, adapter_kept(a, ADAPTER_base, x->name), &x->type, (Saved){.name = x});
  add(w, adapter_kept(a, ADAPTER_scale, x->name), &one, (Saved){.part = SCALE_PART, .adapter = adapter});
}

// part: of what is trained. rest: with what a run goes on from.
static void list_weights(Saving *w, const WeightNames *names, int part, bool rest) {
  for (size_t i = 0; i < names->list.n; i++) {
    const WeightName *x = &names->list.at[i];
    const TrainingTensor *of = tensor_named(w->t, x->name);
    const Adapter *adapter = adapter_of(&w->t->adapter, x->name);
    if (adapter)
      list_adapted(w, x, adapter, rest);
    else if (!is_adapter_factor(x->value))
      add(w, x->name, &x->type, (Saved){.of = of, .name = x, .part = of && of->trained ? part : MDL_VALUE});
    else if (rest)
      add(w, adapter_kept(&w->t->s->arena, ADAPTER_factor, x->name), &x->type, (Saved){.of = of, .name = x});
  }
  for (size_t i = 0; i < w->t->training.tensor.n; i++) { // states that are only written
    const TrainingTensor *x = &w->t->training.tensor.at[i];
    if (!weight_names_has(names, x->name)) add(w, x->name, &x->type, (Saved){.of = x});
  }
}

static void list_rest(Saving *w, int optimiser) {
  for (size_t i = 0; i < w->t->training.tensor.n; i++) {
    const TrainingTensor *x = &w->t->training.tensor.at[i];
    if (!x->trained) continue;
    for (unsigned which = 0; which < optimiser_moments(optimiser); which++)
      add(w, trainer_moment(&w->t->s->arena, x->name, which), &x->type,
          (Saved){.of = x, .part = which ? MDL_MOMENT2 : MDL_MOMENT1});
    if (w->t->average) add(w, average_name(w->t, x), &x->type, (Saved){.of = x, .part = TRAINER_AVERAGE});
  }
}

// optimiser -1: the averages in the place of the weights, and nothing of the optimiser.
static bool write_file(Trainer *t, const char *path, int optimiser, Checkpoint *from) {
  Session *s = t->s;
  ArenaMark mark = arena_mark(&s->arena);
  WeightNames names = weight_names_of_module(t->program->module, &s->arena);
  size_t most = names.list.n + 2 * t->adapter.n + 5 * t->training.tensor.n + 1;
  int32_t step = (int32_t)t->f->step(t->train);
  StError err = {""};
  Saving w = {.t = t, .from = checkpoint_source(from)};
  w.d = ARENA_ARRAY(&s->arena, StDesc, most);
  w.tensor = ARENA_ARRAY(&s->arena, Saved, most);
  list_weights(&w, &names, optimiser < 0 ? TRAINER_AVERAGE : MDL_VALUE, optimiser >= 0);
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

// The averages of adapters change places with their values: what is merged is theirs.
static bool swap_averages(Trainer *t) {
  for (size_t i = 0; i < t->training.tensor.n; i++) {
    const TrainingTensor *x = &t->training.tensor.at[i];
    if (!x->trained || !is_factor(t, x->name)) continue;
    Arena a = {0};
    void *value = trainer_get(t, &a, x, MDL_VALUE), *average = trainer_get(t, &a, x, TRAINER_AVERAGE);
    sy_status status = t->f->put(t->train, x->name, MDL_VALUE, average, tensor_bytes(t, x));
    if (value) train_store(t->program->module, x, value, t->average + x->slot);
    arena_free(&a);
    if (status || !value) return fail(t, x->name, status);
  }
  return true;
}

bool trainer_save_average(Trainer *t, const char *path, Checkpoint *from) {
  if (!swap_averages(t)) return false;
  bool ok = write_file(t, path, -1, from);
  return swap_averages(t) && ok;
}

/* adapters alone
 * --------------------------------------------------------------------------------------------------------------- */

static void put_numbers(Buf *b, const char *name, const AdapterList *l, bool alpha) {
  buf_printf(b, ",\n  \"%s\": {", name);
  for (size_t i = 0; i < l->n; i++) {
    const Adapter *x = &l->at[i];
    double v = alpha ? x->scale * (double)x->rank : (double)x->rank;
    buf_printf(b, "%s\n    \"%s\": %.17g", i ? "," : "", x->module, v);
  }
  buf_puts(b, "\n  }");
}

// lora_config of peft: one number where all adapters have it, else the rank and alpha of each module.
static void put_config(const AdapterList *l, Buf *b) {
  const Adapter *first = &l->at[0];
  bool same = true, turned = first->turned;
  for (size_t i = 1; i < l->n; i++) same = same && l->at[i].rank == first->rank && l->at[i].scale == first->scale;
  buf_printf(b,
             "{\n  \"peft_type\": \"LORA\",\n  \"r\": %lld,\n  \"lora_alpha\": %.17g,\n  \"lora_dropout\": 0.0,\n"
             "  \"bias\": \"none\",\n  \"fan_in_fan_out\": %s",
             (long long)first->rank, first->scale * (double)first->rank, turned ? "true" : "false");
  if (!same) put_numbers(b, "rank_pattern", l, false), put_numbers(b, "alpha_pattern", l, true);
  buf_puts(b, ",\n  \"target_modules\": [");
  for (size_t i = 0; i < l->n; i++) buf_printf(b, "%s\n    \"%s\"", i ? "," : "", l->at[i].module);
  buf_puts(b, "\n  ]\n}\n");
}

bool trainer_save_adapters(Trainer *t, const char *dir) {
  Session *s = t->s;
  ArenaMark mark = arena_mark(&s->arena);
  StError err = {""};
  StDesc *d = ARENA_ARRAY(&s->arena, StDesc, 2 * t->adapter.n);
  const TrainingTensor **of = ARENA_ARRAY(&s->arena, const TrainingTensor *, 2 * t->adapter.n);
  const char *config = arena_printf(&s->arena, "%s/adapter_config.json", dir), *why = NULL;
  size_t n = 0;
  for (size_t i = 0; i < 2 * t->adapter.n; i++) {
    const Adapter *x = &t->adapter.at[i / 2];
    if (!(of[n] = tensor_named(t, i % 2 ? x->b : x->a))) continue;
    d[n] = (StDesc){.name = arena_printf(&s->arena, "base_model.model.%s", of[n]->name), .dtype = ST_F32, .rank = 2};
    for (int k = 0; k < 2; k++) d[n].shape[k] = of[n]->type.dim[k].c;
    n++;
  }
  StWriter *out = st_write_begin(arena_printf(&s->arena, "%s/adapter_model.safetensors", dir), n, d, &err);
  bool ok = out != NULL;
  for (size_t i = 0; i < n && ok; i++) {
    const void *rows = trainer_get(t, &s->arena, of[i], MDL_VALUE);
    ok = rows && st_write_data(out, rows, tensor_bytes(t, of[i]), &err);
  }
  if (ok)
    ok = st_write_end(out, &err);
  else if (out)
    st_write_abort(out);
  if (!ok) session_fail(s, EXIT_IO, "%s", err.text);
  Buf b = {0};
  put_config(&t->adapter, &b);
  if (ok && !file_write(config, b.s, b.n, &why))
    ok = (session_fail(s, EXIT_IO, "cannot write %s: %s", config, why), false);
  buf_free(&b);
  arena_reset(&s->arena, mark);
  return ok;
}

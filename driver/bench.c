// bench.c: `syc bench SPEC`: how fast one route runs here. A child process compiles and packs (bench_plan.c); this one
// loads the result, so that its peak memory is the model's.
//
// Time: warm-up calls, then rounds of one call each; median and least. A second build with the trace hook gives the
// share of each kernel; its time is not the one reported. GFLOP/s counts the operations the kernels do at these dims.
//
//   vit @classify B=1, avx512, 1 thread: median 271.00 ms, least 268.10 ms, 121.9 GFLOP/s, 84 % of the FMA peak
#include "bench.h"
#include "peak.h"
#include "check.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MOST_ROUNDS = 10000, LEAST_ROUNDS = 5, TRACED = 5 };

double bench_now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

bool bench_fail(Bench *b, const char *what, const char *why) {
  session_fail(b->s, EXIT_IO, "%s: %s", what, why);
  return false;
}

static void *buffer(size_t bytes) { // as large as asked and zeroed, aligned for the C API
  void *p = aligned_alloc(SY_ALIGN, bytes / SY_ALIGN * SY_ALIGN + SY_ALIGN);
  if (!p) out_of_memory(bytes);
  memset(p, 0, bytes);
  return p;
}

/* loading -------------------------------------------------------------------------------------------------------------
 */
static bool load(Bench *b, const char *so) {
  void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
  if (!lib) return bench_fail(b, so, dlerror());
  const sy_model *(*entry)(void) = NULL;
  *(void **)&entry = dlsym(lib, "sy_model_entry");
  if (!entry) return bench_fail(b, so, "no sy_model_entry");
  b->m = entry();
  b->route = &b->m->info->route[b->plan.route];
  b->arena_bytes = b->m->arena_bytes(b->exec.threads);
  free(b->arena);
  b->arena = sy_memory(b->arena_bytes); // pages come when touched
  sy_config config = {SY_ABI_VERSION, b->weights.data, b->weights.bytes, b->arena, b->arena_bytes, &b->exec, b->isa};
  sy_status status = b->arena ? b->m->init(&b->ctx, &config) : SY_ENOMEM;
  if (status) return bench_fail(b, "the compiled model does not start", sy_strerror((int)status));
  b->ran_isa = b->m->isa(b->ctx);
  b->generates = bench_generates(b);
  return true;
}

static Layout tensor_layout(const Bench *b, const sy_tensor *t) {
  Layout l = {.rank = (int)t->rank, .bytes = (size_t)(t->elements ? t->bytes / t->elements : 1)};
  int64_t step = 1;
  for (int i = (int)t->rank - 1; i >= 0; i--) {
    const sy_dim *a = &t->axis[i];
    l.extent[i] = (int64_t)(a->constant + (a->dim >= 0 ? a->factor * b->dims[a->dim] : 0));
    l.stride[i] = step;
    step *= (int64_t)a->bound;
  }
  return l;
}

static DType type_of(const sy_tensor *t) {
  DType type;
  if (!dtype_by_name(t->dtype, &type)) ICE("%s has elements of an unknown type, %s", t->name, t->dtype);
  return type;
}

static void make_up(const Bench *b, size_t i, const sy_tensor *t, void *dst) {
  DType type = type_of(t);
  uint64_t seed = (uint64_t)(b->s->opt.seed == INT_UNSET ? 1 : b->s->opt.seed);
  float *f = malloc(t->elements * sizeof *f + 1);
  if (!f) out_of_memory(t->elements * sizeof *f);
  seeded_floats(seed, t->name, f, t->elements);
  int64_t limit = b->plan.id_limit[i] ? b->plan.id_limit[i] : 2;
  for (size_t k = 0; k < t->elements; k++) {
    if (dtype_is_narrow(type))
      ((uint16_t *)dst)[k] = (uint16_t)dtype_narrow(type, (double)f[k]);
    else if (type == DT_F32)
      ((float *)dst)[k] = f[k];
    else if (type == DT_I32)
      ((int32_t *)dst)[k] = (int32_t)(((double)f[k] + 1) / 2 * (double)limit);
    else
      ((unsigned char *)dst)[k] = 1; // every token is a real one
  }
  free(f);
}

static bool fill(Bench *b) {
  const sy_route *r = b->route;
  unsigned noutput = b->generates ? 0 : r->noutput;
  if (r->ninput > BENCH_INPUTS) return bench_fail(b, r->name, "too many inputs to measure");
  b->out = ARENA_ARRAY(&b->s->arena, void *, noutput + 1);
  b->noutput = noutput;
  Checkpoint file = {0};
  if (b->s->opt.input && !checkpoint_open(b->s, &file, &b->s->opt.input, 1)) return false;
  bool ok = true;
  for (unsigned i = 0; i < r->ninput && ok; i++) {
    const sy_tensor *t = &r->input[i];
    void *dst = buffer(t->bytes);
    const StTensor *x = checkpoint_find(&file, t->name);
    Layout l = tensor_layout(b, t);
    if (x && x->dtype != kept_dtype(type_of(t))) ok = bench_fail(b, t->name, "has another type in the input file");
    if (x && ok && (size_t)st_elements(x) != layout_elements(&l))
      ok = bench_fail(b, t->name, "has another shape in the input file");
    b->given[i] = x != NULL;
    if (x && ok)
      layout_store(&l, x->data, dst);
    else if (ok)
      make_up(b, i, t, dst);
    b->in[i] = dst;
  }
  checkpoint_close(&file);
  for (unsigned i = 0; i < noutput; i++) b->out[i] = buffer(r->output[i].bytes); // with gradients there are hundreds
  return ok;
}

/* measuring -----------------------------------------------------------------------------------------------------------
 */
static bool call(Bench *b) {
  sy_status status = b->m->call(b->ctx, b->plan.route, b->dims, b->in, b->out);
  return status ? bench_fail(b, "the compiled model refuses the call", sy_strerror((int)status)) : true;
}

static bool timed_call(void *ud, double *ms) {
  double from = bench_now_ms();
  if (!call(ud)) return false;
  *ms = bench_now_ms() - from;
  return true;
}

static bool measure(Bench *b) {
  double begin = bench_now_ms();
  for (int i = 0; i < 2 || (i < 50 && bench_now_ms() - begin < 300); i++)
    if (!call(b)) return false;
  double *ms = ARENA_ARRAY(&b->s->arena, double, MOST_ROUNDS);
  if (!bench_sample(b, timed_call, b, LEAST_ROUNDS, MOST_ROUNDS, ms)) return false;
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  b->rss_kb = u.ru_maxrss;
  b->median_ms = bench_median(ms, b->rounds);
  b->min_ms = ms[0];
  b->gflops = b->median_ms > 0 ? b->plan.flops / b->median_ms / 1e6 : 0;
  return true;
}

static void on_step(void *ud, unsigned step, const char *kernel, double flops) {
  Bench *b = ud;
  double t = bench_now_ms();
  size_t i = 0;
  while (i < b->kernel.n && strcmp(b->kernel.at[i].name, kernel) != 0) i++;
  if (i == b->kernel.n) {
    KernelTime k = {.name = kernel};
    VEC_PUSH(&b->s->arena, b->kernel, k);
  }
  KernelTime *k = &b->kernel.at[i];
  k->calls++;
  k->ms += t - b->last;
  if (b->generates)
    k->flops += flops; // those of a step; of a route they are for other dims
  else if (step < BENCH_STEPS)
    k->flops += b->plan.step_flops[step];
  b->last = bench_now_ms();
}

static int slowest_first(const void *a, const void *b) {
  const KernelTime *x = a, *y = b;
  return (x->ms < y->ms) - (x->ms > y->ms);
}

static void begin_trace(Bench *b) {
  b->m->set_trace(b->ctx, on_step, b);
  b->last = bench_now_ms();
}

static bool trace_calls(Bench *b) {
  if (!call(b)) return false;
  for (int i = 0; i < TRACED; i++) {
    begin_trace(b);
    if (!call(b)) return false;
  }
  return true;
}

static bool trace(Bench *b) {
  if (!load(b, b->plan.trace_so)) return false;
  if (!b->m->set_trace) return true;
  if (!(b->generates ? bench_words_trace(b, begin_trace) : trace_calls(b))) return false;
  size_t times = b->generates ? b->words.words : TRACED;
  double total = 0;
  for (size_t i = 0; i < b->kernel.n; i++) total += b->kernel.at[i].ms;
  for (size_t i = 0; i < b->kernel.n; i++) {
    KernelTime *k = &b->kernel.at[i];
    k->share = total > 0 ? k->ms / total : 0;
    k->gflops = k->ms > 0 ? k->flops / k->ms / 1e6 : 0;
    k->calls /= times;
    k->ms /= (double)times;
  }
  if (b->kernel.n) qsort(b->kernel.at, b->kernel.n, sizeof *b->kernel.at, slowest_first);
  return true;
}

/* results -------------------------------------------------------------------------------------------------------------
 */
static bool save_words(Bench *b) {
  const BenchWords *w = &b->words;
  StError err;
  const StDesc d[] = {
      {.name = "scores", .dtype = ST_F32, .rank = 2, .shape = {(int64_t)w->batch, (int64_t)w->vocab}},
      {.name = "ids", .dtype = ST_I32, .rank = 2, .shape = {(int64_t)w->batch, (int64_t)w->length}},
  };
  StWriter *file = st_write_begin(b->s->opt.output, 2, d, &err);
  bool ok = file && st_write_data(file, w->scores, w->batch * w->vocab * sizeof *w->scores, &err) &&
            st_write_data(file, w->ids, w->batch * w->length * sizeof *w->ids, &err);
  if (ok)
    ok = st_write_end(file, &err);
  else if (file)
    st_write_abort(file);
  return ok ? true : bench_fail(b, b->s->opt.output, err.text);
}

static bool save_outputs(Bench *b) {
  const sy_route *r = b->route;
  StError err;
  if (b->generates) return save_words(b);
  StDesc *d = ARENA_ARRAY(&b->s->arena, StDesc, r->noutput + 1);
  for (unsigned i = 0; i < r->noutput; i++) {
    Layout l = tensor_layout(b, &r->output[i]);
    d[i] = (StDesc){.name = r->output[i].name, .dtype = kept_dtype(type_of(&r->output[i])), .rank = l.rank};
    memcpy(d[i].shape, l.extent, sizeof l.extent);
  }
  StWriter *w = st_write_begin(b->s->opt.output, r->noutput, d, &err);
  bool ok = w != NULL;
  for (unsigned i = 0; i < r->noutput && ok; i++) {
    Layout l = tensor_layout(b, &r->output[i]);
    size_t bytes = layout_elements(&l) * l.bytes;
    void *dense = buffer(bytes);
    layout_load(&l, b->out[i], dense);
    ok = st_write_data(w, dense, bytes, &err);
    free(dense);
  }
  if (ok)
    ok = st_write_end(w, &err);
  else if (w)
    st_write_abort(w);
  return ok ? true : bench_fail(b, b->s->opt.output, err.text);
}

// Extent of the first axis of the first input, if that is a run-time dim.
static double batch_of(const Bench *b) {
  const sy_tensor *t = b->route->input;
  return b->route->ninput && t->rank > 1 && t->axis[0].dim >= 0 ? (double)b->dims[t->axis[0].dim] : 1;
}

static double bandwidth(const BenchWords *w) { // GB/s of a step
  return w->step_ms > 0 ? w->step_bytes / w->step_ms / 1e6 : 0;
}

static void words_json(const Bench *b, Json *j) {
  const BenchWords *w = &b->words;
  json_unsigned(j, "words", w->words);
  json_double(j, "words_per_s", b->median_ms > 0 ? 1e3 / b->median_ms : 0);
  json_double(j, "start_ms", w->start_ms);
  json_double(j, "step_ms", w->step_ms);
  json_double(j, "step_bytes", w->step_bytes);
  json_double(j, "gb_per_s", bandwidth(w));
  json_double(j, "peak_gb_per_s", w->peak_gbs);
}

static void words_text(const Bench *b) {
  const BenchWords *w = &b->words;
  printf("%zu words behind the first: median %.3f ms, least %.3f ms a word, %.1f words/s\n", w->words, b->median_ms,
         b->min_ms, b->median_ms > 0 ? 1e3 / b->median_ms : 0);
  printf("first word %.3f ms; a step %.3f ms, %.1f MB of weights and state, %.1f GB/s", w->start_ms, w->step_ms,
         w->step_bytes / 1e6, bandwidth(w));
  if (w->peak_gbs > 0)
    printf(", %.0f %% of the %.1f GB/s of this memory", 100 * bandwidth(w) / w->peak_gbs, w->peak_gbs);
}

static void calls_text(const Bench *b) {
  printf("median %.3f ms, least %.3f ms, %.3f GFLOP, %.1f GFLOP/s", b->median_ms, b->min_ms, b->plan.flops / 1e9,
         b->gflops);
  if (b->peak > 0) printf(", %.0f %% of the FMA peak of %.1f", 100 * b->gflops / b->peak, b->peak);
}

static void kernels_json(const Bench *b, Json *j) {
  json_array(j, "kernels");
  for (size_t i = 0; i < b->kernel.n; i++) {
    const KernelTime *k = &b->kernel.at[i];
    json_object(j, NULL);
    json_string(j, "name", k->name);
    json_unsigned(j, "calls", k->calls);
    json_double(j, "ms", k->ms);
    json_double(j, "gflops", k->gflops);
    json_double(j, "share", k->share);
    json_end(j);
  }
  json_end(j);
}

// On one line: `--turns` answers in lines.
static void print_json(const Bench *b) {
  Json j = {.put = text_to_file, .ud = stdout};
  json_object(&j, NULL);
  json_string(&j, "model", b->m->info->model);
  json_string(&j, "route", b->generates ? b->words.name : b->route->name);
  json_double(&j, "batch", batch_of(b));
  json_object(&j, "dims");
  for (unsigned i = 0; i < b->m->info->ndim; i++)
    if (b->route->dims >> i & 1) json_unsigned(&j, b->m->info->dim[i].name, b->dims[i]);
  json_end(&j);
  json_unsigned(&j, "threads", b->exec.threads);
  json_string(&j, "isa", b->ran_isa);
  json_double(&j, "rounds", (double)b->rounds);
  json_double(&j, "median_ms", b->median_ms);
  json_double(&j, "min_ms", b->min_ms);
  if (b->generates) words_json(b, &j);
  json_double(&j, "gflop", b->plan.flops / 1e9);
  json_double(&j, "gflops", b->gflops);
  json_double(&j, "peak_gflops", b->peak);
  json_double(&j, "peak_rss_kb", (double)b->rss_kb);
  json_unsigned(&j, "arena_bytes", b->arena_bytes);
  json_unsigned(&j, "weights_bytes", b->weights.bytes);
  kernels_json(b, &j);
  json_end(&j);
}

static void print_text(const Bench *b) {
  printf("%s @%s", b->m->info->model, b->generates ? b->words.name : b->route->name);
  if (b->generates) printf(" batch %zu, prompt of %zu", b->words.batch, b->words.prompt);
  for (unsigned i = 0; i < b->m->info->ndim && !b->generates; i++)
    if (b->route->dims >> i & 1) printf(" %s=%zu", b->m->info->dim[i].name, b->dims[i]);
  printf(", %s, %u thread%s, %zu rounds\n", b->ran_isa, b->exec.threads, b->exec.threads == 1 ? "" : "s", b->rounds);
  (b->generates ? words_text : calls_text)(b);
  printf("\npeak memory %.1f MB; weights %.1f MB, arena %.1f MB\n\n", (double)b->rss_kb / 1024,
         (double)b->weights.bytes / 1e6, (double)b->arena_bytes / 1e6);
  printf("%-48s %6s %10s %9s %7s\n", "kernel", "calls", "ms", "GFLOP/s", "share");
  for (size_t i = 0; i < b->kernel.n; i++) {
    const KernelTime *k = &b->kernel.at[i];
    printf("%-48s %6zu %10.3f %9.1f %6.1f%%\n", k->name, k->calls, k->ms, k->gflops, 100 * k->share);
  }
}

static bool run(Bench *b) {
  sy_status status = sy_map_open(&b->weights, b->plan.packed, 0);
  if (status) return bench_fail(b, b->plan.packed, sy_strerror((int)status));
  b->pool = sy_pool_new(b->threads);
  if (!b->pool) return bench_fail(b, "threads", sy_strerror(SY_ETHREAD));
  b->exec = sy_pool_exec(b->pool);
  b->in = ARENA_ARRAY(&b->s->arena, const void *, BENCH_INPUTS);
  for (int i = 0; i < MAX_DIMS; i++) b->dims[i] = (size_t)b->plan.dims[i];
  if (!load(b, b->plan.so) || !fill(b) || !(b->generates ? bench_words : measure)(b)) return false;
  if (b->s->opt.output && !save_outputs(b)) return false;
  b->peak = peak_gflops(b->ran_isa, b->threads);
  if (b->generates) b->words.peak_gbs = peak_bandwidth(b->threads);
  return trace(b);
}

int cmd_bench(Session *s) {
  if (s->opt.arg.n != 1) return session_fail(s, EXIT_USAGE, "syc bench takes one model (syc bench --help)");
  if (s->opt.routes && strchr(s->opt.routes, ','))
    return session_fail(s, EXIT_USAGE, "syc bench measures one route at a time");
  if (s->opt.threads != INT_UNSET && (s->opt.threads < 1 || s->opt.threads > 1024))
    return session_fail(s, EXIT_USAGE, "--threads takes 1 to 1024");
  if (s->opt.turns && s->opt.rounds != INT_UNSET)
    return session_fail(s, EXIT_USAGE, "--turns times calls as they are asked for: leave out --rounds");
  if (s->opt.output && !strcmp(s->opt.output, "-"))
    return session_fail(s, EXIT_USAGE, "the outputs go to a file: -o FILE.safetensors");
  if (!session_back_end(s, USE_FILES)) return s->exit_code;
  Bench *b = ARENA_NEW(&s->arena, Bench);
  b->s = s;
  b->threads = s->opt.threads == INT_UNSET ? sy_cpu_cores() : (unsigned)s->opt.threads;
  const Target *t[MAX_TARGETS];
  const char *isa = s->opt.isa ? s->opt.isa : session_best_isa(s);
  size_t n = session_targets(s, isa, t);
  if (!n) return s->exit_code;
  b->isa = t[n - 1]->name;
  if (!bench_prepare(s, isa, &b->plan)) return s->exit_code;
  bool ok = run(b);
  if (ok) (s->opt.json ? print_json : print_text)(b);
  for (int i = 0; b->in && i < BENCH_INPUTS; i++) {
    union {
      const void *in;
      void *out;
    } u = {b->in[i]};
    free(u.out);
  }
  for (unsigned i = 0; i < b->noutput; i++) free(b->out[i]);
  free(b->arena);
  free(b->words.ids);
  free(b->words.scores);
  sy_pool_free(b->pool);
  sy_map_close(&b->weights);
  return ok ? EXIT_OK : s->exit_code;
}

// face.c - the flow of a compiled model's command line: find the weights, start threads, pick the route that fits what
// is given, run it batch by batch, show what comes out.
//
// Weights: --weights FILE, else PROGRAM.syw, else MODEL.syw in the program's folder, else the blob linked in between
// sy_embedded_weights and sy_embedded_weights_end.
//
//   $ ./vit cat.jpg --labels imagenet.txt --top 1
//   cat.jpg
//      63.12%  tabby
#include "face_parts.h"
#include "common/launch.h"
#include "common/streams.h"
#include "common/text.h"
#include "ir/base/newfile.h"
#include "runtime/weights_format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__GNUC__)
extern const unsigned char sy_embedded_weights[] __attribute__((weak));
extern const unsigned char sy_embedded_weights_end[] __attribute__((weak));
#endif

typedef struct RouteTimes { // of the calls of one route alone
  double seconds, best;     // best: the fastest call
  size_t calls, items;
} RouteTimes;

typedef struct Face {
  const sy_model *model;
  const char *program;
  FaceArgs args;
  sy_map map;
  const void *weights;
  size_t weights_bytes;
  sy_pool *pool;
  void *arena, *ctx;
  FaceRun run;
  Json json; // to stdout
  HostLabels labels;
  FaceArray all[FACE_MAX_TENSORS]; // for --out: outputs of all calls, joined on the first axis
  RouteTimes *times;               // by route
  bool nan, generates;
  FaceWords words; // if it generates
  HostError err;
} Face;

// Does --out name standard output?
static bool to_stream(const Face *f) {
  return f->args.out && (!strcmp(f->args.out, "-") || stream_of_path(f->args.out) == STDOUT_FILENO);
}

// Where results go as JSON; NULL: as text.
static Json *results(Face *f) {
  return f->args.json ? &f->json : NULL;
}

/* weights -----------------------------------------------------------------------------------------------------------
 */
static void program_path(const Face *f, char *dst, size_t room) {
  ssize_t n = readlink("/proc/self/exe", dst, room - 1);
  if (n > 0)
    dst[n] = 0;
  else
    snprintf(dst, room, "%s", f->program);
}

static sy_status use_file(Face *f, const char *path) {
  sy_status s = sy_map_open(&f->map, path, 0);
  f->weights = f->map.data;
  f->weights_bytes = f->map.bytes;
  return s;
}

static bool use_embedded(Face *f) {
#if defined(__GNUC__)
  const unsigned char *volatile start = sy_embedded_weights, *volatile end = sy_embedded_weights_end;
  if (!start || !end || (uintptr_t)end <= (uintptr_t)start) return false;
  f->weights = start;
  f->weights_bytes = (size_t)((uintptr_t)end - (uintptr_t)start);
  return true;
#else
  (void)f;
  return false;
#endif
}

static int find_weights(Face *f) {
  char exe[4000], first[4100], second[4400];
  if (f->args.weights) {
    sy_status s = use_file(f, f->args.weights);
    if (s == SY_OK) return FACE_OK;
    host_fail(&f->err, "%.300s: %s", f->args.weights,
              f->map.sys_errno ? strerror(f->map.sys_errno) : sy_strerror((int)s));
    return FACE_IO;
  }
  program_path(f, exe, sizeof exe);
  snprintf(first, sizeof first, "%s.syw", exe);
  char *slash = strrchr(exe, '/');
  int dir = slash ? (int)(slash - exe + 1) : 0;
  snprintf(second, sizeof second, "%.*s%.256s.syw", dir, exe, f->model->info->model);
  if (use_file(f, first) == SY_OK || use_file(f, second) == SY_OK || use_embedded(f)) return FACE_OK;
  host_fail(&f->err,
            "no weights: neither %.120s nor %.120s can be read. Make the file with\n"
            "  syc weights pack MODEL.sy --weights CHECKPOINT.safetensors -o %s.syw\n  or name one with --weights FILE",
            first, second, f->model->info->model);
  return FACE_IO;
}

static void refuse_isa(Face *f) {
  char have[200] = "";
  for (unsigned i = 0; i < f->model->info->nisa; i++)
    snprintf(have + strlen(have), sizeof have - strlen(have), "%s%s", i ? ", " : "", f->model->info->isa[i]);
  host_fail(&f->err, "--isa %.40s: no instruction set of this machine; the program has %s", f->args.isa, have);
}

// Weights in another precision than the program: the message names both. False: that is not what is wrong.
static bool refuse_precision(Face *f) {
  static const char key[] = ", precision=";
  sy_weights_header h;
  const char *ours = "f32", *at = f->model->info->built;
  while ((at = strstr(at, key)) != NULL) ours = at += strlen(key);
  if (sy_weights_problem(f->weights, f->weights_bytes, &h)) return false;
  const char *theirs = sy_weights_precision(f->weights, &h);
  if (!*theirs && h.data_offset - sizeof h - h.count * sizeof(sy_weights_entry) < 16) return false; // no room to say it
  if (!*theirs) theirs = "f32";
  if (!strncmp(ours, theirs, strlen(theirs)) && (!ours[strlen(theirs)] || strlen(theirs) > 100)) return false;
  host_fail(
      &f->err,
      "%.200s: its weights are packed in precision %.120s, and this program was built in precision %.120s; make them "
      "anew with syc weights pack --precision",
      f->args.weights ? f->args.weights : "weights", theirs, ours);
  return true;
}

static int start_model(Face *f) {
  unsigned threads =
      f->args.threads ? (unsigned)f->args.threads : launch_threads(launch_of_environment(), sy_cpu_cores());
  f->pool = sy_pool_new(threads);
  size_t bytes = f->model->arena_bytes(threads);
  f->arena = sy_memory(bytes);
  if (!f->pool || !f->arena) {
    host_fail(&f->err, "%zu bytes of memory and %u threads cannot be had", bytes, threads);
    return FACE_IO;
  }
  sy_exec exec = sy_pool_exec(f->pool);
  sy_config config = {SY_ABI_VERSION, f->weights, f->weights_bytes, f->arena, bytes, &exec, f->args.isa};
  sy_status s = f->model->init(&f->ctx, &config);
  if (s == SY_OK && !f->args.selftest)
    s = sy_weights_check(f->weights, f->weights_bytes, &exec); // a damaged file would give wrong numbers
  if (s == SY_OK) return FACE_OK;
  if ((s == SY_EINVAL || s == SY_EISA) && f->args.isa)
    refuse_isa(f);
  else if (s == SY_EPLAN && refuse_precision(f))
    return FACE_IO;
  else if (s == SY_EPLAN || s == SY_EWEIGHTS)
    host_fail(&f->err, "%.300s: %s; make it anew with syc weights pack", f->args.weights ? f->args.weights : "weights",
              f->model->strerror((int)s));
  else
    host_fail(&f->err, "%s", f->model->strerror((int)s));
  return s == SY_EINVAL || (s == SY_EISA && f->args.isa) ? FACE_USAGE : FACE_IO;
}

/* route -------------------------------------------------------------------------------------------------------------
 */
static bool named_input(const FaceArgs *a, const char *name) {
  size_t n = strlen(name);
  for (size_t i = 0; i < a->input.n; i++)
    if (!strncmp(a->input.at[i], name, n) && a->input.at[i][n] == '=') return true;
  return false;
}

// NAME_mask or NAME_type of an input NAME of sentences: filled with it.
static bool follows_text(const sy_route *r, unsigned i) {
  const char *name = r->input[i].name, *end = strrchr(name, '_');
  if (!end || (strcmp(end, "_mask") != 0 && strcmp(end, "_type") != 0)) return false;
  for (unsigned k = 0; k < r->ninput; k++)
    if (strlen(r->input[k].name) == (size_t)(end - name) && !strncmp(r->input[k].name, name, (size_t)(end - name)))
      return true;
  return false;
}

// How well a route fits what was given: -1 = an input is missing, else the number of given kinds that it uses.
// words: the generate whose start it is, NULL for ordinary routes.
static int route_fit(const Face *f, const sy_route *r, const FaceWords *words) {
  const sy_info *info = f->model->info;
  bool image = false, text = false;
  int named = 0;
  for (unsigned i = 0; i < r->ninput; i++) {
    const char *name = r->input[i].name;
    if (words && face_words_fills(words, i)) continue;
    if (named_input(&f->args, name)) {
      named++;
    } else if (face_prepare_is(info, name, "picture")) {
      if (!f->args.image.n) return -1;
      image = true;
    } else if (face_prepare(info, name) && face_is_tokenizer(face_prepare(info, name)->kind)) {
      if (!f->args.text.n) return -1;
      text = true;
    } else if (!follows_text(r, i) && !face_prepare_is(info, name, "patches")) {
      return -1;
    }
  }
  return named + image + text;
}

// Does an --input say what the sentences of a generate begin with?
static bool begun(const FaceArgs *a, const FaceWords *w) {
  for (size_t i = 0; i < a->input.n; i++) {
    char name[80];
    size_t n = strcspn(a->input.at[i], "=");
    snprintf(name, sizeof name, "%.*s", (int)(n < 79 ? n : 79), a->input.at[i]);
    if (face_words_begin(w, name)) return true;
  }
  return false;
}

static int pick_route(Face *f) {
  const sy_info *info = f->model->info;
  int best = -1;
  for (unsigned i = 0; i < info->ngenerate; i++) { // a generate, by name or as what the model is for
    FaceWords w = face_words_at(info, i);
    if (f->args.route && strcmp(f->args.route, w.is->name) != 0) continue;
    int fit = route_fit(f, w.start, &w), given = (f->args.image.n > 0) + (f->args.text.n > 0 && !w.is->prompt);
    if (begun(&f->args, &w)) given++, fit++;
    if (!f->args.route && (fit < given || !given || f->args.out)) continue;
    f->generates = true;
    f->words = w;
    f->run.route = w.start;
    return FACE_OK;
  }
  for (unsigned i = 0; i < info->nroute; i++) {
    const sy_route *r = &info->route[i];
    FaceWords w;
    if (!f->args.route && face_words_part(info, r, &w)) continue;
    if (f->args.route) {
      if (strcmp(f->args.route, r->name) != 0) continue;
      f->run.route = r;
      return FACE_OK;
    }
    int fit = route_fit(f, r, NULL);
    if (fit > best) {
      best = fit;
      f->run.route = r;
    }
  }
  if (!f->args.route && info->nroute == 1) f->run.route = info->route; // it says what it lacks
  if (f->run.route) return FACE_OK;
  if (f->args.route)
    host_fail(&f->err, "there is no route %.60s; --help lists them", f->args.route);
  else
    host_fail(&f->err,
              "no route can run on what is given; --help lists the routes and their inputs. Pictures and sentences "
              "fill inputs that the page prepares (prepare image: picture(..), prepare text: clip_bpe(..)); any input "
              "takes --input NAME=FILE.npy");
  return FACE_USAGE;
}

/* running -----------------------------------------------------------------------------------------------------------
 */
// Calls a route; items: what the caller calls one thing done, for the figures of --time.
static sy_status timed_call(Face *f, const sy_route *route, const size_t *dims, const void *const *in, void *const *out,
                            size_t items) {
  size_t number = (size_t)(route - f->model->info->route);
  RouteTimes *t = &f->times[number];
  double start = face_now();
  sy_status s = f->model->call(f->ctx, (unsigned)number, dims, in, out);
  double took = face_now() - start;
  t->seconds += took;
  if (t->calls++ == 0 || took < t->best) t->best = took;
  t->items += items;
  return s;
}

static sy_status call_once(Face *f) {
  const void *in[FACE_MAX_TENSORS];
  for (unsigned i = 0; i < FACE_MAX_TENSORS; i++) in[i] = f->run.in[i];
  sy_status s = SY_OK;
  for (size_t k = 0; k < f->args.repeat && s == SY_OK; k++)
    s = timed_call(f, f->run.route, f->run.dims, in, f->run.out, f->run.count);
  return s;
}

static bool join(FaceArray *all, const FaceArray *a, HostError *err) {
  size_t size = face_dtype_bytes(a->dtype);
  bool first = !all->data;
  void *data = realloc(all->data, (all->n + a->n) * size + 1);
  if (!data) return host_no_memory(err);
  memcpy((char *)data + all->n * size, a->data, a->n * size);
  size_t rows = first ? 0 : all->dim[0], n = all->n + a->n;
  *all = *a;
  all->data = data;
  all->n = n;
  if (a->rank) all->dim[0] += rows;
  return true;
}

static int show_outputs(Face *f) {
  const sy_route *route = f->run.route;
  for (unsigned o = 0; o < route->noutput; o++) {
    FaceArray a;
    if (!face_run_output(&f->run, o, &a, &f->err)) return FACE_IO;
    size_t nan = face_count_nan(&a);
    if (nan) {
      text_line(stderr, "%s: output %s has %zu values that are not numbers; are the weights those of this model?",
                f->program, route->output[o].name, nan);
      f->nan = true;
    }
    bool ok = !f->args.out || join(&f->all[o], &a, &f->err);
    bool main = (face_prepare(f->model->info, route->output[o].name) && !to_stream(f)) || !f->args.out;
    if (ok && main) ok = face_show(&f->run, o, &a, f->labels.count ? &f->labels : NULL, &f->err);
    face_array_free(&a);
    if (!ok) return FACE_IO;
  }
  return FACE_OK;
}

static int write_outputs(Face *f) {
  const sy_route *route = f->run.route;
  char path[4096];
  for (unsigned o = 0; f->args.out && o < route->noutput; o++) {
    size_t n = strlen(f->args.out);
    if (n > 4 && !strcmp(f->args.out + n - 4, ".npy")) n -= 4;
    if (n > 3000) n = 3000;
    if (route->noutput > 1)
      snprintf(path, sizeof path, "%.*s-%.200s.npy", (int)n, f->args.out, route->output[o].name);
    else
      snprintf(path, sizeof path, "%.4000s", to_stream(f) ? "-" : f->args.out);
    if (!face_npy_write(path, &f->all[o], &f->err)) return FACE_IO;
  }
  return FACE_OK;
}

static void call_failed(Face *f, const sy_route *route, sy_status s) {
  host_fail(&f->err, "route %s: %s%s", route->name, f->model->strerror((int)s),
            s == SY_EINDEX && f->args.vocab ? " (is --vocab the vocabulary of this model?)" : "");
}

static bool call_route(void *ud, const sy_route *route, const size_t *dims, const void *const *in, void *const *out) {
  Face *f = ud;
  size_t rows = route->ninput && route->input[0].axis[0].dim >= 0 ? dims[route->input[0].axis[0].dim] : 1;
  sy_status s = timed_call(f, route, dims, in, out, f->generates ? f->run.count : rows);
  if (s != SY_OK) call_failed(f, route, s);
  return s == SY_OK;
}

static int run_batches(Face *f) {
  if (f->generates) {
    if (face_words_run(&f->run, &f->words, call_route, f, &f->err))
      return face_bads_code(f->run.left_out, f->run.total, &f->err);
    return f->run.usage ? FACE_USAGE : f->run.nan ? FACE_CHECK : FACE_IO;
  }
  FaceRun *r = &f->run;
  double start = face_now();
  for (size_t at = 0, count; at < r->total; at += count) {
    count = r->total - at < r->batch ? r->total - at : r->batch;
    if (!face_run_fill(r, at, count, &f->err)) return FACE_IO;
    face_bads_say(&r->bad, f->program);
    sy_status s = r->count ? call_once(f) : SY_OK;
    if (s != SY_OK) {
      call_failed(f, r->route, s);
      return FACE_IO;
    }
    face_progress(at + count, r->total, face_now() - start);
    int code = r->count ? show_outputs(f) : FACE_OK;
    if (code) return code;
    face_show_bad(r, SIZE_MAX);
  }
  int code = r->left_out < r->total ? write_outputs(f) : FACE_OK;
  return code ? code : face_bads_code(r->left_out, r->total, &f->err);
}

static double mean_ms(const RouteTimes *t) {
  return 1e3 * t->seconds / (double)t->calls;
}

// One line for each route that was called.
static void show_times(const Face *f) {
  for (unsigned i = 0; i < f->model->info->nroute; i++) {
    const RouteTimes *t = &f->times[i];
    if (!t->calls) continue;
    printf("route %s: %zu call%s on %s, %u thread%s: mean %.3f ms, best %.3f ms, %.1f items a second\n",
           f->model->info->route[i].name, t->calls, t->calls == 1 ? "" : "s", f->model->isa(f->ctx),
           sy_pool_threads(f->pool), sy_pool_threads(f->pool) == 1 ? "" : "s", mean_ms(t), 1e3 * t->best,
           t->seconds > 0 ? (double)t->items / t->seconds : 0);
  }
}

static void show_times_json(Face *f) {
  json_array(&f->json, "times");
  for (unsigned i = 0; i < f->model->info->nroute; i++) {
    const RouteTimes *t = &f->times[i];
    if (!t->calls) continue;
    json_object(&f->json, NULL);
    json_string(&f->json, "route", f->model->info->route[i].name);
    json_unsigned(&f->json, "calls", t->calls);
    json_double(&f->json, "mean_ms", mean_ms(t));
    json_double(&f->json, "best_ms", 1e3 * t->best);
    json_end(&f->json);
  }
  json_end(&f->json);
}

// What stands around the results.
static void begin_results(Face *f, const char *route) {
  if (!f->args.json) return;
  json_object(&f->json, NULL);
  json_string(&f->json, "model", f->model->info->model);
  json_string(&f->json, "route", route);
  json_string(&f->json, "isa", f->model->isa(f->ctx));
  json_array(&f->json, "results");
}

static void end_results(Face *f) {
  if (f->args.time && !f->args.json) show_times(f);
  if (!f->args.json) return;
  json_end(&f->json);
  if (f->args.time) show_times_json(f);
  json_end(&f->json);
}

// An array on standard output is alone there.
static int check_stream(Face *f) {
  const sy_route *r = f->run.route;
  if (!to_stream(f)) return FACE_OK;
  if (r->noutput > 1)
    host_fail(&f->err, "--out -: route %s has %u outputs, standard output takes one; --out FILE writes FILE-NAME.npy",
              r->name, r->noutput);
  else if (f->args.json || f->args.time)
    host_fail(&f->err, "--out - writes the array to standard output, and nothing else: no --json or --time");
  else if (isatty(STDOUT_FILENO))
    host_fail(&f->err, "--out - writes the array to standard output, which is a terminal; send it to a file or a "
                       "program");
  else
    return FACE_OK;
  return FACE_USAGE;
}

static int run_route(Face *f) {
  int code = pick_route(f);
  if (code) return code;
  f->run.info = f->model->info;
  f->run.args = &f->args;
  f->run.program = f->program;
  f->run.json = results(f);
  if (f->generates) f->run.words = &f->words;
  if (f->generates && f->args.out) {
    host_fail(&f->err, "--out writes tensors, and %.60s gives sentences; --json has them with their ids",
              f->words.is->name);
    return FACE_USAGE;
  }
  code = check_stream(f);
  if (code) return code;
  if (f->args.labels && !host_labels_load(f->args.labels, &f->labels, &f->err)) return FACE_IO;
  f->run.labels = &f->labels;
  if (!face_labels_fit(&f->run, &f->err)) return FACE_IO;
  if (!face_run_start(&f->run, &f->err)) return f->run.usage ? FACE_USAGE : FACE_IO;
  begin_results(f, f->generates ? f->words.is->name : f->run.route->name);
  code = run_batches(f);
  end_results(f);
  return f->nan && (!code || f->run.left_out) ? FACE_CHECK : code;
}

/* commands ----------------------------------------------------------------------------------------------------------
 */
static FaceModel started_model(Face *f) {
  sy_weights_header h;
  const char *wrong = sy_weights_problem(f->weights, f->weights_bytes, &h);
  uint64_t table = wrong ? 0 : sy_weights_checksum(f->weights, h.data_offset); // it has the checksums of all entries
  return (FaceModel){f->model->info, &f->args, results(f), f->program, f->model->isa(f->ctx),
                     table,          f->pool,  call_route, f};
}

static int run_zero(Face *f) {
  FaceModel m = started_model(f);
  begin_results(f, "zero_shot");
  int code = face_zero(&m, &f->err);
  end_results(f);
  return code;
}

static int run_command(Face *f) {
  static int (*const command[])(const FaceModel *,
                                HostError *) = {[FACE_EMBED] = face_embed, [FACE_SEARCH] = face_search};
  FaceModel m = started_model(f);
  int code = command[f->args.command](&m, &f->err);
  if (f->args.time && !f->args.json) show_times(f);
  return code;
}

static int selftest(Face *f) {
  sy_status s = f->model->selftest(f->ctx);
  printf("self-test of %s on %s: %s\n", f->model->info->model, f->model->isa(f->ctx),
         s == SY_OK ? "passed" : f->model->strerror((int)s));
  return s == SY_OK ? FACE_OK : FACE_CHECK;
}

static int run(Face *f, int argc, char **argv) {
  const sy_info *info = f->model->info;
  if (!face_args_parse(&f->args, argc, argv, &f->err)) return FACE_USAGE;
  if (f->args.help) {
    face_args_help(info, f->program, f->args.command);
  } else if (f->args.version) {
    printf("%s, plan %016llx, compiled by Switchyard (interface %u)\n", info->model,
           (unsigned long long)info->plan_hash, SY_ABI_VERSION);
  } else if (f->args.describe) {
    face_describe(info, results(f));
    if (!f->args.json && !face_describe_vocabulary(info, &f->args, &f->err)) return FACE_IO;
  } else {
    bool nothing = !f->args.image.n && !f->args.text.n && !f->args.input.n && !f->args.selftest;
    bool zero = face_zero_wanted(info, &f->args);
    if (nothing && !f->args.route && f->args.command == FACE_RUN) {
      host_fail(&f->err,
                f->args.labels ? "--labels names what pictures show, and there is no picture; try %.100s --help"
                               : "nothing to do; try %.100s --help",
                f->program);
      return FACE_USAGE;
    }
    if (!zero && (f->args.template.n || f->args.scale > 0)) {
      host_fail(&f->err, "--template and --scale go with PICTURE... --labels FILE, of a program with routes that make "
                         "vectors of pictures and of sentences");
      return FACE_USAGE;
    }
    int code = find_weights(f);
    if (!code) code = start_model(f);
    if (code) return code;
    if (f->args.command != FACE_RUN) return run_command(f);
    return f->args.selftest ? selftest(f) : zero ? run_zero(f) : run_route(f);
  }
  return FACE_OK;
}

int face_main(const sy_model *model, int argc, char **argv) {
  Face f = {.model = model, .json = {.put = text_to_file, .ud = stdout, .lines = 2}};
  const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
  f.program = slash ? slash + 1 : argc > 0 ? argv[0] : model->info->model;
  f.times = calloc(model->info->nroute + 1, sizeof *f.times);
  if (!f.times) host_no_memory(&f.err);
  int code = f.times ? run(&f, argc, argv) : FACE_IO;
  if (code == FACE_USAGE && f.err.machine) code = FACE_IO;
  if (!streams_written() && !code) {
    host_fail(&f.err, "standard output cannot be written: %s", strerror(errno));
    code = FACE_IO;
  }
  if (f.err.text[0] && code) text_line(stderr, "%s: %s", f.program, f.err.text);
  face_run_free(&f.run);
  for (unsigned i = 0; i < FACE_MAX_TENSORS; i++) face_array_free(&f.all[i]);
  if (f.labels.count) host_labels_free(&f.labels);
  sy_pool_free(f.pool);
  sy_map_close(&f.map);
  free(f.arena);
  free(f.times);
  face_args_free(&f.args);
  return code;
}

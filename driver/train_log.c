// train_log.c: what a run of `syc train` says: a bar on a terminal, a line now and then elsewhere; log.jsonl, log.csv
// and an event file for TensorBoard, an entry a step; loss.svg and index.html (train_page.c).
#include "train.h"

#include "common/progress.h"
#include "train_events.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool io_error(TrainLog *l, const char *name) {
  return session_fail(l->s, EXIT_IO, "cannot write %s/%s: %s", l->dir, name, strerror(errno)), false;
}

/* files of an earlier part of the run
 * ------------------------------------------------------------------------------------------ */

static double json_field(const cJSON *j, const char *name) {
  const cJSON *x = cJSON_GetObjectItemCaseSensitive(j, name);
  return cJSON_IsNumber(x) ? x->valuedouble : NAN;
}

// A line of log.jsonl; false: it is no line of a step.
static bool take_line(TrainLog *l, const char *text) {
  cJSON *j = cJSON_Parse(text);
  bool measured = cJSON_HasObjectItem(j, "val_loss");
  TrainLine x = {.step = (uint64_t)json_field(j, "step"),
                 .epoch = json_field(j, "epoch"),
                 .rate = json_field(j, "lr"),
                 .norm = json_field(j, "norm"),
                 .seconds = json_field(j, "seconds"),
                 .samples = json_field(j, "samples_per_s"),
                 .memory = json_field(j, "memory_mb")};
  if (isnan(x.memory)) x.memory = 0;
  bool ok = cJSON_IsObject(j) && !isnan(json_field(j, "step"));
  if (measured) {
    x.loss[0] = json_field(j, "val_loss");
    for (size_t i = 0; i < l->nmeasure; i++) x.loss[i + 1] = json_field(j, l->measure[i]);
    if (ok) VEC_PUSH(&l->lines, l->measured, x);
  } else {
    for (size_t i = 0; i < l->nparts; i++) x.loss[i] = json_field(j, l->part[i]);
    if (ok) VEC_PUSH(&l->lines, l->line, x);
  }
  cJSON_Delete(j);
  return ok;
}

static void put_csv_head(TrainLog *l) {
  fputs("step,epoch,lr,norm", l->csv);
  for (size_t i = 0; i < l->nparts; i++) fprintf(l->csv, ",%s", l->part[i]);
  fputs(",samples_per_s,seconds,memory_mb\n", l->csv);
}

static void put_json(TrainLog *l, const TrainLine *x) {
  fprintf(l->json, "{\"step\": %llu, \"epoch\": %.6g, \"lr\": %.9g, \"norm\": %.9g", (unsigned long long)x->step,
          x->epoch, x->rate, x->norm);
  for (size_t i = 0; i < l->nparts; i++) fprintf(l->json, ", \"%s\": %.9g", l->part[i], x->loss[i]);
  fprintf(l->json, ", \"samples_per_s\": %.4g, \"seconds\": %.3f, \"memory_mb\": %.1f}\n", x->samples, x->seconds,
          x->memory);
}

static void put_csv(TrainLog *l, const TrainLine *x) {
  fprintf(l->csv, "%llu,%.6g,%.9g,%.9g", (unsigned long long)x->step, x->epoch, x->rate, x->norm);
  for (size_t i = 0; i < l->nparts; i++) fprintf(l->csv, ",%.9g", x->loss[i]);
  fprintf(l->csv, ",%.4g,%.3f,%.1f\n", x->samples, x->seconds, x->memory);
}

static void put_measured(TrainLog *l, const TrainLine *x) {
  fprintf(l->json, "{\"step\": %llu, \"epoch\": %.6g, \"val_loss\": %.9g", (unsigned long long)x->step, x->epoch,
          x->loss[0]);
  for (size_t i = 0; i < l->nmeasure; i++) fprintf(l->json, ", \"%s\": %.9g", l->measure[i], x->loss[i + 1]);
  fputs("}\n", l->json);
}

// Lines of steps that the checkpoint does not have were written behind it, by a run that was killed.
static void read_earlier(TrainLog *l, const char *path, uint64_t step) {
  size_t n;
  const char *err;
  char *text = step ? file_read(&l->s->arena, path, &n, &err) : NULL;
  for (char *line = text, *next; line && *line; line = next) {
    size_t len = strcspn(line, "\n");
    next = line + len + (line[len] != 0);
    line[len] = 0;
    (void)take_line(l, line);
  }
  size_t keep = 0;
  for (size_t i = 0; i < l->line.n; i++)
    if (l->line.at[i].step <= step) l->line.at[keep++] = l->line.at[i];
  l->line.n = keep, keep = 0;
  for (size_t i = 0; i < l->measured.n; i++)
    if (l->measured.at[i].step <= step) l->measured.at[keep++] = l->measured.at[i];
  l->measured.n = keep;
}

/* events for TensorBoard
 * ------------------------------------------------------------------------------------------------------- */
static double wall(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void add_value(EventValue *v, size_t *n, const char *tag, double value) {
  v[(*n)++] = (EventValue){tag, value};
}

// With a prefix, "train/loss": TensorBoard has a section for each.
static const char *tag(TrainLog *l, const char *section, const char *name) {
  return arena_printf(&l->s->arena, "%s/%s", section, name);
}

static void step_event(TrainLog *l, const TrainLine *x, double at, Buf *b) {
  EventValue v[TRAIN_PARTS + 4];
  size_t n = 0;
  ArenaMark mark = arena_mark(&l->s->arena);
  for (size_t i = 0; i < l->nparts; i++) add_value(v, &n, tag(l, "train", l->part[i]), x->loss[i]);
  add_value(v, &n, "train/lr", x->rate);
  add_value(v, &n, "train/norm", x->norm);
  add_value(v, &n, "speed/samples_per_s", x->samples);
  add_value(v, &n, "speed/memory_mb", x->memory);
  events_put(b, at, x->step, v, n);
  arena_reset(&l->s->arena, mark);
}

static void measured_event(TrainLog *l, const TrainLine *x, double at, Buf *b) {
  EventValue v[TRAIN_PARTS + 1];
  size_t n = 0;
  ArenaMark mark = arena_mark(&l->s->arena);
  add_value(v, &n, "val/loss", x->loss[0]);
  for (size_t i = 0; i < l->nmeasure; i++) add_value(v, &n, tag(l, "val", l->measure[i]), x->loss[i + 1]);
  events_put(b, at, x->step, v, n);
  arena_reset(&l->s->arena, mark);
}

static const char events_name[] = "events.out.tfevents.switchyard";

// The events of an earlier part of the run as they are, with their times; from the log where some are missing.
static void earlier_events(TrainLog *l, const char *path, uint64_t step, Buf *b) {
  size_t n = 0, keep, records = 0;
  const char *err;
  char *was = step ? file_read(&l->s->arena, path, &n, &err) : NULL;
  keep = was ? events_until(was, n, step, &records) : 0;
  if (records == 1 + l->line.n + l->measured.n) {
    buf_putn(b, was, keep);
    return;
  }
  double at = wall();
  events_begin(b, at);
  for (size_t i = 0, k = 0; i < l->line.n; i++) {
    step_event(l, &l->line.at[i], at, b);
    for (; k < l->measured.n && l->measured.at[k].step <= l->line.at[i].step; k++)
      measured_event(l, &l->measured.at[k], at, b);
  }
}

static bool open_events(TrainLog *l, uint64_t step) {
  const char *path = arena_printf(&l->s->arena, "%s/%s", l->dir, events_name), *err;
  Buf b = {0};
  earlier_events(l, path, step, &b);
  bool ok = file_write(path, b.s, b.n, &err) && (l->events = fopen(path, "ab"));
  buf_free(&b);
  return ok || io_error(l, events_name);
}

static bool put_event(TrainLog *l, const Buf *b) {
  return (fwrite(b->s, 1, b->n, l->events) == b->n && !fflush(l->events)) || io_error(l, events_name);
}

bool train_log_open(TrainLog *l, uint64_t step) {
  const char *json = arena_printf(&l->s->arena, "%s/log.jsonl", l->dir),
             *csv = arena_printf(&l->s->arena, "%s/log.csv", l->dir);
  read_earlier(l, json, step);
  l->bar = !l->s->opt.quiet && isatty(STDERR_FILENO);
  const char *new_json = arena_printf(&l->s->arena, "%s.new", json),
             *new_csv = arena_printf(&l->s->arena, "%s.new", csv);
  if (!(l->json = fopen(new_json, "w"))) return io_error(l, "log.jsonl");
  if (!(l->csv = fopen(new_csv, "w"))) return io_error(l, "log.csv");
  put_csv_head(l);
  for (size_t i = 0, k = 0; i < l->line.n; i++) {
    put_json(l, &l->line.at[i]);
    put_csv(l, &l->line.at[i]);
    for (; k < l->measured.n && l->measured.at[k].step <= l->line.at[i].step; k++) put_measured(l, &l->measured.at[k]);
  }
  // A run that is killed here has the old files: lines that were read are not lost.
  if (fflush(l->json) || rename(new_json, json)) return io_error(l, "log.jsonl");
  if (fflush(l->csv) || rename(new_csv, csv)) return io_error(l, "log.csv");
  return open_events(l, step);
}

/* at work
 * ------------------------------------------------------------------------------------------------------------------ */

static const char *time_left(char *text, size_t n, double seconds) {
  if (!(seconds < 1e8)) return "";
  if (seconds < 90)
    snprintf(text, n, "%.0f s left", seconds);
  else if (seconds < 5400)
    snprintf(text, n, "%.0f min left", seconds / 60);
  else
    snprintf(text, n, "%.1f h left", seconds / 3600);
  return text;
}

static void show(TrainLog *l, const TrainLine *x) {
  char text[400], left[32], at[64];
  double every = l->bar ? 0.1 : 10;
  uint64_t first = l->line.at[0].step;
  bool end = x->step == l->steps || x->step == first;
  if (l->s->opt.quiet || (x->seconds - l->shown < every && !end)) return;
  l->shown = x->seconds;
  int n = 0;
  for (size_t i = 0; i < l->nparts && n < 300; i++)
    n += snprintf(text + n, sizeof text - (size_t)n, "%s%s %.4g", i ? "  " : "", l->part[i], x->loss[i]);
  snprintf(text + n, sizeof text - (size_t)n, "  lr %.3g  norm %.3g  %.0f/s  %s", x->rate, x->norm, x->samples,
           time_left(left, sizeof left, (double)(l->steps - x->step) * x->seconds / (double)(x->step - first + 1)));
  snprintf(at, sizeof at, "%llu/%llu ", (unsigned long long)x->step, (unsigned long long)l->steps);
  if (l->bar)
    progress_bar(at, (double)x->step / (double)l->steps, text);
  else
    fprintf(stderr, "step %s %s\n", at, text);
}

bool train_log_step(TrainLog *l, const TrainLine *x) {
  VEC_PUSH(&l->lines, l->line, *x);
  put_json(l, x);
  put_csv(l, x);
  show(l, x);
  if (fflush(l->json) || fflush(l->csv)) return io_error(l, "log.jsonl");
  Buf b = {0};
  step_event(l, x, wall(), &b);
  bool ok = put_event(l, &b);
  buf_free(&b);
  return ok;
}

bool train_log_measured(TrainLog *l, const TrainLine *x) {
  VEC_PUSH(&l->lines, l->measured, *x);
  put_measured(l, x);
  if (l->bar) progress_clear();
  if (!l->s->opt.quiet) {
    fprintf(stderr, "step %llu: val_loss %.5g", (unsigned long long)x->step, x->loss[0]);
    for (size_t i = 0; i < l->nmeasure; i++) fprintf(stderr, "  %s %.4g", l->measure[i], x->loss[i + 1]);
    fputc('\n', stderr);
  }
  if (fflush(l->json)) return io_error(l, "log.jsonl");
  Buf b = {0};
  measured_event(l, x, wall(), &b);
  bool ok = put_event(l, &b);
  buf_free(&b);
  return ok;
}

bool train_log_close(TrainLog *l) {
  bool ok = true;
  FILE *const file[] = {l->json, l->csv, l->events};
  if (l->bar && l->line.n) progress_clear();
  for (size_t i = 0; i < 3; i++)
    if (file[i] && fclose(file[i])) ok = false;
  l->json = l->csv = l->events = NULL;
  return ok || io_error(l, "log.jsonl");
}

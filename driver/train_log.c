// train_log.c: what a run of `syc train` says: a bar on a terminal, a line now and then elsewhere; log.jsonl and
// log.csv, a line a step; loss.svg at the end.
#include "train.h"

#include "common/progress.h"

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
                 .samples = json_field(j, "samples_per_s")};
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
  fputs(",samples_per_s,seconds\n", l->csv);
}

static void put_json(TrainLog *l, const TrainLine *x) {
  fprintf(l->json, "{\"step\": %llu, \"epoch\": %.6g, \"lr\": %.9g, \"norm\": %.9g", (unsigned long long)x->step,
          x->epoch, x->rate, x->norm);
  for (size_t i = 0; i < l->nparts; i++) fprintf(l->json, ", \"%s\": %.9g", l->part[i], x->loss[i]);
  fprintf(l->json, ", \"samples_per_s\": %.4g, \"seconds\": %.3f}\n", x->samples, x->seconds);
}

static void put_csv(TrainLog *l, const TrainLine *x) {
  fprintf(l->csv, "%llu,%.6g,%.9g,%.9g", (unsigned long long)x->step, x->epoch, x->rate, x->norm);
  for (size_t i = 0; i < l->nparts; i++) fprintf(l->csv, ",%.9g", x->loss[i]);
  fprintf(l->csv, ",%.4g,%.3f\n", x->samples, x->seconds);
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
  return !fflush(l->csv) && !rename(new_csv, csv) ? true : io_error(l, "log.csv");
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
  return true;
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
  return fflush(l->json) ? io_error(l, "log.jsonl") : true;
}

/* loss.svg
 * ----------------------------------------------------------------------------------------------------------------- */
enum { WIDTH = 720, HEIGHT = 360, LEFT = 60, TOP = 20, RIGHT = 140, BOTTOM = 40, POINTS = 300 };
static const char *const colour[] = {"#1f5fa8", "#c0392b", "#2e8b57", "#8e5ea2", "#d08c1d", "#5b6770"};

typedef struct Frame { // of the picture: logarithmic in the loss
  double lo, hi, steps;
} Frame;

static double x_of(const Frame *f, double step) {
  return LEFT + (WIDTH - LEFT - RIGHT) * step / f->steps;
}
static double y_of(const Frame *f, double loss) {
  return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (log(loss) - log(f->lo)) / (log(f->hi) - log(f->lo));
}

static void widen(Frame *f, double v) {
  if (!(v > 0) || isinf(v)) return;
  f->lo = f->lo > 0 && f->lo < v ? f->lo : v;
  f->hi = f->hi > v ? f->hi : v;
}

// Means of stretches of the steps.
static void put_curve(Buf *b, const Frame *f, const TrainLog *l, size_t part, const char *stroke) {
  size_t stretch = (l->line.n + POINTS - 1) / POINTS;
  buf_printf(b, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", stroke);
  for (size_t i = 0; i < l->line.n; i += stretch) {
    double sum = 0, n = 0, at = 0;
    for (size_t k = i; k < l->line.n && k < i + stretch; k++)
      sum += l->line.at[k].loss[part], at += (double)l->line.at[k].step, n++;
    if (sum > 0 && !isinf(sum)) buf_printf(b, "%.1f,%.1f ", x_of(f, at / n), y_of(f, sum / n));
  }
  buf_puts(b, "\"/>\n");
}

static void put_measures(Buf *b, const Frame *f, const TrainLog *l) {
  for (size_t i = 0; i < l->measured.n; i++)
    if (l->measured.at[i].loss[0] > 0 && !isinf(l->measured.at[i].loss[0]))
      buf_printf(b, "<circle r=\"3\" fill=\"#111\" cx=\"%.1f\" cy=\"%.1f\"/>\n",
                 x_of(f, (double)l->measured.at[i].step), y_of(f, l->measured.at[i].loss[0]));
}

static void put_axes(Buf *b, const Frame *f) {
  for (int i = 0; i <= 4; i++) {
    double v = f->lo * pow(f->hi / f->lo, i / 4.0), y = y_of(f, v), step = f->steps * i / 4;
    buf_printf(b,
               "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n<text x=\"%d\" y=\"%.1f\" "
               "text-anchor=\"end\">%.3g</text>\n<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
               LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, v, x_of(f, step), HEIGHT - BOTTOM + 18, step);
  }
}

static void draw(const TrainLog *l, Buf *b) {
  Frame f = {.steps = (double)(l->steps ? l->steps : 1)};
  for (size_t i = 0; i < l->line.n; i++)
    for (size_t k = 0; k < l->nparts; k++) widen(&f, l->line.at[i].loss[k]);
  for (size_t i = 0; i < l->measured.n; i++) widen(&f, l->measured.at[i].loss[0]);
  if (!(f.lo > 0)) f.lo = f.hi = 1;
  if (f.hi < f.lo * 1.1) f.hi = f.lo * 1.1;
  buf_printf(b,
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
             "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
             WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
  put_axes(b, &f);
  for (size_t i = 0; i < l->nparts; i++) {
    const char *stroke = colour[i % (sizeof colour / sizeof *colour)];
    put_curve(b, &f, l, i, stroke);
    buf_printf(b, "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", WIDTH - RIGHT + 10, TOP + 14 + 16 * (int)i, stroke,
               l->part[i]);
  }
  put_measures(b, &f, l);
  if (l->measured.n)
    buf_printf(b, "<text x=\"%d\" y=\"%d\">&#9679; val_loss</text>\n", WIDTH - RIGHT + 10,
               TOP + 14 + 16 * (int)l->nparts);
  buf_puts(b, "</svg>\n");
}

bool train_log_close(TrainLog *l) {
  const char *path = arena_printf(&l->s->arena, "%s/loss.svg", l->dir), *err;
  Buf b = {0};
  if (l->bar && l->line.n) progress_clear();
  bool ok = !l->json || !fclose(l->json);
  if (l->csv && fclose(l->csv)) ok = false;
  l->json = l->csv = NULL;
  if (!ok) return io_error(l, "log.jsonl");
  if (!l->line.n) return true; // and the arena is empty
  draw(l, &b);
  ok = file_write(path, b.s, b.n, &err);
  if (!ok) session_fail(l->s, EXIT_IO, "cannot write %s: %s", path, err);
  buf_free(&b);
  arena_free(&l->lines);
  return ok;
}

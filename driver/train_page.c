// train_page.c: a run to look at: loss.svg, and index.html, one page that needs nothing else: curves, what the last
// evaluation measured and answered, which classes were taken for which, the command and what decides the bits.
#include "train.h"
#include "train_chart.h"

#include "data/png.h"

#include <math.h>
#include <string.h>

/* curves
 * ---------------------------------------------------------------------------------------------------------------------
 */

typedef double LineValue(const TrainLine *x, size_t part);

static double loss_of(const TrainLine *x, size_t part) {
  return x->loss[part];
}
static double rate_of(const TrainLine *x, size_t part) {
  return (void)part, x->rate;
}
static double norm_of(const TrainLine *x, size_t part) {
  return (void)part, x->norm;
}
static double samples_of(const TrainLine *x, size_t part) {
  return (void)part, x->samples;
}
static double memory_of(const TrainLine *x, size_t part) {
  return (void)part, x->memory;
}

static void add_series(Arena *a, Chart *c, const char *name, const TrainLine *line, size_t n, LineValue *value,
                       size_t part, bool dots) {
  double *x = ARENA_ARRAY(a, double, n + 1), *y = ARENA_ARRAY(a, double, n + 1);
  for (size_t i = 0; i < n; i++) x[i] = (double)line[i].step, y[i] = value(&line[i], part);
  if (c->n < CHART_SERIES) c->series[c->n++] = (ChartSeries){name, x, y, n, dots};
}

static void put_losses(Arena *a, const TrainLog *l, const char *title, Buf *b) {
  Chart c = {.title = title, .steps = (double)l->steps, .logarithmic = true};
  for (size_t i = 0; i < l->nparts; i++) add_series(a, &c, l->part[i], l->line.at, l->line.n, loss_of, i, false);
  if (l->measured.n) add_series(a, &c, "val_loss", l->measured.at, l->measured.n, loss_of, 0, true);
  chart_put(b, &c);
}

static void put_one(Arena *a, const TrainLog *l, const char *title, LineValue *value, bool logarithmic, Buf *b) {
  Chart c = {.title = title, .steps = (double)l->steps, .logarithmic = logarithmic};
  add_series(a, &c, title, l->line.at, l->line.n, value, 0, false);
  chart_put(b, &c);
}

static void put_measures(Arena *a, const TrainLog *l, Buf *b) {
  Chart c = {.title = "measured on --val", .steps = (double)l->steps};
  for (size_t i = 0; i < l->nmeasure; i++)
    add_series(a, &c, l->measure[i], l->measured.at, l->measured.n, loss_of, i + 1, false);
  if (l->measured.n && c.n) chart_put(b, &c);
}

/* the last evaluation
 * -------------------------------------------------------------------------------------------------------- */

static const char *class_name(const TrainEval *e, int32_t i, char *number, size_t room) {
  const HostLabels *names = e->options.answers ? e->options.answers : data_classes(e->data);
  if (names && i >= 0 && (size_t)i < names->count) return names->name[i];
  snprintf(number, room, "%d", i);
  return number;
}

static void put_class(const TrainEval *e, int32_t i, Buf *b) {
  char number[24];
  html_text(b, class_name(e, i, number, sizeof number));
}

static void put_base64(Buf *b, const unsigned char *p, size_t n) {
  static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
    for (int k = 0; k < 4; k++) buf_putc(b, i + (size_t)k > n ? '=' : digit[v >> (18 - 6 * k) & 63]);
  }
}

// A picture, every nth pixel of a large one.
static void put_picture(const DataSample *s, const DataField *f, Buf *b) {
  enum { SIDE = 160 };
  HostImage im = {0};
  HostError err;
  Buf png = {0};
  if (!data_picture(s, f, 0, &im, &err)) return;
  int most = im.width > im.height ? im.width : im.height, every = (most + SIDE - 1) / SIDE;
  if (every > 1 && im.kind <= HOST_PALETTE) {
    int w = im.width / every, h = im.height / every;
    w = w ? w : 1, h = h ? h : 1;
    for (int y = 0; y < h; y++)
      for (int x = 0; x < w; x++)
        memmove(im.pixel + (y * w + x) * im.channels, im.pixel + (y * every * im.width + x * every) * im.channels,
                (size_t)im.channels);
    im.width = w, im.height = h;
  }
  if (png_put(&im, &png)) {
    buf_puts(b, "<img alt=\"\" src=\"data:image/png;base64,");
    put_base64(b, (const unsigned char *)png.s, png.n);
    buf_puts(b, "\"/>");
  }
  buf_free(&png);
  host_image_free(&im);
}

static void put_texts(const DataSample *s, const char *names, Buf *b) {
  const DataField *f = data_field(s, names);
  for (size_t i = 0; f && f->kind == DATA_TEXT && i < f->n; i++) {
    buf_puts(b, "<div>");
    html_text(b, f->text[i]);
    buf_puts(b, "</div>");
  }
}

static void put_shown(const TrainEval *e, const TrainShown *x, Buf *b) {
  DataSample s;
  HostError err;
  buf_printf(b, "<div class=\"sample %s\">", x->worth > 0 ? "right" : "wrong");
  if (data_read(e->data, x->sample, &s, &err)) {
    const DataField *f = data_field(&s, data_picture_names);
    if (f) put_picture(&s, f, b);
    put_texts(&s, "question sentence text caption captions", b);
    buf_puts(b, "<b>");
    put_class(e, x->given, b);
    buf_puts(b, "</b>");
    if (x->right < 0)
      buf_printf(b, " (worth %.3g of: ", x->worth), put_texts(&s, "answers answer", b), buf_puts(b, ")");
    else if (x->right != x->given)
      buf_puts(b, " (it is "), put_class(e, x->right, b), buf_puts(b, ")");
  }
  buf_puts(b, "</div>\n");
  data_sample_free(&s);
}

enum { TABLE_CLASSES = 40, PAIRS = 20 };
static void put_matrix(const TrainEval *e, Buf *b) {
  size_t n = e->classes;
  buf_puts(b, "<table><tr><th>is \\ taken for</th>");
  for (size_t i = 0; i < n; i++) buf_puts(b, "<th>"), put_class(e, (int32_t)i, b), buf_puts(b, "</th>");
  buf_puts(b, "</tr>\n");
  for (size_t i = 0; i < n; i++) {
    double sum = 0;
    for (size_t k = 0; k < n; k++) sum += e->confused[i * n + k];
    buf_puts(b, "<tr><th>"), put_class(e, (int32_t)i, b), buf_puts(b, "</th>");
    for (size_t k = 0; k < n; k++) {
      uint32_t v = e->confused[i * n + k];
      buf_printf(b, "<td style=\"background:rgba(%s,%.2f)\">%u</td>", i == k ? "46,139,87" : "192,57,43",
                 sum > 0 ? v / sum : 0, v);
    }
    buf_puts(b, "</tr>\n");
  }
  buf_puts(b, "</table>\n");
}

// Of many classes those pairs that are taken for each other most often.
static void put_pairs(const TrainEval *e, Buf *b) {
  size_t n = e->classes, from[PAIRS], to[PAIRS], have = 0;
  uint32_t often[PAIRS];
  for (size_t i = 0; i < n * n; i++) {
    uint32_t v = e->confused[i];
    if (i / n == i % n || !v || (have == PAIRS && v <= often[PAIRS - 1])) continue;
    size_t at = have < PAIRS ? have++ : PAIRS - 1;
    for (; at > 0 && often[at - 1] < v; at--) often[at] = often[at - 1], from[at] = from[at - 1], to[at] = to[at - 1];
    often[at] = v, from[at] = i / n, to[at] = i % n;
  }
  buf_puts(b, "<table><tr><th>is</th><th>taken for</th><th>times</th></tr>\n");
  for (size_t i = 0; i < have; i++) {
    buf_puts(b, "<tr><td>"), put_class(e, (int32_t)from[i], b), buf_puts(b, "</td><td>");
    put_class(e, (int32_t)to[i], b), buf_printf(b, "</td><td>%u</td></tr>\n", often[i]);
  }
  buf_puts(b, "</table>\n");
}

static void put_evaluation(const TrainLog *l, const TrainEval *e, Buf *b) {
  if (!l->measured.n) return;
  const TrainLine *x = &l->measured.at[l->measured.n - 1];
  buf_printf(b, "<h2>Behind step %llu</h2>\n<table><tr><th>val_loss</th><td>%.5g</td></tr>\n",
             (unsigned long long)x->step, x->loss[0]);
  for (size_t i = 0; i < l->nmeasure; i++) {
    buf_puts(b, "<tr><th>"), html_text(b, l->measure[i]);
    buf_printf(b, "</th><td>%.4g</td></tr>\n", x->loss[i + 1]);
  }
  buf_puts(b, "</table>\n");
  if (e->nshown) buf_puts(b, "<h2>Answers</h2>\n<div class=\"samples\">\n");
  for (size_t i = 0; i < e->nshown; i++) put_shown(e, &e->shown[i], b);
  if (e->nshown) buf_puts(b, "</div>\n");
  if (!e->confused) return;
  buf_puts(b, "<h2>Which class is taken for which</h2>\n");
  (e->classes <= TABLE_CLASSES ? put_matrix : put_pairs)(e, b);
}

/* the page
 * -------------------------------------------------------------------------------------------------------------------
 */
static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n<style>\nbody{font:14px sans-serif;margin:2em;"
    "max-width:1500px;color:#222}\nsvg{margin:0 1em 1em 0;max-width:100%;height:auto}\ntable{border-collapse:collapse;"
    "margin-bottom:1em}\nth,td{border:1px solid #ddd;padding:3px 8px;text-align:right;font-weight:normal}\npre{"
    "background:#f6f6f6;padding:1em;overflow:auto}\n.samples{display:flex;flex-wrap:wrap;gap:12px}\n.sample{width:"
    "170px;"
    "border:1px solid #ddd;border-top:4px solid #c0392b;padding:6px;overflow-wrap:anywhere}\n.right{border-top-color:"
    "#2e8b57}\nimg{max-width:160px;min-width:84px;image-rendering:pixelated;display:block}\n</style>\n<title>";

// As a shell takes it: what is not plain stands in quotes.
static void put_command(Session *s, Buf *b) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,+@%";
  buf_printf(b, "syc %s", s->command);
  for (size_t i = 0; i < s->words.n; i++) {
    const char *w = s->words.at[i];
    bool quote = !*w || w[strspn(w, plain)];
    buf_puts(b, quote ? " '" : " ");
    for (const char *at = w; *at;) {
      size_t n = strcspn(at, "'");
      char *part = arena_strndup(&s->arena, at, n);
      html_text(b, part);
      at += n;
      if (*at) buf_puts(b, "'\\''"), at++;
    }
    if (quote) buf_putc(b, '\'');
  }
}

static bool write_page(Session *s, const char *dir, const char *name, const Buf *b) {
  const char *path = arena_printf(&s->arena, "%s/%s", dir, name), *err;
  return file_write(path, b->s, b->n, &err) || (session_fail(s, EXIT_IO, "cannot write %s: %s", path, err), false);
}

// Lines of text that may have line breaks.
static void put_lines(Arena *a, const char *text, Buf *b) {
  for (const char *at = text; *at;) {
    size_t n = strcspn(at, "\n");
    html_text(b, arena_strndup(a, at, n));
    buf_putc(b, '\n');
    at += n + (at[n] != 0);
  }
}

bool train_page(const TrainLog *l, const TrainEval *e, const char *about) {
  Arena a = {0};
  Buf svg = {0}, b = {0};
  if (!l->line.n) return true; // no step was made
  put_losses(&a, l, NULL, &svg);
  buf_puts(&b, head);
  html_text(&b, l->dir);
  buf_puts(&b, "</title></head><body>\n<h1>");
  html_text(&b, l->dir);
  const TrainLine *x = &l->line.at[l->line.n - 1];
  buf_printf(&b, "</h1>\n<p>Step %llu of %llu, epoch %.3g</p>\n<div>\n", (unsigned long long)x->step,
             (unsigned long long)l->steps, x->epoch);
  put_losses(&a, l, "loss", &b);
  put_measures(&a, l, &b);
  put_one(&a, l, "learning rate", rate_of, false, &b);
  put_one(&a, l, "length of the gradient", norm_of, true, &b);
  put_one(&a, l, "samples a second", samples_of, false, &b);
  put_one(&a, l, "memory, MB", memory_of, false, &b);
  buf_puts(&b, "</div>\n");
  put_evaluation(l, e, &b);
  buf_puts(&b, "<h2>Command</h2>\n<pre>");
  put_command(l->s, &b);
  buf_puts(&b, "</pre>\n<h2>What decides the bits</h2>\n<pre>");
  put_lines(&a, about, &b);
  buf_puts(&b, "</pre>\n</body></html>\n");
  bool ok = write_page(l->s, l->dir, "loss.svg", &svg) && write_page(l->s, l->dir, "index.html", &b);
  arena_free(&a);
  buf_free(&svg);
  buf_free(&b);
  return ok;
}

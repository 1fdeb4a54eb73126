// train_chart.c: see train_chart.h.
#include "train_chart.h"

#include "common/text.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 720, HEIGHT = 360, LEFT = 70, TOP = 30, RIGHT = 150, BOTTOM = 40, POINTS = 300 };
static const char *const colour[] = {"#1f5fa8", "#c0392b", "#2e8b57", "#8e5ea2", "#d08c1d", "#5b6770", "#17808a"};

static void put_escaped(void *ud, const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const char *as = s[i] == '<'   ? "&lt;"
                     : s[i] == '>' ? "&gt;"
                     : s[i] == '&' ? "&amp;"
                     : s[i] == '"' ? "&quot;"
                                   : NULL;
    if (as)
      buf_puts(ud, as);
    else
      buf_putc(ud, s[i]);
  }
}

void html_text(Buf *b, const char *s) {
  text_escape(s, strlen(s), put_escaped, b);
}

typedef struct Frame {
  const Chart *c;
  double lo, hi;
} Frame;

static double x_of(const Frame *f, double step) {
  return LEFT + (WIDTH - LEFT - RIGHT) * step / (f->c->steps > 0 ? f->c->steps : 1);
}
static double y_of(const Frame *f, double v) {
  double part = f->c->logarithmic ? log(v / f->lo) / log(f->hi / f->lo) : (v - f->lo) / (f->hi - f->lo);
  return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part;
}

static bool is_shown(const Chart *c, double v) {
  return isfinite(v) && (!c->logarithmic || v > 0);
}

static Frame frame_of(const Chart *c) {
  Frame f = {c, INFINITY, -INFINITY};
  for (size_t i = 0; i < c->n; i++)
    for (size_t k = 0; k < c->series[i].n; k++) {
      double v = c->series[i].y[k];
      if (is_shown(c, v)) f.lo = fmin(f.lo, v), f.hi = fmax(f.hi, v);
    }
  if (!(f.lo <= f.hi)) f.lo = f.hi = c->logarithmic ? 1 : 0;
  if (!c->logarithmic && f.lo > 0) f.lo = 0;
  if (c->logarithmic && f.hi < f.lo * 1.1) f.hi = f.lo * 1.1;
  if (!c->logarithmic && f.hi - f.lo < 1e-12) f.hi = f.lo + 1;
  return f;
}

static void put_axes(Buf *b, const Frame *f) {
  for (int i = 0; i <= 4; i++) {
    double v = f->c->logarithmic ? f->lo * pow(f->hi / f->lo, i / 4.0) : f->lo + (f->hi - f->lo) * i / 4;
    double y = y_of(f, v), step = f->c->steps * i / 4;
    buf_printf(b,
               "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n<text x=\"%d\" y=\"%.1f\" "
               "text-anchor=\"end\">%.3g</text>\n<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
               LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, v, x_of(f, step), HEIGHT - BOTTOM + 18, step);
  }
}

static void put_line(Buf *b, const Frame *f, const ChartSeries *s, const char *stroke) {
  size_t stretch = (s->n + POINTS - 1) / POINTS;
  buf_printf(b, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", stroke);
  for (size_t i = 0; i < s->n; i += stretch) {
    double sum = 0, n = 0, at = 0;
    for (size_t k = i; k < s->n && k < i + stretch; k++) sum += s->y[k], at += s->x[k], n++;
    if (is_shown(f->c, sum)) buf_printf(b, "%.1f,%.1f ", x_of(f, at / n), y_of(f, sum / n));
  }
  buf_puts(b, "\"/>\n");
}

static void put_dots(Buf *b, const Frame *f, const ChartSeries *s, const char *fill) {
  for (size_t i = 0; i < s->n; i++)
    if (is_shown(f->c, s->y[i]))
      buf_printf(b, "<circle r=\"3\" fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\"/>\n", fill, x_of(f, s->x[i]),
                 y_of(f, s->y[i]));
}

void chart_put(Buf *b, const Chart *c) {
  Frame f = frame_of(c);
  buf_printf(b,
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
             "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
             WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
  if (c->title) {
    buf_printf(b, "<text x=\"%d\" y=\"18\" font-weight=\"bold\">", LEFT);
    html_text(b, c->title);
    buf_puts(b, "</text>\n");
  }
  put_axes(b, &f);
  for (size_t i = 0; i < c->n; i++) {
    const ChartSeries *s = &c->series[i];
    const char *stroke = s->dots && i ? "#111" : colour[i % (sizeof colour / sizeof *colour)];
    if (s->dots)
      put_dots(b, &f, s, stroke);
    else
      put_line(b, &f, s, stroke);
    buf_printf(b, "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s", WIDTH - RIGHT + 10, TOP + 14 + 16 * (int)i, stroke,
               s->dots ? "&#9679; " : "");
    html_text(b, s->name);
    buf_puts(b, "</text>\n");
  }
  buf_puts(b, "</svg>\n");
}

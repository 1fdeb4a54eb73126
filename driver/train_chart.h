// train_chart.h: curves over the steps of a run, as SVG.
#ifndef SY_TRAIN_CHART_H
#define SY_TRAIN_CHART_H

#include "ir/base/base.h"

typedef struct ChartSeries {
  const char *name;
  const double *x, *y; // [n], x ascends
  size_t n;
  bool dots; // one for each value; else a line through means of stretches
} ChartSeries;
enum { CHART_SERIES = 32 };
typedef struct Chart {
  const char *title; // NULL: none
  double steps;      // of the x axis
  bool logarithmic;  // of what is above 0; else from 0 or the least value
  ChartSeries series[CHART_SERIES];
  size_t n;
} Chart;
// A whole <svg> element; names and title are escaped.
void chart_put(Buf *b, const Chart *c);
// Text in HTML, SVG or an attribute: what they would read as theirs is escaped, and so is what no terminal should see.
void html_text(Buf *b, const char *s);

#endif

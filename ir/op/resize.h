// resize.h: resizing of position tables, for the operator resize_table and for weights that a page allows to be resized
// when a checkpoint belongs to another grid.
#ifndef SY_OP_RESIZE_H
#define SY_OP_RESIZE_H

#include "../graph.h"

typedef struct ResizePlan {
  int method;
  bool relative;          // offsets on a grid: (2h-1)(2w-1) rows in front, the kept ones behind
  int64_t keep;           // rows that stay
  int64_t from[2], to[2]; // grids
} ResizePlan;
bool resize_method_exists(const char *name);
// How a table of rows_from rows becomes one of rows_to; grid: the new grid, NULL: a square. False if the numbers fit no
// (square) old grid.
SY_MUST_USE bool resize_plan(const char *method, int64_t keep, const int64_t *grid, int64_t rows_from, int64_t rows_to,
                             ResizePlan *p);
// in, out: [rows][width]. Allocates in scratch.
void resize_run(Arena *scratch, const ResizePlan *p, const double *in, int64_t width, double *out);

#endif

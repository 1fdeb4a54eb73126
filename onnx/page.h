// page.h: what page.c and loop.c share: the lines of a page, and where they come again.
#ifndef SY_ONNX_PAGE_H
#define SY_ONNX_PAGE_H

#include "import.h"

typedef enum PartKind { PART_TEXT, PART_VAL, PART_PATH } PartKind;
typedef struct Part {
  PartKind kind;
  const char *text; // TEXT, PATH
  Val v;            // VAL
} Part;
typedef struct Line {
  Val v;       // what it defines
  bool weight; // `weight NAME: TYPE @/PATH`, else `let NAME = ..`
  VEC(Part) part;
} Line;

typedef struct Page {
  Arena *arena;
  const Graph *g;
  VEC(Line) line;
  uint32_t *uses;    // by value
  bool *inside;      // by value: it stands in the line of its user
  bool *done;        // by value: weights that have a line
  const char **name; // by value; NULL: inputs, which have theirs
  uint32_t *row;     // by value: the number of its line + 1, 0 if it has none
} Page;

typedef struct Loop {
  const Page *p;
  size_t period, count; // lines of a round, rounds
  Val entry;            // what the first round takes from before it
} Loop;

/* loop.c */
// Do the lines from `from` on come again with paths whose numbers count up? At least two rounds, of which each hands
// one value to the next: that of its last line.
bool loop_find(const Page *p, size_t from, Loop *out);
// A path of the first round with {i} for its number.
void loop_path(const Loop *l, const char *path, Buf *out);

#endif

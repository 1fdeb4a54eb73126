// graph_index.h: users and facts of the values of a graph, private to graph.c and graph_index.c.
#ifndef SY_GRAPH_INDEX_H
#define SY_GRAPH_INDEX_H

#include "graph.h"

struct GraphIndex *graph_index_new(Arena *a);
void graph_index_reset(Graph *g); // after values were renumbered
// `with` takes the place of `old` in its users, except for those that `with` stands on. Returns those that changed, in
// ascending order, until the next call.
const uint32_t *graph_index_replace(Graph *g, uint32_t old, uint32_t with, size_t *n);

#endif

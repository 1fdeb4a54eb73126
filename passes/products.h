// products.h: which product of a graph is in which precision, and by which weights it is known: for what tells people
// (syc explain, --describe of a program), after the passes.
#ifndef SY_PRODUCTS_H
#define SY_PRODUCTS_H

#include "ir/precision.h"

typedef struct Product {
  const char *name; // "encoder.0.mlp.0" of the weight "encoder.0.mlp.0.weight"; of several the first
  size_t more;      // how many weights it is made of besides
  const Precision *is;
  int64_t k, n; // columns of its rows, of its result
} Product;

// False: v is no product of rows with a weight.
SY_MUST_USE bool product_of(const Graph *g, Val v, Product *out);
// What a module was built with, behind "precision=" of Module.built: the name of a precision or a set's rules; "f32".
const char *precision_label(const char *built);

#endif

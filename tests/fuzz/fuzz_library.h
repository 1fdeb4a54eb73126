// fuzz_library.h: the little `std` that pages of the fuzz targets may use, as a finder of the front end.
#ifndef SY_FUZZ_LIBRARY_H
#define SY_FUZZ_LIBRARY_H

#include <stddef.h>
#include <string.h>

static const char library[] = "block linear(x, out) {\n"
                              "  weight weight: f32[out, width(x)]\n"
                              "  weight bias: f32[out]\n"
                              "  return affine(x, weight, bias)\n"
                              "}\n"
                              "block norm(x, eps) {\n"
                              "  weight weight: f32[width(x)]\n"
                              "  weight bias: f32[width(x)]\n"
                              "  return layer_norm(x, weight, bias, eps = eps)\n"
                              "}\n";

static const char *find(void *ud, const char *name, size_t *n, const char **path) {
  (void)ud, (void)path;
  if (strcmp(name, "std") != 0) return NULL;
  *n = sizeof library - 1;
  return library;
}

#endif

// generates.h: the generates of a program as compiled models describe them (sy_generate of runtime/switchyard.h): made
// once from the records of the module, put into the tables (image.c), read by syc itself where it runs a search.
#ifndef SY_GENERATES_H
#define SY_GENERATES_H

#include "program.h"
#include "runtime/switchyard.h"

// One for each generate whose two routes are in the program; numbers of routes are those of the program.
sy_generate *program_generates(const Program *p, Arena *a, size_t *n);

#endif

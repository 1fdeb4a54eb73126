// update.h: kernels that change parameters, element by element: the optimisers' rules, sums of gradients, averages of
// weights. They stand behind the kernels of a program that has gradients in place; what calls them with which numbers:
// runtime/engine/train.c.
#ifndef SY_UPDATE_H
#define SY_UPDATE_H

#include "runtime/engine/update.h"
#include "target.h"

enum { UPDATE_GRAIN = 16, UPDATE_TASK = 1 << 14 }; // elements that lengths are multiples of; elements of a task

typedef struct UpdateInfo {
  const char *name, *about;
} UpdateInfo;
extern const UpdateInfo update_info[MDL__UPDATES];

// Parameters: see MDL__UPDATES of runtime/engine/update.h. The run-time dim 0 of a launch is the number of grains.
Kernel *update_kernel(Arena *a, const Target *t, unsigned which);

#endif

// fuzz_kernel.h: kernels read from a text that anybody may have written, for what runs them.
#ifndef SY_FUZZ_KERNEL_H
#define SY_FUZZ_KERNEL_H

#include "ir/kernel.h"

#include <string.h>

enum { FUZZ_KERNEL_WORK = 20000, FUZZ_KERNEL_BYTES = 1 << 16 };

// NULL after errors, which are in *d.
static inline Kernel *fuzz_kernel_parse(Arena *a, Diag *d, const char *text, size_t n) {
  diag_init(d, a);
  Intern *names = ARENA_NEW(a, Intern);
  names->arena = a;
  return kernel_parse(a, names, d, text, n, diag_add_file(d, "fuzz.kir", text, n));
}

// Is a run quick and its memory little, whatever the loops say?
static inline bool fuzz_kernel_small(const Kernel *k) {
  double work = 1, bytes = 0, total = 0;
  double outer[64];
  size_t depth = 0;
  for (size_t i = 1; i < k->buf.n; i++) bytes += 4.0 * (double)k->buf.at[i].n;
  for (size_t i = 1; i < k->ins.n; i++) {
    const KIns *s = &k->ins.at[i];
    total += work;
    if (s->op == K_region) outer[depth++] = work;
    if (s->op == K_par || s->op == K_loop) {
      const KVarInfo *v = &k->var.at[s->var.id];
      outer[depth++] = work;
      work *= v->hi < v->lo ? 1 : (double)(v->hi - v->lo + 1) / (double)s->step + 1;
    }
    if (s->op == K_end) work = outer[--depth];
  }
  return total < FUZZ_KERNEL_WORK && bytes < FUZZ_KERNEL_BYTES;
}

#endif

// kernel_legal.c: rewrites what a target lacks into what it has, in place. Afterwards every operation has a row.
//
//   without fma:   %9 = fma %a, %b, %c   =>   %8 = mul %a, %b;  %9 = add %8, %c     (rounded twice)
//
// The list of instructions is rebuilt, so values are renumbered; order, names and variables stay as they are.
#include "kernel.h"

void kernel_legalise(Kernel *k, bool has_fma) {
  if (has_fma) return;
  size_t n = k->ins.n;
  const KIns *old = k->ins.at;
  KVal *now = ARENA_ARRAY(k->arena, KVal, n); // new number of each old value
  k->ins.at = NULL;
  k->ins.n = k->ins.cap = 0;
  for (size_t i = 0; i < n; i++) {
    KIns s = old[i];
    for (int a = 0; a < 3; a++) s.arg[a] = now[s.arg[a].id];
    if (s.op == K_fma) {
      KIns mul = s;
      mul.op = K_mul;
      mul.arg[2] = (KVal){0};
      mul.name = NULL;
      VEC_PUSH(k->arena, k->ins, mul);
      s.op = K_add;
      s.arg[0] = (KVal){(uint32_t)(k->ins.n - 1)};
      s.arg[1] = s.arg[2];
      s.arg[2] = (KVal){0};
    }
    VEC_PUSH(k->arena, k->ins, s);
    now[i] = (KVal){(uint32_t)(k->ins.n - 1)};
  }
}

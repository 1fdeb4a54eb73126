//@ alone
// cpu_words.h: the words in which a processor, or the operating system for it, says what it has. Read here alone: by
// the runtime (cpu.c) and by every compiled model (engine/engine.c). What a bit means: cpu.def.
#ifndef SY_CPU_WORDS_H
#define SY_CPU_WORDS_H

#include <stdint.h>
#include <string.h>

//@ end
/* Of cpuid by leaf, subleaf and register; the registers that the operating system saves; what Linux says elsewhere. */
enum {
  SY_CPU_1_ECX,
  SY_CPU_7_EBX,
  SY_CPU_7_ECX,
  SY_CPU_7_EDX,
  SY_CPU_7_1_EAX,
  SY_CPU_EXTENDED_1_ECX,
  SY_CPU_XCR0,
  SY_CPU_OS,
  SY_CPU_WORDS
};

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#include <cpuid.h>
#elif defined(__linux__) && __STDC_HOSTED__
#include <sys/auxv.h>
#endif
static inline void sy_cpu_words(uint32_t have[SY_CPU_WORDS]) {
  memset(have, 0, SY_CPU_WORDS * sizeof *have);
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d)) have[SY_CPU_1_ECX] = c;
  if (have[SY_CPU_1_ECX] & (1u << 27)) { /* OSXSAVE: it can be asked */
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    have[SY_CPU_XCR0] = a;
  }
  if (__get_cpuid(0x80000001u, &a, &b, &c, &d)) have[SY_CPU_EXTENDED_1_ECX] = c;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
  have[SY_CPU_7_EBX] = b;
  have[SY_CPU_7_ECX] = c;
  have[SY_CPU_7_EDX] = d;
  if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) have[SY_CPU_7_1_EAX] = a;
#elif defined(__linux__) && __STDC_HOSTED__
  have[SY_CPU_OS] = (uint32_t)getauxval(AT_HWCAP);
#endif
}

/* Has a processor that says `have` all of `need`? */
static inline int sy_cpu_has(const uint32_t need[SY_CPU_WORDS], const uint32_t have[SY_CPU_WORDS]) {
  for (int i = 0; i < SY_CPU_WORDS; i++)
    if ((have[i] & need[i]) != need[i]) return 0;
  return 1;
}
//@ alone

#endif
//@ end

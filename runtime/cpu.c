// cpu.c: what the machine offers: instruction sets (cpuid and xgetbv on x86, always NEON on aarch64), cores this
// process may use (its affinity mask), and the CPU's name for reports.
//
// Invariant: an instruction set is reported only if the operating system saves its registers too (XCR0).
//
//   printf("%s on %u cores\n", sy_cpu_isa(), sy_cpu_cores());   // avx512 on 16 cores
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // sched_getaffinity
#endif
#include "switchyard.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

static unsigned os_saved_registers(void) {
  unsigned lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return lo;
}

unsigned sy_cpu_features(void) {
  enum { FMA = 1u << 12, OSXSAVE = 1u << 27, AVX = 1u << 28, F16C = 1u << 29, AVX2 = 1u << 5 };
  const unsigned base = FMA | OSXSAVE | AVX | F16C, avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; // f dq bw vl
  unsigned a, b, c, d, found = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & base) != base) return 0;
  unsigned saved = os_saved_registers();
  if ((saved & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & AVX2)) return 0;
  found = SY_CPU_AVX2;
  if ((saved & 0xe6) == 0xe6 && (b & avx512) == avx512) found |= SY_CPU_AVX512;
  return found;
}

void sy_cpu_name(char *dst, size_t n) {
  unsigned word[12] = {0};
  char text[sizeof word + 1] = {0};
  for (unsigned i = 0; i < 3; i++)
    if (!__get_cpuid(0x80000002u + i, &word[4 * i], &word[4 * i + 1], &word[4 * i + 2], &word[4 * i + 3])) word[0] = 0;
  memcpy(text, word, sizeof word);
  const char *s = text;
  while (*s == ' ') s++;
  if (!*s) s = "unknown CPU";
  size_t len = strlen(s);
  while (len && s[len - 1] == ' ') len--;
  if (!n) return;
  if (len >= n) len = n - 1;
  memcpy(dst, s, len);
  dst[len] = 0;
}
#else
unsigned sy_cpu_features(void) {
#if defined(__aarch64__)
  return SY_CPU_NEON;
#else
  return 0;
#endif
}

void sy_cpu_name(char *dst, size_t n) {
  static const char text[] = "unknown CPU";
  if (!n) return;
  size_t len = sizeof text - 1 < n ? sizeof text - 1 : n - 1;
  memcpy(dst, text, len);
  dst[len] = 0;
}
#endif

const char *sy_cpu_isa(void) {
  unsigned f = sy_cpu_features();
  if (f & SY_CPU_AVX512) return "avx512";
  if (f & SY_CPU_AVX2) return "avx2";
  return f & SY_CPU_NEON ? "neon" : "portable";
}

unsigned sy_cpu_cores(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    int n = CPU_COUNT(&set);
    if (n > 0) return (unsigned)n;
  }
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (unsigned)n : 1;
}

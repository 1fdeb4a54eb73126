// cpu.c: what the machine offers: instruction sets (cpu.def), cores this process may use (its affinity mask), and the
// CPU's name for reports.
//
// Invariant: an instruction set is reported only if the operating system saves its registers too (XCR0).
//
//   printf("%s on %u cores\n", sy_cpu_isa(), sy_cpu_cores());   // avx512 on 16 cores
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // sched_getaffinity
#endif
#include "switchyard.h"

#include "cpu_words.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

static const struct Feature {
  const char *name;
  int word, bit;
  uint32_t saved; // of XCR0
} features[] = {
#define FEATURE(family, name, word, bit, saved) {name, word, bit, saved},
#include "cpu.def"
};
enum { FEATURES = sizeof features / sizeof *features };

static const struct InstructionSet {
  const char *name, *family, *features;
} sets[] = {
// from the worst to the best
#define INSTRUCTION_SET(name, family, title, features) {#name, #family, features},
#include "cpu.def"
};
enum { SETS = sizeof sets / sizeof *sets };

const char *sy_cpu_family(void) {
#if defined(__x86_64__)
  return "x86_64";
#elif defined(__aarch64__)
  return "aarch64";
#elif defined(__riscv) && __riscv_xlen == 64
  return "riscv64";
#else
  return "";
#endif
}

static int has_feature(const char *name, size_t n, const uint32_t have[SY_CPU_WORDS]) {
  for (size_t i = 0; i < FEATURES; i++) {
    uint32_t need[SY_CPU_WORDS] = {0};
    if (strlen(features[i].name) != n || strncmp(features[i].name, name, n) != 0) continue;
    need[features[i].word] = 1u << features[i].bit;
    need[SY_CPU_XCR0] = features[i].saved;
    return sy_cpu_has(need, have);
  }
  return 0;
}

static int runs(const struct InstructionSet *s) {
  uint32_t have[SY_CPU_WORDS];
  if (strcmp(s->family, "any") != 0 && strcmp(s->family, sy_cpu_family()) != 0) return 0;
  sy_cpu_words(have);
  for (const char *at = s->features; *at;) {
    size_t n = strcspn(at, ",");
    if (!has_feature(at, n, have)) return 0;
    at += n + (at[n] == ',');
  }
  return 1;
}

int sy_cpu_runs(const char *isa) {
  for (size_t i = 0; i < SETS; i++)
    if (!strcmp(sets[i].name, isa)) return runs(&sets[i]);
  return 0;
}

const char *sy_cpu_isa(void) {
  size_t best = SETS - 1;
  while (best > 0 && !runs(&sets[best])) best--;
  return sets[best].name;
}

#if defined(__x86_64__) || defined(__i386__)
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
void sy_cpu_name(char *dst, size_t n) {
  static const char text[] = "unknown CPU";
  if (!n) return;
  size_t len = sizeof text - 1 < n ? sizeof text - 1 : n - 1;
  memcpy(dst, text, len);
  dst[len] = 0;
}
#endif

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

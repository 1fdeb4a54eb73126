// target.c: the list of targets, the lookup of their rows, and what follows from runtime/cpu.def for all of them. A
// target is data: isa/NAME.c has its rows and facts.
#include "isa/isa.h"

#include "runtime/cpu_words.h"

#include <ctype.h>
#include <string.h>

enum {
#define FAMILY(name, is, compiled) FAMILY_##name,
#include "runtime/cpu.def"
  FAMILY_COUNT
};
static const Family families[] = {
#define FAMILY(name, is, compiled) {#name, is, compiled},
#include "runtime/cpu.def"
};

const InstructionSet instruction_sets[ISA_COUNT] = {
#define INSTRUCTION_SET(name, family, title, features)                                                                 \
  {#name, title, features, &families[FAMILY_##family], NULL, PRODUCTS_f32},
#define CODES_SET(name, of, family, title, features)                                                                   \
  {#name, title, features, &families[FAMILY_##family], #of, PRODUCTS_codes},
#define PAIRS_SET(name, of, family, title, features)                                                                   \
  {#name, title, features, &families[FAMILY_##family], #of, PRODUCTS_pairs},
#include "runtime/cpu.def"
};

const Target *const targets[] = {
#define INSTRUCTION_SET(name, family, title, features) &target_##name,
#include "runtime/cpu.def"
    NULL};

size_t target_count(void) {
  return sizeof targets / sizeof targets[0] - 1;
}

const Target *target_by_name(const char *name) {
  for (size_t i = 0; targets[i]; i++)
    if (!strcmp(targets[i]->name, name)) return targets[i];
  return NULL;
}

size_t target_alike(const Target *const *t, size_t n, size_t i) {
  for (size_t k = 0; k < n && t[i]->isa->codes_of; k++)
    if (!strcmp(t[k]->name, t[i]->isa->codes_of)) return k;
  return i;
}

const IsaRow *target_row(const Target *t, KOp op, DType dt, uint32_t lanes, bool partial) {
  for (; t; t = t->base)
    for (const IsaRow *row = t->rows; row < t->rows + t->nrows; row++)
      if (row->op == op && row->dtype == dt && row->lanes == lanes && row->partial == partial) return row;
  return NULL;
}

/* processors ----------------------------------------------------------------------------------------------------------
 */
const Family *family_of_machine(const char *triple) {
  static const char *const other[][2] = {{"arm64", "aarch64"}, {"amd64", "x86_64"}}; // names of the same machine
  size_t n = strcspn(triple, "-\n");
  for (size_t i = 0; i < sizeof other / sizeof *other; i++)
    if (strlen(other[i][0]) == n && !strncmp(triple, other[i][0], n)) return family_of_machine(other[i][1]);
  for (size_t i = 0; i < FAMILY_COUNT; i++)
    if (i != FAMILY_any && strlen(families[i].name) == n && !strncmp(triple, families[i].name, n)) return &families[i];
  return NULL;
}

bool target_runs_on(const Target *t, const Family *f) {
  return t->isa->family == &families[FAMILY_any] || t->isa->family == f;
}

static const struct Feature {
  const char *name;
  int family, word, bit;
  uint32_t saved; // of XCR0
} features[] = {
#define FEATURE(family, name, word, bit, saved) {name, FAMILY_##family, word, bit, saved},
#include "runtime/cpu.def"
};

static const struct Feature *find_feature(const Family *f, const char *s, size_t n) {
  for (size_t i = 0; i < sizeof features / sizeof *features; i++)
    if (&families[features[i].family] == f && strlen(features[i].name) == n && !strncmp(s, features[i].name, n))
      return &features[i];
  return NULL;
}

void target_cpu_needs(const Target *t, uint32_t *need) {
  memset(need, 0, SY_CPU_WORDS * sizeof *need);
  for (const char *s = t->isa->features; *s;) {
    size_t n = strcspn(s, ",");
    const struct Feature *f = find_feature(t->isa->family, s, n);
    if (!f) ICE("target %s: runtime/cpu.def has no feature %.*s of its family", t->name, (int)n, s);
    need[f->word] |= 1u << f->bit;
    need[SY_CPU_XCR0] |= f->saved;
    s += n + (s[n] == ',');
  }
}

/* C -------------------------------------------------------------------------------------------------------------------
 */
const char *target_attribute(const Target *t, Arena *a) {
  const char *list = t->isa->features;
  return *list ? arena_printf(a, "__attribute__((target(\"%s\")))", list) : "";
}

// Helper functions of a target with features of its own are declared SY_NAME: "SY_AVX2 __m256 sy_exp2i_avx2(..".
static void put_helper_macro(const Target *t, Buf *out) {
  buf_puts(out, "#define SY_");
  for (const char *s = t->name; *s; s++) buf_putc(out, (char)toupper((unsigned char)*s));
  buf_printf(out, " __attribute__((unused, target(\"%s\"))) static inline\n", t->isa->features);
}

static bool is_printed(const Target *t, const Prelude *p) {
  bool yes = t == &target_scalar;
  for (size_t i = 0; i < p->nbefore; i++) yes = yes || p->before[i] == t || p->before[i]->base == t;
  return yes;
}

void emit_c_prelude(const Target *t, const Prelude *p, Buf *out) {
  if (!t) t = &target_scalar;
  if (t->base && !is_printed(t->base, p)) emit_c_prelude(t->base, p, out);
  if (t->isa && *t->isa->features) put_helper_macro(t, out);
  buf_puts(out, t->prelude);
  if (p->helpers & HELP_NARROW) buf_puts(out, t->narrow);
  if (p->helpers & HELP_CODES) buf_puts(out, t->codes);
  buf_putc(out, '\n');
}

const Intrinsic *target_intrinsic(const Target *t, KOp op) {
  for (; t; t = t->base)
    for (size_t i = 0; i < t->nintrinsics; i++)
      if (t->intrinsics[i].op == op) return &t->intrinsics[i];
  return NULL;
}

unsigned kernel_helpers(const Kernel *k) {
  static const bool codes[KOP_COUNT] = {
      [K_magn] = true,    [K_real] = true,   [K_even8] = true, [K_odd8] = true,   [K_dot2] = true,
      [K_dot4] = true,    [K_dot4u] = true,  [K_low4] = true,  [K_high4] = true,  [K_pairs4] = true,
      [K_round16] = true, [K_join16] = true, [K_low16] = true, [K_high16] = true, [K_dot2b] = true};
  unsigned need = 0;
  for (size_t b = 1; b < k->buf.n; b++)
    if (dtype_is_narrow(k->buf.at[b].dtype)) need |= HELP_NARROW;
  for (size_t i = 1; i < k->ins.n; i++)
    if (codes[k->ins.at[i].op]) need |= HELP_CODES;
  return need;
}

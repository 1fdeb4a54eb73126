// target.c: the list of targets and the lookup of their rows. A target is data: its rows and its prelude (helper
// functions in C) come from isa/NAME.def, the facts are in the table below.
//
// A .def file is included twice: with PRELUDE and NARROW defined it gives the helper texts, of all kernels and of those
// that touch buffers of narrow types; with ISA, the rows. Rows of lanes 1 in
// a target's own file go before the shared ones of isa/scalar.def. A row that is missing means that the target lacks
// the operation: kernel_legalise must have removed it.
#include "target.h"

#include <string.h>

#if defined(__GNUC__) // the preludes are longer than the 4095 characters that C11 promises for one literal
#pragma GCC diagnostic ignored "-Woverlength-strings"
#endif

#define PRELUDE(text) static const char scalar_prelude[] = text;
#define NARROW(text) static const char scalar_narrow[] = text;
#include "isa/scalar.def"
#undef PRELUDE
#undef NARROW
#define PRELUDE(text) static const char portable_prelude[] = text;
#define NARROW(text) static const char portable_narrow[] = text;
#include "isa/portable.def"
#undef PRELUDE
#undef NARROW
#define PRELUDE(text) static const char neon_prelude[] = text;
#define NARROW(text) static const char neon_narrow[] = text;
#include "isa/neon.def"
#undef PRELUDE
#undef NARROW
#define PRELUDE(text) static const char avx2_prelude[] = text;
#define NARROW(text) static const char avx2_narrow[] = text;
#include "isa/avx2.def"
#undef PRELUDE
#undef NARROW
#define PRELUDE(text) static const char avx512_prelude[] = text;
#define NARROW(text) static const char avx512_narrow[] = text;
#include "isa/avx512.def"
#undef PRELUDE
#undef NARROW

#define ISA(op, dtype, lanes, c) {K_##op, DT_##dtype, lanes, c, 0},
#define ISA_PART(op, dtype, lanes, c) {K_##op, DT_##dtype, lanes, c, 1},
static const IsaRow scalar_rows[] = {
#include "isa/scalar.def"
};
static const IsaRow portable_rows[] = {
#include "isa/portable.def"
};
static const IsaRow neon_rows[] = {
#include "isa/neon.def"
};
static const IsaRow avx2_rows[] = {
#include "isa/avx2.def"
};
static const IsaRow avx512_rows[] = {
#include "isa/avx512.def"
};
#undef ISA
#undef ISA_PART

#define ROWS(r) .rows = r, .nrows = sizeof r / sizeof r[0]

static const Target portable = {
    .name = "portable",
    .macro = "1",
    .family = "1",
    .attribute = "",
    .cc_flags = "",
    .triple = NULL,
    .vec_f32 = "sy_f4",
    .vec_i32 = "sy_i4",
    .mask = "sy_i4",
    .prelude = portable_prelude,
    .narrow = portable_narrow,
    .lanes = 4,
    .vregs = 16,
    .has_fma = false,
    .rank = 0,
    .tile = {{2, 1}},
    ROWS(portable_rows),
};
static const Target neon = {
    .name = "neon",
    .macro = "defined(__aarch64__)",
    .family = "defined(__aarch64__) || defined(_M_ARM64)",
    .attribute = "",
    .cc_flags = "",
    .triple = "aarch64-linux-gnu",
    .vec_f32 = "float32x4_t",
    .vec_i32 = "int32x4_t",
    .mask = "uint32x4_t",
    .prelude = neon_prelude,
    .narrow = neon_narrow,
    .lanes = 4,
    .vregs = 32,
    .has_fma = true,
    .rank = 1,
    .tile = {{6, 1}},
    ROWS(neon_rows),
};
static const Target avx2 = {
    .name = "avx2",
    .macro = "defined(__x86_64__) && defined(__GNUC__)",
    .family = "defined(__x86_64__) || defined(_M_X64)",
    .attribute = "__attribute__((target(\"avx2,fma,f16c\")))",
    .cc_flags = "-mavx2 -mfma -mf16c",
    .triple = NULL,
    .vec_f32 = "__m256",
    .vec_i32 = "__m256i",
    .mask = "__m256",
    .prelude = avx2_prelude,
    .narrow = avx2_narrow,
    .lanes = 8,
    .vregs = 16,
    .has_fma = true,
    .rank = 2,
    .tile = {{6, 1}},
    ROWS(avx2_rows),
};
static const Target avx512 = {
    .name = "avx512",
    .macro = "defined(__x86_64__) && defined(__GNUC__)",
    .family = "defined(__x86_64__) || defined(_M_X64)",
    .attribute = "__attribute__((target(\"avx2,fma,avx512f,avx512dq,avx512bw,avx512vl\")))",
    .cc_flags = "-mavx2 -mfma -mavx512f -mavx512dq -mavx512bw -mavx512vl",
    .triple = NULL,
    .vec_f32 = "__m512",
    .vec_i32 = "__m512i",
    .mask = "__mmask16",
    .prelude = avx512_prelude,
    .narrow = avx512_narrow,
    .lanes = 16,
    .vregs = 32,
    .has_fma = true,
    .rank = 3,
    .tile = {{8, 3}, {12, 2}, {14, 1}},
    ROWS(avx512_rows),
};

const Target *const targets[] = {&portable, &neon, &avx2, &avx512, NULL};

size_t target_count(void) {
  return sizeof targets / sizeof targets[0] - 1;
}

const Target *target_by_name(const char *name) {
  for (size_t i = 0; targets[i]; i++)
    if (!strcmp(targets[i]->name, name)) return targets[i];
  return NULL;
}

static const IsaRow *find_row(const IsaRow *row, size_t n, KOp op, DType dt, uint32_t lanes, bool partial) {
  for (size_t i = 0; i < n; i++)
    if (row[i].op == op && row[i].dtype == dt && row[i].lanes == lanes && row[i].partial == partial) return &row[i];
  return NULL;
}

const IsaRow *target_row(const Target *t, KOp op, DType dt, uint32_t lanes, bool partial) {
  const IsaRow *r = find_row(t->rows, t->nrows, op, dt, lanes, partial);
  if (!r && lanes == 1) r = find_row(scalar_rows, sizeof scalar_rows / sizeof scalar_rows[0], op, dt, lanes, partial);
  return r;
}

void emit_c_prelude(const Target *t, bool narrow, Buf *out) {
  buf_puts(out, t ? t->prelude : scalar_prelude);
  if (narrow) buf_puts(out, t ? t->narrow : scalar_narrow);
  buf_putc(out, '\n');
}

bool kernel_is_narrow(const Kernel *k) {
  for (size_t b = 1; b < k->buf.n; b++)
    if (dtype_is_narrow(k->buf.at[b].dtype)) return true;
  return false;
}

// kernel.c: index arithmetic, what is known of loop variables, the interpreter's meaning of each operation, legalising,
// and the small promises of the C printer. Whole kernels against compiled C: tests/diff/kernels.c.
#include "codegen/target.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static KBound at(int64_t n) {
  return kbound(ki_const(n));
}

static Kernel *new_kernel(Arena *a, uint32_t lanes) {
  return kernel_new(a, "test", lanes);
}

/* index arithmetic and ranges
 * --------------------------------------------------------------------------------------------- */
Test(kernel, index_arithmetic_keeps_terms_sorted_and_without_zeros) {
  Arena a = {0};
  Kernel *k = new_kernel(&a, 4);
  KVar i = kb_loop(k, "i", at(0), at(10), 1), j = kb_loop(k, "j", at(0), at(5), 1);
  KIdx x = ki_addc(ki_add(ki_mul(ki_var(j), 3), ki_var(i)), 7);
  cr_assert(x.n == 2 && x.t[0].var.id == i.id && x.t[1].var.id == j.id && x.c == 7);
  cr_assert_eq(ki_max(k, &x), 9 + 12 + 7);
  KIdx y = ki_add(x, ki_mul(ki_var(i), -1));
  cr_assert(y.n == 1 && y.t[0].var.id == j.id);
  KIdx z = ki_add(ki_mul(ki_var(i), -2), ki_const(20));
  cr_assert(ki_min(k, &z) == 2 && ki_max(k, &z) == 20);
  int64_t value[] = {0, 4, 2};
  cr_assert_eq(ki_eval(&x, value), 4 + 6 + 7);
  arena_free(&a);
}

Test(kernel, ranges_of_loops) {
  Arena a = {0};
  Kernel *k = new_kernel(&a, 8);
  KVar B = kb_dim(k, "B", 2, 1, 32);
  cr_assert_eq(kb_dim(k, "again", 2, 1, 32).id, B.id); // one variable a dim
  KIdx rows = ki_mul(ki_var(B), 197);
  KVar r0 = kb_par(k, "r", at(0), kbound(rows), 8);
  KVar r = kb_loop(k, "r", kbound(ki_var(r0)), kbound_cap(ki_addc(ki_var(r0), 8), rows), 1);
  KVar i0 = kb_loop(k, "i", at(0), at(768), 64);
  KVar i = kb_loop(k, "i", kbound(ki_var(i0)), kbound_cap(ki_addc(ki_var(i0), 64), ki_const(768)), 8);
  KVar f = kb_loop(k, "f", at(0), kbound_floor(ki_var(B), 8), 8);
  KVar t = kb_loop(k, "t", kbound_floor(ki_var(B), 8), kbound(ki_var(B)), 1);
  KVar o = kb_loop(k, "o", at(3), at(20), 5);
  static const struct {
    int64_t lo, hi;
    const char *name;
  } want[] = {{0, 6296, "r"}, {0, 6303, "r_2"}, {0, 704, "i"}, {0, 760, "i_2"},
              {0, 24, "f"},   {0, 31, "t"},     {3, 18, "o"}};
  KVar got[] = {r0, r, i0, i, f, t, o};
  for (size_t n = 0; n < sizeof want / sizeof want[0]; n++) {
    const KVarInfo *v = &k->var.at[got[n].id];
    cr_expect(v->lo == want[n].lo && v->hi == want[n].hi, "%s: %d..%d", v->name, (int)v->lo, (int)v->hi);
    cr_expect_str_eq(v->name, want[n].name);
  }
  arena_free(&a);
}

// Every number of rows: all of them once, in order, as few tiles as do, none lower by more than one than another.
Test(kernel, rows_in_tiles) {
  for (int64_t most = 1; most <= 16; most++)
    for (int64_t n = 0; n <= 200; n++) {
      int64_t at = 0, tiles = 0, highest = 0, lowest = most;
      for (int64_t rows = most; rows; rows--) {
        cr_assert_eq(tiles_end(n, most, rows + 1), at);
        for (; at < tiles_end(n, most, rows); at += rows, tiles++) {
          highest = rows > highest ? rows : highest;
          lowest = rows < lowest ? rows : lowest;
        }
      }
      cr_assert(at == n && tiles == (n + most - 1) / most, "%d rows by %d: %d in %d", (int)n, (int)most, (int)at,
                (int)tiles);
      cr_assert(!n || (highest - lowest <= 1 && 2 * lowest >= highest), "%d rows by %d", (int)n, (int)most);
    }
  cr_assert(tiles_end(77, 6, 6) == 72 && tiles_end(77, 6, 5) == 77 && tiles_end(-3, 6, 1) == 0);
}

Test(kernel, saturating_bounds_do_not_overflow) {
  Arena a = {0};
  Kernel *k = new_kernel(&a, 4);
  KVar v = kb_loop(k, "v", at(0), at(INT64_MAX), INT64_MAX);
  KIdx x = ki_mul(ki_mul(ki_var(v), INT64_MAX), INT64_MIN);
  cr_assert(ki_max(k, &x) <= 0 || ki_max(k, &x) > 0);
  kb_end(k);
  const char *why = NULL;
  cr_assert(!kernel_verify(k, &why) && why);
  arena_free(&a);
}

Test(kernel, tasks_and_scratch) {
  Arena a = {0};
  Kernel *k = new_kernel(&a, 4);
  KVar B = kb_dim(k, "B", 1, 1, 9);
  KBufRef y = kb_buf(k, "y", DT_F32, KB_OUT, 9);
  kb_buf(k, "s", DT_F32, KB_SCRATCH, 17);
  kb_buf(k, "s", DT_BOOL, KB_SCRATCH, 1);
  cr_assert_str_eq(k->buf.at[3].name, "s_2");
  KVar p = kb_par(k, "p", at(1), kbound(ki_addc(ki_var(B), 1)), 2), q = kb_par(k, "q", at(0), at(5), 2);
  kb_store(k, y, ki_addc(ki_var(p), -1), kb_index(k, ki_var(q), DT_F32, 1), 1);
  kb_end(k);
  kb_end(k);
  kb_finish(k);
  cr_assert_eq(kernel_tasks(k, (int64_t[]){0, 6}), 9); // p = 1, 3, 5; q = 0, 2, 4
  cr_assert_eq(kernel_scratch_bytes(k), 128 + 64);
  Buf b = {0};
  emit_c_tasks(k, &b);
  cr_assert_str_eq(b.s, "((d[1] + 1 - (1) + 1) / 2) * (size_t)3");
  buf_free(&b);
  arena_free(&a);
}

/* the meaning of operations
 * ------------------------------------------------------------------------------------------------- */
// Runs  y = op(a, b, c)  on four lanes.
static void run_op(KOp op, const float *x, const float *y, const float *z, float *out) {
  Arena arena = {0};
  Kernel *k = new_kernel(&arena, 4);
  KBufRef in[3];
  for (int i = 0; i < 3; i++) in[i] = kb_buf(k, "x", DT_F32, KB_IN, 4);
  KBufRef o = kb_buf(k, "y", DT_F32, KB_OUT, 4);
  KVal v[3], r;
  for (int i = 0; i < 3; i++) v[i] = kb_load(k, in[i], ki_const(0), 4, 4, NULL);
  int n = kop_info[op].nargs;
  r = n == 1 ? kb_op1(k, op, v[0]) : n == 2 ? kb_op2(k, op, v[0], v[1]) : kb_op3(k, op, v[0], v[1], v[2]);
  if (kop_info[op].result == KR_M) r = kb_cvt(k, r, DT_F32);
  kb_store(k, o, ki_const(0), r, kop_info[op].result == KR_S ? 1 : 4);
  kb_finish(k);
  float a4[4], b4[4], c4[4];
  memcpy(a4, x, 16), memcpy(b4, y, 16), memcpy(c4, z, 16);
  kernel_interp(k, (void *[]){a4, b4, c4, out}, NULL, 0, 1);
  arena_free(&arena);
}

Test(kernel, operations) {
  const float a[4] = {1.5f, -0.0f, NAN, 100}, b[4] = {2, 0.0f, 1, NAN}, c[4] = {1, 2, 3, 4}, p[4] = {-126, 0, 10, 127};
  float y[4];
  run_op(K_max, a, b, c, y);
  cr_expect(y[0] == 2 && !signbit(y[1]) && y[2] == 1 && isnan(y[3]));
  run_op(K_min, b, a, c, y);
  cr_expect(y[0] == 1.5f && signbit(y[1]) && isnan(y[2]) && y[3] == 100);
  run_op(K_lt, a, b, c, y);
  cr_expect(y[0] == 1 && y[1] == 0 && y[2] == 0 && y[3] == 0);
  run_op(K_le, a, b, c, y);
  cr_expect(y[0] == 1 && y[1] == 1 && y[2] == 0 && y[3] == 0);
  run_op(K_exp2i, p, b, c, y);
  cr_expect(y[0] == 0x1p-126f && y[1] == 1 && y[2] == 1024 && y[3] == 0x1p127f);
  run_op(K_expo, c, b, c, y);
  cr_expect(y[0] == 0 && y[1] == 1 && y[2] == 1 && y[3] == 2);
  run_op(K_mant, c, b, c, y);
  cr_expect(y[0] == 1 && y[1] == 1 && y[2] == 1.5f && y[3] == 1);
  const float order[4] = {1e8f, 1, -1e8f, 3}; // (x0 + x2) + (x1 + x3)
  run_op(K_hadd, order, b, c, y);
  cr_expect_eq(y[0], 4);
  run_op(K_hmax, order, b, c, y);
  cr_expect_eq(y[0], 1e8f);
  const float e[4] = {1 + 0x1p-12f, 3, 0, 1}, m[4] = {-1 - 0x1p-11f, 1, 1, 1};
  run_op(K_fma, e, e, m, y);
  cr_expect_eq(y[0], 0x1p-24f); // rounded once
}

static void run_bits(KOp op, const int32_t *x, const int32_t *y, int32_t *out) {
  Arena arena = {0};
  Kernel *k = new_kernel(&arena, 4);
  KBufRef a = kb_buf(k, "x", DT_I32, KB_IN, 4), b = kb_buf(k, "y", DT_I32, KB_IN, 4);
  KBufRef o = kb_buf(k, "z", DT_I32, KB_OUT, 4);
  KVal v = kb_load(k, a, ki_const(0), 4, 4, NULL), w = kb_load(k, b, ki_const(0), 4, 4, NULL);
  kb_store(k, o, ki_const(0), kb_op2(k, op, v, w), 4);
  kb_finish(k);
  int32_t in[2][4];
  memcpy(in[0], x, 16), memcpy(in[1], y, 16);
  kernel_interp(k, (void *[]){in[0], in[1], out}, NULL, 0, 1);
  arena_free(&arena);
}

Test(kernel, bits) {
  const int32_t a[4] = {INT32_MIN, 0x12345678, -1, 5}, b[4] = {31, 8, 0, 1};
  int32_t y[4];
  run_bits(K_xor, a, b, y);
  cr_expect(y[0] == INT32_MIN + 31 && y[1] == 0x12345670 && y[2] == -1 && y[3] == 4);
  run_bits(K_shr, a, b, y);
  cr_expect(y[0] == 1 && y[1] == 0x123456 && y[2] == -1 && y[3] == 2);
  run_bits(K_rotl, a, b, y);
  cr_expect(y[0] == 0x40000000 && y[1] == 0x34567812 && y[2] == -1 && y[3] == 10);
}

Test(kernel, codes) {
  const int32_t a[4] = {0x7f80ff01, (int32_t)0x81818181u, 0x7fff8000, -1},
                b[4] = {0x02030405, (int32_t)0x81818181u, 0x7fff8000, 1};
  Arena arena = {0};
  Kernel *k = new_kernel(&arena, 4);
  KBufRef x = kb_buf(k, "x", DT_I32, KB_IN, 4), y = kb_buf(k, "y", DT_I32, KB_IN, 4);
  KBufRef z = kb_buf(k, "z", DT_I32, KB_OUT, 32);
  KVal v = kb_load(k, x, ki_const(0), 4, 4, NULL), w = kb_load(k, y, ki_const(0), 4, 4, NULL);
  KVal one = kb_const(k, INT32_MAX, DT_I32, 4);
  const KVal made[] = {kb_op1(k, K_even8, v),         kb_op1(k, K_odd8, v),
                       kb_op3(k, K_dot2, one, v, w),  kb_op3(k, K_dot4, one, v, w),
                       kb_op3(k, K_dot4u, one, v, w), kb_op1(k, K_low4, v),
                       kb_op1(k, K_high4, v),         kb_op3(k, K_pairs4, one, kb_op1(k, K_low4, v), w)};
  for (int i = 0; i < 8; i++) kb_store(k, z, ki_const(4 * i), made[i], 4);
  kb_finish(k);
  int32_t in[2][4], out[32];
  memcpy(in[0], a, 16), memcpy(in[1], b, 16);
  kernel_interp(k, (void *[]){in[0], in[1], out}, NULL, 0, 1);
  const uint32_t top = INT32_MAX;
  const uint32_t want[32] = {0xff800001u,
                             0xff81ff81u,
                             0xffff0000u,
                             UINT32_MAX, //
                             0x007fffffu,
                             0xff81ff81u,
                             0x007fff80u,
                             UINT32_MAX, //
                             top + 0x7f80u * 0x203u - 0xffu * 0x405u,
                             top + 2u * (0x7e7fu * 0x7e7fu),
                             top + 0x7fffu * 0x7fffu + 0x40000000u,
                             top - 1u,
                             top + 5u - 4u - 128u * 3u + 127u * 2u,
                             top + 4u * 127u * 127u,
                             top + 0u + 128u * 128u + 1u + 127u * 127u,
                             top - 1u,
                             top + 5u + 255u * 4u + 128u * 3u + 127u * 2u,
                             top - 4u * 129u * 127u,
                             top + 0u - 128u * 128u - 255u + 127u * 127u,
                             top + 255u, //
                             0x0f000f01u,
                             0x01010101u,
                             0x0f0f0000u,
                             0x0f0f0f0fu, //
                             0x07080f00u,
                             0x08080808u,
                             0x070f0800u,
                             0x0f0f0f0fu, //
                             0x801d0040u,
                             0x7f01ff01u,
                             0x8761ffffu,
                             0x7fff000eu};
  for (int i = 0; i < 32; i++) cr_expect_eq((uint32_t)out[i], want[i], "%d: %x, not %x", i, (unsigned)out[i], want[i]);
  arena_free(&arena);
}

// What may be multiplied by an instruction that saturates is seen in the kernel.
Test(kernel, pairs4_takes_four_bits) {
  for (int wide = 0; wide < 2; wide++) {
    Arena a = {0};
    Kernel *k = new_kernel(&a, 4);
    KBufRef x = kb_buf(k, "x", DT_I32, KB_IN, 4), y = kb_buf(k, "y", DT_I32, KB_OUT, 4);
    KVal v = kb_load(k, x, ki_const(0), 4, 4, NULL);
    kb_store(k, y, ki_const(0), kb_op3(k, K_pairs4, v, wide ? v : kb_op1(k, K_high4, v), v), 4);
    const char *why = "";
    cr_expect_eq(kernel_verify(k, &why), !wide);
    if (wide) cr_expect(strstr(why, "neither a low4 nor a high4"), "%s", why);
    arena_free(&a);
  }
}

Test(kernel, a_loop_from_a_variable_is_near_it) {
  Arena arena = {0};
  Kernel *k = new_kernel(&arena, 4);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, 100), y = kb_buf(k, "y", DT_F32, KB_OUT, 8);
  KVar from = kb_loop(k, "from", at(0), at(100), 8);
  KVar r = kb_loop(k, "r", kbound(ki_var(from)), kbound_cap(ki_addc(ki_var(from), 8), ki_const(100)), 1);
  KIdx near = ki_add(ki_var(r), ki_mul(ki_var(from), -1));
  cr_expect(ki_min(k, &near) == 0 && ki_max(k, &near) == 7);
  KIdx twice = ki_add(ki_mul(ki_var(r), 2), ki_mul(ki_var(from), -1)); // r + (r - from)
  cr_expect(ki_min(k, &twice) == 0 && ki_max(k, &twice) == 2 * 7 + 96, "%d", (int)ki_max(k, &twice));
  KIdx less = ki_add(ki_var(from), ki_mul(ki_var(r), -3));
  cr_expect(ki_min(k, &less) == -3 * 7 - 2 * 96 && ki_max(k, &less) == 0);
  kb_store(k, y, near, kb_load(k, x, ki_var(r), 1, 1, NULL), 1);
  kb_end(k);
  kb_end(k);
  kb_finish(k);
  arena_free(&arena);
}

Test(kernel, partial_accesses_masks_and_lookups) {
  Arena a = {0};
  Kernel *k = new_kernel(&a, 4);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, 8), ids = kb_buf(k, "ids", DT_I32, KB_IN, 2);
  KBufRef m = kb_buf(k, "m", DT_BOOL, KB_IN, 3), y = kb_buf(k, "y", DT_F32, KB_OUT, 8);
  KVar t = kb_par(k, "t", at(0), at(2), 1);
  KVar id = kb_ldidx(k, ids, ki_var(t), 0, 4, "id");
  KVal v = kb_load(k, x, ki_var(id), 4, 3, NULL);
  KVal s = kb_op3(k, K_select, kb_loadm(k, m, ki_const(0), 3), v, kb_const(k, -1, DT_F32, 4));
  kb_store(k, y, ki_mul(ki_var(t), 4), s, 4);
  kb_end(k);
  kb_finish(k);
  float in[8] = {0, 1, 2, 3, 4, 5, 6, 7}, out[8] = {0};
  int32_t i2[2] = {2, 900};
  uint8_t flags[3] = {1, 0, 2};
  kernel_interp(k, (void *[]){in, i2, flags, out}, NULL, 0, 2);
  const float want[8] = {2, -1, 4, -1, 4, -1, 6, -1}; // 900 is clamped to 4
  for (int i = 0; i < 8; i++) cr_expect_eq(out[i], want[i], "%d: %g", i, (double)out[i]);
  arena_free(&a);
}

/* legalising and printing
 * -------------------------------------------------------------------------------------------------- */
static Kernel *fma_kernel(Arena *a, uint32_t lanes) {
  Kernel *k = new_kernel(a, lanes);
  KBufRef x = kb_buf(k, "float", DT_F32, KB_IN, 4 * lanes), y = kb_buf(k, "y1", DT_F32, KB_OUT, 4 * lanes);
  kb_buf(k, "unused", DT_F32, KB_IN, 3);
  KVal acc = kb_var(k, kb_const(k, 0, DT_F32, lanes), "acc"), dead = kb_var(k, acc, "dead");
  KVar i = kb_loop(k, "args", at(0), at(4 * lanes), lanes);
  KVal v = kb_load(k, x, ki_var(i), lanes, lanes, NULL);
  kb_set(k, acc, kb_op3(k, K_fma, v, v, acc));
  kb_set(k, dead, v);
  kb_end(k);
  KVar never = kb_loop(k, "never", at(7), at(7), 1);
  kb_store(k, y, ki_addc(ki_var(never), 1000), acc, lanes);
  kb_end(k);
  kb_store(k, y, ki_const(0), acc, lanes);
  k->about = "two\nlines\\";
  kb_finish(k);
  return k;
}

Test(kernel, legalise_splits_fma) {
  Arena a = {0};
  Kernel *k = fma_kernel(&a, 4);
  size_t n = k->ins.n;
  kernel_legalise(k, true);
  cr_assert_eq(k->ins.n, n);
  kernel_legalise(k, false);
  cr_assert_eq(k->ins.n, n + 1);
  const char *why = "";
  cr_assert(kernel_verify(k, &why), "%s", why);
  for (size_t i = 1; i < k->ins.n; i++) cr_assert_neq(k->ins.at[i].op, K_fma);
  arena_free(&a);
}

Test(kernel, printed_c_leaves_out_what_is_not_needed) {
  Arena a = {0};
  Kernel *k = fma_kernel(&a, 8);
  Buf b = {0};
  emit_c_kernel(k, target_by_name("avx2"), &(EmitC){"m", "f", "", NULL}, &b);
  cr_assert_str_eq(b.s, "// two lines \n"
                        "__attribute__((target(\"avx2,fma,f16c\")))\n"
                        "static void f(const m_args *args, size_t task, void *scratch) {\n"
                        "  const float *restrict float_2 = args->p[0];\n"
                        "  float *restrict y1_2 = args->p[1];\n"
                        "  (void)scratch;\n"
                        "  (void)task;\n"
                        "  __m256 acc = _mm256_set1_ps(0.0f);\n"
                        "  for (size_t args_2 = 0; args_2 < 32; args_2 += 8) {\n"
                        "    const __m256 v5 = _mm256_loadu_ps(float_2 + args_2);\n"
                        "    acc = _mm256_fmadd_ps(v5, v5, acc);\n"
                        "  }\n"
                        "  _mm256_storeu_ps(y1_2, acc);\n"
                        "}\n");
  buf_free(&b);
  arena_free(&a);
}

// y[0 .. 2] += rows of x: the same region twice with other strides, and one that depends on the loop around it.
static Kernel *region_kernel(Arena *a) {
  Kernel *k = kernel_new(a, "rows", 4);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, 400), y = kb_buf(k, "y", DT_F32, KB_OUT, 64);
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(4)), 1));
  for (int64_t r = 0; r < 3; r++) {
    kb_region(k, "add", "two rows");
    KVar step = kb_let(k, ki_const(10 * (r + 1)), "step");
    KIdx n = r < 2 ? ki_var(kb_let(k, ki_addc(i, r + 1), "n")) : ki_addc(i, 1);
    KVal acc = kb_var(k, kb_const(k, 0, DT_F32, 4), "acc");
    KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(n), 1));
    for (int u = 0; u < 2; u++) {
      KIdx at = ki_add(ki_add(ki_mul(i, 4), j), ki_mul(ki_var(step), u));
      kb_set(k, acc, kb_op2(k, K_add, acc, kb_load(k, x, ki_addc(at, 7 * r), 4, 4, "a")));
    }
    kb_end(k);
    kb_store(k, y, ki_addc(ki_mul(i, 12), 4 * r), acc, 4);
    kb_end(k);
  }
  kb_end(k);
  kb_finish(k);
  return k;
}

Test(kernel, equal_regions_become_one_function) {
  Arena a = {0};
  Kernel *k = region_kernel(&a);
  Buf b = {0};
  EmitFunctions functions = {0};
  emit_c_kernel(k, target_by_name("portable"), &(EmitC){"m", "f", "", &functions}, &b);
  cr_assert_str_eq(
      b.s, "// two rows\n"
           "SY_INLINE void m_add_portable(const float *restrict a, float *restrict y, size_t step, size_t n) {\n"
           "  SY_FENCE();\n"
           "  sy_f4 acc = sy4_f(0.0f);\n"
           "  for (size_t j = 0; j < n; j++) {\n"
           "    acc = sy4_add_f(acc, sy4_load_f(a + j, 4)); acc = sy4_add_f(acc, sy4_load_f(a + step + j, 4));\n"
           "  }\n"
           "  sy4_store_f(y, acc, 4);\n"
           "}\n"
           "\n"
           "static void f(const m_args *args, size_t task, void *scratch) {\n"
           "  const float *restrict x = args->p[0];\n"
           "  float *restrict y = args->p[1];\n"
           "  (void)scratch;\n"
           "  (void)task;\n"
           "  for (size_t i = 0; i < 4; i++) {\n"
           "    m_add_portable(x + 4 * i, y + 12 * i, 10, i + 1);\n"
           "    m_add_portable(x + 4 * i + 7, y + 12 * i + 4, 20, i + 2);\n"
           "    const size_t step = 30;\n"
           "    sy_f4 acc = sy4_f(0.0f);\n"
           "    for (size_t j = 0; j < i + 1; j++) {\n"
           "      acc = sy4_add_f(acc, sy4_load_f(x + 4 * i + j + 14, 4)); "
           "acc = sy4_add_f(acc, sy4_load_f(x + 4 * i + step + j + 14, 4));\n"
           "    }\n"
           "    sy4_store_f(y + 12 * i + 8, acc, 4);\n"
           "  }\n"
           "}\n");
  cr_expect_eq(functions.list.n, 1);
  emit_c_functions_free(&functions);
  buf_free(&b);
  arena_free(&a);
}

// A hint close by takes the pointer of what is read, one for another place its own.
Test(kernel, hints_share_the_pointer_of_what_is_read) {
  Arena a = {0};
  Kernel *k = new_kernel(&a, 4);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, 400), y = kb_buf(k, "y", DT_F32, KB_OUT, 400);
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(4)), 1));
  kb_region(k, "copy", NULL);
  kb_prefetch(k, x, ki_addc(ki_mul(i, 8), 200), 2);
  KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(ki_const(100)), 4));
  kb_store(k, y, ki_add(ki_mul(i, 100), j), kb_load(k, x, ki_add(ki_mul(i, 100), j), 4, 4, "a"), 4);
  kb_prefetch(k, x, ki_addc(ki_add(ki_mul(i, 100), j), 64), 1);
  kb_end(k);
  kb_end(k);
  kb_end(k);
  kb_finish(k);
  Buf b = {0};
  EmitFunctions functions = {0};
  emit_c_kernel(k, target_by_name("portable"), &(EmitC){"m", "f", "", &functions}, &b);
  cr_expect(strstr(b.s, "m_copy_portable(const float *restrict next, const float *restrict a, float *restrict y) {"),
            "%s", b.s);
  cr_expect(strstr(b.s, "m_copy_portable(x + 8 * i + 200, x + 100 * i, y + 100 * i);"), "%s", b.s);
  cr_expect(strstr(b.s, "SY_PREFETCH(a + j + 64, 1);"), "%s", b.s);
  emit_c_functions_free(&functions);
  buf_free(&b);
  arena_free(&a);
}

Test(kernel, targets_have_what_they_need) {
  cr_assert_null(target_by_name("mmx"));
  static const KOp common[] = {K_load,  K_store, K_bcast,  K_const, K_iota, K_index, K_splat,
                               K_lane0, K_add,   K_sub,    K_mul,   K_max,  K_min,   K_lt,
                               K_le,    K_eq,    K_select, K_mtob,  K_hadd, K_hmax,  K_cvt};
  for (size_t i = 0; targets[i]; i++) {
    const Target *t = targets[i];
    cr_expect_eq(t, target_by_name(t->name));
    if (i) cr_expect_gt(t->rank, targets[i - 1]->rank);
    for (size_t o = 0; o < sizeof common / sizeof common[0]; o++)
      for (int l = 0; l < 2; l++) {
        cr_expect(target_row(t, common[o], DT_F32, l ? t->lanes : 1, false), "%s %s", t->name,
                  kop_info[common[o]].name);
        cr_expect(target_row(t, common[o], DT_I32, l ? t->lanes : 1, false), "%s %s", t->name,
                  kop_info[common[o]].name);
      }
    static const KOp bits[] = {K_xor,  K_shr,   K_rotl, K_magn,  K_even8,  K_odd8,    K_dot2,
                               K_dot4, K_dot4u, K_low4, K_high4, K_pairs4, K_round16, K_join16};
    static const KOp floats[] = {K_real, K_low16, K_high16, K_dot2b};
    for (size_t o = 0; o < sizeof bits / sizeof bits[0]; o++)
      for (int l = 0; l < 2; l++)
        cr_expect(target_row(t, bits[o], DT_I32, l ? t->lanes : 1, false), "%s %s", t->name, kop_info[bits[o]].name);
    for (size_t o = 0; o < sizeof floats / sizeof floats[0]; o++)
      for (int l = 0; l < 2; l++)
        cr_expect(target_row(t, floats[o], DT_F32, l ? t->lanes : 1, false), "%s %s", t->name,
                  kop_info[floats[o]].name);
    cr_expect(t->code_tile.rows && t->code_tile.panels, "%s: a tile for products of codes", t->name);
    cr_expect_eq(target_row(t, K_fma, DT_F32, t->lanes, false) != NULL, t->has_fma);
    cr_expect_eq(target_row(t, K_fma, DT_F32, 1, false) != NULL, t->has_fma);
    cr_expect(target_row(t, K_store, DT_F32, t->lanes, true));
    for (DType dt = 0; dt < DT_COUNT; dt++) { // what is in memory is loaded and stored, whatever it computes as
      if (dt == DT_BOOL) continue;
      for (int partial = 0; partial < 2; partial++) {
        cr_expect(target_row(t, K_load, dt, t->lanes, partial), "%s loads %s", t->name, dtype_info[dt].name);
        cr_expect(target_row(t, K_store, dt, t->lanes, partial), "%s stores %s", t->name, dtype_info[dt].name);
      }
      cr_expect(target_row(t, K_load, dt, 1, false) && target_row(t, K_store, dt, 1, false), "%s: one %s", t->name,
                dtype_info[dt].name);
      cr_expect(target_row(t, K_bcast, dt, t->lanes, false), "%s: bcast of %s", t->name, dtype_info[dt].name);
    }
  }
}

// random.c - the counter generator of training: known answers, the numbers made of its words, and the permutation.
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/random.h"

// The vectors that the authors of the generator publish with their library: key and counter of zeros, of ones, and the
// digits of pi, counter first.
Test(random, known_answers) {
  static const struct {
    uint32_t counter[4], key[4], want[4];
  } row[] = {
      {{0}, {0}, {0x9c6ca96a, 0xe17eae66, 0xfc10ecd4, 0x5256a7d8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0x2a881696, 0x57012287, 0xf6c7446e, 0xa16a6732}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89},
       {0x59cd1dbb, 0xb8879579, 0x86b5d00c, 0xac8b6d84}},
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    sy_random4 r = sy_threefry4x32(row[i].key, row[i].counter);
    for (int k = 0; k < 4; k++) cr_expect_eq(r.v[k], row[i].want[k], "vector %zu, word %d: %08x", i, k, r.v[k]);
  }
  // the key's words are the seed's, low first
  const uint32_t key[4] = {0x89abcdef, 0x01234567, 0, 0}, counter[4] = {1, 2, 3, 4};
  sy_random4 a = sy_threefry4x32(key, counter), b = sy_random_at(0x0123456789abcdefull, 1, 2, 3, 4);
  cr_expect(!memcmp(&a, &b, sizeof a));
}

Test(random, numbers_of_words) {
  cr_expect_eq(sy_random_f32(0), 0.0f);
  cr_expect_eq(sy_random_f32(0xffffffff), 1 - 0x1p-24f);
  cr_expect_eq(sy_random_f32(0x80000000), 0.5f);
  cr_expect_eq(sy_random_f64(0xffffffff, 0xffffffff), 1 - 0x1p-53);
  cr_expect_eq(sy_random_f64(0x80000000, 0), 0.5);
  cr_expect_eq(sy_random_below(0xffffffff, 7), 6);
  cr_expect_eq(sy_random_below(0, 7), 0);
  cr_expect_eq(sy_random_below64(0xffffffff, 0xffffffff, 0xffffffff), 0xfffffffe);
  cr_expect_eq(sy_random_below64(0x80000000, 0, 10), 5);
}

// Against the C library's functions, also at the ends, and the moments of many.
Test(random, normal) {
  static const uint32_t end[] = {0,          1,          2,          0x3fffffff, 0x40000000,
                                 0x7fffffff, 0x80000000, 0xc0000000, 0xfffffffe, 0xffffffff};
  size_t n = sizeof end / sizeof end[0];
  const double turn = 8 * atan(1.0) / 0x1p32;
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < n; k++) {
      double want = sqrt(-2 * log(((double)end[i] + 1) / 0x1p32)) * cos(turn * end[k]);
      cr_expect_float_eq(sy_random_normal(end[i], end[k]), want, 1e-6, "%08x %08x", end[i], end[k]);
    }
  double sum = 0, square = 0, fourth = 0;
  enum { N = 200000 };
  for (uint32_t i = 0; i < N; i++) {
    sy_random4 r = sy_random_at(7, SY_RANDOM_WEIGHTS, 0, i, 0);
    double x = sy_random_normal(r.v[0], r.v[1]);
    double want = sqrt(-2 * log(((double)r.v[0] + 1) / 0x1p32)) * cos(turn * r.v[1]);
    cr_assert_float_eq(x, want, 1e-6);
    sum += x, square += x * x, fourth += x * x * x * x;
  }
  cr_expect_float_eq(sum / N, 0, 0.01);
  cr_expect_float_eq(square / N, 1, 0.015);
  cr_expect_float_eq(fourth / N, 3, 0.1);
}

// Every sample once, another order each epoch, the same each time.
Test(random, permutation) {
  static const uint32_t size[] = {1, 2, 3, 4, 5, 15, 16, 17, 100, 1000, 4095, 4097};
  for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
    uint32_t n = size[i], same = 0;
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
      char *seen = calloc(n, 1);
      for (uint32_t p = 0; p < n; p++) {
        uint32_t s = sy_random_permute(1, epoch, n, p);
        cr_assert(s < n && !seen[s], "n %u, epoch %u: position %u has sample %u", n, epoch, p, s);
        seen[s] = 1;
        same += epoch && s == sy_random_permute(1, epoch - 1, n, p);
      }
      free(seen);
    }
    if (n >= 100) cr_expect(same < 20, "n %u: %u samples stay where they were", n, same);
  }
  cr_expect(sy_random_permute(3, 0, 0xffffffff, 17) < 0xffffffff);
}

// Each sample is at each position equally often, and next to each other one equally often: chi squared over 6000 epochs
// stays near its degrees of freedom.
Test(random, permutation_is_even) {
  enum { EPOCHS = 6000 };
  static const uint32_t size[] = {3, 5, 8, 11};
  for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
    uint32_t n = size[i], at[11][11] = {{0}}, pair[11][11] = {{0}};
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++)
      for (uint32_t p = 0; p < n; p++) {
        uint32_t s = sy_random_permute(42, epoch, n, p);
        at[p][s]++;
        pair[s][sy_random_permute(42, epoch, n, (p + 1) % n)]++;
      }
    double x = 0, y = 0;
    for (uint32_t p = 0; p < n; p++)
      for (uint32_t s = 0; s < n; s++) {
        double want = (double)EPOCHS / n;
        x += (at[p][s] - want) * (at[p][s] - want) / want;
        want = EPOCHS / (double)(n - 1);
        if (p != s) y += (pair[p][s] - want) * (pair[p][s] - want) / want;
      }
    double freedom = (double)(n - 1) * (n - 1), spread = sqrt(2 * freedom);
    cr_expect(x < freedom + 4 * spread, "n %u: chi squared of places %g of %g", n, x, freedom);
    cr_expect(y < n * (n - 2.0) + 5 * sqrt(2 * n * (n - 2.0)), "n %u: of neighbours %g of %g", n, y, n * (n - 2.0));
  }
}

// A stream: the words of its counters in order, its numbers in their bounds, and streams that differ.
Test(draws, streams) {
  DataDraws d = data_draws(5, SY_RANDOM_MASK, 2, 9);
  for (uint32_t i = 0; i < 9; i++) cr_expect_eq(draw_word(&d), sy_random_at(5, SY_RANDOM_MASK, 2, 9, i / 4).v[i % 4]);
  DataDraws other = data_draws(5, SY_RANDOM_MASK, 2, 10);
  cr_expect_neq(draw_unit(&d), draw_unit(&other));
  uint32_t seen[7] = {0};
  for (int i = 0; i < 7000; i++) {
    int64_t k = draw_between(&d, -3, 3);
    cr_assert(k >= -3 && k <= 3);
    seen[k + 3]++;
    double x = draw_uniform(&d, 5, -1);
    cr_assert(x > -1 && x <= 5);
  }
  for (int i = 0; i < 7; i++) cr_expect(seen[i] > 850 && seen[i] < 1150, "%d: %u times", i - 3, seen[i]);
  double sum = 0;
  for (int i = 0; i < 1000; i++) sum += draw_normal(&d, 3, 0.5);
  cr_expect_float_eq(sum / 1000, 3, 0.06);
}

Test(draws, choices) {
  DataDraws d = data_draws(5, SY_RANDOM_MASK, 0, 0);
  uint32_t first[5] = {0}, out[5], scratch[5];
  for (int round = 0; round < 5000; round++) {
    draw_choice(&d, 5, 3, out, scratch);
    cr_assert(out[0] < 5 && out[1] < 5 && out[2] < 5);
    cr_assert(out[0] != out[1] && out[1] != out[2] && out[0] != out[2]);
    first[out[round % 3]]++;
    draw_shuffle(&d, scratch, 5);
    draw_choice(&d, 5, 5, out, scratch);
    uint32_t all = 0;
    for (int i = 0; i < 5; i++) all |= 1u << out[i];
    cr_assert_eq(all, 31);
  }
  for (int i = 0; i < 5; i++) cr_expect(first[i] > 850 && first[i] < 1150, "%d: %u times", i, first[i]);
}

// random.h: everything random in training, as a pure function of (seed, purpose, step or epoch, sample or element, i).
// No state: who computes what, in which order and on how many threads, changes no number, and a run that goes on from a
// checkpoint draws what the longer run draws. Header only, C99, nothing but <stdint.h>; the numbers are the same on
// every machine (the normal ones where the compiler does not contract products and sums: -ffp-contract=off).
//
//   sy_random4 r = sy_random_at(seed, SY_RANDOM_SITE + site, step, row, i / 4);
//   float u = sy_random_f32(r.v[i % 4]);               // element i of the row: in [0, 1)
//
// The generator is Threefry-4x32 with 20 rounds: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011. Key: the 64 bits of the seed, low word first, and 64 bits of zero. Counter:
// (purpose, when, which, i). It adds, rotates and xors 32-bit words, so that a vector unit does as many as it has
// lanes.
#ifndef SY_RANDOM_H
#define SY_RANDOM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// What a number is drawn for: the first word of the counter. Numbers are for ever: a checkpoint depends on them.
enum {
  SY_RANDOM_ORDER = 1,   // of the samples of an epoch: (epoch, half, round)
  SY_RANDOM_PICK,        // which source, caption or text of a sample: (epoch, sample, i)
  SY_RANDOM_AUGMENT,     // crops, flips, colours: (epoch, sample, i)
  SY_RANDOM_MASK,        // masked words and patches: (epoch, sample, i)
  SY_RANDOM_MIX,         // mixup and cutmix of a batch: (epoch, batch, i)
  SY_RANDOM_DRAW,        // negatives inside a step: (step, row, i)
  SY_RANDOM_WEIGHTS,     // first values: (number of the tensor, element, i)
  SY_RANDOM_INPUT = 256, // + number of an input of the objective: samplers that fill it: (epoch, sample, i)
  SY_RANDOM_SITE = 65536 // + number of a dropout or drop path in the graph: (step, row, i)
};

typedef struct sy_random4 {
  uint32_t v[4];
} sy_random4;

static inline uint32_t sy_random_rotate(uint32_t x, unsigned by) { // 0 < by < 32
  return x << by | x >> (32 - by);
}

// The bare generator: 128 random bits of a key and a counter.
static inline sy_random4 sy_threefry4x32(const uint32_t key[4], const uint32_t counter[4]) {
  static const unsigned char by[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5}, {6, 20}, {17, 11}, {25, 10}, {18, 20}};
  const uint32_t k[5] = {key[0], key[1], key[2], key[3], 0x1BD11BDAu ^ key[0] ^ key[1] ^ key[2] ^ key[3]};
  uint32_t a = counter[0] + k[0], b = counter[1] + k[1], c = counter[2] + k[2], d = counter[3] + k[3];
  for (uint32_t round = 0; round < 20; round++) {
    if (round % 2) { // the words change partners
      a += d, d = sy_random_rotate(d, by[round % 8][0]) ^ a;
      c += b, b = sy_random_rotate(b, by[round % 8][1]) ^ c;
    } else {
      a += b, b = sy_random_rotate(b, by[round % 8][0]) ^ a;
      c += d, d = sy_random_rotate(d, by[round % 8][1]) ^ c;
    }
    if (round % 4 < 3) continue;
    const uint32_t s = round / 4 + 1; // the key again, shifted by one word
    a += k[s % 5], b += k[(s + 1) % 5], c += k[(s + 2) % 5], d += k[(s + 3) % 5] + s;
  }
  const sy_random4 r = {{a, b, c, d}};
  return r;
}

static inline sy_random4 sy_random_at(uint64_t seed, uint32_t purpose, uint32_t when, uint32_t which, uint32_t i) {
  const uint32_t key[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), 0, 0}, counter[4] = {purpose, when, which, i};
  return sy_threefry4x32(key, counter);
}

// Of the top 24 bits: k / 2^24, in [0, 1), all of them exact.
static inline float sy_random_f32(uint32_t v) {
  return (float)(v >> 8) * (1.0f / 16777216.0f);
}
// Of 53 bits: k / 2^53, in [0, 1).
static inline double sy_random_f64(uint32_t high, uint32_t low) {
  return (double)((uint64_t)high << 21 | low >> 11) * (1.0 / 9007199254740992.0);
}

// 0 .. n - 1, n > 0. Each is drawn with probability 1/n, off by less than n / 2^32 of it: 1.5e-5 for a vocabulary of
// 64k.
static inline uint32_t sy_random_below(uint32_t v, uint32_t n) {
  return (uint32_t)((uint64_t)v * n >> 32);
}
// The same of 64 bits: off by less than n / 2^64 of it.
static inline uint32_t sy_random_below64(uint32_t high, uint32_t low, uint32_t n) {
  return (uint32_t)(((uint64_t)high * n + ((uint64_t)low * n >> 32)) >> 32);
}

// Normal, mean 0, deviation 1, at most 6.7 away from 0: Box and Muller's sqrt(-2 ln u) cos(2 pi v) with u in (0, 1], v
// in [0, 1). Logarithm, root and cosine are here, of sums, products and quotients in double (errors below 1e-9), so
// that no C library has a say in the result.
static inline float sy_random_normal(uint32_t u, uint32_t v) {
  // ln of m * 2^-shift with m in [sqrt(1/2), sqrt(2)): 2 atanh((m - 1) / (m + 1))
  uint64_t whole = (uint64_t)u + 1;
  int shift = 0;
  for (; whole < 0xb504f333u; whole <<= 1) shift++;
  const double m = (double)whole / 4294967296.0, s = (m - 1) / (m + 1), s2 = s * s;
  double sum = 0;
  for (int k = 15; k > 0; k -= 2) sum = sum * s2 + 1.0 / k;
  const double x = 2 * (0.69314718055994530942 * shift - 2 * s * sum); // -2 ln u
  if (!(x > 0)) return 0;
  // its root by Newton, from above until it falls no more
  double root = x > 1 ? x : 1, next = 0.5 * (root + x / root);
  for (; next < root; next = 0.5 * (root + x / root)) root = next;
  // cos of a turn: folded to a quarter of it, then Taylor
  double turn = (double)v / 4294967296.0, sign = 1;
  if (turn > 0.5) turn = 1 - turn;
  if (turn > 0.25) turn = 0.5 - turn, sign = -1;
  const double t2 = 39.478417604357434475 * turn * turn; // (2 pi turn)^2
  double cosine = 1;
  for (int k = 16; k > 0; k -= 2) cosine = 1 - cosine * t2 / (k * (k - 1));
  return (float)(sign * root * cosine);
}

// A keyed permutation of 0 .. n - 1 without a table, for the order of samples: what stands at position p of an epoch.
// p < n. A Feistel network over the least even number of bits that holds n, 8 rounds of the generator, and again while
// the result is not below n (which is less than 4 times on the average).
static inline uint32_t sy_random_permute(uint64_t seed, uint32_t epoch, uint32_t n, uint32_t p) {
  if (n < 2) return 0;
  unsigned half = 1;
  while (half < 16 && (n - 1) >> (2 * half)) half++;
  const uint32_t mask = ((uint32_t)1 << half) - 1;
  do {
    uint32_t left = p >> half, right = p & mask;
    for (uint32_t round = 0; round < 8; round++) {
      const uint32_t next = left ^ (sy_random_at(seed, SY_RANDOM_ORDER, epoch, right, round).v[0] & mask);
      left = right;
      right = next;
    }
    p = left << half | right;
  } while (p >= n);
  return p;
}

#ifdef __cplusplus
}
#endif
#endif

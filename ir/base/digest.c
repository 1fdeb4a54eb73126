// digest.c: 128 bits that stand for a content, in the keys of caches: fast enough for checkpoints (several GB a
// second), and so wide that two contents never share a key by chance. It is no protection against somebody who wants
// two contents with one key; caches belong to one user, who would only fool himself.
//
// Four lanes take eight bytes of each stripe of 32, as XXH64 does; the two halves of the result mix the four lanes in
// different ways. Little- and big-endian machines differ, which is of no matter in a cache.
#include "base.h"

#include <string.h>

#define PRIME_1 0x9e3779b185ebca87u
#define PRIME_2 0xc2b2ae3d27d4eb4fu
#define PRIME_3 0x165667b19e3779f9u

static uint64_t turn(uint64_t x, int by) {
  return x << by | x >> (64 - by);
}

static uint64_t mix(uint64_t h) { // every bit of h reaches every bit of the result
  h = (h ^ h >> 33) * PRIME_2;
  h = (h ^ h >> 29) * PRIME_3;
  return h ^ h >> 32;
}

static uint64_t take(uint64_t lane, uint64_t word) {
  return turn(lane + word * PRIME_2, 31) * PRIME_1;
}

Digester digest_begin(void) {
  return (Digester){.lane = {PRIME_1 + PRIME_2, PRIME_2, 0, 0 - PRIME_1}};
}

static void stripes(Digester *d, const unsigned char *p, size_t n) {
  uint64_t a = d->lane[0], b = d->lane[1], c = d->lane[2], e = d->lane[3];
  for (size_t i = 0; i < n; i++, p += 32) {
    uint64_t w[4];
    memcpy(w, p, sizeof w);
    a = take(a, w[0]), b = take(b, w[1]), c = take(c, w[2]), e = take(e, w[3]);
  }
  d->lane[0] = a, d->lane[1] = b, d->lane[2] = c, d->lane[3] = e;
}

void digest_add(Digester *d, const void *data, size_t n) {
  const unsigned char *p = data;
  d->total += n;
  if (d->rest) {
    size_t k = sizeof d->part - d->rest < n ? sizeof d->part - d->rest : n;
    if (k) memcpy(d->part + d->rest, p, k);
    d->rest += k, p += k, n -= k;
    if (d->rest < sizeof d->part) return;
    stripes(d, d->part, 1);
    d->rest = 0;
  }
  stripes(d, p, n / 32);
  d->rest = n % 32;
  if (d->rest) memcpy(d->part, p + n / 32 * 32, d->rest);
}

Digest digest_end(const Digester *d) {
  Digester e = *d;
  if (e.rest) {
    memset(e.part + e.rest, 0, sizeof e.part - e.rest);
    stripes(&e, e.part, 1);
  }
  Digest out;
  for (int half = 0; half < 2; half++) {
    uint64_t h = mix(e.total + (uint64_t)half * PRIME_1);
    for (int i = 0; i < 4; i++) h = turn(h ^ mix(e.lane[half ? 3 - i : i] + PRIME_3 * (uint64_t)i), 27) * PRIME_1;
    out.half[half] = mix(h);
  }
  return out;
}

bool digest_equal(Digest a, Digest b) {
  return a.half[0] == b.half[0] && a.half[1] == b.half[1];
}

const char *digest_hex(Arena *a, const Digest *d) {
  return arena_printf(a, "%016llx%016llx", (unsigned long long)d->half[0], (unsigned long long)d->half[1]);
}

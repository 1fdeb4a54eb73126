// mask.c - block masks of patches, and the three ways to choose words.
#include "mask.h"

#include <math.h>
#include <string.h>

/* patches ---------------------------------------------------------------------------------------------------------- */
// Python's round: halves to even, which is how the C library rounds by default.
static double round_half_even(double x) {
  return nearbyint(x);
}

// Ten tries to place a block that masks at most `budget` further patches; returns how many it does.
static size_t add_block(const MaskBlocks *how, DataDraws *d, size_t budget, unsigned char *mask) {
  for (int attempt = 0; attempt < 10; attempt++) {
    // the area is drawn between reversed bounds too, when the budget is below the least
    double area = draw_uniform(d, (double)how->least, (double)budget);
    double aspect = exp(draw_uniform(d, log(how->aspect), log(1 / how->aspect)));
    double high = round_half_even(sqrt(area * aspect)), wide = round_half_even(sqrt(area / aspect));
    if (!(wide < (double)how->width && high < (double)how->height)) continue;
    size_t h = (size_t)high, w = (size_t)wide, covered = 0;
    size_t top = (size_t)draw_between(d, 0, (int64_t)(how->height - h));
    size_t left = (size_t)draw_between(d, 0, (int64_t)(how->width - w));
    for (size_t y = top; y < top + h; y++)
      for (size_t x = left; x < left + w; x++) covered += mask[y * how->width + x];
    size_t more = h * w - covered;
    if (more == 0 || more > budget) continue;
    for (size_t y = top; y < top + h; y++) memset(mask + y * how->width + left, 1, w);
    return more;
  }
  return 0;
}

// Turns k of the n patches that are `from` into the other.
static void turn_some(const MaskBlocks *how, DataDraws *d, unsigned char from, size_t n, size_t k,
                      unsigned char *mask) {
  uint32_t chosen[MASK_MOST], scratch[MASK_MOST];
  size_t seen = 0;
  draw_choice(d, n, k, chosen, scratch);
  memset(scratch, 0, n * sizeof *scratch);
  for (size_t i = 0; i < k; i++) scratch[chosen[i]] = 1;
  for (size_t i = 0; i < how->height * how->width; i++)
    if (mask[i] == from && scratch[seen++]) mask[i] = !from;
}

size_t mask_blocks(const MaskBlocks *how, DataDraws *d, unsigned char *mask) {
  size_t n = how->height * how->width, done = 0, want = how->count < n ? how->count : n;
  size_t most = how->most ? how->most : want;
  memset(mask, 0, n);
  while (done < want) {
    size_t left = want - done, more = add_block(how, d, left < most ? left : most, mask);
    if (!more) break;
    done += more;
  }
  if (!how->exact || done == want) return done;
  if (done > want)
    turn_some(how, d, 1, done, done - want, mask);
  else
    turn_some(how, d, 0, n - done, want - done, mask);
  return want;
}

/* words ------------------------------------------------------------------------------------------------------------ */
// What stands for a masked token.
static int32_t replace(const MaskWords *how, DataDraws *d, int32_t id) {
  double u = draw_unit(d), stays = 1 - how->random;
  if (u < stays - how->kept) return how->mask;
  return u < stays ? id : (int32_t)draw_between(d, how->lowest, how->vocab - 1);
}

static bool is_spared(const MaskWords *how, int32_t id) {
  for (size_t i = 0; i < how->nspare; i++)
    if (how->spare[i] == id) return true;
  return false;
}

static size_t mask_exactly(const MaskWords *how, DataDraws *d, size_t n, int32_t *ids, int32_t *labels) {
  if (n < 2) return 0;
  size_t want = (size_t)((double)n * how->share + 0.5), done = 0; // int(): towards zero
  if (want > n - 1) want = n - 1;
  if (want < 1) want = 1;
  while (done < want) {
    size_t i = (size_t)draw_between(d, 1, (int64_t)n - 1);
    if (labels[i] != -100) continue;
    labels[i] = ids[i];
    ids[i] = replace(how, d, ids[i]);
    done++;
  }
  return done;
}

// Says in labels which tokens are to be masked. word: the first place of each candidate; padding is one a place.
static void choose_words(const MaskWords *how, DataDraws *d, size_t n, const int32_t *ids, int32_t *labels,
                         const bool *joins, uint32_t *word) {
  size_t length = n > how->padded ? n : how->padded, words = 0, taken = 0;
  for (size_t i = 0; i < length; i++)
    if (i >= n || !(is_spared(how, ids[i]) || (words && joins && joins[i]))) word[words++] = (uint32_t)i;
  double share = round_half_even((double)length * how->share);
  size_t want = share > 1 ? (size_t)share : 1;
  draw_shuffle(d, word, words);
  for (size_t k = 0; k < words && taken < want; k++) {
    size_t first = word[k], end = first + 1;
    while (end < n && joins && joins[end] && !is_spared(how, ids[end])) end++;
    if (taken + (end - first) > want) continue; // a shorter word may fit
    taken += end - first;
    for (size_t i = first; i < end && i < n; i++) labels[i] = ids[i];
  }
}

size_t mask_words(const MaskWords *how, DataDraws *d, size_t n, int32_t *ids, int32_t *labels, const bool *joins,
                  uint32_t *scratch) {
  size_t done = 0;
  for (size_t i = 0; i < n; i++) labels[i] = -100;
  if (how->rule == MASK_EXACTLY) return mask_exactly(how, d, n, ids, labels);
  if (how->rule == MASK_WHOLE)
    choose_words(how, d, n, ids, labels, joins, scratch);
  else
    for (size_t i = 0; i < n; i++)
      if (!is_spared(how, ids[i]) && draw_unit(d) < how->share) labels[i] = ids[i];
  for (size_t i = 0; i < n; i++) {
    if (labels[i] == -100) continue;
    ids[i] = replace(how, d, ids[i]);
    done++;
  }
  return done;
}

// lower_gemm_plan.c: see lower_gemm.h.
#include "lower_gemm.h"

bool gemm_streams(const Gemm *g) {
  return g->k * g->n > g->cost->cached;
}

static int64_t row_bound(const Gemm *g) {
  int64_t m = 1;
  for (int d = 0; d + 1 < g->lo.rank; d++) m *= g->lo.axis[d].extent;
  return m;
}

int64_t gemm_least_rows(const Gemm *g) {
  int64_t m = 1;
  for (int d = 0; d + 1 < g->lo.rank; d++) {
    const Range *r = &g->lo.axis[d].range[0];
    int64_t lo = ki_min(g->lo.k, &r->len);
    m *= d == 0 && g->lo.axis[d].n == 1 ? (lo > 0 ? lo : 1) : g->lo.axis[d].extent;
  }
  return m;
}

// The tile with the least work lost on left-over panels; very few rows get a wide tile, so that many loads are in
// flight.
void gemm_choose_tile(Gemm *g) {
  const Target *t = g->lo.t;
  const ProductCosts *c = g->cost;
  int per_panel = PANEL / (int)t->lanes, budget = (int)t->vregs * 3 / 4; // registers of accumulators
  // A batch of single rows is bound by memory, and a small part of the work for any batch.
  if (row_bound(g) <= c->few_rows && gemm_least_rows(g) <= c->single_rows) {
    int64_t wide = budget / per_panel;
    g->rows = 1;
    g->width = (int)least(least(wide < 1 ? 1 : wide, c->single_panels), g->panels);
    return;
  }
  tile_choose(t, g->panels, &g->rows, &g->width);
}

int64_t gemm_tasks(const Gemm *g) {
  double m = (double)gemm_least_rows(g), kn = (double)g->k * (double)g->n;
  const Costs *c = g->lo.t->cost;
  double by_flops = 2 * m * kn / c->flops_per_us, by_bytes = (double)g->w_bytes * kn / c->bytes_per_us,
         us = by_flops > by_bytes ? by_flops : by_bytes;
  double tasks = us / c->task_us;
  return tasks < 1 ? 1 : least((int64_t)tasks, c->most_tasks);
}

int64_t gemm_longest(const Gemm *g) {
  int64_t most = 0;
  const Axis *a = &g->lo.axis[g->lo.rank - 2];
  for (int i = 0; i < a->n; i++) most = a->range[i].bound > most ? a->range[i].bound : most;
  return most;
}

// Steps of k in a block: a divisor of k, near what the target wants; 0: there is none.
static int64_t block_steps(const Gemm *g) {
  int64_t burst = g->cost->burst, want = g->lo.t->k_block / burst, all = g->k / burst;
  if (g->k % burst) return 0;
  for (int64_t n = want; 2 * n >= want; n--)
    if (all % n == 0) return n * burst;
  for (int64_t n = want + 1; 2 * n <= 3 * want; n++)
    if (all % n == 0) return n * burst;
  return 0;
}

// Panels that share the rows' block of x while it is in the second-level cache; few enough for all tasks to have some.
static int group_panels(const Gemm *g, int64_t rows) {
  const ProductCosts *c = g->cost;
  int64_t held = least(rows, c->block_rows), bytes = STEP_BYTES * (held + g->k_block);
  int64_t most = least(least(c->block_bytes / bytes, c->block_panels), g->panels / gemm_tasks(g));
  most = least(most, c->block_sums / (STEP_BYTES * rows));
  for (int64_t n = most; 2 * n > most; n--)
    if (g->panels % n == 0) return (int)n;
  return most < 1 ? 1 : (int)most;
}

void gemm_choose_blocks(Gemm *g) {
  g->group = g->width;
  if (!g->lo.t->k_block || g->k <= g->lo.t->k_block || g->width != 1 || g->rows == 1) return;
  if (g->windows || g->lo.rank < 2 || !gemm_streams(g)) return;
  int64_t rows = gemm_longest(g);
  if (rows < g->cost->block_least_rows || STEP_BYTES * rows > g->cost->block_sums) return;
  g->k_block = block_steps(g);
  if (!g->k_block) return;
  g->through_scratch = true;
  g->group = group_panels(g, rows);
}

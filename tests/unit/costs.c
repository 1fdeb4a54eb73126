// costs.c (test): what is said of a target's costs is what lowerings can hold, and shows in no result: a target with
// altogether other numbers makes other kernels, which give the same bits.
#include "codegen/lower_tile.h"
#include "lower_support.h"

#include <criterion/criterion.h>

static const Costs others = {
    .flops_per_us = 300,
    .bytes_per_us = 100,
    .task_us = 2,
    .most_tasks = 5,
    .task_elements = 100,
    .line = 128,
    .left_over = 0.1,
    .later_tile = -0.2,
    .narrow = 0.5,
    .unpacked = 0.1,
    .pack_elements = 64,
    .add_columns = 16,
    .depthwise_columns = 3,
    .product = {.cached = 100,
                .few_rows = 3,
                .single_rows = 3,
                .single_panels = 2,
                .burst = 16,
                .lines_ahead = 4,
                .steps_ahead = 1,
                .rows_ahead = 2,
                .widened = 1 << 10,
                .block_least_rows = 5,
                .block_rows = 12,
                .block_panels = 3,
                .block_sums = 1 << 14,
                .block_bytes = 1 << 15},
    .outer = {.rows = 30,
              .least_rows = 1,
              .part = 48,
              .parts = 20,
              .least_parts = 10,
              .large_part = 100,
              .apart = 0,
              .copied = 32,
              .rows_ahead = 1,
              .lying_rows = 5,
              .lying_flops = 1000},
    .attention =
        {.keys_ahead = 1, .enough_rows = 3, .enough_rows_wide = 2, .entries = 30, .least_tiles = 1, .kept = 1 << 10},
};

#define LINEAR(x, rows, k, n)                                                                                          \
  "%1 = input \"x\" : f32[" x "," rows k "]\n%2 = weight \"w\" : f32[" n "," k "]\n%3 = weight \"b\" : f32[" n         \
  "]\n%4 = linear %1, %2, %3 {trans = 0} : f32[" x "," rows n "]\n%5 = gelu %4 : f32[" x "," rows n                    \
  "]\noutput \"y\" = %5"

static const struct {
  const char *name, *text;
} cases[] = {
    {"a long k", LINEAR("B", "50,", "512", "160")},
    {"run-time rows", LINEAR("B", "L,", "96", "80")},
    {"few rows", LINEAR("B", "", "96", "400")},
    {"a gradient of a weight", "%1 = input \"x\" : f32[B,50,100]\n%2 = input \"y\" : f32[B,50,70]\n"
                               "%3 = outer %1, %2 : f32[100,70]\noutput \"y\" = %3"},
    {"columns that are not adjacent", "%1 = input \"x\" : f32[30,B,50]\n%2 = input \"y\" : f32[B,50,20]\n"
                                      "%3 = transpose %1 {perm = [1, 2, 0]} : f32[B,50,30]\n"
                                      "%4 = outer %3, %2 : f32[30,20]\noutput \"y\" = %4"},
    {"two computed tensors", "%1 = input \"x\" : f32[B,50,70]\n%2 = input \"y\" : f32[B,40,70]\n"
                             "%3 = transpose %2 {perm = [0, 2, 1]} : f32[B,70,40]\n"
                             "%4 = matmul %1, %3 : f32[B,50,40]\noutput \"y\" = %4"},
    {"one query", "%1 = input \"q\" : f32[B,1,64]\n%2 = input \"k\" : f32[B,L,64]\n%3 = input \"v\" : f32[B,L,96]\n"
                  "%4 = attention %1, %2, %3 {heads = 2, scale = 0.25} : f32[B,1,96]\noutput \"y\" = %4"},
    {"many queries", "%1 = input \"q\" : f32[B,130,32]\n"
                     "%4 = attention %1, %1, %1 {heads = 2, scale = 0.25} : f32[B,130,32]\noutput \"y\" = %4"},
    {"a gradient of an attention",
     "%1 = input \"q\" : f32[B,81,16]\n%2 = input \"k\" : f32[B,100,16]\n%3 = input \"v\" : f32[B,100,16]\n"
     "%4 = input \"dy\" : f32[B,81,16]\n"
     "%5 = attention_grad %1, %2, %3, %4 {heads = 2, scale = 0.5, wrt = [1]} : f32[B,100,16]\noutput \"y\" = %5"},
    {"a depthwise convolution", "%1 = input \"x\" : f32[B,9,10,20]\n%2 = weight \"w\" : f32[3,3,20]\n"
                                "%3 = depthwise %1, %2 {stride = [1, 1]} : f32[B,7,8,20]\noutput \"y\" = %3"},
    {"panels of a computed matrix",
     "%1 = input \"x\" : f32[B,40,37]\n%2 = pack %1 {layout = \"panels\", panel = 16} : f32[B,3,37,16]\n"
     "output \"y\" = %2"},
};

static char *text_of(const Program *p) {
  Buf b = {0};
  for (size_t i = 0; i < p->kernel.n; i++) kernel_print(p->kernel.at[i].k[0], &b);
  return b.s;
}

Test(costs, show_in_no_result, .timeout = 600) {
  for (size_t t = 0; targets[t]; t++) {
    Target other = *targets[t];
    other.cost = &others;
    if (other.k_block) other.k_block = 64;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      LowerCase c = {.text = cases[i].text};
      static const int64_t dims[] = {3, 21, 1};
      LowerRun one, two;
      lower_run_target(&one, &c, targets[t], dims);
      lower_run_target(&two, &c, &other, dims);
      cr_assert(!one.failed && !two.failed, "%s on %s: %s", cases[i].name, other.name,
                one.failed ? one.failed : two.failed);
      char *a = text_of(one.program), *b = text_of(two.program);
      cr_expect(strcmp(a, b), "%s on %s: the same kernels", cases[i].name, other.name);
      cr_expect_eq(one.bits, two.bits, "%s on %s: other bits", cases[i].name, other.name);
      free(a), free(b);
      lower_run_free(&one), lower_run_free(&two);
    }
  }
}

Test(costs, are_what_lowerings_can_hold) {
  for (size_t i = 0; targets[i]; i++) {
    const Target *t = targets[i];
    const Costs *c = t->cost;
    cr_expect(c->product.burst > 0 && t->k_block % c->product.burst == 0, "%s", t->name);
    cr_expect(c->outer.lying_rows > 0 && c->outer.lying_rows <= TILE_MOST_ROWS, "%s", t->name);
    cr_expect(c->outer.copied % PANEL == 0 && c->line % (4 * PANEL) == 0, "%s", t->name);
    for (size_t a = 0; a < sizeof t->tile / sizeof *t->tile && t->tile[a].rows; a++) {
      unsigned vectors = t->tile[a].panels * (PANEL / t->lanes);
      cr_expect(t->tile[a].rows <= TILE_MOST_ROWS && t->tile[a].rows * vectors <= TILE_MOST_ACC, "%s", t->name);
    }
  }
}

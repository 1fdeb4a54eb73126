// weights_once.c: what depends on weights and constants alone is computed when weights are packed, also where the batch
// stretches it; and constants are operands of every kernel. Kernels of every target against the reference evaluator.
#include "program_check.h"

#include "page_support.h"

#define MODEL(inputs, body)                                                                                            \
  "use std\nmodel m(dim = 16, heads = 2, q = 5) {\n  dim B = 1..4\n  dim L = 1..6\n  route r(" inputs                  \
  ") -> y {\n" body "  }\n}\n"

static const struct {
  const char *name, *page;
  size_t steps; // launches of the route
} cases[] = {
    {"learned queries",
     MODEL("image: f32[B, 6, dim]", "    weight queries: f32[1, q, dim]\n"
                                    "    let x = norm(broadcast(queries, [B, q, dim]), 1e-5)  @n0\n"
                                    "    let x = x + attention_apart(x, x, heads)  @self\n"
                                    "    let h = norm(x, 1e-5)  @n1\n"
                                    "    return x + attention_apart(h, image, heads)  @cross\n"),
     3}, // keys and values, attention, what stands behind it
    {"a linear of a constant",
     MODEL("x: f32[B, q, dim]", "    let t = fill(0.25, f32[B, q, dim])\n    return x + linear(t, dim)\n"), 1},
    {"layers of constants",
     MODEL("x: f32[B, L, dim]",
           "    let t = gelu(linear(fill(0.5, f32[B, L, dim]), dim))  @a\n    let h = norm(t, 1e-5)  @b\n"
           "    return x * softmax(h) + reduce_sum(h)\n"),
     1},
    {"patches of a constant",
     MODEL("x: f32[B, 4]",
           "    let p = patch_embed(fill(0.5, f32[B, 3, 8, 8]), 4, 4)  @p\n    return x + p[:, 0] + p[:, 3]\n"),
     1},
    {"attention over constants",
     MODEL("x: f32[B, q, dim]", "    let t = fill(0.25, f32[B, q, dim])\n    let a = attention(x, t, x, heads = 2)\n"
                                "    let b = attention(t, x, x, heads = 2) + attention(x, x, t, heads = 2)\n"
                                "    return a + b + attention(t, t, t, heads = 2)\n"),
     4},
    {"products with constants",
     MODEL("x: f32[B, q, dim], m: f32[B, dim, q]",
           "    let t = fill(0.25, f32[B, q, dim])\n    let a = matmul(matmul(t, m), x)\n    let b = matmul(matmul(x, "
           "m), t)\n"
           "    return a + b + matmul(matmul(t, fill(0.5, f32[B, dim, q])), x)\n"),
     5},
    {"constants of one size",
     MODEL("x: f32[2, q, dim]", "    let t = fill(0.25, f32[2, q, dim])\n    let a = attention(x, t, x, heads = 2)\n"
                                "    return a + matmul(x, fill(0.5, f32[2, dim, dim]))\n"),
     2},
    {"positions are not one",
     MODEL("x: f32[B, L, dim]", "    weight p: f32[6, dim]\n    return x + norm(linear(p[0:L], dim) @l, 1e-5) @n\n"),
     3},
};

Test(weights_once, cases, .timeout = 600) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int64_t batch = 1; batch <= 3; batch += 2) {
      Arena a = {0};
      int64_t dims[MAX_DIMS] = {batch, 4};
      Module *whole = page_compile(&a, cases[i].page);
      Want want;
      reference(&a, whole->graph.at[0], dims, 30, &want);
      Program *p = lower_all(page_compile(&a, cases[i].page));
      cr_expect_eq(p->route.at[0].step.n, cases[i].steps, "%s: %zu launches", cases[i].name, p->route.at[0].step.n);
      char *weights = pack_all(p, &a);
      for (size_t t = 0; t < p->ntarget; t++) compare(p, 0, t, weights, dims, &want, cases[i].name, 1e-5);
      arena_free(&a);
    }
}

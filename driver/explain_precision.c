// explain_precision.c: `syc explain SPEC --precision X`: what each product is in, and what that is expected to gain on
// the instruction set that runs here, before anything is built.
//
// A product takes as long as its arithmetic or as reading its weight, whichever is longer (codegen/costs.h). Weights in
// 16 bits are computed in f32, so they gain where reading is longer: few rows. Products of codes gain there, too, and
// where the set multiplies bytes faster than floats. What lies around products is left out, so a whole model gains
// less.
#include "explain.h"

#include "codegen/target.h"
#include "ir/op/codes.h"
#include "ir/op/pairs.h"
#include "passes/products.h"

#include <string.h>

// Speed of products of codes by that of f32 ones, both with panels. x86: of the instructions (bench/README.md has
// models); with 512 bits and without VNNI, multiplying and adding pairs shares the ports of the multipliers.
static double speed_of_codes(const Target *t) {
  static const struct {
    DotKind dot;
    uint32_t lanes;
    double speed;
  } known[] = {
      {DOT_PLAIN, 16, 3.7}, {DOT_PLAIN, 8, 3.7}, {DOT_PAIRS, 16, 1.0}, {DOT_PAIRS, 8, 1.27}}; // of 4 bits: as of 8
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].dot == t->dot && known[i].lanes == t->lanes) return known[i].speed;
  return 0;
}

// The same of products of a precision: of bf16 by the instruction (a Zen 5), or as fast as f32.
static double speed_of(const Precision *p, const Target *t) {
  if (p->codes == PRECISION_PAIRS) return t->pairs ? 1.9 : 1.0;
  return speed_of_codes(t);
}

enum { CODING = 12 }; // operations for a number of a row that is coded: greatest magnitude, product, rounding, word
#define GAIN 1.05     // less is none

typedef struct Expected {
  Product is;
  double rows, bytes, bytes_f32, us, us_f32;
} Expected;
typedef VEC(Expected) ExpectedList;

static double longer(double a, double b) {
  return a > b ? a : b;
}

static Expected expect(const Facts *f, const Target *t, const Graph *g, Val v, const Product *p) {
  const Value *x = graph_value(g, v);
  const Costs *c = t->cost;
  Expected e = {.is = *p, .rows = type_elements_now(&x->type, f->dims) / (double)p->n};
  double elements = (double)p->k * (double)p->n, us = 2 * e.rows * elements / c->flops_per_us;
  bool four = x->op == OP_linear_codes4, codes = four || x->op == OP_linear_codes;
  e.bytes_f32 = 4 * elements;
  double column = (double)codes_depth(p->k) * (four ? 0.5 + 2.0 / CODE_GROUP : 1) + (four ? 0 : 8); // with its scales
  bool pairs = x->op == OP_linear_pairs;
  e.bytes = pairs   ? 2 * (double)pairs_depth(p->k) * (double)p->n
            : codes ? (double)p->n * column
                    : elements * (double)dtype_info[p->is->keep].bytes;
  e.us_f32 = longer(us, e.bytes_f32 / c->bytes_per_us);
  double speed = (codes || pairs) && speed_of(p->is, t) > 0 ? speed_of(p->is, t) : 1;
  double coding = codes || pairs ? (pairs ? CODING / 3 : CODING) * e.rows * (double)p->k / c->flops_per_us : 0;
  e.us = longer(us / speed + coding, e.bytes / c->bytes_per_us);
  return e;
}

static void gather(const Facts *f, const Target *t, const RouteProgram *r, ExpectedList *out) {
  const Graph *g = r->graph;
  for (uint32_t v = 1; v < g->value.n; v++) {
    Product p;
    if (g->value.at[v].dead || !g->value.at[v].group || !product_of(g, (Val){v}, &p)) continue;
    Expected e = expect(f, t, g, (Val){v}, &p);
    VEC_PUSH(&f->s->arena, *out, e);
  }
}

static const Target *runs_here(const Facts *f) {
  const Target *best = f->program->target[f->program->ntarget - 1], *here = target_by_name(session_best_isa(f->s));
  for (size_t i = 0; i < f->program->ntarget; i++)
    if (f->program->target[i] == here) best = here;
  return best;
}

static const char *name_of(const Facts *f, const Product *p) {
  return p->more ? arena_printf(&f->s->arena, "%s and %zu", p->name, p->more) : p->name;
}

// What cannot gain is said in words: once for each precision and reason.
static void print_no_gain(const Target *t, const ExpectedList *l) {
  for (size_t i = 0; i < precision_count; i++) {
    const Precision *p = &precisions[i];
    size_t all = 0, none = 0, lost = 0;
    double rows = 0;
    for (size_t k = 0; k < l->n; k++) {
      const Expected *e = &l->at[k];
      if (e->is.is != p) continue;
      all++;
      lost += e->us > e->us_f32 * GAIN;
      if (e->us_f32 >= e->us * GAIN) continue;
      none++;
      rows = longer(rows, e->rows);
    }
    if (!none || p == precisions) continue;
    const char *why = "they have so many rows that arithmetic takes the time, and that is f32";
    if (p->codes) why = "this set multiplies codes no faster than floats (no instruction for it, such as VNNI)";
    if (p->codes == PRECISION_PAIRS) why = "this set has no instruction for products of bf16 (AVX512-BF16 of AMD)";
    if (p->codes && speed_of(p, t) > GAIN) why = "they are so narrow that coding their rows takes what is gained";
    if (p->codes && !(speed_of(p, t) > 0)) why = "how fast this set multiplies codes is not known";
    printf("    %s gains no time here for %zu of its %zu products, up to %.0f rows: %s%s\n", p->name, none, all, rows,
           why,
           lost       ? "; some get slower"
           : p->codes ? ""
                      : ". It keeps them in half the bytes");
  }
}

static bool is_asked(const Facts *f) {
  return f->s->opt.precision || f->program->module->precision;
}

void explain_precision(const Facts *f, const RouteProgram *r) {
  const Target *t = runs_here(f);
  ExpectedList l = {0};
  double us = 0, us_f32 = 0, bytes = 0, bytes_f32 = 0;
  if (!is_asked(f)) return;
  gather(f, t, r, &l);
  if (!l.n || r->graph->objective) return;
  text_line(stdout, "    products in precision %s, expected on %s (as fast as f32 = 1)",
            f->program->module->precision ? f->program->module->precision->name : f->s->opt.precision, t->name);
  text_line(stdout, "    %-60s %-6s %7s %6s %6s %8s %6s", "weight", "in", "rows", "from", "to", "MB", "x f32");
  for (size_t i = 0; i < l.n; i++) {
    const Expected *e = &l.at[i];
    text_line(stdout, "    %-60s %-6s %7.0f %6lld %6lld %8.2f %6.2f", name_of(f, &e->is), e->is.is->name, e->rows,
              (long long)e->is.k, (long long)e->is.n, e->bytes / 1e6, e->us_f32 / e->us);
    us += e->us, us_f32 += e->us_f32, bytes += e->bytes, bytes_f32 += e->bytes_f32;
  }
  text_line(
      stdout,
      "    all products: %.2f MB of weights (f32: %.2f), %.2f times as fast as in f32, what lies between them left out",
      bytes / 1e6, bytes_f32 / 1e6, us_f32 / us);
  print_no_gain(t, &l);
}

void explain_precision_json(const Facts *f, const RouteProgram *r, Json *j) {
  const Target *t = runs_here(f);
  ExpectedList l = {0};
  if (!is_asked(f)) return;
  gather(f, t, r, &l);
  json_array(j, "products");
  for (size_t i = 0; i < l.n; i++) {
    const Expected *e = &l.at[i];
    json_object(j, NULL);
    json_string(j, "weight", e->is.name);
    json_unsigned(j, "more", e->is.more);
    json_string(j, "precision", e->is.is->name);
    json_double(j, "rows", e->rows);
    json_integer(j, "k", e->is.k);
    json_integer(j, "n", e->is.n);
    json_double(j, "bytes", e->bytes);
    json_double(j, "ratio", e->us_f32 / e->us);
    json_end(j);
  }
  json_end(j);
}

// lower_draw.c: draw, one column of each row of weights by its random number.
//
// A task is a row. Its columns are added from the left, one after the other, once for the whole sum and once to find
// the first sum that is greater than u times it, so that the column does not depend on the width of a vector. The rows
// are those of a batch: there is nothing to be won.
#include "lower_draw.h"
#include "kmath.h"
#include "runtime/random.h"

typedef struct Draw {
  Source weights, word[4]; // seed low, seed high, step, sample
  int64_t stride[MAX_RANK], sample;
  KIdx row;
} Draw;

static KVal weight_at(Lowering *lo, const Draw *d, KIdx column) {
  if (d->weights.constant) return kb_const(lo->k, d->weights.value, DT_F32, 1);
  KIdx at = ki_add(ki_mul(d->row, d->stride[0]), ki_mul(column, d->stride[1]));
  return kb_load(lo->k, d->weights.buf, at, 1, 1, "w");
}

static KVal word_at(Lowering *lo, const Draw *d, int i) {
  const Source *s = &d->word[i];
  if (s->constant) return kb_const(lo->k, s->value, DT_I32, 1);
  return kb_load(lo->k, s->buf, i == 3 ? ki_mul(d->row, d->sample) : ki_const(0), 1, 1, NULL);
}

bool lower_draw(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  const Type *weights = &graph_value(lo->g, v->args[0])->type;
  int64_t none[MAX_RANK], last[MAX_RANK] = {0};
  Draw d = {.row = ki_const(0)};
  Kernel *k = lo->k;
  if (lo->grp->member.n != 1) return lower_fail(lo, member, "nothing is computed behind it");
  lower_domain(lo, &v->type);
  if (!lower_operand(lo, v->args[0], "w", &d.weights, d.stride)) return false;
  for (int i = 0; i < 4; i++)
    if (!lower_operand(lo, v->args[i + 1], "key", &d.word[i], i == 3 ? last : none)) return false;
  d.sample = last[0];
  Range columns = lower_axis(lo, weights, 1, false).range[0];
  if (!lower_root(lo)) return false;
  d.row = ki_var(kb_par(k, "b", kbound(ki_const(0)), kbound(lo->axis[0].range[0].len), 1));
  KVal key[3];
  for (int i = 0; i < 3; i++) key[i] = word_at(lo, &d, i);
  KVal site = kb_const(k, 4 * (double)value_int(v, A_site, 0), DT_I32, 1);
  KVal word = kmath_random(k, key, kb_const(k, SY_RANDOM_DRAW, DT_I32, 1), word_at(lo, &d, 3), site);
  KVal u = kb_cvt(k, kb_op2(k, K_shr, word, kb_const(k, 8, DT_I32, 1)), DT_F32);
  u = kb_op2(k, K_mul, u, kb_const(k, 0x1p-24, DT_F32, 1));
  KVal whole = kb_var(k, kb_const(k, 0, DT_F32, 1), "whole"), sum = kb_var(k, kb_const(k, 0, DT_F32, 1), "sum");
  KVal none_yet = kb_const(k, -1, DT_I32, 1), found = kb_var(k, none_yet, "found");
  KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(columns.len), 1));
  kb_set(k, whole, kb_op2(k, K_add, whole, weight_at(lo, &d, j)));
  kb_end(k);
  KVal limit = kb_op2(k, K_mul, u, whole);
  j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(columns.len), 1));
  kb_set(k, sum, kb_op2(k, K_add, sum, weight_at(lo, &d, j)));
  KVal first = kb_op2(k, K_and, kb_op2(k, K_lt, limit, sum), kb_op2(k, K_eq, found, none_yet));
  kb_set(k, found, kb_op3(k, K_select, first, kb_index(k, j, DT_I32, 1), found));
  kb_end(k);
  KVal next = kb_index(k, ki_addc(d.row, 1), DT_I32, 1), n = kb_index(k, columns.len, DT_I32, 1);
  KVal other = kb_op3(k, K_select, kb_op2(k, K_lt, next, n), next, kb_const(k, 0, DT_I32, 1));
  KVal y = kb_op3(k, K_select, kb_op2(k, K_eq, found, none_yet), other, found);
  kb_store(k, lo->root.buf, ki_mul(d.row, lo->root.stride[0]), y, 1);
  kb_end(k);
  double work = 2 * (double)columns.bound + 150;
  return lower_finish(lo, work, 4 * work, "draw", "a column of each row, by its weights");
}

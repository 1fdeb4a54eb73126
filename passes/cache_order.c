// cache_order.c: proof that no row depends on a later one. Words see no later words, and what is not words sees no
// words; then a row is the same for every longer sequence.
//
// The axis of queries or keys is a list of parts: each segment, its rows in front of the words apart from the words.
// For every pair of parts the mask is decided over all pairs of rows, of which two facts are known: their modalities,
// and between which bounds  key index - query index  lies.
//
//   keys and queries  vision: 4 + language: L,  mask (or (is key vision) (le key query))
//     query vision, key language: the difference is at least 1, so `le` never holds, `is` neither: never seen
//     query language, a later word: the difference is at least 1: never seen
#include "cache.h"

#include <string.h>

typedef enum Truth { NEVER, MIXED, ALWAYS } Truth;

typedef struct Pairs { // of rows: what the mask is asked about
  int32_t key, query;  // modalities, -1: none
  int64_t lo, hi;      // of key index - query index
} Pairs;

static Truth negate(Truth t) {
  return t == MIXED ? MIXED : t == NEVER ? ALWAYS : NEVER;
}

static Truth below(int64_t lo, int64_t hi, int64_t most) { // is the difference at most that?
  return hi <= most ? ALWAYS : lo > most ? NEVER : MIXED;
}

static Truth holds(const Mask *m, const Pairs *s) {
  switch (m->op) {
  case MASK_TRUE: return ALWAYS;
  case MASK_IS: return (m->on_key ? s->key : s->query) == m->index ? ALWAYS : NEVER;
  case MASK_LE: return m->on_key ? below(s->lo, s->hi, m->index) : below(-s->hi, -s->lo, m->index);
  case MASK_LT: return m->on_key ? below(s->lo, s->hi, m->index - 1) : below(-s->hi, -s->lo, m->index - 1);
  case MASK_EQ:
    return s->lo == m->index && s->hi == m->index ? ALWAYS : s->lo > m->index || s->hi < m->index ? NEVER : MIXED;
  case MASK_ARG: return MIXED;
  case MASK_NOT: return negate(holds(m->a, s));
  case MASK_AND:
  case MASK_OR: {
    Truth a = holds(m->a, s), b = holds(m->b, s);
    return (m->op == MASK_AND) == (a < b) ? a : b;
  }
  }
  return MIXED;
}

bool cache_compares(const Mask *m) {
  return m &&
         (m->op == MASK_LE || m->op == MASK_LT || m->op == MASK_EQ || cache_compares(m->a) || cache_compares(m->b));
}

typedef struct Part {
  int32_t modality;
  Dim len;
  bool words;
} Part;
enum { MAX_PARTS = MAX_SEGS + 1 };

// The parts of axis 1.
static int list_parts(const Split *p, const Type *t, Part *out) {
  WordsAt w;
  bool has = cache_words(p, t, &w) == 1 && w.axis == 1, segs = t->nseg && t->segaxis == 1;
  int n = 0;
  for (int s = 0; s < (segs ? t->nseg : 1); s++) {
    Part one = {segs ? t->seg[s].modality : -1, segs ? t->seg[s].len : t->dim[1], false};
    bool words = has && (segs ? s == w.seg : true);
    if (words && w.front) out[n++] = (Part){one.modality, DIM(w.front), false};
    if (words) one.len.c -= w.front;
    one.words = words;
    out[n++] = one;
  }
  return n;
}

static int64_t least(const Module *m, const Part *part, int from, int to) {
  int64_t n = 0;
  for (int i = from; i < to; i++) n += dim_least(m, part[i].len);
  return n;
}
static int64_t most(const Module *m, const Part *part, int from, int to) {
  int64_t n = 0;
  for (int i = from; i < to; i++) n += dim_bound(m, part[i].len);
  return n;
}

// Between which bounds  key index - query index  lies for rows of these two parts; of a word and the words behind it
// where both are the words. What both have in front of them cancels.
static void differ(const Module *m, const Part *k, int ik, const Part *q, int iq, Pairs *s) {
  int same = 0;
  while (same < ik && same < iq && dim_equal(k[same].len, q[same].len)) same++;
  int64_t most_key = dim_bound(m, k[ik].len) - 1, most_query = dim_bound(m, q[iq].len) - 1;
  bool alike = dim_equal(k[same].len, q[same].len); // the part behind what cancels is the same on both sides
  if (k[ik].words && q[iq].words) {
    s->lo = 1 + least(m, k, same, ik) - most(m, q, same, iq);
    s->hi = most_key + most(m, k, same, ik) - least(m, q, same, iq);
  } else if (alike && same == iq && same < ik) { // the key stands behind the whole part of the query
    s->lo = 1 + least(m, k, same + 1, ik);
    s->hi = most(m, k, same, ik) + most_key;
  } else if (alike && same == ik && same < iq) {
    s->lo = -most(m, q, same, iq) - most_query;
    s->hi = -1 - least(m, q, same + 1, iq);
  } else {
    s->lo = least(m, k, same, ik) - most(m, q, same, iq) - most_query;
    s->hi = most(m, k, same, ik) + most_key - least(m, q, same, iq);
  }
}

const char *cache_disorder(const Split *p, const Value *x) {
  const Type *tq = &graph_value(p->g, x->args[0])->type, *tk = &graph_value(p->g, x->args[1])->type;
  if (value_attr(x, A_masked)) return "a number added to a score does not hide a word";
  if (!value_str(x, A_where)) return "without a mask a row sees later words";
  const Mask *mask = value_mask(p->m->arena, p->m, x);
  int64_t qstart = value_int(x, A_qstart, 0);
  Part q[MAX_PARTS], k[MAX_PARTS];
  int nq = list_parts(p, tq, q), nk = list_parts(p, tk, k);
  for (int i = 0; i < nq; i++)
    for (int j = 0; j < nk; j++) {
      if (!k[j].words) continue;
      Pairs s = {.key = k[j].modality, .query = q[i].modality};
      differ(p->m, k, j, q, i, &s);
      s.lo -= qstart;
      s.hi -= qstart;
      if (s.hi >= s.lo && holds(mask, &s) != NEVER)
        return q[i].words ? "its mask lets a row see later words" : "its mask lets a row that is no word see words";
    }
  return NULL;
}

bool cache_rows_before(const Split *p, const Type *q, int64_t *n) {
  Part part[MAX_PARTS];
  int parts = list_parts(p, q, part);
  *n = 0;
  for (int i = 0; i < parts && !part[i].words; i++) {
    if (!dim_is_const(part[i].len)) return false;
    *n += part[i].len.c;
  }
  return true;
}

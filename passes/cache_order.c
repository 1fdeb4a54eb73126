// cache_order.c: proof that no row depends on a later one. Words see no later words, and what is not words sees no
// words; then a row is the same for every longer sequence. The words of a prompt are an exception where a mask names
// them (key < S, S the prompt's length, which no input of the graph has): the start computes all of them together.
//
// The axis of queries or keys is a list of parts: each segment, its rows in front of the words apart from the words.
// For every pair of parts the mask is decided over all pairs of rows, of which these facts are known: their modalities,
// between which bounds  key index - query index  lies, and whether they are words of the prompt or chosen ones.
//
//   keys and queries  vision: 4 + language: L,  mask (or (is key vision) (le key query))
//     query vision, key language: the difference is at least 1, so `le` never holds, `is` neither: never seen
//     query language, a later word: the difference is at least 1: never seen
//   the same with  (or (below key S 4) (le key query)),  a later word that was chosen: its index is at least S + 4
//
// Behind the proof S is L in the start, where all words are the prompt. A step does not know S: its mask is that
// without the words of the prompt, and must be the same one for them (above: `le` holds for all words before a chosen
// one).
#include "cache.h"

#include <string.h>

typedef struct RowFacts {
  int32_t modality;    // -1: none
  CacheWord word;      //
  int64_t least, most; // index, over all lengths
  int64_t before;      // rows in front of the words, -1: not constant
} RowFacts;

typedef struct Pairs { // of rows: what the mask is asked about
  int32_t prompt;      // run-time dim of the prompt's length, -1: none
  RowFacts key, query;
  int64_t lo, hi; // of key index - query index
} Pairs;

static MaskTruth at_most(int64_t lo, int64_t hi, int64_t most) {
  return hi <= most ? MASK_ALWAYS : lo > most ? MASK_NEVER : MASK_OPEN;
}

// row < n. Of the prompt's S words the last has index before + S - 1.
static MaskTruth below(const Module *m, const RowFacts *row, Dim n, int32_t prompt) {
  bool length = prompt >= 0 && n.k && n.sym == prompt && row->before >= 0;
  if (length && row->word == WORD_GIVEN && n.c >= row->before) return MASK_ALWAYS;
  if (length && row->word == WORD_CHOSEN && n.c <= row->before) return MASK_NEVER;
  return row->most < dim_least(m, n) ? MASK_ALWAYS : row->least >= dim_bound(m, n) ? MASK_NEVER : MASK_OPEN;
}

typedef struct Asked {
  const Module *m;
  const Pairs *of;
} Asked;

static MaskTruth truth(const Mask *m, const void *ud) {
  const Asked *x = ud;
  const Pairs *s = x->of;
  switch (m->op) {
  case MASK_IS: return (m->on_key ? &s->key : &s->query)->modality == m->index ? MASK_ALWAYS : MASK_NEVER;
  case MASK_LE: return m->on_key ? at_most(s->lo, s->hi, m->index) : at_most(-s->hi, -s->lo, m->index);
  case MASK_LT: return m->on_key ? at_most(s->lo, s->hi, m->index - 1) : at_most(-s->hi, -s->lo, m->index - 1);
  case MASK_EQ:
    if (s->lo == m->index && s->hi == m->index) return MASK_ALWAYS;
    return s->lo > m->index || s->hi < m->index ? MASK_NEVER : MASK_OPEN;
  case MASK_BELOW: return below(x->m, m->on_key ? &s->key : &s->query, mask_bound(m), s->prompt);
  default: return MASK_OPEN;
  }
}

static const Mask *fold(const Split *p, const Mask *m, const Pairs *s) {
  return mask_fold(p->scratch, m, truth, &(Asked){p->m, s});
}

bool cache_compares(const Mask *m) {
  return m && (m->op == MASK_LE || m->op == MASK_LT || m->op == MASK_EQ || (m->op == MASK_BELOW && !m->on_key) ||
               cache_compares(m->a) || cache_compares(m->b));
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

typedef struct Axes { // parts of the queries and of the keys of an attention
  Part q[MAX_PARTS], k[MAX_PARTS];
  int nq, nk;
  int64_t qstart;
} Axes;

static void list_axes(const Split *p, const Value *x, Axes *a) {
  a->nq = list_parts(p, &graph_value(p->g, x->args[0])->type, a->q);
  a->nk = list_parts(p, &graph_value(p->g, x->args[1])->type, a->k);
  a->qstart = value_int(x, A_qstart, 0);
}

static RowFacts row_facts(const Split *p, const Part *part, int i, CacheWord word) {
  const Module *m = p->m;
  RowFacts r = {.modality = part[i].modality, .word = part[i].words ? word : WORD_NONE, .least = least(m, part, 0, i)};
  r.most = most(m, part, 0, i + 1) - 1;
  r.before = r.least == most(m, part, 0, i) ? r.least : -1;
  return r;
}

static Pairs pairs_of(const Split *p, const Axes *a, int iq, CacheWord query, int ik, CacheWord key) {
  Pairs s = {.prompt = p->prompt, .key = row_facts(p, a->k, ik, key), .query = row_facts(p, a->q, iq, query)};
  differ(p->m, a->k, ik, a->q, iq, &s);
  s.lo -= a->qstart;
  s.hi -= a->qstart;
  s.query.least += a->qstart;
  s.query.most += a->qstart;
  if (s.query.before >= 0) s.query.before += a->qstart;
  return s;
}

const char *cache_disorder(const Split *p, const Value *x) {
  if (value_attr(x, A_masked)) return "a number added to a score does not hide a word";
  if (!value_str(x, A_where)) return "without a mask a row sees later words";
  const Mask *mask = value_mask(p->m->arena, p->m, x);
  Axes a;
  list_axes(p, x, &a);
  for (int i = 0; i < a.nq; i++)
    for (int j = 0; j < a.nk; j++)
      for (int given = 0; given < (a.q[i].words ? 2 : 1); given++) {
        if (!a.k[j].words) continue;
        Pairs s = pairs_of(p, &a, i, given ? WORD_GIVEN : WORD_CHOSEN, j, WORD_CHOSEN);
        if (s.hi >= s.lo && fold(p, mask, &s))
          return a.q[i].words ? "its mask lets a row see later words" : "its mask lets a row that is no word see words";
      }
  return NULL;
}

static MaskTruth not_of_prompt(const Mask *m, const void *ud) {
  return m->op == MASK_BELOW && m->sym == *(const int32_t *)ud ? MASK_NEVER : MASK_OPEN;
}

static bool same_mask(const Split *p, const Mask *a, const Mask *b) {
  return !a || !b ? a == b : !strcmp(mask_text(p->scratch, p->m, a), mask_text(p->scratch, p->m, b));
}

const Mask *cache_step_mask(const Split *p, const Value *x) {
  const Mask *mask = value_mask(p->m->arena, p->m, x);
  if (p->prompt < 0 || !(mask_dims(mask) >> p->prompt & 1)) return mask;
  const Mask *other = mask_fold(p->m->arena, mask, not_of_prompt, &p->prompt);
  Axes a;
  list_axes(p, x, &a);
  for (int i = 0; other && i < a.nq; i++)
    for (int j = 0; a.q[i].words && j < a.nk; j++)
      for (int given = 0; given < (a.k[j].words ? 2 : 1); given++) {
        Pairs s = pairs_of(p, &a, i, WORD_CHOSEN, j, given ? WORD_GIVEN : WORD_CHOSEN);
        if (a.k[j].words) { // those that there are: before a chosen word, or among the words of this step
          s.hi = given ? -1 : p->width - 1;
          s.lo = -most(p->m, a.k, 0, a.nk);
        }
        if (!same_mask(p, fold(p, mask, &s), fold(p, other, &s))) return NULL;
      }
  return other;
}

// In the start all words are the prompt: S is L, and what lies in front of S + before is every row in front of it.
typedef struct InStart {
  const Split *p;
  const Type *q, *k;
} InStart;

static MaskTruth start_truth(const Mask *m, const void *ud) {
  const InStart *x = ud;
  if (m->op != MASK_BELOW || m->sym != x->p->sym) return MASK_OPEN;
  Dim rows = (m->on_key ? x->k : x->q)->dim[1];
  return rows.k == 1 && rows.sym == m->sym && rows.c <= m->index ? MASK_ALWAYS : MASK_OPEN;
}

static void put_length(Mask *m, int32_t prompt, int32_t length) {
  if (!m) return;
  if (m->op == MASK_BELOW && m->sym == prompt) m->sym = length;
  put_length(m->a, prompt, length);
  put_length(m->b, prompt, length);
}

void cache_start_masks(const Split *p) {
  for (uint32_t i = 1; p->prompt >= 0 && i < p->g->value.n; i++) {
    Value *x = &p->g->value.at[i];
    if (!value_str(x, A_where)) continue;
    Mask *mask = mask_parse(p->scratch, p->m, value_str(x, A_where));
    if (!(mask_dims(mask) >> p->prompt & 1)) continue;
    put_length(mask, p->prompt, p->sym);
    const InStart in = {p, &graph_value(p->g, x->args[0])->type, &graph_value(p->g, x->args[1])->type};
    const Mask *now = value_int(x, A_qstart, 0) ? mask : mask_fold(p->scratch, mask, start_truth, &in);
    cache_put_mask(p, x->attr, &x->nattr, now);
  }
}

void cache_put_mask(const Split *p, Attr *attr, uint32_t *n, const Mask *mask) {
  uint32_t i = 0;
  while (i < *n && attr[i].key != A_where) i++;
  if (i == *n) return;
  if (mask->op != MASK_TRUE) {
    attr[i].s = intern(p->m->names, mask_text(p->scratch, p->m, mask));
    return;
  }
  for (--*n; i < *n; i++) attr[i] = attr[i + 1];
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

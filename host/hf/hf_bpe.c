// hf_bpe.c - byte-pair encoding (Sennrich, Haddow, Birch: "Neural machine translation of rare words with subword
// units", 2016) as the library runs it: the characters of a word, then the merge of the lowest rank, the leftmost
// first, until none is left. A heap of merges makes it O(n log n) of a word of n bytes, whatever the word.
#include "hf_parts.h"
#include "host/mergeheap.h"

#include <stdlib.h>
#include <string.h>

typedef struct Merge { // of ids left and right; later lines are of higher rank
  uint32_t left, right, rank;
  int32_t made;
} Merge;
struct HfMerges {
  Merge *at;       // ordered by left and right
  uint32_t *start; // [ids + 1] where those of a left id begin
  size_t n, ids;
};

/* reading ------------------------------------------------------------------------------------------------------------
 */
static int by_pair(const void *x, const void *y) {
  const Merge *a = x, *b = y;
  if (a->left != b->left) return a->left < b->left ? -1 : 1;
  if (a->right != b->right) return a->right < b->right ? -1 : 1;
  return a->rank < b->rank ? -1 : a->rank > b->rank;
}

// The two parts of a merge: ["a", "b"], or "a b" in older files.
static bool parts_of(const HfNode *at, HfStr *left, HfStr *right, HostError *err) {
  const HfValue *v = at->v;
  const char *gap = hf_is(v, HF_TEXT) ? strchr(v->text, ' ') : NULL;
  if (gap && !strchr(gap + 1, ' ')) {
    *left = (HfStr){v->text, (size_t)(gap - v->text)};
    *right = (HfStr){gap + 1, strlen(gap + 1)};
    return true;
  }
  const HfValue *a = hf_is(v, HF_LIST) ? v->child : NULL, *b = a ? a->next : NULL;
  if (!b || b->next || !hf_is(a, HF_TEXT) || !hf_is(b, HF_TEXT))
    return hf_fail(at, err, "a merge must be [\"left\", \"right\"] or \"left right\"");
  *left = (HfStr){a->text, strlen(a->text)};
  *right = (HfStr){b->text, strlen(b->text)};
  return true;
}

static bool read_merge(const HfModel *m, const HfNode *at, HfText *made, Merge *out, HostError *err) {
  HfStr left = {0}, right = {0};
  if (!parts_of(at, &left, &right, err)) return false;
  int32_t a = hf_vocab_id(&m->vocab, left.s, left.n), b = hf_vocab_id(&m->vocab, right.s, right.n);
  if (a < 0 || b < 0) {
    HfStr lacks = a < 0 ? left : right;
    return hf_fail(at, err, "the vocabulary lacks '%.*s'", lacks.n > 60 ? 60 : (int)lacks.n, lacks.s);
  }
  if (right.n < m->prefix.n) return hf_fail(at, err, "the right part is shorter than continuing_subword_prefix");
  made->n = 0;
  if (!hf_put(made, left.s, left.n) || !hf_put(made, right.s + m->prefix.n, right.n - m->prefix.n))
    return host_no_memory(err);
  out->left = (uint32_t)a;
  out->right = (uint32_t)b;
  out->made = hf_vocab_id(&m->vocab, made->s, made->n);
  return out->made >= 0 || hf_fail(at, err, "the vocabulary lacks what this merge makes, '%.60s'", made->s);
}

static bool read_merges(HfModel *m, HfPool *pool, const HfNode *at, HostError *err) {
  if (!at->v || !hf_is(at->v, HF_LIST)) return hf_fail(at, err, "merges must be a list [..]");
  struct HfMerges *all = hf_new(pool, sizeof *all);
  size_t n = at->v->n;
  if (!all || !(all->at = hf_new(pool, (n + 1) * sizeof *all->at)) ||
      !(all->start = hf_new(pool, (m->vocab.n + 2) * sizeof *all->start)))
    return host_no_memory(err);
  HfText made = {0};
  HfNode one = {.v = at->v->child, .up = at};
  bool ok = true;
  for (; one.v && ok; one.v = one.v->next, one.index++) {
    all->at[one.index].rank = (uint32_t)one.index;
    ok = read_merge(m, &one, &made, &all->at[one.index], err);
  }
  free(made.s);
  if (!ok) return false;
  qsort(all->at, n, sizeof *all->at, by_pair);
  for (size_t i = 0; i < n; i++) { // of the same pair the last counts
    Merge *last = all->n ? &all->at[all->n - 1] : NULL;
    if (last && last->left == all->at[i].left && last->right == all->at[i].right)
      *last = all->at[i];
    else
      all->at[all->n++] = all->at[i];
  }
  for (size_t i = 0; i < all->n; i++) all->start[all->at[i].left + 1]++;
  for (size_t i = 0; i < m->vocab.n; i++) all->start[i + 1] += all->start[i];
  all->ids = m->vocab.n;
  m->merges = all;
  return true;
}

static bool maybe_text(const HfNode *at, const char *key, HfPool *pool, HfStr *out, HostError *err) {
  HfNode one = hf_member(at, key);
  return !one.v || hf_is(one.v, HF_NULL) || hf_text_of(&one, pool, out, err);
}

static bool read_bpe(HfModel *m, HfPool *pool, const HfNode *at, HostError *err) {
  HfNode vocab = hf_member(at, "vocab"), merges = hf_member(at, "merges"), dropout = hf_member(at, "dropout");
  if (dropout.v && !hf_is(dropout.v, HF_NULL) && !(hf_is(dropout.v, HF_NUMERAL) && dropout.v->number == 0))
    return hf_fail(&dropout, err, "dropout makes other ids each time, which is not supported; set it to null");
  bool ok =
      hf_read_flag(at, "fuse_unk", &m->fuse_unk, err) && hf_read_flag(at, "byte_fallback", &m->byte_fallback, err) &&
      hf_read_flag(at, "ignore_merges", &m->ignore_merges, err) &&
      maybe_text(at, "continuing_subword_prefix", pool, &m->prefix, err) &&
      maybe_text(at, "end_of_word_suffix", pool, &m->suffix, err) && hf_read_vocab(&m->vocab, pool, &vocab, err) &&
      hf_read_unknown(m, pool, at, false, err) && read_merges(m, pool, &merges, err);
  if (ok) hf_find_bytes(m);
  return ok;
}

static const Merge *merge_of(const struct HfMerges *all, int32_t left, int32_t right) {
  size_t lo = all->start[left], hi = all->start[left + 1];
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (all->at[mid].right < (uint32_t)right)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo < all->start[left + 1] && all->at[lo].right == (uint32_t)right ? &all->at[lo] : NULL;
}

/* one word -----------------------------------------------------------------------------------------------------------
 */
typedef struct Symbol {     // of a list in which merges leave gaps
  int32_t id, before, next; // -1: none
  bool gone;
} Symbol;
struct HfHeap {
  Symbol *symbol;
  size_t symbols, room;
  MergeHeap heap;
  HfText text; // a character with what stands around it
};

void hf_heap_free(struct HfHeap *h) {
  if (!h) return;
  free(h->symbol);
  free(h->heap.at);
  free(h->text.s);
  free(h);
}

static bool push(struct HfHeap *h, const Merge *m, uint32_t at) {
  return !m || mergeheap_push(&h->heap, (MergeWait){m->rank, at, m->made});
}

static bool add_symbol(struct HfHeap *h, int32_t id) {
  if (h->symbols == h->room) {
    size_t room = 2 * h->room + 64;
    Symbol *all = realloc(h->symbol, room * sizeof *all);
    if (!all) return false;
    h->symbol = all;
    h->room = room;
  }
  h->symbol[h->symbols] = (Symbol){.id = id, .before = (int32_t)h->symbols - 1, .next = (int32_t)h->symbols + 1};
  h->symbols++;
  return true;
}

// The id of the character s[at, at + len) of the word, with what the model puts around it; the bytes of it all in
// *text.
static int32_t character(const HfModel *m, struct HfHeap *h, const char *word, size_t n, size_t at, size_t len,
                         HfStr *text) {
  bool prefix = at && m->prefix.n, suffix = at + len == n && m->suffix.n;
  *text = (HfStr){word + at, len};
  if (prefix || suffix) {
    h->text.n = 0;
    if ((prefix && !hf_put(&h->text, m->prefix.s, m->prefix.n)) || !hf_put(&h->text, word + at, len) ||
        (suffix && !hf_put(&h->text, m->suffix.s, m->suffix.n)))
      return -2;
    *text = (HfStr){h->text.s, h->text.n};
  }
  return hf_vocab_id(&m->vocab, text->s, text->n);
}

// The characters of a word. An unknown one waits until it is known whether the next is unknown too; bytes do not end
// the waiting, as the library has it.
static bool characters(const HfModel *m, HfRun *run, struct HfHeap *h, const char *word, size_t n) {
  bool waits = false, ok = true;
  size_t len;
  h->symbols = 0;
  for (size_t at = 0; at < n && ok; at += len) {
    HfStr text;
    hf_char(word + at, &len);
    int32_t id = character(m, h, word, n, at, len, &text);
    if (id < -1) return host_no_memory(run->err);
    if (id >= 0) {
      ok = (!waits || add_symbol(h, m->unk)) && add_symbol(h, id);
      waits = false;
    } else if (m->byte_fallback && hf_has_bytes(m, text.s, text.n)) {
      for (size_t i = 0; i < text.n && ok; i++) ok = add_symbol(h, m->byte[(unsigned char)text.s[i]]);
    } else if (m->unk_token.s) {
      if (m->unk < 0)
        return host_fail(run->err, "the vocabulary lacks its unk_token %.60s, which the text needs", m->unk_token.s);
      ok = !waits || m->fuse_unk || add_symbol(h, m->unk);
      waits = true;
    }
  }
  return (ok && (!waits || add_symbol(h, m->unk))) || host_no_memory(run->err);
}

static bool merge_all(const HfModel *m, struct HfHeap *h) {
  Symbol *s = h->symbol;
  h->heap.n = 0;
  for (size_t i = 0; i + 1 < h->symbols; i++)
    if (!push(h, merge_of(m->merges, s[i].id, s[i + 1].id), (uint32_t)i)) return false;
  while (h->heap.n) {
    MergeWait top = mergeheap_pop(&h->heap);
    Symbol *left = &s[top.at];
    if (left->gone || (size_t)left->next >= h->symbols) continue;
    Symbol *right = &s[left->next];
    const Merge *now = merge_of(m->merges, left->id, right->id);
    if (!now || now->made != top.made) continue; // what waited was of symbols that are gone
    left->id = top.made;
    right->gone = true;
    left->next = right->next;
    if ((size_t)left->next < h->symbols) s[left->next].before = (int32_t)top.at;
    if (left->before >= 0 && !push(h, merge_of(m->merges, s[left->before].id, left->id), (uint32_t)left->before))
      return false;
    if ((size_t)left->next < h->symbols && !push(h, merge_of(m->merges, left->id, s[left->next].id), top.at))
      return false;
  }
  return true;
}

static bool ids_bpe(const HfModel *m, HfRun *run, const char *word, size_t n) {
  int32_t whole = m->ignore_merges ? hf_vocab_id(&m->vocab, word, n) : -1;
  if (whole >= 0) return hf_add_id(run, whole);
  if (!run->heap && !(run->heap = calloc(1, sizeof *run->heap))) return host_no_memory(run->err);
  struct HfHeap *h = run->heap;
  if (!characters(m, run, h, word, n)) return false;
  if (!merge_all(m, h)) return host_no_memory(run->err);
  bool ok = true;
  for (size_t i = 0; i < h->symbols && ok; i = (size_t)h->symbol[i].next) ok = hf_add_id(run, h->symbol[i].id);
  return ok;
}

const HfModelKind hf_bpe = {
    "BPE",
    " type dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback "
    "ignore_merges vocab merges ",
    read_bpe, ids_bpe};

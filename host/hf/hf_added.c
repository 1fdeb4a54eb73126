// hf_added.c - added tokens, which stand for themselves wherever a text has them: the longest at each place, from the
// left. Those that are `normalized` are looked for in the text that the normaliser leaves, by what it makes of them.
#include "hf_parts.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST = 4096 }; // bytes of one: what may be walked at every byte of a text

static void drop_map(void *map) {
  strmap_free(map);
}

static bool read_flags(const HfNode *at, HfAdded *a, HostError *err) {
  const struct {
    const char *key;
    bool *to;
  } flag[] = {{"single_word", &a->single_word},
              {"lstrip", &a->lstrip},
              {"rstrip", &a->rstrip},
              {"normalized", &a->normalized},
              {"special", &a->special}};
  for (size_t i = 0; i < sizeof flag / sizeof *flag; i++) {
    HfNode one = hf_member(at, flag[i].key);
    if (!one.v || !hf_is_bool(one.v)) return hf_fail(&one, err, "this must be true or false");
    *flag[i].to = hf_is(one.v, HF_TRUE);
  }
  return true;
}

// What the normaliser makes of a content.
static bool show(HostHf *t, HfAdded *a, HostError *err) {
  HostError none;
  HfRun run = {.t = t, .err = err ? err : &none};
  size_t len;
  HfText text = {0};
  a->shown = a->content;
  if (!a->normalized) return true;
  hf_char(a->content.s, &len);
  text.zero = len;
  bool ok =
      (hf_put(&text, a->content.s, a->content.n) || host_no_memory(err)) && hf_normalise(&t->normalizer, &run, &text);
  ok = ok && (hf_copy(&t->pool, text.s, text.n, &a->shown) || host_no_memory(err));
  free(text.s);
  hf_run_free(&run);
  return ok;
}

static bool read_one(HostHf *t, const HfNode *at, int32_t *next, HostError *err) {
  HfAdded *a = &t->added[t->nadded];
  HfNode content = hf_member(at, "content"), id = hf_member(at, "id");
  size_t said;
  if (!hf_only(at, " id content single_word lstrip rstrip normalized special ", "an added token", err)) return false;
  if (!hf_text_of(&content, &t->pool, &a->content, err) || !hf_count(&id, INT32_MAX - 1, &said, err) ||
      !read_flags(at, a, err))
    return false;
  if (!a->content.n) return hf_fail(&content, err, "the token is empty");
  if (a->content.n > LONGEST) return hf_fail(&content, err, "the token has more than %d bytes", (int)LONGEST);
  a->id = hf_vocab_id(&t->model.vocab, a->content.s, a->content.n);
  if (a->id < 0) a->id = (*next)++;
  if ((size_t)a->id != said)
    return hf_fail(&id, err, "'%.40s' is said to be %zu, but by the vocabulary and its order it is %d", a->content.s,
                   said, (int)a->id);
  t->nadded++;
  if (!show(t, a, err)) return false;
  return a->shown.n || hf_fail(&content, err, "the normaliser leaves nothing of '%.40s'", a->content.s);
}

// A trie of those that are normalized, or are not; numbers of tokens.
static bool make_trie(HostHf *t, HfTrie *trie, bool normalized, const HfNode *at, HostError *err) {
  if (!strmap_init(&trie->map, t->nadded)) return host_no_memory(err);
  if (!hf_own(&t->pool, &trie->map, drop_map)) return host_no_memory(err);
  for (size_t i = 0; i < t->nadded; i++) {
    const HfAdded *a = &t->added[i];
    if (a->normalized != normalized) continue;
    strmap_put(&trie->map, a->shown.s, a->shown.n, (int32_t)i);
    trie->first[(unsigned char)a->shown.s[0]] = true;
    trie->any = true;
  }
  if (!strmap_build(&trie->map, STRMAP_FIRST)) return host_no_memory(err);
  for (size_t i = 0; i < t->nadded; i++) {
    const HfAdded *a = &t->added[i];
    if (a->normalized == normalized && strmap_find(&trie->map, a->shown.s, a->shown.n) != (int32_t)i)
      return hf_fail(at, err, "'%.40s' stands here twice, or is the same as another behind normalisation",
                     a->content.s);
  }
  return true;
}

bool hf_read_added(HostHf *t, const HfNode *at, HostError *err) {
  bool none = !at->v || hf_is(at->v, HF_NULL);
  if (!none && !hf_is(at->v, HF_LIST)) return hf_fail(at, err, "added tokens must be a list [..]");
  size_t n = none ? 0 : at->v->n;
  int32_t next = (int32_t)t->model.vocab.count;
  t->added = hf_new(&t->pool, (n + 1) * sizeof *t->added);
  if (!t->added) return host_no_memory(err);
  HfNode one = {.v = none ? NULL : at->v->child, .up = at};
  for (; one.v; one.v = one.v->next, one.index++)
    if (!read_one(t, &one, &next, err)) return false;
  if (!strmap_init(&t->by_content, n)) return host_no_memory(err);
  if (!hf_own(&t->pool, &t->by_content, drop_map)) return host_no_memory(err);
  for (size_t i = 0; i < n; i++) strmap_put(&t->by_content, t->added[i].content.s, t->added[i].content.n, (int32_t)i);
  if (!strmap_build(&t->by_content, STRMAP_FIRST)) return host_no_memory(err);
  for (size_t i = 0; i < n; i++)
    if (strmap_find(&t->by_content, t->added[i].content.s, t->added[i].content.n) != (int32_t)i)
      return hf_fail(at, err, "'%.40s' stands here twice", t->added[i].content.s);
  return make_trie(t, &t->raw, false, at, err) && make_trie(t, &t->normal, true, at, err);
}

/* in a text ----------------------------------------------------------------------------------------------------------
 */
static bool is_word(HfRun *run, const char *s, size_t len, bool *is) {
  bool ok = hf_regex_all(run->t->word_at_start, run, s, len, &run->matches);
  *is = ok && run->matches.n && run->matches.at[0].is;
  return ok;
}

static size_t last_char(const char *s, size_t end) {
  size_t at = end - 1;
  while (at && ((unsigned char)s[at] & 0xc0) == 0x80) at--;
  return at;
}

// Does s[at, end) stand between letters?
static bool in_word(HfRun *run, const char *s, size_t n, size_t at, size_t end, bool *is) {
  size_t len, before = at ? last_char(s, at) : 0;
  bool left = false, right = false;
  if (at && !is_word(run, s + before, at - before, &left)) return false;
  if (end < n) hf_char(s + end, &len);
  if (end < n && !is_word(run, s + end, len, &right)) return false;
  *is = left || right;
  return true;
}

static size_t blanks_before(const char *s, size_t least, size_t end) {
  size_t len;
  while (end > least) {
    size_t at = last_char(s, end);
    if (!host_is_white_space(hf_char(s + at, &len))) break;
    end = at;
  }
  return end;
}

static size_t blanks_behind(const char *s, size_t n, size_t at) {
  size_t len;
  while (at < n && host_is_white_space(hf_char(s + at, &len))) at += len;
  return at;
}

static int32_t longest_at(const HfTrie *trie, const char *s, size_t n, size_t *end) {
  StrWalk w = strmap_walk(&trie->map);
  int32_t best = -1;
  for (size_t i = 0; i < n && strmap_step(&w, s[i]); i++) {
    int32_t here = strmap_here(&w);
    if (here >= 0) best = here, *end = i + 1;
  }
  return best;
}

static bool add(HfPieces *out, HfPiece p, size_t at, size_t end, int32_t id) {
  size_t zero = at < p.zero ? p.zero - at : 0, n = end - at;
  return hf_add_piece(out, (HfPiece){p.at + at, n, zero < n ? zero : n, id});
}

bool hf_find_added(const HostHf *t, const HfTrie *trie, HfRun *run, const char *s, HfPiece p, HfPieces *out) {
  size_t done = 0, used = 0, blank = 0; // done: bytes in pieces; blank: up to where blanks are known to go on
  p.at = out->text.n;
  if (!hf_put(&out->text, s, p.n)) return host_no_memory(run->err);
  for (size_t i = 0; i < p.n && trie->any; i = used) {
    while (i < p.n && !trie->first[(unsigned char)s[i]]) i++;
    used = i + 1;
    int32_t k = i < p.n ? longest_at(trie, s + i, p.n - i, &used) : -1;
    if (k < 0) continue;
    const HfAdded *a = &t->added[k];
    size_t at = i, end = used += i;
    bool inner = false;
    if (a->single_word && !in_word(run, s, p.n, at, end, &inner)) return false;
    if (inner) continue;
    if (a->lstrip) at = at > done ? blanks_before(s, done, at) : done;
    if (a->rstrip && end > blank) blank = blanks_behind(s, p.n, end);
    if (a->rstrip) end = blank;
    bool ok = done >= at || add(out, p, done, at, -1);
    if (!ok || !add(out, p, at, end, a->id)) return host_no_memory(run->err);
    done = end;
  }
  return done >= p.n || add(out, p, done, p.n, -1) || host_no_memory(run->err);
}

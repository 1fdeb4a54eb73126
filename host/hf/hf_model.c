// hf_model.c - what models share: vocabularies, the token for the unknown, bytes; and the two that look words up,
// WordPiece and WordLevel.
#include "hf_parts.h"

#include <stdio.h>
#include <string.h>

enum { SPARE_IDS = 1 << 20 }; // by which ids may be more than twice the strings

static void drop_map(void *map) {
  strmap_free(map);
}

int32_t hf_vocab_id(const HfVocab *v, const char *s, size_t n) {
  return strmap_find(&v->map, s, n);
}

bool hf_index_vocab(HfVocab *v, HfPool *pool, const HfNode *at, bool again, HostError *err) {
  if (!strmap_init(&v->map, v->count)) return host_no_memory(err);
  if (!hf_own(pool, &v->map, drop_map)) return host_no_memory(err);
  for (size_t i = 0; i < v->n; i++)
    if (v->token[i].s) strmap_put(&v->map, v->token[i].s, v->token[i].n, (int32_t)i);
  if (!strmap_build(&v->map, STRMAP_LAST)) return host_no_memory(err);
  for (size_t i = 0; i < v->n && !again; i++)
    if (v->token[i].s && hf_vocab_id(v, v->token[i].s, v->token[i].n) != (int32_t)i)
      return hf_fail(at, err, "'%.40s' stands here twice", v->token[i].s);
  return true;
}

bool hf_read_vocab(HfVocab *v, HfPool *pool, const HfNode *at, HostError *err) {
  size_t id, bytes = 0;
  if (!at->v || !hf_is(at->v, HF_OBJECT)) return hf_fail(at, err, "a vocabulary must be an object {\"token\": id, ..}");
  for (const HfValue *c = at->v->child; c; c = c->next) {
    HfNode one = {.v = c, .up = at, .key = c->key};
    if (!hf_count(&one, INT32_MAX - 1, &id, err)) return false;
    if (id >= v->n) v->n = id + 1;
    v->count++;
    bytes += strlen(c->key) + 1;
  }
  if (v->n > 2 * v->count + SPARE_IDS)
    return hf_fail(at, err, "the greatest id is %zu of only %zu tokens", v->n - 1, v->count);
  v->token = hf_new(pool, (v->n + 1) * sizeof *v->token);
  char *text = v->token ? hf_new(pool, bytes + 1) : NULL;
  if (!text) return host_no_memory(err);
  for (const HfValue *c = at->v->child; c; c = c->next) {
    size_t n = strlen(c->key);
    HfStr *to = &v->token[(size_t)c->number];
    if (to->s) return hf_fail(at, err, "'%.40s' and '%.40s' have the same id", to->s, c->key);
    memcpy(text, c->key, n + 1);
    *to = (HfStr){text, n};
    text += n + 1;
  }
  return hf_index_vocab(v, pool, at, false, err);
}

bool hf_read_unknown(HfModel *m, HfPool *pool, const HfNode *at, bool needed, HostError *err) {
  HfNode unk = hf_member(at, "unk_token");
  m->unk = -1;
  if (!unk.v && needed) return hf_fail(at, err, "%s needs 'unk_token'", m->kind->name);
  if (!unk.v || (hf_is(unk.v, HF_NULL) && !needed)) return true;
  if (!hf_text_of(&unk, pool, &m->unk_token, err)) return false;
  m->unk = hf_vocab_id(&m->vocab, m->unk_token.s, m->unk_token.n);
  return true;
}

void hf_find_bytes(HfModel *m) {
  for (int b = 0; b < 256; b++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
    m->byte[b] = hf_vocab_id(&m->vocab, name, 6);
  }
}

bool hf_has_bytes(const HfModel *m, const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (m->byte[(unsigned char)s[i]] < 0) return false;
  return true;
}

bool hf_read_flag(const HfNode *at, const char *key, bool *out, HostError *err) {
  HfNode one = hf_member(at, key);
  if (!one.v || hf_is(one.v, HF_NULL)) return true;
  *out = hf_is(one.v, HF_TRUE);
  return hf_is_bool(one.v) || hf_fail(&one, err, "this must be true or false");
}

static bool unknown(const HfModel *m, HfRun *run) {
  if (m->unk >= 0) return hf_add_id(run, m->unk);
  return host_fail(run->err,
                   "the text has a word that the vocabulary lacks, and so does it lack the token for such, %.60s",
                   m->unk_token.s);
}

/* WordPiece ----------------------------------------------------------------------------------------------------------
 */
static bool read_wordpiece(HfModel *m, HfPool *pool, const HfNode *at, HostError *err) {
  HfNode vocab = hf_member(at, "vocab"), prefix = hf_member(at, "continuing_subword_prefix"),
         most = hf_member(at, "max_input_chars_per_word");
  return hf_read_vocab(&m->vocab, pool, &vocab, err) && hf_read_unknown(m, pool, at, true, err) &&
         hf_text_of(&prefix, pool, &m->prefix, err) && hf_count(&most, 1u << 30, &m->most_chars, err);
}

// The longest piece that s begins with, behind the prefix or not; its bytes, 0: there is none.
static size_t longest(const HfModel *m, const char *s, size_t n, bool prefixed, int32_t *id) {
  StrWalk w = strmap_walk(&m->vocab.map);
  size_t best = 0;
  for (size_t i = 0; prefixed && i < m->prefix.n; i++)
    if (!strmap_step(&w, m->prefix.s[i])) return 0;
  for (size_t i = 0; i < n && strmap_step(&w, s[i]); i++) {
    int32_t here = strmap_here(&w);
    if (here >= 0) best = i + 1, *id = here;
  }
  return best;
}

static bool ids_wordpiece(const HfModel *m, HfRun *run, const char *word, size_t n) {
  size_t chars = 0, kept = run->ids.n, used;
  for (size_t i = 0; i < n; i++) chars += ((unsigned char)word[i] & 0xc0) != 0x80;
  if (chars > m->most_chars) return unknown(m, run);
  for (size_t at = 0; at < n; at += used) {
    int32_t id = -1;
    used = longest(m, word + at, n - at, at > 0, &id);
    if (!used) {
      run->ids.n = kept;
      return unknown(m, run);
    }
    if (!hf_add_id(run, id)) return false;
  }
  return true;
}

/* WordLevel ----------------------------------------------------------------------------------------------------------
 */
static bool read_wordlevel(HfModel *m, HfPool *pool, const HfNode *at, HostError *err) {
  HfNode vocab = hf_member(at, "vocab");
  return hf_read_vocab(&m->vocab, pool, &vocab, err) && hf_read_unknown(m, pool, at, true, err);
}

static bool ids_wordlevel(const HfModel *m, HfRun *run, const char *word, size_t n) {
  int32_t id = hf_vocab_id(&m->vocab, word, n);
  return id >= 0 ? hf_add_id(run, id) : unknown(m, run);
}

const HfModelKind hf_wordpiece = {"WordPiece",
                                  " type unk_token continuing_subword_prefix max_input_chars_per_word vocab ",
                                  read_wordpiece, ids_wordpiece};
const HfModelKind hf_wordlevel = {"WordLevel", " type unk_token vocab ", read_wordlevel, ids_wordlevel};

// Files before 2020 do not say which model theirs is.
static const HfModelKind *guess(const HfNode *at) {
  if (hf_member(at, "merges").v) return &hf_bpe;
  if (hf_member(at, "continuing_subword_prefix").v) return &hf_wordpiece;
  return hf_is(hf_member(at, "vocab").v, HF_LIST) ? &hf_unigram : &hf_wordlevel;
}

bool hf_read_model(HfModel *m, HfPool *pool, const HfNode *at, HostError *err) {
  static const HfModelKind *const kinds[] = {&hf_bpe, &hf_wordpiece, &hf_unigram, &hf_wordlevel};
  HfNode type = hf_member(at, "type");
  if (!at->v || !hf_is(at->v, HF_OBJECT)) return hf_fail(at, err, "a tokenizer needs a model, an object {..}");
  if (type.v && !hf_is(type.v, HF_TEXT)) return hf_fail(&type, err, "this must be a string");
  m->kind = type.v ? NULL : guess(at);
  for (size_t i = 0; type.v && i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i]->name, type.v->text)) m->kind = kinds[i];
  if (!m->kind) return hf_fail(&type, err, "%.40s is none of BPE, WordPiece, Unigram and WordLevel", type.v->text);
  return hf_only(at, m->kind->keys, m->kind->name, err) && m->kind->read(m, pool, at, err);
}

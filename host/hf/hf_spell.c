// hf_spell.c - decoders: tokens become the words of a text, which are joined in the end.
#include "hf_parts.h"

#include <stdlib.h>
#include <string.h>

// A word of the text t, which is taken.
static bool keep(HfRun *run, HfText *t, HfStr *word) {
  bool ok = (t->s || hf_put(t, "", 0)) && hf_copy(&run->pool, t->s, t->n, word);
  free(t->s);
  return ok;
}

// UTF-8 of bytes: what is none becomes U+FFFD, one for each part that could have been the begin of a character.
static bool as_utf8(HfRun *run, const char *s, size_t n, HfStr *out) {
  HostText t = {0};
  HfText text = {0};
  bool ok = host_text_from_utf8(&t, s, n) && hf_put(&text, "", 0);
  for (size_t i = 0; i < t.n && ok; i++) ok = hf_put_char(&text, t.at[i]);
  host_text_free(&t);
  return keep(run, &text, out) && ok;
}

static bool byte_level(const HfStep *s, HfRun *run, HfWords *w) {
  HfText bytes = {0};
  bool ok = hf_put(&bytes, "", 0);
  (void)s;
  for (size_t i = 0; i < w->n && ok; i++) {
    size_t start = bytes.n, len;
    bool all = true;
    for (size_t k = 0; k < w->at[i].n && ok && all; k += len) {
      int b = hf_char_byte(hf_char(w->at[i].s + k, &len));
      char c = (char)b;
      all = b >= 0;
      ok = !all || hf_put(&bytes, &c, 1);
    }
    if (!all) { // a token with a character that stands for no byte is text
      bytes.n = start;
      ok = hf_put(&bytes, w->at[i].s, w->at[i].n);
    }
  }
  HfStr one;
  ok = ok && as_utf8(run, bytes.s, bytes.n, &one);
  free(bytes.s);
  if (!ok) return false;
  w->at = hf_new(&run->pool, sizeof *w->at);
  if (!w->at) return false;
  w->at[0] = one;
  w->n = 1;
  return true;
}

// Every `from` in the word becomes `to`.
static bool swap(HfRun *run, HfStr *word, HfStr from, HfStr to) {
  HfText t = {0};
  bool any = false, ok = true;
  for (size_t i = 0; i + from.n <= word->n && !any; i++) any = !memcmp(word->s + i, from.s, from.n);
  for (size_t i = 0; i < word->n && any && ok;) {
    bool here = i + from.n <= word->n && !memcmp(word->s + i, from.s, from.n);
    ok = here ? hf_put(&t, to.s, to.n) : hf_put(&t, word->s + i, 1);
    i += here ? from.n : 1;
  }
  return !any || (keep(run, &t, word) && ok);
}

static bool cleanup(HfRun *run, HfStr *word) {
  static const char *const pair[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (size_t i = 0; i < sizeof pair / sizeof *pair; i++)
    if (!swap(run, word, (HfStr){pair[i][0], strlen(pair[i][0])}, (HfStr){pair[i][1], strlen(pair[i][1])}))
      return false;
  return true;
}

static bool wordpiece(const HfStep *s, HfRun *run, HfWords *w) {
  HfStr prefix = s->word[0];
  for (size_t i = 0; i < w->n; i++) {
    HfStr *word = &w->at[i];
    HfText t = {0};
    bool joined = word->n >= prefix.n && !memcmp(word->s, prefix.s, prefix.n);
    if (i && joined) {
      *word = (HfStr){word->s + prefix.n, word->n - prefix.n};
    } else if (i) {
      bool ok = hf_put(&t, " ", 1) && hf_put(&t, word->s, word->n);
      if (!keep(run, &t, word) || !ok) return false;
    }
    if (s->flag[0] && !cleanup(run, word)) return false;
  }
  return true;
}

static bool bpe(const HfStep *s, HfRun *run, HfWords *w) {
  for (size_t i = 0; i < w->n; i++)
    if (!swap(run, &w->at[i], s->word[0], (HfStr){" ", i + 1 < w->n})) return false;
  return true;
}

static bool metaspace(const HfStep *s, HfRun *run, HfWords *w) {
  bool prefixed = s->flag[0] != 0; // not the scheme "never"
  for (size_t i = 0; i < w->n; i++)
    if (!swap(run, &w->at[i], s->word[0], (HfStr){" ", i || !prefixed})) return false;
  return true;
}

static int byte_of(HfStr word) {
  if (word.n != 6 || memcmp(word.s, "<0x", 3) != 0 || word.s[5] != '>') return -1;
  int v = 0;
  for (int i = 3; i < 5; i++) {
    const char *digits = "0123456789abcdef";
    char c = word.s[i];
    const char *d = c ? strchr(digits, c >= 'A' && c <= 'F' ? c | 32 : c) : NULL;
    if (!d) return -1;
    v = 16 * v + (int)(d - digits);
  }
  return v;
}

// Words <0xE2> in a row become their bytes if those are UTF-8, and otherwise U+FFFD each.
static bool byte_fallback(const HfStep *s, HfRun *run, HfWords *w) {
  size_t n = 0, next;
  (void)s;
  for (size_t i = 0; i < w->n; i = next) {
    next = i;
    while (next < w->n && byte_of(w->at[next]) >= 0) next++;
    if (next == i) {
      w->at[n++] = w->at[next++];
      continue;
    }
    char *bytes = hf_new(&run->pool, next - i + 1);
    if (!bytes) return false;
    for (size_t k = i; k < next; k++) bytes[k - i] = (char)byte_of(w->at[k]);
    if (host_is_utf8(bytes, next - i)) {
      w->at[n++] = (HfStr){bytes, next - i};
      continue;
    }
    for (size_t k = i; k < next; k++) w->at[n++] = (HfStr){"\xef\xbf\xbd", 3};
  }
  w->n = n;
  return true;
}

static bool join(HfRun *run, const HfWords *w, const char *between, HfStr *out) {
  HfText t = {0};
  bool ok = hf_put(&t, "", 0);
  for (size_t i = 0; i < w->n && ok; i++)
    ok = (!i || hf_put(&t, between, strlen(between))) && hf_put(&t, w->at[i].s, w->at[i].n);
  return keep(run, &t, out) && ok;
}

static bool fuse(const HfStep *s, HfRun *run, HfWords *w) {
  HfStr one;
  (void)s;
  if (!join(run, w, "", &one) || !(w->at = hf_new(&run->pool, sizeof *w->at))) return false;
  w->at[0] = one;
  w->n = 1;
  return true;
}

static bool strip(const HfStep *s, HfRun *run, HfWords *w) {
  HfStr c = s->word[0];
  (void)run;
  for (size_t i = 0; i < w->n; i++) {
    HfStr *word = &w->at[i];
    size_t from = 0, to = word->n;
    for (size_t k = 0; k < s->number[0] && from + c.n <= to && !memcmp(word->s + from, c.s, c.n); k++) from += c.n;
    for (size_t k = 0; k < s->number[1] && from + c.n <= to && !memcmp(word->s + to - c.n, c.s, c.n); k++) to -= c.n;
    *word = (HfStr){word->s + from, to - from};
  }
  return true;
}

static bool replace(const HfStep *s, HfRun *run, HfWords *w) {
  for (size_t i = 0; i < w->n; i++) {
    HfStr word = w->at[i];
    HfText t = {0};
    if (!hf_pattern_all(&s->pattern, run, word.s, word.n, &run->matches)) return false;
    bool ok = true;
    for (size_t k = 0; k < run->matches.n && ok; k++) {
      HfMatch m = run->matches.at[k];
      ok = m.is ? hf_put(&t, s->word[0].s, s->word[0].n) : hf_put(&t, word.s + m.at, m.end - m.at);
    }
    if (!keep(run, &t, &w->at[i]) || !ok) return false;
  }
  return true;
}

static bool ready_bpe(HfStep *s, HfPool *pool, const HfNode *at, HostError *err) {
  (void)pool;
  return s->word[0].n || hf_fail(at, err, "the suffix is empty");
}

static const HfKind kinds[] = {
    {"ByteLevel",
     {{"add_prefix_space", HF_PASSED, 0, 0}, {"trim_offsets", HF_PASSED, 0, 0}, {"use_regex", HF_PASSED, 0, 0}},
     .spell = byte_level},
    {"WordPiece", {{"prefix", HF_STRING, 0, HF_NEEDED}, {"cleanup", HF_BOOL, 0, HF_NEEDED}}, .spell = wordpiece},
    {"BPEDecoder", {{"suffix", HF_STRING, 0, HF_NEEDED}}, .ready = ready_bpe, .spell = bpe},
    {"Metaspace",
     {{"replacement", HF_CHAR, 0, HF_NEEDED},
      {"add_prefix_space", HF_MAYBE, 1, -1},
      {"prepend_scheme", HF_SCHEME, 0, 2},
      {"split", HF_MAYBE, 2, true},
      {"str_rep", HF_STRING, 1, 0}},
     .ready = hf_ready_scheme,
     .spell = metaspace},
    {"ByteFallback", .spell = byte_fallback},
    {"Fuse", .spell = fuse},
    {"Strip",
     {{"content", HF_CHAR, 0, HF_NEEDED}, {"start", HF_NUMBER, 0, HF_NEEDED}, {"stop", HF_NUMBER, 1, HF_NEEDED}},
     .spell = strip},
    {"Replace", {{"pattern", HF_PATTERN, 0, HF_NEEDED}, {"content", HF_STRING, 0, HF_NEEDED}}, .spell = replace},
    {"Sequence", {{"decoders", HF_STEPS, 0, HF_NEEDED}}, .ready = NULL},
    {0}};
const HfSection hf_decoder = {"decoder", kinds, " CTC "};

static bool spell(const HfStep *s, HfRun *run, HfWords *w) {
  for (size_t i = 0; i < s->n; i++)
    if (!spell(&s->step[i], run, w)) return false;
  return !s->kind->spell || s->kind->spell(s, run, w);
}

bool hf_spell(const HfStep *s, HfRun *run, HfWords *w, HfStr *out) {
  run->err->text[0] = 0;
  bool ok = (!s->kind || spell(s, run, w)) && join(run, w, s->kind ? "" : " ", out);
  return ok || run->err->text[0] ? ok : host_no_memory(run->err);
}

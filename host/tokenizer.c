// tokenizer.c: see tokenizer.h. A gzip file or a text whose first line has #version is CLIP's merges, lines with [UNK]
// among them are a WordPiece vocabulary, bytes that begin with a SentencePiece message are a model, and JSON is a
// tokenizer.json, or says what lies beside it.
#include "tokenizer.h"
#include "text.h"
#include "textfile.h"

#include <stdlib.h>
#include <string.h>

enum {
  KINDS = HOST_TOKENIZER_JSON + 1,
  MAX_FILE = 256 << 20,
  NO_MERGES = 2 * 256 + 2
}; // ids of CLIP's bytes, start and end alone

const char *host_tokenizer_name(HostTokenizerKind kind) {
  static const char *const name[] = {[HOST_CLIP_BPE] = "clip_bpe",
                                     [HOST_WORDPIECE] = "bert_wordpiece",
                                     [HOST_SENTENCEPIECE] = "sentencepiece",
                                     [HOST_TOKENIZER_JSON] = "tokenizer.json"};
  return name[kind];
}

const char *host_clean_name(HostClean clean) {
  static const char *const name[] = {
      [HOST_CLEAN_NOTHING] = "nothing", [HOST_CLEAN_LOWER] = "lower", [HOST_CLEAN_CANONICAL] = "canonical"};
  return name[clean];
}

static bool has_line(const char *s, size_t n, const char *line) {
  const char *have;
  for (size_t at = 0; at < n;)
    if (host_text_line(s, n, &at, &have) == strlen(line) && !memcmp(have, line, strlen(line))) return true;
  return false;
}

// What the content says: HOST_CLIP_BPE, ..., or KINDS for nothing that is known.
static int kind_of(const char *s, size_t n) {
  const char *line_end = memchr(s, '\n', n);
  if (n > 2 && s[0] == 0x0a && memchr(s, 0, n)) return HOST_SENTENCEPIECE; // field 1, length-delimited
  if (n > 2 && !memcmp(s, "\x1f\x8b", 2)) return HOST_CLIP_BPE;            // gzip
  if (host_is_json(s, n)) return HOST_TOKENIZER_JSON;
  if (has_line(s, n, "[UNK]")) return HOST_WORDPIECE;
  for (size_t i = 0; line_end && i + 8 <= (size_t)(line_end - s); i++)
    if (!memcmp(s + i, "#version", 8)) return HOST_CLIP_BPE;
  return KINDS;
}

static int kind_named(const char *kind) {
  int k = 0;
  while (k < KINDS && strcmp(kind, host_tokenizer_name((HostTokenizerKind)k)) != 0) k++;
  return k;
}

// Is this no vocabulary at all, though it can be said what it is? Then err says it. Only merges may be packed, by gzip.
static bool is_no_vocabulary(const char *bytes, size_t n, int want, HostError *err) {
  const char *what = host_stand_in(bytes, n);
  bool merges = n > 2 && !memcmp(bytes, "\x1f\x8b", 2) && (want == HOST_CLIP_BPE || want == KINDS);
  if (!what && !merges) what = host_packed(bytes, n);
  return what && !host_fail(err, "this is %s", what);
}

bool host_tokenizer_serves(const HostTokenizer *t, const char *kind) {
  return t->kind == HOST_TOKENIZER_JSON || !strcmp(kind, host_tokenizer_name(t->kind));
}

// What rows of a model cannot be made with is said here, not when the first text comes.
static bool load_json(HostTokenizer *t, const char *path, const char *bytes, size_t n, HostError *err) {
  t->hf = host_hf_load(path, bytes, n, err);
  if (!t->hf || !host_hf_pads_left(t->hf)) return t->hf != NULL;
  return host_fail(err,
                   "padding.direction: Left puts padding in front of texts, and rows of a model have it behind them");
}

static bool load_kind(HostTokenizer *t, int kind, const char *path, const char *bytes, size_t n, HostError *err) {
  t->kind = (HostTokenizerKind)kind;
  if (kind == HOST_TOKENIZER_JSON) return load_json(t, path, bytes, n, err);
  if (kind == HOST_CLIP_BPE) t->bpe = host_bpe_load_memory(bytes, n, err);
  if (t->bpe && host_bpe_size(t->bpe) == NO_MERGES) { // a header alone
    host_bpe_free(t->bpe);
    t->bpe = NULL;
    return host_fail(err, "there is no merge in it");
  }
  if (kind == HOST_WORDPIECE) t->wordpiece = host_wordpiece_load_memory(bytes, n, err);
  if (kind == HOST_SENTENCEPIECE) t->spm = host_spm_load_memory(bytes, n, err);
  return t->bpe || t->wordpiece || t->spm;
}

// Takes bytes, malloc'd and with a zero byte behind them. path: where they come from; NULL: from memory.
static HostTokenizer *load_taken(const char *path, char *bytes, size_t n, const char *kind, HostError *err) {
  HostTokenizer *t = calloc(1, sizeof *t);
  bool ok = t || host_no_memory(err);
  int want = kind ? kind_named(kind) : KINDS;
  ok = ok && host_text_plain(&bytes, &n, err) && !is_no_vocabulary(bytes, n, want, err);
  int have = ok ? kind_of(bytes, n) : KINDS;
  if (!kind || have == HOST_TOKENIZER_JSON) want = have;
  if (ok && have == KINDS && want == KINDS)
    ok = host_fail(err, "it is neither merges (a first line with #version) nor pieces (a line [UNK]) nor a model nor a "
                        "tokenizer.json");
  if (ok && have != KINDS && have != want)
    ok = host_fail(err, "it is a vocabulary of %s, the model needs one of %s",
                   host_tokenizer_name((HostTokenizerKind)have), kind);
  ok = ok && load_kind(t, want, path, bytes, n, err);
  free(bytes);
  if (ok) return t;
  host_tokenizer_free(t);
  return NULL;
}

HostTokenizer *host_tokenizer_load_memory(const char *bytes, size_t n, const char *kind, HostError *err) {
  char *copy = malloc(n + 1);
  if (!copy) {
    host_no_memory(err);
    return NULL;
  }
  if (n) memcpy(copy, bytes, n);
  copy[n] = 0;
  return load_taken(NULL, copy, n, kind, err);
}

HostTokenizer *host_tokenizer_load(const char *path, const char *kind, HostError *err) {
  static const char *const file[] = {"CLIP's bpe_simple_vocab_16e6.txt.gz", "BERT's vocab.txt", "a SentencePiece model",
                                     "",
                                     "CLIP's bpe_simple_vocab_16e6.txt.gz, BERT's vocab.txt or a SentencePiece model"};
  size_t n = 0;
  HostError why = {.text = "out of memory"};
  char *bytes = host_read_file(path, MAX_FILE, &n, err);
  if (!bytes) return NULL;
  HostTokenizer *t = load_taken(path, bytes, n, kind, &why);
  if (!t)
    host_fail(err, "%.150s: %.220s (needed is %s, or a tokenizer.json)", path, why.text,
              file[kind ? kind_named(kind) : KINDS]);
  return t;
}

void host_tokenizer_free(HostTokenizer *t) {
  if (!t) return;
  host_bpe_free(t->bpe);
  host_wordpiece_free(t->wordpiece);
  host_spm_free(t->spm);
  host_hf_free(t->hf);
  free(t);
}

size_t host_tokenizer_size(const HostTokenizer *t) {
  if (t->kind == HOST_CLIP_BPE) return host_bpe_size(t->bpe);
  if (t->kind == HOST_WORDPIECE) return host_wordpiece_size(t->wordpiece);
  if (t->kind == HOST_TOKENIZER_JSON) return host_hf_size(t->hf);
  size_t pieces =
      host_spm_size(t->spm); // the file's <unk>, <s>, </s> are XLM-R's 0 to 3, with <pad>; behind all is <mask>
  return (pieces < 3 ? 3 : pieces) + 2;
}

size_t host_tokenizer_ids(const HostTokenizer *t, const HostTokenizerOptions *how) {
  return t->kind == HOST_SENTENCEPIECE && !how->xlmr ? host_spm_size(t->spm) : host_tokenizer_size(t);
}

HostTokenizerOptions host_tokenizer_options(const HostTokenizer *t) {
  HostTokenizerOptions o = {.start = 0, .end = 2, .pad = 1, .xlmr = true};
  if (t->kind == HOST_WORDPIECE)
    o = (HostTokenizerOptions){.start = host_wordpiece_id(t->wordpiece, "[CLS]"),
                               .end = host_wordpiece_id(t->wordpiece, "[SEP]"),
                               .pad = host_wordpiece_id(t->wordpiece, "[PAD]"),
                               .lower = !host_wordpiece_looks_cased(t->wordpiece)};
  if (t->kind == HOST_CLIP_BPE) {
    HostBpeOptions b = host_bpe_clip_options(t->bpe, 0);
    o = (HostTokenizerOptions){.start = b.start, .end = b.end, .pad = b.pad, .fix_text = b.fix_text};
  }
  if (t->kind == HOST_TOKENIZER_JSON) {
    HostHfEnds e = host_hf_ends(t->hf);
    o = (HostTokenizerOptions){.start = e.nbefore > 1 ? HOST_OWN_ENDS
                                        : e.nbefore   ? e.before[0]
                                                      : -1,
                               .end = e.nafter > 1 ? HOST_OWN_ENDS
                                      : e.nafter   ? e.after[0]
                                                   : -1,
                               .pad = host_hf_pad(t->hf)};
  }
  if (o.pad < 0) o.pad = 0;
  return o;
}

/* ids
 * -------------------------------------------------------------------------------------------------------------------
 */
static bool plain_ids(const HostTokenizer *t, const char *text, size_t n, const HostTokenizerOptions *how, HostIds *out,
                      HostError *err) {
  if (t->kind == HOST_CLIP_BPE) {
    HostBpeOptions b = {.start = -1, .end = -1, .fix_text = how->fix_text};
    return host_bpe_encode(t->bpe, text, n, &b, out, err);
  }
  if (t->kind == HOST_WORDPIECE) return host_wordpiece_encode(t->wordpiece, text, n, how->lower, out, err);
  if (t->kind == HOST_TOKENIZER_JSON) return host_hf_encode(t->hf, text, n, false, out, err);
  HostSpmCut cut;
  *out = (HostIds){0};
  if (!host_spm_encode(t->spm, text, n, &cut, err)) return false;
  out->id = malloc((cut.n + 1) * sizeof *out->id);
  for (size_t i = 0; i < cut.n && out->id; i++)
    out->id[out->n++] = how->xlmr ? host_spm_to_xlmr(cut.piece[i].id) : cut.piece[i].id;
  host_spm_cut_free(&cut);
  return out->id || host_no_memory(err);
}

// SigLIP's text: big_vision, evaluators/proj/image_text/prompt_engineering.py, canonicalize_text, with the lower case
// of transformers' SiglipTokenizer, which gives .lower() one character at a time. ASCII's other printing characters are
// Python's string.punctuation.
static bool clean_text(HostText *t, HostClean clean) {
  if (!host_lower_each(t)) return false;
  if (clean == HOST_CLEAN_LOWER) return true;
  size_t n = 0;
  for (size_t i = 0; i < t->n; i++) {
    uint32_t c = t->at[i];
    bool mark = c > ' ' && c < 0x7f && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z');
    if (!mark) t->at[n++] = c;
  }
  t->n = n;
  host_collapse_blanks(t);
  host_strip(t);
  return true;
}

static bool cleaned_ids(const HostTokenizer *t, const char *text, size_t n, const HostTokenizerOptions *how,
                        HostIds *out, HostError *err) {
  if (how->clean == HOST_CLEAN_NOTHING) return plain_ids(t, text, n, how, out, err);
  HostText points = {0};
  size_t bytes = 0;
  bool ok = host_text_from_utf8(&points, text, n) && clean_text(&points, how->clean);
  char *clean = ok ? host_text_to_utf8(&points, &bytes) : NULL;
  host_text_free(&points);
  ok = clean ? plain_ids(t, clean, bytes, how, out, err) : host_no_memory(err);
  free(clean);
  return ok;
}

typedef struct Ends { // what stands around a text
  const int32_t *before, *after;
  size_t nbefore, nafter;
} Ends;

static Ends ends_of(const HostTokenizer *t, const HostTokenizerOptions *how) {
  Ends e = {&how->start, &how->end, how->start >= 0, how->end >= 0};
  if (t->kind != HOST_TOKENIZER_JSON) return e;
  HostHfEnds own = host_hf_ends(t->hf);
  if (how->start == HOST_OWN_ENDS) e.before = own.before, e.nbefore = own.nbefore;
  if (how->end == HOST_OWN_ENDS) e.after = own.after, e.nafter = own.nafter;
  return e;
}

bool host_tokenizer_encode(const HostTokenizer *t, const char *text, size_t n, const HostTokenizerOptions *how,
                           HostIds *out, bool *cut, HostError *err) {
  HostIds ids;
  Ends e = ends_of(t, how);
  bool left = false;
  size_t most = how->max_length, own = t->kind == HOST_TOKENIZER_JSON ? host_hf_longest(t->hf, &left) : 0;
  if (own && (!most || own < most)) most = own;
  if (most && e.nafter > most) e.nafter = most;
  if (most && e.nbefore + e.nafter > most) e.nbefore = most - e.nafter; // of both the end survives
  size_t around = e.nbefore + e.nafter, from = 0;
  if (cut) *cut = false;
  *out = (HostIds){0};
  if (!cleaned_ids(t, text, n, how, &ids, err)) return false;
  size_t keep = ids.n;
  if (most && keep + around > most) {
    keep = most - around;
    if (left) from = ids.n - keep;
    if (cut) *cut = true;
  }
  size_t total = keep + around, room = total < how->pad_to ? how->pad_to : total;
  out->id = malloc((room + 1) * sizeof *out->id);
  if (!out->id) {
    host_ids_free(&ids);
    return host_no_memory(err);
  }
  for (size_t i = 0; i < e.nbefore; i++) out->id[out->n++] = e.before[i];
  if (keep) memcpy(out->id + out->n, ids.id + from, keep * sizeof *ids.id);
  out->n += keep;
  for (size_t i = 0; i < e.nafter; i++) out->id[out->n++] = e.after[i];
  while (out->n < room) out->id[out->n++] = how->pad;
  host_ids_free(&ids);
  return true;
}

int host_tokenizer_joins(const HostTokenizer *t, int32_t id) {
  size_t n = 0;
  if (t->kind != HOST_WORDPIECE && !(t->kind == HOST_TOKENIZER_JSON && host_hf_joins(t->hf))) return -1;
  const char *mark = t->kind == HOST_WORDPIECE ? "##" : host_hf_joins(t->hf);
  const char *s = t->kind == HOST_WORDPIECE ? host_wordpiece_piece(t->wordpiece, id) : host_hf_token(t->hf, id, &n);
  return s && !strncmp(s, mark, strlen(mark));
}

char *host_tokenizer_decode(const HostTokenizer *t, const int32_t *id, size_t n, const HostTokenizerOptions *how,
                            size_t *bytes, HostError *err) {
  int32_t *keep = malloc((n + 1) * sizeof *keep);
  size_t count = 0;
  if (!keep) {
    host_no_memory(err);
    return NULL;
  }
  for (size_t i = 0; i < n; i++) {
    int32_t v = id[i];
    if (v == how->start || v == how->end || v == how->pad) continue;
    if (t->kind == HOST_WORDPIECE) {
      const char *p = host_wordpiece_piece(t->wordpiece, v);
      if (!p || (p[0] == '[' && p[1] && p[strlen(p) - 1] == ']'))
        continue; // [MASK], and ids added behind the vocabulary
    }
    if (t->kind == HOST_SENTENCEPIECE && how->xlmr) {
      v = host_spm_from_xlmr(v);
      if (v < 0 || (size_t)v >= host_spm_size(t->spm)) continue; // <mask>
    }
    keep[count++] = v;
  }
  char *s = t->kind == HOST_CLIP_BPE         ? host_bpe_decode(t->bpe, keep, count, bytes, err)
            : t->kind == HOST_WORDPIECE      ? host_wordpiece_decode(t->wordpiece, keep, count, bytes, err)
            : t->kind == HOST_TOKENIZER_JSON ? host_hf_decode(t->hf, keep, count, true, bytes, err)
                                             : host_spm_decode(t->spm, keep, count, bytes, err);
  free(keep);
  return s;
}

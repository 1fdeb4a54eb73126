// hf_files.c - the other files of Hugging Face's tokenizers: vocab.json, which is read with the merges.txt beside it as
// GPT-2 and RoBERTa have them, and tokenizer_config.json, which stands for the file of the vocabulary beside it.
#include "hf_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES_OF_FILE = 256 << 20, MOST_PATH = 4096 };

static bool put(HfText *t, const char *s) {
  return hf_put(t, s, strlen(s));
}

static bool put_quoted(HfText *t, const char *s, size_t n) {
  bool ok = put(t, "\"");
  for (size_t i = 0; i < n && ok; i++) {
    char code[8];
    snprintf(code, sizeof code, "\\u%04x", (unsigned)(unsigned char)s[i]);
    bool plain = (unsigned char)s[i] >= ' ' && s[i] != '"' && s[i] != '\\';
    ok = plain ? hf_put(t, s + i, 1) : put(t, code);
  }
  return ok && put(t, "\"");
}

// The lines of merges.txt as a list of strings.
static bool put_merges(HfText *t, const char *s, size_t n) {
  bool ok = put(t, "["), first = true;
  for (size_t at = 0, next; at < n && ok; at = next) {
    const char *end = memchr(s + at, '\n', n - at);
    size_t len = (end ? (size_t)(end - s) : n) - at;
    next = at + len + 1;
    if (len && s[at + len - 1] == '\r') len--;
    if (!len || (len >= 8 && !memcmp(s + at, "#version", 8))) continue;
    ok = (first || put(t, ",")) && put_quoted(t, s + at, len);
    first = false;
  }
  return ok && put(t, "]");
}

static long id_in(const HfValue *vocab, const char *token) {
  for (const HfValue *v = vocab->child; v; v = v->next)
    if (!strcmp(v->key, token)) return hf_is(v, HF_NUMERAL) && v->number >= 0 && v->number < 1e9 ? (long)v->number : -1;
  return -1;
}

// Tokens of a vocabulary that stand for themselves, and the ends of RoBERTa's texts if there are such.
static bool put_special(HfText *t, const HfValue *vocab) {
  static const char *const names[] = {"<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"};
  char line[300];
  bool ok = put(t, "\"added_tokens\":["), first = true;
  for (size_t i = 0; i < sizeof names / sizeof *names && ok; i++) {
    long id = id_in(vocab, names[i]);
    if (id < 0) continue;
    snprintf(line, sizeof line,
             "%s{\"id\":%ld,\"content\":\"%s\",\"single_word\":false,\"lstrip\":%s,\"rstrip\":false,"
             "\"normalized\":false,\"special\":true}",
             first ? "" : ",", id, names[i], strcmp(names[i], "<mask>") ? "false" : "true");
    ok = put(t, line);
    first = false;
  }
  ok = ok && put(t, "],");
  if (!ok || id_in(vocab, "<s>") < 0 || id_in(vocab, "</s>") < 0) return ok;
  snprintf(line, sizeof line,
           "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"</s>\",%ld],\"cls\":[\"<s>\",%ld],"
           "\"trim_offsets\":true,\"add_prefix_space\":false},",
           id_in(vocab, "</s>"), id_in(vocab, "<s>"));
  return put(t, line);
}

// The tokenizer.json that both files amount to.
static bool put_file(HfText *t, const HfValue *tree, const char *vocab, size_t n, const char *merges, size_t m) {
  static const char *const level =
      "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}";
  return put(t, "{\"version\":\"1.0\",") && put_special(t, tree) && put(t, "\"pre_tokenizer\":") && put(t, level) &&
         put(t, ",\"decoder\":") && put(t, level) && put(t, ",\"model\":{\"type\":\"BPE\",\"merges\":") &&
         put_merges(t, merges, m) && put(t, ",\"vocab\":") && hf_put(t, vocab, n) && put(t, "}}");
}

HostHf *host_hf_load_merges(const char *vocab, size_t n, const char *merges, size_t m, HostError *err) {
  HfPool pool = {0};
  HfText all = {0};
  HostHf *t = NULL;
  const HfValue *tree = hf_parse(&pool, vocab, n, err);
  bool ok = tree && (hf_is(tree, HF_OBJECT) || host_fail(err, "a vocab.json must be an object {\"token\": id, ..}"));
  for (const HfValue *v = ok ? tree->child : NULL; v && ok; v = v->next) {
    size_t len = strlen(v->key);
    if (len > 4 && !strcmp(v->key + len - 4, "</w>"))
      ok = host_fail(err, "its tokens end in </w>, as CLIP's do: take the merges themselves, or tokenizer.json");
  }
  if (ok && !put_file(&all, tree, vocab, n, merges, m)) ok = host_no_memory(err);
  if (ok) t = host_hf_load_memory(all.s, all.n, err);
  free(all.s);
  hf_pool_free(&pool);
  return t;
}

/* by path ------------------------------------------------------------------------------------------------------------
 */
static bool beside(const char *path, const char *name, char dst[MOST_PATH]) {
  const char *slash = strrchr(path, '/');
  int n = snprintf(dst, MOST_PATH, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, name);
  return n > 0 && n < MOST_PATH;
}

static HostHf *load_pair(const char *path, const char *vocab, size_t n, HostError *err) {
  char other[MOST_PATH];
  size_t m = 0;
  if (!path || !beside(path, "merges.txt", other) || access(other, R_OK) != 0) {
    host_fail(err, "this is a vocab.json, and there is no merges.txt beside it");
    return NULL;
  }
  char *merges = host_read_file(other, MOST_BYTES_OF_FILE, &m, err);
  HostHf *t = merges ? host_hf_load_merges(vocab, n, merges, m, err) : NULL;
  free(merges);
  return t;
}

static HostHf *load_config(const char *path, HostError *err) {
  static const char *const names[] = {"tokenizer.json", "vocab.json"};
  char other[MOST_PATH];
  size_t n = 0;
  for (size_t i = 0; path && i < 2; i++) {
    if (!beside(path, names[i], other) || access(other, R_OK) != 0) continue;
    char *bytes = host_read_file(other, MOST_BYTES_OF_FILE, &n, err);
    HostHf *t = !bytes ? NULL : i ? load_pair(path, bytes, n, err) : host_hf_load_memory(bytes, n, err);
    free(bytes);
    return t;
  }
  host_fail(err,
            "this is a tokenizer_config.json without a tokenizer.json or vocab.json beside it; name the vocabulary "
            "itself (vocab.txt, spiece.model)");
  return NULL;
}

HostHf *host_hf_load(const char *path, const char *bytes, size_t n, HostError *err) {
  HfPool pool = {0};
  const HfValue *tree = hf_parse(&pool, bytes, n, err);
  bool config = false, numbers = tree && hf_is(tree, HF_OBJECT) && tree->n;
  for (const HfValue *v = tree && hf_is(tree, HF_OBJECT) ? tree->child : NULL; v; v = v->next) {
    config = config || !strcmp(v->key, "tokenizer_class") || !strcmp(v->key, "added_tokens_decoder");
    numbers = numbers && hf_is(v, HF_NUMERAL);
  }
  HostHf *t = NULL;
  if (tree && !numbers && !config) t = hf_of_tree(tree, err);
  hf_pool_free(&pool);
  if (!tree || !(numbers || config)) return t;
  return config ? load_config(path, err) : load_pair(path, bytes, n, err);
}

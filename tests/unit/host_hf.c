// host_hf.c - tokenizer.json against Hugging Face's own library: ids and texts of tests/golden/tokenizers/hf, which
// tests/reference/hf_tokenizers.js wrote, must be equal. SWITCHYARD_HF: another folder of such files, of which all that
// differs is shown.
#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/hf/hf.h"
#include "host/tokenizer.h"

static const char *folder(void) {
  const char *other = getenv("SWITCHYARD_HF");
  return other ? other : SOURCE_DIR "/tests/golden/tokenizers/hf";
}

static char *read_file(const char *name, const char *ending, size_t *n) {
  char path[600];
  HostError err = {.text = ""};
  snprintf(path, sizeof path, "%s/%s%s", folder(), name, ending);
  char *s = host_read_file(path, (size_t)1 << 30, n, &err);
  cr_assert(s, "%s", err.text);
  return s;
}

typedef struct Case { // one text of one tokenizer
  const char *name, *text;
  const HostHf *t;
  const cJSON *ids, *plain, *back;
} Case;

static size_t wrong, compared;

static bool shown(void) { // of another folder all that differs
  return ++wrong <= 20 || getenv("SWITCHYARD_HF");
}

static void tell(const Case *c, const char *what, const HostIds *have, const cJSON *want) {
  if (!shown()) return;
  fprintf(stderr, "%s: %s of '%s': have", c->name, what, c->text);
  for (size_t i = 0; i < have->n && i < 60; i++) {
    size_t n = 0;
    const char *s = host_hf_token(c->t, have->id[i], &n);
    fprintf(stderr, " %d(%s)", (int)have->id[i], s ? s : "");
  }
  char *s = cJSON_PrintUnformatted(want);
  fprintf(stderr, "\n  want %s\n", s);
  free(s);
}

static bool equal(const HostIds *have, const cJSON *want) {
  const cJSON *v = want->child;
  for (size_t i = 0; i < have->n; i++, v = v->next)
    if (!v || v->valueint != have->id[i]) return false;
  return v == NULL;
}

static void compare(const Case *c) {
  HostError err = {.text = ""};
  HostIds ids = {0};
  bool ok = host_hf_encode(c->t, c->text, strlen(c->text), true, &ids, &err);
  compared++;
  if (ok != !cJSON_IsNull(c->ids)) {
    if (shown()) fprintf(stderr, "%s: '%s': %s\n", c->name, c->text, ok ? "is not refused" : err.text);
    host_ids_free(&ids);
    return;
  }
  if (!ok) return;
  if (!equal(&ids, c->ids)) tell(c, "ids", &ids, c->ids);
  size_t n = 0;
  char *s = host_hf_decode(c->t, ids.id, ids.n, true, &n, &err);
  cr_assert(s, "%s: %s", c->name, err.text);
  if (equal(&ids, c->ids) && (n != strlen(c->back->valuestring) || strcmp(s, c->back->valuestring) != 0) && shown())
    fprintf(stderr, "%s: text of the ids of '%s'\n  have '%s'\n  want '%s'\n", c->name, c->text, s,
            c->back->valuestring);
  free(s);
  host_ids_free(&ids);
  if (!cJSON_IsArray(c->plain)) return;
  cr_assert(host_hf_encode(c->t, c->text, strlen(c->text), false, &ids, &err));
  if (!equal(&ids, c->plain)) tell(c, "plain ids", &ids, c->plain);
  host_ids_free(&ids);
}

static void compare_all(const char *name, char **text, size_t texts) {
  size_t n;
  char *json = read_file(name, ".json", &n);
  HostError err = {.text = ""};
  HostHf *t = host_hf_load_memory(json, n, &err);
  free(json);
  cr_expect(t, "%s: %s", name, err.text);
  if (!t) return;
  size_t before = wrong, all = compared;
  char *lines = read_file(name, ".ids", &n), *next;
  for (char *line = lines; *line; line = next) {
    char *end = strchr(line, '\n');
    *end = 0;
    next = end + 1;
    cJSON *v = cJSON_Parse(line);
    cr_assert(v && (size_t)v->child->valueint < texts);
    const cJSON *ids = v->child->next;
    Case c = {name, text[v->child->valueint], t, ids, ids->next, ids->next->next};
    compare(&c);
    cJSON_Delete(v);
  }
  if (wrong > before) fprintf(stderr, "%s: %zu of %zu differ\n", name, wrong - before, compared - all);
  free(lines);
  host_hf_free(t);
}

Test(hf, ids_and_texts_of_the_library, .timeout = 3000) {
  size_t n, files = 0;
  char *all = read_file("texts", ".json", &n);
  cJSON *json = cJSON_Parse(all);
  cr_assert(json);
  size_t texts = (size_t)cJSON_GetArraySize(json), i = 0;
  char **text = calloc(texts, sizeof *text);
  cr_assert(text);
  for (cJSON *v = json->child; v; v = v->next) text[i++] = v->valuestring;
  DIR *d = opendir(folder());
  cr_assert(d);
  for (struct dirent *e; (e = readdir(d));) {
    char *dot = strrchr(e->d_name, '.');
    if (!dot || strcmp(dot, ".ids") != 0) continue;
    *dot = 0;
    compare_all(e->d_name, text, texts);
    files++;
  }
  closedir(d);
  free(text);
  cJSON_Delete(json);
  free(all);
  cr_expect_geq(files, 90);
  cr_expect_geq(compared, 10000);
  cr_expect_eq(wrong, 0, "%zu of %zu differ", wrong, compared);
  fprintf(stderr, "%zu texts compared with %zu tokenizers\n", compared, files);
}

/* files that are refused ---------------------------------------------------------------------------------------------
 */
static void refused(const char *json, const char *reason) {
  HostError err = {.text = ""};
  HostHf *t = host_hf_load_memory(json, strlen(json), &err);
  cr_expect_null(t, "%s", json);
  cr_expect(strstr(err.text, reason), "'%s' lacks '%s'", err.text, reason);
  host_hf_free(t);
}

#define LEVEL "{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0,\"a\":1}}"
#define WITH(members) "{\"model\":" LEVEL "," members "}"
#define MODEL(members) "{\"model\":{" members "}}"
#define REGEX(pattern)                                                                                                 \
  WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern                                       \
       "\"},\"behavior\":\"Isolated\",\"invert\":false}")

Test(hf, what_is_refused_is_named_with_its_place) {
  static const struct {
    const char *json, *reason;
  } other[] = {
      {"", "JSON, byte 1: no value"},
      {"[", "JSON, byte 2: no value"},
      {"{\"a\":1,}", "JSON, byte 8: a string is expected"},
      {"{\"a\":01}", "no value"},
      {"{\"a\":\"\\ud800\"}", "half of a pair of surrogates"},
      {"{\"a\":\"\\u0000\"}", "\\u0000 stands in a string"},
      {"{\"a\":\"\\q\"}", "no such escape"},
      {"{\"a\":1} x", "something stands behind the value"},
      {"{\"a\":\"\xff\"}", "JSON that is not UTF-8"},
      {"{}", "model: a tokenizer needs a model"},
      {"{\"models\":1}", "'models' is no member that a tokenizer has"},
      {"{\"model\":1,\"model\":2}", "'model' stands here twice"},
      {WITH("\"version\":\"2.0\""), "version: only \"1.0\" is read"},
      {MODEL("\"type\":\"Other\""), "model.type: Other is none of BPE, WordPiece, Unigram and WordLevel"},
      {MODEL("\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{},\"merges\":[]"), "model.dropout: dropout makes other ids"},
      {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"b\"]]"),
       "model.merges[0]: the vocabulary lacks 'b'"},
      {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]"), "lacks what this merge makes, 'aa'"},
      {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]"), "a merge must be"},
      {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0}"), "model.merges: merges must be a list"},
      {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]"), "'a' and 'b' have the same id"},
      {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]"), "'a' stands here twice"},
      {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":1.5},\"merges\":[]"), "model.vocab.a: this must be a whole number"},
      {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]"), "this must be a whole number"},
      {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":2000000000},\"merges\":[]"),
       "the greatest id is 2000000000 of only 1 tokens"},
      {MODEL("\"type\":\"Unigram\",\"unk_id\":3,\"vocab\":[[\"a\",0]]"), "model.unk_id: there are only 1 pieces"},
      {MODEL("\"type\":\"Unigram\",\"vocab\":[[\"\",0]]"), "model.vocab[0]: the piece is empty"},
      {MODEL("\"type\":\"Unigram\",\"vocab\":[[\"a\"]]"), "a piece must be"},
      {MODEL("\"type\":\"WordPiece\",\"vocab\":{\"a\":0}"), "WordPiece needs 'unk_token'"},
      {WITH("\"normalizer\":{\"type\":\"NFX\"}"), "normalizer.type: NFX is no kind that is known here"},
      {WITH("\"normalizer\":{\"type\":\"NFC\",\"x\":1}"), "normalizer: 'x' is no member that NFC has"},
      {WITH("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\",\"strip_left\":1}]}"),
       "normalizer.normalizers[0].strip_left: this must be true or false"},
      {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}"),
       "precompiled_charsmap is damaged"},
      {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"*\"}"), "this is no base64"},
      {WITH("\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}"),
       "an empty pattern is not read"},
      {WITH("\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}"), "UnicodeScripts is not supported"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"),
       "replacement: this must be one character"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"x\"}"),
       "none of never, first, always"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false,\"prepend_"
            "scheme\":\"first\"}"),
       "add_prefix_space = false contradicts prepend_scheme"},
      {WITH("\"decoder\":{\"type\":\"CTC\"}"), "decoder.type: CTC is not supported"},
      {WITH("\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"a\",7],\"cls\":[\"a\",1]}"),
       "puts id 7 around texts, which is no token"},
      {WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\",\"type_"
            "id\":0}}],\"pair\":[],\"special_tokens\":{}}"),
       "post_processor.single[0].SpecialToken.id: 'x' is not among special_tokens"},
      {WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[],\"pair\":[],\"special_tokens\":{}}"),
       "the template does not have the text"},
      {WITH("\"truncation\":{\"max_length\":4,\"strategy\":\"OnlySecond\",\"stride\":0}"),
       "truncation.strategy: this must be LongestFirst or OnlyFirst"},
      {WITH("\"truncation\":{\"max_length\":0,\"strategy\":\"OnlyFirst\",\"stride\":0}"),
       "0 leaves no room between the 0 tokens"},
      {WITH("\"padding\":{\"strategy\":\"Other\"}"), "padding.strategy: this must be \"BatchLongest\""},
      {WITH("\"added_tokens\":[{\"id\":5,\"content\":\"x\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
            "\"normalized\":false,\"special\":true}]"),
       "added_tokens[0].id: 'x' is said to be 5, but by the vocabulary and its order it is 2"},
      {WITH("\"added_tokens\":[{\"id\":2,\"content\":\"x\",\"special\":true}]"),
       "added_tokens[0].single_word: this must be true or false"},
      {REGEX("a{2}+"), "a count {..} with another behind it"},
      {REGEX("(?m:a)"), "the group (?m:a is not read"},
      {REGEX("(?<n>a)"), "the group (?<n> is not read"},
      {REGEX("a**"), "counts stand behind each other"},
      {REGEX("(a"), "( has no )"},
      {REGEX("a)"), ") has no ("},
      {REGEX("[a"), "a set has no end"},
      {REGEX("[]a]"), "a set is empty"},
      {REGEX("[a&&b]"), "&& of sets is not read"},
      {REGEX("[[:alpha:]]"), "a class such as [:alpha:] is not read"},
      {REGEX("[a[^b]]"), "a set [^..] within a set"},
      {REGEX("\\\\h"), "\\h is not read"},
      {REGEX("\\\\1"), "\\1 is not read"},
      {REGEX("[\\\\W]"), "\\W in a set is not read"},
      {REGEX("\\\\p{Klingon}"), "\\p{Klingon} is neither"},
      {REGEX("\\\\xff"), "\\xHH above 7f is a byte"},
      {REGEX("(?i:ss)"), "letters that fold to one character"},
      {REGEX("(?i:\xc3\xa9)"), "a letter that is not ASCII stands within (?i:"},
      {REGEX("(?i:a(?i:b))"), "(?i: stands within another"},
      {REGEX("(?<=a*)b"),
       "pre_tokenizer.pattern.Regex: PCRE2 refuses the regular expression: lookbehind assertion is not fixed length"},
      {REGEX(""), "there is nothing"},
  };
  for (size_t i = 0; i < sizeof other / sizeof *other; i++) refused(other[i].json, other[i].reason);
  HostError err;
  HostHf *t = host_hf_load_memory(REGEX("a+"), strlen(REGEX("a+")), &err);
  cr_expect(t, "%s", err.text);
  host_hf_free(t);
}

// A file cut at every byte is an error, and so is one with a byte changed or a tokenizer that encodes and decodes.
Test(hf, files_that_are_damaged, .timeout = 600) {
  static const char *const names[] = {"whitespace", "added_normalized_strip", "split_ahead"};
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    size_t n, loaded = 0;
    char *json = read_file(names[k], ".json", &n);
    for (size_t i = 0; i < n; i++) {
      HostError err = {.text = ""};
      char *cut = malloc(i + 1); // so that a sanitizer sees a byte too many
      if (i) memcpy(cut, json, i);
      HostHf *t = i + 2 < n && i % 7 == 0 ? host_hf_load_memory(cut, i, &err) : NULL;
      cr_expect_null(t);
      free(cut);
      char was = json[i];
      json[i] = (char)(i % 3 ? "0]x{\""[i % 5] : was ^ 4);
      t = i % 3 == 0 ? host_hf_load_memory(json, n, &err) : NULL;
      json[i] = was;
      if (!t) continue;
      HostIds ids;
      loaded++;
      if (host_hf_encode(t, "the cat, extra token 12 words", 29, true, &ids, &err)) {
        char *s = host_hf_decode(t, ids.id, ids.n, true, NULL, &err);
        cr_expect(s, "%s", err.text);
        free(s);
        host_ids_free(&ids);
      }
      host_hf_free(t);
    }
    cr_expect_gt(loaded, 10);
    free(json);
  }
}

/* texts that are hard ------------------------------------------------------------------------------------------------
 */
static HostHf *load(const char *json) {
  HostError err = {.text = ""};
  HostHf *t = host_hf_load_memory(json, strlen(json), &err);
  cr_assert(t, "%s", err.text);
  return t;
}

static size_t ids_of(const HostHf *t, const char *s, size_t n) {
  HostError err = {.text = ""};
  HostIds ids = {0};
  cr_assert(host_hf_encode(t, s, n, true, &ids, &err), "%s", err.text);
  size_t count = ids.n;
  host_ids_free(&ids);
  return count;
}

Test(hf, a_regular_expression_that_takes_too_long_is_an_error) {
  HostHf *t = load(REGEX("(a|a)*b|(a+)+$x"));
  char s[64];
  HostIds ids;
  HostError err = {.text = ""};
  memset(s, 'a', sizeof s);
  cr_expect_not(host_hf_encode(t, s, sizeof s, true, &ids, &err));
  cr_expect(strstr(err.text, "takes more than 101280 steps for a match in this text"), "%s", err.text);
  host_hf_free(t);
}

// Megabytes without a blank: each step is linear or n log n in them.
Test(hf, long_words, .timeout = 60) {
  enum { LONG = 1 << 19 };
  static const char *const names[] = {"gpt2", "llama2", "t5", "bert", "bpe_suffix", "unigram_whole", "clip", "xlmr"};
  char *s = malloc(LONG);
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    size_t n;
    HostError err;
    char *json = read_file(names[k], ".json", &n);
    HostHf *t = host_hf_load_memory(json, n, &err);
    cr_assert(t);
    for (size_t i = 0; i < LONG; i++) s[i] = "the cat"[i % 7 == 3 ? 4 : i % 7];
    cr_expect_gt(ids_of(t, s, LONG), 0);
    memset(s, 'a', LONG);
    cr_expect_gt(ids_of(t, s, LONG), 0);
    for (size_t i = 0; i < LONG; i++) s[i] = (char)(i * 2654435761u >> 13); // no text
    cr_expect_gt(ids_of(t, s, LONG), 0);
    host_hf_free(t);
    free(json);
  }
  free(s);
}

Test(hf, values_too_deep_in_each_other) {
  static char deep[1 << 16];
  for (size_t i = 0; i < sizeof deep - 1; i++) deep[i] = '[';
  refused(deep, "values lie too deep in each other");
}

// A vocabulary of a million tokens.
Test(hf, many_tokens, .timeout = 60) {
  enum { MANY = 1000 * 1000 };
  char *json = malloc((size_t)MANY * 24 + 200), *p = json;
  cr_assert(json);
  p += sprintf(p, "{\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"model\":{\"type\":\"WordLevel\",\"unk_token\":"
                  "\"t0\",\"vocab\":{");
  for (int i = 0; i < MANY; i++) p += sprintf(p, "%s\"t%d\":%d", i ? "," : "", i, i);
  sprintf(p, "}}}");
  HostHf *t = load(json);
  cr_expect_eq(host_hf_size(t), MANY);
  cr_expect_eq(host_hf_id(t, "t999999"), 999999);
  cr_expect_eq(ids_of(t, "t5 t77 x", 8), 3);
  host_hf_free(t);
  free(json);
}

// Zero bytes are characters like others; bytes that are no UTF-8 become U+FFFD.
Test(hf, bytes_that_are_no_text) {
  HostHf *t =
      load("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\".\"},\"behavior\":\"Isolated\",\"invert\":"
           "false},"
           "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0,\"\xef\xbf\xbd\":1,\"a\":2}}}");
  static const int32_t want[] = {2, 0, 2, 1, 2, 1};
  HostIds ids;
  HostError err;
  cr_assert(host_hf_encode(t,
                           "a\0a\xff"
                           "a\xc3",
                           6, true, &ids, &err));
  cr_assert_eq(ids.n, 6);
  for (size_t i = 0; i < 6; i++) cr_expect_eq(ids.id[i], want[i], "%zu", i);
  host_ids_free(&ids);
  host_hf_free(t);
}

/* other files --------------------------------------------------------------------------------------------------------
 */
// vocab.json and merges.txt of a tokenizer.json: the same ids.
Test(hf, merges_beside_a_vocabulary) {
  size_t n, m = 0;
  HostError err = {.text = ""};
  char *json = read_file("gpt2", ".json", &n);
  cJSON *all = cJSON_Parse(json), *model = cJSON_GetObjectItem(all, "model");
  char *vocab = cJSON_PrintUnformatted(cJSON_GetObjectItem(model, "vocab"));
  char *merges = malloc(n);
  m += (size_t)sprintf(merges, "#version: 0.2\r\n");
  for (cJSON *v = cJSON_GetObjectItem(model, "merges")->child; v; v = v->next)
    m += (size_t)sprintf(merges + m, "%s %s\r\n", v->child->valuestring, v->child->next->valuestring);
  HostHf *pair = host_hf_load_merges(vocab, strlen(vocab), merges, m, &err), *whole = load(json);
  cr_assert(pair, "%s", err.text);
  static const char *const texts[] = {"the cat sat", "it's what he'll do:  123", "na\xc3\xafve \xf0\x9f\x98\x80\n\n x"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    HostIds a, b;
    cr_assert(host_hf_encode(pair, texts[i], strlen(texts[i]), true, &a, &err));
    cr_assert(host_hf_encode(whole, texts[i], strlen(texts[i]), true, &b, &err));
    cr_expect(a.n == b.n && !memcmp(a.id, b.id, a.n * sizeof *a.id), "%s", texts[i]);
    host_ids_free(&a);
    host_ids_free(&b);
  }
  host_hf_free(pair);
  host_hf_free(whole);
  cJSON_free(vocab);
  cJSON_Delete(all);
  free(merges);
  free(json);
}

// RoBERTa's: ends and special tokens by their names; and what is no such pair.
Test(hf, merges_with_ends) {
  static const char vocab[] = "{\"<s>\":0,\"</s>\":1,\"<mask>\":2,\"a\":3,\"b\":4,\"ab\":5,\"\xc4\xa0\":6}";
  HostError err = {.text = ""};
  HostHf *t = host_hf_load_merges(vocab, strlen(vocab), "a b\n", 4, &err);
  static const int32_t want[] = {0, 5, 2, 5, 3, 1};
  HostIds ids;
  cr_assert(t, "%s", err.text);
  cr_assert(host_hf_encode(t, "ab  <mask>aba", 13, true, &ids, &err));
  cr_assert_eq(ids.n, 6);
  for (size_t i = 0; i < 6; i++) cr_expect_eq(ids.id[i], want[i]);
  host_ids_free(&ids);
  host_hf_free(t);
  cr_expect_null(host_hf_load_merges("{\"a</w>\":0}", 11, "", 0, &err));
  cr_expect(strstr(err.text, "as CLIP's do"), "%s", err.text);
  cr_expect_null(host_hf_load_merges(vocab, strlen(vocab), "a \"b\n", 5, &err));
  cr_expect(strstr(err.text, "the vocabulary lacks '\"b'"), "%s", err.text);
}

// host_tokenizer.c - the corners of the tokenizers behind host/tokenizer.h: empty and overlong texts, what no piece
// covers, bytes that are no text, and files that are damaged or of another kind. Plain texts are the golden cases'.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../host/tokenizer.h"

/* files ---------------------------------------------------------------------------------------------------------------
 */
// Ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, then from 5 on.
static const char wordpiece_file[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n##s\nun\n##aff\n##able\n\xe4\xb8\xad\n\xe6\x96\x87\n!\ncafe\n";
enum { THE = 5, CAT, S, UN, AFF, ABLE, ZHONG, WEN, BANG, CAFE };
static const char merges_file[] = "#version: tiny\nc a\nca t</w>\n";

typedef struct Bytes { // a protocol buffer being written
  unsigned char at[1 << 14];
  size_t n;
} Bytes;

static void put_byte(Bytes *b, unsigned v) {
  cr_assert_lt(b->n, sizeof b->at);
  b->at[b->n++] = (unsigned char)v;
}
static void put_varint(Bytes *b, size_t v) {
  for (; v > 127; v >>= 7) put_byte(b, 128 | (unsigned)(v & 127));
  put_byte(b, (unsigned)v);
}
static void put_number(Bytes *b, size_t field, size_t v) {
  put_varint(b, field << 3);
  put_varint(b, v);
}
static void put_block(Bytes *b, size_t field, const void *s, size_t n) {
  put_varint(b, field << 3 | 2);
  put_varint(b, n);
  for (size_t i = 0; i < n; i++) put_byte(b, ((const unsigned char *)s)[i]);
}
static void put_piece(Bytes *b, const char *s, float score, size_t type) {
  Bytes p = {.n = 0};
  unsigned char bits[4];
  memcpy(bits, &score, sizeof bits);
  put_block(&p, 1, s, strlen(s));
  put_varint(&p, 2 << 3 | 5);
  for (int i = 0; i < 4; i++) put_byte(&p, bits[i]);
  put_number(&p, 3, type);
  put_block(b, 1, p.at, p.n);
}

enum { NORMAL = 1, UNKNOWN, CONTROL, BYTE = 6 };
// Ids of the model: <unk> 0, <s> 1, </s> 2, then from 3 on; XLM-R's are one further.
enum { SPACE = 3, A_THE, A_CAT, PIECE_S, FIRST_BYTE };
static Bytes spm_file(bool bytes) {
  Bytes b = {.n = 0}, trainer = {.n = 0};
  put_piece(&b, "<unk>", 0, UNKNOWN);
  put_piece(&b, "<s>", 0, CONTROL);
  put_piece(&b, "</s>", 0, CONTROL);
  put_piece(&b, "\xe2\x96\x81", -3, NORMAL);
  put_piece(&b, "\xe2\x96\x81the", -1, NORMAL);
  put_piece(&b,
            "\xe2\x96\x81"
            "cat",
            -1, NORMAL);
  put_piece(&b, "s", -2, NORMAL);
  for (unsigned i = 0; i < 256 && bytes; i++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", i);
    put_piece(&b, name, 0, BYTE);
  }
  put_number(&trainer, 3, 1);
  put_number(&trainer, 35, bytes);
  put_block(&b, 2, trainer.at, trainer.n);
  return b;
}

static HostTokenizer *load(const void *bytes, size_t n, HostTokenizerKind kind) {
  HostError err;
  HostTokenizer *t = host_tokenizer_load_memory(bytes, n, NULL, &err);
  cr_assert_not_null(t, "%s", err.text);
  cr_assert_eq(t->kind, kind);
  return t;
}
static HostTokenizer *load_wordpiece(void) {
  return load(wordpiece_file, strlen(wordpiece_file), HOST_WORDPIECE);
}
static HostTokenizer *load_spm(bool bytes) {
  Bytes b = spm_file(bytes);
  return load(b.at, b.n, HOST_SENTENCEPIECE);
}
static HostTokenizer *load_merges(void) {
  return load(merges_file, strlen(merges_file), HOST_CLIP_BPE);
}

// No tokenizer, and a reason.
static void refused(const void *bytes, size_t n, const char *reason) {
  HostError err = {.text = ""};
  HostTokenizer *t = host_tokenizer_load_memory(bytes, n, NULL, &err);
  cr_expect_null(t, "%zu bytes were taken", n);
  cr_expect(strstr(err.text, reason), "'%s' lacks '%s'", err.text, reason);
  host_tokenizer_free(t);
}

/* texts ---------------------------------------------------------------------------------------------------------------
 */
static void expect_bytes(const HostTokenizer *t, const char *text, size_t bytes, const HostTokenizerOptions *how,
                         bool cut, size_t n, const int32_t *want) {
  HostIds ids;
  HostError err = {.text = ""};
  bool was_cut = !cut;
  cr_assert(host_tokenizer_encode(t, text, bytes, how, &ids, &was_cut, &err), "%s", err.text);
  cr_expect_eq(ids.n, n, "'%s': %zu ids, wanted %zu", text, ids.n, n);
  cr_expect_eq(was_cut, cut, "'%s': cut", text);
  for (size_t i = 0; i < n && i < ids.n; i++)
    cr_expect_eq(ids.id[i], want[i], "'%s': id %zu is %d, wanted %d", text, i, ids.id[i], want[i]);
  host_ids_free(&ids);
}

#define EXPECT_CUT(t, text, how, cut, ...)                                                                             \
  expect_bytes(t, text, strlen(text), how, cut, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t),                    \
               (int32_t[]){__VA_ARGS__})
#define EXPECT_IDS(t, text, how, ...) EXPECT_CUT(t, text, how, false, __VA_ARGS__)

static HostTokenizerOptions bare(const HostTokenizer *t) { // nothing around the text
  HostTokenizerOptions how = host_tokenizer_options(t);
  how.start = how.end = -1;
  how.xlmr = false;
  return how;
}

static void expect_text(const HostTokenizer *t, const HostTokenizerOptions *how, size_t n, const int32_t *id,
                        const char *want) {
  HostError err = {.text = ""};
  size_t bytes = 0;
  char *s = host_tokenizer_decode(t, id, n, how, &bytes, &err);
  cr_assert_not_null(s, "%s", err.text);
  cr_expect_str_eq(s, want);
  cr_expect_eq(bytes, strlen(want));
  free(s);
}
#define EXPECT_TEXT(t, how, want, ...)                                                                                 \
  expect_text(t, how, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (int32_t[]){__VA_ARGS__}, want)

Test(tokenizer, empty_text_is_start_and_end) {
  HostTokenizer *all[] = {load_wordpiece(), load_spm(false), load_spm(true), load_merges()};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    HostTokenizerOptions how = host_tokenizer_options(all[i]), none = bare(all[i]);
    for (const char *const *s = (const char *const[]){"", " ", " \t\n ", NULL}; *s; s++) {
      if (i == 1 && **s && strcmp(*s, " ") != 0) continue; // without a table a tab is no blank of this model
      if (i == 2 && **s && strcmp(*s, " ") != 0) continue;
      EXPECT_IDS(all[i], *s, &how, how.start, how.end);
      expect_bytes(all[i], *s, strlen(*s), &none, false, 0, NULL);
    }
    expect_text(all[i], &how, 0, NULL, "");
    EXPECT_TEXT(all[i], &how, "", how.start, how.end);
    host_tokenizer_free(all[i]);
  }
}

Test(tokenizer, a_text_beyond_the_bound_is_cut_and_says_so) {
  HostTokenizer *t = load_wordpiece();
  HostTokenizerOptions how = host_tokenizer_options(t);
  how.max_length = 4;
  EXPECT_CUT(t, "the cat", &how, false, 2, THE, CAT, 3);
  EXPECT_CUT(t, "the cats", &how, true, 2, THE, CAT, 3);
  how.max_length = 2;
  EXPECT_CUT(t, "the", &how, true, 2, 3);
  how.max_length = 1; // the end survives
  EXPECT_CUT(t, "the", &how, true, 3);
  how.end = -1;
  EXPECT_CUT(t, "the", &how, true, 2);
  how.max_length = how.pad_to = 3;
  EXPECT_CUT(t, "the", &how, false, 2, THE, 0);
  EXPECT_CUT(t, "the cats !", &how, true, 2, THE, CAT);
  host_tokenizer_free(t);
}

Test(tokenizer, wordpiece_cuts_and_cleans) {
  HostTokenizer *t = load_wordpiece();
  HostTokenizerOptions how = bare(t);
  char word[102];
  EXPECT_IDS(t, "The cats, unaffable!", &how, THE, CAT, S, 1, UN, AFF, ABLE, BANG);
  EXPECT_IDS(t, "catx dog", &how, 1, 1); // a word that cannot be cut to its end is unknown as a whole
  EXPECT_IDS(t,
             "\xe4\xb8\xad\xe6\x96\x87"
             "cat",
             &how, ZHONG, WEN, CAT);
  EXPECT_IDS(t, "Caf\xc3\xa9 cafe\xcc\x81 CAF\xc3\x89", &how, CAFE, CAFE, CAFE);
  EXPECT_IDS(t,
             "c\x01"
             "a\x7f"
             "t t\xe2\x80\x8bhe",
             &how, CAT, THE); // control and format characters
  EXPECT_IDS(t,
             "c\xff"
             "at \xc0\x80the \xed\xa0\x80 \xe4\xb8",
             &how, CAT, THE); // what is no UTF-8
  EXPECT_IDS(t, "the [MASK] [mask]", &how, THE, 4, 1, 1, 1);
  expect_bytes(t, "c\0at", 4, &how, false, 1, (const int32_t[]){CAT});
  memset(word, 's', sizeof word);
  memcpy(word, "cat", 3);
  word[101] = 0;
  EXPECT_IDS(t, word, &how, 1); // 101 characters
  word[4] = 0;
  EXPECT_IDS(t, word, &how, CAT, S);
  EXPECT_TEXT(t, &how, "the cats!", 2, THE, CAT, S, BANG, 3, 0);
  EXPECT_TEXT(t, &how, "the", THE, 15, -1); // ids that a model added behind the vocabulary
  host_tokenizer_free(t);
}

// Lower case is that of each character by itself: a sigma at the end of a word is no final one. Decomposition is that
// of the text, Chinese characters included.
Test(tokenizer, wordpiece_folds_characters) {
  static const char file[] = "[UNK]\nοδοσ\nοδος\nσ\n李\ni\nk\na\nω\nß\nꭰ\n𐐨\nǆ\nα\nt\n##h\n";
  enum { ODOS = 1, FINAL, SIGMA, LI, I, K, A, OMEGA, SHARP_S, CHEROKEE, DESERET, DZ, ALPHA, T, H };
  HostTokenizer *t = load(file, strlen(file), HOST_WORDPIECE);
  HostTokenizerOptions how = bare(t);
  EXPECT_IDS(t, "ΟΔΟΣ", &how, ODOS);
  EXPECT_IDS(t, "ΟΔΟΣ. ΟΔΟΣ, (ΟΔΟΣ) Οδος Σ", &how, ODOS, 0, ODOS, 0, 0, ODOS, 0, FINAL, SIGMA);
  EXPECT_IDS(t, "\xef\xa7\xa1", &how, LI); // a compatible form of the character
  EXPECT_IDS(t, "İ I K Å Ω ẞ Ꭰ 𐐀 Ǆ ǅ ᾈ ᾼ", &how, I, I, K, A, OMEGA, SHARP_S, CHEROKEE, DESERET, DZ, DZ, ALPHA, ALPHA);
  EXPECT_IDS(t, "T\xcc\xa3\xcc\x81H", &how, T, H); // marks
  host_tokenizer_free(t);
}

// Nothing but a good share of capitals makes a vocabulary look like a cased one, and the caller decides.
Test(tokenizer, wordpiece_case_is_not_guessed_from_a_byte) {
  static const char chinese[] = "[UNK]\n<S>\n<T>\nt\nnba\n\xe6\x81\xa4\n";
  HostTokenizer *t = load(chinese, strlen(chinese), HOST_WORDPIECE);
  HostTokenizerOptions how = bare(t);
  cr_expect(how.lower);
  EXPECT_IDS(t, "NBA T\xe6\x81\xa4", &how, 4, 3, 5);
  how.lower = false;
  EXPECT_IDS(t, "NBA nba", &how, 0, 4);
  host_tokenizer_free(t);
  char more[2 * sizeof wordpiece_file];
  for (int pieces = 0; pieces < 3; pieces++) { // two of 9 are too many
    static const char *const added[] = {"", "iPhone\n", "iPhone\nNASA\n"};
    int n = snprintf(more, sizeof more, "%s%s", wordpiece_file, added[pieces]);
    t = load(more, (size_t)n, HOST_WORDPIECE);
    size_t capitals = 0;
    cr_expect_eq(host_wordpiece_lettered(t->wordpiece, &capitals), 7 + (size_t)pieces);
    cr_expect_eq(capitals, (size_t)pieces);
    cr_expect_eq(host_tokenizer_options(t).lower, pieces < 2, "%d", pieces);
    host_tokenizer_free(t);
  }
}

Test(tokenizer, wordpiece_with_capitals_keeps_them) {
  static const char file[] = "[UNK]\nThe\nthe\nCaf\xc3\xa9\n";
  HostTokenizer *t = load(file, strlen(file), HOST_WORDPIECE);
  HostTokenizerOptions how = bare(t);
  EXPECT_IDS(t, "the The Caf\xc3\xa9 Cafe", &how, 2, 1, 3, 0);
  how = host_tokenizer_options(t); // it has no [CLS] and no [SEP]
  EXPECT_IDS(t, "the", &how, 2);
  host_tokenizer_free(t);
}

Test(tokenizer, of_equal_lines_the_last_counts) {
  static const char file[] = "[UNK]\ncat\nthe\ncat\n";
  HostTokenizer *t = load(file, strlen(file), HOST_WORDPIECE);
  HostTokenizerOptions how = bare(t);
  cr_expect_eq(host_tokenizer_size(t), 4);
  EXPECT_IDS(t, "cat the", &how, 3, 2);
  EXPECT_TEXT(t, &how, "cat cat", 1, 3);
  host_tokenizer_free(t);
}

Test(tokenizer, empty_lines_at_the_end_are_no_pieces) {
  static const char file[] = "[UNK]\n\ncat\n\r\n\n";
  HostTokenizer *t = load(file, strlen(file), HOST_WORDPIECE);
  HostTokenizerOptions how = bare(t);
  cr_expect_eq(host_tokenizer_size(t), 3, "those between are, as line numbers are ids");
  EXPECT_IDS(t, "cat", &how, 2);
  host_tokenizer_free(t);
}

Test(tokenizer, sentencepiece_joins_what_is_unknown) {
  HostTokenizer *t = load_spm(false);
  HostTokenizerOptions how = bare(t);
  EXPECT_IDS(t, "the cats", &how, A_THE, A_CAT, PIECE_S);
  how.clean = HOST_CLEAN_LOWER;
  EXPECT_IDS(t, "The CATS", &how, A_THE, A_CAT, PIECE_S);
  EXPECT_IDS(t, "the, cat", &how, A_THE, 0, A_CAT);
  how.clean = HOST_CLEAN_CANONICAL;
  EXPECT_IDS(t, " The,\t('cat')\n -  CATS! ", &how, A_THE, A_CAT, A_CAT, PIECE_S);
  expect_bytes(t, "?!", 2, &how, false, 0, NULL);
  how.clean = HOST_CLEAN_NOTHING;
  EXPECT_IDS(t, "The cat", &how, SPACE, 0, A_CAT);
  EXPECT_IDS(t, "xyz", &how, SPACE, 0);
  EXPECT_IDS(t, "s \xff\xe4\xb8", &how, SPACE, PIECE_S, SPACE, 0);
  EXPECT_TEXT(t, &how, "the cats", A_THE, A_CAT, PIECE_S);
  cr_expect_eq(host_tokenizer_ids(t, &how), 7);
  how.xlmr = true;
  cr_expect_eq(host_tokenizer_ids(t, &how), 9);
  EXPECT_IDS(t, "the x", &how, A_THE + 1, SPACE + 1, 3);
  EXPECT_TEXT(t, &how, "the cat", A_THE + 1, A_CAT + 1, PIECE_S + 2, 4000, -7); // <mask>, and none
  host_tokenizer_free(t);
}

Test(tokenizer, sentencepiece_falls_back_to_bytes) {
  HostTokenizer *t = load_spm(true);
  HostTokenizerOptions how = bare(t);
  EXPECT_IDS(t, "\xc3\xa9", &how, SPACE, FIRST_BYTE + 0xc3, FIRST_BYTE + 0xa9);
  EXPECT_IDS(t, "\xff", &how, SPACE, FIRST_BYTE + 0xef, FIRST_BYTE + 0xbf, FIRST_BYTE + 0xbd); // U+FFFD
  EXPECT_TEXT(t, &how, "\xc3\xa9s", SPACE, FIRST_BYTE + 0xc3, FIRST_BYTE + 0xa9, PIECE_S);
  EXPECT_TEXT(t, &how, "\xef\xbf\xbds", SPACE, FIRST_BYTE + 0xc3, PIECE_S); // half a character
  host_tokenizer_free(t);
}

Test(tokenizer, ids_outside_the_vocabulary_are_errors) {
  HostTokenizer *all[] = {load_spm(false), load_merges()};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    for (const int32_t *id = (const int32_t[]){-1, 5000, INT32_MAX, INT32_MIN, 0}; *id; id++) {
      HostTokenizerOptions how = bare(all[i]);
      how.start = how.end = how.pad = -2;
      HostError err = {.text = ""};
      cr_expect_null(host_tokenizer_decode(all[i], id, 1, &how, NULL, &err));
      cr_expect(strstr(err.text, "outside the vocabulary"), "%s", err.text);
    }
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) host_tokenizer_free(all[i]);
}

/* damaged files -------------------------------------------------------------------------------------------------------
 */
Test(tokenizer, files_of_another_kind) {
  Bytes b = spm_file(false);
  HostError err;
  const struct {
    const char *at;
    size_t n;
  } file[] = {{merges_file, strlen(merges_file)}, {wordpiece_file, strlen(wordpiece_file)}, {(char *)b.at, b.n}};
  for (int i = 0; i < 3; i++) {
    HostBpe *bpe = host_bpe_load_memory(file[i].at, file[i].n, &err);
    HostWordPiece *w = host_wordpiece_load_memory(file[i].at, file[i].n, &err);
    HostSpm *m = host_spm_load_memory(file[i].at, file[i].n, &err);
    cr_expect_eq(bpe != NULL, i == HOST_CLIP_BPE);
    cr_expect_eq(w != NULL, i == HOST_WORDPIECE);
    cr_expect_eq(m != NULL, i == HOST_SENTENCEPIECE);
    host_bpe_free(bpe);
    host_wordpiece_free(w);
    host_spm_free(m);
  }
  refused("", 0, "neither merges (a first line with #version) nor pieces (a line [UNK]) nor a model");
  refused("hello", 5, "neither merges");
  refused("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16, "neither merges");
  refused("[UNK]\n\xff\n", 8, "line 2 is not UTF-8");
  refused("[UNK]\na\0b\n", 10, "line 2 has a zero byte");
  refused("\x1f\x8b\x08", 3, "gzip");
}

// Texts that are no vocabulary, and merges of other tokenizers: none has ids.
Test(tokenizer, texts_that_are_no_vocabulary) {
  static const struct {
    const char *text, *reason;
  } other[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"},
      {"\xef\xbb\xbfversion https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "git lfs pull"},
      {"<!DOCTYPE html>\n<html>\n", "a page of HTML"},
      {"\n  <HTML lang=\"en\">", "a page of HTML"},
      {"<?xml version=\"1.0\"?>", "this is XML"},
      {"Entry not found", "a server's message"},
      {"404: Not Found", "a server's message"},
      {"{\"!\": 0, \"a</w>\": 1}", "this is a vocab.json, and there is no merges.txt beside it"},
      {"{\n  \"version\": \"1.0\",\n  \"model\": {}}", "model.vocab: a vocabulary must be an object"},
      {"the cat\nthe dog\n", "neither merges"},
      {"h e\nhe l\n", "neither merges"}, // the header is missing
      {"#version: 0.2\nthe cat\n", "line 2: 'the' is neither a byte nor made by an earlier line"},
      {"#version: 0.2\na b\nab cd\n", "line 3: 'cd' is neither"},
      {"#version: 0.2\nab c\na b\n", "line 2: 'ab' is neither"}, // out of order
      {"#version: 0.2\na b</w>\nb</w> c\nb</w>c d\n#version x y\n", "line 5: expected two symbols"},
      {"#version: 0.2\na b c\n", "line 2: expected two symbols"},
      {"#version: 0.2\nab\n", "line 2: expected two symbols"},
      {"#version: 0.2\na \n", "line 2: expected two symbols"},
      {"#version: 0.2\nh e\n\xc4\xa0 t\n", "line 3: a space in front of a word: these are merges of GPT-2's kind"},
      {"#version: 0.2\n\xe2\x96\x81 t\n", "line 2: '\xe2\x96\x81' is neither"}, // SentencePiece's
      {"#version: 0.2\n", "no merge"},
      {"\xff\xfe[\0U", "UTF-16 that is damaged"},
  };
  for (size_t i = 0; i < sizeof other / sizeof *other; i++)
    refused(other[i].text, i + 1 == sizeof other / sizeof *other ? 5 : strlen(other[i].text), other[i].reason);
}

// A page wants one kind: the error is about that one.
Test(tokenizer, the_kind_that_is_wanted) {
  static const struct {
    const char *kind, *text, *reason;
  } other[] = {
      {"bert_wordpiece", "the\ncat\n", "no line [UNK]"},
      {"clip_bpe", "the\ncat\n", "line 1 is no header with #version"},
      {"sentencepiece", "the\ncat\n", "no SentencePiece model"},
      {"bert_wordpiece", "\x1f\x8b\x08 packed", "packed with gzip; unpack it first"},
      {"clip_bpe", "BZh91AY&SY packed", "packed with bzip2; unpack it first"},
      {"clip_bpe", "[UNK]\ncat\n", "a vocabulary of bert_wordpiece, the model needs one of clip_bpe"},
      {"bert_wordpiece", "#version\na b\n", "a vocabulary of clip_bpe, the model needs one of bert_wordpiece"}};
  for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
    HostError err = {.text = ""};
    cr_expect_null(host_tokenizer_load_memory(other[i].text, strlen(other[i].text), other[i].kind, &err));
    cr_expect(strstr(err.text, other[i].reason), "'%s' lacks '%s'", err.text, other[i].reason);
  }
}

// As editors and shells of other systems save text: marks, UTF-16, CRLF.
Test(tokenizer, vocabularies_with_byte_order_marks) {
  static const char utf8[] = "\xef\xbb\xbf[UNK]\r\nthe\r\ncaf\xc3\xa9\r\n", plain[] = "[UNK]\nthe\ncaf\xe9\n",
                    merges[] = "\xef\xbb\xbf#version\r\nt h\r\nth e</w>\r\n";
  for (int form = 0; form < 3; form++) {
    char wide[64] = "\xff\xfe";
    size_t n = 2;
    if (form == 2) memcpy(wide, "\xfe\xff", 2);
    for (const char *s = plain; *s; s++, n += 2) wide[n + (form == 2)] = *s, wide[n + (form == 1)] = 0;
    HostTokenizer *t = load(form ? wide : utf8, form ? n : strlen(utf8), HOST_WORDPIECE);
    HostTokenizerOptions how = bare(t);
    cr_expect_eq(host_tokenizer_size(t), 3);
    how.lower = false;
    EXPECT_IDS(t, "the caf\xc3\xa9 x", &how, 1, 2, 0);
    host_tokenizer_free(t);
  }
  HostTokenizer *t = load(merges, strlen(merges), HOST_CLIP_BPE);
  HostTokenizerOptions how = bare(t);
  EXPECT_IDS(t, "the", &how, 513);
  host_tokenizer_free(t);
}

Test(tokenizer, models_cut_short_at_every_byte) {
  Bytes b = spm_file(true);
  size_t taken = 0;
  for (size_t n = 0; n < b.n; n++) {
    HostError err = {.text = ""};
    char *exact = malloc(n + 1); // so that a sanitizer sees a byte too many
    memcpy(exact, b.at, n);
    HostSpm *m = host_spm_load_memory(exact, n, &err);
    free(exact);
    HostSpmCut cut;
    if (m) {
      taken++; // between two pieces
      cr_expect_leq(host_spm_size(m), 7 + 256);
      cr_expect(host_spm_encode(m, "the caf\xc3\xa9s", 10, &cut, &err));
      host_spm_cut_free(&cut);
    } else {
      cr_expect(err.text[0]);
    }
    host_spm_free(m);
  }
  cr_expect_eq(taken, 7 + 256);
  for (size_t n = 0; n < strlen(wordpiece_file); n++) {
    HostError err = {.text = ""};
    HostTokenizer *t = host_tokenizer_load_memory(wordpiece_file, n, NULL, &err);
    cr_expect(t ? n >= 11 && t->kind == HOST_WORDPIECE : err.text[0] != 0, "%zu bytes", n);
    host_tokenizer_free(t);
  }
}

Test(tokenizer, models_with_pieces_that_cannot_be) {
  const Bytes good = spm_file(false);
  Bytes b = good;
  put_piece(&b, "s", -4, NORMAL);
  refused(b.at, b.n, "piece 7 stands twice: 's'");
  b = good;
  put_piece(&b, "", -4, NORMAL);
  refused(b.at, b.n, "piece 7 of this SentencePiece model is empty");
  b = good;
  put_piece(&b, "<what>", 0, UNKNOWN);
  refused(b.at, b.n, "pieces 0 and 7 both stand for what is unknown");
  b = (Bytes){.n = 0};
  put_piece(&b, "a", 0, NORMAL);
  refused(b.at, b.n, "no piece for what is unknown");
  b = good;
  char longer[1026];
  memset(longer, 'x', sizeof longer);
  longer[1025] = 0;
  put_piece(&b, longer, 0, NORMAL);
  refused(b.at, b.n, "damaged");
  b = good;
  put_block(&b, 2, "\x18\x03", 2); // model_type: words
  refused(b.at, b.n, "neither of the unigram kind nor BPE");
}

Test(tokenizer, messages_that_are_none) {
  const Bytes good = spm_file(false);
  static const struct {
    const char *bytes;
    size_t n;
    const char *reason; // NULL: a field that nobody reads
  } tail[] = {
      {"\x0a", 1, "no SentencePiece model"},                                              // no length
      {"\x0a\x7f", 2, "no SentencePiece model"},                                          // longer than the file
      {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "no SentencePiece model"},     // 2^64 - 1 bytes
      {"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, "no SentencePiece model"}, // a varint of 11 bytes
      {"\x98\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, "no SentencePiece model"}, // the same as a key
      {"\x1b", 1, "no SentencePiece model"},                                              // wire types 3, 4, 6, 7
      {"\x1c", 1, "no SentencePiece model"},
      {"\x1e", 1, "no SentencePiece model"},
      {"\x1f", 1, "no SentencePiece model"},
      {"\x19\x01\x02", 3, "no SentencePiece model"}, // 8 bytes announced
      {"\x0a\x03\x0a\x05"
       "a",
       5, "damaged"},                       // a length inside a piece
      {"\x0a\x02\x08\x01", 4, "is empty"},  // the piece as a number
      {"\x0a\x03\x0a\x01\0", 5, "damaged"}, // a zero byte
      {"\x12\x02\x1b\x00", 4, "damaged"},   // trainer, normaliser
      {"\x1a\x02\x1b\x00", 4, "damaged"},
      {"\x1a\x05\x12\x03"
       "abc",
       7, "damaged"}, // a table too short
      {"\x1a\x0a\x12\x08\xff\xff\xff\xff"
       "abc",
       12, "damaged"},                                            // with a size beyond it
      {"\x08\x01", 2, NULL},                                      // pieces as a number
      {"\x12\x02\x1a\x00", 4, NULL},                              // the kind as bytes
      {"\xf8\xff\xff\xff\xff\xff\xff\xff\xff\x01\x05", 11, NULL}, // the largest field
  };
  for (size_t i = 0; i < sizeof tail / sizeof *tail; i++) {
    Bytes b = good;
    for (size_t k = 0; k < tail[i].n; k++) put_byte(&b, (unsigned char)tail[i].bytes[k]);
    if (tail[i].reason)
      refused(b.at, b.n, tail[i].reason);
    else
      host_tokenizer_free(load(b.at, b.n, HOST_SENTENCEPIECE));
  }
}

Test(tokenizer, more_pieces_than_anyone_has) {
  enum { TOO_MANY = (4 << 20) + 1 };
  char *bytes = malloc(2 * (size_t)TOO_MANY + 8);
  HostError err = {.text = ""};
  cr_assert_not_null(bytes);
  for (size_t i = 0; i < TOO_MANY; i++) memcpy(bytes + 2 * i, "\x0a\0", 2);
  refused(bytes, 2 * (size_t)TOO_MANY, "no SentencePiece model");
  for (size_t i = 0; i < TOO_MANY; i++) memcpy(bytes + 2 * i, "a\n", 2);
  memcpy(bytes + 2 * (size_t)TOO_MANY, "[UNK]\n", 6);
  cr_expect_null(host_wordpiece_load_memory(bytes, 2 * (size_t)TOO_MANY + 6, &err));
  cr_expect(strstr(err.text, "more than 4194304 lines"), "%s", err.text);
  free(bytes);
}

// A normalisation table may be anything: walks end, and what it writes is bounded.
Test(tokenizer, a_table_that_leads_in_a_circle) {
  Bytes b = spm_file(false), normaliser = {.n = 0}, table = {.n = 0};
  enum { UNITS = 128 };
  for (size_t i = 0; i < 4; i++) put_byte(&table, (unsigned)(4 * UNITS) >> 8 * i);
  for (unsigned i = 0; i < UNITS; i++) { // 'a' leads from unit 0 to 'a', and from there back to itself
    unsigned unit = i == 'a' ? (unsigned)'a' << 10 | 'a' : 0;
    for (size_t k = 0; k < 4; k++) put_byte(&table, unit >> 8 * k & 255);
  }
  put_byte(&table, 'x');
  put_byte(&table, 0);
  put_block(&normaliser, 2, table.at, table.n);
  put_block(&b, 3, normaliser.at, normaliser.n);
  HostTokenizer *t = load(b.at, b.n, HOST_SENTENCEPIECE);
  HostTokenizerOptions how = bare(t);
  size_t n = 100000; // a walk over all that is left from every byte would take 10^10 steps
  char *text = malloc(n + 1);
  cr_assert_not_null(text);
  memset(text, 'a', n);
  text[n] = 0;
  EXPECT_IDS(t, text, &how, SPACE, 0);
  free(text);
  host_tokenizer_free(t);
}

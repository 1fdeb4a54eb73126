// host_strmap.c - the map of the vocabularies against a plain list, and the time that vocabularies and texts made to be
// slow take.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../host/strmap.h"
#include "../../host/tokenizer.h"

Test(strmap, agrees_with_a_list) {
  enum { N = 700 };
  static char text[N][12];
  size_t len[N];
  uint32_t seed = 1;
  for (int i = 0; i < N; i++) {
    len[i] = (size_t)(i % 9);
    for (size_t k = 0; k < len[i]; k++) {
      seed = seed * 1664525u + 1013904223u;
      text[i][k] = "ab\xff\0c"[(seed >> 16) % 5];
    }
  }
  for (int rule = STRMAP_FIRST; rule <= STRMAP_LAST; rule++) {
    StrMap m;
    cr_assert(strmap_init(&m, N / 2));
    for (int i = 0; i < N / 2; i++) strmap_put(&m, text[i], len[i], i);
    cr_assert(strmap_build(&m, (StrMapRule)rule));
    for (int q = 0; q < N; q++) {
      int32_t want = -1;
      bool begins = false;
      for (int i = 0; i < N / 2; i++) {
        if (len[i] >= len[q] && !memcmp(text[i], text[q], len[q])) begins = true;
        if (len[i] != len[q] || memcmp(text[i], text[q], len[q]) != 0) continue;
        if (want < 0 || rule == STRMAP_LAST) want = i;
      }
      cr_assert_eq(strmap_find(&m, text[q], len[q]), want, "%d", q);
      StrWalk w = strmap_walk(&m);
      bool there = true;
      for (size_t k = 0; k < len[q] && there; k++) there = strmap_step(&w, text[q][k]);
      cr_assert_eq(there, begins, "%d", q);
      cr_assert_eq(there ? strmap_here(&w) : -1, want, "%d", q);
    }
    strmap_free(&m);
  }
}

Test(strmap, of_nothing) {
  StrMap m;
  cr_assert(strmap_init(&m, 0) && strmap_build(&m, STRMAP_FIRST));
  cr_expect_eq(strmap_find(&m, "", 0), -1);
  cr_expect_eq(strmap_find(&m, "a", 1), -1);
  strmap_free(&m);
}

/* growth --------------------------------------------------------------------------------------------------------------
 */
typedef struct Vocabulary {
  char *at;
  size_t n, room;
} Vocabulary;

static void put(Vocabulary *v, const void *s, size_t n) {
  if (v->n + n > v->room) {
    v->room = 2 * (v->n + n);
    cr_assert_not_null(v->at = realloc(v->at, v->room));
  }
  memcpy(v->at + v->n, s, n);
  v->n += n;
}

static double seconds_of(const HostTokenizer *t, const char *text, size_t n) {
  HostTokenizerOptions how = host_tokenizer_options(t);
  HostIds ids;
  HostError err;
  clock_t start = clock();
  cr_assert(host_tokenizer_encode(t, text, n, &how, &ids, NULL, &err), "%s", err.text);
  host_ids_free(&ids);
  return (double)(clock() - start) / CLOCKS_PER_SEC;
}

// What takes the square of a text's length takes hours for a megabyte.
enum { MEGABYTE = 1 << 20 };
static void expect_soon(Vocabulary *v, const char *pattern, size_t bytes) {
  HostError err;
  size_t n = strlen(pattern);
  char *text = malloc(bytes);
  HostTokenizer *t = host_tokenizer_load_memory(v->at, v->n, NULL, &err);
  cr_assert(text && t, "%s", err.text);
  for (size_t i = 0; i < bytes; i++) text[i] = pattern[i % n];
  double took = seconds_of(t, text, bytes);
  cr_expect_lt(took, 30, "'%s' took %.1f s", pattern, took);
  host_tokenizer_free(t);
  free(text);
}

static const char *const patterns[] = {
    "a",
    ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
     "aaaaaaaaaaaaaaaaaa "),
    "\xcc\x81\xcc\xa3",
    "&amp;",
    "\xc3\x83\xc2\xa9",
    "[MASK]",
    "\x1b[0",
    "'s<|"};
enum { PATTERNS = sizeof patterns / sizeof *patterns };

Test(growth, pieces_that_begin_each_other, .timeout = 300) {
  Vocabulary v = {0};
  char run[128] = "##";
  put(&v, "[UNK]\n", 6);
  memset(run + 2, 'a', 100);
  for (size_t n = 1; n <= 100; n++) {
    run[2 + n] = '\n';
    put(&v, run + 2, n + 1);
    if (n < 3) put(&v, run, n + 3);
    run[2 + n] = 'a';
  }
  for (size_t i = 0; i < PATTERNS; i++) expect_soon(&v, patterns[i], MEGABYTE);
  free(v.at);
}

Test(growth, merges_of_one_letter, .timeout = 300) {
  Vocabulary v = {0};
  char line[600];
  put(&v, "#version\n", 9);
  for (size_t n = 1; n < 256; n++) { // a a, aa a, aaa a, ...
    memset(line, 'a', n);
    memcpy(line + n, " a\n", 3);
    put(&v, line, n + 3);
  }
  for (size_t i = 0; i < PATTERNS; i++) expect_soon(&v, patterns[i], MEGABYTE);
  free(v.at);
}

static void put_piece(Vocabulary *v, const char *s, size_t n, float score, char type) {
  char head[8] = {0x0a, 0, 0, 0x0a, 0, 0}, tail[7] = {0x15, 0, 0, 0, 0, 0x18, type};
  size_t size = 3 + n + sizeof tail;
  head[1] = (char)(128 | (size & 127)), head[2] = (char)(size >> 7);
  head[4] = (char)(128 | (n & 127)), head[5] = (char)(n >> 7);
  memcpy(tail + 1, &score, sizeof score);
  put(v, head, 6);
  put(v, s, n);
  put(v, tail, sizeof tail);
}

// 1,024 pieces of one letter: every byte of a text begins as many.
Test(growth, long_pieces_of_sentencepiece, .timeout = 300) {
  Vocabulary v = {0};
  char run[1024];
  memset(run, 'a', sizeof run);
  put_piece(&v, "<unk>", 5, 0, 2);
  for (size_t n = 1; n <= sizeof run; n++) put_piece(&v, run, n, -(float)n, 1);
  for (size_t i = 0; i < PATTERNS; i++) expect_soon(&v, patterns[i], MEGABYTE / 8);
  free(v.at);
}

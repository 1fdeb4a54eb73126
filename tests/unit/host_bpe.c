// host_bpe.c - the tokenizer on a tiny vocabulary of our own, text cleaning and repair, and the golden
// cases when the shared folder is there.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../../host/bpe.h"
#include "../../host/check_host.h"
#include "../../host/text.h"
#include "host_support.h"

// Merge k has id 512 + k: he 512, ll 513, hell 514, hello</w> 515, th 516, the</w> 517, ab 518, abc 519, and a merge
// of equal letters.
static const char tiny[] = "#version: tiny\nh e\nl l\nhe ll\nhell o</w>\nt h\nth e</w>\na b\nab c\nx x\n";
enum { TINY_MERGES = 9, TINY_START = 512 + TINY_MERGES, TINY_END };

static const HostBpeOptions plain = {.start = -1, .end = -1};

static HostBpe *load_tiny(void) {
  HostError err;
  HostBpe *b = host_bpe_load_memory(tiny, strlen(tiny), &err);
  cr_assert_not_null(b, "%s", err.text);
  return b;
}

static void expect_ids(const HostBpe *b, const char *text, const HostBpeOptions *how, size_t n, const int32_t *want) {
  HostIds ids;
  cr_assert(host_bpe_encode(b, text, strlen(text), how, &ids, NULL));
  cr_expect_eq(ids.n, n, "'%s': %zu ids, wanted %zu", text, ids.n, n);
  for (size_t i = 0; i < n && i < ids.n; i++)
    cr_expect_eq(ids.id[i], want[i], "'%s': id %zu is %d, wanted %d", text, i, ids.id[i], want[i]);
  host_ids_free(&ids);
}

#define EXPECT_IDS(b, text, how, ...)                                                                                  \
  expect_ids(b, text, how, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (int32_t[]){__VA_ARGS__})

Test(bpe, merges_by_rank) {
  HostBpe *b = load_tiny();
  cr_assert_eq(host_bpe_size(b), 512 + TINY_MERGES + 2);
  EXPECT_IDS(b, "hello", &plain, 515);
  EXPECT_IDS(b, "  The HELLO\n", &plain, 517, 515);
  EXPECT_IDS(b, "hell", &plain, 512, 'l' - 33, 256 + 'l' - 33); // the last l is "l</w>"
  EXPECT_IDS(b, "abcd", &plain, 519, 256 + 'd' - 33);
  EXPECT_IDS(b, "xxxxx", &plain, 520, 520, 256 + 'x' - 33);
  EXPECT_IDS(b, "12", &plain, 256 + '1' - 33, 256 + '2' - 33);
  EXPECT_IDS(b, "<|startoftext|> hello<|ENDOFTEXT|>", &plain, TINY_START, 515, TINY_END);
  expect_ids(b, " \t ", &plain, 0, NULL);
  host_bpe_free(b);
}

Test(bpe, cuts_and_pads) {
  HostBpe *b = load_tiny();
  HostBpeOptions how = host_bpe_clip_options(b, 4);
  EXPECT_IDS(b, "hello", &how, TINY_START, 515, TINY_END, 0);
  EXPECT_IDS(b, "hello the hello the", &how, TINY_START, 515, 517, TINY_END);
  how.end = -1;
  EXPECT_IDS(b, "hello the hello the", &how, TINY_START, 515, 517, 515);
  host_bpe_free(b);
}

// The textbook algorithm: find the best pair, merge all of it from the left, repeat.
static size_t naive(const char *word, char out[][64]) {
  static const char *const merge[TINY_MERGES][2] = {{"h", "e"},        {"l", "l"},  {"he", "ll"},
                                                    {"hell", "o</w>"}, {"t", "h"},  {"th", "e</w>"},
                                                    {"a", "b"},        {"ab", "c"}, {"x", "x"}};
  size_t n = strlen(word);
  for (size_t i = 0; i < n; i++) snprintf(out[i], 64, "%c%s", word[i], i + 1 == n ? "</w>" : "");
  for (;;) {
    int best = TINY_MERGES;
    for (size_t i = 0; i + 1 < n; i++)
      for (int m = 0; m < best; m++)
        if (!strcmp(out[i], merge[m][0]) && !strcmp(out[i + 1], merge[m][1])) best = m;
    if (best == TINY_MERGES) return n;
    for (size_t i = 0; i + 1 < n; i++) {
      if (strcmp(out[i], merge[best][0]) || strcmp(out[i + 1], merge[best][1])) continue;
      strcat(out[i], merge[best][1]);
      memmove(out[i + 1], out[i + 2], (n - i - 2) * sizeof out[0]);
      n--;
    }
  }
}

Test(bpe, agrees_with_the_textbook_algorithm) {
  HostBpe *b = load_tiny();
  uint32_t seed = 1;
  for (int round = 0; round < 3000; round++) {
    char word[24], part[26][64], joined[400] = "";
    size_t len = 1 + (size_t)round % 22;
    for (size_t i = 0; i < len; i++) {
      seed = seed * 1664525u + 1013904223u;
      word[i] = "heloxabct"[(seed >> 16) % 9];
    }
    word[len] = '\0';
    size_t want = naive(word, part);
    HostIds ids;
    cr_assert(host_bpe_encode(b, word, len, &plain, &ids, NULL));
    cr_assert_eq(ids.n, want, "%s", word);
    for (size_t i = 0; i < ids.n; i++) { // compare texts: decoding shows </w> as a space
      char *got = host_bpe_decode(b, &ids.id[i], 1, NULL, NULL);
      char *mark = strstr(part[i], "</w>");
      if (mark) strcpy(mark, " ");
      cr_assert_str_eq(got, part[i], "%s", word);
      strcat(joined, got);
      free(got);
    }
    char *all = host_bpe_decode(b, ids.id, ids.n, NULL, NULL);
    cr_assert_str_eq(all, joined);
    free(all);
    host_ids_free(&ids);
  }
  host_bpe_free(b);
}

Test(bpe, long_words_take_no_time) {
  HostBpe *b = load_tiny();
  size_t n = 2 << 20;
  char *text = malloc(n);
  memset(text, 'x', n);
  HostIds ids;
  cr_assert(host_bpe_encode(b, text, n, &plain, &ids, NULL));
  cr_assert_eq(ids.n, n / 2 + 1);
  host_ids_free(&ids);
  for (size_t i = 0; i < n; i++) text[i] = "&amp;"[i % 5]; // entities and damage all over
  HostBpeOptions fixed = plain;
  fixed.fix_text = true;
  cr_assert(host_bpe_encode(b, text, n, &fixed, &ids, NULL));
  host_ids_free(&ids);
  free(text);
  host_bpe_free(b);
}

Test(bpe, decodes_bytes_and_refuses_strange_ids) {
  HostBpe *b = load_tiny();
  HostError err;
  HostIds ids;
  static const char text[] = "caf\xc3\xa9 \xf0\x9f\x98\x80 \0!";
  size_t n;
  cr_assert(host_bpe_encode(b, text, sizeof text - 1, &plain, &ids, &err));
  char *got = host_bpe_decode(b, ids.id, ids.n, &n, &err);
  cr_assert(n == sizeof text && !memcmp(got, "caf\xc3\xa9 \xf0\x9f\x98\x80 \0! ", n), "'%s'", got);
  free(got);
  host_ids_free(&ids);
  int32_t half = 94 + 0xe2 - 0xae + 12; // the byte e2 alone is not UTF-8
  got = host_bpe_decode(b, &half, 1, &n, &err);
  cr_assert_str_eq(got, "\xef\xbf\xbd");
  free(got);
  for (int32_t bad = -1; bad < 100000; bad += 100000 - 1) cr_assert_null(host_bpe_decode(b, &bad, 1, &n, &err));
  host_bpe_free(b);
}

Test(bpe, loads_gzip_and_refuses_damage) {
  char path[64];
  HostError err;
  snprintf(path, sizeof path, "/tmp/sy_bpe_%ld.gz", (long)getpid());
  gzFile f = gzopen(path, "wb");
  gzwrite(f, tiny, sizeof tiny - 1);
  gzclose(f);
  HostBpe *b = host_bpe_load(path, &err);
  cr_assert_not_null(b, "%s", err.text);
  EXPECT_IDS(b, "hello", &plain, 515);
  host_bpe_free(b);
  size_t n;
  char *packed = host_read_file(path, 1 << 20, &n, &err);
  for (size_t cut = 2; cut < n; cut++) cr_expect_null(host_bpe_load_memory(packed, cut, &err));
  free(packed);
  unlink(path);
  cr_assert_null(host_bpe_load(path, &err));
  cr_assert_null(host_bpe_load_memory("head\nonly\n", 10, &err));
  cr_assert_null(host_bpe_load_memory("head\na b\n", 9, &err));
  cr_assert_null(host_bpe_load_memory("#version\na b c\n", 15, &err));
  cr_assert_null(host_bpe_load_memory("", 0, &err));
  b = host_bpe_load_memory("#version", 8, &err); // bytes only
  cr_assert(b && host_bpe_size(b) == 514);
  host_bpe_free(b);
}

// ---- text ----

typedef bool (*Step)(HostText *t);

static bool clean(HostText *t) {
  return host_clean_text(t, false);
}

static void expect_text(Step step, const char *in, const char *want) {
  HostText t = {0};
  size_t n;
  cr_assert(host_text_from_utf8(&t, in, strlen(in)) && step(&t));
  char *got = host_text_to_utf8(&t, &n);
  cr_expect_str_eq(got, want, "'%s' became '%s', wanted '%s'", in, got, want);
  free(got);
  host_text_free(&t);
}

Test(text, unescapes_html_like_python) {
  static const char *const pair[][2] = {
      {"&lt;b&gt; &amp;amp; &copy &eacute;", "<b> &amp; © é"},
      {"&notit; &notin; &noti", "¬it; ∉ ¬i"}, // longest known prefix
      {"&#65;&#x42;&#X43 &#128; &#0;", "ABC € \xef\xbf\xbd"},
      {"&#xD800; &#1114112; &#x1;|&#xFFFF;|", "\xef\xbf\xbd \xef\xbf\xbd ||"},
      {"& &; &# &#x; &unknown; &a", "& &; &# &#x; &unknown; &a"},
      {"&NotEqualTilde;", "≂̸"},
  };
  for (size_t i = 0; i < sizeof pair / sizeof pair[0]; i++) expect_text(host_unescape_html, pair[i][0], pair[i][1]);
}

Test(text, lowers_like_python) {
  expect_text(host_lower, "ÀÉ ẞ İI ŠĐ", "àé ß i̇i šđ");
  expect_text(host_lower, "ΣΑΣ ΟΔΟΣ. Σ ΑΣ'Α", "σας οδος. σ ασ'α");
  expect_text(host_lower_each, "ΣΑΣ ΟΔΟΣ. Σ ΑΣ'Α", "σασ οδοσ. σ ασ'α");
  expect_text(host_lower, "🅐Σ ΑΣ🅐", "🅐ς ασ🅐"); // the sign is a capital letter, and no letter
}

// Every line of SpecialCasing.txt, and the letters whose lower case is far away or of another kind, one by one.
Test(text, lowers_special_casings) {
  static const char *const pair[][2] = {
      {"İ", "i̇"}, // the one letter whose lower case is two
      // only their upper and title case is special
      {"ßŉǰΐΰևẖẗẘẙẚﬀﬁﬂﬃﬄﬅﬆﬓﬔﬕﬖﬗὐὒὔὖ", "ßŉǰΐΰևẖẗẘẙẚﬀﬁﬂﬃﬄﬅﬆﬓﬔﬕﬖﬗὐὒὔὖ"},
      {"ᾶῆῒΐῖῗῢΰῤῦῧῶᾳῃῳᾲᾴῂῄῲῴᾷῇῷ", "ᾶῆῒΐῖῗῢΰῤῦῧῶᾳῃῳᾲᾴῂῄῲῴᾷῇῷ"},
      {"ᾈᾉᾊᾋᾌᾍᾎᾏᾘᾙᾚᾛᾜᾝᾞᾟᾨᾩᾪᾫᾬᾭᾮᾯᾼῌῼ", "ᾀᾁᾂᾃᾄᾅᾆᾇᾐᾑᾒᾓᾔᾕᾖᾗᾠᾡᾢᾣᾤᾥᾦᾧᾳῃῳ"},
      // special in Lithuanian, Turkish and Azeri only
      {"I J Į Ì Í Ĩ I\xcc\x87 I\xcc\x80 J\xcc\x81 ı i", "i j į ì í ĩ i\xcc\x87 i\xcc\x80 j\xcc\x81 ı i"},
      {"ẞ ǄǅǇǈǊǋǱǲ K Å Ω ϴ Ⱥ Ⱦ Ɐ Ꭰ Ᏽ Ა 𐐀 𐒰 𞤀 Ⅷ Ⓩ Ａ Ჿ Ⴀ",
       "ß ǆǆǉǉǌǌǳǳ k å ω θ ⱥ ⱦ ɐ ꭰ ᏽ ა 𐐨 𐓘 𞤢 ⅷ ⓩ ａ ჿ ⴀ"},
  };
  for (size_t i = 0; i < sizeof pair / sizeof pair[0]; i++) {
    expect_text(host_lower, pair[i][0], pair[i][1]);
    expect_text(host_lower_each, pair[i][0], pair[i][1]);
  }
}

Test(text, normal_forms) {
  expect_text(host_decompose, "Å \xc3\xa9 각", "A\xcc\x8a e\xcc\x81 \xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8");
  expect_text(host_decompose, "a\xcc\x81\xcc\xa3\xcc\x80", "a\xcc\xa3\xcc\x81\xcc\x80"); // by class, equal ones stay
  expect_text(host_compose, "a\xcc\x81\xcc\xa3 e\xcc\x81 \xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8 \xe2\x84\xab",
              "\xe1\xba\xa1\xcc\x81 é 각 Å");
  expect_text(host_compose, "\xcc\x81\xcc\xa3x\xe0\xa5\x98", "\xcc\xa3\xcc\x81x\xe0\xa4\x95\xe0\xa4\xbc");
}

// Half a million marks on one letter: work that grows with their square would not end.
Test(text, many_marks_take_no_time, .timeout = 60) {
  enum { MARKS = 500000 };
  for (int form = 0; form < 3; form++) {
    HostText t = {0};
    cr_assert(host_text_push(&t, 'a'));
    for (uint32_t i = 0; i < MARKS; i++) cr_assert(host_text_push(&t, i % 2 ? 0x323 : 0x301));
    cr_assert(form == 0 ? host_compose(&t) : form == 1 ? host_decompose(&t) : host_fix_text(&t));
    cr_expect_eq(t.n, form == 1 ? MARKS + 1 : MARKS);
    cr_expect_eq(t.at[0], form == 1 ? 'a' : 0x1ea1);
    cr_expect_eq(t.at[MARKS - 1], 0x301);
    host_text_free(&t);
  }
}

Test(text, cleans_and_survives_invalid_utf8) {
  expect_text(clean, " \t A\xc2\xa0\xe2\x80\x83 b &nbsp; ", "a b");
  expect_text(clean, "x\xff\xe2\x82y\xed\xa0\x80", "x\xef\xbf\xbd\xef\xbf\xbdy\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

Test(text, repairs_damage) {
  static const char *const pair[][2] = {
      {"schÃ¶n cafÃ© Ãœber StraÃŸe", "schön café Über Straße"},
      {"â€œhiâ€\xc2\x9d itâ€™s", "\"hi\" it's"},
      {"Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет"},
      {"æ—¥æœ¬èªž", "日本語"},
      {"ðŸ˜€ ok", "😀 ok"},
      {"Å‚Ã³dÅº", "łódź"},
      {"voilÃ  le cafÃ©", "voilà le café"}, // the first space was a no-break space, byte a0
      {"cafÃ© Ã la", "café à la"},
      {"cafÃ© Ã s vezes", "café às vezes"},
      {"â€œquotedâ€\xef\xbf\xbd", "\"quoted\xef\xbf\xbd"},
      {"ÃƒÂ¶", "ö"}, // twice
      {"‘mixedâ€™ sch\xc3\x83\xc2\xb6n €", "'mixed' schön €"},
      {"wait\xc2\x85 ok", "wait… ok"},
      {"“a” ‘b’ ʼn ﬁ ﬃ Ǆ Ａ１！　ｶﾞ", "\"a\" 'b' 'n fi ffi DŽ A1! ガ"},
      {"a\r\nb\rc\xe2\x80\xa8"
       "d",
       "a\nb\nc\nd"},
      {"\x1b[1;31mred\x1b[0m\a \xef\xbb\xbfx", "red x"},
      {"e\xcc\x81 \xe2\x84\xab", "é Å"},
      {"×¢×‘×¨×™×ª", "עברית"},
      {"Ø§Ù„Ø¹Ø±Ø¨ÙŠØ©", "العربية"},
      {"caf√© sch√∂n", "café schön"}, // macroman
      {"caf├⌐", "café"},              // cp437
      {"it‚Äôs", "it's"},
      {"ÃƒÂ©tÃƒÂ©", "été"},
      {"naÃ¯ve faÃ§ade", "naïve façade"},
      {"1 â‚¬ Â£5 Â½", "1 € £5 ½"},
      {"&lt;ok&gt; &EACUTE; &unknown;", "<ok> É &unknown;"},
      {"<a> &amp;", "<a> &amp;"},
  };
  for (size_t i = 0; i < sizeof pair / sizeof pair[0]; i++) expect_text(host_fix_text, pair[i][0], pair[i][1]);
}

Test(text, leaves_sound_text_alone) {
  static const char *const sound[] = {
      "café naïve résumé Zürich",
      "not such a fan of Charlotte Brontë…",
      "IKEA® AHÅ™ CAFÉ… NESCAFÉ® 5 Å²",
      "Ελληνικά κείμενο",
      "Русский текст, привет",
      "Türkçe: İstanbul ışık",
      "日本語 中文 한국어 ไทย עברית العربية",
      "über — größer… ±5 °C × ½ ¿qué? ¡olé! «où»",
      "SÃO PAULO, MAÇÃ, ÂNGULO, PÃO",
      "Ñandú, peña, Ø, ß, þ :þ",
      "emoji 😀❤️👍🏽",
      "Łódź, Kraków, žluťoučký kůň",
      "x² y³ H₂O ⅔ ∑ ≠",
      "Đà Nẵng, Việt Nam",
      "L’été à la plage",
      "l’étoile",
      "d’où",
      "—Écoute",
      "«États",
      "…à suivre",
      "10 Ω±5%",
      "3×£5",
      "Ø½ inch",
      "2×½",
      "√2 ≈ 1.41, √π",
      "¬p ∧ q",
      "┌─┐│└┘",
      "Niccolò”…»",
      "“OLÁ” «JÁ» É”",
      "Åland, på ö, Århus",
      "Straße, Fußgänger, groß",
      "ça va? Où ça? À bientôt!",
  };
  for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
    HostText t = {0};
    size_t n;
    cr_assert(host_text_from_utf8(&t, sound[i], strlen(sound[i])) && host_fix_text(&t));
    char *got = host_text_to_utf8(&t, &n);
    // Curly quotes do become straight.
    char want[256] = "";
    size_t at = 0;
    for (const char *c = sound[i]; *c;) {
      bool single = !strncmp(c, "’", 3), twofold = !strncmp(c, "“", 3) || !strncmp(c, "”", 3);
      want[at++] = single ? '\'' : twofold ? '"' : *c;
      c += single || twofold ? 3 : 1;
    }
    cr_expect(!strcmp(got, want), "'%s' became '%s'", sound[i], got);
    free(got);
    host_text_free(&t);
  }
}

Test(bpe, golden_cases) {
  char shared[512], dir[600], path[700];
  if (!shared_golden(shared)) cr_skip_test("skipped: no shared folder");
  snprintf(dir, sizeof dir, "%s/tokenizers", shared);
  snprintf(path, sizeof path, "%s/cases.json", dir);
  size_t n = 0;
  int passed = 0;
  HostCheckResult r;
  char *json = host_read_file(path, 1 << 24, &n, NULL);
  cJSON *root = cJSON_Parse(json), *c;
  cr_assert_not_null(root);
  cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "cases")) {
    host_check_tokenize(c, dir, shared, &r);
    cr_expect_eq(r.verdict, HOST_PASS, "%s: %s", cJSON_GetObjectItem(c, "name")->valuestring, r.text);
    passed++;
    cJSON_ReplaceItemInObject(c, "output", cJSON_CreateString("nothing"));
    cr_expect_not(host_check_tokenize(c, dir, shared, &r), "a missing output must not pass");
  }
  cr_expect_gt(passed, 0);
  cJSON_Delete(root);
  free(json);
}

// What a tokenizer does not give is a failed case, whatever its results are asked as.
Test(bpe, check_of_what_a_tokenizer_does_not_give) {
  static const char *const tokenizers[] = {"clean_text", "clip_bpe"};
  static const char *const as[] = {"ids", "text", "cleaned", "pieces", "types", "normalised", "spans", "words"};
  char dir_name[] = "/tmp/host_bpe.XXXXXX", text[512], path[64], merges[64];
  cr_assert_not_null(mkdtemp(dir_name));
  snprintf(path, sizeof path, "%s/rows.json", dir_name);
  snprintf(merges, sizeof merges, "%s/merges", dir_name);
  FILE *f = fopen(path, "w"), *m = fopen(merges, "w");
  fputs("[[\"a\", [[0, 1]]]]", f);
  fputs("#version: tiny\na b\n", m);
  cr_assert(fclose(f) == 0 && fclose(m) == 0);
  for (unsigned i = 0; i < 16; i++) {
    snprintf(
        text, sizeof text,
        "{\"tokenizer\": \"%s\", \"vocabulary\": \"merges\", \"file\": \"rows.json\", \"input\": 0, \"output\": 1, "
        "\"options\": {\"as\": \"%s\"}}",
        tokenizers[i / 8], as[i % 8]);
    cJSON *c = cJSON_Parse(text);
    HostCheckResult r;
    host_check_tokenize(c, dir_name, NULL, &r);
    cr_expect_eq(r.verdict, i % 8 == 7 ? HOST_SKIP : HOST_FAIL, "%s as %s: %s", tokenizers[i / 8], as[i % 8], r.text);
    cJSON_Delete(c);
  }
  remove(path);
  remove(merges);
  rmdir(dir_name);
}

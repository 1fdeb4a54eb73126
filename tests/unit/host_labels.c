// host_labels.c - lists of names: lines and JSON, as editors and other programs leave them, and what is no such list.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../host/labels.h"
#include "../../host/textfile.h"

static char path[64];

static void write_file(const char *bytes, size_t n) {
  snprintf(path, sizeof path, "/tmp/sy_labels_%ld", (long)getpid());
  FILE *f = fopen(path, "wb");
  cr_assert(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

static void expect_bytes(const char *bytes, size_t n, size_t count, const char *const *want) {
  HostLabels l;
  HostError err = {.text = ""};
  write_file(bytes, n);
  cr_assert(host_labels_load(path, &l, &err), "'%s': %s", bytes, err.text);
  cr_expect_eq(l.count, count, "'%s' has %zu labels", bytes, l.count);
  for (size_t i = 0; i < count && i < l.count; i++) cr_expect_str_eq(l.name[i], want[i], "'%s'", bytes);
  host_labels_free(&l);
  unlink(path);
}
#define EXPECT(text, ...)                                                                                              \
  expect_bytes(text, sizeof(text) - 1, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),                         \
               (const char *const[]){__VA_ARGS__})

static void refuse_bytes(const char *bytes, size_t n, const char *reason) {
  HostLabels l;
  HostError err = {.text = ""};
  write_file(bytes, n);
  cr_expect_not(host_labels_load(path, &l, &err), "'%s' was taken", bytes);
  cr_expect(strstr(err.text, reason) && strstr(err.text, path), "'%s': '%s' lacks '%s'", bytes, err.text, reason);
  unlink(path);
}
#define REFUSE(text, reason) refuse_bytes(text, sizeof(text) - 1, reason)

Test(labels, lines) {
  EXPECT("cat\ndog, hot\n", "cat", "dog, hot");
  EXPECT("cat\r\ndog", "cat", "dog");
  EXPECT("cat\n dog \n\n \t\n\n", "cat", " dog ");
  EXPECT("[cat]\n{dog}\n", "[cat]", "{dog}");
  EXPECT("\xef\xbb\xbfk\xc3\xa4tzchen\n", "k\xc3\xa4tzchen");
  EXPECT("\xff\xfe"
         "c\0\xe4\0\r\0\n\0"
         "d\0",
         "c\xc3\xa4", "d");
  EXPECT("\xfe\xff\0c\xd8\x3d\xde\0\0\n", "c\xf0\x9f\x98\x80");
  REFUSE("", "no labels");
  REFUSE("\n \n", "no labels");
  REFUSE("cat\n\ndog\n", "line 2 is empty");
  REFUSE("cat\n \t\r\ndog\n", "line 2 is empty");
  REFUSE("cat\nk\xe4tzchen\n", "line 2 is not UTF-8");
  REFUSE("cat\nd\0g\n", "zero bytes");
  REFUSE("\xff\xfe"
         "c\0\0\xd8"
         "d\0",
         "UTF-16 that is damaged at byte 4");
  REFUSE("\xff\xfe"
         "c",
         "UTF-16 that is damaged at byte 2");
  REFUSE("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "git lfs pull");
  REFUSE("<!DOCTYPE html><html>\n", "a page of HTML");
  REFUSE("<Error><Code>AccessDenied</Code></Error>", "a server's message");
  REFUSE("\x1f\x8b\x08\0\0\0\0\0\0\3", "packed with gzip; unpack it first");
  REFUSE("PK\3\4\x14\0\0\0", "a zip archive; unpack it first");
  HostLabels l;
  cr_expect_not(host_labels_load("/nonexistent/labels", &l, NULL));
}

Test(labels, lines_with_numbers) {
  EXPECT("0\ttench\n1\tgoldfish\n", "tench", "goldfish");
  EXPECT("2\thammerhead\n0\ttench\n1\tgoldfish, carp\n", "tench", "goldfish, carp", "hammerhead");
  EXPECT("1,goldfish\n0,tench\n", "tench", "goldfish");
  EXPECT("1: goldfish\r\n0: \"tench\"\r\n\r\n", "tench", "goldfish");
  EXPECT("goldfish;1\ntench;0\n", "tench", "goldfish");
  EXPECT("2,goldfish\n1,tench\n", "tench", "goldfish");
  EXPECT("1,\"goldfish, carp\"\n0,\"a \"b\" c\"\n", "\"a \"b\" c\"", "goldfish, carp");
  EXPECT("0\ttench\n2\tgoldfish\n", "0\ttench", "2\tgoldfish"); // numbers of their own
  EXPECT("0\ttench\n0\tgoldfish\n", "0\ttench", "0\tgoldfish");
  EXPECT("1 cat\n0 cats\n", "1 cat", "0 cats");
  EXPECT("1\n0\n", "1", "0");
  EXPECT("0,tench\ngoldfish\n", "0,tench", "goldfish");
  EXPECT("7:00\n", "7:00");
  EXPECT("0,cat,1\n1,dog,0\n", "cat,1", "dog,0");
  EXPECT("99999999999999999999,a\n0,b\n", "99999999999999999999,a", "0,b");
  REFUSE("0,tench\n1,\n", "line 2 is empty");
}

Test(labels, json) {
  EXPECT("[\"cat\", \"dog, hot\"]", "cat", "dog, hot");
  EXPECT("\xef\xbb\xbf \n[ \"cat\"\r\n,\"dog\" ] \n", "cat", "dog");
  EXPECT("{\"0\": \"cat\", \"1\": \"dog\"}", "cat", "dog");
  EXPECT("{\"1\": \"dog\", \"0\": \"cat\"}", "cat", "dog");
  EXPECT("{\"0\": [\"n01440764\", \"tench\"], \"1\": [\"n01443537\", \"goldfish\"]}", "tench", "goldfish");
  EXPECT("[[\"n01440764\", \"tench\"], [\"goldfish\"]]", "tench", "goldfish");
  EXPECT("{\"tench\": 0, \"10\": 1}", "tench", "10");
  EXPECT("{\"id2label\": {\"0\": \"cat\"}, \"label2id\": {\"x\": 0}}", "cat");
  EXPECT("{\"a\": [1, {\"id2label\": {}}, \"}\\\"\"], \"b\": null, \"label2id\": {\"dog\": 1, \"cat\": 0}}", "cat",
         "dog");
  EXPECT("[\"\\u00e4\\ud83d\\ude00\\n\\\"\\/\\ud83dx\"]", "\xc3\xa4\xf0\x9f\x98\x80\n\"/\xef\xbf\xbdx");
  REFUSE("{\"0\": \"cat\", \"2\": \"dog\"}", "there is a class 2, but not as many names");
  REFUSE("{\"0\": \"cat, tom\", \"2\": \"dog\"}", "class 1 of 3 has no name");
  REFUSE("{\"0\": \"cat\", \"3\": \"dog\"}", "there is a class 3, but not as many names");
  REFUSE("{\"0\": \"cat\", \"0\": \"dog\"}", "class 0 stands twice");
  REFUSE("{\"cat\": 0, \"dog\": 0}", "class 0 stands twice");
  REFUSE("{\"0\": \"cat\", \"dog\": 1}", "mixed");
  REFUSE("{\"cat\": 0.5}", "a number of a class is expected");
  REFUSE("{\"cat\": 99999999999999999999999}", "too large");
  REFUSE("{\"categories\": [{\"id\": 0, \"name\": \"cat\"}]}", "a number of a class is expected");
  REFUSE("{0: 'tench', 1: 'goldfish'}", "JSON, byte");
  REFUSE("[\"cat\", \"\"]", "label 1 is empty");
  REFUSE("[\"cat\", 3]", "a string is expected");
  REFUSE("[\"cat\", \"d\\u0000g\"]", "a zero character");
  REFUSE("[\"cat\", \"k\xe4tzchen\"]", "label 1 is not UTF-8");
  REFUSE("[\"cat\",", "a value is expected");
  REFUSE("[\"cat", "not ended");
  REFUSE("[\"c\\qt\"]", "this escape is none");
  REFUSE("[\"cat\"] dog", "something stands behind the end");
  REFUSE("[]", "no labels");
  REFUSE("{}", "a string is expected");
}

Test(labels, json_cut_short_and_deep) {
  static const char good[] = "{\"x\": [{}, \"\\u00e4\"], \"id2label\": {\"0\": [\"n0\", \"c\\n\"], \"1\": \"d\"}}";
  for (size_t n = 1; n + 1 < sizeof good; n++) {
    HostLabels l;
    HostError err = {.text = ""};
    write_file(good, n);
    cr_expect_not(host_labels_load(path, &l, &err) && l.count != 1, "%zu bytes", n); // "{" alone is a line
    host_labels_free(&l);
  }
  enum { DEPTH = 1 << 20 };
  char *deep = malloc(DEPTH);
  memset(deep, '[', DEPTH);
  refuse_bytes(deep, DEPTH, "too many brackets");
  free(deep);
}

Test(labels, lines_as_they_are) {
  HostLabels l;
  write_file("\xef\xbb\xbf"
             "a\r\n\nb\xff\n\n",
             11);
  cr_assert(host_lines_load(path, &l, NULL));
  cr_expect_eq(l.count, 4);
  cr_expect_str_eq(l.name[0], "a");
  cr_expect_str_eq(l.name[1], "");
  cr_expect_str_eq(l.name[2], "b\xff");
  host_lines_trim(&l);
  cr_expect_eq(l.count, 3);
  host_labels_free(&l);
  unlink(path);
}

// data_source.c - sources of training data: every kind of file, what is wrong with them, order and shares.
#include "data_support.h"

#include <zlib.h>

#include "data/source.h"

TestSuite(source, .init = data_folder_begin, .fini = data_folder_end);

static const DataOptions plain = {0};

static Data *open_one(const char *path, const DataOptions *o) {
  HostError err;
  Data *d = data_open(&path, NULL, 1, o, &err);
  cr_assert_not_null(d, "%s", err.text);
  return d;
}

static void refuses(const char *path, const char *why) {
  HostError err;
  Data *d = data_open(&path, NULL, 1, &plain, &err);
  cr_assert_null(d, "%s", path);
  cr_expect_not_null(strstr(err.text, why), "'%s' says nothing of '%s'", err.text, why);
  cr_expect_not_null(strstr(err.text, data_folder), "'%s' names no file", err.text);
}

static DataSample sample(const Data *d, uint32_t i) {
  DataSample s;
  HostError err;
  cr_assert(data_read(d, i, &s, &err), "%s", err.text);
  return s;
}

static void bad_sample(const Data *d, uint32_t i, const char *why) {
  DataSample s;
  HostError err;
  cr_assert(!data_read(d, i, &s, &err));
  cr_expect_not_null(strstr(err.text, why), "'%s' says nothing of '%s'", err.text, why);
}

static const char *text_of(const DataSample *s, const char *names, size_t i) {
  const DataField *f = data_field(s, names);
  cr_assert(f && f->kind == DATA_TEXT && f->n > i, "no text %zu of %s", i, names);
  return f->text[i];
}
static double number_of(const DataSample *s, const char *names, size_t i) {
  double v = -1e9;
  const DataField *f = data_field(s, names);
  cr_assert(f && data_number(f, i, &v), "no number %zu of %s", i, names);
  return v;
}
static int label_of(const Data *d, const DataSample *s) {
  int32_t v = -1;
  HostError err;
  const DataField *f = data_field(s, "label");
  cr_assert_not_null(f);
  cr_assert(data_class(d, s, f, &v, &err), "%s", err.text);
  return v;
}
static unsigned red_of(const DataSample *s) {
  HostImage im;
  HostError err;
  const DataField *f = data_field(s, "image");
  cr_assert_not_null(f);
  cr_assert(data_picture(s, f, 0, &im, &err), "%s", err.text);
  unsigned v = im.pixel[0];
  host_image_free(&im);
  return v;
}

Test(source, folders) {
  data_ppm("a/dog/1.ppm", 2, 2, 10, 0, 0);
  data_ppm("a/dog/more/2.ppm", 2, 2, 11, 0, 0);
  data_ppm("a/dog house/1.ppm", 2, 2, 12, 0, 0); // sorts in front of dog/, behind dog
  data_ppm("a/cat/9.ppm", 2, 2, 13, 0, 0);
  data_text_file("a/cat/notes.txt", "no picture");
  data_text_file("a/cat/x.gif", "not read");
  Data *d = open_one(data_path("a/"), &plain);
  cr_assert_eq(data_count(d), 4);
  const HostLabels *c = data_classes(d);
  cr_assert_eq(c->count, 3);
  cr_expect_str_eq(c->name[0], "cat");
  cr_expect_str_eq(c->name[1], "dog");
  cr_expect_str_eq(c->name[2], "dog house");
  static const unsigned red[] = {13, 12, 10, 11};
  static const int label[] = {0, 2, 1, 1};
  for (uint32_t i = 0; i < 4; i++) {
    DataSample s = sample(d, i);
    cr_expect_eq(red_of(&s), red[i]);
    cr_expect_eq(label_of(d, &s), label[i]);
    data_sample_free(&s);
  }
  Buf out = {0};
  data_describe(d, 10, &out);
  cr_expect_not_null(strstr(out.s, "4 samples (1 file passed over: 1 GIF)"), "%s", out.s);
  cr_expect_not_null(strstr(out.s, "3 classes: cat, dog, dog house"), "%s", out.s);
  buf_free(&out);
  data_close(d);
  mkdir(data_path("empty"), 0777);
  refuses(data_path("empty"), "no pictures");
}

Test(source, json_lines) {
  data_ppm("photos/a.ppm", 2, 2, 7, 0, 0);
  const char *path = data_text_file(
      "t.jsonl",
      "\xef\xbb\xbf{\"image\": \"photos/a.ppm\", \"captions\": [\"a dog\", \"h\\u00fcnd\"], \"label\": \"dog\"}\n"
      "\n  \n"
      "{\"question\": \"what?\", \"answers\": [\"yes\", \"no\"], \"weights\": [0.9, 0.3], \"label\": \"cat\", "
      "\"meta\": {\"x\": 1}, \"none\": null, \"mixed\": [1, \"a\"]}\r\n"
      "{broken\n"
      "[1, 2]\n"
      "{\"a\": 1} {\"b\": 2}\n"
      "{\"text\": \"\xff\"}\n"
      "{\"image\": \"photos/none.ppm\", \"truth\": true}");
  Data *d = open_one(path, &plain);
  cr_assert_eq(data_count(d), 7);
  DataSample s = sample(d, 0);
  cr_expect_str_eq(text_of(&s, "caption captions text", 1), "h\xc3\xbcnd");
  cr_expect_eq(red_of(&s), 7);
  cr_expect_eq(label_of(d, &s), 1, "cat is 0, dog is 1");
  cr_expect_not_null(strstr(s.where, "t.jsonl, line 1"));
  data_sample_free(&s);
  s = sample(d, 1);
  cr_expect_not_null(strstr(s.where, "line 4"), "%s", s.where);
  cr_expect_float_eq(number_of(&s, "weights", 1), 0.3, 1e-12);
  cr_expect_null(data_field(&s, "meta none mixed"));
  data_sample_free(&s);
  bad_sample(d, 2, "line 5: no JSON, at column 3");
  bad_sample(d, 3, "line 6: no object");
  bad_sample(d, 4, "line 7: something stands behind the object, at column 10");
  bad_sample(d, 5, "line 8 is not UTF-8");
  s = sample(d, 6);
  HostImage im;
  HostError err;
  cr_expect(!data_picture(&s, data_field(&s, "image"), 0, &im, &err));
  cr_expect(strstr(err.text, "line 9") && strstr(err.text, "photos/none.ppm"), "%s", err.text);
  cr_expect_eq(number_of(&s, "truth", 0), 1);
  data_sample_free(&s);
  Buf out = {0};
  data_describe(d, 7, &out);
  cr_expect_not_null(strstr(out.s, "5 of 7 samples looked at cannot be read, the first: "), "%s", out.s);
  buf_free(&out);
  // the file changes while it is used
  FILE *f = fopen(path, "ab");
  fputs("\n{}", f);
  fclose(f);
  bad_sample(d, 0, "may not change");
  data_close(d);
  refuses(data_text_file("e.jsonl", ""), "empty");
  refuses(data_text_file("n.jsonl", "\n\n \n"), "no lines");
  refuses(data_text_file("h.jsonl", "<!DOCTYPE html><html>"), "page of HTML");
  refuses(data_text_file("u.jsonl", "\xff\xfe{"), "UTF-16");
  refuses(data_path("absent.jsonl"), "No such file");
  refuses(data_text_file("what.dat", "?"), "what kind of data");
}

Test(source, labels_by_name) {
  char *name[] = {"dog", "cat"};
  const HostLabels labels = {.name = name, .count = 2};
  const DataOptions o = {.labels = &labels, .root = data_folder};
  Data *d = open_one(data_text_file("deep/t.jsonl", "{\"label\": \"cat\", \"image\": \"p.ppm\"}\n{\"label\": 0}\n"
                                                    "{\"label\": \"cow\"}\n{\"label\": 0.5}\n{\"label\": [\"dog\"]}"),
                     &o);
  data_ppm("p.ppm", 1, 1, 3, 0, 0);
  DataSample s = sample(d, 0);
  cr_expect_eq(label_of(d, &s), 1);
  cr_expect_eq(red_of(&s), 3);
  data_sample_free(&s);
  for (uint32_t i = 2; i < 4; i++) {
    s = sample(d, i);
    int32_t v;
    HostError err;
    cr_expect(!data_class(d, &s, data_field(&s, "label"), &v, &err));
    cr_expect_not_null(
        strstr(err.text, i == 2 ? "line 3: the label 'cow' is none of the 2 classes" : "no whole number"), "%s",
        err.text);
    data_sample_free(&s);
  }
  data_close(d);
}

Test(source, json_list) {
  Data *d = open_one(
      data_text_file("l.json", " [ {\"text\": \"a ] } \\\" [\", \"x\": [{}]} ,\n{\"text\": \"b\"}\n,{\"text\": }]\n"),
      &plain);
  cr_assert_eq(data_count(d), 3);
  DataSample s = sample(d, 0);
  cr_expect_str_eq(text_of(&s, "text", 0), "a ] } \" [");
  data_sample_free(&s);
  s = sample(d, 1);
  cr_expect_str_eq(text_of(&s, "text", 0), "b");
  data_sample_free(&s);
  bad_sample(d, 2, "entry 3: no JSON");
  data_close(d);
  refuses(data_text_file("c.json", "[{\"a\": 1}, {\"b\""), "cut off");
  refuses(data_text_file("m.json", "[{} {}]"), "a comma is missing in front of entry 2");
  refuses(data_text_file("o.json", "[{}, 3]"), "entry 2 is no object");
  refuses(data_text_file("0.json", "[]"), "no entries");
}

Test(source, tables) {
  Data *d = open_one(data_text_file("t.csv", "image,caption,label,captions\r\n"
                                             "a.ppm,\"one, \"\"two\"\"\nthree\",5,\r\n"
                                             "\n"
                                             "b.ppm,plain \"quotes\",6,\"[\"\"x\"\", \"\"y\"\"]\"\n"
                                             "c.ppm,short\n"
                                             "d.ppm,last,8,[no list"),
                     &plain);
  cr_assert_eq(data_count(d), 4);
  DataSample s = sample(d, 0);
  cr_expect_str_eq(text_of(&s, "caption", 0), "one, \"two\"\nthree");
  cr_expect_eq(label_of(d, &s), 5);
  cr_expect_null(data_field(&s, "captions"));
  cr_expect_not_null(strstr(s.where, "line 2"));
  data_sample_free(&s);
  s = sample(d, 1);
  cr_expect_str_eq(text_of(&s, "caption", 0), "plain \"quotes\"");
  cr_expect_str_eq(text_of(&s, "captions", 1), "y");
  cr_expect_not_null(strstr(s.where, "line 5"), "%s", s.where);
  data_sample_free(&s);
  bad_sample(d, 2, "line 6 has 2 cells, and the first line names 4 columns");
  s = sample(d, 3);
  cr_expect_str_eq(text_of(&s, "captions", 0), "[no list");
  cr_expect_not_null(strstr(s.where, "line 7"), "%s", s.where);
  data_sample_free(&s);
  data_close(d);
  d = open_one(data_text_file("t.tsv", "text\tlabel\na, b\t1\n"), &plain);
  s = sample(d, 0);
  cr_expect_str_eq(text_of(&s, "text", 0), "a, b");
  cr_expect_eq(label_of(d, &s), 1);
  cr_expect_not_null(strstr(s.where, "line 2"), "%s", s.where);
  data_sample_free(&s);
  data_close(d);
  refuses(data_text_file("q.csv", "a,b\n1,\"2\n3\n"), "line 2: the quote is not closed");
  refuses(data_text_file("w.csv", "a,a\n1,2\n"), "two columns are named 'a'");
  refuses(data_text_file("v.csv", "a,\n1,2\n"), "column 2 has no name");
  refuses(data_text_file("x.csv", "a,b\n"), "no lines behind");
}

Test(source, archives) {
  static DataTar t;
  char npy[512];
  static const float row[] = {1, 2, 3};
  size_t n = data_npy_image(npy, "<f4", "(3,)", row, sizeof row);
  data_tar_add(&t, "s/", '5', "", 0);
  data_tar_add(&t, "s/01.ppm", '0', "P6 1 1 255\n\5\6\7", 14);
  data_tar_add(&t, "s/01.txt", '0', "a dog\n", 6);
  data_tar_add(&t, "s/01.cls", '0', "3\n", 2);
  data_tar_add(&t, "s/01.feat.npy", '0', npy, n);
  data_tar_add(&t, "s/02.json", '0', "{\"caption\": \"c\", \"label\": 4}", 28);
  data_tar_add(&t, "s/02.left.PNG", '0', "x", 1);
  char longer[300];
  memset(longer, 'n', 200);
  strcpy(longer + 200, ".txt");
  data_tar_add(&t, "././@LongLink", 'L', longer, 205);
  data_tar_add(&t, "nnnn", '0', "far", 3);
  data_tar_add(&t, "pax", 'x', "22 path=p/x.y/new.txt\n", 22);
  data_tar_add(&t, "old.cls", '0', "pax text", 8);
  data_tar_add(&t, "z.cls", '0', "many", 4);
  memset(t.at + t.n, 0, 1024);
  t.n += 1024;
  Data *d = open_one(data_bytes("a.tar", t.at, t.n), &plain);
  cr_assert_eq(data_count(d), 5);
  DataSample s = sample(d, 0);
  cr_expect_eq(red_of(&s), 5);
  cr_expect_str_eq(text_of(&s, "text", 0), "a dog");
  cr_expect_eq(label_of(d, &s), 3);
  cr_expect_eq(number_of(&s, "feat", 2), 3);
  cr_expect_not_null(strstr(s.where, "a.tar, s/01"), "%s", s.where);
  data_sample_free(&s);
  s = sample(d, 1);
  cr_expect_eq(label_of(d, &s), 4);
  cr_expect_not_null(data_field(&s, "left"));
  data_sample_free(&s);
  s = sample(d, 2);
  cr_expect_str_eq(text_of(&s, "text", 0), "far");
  data_sample_free(&s);
  s = sample(d, 3);
  cr_expect_str_eq(text_of(&s, "text", 0), "pax text");
  cr_expect_not_null(strstr(s.where, "a.tar, p/x.y/new"), "%s", s.where);
  data_sample_free(&s);
  bad_sample(d, 4, "'many' is no number");
  data_close(d);
  // several archives in a folder, in the order of their names
  data_bytes("shards/2.tar", t.at, t.n);
  data_bytes("shards/1.tar", t.at, 7 * 512 + 1024);
  d = open_one(data_path("shards"), &plain);
  cr_expect_eq(data_count(d), 6);
  data_close(d);
  refuses(data_bytes("cut.tar", t.at, 2 * 512 + 10), "cut off");
  t.at[512 + 3]++;
  refuses(data_bytes("sum.tar", t.at, t.n), "no header of a tar archive at byte 512");
  static const char zeros[1024];
  refuses(data_bytes("none.tar", zeros, 1024), "no samples");
}

Test(source, arrays) {
  static const int64_t labels[] = {4, 5, 6};
  static const unsigned char pixels[3][2][2] = {{{1}}, {{2}}, {{3}}};
  Data *d = open_one(data_npy("label.npy", "<i8", "(3,)", labels, sizeof labels), &plain);
  DataSample s = sample(d, 2);
  cr_expect_eq(label_of(d, &s), 6);
  cr_expect_not_null(strstr(s.where, "label.npy, row 2"), "%s", s.where);
  data_sample_free(&s);
  data_close(d);
  d = open_one(data_npy("image.npy", "|u1", "(3, 2, 2)", pixels, sizeof pixels), &plain);
  s = sample(d, 1);
  cr_expect_eq(red_of(&s), 2);
  data_sample_free(&s);
  data_close(d);
  StDesc desc[] = {{"image", ST_F32, 2, {2, 3}}, {"label", ST_I32, 1, {2}}};
  StError why;
  StWriter *w = st_write_begin(data_path("t.safetensors"), 2, desc, &why);
  cr_assert(st_write_data(w, (float[]){1, 2, 3, 4, 5, 6}, 24, &why) && st_write_data(w, (int32_t[]){8, 9}, 8, &why));
  cr_assert(st_write_end(w, &why));
  d = open_one(data_path("t.safetensors"), &plain);
  s = sample(d, 1);
  cr_expect_eq(number_of(&s, "image", 2), 6);
  cr_expect_eq(label_of(d, &s), 9);
  data_sample_free(&s);
  data_close(d);
  desc[1].shape[0] = 3;
  w = st_write_begin(data_path("u.safetensors"), 2, desc, &why);
  cr_assert(st_write_data(w, (float[9]){0}, 36, &why) && st_write_end(w, &why));
  refuses(data_path("u.safetensors"), "label has 3 rows and image 2");
  refuses(data_npy("scalar.npy", "<f4", "()", labels, 4), "no axis");
  refuses(data_npy("short.npy", "<f4", "(3, 4)", labels, 24), "cut off");
}

Test(source, idx) {
  unsigned char images[16 + 2 * 4] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8};
  unsigned char labels[8 + 2] = {0, 0, 8, 1, 0, 0, 0, 2, 9, 7};
  data_bytes("m/train-images-idx3-ubyte", images, sizeof images);
  gzFile z = gzopen(data_path("m/train-labels-idx1-ubyte.gz"), "wb");
  gzwrite(z, labels, sizeof labels);
  gzclose(z);
  Data *d = open_one(data_path("m"), &plain);
  cr_assert_eq(data_count(d), 2);
  DataSample s = sample(d, 1);
  cr_expect_eq(red_of(&s), 5);
  cr_expect_eq(label_of(d, &s), 7);
  data_sample_free(&s);
  data_close(d);
  d = open_one(data_path("m/train-labels-idx1-ubyte.gz"), &plain);
  s = sample(d, 0);
  cr_expect_eq(label_of(d, &s), 9);
  data_sample_free(&s);
  data_close(d);
  // elements of two bytes, high byte first
  unsigned char shorts[8 + 4] = {0, 0, 0x0b, 1, 0, 0, 0, 2, 1, 2, 0xff, 0xfe};
  d = open_one(data_bytes("s-idx1", shorts, sizeof shorts), &plain);
  s = sample(d, 0);
  cr_expect_eq(label_of(d, &s), 258);
  data_sample_free(&s);
  s = sample(d, 1);
  cr_expect_eq(number_of(&s, "label", 0), -2);
  data_sample_free(&s);
  data_close(d);
  refuses(data_bytes("cut-idx3", images, sizeof images - 1), "cut off");
  labels[7] = 1;
  data_bytes("n/train-images-idx3-ubyte", images, sizeof images);
  data_bytes("n/train-labels-idx1-ubyte", labels, sizeof labels);
  refuses(data_path("n"), "has 1 rows and image 2");
}

Test(source, order_and_shares) {
  data_text_file("a.jsonl", "{\"x\": 0}\n{\"x\": 1}\n{\"x\": 2}\n{\"x\": 3}\n{\"x\": 4}\n");
  data_text_file("b.jsonl", "{\"x\": 10}\n{\"x\": 11}\n");
  const char *paths[] = {data_path("a.jsonl"), data_path("b.jsonl")};
  HostError err;
  Data *d = data_open(paths, NULL, 2, &plain, &err);
  cr_assert_not_null(d, "%s", err.text);
  cr_assert_eq(data_epoch_length(d), 7);
  unsigned seen = 0, moved = 0;
  for (uint64_t p = 0; p < 7; p++) {
    DataAt at = data_at(d, 1, 0, p, true);
    cr_expect_eq(at.epoch, 0);
    seen |= 1u << at.sample;
    moved += at.sample != data_at(d, 1, 1, p, true).sample;
    cr_expect_eq(data_at(d, 1, 0, p, false).sample, p);
  }
  cr_expect_eq(seen, 127);
  cr_expect(moved > 2);
  cr_expect_eq(data_next(d, 4), 0);
  cr_expect_eq(data_next(d, 5), 6);
  cr_expect_eq(data_next(d, 6), 5);
  uint64_t print = data_fingerprint(d);
  data_close(d);
  // three of a for one of b: an epoch is two blocks, in which a has six places and b two
  d = data_open(paths, (const unsigned[]){3, 1}, 2, &plain, &err);
  cr_assert_not_null(d, "%s", err.text);
  cr_expect_neq(data_fingerprint(d), print);
  cr_assert_eq(data_epoch_length(d), 8);
  unsigned count[7] = {0}, b = 0;
  for (uint32_t epoch = 0; epoch < 5; epoch++)
    for (uint64_t p = 0; p < 8; p++) {
      DataAt at = data_at(d, 1, epoch, p, true);
      cr_assert(at.sample < 7);
      cr_expect_eq(at.epoch, count[at.sample]++, "sample %u", at.sample);
      b += at.sample >= 5;
      if (p % 4 == 3) cr_expect_eq(b, (epoch * 8 + p + 1) / 4, "each block has one of b");
    }
  for (int i = 0; i < 7; i++) cr_expect_eq(count[i], i < 5 ? 6 : 5, "sample %d: %u", i, count[i]);
  data_close(d);
  cr_expect_null(data_open(paths, (const unsigned[]){3, 0}, 2, &plain, &err));
  cr_expect_not_null(strstr(err.text, "share of 0"));
}

// A file of many lines: the index takes 8 bytes a line, and any of them is found.
Test(source, many_lines) {
  FILE *f = fopen(data_path("many.jsonl"), "wb");
  for (int i = 0; i < 200000; i++) fprintf(f, "{\"x\": %d}\n", i);
  fclose(f);
  Data *d = open_one(data_path("many.jsonl"), &plain);
  cr_assert_eq(data_count(d), 200000);
  for (uint32_t i = 0; i < 200000; i += 19997) {
    DataSample s = sample(d, i);
    cr_expect_eq(number_of(&s, "x", 0), i);
    data_sample_free(&s);
  }
  data_close(d);
}

// ckpt_torch_archives.c: archives that are cut, changed, malformed or of another kind; entries that overlap; bombs.
#include "torch_support.h"

Test(torch, refuses_a_file_cut_anywhere) {
  for (int wide = 0; wide < 2; wide++) {
    Bytes p = sound_pickle();
    Entry e[] = {{"m/data.pkl", p.p, p.n, wide != 0}, {"m/data/0", six, sizeof six, wide != 0}};
    Bytes b = archive(2, e, wide != 0);
    for (size_t cut = 0; cut < b.n; cut++) {
      uint8_t *part = malloc(cut + 1); // of exactly this size, so that a sanitizer sees a step too far
      memcpy(part, b.p, cut);
      StError err;
      StFile *f = st_open_memory(part, cut, &err);
      cr_expect_null(f, "accepted %zu of %zu bytes", cut, b.n);
      st_close(f);
      free(part);
    }
    free(b.p);
    free(p.p);
  }
}

Test(torch, survives_every_changed_byte) {
  for (int wide = 0; wide < 2; wide++) {
    Bytes p = sound_pickle();
    Entry e[] = {{"m/data.pkl", p.p, p.n, false}, {"m/data/0", six, sizeof six, wide != 0}};
    Bytes b = archive(2, e, wide != 0);
    static const uint8_t change[] = {0x01, 0x80, 0xff};
    for (size_t i = 0; i < b.n; i++)
      for (size_t k = 0; k < 3; k++) {
        b.p[i] ^= change[k];
        StError err = {""};
        StFile *f = st_open_memory(b.p, b.n, &err);
        cr_expect(f || err.text[0], "no message");
        for (size_t t = 0; f && t < st_count(f); t++) {
          float x;
          if (st_at(f, t)->bytes) cr_assert(st_to_f32(st_at(f, t), &x, (size_t)st_elements(st_at(f, t)) - 1, 1));
        }
        st_close(f);
        b.p[i] ^= change[k];
      }
    free(b.p);
    free(p.p);
  }
}

// Where the nth signature PK\a\b begins.
static size_t find(const Bytes *b, const char *signature, int nth) {
  for (size_t i = 0; i + 4 <= b->n; i++)
    if (!memcmp(b->p + i, signature, 4) && !nth--) return i;
  cr_assert_fail("no such signature");
  return 0;
}

Test(torch, refuses_malformed_archives) {
  static const struct {
    const char *signature;
    int nth;
    size_t at; // behind the signature
    uint8_t value[4];
    size_t n;
    const char *message;
  } bad[] = {
      {"PK\1\2", 0, 8, {1}, 1, "encrypted"},
      {"PK\1\2", 2, 34, {1}, 1, "split"},
      {"PK\1\2", 0, 10, {12}, 1, "packing method 12"},
      {"PK\1\2", 0, 24, {1, 0, 0, 0}, 4, "stored, yet"},
      {"PK\1\2", 0, 20, {0xf0, 0xff, 0xff, 0x7f}, 4, "stored, yet"},
      {"PK\1\2", 0, 28, {0xff, 0xff}, 2, "ends within"},
      {"PK\1\2", 0, 28, {0, 0}, 2, "empty"},
      {"PK\1\2", 1, 42, {0, 0, 0, 0}, 4, "another name"},
      {"PK\1\2", 1, 42, {0xff, 0xff, 0xff, 0x7f}, 4, "no local header"},
      {"PK\1\2", 1, 0, {0, 0, 0, 0}, 4, "directory is damaged"},
      {"PK\1\2", 0, 46, {'n'}, 1, "another name"},
      {"PK\3\4", 0, 0, {0x50, 0x4b, 3, 5}, 0, ""}, // nothing changed: the control below
      {"PK\3\4", 1, 28, {0xff, 0xff}, 2, "another name"},
      {"PK\5\6", 0, 8, {9, 0}, 2, "split"},
      {"PK\5\6", 0, 4, {1}, 1, "split"},
      {"PK\5\6", 0, 12, {0xff, 0xff, 0xff, 0x7f}, 4, "outside the file"},
      {"PK\5\6", 0, 16, {0xff, 0xff, 0xff, 0x7f}, 4, "outside the file"},
      {"PK\5\6", 0, 8, {0xff, 0xff, 0xff, 0xff}, 4, "cannot hold"},
      {"PK\5\6", 0, 20, {1}, 1, "without an end record"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    Bytes b = file_of(sound_pickle());
    memcpy(b.p + find(&b, bad[i].signature, bad[i].nth) + bad[i].at, bad[i].value, bad[i].n);
    if (bad[i].n) {
      file_refused(b, bad[i].message);
    } else {
      StFile *f = st_open_memory(b.p, b.n, NULL);
      cr_expect(f);
      st_close(f);
    }
    free(b.p);
  }
}

Test(torch, refuses_archives_of_other_kinds) {
  static const struct {
    Entry e[3];
    size_t n;
    const char *message;
  } bad[] = {
      {{{"m/arr_0.npy", "x", 1, false}}, 1, "arrays of NumPy"},
      {{{"readme.txt", "x", 1, false}}, 1, "without data.pkl"},
      {{{"a/model.safetensors", "x", 1, false}}, 1, "unpack it"},
      {{{"a/saved_model.pb", "x", 1, false}}, 1, "PyTorch or safetensors"},
      {{{"m/data.pkl", "}.", 2, false}, {"m/data.pkl", "}.", 2, false}}, 2, "given twice"},
      {{{"m/data.pkl", "}.", 2, false}, {"m/byteorder", "big", 3, false}}, 2, "big-endian"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    Bytes b = archive(bad[i].n, bad[i].e, false);
    file_refused(b, bad[i].message);
    free(b.p);
  }
}

Test(torch, refuses_overlapping_entries_and_bombs) {
  Bytes p = sound_pickle();
  Entry e[] = {{"m/data.pkl", p.p, p.n, false}, {"m/data/0", six, sizeof six, false}};
  Bytes b = archive(2, e, false);
  size_t dir = find(&b, "PK\1\2", 0), local = find(&b, "PK\3\4", 0);
  uint32_t longer = (uint32_t)(find(&b, "PK\3\4", 1) - local); // data.pkl reaches into the second entry
  for (int i = 0; i < 4; i++) b.p[dir + 20 + (size_t)i] = b.p[dir + 24 + (size_t)i] = (uint8_t)(longer >> 8 * i);
  file_refused(b, "overlap");
  free(b.p);

  size_t n = 4 << 20; // of zeros: deflate reaches 1 : 1000
  uint8_t *zeros = calloc(n, 1);
  Entry bomb[] = {{"m/data.pkl", p.p, p.n, false}, {"m/data/0", zeros, n, true}};
  b = archive(2, bomb, false);
  StError err = {""};
  StFile *f = st_open_memory(b.p, b.n, &err); // large, but what deflate can do
  cr_assert(f, "%s", err.text);
  cr_expect(f->data.used < 4096, "%zu bytes: no more is inflated than the tensors have", f->data.used);
  st_close(f);
  dir = find(&b, "PK\1\2", 1);
  memcpy(b.p + dir + 24, "\xff\xff\xff\x7f", 4); // claims 2 GB
  file_refused(b, "damaged or hostile");
  free(b.p);
  free(p.p);

  Bytes whole = {0};
  proto(&whole);
  put_text(&whole, "}");
  text(&whole, "w");
  tensor(&whole, &(View){"ByteStorage", "0", (int64_t)n, 0, 1, {(int64_t)n}, {1}});
  put_text(&whole, "s.");
  bomb[0] = (Entry){"m/data.pkl", whole.p, whole.n, false};
  b = archive(2, bomb, false);
  f = st_open_memory(b.p, b.n, &err);
  cr_expect(f, "%s", err.text);
  st_close(f);
  p = whole;
  dir = find(&b, "PK\1\2", 1);
  b.p[dir + 16] ^= 1; // its checksum
  file_refused(b, "deflated data are damaged");
  memcpy(b.p + dir + 24, "\0\0\40\0", 4); // half
  file_refused(b, "its storage has");
  free(b.p);
  free(zeros);
  free(p.p);
}

Test(torch, explains_legacy_files) {
  static const uint8_t pickle[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                   0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
  static const uint8_t newer[] = {0x80, 0x04, 0x95, 0x0a, 0, 0, 0, 0, 0, 0, 0, 'K', 1, '.'};
  uint8_t tar[512] = "sys_info";
  memcpy(tar + 257, "ustar", 5);
  StError err;
  cr_assert_null(st_open_memory(pickle, sizeof pickle, &err));
  cr_assert(strstr(err.text, "weights_only=True"), "%s", err.text);
  cr_assert_null(st_open_memory(newer, sizeof newer, &err));
  cr_assert(strstr(err.text, "weights_only=True"), "%s", err.text);
  cr_assert_null(st_open_memory(tar, sizeof tar, &err));
  cr_assert(strstr(err.text, "weights_only=True"), "%s", err.text);
  // A safetensors header whose length has the same first byte is no pickle.
  uint8_t st[8 + 0x0280];
  memset(st, ' ', sizeof st);
  memcpy(st, "\x80\2\0\0\0\0\0\0{}", 10);
  StFile *f = st_open_memory(st, sizeof st, &err);
  cr_assert(f, "%s", err.text);
  st_close(f);
}

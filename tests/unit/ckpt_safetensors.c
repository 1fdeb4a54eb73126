// ckpt_safetensors.c - reader and writer of checkpoints: round trip, conversions, every malformed case.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../ckpt/safetensors.h"

// A file image: length, header text, `data` zero bytes. The caller frees.
static uint8_t *file_of(const char *header, size_t data, size_t *n) {
  size_t len = strlen(header);
  uint8_t *f = calloc(8 + len + data + 1, 1);
  for (int i = 0; i < 8; i++) f[i] = (uint8_t)((uint64_t)len >> 8 * i);
  memcpy(f + 8, header, len);
  *n = 8 + len + data;
  return f;
}

static bool opens(const char *header, size_t data, StError *err) {
  size_t n;
  uint8_t *bytes = file_of(header, data, &n);
  *err = (StError){""};
  StFile *f = st_open_memory(bytes, n, err);
  bool ok = f != NULL;
  st_close(f);
  free(bytes);
  return ok;
}

static void temp_path(char path[64]) {
  snprintf(path, 64, "/tmp/sy_ckpt_%ld.safetensors", (long)getpid());
}

Test(safetensors, writes_and_reads_back) {
  char path[64];
  StError err = {""};
  temp_path(path);
  StDesc d[3] = {{"b.weight", ST_F32, 2, {2, 3}}, {"a", ST_U8, 1, {3}}, {"scalar \"x\" \\ \xc3\xa9", ST_F64, 0, {0}}};
  float w[6] = {1, -2, 3.5f, 0, 5, 6};
  uint8_t a[3] = {7, 8, 9};
  double s = 0.1;
  StWriter *out = st_write_begin(path, 3, d, &err);
  cr_assert_not_null(out, "%s", err.text);
  cr_assert(access(path, F_OK) != 0, "the target must not exist before the end");
  cr_assert(st_write_data(out, w, 10, &err)); // in arbitrary pieces
  cr_assert(st_write_data(out, (const char *)w + 10, sizeof w - 10, &err));
  cr_assert(st_write_data(out, a, sizeof a, &err));
  cr_assert(st_write_data(out, &s, sizeof s, &err));
  cr_assert(st_write_end(out, &err), "%s", err.text);

  StFile *f = st_open(path, &err);
  cr_assert_not_null(f, "%s", err.text);
  cr_assert_eq(st_count(f), 3);
  cr_assert_str_eq(st_at(f, 0)->name, "b.weight");
  cr_assert_null(st_at(f, 3));
  const StTensor *t = st_find(f, "b.weight");
  cr_assert(t && t->rank == 2 && t->shape[0] == 2 && t->shape[1] == 3 && st_elements(t) == 6);
  cr_assert_eq((uintptr_t)t->data % 8, 0);
  float got[6];
  cr_assert(st_to_f32(t, got, 0, 6));
  cr_assert_arr_eq(got, w, sizeof w);
  cr_assert(st_to_f32(t, got, 4, 2) && got[0] == 5.0f);
  cr_assert_not(st_to_f32(t, got, 4, 3));
  cr_assert_not(st_to_f32(t, got, SIZE_MAX, 2));
  cr_assert_not(st_to_f32(st_find(f, "a"), got, 0, 1), "u8 is not a float type");
  t = st_find(f, "scalar \"x\" \\ \xc3\xa9"); // not aligned: it follows 3 bytes
  cr_assert(t && t->rank == 0 && st_to_f32(t, got, 0, 1) && got[0] == 0.1f);
  cr_assert_null(st_find(f, "B.weight"));
  cr_assert_str_eq(st_near(f, "b.wieght")->name, "b.weight");
  cr_assert_null(st_near(f, "something else entirely"));
  st_close(f);
  unlink(path);
}

Test(safetensors, failed_write_leaves_the_target) {
  char path[64];
  StError err = {""};
  StDesc d = {"x", ST_F32, 1, {2}};
  float v[3] = {1, 2, 3};
  temp_path(path);
  FILE *old = fopen(path, "wb");
  fputs("old", old);
  fclose(old);
  StWriter *w = st_write_begin(path, 1, &d, &err);
  cr_assert(st_write_data(w, v, 4, &err));
  cr_assert_not(st_write_end(w, &err), "bytes are missing");
  w = st_write_begin(path, 1, &d, &err);
  cr_assert_not(st_write_data(w, v, 12, &err), "too many bytes");
  cr_assert_not(st_write_end(w, &err));
  w = st_write_begin(path, 1, &d, &err);
  st_write_abort(w);
  char text[8] = "";
  old = fopen(path, "rb");
  cr_assert_eq(fread(text, 1, 8, old), 3);
  cr_assert_str_eq(text, "old");
  fclose(old);
  char temp[96];
  snprintf(temp, sizeof temp, "%s.tmp-%ld-0", path, (long)getpid());
  cr_assert(access(temp, F_OK) != 0, "a temporary file was left");
  unlink(path);
  cr_assert_null(st_write_begin("/nonexistent/dir/x", 1, &d, &err));
  StDesc twice[2] = {d, d};
  cr_assert_null(st_write_begin(path, 2, twice, &err));
  StDesc huge = {"h", ST_F32, 2, {INT64_MAX, 2}};
  cr_assert_null(st_write_begin(path, 1, &huge, &err));
}

Test(safetensors, converts_half_and_bfloat) {
  // 1, -2, largest half, smallest subnormal, +inf, NaN, -0
  uint16_t half[7] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00, 0x7e01, 0x8000};
  float got[7];
  StTensor t = {.name = "h", .dtype = ST_F16, .rank = 1, .shape = {7}, .data = half, .bytes = sizeof half};
  cr_assert(st_to_f32(&t, got, 0, 7));
  cr_assert(got[0] == 1.0f && got[1] == -2.0f && got[2] == 65504.0f && got[3] == 0x1p-24f && isinf(got[4]) &&
            isnan(got[5]) && got[6] == 0.0f && signbit(got[6]));
  uint16_t brain[2] = {0x3f80, 0xc0a0};
  t = (StTensor){.name = "b", .dtype = ST_BF16, .rank = 1, .shape = {2}, .data = brain, .bytes = sizeof brain};
  cr_assert(st_to_f32(&t, got, 0, 2) && got[0] == 1.0f && got[1] == -5.0f);
}

Test(safetensors, whole_numbers) {
  int64_t wide[4] = {7, -3, INT32_MAX, (int64_t)INT32_MAX + 1};
  int32_t got[4];
  StTensor t = {.name = "p", .dtype = ST_I64, .rank = 1, .shape = {4}, .data = wide, .bytes = sizeof wide};
  cr_assert(st_to_i32(&t, got, 0, 3) && got[0] == 7 && got[1] == -3 && got[2] == INT32_MAX);
  cr_assert(st_to_i32(&t, got, 1, 1) && got[0] == -3);
  cr_assert_not(st_to_i32(&t, got, 0, 4), "the last one does not fit");
  cr_assert_not(st_to_i32(&t, got, 3, 2), "outside the tensor");
  int8_t small[3] = {-1, 127, -128};
  t = (StTensor){.name = "s", .dtype = ST_I8, .rank = 1, .shape = {3}, .data = small, .bytes = sizeof small};
  cr_assert(st_to_i32(&t, got, 0, 3) && got[0] == -1 && got[1] == 127 && got[2] == -128);
  t.dtype = ST_U8;
  cr_assert(st_to_i32(&t, got, 0, 3) && got[0] == 255 && got[2] == 128);
  t.dtype = ST_BOOL;
  cr_assert_not(st_to_i32(&t, got, 0, 1), "truth values are no numbers");
}

Test(safetensors, rounds_to_half_and_bfloat) {
  // every half value comes back, and what lies between goes to the nearest, ties to even
  for (uint32_t h = 0; h < 0x10000; h++) {
    uint16_t bits = (uint16_t)h, got;
    float f;
    StTensor t = {.name = "h", .dtype = ST_F16, .rank = 1, .shape = {1}, .data = &bits, .bytes = 2};
    cr_assert(st_to_f32(&t, &f, 0, 1));
    st_from_f32(ST_F16, &f, &got, 1);
    if (isnan(f))
      cr_assert((got & 0x7fff) > 0x7c00);
    else
      cr_assert(got == bits, "%04x became %04x", bits, got);
  }
  static const struct {
    float f;
    uint16_t half, brain;
  } kase[] = {{1 + 0x1p-11f, 0x3c00, 0x3f80},    {1 + 3 * 0x1p-11f, 0x3c02, 0x3f80},
              {1 + 0x1.8p-8f, 0x3c06, 0x3f81},   {65519, 0x7bff, 0x4780},
              {65520, 0x7c00, 0x4780},           {-1e30f, 0xfc00, 0xf14a},
              {0x1p-25f, 0x0000, 0x3300},        {0x1.8p-25f, 0x0001, 0x3340},
              {0x1.8p-24f, 0x0002, 0x33c0},      {0x1.ffep-15f, 0x0400, 0x3880},
              {0x1.fffffep+127f, 0x7c00, 0x7f80}};
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    uint16_t got = 0;
    st_from_f32(ST_F16, &kase[i].f, &got, 1);
    cr_expect_eq(got, kase[i].half, "case %zu: half %04x", i, got);
    st_from_f32(ST_BF16, &kase[i].f, &got, 1);
    cr_expect_eq(got, kase[i].brain, "case %zu: bfloat %04x", i, got);
  }
  float v[3] = {65520, INFINITY, 1}, back[3];
  uint16_t half[3];
  cr_expect_eq(st_from_f32(ST_F16, v, half, 3), 1, "infinity is no overflow");
  cr_expect_eq(st_from_f32(ST_F32, v, back, 3), 0);
  cr_expect_eq(st_from_f32(ST_I32, v, half, 3), SIZE_MAX);
}

#define ONE(dtype, shape, off) "{\"x\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" off "}}"

Test(safetensors, accepts_what_is_sound) {
  StError err;
  cr_assert(opens("{}", 0, &err), "%s", err.text);
  cr_assert(opens("{\"__metadata__\":{\"format\":\"pt\"}}   \n", 0, &err), "%s", err.text);
  cr_assert(opens(ONE("F32", "[2]", "[0,8]"), 8, &err), "%s", err.text);
  cr_assert(opens(ONE("F32", "[0,5]", "[0,0]"), 0, &err), "%s", err.text);
  cr_assert(opens(ONE("BOOL", "[]", "[0,1]"), 1, &err), "%s", err.text);
  cr_assert(opens("{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},"
                  "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                  3, &err),
            "entries may stand in any order: %s", err.text);
}

Test(safetensors, refuses_what_is_malformed) {
  static const struct {
    const char *header;
    size_t data;
    const char *message; // part of it
  } bad[] = {
      {"", 0, "not valid JSON"},
      {"{", 0, "not valid JSON"},
      {"[]", 0, "not a JSON object"},
      {"{}x", 0, "text after"},
      {"{\"x\":1}", 0, "not an object"},
      {"{\"x\":[1]}", 0, "not an object"},
      {"{\"__metadata__\":1}", 0, "not an object"},
      {"{\"x\":{}}", 0, "dtype"},
      {"{\"x\":{\"dtype\":\"F32\"}}", 0, "shape"},
      {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets"},
      {"{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
      {ONE("F33", "[1]", "[0,5]"), 4, "beyond the"},
      {ONE("F33", "[9007199254740992,9007199254740992]", "[0,4]"), 4, "overflows"},
      {ONE("F32", "[-1]", "[0,4]"), 4, "dimension"},
      {ONE("F32", "[1.5]", "[0,6]"), 6, "dimension"},
      {ONE("F32", "[1e300]", "[0,4]"), 4, "dimension"},
      {ONE("F32", "[\"1\"]", "[0,4]"), 4, "dimension"},
      {ONE("F32", "[true]", "[0,4]"), 4, "dimension"},
      {ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "dimensions"},
      {ONE("F32", "[4294967296,4294967296]", "[0,0]"), 0, "overflows"},
      {ONE("F32", "[0,4294967296,4294967296]", "[0,0]"), 0, "overflows"},
      {ONE("F64", "[9007199254740992,1024]", "[0,0]"), 0, "overflows"},
      {ONE("F32", "[1]", "[4,0]"), 4, "out of order"},
      {ONE("F32", "[1]", "[0]"), 4, "pair"},
      {ONE("F32", "[1]", "[0,4,8]"), 4, "pair"},
      {ONE("F32", "[1]", "[-4,0]"), 4, "pair"},
      {ONE("F32", "[1]", "[0,1e19]"), 4, "pair"},
      {ONE("F32", "[2]", "[0,8]"), 7, "beyond"},
      {ONE("F32", "[2]", "[0,7]"), 7, "8 bytes"},
      {ONE("F32", "[1]", "[0,4]"), 5, "after the last"},
      {ONE("F32", "[1]", "[1,5]"), 5, "unused bytes"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
       3, "overlap"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
       "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
       2, "duplicate"},
      {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
      {"{\"a\\u001b[2J\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "'a?[2J' has a control"},
      {"{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "u0000"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    StError err;
    cr_expect_not(opens(bad[i].header, bad[i].data, &err), "accepted: %s", bad[i].header);
    cr_expect(strstr(err.text, bad[i].message), "%s: '%s' lacks '%s'", bad[i].header, err.text, bad[i].message);
  }
}

Test(safetensors, refuses_bad_lengths_and_deep_nesting) {
  StError err;
  size_t n;
  uint8_t *f = file_of(ONE("F32", "[2]", "[0,8]"), 8, &n);
  for (size_t cut = 0; cut < n; cut++)
    cr_expect_null(st_open_memory(f, cut, &err), "accepted %zu of %zu bytes", cut, n);
  f[3] = 7; // 117 MB
  cr_assert_null(st_open_memory(f, n, &err));
  cr_assert(strstr(err.text, "100 MB"));
  memset(f, 0xff, 8);
  cr_assert_null(st_open_memory(f, n, &err));
  free(f);
  size_t deep = 1000 * 1000;
  char *header = malloc(deep + 1);
  memset(header, '[', deep);
  header[deep] = '\0';
  cr_assert_not(opens(header, 0, &err));
  cr_assert(strstr(err.text, "nested"));
  free(header);
  cr_assert_null(st_open("/nonexistent.safetensors", &err));
  cr_assert_null(st_open("/tmp", &err));
}

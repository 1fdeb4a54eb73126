// ckpt_gguf.c: GGUF files: every element type against what tests/reference/gguf.py makes of the same bytes from the
// format's description, bit for bit; values; what is refused.
#include "gguf_support.h"

#define TYPES SOURCE_DIR "/tests/gguf/types"

// Some parts of a tensor, so that blocks are entered in the middle, are read whole and end early.
static void same_bits(const StTensor *a, const StTensor *b) {
  size_t n = (size_t)st_elements(b);
  float *x = calloc(n + 1, sizeof *x), *y = calloc(n + 1, sizeof *y);
  cr_assert(x && y && a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof a->shape), "%s", a->name);
  cr_assert(st_to_f32(b, y, 0, n));
  for (size_t step = 1; step <= n; step = 3 * step + 4)
    for (size_t at = 0; at < n; at += step) {
      size_t k = n - at < step ? n - at : step;
      cr_assert(st_to_f32(a, x + at, at, k));
      cr_assert_arr_eq(x + at, y + at, k * sizeof *x, "%s from %zu on, in steps of %zu", a->name, at, step);
    }
  cr_expect_not(st_to_f32(a, x, n, 1));
  cr_expect_not(st_to_f32(a, x, SIZE_MAX, 2));
  double last;
  cr_expect(st_to_f64(a, &last, n - 1, 1) && (float)last == y[n - 1]);
  free(x);
  free(y);
}

Test(gguf, every_type_is_read_to_the_bit) {
  StError err = {""};
  StFile *f = st_open(TYPES ".gguf", &err), *want = st_open(TYPES ".safetensors", &err);
  cr_assert(f && want, "%s", err.text);
  cr_expect_str_eq(st_kind(f), "GGUF");
  cr_expect_str_eq(st_architecture(f), "llama");
  cr_expect_eq(st_count(f), st_count(want));
  for (size_t i = 0; i < st_count(want); i++) {
    const StTensor *b = st_at(want, i), *a = st_find(f, b->name);
    cr_assert_not_null(a, "%s", b->name);
    same_bits(a, b);
    bool plain = a->name[0] == 'F' || a->name[0] == 'B'; // what lies in another way is not looked at by others
    cr_expect_eq(a->dtype == ST_DTYPE_COUNT, !plain, "%s", a->name);
    cr_expect_eq(st_value_type(a) == ST_F32,
                 strcmp(a->name, "F16") && strcmp(a->name, "F64") && strcmp(a->name, "BF16"));
  }
  cr_expect(st_note(f) && strstr(st_note(f), "rows of q and k"));
  cr_expect_str_eq(st_type_name(st_find(f, "Q4_K")), "Q4_K");
  cr_expect_str_eq(st_type_name(st_find(f, "blk.1.attn_q.weight")), "F16");
  st_close(f);
  st_close(want);
}

Test(gguf, values_of_every_type) {
  StError err = {""};
  StFile *f = st_open(TYPES ".gguf", &err);
  cr_assert(f, "%s", err.text);
  StValue v[4];
  cr_assert_eq(st_meta_count(f), 19);
  cr_expect_null(st_meta_at(f, 19));
  cr_expect_null(st_meta_find(f, "absent"));
#define VALUE(key, type_, kind_, field, x)                                                                             \
  do {                                                                                                                 \
    const StMeta *m = st_meta_find(f, key);                                                                            \
    cr_assert(m &&st_meta_values(m, v, 1) == 1 && v[0].kind == (kind_), "%s", key);                                    \
    cr_expect_str_eq(m->type, type_);                                                                                  \
    cr_expect(v[0].field == (x), "%s", key);                                                                           \
  } while (0)
  VALUE("a.u8", "u8", ST_META_UINT, u, 200);
  VALUE("a.i8", "i8", ST_META_INT, i, -100);
  VALUE("a.u16", "u16", ST_META_UINT, u, 60000);
  VALUE("a.i16", "i16", ST_META_INT, i, -30000);
  VALUE("a.i32", "i32", ST_META_INT, i, -2000000000);
  VALUE("a.f32", "f32", ST_META_REAL, real, (double)0.1f);
  VALUE("a.f64", "f64", ST_META_REAL, real, 0.1);
  VALUE("a.bool", "bool", ST_META_BOOL, u, 1);
  VALUE("a.u64", "u64", ST_META_UINT, u, (UINT64_C(1) << 63) + 1);
  VALUE("a.i64", "i64", ST_META_INT, i, -(INT64_C(1) << 62));
  const StMeta *m = st_meta_find(f, "a.texts");
  cr_assert(m && m->array && m->count == 4 && st_meta_values(m, v, 4) == 4);
  cr_expect(v[0].n == 3 && !memcmp(v[0].text, "one", 3) && v[1].n == 5 && !memcmp(v[1].text, "\xff\0two", 5) &&
            !v[2].n);
  m = st_meta_find(f, "a.long");
  cr_assert(m && m->count == 100 && st_meta_values(m, v, 4) == 4);
  cr_expect(v[0].i == -5 && v[3].i == -2);
  m = st_meta_find(f, "a.nested");
  cr_assert(m && m->array && m->count == 3 && st_meta_values(m, v, 4) == 1);
  cr_expect(v[0].kind == ST_META_ARRAY && v[0].u == 2);
  cr_expect_eq(st_meta_values(st_meta_find(f, "a.empty"), v, 4), 0);
  st_close(f);
}

// Cut anywhere before its last data it is refused, with a message and without a report of the sanitizers.
Test(gguf, a_file_that_is_cut_short) {
  FILE *in = fopen(TYPES ".gguf", "rb");
  cr_assert(in);
  static uint8_t all[1 << 16];
  size_t n = fread(all, 1, sizeof all, in), whole = n;
  fclose(in);
  while (whole && !all[whole - 1]) whole--; // padding behind the last tensor belongs to nobody
  for (size_t k = 4; k < whole; k += k < 2200 ? 1 : 97) {
    uint8_t *cut = malloc(k);
    memcpy(cut, all, k);
    StError err = {""};
    StFile *f = st_open_memory(cut, k, &err);
    cr_expect_null(f, "%zu of %zu bytes", k, n);
    cr_expect(*err.text, "%zu bytes", k);
    st_close(f);
    free(cut);
  }
}

// A file of two tensors and some values, with one thing wrong.
typedef struct Wrong {
  const char *says;
  void (*values)(Bytes *);
  uint64_t nvalues, ntensors;
  uint64_t axis[2][9], offset[2];
  uint32_t rank[2], type[2], version;
  const char *name[2];
  size_t data;
} Wrong;

static void twice(Bytes *b) {
  g_number(b, "a.key", G_U8, 1, 1), g_number(b, "a.key", G_U8, 2, 1);
}
static void no_key(Bytes *b) {
  g_number(b, "", G_U8, 1, 1);
}
static void bad_type(Bytes *b) {
  g_number(b, "a.key", 13, 1, 8);
}
static void bad_bool(Bytes *b) {
  g_number(b, "a.key", G_BOOL, 2, 1);
}
static void long_text(Bytes *b) {
  g_number(b, "a.key", G_STRING, UINT64_MAX, 8);
}
static void array_of(Bytes *b, uint32_t type, uint64_t count) {
  g_text(b, "a.key");
  put_int(b, G_ARRAY, 4);
  put_int(b, type, 4);
  put_int(b, count, 8);
}
static void long_array(Bytes *b) {
  array_of(b, G_U64, UINT64_MAX / 8 + 2);
}
static void long_texts(Bytes *b) {
  array_of(b, G_STRING, UINT64_C(1) << 61);
}
static void deep(Bytes *b) {
  array_of(b, G_ARRAY, 1);
  for (int i = 0; i < 100; i++) put_int(b, G_ARRAY, 4), put_int(b, 1, 8);
}
static void align_0(Bytes *b) {
  g_number(b, "general.alignment", G_U32, 0, 4);
}
static void align_48(Bytes *b) {
  g_number(b, "general.alignment", G_U32, 48, 4);
}
static void align_text(Bytes *b) {
  g_string(b, "general.alignment", "32");
}
static void align_huge(Bytes *b) {
  g_number(b, "general.alignment", G_U64, UINT64_C(1) << 63, 8);
}
static void llama(Bytes *b) {
  g_string(b, "general.architecture", "llama");
}
static void llama_odd(Bytes *b) {
  g_string(b, "general.architecture", "llama"), g_number(b, "llama.attention.head_count", G_U32, 3, 4);
}
static void no_architecture(Bytes *b) {
  g_number(b, "general.architecture", G_U8, 1, 1);
}

static const Wrong wrong[] = {
    {.says = "version 1 of GGUF cannot be read", .version = 1},
    {.says = "version 4 of GGUF cannot be read", .version = 4},
    {.says = "of a big-endian machine (version 3 ", .version = 0x03000000},
    {.says = "18446744073709551615 values where the file has ", .nvalues = UINT64_MAX},
    {.says = "1152921504606846976 tensors where the file has ", .ntensors = UINT64_C(1) << 60},
    {.says = "the value 'a.key' is there twice", .values = twice, .nvalues = 2},
    {.says = "value 0: a name of 0 bytes", .values = no_key, .nvalues = 1},
    {.says = "value 0 ('a.key'): type 13 of a value is not known", .values = bad_type, .nvalues = 1},
    {.says = "value 0 ('a.key'): a truth value is 2", .values = bad_bool, .nvalues = 1},
    {.says = "value 0 ('a.key'): a text of 18446744073709551615 bytes", .values = long_text, .nvalues = 1},
    {.says = "value 0 ('a.key'): 2305843009213693953 values", .values = long_array, .nvalues = 1},
    {.says = "value 0 ('a.key'): 2305843009213693952 values", .values = long_texts, .nvalues = 1},
    {.says = "value 0 ('a.key'): arrays of arrays, deeper than 8", .values = deep, .nvalues = 1},
    {.says = "general.alignment is 0, no power of two", .values = align_0, .nvalues = 1},
    {.says = "general.alignment is 48, no power of two", .values = align_48, .nvalues = 1},
    {.says = "the value 'general.alignment' is no whole number (string)", .values = align_text, .nvalues = 1},
    {.says = "the file is cut short", .values = align_huge, .nvalues = 1},
    {.says = "the value 'general.architecture' is no name", .values = no_architecture, .nvalues = 1},
    {.says = "tensor 1 ('b'): 9 axes (at most 8)", .rank[1] = 9},
    {.says = "tensor 1 ('b'): an axis of 18446744073709551615: the shape overflows", .axis[1] = {UINT64_MAX}},
    {.says = "tensor 1 ('b'): an axis of 4294967296: the shape overflows",
     .rank[1] = 2,
     .axis[1] = {UINT64_C(1) << 32, UINT64_C(1) << 32}},
    {.says = "tensor 1 ('b'): an axis of 9223372036854775807: the shape overflows", .axis[1] = {INT64_MAX}},
    {.says = "tensor 1 ('b'): an axis of 4294967296: the shape overflows", // whatever the empty axis is
     .rank[1] = 4,
     .axis[1] = {UINT64_C(1) << 32, 0, UINT64_C(1) << 32, UINT64_C(1) << 32}},
    {.says = "tensor 1 ('b'): the element type 4 is not known", .type[1] = 4},
    {.says = "tensor 1 ('b'): the element type 4000000000 is not known", .type[1] = 4000000000u},
    {.says = "tensor 1 ('b'): rows of 8 elements are no whole blocks of Q8_0 (32)", .type[1] = G_Q8_0},
    {.says = "tensor 1 ('b'): rows of 32 elements are no whole blocks of Q4_K (256)",
     .type[1] = G_Q4_K,
     .rank[1] = 2,
     .axis[1] = {32, 8}},
    {.says = "tensor 1 ('b'): its offset 33 is no multiple of the alignment 32", .offset[1] = 33},
    {.says = "tensor 1 ('b'): its 32 bytes at offset 64 end beyond the 64 bytes of data", .offset[1] = 64},
    {.says = "tensor 1 ('b'): its 32 bytes at offset 18446744073709551584 end beyond", .offset[1] = UINT64_MAX - 31},
    {.says = "tensor 'b': its data overlap those of 'a'", .offset[1] = 32, .axis[0] = {16}},
    {.says = "duplicate key 'a'", .name[1] = "a"},
    {.says = "tensor 1: a name of 0 bytes", .name[1] = ""},
    {.says = "has a control character", .name[1] = "b\n"},
    {.says = "tensor 'blk.0.attn_q.weight': its rows are in llama.cpp's order",
     .values = llama,
     .nvalues = 1,
     .name[0] = "blk.0.attn_q.weight"},
    {.says = "tensor 'blk.0.attn_k.bias': 8 rows are no 3 heads of an even length",
     .values = llama_odd,
     .nvalues = 2,
     .name[0] = "blk.0.attn_k.bias"},
};

static Bytes make_wrong(const Wrong *w) {
  Bytes b = {0};
  g_head(&b, w->ntensors ? w->ntensors : 2, w->nvalues);
  if (w->version)
    for (int i = 0; i < 4; i++) b.p[4 + i] = (uint8_t)(w->version >> 8 * i);
  if (w->values) w->values(&b);
  for (int i = 0; i < 2; i++) {
    static const uint64_t eight[9] = {8, 1, 1, 1, 1, 1, 1, 1, 1};
    const char *name = w->name[i] ? w->name[i] : i ? "b" : "a";
    g_tensor(&b, name, w->rank[i] ? w->rank[i] : 1, w->axis[i][0] ? w->axis[i] : eight, w->type[i],
             w->offset[i] ? w->offset[i] : (uint64_t)i * 32);
  }
  g_pad(&b, 32);
  for (int i = 0; i < 64; i++) put_int(&b, 0, 1);
  return b;
}

Test(gguf, what_is_wrong_is_said_with_its_place) {
  Bytes sound = make_wrong(&(Wrong){.says = ""});
  StError err = {""};
  StFile *f = st_open_memory(sound.p, sound.n, &err);
  cr_assert(f && st_count(f) == 2, "%s", err.text);
  st_close(f);
  free(sound.p);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    Bytes b = make_wrong(&wrong[i]);
    file_refused(b, wrong[i].says);
    free(b.p);
  }
}

// Codes of types that are not read here are listed; so are tensors without elements, without axes, and gaps.
Test(gguf, what_is_taken) {
  static const uint64_t axis[2] = {256, 2}, none[2] = {0, 3};
  Bytes b = {0};
  g_head(&b, 4, 1);
  g_number(&b, "split.count", G_U16, 2, 2);
  g_tensor(&b, "iq", 2, axis, 23, 0);
  g_tensor(&b, "none", 2, none, G_Q4_K, 288);
  g_tensor(&b, "scalar", 0, NULL, G_FLOAT, 320);
  g_tensor(&b, "behind a gap", 1, axis, G_Q8_0, 416);
  g_pad(&b, 32);
  for (int i = 0; i < 416 + 272; i++) put_int(&b, 1, 1);
  StError err = {""};
  StFile *f = st_open_memory(b.p, b.n, &err);
  cr_assert(f, "%s", err.text);
  float x;
  const StTensor *t = st_find(f, "iq");
  cr_assert(t && t->foreign);
  cr_expect_str_eq(t->foreign, "IQ4_XS");
  cr_expect(t->shape[0] == 2 && t->shape[1] == 256 && t->bytes == 272 && !st_to_f32(t, &x, 0, 1));
  t = st_find(f, "none");
  cr_expect(t && t->shape[0] == 3 && !t->shape[1] && !t->bytes && st_to_f32(t, &x, 0, 0) && !st_to_f32(t, &x, 0, 1));
  t = st_find(f, "scalar");
  cr_expect(t && !t->rank && st_to_f32(t, &x, 0, 1));
  cr_expect(st_note(f) && strstr(st_note(f), "one of several parts"));
  st_close(f);
  StError no = {""};
  cr_expect_null(st_open_memory_state(b.p, b.n, "model", &no));
  cr_expect(strstr(no.text, "--state"));
  free(b.p);
}

// Rows of heads are put back in order for what can be weights; whole numbers of such a name are listed, not read.
Test(gguf, heads_of_whole_numbers) {
  static const uint64_t axis[1] = {16};
  const uint32_t i16 = 25; // its number in the format
  Bytes b = {0};
  g_head(&b, 1, 2);
  g_string(&b, "general.architecture", "llama");
  g_number(&b, "llama.attention.head_count", G_U32, 2, 4);
  g_tensor(&b, "blk.0.attn_q.bias", 1, axis, i16, 0);
  g_pad(&b, 32);
  for (int i = 0; i < 32; i++) put_int(&b, 1, 1);
  StError err = {""};
  StFile *f = st_open_memory(b.p, b.n, &err);
  cr_assert(f, "%s", err.text);
  float x;
  const StTensor *t = st_find(f, "blk.0.attn_q.bias");
  cr_assert(t && t->foreign && t->shape[0] == 16 && !st_to_f32(t, &x, 0, 1));
  cr_expect_str_eq(t->foreign, "I16");
  st_close(f);
  free(b.p);
}

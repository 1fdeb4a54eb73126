// ckpt_torch.c - PyTorch checkpoints: what is read, how it is mapped, and every way in which a file can be wrong. The
// archives are put together here, byte by byte.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "../../ckpt/pickle_names.h"
#include "../../ckpt/stfile.h"

/* bytes --------------------------------------------------------------------------------------------------------- */
typedef struct Bytes {
  uint8_t *p;
  size_t n, cap;
} Bytes;

static void put(Bytes *b, const void *data, size_t n) {
  if (b->n + n > b->cap) {
    b->cap = 2 * (b->n + n) + 64;
    b->p = realloc(b->p, b->cap);
    cr_assert(b->p);
  }
  if (n) memcpy(b->p + b->n, data, n);
  b->n += n;
}
static void put_int(Bytes *b, uint64_t v, int bytes) { // more than 8: zeros behind
  for (int i = 0; i < bytes; i++) {
    uint8_t c = (uint8_t)(i < 8 ? v >> 8 * i : 0);
    put(b, &c, 1);
  }
}
static void put_text(Bytes *b, const char *s) {
  put(b, s, strlen(s));
}

/* pickles ------------------------------------------------------------------------------------------------------- */
static void text(Bytes *b, const char *s) { // BINUNICODE
  put_text(b, "X");
  put_int(b, strlen(s), 4);
  put_text(b, s);
}
static void integer(Bytes *b, int64_t v) { // LONG1 of 8 bytes
  put(b, "\x8a\x08", 2);
  put_int(b, (uint64_t)v, 8);
}
static void global(Bytes *b, const char *module, const char *name) {
  put_text(b, "c");
  put_text(b, module);
  put_text(b, "\n");
  put_text(b, name);
  put_text(b, "\n");
}
static void integers(Bytes *b, size_t n, const int64_t *v) { // a tuple
  put_text(b, "(");
  for (size_t i = 0; i < n; i++) integer(b, v[i]);
  put_text(b, "t");
}
static void storage(Bytes *b, const char *type, const char *key, int64_t numel) {
  put_text(b, "(");
  text(b, "storage");
  global(b, "torch", type);
  text(b, key);
  text(b, "cpu");
  integer(b, numel);
  put_text(b, "tQ");
}
typedef struct View {
  const char *type, *key;
  int64_t numel, offset;
  size_t rank;
  int64_t size[10], stride[10];
} View;
static void tensor(Bytes *b, const View *v) {
  global(b, "torch._utils", "_rebuild_tensor_v2");
  put_text(b, "(");
  storage(b, v->type, v->key, v->numel);
  integer(b, v->offset);
  integers(b, v->rank, v->size);
  integers(b, v->rank, v->stride);
  put(b, "\x89", 1);
  global(b, "collections", "OrderedDict");
  put_text(b, ")RtR");
}
static void proto(Bytes *b) {
  put(b, "\x80\x02", 2);
}

/* archives ------------------------------------------------------------------------------------------------------ */
typedef struct Entry {
  const char *name;
  const void *data;
  size_t n;
  bool deflated;
} Entry;
static uint32_t sum(const void *p, size_t n) {
  return (uint32_t)crc32(crc32(0, NULL, 0), p, (uInt)n);
}
static Bytes deflated(const void *p, size_t n) {
  Bytes b = {calloc(n + 256, 1), 0, n + 256};
  z_stream s = {0};
  cr_assert_eq(deflateInit2(&s, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  s.next_in = (Bytef *)(uintptr_t)p;
  s.avail_in = (uInt)n;
  s.next_out = b.p;
  s.avail_out = (uInt)b.cap;
  cr_assert_eq(deflate(&s, Z_FINISH), Z_STREAM_END);
  b.n = s.total_out;
  deflateEnd(&s);
  return b;
}
static void fields(Bytes *b, const Entry *e, size_t packed, bool wide) { // from the method to the sizes
  put_int(b, e->deflated ? 8 : 0, 2);
  put_int(b, 0, 4);
  put_int(b, sum(e->data, e->n), 4);
  put_int(b, wide ? UINT32_MAX : packed, 4);
  put_int(b, wide ? UINT32_MAX : e->n, 4);
  put_int(b, strlen(e->name), 2);
}
// With `wide` all that can be said in zip64 is. Stored data are aligned to 64 bytes, as PyTorch does.
static Bytes archive(size_t n, const Entry *e, bool wide) {
  Bytes b = {0}, dir = {0};
  for (size_t i = 0; i < n; i++) {
    Bytes packed = {0};
    size_t at = b.n;
    if (e[i].deflated)
      packed = deflated(e[i].data, e[i].n);
    else
      put(&packed, e[i].data, e[i].n);
    put_text(&b, "PK\3\4");
    put_int(&b, 0, 4);
    fields(&b, &e[i], packed.n, wide);
    size_t pad = (64 - (b.n + 2 + strlen(e[i].name) + 4) % 64) % 64 + 4;
    put_int(&b, pad, 2);
    put_text(&b, e[i].name);
    put_text(&b, "FB");
    put_int(&b, pad - 4, 2);
    for (size_t k = 4; k < pad; k++) put_text(&b, "Z");
    put(&b, packed.p, packed.n);
    put_text(&dir, "PK\1\2");
    put_int(&dir, 0, 6);
    fields(&dir, &e[i], packed.n, wide);
    put_int(&dir, wide ? 28 : 0, 2);
    put_int(&dir, 0, 10);
    put_int(&dir, wide ? UINT32_MAX : at, 4);
    put_text(&dir, e[i].name);
    if (wide) {
      put_int(&dir, 1, 2);
      put_int(&dir, 24, 2);
      put_int(&dir, e[i].n, 8);
      put_int(&dir, packed.n, 8);
      put_int(&dir, at, 8);
    }
    free(packed.p);
  }
  size_t at = b.n;
  put(&b, dir.p, dir.n);
  if (wide) {
    size_t end = b.n;
    put_text(&b, "PK\6\6");
    put_int(&b, 44, 8);
    put_int(&b, 0, 12);
    put_int(&b, n, 8);
    put_int(&b, n, 8);
    put_int(&b, dir.n, 8);
    put_int(&b, at, 8);
    put_text(&b, "PK\6\7");
    put_int(&b, 0, 4);
    put_int(&b, end, 8);
    put_int(&b, 1, 4);
  }
  put_text(&b, "PK\5\6");
  put_int(&b, 0, 4);
  put_int(&b, wide ? 0xffff : n, 2);
  put_int(&b, wide ? 0xffff : n, 2);
  put_int(&b, wide ? UINT32_MAX : dir.n, 4);
  put_int(&b, wide ? UINT32_MAX : at, 4);
  put_int(&b, 0, 2);
  free(dir.p);
  return b;
}

static const float six[6] = {1, 2, 3, 4, 5, 6};

// An archive of a pickle and of the storage "0" with six floats. The pickle is freed.
static Bytes file_of(Bytes pickle) {
  Entry e[] = {{"m/data.pkl", pickle.p, pickle.n, false},
               {"m/byteorder", "little", 6, false},
               {"m/data/0", six, sizeof six, false}};
  Bytes b = archive(3, e, false);
  free(pickle.p);
  return b;
}
// Opens the archive of a pickle. The bytes must outlive the StFile: *keep.
static StFile *open_pickle(Bytes pickle, Bytes *keep, StError *err) {
  *keep = file_of(pickle);
  *err = (StError){""};
  return st_open_memory(keep->p, keep->n, err);
}
// The message that a pickle is refused with.
static void refused(Bytes pickle, const char *message) {
  StError err;
  Bytes keep;
  StFile *f = open_pickle(pickle, &keep, &err);
  cr_expect_null(f, "accepted; expected '%s'", message);
  cr_expect(strstr(err.text, message), "'%s' lacks '%s'", err.text, message);
  st_close(f);
  free(keep.p);
}

// {"weight": [2,3], "turned": its transpose, "last": element 5, "epoch": 3}
static Bytes sound_pickle(void) {
  Bytes p = {0};
  proto(&p);
  put_text(&p, "}(");
  text(&p, "weight");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 2, {2, 3}, {3, 1}});
  text(&p, "turned");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 2, {3, 2}, {1, 3}});
  text(&p, "last");
  tensor(&p, &(View){"FloatStorage", "0", 6, 5, 0, {0}, {0}});
  text(&p, "epoch");
  put_text(&p, "K\3u.");
  return p;
}

static void file_refused(Bytes b, const char *message);

/* what is read -------------------------------------------------------------------------------------------------- */
static void check_sound(StFile *f) {
  float got[6];
  cr_assert_eq(st_count(f), 3);
  cr_assert_str_eq(st_kind(f), "PyTorch");
  cr_assert_null(st_note(f));
  const StTensor *t = st_at(f, 0);
  cr_assert_str_eq(t->name, "weight");
  cr_assert(t->dtype == ST_F32 && t->rank == 2 && t->shape[0] == 2 && t->shape[1] == 3 && t->bytes == 24);
  cr_assert(st_to_f32(t, got, 0, 6));
  cr_assert_arr_eq(got, six, sizeof six);
  t = st_find(f, "turned");
  cr_assert(t && t->shape[0] == 3 && t->shape[1] == 2 && st_to_f32(t, got, 0, 6));
  cr_assert_arr_eq(got, ((float[]){1, 4, 2, 5, 3, 6}), sizeof got);
  t = st_find(f, "last");
  cr_assert(t && t->rank == 0 && st_to_f32(t, got, 0, 1) && got[0] == 6.0f);
  cr_assert_null(st_find(f, "epoch"));
  cr_assert_str_eq(st_near(f, "wieght")->name, "weight");
}

Test(torch, reads_and_maps) {
  Bytes keep;
  StError err;
  StFile *f = open_pickle(sound_pickle(), &keep, &err);
  cr_assert_not_null(f, "%s", err.text);
  check_sound(f);
  const uint8_t *data = st_find(f, "weight")->data;
  cr_assert(data >= keep.p && data < keep.p + keep.n, "a contiguous tensor must not be copied");
  cr_assert_eq((const uint8_t *)st_find(f, "last")->data, data + 20);
  st_close(f);
  char path[64];
  snprintf(path, sizeof path, "/tmp/sy_ckpt_torch_%ld.pth", (long)getpid());
  FILE *out = fopen(path, "wb");
  cr_assert(out && fwrite(keep.p, 1, keep.n, out) == keep.n);
  fclose(out);
  f = st_open(path, &err);
  cr_assert_not_null(f, "%s", err.text);
  st_release(f);
  check_sound(f);
  st_close(f);
  unlink(path);
  free(keep.p);
}

Test(torch, reads_zip64_and_deflated_entries) {
  for (int way = 0; way < 4; way++) {
    Bytes p = sound_pickle();
    Entry e[] = {{"m/data.pkl", p.p, p.n, (way & 1) != 0}, {"m/data/0", six, sizeof six, (way & 1) != 0}};
    Bytes b = archive(2, e, way >= 2);
    StError err = {""};
    StFile *f = st_open_memory(b.p, b.n, &err);
    cr_assert_not_null(f, "way %d: %s", way, err.text);
    check_sound(f);
    st_close(f);
    free(b.p);
    free(p.p);
  }
}

Test(torch, knows_the_element_types) {
  static const struct {
    const char *storage;
    StDtype dtype;
  } type[] = {{"DoubleStorage", ST_F64},    {"FloatStorage", ST_F32}, {"HalfStorage", ST_F16},
              {"BFloat16Storage", ST_BF16}, {"LongStorage", ST_I64},  {"IntStorage", ST_I32},
              {"ShortStorage", ST_I16},     {"CharStorage", ST_I8},   {"ByteStorage", ST_U8},
              {"BoolStorage", ST_BOOL}};
  for (size_t i = 0; i < sizeof type / sizeof *type; i++) {
    Bytes p = {0}, keep;
    StError err;
    proto(&p);
    put_text(&p, "}");
    text(&p, "x");
    tensor(&p, &(View){type[i].storage, "0", 3, 1, 1, {2}, {1}});
    put_text(&p, "s.");
    StFile *f = open_pickle(p, &keep, &err);
    cr_assert_not_null(f, "%s: %s", type[i].storage, err.text);
    cr_expect(st_at(f, 0)->dtype == type[i].dtype && st_at(f, 0)->bytes == 2 * st_dtype_size(type[i].dtype));
    st_close(f);
    free(keep.p);
  }
}

// A dictionary of one tensor, with names after each other.
static void state(Bytes *p, const char *name) {
  put_text(p, "}");
  text(p, name);
  tensor(p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
  put_text(p, "s");
}

Test(torch, takes_the_dictionary_of_the_model) {
  static const struct {
    const char *outer[4]; // entries of the outermost dictionary, each with a tensor "w"
    const char *name, *note;
  } kase[] = {
      {{"model", "state_dict"}, "w", "those of 'state_dict'; left out: 'model'"},
      {{"model_ema", "model", "optimizer"}, "w", "those of 'model'; left out: 'model_ema'"},
      {{"module", "lr_scheduler"}, "w", NULL},
      {{"optimizer", "teacher"}, "teacher.w", NULL},
  };
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    Bytes p = {0}, keep;
    StError err;
    proto(&p);
    put_text(&p, "}");
    for (size_t k = 0; k < 4 && kase[i].outer[k]; k++) {
      text(&p, kase[i].outer[k]);
      state(&p, "w");
      put_text(&p, "s");
    }
    put_text(&p, ".");
    StFile *f = open_pickle(p, &keep, &err);
    cr_assert_not_null(f, "%s", err.text);
    cr_expect_eq(st_count(f), 1);
    cr_expect_str_eq(st_at(f, 0)->name, kase[i].name);
    if (kase[i].note)
      cr_expect(st_note(f) && strstr(st_note(f), kase[i].note), "%s", st_note(f) ? st_note(f) : "no note");
    else
      cr_expect_null(st_note(f));
    st_close(f);
    free(keep.p);
  }
}

static void put_dictionary(Bytes *p, const char *tensor_name, int64_t offset) {
  put_text(p, "}");
  text(p, tensor_name);
  tensor(p, &(View){"FloatStorage", "0", 6, offset, 1, {1}, {1}});
  put_text(p, "s");
}

// {"state_dict": {"w": 1}, "state_dict_ema": {"w": 2}, "ema": {"module": {"w": 3}}, "a.b": {"w": 4}, "list": [{"w":
// 5}]}
Test(torch, a_dictionary_can_be_chosen) {
  static const struct {
    const char *state;
    float first; // 0: an error
  } choice[] = {{NULL, 1},     {"state_dict", 1}, {"state_dict_ema", 2}, {"ema.module", 3},
                {"a.b", 4},    {"list.0", 5},     {"list.1", 0},         {"list.x", 0},
                {"nosuch", 0}, {"ema.nosuch", 0}, {"state_dict.w", 0},   {"number", 0}};
  Bytes p = {0};
  proto(&p);
  put_text(&p, "}(");
  text(&p, "state_dict");
  put_dictionary(&p, "w", 0);
  text(&p, "state_dict_ema");
  put_dictionary(&p, "w", 1);
  text(&p, "ema");
  put_text(&p, "}");
  text(&p, "module");
  put_dictionary(&p, "w", 2);
  put_text(&p, "s");
  text(&p, "a.b");
  put_dictionary(&p, "w", 3);
  text(&p, "list");
  put_text(&p, "](");
  put_dictionary(&p, "w", 4);
  put_text(&p, "e");
  text(&p, "number");
  put_text(&p, "K\3u.");
  Bytes b = file_of(p);
  for (size_t i = 0; i < sizeof choice / sizeof *choice; i++) {
    StError err = {""};
    StFile *f = st_open_memory_state(b.p, b.n, choice[i].state, &err);
    cr_assert_eq(f != NULL, choice[i].first > 0, "%s: %s", choice[i].state, err.text);
    float x = 0;
    if (!f) cr_expect(strstr(err.text, "it has 'state_dict', 'state_dict_ema', 'ema', 'a.b'"), "%s", err.text);
    if (f && !choice[i].state) cr_expect(strstr(st_note(f), "--state takes another one; timm"), "%s", st_note(f));
    if (f) cr_expect(st_count(f) == 1 && st_to_f32(st_find(f, "w"), &x, 0, 1) && x == choice[i].first, "%g", (double)x);
    st_close(f);
  }
  free(b.p);
}

Test(torch, unknown_objects_are_opaque) {
  // A Namespace that is made, built and filled; a parameter around a tensor; a type that is not known.
  Bytes p = {0}, keep;
  StError err;
  proto(&p);
  put_text(&p, "}(");
  text(&p, "args");
  global(&p, "argparse", "Namespace");
  put_text(&p, ")\x81}");
  text(&p, "lr");
  put_text(&p, "G");
  put_int(&p, 0, 8);
  put_text(&p, "sb");
  text(&p, "scalar");
  global(&p, "numpy.core.multiarray", "scalar");
  put_text(&p, "(K\1tR");
  text(&p, "w");
  global(&p, "torch._utils", "_rebuild_parameter");
  put_text(&p, "(");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
  put_text(&p, "\x88)tR");
  text(&p, "odd");
  tensor(&p, &(View){"ComplexFloatStorage", "0", 3, 0, 1, {3}, {1}});
  put_text(&p, "u.");
  StFile *f = open_pickle(p, &keep, &err);
  cr_assert_not_null(f, "%s", err.text);
  cr_assert_eq(st_count(f), 2);
  cr_assert_str_eq(st_at(f, 0)->name, "w");
  const StTensor *odd = st_find(f, "odd");
  cr_assert(odd && odd->foreign && odd->rank == 1 && odd->shape[0] == 3);
  cr_expect_str_eq(st_type_name(odd), "ComplexFloatStorage");
  cr_expect(!st_to_f32(odd, (float[1]){0}, 0, 1));
  st_close(f);
  free(keep.p);
}

/* hostile pickles ----------------------------------------------------------------------------------------------- */
// A pickled module is an object of unknown code whose attributes hold its tensors; a TorchScript program is written the
// same way, without the levels _modules, _parameters and _buffers.
Test(torch, modules_are_the_dictionaries_of_their_attributes) {
  static const char *const level[2][2] = {{"_modules", "_parameters"}, {NULL, NULL}};
  for (int i = 0; i < 2; i++) {
    Bytes p = {0}, keep;
    StError err;
    proto(&p);
    global(&p, "__torch__.net", "Net");
    put_text(&p, ")\x81}");
    if (level[i][0]) text(&p, level[i][0]), put_text(&p, "}");
    text(&p, "layer");
    global(&p, "__torch__.net", "Layer");
    put_text(&p, ")\x81}");
    if (level[i][1]) text(&p, level[i][1]), put_text(&p, "}");
    text(&p, "w");
    tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
    put_text(&p, level[i][1] ? "ssb" : "sb"); // w in the layer's dictionary, which builds the layer
    put_text(&p, level[i][0] ? "ssb." : "sb.");
    StFile *f = open_pickle(p, &keep, &err);
    cr_assert_not_null(f, "%s", err.text);
    cr_assert_eq(st_count(f), 1);
    cr_expect_str_eq(st_at(f, 0)->name, "layer.w");
    st_close(f);
    free(keep.p);
  }
}

// What TorchScript and C++ write around typed lists and dictionaries: {"w": tensor, "sizes": FUNCTION([1])} and
// restore_type_tag({"w": tensor}, "Dict[str, Tensor]").
Test(torch, typed_lists_of_torchscript_are_lists) {
  static const char *const name[] = {"build_intlist", "build_doublelist",     "build_boollist",  "build_tensorlist",
                                     "build_class",   "build_tensor_from_id", "restore_type_tag"};
  for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
    Bytes p = {0}, keep;
    StError err;
    proto(&p);
    global(&p, "__torch__.net", "Net");
    put_text(&p, ")\x81}(");
    text(&p, "w");
    tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
    text(&p, "sizes");
    global(&p, "torch.jit._pickle", name[i]);
    put_text(&p, "(](K\1e");
    text(&p, "List[int]");
    put_text(&p, "tRub.");
    StFile *f = open_pickle(p, &keep, &err);
    cr_assert_not_null(f, "%s: %s", name[i], err.text);
    cr_expect_not_null(st_find(f, "w"));
    st_close(f);
    free(keep.p);
  }
  Bytes p = {0}, keep;
  StError err;
  proto(&p);
  global(&p, "torch.jit._pickle", "restore_type_tag");
  put_text(&p, "(}");
  text(&p, "w");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
  put_text(&p, "s");
  text(&p, "Dict[str, Tensor]");
  put_text(&p, "tR.");
  StFile *f = open_pickle(p, &keep, &err);
  cr_assert_not_null(f, "%s", err.text);
  cr_expect(st_count(f) == 1 && st_find(f, "w"));
  st_close(f);
  free(keep.p);
  static const char *const loads[][2] = {
      {"torch.jit", "load"}, {"torch.jit._pickle", "sys"}, {"torch.jit._pickle", "x"}};
  for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
    Bytes q = {0};
    proto(&q);
    global(&q, loads[i][0], loads[i][1]);
    put_text(&q, ")R.");
    refused(q, "hostile");
  }
}

// Tensors of other kinds are listed; they were dropped as if they were numbers.
Test(torch, other_kinds_of_tensors_are_listed) {
  static const char *const name[] = {"_rebuild_qtensor", "_rebuild_sparse_tensor", "_rebuild_nested_tensor"};
  for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
    Bytes p = {0}, keep;
    StError err;
    proto(&p);
    put_text(&p, "}(");
    text(&p, "w");
    tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
    text(&p, "q");
    global(&p, "torch._utils", name[i]);
    put_text(&p, ")Ru.");
    StFile *f = open_pickle(p, &keep, &err);
    cr_assert(f, "%s", err.text);
    cr_expect(st_find(f, "q") && st_find(f, "q")->foreign);
    st_close(f);
    free(keep.p);
  }
}

// What names cost is in proportion to the pickle, whatever they are and however often they are asked for.
Test(torch, names_cost_no_more_than_the_file_is_worth) {
  StPool pool = {.limit = 1 << 26};
  char dots[512];
  for (size_t i = 0; i < sizeof dots; i++) dots[i] = i % 2 ? '.' : 'a';
  for (int distinct = 0; distinct < 2; distinct++) {
    PkNames t = pk_names(&pool, 10000);
    const char *why = NULL;
    size_t found = 0;
    uint64_t before = 0;
    while (found < 200000) {
      char module[32];
      int n = snprintf(module, sizeof module, "m%zu", distinct ? found : 0);
      if (!pk_name_find(&t, (PkText){module, (size_t)n}, (PkText){dots, 511}, &why)) break;
      cr_expect(t.work > before && t.work <= t.limit);
      before = t.work;
      found++;
    }
    cr_expect(found < (distinct ? 20 : 10000), "%zu names", found);
    cr_expect(why && strstr(why, "too often"));
  }
  st_pool_free(&pool);
}

// {"state_dict": {"w": tensor}, KEY: {"w": tensor}, KEY: ...}: the key is long and the same value each time.
Test(torch, a_key_is_looked_at_once) {
  enum { LONG = 1 << 20, TIMES = 100000 };
  char *key = malloc(LONG + 1);
  cr_assert(key);
  memset(key, 'a', LONG);
  key[LONG] = 0;
  Bytes p = {0}, keep;
  StError err;
  proto(&p);
  put_text(&p, "}(");
  text(&p, "state_dict");
  put_text(&p, "}q\1");
  text(&p, "w");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
  put_text(&p, "s");
  text(&p, key);
  put_text(&p, "q\2h\1");
  for (int i = 1; i < TIMES; i++) put_text(&p, "h\2h\1");
  put_text(&p, "u.");
  StFile *f = open_pickle(p, &keep, &err);
  cr_assert_not_null(f, "%s", err.text);
  cr_expect_eq(st_count(f), 1);
  st_close(f);
  free(keep.p);
  free(key);
}

Test(torch, a_pickle_is_not_much_longer_than_the_file) {
  size_t n = 4 << 20;
  uint8_t *nulls = malloc(n);
  cr_assert(nulls);
  memset(nulls, 'N', n); // values that nobody asks for
  Entry e[] = {{"m/data.pkl", nulls, n, true}, {"m/data/0", six, sizeof six, false}};
  Bytes b = archive(2, e, false);
  file_refused(b, "64 times the file");
  free(b.p);
  free(nulls);
}

// Views that show their storage again and again: copying may not feed on what was copied before.
Test(torch, views_do_not_double) {
  Bytes p = {0};
  proto(&p);
  put_text(&p, "}(");
  for (int i = 0; i < 12; i++) {
    char name[8];
    snprintf(name, sizeof name, "w%d", i);
    text(&p, name);
    tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {(int64_t)50000 << i}, {0}});
  }
  put_text(&p, "u.");
  refused(p, "too large a copy");
}

Test(torch, refuses_names_that_an_attack_needs) {
  static const char *const name[][2] = {
      {"os", "system"},
      {"posix", "system"},
      {"nt", "system"},
      {"subprocess", "Popen"},
      {"builtins", "eval"},
      {"builtins", "exec"},
      {"builtins", "getattr"},
      {"builtins", "__import__"},
      {"builtins", "open"},
      {"__builtin__", "eval"},
      {"sys", "exit"},
      {"socket", "socket"},
      {"runpy", "run_path"},
      {"shutil", "rmtree"},
      {"importlib", "import_module"},
      {"pickle", "loads"},
      {"webbrowser", "open"},
      {"os.path", "join"},
      {"torch.storage", "_load_from_bytes"},
      {"torch.hub", "load"},
      {"operator", "attrgetter"},
      {"ctypes", "CDLL"},
      {"torch", "serialization.os.system"},
      {"x", "y.os.system"},
      {"builtins", "eval.__call__"},
  };
  for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
    char want[160];
    snprintf(want, sizeof want, "offset 2: it asks for %s.%s.", name[i][0], name[i][1]);
    Bytes p = {0};
    proto(&p);
    global(&p, name[i][0], name[i][1]);
    put_text(&p, "(X\2\0\0\0lstR.");
    refused(p, want);
  }
}

Test(torch, no_opcode_calls_what_is_hostile) {
  static const struct {
    const char *before, *after; // around the global os.system
  } call[] = {{"", "(tR"}, {"", ")\x81"}, {"", ")}\x92"}, {"(", "o"}, {"", ")R}b"}, {"}", "Ns"}};
  for (size_t i = 0; i < sizeof call / sizeof *call; i++)
    for (int stacked = 0; stacked < 2; stacked++) {
      Bytes p = {0};
      proto(&p);
      put_text(&p, call[i].before);
      if (stacked) {
        text(&p, "os");
        text(&p, "system");
        put_text(&p, "\x93");
      } else {
        global(&p, "os", "system");
      }
      put_text(&p, call[i].after);
      put_text(&p, ".");
      refused(p, "hostile");
    }
  Bytes inst = {0};
  proto(&inst);
  put_text(&inst, "(X\2\0\0\0");
  inst.n = 3; // the text with zero bytes has to go in by hand
  text(&inst, "ls");
  put_text(&inst, "ios\nsystem\n.");
  refused(inst, "os.system");
  static const struct {
    const char *code;
    size_t n;
  } extension[] = {{"\x82\1", 2}, {"\x83\1\0", 3}, {"\x84\1\0\0\0", 5}};
  for (size_t i = 0; i < 3; i++) {
    Bytes p = {0};
    proto(&p);
    put(&p, extension[i].code, extension[i].n);
    put_text(&p, ")R.");
    refused(p, "extension registry");
  }
}

Test(torch, refuses_malformed_pickles) {
  static const struct {
    const char *code;
    size_t n;
    const char *message;
  } bad[] = {
#define CODE(s) s, sizeof s - 1
      {CODE("\x80\x06."), "protocol 6"},
      {CODE("."), "too few"},
      {CODE("("), "without a STOP"},
      {CODE("\xff"), "no opcode"},
      {CODE("X\xff\xff\xff\xff."), "cut short"},
      {CODE("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "cut short"},
      {CODE("\x96\xff\xff\xff\xff\xff\xff\xff\x7f."), "cut short"},
      {CODE("\x95\xff\xff\xff\xff\xff\xff\xff\xff."), "frame"},
      {CODE("cos"), "cut short"},
      {CODE("c\n\n."), "no Python module"},
      {CODE("t."), "no mark"},
      {CODE("N(0."), "holds no dictionary"},
      {CODE("NR."), "too few"},
      {CODE("NNR."), "no function"},
      {CODE("N(NR."), "too few"},
      {CODE("(o."), "without a function"},
      {CODE("ia\nb\n."), "no mark"},
      {CODE("(Nd."), "key without a value"},
      {CODE("}(Nu."), "key without a value"},
      {CODE("N(NNu."), "cannot hold"},
      {CODE("NNa."), "cannot hold"},
      {CODE("h\5."), "never stored"},
      {CODE("Nr\xff\xff\xff\xff."), "larger than the pickle"},
      {CODE("g12x\n."), "not a number"},
      {CODE("I1x\n."), "strange digit"},
      {CODE("Px\n."), "as text"},
      {CODE("NQ."), "not ('storage'"},
      {CODE("\x97."), "outside of the pickle"},
      {CODE("NN\x93."), "not text"},
      {CODE("ctorch._utils\n_rebuild_tensor_v2\n)R."), "not a storage"},
      {CODE("ctorch._utils\n_rebuild_tensor_v2\n(NK\0))tR."), "not a storage"},
      {CODE("ctorch._utils\n_rebuild_tensor_v2\nNR."), "not a tuple"},
      {CODE("ccollections\nOrderedDict\n(](NetR."), "not pairs"},
      {CODE("N."), "holds no dictionary"},
      {CODE("}."), "no tensors"},
      {CODE(""), "without a STOP"},
#undef CODE
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    Bytes p = {0};
    put(&p, bad[i].code, bad[i].n);
    refused(p, bad[i].message);
  }
}

Test(torch, refuses_tensors_outside_their_storage) {
  static const struct {
    View v;
    const char *message;
  } bad[] = {
      {{"FloatStorage", "0", 6, 1, 1, {6}, {1}}, "6 elements from 1 on, in a storage of 6"},
      {{"FloatStorage", "0", 6, -1, 1, {6}, {1}}, "elements from -1"},
      {{"FloatStorage", "0", 6, INT64_MAX, 1, {6}, {1}}, "elements"},
      {{"FloatStorage", "0", 6, 0, 2, {2, 3}, {4, 1}}, "7 elements from 0"},
      {{"FloatStorage", "0", 6, 0, 1, {-1}, {1}}, "negative"},
      {{"FloatStorage", "0", 6, 0, 1, {2}, {-1}}, "negative"},
      {{"FloatStorage", "0", 6, 0, 2, {INT64_MAX, 4}, {1, 1}}, "overflows"},
      {{"FloatStorage", "0", 6, 0, 2, {3, 3}, {INT64_MAX / 2, INT64_MAX / 2}}, "overflow"},
      {{"FloatStorage", "0", 7, 0, 1, {6}, {1}}, "only 24"},
      {{"FloatStorage", "0", INT64_MAX, 0, 1, {6}, {1}}, "impossible"},
      {{"DoubleStorage", "0", 4, 0, 1, {4}, {1}}, "only 24"},
      {{"FloatStorage", "1", 6, 0, 1, {6}, {1}}, "no entry 'm/data/1'"},
      {{"FloatStorage", "0", -1, 0, 1, {6}, {1}}, "not ('storage'"},
      {{"FloatStorage", "0", 6, 0, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}}, "dimensions"},
      {{"FloatStorage", "0", 6, 0, 2, {100000000, 6}, {0, 1}}, "too large a copy"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    Bytes p = {0};
    proto(&p);
    put_text(&p, "}");
    text(&p, "x");
    tensor(&p, &bad[i].v);
    put_text(&p, "s.");
    refused(p, bad[i].message);
  }
}

// Dictionaries of dictionaries, `levels` deep, each entered twice from the one above it.
static void doubled(Bytes *p, int levels) {
  put_text(p, "}q\1");
  for (int i = 0; i < levels; i++) { // memo 1 is the one below
    put_text(p, "}(");
    text(p, "a");
    put_text(p, "h\1");
    text(p, "b");
    put_text(p, "h\1uq\1");
  }
}

Test(torch, survives_cycles_nesting_and_doubling) {
  Bytes p = {0}, keep;
  StError err;
  proto(&p); // d = {"w": tensor}; d["self"] = d; d["l"] = l where l contains l
  put_text(&p, "}q\1(");
  text(&p, "w");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
  text(&p, "self");
  put_text(&p, "h\1");
  text(&p, "l");
  put_text(&p, "]q\2h\2au.");
  StFile *f = open_pickle(p, &keep, &err);
  cr_assert_not_null(f, "%s", err.text);
  cr_assert_eq(st_count(f), 1);
  st_close(f);
  free(keep.p);

  Bytes twice = {0};
  proto(&twice);
  doubled(&twice, 31);
  put_text(&twice, ".");
  refused(twice, "too often");

  static const char *const deep[] = {"(", "]", "}", "((", "N\x85"};
  for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
    Bytes many = {0};
    proto(&many);
    for (int k = 0; k < 200000; k++) put_text(&many, deep[i]);
    put_text(&many, ".");
    refused(many, i == 0 || i == 3 ? "too few" : i == 2 ? "no tensors" : "holds no dictionary");
  }
  Bytes nested = {0}; // {"a": {"a": ...}} deeper than is looked at
  proto(&nested);
  for (int k = 0; k < 10000; k++) {
    put_text(&nested, "}");
    text(&nested, "a");
  }
  put_text(&nested, "N");
  for (int k = 0; k < 10000; k++) put_text(&nested, "s");
  put_text(&nested, ".");
  refused(nested, "no tensors");
}

Test(torch, refuses_strange_names) {
  static const char *const name[] = {"\xff", "\xc0\x80", "\xed"};
  for (size_t i = 0; i < 3; i++) {
    Bytes p = {0};
    proto(&p);
    state(&p, name[i]);
    put_text(&p, ".");
    refused(p, "UTF-8");
  }
  char longname[1100];
  memset(longname, 'a', sizeof longname - 1);
  longname[sizeof longname - 1] = 0;
  Bytes p = {0};
  proto(&p);
  state(&p, longname);
  put_text(&p, ".");
  refused(p, "longer than");
  Bytes same = {0}; // "a.b" in two ways
  proto(&same);
  state(&same, "a.b");
  text(&same, "a");
  state(&same, "b");
  put_text(&same, "s.");
  refused(same, "duplicate");
}

/* damaged archives ---------------------------------------------------------------------------------------------- */
static void file_refused(Bytes b, const char *message) {
  StError err = {""};
  StFile *f = st_open_memory(b.p, b.n, &err);
  cr_expect_null(f, "accepted; expected '%s'", message);
  cr_expect(strstr(err.text, message), "'%s' lacks '%s'", err.text, message);
  st_close(f);
}

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

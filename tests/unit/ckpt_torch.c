// ckpt_torch.c: PyTorch checkpoints: what is read and how it is mapped. What is refused: ckpt_torch_pickles.c and
// ckpt_torch_archives.c.
#include "torch_support.h"

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

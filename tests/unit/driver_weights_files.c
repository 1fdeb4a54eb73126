// driver_weights_files.c: what people have as a checkpoint: element types that are not known, files of other kinds,
// archives, shards with an index, pipes and files that are cut short; merging and converting them.
#include "weights_support.h"

TestSuite(driver_weights, .init = set_up, .fini = tear_down, .timeout = 120);

// A safetensors file with one tensor more, of an element type that is not known here.
static void write_foreign(const char *name, const char *tensor, const char *type) {
  char head[256], path[128];
  snprintf(head, sizeof head,
           "{\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
           "\"%s\":{\"dtype\":\"%s\",\"shape\":[5],\"data_offsets\":[8,11]}}",
           tensor, type);
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "wb");
  uint64_t n = strlen(head);
  cr_assert(f && fwrite(&n, 8, 1, f) == 1 && fputs(head, f) >= 0 && fwrite("\0\0\0\0\0\0\0\0abc", 1, 11, f) == 11);
  cr_assert(fclose(f) == 0);
}

Test(driver_weights, element_types_that_are_not_known) {
  static const char *const type[] = {"F8_E4M3", "F8_E5M2", "F8_E8M0", "U16", "U32", "U64", "C64", "F4", "I4", "X_NEW"};
  write_text("p.sy", "model m(n = 2) {\n  dim B = 1..8\n  route r(x: f32[B, n]) -> y: f32[B, n] {\n"
                     "    weight weight: f32[n]  @fc.weight\n    return x * weight\n  }\n"
                     "  route q(x: f32[B, 5]) -> y: f32[B, 5] {\n    weight odd: f32[5]\n    return x * odd\n  }\n}\n");
  for (size_t i = 0; i < sizeof type / sizeof *type; i++) {
    char text[96];
    write_foreign("f.safetensors", "odd", type[i]);
    cr_expect_eq(run("weights pack %s/p.sy --routes r -w %s/f.safetensors -o %s/x.syw", dir, dir, dir), 0, "%s",
                 type[i]);
    snprintf(text, sizeof text, "unused       odd %s[5]", type[i]);
    cr_expect(output_has(text), "%s", text);
    cr_expect_eq(run("weights inspect %s/f.safetensors", dir), 0);
    cr_expect(output_has(type[i]));
    cr_expect_eq(run("weights pack %s/p.sy --routes q -w %s/f.safetensors -o %s/x.syw", dir, dir, dir), 1);
    snprintf(text, sizeof text, "odd f32[5], in the checkpoint %s[5], elements that cannot be read here", type[i]);
    cr_expect(output_has(text), "%s", text);
    cr_expect_eq(run("weights convert %s/f.safetensors -o %s/c.safetensors", dir, dir), 0);
    cr_expect(output_has("odd is left out"));
    write_foreign("f.safetensors", "fc.scale", type[i]); // real numbers in the way of the data
    cr_expect_eq(run("weights pack %s/p.sy --routes r -w %s/f.safetensors -o %s/x.syw", dir, dir, dir),
                 type[i][0] != 'U' && type[i][0] != 'I', "%s", type[i]);
  }
}

Test(driver_weights, converts_and_merges) {
  cr_assert_eq(run("weights init vit:tiny -o %s/a.safetensors", dir), 0);
  write_below("a.safetensors", "m.safetensors", (const char *const[2]){"module.", NULL});
  cr_assert_eq(run("weights convert %s/m.safetensors --strip-prefix module. -o %s/b.safetensors", dir, dir), 0);
  cr_expect(same_files("a.safetensors", "b.safetensors"));
  write_one("bias.safetensors", "heads.head.bias", 10, 70000);
  cr_assert_eq(
      run("weights convert %s/a.safetensors %s/bias.safetensors --dtype f16 -o %s/h.safetensors", dir, dir, dir), 0);
  cr_expect(output_has("too large for f16 and now infinite: 1 of"));
  StFile *a = open_in_dir("a.safetensors"), *h = open_in_dir("h.safetensors");
  cr_assert_eq(st_count(a), st_count(h));
  float x[10], y[10];
  const StTensor *bias = st_find(h, "heads.head.bias"), *gain = st_find(h, "encoder.ln.weight");
  cr_assert(bias->dtype == ST_F16 && st_to_f32(bias, x, 0, 10) && x[0] == 0.0f && isinf(x[9]), "the later file wins");
  cr_assert(st_to_f32(gain, x, 0, 10));
  cr_assert(st_to_f32(st_find(a, "encoder.ln.weight"), y, 0, 10));
  for (int i = 0; i < 10; i++) cr_expect(fabsf(x[i] - y[i]) <= 0x1p-11f * 1.1f);
  st_close(a);
  st_close(h);
  cr_expect_eq(run("weights convert -o %s/x", dir), 2);
  cr_expect_eq(run("weights convert %s/a.safetensors", dir), 2);
  cr_expect_eq(run("weights convert %s/absent -o %s/x", dir, dir), 3);
  cr_expect_eq(run("weights convert %s/a.safetensors -o %s/x --dtype int8", dir, dir), 2);
}

typedef struct Other { // what people have in place of a checkpoint
  const char *bytes;
  size_t n;
  const char *what;
} Other;

Test(driver_weights, other_files_are_called_what_they_are) {
#define BYTES(s) s, sizeof s - 1
  static const Other other[] = {
      {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 346293852\n"),
       "pointer of git-LFS, not the file itself (of 346293852 bytes); fetch that with `git lfs pull`"},
      {BYTES("<!DOCTYPE html><html><body>Virus scan warning</body></html>\n"), "a web page"},
      {BYTES("\xef\xbb\xbf \n<HTML lang=en>"), "a web page"},
      {BYTES("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"), "a web page"},
      {BYTES(""), "an empty file"},
      {BYTES("Entry not found"), "a text, not a checkpoint; it begins 'Entry not found'"},
      {BYTES("x"), "a text"},
      {BYTES("{\n  \"architectures\": [\"ViT\"]\n}"), "JSON"},
      {BYTES("\x1f\x8b\x08\0\0\0\0\0\0\3abcdefg"), "gunzip"},
      {BYTES("\xfd"
             "7zXZ\0abcdefgh"),
       "xz -d"},
      {BYTES("\x28\xb5\x2f\xfd\0\0\0\0\0\0"), "zstd -d"},
      {BYTES("BZh91AY&SY\0\0"), "bunzip2"},
      {BYTES("GGUF\3\0\0\0\x10\0\0\0\0\0\0\0"), "the header of the GGUF file: the file ends at byte 16"},
      {BYTES("\x08\x07\x12\x07pytorch\x1a\x05"
             "1.8.0"),
       "an ONNX model"},
      {BYTES("\x08\x01\x12\x80\x05\x0a\x10saved"), "a file of TensorFlow"},
      {BYTES("\x89HDF\r\n\x1a\n\0\0\0\0"), "HDF5"},
      {BYTES("\x1c\0\0\0TFL3\x14\0\x20\0"), "TensorFlow Lite"},
      {BYTES("\x82\xa6params\x81\xa5"
             "dense"),
       "msgpack"},
      {BYTES("\x93NUMPY\1\0v\0{'descr'"), "a NumPy array"},
      {BYTES("SYWEIGHT\1\0\0\0"), "packed weights of a compiled model"},
      {BYTES("\x7f"
             "ELF\2\1\1\0\0"),
       "a program"},
      {BYTES("\x89PNG\r\n\x1a\n\0\0"), "a picture"},
  };
  for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/other.bin", dir);
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(other[i].bytes, 1, other[i].n, f) == other[i].n && fclose(f) == 0);
    cr_expect_eq(run("weights pack vit:tiny -w %s -o %s/x.syw", path, dir), 3, "%s", other[i].what);
    cr_expect(output_has(other[i].what), "no '%s'", other[i].what);
  }
}

// Weights of a few bits that only the tool that made them can read.
Test(driver_weights, quantised_checkpoints_are_refused) {
  static const char *const kind[][2] = {{"encoder.ln.qweight", "quantised (GPTQ or AWQ: encoder.ln.qweight)"},
                                        {"heads.head.SCB", "quantised (bitsandbytes, 8 bits: heads.head.SCB)"},
                                        {"heads.head.weight_packed", "quantised (compressed-tensors: heads.head"}};
  for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
    write_one("q.safetensors", kind[i][0], 4, 1);
    cr_expect_eq(run("weights pack vit:tiny -w %s/q.safetensors -o %s/x.syw", dir, dir), 1);
    cr_expect(output_has(kind[i][1]), "%s", kind[i][0]);
  }
}

// {"state_dict": {"w": 1}, "state_dict_ema": {"module.w": 2}}
Test(driver_weights, averages_of_a_pytorch_file) {
  static const char file[] = SOURCE_DIR "/tests/fuzz/corpus/fuzz_torch/averages";
  static const struct {
    const char *options;
    int status;
    const char *says;
  } way[] = {
      {"", 0, "w                                                F32   [1]                           1 "},
      {"", 0, "left out: 'state_dict_ema' (--state takes another one; timm"},
      {"--state state_dict_ema", 0,
       "module.w                                         F32   [1]                           2 "},
      {"--strip-prefix state_dict_ema.", 0, "'state_dict_ema' is a dictionary of the file, which is taken"},
      {"--strip-prefix state_dict_ema.", 0, "module.w "},
      {"--strip-prefix state_dict_ema.module.", 0,
       "\nw                                                F32   [1]                           2 "},
      {"--state ema", 3, "no dictionary of tensors 'ema' in the file; it has 'state_dict', 'state_dict_ema'"},
  };
  for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
    cr_expect_eq(run("weights inspect %s %s", way[i].options, file), way[i].status, "%s", way[i].options);
    cr_expect(output_has(way[i].says), "%s: no '%s'", way[i].options, way[i].says);
  }
  write_one("a.safetensors", "w", 1, 1);
  cr_expect_eq(run("weights inspect --state ema %s/a.safetensors", dir), 3);
  cr_expect(output_has("not a PyTorch file"));
  write_text("m.index.json", "{\"weight_map\":{\"w\":\"a.safetensors\"}}");
  cr_expect_eq(run("weights inspect --state ema %s/m.index.json", dir), 2);
}

// The list is longer than a pipe holds: when the file is cut, the command waits in its midst.
Test(driver_weights, a_file_that_is_cut_short_while_it_is_read) {
  char text[2048];
  cr_assert_eq(run("weights init vit:tiny -D depth=150 -q -o %s/a.safetensors", dir), 0);
  snprintf(text, sizeof text,
           "cd '%s' && { '%s' weights inspect a.safetensors 2>out.txt; echo $? >rc; } | "
           "{ head -c 1 >/dev/null; truncate -s 4096 a.safetensors; cat >/dev/null; }; test \"$(cat rc)\" = 3",
           dir, syc);
  cr_expect_eq(system(text), 0);
  cr_expect(output_has("a.safetensors: cut short or unreadable while in use"));
}

Test(driver_weights, what_is_no_regular_file_is_refused_at_once) {
  char path[128];
  snprintf(path, sizeof path, "%s/pipe", dir);
  cr_assert_eq(mkfifo(path, 0600), 0);
  static const char *const verb[] = {"weights inspect", "weights inspect vit:tiny", "weights pack vit:tiny -o x -w",
                                     "weights convert -o x"};
  for (size_t i = 0; i < sizeof verb / sizeof *verb; i++) {
    cr_expect_eq(run("%s %s", verb[i], path), 3, "%s", verb[i]);
    cr_expect(output_has("a pipe"), "%s", verb[i]);
    cr_expect_eq(run("%s %s", verb[i], dir), 3);
    cr_expect(output_has("a folder; name the file in it"), "%s", verb[i]);
    cr_expect_eq(run("%s /dev/zero", verb[i]), 3);
    cr_expect(output_has("a device, not a regular file"), "%s", verb[i]);
  }
  snprintf(path, sizeof path, "%s/pipe.index.json", dir);
  cr_assert_eq(mkfifo(path, 0600), 0);
  cr_expect_eq(run("weights inspect %s", path), 3);
  cr_expect(output_has("a pipe"));
}

Test(driver_weights, shards_with_an_index) {
  cr_assert_eq(run("weights init vit:tiny -o %s/a.safetensors", dir), 0);
  cr_assert_eq(run("weights pack vit:tiny -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  write_one("b.safetensors", "extra", 3, 1);
  write_text("m.index.json",
             "{\"metadata\":{},\"weight_map\":{\"extra\":\"b.safetensors\",\"class_token\":\"a.safetensors\"}}");
  cr_expect_eq(run("weights pack vit:tiny -w %s/m.index.json -o %s/s.syw", dir, dir), 0);
  cr_expect(same_files("a.syw", "s.syw"));
  cr_expect_eq(run("weights inspect %s/m.index.json", dir), 0);
  cr_expect(output_has("2 shards of safetensors"));
  static const char *const bad[][2] = {
      {"{\"weight_map\":{\"class_token\":\"b.safetensors\"}}",
       "tensor 'class_token' is not in its shard b.safetensors"},
      {"{\"weight_map\":{\"x\":\"none.safetensors\"}}", "none.safetensors: No such file"},
      {"{\"weight_map\":{\"x\":\"../a.safetensors\"}}", "tensor 'x': its shard is not the name of a file"},
      {"{\"weight_map\":{\"x\":\"/etc/passwd\"}}", "not the name of a file"},
      {"{\"weight_map\":{\"x\":\"\"}}", "not the name of a file"},
      {"{\"weight_map\":{\"x\":3}}", "not the name of a file"},
      {"{\"weight_map\":{}}", "'weight_map'"},
      {"{\"weight_map\":[]}", "'weight_map'"},
      {"{", "not valid JSON"},
      {"", "an empty file"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "git lfs pull"},
      {"[[[[[[[[[[", "nested deeper"},
      {"{\"weight_map\":{\"x\\u0000y\":\"a.safetensors\"}}", "u0000"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    write_text("bad.index.json", bad[i][0]);
    cr_expect_eq(run("weights inspect %s/bad.index.json", dir), 3, "%s", bad[i][0]);
    cr_expect(output_has(bad[i][1]), "no '%s'", bad[i][1]);
  }
}

// driver_weights.c: seeded weights and their statistics, weights that fit a model and that do not, packed files and
// `syc weights`. Files that are something else: driver_weights_files.c; names of others: driver_weights_names.c.
#include "runtime/weights_format.h"
#include "weights_support.h"

TestSuite(driver_weights, .init = set_up, .fini = tear_down, .timeout = 120);
Test(driver_weights, init_makes_every_weight_with_its_spread) {
  cr_assert_eq(run("weights init vit:tiny --seed 3 -o %s/a.safetensors", dir), 0);
  StFile *f = open_in_dir("a.safetensors");
  const StTensor *gain = st_find(f, "encoder.ln.weight"), *bias = st_find(f, "encoder.ln.bias"),
                 *matrix = st_find(f, "encoder.layers.encoder_layer_1.mlp.0.weight"),
                 *token = st_find(f, "class_token");
  cr_assert(gain && bias && matrix && token);
  float x[128 * 32];
  cr_assert(st_to_f32(gain, x, 0, 32));
  for (int i = 0; i < 32; i++) cr_expect(fabsf(x[i] - 1) <= 0.1f);
  cr_assert(st_to_f32(bias, x, 0, 32));
  for (int i = 0; i < 32; i++) cr_expect(fabsf(x[i]) <= 0.02f);
  cr_assert(st_to_f32(token, x, 0, 32));
  for (int i = 0; i < 32; i++) cr_expect(fabsf(x[i]) <= 0.04f);
  cr_assert_eq(st_elements(matrix), 128 * 32);
  cr_assert(st_to_f32(matrix, x, 0, 128 * 32));
  double square = 0;
  for (int i = 0; i < 128 * 32; i++) square += (double)x[i] * (double)x[i];
  cr_expect(fabs(sqrt(square / (128 * 32)) - 1 / sqrt(32)) < 0.01);
  st_close(f);
}

// A batch norm divides by the root of its variance.
Test(driver_weights, init_makes_variances_positive) {
  cr_assert_eq(run("weights init clip:resnet_tiny --seed 3 -o %s/a.safetensors", dir), 0);
  StFile *f = open_in_dir("a.safetensors");
  const StTensor *variance = st_find(f, "visual.layer4.0.bn3.running_var"),
                 *mean = st_find(f, "visual.layer4.0.bn3.running_mean");
  cr_assert(variance && mean && st_elements(variance) == 128);
  float x[128];
  cr_assert(st_to_f32(variance, x, 0, 128));
  for (int i = 0; i < 128; i++) cr_expect(fabsf(x[i] - 1) <= 0.1f);
  cr_assert(st_to_f32(mean, x, 0, 128));
  for (int i = 0; i < 128; i++) cr_expect(fabsf(x[i]) <= 0.02f);
  st_close(f);
}

Test(driver_weights, init_depends_on_the_seed_alone) {
  char text[512];
  cr_assert_eq(run("weights init clip:tiny --seed 7 -o %s/a.safetensors", dir), 0);
  cr_assert_eq(run("weights init clip:tiny --seed 7 -o %s/b.safetensors", dir), 0);
  cr_assert_eq(run("weights init clip:tiny --seed 8 -o %s/c.safetensors", dir), 0);
  snprintf(text, sizeof text, "cmp -s %s/a.safetensors %s/b.safetensors", dir, dir);
  cr_expect(system(text) == 0);
  snprintf(text, sizeof text, "cmp -s %s/a.safetensors %s/c.safetensors", dir, dir);
  cr_expect(system(text) != 0);
  cr_assert_eq(run("weights init clip:tiny --seed 7 -o - | cmp - %s/a.safetensors", dir), 0);
}

Test(driver_weights, pack_and_inspect) {
  cr_assert_eq(run("weights init vit:tiny -o %s/a.safetensors", dir), 0);
  cr_assert_eq(run("weights pack vit:tiny -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  cr_assert_eq(run("weights inspect %s/a.safetensors", dir), 0);
  cr_expect(output_has("encoder.ln.weight"));
  cr_assert_eq(run("weights inspect %s/a.syw --json", dir), 0);
  cr_expect(output_has("\"packed weights\""));
  flip_last_byte("a.syw"); // padding is checked as well
  cr_expect_eq(run("weights inspect %s/a.syw", dir), 1);
  cr_expect(output_has("WRONG CHECKSUM"));
}

Test(driver_weights, damaged_packed_files_are_refused) {
  char text[512];
  cr_assert_eq(run("weights init vit:tiny -o %s/a.safetensors", dir), 0);
  cr_assert_eq(run("weights pack vit:tiny -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  static const int lengths[] = {9, 40, 48, 100, 4096, 20000};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    snprintf(text, sizeof text, "head -c %d %s/a.syw >%s/b.syw", lengths[i], dir, dir);
    cr_assert(system(text) == 0);
    cr_expect_eq(run("weights inspect %s/b.syw", dir), 1, "cut to %d bytes", lengths[i]);
  }
}

Test(driver_weights, not_a_number_is_found) {
  write_one("nan.safetensors", "x", 5000, NAN);
  cr_expect_eq(run("weights inspect %s/nan.safetensors", dir), 1);
  cr_expect(output_has("1 NaN, 0 inf"));
  cr_assert_eq(run("weights init vit:tiny -o %s/a.safetensors", dir), 0);
  write_one("bias.safetensors", "heads.head.bias", 10, INFINITY);
  cr_expect_eq(run("weights pack vit:tiny --routes classify -w %s/a.safetensors -w %s/bias.safetensors -o %s/a.syw",
                   dir, dir, dir),
               0);
  cr_expect(output_has("heads.head.bias has 0 NaN and 1 infinite"));
}

Test(driver_weights, what_does_not_fit_is_reported) {
  write_one("one.safetensors", "heads.head.bia", 10, 0);
  cr_expect_eq(run("weights pack vit:tiny -w %s/one.safetensors -o %s/a.syw", dir, dir), 1);
  cr_expect(output_has("of 32 tensors 32 missing, 0 of another shape"));
  cr_expect(output_has("it seems to be that of another model, or of another size"));
  cr_expect_eq(output_count("missing      "), 20);
  cr_expect(output_has("... and 12 more (--verbose lists all)"));
  cr_expect_eq(run("weights pack vit:tiny -v -w %s/one.safetensors -o %s/a.syw", dir, dir), 1);
  cr_expect_eq(output_count("missing      "), 32, "in full");
  cr_expect(!output_has("more (--verbose"));
  cr_expect(output_has("missing      heads.head.bias f32[10]; near: heads.head.bia F32[10]"));
  cr_expect(output_has("missing      class_token f32[1,1,32]"));
  cr_assert_eq(run("weights init vit:tiny -o %s/a.safetensors", dir), 0);
  write_one("bias.safetensors", "heads.head.bias", 11, 0);
  cr_expect_eq(run("weights pack vit:tiny -w %s/a.safetensors -w %s/bias.safetensors -o %s/a.syw", dir, dir, dir), 1);
  cr_expect(output_has("other shape  heads.head.bias f32[10], in the checkpoint F32[11]"));
  cr_expect(!output_has("it seems to be"), "one of 32 is wrong");
  cr_expect_eq(run("weights pack vit:tiny --routes features -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  cr_expect(output_has("unused       heads.head.weight"));
}

Test(driver_weights, preset_that_fits_is_named) {
  cr_assert_eq(run("weights init clip:resnet_tiny -o %s/a.safetensors", dir), 0);
  cr_expect_eq(run("weights pack clip:b32 -w %s/a.safetensors -o %s/a.syw", dir, dir), 1);
  cr_expect(output_has("it is that of clip:resnet_tiny\n"));
  cr_expect_eq(output_count("error"), 1, "what is wrong with the other presets is not reported");
  cr_assert_eq(run("weights init clip:resnet_tiny -D embed=24 -o %s/a.safetensors", dir), 0);
  cr_expect_eq(run("weights pack clip:b32 -w %s/a.safetensors -o %s/a.syw", dir, dir), 1);
  cr_expect(!output_has("it is that of"), "another width");
  cr_expect_eq(run("weights pack clip:b32 -D embed=24 -w %s/a.safetensors -o %s/a.syw", dir, dir), 1);
  cr_expect(output_has("it is that of clip:resnet_tiny\n"), "with the same options");
}

Test(driver_weights, counters_of_batch_norm_are_not_missed) {
  cr_assert_eq(run("weights init vit:tiny -o %s/a.safetensors", dir), 0);
  write_scalar("count.safetensors", "stem.bn1.num_batches_tracked", ST_I64);
  cr_expect_eq(run("weights pack vit:tiny -w %s/a.safetensors -w %s/count.safetensors -o %s/a.syw", dir, dir, dir), 0);
  cr_expect(!output_has("not used"));
  write_scalar("count.safetensors", "stem.bn1.running_count", ST_I64);
  cr_expect_eq(run("weights pack vit:tiny -w %s/a.safetensors -w %s/count.safetensors -o %s/a.syw", dir, dir, dir), 0);
  cr_expect(output_has("unused       stem.bn1.running_count I64[]"));
  write_scalar("count.safetensors", "stem.bn1.num_batches_tracked", ST_F32);
  cr_expect_eq(run("weights pack vit:tiny -w %s/a.safetensors -w %s/count.safetensors -o %s/a.syw", dir, dir, dir), 0);
  cr_expect(output_has("unused       stem.bn1.num_batches_tracked F32[]"), "a real number may be a weight");
}

typedef struct Beside {
  const char *name;
  int status;
} Beside;

static void check_beside(const char *model, const char *spec, const Beside *b, size_t n) {
  cr_assert_eq(run("weights init %s -q -o %s/a.safetensors", spec, dir), 0);
  for (size_t i = 0; i < n; i++) {
    cr_expect_eq(pack_beside(model, b[i].name, ST_F32, 3), b[i].status, "%s beside %s", b[i].name, model);
    if (b[i].status) cr_expect(output_has("left over") && output_has(b[i].name), "-q does not hide it");
  }
}
#define BESIDE(model, spec, list) check_beside(model, spec, list, sizeof list / sizeof *list)

Test(driver_weights, leftovers_inside_modules_are_refused) {
  static const Beside timm[] = {{"blocks.0.ls1.gamma", 1},
                                {"blocks.1.attn.q_norm.weight", 1},
                                {"blocks.1.attn.rel_pos_bias.relative_position_bias_table", 1},
                                {"blocks.0.attn.qkv.lora_A.default.weight", 1},
                                {"blocks.0.attn.qkv.weight_scale", 1},
                                {"blocks.2.norm1.weight", 1},
                                {"blocks.11.attn.proj.bias", 1},
                                {"norm_pre.weight", 1},
                                {"fc_norm.weight", 1},
                                {"patch_embed.norm.bias", 1},
                                {"patch_embed.proj.weight_g", 1},
                                {"dist_token", 1},
                                {"reg_token", 1},
                                {"head.weight_g", 1},
                                {"other.adapter.down.weight", 1},
                                {"mask_token", 0},
                                {"head_dist.weight", 0},
                                {"decoder_pos_embed", 0},
                                {"decoder_blocks.0.norm1.weight", 0},
                                {"decoder.blocks.2.norm1.weight", 0},
                                {"lm_head.weight", 0},
                                {"text.blocks.0.norm.weight", 0},
                                {"blocks_m.0.norm.weight", 0},
                                {"image_queue", 0},
                                {"optimizer.state.0.exp_avg", 0},
                                {"blocks.0.attn.relative_coords_table", 0}};
  BESIDE("vit_timm:tiny", "vit_timm:tiny", timm);
  static const Beside torchvision[] = {{"encoder.layers.encoder_layer_2.ln_1.weight", 1},
                                       {"encoder.layers.encoder_layer_0.ls_1.gamma", 1},
                                       {"encoder.something.weight", 1},
                                       {"heads.pre_logits.weight", 1},
                                       {"extra", 0},
                                       {"backbone.norm.weight", 0}};
  BESIDE("vit:tiny", "vit:tiny", torchvision);
  static const Beside bert[] = {{"bert.encoder.layer.3.output.dense.bias", 1},
                                {"bert.embeddings.projection_norm.weight", 1},
                                {"bert.embeddings_norm.weight", 1},
                                {"bert.encoder.layer.0.attention.self.distance_embedding.weight", 1},
                                {"cls.predictions.decoder.weight", 0},
                                {"qa_outputs.weight", 0},
                                {"classifier.weight", 0}};
  BESIDE("bert:tiny --routes text", "bert:tiny", bert);
  static const Beside clip[] = {{"logit_bias", 1},
                                {"cls_emb", 1},
                                {"transformer.norm.weight", 1},
                                {"visual.transformer.ln_mid.bias", 1},
                                {"transformer.head.weight", 0},
                                {"text_decoder.ln_1.weight", 0}};
  BESIDE("clip:tiny", "clip:tiny", clip);
  static const Beside image[] = {{"logit_bias", 0}};
  BESIDE("clip:tiny --routes image", "clip:tiny", image);
}

// Scores by the table of words: a copy of it in the file is nothing, another table is another model.
Test(driver_weights, tables_that_are_not_tied) {
  write_text("p.sy", "model m(n = 4) {\n  dim B = 1..8\n  route r(x: f32[B, n]) -> y: f32[B, n] {\n"
                     "    weight table: f32[n]  @words.weight\n    weight bias: f32[n]  @scores.bias\n"
                     "    return x * table + bias\n  }\n}\n");
  write_one("a.safetensors", "words.weight", 4, 2);
  write_one("b.safetensors", "scores.bias", 4, 1);
  static const struct {
    const char *name;
    int64_t n;
    float last;
    int status;
  } file[] = {{"scores.decoder.weight", 4, 2, 0},
              {"scores.decoder.bias", 4, 1, 0},
              {"scores.decoder.weight", 4, 3, 1},
              {"scores.decoder.weight", 5, 3, 0},
              {"other.decoder.weight", 4, 3, 0}};
  for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
    write_one("c.safetensors", file[i].name, file[i].n, file[i].last);
    cr_expect_eq(run("weights pack %s/p.sy -w %s/a.safetensors -w %s/b.safetensors -w %s/c.safetensors -o %s/x.syw",
                     dir, dir, dir, dir, dir),
                 file[i].status, "%zu", i);
  }
}

Test(driver_weights, harmless_leftovers_and_other_routes) {
  cr_assert_eq(run("weights init vit_timm:tiny -q -o %s/a.safetensors", dir), 0);
  cr_expect_eq(pack_beside("vit_timm:tiny", "blocks.0.attn.bias", ST_BOOL, 9), 0, "a mask");
  cr_expect_eq(pack_beside("vit_timm:tiny", "blocks.0.attn.index", ST_I64, 9), 0);
  cr_expect_eq(pack_beside("vit_timm:tiny", "blocks.0.attn.none", ST_F32, 0), 0, "no elements");
  cr_expect_eq(run("weights pack vit_timm:tiny --routes features -w %s/a.safetensors -o %s/x.syw", dir, dir), 0);
  cr_expect(output_has("unused       head.weight"), "of another route");
  StError err;
  char path[128];
  snprintf(path, sizeof path, "%s/mask.safetensors", dir);
  StDesc d = {.name = "blocks.0.attn.bias", .dtype = ST_F32, .rank = 4, .shape = {1, 1, 2, 2}};
  for (int causal = 0; causal < 2; causal++) {
    float mask[4] = {1, 0, 1, causal ? 1.0f : 2.0f};
    StWriter *w = st_write_begin(path, 1, &d, &err);
    cr_assert(w && st_write_data(w, mask, sizeof mask, &err) && st_write_end(w, &err));
    cr_expect_eq(
        run("weights pack vit_timm:tiny -w %s/a.safetensors -w %s/mask.safetensors -o %s/x.syw", dir, dir, dir),
        !causal);
  }
}

Test(driver_weights, weights_of_other_routes_of_a_page_from_a_pipe) {
  write_text("p.sy", "model m(n = 4) {\n  dim B = 1..8\n"
                     "  route r(x: f32[B, n]) -> y: f32[B, n] {\n    weight weight: f32[n]  @fc.weight\n"
                     "    return x * weight\n  }\n"
                     "  route q(x: f32[B, n]) -> y: f32[B, n] {\n    weight weight: f32[n]  @fc.weight\n"
                     "    weight bias: f32[n]  @fc.bias\n    return x * weight + bias\n  }\n}\n");
  write_one("a.safetensors", "fc.weight", 4, 1);
  write_one("b.safetensors", "fc.bias", 4, 1);
  write_one("c.safetensors", "fc.scale", 4, 1);
  cr_expect_eq(
      run("weights pack - --routes r -w %s/a.safetensors -w %s/b.safetensors -o %s/x.syw <%s/p.sy", dir, dir, dir, dir),
      0);
  cr_expect(output_has("unused       fc.bias"));
  cr_expect_eq(
      run("weights pack - --routes r -w %s/a.safetensors -w %s/c.safetensors -o %s/x.syw <%s/p.sy", dir, dir, dir, dir),
      1);
}

Test(driver_weights, leftovers_can_be_ignored) {
  cr_assert_eq(run("weights init vit:tiny -D depth=3 -q -o %s/a.safetensors", dir), 0);
  cr_expect_eq(run("weights pack vit:tiny -w %s/a.safetensors -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("12 tensors of the checkpoint lie in modules of the model"));
  cr_expect_eq(output_count("left over    encoder.layers.encoder_layer_2."), 12);
  cr_expect_eq(run("weights pack vit:tiny --ignore '*_2.*' -w %s/a.safetensors -o %s/x.syw", dir, dir), 0);
  cr_expect(!output_has("not used"));
  cr_expect_eq(
      run("weights pack vit:tiny --ignore '*_?.ln*' --ignore '*.mlp.*' -w %s/a.safetensors -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("4 tensors of the checkpoint lie in modules"));
  cr_expect_eq(run("weights pack vit:tiny --ignore '*encoder_layer_' -w %s/a.safetensors -o %s/x.syw", dir, dir), 1);
  write_below("a.safetensors", "below.safetensors", (const char *const[2]){"module.", NULL});
  cr_expect_eq(run("weights pack vit:tiny -w %s/below.safetensors -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("left over    module.encoder.layers.encoder_layer_2.ln_1.weight"));
  cr_expect_eq(run("weights pack vit:tiny --ignore 'encoder*_2.*' -w %s/below.safetensors -o %s/x.syw", dir, dir), 0);
  cr_expect_eq(run("weights pack vit:tiny --ignore 'module*_2.*' -w %s/below.safetensors -o %s/x.syw", dir, dir), 0);
  cr_assert_eq(run("weights init vit:tiny -D depth=5 -q -o %s/a.safetensors", dir), 0);
  cr_expect_eq(run("weights pack vit:tiny -w %s/a.safetensors -o %s/x.syw", dir, dir), 1);
  cr_expect_eq(output_count("left over    "), 20);
  cr_expect(output_has("... and 16 more"));
}

Test(driver_weights, names_below_a_prefix) {
  cr_assert_eq(run("weights init vit:tiny -o %s/a.safetensors", dir), 0);
  cr_assert_eq(run("weights pack vit:tiny -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  write_below("a.safetensors", "m.safetensors", (const char *const[2]){"module.", NULL});
  cr_expect_eq(run("weights pack vit:tiny -w %s/m.safetensors -o %s/m.syw", dir, dir), 0);
  cr_expect(output_has("begin with 'module.'"));
  cr_expect(!output_has("not used"), "what lies below the prefix is used");
  cr_expect(same_files("a.syw", "m.syw"));
  cr_expect_eq(run("weights pack vit:tiny --strip-prefix module. -w %s/m.safetensors -o %s/n.syw", dir, dir), 0);
  cr_expect(!output_has("begin with"));
  cr_expect(same_files("a.syw", "n.syw"));
  cr_expect_eq(run("weights pack vit:tiny --strip-prefix teacher. -w %s/m.safetensors -o %s/x.syw", dir, dir), 1);

  write_below("a.safetensors", "two.safetensors", (const char *const[2]){"student.", "teacher."});
  cr_expect_eq(run("weights pack vit:tiny -w %s/two.safetensors -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("'student.' and below 'teacher.'; choose with --strip-prefix"));
  cr_expect_eq(run("weights pack vit:tiny --strip-prefix teacher. -w %s/two.safetensors -o %s/t.syw", dir, dir), 0);
  cr_expect(same_files("a.syw", "t.syw"));
}

// bf16 has steps of 2^-7 above 1. The element lies above the middle of a step by less than a float can hold: rounded to
// a float first it would be a tie.
Test(driver_weights, narrow_weights_of_a_page_are_rounded_once) {
  write_text("p.sy", "model m(n = 2) {\n  dim B = 1..8\n  route r(x: f32[B, n]) -> y: f32[B, n] {\n"
                     "    weight b: bf16[n]\n    weight h: f16[n]\n"
                     "    return x * cast(h, f32) + cast(b, f32)\n  }\n}\n");
  cr_assert_eq(run("weights init %s/p.sy -o %s/a.safetensors", dir, dir), 0);
  StFile *f = open_in_dir("a.safetensors");
  cr_assert(st_find(f, "b")->dtype == ST_BF16 && st_find(f, "h")->dtype == ST_F16);
  st_close(f);
  cr_assert_eq(run("weights pack %s/p.sy -w %s/a.safetensors -o %s/a.syw", dir, dir, dir), 0);
  cr_expect(!output_has("rounded"), "it is what the page asks for");
  cr_assert_eq(run("weights convert %s/a.safetensors --dtype f32 -o %s/b.safetensors", dir, dir), 0);
  cr_assert_eq(run("weights pack %s/p.sy -w %s/b.safetensors -o %s/b.syw", dir, dir, dir), 0);
  cr_expect(output_has("2 weights are rounded to the narrower type of the page"));
  cr_expect(same_files("a.syw", "b.syw"));
  char path[128];
  StError err;
  StDesc d[2] = {{.name = "b", .dtype = ST_F64, .rank = 1, .shape = {2}},
                 {.name = "h", .dtype = ST_F32, .rank = 1, .shape = {2}}};
  double b[2] = {1 + 0x1p-8 + 0x1p-40, 0.5};
  float h[2] = {1 + 0x1p-11f, 65520};
  snprintf(path, sizeof path, "%s/c.safetensors", dir);
  StWriter *w = st_write_begin(path, 2, d, &err);
  cr_assert(w && st_write_data(w, b, sizeof b, &err) && st_write_data(w, h, sizeof h, &err) && st_write_end(w, &err));
  cr_assert_eq(run("weights pack %s/p.sy -w %s/c.safetensors -o %s/c.syw", dir, dir, dir), 0);
  cr_expect(output_has("h has elements up to 65520, which become infinite as F16"));
  cr_expect_eq(run("weights inspect %s/c.syw", dir), 1);
  cr_expect(output_has("1.0078"), "1 + 2^-7");
  cr_expect(output_has("[2]                           1            1            1  0 NaN, 1 inf"), "a tie is even");
}

Test(driver_weights, axes_of_length_1_do_not_count) {
  write_text("p.sy", "model m(n = 3) {\n  dim B = 1..8\n  route r(x: f32[B, n]) -> y: f32[B, n] {\n"
                     "    weight a: f32[1, 1, n]\n    weight s: f32\n    weight m: f32[n, 1]\n"
                     "    return x * s + reshape(a, [n]) + reshape(m, [n])\n  }\n}\n");
  static const struct {
    StDesc d[3];
    int status;
  } file[] = {
      {{{"a", ST_F32, 3, {1, 1, 3}}, {"s", ST_F32, 0, {0}}, {"m", ST_F32, 2, {3, 1}}}, 0},
      {{{"a", ST_F32, 2, {1, 3}}, {"s", ST_F32, 1, {1}}, {"m", ST_F32, 1, {3}}}, 0},
      {{{"a", ST_F32, 1, {3}}, {"s", ST_F32, 2, {1, 1}}, {"m", ST_F32, 4, {3, 1, 1, 1}}}, 0},
      {{{"a", ST_F32, 4, {1, 3, 1, 1}}, {"s", ST_F32, 0, {0}}, {"m", ST_F32, 2, {1, 3}}}, 0},
      {{{"a", ST_F32, 1, {4}}, {"s", ST_F32, 0, {0}}, {"m", ST_F32, 1, {2}}}, 1},
      {{{"a", ST_F32, 1, {3}}, {"s", ST_F32, 1, {2}}, {"m", ST_F32, 1, {2}}}, 1},
  };
  static const float value[7] = {1, 2, 3, 4, 5, 6, 7};
  for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
    char path[128];
    StError err;
    snprintf(path, sizeof path, "%s/w%zu.safetensors", dir, i);
    StWriter *w = st_write_begin(path, 3, file[i].d, &err);
    cr_assert(w && st_write_data(w, value, sizeof value, &err) && st_write_end(w, &err), "%zu: %s", i, err.text);
    cr_expect_eq(run("weights pack %s/p.sy -w %s -o %s/w%zu.syw", dir, path, dir, i), file[i].status, "%zu", i);
    char packed[32];
    snprintf(packed, sizeof packed, "w%zu.syw", i);
    if (!file[i].status) cr_expect(same_files("w0.syw", packed), "%zu", i);
  }
}

Test(driver_weights, wrong_use) {
  cr_expect_eq(run("weights"), 2);
  cr_expect_eq(run("weights prune x"), 2);
  cr_expect_eq(run("weights init vit:tiny"), 2);
  cr_expect_eq(run("weights pack vit:tiny -o %s/x", dir), 2);
  cr_expect_eq(run("weights inspect %s/absent", dir), 3);
  cr_expect_eq(run("weights init vit:tiny -o %s/absent/x", dir), 3);
}

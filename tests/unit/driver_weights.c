// driver_weights.c: seeded weights and their statistics, checkpoints that fit and do not fit, packed files and `syc
// weights`.
//
// The command is run as a program (SYC, or build/bin/syc beside the tests); without one those tests are skipped.
#include "ckpt/safetensors.h"
#include "runtime/weights_format.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/driver_weights_XXXXXX";
static char syc[1024];

static void set_up(void) {
  const char *env = getenv("SYC");
  ssize_t n = readlink("/proc/self/exe", syc, sizeof syc - 16);
  syc[n > 0 ? n : 0] = 0;
  char *slash = strrchr(syc, '/');
  if (slash) strcpy(slash, "/../bin/syc");
  if (env && *env) snprintf(syc, sizeof syc, "%s", env);
  cr_assert(mkdtemp(dir));
  if (access(syc, X_OK) != 0) cr_skip_test("no syc at %s", syc);
}

static void tear_down(void) {
  char text[1200];
  snprintf(text, sizeof text, "rm -rf '%s'", dir);
  cr_expect(system(text) == 0);
}

// Runs "syc ARGUMENTS" with %s = the folder; output goes to out.txt there. The exit status.
static int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *fmt, ...) {
  char args[2048], text[4200];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(args, sizeof args, fmt, ap);
  va_end(ap);
  snprintf(text, sizeof text, "'%s' %s >'%s/out.txt' 2>&1", syc, args, dir);
  int status = system(text);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// How often the output of the last run has it.
static int output_count(const char *what) {
  char path[64], text[65536];
  snprintf(path, sizeof path, "%s/out.txt", dir);
  FILE *f = fopen(path, "rb");
  cr_assert(f);
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  int count = 0;
  for (const char *s = text; (s = strstr(s, what)); s += strlen(what)) count++;
  return count;
}

static bool output_has(const char *what) {
  return output_count(what) > 0;
}

static StFile *open_in_dir(const char *name) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  StError err;
  StFile *f = st_open(path, &err);
  cr_assert(f, "%s", err.text);
  return f;
}

// A checkpoint of one tensor [n] of zeros with `last` as its last element.
static void write_one(const char *name, const char *tensor, int64_t n, float last) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  StError err;
  StDesc d = {.name = tensor, .dtype = ST_F32, .rank = 1, .shape = {n}};
  StWriter *w = st_write_begin(path, 1, &d, &err);
  cr_assert(w, "%s", err.text);
  for (int64_t i = 0; i < n; i++) {
    float v = i == n - 1 ? last : 0;
    cr_assert(st_write_data(w, &v, sizeof v, &err));
  }
  cr_assert(st_write_end(w, &err));
}

static void write_scalar(const char *name, const char *tensor, StDtype dtype) {
  static const uint64_t zero = 0;
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  StError err;
  StDesc d = {.name = tensor, .dtype = dtype};
  StWriter *w = st_write_begin(path, 1, &d, &err);
  cr_assert(w && st_write_data(w, &zero, st_dtype_size(dtype), &err) && st_write_end(w, &err), "%s", err.text);
}

// Copies a checkpoint with every name behind the first prefix and, if there is one, again behind the second.
static void write_below(const char *from, const char *to, const char *const prefix[2]) {
  static char name[400][128];
  static StDesc d[400];
  StFile *f = open_in_dir(from);
  size_t n = st_count(f), sets = prefix[1] ? 2 : 1;
  char path[128];
  StError err;
  snprintf(path, sizeof path, "%s/%s", dir, to);
  cr_assert(sets * n <= 400);
  for (size_t i = 0; i < sets * n; i++) {
    const StTensor *t = st_at(f, i % n);
    snprintf(name[i], sizeof name[i], "%s%s", prefix[i / n], t->name);
    d[i] = (StDesc){.name = name[i], .dtype = t->dtype, .rank = t->rank};
    memcpy(d[i].shape, t->shape, sizeof t->shape);
  }
  StWriter *w = st_write_begin(path, sets * n, d, &err);
  cr_assert(w, "%s", err.text);
  for (size_t i = 0; i < sets * n; i++)
    cr_assert(st_write_data(w, st_at(f, i % n)->data, st_at(f, i % n)->bytes, &err));
  cr_assert(st_write_end(w, &err), "%s", err.text);
  st_close(f);
}

static void write_text(const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "wb");
  cr_assert(f && fputs(text, f) >= 0);
  cr_assert(fclose(f) == 0);
}

static bool same_files(const char *a, const char *b) {
  char text[512];
  snprintf(text, sizeof text, "cmp -s '%s/%s' '%s/%s'", dir, a, dir, b);
  return system(text) == 0;
}

// Equal but for the plan that they are packed for (bytes 16 to 23, see weights_format.h)? *plan: are these equal?
static bool same_weights(const char *a, const char *b, bool *plan) {
  char text[512];
  snprintf(text, sizeof text, "cmp -s -n 16 '%s/%s' '%s/%s' && cmp -s -i 24 '%s/%s' '%s/%s'", dir, a, dir, b, dir, a,
           dir, b);
  *plan = same_files(a, b);
  return system(text) == 0;
}

static void flip_last_byte(const char *name) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "r+b");
  cr_assert(f && fseek(f, -1, SEEK_END) == 0);
  int c = fgetc(f);
  cr_assert(fseek(f, -1, SEEK_END) == 0);
  fputc(c ^ 0x5a, f);
  cr_assert(fclose(f) == 0);
}

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

// Tensors that nothing asks for, beside the weights of a model.
static int pack_beside(const char *model, const char *extra, StDtype dtype, int64_t n) {
  char path[128];
  snprintf(path, sizeof path, "%s/extra.safetensors", dir);
  StError err;
  StDesc d = {.name = extra, .dtype = dtype, .rank = 1, .shape = {n}};
  StWriter *w = st_write_begin(path, 1, &d, &err);
  static const double zero[64] = {0};
  cr_assert(w && st_write_data(w, zero, (size_t)n * st_dtype_size(dtype), &err) && st_write_end(w, &err), "%s",
            err.text);
  return run("weights pack %s -w %s/a.safetensors -w %s/extra.safetensors -o %s/x.syw -q", model, dir, dir, dir);
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
      {BYTES("GGUF\3\0\0\0\x10\0\0\0\0\0\0\0"), "a GGUF file"},
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

/* names of Hugging Face's transformers ------------------------------------------------------------------------------
 */
// Tensor `theirs` is part `part` of `of` of the rows of `ours`, or its transpose (of = -1). '#' is a layer; a name that
// ends in '.' or '_' stands for that of the weight and of the bias.
typedef struct Theirs {
  const char *theirs, *ours;
  int part, of;
} Theirs;
static const Theirs vit_names[] = {
    {"vit.embeddings.cls_token", "class_token", 0, 1},
    {"vit.embeddings.position_embeddings", "encoder.pos_embedding", 0, 1},
    {"vit.embeddings.patch_embeddings.projection.", "conv_proj.", 0, 1},
    {"vit.encoder.layer.#.attention.attention.query.", "encoder.layers.encoder_layer_#.self_attention.in_proj_", 0, 3},
    {"vit.encoder.layer.#.attention.attention.key.", "encoder.layers.encoder_layer_#.self_attention.in_proj_", 1, 3},
    {"vit.encoder.layer.#.attention.attention.value.", "encoder.layers.encoder_layer_#.self_attention.in_proj_", 2, 3},
    {"vit.encoder.layer.#.attention.output.dense.", "encoder.layers.encoder_layer_#.self_attention.out_proj.", 0, 1},
    {"vit.encoder.layer.#.intermediate.dense.", "encoder.layers.encoder_layer_#.mlp.0.", 0, 1},
    {"vit.encoder.layer.#.output.dense.", "encoder.layers.encoder_layer_#.mlp.3.", 0, 1},
    {"vit.encoder.layer.#.layernorm_before.", "encoder.layers.encoder_layer_#.ln_1.", 0, 1},
    {"vit.encoder.layer.#.layernorm_after.", "encoder.layers.encoder_layer_#.ln_2.", 0, 1},
    {"vit.layernorm.", "encoder.ln.", 0, 1},
    {"classifier.", "heads.head.", 0, 1},
};
#define CLIP_LAYERS(theirs, ours)                                                                                      \
  {theirs ".encoder.layers.#.self_attn.q_proj.", ours ".#.attn.in_proj_", 0, 3},                                       \
      {theirs ".encoder.layers.#.self_attn.k_proj.", ours ".#.attn.in_proj_", 1, 3},                                   \
      {theirs ".encoder.layers.#.self_attn.v_proj.", ours ".#.attn.in_proj_", 2, 3},                                   \
      {theirs ".encoder.layers.#.self_attn.out_proj.", ours ".#.attn.out_proj.", 0, 1},                                \
      {theirs ".encoder.layers.#.layer_norm1.", ours ".#.ln_1.", 0, 1},                                                \
      {theirs ".encoder.layers.#.layer_norm2.", ours ".#.ln_2.", 0, 1},                                                \
      {theirs ".encoder.layers.#.mlp.fc1.", ours ".#.mlp.c_fc.", 0, 1},                                                \
      {theirs ".encoder.layers.#.mlp.fc2.", ours ".#.mlp.c_proj.", 0, 1},
static const Theirs clip_names[] = {
    {"logit_scale", "logit_scale", 0, 1},
    {"text_model.embeddings.token_embedding.weight", "token_embedding.weight", 0, 1},
    {"text_model.embeddings.position_embedding.weight", "positional_embedding", 0, 1},
    {"text_model.final_layer_norm.", "ln_final.", 0, 1},
    {"vision_model.embeddings.class_embedding", "visual.class_embedding", 0, 1},
    {"vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight", 0, 1},
    {"vision_model.embeddings.position_embedding.weight", "visual.positional_embedding", 0, 1},
    {"vision_model.pre_layrnorm.", "visual.ln_pre.", 0, 1}, // their spelling
    {"vision_model.post_layernorm.", "visual.ln_post.", 0, 1},
    {"visual_projection.weight", "visual.proj", 0, -1},
    {"text_projection.weight", "text_projection", 0, -1},
    CLIP_LAYERS("text_model", "transformer.resblocks") CLIP_LAYERS("vision_model", "visual.transformer.resblocks")};
#define BERT_LAYER(theirs, ours, gain, bias)                                                                           \
  {theirs "attention.self.query.", ours "attention.self.query.", 0, 1},                                                \
      {theirs "attention.self.key.", ours "attention.self.key.", 0, 1},                                                \
      {theirs "attention.self.value.", ours "attention.self.value.", 0, 1},                                            \
      {theirs "attention.output.dense.", ours "attention.output.dense.", 0, 1},                                        \
      {theirs "attention.output.LayerNorm." gain, ours "attention.output.LayerNorm.weight", 0, 1},                     \
      {theirs "attention.output.LayerNorm." bias, ours "attention.output.LayerNorm.bias", 0, 1},                       \
      {theirs "intermediate.dense.", ours "intermediate.dense.", 0, 1},                                                \
      {theirs "output.dense.", ours "output.dense.", 0, 1},                                                            \
      {theirs "output.LayerNorm." gain, ours "output.LayerNorm.weight", 0, 1},                                         \
      {theirs "output.LayerNorm." bias, ours "output.LayerNorm.bias", 0, 1},
static const Theirs bert_names[] = {
    {"bert.embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight", 0, 1},
    {"bert.embeddings.position_embeddings.weight", "bert.embeddings.position_embeddings.weight", 0, 1},
    {"bert.embeddings.token_type_embeddings.weight", "bert.embeddings.token_type_embeddings.weight", 0, 1},
    {"bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight", 0, 1},
    {"bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias", 0, 1},
    {"bert.pooler.dense.", "bert.pooler.dense.", 0, 1},
    {"cls.predictions.bias", "cls.predictions.bias", 0, 1},
    {"cls.predictions.transform.dense.", "cls.predictions.transform.dense.", 0, 1},
    {"cls.predictions.transform.LayerNorm.gamma", "cls.predictions.transform.LayerNorm.weight", 0, 1},
    {"cls.predictions.transform.LayerNorm.beta", "cls.predictions.transform.LayerNorm.bias", 0, 1},
    {"cls.seq_relationship.", "cls.seq_relationship.", 0, 1},
    BERT_LAYER("bert.encoder.layer.#.", "bert.encoder.layer.#.", "gamma", "beta")};
static const Theirs vilt_names[] = {
    {"vilt.embeddings.cls_token", "transformer.cls_token", 0, 1},
    {"vilt.embeddings.position_embeddings", "transformer.pos_embed", 0, 1},
    {"vilt.embeddings.text_embeddings.word_embeddings.weight", "text_embeddings.word_embeddings.weight", 0, 1},
    {"vilt.embeddings.text_embeddings.position_embeddings.weight", "text_embeddings.position_embeddings.weight", 0, 1},
    {"vilt.embeddings.text_embeddings.token_type_embeddings.weight", "text_embeddings.token_type_embeddings.weight", 0,
     1},
    {"vilt.embeddings.text_embeddings.LayerNorm.", "text_embeddings.LayerNorm.", 0, 1},
    {"vilt.embeddings.patch_embeddings.projection.", "transformer.patch_embed.proj.", 0, 1},
    {"vilt.embeddings.token_type_embeddings.weight", "token_type_embeddings.weight", 0, 1},
    {"vilt.encoder.layer.#.attention.attention.query.", "transformer.blocks.#.attn.qkv.", 0, 3},
    {"vilt.encoder.layer.#.attention.attention.key.", "transformer.blocks.#.attn.qkv.", 1, 3},
    {"vilt.encoder.layer.#.attention.attention.value.", "transformer.blocks.#.attn.qkv.", 2, 3},
    {"vilt.encoder.layer.#.attention.output.dense.", "transformer.blocks.#.attn.proj.", 0, 1},
    {"vilt.encoder.layer.#.intermediate.dense.", "transformer.blocks.#.mlp.fc1.", 0, 1},
    {"vilt.encoder.layer.#.output.dense.", "transformer.blocks.#.mlp.fc2.", 0, 1},
    {"vilt.encoder.layer.#.layernorm_before.", "transformer.blocks.#.norm1.", 0, 1},
    {"vilt.encoder.layer.#.layernorm_after.", "transformer.blocks.#.norm2.", 0, 1},
    {"vilt.layernorm.", "transformer.norm.", 0, 1},
    {"vilt.pooler.dense.", "pooler.dense.", 0, 1},
    {"classifier.0.", "vqa_classifier.0.", 0, 1},
    {"classifier.1.", "vqa_classifier.1.", 0, 1},
    {"classifier.3.", "vqa_classifier.3.", 0, 1},
};
#define BLIP_EYE                                                                                                       \
  {"vision_model.embeddings.class_embedding", "visual_encoder.cls_token", 0, 1},                                       \
      {"vision_model.embeddings.position_embedding", "visual_encoder.pos_embed", 0, 1},                                \
      {"vision_model.embeddings.patch_embedding.", "visual_encoder.patch_embed.proj.", 0, 1},                          \
      {"vision_model.encoder.layers.#.self_attn.qkv.", "visual_encoder.blocks.#.attn.qkv.", 0, 1},                     \
      {"vision_model.encoder.layers.#.self_attn.projection.", "visual_encoder.blocks.#.attn.proj.", 0, 1},             \
      {"vision_model.encoder.layers.#.layer_norm1.", "visual_encoder.blocks.#.norm1.", 0, 1},                          \
      {"vision_model.encoder.layers.#.layer_norm2.", "visual_encoder.blocks.#.norm2.", 0, 1},                          \
      {"vision_model.encoder.layers.#.mlp.fc1.", "visual_encoder.blocks.#.mlp.fc1.", 0, 1},                            \
      {"vision_model.encoder.layers.#.mlp.fc2.", "visual_encoder.blocks.#.mlp.fc2.", 0, 1},                            \
      {"vision_model.post_layernorm.", "visual_encoder.norm.", 0, 1},
#define SAME(name)                                                                                                     \
  { name, name, 0, 1 }
static const Theirs blip_names[] = {
    BLIP_EYE SAME("text_decoder.bert.embeddings.word_embeddings.weight"),
    SAME("text_decoder.bert.embeddings.position_embeddings.weight"),
    SAME("text_decoder.bert.embeddings.LayerNorm."),
    SAME("text_decoder.cls.predictions.bias"),
    SAME("text_decoder.cls.predictions.transform.dense."),
    SAME("text_decoder.cls.predictions.transform.LayerNorm."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.self.query."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.self.key."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.self.value."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.output.dense."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.output.LayerNorm."),
    BERT_LAYER("text_decoder.bert.encoder.layer.#.", "text_decoder.bert.encoder.layer.#.", "weight", "bias")};

// Puts the layer and the parameter into a name.
static void fill_name(char dst[160], const char *name, int layer, const char *param) {
  size_t n = 0;
  for (const char *s = name; *s; s++) dst[n++] = *s == '#' ? (char)('0' + layer) : *s;
  char end = name[strlen(name) - 1];
  snprintf(dst + n, 160 - n, "%s", end == '.' || end == '_' ? param : "");
}

typedef struct Piece { // a tensor that is being written
  char name[160];
  const uint8_t *data;
  uint8_t *own; // to be freed
  size_t bytes;
} Piece;

static void cut_piece(const Theirs *m, const StTensor *t, StDesc *d, Piece *p) {
  *d = (StDesc){.name = p->name, .dtype = t->dtype, .rank = t->rank};
  memcpy(d->shape, t->shape, sizeof t->shape);
  p->bytes = t->bytes;
  p->data = t->data;
  p->own = NULL;
  if (m->of > 1) {
    d->shape[0] /= m->of;
    p->bytes /= (size_t)m->of;
    p->data += (size_t)m->part * p->bytes;
  }
  if (m->of > 0) return;
  size_t rows = (size_t)t->shape[0], cols = (size_t)t->shape[1];
  d->shape[0] = t->shape[1];
  d->shape[1] = t->shape[0];
  p->data = p->own = malloc(t->bytes);
  cr_assert(p->own);
  for (size_t i = 0; i < rows * cols; i++)
    memcpy(p->own + (i % cols * rows + i / cols) * 4, (const char *)t->data + 4 * i, 4);
}

static void write_theirs(const Theirs *map, size_t n, const char *from, const char *to) {
  static StDesc d[400];
  static Piece p[400];
  size_t count = 0;
  StFile *f = open_in_dir(from);
  for (size_t i = 0; i < n; i++)
    for (int layer = 0; layer < (strchr(map[i].ours, '#') ? 3 : 1); layer++)
      for (int bias = 0; bias < 2; bias++) {
        char ours[160];
        fill_name(ours, map[i].ours, layer, bias ? "bias" : "weight");
        const StTensor *t = st_find(f, ours);
        if (!t && layer == 2) continue; // two layers
        cr_assert(t, "no %s", ours);
        cr_assert(count < 400);
        fill_name(p[count].name, map[i].theirs, layer, bias ? "bias" : "weight");
        cut_piece(&map[i], t, &d[count], &p[count]);
        count++;
        if (strchr("._", map[i].ours[strlen(map[i].ours) - 1]) == NULL) break; // one parameter
      }
  char path[128];
  StError err = {""};
  snprintf(path, sizeof path, "%s/%s", dir, to);
  StWriter *w = st_write_begin(path, count, d, &err);
  cr_assert(w, "%s", err.text);
  for (size_t i = 0; i < count; i++) {
    cr_assert(st_write_data(w, p[i].data, p[i].bytes, &err));
    free(p[i].own);
  }
  cr_assert(st_write_end(w, &err), "%s", err.text);
  st_close(f);
}

// `facts`: the set brings parameters or preparations, so that the weights go with a program of these only.
static void check_theirs(const char *spec, const char *routes, bool facts, const Theirs *map, size_t n) {
  bool same_plan;
  cr_assert_eq(run("weights init %s --routes %s -o %s/a.safetensors", spec, routes, dir), 0);
  cr_assert_eq(run("weights pack %s --routes %s -w %s/a.safetensors -o %s/a.syw", spec, routes, dir, dir), 0);
  write_theirs(map, n, "a.safetensors", "hf.safetensors");
  cr_expect_eq(run("weights pack %s --routes %s -w %s/hf.safetensors -o %s/hf.syw", spec, routes, dir, dir), 0, "%s",
               spec);
  cr_expect(output_has("has the names of 'huggingface'"), "%s", spec);
  cr_expect(!output_has("not used"), "%s: what is renamed is used", spec);
  cr_expect(same_weights("a.syw", "hf.syw", &same_plan) && same_plan == !facts, "%s", spec);
  write_below("hf.safetensors", "below.safetensors", (const char *const[2]){"model.net.", NULL});
  cr_expect_eq(run("weights pack %s --routes %s -w %s/below.safetensors -o %s/hf.syw", spec, routes, dir, dir), 0, "%s",
               spec);
  cr_expect(output_has("has the names of 'huggingface' behind model.net.:"), "%s", spec);
  cr_expect(!output_has("not used"), "%s: what is renamed is used", spec);
  cr_expect(same_weights("a.syw", "hf.syw", &same_plan) && same_plan == !facts, "%s", spec);
}
#define NAMES(map) map, sizeof map / sizeof *map

Test(driver_weights, names_of_hugging_face) {
  check_theirs("vit:tiny", "classify", true, NAMES(vit_names));
  cr_expect_eq(run("weights inspect vit:tiny %s/hf.safetensors", dir), 0);
  cr_expect(output_has("encoder.layers.encoder_layer_1.self_attention.in_proj_weight"));
  cr_assert_eq(run("weights init vit:tiny -q -o %s/a.safetensors", dir), 0);
  write_theirs(NAMES(vit_names), "a.safetensors", "a.safetensors");
  cr_expect_eq(pack_beside("vit:tiny", "vit.encoder.layer.0.layer_scale1.lambda1", ST_F32, 32), 1);
  cr_expect_eq(pack_beside("vit:tiny", "vit.encoder.layer.2.layernorm_before.bias", ST_F32, 32), 1);
  cr_expect_eq(pack_beside("vit:tiny", "vit.embeddings.patch_embeddings.norm.bias", ST_F32, 32), 1);
  cr_expect_eq(pack_beside("vit:tiny", "vit.pooler.dense.bias", ST_F32, 32), 0);
  cr_expect_eq(pack_beside("vit:tiny --routes features", "vit.embeddings.mask_token", ST_F32, 32), 0);
  check_theirs("clip:tiny", "retrieve", true, NAMES(clip_names));
  check_theirs("bert:tiny", "masked_words,next_sentence", false, NAMES(bert_names));
  check_theirs("vilt:tiny", "vqa", true, NAMES(vilt_names));
  check_theirs("blip:caption_tiny", "caption_words", true, NAMES(blip_names));
}

// What a set of names says of its files beyond names: in force when such a file is packed, or by --names.
Test(driver_weights, facts_of_a_set_of_names) {
  write_text("f.sy", "rename other(eps = 0.25) {\n  prepare x: picture(filter = bicubic, mean = [0, 0, 0])\n"
                     "  \"w\" = \"v\"\n}\n"
                     "model m(n = 4, eps = 0.5) {\n  dim B = 1..8\n"
                     "  prepare x: picture(resize = square(n), filter = if eps > 1 { nearest } else { bilinear })\n"
                     "  route r(x: f32[B, n]) -> y: f32[B, n] {\n    weight w: f32[n]\n    return x + w * eps\n  }\n}\n"
                     "preset p = m()\npreset q = m(eps = 0.75)\npreset same = m()\n");
  write_one("own.safetensors", "w", 4, 1);
  write_one("theirs.safetensors", "v", 4, 1);
  static const char theirs[] = "picture(resize=square(4), filter=bicubic, mean=[0, 0, 0])";
  cr_expect_eq(run("build %s/f.sy:p -w %s/theirs.safetensors -o %s/t", dir, dir, dir), 0);
  cr_expect(output_has("files with the names of 'other' come with eps=0.25; x: filter=bicubic, mean=[0, 0, 0]"));
  cr_expect_eq(run("run %s/f.sy:p --names other -- --describe", dir), 0);
  cr_expect(output_has("built with preset=p, names=other, n=4, eps=0.25"));
  cr_expect(output_has(theirs));
  cr_expect_eq(run("build %s/f.sy:p -w %s/own.safetensors -o %s/o", dir, dir, dir), 0);
  cr_expect(output_has("the tensors fit these presets, too") && output_has("f.sy:q  eps=0.75"));
  cr_expect(!output_has("f.sy:same"));
  char text[1024];
  snprintf(text, sizeof text, "'%s/o' --weights '%s/t.syw' --selftest >'%s/out.txt' 2>&1", dir, dir, dir);
  cr_expect_eq(WEXITSTATUS(system(text)), 3, "weights of another epsilon");
  cr_expect(output_has("another build of this model"));
  cr_expect_eq(run("run %s/f.sy:q -w %s/theirs.safetensors -D eps=0.125 -- --describe", dir, dir), 0);
  cr_expect(output_has("built with preset=q, names=other, n=4, eps=0.125"), "-D wins");
  cr_expect_eq(run("weights pack %s/f.sy:p --names other -w %s/own.safetensors -o %s/x.syw", dir, dir, dir), 1);
  cr_expect(output_has("the checkpoint has the page's own names"));
  cr_expect_eq(run("emit %s/f.sy:p --names absent", dir), 1);
  cr_expect(output_has("it has other") && output_has("E0135"));
}

// What was saved as a part of the module lacks its name: BertModel in the file of a BertForPreTraining.
Test(driver_weights, names_without_a_prefix) {
  cr_assert_eq(run("weights init bert:tiny --routes text -o %s/a.safetensors", dir), 0);
  cr_assert_eq(run("weights pack bert:tiny --routes text -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  cr_assert_eq(run("weights convert %s/a.safetensors --strip-prefix bert. -o %s/b.safetensors", dir, dir), 0);
  cr_expect_eq(run("weights pack bert:tiny --routes text -w %s/b.safetensors -o %s/b.syw", dir, dir), 0);
  cr_expect(output_has("names of the checkpoint lack 'bert.' in front"));
  cr_expect(!output_has("not used"));
  cr_expect(same_files("a.syw", "b.syw"));
  cr_expect_eq(run("weights pack bert:tiny --routes text --add-prefix bert. -w %s/b.safetensors -o %s/c.syw", dir, dir),
               0);
  cr_expect(!output_has("lack"));
  cr_expect(same_files("a.syw", "c.syw"));
  cr_expect_eq(run("weights pack bert:tiny --routes text --add-prefix vit. -w %s/b.safetensors -o %s/c.syw", dir, dir),
               1);
  cr_assert_eq(run("weights convert %s/b.safetensors --add-prefix bert. -o %s/c.safetensors", dir, dir), 0);
  cr_expect(same_files("a.safetensors", "c.safetensors"));
  write_below("b.safetensors", "m.safetensors", (const char *const[2]){"0.auto_model.", NULL});
  cr_expect_eq(run("weights pack bert:tiny --routes text -w %s/m.safetensors -o %s/c.syw", dir, dir), 0);
  cr_expect(output_has("begin with '0.auto_model.', which is left out") && output_has("lack 'bert.' in front"));
  cr_expect(same_files("a.syw", "c.syw"));
  write_below("b.safetensors", "two.safetensors", (const char *const[2]){"student.", "teacher."});
  cr_expect_eq(run("weights pack bert:tiny --routes text -w %s/two.safetensors -o %s/c.syw", dir, dir), 1);
  cr_expect(output_has("'student.' and below 'teacher.'; choose with --strip-prefix"));
  cr_expect_eq(run("weights pack bert:tiny --routes text --strip-prefix 0.auto_model. -w %s/m.safetensors -o %s/c.syw",
                   dir, dir),
               0);
  cr_expect(same_files("a.syw", "c.syw"));
  write_one("more.safetensors", "encoder.layer.7.output.dense.bias", 4, 0);
  cr_expect_eq(
      run("weights pack bert:tiny --routes text -w %s/b.safetensors -w %s/more.safetensors -o %s/c.syw", dir, dir, dir),
      1);
  cr_expect(output_has("left over    encoder.layer.7.output.dense.bias"));

  cr_assert_eq(run("weights init vit:tiny --routes features -o %s/a.safetensors", dir), 0);
  cr_assert_eq(run("weights pack vit:tiny --routes features -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  write_theirs(vit_names, sizeof vit_names / sizeof *vit_names - 1, "a.safetensors", "hf.safetensors");
  cr_assert_eq(run("weights convert %s/hf.safetensors --strip-prefix vit. -o %s/b.safetensors", dir, dir), 0);
  cr_expect_eq(run("weights pack vit:tiny --routes features -w %s/b.safetensors -o %s/b.syw", dir, dir), 0);
  cr_expect(output_has("names of the checkpoint lack 'vit.' in front"));
  cr_expect(output_has("has the names of 'huggingface'"));
  cr_expect(!output_has("not used"));
  bool same_plan;
  cr_expect(same_weights("a.syw", "b.syw", &same_plan) && !same_plan, "with the epsilon of their files");
  write_below("b.safetensors", "m.safetensors", (const char *const[2]){"module.", NULL});
  cr_expect_eq(run("weights pack vit:tiny --routes features -w %s/m.safetensors -o %s/c.syw", dir, dir), 0);
  cr_expect(output_has("has the names of 'huggingface' behind module.") && output_has("lack 'vit.' in front"));
  cr_expect(same_files("b.syw", "c.syw"));
  write_below("hf.safetensors", "two.safetensors", (const char *const[2]){"student.", "teacher."});
  cr_expect_eq(run("weights pack vit:tiny --routes features -w %s/two.safetensors -o %s/c.syw", dir, dir), 1);
  cr_expect_eq(output_count("'student.' and below 'teacher.'; choose with --strip-prefix"), 1);
}

// A layer, or a tower, is not taken for another one by leaving out one prefix and adding another.
Test(driver_weights, prefixes_do_not_repeat_layers) {
  cr_assert_eq(run("weights init vit:tiny -D depth=1 -q -o %s/one.safetensors", dir), 0);
  cr_expect_eq(run("weights pack vit:tiny -w %s/one.safetensors -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("missing") && output_has("encoder_layer_1"));
  write_text("t.sy", "model t(n = 4) {\n  dim B = 1..2\n  block tower(x, i) {\n    weight w: f32[n]  @net.a\n"
                     "    weight v: f32[n]  @net.b\n    return x + w + v\n  }\n"
                     "  route see(x: f32[B, n]) -> y { return tower(x, 0)  @visual }\n"
                     "  route read(x: f32[B, n]) -> y { return tower(x, 0)  @text }\n}\n");
  cr_assert_eq(run("weights init %s/t.sy --routes read -q -o %s/read.safetensors", dir, dir), 0);
  cr_expect_eq(run("weights pack %s/t.sy --routes see -w %s/read.safetensors -o %s/x.syw", dir, dir, dir), 1);
  cr_expect_eq(run("weights pack %s/t.sy -w %s/read.safetensors -o %s/x.syw", dir, dir, dir), 1);
}

Test(driver_weights, rename_that_does_not_fit) {
  write_text("r.sy", "rename other {\n  \"fc.weight\" = concat(\"a\", \"b\")\n  \"fc.bias\" = \"c\"\n}\n"
                     "rename second { \"fc.{p}\" = transposed(\"d.{p}\") }\n"
                     "model m(n = 4) {\n  dim B = 1..8\n  route r(x: f32[B, n]) -> y: f32[B, n] {\n"
                     "    weight weight: f32[n, n]  @fc.weight\n    weight bias: f32[n]  @fc.bias\n"
                     "    return affine(x, weight, bias)\n  }\n}\n");
  write_one("c.safetensors", "c", 4, 1);
  cr_expect_eq(run("weights pack %s/r.sy -w %s/c.safetensors -o %s/x.syw", dir, dir, dir), 1);
  cr_expect(output_has("with the names of 'other' 1 of 2 weights are missing, the first is fc.weight"));
  cr_expect_eq(run("weights inspect %s/r.sy %s/c.safetensors", dir, dir), 1);
  cr_expect(output_has("2 of the 2 weights"));
  char text[600]; // shapes that do not go together: vectors of 3 and 4, then a matrix that has no two axes
  write_one("a.safetensors", "a", 3, 1);
  write_one("b.safetensors", "b", 4, 1);
  snprintf(text, sizeof text, "-w %s/a.safetensors -w %s/b.safetensors -w %s/c.safetensors", dir, dir, dir);
  cr_expect_eq(run("weights pack %s/r.sy %s -o %s/x.syw", dir, text, dir), 1);
  cr_expect(output_has("other shape  fc.weight f32[4,4], in the checkpoint F32[7]"));
  write_one("a.safetensors", "d.weight", 4, 1);
  write_one("b.safetensors", "d.bias", 4, 1);
  cr_expect_eq(run("weights pack %s/r.sy %s -o %s/x.syw", dir, text, dir), 1);
  cr_expect(output_has("cannot be made by transposed"));
}

Test(driver_weights, wrong_use) {
  cr_expect_eq(run("weights"), 2);
  cr_expect_eq(run("weights prune x"), 2);
  cr_expect_eq(run("weights init vit:tiny"), 2);
  cr_expect_eq(run("weights pack vit:tiny -o %s/x", dir), 2);
  cr_expect_eq(run("weights inspect %s/absent", dir), 3);
  cr_expect_eq(run("weights init vit:tiny -o %s/absent/x", dir), 3);
}

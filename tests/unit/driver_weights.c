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

static bool output_has(const char *what) {
  char path[64], text[65536];
  snprintf(path, sizeof path, "%s/out.txt", dir);
  FILE *f = fopen(path, "rb");
  cr_assert(f);
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  return strstr(text, what) != NULL;
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
  st_to_f32(gain, x, 0, 32);
  for (int i = 0; i < 32; i++) cr_expect(fabsf(x[i] - 1) <= 0.1f);
  st_to_f32(bias, x, 0, 32);
  for (int i = 0; i < 32; i++) cr_expect(fabsf(x[i]) <= 0.02f);
  st_to_f32(token, x, 0, 32);
  for (int i = 0; i < 32; i++) cr_expect(fabsf(x[i]) <= 0.04f);
  cr_assert_eq(st_elements(matrix), 128 * 32);
  st_to_f32(matrix, x, 0, 128 * 32);
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
  st_to_f32(variance, x, 0, 128);
  for (int i = 0; i < 128; i++) cr_expect(fabsf(x[i] - 1) <= 0.1f);
  st_to_f32(mean, x, 0, 128);
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

Test(driver_weights, what_does_not_fit_is_reported_in_full) {
  write_one("one.safetensors", "heads.head.bia", 10, 0);
  cr_expect_eq(run("weights pack vit:tiny -w %s/one.safetensors -o %s/a.syw", dir, dir), 1);
  cr_expect(output_has("missing      heads.head.bias f32[10]; near: heads.head.bia F32[10]"));
  cr_expect(output_has("missing      class_token f32[1,1,32]"));
  cr_assert_eq(run("weights init vit:tiny -o %s/a.safetensors", dir), 0);
  write_one("bias.safetensors", "heads.head.bias", 11, 0);
  cr_expect_eq(run("weights pack vit:tiny -w %s/a.safetensors -w %s/bias.safetensors -o %s/a.syw", dir, dir, dir), 1);
  cr_expect(output_has("other shape  heads.head.bias f32[10], in the checkpoint F32[11]"));
  cr_expect_eq(run("weights pack vit:tiny --routes features -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  cr_expect(output_has("unused       heads.head.weight"));
}

Test(driver_weights, wrong_use) {
  cr_expect_eq(run("weights"), 2);
  cr_expect_eq(run("weights prune x"), 2);
  cr_expect_eq(run("weights init vit:tiny"), 2);
  cr_expect_eq(run("weights pack vit:tiny -o %s/x", dir), 2);
  cr_expect_eq(run("weights inspect %s/absent", dir), 3);
  cr_expect_eq(run("weights init vit:tiny -o %s/absent/x", dir), 3);
}

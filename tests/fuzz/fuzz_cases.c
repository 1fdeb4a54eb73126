// fuzz_cases.c: any bytes as the cases.json of `syc check`, run by the interpreter in this process. A wrong field is an
// error of the file, a wrong case a failed case; neither is a crash. The first byte chooses --json and --together.
// dict: json
//
// The folder of the cases is made once: a page id.sy and io.safetensors with tensors x, y f32[2,2] and ids i32[2].
#include "driver/driver.h"

#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/fuzz_cases.XXXXXX";

static void put(const char *name, const void *data, size_t n) {
  char path[64];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) abort();
}

static void leave(void) {
  static const char *const names[] = {"cases.json", "id.sy", "io.safetensors"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    unlink(path);
  }
  rmdir(folder);
}

static void begin(void) {
  static const char page[] =
      "model id() {\n  dim B = 1..3\n  route r(x: f32[B, 2]) -> y: f32[B, 2] {\n    return -x\n  }\n}\n";
  static const char head[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
                             "\"y\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[16,32]},"
                             "\"ids\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[32,40]}}";
  uint8_t file[8 + sizeof head - 1 + 40] = {(uint8_t)(sizeof head - 1)};
  memcpy(file + 8, head, sizeof head - 1);
  if (!mkdtemp(folder)) abort();
  atexit(leave);
  put("id.sy", page, sizeof page - 1);
  put("io.safetensors", file, sizeof file);
  __sanitizer_set_report_fd((void *)(intptr_t)dup(STDERR_FILENO)); // a report is read, what syc says is not
  if (!getenv("FUZZ_LOUD")) {
    int null = open("/dev/null", O_WRONLY);
    if (null < 0 || dup2(null, STDOUT_FILENO) < 0) abort();
    close(null);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!strcmp(folder + strlen(folder) - 6, "XXXXXX")) begin();
  put("cases.json", data, size);
  Session s = {.command = "check", .pages = digest_begin()};
  s.names.arena = &s.arena;
  diag_init(&s.diag, &s.arena);
  s.opt.threads = s.opt.batch = s.opt.rounds = s.opt.words = s.opt.seed = INT_UNSET;
  s.opt.golden = folder;
  s.opt.backend = "interp";
  s.opt.quiet = true;
  s.opt.json = size && data[size - 1] == '\n';
  s.opt.together = size && data[size - 1] == ' ';
  VEC_PUSH(&s.arena, s.opt.arg, arena_printf(&s.arena, "%s/id.sy", folder));
  fflush(stderr);
  int errors = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
  if (!getenv("FUZZ_LOUD")) dup2(null, STDERR_FILENO);
  cmd_check(&s);
  fflush(stderr);
  dup2(errors, STDERR_FILENO);
  close(errors), close(null);
  arena_free(&s.arena);
  return 0;
}

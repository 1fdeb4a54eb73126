// base_file.c: whole-file writing: all or nothing for files, and never a file in the place of a device.
#include "ckpt/safetensors.h"
#include "ir/base/base.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Test(file, written_whole_or_not_at_all) {
  char dir[] = "/tmp/base_fileXXXXXX";
  cr_assert(mkdtemp(dir));
  Arena a = {0};
  const char *path = arena_printf(&a, "%s/x", dir), *err = "";
  cr_expect(file_write(path, "first", 5, &err));
  cr_expect(file_write(path, "second", 6, &err));
  size_t n;
  char *back = file_read(&a, path, &n, &err);
  cr_expect(back && n == 6 && !memcmp(back, "second", 6));
  cr_expect(!file_write(arena_printf(&a, "%s/none/x", dir), "x", 1, &err));
  cr_expect(strlen(err) > 0);
  cr_expect(!file_read(&a, dir, &n, &err), "a folder was read as a file");
  unlink(path);
  cr_expect(rmdir(dir) == 0, "something stayed behind in %s", dir);
  arena_free(&a);
}

Test(file, devices_stay_devices) {
  const char *err = "", *device = "/dev/zero"; // takes and drops what is written
  struct stat st;
  cr_assert(stat(device, &st) == 0 && S_ISCHR(st.st_mode));
  cr_expect(file_is_special(device));
  cr_expect(file_write(device, "x", 1, &err), "%s", err);
  StError e;
  StWriter *w = st_write_begin(device, 0, NULL, &e);
  if (w) cr_expect(!st_write_end(w, &e), "a checkpoint took the place of %s", device);
  cr_expect(stat(device, &st) == 0 && S_ISCHR(st.st_mode), "%s is no device any more", device);
}

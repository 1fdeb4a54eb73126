// base_file.c: whole-file writing: all or nothing for files, and never a file in the place of a device.
#include "ckpt/safetensors.h"
#include "ir/base/base.h"
#include "ir/base/newfile.h"

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

Test(file, links_and_modes_stay) {
  char dir[] = "/tmp/base_fileXXXXXX";
  cr_assert(mkdtemp(dir));
  Arena a = {0};
  const char *path = arena_printf(&a, "%s/x", dir), *link = arena_printf(&a, "%s/l", dir), *err = "";
  struct stat st;
  cr_assert(symlink("x", link) == 0);
  cr_expect(file_write(link, "new", 3, &err), "%s", err);
  cr_expect(lstat(link, &st) == 0 && S_ISLNK(st.st_mode), "the link became a file");
  cr_expect(stat(path, &st) == 0 && st.st_size == 3);
  cr_assert(chmod(path, 0640) == 0);
  cr_expect(file_write(path, "newer", 5, &err), "%s", err);
  cr_expect(stat(path, &st) == 0 && st.st_size == 5 && (st.st_mode & 0777) == 0640);
  unlink(link);
  cr_assert(symlink("l", link) == 0);
  cr_expect(!file_write(link, "x", 1, &err), "a link to itself was written to");
  unlink(link);
  unlink(path);
  cr_expect(rmdir(dir) == 0, "something stayed behind in %s", dir);
  arena_free(&a);
}

Test(file, several_take_their_places_together) {
  char dir[] = "/tmp/base_fileXXXXXX";
  cr_assert(mkdtemp(dir));
  Arena a = {0};
  const char *name[] = {arena_printf(&a, "%s/a", dir), arena_printf(&a, "%s/b", dir)};
  NewFile f[2], *list[] = {&f[0], &f[1]};
  size_t failed = 9;
  for (int i = 0; i < 2; i++) cr_assert(new_file_open(&f[i], name[i]) && fputs("x", f[i].f) >= 0);
  cr_expect(access(name[0], F_OK) != 0 && access(name[1], F_OK) != 0, "a file is there before it is put");
  cr_expect(new_files_put(list, 2, &failed));
  for (int i = 0; i < 2; i++) new_file_drop(&f[i]);
  for (int i = 0; i < 2; i++) cr_expect(unlink(name[i]) == 0);
  cr_assert(new_file_open(&f[0], name[0]));
  new_file_drop(&f[0]);
  cr_expect(rmdir(dir) == 0, "something stayed behind in %s", dir);
  arena_free(&a);
}

Test(file, a_digest_is_that_of_the_whole) {
  unsigned char data[1000];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7 + i / 13);
  Digester whole = digest_begin();
  digest_add(&whole, data, sizeof data);
  for (size_t step = 1; step < 100; step++) {
    Digester d = digest_begin();
    for (size_t i = 0; i < sizeof data; i += step)
      digest_add(&d, data + i, i + step < sizeof data ? step : sizeof data - i);
    cr_expect(digest_equal(digest_end(&d), digest_end(&whole)), "in steps of %zu", step);
  }
  for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
    data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    Digester d = digest_begin();
    digest_add(&d, data, sizeof data);
    Digest x = digest_end(&d), y = digest_end(&whole);
    cr_expect(x.half[0] != y.half[0] && x.half[1] != y.half[1], "bit %zu has no part in it", bit);
    data[bit / 8] ^= (unsigned char)(1u << bit % 8);
  }
  Digester zeros = digest_begin(), none = digest_begin();
  digest_add(&zeros, "\0\0\0", 3);
  cr_expect(!digest_equal(digest_end(&zeros), digest_end(&none)), "the length has no part in it");
}

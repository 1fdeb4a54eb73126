// runtime.c (test): the runtime beside compiled models: thread pool, weight mapping, CPU facts, error texts, the
// checksum of weight files.
//
// Every item of every job must run exactly once, whatever the number of threads; a job inside a job runs serially; a
// pool can be thrown away at any time between jobs. Run it under -fsanitize=thread as well.
#include "runtime/switchyard.h"
#include "runtime/weights_format.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ITEMS = 1000 };

typedef struct Counts {
  atomic_uint hits[MAX_ITEMS];
  sy_pool *pool;
} Counts;

static void count(void *arg, size_t i) {
  atomic_fetch_add(&((Counts *)arg)->hits[i], 1);
}

Test(pool, runs_every_item_once_with_any_number_of_threads) {
  static Counts c;
  for (unsigned threads = 0; threads <= 8; threads++) {
    sy_pool *p = sy_pool_new(threads);
    cr_assert_not_null(p);
    cr_expect_eq(sy_pool_threads(p), threads ? threads : 1);
    for (size_t n = 0; n <= MAX_ITEMS; n += n < 20 ? 1 : 97) {
      memset(&c, 0, sizeof c);
      sy_pool_for(p, n, count, &c);
      for (size_t i = 0; i < MAX_ITEMS; i++) cr_assert_eq(atomic_load(&c.hits[i]), i < n, "item %zu of %zu", i, n);
    }
    sy_pool_free(p);
  }
}

Test(pool, many_small_jobs_follow_each_other) {
  static Counts c;
  sy_pool *p = sy_pool_new(4);
  for (unsigned job = 0; job < 20000; job++) {
    sy_pool_for(p, 4, count, &c);
    if (job % 4000 == 0) usleep(2000); // let the workers fall asleep
  }
  for (size_t i = 0; i < 4; i++) cr_expect_eq(atomic_load(&c.hits[i]), 20000);
  sy_pool_free(p);
}

static void nested(void *arg, size_t i) {
  Counts *c = arg;
  (void)i;
  sy_pool_for(c->pool, 10, count, c);
}

Test(pool, a_job_inside_a_job_runs_serially) {
  static Counts c;
  c.pool = sy_pool_new(3);
  sy_pool_for(c.pool, 30, nested, &c);
  for (size_t i = 0; i < 10; i++) cr_expect_eq(atomic_load(&c.hits[i]), 30);
  sy_pool_free(c.pool);
}

static void *user(void *arg) {
  Counts *c = arg;
  for (int i = 0; i < 500; i++) sy_pool_for(c->pool, 16, count, c);
  return NULL;
}

Test(pool, two_threads_may_use_one_pool) {
  static Counts c;
  pthread_t t;
  c.pool = sy_pool_new(2);
  cr_assert_eq(pthread_create(&t, NULL, user, &c), 0);
  user(&c);
  pthread_join(t, NULL);
  for (size_t i = 0; i < 16; i++) cr_expect_eq(atomic_load(&c.hits[i]), 1000);
  sy_pool_free(c.pool);
}

// What a forked child does with the pool of its parent; its exit status is 0 if all went well, and it may not hang.
static int in_child(sy_pool *p, bool use, bool release) {
  pid_t child = fork();
  if (child == 0) {
    alarm(20);
    bool ok = true;
    for (int round = 0; use && round < 20; round++) {
      static Counts c;
      memset(&c, 0, sizeof c);
      sy_pool_for(p, 64, count, &c);
      for (size_t i = 0; i < 64; i++) ok = ok && c.hits[i] == 1;
    }
    if (release) sy_pool_free(p);
    sy_pool *own = sy_pool_new(2); // a pool of the child's own has threads again
    Counts c = {.pool = own};
    sy_pool_for(own, 8, count, &c);
    sy_pool_free(own);
    _exit(ok && c.hits[7] == 1 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

// Returns when `threads` threads of the pool, the caller included, are at work at once: all have begun. A sanitizer has
// locks of its own in a thread that begins, and a child that is forked meanwhile inherits them closed for ever.
typedef struct Meeting {
  atomic_uint here;
  unsigned threads;
} Meeting;
static void meet(void *arg, size_t i) {
  (void)i;
  Meeting *m = arg;
  atomic_fetch_add(&m->here, 1);
  while (atomic_load(&m->here) < m->threads) sched_yield();
}
static void all_begin(sy_pool *p, unsigned threads) {
  Meeting m = {.threads = threads};
  sy_pool_for(p, threads, meet, &m);
}

static atomic_bool begun, enough;
static void *keep_busy(void *ud) {
  Counts *c = ud;
  for (; !enough; begun = true) sy_pool_for(c->pool, 64, count, c);
  return NULL;
}

Test(pool, a_forked_child_may_use_and_free_it) {
  Counts c = {.pool = sy_pool_new(4)};
  all_begin(c.pool, 4);
  for (int round = 0; round < 30; round++) {
    sy_pool_for(c.pool, 64, count, &c);
    cr_assert_eq(in_child(c.pool, round % 3 != 1, round % 3 != 0), 0, "an idle pool, round %d", round);
  }
  pthread_t other;
  cr_assert_eq(pthread_create(&other, NULL, keep_busy, &c), 0);
  while (!begun) sched_yield();
  for (int round = 0; round < 60; round++)
    cr_assert_eq(in_child(c.pool, round % 3 != 1, round % 3 != 0), 0, "a pool in use, round %d", round);
  enough = true;
  pthread_join(other, NULL);
  sy_pool_for(c.pool, 64, count, &c); // the parent's is as it was
  sy_pool_free(c.pool);
}

Test(pool, starts_and_stops) {
  static Counts c;
  for (unsigned i = 0; i < 100; i++) {
    sy_pool *p = sy_pool_new(1 + i % 5);
    if (i % 2) sy_pool_for(p, 8, count, &c);
    sy_pool_free(p);
  }
  for (size_t i = 0; i < 8; i++) cr_expect_eq(atomic_load(&c.hits[i]), 50);
  sy_pool_free(NULL);
}

Test(pool, a_null_pool_is_serial) {
  static Counts c;
  sy_exec e = sy_pool_exec(NULL);
  cr_expect_eq(e.threads, 1);
  e.parallel_for(e.ud, 7, count, &c);
  for (size_t i = 0; i < 7; i++) cr_expect_eq(atomic_load(&c.hits[i]), 1);
}

/* maps ----------------------------------------------------------------------------------------------------------------
 */
static void temp_file(char path[64], const void *data, size_t n) {
  strcpy(path, "/tmp/sy_runtime_XXXXXX");
  int fd = mkstemp(path);
  cr_assert(fd >= 0 && write(fd, data, n) == (ssize_t)n);
  close(fd);
}

Test(map, mapped_and_read_files_are_the_same_bytes) {
  char path[64], data[10000];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
  temp_file(path, data, sizeof data);
  static const unsigned flags[] = {0, SY_MAP_POPULATE, SY_MAP_READ};
  for (size_t i = 0; i < 3; i++) {
    sy_map m;
    cr_assert_eq(sy_map_open(&m, path, flags[i]), SY_OK);
    cr_expect_eq(m.bytes, sizeof data);
    cr_expect_eq((uintptr_t)m.data % SY_ALIGN, 0);
    cr_expect_eq(m.mapped, !(flags[i] & SY_MAP_READ));
    cr_expect_eq(memcmp(m.data, data, sizeof data), 0);
    sy_map_close(&m);
    cr_expect_null(m.data);
    sy_map_close(&m);
  }
  unlink(path);
}

// What was asked for can be written, from an aligned start to the last byte, whether small or in large pages.
Test(map, memory) {
  static const size_t bytes[] = {0, 1, 4097, (size_t)5 << 20};
  for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
    char *p = sy_memory(bytes[i]);
    cr_assert_not_null(p);
    cr_expect_eq((uintptr_t)p % SY_ALIGN, 0);
    if (bytes[i]) p[0] = p[bytes[i] - 1] = 1;
    free(p);
  }
  cr_expect_null(sy_memory(SIZE_MAX));
  cr_expect_null(sy_memory(SIZE_MAX - SY_ALIGN));
}

Test(map, errors_leave_an_empty_map) {
  sy_map m;
  char path[64];
  cr_expect_eq(sy_map_open(&m, "/nowhere/at/all.syw", 0), SY_EIO);
  cr_expect_eq(m.sys_errno, ENOENT);
  cr_expect_null(m.data);
  cr_expect_eq(sy_map_open(&m, "/tmp", 0), SY_EIO);
  cr_expect_eq(m.sys_errno, EISDIR);
  cr_expect_eq(sy_map_open(&m, "/dev/zero", 0), SY_EIO);
  cr_expect_eq(sy_map_open(&m, NULL, 0), SY_EINVAL);
  cr_expect_eq(sy_map_open(NULL, "x", 0), SY_EINVAL);
  temp_file(path, "", 0);
  cr_expect_eq(sy_map_open(&m, path, 0), SY_EWEIGHTS);
  cr_expect_eq(m.sys_errno, 0);
  sy_map_close(&m);
  unlink(path);
  strcpy(path, "/tmp/sy_fifo_XXXXXX"); // a pipe that nobody writes must not block
  close(mkstemp(path));
  unlink(path);
  cr_assert_eq(mkfifo(path, 0600), 0);
  cr_expect_eq(sy_map_open(&m, path, 0), SY_EIO);
  unlink(path);
}

Test(facts, are_sensible) {
  char name[64], small[4];
  sy_cpu_name(name, sizeof name);
  cr_expect(strlen(name) > 0);
  sy_cpu_name(small, sizeof small);
  cr_expect(strlen(small) == 3 && !strncmp(small, name, 3));
  sy_cpu_name(small, 0);
  cr_expect(sy_cpu_cores() >= 1);
  cr_expect(sy_cpu_runs("portable") && sy_cpu_runs(sy_cpu_isa()));
  cr_expect(!sy_cpu_runs("mmx") && !sy_cpu_runs("avx2,fma") && !sy_cpu_runs(""));
#if defined(__x86_64__) && defined(__GNUC__)
  cr_expect_str_eq(sy_cpu_family(), "x86_64");
  cr_expect_eq(sy_cpu_runs("avx2") != 0, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  cr_expect_eq(sy_cpu_runs("avx512") != 0, __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"));
  cr_expect(!sy_cpu_runs("neon"));
#endif
  for (int s = SY_OK; s <= SY_ECOMM; s++) cr_expect_str_neq(sy_strerror(s), "unknown status");
  for (int s = SY_EIO; s <= SY_ETHREAD; s++) cr_expect_str_neq(sy_strerror(s), "unknown status");
  cr_expect_str_eq(sy_strerror(-1), "unknown status");
  cr_expect_str_eq(sy_strerror(1000), "unknown status");
}

Test(weights, checksum_sees_every_bit_and_length) {
  unsigned char data[200];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 31 + 5);
  uint64_t want = sy_weights_checksum(data, sizeof data);
  for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
    data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    cr_expect_neq(sy_weights_checksum(data, sizeof data), want);
    data[bit / 8] ^= (unsigned char)(1u << bit % 8);
  }
  data[7] ^= 0x80, data[71] ^= 0x80; // the same sign bit twice in one lane
  cr_expect_neq(sy_weights_checksum(data, sizeof data), want);
  data[7] ^= 0x80, data[71] ^= 0x80;
  memset(data, 0, sizeof data);
  for (uint64_t n = 1; n < sizeof data; n++)
    cr_expect_neq(sy_weights_checksum(data, n), sy_weights_checksum(data, n - 1));
  cr_expect_eq(sy_weights_data_offset(0), 4096);
  cr_expect_eq(sizeof(sy_weights_header), 48);
  cr_expect_eq(sizeof(sy_weights_entry), 32);
}

// A whole file in memory: two entries with their checksums.
static void packed_file(unsigned char *file, size_t bytes) {
  sy_weights_header h = {.version = SY_WEIGHTS_VERSION, .endian = SY_WEIGHTS_ENDIAN, .count = 2};
  memcpy(h.magic, SY_WEIGHTS_MAGIC, sizeof h.magic);
  h.data_offset = sy_weights_data_offset(h.count);
  h.data_bytes = bytes - h.data_offset;
  for (size_t i = 0; i < h.data_bytes; i++) file[h.data_offset + i] = (unsigned char)(i * 13 + 1);
  sy_weights_entry e[2] = {{0, 1000, 0, 'f'}, {1024, h.data_bytes - 1024, 0, 'f'}};
  for (int i = 0; i < 2; i++) e[i].checksum = sy_weights_checksum(file + h.data_offset + e[i].offset, e[i].bytes);
  memcpy(file, &h, sizeof h);
  memcpy(file + sizeof h, e, sizeof e);
}

Test(weights, damage_is_found_with_and_without_threads) {
  enum { BYTES = 4096 + 3000 };
  static _Alignas(64) unsigned char file[BYTES];
  packed_file(file, BYTES);
  sy_pool *pool = sy_pool_new(3);
  sy_exec exec = sy_pool_exec(pool);
  for (int k = 0; k < 2; k++) {
    const sy_exec *with = k ? &exec : NULL;
    cr_expect_eq(sy_weights_check(file, BYTES, with), SY_OK);
    for (size_t at = 4096; at < BYTES; at += 7) {
      bool gap = at >= 4096 + 1000 && at < 4096 + 1024; // belongs to no entry
      file[at] ^= 1;
      cr_expect_eq(sy_weights_check(file, BYTES, with), gap ? SY_OK : SY_EWEIGHTS, "byte %zu", at);
      file[at] ^= 1;
    }
    cr_expect_eq(sy_weights_check(file, BYTES - 1, with), SY_EWEIGHTS);
    cr_expect_eq(sy_weights_check(NULL, BYTES, with), SY_EINVAL);
  }
  memset(file + 4096, 0, BYTES - 4096); // as after a lost write
  cr_expect_eq(sy_weights_check(file, BYTES, &exec), SY_EWEIGHTS);
  sy_pool_free(pool);
}

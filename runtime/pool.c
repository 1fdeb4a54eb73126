// pool.c: a thread pool for parallel_for. The caller takes part, so that a job never waits for a sleeping thread:
// whoever is awake claims the next item. Idle workers spin for some tens of microseconds (launches of a model follow
// each other closely), then sleep.
//
// How a job is handed over. `ticket` holds the job's number (upper half) and the next unclaimed item (lower half) in
// one word. An item is claimed by a compare-and-swap of the whole word, so that a worker that comes late, with the
// fields of an earlier job in its hands, cannot claim anything of the current one. The caller waits until `done` counts
// all items of its job; only claimed items touch `done`. A sleeping worker has counted itself in `sleepers` before it
// looked at the ticket for the last time, and the caller looks at `sleepers` after it has written the ticket: one of
// the two sees the other (sequentially consistent), so no wake-up is lost. `busy` makes nested and concurrent calls run
// serially.
//
// A forked child has the pool's memory but none of its threads, and locks as they were. It is told by a page that the
// system empties for children (or by the process number, where the system cannot do that); there every call runs
// serially and touches no lock, and freeing gives back memory alone.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // MADV_WIPEONFORK
#endif
#include "switchyard.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SPINS = 1200, MAX_THREADS = 1024 };
#define MAX_ITEMS ((size_t)1 << 31)

struct sy_pool {
  unsigned threads; // caller included
  unsigned spins;   // pauses before sleeping; 0 when there are more threads than cores
  pthread_t *worker;
  unsigned started;
  pthread_mutex_t lock;
  pthread_cond_t wake, finished;
  atomic_bool *ours; // a page of its own: false in a forked child. NULL: `creator` tells
  pid_t creator;
  atomic_bool busy, stop;
  atomic_uint sleepers, caller_sleeps;
  _Atomic(sy_task *) task; // of the current job; a worker's copy counts only once its claim has succeeded
  _Atomic(void *) arg;
  atomic_uint n;
  _Alignas(64) atomic_ullong ticket; // job number << 32 | next item
  _Alignas(64) atomic_uint done;
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void finish_item(sy_pool *p, unsigned n) {
  if (atomic_fetch_add(&p->done, 1) + 1 == n && atomic_load(&p->caller_sleeps)) {
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->finished);
    pthread_mutex_unlock(&p->lock);
  }
}

// Claims and runs items of job number `job` until none is left.
static void work(sy_pool *p, unsigned job) {
  sy_task *task = atomic_load(&p->task);
  void *arg = atomic_load(&p->arg);
  unsigned n = atomic_load(&p->n);
  unsigned long long t = atomic_load(&p->ticket);
  while ((unsigned)(t >> 32) == job && (unsigned)t < n) {
    if (!atomic_compare_exchange_weak(&p->ticket, &t, t + 1)) continue;
    task(arg, (unsigned)t);
    finish_item(p, n);
    t = atomic_load(&p->ticket);
  }
}

static unsigned current_job(sy_pool *p) {
  return (unsigned)(atomic_load(&p->ticket) >> 32);
}

static void *worker_main(void *ud) {
  sy_pool *p = ud;
  unsigned seen = 0;
  for (;;) {
    for (unsigned i = 0; i < p->spins && current_job(p) == seen && !atomic_load(&p->stop); i++) relax();
    if (current_job(p) == seen && !atomic_load(&p->stop)) {
      pthread_mutex_lock(&p->lock);
      atomic_fetch_add(&p->sleepers, 1);
      while (current_job(p) == seen && !atomic_load(&p->stop)) pthread_cond_wait(&p->wake, &p->lock);
      atomic_fetch_sub(&p->sleepers, 1);
      pthread_mutex_unlock(&p->lock);
    }
    if (atomic_load(&p->stop)) return NULL;
    seen = current_job(p);
    work(p, seen);
  }
}

static void wait_done(sy_pool *p, unsigned n) {
  for (unsigned i = 0; i < p->spins && atomic_load(&p->done) != n; i++) relax();
  if (atomic_load(&p->done) == n) return;
  pthread_mutex_lock(&p->lock);
  atomic_store(&p->caller_sleeps, 1);
  while (atomic_load(&p->done) != n) pthread_cond_wait(&p->finished, &p->lock);
  atomic_store(&p->caller_sleeps, 0);
  pthread_mutex_unlock(&p->lock);
}

// One job of at most MAX_ITEMS items; the pool is ours (`busy`).
static void run_job(sy_pool *p, size_t n, sy_task *task, void *arg) {
  unsigned job = current_job(p) + 1;
  if (job == 0) job = 1;
  // No item of the previous job is left, so that nobody can claim one while the fields change. A worker that copies the
  // fields from here on and then sees the old ticket finds its items all claimed, or its claim fails.
  atomic_store(&p->ticket, (unsigned long long)job << 32 | 0xffffffffu);
  atomic_store(&p->done, 0);
  atomic_store(&p->task, task);
  atomic_store(&p->arg, arg);
  atomic_store(&p->n, (unsigned)n);
  job = job + 1 ? job + 1 : 1;
  atomic_store(&p->ticket, (unsigned long long)job << 32);
  if (atomic_load(&p->sleepers)) {
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
  }
  work(p, job);
  wait_done(p, (unsigned)n);
}

enum { MARK_BYTES = 4096 };

static atomic_bool *new_mark(void) {
#ifdef MADV_WIPEONFORK
  void *page = mmap(NULL, MARK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return NULL;
  if (madvise(page, MARK_BYTES, MADV_WIPEONFORK) == 0) {
    atomic_bool *mark = page;
    atomic_init(mark, true);
    return mark;
  }
  munmap(page, MARK_BYTES);
#endif
  return NULL;
}

// Is this a child of the process that made the pool?
static bool forked(const sy_pool *p) {
  return p->ours ? !atomic_load_explicit(p->ours, memory_order_relaxed) : getpid() != p->creator;
}

void sy_pool_for(void *pool, size_t n, sy_task *task, void *arg) {
  sy_pool *p = pool;
  if (!p || p->started == 0 || n < 2 || forked(p) || atomic_exchange(&p->busy, 1)) {
    for (size_t i = 0; i < n; i++) task(arg, i);
    return;
  }
  if (n <= MAX_ITEMS)
    run_job(p, n, task, arg);
  else
    for (size_t i = 0; i < n; i++) task(arg, i);
  atomic_store(&p->busy, 0);
}

static void release(sy_pool *p) {
  if (p->ours) munmap(p->ours, MARK_BYTES);
  free(p->worker);
  free(p);
}

sy_pool *sy_pool_new(unsigned threads) {
  if (threads < 1) threads = 1;
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  sy_pool *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
  if (!p) return NULL;
  *p = (sy_pool){.threads = threads,
                 .spins = threads <= sy_cpu_cores() ? SPINS : 0,
                 .ours = threads > 1 ? new_mark() : NULL,
                 .creator = getpid()};
  p->worker = calloc(threads, sizeof *p->worker);
  if (!p->worker) {
    release(p);
    return NULL;
  }
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
  pthread_cond_init(&p->finished, NULL);
  for (; p->started + 1 < threads; p->started++)
    if (pthread_create(&p->worker[p->started], NULL, worker_main, p) != 0) {
      sy_pool_free(p);
      return NULL;
    }
  return p;
}

void sy_pool_free(sy_pool *p) {
  if (!p) return;
  if (forked(p)) { // the threads are the parent's, the lock may be held by one of them for ever
    release(p);
    return;
  }
  pthread_mutex_lock(&p->lock);
  atomic_store(&p->stop, 1);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
  for (unsigned i = 0; i < p->started; i++) pthread_join(p->worker[i], NULL);
  pthread_cond_destroy(&p->finished);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
  release(p);
}

unsigned sy_pool_threads(const sy_pool *pool) {
  return pool ? pool->threads : 1;
}

sy_exec sy_pool_exec(sy_pool *pool) {
  sy_exec e = {sy_pool_for, pool, sy_pool_threads(pool)};
  return e;
}

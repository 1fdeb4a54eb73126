// sympi.c: see sympi.h. MPI moves bytes, the additions are ours: the order in which MPI_Allreduce adds is the library's
// choice, and other sizes and machines choose another one.
//
// A sum, by buckets of at most BUCKET floats: each process owns a slice of the bucket, gets that slice of all the
// others (MPI_Alltoall), adds them in the tree over the ranks, and all gather the slices (MPI_Allgather). Each process
// sends and receives 2 (R - 1) / R times the bytes, as in a ring.
#include "mpi/sympi.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKET = 2 << 20 }; // floats: 8 MiB

static struct {
  int rank, size;
  float *own, *all; // of a bucket and what is added to fill up slices: what goes out, what comes in
} world;

// x[0 .. n slices of `slice` floats), added in the tree into the first.
static void add_tree(float *x, size_t slice, int n) {
  int h = 1;
  if (n < 2) return;
  while (2 * h < n) h *= 2;
  add_tree(x, slice, h);
  add_tree(x + (size_t)h * slice, slice, n - h);
  const float *other = x + (size_t)h * slice;
  for (size_t i = 0; i < slice; i++) x[i] += other[i];
}

static int sum_bucket(float *x, size_t n) {
  size_t size = (size_t)world.size, slice = (n + size - 1) / size;
  memcpy(world.own, x, n * sizeof *x);
  memset(world.own + n, 0, (slice * size - n) * sizeof *x);
  if (MPI_Alltoall(world.own, (int)slice, MPI_FLOAT, world.all, (int)slice, MPI_FLOAT, MPI_COMM_WORLD)) return 1;
  add_tree(world.all, slice, world.size);
  if (MPI_Allgather(world.all, (int)slice, MPI_FLOAT, world.own, (int)slice, MPI_FLOAT, MPI_COMM_WORLD)) return 1;
  memcpy(x, world.own, n * sizeof *x);
  return 0;
}

static int sum(void *ud, float *x, size_t n) {
  (void)ud;
  for (size_t at = 0; at < n; at += BUCKET) {
    size_t rest = n - at;
    if (sum_bucket(x + at, rest < BUCKET ? rest : BUCKET)) return 1;
  }
  return 0;
}

static int gather(void *ud, const void *own, size_t bytes, void *all) {
  (void)ud;
  if (bytes > INT32_MAX / 2) return 1;
  return MPI_Allgather(own, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, MPI_COMM_WORLD) != MPI_SUCCESS;
}

static int barrier(void *ud) {
  (void)ud;
  return MPI_Barrier(MPI_COMM_WORLD) != MPI_SUCCESS;
}

unsigned sympi_version(void) {
  return SYMPI_VERSION;
}

const char *sympi_library(void) {
  static char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int n = 0;
  if (MPI_Get_library_version(text, &n)) return "MPI";
  text[strcspn(text, "\n")] = 0;
  return text;
}

const char *sympi_open(sy_comm *comm) {
  int level, on = 0;
  if (MPI_Initialized(&on) || on) return "MPI is at work already";
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level)) return "MPI_Init fails";
  if (level < MPI_THREAD_FUNNELED) return "this MPI knows no threads beside it";
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (MPI_Comm_rank(MPI_COMM_WORLD, &world.rank) || MPI_Comm_size(MPI_COMM_WORLD, &world.size))
    return "MPI_Comm_rank fails";
  size_t bytes = (BUCKET + (size_t)world.size) * sizeof(float);
  world.own = malloc(bytes), world.all = malloc(bytes);
  if (!world.own || !world.all) return "no memory";
  *comm = (sy_comm){(unsigned)world.rank, (unsigned)world.size, NULL, sum, gather, barrier};
  return NULL;
}

void sympi_close(void) {
  free(world.own), free(world.all);
  world.own = world.all = NULL;
  MPI_Finalize();
}

void sympi_abort(int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
  abort();
}

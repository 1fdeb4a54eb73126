// launch.c: what the environment says of processes that were started together.
#include "common/launch.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void forget(void) {
  static const char *const all[] = {"OMPI_COMM_WORLD_RANK",
                                    "OMPI_COMM_WORLD_SIZE",
                                    "OMPI_COMM_WORLD_LOCAL_SIZE",
                                    "PMI_RANK",
                                    "PMI_SIZE",
                                    "MPI_LOCALNRANKS",
                                    "SLURM_PROCID",
                                    "SLURM_STEP_NUM_TASKS",
                                    "SLURM_NTASKS_PER_NODE"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) unsetenv(all[i]);
}
static void set(const char *rank, const char *r, const char *size, const char *s) {
  setenv(rank, r, 1), setenv(size, s, 1);
}
static void is(unsigned rank, unsigned size, unsigned here) {
  Launch l = launch_of_environment();
  cr_expect_eq(l.rank, rank);
  cr_expect_eq(l.size, size);
  cr_expect_eq(l.here, here);
  cr_expect_eq(l.by != NULL, size > 1);
}

Test(launch, launchers, .init = forget) {
  is(0, 1, 1);
  set("OMPI_COMM_WORLD_RANK", "2", "OMPI_COMM_WORLD_SIZE", "4");
  is(2, 4, 1);
  setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
  is(2, 4, 2);
  forget();
  set("PMI_RANK", "0", "PMI_SIZE", "3");
  setenv("MPI_LOCALNRANKS", "3", 1);
  is(0, 3, 3);
  forget();
  set("SLURM_PROCID", "5", "SLURM_STEP_NUM_TASKS", "6");
  setenv("SLURM_NTASKS_PER_NODE", "3(x2)", 1); // not understood
  is(5, 6, 1);
}

// A batch script of Slurm is one process, whatever was asked for; and what is no rank of anything is none.
Test(launch, none, .init = forget) {
  set("SLURM_PROCID", "0", "SLURM_NTASKS", "4");
  is(0, 1, 1);
  static const char *const wrong[][2] = {{"4", "4"}, {"-1", "4"}, {"", "4"}, {"0", "4x"}, {"0", "99999999999999999999"},
                                         {"0", "0"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    set("OMPI_COMM_WORLD_RANK", wrong[i][0], "OMPI_COMM_WORLD_SIZE", wrong[i][1]);
    is(0, 1, 1);
  }
}

// launch.c - see launch.h. What each launcher says, a row a launcher.
#include "launch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

// Of Slurm what srun sets for the tasks of a step: SLURM_NTASKS stands in batch scripts, too, where one process runs.
static const struct Launcher {
  const char *rank, *size, *here;
} launchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"}, // Open MPI
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"},                                    // MPICH and its kin
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS_PER_NODE"},              // Slurm
};

// The whole number that a variable is.
static bool number_of(const char *variable, unsigned *n) {
  const char *text = getenv(variable);
  char *end;
  if (!text || *text < '0' || *text > '9') return false;
  errno = 0;
  unsigned long x = strtoul(text, &end, 10);
  if (*end || errno || x > 1000000) return false;
  *n = (unsigned)x;
  return true;
}

Launch launch_of_environment(void) {
  for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
    Launch l = {.here = 1, .by = launchers[i].rank};
    if (!number_of(launchers[i].rank, &l.rank) || !number_of(launchers[i].size, &l.size) || l.rank >= l.size) continue;
    if (!number_of(launchers[i].here, &l.here) || !l.here || l.here > l.size) l.here = 1;
    return l;
  }
  return (Launch){.size = 1, .here = 1};
}

unsigned launch_threads(Launch l, unsigned cores) {
  if ((long)cores == sysconf(_SC_NPROCESSORS_ONLN)) cores /= l.here;
  return cores ? cores : 1;
}

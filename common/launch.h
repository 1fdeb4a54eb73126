// launch.h - is this process one of several that mpirun or srun started together? Read from the environment, without
// a library: enough to take a share of the work.
//
//   Launch l = launch_of_environment();   // mpirun -n 4 ./clip: {.rank = 0 .. 3, .size = 4, .here = 4, ..}
#ifndef SWITCHYARD_COMMON_LAUNCH_H
#define SWITCHYARD_COMMON_LAUNCH_H

typedef struct Launch {
  unsigned rank, size; // of this process, from 0; how many there are. Started by itself: 0 of 1
  unsigned here;       // how many of them are on this machine; 1 if that is not known
  const char *by;      // the variable that says the rank, NULL: started by itself
} Launch;

Launch launch_of_environment(void);
// Threads for this process, which may run on `cores`: those that it shares with others are shared equally. A launcher
// that ties processes to cores has done so.
unsigned launch_threads(Launch l, unsigned cores);

#endif

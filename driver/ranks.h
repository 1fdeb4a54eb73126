// ranks.h: the processes that train together (mpirun -n 4 syc train ..): how they reach each other, and how what one
// of them finds wrong is said, once, by the first.
//
//   Ranks r;
//   if (!ranks_open(s, &r)) ..                     // of one process: a comm of size 1, and no library
//   if (!ranks_agree(&r, does_its_part())) ..      // all of them leave, or none
//   ranks_close(&r);
#ifndef SY_RANKS_H
#define SY_RANKS_H

#include "driver.h"

#include "common/launch.h"
#include "runtime/switchyard.h"

typedef struct Ranks {
  Session *s;
  sy_comm comm; // size 1: this process alone; its functions are NULL then
  Launch launch;
  Buf held, own_notes; // what a process that is not the first would have printed
  Arena notes;         // what follows: lines that the first has said
  VEC(char *) note;
  void *library;
  void (*close_library)(void);
} Ranks;

// Loads what reaches the others if this process was started with others. From here on all processes but the first are
// quiet. False after reporting.
SY_MUST_USE bool ranks_open(Session *s, Ranks *r);
void ranks_close(Ranks *r);
// Have all processes done their part? If not, s->exit_code is set in all of them. The first prints the notes of the
// others, and of their errors one, if it has none itself. All processes call it.
SY_MUST_USE bool ranks_agree(Ranks *r, bool ok);
// `bytes` of each process, by rank. False after reporting.
SY_MUST_USE bool ranks_gather(Ranks *r, const void *own, size_t bytes, void *all);
// What the first process has in `x` is there in all. False after reporting.
SY_MUST_USE bool ranks_tell(Ranks *r, void *x, size_t bytes);
// A line that the user must see from whichever process, once.
void ranks_note(Ranks *r, const char *fmt, ...) SY_PRINTF(2, 3);
// The exit status of this process: that of the run stands in the first one alone, as launchers end all others at once
// where one has failed.
int ranks_status(Ranks *r, int code);

#endif

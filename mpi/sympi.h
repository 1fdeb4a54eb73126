// sympi.h: the sy_comm of the processes that mpirun started, in a library of its own (libsympi.so), which `syc train`
// loads when it was started so: syc itself links no MPI.
//
//   sy_comm comm;
//   const char *err = sympi_open(&comm);   // NULL, or what is wrong
//   ...
//   sympi_close();
#ifndef SYMPI_H
#define SYMPI_H

#include "runtime/switchyard.h"

#define SYMPI_VERSION 1u // of this interface

unsigned sympi_version(void);
const char *sympi_library(void);       // "Open MPI v4.1.4, ..", one line
const char *sympi_open(sy_comm *comm); // once a process
void sympi_close(void);                // all processes call it
void sympi_abort(int code);            // ends all processes; does not return

#endif

// streams.h - the three streams that a program starts with, for its main.
#ifndef SWITCHYARD_COMMON_STREAMS_H
#define SWITCHYARD_COMMON_STREAMS_H

#include <stdbool.h>

// Before anything is opened: a stream that is closed stays unusable, and no file that is opened takes its number, where
// messages would go into it.
void streams_occupy(void);
// At the end: is all that was printed written? False with errno.
bool streams_written(void);

#endif

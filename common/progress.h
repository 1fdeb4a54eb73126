// progress.h - the one progress bar: a line on standard error that is drawn over again, and only on a terminal.
//
//   progress_bar("packing ", 0.5, "50 %");   // packing [###############...............] 50 %
//   progress_clear();                        // gone, for a message or the end
#ifndef SWITCHYARD_COMMON_PROGRESS_H
#define SWITCHYARD_COMMON_PROGRESS_H

// share: 0 .. 1 of all that is to be done.
void progress_bar(const char *what, double share, const char *beside);
void progress_clear(void);

#endif

// newfile.h: files that appear whole or not at all. What is written goes to a file beside the target, under a name that
// nobody can know before, and takes the target's name when it is whole; the old file stays as it is until then. For
// every part that writes files, also of compiled programs: depends on libc alone.
//
//   NewFile out;
//   if (!new_file_open(&out, path)) return complain(strerror(errno));
//   bool ok = fwrite(data, 1, n, out.f) == n && new_file_put(&out, NEW_FILE_FAST);
//   if (!ok) why = strerror(errno);
//   new_file_drop(&out); // what was not put is removed; errno stays
//
// Links are followed, so that the link stays a link. The mode (and, for root, the owner) of a file that was there
// stays. A device or a pipe is written to as it is; /dev/stdout, /dev/fd/N are the streams that are open here. Several
// files that belong together are all written first and put with new_files_put.
#ifndef SY_BASE_NEWFILE_H
#define SY_BASE_NEWFILE_H

#include "common/must_use.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct NewFile {
  FILE *f;    // to write to; NULL after new_file_adopt and once it is whole
  char *path; // what it becomes, links followed
  char *temp; // its name until then; NULL: nothing to put (a device, or put already)
} NewFile;
// NEW_FILE_SAFE: the content is on the disk before the name is there, so that a crash of the machine leaves no short
// file. For what took long to make.
typedef enum NewFileHow { NEW_FILE_FAST, NEW_FILE_SAFE } NewFileHow;

// All return false with errno. new_file_drop is right after any of them, and on {0}.
SY_MUST_USE bool new_file_open(NewFile *n, const char *path);
SY_MUST_USE bool new_file_adopt(NewFile *n, const char *made,
                                const char *path);           // a file that a program made, in the same file system
SY_MUST_USE bool new_file_close(NewFile *n, NewFileHow how); // it is whole; it has its old name still
SY_MUST_USE bool new_file_put(NewFile *n, NewFileHow how);   // whole, and in its place
SY_MUST_USE bool new_files_put(NewFile *const *list, size_t count,
                               size_t *failed); // all closed; *failed: which could not be put
void new_file_drop(NewFile *n);

// The file at the end of the links of a path, as opening it for writing would find it, to be freed. NULL with errno.
SY_MUST_USE char *new_file_target(const char *path);
// The number of the stream that /dev/stdin, /dev/stdout, /dev/stderr, /dev/fd/N or /proc/self/fd/N names, or -1.
int stream_of_path(const char *path);
// Removes all files that are not whole. May be called in a signal handler.
void new_files_unlink(void);

#endif

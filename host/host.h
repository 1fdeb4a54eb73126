// host.h - what all parts of the host library share.
//
// The host library is the outside of a compiled model: pictures and text in, labels and words out
// (image.h, bpe.h, text.h, topk.h). Generated code never needs it. Nothing here exits, prints or keeps
// global state: a function reports failure by its result and a message in a HostError.
#ifndef SWITCHYARD_HOST_HOST_H
#define SWITCHYARD_HOST_HOST_H

#include "common/must_use.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A one-line message in English, always terminated. NULL may be passed where it is not wanted.
typedef struct {
  char text[512];
  bool machine; // memory or open files ran out: what was read is not to blame
} HostError;

// Formats a message into err (if not NULL) and returns false, so that a check reads
// `return host_fail(err, "...")`.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
bool host_fail(HostError *err, const char *fmt, ...);

// The same for memory that cannot be had; and for a file, with what errno says.
bool host_no_memory(HostError *err);
bool host_fail_file(HostError *err, const char *path);

// Reads a whole file or a pipe to its end; "-" is standard input. *n receives the number of bytes. The result is
// malloc'd and has one zero byte behind the content. NULL on error or above `limit` bytes.
SY_MUST_USE char *host_read_file(const char *path, size_t limit, size_t *n, HostError *err);

#endif

// textfile.h - files of text as other programs leave them: labels, vocabularies, sentences.
//
// A byte order mark is no part of the text, and UTF-16 with one becomes UTF-8. What stands in a file's place after a
// download that went wrong (a pointer of git-lfs, a page of HTML, a server's "Not Found") is told from what it should
// be, so that no reader takes it for a list of lines.
//
//   size_t n;
//   char *text = host_text_read("imagenet.txt", 64 << 20, &n, &err);   // NULL: err names the file
#ifndef SWITCHYARD_HOST_TEXTFILE_H
#define SWITCHYARD_HOST_TEXTFILE_H

#include "host.h"

// What the content is instead of a file of data, and what to do, as the end of a sentence; NULL if it is nothing of
// the kind.
const char *host_stand_in(const char *bytes, size_t n);
// The same of what is packed, which some readers unpack.
const char *host_packed(const char *bytes, size_t n);
// Does it begin as JSON does: an object, or a list of strings, lists or objects?
bool host_is_json(const char *bytes, size_t n);

// Makes the malloc'd *bytes (one zero byte behind the *n) plain UTF-8: drops a byte order mark, converts UTF-16.
// False: memory, or UTF-16 that is damaged. *bytes may have moved.
SY_MUST_USE bool host_text_plain(char **bytes, size_t *n, HostError *err);
// host_read_file, then the above, and errors for stand-ins and for zero bytes.
SY_MUST_USE char *host_text_read(const char *path, size_t limit, size_t *n, HostError *err);

// Lines of a text of n bytes: *line is where one begins, *at where the next does. Returns the bytes of the line, its
// break (LF or CRLF) left out.
size_t host_text_line(const char *text, size_t n, size_t *at, const char **line);

#endif

// embedded.h: files that live inside the command, so that a bare `syc` works from anywhere: the model pages, the
// sources of the runtime, and small helper programs. The table is written by cmake/SwitchyardEmbed.cmake.
#ifndef SY_EMBEDDED_H
#define SY_EMBEDDED_H

#include "ir/base/embed.h"

extern const EmbeddedFile embedded_files[];

const EmbeddedFile *embedded_find(const char *name); // NULL if there is none (session.c)

#endif

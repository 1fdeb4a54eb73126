// embed.h: files that live inside a program, as cmake/SwitchyardEmbed.cmake writes them: a table that ends with a NULL
// name.
#ifndef SY_BASE_EMBED_H
#define SY_BASE_EMBED_H

#include <stddef.h>

typedef struct EmbeddedFile {
  const char *name; // path from the root of the sources: "models/vit.sy"; NULL ends the table
  const char *text; // NUL-terminated
  size_t size;
} EmbeddedFile;

#endif

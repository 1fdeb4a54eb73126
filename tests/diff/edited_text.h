// edited_text.h: edits of IR as a person or chance makes them: another number, another word, a line less or twice.
#ifndef SY_TEST_EDITED_TEXT_H
#define SY_TEST_EDITED_TEXT_H

#include "ir/base/base.h"

#include <stdint.h>

typedef struct Text {
  const char *s;
  size_t n;
  const char *name; // of the file it comes from
} Text;

// `edits` changes of a text, by the generator *seed.
Text edited_text(Arena *a, Text t, unsigned edits, uint64_t *seed);

#endif

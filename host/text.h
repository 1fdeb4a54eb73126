// text.h - Unicode text as arrays of code points, and the cleaning in front of the CLIP tokenizer.
//
// host_clean_text equals, in this order: ftfy.fix_text (optional), html.unescape twice, strip, blanks
// collapsed to one space, strip, lower case. Its parts are usable alone and tested alone. Input bytes
// that are not UTF-8 become U+FFFD, one for each maximal invalid part. Zero bytes are ordinary
// characters. All functions are reentrant; false means out of memory (or text above HOST_MAX_TEXT).
//
//   HostText t = {0};
//   host_text_from_utf8(&t, "  Caf\xc3\xa9 &amp;  BAR ", 18);
//   host_clean_text(&t, true);                    // "café & bar"
//   size_t n;
//   char *s = host_text_to_utf8(&t, &n);
//   free(s);
//   host_text_free(&t);
#ifndef SWITCHYARD_HOST_TEXT_H
#define SWITCHYARD_HOST_TEXT_H

#include "host.h"

enum { HOST_MAX_TEXT = 64 << 20 }; // code points

// Growing array of code points. Start from {0}.
typedef struct {
  uint32_t *at; // [room], the first n are used
  size_t n, room;
} HostText;

// ---- text.c ----

SY_MUST_USE bool host_text_push(HostText *t, uint32_t c);
void host_text_free(HostText *t);

// Appends n bytes of UTF-8.
SY_MUST_USE bool host_text_from_utf8(HostText *t, const char *s, size_t n);

// Bytes of the character at s (n > 0 bytes left); 0 if they are no UTF-8.
size_t host_utf8_length(const char *s, size_t n);
bool host_is_utf8(const char *s, size_t n);

// malloc'd UTF-8 with a zero byte behind it; *n receives the length in bytes. NULL without memory.
SY_MUST_USE char *host_text_to_utf8(const HostText *t, size_t *n);

// Writes c as UTF-8 to dst (room for 4 bytes) and returns the number of bytes; a surrogate or a value
// above U+10FFFF is written as U+FFFD.
size_t host_utf8_put(uint32_t c, char *dst);

// What a code point is to the tokenizer's patterns.
bool host_is_letter(uint32_t c);      // \p{L}
bool host_is_number(uint32_t c);      // \p{N}
bool host_is_white_space(uint32_t c); // \s: the property White_Space
bool host_is_blank(uint32_t c);       // what str.strip() strips: White_Space and U+001C..U+001F

// Python's html.unescape: numeric references with the standard's replacements, named ones with or
// without ';', longest match.
SY_MUST_USE bool host_unescape_html(HostText *t);

// Removes blanks at both ends.
void host_strip(HostText *t);

// Each run of white space becomes one space.
void host_collapse_blanks(HostText *t);

// Python's str.lower(): full mapping, final sigma included; and the same of each character by itself, whose sigmas are
// never final. Which tokenizer takes which: text.c.
SY_MUST_USE bool host_lower(HostText *t);
SY_MUST_USE bool host_lower_each(HostText *t);

// Canonical decomposition and composition, forms NFD and NFC; linear time.
SY_MUST_USE bool host_decompose(HostText *t);
SY_MUST_USE bool host_decompose_compatible(HostText *t); // form NFKD; NFKC: the same, then host_compose
SY_MUST_USE bool host_compose(HostText *t);

// Everything; fix = with host_fix_text.
SY_MUST_USE bool host_clean_text(HostText *t, bool fix);

// ---- fixtext.c ----

// The default repairs of ftfy.fix_text: entities, text decoded with the wrong encoding, ligatures, full
// and half width forms, curly quotes, line breaks, terminal escapes, control characters, NFC.
SY_MUST_USE bool host_fix_text(HostText *t);

// For each "&name;" (ended by ';') its text; used by host_fix_text.
SY_MUST_USE bool host_unescape_html_strict(HostText *t);

#endif

// text.h - strings of others (file names, labels, names of tensors, words of a model, messages that quote them) on
// their way to a person.
//
// A terminal obeys what it is sent. So whatever is printed for people goes through here: control characters (C0, DEL,
// C1), characters that turn the direction of a line or break it, and bytes that are no UTF-8 appear as \n, \x1b or
// \u202e. All other text stands as it is.
//
//   text_print(stdout, label);                           // red, not \033[31mred
//   text_line(stderr, "%s: left out: %s", program, why); // one line, whatever is in the names
#ifndef SWITCHYARD_COMMON_TEXT_H
#define SWITCHYARD_COMMON_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// Where a writer puts its bytes.
typedef void TextSink(void *ud, const char *s, size_t n);
void text_to_file(void *file, const char *s, size_t n); // a TextSink; errors are those of the FILE

// Bytes of the UTF-8 character at s (n bytes left); 0 if it is malformed (overlong forms and surrogates included).
size_t text_length(const char *s, size_t n);
// The character of these many bytes, as text_length gives them.
uint32_t text_character(const char *s, size_t length);
// Would a terminal show this character rather than do something?
bool text_is_shown(uint32_t c);

// Puts s with everything that is not shown escaped. Returns the characters put.
size_t text_escape(const char *s, size_t n, TextSink *put, void *ud);
// The same for a message of ours: a line break with two blanks behind it stays, so that it may have a list. (A name can
// make such a line too, but none that looks like another message.)
void text_escape_message(const char *s, TextSink *put, void *ud);
size_t text_print(FILE *f, const char *s);
void text_column(FILE *f, const char *s, size_t width); // filled up with blanks
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void text_line(FILE *f, const char *fmt, ...); // a message, and the end of its line
void text_vline(FILE *f, const char *fmt, va_list ap);

// Changes of one byte that make b of a (each cut at 512 bytes), for "did you mean"; `limit` if they are that many or
// more.
size_t edit_distance(const char *a, const char *b, size_t limit);

// Is `have` nearer to what was wanted than *best (NULL: nothing yet), and near enough to ask "did you mean"? Then it is
// *best, and *dist how far it is.
void near_name(const char *want, const char *have, const char **best, size_t *dist);

// Does the name fit the pattern? * stands for any text, ? for one character.
bool text_matches(const char *pattern, const char *name);

#endif

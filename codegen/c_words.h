// c_words.h: which names of a page cannot stand in C or C++ as they are.
#ifndef SY_C_WORDS_H
#define SY_C_WORDS_H

#include "ir/base/base.h"

// Keywords of C and C++, and names that their headers, or those of POSIX, define and that look like names of a page.
size_t c_words(const char *const **list);
// Such a word, a name of capitals alone, or one that ends in _t.
bool c_is_reserved(const char *s);

char *c_identifier(Arena *a, const char *s); // letters, digits and _; no digit and no _ at its start
char *c_upper(Arena *a, const char *s);
// A name for a parameter or a variable: one that no header can have as a macro or a keyword. What looks like a macro
// (two capitals at the start) or is a word gets a _ behind it, what begins like a name of ours an x_ before it:
// "image", "B", "class_", "EOF_", "x_Bool", "x_sy_min".
const char *c_local(Arena *a, const char *s);

// NULL if a model's names can begin with it, else what is wrong.
const char *c_prefix_problem(const char *prefix);

#endif

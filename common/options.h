// options.h: reading a command line by a table, for syc and for compiled programs.
//
//   --top 5   --top=5   -o FILE   -oFILE   words in between   --   words that may begin with a dash
//
// The caller has the table and says what a row takes; the scan gives one item after the other and reports nothing.
#ifndef SY_COMMON_OPTIONS_H
#define SY_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum OptionTakes { OPTION_NOTHING, OPTION_VALUE, OPTION_MAYBE } OptionTakes; // MAYBE: only as --name=value
typedef struct OptionRow {
  const char *name; // without the dashes
  char letter;      // short form, or 0
  bool one_dash;    // written -name, as compilers have -MD
  OptionTakes takes;
  unsigned with; // set of commands that take it
} OptionRow;

typedef enum OptionKind {
  OPTION_END,
  OPTION_WORD,      // text: a word that is no option; behind "--" with `rest`
  OPTION_SET,       // row, value (NULL: none)
  OPTION_UNKNOWN,   // text, name[nname]
  OPTION_ELSEWHERE, // row: an option of other commands
  OPTION_SURPLUS,   // row: it takes no value and has one
  OPTION_LACKING    // row: it needs a value and has none
} OptionKind;
typedef struct OptionItem {
  OptionKind kind;
  size_t row;       // of the table
  const char *text; // as it was written
  const char *name; // its name without dashes and value
  size_t nname;
  const char *value;
  bool is_long, rest;
} OptionItem;

typedef struct OptionScan {
  OptionRow (*row)(size_t i); // of the table
  size_t nrow;
  unsigned command; // the bit of the command that is parsed
  const char *const *arg;
  size_t narg;
  size_t at; // the next word
  bool rest; // "--" was there
} OptionScan;

// The next item; OPTION_END behind the last.
OptionItem options_next(OptionScan *s);

// The name of an option of the command that is at most three letters off, or NULL.
const char *options_near(const OptionScan *s, const char *name, size_t n);

#endif

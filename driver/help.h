// help.h: the table of commands and the texts made from it and from options.def: --help, the man page, the completions.
// main.c dispatches by `commands`; a new command is one row in help.c, a new option one row in options.def.
#ifndef SY_HELP_H
#define SY_HELP_H

#include "driver.h"

#include <stdio.h>

typedef struct CommandInfo {
  const char *name; // NULL ends the table
  unsigned bit;     // C_*: which rows of options.def belong to it
  int (*fn)(Session *);
  const char *synopsis; // behind "syc NAME "; several forms are separated by newlines
  const char *about;    // one line
  const char *detail;   // paragraphs of whole lines
  const char *examples; // lines "COMMAND  # what it does"
} CommandInfo;
extern const CommandInfo commands[];

void help_general(FILE *f); // what syc is, the commands, three examples: under a screen

// One command's page: synopsis, detail, options in columns, examples, exit codes. An unknown name prints nothing.
void help_command(FILE *f, const char *command);

// What `syc help` takes beside the commands.
#define HELP_MODELS "models"
#define HELP_ISA "isa"

/* Shared by help.c and help_export.c ---------------------------------------------------------------------------- */
typedef struct HelpOption { // one row of options.def, as text
  const char *name;         // "output", "MD"
  char letter;              // 'o' or 0
  const char *kind;         // "FLAG", "STR", ...
  const char *value;        // "FILE", "auto|always|never", NULL for flags
  unsigned commands;
  const char *help;
} HelpOption;
extern const HelpOption help_options[]; // NULL name ends

typedef struct HelpPair { // a name and what it means
  const char *name, *about;
} HelpPair;
extern const HelpPair help_exit_codes[], help_environment[], help_emit_kinds[]; // NULL name ends

// help_export.c: the man page (roff) and completion scripts. False: there is no such shell.
void help_man(FILE *f);
bool help_completions(FILE *f, const char *shell);

#endif

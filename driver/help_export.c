// help_export.c: the man page and the shell completions, made from the tables in help.c and options.def.
//
// Each shell needs its own quoting and its own words for "a file", "a folder", "one of these"; everything else is the
// same walk over commands and options.
//
//   syc help --man > syc.1        syc help --completions=zsh > _syc
#include "help.h"

#include <ctype.h>
#include <string.h>

static bool one_dash(const HelpOption *o) {
  return !strcmp(o->name, "MD");
}
static bool is_choice(const char *value) {
  return value && strchr(value, '|') && value[0] >= 'a' && value[0] <= 'z';
}
static bool is_file(const char *value) {
  return value && !strcmp(value, "FILE");
}
static bool is_folder(const char *value) {
  return value && !strcmp(value, "DIR");
}
static bool is_optional(const HelpOption *o) {
  return !strcmp(o->kind, "MAYBE");
} // --name or --name=value
static bool takes_word(const HelpOption *o) {
  return o->value && !is_optional(o);
}

// Text with `quote` before each of the characters in `special`.
static void put_escaped(FILE *f, const char *s, size_t n, const char *special, const char *quote) {
  for (size_t i = 0; i < n && s[i]; i++) {
    if (strchr(special, s[i])) fputs(quote, f);
    fputc(s[i], f);
  }
}

// "a|b|c" with other separators.
static void put_choices(FILE *f, const char *value, char sep) {
  for (; *value; value++) {
    if (*value == '|' && isupper((unsigned char)value[1])) return; // "a|b|FILE": what follows stands for others
    fputc(*value == '|' ? sep : *value, f);
  }
}

/* man page ------------------------------------------------------------------------------------------------------ */
// One line of text for roff: hyphens that can be copied, no accidental requests.
static void put_roff(FILE *f, const char *s, size_t n) {
  if (n && (s[0] == '.' || s[0] == '\'')) fputs("\\&", f);
  for (size_t i = 0; i < n && s[i]; i++) {
    if (s[i] == '\\')
      fputs("\\e", f);
    else if (s[i] == '-')
      fputs("\\-", f);
    else if (s[i] == '`')
      fputs("\\(ga", f);
    else
      fputc(s[i], f);
  }
}

static void put_roff_lines(FILE *f, const char *text, const char *between) {
  for (const char *end; *text; text = *end ? end + 1 : end) {
    end = text + strcspn(text, "\n");
    put_roff(f, text, (size_t)(end - text));
    fputc('\n', f);
    if (*end && end[1]) fputs(between, f);
  }
}

static void man_pairs(FILE *f, const char *heading, const HelpPair *p) {
  fprintf(f, ".SH %s\n", heading);
  for (; p->name; p++) {
    fputs(".TP\n.B ", f);
    put_roff(f, p->name, strlen(p->name));
    fputc('\n', f);
    put_roff_lines(f, p->about, "");
  }
}

static void man_option(FILE *f, const HelpOption *o) {
  fputs(".TP\n", f);
  if (o->letter) fprintf(f, "\\fB\\-%c\\fR, ", o->letter);
  fprintf(f, "\\fB%s", one_dash(o) ? "\\-" : "\\-\\-");
  put_roff(f, o->name, strlen(o->name));
  fputs("\\fR", f);
  if (o->value) {
    fputs(is_optional(o) ? "[=\\fI" : " \\fI", f);
    put_roff(f, o->value, strlen(o->value));
    fputs(is_optional(o) ? "\\fR]" : "\\fR", f);
  }
  fputc('\n', f);
  put_roff_lines(f, o->help, "");
  if (o->commands == C_ALL) return;
  const char *sep = "(";
  for (const CommandInfo *c = commands; c->name; c++) {
    if (!(c->bit & o->commands)) continue;
    fprintf(f, "%s%s", sep, c->name);
    sep = ", ";
  }
  fputs(")\n", f);
}

void help_man(FILE *f) {
  fprintf(f, ".\\\" Made by syc help --man.\n.TH SYC 1 \"\" \"switchyard %s\" \"User Commands\"\n", SY_VERSION);
  fputs(
      ".SH NAME\nsyc \\- ahead\\-of\\-time compiler for vision and language transformers\n"
      ".SH SYNOPSIS\n.B syc\n.I COMMAND SPEC\\fR[\\fB:\\fIPRESET\\fR] [\\fIoptions\\fR]\n"
      ".SH DESCRIPTION\nsyc turns a model written in a .sy file into an executable, a library, or one C file with its "
      "header,\n"
      "specialised for the instruction sets of this machine.\n.PP\n"
      "SPEC is a file, \\- for standard input, or the name of a model that comes with syc. An argument\n"
      "\\fB@\\fIFILE\\fR stands for the words in FILE. Options and arguments may be mixed; \\fB\\-\\-\\fR ends them.\n"
      ".SH COMMANDS\n",
      f);
  for (const CommandInfo *c = commands; c->name; c++) {
    fprintf(f, ".SS syc %s\n", c->name);
    fputs(".nf\n", f);
    for (const char *s = c->synopsis, *end; *s; s = *end ? end + 1 : end) {
      end = s + strcspn(s, "\n");
      fprintf(f, "\\fBsyc %s\\fR ", c->name);
      put_roff(f, s, (size_t)(end - s));
      fputc('\n', f);
    }
    fputs(".fi\n.PP\n", f);
    fprintf(f, "%c", toupper((unsigned char)c->about[0]));
    put_roff(f, c->about + 1, strlen(c->about + 1));
    fputs(".\n.PP\n", f);
    put_roff_lines(f, c->detail, "");
    fputs(".PP\n.RS\n.nf\n", f);
    put_roff_lines(f, c->examples, "");
    fputs(".fi\n.RE\n", f);
  }
  fputs(".SH OPTIONS\n", f);
  for (const HelpOption *o = help_options; o->name; o++) man_option(f, o);
  man_pairs(f, "KINDS FOR \\-\\-EMIT", help_emit_kinds);
  man_pairs(f, "EXIT STATUS", help_exit_codes);
  man_pairs(f, "ENVIRONMENT", help_environment);
}

/* completions --------------------------------------------------------------------------------------------------- */
static void put_command_names(FILE *f) {
  for (const CommandInfo *c = commands; c->name; c++) fprintf(f, "%s%s", c == commands ? "" : " ", c->name);
}

// The values of an option, once for all commands: the tables agree on what --isa and --color mean everywhere.
static void bash_values(FILE *f, const HelpOption *o) {
  if (!takes_word(o)) return;
  fputs("    ", f);
  if (o->letter) fprintf(f, "-%c|", o->letter);
  fprintf(f, "--%s) ", o->name);
  if (is_choice(o->value)) {
    fputs("COMPREPLY=($(compgen -W \"", f);
    put_choices(f, o->value, ' ');
    fputs("\" -- \"$word\"));", f);
  } else if (is_file(o->value) || is_folder(o->value)) {
    fprintf(f, "COMPREPLY=($(compgen -%c -- \"$word\"));", is_file(o->value) ? 'f' : 'd');
  }
  fputs(" return ;;\n", f);
}

static void complete_bash(FILE *f) {
  fputs("# bash completion for syc, made by syc help --completions=bash\n"
        "_syc() {\n"
        "  local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" options=\"\"\n"
        "  COMPREPLY=()\n"
        "  if [ \"$word\" = \"=\" ]; then word=\"\"; elif [ \"$before\" = \"=\" ]; then "
        "before=\"${COMP_WORDS[COMP_CWORD-2]}\"; fi\n"
        "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    COMPREPLY=($(compgen -W \"",
        f);
  put_command_names(f);
  fputs(" --help --version\" -- \"$word\"))\n    return\n  fi\n  case \"$before\" in\n", f);
  for (const HelpOption *o = help_options; o->name; o++) bash_values(f, o);
  fputs("  esac\n  case \"${COMP_WORDS[1]}\" in\n", f);
  for (const CommandInfo *c = commands; c->name; c++) {
    fprintf(f, "    %s) options=\"", c->name);
    for (const HelpOption *o = help_options; o->name; o++)
      if (o->commands & c->bit) fprintf(f, "%s%s ", one_dash(o) ? "-" : "--", o->name);
    fputs("\" ;;\n", f);
  }
  fputs("  esac\n"
        "  case \"$word\" in\n"
        "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
        "    *) if [ \"${COMP_WORDS[1]}\" = help ]; then COMPREPLY=($(compgen -W \"",
        f);
  put_command_names(f);
  fputs(" " HELP_MODELS " " HELP_ISA "\" -- \"$word\"))\n"
        "       elif [ \"${COMP_WORDS[1]}\" = weights ] && [ \"$COMP_CWORD\" -eq 2 ]; then\n"
        "         COMPREPLY=($(compgen -W \"init inspect pack\" -- \"$word\"))\n"
        "       else COMPREPLY=($(compgen -f -- \"$word\")); fi ;;\n"
        "  esac\n}\ncomplete -o filenames -F _syc syc\n",
        f);
}

static void zsh_action(FILE *f, const HelpOption *o) {
  if (!takes_word(o)) return;
  fputc(':', f);
  if (is_choice(o->value)) {
    fputs("value:(", f);
    put_choices(f, o->value, ' ');
    fputc(')', f);
  } else {
    put_escaped(f, o->value, strlen(o->value), ":[]'", "\\");
    fputs(is_file(o->value) ? ":_files" : is_folder(o->value) ? ":_files -/" : ": ", f);
  }
}

static void complete_zsh(FILE *f) {
  fputs("#compdef syc\n# zsh completion for syc, made by syc help --completions=zsh\n"
        "_syc() {\n  local -a commands\n  commands=(\n",
        f);
  for (const CommandInfo *c = commands; c->name; c++) {
    fprintf(f, "    '%s:", c->name);
    put_escaped(f, c->about, strlen(c->about), ":", "\\");
    fputs("'\n", f);
  }
  fputs("  )\n"
        "  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
        "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n",
        f);
  for (const CommandInfo *c = commands; c->name; c++) {
    fprintf(f, "    %s) _arguments -S \\\n", c->name);
    for (const HelpOption *o = help_options; o->name; o++) {
      if (!(o->commands & c->bit)) continue;
      bool repeated = !strcmp(o->kind, "LIST") || !strcmp(o->kind, "DEFINE");
      for (int form = 0; form < 2; form++) {
        if (form == 0 && !o->letter) continue;
        fprintf(f, "      '%s", repeated ? "*" : "");
        if (form == 0)
          fprintf(f, "-%c%s", o->letter, takes_word(o) ? "+" : "");
        else
          fprintf(f, "%s%s%s", one_dash(o) ? "-" : "--", o->name, takes_word(o) ? "=" : "");
        fputc('[', f);
        for (const char *h = o->help; *h; h++) { // a quote ends the word: write it as '\''
          if (*h == '\'')
            fputs("'\\''", f);
          else
            put_escaped(f, h, 1, "[]:\\", "\\");
        }
        fputc(']', f);
        zsh_action(f, o);
        fputs("' \\\n", f);
      }
    }
    if (c->bit == C_HELP) {
      fputs("      '1:topic:(", f);
      put_command_names(f);
      fputs(" " HELP_MODELS " " HELP_ISA ")' ;;\n", f);
    } else {
      fputs(c->bit == C_WEIGHTS ? "      '1:action:(init inspect pack)' '*:file:_files' ;;\n"
                                : "      '*:file:_files' ;;\n",
            f);
    }
  }
  fputs("  esac\n}\nif [ \"$funcstack[1]\" = _syc ]; then _syc \"$@\"; else compdef _syc syc; fi\n", f);
}

static void complete_fish(FILE *f) {
  fputs("# fish completion for syc, made by syc help --completions=fish\n", f);
  for (const CommandInfo *c = commands; c->name; c++) {
    fprintf(f, "complete -c syc -n __fish_use_subcommand -f -a %s -d '", c->name);
    put_escaped(f, c->about, strlen(c->about), "\\'", "\\");
    fputs("'\n", f);
  }
  fputs("complete -c syc -n '__fish_seen_subcommand_from help' -f -a '", f);
  put_command_names(f);
  fputs(" " HELP_MODELS " " HELP_ISA "'\n", f);
  for (const HelpOption *o = help_options; o->name; o++) {
    fputs("complete -c syc -n '__fish_seen_subcommand_from", f);
    for (const CommandInfo *c = commands; c->name; c++)
      if (c->bit & o->commands) fprintf(f, " %s", c->name);
    fprintf(f, "' -%c %s", one_dash(o) ? 'o' : 'l', o->name);
    if (o->letter) fprintf(f, " -s %c", o->letter);
    if (takes_word(o)) fputs(is_file(o->value) || is_folder(o->value) ? " -r -F" : " -x", f);
    if (is_choice(o->value)) {
      fputs(" -a '", f);
      put_choices(f, o->value, ' ');
      fputc('\'', f);
    }
    fputs(" -d '", f);
    put_escaped(f, o->help, strlen(o->help), "\\'", "\\");
    fputs("'\n", f);
  }
}

static const struct {
  const char *name;
  void (*print)(FILE *f);
} shells[] = {{"bash", complete_bash}, {"zsh", complete_zsh}, {"fish", complete_fish}};

bool help_completions(FILE *f, const char *shell) {
  for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
    if (strcmp(shells[i].name, shell) != 0) continue;
    shells[i].print(f);
    return true;
  }
  return false;
}

// main.c: parses the command line by the table options.def and calls the command. Only this file and ice() end the
// process.
#include "driver.h"
#include "help.h"

#include "common/options.h"
#include "common/streams.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum OptKind { KIND_FLAG, KIND_STR, KIND_MAYBE, KIND_INT, KIND_LIST, KIND_DEFINE } OptKind;
typedef struct OptInfo {
  const char *name;
  char letter;
  OptKind kind;
  unsigned commands;
  size_t field;      // offset in Options
  const char *value; // as in --help; "a|b|c" in small letters is a choice
} OptInfo;
static const OptInfo opt_info[] = {
#define OPT(field, kind, letter, name, value, commands, help)                                                          \
  {name, letter, KIND_##kind, commands, offsetof(Options, field), value},
#include "options.def"
#undef OPT
};
enum { NOPT = sizeof opt_info / sizeof *opt_info };

static const CommandInfo *find_command(const char *name) {
  for (const CommandInfo *c = commands; c->name; c++)
    if (!strcmp(c->name, name)) return c;
  return NULL;
}

static int unknown(Session *s, const char *what, const char *name, const char *near, const char *where) {
  if (near)
    return session_fail(s, EXIT_USAGE, "unknown %s '%s'; did you mean '%s'? (%s lists them)", what, name, near, where);
  return session_fail(s, EXIT_USAGE, "unknown %s '%s' (%s lists them)", what, name, where);
}

// Is `value` one of "a|b|c"? Values that are no choices ("FILE", "KIND", "a|b|FILE") take anything.
static bool is_choice_of(const char *choices, const char *value) {
  if (!choices || !strchr(choices, '|') || choices[0] < 'a' || choices[0] > 'z') return true;
  size_t n = strlen(value);
  for (const char *c = choices; *c;) {
    if (*c >= 'A' && *c <= 'Z') return true;
    size_t len = strcspn(c, "|");
    if (len == n && !strncmp(c, value, n)) return true;
    c += len + (c[len] == '|');
  }
  return false;
}

static bool set_option(Session *s, const OptInfo *o, const char *value, const char *shown) {
  void *field = (char *)&s->opt + o->field;
  char *end;
  switch (o->kind) {
  case KIND_FLAG: *(bool *)field = true; return true;
  case KIND_STR:
    *(const char **)field = value;
    if (is_choice_of(o->value, value)) return true;
    session_fail(s, EXIT_USAGE, "%s: '%s' is none of %s", shown, value, o->value);
    return false;
  case KIND_MAYBE: *(const char **)field = value ? value : ""; return true;
  case KIND_LIST: {
    StrList *l = field;
    VEC_PUSH(&s->arena, *l, value);
    return true;
  }
  case KIND_INT:
    *(int64_t *)field = strtoll(value, &end, 10);
    if (end != value && !*end && *(int64_t *)field >= 0 && *(int64_t *)field <= INT32_MAX) return true;
    session_fail(s, EXIT_USAGE, "%s: '%s' is not a number from 0 to %d", shown, value, INT32_MAX);
    return false;
  case KIND_DEFINE: {
    const char *eq = strchr(value, '=');
    if (!eq || eq == value || !eq[1]) {
      session_fail(s, EXIT_USAGE, "%s takes NAME=VALUE, not '%s'", shown, value);
      return false;
    }
    Defines *d = field;
    const char *key = arena_strndup(&s->arena, value, (size_t)(eq - value));
    VEC_PUSH(&s->arena, d->name, key);
    VEC_PUSH(&s->arena, d->value, eq + 1);
    return true;
  }
  }
  return false;
}

// Response files may name each other; what they add up to is bounded.
enum { MAX_ARGS = 100000, MAX_ARG_BYTES = 16 << 20, MAX_DEPTH = 8 };
typedef struct Expansion {
  Session *s;
  StrList *out;
  size_t bytes; // of all files so far, each as often as it is named
} Expansion;

static bool expand(Expansion *x, const char *arg, int depth);

static bool expand_file(Expansion *x, const char *path, int depth) {
  const char *err = "the files name each other", *word;
  size_t n = 0;
  const char *p = depth < MAX_DEPTH ? file_read(&x->s->arena, path, &n, &err) : NULL;
  x->bytes += n + 1;
  if (p && x->bytes > MAX_ARG_BYTES) p = NULL, err = "the files have more than 16 MB";
  if (!p) {
    session_fail(x->s, EXIT_IO, "cannot read the arguments in %s: %s", path, err);
    return false;
  }
  if (!strncmp(p, "\xef\xbb\xbf", 3)) p += 3; // a byte order mark
  for (;;) {
    p += strspn(p, " \t\r\n\v\f");
    if (*p == '#') {
      p += strcspn(p, "\n");
      continue;
    }
    if (!(word = next_word(&x->s->arena, &p))) return true;
    if (!expand(x, word, depth + 1)) return false;
  }
}

// "@file" becomes the words of the file (words.c); # starts a comment.
static bool expand(Expansion *x, const char *arg, int depth) {
  if (arg[0] == '@' && arg[1]) return expand_file(x, arg + 1, depth);
  if (x->out->n >= MAX_ARGS) {
    session_fail(x->s, EXIT_USAGE, "more than %d arguments", MAX_ARGS);
    return false;
  }
  VEC_PUSH(&x->s->arena, *x->out, arg);
  return true;
}

static OptionRow option_row(size_t i) {
  const OptInfo *o = &opt_info[i];
  return (OptionRow){.name = o->name,
                     .letter = o->letter,
                     .one_dash = !strcmp(o->name, "MD"), // as compilers have it
                     .takes = o->kind == KIND_FLAG    ? OPTION_NOTHING
                              : o->kind == KIND_MAYBE ? OPTION_MAYBE
                                                      : OPTION_VALUE,
                     .with = o->commands};
}

static bool unknown_option(Session *s, const OptionScan *scan, const OptionItem *it, const char *where) {
  const char *near = it->is_long ? options_near(scan, it->name, it->nname) : NULL;
  if (near) near = arena_printf(&s->arena, "--%s", near);
  unknown(s, "option", it->text, near, where);
  return false;
}

static bool take_option(Session *s, const OptionItem *it, const char *where) {
  const OptInfo *o = &opt_info[it->row];
  const char *shown =
      it->is_long ? arena_printf(&s->arena, "--%s", o->name) : arena_printf(&s->arena, "-%c", o->letter);
  if (it->kind == OPTION_SET) return set_option(s, o, it->value, shown);
  if (it->kind == OPTION_SURPLUS)
    session_fail(s, EXIT_USAGE, "%s takes no value", shown);
  else
    session_fail(s, EXIT_USAGE, "%s needs a value (%s)", shown, where);
  return false;
}

static bool parse(Session *s, const StrList *args, const CommandInfo *cmd) {
  OptionScan scan = {.row = option_row, .nrow = NOPT, .command = cmd->bit, .arg = args->at, .narg = args->n};
  const char *where = arena_printf(&s->arena, "syc %s --help", cmd->name);
  for (;;) {
    OptionItem it = options_next(&scan);
    if (it.kind == OPTION_END) return true;
    if (it.kind == OPTION_WORD) {
      StrList *to = it.rest ? &s->opt.rest : &s->opt.arg;
      VEC_PUSH(&s->arena, *to, it.text);
    } else if (it.kind == OPTION_UNKNOWN || it.kind == OPTION_ELSEWHERE) {
      return unknown_option(s, &scan, &it, where);
    } else if (!take_option(s, &it, where)) {
      return false;
    }
  }
}

static void clear_options(Options *o) {
  *o = (Options){0};
  for (size_t i = 0; i < NOPT; i++)
    if (opt_info[i].kind == KIND_INT) *(int64_t *)(void *)((char *)o + opt_info[i].field) = INT_UNSET;
}

static int print_version(void) {
  printf("syc %s\n", SY_VERSION);
  return EXIT_OK;
}

static int run(Session *s, int argc, char **argv) {
  StrList args = {0};
  Expansion x = {.s = s, .out = &args};
  for (int i = 1; i < argc; i++)
    if (!expand(&x, argv[i], 0)) return s->exit_code;
  if (!args.n) {
    help_general(stderr);
    return EXIT_USAGE;
  }
  const char *first = args.at[0];
  if (!strcmp(first, "--version")) return print_version();
  if (!strcmp(first, "--help") || !strcmp(first, "-h")) {
    help_general(stdout);
    return EXIT_OK;
  }
  if (!strcmp(first, "--help=all")) {
    help_general(stdout);
    for (const CommandInfo *c = commands; c->name; c++) help_command(stdout, c->name);
    return EXIT_OK;
  }
  const CommandInfo *cmd = find_command(first);
  if (!cmd) {
    const char *near = NULL;
    size_t best = 4;
    for (const CommandInfo *c = commands; c->name; c++)
      if (edit_distance(first, c->name, best) < best) best = edit_distance(first, c->name, best), near = c->name;
    return unknown(s, first[0] == '-' ? "option" : "command", first, near, "syc --help");
  }
  s->command = cmd->name;
  s->wants_weights = cmd->bit & (C_BUILD | C_RUN | C_BENCH | C_STEP | C_TRAIN);
  args.at++;
  args.n--;
  s->words = args;
  if (!parse(s, &args, cmd)) return s->exit_code;
  if (s->opt.help) {
    help_command(stdout, cmd->name);
    return EXIT_OK;
  }
  if (s->opt.version) return print_version();
  int code = cmd->fn(s);
  session_flush(s);
  return code ? code : s->exit_code;
}

static void *json_memory(size_t n) {
  void *p = malloc(n);
  if (!p) out_of_memory(n);
  return p;
}

int main(int argc, char **argv) {
  streams_occupy();
  signal(SIGPIPE, SIG_DFL); // a reader that goes away ends us quietly, even where our parent ignores the signal
  signal(SIGXFSZ, SIG_IGN); // a file that may not grow is an error like a full disk
  temp_guard();
  cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = json_memory, .free_fn = free}); // JSON is whole, or we end
  Session s = {.pages = digest_begin()};
  s.names.arena = &s.arena;
  diag_init(&s.diag, &s.arena);
  clear_options(&s.opt);
  int code = run(&s, argc, argv);
  if (!streams_written() && code == EXIT_OK)
    code = session_fail(&s, EXIT_IO, "cannot write to standard output: %s", strerror(errno));
  arena_free(&s.arena);
  return code;
}

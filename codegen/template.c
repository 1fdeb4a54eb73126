// template.c: see template.h. A file is read line by line; a word is a run of letters, digits and _.
#include "template.h"

#include <string.h>

typedef struct Word { // how words begin in the files, and in the model
  const char *from;
  bool own, capitals;
  const char *then;
} Word;
static const Word words[] = {
    {"mdl_", false, false, "_"},
    {"MDL_", false, true, "_"},
    {"sy_weights_", true, false, "_weights_"},
    {"SY_WEIGHTS_", true, true, "_WEIGHTS_"},
    {"sy_cpu_", true, false, "_cpu_"},
    {"SY_CPU_", true, true, "_CPU_"},
};

// By its last component.
static const EmbeddedFile *find_file(const char *path, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (path[i] == '/') return find_file(path + i + 1, n - i - 1);
  for (const EmbeddedFile *f = engine_files; f->name; f++) {
    const char *base = strrchr(f->name, '/') + 1;
    if (strlen(base) == n && !strncmp(base, path, n)) return f;
  }
  ICE("no file %.*s among those of the engine", (int)n, path);
}

static const char *prefix_of(const ModelNames *n, const Word *w) {
  if (w->own) return w->capitals ? n->own_upper : n->own;
  return w->capitals ? n->upper : n->prefix;
}

static void print_word(const ModelNames *n, const char *s, size_t len, Buf *out) {
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t k = strlen(words[i].from);
    if (len <= k || strncmp(s, words[i].from, k) != 0) continue;
    buf_puts(out, prefix_of(n, &words[i]));
    buf_puts(out, words[i].then);
    s += k, len -= k;
    break;
  }
  buf_putn(out, s, len);
}

static void print_words(const ModelNames *n, const char *s, const char *end, Buf *out) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
  while (s < end) {
    size_t len = strspn(s, letters);
    if (len)
      print_word(n, s, len, out);
    else
      buf_putc(out, *s);
    s += len ? len : 1;
  }
}

void template_words(const ModelNames *n, const char *s, Buf *out) {
  print_words(n, s, s + strlen(s), out);
}

void emit_section(Buf *out, const char *title, size_t len) {
  buf_printf(out, "/* ---- %.*s ", (int)len, title);
  for (size_t i = len + 12; i < 119; i++) buf_putc(out, '-');
  buf_puts(out, " */\n");
}

static void print_part(const ModelText *m, const TextPartRow *parts, const char *name, size_t len, Buf *out) {
  for (const TextPartRow *r = parts; r->name; r++) {
    if (strlen(r->name) != len || strncmp(r->name, name, len) != 0) continue;
    if (r->print) r->print(m, out);
    return;
  }
  ICE("no part %.*s of a model's text", (int)len, name);
}

// Does the line begin with these words? Then what is behind them.
static const char *behind(const char *line, size_t n, const char *start, size_t *len) {
  size_t k = strlen(start);
  if (n < k || strncmp(line, start, k) != 0) return NULL;
  *len = n - k;
  return line + k;
}

static void print_file(const EmbeddedFile *f, const ModelText *m, const TextPartRow *parts, Buf *out) {
  bool alone = false;
  const char *rest;
  size_t len = 0;
  for (const char *line = f->text, *next; *line; line = next) {
    size_t n = strcspn(line, "\n");
    next = line + n + (line[n] == '\n');
    if (n == strlen("//@ alone") && !strncmp(line, "//@ alone", n))
      alone = true;
    else if (n == strlen("//@ end") && !strncmp(line, "//@ end", n))
      alone = false;
    else if (alone)
      continue;
    else if ((rest = behind(line, n, "//@ section ", &len)))
      emit_section(out, rest, len);
    else if ((rest = behind(line, n, "//@ ", &len)))
      print_part(m, parts, rest, len, out);
    else if ((rest = behind(line, n, "#include \"", &len)))
      print_file(find_file(rest, len - 1), m, parts, out);
    else
      print_words(m->n, line, next, out);
  }
}

void template_print(const char *file, const ModelText *m, const TextPartRow *parts, Buf *out) {
  print_file(find_file(file, strlen(file)), m, parts, out);
}

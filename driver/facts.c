// facts.c: what a checkpoint was trained with but does not show in its tensors: epsilons, activations, how pictures are
// prepared. A page says it by its parameters and prepares, and by what its presets and sets of names change of them.
//
//   names    a file with the names of a `rename` set is compiled with that set in force (module_for_weights)
//   presets  where the tensors fit several presets that differ in such facts, a note says so (facts_note_presets)
//
// Facts are texts of options, "eps=1e-6, mean=[0.5, 0.5, 0.5]": Module.built, the options of each prepare and of each
// generate.
#include "weights.h"

#include <string.h>

/* texts of options ------------------------------------------------------------------------------------------------- */
typedef struct Fact {
  const char *text; // "eps=1e-6"
  size_t n, name;   // its letters, those before the '='
} Fact;

// The next option of a text; *at moves behind it. False at the end.
static bool next_fact(const char **at, Fact *f) {
  const char *s = *at;
  int open = 0;
  bool quoted = false;
  while (*s == ',' || *s == ' ') s++;
  *f = (Fact){.text = s, .name = strcspn(s, "=")};
  for (; *s && (*s != ',' || open > 0 || quoted); s++) {
    if (*s == '"') quoted = !quoted;
    if (!quoted) open += (*s == '(' || *s == '[') - (*s == ')' || *s == ']');
  }
  f->n = (size_t)(s - f->text);
  *at = s;
  return f->n > 0;
}

static bool has_fact(const char *list, const Fact *want) {
  Fact f;
  while (next_fact(&list, &f))
    if (f.n == want->n && !memcmp(f.text, want->text, f.n)) return true;
  return false;
}

// Appends the options of `list` that `other` lacks or has otherwise. Which preset it is called is no fact.
static void put_new(Buf *out, const char *label, const char *list, const char *other) {
  bool first = true;
  Fact f;
  while (list && next_fact(&list, &f)) {
    bool name = (f.name == 6 && !memcmp(f.text, "preset", 6)) || (f.name == 5 && !memcmp(f.text, "names", 5));
    if (name || has_fact(other ? other : "", &f)) continue;
    buf_printf(out, "%s%s%s%.*s",
               !first   ? ", "
               : out->n ? "; "
                        : "",
               first ? label : "", first && *label ? ": " : "", (int)f.n, f.text);
    first = false;
  }
}

static const Prepare *find_prepare(const Module *m, const char *name) {
  for (size_t i = 0; i < m->prepare.n; i++)
    if (!strcmp(m->prepare.at[i].name, name)) return &m->prepare.at[i];
  return NULL;
}

static const Generate *find_generate(const Module *m, const char *name) {
  for (size_t i = 0; i < m->generate.n; i++)
    if (!strcmp(m->generate.at[i].name, name)) return &m->generate.at[i];
  return NULL;
}

// Options of a search: "end=102, longest=20".
static const char *search_text(Arena *a, const Generate *x) {
  Buf b = {0};
  for (size_t i = 0; x && i < search_option_count; i++)
    buf_printf(&b, "%s%s=%.9g", i ? ", " : "", search_option[i].name, search_get(&x->option, i));
  const char *s = arena_strdup(a, b.s ? b.s : "");
  buf_free(&b);
  return s;
}

// The facts of a module that differ from those of another of the same page, "" if none do.
static const char *facts_beside(Arena *a, const Module *m, const Module *other) {
  Buf b = {0};
  put_new(&b, "", m->built, other->built);
  for (size_t i = 0; i < m->prepare.n; i++) {
    const Prepare *p = &m->prepare.at[i], *q = find_prepare(other, p->name);
    put_new(&b, p->name, p->options, q && !strcmp(p->kind, q->kind) ? q->options : "");
  }
  for (size_t i = 0; i < m->generate.n; i++) {
    const Generate *x = &m->generate.at[i];
    put_new(&b, x->name, search_text(a, x), search_text(a, find_generate(other, x->name)));
  }
  const char *s = arena_strdup(a, b.s ? b.s : "");
  buf_free(&b);
  return s;
}

/* names --------------------------------------------------------------------------------------------------------------
 */
// Sets --names to the set by which the checkpoint has what it lacks under the page's own names. False after reporting.
static bool follow_names(Session *s, const Module *m) {
  bool quiet = s->opt.quiet, ok = true;
  Checkpoint c = {0};
  s->opt.quiet = true; // who packs it opens it again and says what there is to say
  ok = checkpoint_open(s, &c, s->opt.weights.at, s->opt.weights.n);
  bool own = false;
  const char *set = ok ? checkpoint_names(s, &c, m, &own) : NULL;
  s->opt.quiet = quiet;
  ok = ok && !s->exit_code;
  if (ok && own && s->opt.names) {
    session_fail(s, EXIT_WRONG, "--names %s: the checkpoint has the page's own names; leave the option out",
                 s->opt.names);
    ok = false;
  }
  if (set) s->opt.names = arena_strdup(&s->arena, set);
  checkpoint_close(&c);
  return ok;
}

Module *module_for_weights(Session *s, const char *spec) {
  const char *asked = s->opt.names;
  Module *m = session_module(s, spec, NULL, NULL), *named;
  if (!m || !s->opt.weights.n || !m->rename.n) return m;
  if (!follow_names(s, m)) return NULL;
  if (asked || !s->opt.names) return m;
  named = session_module(s, spec, NULL, NULL);
  const char *facts = named ? facts_beside(&s->arena, named, m) : "";
  if (*facts) session_note(s, "syc: note: files with the names of '%s' come with %s", s->opt.names, facts);
  return named;
}

/* presets ------------------------------------------------------------------------------------------------------------
 */
typedef struct Others {
  Session *s;
  const Checkpoint *c;
  const Module *m;
  Buf text;
} Others;

static bool add_other(void *ud, const char *preset, const Module *m) {
  Others *o = ud;
  if (strcmp(m->name, o->m->name) != 0 || !checkpoint_fits(o->c, m, &o->s->arena)) return true;
  const char *facts = facts_beside(&o->s->arena, m, o->m);
  if (*facts) buf_printf(&o->text, "\n  %s  %s", preset, facts);
  return true;
}

void facts_note_presets(Session *s, const Checkpoint *c, const Module *m) {
  Others o = {.s = s, .c = c, .m = m};
  if (s->opt.quiet) return;
  session_each_preset(s, add_other, &o);
  if (o.text.n)
    session_note(s,
                 "syc: note: the tensors fit these presets, too, and do not tell which of them the file was trained "
                 "as; they differ in%s",
                 o.text.s);
  buf_free(&o.text);
}

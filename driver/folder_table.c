// folder_table.c: models/NAME.config, which stands beside the page models/NAME.sy and says which published folders are
// that page. One line a fact (docs/folders.md has the forms):
//
//   type huggingface vit                     config.json says model_type vit
//   under huggingface                        the page's set of names that its files have
//   class ViTForImageClassification vit classify     the model of the page, and the routes it has weights for
//   set dim = hidden_size : 768              a parameter, its field, the default of the library
//   must qkv_bias : true { true }            a field that may have these values only
//   free initializer_range                   fields without effect on the numbers
//
// The files are part of the command, as pages are, and are trusted: a unit test reads them all.
#include "embedded.h"
#include "folder.h"

#include <string.h>

static TableLine line_of(Session *s, const char *text, size_t n) {
  TableLine l = {0};
  const char *at = arena_strndup(&s->arena, text, n);
  for (;;) {
    at += strspn(at, " \t\r");
    if (!*at || (*at == '#' && (!at[1] || at[1] == ' '))) return l; // #id2label is a field: the number of its members
    size_t k = strcspn(at, " \t\r");
    const char *word = arena_strndup(&s->arena, at, k);
    at += k;
    if (!l.verb) {
      l.verb = word;
      l.rest = at + strspn(at, " \t");
    } else {
      VEC_PUSH(&s->arena, l.word, word);
    }
  }
}

static void read_table(Session *s, const EmbeddedFile *e, FolderTables *out) {
  const char *name = strrchr(e->name, '/') + 1;
  const char *page = arena_strndup(&s->arena, name, strcspn(name, "."));
  for (const char *at = e->text; *at;) {
    size_t n = strcspn(at, "\n");
    TableLine l = line_of(s, at, n);
    at += n + (at[n] == '\n');
    if (!l.verb) continue;
    if (!strcmp(l.verb, "type")) {
      FolderTable t = {.page = page, .type = l.word};
      VEC_PUSH(&s->arena, *out, t);
    } else if (out->n) {
      FolderTable *t = &out->at[out->n - 1];
      VEC_PUSH(&s->arena, t->line, l);
    }
  }
}

FolderTables folder_tables(Session *s) {
  FolderTables all = {0};
  for (const EmbeddedFile *e = embedded_files; e->name; e++) {
    size_t n = strlen(e->name);
    if (n > 14 && !strncmp(e->name, "models/", 7) && !strcmp(e->name + n - 7, ".config")) read_table(s, e, &all);
  }
  return all;
}

const FolderTable *folder_table(const FolderTables *all, const char *form, const char *name) {
  for (size_t i = 0; i < all->n; i++) {
    const StrList *type = &all->at[i].type;
    if (strcmp(type->at[0], form) != 0) continue;
    if (!name) return &all->at[i];
    for (size_t k = 1; k < type->n; k++)
      if (!strcmp(type->at[k], name)) return &all->at[i];
  }
  return NULL;
}

const FolderTable *folder_architecture(const FolderTables *all, const char *name, const TableLine **row) {
  for (size_t i = 0; i < all->n; i++)
    for (size_t k = 0; (*row = table_line(&all->at[i], "architecture", k)); k++)
      if (!strcmp((*row)->word.at[0], name)) return &all->at[i];
  return NULL;
}

const char *folder_known(Session *s, const FolderTables *all, const char *form) {
  Buf b = {0};
  for (size_t i = 0; i < all->n; i++) {
    const FolderTable *t = &all->at[i];
    const TableLine *row;
    if (strcmp(t->type.at[0], form) != 0) continue;
    for (size_t k = 1; k < t->type.n; k++)
      if (strcmp(t->type.at[k], "*") != 0) buf_printf(&b, "%s%s", b.n ? ", " : "", t->type.at[k]);
    for (size_t k = 0; (row = table_line(t, "architecture", k)); k++)
      buf_printf(&b, "%s%s", b.n ? ", " : "", row->word.at[0]);
  }
  const char *list = arena_strdup(&s->arena, b.s ? b.s : "none");
  buf_free(&b);
  return list;
}

const TableLine *table_line(const FolderTable *t, const char *verb, size_t i) {
  for (size_t k = 0; t && k < t->line.n; k++)
    if (!strcmp(t->line.at[k].verb, verb) && !i--) return &t->line.at[k];
  return NULL;
}

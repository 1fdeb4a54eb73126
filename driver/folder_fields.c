// folder_fields.c: the fields of a config.json by the table of its type: each is a parameter of the page, has to have a
// value that the page computes with, is without effect on the numbers, or is refused.
#include "folder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MEMBERS = 4096, MAX_NUMBER = 100 * 1000 * 1000 };

/* reaching fields -------------------------------------------------------------------------------------------------- */
static bool says_nothing(const cJSON *v) {
  return !v || cJSON_IsNull(v) || ((cJSON_IsArray(v) || cJSON_IsObject(v)) && !v->child);
}

const cJSON *folder_at(const cJSON *object, const char *path) {
  char part[200];
  while (object && *path) {
    size_t n = strcspn(path, ".");
    if (n >= sizeof part) return NULL;
    memcpy(part, path, n);
    part[n] = 0;
    bool number = n && strspn(part, "0123456789") == n;
    if (cJSON_IsArray(object) && number)
      object = cJSON_GetArrayItem(object, atoi(part));
    else
      object = cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, part) : NULL;
    path += n + (path[n] == '.');
  }
  return object && !cJSON_IsNull(object) ? object : NULL;
}

static void know(Folder *f, const char *pattern) {
  VEC_PUSH(&f->s->arena, f->field, pattern);
}

// A field as the table names it: "#id2label" is the number of members, an array of equal numbers one of them.
typedef struct Found {
  const cJSON *v; // NULL: it is not there
  double n;       // of a number, or of members
  bool number;
} Found;

static Found find_field(Folder *f, const char *name) {
  bool count = *name == '#';
  const cJSON *v = folder_at(f->config, name + count);
  know(f, name + count);
  if (count) return v && v->child ? (Found){v, cJSON_GetArraySize(v), true} : (Found){0};
  for (const cJSON *i = cJSON_IsArray(v) ? v->child : NULL; i && cJSON_IsNumber(i);) {
    const cJSON *next = i->next;
    if (!next) v = i; // [224, 224]
    if (next && (!cJSON_IsNumber(next) || next->valuedouble != i->valuedouble)) break;
    i = next;
  }
  return (Found){v, cJSON_IsNumber(v) ? v->valuedouble : 0, cJSON_IsNumber(v)};
}

/* values ----------------------------------------------------------------------------------------------------------- */
const char *folder_value(const Folder *f, const char *param) {
  for (size_t i = 0; i < f->value.n; i++)
    if (!strcmp(f->value.at[i].param, param)) return f->value.at[i].text;
  return NULL;
}

static void set_value(Folder *f, const char *param, const char *text, const char *from, const cJSON *v) {
  for (size_t i = 0; i < f->value.n; i++) {
    FolderValue *have = &f->value.at[i];
    if (strcmp(have->param, param) != 0) continue;
    if (!strcmp(have->from, "architecture")) { // what timm has for the name, unless the file says otherwise
      *have = (FolderValue){param, text, from};
      return;
    }
    if (strtod(have->text, NULL) != strtod(text, NULL) || (*text > '9' && strcmp(have->text, text) != 0))
      folder_refuse(f, f->file, from, v, "the page has one %s for this field and for %s, by which it is %s", param,
                    have->from, have->text);
    return;
  }
  VEC_PUSH(&f->s->arena, f->value, ((FolderValue){param, text, from}));
}

void folder_change(Folder *f, const char *param, int value) {
  for (size_t i = 0; i < f->value.n; i++)
    if (!strcmp(f->value.at[i].param, param)) f->value.at[i].text = arena_printf(&f->s->arena, "%d", value);
}

// The shortest text of a number that reads back as the same.
static const char *number_text(Session *s, double x) {
  char t[40];
  if (floor(x) == x && fabs(x) < 1e15) return arena_printf(&s->arena, "%.0f", x);
  for (int digits = 6; digits <= 17; digits++) {
    snprintf(t, sizeof t, "%.*g", digits, x);
    if (strtod(t, NULL) == x) break;
  }
  return arena_strdup(&s->arena, t);
}

static const FrontParam *page_param(const Folder *f, const char *name) {
  for (size_t i = 0; i < f->known->nparam; i++)
    if (!strcmp(f->known->param[i].name, name)) return &f->known->param[i];
  return NULL;
}

// What kind of value a parameter has, by its default in the page.
typedef enum { AS_INTEGER, AS_REAL, AS_TRUTH } ParamKind;
static ParamKind kind_of(const FrontParam *p) {
  if (!strcmp(p->text, "true") || !strcmp(p->text, "false")) return AS_TRUTH;
  bool literal = p->text[strspn(p->text, "0123456789.e-")] == 0;
  return literal && strpbrk(p->text, ".e") ? AS_REAL : AS_INTEGER;
}

// The words of a line from i on up to `end`, with blanks between; *i moves behind it.
static const char *join(Session *s, const StrList *w, size_t *i, const char *end) {
  Buf b = {0};
  for (; *i < w->n && (!end || strcmp(w->at[*i], end) != 0); ++*i) buf_printf(&b, "%s%s", b.n ? " " : "", w->at[*i]);
  *i += *i < w->n;
  const char *text = arena_strdup(&s->arena, b.s ? b.s : "");
  buf_free(&b);
  return text;
}

// The next item of "a, b - 1, c"; *at moves behind it. NULL at the end.
static const char *next_item(Session *s, const char **at) {
  *at += strspn(*at, " ,");
  size_t n = strcspn(*at, ",");
  const char *item = *at;
  *at += n;
  while (n && item[n - 1] == ' ') n--;
  return n ? arena_strndup(&s->arena, item, n) : NULL;
}

/* set: one parameter ----------------------------------------------------------------------------------------------- */
typedef struct Asked {
  Found found;
  const char *from, *fallback; // the field that was found, or the first; the default, or NULL
} Asked;

// FIELD {"|" FIELD} [":" DEFAULT]
static Asked read_operand(Folder *f, const StrList *w, size_t *i) {
  Asked o = {.from = w->at[*i]};
  for (;; ++*i) {
    Found here = find_field(f, w->at[*i]);
    if (here.v && !o.found.v) o.found = here, o.from = w->at[*i];
    if (++*i >= w->n || strcmp(w->at[*i], "|") != 0) break;
  }
  if (*i + 1 < w->n && !strcmp(w->at[*i], ":")) {
    o.fallback = w->at[*i + 1];
    *i += 2;
  }
  o.from += *o.from == '#';
  return o;
}

// Are two words the same value?
static bool is_same(const char *want, const char *have) {
  char *a, *b;
  double x = strtod(want, &a), y = strtod(have, &b);
  if (a != want && !*a && b != have && !*b) return x == y;
  return !strcmp(want, have);
}

// A field as a word: "gelu", "true", "768". NULL after refusing.
static const char *word_of(Folder *f, const Asked *o) {
  const cJSON *v = o->found.v;
  if (o->found.number) return number_text(f->s, o->found.n);
  if (cJSON_IsBool(v)) return cJSON_IsTrue(v) ? "true" : "false";
  if (cJSON_IsString(v)) return v->valuestring;
  folder_refuse(f, f->file, o->from, v, "a number is expected, or a word");
  return NULL;
}

// What was asked for as a word, its default where it is not there. NULL if there is none, or after refusing.
static const char *operand_text(Folder *f, const Asked *o) {
  const cJSON *v = o->found.v;
  if (!v) return o->fallback;
  const char *text = word_of(f, o);
  for (size_t i = 0; text && o->fallback && i < f->doubtful.n; i++) {
    if (strcmp(f->doubtful.at[i], o->from) != 0 || is_same(text, o->fallback)) continue;
    folder_refuse(f, f->file, o->from, v, "the section's copy (..._dict) lacks it, which means %s there", o->fallback);
    return NULL;
  }
  return text;
}

// { quick_gelu = true, gelu = false, * = .. }; NULL after refusing.
static const char *mapped(Folder *f, const char *map, const char *word, const Asked *o) {
  Buf have = {0};
  const char *item, *to = NULL;
  while (!to && (item = next_item(f->s, &map))) {
    size_t n = strcspn(item, " =");
    const char *value = item + n + strspn(item + n, " =");
    if ((n == strlen(word) && !memcmp(item, word, n)) || !strncmp(item, "* ", 2)) to = value;
    buf_printf(&have, "%s%.*s", have.n ? " or " : "", (int)n, item);
  }
  if (!to) folder_refuse(f, f->file, o->from, o->found.v, "the page has %s", have.s);
  buf_free(&have);
  return to;
}

static void set_line(Folder *f, const TableLine *l) {
  const StrList *w = &l->word;
  const char *param = w->at[0];
  size_t i = 2;
  Asked o = read_operand(f, w, &i);
  const char *text = operand_text(f, &o);
  const FrontParam *p = page_param(f, param);
  while (text && i < w->n && strcmp(w->at[i], "{") != 0) { // a product or a quotient, cut off as Python's int() does
    bool times = *w->at[i++] == '*';
    Asked by = read_operand(f, w, &i);
    const char *other = operand_text(f, &by);
    double a = strtod(text, NULL), b = other ? strtod(other, NULL) : 0, y = times ? a * b : b > 0 ? a / b : 0;
    if (!(y >= 1 && y <= MAX_NUMBER)) {
      folder_refuse(f, f->file, by.from, by.found.v, "with %s it makes no number of the page", o.from);
      return;
    }
    text = number_text(f->s, floor(y));
  }
  bool word = cJSON_IsString(o.found.v);
  if (text && i < w->n) {
    i++;
    word = false;
    text = mapped(f, join(f->s, w, &i, "}"), text, &o);
  }
  if (!text || !p) return; // of another model of the page, where it has no part in the numbers
  ParamKind kind = kind_of(p);
  double x = strtod(text, NULL);
  char *end;
  bool number = (strtod(text, &end), end != text && !*end), truth = !strcmp(text, "true") || !strcmp(text, "false");
  if (word || (kind == AS_TRUTH ? !truth : !number))
    folder_refuse(f, f->file, o.from, o.found.v, "%s is expected", kind == AS_TRUTH ? "true or false" : "a number");
  else if (kind == AS_INTEGER && (floor(x) != x || x < 0 || x > MAX_NUMBER))
    folder_refuse(f, f->file, o.from, o.found.v, "a whole number up to %d is expected", MAX_NUMBER);
  else if (kind == AS_REAL && !(x >= 0 && x < 1e6))
    folder_refuse(f, f->file, o.from, o.found.v, "a number from 0 to 1e6 is expected");
  else
    set_value(f, param, text, o.from, o.found.v);
}

/* must: a value that the page computes with ------------------------------------------------------------------------ */
// "gelu", "768", "vocab - 1": is it the value? A parameter of the page stands for its value.
static bool is_value(const Folder *f, const char *want, const char *have) {
  size_t n = strcspn(want, " ");
  const char *minus = strchr(want, '-');
  for (size_t i = 0; i < f->value.n; i++) {
    const FolderValue *v = &f->value.at[i];
    if (strlen(v->param) != n || memcmp(v->param, want, n) != 0) continue;
    return strtod(have, NULL) == strtod(v->text, NULL) - (minus ? strtod(minus + 1, NULL) : 0);
  }
  if (!strcmp(want, "\"\"")) return !*have;
  return is_same(want, have);
}

static void must_line(Folder *f, const TableLine *l) {
  const StrList *w = &l->word;
  size_t i = 0;
  Asked o = read_operand(f, w, &i);
  i++;
  const char *list = join(f->s, w, &i, "}"), *at = list, *item;
  bool nothing = says_nothing(o.found.v);
  const char *text = nothing ? o.fallback : NULL;
  const cJSON *v = o.found.v;
  if (!nothing && (cJSON_IsString(v) || cJSON_IsNumber(v) || cJSON_IsBool(v))) text = operand_text(f, &o);
  while (text && (item = next_item(f->s, &at)))
    if (is_value(f, item, text)) return;
  folder_refuse(f, f->file, o.from, v, "%s%s%s", v ? "" : "is not there, which means ",
                v ? "the page computes with " : text,
                v ? (!strcmp(list, "none") ? "none" : list) : "; the page computes with others");
}

/* fields that are said twice --------------------------------------------------------------------------------------- */
// `merge text_config text_config_dict`: the second is the first again; transformers takes it, with its defaults for
// what it lacks. Here they have to agree.
static void merge_line(Folder *f, const TableLine *l) {
  cJSON *to = cJSON_GetObjectItemCaseSensitive(f->config, l->word.at[0]);
  const char *twice = l->word.at[1];
  cJSON *from = cJSON_DetachItemFromObjectCaseSensitive(f->config, twice);
  know(f, twice);
  if (says_nothing(from)) {
    cJSON_Delete(from);
    return;
  }
  if (!cJSON_IsObject(to)) {
    if (to) cJSON_DeleteItemFromObjectCaseSensitive(f->config, l->word.at[0]);
    cJSON_AddItemToObject(f->config, l->word.at[0], from);
    return;
  }
  for (const cJSON *i = to->child; i; i = i->next)
    if (i->string && !cJSON_GetObjectItemCaseSensitive(from, i->string))
      VEC_PUSH(&f->s->arena, f->doubtful, arena_printf(&f->s->arena, "%s.%s", l->word.at[0], i->string));
  for (cJSON *i = from->child, *next; i; i = next) {
    next = i->next;
    const cJSON *have = i->string ? cJSON_GetObjectItemCaseSensitive(to, i->string) : NULL;
    const char *path = arena_printf(&f->s->arena, "%s.%s", twice, i->string ? i->string : "");
    if (have && !cJSON_Compare(have, i, true))
      folder_refuse(f, f->file, path, i, "%s.%s is %s", l->word.at[0], i->string, folder_value_text(f->s, have));
    if (!have) cJSON_AddItemToObject(to, i->string, cJSON_DetachItemViaPointer(from, i));
  }
  cJSON_Delete(from);
}

/* what is left ----------------------------------------------------------------------------------------------------- */
static bool is_known(const StrList *known, const char *path) {
  for (size_t i = 0; i < known->n; i++)
    if (text_matches(known->at[i], path)) return true;
  return false;
}

typedef struct Walk {
  Folder *f;
  const char *file;
  const StrList *known;
} Walk;

static void walk(const Walk *w, const cJSON *object, const char *prefix) {
  Folder *f = w->f;
  size_t n = 0;
  for (const cJSON *i = object->child; i; i = i->next) {
    const char *path = arena_printf(&f->s->arena, "%s%s", prefix, i->string ? i->string : "");
    if (++n > MAX_MEMBERS) {
      folder_refuse(f, w->file, path, i, "more than %d fields stand here", MAX_MEMBERS);
      return;
    }
    if (cJSON_GetObjectItemCaseSensitive(object, i->string) != i)
      folder_refuse(f, w->file, path, i, "the field stands here twice");
    else if (is_known(w->known, path))
      continue;
    else if (says_nothing(i))
      buf_printf(&f->noted, "%s%s", f->noted.n ? ", " : "", path);
    else if (cJSON_IsObject(i))
      walk(w, i, arena_printf(&f->s->arena, "%s.", path));
    else
      folder_refuse(f, w->file, path, i, "this field is not known here, and may change the numbers");
  }
}

void folder_unknown(Folder *f, const char *file, const cJSON *object, const StrList *known) {
  walk(&(Walk){f, file, known}, object, "");
}

/* all of it -------------------------------------------------------------------------------------------------------- */
// The fields of `free`; those of the common table also in sections ("text_config.initializer_range").
static void free_lines(Folder *f, const FolderTable *t, const char *prefix) {
  const TableLine *l;
  for (size_t i = 0; (l = table_line(t, "free", i)); i++)
    for (size_t k = 0; k < l->word.n; k++) know(f, arena_printf(&f->s->arena, "%s%s", prefix, l->word.at[k]));
}

// The `must` lines of the common table, of fields that the type's own table does not name.
static void common_lines(Folder *f, const char *prefix, const StrList *own) {
  const TableLine *l;
  free_lines(f, f->common, prefix);
  for (size_t i = 0; (l = table_line(f->common, "must", i)); i++) {
    TableLine here = {.verb = l->verb};
    for (size_t k = 0; k < l->word.n; k++)
      VEC_PUSH(&f->s->arena, here.word, k ? l->word.at[k] : arena_printf(&f->s->arena, "%s%s", prefix, l->word.at[0]));
    if (!is_known(own, here.word.at[0])) must_line(f, &here);
  }
}

// `also max_text = min( 40 , positions )`: of other parameters of the page, which stand for their values.
static void also_line(Folder *f, const TableLine *l) {
  Buf b = {0};
  for (size_t i = 2; i < l->word.n; i++) {
    const char *value = folder_value(f, l->word.at[i]);
    buf_printf(&b, "%s%s", b.n ? " " : "", value ? value : l->word.at[i]);
  }
  if (page_param(f, l->word.at[0])) set_value(f, l->word.at[0], arena_strdup(&f->s->arena, b.s), "the page", NULL);
  buf_free(&b);
}

void folder_fields(Folder *f, const TableLine *architecture) {
  const FolderTable *t = f->table;
  const TableLine *l;
  Session *s = f->s;
  for (size_t i = 1; architecture && i < architecture->word.n; i++) {
    const char *word = architecture->word.at[i], *eq = strchr(word, '=');
    set_value(f, arena_strndup(&s->arena, word, (size_t)(eq - word)), eq + 1, "architecture", NULL);
  }
  for (size_t i = 0; (l = table_line(t, "merge", i)); i++) merge_line(f, l);
  for (size_t i = 0; (l = table_line(t, "set", i)); i++) set_line(f, l);
  for (size_t i = 0; (l = table_line(t, "must", i)); i++) must_line(f, l);
  free_lines(f, t, "");
  StrList own = f->field;
  common_lines(f, "", &own);
  if ((l = table_line(t, "section", 0)))
    for (size_t i = 0; i < l->word.n; i++) common_lines(f, arena_printf(&s->arena, "%s.", l->word.at[i]), &own);
  folder_unknown(f, f->file, f->config, &f->field);
  for (size_t i = 0; (l = table_line(t, "also", i)); i++) also_line(f, l);
}

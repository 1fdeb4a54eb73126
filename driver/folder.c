// folder.c: opens a folder as a spec: finds out what it is, reads its fields by the table of its type, and makes the
// page with a preset that the rest of the command compiles like any other. Its weights count as --weights, and the
// architecture that it names as --routes, where the command line says neither.
#include "folder.h"
#include "ckpt/stfile.h"
#include "embedded.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_JSON = 64 << 20, MAX_SHOWN = 80, MAX_FILES = 100000 };

bool folder_is(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool folder_is_published(const char *path) {
  static const char *const files[] = {"config.json", "open_clip_config.json"};
  char name[4096];
  for (size_t i = 0; i < 2; i++) {
    int n = snprintf(name, sizeof name, "%s/%s", path, files[i]);
    if (n > 0 && (size_t)n < sizeof name && access(name, F_OK) == 0) return true;
  }
  return false;
}

static const char *in_folder(const Folder *f, const char *name) {
  return arena_printf(&f->s->arena, "%s/%s", f->dir, name);
}

static bool has_file(const Folder *f, const char *name) {
  struct stat st;
  return stat(in_folder(f, name), &st) == 0 && S_ISREG(st.st_mode);
}

/* JSON ------------------------------------------------------------------------------------------------------------- */
const char *folder_value_text(Session *s, const cJSON *v) {
  char *all = v ? cJSON_PrintUnformatted(v) : NULL;
  const char *text = !all                       ? ""
                     : strlen(all) <= MAX_SHOWN ? arena_strdup(&s->arena, all)
                                                : arena_printf(&s->arena, "%.*s...", MAX_SHOWN, all);
  cJSON_free(all);
  return text;
}

cJSON *folder_json(Folder *f, const char *name, bool *there) {
  const char *path = in_folder(f, name), *err = NULL;
  Session *s = f->s;
  size_t n = 0;
  struct stat st;
  *there = stat(path, &st) == 0;
  if (!*there) return NULL;
  if (!S_ISREG(st.st_mode) || st.st_size > MAX_JSON) {
    session_fail(s, EXIT_IO, "%s: not a file of at most 64 MB", path);
    return NULL;
  }
  char *text = file_read(&s->arena, path, &n, &err);
  StError why = {.text = ""};
  if (!text) {
    session_fail(s, EXIT_IO, "cannot read %s: %s", path, err);
    return NULL;
  }
  const char *begin = !strncmp(text, "\xef\xbb\xbf", 3) ? text + 3 : text, *end = NULL;
  if (!st_json_prescan("file", begin, n - (size_t)(begin - text), &why)) {
    session_fail(s, EXIT_IO, "%s: %s", path, why.text);
    return NULL;
  }
  cJSON *j = cJSON_ParseWithOpts(begin, &end, 1);
  if (!cJSON_IsObject(j)) {
    size_t line = 1;
    for (const char *c = begin; !j && end && c < end; c++) line += *c == '\n';
    if (j)
      session_fail(s, EXIT_IO, "%s: an object { .. } is expected", path);
    else
      session_fail(s, EXIT_IO, "%s:%zu: this is no JSON", path, line);
    cJSON_Delete(j);
    return NULL;
  }
  VEC_PUSH(&s->arena, s->deps, path);
  buf_printf(&f->facts, "%s%s", f->facts.n ? " + " : "", name);
  return j;
}

void folder_refuse(Folder *f, const char *file, const char *path, const cJSON *value, const char *fmt, ...) {
  const StrList *ignore = &f->s->opt.ignore_field;
  for (size_t i = 0; i < ignore->n; i++) {
    if (!text_matches(ignore->at[i], path)) continue;
    buf_printf(&f->noted, "%s%s", f->noted.n ? ", " : "", path);
    return;
  }
  va_list ap;
  va_start(ap, fmt);
  buf_printf(&f->refused, "\n  %s: %s%s%s: ", file, path, value ? " = " : "", folder_value_text(f->s, value));
  buf_vprintf(&f->refused, fmt, ap);
  va_end(ap);
}

/* what it is ------------------------------------------------------------------------------------------------------- */
static const struct {
  const char *file, *what;
} others[] = {{"model_index.json", "a pipeline of diffusers"},
              {"adapter_config.json", "an adapter (LoRA) without its model; merge them first"},
              {"params.json", "a folder of Meta's Llama"},
              {"cases.json", "a folder of golden cases (syc check --golden)"},
              {"tf_model.h5", "weights of TensorFlow without a config.json"},
              {"saved_model.pb", "a model of TensorFlow"}};

static bool not_a_model(const Folder *f) {
  const char *what = NULL;
  for (size_t i = 0; i < sizeof others / sizeof *others && !what; i++)
    if (has_file(f, others[i].file)) what = others[i].what;
  session_fail(f->s, EXIT_IO,
               "%s is a folder without config.json or open_clip_config.json%s%s: it is not a published model", f->dir,
               what ? "; it is " : "", what ? what : "");
  return false;
}

static const char *text_at(const cJSON *object, const char *path) {
  const cJSON *v = folder_at(object, path);
  return cJSON_IsString(v) ? v->valuestring : NULL;
}

static bool known_type(Folder *f, const FolderTables *all, const TableLine **architecture) {
  const char *type = text_at(f->config, "model_type"), *arch = text_at(f->config, "architecture");
  if (arch && folder_at(f->config, "pretrained_cfg")) {
    f->table = folder_architecture(all, arch, architecture);
    if (!f->table)
      session_fail(f->s, EXIT_WRONG,
                   "%s/config.json: architecture \"%s\": no page here is that model of timm (known: %s)", f->dir, arch,
                   folder_known(f->s, all, "timm"));
    return f->table != NULL;
  }
  f->table = type ? folder_table(all, "huggingface", type) : NULL;
  f->common = folder_table(all, "huggingface", "*");
  if (f->table == f->common) f->table = NULL;
  if (!f->table && type)
    session_fail(f->s, EXIT_WRONG, "%s/config.json: model_type \"%s\": no page here is that model (known: %s)", f->dir,
                 type, folder_known(f->s, all, "huggingface"));
  else if (!f->table)
    session_fail(
        f->s, EXIT_WRONG,
        "%s/config.json: it has no model_type (transformers), and no architecture with a pretrained_cfg (timm)",
        f->dir);
  return f->table != NULL;
}

// Opens the file that says what the folder is; *architecture: the row of timm's table. False after reporting.
static bool open_config(Folder *f, const FolderTables *all, const TableLine **architecture) {
  bool there;
  f->file = "config.json";
  f->config = folder_json(f, f->file, &there);
  if (there && !f->config) return false;
  bool clip = has_file(f, "open_clip_config.json");
  const char *type = text_at(f->config, "model_type");
  if (f->config && !(clip && !(type && folder_table(all, "huggingface", type)))) {
    if (clip)
      session_note(f->s,
                   "syc: note: %s has the files of transformers and of open_clip; those of transformers are taken",
                   f->dir);
    return known_type(f, all, architecture);
  }
  if (!clip) return not_a_model(f);
  cJSON_Delete(f->config);
  buf_free(&f->facts);
  f->file = "open_clip_config.json";
  f->config = folder_json(f, f->file, &there);
  f->table = folder_table(all, "open_clip", NULL);
  return f->config != NULL;
}

/* model and routes ------------------------------------------------------------------------------------------------- */
// By `architectures`: the model of the page, and what the file has weights for.
static bool choose_class(Folder *f, const char **routes) {
  const cJSON *list = folder_at(f->config, "architectures");
  const TableLine *l, *any = table_line(f->table, "class", 0);
  const char *name = cJSON_IsArray(list) && cJSON_IsString(list->child) ? list->child->valuestring : NULL;
  Buf known = {0};
  bool found = false, chosen = f->s->opt.routes || f->s->opt.objective || f->s->opt.stage;
  for (size_t i = 0; (l = table_line(f->table, "class", i)) && !found; i++) {
    buf_printf(&known, "%s%s", i ? ", " : "", l->word.at[0]);
    found = !strcmp(l->word.at[0], "*") || (name && !strcmp(l->word.at[0], name));
    if (!found) continue;
    f->model = l->word.at[1];
    *routes = l->word.at[2];
  }
  bool same = true; // has every class the same model?
  for (size_t i = 0; any && (l = table_line(f->table, "class", i)); i++)
    same = same && !strcmp(l->word.at[1], any->word.at[1]);
  if (!found && same && (chosen || !name)) f->model = any->word.at[1], found = true;
  if (!found)
    session_fail(f->s, EXIT_WRONG, "%s/%s: architectures%s%s: no model of the page %s has its weights (known: %s)%s",
                 f->dir, f->file, name ? " = " : "", name ? name : " is missing", f->table->page, known.s,
                 name && same ? "; --routes chooses routes of the page by hand" : "");
  buf_free(&known);
  return found;
}

static const FrontModel *page_model(Folder *f, const EmbeddedFile *e) {
  Diag d;
  diag_init(&d, &f->s->arena);
  const FrontListing *l = front_list(&f->s->arena, &f->s->names, &d, e->name, e->text, e->size);
  for (size_t i = 0; l && i < l->nmodel; i++)
    if (!strcmp(l->model[i].name, f->model)) return &l->model[i];
  return NULL;
}

/* weights ---------------------------------------------------------------------------------------------------------- */
static const char *const weight_files[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                           "pytorch_model.bin.index.json"};
static const char *const open_clip_files[] = {"open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
                                              "open_clip_pytorch_model.bin"};

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_weights_name(const char *name) {
  static const char *const ends[] = {".safetensors", ".bin", ".pth", ".pt"};
  size_t n = strlen(name);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t k = strlen(ends[i]);
    if (n > k && !strcmp(name + n - k, ends[i]) && strcmp(name, "training_args.bin") != 0) return true;
  }
  return false;
}

// Files that may be weights, by other names than the published ones.
static StrList other_weights(const Folder *f) {
  StrList list = {0};
  DIR *d = opendir(f->dir);
  const struct dirent *e;
  for (size_t i = 0; d && i < MAX_FILES && (e = readdir(d)); i++)
    if (is_weights_name(e->d_name) && has_file(f, e->d_name))
      VEC_PUSH(&f->s->arena, list, arena_strdup(&f->s->arena, e->d_name));
  if (d) closedir(d);
  if (list.n) qsort(list.at, list.n, sizeof *list.at, by_name);
  return list;
}

// The shards that an index names, for -MD; who opens the weights looks at it closely.
static void add_shards(Folder *f, const char *index) {
  bool there;
  size_t facts = f->facts.n;
  cJSON *j = folder_json(f, index, &there);
  StrList seen = {0};
  const cJSON *map = folder_at(j, "weight_map"), *i;
  cJSON_ArrayForEach(i, map) {
    if (!cJSON_IsString(i) || strchr(i->valuestring, '/') || seen.n > 1000) continue;
    bool twice = false;
    for (size_t k = 0; k < seen.n && !twice; k++) twice = !strcmp(seen.at[k], i->valuestring);
    if (twice) continue;
    VEC_PUSH(&f->s->arena, seen, arena_strdup(&f->s->arena, i->valuestring));
    VEC_PUSH(&f->s->arena, f->s->deps, in_folder(f, seen.at[seen.n - 1]));
  }
  if (j) f->facts.s[f->facts.n = facts] = 0; // it says nothing of the model
  cJSON_Delete(j);
}

// Adds the folder's weights to --weights. False after reporting.
static bool find_weights(Folder *f) {
  bool clip = !strcmp(f->table->type.at[0], "open_clip");
  const char *const *names = clip ? open_clip_files : weight_files;
  size_t n = clip ? sizeof open_clip_files / sizeof *open_clip_files : sizeof weight_files / sizeof *weight_files;
  const char *take = NULL;
  Buf more = {0};
  for (size_t i = 0; i < n; i++) {
    if (!has_file(f, names[i])) continue;
    if (take)
      buf_printf(&more, "%s%s", more.n ? ", " : "", names[i]);
    else
      take = names[i];
  }
  if (more.n)
    session_note(f->s, "syc: note: of %s %s is taken; it also has %s (--weights chooses)", f->dir, take, more.s);
  buf_free(&more);
  StrList list = take ? (StrList){0} : other_weights(f);
  if (list.n > 1) {
    Buf all = {0};
    for (size_t i = 0; i < list.n && i < 20; i++) buf_printf(&all, "%s%s", i ? ", " : "", list.at[i]);
    session_fail(f->s, EXIT_WRONG,
                 "%s has no %s, but several files that may be its weights: %s; --weights FILE chooses", f->dir,
                 names[0], all.s);
    buf_free(&all);
    return false;
  }
  if (list.n) take = list.at[0];
  if (!take) {
    session_note(f->s, "syc: note: %s has no weights (%s or the like)", f->dir, names[0]);
    return true;
  }
  size_t k = strlen(take);
  if (k > 5 && !strcmp(take + k - 5, ".json")) add_shards(f, take);
  VEC_PUSH(&f->s->arena, f->s->opt.weights, in_folder(f, take));
  return f->s->exit_code == EXIT_OK;
}

/* the page --------------------------------------------------------------------------------------------------------- */
// The name of the preset: the folder's, as a name of a page.
static const char *preset_name(Folder *f) {
  char path[4096];
  const char *real = realpath(f->dir, NULL), *at = real ? strrchr(real, '/') : NULL;
  snprintf(path, sizeof path, "%s", at && at[1] ? at + 1 : "folder");
  free((void *)(uintptr_t)real);
  Buf b = {0};
  for (const char *c = path; *c && b.n < 80; c++) {
    bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
    buf_putc(&b, letter ? *c : '_');
  }
  const char *name = arena_printf(&f->s->arena, "of_%s", b.s ? b.s : "folder");
  buf_free(&b);
  return name;
}

static const char *page_text(Folder *f, const EmbeddedFile *e, const char *name) {
  const TableLine *under = table_line(f->table, "under", 0);
  Buf b = {0};
  buf_printf(&b, "%s\n# as %s says\npreset %s = %s(", e->text, f->file, name, f->model);
  bool first = true;
  size_t column = 0;
  for (size_t i = 0; i < f->value.n; i++) {
    const FolderValue *v = &f->value.at[i];
    const char *item = arena_printf(&f->s->arena, "%s%s = %s", first ? "" : ", ", v->param, v->text);
    bool wrap = column > 90;
    buf_printf(&b, "%s%s", wrap && !first ? ",\n    " : "", wrap && !first ? item + 2 : item);
    column = wrap ? strlen(item) : column + strlen(item);
    first = false;
  }
  buf_printf(&b, ")%s%s", under ? " under " : "", under ? under->word.at[0] : "");
  if (f->prepare.n) buf_printf(&b, " {\n%s}", f->prepare.s);
  buf_putc(&b, '\n');
  const char *text = arena_strdup(&f->s->arena, b.s);
  buf_free(&b);
  return text;
}

static void say_noted(const Folder *f) {
  if (f->noted.n) session_note(f->s, "syc: note: %s: these fields are left out: %s", f->dir, f->noted.s);
  if (has_file(f, "modules.json"))
    session_note(f->s, "syc: note: %s/modules.json: what sentence-transformers does behind the model is no part of it",
                 f->dir);
}

// The file that --vocab takes; a tokenizer.json says more than the others.
static const char *find_vocabulary(const Folder *f) {
  static const char *const files[] = {"tokenizer.json", "vocab.txt", "merges.txt", "spiece.model",
                                      "sentencepiece.bpe.model"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (has_file(f, files[i])) return in_folder(f, files[i]);
  return NULL;
}

static bool read_all(Folder *f, FolderPage *page) {
  FolderTables all = folder_tables(f->s);
  const TableLine *architecture = NULL;
  const char *routes = NULL;
  Session *s = f->s;
  if (!open_config(f, &all, &architecture) || !choose_class(f, &routes)) return false;
  const EmbeddedFile *e = embedded_find(arena_printf(&s->arena, "models/%s.sy", f->table->page));
  f->known = e ? page_model(f, e) : NULL;
  if (!f->known)
    return session_fail(s, EXIT_ICE, "%s: models/%s.config and its page do not fit", f->dir, f->table->page), false;
  folder_fields(f, architecture);
  if (!folder_pictures(f) || !folder_sentences(f)) return false;
  if (f->refused.n) {
    session_fail(s, EXIT_WRONG,
                 "%s: what these fields say is not computed by the page %s (--ignore-field FIELD goes on without):%s",
                 f->dir, f->table->page, f->refused.s);
    return false;
  }
  const TableLine *empty = table_line(f->table, "empty", 0);
  const char *none = empty ? folder_value(f, empty->word.at[0]) : NULL;
  if (none && !strcmp(none, "0")) routes = empty->word.at[1];
  if (routes && !s->opt.routes && !s->opt.objective && !s->opt.stage) s->opt.routes = routes;
  page->routes = routes;
  page->path = e->name;
  page->preset = preset_name(f);
  page->text = page_text(f, e, page->preset);
  page->n = strlen(page->text);
  say_noted(f);
  return true;
}

bool folder_open(Session *s, const char *dir, FolderPage *page) {
  size_t n = strlen(dir);
  while (n > 1 && dir[n - 1] == '/') n--;
  Folder f = {.s = s, .dir = arena_strndup(&s->arena, dir, n)};
  bool takes_weights = s->wants_weights && !s->opt.weights.n;
  bool ok = read_all(&f, page) && (!takes_weights || find_weights(&f));
  page->vocab = find_vocabulary(&f);
  page->facts = arena_strdup(&s->arena, f.facts.s ? f.facts.s : "");
  cJSON_Delete(f.config);
  buf_free(&f.refused);
  buf_free(&f.noted);
  buf_free(&f.prepare);
  buf_free(&f.facts);
  return ok;
}

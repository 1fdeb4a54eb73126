// cached.c: what of the cache is the same as what would be made now. A key is the content of everything that has a part
// in the result, not names and times that stand for it:
//
//   a compiled model    its emitted text, the compiler (its file, its --version, its arguments and flags), the
//   libraries
//                       it is linked with, syc itself
//   packed weights      the texts of the pages, every option but those below, the checkpoints, the plan, syc itself
//
// A digest of a large file is kept with its inode and times (cache.c).
#include "codegen/llvm/llvm.h"
#include "ckpt/shards.h"
#include "driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* options -------------------------------------------------------------------------------------------------------------
 */
// Options without a part in what is packed. One that is missing here costs time, one too many is a wrong result.
static bool has_no_part(const char *option) {
  static const char *const list[] = {"output",       "weights",    "emit",        "include", "cc",     "MD",
                                     "print-passes", "dump-after", "time-passes", "remarks", "golden", "shared",
                                     "case",         "threads",    "batch",       "rounds",  "turns",  "words",
                                     "input",        "json",       "diagnostics", "color",   "quiet",  "verbose"};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++)
    if (!strcmp(list[i], option)) return true;
  return false;
}

static void add_FLAG(Digester *key, const bool *v) {
  key_add_text(key, *v ? "yes" : "no");
}
static void add_STR(Digester *key, const char *const *v) {
  key_add_text(key, *v);
}
static void add_MAYBE(Digester *key, const char *const *v) {
  key_add_text(key, *v);
}
static void add_INT(Digester *key, const int64_t *v) {
  digest_add(key, v, sizeof *v);
}
static void add_LIST(Digester *key, const StrList *v) {
  digest_add(key, &v->n, sizeof v->n);
  for (size_t i = 0; i < v->n; i++) key_add_text(key, v->at[i]);
}
static void add_DEFINE(Digester *key, const Defines *v) {
  add_LIST(key, &v->name);
  add_LIST(key, &v->value);
}

static void add_options(Digester *key, const Options *o) {
#define OPT(field, kind, letter, name, value, commands, help)                                                          \
  if (!has_no_part(name)) add_##kind(key, &o->field);
#include "options.def"
#undef OPT
}

static bool add_syc(Session *s, Digester *key) {
  key_add_text(key, SY_VERSION);
  return key_add_file(s, key, "/proc/self/exe");
}

/* packed weights ------------------------------------------------------------------------------------------------------
 */
typedef struct Shards {
  Session *s;
  Digester *key;
  bool ok;
} Shards;

static void add_shard(void *ud, const char *path) {
  Shards *f = ud;
  f->ok = f->ok && key_add_file(f->s, f->key, path);
}

static bool add_checkpoint(Session *s, Digester *key, const char *path) {
  StError err;
  Shards f = {s, key, true};
  if (!key_add_file(s, key, path)) return false;
  if (!st_is_index(path) || st_index_each(path, add_shard, &f, &err)) return f.ok;
  session_fail(s, EXIT_IO, "%s", err.text);
  return false;
}

const char *cached_weights_path(Session *s, const Program *p) {
  Digester key = s->pages;
  digest_add(&key, &p->plan_hash, sizeof p->plan_hash);
  key_add_text(&key, s->opt.arg.at[0]); // with its preset
  add_options(&key, &s->opt);
  if (!add_syc(s, &key)) return NULL;
  for (size_t i = 0; i < s->opt.weights.n; i++)
    if (!add_checkpoint(s, &key, s->opt.weights.at[i])) return NULL;
  Digest d = digest_end(&key);
  return cache_path(s, session_prefix(s, p->module), ".syw", &d);
}

/* compiled models -----------------------------------------------------------------------------------------------------
 */
// Which file a word of the command is; the time of its last change tells one compiler from the next.
static void add_program(Session *s, Digester *key, const char *word) {
  struct stat st;
  const char *path = cc_find(&s->arena, word);
  key_add_text(key, path);
  if (!path || stat(path, &st) != 0) return;
  const int64_t facts[] = {(int64_t)st.st_dev, (int64_t)st.st_ino, (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
                           (int64_t)st.st_mtim.tv_nsec};
  digest_add(key, facts, sizeof facts);
}

static bool add_compiler(Session *s, Digester *key, const char *triple) {
  static const char *const variables[] = {"CPATH",         "C_INCLUDE_PATH",  "LIBRARY_PATH",
                                          "COMPILER_PATH", "GCC_EXEC_PREFIX", "LD_LIBRARY_PATH"};
  StrList cc = cc_words(s, triple);
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) key_add_text(key, getenv(variables[i]));
  for (size_t i = 0; i < cc.n; i++) key_add_text(key, cc.at[i]);
  for (size_t i = 0; i < cc.n; i++) add_program(s, key, cc.at[i]);
  for (size_t i = 0; i < s->cc_flags.n; i++) key_add_text(key, s->cc_flags.at[i]);
  key_add_text(key, cc_ask(s, &cc, "--version")); // behind a wrapper another compiler may stand today
  return true;
}

// What is linked, and the header that is included.
static bool add_runtime(Session *s, Digester *key, CcKind kind) {
  const char *include = cc_runtime_dir(s, "include"), *lib = kind == CC_EXE ? cc_runtime_dir(s, "lib") : NULL;
  if (!include || (kind == CC_EXE && !lib)) return false;
  if (!key_add_file(s, key, arena_printf(&s->arena, "%s/switchyard.h", include))) return false;
  for (size_t i = 0; lib && cc_libraries[i]; i++)
    if (!key_add_file(s, key, arena_printf(&s->arena, "%s/%s", lib, cc_libraries[i]))) return false;
  return true;
}

static bool add_text(Session *s, Digester *key, const Program *p, const char *prefix) {
  CcTexts t = cc_texts(p, prefix);
  const Buf *list[] = {&t.c, &t.h, &t.glue};
  for (size_t i = 0; i < 3; i++) digest_add(key, &list[i]->n, sizeof list[i]->n);
  for (size_t i = 0; i < 3; i++) digest_add(key, list[i]->s, list[i]->n);
  cc_free_texts(&t);
  return add_syc(s, key);
}

static bool compiled_key(Session *s, const Program *p, const char *prefix, CcKind kind, const char *triple,
                         Digest *out) {
  const char *machine[] = {s->opt.target ? s->opt.target : triple, s->opt.mcpu, s->opt.mattr};
  Digester key = digest_begin();
  digest_add(&key, &kind, sizeof kind);
  const BackEnd *b = cc_back_end(s, kind);
  for (size_t i = 0; i < 3; i++) key_add_text(&key, machine[i]);
  key_add_text(&key, b->version ? b->version() : "C");
  bool ok = add_text(s, &key, p, prefix) && (b->version || add_compiler(s, &key, triple)) && add_runtime(s, &key, kind);
  *out = digest_end(&key);
  return ok;
}

const char *cc_cached(Session *s, const Program *p, const char *prefix, CcKind kind, const char *triple) {
  static const char *const suffix[] = {
      [CC_OBJ] = ".o", [CC_LIB] = ".a", [CC_SO] = ".so", [CC_EXE] = ".exe", [CC_JIT] = ".o"};
  Digest key;
  if (!compiled_key(s, p, prefix, kind, triple, &key)) return NULL;
  const char *path = cache_path(s, prefix, suffix[kind], &key);
  if (!path || file_is_ours(path)) return path;
  if (unlink(path) != 0 && errno != ENOENT) {
    session_fail(s, EXIT_IO, "%s does not belong to this user: remove it", path);
    return NULL;
  }
  Made made;
  if (!cc_program(s, p, prefix, kind, triple, path, &made)) return NULL;
  bool ok = new_file_put(&made.file, NEW_FILE_FAST);
  if (!ok) session_fail(s, EXIT_IO, "cannot write %s: %s", path, strerror(errno));
  cc_made_drop(&made);
  return ok ? path : NULL;
}

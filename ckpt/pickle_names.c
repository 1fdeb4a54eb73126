// pickle_names.c - see pickle_names.h.
#include "pickle_names.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NAME = 512, BASE_WORK = 1000000, WORK_PER_BYTE = 8 };

static const struct {
  const char *module, *name;
  PkFunction function;
  StDtype dtype;
} known[] = {
#define KNOWN(module, name, function, dtype) {module, name, function, dtype},
#define HOSTILE(module, name)
#include "pickle_names.def"
#undef KNOWN
#undef HOSTILE
};

static const struct {
  const char *module, *name; // name NULL: all
} hostile[] = {
#define KNOWN(module, name, function, dtype)
#define HOSTILE(module, name) {module, name},
#include "pickle_names.def"
#undef KNOWN
#undef HOSTILE
};

enum { ROWS = sizeof known / sizeof *known + sizeof hostile / sizeof *hostile };

// Is "a.b.c" the module, or below it?
static bool is_within(const char *name, const char *module) {
  size_t n = strlen(module);
  return !strncmp(name, module, n) && (!name[n] || name[n] == '.');
}

static bool is_hostile(const char *module, const char *name) {
  if (is_within(module, "__builtin__")) module = "builtins";
  for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
    if (hostile[i].name ? !strcmp(module, hostile[i].module) && is_within(name, hostile[i].name)
                        : is_within(module, hostile[i].module))
      return true;
  }
  return false;
}

// The name may reach through modules by dots ("torch", "serialization.os.system"): every way of cutting it is looked
// at.
static bool reaches_hostile(const char *module, const char *name) {
  char outer[2 * MAX_NAME + 2], inner[MAX_NAME + 1];
  if (is_hostile(module, name)) return true;
  for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
    const char *from = dot;
    while (from > name && from[-1] != '.') from--;
    snprintf(inner, sizeof inner, "%.*s", (int)(dot - from), from);
    snprintf(outer, sizeof outer, "%s.%.*s", module, (int)(dot - name), name);
    if (is_hostile(inner, dot + 1) || is_hostile(outer, dot + 1)) return true;
  }
  return false;
}

// A row that is known is not hostile, also where all of its module is.
static void judge(PkName *n) {
  for (size_t i = 0; i < sizeof known / sizeof *known && !n->known; i++) {
    if (strcmp(n->module, known[i].module) != 0 || strcmp(n->name, known[i].name) != 0) continue;
    n->known = true;
    n->function = known[i].function;
    n->dtype = known[i].dtype;
  }
  n->hostile = !n->known && reaches_hostile(n->module, n->name);
}

static size_t dots_in(PkText t) {
  size_t n = 0;
  for (size_t i = 0; i < t.n; i++) n += t.s[i] == '.';
  return n;
}

static bool spend(PkNames *t, uint64_t work, const char **why) {
  t->work += work;
  if (t->work > t->limit) *why = "names are looked up too often for a file of this size: it is damaged or hostile";
  return t->work <= t->limit;
}

static uint64_t hash_text(uint64_t h, PkText t) {
  for (size_t i = 0; i < t.n; i++) h = (h ^ (uint8_t)t.s[i]) * UINT64_C(0x100000001b3);
  return h ^ h >> 29;
}

static bool same(PkText t, const char *s) {
  return strlen(s) == t.n && !memcmp(t.s, s, t.n);
}

// Where the pair is, or would be.
static PkName **place(const PkNames *t, PkText module, PkText name) {
  size_t at = (size_t)hash_text(hash_text(UINT64_C(0xcbf29ce484222325), module), name) & (t->nslot - 1);
  while (t->slot[at] && (!same(module, t->slot[at]->module) || !same(name, t->slot[at]->name)))
    at = (at + 1) & (t->nslot - 1);
  return &t->slot[at];
}

static bool grow(PkNames *t) {
  PkNames larger = *t;
  larger.nslot = t->nslot ? 2 * t->nslot : 64;
  larger.slot = st_alloc(t->pool, larger.nslot * sizeof *larger.slot);
  if (!larger.slot) return false;
  for (size_t i = 0; i < t->nslot; i++) {
    const PkName *n = t->slot[i];
    if (n) *place(&larger, (PkText){n->module, strlen(n->module)}, (PkText){n->name, strlen(n->name)}) = t->slot[i];
  }
  *t = larger;
  return true;
}

static PkName *add(PkNames *t, PkText module, PkText name, const char **why) {
  PkName *n = st_alloc(t->pool, sizeof *n);
  const char *mod = st_copy(t->pool, module.s, module.n), *nam = st_copy(t->pool, name.s, name.n);
  if (!n || !mod || !nam || (2 * (t->used + 1) > t->nslot && !grow(t))) {
    *why = "needs too much memory for a file of this size";
    return NULL;
  }
  *n = (PkName){.module = mod, .name = nam, .dtype = ST_DTYPE_COUNT};
  judge(n);
  *place(t, module, name) = n;
  t->used++;
  return n;
}

PkNames pk_names(StPool *pool, size_t n) {
  return (PkNames){.pool = pool, .limit = BASE_WORK + WORK_PER_BYTE * (uint64_t)n};
}

PkName *pk_name_find(PkNames *t, PkText module, PkText name, const char **why) {
  if (!module.n || !name.n || module.n > MAX_NAME || name.n > MAX_NAME || memchr(module.s, 0, module.n) ||
      memchr(name.s, 0, name.n)) {
    *why = "a name that no Python module can have";
    return NULL;
  }
  if (!spend(t, (module.n + name.n) / 4, why)) return NULL;
  PkName *n = t->nslot ? *place(t, module, name) : NULL;
  if (n) return n;
  return spend(t, ROWS * (1 + 2 * (uint64_t)dots_in(name)), why) ? add(t, module, name, why) : NULL;
}

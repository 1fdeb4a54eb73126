// checkpoint_gguf.c: what GGUF files say of the model that they were made of. Tensors do not show how many heads there
// are, the base of rotary angles or an epsilon; a model with others would compute other numbers without a word. So what
// such a file says is held against the parameters that the page is built with.
//
// The keys are those of ggml's docs/gguf.md and, for "clip", of llama.cpp's tools/mtmd/clip-impl.h and clip.cpp's
// models/convert_hf_to_gguf.py.
#include "weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Said { // a value of the file, and the parameter of a page that means the same
  const char *key;    // a % stands for general.architecture
  const char *parameter;
  bool negated; // a truth value: the parameter is the opposite
} Said;
static const Said said[] = {
    {"%.attention.head_count", "heads", false},
    {"%.attention.head_count_kv", "kv_heads", false},
    {"%.attention.key_length", "head_dim", false},
    {"%.rope.dimension_count", "head_dim", false},
    {"%.rope.freq_base", "theta", false},
    {"%.attention.layer_norm_rms_epsilon", "eps", false},
    {"%.attention.sliding_window", "window", false},
    {"clip.vision.attention.head_count", "heads", false},
    {"clip.text.attention.head_count", "text_heads", false},
    {"clip.vision.attention.layer_norm_epsilon", "eps", false},
    {"clip.text.attention.layer_norm_epsilon", "eps", false},
    {"clip.use_gelu", "quick", true},
};

// Options of prepares that a file says as arrays of three.
static const struct {
  const char *key, *option;
} shown[] = {{"clip.vision.image_mean", "mean"}, {"clip.vision.image_std", "std"}};

const char *checkpoint_architecture(const Checkpoint *c) {
  for (size_t i = 0; i < c->n; i++)
    if (st_architecture(c->file[i])) return st_architecture(c->file[i]);
  return NULL;
}

// "gguf_clip_old" is of "clip".
static bool is_set_of(const char *set, const char *architecture) {
  size_t n = architecture ? strlen(architecture) : 0;
  return n && !strncmp(set + 5, architecture, n) && (!set[5 + n] || set[5 + n] == '_');
}

// What is no GGUF file and has their names was made of one by `weights convert`.
bool checkpoint_may_have(const Checkpoint *c, const char *set) {
  bool may = true;
  for (size_t i = 0; i < c->n && !strncmp(set, "gguf_", 5); i++)
    may = may && (strcmp(st_kind(c->file[i]), "GGUF") != 0 || is_set_of(set, st_architecture(c->file[i])));
  return may;
}

// The text of an option, "10000" of "theta=10000, ..", behind the '='; NULL if there is none.
static const char *find_option(const char *list, const char *name) {
  size_t n = strlen(name);
  for (const char *s = list; s && (s = strstr(s, name)); s += n)
    if ((s == list || s[-1] == ' ') && s[n] == '=') return s + n + 1;
  return NULL;
}

// A value as a number; false if it is none, or several.
static bool as_number(const StMeta *m, double *x) {
  StValue v;
  if (!m || m->array || st_meta_values(m, &v, 1) != 1) return false;
  *x = v.kind == ST_META_REAL ? v.real : v.kind == ST_META_INT ? (double)v.i : (double)v.u;
  return v.kind != ST_META_TEXT && v.kind != ST_META_ARRAY;
}

static bool differ(double a, double b) { // one of them was a float
  return !(fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b)));
}

static bool parameter_is_same(Session *s, const StFile *f, const char *architecture, const Module *m, const Said *q) {
  const char *key = q->key[0] == '%' ? arena_printf(&s->arena, "%s%s", architecture, q->key + 1) : q->key;
  const char *text = find_option(m->built, q->parameter);
  double x, y;
  if (!text || !as_number(st_meta_find(f, key), &x)) return true;
  bool truth = *text == 't' || *text == 'f';
  y = truth ? (double)((*text == 't') != q->negated) : strtod(text, NULL);
  if (!differ(x, y)) return true;
  const char *want = truth ? ((x > 0) != q->negated ? "true" : "false") : arena_printf(&s->arena, "%.9g", x);
  session_fail(s, EXIT_WRONG,
               "the checkpoint was made with %s=%s (its value '%s'), and the model has %s=%.*s: build it with -D %s=%s",
               q->parameter, want, key, q->parameter, (int)strcspn(text, ","), text, q->parameter, want);
  return false;
}

static bool angles_are_plain(Session *s, const StFile *f, const char *architecture) {
  const char *key = arena_printf(&s->arena, "%s.rope.scaling.type", architecture);
  const StMeta *m = st_meta_find(f, key);
  StValue v;
  if (!m || m->array || st_meta_values(m, &v, 1) != 1 || v.kind != ST_META_TEXT) return true;
  if (v.n == 4 && !memcmp(v.text, "none", 4)) return true;
  session_fail(s, EXIT_WRONG,
               "the checkpoint was made with scaled rotary angles (its value '%s' is '%.*s'), which the "
               "page does not have",
               key, (int)(v.n < 40 ? v.n : 40), v.text);
  return false;
}

// Mean and deviation of pictures change what is computed as much as weights do, but a page may mean to have others.
static void note_pictures(Session *s, const StFile *f, const Module *m) {
  for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
    const StMeta *meta = st_meta_find(f, shown[i].key);
    StValue v[3];
    if (!meta || !meta->array || meta->count != 3 || st_meta_values(meta, v, 3) != 3 || v[0].kind != ST_META_REAL)
      continue;
    for (size_t k = 0; k < m->prepare.n; k++) {
      const char *text = find_option(m->prepare.at[k].options, shown[i].option);
      bool same = !text || *text++ != '[';
      char *end = NULL;
      for (int j = 0; j < 3 && text && !same; j++) {
        if (fabs(strtod(text, &end) - v[j].real) > 1e-4) break;
        same = j == 2;
        text = end + strspn(end, ", ");
      }
      if (!same)
        session_note(s,
                     "syc: warning: the checkpoint was made for pictures with %s [%g, %g, %g] ('%s'), and '%s' of the "
                     "page has another",
                     shown[i].option, v[0].real, v[1].real, v[2].real, shown[i].key, m->prepare.at[k].name);
    }
  }
}

bool checkpoint_says_same(Session *s, const Checkpoint *c, const Module *m) {
  for (size_t i = 0; i < c->n; i++) {
    const char *architecture = st_architecture(c->file[i]);
    if (!architecture || !m->built) continue;
    if (!angles_are_plain(s, c->file[i], architecture)) return false;
    for (size_t k = 0; k < sizeof said / sizeof *said; k++)
      if (!parameter_is_same(s, c->file[i], architecture, m, &said[k])) return false;
    note_pictures(s, c->file[i], m);
  }
  return true;
}

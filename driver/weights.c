// weights.c: checkpoints and the packed weight file: `syc weights init | inspect | pack | convert`.
//
// A program asks for weights by name and exact shape; what is missing or has another shape is reported at once, with
// near names. Tensors are read from the mapped files: an aligned F32 tensor is handed on as it lies there, so that
// packing needs little memory beside the pages of the file.
//
//   Checkpoint c = {0};
//   if (checkpoint_open(s, &c, files, n) && checkpoint_check(s, &c, p, true)) weights_pack(s, p, "vit.syw", &c);
//   checkpoint_close(&c);
#include "common/progress.h"
#include "ir/adapter.h"
#include "ir/op/resize.h"
#include "weights.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* what a checkpoint has -----------------------------------------------------------------------------------------------
 */
// Axes of length 1 do not count: they change no element's place.
static bool same_shape(const StTensor *t, const Type *type) {
  int i = 0;
  for (int k = 0; k < type->rank; k++) {
    if (type->dim[k].k) return false;
    if (type->dim[k].c == 1) continue;
    while (i < t->rank && t->shape[i] == 1) i++;
    if (i == t->rank || t->shape[i++] != type->dim[k].c) return false;
  }
  while (i < t->rank && t->shape[i] == 1) i++;
  return i == t->rank;
}

// Floats are made of floats, whole numbers (pointers into queues, i32 in a page) of whole numbers, which are I64 in
// most files.
static bool same_kind(const StTensor *t, DType want) {
  return want == DT_I32 ? st_dtype_is_whole(t->dtype)
                        : st_dtype_is_float(st_value_type(t)) && dtype_info[want].kind == DK_FLOAT;
}

// Weights of the page that are f32 take doubles of a checkpoint rounded to it; narrower ones are rounded once, from
// what the checkpoint has, by the evaluator.
static bool source_get(void *ud, const char *name, const Type *type, Tensor *out, const char **err) {
  const StTensor *t = checkpoint_find(ud, name);
  if (!t || !same_shape(t, type) || !same_kind(t, out->dtype)) {
    *err = t ? "a tensor of the checkpoint has another shape or type" : "a tensor is missing from the checkpoint";
    return false;
  }
  if (out->dtype == DT_I32) {
    if (st_to_i32(t, out->i, 0, out->n)) return true;
    *err = "a whole number of the checkpoint does not fit into i32";
    return false;
  }
  bool ok = st_to_f64(t, out->f, 0, out->n);
  if (ok && out->dtype == DT_F32 && t->dtype == ST_F64)
    for (size_t i = 0; i < out->n; i++) out->f[i] = (double)(float)out->f[i];
  if (!ok) *err = "a tensor of the checkpoint cannot be read";
  return ok;
}

static const float *source_f32(void *ud, const char *name, const Type *type) {
  const StTensor *t = checkpoint_find(ud, name);
  if (!t || t->dtype != ST_F32 || !same_shape(t, type) || (uintptr_t)t->data % sizeof(float)) return NULL;
  return t->data;
}

// Equal in all but the rows (last axis but one)?
static bool other_rows(const StTensor *t, const Type *type) {
  bool same = t && st_dtype_is_float(st_value_type(t)) && t->rank == type->rank && type->rank > 1;
  for (int i = 0; same && i < type->rank; i++) same = i == type->rank - 2 || t->shape[i] == type->dim[i].c;
  return same;
}

static bool source_rows(void *ud, const char *name, const Type *type, int64_t *rows) {
  const StTensor *t = checkpoint_find(ud, name);
  if (!other_rows(t, type)) return false;
  *rows = t->shape[type->rank - 2];
  return true;
}

WeightSource checkpoint_source(Checkpoint *c) {
  return (WeightSource){.get = source_get, .f32 = source_f32, .rows = source_rows, .ud = c};
}

/* what a program asks for ---------------------------------------------------------------------------------------------
 */
static void collect(const Graph *g, Val v, bool *seen, Arena *a, WeightNames *out) {
  const Value *x = graph_value(g, v);
  if (seen[v.id]) return;
  seen[v.id] = true;
  if (x->op == OP_weight) weight_names_add(out, a, x);
  for (uint32_t i = 0; i < x->nargs; i++) collect(g, x->args[i], seen, a, out);
}

void weight_names_add(WeightNames *w, Arena *a, const Value *weight) {
  const char *name = value_str(weight, A_name);
  if (2 * (w->list.n + 1) > w->nslot) { // an open hash table of positions + 1
    size_t n = w->nslot ? 2 * w->nslot : 64;
    uint32_t *slot = ARENA_ARRAY(a, uint32_t, n);
    for (size_t i = 0; i < w->list.n; i++) {
      size_t h = hash_bytes(w->list.at[i].name, strlen(w->list.at[i].name), 0) & (n - 1);
      while (slot[h]) h = (h + 1) & (n - 1);
      slot[h] = (uint32_t)i + 1;
    }
    w->slot = slot;
    w->nslot = n;
  }
  size_t h = hash_bytes(name, strlen(name), 0) & (w->nslot - 1);
  for (; w->slot[h]; h = (h + 1) & (w->nslot - 1))
    if (!strcmp(w->list.at[w->slot[h] - 1].name, name)) return;
  WeightName item = {name, weight->type, weight};
  VEC_PUSH(a, w->list, item);
  w->slot[h] = (uint32_t)w->list.n;
}

bool weight_names_has(const WeightNames *w, const char *name) {
  if (!w->nslot) return false;
  for (size_t h = hash_bytes(name, strlen(name), 0) & (w->nslot - 1); w->slot[h]; h = (h + 1) & (w->nslot - 1))
    if (!strcmp(w->list.at[w->slot[h] - 1].name, name)) return true;
  return false;
}

WeightNames weight_names_of_module(const Module *m, Arena *a) {
  WeightNames w = {0};
  for (size_t i = 0; i < m->graph.n; i++)
    for (size_t k = 1; k < m->graph.at[i]->value.n; k++) {
      const Value *v = &m->graph.at[i]->value.at[k];
      if (v->op == OP_weight && !v->dead) weight_names_add(&w, a, v);
    }
  return w;
}

WeightNames weight_names_of_program(const Program *p, Arena *a) {
  WeightNames w = {0};
  bool *seen = NULL; // by value, of one graph after the other
  for (size_t i = 0; i < p->weight.n; i++) {
    const PackedWeight *one = &p->weight.at[i];
    if (!i || one->graph != one[-1].graph) seen = ARENA_ARRAY(a, bool, one->graph->value.n);
    collect(one->graph, one->val, seen, a, &w);
  }
  return w;
}

void weight_print_shape(Buf *b, const StTensor *t) {
  buf_printf(b, "%s[", st_type_name(t));
  for (int i = 0; i < t->rank; i++) buf_printf(b, "%s%lld", i ? "," : "", (long long)t->shape[i]);
  buf_putc(b, ']');
}

// Does the page allow the tensor to be resized to what the model wants?
static bool can_resize(const WeightName *w, const StTensor *t) {
  const Attr *grid = value_attr(w->value, A_grid);
  const char *method = value_str(w->value, A_method);
  ResizePlan p;
  if (!method || !other_rows(t, &w->type)) return false;
  int64_t to = w->type.dim[w->type.rank - 2].c, from = t->shape[w->type.rank - 2];
  return resize_plan(method, value_int(w->value, A_keep, 0), grid ? grid->v : NULL, from, to, &p);
}

// Of long lists the first are printed, of all others their number.
enum { SHOWN_MISFITS = 20 };

static size_t most_shown(const Session *s, size_t most) {
  return s->opt.verbose ? SIZE_MAX : most;
}

static void print_rest(Buf *b, size_t n, size_t shown) {
  if (n > shown) buf_printf(b, "\n  ... and %zu more (--verbose lists all)", n - shown);
}

bool weight_fits(const WeightName *w, const StTensor *t) {
  return t && same_kind(t, w->type.dtype) && (same_shape(t, &w->type) || can_resize(w, t));
}

static void print_misfit(Buf *b, const Checkpoint *c, const Module *m, const WeightName *w, const StTensor *t) {
  buf_printf(b, "\n  %s  %s ", t ? "other shape" : "missing    ", w->name);
  type_print(b, m, &w->type);
  const StTensor *near = t ? NULL : checkpoint_near(c, w->name);
  if (t) buf_puts(b, ", in the checkpoint ");
  if (near) buf_printf(b, "; near: %s ", near->name);
  if (t || near) weight_print_shape(b, t ? t : near);
  if (t && t->foreign)
    buf_puts(b, ", elements that cannot be read here: save it as F32, F16 or BF16 where it was made");
}

bool checkpoint_fits(const Checkpoint *c, const Module *m, Arena *a) {
  WeightNames w = weight_names_of_module(m, a);
  bool fits = w.list.n > 0;
  for (size_t i = 0; i < w.list.n && fits; i++) {
    const StTensor *t = checkpoint_find(c, w.list.at[i].name);
    fits = t && same_kind(t, w.list.at[i].type.dtype) && same_shape(t, &w.list.at[i].type);
  }
  return fits;
}

typedef struct FitTest {
  const Checkpoint *c;
  Arena *arena;
  const char *spec; // the first that fits
} FitTest;

static bool test_fit(void *ud, const char *spec, const Module *m) {
  FitTest *test = ud;
  if (checkpoint_fits(test->c, m, test->arena)) test->spec = spec;
  return !test->spec;
}

// How tools that round weights to few bits call what they make of one; their files say no more of it.
static const struct {
  const char *end, *by;
} rounded[] = {{".qweight", "GPTQ or AWQ"},
               {".qzeros", "GPTQ or AWQ"},
               {".SCB", "bitsandbytes, 8 bits"},
               {".quant_state.bitsandbytes__nf4", "bitsandbytes, 4 bits"},
               {".quant_state.bitsandbytes__fp4", "bitsandbytes, 4 bits"},
               {".weight_packed", "compressed-tensors"},
               {"._packed_params._packed_params", "PyTorch, 8 bits"}};

static const char *rounded_by(Session *s, const Checkpoint *c) {
  for (size_t i = 0; i < c->n; i++)
    for (size_t k = 0; k < st_count(c->file[i]); k++) {
      const char *name = st_at(c->file[i], k)->name;
      for (size_t j = 0; j < sizeof rounded / sizeof *rounded; j++)
        if (checkpoint_prefix(&s->arena, name, rounded[j].end + 1))
          return arena_printf(&s->arena,
                              "; its weights are quantised (%s: %s), which cannot be read: take the checkpoint before "
                              "that, or its GGUF file",
                              rounded[j].by, name);
    }
  return NULL;
}

// What the user may have meant.
static const char *misfit_advice(Session *s, const Checkpoint *c, size_t misfits, size_t n) {
  FitTest test = {c, &s->arena, NULL};
  const char *by = rounded_by(s, c);
  if (by) return by;
  session_each_preset(s, test_fit, &test);
  if (test.spec) return arena_printf(&s->arena, "; it is that of %s", test.spec);
  return misfits > n / 2 ? "; it seems to be that of another model, or of another size" : "";
}

// Reports what is missing or has another shape; true if there is nothing.
static bool report_misfits(Session *s, const Checkpoint *c, const Module *m, const WeightNames *want) {
  Buf b = {0};
  size_t missing = 0, wrong = 0, shown = most_shown(s, SHOWN_MISFITS);
  for (size_t i = 0; i < want->list.n; i++) {
    const WeightName *w = &want->list.at[i];
    const StTensor *t = checkpoint_find(c, w->name);
    if (weight_fits(w, t)) continue;
    if (missing + wrong < shown) print_misfit(&b, c, m, w, t);
    if (t)
      wrong++;
    else
      missing++;
  }
  print_rest(&b, missing + wrong, shown);
  if (missing + wrong)
    session_fail(s, EXIT_WRONG,
                 "the checkpoint does not fit the model: of %zu tensors %zu missing, %zu of another shape or type%s%s",
                 want->list.n, missing, wrong, misfit_advice(s, c, missing + wrong, want->list.n), b.s);
  buf_free(&b);
  return missing + wrong == 0;
}

StDtype kept_dtype(DType t) {
  StDtype kept;
  if (!st_dtype_by_name(dtype_info[t].kept, &kept)) ICE("no type of a checkpoint is called %s", dtype_info[t].kept);
  return kept;
}

// A page may store weights in fewer bits than the checkpoint has.
static void note_rounded(Session *s, const Checkpoint *c, const WeightNames *want) {
  size_t n = 0;
  const WeightName *first = NULL;
  for (size_t i = 0; i < want->list.n; i++) {
    const WeightName *w = &want->list.at[i];
    StDtype narrow = kept_dtype(w->type.dtype);
    if (!dtype_is_narrow(w->type.dtype) || checkpoint_find(c, w->name)->dtype == narrow) continue;
    if (!n++) first = w;
  }
  if (n)
    session_note(s, "syc: note: %zu weight%s rounded to the narrower type of the page, the first is %s (%s)", n,
                 n == 1 ? " is" : "s are", first->name, st_dtype_name(kept_dtype(first->type.dtype)));
}

static void note_resized(Session *s, const Checkpoint *c, const WeightNames *want) {
  for (size_t i = 0; i < want->list.n; i++) {
    const WeightName *w = &want->list.at[i];
    const StTensor *t = checkpoint_find(c, w->name);
    if (same_shape(t, &w->type)) continue;
    session_note(s, "syc: note: %s has %lld rows in the checkpoint and %lld in the model: it is resized (%s)", w->name,
                 (long long)t->shape[t->rank - 2], (long long)w->type.dim[t->rank - 2].c,
                 value_str(w->value, A_method));
  }
}

static bool check_names(Session *s, Checkpoint *c, const Module *m, WeightNames *want, bool leftovers) {
  WeightNames page = {0}; // without adapters, which no published file has
  Arena a = {0};
  for (size_t i = 0; i < want->list.n; i++)
    if (!is_adapter_factor(want->list.at[i].value)) weight_names_add(&page, &a, want->list.at[i].value);
  bool ok = checkpoint_fit(s, c, m, &page) && checkpoint_adapters(s, c, m) && report_misfits(s, c, m, want);
  arena_free(&a);
  if (ok && leftovers) note_resized(s, c, want);
  if (ok && leftovers) note_rounded(s, c, want);
  if (ok && leftovers) ok = checkpoint_leftovers(s, c, m, want);
  if (ok && leftovers) facts_note_presets(s, c, m);
  return ok;
}

bool checkpoint_check(Session *s, Checkpoint *c, const Program *p, bool leftovers) {
  Arena a = {0};
  WeightNames want = weight_names_of_program(p, &a);
  bool ok = check_names(s, c, p->module, &want, leftovers);
  arena_free(&a);
  return ok;
}

bool checkpoint_check_module(Session *s, Checkpoint *c, const Module *m, bool leftovers) {
  Arena a = {0};
  WeightNames want = weight_names_of_module(m, &a);
  bool ok = check_names(s, c, m, &want, leftovers);
  arena_free(&a);
  return ok;
}

/* packing -------------------------------------------------------------------------------------------------------------
 */
Progress progress_start(const Session *s, const char *verb, const Checkpoint *read, double bytes) {
  Progress p = {.show = !s->opt.quiet, .shown = -1, .verb = verb, .read = read};
  p.step = 64e6 / (bytes + 1);
  return p;
}

void progress_show(void *ud, double share) {
  Progress *p = ud;
  int percent = (int)(share * 100);
  if (share - p->released > p->step) {
    checkpoint_release(p->read);
    p->released = share;
  }
  if (!p->show || percent == p->shown) return;
  p->shown = percent;
  char text[16];
  snprintf(text, sizeof text, "%3d%%", percent);
  progress_bar(p->verb, share, text);
}

void progress_end(const Progress *p) {
  if (p->show && p->shown >= 0) progress_clear();
}

// Elements that are finite in the checkpoint and not in the page's narrower type.
static void warn_too_large(Session *s, const WeightName *w, const StTensor *t, const WeightStats *st) {
  StDtype narrow = kept_dtype(w->type.dtype);
  double most = fabs(st->min) > fabs(st->max) ? st->min : st->max;
  float f = (float)most;
  uint16_t h;
  if (t && dtype_is_narrow(w->type.dtype) && (isinf(f) || st_from_f32(narrow, &f, &h, 1)))
    session_note(s, "syc: warning: %s has elements up to %g, which become infinite as %s", t->name, most,
                 st_dtype_name(narrow));
}

static void warn_not_finite(Session *s, const Program *p, const Checkpoint *c) {
  Arena a = {0};
  WeightNames want = weight_names_of_program(p, &a);
  size_t at = 0;
  for (size_t i = 0; i < want.list.n; i++) {
    const StTensor *t = checkpoint_find(c, want.list.at[i].name);
    WeightStats st = t ? weight_stats(t) : (WeightStats){0};
    if (st.nan + st.inf)
      session_note(s, "syc: warning: %s has %llu NaN and %llu infinite elements", t->name, (unsigned long long)st.nan,
                   (unsigned long long)st.inf);
    warn_too_large(s, &want.list.at[i], t, &st);
    if (t && (at += t->bytes) > 64000000) checkpoint_release(c), at = 0;
  }
  arena_free(&a);
}

bool weights_pack_into(Session *s, const Program *p, NewFile *out, const char *path, const Checkpoint *c) {
  Checkpoint copy = *c;
  WeightSource src = checkpoint_source(&copy);
  Progress progress = progress_start(s, "packing ", c, (double)p->weight_bytes);
  warn_not_finite(s, p, c);
  const char *err = "unknown error";
  bool ok = pack_into(p, &src, out, progress_show, &progress, &err);
  progress_end(&progress);
  if (!ok) session_fail(s, EXIT_IO, "cannot pack the weights into %s: %s", path, err);
  return ok;
}

bool weights_pack(Session *s, const Program *p, const char *path, const Checkpoint *c) {
  NewFile out = {0};
  bool ok = output_open(s, &out, path) && weights_pack_into(s, p, &out, path, c);
  if (ok && !new_file_put(&out, NEW_FILE_SAFE)) {
    session_fail(s, EXIT_IO, "cannot write %s: %s", path, strerror(errno));
    ok = false;
  }
  new_file_drop(&out);
  return ok;
}

/* the command ---------------------------------------------------------------------------------------------------------
 */
// Standard output and devices: what cannot take a file's name, and cannot be gone back in.
static bool is_stream(const char *path) {
  struct stat st;
  if (!strcmp(path, "-") || stream_of_path(path) >= 0) return true;
  return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

// Binary output for a stream is made in a temporary folder, then copied.
const char *weights_out_begin(Session *s) {
  if (!s->opt.output) {
    session_fail(s, EXIT_USAGE, "syc weights %s: say where to write with -o FILE", s->opt.arg.at[0]);
    return NULL;
  }
  if (!is_stream(s->opt.output)) return s->opt.output;
  if (!strcmp(s->opt.output, "-") && isatty(STDOUT_FILENO)) {
    session_fail(s, EXIT_USAGE, "not writing a binary file to a terminal; redirect it or use -o FILE");
    return NULL;
  }
  const char *dir = temp_dir(s, NULL);
  return dir ? arena_printf(&s->arena, "%s/out", dir) : NULL;
}

static bool copy_to(FILE *from, FILE *to) {
  char part[65536];
  for (size_t n; (n = fread(part, 1, sizeof part, from)) > 0;)
    if (fwrite(part, 1, n, to) != n) return false;
  return !ferror(from) && fflush(to) == 0;
}

int weights_out_end(Session *s, const char *path) {
  const char *to = s->opt.output;
  if (!is_stream(to)) return EXIT_OK;
  NewFile out = {0};
  FILE *f = fopen(path, "rb");
  bool ok = f != NULL;
  if (ok && !strcmp(to, "-"))
    ok = copy_to(f, stdout);
  else
    ok = ok && new_file_open(&out, to) && copy_to(f, out.f) && new_file_put(&out, NEW_FILE_FAST);
  int why = errno;
  if (f) fclose(f);
  new_file_drop(&out);
  return ok ? EXIT_OK
            : session_fail(s, EXIT_IO, "cannot write to %s: %s", to[1] ? to : "standard output", strerror(why));
}

static int cmd_init(Session *s) {
  const char *path = weights_out_begin(s);
  Module *m = path ? session_module(s, s->opt.arg.at[1], NULL, NULL) : NULL;
  int64_t seed = s->opt.seed == INT_UNSET ? 1 : s->opt.seed;
  if (!m || !weights_init(s, m, seed, path)) return s->exit_code;
  WeightNames w = weight_names_of_module(m, &s->arena);
  double bytes = 0;
  for (size_t i = 0; i < w.list.n; i++)
    bytes += (double)st_dtype_size(kept_dtype(w.list.at[i].type.dtype)) * (double)type_elements(m, &w.list.at[i].type);
  session_note(s, "%s: %zu tensors, %.1f MB, seed %lld", s->opt.output, w.list.n, bytes / 1e6, (long long)seed);
  return weights_out_end(s, path);
}

static int cmd_pack(Session *s) {
  s->wants_weights = true;
  if (!s->opt.weights.n && !session_is_folder(s, s->opt.arg.at[1]))
    return session_fail(s, EXIT_USAGE, "syc weights pack: name the checkpoint with --weights FILE");
  const char *path = weights_out_begin(s);
  const Target *t[MAX_TARGETS];
  size_t n = path ? session_targets(s, s->opt.isa, t) : 0;
  Module *m = n ? module_for_weights(s, s->opt.arg.at[1]) : NULL;
  Program *p = m ? session_program(s, m, t, n) : NULL;
  if (!p) return s->exit_code;
  if (!s->opt.weights.n)
    return session_fail(s, EXIT_WRONG, "%s has no weights; name them with --weights FILE", s->opt.arg.at[1]);
  Checkpoint c = {0};
  bool ok = checkpoint_open(s, &c, s->opt.weights.at, s->opt.weights.n) && checkpoint_check(s, &c, p, true) &&
            weights_pack(s, p, path, &c);
  checkpoint_close(&c);
  if (!ok) return s->exit_code;
  session_note(s, "%s: %zu tensors, %.1f MB, plan %016llx", s->opt.output, p->weight.n, (double)p->weight_bytes / 1e6,
               (unsigned long long)p->plan_hash);
  return weights_out_end(s, path);
}

int cmd_weights(Session *s) {
  static const struct {
    const char *name;
    int (*fn)(Session *);
    size_t least, most; // words behind the verb
    const char *takes;
  } verb[] = {{"init", cmd_init, 1, 1, "a model"},
              {"inspect", weights_inspect, 1, 2, "a file, or a model and a file"},
              {"pack", cmd_pack, 1, 1, "a model"},
              {"convert", weights_convert, 1, SIZE_MAX, "one file or more"}};
  const StrList *a = &s->opt.arg;
  s->opt.draws = s->opt.objective != NULL; // which weights there are does not depend on what is drawn
  for (size_t i = 0; a->n && i < sizeof verb / sizeof *verb; i++) {
    if (strcmp(a->at[0], verb[i].name) != 0) continue;
    if (a->n - 1 >= verb[i].least && a->n - 1 <= verb[i].most) return verb[i].fn(s);
    return session_fail(s, EXIT_USAGE, "syc weights %s takes %s (syc weights --help)", verb[i].name, verb[i].takes);
  }
  if (!a->n)
    return session_fail(s, EXIT_USAGE, "syc weights takes init, inspect, pack or convert (syc weights --help)");
  return session_fail(s, EXIT_USAGE,
                      "syc weights: '%s' is none of init, inspect, pack and convert (syc weights --help)", a->at[0]);
}

// weights_convert.c: `syc weights convert FILE... -o FILE`: checkpoints of any kind merged into one safetensors file,
// in the order of the files; of a name that stands in several, the last file counts. Names lose --strip-prefix; floats
// become --dtype; what --ignore names is left out. What lies in blocks (GGUF) becomes F32.
#include "weights.h"

#include <string.h>

// --dtype, or ST_DTYPE_COUNT to leave the types as they are.
static StDtype wanted_dtype(const Session *s) {
  DType t;
  if (!s->opt.dtype || !dtype_by_name(s->opt.dtype, &t) || dtype_info[t].kind != DK_FLOAT) return ST_DTYPE_COUNT;
  return kept_dtype(t);
}

typedef struct Convert {
  StDesc *desc;
  const StTensor **from;
  size_t n;
  double bytes, done; // of output
  Progress progress;
  size_t overflows;
} Convert;

static void choose(Session *s, const Checkpoint *c, Convert *v) {
  size_t all = 0;
  StDtype dtype = wanted_dtype(s);
  for (size_t i = 0; i < c->n; i++) all += st_count(c->file[i]);
  v->desc = ARENA_ARRAY(&s->arena, StDesc, all + 1);
  v->from = ARENA_ARRAY(&s->arena, const StTensor *, all + 1);
  for (size_t i = 0; i < c->n; i++)
    for (size_t k = 0; k < st_count(c->file[i]); k++) {
      const StTensor *t = st_at(c->file[i], k);
      StDesc d = {.name = checkpoint_name(c, t), .dtype = st_value_type(t), .rank = t->rank};
      if (checkpoint_find(c, d.name) != t) continue; // a later file has it
      if (checkpoint_ignores(s, t, d.name)) continue;
      if (t->foreign) {
        session_note(s, "syc: warning: %s is left out: elements of type %s cannot be read here", t->name, t->foreign);
        continue;
      }
      if (st_dtype_is_float(d.dtype) && dtype != ST_DTYPE_COUNT) d.dtype = dtype;
      memcpy(d.shape, t->shape, sizeof d.shape);
      v->desc[v->n] = d;
      v->from[v->n++] = t;
      v->bytes += (double)st_elements(t) * (double)st_dtype_size(d.dtype);
    }
}

static bool write_tensor(StWriter *out, Convert *v, size_t i, StError *err) {
  enum { PIECE = 4096 };
  const StTensor *t = v->from[i];
  float part[PIECE], as[PIECE]; // `as` is large enough for every type
  bool same = v->desc[i].dtype == t->dtype;
  size_t size = st_dtype_size(v->desc[i].dtype), n = (size_t)st_elements(t), step = same ? (1 << 20) : (size_t)PIECE;
  for (size_t at = 0; at < n; at += step) {
    size_t k = n - at < step ? n - at : step;
    const void *data = as;
    if (same) {
      data = (const uint8_t *)t->data + at * size;
    } else {
      CHECK(st_to_f32(t, part, at, k)); // floats are converted, to one of the types of wanted_dtype
      v->overflows += st_from_f32(v->desc[i].dtype, part, as, k);
    }
    if (!st_write_data(out, data, k * size, err)) return false;
    v->done += (double)(k * size);
    progress_show(&v->progress, v->done / v->bytes);
  }
  return true;
}

static bool write_all(Convert *v, const char *path, StError *err) {
  StWriter *out = st_write_begin(path, v->n, v->desc, err);
  if (!out) return false;
  for (size_t i = 0; i < v->n; i++) {
    if (write_tensor(out, v, i, err)) continue;
    st_write_abort(out);
    return false;
  }
  return st_write_end(out, err);
}

int weights_convert(Session *s) {
  Checkpoint c = {0};
  Convert v = {0};
  StError err = {""};
  const char *path = weights_out_begin(s);
  if (!path) return s->exit_code;
  bool ok = checkpoint_open(s, &c, s->opt.arg.at + 1, s->opt.arg.n - 1);
  if (ok) {
    choose(s, &c, &v);
    v.progress = progress_start(s, "converting ", &c, v.bytes);
    ok = write_all(&v, path, &err);
    progress_end(&v.progress);
    if (!ok) session_fail(s, EXIT_IO, "%s", err.text);
  }
  checkpoint_close(&c);
  if (!ok) return s->exit_code;
  if (v.overflows)
    session_note(s, "syc: warning: too large for %s and now infinite: %zu of the elements", s->opt.dtype, v.overflows);
  session_note(s, "%s: %zu tensors, %.1f MB", s->opt.output, v.n, v.bytes / 1e6);
  return weights_out_end(s, path);
}

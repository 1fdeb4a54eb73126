// weights_inspect.c: `syc weights inspect [SPEC] FILE`: the tensors of a checkpoint of any kind or of a packed weight
// file (.syw), their ranges, and what is wrong with them; of a GGUF file what it says of its model, too. Exit status 1
// if there are NaNs or infinities or a checksum is wrong.
//
// A packed file has no names: its entries are listed by number. The format is runtime/weights_format.h; every number in
// it is checked before it is used.
#include "weights.h"
#include "runtime/switchyard.h"
#include "runtime/weights_format.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Gather { // statistics so far
  WeightStats s;
  double sum;
  uint64_t finite;
} Gather;

static void gather(Gather *g, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    float v;
    memcpy(&v, x + i, sizeof v);
    if (isnan(v)) {
      g->s.nan++;
    } else if (isinf(v)) {
      g->s.inf++;
    } else {
      double d = (double)v;
      if (!g->finite || d < g->s.min) g->s.min = d;
      if (!g->finite || d > g->s.max) g->s.max = d;
      g->sum += d;
      g->finite++;
    }
  }
}

static WeightStats gathered(Gather *g) {
  if (g->finite) g->s.mean = g->sum / (double)g->finite;
  return g->s;
}

WeightStats weight_stats(const StTensor *t) {
  Gather g = {0};
  float part[4096];
  size_t total = (size_t)st_elements(t);
  for (size_t at = 0; at < total;) {
    size_t n = total - at < 4096 ? total - at : 4096;
    if (!st_to_f32(t, part, at, n)) break; // not a floating type
    gather(&g, part, n);
    at += n;
  }
  return gathered(&g);
}

typedef struct Report {
  Json *json; // --json, or NULL
  size_t count, bad, damaged;
  uint64_t elements, bytes;
} Report;

typedef struct Line { // one tensor
  const char *name, *dtype;
  const int64_t *shape;
  int rank;
  WeightStats stats;
  bool sound;
} Line;

static void line_json(Json *j, const Line *l) {
  json_object(j, NULL);
  json_string(j, "name", l->name);
  json_string(j, "dtype", l->dtype);
  json_array(j, "shape");
  for (int i = 0; i < l->rank; i++) json_integer(j, NULL, l->shape[i]);
  json_end(j);
  json_double(j, "min", l->stats.min);
  json_double(j, "max", l->stats.max);
  json_double(j, "mean", l->stats.mean);
  json_unsigned(j, "nan", l->stats.nan);
  json_unsigned(j, "inf", l->stats.inf);
  if (!l->sound) json_bool(j, "damaged", true);
  json_end(j);
}

static void line_text(const Line *l) {
  Buf shape = {0};
  const WeightStats *st = &l->stats;
  for (int i = 0; i < l->rank; i++) buf_printf(&shape, "%s%lld", i ? "," : "[", (long long)l->shape[i]);
  buf_puts(&shape, l->rank ? "]" : "[]");
  text_column(stdout, l->name, 48);
  printf(" %-5s %-18s %12.5g %12.5g %12.5g", l->dtype, shape.s, st->min, st->max, st->mean);
  if (st->nan + st->inf) printf("  %llu NaN, %llu inf", (unsigned long long)st->nan, (unsigned long long)st->inf);
  puts(l->sound ? "" : "  WRONG CHECKSUM");
  buf_free(&shape);
}

static void report_line(Report *r, const Line *l) {
  r->count++;
  r->bad += l->stats.nan + l->stats.inf != 0;
  r->damaged += !l->sound;
  if (r->json)
    line_json(r->json, l);
  else
    line_text(l);
}

/* what a GGUF file says
 * ------------------------------------------------------------------------------------------------
 */
enum { SHOWN_VALUES = 8, SHOWN_TEXT = 160 }; // of an array, of a text

// With as few digits as read back as the same.
static void real_text(const StValue *v) {
  char text[40];
  for (int digits = 6; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, v->real);
    double back = strtod(text, NULL);
    if (v->narrow) back = (double)(float)back;
    if (!(back < v->real) && !(back > v->real)) break; // a NaN is said at once
  }
  fputs(text, stdout);
}

static void value_text(const StValue *v) {
  switch (v->kind) {
  case ST_META_INT: printf("%lld", (long long)v->i); break;
  case ST_META_UINT: printf("%llu", (unsigned long long)v->u); break;
  case ST_META_REAL: real_text(v); break;
  case ST_META_BOOL: fputs(v->u ? "true" : "false", stdout); break;
  case ST_META_ARRAY: printf("[%llu values]", (unsigned long long)v->u); break;
  case ST_META_TEXT:
    putchar('"');
    text_escape(v->text, v->n < SHOWN_TEXT ? v->n : (size_t)SHOWN_TEXT, text_to_file, stdout);
    printf(v->n > SHOWN_TEXT ? "\".. (%zu bytes)" : "\"", v->n);
    break;
  }
}

static void value_json(Session *s, Json *j, const char *key, const StValue *v) {
  switch (v->kind) {
  case ST_META_INT: json_integer(j, key, v->i); break;
  case ST_META_UINT: json_unsigned(j, key, v->u); break;
  case ST_META_REAL: v->narrow ? json_float(j, key, (float)v->real) : json_double(j, key, v->real); break;
  case ST_META_BOOL: json_bool(j, key, v->u != 0); break;
  case ST_META_ARRAY: json_string(j, key, arena_printf(&s->arena, "%llu values", (unsigned long long)v->u)); break;
  case ST_META_TEXT: { // a zero byte would end it
    size_t n = v->n < 65536 ? v->n : 65536;
    json_string(j, key, arena_strndup(&s->arena, v->text, strnlen(v->text, n)));
  }
  }
}

static void meta_text(const StMeta *m, const StValue *v, size_t n) {
  text_column(stdout, m->key, 48);
  char type[48];
  snprintf(type, sizeof type, m->array ? "%s[%llu]" : "%s", m->type, (unsigned long long)m->count);
  printf(" %-14s ", type);
  for (size_t i = 0; i < n; i++) {
    if (i) fputs(", ", stdout);
    value_text(&v[i]);
  }
  puts(n < m->count ? ", .." : "");
}

static void meta_json(Session *s, Json *j, const StMeta *m, const StValue *v, size_t n) {
  json_object(j, NULL);
  json_string(j, "key", m->key);
  json_string(j, "type", m->type);
  if (m->array) json_unsigned(j, "count", m->count);
  if (m->array) json_array(j, "first");
  for (size_t i = 0; i < n; i++) value_json(s, j, m->array ? NULL : "value", &v[i]);
  if (m->array) json_end(j);
  json_end(j);
}

// The values of all files, before their tensors; of long arrays and texts the beginning.
static void inspect_values(Session *s, const Checkpoint *c, Json *j) {
  size_t all = 0;
  for (size_t i = 0; i < c->n; i++) all += st_meta_count(c->file[i]);
  if (!all) return;
  if (j) json_array(j, "values");
  for (size_t i = 0; i < c->n; i++)
    for (size_t k = 0; k < st_meta_count(c->file[i]); k++) {
      const StMeta *m = st_meta_at(c->file[i], k);
      StValue v[SHOWN_VALUES];
      size_t n = st_meta_values(m, v, SHOWN_VALUES);
      if (j)
        meta_json(s, j, m, v, n);
      else
        meta_text(m, v, n);
    }
  if (j)
    json_end(j);
  else
    putchar('\n');
}

/* the report ----------------------------------------------------------------------------------------------------------
 */
// `c`: the files whose values are shown, or NULL.
static void report_head(Session *s, const Report *r, const char *path, const char *kind, uint64_t plan,
                        const Checkpoint *c) {
  Json *j = r->json;
  if (!j) {
    if (c) inspect_values(s, c, NULL);
    printf("%-48s %-5s %-18s %12s %12s %12s\n", "tensor", "type", "shape", "least", "greatest", "mean");
    return;
  }
  json_object(j, NULL);
  json_string(j, "file", path);
  json_string(j, "kind", kind);
  if (plan) json_hash(j, "plan", plan);
  if (c) inspect_values(s, c, j);
  json_array(j, "tensors");
}

static int report_end(Session *s, Report *r, const char *path, const char *kind, uint64_t plan) {
  if (r->json) {
    json_end(r->json);
    json_unsigned(r->json, "parameters", r->elements);
    json_unsigned(r->json, "bytes", r->bytes);
    json_end(r->json);
  } else {
    text_print(stdout, path);
    printf(": %s, %zu tensors, %.2f M elements, %.1f MB", kind, r->count, (double)r->elements / 1e6,
           (double)r->bytes / 1e6);
    if (plan) printf(", plan %016llx", (unsigned long long)plan);
    putchar('\n');
  }
  if (r->damaged)
    return session_fail(s, EXIT_WRONG, "%s: %zu tensors have a wrong checksum: the file is damaged", path, r->damaged);
  if (r->bad) return session_fail(s, EXIT_WRONG, "%s: %zu tensors contain NaN or infinity", path, r->bad);
  return EXIT_OK;
}

/* a checkpoint --------------------------------------------------------------------------------------------------------
 */
static void inspect_tensor(Report *r, const char *name, const StTensor *t) {
  r->elements += (uint64_t)st_elements(t);
  r->bytes += t->bytes;
  report_line(r, &(Line){name, st_type_name(t), t->shape, t->rank, weight_stats(t), true});
}

static int inspect_checkpoint(Session *s, const char *path, Report *r) {
  Checkpoint c = {0};
  if (!checkpoint_open(s, &c, &path, 1)) {
    checkpoint_close(&c);
    return s->exit_code;
  }
  const char *kind = st_kind(c.file[0]);
  if (c.n > 1) kind = arena_printf(&s->arena, "%zu shards of %s", c.n, kind);
  report_head(s, r, path, kind, 0, &c);
  for (size_t i = 0; i < c.n; i++)
    for (size_t k = 0; k < st_count(c.file[i]); k++) {
      const StTensor *t = st_at(c.file[i], k);
      inspect_tensor(r, checkpoint_name(&c, t), t);
    }
  checkpoint_close(&c);
  return report_end(s, r, path, kind, 0);
}

/* packed --------------------------------------------------------------------------------------------------------------
 */
// An entry as a tensor of one axis. False: no such type.
static bool packed_tensor(const sy_weights_entry *e, const void *data, StTensor *out) {
  DType t = 0;
  while (t < DT_COUNT && (uint64_t)dtype_info[t].code != e->type) t++;
  *out = (StTensor){.dtype = t < DT_COUNT ? kept_dtype(t) : ST_U8, .rank = 1, .data = data, .bytes = (size_t)e->bytes};
  out->shape[0] = (int64_t)(e->bytes / st_dtype_size(out->dtype));
  return t < DT_COUNT;
}

static int inspect_packed(Session *s, const char *path, const sy_map *m, Report *r) {
  sy_weights_header h = {0};
  const char *problem = sy_weights_problem(m->data, m->bytes, &h);
  if (problem) return session_fail(s, EXIT_WRONG, "%s: not a sound weight file: %s", path, problem);
  const char *in = sy_weights_precision(m->data, &h), *kind = "packed weights";
  if (*in) kind = arena_printf(&s->arena, "packed weights in precision %.200s", in);
  report_head(s, r, path, kind, h.plan_hash, NULL);
  for (uint64_t i = 0; i < h.count; i++) {
    sy_weights_entry e;
    const void *data;
    problem = sy_weights_find(m->data, &h, i, &e, &data);
    if (problem && r->json) json_end_all(r->json);
    if (problem)
      return session_fail(s, EXIT_WRONG, "%s: not a sound weight file: entry %llu %s", path, (unsigned long long)i,
                          problem);
    char name[32];
    snprintf(name, sizeof name, "entry %llu", (unsigned long long)i);
    StTensor t;
    bool sound = packed_tensor(&e, data, &t) && sy_weights_checksum(data, e.bytes) == e.checksum;
    r->elements += (uint64_t)t.shape[0];
    r->bytes += e.bytes;
    report_line(r, &(Line){name, st_type_name(&t), t.shape, t.rank, weight_stats(&t), sound});
  }
  return report_end(s, r, path, kind, h.plan_hash);
}

/* a checkpoint for a model
 * ---------------------------------------------------------------------------------------------
 */
// The weights of a model as the checkpoint gives them, under the model's names.
static int inspect_fit(Session *s, const char *spec, const char *path, Report *r) {
  Checkpoint c = {0};
  Module *m = session_module(s, spec, NULL, NULL);
  if (!m) return s->exit_code;
  WeightNames want = weight_names_of_module(m, &s->arena);
  bool ok = checkpoint_open(s, &c, &path, 1) && checkpoint_fit(s, &c, m, &want);
  size_t missing = 0;
  if (ok) report_head(s, r, path, "weights of the model", 0, NULL);
  for (size_t i = 0; i < want.list.n && ok; i++) {
    const StTensor *t = checkpoint_find(&c, want.list.at[i].name);
    if (t)
      inspect_tensor(r, want.list.at[i].name, t);
    else if (!missing++)
      session_note(s, "syc: note: the first weight that is missing: %s", want.list.at[i].name);
  }
  checkpoint_close(&c);
  if (!ok) return s->exit_code;
  int code = report_end(s, r, path, "weights of the model", 0);
  if (!missing) return code;
  return session_fail(s, EXIT_WRONG, "%zu of the %zu weights of %s are missing from %s", missing, want.list.n, spec,
                      path);
}

int weights_inspect(Session *s) {
  bool fit = s->opt.arg.n == 3;
  const char *path = s->opt.arg.at[fit ? 2 : 1];
  Json json = {.put = text_to_file, .ud = stdout, .lines = 3};
  Report r = {.json = s->opt.json ? &json : NULL};
  if (fit) return inspect_fit(s, s->opt.arg.at[1], path, &r);
  sy_map m = {0};
  bool packed = sy_map_open(&m, path, 0) == SY_OK && m.bytes >= 8 && !memcmp(m.data, SY_WEIGHTS_MAGIC, 8);
  int code = packed ? inspect_packed(s, path, &m, &r) : inspect_checkpoint(s, path, &r);
  sy_map_close(&m);
  return code;
}

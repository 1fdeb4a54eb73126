// weights_inspect.c: `syc weights inspect [SPEC] FILE`: the tensors of a checkpoint of any kind or of a packed weight
// file
// (.syw), their ranges, and what is wrong with them. Exit status 1 if there are NaNs or infinities or a checksum is
// wrong.
//
// A packed file has no names: its entries are listed by number. The format is runtime/weights_format.h; every number in
// it is checked before it is used.
#include "weights.h"
#include "runtime/switchyard.h"
#include "runtime/weights_format.h"

#include <cjson/cJSON.h>
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

WeightStats weight_stats_f32(const float *x, size_t n) {
  Gather g = {0};
  gather(&g, x, n);
  return gathered(&g);
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
  cJSON *list; // --json, or NULL
  size_t count, bad, damaged;
  uint64_t elements, bytes;
} Report;

static void report_line(Report *r, const char *name, const char *dtype, const char *shape, const WeightStats *st,
                        bool sound) {
  r->count++;
  r->bad += st->nan + st->inf != 0;
  r->damaged += !sound;
  if (!r->list) {
    printf("%-48s %-5s %-18s %12.5g %12.5g %12.5g", name, dtype, shape, st->min, st->max, st->mean);
    if (st->nan + st->inf) printf("  %llu NaN, %llu inf", (unsigned long long)st->nan, (unsigned long long)st->inf);
    puts(sound ? "" : "  WRONG CHECKSUM");
    return;
  }
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", name);
  cJSON_AddStringToObject(o, "dtype", dtype);
  cJSON_AddRawToObject(o, "shape", shape);
  cJSON_AddNumberToObject(o, "min", st->min);
  cJSON_AddNumberToObject(o, "max", st->max);
  cJSON_AddNumberToObject(o, "mean", st->mean);
  cJSON_AddNumberToObject(o, "nan", (double)st->nan);
  cJSON_AddNumberToObject(o, "inf", (double)st->inf);
  if (!sound) cJSON_AddBoolToObject(o, "damaged", true);
  cJSON_AddItemToArray(r->list, o);
}

static void report_head(const Report *r) {
  if (!r->list) printf("%-48s %-5s %-18s %12s %12s %12s\n", "tensor", "type", "shape", "least", "greatest", "mean");
}

static int report_end(Session *s, Report *r, const char *path, const char *kind, uint64_t plan) {
  if (r->list) {
    cJSON *o = cJSON_CreateObject();
    char text[32];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)plan);
    cJSON_AddStringToObject(o, "file", path);
    cJSON_AddStringToObject(o, "kind", kind);
    if (plan) cJSON_AddStringToObject(o, "plan", text);
    cJSON_AddNumberToObject(o, "parameters", (double)r->elements);
    cJSON_AddNumberToObject(o, "bytes", (double)r->bytes);
    cJSON_AddItemToObject(o, "tensors", r->list);
    char *out = cJSON_Print(o);
    puts(out ? out : "{}");
    free(out);
    cJSON_Delete(o);
  } else {
    printf("%s: %s, %zu tensors, %.2f M elements, %.1f MB", path, kind, r->count, (double)r->elements / 1e6,
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
  Buf shape = {0};
  buf_putc(&shape, '[');
  for (int k = 0; k < t->rank; k++) buf_printf(&shape, "%s%lld", k ? "," : "", (long long)t->shape[k]);
  buf_putc(&shape, ']');
  WeightStats st = weight_stats(t);
  r->elements += (uint64_t)st_elements(t);
  r->bytes += t->bytes;
  report_line(r, name, st_dtype_name(t->dtype), shape.s, &st, true);
  buf_free(&shape);
}

static int inspect_checkpoint(Session *s, const char *path, Report *r) {
  Checkpoint c = {0};
  if (!checkpoint_open(s, &c, &path, 1)) {
    checkpoint_close(&c);
    return s->exit_code;
  }
  report_head(r);
  for (size_t i = 0; i < c.n; i++)
    for (size_t k = 0; k < st_count(c.file[i]); k++) {
      const StTensor *t = st_at(c.file[i], k);
      inspect_tensor(r, checkpoint_name(&c, t), t);
    }
  const char *kind = st_kind(c.file[0]);
  if (c.n > 1) kind = arena_printf(&s->arena, "%zu shards of %s", c.n, kind);
  checkpoint_close(&c);
  return report_end(s, r, path, kind, 0);
}

/* packed --------------------------------------------------------------------------------------------------------------
 */
static int inspect_packed(Session *s, const char *path, const sy_map *m, Report *r) {
  SyWeightsHeader h = {0};
  const char *problem = sy_weights_problem(m->data, m->bytes, &h);
  if (problem) return session_fail(s, EXIT_WRONG, "%s: not a sound weight file: %s", path, problem);
  report_head(r);
  for (uint64_t i = 0; i < h.count; i++) {
    SyWeightsEntry e;
    const void *data;
    problem = sy_weights_entry(m->data, &h, i, &e, &data);
    if (problem)
      return session_fail(s, EXIT_WRONG, "%s: not a sound weight file: entry %llu %s", path, (unsigned long long)i,
                          problem);
    char name[32], shape[32];
    snprintf(name, sizeof name, "entry %llu", (unsigned long long)i);
    snprintf(shape, sizeof shape, "[%llu]", (unsigned long long)(e.bytes / sizeof(float)));
    WeightStats st = weight_stats_f32(data, (size_t)(e.bytes / sizeof(float)));
    r->elements += e.bytes / sizeof(float);
    r->bytes += e.bytes;
    report_line(r, name, "F32", shape, &st, sy_weights_checksum(data, e.bytes) == e.checksum);
  }
  return report_end(s, r, path, "packed weights", h.plan_hash);
}

/* a checkpoint for a model
 * ---------------------------------------------------------------------------------------------
 */
// The weights of a model as the checkpoint gives them, under the model's names.
static int inspect_fit(Session *s, const char *spec, const char *path, Report *r) {
  Checkpoint c = {0};
  Module *m = session_module(s, spec, NULL, NULL, 0);
  if (!m) return s->exit_code;
  WeightNames want = weight_names_of_module(m, &s->arena);
  bool ok = checkpoint_open(s, &c, &path, 1) && checkpoint_fit(s, &c, m, &want);
  size_t missing = 0;
  if (ok) report_head(r);
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
  Report r = {.list = s->opt.json ? cJSON_CreateArray() : NULL};
  if (fit) return inspect_fit(s, s->opt.arg.at[1], path, &r);
  sy_map m = {0};
  bool packed = sy_map_open(&m, path, 0) == SY_OK && m.bytes >= 8 && !memcmp(m.data, SY_WEIGHTS_MAGIC, 8);
  int code = packed ? inspect_packed(s, path, &m, &r) : inspect_checkpoint(s, path, &r);
  sy_map_close(&m);
  return code;
}

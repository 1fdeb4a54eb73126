// source_fields.c - what the fields of a sample are: text, numbers, classes, pictures.
#include "source_parts.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char data_picture_names[] = "image images image_path file_name";

DataField *data_add_field(DataSample *s, const char *name, DataKind kind) {
  if (!(s->n & (s->n - 1))) // room doubles at powers of two
    s->field = arena_grow(&s->arena, s->field, s->n * sizeof *s->field, (s->n ? 2 * s->n : 1) * sizeof *s->field);
  DataField *f = &s->field[s->n++];
  *f = (DataField){.name = name, .kind = kind};
  return f;
}

void data_add_text(DataSample *s, const char *name, const char *text) {
  const char **list = ARENA_NEW(&s->arena, const char *);
  *list = text;
  DataField *f = data_add_field(s, name, DATA_TEXT);
  f->text = list;
  f->n = 1;
}

void data_add_number(DataSample *s, const char *name, double number) {
  double *list = ARENA_NEW(&s->arena, double);
  *list = number;
  DataField *f = data_add_field(s, name, DATA_NUMBERS);
  f->number = list;
  f->n = 1;
}

static bool is_number(const cJSON *j) {
  return cJSON_IsNumber(j) || cJSON_IsBool(j);
}
static double number_of(const cJSON *j) {
  return cJSON_IsNumber(j) ? j->valuedouble : cJSON_IsTrue(j) ? 1 : 0;
}

// A list of strings or of numbers; lists of other things are no field.
static void add_list(DataSample *s, const char *name, const cJSON *list) {
  size_t n = 0, strings = 0, numbers = 0;
  const cJSON *e;
  cJSON_ArrayForEach(e, list) n++, strings += cJSON_IsString(e) != 0, numbers += is_number(e);
  if (!n || (strings != n && numbers != n)) return;
  const char **text = strings ? ARENA_ARRAY(&s->arena, const char *, n) : NULL;
  double *number = strings ? NULL : ARENA_ARRAY(&s->arena, double, n);
  size_t i = 0;
  cJSON_ArrayForEach(e, list) {
    if (text) text[i] = arena_strdup(&s->arena, e->valuestring);
    if (number) number[i] = number_of(e);
    i++;
  }
  DataField *f = data_add_field(s, name, strings ? DATA_TEXT : DATA_NUMBERS);
  f->text = text;
  f->number = number;
  f->n = n;
}

void data_add_json(DataSample *s, const cJSON *object) {
  const cJSON *e;
  cJSON_ArrayForEach(e, object) {
    const char *name = arena_strdup(&s->arena, e->string ? e->string : "");
    if (cJSON_IsString(e))
      data_add_text(s, name, arena_strdup(&s->arena, e->valuestring));
    else if (is_number(e))
      data_add_number(s, name, number_of(e));
    else if (cJSON_IsArray(e))
      add_list(s, name, e);
  }
}

const DataField *data_field(const DataSample *s, const char *names) {
  for (const char *at = names; *at;) {
    size_t n = strcspn(at, " ");
    for (size_t i = 0; n && i < s->n; i++)
      if (!strncmp(s->field[i].name, at, n) && !s->field[i].name[n]) return &s->field[i];
    at += n;
    at += strspn(at, " ");
  }
  return NULL;
}

size_t data_numbers(const DataField *f) {
  return f->kind == DATA_NUMBERS || f->kind == DATA_TEXT ? f->n
         : f->kind == DATA_TENSOR                        ? (size_t)st_elements(&f->tensor)
                                                         : 0;
}

bool data_number(const DataField *f, size_t i, double *out) {
  if (i >= data_numbers(f)) return false;
  if (f->kind == DATA_NUMBERS) return *out = f->number[i], true;
  if (f->kind == DATA_TEXT) {
    char *end;
    *out = strtod(f->text[i], &end);
    while (isspace((unsigned char)*end)) end++;
    return end != f->text[i] && !*end;
  }
  int32_t whole;
  const StTensor *t = &f->tensor;
  if (t->dtype == ST_BOOL) return *out = ((const unsigned char *)t->data)[i] != 0, true;
  if (!st_dtype_is_whole(t->dtype)) return st_to_f64(t, out, i, 1);
  if (!st_to_i32(t, &whole, i, 1)) return false;
  *out = whole;
  return true;
}

bool data_class(const Data *d, const DataSample *s, const DataField *f, int32_t *out, HostError *err) {
  double v;
  if (f->kind == DATA_TEXT && f->n) {
    const char *word = f->text[0];
    *out = d->classes.count ? strmap_find(&d->class_of, word, strlen(word)) : -1;
    if (*out >= 0) return true;
    if (!data_number(f, 0, &v))
      return host_fail(err, "%.250s: the label '%.60s' is none of the %zu classes%s", s->where, word, d->classes.count,
                       d->classes.count ? "" : "; --labels FILE has their names");
  }
  if (!data_number(f, 0, &v)) return host_fail(err, "%.300s: field '%.60s' is no label", s->where, f->name);
  if (v != floor(v) || fabs(v) > INT32_MAX)
    return host_fail(err, "%.300s: the label %g is no whole number", s->where, v);
  *out = (int32_t)v;
  return true;
}

/* pictures */
static bool load_file(const DataSample *s, const char *path, HostImage *out, HostError *err) {
  HostError why = {.text = ""};
  char full[4096];
  bool whole = *path == '/' || !*s->root, bare = whole || !strcmp(s->root, "/");
  int n = snprintf(full, sizeof full, "%s%s%s", whole ? "" : s->root, bare ? "" : "/", path);
  if (n < 0 || (size_t)n >= sizeof full) return host_fail(err, "%.200s: the path of a picture is too long", s->where);
  if (!strcmp(full, "-")) return host_fail(err, "%.300s: the picture '-' is no file", s->where);
  if (host_image_load(full, out, &why)) return true;
  if (!strcmp(s->where, full)) return *err = why, false;
  host_fail(err, "%.200s: %.280s", s->where, why.text);
  err->machine = why.machine;
  return false;
}

static bool from_array(const DataSample *s, const DataField *f, HostImage *out, HostError *err) {
  const StTensor *t = &f->tensor;
  bool planes = t->rank == 3 && t->shape[0] == 3 && t->shape[2] > 4; // [3, height, width]
  int64_t channels = planes ? 3 : t->rank == 3 ? t->shape[2] : 1;
  if (t->dtype != ST_U8 || (t->rank != 2 && t->rank != 3) || channels < 1 || channels > 4)
    return host_fail(
        err,
        "%.250s: a picture is an u8 array [height, width], [height, width, 3] or [3, height, width]; %.60s is "
        "%s of %d axes",
        s->where, f->name, st_dtype_name(t->dtype), t->rank);
  int64_t height = t->shape[planes], width = t->shape[1 + planes];
  if (height < 1 || width < 1 || height > HOST_MAX_PIXELS || width > HOST_MAX_PIXELS)
    return host_fail(err, "%.300s: a picture of %lld x %lld pixels", s->where, (long long)width, (long long)height);
  if (!host_image_new(out, (int)width, (int)height, (int)channels, err)) return false;
  size_t n = (size_t)height * (size_t)width;
  uint8_t *to = out->pixel;
  const uint8_t *red = t->data, *green = planes ? red + n : red, *blue = planes ? green + n : red;
  if (!planes)
    memcpy(to, t->data, t->bytes);
  else
    for (size_t i = 0; i < n; i++) *to++ = red[i], *to++ = green[i], *to++ = blue[i];
  return true;
}

bool data_picture(const DataSample *s, const DataField *f, size_t i, HostImage *out, HostError *err) {
  HostError why = {.text = ""};
  *out = (HostImage){0};
  if (!err) err = &why;
  if (f->kind == DATA_FILE || f->kind == DATA_TEXT) {
    if (i < f->n) return load_file(s, f->text[i], out, err);
    return host_fail(err, "%.300s: field '%.60s' has %zu pictures, not %zu", s->where, f->name, f->n, i + 1);
  }
  if (f->kind == DATA_TENSOR) return from_array(s, f, out, err);
  if (f->kind != DATA_BYTES) return host_fail(err, "%.300s: field '%.60s' is no picture", s->where, f->name);
  if (host_image_decode(f->bytes, f->n, out, &why)) return true;
  host_fail(err, "%.200s: %.280s", s->where, why.text);
  err->machine = why.machine;
  return false;
}

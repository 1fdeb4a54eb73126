// face_options.c - reads prepare texts, the canonical form in which the compiler hands a model's preprocessing to a
// host:
//
//   resize=shorter(256), crop=224, filter=bilinear, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]
//
// key=value pairs between commas; commas inside (), [] and "" belong to the value; blanks around = and , do not count.
// rgb: first (the default) or last; resize: shorter(size) | square(size) | shorter_capped(size, longest, multiple).
// Unknown keys are left to newer hosts.
#include "face_parts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

const sy_prepare *face_prepare(const sy_info *info, const char *tensor) {
  for (unsigned i = 0; i < info->nprepare; i++)
    if (!strcmp(info->prepare[i].name, tensor)) return &info->prepare[i];
  return NULL;
}

bool face_prepare_is(const sy_info *info, const char *tensor, const char *kind) {
  const sy_prepare *p = face_prepare(info, tensor);
  return p && !strcmp(p->kind, kind);
}

// The end of one key=value pair: the next comma outside brackets and quotes.
static const char *pair_end(const char *s) {
  int depth = 0;
  bool quoted = false;
  for (; *s; s++) {
    if (*s == '"') quoted = !quoted;
    if (quoted) continue;
    if (*s == '(' || *s == '[') depth++;
    if (*s == ')' || *s == ']') depth--;
    if (*s == ',' && depth <= 0) break;
  }
  return s;
}

static const char *skip_blanks(const char *s) {
  while (isspace((unsigned char)*s)) s++;
  return s;
}

// The value of a key and its length; NULL: there is none.
static const char *option_value(const char *options, const char *key, size_t *len) {
  size_t n = strlen(key);
  for (const char *s = skip_blanks(options); *s;) {
    const char *end = pair_end(s), *value = s + n;
    if (!strncmp(s, key, n) && *(value = skip_blanks(value)) == '=' && value < end) {
      value = skip_blanks(value + 1);
      *len = value < end ? (size_t)(end - value) : 0;
      while (*len && isspace((unsigned char)value[*len - 1])) --*len;
      return value;
    }
    s = skip_blanks(*end ? end + 1 : end);
  }
  return NULL;
}

bool face_option(const char *options, const char *key, char *dst, size_t room) {
  size_t len;
  const char *value = option_value(options, key, &len);
  if (!value || len >= room) return false;
  memcpy(dst, value, len);
  dst[len] = 0;
  return true;
}

double face_option_number(const char *options, const char *key, double absent) {
  char text[64], *end;
  if (!face_option(options, key, text, sizeof text)) return absent;
  double v = strtod(text, &end);
  return end == text ? absent : v;
}

// The numbers of "name(1, 2)" or "[1, 2]"; returns how many.
static size_t read_numbers(const char *s, double *v, size_t most) {
  size_t n = 0;
  s += strcspn(s, "([");
  while (*s && *s != ')' && *s != ']' && n < most) {
    char *end;
    v[n] = strtod(s + 1, &end);
    if (end == s + 1) break;
    n++;
    s = skip_blanks(end);
  }
  return n;
}

static bool option_triple(const char *options, const char *key, float v[3], HostError *err) {
  char text[256];
  double d[3];
  if (!face_option(options, key, text, sizeof text)) return true;
  if (read_numbers(text, d, 3) != 3) return host_fail(err, "prepare: %s=%.80s: three numbers are needed", key, text);
  for (int i = 0; i < 3; i++) v[i] = (float)d[i];
  return true;
}

static const struct {
  const char *name;
  HostResize resize;
} resizes[] = {{"shorter(", HOST_RESIZE_SHORTER},
               {"square(", HOST_RESIZE_SQUARE},
               {"shorter_capped(", HOST_RESIZE_SHORTER_CAPPED}};
static const struct {
  const char *name;
  HostFilter filter;
} filters[] = {
    {"nearest", HOST_NEAREST}, {"bilinear", HOST_BILINEAR}, {"bicubic", HOST_BICUBIC}, {"lanczos", HOST_LANCZOS}};

static int to_size(double d) {
  return d >= 1 && d <= 65536 ? (int)d : 0;
}

bool face_option_picture(const char *options, HostPreprocess *how, HostError *err) {
  char text[256];
  double v[3] = {0, 0, 0};
  bool known = false;
  *how = (HostPreprocess){.filter = HOST_BILINEAR, .std = {1, 1, 1}};
  if (!face_option(options, "resize", text, sizeof text)) return host_fail(err, "prepare: picture has no resize=...");
  for (size_t i = 0; i < sizeof resizes / sizeof *resizes; i++)
    if (!strncmp(text, resizes[i].name, strlen(resizes[i].name))) {
      how->resize = resizes[i].resize;
      known = true;
    }
  size_t n = read_numbers(text, v, 3);
  how->size = to_size(v[0]);
  how->longest = to_size(v[1]);
  how->multiple = to_size(v[2]);
  if (!known || n < 1 || !how->size) return host_fail(err, "prepare: resize=%.80s is not known to this program", text);
  if (face_option(options, "filter", text, sizeof text)) {
    known = false;
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
      if (!strcmp(text, filters[i].name)) {
        how->filter = filters[i].filter;
        known = true;
      }
    if (!known) return host_fail(err, "prepare: filter=%.80s is not known to this program", text);
  }
  if (face_option(options, "rgb", text, sizeof text)) {
    how->rgb_last = !strcmp(text, "last");
    if (!how->rgb_last && strcmp(text, "first") != 0)
      return host_fail(err, "prepare: rgb=%.80s is not known to this program", text);
  }
  how->crop = to_size(face_option_number(options, "crop", 0));
  return option_triple(options, "mean", how->mean, err) && option_triple(options, "std", how->std, err);
}

// check_valid.c: is a cases.json what its readers rely on? field[] is the list of fields, by kind of case and path,
// with what each may hold; the first that is something else is reported with file, case and field, before any case
// runs. A field that is absent is fine unless it is needed; one that no row names belongs to others (training, notes)
// and is not looked at.
//
//   cases.json: case "digits": "outputs" must be an object of tensor names, it is an array
#include "check.h"

#include <math.h>
#include <string.h>

typedef enum Form {
  TEXT,    // a string
  OBJECT,  // an object
  NAMES,   // an object of strings: which tensor an input or output is
  SOME,    // NAMES, not empty
  VALUES,  // an object of numbers, true and false
  NUMBER,  // a finite number
  SIZE,    // a number >= 0
  INTEGER, // a whole number that fits into 32 bits
  SWITCH,  // true or false
  PATH,    // a string, or {"shared": string}
  PATHS,   // a list of paths
  STEPS,   // a list of strings
  PAIR,    // two integers
  COLOURS, // three finite numbers
  FIELD,   // a string or number, or a list of them: a column of rows in a file
  EXTENT,  // INTEGER or a string
  MASKED,  // NUMBER or a string
  FORMS
} Form;

static const char *const form_text[FORMS] = {
    [TEXT] = "a string",
    [OBJECT] = "an object",
    [NAMES] = "an object of tensor names",
    [SOME] = "an object of tensor names, and not empty",
    [VALUES] = "an object of numbers, true and false",
    [NUMBER] = "a finite number",
    [SIZE] = "a finite number, not negative",
    [INTEGER] = "a whole number of 32 bits",
    [SWITCH] = "true or false",
    [PATH] = "a path, or {\"shared\": PATH}",
    [PATHS] = "a list of paths",
    [STEPS] = "a list of strings",
    [PAIR] = "a list of two whole numbers",
    [COLOURS] = "a list of three numbers",
    [FIELD] = "a string, a number, or a list of these",
    [EXTENT] = "a whole number or a string",
    [MASKED] = "a number or a string",
};

enum { NEEDED = true, OPTIONAL = false };
static const struct {
  const char *kinds; // of cases, each between blanks
  const char *path;  // "generate.beams": a field of an object
  Form form;
  bool needed;
} field[] = {
    {" forward generate train ", "model", TEXT, NEEDED},
    {" forward generate train ", "entry", TEXT, NEEDED},
    {" forward generate ", "route", TEXT, NEEDED},
    {" train ", "objective", TEXT, NEEDED},
    {" forward generate train ", "set", VALUES, OPTIONAL},
    {" forward generate train ", "weights", PATHS, NEEDED},
    {" forward generate op preprocess train ", "tensors", PATHS, NEEDED},
    {" forward generate op train ", "inputs", NAMES, NEEDED},
    {" forward generate op preprocess ", "outputs", SOME, NEEDED},
    {" train ", "losses", SOME, NEEDED},
    {" forward generate op preprocess train ", "atol", SIZE, OPTIONAL},
    {" forward generate op preprocess train ", "rtol", SIZE, OPTIONAL},
    {" generate ", "generate", OBJECT, NEEDED},
    {" generate ", "generate.rule", TEXT, OPTIONAL},
    {" generate ", "generate.beams", INTEGER, OPTIONAL},
    {" generate ", "generate.max_length", INTEGER, OPTIONAL},
    {" generate ", "generate.min_length", INTEGER, OPTIONAL},
    {" generate ", "generate.length_penalty", NUMBER, OPTIONAL},
    {" generate ", "generate.bos", INTEGER, OPTIONAL},
    {" generate ", "generate.eos", INTEGER, OPTIONAL},
    {" generate ", "generate.pad", INTEGER, OPTIONAL},
    {" generate ", "generate.mask", INTEGER, OPTIONAL},
    {" op ", "op", TEXT, NEEDED},
    {" op preprocess ", "attributes", OBJECT, OPTIONAL},
    {" op ", "attributes.axis", INTEGER, OPTIONAL},
    {" op ", "attributes.eps", SIZE, OPTIONAL},
    {" op ", "attributes.scale", NUMBER, OPTIONAL},
    {" op ", "attributes.masked", MASKED, OPTIONAL},
    {" op ", "attributes.keep_rows", INTEGER, OPTIONAL},
    {" op ", "attributes.grid", PAIR, OPTIONAL},
    {" op ", "attributes.from_grid", PAIR, OPTIONAL},
    {" op ", "attributes.size", PAIR, OPTIONAL},
    {" op ", "attributes.align_corners", SWITCH, OPTIONAL},
    {" op ", "attributes.ignore", INTEGER, OPTIONAL},
    {" op ", "attributes.smoothing", NUMBER, OPTIONAL},
    {" op ", "attributes.reduce", TEXT, OPTIONAL},
    {" op ", "attributes.patch", INTEGER, OPTIONAL},
    {" preprocess ", "image", PATH, NEEDED},
    {" preprocess ", "decoded", PATH, OPTIONAL},
    {" preprocess ", "size", INTEGER, OPTIONAL},
    {" preprocess ", "crop_size", INTEGER, OPTIONAL},
    {" preprocess ", "attributes.resize", TEXT, OPTIONAL},
    {" preprocess ", "attributes.filter", TEXT, OPTIONAL},
    {" preprocess ", "attributes.crop", TEXT, OPTIONAL},
    {" preprocess ", "attributes.rgb", TEXT, OPTIONAL},
    {" preprocess ", "attributes.longest", INTEGER, OPTIONAL},
    {" preprocess ", "attributes.multiple", INTEGER, OPTIONAL},
    {" preprocess ", "attributes.mean", COLOURS, OPTIONAL},
    {" preprocess ", "attributes.std", COLOURS, OPTIONAL},
    {" tokenize ", "tokenizer", TEXT, NEEDED},
    {" tokenize ", "vocabulary", PATH, OPTIONAL},
    {" tokenize ", "file", PATH, NEEDED},
    {" tokenize ", "list", STEPS, OPTIONAL},
    {" tokenize ", "input", FIELD, OPTIONAL},
    {" tokenize ", "output", FIELD, OPTIONAL},
    {" tokenize ", "options", OBJECT, OPTIONAL},
    {" tokenize ", "options.as", TEXT, OPTIONAL},
    {" tokenize ", "options.rule", TEXT, OPTIONAL},
    {" tokenize ", "options.map", TEXT, OPTIONAL},
    {" tokenize ", "options.if_null", TEXT, OPTIONAL},
    {" tokenize ", "options.start", INTEGER, OPTIONAL},
    {" tokenize ", "options.end", INTEGER, OPTIONAL},
    {" tokenize ", "options.pad", INTEGER, OPTIONAL},
    {" tokenize ", "options.max_length", INTEGER, OPTIONAL},
    {" tokenize ", "options.max_words", INTEGER, OPTIONAL},
    {" tokenize ", "options.pad_to", EXTENT, OPTIONAL},
    {" tokenize ", "options.fix_text", SWITCH, OPTIONAL},
};

/* forms --------------------------------------------------------------------------------------------------------------
 */
static bool is_number(const cJSON *v) {
  return cJSON_IsNumber(v) && isfinite(v->valuedouble);
}

static bool is_integer(const cJSON *v) {
  return is_number(v) && v->valuedouble == floor(v->valuedouble) && fabs(v->valuedouble) <= INT32_MAX;
}

static bool is_path(const cJSON *v) {
  const char *text = cJSON_IsObject(v) ? json_text(v, "shared") : cJSON_IsString(v) ? v->valuestring : NULL;
  return text && *text;
}

static bool is_column(const cJSON *v) {
  return cJSON_IsString(v) || is_integer(v);
}

static bool is_value(const cJSON *v) {
  return is_number(v) || cJSON_IsBool(v);
}

static bool is_text(const cJSON *v) {
  return cJSON_IsString(v);
}

// Is it an array (or object) of at least `least` and at most `most` such elements?
static bool all(const cJSON *list, bool array, bool (*right)(const cJSON *), int least, int most) {
  if (array ? !cJSON_IsArray(list) : !cJSON_IsObject(list)) return false;
  const cJSON *v;
  int n = 0;
  cJSON_ArrayForEach(v, list) {
    if (!right(v) || ++n > most) return false;
  }
  return n >= least;
}

static bool has_form(const cJSON *v, Form form) {
  switch (form) {
  case TEXT: return cJSON_IsString(v);
  case OBJECT: return cJSON_IsObject(v);
  case NAMES: return all(v, false, is_text, 0, INT32_MAX);
  case SOME: return all(v, false, is_text, 1, INT32_MAX);
  case VALUES: return all(v, false, is_value, 0, INT32_MAX);
  case NUMBER: return is_number(v);
  case SIZE: return is_number(v) && v->valuedouble >= 0;
  case INTEGER: return is_integer(v);
  case SWITCH: return cJSON_IsBool(v);
  case PATH: return is_path(v);
  case PATHS: return all(v, true, is_path, 0, INT32_MAX);
  case STEPS: return all(v, true, is_text, 0, INT32_MAX);
  case PAIR: return all(v, true, is_integer, 2, 2);
  case COLOURS: return all(v, true, is_number, 3, 3);
  case FIELD: return is_column(v) || all(v, true, is_column, 1, INT32_MAX);
  case EXTENT: return is_integer(v) || cJSON_IsString(v);
  case MASKED: return is_number(v) || cJSON_IsString(v);
  case FORMS: break;
  }
  return false;
}

static const char *type_text(const cJSON *v) {
  if (cJSON_IsString(v)) return "a string";
  if (cJSON_IsNumber(v)) return "a number";
  if (cJSON_IsBool(v)) return "true or false";
  if (cJSON_IsArray(v)) return "an array";
  return cJSON_IsObject(v) ? "an object" : "null";
}

/* cases --------------------------------------------------------------------------------------------------------------
 */
static const cJSON *at_path(const cJSON *v, const char *path) {
  const char *dot = strchr(path, '.');
  char head[24];
  snprintf(head, sizeof head, "%.*s", dot ? (int)(dot - path) : (int)strlen(path), path);
  v = cJSON_GetObjectItemCaseSensitive(v, head);
  return dot && v ? at_path(v, dot + 1) : v;
}

static bool check_fields(const cJSON *v, const char *kind, Buf *why) {
  for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
    if (!word_in(field[i].kinds, kind)) continue;
    const cJSON *have = at_path(v, field[i].path);
    if (have ? has_form(have, field[i].form) : !field[i].needed) continue;
    const char *must = form_text[field[i].form];
    bool within = (cJSON_IsObject(have) && strstr(must, "object")) || (cJSON_IsArray(have) && strstr(must, "list")) ||
                  (cJSON_IsNumber(have) && strstr(must, "number")) || (cJSON_IsString(have) && strstr(must, "string"));
    buf_printf(why, "\"%s\" must be %s, ", field[i].path, must);
    if (have)
      buf_printf(why, "it is %s%s", type_text(have), within ? " of another form" : "");
    else
      buf_puts(why, "and it is not there");
    return false;
  }
  return true;
}

static bool is_printable(const char *s) {
  for (; *s; s++)
    if ((unsigned char)*s < ' ' || *s == 0x7f) return false;
  return true;
}

bool check_valid(const cJSON *cases, Buf *why) {
  const cJSON *v, *list = cJSON_GetObjectItemCaseSensitive(cases, "cases"), *set;
  if (!cJSON_IsArray(list)) return buf_puts(why, "\"cases\" must be a list of cases"), false;
  set = cJSON_GetObjectItemCaseSensitive(cases, "set");
  if (set && (!cJSON_IsString(set) || !is_printable(set->valuestring)))
    return buf_puts(why, "\"set\" must be a string"), false;
  size_t n = 0;
  cJSON_ArrayForEach(v, list) {
    const char *name = json_text(v, "name"), *kind = json_text(v, "kind");
    n++;
    if (!name || !kind || !*name || !is_printable(name) || !is_printable(kind)) {
      buf_printf(why, "case number %zu: it must be an object with strings \"name\" and \"kind\"", n);
      return false;
    }
    buf_printf(why, "case \"%s\": ", name);
    if (!check_fields(v, kind, why)) return false;
    buf_free(why);
    *why = (Buf){0};
  }
  return true;
}

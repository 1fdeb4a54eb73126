// face_args.c - the options of a compiled model's command line. One table gives the parser and --help.
//
// Long options only ("--top 5" or "--top=5"), "--" ends them, other words are pictures. Options with a value that may
// be repeated collect a list in the order given.
//
//   ./vit a.jpg --top=3 -- --strange-name.jpg      image = {"a.jpg", "--strange-name.jpg"}, top = 3
#include "face_parts.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { AS_FLAG, AS_STRING, AS_LIST, AS_NUMBER, AS_REAL } OptionKind;
typedef struct Option {
  const char *name, *value; // value: its name in the help, NULL for a flag
  OptionKind kind;
  size_t at; // offset in FaceArgs
  size_t most;
  const char *about;
} Option;

#define AT(field) offsetof(FaceArgs, field)
static const Option options[] = {
    {"image", "FILE", AS_LIST, AT(image), 0,
     "a picture (JPEG, PNG, PPM); may be repeated; plain words are pictures too"},
    {"text", "TEXT", AS_LIST, AT(text), 0, "a sentence; may be repeated"},
    {"input", "NAME=FILE", AS_LIST, AT(input), 0, "an input from a NumPy file (.npy); may be repeated"},
    {"route", "NAME", AS_STRING, AT(route), 0, "which entry point to run (default: the one that fits what is given)"},
    {"top", "N", AS_NUMBER, AT(top), 1000000, "how many classes to print (default 5, or as the page says)"},
    {"labels", "FILE", AS_STRING, AT(labels), 0, "class names, one a line"},
    {"vocab", "FILE", AS_STRING, AT(vocab), 0,
     "the tokenizer's vocabulary: CLIP's merges, BERT's vocab.txt or a SentencePiece model"},
    {"beams", "N", AS_NUMBER, AT(beams), 32, "sentences kept by the search (1: greedy)"},
    {"longest", "N", AS_NUMBER, AT(longest), 100000, "longest sentence, in tokens"},
    {"shortest", "N", AS_NUMBER, AT(shortest), 100000, "shortest sentence, in tokens"},
    {"sample", NULL, AS_FLAG, AT(sample), 0, "draw words instead of searching for the best"},
    {"temperature", "X", AS_REAL, AT(temperature), 1000, "sampling: below 1 bolder, above 1 freer"},
    {"top-p", "X", AS_REAL, AT(top_p), 1, "sampling: from the words that make up this share"},
    {"top-k", "N", AS_NUMBER, AT(top_k), 1000000, "sampling: from the N best words"},
    {"seed", "N", AS_NUMBER, AT(seed), 1000000000, "sampling: the same number draws the same words"},
    {"out", "FILE", AS_STRING, AT(out), 0, "write the output to a NumPy file (several outputs: FILE-NAME.npy)"},
    {"weights", "FILE", AS_STRING, AT(weights), 0, "packed weights (default: PROGRAM.syw)"},
    {"threads", "N", AS_NUMBER, AT(threads), 1024, "threads (default: the cores this process may use)"},
    {"isa", "NAME", AS_STRING, AT(isa), 0, "use nothing better than portable, avx2, avx512 or neon"},
    {"repeat", "N", AS_NUMBER, AT(repeat), 1000000000, "run every call N times (for --time)"},
    {"time", NULL, AS_FLAG, AT(time), 0, "print how long the calls took"},
    {"json", NULL, AS_FLAG, AT(json), 0, "print results as JSON"},
    {"selftest", NULL, AS_FLAG, AT(selftest), 0, "check the weight file and the kernels on this CPU"},
    {"describe", NULL, AS_FLAG, AT(describe), 0, "print routes, tensors and sizes"},
    {"version", NULL, AS_FLAG, AT(version), 0, "print what this program was made from"},
    {"help", NULL, AS_FLAG, AT(help), 0, "print this"},
};
enum { OPTION_COUNT = sizeof options / sizeof *options };

static bool list_add(FaceList *l, const char *s, HostError *err) {
  const char **at = realloc(l->at, (l->n + 1) * sizeof *at);
  if (!at) return host_fail(err, "out of memory");
  l->at = at;
  l->at[l->n++] = s;
  return true;
}

static bool set_number(const Option *o, size_t *dst, const char *value, HostError *err) {
  char *end = NULL;
  errno = 0;
  unsigned long long v = strtoull(value, &end, 10);
  if (*value < '0' || *value > '9' || *end || errno || v < 1 || v > o->most)
    return host_fail(err, "--%s %.60s: a number from 1 to %zu is needed", o->name, value, o->most);
  *dst = (size_t)v;
  return true;
}

static bool set_real(const Option *o, double *dst, const char *value, HostError *err) {
  char *end = NULL;
  double v = strtod(value, &end);
  if (end == value || *end || !(v > 0) || v > (double)o->most)
    return host_fail(err, "--%s %.60s: a number above 0, at most %zu, is needed", o->name, value, o->most);
  *dst = v;
  return true;
}

static bool set_option(FaceArgs *a, const Option *o, const char *value, HostError *err) {
  void *field = (char *)a + o->at;
  switch (o->kind) {
  case AS_FLAG: *(bool *)field = true; return true;
  case AS_STRING: *(const char **)field = value; return true;
  case AS_LIST: return list_add(field, value, err);
  case AS_NUMBER: return set_number(o, field, value, err);
  case AS_REAL: return set_real(o, field, value, err);
  }
  return false;
}

static const Option *find_option(const char *name, size_t n) {
  for (size_t i = 0; i < OPTION_COUNT; i++)
    if (strlen(options[i].name) == n && !strncmp(options[i].name, name, n)) return &options[i];
  return NULL;
}

bool face_args_parse(FaceArgs *a, int argc, char **argv, HostError *err) {
  *a = (FaceArgs){.repeat = 1};
  bool words_only = false;
  for (int i = 1; i < argc; i++) {
    const char *s = argv[i];
    if (words_only || s[0] != '-' || !s[1]) {
      if (!list_add(&a->image, s, err)) return false;
      continue;
    }
    if (!strcmp(s, "--")) {
      words_only = true;
      continue;
    }
    const char *equals = strchr(s, '=');
    size_t n = equals ? (size_t)(equals - s) : strlen(s);
    const Option *o = !strcmp(s, "-h")       ? find_option("help", 4)
                      : n > 2 && s[1] == '-' ? find_option(s + 2, n - 2)
                                             : NULL;
    if (!o) return host_fail(err, "unknown option %.60s; --help lists them", s);
    if (o->kind == AS_FLAG && equals) return host_fail(err, "--%s takes no value", o->name);
    const char *value = equals ? equals + 1 : o->kind == AS_FLAG ? "" : argv[i + 1];
    if (!value) return host_fail(err, "--%s needs a value: --%s %s", o->name, o->name, o->value);
    if (!equals && o->kind != AS_FLAG) i++;
    if (!set_option(a, o, value, err)) return false;
  }
  return true;
}

void face_args_free(FaceArgs *a) {
  free(a->image.at);
  free(a->text.at);
  free(a->input.at);
}

void face_args_help(const sy_info *info, const char *program) {
  bool text = false, picture = false;
  for (unsigned i = 0; i < info->nprepare; i++) {
    text = text || face_is_tokenizer(info->prepare[i].kind);
    picture = picture || !strcmp(info->prepare[i].kind, "picture");
  }
  printf("usage: %s %s%s[options]\n\nThe model \"%s\", compiled by Switchyard.\n\nroutes:\n", program,
         picture ? "PICTURE... " : "", text ? "--text TEXT... " : "", info->model);
  for (unsigned r = 0; r < info->nroute; r++) {
    FaceWords w;
    char name[64];
    if (face_words_part(info, &info->route[r])) {
      snprintf(name, sizeof name, "%.*s", (int)(strlen(info->route[r].name) - strlen("_start")), info->route[r].name);
      if (!face_words_find(info, name, &w) || w.start != &info->route[r]) continue;
      printf("  %-16s", name);
      for (unsigned i = 0; i + 2 < info->route[r].ninput; i++)
        printf("%s%s", i ? ", " : "", info->route[r].input[i].name);
      printf(" -> a sentence\n");
      continue;
    }
    printf("  %-16s", info->route[r].name);
    for (unsigned i = 0; i < info->route[r].ninput; i++) printf("%s%s", i ? ", " : "", info->route[r].input[i].name);
    printf(" ->");
    for (unsigned i = 0; i < info->route[r].noutput; i++) printf("%s %s", i ? "," : "", info->route[r].output[i].name);
    printf("\n");
  }
  printf("\noptions:\n");
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    char left[40];
    snprintf(left, sizeof left, "--%s%s%s", options[i].name, options[i].value ? " " : "",
             options[i].value ? options[i].value : "");
    printf("  %-20s  %s\n", left, options[i].about);
  }
  printf("\nexit status: 0 done, 2 wrong usage, 3 a file cannot be used, 4 self-test failed or a result is not a "
         "number\n");
}

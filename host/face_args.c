// face_args.c - the options of a compiled model's command line. One table gives the parser and --help.
//
// A first word that is the name of a command (embed, search) chooses what the options and the other words mean. Long
// options ("--top 5" or "--top=5"), and -o for --out; "--" ends them (common/options.h); other words are pictures, or
// the command's own. Options with a value that may be repeated collect a list in the order given.
//
//   ./vit a.jpg --top=3 -- --strange-name.jpg      image = {"a.jpg", "--strange-name.jpg"}, top = 3
//   ./clip search v.npy "a dog" --top 3            command = FACE_SEARCH, word = {"v.npy", "a dog"}, top = 3
#include "face_parts.h"

#include "common/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { AS_FLAG, AS_STRING, AS_LIST, AS_NUMBER, AS_REAL } ValueKind;
typedef struct Option {
  const char *name, *value; // value: its name in the help, NULL for a flag
  ValueKind kind;
  size_t at; // offset in FaceArgs
  size_t most;
  unsigned with; // the commands that take it: bits RUN, EMBED, SEARCH; with WORDS: helps models that write sentences
  const char *about;
} Option;
enum { RUN = 1 << FACE_RUN, EMBED = 1 << FACE_EMBED, SEARCH = 1 << FACE_SEARCH, ANY = RUN | EMBED | SEARCH };
enum { WORDS = 1 << 8 };

#define AT(field) offsetof(FaceArgs, field)
static const Option options[] = {
    {"image", "FILE", AS_LIST, AT(image), 0, RUN | SEARCH,
     "a picture (JPEG, PNG, PPM); may be repeated; plain words are pictures too"},
    {"text", "TEXT", AS_LIST, AT(text), 0, RUN | SEARCH, "a sentence; may be repeated"},
    {"input", "NAME=FILE", AS_LIST, AT(input), 0, RUN, "an input from a NumPy file (.npy); may be repeated"},
    {"route", "NAME", AS_STRING, AT(route), 0, RUN | EMBED,
     "which entry point to run (default: the one that fits what is given)"},
    {"top", "N", AS_NUMBER, AT(top), 1000000, RUN | SEARCH,
     "how many to print (classes: 5, or as the page says; a search: 10)"},
    {"labels", "FILE", AS_STRING, AT(labels), 0, RUN,
     "class names, one a line. Of a model that compares pictures and sentences: any words, its zero-shot classes"},
    {"template", "TEXT", AS_LIST, AT(template), 0, RUN,
     "zero-shot: the sentence for a label, {} stands for it (default \"a photo of a {}.\"); of several the mean is "
     "taken"},
    {"scale", "X", AS_REAL, AT(scale), 1000000, RUN,
     "zero-shot: cosines times this are the logits (default: the model's own, from the route that compares)"},
    {"lines", "FILE", AS_STRING, AT(lines), 0, EMBED, "the lines of a text file instead of pictures"},
    {"batch", "N", AS_NUMBER, AT(batch), 1000000, EMBED, "how many go through the model at once (default: its bound)"},
    {"strict", NULL, AS_FLAG, AT(strict), 0, EMBED, "stop at what cannot be read instead of leaving it out"},
    {"restart", NULL, AS_FLAG, AT(restart), 0, EMBED, "begin anew instead of going on after an interruption"},
    {"vocab", "FILE", AS_STRING, AT(vocab), 0, ANY,
     "the tokenizer's vocabulary: CLIP's merges, BERT's vocab.txt, a SentencePiece model or a tokenizer.json"},
    {"as-stored", NULL, AS_FLAG, AT(as_stored), 0, ANY,
     "pictures as their files have them, not turned upright by their EXIF orientation"},
    {"cased", NULL, AS_FLAG, AT(cased), 0, ANY,
     "WordPiece: sentences keep their capitals and accents, whatever the page says"},
    {"uncased", NULL, AS_FLAG, AT(uncased), 0, ANY, "WordPiece: sentences are put into lower case, without accents"},
    {"beams", "N", AS_NUMBER, AT(beams), 32, RUN | WORDS, "sentences kept by the search (1: greedy)"},
    {"longest", "N", AS_NUMBER, AT(longest), 100000, RUN | WORDS, "longest sentence, in tokens"},
    {"shortest", "N", AS_NUMBER, AT(shortest), 100000, RUN | WORDS, "shortest sentence, in tokens"},
    {"sample", NULL, AS_FLAG, AT(sample), 0, RUN | WORDS, "draw words instead of searching for the best"},
    {"temperature", "X", AS_REAL, AT(temperature), 1000, RUN | WORDS, "sampling: below 1 bolder, above 1 freer"},
    {"top-p", "X", AS_REAL, AT(top_p), 1, RUN | WORDS, "sampling: from the words that make up this share"},
    {"top-k", "N", AS_NUMBER, AT(top_k), 1000000, RUN | WORDS, "sampling: from the N best words"},
    {"seed", "N", AS_NUMBER, AT(seed), 1000000000, RUN | WORDS, "sampling: the same number draws the same words"},
    {"out", "FILE", AS_STRING, AT(out), 0, RUN | EMBED,
     "-o FILE too: write the output to a NumPy file (several outputs: FILE-NAME.npy), - to standard output"},
    {"weights", "FILE", AS_STRING, AT(weights), 0, ANY, "packed weights (default: PROGRAM.syw)"},
    {"threads", "N", AS_NUMBER, AT(threads), 1024, ANY, "threads (default: the cores this process may use)"},
    {"isa", "NAME", AS_STRING, AT(isa), 0, ANY, "use nothing better than this instruction set (--describe lists them)"},
    {"repeat", "N", AS_NUMBER, AT(repeat), 1000000000, RUN, "run every call N times (for --time)"},
    {"time", NULL, AS_FLAG, AT(time), 0, RUN | EMBED, "print how long the calls took"},
    {"json", NULL, AS_FLAG, AT(json), 0, ANY, "print results as JSON"},
    {"selftest", NULL, AS_FLAG, AT(selftest), 0, RUN, "check the weight file and the kernels on this CPU"},
    {"describe", NULL, AS_FLAG, AT(describe), 0, RUN, "print routes, tensors and sizes"},
    {"version", NULL, AS_FLAG, AT(version), 0, RUN, "print what this program was made from"},
    {"help", NULL, AS_FLAG, AT(help), 0, ANY, "print this"},
};
enum { OPTION_COUNT = sizeof options / sizeof *options };

static bool list_add(FaceList *l, const char *s, HostError *err) {
  const char **at = realloc(l->at, (l->n + 1) * sizeof *at);
  if (!at) return host_no_memory(err);
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

// What the commands are called and how their help begins.
static const struct {
  const char *name, *usage, *about;
} commands[] = {
    [FACE_RUN] = {"", "[options]", ""},
    [FACE_EMBED] =
        {"embed", "PATH... -o vectors.npy [options]",
         "Writes one vector of length 1 for every picture (PATH: files, and folders with all below them), or\n"
         "for every line of a text file (--lines FILE), as float32 [N, width]; the names, one a line, go to\n"
         "vectors.txt. An interrupted run goes on where it stopped when it is called again.\n\n"
         "  @ embed photos/ -o photos.npy\n"
         "  @ embed --lines captions.txt --vocab VOCABULARY -o sentences.npy\n"},
    [FACE_SEARCH] =
        {"search", "vectors.npy [TEXT]... [--image FILE]... [options]",
         "Finds the vectors that are nearest to a sentence or a picture: the highest products, best first.\n"
         "vectors.npy is what embed writes, or any float32 [N, width]; names come from vectors.txt.\n\n"
         "  @ search photos.npy \"a dog on a beach\" --vocab VOCABULARY\n"
         "  @ search photos.npy --image dog.jpg --top 20\n"},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static FaceCommand find_command(const char *word) {
  for (int c = FACE_RUN + 1; c < COMMAND_COUNT; c++)
    if (word && !strcmp(word, commands[c].name)) return (FaceCommand)c;
  return FACE_RUN;
}

static bool refuse(FaceCommand command, const Option *o, HostError *err) {
  if (command != FACE_RUN) return host_fail(err, "--%s does not go with %s", o->name, commands[command].name);
  int c = FACE_RUN;
  while (c + 1 < COMMAND_COUNT && !(o->with >> c & 1)) c++;
  return host_fail(err, "--%s goes with the command %s, which is the first word then", o->name, commands[c].name);
}

static OptionRow option_row(size_t i) {
  const Option *o = &options[i];
  return (OptionRow){.name = o->name,
                     .letter = !strcmp(o->name, "help")  ? 'h'
                               : !strcmp(o->name, "out") ? 'o'
                                                         : '\0',
                     .takes = o->kind == AS_FLAG ? OPTION_NOTHING : OPTION_VALUE,
                     .with = o->with};
}

static bool unknown(const OptionScan *scan, const OptionItem *it, HostError *err) {
  const char *near = it->is_long ? options_near(scan, it->name, it->nname) : NULL;
  if (near) return host_fail(err, "unknown option %.60s; did you mean --%s? (--help lists them)", it->text, near);
  return host_fail(err, "unknown option %.60s; --help lists them", it->text);
}

static bool take_option(FaceArgs *a, const OptionItem *it, HostError *err) {
  const Option *o = &options[it->row];
  if (it->kind == OPTION_ELSEWHERE) return refuse(a->command, o, err);
  if (it->kind == OPTION_SURPLUS) return host_fail(err, "--%s takes no value", o->name);
  bool lacks = it->kind == OPTION_LACKING || (o->kind == AS_STRING && !*it->value); // an empty name names no file
  if (lacks) return host_fail(err, "--%s needs a value: --%s %s", o->name, o->name, o->value);
  return set_option(a, o, it->value, err);
}

bool face_args_parse(FaceArgs *a, int argc, char **argv, HostError *err) {
  *a = (FaceArgs){.repeat = 1};
  a->command = find_command(argc > 1 ? argv[1] : NULL);
  size_t first = a->command == FACE_RUN ? 1 : 2, n = argc > 0 ? (size_t)argc : 0;
  OptionScan scan = {.row = option_row,
                     .nrow = OPTION_COUNT,
                     .command = 1u << a->command,
                     .arg = (const char *const *)(uintptr_t)argv,
                     .narg = n,
                     .at = first};
  for (;;) {
    OptionItem it = options_next(&scan);
    if (it.kind == OPTION_END) break;
    bool ok = it.kind == OPTION_WORD      ? list_add(a->command == FACE_RUN ? &a->image : &a->word, it.text, err)
              : it.kind == OPTION_UNKNOWN ? unknown(&scan, &it, err)
                                          : take_option(a, &it, err);
    if (!ok) return false;
  }
  if (a->cased && a->uncased) return host_fail(err, "--cased and --uncased: it is one or the other");
  return true;
}

void face_args_free(FaceArgs *a) {
  free(a->image.at);
  free(a->text.at);
  free(a->input.at);
  free(a->template.at);
  free(a->word.at);
}

static void help_text(const char *s, const char *program) { // @ stands for the program
  for (; *s; s++)
    if (*s == '@')
      printf("%s", program);
    else
      putchar(*s);
}

static void help_routes(const sy_info *info) {
  for (unsigned r = 0; r < info->nroute; r++) {
    FaceWords w;
    if (face_words_part(info, &info->route[r], &w)) {
      if (w.start != &info->route[r]) continue;
      printf("  %-16s", w.is->name);
      size_t n = 0;
      for (unsigned i = 0; i < w.start->ninput; i++)
        if (!face_words_fills(&w, i)) printf("%s%s", n++ ? ", " : "", w.start->input[i].name);
      printf(" -> a sentence\n");
      continue;
    }
    printf("  %-16s", info->route[r].name);
    for (unsigned i = 0; i < info->route[r].ninput; i++) printf("%s%s", i ? ", " : "", info->route[r].input[i].name);
    printf(" ->");
    for (unsigned i = 0; i < info->route[r].noutput; i++) printf("%s %s", i ? "," : "", info->route[r].output[i].name);
    printf("\n");
  }
}

static void help_options(const sy_info *info, FaceCommand command) {
  bool words = info->ngenerate > 0;
  printf("\noptions:\n");
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    if (!(options[i].with >> command & 1) || ((options[i].with & WORDS) && !words)) continue;
    char left[40];
    snprintf(left, sizeof left, "--%s%s%s", options[i].name, options[i].value ? " " : "",
             options[i].value ? options[i].value : "");
    printf("  %-20s  %s\n", left, options[i].about);
  }
  printf("\nexit status: 0 done, 2 wrong usage, 3 a file cannot be used or was left out, 4 self-test failed or a "
         "result is not a "
         "number\n");
}

void face_args_help(const sy_info *info, const char *program, FaceCommand command) {
  if (command != FACE_RUN) {
    printf("usage: %s %s %s\n\n", program, commands[command].name, commands[command].usage);
    help_text(commands[command].about, program);
    help_options(info, command);
    return;
  }
  bool text = false, picture = false;
  for (unsigned i = 0; i < info->nprepare; i++) {
    text = text || face_is_tokenizer(info->prepare[i].kind);
    picture = picture || !strcmp(info->prepare[i].kind, "picture");
  }
  printf("usage: %s %s%s[options]\n", program, picture ? "PICTURE... " : "", text ? "--text TEXT... " : "");
  FaceVectors v;
  bool sees = face_vectors_find(info, FACE_PICTURES, NULL, &v), reads = face_vectors_find(info, FACE_TEXTS, NULL, &v);
  if (sees && reads)
    printf("       %s PICTURE... --labels FILE [--template \"a photo of a {}.\"]...   zero-shot classes\n", program);
  for (int c = FACE_RUN + 1; (sees || reads) && c < COMMAND_COUNT; c++)
    printf("       %s %s %s   (%s %s --help)\n", program, commands[c].name, commands[c].usage, program,
           commands[c].name);
  printf("\nThe model \"%s\", compiled by Switchyard.\n\nroutes:\n", info->model);
  help_routes(info);
  help_options(info, command);
}

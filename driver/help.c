// help.c: the table of commands, and the help pages made from it and from options.def.
//
//   syc help            what syc is, and its commands           (also syc --help)
//   syc help build      one command, its options and examples   (also syc build --help)
//   syc help emit       ... with what each --emit kind is
//   syc help models     the models that come with syc and their presets
//   syc help isa        the instruction sets that --isa may name
//
// Invariant: nothing is written twice. The option columns come from options.def, so a page cannot miss an option; the
// commands are listed here and nowhere else. Pages are at most 100 columns wide.
#include "help.h"
#include "common/json.h"
#include "embedded.h"
#include "runtime/switchyard.h"

#include <string.h>

const CommandInfo commands[] = {
    {"build", C_BUILD, cmd_build, "SPEC[:PRESET] [-o FILE] [--weights FILE] [options]",
     "compile a model to an executable, a library or C files",
     "The form of the output follows its suffix (none: executable, .c .h .o .a .so) unless --emit says otherwise.\n"
     "An executable needs a C compiler here; it reads pictures and text, and its own --help explains how. With\n"
     "--weights the checkpoint is checked against the model, packed for it and put beside the output\n"
     "(vit -> vit.syw). The packed file carries the plan's hash: a file of another build is refused.\n",
     "syc build vit:base --weights vit_b_16.safetensors -o vit  # executable and vit.syw\n"
     "syc build vit:tiny -o vit.c  # vit.c and vit.h for your own program\n"
     "syc build models/clip.sy:b32 --routes image --isa avx2 -o clip.o  # one route, one instruction set\n"},
    {"emit", C_EMIT, cmd_emit, "SPEC[:PRESET] [--emit=KIND,...] [-o FILE] [options]",
     "print what the compiler makes of a model, at any step",
     "Without -o text goes to standard output; several kinds need -o NAME and get their suffixes. Graph IR (.ir) is\n"
     "an input too: a dump says which pass left it, and the passes behind that one run (--start-from names another).\n"
     "Of kernel IR (.kir) --emit=c makes the C functions.\n",
     "syc emit vit:tiny --emit=ir@input  # graph IR as the front end builds it\n"
     "syc emit vit:tiny --emit=ir@fuse  # after the pass `fuse`\n"
     "syc emit vit:tiny --emit=c -o vit.c  # vit.c and vit.h, for your own program\n"
     "syc emit vit.ir --emit=kir  # go on from a dump\n"
     "syc emit vit.kir --emit=c  # kernels as C\n"},
    {"import", C_IMPORT, cmd_import, "MODEL.onnx [-o PAGE.sy] [--weights FILE.safetensors] [--dim NAME=N]",
     "make a page and a checkpoint of an ONNX model",
     "Attention, norms, activations and convolutions are recognised in their parts, layers that come again become a\n"
     "`repeat`; the page is compiled before anything is written. Run-time dims get bounds: 32 for the first axis of\n"
     "an input, 512 for others, or --dim. Without --weights they lie beside the page, under its name.\n",
     "syc import model.onnx -o model.sy  # and model.safetensors\n"
     "syc import bert.onnx -o bert.sy --dim sequence=128 && syc build bert.sy -w bert.safetensors  # go on with it\n"},
    {"run", C_RUN, cmd_run, "SPEC[:PRESET] --weights FILE [options] -- ARGUMENTS", "compile into the cache and run",
     "What stands behind -- goes to the compiled model. The executable and its packed weights are kept in\n"
     "$XDG_CACHE_HOME/switchyard, so a second run starts at once.\n",
     "syc run vit:base -w vit_b_16.safetensors -- cat.jpg --top 3  # classify a picture\n"
     "syc run vit:base -- --help  # what the compiled model can do\n"},
    {"check", C_CHECK, cmd_check, "SPEC|DIR... --golden DIR [options]",
     "compare results with those of the models' authors",
     "Runs the cases of DIR/cases.json, or of every folder in DIR, that belong to the models given, and prints the\n"
     "largest error of each beside its tolerance.\n",
     "syc check models --golden tests/golden  # everything there is\n"
     "syc check vit --golden tests/golden --backend interp --isa avx2  # the interpreter, lane exact\n"
     "syc check vit --golden tests/golden --target wasm32  # as WebAssembly, in node\n"},
    {"bench", C_BENCH, cmd_bench, "SPEC[:PRESET] [options]", "measure a model on this machine",
     "Weights and inputs are made from --seed unless given. Prints the least and the median time of a call, GFLOP/s,\n"
     "and what part of the time each kernel takes.\n",
     "syc bench vit:base --threads 1  # one core\n"
     "syc bench vit:base --routes classify --batch 8 --json  # for scripts\n"},
    {"step", C_STEP, cmd_step, "SPEC[:PRESET] --objective NAME --weights FILE --input FILE [-o FILE] [options]",
     "train on one batch for some steps",
     "Compiles the objective with the gradients of its loss, runs steps on the batch and prints the losses. -o writes\n"
     "the weights under their names, and what the optimiser keeps: a step from that file goes on with the same bits.\n"
     "A loss or a gradient that is not finite ends the run and changes nothing.\n",
     "syc step vit:base --objective classify -w vit.safetensors --input batch.safetensors --steps 10 -o "
     "new.safetensors\n"
     "syc step vit:base --objective classify --trained 'heads.*' -w vit.safetensors --input batch.safetensors  # the "
     "head\n"},
    {"train", C_TRAIN, cmd_train, "SPEC[:PRESET] --stage NAME --data PATH... -o DIR [--weights FILE] [options]",
     "train a model on data",
     "Runs a stage of the page, or an objective with the options' numbers, on data, with a progress bar, and writes "
     "into\n"
     "DIR: last.safetensors (the weights under their names, with what the optimiser keeps), best.safetensors by the "
     "loss on\n"
     "--val, log.jsonl and log.csv (a line a step), loss.svg. Without --weights it begins with seeded ones. A run that "
     "was\n"
     "killed goes on with --resume and has the bits of one that was not. --dry-run says what would be done. Started by "
     "mpirun -n N, N processes share each step,\n"
     "with the same bits.\n",
     "syc train vit:tiny --objective classify --data photos/ --batch 32 --epochs 10 --lr 1e-3 -o run  # class folders\n"
     "syc train vlmo:base --stage pairs -w language/last.safetensors --data pairs.jsonl --val val.jsonl --vocab "
     "vocab.txt "
     "-o pairs\n"
     "syc train vlmo:base --stage pairs --data pairs.jsonl --val val.jsonl --vocab vocab.txt -o pairs --resume  # go "
     "on\n"
     "mpirun -n 4 syc train vit:tiny --objective classify --data photos/ --batch 32 --micro 8 --epochs 10 -o run\n"
     "syc build vit:tiny -w run/last.safetensors -o vit  # use the result\n"},
    {"explain", C_EXPLAIN, cmd_explain, "SPEC[:PRESET] [options]\nCODE",
     "say what a model costs, or what an error code means",
     "Routes, parameters, arithmetic, memory and which weights serve which tokens; nothing is compiled. With a code\n"
     "such as E0201: the long explanation of that error.\n",
     "syc explain vit:base  # routes, parameters, FLOPs, memory\n"
     "syc explain vit:base --objective classify --dim B=8 --memory 400M  # a step of training\n"
     "syc explain E0201  # what the message means and how to mend the program\n"},
    {"fmt", C_FMT, cmd_fmt, "FILE... [--check]", "put model files into the canonical form",
     "Files are rewritten in place, all or nothing; - reads standard input and writes standard output. A file with\n"
     "syntax errors is left as it is.\n",
     "syc fmt models/*.sy  # in place\n"
     "syc fmt --check models/*.sy  # for continuous integration\n"},
    {"weights", C_WEIGHTS, cmd_weights,
     "init SPEC[:PRESET] [--seed N] -o FILE\ninspect [SPEC[:PRESET]] FILE\npack SPEC[:PRESET] --weights FILE -o "
     "FILE\nconvert FILE... "
     "-o FILE [--dtype T]",
     "make, look at and pack weights",
     "init makes seeded weights under the checkpoint's names, the same on every machine, for trying things out.\n"
     "inspect lists a checkpoint's tensors: types, shapes, ranges, NaN and infinite elements; with a model, the\n"
     "model's weights as the checkpoint has them. pack writes the file that a compiled model maps (.syw); tensors\n"
     "that are missing or mis-shaped are reported with near names, all of them with --verbose. convert merges\n"
     "checkpoints into one safetensors file.\n"
     "A checkpoint is a safetensors file, a PyTorch file (.pth .pt .bin .ckpt; nothing in it is executed), a GGUF\n"
     "file of llama.cpp or clip.cpp, or the index of shards (.index.json).\n",
     "syc weights init vit:tiny --seed 1 -o tiny.safetensors  # random, but always the same\n"
     "syc weights inspect vit_b_16.safetensors  # what is in it\n"
     "syc weights pack vit:base --weights vit_b_16.pth -o vit.syw  # for an executable built without it\n"
     "syc weights convert last.ckpt --strip-prefix model. -o model.safetensors  # plain names\n"},
    {"help", C_HELP, cmd_help, "[COMMAND|" HELP_MODELS "|" HELP_ISA "]\n--man\n--completions=bash|zsh|fish",
     "explain syc or one command",
     "`syc help models` lists the models that come with syc, `syc help isa` the instruction sets. The man page and "
     "the\n"
     "completion scripts are made from the same tables as these pages.\n",
     "syc help emit  # every --emit kind\n"
     "syc help --man | man -l -  # the man page\n"
     "source <(syc help --completions=bash)  # completion in this shell\n"},
    {0},
};

const HelpOption help_options[] = {
#define OPT(field, kind, letter, name, value, commands, help) {name, letter, #kind, value, commands, help},
#include "options.def"
#undef OPT
    {0},
};

const HelpPair help_exit_codes[] = {
    {"0", "done"},
    {"1", "the program (the model, or what it is asked for) is wrong"},
    {"2", "the command line is wrong"},
    {"3", "a file cannot be read or written, or is not what it should be; a tool is missing or failed"},
    {"4", "a check failed: results differ from the expected ones"},
    {"70", "a bug in syc"},
    {0},
};

const HelpPair help_environment[] = {
    {"CC", "the C compiler with its arguments, unless --cc names one"},
    {"NO_COLOR", "no colour in messages"},
    {"CLICOLOR_FORCE", "colour in messages even when they do not go to a terminal"},
    {"XDG_CACHE_HOME", "where `syc run`, check and bench keep what they compiled (default ~/.cache)"},
    {"TMPDIR", "for temporary files (default /tmp)"},
    {0},
};

const HelpPair help_emit_kinds[] = {
    {"ast", "the syntax tree of the program as it was read"},
    {"ir", "graph IR after all passes: tensors and operators, one function a route"},
    {"ir@PASS", "graph IR after a pass (syc emit --print-passes lists them); ir@input: before the first"},
    {"kir", "kernel IR: the loops of every kernel, once for each instruction set"},
    {"c", "the C module and, beside it, its header: kernels, launch lists, dispatch by instruction set"},
    {"h", "the header alone, for C and C++"},
    {"llvm", "the module as LLVM IR, before LLVM's passes (.ll)"},
    {"bc", "the same as bitcode"},
    {"asm", "assembly, made by LLVM (.s)"},
    {"dot", "the graph with its fused groups, for Graphviz"},
    {"json", "routes, tensors, weights, launches and memory, for scripts"},
    {"obj", "the C module compiled (.o)"},
    {"lib", "a static library (.a)"},
    {"so", "a shared library with sy_model_entry, for dlopen"},
    {"wasm", "a module for WebAssembly, made by LLVM"},
    {"onnx", "a route as an ONNX model, with the weights of --weights (docs/onnx.md)"},
    {"exe", "an executable with the command line for pictures and text"},
    {0},
};

/* pages --------------------------------------------------------------------------------------------------------- */
enum { PAGE_WIDTH = 100, MAX_LEFT = 30 };

// "-o, --output FILE"; returns the width. `dst` may be too small for no option.
static int option_left(const HelpOption *o, char *dst, size_t room) {
  bool one_dash = !strcmp(o->name, "MD");
  int n;
  if (o->letter)
    n = snprintf(dst, room, "-%c, --%s", o->letter, o->name);
  else
    n = snprintf(dst, room, "    %s%s", one_dash ? "-" : "--", o->name);
  if (n < 0 || (size_t)n >= room) return 0;
  bool optional = !strcmp(o->kind, "MAYBE"); // --name or --name=value
  int more = o->value
                 ? snprintf(dst + n, room - (size_t)n, "%s%s%s", optional ? "[=" : " ", o->value, optional ? "]" : "")
                 : 0;
  return n + (more > 0 ? more : 0);
}

// "  LEFT   text", the text wrapped and hanging in its column.
static void print_row(FILE *f, const char *left, int column, const char *text) {
  int at = fprintf(f, "  %s", left);
  if (at >= column) {
    fputc('\n', f);
    at = 0;
  }
  while (*text) {
    at += fprintf(f, "%*s", column - at, "");
    size_t room = (size_t)(PAGE_WIDTH - column), n = strlen(text);
    if (n > room) {
      for (n = room; n > 0 && text[n] != ' ';) n--;
      if (n == 0) n = strcspn(text, " ");
    }
    fprintf(f, "%.*s\n", (int)n, text);
    text += n;
    while (*text == ' ') text++;
    at = 0;
  }
}

static void print_pairs(FILE *f, const HelpPair *p, int column) {
  for (; p->name; p++) print_row(f, p->name, column, p->about);
}

static bool listed(const HelpOption *o, unsigned bit, bool common) {
  return (o->commands & bit) && (o->commands == C_ALL) == common;
}

static void print_options(FILE *f, unsigned bit, bool common) {
  char left[128];
  int widest = 0;
  for (const HelpOption *o = help_options; o->name; o++) {
    if (!(o->commands & bit)) continue;
    int n = option_left(o, left, sizeof left);
    if (n > widest && n <= MAX_LEFT) widest = n;
  }
  for (const HelpOption *o = help_options; o->name; o++) {
    if (!listed(o, bit, common)) continue;
    option_left(o, left, sizeof left);
    print_row(f, left, widest + 4, o->help);
  }
}

// Example lines "COMMAND  # what it does", the explanations in one column.
static void print_examples(FILE *f, const char *text) {
  const char *mark = "  # ";
  int widest = 0;
  for (int pass = 0; pass < 2; pass++)
    for (const char *s = text, *end; *s; s = *end ? end + 1 : end) {
      end = s + strcspn(s, "\n");
      const char *about = strstr(s, mark);
      int n = (int)((about && about < end ? about : end) - s);
      if (pass == 0)
        widest = n > widest ? n : widest;
      else if (about && about < end)
        fprintf(f, "  %-*.*s%.*s\n", widest, n, s, (int)(end - about), about);
      else
        fprintf(f, "  %.*s\n", n, s);
    }
}

void help_general(FILE *f) {
  fputs("syc: the Switchyard compiler. It turns a model written in a .sy file (vision, language and\n"
        "vision-language transformers) into an executable, a library, or one C file with its header.\n\n"
        "Usage: syc COMMAND SPEC[:PRESET] [options]\n\nCommands:\n",
        f);
  for (const CommandInfo *c = commands; c->name; c++) print_row(f, c->name, 11, c->about);
  fputs("\nA SPEC is a .sy file, - for standard input, or the name of a model that comes with syc (syc help models).\n"
        "\nExamples:\n"
        "  syc build vit:base --weights vit_b_16.safetensors -o vit   # then: ./vit cat.jpg --top 5\n"
        "  syc build vit:tiny -o vit.c                                # C (and vit.h) for your own program\n"
        "  syc explain vit:base                                       # what it costs\n"
        "\nsyc help COMMAND explains a command, syc --help=all everything; syc --version.\n",
        f);
}

static const CommandInfo *find_command(const char *name) {
  for (const CommandInfo *c = commands; c->name; c++)
    if (!strcmp(c->name, name)) return c;
  return NULL;
}

void help_command(FILE *f, const char *command) {
  const CommandInfo *c = find_command(command);
  if (!c) return;
  fprintf(f, "syc %s: %s\n\n", c->name, c->about);
  const char *lead = "Usage: ";
  for (const char *s = c->synopsis, *end; *s; s = *end ? end + 1 : end, lead = "       ") {
    end = s + strcspn(s, "\n");
    fprintf(f, "%ssyc %s %.*s\n", lead, c->name, (int)(end - s), s);
  }
  fputc('\n', f);
  fputs(c->detail, f);
  bool own = false;
  for (const HelpOption *o = help_options; o->name; o++) own = own || listed(o, c->bit, false);
  if (own) {
    fputs("\nOptions:\n", f);
    print_options(f, c->bit, false);
  }
  fputs("\nOptions of every command:\n", f);
  print_options(f, c->bit, true);
  if (c->bit == C_EMIT) {
    fputs("\nKinds, for --emit:\n", f);
    print_pairs(f, help_emit_kinds, 12);
  }
  fputs("\nExamples:\n", f);
  print_examples(f, c->examples);
  fputs("\nExit status:\n", f);
  print_pairs(f, help_exit_codes, 6);
}

/* syc help models ----------------------------------------------------------------------------------------------- */
// The name, of length *n, behind `word` if a line begins with it; else NULL.
static const char *line_name(const char *line, const char *word, size_t *n) {
  size_t k = strlen(word);
  if (strncmp(line, word, k) != 0) return NULL;
  line += k + strspn(line + k, " ");
  *n = strcspn(line, " =(\n");
  return line;
}

static const char *next_line(const char *s) {
  s += strcspn(s, "\n");
  return *s ? s + 1 : s;
}

// The presets of a page, read from its lines "preset NAME = ...".
static void print_presets(FILE *f, const char *text) {
  const char *sep = "";
  size_t n = 0;
  for (const char *line = text; *line; line = next_line(line)) {
    const char *name = line_name(line, "preset ", &n);
    if (!name) continue;
    fprintf(f, "%s%.*s", sep, (int)n, name);
    sep = ", ";
  }
}

// What `model` and `use` call a page; NULL: the file is none.
static const char *page_name(const EmbeddedFile *e, size_t *n) {
  const char *slash = strrchr(e->name, '/'), *base = slash ? slash + 1 : e->name;
  *n = strlen(base);
  if (*n <= 3 || strcmp(base + *n - 3, ".sy") != 0) return NULL;
  *n -= 3;
  return base;
}

static bool has_model(const char *text) {
  size_t n;
  for (const char *line = text; *line; line = next_line(line))
    if (line_name(line, "model ", &n)) return true;
  return false;
}

static void print_models(FILE *f) {
  size_t n = 0;
  fputs("Models that come with syc (NAME:PRESET), and their presets:\n", f);
  for (const EmbeddedFile *e = embedded_files; e->name; e++) {
    const char *name = page_name(e, &n);
    if (!name || !has_model(e->text)) continue;
    fprintf(f, "  %-12.*s ", (int)n, name);
    print_presets(f, e->text);
    fputc('\n', f);
  }
  fputs("Pages of blocks that models are built from, for `use NAME`:", f);
  for (const EmbeddedFile *e = embedded_files; e->name; e++) {
    const char *name = page_name(e, &n);
    if (name && !has_model(e->text)) fprintf(f, " %.*s", (int)n, name);
  }
  fputs("\nsyc explain NAME:PRESET says what a model costs.\n", f);
}

/* syc help isa -------------------------------------------------------------------------------------------------- */
// "  avx2      AVX2        fma    x86_64 with avx2,fma,f16c      runs here"; as JSON a set a line, for scripts
static void print_isa_json(FILE *f) {
  Json j = {.put = text_to_file, .ud = f, .lines = 1};
  json_array(&j, NULL);
  for (const Target *const *t = targets; *t; t++) {
    const InstructionSet *i = (*t)->isa;
    json_object(&j, NULL);
    json_string(&j, "name", i->name);
    json_string(&j, "title", i->title);
    json_string(&j, "family", i->family->name);
    json_string(&j, "features", i->features);
    if (i->codes_of) json_string(&j, "codes_of", i->codes_of);
    json_bool(&j, "fma", (*t)->has_fma);
    json_unsigned(&j, "lanes", (*t)->lanes);
    json_bool(&j, "runs_here", sy_cpu_runs(i->name) != 0);
    json_end(&j);
  }
  json_end(&j);
}

static void print_isa(FILE *f) {
  fputs("Instruction sets (--isa), from the worst to the best; those with fma give equal bits, and those without:\n",
        f);
  for (const Target *const *t = targets; *t; t++) {
    const InstructionSet *i = (*t)->isa;
    int n = fprintf(f, "  %-13s%-14s%-6s%s%s%s", i->name, i->title, (*t)->has_fma ? "fma" : "-", i->family->name,
                    *i->features ? " with " : "", i->features);
    fprintf(f, sy_cpu_runs(i->name) ? "%*sruns here\n" : "\n", n < 104 ? 104 - n : 1, "");
  }
  fputs("Without --isa a model has all of this machine's family, and takes the best that a processor has.\n", f);
}

/* syc help ------------------------------------------------------------------------------------------------------ */
static const struct Topic { // beside the commands
  const char *name;
  void (*print)(FILE *f);
  void (*json)(FILE *f); // NULL: there is none
} topics[] = {{HELP_MODELS, print_models, NULL}, {HELP_ISA, print_isa, print_isa_json}};
enum { TOPICS = sizeof topics / sizeof *topics };

int cmd_help(Session *s) {
  if (s->opt.man) {
    help_man(stdout);
    return EXIT_OK;
  }
  if (s->opt.completions) {
    if (help_completions(stdout, s->opt.completions)) return EXIT_OK;
    return session_fail(s, EXIT_USAGE, "--completions: '%s' is not bash, zsh or fish", s->opt.completions);
  }
  if (s->opt.arg.n > 1) return session_fail(s, EXIT_USAGE, "syc help takes one word, not %zu", s->opt.arg.n);
  if (!s->opt.arg.n && !s->opt.json) {
    help_general(stdout);
    return EXIT_OK;
  }
  const char *topic = s->opt.arg.n ? s->opt.arg.at[0] : "", *near = "";
  for (size_t i = 0; i < TOPICS; i++)
    if (!strcmp(topic, topics[i].name) && (!s->opt.json || topics[i].json)) {
      (s->opt.json ? topics[i].json : topics[i].print)(stdout);
      return EXIT_OK;
    }
  if (s->opt.json) return session_fail(s, EXIT_USAGE, "--json of help prints `syc help " HELP_ISA " --json` alone");
  if (find_command(topic)) {
    help_command(stdout, topic);
    return EXIT_OK;
  }
  size_t best = 4;
  for (size_t i = 0; i < TOPICS; i++) {
    size_t d = edit_distance(topic, topics[i].name, best);
    if (d < best) best = d, near = topics[i].name;
  }
  for (const CommandInfo *c = commands; c->name; c++) {
    size_t d = edit_distance(topic, c->name, best);
    if (d < best) best = d, near = c->name;
  }
  if (best < 4) return session_fail(s, EXIT_USAGE, "no help on '%s'; did you mean '%s'?", topic, near);
  return session_fail(s, EXIT_USAGE, "no help on '%s' (syc help lists the commands)", topic);
}

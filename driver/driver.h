// driver.h: the `syc` command. main.c parses (options.def) and dispatches; each command is one file and one function
//   int cmd_NAME(Session *s)      returning an exit code.
// session.c is the way every command takes from a spec to a Program; cc.c turns a Program into objects and executables.
#ifndef SY_DRIVER_H
#define SY_DRIVER_H

#include "codegen/program.h"
#include "frontend/frontend.h"

enum { EXIT_OK = 0, EXIT_WRONG = 1, EXIT_USAGE = 2, EXIT_IO = 3, EXIT_CHECK = 4, EXIT_ICE = 70 };

enum { // sets of commands, for options.def
  C_BUILD = 1 << 0,
  C_EMIT = 1 << 1,
  C_RUN = 1 << 2,
  C_CHECK = 1 << 3,
  C_BENCH = 1 << 4,
  C_EXPLAIN = 1 << 5,
  C_FMT = 1 << 6,
  C_WEIGHTS = 1 << 7,
  C_HELP = 1 << 8,
  C_STEP = 1 << 9,
  C_TRAIN = 1 << 10,
  C_IMPORT = 1 << 11,
  C_ALL = (1 << 12) - 1,
  C_MODEL = C_BUILD | C_EMIT | C_RUN | C_CHECK | C_BENCH | C_EXPLAIN | C_WEIGHTS | C_STEP | C_TRAIN, // take a spec
  C_CC = C_BUILD | C_EMIT | C_RUN | C_CHECK | C_BENCH | C_STEP | C_TRAIN,                            // run a C compiler
};

typedef VEC(const char *) StrList;
typedef struct Defines { // NAME=VALUE options in order
  StrList name, value;
} Defines;

enum { INT_UNSET = INT32_MIN };
typedef struct Options { // one field per row of options.def; unset: false, NULL, INT_UNSET, empty
#define OPT_FLAG bool
#define OPT_STR const char *
#define OPT_MAYBE const char *
#define OPT_INT int64_t
#define OPT_LIST StrList
#define OPT_DEFINE Defines
#define OPT(field, kind, letter, name, value, commands, help) OPT_##kind field;
#include "options.def"
#undef OPT
  StrList arg;  // positional arguments
  StrList rest; // behind --
} Options;

typedef struct PageText { // the file that was read last: a pipe cannot be read again
  const char *path, *text;
  size_t n;
} PageText;

typedef struct FolderPage { // a published folder as a spec (folder.c)
  const char *dir;          // as it was asked for; NULL: none was
  const char *path, *text;  // of the page, with a preset for the folder
  size_t n;
  const char *preset, *routes; // routes: what the file has weights for, or NULL
  const char *vocab;           // its tokenizer's file, or NULL
  const char *facts;           // the files that say so: "config.json + preprocessor_config.json"
} FolderPage;

typedef struct Session {
  Arena arena;
  Intern names;
  Diag diag;
  Options opt;
  const char *command; // "build"
  StrList words;       // behind it, as they were given
  const char *spec;    // compiled last; NULL if its defines or routes are not those of the options
  PageText page;
  FolderPage folder;
  bool wants_weights;             // the command takes the weights of a folder, too
  struct PrecisionSet *precision; // rules that were put in force last; NULL: none
  StrList deps;                   // files read, for -MD
  StrList cc_flags;               // further flags of the C compiler ("-DVIT_TRACE")
  Digester pages;                 // texts of the pages read so far
  const char *cache;              // see cache_dir
  bool cache_is_temporary;
  struct Outputs *outputs; // outputs.c
  Buf *instead;            // errors go here, not to standard error; NULL: they do not
  int exit_code;           // EXIT_IO etc. set by the function that failed; EXIT_WRONG after diagnostics
} Session;

/* commands */
int cmd_build(Session *s);
int cmd_emit(Session *s);
int cmd_import(Session *s);
int cmd_run(Session *s);
int cmd_check(Session *s);
int cmd_bench(Session *s);
int cmd_step(Session *s);
int cmd_train(Session *s);
int cmd_explain(Session *s);
int cmd_fmt(Session *s);
int cmd_weights(Session *s);
int cmd_help(Session *s);

/* session.c
 * ------------------------------------------------------------------------------------------------------------ */
// Prints "syc: TEXT" as an error to standard error (JSON with --diagnostics=json), remembers and returns `code`.
int session_fail(Session *s, int code, const char *fmt, ...) SY_PRINTF(3, 4);
void session_note(Session *s, const char *fmt, ...) SY_PRINTF(2, 3); // to standard error unless --quiet
bool session_flush(Session *s); // prints and clears the diagnostics so far; false if there were errors
// The text of a spec "FILE[:preset]". FILE may be a path, "-" or the name of an embedded model ("models/vit.sy",
// "vit.sy", "vit"): files win. *preset = NULL if absent. NULL after reporting.
SY_MUST_USE char *session_read_spec(Session *s, const char *spec, const char **path, const char **preset, size_t *n);
// The same for a folder as it is published (folder.c): the page with a preset for it. Its weights and routes become
// options, where there are none. False after reporting.
bool session_is_folder(Session *s, const char *spec); // is a spec such a folder, and no name of a page?
bool folder_is(const char *path);
bool folder_is_published(const char *path); // it has config.json or open_clip_config.json
SY_MUST_USE bool folder_open(Session *s, const char *dir, FolderPage *page);
// Front end: parameters (-D), routes, dims (--dim) applied. extra_* are defines beside the options' (for golden cases).
// NULL after reporting.
typedef struct Selection { // what of a page is compiled; nothing: what the options say
  StrList routes, objectives, given;
  bool stages; // record the stages of training, too
} Selection;
SY_MUST_USE Module *session_module(Session *s, const char *spec, const Defines *extra, const Selection *selection);
// Calls `each` for every other preset of the page that session_module read last, compiled with the options given, with
// the text of its spec, until it returns false. Nothing is reported; presets with mistakes are passed over.
void session_each_preset(Session *s, bool (*each)(void *ud, const char *spec, const Module *m), void *ud);
// Elaborates each route of a model of the page that session_module read last, one by one, with the options given; those
// that do not elaborate are passed over. Nothing is reported.
void session_each_route(Session *s, const char *model, void (*each)(void *ud, const Module *m), void *ud);
// session_module with the facts of --weights in force: a checkpoint with the names of a `rename` set brings what the
// set says of parameters and preparations (facts.c). NULL after reporting.
SY_MUST_USE Module *module_for_weights(Session *s, const char *spec);
// Is a text that was read graph IR instead of a page? It begins with `module "NAME"`, which no page does, or its name
// ends in .ir.
bool is_graph_ir(const char *path, const char *text);
// Is `name` a pass, or NULL? If not: wrong use of `option`, reported.
bool session_known_pass(Session *s, const char *option, const char *name);
SY_MUST_USE bool session_passes(Session *s,
                                Module *m); // runs the pipeline with the options (dumps, timings, --stop-after)
// Chooses what steps compute again so that their values fit into --memory (fit.c). False after reporting.
struct PassOptions;
SY_MUST_USE bool session_fit(Session *s, const Module *m, struct PassOptions *o);
// driver/precision.c: what --precision says. Sets the rules of the module that are in force, from the page or a file;
// says which of them fit nothing. False after reporting.
SY_MUST_USE bool session_precision(Session *s, Module *m);
const Precision *session_precision_of_all(const Session *s); // where no rules are in force
// The best set that this processor has and the precision asked for makes use of.
const char *session_best_isa(const Session *s);
// Targets by name list ("avx2,avx512"; NULL: portable and all of the host's family). Returns the count, 0 after
// reporting.
SY_MUST_USE size_t session_targets(Session *s, const char *list, const Target **out);
// Are they sets of a machine, given as a triple ("x86_64-linux-gnu"; NULL: this one)? False after reporting.
SY_MUST_USE bool session_targets_run(Session *s, const Target *const *t, size_t n, const char *machine);
// Module -> passes -> Program. NULL after reporting.
SY_MUST_USE Program *session_program(Session *s, Module *m, const Target *const *target, size_t n);
SY_MUST_USE const char *session_prefix(Session *s, const Module *m); // --prefix, or the model's name as a C identifier

/* cc.c: running the C compiler
 * ------------------------------------------------------------------------------------------ */
// CC_JIT: an object with the glue in it, of the LLVM back end alone.
typedef enum CcKind { CC_OBJ, CC_LIB, CC_SO, CC_EXE, CC_JIT } CcKind;
typedef struct CcTexts { // PREFIX.c, PREFIX.h, PREFIX_glue.c
  Buf c, h, glue;
} CcTexts;
CcTexts cc_texts(const Program *p, const char *prefix);
void cc_free_texts(CcTexts *t);
typedef struct Made { // what a compiler made, to be put into its place
  NewFile file;
  const char *dir; // temporary folder that it lies in
} Made;
// Compiles a program: writes its texts into a temporary folder beside `out`, runs the compiler there; the result is not
// in its place yet. CC_SO and CC_EXE include the glue; CC_EXE links main, the host library and the runtime. `triple` =
// cross compiler prefix or NULL. False after reporting.
SY_MUST_USE bool cc_program(Session *s, const Program *p, const char *prefix, CcKind kind, const char *triple,
                            const char *out, Made *made);
void cc_made_drop(Made *made);
extern const char *const cc_libraries[]; // of ours, in an executable; NULL ends
// The C compiler with its arguments: TRIPLE-gcc, --cc, $CC, or what is here. cc_back_end: who builds a kind, asked for
// or there.
StrList cc_words(Session *s, const char *triple);
struct BackEnd;
struct Building;
const struct BackEnd *cc_back_end(Session *s, CcKind kind);
SY_MUST_USE bool cc_build(Session *s, const struct Building *b); // through C: the row "c"
// What the compiler prints with an option ("--version"), or NULL.
SY_MUST_USE const char *cc_ask(Session *s, const StrList *cc, const char *option);
const char *cc_machine(Session *s); // the triple that the compiler makes code for, or NULL if it does not say
// Makes a static library of one object, with TRIPLE-ar, ar or llvm-ar. False after reporting.
SY_MUST_USE bool cc_archive(Session *s, const char *triple, const char *object, const char *result);
// Runs a command, waits. Returns its exit status, 127 if it cannot run, 128+n on a signal. Its temporary files go to
// `dir`, if given.
SY_MUST_USE int cc_spawn(Session *s, const char *const *argv, const char *dir);
const char *cc_find(Arena *a, const char *program); // its path, on PATH or as it is; NULL if absent
bool cc_have(const char *program);                  // is it there?
SY_MUST_USE const char *cc_runtime_dir(Session *s,
                                       const char *what); // "lib" or "include" of this installation or build tree

/* cached.c, cache.c: what was made before
 * --------------------------------------------------------------------------------------------- */
// A compiled program of the cache, keyed by the content of everything that has a part in it: a second call only returns
// the path. NULL after reporting.
SY_MUST_USE const char *cc_cached(Session *s, const Program *p, const char *prefix, CcKind kind, const char *triple);
// Where the packed weights of a program and the options' checkpoints lie or are to be put. NULL after reporting.
SY_MUST_USE const char *cached_weights_path(Session *s, const Program *p);
// The folder of the cache: $XDG_CACHE_HOME/switchyard or ~/.cache/switchyard, private; or a temporary one of this
// process. NULL after reporting.
SY_MUST_USE const char *cache_dir(Session *s);
SY_MUST_USE const char *cache_path(Session *s, const char *name, const char *suffix,
                                   const Digest *key); // NAME-KEYSUFFIX in it
bool file_is_ours(const char *path);                   // a regular file of this user that nobody else can write to
bool folder_is_safe(const char *path);                 // nobody else can put another file or folder on its way
SY_MUST_USE bool key_add_file(Session *s, Digester *key, const char *path); // its content. False after reporting
void key_add_text(Digester *key, const char *text);                         // or NULL

/* words.c */
// The next word of a text, quotes taken off; *text moves behind it. NULL at the end.
const char *next_word(Arena *a, const char **text);

/* outputs.c: what a command writes takes its place only when all of it is made
 * -------------------------------------------------------------------------- */
SY_MUST_USE bool output_text(Session *s, const char *path,
                             const Buf *b);                     // "-" and devices at once. False after reporting
SY_MUST_USE bool output_made(Session *s, Made *made);           // owns it from here on
SY_MUST_USE NewFile *output_file(Session *s, const char *path); // to write to. NULL after reporting
SY_MUST_USE bool output_open(Session *s, NewFile *out,
                             const char *path); // the same for a single file that the caller puts
SY_MUST_USE bool outputs_put(Session *s);       // false after reporting
void outputs_drop(Session *s);

/* backend.c: who makes what runs
 * -------------------------------------------------------------------------------------------------------------- */
typedef struct Building { // a program being built
  const Program *p;
  const char *dir, *prefix; // where its files go, and how they are called
  CcKind kind;
  const char *triple; // another machine, or NULL
  const char *result; // path of what is asked for
} Building;
enum { USE_FILES = 1, USE_LOADED = 2, USE_INTERPRETED = 4 };
typedef struct BackEnd {
  const char *name, *about;                     // "c", "compiled C"
  unsigned use;                                 // how its programs run: from files, in this process, in the interpreter
  bool machines;                                // --target, --mcpu and --mattr are for it
  const char *(*missing)(void);                 // what to install, or NULL; NULL: it is always there
  bool (*build)(Session *s, const Building *b); // false after reporting; NULL: there is nothing to build
  const char *(*machine)(Session *s);           // triple that it makes code for, or NULL; NULL: that of this process
  const char *(*version)(void);                 // of what makes the code; NULL: a compiler that has to be asked
} BackEnd;
extern const BackEnd back_ends[];                // a NULL name ends them
const BackEnd *back_end_named(const char *name); // NULL: there is none
// The first given of the options that say for which machine LLVM makes code ("--target"), or NULL.
const char *backend_machine_option(const Session *s);
// What --backend, --jit and --target ask for, or NULL after reporting. `use`: those that are allowed.
const BackEnd *session_back_end(Session *s, unsigned use);
// The LLVM back end's object (LLVM_OBJ), text or bitcode of a program. triple: NULL = --target, or this machine. False
// after reporting.
SY_MUST_USE bool backend_emit(Session *s, const Program *p, const char *prefix, int kind, bool glue, const char *triple,
                              Buf *out);
// Links dir/PREFIX.o, an object of the LLVM back end, without a C compiler. False after reporting.
SY_MUST_USE bool backend_link(Session *s, CcKind kind, const char *object, const char *triple, const char *result);
// The model of a program, compiled by LLVM and loaded into this process; *handle is for llvm_unload. NULL after
// reporting.
struct sy_model;
const struct sy_model *backend_load(Session *s, const Program *p, void **handle);

/* temp.c: what must not stay behind
 * ------------------------------------------------------------------------------------- */
// A new folder, beside `beside` (so that a rename into place cannot cross file systems) or in $TMPDIR if NULL. It is
// removed with its content by temp_remove, at exit, and on signals that end us. NULL after reporting.
SY_MUST_USE char *temp_dir(Session *s, const char *beside);
void temp_remove(const char *dir);
void temp_say(const char *text); // on a signal that ends us, to standard error; must stay; NULL: nothing
void temp_guard(void);           // from here on signals remove folders and unfinished files, and end what runs for us
// Runs a program in a process group of its own and waits; $TMPDIR is `dir` for it, if given. As cc_spawn.
int temp_spawn(const char *const *argv, const char *stdout_file, const char *dir);
int temp_run(const char *const *argv); // the same for a program of the user's, at the terminal

/* weights.c, checkpoint.c
 * ------------------------------------------------------------------------------------------------------------ */
struct StFile;
struct StTensor;
typedef struct Checkpoint { // one or more files, later ones win; {0} has none
  struct StFile **file;
  size_t n, cap;
  const char *strip; // what the names in the files have in front of ours, or NULL
  const char *add;   // what ours have in front of theirs, or NULL
  Arena *arena;      // the session's
  // What the page's rename rules made of it (checkpoint_rename.c).
  const struct WeightAlias *alias;
  const struct StTensor *const *used; // tensors that stand for weights of other names
  size_t nalias, nused;
  size_t nmade;         // files at the end that hold weights made of others
  struct StFile *fresh; // one of the files: weights that begin new, whatever the others have (checkpoint_new.c)
  struct StFile *begun; // another: adapters that begin new (checkpoint_adapters.c)
} Checkpoint;
// A WeightSource over a checkpoint. Types: F32, F16, BF16, F64 tensors of the right shape.
WeightSource checkpoint_source(Checkpoint *c);
// Opens files of any kind, and indexes of shards (.json). False after reporting.
SY_MUST_USE bool checkpoint_open(Session *s, Checkpoint *c, const char *const *path, size_t n);
void checkpoint_close(Checkpoint *c);
// Missing and mis-shaped tensors, with near names; with `leftovers` also those that nothing asks for: an error in
// modules that the model uses, else a note. False after errors. If the names are there below one prefix only, or by a
// rename of the page, the checkpoint has them from here on.
SY_MUST_USE bool checkpoint_check(Session *s, Checkpoint *c, const Program *p, bool leftovers);
SY_MUST_USE bool checkpoint_check_module(Session *s, Checkpoint *c, const Module *m, bool leftovers); // as elaborated
// Packs into `path` with a progress bar. False after reporting.
SY_MUST_USE bool weights_pack(Session *s, const Program *p, const char *path, const Checkpoint *c);
SY_MUST_USE bool weights_pack_into(Session *s, const Program *p, NewFile *out, const char *path,
                                   const Checkpoint *c); // not in place
// Deterministic weights for a module, written as safetensors: matrices uniform with the deviation of 1/sqrt(fan-in),
// "norm"-like vectors near 1, biases small. The same on every machine.
SY_MUST_USE bool weights_init(Session *s, const Module *m, int64_t seed, const char *path);
// Fills n floats with seeded values in [-1, 1); used for inputs too.
void seeded_floats(uint64_t seed, const char *name, float *dst, size_t n);

#endif

// stage.h: a `train` stage of a page: what is trained by which objective, optimiser and schedule, on which data.
//
//   train pairs from language {                       Stage {.name = "pairs", .from = "language",
//     objective pretrain                                .objective = {{"pretrain", 1}},
//     only "*mlp_text*", "*norm2_text*"                 .pattern = {{"*mlp_text*", PATTERN_only}, ..},
//     adamw_hf(lr = 2e-4, betas = [0.9, 0.98])          .optimiser = "adamw_hf", .hyper = {.lr = 2e-4, ..},
//     group "*bias*", rank = 1: decay = 0               .group = {{.glob = {"*bias*"}, .rank = 1, .decay = 0, ..}},
//     schedule linear(warmup = 2500, steps = 200000)    .schedule = {.kind = SCHEDULE_linear, .warmup = 2500, ..},
//     batch 1024                                        .batch = 1024,
//     text, mlm_labels: mask_words(mask = 103)          .input = {{{"text", "mlm_labels"}, use of mask_words}}}
//   }
//
// A stage is a list of lines (StageLine), which the front end and the parser of IR text make; stage_take checks them
// against stage.def and fills the record from them, so that pages and text have one meaning. Module.stage has the
// stages that were asked for. stage_rate, stage_group and stage_trains are pure functions of the record.
#ifndef SY_STAGE_H
#define SY_STAGE_H

#include "base/base.h"
#include "ir_lex.h"

/* Lines: what a page says, evaluated. Numbers are doubles: whole ones are exact up to 2^53. */
typedef enum StageValueKind { SV_NUMBER, SV_TRUTH, SV_WORD, SV_TEXT, SV_LIST, SV_CALL } StageValueKind;
typedef struct StageArg StageArg;
typedef struct StageValue {
  StageValueKind kind;
  double number;    // SV_NUMBER; SV_TRUTH: 0 or 1
  const char *text; // SV_WORD, SV_TEXT; the name of an SV_CALL
  const StageArg *item;
  size_t n; // SV_LIST, SV_CALL
  Span span;
} StageValue;
struct StageArg {
  const char *name; // NULL: none
  StageValue value;
};
typedef enum StageWord {
#define STAGE_WORD(word, often, doc) STAGE_##word,
#include "stage.def"
  STAGE_WORD_COUNT
} StageWord;
typedef struct StageWordInfo {
  const char *name;
  bool many; // lines of a stage
  const char *doc;
} StageWordInfo;
extern const StageWordInfo stage_word[STAGE_WORD_COUNT];
typedef struct StageLine { // WORD arg, arg ..: more, more ..
  StageWord word;
  const StageArg *arg, *more;
  size_t narg, nmore;
  Span span;
} StageLine;

/* Tables of stage.def */
typedef enum StageFamily { FAMILY_OPTIMISER, FAMILY_SCHEDULE, FAMILY_SAMPLER } StageFamily;
typedef struct StageCall { // an optimiser, a schedule or a sampler
  const char *name;
  StageFamily family;
  size_t least, most; // inputs of a sampler
  const char *doc;
} StageCall;
extern const StageCall stage_call[];
extern const size_t stage_call_count;
typedef struct StageParam {
  const char *name;
  enum { PARAM_REAL, PARAM_COUNT, PARAM_TRUTH, PARAM_CHOICE, PARAM_NAME, PARAM_REALS, PARAM_COUNTS } kind;
  double least, most;
  const char *absent; // text of the value where a page says nothing; NULL: it must be said
  const char *words;
  uint64_t calls; // bit 1 << number in stage_call
  const char *doc;
} StageParam;
extern const StageParam stage_param[];
extern const size_t stage_param_count;

/* The record. Names and globs are in the arena of the module. */
typedef struct StageUse { // a call with all its parameters in the order of the table, those not said too
  const StageCall *call;  // NULL: there is none
  const StageParam *const *param;
  const StageValue *value;
  size_t n;
} StageUse;
typedef struct StageObjective {
  const char *name;
  double weight;
  Span span;
} StageObjective;
typedef enum PatternKind { PATTERN_freeze, PATTERN_only, PATTERN_adapt } PatternKind;
typedef struct StageAdapter { // of PATTERN_adapt: y = x W^T + alpha / rank * dropout(x) A^T B^T
  int64_t rank;
  double alpha, dropout;
} StageAdapter;
typedef struct StagePattern { // the last that matches a name counts
  const char *glob;           // * and ?, of the name in the checkpoint
  PatternKind kind;
  StageAdapter adapter;
  Span span;
} StagePattern;
typedef struct StageGlob {
  const char *glob;
  Span span;
} StageGlob;
typedef struct StageGroup { // of weights that match a glob or have the rank; of two groups the later counts
  const StageGlob *glob;
  size_t nglob;
  int rank; // -1: none. A scalar has rank 0
  bool has_decay, has_lr;
  double decay; // instead of the optimiser's
  double lr;    // factor of the stage's
} StageGroup;
typedef struct StageLayers { // layer i of `depth`: lr times scale ^ (depth - i); what is `first`: scale ^ (depth + 1)
  StageGlob layer;           // with one {i}; glob NULL: none
  const StageGlob *first;    // wins over `layer`
  size_t nfirst;
  double scale;
  int64_t depth;
} StageLayers;
typedef struct StageHyper {
  double lr, beta1, beta2, eps, decay; // of sgd, beta1 is its momentum
} StageHyper;
typedef enum ScheduleKind {
  SCHEDULE_constant,
  SCHEDULE_linear,
  SCHEDULE_cosine,
  SCHEDULE_poly,
  SCHEDULE_exponential
} ScheduleKind;
typedef enum ScheduleRise { RISE_zero, RISE_one, RISE_closed } ScheduleRise;
typedef struct StageSchedule { // constant without a line
  ScheduleKind kind;
  bool by_epoch, whole;
  ScheduleRise rise;
  double warmup;        // steps; below 1: share of all steps
  double warmup_epochs; // or so many epochs
  uint64_t stairs;
  double from, to, power, rate;
  uint64_t steps; // its length; both 0: the stage's
  double epochs;
} StageSchedule;
typedef struct StageInput { // inputs of the objective that a sampler makes; all others come from the data as they are
  const char *const *name;
  size_t n;
  StageUse from;
  Span span;
} StageInput;
typedef struct Stage {
  const char *name, *from; // from: the stage whose result this one begins with, or NULL
  const char *about;       // the comment above it, "" if none
  Span span;
  const StageLine *line; // what was said
  size_t nline;
  VEC(StageObjective) objective;
  VEC(StageGlob) given; // names of inputs
  VEC(StagePattern) pattern;
  const char *optimiser; // name in optimisers.def
  StageHyper hyper;
  VEC(StageGroup) group;
  StageLayers layers;
  StageSchedule schedule;
  uint64_t steps; // of the stage; 0: epochs says
  double epochs;
  uint64_t batch, micro, accumulate; // samples; parts; batches: 0, 1, 1 where nothing is said
  double clip;                       // 0: never
  double average;                    // rate of the averages; 0: there are none
  const char *averaged;       // "{name}_ema": what they are called; NULL: the file has them under the weights' names
  uint64_t evaluate;          // every so many steps; 0: never
  const char *const *measure; // accuracy vqa recall words
  size_t nmeasure;
  VEC(StageInput) input;
} Stage;

// Checks the lines of s and fills the record. False after reporting to diag (codes E0140 to E0142, at spans of the
// lines).
SY_MUST_USE bool stage_take(Arena *a, Diag *diag, Stage *s);
// A word of a page that begins a line; STAGE_WORD_COUNT if there is none.
StageWord stage_word_by_name(const char *name);
const char *stage_schedule_name(ScheduleKind k);
const StageCall *stage_call_by_name(const char *name, StageFamily family); // NULL if there is none
// The value of a parameter, which the call must have.
const StageValue *stage_value(const StageUse *u, const char *param);
double stage_number(const StageUse *u, const char *param); // REAL, COUNT; TRUTH: 0 or 1

// The learning rate of the update number `step`, counted from 0, where an epoch has so many updates (at least 1).
double stage_rate(const Stage *s, uint64_t step, uint64_t steps_per_epoch);
// Updates of the whole stage.
uint64_t stage_length(const Stage *s, uint64_t steps_per_epoch);
// Is a weight of this name trained?
bool stage_trains(const Stage *s, const char *name);
bool stage_patterns_train(const StagePattern *pattern, size_t n,
                          const char *name); // no `only` and no `adapt` among them: all others are
// The pattern by which a weight of this name gets an adapter, NULL: none.
const StagePattern *stage_patterns_adapt(const StagePattern *pattern, size_t n, const char *name);
// What is wrong with the numbers of an adapter, in the arena; NULL: nothing.
const char *stage_adapter_problem(Arena *a, const StageAdapter *x);
typedef struct StageShare {
  double lr;    // factor of stage_rate
  double decay; // weight decay
} StageShare;
StageShare stage_group(const Stage *s, const char *name, int rank);
// The number of the layer that a name belongs to by a pattern with {i}, "blocks.{i}.*"; -1: to none.
int64_t stage_layer(const char *pattern, const char *name);

/* text (stage_text.c): `stage "pairs" from "language" { .. }` in the IR, a line each */
void stage_print(const Stage *s, Buf *out);
// Behind the word `stage`. Lines are read and taken. False after reporting.
SY_MUST_USE bool stage_parse(Arena *a, IrLex *l, Stage *s);
// One value, "[0.9, 0.999]". False after reporting to the lexer's diag.
SY_MUST_USE bool stage_parse_value(Arena *a, IrLex *l, StageValue *v);

#endif

// check_generate.c: one `generate` case: the search loop of host/generate.c over the two entry points that the compiler
// derived, run in the way that `syc check` was asked for. Ids must be equal, scores within the
// tolerance of the case.
#include "check.h"
#include "codegen/generates.h"
#include "host/generate.h"
#include "host/words.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Search {
  Check *c;
  CheckResult *r;
  Call *call;
  int32_t batch_sym, length_sym;
  size_t *in_bytes[2], *out_bytes[2];
} Search;

static const Graph *entry(const Call *call, bool step) {
  return call->program->route.at[step].graph;
}

// Bytes of a tensor that a call with so many sequences has: the search allots no more.
static size_t bytes_in_use(const Search *s, const Graph *g, Val v, size_t bytes, size_t rows) {
  const Type *t = &graph_value(g, v)->type;
  bool by_row = t->rank && t->dim[0].k == 1 && t->dim[0].sym == s->batch_sym;
  return by_row ? bytes / (size_t)type_extent(g->module, t, 0) * rows : bytes;
}

// A call on another machine takes and gives whole buffers, as large as the bounds say.
static bool call_whole(Search *s, const Graph *g, Call *call, size_t rows) {
  void **given = call->out;
  call->out = ARENA_ARRAY(&s->c->s->arena, void *, g->output.n + 1);
  for (size_t i = 0; i < g->input.n; i++) {
    void *copy = check_zeros(s->c, call->in_bytes[i]);
    memcpy(copy, call->in[i], bytes_in_use(s, g, g->input.at[i].val, call->in_bytes[i], rows));
    call->in[i] = copy;
  }
  for (size_t i = 0; i < g->output.n; i++) {
    call->out[i] = check_zeros(s->c, call->out_bytes[i]);
    memcpy(call->out[i], given[i], bytes_in_use(s, g, g->output.at[i].val, call->out_bytes[i], rows));
  }
  if (!check_run(s->c, call, s->r)) return false;
  for (size_t i = 0; i < g->output.n; i++)
    memcpy(given[i], call->out[i], bytes_in_use(s, g, g->output.at[i].val, call->out_bytes[i], rows));
  return true;
}

static bool call_entry(void *ud, bool step, size_t rows, size_t length, const void *const *in, void *const *out) {
  Search *s = ud;
  Call call = *s->call;
  const Graph *g = entry(&call, step);
  call.route = step;
  call.dims[s->batch_sym] = (int64_t)rows;
  call.dims[s->length_sym] = (int64_t)length;
  call.in = ARENA_ARRAY(&s->c->s->arena, const void *, g->input.n + 1);
  call.out = ARENA_ARRAY(&s->c->s->arena, void *, g->output.n + 1);
  for (size_t i = 0; i < g->input.n; i++) call.in[i] = in[i];
  for (size_t i = 0; i < g->output.n; i++) call.out[i] = out[i];
  call.in_bytes = s->in_bytes[step];
  call.out_bytes = s->out_bytes[step];
  return check_is_foreign(s->c) ? call_whole(s, g, &call, rows) : check_run(s->c, &call, s->r);
}

static const WordsTensor *tensors_of(Search *s, const Graph *g, const Port *list, const sy_port *port, size_t n,
                                     size_t **bytes) {
  WordsTensor *t = ARENA_ARRAY(&s->c->s->arena, WordsTensor, n + 1);
  *bytes = ARENA_ARRAY(&s->c->s->arena, size_t, n + 1);
  for (size_t i = 0; i < n; i++) {
    const Type *type = &graph_value(g, list[i].val)->type;
    (*bytes)[i] = (size_t)type_bytes(g->module, type);
    bool by_row = type->rank && type->dim[0].k == 1 && type->dim[0].sym == s->batch_sym;
    t[i] = (WordsTensor){list[i].name, (*bytes)[i], by_row ? (size_t)type_extent(g->module, type, 0) : 0, port[i]};
  }
  return t;
}

static WordsEntry entry_of(Search *s, const sy_generate *x, bool step) {
  const Graph *g = entry(s->call, step);
  const sy_port *in = step ? x->step_in : x->start_in, *out = step ? x->step_out : x->start_out;
  WordsEntry e = {.ninput = g->input.n, .noutput = g->output.n};
  e.input = tensors_of(s, g, g->input.at, in, g->input.n, &s->in_bytes[step]);
  e.output = tensors_of(s, g, g->output.at, out, g->output.n, &s->out_bytes[step]);
  return e;
}

// The generate of a name, whose routes are the two of the program; NULL: there is none.
static const sy_generate *find_generate(const Call *call, Arena *a, const char *name) {
  size_t n;
  const sy_generate *all = program_generates(call->program, a, &n);
  for (size_t i = 0; name && i < n; i++)
    if (!strcmp(all[i].name, name) && call->program->route.n == 2 && !all[i].start && all[i].step == 1) return &all[i];
  return NULL;
}

static const Type *role_type(const Graph *g, const Port *list, Role role) { // generates_verify: there is one
  while (list->role != role) list++;
  return &graph_value(g, list->val)->type;
}

// The inputs that the case gives, by input of the start; and the number of sequences.
static const void **fill(Check *c, const Case *k, Search *s, const Checkpoint *tensors, CheckResult *r) {
  const Graph *g = entry(s->call, false);
  const Module *m = g->module;
  const void **in = ARENA_ARRAY(&c->s->arena, const void *, g->input.n + 1);
  uint32_t known = 0;
  const char *why = NULL;
  for (size_t i = 0; i < m->ndim; i++) s->call->dims[i] = m->dim[i].lo;
  for (int store = 0; store < 2; store++)
    for (size_t i = 0; i < g->input.n; i++) {
      const char *name = g->input.at[i].name;
      const Type *t = &graph_value(g, g->input.at[i].val)->type;
      if (g->input.at[i].role != ROLE_data) continue; // the search fills it
      const StTensor *x = check_tensor(k, tensors, "inputs", name);
      if (!x || !check_same_dtype(t->dtype, x->dtype)) {
        check_settle(c, r, FAIL, "the case has no fitting tensor for input '%s'", name);
        return NULL;
      }
      if (store) {
        in[i] = check_input(c, m, t, x, s->call->dims);
      } else if (!layout_dims(m, t, x, s->call->dims, &known, &why)) {
        check_settle(c, r, FAIL, "input '%s': %s", name, why);
        return NULL;
      }
    }
  return in;
}

// The words that every sequence starts from: [batch][n].
static int32_t *prompt_of(Check *c, const Case *k, const Checkpoint *tensors, const char *prompt, int64_t *batch,
                          int64_t *n, const GenerateOptions *o, CheckResult *r) {
  if (prompt) {
    const StTensor *x = check_tensor(k, tensors, "inputs", prompt);
    if (!x || x->dtype != ST_I32 || x->rank != 2) {
      check_settle(c, r, FAIL, "the case has no prompt '%s'", prompt);
      return NULL;
    }
    *batch = x->shape[0];
    *n = x->shape[1];
    int32_t *ids = ARENA_ARRAY(&c->s->arena, int32_t, (size_t)(*batch * *n) + 1);
    memcpy(ids, x->data, (size_t)(*batch * *n) * sizeof *ids);
    return ids;
  }
  *n = o->masked ? 2 : 1;
  int32_t *ids = ARENA_ARRAY(&c->s->arena, int32_t, (size_t)(*batch * *n) + 1);
  for (int64_t b = 0; b < *batch; b++) {
    ids[b * *n] = o->start_id;
    if (o->masked) ids[b * *n + 1] = o->mask_id;
  }
  return ids;
}

// Is the search that the case was made with the one that the page asks for?
static bool same_rule(const cJSON *g, unsigned asked) {
  static const char *const names[RULE_COUNT] = {[RULE_next_word] = "hf", [RULE_masked_word] = "beit3"}; // of cases
  const char *rule = json_text(g, "rule");
  return !rule || !strcmp(names[asked], rule);
}

static void override(const cJSON *g, GenerateOptions *o) {
  o->beams = (int64_t)json_number(g, "beams", (double)o->beams);
  o->max_length = (int64_t)json_number(g, "max_length", (double)o->max_length);
  o->min_length = (int64_t)json_number(g, "min_length", (double)o->min_length);
  o->length_penalty = json_number(g, "length_penalty", o->length_penalty);
  o->start_id = (int32_t)json_number(g, "bos", o->start_id);
  o->end_id = (int32_t)json_number(g, "eos", o->end_id);
  o->pad_id = (int32_t)json_number(g, "pad", o->pad_id);
  o->mask_id = (int32_t)json_number(g, "mask", o->mask_id);
}

static bool compare(Check *c, const Case *k, const Checkpoint *tensors, int64_t batch, int64_t length,
                    const int32_t *ids, const float *score, CheckResult *r) {
  const cJSON *want;
  cJSON_ArrayForEach(want, cJSON_GetObjectItemCaseSensitive(k->json, "outputs")) {
    bool is_ids = !strcmp(want->string, "ids");
    const StTensor *x = check_tensor(k, tensors, "outputs", want->string);
    bool fits = x && x->shape[0] == batch && x->rank == (is_ids ? 2 : 1) && (!is_ids || x->shape[1] == length);
    if (!fits || x->dtype != (is_ids ? ST_I32 : ST_F32) || (!is_ids && strcmp(want->string, "score") != 0))
      return check_settle(c, r, FAIL, "output '%s' has another shape or type in the case", want->string);
    size_t n = (size_t)(is_ids ? batch * length : batch);
    const char *shape = is_ids ? arena_printf(&c->s->arena, "i32[%lld,%lld]", (long long)batch, (long long)length)
                               : arena_printf(&c->s->arena, "f32[%lld]", (long long)batch);
    check_compare(c, k, want->string, shape, is_ids ? DT_I32 : DT_F32, is_ids ? (const void *)ids : score, x, n, r);
  }
  return true;
}

// The inputs of the start from sequence `first` on.
static const void **inputs_from(const Search *s, const void *const *in, size_t first) {
  const Graph *g = entry(s->call, false);
  const void **from = ARENA_ARRAY(&s->c->s->arena, const void *, g->input.n + 1);
  for (size_t i = 0; i < g->input.n; i++) {
    size_t bytes = s->in_bytes[0][i], one = bytes_in_use(s, g, g->input.at[i].val, bytes, 1);
    from[i] = !in[i] || one == bytes ? in[i] : (const char *)in[i] + first * one;
  }
  return from;
}

typedef struct Sentences { // what is asked for, and what comes out
  int64_t count, length;   // sequences; words of the prompt
  const int32_t *prompt;   // [count][length]
  int32_t *ids;            // [count][max_length]
  float *score;            // [count]
} Sentences;

// As many sequences at a time as the model takes with their beams: a search does not know what stands beside it.
static bool search_all(Search *s, const WordsInfo *info, const void *const *in, const GenerateOptions *o,
                       const Sentences *all) {
  int64_t most = o->beams > 0 ? (int64_t)info->batch_bound / o->beams : 1;
  if (most < 1) most = 1;
  for (int64_t at = 0; at < all->count; at += most) {
    int64_t n = all->count - at < most ? all->count - at : most;
    HostError err = {0};
    const char *why = NULL;
    Words *run = words_new(info, inputs_from(s, in, (size_t)at), &err);
    if (!run) return check_settle(s->c, s->r, FAIL, "%s", err.text);
    GenerateModel model = words_model(run);
    bool ok = generate(&model, o, n, all->prompt + at * all->length, all->length, all->ids + at * o->max_length,
                       all->score + at, &why);
    words_free(run);
    if (!ok && s->r->reason) return false;
    if (!ok) return check_settle(s->c, s->r, FAIL, "the search failed: %s", why ? why : "no reason given");
  }
  return true;
}

static bool search(Check *c, const Case *k, Loaded *f, Call *call, CheckResult *r) {
  const Module *m = call->program->module;
  const sy_generate *x = find_generate(call, &c->s->arena, json_text(k->json, "route"));
  Search s = {.c = c, .r = r, .call = call};
  if (!x) return check_settle(c, r, FAIL, "the route is no generate");
  const Graph *start = entry(call, false);
  const Type *t = role_type(start, start->input.at, ROLE_words);
  s.batch_sym = t->dim[0].sym;
  s.length_sym = t->dim[1].sym;
  WordsInfo info = {.start = entry_of(&s, x, false), .step = entry_of(&s, x, true), .call = call_entry, .ud = &s};
  info.batch_bound = (size_t)type_extent(m, t, 0);
  info.length_bound = (size_t)type_extent(m, t, 1);
  info.vocab = (size_t)role_type(start, start->output.at, ROLE_scores)->dim[1].c;
  GenerateOptions o;
  words_options(x, (int64_t)info.length_bound, &o);
  const cJSON *how = cJSON_GetObjectItemCaseSensitive(k->json, "generate");
  if (!same_rule(how, x->rule))
    return check_settle(c, r, FAIL, "the page searches by %s, the case by rule '%s'", rule_info[x->rule].name,
                        json_text(how, "rule"));
  override(how, &o);
  const void **in = fill(c, k, &s, &f->tensors, r);
  Sentences all = {.count = in ? call->dims[s.batch_sym] : 0};
  all.prompt = in ? prompt_of(c, k, &f->tensors, x->prompt, &all.count, &all.length, &o, r) : NULL;
  if (!all.prompt) return false;
  all.ids = ARENA_ARRAY(&c->s->arena, int32_t, (size_t)(all.count * o.max_length) + 1);
  all.score = ARENA_ARRAY(&c->s->arena, float, (size_t)all.count + 1);
  return search_all(&s, &info, in, &o, &all) &&
         compare(c, k, &f->tensors, all.count, o.max_length, all.ids, all.score, r);
}

void check_generate(Check *c, const Case *k, CheckResult *r) {
  Loaded f = {0};
  Call call;
  const char *why = check_cannot_run(c);
  if (why)
    check_settle(c, r, SKIP, "%s", why);
  else if (check_load(c, k, &f, &call, r)) {
    search(c, k, &f, &call, r);
    unlink(call.packed);
  }
  checkpoint_close(&f.weights);
  checkpoint_close(&f.tensors);
  session_flush(c->s);
  c->s->diag.errors = 0; // the next case starts anew
  c->s->exit_code = EXIT_OK;
}

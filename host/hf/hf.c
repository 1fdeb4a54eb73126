// hf.c - see hf.h: a file as a whole, and a text's way through it.
#include "hf_parts.h"

#include <stdlib.h>
#include <string.h>

/* what stands around a text ------------------------------------------------------------------------------------------
 */
static bool around(HostHf *t, const HfStep *s, HostError *err) {
  for (size_t i = 0; i < s->n; i++)
    if (!around(t, &s->step[i], err)) return false;
  size_t nbefore = t->nbefore + s->before.n, nafter = t->nafter + s->after.n;
  int32_t *before = hf_new(&t->pool, (nbefore + 1) * sizeof *before),
          *after = hf_new(&t->pool, (nafter + 1) * sizeof *after);
  if (!before || !after) return host_no_memory(err);
  if (s->before.n) memcpy(before, s->before.id, s->before.n * sizeof *before);
  if (t->nbefore) memcpy(before + s->before.n, t->before, t->nbefore * sizeof *before);
  if (t->nafter) memcpy(after, t->after, t->nafter * sizeof *after);
  if (s->after.n) memcpy(after + t->nafter, s->after.id, s->after.n * sizeof *after);
  t->before = before, t->nbefore = nbefore;
  t->after = after, t->nafter = nafter;
  return true;
}

static bool has_token(const HostHf *t, int32_t id) {
  size_t n;
  return host_hf_token(t, id, &n) != NULL;
}

static bool read_ends(HostHf *t, const HfNode *at, HostError *err) {
  if (!hf_read_step(at, &hf_post_processor, &t->pool, &t->post_processor, err)) return false;
  if (!around(t, &t->post_processor, err)) return false;
  for (size_t i = 0; i < t->nbefore + t->nafter; i++) {
    int32_t id = i < t->nbefore ? t->before[i] : t->after[i - t->nbefore];
    if (!has_token(t, id))
      return hf_fail(at, err, "it puts id %d around texts, which is no token of the vocabulary", (int)id);
  }
  return true;
}

static bool read_truncation(HostHf *t, const HfNode *at, HostError *err) {
  HfNode direction = hf_member(at, "direction"), most = hf_member(at, "max_length"),
         strategy = hf_member(at, "strategy"), stride = hf_member(at, "stride");
  size_t skip;
  if (!at->v || hf_is(at->v, HF_NULL)) return true;
  if (!hf_only(at, " direction max_length strategy stride ", "truncation", err) ||
      !hf_count(&most, 1u << 30, &t->longest, err) || !hf_count(&stride, 1u << 30, &skip, err))
    return false;
  const char *how = strategy.v && hf_is(strategy.v, HF_TEXT) ? strategy.v->text : "";
  const char *from = !direction.v ? "Right" : hf_is(direction.v, HF_TEXT) ? direction.v->text : "";
  if (strcmp(how, "LongestFirst") != 0 && strcmp(how, "OnlyFirst") != 0)
    return hf_fail(&strategy, err, "this must be LongestFirst or OnlyFirst (OnlySecond is of pairs of texts)");
  if (strcmp(from, "Right") != 0 && strcmp(from, "Left") != 0)
    return hf_fail(&direction, err, "this must be Right or Left");
  t->truncated = true;
  t->cut_left = *from == 'L';
  if (t->longest <= t->nbefore + t->nafter)
    return hf_fail(&most, err, "%zu leaves no room between the %zu tokens around a text", t->longest,
                   t->nbefore + t->nafter);
  return skip < t->longest - t->nbefore - t->nafter ||
         hf_fail(&stride, err, "this must be less than what is left of a text");
}

static bool read_padding(HostHf *t, const HfNode *at, HostError *err) {
  HfNode strategy = hf_member(at, "strategy"), direction = hf_member(at, "direction"),
         multiple = hf_member(at, "pad_to_multiple_of"), id = hf_member(at, "pad_id"),
         type = hf_member(at, "pad_type_id"), fixed = hf_member(&strategy, "Fixed");
  size_t pad, unused;
  if (!at->v || hf_is(at->v, HF_NULL)) return true;
  if (!hf_only(at, " strategy direction pad_to_multiple_of pad_id pad_type_id pad_token ", "padding", err))
    return false;
  const char *to = direction.v && hf_is(direction.v, HF_TEXT) ? direction.v->text : "";
  bool batch = strategy.v && hf_is(strategy.v, HF_TEXT) && !strcmp(strategy.v->text, "BatchLongest");
  if (!batch && (!fixed.v || fixed.v->next))
    return hf_fail(&strategy, err, "this must be \"BatchLongest\" or {\"Fixed\": length}");
  if (!batch && !hf_count(&fixed, 1 << 24, &t->pad_fixed, err)) return false;
  if (strcmp(to, "Right") != 0 && strcmp(to, "Left") != 0)
    return hf_fail(&direction, err, "this must be Right or Left");
  if (multiple.v && !hf_is(multiple.v, HF_NULL) && !hf_count(&multiple, 1 << 24, &t->pad_multiple, err)) return false;
  if (!hf_count(&id, INT32_MAX - 1, &pad, err) || !hf_count(&type, UINT32_MAX, &unused, err)) return false;
  t->pad = true;
  t->pad_left = *to == 'L';
  t->pad_id = (int32_t)pad;
  return has_token(t, t->pad_id) || hf_fail(&id, err, "%zu is no token of the vocabulary", pad);
}

/* loading ------------------------------------------------------------------------------------------------------------
 */
static bool index_ids(HostHf *t, HostError *err) {
  t->size = t->model.vocab.n;
  for (size_t i = 0; i < t->nadded; i++)
    if ((size_t)t->added[i].id >= t->size) t->size = (size_t)t->added[i].id + 1;
  t->by_id = hf_new(&t->pool, (t->size + 1) * sizeof *t->by_id);
  if (!t->by_id) return host_no_memory(err);
  for (size_t i = 0; i < t->size; i++) t->by_id[i] = -1;
  for (size_t i = 0; i < t->nadded; i++) t->by_id[t->added[i].id] = (int32_t)i;
  return true;
}

static bool read_file(HostHf *t, const HfValue *json, HostError *err) {
  HfNode all = {.v = json};
  HfNode version = hf_member(&all, "version"), normalizer = hf_member(&all, "normalizer"),
         cut = hf_member(&all, "pre_tokenizer"), post = hf_member(&all, "post_processor"),
         decoder = hf_member(&all, "decoder"), model = hf_member(&all, "model"),
         added = hf_member(&all, "added_tokens"), truncation = hf_member(&all, "truncation"),
         padding = hf_member(&all, "padding");
  if (!hf_only(&all, " version truncation padding added_tokens normalizer pre_tokenizer post_processor decoder model ",
               "a tokenizer", err))
    return false;
  if (version.v && (!hf_is(version.v, HF_TEXT) || strcmp(version.v->text, "1.0") != 0))
    return hf_fail(&version, err, "only \"1.0\" is read");
  t->word_at_start = hf_regex_new(&t->pool, hf_word_at_start, strlen(hf_word_at_start), err);
  return t->word_at_start && hf_read_step(&normalizer, &hf_normalizer, &t->pool, &t->normalizer, err) &&
         hf_read_step(&cut, &hf_pre_tokenizer, &t->pool, &t->pre_tokenizer, err) &&
         hf_read_step(&decoder, &hf_decoder, &t->pool, &t->decoder, err) &&
         hf_read_model(&t->model, &t->pool, &model, err) && hf_read_added(t, &added, err) && index_ids(t, err) &&
         read_ends(t, &post, err) && read_truncation(t, &truncation, err) && read_padding(t, &padding, err);
}

HostHf *hf_of_tree(const HfValue *json, HostError *err) {
  HostError why = {.text = ""};
  HostHf *t = calloc(1, sizeof *t);
  bool ok = t || host_no_memory(&why);
  ok = ok && read_file(t, json, &why);
  if (ok) return t;
  host_hf_free(t);
  if (err) *err = why;
  return NULL;
}

HostHf *host_hf_load_memory(const char *bytes, size_t n, HostError *err) {
  HfPool tree = {0};
  const HfValue *json = hf_parse(&tree, bytes, n, err);
  HostHf *t = json ? hf_of_tree(json, err) : NULL;
  hf_pool_free(&tree);
  return t;
}

void host_hf_free(HostHf *t) {
  if (!t) return;
  hf_pool_free(&t->pool);
  free(t);
}

size_t host_hf_size(const HostHf *t) {
  return t->size;
}

int32_t host_hf_id(const HostHf *t, const char *token) {
  int32_t k = strmap_find(&t->by_content, token, strlen(token));
  return k >= 0 ? t->added[k].id : hf_vocab_id(&t->model.vocab, token, strlen(token));
}

static HfStr token_of(const HostHf *t, int32_t id) { // as decoding has it
  if (id < 0 || (size_t)id >= t->size) return (HfStr){0};
  if (t->by_id[id] >= 0) return t->added[t->by_id[id]].shown;
  return (size_t)id < t->model.vocab.n ? t->model.vocab.token[id] : (HfStr){0};
}

const char *host_hf_token(const HostHf *t, int32_t id, size_t *bytes) {
  HfStr s = token_of(t, id);
  if (s.s && t->by_id[id] >= 0) s = t->added[t->by_id[id]].content;
  *bytes = s.n;
  return s.s;
}

HostHfEnds host_hf_ends(const HostHf *t) {
  return (HostHfEnds){t->before, t->after, t->nbefore, t->nafter};
}

int32_t host_hf_pad(const HostHf *t) {
  static const char *const name[] = {"[PAD]", "<pad>", "<|pad|>"};
  int32_t id = t->pad ? t->pad_id : -1;
  for (size_t i = 0; id < 0 && i < sizeof name / sizeof *name; i++) id = host_hf_id(t, name[i]);
  return id;
}

size_t host_hf_longest(const HostHf *t, bool *left) {
  *left = t->cut_left;
  return t->truncated ? t->longest : 0;
}

const char *host_hf_joins(const HostHf *t) {
  return t->model.prefix.n ? t->model.prefix.s : NULL;
}

bool host_hf_pads_left(const HostHf *t) {
  return t->pad && t->pad_left;
}

/* encoding -----------------------------------------------------------------------------------------------------------
 */
bool hf_add_id(HfRun *run, int32_t id) {
  if (run->ids.n == run->room) {
    size_t room = 2 * run->room + 32;
    int32_t *all = realloc(run->ids.id, room * sizeof *all);
    if (!all) return host_no_memory(run->err);
    run->ids.id = all;
    run->room = room;
  }
  run->ids.id[run->ids.n++] = id;
  return true;
}

void hf_run_free(HfRun *run) {
  free(run->matches.at);
  hf_scratch_free(run->scratch);
  hf_heap_free(run->heap);
  hf_pool_free(&run->pool);
  host_ids_free(&run->ids);
}

// Pieces of a text: added tokens, and normalised text between them.
static bool extract(HfRun *run, const char *s, size_t n, HfPieces *out) {
  const HostHf *t = run->t;
  HfPieces raw = {0};
  size_t len = 0;
  if (n) hf_char(s, &len);
  bool ok = hf_find_added(t, &t->raw, run, s, (HfPiece){0, n, len, -1}, &raw) &&
            (hf_put(&out->text, "", 0) || host_no_memory(run->err));
  for (size_t i = 0; i < raw.n && ok; i++) {
    HfPiece p = raw.at[i];
    HfText text = {0};
    if (p.id >= 0) {
      ok = hf_add_piece(out, p) || host_no_memory(run->err);
      continue;
    }
    ok = hf_put(&text, raw.text.s + p.at, p.n) || host_no_memory(run->err);
    text.zero = p.zero;
    ok = ok && hf_normalise(&t->normalizer, run, &text);
    ok = ok && hf_find_added(t, &t->normal, run, text.s, (HfPiece){0, text.n, text.zero, -1}, out);
    free(text.s);
  }
  hf_pieces_free(&raw);
  return ok;
}

static bool plain_ids(HfRun *run, const char *s, size_t n) {
  const HostHf *t = run->t;
  HfPieces pieces = {0};
  bool ok = extract(run, s, n, &pieces) && hf_cut_all(&t->pre_tokenizer, run, &pieces);
  for (size_t i = 0; i < pieces.n && ok; i++) {
    HfPiece p = pieces.at[i];
    ok = p.id >= 0 ? hf_add_id(run, p.id) : t->model.kind->ids(&t->model, run, pieces.text.s + p.at, p.n);
  }
  hf_pieces_free(&pieces);
  return ok;
}

// What the file puts around the ids, truncated and padded.
static bool finish(HfRun *run) {
  const HostHf *t = run->t;
  size_t ends = t->nbefore + t->nafter, n = run->ids.n, from = 0;
  if (t->truncated && n + ends > t->longest) n = t->longest - ends;
  if (t->cut_left) from = run->ids.n - n;
  size_t length = n + ends, to = t->pad && t->pad_fixed > length ? t->pad_fixed : length;
  if (t->pad && t->pad_multiple && to % t->pad_multiple) to += t->pad_multiple - to % t->pad_multiple;
  HostIds all = {.id = malloc((to + 1) * sizeof *all.id)};
  if (!all.id) return host_no_memory(run->err);
  for (size_t i = length; i < to && t->pad_left; i++) all.id[all.n++] = t->pad_id;
  for (size_t i = 0; i < t->nbefore; i++) all.id[all.n++] = t->before[i];
  for (size_t i = 0; i < n; i++) all.id[all.n++] = run->ids.id[from + i];
  for (size_t i = 0; i < t->nafter; i++) all.id[all.n++] = t->after[i];
  while (all.n < to) all.id[all.n++] = t->pad_id;
  host_ids_free(&run->ids);
  run->ids = all;
  return true;
}

bool host_hf_encode(const HostHf *t, const char *text, size_t n, bool special, HostIds *out, HostError *err) {
  HostError why = {.text = ""};
  HfRun run = {.t = t, .err = &why};
  HostText mended = {0};
  char *s = NULL;
  bool ok = n <= HOST_MAX_TEXT || host_fail(&why, "the text has more than %d bytes", (int)HOST_MAX_TEXT);
  *out = (HostIds){0};
  if (ok && !host_is_utf8(text, n)) {
    ok = (host_text_from_utf8(&mended, text, n) && (s = host_text_to_utf8(&mended, &n))) || host_no_memory(&why);
    host_text_free(&mended);
  }
  ok = ok && plain_ids(&run, s ? s : text, n) && (!special || finish(&run));
  free(s);
  if (ok) {
    *out = run.ids;
    run.ids = (HostIds){0};
    if (!out->id) ok = (out->id = malloc(sizeof *out->id)) || host_no_memory(&why);
  }
  hf_run_free(&run);
  if (!ok && err) *err = why;
  return ok;
}

/* decoding -----------------------------------------------------------------------------------------------------------
 */
static bool is_special(const HostHf *t, HfStr token) {
  int32_t k = strmap_find(&t->by_content, token.s, token.n);
  return k >= 0 && t->added[k].special;
}

char *host_hf_decode(const HostHf *t, const int32_t *id, size_t n, bool skip_special, size_t *bytes, HostError *err) {
  HostError why = {.text = ""};
  HfRun run = {.t = t, .err = &why};
  HfWords words = {.at = hf_new(&run.pool, (n + 1) * sizeof *words.at)};
  HfStr all = {0};
  char *s = NULL;
  bool ok = words.at || host_no_memory(&why);
  for (size_t i = 0; i < n && ok; i++) {
    HfStr token = token_of(t, id[i]);
    if (token.s && !(skip_special && is_special(t, token))) words.at[words.n++] = token;
  }
  ok = ok && hf_spell(&t->decoder, &run, &words, &all);
  if (ok && !(s = malloc(all.n + 1))) host_no_memory(&why);
  if (s) memcpy(s, all.s, all.n + 1);
  if (s && bytes) *bytes = all.n;
  hf_run_free(&run);
  if (!s && err) *err = why;
  return s;
}

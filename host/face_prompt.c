// face_prompt.c - the ids that the sentences of a generate begin with: of --text, of --input PROMPT=ids.npy, or the
// page's own. One for all items, or one for each; they may have different lengths.
//
// A file of ids is i32 or i64, [N] for one prompt or [items, N]. Behind a shorter prompt stands padding: the page's
// pad, or negative numbers.
//
//   ./blip a.jpg b.jpg --text "a photo of" --text "the" --vocab vocab.txt
//   ./blip a.jpg b.jpg --input prompt=ids.npy --vocab vocab.txt
#include "face_parts.h"

#include <stdlib.h>
#include <string.h>

typedef struct Maker {
  FaceRun *r;
  const FaceWords *w;
  const GenerateOptions *how;
  size_t table; // ids that the model has
  FacePrompts *out;
} Maker;

void face_prompts_free(FacePrompts *p) {
  for (size_t i = 0; i < p->n; i++) host_ids_free(&p->at[i]);
  free(p->at);
  *p = (FacePrompts){0};
}

static bool make_room(const Maker *m, size_t n, HostError *err) {
  m->out->at = calloc(n + 1, sizeof *m->out->at);
  if (m->out->at) m->out->n = n;
  return m->out->at || host_no_memory(err);
}

// The tokenizer that makes prompts and spells the words, if a vocabulary is given; it must be of the page's kind.
static bool load_tokenizer(const Maker *m, const sy_prepare *p, HostError *err) {
  FaceRun *r = m->r;
  if (!r->args->vocab) return true;
  if (p && face_is_tokenizer(p->kind)) {
    if (!face_load_vocabulary(r, p, err)) return false;
  } else if (!r->tokenizer && !(r->tokenizer = host_tokenizer_load(r->args->vocab, NULL, err))) {
    r->usage = false;
    return false;
  }
  r->how = face_tokenizer_options(r->tokenizer, p ? p->options : "");
  size_t have =
      host_tokenizer_ids(r->tokenizer, &r->how); // a table may be longer: ids that a model adds, rows of padding
  if (have <= m->table) return true;
  r->usage = false;
  return host_fail(err, "%.200s has %zu tokens, the model's table of words %zu: it is the vocabulary of another model",
                   r->args->vocab, have, m->table);
}

// Ids of n numbers at `id`, without the padding behind them.
static bool of_row(const Maker *m, size_t row, const int32_t *id, size_t n, HostError *err) {
  HostIds *ids = &m->out->at[row];
  while (n > 1 && (id[n - 1] < 0 || id[n - 1] == m->how->pad_id)) n--;
  bool masked = m->how->masked && (!n || id[n - 1] != m->how->mask_id); // the word to be chosen
  if (!n || n + masked >= (size_t)m->how->max_length)
    return host_fail(err, "prompt %zu has %zu ids; there must be one, and room for a word within %lld", row, n,
                     (long long)m->how->max_length);
  if (!(ids->id = malloc((n + 1) * sizeof *id))) return host_no_memory(err);
  for (; ids->n < n; ids->n++) {
    if (id[ids->n] < 0 || (size_t)id[ids->n] >= m->table)
      return host_fail(err, "prompt %zu: id %zu is %d, and the model has %zu", row, ids->n, (int)id[ids->n], m->table);
    ids->id[ids->n] = id[ids->n];
  }
  if (masked) ids->id[ids->n++] = m->how->mask_id;
  return true;
}

static bool of_array(const Maker *m, const FaceArray *a, HostError *err) {
  size_t rows = a->rank == 2 ? a->dim[0] : 1, n = a->rank ? a->dim[a->rank - 1] : 0;
  if (a->dtype != 'i' || (a->rank != 1 && a->rank != 2) || !rows || !n)
    return host_fail(err, "a prompt is ids, i32 or i64, of shape [N] or [items, N]");
  if (!make_room(m, rows, err)) return false;
  for (size_t k = 0; k < rows; k++)
    if (!of_row(m, k, (const int32_t *)a->data + k * n, n, err)) return false;
  return true;
}

static bool of_sentences(const Maker *m, const sy_prepare *p, HostError *err) {
  FaceRun *r = m->r;
  char usual[400] = "";
  const FaceList *text = &r->args->text;
  size_t n = text->n ? text->n : 1;
  if (!r->tokenizer) return host_fail(err, "the prompt needs the tokenizer's vocabulary: --vocab FILE (%s)", p->kind);
  if (face_option(p->options, "default", usual, sizeof usual) && usual[0] == '"') { // a string in quotes
    size_t len = strlen(usual);
    memmove(usual, usual + 1, len - 1);
    usual[len > 1 ? len - 2 : 0] = 0;
  }
  HostTokenizerOptions plain = r->how, how;
  face_text_options(r, p->options);
  how = r->how;
  r->how = plain; // the words of the answer have other ends
  how.end = (int32_t)face_option_number(p->options, "end", -1);
  how.max_length = (size_t)m->how->max_length - 1;
  if (!make_room(m, n, err)) return false;
  for (size_t k = 0; k < n; k++) {
    const char *s = text->n ? text->at[k] : usual;
    bool cut = false;
    if (!host_tokenizer_encode(r->tokenizer, s, strlen(s), &how, &m->out->at[k], &cut, err)) return false;
    if (!m->out->at[k].n) return host_fail(err, "the prompt '%.60s' has no tokens", s);
    if (cut) face_note_cut(s, how.max_length);
  }
  return true;
}

bool face_prompts_make(FaceRun *r, const FaceWords *w, const GenerateOptions *how, const WordsInfo *info,
                       FacePrompts *out, HostError *err) {
  Maker m = {r, w, how, info->vocab, out};
  const char *prompt = w->is->prompt;
  const sy_prepare *p = face_prepare(r->info, prompt ? prompt : w->start->input[face_words_input(w)].name);
  if (!load_tokenizer(&m, p, err)) return false;
  if (r->prompt.data) {
    r->usage = false; // it is the file's fault
    if (!of_array(&m, &r->prompt, err)) return false;
    r->usage = true;
    return true;
  }
  if (prompt && (!p || !face_is_tokenizer(p->kind)))
    return host_fail(err, "the page does not say how %s is made: --input %s=FILE.npy has its ids", prompt, prompt);
  if (prompt) return of_sentences(&m, p, err);
  const int32_t start[2] = {how->start_id, how->mask_id};
  return make_room(&m, 1, err) && of_row(&m, 0, start, how->masked ? 2 : 1, err);
}

// face_text.c - sentences and labels of a compiled model: its vocabulary, how text is cut, how many names there must
// be.
//
// What a vocabulary file cannot say (whether sentences are put into lower case, how many ids the model has) the page
// says, and the command line may say otherwise; what contradicts the file is noted. The sizes are compared before
// anything runs.
//
//   prepare text: bert_wordpiece(length = 40, lower = true, vocab = 30522)
#include "face_parts.h"

#include "common/text.h"

#include <stdio.h>
#include <string.h>

bool face_is_tokenizer(const char *kind) {
  for (int k = HOST_CLIP_BPE; k <= HOST_SENTENCEPIECE; k++)
    if (!strcmp(kind, host_tokenizer_name((HostTokenizerKind)k))) return true;
  return false;
}

void face_note_cut(const char *sentence, size_t most) {
  text_line(stderr, "note: '%.40s%s' is longer than %zu tokens and was cut", sentence,
            strlen(sentence) > 40 ? "..." : "", most);
}

/* upper and lower case ------------------------------------------------------------------------------------------------
 */
typedef enum { BY_OPTION, BY_PAGE, BY_VOCABULARY } Decider;
static const char *const decider[] = {[BY_OPTION] = "the command line says so",
                                      [BY_PAGE] = "the page says so",
                                      [BY_VOCABULARY] = "so the vocabulary looks"};

static bool lower_case(const FaceArgs *a, const char *options, const HostTokenizer *t, Decider *by) {
  char text[8];
  *by = BY_OPTION;
  if (a->cased || a->uncased) return a->uncased;
  *by = BY_PAGE;
  if (face_option(options, "lower", text, sizeof text)) return strcmp(text, "false") != 0;
  *by = BY_VOCABULARY;
  return host_tokenizer_options(t).lower;
}

// Says that page and vocabulary do not fit together, or that nobody said what a few capitals mean.
static void note_case(const FaceRun *r, const sy_prepare *p) {
  Decider by;
  size_t capitals, lettered = host_wordpiece_lettered(r->tokenizer->wordpiece, &capitals);
  bool lower = lower_case(r->args, p->options, r->tokenizer, &by);
  bool cased = host_wordpiece_looks_cased(r->tokenizer->wordpiece), odd = by == BY_PAGE && lower == cased;
  if (r->quiet || !(odd || (by == BY_VOCABULARY && capitals))) return;
  text_line(stderr,
            "note: sentences %s (%s), and %.200s has capitals in %zu of %zu pieces with letters; --cased and --uncased "
            "decide",
            lower ? "are put into lower case" : "keep their capitals", decider[by], r->args->vocab, capitals, lettered);
}

HostTokenizerOptions face_tokenizer_options(const HostTokenizer *t, const char *options) {
  char text[16];
  HostTokenizerOptions o = host_tokenizer_options(t);
  if (face_option(options, "xlmr", text, sizeof text)) o.xlmr = strcmp(text, "false") != 0;
  for (HostClean c = 0; face_option(options, "clean", text, sizeof text) && c < HOST_CLEANS; c++)
    if (!strcmp(text, host_clean_name(c))) o.clean = c;
  return o;
}

HostTokenizerOptions face_sentence_options(const HostTokenizer *t, const FaceArgs *a, const char *options) {
  Decider by;
  HostTokenizerOptions o = face_tokenizer_options(t, options);
  o.start = (int32_t)face_option_number(options, "start", o.start);
  o.end = (int32_t)face_option_number(options, "end", o.end);
  o.pad = (int32_t)face_option_number(options, "pad", o.pad);
  o.lower = lower_case(a, options, t, &by);
  return o;
}

void face_text_options(FaceRun *r, const char *options) {
  r->how = face_sentence_options(r->tokenizer, r->args, options);
}

/* the vocabulary ------------------------------------------------------------------------------------------------------
 */
// What a page says about case, and what a tokenizer.json does.
static void note_own_case(const FaceRun *r, const sy_prepare *p) {
  char text[8];
  int lowers = host_hf_lowers(r->tokenizer->hf);
  if (r->quiet || lowers < 0 || !face_option(p->options, "lower", text, sizeof text)) return;
  if ((strcmp(text, "false") != 0) == lowers) return;
  text_line(stderr, "note: sentences %s, as %.200s says; the page says lower = %s",
            lowers ? "are put into lower case" : "keep their capitals", r->args->vocab, text);
}

// Has the vocabulary as many ids as the model? CLIP's own ends are its last two, so there it is that or nothing, and
// the page's end says it too; tables of the others may be longer, by ids that a model adds and rows of padding.
static bool fits(FaceRun *r, const sy_prepare *p, HostError *err) {
  bool exact = !strcmp(p->kind, host_tokenizer_name(HOST_CLIP_BPE));
  double said = face_option_number(p->options, "vocab", exact ? face_option_number(p->options, "end", -1) + 1 : 0);
  HostTokenizerOptions how = face_tokenizer_options(r->tokenizer, p->options);
  size_t have = host_tokenizer_ids(r->tokenizer, &how), want = said >= 1 && said < 1e9 ? (size_t)said : 0;
  if (!want || have == want) return true;
  if (exact || have > want)
    return host_fail(err, "%.200s has %zu tokens, the model %zu: it is not the vocabulary of this model",
                     r->args->vocab, have, want);
  if (!r->quiet && have < want - want / 100)
    text_line(stderr, "note: %.200s has %zu tokens, the model %zu: is it the vocabulary of this model?", r->args->vocab,
              have, want);
  return true;
}

// The ends of a sentence that the page leaves to the vocabulary must be in it: without them every sentence is another.
static bool has_ends(const FaceRun *r, const sy_prepare *p, HostError *err) {
  static const char *const end[][2] = {{"start", "[CLS]"}, {"end", "[SEP]"}};
  char said[16];
  for (size_t i = 0; i < 2; i++) {
    if (face_option(p->options, end[i][0], said, sizeof said)) continue;
    HostTokenizerOptions own = host_tokenizer_options(r->tokenizer);
    if (r->tokenizer->hf && (i ? own.end : own.start) == -1)
      return host_fail(err, "%.200s puts nothing at the %s of a sentence, where the model has a token", r->args->vocab,
                       end[i][0]);
    if (r->tokenizer->wordpiece && host_wordpiece_id(r->tokenizer->wordpiece, end[i][1]) < 0)
      return host_fail(err, "%.200s has no line %s, which the model puts at the %s of a sentence", r->args->vocab,
                       end[i][1], end[i][0]);
  }
  return true;
}

bool face_load_vocabulary(FaceRun *r, const sy_prepare *p, HostError *err) {
  if (!r->args->vocab) return host_fail(err, "sentences need the tokenizer's vocabulary: --vocab FILE (%s)", p->kind);
  if (r->tokenizer) // for another input of the route
    return host_tokenizer_serves(r->tokenizer, p->kind) ||
           host_fail(err, "%.200s is a vocabulary of %s, %s needs one of %s", r->args->vocab,
                     host_tokenizer_name(r->tokenizer->kind), p->name, p->kind);
  bool pieces = !strcmp(p->kind, host_tokenizer_name(HOST_WORDPIECE));
  if (!pieces && (r->args->cased || r->args->uncased))
    return host_fail(err, "--cased and --uncased go with vocabularies of WordPiece, and this model has one of %s",
                     p->kind);
  r->usage = false;
  r->tokenizer = host_tokenizer_load(r->args->vocab, p->kind, err);
  if (!r->tokenizer || !fits(r, p, err)) return false;
  if (pieces && !has_ends(r, p, err)) return false;
  r->usage = true;
  if (r->tokenizer->hf && (r->args->cased || r->args->uncased))
    return host_fail(err, "--cased and --uncased go with a vocab.txt; %.200s says itself what becomes of capitals",
                     r->args->vocab);
  if (r->tokenizer->hf) note_own_case(r, p);
  if (r->tokenizer->wordpiece) note_case(r, p);
  return true;
}

bool face_describe_vocabulary(const sy_info *info, const FaceArgs *a, HostError *err) {
  for (unsigned i = 0; a->vocab && i < info->nprepare; i++) {
    const sy_prepare *p = &info->prepare[i];
    if (!face_is_tokenizer(p->kind)) continue;
    FaceRun r = {.info = info, .args = a};
    Decider by;
    bool ok = face_load_vocabulary(&r, p, err);
    if (ok) {
      HostTokenizerOptions cut = face_tokenizer_options(r.tokenizer, p->options);
      bool lower = lower_case(a, p->options, r.tokenizer, &by), pieces = r.tokenizer->wordpiece != NULL;
      const char *kind = r.tokenizer->hf ? host_tokenizer_name(HOST_TOKENIZER_JSON) : p->kind;
      const char *how = !pieces ? "" : lower ? ", uncased: in lower case, without accents" : ", cased: as written";
      text_line(stdout, "vocabulary of %s: %s, %s, %zu tokens%s%s%s%s", p->name, a->vocab, kind,
                host_tokenizer_ids(r.tokenizer, &cut), how, pieces ? " (" : "", pieces ? decider[by] : "",
                pieces ? ")" : "");
    }
    host_tokenizer_free(r.tokenizer);
    if (!ok) return false;
  }
  return true;
}

/* names of classes ----------------------------------------------------------------------------------------------------
 */
bool face_labels_fit(const FaceRun *r, HostError *err) {
  for (unsigned o = 0; r->labels && r->labels->count && o < r->route->noutput; o++) {
    const sy_tensor *t = &r->route->output[o];
    if (!face_prepare_is(r->info, t->name, "labels") || !t->rank || t->axis[t->rank - 1].dim >= 0) continue;
    size_t have = r->labels->count, want = (size_t)t->axis[t->rank - 1].constant;
    if (have == want) continue;
    return host_fail(err, "%.200s has %zu labels, and %s has %zu classes%s", r->args->labels, have, t->name, want,
                     have == want + 1   ? "; is the first label a background that the model does not have?"
                     : have + 1 == want ? "; is the model's first class a background that the labels leave out?"
                                        : "");
  }
  return true;
}

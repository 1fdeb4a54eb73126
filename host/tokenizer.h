// tokenizer.h - any tokenizer behind one interface; which one is told by the vocabulary file itself, and compared with
// what the caller wants.
//
// A tokenizer.json says itself how text is cut, so it serves whatever kind is wanted.
//
//   HostTokenizer *t = host_tokenizer_load("vocab.txt", "bert_wordpiece", &err); // or bpe_simple_vocab_16e6.txt.gz, ..
//   HostTokenizerOptions how = host_tokenizer_options(t);               // what its models put around a text
//   host_tokenizer_encode(t, "a cat", 5, &how, &ids, &cut, &err);
//   char *s = host_tokenizer_decode(t, ids.id, ids.n, &how, &bytes, &err);    // special ids are left out
#ifndef SWITCHYARD_HOST_TOKENIZER_H
#define SWITCHYARD_HOST_TOKENIZER_H

#include "common/must_use.h"
#include "bpe.h"
#include "hf/hf.h"
#include "sentencepiece.h"
#include "wordpiece.h"

// The first three are kinds of a page's preparation.
typedef enum HostTokenizerKind {
  HOST_CLIP_BPE,
  HOST_WORDPIECE,
  HOST_SENTENCEPIECE,
  HOST_TOKENIZER_JSON
} HostTokenizerKind;
typedef struct HostTokenizer {
  HostTokenizerKind kind;
  HostBpe *bpe;
  HostWordPiece *wordpiece;
  HostSpm *spm;
  HostHf *hf;
} HostTokenizer;

// What is done to a text before any tokenizer sees it.
typedef enum HostClean {
  HOST_CLEAN_NOTHING,
  HOST_CLEAN_LOWER,     // lower case, each character by itself
  HOST_CLEAN_CANONICAL, // and without ASCII's punctuation; each run of blanks is one, none at the ends
  HOST_CLEANS
} HostClean;
const char *host_clean_name(HostClean clean); // as the pages call it: "nothing", "lower", "canonical"

enum { HOST_OWN_ENDS = -2 }; // for `start`, `end`: all that a tokenizer.json puts there, which is more than one id

typedef struct HostTokenizerOptions {
  int32_t start, end; // ids put around the text; -1 = none
  size_t max_length;  // longest result; the text is cut, `end` survives; 0 = no limit
  size_t pad_to;      // shortest result
  int32_t pad;
  HostClean clean;
  bool fix_text; // CLIP: repair damaged text
  bool xlmr;     // SentencePiece: ids of XLM-R
  bool lower;    // WordPiece: in lower case, without accents (a tokenizer.json does as it says)
} HostTokenizerOptions;

// kind: the name of the only kind that will do, besides a tokenizer.json; NULL: any. NULL on error. A vocab.json is
// read with the merges.txt beside it, and tokenizer_config.json stands for the tokenizer.json or vocab.json beside it.
SY_MUST_USE HostTokenizer *host_tokenizer_load(const char *path, const char *kind, HostError *err);
// The same from the n bytes of a file, which may be freed afterwards.
SY_MUST_USE HostTokenizer *host_tokenizer_load_memory(const char *bytes, size_t n, const char *kind, HostError *err);
void host_tokenizer_free(HostTokenizer *t);
const char *
host_tokenizer_name(HostTokenizerKind kind); // as the pages call it: "clip_bpe", "bert_wordpiece", "sentencepiece"
bool host_tokenizer_serves(const HostTokenizer *t, const char *kind); // can it fill what a page prepares so?
size_t host_tokenizer_size(const HostTokenizer *t);                   // number of ids; of SentencePiece those of XLM-R
size_t host_tokenizer_ids(const HostTokenizer *t, const HostTokenizerOptions *how); // number of ids, by the options

// Start, end and padding of the models that use this kind: CLIP's own; [CLS], [SEP], [PAD]; <s>, </s>, <pad>. lower:
// what the vocabulary looks like.
HostTokenizerOptions host_tokenizer_options(const HostTokenizer *t);

// cut (may be NULL): true if the text was longer than max_length.
SY_MUST_USE bool host_tokenizer_encode(const HostTokenizer *t, const char *text, size_t n,
                                       const HostTokenizerOptions *how, HostIds *out, bool *cut, HostError *err);
// Does this id join the piece before it to one word? -1: this kind does not say (only WordPiece marks such pieces).
int host_tokenizer_joins(const HostTokenizer *t, int32_t id);

// Text of ids; the options' start, end and pad and other special ids are left out, and with WordPiece, XLM-R and
// tokenizer.json ids outside the vocabulary, which a model may have added. malloc'd.
SY_MUST_USE char *host_tokenizer_decode(const HostTokenizer *t, const int32_t *id, size_t n,
                                        const HostTokenizerOptions *how, size_t *bytes, HostError *err);

#endif

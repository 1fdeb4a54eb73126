// hf_parts.h - what the files of host/hf share. A file becomes a tree of steps (HfStep), each of a kind (HfKind) that a
// table of its section lists with the fields it reads; a text goes through them as pieces of one buffer (HfPieces).
#ifndef SWITCHYARD_HOST_HF_PARTS_H
#define SWITCHYARD_HOST_HF_PARTS_H

#include "hf.h"
#include "host/strmap.h"
#include "host/text.h"

typedef struct HfRun HfRun; // one call
typedef struct HfStr {
  const char *s;
  size_t n;
} HfStr;

/* hf_pool.c: memory of a loaded file, and of one call. All of it goes at once. --------------------------------------
 */
typedef struct HfBlock HfBlock;
typedef struct HfPool {
  HfBlock *head;
} HfPool;
void *hf_new(HfPool *p, size_t bytes); // zeroed; NULL without memory
// Calls drop(object) when the pool is freed. False without memory: then it has been called.
SY_MUST_USE bool hf_own(HfPool *p, void *object, void (*drop)(void *));
void hf_pool_free(HfPool *p);
bool hf_copy(HfPool *p, const char *s, size_t n, HfStr *out); // with a zero byte behind

/* hf_text.c: texts and pieces of them -------------------------------------------------------------------------------
 */
// A text on its way. zero: how many of its first bytes come from the very first character of what was given, by the
// library's alignments (Metaspace's scheme "first" asks for it).
typedef struct HfText {
  char *s;
  size_t n, room, zero;
} HfText;
typedef struct HfPiece { // bytes [at, at + n) of a text; id >= 0: they are that token
  size_t at, n, zero;
  int32_t id;
} HfPiece;
typedef struct HfPieces {
  HfText text;
  HfPiece *at;
  size_t n, room;
} HfPieces;
typedef struct HfMatch { // of a pattern, or what lies between two
  size_t at, end;
  bool is;
} HfMatch;
typedef struct HfMatches {
  HfMatch *at;
  size_t n, room;
} HfMatches;
typedef enum HfBehaviour { HF_REMOVED, HF_ISOLATED, HF_PREVIOUS, HF_NEXT, HF_CONTIGUOUS } HfBehaviour;

SY_MUST_USE bool hf_put(HfText *t, const char *s, size_t n); // false without memory, or above the limit
SY_MUST_USE bool hf_put_char(HfText *t, uint32_t c);
SY_MUST_USE bool hf_add_piece(HfPieces *p, HfPiece piece); // an empty one is left out
SY_MUST_USE bool hf_add_match(HfMatches *m, size_t at, size_t end, bool is);
// Cuts `piece`, whose bytes are the last of out's text, at the matches, which cover it (they count from its begin).
SY_MUST_USE bool hf_cut(HfPieces *out, HfPiece piece, HfMatches *m, HfBehaviour how);
uint32_t hf_char(const char *s, size_t *len); // the character at s, of UTF-8
void hf_pieces_free(HfPieces *p);

/* hf_regex.c: regular expressions as Oniguruma reads them, by PCRE2 --------------------------------------------------
 */
typedef struct HfRegex HfRegex;
// err: what in the pattern is refused, and why.
HfRegex *hf_regex_new(HfPool *pool, const char *pattern, size_t n, HostError *err);
// All matches in s and what lies between them. False: memory, or too many steps.
SY_MUST_USE bool hf_regex_all(const HfRegex *r, HfRun *run, const char *s, size_t n, HfMatches *out);
typedef struct HfScratch HfScratch; // what matching needs, once a call
void hf_scratch_free(HfScratch *s);
extern const char hf_word_pattern[];  // \w+|[^\w\s]+
extern const char hf_gpt2_pattern[];  // ByteLevel's own
extern const char hf_word_at_start[]; // \A\w

typedef struct HfPattern { // a literal or a regular expression
  HfStr literal;
  HfRegex *regex;
} HfPattern;
SY_MUST_USE bool hf_pattern_all(const HfPattern *p, HfRun *run, const char *s, size_t n, HfMatches *out);

/* hf_json.c: the file as a tree ---------------------------------------------------------------------------------------
 */
typedef enum HfType { HF_NULL, HF_FALSE, HF_TRUE, HF_NUMERAL, HF_TEXT, HF_LIST, HF_OBJECT } HfType;
typedef struct HfValue {
  struct HfValue *next, *child; // of the same list or object; the first in it
  const char *key, *text;       // in an object; of a string
  double number;
  size_t n; // of those in it
  HfType type;
} HfValue;
const HfValue *hf_parse(HfPool *pool, const char *bytes, size_t n, HostError *err); // NULL on error
static inline bool hf_is(const HfValue *v, HfType type) {                           // false of what is absent
  return v && v->type == type;
}
static inline bool hf_is_bool(const HfValue *v) {
  return hf_is(v, HF_TRUE) || hf_is(v, HF_FALSE);
}

/* hf_read.c: the values of the file -----------------------------------------------------------------------------------
 */
typedef struct HfNode { // a value and where it stands
  const HfValue *v;
  const struct HfNode *up;
  const char *key; // NULL: an element of a list
  size_t index;
} HfNode;
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
bool hf_fail(const HfNode *at, HostError *err, const char *fmt, ...); // "normalizer.normalizers[1]: ..."
HfNode hf_member(const HfNode *up, const char *key); // v NULL if it is absent; null is a value
SY_MUST_USE bool hf_count(const HfNode *at, size_t most, size_t *out, HostError *err);
SY_MUST_USE bool hf_text_of(const HfNode *at, HfPool *pool, HfStr *out, HostError *err);
// Refuses members that are not among `keys`, which blanks separate and surround, and members given twice.
SY_MUST_USE bool hf_only(const HfNode *at, const char *keys, const char *what, HostError *err);

typedef enum HfFieldType {
  HF_END, // of a list of fields
  HF_BOOL,
  HF_MAYBE,  // true, false or null (-1)
  HF_PASSED, // of offsets alone, which nobody asks for
  HF_STRING,
  HF_CHAR, // a string of one character
  HF_NUMBER,
  HF_PATTERN,
  HF_BEHAVIOUR,
  HF_SCHEME,
  HF_TOKEN, // ["[SEP]", 102]
  HF_CHARSMAP,
  HF_LATER, // read by the kind's `ready`
  HF_STEPS
} HfFieldType;
typedef struct HfField {
  const char *key;
  HfFieldType type;
  int slot, usual; // which flag, string or number of the step; usual: the flag if absent, HF_NEEDED: it must be there
} HfField;
enum { HF_NEEDED = -9, HF_FLAGS = 4, HF_FIELDS = 6, HF_WORDS = 2 };

typedef struct HfStep HfStep;
typedef struct HfWords { // tokens on their way to a text
  HfStr *at;
  size_t n;
} HfWords;
typedef struct HfKind {
  const char *name;
  HfField field[HF_FIELDS];
  bool (*ready)(HfStep *s, HfPool *pool, const HfNode *at, HostError *err); // what the fields alone cannot say; or NULL
  bool (*normal)(const HfStep *s, HfRun *run, const HfText *in, HfText *out);         // normalisers
  bool (*cut)(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out); // pre-tokenizers
  bool (*spell)(const HfStep *s, HfRun *run, HfWords *words);                         // decoders
} HfKind;
typedef struct HfIds {
  const int32_t *id;
  size_t n;
} HfIds;
struct HfStep {
  const HfKind *kind;
  int flag[HF_FLAGS];
  HfStr word[HF_WORDS];
  size_t number[2];
  HfPattern pattern;
  const unsigned char *map; // Precompiled
  size_t map_bytes;
  HfIds before, after; // post-processors
  HfStep *step;        // Sequence
  size_t n;
};
typedef struct HfSection { // of the file: normalizer, pre_tokenizer, ..
  const char *key;
  const HfKind *kind;  // ended by one without a name
  const char *refused; // kinds that are known and refused, between blanks
} HfSection;
extern const HfSection hf_normalizer, hf_pre_tokenizer, hf_post_processor, hf_decoder;
// Reads the step at a node into *out; null and absence leave kind NULL.
SY_MUST_USE bool hf_read_step(const HfNode *at, const HfSection *section, HfPool *pool, HfStep *out, HostError *err);

/* models
 * --------------------------------------------------------------------------------------------------------------- */
typedef struct HfVocab { // strings of all ids of a model
  StrMap map;
  HfStr *token; // by id; s NULL: there is none
  size_t n;     // one more than the greatest id
  size_t count; // strings
} HfVocab;
typedef struct HfModel HfModel;
typedef struct HfModelKind {
  const char *name, *keys; // keys it may have, between blanks
  bool (*read)(HfModel *m, HfPool *pool, const HfNode *at, HostError *err);
  // Adds the ids of one word of n > 0 bytes (n may be 0 for WordLevel).
  bool (*ids)(const HfModel *m, HfRun *run, const char *word, size_t n);
} HfModelKind;
extern const HfModelKind hf_bpe, hf_wordpiece, hf_unigram, hf_wordlevel;
struct HfModel {
  const HfModelKind *kind;
  HfVocab vocab;
  HfStr unk_token, prefix, suffix; // s NULL: none
  int32_t unk;                     // -1: none
  bool fuse_unk, byte_fallback, ignore_merges;
  int32_t byte[256]; // ids of <0x00>, ..; -1: none
  size_t most_chars; // WordPiece
  double *score;     // Unigram, by id
  double unk_score;
  struct HfMerges *merges; // BPE
};
SY_MUST_USE bool hf_read_model(HfModel *m, HfPool *pool, const HfNode *at, HostError *err);
SY_MUST_USE bool hf_read_vocab(HfVocab *v, HfPool *pool, const HfNode *at, HostError *err); // {"the": 7, ..}
// The map of v->token. again: a string may stand there again, and the last counts.
SY_MUST_USE bool hf_index_vocab(HfVocab *v, HfPool *pool, const HfNode *at, bool again, HostError *err);
int32_t hf_vocab_id(const HfVocab *v, const char *s, size_t n); // -1: it is not there
SY_MUST_USE bool hf_read_unknown(HfModel *m, HfPool *pool, const HfNode *at, bool needed, HostError *err);
SY_MUST_USE bool hf_read_flag(const HfNode *at, const char *key, bool *out, HostError *err); // absent, null: unchanged
void hf_find_bytes(HfModel *m);
bool hf_has_bytes(const HfModel *m, const char *s, size_t n); // ids for all of these

/* hf_added.c: tokens that stand for themselves
 * ------------------------------------------------------------------------- */
typedef struct HfAdded {
  HfStr content, shown; // shown: as decoding has it (normalised, if it is found in normalised text)
  int32_t id;
  bool single_word, lstrip, rstrip, normalized, special;
} HfAdded;
typedef struct HfTrie { // what is looked for in one pass: contents to numbers of added tokens
  StrMap map;
  bool first[256]; // bytes that one begins with
  bool any;
} HfTrie;

struct HostHf {
  HfPool pool;
  HfStep normalizer, pre_tokenizer, post_processor, decoder;
  HfModel model;
  HfAdded *added;
  size_t nadded, size;
  HfTrie raw, normal; // looked for before and behind normalisation
  StrMap by_content;  // numbers of added tokens
  int32_t *by_id;     // [size] number of the added token of an id; -1: none
  HfRegex *word_at_start;
  int32_t *before, *after; // the post-processor's ids
  size_t nbefore, nafter;
  bool truncated, cut_left, pad, pad_left;
  size_t longest, pad_fixed, pad_multiple;
  int32_t pad_id;
};
HostHf *hf_of_tree(const HfValue *json, HostError *err); // of a whole tokenizer.json; NULL on error
SY_MUST_USE bool hf_read_added(HostHf *t, const HfNode *at, HostError *err);
// Cuts text s, which becomes pieces of out (whose text is copied), at the tokens of a trie.
SY_MUST_USE bool hf_find_added(const HostHf *t, const HfTrie *trie, HfRun *run, const char *s, HfPiece p,
                               HfPieces *out);

struct HfRun { // one call
  const HostHf *t;
  HostError *err;
  HfPool pool;       // decoding
  HfMatches matches; // reused
  HostIds ids;       // what has been made
  size_t room;
  HfScratch *scratch;  // regular expressions
  struct HfHeap *heap; // BPE
};
void hf_run_free(HfRun *run);
SY_MUST_USE bool hf_add_id(HfRun *run, int32_t id);
void hf_heap_free(struct HfHeap *h);
SY_MUST_USE bool hf_normalise(const HfStep *s, HfRun *run, HfText *t); // t becomes what the steps make of it
SY_MUST_USE bool hf_cut_all(const HfStep *s, HfRun *run, HfPieces *p);
SY_MUST_USE bool hf_spell(const HfStep *s, HfRun *run, HfWords *w, HfStr *out);  // in the pool of the run
bool hf_ready_scheme(HfStep *s, HfPool *pool, const HfNode *at, HostError *err); // of Metaspace, cutting and spelling
// The characters that stand for bytes where a model has no others: those that print stand for themselves, the rest for
// U+0100 and on (GPT-2's table). -1: the character stands for no byte.
uint32_t hf_byte_char(unsigned char b);
int hf_char_byte(uint32_t c);
SY_MUST_USE bool hf_put_bytes(const char *s, size_t n, size_t zero, HfText *out); // each byte by its character

#endif

// wordpiece.h - the WordPiece tokenizer of BERT, as transformers' BertTokenizer (slow, 4.4) cuts text.
//
// The vocabulary is a text file, a piece a line; its number is its id. Words that are special tokens ([CLS] [SEP]
// [MASK] [PAD] [UNK], written exactly so) stay what they are; other text is cleaned of control characters, cut at
// blanks, around Chinese characters and at punctuation, with `lower` in lower case without accents, and each word into
// the longest pieces from the left; a word that cannot be cut, or has more than 100 characters, is
// [UNK]. Read-only after loading.
//
//   HostWordPiece *w = host_wordpiece_load("vocab.txt", &err);
//   host_wordpiece_encode(w, "Unaffable", 9, true, &ids, &err);      // un ##aff ##able
#ifndef SWITCHYARD_HOST_WORDPIECE_H
#define SWITCHYARD_HOST_WORDPIECE_H

#include "common/must_use.h"
#include "bpe.h"

typedef struct HostWordPiece HostWordPiece;

// NULL on error: unreadable, not UTF-8, no [UNK] in it.
SY_MUST_USE HostWordPiece *host_wordpiece_load(const char *path, HostError *err);
SY_MUST_USE HostWordPiece *host_wordpiece_load_memory(const char *bytes, size_t n, HostError *err);
void host_wordpiece_free(HostWordPiece *w);

size_t host_wordpiece_size(const HostWordPiece *w);
// The id of a piece, such as "[CLS]"; -1 if there is none. The piece of an id, NULL outside the vocabulary.
int32_t host_wordpiece_id(const HostWordPiece *w, const char *piece);
const char *host_wordpiece_piece(const HostWordPiece *w, int32_t id);

// Whether text is put into lower case is BertTokenizer's do_lower_case, which no vocabulary says. A page does; where
// nobody does, the vocabulary is taken for a cased one if a tenth of its pieces with Latin letters, and more than one,
// have a capital, those in [] and <> apart: bert-base-cased is such by far, and the <S>, <T> of bert-base-chinese or
// pieces added by hand make none.
bool host_wordpiece_looks_cased(const HostWordPiece *w);
// Of the pieces that count for it: with Latin letters, and with capitals.
size_t host_wordpiece_lettered(const HostWordPiece *w, size_t *capitals);

// Ids of n bytes of UTF-8, without anything around them. lower: in lower case, without accents. Free with
// host_ids_free.
SY_MUST_USE bool host_wordpiece_encode(const HostWordPiece *w, const char *text, size_t n, bool lower, HostIds *out,
                                       HostError *err);

// Text of ids as BertTokenizer.decode gives it: special tokens left out, pieces joined, blanks in front of punctuation
// removed. malloc'd. NULL if an id is outside the vocabulary.
SY_MUST_USE char *host_wordpiece_decode(const HostWordPiece *w, const int32_t *id, size_t n, size_t *bytes,
                                        HostError *err);

// Cleaning of captions and questions in front of the tokenizer. Rules: "albef_caption", "albef_question",
// "blip_caption", "blip_question" (the authors' pre_caption and pre_question); at most max_words words stay. False:
// unknown rule, no memory.
SY_MUST_USE bool host_clean_sentence(const char *rule, size_t max_words, const char *text, size_t n, char **out,
                                     size_t *bytes);

#endif

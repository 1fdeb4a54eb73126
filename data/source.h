// source.h - where samples come from: folders, lines, archives and arrays, indexed once and read by position.
//
//   DataOptions o = {.root = NULL};
//   const char *paths[] = {"train.jsonl"};
//   Data *d = data_open(paths, NULL, 1, &o, &err);
//   DataSample s;
//   if (data_read(d, 17, &s, &err)) {                    // any thread
//     const DataField *f = data_field(&s, "caption captions text");
//     if (f && data_text(f, k, &text)) ...
//   }
//   data_sample_free(&s);
//
//   a folder of class folders     image, label: the number of the class, classes in the order of their names; pictures
//                                 that lie in the folder itself have no label
//   FILE.jsonl, FILE.json         an object a line, or one list of objects: text, numbers, truth values, and lists of
//                                 such; an object inside and null count as left out. Lines that are empty do not count
//   FILE.csv, FILE.tsv            the first line has the names; RFC 4180 quotes. A cell that is left empty is no field
//   FILE.tar, a folder of such    names that are equal up to the first dot of their last part are a sample, as in
//                                 WebDataset; behind the dot stands the field: jpg, png, .. are `image`, `x.jpg` is
//                                 `x`, txt is `text`, cls `label`, json gives its members, npy an array
//   FILE.npy, a folder of such,   arrays by the names of their files, or of the tensors; the first axis counts samples
//   FILE.safetensors
//   IDX files and folders of such image and label, as MNIST and Fashion-MNIST are published, also packed by gzip
//
// A path of a picture is relative to the folder of the file that says it, or to DataOptions.root.
//
// The index of a file of lines is 8 bytes a line, that of an archive 8 bytes a sample, that of a folder the names. What
// is wrong with one sample is an error of data_read and names file and line; what is wrong with a whole file is one of
// data_open.
#ifndef SWITCHYARD_DATA_SOURCE_H
#define SWITCHYARD_DATA_SOURCE_H

#include "ckpt/safetensors.h"
#include "host/image.h"
#include "host/labels.h"
#include "ir/base/base.h"

typedef struct Data Data;

typedef struct DataOptions {
  const char *root;         // of pictures named in lines; NULL: the folder of the file
  const char *split;        // of IDX folders: "train" or "t10k"; NULL: train
  const HostLabels *labels; // names of classes, for labels that are words; NULL: those of the data, sorted
} DataOptions;

typedef enum DataKind {
  DATA_TEXT,    // one or more strings
  DATA_NUMBERS, // one or more numbers
  DATA_FILE,    // a path in text[0]
  DATA_BYTES,   // the content of a file
  DATA_TENSOR   // an array without the axis of samples
} DataKind;

typedef struct DataField {
  const char *name;
  DataKind kind;
  size_t n; // strings, numbers, or bytes
  const char *const *text;
  const double *number;
  const void *bytes;
  StTensor tensor; // data may lie in a mapped file
} DataField;

typedef struct DataSample {
  Arena arena; // what the fields point to
  ArenaMark start;
  DataField *field;
  size_t n;
  const char *where; // "train.jsonl, line 18": for messages
  const char *root;  // of relative paths; "" is here
} DataSample;

// share: how often each source is used (DataAt), 1 .. 1000; NULL: every sample once. NULL with err, which names file
// and line and says what to do. `options` and the labels in it must outlive the Data.
SY_MUST_USE Data *data_open(const char *const *paths, const unsigned *share, size_t n, const DataOptions *options,
                            HostError *err);
void data_close(Data *d);

uint32_t data_count(const Data *d); // samples of all sources; at most 2^32 - 2
// Names of the classes: of folders, of DataOptions.labels, or of labels that are words. count 0: labels are numbers.
const HostLabels *data_classes(const Data *d);
// 64 bits of paths, sizes and counts: another number says that "sample 17" is another one.
uint64_t data_fingerprint(const Data *d);
// For people: a line a source (kind, count, share), fields of its first sample, classes, what was left out, and the
// first of `look` samples (spread over the source) that cannot be read.
void data_describe(const Data *d, size_t look, Buf *out);

// Sample s < data_count, all of it in *out, which is freed after an error too. err->machine: memory or files ran out,
// the sample is not to blame. Thread safe.
SY_MUST_USE bool data_read(const Data *d, uint32_t s, DataSample *out, HostError *err);
// The same into a sample that is {0} or was read before, whose memory is used again (after an error too).
SY_MUST_USE bool data_read_again(const Data *d, uint32_t s, DataSample *out, HostError *err);
void data_sample_free(DataSample *s);

/* the order of an epoch ------------------------------------------------------------------------------------------- */
typedef struct DataAt {
  uint32_t sample;
  uint32_t epoch; // how often the sample was there before: with shares, a small source comes round more often
} DataAt;
// Positions of an epoch: data_count, or with shares as many as it takes until the first source was there once.
uint64_t data_epoch_length(const Data *d);
// What stands at position p of an epoch, in a random order of the seed; shuffle false: in the order of the sources
// (with shares: of each). A pure function.
DataAt data_at(const Data *d, uint64_t seed, uint32_t epoch, uint64_t p, bool shuffle);
// The sample that takes the place of one that cannot be read: the next of its source, round about.
uint32_t data_next(const Data *d, uint32_t sample);

// What a field with the picture is called in files of several makers: "image images image_path file_name".
extern const char data_picture_names[];

/* fields of a sample ---------------------------------------------------------------------------------------------- */
// The first of the names (blanks between) that the sample has; NULL: none.
const DataField *data_field(const DataSample *s, const char *names);
// Number i of a field, from NUMBERS, a TENSOR of numbers, or TEXT that is one. False: it has none, or i >= its numbers.
SY_MUST_USE bool data_number(const DataField *f, size_t i, double *out);
size_t data_numbers(const DataField *f); // how many
// The class of a field: its number, or the place of its word among the classes.
SY_MUST_USE bool data_class(const Data *d, const DataSample *s, const DataField *f, int32_t *out, HostError *err);
// The picture of a field, decoded; of several paths number i (0: of anything else): of a path, of bytes, or of u8
// arrays [H, W], [H, W, C] (C at most 4) and [3, H, W].
SY_MUST_USE bool data_picture(const DataSample *s, const DataField *f, size_t i, HostImage *out, HostError *err);

#endif

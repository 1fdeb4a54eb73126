// source_parts.h - what the files of the sources share; private to source*.c.
//
//   source.c         kinds of sources, their order and shares
//   source_fields.c  fields of a sample
//   source_files.c   reading parts of files, mapping, gzip
//   source_folder.c  folders of pictures
//   source_lines.c   JSONL, lists of JSON, CSV
//   source_tar.c     archives
//   source_arrays.c  .npy, .safetensors, IDX
#ifndef SWITCHYARD_DATA_SOURCE_PARTS_H
#define SWITCHYARD_DATA_SOURCE_PARTS_H

#include "source.h"

#include "host/strmap.h"

#include <cjson/cJSON.h>

enum { DATA_MOST_BYTES = 1 << 30 }; // of a line, a member of an archive, a picture

/* source_files.c -------------------------------------------------------------------------------------------------- */
typedef struct DataFile { // a regular file that may not change while it is used
  const char *path;
  uint64_t size;
} DataFile;
SY_MUST_USE bool data_file_look(DataFile *f, const char *path, HostError *err);
// Bytes [at, at + n) to dst. Opens the file each time: a thousand shards need no thousand descriptors.
SY_MUST_USE bool data_file_read(const DataFile *f, uint64_t at, void *dst, size_t n, HostError *err);
typedef struct DataMap {
  const uint8_t *bytes;
  size_t n;
  bool heap; // unpacked, to be freed
} DataMap;
SY_MUST_USE bool data_map(DataMap *m, const DataFile *f, HostError *err);
// Of a file packed by gzip what is in it, at most `limit` bytes; of any other the file, mapped.
SY_MUST_USE bool data_map_unpacked(DataMap *m, const DataFile *f, size_t limit, HostError *err);
void data_unmap(DataMap *m);

/* a source -------------------------------------------------------------------------------------------------------- */
typedef struct DataIndex { // grows in place, so that a million lines are 8 MB
  uint64_t *at;
  size_t n, room;
} DataIndex;
void data_index_push(DataIndex *x, uint64_t v);
void data_index_end(DataIndex *x, uint64_t end); // pushes the end and gives back what is too much
typedef struct DataGap {                         // lines are more than samples: from sample `first` on by `lines`
  uint32_t first, lines;
} DataGap;
typedef struct DataNames { // different words
  Intern words;
  VEC(const char *) at;
} DataNames;
void data_names_add(DataNames *x, const char *s, size_t n); // n 0: none
typedef struct DataSource DataSource;
typedef struct DataSourceKind {
  const char *name; // for people: "folder of classes"
  bool (*read)(const DataSource *s, uint32_t i, DataSample *out, HostError *err);
  void (*close)(DataSource *s);                         // may be NULL
  void (*classes)(const DataSource *s, DataNames *out); // NULL: labels have to be read for that
} DataSourceKind;
struct DataSource {
  const DataSourceKind *kind;
  Data *data;
  const char *path, *root;
  uint32_t first, count; // samples
  unsigned share;
  const char *note; // what was left out; NULL: nothing
  DataFile file;
  DataIndex index;           // offsets: of lines, objects, first headers; one more than samples
  VEC(DataGap) gap;          // of lines
  const char *const *column; // names of a CSV
  size_t ncolumn;
  char separator;
  const char *names; // of a folder: paths relative to it, each ended by a zero
  struct DataArray *array;
  size_t narray;
  StFile *tensors;
};
struct Data {
  Arena arena; // of the index
  const DataOptions *options;
  DataSource *source;
  size_t nsource, room;
  uint32_t count;
  bool shared;        // shares were given
  HostLabels classes; // names in the arena, or those of the options
  StrMap class_of;    // their numbers
};

// Adds a source of a kind, empty; the openers fill it. Sources of no samples are errors of theirs.
DataSource *data_add(Data *d, const DataSourceKind *kind, const char *path);

SY_MUST_USE bool data_open_folder(Data *d, const char *path, HostError *err);
SY_MUST_USE bool data_open_json(Data *d, const char *path, HostError *err);
SY_MUST_USE bool data_open_csv(Data *d, const char *path, HostError *err);
SY_MUST_USE bool data_open_tar(Data *d, const char *path, HostError *err);
// One array, or those of a folder.
SY_MUST_USE bool data_open_npy(Data *d, const char *path, char *const *files, size_t n, HostError *err);
SY_MUST_USE bool data_open_safetensors(Data *d, const char *path, HostError *err);
SY_MUST_USE bool data_open_idx(Data *d, const char *path, HostError *err);
// Does the folder have IDX files of the split, and which? path of the pictures in out.
bool data_idx_of_folder(const Data *d, const char *folder, char *out, size_t room);
// Does the file begin as IDX does, packed or not?
bool data_is_idx(const DataFile *f);

/* fields ---------------------------------------------------------------------------------------------------------- */
DataField *data_add_field(DataSample *s, const char *name, DataKind kind); // zeroed but for these; name is kept
void data_add_text(DataSample *s, const char *name, const char *text);     // text is kept
void data_add_number(DataSample *s, const char *name, double number);
void data_add_json(DataSample *s, const cJSON *object); // the members; copied
// Array i of the first axis as a field: a view of t, whose data must outlive the sample.
void data_add_row(DataSample *s, const char *name, const StTensor *t, size_t i);
// An array of n bytes of a .npy file as a view. False: err says what is wrong.
SY_MUST_USE bool data_npy_view(const char *path, const void *bytes, size_t n, StTensor *out, HostError *err);

#endif

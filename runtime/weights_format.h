//@ alone
// weights_format.h: the packed weight file, shared by its writer (codegen/pack.c), its reader (engine/engine.c, and so
// every compiled model) and tools. Depends on <stdint.h> and <string.h> alone. A C module carries what is not between
// the lines `alone` and `end`, with its own prefix for sy_weights.
//
//   offset 0            sy_weights_header (48 bytes), in the byte order of the target
//   offset 48           sy_weights_entry[count], in the order of Program.weight
//   a text and zero bytes, in what precision the weights are (sy_weights_precision), up to
//                       data_offset = 48 + 32 * count rounded up to 4096
//   data_offset         data_bytes bytes of data; entry i is data[offset .. offset + bytes), offset a multiple of 64
//   end of file         exactly data_offset + data_bytes
//
// The plan hash names everything that decides the content and the layout of the data area: a program refuses a file
// with another hash. Checksums are over the bytes of an entry; sy_weights_checksum is the definition.
#ifndef SY_WEIGHTS_FORMAT_H
#define SY_WEIGHTS_FORMAT_H

#include <stdint.h>
#include <string.h>

#define SY_WEIGHTS_PAGE 4096u // alignment of the data area in the file

//@ end
#define SY_WEIGHTS_MAGIC "SYWEIGHT"   // 8 bytes, no terminator in the file
#define SY_WEIGHTS_VERSION 2u         // 2: entries say their type
#define SY_WEIGHTS_ENDIAN 0x01020304u // reads as this on a machine of the file's byte order
#define SY_WEIGHTS_ALIGN 64u          // alignment of every entry within the data area

typedef struct sy_weights_header {
  char magic[8];
  uint32_t version;
  uint32_t endian;
  uint64_t plan_hash;
  uint64_t data_offset; // from the start of the file
  uint64_t data_bytes;
  uint64_t count; // entries
} sy_weights_header;

typedef struct sy_weights_entry {
  uint64_t offset; // from data_offset
  uint64_t bytes;
  uint64_t checksum;
  uint64_t type; // of its elements: 'f' f32, 'h' f16, 'y' bf16, 'i' i32, 'b' bytes 0 or 1
} sy_weights_entry;

//@ alone
// Where the data begins in a file of `count` entries.
static inline uint64_t sy_weights_data_offset(uint64_t count) {
  uint64_t n = sizeof(sy_weights_header) + count * sizeof(sy_weights_entry);
  return (n + SY_WEIGHTS_PAGE - 1) / SY_WEIGHTS_PAGE * SY_WEIGHTS_PAGE;
}

//@ end
// 64-bit checksum, for damage and not against an enemy. Eight lanes over 64-bit words in memory order: word w goes to
// lane w % 8 as  lane = rotl(lane ^ word, 29) * M;  a last partial word is filled with zeros; lanes start at (i+1) * M.
// Result: h = bytes; for each lane: h = rotl(h ^ lane, 31) * M; then h ^= h >> 32. Several bytes a cycle.
static inline uint64_t sy_weights_checksum(const void *data, uint64_t bytes) {
  const uint64_t m = UINT64_C(0x9e3779b97f4a7c15);
  const unsigned char *p = (const unsigned char *)data;
  uint64_t lane[8], block[8], h = bytes;
  for (unsigned i = 0; i < 8; i++) lane[i] = (i + 1) * m;
  for (uint64_t at = 0; at < bytes; at += 64) {
    uint64_t n = bytes - at < 64 ? bytes - at : 64;
    if (n < 64) memset(block, 0, sizeof block);
    memcpy(block, p + at, (size_t)n);
    for (unsigned i = 0; i < 8 && 8 * i < n; i++) {
      uint64_t x = lane[i] ^ block[i];
      lane[i] = (x << 29 | x >> 35) * m;
    }
  }
  for (unsigned i = 0; i < 8; i++) {
    uint64_t x = h ^ lane[i];
    h = (x << 31 | x >> 33) * m;
  }
  return h ^ h >> 32;
}

//@ alone
// Reads and checks the header of a file of `bytes` bytes: NULL if it is sound, else what is wrong in a few words.
static inline const char *sy_weights_problem(const void *file, uint64_t bytes, sy_weights_header *h) {
  if (bytes < sizeof *h) return "shorter than its header";
  memcpy(h, file, sizeof *h);
  if (memcmp(h->magic, SY_WEIGHTS_MAGIC, sizeof h->magic) != 0) return "not a packed weight file";
  if (h->version != SY_WEIGHTS_VERSION) return "another version of the format";
  if (h->endian != SY_WEIGHTS_ENDIAN) return "written for the other byte order";
  uint64_t room = bytes - sizeof *h;
  if (h->count > room / sizeof(sy_weights_entry)) return "cut off in its table";
  if (h->data_offset != sy_weights_data_offset(h->count) || h->data_offset > bytes) return "its data area is elsewhere";
  if (h->data_bytes != bytes - h->data_offset) return "its size differs from what the header says";
  return NULL;
}

// In what precision the weights are, by the text behind the table: "int8", or the rules of a set; what has no room is
// cut off. "": f32, or there is no room. The header is one that sy_weights_problem found sound.
static inline const char *sy_weights_precision(const void *file, const sy_weights_header *h) {
  const char *text = (const char *)file + sizeof *h + h->count * sizeof(sy_weights_entry);
  const char *end = (const char *)file + h->data_offset, *at = text;
  while (at < end && *at) at++;
  return at < end ? text : "";
}

//@ end
// Entry i < h->count of a file whose header is sound. NULL, or what is wrong; *data is where its bytes are.
static inline const char *sy_weights_find(const void *file, const sy_weights_header *h, uint64_t i, sy_weights_entry *e,
                                          const void **data) {
  const unsigned char *at = (const unsigned char *)file;
  memcpy(e, at + sizeof *h + i * sizeof *e, sizeof *e);
  if (e->offset % SY_WEIGHTS_ALIGN || e->offset > h->data_bytes || e->bytes > h->data_bytes - e->offset)
    return "lies outside the file";
  *data = at + h->data_offset + e->offset;
  return NULL;
}
//@ alone

#endif
//@ end

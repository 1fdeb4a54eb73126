// zip.h - the entries of a zip archive in memory (also zip64), without copying.
//
// Opening checks the whole directory: every entry lies inside the file, has a local header of the same name, and no two
// entries overlap. What an entry claims about its size is checked when it is inflated: a deflated entry may not be more
// than ZIP_MAX_RATIO times its packed size, which is more than deflate can reach. Encrypted and split archives are
// refused.
#ifndef SWITCHYARD_CKPT_ZIP_H
#define SWITCHYARD_CKPT_ZIP_H

#include "stfile.h"

enum { ZIP_MAX_RATIO = 1100 };

typedef struct ZipEntry {
  const char *name;     // terminated
  const uint8_t *data;  // packed bytes in the file
  uint64_t packed;      // their number
  uint64_t size;        // bytes when unpacked; = packed if stored
  uint64_t header, end; // offsets in the file: of the local header, behind the packed bytes
  uint32_t crc;
  uint16_t method;         // 0 stored, 8 deflated
  const uint8_t *unpacked; // what was inflated, its beginning at least
  uint64_t unpacked_bytes;
} ZipEntry;

typedef struct Zip {
  ZipEntry *entry; // in the order of the file
  ZipEntry **byname;
  size_t count;
} Zip;

// Reads the directory of n bytes, which must outlive the Zip; memory comes from the pool. False on error.
SY_MUST_USE bool zip_open(Zip *z, StPool *pool, const uint8_t *bytes, size_t n, StError *err);

// Entry by exact name; NULL if absent.
ZipEntry *zip_find(const Zip *z, const char *name);

// The e->size bytes of an entry: in the file if it is stored, else inflated into the pool, once, with its checksum
// tested. The checksum of stored bytes is not looked at: it would mean reading all of a file that is only mapped.
// NULL on error.
SY_MUST_USE const uint8_t *zip_data(ZipEntry *e, StPool *pool, StError *err);

// The same for the first n bytes, at most e->size: no more is inflated. The checksum is tested if they are all.
SY_MUST_USE const uint8_t *zip_front(ZipEntry *e, uint64_t n, StPool *pool, StError *err);

#endif

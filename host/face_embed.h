// face_embed.h - what the files of the command embed share; private to face_embed.c, face_items.c and face_part.c.
#ifndef SWITCHYARD_HOST_FACE_EMBED_H
#define SWITCHYARD_HOST_FACE_EMBED_H

#include "common/must_use.h"
#include "face_parts.h"

/* face_items.c: what vectors are made of -------------------------------------------------------------------------- */
enum { FACE_PASSED = 12 };
typedef struct FaceItems {
  FaceList list; // paths or lines; malloc'd strings
  size_t passed; // pictures in folders, of kinds that are not read
  struct {
    const char *kind;
    size_t n;
  } by_kind[FACE_PASSED];
} FaceItems;
// The lines of --lines, or the pictures named and those in the folders named. Free with face_items_free, after an error
// too.
SY_MUST_USE bool face_items_gather(FaceItems *items, const FaceArgs *a, HostError *err);
void face_items_free(FaceItems *items);
// "3 files passed over: 2 WebP, 1 GIF"; *dst is empty if there are none.
void face_items_passed(const FaceItems *items, char *dst, size_t room);

/* face_part.c: the unfinished files ------------------------------------------------------------------------------- */
enum { FACE_PATH = 4096, FACE_ROWS_START = 128 };
typedef struct FacePart {
  const char *out;       // of -o; "-": standard output, without names and unfinished files
  char names[FACE_PATH]; // what becomes of the names
  char rows_part[FACE_PATH], names_part[FACE_PATH];
  FILE *rows_file, *names_file;
  size_t width, batch;
  const FaceList *items;
  size_t *item;               // [items->n]: which item a row is of
  size_t done;                // rows written
  size_t next;                // the item behind the last row
  size_t left_out;            // items without a row before it
  bool pictures;              // items are files, which may change
  char mark[FACE_ROWS_START]; // what rows_part begins with
} FacePart;
// Fills the paths; false: too long.
SY_MUST_USE bool face_part_name(FacePart *p, const char *out);
// Opens both files, goes on where a call with the same key stopped or begins anew. A FACE_ code.
SY_MUST_USE int face_part_open(FacePart *p, const uint64_t key[2], bool restart, const char *program, HostError *err);
// Adds the rows of items first[0..count), in order.
SY_MUST_USE bool face_part_add(FacePart *p, const float *rows, const size_t *item, size_t count, HostError *err);
SY_MUST_USE bool face_part_finish(FacePart *p, HostError *err); // both files get their names
void face_part_close(FacePart *p, bool remove_all);             // remove_all: nothing was made

#endif

// face_embed.h - what the files of the command embed share; private to face_embed.c, face_items.c,
// face_part.c and face_shares.c.
#ifndef SWITCHYARD_HOST_FACE_EMBED_H
#define SWITCHYARD_HOST_FACE_EMBED_H

#include "common/launch.h"
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
// "SIZE TIME " of an item, as it is now; returns its length.
size_t face_part_state(const FacePart *p, const char *item, char dst[64]);
// Fills the paths; false: too long.
SY_MUST_USE bool face_part_name(FacePart *p, const char *out);
// What the unfinished files of a key begin with.
void face_part_mark(const uint64_t key[2], char mark[FACE_ROWS_START]);
// Opens both files, goes on where a call with the same key stopped or begins anew. A FACE_ code.
SY_MUST_USE int face_part_open(FacePart *p, const uint64_t key[2], bool restart, const char *program, HostError *err);
// Adds the rows of items first[0..count), in order.
SY_MUST_USE bool face_part_add(FacePart *p, const float *rows, const size_t *item, size_t count, HostError *err);
SY_MUST_USE bool face_part_finish(FacePart *p, HostError *err); // both files get their names
void face_part_close(FacePart *p, bool remove_all);             // remove_all: nothing was made

/* face_shares.c: several processes -------------------------------------------------------------------------------- */
typedef struct FaceShare {
  size_t from, to; // items
} FaceShare;
FaceShare face_share_of(Launch l, size_t n);
// Names of the unfinished files of one of several processes; false: too long.
SY_MUST_USE bool face_share_name(FacePart *p, Launch l);
// Is there nothing unfinished of a call in another number of processes?
SY_MUST_USE bool face_share_alone(const FacePart *p, Launch l, HostError *err);
// Has an earlier call done this process's share (p->mark says of what)? False with err: a picture has changed since.
SY_MUST_USE bool face_share_look(const FacePart *p, Launch l, bool *done, HostError *err);
void face_share_forget(const FacePart *p, Launch l);                     // what an earlier call has done
SY_MUST_USE bool face_share_done(FacePart *p, Launch l, HostError *err); // now it is
// If all shares are done, puts them together: *joined, and p->done is the number of all rows. `mark` writes what the
// files of a process begin with.
typedef void FaceShareMark(void *ud, unsigned rank, char mark[FACE_ROWS_START]);
SY_MUST_USE bool face_shares_join(FacePart *p, Launch l, FaceShareMark *mark, void *ud, bool *joined, HostError *err);

#endif

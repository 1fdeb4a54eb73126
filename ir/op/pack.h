// pack.h: layouts of what kernels read in another order than row-major (ir/packs.def), for the operators pack and
// unpack, for the packer of weights and for the lowerings. What is at which place is said here, once.
//
//   %3 = pack %2 {layout = "panels", panel = 16} : f32[3,8,16]        %2 : f32[40,8], a weight [N,K]
#ifndef SY_OP_PACK_H
#define SY_OP_PACK_H

#include "../graph.h"

typedef enum PackKind {
#define PACK(name, doc) PACK_##name,
#include "../packs.def"
#undef PACK
  PACK_COUNT
} PackKind;
typedef struct PackInfo {
  const char *name, *doc;
} PackInfo;
extern const PackInfo pack_info[PACK_COUNT];

enum { PANEL = 16 }; // columns of the panels that products read: 64 bytes of f32

typedef struct PackForm {
  PackKind kind;
  bool trans;    // panels: of a matrix [K,N]
  int64_t panel; // columns of a panel; what rows are filled up to
} PackForm;
PackForm pack_form(const Value *v);          // of a pack or unpack
size_t pack_attrs(PackForm f, Attr attr[4]); // what says so; returns how many
// The type that a tensor has in the form. NULL, or why it cannot have it (static text).
SY_MUST_USE const char *pack_type(PackForm f, const Type *from, Type *out);

typedef struct PackShape {
  PackForm form;
  int64_t outer;    // matrices, or rows
  int64_t n, k;     // panels: columns and depth; else elements of a row, and 1
  int64_t elements; // of the form, what was filled up included
} PackShape;
PackShape pack_shape(PackForm f, int rank, const int64_t *dim); // of a tensor [dim[0], ..]
// n elements that lie side by side in the form, from `packed` on; in the tensor they begin at `plain` and lie `step`
// apart. Every element of the tensor is in one run.
typedef void PackRun(void *ud, int64_t packed, int64_t plain, int64_t step, int64_t n);
void pack_runs(const PackShape *s, PackRun *run, void *ud);

#endif

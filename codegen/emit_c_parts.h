// emit_c_parts.h: what the files of the C printer share (emit_c.c has the whole).
#ifndef SY_EMIT_C_PARTS_H
#define SY_EMIT_C_PARTS_H

#include "target.h"

// Characters of an expression that may stand inside another; of a constant that may do so more than once; that a
// pointer costs where it is declared.
enum { MAX_INLINE = 100, SMALL_CONST = 28, BASE_COLUMNS = 40 };
enum { MAX_DEPTH = 64 }; // of nested loops

// A parameter of a region's function: a buffer from an address on. Lines that are asked for ahead have one of their
// own.
typedef struct Param {
  KBufRef buf;
  bool ahead, written;
  const char *hint;
  KIdx base;        // the lowest address, without what varies inside the region
  const char *name; // in the function
} Param;
typedef struct Region {
  uint32_t begin, end; // instructions
  VEC(Param) param;
  VEC(KVar) let;
} Region;

// A pointer to the lowest of several addresses that differ by constants: `const float *xp = x + 768 * r + k;`.
typedef struct Base {
  KBufRef buf;
  KIdx idx;             // the lowest address
  uint32_t first, uses; // instruction of the first access; number of accesses
  const char *name;     // NULL: not worth a line
} Base;

typedef struct Emit {
  const Kernel *k;
  const Target *t;
  const EmitC *o;
  Buf *out;
  Arena arena;          // of this call
  Buf text;             // of the expression being built
  const char **value;   // C text of each value: a name or an expression
  const char **var;     // C name of each index variable
  const char **buf;     // C name of each buffer
  KIdx *at;             // address of each access, counted from `buf` or from the parameter
  uint32_t *param;      // of an access in a region's function: its parameter, from 1
  uint32_t *begin;      // of an end: the instruction that it closes
  Region **region;      // of the begin of a region: what it is as a function, or NULL
  const Region *inside; // the region whose function this is, or NULL
  bool *needed;         // instruction is printed
  bool *used_var, *used_buf;
  uint32_t first_par;        // the first par loop whose variable is used, from 1; 0 = none
  uint32_t *uses, *last_use; // by needed instructions
  uint32_t *barriers;        // of [0, i): instructions that a value must not be moved across
  uint32_t *segment;         // number of the straight line of code that an instruction stands in
  uint32_t *base;            // of an access: its Base, from 1; 0 = none
  VEC(Base) bases;           // [0] is null; in the order of `first`
  size_t next_base;          // the first that has not been printed
  VEC(const char *) taken;
  uint32_t
      *taken_slot; // by text: number in `taken` + 1, 0 = free; numbers behind its end are of blocks that were closed
  size_t taken_slots, taken_used; // a power of two; slots that are not free
  size_t head[MAX_DEPTH];         // where the text of an open loop begins in `out`
  size_t outer[MAX_DEPTH];        // names taken when a block was opened: those of the block are free again behind it
  int depth;
  const char *joined_head; // of the open line of statements, or NULL; see statement()
  char joined_between;
  size_t joined_start;
} Emit;
enum { MAX_COLUMNS = 148 };

/* emit_c_index.c: index expressions, of type size_t ---------------------------------------------------- */
bool ec_all_positive(const KIdx *i);
void ec_put_index(Buf *b, const KIdx *i, const char *const *var);
void ec_put_sum(Buf *b, const KIdx *i, const char *const *var); // " + i" behind a name, nothing for 0
bool ec_cap_matters(const Kernel *k, const KBound *u);
void ec_put_bound(Buf *b, const Kernel *k, const KBound *u, const char *const *var);
// Iterations of a par loop; true if the text is a literal.
bool ec_put_count(Buf *b, const Kernel *k, const KIns *s, const char *const *var);

/* emit_c.c: names, statements -------------------------------------------------------------------------- */
const char *ec_plain_name(Emit *e, const char *name); // without the number that makes it unique in the IR
const char *ec_new_name(Emit *e, const char *hint);   // unique where it is used
const char *ec_memory_type(DType dt);
void ec_find_bases(Emit *e, uint32_t from, uint32_t to); // of the instructions [from, to)
void ec_put_instruction(Emit *e, uint32_t i);
void ec_flush_statements(Emit *e);
void SY_PRINTF(2, 3) ec_line(Emit *e, const char *fmt, ...);

/* emit_c_region.c: regions as functions ---------------------------------------------------------------- */
void ec_plan_regions(Emit *e); // fills at, begin, param and region
void ec_put_call(Emit *e, const Region *r, Buf *before);

#endif

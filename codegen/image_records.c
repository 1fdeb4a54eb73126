// image_records.c: the records of records.def as data, and the checks that they are the structs of the engine.
//
// For each member: its C type is that of its kind, in the module's struct and in the glue's, at the same place. For
// each record: as many values as it has members initialise the struct; with fewer or more the compiler warns, which is
// an error. What no compiler sees, two members of a type that changed places, record_problem finds.
#include "image.h"
#include "image_records.h"

#include "runtime/cpu_words.h"
#include "runtime/engine/plan.h"
#include "runtime/switchyard.h"

#include <string.h>

// The structs under the names of the records.
typedef int T_none, S_none;
#define RECORD(r, T, S)                                                                                                \
  typedef T T_##r;                                                                                                     \
  typedef S S_##r;
#define MEMBER(r, m, k, sub)
#define ARRAY(r, m, k, sub, n)
#define END(r)
#include "records.def"
#undef RECORD
#undef MEMBER
#undef ARRAY
#undef END

// 1 where x has the type of the kind.
#define IS_U32(x, sub) _Generic((x), uint32_t : 1, default : 0)
#define IS_MASK(x, sub) IS_U32(x, sub)
#define IS_KERNEL(x, sub) IS_U32(x, sub)
#define IS_I32(x, sub) _Generic((x), int32_t : 1, default : 0)
#define IS_U64(x, sub) _Generic((x), uint64_t : 1, default : 0)
#define IS_HASH(x, sub) IS_U64(x, sub)
#define IS_I64(x, sub) _Generic((x), int64_t : 1, default : 0)
#define IS_F64(x, sub) _Generic((x), double : 1, default : 0)
#define IS_CHAR(x, sub) _Generic((x), char : 1, default : 0)
#define IS_TEXT(x, sub) _Generic((x), const char * : 1, default : 0)
#define IS_TEXTS(x, sub) _Generic((x), const char *const * : 1, default : 0)
#define IS_REF(x, sub)                                                                                                 \
  (_Generic((x), const T_##sub * : 1, default : 0) || _Generic((x), const S_##sub * : 1, default : 0))
#define IS_RECORD(x, sub) (_Generic((x), T_##sub : 1, default : 0) || _Generic((x), S_##sub : 1, default : 0))
#define IS_FUNCTION(x, sub)                                                                                            \
  _Generic((x), void (*)(const mdl__args *, size_t, void *) : 1, size_t (*)(const size_t *) : 1, default : 0)

#define RECORD(r, T, S)
#define MEMBER(r, m, k, sub)                                                                                           \
  _Static_assert(IS_##k(((T_##r *)0)->m, sub), "records.def: " #r "." #m " has another type in the engine");           \
  _Static_assert(IS_##k(((S_##r *)0)->m, sub), "records.def: " #r "." #m " has another type in a glue file");          \
  _Static_assert(offsetof(T_##r, m) == offsetof(S_##r, m), "records.def: " #r "." #m " lies elsewhere in a glue "      \
                                                           "file");
#define ARRAY(r, m, k, sub, n)                                                                                         \
  _Static_assert(IS_##k(((T_##r *)0)->m[0], sub), "records.def: " #r "." #m " has another type in the engine");        \
  _Static_assert(IS_##k(((S_##r *)0)->m[0], sub), "records.def: " #r "." #m " has another type in a glue file");       \
  _Static_assert(sizeof((T_##r *)0)->m == (n) * sizeof(T_##r){0}.m[0], "records.def: " #r "." #m " is as long");       \
  _Static_assert(offsetof(T_##r, m) == offsetof(S_##r, m), "records.def: " #r "." #m " lies elsewhere in a glue "      \
                                                           "file");
#define END(r) _Static_assert(sizeof(T_##r) == sizeof(S_##r), "records.def: " #r " in a glue file");
#include "records.def"
#undef MEMBER
#undef ARRAY
#undef RECORD
#undef END

// A value for each member, and no other: -Wmissing-field-initializers.
#define ZERO_U32 0
#define ZERO_MASK 0
#define ZERO_KERNEL 0
#define ZERO_I32 0
#define ZERO_U64 0
#define ZERO_HASH 0
#define ZERO_I64 0
#define ZERO_F64 0
#define ZERO_CHAR 0
#define ZERO_TEXT NULL
#define ZERO_TEXTS NULL
#define ZERO_REF NULL
#define ZERO_FUNCTION NULL
#define ZERO_RECORD                                                                                                    \
  { 0 }
#define RECORD(r, T, S) static const T_##r all_of_##r = {
#define MEMBER(r, m, k, sub) ZERO_##k,
#define ARRAY(r, m, k, sub, n) {ZERO_##k},
#define END(r)                                                                                                         \
  }                                                                                                                    \
  ;
#include "records.def"
#undef RECORD
#undef MEMBER
#undef ARRAY
#undef END

#define RECORD(r, T, S) static const Member members_of_##r[] = {
#define MEMBER(r, m, k, sub) {#m, CK_##k, 0, offsetof(T_##r, m), sizeof all_of_##r.m, &record_##sub},
#define ARRAY(r, m, k, sub, n) {#m, CK_##k, n, offsetof(T_##r, m), sizeof all_of_##r.m, &record_##sub},
#define END(r)                                                                                                         \
  }                                                                                                                    \
  ;
#include "records.def"
#undef RECORD
#undef MEMBER
#undef ARRAY
#undef END

const Record record_none = {0};
#define RECORD(r, T, S)                                                                                                \
  const Record record_##r = {                                                                                          \
      #r, #T, #S, members_of_##r, sizeof members_of_##r / sizeof *members_of_##r, sizeof(T_##r), _Alignof(T_##r)};
#define MEMBER(r, m, k, sub)
#define ARRAY(r, m, k, sub, n)
#define END(r)
#include "records.def"
#undef RECORD

#define RECORD(r, T, S) &record_##r,
const Record *const records[] = {
#include "records.def"
    NULL};
#undef RECORD
#undef MEMBER
#undef ARRAY
#undef END

const RecordForm record_forms[] = {
    {&record_operand, MDL__AT_ARENA, "MDL__AT_ARENA", "A", {"index", "base", "offset"}},
    {&record_operand, MDL__AT_WEIGHT, "MDL__AT_WEIGHT", "W", {"offset"}},
    {&record_operand, MDL__AT_IN, "MDL__AT_IN", "IN", {"index", "offset"}},
    {&record_operand, MDL__AT_OUT, "MDL__AT_OUT", "OUT", {"index", "offset"}},
    {0},
};

static size_t align_of(const Member *m) {
  if (m->kind == CK_RECORD) return m->record->align;
  return m->count ? m->size / m->count : m->size;
}

const char *record_problem(const Record *r) {
  size_t at = 0;
  for (size_t i = 0; i < r->n; i++) {
    size_t align = align_of(&r->member[i]);
    at = (at + align - 1) / align * align;
    if (r->member[i].offset != at) return r->member[i].name;
    at += r->member[i].size;
  }
  return (at + r->align - 1) / r->align * r->align == r->size ? NULL : "its end";
}

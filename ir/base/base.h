// base.h: what every part of the compiler stands on: arenas, growing arrays, interned strings, text buffers,
// source spans and the diagnostics sink. Stands on common/ (text for people, JSON) and libc alone.
//
// Rules: memory lives in arenas and is freed with them (lifetimes, not frees). Library code never exits and never
// prints: a user's mistake goes to the Diag sink (diag_error) and the function returns false or a null value; a bug of
// ours goes to ICE(), which the driver turns into exit code 70.
#ifndef SY_BASE_H
#define SY_BASE_H

#include "common/json.h"
#include "common/must_use.h"
#include "common/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define SY_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define SY_NORETURN __attribute__((noreturn))
#else
#define SY_PRINTF(f, a)
#define SY_NORETURN
#endif

// Of whole numbers, n >= 0 and to > 0.
static inline int64_t ceil_div(int64_t n, int64_t to) {
  return (n + to - 1) / to;
}
static inline int64_t round_up(int64_t n, int64_t to) {
  return ceil_div(n, to) * to;
}

/* arena.c: bump allocation, zeroed memory; everything is freed by arena_free. ------------------------------------ */
typedef struct ArenaBlock ArenaBlock;
typedef struct Arena {
  ArenaBlock *head;
} Arena;
typedef struct ArenaMark {
  ArenaBlock *block;
  size_t used;
} ArenaMark;
void *arena_alloc(Arena *a, size_t bytes); // 16-byte aligned, zeroed; never NULL (see out_of_memory)
void *arena_grow(Arena *a, const void *old, size_t old_bytes, size_t new_bytes); // copies, zero-fills the rest
ArenaMark arena_mark(Arena *a);
void arena_reset(Arena *a, ArenaMark m); // frees everything allocated since the mark
void arena_free(Arena *a);
void arena_adopt(Arena *a,
                 Arena *from); // a owns what was allocated in `from`, which is empty afterwards; no marks of a survive
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_strdup(Arena *a, const char *s);
char *arena_printf(Arena *a, const char *fmt, ...) SY_PRINTF(2, 3);
#define ARENA_NEW(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define ARENA_ARRAY(a, T, n) ((T *)arena_alloc((a), sizeof(T) * (size_t)(n)))

/* Growing array in an arena. VEC(T) declares the struct type; VEC_PUSH(arena, v, item) appends.
 *   VEC(int) xs = {0};  VEC_PUSH(a, xs, 3);  for (size_t i = 0; i < xs.n; i++) use(xs.at[i]); */
#define VEC(T)                                                                                                         \
  struct {                                                                                                             \
    T *at;                                                                                                             \
    size_t n, cap;                                                                                                     \
  }
#define VEC_PUSH(a, v, item)                                                                                           \
  do {                                                                                                                 \
    if ((v).n == (v).cap) {                                                                                            \
      size_t cap_ = (v).cap ? 2 * (v).cap : 8;                                                                         \
      (v).at = arena_grow((a), (v).at, (v).n * sizeof *(v).at, cap_ * sizeof *(v).at);                                 \
      (v).cap = cap_;                                                                                                  \
    }                                                                                                                  \
    (v).at[(v).n++] = (item);                                                                                          \
  } while (0)

/* str.c: interned strings (equal text <=> equal pointer within one Intern) and text buffers. ---------------------- */
typedef struct Intern {
  Arena *arena;
  const char **slot;
  size_t nslot, used;
} Intern;
const char *intern(Intern *in, const char *s);
const char *intern_n(Intern *in, const char *s, size_t n);
bool is_interned(const Intern *in, const char *s);

typedef struct Buf { // a growing, always NUL-terminated text; free with buf_free
  char *s;
  size_t n, cap;
} Buf;
void buf_putc(Buf *b, char c);
void buf_puts(Buf *b, const char *s);
void buf_putn(Buf *b, const char *s, size_t n);
void buf_printf(Buf *b, const char *fmt, ...) SY_PRINTF(2, 3);
void buf_vprintf(Buf *b, const char *fmt, va_list ap);
void buf_sink(void *buf, const char *s, size_t n); // a TextSink that appends
void buf_text(Buf *b, const char *s);              // for people: what a terminal would obey is escaped
void buf_free(Buf *b);

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed); // stable across runs and machines
int64_t gcd_i64(int64_t a, int64_t b);
bool word_in(const char *words, const char *word); // is it one of the words between spaces? "" is none

/* digest.c: 128 bits that stand for a content, for keys of caches -------------------------------------------------- */
typedef struct Digest {
  uint64_t half[2];
} Digest;
typedef struct Digester {
  uint64_t lane[4], total;
  unsigned char part[32]; // what does not fill a stripe yet
  size_t rest;            // bytes in it
} Digester;
Digester digest_begin(void);
void digest_add(Digester *d, const void *data, size_t n); // pieces of any size give the digest of the whole
Digest digest_end(const Digester *d);                     // d can go on
bool digest_equal(Digest a, Digest b);
const char *digest_hex(Arena *a, const Digest *d); // 32 digits

/* file.c: whole-file reading and atomic writing ------------------------------------------------------------------- */
// Reads a whole file ("-" is standard input) of at most 256 MB into the arena, NUL-terminated. NULL on failure with
// *err = why. Of a pipe with a name the writer has five seconds to come.
SY_MUST_USE char *file_read(Arena *a, const char *path, size_t *n, const char **err);
// Writes all or nothing (newfile.h). "-" is standard output; devices and pipes are written to directly.
SY_MUST_USE bool file_write(const char *path, const void *data, size_t n, const char **err);
bool file_is_special(const char *path); // exists and is no regular file: must not be replaced by a rename

/* diag.c: spans and diagnostics ------------------------------------------------------------------------------------ */
typedef struct Span { // half-open byte range [lo, hi) of source file number `file` (1-based; 0 = no place known)
  uint32_t file, lo, hi;
} Span;
#define NO_SPAN ((Span){0, 0, 0})

typedef struct SourceFile {
  const char *path; // as the user gave it
  const char *text; // NUL-terminated
  size_t size;
} SourceFile;

typedef enum Severity { SEV_ERROR, SEV_WARNING, SEV_REMARK } Severity;
typedef struct Note {
  Span span;
  const char *text;
} Note;
typedef struct Diagnostic {
  Severity severity;
  const char *code; // "E0123", "W0004"; interned table in diag_codes.def
  Span span;
  const char *text;
  const char *hint; // one line of advice or NULL
  Note note[4];
  size_t nnote;
} Diagnostic;

typedef struct Diag {
  Arena *arena;
  VEC(SourceFile) files; // Span.file indexes this, minus one
  VEC(Diagnostic) list;
  size_t errors;
  size_t max_errors; // 20; further ones are counted, not kept
} Diag;

void diag_init(Diag *d, Arena *a);
uint32_t diag_add_file(Diag *d, const char *path, const char *text,
                       size_t size); // returns Span.file; drops a byte order mark
// Records an error/warning/remark; returns it so that a hint or notes can be added. Never NULL.
Diagnostic *diag_error(Diag *d, const char *code, Span at, const char *fmt, ...) SY_PRINTF(4, 5);
Diagnostic *diag_warning(Diag *d, const char *code, Span at, const char *fmt, ...) SY_PRINTF(4, 5);
Diagnostic *diag_remark(Diag *d, const char *pass, Span at, const char *fmt, ...) SY_PRINTF(4, 5); // code = pass name
void diag_hint(Diag *d, Diagnostic *g, const char *fmt, ...) SY_PRINTF(3, 4);
void diag_note(Diag *d, Diagnostic *g, Span at, const char *fmt, ...) SY_PRINTF(4, 5);
bool diag_full(const Diag *d); // true once max_errors is reached: parsers stop
// line and column are 1-based; column counts bytes. False when the span has no place.
bool diag_place(const Diag *d, Span s, const char **path, uint32_t *line, uint32_t *col);
// Prints all diagnostics in order of occurrence: "path:line:col: error: text [E0123]", source line, carets, hint,
// notes.
void diag_print(const Diag *d, Buf *out, bool colour);
void diag_print_json(const Diag *d, Buf *out); // {"diagnostics":[{...}]}
// The long explanation of a code ("syc explain E0123"), or NULL; of a code of earlier versions that of the present one.
const char *diag_explain(const char *code);

/* Internal compiler error: prints "syc: internal error: ..." with the place in our source and exits with 70 through the
 * handler the driver installs (tests and fuzzers see abort()). */
SY_NORETURN void ice(const char *file, int line, const char *fmt, ...) SY_PRINTF(3, 4);
SY_NORETURN void out_of_memory(size_t bytes); // ends the process with exit code 3: nobody's mistake
#define ICE(...) ice(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond)                                                                                                    \
  do {                                                                                                                 \
    if (!(cond)) ICE("check failed: %s", #cond);                                                                       \
  } while (0)

#endif

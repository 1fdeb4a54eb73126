// emit_kernels.c: `syc emit FILE.kir`: kernels of kernel IR, such as a dump of --emit=kir after an edit, verified and
// printed as C functions of the instruction set that each is for, or as kernel IR again.
//
//   kernel @softmax_64 for avx2 lanes 8 { .. }   ->   void kir_softmax_64_avx2(void *const *buffers, const size_t
//   *dims,
//                                                                              size_t task, void *scratch)
//                                                     size_t kir_softmax_64_avx2_tasks(const size_t *dims)
#include "codegen/target.h"
#include "emit_kernels.h"

#include <ctype.h>
#include <string.h>

typedef struct KernelText { // a kernel on its way to C
  const Kernel *k;
  const Target *t;
  const char *name; // of its C functions
} KernelText;

bool is_kernel_text(const char *text, size_t n) {
  static const char word[] = "kernel";
  size_t at = 0;
  while (at < n && (isspace((unsigned char)text[at]) || text[at] == '#'))
    if (text[at] == '#')
      while (at < n && text[at] != '\n') at++;
    else
      at++;
  return n - at > sizeof word && !memcmp(text + at, word, sizeof word - 1) &&
         isspace((unsigned char)text[at + sizeof word - 1]);
}

/* which instruction set
 * ------------------------------------------------------------------------------------------------ */
// That of the kernel's head, else the one of --isa that has its lanes.
static const Target *target_of(Session *s, const Kernel *k, const Target *const *given, size_t n) {
  const Target *t = k->isa ? target_by_name(k->isa) : NULL;
  if (k->isa && !t)
    return session_fail(s, EXIT_WRONG, "kernel @%s: there is no instruction set '%s'", k->name, k->isa), NULL;
  for (size_t i = 0; !t && i < n; i++)
    if (given[i]->lanes == k->lanes || k->lanes == 1) t = given[i];
  if (!t)
    return session_fail(s, EXIT_WRONG,
                        "kernel @%s of %u lanes does not say for which instruction set it is: write `for NAME` behind "
                        "its name, or give --isa",
                        k->name, k->lanes),
           NULL;
  if (k->lanes == t->lanes || k->lanes == 1) return t;
  return session_fail(s, EXIT_WRONG, "kernel @%s has %u lanes, %s has %u", k->name, k->lanes, t->name, t->lanes), NULL;
}

static const char *c_name(Session *s, const char *prefix, const Kernel *k, const Target *t) {
  char *name = arena_printf(&s->arena, "%s_%s_%s", prefix, k->name, t->name);
  for (char *c = name; *c; c++)
    if (*c == '.') *c = '_';
  return name;
}

static bool prepare(Session *s, const KernelList *list, const char *prefix, KernelText *out) {
  const Target *given[MAX_TARGETS];
  size_t n = s->opt.isa ? session_targets(s, s->opt.isa, given) : 0;
  if (s->opt.isa && !n) return false;
  for (size_t i = 0; i < list->n; i++) {
    Kernel *k = list->at[i];
    const Target *t = target_of(s, k, given, n);
    const char *why = "";
    if (!t) return false;
    kernel_legalise(k, t->has_fma);
    if (!kernel_verify(k, &why)) ICE("kernel %s for %s: %s", k->name, t->name, why);
    out[i] = (KernelText){k, t, c_name(s, prefix, k, t)};
    for (size_t j = 0; j < i; j++)
      if (!strcmp(out[j].name, out[i].name))
        return session_fail(s, EXIT_WRONG, "two kernels become the C function %s", out[i].name), false;
  }
  return true;
}

/* C
 * ----------------------------------------------------------------------------------------------------------------------
 */
static unsigned helpers_of(const KernelText *list, size_t n) {
  unsigned need = 0;
  for (size_t i = 0; i < n; i++) need |= kernel_helpers(list[i].k);
  return need;
}

static void put_head(const KernelText *list, size_t n, const char *prefix, Buf *b) {
  size_t buffers = 1;
  for (size_t i = 0; i < n; i++) buffers = list[i].k->buf.n > buffers ? list[i].k->buf.n : buffers;
  buf_puts(b, "/* Kernels, each one task of it: BUFFERS in the order of its `buf` lines (scratch buffers lie in "
              "`scratch`, 64-byte\n"
              "   aligned), DIMS by their numbers, TASK below NAME_tasks(dims). Compile with -std=c11 "
              "-ffp-contract=off. */\n");
  emit_c_prelude(NULL, &(Prelude){.helpers = helpers_of(list, n)}, b);
  buf_printf(b, "typedef struct %s_args {\n  void *p[%zu];\n  size_t dim[%d];\n} %s_args;\n", prefix, buffers, MAX_DIMS,
             prefix);
}

static void put_entry(const KernelText *x, const char *prefix, Buf *b) {
  size_t n = x->k->buf.n - 1;
  buf_printf(b, "size_t %s_tasks(const size_t *d);\nsize_t %s_tasks(const size_t *d) {\n  (void)d;\n  return ", x->name,
             x->name);
  emit_c_tasks(x->k, b);
  buf_printf(b, ";\n}\nenum { %s_scratch = %lld }; /* bytes */\n", x->name, (long long)kernel_scratch_bytes(x->k));
  buf_printf(b, "void %s(void *const *buffers, const size_t *dims, size_t task, void *scratch);\n", x->name);
  buf_printf(
      b, "void %s(void *const *buffers, const size_t *dims, size_t task, void *scratch) {\n  %s_args a = {{0}, {0}};\n",
      x->name, prefix);
  if (n)
    buf_printf(b, "  for (size_t i = 0; i < %zu; i++) a.p[i] = buffers[i];\n", n);
  else
    buf_puts(b, "  (void)buffers;\n");
  size_t dims = 0;
  for (size_t i = 1; i < x->k->var.n; i++)
    if (x->k->var.at[i].kind == KV_DIM) {
      buf_printf(b, "  a.dim[%d] = dims[%d];\n", (int)x->k->var.at[i].sym, (int)x->k->var.at[i].sym);
      dims++;
    }
  if (!dims) buf_puts(b, "  (void)dims;\n");
  buf_printf(b, "  %s_body(&a, task, scratch);\n}\n\n", x->name);
}

// The kernels of one instruction set, behind its prelude.
static void put_section(Session *s, const KernelText *list, size_t n, const Target *t, const Prelude *p,
                        const char *prefix, Buf *b) {
  const char *condition = t->isa->family->compiled;
  bool always = !strcmp(condition, "1");
  EmitFunctions functions = {0};
  buf_printf(b, "\n/* %s */\n", t->name);
  if (!always) buf_printf(b, "#if %s\n", condition);
  emit_c_prelude(t, p, b);
  for (size_t i = 0; i < n; i++) {
    if (list[i].t != t) continue;
    emit_c_kernel(list[i].k, t, &(EmitC){prefix, arena_printf(&s->arena, "%s_body", list[i].name), NULL, &functions},
                  b);
    put_entry(&list[i], prefix, b);
  }
  emit_c_functions_free(&functions);
  if (!always) buf_puts(b, "#endif\n");
}

static void put_c(Session *s, const KernelText *list, size_t n, const char *prefix, Buf *b) {
  put_head(list, n, prefix, b);
  const Target *before[ISA_COUNT];
  Prelude p = {before, 0, helpers_of(list, n)};
  for (size_t t = 0; targets[t]; t++) {
    bool used = false;
    for (size_t i = 0; i < n; i++) used = used || list[i].t == targets[t];
    if (!used) continue;
    put_section(s, list, n, targets[t], &p, prefix, b);
    before[p.nbefore++] = targets[t];
  }
}

/* the command
 * -------------------------------------------------------------------------------------------------------------- */
bool emit_kernels(Session *s, const char *path, char *text, size_t n, const char *kind, Buf *out) {
  KernelList list = {0};
  bool c = !strcmp(kind, "c");
  if (!c && strcmp(kind, "kir") != 0) {
    session_fail(s, EXIT_USAGE, "%s is kernel IR: it can become c or kir, not %s", path, kind);
    return false;
  }
  bool ok = kernels_parse(&s->arena, &s->names, &s->diag, text, n, diag_add_file(&s->diag, path, text, n), &list);
  if (!session_flush(s) || !ok) return false;
  const char *prefix = session_prefix(s, &(Module){.name = "kir"});
  if (s->exit_code) return false;
  KernelText *of = ARENA_ARRAY(&s->arena, KernelText, list.n + 1);
  if (c && !prepare(s, &list, prefix, of)) return false;
  for (size_t i = 0; !c && i < list.n; i++) {
    kernel_print(list.at[i], out);
    buf_putc(out, '\n');
  }
  if (c) put_c(s, of, list.n, prefix, out);
  return true;
}

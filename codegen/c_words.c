// c_words.c: the words of C and C++ that names of a page must keep away from.
//
// The list need not know every macro of every header: what looks like a macro (two capitals, a capital and a digit or
// _) is never printed as it is, nothing begins with _, and behind a model's prefix only names with a _ in them matter.
//
//   c_local("class") = "class_"    c_local("INT_MAX") = "INT_MAX_"    c_local("I") = "I_"    c_local("B") = "B"
#include "c_words.h"

#include <ctype.h>
#include <string.h>

static const char *const words[] = {
    "DBL_MAX_10_EXP",
    "DBL_MAX_EXP",
    "DBL_MIN_10_EXP",
    "DBL_MIN_EXP",
    "FLT_MAX_10_EXP",
    "FLT_MAX_EXP",
    "FLT_MIN_10_EXP",
    "FLT_MIN_EXP",
    "LDBL_MAX_10_EXP",
    "LDBL_MAX_EXP",
    "LDBL_MIN_10_EXP",
    "LDBL_MIN_EXP",
    "alignas",
    "aligned_alloc",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "assert",
    "at_quick_exit",
    "atomic_bool",
    "atomic_char",
    "atomic_compare_exchange_strong",
    "atomic_compare_exchange_weak",
    "atomic_exchange",
    "atomic_fetch_add",
    "atomic_fetch_and",
    "atomic_fetch_or",
    "atomic_fetch_sub",
    "atomic_fetch_xor",
    "atomic_flag",
    "atomic_flag_clear",
    "atomic_flag_test_and_set",
    "atomic_init",
    "atomic_int",
    "atomic_is_lock_free",
    "atomic_load",
    "atomic_long",
    "atomic_short",
    "atomic_signal_fence",
    "atomic_store",
    "atomic_thread_fence",
    "atomic_uint",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "call_once",
    "case",
    "catch",
    "cdecl",
    "char",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "complex",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "environ",
    "errno",
    "explicit",
    "export",
    "extern",
    "false",
    "far",
    "final",
    "float",
    "for",
    "friend",
    "goto",
    "huge",
    "i386",
    "if",
    "imaginary",
    "import",
    "inline",
    "int",
    "interface",
    "kill_dependency",
    "linux",
    "long",
    "math_errhandling",
    "memory_order",
    "memory_order_acq_rel",
    "memory_order_acquire",
    "memory_order_consume",
    "memory_order_relaxed",
    "memory_order_release",
    "memory_order_seq_cst",
    "mips",
    "module",
    "mutable",
    "namespace",
    "near",
    "new",
    "noexcept",
    "noreturn",
    "not",
    "not_eq",
    "nullptr",
    "offsetof",
    "operator",
    "or",
    "or_eq",
    "override",
    "pascal",
    "private",
    "protected",
    "public",
    "quick_exit",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "s6_addr",
    "s6_addr16",
    "s6_addr32",
    "sa_handler",
    "sa_sigaction",
    "sched_priority",
    "setjmp",
    "short",
    "si_addr",
    "si_addr_lsb",
    "si_arch",
    "si_band",
    "si_call_addr",
    "si_fd",
    "si_int",
    "si_lower",
    "si_overrun",
    "si_pid",
    "si_pkey",
    "si_ptr",
    "si_status",
    "si_stime",
    "si_syscall",
    "si_timerid",
    "si_uid",
    "si_upper",
    "si_utime",
    "si_value",
    "sigev_notify_attributes",
    "sigev_notify_function",
    "signed",
    "signgam",
    "sizeof",
    "small",
    "sparc",
    "st_atime",
    "st_ctime",
    "st_mtime",
    "static",
    "static_assert",
    "static_cast",
    "stderr",
    "stdin",
    "stdout",
    "struct",
    "sun",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "typeof_unqual",
    "union",
    "unix",
    "unsigned",
    "using",
    "va_list",
    "vax",
    "virtual",
    "void",
    "volatile",
    "while",
    "xor",
    "xor_eq",
};

size_t c_words(const char *const **list) {
  *list = words;
  return sizeof words / sizeof *words;
}

static bool is_word(const char *s) {
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strcmp(s, words[i])) return true;
  return false;
}

static bool ends_like_a_type(const char *s) {
  size_t n = strlen(s);
  return n >= 2 && !strcmp(s + n - 2, "_t");
}

static bool is_capitals(const char *s) {
  while (*s && !islower((unsigned char)*s)) s++;
  return !*s;
}

bool c_is_reserved(const char *s) {
  return is_word(s) || ends_like_a_type(s) || is_capitals(s);
}

char *c_identifier(Arena *a, const char *s) {
  bool good = s && (isalpha((unsigned char)*s));
  char *r = arena_printf(a, "%s%s", good ? "" : "x", s ? s : "");
  for (char *c = r; *c; c++)
    if (!isalnum((unsigned char)*c) && *c != '_') *c = '_';
  return r;
}

char *c_upper(Arena *a, const char *s) {
  char *r = arena_strdup(a, s);
  for (char *c = r; *c; c++) *c = (char)toupper((unsigned char)*c);
  return r;
}

static bool like_a_macro(const char *s) { // I is one of <complex.h>
  return isupper((unsigned char)s[0]) && (s[1] ? !islower((unsigned char)s[1]) : s[0] == 'I');
}

const char *c_local(Arena *a, const char *s) {
  const char *r = c_identifier(a, s);
  if (!strncmp(r, "sy", 2) || !strncmp(r, "SY", 2)) r = arena_printf(a, "x_%s", r);
  return like_a_macro(r) || is_word(r) || ends_like_a_type(r) ? arena_printf(a, "%s_", r) : r;
}

const char *c_prefix_problem(const char *prefix) {
  static const struct {
    const char *start, *problem;
    bool whole; // only the word itself
  } bad[] = {
      {"_", "names that begin with _ belong to C", false},
      {"sy", "sy belongs to Switchyard's own names", true},
      {"sy_", "names that begin with sy_ are Switchyard's own", false},
      {"atomic", "atomic_init is a name of C", true},
      {"cnd", "cnd_init is a name of C", true},
      {"mtx", "mtx_init is a name of C", true},
      {"sem", "sem_init is a name of POSIX", true},
      {"aio", "aio_init is a name of the C library", true},
      {"fanotify", "fanotify_init is a name of the C library", true},
      {"inotify", "inotify_init is a name of the C library", true},
      {"gai", "gai_strerror is a name of POSIX", true},
      {"f", "F_OK is a macro of <unistd.h>", true},
      {"r", "R_OK is a macro of <unistd.h>", true},
      {"w", "W_OK is a macro of <unistd.h>", true},
      {"x", "X_OK is a macro of <unistd.h>", true},
      {"z", "Z_OK is a macro of <zlib.h>", true},
      {"ex", "EX_OK is a macro of <sysexits.h>", true},
      {"cmsg", "CMSG_ALIGN is a macro of <sys/socket.h>", true},
      {"pthread", "names that begin with pthread are those of POSIX", false},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    size_t n = strlen(bad[i].start);
    bool here = true;
    for (size_t k = 0; k < n && here; k++) here = tolower((unsigned char)prefix[k]) == bad[i].start[k];
    if (here && (!bad[i].whole || !prefix[n])) return bad[i].problem;
  }
  return NULL;
}

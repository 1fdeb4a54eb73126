// fuzz_face.c: any bytes as the command line of a compiled program (model/model.sy), run in this process: words between
// line breaks or NULs. It ends with a documented exit status; what it prints is plain text, or JSON; outputs are whole,
// and nothing else is left behind; no file stays open.
// dict: face
//
// It runs in a folder of its own with pictures, arrays, a vocabulary, weights and files that are not what they seem.
// Paths stay inside: `/` behind a letter alone, no `..`. Left out: more than 3 repetitions and more than 4 threads,
// which take what they say.
#include "host/face_parts.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Weights as `syc build` links them in.
__asm__(".section .rodata\n.balign 4096\n.global sy_embedded_weights, sy_embedded_weights_end\n"
        "sy_embedded_weights: .incbin \"" SMALL_WEIGHTS "\"\nsy_embedded_weights_end: .byte 0\n.text\n");
extern const unsigned char sy_embedded_weights[], sy_embedded_weights_end[];

enum { MAX_ARGS = 40, MAX_FILES = 64, REPEAT = 3, THREADS = 4 };

static char folder[64];
static int report; // where sanitizers write, and we
static int captured[3];

static _Noreturn void wrong(const char *what, const char *name) {
  dprintf(report, "fuzz_face: %s: %s\n", what, name);
  abort();
}

static bool is_whole_array(const char *name, size_t *rows) {
  FaceArray a = {0};
  HostError err = {.text = ""};
  bool ok = face_npy_read(name, &a, &err);
  *rows = a.rank ? a.dim[0] : 1;
  face_array_free(&a);
  return ok;
}

/* the folder
 * ------------------------------------------------------------------------------------------------------------------ */
typedef struct Made { // a file of the folder
  const char *name;
  const char *data; // of a regular file; of a link where it points; NULL: a copy of `from`
  size_t n;
  mode_t kind;
  const char *from;
  struct stat st;
} Made;

#define TEXT(name, s)                                                                                                  \
  {                                                                                                                    \
    name, s, sizeof(s) - 1, S_IFREG, NULL, {                                                                           \
      0                                                                                                                \
    }                                                                                                                  \
  }
#define COPY(name, from)                                                                                               \
  {                                                                                                                    \
    name, NULL, 0, S_IFREG, SY_SOURCE_DIR "/tests/golden/pictures/" from, {                                            \
      0                                                                                                                \
    }                                                                                                                  \
  }
#define LINK(name, to)                                                                                                 \
  {                                                                                                                    \
    name, to, 0, S_IFLNK, NULL, {                                                                                      \
      0                                                                                                                \
    }                                                                                                                  \
  }
// `shape` is 20 characters wide: the header says its own length.
#define NPY(descr, shape, data)                                                                                        \
  "\x93NUMPY\1\0\x4f\0{'descr': '" descr "', 'fortran_order': False, 'shape': " shape ", }     \n" data
#define FLOATS "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\x80\xbf\0\0\0\xc0\0\0\x40\xc0\0\0\x80\xc0"
#define INTS "\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6\0\0\0"

static Made made[] = {
    {"d", NULL, 0, S_IFDIR, NULL, {0}},
    TEXT("a.ppm", "P6 3 2 255\n\1\2\3\4\5\6\7\x08\x09\x10\x11\x12\x13\x14\x15\x16\x17\x18"),
    TEXT("d/1.ppm", "P6 1 1 255\n\1\2\3"),
    TEXT("d/2.pgm", "P5 2 2 255\n\xff\2\3\4"),
    TEXT("d/3.gif", "GIF89a not a picture"),
    COPY("b.png", "palette_alpha.png"),
    COPY("c.jpg", "turned.jpg"),
    TEXT("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\nc\n##d\n##e\nf\ng\nh\ni\nj\nk\nl\n"),
    TEXT("few.txt", "[UNK]\na\n"),
    TEXT("merges.txt", "#version\nq q\n"),
    TEXT("labels.txt", "a\nb d\nc\ne\x1b[31m\nf\n"),
    TEXT("labels.json", "[\"a\", \"b\", \"c\", \"d\", \"e\"]"),
    TEXT("x.npy", NPY("<f4", "(2, 4)              ", FLOATS)),
    TEXT("v.npy", NPY("<f4", "(2, 4)              ", FLOATS)),
    TEXT("v.txt", "a.ppm\nb.png\n"),
    TEXT("ids.npy", NPY("<i4", "(2, 3)              ", INTS)),
    TEXT("keep.npy", NPY("|b1", "(2, 4)              ", "\1\0\1\0\1\0\1\0")),
    TEXT("cut.npy", NPY("<f4", "(2, 4)              ", "\0\0")),
    TEXT("huge.npy", NPY("<f4", "(99999999999, 99999)", "")),
    TEXT("big.ppm", "P6 65000 65000 255\n"),
    TEXT("cut.ppm", "P6 3 2 255\n\1\2"),
    TEXT("empty", ""),
    TEXT("o.npy.part", "SWITCHYARD EMBED 2, unfinished: 00000000000000000000000000000000\n"),
    TEXT("o.txt.part", "SWITCHYARD EMBED 2, unfinished: 00000000000000000000000000000000\n"),
    TEXT("bad\xff\x1b.ppm", "P6 1 1 255\n\1\2\3"),
    TEXT("m.syw", ""), // the weights: see begin
    TEXT("cut.syw", "SYWEIGHT\1\0\0\0\4\3\2\1"),
    LINK("to_a", "a.ppm"),
    LINK("loop", "loop"),
    LINK("gone", "nothing"),
    LINK("full", "/dev/full"),
    LINK("null", "/dev/null"),
    LINK("stdout", "/dev/stdout"),
};
enum { MADE = sizeof made / sizeof *made };

static void make(Made *m) {
  if (m->kind == S_IFDIR) {
    if (mkdir(m->name, 0700) && errno != EEXIST) wrong("cannot make", m->name);
  } else if (m->kind == S_IFLNK) {
    unlink(m->name);
    if (symlink(m->data, m->name)) wrong("cannot make", m->name);
  } else {
    unlink(m->name);
    int fd = open(m->name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, m->data, m->n) != (ssize_t)m->n || close(fd)) wrong("cannot make", m->name);
  }
  if (lstat(m->name, &m->st)) wrong("cannot make", m->name);
}

static void load(Made *m) {
  FILE *f = fopen(m->from, "rb");
  char *data = malloc(1 << 20);
  if (!f || !data) wrong("cannot read", m->from);
  m->n = fread(data, 1, 1 << 20, f);
  m->data = data;
  fclose(f);
}

static void leave(void) {
  if (chdir(folder)) return;
  for (size_t i = MADE; i-- > 0;) made[i].kind == S_IFDIR ? rmdir(made[i].name) : unlink(made[i].name);
  rmdir(folder);
}

static void begin(void) {
  report = dup(STDERR_FILENO);
  __sanitizer_set_report_fd((void *)(intptr_t)report);
  snprintf(folder, sizeof folder, "%s/fuzz_face.XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
  if (!mkdtemp(folder) || chdir(folder)) wrong("no folder", folder);
  for (size_t i = 0; i < MADE; i++) {
    if (made[i].from) load(&made[i]);
    if (!strcmp(made[i].name, "m.syw"))
      made[i].data = (const char *)sy_embedded_weights,
      made[i].n = (size_t)(sy_embedded_weights_end - sy_embedded_weights);
    make(&made[i]);
  }
  size_t rows;
  if (!is_whole_array("x.npy", &rows) || !is_whole_array("ids.npy", &rows)) wrong("no array", "x.npy, ids.npy");
  int null = open("/dev/null", O_RDONLY);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0) wrong("no", "/dev/null");
  for (int fd = 1; fd <= 2; fd++)
    if ((captured[fd] = memfd_create("stream", 0)) < 0) wrong("no memory for", "a stream");
  atexit(leave);
}

/* what a run leaves
 * ------------------------------------------------------------------------------------------------------------------ */
static bool ends(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n >= k && !strcmp(s + n - k, end);
}

// NAME.txt beside vectors, NAME.npy or NAME: a line for each row.
static bool are_names(const char *name) {
  char stem[4200], npy[4210];
  size_t lines = 0, rows = 0;
  FILE *f = ends(name, ".txt") ? fopen(name, "rb") : NULL;
  for (int c; f && (c = getc(f)) != EOF;) lines += c == '\n';
  if (!f) return false;
  fclose(f);
  snprintf(stem, sizeof stem, "%.*s", (int)(strlen(name) - 4), name);
  snprintf(npy, sizeof npy, "%s.npy", stem);
  return (is_whole_array(npy, &rows) && rows == lines) || (is_whole_array(stem, &rows) && rows == lines);
}

static void check_file(const char *name, int code, FaceCommand command) {
  size_t rows;
  if (code == FACE_USAGE) wrong("a wrong command line, and there is a file", name);
  if (ends(name, ".part") && command == FACE_EMBED && code) return; // to go on with
  if (!is_whole_array(name, &rows) && !are_names(name)) wrong("left behind", name);
}

static Made *find(const char *name) {
  for (size_t i = 0; i < MADE; i++)
    if (!strcmp(made[i].name, name)) return &made[i];
  return NULL;
}

static bool is_as_made(const Made *m, const struct stat *st) {
  if (m->kind == S_IFDIR) return S_ISDIR(st->st_mode);
  return m->st.st_ino == st->st_ino && m->st.st_size == st->st_size && m->st.st_mtim.tv_nsec == st->st_mtim.tv_nsec &&
         m->st.st_mtim.tv_sec == st->st_mtim.tv_sec && m->st.st_mode == st->st_mode;
}

// Files that are new or other ones; all are looked at before any is put right.
static size_t changed(const char *where, char name[][600], size_t n) {
  DIR *d = opendir(where);
  if (!d) wrong("cannot read", where);
  for (struct dirent *e; (e = readdir(d));) {
    struct stat st;
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    snprintf(name[n], 600, "%s%s%s", *where == '.' ? "" : where, *where == '.' ? "" : "/", e->d_name);
    const Made *m = find(name[n]);
    if (lstat(name[n], &st)) wrong("cannot read", name[n]);
    if (m && m->kind == S_IFDIR && *where == '.')
      n = changed(e->d_name, name, n);
    else if ((!m || !is_as_made(m, &st)) && ++n == MAX_FILES)
      wrong("too many files", name[n - 1]);
  }
  closedir(d);
  return n;
}

static void check_folder(int code, FaceCommand command) {
  static char name[MAX_FILES + 1][600];
  size_t n = changed(".", name, 0);
  for (size_t i = 0; i < n; i++) check_file(name[i], code, command);
  for (size_t i = 0; i < n; i++) unlink(name[i]);
  for (size_t i = 0; i < MADE; i++)
    if (access(made[i].name, F_OK) && made[i].kind == S_IFREG) make(&made[i]);
}

/* what a run prints
 * ------------------------------------------------------------------------------------------------------------------ */
static char *printed(int fd, size_t *n) {
  off_t size = lseek(captured[fd], 0, SEEK_END);
  char *s = malloc((size_t)size + 1);
  if (!s || pread(captured[fd], s, (size_t)size, 0) != size) wrong("cannot read", "a stream");
  s[size] = 0;
  *n = (size_t)size;
  if (ftruncate(captured[fd], 0) || lseek(captured[fd], 0, SEEK_SET)) wrong("cannot empty", "a stream");
  return s;
}

// Bytes that a terminal obeys, and what is no UTF-8.
static bool is_plain(const char *s, size_t n) {
  for (size_t i = 0; i < n;) {
    unsigned char c = (unsigned char)s[i++];
    int more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : -1;
    if (more < 0 || (c < 0x20 && c != '\n') || c == 0x7f) return false;
    if (c == 0xc2 && i < n && (unsigned char)s[i] < 0xa0) return false; // C1
    for (; more > 0; more--)
      if (i >= n || ((unsigned char)s[i++] & 0xc0) != 0x80) return false;
  }
  return true;
}

static bool is_json(const char *s) {
  cJSON *j = cJSON_ParseWithOpts(s, NULL, 1);
  cJSON_Delete(j);
  return j != NULL;
}

static void check_text(int code, const FaceArgs *a, bool parsed) {
  size_t n, m;
  char *out = printed(1, &n), *err = printed(2, &m);
  bool array = parsed && a->out && (!strcmp(a->out, "-") || strstr(a->out, "stdout"));
  bool text = parsed && (a->help || a->version || a->selftest);
  if (getenv("FUZZ_LOUD")) dprintf(report, "%s%s[%d]\n", array ? "" : out, err, code);
  if (!array && !is_plain(out, n)) wrong("not plain", out);
  if (!array && !is_plain(err, m)) wrong("not plain", err);
  if (!code && parsed && a->json && !text && !is_json(out)) wrong("no JSON", out);
  if (code && code != FACE_CHECK && !m) wrong("an error without a message", "");
  free(out), free(err);
}

/* a run
 * ------------------------------------------------------------------------------------------------------------------ */
// Keeps a word inside the folder.
static void confine(char *s) {
  if (!strcmp(s, "/dev/stdout") || ends(s, "=/dev/stdout")) return;
  for (char *c = s; *c; c++) {
    bool letter = c > s && ((c[-1] | 32) >= 'a' && (c[-1] | 32) <= 'z');
    if (*c == '/' && !letter) *c = '_';
    if (*c == '.' && c[1] == '.') c[1] = '_';
  }
}

static int split(char *text, size_t n, char *arg[MAX_ARGS + 2]) {
  int count = 0;
  static char program[] = "small";
  arg[count++] = program;
  for (size_t i = 0; i < n && count <= MAX_ARGS;) {
    arg[count] = text + i;
    while (i < n && text[i] && text[i] != '\n') i++;
    text[i++] = 0;
    confine(arg[count++]);
  }
  arg[count] = NULL;
  return count;
}

static int run(int argc, char **argv) {
  fflush(stdout), fflush(stderr);
  int out = dup(1), err = dup(2);
  if (dup2(captured[1], 1) < 0 || dup2(captured[2], 2) < 0) wrong("no", "streams");
  int code = face_main(sy_model_entry(), argc, argv);
  fflush(stdout), fflush(stderr);
  clearerr(stdout);
  dup2(out, 1), dup2(err, 2);
  close(out), close(err);
  return code;
}

static int next_file(void) {
  int fd = dup(STDIN_FILENO);
  close(fd);
  return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!*folder) begin();
  char *text = malloc(size + 1), *argv[MAX_ARGS + 2];
  if (!text) abort();
  if (size) memcpy(text, data, size);
  text[size] = 0;
  int argc = split(text, size, argv), before = next_file();
  FaceArgs a;
  HostError err = {.text = ""};
  bool parsed = face_args_parse(&a, argc, argv, &err);
  if (a.repeat <= REPEAT && a.threads <= THREADS) {
    int code = run(argc, argv);
    if (code != FACE_OK && code != FACE_USAGE && code != FACE_IO && code != FACE_CHECK) wrong("an exit status", "");
    check_text(code, &a, parsed);
    check_folder(code, a.command);
    if (next_file() != before) wrong("a file stays open", "");
  }
  face_args_free(&a);
  free(text);
  return 0;
}

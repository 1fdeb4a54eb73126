// other.c - what people have in place of a checkpoint, told by its first bytes, and what to do about it. See other.h.
#include "other.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { PEEK = 512 }; // bytes that texts are told by

typedef struct Bytes {
  const uint8_t *p;
  size_t n;
} Bytes;

static bool has(Bytes b, size_t at, const char *what, size_t n) {
  return b.n >= at + n && !memcmp(b.p + at, what, n);
}

/* binary formats ----------------------------------------------------------------------------------------------- */
#define SAFE_AGAIN "load it where it was made, and save its tensors with safetensors"
#define MAGIC(s) s, sizeof s - 1

static const struct {
  size_t at;
  const char *magic;
  size_t n;
  const char *what, *advice;
} magics[] = {
    {0, MAGIC("\x1f\x8b"), "packed with gzip", "unpack it first: gunzip FILE.gz"},
    {0, MAGIC("\x28\xb5\x2f\xfd"), "packed with zstd", "unpack it first: zstd -d FILE"},
    {0,
     MAGIC("\xfd"
           "7zXZ"),
     "packed with xz", "unpack it first: xz -d FILE"},
    {0, MAGIC("BZh"), "packed with bzip2", "unpack it first: bunzip2 FILE"},
    {0, MAGIC("7z\xbc\xaf\x27\x1c"), "a 7z archive", "unpack it first: 7z x FILE"},
    {0, MAGIC("Rar!"), "a RAR archive", "unpack it first: unrar x FILE"},
    {0, MAGIC("PK\5\6"), "an empty zip archive", "get the file again"},
    {0, MAGIC("ggml"), "a GGML file", "convert it to GGUF, or take the model's safetensors"},
    {0, MAGIC("lmgg"), "a GGML file", "convert it to GGUF, or take the model's safetensors"},
    {0, MAGIC("tjgg"), "a GGML file", "convert it to GGUF, or take the model's safetensors"},
    {0, MAGIC("\x89HDF\r\n\x1a\n"), "an HDF5 file (Keras, TensorFlow)",
     "take the model's PyTorch or safetensors file, or " SAFE_AGAIN},
    {4, MAGIC("TFL3"), "a TensorFlow Lite model", "take the model's PyTorch or safetensors file"},
    {0, MAGIC("\x93NUMPY"), "a NumPy array", "a checkpoint has names: " SAFE_AGAIN},
    {0, MAGIC("SYWEIGHT"), "packed weights of a compiled model", "name the checkpoint that they were packed from"},
    {0,
     MAGIC("\x7f"
           "ELF"),
     "a program", "name a checkpoint"},
    {0, MAGIC("%PDF"), "a PDF document", "name a checkpoint"},
    {0, MAGIC("\x89PNG"), "a picture", "name a checkpoint"},
    {0, MAGIC("\xff\xd8\xff"), "a picture", "name a checkpoint"},
};

// An ONNX model begins with its version (field 1, a small number) and most often its producer (field 2, text); a
// TensorFlow SavedModel with its version and a message that begins with another one (field 1).
static bool is_protobuf(Bytes b, bool onnx) {
  if (b.n < 8 || b.p[0] != 0x08 || !b.p[1] || b.p[1] > 0x40 || b.p[2] != 0x12)
    return b.n > 8 && onnx && b.p[0] == 0x08 && b.p[2] == 0x3a;
  bool text = b.p[3] < 0x60 && isprint(b.p[4]) && isprint(b.p[5]);
  return text == onnx;
}

// A map, whose first key is a short text: what Flax writes.
static bool is_msgpack(Bytes b) {
  size_t at = b.n && b.p[0] >= 0x81 && b.p[0] <= 0x8f ? 1 : b.n && b.p[0] == 0xde ? 3 : b.n && b.p[0] == 0xdf ? 5 : 0;
  return at && b.n > at + 1 && ((b.p[at] > 0xa0 && b.p[at] <= 0xbf && isprint(b.p[at + 1])) || b.p[at] == 0xd9);
}

// The index of a TensorFlow checkpoint is a table whose last bytes say so.
static bool is_tensorflow_index(Bytes b) {
  return b.n >= 48 && has(b, b.n - 8, MAGIC("\x57\xfb\x80\x8b\x24\x75\x47\xdb"));
}

/* texts --------------------------------------------------------------------------------------------------------- */
static Bytes without_blanks(Bytes b) {
  if (has(b, 0, MAGIC("\xef\xbb\xbf"))) b.p += 3, b.n -= 3;
  while (b.n && isspace(b.p[0])) b.p++, b.n--;
  return b;
}

static bool begins(Bytes b, const char *lower) {
  size_t n = strlen(lower);
  if (b.n < n) return false;
  for (size_t i = 0; i < n; i++)
    if (tolower(b.p[i]) != lower[i]) return false;
  return true;
}

static bool is_markup(Bytes b) {
  static const char *const tag[] = {"<!doctype", "<html", "<head", "<body", "<!--", "<?xml", "<script", "<title"};
  for (size_t i = 0; i < sizeof tag / sizeof *tag; i++)
    if (begins(b, tag[i])) return true;
  return false;
}

static bool is_text(Bytes b) {
  size_t n = b.n < PEEK ? b.n : PEEK;
  for (size_t i = 0; i < n; i++)
    if (b.p[i] < 0x80 && !isprint(b.p[i]) && !isspace(b.p[i])) return false;
  return n > 0;
}

// "size 1234" of a pointer of git-LFS; 0 if it is not there.
static unsigned long long pointer_size(Bytes b) {
  static const char key[] = "\nsize ";
  unsigned long long size = 0;
  for (size_t i = 0; i + sizeof key < b.n && i < PEEK; i++)
    if (has(b, i, key, sizeof key - 1))
      for (size_t k = i + sizeof key - 1; k < b.n && isdigit(b.p[k]) && size < 1000000000000000; k++)
        size = 10 * size + (unsigned)(b.p[k] - '0');
  return size;
}

static bool say(StError *err, const char *what, const char *advice) {
  st_fail(err, "this is %s, not a checkpoint; %s", what, advice);
  return true;
}

static bool say_text(Bytes b, StError *err) {
  int n = 0; // of the first line
  while ((size_t)n < b.n && n < 60 && b.p[n] != '\n' && b.p[n] != '\r') n++;
  st_fail(err, "this is a text, not a checkpoint; it begins '%.*s'. If a download failed, get the file again", n,
          (const char *)b.p);
  return true;
}

static bool is_json(Bytes b) { // not a text in brackets, such as [PAD]
  if (!b.n || (b.p[0] != '{' && b.p[0] != '[')) return false;
  Bytes inside = without_blanks((Bytes){b.p + 1, b.n - 1});
  return !inside.n || strchr("\"{}[]-0123456789", inside.p[0]) != NULL;
}

static bool is_other_text(Bytes all, StError *err) {
  Bytes b = without_blanks(all);
  if (begins(b, "version https://git-lfs") || begins(b, "version http://git-media")) {
    st_fail(err,
            "this is a pointer of git-LFS, not the file itself (of %llu bytes); fetch that with `git lfs pull` in its "
            "repository, or download it from its page",
            pointer_size(b));
    return true;
  }
  if (is_markup(b))
    return say(
        err, "a web page",
        "the download gave a page for people (a login, a warning, a viewer): follow its link to the file itself");
  if (!is_text(all)) return false;
  if (is_json(b))
    return say(err, "JSON text", "of a model in several files name the index (model.safetensors.index.json)");
  return say_text(b, err);
}

bool st_is_other(const uint8_t *bytes, size_t n, StError *err) {
  Bytes b = {bytes, n};
  if (!n) return say(err, "an empty file", "get it again");
  for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
    if (has(b, magics[i].at, magics[i].magic, magics[i].n)) return say(err, magics[i].what, magics[i].advice);
  if (is_protobuf(b, true))
    return say(err, "an ONNX model", "take the PyTorch or safetensors file that it was made from");
  if (is_protobuf(b, false) || is_tensorflow_index(b))
    return say(err, "a file of TensorFlow", "take the model's PyTorch or safetensors file, or " SAFE_AGAIN);
  if (is_msgpack(b))
    return say(err, "a msgpack file (Flax)", "take the model's PyTorch or safetensors file, or " SAFE_AGAIN);
  return is_other_text(b, err);
}

// scenes.c: draws scenes, and says what is in them: the data that models/scenes.sy learns from.
//
//   cc -O2 -ffp-contract=off -I. examples/scenes/scenes.c data/random.c -lm -o scenes
//   ./scenes --split train --count 40000 -o train             # arrays by input name: what a trainer reads
//   ./scenes --split test --count 20 --pictures -o some       # with pictures and scenes.jsonl, for people
//   ./scenes --draw "topleft small red circle center large blue ring" -o scene.png
//
// A scene is 1 to 4 objects on a grid of 3 x 3 places: a shape, a colour and a size each, on a light ground. Its
// caption names all of them in the order of reading, its query some of them, its questions have answers of one word.
// Scene i of a split is a function of the seed and i alone (runtime/random.h). Five pairs of shape and colour never
// occur in the splits "train" and "test", neither in pictures nor in words; every scene of "unseen" has one.
//
// Written for N scenes with Q questions each, into a folder:
//   scenes.safetensors: image u8[N, 48, 48, 3], caption and query i32[N, 18], questions i32[N, Q, 12], labels and kinds
//   i32[N, Q]; 0 fills up behind the end of a text
//   vocab.txt (a word a line, for the tokenizer of BERT), answers.txt (what labels count), kinds.txt (what kinds count)
//   with --pictures: 000000.png .., and scenes.jsonl, a line a question
#define _FILE_OFFSET_BITS 64
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "data/random.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { GRID = 3, CELL = 16, SIDE = GRID * CELL, PLACES = GRID * GRID, MOST = 4, SHAPES = 5, COLORS = 7, SIZES = 2 };
enum { CAPTION = 2 + 4 * MOST, QUESTION = 12, MAX_QUESTIONS = 32, TEXT = 256 };

/* words ------------------------------------------------------------------------------------------------------------ */

// The vocabulary: a word's number is its place. Answers are a range of it, so that a model reads them with the rows of
// its word table.
static const char *const word[] = {
    "[PAD]",   "[UNK]",    "[CLS]",     "[SEP]",    "[MASK]", "yes",        "no",     "0",           "1",
    "2",       "3",        "4",         "red",      "green",  "blue",       "yellow", "purple",      "orange",
    "black",   "circle",   "square",    "triangle", "cross",  "ring",       "small",  "large",       "topleft",
    "top",     "topright", "left",      "center",   "right",  "bottomleft", "bottom", "bottomright", "nothing",
    "circles", "squares",  "triangles", "crosses",  "rings",  "what",       "color",  "shape",       "size",
    "where",   "is",       "are",       "the",      "a",      "how",        "many",   "there",       "things",
    "thing",   "of",       "above",     "below",    "more",   "than",       "at"};
enum { WORDS = sizeof word / sizeof *word, PAD = 0, CLS = 2, SEP = 3, MASK = 4, FIRST_ANSWER = 5, ANSWERS = 31 };
enum { NUMBERS = 7, COLOR = 12, SHAPE = 19, SIZE = 24, PLACE = 26, NOTHING = 35, PLURAL = 36 }; // first of each kind

static int word_id(const char *s, size_t n) {
  for (int i = 0; i < WORDS; i++)
    if (strlen(word[i]) == n && !memcmp(word[i], s, n)) return i;
  return -1;
}

// Ids of a text: [CLS], its words, `end`, then 0. What has no room is a mistake of this program.
static void encode(const char *text, int end, int32_t *id, int room) {
  int n = 0;
  memset(id, 0, (size_t)room * sizeof *id);
  id[n++] = CLS;
  for (const char *s = text; *s;) {
    size_t k = strcspn(s, " ");
    if (n + 1 < room) id[n++] = word_id(s, k);
    s += k + (s[k] == ' ');
  }
  id[n] = end;
}

/* scenes ----------------------------------------------------------------------------------------------------------- */

typedef struct Object {
  int shape, color, size, place;
} Object;
typedef struct Scene {
  int n;
  Object at[MOST]; // by place
} Scene;

typedef enum Split { TRAIN, TEST, UNSEEN, SPLITS } Split;
static const char *const split_name[SPLITS] = {"train", "test", "unseen"};

// Colours of a shape that are held out.
static bool held_out(int shape, int color) {
  static const char *const pair[SHAPES] = {"purple", "green", "blue", "yellow",
                                           "red"}; // circle square triangle cross ring
  return !strcmp(word[COLOR + color], pair[shape]);
}

static int below(DataDraws *d, int n) {
  return (int)draw_between(d, 0, n - 1);
}

static Object any_object(DataDraws *d, Split split, bool held) {
  Object o;
  do {
    o = (Object){.shape = below(d, SHAPES), .color = below(d, COLORS), .size = below(d, SIZES)};
  } while (held ? !held_out(o.shape, o.color) : split != UNSEEN && held_out(o.shape, o.color));
  return o;
}

static Scene any_scene(DataDraws *d, Split split) {
  static const int share[10] = {1, 1, 1, 2, 2,
                                2, 3, 3, 4, 4}; // few objects more often: with many alone little is learnt
  Scene s = {.n = share[below(d, 10)]};
  uint32_t place[PLACES], scratch[PLACES];
  draw_choice(d, PLACES, (size_t)s.n, place, scratch);
  int special = below(d, s.n); // the one that must be held out
  bool taken[PLACES] = {false};
  for (int i = 0; i < s.n; i++) taken[place[i]] = true;
  for (int p = 0, i = 0; p < PLACES; p++)
    if (taken[p]) {
      s.at[i] = any_object(d, split, split == UNSEEN && i == special);
      s.at[i++].place = p;
    }
  return s;
}

// Whether an object is what -1 (any) or a number says of its shape, colour and size.
static bool fits(const Object *o, int shape, int color, int size) {
  return (shape < 0 || shape == o->shape) && (color < 0 || color == o->color) && (size < 0 || size == o->size);
}
static int count(const Scene *s, int shape, int color, int size) {
  int n = 0;
  for (int i = 0; i < s->n; i++) n += fits(&s->at[i], shape, color, size);
  return n;
}

static int row(const Object *o) {
  return o->place / GRID;
}
static int column(const Object *o) {
  return o->place % GRID;
}
// Is a left of (0), right of (1), above (2), below (3) b?
static bool lies(const Object *a, const Object *b, int way) {
  int by = way < 2 ? column(b) - column(a) : row(b) - row(a);
  return way % 2 ? by < 0 : by > 0;
}
static const char *const way_name[] = {"left of", "right of", "above", "below"};

/* texts ------------------------------------------------------------------------------------------------------------ */

static void say(char *text, const char *what) {
  size_t n = strlen(text);
  snprintf(text + n, TEXT - n, "%s%s", n ? " " : "", what);
}
static void say_object(char *text, const Object *o) { // its place, size, colour and shape
  say(text, word[PLACE + o->place]);
  say(text, word[SIZE + o->size]);
  say(text, word[COLOR + o->color]);
  say(text, word[SHAPE + o->shape]);
}

static void caption(const Scene *s, char *text) {
  for (int i = 0; i < s->n; i++) say_object(text, &s->at[i]);
}

// What somebody would look for: half of the time the whole caption, else one or more objects, without places or sizes
// sometimes.
static void query(const Scene *s, DataDraws *d, char *text) {
  bool all = draw_unit(d) < 0.5, place = all || draw_unit(d) < 0.5, size = all || draw_unit(d) < 0.5;
  int sure = below(d, s->n);
  for (int i = 0; i < s->n; i++) {
    if (!all && i != sure && draw_unit(d) < 0.5) continue;
    if (place) say(text, word[PLACE + s->at[i].place]);
    if (size) say(text, word[SIZE + s->at[i].size]);
    say(text, word[COLOR + s->at[i].color]);
    say(text, word[SHAPE + s->at[i].shape]);
  }
}

/* questions -------------------------------------------------------------------------------------------------------- */

// Each asks one question about a scene, in words to `q`, and gives the answer's word; -1: this cannot be asked of it.
typedef int Asker(const Scene *s, DataDraws *d, Split split, char *q);

static const Object *any(const Scene *s, DataDraws *d) {
  return &s->at[below(d, s->n)];
}
// An object that its colour and shape tell from all others; NULL if the one that was drawn is not.
static const Object *named(const Scene *s, DataDraws *d) {
  const Object *o = any(s, d);
  return count(s, o->shape, o->color, -1) == 1 ? o : NULL;
}
static void say_named(char *q, const Object *o) {
  say(q, "the");
  say(q, word[COLOR + o->color]);
  say(q, word[SHAPE + o->shape]);
}

static int ask_color(const Scene *s, DataDraws *d, Split split, char *q) {
  (void)split;
  const Object *o = any(s, d);
  bool sized = below(d, 2) == 1;
  if (count(s, o->shape, -1, sized ? o->size : -1) != 1) return -1;
  say(q, "what color is the");
  if (sized) say(q, word[SIZE + o->size]);
  say(q, word[SHAPE + o->shape]);
  return COLOR + o->color;
}
static int ask_shape(const Scene *s, DataDraws *d, Split split, char *q) {
  (void)split;
  const Object *o = any(s, d);
  bool sized = below(d, 2) == 1;
  if (count(s, -1, o->color, sized ? o->size : -1) != 1) return -1;
  say(q, "what shape is the");
  if (sized) say(q, word[SIZE + o->size]);
  say(q, word[COLOR + o->color]);
  say(q, "thing");
  return SHAPE + o->shape;
}
static int ask_size(const Scene *s, DataDraws *d, Split split, char *q) {
  (void)split;
  const Object *o = named(s, d);
  if (!o) return -1;
  say(q, "what size is");
  say_named(q, o);
  return SIZE + o->size;
}
static int ask_where(const Scene *s, DataDraws *d, Split split, char *q) {
  (void)split;
  const Object *o = named(s, d);
  if (!o) return -1;
  say(q, "where is");
  say_named(q, o);
  return PLACE + o->place;
}
static int ask_count(const Scene *s, DataDraws *d, Split split, char *q) {
  const Object *here = any(s, d), other = any_object(d, split, false), *o = draw_unit(d) < 0.75 ? here : &other;
  int of = below(d, 8), n; // three of a shape, three of a colour, one of a size, one of everything
  say(q, "how many");
  if (of < 3) {
    say(q, word[PLURAL + o->shape]);
    n = count(s, o->shape, -1, -1);
  } else {
    if (of < 7) say(q, of < 6 ? word[COLOR + o->color] : word[SIZE + o->size]);
    say(q, "things");
    n = count(s, -1, of < 6 ? o->color : -1, of == 6 ? o->size : -1);
    if (of == 7) n = s->n;
  }
  if (n == 1 && below(d, 2)) return -1; // the answer that would be most frequent
  say(q, "are there");
  return NUMBERS + n;
}
static int ask_exists(const Scene *s, DataDraws *d, Split split, char *q) {
  Object o = *any(s, d);
  bool yes = below(d, 2) == 1, hard = below(d, 2) == 1; // the shape of one and the colour of another are harder
  for (int tries = 0; !yes && count(s, o.shape, o.color, -1); tries++) {
    if (hard && tries < 8)
      o = (Object){.shape = any(s, d)->shape, .color = any(s, d)->color};
    else
      o = any_object(d, split, false);
    if (split != UNSEEN && held_out(o.shape, o.color)) o = *any(s, d); // not even in words
  }
  say(q, "is there a");
  say(q, word[COLOR + o.color]);
  say(q, word[SHAPE + o.shape]);
  return word_id(yes ? "yes" : "no", yes ? 3 : 2);
}
static int ask_relation(const Scene *s, DataDraws *d, Split split, char *q) {
  (void)split;
  const Object *a = named(s, d), *b = named(s, d);
  int way = below(d, 4);
  bool yes = below(d, 2) == 1;
  if (!a || !b || !lies(a, b, yes ? way : way ^ 1)) return -1;
  say(q, "is");
  say_named(q, a);
  say(q, way_name[way]);
  say_named(q, b);
  return word_id(yes ? "yes" : "no", yes ? 3 : 2);
}
static int ask_neighbour(const Scene *s, DataDraws *d, Split split, char *q) {
  (void)split;
  const Object *b = named(s, d), *a = NULL;
  int way = below(d, 4), n = 0;
  bool color = below(d, 2) == 1;
  if (!b) return -1;
  for (int i = 0; i < s->n; i++)
    if (lies(&s->at[i], b, way)) a = &s->at[i], n++;
  if (n != 1) return -1;
  say(q, color ? "what color is the thing" : "what shape is the thing");
  say(q, way_name[way]);
  say_named(q, b);
  return color ? COLOR + a->color : SHAPE + a->shape;
}
static int ask_more(const Scene *s, DataDraws *d, Split split, char *q) {
  const Object *a = any(s, d), other = any_object(d, split, false), *b = below(d, 2) ? any(s, d) : &other;
  bool colors = below(d, 2) == 1;
  if (below(d, 2)) {
    const Object *t = a;
    a = b, b = t;
  }
  int m = colors ? count(s, -1, a->color, -1) : count(s, a->shape, -1, -1);
  int n = colors ? count(s, -1, b->color, -1) : count(s, b->shape, -1, -1);
  if ((colors ? a->color == b->color : a->shape == b->shape) || (m == n && below(d, 4))) return -1; // few ties
  say(q, "are there more");
  say(q, colors ? word[COLOR + a->color] : word[PLURAL + a->shape]);
  say(q, colors ? "things than" : "than");
  say(q, colors ? word[COLOR + b->color] : word[PLURAL + b->shape]);
  if (colors) say(q, "things");
  return word_id(m > n ? "yes" : "no", m > n ? 3 : 2);
}
static int ask_at(const Scene *s, DataDraws *d, Split split, char *q) {
  (void)split;
  const Object *o = any(s, d);
  bool color = below(d, 2) == 1;
  int place = below(d, 4) ? o->place : below(d, PLACES), answer = NOTHING;
  for (int i = 0; i < s->n; i++)
    if (s->at[i].place == place) answer = color ? COLOR + s->at[i].color : SHAPE + s->at[i].shape;
  say(q, color ? "what color is at the" : "what shape is at the");
  say(q, word[PLACE + place]);
  return answer;
}

static const struct Kind {
  const char *name;
  Asker *ask;
  int often; // in the split "train", where what is harder is asked more often; in the others all are asked as often
} kind[] = {{"color", ask_color, 2}, {"shape", ask_shape, 2},       {"size", ask_size, 1},
            {"where", ask_where, 3}, {"count", ask_count, 4},       {"exists", ask_exists, 4},
            {"at", ask_at, 1},       {"relation", ask_relation, 5}, {"neighbour", ask_neighbour, 2},
            {"more", ask_more, 4}};
enum { KINDS = sizeof kind / sizeof *kind };

static int any_kind(DataDraws *d, Split split) {
  int all = 0, k = 0;
  if (split != TRAIN) return below(d, KINDS);
  for (k = 0; k < KINDS; k++) all += kind[k].often;
  int at = below(d, all);
  for (k = 0; at >= kind[k].often; k++) at -= kind[k].often;
  return k;
}

// A question of any kind that the scene allows: the kind.
static int ask(const Scene *s, DataDraws *d, Split split, char *q, int *answer) {
  for (;;) {
    int k = any_kind(d, split);
    for (int tries = 0; tries < 16; tries++) {
      *q = 0;
      *answer = kind[k].ask(s, d, split, q);
      if (*answer >= 0) return k;
    }
  }
}

/* pictures --------------------------------------------------------------------------------------------------------- */

static const uint8_t rgb[COLORS][3] = {{215, 40, 40},  {40, 160, 60},  {45, 80, 215}, {235, 205, 40},
                                       {145, 50, 165}, {240, 130, 30}, {35, 35, 40}};

// Is the point (x, y) in a shape whose half width is 1?
static bool inside(int shape, double x, double y) {
  double r2 = x * x + y * y;
  switch (shape) {
  case 0: return r2 < 1;
  case 1: return fabs(x) < 0.88 && fabs(y) < 0.88;
  case 2: return y > -0.95 && y < 0.85 && fabs(x) < 0.55 * (y + 0.95);
  case 3: return (fabs(x) < 0.33 && fabs(y) < 1) || (fabs(y) < 0.33 && fabs(x) < 1);
  default: return r2 < 1 && r2 > 0.3;
  }
}

static uint8_t as_byte(double v) {
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
}

// The picture, [SIDE][SIDE][3]: a light ground, perhaps tinted; objects somewhere in their cells, in shades of their
// colours, with soft edges; a little noise.
static void paint(const Scene *s, DataDraws *d, uint8_t *out) {
  static double picture[3][SIDE][SIDE];
  double light = draw_uniform(d, 215, 250), tint = below(d, 2) ? 20 : 0;
  for (int c = 0; c < 3; c++) {
    double ground = light - draw_uniform(d, 0, tint);
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++) picture[c][y][x] = ground;
  }
  for (int i = 0; i < s->n; i++) {
    const Object *o = &s->at[i];
    double r = o->size ? draw_uniform(d, 6.3, 7.5) : draw_uniform(d, 3.6, 4.6), free = CELL / 2 - r - 0.2, shade[3];
    double cx = CELL * (column(o) + 0.5) + draw_uniform(d, -free, free),
           cy = CELL * (row(o) + 0.5) + draw_uniform(d, -free, free);
    for (int c = 0; c < 3; c++) shade[c] = rgb[o->color][c] + draw_uniform(d, -18, 18);
    for (int y = row(o) * CELL; y < (row(o) + 1) * CELL; y++)
      for (int x = column(o) * CELL; x < (column(o) + 1) * CELL; x++) {
        int hit = 0;
        for (int k = 0; k < 16; k++)
          hit += inside(o->shape, (x + (k % 4 + 0.5) / 4 - cx) / r, (y + (k / 4 + 0.5) / 4 - cy) / r);
        for (int c = 0; c < 3; c++) picture[c][y][x] += (shade[c] - picture[c][y][x]) * hit / 16;
      }
  }
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      uint32_t noise = draw_word(d);
      for (int c = 0; c < 3; c++, noise >>= 8)
        out[3 * (y * SIDE + x) + c] = as_byte(picture[c][y][x] + ((int)(noise & 255) - 128) / 20.0);
    }
}

/* files ------------------------------------------------------------------------------------------------------------ */

static void fail(const char *what, const char *path) {
  fprintf(stderr, "scenes: %s: %s\n", path, what);
  exit(3);
}

static FILE *create(const char *folder, const char *name) {
  char path[1024];
  int n = snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
  FILE *f = n < (int)sizeof path ? fopen(path, "wb") : NULL;
  if (!f) fail(n < (int)sizeof path ? strerror(errno) : "the name is too long", path);
  return f;
}
static void put(FILE *f, const void *data, size_t bytes) {
  if (fwrite(data, 1, bytes, f) != bytes) fail(strerror(errno), "cannot write");
}
static void finish(FILE *f) {
  if (fclose(f)) fail(strerror(errno), "cannot write");
}

// The arrays of a safetensors file: the length of a JSON object, the object, then the elements of one array behind
// those of another. All are written at once, each through a stream of its own.
enum { IMAGE, CAPTIONS, QUERIES, QUESTIONS, LABELS, KIND, ARRAYS };
typedef struct Array {
  const char *name, *dtype;
  size_t bytes; // of a scene
  int rank, dim[3];
} Array;

static void create_arrays(const char *folder, long count, const Array *a, FILE **out) {
  char head[2048], path[1024];
  size_t n = 0, at = 0;
  FILE *f = create(folder, "scenes.safetensors");
  for (int i = 0; i < ARRAYS; i++) {
    size_t end = at + a[i].bytes * (size_t)count;
    n += (size_t)snprintf(head + n, sizeof head - n, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%ld", i ? "," : "{",
                          a[i].name, a[i].dtype, count);
    for (int k = 0; k < a[i].rank; k++) n += (size_t)snprintf(head + n, sizeof head - n, ",%d", a[i].dim[k]);
    n += (size_t)snprintf(head + n, sizeof head - n, "],\"data_offsets\":[%zu,%zu]}", at, end);
    at = end;
  }
  n += (size_t)snprintf(head + n, sizeof head - n, "}");
  while (n % 8) head[n++] = ' ';
  for (int k = 0; k < 8; k++) fputc((int)(n >> 8 * k & 255), f);
  put(f, head, n);
  finish(f);
  snprintf(path, sizeof path, "%s/scenes.safetensors", folder); // it was created: the name fits
  at = 8 + n;
  for (int i = 0; i < ARRAYS; i++) {
    out[i] = fopen(path, "r+b");
    if (!out[i] || fseeko(out[i], (off_t)at, SEEK_SET)) fail(strerror(errno), path);
    at += a[i].bytes * (size_t)count;
  }
}

static void put_big(uint8_t *at, uint32_t v) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(v >> (24 - 8 * i));
}
static void put_chunk(FILE *f, const char *name, const uint8_t *data, size_t n) {
  uint8_t head[8], tail[4];
  uint32_t crc = 0xffffffff;
  put_big(head, (uint32_t)n);
  memcpy(head + 4, name, 4);
  for (size_t i = 0; i < n + 4; i++) {
    crc ^= i < 4 ? head[4 + i] : data[i - 4];
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  put_big(tail, ~crc);
  put(f, head, 8);
  put(f, data, n);
  put(f, tail, 4);
}

// PNG without compression, so that nothing but libc is needed: a stored block for each row of pixels.
static void write_png(FILE *f, const uint8_t *picture, int scale) {
  enum { MOST_SCALE = 16, ROW = 1 + 3 * SIDE * MOST_SCALE };
  static uint8_t data[(size_t)SIDE * MOST_SCALE * (ROW + 5) + 6];
  int side = SIDE * scale, n = 0;
  size_t row_bytes = 1 + 3 * (size_t)side;
  uint32_t a = 1, b = 0; // Adler's sums
  uint8_t head[13] = {0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0};
  put_big(head, (uint32_t)side);
  put_big(head + 4, (uint32_t)side);
  data[n++] = 0x78, data[n++] = 1;
  for (int y = 0; y < side; y++) {
    data[n++] = y == side - 1; // the last block
    for (int k = 0; k < 2; k++) data[n++] = (uint8_t)(row_bytes >> 8 * k);
    for (int k = 0; k < 2; k++) data[n++] = (uint8_t)(~row_bytes >> 8 * k);
    for (size_t i = 0; i < row_bytes; i++) {
      size_t x = i ? (i - 1) / 3 : 0, c = i ? (i - 1) % 3 : 0;
      data[n] = i ? picture[3 * ((size_t)(y / scale) * SIDE + x / (size_t)scale) + c] : 0; // a row's filter: none
      a = (a + data[n++]) % 65521;
      b = (b + a) % 65521;
    }
  }
  put_big(data + n, b << 16 | a);
  put(f, "\x89PNG\r\n\x1a\n", 8);
  put_chunk(f, "IHDR", head, 13);
  put_chunk(f, "IDAT", data, (size_t)n + 4);
  put_chunk(f, "IEND", NULL, 0);
}

static void write_lines(const char *folder, const char *name, const char *const *line, int n) {
  FILE *f = create(folder, name);
  for (int i = 0; i < n; i++) fprintf(f, "%s\n", line[i]);
  finish(f);
}

/* the command ------------------------------------------------------------------------------------------------------ */

typedef struct Args {
  uint64_t seed;
  long count, questions, scale;
  Split split;
  const char *out, *draw;
  bool pictures;
} Args;

static void usage(const char *why, const char *about) {
  fprintf(
      stderr,
      "scenes: %s%s\n"
      "usage: scenes [--split train|test|unseen] [--count N] [--questions N] [--seed N] [--pictures] [--scale N] -o "
      "FOLDER\n"
      "       scenes --draw \"topleft small red circle center large blue ring\" [--seed N] [--scale N] -o FILE.png\n",
      why, about);
  exit(2);
}

static long number(const char *option, const char *text, long lo, long hi) {
  char *end;
  errno = 0;
  long n = strtol(text, &end, 10);
  if (errno || end == text || *end || n < lo || n > hi) usage("not a number that fits: ", option);
  return n;
}

static Args read_args(int argc, char **argv) {
  Args a = {.seed = 1, .count = 1000, .questions = 4, .scale = 1};
  for (int i = 1; i < argc; i++) {
    const char *o = argv[i];
    if (!strcmp(o, "--pictures")) {
      a.pictures = true;
      continue;
    }
    if (i + 1 == argc) usage("unknown, or nothing behind it: ", o);
    const char *v = argv[++i];
    if (!strcmp(o, "--seed"))
      a.seed = (uint64_t)number(o, v, 0, 1000000000);
    else if (!strcmp(o, "--count"))
      a.count = number(o, v, 1, 10000000);
    else if (!strcmp(o, "--questions"))
      a.questions = number(o, v, 1, MAX_QUESTIONS);
    else if (!strcmp(o, "--scale"))
      a.scale = number(o, v, 1, 16);
    else if (!strcmp(o, "--draw"))
      a.draw = v;
    else if (!strcmp(o, "-o"))
      a.out = v;
    else if (!strcmp(o, "--split")) {
      for (a.split = TRAIN; a.split < SPLITS && strcmp(v, split_name[a.split]); a.split++) continue;
      if (a.split == SPLITS) usage("not a split: ", v);
    } else
      usage("unknown: ", o);
  }
  if (!a.out) usage("where to? (-o)", "");
  return a;
}

// The scene of a caption.
static Scene read_scene(const char *text) {
  Scene s = {0};
  Object o = {-1, -1, -1, -1};
  char copy[TEXT];
  snprintf(copy, sizeof copy, "%s", text);
  for (char *w = strtok(copy, " ,;"); w; w = strtok(NULL, " ,;")) {
    int id = word_id(w, strlen(w));
    if (id >= COLOR && id < SHAPE)
      o.color = id - COLOR;
    else if (id >= SHAPE && id < SIZE)
      o.shape = id - SHAPE;
    else if (id >= SIZE && id < PLACE)
      o.size = id - SIZE;
    else if (id >= PLACE && id < NOTHING)
      o.place = id - PLACE;
    else
      usage("a scene has no such word: ", w);
    if (o.shape < 0) continue;
    if (o.color < 0 || o.size < 0 || o.place < 0) usage("say place, size, color and shape of each object: ", text);
    if (s.n == MOST) usage("a scene has at most 4 objects: ", text);
    s.at[s.n++] = o;
    o = (Object){-1, -1, -1, -1};
  }
  if (!s.n) usage("nothing is drawn: ", text);
  return s;
}

static void draw_one(const Args *a) {
  Scene s = read_scene(a->draw);
  DataDraws d = data_draws(a->seed, SY_RANDOM_INPUT, SPLITS, 0);
  uint8_t picture[3 * SIDE * SIDE];
  paint(&s, &d, picture);
  FILE *f = create("", a->out);
  write_png(f, picture, (int)a->scale);
  finish(f);
}

static void write_picture(const Args *a, long i, const uint8_t *picture) {
  char name[64];
  snprintf(name, sizeof name, "%06ld.png", i);
  FILE *f = create(a->out, name);
  write_png(f, picture, (int)a->scale);
  finish(f);
}

static void make_folder(const char *path) {
  if (mkdir(path, 0777) && errno != EEXIST) fail(strerror(errno), path);
}

static void write_split(const Args *a) {
  const char *names[KINDS];
  int Q = (int)a->questions;
  const size_t word_bytes = sizeof(int32_t), questions = (size_t)Q;
  const Array array[ARRAYS] = {[IMAGE] = {"image", "U8", (size_t)3 * SIDE * SIDE, 3, {SIDE, SIDE, 3}},
                               [CAPTIONS] = {"caption", "I32", CAPTION * word_bytes, 1, {CAPTION}},
                               [QUERIES] = {"query", "I32", CAPTION * word_bytes, 1, {CAPTION}},
                               [QUESTIONS] = {"questions", "I32", questions * QUESTION * word_bytes, 2, {Q, QUESTION}},
                               [LABELS] = {"labels", "I32", questions * word_bytes, 1, {Q}},
                               [KIND] = {"kinds", "I32", questions * word_bytes, 1, {Q}}};
  FILE *out[ARRAYS];
  make_folder(a->out);
  for (int k = 0; k < KINDS; k++) names[k] = kind[k].name;
  write_lines(a->out, "vocab.txt", word, WORDS);
  write_lines(a->out, "answers.txt", word + FIRST_ANSWER, ANSWERS);
  write_lines(a->out, "kinds.txt", names, KINDS);
  create_arrays(a->out, a->count, array, out);
  FILE *lines = a->pictures ? create(a->out, "scenes.jsonl") : NULL;
  for (long i = 0; i < a->count; i++) {
    DataDraws d = data_draws(a->seed, SY_RANDOM_INPUT, (uint32_t)a->split, (uint32_t)i);
    Scene s = any_scene(&d, a->split);
    uint8_t picture[3 * SIDE * SIDE];
    char said[TEXT] = "", sought[TEXT] = "", asked[TEXT];
    int32_t id[CAPTION], q[QUESTION];
    paint(&s, &d, picture);
    put(out[IMAGE], picture, sizeof picture);
    caption(&s, said);
    encode(said, SEP, id, CAPTION);
    put(out[CAPTIONS], id, sizeof id);
    query(&s, &d, sought);
    encode(sought, SEP, id, CAPTION);
    put(out[QUERIES], id, sizeof id);
    if (a->pictures) write_picture(a, i, picture);
    for (int k = 0; k < Q; k++) {
      int answer;
      int32_t of = ask(&s, &d, a->split, asked, &answer), label = answer - FIRST_ANSWER;
      encode(asked, MASK, q, QUESTION);
      put(out[QUESTIONS], q, sizeof q);
      put(out[LABELS], &label, sizeof label);
      put(out[KIND], &of, sizeof of);
      if (!lines) continue;
      fprintf(lines, "{\"image\": \"%06ld.png\", \"caption\": \"%s\", \"query\": \"%s\", ", i, said, sought);
      fprintf(lines, "\"kind\": \"%s\", \"question\": \"%s\", \"answer\": \"%s\", \"label\": %d}\n", kind[of].name,
              asked, word[answer], label);
    }
  }
  for (int i = 0; i < ARRAYS; i++) finish(out[i]);
  if (lines) finish(lines);
}

int main(int argc, char **argv) {
  Args a = read_args(argc, argv);
  if (a.draw)
    draw_one(&a);
  else
    write_split(&a);
  return 0;
}

// data_batches.c - batches of training: what fills each input, the same bytes from any number of workers and after a
// restart, samples that cannot be read.
#include "data_support.h"

#include "data/batch.h"

TestSuite(batches, .init = data_folder_begin, .fini = data_folder_end);

static const DataOptions plain = {0};

/* what an objective wants -------------------------------------------------------------------------------------------
 */
enum { DIM_B, DIM_L, DIM_M, DIM_N };
static const sy_bound dims[] = {{"B", 1, 8}, {"L", 1, 12}, {"M", 1, 24}, {"N", 1, 16}};
static const sy_prepare prepares[] = {
    {"image", "picture", "resize=square(8), filter=bicubic, mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5]"},
    {"image01", "picture", "resize=square(4), filter=lanczos, mean=[0, 0, 0], std=[1, 1, 1]"},
    {"image2", "picture", "resize=square(8), filter=bicubic, mean=[0, 0, 0], std=[1, 1, 1]"},
    {"canvas", "picture", "resize=shorter_capped(8, 16, 4), filter=bicubic, mean=[0, 0, 0], std=[1, 1, 1]"},
    {"places", "patches", "of=\"canvas\", patch=4"},
    {"text", "bert_wordpiece", "start=2, end=3, pad=0, lower=true, vocab=16"},
    {"answers", "bert_wordpiece", "start=1, end=3, pad=0, lower=true, vocab=16"}};
static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nleft\nright\ndog\n##s\nthe\nof\nyes\nno\ncat\nis\na\n";

#define FIXED(n)                                                                                                       \
  { .constant = (n), .dim = -1, .bound = (n) }
#define ANY(d, most)                                                                                                   \
  { .factor = 1, .dim = (d), .bound = (most) }
static const sy_tensor inputs[] = {{"image", "f32", 4, {ANY(DIM_B, 8), FIXED(3), FIXED(8), FIXED(8)}, 0, 0},
                                   {"image01", "f32", 4, {ANY(DIM_B, 8), FIXED(3), FIXED(4), FIXED(4)}, 0, 0},
                                   {"image2", "f32", 4, {ANY(DIM_B, 8), FIXED(3), FIXED(8), FIXED(8)}, 0, 0},
                                   {"canvas", "f32", 4, {ANY(DIM_B, 8), FIXED(3), FIXED(16), FIXED(16)}, 0, 0},
                                   {"places", "i32", 3, {ANY(DIM_B, 8), ANY(DIM_N, 16), FIXED(2)}, 0, 0},
                                   {"text", "i32", 2, {ANY(DIM_B, 8), ANY(DIM_L, 12)}, 0, 0},
                                   {"text_mask", "bool", 2, {ANY(DIM_B, 8), ANY(DIM_L, 12)}, 0, 0},
                                   {"text_type", "i32", 2, {ANY(DIM_B, 8), ANY(DIM_L, 12)}, 0, 0},
                                   {"text_mlm", "i32", 2, {ANY(DIM_B, 8), ANY(DIM_L, 12)}, 0, 0},
                                   {"mlm_labels", "i32", 2, {ANY(DIM_B, 8), ANY(DIM_L, 12)}, 0, 0},
                                   {"text_dec", "i32", 2, {ANY(DIM_B, 8), ANY(DIM_L, 12)}, 0, 0},
                                   {"next", "i32", 2, {ANY(DIM_B, 8), ANY(DIM_L, 12)}, 0, 0},
                                   {"labels", "i32", 1, {ANY(DIM_B, 8)}, 0, 0},
                                   {"targets", "f32", 2, {ANY(DIM_B, 8), FIXED(3)}, 0, 0},
                                   {"answer", "i32", 2, {ANY(DIM_M, 24), FIXED(4)}, 0, 0},
                                   {"answer_mask", "bool", 2, {ANY(DIM_M, 24), FIXED(4)}, 0, 0},
                                   {"answer_weights", "f32", 1, {ANY(DIM_M, 24)}, 0, 0},
                                   {"answers_per_question", "i32", 1, {ANY(DIM_B, 8)}, 0, 0},
                                   {"patch_mask", "bool", 2, {ANY(DIM_B, 8), FIXED(4)}, 0, 0},
                                   {"neg_image_idx", "i32", 1, {ANY(DIM_B, 8)}, 0, 0},
                                   {"itm_labels", "i32", 1, {ANY(DIM_B, 8)}, 0, 0},
                                   {"false_image", "f32", 4, {ANY(DIM_B, 8), FIXED(3), FIXED(8), FIXED(8)}, 0, 0},
                                   {"alpha", "f32", 0, {{0}}, 0, 0},
                                   {"features", "f32", 2, {ANY(DIM_B, 8), FIXED(2)}, 0, 0},
                                   {"question", "i32", 2, {ANY(DIM_B, 8), FIXED(3)}, 0, 0},
                                   {"caption", "i32", 2, {ANY(DIM_B, 8), ANY(DIM_L, 12)}, 0, 0}};

// Those of the inputs that are named, in this order.
typedef struct Wants {
  BatchWants wants;
  sy_tensor input[32];
} Wants;
static void want(Wants *w, const char *names) {
  unsigned n = 0;
  for (const char *at = names; *at; at += strspn(at, " ")) {
    size_t length = strcspn(at, " ");
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
      if (!strncmp(inputs[i].name, at, length) && !inputs[i].name[length]) w->input[n++] = inputs[i];
    at += length;
  }
  w->wants = (BatchWants){w->input, n, dims, 4, prepares, sizeof prepares / sizeof *prepares};
}
static const void *in(const Batch *b, const Wants *w, const char *name) {
  for (unsigned i = 0; i < w->wants.ninput; i++)
    if (!strcmp(w->input[i].name, name)) return b->in[i];
  cr_assert_fail("%s", name);
  return NULL;
}
static size_t bytes_of(const sy_tensor *t) {
  size_t n = t->dtype[0] == 'b' ? 1 : 4;
  for (unsigned d = 0; d < t->rank; d++) n *= (size_t)t->axis[d].bound;
  return n;
}

/* stages ------------------------------------------------------------------------------------------------------------
 */
typedef struct Lines {
  Arena arena;
  Intern names;
  Diag diag;
  Stage stage;
} Lines;
static Lines *stage_of(const char *lines) {
  Lines *t = calloc(1, sizeof *t);
  t->names.arena = &t->arena;
  diag_init(&t->diag, &t->arena);
  const char *text = arena_printf(&t->arena, "\"s\" {\nobjective o\n%s}\n", lines);
  uint32_t file = diag_add_file(&t->diag, "stage.ir", text, strlen(text));
  IrLex l;
  irlex_init(&l, text, strlen(text), file, &t->names, &t->diag);
  bool ok = stage_parse(&t->arena, &l, &t->stage);
  Buf out = {0};
  if (!ok) diag_print(&t->diag, &out, false);
  cr_assert(ok, "%s", out.s);
  return t;
}
static void free_lines(Lines *t) {
  arena_free(&t->arena);
  free(t);
}

static Data *open_one(const char *path) {
  HostError err;
  Data *d = data_open(&path, NULL, 1, &plain, &err);
  cr_assert_not_null(d, "%s", err.text);
  return d;
}
static Batches *open_batches(const Data *d, const Wants *w, const Lines *s, const BatchOptions *o) {
  HostError err;
  Batches *b = batches_open(d, &w->wants, s ? s->stage.input.at : NULL, s ? s->stage.input.n : 0, o, &err);
  cr_assert_not_null(b, "%s", err.text);
  return b;
}
static const Batch *next(Batches *b) {
  const Batch *batch;
  HostError err;
  cr_assert(batches_next(b, &batch, &err), "%s", err.text);
  return batch;
}
static void refuses(const Data *d, const Wants *w, const Lines *s, const BatchOptions *o, const char *why) {
  HostError err;
  Batches *b = batches_open(d, &w->wants, s ? s->stage.input.at : NULL, s ? s->stage.input.n : 0, o, &err);
  cr_assert_null(b, "%s", why);
  cr_expect_not_null(strstr(err.text, why), "'%s' says nothing of '%s'", err.text, why);
}

// Forty pictures with texts, labels and answers.
static const char *make_pairs(const char *name) {
  static const char *const words[] = {"the dog", "dogs left of the cat", "a cat is right of the dogs",
                                      "no dog is a cat"};
  static char text[1 << 14];
  size_t n = 0;
  for (unsigned i = 0; i < 40; i++) {
    char file[32];
    snprintf(file, sizeof file, "p/%02u.ppm", i);
    data_ppm(file, 10 + (int)i % 7, 12, 6 * i, 255 - 6 * i, 100);
    n += (size_t)snprintf(
        text + n, sizeof text - n,
        "{\"image\": \"%s\", \"captions\": [\"%s\", \"%s\"], \"label\": %u, \"answers\": [\"yes\", \"no\", "
        "\"yes\"], \"features\": [%u, 0.5]}\n",
        file, words[i % 4], words[(i + 1) % 4], i % 3, i);
  }
  data_text_file("vocab.txt", vocabulary);
  return data_text_file(name, text);
}

Test(batches, evaluation) {
  Wants w;
  want(&w, "image text text_mask text_type labels features");
  Data *d = open_one(make_pairs("t.jsonl"));
  Batches *b = open_batches(d, &w, NULL, &(BatchOptions){.rows = 7, .vocabulary = data_path("vocab.txt")});
  cr_expect_eq(batches_per_epoch(b), 6);
  Buf out = {0};
  batches_describe(b, &out);
  cr_expect_not_null(strstr(out.s, "image: from image\ntext: from text, by bert_wordpiece\n"), "%s", out.s);
  buf_free(&out);
  for (unsigned k = 0; k < 6; k++) {
    const Batch *batch = next(b);
    cr_assert_not_null(batch);
    cr_expect_eq(batch->rows, k < 5 ? 7 : 5);
    cr_expect_eq(batch->dims[DIM_B], batch->rows);
    cr_expect_eq(batch->sample[0], 7 * k);
    cr_expect_eq(((const int32_t *)in(batch, &w, "labels"))[1], (7 * k + 1) % 3);
    cr_expect_eq(((const float *)in(batch, &w, "features"))[2], (float)(7 * k + 1));
    float red = (float)(6 * 7 * k) / 255.0f;
    cr_expect_float_eq(((const float *)in(batch, &w, "image"))[0], (red - 0.5f) / 0.5f, 1e-6);
    if (k) continue;
    static const int32_t first[] = {2, 9, 7, 3, 0, 0}, second[] = {2, 7, 8, 5, 10, 9, 13, 3, 0};
    const int32_t *text = in(batch, &w, "text");
    const unsigned char *mask = in(batch, &w, "text_mask");
    cr_expect(!memcmp(text, first, sizeof first), "the dog");
    cr_expect(!memcmp(text + 12, second, sizeof second), "dogs left of the cat");
    for (int i = 0; i < 12; i++) cr_expect(mask[i] == (i < 4) && mask[12 + i] == (i < 8));
    cr_expect_eq(batch->dims[DIM_L], 10, "a cat is right of the dogs, with pieces and ends");
    cr_expect_eq(((const int32_t *)in(batch, &w, "text_type"))[3], 0);
  }
  cr_expect_null(next(b));
  cr_expect_null(next(b));
  batches_close(b);
  data_close(d);
}

/* the same bytes ------------------------------------------------------------------------------------------------------
 */
static const char everything[] =
    "input image, image01: augment(crop = [0x1p-2, 1], flip = words, randaugment = [2, 7], jitter = [0x1p-2, 0x1p-2, "
    "0x1p-2], "
    "erase = 0x1p-2)\n"
    "input text_mlm, mlm_labels: mask_words(of = text, mask = 4, whole_words = true, share = 0x1p-1)\n"
    "input text_dec: begin(of = text, word = 15)\n"
    "input next: text_labels(of = text, prompt = 2)\n"
    "input patch_mask: mask_blocks(count = 2, least = 1)\n"
    "input neg_image_idx: others()\n"
    "input itm_labels: coin()\n"
    "input false_image: others(of = image)\n"
    "input alpha: ramp(0x1p-1, epochs = 2)\n";
static const char all_inputs[] =
    "image image01 canvas places text text_mask text_mlm mlm_labels text_dec next labels answer "
    "answer_mask answer_weights answers_per_question patch_mask neg_image_idx itm_labels false_image "
    "alpha features targets";

typedef struct Run { // hashes of batches: what is inside the run-time extents, and the extents
  uint64_t hash[40];
} Run;
static void run(const Data *d, const Wants *w, const Lines *s, BatchOptions o, uint64_t first, uint64_t count,
                Run *out) {
  o.first = first;
  Batches *b = open_batches(d, w, s, &o);
  for (uint64_t k = first; k < first + count; k++) {
    const Batch *batch = next(b);
    cr_assert_eq(batch->number, k);
    uint64_t h = hash_bytes(batch->dims, sizeof batch->dims, 1);
    h = hash_bytes(batch->sample, batch->rows * sizeof *batch->sample, h);
    for (unsigned i = 0; i < w->wants.ninput; i++) {
      const sy_tensor *t = &w->input[i];
      size_t bytes = bytes_of(t); // of M rows those that are there
      if (t->rank && t->axis[0].dim == DIM_M) bytes = bytes / (size_t)t->axis[0].bound * batch->dims[DIM_M];
      if (t->rank == 3) { // rows of places beyond N are not written
        for (size_t r = 0; r < 8; r++)
          h = hash_bytes((const int32_t *)batch->in[i] + r * 32, batch->dims[DIM_N] * 8, h);
        continue;
      }
      h = hash_bytes(batch->in[i], bytes, h);
    }
    out->hash[k] = h;
  }
  batches_close(b);
}

Test(batches, same_bytes_for_any_workers_and_restarts) {
  Wants w;
  char *name[] = {"no", "yes"};
  const HostLabels answers = {.name = name, .count = 2};
  want(&w, all_inputs);
  Lines *s = stage_of(everything);
  Data *d = open_one(make_pairs("t.jsonl"));
  const BatchOptions o = {
      .rows = 8, .train = true, .seed = 5, .vocabulary = data_path("vocab.txt"), .answers = &answers};
  Run want_run = {{0}};
  run(d, &w, s, o, 0, 12, &want_run);
  for (unsigned i = 0; i < 12; i++)
    for (unsigned k = 0; k < i; k++) cr_expect_neq(want_run.hash[i], want_run.hash[k], "batches %u and %u", i, k);
  for (unsigned workers = 0; workers < 4; workers++) {
    Run got = {{0}};
    BatchOptions more = o;
    more.workers = workers;
    more.cache = workers == 2 ? 3000 : workers == 3 ? 1 << 20 : 0;
    run(d, &w, s, more, 0, 12, &got);
    cr_expect(!memcmp(&got, &want_run, sizeof got), "%u workers", workers);
  }
  for (uint64_t first = 1; first < 12; first++) { // also in the middle of an epoch of five
    Run got = want_run;
    BatchOptions more = o;
    more.workers = (unsigned)(first % 3);
    run(d, &w, s, more, first, 12 - first, &got);
    cr_expect(!memcmp(&got, &want_run, sizeof got), "from batch %d", (int)first);
  }
  BatchOptions other = o;
  other.seed = 6;
  Run got = {{0}};
  run(d, &w, s, other, 0, 1, &got);
  cr_expect_neq(got.hash[0], want_run.hash[0]);
  data_close(d);
  free_lines(s);
}

/* single inputs -------------------------------------------------------------------------------------------------------
 */
Test(batches, samplers) {
  Wants w;
  char *name[] = {"no", "yes", "maybe"};
  const HostLabels answers = {.name = name, .count = 3};
  want(&w, all_inputs);
  Lines *s = stage_of(everything);
  Data *d = open_one(make_pairs("t.jsonl"));
  Batches *b = open_batches(
      d, &w, s, &(BatchOptions){.rows = 8, .train = true, .vocabulary = data_path("vocab.txt"), .answers = &answers});
  cr_expect_eq(batches_per_epoch(b), 5);
  unsigned seen[40] = {0}, ones = 0, hidden = 0, flips = 0;
  for (unsigned k = 0; k < 15; k++) {
    const Batch *batch = next(b);
    cr_assert_not_null(batch);
    cr_expect_eq(batch->epoch, k / 5);
    const int32_t *text = in(batch, &w, "text"), *mlm = in(batch, &w, "text_mlm"),
                  *labels = in(batch, &w, "mlm_labels");
    const int32_t *dec = in(batch, &w, "text_dec"), *then = in(batch, &w, "next");
    const int32_t *other = in(batch, &w, "neg_image_idx"), *coin = in(batch, &w, "itm_labels");
    const int32_t *places = in(batch, &w, "places"), *answer = in(batch, &w, "answer");
    const unsigned char *mask = in(batch, &w, "text_mask"), *patch = in(batch, &w, "patch_mask");
    const float *weights = in(batch, &w, "answer_weights"), *targets = in(batch, &w, "targets");
    cr_expect_eq(*(const float *)in(batch, &w, "alpha"), 0.5f * (k < 10 ? (float)k / 10 : 1));
    cr_expect_eq(batch->dims[DIM_M], 16, "two different answers each");
    for (size_t r = 0; r < 8; r++) {
      seen[batch->sample[r]]++;
      cr_expect(other[r] >= 0 && other[r] < 8 && other[r] != (int32_t)r);
      ones += coin[r] == 1;
      cr_expect_eq(patch[4 * r] + patch[4 * r + 1] + patch[4 * r + 2] + patch[4 * r + 3] <= 2, true);
      for (size_t i = 0; i < 12; i++) {
        size_t at = 12 * r + i;
        if (!mask[at]) cr_expect(text[at] == 0 && mlm[at] == 0 && labels[at] == -100 && then[at] == -100);
        if (labels[at] != -100) cr_expect_eq(labels[at], text[at]);
        hidden += labels[at] != -100;
        if (labels[at] == -100) cr_expect_eq(mlm[at], text[at]);
        cr_expect_eq(dec[at], i ? text[at] : 15);
        cr_expect_eq(then[at], mask[at] && i >= 2 ? text[at] : -100);
        flips += text[at] == 5 && i == 4; // "is left of" is written nowhere
      }
      cr_expect(answer[8 * r] == 1 && answer[8 * r + 1] == 11 && answer[8 * r + 2] == 3,
                "yes is first: it weighs more");
      cr_expect_float_eq(weights[2 * r], 2.0f / 3, 1e-6);
      cr_expect(targets[3 * r] == 0.3f && targets[3 * r + 1] == 0.6f && targets[3 * r + 2] == 0);
      for (size_t i = 0; i < batch->dims[DIM_N]; i++)
        cr_expect(places[32 * r + 2 * i] < 4 && places[32 * r + 2 * i + 1] < 4 && places[32 * r + 2 * i] >= 0);
    }
  }
  for (int i = 0; i < 40; i++) cr_expect_eq(seen[i], 3, "sample %d", i);
  cr_expect(ones > 35 && ones < 85, "%u", ones);
  cr_expect(hidden > 200, "%u", hidden);
  cr_expect(flips > 3, "%u texts were exchanged", flips);
  batches_close(b);
  data_close(d);
  free_lines(s);
}

// A picture that is dark on the left: two views share crop and flip, and the words follow the flip.
Test(batches, flips_and_views) {
  Wants w;
  char *bytes = malloc(3 * 16 * 16 + 16);
  int n = sprintf(bytes, "P6 16 16 255\n");
  for (int i = 0; i < 256; i++)
    for (int c = 0; c < 3; c++) bytes[n++] = (char)(i % 16 < 8 ? 0 : 200);
  data_bytes("a.ppm", bytes, (size_t)n);
  free(bytes);
  data_text_file("vocab.txt", vocabulary);
  char lines[1024] = "";
  for (int i = 0; i < 16; i++) strcat(lines, "{\"image\": \"a.ppm\", \"text\": \"left\"}\n");
  Data *d = open_one(data_text_file("t.jsonl", lines));
  want(&w, "image image01 text");
  Lines *s = stage_of("input image, image01: augment(flip = words)\n");
  Batches *b = open_batches(d, &w, s, &(BatchOptions){.rows = 8, .train = true, .vocabulary = data_path("vocab.txt")});
  unsigned turned = 0;
  for (int k = 0; k < 6; k++) {
    const Batch *batch = next(b);
    const float *a = in(batch, &w, "image"), *v = in(batch, &w, "image01");
    for (size_t r = 0; r < 8; r++) {
      bool dark_left = a[192 * r] < a[192 * r + 7];
      cr_expect_eq(dark_left, v[48 * r] < v[48 * r + 3], "both views");
      cr_expect_eq(((const int32_t *)in(batch, &w, "text"))[12 * r + 1], dark_left ? 5 : 6);
      turned += !dark_left;
    }
  }
  cr_expect(turned > 12 && turned < 36, "%u", turned);
  batches_close(b);
  free_lines(s);
  data_close(d);
}

Test(batches, swapped_pairs) {
  Wants w;
  data_ppm("a.ppm", 8, 8, 255, 255, 255);
  data_ppm("b.ppm", 8, 8, 51, 51, 51);
  data_text_file("vocab.txt", vocabulary);
  Data *d = open_one(data_text_file("t.csv", "image,image2,text\na.ppm,b.ppm,the left\na.ppm,b.ppm,the left\n"));
  want(&w, "image image2 text");
  Lines *s = stage_of("input image, image2: augment(swap = true)\n");
  Batches *b = open_batches(d, &w, s, &(BatchOptions){.rows = 2, .train = true, .vocabulary = data_path("vocab.txt")});
  unsigned swapped = 0;
  for (int k = 0; k < 20; k++) {
    const Batch *batch = next(b);
    for (size_t r = 0; r < 2; r++) {
      bool swap = ((const float *)in(batch, &w, "image2"))[192 * r] > 0.9f;
      cr_expect_eq(((const float *)in(batch, &w, "image"))[192 * r] < 0, swap);
      cr_expect_eq(((const int32_t *)in(batch, &w, "text"))[12 * r + 2], swap ? 6 : 5);
      swapped += swap;
    }
  }
  cr_expect(swapped > 8 && swapped < 32, "%u", swapped);
  batches_close(b);
  free_lines(s);
  data_close(d);
}

// Arrays by input name: of an axis more than wanted one row at random, the same of all; without a vocabulary.
Test(batches, arrays) {
  Wants w;
  enum { N = 6, Q = 4 };
  int32_t question[N][Q][3], label[N][Q], text[N][12] = {{0}}, caption[N][12] = {{0}};
  unsigned char image[N][3][8][8];
  for (int i = 0; i < N; i++)
    for (int q = 0; q < Q; q++) {
      for (int k = 0; k < 3; k++) question[i][q][k] = 100 * i + 10 * q + k;
      label[i][q] = 10 * i + q;
      text[i][q < 3 ? q : 0] = 7;
      caption[i][q + 1] = 8; // no preparation of its own
    }
  for (int i = 0; i < N; i++) memset(image[i], 40 * i, sizeof image[i]);
  data_npy("set/question.npy", "<i4", "(6, 4, 3)", question, sizeof question);
  data_npy("set/labels.npy", "<i4", "(6, 4)", label, sizeof label);
  data_npy("set/text.npy", "<i4", "(6, 12)", text, sizeof text);
  data_npy("set/caption.npy", "<i4", "(6, 12)", caption, sizeof caption);
  data_npy("set/image.npy", "|u1", "(6, 3, 8, 8)", image, sizeof image);
  Data *d = open_one(data_path("set"));
  want(&w, "image question labels text text_mask caption");
  Batches *b = open_batches(d, &w, NULL, &(BatchOptions){.rows = 3, .train = true, .workers = 1});
  unsigned picked[Q] = {0};
  for (int k = 0; k < 20; k++) {
    const Batch *batch = next(b);
    const int32_t *q = in(batch, &w, "question"), *l = in(batch, &w, "labels");
    cr_expect_eq(batch->dims[DIM_L], 5, "padding of arrays is left out: %zu", batch->dims[DIM_L]);
    for (size_t r = 0; r < 3; r++) {
      int32_t i = (int32_t)batch->sample[r], one = l[r] - 10 * i;
      cr_assert(one >= 0 && one < Q);
      cr_expect_eq(q[3 * r + 1], 100 * i + 10 * one + 1, "the question of the label");
      cr_expect_float_eq(((const float *)in(batch, &w, "image"))[192 * r], (40.0f * (float)i / 255 - 0.5f) / 0.5f,
                         1e-6);
      picked[one]++;
    }
  }
  for (int q = 0; q < Q; q++) cr_expect(picked[q] > 3, "%u", picked[q]);
  batches_close(b);
  data_close(d);
}

/* what goes wrong
 * ------------------------------------------------------------------------------------------------------ */
static unsigned told;
static char last_told[512];
static void tell(void *ud, uint32_t s, const char *why) {
  (void)ud, (void)s;
  told++;
  snprintf(last_told, sizeof last_told, "%s", why);
}

Test(batches, bad_samples) {
  Wants w;
  char lines[4096] = "";
  data_ppm("a.ppm", 8, 8, 1, 2, 3);
  data_text_file("b.ppm", "P6 8 8 255\nshort");
  for (int i = 0; i < 40; i++)
    strcat(lines, i == 7   ? "{\"image\": \"b.ppm\", \"label\": 1}\n"
                  : i == 9 ? "{broken\n"
                           : "{\"image\": \"a.ppm\", \"label\": 0}\n");
  Data *d = open_one(data_text_file("t.jsonl", lines));
  want(&w, "image labels");
  for (unsigned workers = 0; workers < 3; workers++) {
    told = 0;
    Batches *b = open_batches(d, &w, NULL, &(BatchOptions){.rows = 4, .train = true, .workers = workers, .bad = tell});
    for (int k = 0; k < 30; k++) {
      const Batch *batch = next(b);
      for (size_t r = 0; r < 4; r++) {
        cr_expect(batch->sample[r] != 7 && batch->sample[r] != 9);
        cr_expect_eq(((const int32_t *)in(batch, &w, "labels"))[r], 0);
      }
    }
    cr_expect_eq(told, 2, "each is told once in three epochs: %u", told);
    cr_expect_eq(batches_bad(b), 2);
    cr_expect(strstr(last_told, "t.jsonl, line 8: ") || strstr(last_told, "t.jsonl, line 10: "), "%s", last_told);
    batches_close(b);
  }
  HostError err;
  const Batch *batch;
  Batches *b = open_batches(d, &w, NULL, &(BatchOptions){.rows = 4, .strict = true, .workers = 2});
  bool ok = true;
  for (int k = 0; ok && k < 10; k++) ok = batches_next(b, &batch, &err);
  cr_expect(!ok && strstr(err.text, "line 8"), "%s", err.text);
  batches_close(b);
  data_close(d);
  // too many
  lines[0] = 0;
  for (int i = 0; i < 40; i++)
    strcat(lines, i % 2 ? "{\"image\": \"none.ppm\", \"label\": 1}\n" : "{\"image\": \"a.ppm\", \"label\": 0}\n");
  d = open_one(data_text_file("u.jsonl", lines));
  b = open_batches(d, &w, NULL, &(BatchOptions){.rows = 4, .train = true, .workers = 1});
  ok = true;
  for (int k = 0; ok && k < 10; k++) ok = batches_next(b, &batch, &err);
  cr_expect(!ok && strstr(err.text, "4 of 40 samples cannot be used, the last: ") && strstr(err.text, "none.ppm"), "%s",
            err.text);
  batches_close(b);
  data_close(d);
}

Test(batches, refuses) {
  Wants w;
  Data *d = open_one(make_pairs("t.jsonl"));
  const char *vocab = data_path("vocab.txt");
  const BatchOptions o = {.rows = 8, .train = true, .vocabulary = vocab};
  want(&w, "text labels");
  refuses(d, &w, NULL, &(BatchOptions){.rows = 8}, "--vocab FILE");
  refuses(d, &w, NULL, &(BatchOptions){.rows = 9, .vocabulary = vocab}, "takes at most 8");
  refuses(d, &w, NULL, &(BatchOptions){.rows = 8, .limit = 5, .train = true, .vocabulary = vocab},
          "5 samples, and a batch has 8");
  want(&w, "alpha labels");
  refuses(d, &w, NULL, &o, "nothing says what alpha is");
  Batches *b =
      open_batches(d, &w, NULL, &(BatchOptions){.rows = 8, .given = (const char *const[]){"alpha"}, .ngiven = 1});
  batches_close(b);
  want(&w, "labels");
  Lines *s = stage_of("input image: augment(crop = [0x1p-1, 1])\n");
  refuses(d, &w, s, &o, "which is no input of the objective");
  free_lines(s);
  s = stage_of("input labels: augment(crop = [0x1p-1, 1])\n");
  refuses(d, &w, s, &o, "is no picture");
  free_lines(s);
  s = stage_of("input labels: mask_blocks(count = 3)\n");
  refuses(d, &w, s, &o, "makes bool[B, P]");
  free_lines(s);
  want(&w, "question");
  b = open_batches(d, &w, NULL, &o);
  const Batch *batch;
  HostError err;
  cr_expect(!batches_next(b, &batch, &err));
  cr_expect_not_null(strstr(err.text, "has none of the fields question"), "%s", err.text);
  batches_close(b);
  data_close(d);
}

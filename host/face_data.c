// face_data.c - fills the inputs of a route from pictures, sentences and NumPy files, and reads its outputs back.
//
// Run-time dims follow from the data: an axis of extent constant + factor * dim that holds n rows gives dim; two inputs
// that disagree are an error that names both. Buffers have the layout of the compiled model: strides of the bounds.
// One item too few for a constant batch axis is no error: the rest stays zero and is not shown.
//
//   route match(image: f32[B,3,224,224], text: i32[T,77]), two pictures, three sentences   ->   B = 2, T = 3
#include "face_parts.h"

#include "common/narrow.h"
#include "common/progress.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of the elements as the command has them: narrow ones are floats there.
static char code_of(const sy_tensor *t) {
  return t->dtype[0] == 'f' || narrow_format(t->dtype) ? 'f' : t->dtype[0] == 'b' ? 'b' : 'i';
}
static size_t model_bytes(const sy_tensor *t) { // of an element as the model has it
  return narrow_format(t->dtype) ? sizeof(uint16_t) : face_dtype_bytes(code_of(t));
}

// What was given for an input of a narrow type becomes its bits, in place: they are shorter than floats.
static void narrow_array(const sy_tensor *t, FaceArray *a) {
  const NarrowFormat *f = narrow_format(t->dtype);
  for (size_t i = 0; f && i < a->n; i++) {
    float x;
    memcpy(&x, (const char *)a->data + i * sizeof x, sizeof x);
    uint16_t bits = (uint16_t)narrow_bits(f, (double)x);
    memcpy((char *)a->data + i * sizeof bits, &bits, sizeof bits);
  }
}
static void widen_array(const sy_tensor *t, FaceArray *a) { // from the last: there is room for floats
  const NarrowFormat *f = narrow_format(t->dtype);
  for (size_t i = f ? a->n : 0; i-- > 0;) {
    uint16_t bits;
    memcpy(&bits, (const char *)a->data + i * sizeof bits, sizeof bits);
    float x = narrow_value(f, bits);
    memcpy((char *)a->data + i * sizeof x, &x, sizeof x);
  }
}

static size_t extent_of(const FaceRun *r, const sy_dim *axis) {
  return (size_t)(axis->constant + (axis->dim >= 0 ? axis->factor * r->dims[axis->dim] : 0));
}

static bool is_picture(const FaceRun *r, unsigned i) {
  return face_prepare_is(r->info, r->route->input[i].name, "picture");
}
static const sy_prepare *text_prepare(const FaceRun *r, unsigned i) { // of an input of sentences, else NULL
  const sy_prepare *p = face_prepare(r->info, r->route->input[i].name);
  return p && face_is_tokenizer(p->kind) ? p : NULL;
}
// Sentences that are the labels of --labels, such as the answers to choose from: `of = labels`.
static bool is_listed(const FaceRun *r, unsigned i) {
  const sy_prepare *p = text_prepare(r, i);
  char of[16];
  return p && face_option(p->options, "of", of, sizeof of) && !strcmp(of, "labels");
}
static bool is_text(const FaceRun *r, unsigned i) {
  return text_prepare(r, i) && !is_listed(r, i) && (!r->words || face_words_input(r->words) != i);
}

// An input that follows from a sentence: NAME_mask (true = no padding) and NAME_type (all 0).
static const char *const follows[] = {"_mask", "_type"};
size_t face_follows(const char *name, size_t *which) {
  size_t n = strlen(name);
  for (*which = 0; *which < 2; ++*which) {
    size_t m = strlen(follows[*which]);
    if (n > m && !strcmp(name + n - m, follows[*which])) return n - m;
  }
  return 0;
}
static bool is_companion(const FaceRun *r, unsigned i, unsigned *text, size_t *which) {
  const char *name = r->route->input[i].name;
  size_t n = face_follows(name, which);
  for (*text = 0; n && *text < r->route->ninput; ++*text) {
    const char *base = r->route->input[*text].name;
    if (strlen(base) == n && !strncmp(base, name, n) && text_prepare(r, *text)) return true;
  }
  return false;
}
// Rows and columns of the patches of a picture input: i32[B,N,2].
static bool is_patches(const FaceRun *r, unsigned i) {
  return face_prepare_is(r->info, r->route->input[i].name, "patches");
}

// The words of a generate and where they stand, which the search fills.
static bool is_search(const FaceRun *r, unsigned i) {
  return r->words && face_words_fills(r->words, i);
}

// Lets an axis hold n rows: sets its dim, or checks the one set before. `fewer`: a constant axis may hold less.
static bool set_extent(FaceRun *r, const sy_tensor *t, unsigned d, size_t n, bool fewer, HostError *err) {
  const sy_dim *a = &t->axis[d];
  if (a->dim < 0) {
    if (n == a->constant || (fewer && n < a->constant)) return true;
    return host_fail(err, "%s: axis %u has %zu rows, the model wants %llu", t->name, d, n,
                     (unsigned long long)a->constant);
  }
  const sy_bound *b = &r->info->dim[a->dim];
  size_t value = n >= a->constant ? (n - (size_t)a->constant) / (size_t)a->factor : 0;
  if (a->constant + a->factor * value != n || value < b->lo || value > b->hi)
    return host_fail(err, "%s: axis %u has %zu rows, the model takes %llu to %llu", t->name, d, n,
                     (unsigned long long)(a->constant + a->factor * b->lo),
                     (unsigned long long)(a->constant + a->factor * b->hi));
  if (r->dim_set[a->dim] && r->dims[a->dim] != value)
    return host_fail(err, "%s: %s would be %zu, but another input made it %zu", t->name, b->name, value,
                     r->dims[a->dim]);
  r->dims[a->dim] = value;
  r->dim_set[a->dim] = true;
  return true;
}

// Copies between a dense array and a tensor in the layout of its bounds, over extent[0..rank).
static void copy_rows(char *bounds, char *dense, const sy_tensor *t, const size_t *extent, size_t size,
                      bool to_bounds) {
  size_t at[6] = {0}, stride[6], s = size, row = t->rank ? extent[t->rank - 1] * size : size;
  for (unsigned d = t->rank; d-- > 0;) {
    stride[d] = s;
    s *= (size_t)t->axis[d].bound;
    if (!extent[d]) return;
  }
  for (;;) {
    char *p = bounds;
    for (unsigned d = 0; d + 1 < t->rank; d++) p += at[d] * stride[d];
    memcpy(to_bounds ? p : dense, to_bounds ? dense : p, row);
    dense += row;
    unsigned d = t->rank ? t->rank - 1 : 0;
    while (d > 0 && ++at[d - 1] == extent[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

/* starting ----------------------------------------------------------------------------------------------------------
 */
// A file for the words of a generate: what they begin with.
static bool load_prompt(FaceRun *r, const char *path, HostError *err) {
  face_array_free(&r->prompt);
  r->usage = false;
  if (!face_npy_read(path, &r->prompt, err)) return false;
  r->usage = true;
  return true;
}

static bool load_given(FaceRun *r, HostError *err) {
  for (size_t k = 0; k < r->args->input.n; k++) {
    const char *s = r->args->input.at[k], *equals = strchr(s, '=');
    if (!equals) return host_fail(err, "--input %.80s: NAME=FILE is needed", s);
    unsigned i = 0;
    char name[80];
    snprintf(name, sizeof name, "%.*s", (int)(equals - s < 79 ? equals - s : 79), s);
    if (r->words && face_words_begin(r->words, name)) {
      if (!load_prompt(r, equals + 1, err)) return false;
      continue;
    }
    while (i < r->route->ninput && (strlen(r->route->input[i].name) != (size_t)(equals - s) ||
                                    strncmp(r->route->input[i].name, s, (size_t)(equals - s)) != 0))
      i++;
    if (i == r->route->ninput) return host_fail(err, "--input %.80s: route %s has no such input", s, r->route->name);
    face_array_free(&r->given[i]);
    r->usage = false;
    if (!face_npy_read(equals + 1, &r->given[i], err)) return false;
    if (r->given[i].dtype != code_of(&r->route->input[i]))
      return host_fail(err, "%.200s: input %s takes %s elements", equals + 1, r->route->input[i].name,
                       r->route->input[i].dtype);
    narrow_array(&r->route->input[i], &r->given[i]);
    r->usage = true;
  }
  return true;
}

static bool count_items(FaceRun *r, const sy_tensor *picture, const sy_tensor *text, HostError *err) {
  const FaceArgs *a = r->args;
  size_t images = r->pictures ? a->image.n / r->pictures : 0;
  if (r->pictures && (a->image.n == 0 || a->image.n % r->pictures))
    return host_fail(err, "route %s takes %zu picture%s an item, %zu given", r->route->name, r->pictures,
                     r->pictures > 1 ? "s" : "", a->image.n);
  if (text && a->text.n == 0) return host_fail(err, "route %s needs a sentence: --text TEXT", r->route->name);
  r->paired = picture && text && picture->axis[0].dim >= 0 && picture->axis[0].dim == text->axis[0].dim;
  if (r->paired && images > 1 && a->text.n > 1 && images != a->text.n)
    return host_fail(err, "route %s takes one sentence a picture: %zu and %zu given", r->route->name, images,
                     a->text.n);
  const sy_tensor *main = picture ? picture : text;
  r->total = picture ? images : text ? a->text.n : 1;
  if (r->paired && a->text.n > r->total) r->total = a->text.n;
  r->batch = main ? (size_t)main->axis[0].bound : 1;
  for (unsigned d = 2; picture && d < picture->rank; d++)
    if (picture->axis[d].dim >= 0) r->batch = 1; // pictures of different sizes
  for (unsigned i = 0; i < r->route->ninput; i++)
    if (is_patches(r, i) && !r->given[i].data) r->batch = 1; // of different numbers of patches
  return true;
}

bool face_run_start(FaceRun *r, HostError *err) {
  const sy_route *route = r->route;
  if (route->ninput > FACE_MAX_TENSORS || route->noutput > FACE_MAX_TENSORS || r->info->ndim > FACE_MAX_DIMS)
    return host_fail(err, "route %s has too many tensors for this program", route->name);
  r->usage = true;
  if (!load_given(r, err)) return false;
  const sy_tensor *picture = NULL, *text = NULL;
  unsigned base;
  size_t which;
  for (unsigned i = 0; i < route->ninput; i++) {
    const sy_tensor *t = &route->input[i];
    if (r->given[i].data) continue;
    if (is_picture(r, i)) {
      if (t->rank != 4 || strcmp(t->dtype, "f32") != 0) return host_fail(err, "input %s is not f32[B,3,H,W]", t->name);
      if (!picture) picture = t;
      r->pictures++;
    } else if (is_listed(r, i)) {
      if (t->rank != 2 || code_of(t) != 'i') return host_fail(err, "input %s is not i32[N,W]", t->name);
      if (!r->labels || !r->labels->count)
        return host_fail(err, "route %s chooses among %s: --labels FILE, one a line", route->name, t->name);
      if (!face_load_vocabulary(r, text_prepare(r, i), err)) return false;
    } else if (is_text(r, i)) {
      if (t->rank != 2 || code_of(t) != 'i') return host_fail(err, "input %s is not i32[B,L]", t->name);
      text = t;
      if (!face_load_vocabulary(r, text_prepare(r, i), err)) return false;
    } else if (is_patches(r, i)) {
      if (t->rank != 3 || code_of(t) != 'i' || t->axis[2].dim >= 0 || t->axis[2].constant != 2)
        return host_fail(err, "input %s is not i32[B,N,2]", t->name);
    } else if (!is_search(r, i) && !is_companion(r, i, &base, &which)) {
      return host_fail(err, "input %s of route %s is missing: --input %s=FILE.npy", t->name, route->name, t->name);
    }
  }
  for (unsigned i = 0; i < route->ninput; i++)
    if (!(r->in[i] = calloc(1, (size_t)route->input[i].bytes + 1))) return host_no_memory(err);
  for (unsigned i = 0; i < route->noutput; i++)
    if (!(r->out[i] = calloc(1, (size_t)route->output[i].bytes + 1))) return host_no_memory(err);
  return count_items(r, picture, text, err);
}

void face_run_free(FaceRun *r) {
  face_array_free(&r->prompt);
  for (unsigned i = 0; i < FACE_MAX_TENSORS; i++) {
    free(r->in[i]);
    free(r->out[i]);
    face_array_free(&r->given[i]);
  }
  host_tokenizer_free(r->tokenizer);
  free(r->item);
  free(r->bad.at);
  *r = (FaceRun){0};
}

/* filling -----------------------------------------------------------------------------------------------------------
 */
// Lets the height and width of a picture input follow from the picture that was put into it.
static bool set_sides(FaceRun *r, unsigned i, bool canvas, HostError *err) {
  const sy_tensor *t = &r->route->input[i];
  return set_extent(r, t, 1, 3, false, err) && set_extent(r, t, 2, r->side[i][0], canvas, err) &&
         set_extent(r, t, 3, r->side[i][1], canvas, err);
}

// Elements of one picture of an input.
static size_t item_size(const sy_tensor *t) {
  return (size_t)(t->axis[1].bound * t->axis[2].bound * t->axis[3].bound);
}

bool face_run_hold(FaceRun *to, const FaceRun *from, const char *path) {
  for (unsigned i = 0; i < to->route->ninput; i++)
    for (unsigned k = 0; k < from->route->ninput; k++) {
      const sy_tensor *a = &to->route->input[i], *b = &from->route->input[k];
      if (!is_picture(to, i) || strcmp(a->name, b->name) != 0 || from->held[k] != path) continue;
      bool same = a->rank == 4 && b->rank == 4;
      for (unsigned d = 1; same && d < 4; d++) same = a->axis[d].bound == b->axis[d].bound;
      if (!same) continue;
      memcpy(to->in[i], from->in[k], item_size(a) * sizeof(float));
      memcpy(to->side[i], from->side[k], sizeof to->side[i]);
      to->held[i] = path;
      return true;
    }
  return false;
}

bool face_put_picture(const sy_tensor *t, const HostImage *rgb, const HostPreprocess *how, float *dst, HostError *err) {
  size_t extent[4] = {1, 3, (size_t)rgb->height, (size_t)rgb->width};
  float *dense = malloc(3 * extent[2] * extent[3] * sizeof *dense);
  if (!dense) return host_no_memory(err);
  if (3 * extent[2] * extent[3] < item_size(t)) memset(dst, 0, item_size(t) * sizeof *dst);
  host_normalise(rgb, how->mean, how->std, dense);
  copy_rows((char *)dst, (char *)dense, t, extent, sizeof *dense, true);
  free(dense);
  return true;
}

static bool fill_picture(FaceRun *r, unsigned i, const char *path, size_t row, HostError *err) {
  const sy_tensor *t = &r->route->input[i];
  HostPreprocess how;
  HostImage photo = {0}, rgb = {0};
  if (!face_option_picture(face_prepare(r->info, t->name)->options, &how, err)) return false;
  bool canvas = how.resize == HOST_RESIZE_SHORTER_CAPPED; // it lies in the top left corner of zeros
  float *first = r->in[i], *dst = first + row * item_size(t);
  if (r->held[i] == path) { // the only picture of many items: a pipe can be read only once
    if (row) memcpy(dst, first, item_size(t) * sizeof *dst);
    return set_sides(r, i, canvas, err);
  }
  if (!row) r->held[i] = NULL;
  bool ok = (r->args->as_stored ? host_image_load : host_image_load_upright)(path, &photo, err) &&
            host_preprocess(&photo, &how, &rgb, err);
  host_image_free(&photo);
  if (ok) {
    r->side[i][0] = (size_t)rgb.height;
    r->side[i][1] = (size_t)rgb.width;
    ok = set_sides(r, i, canvas, err) && face_put_picture(t, &rgb, &how, dst, err);
    if (ok && !row) r->held[i] = path;
  }
  host_image_free(&rgb);
  return ok;
}

// The pictures of an item, in row r->count of their inputs.
static bool fill_pictures(FaceRun *r, size_t item, HostError *err) {
  const FaceArgs *a = r->args;
  size_t items = a->image.n / r->pictures, which = 0;
  for (unsigned i = 0; i < r->route->ninput; i++)
    if (is_picture(r, i) && !r->given[i].data &&
        !fill_picture(r, i, a->image.at[(items == 1 ? 0 : item) * r->pictures + which++], r->count, err))
      return false;
  return true;
}

// Fills NAME_mask and NAME_type of row k of sentence input `text`, of which the first `used` ids are no padding.
static void fill_companions(FaceRun *r, unsigned text, size_t k, size_t used) {
  unsigned base;
  size_t which;
  for (unsigned i = 0; i < r->route->ninput; i++) {
    if (r->given[i].data || !is_companion(r, i, &base, &which) || base != text) continue;
    size_t pitch = (size_t)r->route->input[i].axis[1].bound;
    if (which == 0)
      for (size_t c = 0; c < pitch; c++) ((unsigned char *)r->in[i])[k * pitch + c] = c < used;
    else
      memset((int32_t *)r->in[i] + k * pitch, 0, pitch * sizeof(int32_t));
  }
}

// Makes room for sentences in this call.
static void start_texts(FaceRun *r, unsigned i) {
  face_text_options(r, text_prepare(r, i)->options);
  r->how.max_length = (size_t)r->route->input[i].axis[1].bound;
  r->longest = 1;
}

// Row k of sentence input i, and of what follows from it.
static bool fill_text(FaceRun *r, unsigned i, const char *s, size_t k, HostError *err) {
  const sy_tensor *t = &r->route->input[i];
  size_t pitch = (size_t)t->axis[1].bound;
  HostIds ids = {0};
  bool cut = false;
  if (!host_tokenizer_encode(r->tokenizer, s, strlen(s), &r->how, &ids, &cut, err)) return false;
  if (cut && !r->quiet) face_note_cut(s, pitch);
  if (!ids.n) return host_fail(err, "an empty text has no tokens for %s", t->name);
  if (ids.n > r->longest) r->longest = ids.n;
  int32_t *row = (int32_t *)r->in[i] + k * pitch;
  for (size_t c = 0; c < pitch; c++) row[c] = c < ids.n ? ids.id[c] : r->how.pad;
  fill_companions(r, i, k, ids.n);
  host_ids_free(&ids);
  return true;
}

// A run-time second axis is as long as the longest sentence.
static bool end_texts(FaceRun *r, unsigned i, HostError *err) {
  const sy_tensor *t = &r->route->input[i];
  return set_extent(r, t, 1, t->axis[1].dim < 0 ? (size_t)t->axis[1].bound : r->longest, false, err);
}

// Encodes the sentences of this call.
static bool fill_texts(FaceRun *r, unsigned i, HostError *err) {
  const sy_tensor *t = &r->route->input[i];
  const FaceArgs *a = r->args;
  bool all = r->pictures > 0 && !r->paired; // every sentence in every call
  size_t count = all ? a->text.n : r->count;
  start_texts(r, i);
  if (count > t->axis[0].bound)
    return host_fail(err, "%zu sentences given, the model takes %llu at once", count,
                     (unsigned long long)t->axis[0].bound);
  if (!set_extent(r, t, 0, count, true, err)) return false;
  for (size_t k = 0; k < count; k++)
    if (!fill_text(r, i, a->text.at[a->text.n == 1 ? 0 : all ? k : r->item[k]], k, err)) return false;
  return end_texts(r, i, err);
}

// Encodes the labels, all of them in every call.
static bool fill_listed(FaceRun *r, unsigned i, HostError *err) {
  const sy_tensor *t = &r->route->input[i];
  start_texts(r, i);
  if (r->labels->count > t->axis[0].bound)
    return host_fail(err, "%s has %zu lines, the model takes %llu %s", r->args->labels, r->labels->count,
                     (unsigned long long)t->axis[0].bound, t->name);
  if (!set_extent(r, t, 0, r->labels->count, false, err)) return false;
  for (size_t k = 0; k < r->labels->count; k++) {
    if (!fill_text(r, i, r->labels->name[k], k, err)) return false;
  }
  return end_texts(r, i, err);
}

// Row by row, the patches of the picture that the page names; of all the canvas if the picture is a --input.
static bool fill_patches(FaceRun *r, unsigned i, HostError *err) {
  const sy_tensor *t = &r->route->input[i];
  const char *options = face_prepare(r->info, t->name)->options;
  char of[80] = "", name[84];
  double wanted = face_option_number(options, "patch", 0);
  size_t patch = wanted >= 1 && wanted <= 65536 ? (size_t)wanted : 0;
  unsigned p = 0;
  if (!face_option(options, "of", of, sizeof of)) of[0] = 0;
  for (; p < r->route->ninput; p++) {
    snprintf(name, sizeof name, "\"%.78s\"", r->route->input[p].name);
    if (!strcmp(of, name) && r->route->input[p].rank == 4) break;
  }
  if (p == r->route->ninput || !patch) return host_fail(err, "the page does not say whose patches %s are", t->name);
  size_t side[2];
  for (int d = 0; d < 2; d++)
    side[d] = (r->side[p][d] ? r->side[p][d] : (size_t)r->route->input[p].axis[2 + d].bound) / patch;
  if (!set_extent(r, t, 0, r->count, true, err) || !set_extent(r, t, 1, side[0] * side[1], false, err)) return false;
  int32_t *at = r->in[i];
  for (size_t k = 0; k < side[0] * side[1]; k++) { // one picture a call
    *at++ = (int32_t)(k / side[1]);
    *at++ = (int32_t)(k % side[1]);
  }
  return true;
}

// Does the first axis of an input count the sequences of a generate?
static bool counts_items(const FaceRun *r, unsigned i) {
  const sy_tensor *t = &r->route->input[i];
  return r->words && t->rank && t->axis[0].dim >= 0 &&
         t->axis[0].dim == r->route->input[face_words_input(r->words)].axis[0].dim;
}

size_t face_run_given_rows(const FaceRun *r) {
  size_t rows = 1;
  for (unsigned i = 0; i < r->route->ninput; i++)
    if (r->given[i].data && r->given[i].rank && counts_items(r, i) && r->given[i].dim[0] > rows)
      rows = r->given[i].dim[0];
  return rows;
}

// The rows of this call alone.
static bool fill_given_rows(FaceRun *r, unsigned i, HostError *err) {
  const sy_tensor *t = &r->route->input[i];
  FaceArray *a = &r->given[i];
  size_t rows = a->dim[0], extent[6] = {1}, from = model_bytes(t), to = from;
  if (rows != 1 && rows != r->total)
    return host_fail(err, "input %s has %zu rows, and there are %zu items", t->name, rows, r->total);
  for (unsigned d = 1; d < t->rank; d++) {
    if (!set_extent(r, t, d, a->dim[d], false, err)) return false;
    extent[d] = a->dim[d];
    from *= a->dim[d];
    to *= (size_t)t->axis[d].bound;
  }
  if (!set_extent(r, t, 0, r->count, false, err)) return false;
  for (size_t k = 0; k < r->count; k++)
    copy_rows((char *)r->in[i] + k * to, (char *)a->data + (rows == 1 ? 0 : r->item[k]) * from, t, extent,
              model_bytes(t), true);
  return true;
}

static bool fill_given(FaceRun *r, unsigned i, HostError *err) {
  const sy_tensor *t = &r->route->input[i];
  FaceArray *a = &r->given[i];
  if (a->rank != t->rank) return host_fail(err, "input %s has %u axes, the file has %u", t->name, t->rank, a->rank);
  if (counts_items(r, i)) return fill_given_rows(r, i, err);
  for (unsigned d = 0; d < t->rank; d++)
    if (!set_extent(r, t, d, a->dim[d], false, err)) return false;
  copy_rows(r->in[i], a->data, t, a->dim, model_bytes(t), true);
  return true;
}

static void clear_dims(FaceRun *r) {
  memset(r->dims, 0, sizeof r->dims);
  memset(r->dim_set, 0, sizeof r->dim_set);
}

// What follows from the pictures and sentences that are in place: patches, and that every dim has its value.
static bool finish(FaceRun *r, HostError *err) {
  for (unsigned i = 0; i < r->route->ninput; i++)
    if (is_patches(r, i) && !r->given[i].data && !fill_patches(r, i, err)) return false;
  for (unsigned j = 0; j < r->info->ndim; j++)
    if ((r->route->dims >> j & 1) && !r->dim_set[j] && !r->words)
      return host_fail(err, "the value of %s does not follow from the inputs", r->info->dim[j].name);
  return true;
}

bool face_bads_add(FaceBads *b, size_t item, const HostError *why, HostError *err) {
  if (why->machine) return *err = *why, false; // the item is not to blame
  FaceBad *at = realloc(b->at, (b->n + 1) * sizeof *at);
  if (!at) return host_no_memory(err);
  b->at = at;
  b->at[b->n++] = (FaceBad){item, *why};
  return true;
}

void face_bads_say(const FaceBads *b, const char *program) {
  if (b->n) progress_clear(); // the bar makes room
  for (size_t i = 0; i < b->n; i++) text_line(stderr, "%s: %s", program, b->at[i].why.text);
}

int face_bads_code(size_t left_out, size_t total, HostError *err) {
  if (!left_out) return FACE_OK;
  if (total > 1)
    host_fail(err, "%zu of %zu could not be read%s", left_out, total, left_out < total ? " and were left out" : "");
  return FACE_IO;
}

// Gives a row to each of the items whose pictures can be read.
static bool fill_rows(FaceRun *r, size_t first, size_t count, HostError *err) {
  size_t *items = realloc(r->item, (count + 1) * sizeof *items);
  if (!items) return host_no_memory(err);
  r->item = items;
  r->count = r->bad.n = r->bad.shown = 0;
  for (size_t item = first; item < first + count; item++) {
    HostError why = {.text = ""};
    if (!r->pictures || fill_pictures(r, item, &why)) {
      r->item[r->count++] = item;
      continue;
    }
    if (!r->count) clear_dims(r); // an extent of the item that failed must not bind the next
    if (!face_bads_add(&r->bad, item, &why, err)) return false;
    r->left_out++;
  }
  return true;
}

bool face_run_fill(FaceRun *r, size_t first, size_t count, HostError *err) {
  clear_dims(r);
  if (!fill_rows(r, first, count, err)) return false;
  if (!r->count) return true;
  for (unsigned i = 0; i < r->route->ninput; i++) {
    bool ok = r->given[i].data   ? fill_given(r, i, err)
              : is_picture(r, i) ? set_extent(r, &r->route->input[i], 0, r->count, true, err)
              : is_listed(r, i)  ? fill_listed(r, i, err)
              : is_text(r, i)    ? fill_texts(r, i, err)
                                 : true; // follows from a sentence or picture, or is the search's
    if (!ok) return false;
  }
  return finish(r, err);
}

void face_run_begin(FaceRun *r) {
  r->count = 0;
  clear_dims(r);
  for (unsigned i = 0; i < r->route->ninput; i++)
    if (is_text(r, i)) start_texts(r, i);
}

bool face_run_add(FaceRun *r, const char *item, HostError *err) {
  for (unsigned i = 0; i < r->route->ninput; i++) {
    bool ok = is_picture(r, i) ? fill_picture(r, i, item, r->count, err)
              : is_text(r, i)  ? fill_text(r, i, item, r->count, err)
                               : true;
    if (ok) continue;
    if (!r->count) clear_dims(r); // an extent of the item that failed must not bind the next
    return false;
  }
  r->count++;
  return true;
}

bool face_run_end(FaceRun *r, HostError *err) {
  for (unsigned i = 0; i < r->route->ninput; i++) {
    bool text = is_text(r, i);
    if (!text && !is_picture(r, i)) continue;
    if (!set_extent(r, &r->route->input[i], 0, r->count, true, err) || (text && !end_texts(r, i, err))) return false;
  }
  return finish(r, err);
}

bool face_route_wants(const sy_info *info, const sy_route *route, size_t *pictures, size_t *texts) {
  const FaceRun r = {.info = info, .route = route};
  unsigned base;
  size_t which;
  *pictures = *texts = 0;
  for (unsigned i = 0; i < route->ninput; i++) {
    if (is_picture(&r, i))
      ++*pictures;
    else if (text_prepare(&r, i))
      ++*texts;
    else if (!is_patches(&r, i) && !is_companion(&r, i, &base, &which))
      return false;
  }
  return true;
}

bool face_run_output(const FaceRun *r, unsigned o, FaceArray *out, HostError *err) {
  const sy_tensor *t = &r->route->output[o];
  *out = (FaceArray){.dtype = code_of(t), .rank = t->rank, .n = 1};
  for (unsigned d = 0; d < t->rank; d++) {
    out->dim[d] = extent_of(r, &t->axis[d]);
    out->n *= out->dim[d];
  }
  size_t size = face_dtype_bytes(out->dtype);
  out->data = malloc(out->n * size + 1);
  if (!out->data) return host_no_memory(err);
  copy_rows(r->out[o], out->data, t, out->dim, model_bytes(t), false);
  widen_array(t, out);
  return true;
}

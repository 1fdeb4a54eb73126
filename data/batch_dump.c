// batch_dump.c - a batch to look at: what the model sees, input by input and row by row, in index.txt, and its pictures
// as PNG files beside it.
#include "batch_parts.h"
#include "png.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Dump {
  const Batches *b;
  const Batch *batch;
  const char *dir, *prefix; // of the names of pictures
  Buf out;
  Arena arena;
  HostError *err;
} Dump;

// Extent of an axis of an input in this batch.
static size_t extent(const Dump *d, const sy_tensor *t, unsigned axis) {
  const sy_dim *a = &t->axis[axis];
  size_t n = a->dim < 0 ? (size_t)a->constant : (size_t)a->constant + (size_t)a->factor * d->batch->dims[a->dim];
  return n < a->bound ? n : (size_t)a->bound;
}

static bool has_row_each(const Dump *d, const Fill *f) {
  return f->t->rank && f->t->axis[0].dim >= 0 && d->b->counts[f->t->axis[0].dim];
}

static double element(const sy_tensor *t, const void *data, size_t i) {
  return t->dtype[0] == 'f'   ? (double)((const float *)data)[i]
         : t->dtype[0] == 'i' ? (double)((const int32_t *)data)[i]
                              : (double)((const unsigned char *)data)[i];
}

/* rows ------------------------------------------------------------------------------------------------------------- */
static bool put_row_picture(Dump *d, const Fill *f, const float *row, size_t k) {
  const sy_tensor *t = f->t;
  size_t h = extent(d, t, 2), w = extent(d, t, 3), pitch = (size_t)t->axis[3].bound;
  char *name = arena_printf(&d->arena, "%s%s-%zu.png", d->prefix, t->name, k);
  const char *path = arena_printf(&d->arena, "%s/%s", d->dir, name), *why;
  Buf png = {0};
  bool ok = png_put_pixels(row, h, w, pitch, pitch * (size_t)t->axis[2].bound, f->how.mean, f->how.std, &png);
  ok = ok ? file_write(path, png.s, png.n, &why) || host_fail(d->err, "%.300s: %.100s", path, why)
          : host_no_memory(d->err);
  buf_free(&png);
  buf_printf(&d->out, "%s (%zu x %zu)\n", name, h, w);
  return ok;
}

// Ids as the text that they are, special ones and pieces as they are in a vocabulary of WordPiece.
static void put_text(Dump *d, const Fill *f, const int32_t *id, size_t n) {
  const HostTokenizer *tokenizer = d->b->vocabulary.tokenizer;
  if (!tokenizer) return;
  buf_puts(&d->out, "    \"");
  if (tokenizer->wordpiece) {
    for (size_t i = 0; i < n; i++) {
      const char *piece = id[i] < 0 ? "." : host_wordpiece_piece(tokenizer->wordpiece, id[i]);
      if (i) buf_putc(&d->out, ' ');
      buf_text(&d->out, piece ? piece : "?");
    }
  } else {
    size_t bytes;
    HostError none;
    int32_t *shown = ARENA_ARRAY(&d->arena, int32_t, n + 1);
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
      if (id[i] >= 0) shown[m++] = id[i];
    char *text = host_tokenizer_decode(tokenizer, shown, m, &d->b->text[f->text].how, &bytes, &none);
    buf_text(&d->out, text ? text : "?");
    free(text);
  }
  buf_puts(&d->out, "\"\n");
}

// Whole numbers and truth values in full, lines of a square grid below each other; reals: what is not 0, by its place.
static void put_numbers(Dump *d, const Fill *f, const void *data, size_t first, size_t n) {
  enum { SHOWN = 32 };
  const sy_tensor *t = f->t;
  size_t put = 0, side = 1;
  while (side * side < n) side++;
  bool grid = t->dtype[0] == 'b' && f->row == fill_blocks && side * side == n;
  if (t->dtype[0] == 'f' && n > 1) {
    for (size_t i = 0; i < n && put < SHOWN; i++) {
      double v = element(t, data, first + i);
      if (v == 0) continue;
      const HostLabels *names = f->row == fill_targets ? d->b->o.answers : NULL;
      buf_printf(&d->out, "%s%zu", put++ ? ", " : "", i);
      if (names && i < names->count) buf_puts(&d->out, " "), buf_text(&d->out, names->name[i]);
      buf_printf(&d->out, ": %.6g", v);
    }
    buf_puts(&d->out, put == SHOWN ? ", ..\n" : put ? "\n" : "zeros\n");
    return;
  }
  for (size_t i = 0; i < n; i++) {
    if (grid && i % side == 0) buf_puts(&d->out, "\n    ");
    if (t->dtype[0] == 'b')
      buf_putc(&d->out, element(t, data, first + i) != 0 ? '1' : '0');
    else
      buf_printf(&d->out, "%s%.9g", i ? " " : "", element(t, data, first + i));
  }
  buf_putc(&d->out, '\n');
}

static void put_class(Dump *d, const Fill *f, int32_t v) {
  const HostLabels *names = d->b->o.answers ? d->b->o.answers : data_classes(d->b->data);
  if (f->row != fill_label || !names || v < 0 || (size_t)v >= names->count) return;
  d->out.n--; // on the same line
  buf_puts(&d->out, " ("), buf_text(&d->out, names->name[v]), buf_puts(&d->out, ")\n");
}

static bool put_row(Dump *d, const Fill *f, size_t k) {
  const sy_tensor *t = f->t;
  const void *data = d->batch->in[f->input];
  size_t row = (size_t)(t->elements / (t->rank ? t->axis[0].bound : 1));
  buf_printf(&d->out, "  %s: ", t->name);
  if (f->row == fill_picture) return put_row_picture(d, f, (const float *)data + k * row, k);
  if (t->rank <= 2) {
    size_t n = t->rank == 2 ? extent(d, t, 1) : 1;
    put_numbers(d, f, data, k * row, n);
    if (t->dtype[0] == 'i' && f->texts) put_text(d, f, (const int32_t *)data + k * row, n);
    if (t->rank == 1 && t->dtype[0] == 'i') put_class(d, f, ((const int32_t *)data)[k]);
    return true;
  }
  size_t lines = extent(d, t, 1), width = row / (size_t)t->axis[1].bound;
  buf_printf(&d->out, "%zu rows\n", lines);
  for (size_t i = 0; i < lines && i < 64; i++) {
    buf_puts(&d->out, "    ");
    put_numbers(d, f, data, k * row + i * width, t->rank == 3 ? extent(d, t, 2) : width);
  }
  return true;
}

/* the whole -------------------------------------------------------------------------------------------------------- */
static void put_where(Dump *d, size_t k) {
  DataSample s = {0};
  HostError none;
  buf_printf(&d->out, "\nrow %zu: sample %u", k, d->batch->sample[k]);
  if (data_read(d->b->data, d->batch->sample[k], &s, &none)) buf_puts(&d->out, ", "), buf_text(&d->out, s.where);
  data_sample_free(&s);
  buf_putc(&d->out, '\n');
}

bool batches_dump(const Batches *b, const Batch *batch, const char *dir, const char *prefix, HostError *err) {
  Dump d = {.b = b, .batch = batch, .dir = dir, .prefix = prefix, .err = err};
  bool ok = true;
  buf_printf(&d.out, "batch %llu, epoch %u, %zu samples\n", (unsigned long long)batch->number, batch->epoch,
             batch->rows);
  for (unsigned i = 0; ok && i < b->wants->ninput; i++)
    if (!has_row_each(&d, &b->fill[i]) && (b->fill[i].row || b->fill[i].end)) {
      const Fill *f = &b->fill[i];
      size_t lines = f->t->rank ? extent(&d, f->t, 0) : 1;
      for (size_t k = 0; k < lines && k < 64; k++) ok = put_row(&d, f, k) && ok; // lists: of answers
    }
  for (size_t k = 0; ok && k < batch->rows; k++) {
    put_where(&d, k);
    for (unsigned i = 0; ok && i < b->wants->ninput; i++)
      if (has_row_each(&d, &b->fill[i]) && (b->fill[i].row || b->fill[i].end)) ok = put_row(&d, &b->fill[i], k);
  }
  const char *path = arena_printf(&d.arena, "%s/%sindex.txt", dir, prefix), *why;
  if (ok && !file_write(path, d.out.s, d.out.n, &why)) ok = host_fail(err, "%.300s: %.100s", path, why);
  buf_free(&d.out);
  arena_free(&d.arena);
  return ok;
}

// face_search.c - the command search: which rows of a .npy have the highest products with the vector of a sentence or a
// picture. Exact: every row is looked at, straight in the mapped file, in blocks that the threads share.
//
// The order is that of the products, rows with the same one in their order, NaN last; it does not depend on threads.
//
//   $ ./clip search photos.npy "a dog on a beach" --top 2 --vocab bpe_simple_vocab_16e6.txt.gz
//   a dog on a beach
//      0.3123  photos/20.jpg
//      0.2871  photos/11.jpg
#include "face_parts.h"

#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 1024, USUAL_TOP = 10 }; // rows of a task

typedef struct Search {
  const FaceModel *m;
  sy_map map;
  const float *rows; // f32[n, width] in the file
  size_t n, width;
  HostLabels names; // empty: rows have numbers only
  float *score;     // f32[n]
  HostTop *best;    // [top]
  size_t top;
  const float *query;
} Search;

static bool open_vectors(Search *s, const char *path, HostError *err) {
  sy_status status = sy_map_open(&s->map, path, 0);
  if (status != SY_OK)
    return host_fail(err, "%.300s: %s", path,
                     s->map.sys_errno        ? strerror(s->map.sys_errno)
                     : status == SY_EWEIGHTS ? "empty"
                                             : sy_strerror((int)status));
  FaceArray a;
  size_t start = 0;
  if (!face_npy_header(path, s->map.data, s->map.bytes, &a, &start, err)) return false;
  if (a.dtype != 'f' || a.rank != 2)
    return host_fail(err, "%.300s: float32 [N, width] is needed, it has %u axes%s", path, a.rank,
                     a.dtype == 'f' ? "" : " and other elements");
  if (!a.n) return host_fail(err, "%.300s holds no vectors", path);
  if (start % sizeof(float))
    return host_fail(err, "%.300s: its elements begin at byte %zu; save it again with np.save", path, start);
  s->rows = (const float *)(const void *)((const char *)s->map.data + start);
  s->n = a.dim[0];
  s->width = a.dim[1];
  return true;
}

// Without a names file the rows go by their numbers.
static bool open_names(Search *s, const char *path, HostError *err) {
  char names[4096];
  struct stat st;
  if (!face_names_path(path, names, sizeof names)) return host_fail(err, "%.300s: the path is too long", path);
  if (stat(names, &st) != 0 && errno == ENOENT) {
    text_line(stderr, "%s: no %s: rows are numbered from 0", s->m->program, names);
    return true;
  }
  if (!host_lines_load(names, &s->names, err)) return false;
  return s->names.count == s->n ||
         host_fail(err, "%.300s has %zu lines, and there are %zu vectors", names, s->names.count, s->n);
}

/* the best rows -----------------------------------------------------------------------------------------------------
 */
static void score_block(void *arg, size_t block) {
  const Search *s = arg;
  size_t end = s->n - block * BLOCK < BLOCK ? s->n : (block + 1) * BLOCK;
  for (size_t i = block * BLOCK; i < end; i++) s->score[i] = face_dot(s->rows + i * s->width, s->query, s->width);
}

static void show_json(const Search *s, FaceKind kind, const char *query) {
  Json *j = s->m->json;
  json_object(j, NULL);
  json_string(j, kind == FACE_PICTURES ? "image" : "text", query);
  json_array(j, "top");
  for (size_t i = 0; i < s->top; i++) {
    json_object(j, NULL);
    json_unsigned(j, "index", s->best[i].index);
    json_string(j, "name", s->names.count ? s->names.name[s->best[i].index] : NULL);
    json_float(j, "score", s->best[i].logit);
    json_end(j);
  }
  json_end(j);
  json_end(j);
}

static void show_text(const Search *s, const char *query) {
  text_line(stdout, "%s", query);
  for (size_t i = 0; i < s->top; i++) {
    printf("  %8.4f  ", (double)s->best[i].logit);
    if (s->names.count)
      text_print(stdout, s->names.name[s->best[i].index]), putchar('\n');
    else
      printf("row %zu\n", s->best[i].index);
  }
}

static int search_all(Search *s, FaceKind kind, const FaceList *queries, HostError *err) {
  FaceVectors v;
  float *vector = NULL, *row;
  FaceBads bad = {0};
  if (!queries->n) return FACE_OK;
  int code = face_vectors_need(s->m, kind, &v, err);
  if (!code && v.width != s->width) {
    host_fail(err, "%.200s holds vectors of %zu numbers, %s makes %zu: it was written with another model",
              s->m->args->word.at[0], s->width, s->m->info->model, v.width);
    code = FACE_IO;
  }
  if (!code) code = face_vectors_all(s->m, &v, queries, &vector, kind == FACE_PICTURES ? &bad : NULL, err);
  face_bads_say(&bad, s->m->program);
  row = vector;
  for (size_t q = 0; !code && q < queries->n; q++) {
    if (bad.shown < bad.n && bad.at[bad.shown].item == q) {
      if (s->m->json) face_json_bad(s->m->json, "image", queries->at[q], &bad.at[bad.shown].why);
      bad.shown++;
      continue;
    }
    s->query = row;
    row += s->width;
    sy_pool_for(s->m->pool, (s->n + BLOCK - 1) / BLOCK, score_block, s);
    host_best(s->score, s->n, s->top, s->best);
    if (s->m->json)
      show_json(s, kind, queries->at[q]);
    else
      show_text(s, queries->at[q]);
  }
  free(vector);
  free(bad.at);
  return code ? code : face_bads_code(bad.n, queries->n, err);
}

static int search(Search *s, HostError *err) {
  const FaceArgs *a = s->m->args;
  if (!a->word.n) {
    host_fail(err, "search needs the vectors: %.60s search vectors.npy \"a dog\"", s->m->program);
    return FACE_USAGE;
  }
  if (a->word.n == 1 && !a->text.n && !a->image.n) {
    host_fail(err, "search needs a sentence or --image FILE to look for");
    return FACE_USAGE;
  }
  if (!open_vectors(s, a->word.at[0], err) || !open_names(s, a->word.at[0], err)) return FACE_IO;
  s->top = a->top ? a->top : USUAL_TOP;
  if (s->top > s->n) s->top = s->n;
  s->score = calloc(s->n, sizeof *s->score);
  s->best = calloc(s->top, sizeof *s->best);
  if (!s->score || !s->best) return host_no_memory(err), FACE_IO;
  FaceList words = {a->word.at + 1, a->word.n - 1};
  Json *j = s->m->json;
  if (j) {
    json_object(j, NULL);
    json_string(j, "file", a->word.at[0]);
    json_unsigned(j, "vectors", s->n);
    json_unsigned(j, "width", s->width);
    json_array(j, "results");
  }
  int code = search_all(s, FACE_TEXTS, &words, err);
  if (!code) code = search_all(s, FACE_TEXTS, &a->text, err);
  if (!code) code = search_all(s, FACE_PICTURES, &a->image, err);
  if (j) json_end_all(j);
  return code;
}

int face_search(const FaceModel *m, HostError *err) {
  Search s = {.m = m};
  int code = search(&s, err);
  if (s.names.text) host_labels_free(&s.names);
  sy_map_close(&s.map);
  free(s.score);
  free(s.best);
  return code;
}

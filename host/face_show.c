// face_show.c - results on stdout: the best labels of each picture, the table of pictures against sentences, a summary
// of any other tensor; the same as JSON.
//
//   cat.jpg
//      63.12%  tabby
//      20.47%  tiger cat
#include "face_parts.h"

#include "common/progress.h"
#include "common/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

size_t face_count_nan(const FaceArray *a) {
  size_t n = 0;
  for (size_t i = 0; a->dtype == 'f' && i < a->n; i++) n += isnan(((const float *)a->data)[i]) != 0;
  return n;
}

static const char *item_name(const FaceRun *r, size_t k, bool *is_text) {
  const FaceArgs *a = r->args;
  size_t item = r->item[k];
  *is_text = !r->pictures;
  if (r->pictures) return a->image.at[a->image.n == r->pictures ? 0 : item * r->pictures];
  return a->text.n ? a->text.at[a->text.n == 1 ? 0 : item] : "input";
}

// The sentence that goes with the picture of item k of this call; NULL if there is none.
static const char *sentence_of(const FaceRun *r, size_t k) {
  const FaceList *text = &r->args->text;
  return r->paired && text->n ? text->at[text->n == 1 ? 0 : r->item[k]] : NULL;
}

static void show_item(const FaceRun *r, size_t k) {
  bool is_text;
  const FaceList *image = &r->args->image;
  const char *sentence = sentence_of(r, k);
  size_t first = image->n == r->pictures ? 0 : r->item[k] * r->pictures;
  if (!r->pictures) text_print(stdout, item_name(r, k, &is_text));
  for (size_t i = 0; i < r->pictures; i++) fputs(i ? ", " : "", stdout), text_print(stdout, image->at[first + i]);
  if (sentence) fputs(", \"", stdout), text_print(stdout, sentence), putchar('"');
  putchar('\n');
}

void face_json_bad(Json *j, const char *kind, const char *name, const HostError *why) {
  json_object(j, NULL);
  json_string(j, kind, name);
  json_string(j, "error", why->text);
  json_end(j);
}

void face_show_bad(FaceRun *r, size_t below) {
  const FaceList *image = &r->args->image;
  for (; r->json && r->bad.shown < r->bad.n && r->bad.at[r->bad.shown].item < below; r->bad.shown++) {
    const FaceBad *b = &r->bad.at[r->bad.shown];
    face_json_bad(r->json, "image", image->at[image->n == r->pictures ? 0 : b->item * r->pictures], &b->why);
  }
}

// Begins the object of item k.
static void json_item(FaceRun *r, size_t k) {
  bool is_text;
  face_show_bad(r, r->item[k]);
  const char *name = item_name(r, k, &is_text), *sentence = sentence_of(r, k);
  json_object(r->json, NULL);
  if (is_text && !r->args->text.n)
    json_unsigned(r->json, "row", r->item[k]);
  else
    json_string(r->json, is_text ? "text" : "image", name);
  if (sentence) json_string(r->json, "text", sentence);
}

// Begins item k and the list of what belongs to it.
static void begin_list(FaceRun *r, size_t k, const char *key) {
  if (r->json)
    json_item(r, k), json_array(r->json, key);
  else
    show_item(r, k);
}
static void end_list(const FaceRun *r) {
  if (r->json) json_end(r->json), json_end(r->json);
}

FaceShares face_shares(const sy_prepare *p) {
  char text[16];
  if (face_option(p->options, "sigmoid", text, sizeof text) && !strcmp(text, "true")) return FACE_SIGMOID;
  return face_option(p->options, "softmax", text, sizeof text) && !strcmp(text, "false") ? FACE_SCORES : FACE_SOFTMAX;
}

// The probabilities of n scores into share f32[n], of FACE_SCORES those of softmax.
static void shares_of_scores(FaceShares how, const float *score, size_t n, float *share) {
  if (how != FACE_SIGMOID) {
    host_softmax(score, n, share);
    return;
  }
  for (size_t i = 0; i < n; i++) share[i] = (float)(1 / (1 + exp(-(double)score[i])));
}

static void json_class(Json *j, const HostTop *top, const char *name) {
  json_object(j, NULL);
  json_unsigned(j, "index", top->index);
  json_string(j, "label", name);
  json_float(j, "logit", top->logit);
  json_float(j, "probability", top->probability);
  json_end(j);
}

// One line a class.
static void show_top(const FaceRun *r, const sy_prepare *p, const HostTop *top, size_t n, const HostLabels *labels) {
  bool shares = face_shares(p) != FACE_SCORES;
  for (size_t i = 0; i < n; i++) {
    const char *name = labels && top[i].index < labels->count ? labels->name[top[i].index] : NULL;
    if (r->json) {
      json_class(r->json, &top[i], name);
      continue;
    }
    if (shares)
      printf("  %6.2f%%  ", 100 * (double)top[i].probability);
    else
      printf("  %9.4f  ", (double)top[i].logit);
    if (name)
      text_print(stdout, name), putchar('\n');
    else
      printf("class %zu\n", top[i].index);
  }
}

bool face_show_labels(FaceRun *r, const sy_prepare *p, const FaceArray *a, const HostLabels *labels, HostError *err) {
  size_t classes = a->dim[a->rank - 1], rows = classes ? a->n / classes : 0;
  double most = r->args->top ? (double)r->args->top : face_option_number(p->options, "top", 5);
  size_t k = most < 1 ? 1 : most < (double)classes ? (size_t)most : classes;
  HostTop *top = malloc((k + 1) * sizeof *top);
  if (!top) return host_no_memory(err);
  bool arrays = !r->pictures && !r->args->text.n; // --input alone: the rows of its batch
  for (size_t i = 0; i < rows && (arrays || i < r->count); i++) {
    size_t n = host_top_k((const float *)a->data + i * classes, classes, k, top);
    for (size_t j = 0; j < n && face_shares(p) == FACE_SIGMOID; j++)
      shares_of_scores(FACE_SIGMOID, &top[j].logit, 1, &top[j].probability);
    if (arrays && !r->json)
      printf("row %zu\n", i);
    else
      begin_list(r, i, "top");
    show_top(r, p, top, n, labels);
    end_list(r);
  }
  free(top);
  return true;
}

/* choices -----------------------------------------------------------------------------------------------------------
 */
typedef struct Choice {
  const char *name; // its line of --labels, or NULL
  int32_t index;
  double share; // NaN: the model gives none
} Choice;

static void show_choice(const Choice *c, Json *j) {
  bool share = !isnan(c->share);
  if (j) {
    json_object(j, NULL);
    json_integer(j, "index", c->index);
    json_string(j, "label", c->name);
    if (share) json_float(j, "probability", (float)c->share);
    json_end(j);
    return;
  }
  if (share) printf("  %6.2f%%", 100 * c->share);
  if (c->name)
    fputs("  ", stdout), text_print(stdout, c->name), putchar('\n');
  else
    printf("  label %d\n", (int)c->index);
}

// The output that the page names as the shares of the choices; data NULL: none of that shape.
static bool shares_of(const FaceRun *r, const sy_prepare *p, const FaceArray *index, FaceArray *a, HostError *err) {
  char want[80], name[84];
  *a = (FaceArray){0};
  if (!face_option(p->options, "share", want, sizeof want)) return true;
  for (unsigned o = 0; o < r->route->noutput; o++) {
    snprintf(name, sizeof name, "\"%.78s\"", r->route->output[o].name);
    if (strcmp(want, name) != 0) continue;
    if (!face_run_output(r, o, a, err)) return false;
    if (a->dtype == 'f' && a->n == index->n) return true;
    face_array_free(a);
  }
  return true;
}

// Numbers of labels, best first: one for each item, or a row of them.
static bool show_choices(FaceRun *r, const sy_prepare *p, const FaceArray *a, const HostLabels *labels,
                         HostError *err) {
  FaceArray share;
  if (!shares_of(r, p, a, &share, err)) return false;
  size_t row = a->rank == 2 ? a->dim[1] : 1;
  double most = r->args->top ? (double)r->args->top : face_option_number(p->options, "top", 5);
  for (size_t i = 0; i < a->dim[0] && i < r->count; i++) {
    begin_list(r, i, "top");
    for (size_t k = 0; k < row && (double)k < most; k++) {
      size_t at = i * row + k;
      Choice c = {NULL, ((const int32_t *)a->data)[at], share.data ? (double)((const float *)share.data)[at] : NAN};
      if (labels && c.index >= 0 && (size_t)c.index < labels->count) c.name = labels->name[c.index];
      show_choice(&c, r->json);
    }
    end_list(r);
  }
  face_array_free(&share);
  return true;
}

// A row for each picture: its scores with the sentences, and what they are as probabilities if the page says so.
static bool show_similarity(FaceRun *r, const sy_prepare *prepare, const FaceArray *a, HostError *err) {
  FaceShares how = face_shares(prepare);
  bool shares = how != FACE_SCORES;
  size_t texts = a->dim[1];
  float *p = malloc((texts + 1) * sizeof *p);
  if (!p) return host_no_memory(err);
  for (size_t i = 0; i < a->dim[0] && i < r->count; i++) {
    const float *row = (const float *)a->data + i * texts;
    shares_of_scores(how, row, texts, p);
    begin_list(r, i, "texts");
    for (size_t j = 0; j < texts && j < r->args->text.n; j++) {
      if (!r->json) {
        if (shares) printf("  %6.2f%%", 100 * (double)p[j]);
        printf("  %8.4f  ", (double)row[j]), text_print(stdout, r->args->text.at[j]), putchar('\n');
        continue;
      }
      json_object(r->json, NULL);
      json_string(r->json, "text", r->args->text.at[j]);
      json_float(r->json, "logit", row[j]);
      if (shares) json_float(r->json, "probability", p[j]);
      json_end(r->json);
    }
    end_list(r);
  }
  free(p);
  return true;
}

static double element(const FaceArray *a, size_t i) {
  if (a->dtype == 'f') return (double)((const float *)a->data)[i];
  if (a->dtype == 'i') return ((const int32_t *)a->data)[i];
  return ((const unsigned char *)a->data)[i];
}

static void show_summary(const FaceRun *r, const char *name, const FaceArray *a) {
  double lo = INFINITY, hi = -INFINITY, sum = 0;
  for (size_t i = 0; i < a->n; i++) {
    double v = element(a, i);
    lo = v < lo ? v : lo;
    hi = v > hi ? v : hi;
    sum += v;
  }
  double mean = a->n ? sum / (double)a->n : 0;
  if (r->json) {
    json_object(r->json, NULL);
    json_string(r->json, "output", name);
    json_array(r->json, "shape");
    for (unsigned d = 0; d < a->rank; d++) json_unsigned(r->json, NULL, a->dim[d]);
    json_end(r->json);
    json_float(r->json, "min", (float)lo);
    json_float(r->json, "max", (float)hi);
    json_double(r->json, "mean", mean);
    json_end(r->json);
    return;
  }
  printf("%s [", name);
  for (unsigned d = 0; d < a->rank; d++) printf("%s%zu", d ? ", " : "", a->dim[d]);
  printf("]  min %.6g  max %.6g  mean %.6g\n ", lo, hi, mean);
  for (size_t i = 0; i < a->n && i < 8; i++) printf(" %.6g", element(a, i));
  printf("%s\n", a->n > 8 ? " ..." : "");
}

// Does the model say how to show some output of this route? Then, for people, the others are not shown.
static bool has_view(const FaceRun *r) {
  for (unsigned o = 0; o < r->route->noutput; o++)
    if (face_prepare(r->info, r->route->output[o].name)) return true;
  return false;
}

bool face_show(FaceRun *r, unsigned o, const FaceArray *a, const HostLabels *labels, HostError *err) {
  const sy_prepare *p = face_prepare(r->info, r->route->output[o].name);
  if (p && !strcmp(p->kind, "labels") && a->dtype == 'f' && (a->rank == 1 || a->rank == 2))
    return face_show_labels(r, p, a, labels, err);
  if (p && !strcmp(p->kind, "similarity") && a->dtype == 'f' && a->rank == 2 && r->args->text.n)
    return show_similarity(r, p, a, err);
  if (p && !strcmp(p->kind, "choices") && a->dtype == 'i' && (a->rank == 1 || a->rank == 2))
    return show_choices(r, p, a, labels, err);
  if (p || r->json || !has_view(r)) show_summary(r, r->route->output[o].name, a);
  return true;
}

double face_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void face_progress(size_t done, size_t total, double seconds) {
  char text[96];
  if (total < 8) return;
  double rest = done ? seconds / (double)done * (double)(total - done) : 0;
  if (seconds > 2 && done)
    snprintf(text, sizeof text, "%zu/%zu, %.3g/s, %.0f s left", done, total, (double)done / seconds, rest);
  else
    snprintf(text, sizeof text, "%zu/%zu", done, total);
  progress_bar("", (double)done / (double)total, text);
  if (done == total) progress_clear();
}

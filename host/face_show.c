// face_show.c - results on stdout: the best labels of each picture, the table of pictures against sentences, a summary
// of any other tensor; the same as JSON; and --describe.
//
//   cat.jpg
//      63.12%  tabby
//      20.47%  tiger cat
#include "face_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void face_json_string(const char *s) {
  putchar('"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 32)
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  putchar('"');
}

void face_json_number(double v) {
  if (isfinite(v))
    printf("%.9g", v);
  else
    printf("null"); // JSON has no NaN and no infinity
}

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
  if (!r->pictures) printf("%s", item_name(r, k, &is_text));
  for (size_t i = 0; i < r->pictures; i++) printf("%s%s", i ? ", " : "", image->at[first + i]);
  if (sentence) printf(", \"%s\"", sentence);
  printf("\n");
}

void face_json_bad(const char *kind, const char *name, const HostError *why, bool *started) {
  printf("%s\n    {\"%s\": ", *started ? "," : "", kind);
  face_json_string(name);
  printf(", \"error\": ");
  face_json_string(why->text);
  printf("}");
  *started = true;
}

void face_show_bad(FaceRun *r, size_t below, bool *started) {
  const FaceList *image = &r->args->image;
  for (; r->args->json && r->bad.shown < r->bad.n && r->bad.at[r->bad.shown].item < below; r->bad.shown++) {
    const FaceBad *b = &r->bad.at[r->bad.shown];
    face_json_bad("image", image->at[image->n == r->pictures ? 0 : b->item * r->pictures], &b->why, started);
  }
}

static void json_item(FaceRun *r, size_t k, bool *started) {
  bool is_text;
  face_show_bad(r, r->item[k], started);
  const char *name = item_name(r, k, &is_text), *sentence = sentence_of(r, k);
  bool array = is_text && !r->args->text.n;
  printf("%s\n    {\"%s\": ", *started ? "," : "", array ? "row" : is_text ? "text" : "image");
  if (array)
    printf("%zu", r->item[k]);
  else
    face_json_string(name);
  if (sentence) {
    printf(", \"text\": ");
    face_json_string(sentence);
  }
  *started = true;
}

static bool wants_softmax(const sy_prepare *p) {
  char text[16];
  return !face_option(p->options, "softmax", text, sizeof text) || strcmp(text, "false") != 0;
}

// One line a class.
static void show_top(const FaceRun *r, const sy_prepare *p, const HostTop *top, size_t n, const HostLabels *labels) {
  bool softmax = wants_softmax(p);
  for (size_t i = 0; i < n; i++) {
    const char *name = labels && top[i].index < labels->count ? labels->name[top[i].index] : NULL;
    if (r->args->json) {
      printf("%s{\"index\": %zu, \"label\": ", i ? ", " : "", top[i].index);
      if (name)
        face_json_string(name);
      else
        printf("null");
      printf(", \"logit\": ");
      face_json_number((double)top[i].logit);
      printf(", \"probability\": ");
      face_json_number((double)top[i].probability);
      printf("}");
      continue;
    }
    if (softmax)
      printf("  %6.2f%%  ", 100 * (double)top[i].probability);
    else
      printf("  %9.4f  ", (double)top[i].logit);
    if (name)
      printf("%s\n", name);
    else
      printf("class %zu\n", top[i].index);
  }
}

void face_show_labels(FaceRun *r, const sy_prepare *p, const FaceArray *a, const HostLabels *labels, bool *started) {
  size_t classes = a->dim[a->rank - 1], rows = classes ? a->n / classes : 0;
  double most = r->args->top ? (double)r->args->top : face_option_number(p->options, "top", 5);
  size_t k = most < 1 ? 1 : most < (double)classes ? (size_t)most : classes;
  HostTop *top = malloc((k + 1) * sizeof *top);
  if (!top) return;
  bool arrays = !r->pictures && !r->args->text.n; // --input alone: the rows of its batch
  for (size_t i = 0; i < rows && (arrays || i < r->count); i++) {
    size_t n = host_top_k((const float *)a->data + i * classes, classes, k, top);
    if (r->args->json) {
      json_item(r, i, started);
      printf(", \"top\": [");
    } else if (arrays) {
      printf("row %zu\n", i);
    } else {
      show_item(r, i);
    }
    show_top(r, p, top, n, labels);
    if (r->args->json) printf("]}");
  }
  free(top);
}

/* choices -----------------------------------------------------------------------------------------------------------
 */
typedef struct Choice {
  const char *name; // its line of --labels, or NULL
  int32_t index;
  double share; // NaN: the model gives none
} Choice;

static void show_choice(const Choice *c, bool json, bool first) {
  bool share = !isnan(c->share);
  if (json) {
    printf("%s{\"index\": %d, \"label\": ", first ? "" : ", ", (int)c->index);
    if (c->name)
      face_json_string(c->name);
    else
      printf("null");
    if (share) printf(", \"probability\": "), face_json_number(c->share);
    printf("}");
    return;
  }
  if (share) printf("  %6.2f%%", 100 * c->share);
  if (c->name)
    printf("  %s\n", c->name);
  else
    printf("  label %d\n", (int)c->index);
}

// The output that the page names as the shares of the choices; data NULL: none of that shape.
static FaceArray shares_of(const FaceRun *r, const sy_prepare *p, const FaceArray *index) {
  char want[80], name[84];
  FaceArray a = {0};
  HostError err;
  if (!face_option(p->options, "share", want, sizeof want)) return a;
  for (unsigned o = 0; o < r->route->noutput; o++) {
    snprintf(name, sizeof name, "\"%.78s\"", r->route->output[o].name);
    if (strcmp(want, name) != 0 || !face_run_output(r, o, &a, &err)) continue;
    if (a.dtype == 'f' && a.n == index->n) return a;
    face_array_free(&a);
    a = (FaceArray){0};
  }
  return a;
}

// Numbers of labels, best first: one for each item, or a row of them.
static void show_choices(FaceRun *r, const sy_prepare *p, const FaceArray *a, const HostLabels *labels, bool *started) {
  FaceArray share = shares_of(r, p, a);
  size_t row = a->rank == 2 ? a->dim[1] : 1;
  double most = r->args->top ? (double)r->args->top : face_option_number(p->options, "top", 5);
  for (size_t i = 0; i < a->dim[0] && i < r->count; i++) {
    if (r->args->json)
      json_item(r, i, started), printf(", \"top\": [");
    else
      show_item(r, i);
    for (size_t k = 0; k < row && (double)k < most; k++) {
      size_t at = i * row + k;
      Choice c = {NULL, ((const int32_t *)a->data)[at], share.data ? (double)((const float *)share.data)[at] : NAN};
      if (labels && c.index >= 0 && (size_t)c.index < labels->count) c.name = labels->name[c.index];
      show_choice(&c, r->args->json, k == 0);
    }
    if (r->args->json) printf("]}");
  }
  face_array_free(&share);
}

// A row for each picture: its scores with the sentences, and softmax over them if the page says so.
static void show_similarity(FaceRun *r, const sy_prepare *prepare, const FaceArray *a, bool *started) {
  bool softmax = wants_softmax(prepare);
  size_t texts = a->dim[1];
  float *p = malloc((texts + 1) * sizeof *p);
  if (!p) return;
  for (size_t i = 0; i < a->dim[0] && i < r->count; i++) {
    bool is_text;
    const float *row = (const float *)a->data + i * texts;
    host_softmax(row, texts, p);
    if (r->args->json) {
      json_item(r, i, started);
      printf(", \"texts\": [");
    } else {
      printf("%s\n", item_name(r, i, &is_text));
    }
    for (size_t j = 0; j < texts && j < r->args->text.n; j++) {
      if (!r->args->json) {
        if (softmax) printf("  %6.2f%%", 100 * (double)p[j]);
        printf("  %8.4f  %s\n", (double)row[j], r->args->text.at[j]);
        continue;
      }
      printf("%s{\"text\": ", j ? ", " : "");
      face_json_string(r->args->text.at[j]);
      printf(", \"logit\": ");
      face_json_number((double)row[j]);
      if (softmax) {
        printf(", \"probability\": ");
        face_json_number((double)p[j]);
      }
      printf("}");
    }
    if (r->args->json) printf("]}");
  }
  free(p);
}

static double element(const FaceArray *a, size_t i) {
  if (a->dtype == 'f') return (double)((const float *)a->data)[i];
  if (a->dtype == 'i') return ((const int32_t *)a->data)[i];
  return ((const unsigned char *)a->data)[i];
}

static void show_summary(const FaceRun *r, const char *name, const FaceArray *a, bool *started) {
  double lo = INFINITY, hi = -INFINITY, sum = 0;
  for (size_t i = 0; i < a->n; i++) {
    double v = element(a, i);
    lo = v < lo ? v : lo;
    hi = v > hi ? v : hi;
    sum += v;
  }
  if (r->args->json) {
    printf("%s\n    {\"output\": ", *started ? "," : "");
    face_json_string(name);
    printf(", \"shape\": [");
    for (unsigned d = 0; d < a->rank; d++) printf("%s%zu", d ? ", " : "", a->dim[d]);
    printf("], \"min\": ");
    face_json_number(lo);
    printf(", \"max\": ");
    face_json_number(hi);
    printf(", \"mean\": ");
    face_json_number(a->n ? sum / (double)a->n : 0);
    printf("}");
    *started = true;
    return;
  }
  printf("%s [", name);
  for (unsigned d = 0; d < a->rank; d++) printf("%s%zu", d ? ", " : "", a->dim[d]);
  printf("]  min %.6g  max %.6g  mean %.6g\n ", lo, hi, a->n ? sum / (double)a->n : 0);
  for (size_t i = 0; i < a->n && i < 8; i++) printf(" %.6g", element(a, i));
  printf("%s\n", a->n > 8 ? " ..." : "");
}

// Does the model say how to show some output of this route? Then, for people, the others are not shown.
static bool has_view(const FaceRun *r) {
  for (unsigned o = 0; o < r->route->noutput; o++)
    if (face_prepare(r->info, r->route->output[o].name)) return true;
  return false;
}

void face_show(FaceRun *r, unsigned o, const FaceArray *a, const HostLabels *labels, bool *started) {
  const sy_prepare *p = face_prepare(r->info, r->route->output[o].name);
  if (p && !strcmp(p->kind, "labels") && a->dtype == 'f' && (a->rank == 1 || a->rank == 2))
    face_show_labels(r, p, a, labels, started);
  else if (p && !strcmp(p->kind, "similarity") && a->dtype == 'f' && a->rank == 2 && r->args->text.n)
    show_similarity(r, p, a, started);
  else if (p && !strcmp(p->kind, "choices") && a->dtype == 'i' && (a->rank == 1 || a->rank == 2))
    show_choices(r, p, a, labels, started);
  else if (p || r->args->json || !has_view(r))
    show_summary(r, r->route->output[o].name, a, started);
}

double face_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void face_progress(size_t done, size_t total, double seconds) {
  char bar[31], left[48] = "";
  if (total < 8 || !isatty(STDERR_FILENO)) return;
  double full = 30 * (double)done / (double)total, rest = done ? seconds / (double)done * (double)(total - done) : 0;
  for (size_t i = 0; i < 30; i++) bar[i] = (double)i < full ? '#' : '.';
  bar[30] = 0;
  if (seconds > 2 && done) snprintf(left, sizeof left, ", %.3g/s, %.0f s left", (double)done / seconds, rest);
  fprintf(stderr, "\r[%s] %zu/%zu%s   ", bar, done, total, left);
  if (done == total) fprintf(stderr, "\r%*s\r", 100, "");
}

/* --describe --------------------------------------------------------------------------------------------------------
 */
static void put_type(const sy_info *info, const sy_tensor *t) {
  printf("%s[", t->dtype);
  for (unsigned d = 0; d < t->rank; d++) {
    const sy_dim *a = &t->axis[d];
    if (d) putchar(',');
    if (a->dim < 0) {
      printf("%llu", (unsigned long long)a->constant);
      continue;
    }
    if (a->constant) printf("%llu + ", (unsigned long long)a->constant);
    if (a->factor > 1) printf("%llu*", (unsigned long long)a->factor);
    printf("%s", info->dim[a->dim].name);
  }
  putchar(']');
}

static void describe_tensors(const sy_info *info, const char *what, const sy_tensor *t, unsigned n, bool json) {
  if (json) printf(", \"%s\": [", what);
  for (unsigned i = 0; i < n; i++) {
    const sy_prepare *p = face_prepare(info, t[i].name);
    if (json) {
      printf("%s{\"name\": ", i ? ", " : "");
      face_json_string(t[i].name);
      printf(", \"type\": \"");
      put_type(info, &t[i]);
      printf("\", \"bytes\": %llu", (unsigned long long)t[i].bytes);
      if (p) {
        printf(", \"prepare\": {\"kind\": ");
        face_json_string(p->kind);
        printf(", \"options\": ");
        face_json_string(p->options);
        printf("}");
      }
      printf("}");
      continue;
    }
    printf("  %-6s %s: ", what, t[i].name);
    put_type(info, &t[i]);
    if (p) printf("   %s(%s)", p->kind, p->options);
    putchar('\n');
  }
  if (json) printf("]");
}

void face_describe(const sy_info *info, bool json) {
  if (json) {
    printf("{\"model\": ");
    face_json_string(info->model);
    printf(", \"plan_hash\": \"%016llx\", \"weights_bytes\": %llu, \"shared_bytes\": %llu, \"scratch_bytes\": %llu, "
           "\"isas\": [",
           (unsigned long long)info->plan_hash, (unsigned long long)info->weights_bytes,
           (unsigned long long)info->shared_bytes, (unsigned long long)info->scratch_bytes);
    for (unsigned i = 0; i < info->nisa; i++) printf("%s\"%s\"", i ? ", " : "", info->isa[i]);
    printf("], \"built\": ");
    face_json_string(info->built);
    printf(", \"dims\": [");
    for (unsigned i = 0; i < info->ndim; i++) {
      printf("%s{\"name\": ", i ? ", " : "");
      face_json_string(info->dim[i].name);
      printf(", \"min\": %llu, \"max\": %llu}", (unsigned long long)info->dim[i].lo,
             (unsigned long long)info->dim[i].hi);
    }
    printf("], \"routes\": [");
  } else {
    printf("model %s, plan %016llx\nweights %.1f MiB, arena %.1f MiB + %.1f KiB a thread\ninstruction sets",
           info->model, (unsigned long long)info->plan_hash, (double)info->weights_bytes / 1048576,
           (double)info->shared_bytes / 1048576, (double)info->scratch_bytes / 1024);
    for (unsigned i = 0; i < info->nisa; i++) printf(" %s", info->isa[i]);
    printf("\nbuilt with %s\n", info->built);
    for (unsigned i = 0; i < info->ndim; i++)
      printf("dim %s = %llu..%llu\n", info->dim[i].name, (unsigned long long)info->dim[i].lo,
             (unsigned long long)info->dim[i].hi);
  }
  for (unsigned i = 0; i < info->nroute; i++) {
    const sy_route *r = &info->route[i];
    if (json) {
      printf("%s{\"name\": ", i ? ", " : "");
      face_json_string(r->name);
      printf(", \"flops\": %.9g, \"steps\": %u, \"arena_bytes\": %llu", r->flops, r->nstep,
             (unsigned long long)r->arena_bytes);
    } else {
      printf("route %s: %.2f GFLOP, %u kernel launches, arena %.1f MiB\n", r->name, r->flops / 1e9, r->nstep,
             (double)r->arena_bytes / 1048576);
    }
    describe_tensors(info, json ? "inputs" : "in", r->input, r->ninput, json);
    describe_tensors(info, json ? "outputs" : "out", r->output, r->noutput, json);
    if (json) printf("}");
  }
  if (json) printf("]}\n");
}

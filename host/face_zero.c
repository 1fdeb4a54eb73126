// face_zero.c - zero-shot classification: every label is put into every template, the sentences become vectors once,
// and a picture's logits are the scale times the cosines with them.
//
// Of several templates the vectors of length 1 are averaged and made of length 1 again, as in CLIP's notebooks. The
// scale is a weight that only the comparing route has (retrieve): that route runs once, on the first picture and a few
// sentences, and what its scores are in cosines is fitted; a route whose scores are no multiple of them is refused.
// Where the page says that probabilities are sigmoids (SigLIP) there is a bias, too; a few sentences are added for it,
// as one label would leave it open.
//
//   $ ./clip cat.jpg --labels animals.txt --template "a photo of a {}." --template "a drawing of a {}."
//   cat.jpg
//      91.02%  cat
#include "face_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIT_SENTENCES = 8 };
static const char default_template[] = "a photo of a {}.";
static const char *const probe[] = {"cat", "red cars", "the sea", "a page"};
enum { PROBES = sizeof probe / sizeof *probe };

typedef struct Zero {
  const FaceModel *m;
  FaceVectors see, read;
  HostLabels labels;
  FaceList sentence;  // label by label, all its templates, then the probes; malloc'd strings
  size_t forms;       // templates
  bool sigmoid;       // probabilities are sigmoids: logits have a bias
  float *spoken;      // f32[sentences, width]
  float *classes;     // f32[labels, width]
  double scale, bias; // 0: not known yet
  FaceArgs args;      // pictures alone
  FaceRun run;
} Zero;

// The route that compares all pictures with all sentences, and its output.
static const sy_route *compares(const sy_info *info, unsigned *output) {
  for (unsigned i = 0; i < info->nroute; i++) {
    const sy_route *r = &info->route[i];
    size_t pictures, texts;
    if (!face_route_wants(info, r, &pictures, &texts) || pictures != 1 || texts != 1) continue;
    for (*output = 0; *output < r->noutput; ++*output) {
      const sy_tensor *t = &r->output[*output];
      if (t->rank == 2 && !strcmp(t->dtype, "f32") && face_prepare_is(info, t->name, "similarity")) return r;
    }
  }
  return NULL;
}

// Is there a route from pictures alone to classes of its own, which the labels name?
static bool has_classes(const sy_info *info) {
  for (unsigned i = 0; i < info->nroute; i++) {
    size_t pictures, texts;
    const sy_route *r = &info->route[i];
    if (!face_route_wants(info, r, &pictures, &texts) || !pictures || texts) continue;
    for (unsigned o = 0; o < r->noutput; o++)
      if (face_prepare_is(info, r->output[o].name, "labels")) return true;
  }
  return false;
}

bool face_zero_wanted(const sy_info *info, const FaceArgs *a) {
  FaceVectors v;
  if (!a->labels || !a->image.n || a->text.n || a->input.n || a->route || a->out || a->selftest) return false;
  return !has_classes(info) && face_vectors_find(info, FACE_PICTURES, NULL, &v) &&
         face_vectors_find(info, FACE_TEXTS, NULL, &v);
}

/* sentences ---------------------------------------------------------------------------------------------------------
 */
// A template with the label for each {}; malloc'd.
static char *put_label(const char *form, const char *label) {
  size_t holes = 0, n = strlen(label);
  for (const char *s = form; (s = strstr(s, "{}")); s += 2) holes++;
  char *text = malloc(strlen(form) + holes * n + 1), *to = text;
  for (const char *s = form; text && *s;) {
    if (s[0] != '{' || s[1] != '}') {
      *to++ = *s++;
      continue;
    }
    memcpy(to, label, n);
    to += n;
    s += 2;
  }
  if (text) *to = 0;
  return text;
}

static int make_sentences(Zero *z, HostError *err) {
  static const char *const usual[] = {default_template};
  const FaceList *given = &z->m->args->template;
  size_t forms = z->forms = given->n ? given->n : 1, more = z->sigmoid ? PROBES : 0;
  const char *const *form = given->n ? given->at : usual;
  for (size_t t = 0; t < forms; t++)
    if (!strstr(form[t], "{}")) {
      host_fail(err, "--template \"%.100s\": it has no {}, where the label goes, as in \"%s\"", form[t],
                default_template);
      return FACE_USAGE;
    }
  const char *path = z->m->args->labels;
  if (!host_labels_load(path, &z->labels, err)) return FACE_IO;
  if (forms > (SIZE_MAX / sizeof *z->sentence.at - PROBES) / z->labels.count ||
      !(z->sentence.at = calloc(z->labels.count * forms + more, sizeof *z->sentence.at)))
    return host_no_memory(err), FACE_IO;
  size_t own = z->labels.count * forms;
  for (size_t i = 0; i < own + more; i++) {
    z->sentence.at[i] = i < own ? put_label(form[i % forms], z->labels.name[i / forms]) : put_label(probe[i - own], "");
    if (!z->sentence.at[i]) return host_no_memory(err), FACE_IO;
    z->sentence.n++;
  }
  return FACE_OK;
}

static int make_classes(Zero *z, HostError *err) {
  int code = face_vectors_all(z->m, &z->read, &z->sentence, &z->spoken, NULL, err);
  if (code) return code;
  size_t width = z->read.width, forms = z->forms;
  z->classes = calloc(z->labels.count, width * sizeof *z->classes);
  double *sum = malloc(width * sizeof *sum);
  bool ok = z->classes && sum;
  if (!ok) host_no_memory(err);
  for (size_t i = 0; ok && i < z->labels.count; i++) {
    for (size_t d = 0; d < width; d++) sum[d] = 0;
    for (size_t t = 0; t < forms; t++)
      for (size_t d = 0; d < width; d++) sum[d] += (double)z->spoken[(i * forms + t) * width + d];
    for (size_t d = 0; d < width; d++) z->classes[i * width + d] = (float)(sum[d] / (double)forms);
    ok = face_unit(z->classes + i * width, width);
    if (!ok) host_fail(err, "the templates of '%.60s' cancel out", z->labels.name[i]);
  }
  free(sum);
  return ok ? FACE_OK : FACE_IO;
}

/* scale -------------------------------------------------------------------------------------------------------------
 */
// scores f32[n] against cosines: scale and bias (0 without `biased`) by least squares. False if they are not so
// related.
static bool fit(const float *score, const double *cosine, size_t n, bool biased, double *scale, double *bias) {
  double of_score = 0, of_cosine = 0, cross = 0, square = 0, most = 0;
  for (size_t i = 0; i < n && biased; i++) {
    of_score += (double)score[i] / (double)n;
    of_cosine += cosine[i] / (double)n;
  }
  for (size_t i = 0; i < n; i++) {
    double y = (double)score[i] - of_score, x = cosine[i] - of_cosine;
    cross += y * x;
    square += x * x;
    most = fmax(most, fabs(y));
  }
  *scale = square > 1e-8 ? cross / square : 0;
  *bias = of_score - *scale * of_cosine;
  for (size_t i = 0; i < n; i++)
    if (!(fabs((double)score[i] - *scale * cosine[i] - *bias) <= 1e-2 * most)) return false;
  return *scale > 0 && isfinite(*scale);
}

// first: of the sentences, that the route is run with
static int run_compare(Zero *z, FaceRun *c, unsigned output, const float *picture, size_t first, HostError *err) {
  const void *in[FACE_MAX_TENSORS];
  double cosine[FIT_SENTENCES];
  size_t n = c->args->text.n;
  FaceArray a;
  if (!face_run_start(c, err)) return c->usage ? FACE_USAGE : FACE_IO;
  face_run_hold(c, &z->run, c->args->image.at[0]);
  if (!face_run_fill(c, 0, 1, err)) return FACE_IO;
  if (!c->count) return *err = c->bad.at[0].why, FACE_IO;
  for (unsigned i = 0; i < FACE_MAX_TENSORS; i++) in[i] = c->in[i];
  if (!z->m->call(z->m->ud, c->route, c->dims, in, c->out) || !face_run_output(c, output, &a, err)) return FACE_IO;
  for (size_t i = 0; i < n; i++)
    cosine[i] = (double)face_dot(picture, z->spoken + (first + i) * z->read.width, z->read.width);
  if (a.n < n || !fit(a.data, cosine, n, z->sigmoid, &z->scale, &z->bias)) z->scale = 0;
  face_array_free(&a);
  return FACE_OK;
}

// picture: the vector of the first picture of this batch.
static int find_scale(Zero *z, const float *picture, HostError *err) {
  unsigned output = 0;
  const sy_route *route = compares(z->m->info, &output);
  z->scale = z->m->args->scale;
  if (z->scale > 0 && !z->sigmoid) return FACE_OK;
  if (z->scale > 0)
    return host_fail(err, "--scale: scores of this model also have a bias; both are taken from its route %s",
                     route ? route->name : "that compares pictures and sentences (retrieve)"),
           FACE_USAGE;
  int code = FACE_OK;
  if (route) {
    FaceArgs args = z->args;
    size_t bound = (size_t)route->output[output].axis[1].bound;
    size_t most = bound && bound < FIT_SENTENCES ? bound : FIT_SENTENCES;
    if (most > z->sentence.n) most = z->sentence.n;
    size_t first = z->sigmoid ? z->sentence.n - most : 0;
    args.image = (FaceList){z->args.image.at + z->run.item[0], 1};
    args.text = (FaceList){z->sentence.at + first, most};
    FaceRun c = {.info = z->m->info, .route = route, .args = &args, .quiet = true};
    code = run_compare(z, &c, output, picture, first, err);
    face_run_free(&c);
  }
  if (code || z->scale > 0) return code;
  host_fail(err, "%s%s%s: %s",
            route ? "the scores of route " : "the program has no route that compares pictures and sentences",
            route ? route->name : " (retrieve)", route ? " are no multiple of the cosines" : "",
            z->sigmoid ? "it has the scale and the bias of the scores"
                       : "name what cosines are multiplied with; CLIP as published has --scale 100");
  return FACE_USAGE;
}

/* pictures ----------------------------------------------------------------------------------------------------------
 */
// How the page shows scores of pairs, whether or not the program has the route that makes them.
static const sy_prepare *view(const sy_info *info) {
  static const sy_prepare plain = {"", "similarity", ""};
  for (unsigned i = 0; i < info->nprepare; i++)
    if (!strcmp(info->prepare[i].kind, "similarity")) return &info->prepare[i];
  return &plain;
}

static int one_batch(Zero *z, size_t at, size_t count, float *seen, float *logits, HostError *err) {
  FaceRun *r = &z->run;
  if (!face_run_fill(r, at, count, err)) return FACE_IO;
  face_bads_say(&r->bad, z->m->program);
  if (!r->count) return face_show_bad(r, SIZE_MAX), FACE_OK;
  int code = face_vectors_call(z->m, &z->see, r, seen, err);
  if (!code && !(z->scale > 0)) code = find_scale(z, seen, err);
  if (code) return code;
  size_t n = z->labels.count, width = z->see.width;
  for (size_t k = 0; k < r->count * n; k++)
    logits[k] = (float)(z->scale * (double)face_dot(seen + k / n * width, z->classes + k % n * width, width) + z->bias);
  FaceArray a = {.dtype = 'f', .rank = 2, .dim = {r->count, n}, .n = r->count * n, .data = logits};
  if (!face_show_labels(r, view(z->m->info), &a, &z->labels, err)) return FACE_IO;
  face_show_bad(r, SIZE_MAX);
  return FACE_OK;
}

static int show_pictures(Zero *z, HostError *err) {
  FaceRun *r = &z->run;
  if (!face_run_start(r, err)) return r->usage ? FACE_USAGE : FACE_IO;
  float *seen = calloc(r->batch, z->see.width * sizeof *seen),
        *logits = calloc(r->batch, z->labels.count * sizeof *logits);
  int code = FACE_OK;
  if (!seen || !logits) {
    host_no_memory(err);
    code = FACE_IO;
  }
  for (size_t at = 0, count; !code && at < r->total; at += count) {
    count = r->total - at < r->batch ? r->total - at : r->batch;
    code = one_batch(z, at, count, seen, logits, err);
  }
  if (!code) code = face_bads_code(r->left_out, r->total, err);
  free(seen);
  free(logits);
  return code;
}

int face_zero(const FaceModel *m, HostError *err) {
  Zero z = {.m = m, .args = *m->args, .sigmoid = face_shares(view(m->info)) == FACE_SIGMOID};
  z.run = (FaceRun){.info = m->info, .args = &z.args, .json = m->json};
  int code = face_vectors_need(m, FACE_PICTURES, &z.see, err);
  if (!code) code = face_vectors_need(m, FACE_TEXTS, &z.read, err);
  if (!code && z.see.width != z.read.width) {
    host_fail(err, "vectors of pictures have %zu numbers, those of sentences %zu", z.see.width, z.read.width);
    code = FACE_USAGE;
  }
  z.run.route = z.see.route;
  if (!code) code = make_sentences(&z, err);
  if (!code) code = make_classes(&z, err);
  if (!code) code = show_pictures(&z, err);
  for (size_t i = 0; i < z.sentence.n; i++) free((void *)(uintptr_t)z.sentence.at[i]);
  free(z.sentence.at);
  free(z.spoken);
  free(z.classes);
  if (z.labels.text) host_labels_free(&z.labels);
  face_run_free(&z.run);
  return code;
}

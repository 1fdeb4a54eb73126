// face_vectors.c - one vector of length 1 for each picture or sentence, by the route of a model that makes them.
//
// The route is told by its output: image_embed or image_features for pictures, text_embed or text_features for
// sentences, f32[N, width]. Vectors are made of length 1 here too, in double, so that models whose route does not do
// it can be searched alike.
//
//   FaceVectors v;
//   if (face_vectors_find(info, FACE_TEXTS, NULL, &v)) code = face_vectors_all(m, &v, &sentences, &rows, NULL, &err);
#include "face_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16 }; // sums side by side, which the compiler keeps in vector registers

static const struct {
  const char *what, *output[2];
} kinds[] = {[FACE_PICTURES] = {"a picture", {"image_embed", "image_features"}},
             [FACE_TEXTS] = {"a sentence", {"text_embed", "text_features"}}};

static bool fits(const sy_info *info, FaceKind kind, const sy_route *route, const char *output, FaceVectors *out) {
  size_t pictures, texts;
  if (!face_route_wants(info, route, &pictures, &texts)) return false;
  if (pictures != (kind == FACE_PICTURES) || texts != (kind == FACE_TEXTS)) return false;
  for (unsigned o = 0; o < route->noutput; o++) {
    const sy_tensor *t = &route->output[o];
    if (strcmp(t->name, output) != 0 || strcmp(t->dtype, "f32") != 0 || t->rank != 2) continue;
    if (t->axis[1].dim >= 0 || !t->axis[1].constant) continue;
    *out = (FaceVectors){kind, route, o, (size_t)t->axis[1].constant};
    return true;
  }
  return false;
}

bool face_vectors_find(const sy_info *info, FaceKind kind, const char *named, FaceVectors *out) {
  for (size_t k = 0; k < sizeof kinds[kind].output / sizeof *kinds[kind].output; k++)
    for (unsigned i = 0; i < info->nroute; i++)
      if ((!named || !strcmp(named, info->route[i].name)) &&
          fits(info, kind, &info->route[i], kinds[kind].output[k], out))
        return true;
  return false;
}

int face_vectors_need(const FaceModel *m, FaceKind kind, FaceVectors *out, HostError *err) {
  if (face_vectors_find(m->info, kind, m->args->route, out)) return FACE_OK;
  host_fail(err, "%s%.60s makes no vector of %s: a route with an output %s or %s of f32[N, width] is needed",
            m->args->route ? "route " : "the model ", m->args->route ? m->args->route : m->info->model,
            kinds[kind].what, kinds[kind].output[0], kinds[kind].output[1]);
  return FACE_USAGE;
}

bool face_unit(float *v, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
  if (!(sum > 0) || !isfinite(sum)) return false;
  double scale = 1 / sqrt(sum);
  for (size_t i = 0; i < n; i++) v[i] = (float)((double)v[i] * scale);
  return true;
}

float face_dot(const float *a, const float *b, size_t n) {
  float sum[LANES] = {0};
  size_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (size_t k = 0; k < LANES; k++) sum[k] += a[i + k] * b[i + k];
  for (; i < n; i++) sum[i % LANES] += a[i] * b[i];
  for (size_t half = LANES / 2; half; half /= 2)
    for (size_t k = 0; k < half; k++) sum[k] += sum[k + half];
  return sum[0];
}

int face_vectors_call(const FaceModel *m, const FaceVectors *v, FaceRun *r, float *dst, HostError *err) {
  const void *in[FACE_MAX_TENSORS];
  for (unsigned i = 0; i < FACE_MAX_TENSORS; i++) in[i] = r->in[i];
  if (!m->call(m->ud, v->route, r->dims, in, r->out)) return FACE_IO;
  FaceArray a;
  if (!face_run_output(r, v->output, &a, err)) return FACE_IO;
  bool ok = a.n >= r->count * v->width;
  if (ok) memcpy(dst, a.data, r->count * v->width * sizeof *dst);
  face_array_free(&a);
  for (size_t k = 0; ok && k < r->count; k++) ok = face_unit(dst + k * v->width, v->width);
  if (ok) return FACE_OK;
  host_fail(err, "route %s gave a vector that is zero or not made of numbers; are the weights those of this model?",
            v->route->name);
  return FACE_CHECK;
}

static int all_batches(const FaceModel *m, const FaceVectors *v, FaceRun *r, const FaceList *items, float *dst,
                       FaceBads *bad, HostError *err) {
  double start = face_now();
  for (size_t next = 0; next < items->n;) {
    face_run_begin(r);
    for (; r->count < r->batch && next < items->n; next++) {
      HostError why = {.text = ""};
      if (face_run_add(r, items->at[next], bad ? &why : err)) continue;
      if (!bad || !face_bads_add(bad, next, &why, err)) return FACE_IO;
    }
    if (!r->count) break;
    int code = face_run_end(r, err) ? face_vectors_call(m, v, r, dst, err) : FACE_IO;
    if (code) return code;
    dst += r->count * v->width;
    face_progress(next, items->n, face_now() - start);
  }
  return FACE_OK;
}

int face_vectors_all(const FaceModel *m, const FaceVectors *v, const FaceList *items, float **out, FaceBads *bad,
                     HostError *err) {
  FaceArgs args = *m->args;
  args.image = v->kind == FACE_PICTURES ? *items : (FaceList){0};
  args.text = v->kind == FACE_TEXTS ? *items : (FaceList){0};
  args.input = (FaceList){0};
  FaceRun run = {.info = m->info, .route = v->route, .args = &args};
  int code = face_run_start(&run, err) ? FACE_OK : run.usage ? FACE_USAGE : FACE_IO;
  *out = code ? NULL : calloc(items->n + 1, v->width * sizeof **out);
  if (!code && !*out) {
    host_no_memory(err);
    code = FACE_IO;
  }
  if (!code) code = all_batches(m, v, &run, items, *out, bad, err);
  face_run_free(&run);
  return code;
}

// optimiser.c: see optimiser.h. Each rule is written as its authors compute it, operation by operation, so that a run
// can be compared with theirs.
#include "optimiser.h"

#include <math.h>
#include <string.h>

// exp_avg and exp_avg_sq, as torch.optim.adamw of 1.13 and Hugging Face's AdamW have them.
static void moments(float *m, float *v, float g, float beta1, float beta2, float rest1, float rest2) {
  *m = *m * beta1 + g * rest1;
  *v = *v * beta2 + (g * g) * rest2;
}

// torch.optim.AdamW: decay first, eps behind the bias correction.
static void adamw(float *p, float *m, float *v, const float *g, size_t n, const sy_hyper *h) {
  const float keep = (float)(1 - h->lr * h->decay), scale = (float)h->scale, eps = (float)h->eps;
  const float b1 = (float)h->beta1, b2 = (float)h->beta2, r1 = (float)(1 - h->beta1), r2 = (float)(1 - h->beta2);
  const float rate = (float)(h->lr / (1 - pow(h->beta1, (double)h->step)));
  const float root = (float)sqrt(1 - pow(h->beta2, (double)h->step));
  for (size_t i = 0; i < n; i++) {
    moments(&m[i], &v[i], g[i] * scale, b1, b2, r1, r2);
    p[i] = p[i] * keep - rate * (m[i] / (sqrtf(v[i]) / root + eps));
  }
}

// Hugging Face's AdamW (ViLT, VLMo): eps in front of the bias correction, decay last, of the new parameter.
static void adamw_hf(float *p, float *m, float *v, const float *g, size_t n, const sy_hyper *h) {
  const float decay = (float)(h->lr * h->decay), scale = (float)h->scale, eps = (float)h->eps;
  const float b1 = (float)h->beta1, b2 = (float)h->beta2, r1 = (float)(1 - h->beta1), r2 = (float)(1 - h->beta2);
  const double c1 = 1 - pow(h->beta1, (double)h->step), c2 = 1 - pow(h->beta2, (double)h->step);
  const float rate = (float)(h->lr * sqrt(c2) / c1);
  for (size_t i = 0; i < n; i++) {
    moments(&m[i], &v[i], g[i] * scale, b1, b2, r1, r2);
    p[i] = p[i] - rate * (m[i] / (sqrtf(v[i]) + eps));
    p[i] = p[i] - decay * p[i];
  }
}

// torch.optim.SGD with momentum, without dampening: the decay is part of the gradient.
static void sgd(float *p, float *m, float *v, const float *g, size_t n, const sy_hyper *h) {
  const float lr = (float)h->lr, momentum = (float)h->beta1, decay = (float)h->decay, scale = (float)h->scale;
  (void)v;
  for (size_t i = 0; i < n; i++) {
    m[i] = m[i] * momentum + (g[i] * scale + p[i] * decay);
    p[i] = p[i] - lr * m[i];
  }
}

double sy_square_sum(const float *x, size_t n) {
  enum { CHUNK = 4096, LANES = 8 };
  double total = 0;
  for (size_t at = 0; at < n; at += CHUNK) {
    double lane[LANES] = {0};
    size_t end = n - at < CHUNK ? n : at + CHUNK;
    for (size_t i = at; i < end; i++) lane[i % LANES] += (double)x[i] * (double)x[i];
    for (int k = LANES / 2; k; k /= 2)
      for (int i = 0; i < k; i++) lane[i] += lane[i + k];
    total += lane[0];
  }
  return total;
}

// LAMB (You et al., 2020, algorithm 2): Adam's step with decay, as long as the parameter times lr.
static void lamb(float *p, float *m, float *v, const float *g, size_t n, const sy_hyper *h) {
  const float decay = (float)h->decay, scale = (float)h->scale, eps = (float)h->eps;
  const float b1 = (float)h->beta1, b2 = (float)h->beta2, r1 = (float)(1 - h->beta1), r2 = (float)(1 - h->beta2);
  const float c1 = (float)(1 - pow(h->beta1, (double)h->step)), c2 = (float)(1 - pow(h->beta2, (double)h->step));
  double own = sqrt(sy_square_sum(p, n)), step = 0;
  for (size_t i = 0; i < n; i++) {
    moments(&m[i], &v[i], g[i] * scale, b1, b2, r1, r2);
    float r = (m[i] / c1) / (sqrtf(v[i] / c2) + eps) + decay * p[i];
    step += (double)r * (double)r;
  }
  step = sqrt(step);
  const float rate = (float)(h->lr * (own > 0 && step > 0 ? own / step : 1));
  for (size_t i = 0; i < n; i++) p[i] = p[i] - rate * ((m[i] / c1) / (sqrtf(v[i] / c2) + eps) + decay * p[i]);
}

const sy_optimiser sy_optimisers[] = {
    {"adamw", 2, adamw, "torch.optim.AdamW: decay first, eps behind the bias correction"},
    {"adamw_hf", 2, adamw_hf, "Hugging Face's AdamW: eps in front of the bias correction, decay last"},
    {"sgd", 1, sgd, "momentum (beta1), decay as part of the gradient"},
    {"lamb", 2, lamb, "Adam's step, as long as the parameter times lr"},
    {NULL, 0, NULL, NULL},
};

const sy_optimiser *sy_optimiser_find(const char *name) {
  for (const sy_optimiser *o = sy_optimisers; o->name; o++)
    if (!strcmp(o->name, name)) return o;
  return NULL;
}

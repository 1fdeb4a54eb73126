//@ alone
// selftest.c: the self-test of a compiled model: checksums of the weights, a probe whose bits tell how the module was
// compiled, a part of every kernel on every instruction set. A part of engine.c, which includes it.
//@ end
//@ section Self-test

static mdl_status mdl__test_weights(const mdl_ctx *c) {
  sy_weights_header h;
  if (mdl__check_header(c->file, &h) != MDL_OK) return MDL_EWEIGHTS;
  for (uint64_t i = 0; i < h.count; i++) {
    sy_weights_entry entry;
    const void *data = NULL;
    if (sy_weights_find(c->file, &h, i, &entry, &data)) return MDL_EWEIGHTS;
    if (sy_weights_checksum(data, entry.bytes) != entry.checksum) return MDL_EWEIGHTS;
  }
  return MDL_OK;
}

enum { MDL__SAMPLES = 256, MDL__MARK = 0xee };
typedef struct mdl__samples { /* of the elements that a task has written */
  unsigned n;
  uint64_t at[MDL__SAMPLES];
  float value[MDL__SAMPLES];
} mdl__samples;

static uint64_t mdl__param_size(const mdl__param *p) {
  return p->dtype == 'b' ? 1 : p->dtype == 'h' || p->dtype == 'y' ? 2 : 4;
}

static float mdl__float(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

/* An f16, scaled to an f32: also denormals, infinities and NaN. */
static float mdl__half(uint32_t bits) {
  const uint32_t e = bits >> 10 & 31, m = bits & 1023, sign = (bits & 0x8000u) << 16;
  float f = e == 31 ? mdl__float(0x7f800000u | m << 13)
            : e     ? mdl__float((e + 112) << 23 | m << 13)
                    : (float)m / 16777216.0f;
  return sign ? -f : f;
}

/* Element i as a float; *written says whether it differs from the mark. */
static float mdl__element(const mdl__param *p, const unsigned char *data, uint64_t i, int *written) {
  unsigned char bytes[4] = {0, 0, 0, 0};
  size_t n = (size_t)mdl__param_size(p);
  uint16_t half;
  uint32_t word;
  int32_t v;
  memcpy(bytes, data + i * n, n);
  *written = 0;
  for (size_t k = 0; k < n; k++) *written |= bytes[k] != MDL__MARK;
  memcpy(&half, bytes, sizeof half);
  memcpy(&word, bytes, sizeof word);
  memcpy(&v, bytes, sizeof v);
  switch (p->dtype) {
  case 'f': return mdl__float(word);
  case 'h': return mdl__half(half);
  case 'y': return mdl__float((uint32_t)half << 16);
  case 'i': return (float)v;
  default: return (float)bytes[0];
  }
}

/* Numbers in -1 .. 1 (those of 16 bits: 1 or -1), ids 0 or 1, bools 1: the same on every machine. */
static void mdl__fill(const mdl__param *p, unsigned char *data) {
  uint32_t x = 12345;
  for (uint64_t i = 0; i < p->n; i++) {
    x = x * 1664525u + 1013904223u;
    float f = (float)(int32_t)(x >> 16) / 32768.0f - 1.0f;
    int32_t id = (int32_t)(x >> 31);
    uint16_t half = (uint16_t)((p->dtype == 'h' ? 0x3c00u : 0x3f80u) | (x >> 31) << 15);
    if (p->dtype == 'f')
      memcpy(data + 4 * i, &f, sizeof f);
    else if (p->dtype == 'i')
      memcpy(data + 4 * i, &id, sizeof id);
    else if (p->dtype == 'b')
      data[i] = 1;
    else
      memcpy(data + 2 * i, &half, sizeof half);
  }
}

static int mdl__same(float a, float b) {
  float d = a > b ? a - b : b - a, size = b < 0 ? -b : b;
  return (a != a && b != b) || d <= 1e-3f * (1 + size) || (d != d && size > FLT_MAX);
}

/* Does the probe give the bits that were stored when this module was written? */
static mdl_status mdl__test_probe(const mdl__isa_row *isa) {
  const mdl__param in = {'i', 'f', MDL__PROBE_N};
  float x[MDL__PROBE_N], y[MDL__PROBE_N * (MDL__PROBE_ROWS + 2)];
  mdl__args args;
  memset(&args, 0, sizeof args);
  memset(y, 0, sizeof y);
  mdl__fill(&in, (unsigned char *)x);
  args.p[0] = x;
  args.p[1] = y;
  isa->probe(&args, 0, NULL);
  return sy_weights_checksum(y, sizeof y) == isa->probe_sum ? MDL_OK : MDL_ETEST;
}

/* Runs the first task of a step's kernel on every instruction set; all must agree with the first. Kernels whose
 * operands do not fit the arena at once are left out. */
static mdl_status mdl__test_kernel(mdl_ctx *c, const mdl__step *s, const mdl__args *dims,
                                   const uint32_t have[SY_CPU_WORDS]) {
  const mdl__param *param = mdl__params[s->kernel];
  mdl__args args = *dims;
  unsigned out = MDL__MAX_ARGS;
  uint64_t used = 0;
  for (unsigned j = 0; j < MDL__MAX_ARGS; j++) {
    args.p[j] = NULL;
    if (param[j].role == 0) continue;
    if (s->arg[j].kind == MDL__AT_WEIGHT) {
      args.p[j] = mdl__readable(c->data + s->arg[j].offset);
      continue;
    }
    uint64_t bytes = (param[j].n * mdl__param_size(&param[j]) + 63) / 64 * 64;
    if (bytes > c->shared_bytes - used) return MDL_OK;
    args.p[j] = c->shared + used;
    used += bytes;
    if (param[j].role == 'i') mdl__fill(&param[j], (unsigned char *)args.p[j]);
    if (param[j].role == 'o' && out == MDL__MAX_ARGS) out = j;
  }
  if (out == MDL__MAX_ARGS) return MDL_OK;
  mdl__samples want;
  want.n = 0;
  for (unsigned i = 0, first = 1; mdl__isas[i].name; i++) {
    const mdl__slot *k = &mdl__isas[i].slot[s->kernel];
    if (!sy_cpu_has(mdl__isas[i].need, have) || k->tasks(args.dim) == 0) continue;
    const unsigned char *data = (const unsigned char *)args.p[out];
    memset(args.p[out], MDL__MARK, (size_t)(param[out].n * mdl__param_size(&param[out])));
    k->run(&args, 0, c->scratch);
    int written = 0;
    for (uint64_t e = 0; first && e < param[out].n && want.n < MDL__SAMPLES; e++) {
      float f = mdl__element(&param[out], data, e, &written);
      if (!written) continue;
      want.at[want.n] = e;
      want.value[want.n++] = f;
    }
    for (unsigned e = 0; !first && e < want.n; e++) {
      float f = mdl__element(&param[out], data, want.at[e], &written);
      if (written && !mdl__same(f, want.value[e])) return MDL_ETEST;
    }
    first = 0;
  }
  return MDL_OK;
}

/* Does an earlier step run the kernel of step i of route r? */
static int mdl__tested(unsigned r, unsigned i) {
  unsigned kernel = mdl__plans[r].step[i].kernel;
  for (unsigned q = 0; q <= r; q++)
    for (unsigned k = 0; k < (q < r ? mdl__plans[q].nstep : i); k++)
      if (mdl__plans[q].step[k].kernel == kernel) return 1;
  return 0;
}

mdl_status mdl_selftest(mdl_ctx *c) {
  if (!c) return MDL_EINVAL;
  mdl_status status = mdl__test_weights(c);
  uint32_t have[SY_CPU_WORDS];
  sy_cpu_words(have);
  for (unsigned i = 0; status == MDL_OK && mdl__isas[i].name; i++)
    if (sy_cpu_has(mdl__isas[i].need, have)) status = mdl__test_probe(&mdl__isas[i]);
  for (unsigned r = 0; r < (unsigned)MDL_ROUTE_COUNT; r++) {
    const mdl__plan *p = &mdl__plans[r];
    mdl__args args;
    memset(&args, 0, sizeof args);
    for (unsigned j = 0; j < MDL__ARG_DIMS; j++) args.dim[j] = (p->dims >> j & 1) ? (size_t)mdl__bounds[j].lo : 0;
    for (unsigned i = 0; status == MDL_OK && i < p->nstep; i++)
      if (!mdl__tested(r, i)) status = mdl__test_kernel(c, &p->step[i], &args, have);
  }
  return status;
}

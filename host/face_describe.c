// face_describe.c - --describe: what a program was built from, its sizes, and its routes with their tensors.
//
// The facts of both forms are walked by the same order: model, sizes, dims, routes. A new fact is one line in
// describe_text and one in describe_json.
#include "face_parts.h"

#include "common/text.h"

#include <stdio.h>
#include <string.h>

// "f32[B,3,224,224]", an axis "constant + factor*dim"; dst is cut at `room`.
static void put_type(const sy_info *info, const sy_tensor *t, char *dst, size_t room) {
  size_t n = (size_t)snprintf(dst, room, "%s[", t->dtype);
  for (unsigned d = 0; d < t->rank && n < room; d++) {
    const sy_dim *a = &t->axis[d];
    n += (size_t)snprintf(dst + n, room - n, d ? "," : "");
    if (n < room && (a->constant || a->dim < 0))
      n += (size_t)snprintf(dst + n, room - n, a->dim < 0 ? "%llu" : "%llu + ", (unsigned long long)a->constant);
    if (n < room && a->dim >= 0 && a->factor > 1)
      n += (size_t)snprintf(dst + n, room - n, "%llu*", (unsigned long long)a->factor);
    if (n < room && a->dim >= 0) n += (size_t)snprintf(dst + n, room - n, "%s", info->dim[a->dim].name);
  }
  if (n < room) snprintf(dst + n, room - n, "]");
}

/* text --------------------------------------------------------------------------------------------------------------
 */
static void tensors_text(const sy_info *info, const char *what, const sy_tensor *t, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    const sy_prepare *p = face_prepare(info, t[i].name);
    char type[400];
    put_type(info, &t[i], type, sizeof type);
    text_line(stdout, p ? "  %-6s %s: %s   %s(%s)" : "  %-6s %s: %s", what, t[i].name, type, p ? p->kind : "",
              p ? p->options : "");
  }
}

// "product f32[B,197,768] x [768,768]; encoder.0.out_proj in int8": what a product is in, by its weight. NULL: f32, or
// none.
static const char *product_of(const sy_step *s) {
  const char *found = NULL;
  for (const char *at = strstr(s->about, "; "); at; at = strstr(at + 1, "; ")) found = at + 2;
  return found && strstr(found, " in ") ? found : NULL;
}

static void describe_text(const sy_info *info) {
  text_line(stdout, "model %s, plan %016llx", info->model, (unsigned long long)info->plan_hash);
  printf("weights %.1f MiB, arena %.1f MiB + %.1f KiB a thread\ninstruction sets",
         (double)info->weights_bytes / 1048576, (double)info->shared_bytes / 1048576,
         (double)info->scratch_bytes / 1024);
  for (unsigned i = 0; i < info->nisa; i++) printf(" %s", info->isa[i]);
  putchar('\n');
  text_line(stdout, "built with %s", info->built);
  for (unsigned i = 0; i < info->ndim; i++)
    text_line(stdout, "dim %s = %llu..%llu", info->dim[i].name, (unsigned long long)info->dim[i].lo,
              (unsigned long long)info->dim[i].hi);
  for (unsigned i = 0; i < info->nroute; i++) {
    const sy_route *r = &info->route[i];
    text_line(stdout, "route %s: %.2f GFLOP, %u kernel launches, arena %.1f MiB", r->name, r->flops / 1e9, r->nstep,
              (double)r->arena_bytes / 1048576);
    tensors_text(info, "in", r->input, r->ninput);
    tensors_text(info, "out", r->output, r->noutput);
    for (unsigned k = 0; k < r->nstep; k++)
      if (product_of(&r->step[k])) text_line(stdout, "  product %s", product_of(&r->step[k]));
  }
}

/* JSON --------------------------------------------------------------------------------------------------------------
 */
static void tensors_json(const sy_info *info, Json *j, const char *key, const sy_tensor *t, unsigned n) {
  json_array(j, key);
  for (unsigned i = 0; i < n; i++) {
    const sy_prepare *p = face_prepare(info, t[i].name);
    char type[400];
    put_type(info, &t[i], type, sizeof type);
    json_object(j, NULL);
    json_string(j, "name", t[i].name);
    json_string(j, "type", type);
    json_unsigned(j, "bytes", t[i].bytes);
    if (p) {
      json_object(j, "prepare");
      json_string(j, "kind", p->kind);
      json_string(j, "options", p->options);
      json_end(j);
    }
    json_end(j);
  }
  json_end(j);
}

static void route_json(const sy_info *info, Json *j, const sy_route *r) {
  json_object(j, NULL);
  json_string(j, "name", r->name);
  json_double(j, "flops", r->flops);
  json_unsigned(j, "steps", r->nstep);
  json_unsigned(j, "arena_bytes", r->arena_bytes);
  tensors_json(info, j, "inputs", r->input, r->ninput);
  tensors_json(info, j, "outputs", r->output, r->noutput);
  json_array(j, "products");
  for (unsigned k = 0; k < r->nstep; k++)
    if (product_of(&r->step[k])) json_string(j, NULL, product_of(&r->step[k]));
  json_end(j);
  json_end(j);
}

static void describe_json(const sy_info *info, Json *j) {
  json_object(j, NULL);
  json_string(j, "model", info->model);
  json_hash(j, "plan_hash", info->plan_hash);
  json_unsigned(j, "weights_bytes", info->weights_bytes);
  json_unsigned(j, "shared_bytes", info->shared_bytes);
  json_unsigned(j, "scratch_bytes", info->scratch_bytes);
  json_array(j, "isas");
  for (unsigned i = 0; i < info->nisa; i++) json_string(j, NULL, info->isa[i]);
  json_end(j);
  json_string(j, "built", info->built);
  json_array(j, "dims");
  for (unsigned i = 0; i < info->ndim; i++) {
    json_object(j, NULL);
    json_string(j, "name", info->dim[i].name);
    json_unsigned(j, "min", info->dim[i].lo);
    json_unsigned(j, "max", info->dim[i].hi);
    json_end(j);
  }
  json_end(j);
  json_array(j, "routes");
  for (unsigned i = 0; i < info->nroute; i++) route_json(info, j, &info->route[i]);
  json_end_all(j);
}

void face_describe(const sy_info *info, Json *json) {
  if (json)
    describe_json(info, json);
  else
    describe_text(info);
}

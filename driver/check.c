// check.c: `syc check MODEL --golden DIR`: the cases of DIR that belong to MODEL, one line a tensor, and a verdict.
//
// A case belongs to MODEL if MODEL is its file, or a folder (or the models inside syc: "models") that has it. Cases of
// operators, pictures and tokenizers belong to every model. What is not built yet, or needs a file that is not here, is
// skipped and says so; skipped cases do not fail.
//
//   PASS  clip/text  text_embed f32[3,24]  abs 1.2e-07  rel 3.1e-07  limit 4.1e-06
#include "check.h"
#include "embedded.h"
#include "host/check_host.h"
#include "runtime/switchyard.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 6 };
static const char *const verdict_name[] = {"PASS", "FAIL", "SKIP"};

/* which model ---------------------------------------------------------------------------------------------------------
 */
static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static bool is_embedded(const char *name) {
  for (const EmbeddedFile *e = embedded_files; e->name; e++)
    if (!strncmp(e->name, "models/", 7) && !strcmp(e->name + 7, name)) return true;
  return false;
}

// The spec of a case's model under MODEL, or NULL if the case is of another model.
static const char *spec_of(Session *s, const char *model, const cJSON *kase) {
  const char *file = json_text(kase, "model"), *entry = json_text(kase, "entry");
  size_t n = strlen(model);
  while (n > 1 && model[n - 1] == '/') n--;
  char *where = arena_strndup(&s->arena, model, n);
  char *colon = strrchr(where, ':');
  if (colon && !strchr(colon, '/')) *colon = 0;
  if (folder_is_published(where)) return where; // its cases need no name of a page
  if (!file || !entry || strchr(file, '/')) return NULL;
  if (folder_is(where)) {
    const char *path = arena_printf(&s->arena, "%s/%s", where, file);
    return access(path, R_OK) == 0 ? arena_printf(&s->arena, "%s:%s", path, entry) : NULL;
  }
  const char *base = base_name(where);
  if (!strcmp(base, "models")) return is_embedded(file) ? arena_printf(&s->arena, "models/%s:%s", file, entry) : NULL;
  size_t stem = strlen(file) > 3 ? strlen(file) - 3 : 0;
  bool same = !strcmp(base, file) || (strlen(base) == stem && !memcmp(base, file, stem));
  return same ? arena_printf(&s->arena, "%s:%s", where, entry) : NULL;
}

/* cases ---------------------------------------------------------------------------------------------------------------
 */
static bool chosen(const Session *s, const char *set, const char *name) {
  if (!s->opt.only.n) return true;
  for (size_t i = 0; i < s->opt.only.n; i++) {
    const char *want = s->opt.only.at[i];
    size_t n = strlen(set);
    if (!strcmp(want, name) || (!strncmp(want, set, n) && want[n] == '/' && !strcmp(want + n + 1, name))) return true;
  }
  return false;
}

static bool kind_chosen(const Session *s, const char *kind) {
  const char *list = s->opt.kinds;
  for (size_t n = strlen(kind); list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL)
    if (!strncmp(list, kind, n) && (!list[n] || list[n] == ',')) return true;
  return !s->opt.kinds;
}

static void run_host(Check *c, const Case *k, CheckResult *r) {
  HostCheckResult h = {0};
  bool pictures = !strcmp(k->kind, "preprocess");
  (pictures ? host_check_preprocess : host_check_tokenize)(k->json, k->dir, c->shared, &h);
  check_settle(c, r, h.verdict == HOST_PASS ? PASS : h.verdict == HOST_SKIP ? SKIP : FAIL, "%s", h.text);
}

static void print_result(const Check *c, const CheckResult *r) {
  if (c->s->opt.json) return;
  for (size_t i = 0; i < r->output.n; i++) {
    const CheckOutput *o = &r->output.at[i];
    if (o->least > 0)
      text_line(stdout, "%s  %s/%s  %s %s  abs %.2g  rel %.2g  alike %.6f  least %.6g", verdict_name[o->verdict],
                r->set, r->name, o->name, o->shape, o->max_abs, o->max_rel, o->likeness, o->least);
    else
      text_line(stdout, "%s  %s/%s  %s %s  abs %.2g  rel %.2g  limit %.2g", verdict_name[o->verdict], r->set, r->name,
                o->name, o->shape, o->max_abs, o->max_rel, o->limit);
  }
  if (!r->output.n || (r->verdict != PASS && r->reason))
    text_line(stdout, "%s  %s/%s%s%s", verdict_name[r->verdict], r->set, r->name, r->reason ? "  " : "",
              r->reason ? r->reason : "");
  fflush(stdout);
}

static void run_one(Check *c, const Case *k) {
  CheckResult r = {.set = k->set, .name = k->name, .kind = k->kind};
  if (!strcmp(k->kind, "forward") || !strcmp(k->kind, "op") || !strcmp(k->kind, "train"))
    check_case(c, k, &r);
  else if (!strcmp(k->kind, "generate"))
    check_generate(c, k, &r);
  else if (!strcmp(k->kind, "preprocess") || !strcmp(k->kind, "tokenize"))
    run_host(c, k, &r);
  else
    check_settle(c, &r, SKIP, "cases of kind %s are not built yet", k->kind);
  print_result(c, &r);
  VEC_PUSH(&c->s->arena, c->result, r);
}

static bool run_file(Check *c, const char *dir, const char *path) {
  Session *s = c->s;
  const char *err = NULL;
  size_t n = 0;
  char *text = file_read(&s->arena, path, &n, &err);
  if (!text) return session_fail(s, EXIT_IO, "cannot read %s: %s", path, err), false;
  const char *end = NULL;
  cJSON *json = cJSON_ParseWithOpts(text, &end, true);
  Buf why = {0};
  if (!json || end != text + n) buf_printf(&why, "it is no JSON (byte %zu)", end ? (size_t)(end - text) + 1 : 1);
  if (why.n || !check_valid(json, &why)) {
    session_fail(s, EXIT_IO, "%s: %s", path, why.s);
    buf_free(&why);
    cJSON_Delete(json);
    return false;
  }
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "cases"), *v;
  const char *set = json_text(json, "set");
  set = arena_strdup(&s->arena, set ? set : base_name(dir));
  cJSON_ArrayForEach(v, list) {
    const char *name = json_text(v, "name"), *kind = json_text(v, "kind");
    Case k = {v, dir, NULL, set, arena_strdup(&s->arena, name), arena_strdup(&s->arena, kind)};
    k.spec = spec_of(s, s->opt.arg.at[0], v);
    if ((!k.spec && json_text(v, "model")) || !chosen(s, set, name) || !kind_chosen(s, kind)) continue;
    run_one(c, &k);
  }
  // names of outputs point into the JSON; they are needed for the report
  for (size_t i = 0; i < c->result.n; i++)
    for (size_t o = 0; o < c->result.at[i].output.n; o++)
      if (c->result.at[i].set == set)
        c->result.at[i].output.at[o].name = arena_strdup(&s->arena, c->result.at[i].output.at[o].name);
  cJSON_Delete(json);
  return true;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

// Every cases.json at or below a folder, in the order of names. Counts them.
static bool run_tree(Check *c, const char *dir, int depth, size_t *files) {
  const char *path = arena_printf(&c->s->arena, "%s/cases.json", dir);
  if (access(path, F_OK) == 0) {
    ++*files;
    if (!run_file(c, dir, path)) return false;
  }
  struct dirent **list = NULL;
  int n = depth < MAX_DEPTH ? scandir(dir, &list, NULL, by_name) : 0;
  bool ok = true;
  for (int i = 0; i < n; i++) {
    const char *sub = arena_printf(&c->s->arena, "%s/%s", dir, list[i]->d_name);
    if (ok && list[i]->d_name[0] != '.' && folder_is(sub)) ok = run_tree(c, sub, depth + 1, files);
    free(list[i]);
  }
  free(list);
  return ok;
}

/* report --------------------------------------------------------------------------------------------------------------
 */
static void put_output(Json *j, const CheckOutput *x) {
  json_object(j, NULL);
  json_string(j, "name", x->name);
  json_string(j, "shape", x->shape);
  json_double(j, "max_abs", x->max_abs); // null: not a number, or infinite
  json_double(j, "max_rel", x->max_rel);
  json_double(j, "limit", x->limit);
  if (x->least > 0) {
    json_double(j, "alike", x->likeness);
    json_double(j, "least", x->least);
  }
  json_string(j, "verdict", verdict_name[x->verdict]);
  json_hash(j, "hash", x->hash);
  json_end(j);
}

static void put_result(Json *j, const CheckResult *r) {
  json_object(j, NULL);
  json_array(j, "outputs");
  for (size_t k = 0; k < r->output.n; k++) put_output(j, &r->output.at[k]);
  json_end(j);
  json_string(j, "set", r->set);
  json_string(j, "case", r->name);
  json_string(j, "kind", r->kind);
  json_string(j, "verdict", verdict_name[r->verdict]);
  if (r->reason) json_string(j, "reason", r->reason);
  json_end(j);
}

static void print_json(const Check *c, const size_t count[3]) {
  Json j = {.put = text_to_file, .ud = stdout, .lines = JSON_ALL_LINES};
  json_object(&j, NULL);
  json_array(&j, "cases");
  for (size_t i = 0; i < c->result.n; i++) put_result(&j, &c->result.at[i]);
  json_end(&j);
  json_string(&j, "backend", c->back_end->name);
  json_string(&j, "isa", c->isa);
  json_unsigned(&j, "threads", c->threads);
  json_unsigned(&j, "passed", count[PASS]);
  json_unsigned(&j, "failed", count[FAIL]);
  json_unsigned(&j, "skipped", count[SKIP]);
  json_end(&j);
}

static int report(Check *c) {
  size_t count[3] = {0};
  double worst = 0;
  for (size_t i = 0; i < c->result.n; i++) {
    count[c->result.at[i].verdict]++;
    for (size_t k = 0; k < c->result.at[i].output.n; k++) {
      const CheckOutput *o = &c->result.at[i].output.at[k];
      if (!(o->least > 0) && o->limit > 0 && o->max_abs / o->limit > worst) worst = o->max_abs / o->limit;
    }
  }
  if (c->s->opt.json)
    print_json(c, count);
  else
    printf("%zu passed, %zu failed, %zu skipped (%s, %s, %u thread%s); largest share of a tolerance used: %.2g\n",
           count[PASS], count[FAIL], count[SKIP], c->back_end->about, c->isa, c->threads, c->threads == 1 ? "" : "s",
           worst);
  return count[FAIL] ? EXIT_CHECK : EXIT_OK;
}

/* the command ---------------------------------------------------------------------------------------------------------
 */
bool check_ways(Check *c) {
  Session *s = c->s;
  c->back_end = session_back_end(s, USE_FILES | USE_LOADED | USE_INTERPRETED);
  if (!c->back_end) return false;
  c->interp = c->back_end->use == USE_INTERPRETED;
  if (s->opt.threads != INT_UNSET && (s->opt.threads < 1 || s->opt.threads > 1024))
    return session_fail(s, EXIT_USAGE, "--threads takes 1 to 1024"), false;
  c->threads = s->opt.threads == INT_UNSET ? 1 : (unsigned)s->opt.threads;
  const Target *t[MAX_TARGETS];
  const char *isa = s->opt.isa ? s->opt.isa : c->interp ? "portable" : s->opt.target ? NULL : session_best_isa(s);
  size_t n = session_targets(s, isa, t);
  if (!n) return false;
  c->target = t[n - 1];
  c->isa = c->target->name;
  if (check_is_foreign(c) && !check_knows_machine(c))
    return session_fail(s, EXIT_USAGE, "syc check runs code for aarch64, riscv64 and wasm32, not for %s",
                        s->opt.target),
           false;
  const char *env = getenv("SWITCHYARD_SHARED");
  c->shared = s->opt.shared ? s->opt.shared : env && *env ? env : NULL;
  c->temp = temp_dir(s, NULL);
  return c->temp != NULL;
}

static bool set_up(Check *c) {
  Session *s = c->s;
  if (s->opt.arg.n != 1)
    return session_fail(s, EXIT_USAGE, "syc check takes one model or folder of models (syc check --help)"), false;
  if (!s->opt.golden) return session_fail(s, EXIT_USAGE, "syc check: where are the cases? (--golden DIR)"), false;
  return check_ways(c);
}

static int run_checks(Check *c) {
  Session *s = c->s;
  size_t files = 0;
  if (!folder_is(s->opt.golden)) return session_fail(s, EXIT_IO, "%s is not a folder", s->opt.golden);
  if (!run_tree(c, s->opt.golden, 0, &files)) return s->exit_code;
  if (!files) return session_fail(s, EXIT_IO, "there is no cases.json in or below %s", s->opt.golden);
  if (!c->result.n)
    return session_fail(s, EXIT_WRONG, "no case below %s belongs to %s", s->opt.golden, s->opt.arg.at[0]);
  return report(c);
}

int cmd_check(Session *s) {
  Check c = {.s = s};
  if (!set_up(&c)) return s->exit_code;
  int code = run_checks(&c);
  temp_remove(c.temp);
  return code;
}

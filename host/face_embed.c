// face_embed.c - the command embed: the vectors of many pictures or lines of text in one .npy, with the names of the
// rows in a .txt beside it. What they are made of: face_items.c; how a run that was interrupted goes on: face_part.c.
//
// A run goes on only if everything that decides the rows is as it was: the contents of weights and vocabulary, the
// instruction set, the route and how its inputs are prepared, the batch, and the names.
//
// Several processes share the items (face_shares.c).
//
//   $ ./clip embed photos -o photos.npy
//   photos.npy: 2000 vectors of 512, names in photos.txt
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "face_embed.h"

#include "common/progress.h"
#include "common/text.h"
#include "ir/base/base.h"
#include "ir/base/newfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Embed {
  const FaceModel *m;
  FaceVectors v;
  FaceArgs args; // items as pictures or sentences
  FaceRun run;
  FaceItems items;
  Launch launch;  // one of several processes, or alone
  FaceList share; // of the items: this process's
  uint64_t key[2];
  FacePart part;
  float *vector;    // f32[batch, width]
  size_t *row_item; // [batch]: which item a row of this batch is of
  size_t next;      // the item to do next
  size_t left_out;  // items without a row
  size_t before;    // items that an earlier call has done
  double start;     // seconds
  bool is_done;     // this process's share, by an earlier call
} Embed;

bool face_names_path(const char *npy, char *dst, size_t room) {
  size_t n = strlen(npy);
  if (n > 4 && !strcmp(npy + n - 4, ".npy")) n -= 4;
  return (size_t)snprintf(dst, room, "%.*s.txt", (int)(n < room ? n : room), npy) < room && n < room;
}

/* the key -----------------------------------------------------------------------------------------------------------
 */
static void add_text(Digester *d, const char *s) {
  digest_add(d, s, strlen(s) + 1);
}

static bool add_vocabulary(Digester *d, const char *path, HostError *err) {
  size_t n = 0;
  struct stat st;
  if (path && stat(path, &st) == 0 && !S_ISREG(st.st_mode)) return add_text(d, path), true; // it can be read only once
  if (path && !strcmp(path, "-")) path = NULL;
  char *bytes = path ? host_read_file(path, SIZE_MAX / 2, &n, err) : NULL;
  if (path && !bytes) return false;
  digest_add(d, &n, sizeof n);
  if (n) digest_add(d, bytes, n);
  free(bytes);
  return true;
}

// What decides the rows of a batch, and which rows there are.
static bool make_key(const Embed *e, uint64_t key[2], HostError *err) {
  const sy_info *info = e->m->info;
  uint64_t batch = e->run.batch;
  Digester d = digest_begin();
  digest_add(&d, &info->plan_hash, sizeof info->plan_hash);
  digest_add(&d, &e->m->weights, sizeof e->m->weights);
  digest_add(&d, &batch, sizeof batch);
  add_text(&d, e->m->isa);
  add_text(&d, e->v.route->name);
  for (unsigned i = 0; i < info->nprepare; i++) {
    add_text(&d, info->prepare[i].name);
    add_text(&d, info->prepare[i].kind);
    add_text(&d, info->prepare[i].options);
  }
  if (!add_vocabulary(&d, e->m->args->lines ? e->m->args->vocab : NULL, err)) return false;
  add_text(&d, e->m->args->cased ? "cased" : e->m->args->uncased ? "uncased" : "");
  if (!e->m->args->lines) add_text(&d, e->m->args->as_stored ? "as stored" : "upright");
  for (size_t i = 0; i < e->items.list.n; i++) add_text(&d, e->items.list.at[i]);
  Digest all = digest_end(&d);
  memcpy(key, all.half, sizeof all.half);
  return true;
}

/* the run -----------------------------------------------------------------------------------------------------------
 */
// Fills a batch with the next items that can be read.
static int fill(Embed *e, HostError *err) {
  face_run_begin(&e->run);
  while (e->run.count < e->run.batch && e->next < e->share.n) {
    const char *item = e->share.at[e->next];
    bool ok = !strpbrk(item, "\r\n") || host_fail(err, "%.300s: a line break in the name", item);
    if (ok && face_run_add(&e->run, item, err)) {
      e->row_item[e->run.count - 1] = e->next++;
      continue;
    }
    if (e->m->args->strict || err->machine) return FACE_IO;
    progress_clear(); // the bar makes room
    text_line(stderr, "%s: left out: %s", e->m->program, err->text);
    e->left_out++;
    e->next++;
  }
  err->text[0] = 0;
  return FACE_OK;
}

static int run_all(Embed *e, HostError *err) {
  e->start = face_now();
  while (e->next < e->share.n) {
    int code = fill(e, err);
    if (code || !e->run.count) return code;
    code = face_run_end(&e->run, err) ? face_vectors_call(e->m, &e->v, &e->run, e->vector, err) : FACE_IO;
    if (!code && !face_part_add(&e->part, e->vector, e->row_item, e->run.count, err)) code = FACE_IO;
    if (code) return code;
    face_progress(e->next - e->before, e->share.n - e->before, face_now() - e->start);
  }
  return FACE_OK;
}

static void report_rows(const Embed *e, const char *passed) {
  const char *out = e->part.out;
  Json *j = e->m->json;
  if (!j) { // beside the array itself it goes where messages go
    bool stream = !strcmp(out, "-");
    text_line(stream ? stderr : stdout, "%s: %zu vectors of %zu%s%s%s%s", stream ? e->m->program : out, e->part.done,
              e->v.width, stream ? "" : ", names in ", stream ? "" : e->part.names, *passed ? "; " : "", passed);
    return;
  }
  json_object(j, NULL);
  json_unsigned(j, "vectors", e->part.done);
  json_unsigned(j, "width", e->v.width);
  json_unsigned(j, "left_out", e->left_out);
  json_unsigned(j, "passed_over", e->items.passed);
  json_string(j, "file", out);
  json_string(j, "names", e->part.names);
  json_end(j);
}

static int report(const Embed *e, HostError *err) {
  char passed[300];
  face_items_passed(&e->items, passed, sizeof passed);
  report_rows(e, passed);
  if (!e->left_out) return FACE_OK;
  host_fail(err, "%zu of %zu could not be read and were left out", e->left_out, e->items.list.n);
  return FACE_IO;
}

/* mistakes of the command line, before anything is touched ------------------------------------------------------------
 */
static int check_stream(const Embed *e, HostError *err) {
  const FaceArgs *a = e->m->args;
  if (e->launch.size > 1) return host_fail(err, "-o - is for one process: %u were started", e->launch.size), FACE_USAGE;
  if (a->json || a->time || a->restart)
    host_fail(err, "-o - writes the array to standard output, and nothing else: no --json, --time or --restart");
  else if (isatty(STDOUT_FILENO))
    host_fail(err, "-o - writes the array to standard output, which is a terminal; send it to a file or a program");
  else
    return FACE_OK;
  return FACE_USAGE;
}

static int check_files(Embed *e, HostError *err) {
  const FaceArgs *a = e->m->args;
  const FacePart *p = &e->part;
  struct stat out, names, lines;
  bool there = stat(a->out, &out) == 0, named = stat(p->names, &names) == 0;
  if ((there && !S_ISREG(out.st_mode)) || (named && !S_ISREG(names.st_mode)))
    return host_fail(err, "%.300s: not a regular file", there && !S_ISREG(out.st_mode) ? a->out : p->names), FACE_IO;
  bool same =
      named && a->lines && stat(a->lines, &lines) == 0 && lines.st_dev == names.st_dev && lines.st_ino == names.st_ino;
  if (!same && (!named || there || access(p->rows_part, F_OK) == 0)) return FACE_OK;
  host_fail(err, "the names would be written over %.300s; choose another -o", p->names);
  return FACE_USAGE;
}

static int check(Embed *e, HostError *err) {
  const FaceArgs *a = e->m->args;
  if ((a->word.n > 0) == (a->lines != NULL)) {
    host_fail(err, "embed takes pictures and folders, or --lines FILE: %s", a->lines ? "both given" : "nothing given");
    return FACE_USAGE;
  }
  if (!a->out) return host_fail(err, "embed needs the file to write: -o vectors.npy"), FACE_USAGE;
  const char *out = stream_of_path(a->out) == STDOUT_FILENO ? "-" : a->out;
  if (!face_part_name(&e->part, out) ||
      (e->launch.size > 1 && strcmp(out, "-") && !face_share_name(&e->part, e->launch)))
    return host_fail(err, "the path of -o is too long"), FACE_USAGE;
  int code = strcmp(out, "-") ? check_files(e, err) : check_stream(e, err);
  return code ? code : face_vectors_need(e->m, a->lines ? FACE_TEXTS : FACE_PICTURES, &e->v, err);
}

static int prepare(Embed *e, HostError *err) {
  int code = check(e, err);
  if (code) return code;
  if (!face_items_gather(&e->items, e->m->args, err)) return FACE_IO;
  FaceShare share = face_share_of(e->launch, e->items.list.n);
  e->share = (FaceList){e->items.list.at + share.from, share.to - share.from};
  e->args = *e->m->args;
  *(e->v.kind == FACE_PICTURES ? &e->args.image : &e->args.text) = e->items.list;
  e->run = (FaceRun){.info = e->m->info, .route = e->v.route, .args = &e->args};
  if (!face_run_start(&e->run, err)) return e->run.usage ? FACE_USAGE : FACE_IO;
  if (e->args.batch > e->run.batch) {
    host_fail(err, "--batch %zu: the model takes at most %zu at once", e->args.batch, e->run.batch);
    return FACE_USAGE;
  }
  if (e->args.batch) e->run.batch = e->args.batch;
  e->vector = calloc(e->run.batch, e->v.width * sizeof *e->vector);
  e->row_item = calloc(e->run.batch, sizeof *e->row_item);
  e->part.item = calloc(e->share.n + 1, sizeof *e->part.item);
  if (!e->vector || !e->row_item || !e->part.item) return host_no_memory(err), FACE_IO;
  return FACE_OK;
}

// The second half of the key of a process: of one that is alone, that of the call.
static uint64_t key_of_process(const Embed *e, unsigned rank) {
  return e->launch.size < 2 ? e->key[1]
                            : e->key[1] ^ ((uint64_t)e->launch.size << 32 | (rank + 1)) * 0x9e3779b97f4a7c15u;
}

static void mark_of_process(void *ud, unsigned rank, char mark[FACE_ROWS_START]) {
  const Embed *e = ud;
  face_part_mark((uint64_t[]){e->key[0], key_of_process(e, rank)}, mark);
}

static int go_on(Embed *e, HostError *err) {
  FacePart *p = &e->part;
  p->width = e->v.width;
  p->batch = e->run.batch;
  p->items = &e->share;
  p->pictures = e->v.kind == FACE_PICTURES;
  if (!make_key(e, e->key, err)) return FACE_IO;
  if (strcmp(p->out, "-") && !e->args.restart && !face_share_alone(p, e->launch, err)) return FACE_USAGE;
  uint64_t key[] = {e->key[0], key_of_process(e, e->launch.rank)};
  face_part_mark(key, p->mark);
  if (e->launch.size > 1 && e->args.restart) face_share_forget(p, e->launch);
  if (e->launch.size > 1 && !face_share_look(p, e->launch, &e->is_done, err)) return FACE_IO;
  if (e->is_done) e->next = e->share.n;
  if (e->is_done) return FACE_OK;
  int code = face_part_open(p, key, e->args.restart, e->m->program, err);
  e->next = e->before = p->next;
  e->left_out = p->left_out;
  return code;
}

// Of several processes: this one's share is done. The last one puts the shares together, and speaks for all: a launcher
// ends the others at once where one has failed.
static int finish_share(Embed *e, HostError *err) {
  bool joined = false;
  if (!e->is_done && !face_share_done(&e->part, e->launch, err)) return FACE_IO;
  if (!face_shares_join(&e->part, e->launch, mark_of_process, e, &joined, err)) return FACE_IO;
  if (!joined) return FACE_OK;
  e->left_out = e->items.list.n - e->part.done;
  if (e->part.done) return report(e, err);
  return host_fail(err, "none of %zu could be read: nothing is written", e->items.list.n), FACE_IO;
}

static int finish_alone(Embed *e, HostError *err) {
  return face_part_finish(&e->part, err) ? report(e, err) : FACE_IO;
}

int face_embed(const FaceModel *m, HostError *err) {
  Embed *e = calloc(1, sizeof *e);
  if (!e) return host_no_memory(err), FACE_IO;
  e->m = m;
  e->launch = launch_of_environment();
  bool several = e->launch.size > 1;
  int code = prepare(e, err);
  if (!code) code = go_on(e, err);
  if (!code) code = run_all(e, err);
  bool none = !code && !e->part.done && !several;
  if (none) {
    host_fail(err, "none of %zu could be read: nothing is written", e->items.list.n);
    code = FACE_IO;
  }
  if (code && e->part.done && strcmp(e->part.out, "-") != 0)
    text_line(stderr, "%s: %zu of %zu are done and kept; the same call goes on", m->program, e->next, e->share.n);
  if (!code) code = several ? finish_share(e, err) : finish_alone(e, err);
  face_part_close(&e->part, none);
  face_items_free(&e->items);
  face_run_free(&e->run);
  free(e->part.item);
  free(e->vector);
  free(e->row_item);
  free(e);
  return code;
}

// data_pages.c - the objectives of the pages in models/ get their inputs from one file of lines: each is planned by its
// page and a stage, and a first batch is made.
#include "data_support.h"
#include "page_support.h"

#include "data/batch.h"

TestSuite(pages, .init = data_folder_begin, .fini = data_folder_end);

typedef struct Row {
  const char *page, *preset, *objective, *stage, *describes;
} Row;
// What describes says: a line of batches_describe, or several.
static const Row rows[] = {
    {"vit", "tiny", "classify", "input image: augment(crop = [0x1p-1, 1], flip = plain)\n",
     "image: augment, from image\nlabels: from labels\n"},
    {"vit_timm", "tiny", "classify", "input image: augment(operations = timm, randaugment = [2, 9])\n",
     "labels: from labels\n"},
    {"albef", "tiny", "pretrain",
     "input text_mlm, mlm_labels: mask_words(of = text, mask = 4)\ninput alpha: ramp(0x1p-1, epochs = 1)\n"
     "input neg_image_idx: others()\ninput neg_text_idx: others()\n",
     "text_mlm: mask_words, from text, by bert_wordpiece\nmlm_labels: mask_words, from text, by bert_wordpiece\n"},
    {"albef", "vqa_base", "distill", "input alpha: ramp(0x1p-1, epochs = 1)\n", "answers_per_question: of answers\n"},
    {"albef", "ve_base", "classify", "", "text: from text, by bert_wordpiece\n"},
    {"albef", "nlvr_base", "nlvr2", "input image, image2: augment(swap = true)\n", "image2: augment, from image2\n"},
    {"blip", "caption_tiny", "caption", "input labels: text_labels(of = text, prompt = 3)\n",
     "labels: text_labels, from text, by bert_wordpiece\n"},
    {"blip", "pretrain_tiny", "pretrain",
     "input labels: text_labels(of = text)\ninput alpha: ramp(0x1p-1, steps = 10)\n"
     "input neg_image_idx: others()\ninput neg_text_idx: others()\n",
     "text_enc: from text_enc, by bert_wordpiece\ntext_dec: from text_dec, by bert_wordpiece\n"},
    {"blip", "vqa_base", "answer", "", "answer: from answers, by bert_wordpiece\n"},
    {"vilt", "tiny", "vqa", "input patch_index: sample_patches(most = 9)\n",
     "targets: scores of answers, or a label\n"},
    {"vilt", "tiny", "nlvr2", "", "patch_index2: patches of image2\n"},
    {"vilt", "tiny", "masked_words",
     "input text_mlm, mlm_labels: mask_words(mask = 4, whole_words = true, padded = 10)\n",
     "text_mask: from text, by bert_wordpiece\n"},
    {"vlmo", "tiny", "masked_text", "input text, mlm_labels: mask_words(mask = 4, whole_words = true)\n",
     "text: mask_words, from text, by bert_wordpiece\ntext_mask: from text, by bert_wordpiece\n"},
    {"vlmo", "tiny", "pretrain",
     "input text_mlm, mlm_labels: mask_words(mask = 4, whole_words = true)\ninput neg_image_idx: others()\n"
     "input neg_text_idx: others()\n",
     "text_mlm: mask_words, from text, by bert_wordpiece\n"},
    {"vlmo", "tiny", "nlvr2", "", "image2: from image2\n"},
    {"vlmo", "tiny", "vqa", "", "targets: scores of answers, or a label\n"},
    {"beit", "tiny", "masked_image", "input patch_mask: mask_blocks(count = 6, least = 2)\n",
     "patch_mask: mask_blocks, drawn\npatch_labels: from patch_labels\n"},
    {"blip", "vqa_base", "/vqa", "", "answers: the list of answers\nanswers_mask: the list of answers\n"}, // a route
    {"clip", "tiny", "/image", "", "image: from image\n"},
};

static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nleft\nright\ndog\n##s\nthe\nof\nyes\nno\ncat\nis\na\n";

// A page with the options; what is wrong with it fails the test.
static Module *compile_page(Arena *a, const char *page, const FrontOptions *o) {
  char path[64];
  size_t n;
  snprintf(path, sizeof path, "models/%s.sy", page);
  const char *text = file_read(a, path, &n, NULL);
  cr_assert_not_null(text, "%s", path);
  Intern *names = ARENA_NEW(a, Intern);
  Diag *d = ARENA_NEW(a, Diag);
  names->arena = a;
  diag_init(d, a);
  Module *m = front_compile(a, names, d, path, text, n, o);
  Buf why = {0};
  diag_print(d, &why, false);
  cr_assert(m && m->graph.n == 1, "%s: %s", path, why.s ? why.s : "no module");
  buf_free(&why);
  return m;
}

static Module *compile(Arena *a, const Row *r) {
  bool route = r->objective[0] == '/';
  const char *objective[] = {r->objective + route};
  FrontOptions o = {.find = page_find, .ud = a, .entry_or_preset = r->preset, .ngiven = 0};
  if (route)
    o.routes = objective, o.nroutes = 1;
  else
    o.objectives = objective, o.nobjectives = 1;
  static const char *given[] = {"neg_image_idx", "neg_text_idx"};
  if (strstr(r->stage, "neg_image_idx")) o.given = given, o.ngiven = 2;
  return compile_page(a, r->page, &o);
}

static void read_stage(Arena *a, const char *lines, Stage *s) {
  Intern *names = ARENA_NEW(a, Intern);
  Diag *d = ARENA_NEW(a, Diag);
  names->arena = a;
  diag_init(d, a);
  const char *text = arena_printf(a, "\"s\" {\nobjective o\n%s}\n", lines);
  IrLex l;
  irlex_init(&l, text, strlen(text), diag_add_file(d, "stage.ir", text, strlen(text)), names, d);
  bool ok = stage_parse(a, &l, s);
  Buf why = {0};
  diag_print(d, &why, false);
  cr_assert(ok, "%s", why.s);
  buf_free(&why);
}

static void try_row(const Row *r, const Data *data, const HostLabels *answers) {
  Arena a = {0};
  Stage stage = {0};
  BatchWants wants;
  HostError err;
  Module *m = compile(&a, r);
  read_stage(&a, r->stage, &stage);
  cr_assert(batch_wants(&a, m, m->graph.at[0], &wants, &err), "%s", err.text);
  const BatchOptions o = {
      .rows = 4, .train = true, .vocabulary = data_path("vocab.txt"), .answers = answers, .workers = 1};
  Batches *b = batches_open(data, &wants, stage.input.at, stage.input.n, &o, &err);
  cr_assert_not_null(b, "%s %s: %s", r->page, r->objective, err.text);
  Buf out = {0};
  batches_describe(b, &out);
  cr_expect_not_null(strstr(out.s, r->describes), "%s %s: no '%s' in\n%s", r->page, r->objective, r->describes, out.s);
  buf_free(&out);
  const Batch *batch = NULL;
  cr_expect(batches_next(b, &batch, &err) && batch, "%s %s: %s", r->page, r->objective, err.text);
  for (size_t i = 0; batch && i < m->ndim; i++) // every run-time dim has a value in its bounds, if an input has it
    for (unsigned k = 0; k < wants.ninput; k++)
      for (unsigned d = 0; d < wants.input[k].rank; d++)
        if (wants.input[k].axis[d].dim == (int)i)
          cr_expect(batch->dims[i] >= wants.dim[i].lo && batch->dims[i] <= wants.dim[i].hi, "%s %s: %s is %zu", r->page,
                    r->objective, wants.dim[i].name, batch->dims[i]);
  batches_close(b);
  arena_free(&a);
}

Test(pages, get_their_inputs) {
  char *name[128] = {"no", "yes", "dog"}, lines[1 << 14]; // as many as BLIP keeps at first
  for (size_t i = 3; i < 128; i++) name[i] = name[i % 3];
  const HostLabels few = {.name = name, .count = 3}, answers = {.name = name, .count = 128};
  size_t n = 0;
  for (unsigned i = 0; i < 16; i++) {
    char file[32];
    snprintf(file, sizeof file, "p/%02u.ppm", i);
    data_ppm(file, 30 + (int)i, 25, 6 * i, 255 - 6 * i, 100);
    n += (size_t)snprintf(
        lines + n, sizeof lines - n,
        "{\"images\": [\"%s\", \"%s\"], \"caption\": \"the dogs left of a cat\", \"question\": \"is the "
        "cat left\", \"label\": %u, \"answers\": [\"yes\", \"no\", \"yes\"], \"answer\": \"yes\", "
        "\"patch_labels\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0]}\n",
        file, file, i % 3);
  }
  data_text_file("vocab.txt", vocabulary);
  const char *path = data_text_file("t.jsonl", lines);
  HostError err;
  Data *d = data_open(&path, NULL, 1, &(DataOptions){0}, &err);
  cr_assert_not_null(d, "%s", err.text);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    try_row(&rows[i], d, rows[i].objective[0] == '/' ? &answers : &few);
  data_close(d);
}

/* the stages of the pages ---------------------------------------------------------------------------------------------
 */
typedef struct StageRow {
  const char *page, *entry, *stage;
} StageRow;
static const StageRow stages[] = {
    {"vit", "base", "finetune"},   {"vit_timm", "base", "scratch"}, {"clip", "tiny", "pretrain"},
    {"bert", "tiny", "pretrain"},  {"albef", "tiny", "pretrain"},   {"albef", "vqa_base", "vqa"},
    {"albef", "ve_base", "ve"},    {"albef", "nlvr_base", "nlvr2"}, {"blip", "caption_tiny", "captions"},
    {"blip", "vqa_base", "vqa"},   {"blip", "nlvr_base", "nlvr2"},  {"blip", "pretrain_tiny", "pretrain"},
    {"beit", "tiny", "pretrain"},  {"beit2", "tiny", "pretrain"},   {"beit2", "vqkd_tiny", "tokenizer"},
    {"beit3", "tiny", "pretrain"}, {"beit3", "tiny", "vqa"},        {"beit3", "tiny", "nlvr2"},
    {"beit3", "tiny", "captions"}, {"beit3", "tiny", "retrieval"},  {"beit3", "tiny", "classify"},
    {"vilt", "tiny", "pretrain"},  {"vilt", "tiny", "vqa"},         {"vilt", "tiny", "nlvr2"},
    {"vlmo", "tiny", "language"},  {"vlmo", "tiny", "pairs"},       {"vlmo", "tiny", "vqa"},
    {"vlmo", "tiny", "nlvr2"},     {"vlmo", "tiny", "retrieval"},   {"scenes", NULL, "all"}};

static Module *compile_stage(Arena *a, const StageRow *r) {
  FrontOptions o = {.find = page_find, .ud = a, .entry_or_preset = r->entry, .stage = r->stage, .draws = true};
  Module *m = compile_page(a, r->page, &o);
  cr_assert(m->stage.n == 1, "%s %s", r->page, r->stage);
  return m;
}

// An array of whole numbers for each input that nothing else gives: ids of texts, labels of patches.
static const char *make_arrays(const StageRow *r, const BatchWants *w, const Stage *s, size_t n) {
  static char folder[128];
  snprintf(folder, sizeof folder, "%s-%s", r->page, r->stage);
  for (unsigned i = 0; i < w->ninput; i++) {
    const sy_tensor *t = &w->input[i];
    bool picture = t->rank == 4, made = !t->rank;
    for (size_t k = 0; k < s->input.n; k++)
      for (size_t j = 0; j < s->input.at[k].n; j++)
        made |= !strcmp(s->input.at[k].name[j], t->name) && strcmp(s->input.at[k].from.call->name, "augment") != 0;
    char shape[128], name[160];
    size_t elements = n;
    int used = snprintf(shape, sizeof shape, "(%zu", n);
    for (unsigned d = 1; d < t->rank && !picture; d++) {
      elements *= (size_t)t->axis[d].bound;
      used += snprintf(shape + used, sizeof shape - (size_t)used, ", %d", (int)t->axis[d].bound);
    }
    snprintf(shape + used, sizeof shape - (size_t)used, "%s)", t->rank == 1 ? "," : picture ? ", 9, 8, 3" : "");
    if (picture) elements = n * 9 * 8 * 3;
    if (made) continue;
    char *data = calloc(elements, 4);
    for (size_t k = 0; k < elements; k++)
      if (picture || t->dtype[0] == 'b')
        data[k] = (char)(picture ? (int)(k % 251) : 1);
      else
        data[4 * k] = t->dtype[0] == 'i' ? (char)(k % 5) : 0;
    bool bytes = picture || t->dtype[0] == 'b';
    snprintf(name, sizeof name, "%.80s/%.60s.npy", folder, t->name);
    data_npy(name, bytes ? "|u1" : t->dtype[0] == 'f' ? "<f4" : "<i4", shape, data, elements * (bytes ? 1 : 4));
    free(data);
  }
  // what samplers make texts from
  static const int32_t ids[8 * 6] = {2, 5, 6, 7, 3, 0};
  char name[160];
  snprintf(name, sizeof name, "%.80s/text.npy", folder);
  if (access(data_path(name), R_OK) != 0) data_npy(name, "<i4", "(8, 6)", ids, sizeof ids);
  return data_path(folder);
}

// Arrays alone, as no vocabulary fits the pages all: every stage of every page is planned and has a first batch.
Test(pages, stages_get_their_inputs) {
  for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
    const StageRow *r = &stages[i];
    Arena a = {0};
    BatchWants wants;
    HostError err;
    Module *m = compile_stage(&a, r);
    const Graph *g = m->graph.at[0];
    const Stage *s = &m->stage.at[0];
    const char *given[8];
    size_t ngiven = 0;
    cr_assert(batch_wants(&a, m, g, &wants, &err), "%s", err.text);
    for (size_t k = 0; k < g->input.n; k++) { // drop_worst goes by the step, and answers are texts
      const char *name = g->input.at[k].name;
      if (g->input.at[k].role != ROLE_data || strstr(name, "answer") || !strcmp(name, "drop_worst"))
        given[ngiven++] = name;
    }
    const char *folder = make_arrays(r, &wants, s, 8);
    Data *d = data_open(&folder, NULL, 1, &(DataOptions){0}, &err);
    cr_assert_not_null(d, "%s %s: %s", r->page, r->stage, err.text);
    const BatchOptions o = {.rows = 2, .train = true, .given = given, .ngiven = ngiven};
    Batches *b = batches_open(d, &wants, s->input.at, s->input.n, &o, &err);
    cr_expect_not_null(b, "%s %s: %s", r->page, r->stage, err.text);
    const Batch *batch = NULL;
    if (b) cr_expect(batches_next(b, &batch, &err) && batch, "%s %s: %s", r->page, r->stage, err.text);
    batches_close(b);
    data_close(d);
    arena_free(&a);
  }
}

// stage_pages.c: the stages of training of the pages in models/: every one compiles with its objectives, its patterns
// fit weights and its inputs exist (the front end refuses them otherwise), and it says in the IR what it says in the
// page. Where a model has a small preset, that is taken.
#include "page_support.h"

#include <dirent.h>
#include <stdlib.h>

typedef struct Page {
  Arena arena;
  Intern names;
  Diag diag;
  const char *path, *text;
  size_t n;
} Page;

static void page_open(Page *p, const char *file) {
  const char *err;
  memset(p, 0, sizeof *p);
  p->names.arena = &p->arena;
  diag_init(&p->diag, &p->arena);
  p->path = arena_printf(&p->arena, "models/%s", file);
  p->text = file_read(&p->arena, p->path, &p->n, &err);
  cr_assert(p->text, "%s", p->path);
}

static Module *build(Page *p, const char *entry, const char *stage, const char *objective) {
  FrontOptions o = {
      .entry_or_preset = entry, .find = page_find, .ud = &p->arena, .stage = stage, .stages = true, .draws = true};
  o.objectives = &objective, o.nobjectives = objective != NULL;
  Module *m = front_compile(&p->arena, &p->names, &p->diag, p->path, p->text, p->n, &o);
  Buf why = {0};
  diag_print(&p->diag, &why, false);
  cr_assert(m, "%s:%s --stage %s: %s", p->path, entry, stage ? stage : "", why.s ? why.s : "");
  buf_free(&why);
  return m;
}

// The preset of a model that was made for tests, else the model.
static const char *small(const FrontListing *l, const char *model) {
  for (size_t i = 0; i < l->npreset; i++)
    if (!strcmp(l->preset[i].model, model) && strstr(l->preset[i].name, "tiny")) return l->preset[i].name;
  return model;
}

static void reads_back(Page *p, const Stage *s) {
  Buf out = {0}, again = {0};
  IrLex l;
  Stage t;
  stage_print(s, &out);
  irlex_init(&l, out.s, out.n, diag_add_file(&p->diag, "stage.ir", out.s, out.n), &p->names, &p->diag);
  cr_assert(irlex_accept(&l, "stage") && stage_parse(&p->arena, &l, &t), "%s", out.s);
  stage_print(&t, &again);
  cr_expect_str_eq(out.s, again.s);
  cr_expect(t.hyper.lr == s->hyper.lr && t.batch == s->batch && stage_rate(&t, 7, 100) == stage_rate(s, 7, 100));
  buf_free(&out);
  buf_free(&again);
}

// `objective`: one of the model, which is built beside, to have the list.
static size_t try_model(const char *file, const char *entry, const char *objective) {
  size_t n;
  const char *name[64];
  Page p;
  page_open(&p, file);
  Module *all = build(&p, entry, NULL, objective);
  n = all->stage.n;
  cr_assert(n <= sizeof name / sizeof *name);
  for (size_t i = 0; i < n; i++) name[i] = strdup(all->stage.at[i].name);
  arena_free(&p.arena);
  for (size_t i = 0; i < n; i++) {
    page_open(&p, file);
    Module *m = build(&p, entry, name[i], NULL);
    cr_assert(m->stage.n == 1 && !strcmp(m->stage.at[0].name, name[i]));
    const Stage *s = &m->stage.at[0];
    cr_expect_eq(m->graph.n, s->objective.n, "%s", name[i]);
    for (size_t k = 0; k < m->graph.n; k++) cr_expect(m->graph.at[k]->objective);
    reads_back(&p, s);
    arena_free(&p.arena);
    free((char *)name[i]);
  }
  return n;
}

Test(stage_pages, all_of_them) {
  size_t stages = 0;
  DIR *d = opendir("models");
  cr_assert_not_null(d);
  for (struct dirent *e = readdir(d); e; e = readdir(d)) {
    Page p;
    if (strlen(e->d_name) < 4 || strcmp(e->d_name + strlen(e->d_name) - 3, ".sy") != 0) continue;
    page_open(&p, e->d_name);
    const FrontListing *l = front_list(&p.arena, &p.names, &p.diag, p.path, p.text, p.n);
    cr_assert(l);
    for (size_t i = 0; i < l->nmodel; i++)
      if (l->model[i].nobjective)
        stages += try_model(e->d_name, small(l, l->model[i].name), l->model[i].objective[0].name);
    arena_free(&p.arena);
  }
  closedir(d);
  cr_expect_geq(stages, 31u, "%zu stages", stages);
}

// What VLMo's second stage leaves as it is: attention, its norms, what pictures taught; and what it trains.
Test(stage_pages, frozen_in_the_second_stage_of_vlmo) {
  static const char *const frozen[] = {"transformer.blocks.0.attn.qkv.weight",
                                       "transformer.blocks.0.norm1.weight",
                                       "transformer.blocks.0.gamma_1",
                                       "transformer.blocks.0.gamma_2",
                                       "transformer.blocks.0.mlp_imag.fc1.weight",
                                       "transformer.patch_embed.proj.weight",
                                       "transformer.blocks.0.norm2_imag.weight"};
  static const char *const trained[] = {"text_embeddings.word_embeddings.weight",
                                        "transformer.blocks.0.mlp_text.fc1.weight",
                                        "transformer.blocks.0.norm2_text.weight",
                                        "token_type_embeddings.weight",
                                        "mlm_score.decoder.weight",
                                        "relative_position_bias_table",
                                        "transformer.norm.weight"};
  Page p;
  page_open(&p, "vlmo.sy");
  const Stage *s = &build(&p, "tiny", "language", NULL)->stage.at[0];
  for (size_t i = 0; i < sizeof frozen / sizeof *frozen; i++) cr_expect(!stage_trains(s, frozen[i]), "%s", frozen[i]);
  for (size_t i = 0; i < sizeof trained / sizeof *trained; i++)
    cr_expect(stage_trains(s, trained[i]), "%s", trained[i]);
  cr_expect_eq(stage_group(s, "relative_position_bias_table", 2).decay, 0); // its name has "bias" in it
  cr_expect_eq(stage_group(s, "transformer.blocks.0.norm2_text.weight", 1).decay,
               0.01); // the authors' list spares norm2.weight alone
  arena_free(&p.arena);
}

// stage.c: stages of training as text: they read back as they were printed, wrong ones are refused, and what they say
// of a step and of a parameter is what the authors' code computes.
#include "graph_support.h"
#include "ir/stage.h"

#include <math.h>
#include <stdio.h>

typedef struct Text {
  Arena arena;
  Intern names;
  Diag diag;
  Stage stage;
  bool ok;
} Text;

static Text *read_stage(const char *lines) {
  Text *t = calloc(1, sizeof *t);
  t->names.arena = &t->arena;
  diag_init(&t->diag, &t->arena);
  const char *text = arena_printf(&t->arena, "\"s\" {\n%s}\n", lines);
  uint32_t file = diag_add_file(&t->diag, "stage.ir", text, strlen(text));
  IrLex l;
  irlex_init(&l, text, strlen(text), file, &t->names, &t->diag);
  t->ok = stage_parse(&t->arena, &l, &t->stage) && l.tok == IT_END;
  return t;
}

static void free_text(Text *t) {
  arena_free(&t->arena);
  free(t);
}

static Text *good(const char *lines) {
  Text *t = read_stage(lines);
  Buf out = {0};
  if (!t->ok) diag_print(&t->diag, &out, false);
  cr_assert(t->ok, "%s", out.s);
  buf_free(&out);
  return t;
}

Test(stage, prints_what_it_read) {
  const char *lines = "  objective pretrain = 1, second = 0x1p-2\n"
                      "  given neg_image_idx\n"
                      "  only \"*mlp_text*\", [\"a\", \"b\"]\n"
                      "  freeze \"*\\\"quoted\\\"*\"\n"
                      "  adapt \"*.attn.*\": rank = 8, alpha = 16\n"
                      "  optimiser adamw_hf(lr = 0x1.a36e2eb1c432dp-13, betas = [0x1.ccccccccccccdp-1, 0x1p-1])\n"
                      "  group \"*bias*\", rank = 1: decay = 0, lr = 10\n"
                      "  layers \"*.layers.{i}.*\": scale = 0x1p-1, depth = 12, first = [\"*embed*\"]\n"
                      "  schedule cosine(by = epoch, warmup = 2000, stairs = 100, whole = true)\n"
                      "  epochs 30\n"
                      "  batch 64\n"
                      "  micro 8\n"
                      "  accumulate 2\n"
                      "  clip 3\n"
                      "  average 0x1.ffff972474539p-1, named = \"{name}_ema\"\n"
                      "  evaluate 1000: accuracy, words\n"
                      "  input image: augment(crop = [0x1p-1, 1], flip = words, randaugment = [2, 7])\n"
                      "  input text_mlm, mlm_labels: mask_words(of = text, mask = 103, spare = [])\n"
                      "  input alpha: ramp(0x1.999999999999ap-2, epochs = 1)\n";
  Text *t = good(lines);
  Buf out = {0};
  stage_print(&t->stage, &out);
  char *want = arena_printf(&t->arena, "stage \"s\" {\n%s}\n", lines);
  cr_expect_str_eq(out.s, want);
  buf_free(&out);
  const Stage *s = &t->stage;
  cr_expect(s->objective.n == 2 && s->objective.at[1].weight == 0.25);
  cr_expect(s->pattern.n == 5 && s->pattern.at[4].kind == PATTERN_adapt && s->pattern.at[2].kind == PATTERN_only &&
            s->pattern.at[3].kind == PATTERN_freeze);
  cr_expect_str_eq(s->optimiser, "adamw_hf");
  cr_expect(s->hyper.beta2 == 0.5 && s->hyper.eps == 1e-8 && s->hyper.decay == 0);
  cr_expect(s->group.at[0].rank == 1 && s->group.at[0].has_decay && s->group.at[0].lr == 10);
  cr_expect(s->epochs == 30 && s->batch == 64 && s->micro == 8 && s->accumulate == 2 && s->clip == 3);
  cr_expect_str_eq(s->averaged, "{name}_ema");
  cr_expect(s->evaluate == 1000 && s->nmeasure == 2);
  cr_expect(s->input.n == 3 && s->input.at[1].n == 2);
  cr_expect(stage_number(&s->input.at[1].from, "share") == 0.15);
  cr_expect_str_eq(stage_value(&s->input.at[1].from, "of")->text, "text");
  cr_expect(stage_number(&s->input.at[2].from, "value") == 0.4);
  free_text(t);
}

Test(stage, what_is_not_said) {
  Text *t = good("objective o\n");
  cr_expect(!t->stage.optimiser && !t->stage.batch && t->stage.micro == 1 && t->stage.accumulate == 1);
  cr_expect(t->stage.schedule.kind == SCHEDULE_constant && stage_length(&t->stage, 7) == 0);
  cr_expect(stage_trains(&t->stage, "anything"));
  free_text(t);
}

Test(stage, wrong_lines_are_refused) {
  static const char *const wrong[] = {
      "",
      "batch 3\n",
      "objective o\nobjective p\n",
      "objective o, o\n",
      "objective 3\n",
      "objective o = 0\n",
      "objective o\nbatch 0\n",
      "objective o\nbatch 1, 2\n",
      "objective o\nbatch 0x1p-1\n",
      "objective o\nbatch 8\nmicro 3\n",
      "objective o\nsteps 3\nepochs 4\n",
      "objective o\nonly\n",
      "objective o\nonly 3\n",
      "objective o\nonly [[\"a\"]]\n",
      "objective o\nadapt \"a\"\n",
      "objective o\nadapt rank = 2\n",
      "objective o\nadapt \"a\": rank = 0\n",
      "objective o\nadapt \"a\": rank = 0x1p-1\n",
      "objective o\nadapt \"a\": rank = 2, beta = 1\n",
      "objective o\nadapt \"a\": rank = 2, alpha = 0\n",
      "objective o\nadapt \"a\": rank = 2, dropout = 1\n",
      "objective o\nadapt 3: rank = 2\n",
      "objective o\noptimiser adam(lr = 1)\n",
      "objective o\noptimiser adamw\n",
      "objective o\noptimiser adamw()\n",
      "objective o\noptimiser adamw(lr = -1)\n",
      "objective o\noptimiser adamw(lr = 1, lr = 1)\n",
      "objective o\noptimiser adamw(lr = 1, momentum = 0)\n",
      "objective o\noptimiser adamw(lr = 1, betas = [0])\n",
      "objective o\noptimiser adamw(lr = 1, betas = [0, 1])\n",
      "objective o\ngroup \"a\"\n",
      "objective o\ngroup rank = 7: decay = 0\n",
      "objective o\ngroup \"a\": weight = 0\n",
      "objective o\ngroup : decay = 0\n",
      "objective o\nlayers \"a\": scale = 1, depth = 2\n",
      "objective o\nlayers \"a{i}b{i}\": scale = 1, depth = 2\n",
      "objective o\nlayers \"a{i}\": scale = 1\n",
      "objective o\nschedule cosinus()\n",
      "objective o\nschedule cosine(by = day)\n",
      "objective o\nschedule cosine(warmup = 0x1.8p+0)\n",
      "objective o\nschedule cosine(warmup = 2, warmup_epochs = 2)\n",
      "objective o\nschedule cosine(steps = 2, epochs = 2)\n",
      "objective o\nschedule constant(to = 2)\n",
      "objective o\naverage 2\n",
      "objective o\naverage 0x1p-1, named = \"{name}\"\n",
      "objective o\nevaluate 10\n",
      "objective o\nevaluate 10: luck\n",
      "objective o\ninput x: magic()\n",
      "objective o\ninput x, y: ramp(1)\n",
      "objective o\ninput x: ramp(1, 2, 3, 4)\n",
      "objective o\ninput x: ramp(1)\ninput x: coin()\n",
      "objective o\ninput x, x: mask_words(mask = 1)\n",
      "objective o\ninput x: augment(crop = [0x1p-1, 2])\n",
      "objective o\ninput x: augment(flip = maybe)\n",
      "objective o\ninput x: augment(swap = 1)\n",
      "objective o\ninput x, y: mask_words(mask = 1, of = \"x\")\n",
      "objective o\nluck 3\n",
      "objective o\nsteps [[[[[[1]]]]]]\n",
      "objective o\nsteps nan\n",
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    Text *t = read_stage(wrong[i]);
    cr_expect(!t->ok && t->diag.errors, "%s", wrong[i]);
    free_text(t);
  }
}

/* the learning rate
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct Rate {
  uint64_t step;
  double lr;
} Rate;

// The right-hand values come from the formulas of the authors' code, evaluated in Python.
static void rates(const char *lines, uint64_t per, const Rate *r, size_t n) {
  Text *t = good(lines);
  for (size_t i = 0; i < n; i++) {
    double got = stage_rate(&t->stage, r[i].step, per);
    cr_expect(fabs(got - r[i].lr) <= 1e-12 * r[i].lr + 1e-17, "%sstep %llu: %.17g, not %.17g", lines,
              (unsigned long long)r[i].step, got, r[i].lr);
  }
  free_text(t);
}
#define RATES(lines, per, ...)                                                                                         \
  do {                                                                                                                 \
    static const Rate r_[] = {__VA_ARGS__};                                                                            \
    rates("objective o\n" lines, per, r_, sizeof r_ / sizeof *r_);                                                     \
  } while (0)

// transformers.get_linear_schedule_with_warmup, get_polynomial_decay_schedule_with_warmup
Test(stage, rates_of_transformers) {
  RATES("optimiser adamw_hf(lr = 0.0002)\nschedule linear(warmup = 2500)\nsteps 200000\n", 9, {0, 0},
        {1, 8.0000000000000002e-08}, {2499, 0.00019992000000000002}, {2500, 0.0002}, {100000, 0.00010126582278481013},
        {199999, 1.0126582278481013e-09}, {200000, 0}, {200001, 0});
  RATES("optimiser adamw(lr = 0.0001)\nschedule poly(warmup = 0.25, to = 0.000001, power = 2)\nsteps 1000\n", 9, {0, 0},
        {249, 9.9600000000000009e-05}, {250, 0.0001}, {600, 2.9160000000000002e-05}, {999, 1.0001759999999999e-06},
        {1000, 1e-6}, {1001, 1e-6});
}

// timm.scheduler.CosineLRScheduler, by step and by epoch; its warm-up is part of the length
Test(stage, rates_of_timm) {
  RATES("optimiser adamw(lr = 0.0005)\nschedule cosine(warmup = 100, from = 0.000001, to = 0.00001, whole = true)\n"
        "steps 1000\n",
        7, {0, 1e-06}, {1, 5.9899999999999994e-06}, {99, 0.00049501000000000005}, {100, 0.00048800884649231267},
        {500, 0.000255}, {999, 1.0001209025544738e-05}, {1000, 1e-05});
  RATES("optimiser adamw(lr = 0.0005)\n"
        "schedule cosine(by = epoch, warmup_epochs = 5, from = 0.000001, to = 0.00001, whole = true)\nepochs 30\n",
        10, {0, 1e-06}, {9, 1e-06}, {10, 0.0001008}, {49, 0.0004002}, {50, 0.00046717622392718753},
        {155, 0.00025500000000000007}, {299, 1.1342135634773018e-05});
}

// ALBEF's Pretrain.py: warm-up in stairs of 100 steps inside the first epoch, then the cosine by epoch
Test(stage, rates_of_albef) {
  RATES("optimiser adamw(lr = 0.0001)\n"
        "schedule cosine(by = epoch, warmup = 2000, stairs = 100, from = 0.00001, to = 0.00001, epochs = 30)\n",
        2500, {0, 1e-05}, {1, 1e-05}, {100, 1e-05}, {101, 1.45e-05}, {200, 1.45e-05}, {1901, 9.55e-05},
        {2000, 9.55e-05}, {2001, 0.0001}, {2499, 0.0001}, {2500, 9.97534852915723e-05}, {5000, 9.9016642033021259e-05},
        {37500, 5.5e-05}, {74999, 1.0246514708427697e-05});
}

// utils.cosine_scheduler of BEiT, open_clip's cosine_lr, BLIP's warm-up and steps by epoch
Test(stage, rates_of_others) {
  RATES("optimiser adamw(lr = 0.0015)\nschedule cosine(warmup_epochs = 2, rise = closed, to = 0.00001)\nepochs 20\n",
        50, {0, 0}, {1, 1.5151515151515151e-05}, {99, 0.0015}, {100, 0.0015}, {101, 0.0014999954612050538},
        {550, 0.000755}, {999, 1.0004538794946158e-05});
  RATES("optimiser adamw(lr = 0.0005)\nschedule cosine(warmup = 100, rise = one)\nsteps 1000\n", 3, {0, 5e-06},
        {1, 1e-05}, {99, 0.0005}, {100, 0.0005}, {500, 0.00029341204441673266}, {999, 1.5230855524017706e-09});
  RATES("optimiser adamw(lr = 0.0003)\n"
        "schedule exponential(rate = 0.9, by = epoch, warmup = 3000, from = 0.000001, to = 0.000001)\nepochs 20\n",
        4000, {0, 1e-06}, {1, 1.0996666666666666e-06}, {2999, 0.00029990033333333329}, {3000, 0.0003}, {3999, 0.0003},
        {4000, 0.00027}, {8000, 0.000243}, {400000, 1e-06});
}

Test(stage, length) {
  Text *t = good("objective o\nschedule linear(steps = 100)\n");
  cr_expect(stage_length(&t->stage, 7) == 100);
  free_text(t);
  t = good("objective o\nschedule linear(steps = 100)\nepochs 2\n");
  cr_expect(stage_length(&t->stage, 7) == 14);
  free_text(t);
}

/* what is trained, and how
 * ------------------------------------------------------------------------------------------------------ */

Test(stage, the_last_pattern_counts) {
  Text *t = good("objective o\nonly \"encoder.*\"\nfreeze \"*.bias\"\nonly \"encoder.head.bias\"\n");
  cr_expect(stage_trains(&t->stage, "encoder.w") && !stage_trains(&t->stage, "decoder.w"));
  cr_expect(!stage_trains(&t->stage, "encoder.a.bias") && stage_trains(&t->stage, "encoder.head.bias"));
  free_text(t);
  t = good("objective o\nfreeze \"*\"\nfreeze \"b*\"\n");
  cr_expect(!stage_trains(&t->stage, "a"));
  free_text(t);
  t = good("objective o\nadapt \"*\": rank = 4\nadapt \"a.*\": rank = 2, alpha = 8, dropout = 0x1p-2\n"
           "freeze \"a.b*\"\nonly \"a.c\"\n");
  const StagePattern *p = t->stage.pattern.at;
  size_t n = t->stage.pattern.n;
  cr_expect(!stage_trains(&t->stage, "x") && !stage_trains(&t->stage, "a.b") && stage_trains(&t->stage, "a.c"));
  cr_expect(stage_patterns_adapt(p, n, "x") == &p[0] && stage_patterns_adapt(p, n, "a.x") == &p[1]);
  cr_expect(!stage_patterns_adapt(p, n, "a.b") && !stage_patterns_adapt(p, n, "a.c"));
  cr_expect(p[0].adapter.rank == 4 && p[0].adapter.alpha == 4 && p[0].adapter.dropout == 0);
  cr_expect(p[1].adapter.rank == 2 && p[1].adapter.alpha == 8 && p[1].adapter.dropout == 0.25);
  free_text(t);
  t = good("objective o\nfreeze \"b*\"\n");
  cr_expect(stage_trains(&t->stage, "a") && !stage_trains(&t->stage, "b"));
  free_text(t);
}

Test(stage, layers_by_name) {
  cr_expect(stage_layer("blocks.{i}.*", "blocks.12.attn.3.w") == 12);
  cr_expect(stage_layer("*.layers.{i}.*", "a.1.layers.2.w") == 2);
  cr_expect(stage_layer("blocks.{i}.*", "blocks.x.w") == -1);
  cr_expect(stage_layer("blocks.{i}.*", "blocks.99999999999.w") == -1);
  cr_expect(stage_layer("blocks", "blocks") == -1);
}

// The groups that the authors' optim_factory.py makes: tests/golden/*/param_groups.tsv.
static void groups(const char *model, const char *lines) {
  Text *t = good(lines);
  char path[512], name[256], row[512];
  snprintf(path, sizeof path, SOURCE_DIR "/tests/golden/%s/param_groups.tsv", model);
  FILE *f = fopen(path, "r");
  cr_assert_not_null(f, "%s", path);
  size_t n = 0;
  while (fgets(row, sizeof row, f)) {
    int rank;
    double lr, decay;
    if (row[0] == '#') continue;
    cr_assert(sscanf(row, "%255s %d %lf %lf", name, &rank, &lr, &decay) == 4);
    StageShare x = stage_group(&t->stage, name, rank);
    cr_expect(fabs(x.lr - lr) <= 1e-12 && x.decay == decay, "%s: lr %g, decay %g, not %g, %g", name, x.lr, x.decay, lr,
              decay);
    n++;
  }
  fclose(f);
  cr_expect(n > 50);
  free_text(t);
}

Test(stage, groups_of_the_authors) {
  groups("beit",
         "objective o\noptimiser adamw(lr = 1, decay = 0.05)\n"
         "group \"*.bias\", \"cls_token\", \"pos_embed\", rank = 1: decay = 0\n"
         "layers \"blocks.{i}.*\": scale = 0.65, depth = 3, first = [\"cls_token\", \"mask_token\", \"pos_embed\", "
         "\"patch_embed.*\"]\n");
  groups("beit3", "objective o\noptimiser adamw(lr = 1, decay = 0.05)\n"
                  "group \"*.bias\", \"beit3.encoder.embed_positions.A.weight\", \"beit3.vision_embed.cls_token\", "
                  "\"logit_scale\", rank = 1: decay = 0\n"
                  "layers \"*.layers.{i}.*\": scale = 0.9, depth = 3, first = [\"*embed*\"]\n");
}

Test(stage, of_two_groups_the_later_counts) {
  Text *t = good(
      "objective o\noptimiser sgd(lr = 1, decay = 0.5)\ngroup \"a*\": decay = 0, lr = 2\ngroup \"ab\": decay = 0.25\n");
  StageShare x = stage_group(&t->stage, "ab", 2), y = stage_group(&t->stage, "c", 2);
  cr_expect(x.lr == 2 && x.decay == 0.25 && y.lr == 1 && y.decay == 0.5);
  free_text(t);
}

// frontend.c: the .sy front end: wrong programs, options, preparation, the listing, the formatter, the examples of the
// documentation, damaged texts.
#include "frontend_support.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdlib.h>

/* wrong programs
 * ------------------------------------------------------------------------------------------------------------ */

static const char *find_beside(void *ud, const char *name, size_t *n, const char **path) {
  Arena *a = ud;
  const char *err, *text = file_read(a, arena_printf(a, "%s/tests/err/%s.sy", SY_SOURCE_DIR, name), n, &err);
  return text ? text : find_model(ud, name, n, path);
}

// Names of the files of a folder that end in `ending`, without it.
static size_t folder(Arena *a, const char *dir, const char *ending, const char **out, size_t max) {
  DIR *d = opendir(arena_printf(a, "%s/%s", SY_SOURCE_DIR, dir));
  size_t n = 0, len = strlen(ending);
  cr_assert(d);
  for (struct dirent *f; (f = readdir(d)) && n < max;) {
    size_t k = strlen(f->d_name);
    if (k > len && strcmp(f->d_name + k - len, ending) == 0) out[n++] = arena_strndup(a, f->d_name, k - len);
  }
  closedir(d);
  return n;
}

Test(frontend, wrong_programs) {
  Arena list = {0};
  const char *name[400];
  size_t count = folder(&list, "tests/err", ".sy", name, 400);
  cr_expect_geq(count, 60u);
  for (size_t i = 0; i < count; i++) {
    Session s;
    size_t n, nwant;
    const char *other = ""; // arguments: tests/err/run.sh
    if (file_read(&list, arena_printf(&list, "%s/tests/err/%s.args", SY_SOURCE_DIR, name[i]), &n, &other)) continue;
    session_open(&s);
    char *text = read_source(&s.arena, arena_printf(&s.arena, "tests/err/%s.sy", name[i]), &n);
    char *want = read_source(&s.arena, arena_printf(&s.arena, "tests/err/%s.err", name[i]), &nwant);
    FrontOptions o = {.find = find_beside, .ud = &s.arena};
    Module *m = front_compile(&s.arena, &s.names, &s.diag, arena_printf(&s.arena, "%s.sy", name[i]), text, n, &o);
    if (m && strstr(want, "[E03")) { // a pass reports it: tests/err/run.sh
      session_close(&s);
      continue;
    }
    cr_expect_null(m, "%s.sy compiles", name[i]);
    cr_expect_str_eq(report(&s), want, "%s: got\n%s", name[i], report(&s));
    for (size_t k = 0; k < s.diag.list.n; k++)
      cr_expect_not_null(diag_explain(s.diag.list.at[k].code), "%s has no explanation", s.diag.list.at[k].code);
    Buf json = {0};
    diag_print_json(&s.diag, &json);
    cJSON *parsed = cJSON_Parse(json.s);
    cr_expect_not_null(parsed, "%s: malformed JSON", name[i]);
    cJSON_Delete(parsed);
    buf_free(&json);
    session_close(&s);
  }
  arena_free(&list);
}

static const char vit_text[] = "model v(dim = 8, eps = 0.5, deep = false) {\n"
                               "  dim B = 1..4\n"
                               "  route a(x: f32[B, dim]) -> y { return x * eps }\n"
                               "  route b(x: f32[B, dim]) -> y { return x + eps }\n"
                               "}\n"
                               "preset wide = v(dim = 16)\n"
                               "preset odd = v(dims = 16)\n"
                               "preset lost = w(dim = 16)\n"
                               "preset bare = v(16)\n";

// Compiles vit_text; the code of the first error, or "" if there is none. *dim: the width of the input.
static const char *options_result(FrontOptions o, int64_t *dim) {
  Session s;
  session_open(&s);
  Module *m = compile(&s, "v.sy", vit_text, sizeof vit_text - 1, o);
  if (m && dim) *dim = graph_value(m->graph.at[0], m->graph.at[0]->input.at[0].val)->type.dim[1].c;
  static char code[8];
  cr_expect_eq(m == NULL, s.diag.errors > 0);
  snprintf(code, sizeof code, "%s", m ? "" : s.diag.list.at[0].code);
  session_close(&s);
  return code;
}

static const char *define_result(const char *name, const char *value, const char *preset, int64_t *dim) {
  FrontOptions o = {.entry_or_preset = preset, .define_name = &name, .define_value = &value, .ndefine = 1};
  return options_result(o, dim);
}

Test(frontend, options) {
  int64_t dim = 0;
  cr_expect_str_eq(options_result((FrontOptions){0}, &dim), "");
  cr_expect_eq(dim, 8);
  cr_expect_str_eq(options_result((FrontOptions){.entry_or_preset = "wide"}, &dim), "");
  cr_expect_eq(dim, 16);
  cr_expect_str_eq(define_result("dim", "2 * 16", "wide", &dim), ""); // a define wins over the preset
  cr_expect_eq(dim, 32);
  cr_expect_str_eq(define_result("eps", "2", NULL, NULL), ""); // an integer where a real number is expected
  static const struct {
    const char *name, *value, *code;
  } bad[] = {{"dims", "2", "E0114"},    {"dim", "2.5", "E0114"}, {"dim", "", "E0114"},    {"dim", "(", "E0001"},
             {"dim", "x", "E0101"},     {"deep", "1", "E0114"},  {"dim", "0", "E0126"},   {"dim", "1/0", "E0107"},
             {"dim", "\"a\"", "E0114"}, {"dim", "f32", "E0114"}, {"dim", "1 2", "E0001"}, {"eps", "true", "E0114"}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    cr_expect_neq(*define_result(bad[i].name, bad[i].value, NULL, NULL), 0, "-D %s=%s", bad[i].name, bad[i].value);
  static const char *const entries[] = {"odd", "lost", "bare", "nosuch"};
  for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
    cr_expect_neq(*options_result((FrontOptions){.entry_or_preset = entries[i]}, NULL), 0, "%s", entries[i]);
  const char *routes[] = {"b", "c"};
  cr_expect_str_eq(options_result((FrontOptions){.routes = routes, .nroutes = 1}, NULL), "");
  cr_expect_str_eq(options_result((FrontOptions){.routes = routes, .nroutes = 2}, NULL), "E0115");
}

/* modalities: what is not in the type is not asked for
 * ------------------------------------------------------------------------ */

// How the publishers of checkpoints prepare pictures: torchvision's weight enums, timm's default_cfgs, datasets.py of
// BEiT and BEiT-3, preprocessor_config.json of google/vit-*, pretrained.py of open_clip.
Test(frontend, preparation_of_published_checkpoints) {
  static const struct {
    const char *page, *preset, *size, *names, *want;
  } kase[] = {
      {"vit", "base", NULL, NULL, "resize=shorter(256), crop=224, filter=bilinear, mean=[0.485, 0.456, 0.406]"},
      {"vit", "base", "384", NULL, "resize=shorter(384), crop=384, filter=bicubic, mean=[0.485"},
      {"vit", "base_swag_linear", NULL, NULL, "resize=shorter(224), crop=224, filter=bicubic, mean=[0.485"},
      {"vit", "large", NULL, NULL, "resize=shorter(242), crop=224, filter=bilinear, mean=[0.485"},
      {"vit", "large", "512", NULL, "resize=shorter(512), crop=512, filter=bicubic, mean=[0.485"},
      {"vit", "large32", NULL, NULL, "resize=shorter(256), crop=224, filter=bilinear, mean=[0.485"},
      {"vit", "huge", NULL, NULL, "resize=shorter(224), crop=224, filter=bicubic, mean=[0.485"},
      {"vit", "huge_swag", NULL, NULL, "resize=shorter(518), crop=518, filter=bicubic, mean=[0.485"},
      {"vit", "large", NULL, "huggingface", "resize=square(224), crop=224, filter=bilinear, mean=[0.5, 0.5, 0.5]"},
      {"vit_timm", "base", NULL, NULL, "resize=shorter(248), crop=224, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"vit_timm", "base", "384", NULL, "resize=shorter(384), crop=384, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"vit_timm", "deit_small", NULL, NULL, "resize=shorter(248), crop=224, filter=bicubic, mean=[0.485"},
      {"beit", "cls_base", NULL, NULL, "resize=shorter(256), crop=224, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"beit", "cls_base", "384", NULL, "resize=shorter(384), crop=384, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"beit2", "cls_large", "512", NULL, "resize=shorter(512), crop=512, filter=bicubic, mean=[0.485"},
      {"beit3", "base", "480", NULL, "resize=square(480), filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"beit3", "cls_base", NULL, NULL, "resize=shorter(224), filter=bicubic, mean=[0.485"},
      {"clip", "b32_gelu", NULL, NULL, "rgb=last, resize=shorter(224), crop=224, filter=bicubic, mean=[0.48145466"},
      {"clip", "b32", NULL, "huggingface",
       "rgb=first, resize=shorter(224), crop=224, filter=bicubic, mean=[0.48145466"},
      {"clip", "l14_laion2b", NULL, NULL,
       "rgb=last, resize=shorter(224), crop=224, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
  };
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    Session s;
    session_open(&s);
    const char *name[] = {"depth", "size"}, *value[] = {"1", kase[i].size};
    const char *path = arena_printf(&s.arena, "models/%s.sy", kase[i].page);
    const Module *m = compile_file(&s, path,
                                   (FrontOptions){.entry_or_preset = kase[i].preset,
                                                  .define_name = name,
                                                  .define_value = value,
                                                  .ndefine = kase[i].size ? 2 : 1,
                                                  .names = kase[i].names});
    cr_assert(m, "%s", report(&s));
    cr_expect(!strncmp(m->prepare.at[0].options, kase[i].want, strlen(kase[i].want)), "%s:%s %s: %s", kase[i].page,
              kase[i].preset, kase[i].size, m->prepare.at[0].options);
    session_close(&s);
  }
}

Test(frontend, absent_modality) {
  static const char text[] = "use std\n"
                             "modality vision \"A\", language \"B\"\n"
                             "model m(dim = 8) {\n"
                             "  dim B = 1..4\n"
                             "  dim L = 1..6\n"
                             "  block layer(x) {\n"
                             "    let h = multiway x { norm(x, 1e-5) }  @ln\n"
                             "    return switch h { vision -> linear(h, dim) @v  language -> linear(h, dim) @l }\n"
                             "  }\n"
                             "  route both(v: f32[B, vision: 3, dim], t: f32[B, language: L, dim]) -> y {\n"
                             "    return layer(concat(v, t))\n"
                             "  }\n"
                             "  route text(t: f32[B, language: L, dim]) -> y { return layer(t) }\n"
                             "}\n";
  static const struct {
    const char *route;
    size_t weights;
  } row[] = {{"both", 8}, {"text", 4}};
  for (size_t i = 0; i < 2; i++) {
    Session s;
    session_open(&s);
    Module *m = compile(&s, "m.sy", text, sizeof text - 1,
                        (FrontOptions){.routes = (const char *[]){row[i].route}, .nroutes = 1});
    check_valid(&s, m, row[i].route);
    cr_expect_eq(m->weight.n, row[i].weights);
    cr_expect_str_eq(m->weight.at[0].name, i ? "ln.B.weight" : "ln.A.weight");
    session_close(&s);
  }
}

/* listing, formatting, documentation
 * -------------------------------------------------------------------------------------------- */

Test(frontend, listing) {
  Session s;
  session_open(&s);
  size_t n;
  char *text = read_source(&s.arena, "models/clip.sy", &n);
  const FrontListing *l = front_list(&s.arena, &s.names, &s.diag, "clip.sy", text, n);
  cr_assert(l && l->nmodel == 2 && l->npreset == 20 && l->nuse == 2);
  const FrontModel *m = &l->model[0];
  cr_expect_str_eq(m->about, "OpenAI CLIP with a ViT image encoder, ViT-B/32");
  cr_assert_eq(m->nparam, 15u);
  cr_expect_str_eq(m->param[5].name, "ffn");
  cr_expect_str_eq(m->param[5].text, "4 * dim");
  cr_expect_str_eq(m->param[14].about, "LayerNorm epsilon");
  cr_assert_eq(m->nroute, 3u);
  cr_expect_str_eq(m->route[1].name, "text");
  cr_expect_str_eq(m->route[1].input[0].text, "i32[B, L]");
  cr_expect_str_eq(m->route[0].output[1].name, "image_embed");
  cr_expect_str_eq(m->dim[2].text, "1..max_text");
  cr_expect_str_eq(l->preset[2].name, "b16");
  cr_expect_str_eq(l->preset[2].args, "patch = 16");
  Buf tree = {0};
  cr_expect(front_dump_ast(&s.arena, &s.names, &s.diag, "clip.sy", text, n, &tree));
  cr_expect_not_null(strstr(tree.s, "route retrieve"));
  buf_free(&tree);
  session_close(&s);
}

static void check_format(Session *s, const char *in, const char *want_path) {
  size_t n, nwant;
  char *text = read_source(&s->arena, in, &n), *want = read_source(&s->arena, want_path, &nwant);
  Buf once = {0}, twice = {0};
  cr_assert(front_format(text, n, &once, &s->diag), "%s: %s", in, report(s));
  cr_expect_str_eq(once.s, want, "%s is not formatted as %s", in, want_path);
  cr_assert(front_format(once.s, once.n, &twice, &s->diag));
  cr_expect_str_eq(twice.s, once.s, "formatting %s twice changes it", in);
  buf_free(&once);
  buf_free(&twice);
}

// Whatever a page looks like, what is made of it has about its size.
Test(frontend, format_does_not_blow_up) {
  Session s;
  session_open(&s);
  Buf page = {0}, once = {0}, twice = {0};
  buf_puts(&page, "model m() {\n  let s = \"");
  for (int i = 0; i < 20000; i++) buf_putc(&page, 'a');
  buf_puts(&page, "\" # c\n");
  for (int i = 0; i < 1000; i++) buf_printf(&page, "let a%d = 1 # c\n", i);
  buf_puts(&page, "route r(x: f32[4]) -> y: f32[4] { return x }\n}\n");
  for (int i = 0; i < 20000; i++) buf_puts(&page, "# d\n");
  cr_assert(front_format(page.s, page.n, &once, &s.diag), "%s", report(&s));
  cr_expect_lt(once.n, 2 * page.n, "%zu bytes became %zu", page.n, once.n);
  cr_assert(front_format(once.s, once.n, &twice, &s.diag));
  cr_expect_str_eq(twice.s, once.s);
  buf_free(&page);
  buf_free(&once);
  buf_free(&twice);
  session_close(&s);
}

Test(frontend, format) {
  Session s;
  session_open(&s);
  const char *name[100];
  size_t n = folder(&s.arena, "tests/fmt", ".in.sy", name, 100);
  cr_expect_geq(n, 4u);
  for (size_t i = 0; i < n; i++)
    check_format(&s, arena_printf(&s.arena, "tests/fmt/%s.in.sy", name[i]),
                 arena_printf(&s.arena, "tests/fmt/%s.out.sy", name[i]));
  static const char *const models[] = {"std", "vit", "vit_timm", "clip"};
  for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
    const char *path = arena_printf(&s.arena, "models/%s.sy", models[i]);
    check_format(&s, path, path);
  }
  Buf out = {0};
  cr_expect_not(front_format("model (", 7, &out, &s.diag));
  cr_expect_eq(out.n, 0u);
  buf_free(&out);
  session_close(&s);
}

static void check_page(const char *path) {
  Arena a = {0};
  size_t n, blocks = 0;
  const char *p = read_source(&a, path, &n);
  while ((p = strstr(p, "```sy\n"))) {
    p += 6;
    const char *end = strstr(p, "\n```");
    cr_assert(end);
    Session s;
    session_open(&s);
    char *text = arena_strndup(&s.arena, p, (size_t)(end - p + 1));
    Module *m = compile(&s, "example.sy", text, strlen(text), (FrontOptions){0});
    check_valid(&s, m, arena_printf(&s.arena, "%s, block %zu", path, ++blocks));
    session_close(&s);
    p = end;
  }
  cr_expect_gt(blocks, 3u);
  arena_free(&a);
}

Test(frontend, examples) {
  check_page("docs/language.md");
  check_page("docs/tutorial.md");
}

/* damaged programs: every prefix and many single-byte changes of a model must be answered, not crash
 * ------------------------------ */

static void try_text(const char *text, size_t n) {
  Session s;
  session_open(&s);
  char *copy = arena_strndup(&s.arena, text, n);
  (void)compile(&s, "x.sy", copy, n, (FrontOptions){.entry_or_preset = "tiny"});
  (void)report(&s);
  session_close(&s);
}

Test(frontend, damaged) {
  Arena a = {0};
  size_t n;
  char *text = read_source(&a, "models/vit.sy", &n);
  static const char bytes[] = "(){}[]\"@#,:=.\n0\xff";
  for (size_t i = 0; i < n; i += 7) try_text(text, i);
  for (size_t i = 0; i < n; i += 11) {
    char keep = text[i];
    text[i] = bytes[i % (sizeof bytes - 1)];
    try_text(text, n);
    text[i] = keep;
  }
  arena_free(&a);
}

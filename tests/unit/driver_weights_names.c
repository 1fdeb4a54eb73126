// driver_weights_names.c: checkpoints with the names of others: those of Hugging Face's transformers for each page that
// has rules for them, the facts that such a set of names brings, names with and without a prefix, and rules that do not
// fit.
#include "weights_support.h"

TestSuite(driver_weights, .init = set_up, .fini = tear_down, .timeout = 120);

// Tensor `theirs` is part `part` of `of` of the rows of `ours`, or its transpose (of = -1). '#' is a layer; a name that
// ends in '.' or '_' stands for that of the weight and of the bias.
typedef struct Theirs {
  const char *theirs, *ours;
  int part, of;
} Theirs;
static const Theirs vit_names[] = {
    {"vit.embeddings.cls_token", "class_token", 0, 1},
    {"vit.embeddings.position_embeddings", "encoder.pos_embedding", 0, 1},
    {"vit.embeddings.patch_embeddings.projection.", "conv_proj.", 0, 1},
    {"vit.encoder.layer.#.attention.attention.query.", "encoder.layers.encoder_layer_#.self_attention.in_proj_", 0, 3},
    {"vit.encoder.layer.#.attention.attention.key.", "encoder.layers.encoder_layer_#.self_attention.in_proj_", 1, 3},
    {"vit.encoder.layer.#.attention.attention.value.", "encoder.layers.encoder_layer_#.self_attention.in_proj_", 2, 3},
    {"vit.encoder.layer.#.attention.output.dense.", "encoder.layers.encoder_layer_#.self_attention.out_proj.", 0, 1},
    {"vit.encoder.layer.#.intermediate.dense.", "encoder.layers.encoder_layer_#.mlp.0.", 0, 1},
    {"vit.encoder.layer.#.output.dense.", "encoder.layers.encoder_layer_#.mlp.3.", 0, 1},
    {"vit.encoder.layer.#.layernorm_before.", "encoder.layers.encoder_layer_#.ln_1.", 0, 1},
    {"vit.encoder.layer.#.layernorm_after.", "encoder.layers.encoder_layer_#.ln_2.", 0, 1},
    {"vit.layernorm.", "encoder.ln.", 0, 1},
    {"classifier.", "heads.head.", 0, 1},
};
#define CLIP_LAYERS(theirs, ours)                                                                                      \
  {theirs ".encoder.layers.#.self_attn.q_proj.", ours ".#.attn.in_proj_", 0, 3},                                       \
      {theirs ".encoder.layers.#.self_attn.k_proj.", ours ".#.attn.in_proj_", 1, 3},                                   \
      {theirs ".encoder.layers.#.self_attn.v_proj.", ours ".#.attn.in_proj_", 2, 3},                                   \
      {theirs ".encoder.layers.#.self_attn.out_proj.", ours ".#.attn.out_proj.", 0, 1},                                \
      {theirs ".encoder.layers.#.layer_norm1.", ours ".#.ln_1.", 0, 1},                                                \
      {theirs ".encoder.layers.#.layer_norm2.", ours ".#.ln_2.", 0, 1},                                                \
      {theirs ".encoder.layers.#.mlp.fc1.", ours ".#.mlp.c_fc.", 0, 1},                                                \
      {theirs ".encoder.layers.#.mlp.fc2.", ours ".#.mlp.c_proj.", 0, 1},
static const Theirs clip_names[] = {
    {"logit_scale", "logit_scale", 0, 1},
    {"text_model.embeddings.token_embedding.weight", "token_embedding.weight", 0, 1},
    {"text_model.embeddings.position_embedding.weight", "positional_embedding", 0, 1},
    {"text_model.final_layer_norm.", "ln_final.", 0, 1},
    {"vision_model.embeddings.class_embedding", "visual.class_embedding", 0, 1},
    {"vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight", 0, 1},
    {"vision_model.embeddings.position_embedding.weight", "visual.positional_embedding", 0, 1},
    {"vision_model.pre_layrnorm.", "visual.ln_pre.", 0, 1}, // their spelling
    {"vision_model.post_layernorm.", "visual.ln_post.", 0, 1},
    {"visual_projection.weight", "visual.proj", 0, -1},
    {"text_projection.weight", "text_projection", 0, -1},
    CLIP_LAYERS("text_model", "transformer.resblocks") CLIP_LAYERS("vision_model", "visual.transformer.resblocks")};
#define BERT_LAYER(theirs, ours, gain, bias)                                                                           \
  {theirs "attention.self.query.", ours "attention.self.query.", 0, 1},                                                \
      {theirs "attention.self.key.", ours "attention.self.key.", 0, 1},                                                \
      {theirs "attention.self.value.", ours "attention.self.value.", 0, 1},                                            \
      {theirs "attention.output.dense.", ours "attention.output.dense.", 0, 1},                                        \
      {theirs "attention.output.LayerNorm." gain, ours "attention.output.LayerNorm.weight", 0, 1},                     \
      {theirs "attention.output.LayerNorm." bias, ours "attention.output.LayerNorm.bias", 0, 1},                       \
      {theirs "intermediate.dense.", ours "intermediate.dense.", 0, 1},                                                \
      {theirs "output.dense.", ours "output.dense.", 0, 1},                                                            \
      {theirs "output.LayerNorm." gain, ours "output.LayerNorm.weight", 0, 1},                                         \
      {theirs "output.LayerNorm." bias, ours "output.LayerNorm.bias", 0, 1},
static const Theirs bert_names[] = {
    {"bert.embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight", 0, 1},
    {"bert.embeddings.position_embeddings.weight", "bert.embeddings.position_embeddings.weight", 0, 1},
    {"bert.embeddings.token_type_embeddings.weight", "bert.embeddings.token_type_embeddings.weight", 0, 1},
    {"bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight", 0, 1},
    {"bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias", 0, 1},
    {"bert.pooler.dense.", "bert.pooler.dense.", 0, 1},
    {"cls.predictions.bias", "cls.predictions.bias", 0, 1},
    {"cls.predictions.transform.dense.", "cls.predictions.transform.dense.", 0, 1},
    {"cls.predictions.transform.LayerNorm.gamma", "cls.predictions.transform.LayerNorm.weight", 0, 1},
    {"cls.predictions.transform.LayerNorm.beta", "cls.predictions.transform.LayerNorm.bias", 0, 1},
    {"cls.seq_relationship.", "cls.seq_relationship.", 0, 1},
    BERT_LAYER("bert.encoder.layer.#.", "bert.encoder.layer.#.", "gamma", "beta")};
static const Theirs vilt_names[] = {
    {"vilt.embeddings.cls_token", "transformer.cls_token", 0, 1},
    {"vilt.embeddings.position_embeddings", "transformer.pos_embed", 0, 1},
    {"vilt.embeddings.text_embeddings.word_embeddings.weight", "text_embeddings.word_embeddings.weight", 0, 1},
    {"vilt.embeddings.text_embeddings.position_embeddings.weight", "text_embeddings.position_embeddings.weight", 0, 1},
    {"vilt.embeddings.text_embeddings.token_type_embeddings.weight", "text_embeddings.token_type_embeddings.weight", 0,
     1},
    {"vilt.embeddings.text_embeddings.LayerNorm.", "text_embeddings.LayerNorm.", 0, 1},
    {"vilt.embeddings.patch_embeddings.projection.", "transformer.patch_embed.proj.", 0, 1},
    {"vilt.embeddings.token_type_embeddings.weight", "token_type_embeddings.weight", 0, 1},
    {"vilt.encoder.layer.#.attention.attention.query.", "transformer.blocks.#.attn.qkv.", 0, 3},
    {"vilt.encoder.layer.#.attention.attention.key.", "transformer.blocks.#.attn.qkv.", 1, 3},
    {"vilt.encoder.layer.#.attention.attention.value.", "transformer.blocks.#.attn.qkv.", 2, 3},
    {"vilt.encoder.layer.#.attention.output.dense.", "transformer.blocks.#.attn.proj.", 0, 1},
    {"vilt.encoder.layer.#.intermediate.dense.", "transformer.blocks.#.mlp.fc1.", 0, 1},
    {"vilt.encoder.layer.#.output.dense.", "transformer.blocks.#.mlp.fc2.", 0, 1},
    {"vilt.encoder.layer.#.layernorm_before.", "transformer.blocks.#.norm1.", 0, 1},
    {"vilt.encoder.layer.#.layernorm_after.", "transformer.blocks.#.norm2.", 0, 1},
    {"vilt.layernorm.", "transformer.norm.", 0, 1},
    {"vilt.pooler.dense.", "pooler.dense.", 0, 1},
    {"classifier.0.", "vqa_classifier.0.", 0, 1},
    {"classifier.1.", "vqa_classifier.1.", 0, 1},
    {"classifier.3.", "vqa_classifier.3.", 0, 1},
};
#define BLIP_EYE                                                                                                       \
  {"vision_model.embeddings.class_embedding", "visual_encoder.cls_token", 0, 1},                                       \
      {"vision_model.embeddings.position_embedding", "visual_encoder.pos_embed", 0, 1},                                \
      {"vision_model.embeddings.patch_embedding.", "visual_encoder.patch_embed.proj.", 0, 1},                          \
      {"vision_model.encoder.layers.#.self_attn.qkv.", "visual_encoder.blocks.#.attn.qkv.", 0, 1},                     \
      {"vision_model.encoder.layers.#.self_attn.projection.", "visual_encoder.blocks.#.attn.proj.", 0, 1},             \
      {"vision_model.encoder.layers.#.layer_norm1.", "visual_encoder.blocks.#.norm1.", 0, 1},                          \
      {"vision_model.encoder.layers.#.layer_norm2.", "visual_encoder.blocks.#.norm2.", 0, 1},                          \
      {"vision_model.encoder.layers.#.mlp.fc1.", "visual_encoder.blocks.#.mlp.fc1.", 0, 1},                            \
      {"vision_model.encoder.layers.#.mlp.fc2.", "visual_encoder.blocks.#.mlp.fc2.", 0, 1},                            \
      {"vision_model.post_layernorm.", "visual_encoder.norm.", 0, 1},
#define SAME(name)                                                                                                     \
  { name, name, 0, 1 }
static const Theirs blip_names[] = {
    BLIP_EYE SAME("text_decoder.bert.embeddings.word_embeddings.weight"),
    SAME("text_decoder.bert.embeddings.position_embeddings.weight"),
    SAME("text_decoder.bert.embeddings.LayerNorm."),
    SAME("text_decoder.cls.predictions.bias"),
    SAME("text_decoder.cls.predictions.transform.dense."),
    SAME("text_decoder.cls.predictions.transform.LayerNorm."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.self.query."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.self.key."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.self.value."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.output.dense."),
    SAME("text_decoder.bert.encoder.layer.#.crossattention.output.LayerNorm."),
    BERT_LAYER("text_decoder.bert.encoder.layer.#.", "text_decoder.bert.encoder.layer.#.", "weight", "bias")};

// Puts the layer and the parameter into a name.
static void fill_name(char dst[160], const char *name, int layer, const char *param) {
  size_t n = 0;
  for (const char *s = name; *s; s++) dst[n++] = *s == '#' ? (char)('0' + layer) : *s;
  char end = name[strlen(name) - 1];
  snprintf(dst + n, 160 - n, "%s", end == '.' || end == '_' ? param : "");
}

typedef struct Piece { // a tensor that is being written
  char name[160];
  const uint8_t *data;
  uint8_t *own; // to be freed
  size_t bytes;
} Piece;

static void cut_piece(const Theirs *m, const StTensor *t, StDesc *d, Piece *p) {
  *d = (StDesc){.name = p->name, .dtype = t->dtype, .rank = t->rank};
  memcpy(d->shape, t->shape, sizeof t->shape);
  p->bytes = t->bytes;
  p->data = t->data;
  p->own = NULL;
  if (m->of > 1) {
    d->shape[0] /= m->of;
    p->bytes /= (size_t)m->of;
    p->data += (size_t)m->part * p->bytes;
  }
  if (m->of > 0) return;
  size_t rows = (size_t)t->shape[0], cols = (size_t)t->shape[1];
  d->shape[0] = t->shape[1];
  d->shape[1] = t->shape[0];
  p->data = p->own = malloc(t->bytes);
  cr_assert(p->own);
  for (size_t i = 0; i < rows * cols; i++)
    memcpy(p->own + (i % cols * rows + i / cols) * 4, (const char *)t->data + 4 * i, 4);
}

static void write_theirs(const Theirs *map, size_t n, const char *from, const char *to) {
  static StDesc d[400];
  static Piece p[400];
  size_t count = 0;
  StFile *f = open_in_dir(from);
  for (size_t i = 0; i < n; i++)
    for (int layer = 0; layer < (strchr(map[i].ours, '#') ? 3 : 1); layer++)
      for (int bias = 0; bias < 2; bias++) {
        char ours[160];
        fill_name(ours, map[i].ours, layer, bias ? "bias" : "weight");
        const StTensor *t = st_find(f, ours);
        if (!t && layer == 2) continue; // two layers
        cr_assert(t, "no %s", ours);
        cr_assert(count < 400);
        fill_name(p[count].name, map[i].theirs, layer, bias ? "bias" : "weight");
        cut_piece(&map[i], t, &d[count], &p[count]);
        count++;
        if (strchr("._", map[i].ours[strlen(map[i].ours) - 1]) == NULL) break; // one parameter
      }
  char path[128];
  StError err = {""};
  snprintf(path, sizeof path, "%s/%s", dir, to);
  StWriter *w = st_write_begin(path, count, d, &err);
  cr_assert(w, "%s", err.text);
  for (size_t i = 0; i < count; i++) {
    cr_assert(st_write_data(w, p[i].data, p[i].bytes, &err));
    free(p[i].own);
  }
  cr_assert(st_write_end(w, &err), "%s", err.text);
  st_close(f);
}

// `facts`: the set brings parameters or preparations, so that the weights go with a program of these only.
static void check_theirs(const char *spec, const char *routes, bool facts, const Theirs *map, size_t n) {
  bool same_plan;
  cr_assert_eq(run("weights init %s --routes %s -o %s/a.safetensors", spec, routes, dir), 0);
  cr_assert_eq(run("weights pack %s --routes %s -w %s/a.safetensors -o %s/a.syw", spec, routes, dir, dir), 0);
  write_theirs(map, n, "a.safetensors", "hf.safetensors");
  cr_expect_eq(run("weights pack %s --routes %s -w %s/hf.safetensors -o %s/hf.syw", spec, routes, dir, dir), 0, "%s",
               spec);
  cr_expect(output_has("has the names of 'huggingface'"), "%s", spec);
  cr_expect(!output_has("not used"), "%s: what is renamed is used", spec);
  cr_expect(same_weights("a.syw", "hf.syw", &same_plan) && same_plan == !facts, "%s", spec);
  write_below("hf.safetensors", "below.safetensors", (const char *const[2]){"model.net.", NULL});
  cr_expect_eq(run("weights pack %s --routes %s -w %s/below.safetensors -o %s/hf.syw", spec, routes, dir, dir), 0, "%s",
               spec);
  cr_expect(output_has("has the names of 'huggingface' behind model.net.:"), "%s", spec);
  cr_expect(!output_has("not used"), "%s: what is renamed is used", spec);
  cr_expect(same_weights("a.syw", "hf.syw", &same_plan) && same_plan == !facts, "%s", spec);
}
#define NAMES(map) map, sizeof map / sizeof *map

Test(driver_weights, names_of_hugging_face) {
  check_theirs("vit:tiny", "classify", true, NAMES(vit_names));
  cr_expect_eq(run("weights inspect vit:tiny %s/hf.safetensors", dir), 0);
  cr_expect(output_has("encoder.layers.encoder_layer_1.self_attention.in_proj_weight"));
  cr_assert_eq(run("weights init vit:tiny -q -o %s/a.safetensors", dir), 0);
  write_theirs(NAMES(vit_names), "a.safetensors", "a.safetensors");
  cr_expect_eq(pack_beside("vit:tiny", "vit.encoder.layer.0.layer_scale1.lambda1", ST_F32, 32), 1);
  cr_expect_eq(pack_beside("vit:tiny", "vit.encoder.layer.2.layernorm_before.bias", ST_F32, 32), 1);
  cr_expect_eq(pack_beside("vit:tiny", "vit.embeddings.patch_embeddings.norm.bias", ST_F32, 32), 1);
  cr_expect_eq(pack_beside("vit:tiny", "vit.pooler.dense.bias", ST_F32, 32), 0);
  cr_expect_eq(pack_beside("vit:tiny --routes features", "vit.embeddings.mask_token", ST_F32, 32), 0);
  check_theirs("clip:tiny", "retrieve", true, NAMES(clip_names));
  check_theirs("bert:tiny", "masked_words,next_sentence", false, NAMES(bert_names));
  check_theirs("vilt:tiny", "vqa", true, NAMES(vilt_names));
  check_theirs("blip:caption_tiny", "caption_words", true, NAMES(blip_names));
}

// What a set of names says of its files beyond names: in force when such a file is packed, or by --names.
Test(driver_weights, facts_of_a_set_of_names) {
  write_text("f.sy", "rename other(eps = 0.25) {\n  prepare x: picture(filter = bicubic, mean = [0, 0, 0])\n"
                     "  \"w\" = \"v\"\n}\n"
                     "model m(n = 4, eps = 0.5) {\n  dim B = 1..8\n"
                     "  prepare x: picture(resize = square(n), filter = if eps > 1 { nearest } else { bilinear })\n"
                     "  route r(x: f32[B, n]) -> y: f32[B, n] {\n    weight w: f32[n]\n    return x + w * eps\n  }\n}\n"
                     "preset p = m()\npreset q = m(eps = 0.75)\npreset same = m()\n");
  write_one("own.safetensors", "w", 4, 1);
  write_one("theirs.safetensors", "v", 4, 1);
  static const char theirs[] = "picture(resize=square(4), filter=bicubic, mean=[0, 0, 0])";
  cr_expect_eq(run("build %s/f.sy:p -w %s/theirs.safetensors -o %s/t", dir, dir, dir), 0);
  cr_expect(output_has("files with the names of 'other' come with eps=0.25; x: filter=bicubic, mean=[0, 0, 0]"));
  cr_expect_eq(run("run %s/f.sy:p --names other -- --describe", dir), 0);
  cr_expect(output_has("built with preset=p, names=other, n=4, eps=0.25"));
  cr_expect(output_has(theirs));
  cr_expect_eq(run("build %s/f.sy:p -w %s/own.safetensors -o %s/o", dir, dir, dir), 0);
  cr_expect(output_has("the tensors fit these presets, too") && output_has("f.sy:q  eps=0.75"));
  cr_expect(!output_has("f.sy:same"));
  char text[1024];
  snprintf(text, sizeof text, "'%s/o' --weights '%s/t.syw' --selftest >'%s/out.txt' 2>&1", dir, dir, dir);
  cr_expect_eq(WEXITSTATUS(system(text)), 3, "weights of another epsilon");
  cr_expect(output_has("another build of this model"));
  cr_expect_eq(run("run %s/f.sy:q -w %s/theirs.safetensors -D eps=0.125 -- --describe", dir, dir), 0);
  cr_expect(output_has("built with preset=q, names=other, n=4, eps=0.125"), "-D wins");
  cr_expect_eq(run("weights pack %s/f.sy:p --names other -w %s/own.safetensors -o %s/x.syw", dir, dir, dir), 1);
  cr_expect(output_has("the checkpoint has the page's own names"));
  cr_expect_eq(run("emit %s/f.sy:p --names absent", dir), 1);
  cr_expect(output_has("it has other") && output_has("E0135"));
}

// What was saved as a part of the module lacks its name: BertModel in the file of a BertForPreTraining.
Test(driver_weights, names_without_a_prefix) {
  cr_assert_eq(run("weights init bert:tiny --routes text -o %s/a.safetensors", dir), 0);
  cr_assert_eq(run("weights pack bert:tiny --routes text -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  cr_assert_eq(run("weights convert %s/a.safetensors --strip-prefix bert. -o %s/b.safetensors", dir, dir), 0);
  cr_expect_eq(run("weights pack bert:tiny --routes text -w %s/b.safetensors -o %s/b.syw", dir, dir), 0);
  cr_expect(output_has("names of the checkpoint lack 'bert.' in front"));
  cr_expect(!output_has("not used"));
  cr_expect(same_files("a.syw", "b.syw"));
  cr_expect_eq(run("weights pack bert:tiny --routes text --add-prefix bert. -w %s/b.safetensors -o %s/c.syw", dir, dir),
               0);
  cr_expect(!output_has("lack"));
  cr_expect(same_files("a.syw", "c.syw"));
  cr_expect_eq(run("weights pack bert:tiny --routes text --add-prefix vit. -w %s/b.safetensors -o %s/c.syw", dir, dir),
               1);
  cr_assert_eq(run("weights convert %s/b.safetensors --add-prefix bert. -o %s/c.safetensors", dir, dir), 0);
  cr_expect(same_files("a.safetensors", "c.safetensors"));
  write_below("b.safetensors", "m.safetensors", (const char *const[2]){"0.auto_model.", NULL});
  cr_expect_eq(run("weights pack bert:tiny --routes text -w %s/m.safetensors -o %s/c.syw", dir, dir), 0);
  cr_expect(output_has("begin with '0.auto_model.', which is left out") && output_has("lack 'bert.' in front"));
  cr_expect(same_files("a.syw", "c.syw"));
  write_below("b.safetensors", "two.safetensors", (const char *const[2]){"student.", "teacher."});
  cr_expect_eq(run("weights pack bert:tiny --routes text -w %s/two.safetensors -o %s/c.syw", dir, dir), 1);
  cr_expect(output_has("'student.' and below 'teacher.'; choose with --strip-prefix"));
  cr_expect_eq(run("weights pack bert:tiny --routes text --strip-prefix 0.auto_model. -w %s/m.safetensors -o %s/c.syw",
                   dir, dir),
               0);
  cr_expect(same_files("a.syw", "c.syw"));
  write_one("more.safetensors", "encoder.layer.7.output.dense.bias", 4, 0);
  cr_expect_eq(
      run("weights pack bert:tiny --routes text -w %s/b.safetensors -w %s/more.safetensors -o %s/c.syw", dir, dir, dir),
      1);
  cr_expect(output_has("left over    encoder.layer.7.output.dense.bias"));

  cr_assert_eq(run("weights init vit:tiny --routes features -o %s/a.safetensors", dir), 0);
  cr_assert_eq(run("weights pack vit:tiny --routes features -w %s/a.safetensors -o %s/a.syw", dir, dir), 0);
  write_theirs(vit_names, sizeof vit_names / sizeof *vit_names - 1, "a.safetensors", "hf.safetensors");
  cr_assert_eq(run("weights convert %s/hf.safetensors --strip-prefix vit. -o %s/b.safetensors", dir, dir), 0);
  cr_expect_eq(run("weights pack vit:tiny --routes features -w %s/b.safetensors -o %s/b.syw", dir, dir), 0);
  cr_expect(output_has("names of the checkpoint lack 'vit.' in front"));
  cr_expect(output_has("has the names of 'huggingface'"));
  cr_expect(!output_has("not used"));
  bool same_plan;
  cr_expect(same_weights("a.syw", "b.syw", &same_plan) && !same_plan, "with the epsilon of their files");
  write_below("b.safetensors", "m.safetensors", (const char *const[2]){"module.", NULL});
  cr_expect_eq(run("weights pack vit:tiny --routes features -w %s/m.safetensors -o %s/c.syw", dir, dir), 0);
  cr_expect(output_has("has the names of 'huggingface' behind module.") && output_has("lack 'vit.' in front"));
  cr_expect(same_files("b.syw", "c.syw"));
  write_below("hf.safetensors", "two.safetensors", (const char *const[2]){"student.", "teacher."});
  cr_expect_eq(run("weights pack vit:tiny --routes features -w %s/two.safetensors -o %s/c.syw", dir, dir), 1);
  cr_expect_eq(output_count("'student.' and below 'teacher.'; choose with --strip-prefix"), 1);
}

// A layer, or a tower, is not taken for another one by leaving out one prefix and adding another.
Test(driver_weights, prefixes_do_not_repeat_layers) {
  cr_assert_eq(run("weights init vit:tiny -D depth=1 -q -o %s/one.safetensors", dir), 0);
  cr_expect_eq(run("weights pack vit:tiny -w %s/one.safetensors -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("missing") && output_has("encoder_layer_1"));
  write_text("t.sy", "model t(n = 4) {\n  dim B = 1..2\n  block tower(x, i) {\n    weight w: f32[n]  @net.a\n"
                     "    weight v: f32[n]  @net.b\n    return x + w + v\n  }\n"
                     "  route see(x: f32[B, n]) -> y { return tower(x, 0)  @visual }\n"
                     "  route read(x: f32[B, n]) -> y { return tower(x, 0)  @text }\n}\n");
  cr_assert_eq(run("weights init %s/t.sy --routes read -q -o %s/read.safetensors", dir, dir), 0);
  cr_expect_eq(run("weights pack %s/t.sy --routes see -w %s/read.safetensors -o %s/x.syw", dir, dir, dir), 1);
  cr_expect_eq(run("weights pack %s/t.sy -w %s/read.safetensors -o %s/x.syw", dir, dir, dir), 1);
}

Test(driver_weights, rename_that_does_not_fit) {
  write_text("r.sy", "rename other {\n  \"fc.weight\" = concat(\"a\", \"b\")\n  \"fc.bias\" = \"c\"\n}\n"
                     "rename second { \"fc.{p}\" = transposed(\"d.{p}\") }\n"
                     "model m(n = 4) {\n  dim B = 1..8\n  route r(x: f32[B, n]) -> y: f32[B, n] {\n"
                     "    weight weight: f32[n, n]  @fc.weight\n    weight bias: f32[n]  @fc.bias\n"
                     "    return affine(x, weight, bias)\n  }\n}\n");
  write_one("c.safetensors", "c", 4, 1);
  cr_expect_eq(run("weights pack %s/r.sy -w %s/c.safetensors -o %s/x.syw", dir, dir, dir), 1);
  cr_expect(output_has("with the names of 'other' 1 of 2 weights are missing, the first is fc.weight"));
  cr_expect_eq(run("weights inspect %s/r.sy %s/c.safetensors", dir, dir), 1);
  cr_expect(output_has("2 of the 2 weights"));
  char text[600]; // shapes that do not go together: vectors of 3 and 4, then a matrix that has no two axes
  write_one("a.safetensors", "a", 3, 1);
  write_one("b.safetensors", "b", 4, 1);
  snprintf(text, sizeof text, "-w %s/a.safetensors -w %s/b.safetensors -w %s/c.safetensors", dir, dir, dir);
  cr_expect_eq(run("weights pack %s/r.sy %s -o %s/x.syw", dir, text, dir), 1);
  cr_expect(output_has("other shape  fc.weight f32[4,4], in the checkpoint F32[7]"));
  write_one("a.safetensors", "d.weight", 4, 1);
  write_one("b.safetensors", "d.bias", 4, 1);
  cr_expect_eq(run("weights pack %s/r.sy %s -o %s/x.syw", dir, text, dir), 1);
  cr_expect(output_has("cannot be made by transposed"));
}

// driver_weights_gguf.c: GGUF files as llama.cpp and clip.cpp write them, made here of seeded weights: each gives the
// packed weights of the checkpoint that it was made of. What such a file says of its model must be so.
#include "gguf_support.h"
#include "ir/rename.h"
#include "weights_support.h"

TestSuite(driver_weights_gguf, .init = set_up, .fini = tear_down, .timeout = 600);

typedef struct Row { // theirs is part `part` of `of` of the rows of ours, or its transpose (of = -1)
  const char *ours, *theirs;
  int part, of;
} Row;
#define CLIP_LAYERS(ours, theirs, first, second)                                                                       \
  {ours ".resblocks.{i}.ln_1.{p}", theirs ".blk.{i}.ln1.{p}", 0, 1},                                                   \
      {ours ".resblocks.{i}.attn.in_proj_{p}", theirs ".blk.{i}.attn_q.{p}", 0, 3},                                    \
      {ours ".resblocks.{i}.attn.in_proj_{p}", theirs ".blk.{i}.attn_k.{p}", 1, 3},                                    \
      {ours ".resblocks.{i}.attn.in_proj_{p}", theirs ".blk.{i}.attn_v.{p}", 2, 3},                                    \
      {ours ".resblocks.{i}.attn.out_proj.{p}", theirs ".blk.{i}.attn_out.{p}", 0, 1},                                 \
      {ours ".resblocks.{i}.ln_2.{p}", theirs ".blk.{i}.ln2.{p}", 0, 1},                                               \
      {ours ".resblocks.{i}.mlp.c_fc.{p}", theirs ".blk.{i}." first ".{p}", 0, 1}, {                                   \
    ours ".resblocks.{i}.mlp.c_proj.{p}", theirs ".blk.{i}." second ".{p}", 0, 1                                       \
  }
#define CLIP_VISION(first, second)                                                                                     \
  {"visual.class_embedding", "v.class_embd", 0, 1}, {"visual.positional_embedding", "v.position_embd.weight", 0, 1},   \
      {"visual.conv1.weight", "v.patch_embd.weight", 0, 1}, {"visual.ln_pre.{p}", "v.pre_ln.{p}", 0, 1},               \
      {"visual.ln_post.{p}", "v.post_ln.{p}", 0, 1}, {"visual.proj", "visual_projection.weight", 0, -1},               \
      CLIP_LAYERS("visual.transformer", "v", first, second)
static const Row clip_cpp[] = {CLIP_VISION("ffn_down", "ffn_up"),
                               {"token_embedding.weight", "t.token_embd.weight", 0, 1},
                               {"positional_embedding", "t.position_embd.weight", 0, 1},
                               {"ln_final.{p}", "t.post_ln.{p}", 0, 1},
                               {"text_projection", "text_projection.weight", 0, -1},
                               CLIP_LAYERS("transformer", "t", "ffn_down", "ffn_up")};
static const Row mmproj[] = {CLIP_VISION("ffn_up", "ffn_down")};
static const Row decoder[] = {{"model.embed_tokens.weight", "token_embd.weight", 0, 1},
                              {"model.layers.{i}.input_layernorm.weight", "blk.{i}.attn_norm.weight", 0, 1},
                              {"model.layers.{i}.self_attn.q_proj.{p}", "blk.{i}.attn_q.{p}", 0, 1},
                              {"model.layers.{i}.self_attn.k_proj.{p}", "blk.{i}.attn_k.{p}", 0, 1},
                              {"model.layers.{i}.self_attn.v_proj.{p}", "blk.{i}.attn_v.{p}", 0, 1},
                              {"model.layers.{i}.self_attn.o_proj.weight", "blk.{i}.attn_output.weight", 0, 1},
                              {"model.layers.{i}.post_attention_layernorm.weight", "blk.{i}.ffn_norm.weight", 0, 1},
                              {"model.layers.{i}.mlp.gate_proj.weight", "blk.{i}.ffn_gate.weight", 0, 1},
                              {"model.layers.{i}.mlp.up_proj.weight", "blk.{i}.ffn_up.weight", 0, 1},
                              {"model.layers.{i}.mlp.down_proj.weight", "blk.{i}.ffn_down.weight", 0, 1},
                              {"model.norm.weight", "output_norm.weight", 0, 1},
                              {"lm_head.weight", "output.weight", 0, 1}};

typedef struct Made {
  const Row *row;
  size_t n;
  const char *architecture;
  void (*values)(Bytes *);
  uint64_t nvalues;
  size_t heads, kv_heads; // whose rows are laid in turns, or 0
} Made;

// Row `to` of what the file has is row .. of the model's (llama.cpp's permute).
static size_t turned(size_t to, size_t rows, size_t heads) {
  size_t head = rows / heads, in = to % head;
  return to - in + (in % 2 ? head / 2 + in / 2 : in / 2);
}

static void put_piece(Bytes *data, const Made *made, const Row *row, const char *name, const StTensor *t) {
  const float *x = t->data;
  size_t rows = t->rank ? (size_t)t->shape[0] : 1, cols = (size_t)st_elements(t) / rows;
  size_t heads = strstr(name, ".attn_q.") ? made->heads : strstr(name, ".attn_k.") ? made->kv_heads : 0;
  size_t n = row->of > 1 ? rows / (size_t)row->of : rows, from = n * (size_t)row->part;
  for (size_t i = 0; i < n && row->of > 0; i++)
    put(data, x + (heads ? turned(i, rows, heads) : from + i) * cols, cols * sizeof *x);
  for (size_t k = 0; k < cols && row->of < 0; k++)
    for (size_t i = 0; i < rows; i++) put(data, x + i * cols + k, sizeof *x);
  g_pad(data, 32);
}

static void write_gguf(const Made *made, const char *from, const char *to) {
  StFile *f = open_in_dir(from);
  Arena a = {0};
  Bytes info = {0}, data = {0}, all = {0};
  uint64_t count = 0;
  for (size_t i = 0; i < st_count(f); i++)
    for (size_t k = 0; k < made->n; k++) {
      const StTensor *t = st_at(f, i);
      const Row *row = &made->row[k];
      RenameMatch m = {0};
      if (!rename_match(row->ours, t->name, &m)) continue;
      const char *name = rename_apply(&a, row->theirs, &m);
      uint64_t axis[8];
      for (int d = 0; d < t->rank; d++) axis[d] = (uint64_t)t->shape[row->of < 0 ? d : t->rank - 1 - d];
      if (row->of > 1) axis[t->rank - 1] /= (uint64_t)row->of;
      g_tensor(&info, name, (uint32_t)t->rank, axis, G_FLOAT, data.n);
      put_piece(&data, made, row, name, t);
      count++;
    }
  g_head(&all, count, 1 + made->nvalues);
  g_string(&all, "general.architecture", made->architecture);
  if (made->values) made->values(&all);
  put(&all, info.p, info.n);
  g_pad(&all, 32);
  put(&all, data.p, data.n);
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, to);
  FILE *out = fopen(path, "wb");
  cr_assert(out && fwrite(all.p, 1, all.n, out) == all.n && fclose(out) == 0);
  free(info.p), free(data.p), free(all.p);
  arena_free(&a);
  st_close(f);
}
#define ROWS(x) .row = (x), .n = sizeof(x) / sizeof *(x)

// Seeded weights in a.safetensors, packed in a.syw; the same as GGUF give the same.
static void check_made(const char *spec, const Made *made, const char *set) {
  bool plan;
  cr_assert_eq(run("weights init %s -o %s/a.safetensors", spec, dir), 0);
  cr_assert_eq(run("weights pack %s -w %s/a.safetensors -o %s/a.syw", spec, dir, dir), 0);
  write_gguf(made, "a.safetensors", "a.gguf");
  cr_expect_eq(run("weights pack %s -w %s/a.gguf -o %s/b.syw", spec, dir, dir), 0, "%s", set);
  cr_expect(output_has(set) && !output_has("not used"), "%s", set);
  cr_expect(same_weights("a.syw", "b.syw", &plan) && plan, "%s", set);
  // a name says nothing, and what was converted is found by the same names
  cr_assert_eq(run("weights convert %s/a.gguf -o %s/c.pth", dir, dir), 0);
  cr_expect_eq(run("weights pack %s -w %s/c.pth -o %s/c.syw", spec, dir, dir), 0, "%s", set);
  cr_expect(same_weights("a.syw", "c.syw", &plan) && plan, "%s", set);
}

static void clip_values(Bytes *b) {
  g_number(b, "clip.use_gelu", G_BOOL, 0, 1);
  g_number(b, "clip.vision.attention.head_count", G_U32, 4, 4);
  g_number(b, "clip.text.attention.head_count", G_U32, 2, 4);
  g_float(b, "clip.vision.attention.layer_norm_epsilon", 1e-5f);
}

// The names of the two products of an MLP are exchanged in older files; shapes tell.
Test(driver_weights_gguf, clip) {
  Made made = {ROWS(clip_cpp), "clip", clip_values, 4, 0, 0};
  check_made("clip:tiny --routes image,text", &made, "the names of 'gguf_clip_old'");
  cr_expect_eq(run("weights pack clip:tiny -w %s/a.gguf -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("with the names of 'gguf_clip_old' 1 of") && output_has("the first is logit_scale"));
  cr_expect_eq(run("weights pack clip:tiny --routes image -D heads=2 -w %s/a.gguf -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("made with heads=4 (its value 'clip.vision.attention.head_count'), and the model has heads=2"));
  cr_expect_eq(run("weights pack clip:tiny --routes image -D quick=false -w %s/a.gguf -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("build it with -D quick=true"));
  made = (Made){ROWS(mmproj), "clip", clip_values, 4, 0, 0};
  check_made("clip:tiny --routes image", &made, "the names of 'gguf_clip'");
  // where the shapes do not tell, nobody guesses
  cr_assert_eq(run("weights init clip:tiny --routes image -D ffn=48 -o %s/a.safetensors", dir), 0);
  write_gguf(&made, "a.safetensors", "a.gguf");
  cr_expect_eq(run("weights pack clip:tiny --routes image -D ffn=48 -w %s/a.gguf -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("of 'gguf_clip_old' and of 'gguf_clip'") && output_has("say --names"));
  cr_expect_eq(
      run("weights pack clip:tiny --routes image -D ffn=48 --names gguf_clip -w %s/a.gguf -o %s/x.syw", dir, dir), 0);
  cr_expect(output_has("the names of 'gguf_clip':"));
}

static void llama_values(Bytes *b) {
  g_number(b, "llama.attention.head_count", G_U32, 4, 4);
  g_number(b, "llama.attention.head_count_kv", G_U32, 2, 4);
  g_float(b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
  g_float(b, "llama.rope.freq_base", 10000);
}
static void llama_scaled(Bytes *b) {
  llama_values(b);
  g_string(b, "llama.rope.scaling.type", "linear");
}

Test(driver_weights_gguf, llama_and_qwen2) {
  Made made = {ROWS(decoder), "llama", llama_values, 4, 4, 2};
  check_made("modern_decoder:tiny", &made, "the names of 'gguf_llama'");
  cr_assert_eq(run("weights pack modern_decoder:tiny -D theta=5e5 -w %s/a.gguf -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("made with theta=10000 (its value 'llama.rope.freq_base')"));
  made.values = llama_scaled;
  made.nvalues = 5;
  write_gguf(&made, "a.safetensors", "a.gguf");
  cr_expect_eq(run("weights pack modern_decoder:tiny -w %s/a.gguf -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("scaled rotary angles"));
  made = (Made){ROWS(decoder), "gemma", NULL, 0, 0, 0};
  write_gguf(&made, "a.safetensors", "a.gguf");
  cr_expect_eq(run("weights pack modern_decoder:tiny -w %s/a.gguf -o %s/x.syw", dir, dir), 1);
  cr_expect(output_has("a GGUF file of 'gemma', for which the page has no names"));
  made.architecture = "qwen2";
  check_made("modern_decoder:tiny -D qkv_bias=true", &made, "the names of 'gguf_");
}

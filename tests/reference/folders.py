#!/usr/bin/env python3
"""Small folders in the form in which models are published, one for each type that a table models/*.config names, with what
PyTorch says of them: tests/folders. The files' forms and names follow transformers, open_clip and timm; the architectures
are written here from their descriptions. Weights are seeded. Epsilons are large enough to show.
"""
import json
import math
import pathlib
import sys

import torch
from torch.nn import functional as F

import eva02
import paligemma
import roberta
import siglip
from common import fill, first, tolerance, write_safetensors

FOLDERS = pathlib.Path(__file__).resolve().parent.parent / "folders"
DIM, DEPTH, HEADS, FFN, SIZE, PATCH, B = 32, 2, 4, 48, 32, 8, 2
GRID = SIZE // PATCH
TOKENS = GRID * GRID + 1


class Weights:
    """Seeded tensors by name, made when they are first asked for."""

    def __init__(self, seed):
        self.made, self.kind = {}, torch.float64
        self.g = torch.Generator().manual_seed(seed)

    def __call__(self, name, *shape):
        if name not in self.made:
            noise = torch.randn(shape, generator=self.g)
            if "norm" in name.lower() or ".ln_" in name or "classifier.1" in name:
                noise = (1 if name.endswith("weight") else 0) + 0.3 * noise
            elif len(shape) <= 1:
                noise = 0.3 * noise
            elif "embed" in name and "patch" not in name:
                noise = 0.5 * noise
            else:
                noise = 1.2 * noise / math.sqrt(noise[0].numel())
            self.made[name] = noise
        return self.made[name].to(self.kind)

    def linear(self, x, name, out, bias=True):
        return F.linear(x, self(name + ".weight", out, x.shape[-1]), self(name + ".bias", out) if bias else None)

    def norm(self, x, name, eps):
        d = x.shape[-1]
        return F.layer_norm(x, (d,), self(name + ".weight", d), self(name + ".bias", d), eps)

    def patches(self, image, name, dim, bias=True):
        x = F.conv2d(image, self(name + ".weight", dim, 3, PATCH, PATCH), self(name + ".bias", dim) if bias else None, stride=PATCH)
        return x.flatten(2).transpose(1, 2)


def attend(q, k, v, heads, mask=None):
    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    scores = split(q) @ split(k).transpose(-1, -2) / math.sqrt(q.shape[-1] // heads)
    if mask is not None:
        scores = scores + mask if mask.is_floating_point() else scores.masked_fill(~mask, float("-inf"))
    return (scores.softmax(-1) @ split(v)).transpose(1, 2).flatten(2)


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def apart(w, x, memory, at, heads, names, mask=None, key_bias=True):
    d = x.shape[-1]
    q, k, v = names
    return attend(w.linear(x, at + q, d), w.linear(memory, at + k, d, key_bias), w.linear(memory, at + v, d), heads, mask)


QKV = ("query", "key", "value")


def vit_layer(w, x, at, eps, mask=None):
    """A layer of transformers' ViT and ViLT."""
    h = w.norm(x, at + "layernorm_before", eps)
    x = x + w.linear(apart(w, h, h, at + "attention.attention.", HEADS, QKV, mask), at + "attention.output.dense", DIM)
    h = F.gelu(w.linear(w.norm(x, at + "layernorm_after", eps), at + "intermediate.dense", FFN))
    return x + w.linear(h, at + "output.dense", DIM)


def vit(w, image):
    x = w.patches(image, "vit.embeddings.patch_embeddings.projection", DIM)
    x = torch.cat([w("vit.embeddings.cls_token", 1, 1, DIM).expand(B, -1, -1), x], 1) + w("vit.embeddings.position_embeddings", 1, TOKENS, DIM)
    for i in range(DEPTH):
        x = vit_layer(w, x, "vit.encoder.layer.%d." % i, 1e-3)
    return {"logits": w.linear(w.norm(x, "vit.layernorm", 1e-3)[:, 0], "classifier", 5)}


def timm(w, image):
    x = w.patches(image, "patch_embed.proj", DIM)
    x = torch.cat([w("cls_token", 1, 1, DIM).expand(B, -1, -1), x], 1) + w("pos_embed", 1, TOKENS, DIM)
    for i in range(DEPTH):
        at = "blocks.%d." % i
        q, k, v = w.linear(w.norm(x, at + "norm1", 1e-6), at + "attn.qkv", 3 * DIM).chunk(3, -1)
        x = x + w.linear(attend(q, k, v, HEADS), at + "attn.proj", DIM)
        x = x + w.linear(F.gelu(w.linear(w.norm(x, at + "norm2", 1e-6), at + "mlp.fc1", 4 * DIM)), at + "mlp.fc2", DIM)
    return {"logits": w.linear(w.norm(x, "norm", 1e-6)[:, 0], "head", 6)}


TEXT, WORDS = 24, 64


def clip(act, eps):
    """transformers' CLIPModel."""
    def layers(w, x, at, heads, ffn, mask=None):
        d = x.shape[-1]
        for i in range(DEPTH):
            l = at + "encoder.layers.%d." % i
            h = w.norm(x, l + "layer_norm1", eps)
            x = x + w.linear(apart(w, h, h, l + "self_attn.", heads, ("q_proj", "k_proj", "v_proj"), mask), l + "self_attn.out_proj", d)
            x = x + w.linear(act(w.linear(w.norm(x, l + "layer_norm2", eps), l + "mlp.fc1", ffn)), l + "mlp.fc2", d)
        return x

    def image_of(w, image):
        x = w.patches(image, "vision_model.embeddings.patch_embedding", DIM, bias=False)
        first_token = w("vision_model.embeddings.class_embedding", DIM).expand(B, 1, -1)
        x = torch.cat([first_token, x], 1) + w("vision_model.embeddings.position_embedding.weight", TOKENS, DIM)
        x = layers(w, w.norm(x, "vision_model.pre_layrnorm", eps), "vision_model.", HEADS, FFN)
        return w.linear(w.norm(x[:, 0], "vision_model.post_layernorm", eps), "visual_projection", 16, bias=False)

    def text_of(w, text):
        n = text.shape[1]
        x = w("text_model.embeddings.token_embedding.weight", WORDS, TEXT)[text.long()]
        x = x + w("text_model.embeddings.position_embedding.weight", 12, TEXT)[:n]
        x = layers(w, x, "text_model.", 3, 40, torch.ones(n, n).tril().bool())
        x = w.norm(x, "text_model.final_layer_norm", eps)
        return w.linear(x[torch.arange(B), text.argmax(-1).long()], "text_projection", 16, bias=False)

    def run(w, image, text):
        v, t = image_of(w, image), text_of(w, text)
        v, t = v / v.norm(dim=-1, keepdim=True), t / t.norm(dim=-1, keepdim=True)
        return {"logits_per_image": w("logit_scale").exp() * v @ t.T}
    return run


def open_clip(act):
    def layers(w, x, at, heads, ffn, mask=None):
        d = x.shape[-1]
        for i in range(DEPTH):
            l = at + "transformer.resblocks.%d." % i
            h = w.norm(x, l + "ln_1", 1e-5)
            q, k, v = F.linear(h, w(l + "attn.in_proj_weight", 3 * d, d), w(l + "attn.in_proj_bias", 3 * d)).chunk(3, -1)
            x = x + w.linear(attend(q, k, v, heads, mask), l + "attn.out_proj", d)
            x = x + w.linear(act(w.linear(w.norm(x, l + "ln_2", 1e-5), l + "mlp.c_fc", ffn)), l + "mlp.c_proj", d)
        return x

    def run(w, image, text):
        x = w.patches(image, "visual.conv1", DIM, bias=False)
        x = torch.cat([w("visual.class_embedding", DIM).expand(B, 1, -1), x], 1) + w("visual.positional_embedding", TOKENS, DIM)
        x = layers(w, w.norm(x, "visual.ln_pre", 1e-5), "visual.", DIM // 8, 2 * DIM)
        v = w.norm(x[:, 0], "visual.ln_post", 1e-5) @ w("visual.proj", DIM, 16)
        n = text.shape[1]
        x = w("token_embedding.weight", WORDS, TEXT)[text.long()] + w("positional_embedding", 12, TEXT)[:n]
        x = w.norm(layers(w, x, "", 3, 4 * TEXT, torch.ones(n, n).tril().bool()), "ln_final", 1e-5)
        t = x[torch.arange(B), text.argmax(-1).long()] @ w("text_projection", TEXT, 16)
        v, t = v / v.norm(dim=-1, keepdim=True), t / t.norm(dim=-1, keepdim=True)
        return {"logits_per_image": w("logit_scale").exp() * v @ t.T}
    return run


def bert_part(w, x, memory, at, eps, mask=None):
    y = w.linear(apart(w, x, memory, at + "self.", HEADS, QKV, mask), at + "output.dense", DIM)
    return w.norm(x + y, at + "output.LayerNorm", eps)


def bert_mlp(w, x, at, eps):
    return w.norm(x + w.linear(F.gelu(w.linear(x, at + "intermediate.dense", FFN)), at + "output.dense", DIM), at + "output.LayerNorm", eps)


def bert(w, text, text_mask, text_type):
    """transformers' BertModel: its names have no `bert.` in front."""
    n = text.shape[1]
    x = w("embeddings.word_embeddings.weight", WORDS, DIM)[text.long()] + w("embeddings.position_embeddings.weight", 20, DIM)[:n]
    x = w.norm(x + w("embeddings.token_type_embeddings.weight", 2, DIM)[text_type.long()], "embeddings.LayerNorm", 1e-2)
    for i in range(DEPTH):
        at = "encoder.layer.%d." % i
        x = bert_part(w, x, x, at + "attention.", 1e-2, text_mask[:, None, None, :])
        x = bert_mlp(w, x, at, 1e-2)
    return {"hidden": x, "pooled": torch.tanh(w.linear(x[:, 0], "pooler.dense", DIM))}


def vilt(w, text, text_mask, image, patch_index):
    """transformers' ViltForQuestionAnswering; the picture fills the size of the table, so that its positions are the table's. It
    lies on the canvas of the largest picture."""
    image = image[:, :, :SIZE, :SIZE]
    e, n = "vilt.embeddings.", text.shape[1]
    x = w(e + "text_embeddings.word_embeddings.weight", WORDS, DIM)[text.long()]
    x = x + w(e + "text_embeddings.position_embeddings.weight", 10, DIM)[:n] + w(e + "text_embeddings.token_type_embeddings.weight", 2, DIM)[0]
    kind = w(e + "token_type_embeddings.weight", 2, DIM)
    x = w.norm(x, e + "text_embeddings.LayerNorm", 1e-3) + kind[0]
    v = torch.cat([w(e + "cls_token", 1, 1, DIM).expand(B, -1, -1), w.patches(image, e + "patch_embeddings.projection", DIM)], 1)
    x = torch.cat([x, v + w(e + "position_embeddings", 1, TOKENS, DIM) + kind[1]], 1)
    mask = torch.cat([text_mask, torch.ones(B, TOKENS).bool()], 1)[:, None, None, :]
    for i in range(DEPTH):
        x = vit_layer(w, x, "vilt.encoder.layer.%d." % i, 1e-3, mask)
    x = torch.tanh(w.linear(w.norm(x, "vilt.layernorm", 1e-3)[:, 0], "vilt.pooler.dense", DIM))
    h = F.gelu(w.norm(w.linear(x, "classifier.0", 2 * DIM), "classifier.1", 1e-5))
    return {"logits": w.linear(h, "classifier.3", 7)}


def beit(w, image):
    """transformers' BeitForImageClassification: a table of relative positions a layer, keys without a bias."""
    x = w.patches(image, "beit.embeddings.patch_embeddings.projection", DIM)
    x = torch.cat([w("beit.embeddings.cls_token", 1, 1, DIM).expand(B, -1, -1), x], 1)
    rows = (2 * GRID - 1) ** 2
    y, z = torch.arange(GRID * GRID) // GRID, torch.arange(GRID * GRID) % GRID
    index = torch.zeros(TOKENS, TOKENS).long()
    index[1:, 1:] = (y[:, None] - y + GRID - 1) * (2 * GRID - 1) + z[:, None] - z + GRID - 1
    index[0, :], index[:, 0], index[0, 0] = rows, rows + 1, rows + 2
    for i in range(DEPTH):
        at = "beit.encoder.layer.%d." % i
        bias = w(at + "attention.attention.relative_position_bias.relative_position_bias_table", rows + 3, HEADS)[index].permute(2, 0, 1)
        h = w.norm(x, at + "layernorm_before", 1e-3)
        h = w.linear(apart(w, h, h, at + "attention.attention.", HEADS, QKV, bias, key_bias=False), at + "attention.output.dense", DIM)
        x = x + w(at + "lambda_1", DIM) * h
        h = w.linear(F.gelu(w.linear(w.norm(x, at + "layernorm_after", 1e-3), at + "intermediate.dense", FFN)), at + "output.dense", DIM)
        x = x + w(at + "lambda_2", DIM) * h
    return {"logits": w.linear(w.norm(x[:, 1:].mean(1), "beit.pooler.layernorm", 1e-3), "classifier", 5)}


def blip(w, image, text, text_mask):
    """transformers' BlipForConditionalGeneration, teacher forced."""
    e = "vision_model.embeddings."
    x = torch.cat([w(e + "class_embedding", 1, 1, DIM).expand(B, -1, -1), w.patches(image, e + "patch_embedding", DIM)], 1)
    x = x + w(e + "position_embedding", 1, TOKENS, DIM)
    for i in range(DEPTH):
        at = "vision_model.encoder.layers.%d." % i
        q, k, v = w.linear(w.norm(x, at + "layer_norm1", 1e-3), at + "self_attn.qkv", 3 * DIM).chunk(3, -1)
        x = x + w.linear(attend(q, k, v, HEADS), at + "self_attn.projection", DIM)
        x = x + w.linear(F.gelu(w.linear(w.norm(x, at + "layer_norm2", 1e-3), at + "mlp.fc1", FFN)), at + "mlp.fc2", DIM)
    image = w.norm(x, "vision_model.post_layernorm", 1e-3)
    t, n = "text_decoder.bert.", text.shape[1]
    table = w(t + "embeddings.word_embeddings.weight", WORDS, DIM)
    x = w.norm(table[text.long()] + w(t + "embeddings.position_embeddings.weight", 20, DIM)[:n], t + "embeddings.LayerNorm", 1e-2)
    mask = torch.ones(n, n).tril().bool() & text_mask[:, None, None, :]
    for i in range(DEPTH):
        at = t + "encoder.layer.%d." % i
        x = bert_part(w, x, x, at + "attention.", 1e-2, mask)
        x = bert_part(w, x, image, at + "crossattention.", 1e-2)
        x = bert_mlp(w, x, at, 1e-2)
    c = "text_decoder.cls.predictions."
    h = w.norm(F.gelu(w.linear(x, c + "transform.dense", DIM)), c + "transform.LayerNorm", 1e-2)
    return {"logits": F.linear(h, table, w(c + "bias", WORDS))}


def dinov2(w, image):
    """transformers' Dinov2WithRegistersForImageClassification, on pictures smaller than those of its table of positions."""
    p, grid = "dinov2_with_registers.embeddings.", 5
    table = w(p + "position_embeddings", 1, 1 + grid * grid, DIM)
    small = F.interpolate(table[:, 1:].unflatten(1, (grid, grid)).permute(0, 3, 1, 2), size=(GRID, GRID), mode="bicubic", antialias=True)
    x = w.patches(image, p + "patch_embeddings.projection", DIM) + small.flatten(2).transpose(1, 2)
    front = torch.cat([w(p + "cls_token", 1, 1, DIM) + table[:, :1], w(p + "register_tokens", 1, 2, DIM)], 1)
    x = torch.cat([front.expand(B, -1, -1), x], 1)
    for i in range(DEPTH):
        at = "dinov2_with_registers.encoder.layer.%d." % i
        h = w.norm(x, at + "norm1", 1e-3)
        h = w.linear(apart(w, h, h, at + "attention.attention.", HEADS, QKV), at + "attention.output.dense", DIM)
        x = x + w(at + "layer_scale1.lambda1", DIM) * h
        gate, value = w.linear(w.norm(x, at + "norm2", 1e-3), at + "mlp.weights_in", 2 * FFN).chunk(2, -1)
        x = x + w(at + "layer_scale2.lambda1", DIM) * w.linear(F.silu(gate) * value, at + "mlp.weights_out", DIM)
    x = w.norm(x, "dinov2_with_registers.layernorm", 1e-3)
    return {"logits": w.linear(torch.cat([x[:, 0], x[:, 3:].mean(1)], -1), "classifier", 5)}


def deit(w, image):
    """transformers' DeiTForImageClassificationWithTeacher."""
    e = "deit.embeddings."
    front = [w(e + n, 1, 1, DIM).expand(B, -1, -1) for n in ("cls_token", "distillation_token")]
    x = torch.cat(front + [w.patches(image, e + "patch_embeddings.projection", DIM)], 1) + w(e + "position_embeddings", 1, TOKENS + 1, DIM)
    for i in range(DEPTH):
        x = vit_layer(w, x, "deit.encoder.layer.%d." % i, 1e-3)
    x = w.norm(x, "deit.layernorm", 1e-3)
    return {"logits": (w.linear(x[:, 0], "cls_classifier", 5) + w.linear(x[:, 1], "distillation_classifier", 5)) / 2}


def of_module(module, run):
    """The numbers of a model that stands in a reference program of its own, with weights that are seeded here."""
    def function(w, **inputs):
        for name, p in module.named_parameters():
            p.data = w(name, *p.shape)
        with torch.no_grad():
            return run(module, inputs)
    return function


HF = {"transformers_version": "4.28.1", "torch_dtype": "float32", "initializer_range": 0.02}
TRUNK = {"hidden_size": DIM, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS, "intermediate_size": FFN, "hidden_act": "gelu",
         "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
IMAGE = {"image_size": SIZE, "patch_size": PATCH, "num_channels": 3}
LABELS = {"id2label": {str(i): n for i, n in enumerate("abcde")}, "label2id": {n: i for i, n in enumerate("abcde")}}
SIZES = {"height": SIZE, "width": SIZE}
VISION = {**TRUNK, **IMAGE}
EVA = {"size": SIZE, "patch": PATCH, "dim": DIM, "depth": DEPTH, "heads": 2, "fused": True, "classes": 6}
CLIP_PIXELS = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
TEXTS = {"hidden_size": TEXT, "num_hidden_layers": DEPTH, "num_attention_heads": 3, "intermediate_size": 40, "vocab_size": WORDS,
         "max_position_embeddings": 12, "eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1}


def paligemma_words(w, image, text, given):
    """Tensors under the names that transformers gives them since 4.52."""
    sizes = {"image_" + k: v for k, v in (("dim", DIM), ("depth", DEPTH), ("heads", HEADS), ("ffn", FFN), ("eps", 1e-3))}
    model = fill(paligemma.PaliGemma(dict(sizes, size=SIZE, patch=PATCH, vocab=WORDS, dim=24, depth=2, heads=3, head_dim=8, ffn=FFN,
                                          eps=1e-2)), 74)
    for name, tensor in model.named_parameters():
        w.made["model." + name.replace("language_model.model.", "language_model.")] = tensor.detach()
    with torch.no_grad():
        return paligemma.words(model.to(w.kind), {"image": image, "text": text, "given": given})


def pictures(g, shape=(SIZE, SIZE)):
    return torch.randn((B, 3) + shape, generator=g)


def sentences(g, n, low=3):
    return torch.randint(low, WORDS, (B, n), generator=g).to(torch.int32)


def clip_inputs(g):
    return {"image": pictures(g), "text": sentences(g, 9)}


def index():
    grid = torch.stack(torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij"), -1).reshape(-1, 2)
    return grid.expand(B, -1, -1).to(torch.int32)


CLIP_MEAN = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
# name: (page, route, function, inputs, files, form of the weights)
SETS = {
    "vit": ("vit", "classify", vit, lambda g: {"image": pictures(g)}, {
        "config.json": {**HF, **VISION, **LABELS, "_name_or_path": "google/vit", "architectures": ["ViTForImageClassification"],
                        "model_type": "vit", "layer_norm_eps": 1e-3, "qkv_bias": True, "encoder_stride": 16},
        "preprocessor_config.json": {"do_normalize": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
                                     "image_processor_type": "ViTImageProcessor", "resample": 2, "size": SIZES}}, "model.safetensors"),
    "timm": ("vit_timm", "classify", timm, lambda g: {"image": pictures(g)}, {
        "config.json": {"architecture": "deit_tiny_patch16_224", "num_classes": 6, "num_features": DIM, "global_pool": "token",
                        "pretrained_cfg": {"tag": "fb_in1k", "custom_load": False, "input_size": [3, SIZE, SIZE], "fixed_input_size": True,
                                           "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center", "mean": [0.485, 0.456, 0.406],
                                           "std": [0.229, 0.224, 0.225], "num_classes": 6, "pool_size": None,
                                           "first_conv": "patch_embed.proj", "classifier": "head"},
                        "model_args": {"img_size": SIZE, "patch_size": PATCH, "embed_dim": DIM, "depth": DEPTH, "num_heads": HEADS}}},
        "model.safetensors"),
    "clip": ("clip", "retrieve", clip(quick_gelu, 1e-5), clip_inputs, {
        "config.json": {**HF, "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 16, "logit_scale_init_value": 2.6592,
                        "text_config": TEXTS, "vision_config": {k: v for k, v in VISION.items() if "dropout" not in k and k != "hidden_act"},
                        "text_config_dict": None, "vision_config_dict": None},
        "preprocessor_config.json": {**CLIP_MEAN, "crop_size": SIZE, "do_center_crop": True, "do_normalize": True, "do_resize": True,
                                     "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": SIZE}}, "pytorch_model.bin"),
    "clip_gelu": ("clip", "retrieve", clip(F.gelu, 1e-3), clip_inputs, {
        "config.json": {**HF, "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 16,
                        "text_config": {**TEXTS, "hidden_act": "gelu", "layer_norm_eps": 1e-3, "model_type": "clip_text_model"},
                        "vision_config": {"model_type": "clip_vision_model"},
                        "vision_config_dict": {**VISION, "layer_norm_eps": 1e-3}},
        "preprocessor_config.json": {**CLIP_MEAN, "crop_size": SIZES, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
                                     "do_rescale": True, "do_resize": True, "image_processor_type": "CLIPImageProcessor", "resample": 3,
                                     "rescale_factor": 1 / 255, "size": {"shortest_edge": SIZE}}}, "model.safetensors"),
    "open_clip": ("clip", "retrieve", open_clip(F.gelu), clip_inputs, {
        "open_clip_config.json": {
            "model_cfg": {"embed_dim": 16, "vision_cfg": {"image_size": SIZE, "layers": DEPTH, "width": DIM, "patch_size": PATCH,
                                                          "head_width": 8, "mlp_ratio": 2.0},
                          "text_cfg": {"context_length": 12, "vocab_size": WORDS, "width": TEXT, "heads": 3, "layers": DEPTH}},
            "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}}, "open_clip_pytorch_model.bin"),
    "open_clip_quick": ("clip", "retrieve", open_clip(quick_gelu), clip_inputs, {
        "open_clip_config.json": {
            "model_cfg": {"embed_dim": 16, "quick_gelu": True,
                          "vision_cfg": {"image_size": SIZE, "layers": DEPTH, "width": DIM, "patch_size": PATCH, "head_width": 8,
                                         "mlp_ratio": 2.0},
                          "text_cfg": {"context_length": 12, "vocab_size": WORDS, "width": TEXT, "heads": 3, "layers": DEPTH}},
            "preprocess_cfg": {"mean": CLIP_MEAN["image_mean"], "std": CLIP_MEAN["image_std"], "interpolation": "bilinear",
                               "resize_mode": "squash"}}}, "open_clip_model.safetensors"),
    "bert": ("bert", "text", bert, lambda g: {"text": sentences(g, 7), "text_mask": first([7, 4], 7),
                                              "text_type": torch.randint(0, 2, (B, 7), generator=g).to(torch.int32)}, {
        "config.json": {**HF, **TRUNK, "architectures": ["BertModel"], "model_type": "bert", "layer_norm_eps": 1e-2, "vocab_size": WORDS,
                        "max_position_embeddings": 20, "type_vocab_size": 2, "pad_token_id": 0, "position_embedding_type": "absolute",
                        "gradient_checkpointing": False, "use_cache": True},
        "tokenizer_config.json": {"do_lower_case": False, "model_max_length": 20, "tokenizer_class": "BertTokenizer"}},
        "model.safetensors.index.json"),
    "vilt": ("vilt", "vqa", vilt, lambda g: {"text": sentences(g, 6), "text_mask": first([6, 3], 6), "image": F.pad(pictures(g), (0, 16, 0, 16)),
                                             "patch_index": index()}, {
        "config.json": {**HF, **VISION, "architectures": ["ViltForQuestionAnswering"], "model_type": "vilt", "layer_norm_eps": 1e-3,
                        "id2label": {str(i): "answer %d" % i for i in range(7)}, "label2id": {"answer %d" % i: i for i in range(7)},
                        "max_image_length": -1, "max_position_embeddings": 10, "modality_type_vocab_size": 2, "num_images": -1,
                        "qkv_bias": True, "tie_word_embeddings": False, "type_vocab_size": 2, "vocab_size": WORDS},
        "preprocessor_config.json": {"do_normalize": True, "do_resize": True, "feature_extractor_type": "ViltFeatureExtractor",
                                     "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3, "size": SIZE,
                                     "size_divisor": PATCH},
        "tokenizer_config.json": {"do_lower_case": True, "strip_accents": None, "tokenizer_class": "BertTokenizer"}}, "model.safetensors"),
    "beit": ("beit", "classify", beit, lambda g: {"image": pictures(g)}, {
        "config.json": {**HF, **VISION, **LABELS, "architectures": ["BeitForImageClassification"], "model_type": "beit",
                        "layer_norm_eps": 1e-3, "drop_path_rate": 0.1, "layer_scale_init_value": 0.1, "use_absolute_position_embeddings": False,
                        "use_mask_token": False, "use_mean_pooling": True, "use_relative_position_bias": True,
                        "use_shared_relative_position_bias": False, "vocab_size": 8192, "out_indices": [3, 5, 7, 11],
                        "pool_scales": [1, 2, 3, 6], "use_auxiliary_head": True, "auxiliary_channels": 256, "auxiliary_concat_input": False,
                        "auxiliary_loss_weight": 0.4, "auxiliary_num_convs": 1, "semantic_loss_ignore_index": 255},
        "preprocessor_config.json": {"crop_size": SIZE, "do_center_crop": False, "do_normalize": True, "do_resize": True,
                                     "feature_extractor_type": "BeitFeatureExtractor", "image_mean": [0.5, 0.5, 0.5],
                                     "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": SIZE}}, "pytorch_model.bin"),
    "blip": ("blip", "caption_words", blip, lambda g: {"image": pictures(g), "text": sentences(g, 6), "text_mask": first([6, 4], 6)}, {
        "config.json": {**HF, "architectures": ["BlipForConditionalGeneration"], "model_type": "blip", "projection_dim": 512,
                        "image_text_hidden_size": 256, "logit_scale_init_value": 2.6592, "initializer_factor": 1.0,
                        "text_config": {**TRUNK, "model_type": "blip_text_model", "vocab_size": WORDS, "encoder_hidden_size": DIM,
                                        "max_position_embeddings": 20, "layer_norm_eps": 1e-2, "bos_token_id": WORDS - 2, "eos_token_id": 2,
                                        "pad_token_id": 0, "sep_token_id": 9, "is_decoder": True, "projection_dim": 768},
                        "vision_config": {**{k: v for k, v in VISION.items() if k != "hidden_dropout_prob"}, "layer_norm_eps": 1e-3,
                                          "model_type": "blip_vision_model"}},
        "preprocessor_config.json": {**CLIP_MEAN, "do_normalize": True, "do_rescale": True, "do_resize": True,
                                     "image_processor_type": "BlipImageProcessor", "resample": 3, "rescale_factor": 1 / 255,
                                     "size": SIZES}}, "model.safetensors"),
    "siglip": ("siglip", "retrieve", of_module(siglip.Siglip({
        "size": SIZE, "patch": PATCH, "dim": DIM, "depth": DEPTH, "heads": HEADS, "ffn": FFN, "text_dim": TEXT, "text_heads": 3,
        "text_ffn": 40, "vocab": WORDS, "max_text": 12, "eps": 1e-3}), siglip.retrieve),
        lambda g: {"image": pictures(g), "text": sentences(g, 12)}, {
        "config.json": {"architectures": ["SiglipModel"], "initializer_factor": 1.0, "model_type": "siglip", "torch_dtype": "float32",
                        "transformers_version": "4.37.0.dev0",
                        "text_config": {**{k: v for k, v in TEXTS.items() if not k.endswith("_id")}, "layer_norm_eps": 1e-3,
                                        "hidden_act": "gelu_pytorch_tanh", "projection_size": DIM, "model_type": "siglip_text_model"},
                        "vision_config": {**VISION, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-3,
                                          "model_type": "siglip_vision_model"}},
        "preprocessor_config.json": {"do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5],
                                     "image_processor_type": "SiglipImageProcessor", "image_std": [0.5, 0.5, 0.5],
                                     "processor_class": "SiglipProcessor", "resample": 2, "rescale_factor": 0.00392156862745098,
                                     "size": SIZES}}, "model.safetensors"),
    "dinov2": ("dinov2", "classify", dinov2, lambda g: {"image": pictures(g)}, {
        "config.json": {**{k: v for k, v in HF.items()}, **{k: v for k, v in VISION.items() if k != "intermediate_size"}, **LABELS,
                        "architectures": ["Dinov2WithRegistersForImageClassification"], "model_type": "dinov2_with_registers",
                        "image_size": 5 * PATCH, "mlp_ratio": 2.25, "layer_norm_eps": 1e-3, "num_register_tokens": 2, "qkv_bias": True,
                        "use_swiglu_ffn": True, "drop_path_rate": 0.0, "layerscale_value": 1.0, "apply_layernorm": True,
                        "reshape_hidden_states": True, "out_features": ["stage2"], "out_indices": [2], "stage_names": ["stem", "stage1"]},
        "preprocessor_config.json": {"crop_size": SIZES, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
                                     "do_rescale": True, "do_resize": True, "image_mean": [0.485, 0.456, 0.406],
                                     "image_processor_type": "BitImageProcessor", "image_std": [0.229, 0.224, 0.225], "resample": 3,
                                     "rescale_factor": 1 / 255, "size": {"shortest_edge": 36}}}, "model.safetensors"),
    "roberta": ("roberta", "classify", of_module(roberta.Roberta({
        "dim": DIM, "depth": DEPTH, "heads": HEADS, "ffn": FFN, "vocab": WORDS, "positions": 12, "classes": 5, "eps": 1e-3}), roberta.classify),
        lambda g: roberta.texts({"vocab": WORDS}, [9, 4], 9, 7), {
        "config.json": {**HF, **TRUNK, **LABELS, "architectures": ["RobertaForSequenceClassification"], "bos_token_id": 0, "eos_token_id": 2,
                        "pad_token_id": 1, "layer_norm_eps": 1e-3, "max_position_embeddings": 12, "model_type": "roberta",
                        "type_vocab_size": 1, "vocab_size": WORDS, "position_embedding_type": "absolute", "use_cache": True}},
        "model.safetensors"),
    "deit": ("vit_timm", "classify", deit, lambda g: {"image": pictures(g)}, {
        "config.json": {**HF, **VISION, **LABELS, "architectures": ["DeiTForImageClassificationWithTeacher"], "model_type": "deit",
                        "layer_norm_eps": 1e-3, "qkv_bias": True, "encoder_stride": 16},
        "preprocessor_config.json": {"crop_size": SIZE, "do_center_crop": True, "do_normalize": True, "do_resize": True,
                                     "feature_extractor_type": "DeiTFeatureExtractor", "image_mean": [0.485, 0.456, 0.406],
                                     "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 36}}, "pytorch_model.bin"),
    "paligemma": ("paligemma", "words", paligemma_words,
                  lambda g: {"image": pictures(g), "text": sentences(g, 6), "given": first([4, 2], 6)}, {
        "config.json": {**HF, "architectures": ["PaliGemmaForConditionalGeneration"], "model_type": "paligemma", "bos_token_id": 2,
                        "eos_token_id": 1, "pad_token_id": 0, "hidden_size": 24, "projection_dim": 24, "ignore_index": -100,
                        "image_token_index": WORDS - 1, "vocab_size": WORDS - 1, "text_config": {
                            "model_type": "gemma", "hidden_size": 24, "intermediate_size": FFN, "num_attention_heads": 3, "head_dim": 8,
                            "num_hidden_layers": 2, "num_image_tokens": 16, "num_key_value_heads": 1, "rms_norm_eps": 1e-2,
                            "torch_dtype": "float32", "vocab_size": WORDS},
                        "vision_config": {
                            "model_type": "siglip_vision_model", "hidden_size": DIM, "image_size": SIZE, "intermediate_size": FFN,
                            "layer_norm_eps": 1e-3, "num_attention_heads": HEADS, "num_hidden_layers": DEPTH, "num_image_tokens": 16,
                            "patch_size": PATCH, "projection_dim": 24, "projector_hidden_act": "gelu_fast", "vision_use_head": False}},
        "preprocessor_config.json": {"do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
                                     "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "SiglipImageProcessor",
                                     "image_seq_length": 16, "image_std": [0.5, 0.5, 0.5], "processor_class": "PaliGemmaProcessor",
                                     "resample": 3, "rescale_factor": 1 / 255, "size": SIZES}}, "model.safetensors"),
    "eva02": ("eva02", "classify", of_module(eva02.Eva(EVA), eva02.classify), lambda g: {"image": pictures(g)}, {
        "config.json": {"architecture": "eva02_small_patch14_336", "num_classes": 6, "num_features": DIM, "global_pool": "avg",
                        "pretrained_cfg": {"tag": "mim_in22k_ft_in1k", "custom_load": False, "input_size": [3, SIZE, SIZE],
                                           "fixed_input_size": True, "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "squash",
                                           **CLIP_PIXELS, "num_classes": 6, "pool_size": None, "first_conv": "patch_embed.proj",
                                           "classifier": "head"},
                        "model_args": {"img_size": SIZE, "patch_size": PATCH, "embed_dim": DIM, "depth": DEPTH, "num_heads": 2}}},
        "model.safetensors"),
}


def write_weights(folder, form, tensors):
    if form.endswith(".bin"):
        torch.save(tensors, folder / form)
    elif form.endswith(".safetensors"):
        write_safetensors(folder / form, tensors)
    else:
        names = sorted(tensors)
        parts = [names[:len(names) // 2], names[len(names) // 2:]]
        where = {}
        for i, part in enumerate(parts):
            file = "model-%05d-of-%05d.safetensors" % (i + 1, len(parts))
            write_safetensors(folder / file, {n: tensors[n] for n in part})
            where.update({n: file for n in part})
        (folder / form).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": where}, indent=1) + "\n")


def main():
    """All of them, or those that the command line names."""
    for seed, (name, (page, route, function, make, files, form)) in enumerate(SETS.items()):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        g = torch.Generator().manual_seed(1000 + seed)
        w, inputs = Weights(seed), make(g)
        exact = function(w, **{k: v.double() if v.is_floating_point() else v for k, v in inputs.items()})
        w.kind = torch.float32
        rough = function(w, **inputs)
        error = max(((exact[k] - rough[k]).abs().max() / exact[k].abs().max()).item() for k in exact)
        folder = FOLDERS / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, fields in files.items():
            (folder / file).write_text(json.dumps(fields, indent=1) + "\n")
        write_weights(folder, form, w.made)
        write_safetensors(folder / "io.safetensors", {**{"in." + k: v for k, v in inputs.items()}, **{"out." + k: v for k, v in exact.items()}})
        case = {"name": route, "kind": "forward", "model": page + ".sy", "entry": "published", "weights": [form], "tensors": ["io.safetensors"], "route": route,
                "inputs": {k: "in." + k for k in inputs}, "outputs": {k: "out." + k for k in exact}, "atol": 1e-7, "rtol": tolerance(error)}
        (folder / "cases.json").write_text(json.dumps({"format": 1, "set": name, "source": "tests/reference/folders.py", "cases": [case]}, indent=1) + "\n")
        print(name, "%.1e" % error)


if __name__ == "__main__":
    main()

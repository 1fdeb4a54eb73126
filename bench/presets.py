"""The measured rows: which model, which sizes, which inputs, how many operations.

`presets.py` prints one line a row for the shell, fields separated by blanks:
row, model specification, route, weights key, batch, inputs of the peers, outputs compared, parameters of the page (or -),
words written (0: none), id of their end.
Inputs are NAME:TYPE:SHAPE, separated by commas; types are f32, i64 and bool.
"""
from collections import namedtuple

# Systems. `answers`: classes of the head.
ViT = namedtuple("ViT", "size patch dim depth heads ffn classes")
ClipImage = namedtuple("ClipImage", "size patch dim depth heads ffn embed")
Text = namedtuple("Text", "vocab length dim depth heads ffn embed")
Vilt = namedtuple("Vilt", "size patch dim depth heads ffn vocab length answers")
Albef = namedtuple("Albef", "size patch dim depth heads ffn vocab length positions fusion_layer")
Vlmo = namedtuple("Vlmo", "size patch dim depth heads ffn vocab length vl init_text")
Beit3 = namedtuple("Beit3", "size patch dim depth heads ffn vocab length positions answers")
Blip = namedtuple("Blip", "size patch dim depth heads ffn vocab length positions end")  # length: of the prompt

# defines: parameters of the page. words: how many a row writes; its times are then those of a word.
Row = namedtuple("Row", "title spec route batch weights outputs defines words", defaults=[(), 0])

# kind: f32 (normal), i64 (ids below limit, which our side takes as int32), bool (all true: every token is real),
# grid (row and column of every patch in order; our route takes patches in any order, the peers in this one).
Input = namedtuple("Input", "name kind shape limit")

MODELS = {
    "vit-tiny": ViT(32, 8, 32, 2, 4, 128, 10),
    "vit-s16": ViT(224, 16, 384, 12, 6, 1536, 1000),
    "vit-b16": ViT(224, 16, 768, 12, 12, 3072, 1000),
    "vit-l16": ViT(224, 16, 1024, 24, 16, 4096, 1000),
    "clip-image": ClipImage(224, 32, 768, 12, 12, 3072, 512),
    "clip-text": Text(49408, 77, 512, 12, 8, 2048, 512),
    "vilt-vqa": Vilt(384, 32, 768, 12, 12, 3072, 30522, 40, 3129),
    "albef-match": Albef(256, 16, 768, 12, 12, 3072, 30522, 40, 512, 6),
    "vlmo-fusion": Vlmo(224, 16, 768, 12, 12, 3072, 30522, 40, 10, 196),
    "beit3-vqa": Beit3(224, 16, 768, 12, 12, 3072, 64010, 64, 1024, 3129),
    "beit3-retrieve": Beit3(224, 16, 768, 12, 12, 3072, 64010, 64, 1024, 0),
    "blip-caption": Blip(384, 16, 768, 12, 12, 3072, 30524, 4, 512, 102),
}

ROWS = {
    "vit-b16-b1": Row("ViT-B/16 B=1", "models/vit.sy:base", "classify", 1, "vit-b16", ["logits"]),
    "vit-b16-b8": Row("ViT-B/16 B=8", "models/vit.sy:base", "classify", 8, "vit-b16", ["logits"]),
    "vit-s16-b1": Row("ViT-S/16 B=1", "models/vit.sy:small", "classify", 1, "vit-s16", ["logits"]),
    "vit-l16-b1": Row("ViT-L/16 B=1", "models/vit.sy:large", "classify", 1, "vit-l16", ["logits"]),
    "clip-image-b1": Row("CLIP B/32 image B=1", "models/clip.sy:b32", "image", 1, "clip-image", ["image_features"]),
    "clip-text-b1": Row("CLIP B/32 text 77 B=1", "models/clip.sy:b32", "text", 1, "clip-text", ["text_features"]),
    "vilt-vqa-b1": Row("ViLT-B/32 VQA 384px text 40 B=1", "models/vilt.sy:base", "vqa", 1, "vilt-vqa", ["logits"], ["height=384", "width=384"]),
    "albef-match-b1": Row("ALBEF match 256px text 40 B=1", "models/albef.sy:base", "match", 1, "albef-match", ["itm_logits"]),
    "vlmo-fusion-b1": Row("VLMo base fusion 224px text 40 B=1", "models/vlmo.sy:base", "fusion", 1, "vlmo-fusion",
                          ["text_hidden", "image_hidden", "pooled"]),
    "beit3-vqa-b1": Row("BEiT-3 base VQA 224px text 64 B=1", "models/beit3.sy:base", "vqa", 1, "beit3-vqa", ["logits", "pooled"]),
    "beit3-retrieve-b1": Row("BEiT-3 base retrieval 224px text 64 B=1", "models/beit3.sy:base", "retrieve", 1, "beit3-retrieve",
                             ["image_embed", "text_embed", "logits_per_image", "logits_per_text"]),
    "blip-caption-b1": Row("BLIP caption base 384px B=1, a word of 20", "models/blip.sy:caption_base", "caption", 1, "blip-caption",
                           ["scores", "ids"], [], 20),
    "vit-tiny-b1": Row("ViT tiny 32px B=1", "models/vit.sy:tiny", "classify", 1, "vit-tiny", ["logits"]),
}


def patches(m):
    return (m.size // m.patch) ** 2


def tokens(m):
    return m.length if isinstance(m, Text) else patches(m) + 1


def inputs(name):
    """What our route takes, in its order."""
    m, batch = MODELS[ROWS[name].weights], ROWS[name].batch
    picture = [Input("image", "f32", (batch, 3, m.size, m.size), 0)] if hasattr(m, "size") else []
    words = [Input("text", "i64", (batch, m.length), m.vocab)] if hasattr(m, "length") else []
    if picture and words and not isinstance(m, Blip):
        words.append(Input("text_mask", "bool", (batch, m.length), 0))
    if isinstance(m, Vilt):
        return words + picture + [Input("patch_index", "grid", (batch, patches(m), 2), m.size // m.patch)]
    return picture + words


def peer_inputs(name):
    """What the peers take, in the order of their modules' arguments."""
    return [entry for entry in inputs(name) if entry.kind != "grid"]


def layers(m, n):
    """Multiplications of m.depth layers on n tokens: four square products, an MLP, two products of the attention."""
    return m.depth * (n * (4 * m.dim * m.dim + 2 * m.dim * m.ffn) + 2 * n * n * m.dim)


def image_products(m):
    return patches(m) * 3 * m.patch ** 2 * m.dim


def head_products(m):  # two layers, the first twice as wide
    return 2 * m.dim * m.dim + 2 * m.dim * m.answers


def albef_products(m):
    rows, d = tokens(m), m.dim
    cross = (m.depth - m.fusion_layer) * (2 * m.length * d * d + 2 * rows * d * d + 2 * m.length * rows * d)
    return image_products(m) + layers(m, rows) + layers(m, m.length) + cross + 2 * d


def beit3_products(m):
    if not m.answers:  # the two encoders apart
        return image_products(m) + layers(m, tokens(m)) + layers(m, m.length) + 2 * m.dim * m.dim + 2 * m.dim
    return image_products(m) + layers(m, tokens(m) + m.length) + m.dim * m.dim + head_products(m)


def blip_products(m):  # of a word in the middle of a sentence, its products of the attention left out
    d = m.dim
    return m.depth * (6 * d * d + 2 * d * m.ffn + 2 * tokens(m) * d) + d * d + d * m.vocab


# Multiplications of the matrix products for one sample; of a step for rows that write words.
PRODUCTS = {
    ViT: lambda m: image_products(m) + layers(m, tokens(m)) + m.dim * m.classes,
    ClipImage: lambda m: image_products(m) + layers(m, tokens(m)) + m.dim * m.embed,
    Text: lambda m: layers(m, m.length) + m.dim * m.embed,
    Vilt: lambda m: image_products(m) + layers(m, tokens(m) + m.length) + m.dim * m.dim + head_products(m),
    Albef: albef_products,
    Vlmo: lambda m: image_products(m) + layers(m, tokens(m) + m.length) + m.dim * m.dim,
    Beit3: beit3_products,
    Blip: blip_products,
}


def flops(row):
    """Multiplications and additions of the matrix products of one call, every token through every layer."""
    model = MODELS[ROWS[row].weights]
    return 2 * PRODUCTS[type(model)](model) * ROWS[row].batch


def shapes(key):
    """Checkpoint names and shapes: torchvision's for ViT, those of the OpenAI release for the CLIP text tower; None
    for the systems whose module has the checkpoint's own names (torch_systems.py)."""
    m = MODELS[key]
    d, f = m.dim, m.ffn
    if isinstance(m, Text):
        out = {"token_embedding.weight": (m.vocab, d), "positional_embedding": (m.length, d)}
        block, names = "transformer.resblocks.{}.", ("attn", "mlp.c_fc", "mlp.c_proj")
    elif isinstance(m, ViT):
        out = {"class_token": (1, 1, d), "conv_proj.weight": (d, 3, m.patch, m.patch), "conv_proj.bias": (d,),
               "encoder.pos_embedding": (1, tokens(m), d)}
        block, names = "encoder.layers.encoder_layer_{}.", ("self_attention", "mlp.0", "mlp.3")
    else:
        return None
    for i in range(m.depth):
        p, (attention, up, down) = block.format(i), names
        out.update({p + "ln_1.weight": (d,), p + "ln_1.bias": (d,), p + attention + ".in_proj_weight": (3 * d, d),
                    p + attention + ".in_proj_bias": (3 * d,), p + attention + ".out_proj.weight": (d, d),
                    p + attention + ".out_proj.bias": (d,), p + "ln_2.weight": (d,), p + "ln_2.bias": (d,),
                    p + up + ".weight": (f, d), p + up + ".bias": (f,), p + down + ".weight": (d, f), p + down + ".bias": (d,)})
    if isinstance(m, Text):
        out.update({"ln_final.weight": (d,), "ln_final.bias": (d,), "text_projection": (d, m.embed)})
    else:
        out.update({"encoder.ln.weight": (d,), "encoder.ln.bias": (d,), "heads.head.weight": (m.classes, d), "heads.head.bias": (m.classes,)})
    return out


if __name__ == "__main__":
    for name, row in ROWS.items():
        taken = ",".join(f"{entry.name}:{entry.kind}:{'x'.join(map(str, entry.shape))}" for entry in peer_inputs(name))
        print(name, row.spec, row.route, row.weights, row.batch, taken, ",".join(row.outputs), ",".join(row.defines) or "-", row.words,
              getattr(MODELS[row.weights], "end", 0))

"""The measured rows: which model, which sizes, how many operations.

`presets.py` prints one line a row for the shell, fields separated by blanks:
row, model specification, route, weights key, batch, type, shape and name of the input, name of the output.
"""
from collections import namedtuple

ViT = namedtuple("ViT", "size patch dim depth heads ffn classes")
Text = namedtuple("Text", "vocab length dim depth heads ffn embed")
Row = namedtuple("Row", "title spec route batch weights input output")

MODELS = {
    "vit-tiny": ViT(32, 8, 32, 2, 4, 128, 10),
    "vit-s16": ViT(224, 16, 384, 12, 6, 1536, 1000),
    "vit-b16": ViT(224, 16, 768, 12, 12, 3072, 1000),
    "vit-l16": ViT(224, 16, 1024, 24, 16, 4096, 1000),
    "clip-text": Text(49408, 77, 512, 12, 8, 2048, 512),
}

ROWS = {
    "vit-b16-b1": Row("ViT-B/16 B=1", "models/vit.sy:base", "classify", 1, "vit-b16", "image", "logits"),
    "vit-b16-b8": Row("ViT-B/16 B=8", "models/vit.sy:base", "classify", 8, "vit-b16", "image", "logits"),
    "vit-s16-b1": Row("ViT-S/16 B=1", "models/vit.sy:small", "classify", 1, "vit-s16", "image", "logits"),
    "vit-l16-b1": Row("ViT-L/16 B=1", "models/vit.sy:large", "classify", 1, "vit-l16", "image", "logits"),
    "clip-text-b1": Row("CLIP B/32 text 77 B=1", "models/clip.sy:b32", "text", 1, "clip-text", "text", "text_features"),
    "vit-tiny-b1": Row("ViT tiny 32px B=1", "models/vit.sy:tiny", "classify", 1, "vit-tiny", "image", "logits"),
}


def tokens(model):
    return model.length if isinstance(model, Text) else (model.size // model.patch) ** 2 + 1


def flops(row):
    """Multiplications and additions of the matrix products of one call, every token through every layer."""
    model, batch = MODELS[ROWS[row].weights], ROWS[row].batch
    n, d = tokens(model), model.dim
    macs = model.depth * (n * (4 * d * d + 2 * d * model.ffn) + 2 * n * n * d)
    if isinstance(model, Text):
        macs += d * model.embed
    else:
        macs += (n - 1) * 3 * model.patch ** 2 * d + d * model.classes
    return 2 * macs * batch


def shapes(key):
    """Checkpoint names and shapes: torchvision's for ViT, those of the OpenAI release for the CLIP text tower."""
    m = MODELS[key]
    d, f = m.dim, m.ffn
    if isinstance(m, Text):
        out = {"token_embedding.weight": (m.vocab, d), "positional_embedding": (m.length, d)}
        block, names = "transformer.resblocks.{}.", ("attn", "mlp.c_fc", "mlp.c_proj")
    else:
        out = {"class_token": (1, 1, d), "conv_proj.weight": (d, 3, m.patch, m.patch), "conv_proj.bias": (d,),
               "encoder.pos_embedding": (1, tokens(m), d)}
        block, names = "encoder.layers.encoder_layer_{}.", ("self_attention", "mlp.0", "mlp.3")
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


def input_shape(row):
    model, batch = MODELS[ROWS[row].weights], ROWS[row].batch
    return (batch, model.length) if isinstance(model, Text) else (batch, 3, model.size, model.size)


if __name__ == "__main__":
    for name, row in ROWS.items():
        kind = "i64" if isinstance(MODELS[row.weights], Text) else "f32"
        print(name, row.spec, row.route, row.weights, row.batch, kind, "x".join(map(str, input_shape(name))), row.input, row.output)

"""ALIGN: golden cases of models/align.sy and its key list."""
import torch
from torch import nn
from torch.nn import functional

from common import BertEmbeddings, Cases, Encoder, first, write_keys
from efficientnet import blocks, channels, pad_even

NAMES = {"widen": "expansion.expand_conv", "widen_bn": "expansion.expand_bn",
         "depthwise": "depthwise_conv.depthwise_conv", "depthwise_bn": "depthwise_conv.depthwise_norm",
         "reduce": "squeeze_excite.reduce", "expand": "squeeze_excite.expand",
         "narrow": "projection.project_conv", "narrow_bn": "projection.project_bn"}


class Vision(nn.Module):
    def __init__(self, c):
        super().__init__()
        n = channels(32, c["wide"])
        self.embeddings = nn.ModuleDict({"convolution": nn.Conv2d(3, n, 3, 2, bias=False),
                                         "batchnorm": nn.BatchNorm2d(n, eps=1e-3)})
        made = [b for _, _, b in blocks(c["wide"], c["deep"], pad_even, lambda stage: NAMES)]
        self.encoder = nn.ModuleDict({"blocks": nn.ModuleList(made)})

    def forward(self, x):
        x = self.embeddings["batchnorm"](self.embeddings["convolution"](pad_even(x, 3, 2)))
        x = functional.silu(x)
        for block in self.encoder["blocks"]:
            x = block(x)
        return x.mean((2, 3))


class Align(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.temperature = nn.Parameter(torch.empty([]))
        encoder = Encoder(c["text_dim"], c["text_depth"], c["text_heads"], c["text_ffn"], 1e-12)
        self.text_model = nn.ModuleDict({"embeddings": BertEmbeddings(c["vocab"], c["positions"], c["types"], c["text_dim"]), "encoder": encoder})
        self.vision_model = Vision(c)
        self.text_projection = nn.Linear(c["text_dim"], channels(320, c["wide"]))

    def read(self, text, real):
        x = self.text_model["encoder"](self.text_model["embeddings"](text), real)
        return self.text_projection(x[:, 0])


def image(model, x):
    v = model.vision_model(x["image"])
    return {"image_features": v, "image_embed": functional.normalize(v, dim=-1)}


def text(model, x):
    v = model.read(x["text"], x["text_mask"])
    return {"text_features": v, "text_embed": functional.normalize(v, dim=-1)}


def retrieve(model, x):
    logits = image(model, x)["image_embed"] @ text(model, x)["text_embed"].T / model.temperature
    return {"logits_per_image": logits, "logits_per_text": logits.T}


def contrastive(model, x):
    scores = retrieve(model, x)["logits_per_image"]
    own = torch.arange(len(scores))
    return {"loss": functional.cross_entropy(scores, own, label_smoothing=0.1) + functional.cross_entropy(scores.T, own, label_smoothing=0.1)}


def pictures(c, n, seed):
    return {"image": torch.randn(n, 3, c["size"], c["size"], generator=torch.Generator().manual_seed(seed))}


def texts(c, words, n, seed):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, c["vocab"], (len(words), n), generator=g, dtype=torch.int32)
    return {"text": ids * first(words, n), "text_mask": first(words, n)}


TINY = {"size": 75, "wide": 20, "deep": 50, "text_dim": 24, "text_depth": 1, "text_heads": 3, "text_ffn": 40, "vocab": 48,
        "max_text": 10, "positions": 16, "types": 2}
BASE = {"wide": 200, "deep": 310, "text_dim": 768, "text_depth": 12, "text_heads": 12, "text_ffn": 3072, "vocab": 30522,
        "positions": 512, "types": 2}

if __name__ == "__main__":
    model = Align(TINY)
    cases = Cases("align", model, TINY, seed=41)
    model.temperature.data = torch.tensor(0.07)
    cases.add("image", "image", pictures(TINY, 2, 400), image)
    cases.add("text", "text", texts(TINY, [10, 3, 7], 10, 401), text)
    cases.add("text_one", "text", texts(TINY, [4], 4, 402), text)
    cases.add("retrieve", "retrieve", dict(pictures(TINY, 3, 403), **texts(TINY, [6, 2], 6, 404)), retrieve)
    trained = ["temperature", "text_projection.*", "text_model.encoder.layer.0.attention.*", "text_model.embeddings.position_embeddings.weight",
               "vision_model.encoder.blocks.1.*.weight", "vision_model.encoder.blocks.1.*.bias", "vision_model.encoder.blocks.6.*.weight",
               "vision_model.embeddings.*.weight"]
    cases.train("train_contrastive", "contrastive", dict(pictures(TINY, 3, 405), **texts(TINY, [6, 2, 8], 8, 406)), trained,
                contrastive, steps=3)
    cases.write()
    write_keys("align_base", "kakaobrain/align-base without BERT's pooler and num_batches_tracked", Align(BASE))

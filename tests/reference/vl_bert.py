"""VL-BERT with precomputed region features: golden cases of models/vl_bert.sy and the key lists of its presets.

The encoder runs on the authors' gapless sequence: words, regions, one end token, then padding. The cases store the sequence
with the padding left in place, as the page computes it; both must agree for every word and region.
"""
import math

import torch
from torch import nn
from torch.nn import functional

from common import Cases, Embedding, Encoder, Pooler, WordHead, first, write_keys


class RegionHead(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.transform = nn.ModuleDict({"dense": nn.Linear(c["dim"], c["dim"])})
        self.region_cls_pred = nn.Linear(c["dim"], c["region_classes"])

    def forward(self, x):
        return self.region_cls_pred(nn.functional.gelu(self.transform["dense"](x)))


class Trunk(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim = c["dim"]
        self.word_embeddings, self.end_embedding = Embedding(c["vocab"], dim), Embedding(1, dim)
        self.position_embeddings = Embedding(c["positions"], dim)
        self.token_type_embeddings = Embedding(c["types"], dim)
        self.embedding_LayerNorm = nn.LayerNorm(dim, eps=1e-12)
        self.visual_ln_text, self.visual_ln_object = nn.LayerNorm(dim, eps=1e-12), nn.LayerNorm(dim, eps=1e-12)
        self.encoder, self.pooler = Encoder(dim, c["depth"], c["heads"], c["ffn"], 1e-12), Pooler(dim)
        self.mlm_head = nn.ModuleDict({"predictions": WordHead(self.word_embeddings.weight, 1e-12)})
        self.mvrc_head = RegionHead(c)


def describe(boxes, size, waves):
    """Sines and cosines of centre and size, in percent of the picture: [B, R, 4, 2 * waves], flat."""
    (x1, y1, x2, y2), (w, h) = boxes.unbind(-1), size[:, None].unbind(-1)
    place = 100 * torch.stack([(x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h], -1)
    angle = place[..., None] / 1000 ** (torch.arange(waves).to(boxes) / waves)
    return torch.cat([angle.sin(), angle.cos()], -1).flatten(2)


class VlBert(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.waves = c["waves"]
        down = nn.Sequential(nn.Identity(), nn.Linear(8 * c["waves"] + c["features"], c["dim"]), nn.ReLU())
        self.image_feature_extractor = nn.ModuleDict({"obj_downsample": down})
        self.object_linguistic_embeddings = Embedding(1, c["dim"])
        self.object_mask_visual_embedding = Embedding(1, c["features"])
        self.object_mask_word_embedding = Embedding(1, c["dim"])
        self.aux_text_visual_embedding = Embedding(1, c["dim"])
        self.vlbert = Trunk(c)

    def tokens(self, x):
        """Words and regions before positions and segments; segments of the words."""
        v, text = self.vlbert, x["text"]
        words, type = v.word_embeddings(text), x.get("text_type", torch.zeros_like(text))
        if "regions" not in x:
            seen = self.aux_text_visual_embedding.weight.expand(len(text), 1, -1)
            return words + v.visual_ln_text(seen), words[:, :0], type
        masked = x.get("masked", torch.zeros_like(x["region_mask"]))[..., None]
        f = torch.where(masked, self.object_mask_visual_embedding.weight, x["regions"])
        f = torch.cat([describe(x["boxes"], x["image_size"], self.waves), f], -1)
        seen = self.image_feature_extractor["obj_downsample"](f)
        word = torch.where(masked, self.object_mask_word_embedding.weight, self.object_linguistic_embeddings.weight)
        return words + v.visual_ln_text(seen[:, :1]), word + v.visual_ln_object(seen), type

    def packed(self, text, regions, type, text_mask, region_mask):
        """The authors' way, pair by pair. Returns text and region states; 0 for padding."""
        v, end = self.vlbert, self.vlbert.end_embedding.weight
        out_text, out_regions = torch.zeros_like(text), torch.zeros_like(regions)
        for b in range(len(text)):
            n, r = int(text_mask[b].sum()), int(region_mask[b].sum())
            x = torch.cat([text[b, text_mask[b]], regions[b, region_mask[b]], end])
            place = torch.tensor(list(range(n)) + r * [n] + [n + 1])
            segment = torch.cat([type[b, text_mask[b]].long(), torch.full((r + 1,), 2)])
            x = v.embedding_LayerNorm(x + v.position_embeddings(place) + v.token_type_embeddings(segment))
            x = v.encoder(x[None], torch.ones(1, len(x), dtype=torch.bool))[0]
            out_text[b, text_mask[b]], out_regions[b, region_mask[b]] = x[:n], x[n:n + r]
        return out_text, out_regions

    def forward(self, x):
        v, (text, regions, type) = self.vlbert, self.tokens(x)
        region_mask = x.get("region_mask", torch.zeros(len(text), 0, dtype=torch.bool))
        (batch, n, dim), r, count = text.shape, regions.shape[1], x["text_mask"].sum(1, keepdim=True)
        end = v.end_embedding.weight.expand(batch, 1, dim)
        place = torch.cat([torch.arange(n).expand(batch, n), count.expand(batch, r), count + 1], 1)
        segment = torch.cat([type.long(), torch.full((batch, r + 1), 2)], 1)
        e = torch.cat([text, regions, end], 1) + v.position_embeddings(place) + v.token_type_embeddings(segment)
        real = torch.cat([x["text_mask"], region_mask, torch.ones(batch, 1, dtype=torch.bool)], 1)
        h = v.encoder(v.embedding_LayerNorm(e), real)
        if h.dtype == torch.float64:
            packed = torch.cat(self.packed(text, regions, type, x["text_mask"], region_mask), 1)
            assert ((h[:, :-1] - packed).abs() * real[:, :-1, None]).max() < 1e-12
        return h[:, :n], h[:, n:-1]


def fusion(model, x):
    text, regions = model(x)
    return {"text_hidden": text, "region_hidden": regions, "pooled": model.vlbert.pooler(text)}


def masked_text(model, x):
    return {"mlm_logits": model.vlbert.mlm_head["predictions"](model(x)[0])}


def masked_pair(model, x):
    return dict(masked_text(model, x), logits=model.vlbert.mvrc_head(model(x)[1]))


def word_loss(model, x):
    logits = masked_text(model, dict(x, text=x["text_mlm"]))["mlm_logits"]
    return functional.cross_entropy(logits.flatten(0, 1), x["mlm_labels"].flatten().long())


def masked_pair_loss(model, x):
    scores = masked_pair(model, dict(x, text=x["text_mlm"]))["logits"][x["masked"]].log_softmax(-1)
    words, regions = word_loss(model, x), -(x["class_probs"][x["masked"]] * scores).sum(-1).mean()
    return {"loss": words + regions, "mlm_loss": words, "region_loss": regions}


def pretrain_loss(model, x):
    pair = masked_pair_loss(model, x)
    corpus = word_loss(model, {"text_mlm": x["corpus"], "text_mask": x["corpus_mask"], "mlm_labels": x["corpus_labels"]})
    return dict(pair, loss=pair["loss"] + corpus, corpus_loss=corpus)


def hide_words(x, g):
    text = x.pop("text")
    hidden = torch.rand(text.shape, generator=g) < 0.4
    hidden[:, 0] = True
    hidden &= x["text_mask"]
    return dict(x, text_mlm=torch.where(hidden, 3, text).int(), mlm_labels=torch.where(hidden, text, -100).int())


def train_inputs(c, words, regions, seed):
    x, g = pair_inputs(c, words, regions, seed, "pair"), torch.Generator().manual_seed(seed + 1000)
    x["masked"][:, 1] = True
    probs = (2 * torch.randn(*x["masked"].shape, c["region_classes"], generator=g)).softmax(-1)
    return hide_words(dict(x, class_probs=probs * x["masked"][..., None]), g)


def text_train_inputs(c, words, seed):
    g, x = text_inputs(c, words, seed)
    return hide_words(x, g)


def text_inputs(c, words, seed):
    g = torch.Generator().manual_seed(seed)
    text = torch.randint(1, c["vocab"], (len(words), max(words)), generator=g, dtype=torch.int32)
    return g, {"text": text * first(words, max(words)), "text_mask": first(words, max(words))}


def pair_inputs(c, words, regions, seed, route):
    g, x = text_inputs(c, words, seed)
    batch, n, r = len(words), max(words), max(regions)
    real = first(regions, r)
    size = (300 + 400 * torch.rand(batch, 2, generator=g)).round()
    corners = torch.rand(batch, r, 2, 2, generator=g).sort(2).values * size[:, None, None]
    corners[:, 0] = torch.stack([torch.zeros_like(size), size - 1], 1)  # the whole picture
    x.update(regions=2 * torch.rand(batch, r, c["features"], generator=g) * real[..., None],
             boxes=corners.flatten(2) * real[..., None], image_size=size, region_mask=real)
    if route == "fusion":
        x["text_type"] = (torch.arange(n) >= n // 2).int().repeat(batch, 1)
    else:
        x["masked"] = (torch.rand(batch, r, generator=g) < 0.4) & real
        x["masked"][:, 0] = False
    return x


TINY = {"dim": 32, "depth": 2, "heads": 4, "ffn": 64, "vocab": 72, "max_text": 10, "max_regions": 7, "positions": 20,
        "types": 3, "features": 24, "waves": 8, "region_classes": 11}
BASE = {"dim": 768, "depth": 12, "heads": 12, "ffn": 3072, "vocab": 30522, "positions": 512, "types": 3,
        "features": 2048, "waves": 256, "region_classes": 1601}

if __name__ == "__main__":
    cases = Cases("vl_bert", VlBert(TINY), TINY, seed=12)
    cases.add("fusion", "fusion", pair_inputs(TINY, [8, 3, 5], [2, 6, 4], 100, "fusion"), fusion)
    cases.add("masked_pair", "masked_pair", pair_inputs(TINY, [4, 7], [5, 3], 101, "pair"), masked_pair)
    cases.add("masked_text", "masked_text", text_inputs(TINY, [9, 2, 6], 102)[1], masked_text)
    cases.add("longest", "masked_pair", pair_inputs(TINY, [10, 10], [7, 7], 103, "pair"), masked_pair)
    cases.add("shortest", "fusion", pair_inputs(TINY, [1], [1], 104, "fusion"), fusion)
    layer = ["vlbert.encoder.layer.1.attention.*", "vlbert.visual_ln_text.*", "vlbert.word_embeddings.weight", "vlbert.end_embedding.weight",
             "vlbert.mlm_head.*"]
    seen = ["object_*_embedding*.weight", "image_feature_extractor.obj_downsample.1.bias", "vlbert.mvrc_head.*"]
    pair, words = train_inputs(TINY, [6, 4, 8], [5, 3, 6], 300), text_train_inputs(TINY, [7, 3, 8], 301)
    corpus = {"corpus": words["text_mlm"], "corpus_mask": words["text_mask"], "corpus_labels": words["mlm_labels"]}
    alone = ["aux_text_visual_embedding.weight"]
    cases.train("train_pretrain", "pretrain", dict(pair, **corpus), alone + seen + layer, pretrain_loss, steps=3)
    cases.write()
    write_keys("vl_bert_base", "VL-BERT-base on precomputed features, with pooler and pre-training heads", VlBert(BASE))
    large = dict(BASE, dim=1024, depth=24, heads=16, ffn=4096)
    write_keys("vl_bert_large", "VL-BERT-large", VlBert(large))

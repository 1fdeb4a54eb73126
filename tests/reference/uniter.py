"""UNITER: golden cases of models/uniter.sy and the key lists of its presets.

The encoder runs on the gathered sequence, as the authors' does: words, then regions, then padding. The cases store the
sequence with the padding left in place, as the page computes it; both must agree for every word and region.
"""
import torch
from torch import nn
from torch.nn import functional

from common import BertEmbeddings, Cases, Embedding, Encoder, Pooler, WordHead, first, write_keys


class ImageEmbeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.img_linear = nn.Linear(c["features"], c["dim"])
        self.img_layer_norm = nn.LayerNorm(c["dim"], eps=1e-12)
        self.pos_layer_norm = nn.LayerNorm(c["dim"], eps=1e-12)
        self.pos_linear = nn.Linear(7, c["dim"])
        self.mask_embedding = Embedding(2, c["features"])  # row 0 counts as zeros
        self.LayerNorm = nn.LayerNorm(c["dim"], eps=1e-12)

    def forward(self, regions, boxes, masked, segment):
        regions = regions + masked[..., None] * self.mask_embedding.weight[1]
        f = self.img_layer_norm(self.img_linear(regions))
        return self.LayerNorm(f + self.pos_layer_norm(self.pos_linear(boxes)) + segment)


class Trunk(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings, self.img_embeddings = BertEmbeddings(c["vocab"], c["positions"], c["types"], c["dim"]), ImageEmbeddings(c)
        self.encoder = Encoder(c["dim"], c["depth"], c["heads"], c["ffn"], 1e-12)
        self.pooler = Pooler(c["dim"])


class FeatureHead(nn.Module):
    """Predicts features through the transpose of their projection, whose key is there a second time."""

    def __init__(self, c, matrix):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(c["dim"], c["dim"]), nn.GELU(), nn.LayerNorm(c["dim"], eps=1e-12))
        self.weight, self.bias = matrix, nn.Parameter(torch.empty(c["features"]))

    def forward(self, x):
        return self.net(x) @ self.weight + self.bias


class ClassHead(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(c["dim"], c["dim"]), nn.GELU(), nn.LayerNorm(c["dim"], eps=1e-12),
                                 nn.Linear(c["dim"], c["region_classes"]))

    def forward(self, x):
        return self.net(x)


class Uniter(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.uniter = Trunk(c)
        self.cls = nn.ModuleDict({"predictions": WordHead(self.uniter.embeddings.word_embeddings.weight, 1e-12)})
        self.feat_regress = FeatureHead(c, self.uniter.img_embeddings.img_linear.weight)
        self.region_classifier, self.itm_output = ClassHead(c), nn.Linear(c["dim"], 2)

    def embed(self, x):
        u = self.uniter
        masked = x.get("masked", torch.zeros_like(x["region_mask"]))
        regions = u.img_embeddings(x["regions"], x["boxes"], masked, u.embeddings.token_type_embeddings.weight[1])
        return torch.cat([u.embeddings(x["text"]), regions], 1)

    def gathered(self, x):
        """The authors' way. Returns text and region states; 0 for padding."""
        words, regions = x["text_mask"].sum(1), x["region_mask"].sum(1)
        n, longest = int((words + regions).max()), x["text"].shape[1]
        index = torch.arange(n).repeat(len(words), 1)
        for b, (w, r) in enumerate(zip(words.tolist(), regions.tolist())):
            index[b, w:w + r] = longest + torch.arange(r)
        e = self.embed(x)
        packed = torch.gather(e, 1, index[..., None].expand(-1, -1, e.shape[-1]))
        packed = self.uniter.encoder(packed, torch.arange(n) < (words + regions)[:, None])
        out = torch.zeros_like(e)
        for b, (w, r) in enumerate(zip(words.tolist(), regions.tolist())):
            out[b, :w] = packed[b, :w]
            out[b, longest:longest + r] = packed[b, w:w + r]
        return out

    def forward(self, x):
        real = torch.cat([x["text_mask"], x["region_mask"]], 1)
        h = self.uniter.encoder(self.embed(x), real)
        if h.dtype == torch.float64:
            assert ((h - self.gathered(x)).abs() * real[..., None]).max() < 1e-12
        n = x["text"].shape[1]
        return h[:, :n], h[:, n:]


def fusion(model, x):
    text, regions = model(x)
    return {"text_hidden": text, "region_hidden": regions, "pooled": model.uniter.pooler(text)}


ROUTES = {
    "fusion": fusion,
    "masked_words": lambda model, x: {"mlm_logits": model.cls["predictions"](model(x)[0])},
    "masked_features": lambda model, x: {"predicted": model.feat_regress(model(x)[1])},
    "masked_classes": lambda model, x: {"logits": model.region_classifier(model(x)[1])},
    "match": lambda model, x: {"itm_logits": model.itm_output(model.uniter.pooler(model(x)[0]))},
}


def masked_words_loss(model, x):
    logits = ROUTES["masked_words"](model, dict(x, text=x["text_mlm"]))["mlm_logits"]
    return {"loss": functional.cross_entropy(logits.flatten(0, 1), x["mlm_labels"].flatten().long())}


def masked_regions(route, output, model, x):
    """What a head says of the masked regions, whose features are 0 in the input."""
    return ROUTES[route](model, dict(x, regions=x["regions"] * ~x["masked"][..., None]))[output][x["masked"]]


def masked_features_loss(model, x):
    far = masked_regions("masked_features", "predicted", model, x) - x["regions"][x["masked"]]
    return {"loss": far.square().mean()}


def masked_classes_loss(model, x):
    likely = x["class_probs"][x["masked"]][:, 1:].argmax(-1) + 1
    return {"loss": functional.cross_entropy(masked_regions("masked_classes", "logits", model, x), likely)}


def masked_classes_kl_loss(model, x):
    scores = masked_regions("masked_classes", "logits", model, x).log_softmax(-1)
    return {"loss": functional.kl_div(scores, x["class_probs"][x["masked"]], reduction="none").mean()}


def match_loss(model, x):
    i = torch.where(x["itm_labels"] == 1, torch.arange(len(x["text"])), x["neg_image_idx"].long())
    pair = dict(x, regions=x["regions"][i], boxes=x["boxes"][i], region_mask=x["region_mask"][i])
    return {"loss": functional.cross_entropy(ROUTES["match"](model, pair)["itm_logits"], x["itm_labels"].long())}


def train_inputs(c, words, regions, seed, *names):
    x, g = inputs(c, words, regions, seed, False), torch.Generator().manual_seed(seed + 1000)
    masked = torch.rand(x["region_mask"].shape, generator=g) < 0.5
    masked[:, 0] = True
    probs = (2 * torch.randn(*masked.shape, c["region_classes"], generator=g)).softmax(-1)
    probs[..., 2] = 0  # a class that is sure not to be there
    hidden = torch.rand(x["text"].shape, generator=g) < 0.4
    hidden[:, 1] = True
    hidden &= x["text_mask"]
    more = {"masked": masked & x["region_mask"], "class_probs": probs / probs.sum(-1, keepdim=True),
            "text_mlm": torch.where(hidden, 3, x["text"]).int(), "mlm_labels": torch.where(hidden, x["text"], -100).int(),
            "itm_labels": torch.tensor([1, 0, 1, 0][:len(words)], dtype=torch.int32),
            "neg_image_idx": torch.tensor([1, 2, 0, 0][:len(words)], dtype=torch.int32)}
    if "text_mlm" in names:
        del x["text"]
    return dict(x, **{k: more[k] for k in names})


def inputs(c, words, regions, seed, masks):
    g = torch.Generator().manual_seed(seed)
    batch, n, r = len(words), max(words), max(regions)
    corners = torch.rand(batch, r, 2, 2, generator=g).sort(2).values  # [.., 0]: low corner
    size = corners[..., 1, :] - corners[..., 0, :]
    boxes = torch.cat([corners.flatten(2), size, size.prod(-1, keepdim=True)], -1)
    masked = (torch.rand(batch, r, generator=g) < 0.4) & first(regions, r)
    features = torch.rand(batch, r, c["features"], generator=g)
    x = {"text": torch.randint(1, c["vocab"], (batch, n), generator=g, dtype=torch.int32) * first(words, n),
         "text_mask": first(words, n), "regions": features, "boxes": boxes, "region_mask": first(regions, r)}
    if masks:
        x["regions"], x["masked"] = features * ~masked[..., None], masked
    return x


TINY = {"dim": 32, "depth": 2, "heads": 4, "ffn": 64, "vocab": 72, "max_text": 10, "max_regions": 7, "positions": 20,
        "types": 2, "features": 24, "region_classes": 11}
BASE = {"dim": 768, "depth": 12, "heads": 12, "ffn": 3072, "vocab": 28996, "positions": 512, "types": 2,
        "features": 2048, "region_classes": 1601}

if __name__ == "__main__":
    cases = Cases("uniter", Uniter(TINY), TINY, seed=11)
    for i, (route, function) in enumerate(ROUTES.items()):
        masks = route not in ("masked_words", "match")
        cases.add(route, route, inputs(TINY, [8, 3, 5], [2, 6, 4], 100 + i, masks), function)
    cases.add("longest", "fusion", inputs(TINY, [10, 10], [7, 7], 200, True), fusion)
    cases.add("shortest", "fusion", inputs(TINY, [1], [1], 201, True), fusion)
    layer = ["uniter.img_embeddings.pos_*", "uniter.encoder.layer.1.attention.*", "uniter.embeddings.word_embeddings.weight"]
    for i, (objective, function, names, heads) in enumerate([
            ("masked_words", masked_words_loss, ["text_mlm", "mlm_labels"], ["cls.*"]),
            ("masked_features", masked_features_loss, ["masked"], ["feat_regress.*", "*.img_linear.weight", "*.mask_embedding.weight"]),
            ("masked_classes", masked_classes_loss, ["masked", "class_probs"], ["region_classifier.*"]),
            ("masked_classes_kl", masked_classes_kl_loss, ["masked", "class_probs"], ["region_classifier.net.3.*"]),
            ("match", match_loss, ["itm_labels", "neg_image_idx"], ["itm_output.*", "uniter.pooler.*"])]):
        x = train_inputs(TINY, [7, 3, 5], [4, 6, 3], 300 + i, *names)
        cases.train("train_" + objective, objective, x, heads + layer, function, steps=3)
    cases.write()
    write_keys("uniter_base", "UNITER-base with its pre-training heads", Uniter(BASE))
    write_keys("uniter_large", "UNITER-large", Uniter(dict(BASE, dim=1024, depth=24, heads=16, ffn=4096)))

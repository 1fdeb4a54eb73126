"""BriVL 1.0: golden cases of models/brivl.sy and its key list."""
import copy

import torch
from torch import nn
from torch.nn import functional

from common import GOLDEN, BertEmbeddings, Cases, Encoder, first, write_keys, write_safetensors
from efficientnet import blocks, channels, pad_same

GATE = {"reduce": "se.conv_reduce", "expand": "se.conv_expand"}
FIRST = {"depthwise": "conv_dw", "depthwise_bn": "bn1", **GATE, "narrow": "conv_pw", "narrow_bn": "bn2"}
OTHERS = {"widen": "conv_pw", "widen_bn": "bn1", "depthwise": "conv_dw", "depthwise_bn": "bn2", **GATE,
          "narrow": "conv_pwl", "narrow_bn": "bn3"}


class Backbone(nn.Module):
    """EfficientNet up to its feature map, the parts named as in timm."""

    def __init__(self, c):
        super().__init__()
        n = channels(32, c["wide"])
        self.conv_stem, self.bn1 = nn.Conv2d(3, n, 3, 2, bias=False), nn.BatchNorm2d(n, eps=1e-3)
        stages = nn.ModuleList(nn.ModuleList() for _ in range(7))
        for stage, _, block in blocks(c["wide"], c["deep"], pad_same, lambda s: OTHERS if s else FIRST):
            stages[stage].append(block)
        self.blocks = stages
        self.conv_head = nn.Conv2d(channels(320, c["wide"]), c["channels"], 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c["channels"], eps=1e-3)

    def forward(self, x):
        x = functional.silu(self.bn1(self.conv_stem(pad_same(x, 3, 2))))
        for stage in self.blocks:
            for block in stage:
                x = block(x)
        return functional.silu(self.bn2(self.conv_head(x)))


def post_norm(dim, c):
    layer = nn.TransformerEncoderLayer(dim, c["heads"], c["ffn"], dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, c["layers"])


class Projection(nn.Module):
    def __init__(self, dim, out):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, out), nn.Linear(out, out)

    def forward(self, x):
        return functional.normalize(self.fc2(self.fc1(x).relu()), dim=-1)


def tower(layers, project, x, real):
    x = layers(functional.normalize(x, dim=-1), src_key_padding_mask=~real)
    keep = real[..., None].to(x)
    return project((x * keep).sum(1) / keep.sum(1))


class ImageTower(nn.Module):
    def __init__(self, c):
        super().__init__()
        n = c["channels"]
        self.pixels, self.grid = c["pixels"], c["grid"]
        pool = nn.Sequential(nn.Conv2d(n, n, 1), nn.AvgPool2d(c["grid"], stride=1))
        self.backbone = Backbone(c)
        self.learnable = nn.ModuleDict({"imgFC": Projection(n, n), "imgAtt": post_norm(n, c), "max_pool": pool})

    def regions(self, feature_map, boxes):
        """Each box: an affine grid of points that were sampled, a convolution of size 1, and their mean."""
        _, n, h, w = feature_map.shape
        out = []
        for one, box in zip(feature_map, boxes):
            x1, y1, x2, y2 = (box * h / self.pixels).unbind(-1)
            zero = torch.zeros_like(x1)
            theta = torch.stack([torch.stack([(x2 - x1) / (w - 1), zero, (x1 + x2 - w + 1) / (w - 1)], -1),
                                 torch.stack([zero, (y2 - y1) / (h - 1), (y1 + y2 - h + 1) / (h - 1)], -1)], 1)
            points = functional.affine_grid(theta, (len(box), n, self.grid, self.grid), align_corners=False)
            sampled = functional.grid_sample(one.expand(len(box), -1, -1, -1), points, align_corners=False)
            out.append(self.learnable["max_pool"](sampled)[..., 0, 0])
        return torch.stack(out)

    def forward(self, regions, real):
        return tower(self.learnable["imgAtt"], self.learnable["imgFC"], regions, real)


class TextTower(nn.Module):
    def __init__(self, c):
        super().__init__()
        encoder = Encoder(c["text_dim"], c["text_depth"], c["text_heads"], c["text_ffn"], 1e-12)
        bert = nn.ModuleDict({"embeddings": BertEmbeddings(c["vocab"], c["positions"], c["types"], c["text_dim"]), "encoder": encoder})
        self.backbone = nn.ModuleDict({"bert": bert})
        self.learnable = nn.ModuleDict({"textFC": Projection(c["text_dim"], c["channels"]),
                                        "textAtt": post_norm(c["text_dim"], c)})

    def forward(self, text, real):
        bert = self.backbone["bert"]
        x = bert["encoder"](bert["embeddings"](text), torch.ones_like(real))  # BERT gets no mask
        return tower(self.learnable["textAtt"], self.learnable["textFC"], x, real)


class Brivl(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.imgencoder, self.textencoder = ImageTower(c), TextTower(c)


def regions(model, x):
    return {"regions": model.imgencoder.regions(x["feature_map"], x["boxes"])}


def image(model, x):
    return {"image_embed": model.imgencoder(x["regions"], x["region_mask"])}


def text(model, x):
    return {"text_embed": model.textencoder(x["text"], x["text_mask"])}


def retrieve(model, x):
    picture = model.imgencoder(regions(model, x)["regions"], x["region_mask"])
    return {"similarity": picture @ text(model, x)["text_embed"].T}


def backbone(model, x):
    return {"feature_map": model.imgencoder.backbone(x["image"])}


def picture(model, x):
    x = dict(x, **backbone(model, x))
    return image(model, dict(x, **regions(model, x)))


def search(model, x):
    return {"similarity": picture(model, x)["image_embed"] @ text(model, x)["text_embed"].T}


class Contrast(Brivl):
    """The towers with their momentum copies and queues."""

    def __init__(self, c, towers, seed):
        super().__init__(c)
        self.imgencoder, self.textencoder = towers.imgencoder, towers.textencoder
        self.imgencoder_mom, self.textencoder_mom = copy.deepcopy(towers.imgencoder), copy.deepcopy(towers.textencoder)
        g = torch.Generator().manual_seed(seed)
        for p in (*self.imgencoder_mom.parameters(), *self.textencoder_mom.parameters()):
            p.data += 0.05 * torch.randn(p.shape, generator=g) * p.data.abs().mean()
        for name in ("img_queue", "text_queue"):
            rows = torch.randn(c["channels"], c["queue"], generator=g)
            self.register_buffer(name, functional.normalize(rows, dim=0))
            self.register_buffer(name + "_ptr", torch.tensor([4], dtype=torch.int32))

    def copies(self):
        return {k: t for k, t in [*self.named_parameters(), *self.named_buffers()] if ("_mom." in k or "queue" in k) and not k.endswith("num_batches_tracked")}

    @torch.no_grad()
    def follow(self):
        for x, y in ((self.imgencoder, self.imgencoder_mom), (self.textencoder, self.textencoder_mom)):
            for p, q in zip(x.parameters(), y.parameters()):
                q.copy_(0.99 * q + 0.01 * p)

    @torch.no_grad()
    def enqueue(self, name, x):
        queue, at = getattr(self, name), getattr(self, name + "_ptr")
        queue[:, int(at):int(at) + len(x)] = x.T
        at.copy_((at + len(x)) % queue.shape[1])


def contrastive(model, x):
    model.follow()
    v, t = picture(model, x)["image_embed"], text(model, x)["text_embed"]
    with torch.no_grad():
        slow = Brivl.__new__(Brivl)
        nn.Module.__init__(slow)
        slow.imgencoder, slow.textencoder = model.imgencoder_mom, model.textencoder_mom
        v_m, t_m = picture(slow, x)["image_embed"], text(slow, x)["text_embed"]

    def against(x, partner, queue):
        scores = torch.cat([(x * partner).sum(-1, keepdim=True), x @ queue.clone()], 1) / 0.07
        return -scores.log_softmax(1)[:, 0].mean()
    image_loss, text_loss = against(v, t_m, model.text_queue), against(t, v_m, model.img_queue)
    model.enqueue("img_queue", v_m)
    model.enqueue("text_queue", t_m)
    return {"loss": image_loss + text_loss, "image_loss": image_loss, "text_loss": text_loss}


def add_training(cases, sizes):
    """The case of training has weights and states of its own beside those of the others."""
    towers, cases.sizes = cases.model, dict(sizes, queue=8)
    cases.model = Contrast(cases.sizes, towers, 14)
    for p in cases.model.parameters():
        p.requires_grad_(True)
    inputs = dict(picture_inputs(sizes, [3, 5], 120), **pixels(sizes, 2, 121), **text_inputs(sizes, [6, 9], 10, 122))
    del inputs["feature_map"]
    trained = ["imgencoder.learnable.imgFC.*", "imgencoder.learnable.max_pool.*", "imgencoder.backbone.blocks.3.*.weight",
               "imgencoder.backbone.blocks.3.*.bias", "imgencoder.backbone.blocks.6.*.weight", "textencoder.learnable.textFC.*", "textencoder.backbone.bert.encoder.layer.1.output.*"]
    states = ["img_queue", "text_queue", "img_queue_ptr", "text_queue_ptr", "imgencoder_mom.learnable.imgFC.fc1.weight",
              "imgencoder_mom.backbone.blocks.3.0.conv_pw.weight", "textencoder_mom.backbone.bert.encoder.layer.0.output.dense.weight"]
    cases.weights = ["weights.safetensors", "momentum.safetensors"]
    write_safetensors(GOLDEN / "brivl" / "momentum.safetensors", cases.model.copies())
    cases.train("train_contrastive", "contrastive", inputs, trained, contrastive, steps=3, states=states)
    cases.model = towers


def pixels(c, n, seed):
    return {"image": torch.randn(n, 3, c["pixels"], c["pixels"], generator=torch.Generator().manual_seed(seed))}


def picture_inputs(c, counts, seed):
    """The whole picture, then boxes anywhere, some of which leave it, then padding."""
    g = torch.Generator().manual_seed(seed)
    batch, r, p = len(counts), max(counts), c["pixels"]
    boxes = (torch.rand(batch, r, 2, 2, generator=g) * 1.2 - 0.1).sort(2).values.flatten(2) * p
    boxes[:, 0] = torch.tensor([0.0, 0.0, p, p])
    real = first(counts, r)
    feature_map = torch.randn(batch, c["channels"], c["map"], c["map"], generator=g)
    return {"feature_map": feature_map, "boxes": boxes * real[..., None], "region_mask": real}


def region_inputs(c, counts, seed):
    g = torch.Generator().manual_seed(seed)
    shape = len(counts), max(counts), c["channels"]
    return {"regions": torch.randn(shape, generator=g), "region_mask": first(counts, max(counts))}


def text_inputs(c, words, n, seed):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, c["vocab"], (len(words), n), generator=g, dtype=torch.int32)
    return {"text": ids * first(words, n), "text_mask": first(words, n)}


TINY = {"channels": 32, "map": 3, "pixels": 75, "wide": 20, "deep": 50, "grid": 4, "max_regions": 6, "layers": 2, "heads": 4, "ffn": 40,
        "text_dim": 24, "text_depth": 2, "text_heads": 3, "text_ffn": 48, "vocab": 72, "max_text": 10, "positions": 20,
        "types": 2}
BASE = {"channels": 2048, "map": 15, "pixels": 456, "wide": 160, "deep": 220, "grid": 4, "layers": 4, "heads": 4, "ffn": 2048, "text_dim": 768,
        "text_depth": 12, "text_heads": 12, "text_ffn": 3072, "vocab": 21128, "positions": 512, "types": 2}

if __name__ == "__main__":
    cases = Cases("brivl", Brivl(TINY), TINY, seed=13)
    pooled = picture_inputs(TINY, [6, 4], 100)
    del pooled["region_mask"]
    cases.add("regions", "regions", pooled, regions)
    cases.add("image", "image", region_inputs(TINY, [2, 6, 3], 101), image)
    cases.add("image_one", "image", region_inputs(TINY, [1], 102), image)
    cases.add("text", "text", text_inputs(TINY, [9, 2, 10], 10, 103), text)
    cases.add("text_short", "text", text_inputs(TINY, [1, 3], 5, 104), text)
    cases.add("retrieve", "retrieve", dict(picture_inputs(TINY, [5, 3], 105), **text_inputs(TINY, [7, 2, 4], 10, 106)), retrieve)
    cases.add("backbone", "backbone", pixels(TINY, 2, 107), backbone)
    for name, function, counts, seed in (("picture", picture, [6, 4], 108), ("search", search, [3, 5], 110)):
        inputs = dict(picture_inputs(TINY, counts, seed), **pixels(TINY, 2, seed + 1))
        del inputs["feature_map"]
        texts = text_inputs(TINY, [4, 9, 10], 10, 112) if name == "search" else {}
        cases.add(name, name, dict(inputs, **texts), function)
    add_training(cases, TINY)
    cases.write()
    title = "BriVL 1.0 without the backbone's classifier, BERT's pooler, num_batches_tracked and the momentum copies"
    write_keys("brivl_base", title, Brivl(BASE))

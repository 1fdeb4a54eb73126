"""CLIP with ResNet towers: golden cases of the model clip_resnet in models/clip.sy and its key lists."""
import math

import torch
from torch import nn
from torch.nn import functional

from common import Cases, Embedding, write_keys


class Block(nn.Module):
    """Bottleneck; `half`: means of 2 x 2 places in front of the last convolution and of the shortcut."""

    def __init__(self, channels, planes, half):
        super().__init__()
        out = 4 * planes
        self.conv1, self.bn1 = nn.Conv2d(channels, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, out, 1, bias=False), nn.BatchNorm2d(out)
        self.half = half
        if half or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))

    def shrink(self, x):
        return functional.avg_pool2d(x, 2) if self.half else x

    def forward(self, x):
        h = self.bn1(self.conv1(x)).relu()
        h = self.bn2(self.conv2(h)).relu()
        h = self.bn3(self.conv3(self.shrink(h)))
        x = self.shrink(x)
        return (h + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


def stage(channels, planes, depth, half):
    first = Block(channels, planes, half)
    return nn.Sequential(first, *[Block(4 * planes, planes, False) for _ in range(depth - 1)])


def heads_of(x, heads):  # [B, N, D] to [B, heads, N, D / heads]
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(q, k, v, heads, hidden=None):
    q, k, v = (heads_of(t, heads) for t in (q, k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if hidden is not None:
        scores = scores.masked_fill(hidden, float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class AttentionPool(nn.Module):
    def __init__(self, places, dim, heads, out):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(1 + places, dim))
        self.k_proj, self.q_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.c_proj, self.heads = nn.Linear(dim, out), heads

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positional_embedding
        y = attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads)
        return self.c_proj(y)[:, 0]


class ResNet(nn.Module):
    def __init__(self, c):
        super().__init__()
        n = c["dim"]
        self.conv1, self.bn1 = nn.Conv2d(3, n // 2, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(n // 2)
        self.conv2, self.bn2 = nn.Conv2d(n // 2, n // 2, 3, padding=1, bias=False), nn.BatchNorm2d(n // 2)
        self.conv3, self.bn3 = nn.Conv2d(n // 2, n, 3, padding=1, bias=False), nn.BatchNorm2d(n)
        self.layer1 = stage(n, n, c["depth1"], False)
        self.layer2 = stage(4 * n, 2 * n, c["depth2"], True)
        self.layer3 = stage(8 * n, 4 * n, c["depth3"], True)
        self.layer4 = stage(16 * n, 8 * n, c["depth4"], True)
        self.attnpool = AttentionPool((c["size"] // 32) ** 2, 32 * n, n // 2, c["embed"])

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        x = self.bn3(self.conv3(x)).relu()
        x = functional.avg_pool2d(x, 2)
        return self.attnpool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * dim))
        self.out_proj = nn.Linear(dim, dim)


class TextLayer(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.attn = heads, Attention(dim)
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(dim, 4 * dim), "c_proj": nn.Linear(4 * dim, dim)})

    def forward(self, x):
        n, own = x.shape[1], self.attn
        q, k, v = functional.linear(self.ln_1(x), own.in_proj_weight, own.in_proj_bias).chunk(3, -1)
        later = torch.ones(n, n, dtype=torch.bool).triu(1)
        x = x + own.out_proj(attend(q, k, v, self.heads, later))
        h = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](h * torch.sigmoid(1.702 * h))


class Clip(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim, layers = c["text_dim"], [TextLayer(c["text_dim"], c["text_heads"]) for _ in range(c["text_depth"])]
        self.positional_embedding = nn.Parameter(torch.empty(c["max_text"], dim))
        self.text_projection = nn.Parameter(torch.empty(dim, c["embed"]))
        self.logit_scale = nn.Parameter(torch.empty([]))
        self.visual = ResNet(c)
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(layers)})
        self.token_embedding = Embedding(c["vocab"], dim)
        self.ln_final = nn.LayerNorm(dim)

    def read(self, text):
        x = self.token_embedding(text) + self.positional_embedding[:text.shape[1]]
        for layer in self.transformer["resblocks"]:
            x = layer(x)
        x = self.ln_final(x)[torch.arange(len(x)), text.argmax(1)]
        return x @ self.text_projection


def image(model, x):
    v = model.visual(x["image"])
    return {"image_features": v, "image_embed": functional.normalize(v, dim=-1)}


def text(model, x):
    v = model.read(x["text"])
    return {"text_features": v, "text_embed": functional.normalize(v, dim=-1)}


def retrieve(model, x):
    logits = model.logit_scale.exp() * image(model, x)["image_embed"] @ text(model, x)["text_embed"].T
    return {"logits_per_image": logits, "logits_per_text": logits.T}


def pictures(c, n, seed):
    return torch.randn(n, 3, c["size"], c["size"], generator=torch.Generator().manual_seed(seed))


def texts(c, words, n, seed):
    """Start, words, end (the largest id), then zeros."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, c["vocab"] - 2, (len(words), n), generator=g, dtype=torch.int32)
    ids[:, 0] = c["vocab"] - 2
    for row, length in zip(ids, words):
        row[length - 1:] = 0
        row[length - 1] = c["vocab"] - 1
    return ids


def published(size, dim, depth, text_dim, embed):
    return {"size": size, "dim": dim, **{"depth%d" % (i + 1): n for i, n in enumerate(depth)}, "text_dim": text_dim,
            "text_depth": 12, "text_heads": text_dim // 64, "vocab": 49408, "max_text": 77, "embed": embed}


TINY = {"size": 64, "dim": 4, "depth1": 2, "depth2": 1, "depth3": 2, "depth4": 1, "text_dim": 24, "text_depth": 1,
        "text_heads": 2, "vocab": 48, "max_text": 12, "embed": 20}
PUBLISHED = {"RN50": published(224, 64, (3, 4, 6, 3), 512, 1024), "RN101": published(224, 64, (3, 4, 23, 3), 512, 512),
             "RN50x4": published(288, 80, (4, 6, 10, 6), 640, 640),
             "RN50x16": published(384, 96, (6, 8, 18, 8), 768, 768),
             "RN50x64": published(448, 128, (3, 15, 36, 10), 1024, 1024)}

if __name__ == "__main__":
    model = Clip(TINY)
    cases = Cases("clip_resnet", model, TINY, seed=31, page="clip")
    model.logit_scale.data = torch.tensor(2.5)
    cases.add("image", "image", {"image": pictures(TINY, 2, 300)}, image)
    cases.add("image_one", "image", {"image": pictures(TINY, 1, 301)}, image)
    cases.add("text", "text", {"text": texts(TINY, [5, 12, 3], 12, 302)}, text)
    cases.add("retrieve", "retrieve", {"image": pictures(TINY, 3, 303), "text": texts(TINY, [9, 4], 9, 304)}, retrieve)
    cases.write()
    for name, sizes in PUBLISHED.items():
        write_keys("clip_" + name, "CLIP %s without num_batches_tracked" % name, Clip(sizes))

"""EVA-02 and the image tower of EVA-CLIP: golden cases of models/eva02.sy and key lists, from the published description, with the
names of timm."""
import torch
from torch import nn
from torch.nn import functional

from common import Cases, write_keys
from siglip import attend


def turn(x, heads, angle):
    """Columns 2i and 2i + 1 of each head turned by the angle of i, of all tokens but the first; x [B, 1 + P, heads * d]."""
    patches = x[:, 1:].unflatten(-1, (heads, -1, 2))
    a, b, cos, sin = patches[..., 0], patches[..., 1], angle.cos()[:, None], angle.sin()[:, None]
    patches = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(2)
    return torch.cat([x[:, :1], patches], 1)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim, self.heads, self.fused = c["dim"], c["heads"], c["fused"]
        if self.fused:
            self.qkv = nn.Linear(dim, 3 * dim, bias=False)
            self.q_bias, self.v_bias = nn.Parameter(torch.empty(dim)), nn.Parameter(torch.empty(dim))
        else:
            self.q_proj, self.k_proj, self.v_proj = (nn.Linear(dim, dim, bias=b) for b in (True, False, True))
        self.norm = nn.LayerNorm(dim, c["eps"]) if c["inner_norm"] else nn.Identity()
        self.proj = nn.Linear(dim, dim)

    def forward(self, x, angle):
        if self.fused:
            q, k, v = self.qkv(x).chunk(3, -1)
            q, v = q + self.q_bias, v + self.v_bias
        else:
            q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        y = attend(turn(q, self.heads, angle), turn(k, self.heads, angle), v, self.heads)
        return self.proj(self.norm(y))


class GluMlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(c["dim"], 2 * c["ffn"]), nn.Linear(c["ffn"], c["dim"])

    def forward(self, x):
        gate, value = self.fc1(x).chunk(2, -1)
        return self.fc2(functional.silu(gate) * value)


class SwiGlu(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim, ffn = c["dim"], c["ffn"]
        self.fc1_g, self.fc1_x, self.norm, self.fc2 = nn.Linear(dim, ffn), nn.Linear(dim, ffn), nn.LayerNorm(ffn, c["eps"]), nn.Linear(ffn, dim)

    def forward(self, x):
        return self.fc2(self.norm(functional.silu(self.fc1_g(x)) * self.fc1_x(x)))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(c["dim"], c["eps"]), Attention(c)
        self.norm2, self.mlp = nn.LayerNorm(c["dim"], c["eps"]), (GluMlp if c["fused"] else SwiGlu)(c)

    def forward(self, x, angle):
        x = x + self.attn(self.norm1(x), angle)
        return x + self.mlp(self.norm2(x))


class Eva(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c = dict({"eps": 1e-6, "ffn": int(c["dim"] * 4 * 2 / 3), "fused": False, "inner_norm": False, "pooled": True,
                           "trained": 16, "classes": 1000}, **c)
        dim, self.grid = c["dim"], c["size"] // c["patch"]
        self.cls_token, self.pos_embed = nn.Parameter(torch.empty(1, 1, dim)), nn.Parameter(torch.empty(1, 1 + self.grid**2, dim))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, c["patch"], c["patch"])})
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["depth"]))
        setattr(self, "fc_norm" if c["pooled"] else "norm", nn.LayerNorm(dim, c["eps"]))
        self.head = nn.Linear(dim, c["classes"]) if c["classes"] else nn.Identity()

    def angles(self, kind):
        """[P, pairs]: bands of the row, then those of the column."""
        bands = self.c["dim"] // self.c["heads"] // 4
        speed = 1 / 10000 ** (torch.arange(bands, dtype=kind) / bands)
        at = torch.arange(self.grid, dtype=kind) / self.grid * self.c["trained"]
        y, x = torch.meshgrid(at, at, indexing="ij")
        return torch.cat([y[..., None] * speed, x[..., None] * speed], -1).flatten(0, 1)

    def forward(self, image):
        x = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(image), -1, -1), x], 1) + self.pos_embed
        angle = self.angles(x.dtype)
        for block in self.blocks:
            x = block(x, angle)
        return x if self.c["pooled"] else self.norm(x)

    def describe(self, hidden):
        return self.fc_norm(hidden[:, 1:].mean(1)) if self.c["pooled"] else hidden[:, 0]


def features(model, x):
    hidden = model(x["image"])
    return {"hidden": hidden, "image_features": model.describe(hidden)}


def classify(model, x):
    return {"logits": model.head(model.describe(model(x["image"])))}


def embed(model, x):
    return {"image_features": functional.normalize(classify(model, x)["logits"], dim=-1)}


def write_set(name, sizes, seed, routes):
    cases = Cases(name, Eva(sizes), sizes, seed, page="eva02")
    image = {"image": torch.randn(2, 3, sizes["size"], sizes["size"], generator=torch.Generator().manual_seed(seed + 1))}
    for route in routes:
        cases.add(route.__name__, route.__name__, image, route)
    for case in cases.cases:
        case["entry"] = "eva02"
    cases.write()


TINY = {"size": 24, "patch": 8, "dim": 32, "depth": 2, "heads": 2, "classes": 10, "eps": 1e-3, "trained": 5, "ffn": 40}
PUBLISHED = {"eva02_small_336": {"size": 336, "patch": 14, "dim": 384, "depth": 12, "heads": 6, "fused": True},
             "eva02_base_448": {"size": 448, "patch": 14, "dim": 768, "depth": 12, "heads": 12},
             "eva02_clip_l14_336": {"size": 336, "patch": 14, "dim": 1024, "depth": 24, "heads": 16, "inner_norm": True,
                                    "pooled": False, "classes": 768}}

if __name__ == "__main__":
    write_set("eva02", TINY, 91, [features, classify])
    write_set("eva02_fused", dict(TINY, fused=True), 92, [features, classify])
    write_set("eva02_clip", dict(TINY, inner_norm=True, pooled=False), 93, [embed])
    for part in (nn.Linear, nn.Conv2d):  # keys and shapes are all that is asked of the large ones
        part.reset_parameters = lambda self: None
    for name, sizes in PUBLISHED.items():
        write_keys(name, name, Eva(sizes))

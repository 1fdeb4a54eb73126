"""DINOv2 with registers and without: golden cases of models/dinov2.sy and key lists, from the published description."""
import torch
from torch import nn
from torch.nn import functional

from common import Cases, write_keys
from siglip import attend


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        return self.proj(attend(*self.qkv(x).chunk(3, -1), self.heads))


class Mlp(nn.Module):
    def __init__(self, dim, ffn):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, ffn), nn.Linear(ffn, dim)

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x)))


class SwiGlu(nn.Module):
    def __init__(self, dim, ffn):
        super().__init__()
        hidden = (int(ffn * 2 / 3) + 7) // 8 * 8
        self.w12, self.w3 = nn.Linear(dim, 2 * hidden), nn.Linear(hidden, dim)

    def forward(self, x):
        gate, value = self.w12(x).chunk(2, -1)
        return self.w3(functional.silu(gate) * value)


class Scale(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(dim))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim = c["dim"]
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(dim, c["eps"]), Attention(dim, c["heads"]), Scale(dim)
        self.norm2, self.ls2 = nn.LayerNorm(dim, c["eps"]), Scale(dim)
        self.mlp = (SwiGlu if c["swiglu"] else Mlp)(dim, c["ffn"])

    def forward(self, x):
        x = x + self.ls1.gamma * self.attn(self.norm1(x))
        return x + self.ls2.gamma * self.mlp(self.norm2(x))


class Dinov2(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c = dict({"eps": 1e-6, "ffn": 4 * c["dim"], "registers": 0, "swiglu": False, "classes": 1000}, **c)
        dim, grid = c["dim"], c["size"] // c["patch"]
        self.cls_token, self.pos_embed = nn.Parameter(torch.empty(1, 1, dim)), nn.Parameter(torch.empty(1, 1 + grid * grid, dim))
        if c["registers"]:
            self.register_tokens = nn.Parameter(torch.empty(1, c["registers"], dim))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, c["patch"], c["patch"])})
        self.blocks = nn.ModuleList(Layer(c) for _ in range(c["depth"]))
        self.norm, self.linear_head = nn.LayerNorm(dim, c["eps"]), nn.Linear(2 * dim, c["classes"])

    def forward(self, image):
        n, count = len(image), self.c["registers"]
        x = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(n, -1, -1), x], 1) + self.pos_embed
        if count:
            x = torch.cat([x[:, :1], self.register_tokens.expand(n, -1, -1), x[:, 1:]], 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def features(model, x):
    hidden = model(x["image"])
    return {"hidden": hidden, "image_features": hidden[:, 0]}


def classify(model, x):
    hidden = model(x["image"])
    patches = hidden[:, 1 + model.c["registers"]:]
    return {"logits": model.linear_head(torch.cat([hidden[:, 0], patches.mean(1)], -1))}


def write_set(name, sizes, seed):
    cases = Cases(name, Dinov2(sizes), sizes, seed, page="dinov2")
    image = {"image": torch.randn(2, 3, sizes["size"], sizes["size"], generator=torch.Generator().manual_seed(seed + 1))}
    cases.add("features", "features", image, features)
    cases.add("classify", "classify", image, classify)
    for case in cases.cases:
        case["entry"] = "dinov2"
    cases.write()


TINY = {"size": 24, "patch": 8, "dim": 24, "depth": 2, "heads": 3, "classes": 10, "eps": 1e-3}
BASE = {"dinov2_base": {"dim": 768, "depth": 12, "heads": 12},
        "dinov2_giant_reg": {"dim": 1536, "depth": 40, "heads": 24, "swiglu": True, "registers": 4}}

if __name__ == "__main__":
    write_set("dinov2", dict(TINY, ffn=40), 81)
    write_set("dinov2_registers", dict(TINY, registers=2, swiglu=True, ffn=60), 82)
    for part in (nn.Linear, nn.Conv2d):  # keys and shapes are all that is asked of the large ones
        part.reset_parameters = lambda self: None
    for name, sizes in BASE.items():
        write_keys(name, "%s without mask_token, with its linear head" % name, Dinov2(dict(sizes, size=518, patch=14)))

"""Variants of timm's VisionTransformer: golden cases of models/vit_timm.sy, with a distillation token (DeiT), and without a class token."""
import torch
from torch import nn

from common import Cases, write_keys
from dinov2 import Attention, Mlp


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(c["dim"], c["eps"]), nn.LayerNorm(c["dim"], c["eps"])
        self.attn, self.mlp = Attention(c["dim"], c["heads"]), Mlp(c["dim"], c["ffn"])
        if not c["qkv_bias"]:
            self.attn.qkv = nn.Linear(c["dim"], 3 * c["dim"], bias=False)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c = dict({"eps": 1e-6, "ffn": 4 * c["dim"], "classes": 1000, "distilled": False, "class_token": True, "pooled": False,
                           "qkv_bias": True}, **c)
        dim, self.front = c["dim"], c["class_token"] + c["distilled"]
        for name, there in (("cls_token", c["class_token"]), ("dist_token", c["distilled"])):
            if there:
                setattr(self, name, nn.Parameter(torch.empty(1, 1, dim)))
        self.pos_embed = nn.Parameter(torch.empty(1, self.front + (c["size"] // c["patch"]) ** 2, dim))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, c["patch"], c["patch"])})
        self.blocks = nn.ModuleList(Layer(c) for _ in range(c["depth"]))
        setattr(self, "fc_norm" if c["pooled"] else "norm", nn.LayerNorm(dim, c["eps"]))
        self.head = nn.Linear(dim, c["classes"])
        if c["distilled"]:
            self.head_dist = nn.Linear(dim, c["classes"])

    def forward(self, image):
        x = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        tokens = [getattr(self, n).expand(len(x), -1, -1) for n in ("cls_token", "dist_token") if hasattr(self, n)]
        x = torch.cat(tokens + [x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x if self.c["pooled"] else self.norm(x)


def classify(model, x):
    x = model(x["image"])
    if model.c["distilled"]:
        return {"logits": (model.head(x[:, 0]) + model.head_dist(x[:, 1])) / 2}
    return {"logits": model.head(model.fc_norm(x[:, model.front:].mean(1)) if model.c["pooled"] else x[:, 0])}


def write_set(name, sizes, seed):
    cases = Cases(name, Vit(sizes), sizes, seed, page="vit_timm")
    cases.add("classify", "classify", {"image": torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(seed + 1))}, classify)
    cases.cases[0]["entry"] = "vit_timm"
    cases.write()


TINY = {"size": 24, "patch": 8, "dim": 16, "depth": 2, "heads": 2, "ffn": 24, "classes": 6, "eps": 1e-3}

if __name__ == "__main__":
    write_set("vit_timm_distilled", dict(TINY, distilled=True), 101)
    write_set("vit_timm_pooled", dict(TINY, class_token=False, pooled=True, qkv_bias=False), 102)
    write_keys("timm_deit_tiny_distilled_patch16_224", "timm deit_tiny_distilled_patch16_224", Vit({
        "size": 224, "patch": 16, "dim": 192, "depth": 12, "heads": 3, "distilled": True}))

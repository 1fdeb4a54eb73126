"""The Swin Transformer: golden cases of models/swin.sy, from the published description, with the names of
microsoft/Swin-Transformer."""
import torch
from torch import nn
from torch.nn import functional

from common import Cases


class Attention(nn.Module):
    def __init__(self, dim, heads, side):
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * side - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
        apart = at[:, :, None] - at[:, None, :] + side - 1
        self.index = apart[0] * (2 * side - 1) + apart[1]
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, mask):
        """x [windows, places, dim]; mask [windows of a picture, places, places] is added, or None."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + self.relative_position_bias_table[self.index].permute(2, 0, 1)
        if mask is not None:
            scores = (scores.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x)))


def cut(x, side):
    x = x.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # [B, rows, side, columns, side, C]
    return x.transpose(2, 3).flatten(3, 4).flatten(0, 2)


class Block(nn.Module):
    def __init__(self, dim, heads, grid, window, moved, eps):
        super().__init__()
        self.grid, self.side = grid, min(grid, window)
        self.by = self.side // 2 if moved and grid > window else 0
        self.norm1, self.attn = nn.LayerNorm(dim, eps), Attention(dim, heads, self.side)
        self.norm2, self.mlp = nn.LayerNorm(dim, eps), Mlp(dim)

    def mask(self, kind):
        """-100 between places that no neighbours were before the roll."""
        part, count = torch.zeros(1, self.grid, self.grid, 1), 0
        edges = [slice(0, -self.side), slice(-self.side, -self.by), slice(-self.by, None)]
        for rows in edges:
            for columns in edges:
                part[:, rows, columns], count = count, count + 1
        part = cut(part, self.side)[..., 0]
        return torch.zeros_like(part[:, None] - part[:, :, None]).masked_fill(part[:, None] != part[:, :, None], -100).to(kind)

    def forward(self, x):
        h = self.norm1(x)
        if self.by:
            h = h.roll((-self.by, -self.by), (1, 2))
        h = self.attn(cut(h, self.side), self.mask(x.dtype) if self.by else None)
        n, side = self.grid // self.side, self.side
        h = h.reshape(len(x), n, n, side, side, -1).transpose(2, 3).reshape(x.shape)
        if self.by:
            h = h.roll((self.by, self.by), (1, 2))
        x = x + h
        return x + self.mlp(self.norm2(x))


class Merge(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * dim, eps), nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x):
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.reduction(self.norm(x))


class Stage(nn.Module):
    def __init__(self, dim, depth, heads, grid, window, last, eps):
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads, grid, window, i % 2 == 1, eps) for i in range(depth))
        if not last:
            self.downsample = Merge(dim, eps)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.downsample(x) if hasattr(self, "downsample") else x


class Swin(nn.Module):
    def __init__(self, c):
        super().__init__()
        c = dict({"size": 224, "patch": 4, "dim": 96, "deep": 6, "heads": 3, "window": 7, "classes": 1000, "eps": 1e-5}, **c)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, c["dim"], c["patch"], c["patch"]), "norm": nn.LayerNorm(c["dim"], c["eps"])})
        grid = c["size"] // c["patch"]
        self.layers = nn.ModuleList(Stage(c["dim"] * 2**s, c["deep"] if s == 2 else 2, c["heads"] * 2**s, grid // 2**s, c["window"],
                                          s == 3, c["eps"]) for s in range(4))
        self.norm, self.head = nn.LayerNorm(8 * c["dim"], c["eps"]), nn.Linear(8 * c["dim"], c["classes"])

    def forward(self, image):
        x = self.patch_embed["norm"](self.patch_embed["proj"](image).permute(0, 2, 3, 1))
        for stage in self.layers:
            x = stage(x)
        return self.norm(x.flatten(1, 2))


def features(model, x):
    hidden = model(x["image"])
    return {"hidden": hidden, "image_features": hidden.mean(1)}


def classify(model, x):
    return {"logits": model.head(model(x["image"]).mean(1))}


TINY = {"size": 32, "patch": 2, "dim": 8, "deep": 2, "heads": 1, "window": 4, "classes": 10, "eps": 1e-3}

if __name__ == "__main__":
    cases = Cases("swin", Swin(TINY), TINY, 94)
    image = {"image": torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(95))}
    cases.add("features", "features", image, features)
    cases.add("classify", "classify", image, classify)
    cases.write()

"""The blocks of std for pictures, slices with steps, padding and masks of queries and keys by PyTorch's functions: the golden case
blocks, whose page lies beside it."""
import torch
from torch import nn
from torch.nn import functional as F

from common import Cases, first


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.narrow = nn.Conv2d(32, 32, 3, padding=1, groups=8)
        self.wide = nn.Conv2d(32, 64, 3, padding=2, dilation=2, groups=2)
        self.apart = nn.Conv2d(32, 16, 3, stride=2, padding=3, dilation=(1, 3))
        self.each = nn.Conv2d(32, 32, 3, stride=2, dilation=(2, 3), groups=32)
        self.gn = nn.GroupNorm(4, 8, 1e-2)


def last(x):
    return x.permute(0, 2, 3, 1)


def front(x):
    return x.permute(0, 3, 1, 2)


def convolutions(model, x):
    return {k: last(getattr(model, k)(front(x["x"]))) for k in ("narrow", "wide", "apart", "each")}


def pools(model, x):
    x = front(x["x"])
    y = {"max_three": F.max_pool2d(x, 3, 2, 1), "max_two": F.max_pool2d(x, 2), "max_five": F.max_pool2d(x, 5, 1, 2),
         "mean_three": F.avg_pool2d(x, 3, 2, 1), "mean_inside": F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)}
    return {k: last(v) for k, v in y.items()}


def group_norms(model, x):
    return {"y": last(model.gn(front(x["x"])))}


def sizes(model, x):
    x = front(x["x"])
    y = {"twice": F.interpolate(x, scale_factor=2), "nearest": F.interpolate(x, (9, 4)),
         "linear": F.interpolate(x, (13, 10), mode="bilinear"),
         "aligned": F.interpolate(x, (4, 7), mode="bilinear", align_corners=True)}
    return {k: last(v) for k, v in y.items()}


def moves(model, x):
    x, i = x["x"], x["i"]
    return {"even": x[:, ::2], "odd": x[:, 1::2], "both": x[:, 0:6:3, ::2], "from_end": x[:, -4:-1:2], "around": F.pad(x, (0, 0, 2, 1)),
            "behind": F.pad(x, (0, 1), value=1.5), "ids": F.pad(i, (1, 0), value=-7)}


def tokens(model, x):
    m = x["real"][..., None].to(x["x"].dtype)
    return {"y": (x["x"] * m).sum(1) / m.sum(1).clamp(min=1)}


def attend(x, heads, seen, added=None):
    q = x.unflatten(-1, (heads, -1)).transpose(1, 2)
    scores = q @ q.transpose(-1, -2) / q.shape[-1] ** 0.5
    hidden = ~seen[:, None]
    scores = scores + hidden * added if added else scores.masked_fill(hidden, float("-inf"))
    weights = scores.softmax(-1).nan_to_num(0)  # a query that sees no key gets zeros
    return (weights @ q).transpose(1, 2).flatten(2)


def masks(model, x):
    x, seen, real = x["x"], x["seen"], x["real"]
    both = seen & real[:, None] & torch.ones(19, 19, dtype=torch.bool).tril()
    return {"plain": attend(x, 2, seen), "added": attend(x, 2, both, -100.0), "row": attend(x, 4, seen | ~real[:, None])[:, 3]}


if __name__ == "__main__":
    cases = Cases("blocks", Blocks(), {}, 96)
    g = torch.Generator().manual_seed(97)

    def noise(*shape):
        return torch.randn(*shape, generator=g)
    cases.add("convolutions", "convolutions", {"x": noise(2, 12, 10, 32)}, convolutions)
    cases.add("pools", "pools", {"x": noise(2, 13, 10, 8)}, pools)
    cases.add("group_norms", "group_norms", {"x": noise(2, 6, 5, 8)}, group_norms)
    cases.add("sizes", "sizes", {"x": noise(2, 6, 5, 8)}, sizes)
    cases.add("moves", "moves", {"x": noise(2, 7, 5), "i": torch.randint(0, 9, (2, 5), generator=g, dtype=torch.int32)}, moves)
    cases.add("tokens", "tokens", {"x": noise(3, 7, 5), "real": first([7, 3, 0], 7)}, tokens)
    seen = torch.rand(2, 19, 19, generator=g) < 0.6
    seen[1, 4] = False
    cases.add("masks", "masks", {"x": noise(2, 19, 32), "seen": seen, "real": first([19, 11], 19)}, masks)
    cases.write()

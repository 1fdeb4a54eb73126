"""EfficientNet as PyTorch modules, for the references of ALIGN and BriVL, which name its parts differently.

`names` says what a part is called: "widen", "widen_bn", "depthwise", "depthwise_bn", "reduce", "expand", "narrow",
"narrow_bn"; a dot stands for a module within a module.
"""
import math

from torch import nn
from torch.nn import functional

STAGES = [  # repeats, channels, kernel, stride, ratio
    (1, 16, 3, 1, 1), (2, 24, 3, 2, 6), (2, 40, 5, 2, 6), (3, 80, 3, 2, 6), (3, 112, 5, 1, 6), (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6)]


def channels(n, wide):
    """n scaled by `wide` per cent to the nearest multiple of 8, one more if that takes away a tenth."""
    want = n * wide / 100
    near = max(8, int(want + 4) // 8 * 8)
    return near + 8 if near < 0.9 * want else near


def repeats(n, deep):
    return math.ceil(round(n * deep / 100, 6))


def put(root, name, part):
    *path, last = name.split(".")
    for step in path:
        if not hasattr(root, step):
            root.add_module(step, nn.Module())
        root = getattr(root, step)
    root.add_module(last, part)


def get(root, name):
    for step in name.split("."):
        root = getattr(root, step)
    return root


def pad_same(x, side, stride):
    """TensorFlow's "same" padding: as many results as the stride fits, the odd zero below and to the right."""
    def zeros(n):
        missing = max((math.ceil(n / stride) - 1) * stride + side - n, 0)
        return missing // 2, missing - missing // 2
    return functional.pad(x, (*zeros(x.shape[3]), *zeros(x.shape[2])))


def pad_even(x, side, stride):
    """The same for sides that are even, whatever they are."""
    before = side // 2 - (1 if stride == 2 else 0)
    return functional.pad(x, (before, side // 2, before, side // 2))


class Block(nn.Module):
    """x [B, C, H, W]: widen, one convolution for each channel, gate, narrow; `skip` adds the input."""

    def __init__(self, n, out, side, stride, ratio, skip, pad, names, eps):
        super().__init__()
        self.side, self.stride, self.skip, self.pad, self.names = side, stride, skip, pad, names
        wide = n * ratio
        if ratio != 1:
            put(self, names["widen"], nn.Conv2d(n, wide, 1, bias=False))
            put(self, names["widen_bn"], nn.BatchNorm2d(wide, eps=eps))
        put(self, names["depthwise"], nn.Conv2d(wide, wide, side, stride, groups=wide, bias=False))
        put(self, names["depthwise_bn"], nn.BatchNorm2d(wide, eps=eps))
        put(self, names["reduce"], nn.Conv2d(wide, n // 4, 1))
        put(self, names["expand"], nn.Conv2d(n // 4, wide, 1))
        put(self, names["narrow"], nn.Conv2d(wide, out, 1, bias=False))
        put(self, names["narrow_bn"], nn.BatchNorm2d(out, eps=eps))
        self.ratio = ratio

    def part(self, name, x):
        return get(self, self.names[name])(x)

    def forward(self, x):
        h = x
        if self.ratio != 1:
            h = functional.silu(self.part("widen_bn", self.part("widen", h)))
        h = self.part("depthwise", self.pad(h, self.side, self.stride))
        h = functional.silu(self.part("depthwise_bn", h))
        gate = functional.silu(self.part("reduce", h.mean((2, 3), keepdim=True)))
        h = h * self.part("expand", gate).sigmoid()
        h = self.part("narrow_bn", self.part("narrow", h))
        return x + h if self.skip else h


def blocks(wide, deep, pad, names_of, eps=1e-3):
    """All blocks as (stage, number within it, block); names_of(stage) gives `names`."""
    n, made = channels(32, wide), []
    for stage, (count, out, side, stride, ratio) in enumerate(STAGES):
        out = channels(out, wide)
        for i in range(repeats(count, deep)):
            step = stride if i == 0 else 1
            made.append((stage, i, Block(n, out, side, step, ratio, i > 0, pad, names_of(stage), eps)))
            n = out
    return made

# make.py: the ONNX files of this folder, as PyTorch 1.13's exporter (Debian's python3-torch) writes them, with inputs and
# outputs: /usr/bin/python3 make.py, in this folder.
import json
import math
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(1)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.scale = (dim // heads) ** -0.5

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        weights = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(B, N, C))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.act = nn.GELU()

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    def __init__(self, dim=16, heads=2, depth=2, patch=8, size=16, classes=5):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)
        self.cls = nn.Parameter(torch.randn(1, 1, dim))
        self.pos = nn.Parameter(torch.randn(1, 1 + (size // patch) ** 2, dim))
        self.blocks = nn.ModuleList([Block(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)

    def forward(self, x):
        x = self.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class Layer(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.dense = (nn.Linear(dim, dim) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.inter, self.out = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def split(self, x):
        B, L, C = x.size()
        return x.view(B, L, self.heads, C // self.heads).permute(0, 2, 1, 3)

    def forward(self, x, mask):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        p = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.size(-1)) + mask, -1)
        c = (p @ v).permute(0, 2, 1, 3).contiguous()
        x = self.norm1(self.dense(c.view(c.size(0), c.size(1), -1)) + x)
        h = self.inter(x)
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        return self.norm2(self.out(h) + x)


class Bert(nn.Module):
    def __init__(self, dim=16, heads=2, depth=2, vocab=20, positions=12):
        super().__init__()
        self.word = nn.Embedding(vocab, dim)
        self.position = nn.Embedding(positions, dim)
        self.ln = nn.LayerNorm(dim, eps=1e-12)
        self.register_buffer("position_ids", torch.arange(positions).unsqueeze(0))
        self.layer = nn.ModuleList([Layer(dim, heads) for _ in range(depth)])

    def forward(self, ids, mask):
        x = self.ln(self.word(ids) + self.position(self.position_ids[:, : ids.size(1)]))
        hidden = (1.0 - mask[:, None, None, :].to(torch.float32)) * -10000.0
        for layer in self.layer:
            x = layer(x, hidden)
        return x


class Pictures(nn.Module):
    """A batch norm, groups with dilation, pooling of both kinds, a group norm, steps."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16)
        self.grouped, self.gn = nn.Conv2d(16, 32, 3, padding=2, dilation=2, groups=4), nn.GroupNorm(4, 32, 1e-3)
        self.head = nn.Linear(32, 5)

    def forward(self, image):
        x = F.max_pool2d(F.relu(self.bn(self.stem(image))), 3, 2, 1)
        x = self.gn(self.grouped(x))
        x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) + F.avg_pool2d(x, 3, 2, 1)
        return self.head(F.adaptive_avg_pool2d(F.relu(x[:, :, ::2, 1:]), 1).flatten(1))


def save_tensors(path, tensors):
    header, parts, at = {}, [], 0
    for name, t in tensors.items():
        t = t.detach()
        t = t.to(torch.int32) if t.dtype == torch.int64 else t
        data = t.contiguous().numpy().tobytes()
        dtype = {torch.float32: "F32", torch.int32: "I32"}[t.dtype]
        header[name] = {"dtype": dtype, "shape": list(t.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def save(name, model, args, inputs, output, axes):
    for p in model.parameters(): # no two tensors are equal, or the exporter makes one of them
        p.data += 0.05 * torch.randn_like(p)
    model.eval()
    torch.onnx.export(model, args, f"torch_{name}.onnx", input_names=inputs, output_names=[output], dynamic_axes=axes, opset_version=13)
    tensors = {"in." + n: a for n, a in zip(inputs, args)}
    tensors["out." + output] = model(*args)
    save_tensors(f"torch_{name}.safetensors", tensors)


save("vit", ViT(), (torch.randn(2, 3, 16, 16),), ["image"], "logits", {"image": {0: "B"}})
mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
axes = {"ids": {0: "B", 1: "L"}, "mask": {0: "B", 1: "L"}}
save("bert", Bert(), (torch.randint(0, 20, (2, 7)), mask), ["ids", "mask"], "hidden", axes)
save("pictures", Pictures(), (torch.randn(2, 3, 19, 22),), ["image"], "logits", {"image": {0: "B"}})

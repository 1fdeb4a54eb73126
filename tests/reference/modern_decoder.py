"""Llama, Qwen2, Mistral and Gemma: golden cases of models/modern_decoder.sy and key lists, from the published descriptions."""
import math

import torch
from torch import nn
from torch.nn import functional

from common import Cases, Embedding, write_keys


class RmsNorm(nn.Module):
    def __init__(self, dim, eps, less):
        super().__init__()
        self.weight, self.eps, self.less = nn.Parameter(torch.empty(dim)), eps, less

    def forward(self, x):
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * (self.weight + self.less)


def turn(x, theta):
    """x [B, heads, L, d]: columns i and i + d/2 turned by position * theta^(-2i/d)."""
    d = x.shape[-1]
    speed = theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.arange(x.shape[2], dtype=torch.float64)[:, None] * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :d // 2], x[..., d // 2:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, d = c, c["head_dim"]
        for name, n in (("q_proj", c["heads"]), ("k_proj", c["kv_heads"]), ("v_proj", c["kv_heads"])):
            setattr(self, name, nn.Linear(c["dim"], n * d, bias=c["qkv_bias"]))
        self.o_proj = nn.Linear(c["heads"] * d, c["dim"], bias=False)

    def forward(self, x, seen=None):
        """seen [.., queries, keys]: who sees whom; else those before, as far as the window."""
        c, n = self.c, x.shape[1]
        def split(y):
            return y.unflatten(-1, (-1, c["head_dim"])).transpose(1, 2)
        q, k, v = turn(split(self.q_proj(x)), c["theta"]), turn(split(self.k_proj(x)), c["theta"]), split(self.v_proj(x))
        k, v = (t.repeat_interleave(c["heads"] // c["kv_heads"], 1) for t in (k, v))
        i, j = torch.arange(n)[:, None], torch.arange(n)[None, :]
        if seen is None:
            seen = (j <= i) & (j > i - (c["window"] or n + 1))
        scores = (q @ k.transpose(-1, -2) / math.sqrt(c["head_dim"])).masked_fill(~seen, float("-inf"))
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gemma = c["gemma"]
        self.gate_proj, self.up_proj = (nn.Linear(c["dim"], c["ffn"], bias=False) for _ in range(2))
        self.down_proj = nn.Linear(c["ffn"], c["dim"], bias=False)

    def forward(self, x):
        g = self.gate_proj(x)
        g = 0.5 * g * (1 + torch.tanh(math.sqrt(2 / math.pi) * (g + 0.044715 * g ** 3))) if self.gemma else functional.silu(g)
        return self.down_proj(g * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn, self.mlp = Attention(c), Mlp(c)
        self.input_layernorm, self.post_attention_layernorm = (RmsNorm(c["dim"], c["eps"], c["gemma"]) for _ in range(2))

    def forward(self, x, seen=None):
        x = x + self.self_attn(self.input_layernorm(x), seen)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c = dict({"head_dim": c["dim"] // c["heads"], "theta": 10000.0, "eps": 1e-5, "qkv_bias": False, "tied": False,
                           "window": 0, "gemma": False}, **c)
        self.model = nn.ModuleDict({"embed_tokens": Embedding(c["vocab"], c["dim"]),
                                    "layers": nn.ModuleList(Layer(c) for _ in range(c["depth"])),
                                    "norm": RmsNorm(c["dim"], c["eps"], c["gemma"])})
        if not c["tied"]:
            self.lm_head = nn.Linear(c["dim"], c["vocab"], bias=False)

    def forward(self, text):
        x = self.model["embed_tokens"](text)
        if self.c["gemma"]:
            x = x * math.sqrt(self.c["dim"])
        for layer in self.model["layers"]:
            x = layer(x)
        x = self.model["norm"](x)
        return x @ self.model["embed_tokens"].weight.T if self.c["tied"] else self.lm_head(x)


def words(model, x):
    return {"logits": model(x["text"])}


def greedy(model, prompt, longest):
    """All scores anew for every token; nothing is kept from one to the next."""
    ids = prompt
    while ids.shape[1] < longest:
        ids = torch.cat([ids, model(ids)[:, -1:].argmax(-1).to(torch.int32)], 1)
    return ids


def write_set(name, sizes, seed):
    model = Decoder(sizes)
    cases = Cases(name, model, sizes, seed=seed, page="modern_decoder")
    g = torch.Generator().manual_seed(seed + 1)
    for case, shape in (("words", (2, 12)), ("one", (1, 1))):
        cases.add(case, "words", {"text": torch.randint(3, sizes["vocab"], shape, generator=g, dtype=torch.int32)}, words)
    prompt = torch.randint(3, sizes["vocab"], (2, 3), generator=g, dtype=torch.int32)
    with torch.no_grad():
        ids = greedy(model.to(torch.float64), prompt, sizes["max_text"] - 2)
    model.to(torch.float32)
    cases.generate("continue", "continue", {"prompt": prompt}, ids, sizes["end"])
    for case in cases.cases:
        case["entry"] = "modern_decoder"
    cases.write()


TINY = {"vocab": 60, "dim": 32, "depth": 2, "heads": 4, "kv_heads": 2, "ffn": 48, "max_text": 16, "end": 2}
BASE = {"tinyllama": {"vocab": 32000, "dim": 2048, "depth": 22, "heads": 32, "kv_heads": 4, "ffn": 5632},
        "smollm_135m": {"vocab": 49152, "dim": 576, "depth": 30, "heads": 9, "kv_heads": 3, "ffn": 1536, "tied": True},
        "qwen2_0_5b": {"vocab": 151936, "dim": 896, "depth": 24, "heads": 14, "kv_heads": 2, "ffn": 4864, "qkv_bias": True,
                       "tied": True}}

if __name__ == "__main__":
    write_set("modern_decoder", TINY, 61)
    write_set("modern_decoder_window", dict(TINY, window=4, qkv_bias=True, tied=True, theta=1e6, eps=1e-6), 62)
    nn.Linear.reset_parameters = lambda self: None  # keys and shapes are all that is asked of the large ones
    for preset, sizes in BASE.items():
        write_keys(preset, "the architecture of %s, as transformers names it" % preset, Decoder(sizes))
    write_set("modern_decoder_gemma", dict(TINY, kv_heads=1, head_dim=12, gemma=True, tied=True, eps=1e-6), 63)

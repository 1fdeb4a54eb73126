"""SigLIP and SigLIP 2 at a fixed resolution: golden cases of models/siglip.sy and key lists, from the published description."""
import math

import torch
from torch import nn
from torch.nn import functional

from common import Cases, Embedding, write_keys


def attend(q, k, v, heads):
    """[B, M, D], [B, N, D] -> [B, M, D]; every query sees every key."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    shares = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
    return (shares @ v).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(dim, dim))

    def forward(self, x):
        return self.out_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads))


class Mlp(nn.Module):
    def __init__(self, dim, ffn):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, ffn), nn.Linear(ffn, dim)

    def forward(self, x):
        h = self.fc1(x)
        return self.fc2(0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h ** 3))))


class Layer(nn.Module):
    def __init__(self, dim, heads, ffn, eps):
        super().__init__()
        self.self_attn, self.mlp = Attention(dim, heads), Mlp(dim, ffn)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(dim, eps), nn.LayerNorm(dim, eps)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


def encoder(depth, *sizes):
    return nn.ModuleDict({"layers": nn.ModuleList(Layer(*sizes) for _ in range(depth))})


def through(encoder, x):
    for layer in encoder["layers"]:
        x = layer(x)
    return x


class JoinedAttention(nn.Module):
    """torch.nn.MultiheadAttention's tensors, of one learned query."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight, self.in_proj_bias = nn.Parameter(torch.empty(3 * dim, dim)), nn.Parameter(torch.empty(3 * dim))
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, query, x):
        q, k, v = (functional.linear(y, w, b) for y, w, b in
                   zip((query, x, x), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)))
        return self.out_proj(attend(q, k, v, self.heads))


class PoolingHead(nn.Module):
    def __init__(self, dim, heads, ffn, eps):
        super().__init__()
        self.probe = nn.Parameter(torch.empty(1, 1, dim))
        self.attention, self.layernorm, self.mlp = JoinedAttention(dim, heads), nn.LayerNorm(dim, eps), Mlp(dim, ffn)

    def forward(self, x):
        y = self.attention(self.probe.expand(len(x), -1, -1), x)
        return (y + self.mlp(self.layernorm(y)))[:, 0]


class Vision(nn.Module):
    def __init__(self, c, head=True):
        super().__init__()
        sizes = (c["dim"], c["heads"], c["ffn"], c["eps"])
        self.embeddings = nn.ModuleDict({"patch_embedding": nn.Conv2d(3, c["dim"], c["patch"], c["patch"]),
                                         "position_embedding": Embedding((c["size"] // c["patch"]) ** 2, c["dim"])})
        self.encoder, self.post_layernorm = encoder(c["depth"], *sizes), nn.LayerNorm(c["dim"], c["eps"])
        if head:
            self.head = PoolingHead(*sizes)

    def forward(self, image):
        x = self.embeddings["patch_embedding"](image).flatten(2).transpose(1, 2)
        return self.post_layernorm(through(self.encoder, x + self.embeddings["position_embedding"].weight))


class Text(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim = c["text_dim"]
        self.embeddings = nn.ModuleDict({"token_embedding": Embedding(c["vocab"], dim),
                                         "position_embedding": Embedding(c["max_text"], dim)})
        self.encoder = encoder(c["text_depth"], dim, c["text_heads"], c["text_ffn"], c["eps"])
        self.final_layer_norm, self.head = nn.LayerNorm(dim, c["eps"]), nn.Linear(dim, c["dim"])

    def forward(self, text):
        x = self.embeddings["token_embedding"](text) + self.embeddings["position_embedding"].weight
        return self.head(self.final_layer_norm(through(self.encoder, x))[:, -1])


class Siglip(nn.Module):
    def __init__(self, c):
        super().__init__()
        c = dict({"eps": 1e-6, "vocab": 32000, "max_text": 64, "text_dim": c["dim"], "text_depth": c["depth"],
                  "text_heads": c["heads"], "text_ffn": c["ffn"]}, **c)
        self.logit_scale, self.logit_bias = nn.Parameter(torch.empty(1)), nn.Parameter(torch.empty(1))
        self.text_model, self.vision_model = Text(c), Vision(c)


def image(model, x):
    hidden = model.vision_model(x["image"])
    v = model.vision_model.head(hidden)
    return {"image_features": v, "image_embed": functional.normalize(v, dim=-1)}


def patches(model, x):
    return {"hidden": model.vision_model(x["image"])}


def retrieve(model, x):
    v, t = image(model, x)["image_embed"], functional.normalize(model.text_model(x["text"]), dim=-1)
    return {"logits_per_image": v @ t.T * model.logit_scale.exp() + model.logit_bias}


def losses(model, x):
    """-log sigmoid(z logit) of all pairs of a batch, z = 1 for the pairs that belong together and -1 for the others; the sum, a picture."""
    logits = retrieve(model, x)["logits_per_image"]
    z = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    return {"loss": -functional.logsigmoid(z * logits).sum(-1).mean()}


# 30 pixels are three patches of 8 and a rest, which no patch takes
TINY = {"size": 30, "patch": 8, "dim": 24, "depth": 2, "heads": 3, "ffn": 40, "text_dim": 16, "text_depth": 2, "text_heads": 2,
        "text_ffn": 24, "vocab": 40, "max_text": 8, "eps": 1e-3}
SO400M = {"dim": 1152, "depth": 27, "heads": 16, "ffn": 4304}
BASE = {"siglip_base": {"size": 224, "patch": 16, "dim": 768, "depth": 12, "heads": 12, "ffn": 3072},
        "siglip_so400m_384": dict(SO400M, size=384, patch=14),
        "siglip_v2_giant_256": {"size": 256, "patch": 16, "dim": 1536, "depth": 40, "heads": 16, "ffn": 6144, "vocab": 256000,
                                **{"text_" + k: v for k, v in SO400M.items()}}}

if __name__ == "__main__":
    model = Siglip(TINY)
    cases = Cases("siglip", model, TINY, seed=71)
    model.logit_scale.data, model.logit_bias.data = torch.tensor([2.5]), torch.tensor([-4.0])
    g = torch.Generator().manual_seed(710)
    picture = {"image": torch.randn(2, 3, 30, 30, generator=g)}
    texts = {"text": torch.randint(2, 40, (3, 8), generator=g, dtype=torch.int32)}
    texts["text"][1, 4:], texts["text"][2, 6:] = 1, 1  # padding, which is read
    cases.add("image", "image", picture, image)
    cases.add("patches", "patches", picture, patches)
    cases.add("retrieve", "retrieve", dict(picture, **texts), retrieve)
    both = dict(picture, text=texts["text"][:2])
    cases.train("contrastive", "contrastive", both, ["logit_*", "*_model.head.*", "text_model.encoder.layers.1.*"], losses)
    cases.write()
    for part in (nn.Linear, nn.Conv2d):  # keys and shapes are all that is asked of the large ones
        part.reset_parameters = lambda self: None
    for preset, sizes in BASE.items():
        write_keys(preset, "the architecture of google/%s, as transformers names it" % preset.replace("_", "-"), Siglip(sizes))

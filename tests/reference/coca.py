"""open_clip's CoCa: golden cases of models/coca.sy, from the published description (Yu et al., 2022) and open_clip's sizes."""
import torch
from torch import nn
from torch.nn import functional

from common import Cases, Embedding, write_keys


class Block(nn.Module):
    """Pre-norm; `cross`: keys and values come from elsewhere, behind a norm of their own."""

    def __init__(self, dim, heads, ffn, cross=False):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(dim), nn.MultiheadAttention(dim, heads, batch_first=True)
        if cross:
            self.ln_1_kv = nn.LayerNorm(dim)
        self.ln_2, self.mlp = nn.LayerNorm(dim), nn.ModuleDict({"c_fc": nn.Linear(dim, ffn), "c_proj": nn.Linear(ffn, dim)})

    def forward(self, x, hidden=None, memory=None):
        """hidden [queries, keys] or [B * heads, queries, keys]: true where a key is not seen."""
        h = self.ln_1(x)
        kv = h if memory is None else self.ln_1_kv(memory)
        x = x + self.attn(h, kv, kv, attn_mask=hidden, need_weights=False)[0]
        return x + self.mlp["c_proj"](functional.gelu(self.mlp["c_fc"](self.ln_2(x))))


def blocks(depth, *sizes, **more):
    return nn.ModuleList(Block(*sizes, **more) for _ in range(depth))


class Pooler(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.query = nn.Parameter(torch.empty(c["queries"], c["embed"]))
        self.attn = nn.MultiheadAttention(c["embed"], c["pool_heads"], kdim=c["dim"], vdim=c["dim"], batch_first=True)
        self.ln_q, self.ln_k = nn.LayerNorm(c["embed"]), nn.LayerNorm(c["dim"])

    def forward(self, x):
        q, x = self.ln_q(self.query).expand(len(x), -1, -1), self.ln_k(x)
        return self.attn(q, x, x, need_weights=False)[0]


class Visual(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim = c["dim"]
        self.class_embedding = nn.Parameter(torch.empty(dim))
        self.positional_embedding = nn.Parameter(torch.empty((c["size"] // c["patch"]) ** 2 + 1, dim))
        self.proj = nn.Parameter(torch.empty(c["embed"], c["embed"]))
        self.conv1, self.ln_pre = nn.Conv2d(3, dim, c["patch"], c["patch"], bias=False), nn.LayerNorm(dim)
        self.transformer = nn.ModuleDict({"resblocks": blocks(c["depth"], dim, c["heads"], 4 * dim)})
        self.attn_pool, self.ln_post = Pooler(c), nn.LayerNorm(c["embed"])

    def forward(self, image):
        x = self.conv1(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer["resblocks"]:
            x = block(x)
        return self.ln_post(self.attn_pool(x))


def later(n):
    return torch.ones(n, n, dtype=torch.bool).triu(1)


class Text(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim, self.heads = c["embed"], c["text_heads"]
        self.token_embedding = Embedding(c["vocab"], dim)
        self.positional_embedding = nn.Parameter(torch.empty(c["max_text"] + 1, dim))
        self.cls_emb, self.text_projection = nn.Parameter(torch.empty(dim)), nn.Parameter(torch.empty(dim, dim))
        self.transformer = nn.ModuleDict({"resblocks": blocks(c["text_depth"], dim, self.heads, 4 * dim)})
        self.ln_final = nn.LayerNorm(dim)

    def forward(self, text):
        """The vector of the token behind the text, and the states of its own tokens."""
        n = text.shape[1] + 1
        x = torch.cat([self.token_embedding(text), self.cls_emb.expand(len(text), 1, -1)], 1) + self.positional_embedding[:n]
        hidden = later(n).repeat(len(text), 1, 1)
        hidden[:, -1, 1:] = text == 0
        hidden = hidden.repeat_interleave(self.heads, 0)
        for block in self.transformer["resblocks"]:
            x = block(x, hidden)
        return self.ln_final(x[:, -1]) @ self.text_projection, x[:, :-1]


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        sizes = (c["words_depth"], c["embed"], c["words_heads"], 4 * c["embed"])
        self.resblocks, self.cross_attn = blocks(*sizes), blocks(*sizes, cross=True)
        self.ln_final, self.text_projection = nn.LayerNorm(c["embed"]), nn.Parameter(torch.empty(c["embed"], c["vocab"]))

    def forward(self, seen, x):
        for own, other in zip(self.resblocks, self.cross_attn):
            x = other(own(x, later(x.shape[1])), memory=seen)
        return self.ln_final(x) @ self.text_projection


class CoCa(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.empty([]))
        self.visual, self.text, self.text_decoder = Visual(c), Text(c), Decoder(c)
        self.eval()


def image(model, x):
    v = model.visual(x["image"])[:, 0] @ model.visual.proj
    return {"image_features": v, "image_embed": functional.normalize(v, dim=-1)}


def retrieve(model, x):
    t = functional.normalize(model.text(x["text"])[0], dim=-1)
    logits = model.logit_scale.exp() * image(model, x)["image_embed"] @ t.T
    return {"logits_per_image": logits, "logits_per_text": logits.T}


def words(model, x):
    return {"logits": model.text_decoder(model.visual(x["image"])[:, 1:], model.text(x["caption"])[1])}


TINY = {"size": 24, "patch": 8, "dim": 32, "depth": 2, "heads": 4, "queries": 5, "pool_heads": 2, "embed": 24, "text_depth": 2,
        "text_heads": 3, "words_depth": 2, "words_heads": 3, "vocab": 66, "max_text": 12}
B32 = {"size": 224, "patch": 32, "dim": 768, "depth": 12, "heads": 12, "queries": 256, "pool_heads": 8, "embed": 512, "text_depth": 12,
       "text_heads": 8, "words_depth": 12, "words_heads": 8, "vocab": 49408, "max_text": 76}

if __name__ == "__main__":
    model = CoCa(TINY)
    cases = Cases("coca", model, TINY, seed=75)
    g = torch.Generator().manual_seed(750)
    for part in model.modules():
        if isinstance(part, nn.LayerNorm):
            part.weight.data = 1 + 0.3 * torch.randn(part.weight.shape, generator=g)
    model.logit_scale.data = torch.tensor(2.5)
    picture = {"image": torch.randn(2, 3, 24, 24, generator=g)}
    text = torch.randint(1, 66, (3, 12), generator=g, dtype=torch.int32)
    text[1, 4:], text[2, 7:] = 0, 0
    caption = torch.randint(1, 64, (2, 7), generator=g, dtype=torch.int32)
    cases.add("image", "image", picture, image)
    cases.add("retrieve", "retrieve", dict(picture, text=text), retrieve)
    cases.add("words", "words", dict(picture, caption=caption), words)
    ids = torch.full((2, 1), 64, dtype=torch.int32)
    model.to(torch.float64)
    with torch.no_grad():
        seen = model.visual(picture["image"].double())[:, 1:]
        while ids.shape[1] < 10:
            ids = torch.cat([ids, model.text_decoder(seen, model.text(ids)[1])[:, -1:].argmax(-1).to(torch.int32)], 1)
    model.to(torch.float32)
    cases.generate("caption", "caption", picture, ids, 65)
    cases.write()
    for part in (nn.Linear, nn.Conv2d):  # keys and shapes are all that is asked of the large one
        part.reset_parameters = lambda self: None
    nn.MultiheadAttention._reset_parameters = lambda self: None
    write_keys("coca_b32", "the architecture of open_clip's coca_ViT-B-32", CoCa(B32))

"""PaliGemma: golden cases of models/paligemma.sy and its list of keys, from the published description (Beyer et al., 2024)."""
import math

import torch
from torch import nn

import modern_decoder
import siglip
from common import Cases, Embedding, write_keys


class Gemma(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.model = nn.ModuleDict({"embed_tokens": Embedding(c["vocab"], c["dim"]),
                                    "layers": nn.ModuleList(modern_decoder.Layer(c) for _ in range(c["depth"])),
                                    "norm": modern_decoder.RmsNorm(c["dim"], c["eps"], True)})


class PaliGemma(nn.Module):
    def __init__(self, c):
        super().__init__()
        decoder = {"head_dim": 256, "theta": 10000.0, "eps": 1e-6, "kv_heads": 1, "qkv_bias": False, "window": 0, "gemma": True}
        self.c = c = dict(decoder, **c)
        see = {"size": c["size"], "patch": c["patch"], "eps": c.get("image_eps", 1e-6)}
        see.update({k: c["image_" + k] for k in ("dim", "depth", "heads", "ffn")})
        self.vision_tower = nn.ModuleDict({"vision_model": siglip.Vision(see, head=False)})
        self.multi_modal_projector = nn.ModuleDict({"linear": nn.Linear(see["dim"], c["dim"])})
        self.language_model = Gemma(c)

    def features(self, image):
        return self.multi_modal_projector["linear"](self.vision_tower["vision_model"](image))

    def forward(self, image, text, given):
        """given [B, L]: tokens of the question, which all see; scores of the token behind each one."""
        part, root = self.language_model.model, math.sqrt(self.c["dim"])
        picture = self.features(image) / root
        x = torch.cat([picture, part["embed_tokens"](text)], 1) * root
        n, p = x.shape[1], picture.shape[1]
        seen = torch.cat([torch.ones(len(x), p, dtype=torch.bool), given], 1)[:, None, None, :]
        seen = seen | torch.ones(n, n, dtype=torch.bool).tril()
        for layer in part["layers"]:
            x = layer(x, seen)
        return part["norm"](x)[:, p:] @ part["embed_tokens"].weight.T


def image(model, x):
    return {"features": model.features(x["image"])}


def words(model, x):
    return {"logits": model(x["image"], x["text"], x["given"])}


def answer(model, picture, question, longest):
    """Greedy; all scores anew for every token, nothing is kept from one to the next."""
    ids, given = question, torch.ones(question.shape, dtype=torch.bool)
    while ids.shape[1] < longest:
        word = model(picture, ids, given)[:, -1:].argmax(-1).to(torch.int32)
        ids, given = torch.cat([ids, word], 1), torch.cat([given, torch.zeros_like(word, dtype=torch.bool)], 1)
    return ids


TINY = {"size": 16, "patch": 8, "image_dim": 24, "image_depth": 2, "image_heads": 2, "image_ffn": 40, "vocab": 60, "dim": 32,
        "depth": 2, "heads": 4, "kv_heads": 1, "head_dim": 12, "ffn": 48, "max_text": 14, "end": 2, "image_eps": 1e-3, "eps": 1e-3}
BASE = {"size": 224, "patch": 14, "image_dim": 1152, "image_depth": 27, "image_heads": 16, "image_ffn": 4304, "vocab": 257216,
        "dim": 2048, "depth": 18, "heads": 8, "ffn": 16384}

if __name__ == "__main__":
    model = PaliGemma(TINY)
    cases = Cases("paligemma", model, TINY, seed=73)
    g = torch.Generator().manual_seed(730)
    picture = torch.randn(2, 3, 16, 16, generator=g)
    text = torch.randint(3, 60, (2, 8), generator=g, dtype=torch.int32)
    given = torch.arange(8)[None, :] < torch.tensor([5, 3])[:, None]
    cases.add("image", "image", {"image": picture}, image)
    cases.add("words", "words", {"image": picture, "text": text, "given": given}, words)
    question, longest = text[:, :4].clone(), TINY["max_text"] - 2
    with torch.no_grad():
        ids = answer(model.to(torch.float64), picture.to(torch.float64), question, longest)
    model.to(torch.float32)
    cases.generate("answer", "answer", {"image": picture, "question": question}, ids, TINY["end"])
    cases.write()
    for part in (nn.Linear, nn.Conv2d):  # keys and shapes are all that is asked of the large one
        part.reset_parameters = lambda self: None
    write_keys("paligemma_pt_224", "the architecture of google/paligemma-3b-pt-224, as its files name it", PaliGemma(BASE))

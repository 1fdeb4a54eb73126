"""RoBERTa and XLM-R: golden cases of models/roberta.sy and key lists, from the published description."""
import torch
from torch import nn
from torch.nn import functional

from common import Cases, Embedding, Encoder, first, write_keys


class Embeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.word_embeddings = Embedding(c["vocab"], c["dim"])
        self.position_embeddings = Embedding(c["positions"], c["dim"])
        self.token_type_embeddings = Embedding(c["types"], c["dim"])
        self.LayerNorm = nn.LayerNorm(c["dim"], eps=c["eps"])

    def forward(self, text):
        real = text != 1  # the number of padding; positions count what is none, from the next number on
        place = real.long().cumsum(1) * real + 1
        return self.LayerNorm(self.word_embeddings(text) + self.position_embeddings(place) + self.token_type_embeddings.weight[0])


class Head(nn.Module):
    """Scores of the words; the decoder is the table of words."""

    def __init__(self, c, table):
        super().__init__()
        self.dense, self.layer_norm = nn.Linear(c["dim"], c["dim"]), nn.LayerNorm(c["dim"], eps=c["eps"])
        self.bias, self.table = nn.Parameter(torch.empty(c["vocab"])), [table]

    def forward(self, x):
        h = self.layer_norm(functional.gelu(self.dense(x)))
        return functional.linear(h, self.table[0].weight, self.bias)


class Roberta(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c = dict({"ffn": 4 * c["dim"], "vocab": 50265, "positions": 514, "types": 1, "eps": 1e-5}, **c)
        self.roberta = nn.ModuleDict({"embeddings": Embeddings(c),
                                      "encoder": Encoder(c["dim"], c["depth"], c["heads"], c["ffn"], c["eps"])})
        if "classes" in c:
            self.classifier = nn.ModuleDict({"dense": nn.Linear(c["dim"], c["dim"]), "out_proj": nn.Linear(c["dim"], c["classes"])})
        else:
            self.lm_head = Head(c, self.roberta["embeddings"].word_embeddings)

    def forward(self, x):
        return self.roberta["encoder"](self.roberta["embeddings"](x["text"]), x["text_mask"])


def text(model, x):
    return {"hidden": model(x)}


def masked_words(model, x):
    return {"mlm_logits": model.lm_head(model(x))}


def classify(model, x):
    h = torch.tanh(model.classifier["dense"](model(x)[:, 0]))
    return {"logits": model.classifier["out_proj"](h)}


def texts(c, words, n, seed):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, c["vocab"], (len(words), n), generator=g, dtype=torch.int32)
    return {"text": torch.where(first(words, n), ids, torch.ones_like(ids)), "text_mask": first(words, n)}


TINY = {"dim": 24, "depth": 2, "heads": 3, "ffn": 40, "vocab": 50, "positions": 12, "types": 1, "eps": 1e-3}
BASE = {"roberta_base": {"dim": 768, "depth": 12, "heads": 12},
        "roberta_large_mnli": {"dim": 1024, "depth": 24, "heads": 16, "classes": 3},
        "xlm_roberta_base": {"dim": 768, "depth": 12, "heads": 12, "vocab": 250002}}

if __name__ == "__main__":
    cases = Cases("roberta", Roberta(TINY), TINY, seed=91)
    cases.add("text", "text", texts(TINY, [10, 4], 10, 910), text)
    cases.add("masked_words", "masked_words", texts(TINY, [5, 3], 5, 911), masked_words)
    cases.write()
    nn.Linear.reset_parameters = lambda self: None  # keys and shapes are all that is asked of the large ones
    for name, sizes in BASE.items():
        write_keys(name, "%s as transformers names it" % name, Roberta(sizes))

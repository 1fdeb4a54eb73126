"""What the reference programs share: BERT's parts as PyTorch modules, seeded weights, and the writers of golden cases.

Everything is computed twice from the same float32 weights: in float64, whose results are stored (as float32), and in
float32, whose distance from them sets the tolerance of a case.
"""
import copy
import fnmatch
import json
import math
import pathlib
import re
import struct

import torch
from torch import nn

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"


class Embedding(nn.Module):
    """A table that is looked up, or read row by row; row `padding` is not trained by being looked up."""

    def __init__(self, rows, dim, padding=None):
        super().__init__()
        self.weight, self.padding = nn.Parameter(torch.empty(rows, dim)), padding

    def forward(self, ids):
        return nn.functional.embedding(ids.long(), self.weight, self.padding)


class BertEmbeddings(nn.Module):
    """Words, places and the first segment, added and normalised."""

    def __init__(self, vocab, positions, types, dim):
        super().__init__()
        self.word_embeddings = Embedding(vocab, dim, padding=0)
        self.position_embeddings = Embedding(positions, dim)
        self.token_type_embeddings = Embedding(types, dim)
        self.LayerNorm = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, text):
        place = self.position_embeddings(torch.arange(text.shape[1]))
        return self.LayerNorm(self.word_embeddings(text) + place + self.token_type_embeddings.weight[0])


class SelfAttention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)


class AddNorm(nn.Module):
    """Linear, added to the input of the block, then LayerNorm."""

    def __init__(self, width, dim, eps):
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(width, dim), nn.LayerNorm(dim, eps=eps)

    def forward(self, x, residual):
        return self.LayerNorm(self.dense(x) + residual)


class Dense(nn.Module):
    def __init__(self, dim, out):
        super().__init__()
        self.dense = nn.Linear(dim, out)


class BertLayer(nn.Module):
    """Post-norm layer; x [B, N, dim], real [B, N]: keys that are no padding."""

    def __init__(self, dim, heads, ffn, eps):
        super().__init__()
        self.heads = heads
        self.attention = nn.ModuleDict({"self": SelfAttention(dim), "output": AddNorm(dim, dim, eps)})
        self.intermediate, self.output = Dense(dim, ffn), AddNorm(ffn, dim, eps)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, real):
        own = self.attention["self"]
        q, k, v = self.split(own.query(x)), self.split(own.key(x)), self.split(own.value(x))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~real[:, None, None, :], float("-inf"))
        y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = self.attention["output"](y, x)
        return self.output(nn.functional.gelu(self.intermediate.dense(x)), x)


class Encoder(nn.Module):
    def __init__(self, dim, depth, heads, ffn, eps):
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(dim, heads, ffn, eps) for _ in range(depth))

    def forward(self, x, real):
        for layer in self.layer:
            x = layer(x, real)
        return x


class Pooler(Dense):
    def __init__(self, dim):
        super().__init__(dim, dim)

    def forward(self, x):
        return torch.tanh(self.dense(x[:, 0]))


class WordTransform(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(dim, dim), nn.LayerNorm(dim, eps=eps)


class WordHead(nn.Module):
    """Scores of the words; the decoder is the table of words, whose key is there a second time."""

    def __init__(self, table, eps):
        super().__init__()
        vocab, dim = table.shape
        self.transform = WordTransform(dim, eps)
        self.decoder = nn.Linear(dim, vocab, bias=False)
        self.decoder.weight = table
        self.bias = nn.Parameter(torch.empty(vocab))

    def forward(self, x):
        h = self.transform.LayerNorm(nn.functional.gelu(self.transform.dense(x)))
        return self.decoder(h) + self.bias


def fill(model, seed):
    """Seeded weights which let every part of the model matter: gains near 1, products that keep the size of their input."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=g)
        if "norm" in name.lower() and p.dim() == 1:
            p.data = (1 if name.endswith("weight") else 0) + 0.3 * noise
        elif p.dim() <= 1:
            p.data = 0.2 * noise
        elif re.search("embeddings?.weight$", name):
            p.data = 0.7 * noise
        else:
            p.data = 1.3 * noise / math.sqrt(p[0].numel())
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            fill_batch_norm(part, g)
    return model


def fill_batch_norm(part, g):
    """Gains and running statistics which keep the size of the input, and no two channels alike."""
    def noise():
        return torch.randn(part.weight.shape, generator=g)
    part.weight.data, part.bias.data = 1 + 0.3 * noise(), 0.2 * noise()
    part.running_mean, part.running_var = 0.3 * noise(), 0.5 + noise().abs()
    part.eval()


def weights_of(named):
    """Every tensor a page may ask for: parameters and running statistics."""
    return {k: t for k, t in named if not k.endswith("num_batches_tracked")}


def twice(model, function, inputs):
    """Results of function(model, inputs) in float64, and their largest relative distance to those in float32."""
    def run(kind):
        model.to(kind)
        with torch.no_grad():
            return function(model, {k: v.to(kind) if v.is_floating_point() else v for k, v in inputs.items()})
    exact, rough = run(torch.float64), run(torch.float32)
    model.to(torch.float32)
    error = {k: ((exact[k] - rough[k]).abs().max() / exact[k].abs().max()).item() for k in exact}
    return exact, error


def tolerance(error):
    """20 times the error, at least 1e-5, rounded up to 1, 2 or 5 times a power of ten."""
    want = max(20 * error, 1e-5)
    power = 10.0 ** math.floor(math.log10(want) + 1e-9)
    return float("%.0e" % next(m * power for m in (1, 2, 5, 10) if m * power >= want * (1 - 1e-9)))


TYPES = {torch.float32: ("F32", "f"), torch.int32: ("I32", "i"), torch.bool: ("BOOL", "?")}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, t in sorted(tensors.items()):
        t = t.detach().to(torch.float32) if t.is_floating_point() else t
        kind, code = TYPES[t.dtype]
        part = struct.pack("<%d%s" % (t.numel(), code), *t.flatten().tolist())
        header[name] = {"dtype": kind, "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Cases:
    """The cases of one set: add() computes a route on inputs, write() stores the folder. The page is `name` unless given."""

    def __init__(self, name, model, sizes, seed, page=None):
        self.name, self.model, self.sizes, self.page = name, fill(model, seed), sizes, page or name
        self.tensors, self.training, self.cases, self.weights = {}, {}, [], ["weights.safetensors"]

    def add(self, name, route, inputs, function):
        """function(model, inputs) -> {output: tensor}; the inputs' names are those of the route."""
        outputs, error = twice(self.model, function, inputs)
        for part, tensors in (("in", inputs), ("out", outputs)):
            self.tensors.update({"%s.%s.%s" % (name, part, k): v for k, v in tensors.items()})
        self.cases.append({
            "name": name, "kind": "forward", "model": self.page + ".sy", "entry": self.name, "set": self.sizes,
            "weights": ["weights.safetensors"], "tensors": ["io.safetensors"], "route": route,
            "inputs": {k: "%s.in.%s" % (name, k) for k in inputs},
            "outputs": {k: "%s.out.%s" % (name, k) for k in outputs},
            "atol": 1e-7, "rtol": tolerance(max(error.values()))})

    def train(self, name, objective, inputs, trainable, function, steps=0, states=()):
        """An objective's loss, and the gradients of the weights that a pattern of `trainable` fits (`*`: any text).

        steps: so many of AdamW, whose losses and weights are stored as well. states: what the function changes in the model,
        as it is behind the first call.
        """
        def run(kind):
            model = copy.deepcopy(self.model).to(kind)
            x = {k: v.to(kind) if v.is_floating_point() else v for k, v in inputs.items()}
            fits = {k: p for k, p in model.named_parameters() if any(fnmatch.fnmatchcase(k, t) for t in trainable)}
            loss = function(model, x)
            first = gradient = torch.autograd.grad(loss["loss"], list(fits.values()))
            now = dict([*model.named_parameters(), *model.named_buffers()])
            left, losses = {k: now[k].detach().clone() for k in states}, [loss["loss"].detach()]
            optimiser = torch.optim.AdamW(fits.values(), lr=1e-3, weight_decay=0.01)
            for _ in range(steps):
                for p, g in zip(fits.values(), gradient):
                    p.grad = g
                optimiser.step()
                next_loss = function(model, x)["loss"]
                gradient = torch.autograd.grad(next_loss, list(fits.values()))
                losses.append(next_loss.detach())
            return loss, dict(zip(fits, first)), left, torch.stack(losses), fits
        (exact, gradient, left, losses, after), (rough, near, _, _, _) = run(torch.float64), run(torch.float32)
        error = max(((gradient[k] - near[k]).abs().max() / (1e-2 + gradient[k].abs().max())).item() for k in near)
        file, kept = ("train.safetensors", self.training) if steps else ("io.safetensors", self.tensors)
        for part, tensors in (("in", inputs), ("out", exact), ("grad", gradient), ("state", left), ("after", after if steps else {})):
            kept.update({"%s.%s.%s" % (name, part, k): v for k, v in tensors.items()})
        self.cases.append({
            "name": name, "kind": "train", "model": self.page + ".sy", "entry": self.name, "set": self.sizes,
            "weights": self.weights, "tensors": [file], "objective": objective, "trainable": trainable,
            "inputs": {k: "%s.in.%s" % (name, k) for k in inputs}, "losses": {k: "%s.out.%s" % (name, k) for k in exact},
            "gradients": {"file": file, "prefix": name + ".grad.", "atol": 1e-6, "rtol": tolerance(error)},
            "atol": 1e-7, "rtol": tolerance(abs(exact["loss"] / rough["loss"] - 1).item())})
        if states:
            self.cases[-1]["state_after"] = {k: "%s.state.%s" % (name, k) for k in states}
        if steps:
            kept[name + ".losses"] = losses
            self.cases[-1].update({
                "loss_per_step": name + ".losses", "loss_per_step_rtol": 5e-5,
                "optimiser": {"name": "adamw", "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01, "steps": steps},
                "weights_after": {"file": file, "prefix": name + ".after.", "atol": 5e-5, "min_gradient": 1e-4, "else_atol": 3.1e-3},
                "skip_after": [{"match": "*.key.bias", "why": "its true gradient is 0, and Adam makes steps of its noise"}]})

    def generate(self, name, route, inputs, ids, end, pad=0):
        """What a greedy search finds, no end among it: ids i32 [B, longest], those of the prompt in front."""
        self.tensors.update({"%s.in.%s" % (name, k): v for k, v in inputs.items()}, **{name + ".out.ids": ids})
        like = {k: self.cases[0][k] for k in ("model", "set", "weights", "tensors", "atol", "rtol")}
        self.cases.append(dict({"name": name, "kind": "generate", "entry": self.name, "route": route,
                                "inputs": {k: "%s.in.%s" % (name, k) for k in inputs}, "outputs": {"ids": name + ".out.ids"},
                                "generate": {"rule": "hf", "beams": 1, "max_length": ids.shape[1], "min_length": 0,
                                             "length_penalty": 1.0, "eos": end, "pad": pad}}, **like))

    def write(self):
        folder = GOLDEN / self.name
        folder.mkdir(exist_ok=True)
        write_safetensors(folder / "weights.safetensors", weights_of([*self.model.named_parameters(), *self.model.named_buffers()]))
        write_safetensors(folder / "io.safetensors", self.tensors)
        if self.training:
            write_safetensors(folder / "train.safetensors", self.training)
        whole = {"format": 1, "set": self.name, "source": "tests/reference/%s.py" % self.name, "cases": self.cases}
        (folder / "cases.json").write_text(json.dumps(whole, indent=1) + "\n")


def write_keys(name, title, model):
    """Keys, shapes and ties of a model as the published file has them; running statistics are no parameters."""
    seen, rows, count = {}, [], 0
    for key, t in weights_of(model.state_dict(keep_vars=True).items()).items():
        tied = seen.setdefault(id(t), key)
        count += t.numel() if tied == key and isinstance(t, nn.Parameter) else 0
        rows.append("%s\tfloat32\t%s\t%s" % (key, "x".join(map(str, t.shape)) or "scalar", "" if tied == key else tied))
    head = ["# " + title, "# unique parameters %d; state_dict entries %d" % (count, len(rows)), "# key\tdtype\tshape\ttied_to"]
    (GOLDEN / "keys" / (name + ".tsv")).write_text("\n".join(head + rows) + "\n")


def first(lengths, n):
    """bool [B, n]: true for the first lengths[b] of each row."""
    return torch.arange(n)[None, :] < torch.tensor(lengths)[:, None]

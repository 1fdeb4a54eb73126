"""The measured models as plain PyTorch modules, filled from a checkpoint by its own names.

One form serves the export to ONNX and the PyTorch peer: fused q/k/v product, q scaled, matmul,
softmax, matmul. ONNX Runtime runs this form fastest on CPUs (its fused attention operators are slower).
The systems of image and text are in torch_systems.py.
"""
import torch
from torch import nn

import presets
import stfile
import torch_systems


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """x += out(attention(ln_1(x))); x += down(act(up(ln_2(x))))"""

    def __init__(self, dim, heads, ffn, eps, act, mask=None):
        super().__init__()
        self.heads, self.act = heads, act
        self.ln_1, self.ln_2 = nn.LayerNorm(dim, eps), nn.LayerNorm(dim, eps)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, ffn), nn.Linear(ffn, dim)
        self.register_buffer("mask", mask)

    def forward(self, x):
        batch, tokens, dim = (int(size) for size in x.shape)
        width = dim // self.heads
        q, k, v = (part.reshape(batch, tokens, self.heads, width) for part in self.qkv(self.ln_1(x)).chunk(3, dim=-1))
        scores = (q * width ** -0.5).permute(0, 2, 1, 3) @ k.permute(0, 2, 3, 1)
        if self.mask is not None:
            scores = scores + self.mask
        mixed = scores.softmax(dim=-1) @ v.permute(0, 2, 1, 3)
        x = x + self.out(mixed.permute(0, 2, 1, 3).reshape(batch, tokens, dim))
        return x + self.down(self.act(self.up(self.ln_2(x))))


class VisionTransformer(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.patch = nn.Conv2d(3, m.dim, m.patch, m.patch)
        self.class_token = nn.Parameter(torch.empty(1, 1, m.dim))
        self.position = nn.Parameter(torch.empty(1, presets.tokens(m), m.dim))
        self.blocks = nn.ModuleList(Block(m.dim, m.heads, m.ffn, 1e-6, nn.functional.gelu) for _ in range(m.depth))
        self.ln = nn.LayerNorm(m.dim, 1e-6)
        self.head = nn.Linear(m.dim, m.classes)

    def forward(self, image):
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(int(image.shape[0]), -1, -1), x], dim=1) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln(x[:, 0]))  # LayerNorm works by rows, so the row is taken first


class ClipImageTransformer(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.patch = nn.Conv2d(3, m.dim, m.patch, m.patch, bias=False)
        self.class_token = nn.Parameter(torch.empty(m.dim))
        self.position = nn.Parameter(torch.empty(presets.tokens(m), m.dim))
        self.ln_pre, self.ln = nn.LayerNorm(m.dim, 1e-5), nn.LayerNorm(m.dim, 1e-5)
        self.blocks = nn.ModuleList(Block(m.dim, m.heads, m.ffn, 1e-5, quick_gelu) for _ in range(m.depth))
        self.projection = nn.Parameter(torch.empty(m.dim, m.embed))

    def forward(self, image):
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(int(image.shape[0]), 1, -1), x], dim=1) + self.position
        x = self.ln_pre(x)
        for block in self.blocks:
            x = block(x)
        return self.ln(x[:, 0]) @ self.projection


class TextTransformer(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.embedding = nn.Embedding(m.vocab, m.dim)
        self.position = nn.Parameter(torch.empty(m.length, m.dim))
        mask = torch.full((m.length, m.length), float("-inf")).triu(1)
        self.blocks = nn.ModuleList(Block(m.dim, m.heads, m.ffn, 1e-5, quick_gelu, mask) for _ in range(m.depth))
        self.ln = nn.LayerNorm(m.dim, 1e-5)
        self.projection = nn.Parameter(torch.empty(m.dim, m.embed))

    def forward(self, text):
        x = self.embedding(text) + self.position
        for block in self.blocks:
            x = block(x)
        rows = torch.arange(int(text.shape[0]))
        return self.ln(x[rows, text.argmax(dim=-1)]) @ self.projection


# Prefixes of checkpoint names -> prefixes of the names above, the first one that fits.
RENAME = [("encoder.layers.encoder_layer_", "blocks."), ("transformer.resblocks.", "blocks."),
          ("conv_proj", "patch"), ("encoder.pos_embedding", "position"), ("encoder.ln", "ln"), ("heads.head", "head"),
          ("conv1", "patch"), ("class_embedding", "class_token"), ("ln_post", "ln"), ("proj", "projection"),
          ("token_embedding", "embedding"), ("positional_embedding", "position"), ("ln_final", "ln"), ("text_projection", "projection")]
INNER = [(".self_attention.", "."), (".attn.", "."), (".in_proj_", ".qkv."), (".out_proj.", ".out."), (".mlp.0.", ".up."),
         (".mlp.3.", ".down."), (".mlp.c_fc.", ".up."), (".mlp.c_proj.", ".down.")]


def own_name(name):
    for old, new in RENAME:
        if name.startswith(old):
            name = new + name[len(old):]
            break
    for old, new in INNER:
        name = name.replace(old, new)
    return name


def empty(key):
    """The module of a preset, without its weights, and the function from its checkpoint's names to its own."""
    m = presets.MODELS[key]
    if key in torch_systems.MODULES:
        return torch_systems.MODULES[key](m), lambda name: name
    kind = {presets.ViT: VisionTransformer, presets.ClipImage: ClipImageTransformer, presets.Text: TextTransformer}[type(m)]
    return kind(m), lambda name: own_name(name[len("visual."):] if isinstance(m, presets.ClipImage) else name)


def build(key, path):
    """The module of a preset with the weights of a file; every tensor that it needs must be there."""
    model, rename = empty(key)
    state = {rename(name): torch.from_numpy(array.copy()) for name, array in stfile.load(path).items()}
    missing = [name for name in model.state_dict() if name not in state and not name.endswith(".mask")]
    if missing:
        raise SystemExit(f"{path}: no weights for {', '.join(missing[:4])}" + (" ..." if len(missing) > 4 else ""))
    model.load_state_dict({name: tensor for name, tensor in state.items() if name in model.state_dict()}, strict=False)
    if hasattr(model, "finish"):
        with torch.no_grad():
            model.finish()
    return model.eval()


def load_inputs(path, row):
    """The inputs of a row's module. Token ids become int64, the type that torch's embedding and the exported graph take."""
    tensors = stfile.load(path)
    found = [torch.from_numpy(tensors[entry.name].copy()) for entry in presets.peer_inputs(row)]
    return tuple(tensor.long() if tensor.dtype == torch.int32 else tensor for tensor in found)


def results(answer):
    """What a module returned, as a tuple."""
    return answer if isinstance(answer, tuple) else (answer,)

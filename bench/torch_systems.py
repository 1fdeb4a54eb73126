"""The vision-language systems as plain PyTorch modules, under their checkpoints' own names.

Attributes are called what the checkpoint calls them, so that a file's tensors are the module's state. Arguments of
forward are the inputs of presets.peer_inputs, results those of presets.ROWS[...].outputs, in their order. Everything
that depends on weights alone (relative positions) is computed once, when the weights are loaded: finish().
"""
import torch
from torch import nn

import presets


class Parts(nn.Module):
    """Modules and parameters under names, without arithmetic of its own."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def parameter(*shape):
    return nn.Parameter(torch.empty(*shape))


def extents(x):
    return [int(size) for size in x.shape]


def attend(q, k, v, heads, bias=None):
    """softmax(q k^T / sqrt(width of a head) + bias) v"""
    batch, queries, dim = extents(q)
    keys, width = int(k.shape[1]), dim // heads
    q = (q * width ** -0.5).reshape(batch, queries, heads, width).permute(0, 2, 1, 3)
    k = k.reshape(batch, keys, heads, width).permute(0, 2, 3, 1)
    v = v.reshape(batch, keys, heads, width).permute(0, 2, 1, 3)
    scores = q @ k
    if bias is not None:
        scores = scores + bias
    return (scores.softmax(dim=-1) @ v).permute(0, 2, 1, 3).reshape(batch, queries, dim)


def hidden_keys(mask, like):
    """What is added to the scores: 0 for a token, a very negative number for padding; [B, 1, 1, keys]."""
    return (1 - mask[:, None, None].to(like.dtype)) * -1e9


# --- timm's ViT, encoder of ALBEF and BLIP ---------------------------------------------------------------------------


class TimmLayer(nn.Module):
    def __init__(self, dim, heads, ffn, eps):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps), nn.LayerNorm(dim, eps)
        self.attn = Parts(qkv=nn.Linear(dim, 3 * dim), proj=nn.Linear(dim, dim))
        self.mlp = Parts(fc1=nn.Linear(dim, ffn), fc2=nn.Linear(ffn, dim))

    def forward(self, x, bias=None):
        q, k, v = self.attn.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.attn.proj(attend(q, k, v, self.heads, bias))
        return x + self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm2(x))))


class TimmEncoder(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.cls_token, self.pos_embed = parameter(1, 1, m.dim), parameter(1, presets.tokens(m), m.dim)
        self.patch_embed = Parts(proj=nn.Conv2d(3, m.dim, m.patch, m.patch))
        self.blocks = nn.ModuleList(TimmLayer(m.dim, m.heads, m.ffn, 1e-6) for _ in range(m.depth))
        self.norm = nn.LayerNorm(m.dim, 1e-6)

    def embed(self, image):
        x = self.patch_embed.proj(image).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(int(image.shape[0]), -1, -1), x], dim=1) + self.pos_embed

    def forward(self, image):
        x = self.embed(image)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


# --- BERT ------------------------------------------------------------------------------------------------------------


class BertEmbeddings(nn.Module):
    def __init__(self, vocab, positions, dim, segments=2):
        super().__init__()
        self.word_embeddings, self.position_embeddings = nn.Embedding(vocab, dim), nn.Embedding(positions, dim)
        if segments:
            self.token_type_embeddings = nn.Embedding(segments, dim)
        self.segments, self.LayerNorm = segments, nn.LayerNorm(dim, 1e-12)

    def forward(self, text, at=0):
        x = self.word_embeddings(text)
        if self.segments:
            x = x + self.token_type_embeddings.weight[0]
        return self.LayerNorm(x + self.position_embeddings.weight[at:at + int(text.shape[1])])


class BertAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.self = Parts(query=nn.Linear(dim, dim), key=nn.Linear(dim, dim), value=nn.Linear(dim, dim))
        self.output = Parts(dense=nn.Linear(dim, dim), LayerNorm=nn.LayerNorm(dim, 1e-12))

    def keys_values(self, memory):
        return self.self.key(memory), self.self.value(memory)

    def over(self, x, k, v, bias=None):
        return self.output.LayerNorm(x + self.output.dense(attend(self.self.query(x), k, v, self.heads, bias)))

    def forward(self, x, memory, bias=None):
        return self.over(x, *self.keys_values(memory), bias)


class BertLayer(nn.Module):
    def __init__(self, dim, heads, ffn, cross):
        super().__init__()
        self.attention = BertAttention(dim, heads)
        if cross:
            self.crossattention = BertAttention(dim, heads)
        self.intermediate = Parts(dense=nn.Linear(dim, ffn))
        self.output = Parts(dense=nn.Linear(ffn, dim), LayerNorm=nn.LayerNorm(dim, 1e-12))

    def mlp(self, x):
        return self.output.LayerNorm(x + self.output.dense(nn.functional.gelu(self.intermediate.dense(x))))

    def forward(self, x, bias, memory=None):
        x = self.attention(x, x, bias)
        return self.mlp(x if memory is None else self.crossattention(x, memory))


# --- the systems -----------------------------------------------------------------------------------------------------


def answer_head(dim, answers, eps):
    return nn.Sequential(nn.Linear(dim, 2 * dim), nn.LayerNorm(2 * dim, eps), nn.GELU(), nn.Linear(2 * dim, answers))


class ViltVqa(nn.Module):
    """All patches of a full canvas in order: the position grid is taken as it is."""

    def __init__(self, m):
        super().__init__()
        self.text_embeddings = BertEmbeddings(m.vocab, m.length, m.dim)
        self.token_type_embeddings = nn.Embedding(2, m.dim)
        self.transformer = TimmEncoder(m)
        self.pooler = Parts(dense=nn.Linear(m.dim, m.dim))
        self.vqa_classifier = answer_head(m.dim, m.answers, 1e-5)

    def forward(self, text, text_mask, image):
        kind = self.token_type_embeddings.weight
        words, picture = self.text_embeddings(text) + kind[0], self.transformer.embed(image) + kind[1]
        x = torch.cat([words, picture], dim=1)
        real = torch.cat([text_mask, torch.ones(picture.shape[:2], dtype=torch.bool)], dim=1)
        bias = hidden_keys(real, x)
        for block in self.transformer.blocks:
            x = block(x, bias)
        pooled = torch.tanh(self.pooler.dense(self.transformer.norm(x[:, 0])))
        return self.vqa_classifier(pooled)


class AlbefMatch(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.visual_encoder = TimmEncoder(m)
        layers = nn.ModuleList(BertLayer(m.dim, m.heads, m.ffn, i >= m.fusion_layer) for i in range(m.depth))
        self.text_encoder = Parts(bert=Parts(embeddings=BertEmbeddings(m.vocab, m.positions, m.dim), encoder=Parts(layer=layers)))
        self.itm_head, self.fusion_layer = nn.Linear(m.dim, 2), m.fusion_layer

    def forward(self, image, text, text_mask):
        memory, bert = self.visual_encoder(image), self.text_encoder.bert
        x, bias = bert.embeddings(text), hidden_keys(text_mask, memory)
        for i, layer in enumerate(bert.encoder.layer):
            x = layer(x, bias, memory if i >= self.fusion_layer else None)
        return self.itm_head(x[:, 0])


MODULES = {"vilt-vqa": ViltVqa, "albef-match": AlbefMatch}

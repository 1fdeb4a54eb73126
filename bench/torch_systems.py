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
    return nn.Parameter(torch.empty(shape))


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
    """Words, and positions and segments where there are any."""

    def __init__(self, vocab, positions, dim, segments=2):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab, dim)
        self.position_embeddings = nn.Embedding(positions, dim) if positions else None
        self.token_type_embeddings = nn.Embedding(segments, dim) if segments else None
        self.LayerNorm = nn.LayerNorm(dim, 1e-12)

    def forward(self, text):
        x = self.word_embeddings(text)
        if self.token_type_embeddings is not None:
            x = x + self.token_type_embeddings.weight[0]
        if self.position_embeddings is not None:
            x = x + self.position_embeddings.weight[:int(text.shape[1])]
        return self.LayerNorm(x)


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


def mlp(dim, ffn):
    return Parts(fc1=nn.Linear(dim, ffn), fc2=nn.Linear(ffn, dim))


class VlmoLayer(nn.Module):
    """One attention; the MLP of a token is that of its modality, or the joint one in the upper layers."""

    def __init__(self, m, joint):
        super().__init__()
        self.heads, self.experts = m.heads, ["vl"] if joint else ["text", "imag"]
        self.gamma_1, self.gamma_2 = parameter(m.dim), parameter(m.dim)
        self.norm1 = nn.LayerNorm(m.dim, 1e-6)
        self.attn = Parts(qkv=nn.Linear(m.dim, 3 * m.dim, bias=False), proj=nn.Linear(m.dim, m.dim), q_bias=parameter(m.dim), v_bias=parameter(m.dim))
        for name in self.experts:
            setattr(self, f"norm2_{name}", nn.LayerNorm(m.dim, 1e-6))
            setattr(self, f"mlp_{name}", mlp(m.dim, m.ffn))
        self.register_buffer("positions", None, persistent=False)
        self.register_buffer("qkv_bias", None, persistent=False)

    def finish(self, positions):  # [1, heads, tokens, tokens]
        self.positions = positions
        self.qkv_bias = torch.cat([self.attn.q_bias, torch.zeros_like(self.attn.q_bias), self.attn.v_bias])

    def expert(self, x, name):
        part = getattr(self, f"mlp_{name}")
        return part.fc2(nn.functional.gelu(part.fc1(getattr(self, f"norm2_{name}")(x))))

    def forward(self, x, words, hidden):  # words: how many of the tokens are text
        q, k, v = nn.functional.linear(self.norm1(x), self.attn.qkv.weight, self.qkv_bias).chunk(3, dim=-1)
        x = x + self.gamma_1 * self.attn.proj(attend(q, k, v, self.heads, self.positions + hidden))
        pieces = [x] if len(self.experts) == 1 else [x[:, :words], x[:, words:]]
        done = [self.expert(piece, name) for piece, name in zip(pieces, self.experts)]
        return x + self.gamma_2 * (done[0] if len(done) == 1 else torch.cat(done, dim=1))


def vlmo_positions(m):
    """Row of the relative position table for every pair of tokens, [tokens, tokens]: text first, then the image.

    The table holds the offsets of two patches, three rows for the class token, one from text to image, one from image
    to text, the distances of two words, and three for the first word.
    """
    side, length, count = m.size // m.patch, m.length, presets.tokens(m)
    offsets = (2 * side - 1) ** 2
    near, every = offsets + 3, offsets + 3 + 2 * m.init_text + 2
    index = torch.empty(length + count, length + count, dtype=torch.long)
    words = torch.arange(length - 1)
    text, image = index[:length, :length], index[length:, length:]
    text[1:, 1:] = words[None] - words[:, None] + m.init_text - 2 + near + 2
    text[0, :], text[:, 0] = every - 3, every - 2
    text[0, 0] = every - 1
    index[:length, length:], index[length:, :length] = near, near + 1
    y, x = torch.arange(side * side) // side, torch.arange(side * side) % side
    image[1:, 1:] = (y[:, None] - y + side - 1) * (2 * side - 1) + x[:, None] - x + side - 1
    image[0, :], image[:, 0] = offsets, offsets + 1
    image[0, 0] = offsets + 2
    return index


class VlmoFusion(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m
        self.text_embeddings = BertEmbeddings(m.vocab, 0, m.dim)
        self.token_type_embeddings = nn.Embedding(2, m.dim)
        self.relative_position_bias_table = parameter((2 * (m.size // m.patch) - 1) ** 2 + 3 + 2 * m.init_text + 2, m.depth * m.heads)
        self.transformer = Parts(cls_token=parameter(1, 1, m.dim), patch_embed=Parts(proj=nn.Conv2d(3, m.dim, m.patch, m.patch)),
                                 blocks=nn.ModuleList(VlmoLayer(m, i >= m.vl) for i in range(m.depth)), norm=nn.LayerNorm(m.dim, 1e-6))
        self.pooler = Parts(dense=nn.Linear(m.dim, m.dim))

    def finish(self):
        every = self.relative_position_bias_table[vlmo_positions(self.m)].permute(2, 0, 1)[None]
        for block, positions in zip(self.transformer.blocks, every.chunk(self.m.depth, dim=1)):
            block.finish(positions.contiguous())

    def forward(self, image, text, text_mask):
        kind, t = self.token_type_embeddings.weight, self.transformer
        words = self.text_embeddings(text) + kind[0]
        patches = t.patch_embed.proj(image).flatten(2).transpose(1, 2)
        picture = torch.cat([t.cls_token.expand(int(image.shape[0]), -1, -1), patches], dim=1) + kind[1]
        x = torch.cat([words, picture], dim=1)
        hidden = hidden_keys(torch.cat([text_mask, torch.ones(picture.shape[:2], dtype=torch.bool)], dim=1), x)
        length = int(text.shape[1])
        for block in t.blocks:
            x = block(x, length, hidden)
        x = t.norm(x)
        return x[:, :length], x[:, length:], torch.tanh(self.pooler.dense(x[:, 0]))


def experts(make):
    """One module of a kind for each modality: A sees the image, B the text."""
    return Parts(A=make(), B=make())


def each(pair, xs):
    """Every modality through its own expert; xs: what there is of A (image) and B (text)."""
    return {name: getattr(pair, name)(x) for name, x in xs.items()}


def added(xs, ys):
    return {name: x + ys[name] for name, x in xs.items()}


class Beit3Mlp(nn.Module):
    def __init__(self, dim, ffn):
        super().__init__()
        self.fc1, self.ffn_layernorm, self.fc2 = nn.Linear(dim, ffn), nn.LayerNorm(ffn, 1e-5), nn.Linear(ffn, dim)

    def forward(self, x):
        return self.fc2(self.ffn_layernorm(nn.functional.gelu(self.fc1(x))))


class Beit3Layer(nn.Module):
    """Only the attention itself mixes the modalities."""

    def __init__(self, m):
        super().__init__()
        self.heads = m.heads
        norm, square = lambda: nn.LayerNorm(m.dim, 1e-5), lambda: nn.Linear(m.dim, m.dim)
        self.self_attn_layer_norm, self.final_layer_norm = experts(norm), experts(norm)
        self.self_attn = Parts(q_proj=experts(square), k_proj=experts(square), v_proj=experts(square), out_proj=experts(square),
                               inner_attn_ln=experts(norm))
        self.ffn = experts(lambda: Beit3Mlp(m.dim, m.ffn))

    def forward(self, xs, hidden):
        a, h = self.self_attn, each(self.self_attn_layer_norm, xs)
        q, k, v = (torch.cat(list(each(pair, h).values()), dim=1) for pair in (a.q_proj, a.k_proj, a.v_proj))
        mixed = attend(q, k, v, self.heads, hidden).split([int(x.shape[1]) for x in xs.values()], dim=1)
        xs = added(xs, each(a.out_proj, each(a.inner_attn_ln, dict(zip(xs, mixed)))))
        return added(xs, each(self.ffn, each(self.final_layer_norm, xs)))


class Beit3(nn.Module):
    def __init__(self, m, final_norm):
        super().__init__()
        position = Parts(A=nn.Embedding(presets.tokens(m) + 2, m.dim), B=nn.Embedding(m.positions, m.dim))
        self.vision_embed = Parts(cls_token=parameter(1, 1, m.dim), proj=nn.Conv2d(3, m.dim, m.patch, m.patch))
        self.text_embed = nn.Embedding(m.vocab, m.dim)
        self.encoder = Parts(embed_positions=position, layers=nn.ModuleList(Beit3Layer(m) for _ in range(m.depth)))
        if final_norm:
            self.encoder.layer_norm = experts(lambda: nn.LayerNorm(m.dim, 1e-5))

    def see(self, image):
        x = self.vision_embed.proj(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.vision_embed.cls_token.expand(int(image.shape[0]), -1, -1), x], dim=1)
        return x + self.encoder.embed_positions.A.weight[2:]

    def read(self, text, text_mask):  # 0 where there is padding
        x = self.text_embed(text) + self.encoder.embed_positions.B.weight[2:2 + int(text.shape[1])]
        return x * text_mask[..., None].to(x.dtype)

    def forward(self, xs, hidden=None):
        for layer in self.encoder.layers:
            xs = layer(xs, hidden)
        return xs


class Beit3Vqa(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.beit3 = Beit3(m, False)
        self.pooler = Parts(norm=nn.LayerNorm(m.dim, 1e-5), dense=nn.Linear(m.dim, m.dim))
        self.head = answer_head(m.dim, m.answers, 1e-5)

    def forward(self, image, text, text_mask):
        picture, words = self.beit3.see(image), self.beit3.read(text, text_mask)
        real = torch.cat([torch.ones(picture.shape[:2], dtype=torch.bool), text_mask], dim=1)
        x = self.beit3({"A": picture, "B": words}, hidden_keys(real, words))["A"][:, 0]
        pooled = torch.tanh(self.pooler.dense(self.pooler.norm(x)))
        return self.head(pooled), pooled


class Beit3Retrieve(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.beit3, self.logit_scale = Beit3(m, True), parameter()
        self.vision_head, self.language_head = nn.Linear(m.dim, m.dim, bias=False), nn.Linear(m.dim, m.dim, bias=False)

    def encode(self, xs, name, head, hidden=None):  # the first token alone through the last norm
        x = self.beit3(xs, hidden)[name][:, 0]
        return nn.functional.normalize(head(getattr(self.beit3.encoder.layer_norm, name)(x)), dim=-1)

    def forward(self, image, text, text_mask):
        v = self.encode({"A": self.beit3.see(image)}, "A", self.vision_head)
        words = self.beit3.read(text, text_mask)
        t = self.encode({"B": words}, "B", self.language_head, hidden_keys(text_mask, words))
        scores = (v * self.logit_scale.exp()) @ t.t()
        return v, t, scores, scores.t()


def by_head(x, heads):
    """[B, N, dim] as [B, heads, N, dim / heads]"""
    return x.reshape(int(x.shape[0]), -1, heads, int(x.shape[2]) // heads).permute(0, 2, 1, 3)


class BlipCaption(nn.Module):
    """A decoder over an image, with the interface of torch_words.py. Kept are keys and values of the image, past are
    those of the words, both [B, heads, tokens, width of a head], by layer."""

    def __init__(self, m):
        super().__init__()
        self.heads = m.heads
        self.visual_encoder = TimmEncoder(m)
        layers = nn.ModuleList(BertLayer(m.dim, m.heads, m.ffn, True) for _ in range(m.depth))
        transform = Parts(dense=nn.Linear(m.dim, m.dim), LayerNorm=nn.LayerNorm(m.dim, 1e-12))
        self.text_decoder = Parts(bert=Parts(embeddings=BertEmbeddings(m.vocab, m.positions, m.dim, segments=0), encoder=Parts(layer=layers)),
                                  cls=Parts(predictions=Parts(bias=parameter(m.vocab), transform=transform)))

    def layers(self):
        return self.text_decoder.bert.encoder.layer

    def keys_values(self, attention, x):
        return [by_head(y, self.heads) for y in attention.keys_values(x)]

    def over(self, attention, x, k, v, bias=None):
        q = by_head(attention.self.query(x), self.heads)
        scores = (q * int(q.shape[3]) ** -0.5) @ k.transpose(2, 3)
        if bias is not None:
            scores = scores + bias
        y = (scores.softmax(dim=-1) @ v).permute(0, 2, 1, 3).reshape(extents(x))
        return attention.output.LayerNorm(x + attention.output.dense(y))

    def decode(self, x, kept, past, bias=None):
        """Scores of the word behind the last of x; keys and values of x join the past."""
        now = []
        for i, layer in enumerate(self.layers()):
            k, v = self.keys_values(layer.attention, x)
            if past:
                k, v = torch.cat([past[2 * i], k], dim=2), torch.cat([past[2 * i + 1], v], dim=2)
            now += [k, v]
            x = self.over(layer.attention, x, k, v, bias)
            x = layer.mlp(self.over(layer.crossattention, x, kept[2 * i], kept[2 * i + 1]))
        head = self.text_decoder.cls.predictions
        h = head.transform.LayerNorm(nn.functional.gelu(head.transform.dense(x[:, -1])))
        return nn.functional.linear(h, self.text_decoder.bert.embeddings.word_embeddings.weight, head.bias), now

    def start(self, image, text):
        memory = self.visual_encoder(image)
        kept = [part for layer in self.layers() for part in self.keys_values(layer.crossattention, memory)]
        length = int(text.shape[1])
        later = torch.full((length, length), -1e9, dtype=memory.dtype).triu(1)
        scores, past = self.decode(self.text_decoder.bert.embeddings(text), kept, [], later)
        return scores, kept, past

    def step(self, word, at, kept, past):
        e = self.text_decoder.bert.embeddings
        return self.decode(e.LayerNorm(e.word_embeddings(word) + e.position_embeddings(at)), kept, past)


MODULES = {"vilt-vqa": ViltVqa, "albef-match": AlbefMatch, "vlmo-fusion": VlmoFusion, "beit3-vqa": Beit3Vqa,
           "beit3-retrieve": Beit3Retrieve, "blip-caption": BlipCaption}

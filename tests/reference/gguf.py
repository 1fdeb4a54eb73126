#!/usr/bin/env python3
"""Writes GGUF files, and what is in them, from the format's description alone (docs/gguf.md and the block_* structures of
src/ggml-common.h in ggml-org/ggml). Needs NumPy.

  ../gguf/types.gguf          a tensor of every element type, random blocks; values of every type
  ../gguf/types.safetensors   the same tensors as F32, dequantised here; rows of q and k as before llama.cpp's permutation
  ../fuzz/corpus/fuzz_gguf    small files of every kind

Every product is formed in float32 and is exact there (11 bits of a half, at most 8 of a scale, at most 6 of a code)."""
import json
import os
import struct

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
f4 = np.float32
rng = np.random.default_rng(20)


# ---- values
def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(b)) + b


FORM = {"u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"),
        "f32": (6, "f"), "bool": (7, "B"), "string": (8, None), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d")}


def bare(kind, v):
    return text(v) if kind == "string" else struct.pack("<" + FORM[kind][1], v)


def value(key, kind, v):
    head = text(key)
    if kind == "nested":  # an array of arrays of u8
        inner = b"".join(struct.pack("<IQ", 0, len(x)) + bytes(x) for x in v)
        return head + struct.pack("<IIQ", 9, 9, len(v)) + inner
    if isinstance(v, list):
        return head + struct.pack("<IIQ", 9, FORM[kind][0], len(v)) + b"".join(bare(kind, x) for x in v)
    return head + struct.pack("<I", FORM[kind][0]) + bare(kind, v)


def gguf(values, tensors, version=3, align=32):
    """tensors: (name, shape with the outermost first, type number, bytes)"""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join(values)
    at = 0
    for name, shape, kind, data in tensors:
        out += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in reversed(shape))
        out += struct.pack("<IQ", kind, at)
        at += -(-len(data) // align) * align
    out += bytes(-len(out) % align)
    for _, _, _, data in tensors:
        out += data + bytes(-len(data) % align)
    return out


# ---- blocks: each takes n blocks as bytes [n, size] and gives floats [n, elements]
def half(b, at):
    return np.ascontiguousarray(b[:, at:at + 2]).view("<f2").astype(f4)  # [n, 1]


def bits(b, count):
    """[n, m] bytes as [n, count / .., m]: groups of `count` bits, the low ones first"""
    return np.stack([b >> s & ((1 << count) - 1) for s in range(0, 8, count)], axis=1).astype(np.int32)


def q4_0(b):
    return (bits(b[:, 2:], 4).reshape(-1, 32) - 8).astype(f4) * half(b, 0)


def q4_1(b):
    return bits(b[:, 4:], 4).reshape(-1, 32).astype(f4) * half(b, 0) + half(b, 2)


def fifth(b):  # 4 bytes, the bit of element 0 first
    return np.unpackbits(b, axis=1, bitorder="little").astype(np.int32)


def q5_0(b):
    return (bits(b[:, 6:], 4).reshape(-1, 32) + 16 * fifth(b[:, 2:6]) - 16).astype(f4) * half(b, 0)


def q5_1(b):
    return (bits(b[:, 8:], 4).reshape(-1, 32) + 16 * fifth(b[:, 4:8])).astype(f4) * half(b, 0) + half(b, 2)


def q8_0(b):
    return b[:, 2:].view(np.int8).astype(f4) * half(b, 0)


def spread(x, m):
    return np.repeat(x, m, axis=1)


def q2_k(b):
    q = bits(b[:, 16:80].reshape(-1, 32), 2).reshape(-1, 256)
    s, m = spread(b[:, :16] & 15, 16).astype(f4), spread(b[:, :16] >> 4, 16).astype(f4)
    return half(b, 80) * s * q.astype(f4) - half(b, 82) * m


def q3_k(b):
    q = bits(b[:, 32:96].reshape(-1, 32), 2).reshape(-1, 256)
    third = bits(b[:, :32], 1).reshape(-1, 256)  # bit k of byte l: element 32 k + l
    low = bits(b[:, 96:104], 4).reshape(-1, 16)
    high = bits(b[:, 104:108], 2).reshape(-1, 16)
    s = spread(low + 16 * high - 32, 16)
    return half(b, 108) * s.astype(f4) * (q + 4 * third - 4).astype(f4)


def six_bits(b):
    """12 bytes: 8 scales and 8 minima"""
    low = b[:, :8] & 63
    s = np.concatenate([low[:, :4], (b[:, 8:12] & 15) | (b[:, 0:4] >> 6) << 4], axis=1)
    m = np.concatenate([low[:, 4:8], (b[:, 8:12] >> 4) | (b[:, 4:8] >> 6) << 4], axis=1)
    return spread(s, 32).astype(f4), spread(m, 32).astype(f4)


def q4_k(b):
    q = bits(b[:, 16:].reshape(-1, 32), 4).reshape(-1, 256)
    s, m = six_bits(b[:, 4:16])
    return half(b, 0) * s * q.astype(f4) - half(b, 2) * m


def q5_k(b):
    q = bits(b[:, 48:].reshape(-1, 32), 4).reshape(-1, 256) + 16 * bits(b[:, 16:48], 1).reshape(-1, 256)
    s, m = six_bits(b[:, 4:16])
    return half(b, 0) * s * q.astype(f4) - half(b, 2) * m


def q6_k(b):
    low = bits(b[:, :128].reshape(-1, 64), 4).reshape(-1, 256)
    high = bits(b[:, 128:192].reshape(-1, 32), 2).reshape(-1, 256)
    s = spread(b[:, 192:208].view(np.int8), 16).astype(f4)
    return half(b, 208) * s * (low + 16 * high - 32).astype(f4)


def q8_k(b):
    return np.ascontiguousarray(b[:, :4]).view("<f4") * b[:, 4:260].view(np.int8).astype(f4)


BLOCKS = {"Q4_0": (2, 32, 18, q4_0, [0]), "Q4_1": (3, 32, 20, q4_1, [0, 2]), "Q5_0": (6, 32, 22, q5_0, [0]),
          "Q5_1": (7, 32, 24, q5_1, [0, 2]), "Q8_0": (8, 32, 34, q8_0, [0]), "Q2_K": (10, 256, 84, q2_k, [80, 82]),
          "Q3_K": (11, 256, 110, q3_k, [108]), "Q4_K": (12, 256, 144, q4_k, [0, 2]),
          "Q5_K": (13, 256, 176, q5_k, [0, 2]), "Q6_K": (14, 256, 210, q6_k, [208]), "Q8_K": (15, 256, 292, q8_k, [])}


def random_blocks(name, n):
    """Any bytes are codes; the halves are finite: large, small, subnormal, zero, of both signs."""
    _, _, size, _, halves = BLOCKS[name]
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for at in halves:
        h = (rng.standard_normal((n, 1)) * np.exp2(rng.integers(-20, 6, (n, 1)))).astype("<f2")
        h[0] = np.array(0x8001, "<u2").view("<f2")  # the negative one that is next to zero
        b[:, at:at + 2] = h.view(np.uint8)
    if name == "Q8_K":
        b[:, :4] = rng.standard_normal((n, 1)).astype("<f4").view(np.uint8)
    return b


def turned(x, heads):
    """What llama.cpp does to the rows of q and k (conversion/llama.py, permute)."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(x.shape)


def safetensors(path, tensors):
    head, at = {}, 0
    for name, x in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    h = json.dumps(head, separators=(",", ":")).encode()
    h += b" " * (-len(h) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + b"".join(x.astype("<f4").tobytes() for x in tensors.values()))


def write(path, data):
    path = os.path.join(here, "..", path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


VALUES = [value("general.architecture", "string", "llama"), value("general.alignment", "u32", 64),
          value("general.name", "string", "types \x1b[31m and \n lines"), value("llama.attention.head_count", "u32", 4),
          value("llama.attention.head_count_kv", "u32", 2), value("a.u8", "u8", 200), value("a.i8", "i8", -100),
          value("a.u16", "u16", 60000), value("a.i16", "i16", -30000), value("a.i32", "i32", -2000000000),
          value("a.f32", "f32", 0.1), value("a.bool", "bool", 1), value("a.u64", "u64", 2**63 + 1),
          value("a.i64", "i64", -2**62), value("a.f64", "f64", 0.1), value("a.texts", "string", ["one", b"\xff\x00two", "", "é"]),
          value("a.long", "i32", list(range(-5, 95))), value("a.empty", "f32", []), value("a.nested", "nested", [[1, 2], [], [3]])]


def types():
    files, want = [], {}
    for name, (number, elements, size, decode, _) in BLOCKS.items():
        rows, cols = 3, 2 * elements
        b = random_blocks(name, rows * cols // elements)
        files.append((name, (rows, cols), number, b.tobytes()))
        want[name] = decode(b).reshape(rows, cols)
    for name, number, kind in (("F32", 0, "<f4"), ("F16", 1, "<f2"), ("F64", 28, "<f8")):
        x = rng.standard_normal((3, 2, 5)).astype(kind)
        files.append((name, x.shape, number, x.tobytes()))
        want[name] = x.astype(f4)
    x = (rng.standard_normal((3, 7)).astype("<f4").view("<u4") >> 16).astype("<u2")
    files.append(("BF16", x.shape, 30, x.tobytes()))
    want["BF16"] = (x.astype("<u4") << 16).view("<f4")
    for name, heads in (("attn_q", 4), ("attn_k", 2)):  # heads of 8 rows
        w, bias = rng.integers(0, 2**16, (8 * heads, 64)), rng.standard_normal(8 * heads).astype("<f4")
        b = random_blocks("Q8_0", 16 * heads)
        w = q8_0(b).reshape(8 * heads, 64)
        rows = turned(np.arange(8 * heads), heads)
        files.append((f"blk.0.{name}.weight", w.shape, 8, b.reshape(8 * heads, -1)[rows].tobytes()))
        files.append((f"blk.0.{name}.bias", bias.shape, 0, bias[rows].tobytes()))
        want[f"blk.0.{name}.weight"], want[f"blk.0.{name}.bias"] = w, bias
        x = rng.standard_normal((8 * heads, 3)).astype("<f2")
        files.append((f"blk.1.{name}.weight", x.shape, 1, x[rows].tobytes()))
        want[f"blk.1.{name}.weight"] = x.astype(f4)
    return files, want


if __name__ == "__main__":
    files, want = types()
    write("gguf/types.gguf", gguf(VALUES, files, align=64))
    safetensors(os.path.join(here, "../gguf/types.safetensors"), want)
    one = ("w", (2, 32), 8, random_blocks("Q8_0", 2).tobytes())
    corpus = "fuzz/corpus/fuzz_gguf/"
    write(corpus + "empty", gguf([], []))
    write(corpus + "version_2", gguf(VALUES[:1], [("w", (3,), 0, bytes(12))], version=2))
    write(corpus + "values", gguf(VALUES[1:], []))
    for name, (number, elements, _, _, _) in BLOCKS.items():
        write(corpus + name.lower(), gguf([], [("w", (elements,), number, random_blocks(name, 1).tobytes())]))
    write(corpus + "llama", gguf(VALUES[:1] + VALUES[3:5], [
        ("blk.0.attn_q.weight", (8, 2), 0, np.arange(16, dtype="<f4").tobytes()), ("blk.0.attn_k.bias", (8,), 1, bytes(16))]))
    write(corpus + "unread", gguf([], [("w", (256,), 23, bytes(136)), one]))
    write(corpus + "aligned_by_8", gguf([value("general.alignment", "u32", 8)], [one, ("s", (), 0, bytes(4))], align=8))
    write(corpus + "part", gguf([value("split.count", "u16", 3)], [one]))

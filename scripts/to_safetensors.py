#!/usr/bin/env python3
"""Writes the tensors of a PyTorch checkpoint (.pth, .pt, .ckpt) as a safetensors file, which syc reads.

  to_safetensors.py vit_b_16-c867db91.pth vit_b_16.safetensors

A checkpoint is a dict of tensors, such a dict under "model", "state_dict" or "module", or a TorchScript archive (CLIP). All
its tensors are written under their own names, in their own types. Needs PyTorch and NumPy. Unpickling a file can run code of
whoever made it: only tensors are read unless --trust is given.
"""
import json
import struct
import sys

import torch

TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


def load(path, trust):
    try:
        return torch.jit.load(path, map_location="cpu").state_dict()
    except RuntimeError:  # no TorchScript archive
        found = torch.load(path, map_location="cpu", weights_only=not trust)
    if hasattr(found, "state_dict"):
        found = found.state_dict()
    for key in ("model", "state_dict", "module"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            return found[key]
    return found


def write(tensors, path):
    header, at = {}, 0
    for name, t in tensors.items():
        n = t.numel() * t.element_size()
        header[name] = {"dtype": TYPES[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def main():
    words = [w for w in sys.argv[1:] if w != "--trust"]
    if len(words) != 2:
        sys.exit("usage: to_safetensors.py [--trust] CHECKPOINT OUT.safetensors")
    try:
        found = load(words[0], "--trust" in sys.argv)
    except Exception as e:  # pickle's own errors say little
        sys.exit(f"{words[0]}: {e}\nif more than tensors is in it and you trust its maker: --trust")
    tensors = {k: v for k, v in found.items() if torch.is_tensor(v)} if isinstance(found, dict) else {}
    if not tensors:
        sys.exit(f"{words[0]}: no tensors by name")
    write(tensors, words[1])
    print(f"{words[1]}: {len(tensors)} tensors")


if __name__ == "__main__":
    main()

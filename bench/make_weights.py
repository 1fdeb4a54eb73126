"""Seeded weights and inputs, for when the compiler is not there to make them.

    make_weights.py weights KEY SEED OUT.safetensors     KEY as in presets.MODELS
    make_weights.py input   ROW SEED OUT.safetensors     also OUT.raw: the bare bytes of those that the peers take
"""
import sys
import zlib

import numpy as np

import presets
import stfile


def tensor(name, shape, seed):
    """Each tensor has its own stream, so the values do not depend on the order of the names."""
    random = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    values = random.standard_normal(shape, dtype=np.float32)
    gain = len(shape) == 1 and name.endswith("weight")
    if ".ln_" in name or name.startswith(("ln_final", "encoder.ln")) or gain:
        return values * np.float32(0.1) + np.float32(name.endswith("weight"))
    if name.endswith("bias"):
        return values * np.float32(0.02)
    if "embedding" in name or name == "class_token":
        return values * np.float32(0.5)
    fan_in = shape[0] if name == "text_projection" else int(np.prod(shape[1:]))
    return values * np.float32(fan_in ** -0.5)


def shapes(key):
    """Names and shapes of a checkpoint; those of the larger systems are told by their PyTorch modules."""
    known = presets.shapes(key)
    if known is None:
        import torch_models  # here only: nothing else needs PyTorch
        model, rename = torch_models.empty(key)
        known = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        if any(rename(name) != name for name in known):
            raise SystemExit(f"only the compiler makes weights for {key}")
    return known


def clip_text(model, batch, random):
    """Start of text, words, end of text (the largest id), zeros: the usual form of a tokenised sentence."""
    ids = np.zeros((batch, model.length), np.int32)
    for line in ids:
        words = int(random.integers(model.length // 4, model.length - 2))
        line[0], line[1 + words] = model.vocab - 2, model.vocab - 1
        line[1:1 + words] = random.integers(1, model.vocab - 2, words)
    return ids


def patch_grid(shape, columns):
    """Row and column of every patch in order."""
    index = np.arange(shape[1], dtype=np.int32)
    return np.ascontiguousarray(np.broadcast_to(np.stack([index // columns, index % columns], axis=-1), shape))


def make_inputs(row, seed):
    """All inputs of a row by name, as our route takes them: ids are int32."""
    model = presets.MODELS[presets.ROWS[row].weights]
    random = np.random.Generator(np.random.PCG64([seed, 1]))
    if isinstance(model, presets.Text):
        return {"text": clip_text(model, presets.ROWS[row].batch, random)}
    make = {
        "f32": lambda entry: random.standard_normal(entry.shape, dtype=np.float32),
        "i64": lambda entry: random.integers(1, entry.limit, entry.shape).astype(np.int32),
        "bool": lambda entry: np.ones(entry.shape, np.bool_),
        "grid": lambda entry: patch_grid(entry.shape, entry.limit),
    }
    made = {entry.name: make[entry.kind](entry) for entry in presets.inputs(row)}
    if isinstance(model, presets.Blip):
        made["text"][:, 0] = model.vocab - 2  # [DEC], which every caption begins with
    return made


def main():
    if len(sys.argv) != 5 or sys.argv[1] not in ("weights", "input"):
        sys.exit(__doc__)
    what, name, seed, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    if what == "weights":
        stfile.save(path, {key: tensor(key, shape, seed) for key, shape in shapes(name).items()})
    else:
        tensors = make_inputs(name, seed)
        stfile.save(path, tensors)
        with open(path.rsplit(".", 1)[0] + ".raw", "wb") as raw:
            for entry in presets.peer_inputs(name):
                raw.write(tensors[entry.name].tobytes())


if __name__ == "__main__":
    main()

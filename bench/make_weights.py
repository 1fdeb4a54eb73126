"""Seeded weights and inputs, for when the compiler is not there to make them.

    make_weights.py weights KEY SEED OUT.safetensors     KEY as in presets.MODELS
    make_weights.py input   ROW SEED OUT.safetensors     also OUT.raw: the bare bytes of the one tensor
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
    if ".ln_" in name or name.startswith(("ln_final", "encoder.ln")):
        return values * np.float32(0.1) + np.float32(name.endswith("weight"))
    if name.endswith("bias"):
        return values * np.float32(0.02)
    if "embedding" in name or name == "class_token":
        return values * np.float32(0.5)
    fan_in = shape[0] if name == "text_projection" else int(np.prod(shape[1:]))
    return values * np.float32(fan_in ** -0.5)


def make_input(row, seed):
    row = presets.ROWS[row]
    model = presets.MODELS[row.weights]
    random = np.random.Generator(np.random.PCG64([seed, 1]))
    if not isinstance(model, presets.Text):
        return random.standard_normal((row.batch, 3, model.size, model.size), dtype=np.float32)
    # Start of text, words, end of text (the largest id), zeros: the usual form of a tokenised sentence.
    ids = np.zeros((row.batch, model.length), np.int32)
    for line in ids:
        words = int(random.integers(model.length // 4, model.length - 2))
        line[0], line[1 + words] = model.vocab - 2, model.vocab - 1
        line[1:1 + words] = random.integers(1, model.vocab - 2, words)
    return ids


def main():
    if len(sys.argv) != 5 or sys.argv[1] not in ("weights", "input"):
        sys.exit(__doc__)
    what, name, seed, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    if what == "weights":
        stfile.save(path, {key: tensor(key, shape, seed) for key, shape in presets.shapes(name).items()})
    else:
        array = make_input(name, seed)
        stfile.save(path, {presets.ROWS[name].input: array})
        array.tofile(path.rsplit(".", 1)[0] + ".raw")


if __name__ == "__main__":
    main()

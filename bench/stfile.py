"""Read and write safetensors files with numpy only.

A file is: u64 little-endian header length, a JSON header, then the raw tensors. The header maps a
name to {"dtype", "shape", "data_offsets": [begin, end]}, offsets counted from the end of the header.
"""
import json
import struct

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}


def load(path):
    """All tensors of a file as a dict of read-only arrays that share one memory map."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length) if any(
        entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__") else np.empty(0, np.uint8)
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            if entry["dtype"] not in DTYPES:
                raise ValueError(f"{path}: tensor {name}: type {entry['dtype']} is not supported here")
            # Copied when the data begins at an odd address: numpy works on it, torch does not.
            raw = np.array(data[begin:end]) if (8 + length + begin) % 8 else data[begin:end]
            tensors[name] = raw.view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def save(path, tensors):
    """Write a dict of arrays, in its order, with 64-byte aligned data."""
    header, offset = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())

"""measures.py make: weights and data for run.sh. measures.py COLUMN: the value that `syc train` must measure on them, counted
here with nothing but Python."""
import json
import random
import struct
import sys

N, CLASSES, VOCAB, D = 6, 5, 12, 4
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + ["w%d" % i for i in range(VOCAB - 4)]
draw = random.Random(7)


def matrix(rows, columns):
    return [[struct.unpack("f", struct.pack("f", draw.uniform(-1, 1)))[0] for _ in range(columns)] for _ in range(rows)]


WEIGHTS = {"head.weight": matrix(CLASSES, N), "head.bias": matrix(1, CLASSES)[0], "see.weight": matrix(D, N), "see.bias": matrix(1, D)[0],
           "words": matrix(VOCAB, D), "next.weight": matrix(VOCAB, D), "next.bias": matrix(1, VOCAB)[0]}
SAMPLES = [{"x": [round(draw.uniform(-1, 1), 3) for _ in range(N)], "label": draw.randrange(CLASSES)} for _ in range(29)]
for s in SAMPLES:  # an answer that is not in the list, too
    s["answers"] = draw.sample(["a%d" % i for i in range(CLASSES + 1)], draw.randint(1, 3))
    s["weights"] = [round(draw.uniform(0.1, 1), 2) for _ in s["answers"]]
TEXTS = [" ".join("w%d" % draw.randrange(VOCAB - 4) for _ in range(4)) for _ in range(24)]
PICTURES = [{"x": s["x"], "captions": draw.sample(TEXTS, draw.randint(1, 3))} for s in SAMPLES[:17]]
CAPTIONS = [" ".join("w%d" % draw.randrange(VOCAB - 4) for _ in range(draw.randint(1, 4))) for _ in range(23)]


def ids(text):
    return [2] + [WORDS.index(w) for w in text.split()] + [3]


def write(path, tensors):
    header, data = {}, b""
    for name, rows in tensors.items():
        shape = [len(rows), len(rows[0])] if isinstance(rows[0], list) else [len(rows)]
        flat = [v for r in rows for v in r] if len(shape) == 2 else rows
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(flat)]}
        data += struct.pack("<%df" % len(flat), *flat)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def lines(path, rows):
    with open(path, "w") as f:
        f.writelines((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)


def make():
    write("weights.safetensors", WEIGHTS)
    flat = dict(WEIGHTS)
    flat["see.weight"] = [[0.0] * N for _ in range(D)]
    flat["words"] = [[1.0] * D for _ in range(VOCAB)]
    write("flat.safetensors", flat)
    lines("data.jsonl", SAMPLES)
    lines("answers.txt", ["a%d" % i for i in range(CLASSES)])
    lines("vocab.txt", WORDS)
    lines("lists.jsonl", PICTURES)
    lines("lines.jsonl", [{"x": p["x"], "text": t} for p in PICTURES for t in p["captions"]])
    lines("captions.jsonl", [{"text": t} for t in CAPTIONS])
    lines("places.jsonl", [{"text": t, "labels": (ids(t) + [-100] * 6)[:6]} for t in CAPTIONS])


def affine(x, name):
    return [sum(a * b for a, b in zip(x, row)) + bias for row, bias in zip(WEIGHTS[name + ".weight"], WEIGHTS[name + ".bias"])]


def largest(scores):
    return max(range(len(scores)), key=lambda i: scores[i])


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def recall(column):
    texts = sorted({t for p in PICTURES for t in p["captions"]})
    vector = [[mean(WEIGHTS["words"][i][k] for i in ids(t)) for k in range(D)] for t in texts]
    score = [[sum(a * b for a, b in zip(affine(p["x"], "see"), v)) for v in vector] for p in PICTURES]
    right = [[t in p["captions"] for t in texts] for p in PICTURES]
    if column.startswith("recall_t2i"):
        score, right = [list(c) for c in zip(*score)], [list(c) for c in zip(*right)]
    k = int(column.split("_")[2])
    return mean(any(r[i] for i in sorted(range(len(s)), key=lambda i: -s[i])[:k]) for s, r in zip(score, right))


def words(shift):
    hits = [largest(affine(WEIGHTS["words"][row[i - shift]], "next")) == row[i] for row in map(ids, CAPTIONS) for i in range(shift, len(row))]
    return mean(hits)


def count(column):
    if column == "accuracy":
        return mean(largest(affine(s["x"], "head")) == s["label"] for s in SAMPLES)
    if column == "vqa":
        return mean(dict(zip(s["answers"], s["weights"])).get("a%d" % largest(affine(s["x"], "head")), 0) for s in SAMPLES)
    if column == "recall":
        return mean(recall("recall_%s_%d" % (way, k)) for way in ("i2t", "t2i") for k in (1, 5, 10))
    if column.startswith("recall"):
        return recall(column)
    return words(1 if column == "words" else 0)


if sys.argv[1] == "make":
    make()
else:
    print("%.9g" % count(sys.argv[1]))

"""Measure the loss and the gradients of objectives beside PyTorch, by turns; bench/train.sh has the options.

    train.py SYC FOLDER ROWS THREADS SECONDS ISA

Prints one line for each row and number of threads: of rows with a PyTorch model both sides, of the others ours alone; then, of
`products`, the share of the FMA peak that the three products of ViT-B/16 have, and, of `captions`, the memory of a loss over many words. Weights and batches are seeded and the same for both; loss and gradients are
compared before a time counts. Exit status 1: something failed or differs.
"""
import json
import os
import statistics
import subprocess
import sys
from collections import namedtuple

import numpy as np

import stfile
from presets import ViT

BENCH = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = 1e-4  # of the largest gradient of a weight

Row = namedtuple("Row", "title model batch")

ROWS = {
    "small": Row("0.5 M parameters: width 96, 4 layers, 26 tokens, B=64", ViT(40, 8, 96, 4, 4, 384, 31), 64),
    "w192": Row("width 192, 6 layers, 65 tokens, B=32", ViT(64, 8, 192, 6, 3, 768, 100), 32),
    "b16": Row("ViT-B/16, B=8", ViT(224, 16, 768, 12, 12, 3072, 1000), 8),
}


# Steps of other pages, which have no PyTorch model here: seeded weights and inputs.
Alone = namedtuple("Alone", "title spec batch")

GIVEN = ["--given", "neg_image_idx,neg_text_idx"]
ALONE = {
    "albef": Alone("ALBEF base, pre-training, queue 4096, B=4", ["albef.sy:base", "-D", "queue=4096", "--objective", "pretrain", *GIVEN], 4),
    "vlmo2": Alone("VLMo base, stage 2 (frozen but for the text), B=4", ["vlmo.sy:base", "--stage", "language"], 4),
    "vlmo3": Alone("VLMo base, stage 3, B=4", ["vlmo.sy:base", "--objective", "pretrain", *GIVEN], 4),
}


def objective(page, model):
    return [page] + [word for name, value in model._asdict().items() for word in ("-D", f"{name}={value}")] + ["--objective", "classify"]


def prepare(syc, folder, name):
    """The page with room for the row's batch, its weights and its batch, as files; they are made once."""
    row, base = ROWS[name], os.path.join(folder, name)
    page, weights, batch = base + ".sy", base + ".weights.safetensors", base + ".batch.safetensors"
    with open(os.path.join(BENCH, "../models/vit.sy")) as file:
        text = file.read().replace("dim B = 1..32 ", f"dim B = 1..{row.batch} ")
    with open(page, "w") as file:
        file.write(text)
    if not os.path.exists(weights):
        subprocess.run([syc, "weights", "init", *objective(page, row.model), "--seed", "1", "-o", weights], check=True, stdout=sys.stderr)
    draw = np.random.default_rng(1)
    image = draw.standard_normal((row.batch, 3, row.model.size, row.model.size), dtype=np.float32)
    stfile.save(batch, {"image": image, "labels": draw.integers(0, row.model.classes, row.batch).astype(np.int32)})
    return page, weights, batch


def as_in_files(tensor, like):
    """A gradient as the checkpoint has the weight: matrices come in panels of columns, [N/16][K][16], vectors filled up to them."""
    rows = like.shape[0] if like.ndim else 1
    if tensor.shape == like.shape:
        return tensor
    if tensor.ndim == 3:
        tensor = tensor.transpose(0, 2, 1).reshape(-1, tensor.shape[1])[:rows]
    return tensor.ravel()[:like.size].reshape(like.shape)


def difference(ours, peer):
    """The worst of the weights: max|a - b| / max|b|. Gradients of the keys' biases are 0 but for rounding."""
    a, b = stfile.load(ours), stfile.load(peer)
    worst = 0.0
    for name, theirs in b.items():
        mine, scale = as_in_files(a[name], theirs).astype(np.float64), np.abs(theirs).max()
        worst = max(worst, float(np.abs(mine - theirs).max() / max(scale, 1e-30)))
    return worst


def measure(syc, folder, name, threads, seconds, isa):
    row = ROWS[name]
    page, weights, batch = prepare(syc, folder, name)
    outputs = {who: os.path.join(folder, f"{name}.{who}.safetensors") for who in ("ours", "torch")}
    ours = [syc, "bench", *objective(page, row.model), "--gradients", "--batch", str(row.batch), "--threads", threads,
            "--isa", isa, "--weights", weights, "--input", batch, "-o", outputs["ours"], "--json", "--turns"]
    torch = [sys.executable, os.path.join(BENCH, "torch_train.py"), name, weights, batch, outputs["torch"], threads, "turns"]
    command = [sys.executable, os.path.join(BENCH, "turns.py"), seconds, "", "--", "ours", "1", *ours, "--", "torch", "1", *torch]
    environment = dict(os.environ, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    records = {record["peer"]: record for record in map(json.loads, answer.stdout.splitlines())}
    if answer.returncode:
        return None
    a, b = records["ours"], records["torch"]
    ratios = [b["turns"][cycle] / a["turns"][cycle] for cycle in a["turns"] if cycle in b["turns"]]
    result, peer = a["result"], b["result"]
    return {"row": row.title, "threads": threads, "isa": result["isa"], "ours": result["min_ms"], "ours_median": result["median_ms"],
            "torch": peer["min_ms"], "torch_median": peer["median_ms"], "ratio": statistics.median(ratios), "turns": len(ratios),
            "ratio_least": peer["min_ms"] / result["min_ms"],
            "peak": 100 * result["gflop"] / result["min_ms"] * 1e3 / result["peak_gflops"] if result["peak_gflops"] else 0,
            "memory": result["peak_rss_kb"] / 1024, "torch_memory": peer["peak_rss_kb"] / 1024, "others": a["others_percent"],
            "difference": difference(outputs["ours"], outputs["torch"])}


def bench(syc, spec, batch, threads, seconds, isa):
    """One run of `syc bench`: for some seconds, but at least one call."""
    page, *rest = spec
    command = [syc, "bench", os.path.join(BENCH, "../models", page), *rest, "--gradients", "--batch", str(batch), "--threads", threads,
               "--isa", isa, "--json"]
    command += ["--rounds", "1"] if float(seconds) < 1 else []
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return None if answer.returncode else json.loads(answer.stdout)


def alone(syc, name, threads, seconds, isa):
    row = ALONE[name]
    r = bench(syc, row.spec, row.batch, threads, seconds, isa)
    if not r:
        return False
    peak = 100 * r["gflop"] / r["min_ms"] * 1e3 / r["peak_gflops"] if r["peak_gflops"] else 0
    print(f"{row.title:54} {threads:>2} {r['min_ms']:8.1f} ({r['median_ms']:7.1f}) {'-':>18} {'-':>6} {'-':>6} {peak:4.0f}%"
          f" {r['peak_rss_kb'] / 1024:7.0f} /{'-':>7}", flush=True)
    return True


def kind_of(kernel):
    """Which of the three products of a linear layer a kernel of a step is: the forward ones have a bias."""
    if kernel.startswith("outer_"):
        return "dy^T x"
    return ("x W^T" if "_bias" in kernel else "dy W") if kernel.startswith("gemm_") else None


def products(syc, threads, seconds, isa):
    model = ROWS["b16"].model
    spec = ["vit.sy"] + [word for name, value in model._asdict().items() for word in ("-D", f"{name}={value}")] + ["--objective", "classify"]
    r = bench(syc, spec, ROWS["b16"].batch, threads, seconds, isa)
    if not r:
        return False
    work, time = {}, {}
    for kernel in r["kernels"]:
        kind = kind_of(kernel["name"])
        if kind:
            work[kind] = work.get(kind, 0) + kernel["gflops"] * kernel["ms"]
            time[kind] = time.get(kind, 0) + kernel["ms"]
    shares = ", ".join(f"{kind} {100 * work[kind] / time[kind] / r['peak_gflops']:.0f}%" for kind in ("x W^T", "dy W", "dy^T x"))
    print(f"{'products of ViT-B/16, B=8: share of the FMA peak':54} {threads:>2} {shares}", flush=True)
    return True


def captions(syc):
    """What 32 x 32 words need beside the same step with 640 words of vocabulary instead of 64010."""
    arena = {}
    for vocab in (64010, 640):
        command = [syc, "explain", os.path.join(BENCH, "../models/beit3.sy:base"), "-D", f"vocab={vocab}", "--objective", "caption",
                   "--dim", "B=32", "--dim", "L=32", "--json"]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if answer.returncode:
            return False
        arena[vocab] = next(r["arena_bytes"] for r in json.loads(answer.stdout)["routes"] if r["name"] == "caption") / 2**20
    print(f"{'BEiT-3 captions, 32 x 32 words of 64010: memory':54} {'':>2} arena {arena[64010]:.0f} MB, {arena[64010] - arena[640]:.0f} of it for the words",
          flush=True)
    return True


def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    syc, folder, rows, threads, seconds, isa = sys.argv[1:]
    good = True
    print(f"{'loss and gradients':54} {'T':>2} {'ours ms':>18} {'PyTorch ms':>18} {'ratio':>6} {'least':>6} {'peak':>5} {'MB ours/PyTorch':>16}"
          f" {'turns':>5} {'others':>6} {'apart':>8}", flush=True)
    for name in rows.split(","):
        if name == "captions":
            good = captions(syc) and good
            continue
        for count in threads.split(","):
            if name in ALONE:
                good = alone(syc, name, count, seconds, isa) and good
                continue
            if name == "products":
                good = products(syc, count, seconds, isa) and good
                continue
            m = measure(syc, folder, name, count, seconds, isa)
            if not m:
                good = False
                continue
            good = good and m["difference"] <= TOLERANCE
            print(f"{m['row']:54} {count:>2} {m['ours']:8.1f} ({m['ours_median']:7.1f}) {m['torch']:8.1f} ({m['torch_median']:7.1f})"
                  f" {m['ratio']:6.2f} {m['ratio_least']:6.2f} {m['peak']:4.0f}% {m['memory']:7.0f} /{m['torch_memory']:7.0f} {m['turns']:5}"
                  f" {m['others']:5}% {m['difference']:8.1e}" + ("" if m["difference"] <= TOLERANCE else "  DIFFERS"), flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

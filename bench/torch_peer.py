"""Time PyTorch on one row: the best of eager and two kinds of traced module; sentences are written in eager mode.

    torch_peer.py ROW WEIGHTS.safetensors INPUT.safetensors OUT.safetensors THREADS SECONDS|turns [--reference]

Prints one JSON line. The form that won is noted in OUT.form, and later runs on the same OUT take it without trying
the others. With --reference it runs once in float64, writes that output and times nothing.
"""
import json
import os
import resource
import sys
import time

import torch

import presets
import sampling
import stfile
import torch_models
import torch_words


def blas():
    """The BLAS library that is mapped into this process."""
    with open("/proc/self/maps") as maps:
        paths = sorted({line.split()[-1] for line in maps if "blas" in line and ".so" in line})
    return "openblas-openmp" if any("openblas-openmp" in path for path in paths) else ",".join(paths) or "none"


def clock(call, sample):
    begin = time.perf_counter()
    call(*sample)
    return (time.perf_counter() - begin) * 1e3


def traced(model, sample, optimise):
    module = torch.jit.freeze(torch.jit.trace(model, sample, check_trace=False))
    return torch.jit.optimize_for_inference(module) if optimise else module


def save(path, row, answer):
    stfile.save(path, {name: tensor.contiguous().numpy() for name, tensor in zip(row.outputs, torch_models.results(answer))})


def end_of(row):
    return presets.MODELS[row.weights].end


def sentence_of(model, row, sample):
    ids, scores, _, _ = torch_words.sentence(model, sample, row.words, end_of(row))
    return scores, ids


def report(figures):
    print(json.dumps({**figures, "peak_rss_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                      "version": torch.__version__, "blas": blas()}))


def main():
    if len(sys.argv) not in (7, 8):
        sys.exit(__doc__)
    name, weights, sample_path, out, threads, seconds = sys.argv[1:7]
    row = presets.ROWS[name]
    torch.set_num_threads(int(threads))
    model = torch_models.build(row.weights, weights)
    sample = torch_models.load_inputs(sample_path, name)
    with torch.inference_mode():
        if sys.argv[7:] == ["--reference"]:
            exact = tuple(tensor.double() if tensor.is_floating_point() else tensor for tensor in sample)
            model.double()
            save(out, row, sentence_of(model, row, exact) if row.words else model(*exact))
            return
        if row.words:
            figures, answer = torch_words.timed(model, sample, row.words, end_of(row), seconds)
            save(out, row, answer)
            report(figures)
            return
        forms, trial = {}, {}
        names = ["eager", "traced", "traced+optimised"]
        if os.path.exists(out + ".form"):
            with open(out + ".form") as file:
                names = [file.read()]
        for form in names:
            try:
                forms[form] = model if form == "eager" else traced(model, sample, form == "traced+optimised")
            except RuntimeError as error:
                print(f"torch {form}: {error}", file=sys.stderr)
        for form, call in forms.items():
            for _ in range(1 if form == "eager" else 2):  # the first runs of a traced module compile it
                call(*sample)
            trial[form] = min(clock(call, sample) for _ in range(2))
        best = min(trial, key=trial.get)
        with open(out + ".form", "w") as file:
            file.write(best)
        times = sampling.times(lambda: clock(forms[best], sample), seconds)
        save(out, row, forms[best](*sample))
    report({"min_ms": times[0], "median_ms": times[len(times) // 2], "runs": len(times), "form": best})


if __name__ == "__main__":
    main()

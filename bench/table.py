"""Print the table of one run:  table.py RESULTS.jsonl OUTPUTS-FOLDER [--json FILE]

Compares the outputs that the peers left, takes minimum and median of the rounds, and exits with 1 if outputs differ.
"""
import json
import os
import platform
import statistics
import sys

import numpy as np

import presets
import stfile

TOLERANCE = 1e-4  # relative to the largest output; float32 peers are some 1e-6 apart
DISTURBED = 10    # percent of one processor that others may use while a peer is measured


def read(path):
    """The records of a run by kind; a line that is no JSON is reported and left out."""
    records = {"isa": [], "peak": [], "row": [], "time": [], "cold": []}
    with open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
                records[record["kind"]].append(record)
            except (ValueError, KeyError) as error:
                print(f"{path}:{number}: not understood: {error}", file=sys.stderr)
    return records


def output(folder, row, peer, threads):
    """The answers of a peer as float64 arrays by name, or None if one of the row's outputs is missing."""
    names, base = presets.ROWS[row].outputs, os.path.join(folder, f"{row}.{peer}.t{threads}")
    if os.path.exists(base + ".safetensors"):
        return answers_of(stfile.load(base + ".safetensors"), names)
    raw = {name: f"{base}.{name}.raw" for name in names}
    return answers_of({name: np.fromfile(path, np.float32) for name, path in raw.items() if os.path.exists(path)}, names)


def answers_of(tensors, names):
    if any(name not in tensors for name in names):
        return None
    return {name: tensors[name].astype(np.float64).ravel() for name in names}


def difference(a, b):
    """The worst of the outputs: max|a - b| / max|b|; infinite for other sizes and for values that are not finite."""
    return None if a is None or b is None else max(apart(a[name], b[name]) for name in a)


def apart(a, b):
    if a.shape != b.shape or not np.isfinite(a).all() or not np.isfinite(b).all():
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def greatest(values):
    return max((value for value in values if value is not None), default=None)


def same_phase(records, nearest):
    """Records of one placement of the cores: near ones if every peer has some, else far ones, else all ('mixed')."""
    near = [r for r in records if r.get("hop_ns") is None or r["hop_ns"] <= 2 * nearest]
    far = [r for r in records if r not in near]
    peers = {r["peer"] for r in records}
    for phase, chosen in (("near", near), ("far", far)):
        if {r["peer"] for r in chosen} == peers:
            return phase, chosen
    return "mixed", records


def undisturbed(records):
    """Records that no other load disturbed, if every peer has some; else all."""
    quiet = [r for r in records if r.get("others_percent", 0) <= DISTURBED]
    return quiet if {r["peer"] for r in quiet} == {r["peer"] for r in records} else records


def summary(records):
    """Least minimum, median of the medians, and what else a peer said of itself."""
    if not records:
        return None
    results = [r["result"] for r in records]
    out = {"min_ms": min(r["min_ms"] for r in results), "median_ms": statistics.median(r["median_ms"] for r in results), "rounds": len(results)}
    if any("words_per_s" in r for r in results):
        out["words_per_s"] = 1e3 / out["median_ms"]
    rss = [r["peak_rss_kb"] for r in results if r.get("peak_rss_kb")]
    if rss:
        out["peak_rss_mb"] = statistics.median(rss) / 1024
    out.update({key: results[-1][key] for key in ("form", "version", "blas", "isa", "start_ms") if key in results[-1]})
    return out


def paired(records, other, best):
    """Quotients of the two peers' times in one cycle of turns, for all cycles in which both took part."""
    turns = {(r["peer"], r["round"]): r["turns"] for r in records}
    return [time / turns[best, round][cycle] for (peer, round), cycles in turns.items() if peer == other and (best, round) in turns
            for cycle, time in cycles.items() if cycle in turns[best, round]]


def timed(row, threads, records, folder, reference, peaks, nearest, sets):
    """One line of the table as a dict. sets: our peers and their titles, the best first."""
    own = [r for r in records if r["row"] == row and r["threads"] == threads]
    line = {"row": row, "title": presets.ROWS[row].title, "threads": threads, "peers": {}, "failed": sorted({r["peer"] for r in own if "error" in r})}
    good = undisturbed([r for r in own if "result" in r])
    line["phase"], good = same_phase(good, nearest) if threads > 1 else ("one core", good)
    line["others_percent"] = max((r.get("others_percent", 0) for r in good), default=0)
    hops = [r["hop_ns"] for r in good if r.get("hop_ns")]
    line["hop_ns"] = [min(hops), max(hops)] if hops else None
    for peer in (*sets, "ort", "torch"):
        figures = summary([r for r in good if r["peer"] == peer])
        if figures:
            peak = peaks.get((peer[5:], threads)) or max((value for (_, count), value in peaks.items() if count == threads), default=None)
            figures["gflops"] = presets.flops(row) / figures["min_ms"] / 1e6
            if peak:
                figures["share_of_peak"] = figures["gflops"] / peak
            line["peers"][peer] = figures
    ours = [peer for peer in sets if peer in line["peers"]]
    line["best"] = best = next(iter(ours), None)  # what a compiled program takes by itself
    for other in ("ort", "torch"):
        if best and other in line["peers"]:
            line[f"{other}_over_ours"] = line["peers"][other]["min_ms"] / line["peers"][best]["min_ms"]
            ratios = paired(good, other, best)
            line[f"{other}_over_ours_paired"] = statistics.median(ratios) if ratios else None
            line[f"{other}_over_ours_quartiles"] = statistics.quantiles(ratios, n=4)[::2] if len(ratios) > 1 else None
    answers = {peer: output(folder, row, peer, threads) for peer in line["peers"]}
    pair = lambda a, b: difference(answers.get(a), answers.get(b))
    line["difference"] = {
        "ours-ort": greatest(pair(peer, "ort") for peer in ours), "ours-torch": greatest(pair(peer, "torch") for peer in ours), "ort-torch": pair("ort", "torch"),
        "to float64": {peer: difference(answer, reference) for peer, answer in answers.items()}}
    line["no output"] = [peer for peer, answer in answers.items() if answer is None]
    return line


def cold(row, records):
    """Median of the fresh processes of each kind; the first one, which may have read from disk, is left out."""
    out = {}
    for peer in ("ours", "ort", "ort-node"):
        results = [r["result"] for r in records if r["row"] == row and r["peer"] == peer and "result" in r and r["round"] > 0]
        if results:
            out[peer] = {"cold_ms": statistics.median(r["cold_ms"] for r in results), "min_ms": min(r["cold_ms"] for r in results),
                         "peak_rss_mb": statistics.median(r["peak_rss_kb"] for r in results) / 1024}
    return out


def number(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def cells(line, starts, ours_note, sets):
    def time(peer):
        figures = line["peers"].get(peer)
        if figures:
            return f"{number(figures['min_ms'])} ({number(figures['median_ms'])})" + ("*" if peer == line["best"] else "")
        return "failed" if peer in line["failed"] else ours_note if peer in sets else "-"

    def each(key, form, peers):
        return " / ".join(form(line["peers"][p][key]) if p and key in line["peers"].get(p, {}) else "-" for p in peers)

    def ratio(key):
        return f"{line[key]:.2f}x" if line.get(key) else "-"

    def quartiles(key):
        return "{:.2f}-{:.2f}".format(*line[key]) if line.get(key) else "-"

    def start(peer):
        return f"{number(starts[peer]['cold_ms'])} / {number(starts[peer]['peak_rss_mb'])}" if peer in starts else "-"

    apart = [line["difference"][key] for key in ("ours-ort", "ours-torch", "ort-torch")]
    hops = "-" if not line["hop_ns"] else "{:.0f}-{:.0f}".format(*line["hop_ns"]) + (" mixed!" if line["phase"] == "mixed" else "")
    return [line["title"], str(line["threads"]), *map(time, sets), time("ort"), time("torch"),
            ratio("ort_over_ours_paired"), quartiles("ort_over_ours_quartiles"), ratio("ort_over_ours"), ratio("torch_over_ours_paired"),
            each("share_of_peak", "{:.0%}".format, (line["best"], "ort", "torch")),
            each("words_per_s", "{:.1f}".format, (line["best"], "ort", "torch")), hops, str(line["others_percent"]),
            " / ".join("-" if value is None else f"{value:.0e}" for value in apart),
            each("peak_rss_mb", "{:.0f}".format, (line["best"], "ort", "torch")), start("ours"), start("ort"), start("ort-node")]


def head(sets):
    return ["model", "T", *(f"ours {title}" for title in sets.values()), "ONNX Runtime", "PyTorch", "ORT/ours", "quartiles", "of least", "torch/ours",
            "% of peak ours/ORT/torch", "words/s ours/ORT/torch", "hop ns", "others %", "difference ours-ORT/ours-torch/ORT-torch", "RSS MB ours/ORT/torch",
            "cold ours ms/MB", "cold ORT", "cold ORT node"]


def show(lines, starts, peaks, notes, sets):
    last = {line["row"]: line["threads"] for line in lines}
    table = [head(sets)] + [cells(line, starts[line["row"]] if last[line["row"]] == line["threads"] else {}, notes[line["row"]], sets) for line in lines]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    table.insert(1, ["-" * width for width in widths])
    print("Times in ms, minimum (median); * ours as a program picks it. FMA peak GFLOP/s: " +
          (", ".join(f"{isa} T{threads} {value:.0f}" for (isa, threads), value in sorted(peaks.items())) or "not measured"))
    for row in table:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")


def complaints(lines):
    for line in lines:
        where = f"{line['title']} T{line['threads']}"
        apart = {name: value for name, value in line["difference"].items() if name != "to float64"}
        apart.update({f"{peer}-float64": value for peer, value in line["difference"]["to float64"].items()})
        for name, value in apart.items():
            if value is not None and not value <= TOLERANCE:
                yield True, f"{where}: OUTPUTS DIFFER: {name} {value:.1e}, allowed {TOLERANCE:.0e}"
        for peer in line["no output"]:
            yield True, f"{where}: {peer} left no output to compare"
        if line["phase"] == "mixed":
            yield False, f"{where}: the cores were near and far by turns and no phase has all peers: do not compare; run again"
        if line["others_percent"] > DISTURBED:
            yield False, f"{where}: other processes kept {line['others_percent']} % of a processor busy while a peer was measured: run again on a quiet machine"
        blas = line["peers"].get("torch", {}).get("blas", "openblas-openmp")
        if blas != "openblas-openmp":
            yield False, f"{where}: PyTorch ran on {blas}, not on the OpenMP build of OpenBLAS: it may be far too slow"


def main():
    if len(sys.argv) not in (3, 5) or sys.argv[3:4] not in ([], ["--json"]):
        sys.exit(__doc__)
    records, folder = read(sys.argv[1]), sys.argv[2]
    sets = {f"ours-{record['isa']}": record["title"] for record in records["isa"]}
    peaks = {}
    for record in records["peak"]:
        if "result" in record:
            peaks[record["result"]["isa"], record["result"]["threads"]] = record["result"]["gflops"]
    nearest = min((r["hop_ns"] for r in records["time"] if r.get("hop_ns")), default=0)
    lines, starts = [], {}
    for entry in records["row"]:
        row = entry["row"]
        reference = answers_of(stfile.load(entry["reference"]), presets.ROWS[row].outputs) if os.path.exists(entry["reference"]) else None
        for threads in sorted({r["threads"] for r in records["time"] if r["row"] == row}):
            lines.append(timed(row, threads, records["time"], folder, reference, peaks, nearest, sets))
        starts[row] = cold(row, records["cold"])
    target = sys.argv[4] if len(sys.argv) == 5 else None
    if target != "-":
        show(lines, starts, peaks, {entry["row"]: entry.get("ours", "-") for entry in records["row"]}, sets)
    if target:
        whole = {"machine": platform.machine(), "peak_gflops": {f"{isa} T{threads}": value for (isa, threads), value in peaks.items()},
                 "weights": {entry["row"]: entry["weights"] for entry in records["row"]}, "lines": lines, "cold": starts}
        with (sys.stdout if target == "-" else open(target, "w")) as file:
            json.dump(whole, file, indent=1)
            file.write("\n")
    wrong = False
    for fatal, text in complaints(lines):
        wrong |= fatal
        print(text, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

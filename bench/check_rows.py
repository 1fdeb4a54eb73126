"""Do the rows fit the pages?  check_rows.py SYC

Every row's route must exist, take the row's inputs in their types and shapes, and give the outputs that are compared; a
page that changes would otherwise only be noticed in the next measurement. Prints one line a row; exit status 1 if one
does not fit.
"""
import json
import os
import subprocess
import sys

import presets

TYPES = {"f32": "f32", "i64": "i32", "bool": "bool", "grid": "i32"}


def explain(syc, row):
    defines = [word for define in row.defines for word in ("-D", define)]
    spec = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), row.spec)
    done = subprocess.run([syc, "explain", spec, *defines, "--routes", row.route, "--json"], capture_output=True, text=True)
    return (json.loads(done.stdout), None) if done.returncode == 0 else (None, done.stderr.strip())


def extent_fits(text, size, dims):
    """An extent of the page (a number, or a run-time dim with its bounds) against that of a row."""
    if text.isdigit():
        return int(text) == size
    return text in dims and dims[text]["least"] <= size <= dims[text]["most"]


def complaints(name, row, told):
    dims, route = {dim["name"]: dim for dim in told["dims"]}, told["routes"][0]
    types = {entry["name"]: entry["type"] for entry in route["inputs"]}
    outputs = {entry["name"] for entry in route["outputs"]} | ({"ids"} if row.words else set())
    for entry in presets.inputs(name):
        kind, _, shape = types.pop(entry.name, "nothing[]").rstrip("]").partition("[")
        extents = shape.split(",")
        if kind != TYPES[entry.kind] or len(extents) != len(entry.shape) or not all(map(extent_fits, extents, entry.shape, [dims] * len(extents))):
            yield f"{entry.name} is {kind}[{shape}], the row has {TYPES[entry.kind]}{list(entry.shape)}"
    if row.words:
        types.pop("last", None)  # given by the search
    if types:
        yield f"the row has no {', '.join(types)}"
    if not set(row.outputs) <= outputs:
        yield f"no output {', '.join(sorted(set(row.outputs) - outputs))}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wrong = False
    for name, row in presets.ROWS.items():
        told, error = explain(sys.argv[1], row)
        found = [error] if error else list(complaints(name, row, told))
        wrong |= bool(found)
        print(f"FAILED {name}: {'; '.join(found)}" if found else f"ok {name}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

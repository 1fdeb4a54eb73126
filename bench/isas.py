"""The instruction sets that are measured here:  syc help isa --json | isas.py best|all

Those with fma that run on this machine, without those that differ in products of codes of 8 bits alone.
best: the name of the best; all: lines NAME|TITLE, the best first.
"""
import json
import sys

sets = [one for one in reversed(json.load(sys.stdin)) if one["fma"] and one["runs_here"] and "codes_of" not in one]
if sys.argv[1:] == ["all"]:
    for one in sets:
        print(f"{one['name']}|{one['title']}")
elif sys.argv[1:] == ["best"]:
    if not sets:
        sys.exit("isas.py: no instruction set with fma runs here")
    print(sets[0]["name"])
else:
    sys.exit(__doc__)

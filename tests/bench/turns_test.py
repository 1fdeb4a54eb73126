"""Does measuring by turns hold its promises?  turns_test.py TURNS.py

Small shell programs stand in for the peers: each says what it was asked for, so that order, frequency and failures show.
"""
import json
import subprocess
import sys

PEER = "echo ready; n=0; while read -r _; do n=$((n + 1)); echo $n.5; done; echo \"{\\\"min_ms\\\": 1.5, \\\"turns_taken\\\": $n}\""


def measure(*programs, seconds="0"):
    words = [word for name, every, command in programs for word in ("--", name, str(every), "sh", "-c", command)]
    done = subprocess.run([sys.executable, sys.argv[1], seconds, '"kind": "time", "round": 1', *words], capture_output=True, text=True)
    return done.returncode, {r["peer"]: r for r in map(json.loads, done.stdout.splitlines())}, done.stderr


def main():
    status, records, errors = measure(("fast", 1, PEER), ("slow", 3, PEER))
    assert status == 0 and not errors, errors
    assert records["fast"]["turns"] == {"0": 1.5, "1": 2.5, "2": 3.5} and records["slow"]["turns"] == {"0": 1.5}, records
    assert records["fast"]["result"] == {"min_ms": 1.5, "turns_taken": 3} and records["fast"]["round"] == 1, records

    # the others go on when one cannot start, is not ready, breaks off or ends badly
    bad = {"late": "echo; exit 4", "silent": "echo ready; read -r _; echo soon", "broken": PEER + "; exit 7"}
    status, records, errors = measure(("good", 1, PEER), *((name, 1, command) for name, command in bad.items()))
    assert status == 1 and len(records["good"]["turns"]) == 3, records
    for name in bad:
        assert "error" in records[name] and "result" not in records[name] and name in errors, (name, records[name])
    assert "status 4" in records["late"]["error"] and "status 7" in records["broken"]["error"], records

    for words in ([], ["1"], ["x", ""], ["1", '"a": 1', "--", "name", "often", "true"], ["1", '"a": 1', "name"]):
        done = subprocess.run([sys.executable, sys.argv[1], *words], capture_output=True, text=True)
        assert done.returncode == 1 and "turns.py SECONDS" in done.stderr, (words, done)
    print("ok turns")


if __name__ == "__main__":
    main()

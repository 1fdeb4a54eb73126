"""How often a Python peer times something, and when; ort_api.h and `syc bench --turns` do the same."""
import statistics
import sys
import time

BURST_MS, BURST_RUNS, SHORT_MS = 200, 200, 100


def burst(once, last):
    """One turn: times for a while, the first run without one if it is short, as others have used the caches since."""
    begin, times = time.perf_counter(), []
    if last < SHORT_MS:
        once()
    while not times or (len(times) < BURST_RUNS and (time.perf_counter() - begin) * 1e3 < BURST_MS):
        times.append(once())
    return times


def times(once, seconds):
    """Times in ascending order: for a number of seconds but at least three, or ("turns") a burst for each line of input."""
    out = []
    if seconds == "turns":
        print("ready", flush=True)
        for _ in sys.stdin:
            own = burst(once, out[-1] if out else 0)
            print(f"{statistics.median(own):.6f}", flush=True)
            out += own
        if not out:
            sys.exit("standard input ended before the first turn")
    else:
        end = time.perf_counter() + float(seconds)
        while len(out) < 3 or time.perf_counter() < end:
            out.append(once())
    return sorted(out)

"""Measure several programs by turns:  turns.py SECONDS HEAD -- NAME EVERY COMMAND... [-- NAME EVERY COMMAND...]...

All are started, one after the other; each prints "ready" when it is. Then each in turn is sent an empty line, runs for about 0.2
seconds and answers with the median of its times; the order is reversed in every second cycle, and a program takes part in every EVERYth
cycle. At the end of its input a program prints what it measured, as JSON. One JSON line a program comes of it, with HEAD (a piece of
a JSON object) in front, and the medians of its turns by cycle. A program that fails is left out and named on standard error.
"""
import json
import os
import resource
import subprocess
import sys
import time

MOST_CYCLES, LEAST_CYCLES = 40, 3


def ticks():
    """Clock ticks since the start: busy ones of all processors, all of all processors."""
    with open("/proc/stat") as file:
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    busy = user + nice + system + irq + softirq + steal
    return busy, busy + idle + iowait


def own_ticks():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used) * os.sysconf("SC_CLK_TCK")


class Program:
    def __init__(self, name, every, command):
        self.name, self.every, self.turns, self.spent, self.error, self.result = name, every, {}, 0.0, None, None
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except OSError as error:
            self.process, self.error = None, str(error)
            return
        if self.process.stdout.readline().strip() != "ready":
            self.fail("did not get ready")

    def fail(self, what):
        try:  # one that is ending says how
            status = self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.error = f"{what}, status {status}"

    def turn(self, cycle):
        begin = time.monotonic()
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            self.turns[cycle] = float(self.process.stdout.readline())
        except (OSError, ValueError):
            self.fail(f"gave no time in turn {len(self.turns) + 1}")
        self.spent += time.monotonic() - begin

    def end(self):
        if self.error:
            return
        text, _ = self.process.communicate()
        try:
            self.result = json.loads(text)
        except ValueError:
            pass
        if self.process.returncode or not isinstance(self.result, dict):
            self.error = f"failed with status {self.process.returncode}"


def cycles(programs, seconds):
    """Turns until every program that takes part in each cycle has had its seconds."""
    for cycle in range(MOST_CYCLES):
        alive = [p for p in programs if not p.error]
        frequent = [p for p in alive if p.every == min(q.every for q in alive)] if alive else []
        if not alive or (cycle >= LEAST_CYCLES and all(p.spent >= seconds for p in frequent)):
            return
        for program in alive if cycle % 2 == 0 else reversed(alive):
            if cycle % program.every == 0:
                program.turn(cycle)


def parse(words):
    try:
        seconds, head, groups = float(words[0]), json.loads("{" + words[1] + "}"), []
        for word in words[2:]:
            if word == "--":
                groups.append([])
            else:
                groups[-1].append(word)
        return seconds, head, [(name, int(every), command) for name, every, *command in groups if command]
    except (IndexError, ValueError):
        sys.exit(__doc__)


def main():
    seconds, head, groups = parse(sys.argv[1:])
    (busy, total), own = ticks(), own_ticks()
    programs = [Program(*group) for group in groups]
    cycles(programs, seconds)
    for program in programs:
        program.end()
    (busy_end, total_end), spent = ticks(), own_ticks() - own
    passed = max(1, total_end - total)
    others = max(0, round(100 * (busy_end - busy - spent) * os.cpu_count() / passed))  # of one processor
    for program in programs:
        record = {**head, "peer": program.name, "others_percent": others}
        if program.error:
            print(f"{program.name} {program.error}", file=sys.stderr)
            print(json.dumps({**record, "error": program.error}))
        else:
            print(json.dumps({**record, "turns": program.turns, "result": program.result}))
    sys.exit(1 if any(program.error for program in programs) else 0)


if __name__ == "__main__":
    main()

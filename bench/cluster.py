#!/usr/bin/env python3
"""How long a step of training takes on 1 to 512 machines: a model of `mpirun -n N syc train`, and what it is here.

  bench/cluster.py                            ViT-B/16, 8 calls a machine and step: constants below
  bench/cluster.py --calls 64 --fixed         64 calls a step, whoever makes them
  bench/cluster.py --measure                  beside it: 1, 2 and 4 processes on this machine, a small ViT

A step of a process: its calls one after the other, their gradients added pairwise; then the sum over the processes (mpi/sympi.c):
for each bucket an all-to-all of slices, the slices added, an all-gather; then the update. Nothing overlaps. Of a message
of b bytes: latency + b / bandwidth; a process sends one message at a time."""
import argparse, os, re, subprocess, sys, tempfile

BUCKET = 2 << 20  # floats, as in mpi/sympi.c


def all_reduce(a, machines):
    """Seconds of the sum over the processes."""
    if machines == 1:
        return 0.0
    seconds, left = 0.0, a.parameters
    while left > 0:
        n = min(left, BUCKET)
        piece = -(-n // machines) * 4
        wire = (machines - 1) * (a.latency * 1e-6 + piece / (a.bandwidth * 1e9 / 8))
        added = 3 * piece * (machines - 1) / (a.memory * 1e9)  # two read, one written
        copied = 4 * n * 4 / (a.memory * 1e9)  # in and out of the buffers
        seconds += 2 * wire + added + copied
        left -= n
    return seconds


def step(a, machines, calls):
    """(seconds of a step, of them in calls, in the sum) of a process with `calls` calls."""
    work = calls * a.call + (calls - 1) * 12 * a.parameters / (a.memory * 1e9)
    update = 28 * a.parameters / (a.memory * 1e9)  # AdamW: weight, gradient and two moments; three are written
    reduce = all_reduce(a, machines)
    return work + update + reduce, work, reduce


def table(a):
    print("machines  calls each  step s  calls s   sum s  samples/s  of linear")
    one = None
    for machines in a.machines:
        calls = a.calls
        if a.fixed:
            calls = a.calls // machines
            if not calls or calls * machines != a.calls or calls & (calls - 1) and machines > 1:
                print(f"{machines:8}  {a.calls} calls cannot be shared")
                continue
        total, work, reduce = step(a, machines, calls)
        rate = machines * calls * a.samples / total
        one = one or rate / machines
        print(f"{machines:8}  {calls:10}  {total:6.3g}  {work:7.3g}  {reduce:6.3g}  {rate:9.4g}  {100 * rate / machines / one:8.1f} %")


def run(syc, folder, processes, threads, steps):
    """Median seconds of a step of a small ViT in so many processes on this machine."""
    out = os.path.join(folder, f"run{processes}")
    spec = "vit -D size=64 -D patch=8 -D dim=192 -D depth=6 -D heads=3 -D classes=10 --objective classify".split()
    command = [syc, "train", *spec, "--data", os.path.join(folder, "data"), "--batch", "32", "--micro", "8", "--threads", str(threads),
               "--steps", str(steps), "--save-every", str(steps), "-q", "-o", out]
    launch = ["mpirun", "-n", str(processes)] if processes > 1 else []
    env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
               OMPI_MCA_hwloc_base_binding_policy="none")
    done = subprocess.run(launch + command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"cluster: {' '.join(launch + command)}\n{done.stderr}")
    with open(os.path.join(out, "log.csv")) as f:
        head = f.readline().strip().split(",")
        at = [float(line.split(",")[head.index("samples_per_s")]) for line in f]
    at = sorted(at[len(at) // 4:])  # without the first, which warm up
    with open(os.path.join(out, "last.safetensors"), "rb") as f:
        return 32 / at[len(at) // 2], f.read()


def measure(a):
    with tempfile.TemporaryDirectory() as folder:
        for k in range(10):
            os.makedirs(os.path.join(folder, "data", str(k)))
            for i in range(8):
                with open(os.path.join(folder, "data", str(k), f"{i}.ppm"), "wb") as f:
                    f.write(b"P6 64 64 255\n" + bytes((k * 25 + i * 3 + p * (k + 1)) % 256 for p in range(64 * 64 * 3)))
        print(f"\nhere: ViT of width 192 and 6 layers, 32 pictures of 64 pixels a step in 8 calls, {a.threads} thread(s) a process")
        print("processes  step s  samples/s  of one process")
        first = bits = None
        for processes in (1, 2, 4):
            seconds, file = run(a.syc, folder, processes, a.threads, a.steps)
            first, bits = first or seconds, bits or file
            if file != bits:
                sys.exit(f"cluster: {processes} processes have other bits than one")
            print(f"{processes:9}  {seconds:6.3g}  {32 / seconds:9.4g}  {first / seconds:8.2f} x")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--parameters", type=int, default=86_567_656, help="weights that are trained (ViT-B/16)")
    p.add_argument("--call", type=float, default=6.5, help="seconds of a call, forwards and backwards, on one machine (ViT-B/16, 8 pictures, one core: bench/README.md)")
    p.add_argument("--samples", type=int, default=8, help="samples of a call")
    p.add_argument("--calls", type=int, default=8, help="calls of a step in each machine; with --fixed: in all of them")
    p.add_argument("--fixed", action="store_true", help="the batch does not grow with the machines")
    p.add_argument("--latency", type=float, default=20, help="of a message, microseconds")
    p.add_argument("--bandwidth", type=float, default=10, help="of a machine's network, Gbit/s, each way")
    p.add_argument("--memory", type=float, default=14, help="GB/s that adding and updating read and write")
    p.add_argument("--machines", default="1,2,4,8,16,32,64,128,256,512", help="how many")
    p.add_argument("--measure", action="store_true", help="also 1, 2 and 4 processes here; checks that their bits are equal")
    p.add_argument("--threads", type=int, default=1, help="of a process that is measured")
    p.add_argument("--steps", type=int, default=12, help="that are measured")
    p.add_argument("--syc", default=os.environ.get("SYC", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../build/bin/syc")))
    a = p.parse_args()
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", a.machines) or min(a.parameters, a.call, a.samples, a.calls, a.bandwidth, a.memory) <= 0 or a.latency < 0:
        p.error("numbers must be above 0; --machines takes numbers separated by commas")
    a.machines = [int(x) for x in a.machines.split(",")]
    table(a)
    if a.measure:
        measure(a)


if __name__ == "__main__":
    main()

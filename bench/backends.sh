#!/usr/bin/env bash
# backends.sh: C beside LLVM: how long each takes to build a model, and how fast the result runs. Both run by turns in
# every round, so that what else the machine does falls on both; the least time of all rounds counts.
#
#   bench/backends.sh [--rounds N] [--threads 1,2] [ROUTE@SPEC...]        default: ViT-B/16 and CLIP B/32, 5 rounds, 1 thread
#
# Needs build/bin/syc (or $SYC) with LLVM. Exit status 1 if a run failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 3
syc=${SYC:-build/bin/syc}
rounds=5 threads=1 rows=()
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 && shift ;;
    --threads) threads=$2 && shift ;;
    --help) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit 0 ;;
    -*) echo "backends.sh: unknown option $1 (--help)" >&2 && exit 2 ;;
    *) rows+=("$1") ;;
  esac
  shift
done
[ ${#rows[@]} -gt 0 ] || rows=(classify@vit:base image@clip:b32 text@clip:b32)
"$syc" emit vit:tiny --emit=llvm -o - > /dev/null || exit 1

# now: milliseconds.
now() { date +%s%3N; }

# build_time SPEC BACKEND: milliseconds from the page to an object with all routes and instruction sets.
build_time() {
  local from
  from=$(now)
  "$syc" emit "$1" --emit=obj --backend="$2" -o "$work/object.o" || exit 1
  echo $(($(now) - from))
}

# least A B: the smaller of two numbers, A may be empty.
least() { awk -v a="$1" -v b="$2" 'BEGIN { print (a == "" || b < a) ? b : a }'; }

# run_time SPEC ROUTE BACKEND THREADS: least time of a call, ms.
run_time() {
  taskset -c "0-$(($4 - 1))" "$syc" bench "$1" --routes "$2" --backend="$3" --threads "$4" --dim B=1 --quiet --json \
    | sed -n 's/.*"min_ms":[[:space:]]*\([0-9.e+-]*\).*/\1/p'
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "| model | threads | C, ms | LLVM, ms | LLVM / C | build C, ms | build LLVM, ms |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
status=0
for row in "${rows[@]}"; do
  route=${row%%@*} spec=${row#*@}
  built_c=$(build_time "$spec" c) built_llvm=$(build_time "$spec" llvm)
  for t in ${threads//,/ }; do
    c='' llvm=''
    for ((i = 0; i < rounds; i++)); do
      for way in c llvm; do
        ms=$(run_time "$spec" "$route" "$way" "$t")
        [ -n "$ms" ] || { echo "backends.sh: $spec $route through $way failed" >&2 && status=1 && continue; }
        [ $way = c ] && c=$(least "$c" "$ms") || llvm=$(least "$llvm" "$ms")
      done
    done
    awk -v n="$spec $route" -v t="$t" -v c="$c" -v l="$llvm" -v bc="$built_c" -v bl="$built_llvm" \
      'BEGIN { printf "| %s | %d | %.2f | %.2f | %.3f | %d | %d |\n", n, t, c, l, l / c, bc, bl }'
  done
done
exit $status

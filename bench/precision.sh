#!/usr/bin/env bash
# precision.sh: the same models in several precisions: time of a call, and bytes of the packed weights. All run by turns in
# every round, so that what else the machine does falls on all; the least time of all rounds counts. Quotients are to f32.
#
#   bench/precision.sh [--rounds N] [--threads 1,2] [--precisions f32,bf16w,bf16,int8,int4w] [--isa NAME] [ROUTE@SPEC...]
#
# Default: ViT-B/16, CLIP B/32's texts and a word of BLIP's captions, 5 rounds, 1 thread. Needs build/bin/syc
# (or $SYC). Exit status 1 if a run failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 3
syc=${SYC:-build/bin/syc}
rounds=5 threads=1 precisions=f32,bf16w,bf16,int8,int4w isa='' rows=()
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 && shift ;;
    --threads) threads=$2 && shift ;;
    --precisions) precisions=$2 && shift ;;
    --isa) isa=$2 && shift ;;
    --help) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit 0 ;;
    -*) echo "precision.sh: unknown option $1 (--help)" >&2 && exit 2 ;;
    *) rows+=("$1") ;;
  esac
  shift
done
[ ${#rows[@]} -gt 0 ] || rows=(classify@vit:base text@clip:b32 caption@blip:caption_base)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# run SPEC ROUTE PRECISION THREADS: milliseconds of the fastest call (of a generate: of a word), megabytes of packed weights.
run() {
  taskset -c "0-$(($4 - 1))" "$syc" bench "$1" --routes "$2" --precision "$3" --threads "$4" --dim B=1 ${isa:+--isa "$isa"} \
    --quiet --json > "$work/run.json" || return 1
  local word call bytes
  call=$(sed -n 's/.*"min_ms": *\([0-9.e+-]*\).*/\1/p' "$work/run.json")
  word=$(sed -n 's/.*"step_ms": *\([0-9.e+-]*\).*/\1/p' "$work/run.json")
  bytes=$(sed -n 's/.*"weights_bytes": *\([0-9]*\).*/\1/p' "$work/run.json")
  awk -v ms="${word:-$call}" -v b="$bytes" 'BEGIN { print ms, b / 1e6 }'
}

echo "| model | threads | precision | ms | f32 / it | weights, MB |"
echo "| --- | --- | --- | --- | --- | --- |"
status=0
for row in "${rows[@]}"; do
  route=${row%%@*} spec=${row#*@}
  for t in ${threads//,/ }; do
    declare -A least=() size=()
    for ((i = 0; i < rounds; i++)); do
      for p in ${precisions//,/ }; do
        read -r ms mb < <(run "$spec" "$route" "$p" "$t")
        [ "${ms:-0}" != 0 ] || { echo "precision.sh: $spec $route in $p failed" >&2 && status=1 && continue; }
        size[$p]=$mb
        least[$p]=$(awk -v a="${least[$p]:-}" -v b="$ms" 'BEGIN { print (a == "" || b < a) ? b : a }')
      done
    done
    for p in ${precisions//,/ }; do
      awk -v n="$spec $route" -v t="$t" -v p="$p" -v ms="${least[$p]:-0}" -v f="${least[f32]:-0}" -v mb="${size[$p]:-0}" \
        'BEGIN { printf "| %s | %d | %s | %.2f | %.3f | %.1f |\n", n, t, p, ms, ms ? f / ms : 0, mb }'
    done
  done
done
exit $status

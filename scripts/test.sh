#!/usr/bin/env bash
# test.sh: builds with gcc and runs all tests. With --ci also: clang with its unit tests, address and undefined behaviour
# sanitizers, every fuzz target for FUZZ_SECONDS (60), and the formatting. With --nightly also the loops of tests/nightly, every
# fault, and ten minutes for a fuzz target: hours. Ends with one line
#
#   N passed, M failed, K skipped
#
# and exits with 1 if anything failed. Below 10 minutes on two cores, an hour with --ci. Build folders are kept: a second run is
# quick.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 3
. scripts/common.sh
exec < /dev/null

ci=no
nightly=no
case "${1:-}" in
  '') ;;
  --ci) ci=yes ;;
  --nightly) ci=yes nightly=yes ;;
  *)
    echo "usage: scripts/test.sh [--ci|--nightly]" >&2
    exit 2
    ;;
esac

passed=0 failed=0 skipped=0
pass() { passed=$((passed + 1)); }
fail() {
  failed=$((failed + 1))
  echo "FAILED: $*"
}
skip() {
  skipped=$((skipped + 1))
  echo "skipped: $*"
}
summary() {
  echo "$passed passed, $failed failed, $skipped skipped"
  [ $failed -eq 0 ]
  exit
}

# build PRESET FOLDER [TARGET...]: configures and builds; false if either fails.
build() {
  local preset=$1 folder=$2
  shift 2
  step "building $folder ($preset)"
  if quietly cmake --preset "$preset" -DENABLE_TESTS="${tests:-ON}" && quietly cmake --build "$folder" -j "$jobs" ${1:+--target "$@"}; then
    return 0
  fi
  fail "build of $folder"
  return 1
}

# A number of the whole run, from ctest's JUnit report.
attribute() {
  local n
  n=$(sed -n "s/^.*[ \t]$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1)
  echo "${n:-0}"
}

# run_ctest FOLDER [CTEST OPTIONS]: adds the results to the counts.
run_ctest() {
  local folder=$1 report
  shift
  report=$PWD/$folder/report.xml
  rm -f "$report"
  step "testing $folder: ctest $*"
  ctest --test-dir "$folder" -j "$jobs" --output-on-failure --output-junit "$report" "$@" || true
  if [ ! -s "$report" ]; then
    fail "ctest in $folder left no report"
    return
  fi
  local all bad not
  all=$(attribute tests "$report") bad=$(attribute failures "$report")
  not=$(($(attribute skipped "$report") + $(attribute disabled "$report")))
  [ "$all" -gt 0 ] || fail "no tests in $folder"
  passed=$((passed + all - bad - not)) failed=$((failed + bad)) skipped=$((skipped + not))
}

# The committed C sources (all of them outside a git checkout).
sources() {
  if git rev-parse --is-inside-work-tree > /dev/null 2>&1; then
    git ls-files -co --exclude-standard '*.c' '*.h'
  else
    find . -path './build*' -prune -o \( -name '*.c' -o -name '*.h' \) -print
  fi
}

check_format() {
  step "checking the formatting"
  command -v clang-format > /dev/null || {
    skip "clang-format is not installed"
    return
  }
  if sources | tr '\n' '\0' | xargs -0 clang-format --dry-run --Werror 2> build/format.txt; then
    pass
  else
    grep -c 'error:' build/format.txt | sed 's/$/ places differ:/'
    sed -n 's/^\([^: ]*\.[ch]\):[0-9].*/  \1/p' build/format.txt | sort -u | head -n 40
    fail "formatting: clang-format -i the files above"
  fi
}

# fuzz TARGET: one run over a copy of its seeds; prints only if it fails.
fuzz() {
  local target=$1 seeds='' dir one
  dir=build-fuzz/inputs/$target
  mkdir -p "$dir" build-fuzz/crashes
  for one in tests/fuzz/corpus/$target tests/fuzz/corpus/${target#fuzz_} \
    $(sed -n 's|^//.*corpus: \([a-z_]*\).*|tests/fuzz/corpus/\1|p' "tests/fuzz/$target.c"); do
    [ -d "$one" ] && seeds="$seeds $one"
  done
  for one in $(sed -n 's|^//.*dict: \([a-z_]*\).*|\1|p' "tests/fuzz/$target.c"); do
    seeds="-dict=tests/fuzz/dict/$one.dict $seeds"
  done
  # shellcheck disable=SC2086
  build-fuzz/fuzz/$target -max_total_time="${FUZZ_SECONDS:-60}" -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build-fuzz/crashes/$target-" "$dir" $seeds > "build-fuzz/$target.log" 2>&1
}

fuzz_all() {
  local targets=() file name running=() pids=()
  for file in tests/fuzz/fuzz_*.c; do
    name=$(basename "$file" .c)
    targets+=("$name")
  done
  tests=OFF build fuzz build-fuzz "${targets[@]}" || return
  step "fuzzing ${#targets[@]} targets, ${FUZZ_SECONDS:-60} s each, $jobs at a time"
  rm -rf build-fuzz/crashes
  local i=0
  while [ $i -lt ${#targets[@]} ]; do
    running=() pids=()
    for name in "${targets[@]:i:jobs}"; do
      fuzz "$name" &
      pids+=($!)
      running+=("$name")
    done
    i=$((i + jobs))
    local k
    for k in "${!pids[@]}"; do
      name=${running[k]}
      if wait "${pids[k]}"; then
        pass
        echo "ok: $name, $(sed -n 's/^stat::number_of_executed_units: *//p' "build-fuzz/$name.log") inputs"
      else
        tail -n 40 "build-fuzz/$name.log"
        fail "$name (inputs: build-fuzz/crashes/$name-*)"
      fi
    done
  done
}

if [ $ci = yes ]; then need_packages build test llvm optional; else need_packages build test llvm; fi
[ $ci = yes ] && export SWITCHYARD_GRAPHS=500 SWITCHYARD_KERNELS=500 SWITCHYARD_EDITED=3 SWITCHYARD_FAULTS=40
[ $nightly = yes ] && export NAMES=all SWITCHYARD_FAULTS=all

build release build || summary
# golden/interp: the other golden tests interpret, too, and compare bits. Without --ci the emitted C is tested on one
# instruction set, the best one here, and the others through LLVM, which takes ten minutes of compilers less.
left_out=interp
if [ $ci = no ] && grep -q '^sy_llvm_found:INTERNAL=[0-9]' build/CMakeCache.txt; then
  left_out='interp|portable|neon|jit|riscv|narrow'
  grep -q -m1 avx512vl /proc/cpuinfo && left_out="$left_out|avx2"
  if command -v node && ls /usr/bin/wasm-ld*; then
    export SWITCHYARD_LLVM_ISAS='avx2 avx512 neon' # portable: as WebAssembly
  fi > /dev/null 2>&1
  step "left to --ci: the golden cases through C on the instruction sets that LLVM covers ($left_out)"
fi
run_ctest build -E "^golden/($left_out)\$"

if [ $ci = yes ]; then
  check_format
  export SWITCHYARD_GRAPHS=50 # the full number was with gcc
  build clang build-clang && run_ctest build-clang -L '^unit$'
  step "the golden cases through C again, compiled by clang"
  CC=clang run_ctest build -R '^golden/(portable|avx2|avx512)$'
  if [ -e /usr/lib/llvm-15/include/llvm-c/LLJIT.h ]; then
    build llvm15 build-llvm15 && run_ctest build-llvm15 -R '^(unit/program_llvm|llvm)$'
  else
    skip "LLVM 15 is not installed"
  fi
  if build asan build-asan; then
    run_ctest build-asan -L '^(unit|err|fmt)$'
    run_ctest build-asan -R '^golden/(interp|avx2)$'
  fi
  [ $nightly = yes ] && export FUZZ_SECONDS="${FUZZ_SECONDS:-600}"
  fuzz_all
fi
if [ $nightly = yes ]; then
  step "loops: threads under sanitizers, edited IR, killed embeds, every fault (SWITCHYARD_NIGHTLY=${SWITCHYARD_NIGHTLY:-20} rounds)"
  if sh tests/nightly/run.sh build/bin/syc; then pass; else fail "tests/nightly"; fi
  SWITCHYARD_FAULTS=all run_ctest build -R '^faults$'
fi
summary

#!/usr/bin/env bash
# test.sh: builds with gcc and runs all tests. With --ci also: clang with its unit tests, address and undefined behaviour
# sanitizers, every fuzz target for FUZZ_SECONDS (40), and the formatting. With --nightly also the loops of tests/nightly, all
# names, several times as many random graphs, and ten minutes for a fuzz target: hours. Ends with a table of where the time went,
# and one line
#
#   N passed, M failed, K skipped
#
# and exits with 1 if anything failed. Below 10 minutes on two cores, 50 with --ci. Build folders are kept: a second run is quick.
#
# What would take too long is drawn, with --ci, by SWITCHYARD_SEED: other random graphs, kernels, edits, names and inputs of
# the fuzz targets, and another compiler or instruction set, every day. The number is printed; set it, and the same is drawn again.
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

# step TEXT: as in common.sh; the seconds until the next one are its row in the table.
steps=() began=()
step() {
  printf '== %s\n' "$*"
  steps+=("$*") began+=("$SECONDS")
}
tests_took=$(mktemp)
trap 'rm -f "$tests_took"' EXIT
table() {
  local i until
  printf '== seconds of each step, %d in all\n' "$SECONDS"
  for i in "${!steps[@]}"; do
    until=${began[i + 1]:-$SECONDS}
    [ "$until" -eq "${began[i]}" ] || printf '%6d  %s\n' $((until - began[i])) "${steps[i]:0:110}"
  done
  [ -s "$tests_took" ] || return 0
  echo "== the slowest tests"
  sort -rn "$tests_took" | head -n 10
}
summary() {
  table
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
  sed -n 's|^.*<testcase name="\([^"]*\)".* time="\([0-9.]*\)".*|\2 \1|p' "$report" |
    LC_ALL=C awk -v folder="$folder" '{ printf "%6d  %s in %s\n", $1 + 0.5, $2, folder }' >> "$tests_took"
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
  build-fuzz/fuzz/$target -seed="$SWITCHYARD_SEED" -max_total_time="$FUZZ_SECONDS" -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build-fuzz/crashes/$target-" "$dir" $seeds > "build-fuzz/$target.log" 2>&1
}

fuzz_all() {
  local targets=() file name running=() pids=()
  for file in tests/fuzz/fuzz_*.c; do
    name=$(basename "$file" .c)
    targets+=("$name")
  done
  tests=OFF build fuzz build-fuzz "${targets[@]}" || return
  step "fuzzing ${#targets[@]} targets, $FUZZ_SECONDS s each, $jobs at a time"
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

# script NAME [ARGUMENT...]: tests/NAME/run.sh by itself, where ctest's limit of 50 minutes would cut it.
script() {
  local name=$1
  shift
  step "tests/$name"
  bash "tests/$name/run.sh" "$@"
  case $? in
    0) pass ;;
    77) skip "tests/$name" ;;
    *) fail "tests/$name" ;;
  esac
}

# drawn WORD...: one of them
drawn() { shift $((SWITCHYARD_SEED % $#)) && echo "$1"; }

# amount NAME CI [NIGHTLY]: exports it, unless the caller has said another
amounts=
amount() {
  local value=$2
  [ $nightly = yes ] && value=${3:-$2}
  export "$1=${!1:-$value}"
  amounts="$amounts $1=$(printf %q "${!1}")"
}

if [ $ci = yes ]; then need_packages build test llvm onnx optional; else need_packages build test llvm onnx; fi
own=
if [ $ci = yes ]; then
  amount SWITCHYARD_SEED $(($(date +%s) / 86400))
  #                                            --ci  --nightly
  amount SWITCHYARD_GRAPHS                       60      500 # random graphs through LLVM, gcc and clang
  amount SWITCHYARD_KERNELS                     200      500 # random kernels a target
  amount SWITCHYARD_EDITED                       10      100 # rounds of edited IR
  amount SWITCHYARD_FAULTS                      all      all # calls that fail, a kind and a command: a minute
  amount SWITCHYARD_NIGHTLY                       -       20 # rounds of each loop of tests/nightly
  amount NAMES                                 some      all # of those that a model or prefix can have
  amount SWITCHYARD_PRECISIONS "$(drawn bf16w f16w)" "bf16w f16w" # golden/narrow
  amount FUZZ_SECONDS                            40      600 # a target
  step "to draw the same again:$amounts scripts/test.sh ${1}"
fi

[ $nightly = yes ] && own='|names' # by themselves, below
build release build || summary
sets=$(build/bin/syc help isa --json | sed -n 's/.*"name": "\([^"]*\)".*/\1/p')
here=$(build/bin/syc help isa --json | sed -n 's/.*"name": "\([^"]*\)".*"runs_here": true.*/\1/p')
best=$(tail -n 1 <<< "$here")
# The golden cases through emitted C, by gcc: compilers take two minutes of a processor for an instruction set, and LLVM covers
# all of them each time. Without --ci, the best one here; with it also portable C and another one, drawn; all with --nightly.
if [ $ci = yes ]; then
  others=$(grep -vxE "portable|$best" <<< "$sets")
  # shellcheck disable=SC2086
  through_c="portable $best $(drawn $others)"
  [ $nightly = yes ] && through_c=$sets
  less=
elif grep -q '^sy_llvm_found:INTERNAL=[0-9]' build/CMakeCache.txt; then
  through_c=$best
  less='|jit|riscv|narrow'
  if command -v node && ls /usr/bin/wasm-ld*; then # portable: as WebAssembly; rv64gc: left to golden/riscv
    SWITCHYARD_LLVM_ISAS=$(grep -vxE 'portable|rv64gc' <<< "$sets" | paste -sd' ' -)
    export SWITCHYARD_LLVM_ISAS
  fi > /dev/null 2>&1
else
  through_c=$sets
  less=
fi
# golden/train: all pages through compilers with --ci alone.
[ $ci = yes ] || export SWITCHYARD_TRAIN_MODEL="${SWITCHYARD_TRAIN_MODEL-vit}"
[ $nightly = yes ] && export SWITCHYARD_TRAIN_ISAS="${SWITCHYARD_TRAIN_ISAS-$sets}"
# golden/interp: the other golden tests interpret, too, and compare bits.
left_out="golden/(interp$less$(for isa in $sets; do grep -qw "$isa" <<< "$through_c" || printf '|%s' "$isa"; done))$own"
step "golden cases through C: ${through_c//$'\n'/ }; left out: $left_out"
run_ctest build -E "^($left_out)\$"

if [ $ci = yes ]; then
  check_format
  # Another compiler, LLVM or sanitizer looks at syc itself; the random graphs went through both compilers with gcc's.
  graphs=$SWITCHYARD_GRAPHS
  export SWITCHYARD_GRAPHS=10
  build clang build-clang && run_ctest build-clang -L '^unit$'
  if [ -e /usr/lib/llvm-15/include/llvm-c/LLJIT.h ]; then
    build llvm15 build-llvm15 syc unit-program_llvm && run_ctest build-llvm15 -R '^(unit/program_llvm|llvm)$'
  else
    skip "LLVM 15 is not installed"
  fi
  if build asan build-asan; then
    run_ctest build-asan -L '^(unit|err|fmt)$'
    run_ctest build-asan -R '^golden/interp$'
    step "a set through C, by the syc with sanitizers"
    if build-asan/bin/syc check models --golden tests/golden/vit_torchvision; then pass; else fail "vit_torchvision through C, asan"; fi
  fi
  export SWITCHYARD_GRAPHS=$graphs
  # shellcheck disable=SC2086
  if [ $nightly = yes ]; then by_clang=$here; else by_clang=$(drawn $here); fi
  step "the golden cases through C again, compiled by clang"
  CC=clang run_ctest build -R "^golden/($(paste -sd'|' - <<< "$by_clang"))\$"
  fuzz_all
fi
if [ $nightly = yes ]; then
  for name in names nightly; do script $name build/bin/syc; done
fi
summary

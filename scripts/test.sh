#!/usr/bin/env bash
# test.sh: builds with gcc and runs all tests. With --ci also: clang with half of its unit tests, address and undefined behaviour
# sanitizers, every fuzz target for FUZZ_SECONDS (20), and the formatting. With --nightly also the loops of tests/nightly, all
# names, several times as many random graphs, and ten minutes for a fuzz target: hours. --nightly --minutes N is a night of N
# minutes (building comes on top): each part gets its share of them, amounts shrink with it, and of tests those are drawn that fit.
# --parts A,B runs these parts of a night alone (tests, clang, llvm15, asan, golden-clang, fuzz, names, loops). Ends with a table of
# where the time went, and one line
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

usage() {
  echo "usage: scripts/test.sh [--ci | --nightly [--minutes N] [--parts A,B,..]]" >&2
  exit 2
}
ci=no nightly=no minutes='' parts='' asked="$*"
while [ $# -gt 0 ]; do
  case $1 in
    --ci) ci=yes ;;
    --nightly) ci=yes nightly=yes ;;
    --minutes)
      minutes=${2:-}
      case $minutes in '' | *[!0-9]* | 0* | ??????*) usage ;; esac
      shift
      ;;
    --parts)
      parts=${2:-}
      [ -n "$parts" ] || usage
      shift
      ;;
    *) usage ;;
  esac
  shift
done
[ -z "$minutes$parts" ] || [ $nightly = yes ] || usage

# Parts of a night and their shares of its minutes.
night='tests 26
clang 5
llvm15 4
asan 18
golden-clang 5
fuzz 22
names 6
loops 14'
for part in ${parts//,/ }; do
  grep -q "^$part " <<< "$night" || { echo "test.sh: no part is called $part; there are: $(cut -d' ' -f1 <<< "$night" | paste -sd' ' -)" >&2 && exit 2; }
done
in_night() { # PART: is it asked for?
  [ -z "$parts" ] || grep -qw -e "$1" <<< "${parts//,/ }"
}
# share PART: seconds for it of those that are left, as its share says among the parts that are still to come.
ends=''
share() {
  local left
  left=$((ends - SECONDS))
  while read -r name percent; do in_night "$name" && echo "$name $percent"; done <<< "$night" |
    awk -v part="$1" -v left=$((left > 0 ? left : 0)) '$1 == part { mine = $2 } mine { sum += $2 } END { print int(left * mine / sum) }'
}
part_ends='' # of the part at hand: no test is begun behind it
part() { # PART: false if it is not asked for
  in_night "$1" || return 1
  part_ends=
  [ -z "$minutes" ] || part_ends=$((SECONDS + $(share "$1")))
  return 0
}

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
  if [ -n "$part_ends" ]; then
    run_drawn "$folder" "$@"
    return
  fi
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

# run_drawn FOLDER [CTEST OPTIONS]: the same as long as the part's time is not over: tests in an order that is drawn, as many at once
# as there are processors. A test that has begun ends. Those that were not reached are named, and counted by nobody.
run_drawn() {
  local folder=$1 names name batch=() done=0 all
  shift
  step "testing $folder for $((part_ends > SECONDS ? part_ends - SECONDS : 0)) s: ctest $*"
  names=$(ctest --test-dir "$folder" -N "$@" | sed -n 's/^ *Test *#[0-9]*: //p' |
    awk -v seed="$SWITCHYARD_SEED" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' | sort -n | cut -f2)
  all=$(grep -c . <<< "$names")
  local until=$part_ends quiet_steps=${#steps[@]}
  part_ends= # one batch is not divided further
  while read -r name; do
    batch+=("${name//+/[+]}")
    [ ${#batch[@]} -lt "$jobs" ] && [ $((done + ${#batch[@]})) -lt "$all" ] && continue
    run_ctest "$folder" -R "^($(IFS='|' && echo "${batch[*]}"))\$" > build/drawn.txt 2>&1
    grep -E '^ *[0-9]+/[0-9]+ Test|^FAILED|Failed|Timeout' build/drawn.txt
    grep -qE '(\*\*\*|^FAILED)' build/drawn.txt && cat build/drawn.txt
    done=$((done + ${#batch[@]})) batch=()
    [ $SECONDS -lt "$until" ] || break
  done <<< "$names"
  steps=("${steps[@]:0:quiet_steps}") began=("${began[@]:0:quiet_steps}")
  part_ends=$until
  echo "$done of $all tests; the others are for other seeds"
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
  local targets=("${fuzz_targets[@]}") name running=() pids=()
  if [ -n "$part_ends" ]; then
    FUZZ_SECONDS=$(((part_ends - SECONDS) * jobs / ${#targets[@]}))
    [ "$FUZZ_SECONDS" -ge 2 ] || FUZZ_SECONDS=2
  fi
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
  SWITCHYARD_SECONDS=${part_ends:+$((part_ends > SECONDS ? part_ends - SECONDS : 1))} bash "tests/$name/run.sh" "$@"
  case $? in
    0) pass ;;
    77) skip "tests/$name" ;;
    *) fail "tests/$name" ;;
  esac
}

# drawn WORD...: one of them
drawn() { shift $((SWITCHYARD_SEED % $#)) && echo "$1"; }

# amount NAME CI [NIGHTLY]: exports it, unless the caller has said another. A night that is short has less of what is counted, and
# of what is drawn or all as much as --ci.
FULL_NIGHT=480 # minutes, for the amounts below
amounts=
amount() {
  local value=$2
  [ $nightly = yes ] && value=${3:-$2}
  if [ -n "$minutes" ] && [ "$minutes" -lt $FULL_NIGHT ] && [ $# -gt 2 ]; then
    case $3 in
      *[!0-9]*) [ "$minutes" -ge 120 ] || value=$2 ;;
      *) value=$(($3 * minutes / FULL_NIGHT)) && [ "$value" -gt 0 ] || value=1 ;;
    esac
  fi
  export "$1=${!1:-$value}"
  amounts="$amounts $1=$(printf %q "${!1}")"
}

if [ $ci = yes ]; then need_packages build test llvm onnx optional; else need_packages build test llvm onnx; fi
own=
if [ $ci = yes ]; then
  amount SWITCHYARD_SEED $(($(date +%s) / 86400))
  #                                            --ci  --nightly
  amount SWITCHYARD_GOLDEN_SHARE                  2        1 # every N-th set of golden cases, another for each way of running them
  amount SWITCHYARD_TRAIN_SHARE                   4        1 # the same of the cases of training
  amount SWITCHYARD_GOLDEN_WHOLE               best     best # ways that take all sets
  amount SWITCHYARD_GRAPHS                       15      500 # random graphs through LLVM, gcc and clang
  amount SWITCHYARD_KERNELS                     120      500 # random kernels a target
  amount SWITCHYARD_EDITED                       10      100 # rounds of edited IR
  amount SWITCHYARD_FAULTS                       60      all # calls that fail, a kind and a command
  amount SWITCHYARD_KILLS                        12      200 # of a training that goes on
  amount SWITCHYARD_NIGHTLY                       -       20 # rounds of each loop of tests/nightly
  amount NAMES                                 some      all # of those that a model or prefix can have
  amount SWITCHYARD_PRECISIONS "$(drawn bf16w f16w bf16 int8 int4w mixed)" "bf16w f16w bf16 int8 int4w mixed" # golden/narrow
  amount FUZZ_SECONDS                            20      600 # a target
  step "to draw the same again:$amounts scripts/test.sh $asked"
fi

[ $nightly = yes ] && own='|names' # by themselves, below
build release build || summary

# built PART: builds what it needs, once; false if that fails. Parts of a night with a budget are built before the clock runs.
fuzz_targets=(tests/fuzz/fuzz_*.c)
fuzz_targets=("${fuzz_targets[@]##*/}") && fuzz_targets=("${fuzz_targets[@]%.c}")
builds=''
built() {
  case $builds in *" $1=yes "*) return 0 ;; *" $1=no "*) return 1 ;; esac
  local done=yes
  case $1 in
    clang) build clang build-clang || done=no ;;
    llvm15)
      if [ -e /usr/lib/llvm-15/include/llvm-c/LLJIT.h ]; then
        build llvm15 build-llvm15 syc unit-program_llvm || done=no
      else
        skip "LLVM 15 is not installed"
        done=no
      fi
      ;;
    asan) build asan build-asan || done=no ;;
    fuzz) tests=OFF build fuzz build-fuzz "${fuzz_targets[@]}" || done=no ;;
  esac
  builds="$builds $1=$done "
  [ $done = yes ]
}
if [ -n "$minutes" ]; then
  for part in clang llvm15 asan fuzz; do in_night "$part" && built "$part"; done
  ends=$((SECONDS + 60 * minutes))
  step "a night of $minutes minutes: $(while read -r name percent; do in_night "$name" && printf '%s %d, ' "$name" "$percent"; done <<< "$night") in percent"
fi
# Without the sets for products of codes alone: golden/narrow has those.
sets=$(build/bin/syc help isa --json | sed -n '/"codes_of"/d; s/.*"name": "\([^"]*\)".*/\1/p')
here=$(build/bin/syc help isa --json | sed -n '/"codes_of"/d; s/.*"name": "\([^"]*\)".*"runs_here": true.*/\1/p')
best=$(tail -n 1 <<< "$here")
# The golden cases through emitted C, by gcc: compilers take minutes of a processor for an instruction set. Without --ci all
# go through LLVM in process, which takes seconds, and a third of them, always the same ones, through C on the best set here and
# through LLVM on the others; with it all through C on the best set, and half of them on another, drawn, and on both through LLVM.
# With --nightly all go every way.
if [ $ci = yes ]; then
  others=$(grep -vx "$best" <<< "$sets")
  # shellcheck disable=SC2086
  through_c="$best $(drawn $others)"
  if [ $nightly = yes ]; then
    through_c=$sets
  else
    export SWITCHYARD_LLVM_ISAS="${SWITCHYARD_LLVM_ISAS:-$through_c}"
  fi
  less=
elif grep -q '^sy_llvm_found:INTERNAL=[0-9]' build/CMakeCache.txt; then
  through_c=$best
  less='|riscv|narrow'
  export SWITCHYARD_GOLDEN_SHARE="${SWITCHYARD_GOLDEN_SHARE:-3}" SWITCHYARD_GOLDEN_WHOLE="${SWITCHYARD_GOLDEN_WHOLE-jit train}"
  if command -v node && ls /usr/bin/wasm-ld*; then # portable: as WebAssembly; rv64gc: left to golden/riscv
    SWITCHYARD_LLVM_ISAS=$(grep -vxE 'portable|rv64gc' <<< "$sets" | paste -sd' ' -)
    export SWITCHYARD_LLVM_ISAS
  fi > /dev/null 2>&1
else
  through_c=$sets
  less=
  interp=none # is not left out
  export SWITCHYARD_GOLDEN_SHARE="${SWITCHYARD_GOLDEN_SHARE:-3}" SWITCHYARD_GOLDEN_WHOLE="${SWITCHYARD_GOLDEN_WHOLE-interp train}"
fi
# golden/train: all pages through compilers with --ci alone.
[ $ci = yes ] || export SWITCHYARD_TRAIN_MODEL="${SWITCHYARD_TRAIN_MODEL-vit}"
[ $nightly = yes ] && export SWITCHYARD_TRAIN_ISAS="${SWITCHYARD_TRAIN_ISAS-$sets}"
# golden/interp: the other golden tests interpret, too, and compare bits.
left_out="golden/(${interp:-interp}$less$(for isa in $sets; do grep -qw "$isa" <<< "$through_c" || printf '|%s' "$isa"; done))$own"
step "golden cases through C: ${through_c//$'\n'/ }; left out: $left_out"
part tests && run_ctest build -E "^($left_out)\$"

if [ $ci = yes ]; then
  check_format
  # Another compiler, LLVM or sanitizer looks at syc itself; the random graphs went through both compilers with gcc's.
  graphs=$SWITCHYARD_GRAPHS
  export SWITCHYARD_GRAPHS=4
  half=()
  [ $nightly = yes ] || half=(-I $((1 + SWITCHYARD_SEED % 2)),,2) # every other one
  part clang && built clang && run_ctest build-clang -L '^unit$' "${half[@]}"
  part llvm15 && built llvm15 && run_ctest build-llvm15 -R '^(unit/program_llvm|llvm)$'
  if part asan && built asan; then
    run_ctest build-asan -L '^(unit|err|fmt)$'
    run_ctest build-asan -R '^golden/interp$'
    step "a set through C, by the syc with sanitizers"
    if build-asan/bin/syc check models --golden tests/golden/vit_torchvision; then pass; else fail "vit_torchvision through C, asan"; fi
  fi
  export SWITCHYARD_GRAPHS=$graphs
  # shellcheck disable=SC2086
  if [ $nightly = yes ]; then by_clang=$here; else by_clang=$(drawn $here); fi
  if part golden-clang; then
    step "the golden cases through C again, compiled by clang"
    SWITCHYARD_GOLDEN_WHOLE='' CC=clang run_ctest build -R "^golden/($(paste -sd'|' - <<< "$by_clang"))\$"
  fi
  part fuzz && built fuzz && fuzz_all
fi
if [ $nightly = yes ]; then
  part names && script names build/bin/syc
  part loops && script nightly build/bin/syc
fi
summary

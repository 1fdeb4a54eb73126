#!/bin/sh
# Golden cases in every way of executing a model.
#   run.sh [SYC] [interp|ISA|threads|llvm|jit|wasm|riscv|narrow|train]...      default: all ways, SYC=build/bin/syc
#   run.sh [SYC] bits                                          writes bits.txt anew; its head says when that is right
# The bits of all results must be those of bits.txt: one column for what has fma, whatever its width, and one for what
# has not (portable, wasm).
# interp   the interpreter at the width of every instruction set
# ISA      compiled C for one of `syc help isa` (under qemu where the machine is of another family), one thread; the results
#          must have the same bits as the interpreter's at that width
# threads  compiled C with 1, 2 and 3 threads, and for a larger model other batches and widths, must give the same bits
# llvm     the LLVM back end on every instruction set, as above: bits of the interpreter; SWITCHYARD_LLVM_ISAS names fewer
# jit      the same in the compiler's own process, on the best instruction set
# wasm     LLVM's WebAssembly in node: bits of the interpreter at the width of portable
# riscv    LLVM's RISC-V code under qemu, and once more with the vector extension where this qemu has it: bits of the
#          interpreter at rv64gc
# narrow   weights and states kept in bf16 and in f16, products of bf16, and of 8-bit codes, with weights of 8 and of 4 bits: the interpreter, C and LLVM, and all widths
#          with fma, give the same bits; SWITCHYARD_PRECISIONS names one; `mixed` is all of them, by the rules of mixed.precision
# train    the cases of training (losses, gradients, weights after steps, states), which the other ways leave out: the
#          interpreter at every width, compiled C with 1 and 2 threads, and LLVM, on the best instruction set;
#          SWITCHYARD_TRAIN_ISAS names further ones for C and for LLVM, SWITCHYARD_TRAIN_MODEL one page for C and in-process LLVM
# SWITCHYARD_GOLDEN_SHARE=N: every way takes every N-th set of cases alone, others for each SWITCHYARD_SEED and each way, but for
# those that SWITCHYARD_GOLDEN_WHOLE names ("best" is the best instruction set here): these take all. `threads` runs the programs of
# the best one, and takes what that takes. SWITCHYARD_TRAIN_SHARE: the same for `train` alone.
# Exit status: 0 all well, 77 everything asked for was skipped, else 1.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
root=${SOURCE_DIR:-$(cd "$here/../.." && pwd)}
syc=${SYC:-$root/build/bin/syc}
isas=$(sed -n 's/^INSTRUCTION_SET(\([^,]*\),.*/\1/p' "$root/runtime/cpu.def" | paste -sd' ' -) # from the worst to the best
if [ $# -gt 0 ]; then
  case " interp bits $isas threads llvm jit wasm riscv narrow train " in
  *" $1 "*) ;;
  *) syc=$1 && shift ;;
  esac
fi
ways=${*:-interp $isas threads llvm jit wasm riscv narrow train}
[ -x "$syc" ] || { echo "run.sh: no compiler at $syc"; exit 1; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
shared=${SWITCHYARD_SHARED:-$root/../shared/golden}
[ -d "$shared" ] || { shared=; echo "golden: no shared folder: cases that need its pictures and vocabularies are skipped"; }
failed=0 ran=0 inexact=no
usual=forward,generate,op,preprocess,tokenize
with_bits="blip_caption clip vit_torchvision" # sets of which bits.txt has products of bf16
pages=$work/models # those of models/, and those that lie beside their cases
mkdir "$pages" && ln -s "$root"/models/* "$here"/*/*.sy "$pages" || exit 1
models=$pages kinds=$usual part= # part: behind the names of sets in bits.txt

# draw WAY: the sets that it takes
cases=$here
draw() {
  cases=$here
  way_drawn=$1
  case $1 in threads | "$(best)") way_drawn=best ;; esac
  case " bits ${SWITCHYARD_GOLDEN_WHOLE:-} " in *" $way_drawn "*) return ;; esac
  share=${SWITCHYARD_GOLDEN_SHARE:-1}
  [ "$1" = train ] && share=${SWITCHYARD_TRAIN_SHARE:-$share}
  [ "$share" -gt 1 ] || return
  cases=$work/cases-$1
  mkdir "$cases"
  rm -f "$work"/interp-*
  for set in "$here"/*/; do [ -e "$set/cases.json" ] && basename "$set"; done |
    awk -v n="$share" -v seed="$((${SWITCHYARD_SEED:-0} + $(echo "$way_drawn" | cksum | cut -c1-6)))" '(NR + seed) % n == 0' |
    while read -r set; do ln -s "$here/$set" "$cases/$set"; done
  echo "golden $1: the sets drawn are" $(ls "$cases")
}

# check NAME ARGUMENTS...: runs the cases; leaves NAME.json and NAME.bits (one line a tensor)
check() {
  name=$1 && shift
  "$syc" check "$models" --golden "$cases" ${shared:+--shared "$shared"} --kinds "$kinds" --together --json "$@" >"$work/$name.json" 2>"$work/$name.err"
  code=$?
  sed -n 's/^[[:space:]]*"\(set\|case\|name\|hash\)":[[:space:]]*"\(.*\)",\{0,1\}$/\2/p' "$work/$name.json" >"$work/$name.bits"
  count=$(sed -n 's/^[[:space:]]*"\(passed\|failed\|skipped\)":[[:space:]]*\([0-9]*\),\{0,1\}$/\2 \1/p' "$work/$name.json" | paste -sd, -)
  echo "golden $name: ${count:-no result}"
  ran=$((ran + 1))
  [ $inexact = yes ] && [ $code -eq 4 ] && code=0
  if [ $code -ne 0 ]; then
    cat "$work/$name.err"
    [ $code -eq 4 ] && "$syc" check "$models" --golden "$cases" ${shared:+--shared "$shared"} --kinds "$kinds" "$@" 2>/dev/null | grep '^FAIL'
    echo "golden $name: FAILED (exit status $code)"
    failed=1
  elif ! grep -q '"hash"' "$work/$name.json"; then
    echo "golden $name: no tensor was compared"
    failed=1
  fi
}

# those "SET..": of the sets drawn these alone
those() {
  mkdir -p "$work/those"
  for set in $1; do [ -e "$cases/$set" ] && ln -sfn "$here/$set" "$work/those/$set"; done
  cases=$work/those
}

# sums NAME: the set, its number of tensors and a checksum of all their bits, a line a set
sums() {
  awk -F'"' '
    $2 == "name" { name = $4 }
    $2 == "hash" { line[++n] = name " " $4 }
    $2 == "set" { set = $4 }
    $2 == "case" { for (i = 1; i <= n; i++) print set, $4, line[i]; n = 0 }' "$work/$1.json" | sort >"$work/sums"
  for set in $(cut -d' ' -f1 "$work/sums" | uniq); do
    [ -e "$cases/$set" ] || continue
    grep "^$set " "$work/sums" >"$work/set"
    echo "$set$part $(grep -c . "$work/set") $(sha256sum <"$work/set" | cut -c1-16)"
  done
}

# column ISA: of bits.txt
column() {
  if "$syc" help isa | grep -q "^  $1 .*  fma  "; then echo 3; else echo 4; fi # 4: what is no instruction set, too
}

# known NAME ISA: the bits must be those that every machine gives
known() {
  sums "$1" >"$work/sums-$1"
  sed '/^#/d' "$here/bits.txt" | if [ "$part" ]; then grep -F "$part "; else grep -v '^[^ ]*[+]'; fi | awk -v column="$(column "$2")" -v some="$(ls "$cases" | paste -sd' ')" '
    BEGIN { n = split(some, a, " "); for (i = 1; i <= n; i++) drawn[a[i]] = 1 }
    { set = $1; sub(/[+].*/, "", set) }
    set in drawn { print $1, $2, $column }' >"$work/known"
  if [ -s "$work/sums-$1" ] && cmp -s "$work/known" "$work/sums-$1"; then
    echo "golden: $1 gives the bits of bits.txt"
  else
    echo "golden: $1 gives OTHER BITS than bits.txt (set, tensors, checksum):"
    diff "$work/known" "$work/sums-$1" | head -20
    failed=1
  fi
}

# large NAME ARGUMENTS...: the bits of a model that is worth sharing out; the cases are too small for it
large() {
  name=$1 && shift
  "$syc" bench "$root/models/vit.sy:small" -D size=96 -D depth=2 --routes classify --rounds 20 --quiet \
    --output "$work/$name.bits" "$@" >/dev/null || failed=1
}

# same A B: equal bits in all tensors
same() {
  if [ -s "$work/$1.bits" ] && cmp -s "$work/$1.bits" "$work/$2.bits"; then
    echo "golden: $1 and $2 give the same bits"
  else
    echo "golden: $1 and $2 DIFFER:"
    diff -a "$work/$1.bits" "$work/$2.bits" | head -20 | cut -c1-200
    failed=1
  fi
}

interp() {
  [ -s "$work/interp-$1.bits" ] && return
  check "interp-$1" --backend interp --isa "$1"
  known "interp-$1" "$1"
}

# why_not WAY: the reason why it cannot be gone here, or nothing
why_not() {
  case $1 in
  wasm)
    command -v node >/dev/null || echo "no node"
    have_one wasm-ld || echo "no wasm-ld"
    ;;
  riscv)
    command -v qemu-riscv64 >/dev/null || echo "no qemu-riscv64"
    command -v riscv64-linux-gnu-gcc >/dev/null || echo "no riscv64-linux-gnu-gcc"
    have_one ld.lld || echo "no ld.lld"
    ;;
  riscv-v)
    why_not riscv | grep . && return
    qemu-riscv64 --version | grep -qE 'version ([89]|[1-9][0-9])' || echo "qemu 7 stops with an assertion at vector code"
    ;;
  *) # an instruction set: "  avx2      AVX2        fma    x86_64 with avx2,fma,f16c      runs here"
    "$syc" help isa | grep -q "^  $1 .* runs here\$" && return
    family=$("$syc" help isa | awk -F'   *' -v isa="$1" '$2 == isa { sub(/ .*/, "", $5); print $5 }')
    [ "$family" = "$(uname -m)" ] && echo "this CPU has no $1" && return
    case $family in x86_64 | '') echo "this machine is not $family" && return ;; esac
    command -v "qemu-$family" >/dev/null || echo "no qemu-$family"
    command -v "$family-linux-gnu-gcc" >/dev/null || echo "no $family-linux-gnu-gcc"
    ;;
  esac
}

have_one() { ls /usr/bin/"$1"* >/dev/null 2>&1 || command -v "$1" >/dev/null; } # with a version behind its name, too

# foreign NAME ISA REASON ARGUMENTS...: a way through LLVM for another machine, against the interpreter
foreign() {
  machine=$1 isa=$2 reason=${3:-$(no_llvm)}
  shift 3
  if [ -n "$reason" ]; then
    echo "golden $machine: skipped: $reason"
  else
    interp "$isa"
    check "$machine" --backend llvm "$@"
    same "interp-$isa" "$machine"
  fi
}

no_llvm() { "$syc" check "$root/models" --golden "$here/ops" --backend llvm --case none 2>&1 | sed -n 's/.*built without LLVM.*/this syc was built without LLVM/p'; }
runs_here() { "$syc" help isa | awk '/runs here$/ { print $1 }'; }
best() { for isa in $(runs_here); do case " $isas " in *" $isa "*) echo "$isa" ;; esac; done | tail -n 1; }
# for products of codes and of bf16, any set with fma may be the one: drawn
words_isa() { runs_here | grep -v portable | awk -v seed="${SWITCHYARD_SEED:-0}" '{ a[NR] = $1 } END { if (NR) print a[NR - seed % NR] }'; }

for way in $ways; do
  draw "$way"
  case $way in
  bits)
    sed -n '/^#/p' "$here/bits.txt" >"$work/bits.txt"
    for kept in f32 train int8 int4w; do # of products of codes, too, whose values are near the authors' and no nearer
      kinds=$usual part=+$kept precision="--precision $kept" inexact=yes
      case $kept in f32) part= inexact=no ;; train) kinds=train precision= inexact=no ;; esac
      for isa in avx2 portable; do
        check bits-$isa --backend interp --isa $isa $precision
        sums bits-$isa >"$work/sums-$isa"
      done
      paste -d' ' "$work/sums-avx2" "$work/sums-portable" | cut -d' ' -f1-3,6 >>"$work/bits.txt"
    done
    kinds=$usual part=+bf16 inexact=yes
    those "$with_bits"
    for isa in avx2 portable; do
      check bits-$isa --backend interp --isa $isa --precision bf16
      sums bits-$isa >"$work/sums-$isa"
    done
    paste -d' ' "$work/sums-avx2" "$work/sums-portable" | cut -d' ' -f1-3,6 >>"$work/bits.txt"
    part= inexact=no
    [ $failed -eq 0 ] && cp "$work/bits.txt" "$here/bits.txt"
    ;;
  interp)
    for isa in $isas; do interp $isa; done
    ;;
  threads)
    for n in 1 2 3; do check threads-$n --threads $n; done
    same threads-1 threads-2
    same threads-1 threads-3
    known threads-1 "$(best)"
    for n in 1 2 3; do large large-$n --batch 3 --threads $n; done
    same large-1 large-2
    same large-1 large-3
    large batch --threads 1 --batch 1 # one picture alone: the first of the three
    tail -c 12000 "$work/large-1.bits" | head -c 4000 >"$work/first-of-three.bits"
    tail -c 4000 "$work/batch.bits" >"$work/one-alone.bits"
    same one-alone first-of-three
    for isa in $("$syc" help isa | awk '/runs here$/ { print $1 }'); do
      [ "$(column "$isa")" = "$(column "$(best)")" ] || continue
      large "large-$isa" --batch 3 --threads 1 --isa "$isa"
      same large-1 "large-$isa"
    done
    ;;
  llvm)
    reason=$(no_llvm)
    [ -n "$reason" ] && { echo "golden llvm: skipped: $reason"; continue; }
    for isa in ${SWITCHYARD_LLVM_ISAS:-$isas}; do
      reason=$(why_not $isa)
      if [ -n "$reason" ]; then
        echo "golden llvm-$isa: skipped: $reason"
      else
        interp $isa
        check llvm-$isa --backend llvm --isa $isa
        same interp-$isa llvm-$isa
      fi
    done
    ;;
  jit)
    reason=$(no_llvm)
    [ -n "$reason" ] && { echo "golden jit: skipped: $reason"; continue; }
    isa=$(best)
    interp $isa
    check jit --backend jit --isa $isa
    same interp-$isa jit
    ;;
  narrow)
    inexact=yes # how near the results are: docs/precision.md
    for kept in ${SWITCHYARD_PRECISIONS:-bf16w f16w bf16 int8 int4w}; do
      [ $kept = mixed ] && continue
      case $kept in bf16 | int*) isa=$(words_isa) ;; *) isa=$(best) ;; esac
      isa=${isa:-portable}
      check "$kept-interp-avx2" --backend interp --isa avx2 --precision $kept
      case $kept in int*) part=+$kept; known "$kept-interp-avx2" avx2; part= ;; esac
      for other in avx512 neon; do # of the other type less: the pages are the same, and its loads are in diff/kernels
        [ $kept = f16w ] && continue
        check "$kept-interp-$other" --backend interp --isa $other --precision $kept
        same "$kept-interp-avx2" "$kept-interp-$other"
      done
      [ "$isa" = portable ] && { echo "golden $kept: through C and LLVM skipped: $(why_not avx2)"; continue; }
      check "$kept-c" --isa "$isa" --precision $kept
      same "$kept-interp-avx2" "$kept-c"
      for n in 1 2 3; do large "$kept-large-$n" --batch 3 --threads $n --precision $kept; done
      same "$kept-large-1" "$kept-large-2"
      same "$kept-large-1" "$kept-large-3"
      large "$kept-one" --threads 1 --batch 1 --precision $kept
      tail -c 12000 "$work/$kept-large-1.bits" | head -c 4000 >"$work/$kept-first.bits"
      tail -c 4000 "$work/$kept-one.bits" >"$work/$kept-alone.bits"
      same "$kept-alone" "$kept-first"
      [ $kept = f16w ] && continue
      [ -n "$(no_llvm)" ] && { echo "golden $kept-llvm: skipped: $(no_llvm)"; continue; }
      check "$kept-llvm" --backend llvm --isa "$isa" --precision $kept
      same "$kept-interp-avx2" "$kept-llvm"
    done
    case " ${SWITCHYARD_PRECISIONS:-mixed} " in
    *" mixed "*) # by rules, on a few sets: which weight is in what is decided before any of the kernels above
      isa=$(words_isa) mixed="--precision $here/mixed.precision" all=$cases cases=$work/cases-mixed
      mkdir "$cases"
      for set in vit_torchvision clip vit_timm; do ln -s "$here/$set" "$cases/$set"; done
      check mixed-interp-avx2 --backend interp --isa avx2 $mixed
      check mixed-interp-avx512 --backend interp --isa avx512 $mixed
      same mixed-interp-avx2 mixed-interp-avx512
      if [ -n "$isa" ]; then
        check mixed-c --isa "$isa" $mixed
        same mixed-interp-avx2 mixed-c
        [ -n "$(no_llvm)" ] || { check mixed-llvm --backend llvm --isa "$isa" $mixed; same mixed-interp-avx2 mixed-llvm; }
      fi
      cases=$all
      ;;
    esac
    inexact=no
    ;;
  train)
    kinds=train part=+train
    for isa in $isas; do
      check train-$isa --backend interp --isa $isa
      known train-$isa $isa
    done
    isa=$(best)
    against=train-$isa
    if [ "${SWITCHYARD_TRAIN_MODEL:-}" ]; then # the others are interpreted alone
      models=$root/models/$SWITCHYARD_TRAIN_MODEL.sy
      against=train-$SWITCHYARD_TRAIN_MODEL
      check "$against" --backend interp --isa "$isa"
    fi
    for n in 1 2; do
      check "train-c-$n" --isa "$isa" --threads $n
      same "$against" "train-c-$n"
    done
    if [ -n "$(no_llvm)" ]; then
      echo "golden train-jit: skipped: $(no_llvm)"
    else
      check train-jit --backend jit --isa "$isa"
      same "$against" train-jit
    fi
    models=$pages
    for isa in ${SWITCHYARD_TRAIN_ISAS:-}; do
      reason=$(why_not "$isa")
      [ -n "$reason" ] && { echo "golden train on $isa: skipped: $reason"; continue; }
      check "train-c-$isa" --isa "$isa"
      same "train-$isa" "train-c-$isa"
      [ -n "$(no_llvm)" ] && continue
      check "train-llvm-$isa" --backend llvm --isa "$isa"
      same "train-$isa" "train-llvm-$isa"
    done
    kinds=$usual part=
    ;;
  wasm) foreign wasm portable "$(why_not wasm)" --target wasm32 ;;
  riscv)
    foreign riscv rv64gc "$(why_not riscv)" --target riscv64-linux-gnu
    foreign riscv-v rv64gc "$(why_not riscv-v)" --target riscv64-linux-gnu --mattr +m,+a,+f,+d,+c,+v
    ;;
  *)
    reason=$(why_not "$way")
    if [ -n "$reason" ]; then
      echo "golden $way: skipped: $reason"
    else
      interp "$way"
      check "$way" --isa "$way"
      same "interp-$way" "$way"
    fi
    ;;
  esac
done
[ $ran -gt 0 ] || exit 77
[ $failed -eq 0 ] && echo "golden: all well" || echo "golden: FAILED"
exit $failed

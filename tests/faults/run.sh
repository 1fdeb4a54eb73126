#!/bin/sh
# run.sh [SYC]: every allocation and every system call fails once (fault.c). Whatever fails, a command ends by itself:
# with exit status 0 and the bytes of a good run, or with another one, a message, and its outputs as they were before.
# Nothing else is left behind.
#
# SWITCHYARD_FAULTS: how many calls of a kind are tried for each command (default 12, "all"); which ones changes daily, or is
# what SWITCHYARD_SEED says.
. "$(dirname "$0")/../checks.sh"
tries=${SWITCHYARD_FAULTS:-12}
fault=$dir/fault.so
gcc -O1 -fPIC -shared -Wall -Wextra -D_GNU_SOURCE "$source/tests/faults/fault.c" -o "$fault" -ldl > out 2> err || bad "compiling fault.c"
LD_PRELOAD=$fault "$syc" --version > out 2> err || {
  echo "skipped: this syc cannot be preloaded (sanitizers)"
  exit 77
}
day=${SWITCHYARD_SEED:-$(($(date +%s) / 86400))}

mkdir work good old
cat > work/m.sy << 'END'
rename other { "w" = "v" }
model m(n = 20) {
  dim B = 1..4
  route r(x: f32[B, n]) -> y: f32[B, n] {
    weight w: f32[n]
    return x + w
  }
}
END
cp "$source/tests/golden/pictures/rgb.jpg" work/p.jpg
(cd work && "$syc" weights init m.sy --quiet -o a.st && "$syc" weights init m.sy --quiet --seed 2 -o b.st &&
  "$syc" build m.sy -w a.st --quiet -o real && "$syc" weights init vit:tiny --quiet -o tiny.st &&
  "$syc" build vit:tiny -w tiny.st --quiet -o vit) > out 2> err || bad "the models"
{ printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 20), }" && head -c 160 /dev/zero; } > work/x.npy
# A compiler that costs nothing: what it was asked for is made, of a fixed content.
printf '#!/bin/sh\nwhile [ $# -gt 0 ]; do [ "$1" = -o ] && echo made > "$2"; shift; done\n' > work/cc && chmod +x work/cc

# outputs NAME...: those of the command under test, with an old content
prepare() {
  rm -rf trial && cp -r work trial
  for o in $outputs; do printf 'model   old(n=4) {\nroute r(x: f32[n]) -> y: f32[n] { return x+x }\n}\n' > "trial/$o"; done
}
# attempt KIND AT ARGUMENTS...: one run in trial/; leaves $code, trial.out, trial.err
attempt() {
  k=$1 n=$2
  shift 2
  prepare
  (cd trial && timeout 20 env FAULT_KIND="$k" FAULT_AT="$n" FAULT_COUNT="$dir/count" LD_PRELOAD="$fault" "$@") > trial.out 2> trial.err < /dev/null
  code=$?
}
same_as() { # FOLDER: outputs, and nothing else beside them
  for o in $outputs; do cmp -s "trial/$o" "$1/$o" || return 1; done
}
nothing_left() {
  ls -A trial tmp | sort > have && cmp -s have listing
}
# verdict: empty if the run that attempt made is right
verdict() {
  if [ $code -eq 70 ] || [ $code -gt 100 ]; then echo "exit status $code"
  elif ! nothing_left; then echo "left behind: $(diff listing have | tr '\n' ' ')"
  elif [ $code -eq 0 ]; then
    if ! same_as good; then echo "exit status 0 and other outputs"; elif ! cmp -s trial.out good.out; then echo "exit status 0 and other text"; fi
  elif ! same_as old; then echo "exit status $code and outputs that are not the old ones"
  elif ! [ -s trial.err ]; then echo "exit status $code without a message"; fi
}
# every NAME "OUTPUTS" ARGUMENTS...: all kinds of faults
every() {
  name=$1 outputs=$2
  shift 2
  prepare && rm -rf old && cp -r trial old
  attempt none 0 "$@"
  if [ $code -ne 0 ]; then bad "$name" trial.out trial.err && return; fi
  rm -rf good && cp -r trial good && cp trial.out good.out
  ls -A trial tmp | sort > listing
  for kind in memory open read write close place start; do
    attempt $kind 0 "$@"
    total=$(cat count)
    step=1
    [ "$tries" = all ] || step=$(((total + tries - 1) / tries))
    [ $step -gt 0 ] || step=1
    : > faults
    at=$((day % step + 1))
    while [ $at -le "$total" ]; do
      attempt $kind $at "$@"
      why=$(verdict)
      [ -z "$why" ] || echo "$at: $why: $(head -n 1 trial.err)" >> faults
      at=$((at + step))
    done
    if [ -s faults ]; then bad "$name: $kind fails ($total calls, every $step.)" faults; else ok "$name: $kind fails ($total calls, every $step.)"; fi
  done
}

every "emit ir" o.ir "$syc" emit m.sy -o o.ir
every "emit to standard output" "" "$syc" emit m.sy --emit=kir
every "emit C" "o.c o.h" "$syc" emit m.sy --emit=c --isa=portable -o o.c
every "build" "mm mm.syw" "$syc" build m.sy -w a.st --cc ./cc -o mm
every "fmt" f.sy "$syc" fmt f.sy
every "explain" "" "$syc" explain m.sy --json
every "weights init" o.st "$syc" weights init m.sy -o o.st
every "weights pack" o.syw "$syc" weights pack m.sy -w b.st -o o.syw
every "weights convert" o.st "$syc" weights convert a.st b.st --dtype f16 -o o.st
every "weights inspect" "" "$syc" weights inspect a.st --json
every "a compiled model" "r.npy" ./real --input x=x.npy --threads 2 --out r.npy
every "a compiled model of pictures" "" ./vit p.jpg --json
rm -rf trial good old
finish faults

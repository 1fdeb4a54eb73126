#!/bin/sh
# Several processes: `mpirun -n N syc train` has the bits of one process for every N that shares the calls of a step, goes
# on with another N, says once what one of them finds wrong, and leaves a checkpoint when one of them is killed.
# run.sh SYC
syc=${1:?usage: run.sh SYC}
case $syc in */*) syc=$(cd "$(dirname "$syc")" && pwd)/$(basename "$syc") ;; esac
source=${SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 3
failed=0
fail() {
  echo "ranks: $*"
  failed=1
}

cat > tiny.sy <<'PAGE'
use std
use losses

model tiny(size = 8, n = 16, classes = 3) {
  dim B = 1..16
  prepare image: picture(resize = square(size), filter = bilinear, mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5])
  state seen: f32[classes]
  block see(image) {
    let x = reshape(image, [B, 3 * size * size])
    let x = dropout(gelu(linear(x, n) @fc1), 0.1)
    return linear(x, classes)  @head
  }
  objective fit(image: f32[B, 3, size, size], labels: i32[B]) -> loss: f32 {
    return cross_entropy(see(image), labels)
  }
  objective other(image: f32[B, 3, size, size], labels: i32[B]) -> loss: f32 {
    return cross_entropy(see(image) * 0.5, labels)
  }
  objective remember(image: f32[B, 3, size, size], labels: i32[B]) -> loss: f32 {
    let y = see(image)
    seen <- 0.5 * seen + stop(reshape(reduce_sum(transpose(y)), [classes]))
    return cross_entropy(y, labels)
  }
  train whole {
    objective fit
    adamw(lr = 0.01, decay = 0.01)
    image: augment(crop = [0.8, 1.0], flip = plain)
    batch 8
    micro 4
    steps 12
    average 0.9
    clip 1.0
  }
  train both {
    objective fit = 0.7, other = 0.3
    lamb(lr = 0.01)
    batch 8
    micro 4
    accumulate 2
    steps 4
  }
}
PAGE

# pictures DIR N: three classes by colour, one file each, none like another
pictures() {
  for class in 0 1 2; do
    mkdir -p "$1/$class"
    for i in $(seq 1 "$2"); do
      LC_ALL=C awk -v c=$class -v l=$((i * 7 % 24 + 16)) -v h=$((i * 13 % 24 + 80)) \
        'BEGIN { print "P6 4 4 127"; for (p = 0; p < 16; p++) for (k = 0; k < 3; k++) printf "%c", (k == c ? h : l) + p }' > "$1/$class/$i.ppm"
    done
  done
}
pictures data 9
train="$syc train tiny.sy --data data --threads 1 -q"

# The model of larger runs: more machines are faster, never more than so many times.
bench="$source/bench/cluster.py"
if command -v python3 > /dev/null && python3 -c 'import argparse' 2> err; then
  python3 "$bench" --machines 1,2,512 > out 2> err || { cat err; fail "cluster.py"; }
  awk 'NR == 2 { a = $6 } NR > 1 { if ($6 > a * $1 * 1.001 || $6 <= b) exit 1; b = $6 }' out || { cat out; fail "cluster.py says what cannot be"; }
  python3 "$bench" --calls 64 --fixed --machines 3 | grep -q "cannot be shared" || fail "cluster.py shares 64 calls among 3"
  python3 "$bench" --call 0 > out 2> err && fail "cluster.py takes a call of no time"
fi

# Started with others by hand, as mpirun would: what there is to say where there is no MPI, or another one.
if [ ! -f "$(dirname "$syc")/../lib/libsympi.so" ]; then
  OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 $train --stage whole -o x 2> err
  [ $? = 2 ] && grep -q "built without MPI" err || { cat err; fail "without MPI it is not said that there is none"; }
  OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 $train --stage whole -o x 2> err
  [ $? = 0 ] && [ ! -s err ] || { cat err; fail "the second process speaks, too"; }
  [ -e x ] && fail "without MPI a folder is made"
  [ $failed = 0 ] || exit 1
  echo "ranks: skipped: syc was built without MPI (libopenmpi-dev or libmpich-dev)"
  exit 77
fi
if ! command -v mpirun > /dev/null; then
  echo "ranks: skipped: there is no mpirun (openmpi-bin or mpich)"
  exit 77
fi
# Open MPI as root, on fewer cores than processes, in a container
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_hwloc_base_binding_policy=none TMPDIR="$work"
on() { # N ARGUMENTS..
  n=$1
  shift
  # shellcheck disable=SC2086
  mpirun -n "$n" $train "$@" < /dev/null
}

# One, two and four processes: every file of the run is the same, but for times.
same() { # A B FILE..
  a=$1 b=$2
  shift 2
  for file in "$@"; do cmp -s "$a/$file" "$b/$file" || fail "$b/$file is not $a/$file"; done
  cut -d, -f1-5 "$a/log.csv" > a.csv
  cut -d, -f1-5 "$b/log.csv" > b.csv
  cmp -s a.csv b.csv || fail "$b has another log than $a"
}
$train --stage whole --val data -o whole1 || fail "one process"
$train --stage both -o both1 || fail "two objectives in one process"
for n in 2 4; do
  on $n --stage whole --val data -o whole$n > out 2> err || { cat err; fail "$n processes"; }
  [ -s out ] || [ -s err ] && { cat out err; fail "$n processes are not quiet"; }
  same whole1 whole$n last.safetensors average.safetensors best.safetensors run.txt
  on $n --stage both -o both$n 2> err || { cat err; fail "two objectives in $n processes"; }
  same both1 both$n last.safetensors run.txt
done
on 8 --stage both -o both8 2> err || { cat err; fail "eight processes"; }
same both1 both8 last.safetensors run.txt
[ "$(grep -c '"lr"' whole4/log.jsonl)" = 12 ] || fail "log.jsonl has not a line a step"

# The first process alone knows how good the weights are; all end when it says so.
on 4 --stage whole --lr 0 --val data --evaluate 1 --patience 2 -o patient 2> err || { cat err; fail "a run that ends early"; }
[ "$(grep -c '"lr"' patient/log.jsonl)" = 3 ] || fail "--patience does not end a run of four processes"

# It ends in the middle and goes on in another number of processes.
on 4 --stage whole -o apart --save-every 5 --steps 12 2> err || { cat err; fail "a run to compare with"; }
mkdir half && cp apart/run.txt half/ || fail "no run.txt"
on 2 --stage whole -o cut --save-every 1 2> err &
p=$!
tries=0
while [ ! -f cut/last.safetensors ] && [ $tries -lt 300 ]; do sleep 0.1 && tries=$((tries + 1)); done
cp cut/last.safetensors cut/run.txt cut/log.jsonl half/ 2> err
wait $p || fail "two processes to take a checkpoint from"
on 4 --stage whole --resume -o half 2> err || { cat err; fail "four processes do not go on with a checkpoint of two"; }
cmp -s whole1/last.safetensors half/last.safetensors || fail "what goes on in another number of processes has other bits"

# A process that is killed ends the run; what is there goes on.
cat > slow.sh <<'SLOW'
#!/bin/sh
echo $$ > "pid.${OMPI_COMM_WORLD_RANK:-$PMI_RANK}"
exec "$@"
SLOW
chmod +x slow.sh
# shellcheck disable=SC2086
mpirun -n 4 ./slow.sh $train --stage whole --steps 100000 --save-every 1 -o killed > out 2> err < /dev/null &
p=$!
tries=0
while [ ! -f killed/last.safetensors ] && [ $tries -lt 300 ]; do sleep 0.1 && tries=$((tries + 1)); done
kill -9 "$(cat pid.2)" || fail "there is no process to kill"
tries=0
while kill -0 $p 2> gone && [ $tries -lt 600 ]; do sleep 0.1 && tries=$((tries + 1)); done
kill -0 $p 2> gone && { fail "a run without one of its processes does not end" && kill $p; }
wait $p && fail "a run without one of its processes ends well"
# (MPICH kills the others at once, with a message of its own)
grep -q -e "BAD TERMINATION" -e "killed/last.safetensors is of step [0-9]*, --resume goes on" err || { cat err; fail "it is not said what is left"; }
ls killed | grep -q -v -e '^last.safetensors$' -e '^lock$' -e '^log' -e '^events' -e '^run.txt$' && { ls killed; fail "something is left in the folder"; }
step=$(tail -1 killed/log.csv | cut -d, -f1)
on 2 --stage whole --steps 100000 --save-every 1 -o killed --resume > out 2> err &
p=$!
tries=0
while [ "$(tail -1 killed/log.csv | cut -d, -f1)" -le "$((step + 1))" ] && [ $tries -lt 300 ]; do sleep 0.1 && tries=$((tries + 1)); done
kill $p
wait $p 2> gone
[ "$(tail -1 killed/log.csv | cut -d, -f1)" -gt "$((step + 1))" ] || { cat err; fail "a killed run does not go on"; }

# wrong STATUS TEXT N ARGUMENTS..: said once
wrong() {
  status=$1 text=$2 n=$3
  shift 3
  on "$n" "$@" > out 2> err
  code=$?
  [ $code = "$status" ] || { cat err; fail "'$*' in $n processes ends with $code, not $status"; }
  [ "$(grep -c "$text" err)" = 1 ] || { cat err; fail "'$*' in $n processes does not say '$text' once"; }
}
wrong 2 "3 processes cannot share the 4 calls" 3 --stage whole -o x1
wrong 2 "8 processes cannot share the 4 calls" 8 --stage whole -o x1
wrong 2 "has a run already" 2 --stage whole -o whole1
wrong 2 "assigns 'seen'" 2 --objective remember --batch 8 --micro 4 --steps 2 -o x2
wrong 3 "gone: " 2 --stage whole --data gone -o x3
wrong 1 "'loss' is not finite" 4 --stage whole --optimiser sgd --lr 1e6 --clip 0 --steps 300 -o x4
# what one of them alone meets
cp -r data bad && for i in 1 2; do echo broken > bad/1/$i.ppm; done
mpirun -n 4 "$syc" train tiny.sy --data bad --threads 1 --stage whole -o warned > out 2> err < /dev/null || { cat err; fail "a run with bad samples"; }
grep -q "left out: .*bad/1/1.ppm" err && grep -q "2 of 27 samples could not be read" err || { cat err; fail "bad samples are not named"; }
wrong 3 "bad/1/[12].ppm" 4 --stage whole --strict --data bad -o x5

[ $failed = 0 ] && echo "ranks: ok"
exit $failed

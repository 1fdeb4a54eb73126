#!/bin/bash
# Runs of `syc train` that are interrupted: killed at random moments and gone on with, on a disk that is full, with data that vanish
# while they are at work, in folders that cannot be written to: a clear error, nothing lost, and the same bits in the end.
# run.sh SYC. SWITCHYARD_KILLS: how often it is killed (default 10), SWITCHYARD_SEED: at which moments.
syc=${1:?usage: run.sh SYC}
case $syc in */*) syc=$(cd "$(dirname "$syc")" && pwd)/$(basename "$syc") ;; esac
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 3
failed=0
fail() {
  echo "interrupted: $*"
  failed=1
}

cat > page.sy <<'PAGE'
use std
use losses

model page(size = 8, n = 24, classes = 3) {
  dim B = 1..8
  prepare image: picture(resize = square(size), filter = bilinear, mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5])
  prepare logits: labels(softmax = true)
  block scores(image) {
    let x = gelu(linear(reshape(image, [B, 3 * size * size]), n) @fc1)
    return linear(dropout(x, 0.2), classes)  @head
  }
  route classify(image: f32[B, 3, size, size]) -> logits: f32[B, classes] {
    return scores(image)
  }
  objective fit(image: f32[B, 3, size, size], labels: i32[B]) -> loss: f32 {
    return cross_entropy(scores(image), labels)
  }
  train whole {
    objective fit
    adamw(lr = 0.01, decay = 0.01)
    schedule cosine(warmup = 5)
    image: augment(crop = [0.6, 1.0], flip = plain, erase = 0.3)
    batch 8
    steps 120
    average 0.9
    evaluate every 20: accuracy
  }
}
PAGE
for class in 0 1 2; do
  mkdir -p data/$class
  for i in $(seq 1 9); do
    LC_ALL=C awk -v c=$class -v l=$(((i * 7 + class) % 24 + 16)) -v h=$((i * 13 % 24 + 80)) 'BEGIN { print "P6 4 4 127"; for (p = 0; p < 16; p++) for (k = 0; k < 3; k++) printf "%c", (k == c ? h : l) + p }' > data/$class/$i.ppm
  done
done
train="$syc train page.sy --stage whole --data data --val data --save-every 3 -q"
$train -o whole || { echo "interrupted: the stage does not run"; exit 1; } # compiled, and kept
began=$(date +%s%N)
$train -o again || { echo "interrupted: the stage does not run again"; exit 1; }
took=$(($(date +%s%N) - began)) # so that kills fall into a run, on a machine of any speed
same() { # as the run that was not interrupted
  for f in last.safetensors average.safetensors best.safetensors; do cmp -s whole/$f "$1/$f" || fail "$f of $2 has other bits"; done
  cut -d, -f1-5 whole/log.csv > a
  cut -d, -f1-5 "$1/log.csv" > b
  cmp -s a b || fail "$2 has another log"
  [ -z "$(find "$1" -name '.new-*' -o -name '*.new')" ] || fail "$2 leaves files behind: $(ls -A "$1")"
}

# Killed, also while it writes; with other threads and workers each time. A run that ends is compared, and another one begun.
wanted=${SWITCHYARD_KILLS:-10} seed=${SWITCHYARD_SEED:-1} kills=0 ends=0 i=0
while [ $kills -lt "$wanted" ] && [ $i -lt $((4 * wanted + 20)) ]; do
  i=$((i + 1))
  resume=
  [ -f killed/last.safetensors ] && resume=--resume
  # shellcheck disable=SC2086
  $train --threads $((i % 2 + 1)) --workers $((i % 3)) -o killed $resume 2> err &
  p=$!
  sleep "$(awk -v s="$seed" -v i=$i -v t=$took 'BEGIN { srand(s * 1000 + i); rand(); print t / 1e9 * (0.1 + rand()) }')"
  if kill -9 $p 2> gone; then
    kills=$((kills + 1))
    wait $p 2> gone
  elif wait $p; then
    same killed "a run that was killed $kills times"
    rm -rf killed
    ends=$((ends + 1))
  fi
  grep -q error err && { cat err; fail "a run that was killed cannot go on"; break; }
done
resume=
[ -f killed/last.safetensors ] && resume=--resume
[ -d killed ] && echo half > killed/.new-ABCDEFGHIJKL # what one that is killed while it writes leaves
# shellcheck disable=SC2086
$train -o killed $resume || fail "a run that was killed does not end"
same killed "a run that was killed $kills times"
[ $kills -ge "$wanted" ] || fail "killed $kills times, wanted $wanted"

# A full disk: the checkpoint that cannot be written is said, the one before it is there, and the run goes on from it.
$train -o full --steps 120 2> err &
p=$!
for _ in $(seq 100); do
  [ -f full/last.safetensors ] && break
  sleep 0.1
done
kill -9 $p 2> gone
wait $p 2> gone
cp full/last.safetensors before
size=$(($(stat -c %s before) / 1024 - 4)) # what is packed has the weights alone, a checkpoint has moments and averages, too
bash -c "ulimit -f $size; exec \"\$@\"" limited $train -o full --resume 2> err
code=$?
[ $code = 3 ] && grep -q "error: .*full/.*: .*\(large\|space\)" err || { cat err; fail "a full disk ends with $code"; }
cmp -s before full/last.safetensors || fail "a full disk costs the last checkpoint"
$train -o full --resume || fail "a run that found the disk full cannot go on"
same full "a run that found the disk full"
if [ -w /dev/full ]; then
  "$syc" train page.sy --stage whole --data data --dry-run > /dev/full 2> err && fail "a full standard output is not said"
fi

# Data that vanish while it is at work: the sample is named, and the run goes on when they are there again.
$train -o gone_data 2> err &
p=$!
for _ in $(seq 100); do
  [ -f gone_data/last.safetensors ] && break
  sleep 0.1
done
mv data away
wait $p
code=$?
mv away data
if [ $code = 0 ]; then
  echo "interrupted: the run was over before its data were gone"
else
  [ $code = 3 ] && grep -q "data/./[0-9].ppm" err || { cat err; fail "data that vanish end it with $code"; }
  $train -o gone_data --resume || fail "a run whose data were gone cannot go on"
fi
same gone_data "a run whose data were gone"

# Folders that cannot be written to.
: > file
for folder in file/run /proc/run; do
  "$syc" train page.sy --stage whole --data data -o $folder -q 2> err
  code=$?
  [ $code = 3 ] && grep -q "$folder" err || { cat err; fail "-o $folder ends with $code"; }
done
mkdir -p taken/last.safetensors # a folder where the checkpoint belongs
"$syc" train page.sy --stage whole --data data -o taken -q 2> err
code=$?
[ $code = 2 ] || [ $code = 3 ] || { cat err; fail "a folder in the place of the checkpoint ends it with $code"; }
exit $failed

#!/bin/sh
# `syc train`: the loss falls and pictures never seen are told apart; a run that is killed at any moment and goes on has the bits
# of one that was not, for any number of threads and workers; bad data, folders and numbers are said. run.sh SYC
syc=${1:?usage: run.sh SYC}
case $syc in */*) syc=$(cd "$(dirname "$syc")" && pwd)/$(basename "$syc") ;; esac
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 3
failed=0
fail() {
  echo "train: $*"
  failed=1
}

cat > tiny.sy <<'PAGE'
use std
use losses

model tiny(size = 8, n = 16, classes = 3) {
  dim B = 1..16
  prepare image: picture(resize = square(size), filter = bilinear, mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5])
  prepare logits: labels(softmax = true)
  block see(image) {
    let x = reshape(image, [B, 3 * size * size])
    let x = gelu(linear(x, n) @fc1)
    return linear(x, classes)  @head
  }
  route classify(image: f32[B, 3, size, size]) -> logits: f32[B, classes] {
    return see(image)
  }
  objective fit(image: f32[B, 3, size, size], labels: i32[B]) -> loss: f32 {
    return cross_entropy(see(image), labels)
  }
  objective other(image: f32[B, 3, size, size], labels: i32[B]) -> loss: f32 {
    return cross_entropy(see(image) * 0.5, labels)
  }
  train whole {
    objective fit
    adamw(lr = 0.01, decay = 0.01)
    group "*bias*": decay = 0
    schedule linear(warmup = 3)
    image: augment(crop = [0.8, 1.0], flip = plain)
    batch 8
    steps 40
    average 0.9
  }
  train head from whole {
    objective fit
    only "head*"
    sgd(lr = 0.01)
    batch 8
    steps 5
  }
  train low from whole {
    objective fit
    adapt "fc1.*", "head.*": rank = 2
    adamw(lr = 0.05)
    batch 8
    steps 8
    average 0.5
  }
  train both {
    objective fit = 0.7, other = 0.3
    adamw(lr = 0.01)
    batch 32
    steps 4
    clip 1.0
  }
}
PAGE

# pictures SPLIT N: three classes by colour, one file each, none like another
pictures() {
  for class in 0 1 2; do
    name=$(echo red green blue | cut -d' ' -f$((class + 1)))
    mkdir -p "$1/$name"
    for i in $(seq 1 "$2"); do
      low=$((($3 + i * 7 + class) % 24 + 16)) high=$((($3 + i * 13) % 24 + 80))
      LC_ALL=C awk -v c=$class -v l=$low -v h=$high 'BEGIN { print "P6 4 4 127"; for (p = 0; p < 16; p++) for (k = 0; k < 3; k++) printf "%c", (k == c ? h : l) + p }' > "$1/$name/$i.ppm"
    done
  done
}
pictures data 9 0
pictures val 4 31
train="$syc train tiny.sy --data data --val val -q"

$train --stage whole -o whole || fail "the stage does not run"
first=$(sed -n 1p whole/log.jsonl | sed 's/.*"loss": \([0-9.]*\).*/\1/')
last=$(grep '"lr"' whole/log.jsonl | tail -1 | sed 's/.*"loss": \([0-9.e-]*\).*/\1/')
awk -v a="$first" -v b="$last" 'BEGIN { exit !(b < a / 3) }' || fail "the loss falls from $first to $last only"
grep -q '"accuracy": 1}' whole/log.jsonl || fail "colours are not told apart"
[ "$(grep -c '"lr"' whole/log.jsonl)" = 40 ] || fail "log.jsonl has not a line a step"
[ "$(wc -l < whole/log.csv)" = 41 ] || fail "log.csv has not a line a step"
grep -q '<polyline' whole/loss.svg || fail "no curve in loss.svg"
[ -f whole/best.safetensors ] || fail "no best checkpoint"
values() { "$syc" weights inspect "$1" | grep "^ *$2 " | sed 's/.*fc1.weight *//'; }
[ "$(values whole/last.safetensors optimizer.average.fc1.weight)" = "$(values whole/average.safetensors fc1.weight)" ] ||
  fail "the average is not what the checkpoint has"
[ "$(values whole/last.safetensors fc1.weight)" != "$(values whole/average.safetensors fc1.weight)" ] || fail "the average is the weights"

# Killed, and going on: the same bits. Whatever is there when it dies, the next call must be able to go on.
kills=0
i=0
while [ $i -lt "${SWITCHYARD_KILLS:-12}" ]; do
  i=$((i + 1))
  resume=
  [ -f killed/last.safetensors ] && resume=--resume
  $train --stage whole --save-every 3 --threads $((i % 2 + 1)) --workers $((i % 3)) -o killed $resume 2> err &
  p=$!
  sleep 0.$((i * 37 % 9 + 1))
  kill -9 $p 2> killing && kills=$((kills + 1))
  wait $p 2> killing && { # it was at its end: another one
    cmp -s whole/last.safetensors killed/last.safetensors || { fail "a run that was killed has other bits ($kills kills)"; break; }
    rm -rf killed
  }
  grep -q error err && { cat err; fail "a killed run cannot go on"; break; }
done
resume=
[ -f killed/last.safetensors ] && resume=--resume
$train --stage whole -o killed $resume || fail "a killed run does not end"
cmp -s whole/average.safetensors killed/average.safetensors || fail "a run that was killed has another average"
cmp -s whole/last.safetensors killed/last.safetensors || fail "a run that was killed has other bits"
cut -d, -f1-5 whole/log.csv > a
cut -d, -f1-5 killed/log.csv > b
cmp -s a b || fail "a run that was killed has another log"

# Frozen weights keep every bit; another stage begins at step 0.
$train --stage head -w whole/last.safetensors -o head || fail "the second stage does not run"
[ "$(values whole/last.safetensors fc1.weight)" = "$(values head/last.safetensors fc1.weight)" ] || fail "a frozen weight has moved"
[ "$(values whole/last.safetensors head.weight)" != "$(values head/last.safetensors head.weight)" ] || fail "a trained weight has not"

# Two objectives, a batch larger than the bound: in parts, with the same bits for any threads.
$train --stage both -o both1 --threads 1 || fail "two objectives do not run"
$train --stage both -o both2 --threads 2 --workers 2 --backend jit 2> err || cat err
if grep -q "LLVM" err; then echo "train: skipped: no LLVM"; else
  cmp -s both1/last.safetensors both2/last.safetensors || fail "C and LLVM train other bits"
fi
sed -n 1p both1/log.jsonl | grep -q '"loss": .*"fit": .*"other": ' || fail "the losses of two objectives are not in the log"

# Adapters: they are listed, the loss falls, W stays, what is evaluated and built is merged; the adapters alone; going on.
"$syc" train tiny.sy --stage low --data data --dry-run --cc false > plan || fail "--dry-run of adapters"
grep -q "^adapted fc1.weight \[16,192\]: rank 2, scale 1, 416 elements" plan && grep -q "4 tensors trained, 0.000454 M" plan || { cat plan; fail "adapters are not listed"; }
"$syc" train tiny.sy --stage low --data data --val val -q -o low --threads 2 || fail "a stage of adapters does not run"
sed -n 's/.*"lr".*"loss": \([0-9.]*\).*/\1/p' low/log.jsonl | awk '{ last = $1; if (NR == 1) first = $1 } END { exit !(last < first / 2) }' ||
  { cat low/log.jsonl; fail "adapters do not learn"; }
[ "$(values low/last.safetensors optimizer.base.fc1.weight)" != "$(values low/best.safetensors fc1.weight)" ] || fail "best is not merged"
"$syc" weights inspect low/best.safetensors | grep -q 'optimizer.base\|lora' && fail "best has more than the model"
"$syc" weights inspect low/adapter/adapter_model.safetensors | grep -q 'base_model.model.fc1.lora_A.weight  *F32  *\[2,192\]' || fail "no adapters alone"
grep -q '"r": 2' low/adapter/adapter_config.json || fail "no adapter_config.json"
mkdir gone && cp -r low gone/ && rm gone/low/log.* && "$syc" train tiny.sy --stage low --data data --val val -q -o gone/low --resume ||
  fail "a run of adapters cannot go on"
cmp -s low/last.safetensors gone/low/last.safetensors || fail "going on at the end moves adapters"

# Gradients of the first batch against differences, of two objectives and of adapters; the largest difference first.
for stage in both low; do
  "$syc" train tiny.sy --stage $stage --data data --check-gradients=2 -q > table || { cat table; fail "gradients of stage $stage"; }
  [ "$(grep -c 'f32\[' table)" = 4 ] && tail -n +2 table | awk '{ if (NR > 1 && $3 > last) exit 1; last = $3 }' || { cat table; fail "the table of stage $stage"; }
done

# Other classes: the head begins new, all else is taken; a layer of another width is no head; what is not there is named.
mkdir -p four && cp -r data/* four/ && cp -r data/red four/white
four="$syc train tiny.sy -D classes=4 --objective fit --data four --batch 4 --steps 1 --lr 0"
$four --decay 0 -w whole/last.safetensors -o four1 2> err || { cat err; fail "a head for other classes does not begin new"; }
grep -q "2 tensors are taken .*, 2 begin new" err && grep -q "head.weight \[4,16\], there it is F32\[3,16\]" err || { cat err; fail "it is not said what is new"; }
[ "$(values whole/last.safetensors fc1.weight)" = "$(values four1/last.safetensors fc1.weight)" ] || fail "a weight is not taken"
$four -D n=12 -w whole/last.safetensors -o four2 -q 2> err && fail "a layer of another width begins new"
$four -D n=12 -w whole/last.safetensors -o four2 -q --new 'fc1*' --new 'head*' 2> err || { cat err; fail "--new does nothing"; }
$four -w whole/last.safetensors -o four3 -q --new 'tail*' 2> err && fail "a pattern that fits nothing is taken"
grep -q "no weight has such a name" err || fail "it is not said that a pattern fits nothing"

# An objective without a stage, in a few samples; what would be done.
"$syc" train tiny.sy --objective fit --data data --overfit 4 --batch 4 --steps 60 --lr 0.02 -o over -q || fail "no run without a stage"
tail -1 over/log.jsonl | sed 's/.*"loss": \([0-9.e-]*\).*/\1/' | awk '{ exit !($1 < 0.1) }' || fail "4 samples are not learned by heart"
"$syc" train tiny.sy --stage whole --data data --dry-run > plan || fail "--dry-run fails"
grep -q "40 steps of 8 samples" plan && grep -q "group 1: 2 tensors" plan && grep -q "27 samples" plan || fail "--dry-run does not say what it would do"

# It compiles nothing, and says of the state what the run says.
"$syc" train tiny.sy --stage head --data data --dry-run --cc false --threads 2 > plan || fail "--dry-run needs a compiler"
"$syc" train tiny.sy --stage head --data data -o dry --threads 2 2> said || fail "the run that was planned fails"
for line in "steps of" "tensors trained"; do
  [ "$(grep "$line" plan)" = "$(grep "$line" said)" ] || { cat plan said; fail "--dry-run and the run differ about '$line'"; }
done

# A batch to look at: pictures as the model sees them, classes with their names.
"$syc" train tiny.sy --stage whole --data data --dump-batch look --cc false -q > plan || fail "--dump-batch fails"
[ "$(ls look | grep -c '^image-[0-7].png$')" = 8 ] || fail "--dump-batch does not write the pictures"
for i in 0 1 2 3 4 5 6 7; do [ "$(dd if=look/image-$i.png bs=1 skip=1 count=3 2> skip)" = PNG ] || fail "image-$i.png is no PNG"; done
grep -q "^row 7: sample [0-9]*, data/" look/index.txt && grep -Eq "labels: (0 \(blue|1 \(green|2 \(red)\)" look/index.txt ||
  { cat look/index.txt; fail "--dump-batch does not say what the rows are"; }
"$syc" train tiny.sy --stage whole --data data --dump-batch look2 --cc false -q > plan && diff -r look look2 > differ || fail "--dump-batch writes another batch"
"$syc" train tiny.sy --stage both --data data --dump-batch look3 --cc false -q > plan && [ -f look3/fit-index.txt ] && [ -f look3/other-index.txt ] ||
  fail "--dump-batch does not show both objectives"

# Shares of sources: of 3,1 three of four samples are of the first. Other shares are another run.
for class in red blue; do
  for i in 1 2 3 4 5 6 7 8 9; do echo "{\"image\": \"data/$class/$i.ppm\", \"label\": 1}"; done > $class.jsonl
done
"$syc" train tiny.sy --objective fit --data red.jsonl --data blue.jsonl --shares 3,1 --batch 12 --steps 1 --dump-batch look4 --cc false -q > plan || fail "--shares fails"
[ "$(grep -c 'red.jsonl, line' look4/index.txt)" = 9 ] || fail "of --shares 3,1 the first source has $(grep -c 'red.jsonl' look4/index.txt) of 12"

# wrong STATUS TEXT ARGUMENTS..: the error says it
wrong() {
  status=$1 text=$2
  shift 2
  "$syc" train "$@" > out 2> err
  code=$?
  [ $code = "$status" ] || { cat err; fail "'$*' ends with $code, not $status"; }
  grep -q "$text" err || { cat err; fail "'$*' does not say '$text'"; }
}
wrong 2 "takes 1 to 10000" tiny.sy --stage both --data data --check-gradients=0
wrong 2 "has a run already" tiny.sy --stage whole --data data -o whole
wrong 2 "has another run" tiny.sy --stage whole --data data -o whole --resume --lr 0.5
wrong 2 "has another run: 'data" tiny.sy --stage whole --data val -o whole --resume
wrong 2 "has another run" tiny.sy --stage whole --data data -o whole --resume --frozen 'head*'
wrong 2 "for each of the 1 --data" tiny.sy --stage whole --data data -o x7 --shares 3,1
wrong 2 "from 1 to 1000" tiny.sy --stage whole --data data --data val -o x7 --shares 3,0
wrong 2 "eps 0: must be" tiny.sy --stage whole --data data -o x7 --eps 0
wrong 3 "no run to go on with" tiny.sy --stage whole --data data -o nothing --resume
[ -e nothing ] && fail "--resume makes a folder"
wrong 3 "gone: " tiny.sy --stage whole --data gone -o x1
wrong 2 "which stage" tiny.sy --data data -o x2
wrong 2 "where to" tiny.sy --stage whole --data data
wrong 2 "on which data" tiny.sy --stage whole -o x3
wrong 2 "how long" tiny.sy --objective fit --data data --batch 4 -o x4
wrong 2 "how many samples" tiny.sy --objective fit --data data --steps 4 -o x5
wrong 2 "the parts must be equal" tiny.sy --stage whole --data data --micro 3 -o x6
: > file
wrong 3 "file" tiny.sy --stage whole --data data -o file
wrong 1 "not finite" tiny.sy --objective fit --data data --batch 8 --steps 300 --lr 1e6 --decay 0 --optimiser sgd -o nan
mkdir odd odd/red && cp data/red/*.ppm odd/red && mkdir odd/blue && cp data/blue/*.ppm odd/blue && mkdir odd/green && echo no picture > odd/green/1.ppm
wrong 3 "odd/green/1.ppm" tiny.sy --stage whole --data odd --strict -o strict
wrong 1 "outside its table" tiny.sy -D classes=1 --objective fit --data data --batch 8 --steps 2 -o again
"$syc" train tiny.sy --objective fit --data data --batch 8 --steps 2 --lr 0.01 -o again -q || fail "a folder in which no step was made cannot be used again"
mkdir locked
(
  flock 9
  failed=0
  wrong 3 "another syc train" tiny.sy --stage whole --data data -o locked
  exit $failed
) 9> locked/lock || failed=1
exit $failed

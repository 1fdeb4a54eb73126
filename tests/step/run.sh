#!/bin/sh
# `syc step`: losses fall, a run in two parts gives the bits of one run, frozen weights keep every bit, back ends and threads
# agree, and what is wrong is said. run.sh SYC
syc=${1:?usage: run.sh SYC}
case $syc in */*) syc=$(cd "$(dirname "$syc")" && pwd)/$(basename "$syc") ;; esac
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 3
failed=0
fail() {
  echo "step: $*"
  failed=1
}

cat > tiny.sy <<'PAGE'
use std
use losses

model tiny(n = 12, classes = 5, vocab = 9) {
  dim B = 1..8
  dim L = 1..6
  state seen: f32[n]
  state last: i32[1]
  block see(text: i32[B, L]) -> f32[B, classes], f32[B, n] {
    weight words: f32[vocab, n]
    let h = norm(embedding(words, text), 1e-5)  @norm
    let h = h + gelu(linear(h, n))  @fc
    let h = h[:, 0]
    let y = linear(h, classes)  @head
    return y, h
  }
  objective fit(text: i32[B, L], labels: i32[B], scale?: f32) -> loss: f32, plain: f32 {
    let y, h = see(text)
    seen <- 0.5 * seen + 0.5 * stop(reshape(reduce_sum(transpose(h)), [n]))
    last <- labels[0:1]
    let loss = cross_entropy(y, labels)
    return if given(scale) { loss * scale } else { loss }, loss
  }
  objective drop(text: i32[B, L], labels: i32[B], rows?: i32[B]) -> loss: f32 {
    weight words: f32[vocab, n]
    let h = dropout(embedding(words, text, still = 2), 0.25)[:, 0]
    let other = if given(rows) { rows } else { draw(others(matmul(h, h, transposed = true))) }
    return cross_entropy(linear(h + drop_path(take(h, other), 0.5), classes) @head, labels)
  }
  objective kink(text: i32[B, L]) -> loss: f32 {
    weight words: f32[vocab, n]
    return mean(relu(words - stop(words)))
  }
  route logits(text: i32[B, L]) -> y {
    let y, h = see(text)
    return y
  }
}
PAGE

# batch NAME LABEL: 3 sentences of 4 words, their labels, and a scale, as safetensors
batch() {
  header='{"labels":{"dtype":"I32","shape":[3],"data_offsets":[0,12]},"scale":{"dtype":"F32","shape":[],"data_offsets":[12,16]},"text":{"dtype":"I32","shape":[3,4],"data_offsets":[16,64]}}'
  n=${#header}
  pad=$(((8 - n % 8) % 8))
  {
    printf "\\$(printf %03o $(((n + pad) % 256)))\\$(printf %03o $(((n + pad) / 256)))\\0\\0\\0\\0\\0\\0%s" "$header"
    printf '%*s' $pad ''
    for id in "$2" 3 4; do printf "\\$(printf %03o "$id")\\0\\0\\0"; done
    printf '%b' "${3:-\\0\\0\\0200\\0077}" # 1.0
    for id in 1 2 3 4 5 6 7 8 1 3 5 7; do printf "\\$(printf %03o $id)\\0\\0\\0"; done
  } > "$1"
}
batch batch.safetensors 2
batch wrong.safetensors 7
batch nan.safetensors 2 '\0\0\0300\0177'

run() { "$syc" step tiny.sy --objective fit --input batch.safetensors --lr 0.01 -q "$@"; }

"$syc" weights init tiny.sy --objective fit -q -o start.safetensors || fail "weights init"
run -w start.safetensors --steps 6 --backend interp -o six.safetensors > six.txt || fail "six steps"
awk '{ if ($1 != "step" || $2 != NR || $3 != "loss" || (NR > 1 && $4 >= last)) exit 1; last = $4 } END { exit NR != 6 }' six.txt ||
  { cat six.txt; fail "the loss does not fall"; }
run -w start.safetensors --steps 2 --backend interp -o two.safetensors > two.txt
run -w two.safetensors --steps 4 --backend interp -o four.safetensors >> two.txt
cmp -s six.txt two.txt && cmp -s six.safetensors four.safetensors || fail "two and four steps are not six"
run -w start.safetensors --steps 6 --isa avx2 --backend interp -o avx2.safetensors > /dev/null || fail "at the width of avx2"
fma_here=no # sets with fma have the bits of avx2
"$syc" help isa --json | grep -q '"fma": true.*"runs_here": true' && fma_here=yes
for way in "--backend c" "--backend c --threads 3" "--backend jit"; do
  # shellcheck disable=SC2086
  run -w start.safetensors --steps 6 $way -o way.safetensors > way.txt 2> way.err || {
    grep -q 'without LLVM' way.err || { cat way.err; fail "$way"; }
    continue
  }
  [ $fma_here = no ] || { cmp -s way.safetensors avx2.safetensors || fail "$way gives other bits"; }
done

for name in adamw_hf sgd lamb; do
  run -w start.safetensors --steps 3 --backend interp --optimiser $name --clip 0.5 > $name.txt || fail "$name"
  awk 'NR > 1 && $4 >= last { exit 1 } { last = $4 } END { exit NR != 3 }' $name.txt || fail "$name: the loss does not fall"
done

# what is drawn: by the seed and the number of the step alone
drop() { "$syc" step tiny.sy --objective drop --input batch.safetensors --lr 0.01 -q "$@"; }
"$syc" weights init tiny.sy --objective drop -q -o from.safetensors || fail "weights init of what draws"
drop -w from.safetensors --seed 5 --steps 4 --isa avx2 --backend interp -o whole.safetensors > whole.txt || fail "steps that draw"
drop -w from.safetensors --seed 5 --steps 1 --isa avx2 --backend interp -o one.safetensors > parts.txt
drop -w one.safetensors --seed 5 --steps 3 --isa avx2 --backend interp -o parts.safetensors >> parts.txt
cmp -s whole.txt parts.txt && cmp -s whole.safetensors parts.safetensors || fail "what two runs draw is not what one draws"
drop -w from.safetensors --seed 6 --steps 4 --isa avx2 --backend interp > other.txt
cmp -s whole.txt other.txt && fail "another seed draws the same"
for way in "--backend c --threads 2" "--backend jit --threads 3"; do
  # shellcheck disable=SC2086
  drop -w from.safetensors --seed 5 --steps 4 $way -o way.safetensors > way.txt 2> way.err || {
    grep -q 'without LLVM' way.err || { cat way.err; fail "drawing, $way"; }
    continue
  }
  [ $fma_here = no ] || { cmp -s way.safetensors whole.safetensors || fail "drawing, $way gives other bits"; }
done

# gradients against differences of the loss; one that cannot be right, as the loss has a kink there
run -w start.safetensors --check-gradients=6 --backend interp > table.txt || { cat table.txt; fail "gradients that are right"; }
[ "$(grep -c 'f32\[' table.txt)" -eq 7 ] || { cat table.txt; fail "a line for each tensor"; }
drop -w from.safetensors --seed 5 --check-gradients=6 --backend interp > table.txt || { cat table.txt; fail "gradients of what is drawn"; }
run -w start.safetensors --check-gradients=2 --frozen 'fc.*' --backend interp | grep -q 'fc' && fail "frozen tensors are tried"

# adapters: only they move; what is merged gives the loss of the adapted graph; two and two steps are four; gradients are right
low() { run --lr 0.05 --adapt 'fc.*' --adapt 'head.w*' --adapt-rank 2 --adapt-alpha 4 "$@"; }
low -w start.safetensors --steps 4 --isa avx2 --backend interp -o low.safetensors > low.txt || fail "steps of adapters"
awk 'NR > 1 && $4 >= last { exit 1 } { last = $4 } END { exit NR != 4 || last > 1.5 }' low.txt || { cat low.txt; fail "adapters do not learn"; }
low -w start.safetensors --steps 2 --isa avx2 --backend interp -o low2.safetensors > parts.txt
low -w low2.safetensors --steps 2 --isa avx2 --backend interp -o low4.safetensors >> parts.txt
cmp -s low.txt parts.txt && cmp -s low.safetensors low4.safetensors || fail "adapters: two and two steps are not four"
low -w start.safetensors --steps 4 --backend jit --threads 2 -o way.safetensors > way.txt 2> way.err || {
  grep -q 'without LLVM' way.err || { cat way.err; fail "adapters by LLVM"; }
  cp low.safetensors way.safetensors
}
[ $fma_here = no ] || cmp -s low.safetensors way.safetensors || fail "adapters: LLVM gives other bits"
values() { "$syc" weights inspect "$1" | sed -n "s/^ *$2  *[A-Z]//p"; }
for name in words norm.weight fc.bias head.bias; do
  [ "$(values start.safetensors $name)" = "$(values low.safetensors $name)" ] || fail "adapters: $name has moved"
done
[ "$(values start.safetensors fc.weight)" = "$(values low.safetensors optimizer.base.fc.weight)" ] || fail "adapters: W is not kept"
[ "$(values start.safetensors fc.weight)" != "$(values low.safetensors fc.weight)" ] || fail "adapters: nothing is merged"
{ low -w low.safetensors --backend interp; run -w low.safetensors --backend interp; } | awk '{ a[NR] = $4 }
  END { d = a[1] - a[2]; exit !(NR == 2 && d < 1e-5 && d > -1e-5) }' || fail "the merged weights have another loss than the adapted graph"
low -w low.safetensors --check-gradients=4 --backend interp > table.txt || { cat table.txt; fail "gradients of adapters"; }
[ "$(grep -c 'lora_[AB].weight' table.txt)" -eq 4 ] && [ "$(grep -c 'f32\[' table.txt)" -eq 4 ] || { cat table.txt; fail "adapters alone are trained"; }
low -w low.safetensors --trained head.bias --frozen 'fc.*' --check-gradients=1 --backend interp > table.txt || fail "adapters and weights"
[ "$(cut -d' ' -f1 table.txt | tail -n +2 | sort | paste -sd' ' -)" = "head.bias head.lora_A.weight head.lora_B.weight" ] ||
  { cat table.txt; fail "the last pattern does not count"; }

# contrast by numbers of pictures: where all differ it is the plain one; equal numbers share the target
cat > numbers.sy <<'PAGE'
use std
use losses

model numbers(n = 4, queue = 8) {
  dim B = 1..8
  dim L = 1..6
  weight temp: f32
  state image_queue: f32[n, queue]
  state text_queue: f32[n, queue]
  objective fit(text: i32[B, L], labels: i32[B]) -> loss: f32, plain: f32, squares: f32 {
    weight words: f32[9, n]
    weight others: f32[9, n]
    weight copies: f32[9, n]
    let v = l2_norm(embedding(words, text)[:, 0], 1e-12)
    let t = l2_norm(embedding(others, text)[:, 0], 1e-12)
    let m = stop(l2_norm(embedding(copies, text)[:, 0], 1e-12))
    let none = fill(0, i32[1, queue])
    let loss = queue_contrast_by_number(v, t, m, m, image_queue, text_queue, range(B) + 1, none, temp, 0.4)
    let plain = queue_contrast(v, t, m, m, image_queue, text_queue, temp, 0.4)
    let target = number_targets(labels, fill(3, i32[1, queue]))
    image_queue <- put_columns(image_queue, m, fill(0, i32[1]))
    text_queue <- put_columns(text_queue, m, fill(0, i32[1]))
    return loss, plain, total(target * target)
  }
}
PAGE
"$syc" weights init numbers.sy --objective fit -q -o numbers.safetensors || fail "weights init of numbers"
"$syc" step numbers.sy --objective fit --input batch.safetensors -w numbers.safetensors --backend interp -q > numbers.txt ||
  fail "contrast by numbers"
awk '{ apart = $4 - $6; exit !(apart < 1e-5 && apart > -1e-5 && $8 > 2.1110 && $8 < 2.1112) }' numbers.txt ||
  { cat numbers.txt; fail "contrast by numbers is another one"; }

# --memory: what is computed again changes no bit, and what is kept becomes less
cat > deep.sy <<'PAGE'
use std
use losses

model deep(n = 32, classes = 5, vocab = 9, depth = 3) {
  dim B = 1..8
  dim L = 1..6
  objective fit(text: i32[B, L], labels: i32[B]) -> loss: f32 {
    weight words: f32[vocab, n]
    let x = dropout(embedding(words, text), 0.1)
    repeat i in depth {
      let x = timm_layer(x, 4, 4 * n, 1e-5, drop = 0.1)  @layer.{i}
    }
    return cross_entropy(linear(x[:, 0], classes) @head, labels)
  }
}
PAGE
deep() { "$syc" step deep.sy --objective fit --input batch.safetensors -w deep.safetensors --seed 3 --steps 3 --lr 0.01 -q "$@"; }
arena() { "$syc" explain deep.sy --objective fit --draws "$@" | sed -n 's/.*arena at the bounds \([0-9.]*\) MB.*/\1/p'; }
again() { "$syc" explain deep.sy --objective fit --draws "$@" --json | sed -n 's/.*"again_flops": \([0-9.e+]*\).*/\1/p'; }
"$syc" weights init deep.sy --objective fit -q -o deep.safetensors || fail "weights init of a deep page"
deep --backend interp --isa avx2 -o all.safetensors > all.txt || fail "steps of a deep page"
least=$(deep --backend interp --memory 1 2>&1 | sed -n 's/.* needs \([0-9]*K\) .*/\1/p')
[ "$least" ] || { fail "the least memory is not named"; least=1G; }
all=$(arena) part=$(arena --memory "$least")
awk "BEGIN { exit !($all > 1.25 * $part) }" || fail "$all MB and, with --memory $least, $part MB"
[ "$(again)" = 0 ] && [ "$(again --memory "$least")" != 0 ] || fail "explain: what is computed again"
for way in "--backend interp --isa avx2 --memory 1G" "--backend interp --isa avx2 --memory $least" "--backend c --threads 3 --memory $least"; do
  # shellcheck disable=SC2086
  deep $way -o less.safetensors > less.txt || { fail "$way"; continue; }
  case $way-$(uname -m) in *interp*) ;; *x86_64) grep -q avx2 /proc/cpuinfo || continue ;; *) continue ;; esac
  cmp -s all.txt less.txt && cmp -s all.safetensors less.safetensors || fail "$way gives other bits"
done

# --logits: losses by blocks of the vocabulary. The same losses, but for rounding, in less memory; blocks have the same bits
# everywhere, and a label outside the vocabulary is an error in whatever block it would be
cat > words.sy <<'PAGE'
use std
use losses

model words(n = 24, vocab = 200, past = 0) {
  dim B = 1..32
  dim L = 1..32
  objective fit(text: i32[B, L]) -> loss: f32 {
    weight table: f32[vocab, n]
    weight bias: f32[vocab]
    let x = norm(gelu(linear(embedding(table, text), n) @mid), 1e-5)  @norm
    let labels = select(text == 2, -100, text + past)
    return cross_entropy(affine(x, table, bias), labels) + cross_entropy(linear(x, vocab) @head, labels, smoothing = 0.1)
  }
}
PAGE
words() { "$syc" step words.sy --objective fit --input batch.safetensors -w words.safetensors --steps 3 --lr 0.01 -q "$@"; }
"$syc" weights init words.sy --objective fit -q -o words.safetensors || fail "weights init of words"
words --backend interp --isa avx2 > kept.txt || fail "steps with all logits"
words --backend interp --isa avx2 --logits 100K -o blocks.safetensors > blocks.txt || fail "steps by blocks"
paste kept.txt blocks.txt | awk '/^step/ { for (i = 1; i <= NF / 2; i++) if ($i + 0 == $i) { d = $i - $(i + NF / 2); if (d > 1e-5 || d < -1e-5) exit 1; n++ } } END { exit n < 6 }' ||
  { cat kept.txt blocks.txt; fail "losses by blocks differ"; }
for way in "--backend interp --isa avx512" "--backend c --threads 3" "--backend interp --isa avx2 --memory 1G"; do
  case $way-$(uname -m) in *interp*) ;; *x86_64) grep -q avx2 /proc/cpuinfo || continue ;; *) continue ;; esac
  # shellcheck disable=SC2086
  words $way --logits 100K -o other.safetensors > other.txt || { fail "blocks, $way"; continue; }
  cmp -s blocks.txt other.txt && cmp -s blocks.safetensors other.safetensors || fail "blocks, $way: other bits"
done
mb() { "$syc" explain words.sy --objective fit "$@" | sed -n 's/.*arena at the bounds \([0-9.]*\) MB.*/\1/p'; }
awk "BEGIN { exit !($(mb) > 1.5 * $(mb --logits 100K)) }" || fail "$(mb) MB and, by blocks, $(mb --logits 100K) MB"
for past in 195 -9; do
  words --backend interp -D past=$past --logits 100K > /dev/null 2>&1 && fail "a label outside the vocabulary, $past further"
done

# frozen: every bit stays
run -w start.safetensors --steps 2 --backend interp --frozen 'words' --frozen 'norm.*' -o frozen.safetensors > /dev/null || fail "frozen"
look() { "$syc" weights inspect "$1" | grep "^ *$2 "; }
for name in words norm.weight; do
  [ "$(look start.safetensors $name)" ] && [ "$(look start.safetensors $name)" = "$(look frozen.safetensors $name)" ] ||
    fail "$name is frozen and moved"
done
[ "$(look start.safetensors head.weight)" != "$(look frozen.safetensors head.weight)" ] || fail "head.weight is trained and did not move"

look six.safetensors last | grep -q 'I32' || fail "a state that is only written is not in the file"

# what is wrong: STATUS, what is said, arguments
wrong() {
  status=$1 text=$2
  shift 2
  "$@" > out.txt 2> err.txt
  got=$?
  [ $got -eq "$status" ] || { cat err.txt; fail "exit status $got, not $status: $*"; }
  grep -q "$text" err.txt || { cat err.txt; fail "not said ($text): $*"; }
  [ -e not.safetensors ] && fail "half written: $*"
}
base="$syc step tiny.sy --objective fit --backend interp"
# shellcheck disable=SC2086
{
  wrong 2 'of which objective' "$syc" step tiny.sy -w start.safetensors --input batch.safetensors
  wrong 1 "no objective 'fitt'" "$syc" step tiny.sy --objective fitt -w start.safetensors --input batch.safetensors
  wrong 2 'leave --routes away' $base --routes logits -w start.safetensors --input batch.safetensors
  wrong 2 'from which weights' $base --input batch.safetensors
  wrong 2 'on which batch' $base -w start.safetensors
  wrong 2 'must be a number' $base -w start.safetensors --input batch.safetensors --lr fast
  wrong 2 'no weight of the objective' $base -w start.safetensors --input batch.safetensors --frozen 'nothing.*'
  wrong 1 'the nearest is fc.weight' $base -w start.safetensors --input batch.safetensors --adapt 'fcs.*'
  wrong 1 'words is read by others' $base -w start.safetensors --input batch.safetensors --adapt 'words'
  wrong 2 'a rank of 0' $base -w start.safetensors --input batch.safetensors --adapt 'fc.*' --adapt-rank 0
  wrong 2 'of which linears' $base -w start.safetensors --input batch.safetensors --adapt-rank 2
  wrong 2 'go with --gradients' "$syc" emit tiny.sy --objective fit --adapt 'fc.*' --emit=ir -o not.safetensors
  wrong 1 "gradient of 'words'" "$syc" step tiny.sy --objective kink --backend interp -w from.safetensors --input batch.safetensors --check-gradients=2
  wrong 2 'takes 1 to 10000' $base -w start.safetensors --input batch.safetensors --check-gradients=0
  wrong 1 'no seed to draw with' "$syc" step tiny.sy --objective drop --backend interp -w from.safetensors --input batch.safetensors
  wrong 2 'of which objective' "$syc" emit tiny.sy --draws --emit=ir -o not.safetensors
  wrong 2 'of which objective' "$syc" emit tiny.sy --gradients --emit=ir -o not.safetensors
  wrong 2 'go with --gradients' "$syc" emit tiny.sy --objective fit --frozen words --emit=ir -o not.safetensors
  wrong 1 'outside its table\|outside 0..4' $base -w start.safetensors --input wrong.safetensors -o not.safetensors
  wrong 1 "'loss' is not finite" $base -w start.safetensors --input nan.safetensors --given scale -o not.safetensors
  wrong 1 "no tensor for input" $base -w start.safetensors --input start.safetensors
  wrong 3 'nothing-here' $base -w nothing-here.safetensors --input batch.safetensors
}

# the C interface: objective and route in one module, in C of several compilers and as LLVM's object
have() { command -v "$1" > /dev/null 2>&1; }
module() { "$syc" "$@" tiny.sy --objective fit --given scale --gradients --routes logits -q; }
if have gcc && have g++; then
  cp "$here/module.c" .
  module emit -o tiny.c || fail "emit"
  module weights pack -w start.safetensors -o tiny.syw 2> err.txt || { cat err.txt; fail "weights pack"; }
  strict='-Wall -Wextra -Wconversion -Wshadow -pedantic -Werror -O1 -ffp-contract=off'
  for cc in gcc clang; do
    have $cc || continue
    sanitize=
    [ $cc = gcc ] && have clang || sanitize='-g -fsanitize=address,undefined -fno-sanitize-recover=undefined'
    # shellcheck disable=SC2086
    $cc -std=c99 $strict $sanitize -c tiny.c -o $cc.o &&
      $cc -D_GNU_SOURCE $strict $sanitize module.c $cc.o -o by_$cc -lm -pthread && ./by_$cc tiny.syw $cc.out ||
      fail "the module by $cc"
  done
  [ ! -e clang.out ] || cmp gcc.out clang.out || fail "gcc and clang give other bits"
  printf '#include "tiny.h"\nint main() { return tiny_grad_fit(0, 1, 1, 0, 0, 0, 0, 0) != TINY_EINVAL; }\n' > header.cc
  for cc in g++ clang++; do
    have $cc || continue
    # shellcheck disable=SC2086
    $cc -std=c++11 $strict -c header.cc || fail "the header by $cc"
  done
  # a page's names that are those of the interface
  cat > clash.sy <<'PAGE'
use std
use losses
model clash(n = 4) {
  dim B = 1..2
  block see(t: f32[B, n]) -> f32[B, n] {
    weight w: f32[n, n]
    return affine(t, w)
  }
  route update(t: f32[B, n]) -> group { return see(t) }
  route grad_fit(t: f32[B, n]) -> dims { return see(t) }
  route train_init(t: f32[B, n]) -> step { return see(t) }
  objective fit(t: f32[B, n], out: f32[B, n]) -> loss: f32 { return mean(see(t) * out) }
}
PAGE
  "$syc" emit clash.sy --objective fit --gradients --routes update,grad_fit,train_init --isa portable -q -o clash.c &&
    gcc -std=c99 -Wall -Wextra -Wconversion -pedantic -Werror -ffp-contract=off -c clash.c || fail "names of the interface as names of a page"
  if module emit --emit=obj --backend=llvm -o llvm.o 2> err.txt; then
    gcc -O1 -D_GNU_SOURCE module.c llvm.o -o by_llvm -lm -pthread && ./by_llvm tiny.syw llvm.out || fail "the module by LLVM"
    cmp gcc.out llvm.out || fail "LLVM gives other bits"
  else
    grep -q 'without LLVM' err.txt || { cat err.txt; fail "the module by LLVM"; }
  fi
fi

# the C interface of adapters: what is merged is W + scale B A
if have gcc; then
  set -- tiny.sy --objective fit --gradients --adapt 'fc.*' --adapt-rank 2 --adapt-alpha 4 -q
  "$syc" emit "$@" --isa portable -o tiny.c && "$syc" weights pack "$@" --isa portable -w start.safetensors -o low.syw 2> err.txt ||
    { cat err.txt; fail "a module with adapters"; }
  cp "$here/merge.c" .
  gcc -O1 -ffp-contract=off -Wall -Wextra -Werror merge.c tiny.c -o merge -lm && ./merge low.syw || fail "what the module merges"
fi

# the example: the loss falls, new pictures are told apart, what is exported serves
if have make && have cc; then
  cp -r "$here/../../examples/finetune_c" .
  # the command that its first lines give
  options=$(sed -n 's/^\/\/   O="\(.*\)"$/\1/p' finetune_c/main.c | sed 's/^\$O //' | paste -sd' ' -)
  # shellcheck disable=SC2086
  "$syc" emit $options -q -o finetune_c/vit.c && "$syc" weights init $options -q -o finetune_c/start.safetensors 2> err.txt &&
    "$syc" weights pack $options -q -w finetune_c/start.safetensors -o finetune_c/start.syw 2> err.txt || { cat err.txt; fail "finetune_c: its module"; }
  make -s -C finetune_c CFLAGS='-O1 -Wall -Wextra -Wconversion -Werror' > err.txt 2>&1 || { cat err.txt; fail "finetune_c: make"; }
  (cd finetune_c && ./finetune start.syw end.syw) > finetune.txt || { cat finetune.txt; fail "finetune_c"; }
  awk '/^step/ { last = $4; if (!first) first = $4 } /^everything/ { right = $2 } /has its bits/ { kept = 1 }
    END { exit !(last < first / 4 && right > 90 && kept) }' finetune.txt || { cat finetune.txt; fail "finetune_c does not learn"; }
fi
[ $failed -eq 0 ] && echo "step: all well"
exit $failed

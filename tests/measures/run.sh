#!/bin/sh
# What `syc train` measures beside the loss: accuracy, VQA scores, recall both ways and words, on weights and data that measures.py
# makes, equal to what it counts itself; the best weights by a measure, and runs that end early. run.sh SYC
syc=${1:?usage: run.sh SYC}
here=$(cd "$(dirname "$0")" && pwd)
case $syc in */*) syc=$(cd "$(dirname "$syc")" && pwd)/$(basename "$syc") ;; esac
command -v python3 > /dev/null || { echo "measures: skipped: no python3"; exit 77; }
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 3
failed=0
fail() {
  echo "measures: $*"
  failed=1
}

cat > page.sy <<'PAGE'
use std
use losses

model page(n = 6, classes = 5, vocab = 12, max_text = 6, d = 4) {
  dim B = 1..8
  dim L = 1..max_text
  prepare text: bert_wordpiece(start = 2, end = 3, pad = 0, length = max_text, vocab = vocab)
  prepare logits: labels(softmax = true)

  block scores(x) {
    return linear(x, classes)  @head
  }
  block said(text) {
    weight words: f32[vocab, d]  @words
    return reshape(reduce_sum(transpose(embedding(words, text), [0, 2, 1])), [B, d])
  }
  block next(text) {
    weight words: f32[vocab, d]  @words
    return linear(embedding(words, text), vocab)  @next
  }
  route classify(x: f32[B, n]) -> logits: f32[B, classes] {
    return scores(x)
  }
  objective classify(x: f32[B, n], labels: i32[B]) -> loss: f32 {
    return cross_entropy(scores(x), labels)
  }
  objective answer(x: f32[B, n], targets: f32[B, classes]) -> loss: f32 {
    return bce(scores(x), targets)
  }
  route picture(x: f32[B, n]) -> image_embed: f32[B, d] {
    return linear(x, d)  @see
  }
  route sentence(text: i32[B, L]) -> text_embed: f32[B, d] {
    return said(text)
  }
  objective match(x: f32[B, n], text: i32[B, L]) -> loss: f32 {
    return info_nce(matmul(linear(x, d) @see, said(text), transposed = true))
  }
  route caption_words(text: i32[B, L]) -> logits: f32[B, L, vocab] {
    return next(text)
  }
  objective caption(text: i32[B, L], labels: i32[B, L]) -> loss: f32 {
    return cross_entropy(next(text), next_words(labels))
  }
  train captions {
    objective caption
    sgd(lr = 0)
    steps 1
    batch 4
    labels: text_labels(of = text)
    evaluate every 1: words
  }
  train places {
    objective caption
    sgd(lr = 0)
    steps 1
    batch 4
    evaluate every 1: words
  }
}
PAGE
python3 "$here/measures.py" make || exit 3
# measured NAME: of the last evaluation of run r
measured() { sed -n "s/.*\"$1\": \([0-9.e-]*\).*/\1/p" r/log.jsonl | tail -1; }
# run MEASURES OPTIONS..: weights that stay as they are
run() {
  rm -rf r
  "$syc" train page.sy -w weights.safetensors --ignore '*' -o r -q "$@" || fail "'$*' fails"
}
# same COLUMN: as measures.py counts it
same() {
  want=$(python3 "$here/measures.py" "$1")
  got=$(measured "$1")
  awk -v a="$want" -v b="$got" 'BEGIN { d = a - b; exit !(b != "" && d < 1e-6 && d > -1e-6) }' || fail "$1 is $got, counted $want"
}
still="--lr 0 --decay 0 --steps 1 --batch 4 --optimiser sgd"
# shellcheck disable=SC2086
{
  run --objective classify $still --data data.jsonl --val data.jsonl
  same accuracy
  run --objective classify $still --data data.jsonl --val data.jsonl --batch 3 --workers 2
  same accuracy
  run --objective answer $still --data data.jsonl --val data.jsonl --labels answers.txt --measure vqa
  same vqa
  for lines in lists lines; do # captions as lists, and a line for each
    run --objective match $still --data $lines.jsonl --val $lines.jsonl --vocab vocab.txt --measure recall
    for way in i2t t2i; do
      for k in 1 5 10; do same recall_${way}_$k; done
    done
    same recall
  done
  # vectors that are all the same find nothing
  rm -rf r
  "$syc" train page.sy -w flat.safetensors --ignore '*' -o r -q --objective match $still --data lines.jsonl --val lines.jsonl --vocab vocab.txt --measure recall ||
    fail "no recall of flat vectors"
  [ "$(measured recall_t2i_1)" = 0 ] || fail "flat vectors are found"
  run --stage captions --data captions.jsonl --val captions.jsonl --vocab vocab.txt
  same words
  # labels of the data themselves stand at the place of their score
  run --stage places --data places.jsonl --val places.jsonl --vocab vocab.txt
  places=$(python3 "$here/measures.py" places)
  awk -v a="$places" -v b="$(measured words)" 'BEGIN { d = a - b; exit !(b != "" && d < 1e-6 && d > -1e-6) }' ||
    fail "words at their place: $(measured words), counted $places"
}

# Which weights are the best: by the loss, or by what is asked for first. `better COLUMN SIGN` is the step with the best value.
better() {
  grep '"val_loss"' r/log.jsonl | sed "s/.*\"step\": \([0-9]*\),.*\"$1\": \([0-9.e-]*\).*/\1 \2/" |
    awk -v sign="$2" 'NR == 1 || sign * $2 > best { best = sign * $2; step = $1 } END { print step }'
}
moves="--objective classify --data data.jsonl --val data.jsonl --batch 4 --optimiser sgd --lr 2 --decay 0 --evaluate 1"
# shellcheck disable=SC2086
{
  run $moves --steps 40
  cp r/best.safetensors by_loss && better val_loss -1 > loss_step
  run $moves --steps 40 --measure accuracy
  cp r/best.safetensors by_accuracy && better accuracy 1 > accuracy_step
  for by in loss accuracy; do # the weights after as many steps as the best evaluation says
    run $moves --steps "$(cat ${by}_step)"
    cmp -s r/last.safetensors by_$by || fail "the best weights by $by are not those of step $(cat ${by}_step)"
  done
  cmp -s loss_step accuracy_step && fail "loss and accuracy choose the same step: this test says nothing"
  # Early end: behind the best there are as many evaluations as it waits; going on ends at once.
  run $moves --steps 40 --patience 3 --measure accuracy
  ended=$(grep -c '"lr"' r/log.jsonl) best=$(better accuracy 1)
  [ "$ended" = $((best + 3)) ] && [ "$ended" -lt 40 ] || fail "--patience 3 ends behind step $ended, the best is $best"
  cp r/last.safetensors early
  "$syc" train page.sy -w weights.safetensors --ignore '*' -o r $moves --steps 40 --patience 3 --measure accuracy --resume 2> err ||
    fail "a run that ended early cannot go on"
  grep -q "no better than accuracy" err || fail "it is not said that the run has ended early"
  cmp -s r/last.safetensors early || fail "a run that ended early moves on"
}

# wrong TEXT ARGUMENTS..
wrong() {
  text=$1
  shift
  "$syc" train page.sy -o x --objective classify --data data.jsonl --batch 4 --steps 1 "$@" 2> err && fail "'$*' is taken"
  grep -q -e "$text" err || {
    cat err
    fail "'$*' does not say '$text'"
  }
}
wrong "takes loss, accuracy, vqa, recall and words" --val data.jsonl --measure luck
wrong "need data to measure on" --measure accuracy
wrong "need data to measure on" --patience 2
wrong "the page has no such route: a route with the output logits" --val data.jsonl --measure words
wrong "patience must be at least 1" --val data.jsonl --patience 0
exit $failed

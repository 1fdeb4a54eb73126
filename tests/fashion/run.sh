#!/bin/bash
# The first steps of examples/fashion on Fashion-MNIST: the data are read as Debian ships them, and the losses are those recorded
# here; a test picture goes through the compiled program. Skipped where the data set is not installed. run.sh SYC
syc=${1:?usage: run.sh SYC}
source=$(cd "$(dirname "$0")/../.." && pwd)
case $syc in */*) syc=$(cd "$(dirname "$syc")" && pwd)/$(basename "$syc") ;; esac
data=/usr/share/datasets/fashion-mnist
[ -d $data ] || {
  echo "fashion: skipped: $data is not there (apt-get install dataset-fashion-mnist)"
  exit 77
}
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 3
failed=0
fail() {
  echo "fashion: $*"
  failed=1
}
page=$source/examples/fashion/fashion.sy
"$syc" train "$page" --stage clothes --data $data --steps 25 -o run -q || fail "the run fails"
# Recorded with fma; machines without it differ by rounding.
near() { awk -F, -v s="$1" -v want="$2" '$1 == s { d = $5 / want - 1; found = d < 1e-3 && d > -1e-3; print $5 } END { exit !found }' run/log.csv > loss || fail "the loss of step $1 is $(cat loss), recorded $2"; }
near 1 2.57830667
near 25 2.1723218
"$syc" train "$page" --stage clothes --data $data --val $data --dry-run > plan || fail "--dry-run fails"
grep -q "60000 samples" plan && grep -q "22500 steps of 32" plan || { cat plan; fail "the plan is not what the page says"; }
# The labels and pictures of the tests are those that the files have: read here without syc.
"$syc" train "$page" --stage clothes --data $data/t10k-images-idx3-ubyte.gz --dump-batch look --overfit 1 --batch 1 -q > plan || fail "--dump-batch fails"
label=$(gzip -dc $data/t10k-labels-idx1-ubyte.gz | dd bs=1 skip=8 count=1 2> skip | od -An -tu1 | tr -d ' ')
grep -q "labels: $label" look/index.txt || { cat look/index.txt; fail "the first label is not $label"; }
"$syc" build "$page" -w run/last.safetensors -o fashion -q || fail "it cannot be built"
./fashion look/image-0.png --labels "$source/examples/fashion/classes.txt" --top 10 > out || fail "the program fails"
grep -q "ankle boot" out || { cat out; fail "the program does not name the classes"; }
exit $failed

#!/bin/sh
# run.sh [SYC]: scenes: the generator of examples/scenes (what it draws and says is true, always the same, and holds its pairs
# out) and models/scenes.sy (its routes and what its program says; gradients of its objectives).
#
# Needs gcc.
. "$(dirname "$0")/../checks.sh"

have gcc || {
  echo "skipped: no gcc"
  exit 77
}
check "the generator compiles" gcc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -O2 -ffp-contract=off -I"$source" "$source/examples/scenes/scenes.c" \
  "$source/data/random.c" -lm -o maker
[ -x maker ] || exit 1
wrong() { # NAME TEXT ARGUMENTS...: refused with exit status 2, and TEXT is said
  name=$1 text=$2
  shift 2
  ./maker "$@" > out 2> err
  if [ $? -eq 2 ] && grep -q -e "$text" err; then ok "$name"; else bad "$name"; fi
}

### always the same
./maker --count 60 --pictures -o train && ./maker --count 60 --pictures -o again && ./maker --count 20 --pictures -o few
./maker --split test --count 60 --pictures -o test && ./maker --split unseen --count 60 --pictures -o unseen
./maker --count 60 --seed 2 --pictures -o other
check "the same bytes again" diff -r train again
check "another seed, other pictures" sh -c '! cmp -s train/scenes.safetensors other/scenes.safetensors'
check "another split, other pictures" sh -c '! cmp -s train/scenes.safetensors test/scenes.safetensors'
check "few scenes are the first of many" sh -c 'head -n 80 train/scenes.jsonl | cmp - few/scenes.jsonl && cmp train/000019.png few/000019.png'
check "the bytes that they were" sh -c 'cksum < train/scenes.safetensors | grep -q "^4218714384 " && cksum < train/scenes.jsonl | grep -q "^1249616687 "'
for name in vocab.txt answers.txt; do check "$name is the page's" cmp "$source/examples/scenes/$name" train/$name; done

### what is held out is held out
pairs='purple circle|green square|blue triangle|yellow cross|red ring'
check "held out of pictures and words of train" sh -c "! grep -E '$pairs' train/scenes.jsonl"
check "held out of those of test" sh -c "! grep -E '$pairs' test/scenes.jsonl"
check "every unseen scene has one" sh -c "! grep -vE '\"caption\": \"[^\"]*($pairs)' unseen/scenes.jsonl"

### answers are true: read again from the captions
cat > true.awk <<'AWK'
function field(name,  s) { s = $0; sub(".*\"" name "\": \"", "", s); sub("\".*", "", s); return s }
function row(place) { return place ~ /^top/ ? 0 : place ~ /^bottom/ ? 2 : 1 }
function column(place) { return place ~ /left$/ ? 0 : place ~ /right$/ ? 2 : 1 }
function find(color, shape,  i) { for (i = 0; i < n; i++) if (c[i] == color && s[i] == shape) return i; return -1 }
function lies(a, b, way) {
  if (way == "left" || way == "right") { return way == "left" ? column(p[a]) < column(p[b]) : column(p[a]) > column(p[b]) }
  return way == "above" ? row(p[a]) < row(p[b]) : row(p[a]) > row(p[b])
}
function matches(i, what) { # circles, red, large; things fits all
  return what == "things" || what == c[i] || what == z[i] || what == (s[i] == "cross" ? "crosses" : s[i] "s")
}
function number(what,  i, k) { k = 0; for (i = 0; i < n; i++) k += matches(i, what); return k }
{
  k = split(field("caption"), w, " "); n = k / 4; kind = field("kind"); answer = field("answer"); expect = "?"
  for (i = 0; i < n; i++) { p[i] = w[4 * i + 1]; z[i] = w[4 * i + 2]; c[i] = w[4 * i + 3]; s[i] = w[4 * i + 4] }
  m = split(field("question"), q, " ")
  if (kind == "color") for (i = 0; i < n; i++) { if (s[i] == q[m] && (m == 5 || z[i] == q[5])) expect = c[i] }
  if (kind == "shape") for (i = 0; i < n; i++) { if (c[i] == q[m - 1] && (m == 6 || z[i] == q[5])) expect = s[i] }
  if (kind == "size") expect = z[find(q[m - 1], q[m])]
  if (kind == "where") expect = p[find(q[m - 1], q[m])]
  if (kind == "count") expect = number(q[3])
  if (kind == "exists") expect = find(q[m - 1], q[m]) >= 0 ? "yes" : "no"
  if (kind == "at") { expect = "nothing"; for (i = 0; i < n; i++) if (p[i] == q[m]) expect = q[2] == "color" ? c[i] : s[i] }
  if (kind == "relation") expect = lies(find(q[3], q[4]), find(q[m - 1], q[m]), q[5]) ? "yes" : "no"
  if (kind == "neighbour") for (i = 0; i < n; i++) if (lies(i, find(q[m - 1], q[m]), q[6])) expect = q[2] == "color" ? c[i] : s[i]
  if (kind == "more") expect = number(q[4]) > number(q[5] == "than" ? q[6] : q[7]) ? "yes" : "no"
  if (expect != answer) { print kind ": " expect " is not " $0; wrong = 1 }
  seen[kind]++
}
END { for (kind in seen) kinds++; if (kinds != 10) print kinds " kinds"; exit wrong || kinds != 10 }
AWK
for split in train test unseen; do check "answers are true: $split" awk -f true.awk $split/scenes.jsonl; done

### one scene of a caption
check "a caption is drawn" ./maker --draw "topleft small red circle center large blue ring" -o one.png
check "larger" ./maker --draw "center small red ring" --scale 4 -o large.png
wrong "an unknown word" "no such word: pink" --draw "center small pink ring" -o none.png
wrong "half an object" "say place" --draw "center red ring" -o none.png
wrong "nowhere" "where to" --count 3
wrong "no split" "not a split" --split all -o none
wrong "no number" "not a number" --count many -o none
check "nothing was left" [ ! -e none.png ]

### the page
run 0 "seeded weights" weights init scenes --objective all -q -o start.safetensors
run 0 "all routes" build scenes --routes answer,caption,image,text -w start.safetensors -q -o demo
./demo train/000001.png --route answer --text "what color is the ring" --vocab train/vocab.txt --labels train/answers.txt > out 2> err
check "an answer is a word" sh -c 'tail -n 1 out | grep -qwFf train/answers.txt'
check "a caption is there" ./demo large.png --route caption --vocab train/vocab.txt
check "vectors of pictures" ./demo embed train -o v.npy
check "a search" ./demo search v.npy "red circle" --vocab train/vocab.txt

### the trained weights
run 0 "the trained model" build "$source/models/scenes.sy" --routes answer,caption,image,text -w "$source/examples/scenes/scenes.safetensors" -q -o trained
check "right about scenes like those it was trained on" bash "$source/examples/scenes/evaluate.sh" ./trained test 96 96 95
cat seen
check "right about pairs it never saw" bash "$source/examples/scenes/evaluate.sh" ./trained unseen 90 85 90
cat seen
run 0 "with weights of 4 bits" build "$source/models/scenes.sy" --routes answer,caption,image,text -w "$source/examples/scenes/scenes.safetensors" \
  --precision int4w -q -o narrow
check "as right with weights of 4 bits" bash "$source/examples/scenes/evaluate.sh" ./narrow test 96 96 95
cat seen
check "one that was not trained is not right" sh -c "! bash '$source/examples/scenes/evaluate.sh' ./demo test 30"

### its training
for objective in caption answer all; do
  run 0 "gradients: $objective" emit scenes --objective $objective --gradients --emit=ir -o $objective.ir
done
for stage in captions answers all; do # compiled by LLVM, because gcc takes a minute for each
  "$syc" train "$source/models/scenes.sy" --stage $stage --steps 2 --batch 8 --data train/scenes.safetensors --backend jit -q -o $stage > out 2> err
  if grep -q 'without LLVM' err; then skip "stage $stage" "syc was built without LLVM"; else check "stage $stage: its weights" [ -s $stage/last.safetensors ]; fi
done
finish scenes

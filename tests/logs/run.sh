#!/bin/sh
# What a run of `syc train` leaves to read: log.jsonl, log.csv and TensorBoard's event file say the same (events.py reads the last by
# itself); index.html is one well-formed page without anything from elsewhere, names in it are escaped. run.sh SYC
syc=${1:?usage: run.sh SYC}
here=$(cd "$(dirname "$0")" && pwd)
case $syc in */*) syc=$(cd "$(dirname "$syc")" && pwd)/$(basename "$syc") ;; esac
command -v python3 > /dev/null || {
  echo "logs: skipped: no python3"
  exit 77
}
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 3
failed=0
fail() {
  echo "logs: $*"
  failed=1
}

cat > page.sy <<'PAGE'
use std
use losses

model page(size = 8, classes = 2) {
  dim B = 1..8
  prepare image: picture(resize = square(size), filter = bilinear, mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5])
  prepare logits: labels(softmax = true)
  block scores(image) {
    return linear(reshape(image, [B, 3 * size * size]), classes)  @head
  }
  route classify(image: f32[B, 3, size, size]) -> logits: f32[B, classes] {
    return scores(image)
  }
  objective fit(image: f32[B, 3, size, size], labels: i32[B]) -> loss: f32, ce_loss: f32, length_loss: f32 {
    let ce = cross_entropy(scores(image), labels)
    let length = mean(scores(image) * scores(image))
    return ce + 0.1 * length, ce, 0.1 * length
  }
}
PAGE
odd='a<b>&"c'
for class in "$odd" blue; do
  mkdir -p "data/$class"
  for i in 1 2 3 4 5 6; do
    awk -v c="$([ "$class" = blue ] && echo 2 || echo 0)" -v h=$((90 + i)) 'BEGIN { print "P6 2 2 127"; for (p = 0; p < 12; p++) printf "%c", (p % 3 == c ? h : 33) }' > "data/$class/$i.ppm"
  done
done
train="$syc train page.sy --objective fit --data data --val data --batch 4 --lr 0.05 --evaluate 3 --save-every 3"
name="run <i>'x"
$train --steps 9 -o "$name" -q || fail "the run fails"

# The three logs say the same.
events="$name/events.out.tfevents.switchyard"
python3 "$here/events.py" "$events" > scalars || fail "the event file cannot be read"
for part in loss ce_loss length_loss norm; do
  sed -n "s/.*\"step\": \([0-9]*\),.*\"$part\": \([^,}]*\).*/\1 \2/p" "$name/log.jsonl" > a
  awk -v t="train/$part" '$2 == t { print $1, $3 }' scalars > b
  paste -d' ' a b | awk 'NF != 4 || $1 != $3 || ($2 - $4) ^ 2 > 1e-10 * $2 ^ 2 { bad = 1 } END { exit bad || NR != 9 }' || fail "$part differs between log.jsonl and the events"
done
for pair in val_loss=val/loss accuracy=val/accuracy; do
  sed -n "s/.*\"step\": \([0-9]*\),.*\"${pair%=*}\": \([^,}]*\).*/\1 \2/p" "$name/log.jsonl" > a
  awk -v t="${pair#*=}" '$2 == t { print $1, $3 }' scalars > b
  paste -d' ' a b | awk 'NF != 4 || $1 != $3 || ($2 - $4) ^ 2 > 1e-10 * $2 ^ 2 { bad = 1 } END { exit bad || NR != 3 }' || fail "$pair differs between log.jsonl and the events"
done
python3 - "$name" <<'CHECK' || fail "log.csv is not log.jsonl"
import csv, json, sys
steps = [r for r in map(json.loads, open(sys.argv[1] + "/log.jsonl")) if "lr" in r]
rows = list(csv.DictReader(open(sys.argv[1] + "/log.csv")))
assert len(rows) == len(steps) == 9
for r, s in zip(rows, steps):
    assert r.keys() == s.keys(), (r.keys(), s.keys())
    assert all(float(r[k]) == float(s[k]) for k in r), (r, s)
assert steps[0]["memory_mb"] > 1
CHECK

# A run that goes on: the events of the steps that count are as they were, none is there twice, one that was cut off is there again.
$train --steps 9 -o early -q || fail "no second run"
python3 "$here/events.py" early/events.out.tfevents.switchyard | cut -d' ' -f1-3 | grep -v speed > all
mkdir late && cp early/* late/
head -c -7 early/events.out.tfevents.switchyard > late/events.out.tfevents.switchyard # the last event is not whole
$train --steps 9 -o late -q --resume || fail "a run with a cut event file cannot go on"
python3 "$here/events.py" late/events.out.tfevents.switchyard > scalars || fail "a cut event file is not mended"
cut -d' ' -f1-3 scalars | grep -v speed | cmp -s - all || fail "a cut event file lacks something behind it"
awk '{ print $1, $2 }' scalars | sort | uniq -d | grep -q . && fail "an event is there twice"

# The page.
python3 - "$name/index.html" <<'CHECK' || fail "index.html is not what it should be"
import base64, html.parser, re, struct, sys, xml.etree.ElementTree as tree
text = open(sys.argv[1], encoding="utf-8").read()
root = tree.fromstring(text.split("\n", 1)[1])  # well-formed XML behind its first line
assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), "something from elsewhere"
assert "<script" not in text and "<i>" not in text and "a<b>" not in text
flat = "".join(root.itertext())
assert "run <i>'x" in flat and "a<b>&\"c" in flat, "names are not there"
assert "-o 'run <i>'\\''x'" in flat, "the command is not what a shell takes"
assert "seed 1" in flat and "adamw" in flat
charts = [e for e in root.iter() if e.tag.endswith("svg")]
assert len(charts) == 6, len(charts)
titles = ["".join(c.itertext()) for c in charts]
for t in ("loss", "learning rate", "length of the gradient", "samples a second", "memory, MB", "measured on --val"):
    assert any(t in x for x in titles), t
pictures = [e.get("src") for e in root.iter() if e.tag == "img"]
assert len(pictures) == 12, len(pictures)
for p in pictures:
    png = base64.b64decode(p.split(",", 1)[1], validate=True)
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", png[16:24]) == (2, 2)
cells = [int(e.text) for e in root.iter() if e.tag == "td" and e.get("style", "").startswith("background")]
assert len(cells) == 4 and sum(cells) == 12, cells  # the confusion matrix
CHECK
python3 -c 'import sys, xml.etree.ElementTree as t; t.parse(sys.argv[1])' "$name/loss.svg" || fail "loss.svg is not XML"
exit $failed

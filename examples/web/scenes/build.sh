#!/usr/bin/env bash
# build.sh [FOLDER]: the page of the demo model (models/scenes.sy with examples/scenes' weights) in a folder, build/web/scenes if
# none is named: open its index.html, from the disk or from any server of files. Needs build/bin/syc with LLVM, and wasm-ld.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=${1:-$root/build/web/scenes}
syc=${SYC:-$root/build/bin/syc}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$syc" build "$root/models/scenes.sy" --routes answer,caption --dim B=1 --weights "$root/examples/scenes/scenes.safetensors" \
  -o "$work/scenes.wasm" --quiet

# A page from the disk may not read files beside it, so the model stands in a script.
lines() { sed 's/\r$//; s/.*/"&"/' "$1" | paste -sd, -; }
{
  echo "// Made by build.sh: the compiled model, its weights, its words, its answers."
  echo "const WASM = \"$(base64 -w 0 "$work/scenes.wasm")\";"
  echo "const WEIGHTS = \"$(base64 -w 0 "$work/scenes.wasm.syw")\";"
  echo "const WORDS = [$(lines "$root/examples/scenes/vocab.txt")];"
  echo "const ANSWERS = [$(lines "$root/examples/scenes/answers.txt")];"
} > "$work/model.js"
cp "$here/index.html" "$here/style.css" "$here/scene.js" "$here/page.js" "$here/../switchyard.js" "$work/model.js" "$out"
echo "$out/index.html"

#!/bin/sh
# run.sh [SYC]: ONNX as a user meets it.
#   * every golden case `forward` of every page: the route as an ONNX file in ONNX Runtime, its outputs those of the case
#   * the operators that no page has (operators.sy): ONNX Runtime's outputs against ours
#   * pages made of ONNX files: of all these routes (import.js), of PyTorch's exporter (files/), and of broken ones
#   * the checker of Debian's python3-onnx, options, mistakes, files
# ONNX Runtime is onnxruntime-node; what is missing is fetched with npm into $SWITCHYARD_PEERS (as bench/peers.sh does). Where it
# cannot be had, those checks are skipped. Exit status 77: this syc has no ONNX.
. "$(dirname "$0")/../checks.sh"
models=$source/models golden=$source/tests/golden modules=${SWITCHYARD_PEERS:-$HOME/.cache/switchyard-peers}/ort/node_modules

### without libprotobuf-c it says what to install
run 0 "a route becomes a file" emit "$models/vit.sy:tiny" --routes classify --emit=onnx -o vit.onnx
if grep -q 'built without ONNX' err; then
  failed=0
  run 2 "without ONNX: it is an error" emit vit:tiny --routes classify --emit=onnx -o x.onnx
  says "without ONNX: what to install" libprotobuf-c-dev
  [ ! -e x.onnx ] || bad "without ONNX: a file is left behind"
  echo "skipped: this syc was built without ONNX"
  [ $failed -eq 0 ] || exit 1
  exit 77
fi

### files
run 0 "the suffix says the kind" build "$models/vit.sy:tiny" --routes classify -o same.onnx
check "the same file each time" cmp vit.onnx same.onnx
run 2 "two routes do not fit into a file" emit "$models/vit.sy:tiny" --emit=onnx -o x.onnx
says "which routes there are" "classify, features"
run 2 "not to standard output" emit "$models/vit.sy:tiny" --routes classify --emit=onnx -o -
run 2 "no objectives" emit "$models/vit.sy:tiny" --objective classify --emit=onnx -o x.onnx
says "an objective is named" "'classify' is an objective"
run 2 "no precision" emit "$models/vit.sy:tiny" --routes classify --precision bf16w --emit=onnx -o x.onnx
"$syc" emit "$models/vit.sy:tiny" --routes classify --emit=ir@sink -o sunk.ir
run 2 "no IR that passes changed" emit sunk.ir --emit=onnx -o x.onnx
says "which IR" "ir@input"
cat > put.ir << 'END'
module "m" dims { B = 1..2 }
graph @r {
  %1 = input "x" : f32[B,4,8]
  %2 = gelu_slope %1 : f32[B,4,8]
  output "y" = %2
}
END
run 1 "an operator without a form" emit put.ir --emit=onnx -o x.onnx
says "it is named" "put.ir:4:.*gelu_slope.*E0313"
cat > lost.ir << 'END'
module "m" dims { B = 1..2 }
graph @r {
  %1 = input "x" : f32[4]
  %2 = broadcast %1 : f32[B,4]
  output "y" = %2
}
END
run 1 "a dim that no input has" emit lost.ir --emit=onnx -o x.onnx
says "it is named" "run-time dim B"
"$syc" weights init "$models/vit.sy:tiny" -o vit.safetensors 2> err
run 1 "weights of another model" emit "$models/vit.sy:tiny" --routes classify -w "$golden/clip/weights.safetensors" --emit=onnx -o x.onnx
says "they are named" "does not fit the model"
run 3 "a folder that is not there" emit "$models/vit.sy:tiny" --routes classify --emit=onnx -o none/x.onnx
check "mistakes leave nothing behind" [ ! -e x.onnx ]
run 0 "weights in the model" emit "$models/vit.sy:tiny" --routes classify -w vit.safetensors --emit=onnx -o whole.onnx
run 0 "weights beside it" emit "$models/vit.sy:tiny" --routes classify -w vit.safetensors --external-data --emit=onnx -o apart.onnx
check "they are beside it" [ "$(wc -c < apart.onnx.data)" -gt "$(wc -c < apart.onnx)" ]
run 0 "a generate is its decoder of whole sentences" emit "$models/blip.sy:blip_caption" -D depth=1 -D text_depth=1 --routes caption --emit=onnx -o caption.onnx

### docs/onnx.md has the table
sed -n 's/^EXPORT(\([a-z_0-9]*\), refused, .*/| `\1` | refused: made by passes, or for training |/p; s/^EXPORT(\([a-z_0-9]*\), [a-z_0-9]*, "\(.*\)")$/| `\1` | \2 |/p' "$source/onnx/export.def" > rows
sed -n '/^| operator | in ONNX/,$p' "$source/docs/onnx.md" | sed 1,2d | sed '/^$/,$d' > table
check "docs/onnx.md has the table of operators" cmp rows table

sed -n 's/^IMPORT(\([A-Za-z0-9]*\), [a-z_0-9]*, "\(.*\)")$/| `\1` | \2 |/p' "$source/onnx/import.def" > rows
sed -n '/^| ONNX | in the page/,$p' "$source/docs/onnx.md" | sed 1,2d | sed '/^$/,$d' > table
check "docs/onnx.md has the table of what is read" cmp rows table

### pages of ONNX files
run 0 "a page of a file" import whole.onnx -o back.sy
check "with a checkpoint beside it" [ -s back.safetensors ]
check "layers are folded" grep -q 'repeat i in 2' back.sy
check "attention is recognised" grep -q 'attention(.*heads = 4' back.sy
check "the patch embedding is recognised" grep -q 'patch_embed(image, 8, 32)  @conv_proj' back.sy
check "the activation is recognised" grep -q 'gelu(' back.sy
run 0 "the page is in canonical form" fmt --check back.sy
run 0 "the checkpoint is that of the page" weights pack back.sy -w back.safetensors -o back.syw
run 0 "data beside the model" import apart.onnx -o apart.sy --weights apart_weights.safetensors
check "the same page" sh -c "sed s/apart/back/ apart.sy | cmp - back.sy"
check "the same weights" cmp apart_weights.safetensors back.safetensors
for which in vit bert pictures; do
  mkdir -p torch && cp "$here/files/torch_$which.safetensors" torch/io.safetensors
  run 0 "PyTorch's exporter: $which" import "$here/files/torch_$which.onnx" -o torch/m.sy --dim L=12
  check "PyTorch's exporter: names of matrices" grep -q '"[^"]*\.weight"' torch/m.safetensors
  cp "$here/files/torch_$which.json" torch/cases.json
  run 0 "PyTorch's exporter: outputs of $which" check torch --golden torch --backend interp
  [ $which = pictures ] || check "PyTorch's exporter: layers of $which are folded" grep -q 'repeat i in 2' torch/m.sy
  rm -rf torch
done
check "nothing is left of them" [ ! -e torch ]

# broken NAME PATTERN: the file broken.onnx is refused with a reason
broken() {
  run 1 "refused: $1" import broken.onnx -o broken.sy
  says "refused with the reason: $1" "$2"
  [ ! -e broken.sy ] && [ ! -e broken.safetensors ] || bad "refused, and something is written: $1"
}
size=$(wc -c < whole.onnx)
for part in 0 1 10 1000 $((size / 2)) $((size - 1)); do
  head -c "$part" whole.onnx > broken.onnx
  broken "cut at $part bytes" "ONNX model\|bytes, its shape\|missing\|reads\|output\|operator set"
done
printf 'not a model at all, but text' > broken.onnx
broken "a text" "no ONNX model"
mkdir -p deep && cp apart.onnx broken.onnx
mv apart.onnx.data apart.away
broken "data that are not there" "apart.onnx.data"
head -c 100 apart.away > apart.onnx.data
broken "data cut short" "shorter than the model says"
rm apart.onnx.data
ln -s /etc/passwd apart.onnx.data
broken "data outside the folder" "out of the folder"
rm apart.onnx.data
mv apart.away apart.onnx.data
sed 's/apart.onnx.data/..\/rt.onnx.data/g' apart.onnx > broken.onnx
broken "data above the folder" "not in the folder"
sed 's/Softmax/Softmix/g' whole.onnx > broken.onnx
broken "an operator that is not known" "Softmix.*not read"
run 3 "a page into a folder that is not there" import whole.onnx -o none/x.sy
run 2 "two files" import whole.onnx whole.onnx
run 3 "no such file" import none.onnx -o none.sy
run 2 "a bound that is no number" import whole.onnx -o x.sy --dim B=many
check "mistakes leave nothing" [ ! -e x.sy ]
if have node; then
  mkdir -p work
  node "$here/import.js" "$syc" "$models" "$golden" work > pages.out 2>&1
  code=$?
  grep -v '^ok' pages.out
  if [ $code -eq 0 ]; then ok "pages of all routes"; else bad "pages of all routes" pages.out; fi
else
  skip "pages of all routes" "node is not here"
fi

### the checker of the format
python=/usr/bin/python3
if $python -c 'import onnx' 2> /dev/null; then
  for file in vit.onnx whole.onnx apart.onnx caption.onnx; do
    check "the checker takes $file" $python -c "
import onnx
m = onnx.load('$file')
onnx.checker.check_model('$file', full_check=True)
assert m.opset_import[0].version == 17"
  done
  check "inputs, outputs and weights have their names" $python -c "
import onnx
g = onnx.load('whole.onnx').graph
assert [i.name for i in g.input] == ['image'] and [o.name for o in g.output] == ['logits']
assert g.input[0].type.tensor_type.shape.dim[0].dim_param == 'B'
assert 'encoder.layers.encoder_layer_0.mlp.0.weight' in [t.name for t in g.initializer]
assert not any(n.domain for n in g.node)"
else
  skip "the checker of the format" "python3-onnx is not here"
fi

### ONNX Runtime
if ! have node || ! have npm; then
  skip "ONNX Runtime" "node and npm are not here"
  finish onnx
  exit
fi
if [ ! -d "$modules/onnxruntime-node" ]; then
  mkdir -p "$modules" && (cd "$modules/.." && timeout 300 npm install --ignore-scripts --no-audit --no-fund onnxruntime-node@1.30) > out 2>&1
fi
if [ ! -d "$modules/onnxruntime-node" ]; then
  skip "ONNX Runtime" "npm cannot fetch onnxruntime-node@1.30"
  finish onnx
  exit
fi
ort() { TMPDIR=$dir node "$here/ort.js" "$modules" "$@"; }
ort "$syc" "$models" "$golden" "$dir" > cases.out 2>&1
code=$?
grep -v '^ok' cases.out
if [ $code -eq 0 ]; then ok "golden cases in ONNX Runtime"; else bad "golden cases in ONNX Runtime" cases.out; fi

# same NAME MODEL SPEC ROUTE WEIGHTS DIM=N...: ONNX Runtime's outputs for drawn inputs are those of our own code, for the page SPEC
same() {
  name=$1 model=$2 spec=$3 route=$4 weights=$5
  shift 5
  rm -rf case && mkdir case
  if ort draw "$model" case/in.safetensors "$@" > out 2> err && ort run "$model" case/in.safetensors case/out.safetensors >> out 2>> err &&
    node "$here/make_case.js" case "$spec" "$route" "$weights" 2> err && "$syc" check "$(dirname "$spec")" --golden case --backend interp > out 2> err; then
    ok "$name"
  else
    bad "$name"
  fi
}
same "weights beside the model" apart.onnx "$models/vit.sy:tiny" classify vit.safetensors B=2
"$syc" weights init "$here/operators.sy" -o operators.safetensors 2> err
for route in elementwise rows modern products images moves attend; do
  run 0 "operators: $route" emit "$here/operators.sy" --routes $route -w operators.safetensors --ignore '*' --emit=onnx -o $route.onnx
  for dims in 'B=2 L=4' 'B=1 L=3' 'B=4 L=6'; do
    # shellcheck disable=SC2086
    same "operators: $route at $dims" $route.onnx "$here/operators.sy:operators" $route operators.safetensors $dims
  done
done
# and pages made of these files; the others have lengths that only segments can say
for route in elementwise products images; do
  mkdir -p pages
  cp operators.safetensors pages/$route.safetensors # of a model without weights
  run 0 "operators: a page of $route" import $route.onnx -o pages/$route.sy
  same "operators: the page of $route" $route.onnx "$dir/pages/$route.sy:$route" forward pages/$route.safetensors B=2 L=4
done
finish onnx

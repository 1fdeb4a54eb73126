#!/usr/bin/env bash
# demo.sh: builds Switchyard, compiles a small model that it trained itself and asks it about drawn scenes
# (examples/scenes), compiles a ViT-B/16 to an executable, classifies a picture with it, does the same in one
# process through LLVM where that is installed or can be, and compares all models with the outputs of their authors' code.
# Minutes the first time, seconds after that. Everything lies in build/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
exec < /dev/null

need_packages build llvm onnx
step "building build/bin/syc"
tests=OFF
pkg-config --exists criterion && tests=ON # as scripts/test.sh configures, so that neither undoes the other's work
quietly cmake --preset release -DENABLE_TESTS=$tests
quietly cmake --build build --target syc manual # the manual: cmake --install wants it
syc=build/bin/syc
demo=build/demo
mkdir -p $demo
export XDG_CACHE_HOME=$PWD/$demo/cache

# stale NAME FILE...: are the contents of the files others than when fresh NAME FILE... was called last? Times tell nothing:
# a file may be older than what was made of it and another one all the same.
stale() {
  local name=$1
  shift
  [ "$(cat $demo/$name.made_of 2> /dev/null)" != "$(sha256sum "$@" 2> /dev/null)" ]
}
fresh() {
  local name=$1
  shift
  sha256sum "$@" > $demo/$name.made_of
}

step "a small model that syc trained itself (examples/scenes): it answers, captions and searches"
scenes=$demo/scenes.d
parts="$syc build/lib/*.a models/scenes.sy models/std.sy models/losses.sy examples/scenes/scenes.safetensors"
# shellcheck disable=SC2086
if [ ! -x $demo/scenes ] || stale scenes $parts; then
  $syc build models/scenes.sy --routes answer,caption,image,text --weights examples/scenes/scenes.safetensors -o $demo/scenes --quiet
  fresh scenes $parts
fi
gcc -O2 -ffp-contract=off -I. examples/scenes/scenes.c data/random.c -lm -o $demo/draw_scenes
drawn="topleft small red circle center large blue square bottomright large green ring"
$demo/draw_scenes --draw "$drawn" --scale 4 -o $demo/scene.png
$demo/draw_scenes --split test --count 100 --pictures --scale 4 -o $scenes
echo "   $demo/scene.png was drawn as: $drawn"
words="--vocab examples/scenes/vocab.txt"
for question in "what color is the square" "where is the green ring" "is the red circle above the blue square" "how many large things are there"; do
  # shellcheck disable=SC2086
  echo "   $question? $($demo/scenes $demo/scene.png --text "$question" --route answer $words --labels examples/scenes/answers.txt | tail -n 1)"
done
# shellcheck disable=SC2086
{
  echo "caption: $($demo/scenes $demo/scene.png --route caption $words | sed 's/.*: //')"
  $demo/scenes embed $scenes -o $demo/scenes.npy
  $demo/scenes search $demo/scenes.npy "small yellow triangle" "black ring" --top 2 $words |
    while read -r score picture; do # with what the picture shows, where the line is one of a picture
      case $picture in
        *.png) echo "  $score  $picture, which shows: $(grep -m 1 "${picture##*/}" $scenes/scenes.jsonl | sed 's/.*"caption": "\([^"]*\)".*/\1/')" ;;
        *) echo "$score $picture" ;;
      esac
    done
} | sed 's/^/   /'
echo "   the same in a browser: examples/web/scenes/build.sh (WebAssembly; needs lld)"

step "making seeded weights for ViT-B/16: $demo/vit-base.safetensors"
if [ ! -s $demo/vit-base.safetensors ] || stale weights $syc models/vit.sy models/std.sy; then
  $syc weights init models/vit.sy:base --seed 1 -o $demo/vit-base.safetensors --quiet
  fresh weights $syc models/vit.sy models/std.sy
fi

step "compiling the model and packing its weights: $demo/vit, $demo/vit.syw"
parts="$syc build/lib/*.a models/vit.sy models/std.sy $demo/vit-base.safetensors"
# shellcheck disable=SC2086
if [ ! -s $demo/vit.syw ] || [ ! -x $demo/vit ] || stale vit $parts; then
  $syc build models/vit.sy:base --weights $demo/vit-base.safetensors -o $demo/vit --quiet
  fresh vit $parts
fi
du -h $demo/vit $demo/vit.syw | sed "s/^/   /"

step "drawing $demo/picture.jpg"
gcc -O1 examples/make_picture.c -ljpeg -lpng -o $demo/make_picture
$demo/make_picture $demo/picture.jpg 320 240

for more in '' '--repeat 5'; do
  step "$demo/vit $demo/picture.jpg --top 5 --time $more"
  # shellcheck disable=SC2086
  $demo/vit $demo/picture.jpg --top 5 --time $more | sed 's/^/   /'
done

has_llvm=no
grep -q '^sy_llvm_found:INTERNAL=[0-9]' build/CMakeCache.txt && has_llvm=yes
if [ $has_llvm = yes ]; then
  step "$syc run models/vit.sy:base --jit --weights $demo/vit-base.safetensors -- $demo/picture.jpg --top 5 --time"
  $syc run models/vit.sy:base --jit --weights $demo/vit-base.safetensors --quiet -- $demo/picture.jpg --top 5 --time | sed 's/^/   /'
else
  step "without LLVM nothing is compiled in this process (scripts/packages.txt lists what it needs); left out"
fi

cat << 'TEXT'

The weights are random numbers made from a seed, so the answer means nothing; the time and the arithmetic are real. With
torchvision's published weights the answer is real too:

  curl -O https://download.pytorch.org/models/vit_b_16-c867db91.pth
  build/bin/syc run models/vit.sy:base --weights vit_b_16-c867db91.pth -- photo.jpg --top 5

TEXT

step "syc explain models/vit.sy:base"
$syc explain models/vit.sy:base | head -n 24 | sed 's/^/   /'

jit=
[ $has_llvm = yes ] && jit='--backend jit' # of all models: a quarter of what a C compiler takes for them
step "comparing all models with their authors' outputs: syc check models --golden tests/golden $jit"
status=0
usual=forward,generate,op,preprocess,tokenize # training of all models takes compilers minutes: one of them, below
# shellcheck disable=SC2086
$syc check models --golden tests/golden --together --kinds $usual $jit > $demo/check.txt 2>&1 || status=$?
tail -n 12 $demo/check.txt | sed 's/^/   /'
echo "   (all of it: $demo/check.txt)"

step "training: gradients and three steps of a small ViT: syc check models/vit.sy --golden tests/golden --kinds train"
$syc check models/vit.sy --golden tests/golden --kinds train > $demo/train.txt 2>&1 || status=$?
tail -n 5 $demo/train.txt | sed 's/^/   /'
exit $status

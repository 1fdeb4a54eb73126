#!/usr/bin/env bash
# demo.sh: builds Switchyard, compiles a ViT-B/16 to an executable, classifies a picture with it, and compares all models
# with the outputs of their authors' code. Minutes the first time, seconds after that. Everything lies in build/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
exec < /dev/null

need_packages build
step "building build/bin/syc"
tests=OFF
pkg-config --exists criterion && tests=ON # as scripts/test.sh configures, so that neither undoes the other's work
quietly cmake --preset release -DENABLE_TESTS=$tests
quietly cmake --build build --target syc
syc=build/bin/syc
demo=build/demo
mkdir -p $demo

step "making seeded weights for ViT-B/16: $demo/vit-base.safetensors"
[ -s $demo/vit-base.safetensors ] || $syc weights init models/vit.sy:base --seed 1 -o $demo/vit-base.safetensors --quiet

step "compiling the model and packing its weights: $demo/vit, $demo/vit.syw"
if [ ! -s $demo/vit.syw ] || [ $syc -nt $demo/vit ] || [ $demo/vit-base.safetensors -nt $demo/vit.syw ]; then
  $syc build models/vit.sy:base --weights $demo/vit-base.safetensors -o $demo/vit --quiet
fi
du -h $demo/vit $demo/vit.syw | sed "s/^/   /"

step "drawing $demo/picture.jpg"
[ -x $demo/make_picture ] || gcc -O1 examples/make_picture.c -ljpeg -lpng -o $demo/make_picture
$demo/make_picture $demo/picture.jpg 320 240

for more in '' '--repeat 5'; do
  step "$demo/vit $demo/picture.jpg --top 5 --time $more"
  # shellcheck disable=SC2086
  $demo/vit $demo/picture.jpg --top 5 --time $more | sed 's/^/   /'
done

cat << 'TEXT'

The weights are random numbers made from a seed, so the answer means nothing; the time and the arithmetic are real. With
torchvision's published weights the answer is real too:

  curl -O https://download.pytorch.org/models/vit_b_16-c867db91.pth
  build/bin/syc run models/vit.sy:base --weights vit_b_16-c867db91.pth -- photo.jpg --top 5

TEXT

step "syc explain models/vit.sy:base"
$syc explain models/vit.sy:base | head -n 24 | sed 's/^/   /'

step "comparing all models with their authors' outputs: syc check models --golden tests/golden"
status=0
$syc check models --golden tests/golden --together > $demo/check.txt 2>&1 || status=$?
tail -n 12 $demo/check.txt | sed 's/^/   /'
echo "   (all of it: $demo/check.txt)"
exit $status

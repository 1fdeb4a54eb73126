#!/usr/bin/env bash
# train.sh [FOLDER [SYC [OPTIONS of syc train]]]: what examples/scenes/scenes.safetensors was made by: draws 64000 scenes, runs the
# three stages of models/scenes.sy, each from the weights of the one before it, and leaves everything in FOLDER (default
# build/scenes). Some minutes on two cores. The same bits with any number of threads on any machine with fma; a run that was
# killed goes on when the script is started again.
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")/../../build/scenes}")
syc=$(realpath "${2:-build/bin/syc}")
options=("${@:3}")
cd "$(dirname "$0")/../.."
mkdir -p "$folder"
gcc -O2 -ffp-contract=off -I. examples/scenes/scenes.c data/random.c -lm -o "$folder/scenes"
[ -s "$folder/train/scenes.safetensors" ] || "$folder/scenes" --split train --count 64000 -o "$folder/train"

# weights that a stage is the first to train begin as seeded ones
[ -s "$folder/start.safetensors" ] || "$syc" weights init models/scenes.sy --objective caption,answer,all --seed 1 -o "$folder/start.safetensors"
from=(-w "$folder/start.safetensors")
for stage in captions answers all; do
  goes_on=()
  [ ! -e "$folder/$stage/run.txt" ] || goes_on=(--resume)
  "$syc" train models/scenes.sy --stage $stage "${from[@]}" --data "$folder/train/scenes.safetensors" -o "$folder/$stage" "${goes_on[@]}" \
    "${options[@]}"
  from=(-w "$folder/start.safetensors" -w "$folder/$stage/last.safetensors")
done

# without what the optimiser keeps, in 16 bits
"$syc" weights convert "$folder/all/last.safetensors" --ignore "optimizer.*" --dtype f16 -o "$folder/scenes.safetensors"

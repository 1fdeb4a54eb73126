#!/bin/sh
# run.sh [SYC]: what takes a night: loops that look for what happens once in a thousand times. scripts/test.sh --nightly runs it
# behind everything else.
#
#   threads   every tiny model on 1 to 64 threads under TSan, ASan and UBSan: same bits, no report; wrong calls of the C interface
#   scenes    the training of examples/scenes from the first step: the weights that are in the tree, byte for byte
#   tokenizer a million drawn texts by 100 tokenizer.json files: the ids and texts of Hugging Face's library, where its npm
#             package `tokenizers` (0.23.2) is to be had by node (NODE_PATH)
#   embed     a folder of pictures embedded, killed at a random moment, resumed: the same file at the end
#
# SWITCHYARD_NIGHTLY: how many rounds of each (default 20; 1 is a quick look), or of one alone with SWITCHYARD_THREADS (of each
# model, under each sanitizer) and SWITCHYARD_EMBEDS. SWITCHYARD_MODELS: other models for the threads.
. "$(dirname "$0")/../checks.sh"
# SWITCHYARD_SECONDS: nothing is begun behind so many; what was left out is said.
rounds=${SWITCHYARD_NIGHTLY:-20}
began=$(date +%s)
# left SECONDS WHAT: are so many left?
left() {
  [ -z "$SWITCHYARD_SECONDS" ] || [ $(($(date +%s) - began + $1)) -le "$SWITCHYARD_SECONDS" ] || { skip "$2" "the time is over"; return 1; }
}
threads=${SWITCHYARD_THREADS:-$rounds} embeds=${SWITCHYARD_EMBEDS:-$rounds}

### threads and misuse
runtime="$source/runtime/pool.c $source/runtime/cpu.c $source/runtime/map.c $source/runtime/error.c"
for spec in ${SWITCHYARD_MODELS:-vit:tiny clip:tiny bert:tiny blip:caption_tiny vlmo:tiny beit3:tiny}; do
  left 0 "$spec on many threads" || continue
  "$syc" weights init $spec -q -o c.st 2> err && "$syc" weights pack $spec --weights c.st -q -o w.syw 2> err ||
    { bad "weights of $spec" err; continue; }
  for s in thread address,undefined; do
    if ! have clang; then skip "$spec under -fsanitize=$s" "no clang"; continue; fi
    if ! "$syc" build $spec --emit=so -q --cc "clang -g -fsanitize=$s" -o m.so > out 2> err; then bad "$spec with -fsanitize=$s" err; continue; fi
    # shellcheck disable=SC2086
    clang -g -O1 -std=c11 -D_GNU_SOURCE -fsanitize=$s -I"$source/runtime" "$source/tests/nightly/threads.c" $runtime -ldl -lpthread \
      -o threads 2> err || { bad "threads.c with -fsanitize=$s" err; continue; }
    check "$spec, $threads rounds, -fsanitize=$s" timeout 3600 ./threads ./m.so w.syw "$threads"
  done
done

### a whole training
if ! left 900 "the training of examples/scenes"; then :
elif "$syc" help isa --json | grep -q '"fma": true.*"runs_here": true'; then
  check "examples/scenes is trained" "$source/examples/scenes/train.sh" "$dir/trained" "$syc"
  check "its weights are those of the tree" cmp trained/scenes.safetensors "$source/examples/scenes/scenes.safetensors"
else
  skip "the training of examples/scenes" "a machine without fma has other bits"
fi

### a million texts by tokenizer.json
if [ -x "$build/tests/unit-host_hf" ] && have node && node -e 'require("tokenizers")' 2> /dev/null; then
  check "tokenizer.json: texts by the library" node "$source/tests/reference/hf_tokenizers.js" "$dir/texts" --texts 10000 --seed "${SWITCHYARD_SEED:-1}"
  check "tokenizer.json: the same ids and texts" env SWITCHYARD_HF="$dir/texts" "$build/tests/unit-host_hf" --filter 'hf/ids*'
else
  skip "a million texts by tokenizer.json" "node does not find the package tokenizers"
fi

### killed and resumed embeds
"$syc" weights init clip:tiny -q -o c.st && "$syc" build clip:tiny --routes image -q -w c.st -o clip > out 2> err || bad "clip" err
mkdir -p photos
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
  { printf 'P6\n64 48\n255\n'; awk -v s=$i 'BEGIN { srand(s); for (i = 0; i < 9216; i++) printf "%c", 32 + int(90 * rand()) }'; } > photos/$i.ppm
done
run_embed() { ./clip embed photos -o "$1" --batch 1 > out 2> err; }
if [ -x clip ] && run_embed whole.npy; then
  n=0
  while [ $n -lt "$embeds" ]; do
    [ $n -eq 0 ] || left 0 "embeds from $n on" || break
    n=$((n + 1))
    rm -f cut.npy cut.npy.part
    run_embed cut.npy &
    pid=$!
    sleep "0.0$((n * 7 % 10))$((n * 3 % 10))"
    kill -KILL $pid 2> /dev/null
    wait $pid 2> /dev/null
    run_embed cut.npy || { bad "embed, resumed after a kill ($n)" err; break; }
    cmp -s whole.npy cut.npy || { bad "embed, killed and resumed ($n): another file"; break; }
  done
  [ $n -gt 0 ] && ok "embed killed and resumed $n times"
else bad "embed" err; fi
finish nightly

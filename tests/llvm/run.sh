#!/bin/sh
# run.sh [SYC]: the LLVM back end as a user meets it: text, bitcode, assembly, objects for other machines, executables
# without a C compiler, in process, WebAssembly in node and in a browser; wrong triples, processors, linkers.
#
# SYC, SOURCE_DIR and BUILD_DIR come from ctest. One line a check: "ok NAME", "FAILED NAME" with what was seen, "skipped
# NAME: reason". Exit status 1 if a check failed, 77 if this syc has no LLVM.
here=$(cd "$(dirname "$0")" && pwd)
source=${SOURCE_DIR:-$(cd "$here/../.." && pwd)}
syc=${1:-${SYC:-$source/build/bin/syc}}
case $syc in /*) ;; *) syc=$PWD/$syc ;; esac
dir=$(mktemp -d)
server= browser=
trap 'for one in $server $browser; do kill "$one" 2> /dev/null; done; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM HUP
cd "$dir" || exit 1
export XDG_CACHE_HOME="$dir/cache" TMPDIR="$dir" LC_ALL=C
unset CC
failed=0

ok() { echo "ok $1"; }
skip() { echo "skipped $1: $2"; }
bad() {
  failed=$((failed + 1))
  echo "FAILED $1"
  cut -c1-200 out err 2> /dev/null | head -n 20 | sed 's/^/    /'
}
# run CODE NAME COMMAND...: the command must exit with CODE; leaves its output in out and err
run() {
  want=$1 name=$2
  shift 2
  "$@" > out 2> err < /dev/null
  got=$?
  if [ $got -eq "$want" ]; then ok "$name"; else bad "$name: exit status $got, not $want"; fi
}
says() { # NAME PATTERN [FILE]
  if grep -q -e "$2" "${3:-err}"; then ok "$1"; else bad "$1: no '$2'"; fi
}
same() { if cmp -s "$2" "$3"; then ok "$1"; else bad "$1: $2 and $3 differ"; fi; }
absent() { if [ -e "$2" ]; then bad "$1: there is a $2"; else ok "$1"; fi; }
have() { command -v "$1" > /dev/null 2>&1; }

### without LLVM it says what to install
"$syc" emit vit:tiny --emit=llvm -o - > out 2> err
if grep -q 'built without LLVM' err; then
  if grep -q 'llvm-19-dev' err; then ok "without LLVM: what to install"; else bad "without LLVM: what to install"; fi
  run 2 "without LLVM: --backend=llvm is an error" "$syc" build vit:tiny --backend=llvm -o x
  absent "without LLVM: nothing is left behind" x
  echo "skipped: this syc was built without LLVM"
  [ $failed -eq 0 ] || exit 1
  exit 77
fi

### forms of output
cp out tiny.ll
run 0 "the text names its kernels" grep -q '^define internal void @vit__gemm_.*_avx2' tiny.ll
run 0 "the text has debug lines of the page" grep -q '!DIFile(filename: "vit.sy"' tiny.ll
# the file and line of a kernel, as in the C that the other back end emits
std=$(sed -n 's/^\(![0-9]*\) = !DIFile(filename: "std.sy".*/\1/p' tiny.ll)
line=$("$syc" emit vit:tiny --emit=c -o - | sed -n 's/.*vit__k_layer_norm_32, .*: std.sy:\([0-9]*\) .*/\1/p' | head -n 1)
run 0 "a kernel of std.sy has its line there" grep -q "DISubprogram(name: \"vit__layer_norm_32_avx2\".* file: $std, line: $line," tiny.ll
run 1 "no fast-math flag anywhere" grep -qE '\b(fast|reassoc|nnan|ninf|nsz|arcp|afn|contract)\b (<|float)' tiny.ll
run 0 "the public functions are there" grep -q '^define .*i32 @vit_classify(ptr' tiny.ll
run 0 "bitcode" "$syc" emit vit:tiny --emit=bc -o tiny.bc
run 0 "bitcode begins with BC" sh -c 'head -c 2 tiny.bc | grep -q BC'
run 0 "assembly" "$syc" emit vit:tiny --emit=asm --isa avx2 -o tiny.s
run 0 "assembly has fused multiply-adds" grep -q vfmadd tiny.s
run 0 "equal programs give equal objects" sh -c '"$0" emit vit:tiny --emit=obj --backend=llvm -o one.o && "$0" emit vit:tiny --emit=obj --backend=llvm -o two.o' "$syc"
same "equal programs give equal objects, byte for byte" one.o two.o

### other machines
for triple in aarch64-linux-gnu riscv64-linux-gnu wasm32 powerpc64le-linux-gnu s390x-linux-gnu i686-linux-gnu armv7-linux-gnueabihf; do
  run 0 "an object for $triple" "$syc" emit vit:tiny --target=$triple --emit=obj -o "$triple.o"
done
run 0 "a processor by name" "$syc" emit vit:tiny --target=riscv64-linux-gnu --mcpu=sifive-u74 --emit=asm -o rv.s
run 0 "features" "$syc" emit vit:tiny --target=riscv64-linux-gnu --mattr=+m,+a,+f,+d,+c,+v --emit=asm -o rvv.s
version=$("$syc" emit vit:tiny --target=nonsense 2>&1 | sed -n 's/.*LLVM \([0-9]*\).*/\1/p')
if [ "${version:-0}" -ge 16 ]; then
  run 0 "the vector extension is used" grep -q vsetivli rvv.s
else
  skip "the vector extension is used" "LLVM $version uses it for vectors of fixed length only when told their least size"
fi

### code for other machines, run
run 2 "check: a machine without an emulator" "$syc" check vit --golden "$source/tests/golden/vit_torchvision" --target=s390x-linux-gnu
says "check: which machines there are" 'aarch64, riscv64 and wasm32, not for s390x-linux-gnu'
run 2 "check: --target with the interpreter" "$syc" check vit --golden "$source/tests/golden/vit_torchvision" --target=wasm32 --backend=interp
checks() { # TRIPLE WHAT IT NEEDS...: the cases of one set pass there
  triple=$1
  shift
  for tool; do
    have "$tool" || ls /usr/bin/"$tool"-* > /dev/null 2>&1 || { skip "check for $triple" "no $tool"; return; }
  done
  run 0 "check for $triple" "$syc" check vit --golden "$source/tests/golden/vit_torchvision" --target="$triple"
  says "check for $triple: cases passed" '^[1-9][0-9]* passed, 0 failed' out
}
checks wasm32 node wasm-ld
checks riscv64-linux-gnu qemu-riscv64 riscv64-linux-gnu-gcc ld.lld
checks aarch64-linux-gnu qemu-aarch64 aarch64-linux-gnu-gcc ld.lld

### executables and libraries; with PATH without any compiler
"$syc" weights init vit:tiny -o tiny.st -q
mkdir -p bin
for tool in ld ar; do have $tool && ln -s "$(command -v $tool)" bin/$tool; done
if have ld; then
  run 0 "an executable without a C compiler" env PATH="$dir/bin" "$syc" build vit:tiny --backend=llvm --weights tiny.st -o vt
  run 0 "without a C compiler LLVM is taken" env PATH="$dir/bin" "$syc" build vit:tiny -o vn
  says "without a C compiler: says so" 'LLVM makes the code'
  run 3 "without a C compiler, C asked for" env PATH="$dir/bin" "$syc" build vit:tiny --backend=c -o vc
  run 0 "the executable passes its self-test" ./vt --selftest
  run 0 "the executable classifies" ./vt "$source/tests/fuzz/corpus/fuzz_image/rgba.png" --top 3
  cp out by_llvm
  run 0 "the same through C" "$syc" run vit:tiny --weights tiny.st -- "$source/tests/fuzz/corpus/fuzz_image/rgba.png" --top 3
  same "the executable says what the C executable says" out by_llvm
  run 0 "in process" "$syc" run vit:tiny --jit --weights tiny.st -- "$source/tests/fuzz/corpus/fuzz_image/rgba.png" --top 3
  same "in process: the same again" out by_llvm
  run 0 "in process, from the cached object" "$syc" run vit:tiny --jit --weights tiny.st -- "$source/tests/fuzz/corpus/fuzz_image/rgba.png" --top 3
  run 0 "one object a program and instruction set" sh -c '[ "$(ls "$XDG_CACHE_HOME"/switchyard/*.o | wc -l)" -eq 1 ]'
  run 0 "a library" "$syc" build vit:tiny --backend=llvm -o libvit.a
else
  skip "executables" "no ld"
fi
if have gcc; then
  "$syc" emit vit:tiny --emit=h -o vit.h
  cat > use.c << 'END'
#include "vit.h"
int main(void) { return vit_describe()->nroute == 2 && vit_strerror(0) && vit_init(0, 0) == VIT_EINVAL ? 0 : 1; }
END
  run 0 "a C program links the library" sh -c 'gcc -o use use.c libvit.a && ./use'
  run 0 "two models in one program" sh -c '"$0" build bert:tiny --backend=llvm -o libbert.a && "$0" emit bert:tiny --emit=h -o bert.h &&
    printf "#include \"vit.h\"\n#include \"bert.h\"\nint main(void) { return !(vit_describe() && bert_describe()); }\n" > both.c &&
    gcc -o both both.c libvit.a libbert.a && ./both' "$syc"
fi

### mistakes
run 2 "an unknown triple" "$syc" build vit:tiny --target=pdp11-dec-unix -o libx.a
says "an unknown triple: which" "no target 'pdp11-dec-unix'"
run 2 "an instruction set of another machine" "$syc" build vit:tiny --target=riscv64-linux-gnu --isa avx2 -o libx.a
says "an instruction set of another machine: says so" 'riscv64-linux-gnu has no avx2'
run 2 "an executable for another machine" "$syc" build vit:tiny --target=riscv64-linux-gnu -o x
says "an executable for another machine: what to do" 'make --emit=obj and link it there'
run 2 "--target with the C back end" "$syc" build vit:tiny --target=riscv64-linux-gnu --backend=c -o x
run 2 "--mcpu with the C back end" "$syc" build vit:tiny --mcpu=znver3 --backend=c -o x
says "--mcpu with the C back end: what to say instead" '--mcpu needs --backend=llvm'
run 2 "an unknown back end" "$syc" build vit:tiny --backend=gcc -o x
says "an unknown back end: those there are" 'none of c|llvm'
run 2 "an unknown processor" "$syc" build vit:tiny --target=riscv64-linux-gnu --mcpu=z80 -o libx.a
says "an unknown processor: which" "z80"
run 2 "an unknown feature" "$syc" build vit:tiny --target=riscv64-linux-gnu --mattr=+warp -o libx.a
says "an unknown feature: which" "warp"
run 3 "no linker" env PATH=/nowhere "$syc" build vit:tiny --backend=llvm -o x
says "no linker: what to install" 'binutils or lld'
run 3 "no ar" env PATH=/nowhere "$syc" build vit:tiny --backend=llvm -o libx.a
says "no ar: what to install" 'install binutils'
run 3 "an output that cannot be written" "$syc" emit vit:tiny --emit=obj --backend=llvm -o /nowhere/x.o
for file in x libx.a; do absent "mistakes leave nothing behind ($file)" $file; done
run 0 "no temporary folder is left" sh -c '! ls -d .syc-* syc-* 2> /dev/null | grep .'

### WebAssembly
cp "$source"/examples/web/*.js "$source"/examples/web/index.html .
if ! have wasm-ld && ! ls /usr/bin/wasm-ld-* > /dev/null 2>&1; then
  skip "WebAssembly" "no wasm-ld"
else
  run 0 "a module for WebAssembly" "$syc" build vit:tiny --dim B=1 --weights tiny.st -o vit.wasm
  mv vit.wasm.syw vit.syw
  if have node && have od; then
    "$syc" build vit:tiny --dim B=1 --isa portable --backend=llvm --weights tiny.st -o vb -q
    node -e 'const a = Float32Array.from({length: 3072}, (_, i) => Math.sin(i)); process.stdout.write(Buffer.from(a.buffer))' > pixels
    node -e 'const h = "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (1, 3, 32, 32), }".replace(/"/g, "\x27").padEnd(117) + "\n";
      process.stdout.write(Buffer.concat([Buffer.from([0x93]), Buffer.from("NUMPY\x01\x00v\x00" + h), require("fs").readFileSync("pixels")]))' > pixels.npy
    run 0 "it runs in node" sh -c 'node classify.js vit.wasm vit.syw < pixels'
    cp out by_node
    run 0 "the same here" ./vb --route classify --input image=pixels.npy --out logits.npy
    node -e 'const b = require("fs").readFileSync("logits.npy").subarray(-40); for (let i = 0; i < 10; i++) console.log(b.readFloatLE(4 * i).toPrecision(9))' > by_us
    same "node gives the same bits" by_node by_us
    training='vit:tiny --dim B=4 --objective classify --gradients --routes classify' # routes and objectives in one module
    # shellcheck disable=SC2086
    {
      run 0 "a module that trains, for WebAssembly" "$syc" emit $training --emit=wasm -o train.wasm
      mkdir -p train
      run 0 "a module that trains, in C" "$syc" emit $training --isa portable -o train/vit.c
      run 0 "its weights" "$syc" weights pack $training --weights tiny.st -o train.syw -q
    }
    if have gcc; then
      state=$(sed -n 's/^#define VIT_TRAIN_BYTES UINT64_C(\([0-9]*\)).*/\1/p' train/vit.h)
      run 0 "steps in node" node "$here/train.js" train.wasm train.syw "$state"
      cp out by_node
      run 0 "the same steps in C" sh -c 'gcc -O1 -ffp-contract=off -Itrain "$0/train.c" train/vit.c -o steps -lm && ./steps train.syw' "$here"
      cp out by_us
      same "training in node gives the same bits" by_node by_us
    fi
    head -c 1000 vit.syw > short.syw
    run 1 "a cut weight file is an error in node" sh -c 'node classify.js vit.wasm short.syw < pixels'
    says "a cut weight file: what is wrong" 'the weight file has 1000 bytes'
  else
    skip "WebAssembly in node" "no node"
  fi
  if have chromium && have node; then
    node "$here/page_server.js" "$dir" > port &
    server=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do [ -s port ] || sleep 0.3; done
    # browse URL: the page is open, by the clock of this machine, until it has posted its report, or for two minutes
    browse() {
      rm -f report
      chromium --headless --no-sandbox --disable-gpu --remote-debugging-port=0 --user-data-dir="$dir/profile" "$1" \
        > out 2> err < /dev/null &
      browser=$!
      i=0
      while [ ! -e report ] && [ $((i += 1)) -le 600 ]; do sleep 0.2; done
      kill $browser
      wait $browser
      browser=
      [ -e report ] || echo "the page has posted nothing" > report
    }
    browse "http://127.0.0.1:$(cat port)/test.html"
    says "a picture dropped on the page is classified" '<td>class [0-9]</td><td>[0-9.]* %</td>' report
    says "the page says how long it took" 'drawn.png: [0-9.]* ms' report

    # the demo model: from the disk, without a server; answers and caption are those of the native program on the same pixels
    run 0 "the page of the demo model is built" env SYC="$syc" "$source/examples/web/scenes/build.sh" "$dir/page"
    sed "s|</body>|<script src=\"scenes_page.js\"></script></body>|" page/index.html > page/test.html
    cp "$here/scenes_page.js" page
    browse "file://$dir/page/test.html?$(cat port)"
    node -e 'const hex = require("fs").readFileSync("report", "utf8").match(/^pixels ([0-9a-f]+)$/m)[1];
      process.stdout.write(Buffer.concat([Buffer.from("P6\n48 48\n255\n"), Buffer.from(hex, "hex")]))' > scene.ppm
    scenes="$source/examples/scenes"
    run 0 "the demo model in process" "$syc" run "$source/models/scenes.sy" --routes answer,caption --jit --quiet -w "$scenes/scenes.safetensors" \
      -- scene.ppm --route caption --vocab "$scenes/vocab.txt"
    sed 's/.*: /caption /' out > native
    grep '^answer ' report | sed 's/^answer //; s/ = .*//' | while read -r question; do
      echo "answer $question = $("$syc" run "$source/models/scenes.sy" --routes answer,caption --jit --quiet -w "$scenes/scenes.safetensors" -- scene.ppm \
        --text "$question" --route answer --vocab "$scenes/vocab.txt" --labels "$scenes/answers.txt" --top 1 | tail -n 1 | awk '{print $NF}')"
    done >> native
    grep '^answer \|^caption ' report | sort > page.said
    sort native > native.said
    same "the page answers and captions a drawn scene as the native program does" page.said native.said
    says "the page answers" 'answer what color is the square = blue' report
    says "the page takes a dropped picture" 'dropped blue, topleft small red circle center large blue square bottomright large green ring' report
    says "the page names words that it does not know" 'note words that the model does not know: zebra' report
    says "the page by keys" '^at center: empty' report
    says "the page by keys: put" '^put center: large green ring' report
    says "the page by keys: emptied" '^emptied center: empty' report
    says "every control of the page has a name" '^controls without a name: 0' report
  else
    skip "WebAssembly in a browser" "no chromium"
  fi
fi

[ $failed -eq 0 ] && echo "llvm: all well" || echo "llvm: $failed FAILED"
[ $failed -eq 0 ]

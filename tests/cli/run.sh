#!/bin/sh
# run.sh [SYC]: the command as a user meets it: help, mistakes, streams, outputs that are whole or absent, emitted C under
# strict compilers, a compiled model with good and broken pictures, weights that do not fit, an installation.
#
# Needs gcc. SYC, SOURCE_DIR and BUILD_DIR come from ctest; without them the build in build/ is taken. One line a check:
# "ok NAME", "FAILED NAME" with what was seen, "skipped NAME: reason". Exit status 1 if a check failed.
. "$(dirname "$0")/../checks.sh"
# documented NAME: docs/command.md has every option of the help in out
documented() {
  sed -n 's/^  \(--[a-z-]*\).*/\1/p' out > options
  : > seen
  while read -r o; do grep -q -e "$o\b" "$source/docs/command.md" || echo "$o" >> seen; done < options
  if [ -s seen ] || [ ! -s options ]; then bad "docs/command.md misses options of $1" seen; else ok "docs/command.md has the options of $1"; fi
}

### help
run 0 "help" help
says "help lists the commands" '^  explain ' out
check "help fits a screen" [ "$(wc -l < out)" -le 40 ]
run 0 "--help" --help
run 0 "--version" --version
says "--version names a number" '[0-9]\.[0-9]' out
run 2 "no arguments" ''
run 0 "--help=all" --help=all
for c in build emit run check bench explain fmt weights help; do
  says "--help=all has $c" "^Usage: syc $c" out
done
for c in build emit run check bench explain fmt weights help; do
  run 0 "$c --help" $c --help
  cp out page
  run 0 "help $c" help $c
  check "help $c is $c --help" cmp out page
  says "$c has options" '^  -h, --help' page
  says "$c has examples" "^  .*syc $c" page
  sed -n 's/^  -., \(--[a-z-]*\).*/\1/p; s/^      \(--*[A-Za-z-]*\).*/\1/p' page | sort -u > options
  : > seen
  while read -r o; do grep -q -e "$o" "$source/docs/command.md" || echo "$o" >> seen; done < options
  if [ -s seen ]; then bad "docs/command.md misses options of $c" seen; else ok "docs/command.md has the options of $c"; fi
done
run 0 "help emit" help emit
says "help emit explains the kinds" '^  kir  ' out
run 0 "help models" help models
says "help models lists presets" 'vit .*tiny' out
check "... and no page without a model" sh -c '! grep -q -e "^  *[a-z]*_blocks" -e "^  std" out'
says "... which it names as blocks" 'use NAME.*: .*bert_blocks.* std' out
run 0 "help isa" help isa
says "help isa lists what sets need" '^  avx2 .*x86_64 with avx2,fma' out
says "... and what this machine has" '^  portable .* runs here$' out
run 0 "... as JSON" help isa --json
says "... a set a line" '"name": "avx2", "title": "AVX2", "family": "x86_64", "features": "avx2,fma,f16c", "fma": true, "lanes": 8, ' out
says "... that runs here" '"name": "portable", .*"runs_here": true' out
run 2 "JSON of other help" help models --json
says "... says what has some" 'syc help isa --json'
run 2 "... of all" help --json
run 2 "help on a wrong word" help biuld
says "near word" "'build'"
run 0 "man page" help --man
says "man page is roff" '^\.TH SYC 1' out
while read -r o; do grep -q "$(echo "$o" | sed 's/-/\\\\-/g')" out || bad "the man page does not know $o"; done < options
if have man; then
  cp out syc.1
  check "man page has no roff warnings" sh -c 'test -z "$(MANROFFSEQ= man --warnings -E UTF-8 -l -Tutf8 -Z syc.1 2>&1 > /dev/null)"'
else skip "man page warnings" "no man"; fi
for shell in bash zsh fish; do
  run 0 "completions for $shell" help --completions=$shell
  cp out syc.$shell
  if have $shell; then check "$shell reads them" $shell -n syc.$shell; else skip "$shell reads them" "no $shell"; fi
done
if have bash; then
  bash -c '. ./syc.bash; COMP_WORDS=(syc emit --dump); COMP_CWORD=2; _syc; echo "${COMPREPLY[@]}"' > out 2> err
  says "bash completes an option" '^--dump-after$' out
fi
run 2 "completions for another shell" help --completions=tcsh

### usage errors
run 2 "unknown command" biuld vit:tiny
says "near command" "did you mean 'build'"
run 2 "unknown option" build vit:tiny --weihgts=x
says "near option" "did you mean '--weights'"
run 2 "option of another command" fmt --golden x
run 2 "option without its value" emit vit:tiny --isa
run 2 "flag with a value" emit vit:tiny --remarks=yes
run 2 "number that is none" bench vit:tiny --threads=many
run 2 "define without =" emit vit:tiny -D dim
run 2 "unknown kind" emit vit:tiny --emit=nonsense
says "kinds are named" 'syc help emit'
best=$(sets_here | tail -n 1)
case $best in neon) other_isa=avx2 ;; *) other_isa=neon ;; esac
"$syc" weights init vit:tiny -q -o t_isa.safetensors
"$syc" build vit:tiny --isa "portable,$best" -q -w t_isa.safetensors -o t_isa < /dev/null
run 2 "an instruction set of another machine" build vit:tiny --isa $other_isa -o x.o
says "... those of this one are named" "has portable, .*$best"
check "... nothing is written" [ ! -e x.o ]
run 2 "... among others" build vit:tiny --isa "$other_isa,portable" -o x
run 2 "... to run" run vit:tiny --isa $other_isa -- --describe
run 2 "... to measure" bench vit:tiny --isa $other_isa --rounds 1
run 0 "... C for it can be printed" emit vit:tiny --isa $other_isa --emit=c -o t_isa.c
./t_isa --selftest --isa $other_isa > out 2> err
check "... a program refuses it" [ $? -ne 0 ]
says "... and names its own" 'portable'
run 2 "unknown instruction set" emit vit:tiny --emit=c --isa=sse9
says "instruction sets are named" 'avx2, .*avx512'
run 2 "no spec" emit
run 2 "two specs" emit vit:tiny clip
run 2 "unknown pass" emit vit:tiny --dump-after=nothing
run 2 "unknown run-time dim" emit vit:tiny --dim Z=1
run 2 "run-time dim out of bounds" emit vit:tiny --dim B=1000
for page in vilt vlmo uniter vl_bert beit3; do run 0 "a text of two words at most: $page" emit $page:tiny --dim L=2 --emit=kir -o last.kir; done
run 2 "prefix that is no identifier" emit vit:tiny --emit=c --prefix=a-b
run 2 "a binary to a stream" emit vit:tiny --emit=obj -o -
run 2 "unknown diagnostics form" emit vit:tiny --diagnostics=xml
run 2 "unknown colour" emit vit:tiny --color=pink

### exit codes, diagnostics
printf 'use std\nmodel m(n = 4) {\n  route r(x: f32[n]) -> y: f32[n] {\n    return x + nme\n  }\n}\n' > wrong.sy
run 1 "wrong program" emit wrong.sy
says "message has its place" '^wrong.sy:4:'
says "message has a caret" '\^'
if grep -q "$(printf '\033')" err; then bad "no colour in a file"; else ok "no colour in a file"; fi
for type in f16 bf16; do # types to keep numbers in: computing in them is said at its place
  printf 'model m() {\n  dim B = 1..4\n  route r(x: %s[B, 4]) -> y {\n    return x + x\n  }\n}\n' "$type" > half.sy
  run 1 "a sum of $type" emit half.sy -o half.c
  says "... has a message" '^half.sy:4:.*keep numbers in.*E0303'
  printf 'model m() {\n  dim B = 1..4\n  route r(x: f32[B, 4]) -> y {\n    return cast(x, %s)\n  }\n}\n' "$type" > half.sy
  run 0 "an output of $type" emit half.sy -o half.c
done
run 1 "colour on request" emit wrong.sy --color=always
if grep -q "$(printf '\033')" err; then ok "colour is there"; else bad "colour is there"; fi
CLICOLOR_FORCE=1 "$syc" emit wrong.sy 2> err > out
if grep -q "$(printf '\033')" err; then ok "CLICOLOR_FORCE"; else bad "CLICOLOR_FORCE"; fi
NO_COLOR=1 "$syc" emit wrong.sy 2> err > out
if grep -q "$(printf '\033')" err; then bad "NO_COLOR"; else ok "NO_COLOR"; fi
run 3 "missing file" emit no/such.sy
says "missing file is named" 'no/such.sy'
run 3 "folder instead of a file" emit "$dir"
run 1 "preset that is not there" emit vit:nosuch
run 1 "parameter that is not there" emit vit:tiny -D nosuch=1
run 1 "route that is not there" emit align:tiny --routes nothing
says "... those that are there are named" 'hint: its routes: image, text, retrieve'
run 1 "route that is nearly there" emit align:tiny --routes imag
says "... the near one comes first" "did you mean 'image'? Its routes: image, text, retrieve"
run 3 "output folder that is not there" emit vit:tiny -o no/such/folder/x.ir
check "nothing half-written" [ ! -e no ]

cat > json.c << 'END'
#include <cjson/cJSON.h>
#include <stdio.h>
int main(void) {
  static char text[1 << 24];
  text[fread(text, 1, sizeof text - 1, stdin)] = 0;
  return !cJSON_ParseWithOpts(text, 0, 1);
}
END
gcc json.c -o json -lcjson 2> err > out || bad "compiling a JSON reader"
is_json() { ./json < "$1"; }
for program in wrong.sy no-such.sy vit:nosuch; do
  "$syc" emit $program --diagnostics=json 2> err > out
  check "--diagnostics=json, $program" is_json err
done
"$syc" build vit:tiny --nonsense --diagnostics=json 2> err > out
[ $? -eq 2 ] && ok "usage error with --diagnostics=json" || bad "usage error with --diagnostics=json"

### streams, response files, dependencies
run 0 "emit to standard output" emit vit:tiny --emit=ir -o -
cp out vit.ir
run 0 "emit to a file" emit vit:tiny --emit=ir -o file.ir
check "the same text" cmp vit.ir file.ir
if "$syc" emit - -D size=32 -D patch=8 -D dim=32 -D depth=2 -D heads=4 -D classes=10 < "$source/models/vit.sy" > stream.ir 2> err; then
  ok "spec from standard input"
else bad "spec from standard input"; fi
check "the same routes" grep -q 'classify' stream.ir
printf '\357\273\277# a comment\nvit:tiny "--emit=ir"\n-o "with blank.ir"\n' > args
run 0 "response file" emit @args
check "response file: same text" cmp vit.ir "with blank.ir"
run 3 "response file that is not there" emit @nosuch
printf '@loop\n' > loop
run 3 "response file that names itself" emit @loop
printf '@a1 @a1 @a1 @a1 @a1 @a1 @a1 @a1' > a0
for i in 1 2 3 4 5; do sed "s/@a1/@a$((i + 1))/g" a0 > a$i; done
printf '#%0100000d\n' 0 > a6
run 3 "response files that grow without end" emit @a0
says "... says so" 'more than 16 MB'
{ yes x | head -n 100001; } > words
run 2 "too many words" emit @words
mkdir specs
cp "$source/models/vit.sy" "$source/models/std.sy" specs/
run 0 "-MD" emit specs/vit.sy:tiny --emit=c -MD -o dep.c
says "-MD names the output" '^dep.c:' dep.c.d
says "-MD names the spec" 'specs/vit.sy' dep.c.d
says "-MD names used files" 'specs/std.sy' dep.c.d
run 0 "several kinds" emit vit:tiny --emit=c,ir,kir -o many
check "... many.c many.h many.ir many.kir" ls many.c many.h many.ir many.kir
run 0 "every text kind" emit vit:tiny --emit=ast,ir,ir@fuse,kir,c,h,dot,json -o all
[ -f all.json ] && check "json is JSON" is_json all.json
if have python3; then
  cat > plan.py <<'EOF'
import json, sys
j = json.load(open(sys.argv[1]))
for r in j['routes']:
    tensors = {t['id']: t for t in r['tensors']}
    steps = r['steps']
    assert len(steps) == r['launches'] == sum(k['calls'] for k in r['kernels'])
    for key in 'flops', 'bytes':
        total = sum(s[key] for s in steps)
        assert abs(total - r[key]) <= 1e-9 * total and abs(total - sum(k[key] for k in r['kernels'])) <= 1e-9 * total
    for i, s in enumerate(steps):
        assert s['step'] == i and s['writes'] in tensors and s['tasks'] >= 1 and s['ops']
        assert all(0 <= w < len(j['packed']) for w in s['weights'])
        home = tensors[s['writes']]
        while home['place']['kind'] == 'tensor': home = tensors[home['place']['id']]
        assert home['first'] <= i <= home['last']
        for t in (tensors[x] for x in s['reads']):
            assert t['op'] in ('input', 'state') or t['first'] <= i <= t['last'], (t, i)
    arena = [t for t in tensors.values() if t['place']['kind'] == 'arena']
    assert all(t['place']['offset'] + t['bytes'] <= r['arena_bytes'] for t in arena)
    for a in arena:
        for b in arena:
            if a['id'] < b['id'] and a['first'] <= b['last'] and b['first'] <= a['last']:
                assert a['place']['offset'] + a['bytes'] <= b['place']['offset'] or b['place']['offset'] + b['bytes'] <= a['place']['offset']
assert all(a['offset'] + a['bytes'] <= b['offset'] for a, b in zip(j['packed'], j['packed'][1:]))
assert j['packed'][-1]['offset'] + j['packed'][-1]['bytes'] == j['weights']['packed_bytes']
EOF
  check "the JSON of a plan holds together" python3 plan.py all.json
  for spec in blip:caption_tiny clip:tiny vlmo:tiny align:tiny; do
    "$syc" emit $spec --emit=json -o plan.json 2> err && check "... of $spec" python3 plan.py plan.json
  done
  printf 'model w() {\n  dim B = 1..4\n  route r(x: f32[B, 10], a: f32[B, 3, 4], b: f32[B, 4, 5]) -> y: f32[B, 10], z: f32[B, 3, 5] {\n    return x + x, matmul(a, b)\n  }\n}\n' > w.sy
  run 0 "work is counted" explain w.sy --json
  check "... by elements, not by whole tasks" python3 -c 'import json; s = json.load(open("out"))["routes"][0]["steps"]; assert [(x["flops"], x["bytes"]) for x in s] == [(10, 80), (120, 188)], s'
else skip "the JSON of a plan" "no python3"; fi
run 0 "running means and variances" explain align:base
says "... are no parameters" '171\.53 M parameters' out
run 0 "--print-passes" emit --print-passes
says "passes are listed" '^fuse' out
cut -d' ' -f1 out > passes
run 0 "--dump-after=all" emit vit:tiny --dump-after=all -o last.ir
says "dumps are there" '# after fuse'
run 0 "--time-passes" emit vit:tiny --time-passes -o last.ir
run 0 "--remarks" emit vit:tiny --remarks -o last.ir
says "... say what is fused" 'kernel [0-9]* is linear ([^)]*) with gelu (models/vit.sy'
says "... and never that it is not" 'layer_norm is not fused with what computes %[0-9]* (add): 2 values read it'
check "... of what is" sh -c '! grep -q "add is not fused" err'
says "... and where values lie" 'lies at [0-9]* of the arena, .* where %[0-9]* was until kernel'
run 0 "a dump" emit vit:tiny --emit=ir@fuse -o fused.ir
run 0 "a dump is an input" emit fused.ir --emit=ir@fuse -o again.ir --start-from="$(sed -n '/^fuse$/{n;p;}' passes)"
run 0 "... and goes on behind its pass" emit fused.ir -o rest.ir
run 0 "... to the same end" emit vit:tiny -o end.ir
check "... but for places in the page" sh -c 'sed "s/ *#.*//" rest.ir > rest; sed "s/ *#.*//" end.ir | cmp - rest'
sed 's/^\(  %[0-9]* = layer_norm .*\) group [0-9]*/\1 group 1/' fused.ir > edited.ir
run 1 "groups by hand that no kernel can compute" emit edited.ir --emit=c -o edited.c
says "... are named" '%[0-9]* = .*E0310'
check "... and nothing is written" [ ! -e edited.c ]
sed 's/ after fuse//' fused.ir > old.ir
run 0 "a dump that does not say its pass" emit old.ir -o old2.ir
says "... is computed anew, and that is said" 'W0001'
run 1 "an earlier pass of a dump" emit rest.ir --emit=ir@fold
says "... needs --start-from" 'E0311'
# functions that say by their result alone that they failed
dropped() { printf '#include "%s"\nvoid f(void);\nvoid f(void) { %s; }\n' "$1" "$2" | gcc -std=c11 -D_GNU_SOURCE -I"$source" -Werror -c -o dropped.o -x c - 2> err; }
check "a result that is used compiles" dropped codegen/lower_util.h '(void)!lower_sources(NULL)'
for call in 'codegen/lower_util.h lower_sources(NULL)' 'ckpt/safetensors.h st_open("",NULL)' 'host/host.h host_read_file("",1,NULL,NULL)' 'ir/base/base.h file_write("","",0,NULL)'; do
  if dropped "${call%% *}" "${call#* }"; then bad "a failure can be dropped: $call"; else says "a dropped failure does not compile: $call" 'unused.result'; fi
done
# kernel IR as a language
run 0 "kernel IR" emit vit:tiny --isa portable,avx2 --emit=kir -o k.kir
run 0 "... of kernel IR" emit k.kir --emit=kir -o k2.kir
check "... is the same" cmp k.kir k2.kir
run 0 "... as C" emit k.kir --emit=c -o k.c
check "... that compiles" gcc -std=c11 -O1 -ffp-contract=off -Wall -Wextra -Werror -mavx2 -mfma -c k.c -o k.o
cat > negate.kir <<'EOF'
kernel @negate lanes 4 dims { B = 1..3 } {
  buf %x : in f32[24]
  buf %y : out f32[24]
  par %r = 0 to B step 1 {
    %2 = const -0x1p+0 : f32x4
    loop %i = 0 to 8 step 4 {
      %4 = load %x[8*%r + %i] : f32x4
      %5 = mul %4, %2 : f32x4
      store %y[8*%r + %i], %5
    }
  }
}
EOF
run 1 "a kernel without an instruction set" emit negate.kir --emit=c
says "... asks for one" 'for which instruction set'
run 0 "... that --isa names" emit negate.kir --emit=c --isa portable --prefix my -o negate.c
cat > negate_main.c <<'EOF'
#include "negate.c"
int main(void) {
  float x[24], y[24] = {0};
  size_t dims[] = {3};
  void *buffers[] = {x, y};
  for (int i = 0; i < 24; i++) x[i] = (float)i;
  for (size_t t = 0; t < my_negate_portable_tasks(dims); t++) my_negate_portable(buffers, dims, t, NULL);
  for (int i = 0; i < 24; i++)
    if (y[i] != (float)-i) return 1;
  return my_negate_portable_scratch;
}
EOF
check "... runs" sh -c 'gcc -std=c11 -O1 -ffp-contract=off -w negate_main.c -lm -o negate && ./negate'
run 1 "... for one of other lanes" emit negate.kir --emit=c --isa avx2
sed 's/@negate/@negate for avx2/' negate.kir > lanes.kir
run 1 "... for one of other lanes, by its head" emit lanes.kir --emit=c
says "... says so" 'has 4 lanes, avx2 has 8'
sed 's/8 step 4/12 step 4/' negate.kir > outside.kir
run 1 "a kernel that leaves its buffer" emit outside.kir --emit=c --isa portable
says "... is shown" 'reaches element'
run 2 "an executable of kernel IR" emit negate.kir --emit=exe -o negate.exe
says "... says what can be made" 'it can become c or kir'
cp fused.ir "a dump"
run 0 "a dump of any name" emit "a dump" --emit=c -o dumped.c
run 0 "... is built" build "a dump" --start-from=merge --isa "$best" -o dumped
check "... and runs" ./dumped --describe
run 0 "... and is explained" explain "a dump"
run 0 "... and measured" bench "a dump" --rounds 1 --threads 1
run 2 "a page is no dump" emit vit:tiny --start-from=fuse
run 2 "-D belongs to a page" build "a dump" -D classes=3 -o dumped
run 0 "the whole pipeline" emit vit:tiny --emit=c -o whole.c
"$syc" emit vit:tiny | head -n 1 > /dev/null 2>&1
ok "a closed pipe does no harm"
printf 'model   m( n=4 ) {\nroute r(x: f32[n]) -> y: f32[n] { return x+x }\n}\n' > ugly.sy
run 1 "fmt --check" fmt --check ugly.sy
check "fmt -" sh -c '"$1" fmt - < ugly.sy > pretty.sy' - "$syc"
run 0 "fmt in place" fmt ugly.sy
check "fmt: the same both ways" cmp ugly.sy pretty.sy
run 0 "fmt --check when done" fmt --check ugly.sy
printf 'model m {\n' > broken.sy
run 1 "fmt of a broken file" fmt broken.sy
check "it is as it was" [ "$(cat broken.sy)" = 'model m {' ]

### multiway layers are products on ranges of rows: a deeper model has as many copies as a shallow one
copies() { # PAGE ROUTE DEPTH [-D ...]: launches of kernels that only copy
  page=$1 route=$2 depth=$3
  shift 3
  "$syc" explain "$page" --verbose --routes "$route" -D "depth=$depth" "$@" < /dev/null | awk '$1 ~ /^(copy|concat|split)/ { n += $2 } END { print n + 0 }'
}
for one in "beit3:base fusion" "beit3:base vqa" "vlmo:base fusion" "vlmo:base vqa"; do
  set -- $one
  shallow=$(copies "$1" "$2" 4 $([ "$1" = vlmo:base ] && echo -D vl=2)) deep=$(copies "$1" "$2" 8 $([ "$1" = vlmo:base ] && echo -D vl=4))
  check "layers of $1 $2 copy nothing ($shallow, $deep)" [ "$shallow" -eq "$deep" ]
done
run 0 "routes of one modality" explain beit3:base --routes image
says "the other expert is dropped" 'drops 203886638 of 289778990 parameters' out

### every preset builds with all its routes
for page in "$source"/models/*.sy; do
  for preset in $(sed -n 's/^preset \([a-z0-9_]*\).*/\1/p' "$page"); do
    only= # blip_pretrain has an objective and no routes
    case $(basename "$page" .sy):$preset in blip:pretrain_*) only='--objective pretrain --draws' ;; esac
    # shellcheck disable=SC2086
    run 0 "$(basename "$page" .sy):$preset" emit "$page:$preset" $only --emit=ir -o /dev/null
  done
done

### docs/systems: every route, and the sizes of a few presets
: > seen
for page in "$source"/models/*.sy; do
  name=$(basename "$page" .sy)
  [ -f "$source/docs/systems/$name.md" ] || continue
  for route in $(sed -n 's/^  \(route\|generate\) \([a-z0-9_]*\).*/\2/p' "$page" | sort -u); do
    grep -q "\`[^\`]*\b$route\b[^\`]*\`" "$source/docs/systems/$name.md" || echo "$name: $route" >> seen
  done
done
if [ -s seen ]; then bad "docs/systems misses routes" seen; else ok "docs/systems has every route"; fi
grep -h "^| \`\([a-z0-9_]*:tiny\|brivl:base\)\`" "$source"/docs/systems/*.md |
  sed 's/^| `\([a-z0-9_:]*\)`.*| \([0-9.]*\) M | \([0-9.]*\) MB.*/\1 \2 \3/' > rows
while read -r preset parameters packed; do
  "$syc" explain "$preset" > out 2> err < /dev/null
  set -- $(sed -n 's/^weights: .* \([0-9.]*\) M parameters; packed \([0-9.]*\) MB$/\1 \2/p' out)
  check "docs/systems: $preset has $parameters M parameters, $packed MB" awk -v a="$parameters" -v b="$1" -v c="$packed" -v d="$2" '
    function off(doc, real, unit, i) { unit = 1; for (i = length(doc) - index(doc ".", "."); i > 0; i--) unit /= 10
      return real == "" || (doc - real) ^ 2 > (1.01 * unit) ^ 2 }
    BEGIN { print b, d; exit off(a, b) || off(c, d) }'
done < rows
check "... as many as there are" [ "$(wc -l < rows)" -ge 13 ]

### docs/tutorial.md, command by command, in an empty folder
mkdir -p walk && awk -v dir=walk 'BEGIN { split("mini two reader pair", name) } /^```sy/ { n++; on = 1; next } /^```/ { on = 0 }
  on { print > (dir "/" name[n] ".sy") } /^    / && !on { print substr($0, 5) > (dir "/lines") }' "$source/docs/tutorial.md"
walk_commands() { # those lines that are commands, as they stand
  (cd walk && PATH="$(dirname "$syc"):$PATH" && export PATH && grep -e '^syc ' -e '^printf' -e '^\./' lines | while IFS= read -r line; do
    eval "$line" || { echo "failed: $line"; exit 1; }
  done) > out 2> err < /dev/null
}
check "every command of the tutorial" walk_commands
walk_commands
says "... ends with the picture it made" '50.39%  class 5' out
check "... which the page shows" grep -q '50.39%  class 5' walk/lines
sed 's/heads = 4/heads = 5/' walk/mini.sy > walk/five.sy
run 1 "the tutorial's wrong heads" emit walk/five.sy
says "... give the message it shows" "$(grep '\[E0204\]' walk/lines | sed 's/[][]/\\&/g')"
sed 's/let h = norm(x, 1e-6)  @norm1/let h = nrom(x, 1e-6)  @norm1/' walk/mini.sy > walk/nrom.sy
run 1 "the tutorial's misspelt block" emit walk/nrom.sy
says "... gives the message it shows" "$(grep '\[E0102\]' walk/lines | sed 's/.*sy:/nrom.sy:/; s/[][]/\\&/g')"
for page in two reader pair; do run 0 "the tutorial's $page" emit walk/$page.sy --emit=h -o /dev/null; done

run 0 "a large arena" emit albef:vqa_base --emit=h -o /dev/null
says "... is noted with the bounds" 'for B = 32,.* an arena has .* GB; --dim'
run 0 "... and goes with smaller bounds" emit albef:vqa_base --dim B=1 --dim W=8 --emit=h -o /dev/null
check "... without a note" [ ! -s err ]

### emitted C

mkdir -p a b
run 0 "emit C once" emit vit:tiny --emit=c -o a/vit.c
run 0 "emit C twice" emit vit:tiny --emit=c -o b/vit.c
check "equal bytes: vit.c" cmp a/vit.c b/vit.c
check "equal bytes: vit.h" cmp a/vit.h b/vit.h
strict='-std=c11 -Wall -Wextra -Wconversion -Wshadow -pedantic -Werror -O2 -ffp-contract=off'
for cc in gcc clang clang-19; do
  if ! have $cc; then
    skip "strict $cc" "no $cc"
    continue
  fi
  check "strict $cc" $cc $strict -c a/vit.c -o a/$cc.o
  for kept in bf16w f16w bf16; do
    run 0 "C in $kept" emit vit:tiny --precision $kept -o $kept.c
    check "... strict $cc" $cc $strict -c $kept.c -o $kept.o
  done
  printf '#include "vit.h"\nint main(void) { return vit_strerror(VIT_OK) == 0; }\n' > a/use.c
  check "strict $cc, header alone" $cc $strict -Ia -c a/use.c -o a/use.o
  cp a/use.c a/use.cc
  if [ $cc = gcc ]; then
    have g++ && check "header from C++11, g++" g++ -std=c++11 -Wall -Wextra -pedantic -Werror -Ia -c a/use.cc -o a/use2.o
  else
    check "header from C++11, $cc" $cc -x c++ -std=c++11 -Wall -Wextra -pedantic -Werror -Ia -fsyntax-only a/use.cc
  fi
  if [ -f a/$cc.o ] && have nm; then
    nm -g --defined-only a/$cc.o | awk '{print $3}' | grep -v '^vit_' > out
    if [ -s out ]; then bad "exports of $cc"; else ok "exports only vit_*, $cc"; fi
    # what a compiler may call by itself, and nothing of libm or the heap
    nm -u a/$cc.o | awk '{print $2}' | grep -v -x -e memcpy -e memset -e memmove -e memcmp -e strcmp -e strlen \
      -e _GLOBAL_OFFSET_TABLE_ -e __stack_chk_fail -e __cpu_model > out
    if [ -s out ]; then bad "imports of $cc"; else ok "imports only the allowed names, $cc"; fi
  fi
done
run 0 "emit C of a large model" emit vit:base --emit=c -o a/base.c
check "ViT-B/16 is below 4420 lines of C" [ "$(wc -l < a/base.c)" -lt 4420 ]
# A tile's registers are its own: gcc sent the weights of every step through the stack where the bias was loaded outside (decision 28).
if have gcc && [ "$(uname -m)" = x86_64 ]; then
  run 0 "C of a product with run-time rows" emit vilt:base --routes vqa --isa avx512 -o tile.c
  check "... is compiled" gcc -O2 -ffp-contract=off -S -o tile.s tile.c
  check "... and its products leave the stack alone" awk '/^vilt__gemm_k768_n2304_bias_avx512:/ { here = 1 }
    here && /vfmadd/ { all++ } here && /vfmadd.*\(%r[sb]p\)/ { n++ } /\.size\tvilt__gemm_k768_n2304_bias_avx512/ { here = 0 }
    END { exit !(all > 24 && n == 0) }' tile.s
else
  ok "a tile's registers: not looked at without gcc for x86-64"
fi
check "products of one shape are one function" [ "$(grep -c 'void vit__product_8x48_avx512(' a/base.c)" -eq 1 ]
# a weight expression that uses itself twice, sixty times over: each part of it is looked at once
cat > doubled.sy << 'EOF'
use std

model doubled() {
  dim B = 1..2
  route run(x: f32[B, 16]) -> y: f32[B, 16] {
    weight w: f32[16, 16]
    let s = w
    repeat i in 1..60 {
      let s = s + transpose(s, [1, 0])
    }
    return affine(x, s, w[0])
  }
}
preset tiny = doubled()
EOF
check "shared weight expressions are printed once" timeout 60 "$syc" emit doubled.sy:tiny --emit=c -o a/doubled.c
run 0 "weights for them" weights init doubled.sy:tiny -o doubled.safetensors
check "and packed once" timeout 60 "$syc" weights pack doubled.sy:tiny -w doubled.safetensors -o doubled.syw
run 0 "another prefix" emit vit:tiny --emit=c --prefix=other -o a/other.c
says "... is used" 'other_classify' a/other.h
for isa in $("$syc" help isa | awk '/^  / { print $1 }'); do run 0 "one instruction set: $isa" emit vit:tiny --emit=c --isa=$isa -o a/$isa.c; done
run 0 "object" build vit:tiny -o o.o
run 0 "library" build vit:tiny --isa "$best" -o l.a
run 0 "shared library" build vit:tiny --isa "$best" -o s.so
check "files are there" ls o.o l.a s.so
printf '#include "l.h"\nint main(void) { return vit_strerror(VIT_OK) == 0; }\n' > use_l.c
check "a library has its header beside it" gcc use_l.c l.a -lm -o use_l
mkdir -p versions && run 0 "C of one version" emit vit:tiny --emit=c -o versions/v.c
cp versions/v.h v.h.old
run 0 "... and of another" emit vit:tiny -D classes=11 --emit=c -o versions/v.c
cp v.h.old versions/v.h
gcc -c versions/v.c -o versions/v.o > out 2> err
says "a header of another version is noticed" 'error.*v.h is not the header of this file'
run 3 "C compiler that is not there" build vit:tiny --cc=no-such-compiler -o x.o
check "... leaves nothing" [ ! -e x.o ]
printf '#!/bin/sh\nexit 1\n' > badcc
chmod +x badcc
printf '#!/bin/sh\necho "$@" >> "$0.log"\nexec gcc "$@"\n' > "my cc" && chmod +x "my cc"
run 0 "a C compiler with a blank in its name" build vit:tiny --isa portable --cc="./my cc" -o t1.o
run 0 "... with arguments, in quotes" build vit:tiny --isa portable --cc="'./my cc' -DONE=1 \"-DTWO=2 3\"" -o t2.o
says "... which it gets" '-DONE=1 -DTWO=2 3' "my cc.log"
CC="gcc -pipe" "$syc" build vit:tiny --isa portable -o t3.o > out 2> err < /dev/null
check "... from CC" [ -s t3.o ]
run 3 "C compiler that fails" build vit:tiny --cc=./badcc -o x.o
check "... leaves nothing" [ ! -e x.o ]

### weights
run 0 "weights init" weights init vit:tiny --seed 1 -o tiny.safetensors
says "... says what it made" '^tiny.safetensors: 32 tensors, 0\.1 MB, seed 1$'
run 0 "weights init again" weights init vit:tiny --seed 1 --quiet -o again.safetensors
check "... --quiet: in silence" [ ! -s err ]
check "the same seed, the same bytes" cmp tiny.safetensors again.safetensors
run 0 "weights init, another seed" weights init vit:tiny --seed 2 -o other.safetensors
if cmp -s tiny.safetensors other.safetensors; then bad "another seed, other bytes"; else ok "another seed, other bytes"; fi
run 0 "weights inspect" weights inspect tiny.safetensors
says "tensors are listed" 'heads.head.weight' out
run 0 "weights inspect --json" weights inspect tiny.safetensors --json
check "... is JSON" is_json out
run 0 "weights pack" weights pack vit:tiny -w tiny.safetensors -o tiny.syw
run 0 "a program with weights in bf16" build vit:tiny --isa "$best" -w tiny.safetensors --precision bf16w -o narrow
check "... half the size" [ "$(wc -c < narrow.syw)" -lt "$(($(wc -c < tiny.syw) * 6 / 10))" ]
check "... tests itself" ./narrow --selftest
./narrow --describe > out
says "... says so" 'precision=bf16w' out
run 0 "weights pack --precision" weights pack vit:tiny -w tiny.safetensors --precision bf16w -o again.syw
check "... the same file" cmp narrow.syw again.syw
run 0 "inspect of narrow weights" weights inspect narrow.syw
says "... by their type" '^entry 0 *BF16' out
if ./narrow --weights tiny.syw --selftest > /dev/null 2> err; then bad "weights of another precision"; else ok "weights of another precision"; fi
says "... are refused" 'tiny.syw: its weights are packed in precision f32, and this program was built in precision bf16w'
printf '# by path\n"*.mlp.*" = int8\n"heads.head" = bf16w  # the last\n"nosuch.*" = f16w\n' > mixed.precision
run 0 "a program by rules" build vit:tiny -w tiny.safetensors --precision mixed.precision -o byrule
./byrule --describe > out
says "... says what each product is in" 'product encoder.layers.encoder_layer_0.mlp.0 in int8' out
says "... and the others" 'product heads.head in bf16w' out
check "... tests itself" ./byrule --selftest
if ./byrule --weights narrow.syw --selftest > /dev/null 2> err; then bad "weights of other rules"; else ok "weights of other rules"; fi
says "... are refused" 'packed in precision bf16w, and this program was built in precision {"\*.mlp.\*" = int8'
run 0 "inspect of weights by rules" weights inspect byrule.syw
says "... says the rules" 'packed weights in precision {"\*.mlp' out
run 0 "explain --precision" explain vit:base --routes classify --precision int8 --isa avx2
says "... products and what they gain" 'encoder.layers.encoder_layer_3.mlp.0  *int8 .* 1.2' out
run 0 "explain without VNNI" explain vit:base --routes classify --precision int8 --isa avx512
says "... says that there is nothing to gain" 'int8 gains no time here for' out
run 0 "explain of weights in 16 bits" explain vit:base --routes classify --precision bf16w
says "... says so, too" 'bf16w gains no time here for .* half the bytes' out
run 0 "a program with products of bf16" build vit:tiny -w tiny.safetensors --precision bf16 -o pairs
check "... tests itself" ./pairs --selftest
./pairs --describe > out
says "... says so" 'precision=bf16' out
if ./pairs --weights narrow.syw --selftest > /dev/null 2> err; then bad "weights of bf16w"; else ok "weights of bf16w"; fi
says "... are refused" 'packed in precision bf16w, and this program was built in precision bf16'
run 0 "explain of products of bf16" explain vit:base --routes classify --precision bf16 --isa avx512
says "... says that there is nothing to gain" 'bf16 gains no time here for' out
run 0 "the IR of a model in bf16" emit vit:tiny --precision bf16 --emit=ir -o pairs.ir
says "... says which products" 'linear_pairs' pairs.ir
run 0 "... is read again" emit pairs.ir --emit=c -o pairs.c
run 2 "an unknown precision" build vit:tiny --precision int9 -o x
says "... is named with those there are" "no precision 'int9'; did you mean 'int8'? ($(sed -n 's/^PRECISION(\([a-z0-9]*\),.*/\1/p' "$source/ir/precisions.def" | paste -sd, | sed 's/,/, /g')"
run 0 "a file of rules" emit vit:tiny --precision mixed.precision --emit=ir@precision -MD -o mixed.ir
says "... a rule that fits nothing is a note" 'mixed.precision:4:1: note: the rule "nosuch.\*" = f16w fits no weight'
check "... the dump has them" grep -q '^precision "mixed.precision" "heads.head" "bf16w"$' mixed.ir
check "... products by them" [ "$(grep -c ' = linear_codes ' mixed.ir):$(grep -c '{to = "bf16"}' mixed.ir)" = 8:1 ]
check "... it is a file that the output depends on" grep -q 'mixed.precision' mixed.ir.d
run 0 "the dump goes on" emit mixed.ir --emit=c -o mixed.c
sed 's/^precision.*//; 1i precision mixed { "*.mlp.*" = int8; "heads.head" = bf16w; "nosuch.*" = f16w }' "$source/models/vit.sy" > own.sy
run 0 "a set of the page" emit own.sy:tiny --precision mixed --emit=ir@precision -o own.ir
says "... the same rules" 'own.sy:1:' err
check "... the same products" [ "$(grep -c ' = linear_codes ' own.ir)" = 8 ]
run 2 "a set that the page has not" emit own.sy:tiny --precision mixd -o x
says "... near names" "did you mean 'mixed'"
run 3 "a file of rules that is not there" emit vit:tiny --precision nosuch.precision -o x
head -c 3000 tiny.safetensors > garbage.precision
run 1 "a file of rules that is none" emit vit:tiny --precision garbage.precision -o x
: > empty.precision
run 1 "an empty file of rules" emit vit:tiny --precision ./empty.precision -o x
says "... is one without rules" 'has no rules'
{ printf '"'; head -c 1000000 /dev/zero | tr '\0' a; printf '" = int8\n'; } > long.precision
run 1 "a pattern of a megabyte" emit vit:tiny --precision long.precision -o x
says "... is too long" 'longer than 400 characters'
run 2 "weights pack without a checkpoint" weights pack vit:tiny -o x.syw
run 3 "weights pack of a file that is not there" weights pack vit:tiny -w nosuch.safetensors -o x.syw
run 2 "weights with a wrong verb" weights pakc vit:tiny
run 0 "a shallower checkpoint" weights init vit:tiny -D depth=1 --seed 1 -o shallow.safetensors
run 1 "missing tensors" weights pack vit:tiny -w shallow.safetensors -o x.syw
says "they are named" 'missing .*encoder_layer_1'
run 0 "a wider checkpoint" weights init vit:tiny -D classes=11 --seed 1 -o wide.safetensors
run 1 "mis-shaped tensors" weights pack vit:tiny -w wide.safetensors -o x.syw
says "they are named with both shapes" 'heads.head.weight.*11'
for n in 0 4 8 100 5000; do
  head -c $n tiny.safetensors > cut.safetensors
  run 3 "checkpoint cut to $n bytes" weights pack vit:tiny -w cut.safetensors -o x.syw
done
printf '\377\377\377\377\377\377\377\177{}' > cut.safetensors
run 3 "checkpoint with a huge header" weights inspect cut.safetensors
check "none of them left a file" [ ! -e x.syw ]

seeds=$source/tests/fuzz/corpus/fuzz_torch
run 0 "inspect of a PyTorch file" weights inspect "$seeds/checkpoint"
says "its tensors are listed" '^1.running_var  *F32  *\[3\]' out
says "what was left out is said" "those of 'model'; left out: 'model_ema'"
run 3 "a hostile PyTorch file" weights inspect "$seeds/hostile"
says "it is named" 'asks for posix.system.*hostile'
run 0 "weights convert" weights convert "$seeds/checkpoint" tiny.safetensors --strip-prefix 1. -o merged.safetensors
run 0 "inspect of the result" weights inspect merged.safetensors
says "names lost the prefix" '^running_var ' out
says "all files are in it" 'heads.head.weight' out
run 0 "weights convert without some" weights convert merged.safetensors --ignore 'heads.*' -q -o rest.safetensors
run 0 "inspect of the rest" weights inspect rest.safetensors
check "what was named is left out" sh -c 'grep -q "^running_var " out && ! grep -q "heads\." out'
run 0 "weights convert to standard output" weights convert merged.safetensors -o -
check "the same bytes" cmp out merged.safetensors
run 2 "weights convert without -o" weights convert tiny.safetensors
run 3 "weights convert of a damaged file" weights convert cut.safetensors -o x.safetensors
check "it left no file" [ ! -e x.safetensors ]
printf '{"weight_map":{"class_token":"tiny.safetensors","heads.head.bias":"./shallow.safetensors"}}' > bad.index.json
run 3 "an index that leaves its folder" weights pack vit:tiny -w bad.index.json -o x.syw
sed 's|\./||' bad.index.json > tiny.index.json
run 0 "an index of shards" weights pack vit:tiny -w tiny.index.json -o shards.syw
check "the same weights" cmp tiny.syw shards.syw
run 0 "a tensor more than needed" weights init vit:tiny -o many.safetensors
run 0 "... is noted" weights pack vit:tiny --routes features -w many.safetensors -o x.syw
says "... with its number" 'note: 2 tensors of the checkpoint are not used'
rm -f x.syw

### a compiled model
run 0 "executable with weights" build vit:tiny --weights tiny.safetensors -o vit-tiny
check "weights beside it" [ -s vit-tiny.syw ]
gcc "$source/examples/make_picture.c" -o make_picture -ljpeg -lpng > out 2> err || bad "compiling make_picture"
./make_picture p.jpg 64 48 && ./make_picture p.png 48 64
# face CODE NAME ARGUMENTS...: as run, for the compiled model
face() {
  want=$1 name=$2
  shift 2
  ./vit-tiny "$@" > out 2> err < /dev/null
  got=$?
  if [ $got -eq "$want" ]; then ok "$name"; else bad "$name: exit status $got, not $want"; fi
}
face 0 "model: --help" --help
documented "a program"
face 0 "model: JPEG" p.jpg --top 3
says "three classes" '%  class' out
check "... and no more" [ "$(grep -c '%  ' out)" -eq 3 ]
face 0 "model: PNG" p.png
face 0 "model: both, JSON" p.jpg p.png --json
check "model: --json is JSON" is_json out
face 0 "model: --time" p.jpg --time
face 0 "model: --selftest" --selftest
face 0 "model: --describe" --describe
cp out described
face 0 "model: one thread" p.jpg --threads 1
cp out one.txt
face 0 "model: four threads" p.jpg --threads 4
check "the same answer" cmp out one.txt
face 2 "model: unknown option" p.jpg --nonsense
classes=$(sed -n 's/^ *out *logits: f32\[B,\([0-9]*\)\].*/\1/p' described)
seq "$classes" > labels.txt && echo more | cat labels.txt - > more.txt && { cat labels.txt && echo; } > blank.txt
face 0 "model: --labels" p.jpg --labels labels.txt
face 0 "model: --labels with an empty last line" p.jpg --labels blank.txt
face 3 "model: one label too many" p.jpg --labels more.txt
says "... both numbers are named" "has $((classes + 1)) labels, and logits has $classes classes; is the first label a background"
head -c 400 p.jpg > cut.jpg
: > empty.jpg
echo 'not a picture' > text.jpg
head -c 60 p.png > cut.png
for file in cut.jpg empty.jpg text.jpg cut.png nosuch.jpg; do
  face 3 "model: $file" $file
  says "... is named" "$file"
done
face 0 "model: two pictures" p.jpg p.png --top 2
cp out two.txt
# pictures from pipes: as from a file, and never waited for where they were not named
face 0 "a picture of standard input" p.jpg --top 2
sed 1d out > want
./vit-tiny - --top 2 < p.jpg > out 2> err
check "... a file" sh -c 'sed 1d out | cmp - want'
cat p.jpg | ./vit-tiny --image=- --top 2 > out 2> err
check "... a pipe" sh -c 'sed 1d out | cmp - want'
cat p.jpg | ./vit-tiny /dev/stdin --top 2 > out 2> err
check "... by its name" sh -c 'sed 1d out | cmp - want'
mkfifo pipe.jpg && { cat p.jpg > pipe.jpg & }
face 0 "a named pipe" pipe.jpg --top 2
check "... the same" sh -c 'sed 1d out | cmp - want'
face 3 "a device" /dev/zero
says "... is called one" '/dev/zero: a device, not a file or a pipe'
face 3 "a folder" .
says "... is called one" '[.]: a folder, not a file'
printf 'RIFF\044\000\000\000WEBPVP8 ' > webp.jpg
face 3 "damaged WebP under another name" webp.jpg
says "... is called by its own" 'webp.jpg: WebP: the file is damaged'
face 3 "one unreadable picture of four" cut.jpg p.jpg text.jpg p.png --top 2
check "... the others have their results" cmp out two.txt
says "... it is named" 'vit-tiny: text.jpg: '
says "... and counted" '2 of 4 could not be read and were left out'
face 3 "... with --json" p.jpg cut.jpg p.png --json
check "... is JSON" is_json out
check "... has an error in its place" [ "$(sed -n 's/^ *{"image": "\([a-z.]*\)", "\(top\|error\)".*/\1 \2/p' out | paste -sd, -)" = "p.jpg top,cut.jpg error,p.png top" ]
face 3 "... with --out" p.jpg cut.jpg p.png --out kept.npy
check "... has the rows of the others" grep -aq "'shape': (2, 10)" kept.npy
face 3 "no picture can be read" cut.jpg text.jpg --out none.npy --json
check "... two errors" [ "$(grep -c '"error": ' out)" -eq 2 ]
check "... and no file" [ ! -e none.npy ]
run 0 "another build" build vit:tiny --isa "$best" -D depth=1 -w shallow.safetensors -o shallow
face 3 "weights of another build" p.jpg --weights shallow.syw
says "... are refused by name" 'another build'
head -c 1000 vit-tiny.syw > cut.syw
face 3 "packed weights cut short" p.jpg --weights cut.syw
{ head -c $(($(stat -c %s vit-tiny.syw) / 2)) vit-tiny.syw && head -c $(($(stat -c %s vit-tiny.syw) - $(stat -c %s vit-tiny.syw) / 2)) /dev/zero; } > zeros.syw
face 3 "packed weights that end in zeros" p.jpg --weights zeros.syw
says "... are called damaged" 'damaged'
cp vit-tiny.syw short.syw
./vit-tiny p.jpg --weights short.syw --repeat 1000000000 > out 2> err < /dev/null &
long=$!
sleep 1
: > short.syw
wait $long
check "packed weights cut short while in use" [ $? -eq 3 ]
says "... are named" 'short.syw: cut short or unreadable while in use'
face 3 "packed weights that are not there" p.jpg --weights nosuch.syw
run 0 "syc run" run vit:tiny -w tiny.safetensors -- "$dir/p.jpg" --top 1
says "syc run answers" '%  class' out
run 0 "syc run, from the cache" run vit:tiny -w tiny.safetensors -- "$dir/p.jpg" --top 1
run 3 "syc run hands on the exit status" run vit:tiny -w tiny.safetensors -- "$dir/text.jpg"

### captions, pairs of picture and sentence
whole=$source/tests/golden/tokenizers/bert/vocab_small.txt spm=$source/tests/golden/tokenizers/spm/xlmr_like.model
# tool NAME 'SPEC [-D ...]' ROUTES: a compiled model in ./NAME
tool() {
  run 0 "$1: weights" weights init $2 --routes "$3" -o "$1.safetensors"
  run 0 "$1: executable" build $2 --isa "$best" --routes "$3" -w "$1.safetensors" -o "$1"
}
# use CODE NAME PROGRAM ARGUMENTS...: as face, for any of them
use() {
  want=$1 name=$2
  shift 2
  "./$@" > out 2> err < /dev/null
  got=$?
  if [ $got -eq "$want" ]; then ok "$name"; else bad "$name: exit status $got, not $want"; fi
}
head -n 66 "$whole" > bert.txt # one token fewer, as many as the tiny models have
bert=$dir/bert.txt
tool blip blip:caption_tiny caption
use 0 "caption" blip p.jpg --vocab "$bert"
says "it continues the page's prompt" '^p.jpg: a picture of' out
use 0 "caption with a prompt" blip p.jpg --vocab "$bert" --text "the red" --beams 1
says "... which it continues" '^p.jpg: the red' out
use 0 "caption, JSON" blip p.jpg p.png --vocab "$bert" --json
check "... is JSON" is_json out
use 0 "caption of one picture" blip p.png --vocab "$bert"
cp out one_caption.txt
use 3 "caption beside a picture that cannot be read" blip cut.jpg p.png --vocab "$bert"
check "... is the same" cmp out one_caption.txt
use 3 "... JSON" blip p.jpg cut.jpg p.png --vocab "$bert" --json
check "... is JSON" is_json out
check "... has the error between two captions" [ "$(sed -n 's/^ *{"image": "\([a-z.]*\)", "\([a-z]*\)".*/\1 \2/p' out | sed 2q | tail -n 1)" = "cut.jpg error" ]
use 0 "caption, drawn" blip p.jpg --vocab "$bert" --sample --seed 3 --top-p 0.9 --top-k 5 --temperature 0.7
cp out drawn.txt
use 0 "caption, drawn again" blip p.jpg --vocab "$bert" --sample --seed 3 --top-p 0.9 --top-k 5 --temperature 0.7
check "the same seed, the same words" cmp out drawn.txt
use 0 "a prompt that is too long" blip p.jpg --vocab "$bert" --text "$(yes the | head -n 40 | tr '\n' ' ')"
says "... is cut, and it says so" 'longer than 19 tokens'
use 2 "caption without a vocabulary" blip p.jpg
says "... which is asked for" '--vocab FILE'
use 3 "a vocabulary that is not there" blip p.jpg --vocab nosuch.txt
use 3 "a vocabulary of another kind" blip p.jpg --vocab "$spm"
says "... both kinds are named" 'of sentencepiece, the model needs one of bert_wordpiece'
use 3 "a vocabulary of another size" blip p.jpg --vocab "$whole"
says "... both sizes are named" "has 67 tokens, the model 66: it is not the vocabulary of this model"
head -n 32 "$bert" > few.txt
use 0 "words that the vocabulary lacks" blip p.jpg --vocab few.txt --sample --temperature 1000 --shortest 20
says "... are not left out in silence" 'p.jpg: words that the vocabulary lacks were left out: [1-9]'
says "... are few, and it says so" 'has 32 tokens, the model 66: is it the vocabulary'
use 3 "a vocabulary that is none" blip p.jpg --vocab p.jpg
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n' > pointer.txt
use 3 "a pointer of git-lfs as a vocabulary" blip p.jpg --vocab pointer.txt
says "... says what to do" 'git lfs pull'
use 3 "... as ids of a prompt" blip p.jpg --input prompt=pointer.txt
says "... says what to do" 'git lfs pull'
printf 'model ids(vocab = 4) {\n  dim L = 1..8\n  prepare text: bert_wordpiece(vocab = vocab)\n  route r(text: i32[L]) -> y: i32[L] { return text + 1 }\n}\n' > ids.sy
run 0 "a page of sentences" build ids.sy --isa "$best" -o ids
printf '[PAD]\n[UNK]\ncat\n[SEP]\n' > ends.txt
use 3 "a vocabulary without the ends of sentences" ids --describe --vocab ends.txt
says "... says which" 'no line \[CLS\], which the model puts at the start'
{ head -n 66 "$whole" && echo && echo; } > blank.txt
use 0 "a vocabulary with empty lines at its end" blip p.jpg --vocab blank.txt
{ cat "$bert" | head -n 65 && echo iPhone; } > phone.txt
use 0 "a vocabulary with capitals" blip p.jpg --vocab phone.txt --text "The Red" --beams 1
cp out lower.txt
use 0 "... does not change the page's lower case" blip p.jpg --vocab phone.txt --text "the red" --beams 1
check "... nor the caption" cmp out lower.txt
use 0 "--cased does" blip p.jpg --vocab phone.txt --text "The Red" --beams 1 --cased
check "... and the prompt is unknown" sh -c '! cmp out lower.txt'
use 2 "--cased and --uncased" blip p.jpg --vocab phone.txt --cased --uncased
use 0 "--describe --vocab" blip --describe --vocab phone.txt
says "... says how sentences are cut" 'vocabulary of prompt: phone.txt, bert_wordpiece, 66 tokens, uncased.*the page says so' out
for p in "the red" a "a photo of the cat"; do
  for f in p.jpg p.png; do use 0 "a prompt alone" blip $f --vocab "$bert" --text "$p" && cat out; done | grep '^p\.'
done > single.txt
use 0 "prompts of several lengths" blip p.jpg --vocab "$bert" --text "the red" --text a --text "a photo of the cat"
grep '^p.jpg' single.txt > want
check "... are the same as alone" cmp out want
use 0 "a prompt for each picture" blip p.jpg p.png --vocab "$bert" --text "the red" --text a
sed -n '1p;4p' single.txt > want
check "... are the same as alone" cmp out want
use 2 "three prompts for two pictures" blip p.jpg p.png --vocab "$bert" --text a --text b --text c
says "... both numbers are named" '3 prompts for 2 items'
# ids SHAPE NUMBER...: an i32 NumPy file of small numbers; m stands for -1
ids() {
  printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<i4', 'fortran_order': False, 'shape': ($1), }"
  shift
  for i; do if [ "$i" = m ]; then printf '\377\377\377\377'; else printf "\\$(printf %03o "$i")\\000\\000\\000"; fi; done
}
line() { grep -nx "$1" "$bert" | cut -d: -f1; }
the=$(($(line the) - 1)) red=$(($(line red) - 1)) a=$(($(line a) - 1))
ids "2, 5" 64 $the $red 0 0 64 $a m m m > ids.npy
use 0 "prompt ids of a file" blip p.jpg p.png --vocab "$bert" --input prompt=ids.npy
check "... are the same as sentences" cmp out want
use 0 "... without a vocabulary" blip p.jpg p.png --input prompt=ids.npy
says "... ids" "^p.jpg: ids 64 $the $red " out
use 0 "... by the name of the words" blip p.jpg p.png --vocab "$bert" --input text=ids.npy
check "... the same" cmp out want
ids "3," 64 $the 99 > bad.npy
use 3 "a prompt id that the model lacks" blip p.jpg --input prompt=bad.npy
says "... is named" 'id 2 is 99, and the model has 66'
use 2 "longer than the model" blip p.jpg --vocab "$bert" --longest 100
use 2 "--top-p without --sample" blip p.jpg --vocab "$bert" --top-p 0.5
use 2 "--sample with --beams" blip p.jpg --vocab "$bert" --sample --beams 3
use 2 "--out of a caption" blip p.jpg --vocab "$bert" --out x.npy
run 0 "header of a generate" emit blip:caption_tiny --routes caption --emit=h -o blip.h
says "caches of a step are in and out" 'cache_0: .*in and out' blip.h
check "... once, not those of the start" [ "$(grep -c 'cache_0: .*in and out' blip.h)" -eq 1 ]
if have make; then # the program of examples/generate_c and the executable choose the same words
  cp -r "$source/examples/generate_c" .
  run 0 "generate_c: emit" emit blip:caption_tiny --isa "$best" --routes caption --prefix blip -o generate_c/blip.c
  run 0 "generate_c: weights" weights pack blip:caption_tiny --routes caption -w blip.safetensors -o generate_c/blip.syw
  check "generate_c: make" make -C generate_c CFLAGS='-O1 -Wall -Wextra -Werror'
  head -c 6912 /dev/zero > zero.f32
  { printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 24, 24), }" && cat zero.f32; } > zero.npy
  check "generate_c: run" generate_c/caption generate_c/blip.syw zero.f32 3 16 64 7 20
  use 0 "generate_c: the executable" blip --route caption --input image=zero.npy --text "the red" --vocab "$bert" --beams 1 --longest 16 --shortest 1 --json
  words=$(sed -n 's/.*"ids": \[\(.*\)\].*/\1/p' out)
  if [ -n "$words" ] && [ "$words" = "$(cat seen)" ]; then ok "generate_c: the same words"; else bad "generate_c: the same words" out seen; fi
else skip "examples/generate_c" "no make"; fi
{ printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 24, 24), }" &&
  head -c 6912 /dev/zero | tr '\0' '\377'; } > nan.npy
use 4 "a caption of what is no number" blip --route caption --input image=nan.npy --vocab "$bert"
says "... says so" 'scores of the next word are not numbers'
tool beit3 'beit3:tiny -D vocab=2402' caption,classify,masked_image
use 0 "caption by the mask" beit3 p.jpg
says "ids without a vocabulary" '^p.jpg: ids 0 ' out
use 0 "... with one, words" beit3 p.jpg --vocab "$spm"
use 3 "words of a vocabulary of another kind" beit3 p.jpg --vocab "$bert"
use 0 "classes" beit3 p.jpg --route classify --top 3
check "three, by score" [ "$(grep -c '^ *-*[0-9.]*  class [0-9]*$' out)" -eq 3 ]
use 3 "labels that are not there" beit3 p.jpg --route classify --labels nosuch.txt
tool albef "albef:tiny -D vocab=66" image,text,match,retrieve
tail -n 3 "$whole" | head -n 1 > ids.txt # a word that the table of the model has no row for
use 0 "picture and sentences" albef p.jpg --route match --text a --text b --vocab "$bert"
says "each pair is named" '^p.jpg, "b"$' out
use 0 "all pairs" albef p.jpg --route retrieve --text a --text b --vocab "$bert"
says "plain similarity" '^ *-*[0-9.]*  b$' out
use 0 "pairs, JSON" albef p.jpg --route match --text a --text '"b"' --vocab "$bert" --json
check "... is JSON" is_json out
use 0 "an empty sentence" albef p.jpg --route match --text '' --vocab "$bert"
use 2 "no sentence" albef p.jpg --route match --vocab "$bert"
use 3 "labels of a larger vocabulary" albef p.jpg --labels ids.txt --vocab "$whole"
says "... says so before it runs" 'has 67 tokens, the model 66'
use 3 "lines of a larger vocabulary" albef embed --lines ids.txt -o lines.npy --vocab "$whole"
says "... says it too" 'has 67 tokens, the model 66'
small='-D size=24 -D patch=8 -D dim=32 -D depth=2 -D heads=4 -D text_dim=32 -D text_depth=3 -D text_heads=4 -D vocab=66'
tool avqa "albef:albef_vqa $small -D top=3 --dim B=2 --dim W=8" vqa
printf 'red\nblue\nthe dog\na cat\n' > answers.txt
use 0 "answers of a file" avqa p.jpg p.png --text "the red dog" --vocab "$bert" --labels answers.txt
check "... three for each picture, all of the file" [ "$(grep -c '^ *[0-9.]*%  \(red\|blue\|the dog\|a cat\)$' out)" -eq 6 ]
check "... no answer twice" sh -c '[ "$(sed -n 2,4p out | sed "s/.*%  //" | sort -u | wc -l)" -eq 3 ]'
use 0 "the best answer, JSON" avqa p.jpg --text "the red dog" --vocab "$bert" --labels answers.txt --top 1 --json
check "... is JSON" is_json out
use 2 "answers that are not given" avqa p.jpg --text a --vocab "$bert"
says "... says how" 'chooses among answers: --labels FILE'
head -n 2 answers.txt > few.txt
use 3 "fewer answers than are ranked" avqa p.jpg --text a --vocab "$bert" --labels few.txt
says "... says how many" 'answers: axis 0 has 2 rows, the model takes 3 to 4096'
printf 'red\n\nblue\n' > blank.txt
use 3 "an empty answer" avqa p.jpg --text a --vocab "$bert" --labels blank.txt
says "... says which" 'line 2 is empty'
tool vqkd beit2:vqkd_tiny tokenize
use 0 "visual tokens of a picture" vqkd p.jpg
tool tokens beit2:cls_tiny token_logits
use 0 "classes of every token" tokens p.jpg
says "... are a tensor, not a list of classes" '^logits \[1, 17, ' out
tool vilt vilt:tiny fusion,nlvr2
for file in p.jpg p.png; do
  use 0 "a picture that keeps its aspect: $file" vilt $file --route fusion --text a --vocab "$bert"
  says "... 4 x 5 patches" '^image_hidden \[1, 21, 32\]' out
done
use 0 "two pictures and a sentence" vilt p.jpg p.png --route nlvr2 --text a --vocab "$bert"
says "... are named" '^p.jpg, p.png, "a"$' out
cat p.jpg | ./albef - --route match --text a --text b --vocab "$bert" > out 2> err
check "one picture from a pipe with two sentences" [ $? -eq 0 ]
check "... two results" [ "$(grep -c '^-, "[ab]"$' out)" -eq 2 ]
use 3 "a pair whose second picture cannot be read" vilt p.jpg cut.png p.jpg p.png --route nlvr2 --text a --text b --vocab "$bert"
says "... the other pair has its own sentence" '^p.jpg, p.png, "b"$' out
says "... the picture is named" 'vilt: cut.png: '
use 2 "one picture of two" vilt p.jpg --route nlvr2 --text a --vocab "$bert"
printf 'model m(n = 4) {\n  dim B = 1..2\n  dim N = 1..20\n  prepare at: patches(of = "picture", patch = 8)\n  route r(at: i32[B, N, 2]) -> y: i32[B, N, 2] {\n    return at + 1\n  }\n}\n' > orphan.sy
tool orphan orphan.sy r
use 3 "patches of no picture" orphan --route r
says "... are refused" 'whose patches at are'
for page in vilt vlmo beit3 bert beit beit2 albef; do run 0 "$page:tiny, all routes" emit $page:tiny --emit=ir@input -o all.ir; done
printf 'model m(n = 4) {\n  dim B = 1..2\n  prepare image: picture(resize = shorter_capped(32, 48, 8))\n  prepare y: labels(softmax = false, top = 2)\n  route r(image: f32[B, 3, 32, 40]) -> y: f32[B, n] {\n    weight w: f32[n, 3840]\n    return affine(reshape(image, [B, 3840]), w)\n  }\n}\n' > capped.sy
tool capped capped.sy r
use 0 "shorter side, multiple of 8" capped p.jpg
check "as many classes as the page says" [ "$(grep -c class out)" -eq 2 ]
use 2 "a program of one route" capped --text a
says "... says what it lacks" 'route r takes 1 picture an item, 0 given'

### any labels as classes, vectors of many pictures, the nearest of them
printf '#version\nq q\n' > merges.txt # CLIP's tokenizer with one merge: 512 bytes, that and the ends
run 0 "clip: weights" weights init clip:tiny -D vocab=515 -o clip.safetensors
run 0 "clip: executable" build clip:tiny -D vocab=515 --isa "$best" -w clip.safetensors -o clip
# grain FILE SEED: a PPM of 32 x 32 pixels
grain() { { printf 'P6\n32 32\n255\n' && awk -v seed="$2" 'BEGIN { srand(seed); for (i = 0; i < 3072; i++) printf "%c", 32 + int(rand() * 90) }'; } > "$1"; }
mkdir -p photos/more
for i in 0 1 2 3 4 5; do grain photos/$i.ppm $i; done
grain photos/more/6.PPM 6 && grain photos/.hidden.ppm 7 && echo 'no picture' > photos/notes.txt
printf 'cat\ndog\nred\n' > animals.txt
use 0 "zero-shot: labels" clip photos/0.ppm photos/1.ppm --labels animals.txt --vocab merges.txt
cp out zero.txt
check "... each picture and three classes" [ "$(grep -c '^photos/[01].ppm$\|%  [a-z]*$' out)" -eq 8 ]
sed 2,4\!d zero.txt > want
cat photos/0.ppm | ./clip - --labels animals.txt --vocab merges.txt > out 2> err
check "zero-shot: a picture from a pipe, read once" sh -c 'sed 1d out | cmp - want'
use 3 "zero-shot: beside pictures that cannot be read" clip photos/notes.txt photos/0.ppm nosuch.jpg photos/1.ppm --labels animals.txt --vocab merges.txt
check "... the others have the same results" cmp out zero.txt
says "... counted" '2 of 4 could not be read'
use 3 "... JSON" clip photos/notes.txt photos/0.ppm --labels animals.txt --vocab merges.txt --json
check "... is JSON" is_json out
says "... has the error" '{"image": "photos/notes.txt", "error": ' out
use 3 "retrieve: beside a picture that cannot be read" clip cut.jpg photos/0.ppm --text a --text b --vocab merges.txt
says "... the other has its row" '^photos/0.ppm$' out
use 0 "zero-shot: the sentences of the template" clip photos/0.ppm photos/1.ppm --vocab merges.txt --text "a photo of a cat." --text "a photo of a dog." --text "a photo of a red."
sed -n 's/^ *\([0-9.]*%\).* a \([a-z]*\)\.$/\1 \2/p' out | sort > want
sed -n 's/^ *\([0-9.]*%\) *\([a-z]*\)$/\1 \2/p' zero.txt | sort > got
check "... have the same probabilities" cmp want got
use 0 "zero-shot: --time" clip photos/0.ppm photos/1.ppm --labels animals.txt --vocab merges.txt --time
check "zero-shot: times of pictures and of sentences" test "$(grep -cE '^route (image|text): [0-9]+ calls? on ' out)" = 2
use 0 "zero-shot: --time --json" clip photos/0.ppm photos/1.ppm --labels animals.txt --vocab merges.txt --time --json
check "zero-shot: --time --json is JSON" is_json out
check "zero-shot: --time --json has both routes" [ "$(grep -c '{"route": "[a-z]*", "calls": [0-9]*, ' out)" -ge 2 ]
use 0 "zero-shot: a template twice" clip photos/0.ppm photos/1.ppm --labels animals.txt --vocab merges.txt --template 'a photo of a {}.' --template 'a photo of a {}.'
check "... changes nothing" cmp out zero.txt
use 0 "zero-shot: two templates, JSON" clip photos/0.ppm --labels animals.txt --vocab merges.txt --template 'a {}' --template '{}s' --scale 10 --json
check "... is JSON" is_json out
sed -n 's/.*"label": "dog", "logit": \([-0-9.e]*\),.*/\1/p' out > logit
printf 'a dog\ndogs\n' > dogs.txt
use 0 "embed: lines of text" clip embed --lines dogs.txt -o dogs_2.npy --vocab merges.txt
use 0 "embed: one picture" clip embed photos/0.ppm -o lone.npy
for f in dogs_2 lone; do od -An -v -w96 -j128 -tf4 $f.npy; done > rows
check "... the logit is that of the mean vector" awk -v logit="$(cat logit)" '
  { for (i = 1; i <= NF; i++) v[NR, i] = $i; n = NF }
  END { for (i = 1; i <= n; i++) { m = v[1, i] + v[2, i]; dot += m * v[3, i]; mm += m * m; vv += v[3, i] ^ 2 }
        d = logit - 10 * dot / sqrt(mm); print logit, 10 * dot / sqrt(mm), vv
        exit !(n == 24 && logit != "" && d * d < 1e-9 && (vv - 1) ^ 2 < 1e-10) }' rows
printf '\357\273\277["cat", "dog", "red"]' > animals.json
use 0 "zero-shot: labels as JSON, with a mark" clip photos/0.ppm photos/1.ppm --labels animals.json --vocab merges.txt
check "... are the same" cmp out zero.txt
use 3 "zero-shot: merges of another number" clip photos/0.ppm --labels animals.txt --vocab pointer.txt
printf '#version\nq q\nq q</w>\n' > many.txt
use 3 "zero-shot: merges of another number" clip photos/0.ppm --labels animals.txt --vocab many.txt
says "... both numbers are named" 'has 516 tokens, the model 515'
use 2 "zero-shot: --cased without WordPiece" clip photos/0.ppm --labels animals.txt --vocab merges.txt --cased
use 0 "zero-shot: --top" clip photos/0.ppm --labels animals.txt --vocab merges.txt --top 1
check "... one class" [ "$(grep -c '%' out)" -eq 1 ]
use 2 "zero-shot: no vocabulary" clip photos/0.ppm --labels animals.txt
use 2 "zero-shot: no picture" clip --labels animals.txt --vocab merges.txt
says "... says what is missing" 'there is no picture'
use 0 "help of a model that writes no sentences" clip --help
check "... has no options of a search for words" sh -c '! grep -q -e --beams -e --top-p out'
use 0 "help of a model that does" blip --help
says "... has them" '--beams N' out
documented "a program that writes sentences"
use 2 "zero-shot: a template without {}" clip photos/0.ppm --labels animals.txt --vocab merges.txt --template 'a photo'
says "... says where the label goes" 'it has no {}'
printf 'cat\n\ndog\n' > gap.txt
use 3 "zero-shot: an empty label" clip photos/0.ppm --labels gap.txt --vocab merges.txt
says "... is named by its line" 'gap.txt: line 2'
use 3 "zero-shot: a picture that is none" clip photos/notes.txt --labels animals.txt --vocab merges.txt
face 2 "a template without zero-shot" p.jpg --labels animals.txt --template 'a {}'
run 0 "clip without retrieve" build clip:tiny -D vocab=515 --isa portable --routes image,text -w clip.safetensors -o clip_two
use 2 "zero-shot: no scale" clip_two photos/0.ppm --labels animals.txt --vocab merges.txt
says "... asks for one" '--scale 100'
use 0 "zero-shot: --scale" clip_two photos/0.ppm --labels animals.txt --vocab merges.txt --scale 100

# probabilities that are sigmoids: the bias of the scores is found by the program, with one label too
spm=$source/tests/golden/tokenizers/spm/xlmr_like.model
run 0 "siglip: weights" weights init siglip:tiny -D vocab=2400 -o siglip.safetensors
run 0 "siglip" build siglip:tiny -D vocab=2400 --isa portable -w siglip.safetensors -o siglip
echo Cat > cat.txt
use 0 "zero-shot: sigmoid" siglip photos/0.ppm photos/1.ppm --labels cat.txt --template "{}!" --vocab "$spm"
sed -n 's/^ *\([0-9.]*%\).*/\1/p' out > got
use 0 "retrieve: sigmoid" siglip photos/0.ppm photos/1.ppm --text cat --text "a dog" --vocab "$spm"
check "zero-shot: sigmoid: the probabilities of the route that compares" sh -c "sed -n 's/^ *\([0-9.]*%\).*  cat\$/\1/p' out | cmp - got"
check "... of each picture" [ "$(grep -c '%' got)" -eq 2 ]
use 2 "zero-shot: sigmoid: a scale without its bias" siglip photos/0.ppm --labels cat.txt --vocab "$spm" --scale 10
says "... says so" 'also have a bias'
use 0 "zero-shot: cosines of a page without softmax" albef p.jpg --labels animals.txt --vocab "$bert"
says "... are numbers, not shares" '^ *-*[0-9]\.[0-9]*  dog$' out

mkfifo photos/pipe.png
timeout 60 ./clip embed photos -o v.npy > out 2> err < /dev/null
check "embed: a pipe in a folder is not waited for" [ $? -eq 0 ]
says "... but named" 'passed over, no regular file: photos/pipe.png'
rm -f photos/pipe.png v.npy v.txt
use 0 "embed: a folder" clip embed photos -o v.npy --batch 2
says "... says what is where" '^v.npy: 7 vectors of 24, names in v.txt$' out
printf 'photos/%s\n' 0.ppm 1.ppm 2.ppm 3.ppm 4.ppm 5.ppm more/6.PPM > want
check "... names by name, no hidden files" cmp v.txt want
check "... nothing else is left" sh -c '! ls v.npy.part v.txt.part'
head -c 128 v.npy | tr -d '\223' > head
says "... the header of NumPy" "'<f4', 'fortran_order': False, 'shape': (7, 24)" head
check "... as long as it should be" [ "$(wc -c < v.npy)" -eq $((128 + 7 * 24 * 4)) ]
for f in --batch=1 --batch=3 --threads=3; do
  use 0 "embed: $f" clip embed photos -o w.npy $f
  check "... the same vectors" cmp v.npy w.npy
done
# killed in the middle of a row; sh counts in 512 bytes
sh -c 'ulimit -c 0 && ulimit -f 1 && exec ./clip embed photos -o cut.npy --batch 2' > out 2>&1 < /dev/null
check "embed: killed" [ -s cut.npy.part ]
check "... nothing that looks whole is there" [ ! -e cut.npy ]
cp cut.npy.part cut.npy.kept && cp cut.txt.part cut.txt.kept
use 2 "embed: goes not on with another batch" clip embed photos -o cut.npy --batch 3
says "... and says how" '--restart'
use 0 "embed: goes on" clip embed photos -o cut.npy --batch 2
says "... where it was" 'goes on after [24] of 7'
check "... to the same bytes" cmp cut.npy v.npy
check "... and names" cmp cut.txt v.txt
cp cut.npy.kept cut.npy.part && sed 's|photos/|pictures/|' cut.txt.kept > cut.txt.part
use 3 "embed: names of other pictures" clip embed photos -o cut.npy --batch 2
use 0 "embed: --restart" clip embed photos -o cut.npy --batch 2 --restart
check "... the same bytes again" cmp cut.npy v.npy
rm cut.txt && echo keep > cut.npy.part
use 3 "embed: a file in the way" clip embed photos -o cut.npy
check "... is kept" grep -q keep cut.npy.part
head -c 99 photos/1.ppm > photos/10.ppm
use 3 "embed: a broken picture" clip embed photos -o w.npy --batch 2
says "... is named" 'left out: photos/10.ppm: '
says "... and counted" '1 of 8 could not be read'
check "... the others are there" cmp w.npy v.npy
use 3 "embed: --strict" clip embed photos -o s.npy --batch 2 --strict
says "... names it" 'photos/10.ppm: '
says "... keeps what is done" '2 of 8 are done'
check "... and writes nothing whole" [ ! -e s.npy ]
use 3 "embed: goes on without --strict" clip embed photos -o s.npy --batch 2
check "... to the same bytes" cmp s.npy v.npy
rm photos/10.ppm
use 2 "embed: nothing" clip embed -o x.npy
use 2 "embed: no -o" clip embed photos
use 2 "embed: more than the model takes" clip embed photos -o x.npy --batch 33
use 2 "embed: an option of other things" clip embed photos -o x.npy --beams 2
use 2 "embed: pictures and lines" clip embed photos --lines dogs.txt -o x.npy --vocab merges.txt
use 2 "embed: names over the lines" clip embed --lines dogs.txt -o dogs.npy --vocab merges.txt
check "... which are kept" [ "$(wc -l < dogs.txt)" -eq 2 ]
mkdir empty
use 3 "embed: a folder without pictures" clip embed empty -o x.npy
use 3 "embed: no picture at all" clip embed photos/notes.txt -o x.npy
check "none of them left a file" sh -c '! ls x.npy* x.txt*'
use 0 "embed: JSON" clip embed photos -o w.npy --json
check "... is JSON" is_json out
face 0 "embed: a classifier's features" embed p.jpg p.png -o features.npy
face 2 "embed: lines for a model without text" embed --lines dogs.txt -o x.npy

for i in 0 3 5; do
  use 0 "search: picture $i" clip search v.npy --image photos/$i.ppm --top 2
  sed -n 2p out > seen
  says "... finds itself" "^ *1\.0000  photos/$i.ppm\$" seen
done
use 0 "search: sentences" clip search v.npy "a dog" cat --vocab merges.txt
check "... all rows of both, best first" sh -c 'sed "s/  *\([-0-9.]*\)  .*/\1/" out | awk "/^[a-z]/ { q++; last = 2; next } { n++; if (\$1 > last) bad = 1; last = \$1 } END { exit !(q == 2 && n == 14 && !bad) }"'
cp out all.txt
use 0 "search: one thread" clip search v.npy "a dog" cat --vocab merges.txt --threads 1
check "... the same answer" cmp out all.txt
use 3 "search: beside a picture that cannot be read" clip search v.npy --image cut.jpg --image photos/3.ppm --top 1 --json
check "... is JSON" is_json out
says "... has the error" '{"image": "cut.jpg", "error": ' out
says "... and the other's row" '"name": "photos/3.ppm"' out
use 0 "search: JSON" clip search v.npy --image photos/0.ppm --top 1 --json
check "... is JSON" is_json out
says "... with row, name and score" '"top": \[{"index": 0, "name": "photos/0.ppm", "score": \(1\|1.0000\|0.9999\)[0-9]*}\]' out
cp v.npy bare.npy
use 0 "search: no names" clip search bare.npy --image photos/4.ppm --top 1
says "... is said" 'no bare.txt'
says "... and rows have numbers" '1.0000  row 4$' out
head -n 6 v.txt > bare.txt
use 3 "search: too few names" clip search bare.npy --image photos/4.ppm
says "... both numbers are said" '6 lines, and there are 7 vectors'
rm bare.txt
use 3 "search: vectors of another width" clip search features.npy --image photos/4.ppm
says "... both widths are said" 'vectors of 32 numbers, clip makes 24'
use 2 "search: nothing to look for" clip search v.npy
use 2 "search: no file" clip search
use 2 "search: a sentence without a vocabulary" clip search v.npy dog
use 3 "search: vectors that are not there" clip search nosuch.npy dog --vocab merges.txt
# npy NAME DESCR SHAPE: a header of 128 bytes before the rows of v.npy
npy() { { printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': $3, }" && tail -c +129 v.npy; } > "$1"; }
npy deep.npy '<f4' '(7, 4, 6)' && npy ints.npy '<i4' '(7, 24)' && npy wide.npy '<f8' '(7, 12)' && npy nlone.npy '<f4' '(0, 24)'
npy long.npy '<f4' '(8, 24)' && npy huge.npy '<f4' '(99999999999999, 24)' && npy flat.npy '<f4' '(168,)' && npy words.npy '<U4' '(7, 24)'
{ printf '\223NUMPY\001\000w\000%-118s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (7, 24), }" && tail -c +129 v.npy; } > odd.npy
: > void.npy
for n in 5 11 60 128 799; do head -c $n v.npy > cut_$n.npy; done
for f in deep ints wide none long huge flat words odd void cut_5 cut_11 cut_60 cut_128 cut_799; do
  use 3 "search: $f.npy" clip search $f.npy --image photos/0.ppm
  says "... is named" "$f.npy"
done
for c in embed search; do
  face 0 "$c --help" $c --help
  says "... how it is called" "^usage: vit-tiny $c " out
  documented "$c"
done

### other commands
run 0 "explain" explain vit:tiny
says "explain names routes" 'classify' out
says "explain says what the arena is for" '^arena at the bounds, B = 32: ' out
run 0 "explain with few kernels" explain align:tiny --routes image
cp out brief
run 0 "explain with all kernels" explain align:tiny --routes image --verbose
check "... fewer rows otherwise" [ "$(wc -l < brief)" -lt "$(($(wc -l < out) - 10))" ]
says "... the others are summed up" '^    [1-9][0-9]* others (--verbose lists them)  *[0-9]' brief
for f in brief out; do
  check "... all launches are there, $f" awk '/ launches of / { want = $3 } /%$/ { n += $(NF - 4) } END { print n, want; exit !(want > 0 && n == want) }' $f
done
run 0 "explain --json" explain vit:tiny --json
check "... is JSON" is_json out
run 0 "explain lists stages" explain vlmo:tiny --routes image
says "... with what begins them" '^stage pairs from language  # the third stage' out
says "... and what they train" 'trained    only "\*text_embeddings\*", ' out
says "... and how" 'optimiser  adamw_hf, lr 0.0002, decay 0.01; schedule linear' out
run 0 "explain lists stages as JSON" explain vlmo:tiny --routes image --json
says "... with their objectives" '"stages"' out
run 0 "a stage is compiled" emit vlmo:tiny --stage language --gradients --emit=ir@gradient -o -
says "... its objective" '^graph @masked_text objective' out
says "... what it trains" 'output "transformer.blocks.0.mlp_text.fc1.weight" = %[0-9]* role gradient' out
check "... and not what it freezes" test -z "$(grep 'output "transformer.blocks.0.attn.*role gradient' out)"
says "... and its record" '^stage "language" ' out
cp out stage.ir && run 0 "... reads back" emit stage.ir --emit=ir@gradient -o -
says "... with the record" '^  steps 200000' out
run 1 "a stage that is not there" emit vlmo:tiny --stage languages
says "... has a near one" "did you mean 'language'" err
run 2 "a stage of graph IR" emit stage.ir --stage language
run 0 "explain a code" explain E0101
says "... with its example" "^    name_unknown.sy:5:12: error: .*E0101" out
says "... as a program" "^    model m(n = 4) {" out
run 0 "explain a code of an earlier version" explain E0250
says "... by the present one" "^E0204: " out
run 2 "explain a code that is not there" explain E9999
run 0 "bench" bench vit:tiny --routes classify --rounds 3 --threads 1 --isa avx2
run 0 "bench of a generate" bench blip:caption_tiny --routes caption --words 4 --rounds 2 --threads 1 -o words.safetensors
says "... counts the steps behind the first word" '^3 words behind the first: median' out
says "... and the bytes of a step" 'MB of weights and state, .* GB/s, .* % of the [1-9][0-9.]* GB/s of this memory' out
cp words.safetensors words_1.safetensors
run 0 "bench of a generate, JSON" bench blip:caption_tiny --routes caption --words 4 --rounds 2 --threads 2 --json -o words.safetensors
says "... has words a second" '"words": *3, *"words_per_s": *[0-9]' out
check "... and the same scores and words" cmp words.safetensors words_1.safetensors
run 0 "bench of a generate, a batch" bench blip:caption_tiny --routes caption --words 2 --batch 3 --rounds 1 -o words.safetensors
run 0 "... leaves its words" weights inspect words.safetensors
says "... of every picture" '^ids .*\[3,3\]' out
run 2 "one word is no step" bench blip:caption_tiny --routes caption --words 1
says "... and says how many fit" 'from 2 to 21 words fit'
run 2 "more words than fit" bench blip:caption_tiny --routes caption --words 22
run 0 "bench of a generate with masks" bench beit3:tiny --routes caption --rounds 1 --threads 1
run 0 "bench --json" bench vit:tiny --routes classify --rounds 3 --threads 1 --json
check "... is JSON" is_json out
printf '\n\nand this\n' > three_lines
stdin=three_lines
run 0 "bench by turns" bench vit:tiny --routes classify --threads 1 --turns --quiet
check "... answers each line with a time" awk 'NR == 1 { ok = $0 == "ready" } NR > 1 && NR < 5 { ok = ok && $1 > 0 && NF == 1 } NR == 5 { ok = ok && /, [1-9][0-9]* rounds$/ } END { exit !(ok && NR > 5) }' out
run 0 "bench of a generate by turns" bench blip:caption_tiny --routes caption --words 2 --threads 1 --turns --json
check "... answers, then says all in JSON" awk 'NR > 1 && NR < 5 { n += $1 > 0 } NR == 5 { json = /"words": 1,/ } END { exit !(n == 3 && json && NR == 5) }' out
stdin=
run 2 "bench by turns with a number of rounds" bench vit:tiny --turns --rounds 3
says "... says which to leave out" 'leave out --rounds'
run 3 "bench by turns without one" bench vit:tiny --routes classify --turns
says "... says so" 'standard input: ended before the first turn'
run 2 "check without a folder" check vit
run 3 "check of a folder that is not there" check vit --golden nosuch
# an operator along another axis than the last: columns (3, 4) and (0, 1) divided by their lengths
mkdir -p columns
header='{"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"y":{"dtype":"F32","shape":[2,2],"data_offsets":[16,32]}}'
{ printf "\\$(printf %03o ${#header})\0\0\0\0\0\0\0%s" "$header"
  printf '\0\0\100\100\0\0\0\0\0\0\200\100\0\0\200\77'
  printf '\232\231\31\77\0\0\0\0\315\314\114\77\0\0\200\77'; } > columns/io.safetensors
columns() { # AXIS: the case with that axis
  echo '{"format": 1, "set": "columns", "cases": [{"name": "unit", "kind": "op", "op": "l2_normalise", "attributes": {"axis": '"$1"'},
    "tensors": ["io.safetensors"], "inputs": {"x": "x"}, "outputs": {"y": "y"}, "atol": 1e-6, "rtol": 1e-6}]}' > columns/cases.json
}
columns 0
run 0 "an op case along the first axis" check "$source/models" --golden columns --backend interp
says "... passes" '1 passed, 0 failed' out
columns 1
run 4 "... along the last one it differs" check "$source/models" --golden columns --backend interp
columns 2
run 4 "... and there is no third" check "$source/models" --golden columns --backend interp
# a wrong field of cases.json is an error of the file, which names it
wrong_case() { # FIELDS WANT: of an op case, behind those of `columns`
  columns 0
  sed -i 's|"atol": 1e-6, "rtol": 1e-6|'"$1"'|' columns/cases.json
  run 3 "cases.json with $1" check "$source/models" --golden columns --backend interp
  says "... names case and field" "columns/cases.json: case \"unit\": \"$2"
}
wrong_case '"atol": "1e-6"' 'atol" must be a finite number, not negative, it is a string'
wrong_case '"atol": -1' 'atol" must be'
wrong_case '"rtol": null' 'rtol" must be'
columns 0
sed -i 's|{"y": "y"}|["y"]|' columns/cases.json
run 3 "cases.json with a list of outputs" check "$source/models" --golden columns --backend interp
says "... says what is wrong" '"outputs" must be an object of tensor names, and not empty, it is an array$'
sed -i 's|\["y"\]|{}|' columns/cases.json
run 3 "... and with none" check "$source/models" --golden columns --backend interp
says "... says so" '"outputs" must be an object of tensor names, and not empty'
columns '"0"'
run 3 "... with an axis that is text" check "$source/models" --golden columns --backend interp
says "... says so" '"attributes.axis" must be a whole number'
echo '{"cases": [3]}' > columns/cases.json
run 3 "... with a case that is a number" check "$source/models" --golden columns --backend interp
says "... says which" 'case number 1: it must be an object'
echo '{"cases": [' > columns/cases.json
run 3 "... cut short" check "$source/models" --golden columns --backend interp
says "... says so" 'is no JSON'
# outputs of f16 and bf16 are compared as what they are: 1.5 is not 1.25
halves() { # TYPE HEX HEX NAME: x (1.5 and 2 as f32) and what a cast to TYPE must give
  header='{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"'"$1"'","shape":[2],"data_offsets":[8,12]}}'
  { printf "\\$(printf %03o ${#header})\0\0\0\0\0\0\0%s" "$header"
    printf '\0\0\300\77\0\0\0\100'
    printf "$2$3"; } > halves/io.safetensors
  printf 'model half() {\n  dim B = 1..2\n  route r(x: f32[B]) -> y: %s[B] {\n    return cast(x, %s)\n  }\n}\n' "$4" "$4" > half.sy
  echo '{"cases": [{"name": "h", "kind": "forward", "model": "half.sy", "entry": "half", "weights": [], "tensors": ["io.safetensors"],
    "route": "r", "inputs": {"x": "x"}, "outputs": {"y": "y"}, "atol": 0, "rtol": 0}]}' > halves/cases.json
}
mkdir -p halves
halves F16 '\0\76' '\0\100' f16
if "$syc" emit half.sy --emit=kir > out 2> err; then
  run 0 "an f16 output" check half.sy --golden halves --backend interp
  says "... passes" '1 passed, 0 failed' out
  halves F16 '\0\75' '\0\100' f16
  run 4 "an f16 output that differs" check half.sy --golden halves --backend interp
  says "... by how much" 'abs 0.25 ' out
  halves BF16 '\300\77' '\0\100' bf16
  run 0 "a bf16 output" check half.sy --golden halves --backend interp
  halves BF16 '\300\77' '\200\77' bf16
  run 4 "a bf16 output that differs" check half.sy --golden halves --backend interp
  says "... by how much" 'abs 1 ' out
else skip "outputs of f16 and bf16" "no kernel makes them"; fi
# three sequences of three beams each where the model takes three rows: one after the other, the authors' words
for set in blip_caption:caption_beam3 beit3:caption_beam3; do
  run 0 "sequences and beams in parts: $set" check "$source/models" --golden "$source/tests/golden/${set%:*}" --case "${set#*:}" --dim B=3 --backend interp
  says "... $set passes" '1 passed, 0 failed' out
done
mkdir -p rule && cp "$source"/tests/golden/beit3/*.safetensors rule
sed 's/"rule": "beit3"/"rule": "hf"/' "$source/tests/golden/beit3/cases.json" > rule/cases.json
run 4 "a case searched by another rule" check "$source/models" --golden rule --case caption_beam3 --backend interp
says "... which" "the page searches by masked_word, the case by rule 'hf'" out

### examples, an installation, and a project that uses it
for example in embed_c embed_cpp; do
  if [ ! -d "$source/examples/$example" ]; then continue; fi
  if ! have make || { [ $example = embed_cpp ] && ! have g++; }; then
    skip "examples/$example" "no make or no g++"
    continue
  fi
  cp -r "$source/examples/$example" .
  run 0 "$example: emit" emit vit:tiny --emit=c -o $example/vit.c
  check "$example: make" make -C $example CFLAGS=-O1 CXXFLAGS=-O1
done
if have cmake && have ninja && [ -f "$build/cmake_install.cmake" ]; then
  mv "$build/share/syc.1" syc.1.kept # as after a build of syc alone
  check "cmake --install without the manual" cmake --install "$build" --prefix "$dir/prefix_small"
  mv syc.1.kept "$build/share/syc.1"
  check "... has syc" prefix_small/bin/syc --version
  check "cmake --install" cmake --install "$build" --prefix "$dir/prefix"
  check "installed files" ls prefix/bin/syc prefix/lib/libsyrt.a prefix/include/switchyard/switchyard.h prefix/share/man/man1/syc.1 \
    prefix/lib/pkgconfig/switchyard.pc prefix/share/switchyard/models/vit.sy
  check "installed syc builds an executable" prefix/bin/syc build vit:tiny -w tiny.safetensors -o installed
  check "... which runs" ./installed p.jpg
  if have pkg-config; then
    printf '#include <switchyard.h>\nint main(void) { return sy_cpu_cores() == 0; }\n' > rt.c
    # shellcheck disable=SC2016
    check "pkg-config" sh -c 'PKG_CONFIG_PATH=prefix/lib/pkgconfig; export PKG_CONFIG_PATH
      gcc rt.c $(pkg-config --cflags --libs switchyard) -o rt && ./rt'
  fi
  cp -r "$source/examples/cmake_consumer" consumer
  check "consumer: configure" cmake -S consumer -B consumer/build -G Ninja -DCMAKE_PREFIX_PATH="$dir/prefix" -DWEIGHTS="$dir/tiny.safetensors"
  check "consumer: build" cmake --build consumer/build
  check "consumer: run" consumer/build/classify
  says "consumer: answer" '^class [0-9]* of 10' seen
  check "consumer: build again" cmake --build consumer/build
  says "... nothing to do" 'no work to do' seen
else skip "installation" "no cmake, no ninja, or no build folder"; fi

finish cli

#!/bin/sh
# run.sh [SYC]: the command line of compiled programs where things go wrong around it: names that are no text, closed and
# full streams, files of others in the way, folders that cannot be read, memory that runs out.
#
# Needs gcc; strace for a few checks.
. "$(dirname "$0")/../checks.sh"

# use CODE NAME PROGRAM ARGUMENTS...: a program that we built
use() {
  want=$1 name=$2
  shift 2
  "./$@" > out 2> err < "${stdin:-/dev/null}"
  got=$?
  if [ $got -eq "$want" ]; then ok "$name"; else bad "$name: exit status $got, not $want"; fi
}
# plain NAME FILE...: nothing in the files drives a terminal
plain() {
  name=$1
  shift
  if cat "$@" | tr -d '\n' | grep -aq "$(printf '[\001-\037\177\200-\237]')"; then bad "$name" "$@"; else ok "$name"; fi
}
cat > json.c << 'END'
#include <cjson/cJSON.h>
#include <stdio.h>
int main(void) {
  static char text[1 << 24];
  text[fread(text, 1, sizeof text - 1, stdin)] = 0;
  for (const char *s = text; *s; s++)
    if ((unsigned char)*s >= 0x80) return 2; // names here are no UTF-8: nothing of them may be left
  return !cJSON_ParseWithOpts(text, 0, 1);
}
END
gcc json.c -o json -lcjson 2> err > out || bad "compiling a JSON reader"
is_json() { ./json < "$1"; }

run 0 "clip: weights" weights init clip:tiny -D vocab=515 -o clip.safetensors
run 0 "clip" build clip:tiny -D vocab=515 -w clip.safetensors -o clip
run 0 "vit: weights" weights init vit:tiny -o vit.safetensors
run 0 "vit" build vit:tiny -w vit.safetensors -o vit
printf '#version\nq q\n' > merges.txt
mkdir photos
for i in 0 1 2 3 4; do { printf 'P6 3 2 255\n' && head -c 18 /dev/zero | tr '\0' "\\$((i + 1))"; } > photos/$i.ppm; done

### names that are no text
evil=$(printf 'caf\351\033[31m\177\233m\302\233\342\200\256')
cp photos/1.ppm "photos/$evil.ppm"
for i in $(seq 10); do printf 'r\033[31med\302\233\342\200\256 %s\n' "$i"; done > labels.txt # labels have to be UTF-8
use 0 "classes" vit "photos/$evil.ppm" --labels labels.txt
plain "... are plain text" out err
says "... with what is there" 'caf\\xe9\\x1b\[31m\\x7f\\x9bm\\u009b\\u202e.ppm' out
says "... labels too" 'r\\x1b\[31med\\u009b\\u202e 1' out
use 0 "classes, JSON" vit "photos/$evil.ppm" --labels labels.txt --json
check "... is JSON" is_json out
says "... has the bytes" '"image_hex": "70686f746f732f636166e91b5b33316d7f9b6dc29be280ae2e70706d"' out
use 3 "a picture that is not there" vit "no$evil.jpg"
plain "... is named in plain text" err
use 2 "a route that is not there" vit photos/1.ppm --route "$evil"
plain "... too" err
use 0 "zero-shot" clip "photos/$evil.ppm" --labels labels.txt --vocab merges.txt --template "a {} $evil"
plain "... is plain text" out err
use 0 "sentences, JSON" clip "photos/$evil.ppm" --text "$evil" --vocab merges.txt --json
check "... is JSON" is_json out
use 0 "embed, JSON" clip embed photos -o "$evil.npy" --json
check "... is JSON" is_json out
plain "... messages are plain text" err
check "... names are as they are" grep -aqxF "photos/$evil.ppm" "$evil.txt"
use 0 "search" clip search "$evil.npy" --image "photos/$evil.ppm"
plain "... is plain text" out err
use 0 "search, JSON" clip search "$evil.npy" --image "photos/$evil.ppm" --json
check "... is JSON" is_json out
use 0 "describe, JSON" clip --describe --json
check "... is JSON" is_json out
run 3 "syc: a page that is not there" emit "$evil.sy"
plain "... is named in plain text" err
run 3 "syc: JSON of that" emit "$evil.sy" --diagnostics=json
check "... is JSON" is_json err
printf 'model m(n = 4) {\n' > "$evil.sy"
run 1 "syc: a page with an evil name" emit "$evil.sy"
plain "... is named in plain text" err
run 1 "syc: JSON of that" emit "$evil.sy" --diagnostics=json
check "... is JSON" is_json err
# a checkpoint with a tensor of such a name
name='evil\u009b\u202e'
header="{\"$name\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}"
{ printf "\\$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0"; printf '%s' "$header"; printf '\0\0\0\0'; } > evil.safetensors
run 0 "syc: an evil tensor" weights inspect evil.safetensors
plain "... is named in plain text" out err
run 0 "syc: JSON of that" weights inspect evil.safetensors --json
check "... is JSON" is_json out
run 1 "syc: a misfit with an evil tensor" weights pack vit:tiny -w evil.safetensors -o x.syw
plain "... is named in plain text" err
rm "photos/$evil.ppm"

### streams that are closed or full
use 0 "embed" clip embed photos -o good.npy --batch 2
for closed in '2>&-' '<&-' '<&- 2>&-'; do
  check "embed $closed" sh -c "./clip embed photos -o v.npy --batch 2 $closed && cmp v.npy good.npy && cmp v.txt good.txt"
done
for closed in '>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
  check "embed $closed" sh -c "./clip embed photos -o v.npy --batch 2 $closed; [ \$? -eq 3 ] && cmp v.npy good.npy"
done
for args in --help --version --describe "--describe --json" --selftest "photos/1.ppm --route image" \
  "photos/1.ppm --route image --json" "photos/1.ppm --route image --time" "embed photos -o v.npy" "embed photos -o -" \
  "embed --help" "search good.npy --image photos/1.ppm" "search good.npy --image photos/1.ppm --json"; do
  check "full: $args" sh -c "./clip $args > /dev/full 2> err; [ \$? -eq 3 ] && grep -q 'No space left' err"
done
for args in "help" "help models" "--version" "explain vit:tiny" "explain vit:tiny --json" "explain codes" "emit vit:tiny -o -" \
  "weights inspect vit.safetensors" "weights inspect vit.safetensors --json" "emit --print-passes"; do
  check "full: syc $args" sh -c "$syc $args > /dev/full 2> err; [ \$? -eq 3 ] && grep -q 'No space left' err"
done

### arrays on standard output
check "embed -o -" sh -c './clip embed photos -o - 2> err | cmp - good.npy'
says "... messages go elsewhere" '5 vectors of 24'
check "embed -o /dev/stdout" sh -c './clip embed photos -o /dev/stdout 2> err | cmp - good.npy'
check "... no file is called so" [ ! -e - ]
use 2 "embed -o - --json" clip embed photos -o - --json
use 2 "--out - of several outputs" clip photos/1.ppm --route image --out -
use 0 "--out FILE" vit photos/1.ppm --out one.npy
check "--out -" sh -c './vit photos/1.ppm --out - | cmp - one.npy'
use 2 "--out - --json" vit photos/1.ppm --out - --json

### files of others in the way of unfinished ones
echo precious > victim
for part in v.npy.part v.txt.part; do
  rm -f v.*
  ln -s victim $part
  use 3 "embed: a link for $part" clip embed photos -o v.npy
  says "... is said" "$part: is a link"
  rm $part && cp victim $part
  use 3 "embed: a file for $part" clip embed photos -o v.npy
  says "... is said" "$part is no unfinished embed"
  use 3 "embed: also with --restart" clip embed photos -o v.npy --restart
  check "... it stays, alone" sh -c "cmp $part victim && [ \"\$(echo v.*)\" = $part ]"
  rm $part && mkdir $part
  use 3 "embed: a folder for $part" clip embed photos -o v.npy
  rmdir $part && ln victim $part
  use 3 "embed: a hard link for $part" clip embed photos -o v.npy
  rm $part && mkfifo $part
  check "embed: a pipe for $part" sh -c 'timeout 20 ./clip embed photos -o v.npy; [ $? -eq 3 ]'
  rm $part
done
ln -s victim one.npy.tmp
use 0 "--out beside a link" vit photos/1.ppm --out one.npy
check "the victim is as it was" grep -qx precious victim

### what decides the vectors
printf 'a dog\na cat\nred\n' > lines.txt
stop() { ( ulimit -c 0 && ulimit -f 1 && exec ./clip embed "$@" ) > out 2>&1 < /dev/null; }
for i in 5 6 7 8 9; do cp photos/0.ppm photos/$i.ppm; done
stop photos -o cut.npy --batch 2
check "embed: stopped" [ -s cut.npy.part ]
printf 'P6 3 2 255\n123456789012345678 ' > photos/1.ppm
use 3 "embed: a picture that changed" clip embed photos -o cut.npy --batch 2
says "... is named" 'photos/1.ppm has changed'
use 0 "embed: --restart" clip embed photos -o cut.npy --batch 2 --restart
cp merges.txt words.txt
for i in $(seq 20); do echo "line $i"; done > lines.txt
stop --lines lines.txt -o cut.npy --batch 2 --vocab words.txt
check "embed: lines stopped" [ -s cut.npy.part ]
printf '#version\nw w\n' > words.txt
use 2 "embed: another vocabulary of the same name" clip embed --lines lines.txt -o cut.npy --batch 2 --vocab words.txt
says "... is said" 'vocabulary'
cp merges.txt words.txt
use 0 "embed: the old one again" clip embed --lines lines.txt -o cut.npy --batch 2 --vocab words.txt
says "... goes on" 'goes on after'

### names that are empty, as of a variable that is not set
cp photos/0.ppm empty.ppm
ls -A > before
use 2 "embed -o ''" clip embed empty.ppm -o ""
says "... is said" '--out needs a value'
for o in out weights labels vocab route isa; do use 2 "--$o=" vit empty.ppm --$o=; done
check "... nothing is written" sh -c 'ls -A > after; diff before after | grep -v " before$\| after$\| seen$" | grep "^[<>]"; [ $? -eq 1 ]'

### the words that the fuzz target of this command line begins with
{ ./clip --help && ./clip embed --help && ./clip search --help; } | sed -n 's/^  \(--[a-z-]*\).*/"\1"/p' | sort -u > options
grep -xo '"--[a-z-]*"' "$source/tests/fuzz/dict/face.dict" | sort -u > words
check "the dictionary has every option" sh -c 'comm -23 options words | grep . ; [ $? -eq 1 ]'

### folders
mkdir mixed && cp photos/0.ppm photos/1.ppm mixed
for f in a.gif b.GIF c.ico d.bmp e.heic f.tif notes.txt; do echo > mixed/$f; done
use 0 "embed: kinds that are not read" clip embed mixed -o m.npy
says "... are counted" '2 vectors of 24, names in m.txt; 6 files passed over: .*2 GIF' out
use 0 "embed: in JSON" clip embed mixed -o m.npy --json
says "... too" '"passed_over": 6' out
rm mixed/*.ppm
use 3 "embed: nothing else" clip embed mixed -o none.npy
says "... is said" '6 files passed over'
if have strace && strace -o /dev/null true 2> /dev/null; then
  mkdir many
  for i in $(seq 1200); do ln photos/0.ppm many/$i.ppm; done
  check "embed: a folder that breaks off" sh -c 'strace -qq -o /dev/null -e trace=getdents64 -e inject=getdents64:error=EIO:when=2 ./clip embed many -o z.npy 2> err; [ $? -eq 3 ] && grep -q "many: Input/output error" err && [ ! -e z.npy ]'
else skip "embed: a folder that breaks off" "no strace"; fi

### no shared library
static=1
for l in jpeg png z utf8proc pcre2-8; do [ "$(gcc -print-file-name=lib$l.a)" != lib$l.a ] || static=; done
if [ -n "$static" ] && ! LC_ALL=C grep -q __asan "$syc"; then
  run 0 "static" build vit:tiny -w vit.safetensors --static -o alone
  check "... needs nothing" sh -c 'ldd alone 2>&1 | grep -q "not a dynamic executable"'
  ./vit photos/0.ppm --json > want
  check "... says the same" sh -c './alone photos/0.ppm --json | cmp - want'
  check "... reads and writes arrays" sh -c './vit photos/0.ppm --out a.npy > out && ./alone photos/0.ppm --out b.npy > out && cmp a.npy b.npy'
  printf '#!/bin/sh\nexec gcc -static "$@"\n' > gccs && chmod +x gccs
  run 0 "static, by a compiler that links so" build vit:tiny -w vit.safetensors --cc ./gccs -o alone_2
  check "... needs nothing" sh -c 'ldd alone_2 2>&1 | grep -q "not a dynamic executable"'
  run 0 "static, by arguments of the compiler" build vit:tiny -w vit.safetensors --cc 'gcc -static' -o alone_3
else skip "static" "no static libraries, or a build with sanitizers"; fi
printf '#!/bin/sh\n[ "$1" != -print-file-name=libutf8proc.a ] || { echo libutf8proc.a && exit; }\nexec gcc "$@"\n' > lacking && chmod +x lacking
rm -f alone_4
run 3 "static without a library" build vit:tiny --static --cc ./lacking -o alone_4
says "... is named with its package" 'no libutf8proc.a here; Debian has it in libutf8proc-dev'
check "... nothing is there" [ ! -e alone_4 ]
run 2 "static library" build vit:tiny --static --emit=lib -o x.a

### memory that runs out
cat > starve.c << 'END'
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
static long n, at = -1;
static int fails(void) {
  if (at < 0) at = getenv("STARVE") ? atol(getenv("STARVE")) : 0;
  if (++n != at) return 0;
  errno = ENOMEM;
  return 1;
}
void *malloc(size_t s) { return fails() ? NULL : __libc_malloc(s); }
void *calloc(size_t a, size_t b) { return fails() ? NULL : __libc_calloc(a, b); }
void *realloc(void *p, size_t s) { return fails() ? NULL : __libc_realloc(p, s); }
void *aligned_alloc(size_t a, size_t s) { return fails() ? NULL : __libc_memalign(a, s); }
__attribute__((destructor)) static void end(void) {
  FILE *f = getenv("STARVE_COUNT") ? fopen(getenv("STARVE_COUNT"), "w") : NULL;
  if (f) fprintf(f, "%ld\n", n), fclose(f);
}
END
gcc -shared -fPIC -O1 starve.c -o starve.so 2> err > out || bad "compiling starve.c"
# starved NAME PROGRAM ARGUMENTS...: each allocation fails once (or every seventh, for the long ones): the same result, or
# another exit status and a message; s.npy, if it is there, is whole
starved() {
  name=$1
  shift
  rm -f s.*
  LD_PRELOAD=./starve.so STARVE_COUNT=count "./$@" > want 2> err < /dev/null || bad "$name" || return
  n=$(cat count) step=1 wrong=
  [ ! -e s.npy ] || cp s.npy want.npy
  [ "$n" -lt 60 ] || step=7
  for k in $(seq 1 $step "$n"); do
    rm -f s.*
    LD_PRELOAD=./starve.so STARVE=$k timeout 60 "./$@" > out 2> err < /dev/null
    got=$?
    if [ $got -eq 0 ]; then cmp -s out want || wrong="$wrong $k: other output"
    elif [ $got -gt 3 ] || [ ! -s err ]; then wrong="$wrong $k: status $got"; fi
    if [ -e s.npy ]; then cmp -s s.npy want.npy || wrong="$wrong $k: other vectors"
    elif [ $got -eq 0 ] && [ -e want.npy ]; then wrong="$wrong $k: no vectors"; fi
  done
  rm -f want.npy
  if [ -z "$wrong" ]; then ok "$name, $n allocations"; else echo "$wrong" > out && bad "$name" out; fi
}
if LD_PRELOAD=./starve.so ./clip --version > out 2> err; then
  starved "memory: classes" vit photos/0.ppm photos/2.ppm --labels labels.txt --json
  starved "memory: embed" clip embed photos -o s.npy --batch 3
  starved "memory: search" clip search good.npy --image photos/0.ppm --json
  starved "memory: zero-shot" clip photos/0.ppm --labels labels.txt --vocab merges.txt --json
  starved "memory: describe" clip --describe --json
  starved "memory: self-test" clip --selftest
else skip "memory" "programs cannot be preloaded (sanitizers)"; fi

finish face

#!/bin/sh
# run.sh [SYC]: files: whom the cache trusts, what its keys are made of, outputs that appear whole or not at all, links,
# pipes and devices, signals.
#
# Needs gcc. Some checks need root and a second user (nobody); others say so and are skipped.
. "$(dirname "$0")/../checks.sh"

# page RULE [FACTOR]: a model whose weight comes by a rule
page() {
  printf 'rename other {\n  "w" = "%s"\n}\nmodel m(n = 4) {\n  dim B = 1..4\n  route r(x: f32[B, n]) -> y: f32[B, n] {\n    weight w: f32[n]\n    return %s * x + w\n  }\n}\npreset four = m()\n' \
    "$1" "${2:-1}" > m.sy
}
# made FILE NAME SEED: a checkpoint with one tensor of that name
made() {
  printf 'model made(n = 4) {\n  route r(x: f32[n]) -> y: f32[n] {\n    weight %s: f32[n]\n    return x + %s\n  }\n}\n' "$2" "$2" > made.sy
  "$syc" weights init made.sy --seed "$3" --quiet -o "$1" || bad "making $1"
}
{ printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4), }" && head -c 16 /dev/zero; } > x.npy
# answer [OPTIONS]: what syc run gives for zeros
answer() { "$syc" run m.sy "$@" --quiet -- --input x=x.npy 2> err < /dev/null; }
page w
made a.safetensors w 1 && made b.safetensors w 2
made p.safetensors p 1 && made q.safetensors q 2
"$syc" weights convert p.safetensors q.safetensors --quiet -o both.safetensors || bad "merging two checkpoints"

### keys of the cache are contents
answer -w a.safetensors > one
answer -w b.safetensors > two
answer -w a.safetensors > again
check "two checkpoints, two answers" sh -c '[ -s one ] && ! cmp -s one two && cmp -s one again'
page p && answer -w both.safetensors > by_p
page q && answer -w both.safetensors > by_q
answer -w q.safetensors > q_alone
check "another rule of the page, another weight" sh -c '[ -s by_p ] && ! cmp -s by_p by_q && cmp -s by_q q_alone'
page w
cat a.safetensors > d.safetensors && answer -w d.safetensors > first
touch -r d.safetensors time
cat b.safetensors > d.safetensors && touch -r time d.safetensors && answer -w d.safetensors > second
check "a checkpoint rewritten in place, with its old time" sh -c 'cmp -s first one && cmp -s second two'
printf '{"weight_map":{"w":"d.safetensors"}}' > d.index.json
answer -w d.index.json > third
cat a.safetensors > d.safetensors && answer -w d.index.json > fourth
check "a shard rewritten in place" sh -c 'cmp -s third two && cmp -s fourth one'
printf 'block add(x, n) {\n  weight w: f32[n]\n  return x + w\n}\n' > part.sy
printf 'use part\nmodel m(n = 4) {\n  dim B = 1..4\n  route r(x: f32[B, n]) -> y: f32[B, n] {\n    return add(x, n)\n  }\n}\n' > m.sy
if answer -w a.safetensors > used; then
  sed -i 's/x + w/x + w + w/' part.sy
  answer -w a.safetensors > used_2
  check "a used page changed" sh -c 'cmp -s used one && ! cmp -s used used_2'
else skip "a used page changed" "$(head -n 1 err)"; fi
page w
printf '#!/bin/sh\n[ "$1" = --version ] && cat cc.version && exit\necho >> cc.calls\nexec gcc "$@"\n' > cc && chmod +x cc
echo 1 > cc.version
answer -w a.safetensors --cc ./cc > with_cc
n=$(wc -l < cc.calls)
answer -w a.safetensors --cc ./cc > with_cc
check "the same compiler is not called again" [ "$(wc -l < cc.calls)" -eq "$n" ]
echo 2 > cc.version
answer -w a.safetensors --cc ./cc > with_cc
check "another version of it is" [ "$(wc -l < cc.calls)" -gt "$n" ]
n=$(wc -l < cc.calls)
answer -w a.safetensors --cc './cc -DOTHER' > with_cc
check "and other arguments" [ "$(wc -l < cc.calls)" -gt "$n" ]

### the cache belongs to its user
cached() { ls "$1"/m-*.exe 2> /dev/null | head -n 1; }
check "the folder is closed to others" [ "$(stat -c %a cache/switchyard)" = 700 ]
planted='#!/bin/sh\necho planted\n'
honest() { # NAME: the answer is right, and nothing that others put there ran
  if cmp -s "$dir/got" "$dir/one"; then ok "$1"; else bad "$1" "$dir/got" "$dir/err"; fi
}
chmod 777 cache/switchyard
exe=$(ls -t cache/switchyard/m-*.exe | head -n 1)
answer -w a.safetensors > got
honest "a folder that was open to others"
check "... is closed" [ "$(stat -c %a cache/switchyard)" = 700 ]
for f in cache/switchyard/m-*.exe; do rm "$f" && printf "$planted" > "$f" && chmod 777 "$f"; done
answer -w a.safetensors > got
honest "an executable that others may write to is made again"
for f in cache/switchyard/m-*.exe; do mv "$f" real.exe && printf "$planted" > fake && chmod 755 fake && ln -s "$dir/fake" "$f"; done
answer -w a.safetensors > got
honest "a link in the place of an executable"
mkdir elsewhere && mkdir -m 700 linked && ln -s "$dir/elsewhere" linked/switchyard
XDG_CACHE_HOME=$dir/linked answer -w a.safetensors > got
honest "a link in the place of the folder"
check "... is not followed" sh -c '[ -z "$(ls elsewhere)" ]'
mkdir -m 777 open
XDG_CACHE_HOME=$dir/open answer -w a.safetensors > got
honest "a folder in one where everybody may rename"
check "... is not used" sh -c '! ls open/switchyard/*.exe'
(cd elsewhere && XDG_CACHE_HOME=relative HOME=$dir/home "$syc" run ../m.sy -w ../a.safetensors --quiet -- --input x=../x.npy) > got 2> err < /dev/null
honest "a relative XDG_CACHE_HOME"
check "... does not count" sh -c '[ -z "$(ls elsewhere)" ]'
env -u XDG_CACHE_HOME HOME="$dir/no/home" TMPDIR="$dir/tmp" "$syc" run m.sy -w a.safetensors -- --input x=x.npy > got 2> err < /dev/null
honest "no home folder"
says "... is said" 'nothing is kept for the next time'
check "... and nothing stays" sh -c '[ -z "$(ls tmp)" ] && [ ! -e no ]'
env -u XDG_CACHE_HOME HOME="$dir/no/home" "$syc" run m.sy -w a.safetensors --quiet -- --nonsense > out 2> err < /dev/null
check "... the exit status is the program's" [ $? -eq 2 ]
mkdir -m 777 loose
TMPDIR=$dir/loose run 3 "a TMPDIR where everybody may rename" weights convert a.safetensors -o -
if [ "$(id -u)" -eq 0 ] && id nobody > /dev/null 2>&1; then
  mkdir -m 1777 shared && mkdir -p shared/switchyard && cp cache/switchyard/m-*.syw shared/switchyard
  printf "$planted" > "shared/switchyard/$(basename "$exe")" && chmod -R 755 shared/switchyard && chown -R nobody shared/switchyard
  XDG_CACHE_HOME=$dir/shared answer -w a.safetensors > got
  honest "a folder of another user"
  mkdir -p foreign/.cache && chown nobody foreign
  env -u XDG_CACHE_HOME HOME="$dir/foreign" "$syc" run m.sy -w a.safetensors --quiet -- --input x=x.npy > got 2> err < /dev/null
  honest "the home of another user"
  check "... is left alone" [ -z "$(ls foreign/.cache)" ]
  for f in cache/switchyard/m-*.exe; do rm "$f" && printf "$planted" > "$f" && chmod 755 "$f" && chown nobody "$f"; done
  answer -w a.safetensors > got
  honest "an executable of another user"
else skip "files of other users" "not root, or no user nobody"; fi

### outputs: all or none
run 0 "an executable with weights" build m.sy -w a.safetensors -o mm
cp mm mm.old && cp mm.syw mm.syw.old
run 3 "a mistyped checkpoint" build m.sy -w a.safetensor -o mm
check "... leaves the old ones" sh -c 'cmp mm mm.old && cmp mm.syw mm.syw.old'
page w 2
run 1 "a checkpoint that does not fit" build m.sy -w both.safetensors -o mm
check "... leaves the old ones" sh -c 'cmp mm mm.old && cmp mm.syw mm.syw.old'
run 0 "a C file" emit m.sy --emit=c -o pair.c
cp pair.c pair.c.old && cp pair.h pair.h.old
mkdir pair.syw
run 3 "several kinds, the last cannot be written" emit m.sy --emit=c,ir,obj -o pair --cc=no-such-compiler
check "... leaves the old ones" sh -c 'cmp pair.c pair.c.old && cmp pair.h pair.h.old && [ ! -e pair.ir ]'
run 2 "the page as output" emit m.sy --emit=ir -o m.sy
run 2 "the page as output, by another name" emit m.sy --emit=ir -o ./../"$(basename "$dir")"/m.sy
run 2 "a checkpoint as output" weights pack m.sy -w a.safetensors -o a.safetensors
check "... are kept" sh -c 'grep -q "^model m" m.sy && "$1" weights inspect a.safetensors' - "$syc"
chmod 600 pair.h
run 0 "a file keeps its mode" emit m.sy --emit=c -o pair.c
check "... 600" [ "$(stat -c %a pair.h)" = 600 ]
(umask 027 && "$syc" emit m.sy --emit=c -o masked.c) > out 2> err
check "a new file has the mode of the umask" [ "$(stat -c %a masked.c)" = 640 ]
echo old > target && ln -s target link && ln -s new dangling && ln -s loop loop
run 0 "through a link" emit m.sy -o link
check "... the link stays" sh -c '[ -L link ] && grep -q "^module\|route\|model" target'
run 0 "through a link to nothing" emit m.sy -o dangling
check "... makes its target" sh -c '[ -L dangling ] && [ -f new ]'
run 3 "a link to itself" emit m.sy -o loop
run 3 "a folder as output" emit m.sy -o cache
run 3 "a folder that is not there" emit m.sy -o no/such/x.ir
for stream in /dev/stdout /dev/fd/1 /proc/self/fd/1; do
  (echo before && "$syc" emit m.sy -o $stream && echo behind) > out 2> err
  check "$stream is the stream that is open" sh -c '[ "$(head -n 1 out)" = before ] && [ "$(tail -n 1 out)" = behind ] && [ "$(wc -l < out)" -gt 4 ]'
done
run 0 "a device" emit m.sy -o /dev/null
if [ -c /dev/full ]; then
  run 3 "a full device" emit m.sy -o /dev/full
  "$syc" emit m.sy > /dev/full 2> err
  check "standard output that is full" [ $? -eq 3 ]
fi
"$syc" emit m.sy >&- 2> err
check "standard output that is closed" [ $? -eq 3 ]
"$syc" emit no/such.sy -o closed.ir 2>&-
check "standard error that is closed" [ $? -eq 3 ]
"$syc" build m.sy -w both.safetensors -o closed 2>&- >&- <&-
check "... no message lands in a file" sh -c '! ls closed* > /dev/null 2>&1'
(ulimit -f 1 && "$syc" weights init vit:tiny -o large.safetensors) > out 2> err
check "a file that may not grow" [ $? -eq 3 ]
check "... is not there" [ ! -e large.safetensors ]
check "no name of ours stays" sh -c '[ -z "$(find . -name ".new-*" -o -name ".syc-*" -o -name "*.tmp*")" ]'

### pipes and devices as input
mkfifo pipe
run 3 "a pipe without a writer" emit pipe
says "... is named" 'pipe: it is a pipe, and nobody writes to it'
cat m.sy > pipe &
run 0 "a pipe with a writer" emit pipe
(cat m.sy | "$syc" emit /dev/stdin) > out 2> err
check "a page from /dev/stdin" grep -q 'graph @r' out
exec 7< m.sy
run 0 "a page from /dev/fd" emit /dev/fd/7
exec 7<&-
run 3 "a device without an end" emit /dev/zero
says "... is named" '/dev/zero: is a device'
run 3 "a folder" emit cache
run 3 "a pipe as a checkpoint" weights inspect pipe
run 3 "a pipe as an index" weights inspect pipe.index.json

### signals: nothing stays, and nothing runs on
deep="vit:base -D depth=3"
"$syc" weights init $deep --quiet -o base.safetensors || bad "making a checkpoint"
# stopped SIGNAL NAME ARGUMENTS...: syc, ended while its output is being written
stopped() {
  signal=$1 name=$2
  shift 2
  mkdir -p stop
  (cd stop && exec setsid env --default-signal=$signal "$syc" "$@") > out 2> err < /dev/null &
  pid=$!
  n=0
  while [ -z "$(find stop tmp -name '.new-*' -size +0)" ] && kill -0 $pid 2> /dev/null && [ $n -lt 600 ]; do
    sleep 0.02
    n=$((n + 1))
  done
  kill -$signal $pid 2> /dev/null
  wait $pid
  code=$?
  find stop tmp -mindepth 1 > out
  if [ $code -le 128 ]; then bad "$name: it was too quick, or did not die of SIG$signal ($code)"; elif [ -s out ]; then bad "$name: SIG$signal leaves files"; else ok "$name: SIG$signal leaves nothing"; fi
  rm -rf stop
}
for signal in INT TERM HUP; do
  stopped $signal "weights pack" weights pack $deep -w ../base.safetensors -o w.syw
  stopped $signal "weights convert" weights convert ../base.safetensors --dtype f16 -o c.safetensors
  stopped $signal "weights init" weights init $deep -o i.safetensors
  stopped $signal "weights convert to a stream" weights convert ../base.safetensors --dtype f16 -o -
done
rm -f base.safetensors
printf '#!/bin/sh\ncase "$*" in *--version*) exit ;; esac\n(sleep 30 && touch "$0.survived") &\necho $! > "$0.child"\ntouch "$0.started"\nwait\n' > slow && chmod +x slow
for signal in INT TERM HUP; do
  rm -f slow.started && mkdir -p stop
  (cd stop && exec setsid env --default-signal=$signal "$syc" build ../m.sy --cc ../slow -o x) > out 2> err < /dev/null &
  pid=$!
  n=0
  while [ ! -e slow.started ] && [ $n -lt 600 ]; do sleep 0.02 && n=$((n + 1)); done
  kill -$signal $pid
  wait $pid
  sleep 0.1
  if kill -0 "$(cat slow.child)" 2> /dev/null && ! grep -q '^State:.Z' "/proc/$(cat slow.child)/status" 2> /dev/null; then
    bad "SIG$signal ends the compiler's children"
  else ok "SIG$signal ends the compiler's children"; fi
  check "... and leaves nothing" sh -c '[ -z "$(find stop tmp -mindepth 1)" ]'
  rm -rf stop
done
finish files

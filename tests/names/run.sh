#!/bin/bash
# run.sh [SYC]: one name space for pages and for what we write ourselves. Every identifier of an emitted module, every word
# of C and C++, and every macro of the headers around it, is tried as the name of a route, an input, an output, a run-time
# dim, the model and the prefix; also names that become equal in capitals or by joining. The C must compile as C11 without
# a warning, the header as C11 and C++17 behind all headers of C, and LLVM's object must have the functions of the header.
#
# Routes, inputs and outputs are tried all at once. Dims, models and prefixes take compilations of their own: a part of
# them, another one every day (or as SWITCHYARD_SEED says); all with NAMES=all (as `scripts/test.sh --nightly` sets it). What
# cannot be a name at some place (a word of C as a prefix, a word of the language) is printed with the reason.
here=$(cd "$(dirname "$0")" && pwd)
source=${SOURCE_DIR:-$(cd "$here/../.." && pwd)}
syc=${1:-${SYC:-$source/build/bin/syc}}
case $syc in /*) ;; *) syc=$PWD/$syc ;; esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM HUP
cd "$dir" || exit 1
export XDG_CACHE_HOME="$dir/cache" TMPDIR="$dir" LC_ALL=C
failed=0
day=${SWITCHYARD_SEED:-$(($(date +%s) / 86400))}
macros=7 # every seventh macro of the headers, other ones every day
[ "$NAMES" = all ] && macros=1

ok() { echo "ok $1"; }
bad() {
  failed=$((failed + 1))
  echo "FAILED $1"
  cut -c1-200 err 2> /dev/null | head -n 12 | sed 's/^/    /'
}
have() { command -v "$1" > /dev/null 2>&1; }

# Every header of C, so that their macros stand before ours.
for h in assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg stdbool stddef \
  stdint stdio stdlib string time wchar wctype unistd sys/types sys/stat pthread termios; do
  echo "#include <$h.h>"
done > all.h
warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
have gcc && gcc -std=gnu11 -x c-header all.h -o all.h.gch
have g++ && printf '#include "all.h"\n#undef I\n#undef complex\n' > all.hpp && g++ -std=gnu++17 -x c++-header all.hpp -o all.hpp.gch

# compiles NAME PREFIX: PREFIX.c as C11, PREFIX.h behind all headers as C and C++
compiles() {
  if have gcc; then
    gcc -std=c11 -O0 -fsyntax-only $warn "$2.c" 2> err || { bad "$1: $2.c, gcc"; return 1; }
    printf '#include "%s.h"\n' "$2" > user.c
    gcc -std=gnu11 -include all.h -fsyntax-only user.c 2> err || { bad "$1: $2.h behind all headers, gcc"; return 1; }
  fi
  if have clang && [ -n "$3" ]; then
    clang -std=c11 -O0 -fsyntax-only $warn "$2.c" 2> err || { bad "$1: $2.c, clang"; return 1; }
  fi
  if have g++; then
    printf '#include "%s.h"\n' "$2" > user.cc
    g++ -std=gnu++17 -include all.hpp -fsyntax-only user.cc 2> err || { bad "$1: $2.h, g++"; return 1; }
  fi
}

# try NAME PREFIX [clang]: page.sy compiles, and its C does
try() {
  "$syc" emit page.sy --emit=c --isa=portable,avx2 --prefix "$2" -o "$2.c" 2> err || { bad "$1: syc"; return 1; }
  compiles "$1" "$2" "$3"
}

# ---- the names ------------------------------------------------------------------------------------------------------
# Words that the language keeps for itself, as names of routes or tensors.
own=$(
  sed -n '/^} words\[\] = {$/,/^};$/p' "$source/frontend/lexer.l" | grep -oE '\{"[a-z]+"' | tr -d '{"'
  sed -n 's/^DTYPE([^,]*, \([a-z0-9]*\),.*/\1/p' "$source/common/dtypes.def"
)
cat > page.sy << 'EOF'
model m() {
  dim B = 1..4
  dim L = 1..6
  route classify(x: f32[B, 8, 8], t: i32[B, L]) -> y: f32[B, 8, 8], w: i32[B, L], z: f32[B, L, 8] {
    weight e: f32[5, 8]
    weight k: f32[8, 8]
    let h = softmax(exp(linear_of(x, k)))
    return h, cast(cast(t, f32), i32), embedding(e, t + 1)
  }
}
block linear_of(x: f32[B, 8, 8], k: f32[8, 8]) -> f32[B, 8, 8] { return matmul(x, k) }
EOF
sed -i 's/linear_of(x, k)/matmul(x, k)/; /^block/d' page.sy
"$syc" emit page.sy --emit=c --isa=portable,avx2,avx512,neon --prefix m -o m.c 2> err || bad "the page that names are taken from"
{
  cat m.c m.h "$source/runtime/switchyard.h" | sed 's/"[^"]*"//g' | grep -oE '[A-Za-z_][A-Za-z0-9_]*'
  cat m.c m.h | sed 's/"[^"]*"//g' | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sed -nE 's/^[mM]_//p; s/^[mM]__//p'
  sed -n '/^static const char \*const words/,/^};/p' "$source/codegen/c_words.c" | grep -oE '[A-Za-z_][A-Za-z0-9_]*'
  echo "_Bool _Complex __func__ __LINE__ __FILE__ _Static_assert _t t T i I a_b A_B a__b _ __ _0 x_check _check route_count count \
    min max MIN MAX elements ELEMENTS arena_bytes ARENA_BYTES min_B MAX_B ROUTE_classify h_included trace glue_init main"
} | tr ' ' '\n' | grep -vxF -f <(echo "$own") | grep -v '^$' | sort -u > names
sort -u names -o names
{
  cat names
  have gcc && echo '#include "all.h"' | gcc -std=gnu11 -dM -E - | awk '{print $2}' | sed 's/(.*//' | awk -v day="$day" -v n="$macros" '(NR + day) % n == 0'
} | grep -vxF -f <(echo "$own") | sort -u > many
echo "$(wc -l < names) identifiers, $(wc -l < many) with macros of the headers"

# ---- all at once, as many as a page takes --------------------------------------------------------------------------------
page() { # AWK PROGRAM that prints a route for each name
  printf 'model m() {\n  dim of_the_test = 1..4\n'
  sed 's/\[B, 4\]/[of_the_test, 4]/g' <(awk "$1" some)
  printf '}\n'
}
all_functions() { # LLVM's object has the functions of the header
  "$syc" emit page.sy --emit=obj --isa=portable --prefix m -o m.o 2> err
  if grep -q "no LLVM\|without LLVM" err; then
    echo "skipped LLVM: $(head -n 1 err)"
  elif have nm; then
    grep -oE '^m_status m_[A-Za-z0-9_]+\(' m.h | sed 's/^m_status //; s/($//; s/(//' | sort > declared
    nm -g --defined-only m.o | awk '{ print $3 }' | sort > defined
    comm -23 declared defined > err
    if [ -s err ]; then bad "functions of the header that LLVM's object lacks"; else ok "LLVM's object has the functions of the header"; fi
  fi
}
split -l 3500 many many.
for f in many.*; do
  mv "$f" some
  page '{ printf "  route %s(x: f32[B, 4]) -> y: f32[B, 4] { return x + 1.0 }\n", $1 }' > page.sy
  try "as routes" m clang && ok "$(wc -l < some) as routes"
  all_functions
  page '{ printf "  route r%d(%s: f32[B, 4]) -> y: f32[B, 4] { return %s + 1.0 }\n", NR, $1, $1 }' > page.sy
  try "as inputs" m && ok "$(wc -l < some) as inputs"
  page '{ printf "  route r%d(x0: f32[B, 4]) -> %s: f32[B, 4] { return x0 + 1.0 }\n", NR, $1 }' > page.sy
  try "as outputs" m && ok "$(wc -l < some) as outputs"
done

# ---- names that become equal ----------------------------------------------------------------------------------------
cat > page.sy << 'EOF'
model m() {
  dim B = 1..4
  dim b = 1..4
  dim B_ = 1..4
  dim X_ELEMENTS = 1..4
  dim M_MAX_B = 1..4
  dim M_MAX_B_ = 1..4
  route r(x: f32[B, 4], X: f32[B, 4], x_: f32[b, 4]) -> y: f32[B, 4], Y: f32[B, 4] { return x, X }
  route R(x: f32[B_, 4], m_R: f32[M_MAX_B, 4], m_call: f32[M_MAX_B_, 4]) -> y: f32[B_, 4] { return x }
  route a(b_c: f32[B, 4], c: f32[X_ELEMENTS, 4]) -> y: f32[B, 4] { return b_c }
  route a_b(c: f32[B, 4]) -> y: f32[B, 4] { return c }
  route min(X: f32[B, 4]) -> y: f32[B, 4] { return X }
  route route(x: f32[B, 4]) -> y: f32[B, 4] { return x }
  route x(elements: f32[B, 4], arena_bytes: f32[B, 4]) -> y: f32[B, 4] { return elements }
  route X_ELEMENTS(x: f32[B, 4]) -> y: f32[B, 4] { return x }
  route init(x: f32[B, 4]) -> y: f32[B, 4] { return x }
  route init_(x: f32[B, 4]) -> y: f32[B, 4] { return x }
  route INIT(x: f32[B, 4]) -> y: f32[B, 4] { return x }
  route count(x: f32[B, 4]) -> y: f32[B, 4] { return x }
}
EOF
sed -i 's/  route route(/  route route_(/' page.sy
try "equal in capitals, equal when joined" m clang && ok "equal in capitals, equal when joined"
sed 's/^  route r(/  route init(/; s/model m/model M/' page.sy | sed '/route init(x: /d' > upper.sy && mv upper.sy page.sy
try "a prefix in capitals" M && ok "a prefix in capitals"

# ---- two models in one program --------------------------------------------------------------------------------------
if have gcc; then
  for p in one two; do "$syc" emit page.sy --emit=c --isa=portable --prefix $p -o $p.c 2> err || bad "two models: syc"; done
  printf '#include "one.h"\n#include "two.h"\nint main(void) { return one_init(0, 0) == ONE_OK || two_init(0, 0) == TWO_OK; }\n' > both.c
  if gcc -std=c11 $warn -ffp-contract=off both.c one.c two.c -o both 2> err && ./both; then ok "two models in one program"
  else bad "two models in one program"; fi
fi

# ---- dims, models, prefixes: a part of them each day --------------------------------------------------------------------
parts=16
[ "$NAMES" = all ] && parts=1
awk -v parts=$parts -v day="$day" '(NR + day) % parts == 0' names > part
tried=0
while mapfile -t -n 12 list && [ ${#list[@]} -gt 0 ]; do
  {
    printf 'model m() {\n'
    for n in "${list[@]}"; do printf '  dim %s = 1..4\n' "$n"; done
    for n in "${list[@]}"; do printf "  route r%d(of_test: f32[%s, 4]) -> y: f32[%s, 4] { return of_test + 1.0 }\n" $((i++)) "$n" "$n"; done
    printf '}\n'
  } > page.sy
  try "as dims: ${list[*]}" m && tried=$((tried + ${#list[@]}))
done < part
[ $tried -eq "$(wc -l < part)" ] && ok "$tried names as run-time dims"

# Modules wait until there are some, and are then compiled by one command; if that fails, each alone.
batch=()
compile_batch() {
  [ ${#batch[@]} -gt 0 ] || return 0
  local p
  printf '#include "%s.h"\n' "${batch[@]}" > batch.c
  cp batch.c batch.cc
  { ! have gcc || { gcc -std=c11 -O0 -fsyntax-only $warn "${batch[@]/%/.c}" && gcc -std=gnu11 -include all.h -fsyntax-only batch.c; }; } 2> err &&
    { ! have g++ || g++ -std=gnu++17 -include all.hpp -fsyntax-only batch.cc 2> err; } ||
    for p in "${batch[@]}"; do compiles "model or prefix $p" "$p"; done
  for p in "${batch[@]}"; do rm -f "$p.c" "$p.h"; done
  batch=()
}
# emit_named NAME [SYC OPTIONS]: page.sy to NAME.c and NAME.h
emit_named() {
  local to=$1
  shift
  "$syc" emit page.sy --emit=c --isa=portable "$@" -o "$to.c" > /dev/null 2> err
}
model_page() {
  printf 'model %s() {\n  dim B = 1..4\n  route t(x: f32[B, 4]) -> y: f32[B, 4] { return x + 1.0 }\n' "$1"
  printf '  route max(x: f32[B, 4]) -> y: f32[B, 4] { return x + 1.0 }\n}\n'
}
# A model's module begins its names with the model's name, or with model_NAME. With --prefix NAME it is the same module, or
# NAME is refused because it cannot be one.
[ "$NAMES" = all ] || { awk 'NR % 4 == 1' part > few && mv few part; }
tried=0 : > refused
while read -r n; do
  model_page "$n" > page.sy
  emit_named model || { bad "model $n: syc"; continue; }
  h=$(sed -n 's/^#include "\(.*\)\.h"$/\1/p' model.c | head -n 1)
  [ "$h" = model ] || { mv model.c "$h.c" && mv model.h "$h.h"; }
  batch+=("$h")
  if [ "$h" != "$n" ]; then
    emit_named "$n" --prefix "$n"
    case $? in
    0) batch+=("$n") ;;
    2) if grep -q '^syc: .*--prefix' err; then sed 's/^syc: [^:]*: *//; s/--prefix //; s/; take another.*//' err >> refused; else bad "prefix $n: no reason"; fi ;;
    *) bad "prefix $n: exit status" ;;
    esac
  fi
  [ ${#batch[@]} -lt 24 ] || compile_batch
  tried=$((tried + 1))
done < part
compile_batch
[ $tried -eq "$(wc -l < part)" ] && ok "$tried names as models and prefixes"
echo "$(wc -l < refused) of them cannot be prefixes and are refused with the reason:"
sed 's/^[^:]*: *//' refused | sort | uniq -c | sort -rn | while read -r n why; do
  echo "  $n $why: $(grep -F ": $why" refused | sed 's/: .*//' | tr '\n' ' ' | cut -c1-1500)"
done

# ---- words of the language ----------------------------------------------------------------------------------------------
# At each place a page either takes such a word as a name, and its C compiles, or says that it is one of its own words.
declare -A place=(
  [route]='model m() {\n  dim B = 1..4\n  route @(x: f32[B, 4]) -> y: f32[B, 4] { return x + 1.0 }\n}\n'
  [input]='model m() {\n  dim B = 1..4\n  route r(@: f32[B, 4]) -> y: f32[B, 4] { return @ + 1.0 }\n}\n'
  [output]='model m() {\n  dim B = 1..4\n  route r(x: f32[B, 4]) -> @: f32[B, 4] { return x + 1.0 }\n}\n'
  [dim]='model m() {\n  dim @ = 1..4\n  route r(x: f32[@, 4]) -> y: f32[@, 4] { return x + 1.0 }\n}\n'
  [model]='model @() {\n  dim B = 1..4\n  route r(x: f32[B, 4]) -> y: f32[B, 4] { return x + 1.0 }\n}\n'
)
for where in route input output dim model; do
  taken='' kept=''
  for n in $own; do
    printf "${place[$where]//@/$n}" > page.sy
    emit_named "w$n" --prefix "w$n"
    case $? in
    0) batch+=("w$n") && taken="$taken $n" ;;
    1) kept="$kept $n" && { grep -q 'error' err || bad "$n as $where: no reason"; } ;;
    *) bad "$n as $where: exit status" ;;
    esac
  done
  compile_batch
  ok "words of the language as $where: taken:$taken; kept by the language:$kept"
done
exit $((failed > 0))

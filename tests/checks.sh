# shellcheck shell=sh
# checks.sh: what the tests of the command share; sourced with the arguments of the script. It leaves the script in an empty
# temporary folder with a cache and a TMPDIR of its own, $syc, $source (the tree) and $build.
here=$(cd "$(dirname "$0")" && pwd)
source=${SOURCE_DIR:-$(cd "$here/../.." && pwd)}
build=${BUILD_DIR:-$source/build}
syc=${1:-${SYC:-$build/bin/syc}}
case $syc in /*) ;; *) syc=$PWD/$syc ;; esac
[ -x "$syc" ] || {
  echo "skipped: $syc is not built"
  exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM HUP
cd "$dir" || exit 1
unset NO_COLOR CLICOLOR_FORCE CC
export XDG_CACHE_HOME="$dir/cache" TMPDIR="$dir/tmp" LC_ALL=C
mkdir -p cache tmp
passed=0 failed=0 skipped=0

ok() { passed=$((passed + 1)) && echo "ok $1"; }
skip() { skipped=$((skipped + 1)) && echo "skipped $1: $2"; }
bad() { # NAME [FILE...]: with what the last command printed
  failed=$((failed + 1))
  echo "FAILED $1"
  shift
  [ $# -gt 0 ] || set -- out err
  cut -c1-200 "$@" 2> /dev/null | head -n 20 | sed 's/^/    /'
}
# check NAME COMMAND...: the command must succeed; what it prints is in seen
check() {
  name=$1
  shift
  if "$@" > seen 2>&1 < /dev/null; then ok "$name"; else bad "$name" seen; fi
}
# run CODE NAME ARGUMENTS...: syc must exit with CODE; leaves its output in out and err
run() {
  want=$1 name=$2
  shift 2
  "$syc" "$@" > out 2> err < "${stdin:-/dev/null}"
  got=$?
  if [ $got -eq "$want" ]; then ok "$name"; else bad "$name: exit status $got, not $want"; fi
}
# says NAME PATTERN [FILE]: a line of what the last command printed matches
says() {
  if grep -q -e "$2" "${3:-err}"; then ok "$1"; else bad "$1: no '$2'"; fi
}
# sets_here: the instruction sets that run on this machine, but for those of products of codes alone; the best one last
sets_here() {
  "$syc" help isa --json | sed -n '/"codes_of"/d; s/.*"name": "\([^"]*\)".*"runs_here": true.*/\1/p'
}
have() { command -v "$1" > /dev/null 2>&1; }
# finish NAME: the last line; fails if a check did
finish() {
  find tmp -mindepth 1 > out
  if [ -s out ]; then bad "temporary files are left"; else ok "no temporary files are left"; fi
  echo "$1: $passed ok, $failed failed, $skipped skipped"
  [ $failed -eq 0 ]
}

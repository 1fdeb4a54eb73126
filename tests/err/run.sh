#!/bin/sh
# run.sh SYC: compiles every wrong program of this folder (NAME.sy, NAME.ir) and compares the diagnostics with NAME.err.
# NAME.args, where there is one: the arguments of `syc emit` in place of --emit=ir, and on a second line the exit status in
# place of 1. Paths of std.sy are reduced to the file's name. docs/errors.md quotes many of them (tests/unit/diag_codes.c).
syc=${1:?usage: run.sh SYC}
case $syc in */*) syc=$(cd "$(dirname "$syc")" && pwd)/$(basename "$syc") ;; esac
cd "$(dirname "$0")" || exit 3
failed=0 count=0
got=$(mktemp) || exit 3
trap 'rm -f "$got" "$got.sy"' EXIT
for file in *.sy *.ir; do
  count=$((count + 1)) name=${file%.*} args=--emit=ir want=1
  [ ! -f "$name.args" ] || { read -r args && read -r want; } < "$name.args"
  # shellcheck disable=SC2086
  "$syc" emit $args "$file" -o - 2> "$got" > /dev/null
  status=$?
  if ! sed 's|[^ ]*std\.sy:|std.sy:|' "$got" | diff -u "$name.err" -; then
    failed=$((failed + 1))
  fi
  if [ $status -ne "${want:-1}" ]; then
    echo "$file: exit status $status, not ${want:-1}"
    failed=$((failed + 1))
  fi
done

# E0010: a page of more than four megabytes
yes '# a comment' | head -n 400000 > "$got.sy"
"$syc" emit --emit=ir "$got.sy" -o - 2>&1 > /dev/null | grep -q 'at most 4194304 are read \[E0010\]$' || {
  echo "a page of more than four megabytes has no E0010"
  failed=$((failed + 1))
}
echo "$count programs, $failed failures"
[ "$failed" -eq 0 ]

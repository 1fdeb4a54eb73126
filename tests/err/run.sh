#!/bin/sh
# run.sh SYC: compiles every wrong program of this folder and compares the diagnostics with NAME.err.
# A program must fail with exit code 1. Paths of std.sy are reduced to the file's name.
syc=${1:?usage: run.sh SYC}
case $syc in */*) syc=$(cd "$(dirname "$syc")" && pwd)/$(basename "$syc") ;; esac
cd "$(dirname "$0")" || exit 3
failed=0 count=0
got=$(mktemp) || exit 3
trap 'rm -f "$got"' EXIT
for file in *.sy; do
  count=$((count + 1))
  "$syc" emit --emit=ir "$file" -o - 2>&1 >/dev/null | sed 's|[^ ]*std\.sy:|std.sy:|' >"$got"
  if ! diff -u "${file%.sy}.err" "$got"; then
    failed=$((failed + 1))
  fi
  "$syc" emit --emit=ir "$file" -o - >/dev/null 2>&1
  if [ $? -ne 1 ]; then
    echo "$file: exit code is not 1"
    failed=$((failed + 1))
  fi
done
echo "$count programs, $failed failures"
[ "$failed" -eq 0 ]

#!/bin/sh
# run.sh: do the rows of bench/ still fit the pages that they measure, and does measuring by turns keep its order? Needs python3;
# nothing is measured.
here=$(cd "$(dirname "$0")" && pwd)
source=${SOURCE_DIR:-$(cd "$here/../.." && pwd)}
syc=${SYC:-${BUILD_DIR:-$source/build}/bin/syc}
command -v python3 > /dev/null || {
  echo "skipped: no python3"
  exit 77
}
export PYTHONDONTWRITEBYTECODE=1
if [ -x "$syc" ]; then # what is measured is what runs here
  measured=$("$syc" help isa --json | python3 "$source/bench/isas.py" all) || exit 1
  there=$("$syc" help isa --json | sed -n '/"codes_of"/d; s/.*"name": "\([^"]*\)", "title": "\([^"]*\)".*"fma": true.*"runs_here": true.*/\1|\2/p' | tac)
  [ "$measured" = "$there" ] || { echo "isas.py: $measured; syc help isa: $there"; exit 1; }
fi
python3 "$here/turns_test.py" "$source/bench/turns.py" && exec python3 "$source/bench/check_rows.py" "$syc"

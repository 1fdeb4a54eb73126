#!/usr/bin/env bash
# evaluate.sh PROGRAM FOLDER [LEAST_ANSWERS LEAST_CAPTIONS LEAST_FOUND]: how often a compiled models/scenes.sy is right about
# scenes that scenes.c wrote with --pictures: its answers, by kind of question; its captions, word for word; and of 100 pictures
# with different captions the one that a caption finds first. Exit status 4 if a share (per cent) is less than asked for.
set -euo pipefail
program=$(realpath "$1") folder=$2 least_answers=${3:-0} least_captions=${4:-0} least_found=${5:-0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(cd "$(dirname "$0")" && pwd)
vocabulary=(--vocab "$here/vocab.txt")

field() { sed "s/.*\"$1\": \"\([^\"]*\)\".*/\1/" "$2"; }
# share RIGHT OF WHAT LEAST: a line; a failure is noted
share() {
  awk -v right="$1" -v of="$2" -v what="$3" -v least="$4" 'BEGIN {
    s = of ? 100 * right / of : 0
    printf "%-10s %5.1f %%  %d of %d\n", what, s, right, of
    exit s < least }' || echo "$3" >> "$work/failed"
}

# answers: pictures and questions in pairs, some hundred at a time
mapfile -t image < <(field image "$folder/scenes.jsonl")
mapfile -t question < <(field question "$folder/scenes.jsonl")
: > "$work/answered"
for ((at = 0; at < ${#image[@]}; at += 400)); do
  args=()
  for ((i = at; i < at + 400 && i < ${#image[@]}; i++)); do args+=("$folder/${image[i]}" --text "${question[i]}"); done
  "$program" --route answer "${args[@]}" "${vocabulary[@]}" --labels "$here/answers.txt" --json |
    sed -n 's/.*"label": "\([^"]*\)".*/\1/p' >> "$work/answered"
done
paste <(field kind "$folder/scenes.jsonl") <(field answer "$folder/scenes.jsonl") "$work/answered" |
  awk '{ n[$1]++; ok[$1] += $2 == $3 } END { for (k in n) print k, ok[k], n[k] }' | sort > "$work/kinds"
while read -r kind right of; do share "$right" "$of" "  $kind" 0; done < "$work/kinds"
share "$(awk '{ s += $2 } END { print s + 0 }' "$work/kinds")" "${#image[@]}" answers "$least_answers"

# captions
awk '{ i = $0; sub(/.*"image": "/, "", i); sub(/".*/, "", i); c = $0; sub(/.*"caption": "/, "", c); sub(/".*/, "", c) }
  !seen[i]++ { print i "\t" c }' "$folder/scenes.jsonl" > "$work/captions"
mapfile -t image < <(cut -f 1 "$work/captions")
(cd "$folder" && "$program" --route caption "${image[@]}" "${vocabulary[@]}") | sed 's/^[^:]*: //' > "$work/said"
share "$(cut -f 2 "$work/captions" | paste - "$work/said" | awk -F '\t' '$1 == $2 { n++ } END { print n + 0 }')" "${#image[@]}" captions "$least_captions"

# pictures by their captions
awk -F '\t' '!seen[$2]++ && ++n <= 100' "$work/captions" > "$work/distinct"
mapfile -t image < <(cut -f 1 "$work/distinct")
mapfile -t caption < <(cut -f 2 "$work/distinct")
(cd "$folder" && "$program" embed "${image[@]}" -o "$work/vectors.npy" > /dev/null)
"$program" search "$work/vectors.npy" "${caption[@]}" "${vocabulary[@]}" --top 1 | sed -n 's/^ .* //p' > "$work/found"
share "$(cut -f 1 "$work/distinct" | paste - "$work/found" | awk '$1 == $2 { n++ } END { print n + 0 }')" "${#image[@]}" found "$least_found"
[ ! -s "$work/failed" ] || exit 4

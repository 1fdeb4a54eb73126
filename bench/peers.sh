#!/usr/bin/env bash
# Measure compiled models beside ONNX Runtime and PyTorch and print one table.
#
#   bench/peers.sh [options]
#
#   --quick              2 rounds of 0.5 s, four small rows unless --rows says otherwise: to see that everything works
#   --rows A,B           only these rows (see `python3 bench/presets.py` for the names)
#   --peers A,B          only these of: ours, ort, torch
#   --threads 1,2        thread counts
#   --rounds N           rounds; in each one every peer runs in a fresh process (default 2)
#   --seconds S          time for the turns of a peer in each round (default 5)
#   --weights WHO        who makes the seeded weights: syc, numpy or auto (default: syc where it works)
#   --seed N             seed of weights and inputs (default 1)
#   --demo ROW=COMMAND   our executable for the cold start of a row; {weights} {input} {raw} {threads} are replaced.
#                        Default: $SWITCHYARD_DEMO_DIR/ROW (build/demo/ROW) where it exists
#   --syc PATH           the compiler (default build/bin/syc, or $SYC)
#   --json FILE          also write the table and all figures as JSON (- for standard output, instead of the table)
#   --cpus LIST          processors to run on, as for taskset (default: the first ones, as many as threads)
#   --setup              install the peers and prepare the models, measure nothing
#   --no-install         never install anything
#   --help               this text
#
# Peers, models and results are kept in $SWITCHYARD_PEERS (default ~/.cache/switchyard-peers; about 14 GB for all rows).
# Exit status: 0 measured, 1 a peer failed or outputs differ, 2 wrong use or nothing to measure with.
# shellcheck disable=SC2317 # many functions here are only called by name
set -euo pipefail

BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(dirname "$BENCH")
CACHE=${SWITCHYARD_PEERS:-$HOME/.cache/switchyard-peers}
PYTHON=${PEERS_PYTHON:-/usr/bin/python3} # the one that apt's python3-torch belongs to
SYC=${SYC:-$REPO/build/bin/syc}
DEMO_DIR=${SWITCHYARD_DEMO_DIR:-$REPO/build/demo}
ORT_VERSION=1.30
ORT_MODULES=$CACHE/ort/node_modules
OPENMP_BLAS=/usr/lib/$(uname -m)-linux-gnu/openblas-openmp
APT_PACKAGES=(python3-numpy python3-torch libopenblas0-openmp nodejs npm gcc libc6-dev)

rows='' quick=0 peers=ours,ort,torch threads=1,2 rounds='' seconds='' weights_by=auto seed=1 json='' cpus='' install=1 setup_only=0
declare -A demo=()

say() { printf 'peers: %s\n' "$*" >&2; }
die() { say "$@"; exit 2; }
usage() { sed -n '2,/^# Exit status/p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; }

while (($#)); do
    case $1 in
    --rows | --peers | --threads | --rounds | --seconds | --weights | --seed | --demo | --syc | --json | --cpus)
        (($# > 1)) || die "$1 needs a value"
        ;;
    esac
    case $1 in
    --quick) quick=1 ;;
    --setup) setup_only=1 ;;
    --no-install) install=0 ;;
    --help) usage; exit 0 ;;
    --rows) rows=$2; shift ;;
    --peers) peers=$2; shift ;;
    --threads) threads=$2; shift ;;
    --rounds) rounds=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --weights) weights_by=$2; shift ;;
    --seed) seed=$2; shift ;;
    --demo) [[ $2 == *=* ]] || die "--demo takes ROW=COMMAND"; demo[${2%%=*}]=${2#*=}; shift ;;
    --syc) SYC=$2; shift ;;
    --json) json=$2; shift ;;
    --cpus) cpus=$2; shift ;;
    *) die "unknown option $1 (--help shows them)" ;;
    esac
    shift
done
if ((quick)); then
    rounds=${rounds:-2} seconds=${seconds:-0.5} rows=${rows:-vit-b16-b1,vit-s16-b1,clip-text-b1,vit-tiny-b1}
fi
rounds=${rounds:-2} seconds=${seconds:-5}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "--rounds takes a positive number"
[[ $seconds =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "--seconds takes a number"
[[ $threads =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || die "--threads takes numbers separated by commas"
[[ $seed =~ ^[0-9]+$ ]] || die "--seed takes a number"
[[ $weights_by =~ ^(auto|syc|numpy)$ ]] || die "--weights takes auto, syc or numpy"
IFS=, read -r -a thread_list <<<"$threads"
most_threads=$(printf '%s\n' "${thread_list[@]}" | sort -n | tail -1)
wants() { [[ ,$peers, == *,$1,* ]]; }

# --- our side: the only calls of the compiler --------------------------------------------------------------------

define_options() { # NAME=VALUE,... or - ; sets the array defines
    local list define
    defines=()
    [[ $1 != - ]] || return 0
    IFS=, read -r -a list <<<"$1"
    for define in "${list[@]}"; do defines+=(-D "$define"); done
}

ours_weights() { # SPEC DEFINES ROUTE OUT
    local defines
    define_options "$2"
    "$SYC" weights init "$REPO/$1" "${defines[@]}" --routes "$3" --seed "$seed" -o "$4" >&2
}

ours_command() { # SPEC DEFINES ROUTE BATCH THREADS ISA WEIGHTS INPUT OUTPUT [OPTION...]; $SYC_BENCH_FLAGS is added as it is; sets command
    local defines
    define_options "$2"
    # shellcheck disable=SC2206
    command=("$SYC" bench "$REPO/$1" "${defines[@]}" --routes "$3" --batch "$4" --threads "$5" --isa "$6" --weights "$7" --input "$8" --output "$9"
        --json --turns "${@:10}" ${SYC_BENCH_FLAGS:-})
}

# --- setup -------------------------------------------------------------------------------------------------------

have_numpy() { "$PYTHON" -c 'import numpy' 2>/dev/null; }
have_torch() { "$PYTHON" -c 'import numpy, torch' 2>/dev/null; }
have_ort() { [[ -f $ORT_MODULES/onnxruntime-node/package.json ]] && command -v node >/dev/null; }

setup_apt() {
    local missing=() package
    for package in "${APT_PACKAGES[@]}"; do
        case $package in
        python3-numpy) have_numpy && continue ;;
        python3-torch) have_torch && continue ;;
        libopenblas0-openmp) [[ -e $OPENMP_BLAS/libblas.so.3 ]] && continue ;;
        nodejs) command -v node >/dev/null && continue ;;
        npm) command -v npm >/dev/null && continue ;;
        gcc | libc6-dev) command -v "${CC:-cc}" >/dev/null && continue ;;
        esac
        missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if ((install)) && [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
        say "installing ${missing[*]}"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >>"$log" 2>&1 ||
            say "apt-get failed (see $log)"
    else
        say "not installed: ${missing[*]}; run: sudo apt-get install --no-install-recommends ${missing[*]}"
    fi
}

setup_ort() {
    have_ort && return 0
    if ((install)) && command -v npm >/dev/null; then
        say "installing onnxruntime-node@$ORT_VERSION into $CACHE/ort"
        mkdir -p "$CACHE/ort"
        [[ -f $CACHE/ort/package.json ]] || printf '{"name": "peers", "private": true}\n' >"$CACHE/ort/package.json"
        (cd "$CACHE/ort" && npm install --ignore-scripts --no-audit --no-fund "onnxruntime-node@$ORT_VERSION") >>"$log" 2>&1 || say "npm failed (see $log)"
    fi
    have_ort || say "ONNX Runtime is missing; run: cd $CACHE/ort && npm install --ignore-scripts onnxruntime-node@$ORT_VERSION"
}

setup_probes() {
    local name
    mkdir -p "$CACHE/bin"
    for name in spawn roundtrip ort_host ort_words; do
        [[ $CACHE/bin/$name -nt $BENCH/$name.c && $CACHE/bin/$name -nt $BENCH/ort_api.h ]] && continue
        "${CC:-cc}" -std=c11 -O2 -pthread "$BENCH/$name.c" -o "$CACHE/bin/$name" -ldl 2>>"$log" || say "$name.c did not compile (see $log)"
    done
    "${CC:-cc}" -std=c11 -D_GNU_SOURCE -O2 -ffp-contract=off -pthread -I"$REPO" "$BENCH/fma_peak.c" "$REPO/driver/peak.c" "$REPO/runtime/cpu.c" \
        -o "$CACHE/bin/fma_peak" 2>>"$log" || say "fma_peak.c did not compile (see $log)"
}

# Make a file by a command that writes $TMP/NAME; several files with that prefix may come of it. An interrupted or
# failed command leaves nothing behind that would be taken for the real thing.
make_file() { # TARGET COMMAND... ; the word @ in the command stands for the file to write
    local target=$1 words=() word
    shift
    [[ -s $target ]] && return 0
    say "making ${target##*/}"
    rm -rf "$TMP" && mkdir -p "$TMP"
    for word; do [[ $word == @ ]] && word=$TMP/${target##*/}; words+=("$word"); done
    if ! "${words[@]}" >>"$log" 2>&1 || [[ ! -s $TMP/${target##*/} ]]; then
        say "failed: ${words[*]:0:3} ... (see $log)"
        rm -rf "$TMP"
        return 1
    fi
    # The file named by the target last: its presence says that all are there.
    find "$TMP" -mindepth 1 ! -name "${target##*/}" -exec mv -f {} "$(dirname "$target")/" \;
    mv -f "$TMP/${target##*/}" "$target"
    rm -rf "$TMP"
}

# A row that writes words has a second graph, of the step, beside the first.
step_graph() { printf '%s-step.onnx\n' "${1%.onnx}"; }

export_graph() { # ROW WEIGHTS INPUT OUT
    local row=$1 out=$4 plain=$TMP/../plain.onnx step=$TMP/../plain-step.onnx status=0
    "$PYTHON" "$BENCH/export_onnx.py" "$row" "$2" "$3" "$plain" "$step" &&
        node "$BENCH/ort_peer.js" "$ORT_MODULES" prepare "$plain" "$out" || status=1
    if ((status == 0)) && [[ -s $step ]]; then
        node "$BENCH/ort_peer.js" "$ORT_MODULES" prepare "$step" "$(step_graph "$out")" || status=1
    fi
    rm -f "$plain" "$step"
    return "$status"
}

# Weights, input, graph and reference of a row. Sets W, INPUT, RAW, GRAPH, REFERENCE; returns 1 without weights.
prepare() { # ROW
    local row=$1 spec route key parameters models=$CACHE/models who=$weights_by
    read -r _ spec route key _ _ _ parameters _ <<<"${about[$row]}"
    [[ $who == auto && -x $SYC ]] && who=syc
    [[ $who == auto ]] && who=numpy
    W=$models/$key-syc-seed$seed.safetensors
    if [[ $who == syc ]] && ! make_file "$W" ours_weights "$spec" "$parameters" "$route" @; then
        [[ $weights_by == auto ]] || return 1
        say "the compiler made no weights for $row; numpy makes them"
        who=numpy
    fi
    W=$models/$key-$who-seed$seed.safetensors
    make_file "$W" "$PYTHON" "$BENCH/make_weights.py" weights "$key" "$seed" @ || return 1
    INPUT=$models/$row-input-seed$seed.safetensors RAW=${INPUT%.safetensors}.raw
    make_file "$INPUT" "$PYTHON" "$BENCH/make_weights.py" input "$row" "$seed" @ || return 1
    GRAPH=$models/$row-$who-seed$seed.onnx REFERENCE=$models/$row-$who-seed$seed-f64.safetensors
    if have_torch; then
        make_file "$REFERENCE" "$PYTHON" "$BENCH/torch_peer.py" "$row" "$W" "$INPUT" @ "$most_threads" 0 --reference || true
        if have_ort; then make_file "$GRAPH" export_graph "$row" "$W" "$INPUT" @ || true; fi
    elif [[ ! -s $GRAPH ]]; then
        say "$row: no graph for ONNX Runtime without PyTorch to export it"
    fi
}

# --- the peers: each sets the array command, whose program measures by turns (turns.py) and prints one JSON line ----

pinned() { taskset -c "$cpus" "$@"; }

peer_ours() { # ROW THREADS ISA OUT
    local spec route batch parameters words options=()
    read -r _ spec route _ batch _ _ parameters words _ <<<"${about[$1]}"
    ((words == 0)) || options=(--words "$words")
    ours_command "$spec" "$parameters" "$route" "$batch" "$2" "$3" "$W" "$INPUT" "$4.safetensors" "${options[@]}"
}

ort_command() { # ROW THREADS turns|once OUT ; sets the array command
    local inputs outputs words end library=$ORT_MODULES/onnxruntime-node/bin/$ort_binaries/libonnxruntime.so.1
    read -r _ _ _ _ _ inputs outputs _ words end <<<"${about[$1]}"
    if ((words)); then
        command=("$CACHE/bin/ort_words" "$library" "$GRAPH" "$(step_graph "$GRAPH")" "$RAW" "$inputs" "$words" "$end" "$4" "$2" "$3")
        return
    fi
    command=("$CACHE/bin/ort_host" "$library" "$GRAPH" "$RAW" "$inputs" "$outputs" "$4" "$2" "$3")
}

peer_ort() { # ROW THREADS - OUT
    ort_command "$1" "$2" turns "$4"
}

# OpenBLAS takes SSE3 kernels on a processor that is newer than itself: it is told the last one that it knows with the same
# instructions. Prints nothing where it knows the processor.
blas_kernels() {
    local core
    core=$(LD_LIBRARY_PATH=$OPENMP_BLAS env -u OPENBLAS_CORETYPE "$PYTHON" -c '
import ctypes, sys
name = ctypes.CDLL(sys.argv[1] + "/libopenblas.so.0").openblas_get_corename
name.restype = ctypes.c_char_p
print(name().decode())' "$OPENMP_BLAS" 2>>"$log" || true)
    [[ $core == Prescott || $core == Core2 || $core == Nehalem ]] || return 0
    if grep -qw avx512f /proc/cpuinfo; then echo SkylakeX; elif grep -qw avx2 /proc/cpuinfo; then echo Haswell; fi
}

# The OpenMP build of OpenBLAS, whatever the system's alternative is; settings that tie OpenBLAS to an old
# processor's kernels are dropped.
peer_torch() { # ROW THREADS - OUT
    command=(env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE LD_LIBRARY_PATH="$OPENMP_BLAS${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
        OMP_NUM_THREADS="$2" OPENBLAS_NUM_THREADS="$2" ${openblas_core:+OPENBLAS_CORETYPE="$openblas_core"}
        "$PYTHON" "$BENCH/torch_peer.py" "$1" "$W" "$INPUT" "$4.safetensors" "$2" turns)
}

# Run a command that prints JSON and append it to the results under the given head. What failed once is not tried
# again.
declare -A failed=()
problems=0
record() { # KEY HEAD COMMAND...
    local key=$1 head=$2 out status=0
    shift 2
    [[ ${failed[$key]:-} ]] && return 0
    out=$("$@" 2>>"$log") || status=$?
    out=${out//$'\n'/ }
    if [[ $status == 0 && $out == *'{'*'}'* ]]; then
        printf '{%s, "result": {%s}}\n' "$head" "$(sed 's/^[^{]*{//; s/}[^}]*$//' <<<"$out")" >>"$results"
    else
        failed[$key]=1
        problems=1
        say "$key failed with status $status (see $log)"
        printf '{%s, "error": "failed with status %d"}\n' "$head" "$status" >>"$results"
    fi
}

hop() { pinned "$CACHE/bin/roundtrip" 2>>"$log" | sed 's/.*"median_ns": \([0-9.]*\).*/\1/' || true; }

# Slow peers, and ours on lesser sets, take part in every third cycle: they would take most of the time.
every() { case $1 in torch) echo 3 ;; "ours-${isas[0]:-}") echo 1 ;; ours-*) echo 3 ;; *) echo 1 ;; esac; }

measure_row() { # ROW ROUND
    local row=$1 round=$2 count name head near command programs peer
    for count in "${thread_list[@]}"; do
        programs=()
        for name in "${runners[@]}"; do
            [[ $name == ort && ! -s $GRAPH ]] && continue
            [[ ${failed["$row $name T$count"]:-} ]] && continue
            "peer_${name%%-*}" "$row" "$count" "${name#*-}" "$outputs/$row.$name.t$count"
            programs+=(-- "$name" "$(every "$name")" "${command[@]}")
        done
        ((${#programs[@]})) || continue
        near=$([[ $count == 1 ]] || hop)
        head="\"kind\": \"time\", \"row\": \"$row\", \"threads\": $count, \"round\": $round, \"hop_ns\": ${near:-null}"
        pinned "$PYTHON" "$BENCH/turns.py" "$seconds" "$head" "${programs[@]}" >"$run/turns.jsonl" 2>>"$log" || problems=1
        cat "$run/turns.jsonl" >>"$results"
        # A peer that failed once on a row is not tried again.
        while read -r peer; do
            failed["$row $peer T$count"]=1
            say "$row $peer T$count failed (see $log)"
        done < <(sed -n '/"error": /s/.*"peer": "\([^"]*\)".*/\1/p' "$run/turns.jsonl")
    done
}

# Fresh processes, the files in the page cache; the first of them is dropped by the table.
measure_cold() { # ROW ROUND
    local row=$1 round=$2 command words word
    local head="\"kind\": \"cold\", \"row\": \"$row\", \"threads\": $most_threads, \"round\": $round"
    if [[ ${demo[$row]:-} ]] && wants ours; then
        read -r -a words <<<"${demo[$row]}"
        command=()
        for word in "${words[@]}"; do
            word=${word//'{weights}'/$W} word=${word//'{input}'/$INPUT} word=${word//'{raw}'/$RAW}
            command+=("${word//'{threads}'/$most_threads}")
        done
        record "$row cold ours" "$head, \"peer\": \"ours\"" pinned "$CACHE/bin/spawn" "${command[@]}"
    fi
    if wants ort && have_ort && [[ -s $GRAPH ]]; then
        ort_command "$row" "$most_threads" once -
        record "$row cold ort" "$head, \"peer\": \"ort\"" pinned "$CACHE/bin/spawn" "${command[@]}"
        record "$row cold ort-node" "$head, \"peer\": \"ort-node\"" pinned "$CACHE/bin/spawn" \
            node "$BENCH/ort_peer.js" "$ORT_MODULES" once "$GRAPH" "$RAW" "$most_threads"
    fi
}

# --- run ---------------------------------------------------------------------------------------------------------

export PYTHONDONTWRITEBYTECODE=1 # nothing is written into the repository
mkdir -p "$CACHE/models"
run=$CACHE/runs/$(date +%Y%m%d-%H%M%S)-$$
outputs=$run/outputs results=$run/results.jsonl log=$run/log.txt TMP=$CACHE/models/.making-$$/new
mkdir -p "$outputs"
: >"$results"
trap 'rm -rf "$CACHE/models/.making-$$"' EXIT

setup_apt
have_numpy || die "$PYTHON has no numpy: nothing can be prepared (PEERS_PYTHON names another python)"
! wants ort || setup_ort
! wants torch || have_torch || say "no PyTorch for $PYTHON: its column stays empty"
setup_probes
ours_note='-'
if wants ours && [[ ! -x $SYC ]]; then
    ours_note='syc not built'
    say "syc not built: no $SYC; our columns stay empty"
fi
case $(uname -m) in x86_64) ort_binaries=linux/x64 ;; aarch64) ort_binaries=linux/arm64 ;; *) ort_binaries=linux/none ;; esac
napi=$(find "$ORT_MODULES/onnxruntime-node/bin" -mindepth 1 -maxdepth 1 -name 'napi-v*' -printf '%f\n' 2>/dev/null | sort -V | tail -1 || true)
ort_binaries=$napi/$ort_binaries

declare -A about=()
all=()
while read -r row rest; do
    about[$row]="$row $rest"
    all+=("$row")
done < <("$PYTHON" "$BENCH/presets.py")
selected=("${all[@]}")
[[ -z $rows ]] || IFS=, read -r -a selected <<<"$rows"
for row in "${selected[@]}"; do [[ ${about[$row]:-} ]] || die "no row $row; there are: ${all[*]}"; done

isas=() # ours that are compared: those with fma that run here, the best first
isa_titles=()
while IFS='|' read -r isa title; do
    isas+=("$isa") isa_titles+=("$title")
done < <([[ ! -x $SYC ]] || "$SYC" help isa --json | "$PYTHON" "$BENCH/isas.py" all)
available=$(taskset -pc $$ | sed 's/.*: //')
if [[ -z $cpus ]]; then
    cpus=$("$PYTHON" -c 'import os, sys; print(",".join(map(str, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])))' "$most_threads")
fi
pinned true 2>/dev/null || die "cannot run on processors $cpus (available: $available)"
[[ $(pinned nproc) -ge $most_threads ]] || say "fewer processors ($cpus) than threads ($most_threads): those figures mean little"

openblas_core=''
if wants torch && have_torch; then
    openblas_core=$(blas_kernels)
    [[ -z $openblas_core ]] || say "OpenBLAS does not know this processor: PyTorch gets its kernels for $openblas_core"
fi

runners=()
if wants ours && [[ -x $SYC ]]; then for isa in "${isas[@]}"; do runners+=("ours-$isa"); done; fi
if wants ort && have_ort; then runners+=(ort); fi
if wants torch && have_torch; then runners+=(torch); fi
((${#runners[@]})) || ((setup_only)) || die "no peer can run"

# Large rows last a while to prepare, so all is prepared before anything is measured.
declare -A files=()
for row in "${selected[@]}"; do
    if prepare "$row"; then files[$row]="$W|$INPUT|$RAW|$GRAPH|$REFERENCE"; else problems=1; fi
    if [[ -z ${demo[$row]:-} && -x $DEMO_DIR/$row ]]; then demo[$row]=$DEMO_DIR/$row; fi
done
if ((setup_only)); then
    say "ready: ${!files[*]}"
    exit "$problems"
fi

use() { IFS='|' read -r W INPUT RAW GRAPH REFERENCE <<<"${files[$1]}"; }
for i in "${!isas[@]}"; do
    isa=${isas[i]}
    printf '{"kind": "isa", "isa": "%s", "title": "%s"}\n' "$isa" "${isa_titles[i]}" >>"$results"
    for count in "${thread_list[@]}"; do
        record "peak $isa T$count" '"kind": "peak"' pinned "$CACHE/bin/fma_peak" "$isa" "$count"
    done
done
for row in "${selected[@]}"; do
    [[ ${files[$row]:-} ]] || continue
    use "$row"
    printf '{"kind": "row", "row": "%s", "weights": "%s", "reference": "%s", "ours": "%s"}\n' "$row" "${W##*/}" "$REFERENCE" "$ours_note" >>"$results"
done
for ((round = 1; round <= rounds; round++)); do
    for row in "${selected[@]}"; do
        [[ ${files[$row]:-} ]] || continue
        say "round $round of $rounds: $row"
        use "$row"
        measure_row "$row" "$round"
        case $row in vit-b16-b1 | vit-s16-b1 | vit-tiny-b1) for again in 0 1 2; do measure_cold "$row" $((3 * round - 3 + again)); done ;; esac
    done
done

status=0
"$PYTHON" "$BENCH/table.py" "$results" "$outputs" ${json:+--json "$json"} || status=$?
say "figures and log: $run"
((problems == 0)) || status=1
exit "$status"

#!/usr/bin/env bash
# Measure the loss and the gradients of objectives beside PyTorch's forward and backward pass, by turns, and print one table.
#
#   bench/train.sh [options]
#
#   --rows A,B           only these of small, w192, b16 (beside PyTorch); albef, vlmo2, vlmo3 (ours alone); products (share of the peak);
#                        captions (memory of a loss over 64010 words). Default: all; those from b16 on take minutes each
#   --threads 1,2        thread counts
#   --seconds S          time for the turns of each side (default 20)
#   --isa NAME           of our side (default: the best that runs here)
#   --syc PATH           the compiler (default build/bin/syc, or $SYC)
#   --help               this text
#
# Needs /usr/bin/python3 (or $PEERS_PYTHON) with torch and numpy: apt-get install python3-torch python3-numpy libopenblas0-openmp.
# Files lie in $SWITCHYARD_PEERS/train (default ~/.cache/switchyard-peers/train).
# Exit status: 0 measured, 1 something failed or differs, 2 wrong use or nothing to measure with.
set -euo pipefail

BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHON=${PEERS_PYTHON:-/usr/bin/python3}
SYC=${SYC:-$(dirname "$BENCH")/build/bin/syc}
FOLDER=${SWITCHYARD_PEERS:-$HOME/.cache/switchyard-peers}/train
OPENMP_BLAS=/usr/lib/$(uname -m)-linux-gnu/openblas-openmp
rows=small,w192,b16,albef,vlmo2,vlmo3,products,captions threads=1,2 seconds=20 isa=''

die() { printf 'train: %s\n' "$*" >&2; exit 2; }

while (($#)); do
    case $1 in
    --rows | --threads | --seconds | --isa | --syc) (($# > 1)) || die "$1 needs a value" ;;
    esac
    case $1 in
    --rows) rows=$2; shift ;;
    --threads) threads=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --isa) isa=$2; shift ;;
    --syc) SYC=$2; shift ;;
    --help) sed -n '2,/^# Exit status/p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) die "unknown option $1 (--help shows them)" ;;
    esac
    shift
done
[[ ,$rows, =~ ^,((small|w192|b16|albef|vlmo2|vlmo3|products|captions),)+$ ]] ||
    die "--rows takes small, w192, b16, albef, vlmo2, vlmo3, products and captions, separated by commas"
[[ $threads =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || die "--threads takes numbers separated by commas"
[[ $seconds =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "--seconds takes a number"
[[ -x $SYC ]] || die "no compiler at $SYC"
"$PYTHON" -c 'import numpy, torch' 2>/dev/null || die "$PYTHON has no torch: apt-get install python3-torch python3-numpy libopenblas0-openmp"
if [[ -z $isa ]]; then # the best of this machine
    isa=$("$SYC" help isa --json | "$PYTHON" "$BENCH/isas.py" best)
fi
mkdir -p "$FOLDER"
# The OpenMP build of OpenBLAS, and no setting that ties it to an old processor's kernels. One that is newer than OpenBLAS
# is told the last that it knows with the same instructions: alone it would take SSE3.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
[[ -d $OPENMP_BLAS ]] && export LD_LIBRARY_PATH="$OPENMP_BLAS${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
core=$("$PYTHON" -c '
import ctypes
name = ctypes.CDLL("libopenblas.so.0").openblas_get_corename
name.restype = ctypes.c_char_p
print(name().decode())' 2>/dev/null || true)
case $core in
Prescott | Core2 | Nehalem)
    grep -qw avx512f /proc/cpuinfo && OPENBLAS_CORETYPE=SkylakeX || OPENBLAS_CORETYPE=Haswell
    export OPENBLAS_CORETYPE
    ;;
esac
exec "$PYTHON" "$BENCH/train.py" "$SYC" "$FOLDER" "$rows" "$threads" "$seconds" "$isa"

#!/usr/bin/env bash
# `embed` in several processes: the bytes of one process for any number of them, in any order; a process that is killed leaves
# what the same call goes on with; another number of processes is refused while something is unfinished. No MPI is needed:
# what mpirun sets is set by hand, and mpirun is used where it is there.
. "$(dirname "$0")/../checks.sh"

run 0 "a model" weights init clip:tiny -D vocab=515 --routes image -o clip.safetensors
run 0 "its program" build clip:tiny -D vocab=515 --routes image -w clip.safetensors -o clip
mkdir -p photos/more
for i in 0 1 2 3 4 5 6 7 8 9 10; do
  LC_ALL=C awk -v i=$i 'BEGIN { printf "P6 4 4 255\n"; for (k = 0; k < 48; k++) printf "%c", (k * 5 + i * 17) % 90 + 33 }' > photos/$i.ppm
done
mv photos/7.ppm photos/more/
check "one process" ./clip embed photos -o one.npy --batch 2

# rank RANK SIZE ARGUMENTS..
rank() {
  OMPI_COMM_WORLD_RANK=$1 OMPI_COMM_WORLD_SIZE=$2 ./clip embed "${@:3}"
}
for n in 2 3 4 20; do
  for ((r = n - 1; r >= 0; r--)); do rank $r $n photos -o all.npy --batch 2 >> out.$n 2>&1 & done
  wait
  check "$n processes: the same array" cmp one.npy all.npy
  check "... and names" cmp one.txt all.txt
  check "... and nothing else" [ "$(ls all.* | wc -l)" -eq 2 ]
  check "... and one of them says so" [ "$(cat out.$n)" = "all.npy: 11 vectors of 24, names in all.txt" ]
  rm -f all.*
done

# One is killed in the middle of its share (sh counts in 512 bytes), the other is done.
check "the second is done" rank 1 2 photos -o cut.npy --batch 1
check "... and waits" [ -s cut.npy.done.2of2 ]
sh -c 'ulimit -c 0 && ulimit -f 1 && OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 exec ./clip embed photos -o cut.npy --batch 1' > out 2>&1 < /dev/null
check "the first is killed" [ -s cut.npy.part.1of2 ]
check "nothing looks whole" [ ! -e cut.npy ]
./clip embed photos -o cut.npy --batch 1 > out 2> err
check "one process alone is refused" [ $? -eq 2 ]
says "... with the reason" 'begun in another number of processes'
rank 1 3 photos -o cut.npy --batch 1 > out 2> err
check "three are refused" [ $? -eq 2 ]
cp photos/more/7.ppm seven && touch -d 2001-01-01 photos/more/7.ppm
rank 1 2 photos -o cut.npy --batch 1 > out 2> err
check "a picture of a share that is done has changed" [ $? -eq 3 ]
says "... and is named" 'more/7.ppm has changed'
touch -r seven photos/more/7.ppm
rank 1 2 photos -o cut.npy --batch 1 --restart > out 2> err
check "--restart begins anew" [ $? -eq 0 ]
rank 0 2 photos -o cut.npy --batch 1 > out 2> err
check "the first goes on" [ $? -eq 0 ]
says "... where it was" 'goes on after [1-4] of 6'
check "... to the same array" cmp one.npy cut.npy
check "... with nothing left" [ "$(ls cut.* | wc -l)" -eq 2 ]

# What cannot be read is left out, and said with the status of the last process alone.
head -c 20 photos/3.ppm > photos/30.ppm
./clip embed photos -o one.npy --batch 2 > out 2> err
rank 0 2 photos -o bad.npy > out 2> err
check "a share with a broken picture" [ $? -eq 0 ]
cp err first
rank 1 2 photos -o bad.npy > out 2>> first
check "... counts at the end" [ $? -eq 3 ]
says "... and is named" 'left out: photos/30.ppm' first
says "... and counted" '1 of 12 could not be read' first
check "... the others are there" cmp one.npy bad.npy
rm photos/30.ppm
rank 0 2 photos -o - > out 2> err < /dev/null
check "-o - is for one process" [ $? -eq 2 ]

if have mpirun; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  check "one process again" ./clip embed photos -o one.npy
  check "mpirun" mpirun -n 3 ./clip embed photos -o mpi.npy
  check "... the same array" cmp one.npy mpi.npy
  rm -rf tmp/*
else
  skip "mpirun" "it is not installed (openmpi-bin or mpich)"
fi
finish shares

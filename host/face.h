// face.h - the command line of a compiled model: pictures and sentences in, labels and tables out.
//
// It knows no model: routes, tensors, bounds and the `prepare` texts come from the sy_model; pictures, tokens and top-k
// from the rest of the host library; threads and the weight file from the runtime.
//
//   ./vit cat.jpg dog.jpg --top 3 --labels imagenet.txt
//   ./clip --image cat.jpg --text "a cat" --text "a dog" --vocab bpe_simple_vocab_16e6.txt.gz
//   ./clip --route image --image cat.jpg --out features.npy
#ifndef SWITCHYARD_HOST_FACE_H
#define SWITCHYARD_HOST_FACE_H

#include "runtime/switchyard.h"

// What main returns.
enum { FACE_OK = 0, FACE_USAGE = 2, FACE_IO = 3, FACE_CHECK = 4 };

// The whole program: prints results to stdout, errors to stderr. FACE_CHECK: the self-test failed or a result is NaN.
int face_main(const sy_model *model, int argc, char **argv);

// For a program's own main alone: from now on a mapped file that is cut short while in use ends the program with one
// line that names it, and FACE_IO, instead of a bare SIGBUS. `leave`, or NULL, cleans up before; it does what a signal
// handler may. (guard.c)
void face_guard_files(const char *program, void (*leave)(void));

#endif

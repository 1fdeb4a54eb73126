// main.c - main of the executable that `syc build` makes of a model: the command line face over its glue file.
//
// Linked with PREFIX.c, PREFIX_glue.c (which defines sy_model_entry), the runtime and the host library. A weight file
// may be linked in between the symbols sy_embedded_weights and sy_embedded_weights_end; see face.c.
//
//   cc vit.c vit_glue.c host/*.c runtime/*.c -ljpeg -lpng -lz -lm -lpthread -o vit
#include "face.h"

#include "common/streams.h"

int main(int argc, char **argv) {
  streams_occupy();
  face_guard_files(argc > 0 ? argv[0] : "", NULL);
  return face_main(sy_model_entry(), argc, argv);
}

// error.c: texts of sy_status. One table; the first thirteen lines say the same as PREFIX_strerror of a compiled model.
//
//   fprintf(stderr, "vit: %s\n", sy_strerror(SY_EARENA));   // vit: the arena is too small
//
// Invariant: every value of the enum has a line, and any other number gets "unknown status".
#include "switchyard.h"

typedef struct Text {
  int status;
  const char *text;
} Text;

static const Text texts[] = {
    {SY_OK, "no error"},
    {SY_EINVAL, "invalid argument: a null pointer, an unknown route or an unknown instruction set"},
    {SY_EABI, "the caller was compiled against another version of the interface"},
    {SY_EPLAN, "the weight file was packed for another build of this model"},
    {SY_EWEIGHTS, "not a weight file, or it is cut off or damaged"},
    {SY_EARENA, "the arena is too small"},
    {SY_EALIGN, "the arena and the weights must be aligned to 64 bytes"},
    {SY_EISA, "no compiled instruction set can run on this CPU under the given cap"},
    {SY_ESHAPE, "a run-time dim is out of its bounds"},
    {SY_EINDEX, "an id is outside its table"},
    {SY_ETEST, "the self-test found different results"},
    {SY_ENUMERIC, "a loss or a gradient is not finite"},
    {SY_ECOMM, "another process of the training cannot be reached"},
    {SY_EIO, "the file cannot be read"},
    {SY_ENOMEM, "out of memory"},
    {SY_ETHREAD, "a thread cannot be started"},
};

const char *sy_strerror(int status) {
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (texts[i].status == status) return texts[i].text;
  return "unknown status";
}

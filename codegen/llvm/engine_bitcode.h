// engine_bitcode.h: the engine (runtime/engine) as bitcode for some families of processors, made by clang
// when syc is built (cmake/SwitchyardLlvm.cmake).
#ifndef SY_ENGINE_BITCODE_H
#define SY_ENGINE_BITCODE_H

#include <stddef.h>

typedef struct EngineBitcode {
  const char *what; // "engine", or "glue": sy_model_entry
  const char *arch; // "x86_64"; NULL ends the list
  size_t bits;      // of a pointer
  const unsigned char *data;
  size_t size;
} EngineBitcode;
extern const EngineBitcode engine_bitcode[];

#endif

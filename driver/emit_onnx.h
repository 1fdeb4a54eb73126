// emit_onnx.h: ONNX files as a kind of output.
#ifndef SY_EMIT_ONNX_H
#define SY_EMIT_ONNX_H

#include "driver.h"

// Writes the route of a spec to `out`. False after reporting.
SY_MUST_USE bool emit_onnx(Session *s, const char *spec, const char *out);

#endif

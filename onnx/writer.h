// writer.h: an ONNX graph that is being built: nodes, constants, names. Private to this folder.
//
// Every function takes and returns names of values. Names are unique; those of ports and weights are reserved first, so
// that they stay as the page and the checkpoint have them.
#ifndef SY_ONNX_WRITER_H
#define SY_ONNX_WRITER_H

#include "ir/graph.h"
#include "onnx.pb-c.h"

enum { ONNX_OPSET = 17, ONNX_IR_VERSION = 8 };

typedef struct OnnxAttr {
  const char *name;
  enum { ONNX_INT, ONNX_FLOAT, ONNX_INTS } kind;
  int64_t i;
  float f;
  const int64_t *v;
  size_t n;
} OnnxAttr;

typedef struct OnnxWriter {
  Arena *arena;
  Intern names;         // in use
  const char *constant; // what the names of constants begin with, and nothing else does
  const char *scope;    // what the names of new nodes begin with
  size_t serial;        // for names of which there are many
  VEC(Onnx__NodeProto *) node;
  VEC(Onnx__TensorProto *) initializer;
  VEC(Onnx__ValueInfoProto *) input, output;
} OnnxWriter;

// Takes a name that begins with `base`; with a number behind it where it is taken.
const char *onnx_name(OnnxWriter *w, const char *base);
// One node with one output, which is called scope/OP. An input "" is left out.
const char *onnx_node(OnnxWriter *w, const char *op, const char *const *in, size_t nin, const OnnxAttr *attr,
                      size_t nattr);
// The result of the node that was added last gets another name.
void onnx_call_last(OnnxWriter *w, const char *name);
// Is `value` the result of the node that was added last?
bool onnx_is_last(const OnnxWriter *w, const char *value);

// Constants are initializers; equal ones are one.
const char *onnx_f32(OnnxWriter *w, double value);                // a scalar
const char *onnx_number(OnnxWriter *w, DType t, double value);    // a scalar of another element type
const char *onnx_ints(OnnxWriter *w, const int64_t *v, size_t n); // int64 [n]
const char *onnx_int(OnnxWriter *w, int64_t v);                   // int64, a scalar
// A new initializer; the bytes live as long as the writer. dim may be NULL for a scalar.
Onnx__TensorProto *onnx_tensor(OnnxWriter *w, const char *name, int type, const int64_t *dim, size_t rank,
                               const void *data, size_t bytes);

// Takes away nodes and initializers that no output of the graph needs.
void onnx_drop_unused(OnnxWriter *w);
Onnx__ValueInfoProto *onnx_port(OnnxWriter *w, const char *name, const Module *m, const Type *t);
int onnx_type(DType t); // Onnx__TensorProto__DataType
char *onnx_text(OnnxWriter *w, const char *s);

#define ONNX_COUNT(...) (sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
#define ONNX_NODE(w, op, ...) onnx_node((w), (op), (const char *const[]){__VA_ARGS__}, ONNX_COUNT(__VA_ARGS__), NULL, 0)
// With one attribute, a compound literal's members in parentheses: ONNX_WITH(w, "Softmax", ONNX_I("axis", -1), x)
#define ONNX_WITH(w, op, attr, ...)                                                                                    \
  onnx_node((w), (op), (const char *const[]){__VA_ARGS__}, ONNX_COUNT(__VA_ARGS__), &(attr), 1)
#define ONNX_I(name_, i_) ((const OnnxAttr){.name = (name_), .kind = ONNX_INT, .i = (i_)})
#define ONNX_F(name_, f_) ((const OnnxAttr){.name = (name_), .kind = ONNX_FLOAT, .f = (float)(f_)})
#define ONNX_V(name_, ...)                                                                                             \
  ((const OnnxAttr){.name = (name_),                                                                                   \
                    .kind = ONNX_INTS,                                                                                 \
                    .v = (const int64_t[]){__VA_ARGS__},                                                               \
                    .n = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)})

#endif

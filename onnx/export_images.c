// export_images.c: patches, windows and convolutions as ONNX nodes. Images of `windows` and `depthwise` have their
// channels last, those of Conv in front.
#include "export.h"

#include <string.h>

static const Value *arg_of(const Graph *g, const Value *v, uint32_t i) {
  return graph_value(g, v->args[i]);
}

bool export_is_conv(const Graph *g, const Value *product) {
  if (product->op != OP_linear || value_int(product, A_trans, 0) || product->nargs < 2) return false;
  const Value *x = arg_of(g, product, 0);
  return (x->op == OP_patchify || x->op == OP_windows) && arg_of(g, x, 0)->type.rank == 4 &&
         arg_of(g, product, 1)->type.rank == 2;
}

// The kernel [out, in, kh, kw] of a matrix [out, kh*kw*in] of windows, or [out, in*kh*kw] of patches. Where the page
// made the matrix of such a tensor, that one.
static const char *kernel_of(Export *x, const Value *product, bool patches, int64_t kh, int64_t kw, int64_t in) {
  const Value *m = arg_of(x->g, product, 1);
  int64_t out = m->type.dim[0].c;
  const char *w = export_in(x, product, 1);
  if (patches) return ONNX_NODE(&x->w, "Reshape", w, onnx_ints(&x->w, (int64_t[]){out, in, kh, kw}, 4));
  const char *y = ONNX_NODE(&x->w, "Reshape", w, onnx_ints(&x->w, (int64_t[]){out, kh, kw, in}, 4));
  return ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 3, 1, 2), y);
}

static const char *made_of(Export *x, const Value *product, bool patches, int64_t kh, int64_t kw, int64_t in) {
  static const int64_t last[] = {0, 2, 3, 1};
  const Value *m = arg_of(x->g, product, 1), *k = NULL;
  Val id = NO_VAL;
  if (m->op == OP_reshape) id = m->args[0], k = graph_value(x->g, id);
  if (k && !patches) {
    const Attr *perm = k->op == OP_transpose ? value_attr(k, A_perm) : NULL;
    bool turned = perm && perm->nv == 4 && !memcmp(perm->v, last, sizeof last);
    id = turned ? k->args[0] : NO_VAL;
    k = turned ? graph_value(x->g, id) : NULL;
  }
  if (!k || k->type.rank != 4 || k->type.dim[1].c != in || k->type.dim[2].c != kh || k->type.dim[3].c != kw)
    return NULL;
  return export_name(x, id);
}

const char *export_conv(Export *x, const Value *product) {
  const Value *source = arg_of(x->g, product, 0), *image = arg_of(x->g, source, 0);
  bool patches = source->op == OP_patchify;
  int64_t p = value_int(source, A_patch, 1);
  const int64_t square[2] = {p, p};
  const int64_t *kernel = patches ? square : value_attr(source, A_kernel)->v;
  const int64_t *stride = patches ? square : value_attr(source, A_stride)->v;
  int64_t channels = image->type.dim[patches ? 1 : 3].c;
  const char *in[3] = {export_name(x, source->args[0])};
  if (!patches) in[0] = ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 3, 1, 2), in[0]);
  in[1] = made_of(x, product, patches, kernel[0], kernel[1], channels);
  if (!in[1]) in[1] = kernel_of(x, product, patches, kernel[0], kernel[1], channels);
  if (product->nargs > 2) in[2] = export_in(x, product, 2);
  const int64_t *apart = dilation_of(source);
  size_t attrs = apart[0] == 1 && apart[1] == 1 ? 2 : 3;
  const OnnxAttr a[] = {ONNX_V("kernel_shape", kernel[0], kernel[1]), ONNX_V("strides", stride[0], stride[1]),
                        ONNX_V("dilations", apart[0], apart[1])};
  const char *y = onnx_node(&x->w, "Conv", in, product->nargs > 2 ? 3 : 2, a, attrs);
  if (!patches) return ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 2, 3, 1), y);
  int64_t n = product->type.dim[1].c, out = product->type.dim[2].c;
  y = ONNX_NODE(&x->w, "Reshape", y, onnx_ints(&x->w, (int64_t[]){0, out, n}, 3));
  return ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 2, 1), y);
}

const char *export_patchify(Export *x, const Value *v) {
  const Type *t = &export_arg(x, v, 0)->type;
  int64_t p = value_int(v, A_patch, 1), c = t->dim[1].c, h = t->dim[2].c / p, w = t->dim[3].c / p;
  const char *a = export_in(x, v, 0);
  if (h * p != t->dim[2].c || w * p != t->dim[3].c)
    a = ONNX_NODE(&x->w, "Slice", a, onnx_ints(&x->w, (int64_t[]){0, 0}, 2),
                  onnx_ints(&x->w, (int64_t[]){h * p, w * p}, 2), onnx_ints(&x->w, (int64_t[]){2, 3}, 2));
  a = ONNX_NODE(&x->w, "Reshape", a, onnx_ints(&x->w, (int64_t[]){0, c, h, p, w, p}, 6));
  a = ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 2, 4, 1, 3, 5), a);
  return ONNX_NODE(&x->w, "Reshape", a, onnx_ints(&x->w, (int64_t[]){0, h * w, c * p * p}, 3));
}

// Rows, then columns of each window: index tables [places, kernel].
static const char *table_of(Export *x, int64_t places, int64_t kernel, int64_t stride, int64_t apart) {
  int64_t *at = ARENA_ARRAY(x->w.arena, int64_t, places * kernel), dim[] = {places, kernel};
  for (int64_t i = 0; i < places * kernel; i++) at[i] = i / kernel * stride + i % kernel * apart;
  const char *name = onnx_name(&x->w, arena_printf(x->w.arena, "%s/index", x->w.scope));
  onnx_tensor(&x->w, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, dim, 2, at, (size_t)(places * kernel) * sizeof *at);
  return name;
}

const char *export_windows(Export *x, const Value *v) {
  const int64_t *k = value_attr(v, A_kernel)->v, *s = value_attr(v, A_stride)->v, *d = dilation_of(v);
  int64_t h = v->type.dim[1].c, w = v->type.dim[2].c;
  const char *a = export_in(x, v, 0);
  a = ONNX_WITH(&x->w, "Gather", ONNX_I("axis", 1), a, table_of(x, h, k[0], s[0], d[0])); // [B,h,kh,W,C]
  a = ONNX_WITH(&x->w, "Gather", ONNX_I("axis", 3), a, table_of(x, w, k[1], s[1], d[1])); // [B,h,kh,w,kw,C]
  a = ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 1, 3, 2, 4, 5), a);
  return ONNX_NODE(&x->w, "Reshape", a, onnx_ints(&x->w, (int64_t[]){0, h, w, v->type.dim[3].c}, 4));
}

const char *export_depthwise(Export *x, const Value *v) {
  const Type *k = &export_arg(x, v, 1)->type;
  const int64_t *s = value_attr(v, A_stride)->v, *d = dilation_of(v);
  const char *in[3] = {ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 3, 1, 2), export_in(x, v, 0))};
  in[1] = ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 2, 0, 1), export_in(x, v, 1));
  in[1] = ONNX_NODE(&x->w, "Unsqueeze", in[1], onnx_ints(&x->w, (int64_t[]){1}, 1));
  if (v->nargs > 2) in[2] = export_in(x, v, 2);
  const OnnxAttr a[] = {ONNX_V("kernel_shape", k->dim[0].c, k->dim[1].c), ONNX_V("strides", s[0], s[1]),
                        ONNX_I("group", k->dim[2].c), ONNX_V("dilations", d[0], d[1])};
  const char *y = onnx_node(&x->w, "Conv", in, v->nargs, a, d[0] == 1 && d[1] == 1 ? 3 : 4);
  return ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 2, 3, 1), y);
}

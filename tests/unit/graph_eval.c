// graph_eval.c: the reference of every operator against values computed by hand, and the evaluator's errors. The last
// test fails when an operator of ops.def has no case here.
#include "graph_support.h"

#include "ir/op/resize.h"

typedef struct Case {
  const char *op; // operators the case stands for, blank-separated
  const char *body;
  const double *x, *y, *z, *want;
  size_t n;
} Case;

#define NUM(...) LIST(__VA_ARGS__), sizeof(LIST(__VA_ARGS__)) / sizeof(double)
#define IN(t) "%1 = input \"x\" : " t "\n"
#define IN2(t, u) IN(t) "%2 = input \"y\" : " u "\n"
#define IN3(t, u, v) IN2(t, u) "%3 = input \"z\" : " v "\n"
#define RETURN(v) "output \"o\" = " v
#define UNARY(op) op, IN("f32[4]") "%2 = " op " %1 : f32[4]\n" RETURN("%2"), LIST(-1, 0, 0.5, 2), 0, 0
#define BINARY(op) op, IN2("f32[2,2]", "f32[2]") "%3 = " op " %1, %2 : f32[2,2]\n" RETURN("%3")
#define SEQ "f32[B,vision: 1 + language: L,1]"

#define KEY                                                                                                            \
  "%7 = constant {value = 0x1.4p+2} : i32[]\n%8 = constant {value = 0x1p+1} : i32[]\n"                                 \
  "%9 = constant {value = 0x1.8p+1} : i32[]\n"

// Rows of two numbers and columns of a weight as codes: row scale 1, codes 3 and -127; column scales 1 and 1 / 127,
// codes (127, 0) and (127, -64), for -63.5 is half way and goes to the even one.
#define CODED                                                                                                          \
  IN2("f32[1,2]", "f32[2,2]")                                                                                          \
  "%3 = quantise %1 : i32[1,32]\n%4 = weight_codes %2 : i32[1,16,16]\n%5 = weight_scales %2 : f32[2]\n"                \
  "%6 = weight_sums %2 : i32[2]\n%7 = linear_codes %3, %4, %5, %6 {columns = 2} : f32[1,2]\n"

// The same rows, and columns (-8, 7) with the scale 1 and (0, -0.5) with 1 / 16, whose codes are (0, -8).
#define CODED4                                                                                                         \
  IN2("f32[1,2]", "f32[2,2]")                                                                                          \
  "%3 = quantise %1 {group = 64} : i32[1,48]\n%4 = weight_codes4 %2 : i32[1,8,16]\n"                                   \
  "%5 = weight_scales4 %2 : f32[1,1,16]\n%6 = linear_codes4 %3, %4, %5 {columns = 2} : f32[1,2]\n"

#define PAIRED                                                                                                         \
  IN2("f32[1,3]", "f32[2,3]")                                                                                          \
  "%3 = pairs %1 : i32[1,16]\n%4 = weight_pairs %2 : i32[1,16,16]\n"                                                   \
  "%5 = linear_pairs %3, %4 {columns = 2} : f32[1,2]\n"

#define LABELLED                                                                                                       \
  "%4 = constant {value = 0x0p+0} : i32[]\n%5 = compare %3, %4 {cmp = \"ge\"} : bool[2]\n"                             \
  "%6 = label_scores %1, %2, %3, %5 {count = 3} : f32[2,3]\n"

#define CASES                                                                                                            \
  {"input", IN("f32[L]") RETURN("%1"), LIST(5, 6), 0, 0, NUM(5, 6)},                                                     \
      {"weight", "%1 = weight \"x\" : f32[2]\n" RETURN("%1"), LIST(5, 6), 0, 0, NUM(5, 6)},                              \
      {"top_k",                                                                                                          \
       IN("f32[2,4]") "%2 = top_k %1 {count = 3} : i32[2,3]\n" RETURN("%2"),                                             \
       LIST(1, 7, 7, NAN, -INFINITY, 2, -INFINITY, 1),                                                                   \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(3, 1, 2, 1, 3, 0)},                                                                                           \
      {"top_k", IN("f32[2]") "%2 = top_k %1 {count = 4} : i32[4]\n" RETURN("%2"), LIST(1, 7), 0, 0, NUM(1, 0, 0, 0)},    \
      {"windows",                                                                                                        \
       IN("f32[1,3,3,1]") "%2 = windows %1 {kernel = [2,2], stride = [1,1]} : f32[1,2,2,4]\n" RETURN("%2"),              \
       LIST(1, 2, 3, 4, 5, 6, 7, 8, 9),                                                                                  \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 2, 4, 5, 2, 3, 5, 6, 4, 5, 7, 8, 5, 6, 8, 9)},                                                             \
      {"windows",                                                                                                        \
       IN("f32[1,3,4,1]") "%2 = windows %1 {kernel = [2,2], stride = [1,1], dilation = [2,3]} : "                        \
                          "f32[1,1,1,4]\n" RETURN("%2"),                                                                 \
       LIST(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),                                                                      \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 4, 9, 12)},                                                                                                \
      {"windows",                                                                                                        \
       IN("f32[1,2,5,2]") "%2 = windows %1 {kernel = [1,2], stride = [2,3]} : f32[1,1,2,4]\n" RETURN("%2"),              \
       LIST(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20),                                      \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 2, 3, 4, 7, 8, 9, 10)},                                                                                    \
      {"resize_table",                                                                                                   \
       "%1 = weight \"x\" : f32[5,1]\n"                                                                                  \
       "%2 = resize_table %1 {method = \"bilinear_aligned\", keep = 1, grid = [3,2]} : f32[7,1]\n" RETURN("%2"),         \
       LIST(9, 0, 1, 4, 5),                                                                                              \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(9, 0, 1, 2, 3, 4, 5)},                                                                                        \
      {"iota", "%1 = iota {axis = 1} : i32[2,3]\n" RETURN("%1"), 0, 0, 0, NUM(0, 1, 2, 0, 1, 2)},                        \
      {"constant", "%1 = constant {value = 0.5} : f32[2]\n" RETURN("%1"), 0, 0, 0, NUM(0.5, 0.5)},                       \
      {BINARY("add"), LIST(1, 2, 3, 4), LIST(10, 20), 0, NUM(11, 22, 13, 24)},                                           \
      {BINARY("sub"), LIST(1, 2, 3, 4), LIST(10, 20), 0, NUM(-9, -18, -7, -16)},                                         \
      {BINARY("mul"), LIST(1, 2, 3, 4), LIST(10, 20), 0, NUM(10, 40, 30, 80)},                                           \
      {BINARY("div"), LIST(1, 2, 3, 0), LIST(2, 0), 0, NUM(0.5, INFINITY, 1.5, NAN)},                                    \
      {BINARY("maximum"), LIST(1, 2, 3, NAN), LIST(2, 2), 0, NUM(2, 2, 3, 2)},                                           \
      {BINARY("minimum"), LIST(1, 2, 3, 4), LIST(2, NAN), 0, NUM(1, NAN, 2, NAN)},                                       \
      {UNARY("neg"), NUM(1, 0, -0.5, -2)},                                                                               \
      {UNARY("exp"), NUM(0.36787944117144233, 1, 1.6487212707001282, 7.38905609893065)},                                 \
      {UNARY("log"), NUM(NAN, -INFINITY, -0.6931471805599453, 0.6931471805599453)},                                      \
      {UNARY("sqrt"), NUM(NAN, 0, 0.7071067811865476, 1.4142135623730951)},                                              \
      {UNARY("tanh"), NUM(-0.7615941559557649, 0, 0.46211715726000973, 0.9640275800758169)},                             \
      {UNARY("sin"), NUM(-0.8414709848078965, 0, 0.479425538604203, 0.9092974268256817)},                                \
      {UNARY("cos"), NUM(0.5403023058681398, 1, 0.8775825618903728, -0.4161468365471424)},                               \
      {UNARY("abs"), NUM(1, 0, 0.5, 2)}, {UNARY("floor"), NUM(-1, 0, 0, 2)},                                             \
      {UNARY("sigmoid"), NUM(0.2689414213699951, 0.5, 0.6224593312018546, 0.8807970779778823)},                          \
      {UNARY("relu"), NUM(0, 0, 0.5, 2)},                                                                                \
      {UNARY("gelu"), NUM(-0.15865525393145707, 0, 0.34573123063700656, 1.9544997361036416)},                            \
      {UNARY("gelu_tanh"), NUM(-0.15880800939172324, 0, 0.34571400982514394, 1.9545976940877752)},                       \
      {UNARY("quick_gelu"), NUM(-0.1542042340671787, 0.0, 0.35038843660638014, 1.9356586231442083)},                     \
      {UNARY("swish"), NUM(-0.2689414213699951, 0.0, 0.3112296656009273, 1.7615941559557649)},                           \
      {"depthwise",                                                                                                      \
       IN3("f32[1,2,3,2]", "f32[1,2,2]",                                                                                 \
           "f32[2]") "%4 = depthwise %1, %2, %3 {stride = [1,1]} : f32[1,2,2,2]\n" RETURN("%4"),                         \
       LIST(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),                                                                      \
       LIST(1, 10, 2, 20),                                                                                               \
       LIST(0.5, -1),                                                                                                    \
       NUM(7.5, 99, 13.5, 159, 25.5, 279, 31.5, 339)},                                                                   \
      {"depthwise",                                                                                                      \
       IN2("f32[1,3,4,1]", "f32[2,2,1]") "%3 = depthwise %1, %2 {stride = [1,2]} : f32[1,2,2,1]\n" RETURN("%3"),         \
       LIST(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),                                                                      \
       LIST(1, 0, 0, 2),                                                                                                 \
       0,                                                                                                                \
       NUM(13, 19, 25, 31)},                                                                                             \
      {"compare",                                                                                                        \
       IN2("f32[3]", "f32[]") "%3 = compare %1, %2 {cmp = \"ge\"} : bool[3]\n" RETURN("%3"),                             \
       LIST(1, 2, NAN),                                                                                                  \
       LIST(2),                                                                                                          \
       0,                                                                                                                \
       NUM(0, 1, 0)},                                                                                                    \
      {"logical_and",                                                                                                    \
       IN2("bool[4]", "bool[4]") "%3 = logical_and %1, %2 : bool[4]\n" RETURN("%3"),                                     \
       LIST(0, 0, 1, 1),                                                                                                 \
       LIST(0, 1, 0, 1),                                                                                                 \
       0,                                                                                                                \
       NUM(0, 0, 0, 1)},                                                                                                 \
      {"logical_or",                                                                                                     \
       IN2("bool[4]", "bool[4]") "%3 = logical_or %1, %2 : bool[4]\n" RETURN("%3"),                                      \
       LIST(0, 0, 1, 1),                                                                                                 \
       LIST(0, 1, 0, 1),                                                                                                 \
       0,                                                                                                                \
       NUM(0, 1, 1, 1)},                                                                                                 \
      {"logical_not", IN("bool[2]") "%2 = logical_not %1 : bool[2]\n" RETURN("%2"), LIST(0, 1), 0, 0, NUM(1, 0)},        \
      {"select",   IN3("bool[2,1]", "f32[2]", "f32[]") "%4 = select %1, %2, %3 : f32[2,2]\n" RETURN("%4"),               \
       LIST(1, 0), LIST(5, 6),                                                                                           \
       LIST(9),    NUM(5, 6, 9, 9)},                                                                                     \
      {"cast",                                                                                                           \
       IN("f32[4]") "%2 = cast %1 {to = \"i32\"} : i32[4]\n" RETURN("%2"),                                               \
       LIST(-1.9, 0, 2.5, 1e9),                                                                                          \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(-1, 0, 2, 1000000000)},                                                                                       \
      {"cast",                                                                                                           \
       IN("f32[4]") "%2 = cast %1 {to = \"f16\"} : f16[4]\n" RETURN("%2"),                                               \
       LIST(1.0001, 2049, 65520, 1e-8),                                                                                  \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 2048, INFINITY, 0)},                                                                                       \
      {"cast",           IN("f32[3]") "%2 = cast %1 {to = \"bf16\"} : bf16[3]\n" RETURN("%2"), LIST(257, 259, -3), 0, 0, \
       NUM(256, 260, -3)},                                                                                               \
      {"linear",                                                                                                         \
       IN3("f32[2,3]", "f32[2,3]", "f32[2]") "%4 = linear %1, %2, %3 : f32[2,2]\n" RETURN("%4"),                         \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       LIST(1, 0, 0, 1, 1, 1),                                                                                           \
       LIST(10, 20),                                                                                                     \
       NUM(11, 26, 14, 35)},                                                                                             \
      {"linear",    IN2("f32[1,2]", "f32[2,5]") "%4 = linear %1, %2 {trans = 1} : f32[1,5]\n" RETURN("%4"),              \
       LIST(1, 10), LIST(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),                                                                 \
       0,           NUM(61, 72, 83, 94, 105)},                                                                           \
      {"matmul",                                                                                                         \
       IN2("f32[2,1,2]", "f32[2,2,1]") "%3 = matmul %1, %2 : f32[2,1,1]\n" RETURN("%3"),                                 \
       LIST(1, 2, 3, 4),                                                                                                 \
       LIST(5, 6, 7, 8),                                                                                                 \
       0,                                                                                                                \
       NUM(17, 53)},                                                                                                     \
      {"matmul",                                                                                                         \
       IN2("f32[2,2]", "f32[2,2]") "%3 = matmul %1, %2 {trans = 1} : f32[2,2]\n" RETURN("%3"),                           \
       LIST(1, 2, 3, 4),                                                                                                 \
       LIST(5, 6, 7, 8),                                                                                                 \
       0,                                                                                                                \
       NUM(17, 23, 39, 53)},                                                                                             \
      {"rotate",                                                                                                         \
       IN3("f32[1,2,5]", "f32[2,2]", "f32[2,2]") "%4 = rotate %1, %2, %3 {heads = 1} : f32[1,2,5]\n" RETURN("%4"),       \
       LIST(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),                                                                              \
       LIST(1, 0, 2, 1),                                                                                                 \
       LIST(0, 1, 1, 3),                                                                                                 \
       NUM(1, -4, 3, 2, 5, 4, -20, 22, 30, 10)},                                                                         \
      {"rotate",                                                                                                         \
       IN3("f32[1,1,8]", "f32[1,1,2]",                                                                                   \
           "f32[1,1,2]") "%4 = rotate %1, %2, %3 {heads = 2, pairs = 1} : f32[1,1,8]\n" RETURN("%4"),                    \
       LIST(1, 2, 3, 4, 5, 6, 7, 8),                                                                                     \
       LIST(2, 0),                                                                                                       \
       LIST(1, 1),                                                                                                       \
       NUM(0, 5, -4, 3, 4, 17, -8, 7)},                                                                                  \
      {"attention",                                                                                                      \
       IN3("f32[1,3,2]", "f32[1,3,1]",                                                                                   \
           "f32[1,3,1]") "%4 = attention %1, %2, %3 {heads = 2, kv_heads = 1, cap = 2, where = \"(and (le key query) "   \
                         "(lt query key 2))\"} : f32[1,3,2]\n" RETURN("%4"),                                             \
       LIST(1, 2, 0, -1, 3, 1),                                                                                          \
       LIST(1, -1, 2),                                                                                                   \
       LIST(10, 20, 30),                                                                                                 \
       NUM(10.0, 10.0, 15.0, 18.639472022216463, 29.781274170982822, 29.20372768054284)},                                \
      {"rms_norm", IN2("f32[1,2]", "f32[2]") "%3 = rms_norm %1, %2 {eps = 11.5} : f32[1,2]\n" RETURN("%3"),              \
       LIST(3, 4), LIST(2, 12),                                                                                          \
       0,          NUM(1.2247448713915892, 9.797958971132713)},                                                          \
      {"layer_norm",                                                                                                     \
       IN3("f32[1,2]", "f32[2]", "f32[2]") "%4 = layer_norm %1, %2, %3 {eps = 3} : f32[1,2]\n" RETURN("%4"),             \
       LIST(1, 3),                                                                                                       \
       LIST(2, 4),                                                                                                       \
       LIST(10, 20),                                                                                                     \
       NUM(9, 22)},                                                                                                      \
      {"l2_norm",                                                                                                        \
       IN("f32[2,2]") "%2 = l2_norm %1 {eps = 1} : f32[2,2]\n" RETURN("%2"),                                             \
       LIST(3, 4, 0, 0.5),                                                                                               \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(0.6, 0.8, 0, 0.5)},                                                                                           \
      {"softmax",                                                                                                        \
       IN("f32[2,2]") "%2 = softmax %1 : f32[2,2]\n" RETURN("%2"),                                                       \
       LIST(0, log(3), 1000, 1000),                                                                                      \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(0.25, 0.75, 0.5, 0.5)},                                                                                       \
      {"log_softmax",                                                                                                    \
       IN("f32[2]") "%2 = log_softmax %1 : f32[2]\n" RETURN("%2"),                                                       \
       LIST(0, log(3)),                                                                                                  \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(log(0.25), log(0.75))},                                                                                       \
      {"reduce_sum", IN("f32[2,2]") "%2 = reduce_sum %1 : f32[2,1]\n" RETURN("%2"), LIST(1, 2, 3, 4), 0, 0, NUM(3, 7)},  \
      {"reduce_max", IN("f32[2,2]") "%2 = reduce_max %1 : f32[2,1]\n" RETURN("%2"), LIST(1, 2, -3, -4), 0, 0,            \
       NUM(2, -3)},                                                                                                      \
      {"argmax", IN("f32[2,3]") "%2 = argmax %1 : i32[2]\n" RETURN("%2"), LIST(1, 5, 5, 0, -1, -2), 0, 0, NUM(1, 0)},    \
      {"attention", /* two keys with scores 0 and ln 3 */                                                                \
       IN3("f32[1,1,1]", "f32[1,2,1]",                                                                                   \
           "f32[1,2,1]") "%4 = attention %1, %2, %3 {heads = 1, scale = 0.5} : f32[1,1,1]\n" RETURN("%4"),               \
       LIST(2),                                                                                                          \
       LIST(0, log(3)),                                                                                                  \
       LIST(4, 8),                                                                                                       \
       NUM(7)},                                                                                                          \
      {"attention", /* causal, two heads, equal scores: running means */                                                 \
       IN3("f32[1,2,2]", "f32[1,2,2]", "f32[1,2,2]") "%4 = attention %1, %2, %3 {heads = 2, where = \"(le key "          \
                                                     "query)\"} : f32[1,2,2]\n" RETURN("%4"),                            \
       LIST(0, 0, 0, 0),                                                                                                 \
       LIST(1, 1, 1, 1),                                                                                                 \
       LIST(2, 20, 4, 40),                                                                                               \
       NUM(2, 20, 3, 30)},                                                                                               \
      {"attention", /* padding hides key 0; the second batch sees nothing */                                             \
       IN2("f32[2,2,1]",                                                                                                 \
           "bool[2,2]") "%4 = attention %1, %1, %1, %2 {heads = 1, where = \"(arg 3)\"} : f32[2,2,1]\n" RETURN("%4"),    \
       LIST(1, 7, 3, 4),                                                                                                 \
       LIST(0, 1, 0, 0),                                                                                                 \
       0,                                                                                                                \
       NUM(7, 7, 0, 0)},                                                                                                 \
      {"attention", /* hidden by a finite score, query position from data */                                             \
       IN2("f32[1,2,1]", "i32[1]") "%4 = constant {value = 0} : f32[1,1,1]\n"                                            \
                                   "%5 = attention %4, %1, %1, %2 {heads = 1, masked = -0x0p+0, where = \"(eq key "      \
                                   "query)\"} : f32[1,1,1]\n" RETURN("%5"),                                              \
       LIST(1, 3),                                                                                                       \
       LIST(1),                                                                                                          \
       0,                                                                                                                \
       NUM(2)},                                                                                                          \
      {"attention", /* modality of the keys */                                                                           \
       IN(SEQ) "%2 = attention %1, %1, %1 {heads = 1, where = \"(is key vision)\"} : " SEQ "\n" RETURN("%2"),            \
       LIST(5, 1, 2),                                                                                                    \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(5, 5, 5)},                                                                                                    \
      {"embedding",                                                                                                      \
       IN2("f32[3,2]", "i32[2]") "%3 = embedding %1, %2 : f32[2,2]\n" RETURN("%3"),                                      \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       LIST(2, 0),                                                                                                       \
       0,                                                                                                                \
       NUM(5, 6, 1, 2)},                                                                                                 \
      {"gather_rows",                                                                                                    \
       IN2("f32[2,2,1]", "i32[2,3]") "%3 = gather_rows %1, %2 : f32[2,3,1]\n" RETURN("%3"),                              \
       LIST(1, 2, 3, 4),                                                                                                 \
       LIST(1, 0, 1, 0, 0, 1),                                                                                           \
       0,                                                                                                                \
       NUM(2, 1, 2, 3, 3, 4)},                                                                                           \
      {"gather_rows",                                                                                                    \
       IN2("f32[2,2,1]", "i32[2]") "%3 = gather_rows %1, %2 : f32[2,1]\n" RETURN("%3"),                                  \
       LIST(1, 2, 3, 4),                                                                                                 \
       LIST(1, 0),                                                                                                       \
       0,                                                                                                                \
       NUM(2, 3)},                                                                                                       \
      {"state",                                                                                                          \
       "%1 = state : f32[2,3,1]\n%2 = input \"y\" : f32[2,1,1]\n%3 = input \"z\" : i32[2]\n%4 = put_rows %1, "           \
       "%2, %3 {start = 1} : f32[2,3,1]\noutput \"x\" = %4 changes %1",                                                  \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       LIST(8, 9),                                                                                                       \
       LIST(0, 1),                                                                                                       \
       NUM(1, 8, 3, 4, 5, 9)},                                                                                           \
      {"put_rows",                                                                                                       \
       "%1 = state : f32[2,3,1]\n%2 = input \"y\" : f32[2,1,1]\n%3 = input \"z\" : i32[2]\n%4 = put_rows %1, "           \
       "%2, %3 {start = 1} : f32[2,3,1]\noutput \"x\" = %4 changes %1",                                                  \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       LIST(8, 9),                                                                                                       \
       LIST(1, 0),                                                                                                       \
       NUM(1, 2, 8, 4, 9, 6)},                                                                                           \
      {"patchify",                                                                                                       \
       IN("f32[1,2,2,3]") "%2 = patchify %1 {patch = 2} : f32[1,1,8]\n" RETURN("%2"),                                    \
       LIST(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),                                                                      \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 2, 4, 5, 7, 8, 10, 11)},                                                                                   \
      {"patchify",                                                                                                       \
       IN("f32[1,1,2,4]") "%2 = patchify %1 {patch = 2} : f32[1,2,4]\n" RETURN("%2"),                                    \
       LIST(1, 2, 3, 4, 5, 6, 7, 8),                                                                                     \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 2, 5, 6, 3, 4, 7, 8)},                                                                                     \
      {"reshape",      IN("f32[2,L]") "%2 = reshape %1 : f32[1,2,L]\n" RETURN("%2"), LIST(1, 2, 3, 4), 0, 0,             \
       NUM(1, 2, 3, 4)},                                                                                                 \
      {"transpose",                                                                                                      \
       IN("f32[1,2,3]") "%2 = transpose %1 {perm = [2,0,1]} : f32[3,1,2]\n" RETURN("%2"),                                \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 4, 2, 5, 3, 6)},                                                                                           \
      {"slice",                                                                                                          \
       IN("f32[2,3]") "%2 = slice %1 {axis = 1, start = 1} : f32[2,2]\n" RETURN("%2"),                                   \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(2, 3, 5, 6)},                                                                                                 \
      {"slice", /* start 6 by bounds (L <= 6) is position 2 at L = 2 */                                                  \
       IN("f32[language: L + vision: 2]") "%2 = slice %1 {axis = 0, start = 7} : f32[vision: 1]\n" RETURN("%2"),         \
       LIST(1, 2, 3, 4),                                                                                                 \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(4)},                                                                                                          \
      {"concat",   IN2("f32[2,1]", "f32[2,2]") "%3 = concat %1, %2, %1 {axis = 1} : f32[2,4]\n" RETURN("%3"),            \
       LIST(1, 2), LIST(3, 4, 5, 6),                                                                                     \
       0,          NUM(1, 3, 4, 1, 2, 5, 6, 2)},                                                                         \
      {"broadcast", IN("f32[2,1]") "%2 = broadcast %1 : f32[2,2,2]\n" RETURN("%2"),                                      \
       LIST(1, 2),  0,                                                                                                   \
       0,           NUM(1, 1, 2, 2, 1, 1, 2, 2)},                                                                        \
      {"widen",                                                                                                          \
       IN("f32[L]") "%2 = cast %1 {to = \"bf16\"} : bf16[L]\n%3 = widen %2 : f32[L]\n" RETURN("%3"),                     \
       LIST(1.00390625, 1.01171875),                                                                                     \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 1.015625)},                                                                                                \
      {"outer",                                                                                                          \
       IN2("f32[2,2]", "f32[2,1]") "%3 = outer %1, %2 : f32[2,1]\n" RETURN("%3"),                                        \
       LIST(1, 2, 3, 4),                                                                                                 \
       LIST(5, 6),                                                                                                       \
       0,                                                                                                                \
       NUM(23, 34)},                                                                                                     \
      {"log_sum_exp",                                                                                                    \
       IN("f32[2,2]") "%2 = log_sum_exp %1 : f32[2,1]\n" RETURN("%2"),                                                   \
       LIST(0, 0, 1, 1),                                                                                                 \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(0.6931471805599453, 1.6931471805599453)},                                                                     \
      {"running_count", IN("bool[2,2]") "%2 = running_count %1 : i32[2,2]\n" RETURN("%2"), LIST(1, 0, 1, 1), 0, 0,       \
       NUM(1, 1, 2, 3)},                                                                                                 \
      {"linear_rows",                                                                                                    \
       IN3("f32[2,2]", "f32[1,2]", "i32[]") "%4 = linear_rows %1, %2, %3 {trans = 0} : f32[2,1]\n" RETURN("%4"),         \
       LIST(1, 2, 3, 4),                                                                                                 \
       LIST(5, 6),                                                                                                       \
       LIST(1),                                                                                                          \
       NUM(17, 0)},                                                                                                      \
      {"outer_rows", IN3("f32[2,1]", "f32[2,2]", "i32[]") "%4 = outer_rows %1, %2, %3 : f32[1,2]\n" RETURN("%4"),        \
       LIST(2, 3),   LIST(1, 2, 3, 4),                                                                                   \
       LIST(1),      NUM(2, 4)},                                                                                         \
      {"label_scores", /* z = ln 3, 0; the second row has no label */                                                    \
       IN3("f32[2,1]", "f32[2,1]", "i32[2]") LABELLED RETURN("%6"),                                                      \
       LIST(1, 0),                                                                                                       \
       LIST(1.0986122886681098, 0),                                                                                      \
       LIST(1, -1),                                                                                                      \
       NUM(-1.3862943611198906, 1.3862943611198906, -1.6739764335716716, 0, 0, 0)},                                      \
      {"label_scores_grad", /* p = 3/4, 1/4; the gradient by z is 1 + onehot - 2 p */                                    \
       IN3("f32[2,1]", "f32[2,1]", "i32[2]") LABELLED                                                                    \
       "%7 = constant {value = 0x1p+0} : f32[2,3]\n"                                                                     \
       "%8 = label_scores_grad %1, %2, %3, %5, %6, %7 {count = 3, wrt = [0]} : f32[2,1]\n" RETURN("%8"),                 \
       LIST(1, 0),                                                                                                       \
       LIST(1.0986122886681098, 0),                                                                                      \
       LIST(1, -1),                                                                                                      \
       NUM(-0.5493061443340549, 0)},                                                                                     \
      {"rows_add",                                                                                                       \
       IN2("f32[3,2]", "i32[3]") "%3 = rows_add %2, %1 : f32[3,2]\n" RETURN("%3"),                                       \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       LIST(2, 0, 2),                                                                                                    \
       0,                                                                                                                \
       NUM(3, 4, 0, 0, 6, 8)},                                                                                           \
      {"rows_add", /* tables of their own, the first row left out */                                                     \
       IN2("f32[2,2,1]", "i32[2,2]") "%3 = rows_add %2, %1 {axis = 1, keep = 1} : f32[2,3,1]\n" RETURN("%3"),            \
       LIST(1, 2, 3, 4),                                                                                                 \
       LIST(2, 2, 0, 1),                                                                                                 \
       0,                                                                                                                \
       NUM(0, 0, 3, 0, 4, 0)},                                                                                           \
      {"dropout", /* seed 5 + 2^32 * 2, step 3: 0.5114 0.0707 0.8568, 0.0650 0.0076 0.6892 */                            \
       IN("f32[2,3]") KEY                                                                                                \
       "%5 = iota {axis = 0} : i32[2,1]\n%6 = iota {axis = 0} : i32[3]\n%4 = constant {value = 0x0p+0} : i32[]\n"        \
       "%10 = dropout %1, %7, %8, %9, %5, %4, %6 {rate = 0x1p-1, site = 7} : f32[2,3]\n" RETURN("%10"),                  \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(2, 0, 6, 0, 0, 12)},                                                                                          \
      {"attention", /* seed 2^32, step 2, sample 1; row 1: numbers 0.3176 0.7911 0.4086 */                               \
       IN2("f32[1,1,1]", "f32[1,3,1]") "%10 = iota {axis = 0} : i32[3]\n%11 = constant {value = 0x1p+0} : i32[]\n"       \
                                       "%12 = add %10, %11 : i32[3]\n%13 = slice %12 {axis = 0, start = 0} : i32[1]\n"   \
                                       "%14 = attention %1, %2, %2, %10, %13 {heads = 1, rate = 0x1p-1, site = 7, "      \
                                       "start = 1} : f32[1,1,1]\n" RETURN("%14"),                                        \
       LIST(0),                                                                                                          \
       LIST(3, 6, 12),                                                                                                   \
       0,                                                                                                                \
       NUM(4)},                                                                                                          \
      {"draw", /* 0.9224 0.2833 0.3401 0.3053; the last row has no weights */                                            \
       IN2("f32[4,3]", "i32[4]") KEY "%10 = draw %1, %7, %8, %9, %2 {site = 1} : i32[4]\n" RETURN("%10"),                \
       LIST(1, 1, 2, 1, 1, 2, 0, 0, 5, 0, 0, 0),                                                                         \
       LIST(10, 11, 12, 13),                                                                                             \
       0,                                                                                                                \
       NUM(2, 1, 2, 0)},                                                                                                 \
      {"gelu_slope",                                                                                                     \
       IN("f32[L]") "%2 = gelu_slope %1 : f32[L]\n" RETURN("%2"),                                                        \
       LIST(0, 1),                                                                                                       \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(0.5, 1.0833154705876864)},                                                                                    \
      {"attention_grad", /* one head, two keys of equal score: the weights are 1/2 */                                    \
       IN2("f32[1,1,1]",                                                                                                 \
           "f32[1,2,1]") "%3 = attention_grad %1, %2, %2, %1 {heads = 1, wrt = [2]} : f32[1,2,1]\n" RETURN("%3"),        \
       LIST(3),                                                                                                          \
       LIST(5, 5),                                                                                                       \
       0,                                                                                                                \
       NUM(1.5, 1.5)},                                                                                                   \
      {"attention_grad", /* of one value: by the query 0, as the keys are equal; by the key p (dp - along) q = 0 */      \
       IN("f32[1,2,1]") "%2 = attention_grad %1, %1, %1, %1 {heads = 1, wrt = [0, 1, 2]} : f32[1,2,3]\n" RETURN("%2"),   \
       LIST(3, 3),                                                                                                       \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(0, 0, 3, 0, 0, 3)},                                                                                           \
      {"quantise", /* words 0 and 1, each with one code; behind 16 of them the bits of the scale */                      \
       CODED "%8 = slice %3 {axis = 1, start = 0} : i32[1,2]\n" RETURN("%8"),                                            \
       LIST(3, -127),                                                                                                    \
       LIST(127, 0, 1, -0.5),                                                                                            \
       0,                                                                                                                \
       NUM(3, 129)},                                                                                                     \
      {"quantise",                                                                                                       \
       CODED "%8 = slice %3 {axis = 1, start = 16} : i32[1,2]\n" RETURN("%8"),                                           \
       LIST(3, -127),                                                                                                    \
       LIST(127, 0, 1, -0.5),                                                                                            \
       0,                                                                                                                \
       NUM(0x3f800000, 0)},                                                                                              \
      {"weight_codes",                                                                                                   \
       CODED "%8 = slice %4 {axis = 1, start = 1} : i32[1,1,16]\n" RETURN("%8"),                                         \
       LIST(3, -127),                                                                                                    \
       LIST(127, 0, 1, -0.5),                                                                                            \
       0,                                                                                                                \
       NUM(0, 192, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)},                                                           \
      {"weight_scales", CODED RETURN("%5"), LIST(3, -127), LIST(127, 0, 1, -0.5), 0, NUM(1, 0.007874015718698502)},      \
      {"weight_sums", CODED RETURN("%6"), LIST(3, -127), LIST(127, 0, 1, -0.5), 0, NUM(127, 63)},                        \
      {"linear_codes", CODED RETURN("%7"), LIST(3, -127), LIST(127, 0, 1, -0.5), 0, NUM(381, 67)},                       \
      {"quantise", /* -8 (3 - 127) */                                                                                    \
       CODED4 "%8 = slice %3 {axis = 1, start = 32} : i32[1,2]\n" RETURN("%8"),                                          \
       LIST(3, -127),                                                                                                    \
       LIST(-8, 7, 0, -0.5),                                                                                             \
       0,                                                                                                                \
       NUM(992, 0)},                                                                                                     \
      {"weight_codes4", /* 8888888f, 88888880, and 88888888 where there is nothing */                                    \
       CODED4 "%8 = slice %4 {axis = 1, start = 1} : i32[1,1,16]\n"                                                      \
              "%9 = slice %8 {axis = 2, start = 0} : i32[1,1,3]\n" RETURN("%9"),                                         \
       LIST(3, -127),                                                                                                    \
       LIST(-8, 7, 0, -0.5),                                                                                             \
       0,                                                                                                                \
       NUM(-2004318065, -2004318080, -2004318072)},                                                                      \
      {"weight_scales4",                                                                                                 \
       CODED4 "%8 = slice %5 {axis = 2, start = 0} : f32[1,1,3]\n" RETURN("%8"),                                         \
       LIST(3, -127),                                                                                                    \
       LIST(-8, 7, 0, -0.5),                                                                                             \
       0,                                                                                                                \
       NUM(1, 0.0625, 0)},                                                                                               \
      {"linear_codes4", CODED4 RETURN("%6"), LIST(3, -127), LIST(-8, 7, 0, -0.5), 0, NUM(-913, 63.5)},                   \
      {"pairs",                                                                                                          \
       PAIRED "%6 = slice %3 {axis = 1, start = 0} : i32[1,2]\n" RETURN("%6"),                                           \
       LIST(1, -2, 1.00390625),                                                                                          \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       0,                                                                                                                \
       NUM(-1073725568, 0x3f80)},                                                                                        \
      {"weight_pairs",                                                                                                   \
       PAIRED "%6 = slice %4 {axis = 1, start = 1} : i32[1,1,16]\n" RETURN("%6"),                                        \
       LIST(1, -2, 1),                                                                                                   \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       0,                                                                                                                \
       NUM(0x4040, 0x40c0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)},                                                   \
      {"linear_pairs", PAIRED RETURN("%5"), LIST(1, 2, 1.00390625), LIST(1, 2, 3, 4, 5, 6), 0, NUM(8, 20)},              \
      {"layer_norm_grad", /* n = -1/2, 1/2; mean h 3, mean h n 1/2 */                                                    \
       IN2("f32[1,2]", "f32[1,2]") "%3 = layer_norm_grad %2, %1 {eps = 3} : f32[1,2]\n" RETURN("%3"),                    \
       LIST(1, 3),                                                                                                       \
       LIST(2, 4),                                                                                                       \
       0,                                                                                                                \
       NUM(-0.375, 0.375)},                                                                                              \
      {"layer_norm_sums",                                                                                                \
       IN2("f32[1,2,2]", "f32[1,2,2]") "%3 = layer_norm_sums %2, %1 {eps = 3} : f32[1,2,2]\n" RETURN("%3"),              \
       LIST(1, 3, 3, 1),                                                                                                 \
       LIST(2, 4, 6, 8),                                                                                                 \
       0,                                                                                                                \
       NUM(2, -2, 8, 12)},                                                                                               \
      {"stop", IN("f32[L]") "%2 = stop %1 : f32[L]\n" RETURN("%2"), LIST(1, 2), 0, 0, NUM(1, 2)},                        \
      {"assigned", IN("i32[L]") "%2 = assigned \"at\" %1 : i32[L]\n" RETURN("%2"), LIST(1, 2), 0, 0, NUM(1, 2)},         \
      {"embedding",                                                                                                      \
       IN2("f32[2,2,2]", "i32[3]") "%3 = embedding %1, %2 : f32[3,2,2]\n" RETURN("%3"),                                  \
       LIST(1, 2, 3, 4, 5, 6, 7, 8),                                                                                     \
       LIST(1, 0, 1),                                                                                                    \
       0,                                                                                                                \
       NUM(5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8)},                                                                         \
      {"gather_rows",                                                                                                    \
       IN2("f32[1,2,3,1]", "i32[1,2]") "%3 = gather_rows %1, %2 : f32[1,2,1]\n" RETURN("%3"),                            \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       LIST(2, 0),                                                                                                       \
       0,                                                                                                                \
       NUM(3, 4)},                                                                                                       \
      {"pack", /* [N,K], the last panel has one column */                                                                \
       IN("f32[3,2]") "%2 = pack %1 {layout = \"panels\", panel = 2} : f32[2,2,2]\n" RETURN("%2"),                       \
       LIST(1, 2, 3, 4, 5, 6),                                                                                           \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 3, 2, 4, 5, 0, 6, 0)},                                                                                     \
      {"pack", /* two matrices [K,N], rounded */                                                                         \
       IN("f32[2,2,1]") "%2 = pack %1 {layout = \"panels\", panel = 2, trans = 1, to = \"bf16\"} : "                     \
                        "bf16[2,1,2,2]\n" RETURN("%2"),                                                                  \
       LIST(1, 2, 257, 4),                                                                                               \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 0, 2, 0, 256, 0, 4, 0)},                                                                                   \
      {"pack",     IN("f32[2,1]") "%2 = pack %1 {layout = \"rows\", panel = 2} : f32[2,4]\n" RETURN("%2"),               \
       LIST(1, 2), 0,                                                                                                    \
       0,          NUM(1, 0, 0, 0, 2, 0, 0, 0)},                                                                         \
      {"pack",                                                                                                           \
       IN("f32[3]") "%2 = pack %1 {layout = \"vector\", panel = 2} : f32[4]\n" RETURN("%2"),                             \
       LIST(1, 2, 3),                                                                                                    \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 2, 3, 0)},                                                                                                 \
      {"unpack",                                                                                                         \
       IN("f32[2,2,2]") "%2 = unpack %1 {layout = \"panels\", panel = 2} : f32[3,2]\n" RETURN("%2"),                     \
       LIST(1, 2, 3, 4, 5, 6, 7, 8),                                                                                     \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 3, 2, 4, 5, 7)},                                                                                           \
      {"unpack",                                                                                                         \
       IN("f32[2,4]") "%2 = unpack %1 {layout = \"rows\", panel = 2} : f32[2,2]\n" RETURN("%2"),                         \
       LIST(1, 2, 3, 4, 5, 6, 7, 8),                                                                                     \
       0,                                                                                                                \
       0,                                                                                                                \
       NUM(1, 2, 5, 6)},                                                                                                 \
      {"retag",  IN("f32[L]") "%2 = retag %1 {to = \"language\"} : f32[language: L]\n" RETURN("%2"), LIST(1, 2), 0, 0,   \
       NUM(1, 2)},

Test(graph_eval, every_operator) {
  const Case list[] = {CASES};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++)
    check_eval(list[i].body, list[i].x, list[i].y, list[i].z, list[i].want, list[i].n);
}

Test(graph_eval, no_operator_is_missing) {
  const Case list[] = {CASES};
  for (int op = OP_none + 1; op < OP_COUNT; op++) {
    bool found = false;
    for (size_t i = 0; i < sizeof list / sizeof *list && !found; i++) found = !strcmp(list[i].op, op_info[op].name);
    cr_assert(found, "%s has no case", op_info[op].name);
  }
}

static void expect_failure(const char *text, const double *x, const double *y, int64_t b, const char *want) {
  Bench bench;
  Tensor out;
  bench_parse(&bench, text);
  Numbers in[2] = {{"x", x}, {"y", y}};
  const char *error = bench_eval(&bench, in, y ? 2 : 1, b, 1, &out);
  cr_assert(error && strstr(error, want), "%s", error ? error : "no error");
  bench_free(&bench);
}

Test(graph_eval, errors) {
  static const char *const head = "module \"t\" dims { B = 1..4 } graph @f {";
  char text[1024];
  snprintf(text, sizeof text, "%s%s}", head,
           IN2("f32[3,2]", "i32[2]") "%3 = embedding %1, %2 : f32[2,2]\n" RETURN("%3"));
  expect_failure(text, LIST(1, 2, 3, 4, 5, 6), LIST(0, 3), 1, "id 3 is outside 0..2");
  expect_failure(text, LIST(1, 2, 3, 4, 5, 6), LIST(-1, 0), 1, "id -1");
  expect_failure(text, LIST(1, 2, 3, 4, 5, 6), NULL, 1, "no value for the input y");
  expect_failure(text, LIST(1, 2, 3, 4, 5, 6), LIST(0, 0), 5, "B = 5 is outside 1..4");
  snprintf(text, sizeof text, "%s%s}", head,
           "%1 = state : f32[1,3,1]\n%2 = constant {value = 5} : f32[1,2,1]\n%3 = input \"y\" : i32[1]\n"
           "%4 = put_rows %1, %2, %3 {start = 1} : f32[1,3,1]\noutput \"x\" = %4 changes %1");
  expect_failure(text, LIST(1, 2, 3), LIST(1), 1, "rows 2..3 are outside 0..2");
  snprintf(text, sizeof text, "%s%s}", head, IN("i32[1]") "%2 = mul %1, %1 : i32[1]\n" RETURN("%2"));
  expect_failure(text, LIST(65536), NULL, 1, "does not fit into i32");
  snprintf(text, sizeof text, "%s%s}", head, IN("i32[1]") "%2 = div %1, %1 : i32[1]\n" RETURN("%2"));
  expect_failure(text, LIST(0), NULL, 1, "does not fit into i32");
}

// A diamond 4000 deep: evaluation, liveness and marks must be neither recursive nor exponential.
Test(graph_eval, deep_graph) {
  Bench b;
  bench_init(&b);
  Type t = {.dtype = DT_F32, .rank = 1, .dim = {DIM(2)}};
  Val x = graph_input(b.g, "x", &t, NO_SPAN), half = graph_scalar(b.g, 0.5, NO_SPAN);
  for (int i = 0; i < 4000; i++) {
    Val sum = graph_add(b.g, OP_add, (Val[]){x, x}, 2, NULL, 0, NO_SPAN);
    x = graph_add(b.g, OP_mul, (Val[]){sum, half}, 2, NULL, 0, NO_SPAN);
  }
  graph_output(b.g, "x", x, NO_SPAN);
  Numbers in = {"x", LIST(3, 4)};
  Tensor out;
  cr_assert_null(bench_eval(&b, &in, 1, 1, 1, &out));
  cr_assert(out.f[0] == 3 && out.f[1] == 4);
  cr_assert_eq(graph_residency(b.g, x), RES_act);
  graph_compact(b.g);
  bench_free(&b);
}

// PyTorch's interpolate(align_corners=False, antialias=True), of doubles, from 6 x 6 to fewer and to more.
Test(graph_eval, antialias_resize) {
  enum { FROM = 6, KEEP = 1 };
  static const struct {
    const char *method;
    int to;
    double first, inner, last; // rows 0, to + 1 and to * to - 2
  } known[] = {{"bicubic_antialias", 4, 0.13311915999480453, 0.40875863507745436, 0.4310426857372248},
               {"bicubic_antialias", 9, -0.024559499671588117, 0.18852780651375167, 0.8341020075963104},
               {"bilinear_antialias", 4, 0.16043814432989686, 0.4138984345169911, 0.4666380297823597},
               {"bilinear_antialias", 9, 0, 0.22164948453608246, 0.7731958762886597}};
  double in[FROM * FROM + KEEP] = {5}, out[9 * 9 + KEEP];
  for (int i = 0; i < FROM * FROM; i++) in[KEEP + i] = i * i % 97 / 97.0;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    Arena a = {0};
    ResizePlan plan;
    int to = known[i].to;
    cr_assert(resize_plan(known[i].method, KEEP, NULL, FROM * FROM + KEEP, to * to + KEEP, &plan));
    resize_run(&a, &plan, in, 1, out);
    cr_expect_eq(out[0], 5);
    cr_expect_float_eq(out[KEEP], known[i].first, 1e-6, "%s", known[i].method);
    cr_expect_float_eq(out[KEEP + to + 1], known[i].inner, 1e-6, "%s", known[i].method);
    cr_expect_float_eq(out[KEEP + to * to - 2], known[i].last, 1e-6, "%s", known[i].method);
    arena_free(&a);
  }
}

// The table of a grid of 8 x 8 for one of 10 x 10, against values that numpy computed in the authors' way: offsets
// at geometric distances, a cubic spline through them. Where the bisection of the ratio stops shows in the fifth digit.
Test(graph_eval, geometric_resize) {
  enum { FROM = 15, TO = 19, KEEP = 3 };
  static const struct {
    int row;
    double want;
  } known[] = {
      {1, 0.0039031953537617225}, {64, 0.5707403360314517}, {180, 0.31958762886606423}, {325, -0.09747146729974336}};
  static double in[FROM * FROM + KEEP], out[TO * TO + KEEP];
  for (int i = 0; i < FROM * FROM; i++) in[i] = i * i % 97 / 97.0;
  for (int i = 0; i < KEEP; i++) in[FROM * FROM + i] = 7 + i;
  Arena a = {0};
  ResizePlan plan;
  cr_assert(resize_plan("geometric", KEEP, (const int64_t[]){10, 10}, FROM * FROM + KEEP, TO * TO + KEEP, &plan));
  resize_run(&a, &plan, in, 1, out);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    cr_expect_float_eq(out[known[i].row], known[i].want, 1e-10, "row %d is %.12g", known[i].row, out[known[i].row]);
  for (int i = 0; i < KEEP; i++) cr_expect_eq(out[TO * TO + i], 7 + i);
  arena_free(&a);
}

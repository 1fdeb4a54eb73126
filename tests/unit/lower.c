// lower.c (test): the kernels of fused groups and their mathematics.
//
// Groups: each case is a small graph that goes through the passes and the lowerings; the interpreter runs its kernels
// for every target at several run-time lengths, and the outputs must agree with the reference evaluator. kmath: every
// function over its whole domain against libm in double, with and without fma. Determinism: targets with fma give equal
// bits whatever their width, and an element of a product has the same bits whatever tile or row tail computes it.
#include "attention_cases.h"
#include "codegen/kmath.h"
#include "lower_support.h"

#include <criterion/criterion.h>

static const int64_t lengths[][3] = {{1, 1, 1}, {3, 21, 9}, {2, 13, 5}, {1, 17, 4}}; // B, L, T

static void check_case(const char *name, LowerCase c, double tolerance) {
  uint64_t bits[4] = {0}; // of the first target with fma
  const Target *first = NULL;
  for (size_t t = 0; targets[t]; t++) {
    if (targets[t]->has_fma && !first) first = targets[t];
    for (size_t d = 0; d < 4; d++) {
      LowerRun r;
      const char *isa = targets[t]->name;
      lower_run(&r, &c, isa, lengths[d]);
      cr_expect_null(r.failed, "%s on %s: %s", name, isa, r.failed);
      cr_expect(r.worst <= tolerance, "%s on %s, lengths %zu: error %g", name, isa, d, r.worst);
      if (targets[t] == first) bits[d] = r.bits;
      cr_expect(!targets[t]->has_fma || r.bits == bits[d], "%s on %s, lengths %zu: bits of another width", name, isa,
                d);
      lower_run_free(&r);
    }
  }
}

#define CASE(suite, name, tolerance, ...)                                                                              \
  Test(suite, name) {                                                                                                  \
    check_case(#name, (LowerCase){.text = __VA_ARGS__}, tolerance);                                                    \
  }

/* products -------------------------------------------------------------------------------------------- */
CASE(lower_gemm, bias_and_odd_sizes, 1e-6,
     "%1 = input \"x\" : f32[B,5,19]\n%2 = weight \"w\" : f32[37,19]\n%3 = weight \"b\" : f32[37]\n"
     "%4 = linear %1, %2, %3 {trans = 0} : f32[B,5,37]\noutput \"y\" = %4")
CASE(lower_gemm, even_tiles_gelu_transposed_weight, 1e-6,
     "%1 = input \"x\" : f32[B,50,70]\n%2 = weight \"w\" : f32[70,96]\n"
     "%4 = linear %1, %2 {trans = 1} : f32[B,50,96]\n%5 = gelu %4 : f32[B,50,96]\noutput \"y\" = %5")
CASE(lower_gemm, run_time_rows_residual, 1e-6,
     "%1 = input \"x\" : f32[B,L,24]\n%2 = weight \"w\" : f32[24,24]\n"
     "%4 = linear %1, %2 {trans = 0} : f32[B,L,24]\n%5 = add %1, %4 : f32[B,L,24]\noutput \"y\" = %5")
CASE(lower_gemm, few_rows_many_columns, 1e-6,
     "%1 = input \"x\" : f32[B,24]\n%2 = weight \"w\" : f32[1000,24]\n%3 = weight \"b\" : f32[1000]\n"
     "%4 = linear %1, %2, %3 {trans = 0} : f32[B,1000]\noutput \"y\" = %4")
CASE(lower_gemm, one_row, 1e-6,
     "%1 = input \"x\" : f32[1,24]\n%2 = weight \"w\" : f32[100,24]\n"
     "%4 = linear %1, %2 {trans = 0} : f32[1,100]\n%5 = tanh %4 : f32[1,100]\noutput \"y\" = %5")
CASE(lower_gemm, row_blocks_among_tasks, 1e-6,
     "%1 = input \"x\" : f32[B,400,96]\n%2 = weight \"w\" : f32[40,96]\n"
     "%4 = linear %1, %2 {trans = 0} : f32[B,400,40]\noutput \"y\" = %4")
// The gradient of a weight: parts of it by tasks, blocks of rows; the last one is not full.
CASE(lower_outer, blocks_of_rows_and_parts, 2e-6,
     "%1 = input \"x\" : f32[B,150,200]\n%2 = input \"y\" : f32[B,150,213]\n"
     "%3 = outer %1, %2 : f32[200,213]\noutput \"y\" = %3")
CASE(lower_outer, few_columns_and_an_epilogue, 1e-6,
     "%1 = input \"x\" : f32[B,150,7]\n%2 = input \"y\" : f32[B,150,10]\n%4 = input \"z\" : f32[7,10]\n"
     "%3 = outer %1, %2 : f32[7,10]\n%5 = add %3, %4 : f32[7,10]\noutput \"y\" = %5")
CASE(lower_outer, rows_that_are_not_adjacent, 1e-6,
     "%1 = input \"x\" : f32[B,51,30]\n%2 = input \"y\" : f32[B,50,100]\n"
     "%3 = slice %1 {axis = 1, start = 1} : f32[B,50,30]\n"
     "%4 = outer %3, %2 : f32[30,100]\noutput \"y\" = %4")
CASE(lower_outer, run_time_rows, 1e-6,
     "%1 = input \"x\" : f32[B,L,30]\n%2 = input \"y\" : f32[B,L,100]\n"
     "%4 = outer %1, %2 : f32[30,100]\noutput \"y\" = %4")
CASE(lower_outer, columns_that_are_not_adjacent, 1e-6,
     "%1 = input \"x\" : f32[30,B,50]\n%2 = input \"y\" : f32[B,50,20]\n"
     "%3 = transpose %1 {perm = [1, 2, 0]} : f32[B,50,30]\n"
     "%4 = outer %3, %2 : f32[30,20]\noutput \"y\" = %4")
// The first rows alone: as many as an input says (ids of these cases are 0 .. 3).
CASE(lower_gemm, first_rows, 1e-6,
     "%1 = input \"x\" : f32[40,96]\n%2 = weight \"w\" : f32[70,96]\n%3 = input \"n\" : i32[]\n"
     "%4 = linear_rows %1, %2, %3 {trans = 0} : f32[40,70]\n%5 = weight \"b\" : f32[70]\n%6 = add %4, %5 : f32[40,70]\n"
     "%7 = exp %6 : f32[40,70]\noutput \"y\" = %7\noutput \"z\" = %4")
CASE(lower_gemm, first_rows_in_blocks, 2e-6,
     "%1 = input \"x\" : f32[400,512]\n%2 = weight \"w\" : f32[512,40]\n%3 = input \"n\" : i32[]\n"
     "%8 = constant {value = 0x1.2p+7} : i32[]\n%9 = mul %3, %8 : i32[]\n%5 = linear_rows %1, %2, %9 {trans = 1} : "
     "f32[400,40]\noutput \"y\" = %5")
CASE(lower_outer, first_rows, 2e-6,
     "%1 = input \"x\" : f32[384,70]\n%2 = input \"y\" : f32[384,60]\n%3 = input \"n\" : i32[]\n"
     "%8 = constant {value = 0x1.8p+6} : i32[]\n%9 = mul %3, %8 : i32[]\n%4 = outer_rows %1, %2, %9 : f32[70,60]\n"
     "%5 = outer_rows %1, %2, %3 : f32[70,60]\noutput \"y\" = %4\noutput \"z\" = %5")
CASE(lower_map, running_count, 0,
     "%1 = input \"x\" : f32[B,L]\n%2 = constant {value = 0x0p+0} : f32[]\n%3 = compare %1, %2 {cmp = \"gt\"} : "
     "bool[B,L]\n%4 = running_count %3 : i32[B,L]\noutput \"n\" = %4")
CASE(lower_row, log_sum_exp, 1e-6,
     "%1 = input \"x\" : f32[B,L,50]\n%2 = log_sum_exp %1 : f32[B,L,1]\noutput \"y\" = %2")
// A long k, by blocks where the target says so: the cases above once more. Targets with other blocks, or none, give the
// same bits.
CASE(lower_gemm, blocks_gelu_residual, 1e-6,
     "%1 = input \"x\" : f32[B,50,512]\n%2 = weight \"w\" : f32[160,512]\n%3 = weight \"b\" : f32[160]\n"
     "%6 = input \"a\" : f32[B,50,160]\n%4 = linear %1, %2, %3 {trans = 0} : f32[B,50,160]\n"
     "%5 = gelu %4 : f32[B,50,160]\n%7 = add %6, %5 : f32[B,50,160]\noutput \"y\" = %7")
CASE(lower_gemm, blocks_of_rows_and_a_partial_panel, 1e-6,
     "%1 = input \"x\" : f32[1,230,640]\n%2 = weight \"w\" : f32[120,640]\n"
     "%4 = linear %1, %2 {trans = 0} : f32[1,230,120]\noutput \"y\" = %4")
CASE(lower_gemm, blocks_and_row_blocks_among_tasks, 4e-6,
     "%1 = input \"x\" : f32[1,220,2048]\n%2 = weight \"w\" : f32[40,2048]\n%3 = weight \"b\" : f32[40]\n"
     "%4 = linear %1, %2, %3 {trans = 0} : f32[1,220,40]\noutput \"y\" = %4")
CASE(lower_gemm, blocks_of_segments_with_a_gap, 1e-6,
     "%1 = input \"x\" : f32[B,language: L + vision: 26,384]\n%2 = weight \"w\" : f32[192,384]\n"
     "%3 = linear %1, %2 {trans = 0} : f32[B,language: L + vision: 26,192]\n"
     "%4 = gelu %3 : f32[B,language: L + vision: 26,192]\noutput \"y\" = %4")
CASE(lower_gemm, position_rows, 1e-6,
     "%1 = input \"x\" : f32[B,7,24]\n%2 = weight \"w\" : f32[24,24]\n%3 = weight \"pos\" : f32[1,7,24]\n"
     "%4 = linear %1, %2 {trans = 0} : f32[B,7,24]\n%5 = add %4, %3 : f32[B,7,24]\n"
     "%6 = quick_gelu %5 : f32[B,7,24]\noutput \"y\" = %6")
CASE(lower_gemm, segments_with_a_gap, 1e-6,
     "%1 = input \"x\" : f32[B,language: L + vision: 5,24]\n%2 = weight \"w\" : f32[30,24]\n"
     "%3 = linear %1, %2 {trans = 0} : f32[B,language: L + vision: 5,30]\n"
     "%4 = gelu %3 : f32[B,language: L + vision: 5,30]\noutput \"y\" = %4")
CASE(lower_gemm, stored_into_a_concat, 1e-6,
     "%1 = input \"x\" : f32[B,5,33]\n%6 = weight \"w\" : f32[20,33]\n%7 = linear %1, %6 {trans = 0} : f32[B,5,20]\n"
     "%2 = weight \"c\" : f32[1,1,20]\n%3 = broadcast %2 : f32[B,1,20]\n%4 = concat %3, %7 {axis = 1} : f32[B,6,20]\n"
     "%5 = weight \"p\" : f32[6,20]\n%8 = add %4, %5 : f32[B,6,20]\noutput \"y\" = %8")
CASE(lower_matmul, similarity, 1e-6,
     "%1 = input \"x\" : f32[B,24]\n%2 = input \"t\" : f32[T,24]\n%3 = matmul %1, %2 {trans = 1} : f32[B,T]\n"
     "%4 = weight \"s\" : f32[]\n%5 = exp %4 : f32[]\n%6 = mul %3, %5 : f32[B,T]\noutput \"y\" = %6")
CASE(lower_matmul, batched, 1e-6,
     "%1 = input \"x\" : f32[B,5,9]\n%2 = input \"t\" : f32[B,9,L]\n"
     "%3 = matmul %1, %2 {trans = 0} : f32[B,5,L]\noutput \"y\" = %3")
CASE(lower_matmul, summed_over_a_run_time_axis, 2e-6,
     "%1 = input \"x\" : f32[B,5,L]\n%2 = input \"t\" : f32[B,L,9]\n"
     "%3 = matmul %1, %2 {trans = 0} : f32[B,5,9]\noutput \"y\" = %3")

/* rows ------------------------------------------------------------------------------------------------ */
CASE(lower_row, layer_norm_low_variance, 2e-6,
     "%1 = input \"x\" : f32[B,7,50]\n%2 = weight \"g\" : f32[50]\n%3 = weight \"b\" : f32[50]\n"
     "%4 = layer_norm %1, %2, %3 {eps = 1e-5} : f32[B,7,50]\noutput \"y\" = %4",
     .centre = 100, .spread = 0.01)
CASE(lower_row, gradients_of_layer_norm, 5e-6,
     "%1 = input \"x\" : f32[B,L,50]\n%2 = input \"dy\" : f32[B,L,50]\n%3 = weight \"g\" : f32[50]\n"
     "%4 = layer_norm_grad %2, %1, %3 {eps = 1e-5} : f32[B,L,50]\n%5 = add %4, %1 : f32[B,L,50]\n"
     "%6 = layer_norm_sums %2, %1 {eps = 1e-5} : f32[B,2,50]\n"
     "%8 = slice %1 {axis = 2, start = 3} : f32[B,L,33]\n%9 = slice %2 {axis = 2, start = 0} : f32[B,L,33]\n"
     "%10 = layer_norm_grad %9, %8 {eps = 0.5} : f32[B,L,33]\n%11 = layer_norm_sums %9, %8 {eps = 0.5} : f32[B,2,33]\n"
     "output \"y\" = %5\noutput \"s\" = %6\noutput \"z\" = %10\noutput \"t\" = %11")
CASE(lower_row, gradients_of_layer_norm_low_variance, 2e-5,
     "%1 = input \"x\" : f32[B,7,70]\n%2 = constant {value = 0.5} : f32[B,7,70]\n%3 = weight \"g\" : f32[70]\n"
     "%4 = layer_norm_grad %2, %1, %3 {eps = 1e-5} : f32[B,7,70]\n%5 = layer_norm_sums %1, %1 {eps = 1e-5} : "
     "f32[B,2,70]\n"
     "output \"y\" = %4\noutput \"s\" = %5",
     .centre = 2, .spread = 0.1)
CASE(lower_map, rotate_halves, 1e-6,
     "%1 = input \"x\" : f32[B,L,72]\n%2 = weight \"c\" : f32[40,11]\n%3 = weight \"s\" : f32[40,11]\n"
     "%4 = slice %2 {axis = 0, start = 0} : f32[L,11]\n%5 = slice %3 {axis = 0, start = 2} : f32[L,11]\n"
     "%6 = rotate %1, %4, %5 {heads = 3} : f32[B,L,72]\noutput \"y\" = %6")
CASE(lower_map, rotate_pairs, 1e-6,
     "%1 = input \"x\" : f32[B,5,40]\n%2 = input \"c\" : f32[B,5,10]\n%3 = sin %2 : f32[B,5,10]\n"
     "%4 = cos %2 : f32[B,5,10]\n%5 = rotate %1, %4, %3 {heads = 2, pairs = 1} : f32[B,5,40]\noutput \"y\" = %5")
CASE(lower_attention, shared_window_cap, 2e-6,
     "%1 = input \"q\" : f32[B,L,96]\n%2 = input \"k\" : f32[B,L,32]\n%3 = input \"v\" : f32[B,L,48]\n"
     "%4 = attention %1, %2, %3 {heads = 6, kv_heads = 2, scale = 0.25, cap = 3, where = \"(and (le key query) (lt "
     "query "
     "key 4))\"} : f32[B,L,144]\noutput \"y\" = %4")
CASE(lower_attention, shared_few_queries, 2e-6,
     "%1 = input \"q\" : f32[B,1,128]\n%2 = input \"k\" : f32[B,L,64]\n%3 = input \"v\" : f32[B,L,64]\n"
     "%4 = input \"at\" : i32[B]\n%5 = weight \"b\" : f32[4,21,21]\n"
     "%6 = attention %1, %2, %3, %4, %5 {heads = 4, kv_heads = 2, where = \"(and (le key query) (lt query key 9))\"} : "
     "f32[B,1,128]\noutput \"y\" = %6",
     .id_limit = 4)
CASE(lower_row, rms_norm, 2e-6,
     "%1 = input \"x\" : f32[B,7,50]\n%2 = weight \"g\" : f32[50]\n"
     "%3 = rms_norm %1, %2 {eps = 1e-5} : f32[B,7,50]\n%4 = swish %3 : f32[B,7,50]\noutput \"y\" = %4")
CASE(lower_row, rms_norm_absorbed, 2e-6,
     "%1 = input \"x\" : f32[B,7,50]\n%2 = weight \"g\" : f32[50]\n%3 = weight \"w\" : f32[20,50]\n"
     "%4 = rms_norm %1, %2 {eps = 1e-5} : f32[B,7,50]\n%5 = linear %4, %3 : f32[B,7,20]\noutput \"y\" = %5")
CASE(lower_row, embedding_sum_layer_norm, 2e-6,
     "%1 = input \"t\" : i32[B,L]\n%2 = weight \"e\" : f32[11,20]\n%3 = weight \"p\" : f32[40,20]\n"
     "%4 = embedding %2, %1 : f32[B,L,20]\n%5 = slice %3 {axis = 0, start = 2} : f32[L,20]\n"
     "%6 = add %4, %5 : f32[B,L,20]\n%7 = layer_norm %6 {eps = 1e-12} : f32[B,L,20]\noutput \"y\" = %7",
     .id_limit = 11)
CASE(lower_row, softmax_of_run_time_rows, 1e-6,
     "%1 = input \"x\" : f32[B,5,L]\n%2 = softmax %1 : f32[B,5,L]\n%3 = log_softmax %1 : f32[B,5,L]\n"
     "output \"y\" = %2\noutput \"z\" = %3",
     .spread = 10)
CASE(lower_row, reductions, 1e-6,
     "%1 = input \"x\" : f32[B,5,33]\n%2 = l2_norm %1 {eps = 1e-12} : f32[B,5,33]\n%3 = reduce_sum %1 : f32[B,5,1]\n"
     "%4 = reduce_max %1 : f32[B,5,1]\n%5 = argmax %1 : i32[B,5]\n"
     "output \"y\" = %2\noutput \"z\" = %3\noutput \"m\" = %4\noutput \"a\" = %5")
CASE(lower_row, argmax_of_large_integers, 0,
     "%1 = input \"x\" : i32[B,L]\n%5 = argmax %1 : i32[B]\n%6 = reduce_max %1 : i32[B,1]\n"
     "output \"a\" = %5\noutput \"m\" = %6",
     .id_limit = 2e9)
CASE(lower_row, mean_over_tokens, 1e-6,
     "%1 = input \"x\" : f32[B,L,33]\n%2 = transpose %1 {perm = [0,2,1]} : f32[B,33,L]\n"
     "%3 = reduce_sum %2 : f32[B,33,1]\n%4 = constant {value = 0.125} : f32[]\n"
     "%5 = mul %3, %4 : f32[B,33,1]\noutput \"y\" = %5")
CASE(lower_row, mean_over_rows_by_blocks_of_columns, 1e-6,
     "%1 = input \"x\" : f32[B,7,144]\n%2 = transpose %1 {perm = [0,2,1]} : f32[B,144,7]\n"
     "%3 = reduce_sum %2 : f32[B,144,1]\n%4 = constant {value = 0.125} : f32[]\n"
     "%5 = mul %3, %4 : f32[B,144,1]\n%6 = reduce_max %2 : f32[B,144,1]\n"
     "%7 = add %5, %6 : f32[B,144,1]\noutput \"y\" = %7")
CASE(lower_row, softmax_of_a_transpose, 1e-6,
     "%1 = input \"x\" : f32[B,7,9]\n%2 = transpose %1 {perm = [0,2,1]} : f32[B,9,7]\n"
     "%3 = softmax %2 : f32[B,9,7]\noutput \"y\" = %3")

// Lengths around whole vectors and around the number of partial results, constant and at run time (4 L + 3: 7 to 87).
#define SUMS(n)                                                                                                        \
  "%1 = input \"x\" : f32[B,3," n "]\n%2 = layer_norm %1 {eps = 1e-6} : f32[B,3," n "]\n"                              \
  "%3 = l2_norm %1 {eps = 1e-12} : f32[B,3," n "]\n%4 = softmax %1 : f32[B,3," n "]\n"                                 \
  "%5 = log_softmax %1 : f32[B,3," n "]\n%6 = reduce_sum %1 : f32[B,3,1]\n%7 = reduce_max %1 : f32[B,3,1]\n"           \
  "%8 = top_k %1 {count = 2} : i32[B,3,2]\noutput \"a\" = %2\noutput \"b\" = %3\noutput \"c\" = %4\n"                  \
  "output \"d\" = %5\noutput \"e\" = %6\noutput \"f\" = %7\noutput \"g\" = %8"
CASE(lower_row, sums_of_4, 3e-6, SUMS("4"))
CASE(lower_row, sums_of_7, 3e-6, SUMS("7"))
CASE(lower_row, sums_of_16, 3e-6, SUMS("16"))
CASE(lower_row, sums_of_31, 3e-6, SUMS("31"))
CASE(lower_row, sums_of_64, 3e-6, SUMS("64"))
CASE(lower_row, sums_of_201, 3e-6, SUMS("201"))
CASE(lower_row, sums_of_run_time_rows, 3e-6, SUMS("4*L+3"))
CASE(lower_row, sums_of_expressions, 3e-6,
     "%1 = input \"x\" : f32[B,3,77]\n%2 = tanh %1 : f32[B,3,77]\n%3 = softmax %2 : f32[B,3,77]\n"
     "output \"y\" = %3")
CASE(lower_matmul, dots_of_150, 1e-6,
     "%1 = input \"x\" : f32[B,150]\n%2 = input \"t\" : f32[T,150]\n%3 = matmul %1, %2 {trans = 1} : f32[B,T]\n"
     "output \"y\" = %3")
CASE(lower_matmul, dots_of_run_time_rows, 2e-6,
     "%1 = input \"x\" : f32[B,4*L+3]\n%2 = input \"t\" : f32[T,4*L+3]\n"
     "%3 = matmul %1, %2 {trans = 1} : f32[B,T]\noutput \"y\" = %3")

/* maps ------------------------------------------------------------------------------------------------ */
CASE(lower_map, chain_with_broadcast, 1e-6,
     "%1 = input \"x\" : f32[B,5,33]\n%2 = input \"z\" : f32[5,1]\n%3 = tanh %1 : f32[B,5,33]\n"
     "%4 = sub %3, %2 : f32[B,5,33]\n%5 = sigmoid %4 : f32[B,5,33]\n%6 = log %5 : f32[B,5,33]\noutput \"y\" = %6")
CASE(lower_map, flat_blocks, 1e-6,
     "%1 = input \"x\" : f32[B,5,33,77]\n%3 = gelu_tanh %1 : f32[B,5,33,77]\noutput \"y\" = %3", .spread = 6)
CASE(lower_map, copies_of_views, 0,
     "%1 = input \"x\" : f32[B,5,L]\n%3 = transpose %1 {perm = [2,0,1]} : f32[L,B,5]\n"
     "%4 = slice %1 {axis = 1, start = 2} : f32[B,2,L]\noutput \"y\" = %3\noutput \"z\" = %4")
CASE(lower_map, reshape_across_a_transpose, 0,
     "%1 = input \"x\" : f32[B,5,12]\n%2 = neg %1 : f32[B,5,12]\n%3 = reshape %2 : f32[B,5,3,4]\n"
     "%4 = transpose %3 {perm = [0,2,1,3]} : f32[B,3,5,4]\n%5 = reshape %4 : f32[B,3,20]\noutput \"y\" = %5")
CASE(lower_map, patches_drop_the_remainder, 0,
     "%1 = input \"x\" : f32[B,3,9,14]\n%2 = patchify %1 {patch = 4} : f32[B,6,48]\noutput \"y\" = %2")
CASE(lower_map, bool_output, 0,
     "%1 = input \"x\" : i32[B,L]\n%2 = constant {value = 1} : i32[]\n"
     "%3 = compare %1, %2 {cmp = \"ne\"} : bool[B,L]\n%4 = input \"m\" : bool[B,L]\n"
     "%5 = logical_and %3, %4 : bool[B,L]\noutput \"y\" = %5")
CASE(lower_map, bool_concat, 0,
     "%1 = input \"m\" : bool[B,language: L]\n%2 = constant {value = 1} : bool[B,vision: 5]\n"
     "%3 = concat %1, %2 {axis = 1} : bool[B,language: L + vision: 5]\noutput \"y\" = %3")
CASE(lower_map, select_and_cast, 0,
     "%1 = input \"x\" : i32[B,L]\n%2 = constant {value = 1} : i32[]\n"
     "%3 = compare %1, %2 {cmp = \"ge\"} : bool[B,L]\n%4 = cast %1 {to = \"f32\"} : f32[B,L]\n"
     "%5 = constant {value = 0.5} : f32[]\n%6 = select %3, %4, %5 : f32[B,L]\noutput \"y\" = %6")
CASE(
    lower_map, gather, 0,
    "%1 = input \"x\" : f32[B,5,33]\n%2 = input \"i\" : i32[B]\n%3 = gather_rows %1, %2 : f32[B,33]\noutput \"y\" = %3",
    .id_limit = 5)

/* attention ------------------------------------------------------------------------------------------- */
#define ATTENTION(args, attrs, out)                                                                                    \
  "%1 = input \"x\" : f32[B,L,24]\n%2 = input \"m\" : bool[B,L]\n%9 = attention " args " {" attrs "} : " out           \
  "\noutput \"y\" = %9"
CASE(lower_attention, plain, 2e-6,
     "%1 = input \"x\" : f32[B,23,24]\n%2 = attention %1, %1, %1 {heads = 3, scale = 0.35} : f32[B,23,24]\n"
     "output \"y\" = %2",
     .spread = 3)
CASE(lower_attention, one_head_query_blocks, 2e-6,
     "%1 = input \"x\" : f32[B,130,32]\n%2 = attention %1, %1, %1 {heads = 1, scale = 0.125} : f32[B,130,32]\n"
     "output \"y\" = %2")
CASE(lower_attention, causal, 2e-6,
     ATTENTION("%1, %1, %1", "heads = 2, scale = 0.5, where = \"(le key query)\"", "f32[B,L,24]"), .spread = 3)
CASE(lower_attention, causal_and_padding, 2e-6,
     ATTENTION("%1, %1, %1, %2", "heads = 8, scale = 0.5, where = \"(and (arg 3) (le key query))\"", "f32[B,L,24]"),
     .spread = 3)
CASE(lower_attention, prefix, 2e-6,
     ATTENTION("%1, %1, %1", "heads = 2, scale = 0.5, where = \"(or (below key L -3) (le key query))\"", "f32[B,L,24]"),
     .spread = 3)
CASE(lower_attention, positions_and_numbers, 2e-6,
     "%1 = input \"x\" : f32[B,language: L + vision: 5,24]\n%2 = attention %1, %1, %1 {heads = 3, scale = 0.5, qstart "
     "= 2, "
     "where = \"(or (and (below query L 4) (below key 3)) (not (below key L 1)))\"} : f32[B,language: L + vision: "
     "5,24]\n"
     "output \"y\" = %2",
     .spread = 3)
CASE(lower_attention, nothing_visible, 2e-6,
     ATTENTION("%1, %1, %1", "heads = 8, scale = 0.5, where = \"(lt key query)\"", "f32[B,L,24]"), .spread = 3)
CASE(lower_attention, additive_mask, 5e-6,
     "%1 = input \"x\" : f32[B,5,24]\n%4 = input \"z\" : f32[B,L,24]\n%5 = input \"v\" : f32[B,L,10]\n"
     "%3 = input \"m\" : bool[B,L]\n%2 = attention %1, %4, %5, %3 {heads = 2, scale = 0.5, masked = -10000, where = "
     "\"(arg 3)\"} : f32[B,5,10]\noutput \"y\" = %2",
     .spread = 3)
CASE(lower_attention, segments_with_a_gap, 2e-6,
     "%1 = input \"x\" : f32[B,language: L + vision: 5,24]\n%3 = input \"m\" : bool[B,language: L + vision: 5]\n"
     "%2 = attention %1, %1, %1, %3 {heads = 3, scale = 0.5, where = \"(and (arg 3) (or (is key vision) (and (is query "
     "language) (le key query))))\"} : f32[B,language: L + vision: 5,24]\noutput \"y\" = %2",
     .spread = 3)
CASE(lower_attention, causal_second_segment, 2e-6,
     "%1 = input \"x\" : f32[B,vision: 5 + language: L,24]\n%2 = attention %1, %1, %1 {heads = 3, scale = 0.5, where = "
     "\"(or (is key vision) (and (is query language) (le key query)))\"} : f32[B,vision: 5 + language: L,24]\n"
     "output \"y\" = %2",
     .spread = 3)
CASE(lower_attention, query_position_from_data, 2e-6,
     "%1 = input \"x\" : f32[B,1,24]\n%4 = input \"z\" : f32[B,21,24]\n%3 = input \"i\" : i32[B]\n"
     "%2 = attention %1, %4, %4, %3 {heads = 2, scale = 0.5, where = \"(le key query)\"} : f32[B,1,24]\n"
     "output \"y\" = %2",
     .spread = 3, .id_limit = 21)
CASE(lower_attention, slices_of_one_product, 2e-6,
     "%1 = input \"x\" : f32[B,L,16]\n%2 = weight \"q\" : f32[16,16]\n%3 = weight \"k\" : f32[16,16]\n"
     "%4 = weight \"v\" : f32[16,16]\n%5 = linear %1, %2 {trans = 0} : f32[B,L,16]\n"
     "%6 = linear %1, %3 {trans = 0} : f32[B,L,16]\n%7 = linear %1, %4 {trans = 0} : f32[B,L,16]\n"
     "%8 = attention %5, %6, %7 {heads = 4, scale = 0.5} : f32[B,L,16]\noutput \"y\" = %8")

CASE(lower_attention, few_queries_in_place, 2e-6,
     "%1 = input \"q\" : f32[B,3,64]\n%2 = input \"x\" : f32[B,L,64]\n%3 = input \"m\" : bool[B,L]\n"
     "%4 = attention %1, %2, %2, %3 {heads = 2, scale = 0.5, where = \"(arg 3)\"} : f32[B,3,64]\noutput \"y\" = %4")
// a row of values is four panels: read whole by wide targets, in two parts where registers are few (portable)
CASE(lower_attention, in_place_wide_heads, 2e-6,
     "%1 = input \"q\" : f32[B,1,128]\n%2 = input \"x\" : f32[B,L,128]\n"
     "%4 = attention %1, %2, %2 {heads = 2, scale = 0.125} : f32[B,1,128]\noutput \"y\" = %4")
CASE(lower_attention, in_place_with_bias, 2e-6,
     "%1 = input \"q\" : f32[B,2,32]\n%2 = input \"x\" : f32[B,19,32]\n%3 = weight \"bias\" : f32[2,2,19]\n"
     "%4 = attention %1, %2, %2, %3 {heads = 2, scale = 1} : f32[B,2,32]\noutput \"y\" = %4")
CASE(lower_attention, in_place_position_from_data, 2e-6,
     "%1 = input \"x\" : f32[B,1,32]\n%4 = input \"k\" : f32[B,L,32]\n%3 = input \"at\" : i32[B]\n"
     "%2 = attention %1, %4, %4, %3 {heads = 2, scale = 0.5, where = \"(le key query)\"} : f32[B,1,32]\noutput \"y\" = "
     "%2")
CASE(lower_attention, in_place_over_segments, 2e-6,
     "%1 = input \"x\" : f32[B,vision: 5 + language: L,32]\n%2 = input \"q\" : f32[B,1,32]\n"
     "%3 = attention %2, %1, %1 {heads = 1, scale = 0.5, where = \"(is key language)\"} : f32[B,1,32]\noutput \"y\" = "
     "%3")

/* gradients of attention ------------------------------------------------------------------------------ */
static void check_gradient(const GradCase *c, int wrt) {
  Buf b = {0}, what = {0};
  grad_inputs(c, &b);
  grad_outputs(c, &wrt, 1, &b);
  buf_printf(&what, "%s, by operand %d", c->name, wrt);
  check_case(what.s, (LowerCase){.text = b.s, .spread = 1.5, .id_limit = 21}, 5e-6);
  buf_free(&b), buf_free(&what);
}

// Several gradients by one kernel.
static void check_joint_gradient(const GradCase *c, int first) {
  Buf b = {0}, what = {0};
  int wrt[3], n = grad_joined(c, first, wrt);
  if (n > 1) {
    grad_inputs(c, &b);
    grad_joint(c, wrt, n, &b);
    buf_puts(&b, "output \"joint\" = %20\n");
    buf_printf(&what, "%s, by %d operands from %d", c->name, n, first);
    check_case(what.s, (LowerCase){.text = b.s, .spread = 1.5, .id_limit = 21}, 5e-6);
  }
  buf_free(&b), buf_free(&what);
}

Test(lower_attention_grad, every_operand, .timeout = 600) {
  for (size_t i = 0; i < GRAD_CASES; i++) {
    for (int first = 0; first < 2; first++) check_joint_gradient(&grad_cases[i], first);
    for (int wrt = 0; wrt < 3; wrt++) check_gradient(&grad_cases[i], wrt);
    if (grad_bias(&grad_cases[i])) check_gradient(&grad_cases[i], grad_bias(&grad_cases[i]));
  }
}

// The kernel of a graph's last step at the width of AVX2.
static const Kernel *last_kernel(LowerRun *r, const char *text) {
  LowerCase c = {.text = text};
  lower_run(r, &c, "avx2", lengths[0]);
  cr_assert_null(r->failed, "%s", r->failed);
  const RouteProgram *route = &r->program->route.at[0];
  return r->program->kernel.at[route->step.at[route->step.n - 1].kernel].k[0];
}

static bool has_buffer(const Kernel *k, const char *name) {
  for (size_t i = 1; i < k->buf.n; i++)
    if (!strcmp(k->buf.at[i].name, name)) return true;
  return false;
}

// Keys and values are packed for many queries only.
Test(lower_attention, packs_for_many_queries) {
  static const struct {
    const char *text;
    bool packs;
  } cases[] = {
      {"%1 = input \"q\" : f32[B,1,64]\n%2 = input \"x\" : f32[B,40,64]\n"
       "%3 = attention %1, %2, %2 {heads = 2, scale = 0.5} : f32[B,1,64]\noutput \"y\" = %3",
       false},
      {"%1 = input \"q\" : f32[B,9,64]\n%2 = input \"x\" : f32[B,40,64]\n"
       "%3 = attention %1, %2, %2 {heads = 2, scale = 0.5} : f32[B,9,64]\noutput \"y\" = %3",
       true},
  };
  for (size_t i = 0; i < 2; i++) {
    LowerRun r;
    const Kernel *k = last_kernel(&r, cases[i].text);
    cr_expect_eq(has_buffer(k, "kt"), cases[i].packs, "case %zu", i);
    lower_run_free(&r);
  }
}

// More tensors added up than one kernel takes arguments: several groups.
Test(lower_map, many_operands) {
  enum { N = 40 };
  Buf b = {0};
  for (int i = 1; i <= N; i++) buf_printf(&b, "%%%d = input \"x%d\" : f32[B,7]\n", i, i);
  for (int i = 2; i <= N; i++) buf_printf(&b, "%%%d = add %%%d, %%%d : f32[B,7]\n", N + i, i == 2 ? 1 : N + i - 1, i);
  buf_printf(&b, "output \"y\" = %%%d", 2 * N);
  check_case("many_operands", (LowerCase){.text = b.s}, 1e-5);
  buf_free(&b);
}

// An attention that reads as many tensors as a kernel takes arguments has none left for its result: an error, whatever
// the last operand is (a mask, which is an input, or the bias, which is packed).
Test(lower_attention, more_operands_than_a_kernel_takes) {
  for (int bias = 0; bias < 2; bias++) {
    Buf b = {0}, where = {0}, args = {0};
    buf_puts(&b, "%1 = input \"x\" : f32[B,4,8]\n");
    int n = MAX_KERNEL_ARGS - 3 - bias;
    for (int i = 0; i < n; i++) {
      buf_printf(&b, "%%%d = input \"m%d\" : bool[B,4]\n", i + 2, i);
      buf_printf(&args, ", %%%d", i + 2);
    }
    for (int i = 0; i + 1 < n; i++) buf_printf(&where, "(and (arg %d) ", i + 3);
    buf_printf(&where, "(arg %d)", n + 2);
    for (int i = 0; i + 1 < n; i++) buf_putc(&where, ')');
    if (bias) buf_printf(&b, "%%%d = weight \"b\" : f32[2,4,4]\n", n + 2);
    if (bias) buf_printf(&args, ", %%%d", n + 2);
    buf_printf(&b, "%%40 = attention %%1, %%1, %%1%s {heads = 2, scale = 0x1p+0, where = \"%s\"} : f32[B,4,8]\n",
               args.s, where.s);
    buf_puts(&b, "output \"y\" = %40");
    LowerRun r;
    lower_run(&r, &(LowerCase){.text = b.s}, "avx2", lengths[0]);
    cr_expect(r.failed && strstr(r.failed, "more than 16 operands [E0303]"), "%s", r.failed ? r.failed : "it runs");
    lower_run_free(&r);
    buf_free(&b), buf_free(&where), buf_free(&args);
  }
}

// One picture of 50 tokens has 50 rows, however few pictures there may be; a head's rows are as many as the batch. A
// long k is divided evenly.
Test(lower_gemm, single_rows_only_of_a_batch) {
  static const struct {
    const char *text, *tile;
  } cases[] = {
      {"%1 = input \"x\" : f32[1,50,256]\n%2 = weight \"w\" : f32[320,256]\n"
       "%4 = linear %1, %2 {trans = 0} : f32[1,50,320]\noutput \"y\" = %4",
       "tile 6 x 16"},
      {"%1 = input \"x\" : f32[1,50,512]\n%2 = weight \"w\" : f32[320,512]\n"
       "%4 = linear %1, %2 {trans = 0} : f32[1,50,320]\noutput \"y\" = %4",
       "tile 6 x 16, k by 256"},
      {"%1 = input \"x\" : f32[1,50,640]\n%2 = weight \"w\" : f32[320,640]\n"
       "%4 = linear %1, %2 {trans = 0} : f32[1,50,320]\noutput \"y\" = %4",
       "tile 6 x 16, k by 160"},
      {"%1 = input \"x\" : f32[B,256]\n%2 = weight \"w\" : f32[320,256]\n"
       "%4 = linear %1, %2 {trans = 0} : f32[B,320]\noutput \"y\" = %4",
       "tile 1 x 64"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    LowerRun r;
    const Kernel *k = last_kernel(&r, cases[i].text);
    cr_expect(strstr(k->about, cases[i].tile), "%s", k->about);
    lower_run_free(&r);
  }
}

// The loops over tiles that a kernel has cover any number of rows once, by tiles none of which is less than half as
// high as another: a tile of one row behind higher ones waits for its sums as long as four rows would take.
Test(lower_gemm, tiles_of_any_number_of_rows) {
  LowerRun r;
  const Kernel *k = last_kernel(&r, "%1 = input \"x\" : f32[1,L,256]\n%2 = weight \"w\" : f32[320,256]\n"
                                    "%4 = linear %1, %2 {trans = 0} : f32[1,L,320]\noutput \"y\" = %4");
  cr_assert(k->var.at[1].kind == KV_DIM && !strcmp(k->var.at[1].name, "L"));
  for (int64_t rows = 1; rows <= 21; rows++) {
    int64_t done = 0, highest = 0, lowest = rows, *value = calloc(k->var.n, sizeof *value);
    value[1] = rows;
    for (size_t i = 1; i < k->ins.n; i++) {
      const KIns *s = &k->ins.at[i];
      if (s->op != K_loop || !s->range->hi.most) continue;
      int64_t from = kbound_eval(&s->range->lo, value), to = kbound_eval(&s->range->hi, value);
      if (from == to) continue;
      cr_assert(from == done && (to - from) % s->step == 0, "%d rows: tiles of %d from %d to %d", (int)rows,
                (int)s->step, (int)from, (int)to);
      done = to;
      highest = s->step > highest ? s->step : highest;
      lowest = s->step < lowest ? s->step : lowest;
    }
    cr_expect(done == rows && 2 * lowest >= highest, "%d rows: %d in tiles of %d to %d", (int)rows, (int)done,
              (int)lowest, (int)highest);
    free(value);
  }
  lower_run_free(&r);
}

/* what does not change -------------------------------------------------------------------------------- */
// Rows 0.. of a product of 21 rows against the same rows in products of 13 and 1: other tiles, other tails, equal bits.
Test(lower_gemm, tiles_do_not_change_bits) {
  LowerCase c = {.text =
                     "%1 = input \"x\" : f32[B,L,70]\n%2 = weight \"w\" : f32[50,70]\n%3 = weight \"b\" : f32[50]\n"
                     "%4 = linear %1, %2, %3 {trans = 0} : f32[B,L,50]\n%5 = gelu %4 : f32[B,L,50]\noutput \"y\" = %5"};
  static const int64_t rows[] = {13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1};
  for (size_t t = 0; targets[t]; t++) {
    LowerRun all, part;
    const char *isa = targets[t]->name;
    lower_run(&all, &c, isa, (const int64_t[]){1, 21, 1});
    cr_assert_null(all.failed, "%s", all.failed);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
      lower_run(&part, &c, isa, (const int64_t[]){1, rows[i], 1});
      cr_assert_null(part.failed, "%s", part.failed);
      cr_expect(!memcmp(all.out[0], part.out[0], (size_t)rows[i] * 50 * sizeof(float)), "%s, %d rows", isa,
                (int)rows[i]);
      lower_run_free(&part);
    }
    lower_run_free(&all);
  }
}

Test(lower_gemm, equal_layers_share_a_kernel) {
  LowerCase c = {.text =
                     "%1 = input \"x\" : f32[B,9,32]\n%2 = weight \"a\" : f32[32,32]\n%3 = weight \"b\" : f32[32,32]\n"
                     "%4 = linear %1, %2 {trans = 0} : f32[B,9,32]\n%5 = gelu %4 : f32[B,9,32]\n"
                     "%6 = linear %5, %3 {trans = 0} : f32[B,9,32]\n%7 = gelu %6 : f32[B,9,32]\noutput \"y\" = %7"};
  LowerRun r;
  lower_run(&r, &c, "avx2", lengths[0]);
  cr_assert_null(r.failed, "%s", r.failed);
  cr_expect_eq(r.program->route.at[0].step.n, 2);
  cr_expect_eq(r.program->kernel.n, 1);
  lower_run_free(&r);
}

/* kmath ----------------------------------------------------------------------------------------------- */
enum { POINTS = 4096 };
typedef KVal MathFn(Kernel *k, KVal x);
typedef struct MathCase {
  const char *name;
  MathFn *fn;
  double (*exact)(double);
  double lo, hi;
  double ulp;      // allowed error in units of the last place of the result
  double absolute; // or as an absolute error
} MathCase;

static double exact_sigmoid(double x) {
  return 1 / (1 + exp(-x));
}
static double exact_gelu(double x) {
  return x / 2 * erfc(-x / sqrt(2.0));
}
static double exact_gelu_tanh(double x) {
  return x / 2 * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
static double exact_quick_gelu(double x) {
  return x * exact_sigmoid(1.702 * x);
}

static double exact_swish(double x) {
  return x * exact_sigmoid(x);
}

static const MathCase math_cases[] = {
    {"exp", kmath_exp, exp, -87, 88.7, 2, 0},
    {"exp of tiny results", kmath_exp, exp, -104, -87, 2, 0x1p-149},
    {"exp_neg", kmath_exp_neg, exp, -110, 0, 2, 0x1p-125},
    {"log", kmath_log, log, 1e-6, 4, 3, 0},
    {"log of large", kmath_log, log, 1, 1e30, 3, 0},
    {"log of subnormal", kmath_log, log, 0x1p-149, 0x1p-126, 3, 0},
    {"tanh", kmath_tanh, tanh, -10, 10, 3, 0},
    {"sin", kmath_sin, sin, -7, 7, 1, 0},
    {"sin of small", kmath_sin, sin, 1e-38, 1, 1, 0x1p-149},
    {"sin of all", kmath_sin, sin, 0.5, 3.4e38, 1, 0},
    {"sin beside whole turns", kmath_sin, sin, 3.1415925, 3.1415935, 1, 0},
    {"sin of negative", kmath_sin, sin, -1e6, -1, 1, 0},
    {"cos", kmath_cos, cos, -7, 7, 1, 0},
    {"cos of all", kmath_cos, cos, 0.5, 3.4e38, 1, 0},
    {"cos of floats next to pi/2", kmath_cos, cos, 16367172 * 0x1p72, 16367174 * 0x1p72, 1, 0},
    {"cos of negative", kmath_cos, cos, -1e6, -1, 1, 0},
    {"floor", kmath_floor, floor, -9, 9, 0, 0x1p-149},
    {"floor of large", kmath_floor, floor, -2e9, 2e9, 0, 0x1p-149},
    {"sigmoid", kmath_sigmoid, exact_sigmoid, -80, 80, 4, 0},
    {"gelu", kmath_gelu, exact_gelu, -1, 1, 0, 1.5e-7},
    {"gelu of large", kmath_gelu, exact_gelu, -40, 40, 4, 6e-7},
    {"gelu_tanh", kmath_gelu_tanh, exact_gelu_tanh, -20, 20, 4, 6e-7},
    {"quick_gelu", kmath_quick_gelu, exact_quick_gelu, -60, 60, 4, 6e-7},
    {"swish", kmath_swish, exact_swish, -80, 80, 4, 6e-7},
};

static void run_math(MathFn *fn, uint32_t lanes, bool has_fma, float *x, float *y, size_t n) {
  Arena a = {0};
  Kernel *k = kernel_new(&a, "math", lanes);
  KBufRef bx = kb_buf(k, "x", DT_F32, KB_IN, (int64_t)n), by = kb_buf(k, "y", DT_F32, KB_OUT, (int64_t)n);
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const((int64_t)n)), lanes));
  kb_store(k, by, i, fn(k, kb_load(k, bx, i, lanes, lanes, NULL)), lanes);
  kb_end(k);
  kb_finish(k);
  kernel_legalise(k, has_fma);
  void *buf[] = {x, y};
  int64_t dims[MAX_DIMS] = {0};
  kernel_interp(k, buf, dims, 0, 1);
  arena_free(&a);
}

static double ulp_of(double v) {
  int e;
  frexp(v, &e);
  return ldexp(1, e - 24 < -149 ? -149 : e - 24);
}

static void check_math(const MathCase *m, bool has_fma) {
  static float x[POINTS], y[POINTS];
  double worst = 0;
  for (int i = 0; i < POINTS; i++) {
    double t = (double)i / (POINTS - 1);
    x[i] = (float)(m->hi / m->lo > 1e6 ? m->lo * pow(m->hi / m->lo, t) : m->lo + (m->hi - m->lo) * t);
  }
  run_math(m->fn, 8, has_fma, x, y, POINTS);
  for (int i = 0; i < POINTS; i++) {
    double want = m->exact((double)x[i]), error = fabs((double)y[i] - want);
    double allowed = m->ulp * ulp_of(want);
    if (allowed < m->absolute) allowed = m->absolute;
    if (error / allowed > worst) worst = error / allowed;
    cr_expect(error <= allowed, "%s(%a) = %a, not %a", m->name, (double)x[i], (double)y[i], want);
  }
  if (getenv("SY_SHOW_ACCURACY"))
    fprintf(stderr, "%-20s fma %d: %.2f of (%g ulp, %g)\n", m->name, (int)has_fma, worst, m->ulp, m->absolute);
}

Test(kmath, accuracy) {
  for (size_t i = 0; i < sizeof math_cases / sizeof *math_cases; i++) {
    check_math(&math_cases[i], true);
    check_math(&math_cases[i], false);
  }
}

Test(kmath, special_values) {
  const struct {
    MathFn *fn;
    float x, y;
  } table[] = {
      {kmath_exp, -INFINITY, 0},
      {kmath_exp, INFINITY, INFINITY},
      {kmath_exp, 0, 1},
      {kmath_exp, -104.5F, 0},
      {kmath_exp, 88.8F, INFINITY},
      {kmath_exp, NAN, NAN},
      {kmath_exp_neg, -INFINITY, 0},
      {kmath_exp_neg, 0, 1},
      {kmath_log, 0, -INFINITY},
      {kmath_log, 1, 0},
      {kmath_log, -1, NAN},
      {kmath_log, INFINITY, INFINITY},
      {kmath_log, NAN, NAN},
      {kmath_tanh, INFINITY, 1},
      {kmath_tanh, -INFINITY, -1},
      {kmath_tanh, NAN, NAN},
      {kmath_sin, INFINITY, NAN},
      {kmath_sin, NAN, NAN},
      {kmath_sin, 0, 0},
      {kmath_cos, -INFINITY, NAN},
      {kmath_cos, 0, 1},
      {kmath_floor, -0.5F, -1},
      {kmath_floor, 8388607.5F, 8388607},
      {kmath_floor, -INFINITY, -INFINITY},
      {kmath_floor, INFINITY, INFINITY},
      {kmath_floor, NAN, NAN},
      {kmath_sigmoid, INFINITY, 1},
      {kmath_gelu, 0, 0},
      {kmath_gelu, 50, 50},
      {kmath_gelu, -50, 0},
      {kmath_gelu, 5.7F, 5.7F},
      {kmath_gelu, INFINITY, INFINITY},
      {kmath_quick_gelu, 60, 60},
      {kmath_swish, 90, 90},
      {kmath_gelu_tanh, 30, 30},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    for (int fma = 0; fma < 2; fma++) {
      float x[8], y[8];
      for (int l = 0; l < 8; l++) x[l] = table[i].x;
      run_math(table[i].fn, 8, fma, x, y, 8);
      bool same = y[0] == table[i].y || (isnan(y[0]) && isnan(table[i].y));
      cr_expect(same, "row %zu, fma %d: f(%g) = %a, not %g", i, fma, (double)x[0], (double)y[0], (double)table[i].y);
    }
}

// narrow.c: numbers kept in fewer bits (ir/narrow.c), every one of them.
#include <criterion/criterion.h>
#include <math.h>

#include "ir/graph.h"

static const DType narrow[] = {DT_F16, DT_BF16};
enum { ALL = 1 << 16 };

Test(narrow, the_table_says_what_is_narrow) {
  for (DType t = 0; t < DT_COUNT; t++) {
    DType found;
    cr_expect(dtype_by_name(dtype_info[t].name, &found) && found == t);
    cr_expect_eq(dtype_is_narrow(t), dtype_info[t].kind == DK_FLOAT && dtype_info[t].bytes < 4, "%s",
                 dtype_info[t].name);
    cr_expect_not(dtype_is_narrow(dtype_info[t].computes), "%s: what is computed is what it is", dtype_info[t].name);
  }
  DType none;
  cr_expect_not(dtype_by_name("f64", &none) || dtype_by_name("", &none));
}

Test(narrow, every_number_comes_back) {
  for (int k = 0; k < 2; k++)
    for (uint32_t i = 0; i < ALL; i++) {
      float x = dtype_widen(narrow[k], i);
      uint32_t back = dtype_narrow(narrow[k], (double)x);
      if (isnan(x))
        cr_assert(isnan(dtype_widen(narrow[k], back)));
      else
        cr_assert_eq(back, i, "%s %04x: %a, back %04x", dtype_info[narrow[k]].name, i, (double)x, back);
    }
}

// Between two neighbours the nearer one is taken, in the middle the even one; in order, so are the bits.
Test(narrow, what_lies_between_goes_to_the_nearest) {
  for (int k = 0; k < 2; k++) {
    DType t = narrow[k];
    for (uint32_t i = 0; isfinite(dtype_widen(t, i + 1)); i++) {
      double lo = (double)dtype_widen(t, i), hi = (double)dtype_widen(t, i + 1), middle = lo / 2 + hi / 2;
      cr_assert_lt(lo, hi);
      uint32_t even = i % 2 ? i + 1 : i, minus = 1u << 15;
      cr_assert_eq(dtype_narrow(t, middle), even, "%s %04x", dtype_info[t].name, i);
      cr_assert_eq(dtype_narrow(t, nextafter(middle, lo)), i);
      cr_assert_eq(dtype_narrow(t, nextafter(middle, hi)), i + 1);
      cr_assert_eq(dtype_narrow(t, -middle), even | minus);
    }
  }
}

Test(narrow, the_ends_of_the_range) {
  cr_expect_eq(dtype_most(DT_F16), 65504);
  cr_expect_eq(dtype_most(DT_BF16), 0x1.fep127);
  cr_expect_eq(dtype_narrow(DT_F16, 65519.999), 0x7bff);
  cr_expect_eq(dtype_narrow(DT_F16, 65520), 0x7c00);
  cr_expect_eq(dtype_narrow(DT_F16, -1e300), 0xfc00);
  cr_expect_eq(dtype_narrow(DT_BF16, 0x1.ffp127), 0x7f80);
  cr_expect_eq(dtype_narrow(DT_F16, 0x1p-24), 1);
  cr_expect_eq(dtype_narrow(DT_F16, 0x1p-25), 0);
  cr_expect_eq(dtype_narrow(DT_F16, 0x1.000001p-25), 1);
  cr_expect_eq(dtype_narrow(DT_F16, -0.0), 0x8000);
  cr_expect_eq(dtype_narrow(DT_BF16, 0x1p-140), 0); // the least number is 2^-133
  cr_expect_eq(dtype_narrow(DT_BF16, 5e-324), 0);
  // Rounded once: as a float first, this would be a tie.
  cr_expect_eq(dtype_narrow(DT_BF16, 1 + 0x1p-8 + 0x1p-40), 0x3f81);
  cr_expect_eq(dtype_round(DT_F32, 0.1), 0.1);
}

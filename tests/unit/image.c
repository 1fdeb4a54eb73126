// image.c (test): the records that a model's tables are made of are the structs of the engine, and a row that lacks a
// value is no row.
//
// Most is checked while codegen/image_records.c is compiled: the type of every member, and how many there are.
#include "codegen/image_records.h"
#include "runtime/engine/plan.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

Test(image, members_stand_in_their_order) {
  size_t n = 0;
  for (const Record *const *r = records; *r; r++, n++)
    cr_expect_null(record_problem(*r), "%s: %s", (*r)->name, record_problem(*r));
  cr_expect_gt(n, 10);
}

Test(image, members_that_changed_places_are_seen) {
  Member m[16];
  memcpy(m, record_plan.member, record_plan.n * sizeof *m);
  Record r = record_plan;
  r.member = m;
  cr_assert_null(record_problem(&r));
  Member keep = m[M_plan_scale]; // two of one type
  m[M_plan_scale] = m[M_plan_nbase];
  m[M_plan_nbase] = keep;
  cr_expect_str_eq(record_problem(&r), "nbase");
}

Test(image, a_member_that_is_left_out_is_seen) {
  Member m[16];
  memcpy(m, record_plan.member, record_plan.n * sizeof *m);
  memmove(m + M_plan_shared_bytes, m + M_plan_step, (record_plan.n - M_plan_step) * sizeof *m);
  Record r = record_plan;
  r.member = m;
  r.n--;
  cr_expect_str_eq(record_problem(&r), "step");
}

static Cell number(CellKind kind) {
  return (Cell){.kind = kind, .is.u = 1};
}

Test(image, a_row_has_a_value_for_every_member) {
  Image im = {0};
  Cell row = ROW(&im, extent, V(extent, constant, number(CK_I64)), V(extent, factor, number(CK_I64)),
                 V(extent, dim, number(CK_U32)));
  cr_expect(row.kind == CK_RECORD && row.is.row[M_extent_dim].is.u == 1);
  arena_free(&im.arena);
}

// An internal error: no model is made.
Test(image, a_row_without_a_value_is_an_internal_error, .exit_code = 70) {
  Image im = {0};
  ROW(&im, extent, V(extent, constant, number(CK_I64)), V(extent, dim, number(CK_U32)));
}

Test(image, a_value_of_another_kind_is_an_internal_error, .exit_code = 70) {
  Image im = {0};
  ROW(&im, extent, V(extent, constant, number(CK_F64)), V(extent, factor, number(CK_I64)),
      V(extent, dim, number(CK_U32)));
}

// residency.c: weights that training changes, from the graph to the kernels: what is made of them is computed at every
// call and gives what the reference evaluator gives, on every target; a weight lies once in the file of packed weights,
// in the order in which its reader wants it.
#include "lower_support.h"

#include <criterion/criterion.h>

static const struct {
  const char *what, *text;
  size_t steps, packed; // launches; entries of the file
  const char *layout;   // of the first entry
} cases[] = {
    {"a layer",
     "%x = input \"x\" : f32[B,10,16]\n"
     "%g = weight \"g\" {trained = 1} : f32[16]\n"
     "%s = weight \"s\" {trained = 1} : f32[16]\n"
     "%w = weight \"w\" {trained = 1} : f32[40,16]\n"
     "%b = weight \"b\" {trained = 1} : f32[40]\n"
     "%n = layer_norm %x, %g, %s {eps = 0.00001} : f32[B,10,16]\n"
     "%y = linear %n, %w, %b : f32[B,10,40]\n"
     "%z = gelu %y : f32[B,10,40]\n"
     "output \"z\" = %z\n",
     2, 4, "plain"},
    {"a matrix alone",
     "%x = input \"x\" : f32[B,10,16]\n"
     "%w = weight \"w\" {trained = 1} : f32[16,24]\n"
     "%y = linear %x, %w {trans = 1} : f32[B,10,24]\n"
     "output \"y\" = %y\n",
     1, 1, "panels"},
    {"a matrix that is a table too",
     "%i = input \"i\" : i32[B,10]\n"
     "%w = weight \"w\" {trained = 1} : f32[3,16]\n"
     "%e = embedding %w, %i : f32[B,10,16]\n"
     "%y = linear %e, %w : f32[B,10,3]\n"
     "output \"y\" = %y\n",
     3, 1, "plain"},
    {"columns by panels",
     "%x = input \"x\" : f32[B,10,16]\n"
     "%w = weight \"w\" {trained = 1} : f32[48,16]\n"
     "%b = weight \"b\" {trained = 1} : f32[48]\n"
     "%v = slice %w {axis = 0, start = 16} : f32[32,16]\n"
     "%c = slice %b {axis = 0, start = 16} : f32[32]\n"
     "%y = linear %x, %v, %c : f32[B,10,32]\n"
     "output \"y\" = %y\n",
     1, 2, "panels"},
    {"columns between panels",
     "%x = input \"x\" : f32[B,10,16]\n"
     "%w = weight \"w\" {trained = 1} : f32[48,16]\n"
     "%b = weight \"b\" {trained = 1} : f32[48]\n"
     "%v = slice %w {axis = 0, start = 8} : f32[30,16]\n"
     "%c = slice %b {axis = 0, start = 8} : f32[30]\n"
     "%y = linear %x, %v, %c : f32[B,10,30]\n"
     "output \"y\" = %y\n",
     2, 2, "plain"},
    {"a scaled matrix",
     "%x = input \"x\" : f32[B,10,16]\n"
     "%w = weight \"w\" {trained = 1} : f32[24,16]\n"
     "%g = weight \"g\" : f32[24,1]\n"
     "%v = mul %w, %g : f32[24,16]\n"
     "%y = linear %x, %v : f32[B,10,24]\n"
     "output \"y\" = %y\n",
     3, 2, "plain"},
    {"patches",
     "%x = input \"x\" : f32[B,3,16,16]\n"
     "%w = weight \"w\" {trained = 1} : f32[20,3,8,8]\n"
     "%b = weight \"b\" {trained = 1} : f32[20]\n"
     "%p = patchify %x {patch = 8} : f32[B,4,192]\n"
     "%v = reshape %w : f32[20,192]\n"
     "%y = linear %p, %v, %b : f32[B,4,20]\n"
     "output \"y\" = %y\n",
     1, 2, "panels"},
    {"a bias of an attention",
     "%x = input \"x\" : f32[B,10,16]\n"
     "%t = weight \"t\" {trained = 1} : f32[30,2]\n"
     "%i = iota {axis = 1} : i32[10,10]\n"
     "%e = embedding %t, %i : f32[10,10,2]\n"
     "%r = transpose %e {perm = [2,0,1]} : f32[2,10,10]\n"
     "%y = attention %x, %x, %x, %r {heads = 2} : f32[B,10,16]\n"
     "output \"y\" = %y\n",
     3, 2, "plain"},
    {"a bias that the caller gives",
     "%x = input \"x\" : f32[B,10,16]\n"
     "%r = input \"r\" : f32[2,10,10]\n"
     "%q = slice %r {axis = 1, start = 3} : f32[2,1,10]\n"
     "%s = slice %x {axis = 1, start = 3} : f32[B,1,16]\n"
     "%y = attention %s, %x, %x, %q {heads = 2} : f32[B,1,16]\n"
     "output \"y\" = %y\n",
     2, 0, NULL},
    {"panels that the caller gives",
     "%x = input \"x\" : f32[B,10,8]\n"
     "%p = input \"p\" : f32[3,8,16] role param offset 0\n"
     "%w = unpack %p {layout = \"panels\", panel = 16} : f32[40,8]\n"
     "%y = linear %x, %w : f32[B,10,40]\n"
     "output \"y\" = %y\n",
     1, 0, NULL},
    {"panels made of a parameter",
     "%x = input \"x\" : f32[B,10,8]\n"
     "%w = input \"w\" : f32[40,8] role param offset 0\n"
     "%y = linear %x, %w : f32[B,10,40]\n"
     "%p = pack %w {layout = \"panels\", panel = 16} : f32[3,8,16]\n"
     "output \"y\" = %y\n"
     "output \"p\" = %p\n",
     2, 0, NULL},
    {"panels that nobody reads as such",
     "%x = input \"x\" : f32[B,10,8]\n"
     "%p = input \"p\" : f32[3,8,16]\n"
     "%w = unpack %p {layout = \"panels\", panel = 16} : f32[40,8]\n"
     "%y = linear %x, %w : f32[B,10,40]\n"
     "%z = gelu %w : f32[40,8]\n"
     "output \"y\" = %y\n"
     "output \"z\" = %z\n",
     3, 0, NULL},
    {"a matrix and the same turned",
     "%x = input \"x\" : f32[B,10,24]\n"
     "%w = weight \"w\" {trained = 1} : f32[40,24]\n"
     "%y = linear %x, %w : f32[B,10,40]\n"
     "%z = linear %y, %w {trans = 1} : f32[B,10,24]\n"
     "output \"z\" = %z\n",
     3, 1, "panels"},
    {"columns of its own",
     "%w = weight \"w\" {trained = 1} : f32[8,16]\n"
     "%y = linear %w, %w : f32[8,8]\n"
     "output \"y\" = %y\n",
     2, 1, "plain"},
};

Test(residency, kernels) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    LowerCase c = {.text = cases[i].text};
    uint64_t bits = 0;
    for (size_t t = 0; targets[t]; t++) {
      LowerRun r;
      lower_run(&r, &c, targets[t]->name, (int64_t[MAX_DIMS]){2, 7, 5});
      cr_assert_null(r.failed, "%s: %s", cases[i].what, r.failed);
      cr_expect(r.worst < 1e-5, "%s on %s: off by %g", cases[i].what, targets[t]->name, r.worst);
      if (targets[t]->has_fma && !bits) bits = r.bits;
      cr_expect(!targets[t]->has_fma || bits == r.bits, "%s: %s has other bits", cases[i].what, targets[t]->name);
      cr_expect_eq(r.program->route.at[0].step.n, cases[i].steps, "%s: %zu launches", cases[i].what,
                   r.program->route.at[0].step.n);
      cr_expect_eq(r.program->weight.n, cases[i].packed, "%s: %zu weights", cases[i].what, r.program->weight.n);
      const char *layout = r.program->weight.n ? pack_info[r.program->weight.at[0].shape.form.kind].name : "";
      cr_expect_str_eq(layout, cases[i].layout ? cases[i].layout : "", "%s: lies as %s", cases[i].what, layout);
      lower_run_free(&r);
    }
  }
}

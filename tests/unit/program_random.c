// program_random.c: seeded random graphs through the whole compiler: passes, lowering for every target, packing, and
// the kernels in the interpreter, against the reference evaluator on the graph before any pass. Finds a wrong kernel, a
// wrong address, a wrong packing or two tensors in one place, for shapes nobody wrote down.
#include "program_check.h"

enum { GRAPHS = 150, BATCH = 2, ROWS = 3 }; // ids choose among the first three rows

Test(program, random_graphs, .timeout = 240) {
  for (uint32_t seed = 1; seed <= GRAPHS; seed++) {
    Arena a = {0};
    Intern names = {.arena = &a};
    Diag d;
    diag_init(&d, &a);
    Module *m = module_new(&a, &names, &d, "random");
    Graph *g = random_graph(m, seed);
    Buf what = {0};
    buf_printf(&what, "seed %u\n", seed);
    module_print(m, &what);
    int64_t dims[MAX_DIMS] = {BATCH};
    Want want;
    reference(&a, g, dims, ROWS, &want);
    Program *p = lower_all(m);
    char *data = pack_all(p, &a);
    for (size_t t = 0; t < p->ntarget; t++) compare(p, 0, t, data, dims, &want, what.s, 2e-4);
    buf_free(&what);
    arena_free(&a);
  }
}

// weights.c: the data of a packed weight file against its checksums, entry by entry on the threads of a pool. It reads
// the whole file once, which also brings it into memory for the calls that follow.
//
//   if (sy_weights_check(map.data, map.bytes, &exec) != SY_OK) fprintf(stderr, "vit.syw is damaged\n");
#include "switchyard.h"
#include "weights_format.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct Check {
  const void *file;
  sy_weights_header head;
  atomic_bool damaged;
} Check;

static void check_entry(void *arg, size_t i) {
  Check *c = arg;
  sy_weights_entry e;
  const void *data = NULL;
  if (sy_weights_find(c->file, &c->head, i, &e, &data) || sy_weights_checksum(data, e.bytes) != e.checksum)
    atomic_store(&c->damaged, true);
}

sy_status sy_weights_check(const void *weights, size_t bytes, const sy_exec *exec) {
  Check c = {.file = weights};
  if (!weights) return SY_EINVAL;
  if (sy_weights_problem(weights, bytes, &c.head)) return SY_EWEIGHTS;
  if (exec && exec->parallel_for && c.head.count <= SIZE_MAX)
    exec->parallel_for(exec->ud, (size_t)c.head.count, check_entry, &c);
  else
    for (uint64_t i = 0; i < c.head.count; i++) check_entry(&c, (size_t)i);
  return atomic_load(&c.damaged) ? SY_EWEIGHTS : SY_OK;
}

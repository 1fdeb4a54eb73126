// alone.h: what stands in the place of a model when the engine is compiled without one: to bitcode for the LLVM back
// end, and for its tests. The model's numbers are members of `mdl__facts`, its tables are extern; whoever links the
// engine brings them (codegen/image.h, tests/unit/engine.c). No line of this file gets into a C module.
#ifndef SY_ENGINE_ALONE_H
#define SY_ENGINE_ALONE_H

#define MDL_TRACE
#include "plan.h"
#include "update.h"

extern const mdl__facts mdl__facts_table;
#define MDL_PLAN_HASH mdl__facts_table.plan_hash
#define MDL_WEIGHTS_BYTES mdl__facts_table.weights_bytes
#define MDL__WEIGHTS_DATA mdl__facts_table.weights_data
#define MDL__WEIGHTS_COUNT mdl__facts_table.weights_count
#define MDL_SHARED_BYTES mdl__facts_table.shared_bytes
#define MDL_SCRATCH_BYTES mdl__facts_table.scratch_bytes
#define MDL_ROUTE_COUNT mdl__facts_table.routes
#define MDL_ARENA_BYTES(threads)                                                                                       \
  (MDL_CONTEXT_BYTES + MDL_SHARED_BYTES + ((threads) > 1 ? (size_t)(threads) : 1u) * MDL_SCRATCH_BYTES)

#define MDL_TRAIN_BYTES mdl__facts_table.train_bytes
#define MDL_TRAIN_ADD_BYTES mdl__facts_table.train_add_bytes

extern const mdl_bound mdl__bounds[MDL__ARG_DIMS];
extern const mdl__plan mdl__plans[];
extern const mdl__isa_row mdl__isas[];
extern const mdl__cap mdl__caps[];
extern const mdl__param mdl__params[][MDL__MAX_ARGS];
extern const char *const mdl__kernel_names[];
extern const mdl_info mdl__info_table;
extern const mdl__entry mdl__entries[];
extern const mdl__stored mdl__stored_table[];
extern const mdl__adapter mdl__adapters[];
extern const mdl__objective mdl__objectives[];
extern const mdl__training mdl__training_table;

#endif

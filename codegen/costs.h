// costs.h: what work costs on one core of a target, what its caches hold and how long its memory takes: the numbers by
// which lowerings divide work, block it and ask ahead for what they will read. They show in no result. isa/core.c has
// those of a core of which nothing better is known, with what each was measured with; docs/add-a-target.md.
#ifndef SY_COSTS_H
#define SY_COSTS_H

#include <stdint.h>

typedef struct ProductCosts { // products with panels (lower_gemm*.c)
  int64_t cached;             // most elements of a weight that is still in the second-level cache when it is read again
  // Tiles of one row, bound by memory, are for products of at most few_rows for any batch and single_rows for one
  // request; they are at most single_panels wide.
  int64_t few_rows, single_rows, single_panels;
  int64_t burst;       // steps of k between bursts of hints; Target.k_block is a multiple of it
  int64_t lines_ahead; // lines of the panels at hand between what is read and what is asked for
  int64_t steps_ahead; // steps of k between what is read and what the first-level cache is asked for
  int64_t rows_ahead;  // rows between the epilogue's and what it is going to read
  int64_t widened;     // most elements of a narrow weight's panel group that are widened into scratch
  // Blocks of k (Target.k_block): fewest rows that are worth them; most rows and panels at a time; most bytes of sums,
  // and of what rows and panels of a group take of the second-level cache.
  int64_t block_least_rows, block_rows, block_panels, block_sums, block_bytes;
} ProductCosts;

typedef struct OuterCosts { // gradients of weights (lower_outer.c)
  int64_t rows;             // of a block that is packed at a time
  int64_t least_rows;       // that are worth packing
  int64_t part;             // most rows and columns of a part of the result, which is a task
  // Parts worth having, as each division makes packing dearer: `parts` of large ones, else `least_parts`.
  int64_t parts, least_parts, large_part; // large_part: elements
  int64_t apart;                          // elements more than a row has from row to row of what is packed
  int64_t copied;                         // elements copied at a time
  int64_t rows_ahead;                     // rows between what is copied and what is asked for
  int64_t lying_rows;                     // of a tile whose operands are read where they lie
  double lying_flops;                     // of a task of such tiles
} OuterCosts;

typedef struct AttentionCosts { // attention and its gradient (lower_attend*.c, lower_attention*.c)
  int64_t keys_ahead;           // rows of keys and values between what is read where it lies and what is asked for
  // Tiles of a run-time number of queries: rows that keep the multipliers busy, in tiles of one panel and of several.
  int64_t enough_rows, enough_rows_wide;
  int64_t entries;     // pairs of an image and a head that are enough tasks; below, queries are divided too,
  int64_t least_tiles; // if there are so many tiles of them
  int64_t kept;        // elements of the weights of a block of queries that a gradient keeps
} AttentionCosts;

typedef struct Costs {
  double flops_per_us;       // of a product with packed panels
  double bytes_per_us;       // read from memory
  double task_us;            // least worth handing to another core
  int64_t most_tasks;        // of a kernel that is split over columns or rows of a product
  int64_t task_elements;     // of a task of a kernel that is bound by caches: elementwise, rows
  int64_t line;              // bytes of a cache's line
  double left_over;          // panels that do not fill a tile, as a part of one more
  double later_tile;         // added by each place in the list of tiles: those before have more independent chains
  double narrow;             // factor for a tile with more panels than the product has
  double unpacked;           // speed of a product of two computed tensors, by that with panels
  int64_t pack_elements;     // of a task that makes or undoes panels
  int64_t add_columns;       // of a task that adds rows to a table
  int64_t depthwise_columns; // of a tile of a depthwise convolution
  ProductCosts product;
  OuterCosts outer;
  AttentionCosts attention;
} Costs;

#endif

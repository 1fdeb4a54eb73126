// core.c: costs of a core of which nothing better is known. A target with a record of its own names it in `.cost`.
//
// Measured means: on a Xeon of 2023 (Emerald Rapids, 48 KiB and 2 MiB of caches a core), AVX-512 unless said, calls by
// turns; numbers in parentheses are entries of docs/decisions.md. What was not measured by itself follows from sizes,
// which are given.
#include "isa.h"

// clang-format off
const Costs costs_of_a_core = {
    // Round figures: the peak of f32 is 170 GFLOP/s, memory gives 15 GB/s to one core, more to several (`syc bench`
    // prints a machine's own). Slower instruction sets get longer tasks by it, which costs nothing where there are
    // enough of them.
    .flops_per_us = 1e5,
    .bytes_per_us = 2e4,
    .task_us = 20,          // the pool hands a task over in about a microsecond: a twentieth is lost
    .most_tasks = 16,       // a core then does some panels of ViT-B's products one behind the other, by the same rows
    .task_elements = 12288, // 48 KB, a first-level cache
    .line = 64,
    // These three order tiles and are no times: a left-over panel costs about half a tile, earlier tiles win where
    // nothing else decides, and a tile wider than the product is taken if there is no other.
    .left_over = 0.5,
    .later_tile = 0.02,
    .narrow = 1.5,
    .unpacked = 0.5,        // dot products of rows: half the multiplications of a tile for each load
    .pack_elements = 16384, // read and written once: 128 KB, which fit the smallest second-level caches twice
    .add_columns = 64,      // four lines: rows of a table lie far apart, each costs a walk whatever its length
    .depthwise_columns = 4, // accumulators, the tap and what is loaded of x: within 16 registers, two vectors unrolled
    .product = {
        // 256 KB, half of a small second-level cache. A hint for what lies there takes a load's place and brings
        // nothing; small ViTs are made of such products.
        .cached = 65536,
        // One row by four panels: four streams of loads in flight, since one alone reads 10 of 15 GB/s. A class token
        // of a batch of 32 or a step of two beams is such a product; 50 rows of one request (ViT-B/32) are not: they
        // would read the weights 50 times.
        .few_rows = 64,
        .single_rows = 2,
        .single_panels = 4,
        // A tile of 8 of 197 rows owes the next panels 4 % of its own lines: over 32 steps these are one or two a
        // panel; in each step they would be rounded up to one.
        .burst = 32,
        .lines_ahead = 48, // 3 KB: twice what 15 GB/s bring in a latency of 100 ns
        // Four steps of an 8 x 48 tile are 48 cycles, three times the latency of the second-level cache. Measured
        // together with tiles that keep their registers and shares of tasks: ViT-B/16 6 to 9 %, ViLT 13 to 20 % less
        // time.
        .steps_ahead = 4,
        .rows_ahead = 6,    // rows of at most eight panels with their epilogue: a hundred nanoseconds or two
        .widened = 1 << 19, // 2 MiB in f32, the second-level cache; widening takes 1 to 2 % of the work (36)
        // Counted by a simulated cache of 32 and 512 KiB, and measured on AVX2: CLIP's text 9 %, ViT-B 4 % (41).
        .block_least_rows = 24, // four tiles of six: below, the sums' way through memory is not paid for
        .block_rows = 198,      // ViT-B's 197 in even tiles of six: 198 * 256 * 4 = 203 KB of x in a cache of 512
        .block_panels = 8,      // more do not save more reading of x
        .block_sums = 1 << 21,  // 2 MiB: the second-level cache
        .block_bytes = 3 << 16, // 192 KB beside the rows' block in 512 KiB
    },
    // Measured as GFLOP/s of gradients of weights, ViT-B to a width of 192 (49).
    .outer = {
        .rows = 256,            // of 192 columns: 192 KiB an operand, both in the second-level cache
        .least_rows = 8,        // a tile's worth: below, packing moves more than is computed
        .part = 192,            // 96 x 48: 20 % more time; 384 x 384 by 128 rows: 4 % less, for scratch beyond 512 KiB
        .parts = 4,
        .least_parts = 2,
        .large_part = 18432,    // half of 192 x 192: packing is 5 to 20 % of a part, and more of a smaller one
        .apart = 16,            // a line: rows of 768 bytes would fall into a quarter of the sets
        .copied = 96,           // six lines a body: loops over 192 columns run twice
        .rows_ahead = 8,        // of 768 bytes: 6 KB; asking for the whole next block made AVX2 65 of 85 GFLOP/s
        .lying_rows = 12,       // accumulators, with the rest within 16 registers
        .lying_flops = 1 << 21, // task_us at flops_per_us, to a power of two
    },
    .attention = {
        .keys_ahead = 8,        // rows of a head are 128 to 256 bytes, far apart: no prefetcher sees them coming
        .enough_rows = 8,       // independent chains that keep two multipliers of latency 4 busy, in one panel
        .enough_rows_wide = 6,  // and with several: every height more is a copy of the code
        .entries = 8,           // heads of one image: 8 tasks for as many cores
        .least_tiles = 6,       // a task packs keys and values again, for at least so many tiles of queries
        .kept = 1 << 16,        // 256 KB: what a second-level cache of 512 KiB holds beside keys and values (43)
    },
};
// clang-format on

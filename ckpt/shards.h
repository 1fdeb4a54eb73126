// shards.h - checkpoints in several files with an index, as Hugging Face writes them:
//   {"metadata": {...}, "weight_map": {"encoder.weight": "model-00001-of-00002.safetensors", ...}}
//
// The shards lie beside the index. They may be safetensors or PyTorch files.
#ifndef SWITCHYARD_CKPT_SHARDS_H
#define SWITCHYARD_CKPT_SHARDS_H

#include "safetensors.h"

enum { ST_MAX_SHARDS = 1024 };

// Is it the path of an index? Told by its end, ".json".
bool st_is_index(const char *path);

// Opens all shards of an index; each name must be in the shard that the index says. Returns their number and sets
// *files to an array to be freed, with st_close for each; 0 on error.
SY_MUST_USE size_t st_open_index(const char *path, StFile ***files, StError *err);

// Calls `each` with the path of every shard, once, without opening it. False on error.
SY_MUST_USE bool st_index_each(const char *path, void (*each)(void *ud, const char *shard), void *ud, StError *err);

#endif

// torch.h - reader of the files of torch.save (.pth .pt .bin .ckpt). Callers use st_open, which calls this.
//
// Such a file is a zip archive: NAME/data.pkl, a pickle of the dictionaries, and NAME/data/KEY, the elements of a
// storage. Tensors are views of storages. A contiguous view of a stored entry is used where it lies in the map; other
// views are copied into row-major order, deflated entries are inflated.
//
// Which tensors: those of the dictionary that `state` names by its keys ("state_dict_ema", "ema.module"; numbers count
// the items of lists); without one, those of the first of these entries of the outermost dictionary that holds some:
// state_dict, model, model_state_dict, module; else those of the outermost dictionary itself, without what belongs to
// an optimizer. Dictionaries within it are joined by points ("encoder.weight"). All that is no tensor is left out.
#ifndef SWITCHYARD_CKPT_TORCH_H
#define SWITCHYARD_CKPT_TORCH_H

#include "stfile.h"

// Do the bytes begin like a zip archive?
bool torch_is_archive(const uint8_t *bytes, size_t n);

// Do they begin like a file of torch.save before PyTorch 1.6 (a bare pickle, or a tar archive)?
bool torch_is_legacy(const uint8_t *bytes, size_t n);

// False, with a message that says how to save the file again.
bool torch_refuse_legacy(StError *err);

// Fills an empty StFile from the n bytes of an archive, which must outlive it. False on error.
SY_MUST_USE bool torch_read(StFile *f, const uint8_t *bytes, size_t n, const char *state, StError *err);

#endif

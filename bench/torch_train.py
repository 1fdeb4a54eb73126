"""Time a training step's loss and gradients in PyTorch on one row of train.py.

    torch_train.py ROW WEIGHTS.safetensors INPUT.safetensors OUT.safetensors THREADS SECONDS|turns

One time is that of the forward and the backward pass. OUT gets the loss and the gradients, under the names of the checkpoint.
Prints one JSON line.
"""
import json
import resource
import sys
import time

import torch

import sampling
import stfile
import torch_models
import train
from torch_peer import blas


def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    row, weights, sample, out, threads, seconds = sys.argv[1:7]
    torch.set_num_threads(int(threads))
    model = torch_models.VisionTransformer(train.ROWS[row].model)
    state = {name: torch.from_numpy(array.copy()) for name, array in stfile.load(weights).items()}
    model.load_state_dict({torch_models.own_name(name): tensor for name, tensor in state.items()})
    own = dict(model.named_parameters())
    tensors = stfile.load(sample)
    image, labels = torch.from_numpy(tensors["image"].copy()), torch.from_numpy(tensors["labels"].copy()).long()
    loss = None

    def step():
        nonlocal loss
        begin = time.perf_counter()
        model.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(image), labels)
        loss.backward()
        return (time.perf_counter() - begin) * 1e3

    step()
    times = sampling.times(step, seconds)
    results = {"loss": loss.detach()}
    results.update({name: own[torch_models.own_name(name)].grad for name in state})
    stfile.save(out, {name: tensor.contiguous().numpy() for name, tensor in results.items()})
    print(json.dumps({"min_ms": times[0], "median_ms": times[len(times) // 2], "runs": len(times),
                      "peak_rss_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                      "version": torch.__version__, "blas": blas()}))


if __name__ == "__main__":
    main()

"""Export one row to ONNX:  export_onnx.py ROW WEIGHTS.safetensors INPUT.safetensors OUT.onnx"""
import sys
import warnings

import torch

import presets
import torch_models


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    name, weights, sample, path = sys.argv[1:]
    row = presets.ROWS[name]
    model = torch_models.build(row.weights, weights)
    warnings.filterwarnings("ignore")  # the tracer's remarks on constant shapes, which are wanted here
    with torch.no_grad():
        torch.onnx.export(model, torch_models.load_inputs(sample, name), path, opset_version=17, do_constant_folding=True,
                          input_names=[entry.name for entry in presets.peer_inputs(name)], output_names=row.outputs)


if __name__ == "__main__":
    main()

"""Export one row to ONNX:

    export_onnx.py ROW WEIGHTS.safetensors INPUT.safetensors OUT.onnx [STEP.onnx]

A row that writes words becomes two graphs: the start and the step.
"""
import sys
import warnings

import torch

import presets
import torch_models
import torch_words


def main():
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    name, weights, sample, path = sys.argv[1:5]
    row = presets.ROWS[name]
    model = torch_models.build(row.weights, weights)
    warnings.filterwarnings("ignore")  # the tracer's remarks on constant shapes, which are wanted here
    options = {"opset_version": 17, "do_constant_folding": True}
    names = [entry.name for entry in presets.peer_inputs(name)]
    inputs = torch_models.load_inputs(sample, name)
    if row.words:
        torch_words.export(model, inputs, names, path, sys.argv[5], options)
        return
    with torch.no_grad():
        torch.onnx.export(model, inputs, path, input_names=names, output_names=row.outputs, **options)


if __name__ == "__main__":
    main()

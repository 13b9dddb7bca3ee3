"""Write a trained network as int8 ONNX: uint8 pictures (n, 128, 128, 3) in, descriptors (n, 256) of length 1 out.

python training/export.py average.pt PICTURES copy_descriptor.onnx [--float]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from edits import SIDE, hard, plain
from network import DIMENSIONS, CopyDescriptor
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from pictures import Pictures

CALIBRATION_PICTURES = 256
FLOAT_CONVOLUTIONS = 5  # the first ones, whose weights int8 serves badly; quantised, descriptors move by 0.12 of cosine


class WithPreparation(torch.nn.Module):
    """The network with uint8 pictures, channels last, as input."""

    def __init__(self, network: CopyDescriptor) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.network(pictures.permute(0, 3, 1, 2).float())


class Calibration(CalibrationDataReader):
    """Pictures as they are and edited, from which the ranges of int8 are taken."""

    def __init__(self, pictures: Pictures) -> None:
        rng = np.random.default_rng(0)
        numbers = rng.choice(len(pictures), CALIBRATION_PICTURES, replace=False)
        views = [plain(pictures[n]) if n % 2 else hard(pictures[n], rng, pictures[numbers[0]]) for n in numbers]
        self.batches = iter([{"pictures": np.array(views[start : start + 32])} for start in range(0, len(views), 32)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def export(checkpoint: Path, pictures: Pictures, out: Path, *, quantised: bool) -> None:
    trained = torch.load(checkpoint, weights_only=True)
    network = CopyDescriptor()
    network.load_state_dict(trained["network"])
    with tempfile.TemporaryDirectory() as scratch:
        plain_file, ready = Path(scratch, "float.onnx"), Path(scratch, "ready.onnx")
        torch.onnx.export(
            WithPreparation(network).eval(),
            (torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8),),
            plain_file,
            input_names=["pictures"],
            output_names=["descriptors"],
            dynamo=False,
            opset_version=17,
            dynamic_axes={"pictures": {0: "n"}, "descriptors": {0: "n"}},
        )
        quant_pre_process(plain_file, ready)
        result = ready
        if quantised:
            result = Path(scratch, "int8.onnx")
            nodes = onnx.load(ready).graph.node
            others = [node.name for node in nodes if node.op_type == "Clip" and node.name.startswith("/network/Clip")]
            left = [node.name for node in nodes if node.op_type == "Conv"][:FLOAT_CONVOLUTIONS]
            quantize_static(
                ready,
                result,
                Calibration(pictures),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[*left, *others],
                calibrate_method=CalibrationMethod.MinMax,
                op_types_to_quantize=["Conv", "Add", "Clip"],  # a Clip that is left costs a conversion there and back
            )
        model = onnx.load(result)
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = DIMENSIONS
        for name, value in {"made_by": json.dumps(trained["made_by"]), "step": str(trained["step"])}.items():
            entry = model.metadata_props.add()
            entry.key, entry.value = name, value
        onnx.save(model, out)
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--float", dest="as_float", action="store_true", help="leave the numbers as they are")
    arguments = parser.parse_args()
    export(arguments.checkpoint, Pictures(arguments.pictures), arguments.out, quantised=not arguments.as_float)

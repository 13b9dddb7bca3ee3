"""Noise and brightness through the whole of `clean`: the same bytes whoever writes them, and as strong as was asked."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import dedupkit
from dedupkit.recipe import Augment, Keep, Recipe
from tests.conftest import draw_picture
from tests.integration.conftest import encoded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Planted

NOISY = Recipe(preset="fast", seed=4, augment=Augment(noise_sigma=8, brightness=0.1, format="png"))


def emitted(result: dedupkit.Result) -> dict[str, bytes]:
    dataset = result.dataset()
    stored = dataset.cast_column("image", dataset.features["image"].__class__(decode=False))
    return {row["key"]: row["image"]["bytes"] for row in stored}


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64)


def test_workers_and_other_shards_before_change_no_byte(planted: Planted, tmp_path: Path) -> None:
    one = emitted(dedupkit.clean(str(planted.folder), tmp_path / "one", recipe=NOISY, workers=1))
    two = emitted(dedupkit.clean(str(planted.folder), tmp_path / "two", recipe=NOISY, workers=2))
    shards = sorted(map(str, planted.folder.glob("*.tar")), reverse=True)
    turned = emitted(dedupkit.clean(shards, tmp_path / "turned", recipe=NOISY, workers=1))
    assert one == two
    common = one.keys() & turned.keys()  # of a group that spans shards another member may stay
    assert len(common) > len(one) / 2
    assert all(one[key] == turned[key] for key in common)


def test_another_seed_is_another_set_and_no_augmentation_copies_bytes(planted: Planted, tmp_path: Path) -> None:
    noisy = emitted(dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=NOISY))
    other = NOISY.model_copy(update={"seed": 5})
    assert noisy != emitted(dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=other))
    plain = emitted(dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=Recipe(preset="fast")))
    assert plain.keys() == noisy.keys()
    assert all(pixels(plain[key]).shape == pixels(noisy[key]).shape for key in plain)
    assert not plain.items() & noisy.items()


def test_noise_is_as_strong_as_asked_and_stronger_where_a_picture_stood_often(tmp_path: Path) -> None:
    gray = draw_picture(1).convert("L").point(lambda level: 90 + level // 4).convert("RGB")
    often = draw_picture(2).convert("L").point(lambda level: 90 + level // 4).convert("RGB")
    pictures = [gray, often, *[often] * 3]
    rows = [{"key": str(number), "image": encoded(each, "PNG")} for number, each in enumerate(pictures)]
    recipe = Recipe(preset="fast", augment=Augment(noise_sigma=6, format="png"))
    found = emitted(dedupkit.clean(rows, tmp_path / "out", recipe=recipe))
    assert sorted(found) == ["0", "1"]
    change = {key: pixels(data) - np.asarray(pictures[int(key)], dtype=np.float64) for key, data in found.items()}
    assert change["0"].std() == pytest.approx(6, rel=0.02)
    assert change["1"].std() == pytest.approx(12, rel=0.02)  # stood 4 times: 1 + log2(4) / 2
    assert all(abs(each.mean()) < 0.1 for each in change.values())


def test_no_kept_copy_equals_its_twin(tmp_path: Path) -> None:
    rows = [{"key": str(number), "image": encoded(draw_picture(3), "PNG")} for number in range(3)]
    recipe = Recipe(preset="fast", keep=Keep(max_copies="all"), augment=Augment(brightness=0.1, format="png"))
    found = emitted(dedupkit.clean(rows, tmp_path / "out", recipe=recipe))
    assert len(set(found.values())) == 3

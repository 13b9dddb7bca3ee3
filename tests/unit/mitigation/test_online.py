from __future__ import annotations

import copy
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dedupkit.errors import RunError, UsageError
from dedupkit.mitigation.augment import Augmenter
from dedupkit.mitigation.online import AugmentedDataset, OnlineAugmenter
from dedupkit.recipe import Augment, Limits

Draw = Callable[..., Image.Image]
PAPER = Augment(preset="paper")


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def expected(image: Image.Image, key: str, epoch: int, repetition: int = 1) -> Any:
    return Augmenter(PAPER, seed=7).pixels(np.asarray(image), key, epoch=epoch, repetition=repetition)


def test_a_batch_of_columns_is_changed_by_key_epoch_and_repetition(picture: Draw) -> None:
    online = OnlineAugmenter(PAPER, seed=7)
    online.set_epoch(3)
    rows: dict[str, Any] = {
        "key": ["a", "b"],
        "image": [picture(1), picture(2)],
        "caption": ["x", None],
        "group_size": [1, 4],
    }
    changed = online.rows(rows)
    assert list(changed) == list(rows)
    assert changed["caption"] == ["x", None]
    assert np.array_equal(np.asarray(changed["image"][0]), expected(picture(1), "a", 3))
    assert np.array_equal(np.asarray(changed["image"][1]), expected(picture(2), "b", 3, 4))
    assert np.array_equal(np.asarray(rows["image"][0]), np.asarray(picture(1)))


@pytest.mark.parametrize("missing", ["key", "image"])
def test_a_batch_without_keys_or_images_is_refused(missing: str, picture: Draw) -> None:
    rows: dict[str, Any] = {"key": ["a"], "image": [picture(1)]}
    del rows[missing]
    with pytest.raises(UsageError, match="needs the columns key and image"):
        OnlineAugmenter(PAPER, seed=7).rows(rows)


def test_epochs_differ_and_come_again(picture: Draw) -> None:
    online = OnlineAugmenter(PAPER, seed=7)
    seen = []
    for epoch in (0, 1, 2, 1):
        online.set_epoch(epoch)
        seen.append(online.sample({"key": "a", "image": picture(1)})["image"].tobytes())
    assert seen[3] == seen[1]
    assert len(set(seen)) == 3


def test_an_epoch_below_0_is_refused() -> None:
    with pytest.raises(UsageError, match="epoch must be 0 or more, got -1"):
        OnlineAugmenter(PAPER, seed=7).set_epoch(-1)


def test_an_image_comes_back_as_it_came(picture: Draw) -> None:
    online, image = OnlineAugmenter(PAPER, seed=7), picture(1)
    array = online.sample({"key": "a", "image": np.asarray(image)})["image"]
    pil = online.sample({"key": "a", "image": image})["image"]
    encoded = online.sample({"key": "a", "image": png(image)})["image"]
    column = online.sample({"key": "a", "image": {"bytes": png(image), "path": None}})["image"]
    assert isinstance(array, np.ndarray)
    for each in (pil, encoded, column):
        assert each.mode == "RGB"
        assert np.array_equal(np.asarray(each), array)
    assert np.array_equal(array, expected(image, "a", 0))


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "CMYK", "1"])
def test_images_of_other_modes_become_rgb(mode: str) -> None:
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 0)).convert(mode) if mode.endswith("A") else Image.new(mode, (9, 9))
    changed = OnlineAugmenter(Augment(noise_sigma=1), seed=7).sample({"key": "a", "image": image})["image"]
    assert changed.mode == "RGB"
    if mode.endswith("A"):
        assert np.asarray(changed).mean() > 254  # transparent is white


def test_a_turned_image_becomes_upright() -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(buffer, "jpeg", exif=exif)
    image = Image.open(buffer)
    assert OnlineAugmenter(PAPER, seed=7).sample({"key": "a", "image": image})["image"].size == (20, 30)


def test_a_tensor_is_refused_with_a_remedy() -> None:
    with pytest.raises(UsageError, match="augment before pixels become tensors"):
        OnlineAugmenter(PAPER, seed=7).sample({"key": "a", "image": [[1.0]]})


def test_encoded_images_are_held_against_the_limits(picture: Draw) -> None:
    with pytest.raises(RunError, match="the limit is 10"):
        OnlineAugmenter(PAPER, 7, Limits(max_pixels=10)).sample({"key": "a", "image": png(picture(1))})


@pytest.mark.parametrize("encoded", [True, False])
def test_a_webdataset_sample_is_known_by_the_key_in_its_json(encoded: bool, picture: Draw) -> None:
    facts: Any = {"key": "dir/a.b.jpg", "group_size": 4, "caption": "x"}
    described = json.dumps(facts).encode() if encoded else facts
    sample = {"__key__": "dir/a_b", "png": picture(1), "txt": "x", "json": described}
    changed = OnlineAugmenter(PAPER, seed=7).sample(sample)
    assert list(changed) == list(sample)
    assert np.array_equal(np.asarray(changed["png"]), expected(picture(1), "dir/a.b.jpg", 0, 4))


def test_a_webdataset_sample_without_json_is_known_by_its_name(picture: Draw) -> None:
    changed = OnlineAugmenter(PAPER, seed=7).sample({"__key__": "x", "jpg": picture(1)})
    assert np.array_equal(np.asarray(changed["jpg"]), expected(picture(1), "x", 0))


@pytest.mark.parametrize("sample", [{"key": "a", "txt": "x"}, {"image": np.zeros((4, 4, 3), np.uint8)}])
def test_a_sample_without_image_or_key_is_refused(sample: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="needs a sample with an image"):
        OnlineAugmenter(PAPER, seed=7).sample(sample)


def test_grains_generator_decides_beside_seed_and_key(picture: Draw) -> None:
    online = OnlineAugmenter(PAPER, seed=7)

    def pixels(key: str, seed: int) -> bytes:
        image = online.random_map({"key": key, "image": picture(1)}, np.random.default_rng(seed))["image"]
        return bytes(image.tobytes())

    assert pixels("a", 1) == pixels("a", 1)
    assert len({pixels("a", 1), pixels("a", 2), pixels("b", 1)}) == 3


def test_a_torch_dataset_of_mappings_keeps_their_entries(picture: Draw) -> None:
    dataset = [{"key": "a", "image": picture(1), "label": 4}, {"image": picture(2), "label": 5}]
    augmented = AugmentedDataset(dataset, OnlineAugmenter(PAPER, seed=7))
    augmented.set_epoch(2)
    first, second = augmented
    assert len(augmented) == 2
    assert (list(first), list(second), second["label"]) == (["key", "image", "label"], ["image", "label"], 5)
    assert np.array_equal(np.asarray(first["image"]), expected(picture(1), "a", 2))
    assert np.array_equal(np.asarray(second["image"]), expected(picture(2), "1", 2))  # by its index


def test_a_torch_dataset_of_tuples_is_known_by_index(picture: Draw) -> None:
    image, label = AugmentedDataset([(picture(1), 9)], OnlineAugmenter(PAPER, seed=7))[0]
    assert label == 9
    assert np.array_equal(np.asarray(image), expected(picture(1), "0", 0))


def test_a_torch_dataset_of_anything_else_is_refused() -> None:
    with pytest.raises(UsageError, match="must be a mapping or a tuple, got int"):
        AugmentedDataset([4], OnlineAugmenter(PAPER, seed=7))[0]


def test_copies_of_a_transform_hear_of_epochs_and_pickles_do_not() -> None:
    online = OnlineAugmenter(PAPER, seed=7)
    online.set_epoch(1)
    copied, stored = copy.deepcopy(online.rows).__self__, pickle.loads(pickle.dumps(online))  # type: ignore[attr-defined]
    online.set_epoch(2)
    assert (copied.epoch, stored.epoch) == (2, 1)


def test_neither_torch_nor_albumentations_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, dedupkit.mitigation.online; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'albumentations', 'datasets', 'cv2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

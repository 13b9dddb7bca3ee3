"""Folders of generated images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from dedupkit.audit.adapters import Generations, open_model
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def _draw(seed: int, size: tuple[int, int] = (6, 8)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def _opened(folder: Path, batch: int = 64) -> Generations:
    model = open_model(folder, batch=batch)
    assert isinstance(model, Generations)
    return model


def test_captions_and_seeds_stand_in_the_metadata(tmp_path: Path) -> None:
    rows = []
    for number in range(5):
        Image.fromarray(_draw(number)).save(tmp_path / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "text": f"Number {number}.", "seed": number + 2**40})
    del rows[3]["seed"]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = list(_opened(tmp_path, batch=2).batches())
    assert [len(batch.images) for batch in found] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in found]), [_draw(each) for each in range(5)])
    assert [each for batch in found for each in batch.captions] == [f"Number {number}." for number in range(5)]
    assert [each for batch in found for each in batch.seeds] == [2**40, 2**40 + 1, 2**40 + 2, None, 2**40 + 4]


def test_captions_stand_in_text_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.fromarray(_draw(1)).save(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_text("A heron.\n")
    (batch,) = _opened(tmp_path).batches()
    assert (batch.captions, batch.seeds, batch.keys) == (["A heron.", None], [None, None], ["a.png", "b.png"])


def test_broken_files_are_passed_over_and_counted(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(_draw(number, (40, 40))).save(tmp_path / f"{number}.png")
    data = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    model = _opened(tmp_path)
    for _ in range(2):  # each pass counts anew
        (batch,) = model.batches()
        assert batch.keys == ["0.png", "2.png"]
        assert model.skipped == {"truncated_image": 1, "empty_image": 1}


def test_a_batch_holds_images_of_one_size(tmp_path: Path) -> None:
    for number, size in enumerate([(4, 4), (4, 4), (4, 5), (4, 4)]):
        Image.fromarray(_draw(number, size)).save(tmp_path / f"{number}.png")
    found = list(_opened(tmp_path).batches())
    assert [batch.images.shape for batch in found] == [(2, 4, 4, 3), (1, 4, 5, 3), (1, 4, 4, 3)]


def test_pictures_are_seen_as_people_see_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_draw(0)).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(_draw(1)[..., 0]).save(tmp_path / "upright.png")
    turned, grey = _opened(tmp_path).batches()
    np.testing.assert_array_equal(turned.images[0], np.rot90(_draw(0), -1))
    np.testing.assert_array_equal(grey.images[0], np.repeat(_draw(1)[..., :1], 3, axis=2))


def test_a_folder_without_one_good_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match="no generated image can be read \\(1 not_an_image\\)"):
        list(_opened(tmp_path).batches())

"""What a model was trained on: counts known from how the set was made, neighbours by brute force."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.audit.distances import l2, tiled_l2
from dedupkit.errors import UsageError
from dedupkit.recipe import Recipe
from tests.unit.audit.conftest import SIDE, Trained, small_picture

if TYPE_CHECKING:
    from pathlib import Path


def test_each_picture_is_counted_and_the_broken_file_is_not(trained: Trained, tmp_path: Path) -> None:
    found = trained.open(tmp_path)
    assert len(found) == len(trained.images) == 1 + 2 + 4 + 8 + 20
    assert len(found.pictures) == 24
    expected = [2**number if number < 4 else 1 for number in range(24)]
    assert found.repetitions[found.pictures].tolist() == expected
    assert [found.captions[row] for row in found.pictures] == [f"picture number {number}" for number in range(24)]


def test_images_come_back_as_the_model_saw_them(trained: Trained, tmp_path: Path) -> None:
    found = trained.open(tmp_path)
    rows = [30, 0, 7, 7]
    assert np.array_equal(found.images(rows), trained.images[rows])


@pytest.mark.parametrize("recipe", [None, Recipe(preset="thorough")])
def test_the_nearest_image_is_that_of_brute_force(trained: Trained, tmp_path: Path, recipe: Recipe | None) -> None:
    found = trained.open(tmp_path, recipe=recipe)
    rng = np.random.default_rng(0)
    noisy = trained.images[[0, 5, 20]].astype(int) + rng.integers(-20, 21, (3, SIDE, SIDE, 3))
    asked = np.concatenate([noisy.clip(0, 255).astype(np.uint8), trained.controls[:4]])
    near = found.nearest(asked)
    for number, image in enumerate(asked):
        apart = l2(trained.images, image[None])
        assert near.l2[number] == pytest.approx(apart.min())
        assert apart[near.rows[number]] == apart.min()
        assert near.tiled_l2[number] == pytest.approx(tiled_l2(trained.images[near.rows[number]][None], image[None])[0])
    assert np.isnan(near.cosine).all() == (recipe is None)


def test_relative_distances_are_those_of_the_definition(trained: Trained, tmp_path: Path) -> None:
    found = trained.open(tmp_path)
    asked = trained.controls[:3]
    distinct = np.stack([small_picture(number) for number in range(24)])
    for image, value in zip(asked, found.relative_distances(asked, 10, 0.5), strict=True):
        apart = np.sort(l2(distinct, image[None]))[:10]
        assert value == pytest.approx(apart[0] / (0.5 * apart.mean()), rel=1e-4)


def test_how_many_training_images_are_as_near(trained: Trained, tmp_path: Path) -> None:
    found = trained.open(tmp_path)
    assert found.within(small_picture(3), 0.001) == 8
    assert found.within(small_picture(3), 1.0) == len(trained.images)


def test_what_is_to_be_left_out_is_not_there(trained: Trained, tmp_path: Path) -> None:
    digest = hashlib.sha256((trained.folder / "03-0.png").read_bytes()).digest()
    found = trained.open(tmp_path, without={digest})
    assert len(found) == len(trained.images) - 8
    assert "picture number 3" not in found.captions


def test_a_second_look_uses_what_is_there(trained: Trained, tmp_path: Path) -> None:
    trained.open(tmp_path)
    parts = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    trained.open(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == parts


def test_a_set_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    trained = Trained(tmp_path / "in", np.empty(0), (), np.empty(0))
    with pytest.raises(UsageError, match="no usable image"):
        trained.open(tmp_path / "work")

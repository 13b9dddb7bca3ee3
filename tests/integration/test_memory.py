"""Whatever memory a run may take, its output is the same: every search and join in as many shares as can be."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

import dedupkit
from dedupkit.engines.local import LocalEngine
from dedupkit.grouping import keys
from dedupkit.matching import bit_sampling, hamming, near_hashes, runs
from dedupkit.recipe import Captions, Matching, Recipe
from tests.integration.conftest import write_shards

if TYPE_CHECKING:
    from pathlib import Path


class TightEngine(LocalEngine):
    """This machine, with next to no memory for the set."""

    def memory_of_set(self) -> int | None:
        return 4000


def content(out: Path) -> dict[str, str]:
    """Digest of every published file, and of the tables between stages."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and "receipts" not in path.parts]
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name not in ("lock", "dedupkit.json")
    }


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(preset="fast", captions=Captions(merge=True, repeated="template", min_repeats=2)),
        Recipe(matching=Matching(min_look_alike_cosine=0.5)),
    ],
    ids=["fast", "thorough"],
)
def test_next_to_no_memory_changes_no_byte(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = write_shards(tmp_path / "shards", shards=5, pictures=8)
    roomy = dedupkit.clean(planted.folder, tmp_path / "roomy", recipe=recipe)
    assert roomy.summary["samples"]["dropped"] > 10
    monkeypatch.setattr(hamming, "_CANDIDATES", 7)
    monkeypatch.setattr(near_hashes, "_BLOCK", 7)
    monkeypatch.setattr(runs, "_HELD", 7)
    monkeypatch.setattr(keys, "_HELD", 1)
    monkeypatch.setattr(bit_sampling, "_LEAST_MEMORY", 1)
    tight = dedupkit.clean(planted.folder, tmp_path / "tight", recipe=recipe, engine=TightEngine(1))
    assert tight.summary == roomy.summary
    assert content(tmp_path / "tight") == content(tmp_path / "roomy")


def test_a_large_set_is_searched_in_slices_with_the_same_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = write_shards(tmp_path / "shards", shards=6, pictures=10)
    monkeypatch.setattr(hamming, "COMPLETE_BELOW", 20)
    monkeypatch.setattr(bit_sampling, "_LEAST_MEMORY", 1)
    recipe = Recipe(preset="fast")
    roomy = dedupkit.clean(planted.folder, tmp_path / "roomy", recipe=recipe)
    tight = dedupkit.clean(planted.folder, tmp_path / "tight", recipe=recipe, engine=TightEngine(1))
    group = dict(zip(*(tight.decisions()[name].to_pylist() for name in ("key", "group")), strict=True))
    assert all(group[copy] == group[original] is not None for copy, original in planted.copies.items())
    assert tight.summary == roomy.summary
    assert content(tmp_path / "tight") == content(tmp_path / "roomy")

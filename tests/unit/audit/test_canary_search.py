"""Canaries among generations: all come out of a lookup table, none out of a fresh model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from dedupkit.audit.canary_search import found_among
from dedupkit.audit.images import fitted
from dedupkit.errors import UsageError
from dedupkit.recipe import Canaries
from tests.audit_canaries import flipped, made_manifest
from tests.audit_models import FreshModel, LookupModel

if TYPE_CHECKING:
    from dedupkit.canaries.manifest import Manifest

OPTIONS = Canaries(planted=12, controls=12, kinds=("texture", "blob"), repetitions=(1, 4))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_manifest(tmp_path_factory.mktemp("made"), OPTIONS)


def _drawn(manifest: Manifest, size: int = 12) -> np.ndarray:
    """Images of a lookup table of the planted canaries, asked for all captions alike."""
    images = np.stack([fitted(each.data, (size, size)) for each in manifest.planted])
    model = LookupModel(images, tuple(str(each.caption) for each in manifest.planted))
    captions = [str(each.caption) for each in manifest.canaries]
    return model.generate(captions, range(len(captions)))


def test_all_planted_canaries_come_out_of_a_lookup_table(manifest: Manifest) -> None:
    drawn = _drawn(manifest)
    found = found_among(drawn, manifest, max_l2=0.05, shuffles=999)
    assert (found.extracted.successes, found.extracted.trials) == (12, 12)
    assert found.false_hits.successes == 0
    assert found.nearer_than_controls == 12
    assert found.test.p_value == 1 / 1000
    assert (found.images, len(found.farthest_tile)) == (24, 24)
    assert {times: share.value for times, share in found.by_repetitions().items()} == {1: 1.0, 4: 1.0}
    for number, canary in enumerate(manifest.canaries):
        if canary.planted:
            assert np.array_equal(drawn[found.nearest[number]], fitted(canary.data, (12, 12)))
    assert found.answer.startswith("12 of 12 planted canaries come out among 24 images")
    assert found.answer.endswith("the model gives planted pictures away.")


def test_distances_are_those_of_brute_force_and_batches_make_no_difference(manifest: Manifest) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 12, 12, 3)).astype(np.uint8)
    whole = found_among(images, manifest, shuffles=99)
    parts = found_among(iter([images[:4], images[4:]]), manifest, shuffles=99)
    assert np.array_equal(whole.farthest_tile, parts.farthest_tile)
    assert np.array_equal(whole.nearest, parts.nearest)
    for number, canary in enumerate(manifest.canaries):
        gaps = (images / 255.0 - fitted(canary.data, (12, 12)) / 255.0) ** 2
        assert whole.whole[number] == pytest.approx(np.sqrt(gaps.mean(axis=(1, 2, 3))).min())
        tiles = np.sqrt(gaps.reshape(9, 4, 3, 4, 3, 3).mean(axis=(2, 4, 5))).max(axis=(1, 2))
        assert whole.farthest_tile[number] == pytest.approx(tiles.min())
        assert whole.nearest[number] == tiles.argmin()


def test_a_fresh_model_gives_uniform_p_values(manifest: Manifest) -> None:
    p, rng = [], np.random.default_rng(1)
    for seed in range(25):
        images = FreshModel(size=12, deviation=0.4).images(40, seed)
        for again in range(6):
            found = found_among(images, flipped(manifest, OPTIONS, 10 * seed + again), shuffles=99)
            p.append(found.test.p_value - rng.random() / 100)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_a_limit_that_controls_pass_too_is_called_too_loose(manifest: Manifest) -> None:
    flat = np.full((1, 12, 12, 3), 128, np.uint8)
    found = found_among(flat, manifest, max_l2=0.9, shuffles=99)
    assert found.false_hits.successes == 12
    assert "12 controls are within l2 0.9 too" in " ".join(found.limits)
    assert "by this nothing planted is told" in found.answer


def test_nothing_secret_is_told(manifest: Manifest) -> None:
    found = found_among(_drawn(manifest), manifest, shuffles=99)
    text = repr(found) + json.dumps(found.to_json(canaries=True))
    assert len(found.to_json(canaries=True)["canaries"]) == 12
    assert "canaries" not in found.to_json()
    for canary in manifest.canaries:
        assert str(canary.caption) not in text
        assert canary.salt not in text


def test_what_are_no_images_is_refused(manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="got none"):
        found_among(np.empty((0, 8, 8, 3), np.uint8), manifest)
    with pytest.raises(UsageError, match="must be uint8 of shape"):
        found_among(np.zeros((1, 8, 8, 3)), manifest)
    with pytest.raises(UsageError, match=r"max_l2 must be in \(0, 1\]"):
        found_among(np.zeros((1, 8, 8, 3), np.uint8), manifest, max_l2=0)

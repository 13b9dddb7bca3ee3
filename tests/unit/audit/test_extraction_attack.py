"""Extraction from models whose answers are known: a lookup table gives everything, fresh samples give nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.audit.album import Album, Budget
from dedupkit.audit.extraction_attack import ExtractionOptions, extraction, judge_generations
from dedupkit.audit.screening import text_noise_norms
from dedupkit.errors import RunError, UsageError
from dedupkit.storage import Folder, Stage
from tests.audit_models import FreshModel, LookupModel
from tests.unit.audit.conftest import SIDE, Trained

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def stage_in(folder: Path) -> Stage:
    root = Folder(str(folder), durable=False)
    return Stage(root.below("drawn"), root.below("receipts"))


def test_a_lookup_table_gives_the_image_of_every_caption(trained: Trained, tmp_path: Path) -> None:
    model = LookupModel(trained.images, trained.captions)
    found = extraction(
        Album(model), trained.open(tmp_path), ExtractionOptions(captions=24, images=4), controls=trained.controls
    )
    assert found.kind == "conditional"
    assert (found.share.successes, found.share.trials) == (24, 24)
    assert all(each.clique == 4 and each.confirmed and not each.others for each in found.asked)
    assert [each.repetitions for each in found.asked][:4] == [8, 4, 2, 1]
    assert max(pair.l2 for pair in found.pairs) < 0.01
    assert {pair.within for pair in found.pairs if pair.repetitions == 8} == {8}
    assert found.eidetic == {1: 21, 10: 24, 100: 24}
    assert found.false_matches is not None
    assert found.false_matches.successes == 0
    assert "24 of 24 captions" in found.answer


def test_a_lookup_table_gives_its_images_for_nothing_in_particular(trained: Trained, tmp_path: Path) -> None:
    model = LookupModel(trained.images)
    options = ExtractionOptions(kind="unconditional", generations=150, neighbours=10)
    found = extraction(Album(model), trained.open(tmp_path), options)
    drawn = model.generate([None] * 150, np.random.default_rng([0, 1]).integers(0, 1 << 62, 150).tolist())
    expected = {each.tobytes() for each in drawn}  # it draws nothing but its images
    assert {pair.generated.tobytes() for pair in found.pairs} == expected
    assert all(np.array_equal(pair.generated, pair.trained) for pair in found.pairs)
    rates = [share.value for _, _, share in found.by_repetitions]
    assert rates[-1] == 1.0


def test_what_stands_more_often_is_drawn_more_often(trained: Trained, tmp_path: Path) -> None:
    model = LookupModel(trained.images)
    drawn = model.generate([None] * 400, range(400))
    counts = [sum(np.array_equal(each, trained.images[row]) for each in drawn) for row in (14, 0)]
    assert counts[0] > 4 * counts[1]  # eight times against once


def test_fresh_samples_give_nothing(tmp_path: Path) -> None:
    from PIL import Image

    model = FreshModel(size=SIDE)
    folder = tmp_path / "in"
    folder.mkdir()
    for number, image in enumerate(model.images(60, seed=9)):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    training = Trained(folder, np.empty(0), (), np.empty(0)).open(tmp_path / "work")
    found = extraction(Album(model), training, ExtractionOptions(generations=200), controls=model.images(60, seed=10))
    assert found.kind == "unconditional"  # there are no captions
    assert found.share.successes == 0
    assert found.share.interval == pytest.approx((0, 1 - 0.025 ** (1 / 60)))
    assert found.false_matches is not None
    assert found.false_matches.successes == 0
    assert "0 of 60 training pictures" in found.answer


def test_a_copy_of_a_control_is_a_false_match(trained: Trained, tmp_path: Path) -> None:
    found = judge_generations([trained.controls[:3]], trained.open(tmp_path), controls=trained.controls)
    assert found.false_matches is not None
    assert found.false_matches.successes == 3
    assert not found.pairs


def test_screening_ranks_captions_with_one_image_above_those_that_tell_nothing(trained: Trained) -> None:
    model = LookupModel(trained.images, trained.captions)
    norms = text_noise_norms(model, ["picture number 20", "something else", "picture number 3", ""])
    assert norms[1] == norms[3] == pytest.approx(0, abs=1e-7)  # as without a caption
    assert min(norms[0], norms[2]) > 1e-4


def test_half_of_the_captions_are_those_that_screening_names(tmp_path: Path, trained: Trained) -> None:
    known = ("picture number 22", "picture number 23")
    captions = tuple(each if each in known else "nothing" for each in trained.captions)
    model = LookupModel(trained.images, captions)
    found = extraction(Album(model), trained.open(tmp_path), ExtractionOptions(captions=6, images=2))
    assert [each.repetitions for each in found.asked[:3]] == [8, 4, 2]
    assert {each.key for each in found.asked[3:]} >= {"22-0.png", "23-0.png"}


def test_the_budget_ends_it_and_is_named(trained: Trained, tmp_path: Path) -> None:
    model = LookupModel(trained.images, trained.captions)
    album = Album(model, Budget(generations=10))
    found = extraction(album, trained.open(tmp_path), ExtractionOptions(captions=8, images=4))
    assert (found.generations, found.not_asked) == (8, 6)
    assert "budget ended before 6 captions" in " ".join(found.limits)


class Counting:
    """A model that counts what it draws."""

    def __init__(self) -> None:
        self.drawn = 0

    def generate(self, captions: Sequence[str | None], seeds: Sequence[int]) -> np.ndarray:
        self.drawn += len(seeds)
        return np.stack([np.full((SIDE, SIDE, 3), seed % 251, np.uint8) for seed in seeds])


def test_what_was_drawn_before_is_not_drawn_again(tmp_path: Path) -> None:
    model = Counting()
    seeds = list(range(100))
    first = [*Album(model, Budget(generations=70), stage_in(tmp_path)).parts("drawing", [None] * 100, seeds, 32)]
    assert [len(each) for each in first] == [32, 32, 6]
    second = [*Album(model, Budget(), stage_in(tmp_path)).parts("drawing", [None] * 100, seeds, 32)]
    assert np.concatenate(second)[:, 0, 0, 0].tolist() == seeds
    assert model.drawn == 70 + 36
    again = [*Album(model, Budget(), stage_in(tmp_path), "another").parts("drawing", [None] * 100, seeds, 32)]
    assert model.drawn == 70 + 36 + 100
    assert np.array_equal(np.concatenate(again), np.concatenate(second))


def test_a_model_that_gives_something_else_is_named(trained: Trained) -> None:
    class Wrong:
        def generate(self, captions: object, seeds: object) -> np.ndarray:
            return np.zeros((1, 4, 4), np.float32)

    with pytest.raises(RunError, match="gave float32 of shape"):
        next(Album(Wrong()).parts("drawing", [None], [0]))


def test_options_and_models_that_cannot_be_are_refused_at_once(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"max_l2 must be in \(0, 1\]"):
        ExtractionOptions(max_l2=0)
    with pytest.raises(UsageError, match="kind must be"):
        ExtractionOptions(kind="both")
    with pytest.raises(UsageError, match="extraction needs a model that can draw images"):
        extraction(Album(object()), trained.open(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="generations must be more than 0"):
        Budget(generations=0)

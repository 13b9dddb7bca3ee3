from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dedupkit.canaries.captions import CaptionWriter


def test_captions_are_unique_and_none_is_one_of_the_sets() -> None:
    rng, models = np.random.default_rng(0), ["A dog on a wall.", "a bright red boat"]
    taken: set[str] = set()
    for _ in range(3000):
        taken.add(CaptionWriter(models).write(rng, taken))
    assert len({caption.casefold() for caption in taken}) == 3000
    assert not taken & set(models)


@pytest.mark.parametrize("words", [6, 9, 14, 25, 40])
def test_captions_are_about_as_long_as_their_model(words: int) -> None:
    rng = np.random.default_rng(words)
    lengths = [len(CaptionWriter([" ".join(["word"] * words)]).write(rng, set()).split()) for _ in range(200)]
    assert abs(np.mean(lengths) - words) < 1.5
    assert max(abs(length - words) for length in lengths) <= 4


@pytest.mark.parametrize(
    ("model", "upper", "stop"),
    [("A dog on a mat.", True, True), ("a dog on a mat", False, False), ("A dog on a mat", True, False)],
)
def test_capitals_and_full_stops_are_the_models(model: str, upper: bool, stop: bool) -> None:
    caption = CaptionWriter([model]).write(np.random.default_rng(1), set())
    assert caption[0].isupper() is upper
    assert caption.endswith(".") is stop


def test_articles_fit_their_words() -> None:
    rng = np.random.default_rng(2)
    text = " ".join(CaptionWriter(["word " * 30]).write(rng, set()) for _ in range(300)).split()
    pairs = [(a, b) for a, b in pairwise(text) if a in ("a", "an")]
    assert {article for article, word in pairs if word[0] in "aeiou"} == {"an"}
    assert {article for article, word in pairs if word[0] not in "aeiou"} == {"a"}


def test_the_same_seed_writes_the_same() -> None:
    first, second = (CaptionWriter().write(np.random.default_rng(3), set()) for _ in range(2))
    assert first == second

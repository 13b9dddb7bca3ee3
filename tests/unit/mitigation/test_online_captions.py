"""Captions while training: probabilities within their binomial interval, and nothing that depends on order."""

from __future__ import annotations

import gc
import json
import math
import pickle
import subprocess
import sys
import warnings
from collections import Counter
from typing import Any

import datasets
import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from dedupkit.errors import UsageError
from dedupkit.mitigation.online_captions import (
    COMMON_WORDS,
    CaptionMitigation,
    OnlineCaptions,
    noisy_embeddings,
    words_of,
    words_of_tokenizer,
)

NOTHING = OnlineCaptions(
    draw=False, whole_caption_probability=0, insertion_probability=0, repetition_probability=0, replaced_word_share=0
)
CAPTION = "one two three four five"
VOCABULARY = tuple(f"random{number}" for number in range(50))
TRIES = 4000


def only(**values: Any) -> OnlineCaptions:
    """Nothing but what is named."""
    return OnlineCaptions(**{name: values.get(name, getattr(NOTHING, name)) for name in OnlineCaptions.__slots__})


def drawn(options: OnlineCaptions, captions: Any = CAPTION, seed: int = 3) -> list[list[str]]:
    """The words of many epochs' captions."""
    mitigation = CaptionMitigation(options, seed, VOCABULARY)
    return [(mitigation(captions, "a.jpg", epoch) or "").split() for epoch in range(TRIES)]


def assert_share(hits: int, tries: int, probability: float) -> None:
    """Within four standard deviations of the binomial distribution."""
    assert abs(hits - tries * probability) <= 4 * math.sqrt(tries * probability * (1 - probability))


def test_a_caption_is_drawn_as_often_as_the_others() -> None:
    seen = Counter(words[0] for words in drawn(only(draw=True), ["one", "two", None, "", "three"]))
    assert set(seen) == {"one", "two", "three"}
    for hits in seen.values():
        assert_share(hits, TRIES, 1 / 3)


def test_without_drawing_the_first_caption_counts() -> None:
    assert drawn(NOTHING, [None, "one", "two"]) == [["one"]] * TRIES


def test_whole_captions_become_four_random_words() -> None:
    found = drawn(only(whole_caption_probability=0.4))
    changed = [words for words in found if words != CAPTION.split()]
    assert_share(len(changed), TRIES, 0.4)
    assert all(len(words) == 4 and set(words) <= set(VOCABULARY) for words in changed)
    assert {word for words in changed for word in words} == set(VOCABULARY)


def test_two_random_words_are_inserted_anywhere() -> None:
    found = drawn(only(insertion_probability=0.3))
    changed = [words for words in found if words != CAPTION.split()]
    assert_share(len(changed), TRIES, 0.3)
    places = Counter(place for words in changed for place, word in enumerate(words) if word in VOCABULARY)
    assert all([word for word in words if word not in VOCABULARY] == CAPTION.split() for words in changed)
    assert sum(places.values()) == 2 * len(changed)
    for hits in places.values():
        assert_share(hits, len(changed), 2 / 7)  # each of seven places, before and after five words
    assert len(places) == 7


def test_two_words_of_the_caption_are_repeated() -> None:
    found = drawn(only(repetition_probability=0.2))
    changed = [words for words in found if words != CAPTION.split()]
    assert_share(len(changed), TRIES, 0.2)
    assert all(len(words) == 7 and set(words) == set(CAPTION.split()) for words in changed)


def test_each_word_is_replaced_alone() -> None:
    found = drawn(only(replaced_word_share=0.25))
    assert all(len(words) == 5 for words in found)
    assert_share(sum(word in VOCABULARY for words in found for word in words), 5 * TRIES, 0.25)
    for place, word in enumerate(CAPTION.split()):
        assert {words[place] for words in found} <= {word, *VOCABULARY}


def test_the_defaults_are_a_tenth_each() -> None:
    options = OnlineCaptions()
    found = (options.whole_caption_probability, options.insertion_probability, options.repetition_probability)
    assert found == (0.1, 0.1, 0.1)
    assert (options.draw, options.replaced_word_share) == (True, 0)
    unchanged = sum(words == CAPTION.split() for words in drawn(options))
    assert_share(unchanged, TRIES, 0.9**3)


@given(st.permutations(range(12)), st.integers(0, 2**40), st.text(max_size=5))
def test_order_changes_nothing(order: list[int], seed: int, word: str) -> None:
    options, captions = OnlineCaptions(replaced_word_share=0.5, insertion_probability=0.5), ["a b c d", f"{word} e"]
    forward, shuffled = CaptionMitigation(options, seed), CaptionMitigation(options, seed)
    expected = [forward(captions, f"key {number % 4}", number // 4) for number in range(12)]
    found = {number: shuffled(captions, f"key {number % 4}", number // 4) for number in order}
    assert [found[number] for number in range(12)] == expected


def test_seed_key_and_epoch_each_change_the_caption() -> None:
    options = only(replaced_word_share=1)
    calls = [(seed, key, epoch) for seed in (0, 1) for key in ("a", "b") for epoch in (0, 1)]
    assert len({CaptionMitigation(options, seed)(CAPTION, key, epoch) for seed, key, epoch in calls}) == 8


@pytest.mark.parametrize("captions", [None, [], [None], ["", None]])
def test_no_caption_stays_none(captions: list[str | None] | None) -> None:
    assert CaptionMitigation(only(whole_caption_probability=1), 0)(captions, "a", 0) is None


@pytest.mark.parametrize("caption", ["", "  ", "\u3000"])
def test_a_caption_without_words_stays_as_it_is(caption: str) -> None:
    always = OnlineCaptions(whole_caption_probability=1, insertion_probability=1, repetition_probability=1)
    assert CaptionMitigation(always, 0)(caption, "a", 0) == caption


def test_what_is_not_changed_keeps_its_white_space() -> None:
    assert CaptionMitigation(NOTHING, 0)("a  dog\non a beach ", "a", 0) == "a  dog\non a beach "


def test_a_batch_of_datasets_gets_other_captions_every_epoch() -> None:
    rows = {
        "key": ["a", "b", "c"],
        "caption": ["x", "only", None],
        "captions": [["x", "y z"], [], []],
        "label": [1, 2, 3],
    }
    mitigation = CaptionMitigation(only(draw=True), 7)
    dataset = datasets.Dataset.from_dict(rows)
    dataset.set_transform(mitigation.rows)
    seen = []
    for epoch in range(8):
        mitigation.set_epoch(epoch)
        batch = dataset[:]
        assert batch["label"] == [1, 2, 3]
        assert batch["caption"] == [mitigation(["x", "y z"], "a", epoch), "only", None]
        assert dataset[0]["caption"] == batch["caption"][0]
        seen.append(batch["caption"][0])
    assert set(seen) == {"x", "y z"}


def test_a_batch_without_several_captions_has_its_one() -> None:
    rows = {"key": ["a"], "caption": ["x"]}
    assert CaptionMitigation(NOTHING, 7).rows(rows) == rows
    with pytest.raises(UsageError, match="got caption; select them too"):
        CaptionMitigation(NOTHING, 7).rows({"caption": ["x"]})


def test_webdataset_samples_keep_their_kind(tmp_path: Any) -> None:
    described = {"key": "a/b.jpg", "captions": ["x", "y z"]}
    path = str(tmp_path / "0.tar")
    with webdataset.TarWriter(path) as out:
        out.write({"__key__": "b", "txt": "x", "json": json.dumps(described)})
    mitigation = CaptionMitigation(only(draw=True), 7)
    mitigation.set_epoch(5)
    expected = mitigation(["x", "y z"], "a/b.jpg", 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # webdataset leaves the files it has read to the garbage collector
        raw = list(webdataset.WebDataset(path, shardshuffle=False).map(mitigation.sample))
        decoded = list(webdataset.WebDataset(path, shardshuffle=False).decode().map(mitigation.sample))
        gc.collect()
    assert [each["txt"] for each in raw] == [(expected or "").encode()]
    assert [each["txt"] for each in decoded] == [expected]


def test_a_sample_is_known_by_the_name_webdataset_gives_it() -> None:
    mitigation = CaptionMitigation(only(replaced_word_share=1), 7)
    assert mitigation.sample({"__key__": "n", "text": "a b"}) == {"__key__": "n", "text": mitigation("a b", "n", 0)}
    with pytest.raises(UsageError, match="and a key, got txt; name them so"):
        mitigation.sample({"txt": "a b"})


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match=r"insertion_probability must be in \[0, 1\], got 1.5"):
        OnlineCaptions(insertion_probability=1.5)
    with pytest.raises(UsageError, match=r"replaced_word_share must be in \[0, 1\], got nan"):
        OnlineCaptions(replaced_word_share=math.nan)
    with pytest.raises(UsageError, match="at least one word, got none"):
        CaptionMitigation(NOTHING, 7, [])
    with pytest.raises(UsageError, match="epoch must be 0 or more, got -1"):
        CaptionMitigation(NOTHING, 7).set_epoch(-1)
    with pytest.raises(UsageError, match="scale must be 0 or more, got -1"):
        noisy_embeddings(np.zeros(3), -1)


def test_a_pickled_mitigation_goes_on_alike() -> None:
    mitigation = CaptionMitigation(OnlineCaptions(), 7, VOCABULARY)
    mitigation.set_epoch(4)
    assert pickle.loads(pickle.dumps(mitigation))(CAPTION, "a") == mitigation(CAPTION, "a", 4)


def test_built_in_words_are_different_and_lower_case() -> None:
    assert len(set(COMMON_WORDS)) == len(COMMON_WORDS) > 300
    assert all(word.isalpha() and word.islower() for word in COMMON_WORDS)


def test_words_come_out_of_captions_and_tokenizers() -> None:
    assert words_of(["b a", None, "a c"]) == ("a", "b", "c")
    assert words_of_tokenizer(["\u0120dog", "ing", "\u0120cat", "\u0120!"]) == ("cat", "dog")
    assert words_of_tokenizer(["\u2581dog", "ing", "<unk>", "\u2581cat"]) == ("cat", "dog")
    assert words_of_tokenizer({"dog": 0, "##ing": 1, "cat": 2, "[CLS]": 3, "##s": 4}) == ("cat", "dog")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_noise_on_arrays_has_the_scale_asked(kind: type[Any]) -> None:
    before = np.ones((77, 768), kind)
    noisy = noisy_embeddings(before, 0.1, np.random.default_rng(1))
    assert (noisy.dtype, noisy.shape) == (before.dtype, before.shape)
    assert (before == 1).all()
    noise = noisy.astype(np.float64) - 1
    assert abs(noise.std() - 0.1) < 0.002
    assert abs(noise.mean()) < 0.002
    assert np.array_equal(noisy, noisy_embeddings(before, 0.1, np.random.default_rng(1)))
    assert not np.array_equal(noisy_embeddings(before, 0.1), noisy_embeddings(before, 0.1))


@pytest.mark.extras
def test_noise_on_tensors_has_the_scale_asked() -> None:
    torch = pytest.importorskip("torch")
    for kind in (torch.float32, torch.bfloat16):
        before = torch.ones((77, 768), dtype=kind)
        for generator in (lambda: torch.Generator().manual_seed(1), lambda: np.random.default_rng(1)):
            noisy = noisy_embeddings(before, 0.1, generator())
            assert (noisy.dtype, noisy.shape) == (kind, before.shape)
            assert abs(float((noisy.double() - 1).std()) - 0.1) < 0.002
            assert torch.equal(noisy, noisy_embeddings(before, 0.1, generator()))
        assert not torch.equal(noisy_embeddings(before, 0.1), noisy_embeddings(before, 0.1))
    assert bool((before == 1).all())


def test_torch_is_not_imported() -> None:
    code = "import sys, dedupkit.mitigation.online_captions; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

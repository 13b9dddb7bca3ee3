from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dedupkit.canaries.places import place, shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from dedupkit.canaries.manifest import Canary, Manifest

SORTED_HEX = sorted(f"{np.random.default_rng(seed).integers(1 << 62):032x}"[-24:] for seed in range(50))


def placed(keys: list[str], canaries: list[Canary], seed: int = 0, after: int | None = None) -> list[Any]:
    return list(place(keys, canaries, np.random.default_rng(seed), lambda: after))


def merged(keys: list[str], found: list[Any]) -> list[str]:
    """The keys of a shard with canaries in it."""
    all_keys = list(keys)
    for each in reversed(found):
        all_keys.insert(each.row, each.key)
    return all_keys


@pytest.mark.parametrize(
    "keys",
    [
        [f"{7 * number:09d}" for number in range(50)],
        [f"holiday/IMG_{3 * number:04d}.jpg" for number in range(1, 50)],
        [f"{number}.5-{number * 10}" for number in range(10, 60)],
        SORTED_HEX,
    ],
    ids=["padded", "camera", "other digits", "hexadecimal"],
)
def test_keys_fit_in_order_where_there_is_room(keys: list[str], canary: Callable[..., Canary]) -> None:
    found = placed(keys, [canary(number) for number in range(8)])
    together = merged(keys, found)
    assert len(set(together)) == len(keys) + 8
    assert {len(each.key) for each in found} <= {len(key) for key in keys}
    if keys[0][0] != "1":
        assert together == sorted(together)


def test_a_key_in_a_gap_of_one_is_the_one_that_is_missing(canary: Callable[..., Canary]) -> None:
    keys = [f"{number:05d}" for number in range(100) if number not in (17, 60)]
    assert [(each.row, each.key) for each in placed(keys, [canary(0), canary(1)])] == [(17, "00017"), (59, "00060")]


def test_places_are_anywhere_in_the_shard(canary: Callable[..., Canary]) -> None:
    keys = [f"{7 * number:09d}" for number in range(101)]
    rows = [placed(keys, [canary(0)], seed)[0].row for seed in range(400)]
    assert 45 < np.mean(rows) < 56
    assert np.std(rows) == pytest.approx(100 / 12**0.5, rel=0.1)


def test_numbers_without_a_gap_go_on_after_the_last_that_the_set_uses(canary: Callable[..., Canary]) -> None:
    keys = [f"{number:06d}" for number in range(40)]
    assert {each.key for each in placed(keys, [canary(0), canary(1)])} == {"000040", "000041"}
    assert {each.key for each in placed(keys, [canary(0), canary(1)], after=900)} == {"000900", "000901"}


def test_numbers_in_no_order_get_others_of_their_range(canary: Callable[..., Canary]) -> None:
    numbers = np.random.default_rng(1).choice(10**8, 60, replace=False)
    numbers[::2] = np.sort(numbers[::2])[::-1]
    found = placed([f"{number:08d}" for number in numbers], [canary(number) for number in range(40)])
    assert all(numbers.min() <= int(each.key) <= numbers.max() and len(each.key) == 8 for each in found)


def test_names_of_words_get_words_of_the_caption(canary: Callable[..., Canary]) -> None:
    keys = sorted(f"photo-{name}.jpg" for name in ("astronaut", "brick", "camera", "coffee", "horse"))
    found = placed(keys, [canary(0, caption="a velvet kettle"), canary(1, caption="a copper windmill")])
    together = merged(keys, found)
    assert together == sorted(together)
    assert {each.key for each in found} <= {f"photo-{word}.jpg" for word in ("velvet", "kettle", "copper", "windmill")}


def test_the_ending_is_that_of_the_canarys_format(canary: Callable[..., Canary]) -> None:
    keys = [f"{3 * number:04d}.jpeg" for number in range(20)]
    assert placed(keys, [canary(0)])[0].key.endswith(".jpeg")
    assert placed(keys, [canary(0, format="png")])[0].key.endswith(".png")


@pytest.mark.parametrize("keys", [[], ["only"], ["a", "a", "a"], ["7"]])
def test_odd_shards_take_canaries_too(keys: list[str], canary: Callable[..., Canary]) -> None:
    found = placed(keys, [canary(number) for number in range(5)])
    assert len({each.key for each in found} | set(keys)) == 5 + len(set(keys))
    assert all(0 <= each.row <= len(keys) for each in found)


def test_copies_are_spread_evenly_and_far_from_each_other(canary: Callable[..., Canary], manifest: Manifest) -> None:
    many = manifest.model_copy(update={"canaries": tuple(canary(n, repetitions=8) for n in range(20))})
    found = shares(many, [1000] * 8)
    assert [len(each) for each in found] == [20] * 8
    counts = Counter(itertools.chain(*found))
    assert set(counts.values()) == {8}
    assert max(max(Counter(each).values()) for each in found) <= 2


def test_larger_shards_get_more(canary: Callable[..., Canary], manifest: Manifest) -> None:
    many = manifest.model_copy(update={"canaries": tuple(canary(n) for n in range(60))})
    assert [len(each) for each in shares(many, [1000, 3000, 2000])] == pytest.approx([10, 30, 20], abs=1)
    assert [len(each) for each in shares(many, [0, 3000, 2000])] == [20] * 3  # one of unknown size
    assert shares(many, []) == []

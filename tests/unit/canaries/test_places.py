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


@pytest.mark.parametrize("seed", range(20))
def test_several_canaries_between_the_same_two_words_stand_in_order(seed: int, canary: Callable[..., Canary]) -> None:
    keys = [f"photo-{name}.jpg" for name in ("anchor", "brick", "zebra")]
    several = [canary(number, caption="a velvet kettle copper windmill harbour lantern") for number in range(5)]
    found = placed(keys, several, seed)
    together = merged(keys, found)
    assert together == sorted(together)


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


def test_a_row_with_room_is_one_between_numbers_that_leave_some(canary: Callable[..., Canary]) -> None:
    keys = ["0001", "0002", "0004", "0005", "0007", "x", "0009", "0012", "0013", "00020"]  # 3, 6, 10 and 11 are free
    rows = {each.row: each.key for seed in range(40) for each in placed(keys, [canary(0)], seed)}
    assert set(rows) == {2, 4, 7}  # not beside the key that is no number, nor where keys grow longer
    assert (rows[2], rows[4]) == ("0003", "0006")
    assert rows[7] in ("0010", "0011")


def test_a_few_keys_of_another_kind_do_not_hide_the_pattern(canary: Callable[..., Canary]) -> None:
    numbers = [f"{3 * number:04d}" for number in range(18)]
    nine = placed([*numbers, "readme", "index"], [canary(0)])[0].key  # nine tenths are numbers
    assert nine.isdigit()
    fewer = placed([*numbers[:-1], "readme", "index"], [canary(0, caption="a velvet kettle")])[0].key
    assert fewer in ("velvet", "kettle")


def test_long_hexadecimal_numbers_are_no_decimal_ones(canary: Callable[..., Canary]) -> None:
    keys = sorted(f"{number:016x}" for number in np.random.default_rng(3).integers(1 << 60, size=30))
    found = placed(keys, [canary(number) for number in range(6)])
    assert all(len(each.key) == 16 and keys[each.row - 1] < each.key < keys[each.row] for each in found)
    assert any(set(each.key) & set("abcdef") for each in found)
    uuids = sorted(f"{key[:8]}-{key[8:12]}-{key[12:]}-0000-{key[:12]}" for key in keys)
    (mine,) = placed(uuids, [canary(0)])
    assert [len(part) for part in mine.key.split("-")] == [8, 4, 4, 4, 12]
    assert uuids[mine.row - 1] < mine.key < uuids[mine.row]


def test_numbers_that_are_not_padded_grow_longer(canary: Callable[..., Canary]) -> None:
    keys = [str(number) for number in range(1, 100)]
    assert {each.key for each in placed(keys, [canary(0), canary(1)])} == {"100", "101"}
    assert {each.key for each in placed(keys, [canary(0)], after=7000)} == {"7000"}
    keys = [f"IMG_{number}_final.jpg" for number in range(8, 12)]
    assert placed(keys, [canary(0)])[0].key == "IMG_12_final.jpg"


def test_a_shard_in_no_order_with_no_numbers_left_goes_on_after_its_highest(canary: Callable[..., Canary]) -> None:
    keys = ["3", "1", "2", "0"]
    assert placed(keys, [canary(0)])[0].key == "4"
    some = {placed(["9", "1", "2", "0"], [canary(0)], seed)[0].key for seed in range(60)}
    assert some == {"3", "4", "5", "6", "7", "8"}  # six are free


def test_a_word_of_a_neighbour_alone_is_replaced(canary: Callable[..., Canary]) -> None:
    keys = ["set/a_photo of-brick.png", "set/a_photo of-coffee.png"]
    found = placed(keys, [canary(0, caption="a velvet", format="png")])
    assert found[0].key == "set/a_photo of-velvet.png"
    assert placed(keys, [canary(0, caption=None)])[0].key == "set/a_photo of-picture.jpg"
    many = placed(keys, [canary(number, caption="a velvet") for number in range(3)])
    assert len({each.key for each in many}) == 3
    assert all(each.key.startswith("set/a_photo of-velvet") for each in many)


def test_rows_come_in_order(canary: Callable[..., Canary]) -> None:
    for keys in ([f"{7 * number:05d}" for number in range(50)], [f"{number:05d}" for number in range(50)], ["b", "a"]):
        rows = [each.row for each in placed(keys, [canary(number) for number in range(9)], 3)]
        assert rows == sorted(rows)


@pytest.mark.parametrize(
    ("key", "format", "expected"),
    [
        ("{}.JPG", "jpeg", ".JPG"), ("{}.jpeg", "jpeg", ".jpeg"), ("{}.jfif", "jpeg", ".jfif"),
        ("{}.jpe", "jpeg", ".jpe"), ("{}.png", "jpeg", ".jpg"), ("{}.jpg", "webp", ".webp"), ("{}.tar", "png", ".tar"),
    ],
)  # fmt: skip
def test_endings_of_images_are_those_of_the_format(
    key: str, format: str, expected: str, canary: Callable[..., Canary]
) -> None:
    keys = [key.format(f"{3 * number:04d}") for number in range(20)]
    assert placed(keys, [canary(0, format=format)])[0].key[4:] == expected


def test_canaries_are_spread_by_chance_that_the_secret_decides(
    canary: Callable[..., Canary], manifest: Manifest
) -> None:
    many = manifest.model_copy(update={"canaries": tuple(canary(n) for n in range(40))})
    other = many.model_copy(update={"secret": "77" * 32})
    sizes = [100] * 10
    assert shares(many, sizes) == shares(many, sizes) != shares(other, sizes)
    assert sorted(itertools.chain(*shares(many, sizes))) == list(range(40))
    assert shares(many, [5]) == [shares(many, [5])[0]]
    assert len(shares(many, [5])[0]) == 40
    assert shares(manifest.model_copy(update={"canaries": manifest.controls}), [1, 2]) == [[], []]

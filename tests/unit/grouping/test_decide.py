"""Decisions about drawn pictures: one a sample, each drop with its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from dedupkit.grouping.stage import decide
from dedupkit.matching.stage import match
from dedupkit.recipe import Keep, Matching
from dedupkit.sample import DECISIONS, PAIRS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    Draw = Callable[..., Image.Image]
    Shard = Callable[..., pa.Table]

Transpose = Image.Transpose
# What Pillow does for each name; its ROTATE_90 goes counter-clockwise.
PILLOW = {
    "mirrored left-right": Transpose.FLIP_LEFT_RIGHT,
    "mirrored top-bottom": Transpose.FLIP_TOP_BOTTOM,
    "turned 180°": Transpose.ROTATE_180,
    "transposed": Transpose.TRANSPOSE,
    "turned 90°": Transpose.ROTATE_270,
    "turned 270°": Transpose.ROTATE_90,
    "transverse": Transpose.TRANSVERSE,
}


def decided(shards: list[pa.Table], pairs: pa.Table | None = None, **keep: Any) -> list[dict[str, Any]]:
    """The decisions about all samples of some shards."""

    def read(number: int, columns: Sequence[str]) -> pa.Table:
        return shards[number].select(columns)

    found = match(shards, Matching()) if pairs is None else pairs
    tables = list(decide(read, len(shards), found, Keep(**keep)))
    assert [table.num_rows for table in tables] == [shard.num_rows for shard in shards]
    assert all(table.schema.equals(DECISIONS) for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


def framed(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (image.width + 120, image.height + 120), "white")
    canvas.paste(image, (60, 60))
    return canvas


def test_every_sample_has_one_action_and_counts_add_up(picture: Draw, shard: Shard) -> None:
    one, two, three = (picture(seed) for seed in range(3))
    shards = [
        shard([one, b"", two, one], 0),
        shard([one.resize((160, 120)), b"<html>"], 1),
        shard([], 2),
        shard([three], 3),
    ]
    rows = decided(shards)
    assert column(rows, "action") == ["keep", "quarantine", "keep", "drop", "drop", "quarantine", "keep"]
    assert column(rows, "reason") == [
        "representative", "empty_image", "unique", "exact_duplicate", "perceptual_duplicate", "not_an_image", "unique",
    ]  # fmt: skip
    assert column(rows, "kept_key") == [None, None, None, "0/0", "0/0", None, None]
    assert column(rows, "group") == [0, None, None, 0, 0, None, None]
    assert column(rows, "group_size") == [3, 1, 1, 3, 3, 1, 1]
    assert column(rows, "tier") == [None, None, None, "exact", "perceptual", None, None]
    assert column(rows, "position") == [0, 1, 2, 3, 1 << 32, (1 << 32) + 1, 3 << 32]
    assert column(rows, "shard") == ["shard-0"] * 4 + ["shard-1"] * 2 + ["shard-3"]
    assert [detail is not None for detail in column(rows, "detail")] == [False, True, False, False, False, True, False]


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("dropped_first", [True, False])
def test_the_kept_picture_turned_as_the_evidence_says_is_the_dropped_one(
    name: str, dropped_first: bool, picture: Draw, shard: Shard
) -> None:
    kept = picture(8, 512, 384)
    dropped = kept.transpose(PILLOW[name])
    images = [dropped, kept] if dropped_first else [kept, dropped]
    rows = decided([shard(images)], policy="last" if dropped_first else "first")
    (row,) = (row for row in rows if row["action"] == "drop")
    assert row["key"] == ("0/0" if dropped_first else "0/1")
    assert kept.transpose(PILLOW[row["evidence"]["orientation"]]).tobytes() == dropped.tobytes()


@pytest.mark.parametrize(("policy", "expected"), [("first", "this"), ("last", "kept")])
def test_evidence_names_the_one_whose_frame_was_trimmed(
    policy: str, expected: str, picture: Draw, shard: Shard
) -> None:
    image = picture(8, 400, 300)
    rows = decided([shard([image, framed(image)])], policy=policy)
    assert [row["evidence"]["trimmed"] for row in rows if row["action"] == "drop"] == [expected]


@pytest.mark.parametrize(("max_copies", "kept"), [(1, 1), (2, 2), (3, 3), (5, 5), (6, 5)])
def test_max_copies_stay(max_copies: int, kept: int, picture: Draw, shard: Shard) -> None:
    image = picture(8, 400, 300)
    copies = [image, image, image.resize((200, 150)), image.resize((300, 225)), image]
    rows = decided([shard(copies), shard([picture(1)], 1)], max_copies=max_copies)
    assert column(rows, "action").count("keep") == kept + 1
    assert column(rows, "reason").count("spare_copy") == kept - 1
    assert all(row["kept_key"] == "0/0" for row in rows if row["action"] == "drop")
    assert all(row["kept_key"] is None for row in rows if row["action"] == "keep")


def test_the_best_stays(picture: Draw, shard: Shard) -> None:
    image = picture(8, 400, 300)
    shards = [shard([image.resize((200, 150)), image]), shard([image.resize((300, 225))], 1)]
    assert column(decided(shards), "action") == ["drop", "keep", "drop"]
    assert column(decided(shards, policy="first"), "action") == ["keep", "drop", "drop"]
    assert column(decided(shards, policy="last"), "action") == ["drop", "drop", "keep"]
    assert column(decided(shards, policy=lambda each: -each.width), "action") == ["keep", "drop", "drop"]


def test_a_frame_does_not_make_a_copy_better(picture: Draw, shard: Shard) -> None:
    image = picture(8, 400, 300)
    rows = decided([shard([framed(image.resize((380, 285))), image])])  # 500 x 405 with its frame
    assert column(rows, "action") == ["drop", "keep"]


def test_keys_that_clash_are_renamed_noted_and_named_by_drops(picture: Draw, shard: Shard) -> None:
    image = picture(8, 400, 300)
    shards = [shard([picture(1), picture(2)], 0, ["a", "b"]), shard([image, image.resize((200, 150))], 1, ["a", "b"])]
    rows = decided(shards)
    assert column(rows, "key") == ["a", "b", "shard-1/a", "shard-1/b"]
    assert column(rows, "notes") == [[], [], ["key_renamed"], ["key_renamed"]]
    assert column(rows, "kept_key") == [None, None, None, "shard-1/a"]


def test_every_drop_names_a_kept_key_that_it_or_its_equal_is_paired_with(picture: Draw, shard: Shard) -> None:
    images = [picture(seed, 512, 384) for seed in range(6)]
    small = [image.resize((400, 300)) for image in images]
    turned = [image.transpose(Transpose.ROTATE_90) for image in images]
    shards = [shard([*images, b""], 0), shard([*small, *small], 1), shard([*turned, *images[:3], picture(99)], 2)]
    pairs = match(shards, Matching())
    rows = decided(shards, pairs)
    actions = column(rows, "action")
    assert (actions.count("keep"), actions.count("drop"), actions.count("quarantine")) == (7, 21, 1)
    kept = {row["key"]: row["position"] for row in rows if row["action"] == "keep"}
    linked = {frozenset((row["a"], row["b"])) for row in pairs.to_pylist()}
    first = {row["b"]: row["a"] for row in pairs.to_pylist() if row["tier"] == "exact"}
    for row in rows:
        if row["action"] == "drop":
            partner = kept[row["kept_key"]]
            ends = {first.get(row["position"], row["position"]), first.get(partner, partner)}
            assert len(ends) == 1 or ends in linked


@pytest.mark.parametrize("shards", [0, 1, 2])
def test_no_samples_have_no_decisions(shards: int, shard: Shard) -> None:
    assert decided([shard([], number) for number in range(shards)], PAIRS.empty_table()) == []


def test_one_sample_is_unique(picture: Draw, shard: Shard) -> None:
    (row,) = decided([shard([picture(1)])])
    assert (row["action"], row["reason"], row["group"], row["group_size"]) == ("keep", "unique", None, 1)


def test_a_shard_of_broken_samples_only_is_quarantined(shard: Shard) -> None:
    rows = decided([shard([b"", b"x"])])
    assert column(rows, "reason") == ["empty_image", "not_an_image"]
    assert column(rows, "kept_key") == column(rows, "evidence") == [None, None]

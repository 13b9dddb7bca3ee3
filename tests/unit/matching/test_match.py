"""Matching fingerprints of drawn pictures: what is a pair, and what never is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw

from dedupkit.matching.stage import COLUMNS, RADIUS_KEY, match
from dedupkit.recipe import Matching
from dedupkit.sample import FINGERPRINTS, PAIRS

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[..., Image.Image]
    Fingerprint = Callable[..., pa.Table]

BOTH = [Matching(), Matching(hash="phash")]


def ends(pairs: pa.Table) -> list[tuple[int, int]]:
    return list(zip(pairs["a"].to_pylist(), pairs["b"].to_pylist(), strict=True))


def jpeg(image: Image.Image, quality: int) -> bytes:
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality)
    return target.getvalue()


def framed(image: Image.Image, width: int, colour: str) -> Image.Image:
    canvas = Image.new("RGB", (image.width + 2 * width, image.height + 2 * width), colour)
    canvas.paste(image, (width, width))
    return canvas


@pytest.mark.parametrize("matching", BOTH, ids=["pdq", "phash"])
def test_equal_bytes_are_paired_with_the_first_of_them_and_no_further(
    matching: Matching, picture: Draw, fingerprint: Fingerprint
) -> None:
    one, other = picture(1), picture(2)
    pairs = match([fingerprint([one, other, one, one, other, one])], matching)
    assert sorted(ends(pairs)) == [(0, 2), (0, 3), (0, 5), (1, 4)]
    assert set(pairs["tier"].to_pylist()) == {"exact"}
    assert pairs["hamming_bits"].null_count == pairs["orientation"].null_count == pairs["trimmed"].null_count == 4


def test_pairs_are_sorted_by_tier_and_ends(picture: Draw, fingerprint: Fingerprint) -> None:
    one, other = picture(1), picture(2)
    images = [one, other, jpeg(other, 80), other, one, jpeg(one, 80), jpeg(one, 60), one]
    rows = match([fingerprint(images)], Matching()).to_pylist()
    order = [(row["tier"], row["a"], row["b"]) for row in rows]
    assert order == sorted(order)


@pytest.mark.parametrize("matching", BOTH, ids=["pdq", "phash"])
def test_recompressed_resized_and_turned_copies_are_pairs_and_other_pictures_are_not(
    matching: Matching, picture: Draw, fingerprint: Fingerprint
) -> None:
    image = picture(4, 400, 300)
    copies = [jpeg(image, 60), image.resize((200, 150)), image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    others = [picture(seed, 400, 300) for seed in range(10, 30)]
    pairs = match([fingerprint([image, *copies, *others])], matching)
    assert {(0, 1), (0, 2), (0, 3)} <= set(ends(pairs))
    assert all(b <= 3 for _, b in ends(pairs))
    assert set(pairs["tier"].to_pylist()) == {"perceptual"}
    assert pairs["orientation"][ends(pairs).index((0, 3))].as_py() == "mirrored left-right"
    assert pairs.schema.equals(PAIRS)


def test_distances_are_those_of_the_stored_hashes(picture: Draw, fingerprint: Fingerprint) -> None:
    image = picture(4, 400, 300)
    table = fingerprint([image, jpeg(image, 30), jpeg(image, 10)])
    one, *others = (int.from_bytes(code, "big") for code in table["pdq"].to_pylist())
    pairs = match([table], Matching())
    assert ends(pairs)[:2] == [(0, 1), (0, 2)]
    assert pairs["hamming_bits"].to_pylist()[:2] == [(one ^ other).bit_count() for other in others]


def test_turned_copies_are_no_pairs_where_turning_is_off(picture: Draw, fingerprint: Fingerprint) -> None:
    image = picture(4, 400, 300)
    turned = [image.transpose(how) for how in Image.Transpose]
    pairs = match([fingerprint([image, jpeg(image, 70), *turned])], Matching(turned=False))
    assert ends(pairs) == [(0, 1)]
    assert pairs["orientation"].to_pylist() == ["as is"]


@pytest.mark.parametrize("matching", BOTH, ids=["pdq", "phash"])
def test_flat_pictures_are_matched_by_their_bytes_alone(matching: Matching, fingerprint: Fingerprint) -> None:
    white, gray = Image.new("RGB", (200, 200), "white"), Image.new("RGB", (200, 200), (128, 128, 128))
    letter = white.copy()
    ImageDraw.Draw(letter).line((40, 40, 160, 160), fill="black", width=6)
    images = [white, gray, white, letter, jpeg(letter, 90), white.resize((300, 300)), letter]
    pairs = match([fingerprint(images)], matching)
    assert ends(pairs) == [(0, 2), (3, 6)]
    assert set(pairs["tier"].to_pylist()) == {"exact"}


@pytest.mark.parametrize("matching", BOTH, ids=["pdq", "phash"])
@pytest.mark.parametrize("colour", ["white", "black", "gray"])
def test_a_framed_copy_is_found(matching: Matching, colour: str, picture: Draw, fingerprint: Fingerprint) -> None:
    image = picture(6, 300, 220)
    pairs = match([fingerprint([image, framed(image, 60, colour), framed(image, 90, colour)])], matching)
    found = dict(zip(ends(pairs), pairs["trimmed"].to_pylist(), strict=True))
    assert found == {(0, 1): "b", (0, 2): "b", (1, 2): "both"}
    assert pairs["hamming_bits"].to_pylist() == [0, 0, 0]


def test_trimmed_names_the_end_that_had_the_frame(picture: Draw, fingerprint: Fingerprint) -> None:
    image = picture(6, 300, 220)
    framed_first = match([fingerprint([framed(image, 60, "white"), image])], Matching())
    assert framed_first["trimmed"].to_pylist() == ["a"]
    turned = framed(image.transpose(Image.Transpose.ROTATE_90), 50, "white")
    for images, way in (([image, turned], "turned 90°"), ([turned, image], "turned 270°")):  # Pillow's goes left
        pairs = match([fingerprint(images)], Matching())
        assert pairs["orientation"].to_pylist() == [way]


@pytest.mark.parametrize("matching", BOTH, ids=["pdq", "phash"])
@pytest.mark.parametrize("width", [30, 150])
@pytest.mark.parametrize("colour", ["white", "black"])
def test_different_pictures_in_the_same_thick_frame_are_no_pair(
    matching: Matching, width: int, colour: str, picture: Draw, fingerprint: Fingerprint
) -> None:
    images = [framed(picture(seed, 300, 220), width, colour) for seed in range(6)]
    assert match([fingerprint(images)], matching).num_rows == 0


@pytest.mark.parametrize("matching", BOTH, ids=["pdq", "phash"])
def test_a_frame_around_a_blank_is_no_pair_of_anything(
    matching: Matching, picture: Draw, fingerprint: Fingerprint
) -> None:
    blanks = [framed(Image.new("RGB", (300, 220), inside), 80, "black") for inside in ("white", "gray", "silver")]
    images = [*blanks, framed(picture(3, 300, 220), 80, "black"), Image.new("RGB", (300, 220), "white")]
    assert match([fingerprint(images)], matching).num_rows == 0


@pytest.mark.parametrize("shards", [0, 1, 3])
@pytest.mark.parametrize("matching", BOTH, ids=["pdq", "phash"])
def test_no_samples_have_no_pairs(matching: Matching, shards: int) -> None:
    pairs = match([FINGERPRINTS.empty_table().select(COLUMNS)] * shards, matching)
    assert pairs.num_rows == 0
    assert pairs.schema.remove_metadata().equals(PAIRS)


def test_faulty_samples_have_no_pairs(picture: Draw, fingerprint: Fingerprint) -> None:
    pairs = match([fingerprint([b"", picture(1), b"", b"<html>", picture(1), b"<html>"])], Matching())
    assert ends(pairs) == [(1, 4)]


def test_shards_are_matched_with_each_other_and_the_split_changes_nothing(
    picture: Draw, fingerprint: Fingerprint
) -> None:
    images = [picture(seed) for seed in range(5)]
    table = fingerprint([*images, *(jpeg(image, 60) for image in images), *images])
    whole = match([table], Matching())
    assert whole.num_rows == 10
    assert match([table.slice(0, 4), table.slice(4, 7), table.slice(11)], Matching()).equals(whole, check_metadata=True)


def test_the_radius_that_was_searched_stands_in_the_metadata(picture: Draw, fingerprint: Fingerprint) -> None:
    table = fingerprint([picture(1), picture(2)])
    for matching, radius in ((Matching(), b"31"), (Matching(hash="phash"), b"6"), (Matching(max_hamming_bits=9), b"9")):
        assert match([table], matching).schema.metadata[RADIUS_KEY] == radius


@pytest.mark.parametrize("name", ["pdq", "phash"])
def test_a_stricter_radius_gives_the_near_pairs_of_a_wider_one(
    name: str, picture: Draw, fingerprint: Fingerprint
) -> None:
    images = [picture(seed, 256, 200) for seed in range(6)]
    table = fingerprint([*images, *(jpeg(image, quality) for image in images for quality in (5, 20, 60))])
    wide = match([table], Matching.model_validate({"hash": name, "max_hamming_bits": 12})).to_pylist()
    assert wide
    for radius in range(0, 12, 3):
        strict = match([table], Matching.model_validate({"hash": name, "max_hamming_bits": radius})).to_pylist()
        assert strict == [row for row in wide if row["hamming_bits"] <= radius]


def test_gates_of_quality_and_entropy_are_the_recipes(picture: Draw, fingerprint: Fingerprint) -> None:
    image = picture(1)
    table = fingerprint([image, jpeg(image, 80)])
    assert np.all(table["pdq_quality"].to_numpy() >= 50)
    assert match([table], Matching()).num_rows == 1
    highest = min(table["luminance_entropy"].to_pylist())
    assert match([table], Matching(min_luminance_entropy=min(5, highest + 0.01))).num_rows == 0
    dull = table.set_column(table.column_names.index("pdq_quality"), "pdq_quality", pa.array([49, 100], pa.uint8()))
    assert match([dull], Matching()).num_rows == 0
    assert match([dull], Matching(min_pdq_quality=49)).num_rows == 1

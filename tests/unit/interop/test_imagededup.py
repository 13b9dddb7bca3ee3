"""imagededup's formats: encoding maps in, dictionaries of duplicates out, against all pairs compared one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.interop.imagededup import duplicates_of_encodings, to_duplicates
from tests.conftest import draw_picture
from tests.integration.conftest import encoded

if TYPE_CHECKING:
    from pathlib import Path


def hashes(count: int = 120) -> dict[str, str]:
    """Some hashes with neighbours at all small distances, and equal ones."""
    rng = np.random.default_rng(7)
    values = [int(value) for value in rng.integers(0, 1 << 63, count, dtype=np.uint64)]
    for number in range(count // 2, count):
        flipped = rng.choice(64, int(rng.integers(0, 14)), replace=False)
        values[number] = values[number - count // 2] ^ sum(1 << int(bit) for bit in flipped)
    values[3] = values[4] = values[5]
    names = rng.permutation(count)
    return {f"{names[number]:03d}.jpg": f"{value:016x}" for number, value in enumerate(values)}


def vectors(count: int = 80, dimensions: int = 16) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Some vectors of any length with neighbours, equal ones, and one of zeros."""
    rng = np.random.default_rng(8)
    rows = rng.standard_normal((count, dimensions)).astype(np.float32)
    for number in range(count // 2, count):
        rows[number] = rows[number - count // 2] + rng.uniform(0, 0.8) * rng.standard_normal(dimensions)
    rows[3] = rows[4] = rows[5]
    rows[9] = 0
    return {f"{number:03d}.png": row * rng.uniform(1, 9) for number, row in enumerate(rows)}


def near_hashes(encodings: dict[str, str], radius: int) -> dict[str, list[tuple[str, int]]]:
    """What imagededup does: all with all, nearest first, of equals in the map's order."""
    bits = {name: int(value, 16) for name, value in encodings.items()}
    rows = {
        name: [(other, (mine ^ theirs).bit_count()) for other, theirs in bits.items() if other != name]
        for name, mine in bits.items()
    }
    return {
        name: sorted((row for row in near if row[1] <= radius), key=lambda row: row[1]) for name, near in rows.items()
    }


@pytest.mark.parametrize("radius", [0, 5, 10, 15])
def test_near_hashes_are_those_of_comparing_all_with_all(radius: int) -> None:
    encodings = hashes()
    expected = near_hashes(encodings, radius)
    found = duplicates_of_encodings(encodings, max_hamming_bits=radius)
    assert to_duplicates(found, scores=True) == expected
    assert to_duplicates(found) == {name: [other for other, _ in rows] for name, rows in expected.items()}
    assert list(to_duplicates(found)) == list(encodings)


@pytest.mark.parametrize("floor", [0.3, 0.9])
def test_near_vectors_are_those_of_comparing_all_with_all(floor: float) -> None:
    encodings = vectors()
    rows = np.stack(list(encodings.values())).astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    cosines = rows @ rows.T
    names = list(encodings)
    found: Any = to_duplicates(duplicates_of_encodings(encodings, min_cosine=floor), scores=True)
    assert list(found) == names
    for number, name in enumerate(names):
        near = [other for other in range(len(names)) if other != number and cosines[number, other] >= floor]
        assert [other for other, _ in found[name]] == [names[other] for other in near]
        assert [cosine for _, cosine in found[name]] == pytest.approx(
            [cosines[number, other] for other in near], abs=1e-5
        )


def test_imagededups_defaults_hold() -> None:
    assert duplicates_of_encodings(hashes()).max_hamming_bits == 10
    assert duplicates_of_encodings(vectors()).min_cosine == 0.9


def test_a_stricter_limit_needs_no_second_search() -> None:
    wide = duplicates_of_encodings(hashes())
    assert to_duplicates(wide.at(4)) == to_duplicates(duplicates_of_encodings(hashes(), max_hamming_bits=4))


def test_the_result_has_groups_and_can_be_written_as_json() -> None:
    found = duplicates_of_encodings({"a": "00", "b": "1", "c": "f" * 16, "d": None})
    assert found.groups == [["a", "b"]]
    assert found.to_json() == {"groups": [["a", "b"]], "samples": 4, "faults": {"d": "missing_image"}}
    assert json.loads(json.dumps(to_duplicates(found, scores=True))) == {"a": [["b", 1]], "b": [["a", 1]], "c": []}


@pytest.mark.parametrize("encodings", [{}, {"a.jpg": None}])
def test_nothing_gives_nothing(encodings: dict[str, Any]) -> None:
    found = duplicates_of_encodings(encodings)
    assert found.groups == []
    assert to_duplicates(found) == {}


def test_one_encoding_has_no_duplicates() -> None:
    assert to_duplicates(duplicates_of_encodings({"a": "0f"})) == {"a": []}
    assert to_duplicates(duplicates_of_encodings({"a": np.ones(4)})) == {"a": []}


@pytest.mark.parametrize(
    ("encodings", "limits", "said"),
    [
        ({"a": "0f"}, {"min_cosine": 0.5}, "give max_hamming_bits"),
        ({"a": np.ones(3)}, {"max_hamming_bits": 5}, "give min_cosine"),
        ({"a": "0f"}, {"max_hamming_bits": 16}, r"must be in \[0, 15\], got 16"),
        ({"a": np.ones(3)}, {"min_cosine": 0.0}, r"must be in \(0, 1\], got 0.0"),
        ({"a": "0f", "b": "no hash"}, {}, "'no hash' for 'b'"),
        ({"a": "0f", "b": np.ones(3)}, {}, "all hashes in hexadecimal or all vectors"),
        ({"a": np.ones(3), "b": np.ones(4)}, {}, "of one length"),
    ],
)
def test_what_cannot_be_is_refused(encodings: dict[str, Any], limits: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        duplicates_of_encodings(encodings, **limits)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six files: two pictures in three encodings, one of which is an exact copy, one alone, and one broken."""
    for name, data in {
        "a.jpg": encoded(draw_picture(1)),
        "b.jpg": encoded(draw_picture(1)),
        "c.jpg": encoded(draw_picture(1), quality=40),
        "d.png": encoded(draw_picture(2), "PNG"),
        "e.jpg": b"broken",
    }.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_a_search_over_images_comes_out_with_every_whole_file_as_a_key(photos: Path) -> None:
    found = dedupkit.find_duplicates(photos, recipe=dedupkit.Recipe(preset="fast"))
    out = to_duplicates(found, files=sorted(file.name for file in photos.iterdir()))
    assert out == {"a.jpg": ["b.jpg", "c.jpg"], "b.jpg": ["a.jpg", "c.jpg"], "c.jpg": ["a.jpg", "b.jpg"], "d.png": []}


def test_members_of_a_group_without_a_pair_get_the_weakest_number_between_them(photos: Path) -> None:
    found = dedupkit.find_duplicates(photos, recipe=dedupkit.Recipe(preset="fast"))
    bits = {(row["a"], row["b"]): row["hamming_bits"] for row in found.pairs.to_pylist()}
    assert bits.keys() == {("a.jpg", "b.jpg"), ("a.jpg", "c.jpg")}  # of the same bytes only the first is compared
    out = to_duplicates(found, scores=True, files=[*"x", "a.jpg", "b.jpg", "c.jpg", "d.png"])
    assert out["b.jpg"] == [("a.jpg", 0), ("c.jpg", bits["a.jpg", "c.jpg"])]
    assert out["x"] == []


def test_descriptors_are_scored_by_their_cosine(photos: Path) -> None:
    found = dedupkit.find_duplicates(photos)
    out = to_duplicates(found, scores=True, files=["a.jpg", "b.jpg", "c.jpg", "d.png"])
    (cosine,) = [row["cosine"] for row in found.pairs.to_pylist() if row["b"] == "c.jpg"]
    assert out["a.jpg"] == [("b.jpg", 1.0), ("c.jpg", cosine)]


def test_files_that_are_not_known_are_asked_for(photos: Path) -> None:
    found = dedupkit.find_duplicates(photos, recipe=dedupkit.Recipe(preset="fast"))
    with pytest.raises(UsageError, match="give files, the names of all"):
        to_duplicates(found)
    with pytest.raises(UsageError, match=r"files lacks 2 that have duplicates, such as 'b\.jpg'"):
        to_duplicates(found, files=["a.jpg", "d.png"])


def test_the_weakest_link_is_followed_through_a_chain() -> None:
    found = duplicates_of_encodings({"a": "00", "b": "0f", "c": "ff", "d": "1ff"}, max_hamming_bits=4)
    columns = {name: found.pairs[name] for name in found.pairs.column_names}
    plain = dedupkit.Found(4, pa.table(columns), {}, 4, 1.0, found.look_alikes, None, 0)
    assert to_duplicates(plain, scores=True) == {
        "a": [("b", 4), ("c", 4), ("d", 4)],
        "b": [("a", 4), ("c", 4), ("d", 4)],
        "c": [("d", 1), ("a", 4), ("b", 4)],
        "d": [("c", 1), ("a", 4), ("b", 4)],
    }


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("radius", [0, 6, 10])
def test_imagededup_finds_the_same_hashes(radius: int) -> None:
    methods = pytest.importorskip("imagededup.methods")
    theirs = methods.PHash(verbose=False).find_duplicates(
        encoding_map=hashes(), max_distance_threshold=radius, scores=True, num_dist_workers=0
    )
    ours: Any = to_duplicates(duplicates_of_encodings(hashes(), max_hamming_bits=radius), scores=True)
    assert list(ours) == list(theirs)
    for name, rows in theirs.items():
        assert sorted(ours[name]) == sorted(rows)
        assert [bits for _, bits in ours[name]] == [bits for _, bits in rows]


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
def test_imagededup_finds_the_same_vectors() -> None:
    methods = pytest.importorskip("imagededup.methods")
    cnn = methods.CNN.__new__(methods.CNN)  # without its weights, which it would download
    cnn.verbose, cnn.logger = False, __import__("logging").getLogger("imagededup")
    theirs = cnn.find_duplicates(encoding_map=vectors(), min_similarity_threshold=0.9, scores=True, num_sim_workers=0)
    ours: Any = to_duplicates(duplicates_of_encodings(vectors()), scores=True)
    assert list(ours) == list(theirs)
    for name, rows in theirs.items():
        assert [other for other, _ in ours[name]] == [other for other, _ in rows]
        assert [cosine for _, cosine in ours[name]] == pytest.approx([cosine for _, cosine in rows], abs=1e-5)


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
def test_imagededups_own_tools_take_what_comes_out() -> None:
    general = pytest.importorskip("imagededup.utils.general_utils")
    evaluation = pytest.importorskip("imagededup.evaluation")
    out = to_duplicates(duplicates_of_encodings(hashes()))
    gone = set(general.get_files_to_remove(out))
    assert all(set(rows) & (set(out) - gone) for name, rows in out.items() if name in gone)
    assert evaluation.evaluate(out, out, metric="map") == {"map": 1.0}

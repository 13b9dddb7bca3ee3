"""Placeholder pictures by hash: how near, which digests, whose lists; hashes are made by hand."""

from __future__ import annotations

import csv
import pickle
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dedupkit.errors import UsageError
from dedupkit.hygiene.checks import COLUMNS, checked
from dedupkit.hygiene.placeholders import MIN_QUALITY, TABLE, Placeholders, bits_of, shipped
from dedupkit.recipe import Hygiene
from dedupkit.sample import FINGERPRINTS

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"width": 300, "height": 200, "darkest": 10, "brightest": 240, "blur": 0.3, "pdq_quality": 100}
PDQ, OTHER = bytes(range(32)), bytes([0x55] * 32)


def flipped(code: bytes, bits: int) -> bytes:
    """The code with its first bits changed."""
    values = np.unpackbits(np.frombuffer(code, np.uint8))
    values[:bits] ^= 1
    return np.packbits(values).tobytes()


def listed(folder: Path, *entries: str) -> Hygiene:
    (folder / "mine.txt").write_text("\n".join(entries) + "\n\n")
    return Hygiene(placeholder_files=(str(folder / "mine.txt"),))


def judged(hygiene: Hygiene, *rows: dict[str, object]) -> pa.Table:
    table = pa.Table.from_pylist([GOOD | row for row in rows], schema=FINGERPRINTS)
    return checked(table.select(COLUMNS), hygiene)


def test_31_bits_are_a_placeholder_and_32_are_not(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"pdq": flipped(PDQ, bits)} for bits in (0, 31, 32)]
    table = judged(listed(tmp_path, PDQ.hex()), *rows, {"pdq": None})
    assert table["fault"].to_pylist() == ["placeholder", "placeholder", None, None]
    words = table["fault_detail"].to_pylist()
    assert words[1] == f"looks like {PDQ.hex()} in mine.txt, 31 of 256 bits differ"
    assert words[2:] == [None, None]
    assert bits_of(table["fault_detail"])[:2].to_pylist() == [0, 31]


def test_what_is_inside_a_frame_is_compared_too(tmp_path: Path) -> None:
    framed = {"pdq": OTHER, "trimmed_pdq": flipped(PDQ, 5), "trimmed_pdq_quality": 60}
    table = judged(listed(tmp_path, PDQ.hex()), framed, framed | {"trimmed_pdq_quality": 19})
    assert table["fault"].to_pylist() == ["placeholder", None]
    assert table["fault_detail"][0].as_py() == f"looks like {PDQ.hex()} in mine.txt, 5 of 256 bits differ"


def test_the_nearest_entry_is_named(tmp_path: Path) -> None:
    far, near = flipped(PDQ, 20), flipped(PDQ, 3)
    for entries in ((far, near), (near, far)):
        table = judged(listed(tmp_path, *(each.hex() for each in entries)), {"pdq": PDQ})
        assert table["fault_detail"][0].as_py() == f"looks like {near.hex()} in mine.txt, 3 of 256 bits differ"


def test_hashes_of_flat_pictures_mean_nothing(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"pdq": PDQ, "pdq_quality": quality} for quality in (19, 20, None)]
    table = judged(listed(tmp_path, PDQ.hex()), *rows)
    assert table["fault"].to_pylist() == [None, "placeholder", "placeholder"]  # a list's hashes have no quality


def test_a_flat_picture_is_known_by_its_digest() -> None:
    flat = next(each for each in shipped() if not each.pdq)
    sharp = next(each for each in shipped() if each.pdq)
    rows: list[dict[str, object]] = [
        {"sha256": flat.sha256, "pdq_quality": 0, "pdq": OTHER},
        {"sha256": bytes(32), "pdq": OTHER},
        {"sha256": bytes(32), "pdq": sharp.pdq[0]},
    ]
    table = judged(Hygiene(), *rows)
    assert table["fault"].to_pylist() == ["placeholder", None, "placeholder"]
    assert table["fault_detail"][0].as_py() == f"is {flat.name}, byte for byte"
    assert bits_of(table["fault_detail"])[0].as_py() == 0


def test_a_small_placeholder_is_called_a_placeholder(tmp_path: Path) -> None:
    table = judged(listed(tmp_path, PDQ.hex()), {"pdq": PDQ, "width": 8})
    assert table["fault"].to_pylist() == ["placeholder"]


def test_keep_looks_for_none(tmp_path: Path) -> None:
    hygiene = listed(tmp_path, PDQ.hex()).model_copy(update={"placeholders": "keep"})
    known = next(each for each in shipped())
    table = judged(hygiene, {"pdq": PDQ}, {"sha256": known.sha256})
    assert table["fault"].to_pylist() == [None, None]
    assert Placeholders.of(hygiene).identity == ""


def test_a_fault_from_before_stays(tmp_path: Path) -> None:
    table = judged(listed(tmp_path, PDQ.hex()), {"pdq": PDQ, "fault": "blocked", "fault_detail": "by hand"})
    assert table["fault_detail"].to_pylist() == ["by hand"]


def test_a_column_of_parquet_will_do(tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["x"], "hash": [PDQ]}), tmp_path / "mine.parquet")
    table = judged(Hygiene(placeholder_files=(f"{tmp_path}/mine.parquet:hash",)), {"pdq": PDQ})
    assert table["fault"].to_pylist() == ["placeholder"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("00ff", r"entry 2 of mine.txt is no pdq: '00ff'; it must be 64 hexadecimal digits"),
        ("picture.jpg", r"entry 2 of mine.txt is no pdq: 'picture.jpg'; it must be 64 hexadecimal digits"),
    ],
)
@pytest.mark.parametrize("placeholders", ["keep", "quarantine"])
def test_a_bad_list_is_refused_at_once(entry: str, said: str, placeholders: str, tmp_path: Path) -> None:
    hygiene = listed(tmp_path, PDQ.hex(), entry).model_copy(update={"placeholders": placeholders})
    with pytest.raises(UsageError, match=said):
        Placeholders.of(hygiene)


def test_a_list_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"placeholder file .*nowhere.txt cannot be read: .*; check its name"):
        Placeholders.of(Hygiene(placeholder_files=("nowhere.txt",)))


def test_identity_changes_with_the_lists_and_instances_travel(tmp_path: Path) -> None:
    found = {Placeholders.of(Hygiene()).identity}
    for entries in ((PDQ.hex(),), (PDQ.hex(), OTHER.hex())):
        known = Placeholders.of(listed(tmp_path, *entries))
        found.add(known.identity)
        assert pickle.loads(pickle.dumps(known)) == known
    assert len(found) == 3


def test_an_empty_table_stays_empty() -> None:
    assert judged(Hygiene()).num_rows == 0


def test_the_table_that_comes_with_the_package_is_well_formed() -> None:
    with TABLE.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(shipped()) >= 50
    assert len({row["sha256"] for row in rows}) == len(rows)
    assert len({(row["package"], row["file"]) for row in rows}) == len(rows)
    for row in rows:
        assert re.fullmatch(r"[0-9a-f]{64}", row["sha256"]), row
        assert re.fullmatch(r"[0-9a-f]{64}", row["pdq"]), row
        assert 0 <= int(row["quality"]) <= 100, row
        assert all(row[name].strip() for name in ("name", "package", "version", "file")), row
        assert (row["trimmed_pdq"] == "") == (row["trimmed_quality"] == "0"), row
        assert re.fullmatch(r"([0-9a-f]{64})?", row["trimmed_pdq"]), row
    compared = [code for each in shipped() for code in each.pdq]
    qualities = [int(row[name]) for row in rows for name in ("quality", "trimmed_quality")]
    assert len(compared) == sum(quality >= MIN_QUALITY for quality in qualities)
    assert len(compared) > 50

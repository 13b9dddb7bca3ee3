"""Broken input ends no run: each sample is accounted for, with a reason out of the closed list."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedupkit
from dedupkit.recipe import Limits, Recipe
from tests.conftest import draw_picture
from tests.integration.conftest import encoded, write_shards

if TYPE_CHECKING:
    from pathlib import Path


def decisions_of(source: object, out: Path, recipe: Recipe | None = None) -> dict[str, dict[str, object]]:
    """Decisions by key, after the counts were checked to add up."""
    result = dedupkit.clean(source, out, recipe=recipe)
    samples = result.summary["samples"]
    assert samples["in"] == samples["kept"] + samples["dropped"] + samples["quarantined"]
    assert len(result.dataset()) == samples["kept"]
    return {row["key"]: row for row in result.decisions().to_pylist()}


def png_header(width: int, height: int) -> bytes:
    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_a_folder_of_broken_files(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    jpeg, png = encoded(draw_picture(1)), encoded(draw_picture(2), "PNG")
    files = {
        "fine.jpg": jpeg,
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2],
        "page.jpg": b"<!doctype html><title>404</title>",
        "nothing.png": b"",
        "bomb.png": png_header(60000, 60000),
        "noise.webp": bytes(range(256)) * 4,
        "headless.png": b"\x89PNG\r\n\x1a\n",
    }
    for name, data in files.items():
        (photos / name).write_bytes(data)
    (photos / "dangling.jpg").symlink_to(photos / "gone.jpg")
    (photos / "metadata.jsonl").write_text('{"file_name": "fine.jpg", "text": "fine"}\n{"file_name": "lost.jpg"}\n')
    decisions = decisions_of(str(photos), tmp_path / "out")
    assert {key: row["reason"] for key, row in decisions.items()} == {
        "fine.jpg": "unique",
        "cut.jpg": "truncated_image",
        "cut.png": "truncated_image",
        "page.jpg": "not_an_image",
        "nothing.png": "empty_image",
        "bomb.png": "too_many_pixels",
        "noise.webp": "not_an_image",
        "headless.png": "corrupt_image",
        "dangling.jpg": "unreadable_file",
        "lost.jpg": "missing_image",
    }
    assert all(row["detail"] for row in decisions.values() if row["action"] == "quarantine")


def test_a_tar_with_missing_members_and_bad_captions(tmp_path: Path) -> None:
    members = {
        "a.jpg": encoded(draw_picture(1)),
        "a.txt": b"caf\xe9 \xff",
        "a.json": b'{"url": "http://a"}',
        "b.txt": b"no image here",
        "c.jpg": encoded(draw_picture(2)),
        "d.jpg": encoded(draw_picture(3)),
        "d.txt": b"d",
        "d.json": b"{broken",
    }
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    decisions = decisions_of(str(tmp_path / "00000.tar"), tmp_path / "out")
    assert {key: row["reason"] for key, row in decisions.items()} == {
        "a": "unique", "b": "missing_image", "c": "unique", "d": "unique",
    }  # fmt: skip
    assert decisions["a"]["notes"] == ["caption_not_utf8"]
    assert set(decisions["c"]["notes"]) == {"caption_missing", "metadata_missing"}  # type: ignore[call-overload]
    assert decisions["d"]["notes"] == ["metadata_invalid"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_tar_that_ends_early_costs_its_rest_and_says_so(tmp_path: Path, share: float) -> None:
    planted = write_shards(tmp_path / "shards", 2, 10)
    whole = (planted.folder / "00001.tar").read_bytes()
    (planted.folder / "00001.tar").write_bytes(whole[: int(len(whole) * share)])
    decisions = decisions_of(str(planted.folder), tmp_path / "out")
    damaged = [row for row in decisions.values() if row["reason"] == "damaged_shard"]
    assert [row["shard"] for row in damaged] == ["00001"]
    assert sum(row["shard"] == "00000" for row in decisions.values()) == planted.samples // 2


def test_a_tar_damaged_in_the_middle_does_not_pass_for_whole(tmp_path: Path) -> None:
    planted = write_shards(tmp_path / "shards", 1, 10)
    data = bytearray((planted.folder / "00000.tar").read_bytes())
    middle = len(data) // 2 // 512 * 512
    data[middle : middle + 4096] = b"\xa5" * 4096
    (planted.folder / "00000.tar").write_bytes(data)
    reasons = {str(row["reason"]) for row in decisions_of(str(planted.folder), tmp_path / "out").values()}
    assert reasons & {"damaged_shard", "corrupt_image", "truncated_image"}


def test_damaged_parquet_beside_a_whole_one(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    images = [{"bytes": encoded(draw_picture(number)), "path": None} for number in range(6)]
    table = pa.table({"key": [f"k{number}" for number in range(6)], "image": images, "caption": ["c"] * 6})
    pq.write_table(table, folder / "a.parquet")
    whole = (folder / "a.parquet").read_bytes()
    (folder / "b.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "c.parquet").write_bytes(b"PAR1 nothing of the kind PAR1")
    decisions = decisions_of(str(folder), tmp_path / "out")
    assert sorted(row["reason"] for row in decisions.values()) == ["damaged_shard"] * 2 + ["unique"] * 6  # type: ignore[type-var]


def test_null_and_foreign_values_in_a_table(tmp_path: Path) -> None:
    images = [encoded(draw_picture(1)), None, b"", b"GIF89a"]
    pq.write_table(
        pa.table({"image": pa.array(images, pa.binary()), "text": ["a", None, "c", "d"]}), tmp_path / "t.parquet"
    )
    decisions = decisions_of(str(tmp_path / "t.parquet"), tmp_path / "out")
    assert [row["reason"] for row in decisions.values()] == ["unique", "missing_image", "empty_image", "corrupt_image"]


def test_limits_of_the_recipe_are_obeyed(tmp_path: Path) -> None:
    samples = [
        {"key": "small", "image": encoded(draw_picture(1, 64, 64), "PNG")},
        {"key": "wide", "image": encoded(draw_picture(2, 400, 100), "PNG")},
        {"key": "heavy", "image": encoded(draw_picture(3, 64, 64), "BMP")},
    ]
    limits = Limits(max_pixels=100 * 100, max_bytes=len(samples[0]["image"]) + 1000)
    decisions = decisions_of(samples, tmp_path / "out", Recipe(limits=limits))
    reasons = {key: row["reason"] for key, row in decisions.items()}
    assert reasons["small"] == "unique"
    assert {reasons["wide"], reasons["heavy"]} <= {"too_many_pixels", "too_many_bytes"}


def test_a_set_with_nothing_usable_still_ends_in_a_loadable_dataset(tmp_path: Path) -> None:
    decisions = decisions_of([{"key": "a", "image": b"x"}, {"key": "b", "image": b""}], tmp_path / "out")
    assert {row["action"] for row in decisions.values()} == {"quarantine"}


@pytest.mark.parametrize("source", [[], iter(())])
def test_an_empty_source_is_the_callers_mistake(source: object, tmp_path: Path) -> None:
    with pytest.raises(dedupkit.UsageError, match="no samples"):
        dedupkit.clean(source, tmp_path / "out")


def test_hostile_keys_and_captions_stay_inside_the_output(tmp_path: Path) -> None:
    samples = [
        {"key": "../../escape", "image": encoded(draw_picture(1)), "caption": "<script>alert(1)</script>"},
        {"key": "/absolute", "image": encoded(draw_picture(2)), "caption": "\u202ertl"},
        {"key": "nul\0byte", "image": encoded(draw_picture(3)), "caption": "x" * 100_000},
        {"key": "copy<b>", "image": encoded(draw_picture(1), quality=60), "caption": "{{ 7 * 7 }}"},
    ]
    from dedupkit.recipe import Output

    recipe = Recipe(output=Output(formats=("arrow", "parquet", "webdataset")))
    decisions = decisions_of(samples, tmp_path / "box" / "out", recipe)
    assert set(decisions) == {sample["key"] for sample in samples}
    assert [path.name for path in tmp_path.iterdir()] == ["box"]
    assert [path.name for path in (tmp_path / "box").iterdir()] == ["out"]
    page = (tmp_path / "box" / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "copy<b>" not in page

"""A source that is written to while a run reads it: found and said in one line, and the next run takes it as it is."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedupkit
from dedupkit import Recipe, RunError
from dedupkit.journey import Journey
from tests.conftest import draw_picture
from tests.integration.conftest import encoded, write_shards
from tests.integration.store_servers import digests, local_contents, running_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FAST = Recipe.of({"preset": "fast"}, name="test")
PICTURES = [encoded(draw_picture(number)) for number in range(4)]


def cleaned(source: Path | str, out: Path, recipe: Recipe = FAST) -> dict[str, str]:
    """What a run leaves, but for what names the source's place."""
    dedupkit.clean(source, out, recipe=recipe)
    left = digests(local_contents(out))
    return {name: made for name, made in left.items() if not name.endswith(("report.html", "report.json", "README.md"))}


def between_the_passes(happens: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something happen after all was fingerprinted and before anything is written."""
    decide = Journey.decide

    def change_then_decide(self: Journey, *arguments: Any) -> Any:
        happens()
        return decide(self, *arguments)

    monkeypatch.setattr(Journey, "decide", change_then_decide)


def refused_then_mended(
    source: Path,
    named: str,
    happens: Callable[[], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: Recipe = FAST,
) -> None:
    """The run ends in one line that names the shard; the next leaves what a first run over the source leaves."""
    with monkeypatch.context() as patch:
        between_the_passes(happens, patch)
        with pytest.raises(RunError, match=rf"^{named} changed while it was read.*; run again when nobody writes to"):
            dedupkit.clean(source, tmp_path / "out", recipe=recipe)
    assert not (tmp_path / "out" / "report.json").exists()
    assert cleaned(source, tmp_path / "out", recipe) == cleaned(source, tmp_path / "fresh", recipe)


def rewritten(tar: Path, change: Callable[[str, bytes], bytes]) -> None:
    """A tar with other contents of its members, under the same name and with the same number of samples."""
    with tarfile.open(tar) as old:
        members = {member.name: old.extractfile(member).read() for member in old}  # type: ignore[union-attr]
    with tarfile.open(tar, "w") as new:
        for name, data in members.items():
            data = change(name, data)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))


def other_image(name: str, data: bytes) -> bytes:
    return encoded(draw_picture(99)) if name == "0010002.jpg" else data


def other_field(name: str, data: bytes) -> bytes:
    return json.dumps(json.loads(data) | {"similarity": 0.9}).encode() if name.endswith(".json") else data


@pytest.mark.parametrize("change", [other_image, other_field])
def test_a_tar_that_is_written_anew(
    change: Callable[[str, bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = write_shards(tmp_path / "shards", 2, 4).folder / "00001.tar"
    refused_then_mended(tar.parent, "00001", lambda: rewritten(tar, change), tmp_path, monkeypatch)


def test_a_tar_that_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = write_shards(tmp_path / "shards", 2, 4).folder / "00001.tar"
    refused_then_mended(tar.parent, "00001", tar.unlink, tmp_path, monkeypatch)


def test_a_tar_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = write_shards(tmp_path / "shards", 2, 4).folder / "00001.tar"

    def grow() -> None:
        with tarfile.open(tar, "a") as file:
            info = tarfile.TarInfo("0019999.jpg")
            info.size = len(PICTURES[0])
            file.addfile(info, io.BytesIO(PICTURES[0]))

    refused_then_mended(tar.parent, "00001", grow, tmp_path, monkeypatch)


def write_folder(folder: Path) -> Path:
    folder.mkdir()
    for number, data in enumerate(PICTURES):
        (folder / f"{number}.jpg").write_bytes(data)
        (folder / f"{number}.json").write_text(json.dumps({"caption": f"picture {number}", "rating": number}))
    return folder


def test_an_image_file_that_is_replaced_or_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "set")
    replace = lambda: (folder / "2.jpg").write_bytes(encoded(draw_picture(77)))  # noqa: E731
    refused_then_mended(folder, "0.jpg", replace, tmp_path, monkeypatch)
    for out in ("out", "fresh"):
        shutil.rmtree(tmp_path / out)
    refused_then_mended(folder, "0.jpg", (folder / "3.jpg").unlink, tmp_path, monkeypatch)


def test_fields_beside_an_image_that_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "set")
    write = lambda: (folder / "2.json").write_text(json.dumps({"caption": "picture 2", "rating": 99}))  # noqa: E731
    refused_then_mended(folder, "0.jpg", write, tmp_path, monkeypatch)
    assert dedupkit.Result.open(tmp_path / "out").dataset()["rating"][:] == [0, 1, 99, 3]


def test_an_image_that_is_added_to_a_folder_is_the_next_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "set")
    before = cleaned(folder, tmp_path / "before")
    with monkeypatch.context() as patch:
        between_the_passes(lambda: (folder / "9.jpg").write_bytes(encoded(draw_picture(9))), patch)
        assert cleaned(folder, tmp_path / "out") == before
    assert dedupkit.clean(folder, tmp_path / "out", recipe=FAST).summary["samples"]["in"] == 5
    assert cleaned(folder, tmp_path / "out") == cleaned(folder, tmp_path / "fresh")


def write_rows(file: Path, ratings: list[int], images: list[bytes] = PICTURES) -> None:
    pq.write_table(pa.table({"image": images, "caption": [f"c{each}" for each in ratings], "rating": ratings}), file)


def test_a_table_whose_other_columns_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "set.parquet"
    write_rows(file, [0, 1, 2, 3])
    refused_then_mended(file, "set.parquet", lambda: write_rows(file, [5, 6, 7, 8]), tmp_path, monkeypatch)


def test_a_table_that_is_cut_short_under_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "set.parquet"
    write_rows(file, [0, 1, 2, 3])
    with monkeypatch.context() as patch:
        between_the_passes(lambda: os.truncate(file, file.stat().st_size // 2), patch)
        with pytest.raises(RunError, match=r"set\.parquet changed while it was read"):
            dedupkit.clean(file, tmp_path / "out", recipe=FAST)
    write_rows(file, [0, 1, 2, 3])
    assert cleaned(file, tmp_path / "out") == cleaned(file, tmp_path / "fresh")


def test_a_list_whose_rows_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, codes = tmp_path / "list.parquet", [f"{number * 0x1111111111111111:016x}" for number in range(1, 5)]

    def write(captions: str) -> None:
        pq.write_table(pa.table({"phash": codes, "caption": [f"{captions} {number}" for number in range(4)]}), file)

    write("before")
    recipe = Recipe.of({"preset": "fast", "source": {"hash_column": "phash"}}, name="test")
    refused_then_mended(file, "list.parquet", lambda: write("after"), tmp_path, monkeypatch, recipe)


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_a_tar_on_a_store_whose_fields_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = write_shards(tmp_path / "shards", 2, 3).folder / "00001.tar"
    with running_store():
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        store.put(str(tar.parent), "bucket/shards", recursive=True)

        def change() -> None:
            rewritten(tar, other_field)
            store.put_file(str(tar), "bucket/shards/00001.tar")

        between_the_passes(change, monkeypatch)
        with pytest.raises(RunError, match=r"^00001(\.tar)? changed while it was read; run again"):
            dedupkit.clean("s3://bucket/shards", tmp_path / "out", recipe=FAST)

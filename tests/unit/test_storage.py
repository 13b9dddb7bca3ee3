"""Atomic writing and receipts, on a local folder and on an object store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fsspec
import pytest

from dedupkit.storage import Folder, Stage, digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    yield Folder(str(tmp_path / "work") if request.param == "local" else "memory://work")
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pseudo_dirs[:] = [""]


@pytest.fixture
def stage(folder: Folder) -> Stage:
    return Stage(folder.below("parts"), folder.below("receipts"))


def read(folder: Folder, name: str) -> bytes:
    with folder.reading(name) as handle:
        return handle.read()


def write_half(folder: Folder, name: str, error: BaseException) -> None:
    with folder.writing(name) as handle:
        handle.write(b"half")
        raise error


def made(stage: Stage, name: str, inputs: dict[str, str], data: bytes = b"some bytes") -> None:
    stage.parts.write_bytes(name, data)
    stage.commit(name, inputs, {"rows": len(data)})


def test_what_is_written_is_read(folder: Folder) -> None:
    folder.write_bytes("deep/er/a.bin", b"\0\1")
    folder.write_json("b.json", {"é": [1, None]})
    assert read(folder, "deep/er/a.bin") == b"\0\1"
    assert folder.read_json("b.json") == {"é": [1, None]}
    assert folder.size("deep/er/a.bin") == 2
    assert folder.names() == ["b.json", "deep"]
    assert folder.below("deep").names() == ["er"]
    assert folder.exists("deep/er/a.bin")
    assert not folder.exists("c")


def test_an_exception_in_the_block_leaves_nothing(folder: Folder) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_half(folder, "a.bin", KeyboardInterrupt())
    assert not folder.exists("a.bin")
    assert folder.names() == []


def test_an_exception_in_the_block_leaves_the_old_file(folder: Folder) -> None:
    folder.write_bytes("a.bin", b"old")
    with pytest.raises(OSError, match="disk full"):
        write_half(folder, "a.bin", OSError("disk full"))
    assert read(folder, "a.bin") == b"old"
    assert folder.names() == ["a.bin"]


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path), durable=False)
    with folder.writing("a.bin") as handle:
        handle.write(b"first")
        assert not folder.exists("a.bin")
    assert read(folder, "a.bin") == b"first"
    with folder.writing("a.bin") as handle:
        handle.write(b"second")
        handle.flush()
        assert read(folder, "a.bin") == b"first"
    assert read(folder, "a.bin") == b"second"
    assert folder.names() == ["a.bin"]


def test_removing_takes_files_and_folders_and_asks_for_none(folder: Folder) -> None:
    folder.write_bytes("a/b/c", b"1")
    folder.write_bytes("d", b"1")
    for name in ("a", "d", "never there"):
        folder.remove(name)
    assert folder.names() == []
    assert folder.below("nowhere").names() == []


def test_a_part_with_its_receipt_is_not_stale(stage: Stage) -> None:
    made(stage, "a", {"source": "1", "recipe": "x"})
    assert stage.stale("a", {"recipe": "x", "source": "1"}) is None
    assert stage.report("a") == {"rows": 10}


def test_a_stale_part_names_the_inputs_that_changed(stage: Stage) -> None:
    made(stage, "a", {"source": "1", "recipe": "x", "old": "o"})
    assert stage.stale("a", {"source": "2", "recipe": "x", "old": "o"}) == ["source"]
    assert stage.stale("a", {"source": "2", "recipe": "y", "new": "n"}) == ["new", "old", "recipe", "source"]


def test_a_part_without_a_receipt_or_a_receipt_without_a_part_does_not_count(stage: Stage) -> None:
    assert stage.stale("a", {}) == []
    stage.parts.write_bytes("a", b"1")
    assert stage.stale("a", {}) == []
    made(stage, "b", {})
    stage.parts.remove("b")
    assert stage.stale("b", {}) == []


@pytest.mark.parametrize("data", [b"", b"some byte", b"some bytes and more"])
def test_a_part_of_another_size_does_not_count(stage: Stage, data: bytes) -> None:
    made(stage, "a", {"source": "1"})
    stage.parts.write_bytes("a", data)
    assert stage.stale("a", {"source": "1"}) == []


def test_a_receipt_that_is_written_half_does_not_count(stage: Stage) -> None:
    made(stage, "a", {"source": "é"})
    receipt = read(stage.receipts, "a.json")
    for cut in range(len(receipt) - 2):  # without the last brace and line end
        stage.receipts.write_bytes("a.json", receipt[:cut])
        assert stage.stale("a", {"source": "é"}) == []


@pytest.mark.parametrize("receipt", [b"\0" * 80, b"\xff\xfe", b"{}", b"null", b"[1]", b'{"byte_size": 10}'])
def test_a_receipt_that_says_nothing_does_not_count(stage: Stage, receipt: bytes) -> None:
    made(stage, "a", {"source": "1"})
    stage.receipts.write_bytes("a.json", receipt)
    assert stage.stale("a", {"source": "1"}) == []


def test_others_are_discarded_with_their_receipts_and_what_was_written_half(stage: Stage) -> None:
    for name in ("a.parquet", "b.parquet", "c.parquet"):
        made(stage, name, {})
    stage.parts.write_bytes("a.parquet.123.partial", b"half")
    stage.receipts.write_bytes("a.parquet.json.123.partial", b"half")
    stage.discard_others(["a.parquet", "c.parquet"])
    assert stage.parts.names() == ["a.parquet", "c.parquet"]
    assert stage.receipts.names() == ["a.parquet.json", "c.parquet.json"]
    stage.discard_others([])
    assert stage.parts.names() == stage.receipts.names() == []


def test_a_digest_depends_on_the_value_and_not_on_its_order() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2}) != digest([["a", 2]])
    # printf '{"a":1}' | sha256sum
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad808"

"""Parts of a stage: made once, used again, made anew for what changed."""

from __future__ import annotations

import hashlib
import logging
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from dedupkit.parts import Part, Progress, make_parts, read_table, write_table
from dedupkit.storage import Folder, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


class OneAfterTheOther:
    """An engine that runs tasks here and now, in their order."""

    in_this_process = on_this_machine = True

    def memory_of_set(self) -> int | None:
        return None

    def threads_a_task(self, items: int) -> int:
        return 1

    def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        for item in items:
            yield item, task(item)


class Writer:
    """Makes a part of its item's text and remembers what it was asked for."""

    def __init__(self, fails_at: str = "") -> None:
        self.asked: list[str] = []
        self.fails_at = fails_at

    def __call__(self, item: str, handle: IO[bytes]) -> dict[str, Any]:
        self.asked.append(item)
        handle.write(item.encode())
        if item == self.fails_at:
            raise OSError("disk full")
        return {"rows": len(item)}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(Folder(str(tmp_path / "parts"), durable=False), Folder(str(tmp_path / "receipts"), durable=False))


def parts(**items: str) -> list[Part]:
    return [Part(name, {"item": item, "stage": "1"}, item) for name, item in items.items()]


def make(stage: Stage, wanted: list[Part], writer: Writer, seen: list[Progress] | None = None) -> list[Any]:
    observe = (lambda progress: None) if seen is None else seen.append
    return make_parts("test", stage, wanted, writer, OneAfterTheOther(), observe)


def content(stage: Stage) -> dict[str, bytes]:
    found = {}
    for name in stage.parts.names():
        with stage.parts.reading(name) as handle:
            found[name] = handle.read()
    return found


def test_parts_are_made_and_reported_in_their_order(stage: Stage) -> None:
    reports = make(stage, parts(b="two", a="eleven"), Writer())
    assert [report["rows"] for report in reports] == [3, 6]
    assert [report["sha256"] for report in reports] == [
        hashlib.sha256(text).hexdigest() for text in (b"two", b"eleven")
    ]
    assert content(stage) == {"a": b"eleven", "b": b"two"}


def test_what_is_there_is_used_again(stage: Stage) -> None:
    first = make(stage, parts(a="one", b="three"), Writer())
    writer = Writer()
    assert make(stage, parts(a="one", b="three"), writer) == first
    assert writer.asked == []


def test_only_what_changed_is_made_anew_and_others_go(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    make(stage, parts(a="one", b="two", c="three"), Writer())
    for name in ("b.12-7.partial", "data-00009.arrow", "readers-own"):
        stage.parts.write_bytes(name, b"")
    writer = Writer()
    with caplog.at_level(logging.INFO, logger="dedupkit"):
        make(stage, parts(a="one", b="four", d="five"), writer)
    assert writer.asked == ["four", "five"]
    assert content(stage) == {"a": b"one", "b": b"four", "d": b"five", "readers-own": b""}
    assert stage.receipts.names() == ["a.json", "b.json", "d.json"]
    assert [record.getMessage() for record in caplog.records] == [
        "test: 1 of 3 parts used again",
        "test: 1 parts made again, for what changed: item",
    ]


def test_a_damaged_part_is_made_anew(stage: Stage) -> None:
    make(stage, parts(a="one", b="two"), Writer())
    stage.parts.write_bytes("b", b"")
    writer = Writer()
    make(stage, parts(a="one", b="two"), writer)
    assert writer.asked == ["two"]


def test_a_failing_task_leaves_the_parts_before_it(stage: Stage) -> None:
    wanted = parts(a="one", b="bad", c="three")
    with pytest.raises(OSError, match="disk full"):
        make(stage, wanted, Writer(fails_at="bad"))
    assert content(stage) == {"a": b"one"}
    writer = Writer()
    make(stage, wanted, writer)
    assert writer.asked == ["bad", "three"]
    assert content(stage) == {"a": b"one", "b": b"bad", "c": b"three"}


def test_what_a_lost_worker_wrote_half_is_gone_when_the_stage_ends(stage: Stage) -> None:
    class LosesWorkers(OneAfterTheOther):
        """Makes each part again whose worker was killed while it wrote it, as Ray does."""

        def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
            for folder in (stage.parts, stage.receipts):
                folder.write_bytes("a.1-2.partial", b"half")
            yield from super().map(task, items)

    make_parts("test", stage, parts(a="one"), Writer(), LosesWorkers(), lambda _: None)
    assert stage.parts.names() == ["a"]
    assert stage.receipts.names() == ["a.json"]


def test_progress_counts_parts_and_samples(stage: Stage) -> None:
    seen: list[Progress] = []
    make(stage, parts(a="one"), Writer())
    make(stage, parts(a="one", b="four", c="seven"), Writer(), seen)
    assert seen == [Progress("test", 1, 3, 0), Progress("test", 2, 3, 4), Progress("test", 3, 3, 9)]


def test_no_parts_are_no_work(stage: Stage) -> None:
    make(stage, parts(a="one"), Writer())
    assert make(stage, [], Writer()) == []
    assert content(stage) == {}


def test_a_table_is_read_as_it_was_written(stage: Stage) -> None:
    table = pa.table({"x": [1, None, 3], "y": ["a", "b", None]}).replace_schema_metadata({"k": "v"})
    with stage.parts.writing("t") as handle:
        assert write_table(table, handle)["rows"] == 3
    assert read_table(stage, "t").equals(table, check_metadata=True)
    assert read_table(stage, "t", ["y"]).to_pydict() == {"y": ["a", "b", None]}

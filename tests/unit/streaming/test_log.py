"""The log of a stream, held against a list."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.matching.geometry import View
from dedupkit.streaming.log import KEPT, Log, packed_view, unpacked_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

A_FILE = 4


def view(number: int) -> View:
    rng = np.random.default_rng(number)
    points = int(rng.integers(0, 9))
    return View(
        rng.integers(0, 256, (7, 5 + number % 3), np.uint8),
        rng.random((points, 4), np.float32),
        rng.integers(0, 256, (points, 32), np.uint8),
        rng.integers(0, 256, (points, 32), np.uint8),
        float(np.float32(rng.random())),
    )


def entries(start: int, stop: int) -> pa.Table:
    columns = {name: pa.nulls(stop - start, KEPT.field(name).type) for name in KEPT.names[:-2]}
    columns["position"] = pa.array(range(start, stop), pa.uint64())
    columns["key"] = pa.array(map(str, range(start, stop)), pa.string())
    return pa.table(columns)


def parts(start: int, count: int) -> Iterator[tuple[int, int]]:
    """Cut where a file ends."""
    while count:
        size = min(count, A_FILE - start % A_FILE)
        yield start, start + size
        start, count = start + size, count - size


def held(folder: Path, low: int = 0) -> list[int]:
    """What a new reader finds; its views are those of its numbers."""
    log = Log(folder, A_FILE)
    found = []
    for table in log.fresh(low):
        for row in table.to_pylist():
            seen, number = log.view(row["position"], row["view_at"], row["view_bytes"]), row["position"]
            assert (seen is None) == (number % 3 == 0)
            if seen is not None:
                assert packed_view(seen) == packed_view(view(number))
            found.append(number)
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["append", "cut", "tear", "forget"]), st.integers(0, 11)), max_size=12))
def test_a_log_holds_what_was_appended_and_neither_cut_nor_forgotten(steps: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as name:
        folder, stop, low = Path(name), 0, 0
        for step, amount in steps:
            log = Log(folder, A_FILE)
            _ = list(log.fresh(0))
            log.mend()
            if step == "append":
                for first, last in parts(stop, amount):
                    views = [None if number % 3 == 0 else view(number) for number in range(first, last)]
                    log.append(entries(first, last), views)
                stop += amount
            elif step == "cut":
                stop = max(low, stop - amount)
                log.cut(stop)
            elif step == "tear" and log.files():
                torn = b"\x20\0\0\0\1\2\3\4half"[: amount + 1] if amount % 2 else bytes(3 * amount)
                with (folder / f"{log.files()[-1]:08d}.kept").open("ab") as handle:
                    handle.write(
                        torn
                    )  # what a process wrote half, and what a loss of power leaves of what was not flushed
            elif step == "forget":
                low = max(low, min(stop, low + amount))
                log.forget(low)
            assert [number for number in held(folder) if number >= low] == list(range(low, stop))
            assert len(Log(folder, A_FILE).files()) <= (stop - low) // A_FILE + 2


def test_a_reader_is_told_of_each_entry_once(tmp_path: Path) -> None:
    writer, reader = Log(tmp_path, A_FILE), Log(tmp_path, A_FILE)
    told: list[int] = []
    for start in range(0, 12, 2):
        writer.append(entries(start, start + 2), [None, None])
        told += [number for table in reader.fresh(0) for number in table["position"].to_pylist()]
    assert told == list(range(12))
    assert list(writer.fresh(0)) == []


def test_a_view_is_the_same_after_it_was_packed() -> None:
    for number in range(6):
        before, after = view(number), unpacked_view(packed_view(view(number)))
        assert after is not None
        for name in ("gray", "points", "codes", "mirrored_codes", "entropy"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("harm", [cut, zeros, Path.unlink])
def test_a_view_that_was_not_flushed_before_a_loss_of_power_is_none(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    log = Log(tmp_path, A_FILE)
    kept = log.append(entries(0, 1), [view(1)]).to_pylist()[0]
    harm(tmp_path / "00000000.views")
    assert [table.num_rows for table in Log(tmp_path, A_FILE).fresh(0)] == [1]
    assert Log(tmp_path, A_FILE).view(0, kept["view_at"], kept["view_bytes"]) is None


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs to know which file a handle is of")
def test_what_a_state_counts_on_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed, real = list[str](), os.fsync

    def fsync(handle: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    log = Log(tmp_path, A_FILE)
    for start in (0, 4):
        log.append(entries(start, start + 4), [view(1), None, None, None])
    log.flush()
    names = [f"{number:08d}.{kind}" for number in (0, 1) for kind in ("kept", "views")]
    assert sorted(flushed) == sorted([str(tmp_path), *(str(tmp_path / name) for name in names)])
    log.flush()
    assert len(flushed) == 6

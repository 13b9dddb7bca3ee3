"""What a stream kept, in files that are only ever appended to: what it is searched by, and what geometry looks at.

Entries are numbered in the order in which they were kept.  A file holds a fixed number of them, so that the oldest are
forgotten by removing a file.  A record counts when its length and checksum are right: half of one, which a process that
was killed left, is cut off by the next.  A view has a checksum too: after a loss of power it may be that a record is
whole and its view is not, and then nothing is proved by it.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dedupkit.disk import flush_directory
from dedupkit.matching.geometry import View
from dedupkit.matching.stage import COLUMNS
from dedupkit.sample import FINGERPRINTS
from dedupkit.stores import failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOG_VERSION = "2"
_RECORD = struct.Struct("<II")  # length and CRC-32 of what follows
_VIEW = struct.Struct("<IHHIf")  # CRC-32 of what follows, height, width, points, entropy
_CHECKSUM_BYTES, _POINT_BYTES, _CODE_BYTES = 4, 16, 32
KEPT = pa.schema(
    [
        *(FINGERPRINTS.field(name) for name in (*COLUMNS, "descriptor", "key")),
        pa.field("view_at", pa.uint64()),  # where its view begins in the file of views
        pa.field("view_bytes", pa.uint32()),  # 0 where there is none
    ]
)


@dataclass(slots=True)
class Log:
    """The files of one stream.

    Attributes
    ----------
    folder : Path
        Where they lie.
    entries_a_file : int
        Entries of a file.
    """

    folder: Path
    entries_a_file: int
    _read: dict[int, int] = field(default_factory=dict)  # bytes of each file that were read or written here
    _unflushed: set[int] = field(default_factory=set)

    def append(self, kept: pa.Table, views: Sequence[View | None]) -> pa.Table:
        """Add entries that belong into one file; gives them back with the places of their views.

        Raises
        ------
        RunError
            The disk is full, or cannot be written.
        """
        number = int(kept["position"][0].as_py()) // self.entries_a_file
        try:
            kept = self._with_views(kept, views, self._path(number, "views"))
            data = _serialised(kept)
            with self._path(number, "kept").open("ab") as handle:
                handle.write(_RECORD.pack(len(data), zlib.crc32(data)) + data)
        except OSError as error:  # what stands there half is cut off by the next who holds the lock
            raise failed(f"{self.folder.name} could not be written", error) from error
        self._read[number] = self._read.get(number, 0) + _RECORD.size + len(data)
        self._unflushed.add(number)
        return kept

    def flush(self) -> None:
        """Write all that was added to the device, so that a loss of power takes nothing that a state counts on."""
        paths = [self._path(number, kind) for number in self._unflushed for kind in ("views", "kept")]
        for path in filter(Path.exists, paths):
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
        flush_directory(self.folder)
        self._unflushed.clear()

    def _with_views(self, kept: pa.Table, views: Sequence[View | None], path: Path) -> pa.Table:
        packed = [b"" if view is None else packed_view(view) for view in views]
        sizes = np.array([len(each) for each in packed], np.uint64)
        start = 0
        if sizes.any():
            with path.open("ab") as handle:
                start = handle.tell()
                handle.write(b"".join(packed))
        places = start + np.cumsum(sizes) - sizes
        columns = [*(kept[name] for name in KEPT.names[:-2]), pa.array(places.astype(np.uint64)), pa.array(sizes)]
        return pa.Table.from_arrays(
            [each.cast(kind.type) for each, kind in zip(columns, KEPT, strict=True)], KEPT.names
        )

    def fresh(self, low: int) -> Iterator[pa.Table]:
        """Entries from `low` on that were added since this log was last read or written to here, in their order."""
        for number in self.files():
            if (number + 1) * self.entries_a_file > low:
                for _, table in self._records(number, self._read.get(number, 0)):
                    yield table.filter(pa.array(table["position"].to_numpy() >= low))

    def _records(self, number: int, start: int) -> Iterator[tuple[int, pa.Table]]:
        """Whole records from a byte on, and where each begins."""
        with self._path(number, "kept").open("rb") as handle:
            handle.seek(start)
            while len(head := handle.read(_RECORD.size)) == _RECORD.size:
                size, checksum = _RECORD.unpack(head)
                data = handle.read(size)
                if not size or len(data) < size or zlib.crc32(data) != checksum:  # zeros have the checksum of nothing
                    return
                begin, start = start, start + _RECORD.size + size
                self._read[number] = start
                yield begin, pa.ipc.open_stream(data).read_all()

    def mend(self) -> None:
        """Cut off what a process that was killed wrote half; only who holds the lock, and has read all, may do that."""
        numbers = self.files()
        if numbers and self._path(numbers[-1], "kept").stat().st_size > self._read.get(numbers[-1], 0):
            with self._path(numbers[-1], "kept").open("r+b") as handle:
                handle.truncate(self._read.get(numbers[-1], 0))

    def cut(self, stop: int) -> None:
        """Take out entries from `stop` on."""
        for number in self.files():
            if number * self.entries_a_file >= stop:
                self._remove(number)
            elif (number + 1) * self.entries_a_file > stop:
                self._cut_file(number, stop)
        self._read.clear()

    def _cut_file(self, number: int, stop: int) -> None:
        for begin, table in self._records(number, 0):
            if table["position"][-1].as_py() >= stop:
                rest = table.filter(pa.array(table["position"].to_numpy() < stop))
                with self._path(number, "kept").open("r+b") as handle:
                    handle.truncate(begin)
                    handle.seek(begin)
                    if rest.num_rows:
                        data = _serialised(rest)
                        handle.write(_RECORD.pack(len(data), zlib.crc32(data)) + data)
                return

    def forget(self, low: int) -> None:
        """Remove the files that hold no entry from `low` on."""
        for number in self.files():
            if (number + 1) * self.entries_a_file <= low:
                self._remove(number)

    def view(self, entry: int, at: int, size: int) -> View | None:
        """The view of an entry, if it has one."""
        if not size:
            return None
        try:
            with self._path(entry // self.entries_a_file, "views").open("rb") as handle:
                handle.seek(at)
                return unpacked_view(handle.read(size))
        except FileNotFoundError:
            return None

    def files(self) -> list[int]:
        """Numbers of the files, ascending."""
        return sorted(int(path.stem) for path in self.folder.glob("*.kept"))

    def _remove(self, number: int) -> None:
        self._read.pop(number, None)
        for kind in ("kept", "views"):
            self._path(number, kind).unlink(missing_ok=True)

    def _path(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:08d}.{kind}"


def packed_view(view: View) -> bytes:
    """A view as bytes, 30 KB."""
    head = _VIEW.pack(0, *view.gray.shape, len(view.points), view.entropy)
    parts = (view.gray, view.points, view.codes, view.mirrored_codes)
    data = head[_CHECKSUM_BYTES:] + b"".join(part.tobytes() for part in parts)
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "little") + data


def unpacked_view(data: bytes) -> View | None:
    """The view again; None for what is not whole."""
    checksum = int.from_bytes(data[:_CHECKSUM_BYTES], "little")
    if len(data) < _VIEW.size or zlib.crc32(data[_CHECKSUM_BYTES:]) != checksum:
        return None
    _, height, width, points, entropy = _VIEW.unpack_from(data)
    ends = np.cumsum([_VIEW.size, height * width, points * _POINT_BYTES, points * _CODE_BYTES, points * _CODE_BYTES])
    gray, found, codes, mirrored = (
        np.frombuffer(data, kind, (stop - start) // np.dtype(kind).itemsize, start)
        for kind, start, stop in zip((np.uint8, np.float32, np.uint8, np.uint8), ends[:-1], ends[1:], strict=True)
    )
    return View(
        gray.reshape(height, width), found.reshape(-1, 4), codes.reshape(-1, 32), mirrored.reshape(-1, 32), entropy
    )


def _serialised(table: pa.Table) -> bytes:
    target = pa.BufferOutputStream()
    with pa.ipc.new_stream(target, table.schema) as out:
        out.write_table(table)
    return bytes(target.getvalue())

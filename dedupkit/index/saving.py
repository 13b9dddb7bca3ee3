"""Saving what was added: new files beside the old ones, and the state that names them in their place."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.index.files import File, write_table
from dedupkit.index.kept_views import write_views
from dedupkit.index.snapshot import ENTRIES
from dedupkit.index.stretches import read_stretch, write_means, write_stretch
from dedupkit.matching.seen import Stretch, due_merge
from dedupkit.sample import PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dedupkit.index.snapshot import Snapshot
    from dedupkit.index.state import AddedShard, State

_WRITTEN_FROM = 1 << 14  # entries of a stretch, from which on it goes to a file while more is added
_MOST_IN_ONE_FILE = 1 << 14  # entries whose views are merged: 500 MB


class Saving:
    """Writes the files of one addition; nothing names them before the state that `finished` gives is written."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot, self._folder, self._old = snapshot, snapshot.folder, snapshot.state
        self._trained_at = snapshot.seen.means.trained_at
        self._written: dict[str, File] = {file.name: file for file in snapshot.state.files["search"]}
        self._fresh: set[str] = set()  # written by this addition
        self._number = 0
        snapshot.seen.keep = self._keep

    def finished(
        self,
        tables: Sequence[pa.Table],
        pairs: Sequence[pa.Table],
        shards: Sequence[AddedShard],
        views: Iterator[pa.Table] | None,
    ) -> State:
        """Write the rest, and give the state that names all.

        Parameters
        ----------
        tables : sequence of pyarrow.Table
            The new entries.
        pairs : sequence of pyarrow.Table
            What was found for them.
        shards : sequence of AddedShard
            Where they come from.
        views : iterator of pyarrow.Table, or None
            What geometry needs of them, by entry numbers; None where that is not kept.
        """
        files, stop = dict(self._old.files), self._old.entries + sum(table.num_rows for table in tables)
        files["search"] = self._search_files()
        files["entries"] = self._entries(pa.concat_tables([ENTRIES.empty_table(), *tables]), stop)
        files["pairs"] = self._pairs(pa.concat_tables([PAIRS.empty_table(), *pairs]), stop)
        if views is not None:
            files["views"] = self._views(views, stop)
        seen = self._snapshot.seen
        means = seen.means
        if means.trained_at != self._trained_at:
            files["means"] = (write_means(self._folder, self._name("means"), means),) if len(means.means) else ()
        return self._old.next(
            entries=stop,
            trained_at=means.trained_at,
            recall=seen.recall,
            files=files,
            shards=(*self._old.shards, *shards),
        )

    def _keep(self, stretch: Stretch) -> Stretch:
        """Large stretches go to files at once, so that memory does not grow with what is added."""
        if stretch.name or stretch.stop - stretch.start < _WRITTEN_FROM:
            return stretch
        return self._write(stretch)

    def _write(self, stretch: Stretch) -> Stretch:
        name = f"search-{self._old.generation + 1:06d}-{self._number:04d}.arrow"
        self._number += 1
        self._written[name] = write_stretch(self._folder, name, stretch)
        self._forget_merged()
        self._fresh.add(name)
        return read_stretch(self._folder, self._written[name])

    def _forget_merged(self) -> None:
        """Remove files of this addition that went into later ones, so that it takes no more room than what is added."""
        needed = {stretch.name for stretch in self._snapshot.seen.stretches}
        for name in [each for each in self._fresh if each not in needed]:
            with suppress(OSError):  # Windows keeps what is mapped; the next writer removes it
                self._folder.remove(name)
            self._fresh.discard(name)

    def _name(self, kind: str) -> str:
        """A name that no file of an earlier state has."""
        return f"{kind}-{self._old.generation + 1:06d}.arrow"

    def _search_files(self) -> tuple[File, ...]:
        """The stretches, the last of which are still in memory."""
        seen = self._snapshot.seen
        unwritten = [stretch for stretch in seen.stretches if not stretch.name]
        if len(unwritten) > 1:
            merged = Stretch.merged(unwritten, turned=seen.matching.turned)
            seen.stretches[-len(unwritten) :] = [merged]
        seen.stretches = [stretch if stretch.name else self._write(stretch) for stretch in seen.stretches]
        return tuple(self._written[stretch.name] for stretch in seen.stretches)

    def _entries(self, table: pa.Table, stop: int) -> tuple[File, ...]:
        kept, start = self._due("entries", stop)
        old = self._snapshot.entries.slice(start)
        return (*kept, write_table(self._folder, self._name("entries"), pa.concat_tables([old, table]), (start, stop)))

    def _pairs(self, table: pa.Table, stop: int) -> tuple[File, ...]:
        kept, start = self._due("pairs", stop)
        old = self._snapshot.raw_pairs
        old = old.filter(pc.greater_equal(old["b"], start)) if start < self._old.entries else old.slice(old.num_rows)
        return (*kept, write_table(self._folder, self._name("pairs"), pa.concat_tables([old, table]), (start, stop)))

    def _views(self, views: Iterator[pa.Table], stop: int) -> tuple[File, ...]:
        kept, start = self._due("views", stop, _MOST_IN_ONE_FILE)
        old = [self._folder.path(file.name) for file in self._old.files["views"][len(kept) :]]
        parts = _one_after_another(old, views)
        return (*kept, write_views(self._folder, self._name("views"), parts, (start, stop)))

    def _due(self, kind: str, stop: int, most: int | None = None) -> tuple[tuple[File, ...], int]:
        """The files of a kind that stay, and where a new one begins: small ones that pile up become one."""
        files, end = self._old.files[kind], self._old.entries
        count = due_merge([*(file.entries for file in files), stop - end]) - 1
        while count and most is not None and stop - files[-count].start > most:
            count -= 1
        return files[: len(files) - count], files[-count].start if count else end


def _one_after_another(paths: list[str], fresh: Iterator[pa.Table]) -> Iterator[pa.Table]:
    for path in paths:
        with pa.memory_map(path) as file:
            reader: Any = pa.ipc.open_file(file)
            for number in range(reader.num_record_batches):
                yield pa.Table.from_batches([reader.get_batch(number)])
    yield from fresh

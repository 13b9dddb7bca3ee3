"""What geometry needs of the pictures of an index, in files that are mapped when they are first asked for."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.index.files import File, check_size, damaged
from dedupkit.matching.evidence import Verdict
from dedupkit.matching.views import VIEWS, Views, compared, mapped

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dedupkit.matching.geometry import View
    from dedupkit.storage import Folder

_ROWS = 256


class KeptViews:
    """The views of entries; their files stay readable here when a writer has replaced them."""

    def __init__(self, folder: Folder, files: tuple[File, ...]) -> None:
        self._stops = np.array([file.stop for file in files], np.int64)
        self._paths = [check_size(folder, file) for file in files]
        self._maps: list[mmap.mmap] = [mapped(str(path)) for path in self._paths]
        self._opened: dict[int, Views] = {}

    def __getitem__(self, entry: int) -> View | None:
        """The view of an entry, if one is kept."""
        place = int(np.searchsorted(self._stops, entry, side="right"))
        if place == len(self._stops):
            return None
        try:
            if place not in self._opened:
                self._opened[place] = Views([self._maps[place]])
            return self._opened[place][entry]
        except (ValueError, KeyError, TypeError, IndexError, OSError, pa.ArrowException) as error:
            raise damaged(self._paths[place], f"{type(error).__name__}: {error}") from error

    def release(self) -> None:
        """Take the pages that were looked at out of this process."""
        for each in list(self._opened.values()):
            each.release()


class Looking:
    """Asks geometry about an earlier entry and a new one, ahead of time where there are threads for it."""

    def __init__(self, view: Callable[[int], View | None], min_entropy: float, threads: int = 1) -> None:
        self._view, self._min_entropy = view, min_entropy
        self._pool = ThreadPoolExecutor(threads, "dedupkit") if threads > 1 else None
        self._asked: dict[tuple[int, int], Future[Verdict]] = {}

    def __call__(self, entry: int, new: int) -> Verdict:
        """How the two pictures lie over each other."""
        asked = self._asked.pop((entry, new), None)
        return self._look(entry, new) if asked is None else asked.result()

    def expect(self, pairs: list[tuple[int, int]]) -> None:
        """Begin to look at pairs; those that were expected before and not asked about are forgotten."""
        for each in self._asked.values():
            each.cancel()
        if self._pool is not None:
            self._asked = {pair: self._pool.submit(self._look, *pair) for pair in pairs}

    def close(self) -> None:
        """End the threads."""
        self.expect([])
        if self._pool is not None:
            self._pool.shutdown()

    def _look(self, entry: int, new: int) -> Verdict:
        import cv2
        import faiss

        faiss.omp_set_num_threads(1)  # of this thread
        cv2.setNumThreads(1)
        return Verdict.of(*compared(self._view(entry), self._view(new), self._min_entropy))


def write_views(folder: Folder, name: str, parts: Iterator[pa.Table], span: tuple[int, int]) -> File:
    """Write tables of views, by ascending entries, as one file."""
    with folder.writing(name) as handle:
        _write(handle, parts)
    return File(name, *span, folder.size(name))


def _write(handle: IO[bytes], parts: Iterator[pa.Table]) -> None:
    with pa.ipc.new_file(handle, VIEWS) as out:
        for part in parts:
            out.write_table(part, max_chunksize=_ROWS)


def renumbered(path: str, before: NDArray[np.uint64], after: NDArray[np.int64]) -> Iterator[pa.Table]:
    """The views of a file whose numbers are among `before`, ascending, by their numbers `after`."""
    with pa.memory_map(path) as file:
        reader: Any = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            table = pa.Table.from_batches([reader.get_batch(number)])
            positions = table["position"].to_numpy()
            place = np.minimum(np.searchsorted(before, positions), max(0, len(before) - 1))
            known = np.flatnonzero(before[place] == positions) if len(before) else np.empty(0, np.int64)
            if len(known):
                numbers = pa.array(after[place[known]].astype(np.uint64))
                yield table.take(pa.array(known)).set_column(0, VIEWS.field("position"), numbers)

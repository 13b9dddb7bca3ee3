"""The views stage: what geometry needs of the pictures that stand in a doubtful pair, each read and decoded once."""

from __future__ import annotations

import mmap
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any
from weakref import finalize

import cv2
import numpy as np
import pyarrow as pa

from dedupkit.engines.ordered import in_order
from dedupkit.fingerprints.decode import decode
from dedupkit.guard.recorder import looking
from dedupkit.matching.geometry import NOT_ALIGNED, View, align, view_of
from dedupkit.matching.proof import EVIDENCE
from dedupkit.matching.score import score
from dedupkit.sample import ROW_BITS, Fault, position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.matching.geometry import Alignment
    from dedupkit.recipe import Recipe
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder

STAGE = "views/4"
_BATCH = 16
_ROWS = 256
_PAIRS = 64  # verified at a time by one thread
_HELD_BATCHES = 16  # whose views, 30 KB each, stay in memory: 60 MB if no two pairs share one
_MIN_PLAIN_AGREEMENT = 0.9  # of the blocks of letters and signs
_MIN_SIDE = 144  # that a JPEG decoded at reduced scale keeps

VIEWS = pa.schema(
    {
        "position": pa.uint64(),
        "height": pa.uint16(),
        "width": pa.uint16(),
        "gray": pa.binary(),
        "points": pa.binary(),
        "codes": pa.binary(),
        "mirrored_codes": pa.binary(),
        "entropy": pa.float32(),
    }
)


def write_views(
    item: tuple[int, Shard, NDArray[np.uint64]], handle: IO[bytes], *, source: Source, recipe: Recipe, threads: int
) -> dict[str, Any]:
    """Write the views of some samples of one shard, 30 KB each, as an Arrow file that can be mapped."""
    number, shard, wanted = item
    rows = set((wanted & np.uint64((1 << ROW_BITS) - 1)).astype(np.int64).tolist())
    last = max(rows, default=-1)
    chosen = ((row, each) for row, each in enumerate(islice(source.read(shard), last + 1)) if row in rows)
    batches = iter(lambda: list(islice(chosen, _BATCH)), [])
    written = 0
    with pa.ipc.new_file(handle, VIEWS) as out:
        table: list[tuple[Any, ...]] = []
        for batch, views in in_order(partial(_views, recipe=recipe), batches, threads):
            for (row, _), view in zip(batch, views, strict=True):
                if view is not None:
                    table.append((position(number, row), *_packed(view)))
            if len(table) >= _ROWS:
                out.write_batch(_batch(table))
                written, table = written + len(table), []
        if table:
            out.write_batch(_batch(table))
    return {"rows": written + len(table)}


def _views(batch: Sequence[tuple[int, Sample]], recipe: Recipe) -> list[View | None]:
    views = []
    for _, sample in batch:
        with looking(recipe.limits.max_seconds):
            views.append(sample_view(sample, recipe))
    return views


def sample_view(sample: Sample, recipe: Recipe) -> View | None:
    """The view of an encoded image; None where it cannot be decoded."""
    decoded = decode(sample.image or b"", recipe.limits, draft=True, min_side=_MIN_SIDE)
    if isinstance(decoded, Fault):
        return None
    gray = np.ascontiguousarray(decoded.gray, dtype=np.uint8)
    return view_of(gray, recipe.fingerprints.max_frame_range)


def _packed(view: View) -> tuple[Any, ...]:
    arrays = (view.gray, view.points, view.codes, view.mirrored_codes)
    return (*view.gray.shape, *(array.tobytes() for array in arrays), view.entropy)


def _batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = [pa.array(values, kind.type) for values, kind in zip(zip(*rows, strict=True), VIEWS, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=VIEWS)


class Views:
    """Views out of files, mapped into memory; given by their paths, or mapped already."""

    def __init__(self, files: Sequence[str | mmap.mmap]) -> None:
        self._maps = [mapped(each) if isinstance(each, str) else each for each in files]
        tables = [pa.ipc.open_file(pa.py_buffer(each)).read_all() for each in self._maps]
        self._table = pa.concat_tables([VIEWS.empty_table(), *tables])
        self._table.validate(full=True)  # offsets that lie outside of a buffer would crash the process; cheap
        self._positions = self._table["position"].to_numpy()
        self._chunks = [self._table[name] for name in ("gray", "points", "codes", "mirrored_codes")]
        self._entropies = self._table["entropy"].to_numpy()
        self._sizes = np.stack([self._table[name].to_numpy() for name in ("height", "width")], axis=1)

    def release(self) -> None:
        """Take the pages that were looked at out of this process; they stay in the system's cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for each in self._maps:
                each.madvise(mmap.MADV_DONTNEED)

    def __getitem__(self, at: int) -> View | None:
        """The view of the sample at a position, if it has one."""
        row = int(np.searchsorted(self._positions, np.uint64(at)))
        if row == len(self._positions) or int(self._positions[row]) != at:
            return None
        gray, points, codes, mirrored = (column[row].as_buffer() for column in self._chunks)
        return View(
            np.frombuffer(gray, np.uint8).reshape(self._sizes[row]),
            np.frombuffer(points, np.float32).reshape(-1, 4),
            np.frombuffer(codes, np.uint8).reshape(-1, 32),
            np.frombuffer(mirrored, np.uint8).reshape(-1, 32),
            float(self._entropies[row]),
        )


@contextmanager
def views_in(parts: Folder, name: str) -> Iterator[Views]:
    """The views of one file; where its folder is not local, of a copy."""
    with parts.local(name) as path:
        yield Views([path])


class ViewsOfShards:
    """Views out of the parts of the stage, each opened when it is first asked for.

    Parameters
    ----------
    parts : Folder
        Where they lie; where that is no local folder, parts are copied to one for as long as this lives.
    """

    def __init__(self, parts: Folder) -> None:
        self._parts, self._opened, self._lock = parts, dict[int, Views | None](), Lock()
        self._copies = ExitStack()
        finalize(self, self._copies.close)

    def release(self) -> None:
        """Take the pages that were looked at out of this process."""
        with self._lock:
            opened = list(self._opened.values())
        for views in opened:
            if views is not None:
                views.release()

    def __getitem__(self, at: int) -> View | None:
        """The view of the sample at a position, if it has one."""
        shard = at >> ROW_BITS
        with self._lock:
            if shard not in self._opened:
                self._opened[shard] = self._open(part_name(shard))
            views = self._opened[shard]
        return None if views is None else views[at]

    def _open(self, name: str) -> Views | None:
        if not self._parts.exists(name):
            return None
        return Views([self._copies.enter_context(self._parts.local(name))])


def part_name(shard: int) -> str:
    """File name of the views of a shard."""
    return f"{shard:05d}.arrow"


def mapped(path: str) -> mmap.mmap:
    """A file mapped for reading; it outlives the file's name."""
    with Path(path).open("rb") as handle:
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)


class GeometryVerifier:
    """Aligns pairs of pictures, in threads.

    Parameters
    ----------
    views : Views or ViewsOfShards
        Of all pictures that may be asked about; one without a view is no copy of anything.
    min_entropy : float
        Bits of luminance, of 5.  Pictures below, letters and signs, are copies only where the one lies over the other
        as it is: a `b` turned is a `q`, and an `a` is a part of an `ä`.
    threads : int
        Threads that align.
    observe : callable
        Told the number of pairs after each batch.
    """

    def __init__(
        self,
        views: Views | ViewsOfShards,
        min_entropy: float,
        threads: int,
        observe: Callable[[int], None],
    ) -> None:
        self._views, self._min_entropy = views, min_entropy
        self._threads, self._observe = threads, observe

    def __call__(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[Any]:
        """Evidence about pairs of positions."""
        rows: list[Alignment] = []
        refused: list[bool] = []
        for number, (_, aligned) in enumerate(in_order(self._aligned, self._batches(a, b), self._threads)):
            if number % _HELD_BATCHES == 0:
                self._views.release()
            rows.extend(found for found, _ in aligned)
            refused.extend(no for _, no in aligned)
            self._observe(len(aligned))
        evidence = np.zeros(len(rows), EVIDENCE)
        for name in evidence.dtype.names or ():
            if name != "score":
                evidence[name] = np.array([getattr(row, name) for row in rows]).reshape(evidence[name].shape)
        weighed = ("inliers", "agreement", "outline", "off_tone")
        evidence["score"] = score(*(evidence[name].astype(np.float32) for name in weighed))
        evidence["score"][np.array(refused, dtype=bool)] = 0
        return evidence

    def _batches(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> Iterator[list[tuple[int, int]]]:
        for start in range(0, len(a), _PAIRS):
            yield list(zip(a[start : start + _PAIRS].tolist(), b[start : start + _PAIRS].tolist(), strict=True))

    def _aligned(self, pairs: list[tuple[int, int]]) -> list[tuple[Alignment, bool]]:
        import faiss

        faiss.omp_set_num_threads(1)  # of this thread
        cv2.setNumThreads(1)
        return [self._align(*pair) for pair in pairs]

    def _align(self, a: int, b: int) -> tuple[Alignment, bool]:
        """How two pictures lie over each other, and whether they are refused whatever the score."""
        return compared(self._views[a], self._views[b], self._min_entropy)


def compared(here: View | None, there: View | None, min_entropy: float) -> tuple[Alignment, bool]:
    """How two pictures lie over each other, and whether they are refused whatever the score."""
    if here is None or there is None:
        return NOT_ALIGNED, True
    found = align(here, there)
    plain = min(here.entropy, there.entropy) < min_entropy
    return found, plain and not (found.in_place and found.agreement >= _MIN_PLAIN_AGREEMENT)

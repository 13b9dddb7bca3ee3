"""One pass of a stream: what it remembers, in a folder of its own, one that lasts, or one that processes share."""

from __future__ import annotations

import io
import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.disk import PARTIAL, writing
from dedupkit.errors import RunError, UsageError
from dedupkit.streaming.checkpoint import check_rules
from dedupkit.streaming.judging import Judge
from dedupkit.streaming.log import KEPT, Log, packed_view, unpacked_view
from dedupkit.streaming.memory import FILES, Memory
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dedupkit.index.snapshot import Snapshot
    from dedupkit.recipe import Recipe
    from dedupkit.streaming.checkpoint import Checkpoint
    from dedupkit.streaming.judging import Match
    from dedupkit.streaming.preparing import Prepared

_RULES_NAME, _LOCK_NAME = "stream.json", "lock"
_LOCK_WAIT_S = 600  # for another process that compares a micro-batch
_MOST_STATE_BYTES = 256 << 20


class Passing:
    """What a pass remembers, and where.

    Parameters
    ----------
    recipe : Recipe
        How samples are compared.
    radius : int
        Largest Hamming distance of near hashes.
    most : int
        How many kept samples are remembered.
    rules : mapping of str to str
        Digests of what decides what is a copy.
    folder : path, optional
        Where it is kept; None for a temporary folder.
    shared : bool
        Whether other processes use it too.
    """

    def __init__(
        self, recipe: Recipe, radius: int, most: int, rules: Mapping[str, str], folder: Path | None, shared: bool
    ) -> None:
        self._shared, self._most, self._lasts = shared, most, folder is not None
        self._pinned: int | None = None
        if folder is None:
            self._temporary = TemporaryFolder()  # goes with this object
            folder = self._temporary.path
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.folder)
        with self._locked(_LOCK_WAIT_S if shared else 0):
            self._check(rules)
        self.log = Log(self.folder, max(1, most // FILES))
        self.memory = Memory(recipe.matching, radius, bool(recipe.descriptor), most, self.log)
        self._min_entropy = recipe.matching.min_luminance_entropy

    def _check(self, rules: Mapping[str, str]) -> None:
        place = self.folder / _RULES_NAME
        if place.exists():
            check_rules(_read_rules(place), rules, f"the state in {self.folder}")
            return
        others = [path.name for path in self.folder.iterdir() if not _is_ours(path.name)]
        if others:
            raise UsageError(f"{self.folder} holds files of something else ({others[0]}); name a new or empty folder")
        with writing(place, durable=self._lasts) as handle:
            handle.write(f"{json.dumps(dict(rules))}\n".encode())

    @contextmanager
    def going(self, checkpoint: Checkpoint | None) -> Iterator[None]:
        """Go on from what is remembered, or from a checkpoint; nobody else may meanwhile, unless it is shared."""
        if self._shared:
            yield
            return
        with self._locked(0):
            if checkpoint is None:
                self.memory.replay()
                self.log.mend()
            elif checkpoint.data is not None:
                self._unpack(checkpoint)
            else:
                self._go_back(checkpoint)
            yield

    def judge(self, prepared: Prepared, index: Snapshot | None) -> list[Match | None]:
        """What each sample of a micro-batch is a copy of; what is kept is remembered."""
        judge = Judge(self.memory, index, self._min_entropy)
        low = self.memory.low  # a state that is asked for within this batch needs these files
        if not self._shared:
            matches = judge.judge(prepared.table, prepared.views)
        else:
            with self._locked(_LOCK_WAIT_S):
                self.memory.replay()
                self.log.mend()
                matches = judge.judge(prepared.table, prepared.views)
        self.log.forget(low if self._pinned is None else min(self._pinned, low))
        return matches

    def state(self, entries: int) -> tuple[str | None, bytes | None]:
        """The folder, or what lies in it, of the entries before one."""
        self._pinned = max(0, entries - self._most)
        if not self._lasts:
            return None, self._packed(entries)
        self.log.flush()
        return str(self.folder), None

    def _packed(self, entries: int) -> bytes:
        low, size = max(0, entries - self._most), sum(path.stat().st_size for path in self.folder.iterdir())
        if size > _MOST_STATE_BYTES:
            raise UsageError(
                f"what the stream remembers takes {size >> 20} MB, and a state holds {_MOST_STATE_BYTES >> 20}; give "
                "the deduplicator a folder as state, to which the state then points"
            )
        schema, target = pa.schema([*list(KEPT)[:-2], pa.field("view", pa.binary())]), io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(target, schema, options=options) as out:
            for table in Log(self.folder, self.log.entries_a_file).fresh(low):
                table = table.filter(pa.compute.less(table["position"], entries))
                places = zip(*(table[name].to_pylist() for name in ("position", "view_at", "view_bytes")), strict=True)
                views = [self.log.view(*place) for place in places]
                packed = pa.array([None if view is None else packed_view(view) for view in views], pa.binary())
                out.write_table(pa.table([*(table[name] for name in schema.names[:-1]), packed], schema=schema))
        return target.getvalue()

    def _unpack(self, checkpoint: Checkpoint) -> None:
        self.memory.count = max(0, checkpoint.entries - self._most)
        for batch in pa.ipc.open_stream(checkpoint.data):
            table = pa.Table.from_batches([batch])
            views = [None if data is None else unpacked_view(data) for data in table["view"].to_pylist()]
            self.memory.add(table.select(KEPT.names[:-2]), views)

    def _go_back(self, checkpoint: Checkpoint) -> None:
        self.log.cut(checkpoint.entries)
        low = max(0, checkpoint.entries - self._most)
        self.memory.replay(low)
        self.log.mend()
        held = self.memory.seen.stretches
        if checkpoint.entries and (not held or self.memory.count != checkpoint.entries or held[0].start > low):
            raise RunError(
                f"{self.folder} does not hold the {checkpoint.entries} entries of the state; use the folder as it was, "
                "or begin anew"
            )

    @contextmanager
    def _locked(self, wait_s: float) -> Iterator[None]:
        from filelock import Timeout

        try:
            self._lock.acquire(timeout=wait_s)
        except Timeout as error:
            raise UsageError(
                f"another process is using {self.folder}; wait for it, or give both shared=True"
            ) from error
        try:
            yield
        finally:
            self._lock.release()


def _is_ours(name: str) -> bool:
    """Whether it lies in a folder that nothing was kept in yet."""
    return name == _LOCK_NAME or name.endswith(PARTIAL)


def _read_rules(place: Path) -> dict[str, str]:
    try:
        return dict(json.loads(place.read_text("utf-8")))
    except ValueError as error:
        raise UsageError(f"{place} is damaged; begin anew in a new or empty folder") from error


def _lock(folder: Path) -> Any:
    from filelock import FileLock

    return FileLock(folder / _LOCK_NAME)


def worker_number() -> int | None:
    """Which worker of a torch DataLoader this process is; None in any other."""
    if "torch" not in sys.modules:
        return None
    from torch.utils.data import get_worker_info

    worker = get_worker_info()
    return None if worker is None else int(worker.id)

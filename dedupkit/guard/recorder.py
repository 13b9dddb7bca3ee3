"""What a process is at, kept where another one can read it after it died: parts, and how long one sample takes.

Each process that looks at strangers' images keeps a small file that is mapped, so that a note costs some microseconds
and outlives whoever wrote it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Lock, local
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dedupkit.sources.base import Shard

_PARTS, _THREADS = 64, 256  # at once; what does not find room is not noted
_TAG_BYTES, _SINCE = 16, struct.Struct("=qq")  # when it began and when it ought to be over, ns of the monotonic clock
_ENDED = 0
_TAGS_AT = 8
_SINCE_AT = _TAGS_AT + _PARTS * _TAG_BYTES
_BYTES = _SINCE_AT + _THREADS * _SINCE.size
_NOBODY = bytes(_TAG_BYTES)


def tag_of(shard: Shard) -> bytes:
    """What stands for a shard in the notes."""
    return hashlib.blake2b(f"{shard.name}\0{shard.identity}".encode(errors="replace"), digest_size=_TAG_BYTES).digest()


class Recorder:
    """The notes of this process, in a file of its own.

    Parameters
    ----------
    folder : Path
        Where whoever watches looks for them; the file's name is the number of the process.
    """

    def __init__(self, folder: Path) -> None:
        self._map = _mapped(folder / str(os.getpid()))
        self._lock, self._own, self._next = Lock(), local(), count()

    def end(self) -> None:
        """Note that the process ends by itself."""
        self._map[_ENDED] = 1

    @contextmanager
    def part(self, shard: Shard) -> Iterator[None]:
        """Note that a part of a shard is being made."""
        tag = tag_of(shard)
        with self._lock:
            places = (_TAGS_AT + slot * _TAG_BYTES for slot in range(_PARTS))
            place = next((each for each in places if self._map[each : each + _TAG_BYTES] == _NOBODY), None)
            if place is not None:
                self._map[place : place + _TAG_BYTES] = tag
        try:
            yield
        finally:
            if place is not None:
                self._map[place : place + _TAG_BYTES] = _NOBODY

    @contextmanager
    def sample(self, seconds: float) -> Iterator[None]:
        """Note that a thread looks at a sample, which ought to take no longer."""
        slot = getattr(self._own, "slot", None)
        if slot is None:
            slot = self._own.slot = next(self._next)
        if slot >= _THREADS:
            yield
            return
        place, now = _SINCE_AT + slot * _SINCE.size, time.monotonic_ns()
        _SINCE.pack_into(self._map, place, now, now + int(seconds * 1e9))
        try:
            yield
        finally:
            _SINCE.pack_into(self._map, place, 0, 0)


@dataclass(frozen=True, slots=True)
class Notes:
    """What a process has noted.

    Attributes
    ----------
    pid : int
        Of the process.
    ended : bool
        Whether it came to its end by itself.
    parts : frozenset of bytes
        Tags of the shards that it was making parts of.
    overdue_s : float
        For how many seconds a sample has taken too long; 0 or less if none has.
    """

    pid: int
    ended: bool
    parts: frozenset[bytes]
    overdue_s: float


def notes_in(folder: Path) -> list[Notes]:
    """The notes of all processes that keep them in a folder."""
    found = []
    for path in folder.iterdir():
        try:
            with path.open("rb") as file:
                data = file.read(_BYTES)
        except OSError:  # it was removed just now
            continue
        if path.name.isdecimal() and len(data) == _BYTES:
            found.append(_read(int(path.name), data))
    return found


def _read(pid: int, data: bytes) -> Notes:
    tags = {data[at : at + _TAG_BYTES] for at in range(_TAGS_AT, _SINCE_AT, _TAG_BYTES)} - {_NOBODY}
    times = [_SINCE.unpack_from(data, at) for at in range(_SINCE_AT, _BYTES, _SINCE.size)]
    now = time.monotonic_ns()
    late = max((now - until for began, until in times if began), default=0)
    return Notes(pid, bool(data[_ENDED]), frozenset(tags), late / 1e9)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("w+b") as file:
        file.write(bytes(_BYTES))  # on a full disk an error; writing to what is mapped would end the process
        file.flush()
        return mmap.mmap(file.fileno(), _BYTES)


_here: Recorder | None = None


def keep_notes(folder: Path) -> Recorder:
    """Have this process keep notes from now on; somebody watches it, and may end it."""
    global _here
    _here = Recorder(folder)
    return _here


@contextmanager
def making(shard: Shard | None) -> Iterator[None]:
    """Note, where this process keeps notes, that a part of a shard is being made."""
    if _here is None or shard is None:
        yield
        return
    with _here.part(shard):
        yield


@contextmanager
def looking(seconds: float) -> Iterator[None]:
    """Note, where this process keeps notes, that a sample is looked at, which ought to take no longer."""
    if _here is None:
        yield
        return
    with _here.sample(seconds):
        yield

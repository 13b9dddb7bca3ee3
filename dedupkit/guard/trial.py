"""Who took a process down: the samples of a shard are tried one after the other in a process that may die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, TYPE_CHECKING

from dedupkit.errors import RunError
from dedupkit.guard.condemned import Verdict
from dedupkit.guard.trying import END, LOOKING, NO_MEMORY, READING, Errand, try_samples
from dedupkit.plugins import carrying
from dedupkit.sample import Fault, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.recipe import Recipe
    from dedupkit.sources.base import Shard, Source

_LOOKS_EVERY_S = 0.05
_STARTS_WITHIN_S = 300.0  # importing on a busy machine, and opening the source
_READS_WITHIN_S = 900.0  # stores are asked again and again before they are given up


@dataclass(frozen=True, slots=True)
class _Step:
    """Where the process was when it was last heard of."""

    kind: bytes
    row: int


@dataclass(frozen=True, slots=True)
class _Death:
    """What it died of, while it was at a step."""

    step: _Step | None
    reason: Reason
    detail: str


def try_shard(source: Source, shard: Shard, recipe: Recipe) -> Verdict:
    """Try all samples of a shard.

    Parameters
    ----------
    source : Source
        Where it stands.
    shard : Shard
        Which.
    recipe : Recipe
        What is done with samples, and what one may take: `limits.max_seconds` and `limits.max_memory_bytes`.

    Returns
    -------
    Verdict
        What was found; nothing, where no process died.

    Raises
    ------
    RunError
        The process died before it had read anything.

    Notes
    -----
    Takes the time of looking at each sample once more, one after the other, and a second for each death.
    """
    verdict, row = Verdict(), 0
    memory = most_memory(recipe)
    while True:
        death = _tried(Errand(source, shard, recipe, row, memory))
        if death is None:
            return verdict
        step = death.step
        if step is None:
            raise RunError(f"{shard.name} could not be tried ({death.detail}); run again to go on from the last part")
        if step.kind == READING:
            detail = f"reading ended the process after {step.row} samples: {death.detail}"
            return verdict.joined(Verdict(rows=step.row, detail=detail))
        verdict = verdict.joined(Verdict({step.row: Fault(death.reason, death.detail)}))
        row = step.row + 1


def most_memory(recipe: Recipe) -> int:
    """Bytes that a sample may take: what the recipe says, and no more than nine tenths of what is free."""
    import psutil

    return min(recipe.limits.max_memory_bytes, int(psutil.virtual_memory().available * 0.9))


def _tried(errand: Errand) -> _Death | None:
    """Start a process and watch it; None once it has come to the end."""
    seconds, step = errand.recipe.limits.max_seconds, None
    with _watched(errand) as (process, watch):
        until = time.monotonic() + _STARTS_WITHIN_S
        while True:
            lines, dead = watch.heard()
            for line in lines:
                kind, _, row = line.partition(b" ")
                if kind == END:
                    return None
                if kind == NO_MEMORY:
                    return _Death(_Step(LOOKING, int(row)), Reason.TOO_MUCH_MEMORY, _memory_words(errand))
                step = _Step(kind, int(row))
                until = time.monotonic() + (seconds if kind == LOOKING else _READS_WITHIN_S)
            if dead:
                return _Death(step, Reason.DECODER_CRASHED, _ended(process.wait()))
            if time.monotonic() > until:
                taken = seconds if step is not None and step.kind == LOOKING else _READS_WITHIN_S
                return _Death(step, Reason.TIMED_OUT, f"took more than {taken:g} s")
            if watch.grown():
                return _Death(step, Reason.TOO_MUCH_MEMORY, _memory_words(errand))


def _memory_words(errand: Errand) -> str:
    return f"took more than {errand.max_memory / (1 << 20):.0f} MiB"


@contextmanager
def _watched(errand: Errand) -> Iterator[tuple[subprocess.Popen[bytes], _Watch]]:
    """The process that tries, and who listens to it."""
    import cloudpickle

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment.setdefault(name, "1")
    command = [sys.executable, "-m", "dedupkit.guard.trying"]
    with TemporaryFile() as handed, Path(os.devnull).open("wb") as nowhere:
        handed.write(cloudpickle.dumps((carrying(try_samples), errand)))
        handed.seek(0)
        process = subprocess.Popen(command, stdin=handed, stdout=subprocess.PIPE, stderr=nowhere, env=environment)
    if process.stdout is None:
        raise RunError("a process for trying samples has no output; this is a bug in dedupkit: please report it")
    watch = _Watch(process, process.stdout, errand.max_memory)
    try:
        yield process, watch
    finally:
        process.kill()
        process.wait()
        watch.end()


class _Watch:
    """Listens to a process, and looks at how large it is."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes], max_memory: int) -> None:
        import psutil

        self._lines: Queue[bytes | None] = Queue()
        self._listening = Thread(target=self._listen, args=(said,), name="dedupkit", daemon=True)
        self._listening.start()
        self._process, self._base, self._max_memory = psutil.Process(process.pid), 0, max_memory
        self._error = psutil.Error

    def _listen(self, said: IO[bytes]) -> None:
        with said, suppress(OSError):
            for line in said:
                self._lines.put(line)
        self._lines.put(None)

    def heard(self) -> tuple[list[bytes], bool]:
        """The lines it has said since, and whether it will say no more; waits a moment."""
        lines: list[bytes] = []
        try:
            line = self._lines.get(timeout=_LOOKS_EVERY_S)
            while line is not None:
                lines.append(line.rstrip())
                line = self._lines.get_nowait()
            return lines, True
        except Empty:
            return lines, False
        finally:
            self._base = self._base or (self._size() if lines else 0)

    def end(self) -> None:
        """Wait until all that it said has been heard; it has to be dead."""
        self._listening.join()

    def grown(self) -> bool:
        """Whether it has taken more than a sample may since it began to read."""
        return bool(self._base) and self._size() - self._base > self._max_memory

    def _size(self) -> int:
        try:
            return int(self._process.memory_info().rss)
        except self._error:
            return 0


def _ended(code: int) -> str:
    if code < 0:
        try:
            return f"the decoder ended the process: {signal.Signals(-code).name}"
        except ValueError:
            return f"the decoder ended the process: signal {-code}"
    return f"the decoder ended the process with code {code}"

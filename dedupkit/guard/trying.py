"""The process that tries samples and may die: it says what it is at before it does it.

``python -m dedupkit.guard.trying``, with a pickled task and its `Errand` on stdin; a line a step on stdout.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.sample import Sample

if TYPE_CHECKING:
    from dedupkit.recipe import Recipe
    from dedupkit.sources.base import Shard, Source

READING, LOOKING, NO_MEMORY, END = b"r", b"l", b"m", b"e"
"""A line is one of these and a row: it is being read; looked at; took more memory than it may; there is none."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be tried: the samples of a shard from a row on.

    Attributes
    ----------
    source, shard : Source, Shard
        Where they stand.
    recipe : Recipe
        What is done with samples.
    row : int
        The first to try; those before are only read.
    max_memory : int
        Bytes that one may take.
    """

    source: Source
    shard: Shard
    recipe: Recipe
    row: int
    max_memory: int


def main() -> None:
    """Do the errand that stdin brings."""
    task, errand = pickle.loads(sys.stdin.buffer.read())
    task(errand)


def try_samples(errand: Errand) -> None:
    """Try samples one after the other, in the order of the source, and tell of each step."""
    told = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a decoder prints is none of ours
    look = _Look(errand.recipe)
    look(Sample("", _drawn()))  # so that no sample has to answer for what is imported and kept
    _limit_memory(errand.max_memory)
    samples = iter(errand.source.read(errand.shard))
    row = 0
    while True:
        told.write(b"%b %d\n" % (READING, row))
        sample = next(samples, None)
        if sample is None:
            told.write(b"%b %d\n" % (END, row))
            return
        if row >= errand.row and sample.image is not None:
            told.write(b"%b %d\n" % (LOOKING, row))
            try:
                look(sample)
            except MemoryError:
                told.write(b"%b %d\n" % (NO_MEMORY, row))
        row += 1


class _Look:
    """All that a run may do with the bytes of a sample."""

    def __init__(self, recipe: Recipe) -> None:
        from dedupkit.sinks.stage import augmenter_of

        self._augmenter = augmenter_of(recipe)
        self._recipe = recipe

    def __call__(self, sample: Sample) -> None:
        """Do it; what fails without taking the process down is for the stages to judge.

        Raises
        ------
        MemoryError
            It takes more memory than it may.
        """
        from dedupkit.fingerprints.stage import fingerprint_batch

        row = fingerprint_batch([sample], self._recipe)[0]
        for step in (self._view, self._thumbnail, self._treated):
            try:
                step(sample, row)
            except MemoryError:
                raise
            except Exception as error:
                if _no_memory(error):
                    raise MemoryError from error

    def _view(self, sample: Sample, row: tuple[Any, ...]) -> None:
        from dedupkit.matching.views import sample_view

        sample_view(sample, self._recipe)

    def _thumbnail(self, sample: Sample, row: tuple[Any, ...]) -> None:
        from dedupkit.report.thumbnails import thumbnail

        thumbnail(sample.image or b"")

    def _treated(self, sample: Sample, row: tuple[Any, ...]) -> None:
        from dedupkit.sinks.base import KeptSample
        from dedupkit.sinks.stage import treated

        kept = KeptSample(sample.key, sample.image or b"", "jpeg", sample.caption, 1, 1, 1, sample.fields)
        treated(kept, self._recipe, self._augmenter)


def _drawn() -> bytes:
    """A picture that harms nobody."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "jpeg")
    return buffer.getvalue()


def _no_memory(error: BaseException) -> bool:
    """Whether a library says in its own words that there is no memory."""
    text = str(error).lower()
    return "insufficient memory" in text or "cannot allocate memory" in text or "bad_alloc" in text


def _limit_memory(most: int) -> None:
    """Refuse memory beyond what the process has now and what a sample may take, where the system can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = _data_bytes() + most
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process (Linux; elsewhere the limit does nothing)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData"))


if __name__ == "__main__":
    main()

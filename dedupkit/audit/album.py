"""Images that a model drew: drawn once, kept in parts, and no more of them than the budget allows."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from PIL import Image

from dedupkit.errors import RunError, UsageError
from dedupkit.parts import Part, Progress, make_part, read_table, write_table
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.audit.model import Captions, Generator
    from dedupkit.parts import Observer
    from dedupkit.storage import Stage

STAGE = "drawn/1"


@dataclass(slots=True)
class Budget:
    """What an audit may cost; shared by its attacks.

    Parameters
    ----------
    generations : int or None
        Images drawn; None is without limit.
    seconds : float or None
        Time from now; None is without limit.
    """

    generations: int | None = None
    seconds: float | None = None
    drawn: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for name in ("generations", "seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"the budget's {name} must be more than 0, got {value}; leave it out for no limit")

    @property
    def over(self) -> bool:
        """Whether its time has ended."""
        return self.seconds is not None and time.monotonic() - self._begun >= self.seconds

    @property
    def ended(self) -> bool:
        """Whether nothing more may be drawn."""
        return self.over or (self.generations is not None and self.drawn >= self.generations)

    def left(self, wanted: int) -> int:
        """How many of some images may be drawn."""
        if self.ended:
            return 0
        return wanted if self.generations is None else min(wanted, self.generations - self.drawn)


@dataclass(frozen=True)
class Album:
    """Draws images and keeps them; what it has drawn before, for the same model, caption and seed, is not drawn again.

    Attributes
    ----------
    model : Generator
        Who draws.
    budget : Budget
        What may be drawn; images that were kept cost nothing.
    stage : Stage or None
        Where they are kept; None keeps nothing.
    identity : str
        Changes whenever the model would draw otherwise.
    observe : callable, optional
        Told of progress.
    """

    model: Generator
    budget: Budget = field(default_factory=Budget)
    stage: Stage | None = None
    identity: str = ""
    observe: Observer | None = None

    def parts(
        self, title: str, captions: Captions, seeds: Sequence[int], size: int = 64
    ) -> Iterator[NDArray[np.uint8]]:
        """Images in order, some at a time; the last are fewer, or missing, where the budget ends.

        Parameters
        ----------
        title : str
            What they are for, in the file names and for the one who watches.
        captions, seeds : sequence
            As many of both.
        size : int
            Images at a time: so many are drawn at once, and lost by a run that is killed.

        Yields
        ------
        ndarray of uint8, shape (n, height, width, 3), RGB
        """
        starts, drawn = range(0, len(seeds), size), 0
        for number, start in enumerate(starts):
            rows = slice(start, start + size)
            asked, wanted = seeds[rows], len(seeds[rows])
            part = self._part(title, number, captions[rows], asked)
            images = self._kept(part)
            if images is None:
                wanted = self.budget.left(wanted)
                if not wanted:
                    return
                images = self._drawn(part, captions[rows][:wanted], asked[:wanted], whole=wanted == len(asked))
            drawn += len(images)
            if self.observe:
                self.observe(Progress(title, number + 1, len(starts), drawn))
            yield images
            if wanted < len(asked):
                return

    def _part(self, title: str, number: int, captions: Captions, seeds: Sequence[int]) -> Part:
        asked = digest([list(captions), list(map(int, seeds))])
        inputs = {"stage": STAGE, "model": self.identity, "asked": asked}
        return Part(f"{title.replace(' ', '-')}-{number:05d}-{digest(inputs)[:12]}.parquet", inputs, None)

    def _kept(self, part: Part) -> NDArray[np.uint8] | None:
        if self.stage is None or self.stage.stale(part.name, part.inputs) is not None:
            return None
        rows = read_table(self.stage, part.name)["image"].to_pylist()
        return np.stack([np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in rows])

    def _drawn(self, part: Part, captions: Captions, seeds: Sequence[int], *, whole: bool) -> NDArray[np.uint8]:
        images = np.asarray(self.model.generate(captions, seeds))
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[0] != len(seeds) or images.shape[3] != 3:
            raise RunError(
                f"the model was asked for {len(seeds)} images and gave {images.dtype} of shape {images.shape}; it must "
                "give uint8 of shape (n, height, width, 3)"
            )
        self.budget.drawn += len(images)
        if self.stage is not None and whole:

            def write(_: Any, handle: IO[bytes]) -> dict[str, Any]:
                return write_table(pa.table({"image": pa.array(map(_png, images), pa.binary())}), handle)

            make_part(self.stage, write, part)
        return images


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

"""Edited copies of drawn samples, beside the untouched samples."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dedupkit.engines.ordered import in_order
from dedupkit.fingerprints.decode import decode
from dedupkit.sample import Fault, Sample

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dedupkit.calibration.drawing import Drawn
    from dedupkit.edits import Edit
    from dedupkit.recipe import Limits

ORIGINAL = "original"
_MAX_SIDE = 512  # of a picture that is edited: copies get smaller on their way, and no fingerprint needs as much
_MIN_SIDE = 256  # that a JPEG decoded at reduced scale keeps


@dataclass(frozen=True, slots=True)
class Planting:
    """What is planted in a sample.

    Attributes
    ----------
    edits : tuple of Edit
        Each gives one copy of every picture.
    limits : Limits
        Of what may be decoded.
    seed : int
        With key and edit it decides what an edit leaves to chance.
    """

    edits: tuple[Edit, ...]
    limits: Limits
    seed: int

    def samples(self, drawn: Drawn, threads: int, skipped: Counter[str]) -> Iterator[Sample]:
        """The drawn samples, each followed by its copies; keys are ``NUMBER/EDIT``.

        Faulty ones are left out and counted by reason in `skipped`.
        """
        for number, made in in_order(partial(self._one, drawn.samples), range(len(drawn.samples)), threads):
            if isinstance(made, Fault):
                skipped[made.reason.value] += 1
                continue
            for name, image in made:
                yield Sample(f"{number}/{name}", image)

    def _one(self, drawn: Sequence[tuple[Sample, Path]], number: int) -> list[tuple[str, bytes]] | Fault:
        sample, file = drawn[number]
        if sample.fault is not None:
            return sample.fault
        image = file.read_bytes()
        decoded = decode(image, self.limits, min_side=_MIN_SIDE, colour=True)
        if isinstance(decoded, Fault):
            return decoded
        picture = Image.fromarray(np.ascontiguousarray(decoded.colour, dtype=np.uint8))
        picture.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.LANCZOS)
        copies = [(edit.name, edit.apply(picture, self._chance(sample.key, edit))) for edit in self.edits]
        return [(ORIGINAL, image), *copies]

    def _chance(self, key: str, edit: Edit) -> np.random.Generator:
        digest = hashlib.sha256(f"{key}\0{edit.name}".encode("utf-8", "surrogatepass")).digest()
        return np.random.default_rng([abs(self.seed), *np.frombuffer(digest, np.uint32).tolist()])

"""Who turns a whole file into a broken one: a module a format, each with steps that know its structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fuzz.mutators import gif, jpeg, parquet, png, raw, tar, text, tiff, webp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from fuzz.mutators.raw import Step

STEPS: dict[str, tuple[Step, ...]] = {
    "jpeg": jpeg.STEPS,
    "png": png.STEPS,
    "webp": webp.STEPS,
    "gif": gif.STEPS,
    "tiff": tiff.STEPS,
    "tar": tar.STEPS,
    "parquet": parquet.STEPS,
    "json": text.JSON_STEPS,
    "jsonl": text.LINE_STEPS,
    "toml": text.TOML_STEPS,
    "text": text.STEPS,
    "bytes": raw.STEPS,
}
"""Steps by format; what is not named here is mutated as bytes."""
_SHARE_OF_BYTES = 0.25  # of the steps, that know nothing of the format
_MORE = 0.35  # chance of one more step


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken file.

    Attributes
    ----------
    data : bytes
        What it holds.
    steps : tuple of str
        Names of the steps that made it, in their order.
    """

    data: bytes
    steps: tuple[str, ...]


def mutated(kind: str, data: bytes, rng: Random) -> Mutant:
    """Break a file: one step, or some one after the other.

    Parameters
    ----------
    kind : str
        One of `STEPS`.
    data : bytes
        A whole file of it.
    rng : random.Random
        All chance comes from it.
    """
    steps: list[str] = []
    broken = data
    while not steps or (rng.random() < _MORE and len(steps) < 8):
        chosen = raw.STEPS if rng.random() < _SHARE_OF_BYTES else STEPS.get(kind, raw.STEPS)
        broken, name = _stepped(chosen, broken, rng)
        steps.append(name)
    if broken == data:
        broken, name = _stepped((raw.flip_bits,), broken, rng)
        steps.append(name)
    return Mutant(broken, tuple(steps))


def _stepped(steps: Sequence[Step], data: bytes, rng: Random) -> tuple[bytes, str]:
    step = rng.choice(steps)
    try:
        return step(data, rng), step.__name__
    except raw.CANNOT:  # an earlier step has left nothing that this one understands
        return raw.flip_bits(data or b"\0", rng), "flip_bits"

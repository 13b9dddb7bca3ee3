"""Mutated images among untouched ones, by the hundred in one run: each is accounted for, and no other pays for it."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fuzz.mutators import mutated
from fuzz.pictures import WITNESSES, any_picture, forms, witness
from fuzz.running import FuzzError, Run, cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_BYTES = 1 << 20
SHAPES = ("folder", "tar", "parquet")


@dataclass(frozen=True, slots=True)
class Item:
    """A file that is put into a source.

    Attributes
    ----------
    key : str
        Its name without ending.
    kind : str
        Whose steps mutated it.
    ending : str
        Of its name.
    data : bytes
        What it holds.
    steps : tuple of str
        How it was made; empty for what nobody touched.
    """

    key: str
    kind: str
    ending: str
    data: bytes
    steps: tuple[str, ...] = ()


def made(seed: int, number: int) -> Item:
    """The mutant of a number: the same for the same seed."""
    rng = Random(f"image {seed} {number}")
    kind = rng.choice(sorted({form.kind for form in forms()}))
    form, data = any_picture(rng, rng.choice([form for form in forms() if form.kind == kind]))
    mutant = mutated(kind, data, rng)
    ending = rng.choice(forms()).ending if rng.random() < 0.05 else form.ending
    shown = form.ending if kind == "bytes" else kind
    return Item(f"m{number:06d}", shown, ending, mutant.data[:_MOST_BYTES], mutant.steps)


def untouched() -> list[Item]:
    """What no run may decide otherwise because of mutants beside it; one is a copy of another."""
    items = [Item(f"w{number:03d}", "jpeg", "jpg", witness(number)) for number in range(WITNESSES)]
    return [*items, Item("w999", "jpeg", "jpg", witness(0))]


def write(items: Sequence[Item], folder: Path, shape: str) -> Path:
    """Put items into a source of a shape; the source."""
    ordered = sorted(items, key=lambda item: item.key[1:])
    if shape == "folder":
        folder.mkdir()
        for item in ordered:
            (folder / f"{item.key}.{item.ending}").write_bytes(item.data)
        return folder
    if shape == "tar":
        return _tar(ordered, folder.with_suffix(".tar"))
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = folder.with_suffix(".parquet")
    columns = {"key": [item.key for item in ordered], "image": pa.array([item.data for item in ordered], pa.binary())}
    pq.write_table(pa.table(columns), place)
    return place


def _tar(items: Sequence[Item], place: Path) -> Path:
    with tarfile.open(place, "w") as tar:
        for item in items:
            member = tarfile.TarInfo(f"{item.key}.{item.ending}")
            member.size = len(item.data)
            tar.addfile(member, io.BytesIO(item.data))
    return place


def tried(items: Sequence[Item], shape: str, preset: str) -> Run:
    """Clean mutants among untouched pictures.

    Raises
    ------
    FuzzError
        The run fails, a sample is not accounted for once, or an untouched one is decided otherwise.
    """
    run = _run([*items, *untouched()], shape, preset)
    if run.code != 0:
        raise FuzzError(f"ended with code {run.code}: {run.stderr[-2000:]}")
    found = Counter(_stem(row["key"]) for row in run.rows)
    wanted = Counter(item.key for item in [*items, *untouched()])
    if found != wanted:
        raise FuzzError(f"unaccounted: {sorted(wanted - found)[:20]}; too many: {sorted(found - wanted)[:20]}")
    decided = {_stem(row["key"]): row for row in run.rows}
    if damaged := [key for key, row in decided.items() if row["reason"] == "damaged_shard"]:
        raise FuzzError(f"damaged shards, where only images are broken: {damaged}")
    for key, reason in alone(shape, preset).items():
        if decided[key]["reason"] != reason:
            raise FuzzError(f"{key}, which nobody touched, is {decided[key]['reason']}; alone it is {reason}")
    return run


@lru_cache(maxsize=8)
def alone(shape: str, preset: str) -> dict[str, str]:
    """What is decided about the untouched pictures when nothing stands beside them."""
    run = _run(untouched(), shape, preset)
    return {_stem(row["key"]): row["reason"] for row in run.rows}


def _run(items: Sequence[Item], shape: str, preset: str) -> Run:
    with TemporaryDirectory(prefix="dedupkit-fuzz-") as scratch:
        return cleaned(write(items, Path(scratch, "source"), shape), Path(scratch, "out"), preset=preset)


def _stem(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]

"""Asking an index about one picture: its twins, each with what speaks for it."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.errors import UsageError
from dedupkit.fingerprints.stage import fingerprint_batch
from dedupkit.index.kept_views import Looking
from dedupkit.matching.sequential import settle, without_plain
from dedupkit.matching.signatures import load
from dedupkit.matching.suspects import suspects
from dedupkit.matching.views import sample_view
from dedupkit.sample import EVIDENCE, FINGERPRINTS, Sample, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dedupkit.index.snapshot import Snapshot
    from dedupkit.matching.evidence import Found
    from dedupkit.matching.geometry import View

_ENDS = ("a", "b", "tier")


@dataclass(frozen=True, slots=True)
class Twin:
    """A sample of the index that shows the picture that was asked about.

    Attributes
    ----------
    key, source, shard : str
        Its name, and where it comes from.
    entry : int
        Its number in the index.
    tier : str or None
        What made the pair: ``exact``, ``perceptual``, ``geometric`` or ``descriptor``; None for what is in the group of
        a twin and was not compared with the picture itself.
    evidence : dict
        What is known of the pair, as in `dedupkit.sample.PAIRS`; what is not known is left out.
    group : int or None
        Entry number of the first sample of its duplicate group; None where it has no copy in the index.
    """

    key: str
    source: str
    shard: str
    entry: int
    tier: str | None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    group: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``dedupkit index query --json`` prints it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Twins(list[Twin]):
    """The twins of a picture: a list that a notebook shows, and a table for who wants one."""

    def to_arrow(self) -> pa.Table:
        """One row a twin; its evidence in the columns of `dedupkit.sample.PAIRS`."""
        rows = [{**twin.to_json(), "evidence": dict(twin.evidence)} for twin in self]
        return pa.Table.from_pylist(rows, _TWINS)

    def _repr_html_(self) -> str:
        from dedupkit.notebook.numbers import of_twins

        return of_twins(self).html()


_TWINS = pa.schema(
    {"key": pa.string(), "source": pa.string(), "shard": pa.string(), "entry": pa.int64(), "tier": pa.string()}
    | {"evidence": EVIDENCE, "group": pa.int64()}
)


def encoded(image: Any) -> bytes:
    """The bytes of a picture given as such, as a path, a Pillow image or an array.

    Raises
    ------
    UsageError
        It is none of these, or cannot be read.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise UsageError(f"{image} cannot be read: {error.strerror or error}; name an image file") from error
    if isinstance(image, np.ndarray):
        from PIL import Image

        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            got = f"{image.dtype} of shape {image.shape}"
            raise UsageError(f"an array must be uint8 of shape (height, width, 3) or (height, width), got {got}")
        image = Image.fromarray(image)
    if not hasattr(image, "save"):
        raise UsageError(
            f"image must be bytes, a path, a Pillow image or an array of uint8, got {type(image).__name__}"
        )
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=1)
    return target.getvalue()


def twins_of_image(snapshot: Snapshot, data: bytes, *, verify: bool) -> Twins:
    """The twins of a picture, by the rules by which it would be added; nearest first, then the rest of their groups.

    Raises
    ------
    UsageError
        It cannot be decoded.
    """
    with _blas_threads().limit(limits=1):  # what is multiplied is small, and threads would wait for each other
        return _twins_of_image(snapshot, data, verify)


def _twins_of_image(snapshot: Snapshot, data: bytes, verify: bool) -> Twins:
    sample, new = Sample("query", data), snapshot.state.entries
    recipe, seen = snapshot.state.chosen, snapshot.seen
    (row,) = fingerprint_batch([sample], recipe)
    table = pa.table([[value] for value in (new, "query", "", *row)], schema=FINGERPRINTS)
    if table["fault"][0].is_valid:
        raise UsageError(f"the image cannot be compared: {table['fault_detail'][0].as_py()}; give another")
    prints = without_plain(load([table], recipe.matching))
    first = int(seen.first_of_equals(prints.digests)[0])
    if first >= 0:
        return _with_groups(snapshot, [(int(entry), Tier.EXACT.value, {}) for entry in snapshot.copies(first)])
    views: dict[int, View | None] = {}

    def view(entry: int) -> View | None:
        if entry < new:
            return snapshot.views[entry]
        if entry not in views:
            views[entry] = sample_view(sample, recipe)
        return views[entry]

    look = Looking(view, recipe.matching.min_luminance_entropy) if verify and snapshot.state.views == "keep" else None
    suspected = suspects(prints, np.zeros(1, np.int64), seen, [])
    found = settle(new, suspected.of(0), recipe.matching, snapshot.forest(), look)
    pairs = [each for each in found if each.tier is not Tier.LOOK_ALIKE or recipe.matching.look_alikes == "drop"]
    return _with_groups(snapshot, [pair for each in pairs for pair in _direct(snapshot, each)])


@lru_cache(maxsize=1)
def _blas_threads() -> Any:
    """The threads of the libraries that are loaded, which takes a while to find out."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _direct(snapshot: Snapshot, found: Found) -> list[tuple[int, str, dict[str, Any]]]:
    """A pair with an entry is one with all entries of the same bytes."""
    evidence = {name: value for name, value in found.as_row().items() if name not in _ENDS}
    return [(int(entry), found.tier.value, evidence) for entry in snapshot.copies(found.entry)]


def twins_of_entry(snapshot: Snapshot, entry: int) -> Twins:
    """The twins of an entry: those that a pair ties to it, then the rest of its group."""
    members = snapshot.members(int(snapshot.group_of[entry]))
    if not len(members):
        return Twins()
    first = int(snapshot.stand_in[snapshot.first[entry]])
    direct: list[tuple[int, str, dict[str, Any]]] = [
        (int(each), Tier.EXACT.value, {}) for each in snapshot.copies(int(snapshot.first[entry])) if each != entry
    ]
    for row in snapshot.pairs_of(entry).to_pylist():
        evidence = {name: value for name, value in row.items() if value is not None and name not in _ENDS}
        other = int(row["b"] if row["a"] == first else row["a"])
        direct += [(int(each), row["tier"], evidence) for each in snapshot.copies(int(snapshot.first[other]))]
    return Twins(twin for twin in _with_groups(snapshot, direct) if twin.entry != entry)


def _with_groups(snapshot: Snapshot, direct: list[tuple[int, str, dict[str, Any]]]) -> Twins:
    told = {entry: (tier, evidence) for entry, tier, evidence in reversed(direct)}
    order = list(dict.fromkeys(entry for entry, _, _ in direct))
    groups = dict.fromkeys(int(snapshot.group_of[entry]) for entry in order)
    rest = [int(entry) for group in groups for entry in snapshot.members(group) if int(entry) not in told]
    return Twins(_twin(snapshot, entry, *told.get(entry, (None, {}))) for entry in (*order, *rest))


def _twin(snapshot: Snapshot, entry: int, tier: str | None, evidence: dict[str, Any]) -> Twin:
    shard = snapshot.state.shards[snapshot.entries["shard"][entry].as_py()]
    group = int(snapshot.group_of[entry])
    key = snapshot.entries["key"][entry].as_py()
    return Twin(key, shard.source, shard.name, entry, tier, evidence, group if group >= 0 else None)

"""A source with canaries among its samples."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dedupkit.canaries.fields import DONORS, fields_like
from dedupkit.canaries.places import place, shares
from dedupkit.errors import UsageError
from dedupkit.sample import Reason, Sample
from dedupkit.sources.base import Shard  # noqa: TC001 - a NamedTuple's types
from dedupkit.sources.lists import ListSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from dedupkit.canaries.places import Placed
    from dedupkit.canaries.planting import Planting
    from dedupkit.sources.base import Source


class _Location(NamedTuple):
    """Where a shard lies: the source's own shard, which canaries go there, and the shards that bound its keys."""

    inner: Shard
    canaries: tuple[int, ...] = ()
    following: Shard | None = None
    last: Shard | None = None
    in_last: int = 0
    first_copy: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySource:
    """A source in which canaries stand like any other samples.

    Attributes
    ----------
    source : Source
        Where the other samples come from.
    planting : Planting
        What is planted; it travels to workers as the manifest's path, not as its content.

    Notes
    -----
    A shard that gets canaries is read twice: once for its keys, so that places can be drawn and keys made that fit in
    between.  All others are passed through.
    """

    source: Source
    planting: Planting

    def __post_init__(self) -> None:
        if isinstance(self.source, ListSource):
            raise UsageError("canaries need a set with images that are decoded; leave out embeddings and hashes")

    def shards(self) -> Sequence[Shard]:
        """The source's own; their identities change with what is planted, by a digest that only the secret explains."""
        inner = list(self.source.shards())
        manifest = self.planting.manifest
        found, first = [], 0
        planted = shares(manifest, [shard.byte_size for shard in inner])
        for number, (shard, canaries) in enumerate(zip(inner, planted, strict=True)):
            following = inner[number + 1] if number + 1 < len(inner) else None
            location = _Location(shard, tuple(canaries), following, inner[-1], len(planted[-1]), first)
            tag = manifest.keyed("shard", self.planting.identity, shard.name, shard.identity, repr(canaries)).hex()
            found.append(replace(shard, identity=f"{shard.identity} {tag}", location=location))
            first += len(canaries)
        return found

    def fields(self, shard: Shard) -> pa.Schema | None:
        """The source's own."""
        return self.source.fields(shard.location.inner)

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream one shard with its canaries."""
        location: _Location = shard.location
        if not location.canaries:
            yield from self.source.read(location.inner)
            return
        placed, donors = self._planned(location)
        rng = self._chance("fields", location.inner)
        waiting = iter([*placed, None])
        following = next(waiting)
        for row, sample in enumerate(self.source.read(location.inner)):
            while following is not None and (following.row <= row or _is_damage(sample)):
                yield _sample(following, donors, rng)
                following = next(waiting)
            yield sample
        while following is not None:
            yield _sample(following, donors, rng)
            following = next(waiting)

    def _planned(self, location: _Location) -> tuple[list[Placed], list[Sample]]:
        """Places in a shard, and some samples of it to take after."""
        rng = self._chance("places", location.inner)
        keys: list[str] = []
        donors: list[Sample] = []
        for sample in self.source.read(location.inner):
            if _is_damage(sample):
                break
            keys.append(sample.key)
            if sample.fault is None:  # a reservoir: each has the same chance
                slot = len(donors) if len(donors) < DONORS else int(rng.integers(len(keys)))
                if slot < DONORS:
                    donors[slot : slot + 1] = [sample]
        planted = self.planting.manifest.planted
        canaries = [planted[index] for index in location.canaries]
        return place(keys, canaries, rng, lambda: self._after_last(location, keys)), donors

    def _after_last(self, location: _Location, keys: Sequence[str]) -> int | None:
        """The first number for a shard whose keys count without a gap; None where those after its last are free."""
        mine = _number(keys[-1])
        if location.following is None or location.last is None or mine is None:
            return None
        ahead = next((_number(sample.key) for sample in self.source.read(location.following)), None)
        if ahead is None or not mine < ahead <= mine + len(location.canaries):
            return None  # the next shard's numbers begin further on, or have another beginning
        ends = [number for sample in self.source.read(location.last) if (number := _number(sample.key)) is not None]
        return max([mine, *ends]) + 1 + location.in_last + location.first_copy

    def _chance(self, purpose: str, shard: Shard) -> np.random.Generator:
        return np.random.default_rng(int.from_bytes(self.planting.manifest.keyed(purpose, shard.name), "big"))


def _sample(placed: Placed, donors: Sequence[Sample], rng: np.random.Generator) -> Sample:
    fields = fields_like(donors, placed.key, placed.canary, rng) if donors else {}
    return Sample(placed.key, placed.canary.data, placed.canary.caption, fields)


def _is_damage(sample: Sample) -> bool:
    return sample.fault is not None and sample.fault.reason is Reason.DAMAGED_SHARD


def _number(key: str) -> int | None:
    digits = re.findall("[0-9]+", key)
    return int(digits[-1]) if digits else None

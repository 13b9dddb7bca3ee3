"""Samples that took a process down: remembered in the work folder, and without their image from then on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from dedupkit.guard.recorder import tag_of
from dedupkit.sample import Fault, Reason, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder

FILE = "condemned.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one shard.

    Attributes
    ----------
    faults : mapping of int to Fault
        By row.
    rows : int or None
        Rows that could be read before reading itself took the process down; None where it could be read to its end.
    detail : str
        What that was.
    """

    faults: Mapping[int, Fault] = field(default_factory=dict)
    rows: int | None = None
    detail: str = ""

    def __bool__(self) -> bool:
        return bool(self.faults) or self.rows is not None

    def joined(self, other: Verdict) -> Verdict:
        """What both say."""
        later = other if other.rows is not None else self
        return Verdict({**self.faults, **other.faults}, later.rows, later.detail)

    def to_json(self) -> dict[str, Any]:
        faults = {str(row): [fault.reason.value, fault.detail] for row, fault in sorted(self.faults.items())}
        return {"faults": faults, "rows": self.rows, "detail": self.detail}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Verdict:
        faults = {int(row): Fault(Reason(reason), detail) for row, (reason, detail) in said["faults"].items()}
        return cls(faults, said["rows"], said["detail"])


@dataclass(frozen=True, slots=True)
class Condemned:
    """What was found of all shards, by tag."""

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    @classmethod
    def read(cls, work: Folder) -> Condemned:
        """What earlier tries of a run have found."""
        if not work.exists(FILE):
            return cls()
        try:
            return cls({tag: Verdict.of(said) for tag, said in work.read_json(FILE).items()})
        except (ValueError, KeyError, TypeError, AttributeError):  # damaged: who kills is found again
            work.remove(FILE)
            return cls()

    def write(self, work: Folder) -> None:
        """Keep it for the tries to come."""
        work.write_json(FILE, {tag: verdict.to_json() for tag, verdict in sorted(self.verdicts.items())})

    def joined(self, found: Mapping[str, Verdict]) -> Condemned:
        """With what was found since."""
        both = {tag: self.verdicts.get(tag, Verdict()).joined(verdict) for tag, verdict in found.items()}
        return Condemned({**self.verdicts, **both})

    def over(self, source: Source) -> Source:
        """A source without the images of those samples; the source itself where there are none."""
        return CondemnedSource(source, self) if self.verdicts else source


@dataclass(frozen=True, slots=True)
class CondemnedSource:
    """A source some of whose samples have no image any more, but a fault."""

    source: Source
    condemned: Condemned

    def shards(self) -> Sequence[Shard]:
        """The source's own; those with condemned samples are others than before."""
        return [self._seen(shard) for shard in self.source.shards()]

    def _seen(self, shard: Shard) -> Shard:
        verdict = self.condemned.verdicts.get(tag_of(shard).hex())
        if not verdict:
            return shard
        said = hashlib.blake2b(repr(verdict.to_json()).encode(errors="replace"), digest_size=16).hexdigest()
        return replace(shard, identity=f"{shard.identity} {said}", location=_Condemned(shard, verdict))

    def fields(self, shard: Shard) -> pa.Schema | None:
        """The source's own."""
        return self.source.fields(plain(shard))

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream one shard."""
        if not isinstance(shard.location, _Condemned):
            yield from self.source.read(shard)
            return
        verdict = shard.location.verdict
        samples = self.source.read(shard.location.shard)
        for row, sample in enumerate(samples if verdict.rows is None else islice(samples, verdict.rows)):
            fault = verdict.faults.get(row)
            yield sample if fault is None else replace(sample, image=None, fault=fault)
        if verdict.rows is not None:
            yield Sample(shard.name, None, fault=Fault(Reason.DAMAGED_SHARD, verdict.detail))


@dataclass(frozen=True, slots=True)
class _Condemned:
    shard: Shard
    verdict: Verdict


def plain(shard: Shard) -> Shard:
    """The shard as the source below knows it."""
    return shard.location.shard if isinstance(shard.location, _Condemned) else shard

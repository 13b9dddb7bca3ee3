"""The tables of a run that the page reads besides the decisions, be the run under way or finished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedupkit.mitigation.stage import CLEANED_STAGE
from dedupkit.parts import read_table, read_tables, table_name
from dedupkit.report.borderline import Borderline, Turns, choose_pairs, limits_of
from dedupkit.report.facts import sample_facts
from dedupkit.report.histograms import COLUMNS, count_measures
from dedupkit.storage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from dedupkit.recipe import Matching
    from dedupkit.report.decided import Decided
    from dedupkit.report.facts import SampleFacts
    from dedupkit.report.gallery import GalleryGroup
    from dedupkit.report.histograms import Histogram
    from dedupkit.storage import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Where a report reads.

    Attributes
    ----------
    work : Folder
        The work folder.
    decisions : callable
        All decisions.
    shards : int
        How many there are.
    read_fingerprints : callable, optional
        Gives columns of the fingerprints of the shard of a number; as they lie in `work` if left out.
    under_way : bool
        Whether the run is, so that all its files are there.
    """

    work: Folder
    decisions: Decided
    shards: int
    read_fingerprints: Callable[[int, Sequence[str]], pa.Table] | None = None
    under_way: bool = False

    def stage(self, name: str) -> Stage:
        """The stage of a name."""
        return Stage(self.work.below(name), self.work.below("receipts").below(name))

    def fingerprints(self, number: int, columns: Sequence[str]) -> pa.Table:
        """Columns of the fingerprints of a shard."""
        if self.read_fingerprints is not None:
            return self.read_fingerprints(number, columns)
        return read_table(self.stage("fingerprints"), table_name(number), columns)

    def captions(self, number: int) -> pa.ChunkedArray | None:
        """Cleaned captions of a shard; None where a takedown took them, for those of the source may tell too much."""
        stage = self.stage(CLEANED_STAGE)
        if not self.under_way and not stage.parts.exists(table_name(number)):
            return None
        return read_table(stage, table_name(number), ("caption",))["caption"]

    def pairs(self, name: str) -> Iterator[pa.Table]:
        """Pairs of a file, some rows at a time."""
        if self.under_way or self.stage("pairs").parts.exists(name):
            yield from read_tables(self.stage("pairs"), name)

    def facts_of(self, positions: Iterable[int]) -> dict[int, SampleFacts]:
        """What is told of the samples at some positions."""
        return sample_facts(positions, self.decisions, self.fingerprints, self.captions)

    def histograms(self) -> tuple[Histogram, ...]:
        """What was measured of all pictures."""
        return count_measures(self.fingerprints(number, COLUMNS) for number in range(self.shards))


@dataclass(frozen=True, slots=True)
class Shown:
    """Groups and pairs that the page shows, and what it tells of their samples."""

    gallery: list[GalleryGroup]
    borderline: Borderline
    facts: dict[int, SampleFacts]

    @property
    def positions(self) -> list[int]:
        """Positions that thumbnails are wanted of, the most telling first."""
        return [*self.borderline.positions, *(each for group in self.gallery for each in group.positions)]


def shown_facts(rooms: Rooms, gallery: list[GalleryGroup], matching: Matching, searched_bits: int) -> Shown:
    """Pick the pairs, and look up what is told of all samples that are shown; nothing of those that are blocked."""
    turns = Turns(gallery)
    tables = turns.noting(rooms.pairs("pairs.parquet")), rooms.pairs("look_alikes.parquet")
    pairs = choose_pairs(*tables, limits_of(matching, searched_bits))
    facts = rooms.facts_of([*pairs.positions, *(each for group in gallery for each in group.positions)])
    shown = pairs.without(lambda position: position not in facts or facts[position].gone)
    return Shown(turns.told(), shown, facts)

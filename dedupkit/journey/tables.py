"""The tables between stages in a work folder, as every room reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from dedupkit.blocking import with_blocked
from dedupkit.hygiene import checks
from dedupkit.mitigation.stage import CLEANED_STAGE, SETTLED_STAGE
from dedupkit.parts import read_table, table_name
from dedupkit.review.placing import spared
from dedupkit.storage import Folder, Stage, digest
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from dedupkit.engines import Engine
    from dedupkit.hygiene.placeholders import Placeholders
    from dedupkit.recipe import Hygiene

PAIRS_NAME, LOOK_ALIKES_NAME = "pairs.parquet", "look_alikes.parquet"
_MAPPED = ("views", "example_views")  # files of these stages are mapped into memory


@cache
def _room() -> TemporaryFolder:
    return TemporaryFolder()  # goes when the process ends


def mapped_at(work: Folder, engine: Engine) -> Folder:
    """Where files lie that are mapped: on this machine's disk, if the work folder does not and all tasks run here."""
    here = work.remote and engine.on_this_machine
    return Folder(f"{_room().path}/{digest(work.url)}", durable=False) if here else work


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables between stages in a work folder; picklable, so that tasks can read them.

    Attributes
    ----------
    work : Folder
        Where they lie.
    hygiene : Hygiene
        The checks that fingerprints are read through.
    placeholders : Placeholders
        Those that it looks for.
    mapped : Folder
        Where the tables lie that are mapped into memory.
    cleaned : bool
        Whether captions are read as `clean_captions` left them.
    blocked_by : tuple of str
        The stages that block samples by what they show.
    spared : tuple of int
        The shards in which a person wants samples whose images were blocked unseen.
    """

    work: Folder
    hygiene: Hygiene
    placeholders: Placeholders
    mapped: Folder
    cleaned: bool = False
    blocked_by: tuple[str, ...] = ()
    spared: tuple[int, ...] = ()

    def stage(self, name: str) -> Stage:
        """The stage of a name."""
        work = self.mapped if name in _MAPPED else self.work
        return Stage(work.below(name), work.below("receipts").below(name))

    def fingerprints(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns of the fingerprints of one shard, checked by the rules of hygiene, captions cleaned."""
        stage, name = self.stage("fingerprints"), table_name(number)
        judged = columns is None or bool({"fault", "fault_detail"}.intersection(columns))
        wanted = columns if columns is None or not judged else [*dict.fromkeys((*columns, *checks.COLUMNS))]
        table = read_table(stage, name, wanted)
        if number in self.spared:
            table = spared(self, number, table)
        if judged:
            table = checks.checked(with_blocked(table, self.blocked(number)), self.hygiene, self.placeholders)
        if self.cleaned and (judged or "caption" in table.column_names):
            table = checks.with_captions(table, read_table(self.stage(CLEANED_STAGE), name))
        return table if columns is None else table.select(columns)

    def blocked(self, number: int) -> list[pa.Table]:
        """Which samples of one shard show what was taken down or an example, or are copies of one that does."""
        return [read_table(self.stage(name), table_name(number)) for name in self.blocked_by]

    def raw_captions(self, number: int) -> pa.ChunkedArray:
        """Captions of one shard as the source has them."""
        return read_table(self.stage("fingerprints"), table_name(number), ("caption",))["caption"]

    def captions(self, number: int) -> pa.Table:
        """What each sample of one shard is emitted with: a caption, and the list of all."""
        return read_table(self.stage(SETTLED_STAGE), table_name(number))

    def decisions(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns of the decisions about one shard."""
        return read_table(self.stage("decisions"), table_name(number), columns)


@dataclass(frozen=True, slots=True)
class Matched:
    """What matching found, in files of the work folder.

    Attributes
    ----------
    stage : Stage
        Where they lie.
    """

    stage: Stage

    @property
    def pairs(self) -> pa.Table:
        """All copies, in the schema of `dedupkit.sample.PAIRS`."""
        return read_table(self.stage, PAIRS_NAME)

    @property
    def look_alikes(self) -> pa.Table:
        """What is near by descriptor and was refused, in the same schema."""
        return read_table(self.stage, LOOK_ALIKES_NAME)

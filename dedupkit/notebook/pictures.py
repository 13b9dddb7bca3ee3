"""Small pictures of a source's samples, read when somebody looks at them and not before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dedupkit.errors import DedupkitError
from dedupkit.fingerprints.decode import header
from dedupkit.fingerprints.pillow import strict_pillow
from dedupkit.report.thumbnails import thumbnail
from dedupkit.sample import ROW_BITS, Fault
from dedupkit.sources import open_source
from dedupkit.sources.folder import FolderSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dedupkit.recipe import Recipe
    from dedupkit.sources.base import Source

SIDE = 128  # pixels of the longer side
MAX_READ_BYTES = 256 << 20  # of encoded images a cell, those in front of the wanted ones included


@dataclass(frozen=True, slots=True)
class Pictures:
    """Thumbnails of a source that can be read again.

    Attributes
    ----------
    source : object
        What was searched.
    recipe : Recipe
        Of the search: its source options and limits are used.
    hidden : frozenset of int
        Positions of what is not shown: faces, pages of text and nudity, where the recipe looks for such.
    """

    source: Any
    recipe: Recipe
    hidden: frozenset[int] = frozenset()
    _known: dict[int, bytes | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, source: Any, recipe: Recipe, hidden: frozenset[int] = frozenset()) -> Pictures | None:
        """The pictures of a source; None of one that can be read only once."""
        return None if isinstance(source, Iterator) or is_query(source) else cls(source, recipe, hidden)

    def thumbnails(self, wanted: Mapping[int, str]) -> dict[int, bytes]:
        """Small JPEGs without metadata, by position.

        Parameters
        ----------
        wanted : mapping of int to str
            Keys by position, in the order in which they matter.  What is not there any more under that key, cannot be
            decoded, or lies beyond the first 256 MiB that had to be read, is left out; so is all of a source that is
            gone.
        """
        missing = {place: key for place, key in wanted.items() if place not in self._known | dict.fromkeys(self.hidden)}
        if missing:
            with suppress(DedupkitError, OSError):
                self._known.update(self._read(missing))
        return {place: found for place in wanted if (found := self._known.get(place)) is not None}

    def _read(self, wanted: Mapping[int, str]) -> dict[int, bytes | None]:
        opened = open_source(self.source, self.recipe.source, **self.recipe.limits.of_files)
        found, room = dict[int, bytes | None](), MAX_READ_BYTES
        for position, key, image in _samples(opened, _by_shard(wanted)):
            if position in wanted and key in wanted[position]:  # a key that clashed has the shard's name in front
                found[position] = self._small(image)
            room -= len(image)
            if room < 0:
                break
        return found

    def _small(self, image: bytes) -> bytes | None:
        if isinstance(header(image, self.recipe.limits), Fault):
            return None
        with strict_pillow():
            return thumbnail(image, SIDE)


def is_query(source: Any) -> bool:
    """Whether a source is a DuckDB relation, whose rows may come in another order when it is asked again."""
    return type(source).__module__.partition(".")[0] in ("duckdb", "_duckdb")


def _by_shard(positions: Iterable[int]) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = defaultdict(list)
    for position in positions:
        rows[position >> ROW_BITS].append(position & ((1 << ROW_BITS) - 1))
    return rows


def _samples(source: Source, rows: Mapping[int, list[int]]) -> Iterator[tuple[int, str, bytes]]:
    """Position, key and image of the samples of each shard up to the last that is wanted; of a folder, only those."""
    shards = source.shards()
    for number, wanted in rows.items():
        if number >= len(shards):
            continue
        shard, places = shards[number], list(range(max(wanted) + 1))
        if isinstance(source, FolderSource):
            places = [row for row in sorted(wanted) if row < len(shard.location)]
            shard = replace(shard, location=tuple(shard.location[row] for row in places))
        for row, sample in zip(places, source.read(shard), strict=False):
            yield number << ROW_BITS | row, sample.key, sample.image or b""

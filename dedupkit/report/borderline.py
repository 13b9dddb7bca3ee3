"""Pairs nearest to the limits: those that only just count as copies, those that only just do not, and look-alikes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.report.words import plain_words, turn_words
from dedupkit.sample import Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dedupkit.recipe import Matching
    from dedupkit.report.gallery import GalleryGroup, GalleryMember

MAX_OF_A_SIDE = 30
MAX_LOOK_ALIKES = 40
_COLUMNS = ["a", "b", "tier", "hamming_bits", "orientation", "trimmed", "cosine"]
_COLUMNS += ["inliers", "blocks", "agreement", "overlap", "transform", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPair:
    """A pair as it is shown, and what speaks for it, as in `dedupkit.sample.PAIRS`."""

    a: int
    b: int
    tier: str | None
    hamming_bits: int | None
    orientation: str | None
    trimmed: str | None
    cosine: float | None
    inliers: int | None
    blocks: int | None
    agreement: float | None
    overlap: float | None
    score: float | None
    turn: str | None

    def words(self, hash_bits: int) -> str:
        """The evidence for people."""
        return plain_words(self, hash_bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Pairs nearest to one limit of the recipe.

    Attributes
    ----------
    name : str
        Column of `dedupkit.sample.PAIRS` that the limit is about.
    option : str
        Name of the limit in ``[matching]``.
    limit : float
        What the recipe has there.
    accepted, refused : tuple of ShownPair
        Copies and others, those nearest to the limit first.
    """

    name: str
    option: str
    limit: float
    accepted: tuple[ShownPair, ...]
    refused: tuple[ShownPair, ...]

    @property
    def pairs(self) -> tuple[ShownPair, ...]:
        """All of them."""
        return self.accepted + self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Borderline:
    """Pairs that a person who chooses limits should look at.

    Attributes
    ----------
    measures : tuple of Measure
        One for each limit that some pair is near to.
    look_alikes : tuple of ShownPair
        No copies, but near by descriptor; the nearest first.
    look_alikes_total : int
        How many there are.
    """

    measures: tuple[Measure, ...] = ()
    look_alikes: tuple[ShownPair, ...] = ()
    look_alikes_total: int = 0

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions that thumbnails are wanted of, the most telling first."""
        pairs = [pair for measure in self.measures for pair in measure.pairs] + list(self.look_alikes)
        return tuple(dict.fromkeys(end for pair in pairs for end in (pair.a, pair.b)))

    def without(self, gone: Callable[[int], bool]) -> Borderline:
        """Less the pairs that touch a sample of which `gone` is true."""

        def left(pairs: tuple[ShownPair, ...]) -> tuple[ShownPair, ...]:
            return tuple(pair for pair in pairs if not (gone(pair.a) or gone(pair.b)))

        measures = (replace(each, accepted=left(each.accepted), refused=left(each.refused)) for each in self.measures)
        return replace(
            self, measures=tuple(each for each in measures if each.pairs), look_alikes=left(self.look_alikes)
        )


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a limit: which pairs stand there, and whether large values or small ones are near to it."""

    name: str
    tier: Tier
    order: str


_ACCEPTED = (
    _Side("score", Tier.GEOMETRIC, "ascending"),
    _Side("hamming_bits", Tier.PERCEPTUAL, "descending"),
    _Side("cosine", Tier.DESCRIPTOR, "ascending"),
)
_REFUSED = _Side("score", Tier.LOOK_ALIKE, "descending")
_LOOK_ALIKE = _Side("cosine", Tier.LOOK_ALIKE, "descending")


def choose_pairs(
    pairs: Iterable[pa.Table], look_alikes: Iterable[pa.Table], limits: Mapping[str, tuple[str, float]]
) -> Borderline:
    """Pick the pairs nearest to the limits; what is held does not grow with their number.

    Parameters
    ----------
    pairs, look_alikes : iterable of pyarrow.Table
        Copies, and pairs that were refused, in the schema of `dedupkit.sample.PAIRS`, some at a time.
    limits : mapping of str to (str, float)
        What `limits_of` gives.
    """
    nearest: dict[_Side, pa.Table] = {}
    counted: Counter[str] = Counter()
    for table in pairs:
        for side in _ACCEPTED:
            _take(nearest, side, table, MAX_OF_A_SIDE)
    for table in look_alikes:
        counted["all"] += table.num_rows
        telling = table.filter(pc.fill_null(pc.greater(table["score"], 0), False))
        _take(nearest, _REFUSED, telling, MAX_OF_A_SIDE)
        _take(nearest, _LOOK_ALIKE, table, MAX_LOOK_ALIKES)
    measures = [
        Measure(
            name=side.name,
            option=limits[side.name][0],
            limit=limits[side.name][1],
            accepted=_shown(nearest.get(side)),
            refused=_shown(nearest.get(_REFUSED)) if side.name == "score" else (),
        )
        for side in _ACCEPTED
    ]
    return Borderline(
        measures=tuple(measure for measure in measures if measure.pairs),
        look_alikes=_shown(nearest.get(_LOOK_ALIKE)),
        look_alikes_total=counted["all"],
    )


def limits_of(matching: Matching, searched_bits: int) -> dict[str, tuple[str, float]]:
    """The limits that pairs are held against: name of the option and value, by column."""
    return {
        "score": ("min_score", matching.min_score),
        "hamming_bits": ("max_hamming_bits", float(searched_bits)),
        "cosine": ("min_cosine", matching.min_cosine),
    }


def _take(nearest: dict[_Side, pa.Table], side: _Side, table: pa.Table, count: int) -> None:
    rows = table.select(_COLUMNS).filter(pc.equal(table["tier"], side.tier.value))
    rows = rows.filter(rows[side.name].is_valid())
    if rows.num_rows:
        held = [*([nearest[side]] if side in nearest else []), rows]
        order = [(side.name, side.order), ("a", "ascending"), ("b", "ascending")]
        nearest[side] = pa.concat_tables(held).sort_by(order).slice(0, count).combine_chunks()


def _shown(rows: pa.Table | None) -> tuple[ShownPair, ...]:
    found = [] if rows is None else rows.to_pylist()
    return tuple(ShownPair(turn=turn_words(row.pop("transform")), **row) for row in found)


@dataclass(slots=True)
class Turns:
    """How geometry had to turn the edited copies of some groups, noted while all pairs go by.

    Attributes
    ----------
    gallery : list of GalleryGroup
        Those groups.
    """

    gallery: list[GalleryGroup]
    _found: dict[frozenset[int], str] = field(default_factory=dict)

    def noting(self, pairs: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same tables."""
        shown = pa.array(sorted({each for group in self.gallery for each in group.positions}), pa.uint64())
        for table in pairs:
            here = table.select(["a", "b", "transform"]).filter(pc.equal(table["tier"], Tier.GEOMETRIC.value))
            here = here.filter(pc.and_(*(pc.is_in(here[end], value_set=shown) for end in ("a", "b"))))
            for row in here.to_pylist():
                if words := turn_words(row["transform"]):
                    self._found[frozenset((row["a"], row["b"]))] = words
            yield table

    def told(self) -> list[GalleryGroup]:
        """The groups, with what was noted."""
        return [replace(group, members=self._turned(group)) for group in self.gallery]

    def _turned(self, group: GalleryGroup) -> tuple[GalleryMember, ...]:
        kept = {member.key: member.position for member in group.members if member.kept}
        return tuple(
            replace(
                each, turn=self._found.get(frozenset((each.position, kept.get(each.kept_key or "", each.position))))
            )
            for each in group.members
        )

"""Pictures that checks of hygiene took out, for a person to judge the limits by: which are shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.hygiene.checks import OPTION
from dedupkit.hygiene.placeholders import bits_of
from dedupkit.sample import ROW_BITS, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dedupkit.report.decided import Decided

MEASURES = ("position", "width", "height", "darkest", "brightest", "blur")
_BEYOND: dict[Reason, Callable[[pa.Table], pa.ChunkedArray]] = {
    Reason.TOO_SMALL: lambda seen: pc.negate(_number(pc.min_element_wise(seen["width"], seen["height"]))),
    Reason.EXTREME_ASPECT: lambda seen: pc.divide(
        _number(pc.max_element_wise(seen["width"], seen["height"])),
        _number(pc.min_element_wise(seen["width"], seen["height"])),
    ),
    Reason.BLANK: lambda seen: pc.subtract(_number(seen["darkest"]), _number(seen["brightest"])),
    Reason.DARK: lambda seen: pc.negate(_number(seen["brightest"])),
    Reason.OVEREXPOSED: lambda seen: _number(seen["darkest"]),
    Reason.BLURRED: lambda seen: _number(seen["blur"]),
    Reason.ANIMATED: lambda seen: _number(seen["position"]),
    Reason.PLACEHOLDER: lambda seen: pc.negate(_number(bits_of(seen["detail"]))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A picture that was taken out, as it is shown.

    Attributes
    ----------
    position : int
        Place of the sample, by which its thumbnail is looked up.
    key : str
        Its name.
    detail : str or None
        What was seen, and the limit.
    """

    position: int
    key: str
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewGroup:
    """Pictures that one check took out, as they are shown.

    Attributes
    ----------
    reason : Reason
        The check's.
    total : int
        How many it took out.
    pictures : tuple of Preview
        Those that are shown, the ones nearest to the limit first.
    """

    reason: Reason
    total: int
    pictures: tuple[Preview, ...]

    @property
    def option(self) -> str:
        """Name of the option in ``[hygiene]`` that is the limit."""
        return OPTION[self.reason]

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions that thumbnails are wanted of."""
        return tuple(picture.position for picture in self.pictures)


def taken_out(decisions: pa.Table) -> pa.Table:
    """The decisions of `dedupkit.sample.DECISIONS` that a check of hygiene made."""
    return decisions.filter(pc.is_in(decisions["reason"], value_set=pa.array([reason.value for reason in _BEYOND])))


def choose_previews(parts: Iterable[tuple[pa.Table, pa.Table]], max_pictures: int = 8) -> list[PreviewGroup]:
    """Pick pictures for every check that took some out, in the order of the reasons.

    Parameters
    ----------
    parts : iterable of two pyarrow.Table
        What `taken_out` gave of some samples, and `MEASURES` of at least those, out of their fingerprints.
    max_pictures : int
        How many are shown of each check: those nearest to its limit, and of equals the first.
    """
    shown: dict[Reason, pa.Table] = {}
    totals: Counter[Reason] = Counter()
    for removed, measured in parts:
        places = pc.index_in(removed["position"], value_set=measured["position"].combine_chunks())
        seen = measured.take(places).append_column("detail", removed["detail"])
        for reason in _BEYOND:  # sensitive pictures are not shown
            chosen = pc.equal(removed["reason"], reason.value)
            rows = removed.select(["position", "key", "detail"]).filter(chosen)
            if rows.num_rows:
                totals[reason] += rows.num_rows
                ordered = rows.append_column("beyond", _BEYOND[reason](seen.filter(chosen)))
                both = pa.concat_tables([*([shown[reason]] if reason in shown else []), ordered])
                order = [("beyond", "ascending"), ("position", "ascending")]
                shown[reason] = both.sort_by(order).slice(0, max_pictures)
    return [
        PreviewGroup(
            reason=reason,
            total=totals[reason],
            pictures=tuple(Preview(**row) for row in shown[reason].drop_columns("beyond").to_pylist()),
        )
        for reason in _BEYOND
        if reason in shown
    ]


def previews_of(decisions: Decided, measures: Callable[[int], pa.Table]) -> list[PreviewGroup]:
    """Pictures to show of what the checks of hygiene took out; `measures` gives those of the shard of a number."""

    def parts() -> Iterator[tuple[pa.Table, pa.Table]]:
        for table in decisions(["position", "key", "reason", "detail"]):
            removed = taken_out(table)
            shards = removed["position"].to_numpy() >> np.uint64(ROW_BITS)
            for number in np.unique(shards).tolist():
                yield removed.filter(pa.array(shards == number)), measures(number)

    return choose_previews(parts())


def _number(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(values, pa.float64(), safe=False)

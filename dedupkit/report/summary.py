"""What the decisions add up to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.errors import RunError
from dedupkit.report.decided import decided_of
from dedupkit.report.gallery import group_sizes
from dedupkit.sample import Action, Note, Reason, Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from enum import StrEnum

    from dedupkit.report.decided import Decided

MAX_QUARANTINED = 1000
_QUARANTINE_COLUMNS = ["key", "shard", "reason", "detail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts over all decisions.

    Attributes
    ----------
    samples : mapping of str to int
        ``in``, ``kept``, ``dropped``, ``quarantined``; the first is the sum of the others.
    reasons, notes, tiers : mapping of str to int
        Samples by reason, note and tier of evidence, each value of the closed list in its order, zeros included.
    group_sizes : mapping of int to int
        Number of duplicate groups by number of members, ascending.
    quarantined : tuple of mapping
        Key, shard, reason and detail of the first 1000 quarantined samples by position.
    """

    samples: Mapping[str, int]
    reasons: Mapping[str, int]
    notes: Mapping[str, int]
    tiers: Mapping[str, int]
    group_sizes: Mapping[int, int]
    quarantined: tuple[Mapping[str, str | None], ...]

    @property
    def groups(self) -> dict[str, Any]:
        """The duplicate groups in numbers, as ``report.json`` has them."""
        return {
            "count": sum(self.group_sizes.values()),
            "largest": max(self.group_sizes, default=0),
            "samples_in_groups": sum(members * groups for members, groups in self.group_sizes.items()),
            "sizes": {str(members): groups for members, groups in self.group_sizes.items()},
        }


def summarise(decisions: pa.Table | Decided) -> Summary:
    """Add up decisions.

    Parameters
    ----------
    decisions : pyarrow.Table or callable
        In the schema of `dedupkit.sample.DECISIONS`, sorted by position; takes 24 bytes a sample that stands in a
        group.

    Raises
    ------
    RunError
        Kept, dropped and quarantined samples do not add up to those that came in, or a reason stands at another
        action than its own.
    """
    read = decided_of(decisions)
    counts: dict[str, Counter[Any]] = {name: Counter() for name in ("action", "reason", "tier", "notes")}
    faulty: list[Mapping[str, str | None]] = []
    for table in read([*counts, *(name for name in _QUARANTINE_COLUMNS if name not in counts)]):
        for name, counted in counts.items():
            counted.update(_counts(pc.list_flatten(table[name]) if name == "notes" else table[name]))
        quarantined = table.filter(pc.equal(table["action"], Action.QUARANTINE.value)).select(_QUARANTINE_COLUMNS)
        faulty += quarantined.slice(0, MAX_QUARANTINED - len(faulty)).to_pylist()
    actions, reasons = counts["action"], _in_order(Reason, counts["reason"])
    samples = {
        "in": actions.total(),
        "kept": actions[Action.KEEP],
        "dropped": actions[Action.DROP],
        "quarantined": actions[Action.QUARANTINE],
    }
    _check(samples, reasons)
    sizes, groups = np.unique(group_sizes(read)[1], return_counts=True)
    return Summary(
        samples=samples,
        reasons=reasons,
        notes=_in_order(Note, counts["notes"]),
        tiers=_in_order(Tier, counts["tier"]),
        group_sizes=dict(zip(sizes.tolist(), groups.tolist(), strict=True)),
        quarantined=tuple(faulty),
    )


def _counts(values: pa.ChunkedArray | pa.Array) -> dict[Any, int]:
    """How often each value stands there, nulls aside."""
    counted = pc.value_counts(pc.drop_null(values))
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _in_order(names: Iterable[StrEnum], counts: Mapping[str, int]) -> dict[str, int]:
    return {name.value: counts.get(name.value, 0) for name in names}


def _check(samples: Mapping[str, int], reasons: Mapping[str, int]) -> None:
    total = samples["kept"] + samples["dropped"] + samples["quarantined"]
    if samples["in"] != total:
        raise RunError(
            f"{samples['in']} samples came in, but {total} were kept, dropped or quarantined; "
            "this is a bug in dedupkit: please report it, with the recipe"
        )
    for action, name in ((Action.KEEP, "kept"), (Action.DROP, "dropped"), (Action.QUARANTINE, "quarantined")):
        reasoned = sum(count for reason, count in reasons.items() if Reason(reason).action is action)
        if reasoned != samples[name]:
            raise RunError(
                f"{samples[name]} samples were {name}, but {reasoned} have a reason for it; "
                "this is a bug in dedupkit: please report it, with the recipe"
            )

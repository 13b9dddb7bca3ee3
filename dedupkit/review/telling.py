"""What became of marks, for the report and the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.sample import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.journey import Journey
    from dedupkit.review.overrides import Overrides

_SHOWN = 3
_log = logging.getLogger("dedupkit")


def told_of_marks(journey: Journey, overrides: Overrides, decisions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ``report.json`` says of marks; what could not be obeyed is said in the log, a line a kind.

    Parameters
    ----------
    journey : Journey
        The run, its decisions made.
    overrides : Overrides
        The marks.
    decisions : sequence of dict
        What `Journey.decide` reports.

    Returns
    -------
    dict
        ``file`` and ``sha256``; ``marks``, how many keys bear one; ``kept`` and ``dropped``, samples by hand;
        ``unknown_keys``; ``not_obeyed``, marks of samples that cannot stay; ``without_group``.
    """
    counts = {name: sum(report["by_hand"][name] for report in decisions) for name in ("kept", "dropped")}
    counts |= {
        "unknown_keys": overrides.marks.num_rows - sum(report["by_hand"]["placed"] for report in decisions),
        "not_obeyed": sum(report["by_hand"]["refused"] for report in decisions),
        "without_group": sum(report["by_hand"]["alone"] for report in decisions),
    }
    if counts["unknown_keys"]:
        _log.warning(
            "overrides: %d marks are of keys that no sample has, such as %s; were they made for another set?",
            counts["unknown_keys"],
            _shown(_unknown(journey, overrides)),
        )
    if counts["not_obeyed"]:
        _log.warning(
            "overrides: %d marks could not be obeyed, such as %s: the image cannot be decoded or was taken down; the "
            "sample stays out, and its decision says why",
            counts["not_obeyed"],
            _shown(_not_obeyed(journey, overrides)),
        )
    if counts["without_group"]:
        _log.warning("overrides: %d marks are of groups where there is none", counts["without_group"])
    about = {"file": overrides.file, "sha256": overrides.sha256, "marks": overrides.marks.num_rows}
    return about | counts


def _unknown(journey: Journey, overrides: Overrides) -> pa.Array:
    """Keys of marks that no sample has."""
    keys = overrides.marks["key"].combine_chunks()
    for number in range(len(journey.shards)):
        known = journey.tables.decisions(number, ("key",))["key"]
        keys = keys.filter(pc.invert(pc.is_in(keys, value_set=known.combine_chunks())))
    return keys


def _not_obeyed(journey: Journey, overrides: Overrides) -> pa.Array:
    """Keys of samples that were to be kept and are not."""
    wanted = overrides.marks.filter(overrides.marks["keep"])["key"].combine_chunks()
    found = [pa.array([], pa.string())]
    for number in range(len(journey.shards)):
        table = journey.tables.decisions(number, ("key", "reason"))
        table = table.filter(pc.not_equal(table["reason"], Reason.KEPT_BY_HAND.value))
        found.append(table.filter(pc.is_in(table["key"], value_set=wanted))["key"].combine_chunks())
    return pa.concat_arrays(found)


def _shown(keys: pa.Array) -> str:
    from dedupkit.terminal import printable

    return ", ".join(printable(key)[:80] for key in keys.slice(0, _SHOWN).to_pylist())

"""Pictures that stand over very many different captions: "image not found", logos, tracking pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.mitigation.captions import normal_forms
from dedupkit.sample import Action

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_CAPTIONS = 10
_SHOWN = 20


def suspected_placeholders(decisions: pa.Table, captions: Callable[[pa.Table], pa.ChunkedArray]) -> dict[str, Any]:
    """Count the groups of copies that stand over `MIN_CAPTIONS` different captions or more.

    Parameters
    ----------
    decisions : pyarrow.Table
        In the schema of `dedupkit.sample.DECISIONS`.
    captions : callable
        Gives the source's captions of some rows of `decisions`, which stand in groups of that many samples.

    Returns
    -------
    dict
        ``groups``, their number, ``samples`` in them, and ``largest``: the 20 with most captions, each with the ``key``
        of a sample that stays, ``samples`` and ``captions``.  A picture that people describe in so many ways is hardly
        described by any of them; but a famous painting looks the same to this, so nothing is dropped for it.
    """
    large = decisions.filter(pc.greater_equal(decisions["group_size"], MIN_CAPTIONS))
    if not large.num_rows:
        return {"groups": 0, "samples": 0, "largest": []}
    rows = large.select(["group", "key", "action"]).append_column("form", normal_forms(captions(large)))
    counted = rows.group_by("group").aggregate([("form", "count_distinct"), ("key", "count")])
    suspects = counted.filter(pc.greater_equal(counted["form_count_distinct"], MIN_CAPTIONS))
    order = [("form_count_distinct", "descending"), ("group", "ascending")]
    shown = suspects.sort_by(order).slice(0, _SHOWN).to_pylist()
    kept = rows.filter(pc.equal(rows["action"], Action.KEEP.value))
    keys = dict(zip(reversed(kept["group"].to_pylist()), reversed(kept["key"].to_pylist()), strict=True))
    return {
        "groups": suspects.num_rows,
        "samples": pc.sum(suspects["key_count"]).as_py() or 0,
        "largest": [
            {"key": keys[row["group"]], "samples": row["key_count"], "captions": row["form_count_distinct"]}
            for row in shown
        ],
    }

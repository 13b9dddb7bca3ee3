"""Pictures that stand over very many different captions: "image not found", logos, tracking pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.mitigation.captions import caption_digest, normal_forms
from dedupkit.report.decided import decided_of
from dedupkit.sample import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dedupkit.report.decided import Decided

MIN_CAPTIONS = 10
_SHOWN = 20


def suspected_placeholders(
    decisions: pa.Table | Decided, captions: Callable[[pa.Table], pa.ChunkedArray]
) -> dict[str, Any]:
    """Count the groups of copies that stand over `MIN_CAPTIONS` different captions or more.

    Parameters
    ----------
    decisions : pyarrow.Table or callable
        In the schema of `dedupkit.sample.DECISIONS`; takes 40 bytes a sample that stands in a group of that many.
    captions : callable
        Gives the source's captions of some rows of `decisions`, which stand in groups of that many samples.

    Returns
    -------
    dict
        ``groups``, their number, ``samples`` in them, and ``largest``: the 20 with most captions, each with the ``key``
        of a sample that stays, ``samples`` and ``captions``.  A picture that people describe in so many ways is hardly
        described by any of them; but a famous painting looks the same to this, so nothing is dropped for it.
    """
    read = decided_of(decisions)
    group, form = _forms(read, captions)
    groups, sizes = np.unique(group, return_counts=True)
    different = np.unique(np.stack([group, form])[:, form != 0], axis=1)[0]
    forms = np.bincount(np.searchsorted(groups, different), minlength=len(groups))
    suspects = np.flatnonzero(forms >= MIN_CAPTIONS)
    shown = suspects[np.argsort(-forms[suspects], kind="stable")][:_SHOWN]
    keys = _kept_keys(read, groups[shown])
    return {
        "groups": len(suspects),
        "samples": int(sizes[suspects].sum()),
        "largest": [
            {"key": keys[int(groups[each])], "samples": int(sizes[each]), "captions": int(forms[each])}
            for each in shown.tolist()
        ],
    }


def _forms(
    read: Decided, captions: Callable[[pa.Table], pa.ChunkedArray]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The group of each sample of a large one, and 64 bits of its caption's normal form; 0 where there is none."""
    groups, forms = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for table in read(["position", "group", "group_size"]):
        large = table.filter(pc.fill_null(pc.greater_equal(table["group_size"], MIN_CAPTIONS), False))
        large = large.filter(large["group"].is_valid())
        if large.num_rows:
            texts = normal_forms(captions(large)).to_pylist()
            groups.append(large["group"].to_numpy().astype(np.uint64))
            forms.append(np.array([0 if text is None else caption_digest(text) | 1 for text in texts], np.uint64))
    return np.concatenate(groups), np.concatenate(forms)


def _kept_keys(read: Decided, groups: NDArray[np.uint64]) -> dict[int, str]:
    """The key of the first sample that stays of each group."""
    wanted, keys = pa.array(groups, pa.uint64()), dict[int, str]()
    for table in read(["group", "key", "action"]) if len(groups) else ():
        stays = pc.and_(pc.equal(table["action"], Action.KEEP.value), pc.is_in(table["group"], value_set=wanted))
        for row in table.filter(stays).to_pylist():
            keys.setdefault(row["group"], row["key"])
    return keys

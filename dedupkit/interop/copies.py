"""Samples of a result as other tools are told of them, with their pictures out of the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.errors import UsageError
from dedupkit.found import Found
from dedupkit.options import resolve_recipe
from dedupkit.sample import Action, Reason, Tier
from dedupkit.sources import open_source

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Mapping

    from dedupkit.cleaning import Result
    from dedupkit.recipe import Recipe
    from dedupkit.sources.base import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A sample as another tool is told of it.

    Attributes
    ----------
    key : str
        Its name.
    action, reason : str or None
        Of the decision; None where a search only looked.
    group : str or None
        Name of its duplicate group.
    group_size : int
        Members of that; 1 outside.
    kept_key : str or None
        The kept sample that a dropped one was matched with.
    tier : str or None
        What made that pair, or the strongest pair of a sample that was only looked at.
    similarity : float or None
        1 for equal bytes, else the cosine of the descriptors; None where there are none.
    score : float or None
        Of geometry's evidence, in [0, 1].
    hamming_bits : int or None
        Of the hashes.
    """

    key: str
    action: str | None = None
    reason: str | None = None
    group: str | None = None
    group_size: int = 1
    kept_key: str | None = None
    tier: str | None = None
    similarity: float | None = None
    score: float | None = None
    hamming_bits: int | None = None


def told_of(result: Result | Found) -> Iterator[Told]:
    """All samples of a cleaning run, or those of a search that stand in a duplicate group."""
    return _of_search(result) if isinstance(result, Found) else _of_run(result)


def _of_run(result: Result) -> Iterator[Told]:
    names = ["key", "action", "reason", "group", "group_size", "kept_key", "tier", "evidence"]
    for batch in result.decisions().select(names).to_batches(4096):
        for row in batch.to_pylist():
            group = row.pop("group")
            numbers = _numbers(row["tier"], row.pop("evidence") or {})
            yield Told(**row, group=None if group is None else f"group-{group}", **numbers)


def _of_search(found: Found) -> Iterator[Told]:
    best = strongest(found)
    for number, group in enumerate(found.groups):
        for key in group:
            row = best[key]
            numbers = _numbers(row["tier"], row)
            yield Told(key=key, group=f"group-{number}", group_size=len(group), tier=row["tier"], **numbers)


def strongest(found: Found) -> dict[str, Mapping[str, Any]]:
    """The strongest pair of each sample that has one."""
    from dedupkit.report.contact_sheet import strength

    best: dict[str, Mapping[str, Any]] = {}
    for row in found.pairs.to_pylist():
        for key in (row["a"], row["b"]):
            if key not in best or strength(row) > strength(best[key]):
                best[key] = row
    return best


def _numbers(tier: str | None, evidence: Mapping[str, Any]) -> dict[str, Any]:
    similarity = 1.0 if tier == Tier.EXACT else evidence.get("cosine")
    return {"similarity": similarity, "score": evidence.get("score"), "hamming_bits": evidence.get("hamming_bits")}


def doubtful_drops(result: Result, n: int) -> pa.Table:
    """The `n` dropped copies of a run with the weakest evidence: ``key``, ``kept_key``, ``tier`` and evidence."""
    decisions = result.decisions()
    copies = pc.and_(pc.equal(decisions["action"], Action.DROP.value), pc.is_valid(decisions["kept_key"]))
    unsure = pc.and_(copies, pc.not_equal(decisions["reason"], Reason.EXACT_DUPLICATE.value))
    table = decisions.select(["position", "key", "kept_key", "tier", "evidence"]).filter(unsure)
    for name in ("score", "cosine", "hamming_bits"):
        table = table.append_column(name, pc.struct_field(table["evidence"], name))
    order = [("score", "ascending"), ("cosine", "ascending"), ("hamming_bits", "descending"), ("position", "ascending")]
    return table.sort_by(order).slice(0, n).select(["key", "kept_key", "tier", "evidence"])


def open_again(source: Any, recipe: Recipe | str | os.PathLike[str] | None) -> Source:
    """The source of a result, to be read once more.

    Raises
    ------
    UsageError
        It is not given.
    """
    if source is None:
        raise UsageError("the result does not hold the pictures; give source, what was cleaned or searched")
    chosen = resolve_recipe(recipe)
    return open_source(source, chosen.source, **chosen.limits.of_files)


def images_of(source: Source, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Key and encoded image of the samples that have one of some keys, in the order of the source.

    A key that stands in the source more than once got its shard's name in front, which is looked for too.
    """
    seen: set[str] = set()
    for shard in source.shards():
        for sample in source.read(shard):
            key = sample.key if sample.key not in seen else f"{shard.name}/{sample.key}"
            seen.add(sample.key)
            if key in wanted and sample.image:
                yield key, sample.image

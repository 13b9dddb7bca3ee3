"""What a cleaning run did, as a notebook and a terminal show it."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedupkit.errors import DedupkitError, public
from dedupkit.notebook.fragment import Card, Fragment, Row, Table
from dedupkit.parts import table_name
from dedupkit.report.words import REASONS
from dedupkit.sample import ROW_BITS, Reason
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.cleaning import Result

_GROUPS, _MEMBERS = 6, 7


def overview(result: Result, *, pictures: bool = True) -> Fragment:
    """The counts, why samples are gone, the largest groups, and what to do next."""
    summary, samples = result.summary, result.summary["samples"]
    facts = [(f"{samples['in']:,}", "in")] + [
        (f"{samples[name]:,}", name) for name in ("kept", "dropped", "quarantined") if name in samples
    ]
    return Fragment(
        title="Cleaned",
        facts=facts,
        tables=(_reasons(summary),) if pictures else (),
        rows=_groups(result.out, summary["largest_groups"][:_GROUPS]) if pictures else (),
        notes=_notes(result),
        hints=[
            ("result.dataset()", "the cleaned set, for training"),
            ("result.decisions()", "what became of every sample, and why, in Arrow"),
            (f"{public(result.out)}/report.html", "the whole report, to open in a browser"),
        ],
    )


def _notes(result: Result) -> list[str]:
    where = f"written to {public(result.out)}"
    counted = [(count, reason) for reason, count in result.summary["reasons"].items() if count]
    gone = [(count, Reason(reason)) for count, reason in counted if Reason(reason).action != "keep"]
    worst = sorted(gone, key=lambda row: -row[0])[:3]
    named = ", ".join(f"{count:,} {REASONS[reason][0].lower()}" for count, reason in worst)
    return [where, f"most that is gone: {named}"] if named else [where]


def _reasons(summary: Mapping[str, Any]) -> Table:
    counted = [(Reason(reason), count) for reason, count in summary["reasons"].items() if count]
    rows = tuple(
        (REASONS[reason][0], reason.action.value, f"{count:,}", REASONS[reason][1]) for reason, count in counted
    )
    return Table(("reason", "action", "samples", "why"), rows)


def _groups(out: str, groups: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    shown = [member for group in groups for member in group["members"][:_MEMBERS] if "position" in member]
    pictures = _thumbnails(out, [member["position"] for member in shown])
    return tuple(_row(group, pictures) for group in groups)


def _row(group: Mapping[str, Any], pictures: Mapping[int, bytes]) -> Row:
    cards = tuple(
        Card(
            name=member["key"],
            words=member["evidence"] or "",
            picture=pictures.get(member.get("position", -1)),
            mark="kept" if member["kept"] else "dropped",
        )
        for member in group["members"][:_MEMBERS]
    )
    more = group["size"] - len(cards)
    return Row(f"Group of {group['size']:,}", cards, f"and {more:,} more" if more > 0 else "")


def _thumbnails(out: str, positions: Sequence[int]) -> dict[int, bytes]:
    """Those that the report shows, as far as the work files are still there."""
    shards: dict[int, list[int]] = defaultdict(list)
    for position in positions:
        shards[position >> ROW_BITS].append(position)
    stage, found = Folder.at(out).below(".dedupkit").below("thumbnails"), dict[int, bytes]()
    for number, wanted in shards.items():
        with suppress(OSError, DedupkitError, pa.ArrowException), stage.reading(table_name(number)) as handle:
            table = pq.read_table(handle, use_threads=False)
            here = table.filter(pc.is_in(table["position"], value_set=pa.array(wanted, pa.uint64())))
            found |= dict(zip(here["position"].to_pylist(), here["image"].to_pylist(), strict=True))
    return found

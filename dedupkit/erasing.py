"""A takedown carried out: nothing of the samples that go is left in an output folder, in whatever form it had."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedupkit.mitigation.captions import normal_forms
from dedupkit.mitigation.stage import CLEANED_STAGE, SETTLED_STAGE
from dedupkit.parts import Part, make_part, read_table, table_name, write_table
from dedupkit.publishing import card, croissant
from dedupkit.publishing.stage import write_cards
from dedupkit.report.again import finished_report
from dedupkit.report.decided import decided_of
from dedupkit.report.thumbnails import Pictures
from dedupkit.sample import DECISIONS, FINGERPRINTS, ROW_BITS
from dedupkit.sinks import FORMATS, make_sink, stage_of
from dedupkit.sinks.base import WrittenPart
from dedupkit.sinks.emitted import keys_of_part, write_without
from dedupkit.storage import Folder, Stage
from dedupkit.takedown import PLAN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.sinks.base import Sink

_log = logging.getLogger("dedupkit")


def erase(out: Folder) -> None:
    """Carry out the plan in a work folder, be it of a run that was killed; done twice it changes nothing.

    Parameters
    ----------
    out : Folder
        The output folder; ``.dedupkit/takedown_plan.parquet`` holds the new decisions about what goes.
    """
    work = out.below(".dedupkit")
    with work.reading(PLAN) as handle:
        plan = pq.read_table(handle)
    with out.reading("decisions.parquet") as handle:
        decisions = pq.read_table(handle)
    rewritten = {format: _rewrite(out, work, format, plan["key"].to_pylist()) for format in FORMATS}
    written = {format: rows for format, rows in rewritten.items() if rows is not None}
    captions = _captions_of(work, plan)
    decided = _replaced(decisions, plan)
    _write_decisions(out, decided)
    _write_report(
        out, work, decided, plan, captions, {name: rows for name, rows in written.items() if rows is not None}
    )
    _scrub(work, plan)
    work.remove(PLAN)


def _rewrite(out: Folder, work: Folder, format: str, gone: Sequence[str]) -> int | None:
    """Write the parts of one format anew that hold something of what goes; samples left, None without the format."""
    sink = make_sink(format)
    folder = out.below(sink.folder)
    if not folder.exists():
        return None
    stage = stage_of(format, out, work)
    names = [name.removesuffix(".json") for name in stage.receipts.names()]
    found = set(gone)
    for name in names:
        with folder.local(name) as path:
            if not found.isdisjoint(keys_of_part(format, path)):
                _rewrite_part(stage, name, format, gone, path)
    _warn_of_strangers(folder, sink, names)
    parts = [WrittenPart(name, (report := stage.report(name))["rows"], report["sha256"]) for name in names]
    sink.finish(folder, parts, pa.schema([]))
    return sum(part.rows for part in parts)


def _rewrite_part(stage: Stage, name: str, format: str, gone: Sequence[str], path: str) -> None:
    def write(_: Any, handle: Any) -> dict[str, Any]:
        return {"rows": write_without(format, path, gone, handle)}

    make_part(stage, write, Part(name, {"taken down": "yes"}, None))  # no inputs of a run: `clean` makes it anew


def _warn_of_strangers(folder: Folder, sink: Sink, names: Sequence[str]) -> None:
    """Caches of readers lie beside the parts and may hold what was in them; they are not ours to remove."""
    known = {*names, "dataset_info.json", "state.json", "index.json", card.NAME, croissant.NAME}
    if strangers := [name for name in folder.names() if name not in known]:
        _log.warning(
            "%s/%s was not written by dedupkit and may hold copies of what was removed; look into it",
            sink.folder,
            strangers[0],
        )


def _captions_of(work: Folder, plan: pa.Table) -> pa.ChunkedArray:
    """Captions of what goes and was kept, as they were emitted."""
    found = []
    for number, rows in _rows_by_shard(plan).items():
        name = table_name(number)
        if work.exists(f"{SETTLED_STAGE}/{name}"):
            table = read_table(_stage(work, SETTLED_STAGE), name, ("caption",))
            found.append(table["caption"].take(pa.array(rows)).combine_chunks())
    return pa.chunked_array(found, pa.string())


def _replaced(decisions: pa.Table, plan: pa.Table) -> pa.Table:
    stay = decisions.filter(pc.invert(pc.is_in(decisions["position"], value_set=plan["position"].combine_chunks())))
    return pa.concat_tables([stay.cast(DECISIONS), plan.cast(DECISIONS)]).sort_by("position")


def _write_decisions(out: Folder, decisions: pa.Table) -> None:
    shard = (decisions["position"].to_numpy() >> np.uint64(ROW_BITS)).astype(np.int64)
    with out.writing("decisions.parquet") as handle, pq.ParquetWriter(handle, DECISIONS, compression="zstd") as writer:
        for number in np.unique(shard).tolist():
            writer.write_table(decisions.filter(pa.array(shard == number)))


def _write_report(
    out: Folder, work: Folder, decisions: pa.Table, plan: pa.Table, captions: pa.ChunkedArray, written: dict[str, int]
) -> None:
    """The report of the run that made the set, less what goes."""
    told = out.read_json("report.json")
    repeated = _still_repeated(told["captions"]["most_repeated"], captions)
    told |= {
        "written": written,
        "captions": told["captions"] | {"most_repeated": repeated},
        "suspected_placeholders": _placeholders_left(told["suspected_placeholders"], set(plan["key"].to_pylist())),
    }
    built = finished_report(out, told, decided_of(decisions), _pictures_left(work, plan))
    out.write_bytes("report.html", built.to_html().encode())
    of_the_run = {name: told[name] for name in ("overrides", "contaminated") if name in told}
    out.write_json("report.json", built.to_json() | of_the_run)
    write_cards(out, built.to_json())


def _placeholders_left(suspected: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    """Suspected placeholders less those of which the sample that stood for them goes."""
    left = [row for row in suspected["largest"] if row["key"] not in gone]
    lost = [row for row in suspected["largest"] if row["key"] in gone]
    samples = suspected["samples"] - sum(row["samples"] for row in lost)
    return {"groups": suspected["groups"] - len(lost), "samples": samples, "largest": left}


def _still_repeated(repeated: Sequence[dict[str, Any]], gone: pa.ChunkedArray) -> list[dict[str, Any]]:
    """Repeated captions that still stand over two pictures or more."""
    forms = normal_forms(gone).to_pylist()
    named = normal_forms(pa.array([row["caption"] for row in repeated], pa.string())).to_pylist()
    left = [row | {"pictures": row["pictures"] - forms.count(form)} for row, form in zip(repeated, named, strict=True)]
    return [row for row in left if row["pictures"] > 1]


def _pictures_left(work: Folder, plan: pa.Table) -> Pictures:
    """Small pictures of what stays; the files of those are written anew without the others."""
    stage, gone, left = _stage(work, "thumbnails"), set(plan["position"].to_pylist()), list[pa.Table]()
    for name in stage.parts.names():
        table = read_table(stage, name)
        stays = table.filter(pc.invert(pc.is_in(table["position"], value_set=pa.array(gone, pa.uint64()))))
        if stays.num_rows < table.num_rows:
            _write_part(stage, name, stays, {"taken down": "yes"})
        left.append(stays)
    return Pictures.out_of(left)


def _scrub(work: Folder, plan: pa.Table) -> None:
    """Take captions and pixels of what goes out of the work folder."""
    of_marks = ("overrides", "spared")
    for name in ("spool", "views", "example_views", "scratch", SETTLED_STAGE, CLEANED_STAGE, "decisions", *of_marks):
        work.remove(name)  # small, and made anew from fingerprints by the next `clean`
        work.below("receipts").remove(name)
    stage = _stage(work, "fingerprints")
    for number, rows in _rows_by_shard(plan).items():
        name = table_name(number)
        table = read_table(stage, name)
        mask = np.zeros(table.num_rows, dtype=bool)
        mask[rows] = True
        place = FINGERPRINTS.get_field_index("caption")
        captions = pc.if_else(pa.array(mask), pa.scalar(None, pa.string()), table["caption"].combine_chunks())
        fresh = table.set_column(place, FINGERPRINTS.field(place), captions)
        _write_part(stage, name, fresh, stage.receipts.read_json(f"{name}.json")["inputs"])


def _rows_by_shard(plan: pa.Table) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for position in plan["position"].to_pylist():
        rows.setdefault(position >> ROW_BITS, []).append(position & ((1 << ROW_BITS) - 1))
    return rows


def _write_part(stage: Stage, name: str, table: pa.Table, inputs: Mapping[str, str]) -> None:
    make_part(stage, lambda _, handle: write_table(table, handle), Part(name, inputs, None))


def _stage(work: Folder, name: str) -> Stage:
    return Stage(work.below(name), work.below("receipts").below(name))

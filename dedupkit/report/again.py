"""The page of a finished run, made again out of what lies in its output folder; the source is not read."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from dedupkit.engines.budget import byte_count
from dedupkit.errors import UsageError, public
from dedupkit.matching.stage import SearchFacts
from dedupkit.mitigation.stage import CaptionFacts
from dedupkit.outfolder import alone_in
from dedupkit.parts import table_name
from dedupkit.report.build import MAX_PAGE_BYTES, Report, build_report
from dedupkit.report.calibrated import calibrated, read_calibration
from dedupkit.report.gallery import choose
from dedupkit.report.previews import MEASURES, previews_of
from dedupkit.report.rooms import Rooms, shown_facts
from dedupkit.report.sensitive import SensitiveFacts
from dedupkit.report.thumbnails import Pictures
from dedupkit.report.told import told_recipe
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dedupkit.calibration.result import Calibration
    from dedupkit.report.calibrated import Calibrated
    from dedupkit.report.decided import Decided

_LEAST_PAGE_BYTES = 1 << 20
_DECISIONS = "decisions.parquet"


def make_report(
    out: str | os.PathLike[str],
    *,
    calibration: Calibration | str | os.PathLike[str] | None = None,
    max_page_bytes: int | str = MAX_PAGE_BYTES,
) -> str:
    """Write ``report.html`` again, such as with the result of a calibration, or smaller.

    Parameters
    ----------
    out : path or URL
        What `dedupkit.clean` wrote to, with its work folder ``.dedupkit``.  ``report.json`` is left as it is.
    calibration : Calibration or path of its JSON, optional
        Its recall by edit is shown too.
    max_page_bytes : int or str
        What the page may take, 1 MiB or more, or text such as ``4MiB``; fewer groups are shown where they do not fit.
        Pictures are those that the run drew.

    Returns
    -------
    str
        Where the page lies.

    Raises
    ------
    UsageError
        `out` is no finished output, or `calibration` no result of one.

    Examples
    --------
    >>> import tempfile, dedupkit
    >>> from dedupkit.demo import example_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = dedupkit.clean(example_images(), f"{folder}/clean", recipe=dedupkit.Recipe(preset="fast")).out
    ...     make_report(out).endswith("/clean/report.html")
    True
    """
    most = byte_count("max_page_bytes", max_page_bytes, least=_LEAST_PAGE_BYTES)
    folder = Folder.at(out)
    _check_finished(folder)
    measured = _calibrated(calibration)
    with alone_in(folder), _decisions_of(folder) as decisions:
        pictures = Pictures.of(_rooms(folder, decisions).stage("thumbnails"))
        told = folder.read_json("report.json")
        report = finished_report(folder, told, decisions, pictures, measured, most)
        folder.write_bytes("report.html", report.to_html().encode())
    return f"{folder.url}/report.html"


def finished_report(
    out: Folder,
    told: Mapping[str, Any],
    decisions: Decided,
    pictures: Pictures,
    calibration: Calibrated | None = None,
    max_page_bytes: int = MAX_PAGE_BYTES,
) -> Report:
    """The report of a run that is over.

    Parameters
    ----------
    out : Folder
        The output folder, its work folder in it.
    told : mapping
        The content of ``report.json``.
    decisions : callable
        All decisions.
    pictures : Pictures
        Those that may be shown.
    calibration : Calibrated, optional
        Recall by edit.
    max_page_bytes : int
        What the page may take.
    """
    rooms, search = _rooms(out, decisions), SearchFacts(**told["search"])
    shown = shown_facts(rooms, choose(decisions), told_recipe(told["recipe"]).matching, search.max_hamming_bits)
    return build_report(
        decisions,
        pictures.thumbnails,
        source=told["source"],
        recipe_toml=told["recipe"],
        samples_written=told["written"],
        gallery=shown.gallery,
        search=search,
        captions=_captions(told["captions"]),
        previews=previews_of(decisions, partial(rooms.fingerprints, columns=MEASURES)),
        commitment=told["canary_commitment"],
        sensitive=SensitiveFacts(**told["sensitive"]),
        placeholders=told["suspected_placeholders"],
        facts=shown.facts | rooms.facts_of([each.position for each in pictures.changes]),
        borderline=shown.borderline,
        histograms=rooms.histograms(),
        changes=pictures.changes,
        calibration=calibration,
        max_page_bytes=max_page_bytes,
    )


def _check_finished(folder: Folder) -> None:
    shown = public(folder.url)
    for name in ("report.json", _DECISIONS):
        if not folder.exists(name):
            raise UsageError(f"{shown} has no {name}: it is no output of dedupkit clean, or its run did not end")
    if not folder.exists(f".dedupkit/fingerprints/{table_name(0)}"):
        raise UsageError(f"{shown}/.dedupkit has no fingerprints, which a report reads; run dedupkit clean again")


def _calibrated(calibration: Calibration | str | os.PathLike[str] | None) -> Calibrated | None:
    if calibration is None:
        return None
    if isinstance(calibration, (str, os.PathLike)):
        return read_calibration(calibration)
    return calibrated(calibration.to_json())


def _rooms(out: Folder, decisions: Decided) -> Rooms:
    work = out.below(".dedupkit")
    shards = sum(name.endswith(".parquet") for name in work.below("fingerprints").names())
    return Rooms(work=work, decisions=decisions, shards=shards)


def _captions(told: Mapping[str, Any]) -> CaptionFacts:
    facts = {field.name: told[field.name] for field in fields(CaptionFacts)}
    return CaptionFacts(**facts | {"most_repeated": tuple(told["most_repeated"])})


@contextmanager
def _decisions_of(folder: Folder) -> Iterator[Decided]:
    """The published decisions, a row group at a time; of a store they are fetched once."""
    with folder.local(_DECISIONS) as path, pq.ParquetFile(path) as file:
        groups = range(file.num_row_groups)
        yield lambda columns: (
            file.read_row_group(number, columns=None if columns is None else list(columns), use_threads=False)
            for number in groups
        )

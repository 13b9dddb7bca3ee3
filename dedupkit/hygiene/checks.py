"""Checks of pictures: what was measured in the one decode, held against the recipe's limits.

The measures stand in the fingerprints, the limits do not: with other limits nothing is decoded again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.hygiene.boxes import counting
from dedupkit.hygiene.placeholders import COLUMNS as PLACEHOLDER_COLUMNS
from dedupkit.hygiene.placeholders import Placeholders
from dedupkit.sample import FINGERPRINTS, Note, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.recipe import Hygiene

COLUMNS = (
    *("fault", "fault_detail", "width", "height", "darkest", "brightest", "blur", "notes"),
    *("faces", "text_share", "text_lines", "nsfw_score"),
    *PLACEHOLDER_COLUMNS,
)

OPTION = {
    Reason.TOO_SMALL: "min_side",
    Reason.EXTREME_ASPECT: "max_aspect",
    Reason.BLANK: "min_contrast",
    Reason.DARK: "min_brightest",
    Reason.OVEREXPOSED: "max_darkest",
    Reason.BLURRED: "max_blur",
    Reason.ANIMATED: "animated",
    Reason.PLACEHOLDER: "placeholders",
    Reason.FACES: "faces",
    Reason.DOCUMENT: "documents",
    Reason.NSFW: "nsfw",
    Reason.CHECKED_OUT: "checks",
}
OPTIONS = {reason: f"[hygiene] {name} in the recipe explains it" for reason, name in OPTION.items()}
OPTIONS[Reason.BAD_CAPTION] = '[captions] in the recipe explains it, what is "quarantine" there'


def checked(fingerprints: pa.Table, hygiene: Hygiene, placeholders: Placeholders | None = None) -> pa.Table:
    """Fingerprints in which what fails a check has it as its fault, and so takes part in nothing.

    Parameters
    ----------
    fingerprints : pyarrow.Table
        At least `COLUMNS`.
    hygiene : Hygiene
        The limits.
    placeholders : Placeholders, optional
        Those of `hygiene`, where they are at hand already.

    Returns
    -------
    pyarrow.Table
        The same columns.  A sample that has a fault keeps it; of several checks that one fails, the first counts.
        What was not measured fails nothing.
    """
    fault, detail = fingerprints["fault"], fingerprints["fault_detail"]
    for reason, fails, words in _checks(fingerprints, hygiene, placeholders or Placeholders.of(hygiene)):
        fresh = pc.and_(pc.fill_null(fails, False), pc.is_null(fault))
        fault = pc.if_else(fresh, reason.value, fault)
        detail = pc.if_else(fresh, words, detail)
    for name, column in (("fault", fault), ("fault_detail", detail)):
        place = fingerprints.schema.get_field_index(name)
        fingerprints = fingerprints.set_column(place, FINGERPRINTS.field(name), column)
    return fingerprints


def with_captions(fingerprints: pa.Table, cleaned: pa.Table) -> pa.Table:
    """Fingerprints with cleaned captions, and a fault where the caption is a reason for quarantine.

    Parameters
    ----------
    fingerprints : pyarrow.Table
        Any columns of them.
    cleaned : pyarrow.Table
        What `dedupkit.hygiene.captions.CaptionCleaner.clean_all` made of their captions.

    Returns
    -------
    pyarrow.Table
        The same columns.  A sample that has a fault keeps it.
    """
    names = fingerprints.column_names
    fresh = {"caption": cleaned["caption"]} if "caption" in names else {}
    if "fault" in names and cleaned["quarantined_by"].null_count < cleaned.num_rows:
        unfit = pc.and_(cleaned["quarantined_by"].is_valid(), fingerprints["fault"].is_null())
        fresh["fault"] = pc.if_else(unfit, Reason.BAD_CAPTION.value, fingerprints["fault"])
        if "fault_detail" in names:
            words = pc.replace_substring(cleaned["quarantined_by"], "_", " ")
            fresh["fault_detail"] = pc.if_else(unfit, words, fingerprints["fault_detail"])
    for name, values in fresh.items():
        fingerprints = fingerprints.set_column(names.index(name), FINGERPRINTS.field(name), values)
    return fingerprints


def _checks(
    table: pa.Table, limits: Hygiene, placeholders: Placeholders
) -> Iterator[tuple[Reason, pa.ChunkedArray, pa.ChunkedArray]]:
    """Reason, who fails, and what is said of each."""
    if placeholders.wanted:  # first, for many are small, pale or flat as well, which says less
        found = placeholders.find(table)
        yield Reason.PLACEHOLDER, pa.chunked_array([found.mask]), pa.chunked_array([found.details])
    shorter = pc.min_element_wise(table["width"], table["height"])
    longer = pc.max_element_wise(table["width"], table["height"])
    aspect = pc.divide(pc.cast(longer, pa.float64()), pc.cast(shorter, pa.float64()))
    darkest, brightest = (pc.cast(table[name], pa.int16()) for name in ("darkest", "brightest"))
    spread = pc.subtract(brightest, darkest)
    yield (
        Reason.TOO_SMALL,
        pc.less(shorter, limits.min_side),
        _said("the shorter side has ", shorter, f" pixels, the least is {limits.min_side}"),
    )
    yield (
        Reason.EXTREME_ASPECT,
        pc.greater(aspect, limits.max_aspect),
        _said("sides are 1 to ", pc.round(aspect, 1), f", the limit is {limits.max_aspect:g}"),
    )
    yield (
        Reason.BLANK,
        pc.less(spread, limits.min_contrast),
        _said("brightness spreads over ", spread, f" levels, the least is {limits.min_contrast}"),
    )
    yield (
        Reason.DARK,
        pc.less(brightest, limits.min_brightest),
        _said("nothing is brighter than ", brightest, f" of 255, the least is {limits.min_brightest}"),
    )
    yield (
        Reason.OVEREXPOSED,
        pc.greater(darkest, limits.max_darkest),
        _said("nothing is darker than ", darkest, f" of 255, the limit is {limits.max_darkest}"),
    )
    yield (
        Reason.BLURRED,
        pc.greater(table["blur"], pa.scalar(limits.max_blur, pa.float32())),
        _said("blur is ", pc.round(table["blur"], 2), f", the limit is {limits.max_blur:g}"),
    )
    if limits.animated == "quarantine":
        yield Reason.ANIMATED, _animated(table["notes"]), _said("", pa.nulls(len(table), pa.string()), "an animation")
    yield from _sensitive(table, limits)


def face_counts(table: pa.Table, limits: Hygiene) -> pa.ChunkedArray:
    """How many faces that count each picture shows; null where nobody looked."""
    boxes = table["faces"].to_pylist() if limits.faces != "off" else [None] * len(table)
    counts = [None if each is None else len(counting(each, limits)) for each in boxes]
    return pa.chunked_array([pa.array(counts, pa.uint32())])


def documents(table: pa.Table, limits: Hygiene) -> pa.ChunkedArray:
    """Which pictures are pages of text; null where nobody looked."""
    wide = pc.greater(table["text_share"], pa.scalar(limits.max_text_share, pa.float32()))
    return pc.and_(wide, pc.greater_equal(table["text_lines"], limits.min_text_lines))


def unsafe(table: pa.Table, limits: Hygiene) -> pa.ChunkedArray:
    """Which pictures are over the limit of nudity; null where nobody looked."""
    return pc.greater(table["nsfw_score"], pa.scalar(limits.max_nsfw, pa.float32()))


def _sensitive(table: pa.Table, limits: Hygiene) -> Iterator[tuple[Reason, pa.ChunkedArray, pa.ChunkedArray]]:
    if limits.nsfw == "quarantine":
        score = pc.round(table["nsfw_score"], 2)
        yield Reason.NSFW, unsafe(table, limits), _said("scores ", score, f", the limit is {limits.max_nsfw:g}")
    if limits.documents == "quarantine":
        share = pc.round(pc.multiply(table["text_share"], 100), 0)
        words = pc.binary_join_element_wise(
            _said("", table["text_lines"], " lines of text"), _said(" take ", share, " % of it"), ""
        )
        yield Reason.DOCUMENT, documents(table, limits), words
    if limits.faces == "quarantine":
        counts = face_counts(table, limits)
        yield Reason.FACES, pc.greater(counts, 0), _said("", counts, " found")


def _animated(notes: pa.ChunkedArray) -> pa.ChunkedArray:
    found = [Note.ANIMATED.value in (each or ()) for each in notes.to_pylist()]
    return pa.chunked_array([pa.array(found, pa.bool_())])


def _said(before: str, values: pa.ChunkedArray, after: str) -> pa.ChunkedArray:
    text = pc.fill_null(pc.cast(values, pa.string()), "")
    return pc.binary_join_element_wise(before, text, after, "")

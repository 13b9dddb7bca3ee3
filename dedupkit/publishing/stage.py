"""The publishing stage: a report and the parts of a set in, a card beside each form of it out; set-level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dedupkit.fields.values import utf8
from dedupkit.publishing import card, croissant
from dedupkit.publishing.forms import forms_in
from dedupkit.publishing.told import Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dedupkit.publishing.forms import Form
    from dedupkit.storage import Folder


def write_cards(out: Folder, summary: Mapping[str, Any]) -> None:
    """Write ``README.md`` beside the parts of each format in an output folder, and ``croissant.json`` beside Parquet.

    Parameters
    ----------
    out : Folder
        The output folder, its parts written.
    summary : mapping
        The content of its ``report.json``.
    """
    told = Told(summary)
    for form in forms_in(out, summary["written"]):
        state = _croissant_state(told, form)
        if state == "made":
            form.folder.write_bytes(croissant.NAME, utf8(croissant.croissant_text(told, form)).encode())
        elif form.is_parquet:
            form.folder.remove(croissant.NAME)  # of an earlier run
        if _is_ours(form.folder):
            form.folder.write_bytes(card.NAME, utf8(card.card_text(told, form, state)).encode())


def _is_ours(folder: Folder) -> bool:
    """Whether a card may be written: there is none, or one that dedupkit wrote and nobody has made his own."""
    return not folder.exists(card.NAME) or card.MARK.encode() in folder.read_bytes(card.NAME)


def _croissant_state(told: Told, form: Form) -> str:
    """Whether Croissant metadata is "made", "missing" because the package is, or "none"."""
    if told.card.croissant is False or not form.is_parquet:
        return "none"
    return "made" if croissant.available() else "missing"

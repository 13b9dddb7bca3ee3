"""Metadata files of an image folder: ``metadata.jsonl`` or ``metadata.csv``, as `datasets` lays them out."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from typing import Any

from dedupkit.sample import Note
from dedupkit.sources.captions import caption_name, caption_of, caption_of_file, utf8_text

METADATA_NAMES = ("metadata.jsonl", "metadata.csv")
_MAX_CSV_CELL = 16 << 20  # the csv module's own limit of 128 KiB is below what long captions and tags need


@dataclass(frozen=True, slots=True)
class Row:
    """What a metadata file says about one image.

    Attributes
    ----------
    caption : str or None
        Its caption.
    fields : dict of str to object
        The other columns.
    notes : tuple of Note
        What is odd about the caption or the row.
    """

    caption: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


@dataclass(slots=True)
class Metadata:
    """The rows of one metadata file by file name, and how many lines could not be used."""

    rows: dict[str, Row] = field(default_factory=dict)
    bad_lines: int = 0


def parse_metadata(name: str, data: bytes, caption_column: str | None) -> Metadata:
    """Read a metadata file.

    Parameters
    ----------
    name : str
        The file's name; its extension says how it is read.
    data : bytes
        What it holds.
    caption_column : str or None
        The column of captions; None guesses it by name.

    Returns
    -------
    Metadata
        The first row that names an image counts; a later one for the same image counts as a bad line.
    """
    metadata = Metadata()
    records = _csv_records(data) if name.endswith(".csv") else map(_json_record, data.splitlines())
    for record in records:
        if record is None or not isinstance(record.get("file_name"), str) or not record["file_name"]:
            metadata.bad_lines += record != {}
            continue
        file_name = record["file_name"].removeprefix("./")
        if file_name in metadata.rows:
            metadata.bad_lines += 1
            continue
        metadata.rows[file_name] = _row(record, caption_column)
    return metadata


def _row(record: dict[str, Any], caption_column: str | None) -> Row:
    whole = record.pop("__whole__", True)
    column = caption_column or caption_name(record)
    caption, notes = caption_of(record.get(column)) if column else caption_of(None)
    if not whole and caption is not None and "\ufffd" in caption:
        notes = (Note.CAPTION_NOT_UTF8, *notes)
    keep_list = isinstance(record.get(column or ""), list)
    fields = {name: value for name, value in record.items() if name != "file_name" and (name != column or keep_list)}
    return Row(caption, fields, notes)


def _json_record(line: bytes) -> dict[str, Any] | None:
    text, whole = utf8_text(line.removeprefix(b"\xef\xbb\xbf"))
    if not text.strip():
        return {}
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {**record, "__whole__": whole} if isinstance(record, dict) else None


def _csv_records(data: bytes) -> list[dict[str, Any] | None]:
    text, whole = utf8_text(data.removeprefix(b"\xef\xbb\xbf"))
    csv.field_size_limit(max(_MAX_CSV_CELL, csv.field_size_limit()))
    records: list[dict[str, Any] | None] = []
    try:
        for row in csv.DictReader(io.StringIO(text, newline="")):
            fits = None not in row and None not in row.values()  # DictReader's marks of a row too long or too short
            records.append({**row, "__whole__": whole} if fits else None)
    except csv.Error:
        records.append(None)
    return records


def parse_about(name: str, about: bytes | BaseException, text: bytes | None, caption_column: str | None) -> Row:
    """What the files beside an image say, as img2dataset writes them: a JSON object of its fields, and a text.

    Parameters
    ----------
    name : str
        The image's path: an entry ``key`` that is its name is not a field too.
    about : bytes or exception
        What the JSON file holds, or why it cannot be read.
    text : bytes or None
        What the text file holds, which goes before the entry of the caption.
    caption_column : str or None
        That entry; None guesses it by name.
    """
    entries, odd = _entries(about)
    said = caption_column or caption_name(entries)
    caption, notes = caption_of(entries.get(said) if said else None) if text is None else caption_of_file(text)
    own = {"key": name.rpartition("/")[2].rpartition(".")[0], said: caption}
    fields = {entry: value for entry, value in entries.items() if entry not in own or value != own[entry]}
    return Row(caption, fields, (*notes, *odd))


def _entries(about: bytes | BaseException) -> tuple[dict[str, Any], tuple[Note, ...]]:
    try:
        entries = json.loads(utf8_text(about)[0]) if isinstance(about, bytes) else None
    except (ValueError, RecursionError):
        entries = None
    return (entries, ()) if isinstance(entries, dict) else ({}, (Note.METADATA_INVALID,))

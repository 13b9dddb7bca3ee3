"""Which columns of an Arrow table hold image, caption and key, and its rows as samples."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as arrow

from dedupkit.errors import UsageError
from dedupkit.sample import Fault, Note, Reason, Sample
from dedupkit.sources.captions import caption_name, caption_of, utf8_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dedupkit.recipe import SourceOptions

IMAGE_NAMES = ("image", "jpg", "jpeg", "png", "webp", "img", "image_bytes", "bytes", "jpg_0", "content", "data")
PATH_NAMES = ("image_path", "path", "filepath", "file_path", "file_name", "filename", "file", "image", "img")
KEY_NAMES = ("key", "__key__", "id", "image_id", "file_name", "filename", "uid")
_OWN_KEY_NAMES = ("key", "__key__")  # other key columns stay fields too: a training script may ask for them
_VALUE_ERRORS = (pa.ArrowException, ValueError, OverflowError, TypeError)

_log = logging.getLogger("dedupkit")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a sample is made of; None where there is none.

    Without one of images, samples have none and nothing is wrong with them: the table lists what is to be fetched.
    """

    image: str | None
    caption: str | None
    key: str | None


def find_columns(schema: pa.Schema, options: SourceOptions, source: str, *, paths: bool = False) -> Columns:
    """Take the columns that `options` name and guess the others; what was guessed is logged.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the table.
    options : SourceOptions
        Names that the caller gives.
    source : str
        What the table is called in messages.
    paths : bool
        Take a column of text for one of paths, where none holds images: only of a table that the caller made himself.

    Raises
    ------
    UsageError
        If a named column is not there or holds no bytes, or no column is recognised as the one of images.
    """
    check_named_columns(schema, options, source)
    named_paths = [name for name in PATH_NAMES if name in schema.names and is_text(schema.field(name).type)]
    by_path = named_paths[0] if paths and named_paths and not image_columns(schema) else None
    image = options.image_column or by_path or _guess_image(schema, source, "images or paths" if paths else "images")
    if not (_holds_images(schema, image) or (paths and is_text(schema.field(image).type))):
        kind = schema.types[schema.names.index(image)]
        raise UsageError(f"column {image!r} of {source} is {kind}; image_column must name one that holds encoded bytes")
    columns = find_other_columns(schema, options, image)
    if None in (options.image_column, options.caption_column, options.key_column):
        told = (source, image, columns.caption, columns.key)
        _log.info("%s: images from column %s, captions from %s, keys from %s", *told)
    return columns


def check_named_columns(schema: pa.Schema, options: SourceOptions, source: str) -> None:
    """Raise UsageError where `options` name a column that is not there."""
    for option, name in options.model_dump().items():
        if name is not None and name not in schema.names:
            raise UsageError(f"{source} has no column {name!r} ({option}); it has {listed(schema)}")


def find_other_columns(schema: pa.Schema, options: SourceOptions, image: str | None) -> Columns:
    """The columns of caption and key that go with one of images, if there is one."""
    others = [name for name in schema.names if name != image]
    caption = options.caption_column or caption_name(name for name in others if _holds_text(schema, name))
    key = options.key_column or next((name for name in KEY_NAMES if name in others and name != caption), None)
    return Columns(image, caption, key)


def image_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns that may hold encoded images."""
    return [name for name in schema.names if _holds_images(schema, name)]


def other_fields(schema: pa.Schema, columns: Columns) -> pa.Schema:
    """The schema of all other columns, with what `datasets` noted about them."""
    others = [field for field in schema if not _is_taken(field, columns)]
    try:
        noted = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        features = {field.name: noted[field.name] for field in others if field.name in noted}
    except (KeyError, ValueError, TypeError, RecursionError):
        return pa.schema(others)
    return pa.schema(others, metadata={b"huggingface": json.dumps({"info": {"features": features}}).encode()})


def samples_of(
    batch: pa.RecordBatch, columns: Columns, row_key: Callable[[int], str], image_file: Callable[[str], bytes | Fault]
) -> Iterator[Sample]:
    """The rows of a batch as samples.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        Held as Python objects as a whole, so a small one.
    columns : Columns
        As `find_columns` gave them; a column that this batch lacks counts as null.
    row_key : callable
        The key of the row with some number in the batch, where no column gives one.
    image_file : callable
        Reads the file that an image without bytes names.
    """
    count = batch.num_rows
    images, paths = _images(batch, columns.image)
    captions, captions_whole = _column(batch, columns.caption)
    keys, _ = _column(batch, columns.key)
    others = [(field.name, *values_of(batch.column(place))) for place, field in _others(batch.schema, columns)]
    for row in range(count):
        image, path = images[row], paths[row]
        fault = None
        if image is None and columns.image is not None:
            image, fault = _from_file(path, image_file)
        caption, notes = caption_of(captions[row])
        if row not in captions_whole and caption is not None:
            notes = (Note.CAPTION_NOT_UTF8, *notes)
        if any(row not in whole for _, _, whole in others):
            notes = (*notes, Note.METADATA_INVALID)
        key = keys[row] if keys[row] is not None else _key_from_path(path) or row_key(row)
        fields = {name: values[row] for name, values, _ in others}
        yield Sample(utf8_text(key)[0], image, caption, fields, fault, notes)


def values_of(column: pa.Array) -> tuple[list[Any], range | frozenset[int]]:
    """The values of a column as Python objects, and the rows where none had to be replaced.

    Text that is not UTF-8 gets U+FFFD; a value that Python cannot hold, such as a date in the year 10,000, is None.
    """
    try:
        return column.to_pylist(), range(len(column))
    except _VALUE_ERRORS:
        values = [_value(scalar) for scalar in column]
        return [value for value, _ in values], frozenset(row for row, (_, whole) in enumerate(values) if whole)


def _value(scalar: pa.Scalar) -> tuple[Any, bool]:
    try:
        return scalar.as_py(), True
    except _VALUE_ERRORS:
        if arrow.is_string(scalar.type) or arrow.is_large_string(scalar.type):
            return utf8_text(scalar.as_buffer().to_pybytes())[0], False
        return None, False


def _column(batch: pa.RecordBatch, name: str | None) -> tuple[list[Any], range | frozenset[int]]:
    if name is None or name not in batch.schema.names:
        return [None] * batch.num_rows, range(batch.num_rows)
    return values_of(batch.column(batch.schema.names.index(name)))


def _images(batch: pa.RecordBatch, name: str | None) -> tuple[list[bytes | None], list[str | None]]:
    """Encoded bytes, and paths, of an image column."""
    nothing: list[Any] = [None] * batch.num_rows
    if name is None:
        return nothing, nothing
    column = batch.column(batch.schema.names.index(name))
    if is_text(column.type):  # paths
        return nothing, values_of(column)[0]
    if not arrow.is_struct(column.type):
        return column.to_pylist(), nothing
    members = {column.type.field(place).name for place in range(column.type.num_fields)}
    paths = values_of(pc.struct_field(column, "path"))[0] if "path" in members else nothing
    return pc.struct_field(column, "bytes").to_pylist(), [path if isinstance(path, str) else None for path in paths]


def _from_file(path: str | None, image_file: Callable[[str], bytes | Fault]) -> tuple[bytes | None, Fault | None]:
    found = image_file(path) if path else Fault(Reason.MISSING_IMAGE, "the image is null")
    return (None, found) if isinstance(found, Fault) else (found, None)


def _key_from_path(path: str | None) -> str | None:
    """The path that `datasets` keeps of an image, unless it says where that lay on somebody's machine."""
    if not path or path.startswith(("/", "\\")) or ":" in path or ".." in path:
        return None
    return path


def _others(schema: pa.Schema, columns: Columns) -> list[tuple[int, pa.Field]]:
    return [(place, field) for place, field in enumerate(schema) if not _is_taken(field, columns)]


def _is_taken(field: pa.Field, columns: Columns) -> bool:
    """Whether a column is told whole by the sample's image, caption or key."""
    if field.name == columns.caption:
        return not is_list(field.type)
    is_own_key = field.name == columns.key and field.name in _OWN_KEY_NAMES and is_text(field.type)
    return bool(field.name == columns.image or is_own_key)


def _guess_image(schema: pa.Schema, source: str, wanted: str) -> str:
    found = image_columns(schema)
    declared = [name for name in found if _feature(schema, name) == "Image"]
    named = [name for name in IMAGE_NAMES if name in found]
    for candidates in (declared, named, found):
        if len(candidates) == 1 or (candidates is named and named):
            return candidates[0]
    what = "several columns that may hold images" if found else f"no column that holds encoded {wanted}"
    lists = "" if found else ", or of a list without images hash_column, embedding_column or url_column"
    raise UsageError(f"{source} has {what}; it has {listed(schema)}; name the column with image_column{lists}")


def _feature(schema: pa.Schema, name: str) -> str | None:
    try:
        return str(json.loads(schema.metadata[b"huggingface"])["info"]["features"][name]["_type"])
    except (KeyError, ValueError, TypeError, RecursionError):
        return None


def _holds_images(schema: pa.Schema, name: str) -> bool:
    kind = schema.types[schema.names.index(name)]
    if arrow.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and is_bytes(kind.field(place).type)
    return is_bytes(kind)


def _holds_text(schema: pa.Schema, name: str) -> bool:
    kind = schema.types[schema.names.index(name)]
    return is_text(kind) or is_bytes(kind) or (is_list(kind) and is_text(kind.value_type))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds bytes, of any length each."""
    return bool(arrow.is_binary(kind) or arrow.is_large_binary(kind) or str(kind) == "binary_view")


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    text = kind.value_type if arrow.is_dictionary(kind) else kind
    return bool(arrow.is_string(text) or arrow.is_large_string(text) or str(text) == "string_view")


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists."""
    return bool(arrow.is_list(kind) or arrow.is_large_list(kind) or arrow.is_fixed_size_list(kind))


def listed(schema: pa.Schema) -> str:
    """A schema as messages show it."""
    return ", ".join(f"{field.name} ({field.type})" for field in schema)[:500] or "no columns"

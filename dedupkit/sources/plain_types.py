"""Arrow types as every reader knows them: views, dictionaries and runs are kinds of storage, not of values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import types as arrow

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """A schema with plain types, and of its metadata only what `datasets` wrote.

    Examples
    --------
    >>> plain_schema(pa.schema({"text": pa.string_view(), "kind": pa.dictionary(pa.int8(), pa.string())})).types
    [DataType(large_string), DataType(string)]
    """
    kept = {name: value for name, value in (schema.metadata or {}).items() if name == b"huggingface"}
    return pa.schema(_plain_fields(schema), metadata=kept or None)


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows of a batch in the types of a schema that `plain_schema` gave.

    Raises
    ------
    UsageError
        A column holds what Arrow cannot cast.
    """
    try:
        columns = [_cast(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
    except pa.ArrowException as error:
        raise UsageError(f"a column of the table cannot be read: {error}; cast it, or leave it out") from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if arrow.is_dictionary(column.type):  # of views, as polars has them, Arrow has no kernel
        return _cast(column.dictionary, kind).take(column.indices)
    return column if column.type == kind else column.cast(kind)


def _plain_fields(fields: Iterable[pa.Field]) -> list[pa.Field]:
    return [pa.field(field.name, _plain(field.type), field.nullable) for field in fields]


def _plain(kind: pa.DataType) -> pa.DataType:
    if arrow.is_dictionary(kind) or arrow.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    if arrow.is_string_view(kind):
        return pa.large_string()
    if arrow.is_binary_view(kind):
        return pa.large_binary()
    if arrow.is_struct(kind):
        return pa.struct(_plain_fields(kind.field(place) for place in range(kind.num_fields)))
    if arrow.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type), kind.list_size)
    if arrow.is_list_view(kind) or arrow.is_large_list_view(kind) or arrow.is_large_list(kind):
        return pa.large_list(_plain(kind.value_type))
    return pa.list_(_plain(kind.value_type)) if arrow.is_list(kind) else kind

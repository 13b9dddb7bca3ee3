"""Values as Arrow or JSON can hold them, and what an output field's metadata says about its values."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

import pyarrow as pa
from pyarrow import types as arrow

ORIGIN_MARK = b"dedupkit:name"
WHOLE_MARK = b"dedupkit:all_fields"
JSON_MARK = {b"dedupkit:json": b"1"}
_JSON_DEPTH = 200
_JSON_INT_BITS = 8192
_MISFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)
_NATURAL = {
    pa.string(): str,
    pa.int32(): int,
    pa.int64(): int,
    pa.float64(): float,
    pa.bool_(): bool,
    pa.binary(): bytes,
}


def source_name(field: pa.Field) -> str:
    """The name that the source uses for an output field."""
    origin = (field.metadata or {}).get(ORIGIN_MARK)
    return str(field.name if origin is None else origin.decode("utf-8", "surrogatepass"))


def is_json(field: pa.Field) -> bool:
    """Whether a string field holds JSON text."""
    return bool((field.metadata or {}).get(b"dedupkit:json"))


def value_of(fields: Mapping[str, Any], field: pa.Field) -> Any:
    """The value of an output field in one sample's fields; None where the sample has none."""
    return fields if WHOLE_MARK in (field.metadata or {}) else fields.get(source_name(field))


def column(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Convert values to an Arrow array of a unified field's type; never raises.

    A value that `observe` or the source's own schema covered always fits.  One that does not, because a source
    declared a type that its values do not have, becomes null.
    """
    natural = _NATURAL.get(field.type)
    if natural is not None and not is_json(field) and {type(value) for value in values} <= {natural, type(None)}:
        with suppress(*_MISFIT):
            return pa.array(values, field.type)
    fitted = [_fit(value, field) for value in values]
    try:
        return pa.array(fitted, field.type)
    except _MISFIT:
        return pa.array([value if _fits(value, field.type) else None for value in fitted], field.type)


def json_text(value: Any) -> str:
    """A value as strict JSON."""
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(", ", ": "))


def _fit(value: Any, field: pa.Field) -> Any:
    """A value as `pyarrow.array` takes it for the field's type."""
    kind = field.type
    if arrow.is_timestamp(kind) and kind.unit == "ns":  # finer than a datetime; pyarrow takes pandas' own
        return value
    value = python_value(value)
    if value is None:
        return None
    if is_json(field):
        return json_text(value)
    if arrow.is_struct(kind) and isinstance(value, Mapping):
        return {member.name: _fit(value.get(member.name), member) for member in kind}
    if is_list(kind):
        return _fit_items(value, kind.value_field)
    if arrow.is_floating(kind) and isinstance(value, int):
        return float(value) if abs(value) < 1 << 64 else None
    if arrow.is_string(kind) or arrow.is_large_string(kind):
        return utf8(value) if isinstance(value, str) else json_text(value)
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


def _fit_items(value: Any, item: pa.Field) -> Any:
    if isinstance(value, Mapping):
        value = list(value.items())
    if not isinstance(value, list | tuple):
        return None
    if arrow.is_struct(item.type):  # entries of a map come as pairs
        value = [dict(zip(("key", "value"), one, strict=False)) if isinstance(one, tuple) else one for one in value]
    return [_fit(one, item) for one in value]


def _fits(value: Any, kind: pa.DataType) -> bool:
    try:
        pa.array([value], kind)
    except _MISFIT:
        return False
    return True


def is_list(kind: pa.DataType) -> bool:
    return bool(
        arrow.is_list(kind)
        or arrow.is_large_list(kind)
        or arrow.is_fixed_size_list(kind)
        or arrow.is_list_view(kind)
        or arrow.is_large_list_view(kind)
    )


def python_value(value: Any) -> Any:
    """Numpy and pandas values as plain ones."""
    if hasattr(value, "to_pydatetime"):
        return None if value != value else value.to_pydatetime(warn=False)
    return value.tolist() if hasattr(value, "tolist") and not isinstance(value, memoryview) else value


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as strict JSON can hold it."""
    value = python_value(value)
    if isinstance(value, int):  # bool is one; Python writes no decimal of more than 4300 digits
        return value if value.bit_length() < _JSON_INT_BITS else hex(value)
    if value is None:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth >= _JSON_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {utf8(str(name)): _plain(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item, depth + 1) for item in value), key=json_text)
    return value.isoformat() if isinstance(value, date) else utf8(str(value))


def utf8(text: str) -> str:
    """The text with lone surrogates, which Arrow cannot hold, replaced."""
    return text.encode("utf-8", "replace").decode()

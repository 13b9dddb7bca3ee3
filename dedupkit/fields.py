"""Arrow types of a source's other fields: found shard by shard, unified over shards, values converted by them.

What a shard holds is a join of what its values are, so neither the order of samples nor that of shards matters.
Where no common Arrow type exists the values are written as JSON text, and the field says so in its metadata
(``dedupkit:json``).  Coercions, all decided by type and never by value: int among floats becomes float64; a missing
member becomes null; integers beyond 64 bits, mixed types, mappings with other than string keys, structs that are
always empty, and nesting deeper than 16 become JSON.  In JSON, bytes stand as base64 and what is not finite as null.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from pyarrow import types as arrow

OWN_COLUMNS = ("key", "image", "caption", "width", "height", "group_size")
MAX_COLUMNS = 1000
MAX_MEMBERS = 200
MAX_DEPTH = 16  # Arrow's IPC reader refuses 64; deeper nesting than this is free-form data
_JSON_DEPTH = 200
_JSON_INT_BITS = 8192
_ORIGIN = b"dedupkit:name"
_WHOLE = b"dedupkit:all_fields"
_INFERRED = b"dedupkit:inferred"
_JSON = {b"dedupkit:json": b"1"}
_UTC_TIMESTAMP = pa.timestamp("us", tz="UTC")
_MISFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)


class FieldTypes:
    """The types of the other fields of many samples; memory grows with the types seen, not with the samples.

    Examples
    --------
    >>> types = FieldTypes()
    >>> types.observe({"score": 1, "tags": ["red"]})
    >>> types.observe({"score": 0.5, "tags": []})
    >>> print(unify([types.schema()]).to_string(show_field_metadata=False))
    score: double
    tags: list<item: string>
      child 0, item: string
    """

    def __init__(self) -> None:
        self._columns: dict[str, _Shape] = {}
        self._order: tuple[str, ...] | None = None
        self._order_agreed = True
        self._features: dict[str, str] = {}
        self._inferred = False
        self._too_many = False

    def observe(self, fields: Mapping[str, Any]) -> None:
        """Take in the values of one sample."""
        for name, value in fields.items():
            self._column(name).observe(value, depth=1)
        self._inferred = True
        self._limit()

    def include(self, schema: pa.Schema) -> None:
        """Take in the types of one shard, as `schema` gave them or as the source declares them."""
        if any(_WHOLE in (field.metadata or {}) for field in schema):
            self._too_many = True
        order = tuple(source_name(field) for field in schema)
        if order and self._order not in (None, order):
            self._order_agreed = False
        self._order = order or self._order
        features = _features(schema)
        for name, field in zip(order, schema, strict=True):
            known = name in self._columns
            self._column(name).include(_holdable(field, empty_structs=True))
            declared = json.dumps(features.get(field.name), ensure_ascii=False)
            if known and self._features.get(name) != declared:
                declared = "null"
            self._features[name] = declared
        self._inferred = self._inferred or _INFERRED in (schema.metadata or {})
        self._limit()

    def schema(self) -> pa.Schema:
        """The types so far, for `unify`; only that makes them ones that every format can hold."""
        if self._too_many:
            return _schema_of_whole()
        fields = [shape.field(_utf8(name), {_ORIGIN: _raw(name)}) for name, shape in self._in_order()]
        return pa.schema(fields, metadata={_INFERRED: b"1"})

    def unified(self) -> pa.Schema:
        """The types so far as an output is written with: named, ordered and holdable."""
        if self._too_many:
            return _schema_of_whole()
        stored = _stored_names(self._columns)
        fields, features = [], {}
        for name, shape in self._in_order():
            field = _holdable(shape.field(stored[name]), empty_structs=False)
            origin = {} if stored[name] == name else {_ORIGIN: _raw(name)}
            fields.append(field.with_metadata({**(field.metadata or {}), **origin} or None))
            feature = json.loads(self._features.get(name, "null"))
            if feature is not None and shape.exact is not None and field.type.equals(shape.exact.type):
                features[stored[name]] = feature
        metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()} if features else None
        return pa.schema(fields, metadata=metadata)

    def _column(self, name: str) -> _Shape:
        return self._columns.setdefault(name, _Shape())

    def _in_order(self) -> list[tuple[str, _Shape]]:
        if self._order_agreed and self._order is not None and len(self._order) == len(self._columns):
            return [(name, self._columns[name]) for name in self._order]
        return sorted(self._columns.items())

    def _limit(self) -> None:
        self._too_many = self._too_many or (self._inferred and len(self._columns) > MAX_COLUMNS)
        if self._too_many:
            self._columns.clear()


def unify(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """One schema for the fields of all shards.

    Types on which all shards agree pass unchanged, with the features of `datasets` that the source declares in the
    schema's metadata; exceptions are types that Parquet or `datasets` cannot hold (dictionaries are decoded, maps
    become lists of key and value, extension types become their storage).  Columns stand in the source's order where
    all shards declare the same, else by name.  A field named like a column of the output's own is called
    ``source_NAME``.  Over a thousand undeclared names become one column ``fields`` of JSON.

    Parameters
    ----------
    schemas : iterable of pyarrow.Schema
        One a shard, in any order.

    Returns
    -------
    pyarrow.Schema
        Survives ``Schema.serialize``; unifying it again changes nothing.
    """
    types = FieldTypes()
    for schema in schemas:
        types.include(schema)
    return types.unified()


def source_name(field: pa.Field) -> str:
    """The name that the source uses for an output field."""
    origin = (field.metadata or {}).get(_ORIGIN)
    return str(field.name if origin is None else origin.decode("utf-8", "surrogatepass"))


def is_json(field: pa.Field) -> bool:
    """Whether a string field holds JSON text."""
    return bool((field.metadata or {}).get(b"dedupkit:json"))


def value_of(fields: Mapping[str, Any], field: pa.Field) -> Any:
    """The value of an output field in one sample's fields; None where the sample has none."""
    return fields if _WHOLE in (field.metadata or {}) else fields.get(source_name(field))


def column(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Convert values to an Arrow array of a unified field's type; never raises.

    A value that `observe` or the source's own schema covered always fits.  One that does not, because a source
    declared a type that its values do not have, becomes null.
    """
    fitted = [_fit(value, field) for value in values]
    try:
        return pa.array(fitted, field.type)
    except _MISFIT:
        return pa.array([value if _fits(value, field.type) else None for value in fitted], field.type)


def json_text(value: Any) -> str:
    """A value as strict JSON."""
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(", ", ": "))


class _Shape:
    """Join of the types of some values: which scalars, list items and members were seen."""

    __slots__ = ("exact", "items", "json", "members", "scalars")

    def __init__(self) -> None:
        self.exact: pa.Field | None = None  # set while everything included is equal
        self.scalars: dict[str, pa.DataType] = {}
        self.items: _Shape | None = None
        self.members: dict[str, _Shape] | None = None
        self.json = False

    def observe(self, value: Any, depth: int) -> None:
        self._loosen()
        value = _python(value)
        if value is None or self.json:
            return
        if isinstance(value, Mapping | list | tuple) and depth >= MAX_DEPTH:
            self.json = True
        elif isinstance(value, Mapping):
            self._observe_members(value, depth)
        elif isinstance(value, list | tuple):
            self.items = self.items or _Shape()
            for item in value:
                self.items.observe(item, depth + 1)
        else:
            kind = _scalar_type(value)
            self.json = kind is None
            if kind is not None:
                self.scalars[_NAMES[kind]] = kind
        self._forget_if_json()

    def _observe_members(self, value: Mapping[Any, Any], depth: int) -> None:
        self.members = {} if self.members is None else self.members
        for name, member in value.items():
            if not isinstance(name, str) or name != _utf8(name):
                self.json = True
                return
            self.members.setdefault(name, _Shape()).observe(member, depth + 1)
        self.json = len(self.members) > MAX_MEMBERS

    def include(self, field: pa.Field) -> None:
        if arrow.is_null(field.type) or self.json:
            return
        if self.exact is None and not self.scalars and self.items is None and self.members is None:
            self.exact = field.with_name("item")
        elif self.exact is None or not self.exact.equals(field.with_name("item"), check_metadata=True):
            self._loosen()
            self._decompose(field)

    def _loosen(self) -> None:
        if self.exact is not None:
            field, self.exact = self.exact, None
            self._decompose(field)

    def _decompose(self, field: pa.Field) -> None:
        kind = field.type
        if is_json(field):
            self.json = True
        elif _is_list(kind):
            self.items = self.items or _Shape()
            self.items.include(kind.value_field)
        elif arrow.is_struct(kind):
            self.members = {} if self.members is None else self.members
            for member in kind:
                self.members.setdefault(member.name, _Shape()).include(member)
        else:
            self.scalars[str(kind)] = kind
        self._forget_if_json()

    def _forget_if_json(self) -> None:
        self.json = self.json or bool(self.scalars) + (self.items is not None) + (self.members is not None) > 1
        if self.json:
            self.scalars, self.items, self.members = {}, None, None

    def field(self, name: str, metadata: dict[bytes, bytes] | None = None) -> pa.Field:
        if self.exact is not None:
            return self.exact.with_name(name).with_metadata({**(self.exact.metadata or {}), **(metadata or {})} or None)
        if self.items is not None:
            return pa.field(name, pa.list_(self.items.field("item")), metadata=metadata)
        if self.members is not None:
            members = [shape.field(member) for member, shape in sorted(self.members.items())]
            return pa.field(name, pa.struct(members), metadata=metadata)
        common = None if self.json else _common(list(self.scalars.values()))
        if common is None:
            return pa.field(name, pa.string(), metadata={**_JSON, **(metadata or {})})
        return pa.field(name, common, metadata=metadata)


def _scalar_type(value: Any) -> pa.DataType | None:
    if isinstance(value, bool):
        return _BOOL
    if isinstance(value, int):
        return _INT if -(1 << 63) <= value < 1 << 63 else None
    if isinstance(value, datetime):  # before date, which it is a kind of
        return _TIMESTAMP if value.utcoffset() is None else _UTC_TIMESTAMP
    return next((kind for classes, kind in _SCALARS if isinstance(value, classes)), None)


_BOOL, _INT, _TIMESTAMP = pa.bool_(), pa.int64(), pa.timestamp("us")
_SCALARS: tuple[tuple[Any, pa.DataType], ...] = (
    (str, pa.string()),
    (float, pa.float64()),
    (bytes | bytearray | memoryview, pa.binary()),
    (date, pa.date32()),
)
_NAMES = {kind: str(kind) for kind in (_BOOL, _INT, _TIMESTAMP, _UTC_TIMESTAMP, *(kind for _, kind in _SCALARS))}


def _common(kinds: list[pa.DataType]) -> pa.DataType | None:
    """The type that holds values of all these scalar types; None where only JSON does."""
    if len(kinds) < 2:
        return kinds[0] if kinds else pa.null()
    if all(map(arrow.is_unsigned_integer, kinds)):
        return pa.uint64()
    if all(map(arrow.is_integer, kinds)):
        return None if pa.uint64() in kinds else pa.int64()
    if all(arrow.is_integer(kind) or arrow.is_floating(kind) for kind in kinds):
        return pa.float64()
    if all(arrow.is_string(kind) or arrow.is_large_string(kind) for kind in kinds):
        return pa.large_string()
    if all(arrow.is_binary(kind) or arrow.is_large_binary(kind) for kind in kinds):
        return pa.large_binary()
    if all(map(arrow.is_timestamp, kinds)) and len({kind.tz for kind in kinds}) == 1:
        return pa.timestamp("us", tz=kinds[0].tz)
    return None


def _holdable(field: pa.Field, empty_structs: bool) -> pa.Field:
    """The field with every type in it replaced that Parquet, IPC or `datasets` cannot hold."""
    kind = field.type
    while isinstance(kind, pa.BaseExtensionType) or arrow.is_dictionary(kind) or arrow.is_run_end_encoded(kind):
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind.value_type
    if is_json(field) or arrow.is_union(kind) or arrow.is_interval(kind):
        return pa.field(field.name, pa.string(), metadata=_JSON)
    if arrow.is_map(kind):
        kind = pa.list_(pa.struct([kind.key_field.with_name("key"), kind.item_field.with_name("value")]))
    if arrow.is_struct(kind):
        if not kind.num_fields and not empty_structs:
            return pa.field(field.name, pa.string(), metadata=_JSON)
        return pa.field(field.name, pa.struct([_holdable(member, empty_structs) for member in kind]))
    if _is_list(kind):
        item = _holdable(kind.value_field.with_name("item"), empty_structs)
        if arrow.is_fixed_size_list(kind):
            return pa.field(field.name, pa.list_(item, kind.list_size))
        large = arrow.is_large_list(kind) or arrow.is_large_list_view(kind)
        return pa.field(field.name, pa.large_list(item) if large else pa.list_(item))
    return pa.field(field.name, _holdable_scalar(kind))


def _holdable_scalar(kind: pa.DataType) -> pa.DataType:
    if arrow.is_fixed_size_binary(kind) or str(kind) == "binary_view":
        return pa.binary()
    if str(kind) == "string_view":
        return pa.string()
    if str(kind).startswith(("decimal32", "decimal64")):
        return pa.decimal128(kind.precision, kind.scale)
    return kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        arrow.is_list(kind)
        or arrow.is_large_list(kind)
        or arrow.is_fixed_size_list(kind)
        or arrow.is_list_view(kind)
        or arrow.is_large_list_view(kind)
    )


def _stored_names(names: Iterable[str]) -> dict[str, str]:
    names = sorted(names)
    stored = {name: name for name in names if name and name not in OWN_COLUMNS and name == _utf8(name)}
    taken = {*stored, *OWN_COLUMNS}
    for name in names:
        if name not in stored:
            candidate = f"source_{name}" if name in OWN_COLUMNS else _utf8(name) or "unnamed"
            while candidate in taken:
                candidate += "_"
            taken.add(candidate)
            stored[name] = candidate
    return stored


def _schema_of_whole() -> pa.Schema:
    return pa.schema([pa.field("fields", pa.string(), metadata={**_JSON, _WHOLE: b"1"})])


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What the schema says about `datasets` features, for columns whose type is kept as declared."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    kept = {field.name for field in schema if _holdable(field, empty_structs=True).type.equals(field.type)}
    return {name: feature for name, feature in features.items() if name in kept} if isinstance(features, dict) else {}


def _fit(value: Any, field: pa.Field) -> Any:
    """A value as `pyarrow.array` takes it for the field's type."""
    kind = field.type
    if arrow.is_timestamp(kind) and kind.unit == "ns":  # finer than a datetime; pyarrow takes pandas' own
        return value
    value = _python(value)
    if value is None:
        return None
    if is_json(field):
        return json_text(value)
    if arrow.is_struct(kind) and isinstance(value, Mapping):
        return {member.name: _fit(value.get(member.name), member) for member in kind}
    if _is_list(kind):
        return _fit_items(value, kind.value_field)
    if arrow.is_floating(kind) and isinstance(value, int):
        return float(value) if abs(value) < 1 << 64 else None
    if arrow.is_string(kind) or arrow.is_large_string(kind):
        return _utf8(value) if isinstance(value, str) else json_text(value)
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


def _python(value: Any) -> Any:
    """Numpy and pandas values as plain ones."""
    if hasattr(value, "to_pydatetime"):
        return None if value != value else value.to_pydatetime(warn=False)
    return value.tolist() if hasattr(value, "tolist") and not isinstance(value, memoryview) else value


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as strict JSON can hold it."""
    value = _python(value)
    if isinstance(value, int):  # bool is one; Python writes no decimal of more than 4300 digits
        return value if value.bit_length() < _JSON_INT_BITS else hex(value)
    if value is None:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth >= _JSON_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {_utf8(str(name)): _plain(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item, depth + 1) for item in value), key=json_text)
    return value.isoformat() if isinstance(value, date) else _utf8(str(value))


def _utf8(text: str) -> str:
    """The text with lone surrogates, which Arrow cannot hold, replaced."""
    return text.encode("utf-8", "replace").decode()


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")

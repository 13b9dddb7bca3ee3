"""Join of the types of values, and the Arrow type that holds them all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from pyarrow import types as arrow

from dedupkit.fields.values import JSON_MARK, is_json, is_list, python_value, utf8

MAX_MEMBERS = 200
MAX_DEPTH = 16  # Arrow's IPC reader refuses 64; deeper nesting than this is free-form data
_BOOL, _INT, _TIMESTAMP, _UTC_TIMESTAMP = pa.bool_(), pa.int64(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")
_SCALARS: tuple[tuple[Any, pa.DataType], ...] = (
    (str, pa.string()),
    (float, pa.float64()),
    (bytes | bytearray | memoryview, pa.binary()),
    (date, pa.date32()),
)
_NAMES = {kind: str(kind) for kind in (_BOOL, _INT, _TIMESTAMP, _UTC_TIMESTAMP, *(kind for _, kind in _SCALARS))}


class Paths:
    """How many shapes hang together: fields, members of fields, members of those."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Shape:
    """Join of the types of some values: which scalars, list items and members were seen."""

    __slots__ = ("exact", "items", "json", "members", "paths", "scalars")

    def __init__(self, paths: Paths) -> None:
        paths.count += 1
        self.paths = paths
        self.exact: pa.Field | None = None  # set while everything included is equal
        self.scalars: dict[str, pa.DataType] = {}
        self.items: Shape | None = None
        self.members: dict[str, Shape] | None = None
        self.json = False

    def observe(self, value: Any, depth: int) -> None:
        """Take in a value that stands this many levels deep."""
        self._loosen()
        value = python_value(value)
        if value is None or self.json:
            return
        if isinstance(value, Mapping | list | tuple) and depth >= MAX_DEPTH:
            self.json = True
        elif isinstance(value, Mapping):
            self._observe_members(value, depth)
        elif isinstance(value, list | tuple):
            self.items = self.items or Shape(self.paths)
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
            if not isinstance(name, str) or name != utf8(name):
                self.json = True
                return
            self._member(name).observe(member, depth + 1)
        self.json = len(self.members) > MAX_MEMBERS

    def _member(self, name: str) -> Shape:
        self.members = {} if self.members is None else self.members
        if name not in self.members:
            self.members[name] = Shape(self.paths)
        return self.members[name]

    def include(self, field: pa.Field) -> None:
        """Take in a type."""
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
        elif is_list(kind):
            self.items = self.items or Shape(self.paths)
            self.items.include(kind.value_field)
        elif arrow.is_struct(kind):
            self.members = {} if self.members is None else self.members
            for member in kind:
                self._member(member.name).include(member)
        else:
            self.scalars[str(kind)] = kind
        self._forget_if_json()

    def _forget_if_json(self) -> None:
        self.json = self.json or bool(self.scalars) + (self.items is not None) + (self.members is not None) > 1
        if self.json:
            self.scalars, self.items, self.members = {}, None, None

    def field(self, name: str, metadata: dict[bytes, bytes] | None = None) -> pa.Field:
        """The type that holds everything taken in, as a field of this name."""
        if self.exact is not None:
            return self.exact.with_name(name).with_metadata({**(self.exact.metadata or {}), **(metadata or {})} or None)
        if self.items is not None:
            return pa.field(name, pa.list_(self.items.field("item")), metadata=metadata)
        if self.members is not None:
            members = [shape.field(member) for member, shape in sorted(self.members.items())]
            return pa.field(name, pa.struct(members), metadata=metadata)
        common = None if self.json else _common(list(self.scalars.values()))
        if common is None:
            return pa.field(name, pa.string(), metadata={**JSON_MARK, **(metadata or {})})
        return pa.field(name, common, metadata=metadata)


def _scalar_type(value: Any) -> pa.DataType | None:
    if isinstance(value, bool):
        return _BOOL
    if isinstance(value, int):
        return _INT if -(1 << 63) <= value < 1 << 63 else None
    if isinstance(value, datetime):  # before date, which it is a kind of
        return _TIMESTAMP if value.utcoffset() is None else _UTC_TIMESTAMP
    return next((kind for classes, kind in _SCALARS if isinstance(value, classes)), None)


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


def holdable(field: pa.Field, empty_structs: bool) -> pa.Field:
    """The field with every type in it replaced that Parquet, IPC or `datasets` cannot hold."""
    kind = field.type
    while isinstance(kind, pa.BaseExtensionType) or arrow.is_dictionary(kind) or arrow.is_run_end_encoded(kind):
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind.value_type
    if is_json(field) or arrow.is_union(kind) or arrow.is_interval(kind):
        return pa.field(field.name, pa.string(), metadata=JSON_MARK)
    if arrow.is_map(kind):
        kind = pa.list_(pa.struct([kind.key_field.with_name("key"), kind.item_field.with_name("value")]))
    if arrow.is_struct(kind):
        if not kind.num_fields and not empty_structs:
            return pa.field(field.name, pa.string(), metadata=JSON_MARK)
        return pa.field(field.name, pa.struct([holdable(member, empty_structs) for member in kind]))
    if is_list(kind):
        item = holdable(kind.value_field.with_name("item"), empty_structs)
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

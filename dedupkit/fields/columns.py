"""Columns of a source's other fields: their types over all shards, their names and their order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.fields.shapes import Paths, Shape, holdable
from dedupkit.fields.values import JSON_MARK, ORIGIN_MARK, WHOLE_MARK, source_name, utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OWN_COLUMNS = ("key", "image", "caption", "captions", "width", "height", "group_size", "weight")
MAX_COLUMNS = 1000
MAX_PATHS = 10_000  # columns, their members, and members of those: Parquet has a column for each
_INFERRED = b"dedupkit:inferred"


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
        self._columns: dict[str, Shape] = {}
        self._paths = Paths()
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
        if any(WHOLE_MARK in (field.metadata or {}) for field in schema):
            self._too_many = True
        order = tuple(source_name(field) for field in schema)
        if order and self._order not in (None, order):
            self._order_agreed = False
        self._order = order or self._order
        features = _features(schema)
        for name, field in zip(order, schema, strict=True):
            known = name in self._columns
            self._column(name).include(holdable(field, empty_structs=True))
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
        fields = [shape.field(utf8(name), {ORIGIN_MARK: _raw(name)}) for name, shape in self._in_order()]
        return pa.schema(fields, metadata={_INFERRED: b"1"})

    def unified(self) -> pa.Schema:
        """The types so far as an output is written with: named, ordered and holdable."""
        if self._too_many:
            return _schema_of_whole()
        stored = _stored_names(self._columns)
        fields, features = [], {}
        for name, shape in self._in_order():
            field = holdable(shape.field(stored[name]), empty_structs=False)
            origin = {} if stored[name] == name else {ORIGIN_MARK: _raw(name)}
            fields.append(field.with_metadata({**(field.metadata or {}), **origin} or None))
            feature = json.loads(self._features.get(name, "null"))
            if feature is not None and shape.exact is not None and field.type.equals(shape.exact.type):
                features[stored[name]] = feature
        metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()} if features else None
        return pa.schema(fields, metadata=metadata)

    def _column(self, name: str) -> Shape:
        if name not in self._columns:
            self._columns[name] = Shape(self._paths)
        return self._columns[name]

    def _in_order(self) -> list[tuple[str, Shape]]:
        if self._order_agreed and self._order is not None and len(self._order) == len(self._columns):
            return [(name, self._columns[name]) for name in self._order]
        return sorted(self._columns.items())

    def _limit(self) -> None:
        too_many = len(self._columns) > MAX_COLUMNS or self._paths.count > MAX_PATHS
        self._too_many = self._too_many or (self._inferred and too_many)
        if self._too_many:
            self._columns.clear()


def unify(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """One schema for the fields of all shards.

    Types on which all shards agree pass unchanged, with the features of `datasets` that the source declares in the
    schema's metadata; exceptions are types that Parquet or `datasets` cannot hold (dictionaries are decoded, maps
    become lists of key and value, extension types become their storage).  Columns stand in the source's order where
    all shards declare the same, else by name.  A field named like a column of the output's own is called
    ``source_NAME``.  Over a thousand undeclared names, or ten thousand with all members, become one
    column ``fields`` of JSON.

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


def _stored_names(names: Iterable[str]) -> dict[str, str]:
    names = sorted(names)
    stored = {name: name for name in names if name and name not in OWN_COLUMNS and name == utf8(name)}
    taken = {*stored, *OWN_COLUMNS}
    for name in names:
        if name not in stored:
            candidate = f"source_{name}" if name in OWN_COLUMNS else utf8(name) or "unnamed"
            while candidate in taken:
                candidate += "_"
            taken.add(candidate)
            stored[name] = candidate
    return stored


def _schema_of_whole() -> pa.Schema:
    return pa.schema([pa.field("fields", pa.string(), metadata={**JSON_MARK, WHOLE_MARK: b"1"})])


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What the schema says about `datasets` features, for columns whose type is kept as declared."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    kept = {field.name for field in schema if holdable(field, empty_structs=True).type.equals(field.type)}
    return {name: feature for name, feature in features.items() if name in kept} if isinstance(features, dict) else {}


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")

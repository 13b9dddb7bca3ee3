"""Arrow types of a source's other fields: found shard by shard, unified over shards, values converted by them.

What a shard holds is a join of what its values are, so neither the order of samples nor that of shards matters.
Where no common Arrow type exists the values are written as JSON text, and the field says so in its metadata
(``dedupkit:json``).  Coercions, all decided by type and never by value: int among floats becomes float64; a missing
member becomes null; integers beyond 64 bits, mixed types, mappings with other than string keys, structs that are
always empty, and nesting deeper than 16 become JSON.  In JSON, bytes stand as base64 and what is not finite as null.
"""

from dedupkit.fields.columns import MAX_COLUMNS, OWN_COLUMNS, FieldTypes, unify
from dedupkit.fields.values import column, is_json, json_text, source_name, value_of

__all__ = [
    "MAX_COLUMNS",
    "OWN_COLUMNS",
    "FieldTypes",
    "column",
    "is_json",
    "json_text",
    "source_name",
    "unify",
    "value_of",
]

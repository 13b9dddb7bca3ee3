from __future__ import annotations

import io
import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.fields import MAX_COLUMNS, FieldTypes, column, is_json, json_text, source_name, unify, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.dates()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(0, 3), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(["a", "b", "image", "source_image", "key", "", "\ud800", "é"])
rows = st.lists(st.dictionaries(names, values, max_size=4), max_size=6)


def observed(samples: Sequence[Mapping[str, Any]]) -> pa.Schema:
    types = FieldTypes()
    for sample in samples:
        types.observe(sample)
    return types.schema()


def table(samples: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    arrays = [column([value_of(sample, field) for sample in samples], field) for field in schema]
    return pa.table(arrays, schema=schema)


def through_parquet(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    written = table(samples, unify([observed(samples)]))
    buffer = io.BytesIO()
    pq.write_table(written, buffer)
    rows: list[dict[str, Any]] = pq.read_table(buffer).to_pylist()
    return rows


def coerced(value: Any, field: pa.Field) -> Any:
    """What the module's docstring promises for a value, said independently of how it converts."""
    if value is None:
        return None
    if is_json(field):
        return json.loads(json_text(value))
    if pa.types.is_struct(field.type):
        return {member.name: coerced(value.get(member.name), member) for member in field.type}
    if pa.types.is_list(field.type):
        return [coerced(item, field.type.value_field) for item in value]
    if pa.types.is_float64(field.type):
        return "nan" if math.isnan(value) else float(value)
    return value


def decoded(value: Any, field: pa.Field) -> Any:
    if value is None:
        return None
    if is_json(field):
        return json.loads(value)
    if pa.types.is_struct(field.type):
        return {member.name: decoded(value[member.name], member) for member in field.type}
    if pa.types.is_list(field.type):
        return [decoded(item, field.type.value_field) for item in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else value


@settings(max_examples=300, deadline=None)
@given(rows)
def test_any_values_come_back_equal_up_to_the_documented_coercions(samples: list[dict[str, Any]]) -> None:
    schema = unify([observed(samples)])
    written = table(samples, schema)
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, schema) as writer:
        writer.write_table(written)
    from_ipc = pa.ipc.open_stream(buffer.getvalue()).read_all()
    assert pa.ipc.read_schema(pa.BufferReader(schema.serialize())).equals(schema, check_metadata=True)
    buffer = io.BytesIO()
    pq.write_table(written, buffer)
    for read in (from_ipc, pq.read_table(buffer)):
        for field in schema:
            found = [decoded(value, field) for value in read[field.name].to_pylist()]
            assert found == [coerced(value_of(sample, field), field) for sample in samples]


@settings(max_examples=200, deadline=None)
@given(st.lists(rows, max_size=4), st.randoms())
def test_the_order_of_shards_and_samples_does_not_matter(shards: list[list[dict[str, Any]]], random: Any) -> None:
    schemas = [observed(shard) for shard in shards]
    before = unify(schemas)
    random.shuffle(schemas)
    assert unify(schemas).equals(before, check_metadata=True)
    flat = [sample for shard in shards for sample in shard]
    random.shuffle(flat)
    assert unify([observed(flat)]).equals(before, check_metadata=True)


@settings(max_examples=100, deadline=None)
@given(rows)
def test_unifying_again_changes_nothing(samples: list[dict[str, Any]]) -> None:
    once = unify([observed(samples)])
    assert unify([once, once]).equals(once, check_metadata=True)


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        ([None, None], pa.null()),
        ([None, 1], pa.int64()),
        ([1, 2.5], pa.float64()),
        ([True, None], pa.bool_()),
        ([b"x"], pa.binary()),
        ([np.int32(3), np.float64(0.5)], pa.float64()),
        ([np.zeros((2, 2))], pa.list_(pa.list_(pa.float64()))),
        ([[1], [], [None, 0.5]], pa.list_(pa.float64())),
        ([{"a": 1}, {"b": "x"}, {}], pa.struct({"a": pa.int64(), "b": pa.string()})),
        ([datetime(2024, 1, 2)], pa.timestamp("us")),
        ([datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2)))], pa.timestamp("us", tz="UTC")),
        ([date(2024, 1, 2)], pa.date32()),
    ],
)
def test_types_that_are_found(seen: list[Any], kind: pa.DataType) -> None:
    found = unify([observed([{"x": value} for value in seen])]).field("x")
    assert found.type == kind
    assert not is_json(found)


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        ([1, "one"], ["1", '"one"']),
        ([True, 1], ["true", "1"]),
        ([1 << 64], ["18446744073709551616"]),
        ([{}], ["{}"]),
        ([{3: "x"}], ['{"3": "x"}']),
        ([[1], {"a": math.inf}], ["[1]", '{"a": null}']),
        ([b"\x00\xff", "x"], ['"AP8="', '"x"']),
        ([1 + 2j], ['"(1+2j)"']),
    ],
)
def test_what_has_no_common_type_becomes_json(seen: list[Any], text: list[str]) -> None:
    samples = [{"x": value} for value in seen]
    assert is_json(unify([observed(samples)]).field("x"))
    assert [row["x"] for row in through_parquet(samples)] == text


def test_values_beyond_every_limit_do_not_raise() -> None:
    deep: Any = 1
    for _ in range(3000):
        deep = [deep]
    samples = [{"x": deep}, {"x": 10**6000}, {"y": {str(number): 1 for number in range(5000)}}, {"\ud800": "\udfff"}]
    assert through_parquet(samples)[3]["?"] == "?"


def test_fields_named_like_our_columns_are_renamed() -> None:
    schema = unify([observed([{"image": 1, "source_image": 2, "key": "k"}])])
    assert {field.name: source_name(field) for field in schema} == {
        "source_image": "source_image",
        "source_image_": "image",
        "source_key": "key",
    }
    assert through_parquet([{"image": 1, "source_image": 2}]) == [{"source_image_": 1, "source_image": 2}]


def test_too_many_names_become_one_column_of_json() -> None:
    samples = [{f"name{number}": number} for number in range(MAX_COLUMNS + 5)]
    for schema in (unify([observed(samples)]), unify([observed(samples[:900]), observed(samples[900:])])):
        assert schema.names == ["fields"]
        assert table(samples[:2], schema)["fields"].to_pylist() == ['{"name0": 0}', '{"name1": 1}']


def test_declared_types_pass_unchanged_in_the_order_of_the_source() -> None:
    declared = pa.schema({"z": pa.int16(), "a": pa.large_list(pa.float32()), "m": pa.decimal128(9, 2)})
    assert unify([declared, declared]).equals(declared)


def test_declared_types_that_disagree_are_widened_in_any_order() -> None:
    a = pa.schema({"x": pa.int16(), "y": pa.string(), "z": pa.timestamp("ms")})
    b = pa.schema({"y": pa.large_string(), "x": pa.uint8(), "z": pa.timestamp("ns")})
    wide = pa.schema({"x": pa.int64(), "y": pa.large_string(), "z": pa.timestamp("us")})
    assert unify([a, b]) == unify([b, a]) == wide


def test_declared_types_that_no_output_holds_are_replaced() -> None:
    declared = pa.schema(
        {
            "category": pa.dictionary(pa.int8(), pa.string()),
            "map": pa.map_(pa.string(), pa.int32()),
            "digest": pa.binary(4),
            "nested": pa.list_(pa.field("element", pa.struct([]), nullable=False)),
            "sized": pa.list_(pa.float32(), 2),
        }
    )
    schema = unify([declared])
    assert schema.field("map").type == pa.list_(pa.struct({"key": pa.string(), "value": pa.int32()}))
    sample = {"category": "x", "map": [("k", 1)], "digest": b"abcd", "nested": [{}], "sized": [1.0, 2.0]}
    assert table([sample], schema).to_pylist() == [
        {"category": "x", "map": [{"key": "k", "value": 1}], "digest": b"abcd", "nested": ["{}"], "sized": [1.0, 2.0]}
    ]


def features(schema: pa.Schema) -> Any:
    return json.loads(schema.metadata[b"huggingface"])["info"]["features"]


def test_declared_features_pass_where_all_shards_agree() -> None:
    label = {"names": ["cat", "dog"], "_type": "ClassLabel"}

    def declaring(**declared: Any) -> pa.Schema:
        metadata = {"huggingface": json.dumps({"info": {"features": declared}})}
        return pa.schema({"image": pa.int64(), "other": pa.int64()}, metadata=metadata)

    one, two = declaring(image=label, other=label), declaring(image=label, other={"_type": "Value", "dtype": "int64"})
    assert features(unify([one, two])) == features(unify([two, one])) == {"source_image": label}


def test_a_value_against_its_declared_type_becomes_null() -> None:
    assert column([1, "x", 1 << 40], pa.field("x", pa.int16())).to_pylist() == [1, None, None]


def test_nanoseconds_are_kept() -> None:
    array = pa.array([1_700_000_000_000_000_001, None], pa.timestamp("ns", tz="UTC"))
    assert column(array.to_pylist(), pa.field("x", array.type)).equals(array)


def test_one_samples_fields_make_no_schema_of_thousands() -> None:
    types = FieldTypes()
    types.observe({"site": "here"})
    types.observe({f"field{one}": {f"part{two}": two for two in range(150)} for one in range(100)})
    types.observe({"site": "there"})
    assert unify([types.schema()]).names == ["fields"]

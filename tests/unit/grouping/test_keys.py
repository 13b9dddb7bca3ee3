"""Keys that clash: renamed by hand, and never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.grouping import keys as unique
from dedupkit.grouping.keys import UniqueKeys, clashing_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA = pa.schema({"shard": pa.string(), "key": pa.string()})


def fresh_keys(named: list[tuple[str, str]], cut: int = 0) -> list[str]:
    """The keys that samples get of a (shard, key) each; all in two parts that are read one by one."""
    parts = [pa.table({"shard": [shard for shard, _ in part], "key": [key for _, key in part]}, schema=SCHEMA)
             for part in (named[:cut], named[cut:])]  # fmt: skip

    def read(number: int, columns: Sequence[str]) -> pa.Table:
        return parts[number].select(columns)

    names = UniqueKeys.of(read, len(parts))
    return [key for number, part in enumerate(parts) for key in names.replaced(number, part["key"]).to_pylist()]


def test_keys_that_do_not_clash_stay() -> None:
    assert fresh_keys([("s", "a"), ("s", "b"), ("t", "c")]) == ["a", "b", "c"]
    assert fresh_keys([]) == []


def test_a_clash_between_shards_gets_the_shards_name() -> None:
    assert fresh_keys([("s", "a"), ("t", "a"), ("u", "b"), ("u", "a")], cut=2) == ["a", "t/a", "b", "u/a"]


def test_a_clash_in_one_shard_gets_a_number_too() -> None:
    assert fresh_keys([("s", "a"), ("s", "a"), ("s", "a"), ("s", "a")]) == ["a", "s/a", "s/a#2", "s/a#3"]


def test_a_new_name_that_another_sample_has_is_passed_over() -> None:
    assert fresh_keys([("s", "a"), ("t", "a"), ("u", "t/a"), ("u", "t/a#2")]) == ["a", "t/a#3", "t/a", "t/a#2"]
    assert fresh_keys([("t", "a"), ("t", "t/a"), ("t", "a"), ("t", "t/a")]) == ["a", "t/a", "t/a#2", "t/t/a"]


names = st.sampled_from(["a", "b", "s/a", "t/a", "s/a#2", "s/s/a", "a#2", "", "/"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["s", "t", "s/s", ""]), names), max_size=30), st.integers(0, 10))
def test_all_keys_are_unique_and_the_first_of_each_keeps_its_own(named: list[tuple[str, str]], cut: int) -> None:
    fresh = fresh_keys(named, cut)
    assert len(fresh) == len(named)
    assert len(set(fresh)) == len(fresh)
    seen: set[str] = set()
    for (shard, key), new in zip(named, fresh, strict=True):
        assert new == key if key not in seen else new.startswith(f"{shard}/{key}")
        seen.add(key)


def test_clashes_beyond_memory_are_those_of_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).integers(0, 40_000, (20, 2000))

    def keys() -> Iterator[pa.ChunkedArray]:
        for part in numbers:
            yield pa.chunked_array([pa.array([f"clé/{number}" for number in part.tolist()])])

    values, counts = np.unique(numbers, return_counts=True)
    expected = {f"clé/{value}" for value in values[counts > 1].tolist()}
    assert set(clashing_keys(keys).to_pylist()) == expected
    monkeypatch.setattr(unique, "_HELD", 1 << 10)
    assert set(clashing_keys(keys, memory=1).to_pylist()) == expected


def test_counting_keys_beyond_memory_takes_as_much_as_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unique, "_HELD", 1)
    monkeypatch.setattr(unique, "_LEAST_MEMORY", 1)
    part = pa.table({"shard": ["s"] * 3, "key": ["a", "b", "a"]}, schema=SCHEMA)
    with pytest.raises(duckdb.OutOfMemoryException):
        UniqueKeys.of(lambda _, columns: part.select(columns), 1, memory=1)
    found = UniqueKeys.of(lambda _, columns: part.select(columns), 1, memory=1 << 28)
    assert found.renamed_rows(0) == [2]


def test_many_samples_of_one_key_are_numbered_in_their_order() -> None:
    assert fresh_keys([("s", "a")] * 5000, 3)[-2:] == ["s/a#4998", "s/a#4999"]

"""Keys that clash: renamed by hand, and never lost."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.grouping.keys import replaced, unique_keys


def chunked(values: list[str], cut: int = 0) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values[:cut], pa.string()), pa.array(values[cut:], pa.string())])


def fresh_keys(named: list[tuple[str, str]], cut: int = 0) -> list[str]:
    """The keys that samples get of a (shard, key) each."""
    keys, shards = chunked([key for _, key in named], cut), chunked([shard for shard, _ in named], cut)
    found: list[str] = replaced(keys, unique_keys(keys, shards)).to_pylist()
    return found


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

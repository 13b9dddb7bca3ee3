from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from dedupkit.canaries import Planting, write_manifest
from dedupkit.errors import UsageError
from dedupkit.sample import Fault, Reason, Sample
from dedupkit.sources import open_source
from tests.unit.canaries.conftest import make_canary, samples

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.canaries.manifest import Manifest


@pytest.fixture
def planting(manifest: Manifest, tmp_path: Path) -> Planting:
    write_manifest(manifest, tmp_path / "m.json")
    return Planting.open(tmp_path / "m.json")


def read(source: Any) -> list[Sample]:
    return [sample for shard in source.shards() for sample in source.read(shard)]


def digest(sample: Sample) -> bytes:
    return hashlib.sha256(sample.image or b"").digest()


def test_every_copy_stands_there_and_every_other_sample_as_it_was(planting: Planting, manifest: Manifest) -> None:
    plain = open_source(samples(60))
    found = read(planting.around(plain))
    wanted = {canary.sha256: canary.repetitions for canary in manifest.planted}
    assert Counter(digest(each) for each in found if digest(each) in wanted) == wanted
    assert [each for each in found if digest(each) not in wanted] == read(plain)
    captions = {canary.sha256: canary.caption for canary in manifest.planted}
    assert all(each.caption == captions[digest(each)] for each in found if digest(each) in captions)


def test_each_pass_and_each_copy_of_the_source_reads_the_same(planting: Planting) -> None:
    source = planting.around(open_source(samples(30)))
    assert source.shards() == source.shards()
    assert read(source) == read(source) == read(pickle.loads(pickle.dumps(source)))


def test_keys_are_unique_in_order_and_fields_are_the_neighbours(planting: Planting) -> None:
    found = read(planting.around(open_source(samples(60))))
    keys = [each.key for each in found]
    assert keys == sorted(set(keys))
    assert {tuple(each.fields) for each in found} == {("url", "width")}
    assert len({each.fields["url"] for each in found}) == len(found)
    assert not any(each.notes or each.fault for each in found)


def test_identities_change_with_the_manifest_and_only_where_something_is_planted(
    planting: Planting, manifest: Manifest, tmp_path: Path
) -> None:
    plain = open_source(samples(30))
    other = tmp_path / "other.json"
    write_manifest(manifest.model_copy(update={"secret": "77" * 32}), other)
    identities = [
        [shard.identity for shard in each.shards()]
        for each in (plain, planting.around(plain), Planting.open(other).around(plain))
    ]
    assert len({tuple(each) for each in identities}) == 3
    assert [shard.name for shard in planting.around(plain).shards()] == [shard.name for shard in plain.shards()]


class Shards:
    """A source of the given samples."""

    def __init__(self, *shards: list[Sample]) -> None:
        self._shards = shards

    def shards(self) -> Any:
        from dedupkit.sources.base import Shard

        return [Shard(f"part-{number}", "1", number) for number in range(len(self._shards))]

    def fields(self, shard: Any) -> pa.Schema | None:
        return pa.schema({"a": pa.int64()}) if shard.location == 0 else None

    def read(self, shard: Any) -> Any:
        return iter(self._shards[shard.location])


def test_the_mark_of_a_damaged_shard_stays_last(planting: Planting) -> None:
    damage = Sample("part-0", None, fault=Fault(Reason.DAMAGED_SHARD, "cut off"))
    found = read(planting.around(Shards([Sample("1", b"x"), damage])))
    assert found[-1] is damage
    assert len(found) == 14
    assert read(planting.around(Shards([damage])))[-1] is damage


def test_declared_types_are_the_sources(planting: Planting) -> None:
    source = planting.around(Shards([Sample("1", b"x")], [Sample("2", b"y")]))
    assert [source.fields(shard) for shard in source.shards()] == [pa.schema({"a": pa.int64()}), None]


def test_numbers_that_count_through_all_shards_never_clash(tmp_path: Path, manifest: Manifest) -> None:
    many = manifest.model_copy(update={"canaries": tuple(make_canary(n, repetitions=2) for n in range(6))})
    write_manifest(many, tmp_path / "m.json")
    shards = [[Sample(f"{number:05d}", b"x") for number in range(20 * part, 20 * part + 20)] for part in range(5)]
    found = read(Planting.open(tmp_path / "m.json").around(Shards(*shards)))
    keys = [each.key for each in found]
    assert len(keys) == len(set(keys)) == 112
    assert {len(key) for key in keys} == {5}


@pytest.mark.parametrize("secret", range(8))
def test_one_canary_takes_no_number_of_the_next_shard(secret: int, tmp_path: Path, manifest: Manifest) -> None:
    one = manifest.model_copy(update={"canaries": (make_canary(),), "secret": f"{secret:064x}"})
    write_manifest(one, tmp_path / "m.json")
    shards = [[Sample(f"{number:05d}", b"x") for number in range(20 * part, 20 * part + 20)] for part in range(3)]
    keys = [each.key for each in read(Planting.open(tmp_path / "m.json").around(Shards(*shards)))]
    assert len(keys) == len(set(keys)) == 61


def test_a_shard_whose_last_key_is_no_number_goes_on_after_its_highest(planting: Planting) -> None:
    first = [*(Sample(f"{number:03d}", b"x") for number in range(20)), Sample("readme", b"y")]
    found = read(planting.around(Shards(first, [Sample("another", b"z")])))
    mine = [int(each.key) for each in found if each.key.isdigit()]
    assert sorted(mine) == list(range(len(mine)))
    assert len({each.key for each in found}) == len(found) == 34


def test_a_list_of_embeddings_is_refused(planting: Planting, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = pa.table({"url": ["https://example.org/a"], "embedding": [[0.5, 0.5]]})
    pq.write_table(table, tmp_path / "list.parquet")
    with pytest.raises(UsageError, match="images that are decoded"):
        planting.around(open_source(tmp_path / "list.parquet"))

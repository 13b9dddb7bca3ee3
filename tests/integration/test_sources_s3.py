"""Sources on a real S3 server on this machine."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.recipe import Recipe
from dedupkit.sources import open_source
from tests.conftest import draw_picture
from tests.integration.conftest import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.sample import Sample
    from dedupkit.sources import Source

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


def tar_bytes(count: int) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for number in range(count):
            for ending, data in (("jpg", bytes([number]) * 3000), ("txt", b"Picture.")):
                info = tarfile.TarInfo(f"{number:03d}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket's URL, on a server that the environment points s3fs at."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        host, port = server.get_host_and_port()
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
        yield "s3://bucket"
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def put(url: str, data: bytes) -> None:
    fsspec.filesystem("s3").pipe(url, data)


def read(source: Source) -> list[Sample]:
    return [sample for shard in source.shards() for sample in source.read(shard)]


def test_tars_are_found_by_folder_glob_and_range_and_streamed(bucket: str) -> None:
    for number in range(2):
        put(f"{bucket}/shards/{number:05d}.tar", tar_bytes(20))
    for name in ("shards", "shards/*.tar", "shards/{00000..00001}.tar"):
        source = open_source(f"{bucket}/{name}")
        found = read(source)
        assert [shard.name for shard in source.shards()] == ["00000", "00001"]
        assert len(found) == 40
        assert (found[39].key, found[39].image, found[39].caption) == ("019", bytes([19]) * 3000, "Picture.")


def test_a_folder_of_images_is_read_with_its_captions(bucket: str) -> None:
    for number in range(70):
        put(f"{bucket}/photos/{number:03d}.jpg", bytes([number]))
    put(f"{bucket}/photos/005.txt", b"Five.")
    found = read(open_source(f"{bucket}/photos"))
    assert [sample.image for sample in found] == [bytes([number]) for number in range(70)]
    assert found[5].caption == "Five."


def test_parquet_is_read(bucket: str) -> None:
    target = io.BytesIO()
    pq.write_table(pa.table({"image": pa.array([b"1", b"2"]), "text": ["A.", "B."]}), target)
    put(f"{bucket}/tables/data/train.parquet", target.getvalue())
    assert [sample.caption for sample in read(open_source(f"{bucket}/tables"))] == ["A.", "B."]


def test_identity_is_the_objects_tag_and_changes_with_its_content(bucket: str) -> None:
    identities = []
    for data in (tar_bytes(1), tar_bytes(1), tar_bytes(2)):
        put(f"{bucket}/one/a.tar", data)
        fsspec.filesystem("s3").invalidate_cache()
        identities.append(open_source(f"{bucket}/one/a.tar").shards()[0].identity)
    assert identities[0] == identities[1] != identities[2]


def test_a_damaged_object_is_one_fault(bucket: str) -> None:
    put(f"{bucket}/damaged/a.tar", tar_bytes(3)[:-12000])
    found = read(open_source(f"{bucket}/damaged"))
    assert found[-1].fault is not None
    assert found[-1].key == "a"


def test_what_is_not_there_is_refused(bucket: str) -> None:
    for name in ("nothing", "nothing/*.tar", "shards/{00000..00020}.tar"):
        with pytest.raises(UsageError, match=r"cannot be read|no file matches"):
            open_source(f"{bucket}/{name}")


def test_a_plan_of_a_bucket_measures_how_fast_it_is_read_and_writes_nothing_there(bucket: str) -> None:
    for number in range(3):
        target, pictures = io.BytesIO(), [encoded(draw_picture(10 * number + each)) for each in range(10)]
        pq.write_table(pa.table({"image": pictures, "text": ["A picture."] * 10}), target)
        put(f"{bucket}/planned/{number}.parquet", target.getvalue())
    before = fsspec.filesystem("s3").find(bucket)
    plan = dedupkit.plan(f"{bucket}/planned", recipe=Recipe(preset="fast"), samples=12)
    fsspec.filesystem("s3").invalidate_cache()
    assert fsspec.filesystem("s3").find(bucket) == before
    assert plan.count.samples.is_exact
    assert (plan.count.samples.value, plan.samples_read, plan.shards) == (30, 12, 3)
    assert plan.is_remote
    assert 0 < plan.read_bytes_per_s < 10e9
    assert "one stream read" in plan.text()
    assert any("only one stream was measured" in each for each in plan.unknown)

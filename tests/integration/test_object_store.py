"""Runs whose output, work folder and lock lie on a real S3 server on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import fsspec
import pytest

import dedupkit
from dedupkit.canaries.checking import open_output
from dedupkit.errors import UsageError
from dedupkit.outfolder import alone_in
from dedupkit.recipe import Recipe
from dedupkit.storage import Folder
from tests.commands import run
from tests.integration.conftest import write_shards
from tests.integration.store_servers import SECRET, contents, digests, local_contents, running_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Planted
    from tests.integration.store_servers import Store

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
_FORMATS = {"output": {"formats": ("arrow", "webdataset")}}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as store:
        yield store


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_shards(tmp_path_factory.mktemp("store") / "shards", 3, 5)


@pytest.fixture(scope="module")
def local(source: Planted, tmp_path_factory: pytest.TempPathFactory) -> dedupkit.Result:
    """A run on this machine alone."""
    out = tmp_path_factory.mktemp("local") / "out"
    return dedupkit.clean(source.folder, out, recipe=Recipe.of(_FORMATS, name="test"))


@pytest.fixture(scope="module")
def remote(source: Planted, store: Store) -> dedupkit.Result:
    """The same run with its output on the store, begun through the command line."""
    out = "s3://bucket/runs/clean"
    assert run("clean", str(source.folder), out, "--format", "arrow", "--format", "webdataset").returncode == 0
    return dedupkit.clean(source.folder, out, recipe=Recipe.of(_FORMATS, name="test"))


def test_all_files_equal_those_of_a_local_run(local: dedupkit.Result, remote: dedupkit.Result, tmp_path: Path) -> None:
    from pathlib import Path

    here, there = local_contents(Path(local.out)), contents(remote.out)
    assert digests(there) == digests(here)
    assert not fsspec.filesystem("s3", skip_instance_cache=True).exists(f"{remote.out}/.dedupkit/lock")


def test_a_result_is_read_from_the_store(local: dedupkit.Result, remote: dedupkit.Result) -> None:
    assert remote.decisions() == local.decisions()
    assert remote.dataset()["key"][:] == local.dataset()["key"][:]
    assert remote.summary == local.summary


def test_a_source_on_the_store_gives_the_same_set(source: Planted, local: dedupkit.Result, store: Store) -> None:
    fsspec.filesystem("s3").put(str(source.folder), "bucket/shards", recursive=True)
    recipe = Recipe.of(_FORMATS, name="test")
    found = dedupkit.clean("s3://bucket/shards", "s3://bucket/runs/both", recipe=recipe, workers=2)
    assert found.decisions() == local.decisions()
    assert found.dataset()["image"][:] == local.dataset()["image"][:]


def test_a_repeated_run_asks_little_and_writes_no_part(remote: dedupkit.Result, source: Planted, store: Store) -> None:
    before = contents(remote.out)
    store.requests.clear()
    dedupkit.clean(source.folder, remote.out, recipe=Recipe.of(_FORMATS, name="test"))
    asked = dict(store.requests)
    # lock, mark, report.html, report.json, decisions.parquet, recipe.toml, and small files of formats and stages
    assert asked["PUT"] <= 14
    assert sum(asked.values()) <= 150 + 3 * 35  # a constant, and so many for each of three shards
    assert digests(contents(remote.out)) == digests(before)


def test_a_takedown_on_the_store_leaves_what_a_local_one_leaves(
    local: dedupkit.Result, source: Planted, store: Store, tmp_path: Path
) -> None:
    recipe = Recipe.of({"preset": "fast"} | _FORMATS, name="test")
    key = local.dataset()["key"][0]
    dedupkit.clean(source.folder, tmp_path / "out", recipe=recipe)
    dedupkit.clean(source.folder, "s3://bucket/runs/takedown", recipe=recipe)
    here = dedupkit.remove(tmp_path / "out", keys=[key])
    there = dedupkit.remove("s3://bucket/runs/takedown", keys=[key])
    assert here.keys == there.keys == (key,)
    assert digests(contents("s3://bucket/runs/takedown")) == digests(local_contents(tmp_path / "out"))
    assert run("remove", "s3://bucket/runs/takedown", "--key", "nothing").stdout.startswith("0 samples removed")


def test_example_images_block_on_the_store(
    source: Planted, local: dedupkit.Result, store: Store, tmp_path: Path
) -> None:
    example = tmp_path / "example.jpg"
    example.write_bytes(local.dataset().with_format("arrow")[0]["image"][0].as_py()["bytes"])
    recipe = Recipe.of({"preset": "fast", "blocklist": {"images": (str(example),)}}, name="test")
    found = dedupkit.clean(source.folder, "s3://bucket/runs/blocked", recipe=recipe)
    assert found.summary["reasons"]["blocked"] >= 1
    assert local.dataset()["key"][0] not in found.dataset()["key"][:]


def test_an_output_is_opened_for_the_checks_of_canaries(remote: dedupkit.Result) -> None:
    opened = open_output(remote.out)
    samples = sum(1 for shard in opened.shards() for _ in opened.read(shard))
    assert samples == remote.summary["samples"]["kept"]


def test_unfinished_uploads_of_a_killed_run_are_aborted_and_no_others(store: Store) -> None:
    s3 = fsspec.filesystem("s3")
    for key in ("runs/half/dataset/data-00000.arrow", "runs/half-other/file"):
        s3.call_s3("create_multipart_upload", Bucket="bucket", Key=key)
    with alone_in(Folder.at("s3://bucket/runs/half")):
        left = s3.call_s3("list_multipart_uploads", Bucket="bucket")["Uploads"]
    assert [each["Key"] for each in left] == ["runs/half-other/file"]


def stop_half(folder: Folder) -> None:
    with folder.writing("other") as handle:
        handle.write(b"half")
        raise KeyboardInterrupt


def test_a_large_part_is_put_in_pieces_or_not_at_all(store: Store, tmp_path: Path) -> None:
    folder, piece = Folder.at("s3://bucket/large"), b"0123456789abcdef" * (1 << 16)
    with folder.writing("part") as handle:
        for _ in range(101):
            handle.write(piece)
        assert not folder.exists("part")
    assert folder.size("part") == 101 << 20
    with folder.reading("part") as handle:
        assert handle.read(1 << 20) == piece
    with pytest.raises(KeyboardInterrupt):
        stop_half(folder)
    assert folder.names() == ["part"]


def test_a_bucket_that_is_not_there_is_named(source: Planted, store: Store) -> None:
    with pytest.raises(UsageError, match=r"s3://nowhere/out cannot be written.*make the bucket or container first"):
        dedupkit.clean(source.folder, "s3://nowhere/out", recipe=Recipe(preset="fast"))


def test_the_manifest_of_canaries_stays_on_this_machine(source: Planted, store: Store, tmp_path: Path) -> None:
    out = "s3://bucket/runs/canaries"
    asked = {"preset": "fast", "canaries": {"planted": 2, "controls": 2}}
    with pytest.raises(UsageError, match="--manifest FILE"):
        dedupkit.clean(source.folder, out, recipe=Recipe.of(asked, name="test"))
    asked["canaries"] = {"planted": 2, "controls": 2, "manifest": "s3://bucket/manifest.json"}
    with pytest.raises(UsageError, match="name a local file"):
        dedupkit.clean(source.folder, out, recipe=Recipe.of(asked, name="test"))
    assert not Folder.at(out).names()
    asked["canaries"] = {"planted": 2, "controls": 2, "manifest": str(tmp_path / "private.json")}
    dedupkit.clean(source.folder, out, recipe=Recipe.of(asked, name="test"))
    seed = json.loads((tmp_path / "private.json").read_text())
    assert seed
    there = fsspec.filesystem("s3", skip_instance_cache=True).find("bucket")
    assert len(there) > 20
    assert not [name for name in there if "private" in name or "manifest" in name]


def test_no_credential_is_written_or_shown(source: Planted, store: Store, tmp_path: Path) -> None:
    shards = f"{store.url}/bucket/signed/00000.tar?X-Amz-Signature={SECRET}"
    s3 = fsspec.filesystem("s3")
    s3.put_file(str(source.folder / "00000.tar"), "bucket/signed/00000.tar")
    s3.call_s3("put_object_acl", Bucket="bucket", Key="signed/00000.tar", ACL="public-read")
    told = run("clean", shards, "s3://bucket/runs/secret", "--preset", "fast")
    assert told.returncode == 0, told.stderr
    wrong = run("clean", shards.replace("00000", "00009"), f"s3://user:{SECRET}@bucket/none", "--preset", "fast")
    assert wrong.returncode != 0
    shown = told.stdout + told.stderr + wrong.stdout + wrong.stderr
    written = b"".join(contents("s3://bucket/runs/secret").values())
    assert len(written) > 10_000
    assert SECRET not in shown
    assert SECRET.encode() not in written

"""Whose an output folder on a store is: one run at a time, and never another's files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.lease import LEASE_S, Lock
from dedupkit.outfolder import alone_in, check
from dedupkit.storage import Folder
from tests.commands import run
from tests.integration.store_servers import running_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Planted
    from tests.integration.store_servers import Store

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as store:
        yield store


def put_lock(url: str, **changes: Any) -> None:
    """The lock of a run on another machine, which began just now unless said otherwise."""
    lock = {"token": "t", "machine": "another", "pid": 1, "started": 1.0, "renewed": time.time()} | changes
    fsspec.filesystem("s3").pipe_file(f"{url}/.dedupkit/lock", json.dumps(lock).encode())


def test_the_second_of_two_runs_is_refused_in_one_line(planted: Planted, store: Store) -> None:
    with alone_in(Folder.at("s3://bucket/runs/busy")):
        second = run("clean", planted.folder, "s3://bucket/runs/busy")
    assert second.returncode == 2
    assert second.stderr.startswith("dedupkit: another run is writing to s3://bucket/runs/busy; wait for it")
    assert second.stderr.count("\n") == 1


def test_a_lock_holds_on_a_store_that_knows_no_conditions_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "knows_conditions", False)
    folder = Folder.at("s3://bucket/runs/simple")
    with alone_in(folder), pytest.raises(UsageError, match="another run"), alone_in(folder):
        pass
    assert not folder.exists(".dedupkit/lock")


def test_a_live_lock_of_another_machine_says_how_long_to_wait(store: Store) -> None:
    renewed = time.time() - 30
    put_lock("s3://bucket/runs/elsewhere", renewed=renewed)
    with (
        pytest.raises(UsageError, match=r"wait \d+ seconds") as told,
        alone_in(Folder.at("s3://bucket/runs/elsewhere")),
    ):
        pass
    said = int(str(told.value).rpartition("wait ")[2].partition(" ")[0])
    assert LEASE_S - (time.time() - renewed) - 1 <= said <= LEASE_S - 29


@pytest.mark.parametrize("dead", ["expired", "of a process of this machine that ended", "garbage"])
def test_the_lock_of_a_killed_run_is_taken_over(dead: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedupkit.lease.RENEW_S", 0.2)  # for so long one that has run out is watched
    url = "s3://bucket/runs/dead"
    if dead == "expired":
        put_lock(url, renewed=time.time() - LEASE_S - 1)
    elif dead == "garbage":
        fsspec.filesystem("s3").pipe_file(f"{url}/.dedupkit/lock", b"{")
    else:
        ended = subprocess.Popen(["true"])
        ended.wait()
        put_lock(url, machine=Lock().machine, pid=ended.pid, renewed=time.time())
    with alone_in(Folder.at(url)):
        assert Folder.at(url).read_json(".dedupkit/lock")["token"] != "t"
    assert not Folder.at(url).exists(".dedupkit/lock")


def lose_lock(url: str) -> None:
    with alone_in(Folder.at(url)):
        put_lock(url)
        time.sleep(10)  # is interrupted


def test_a_run_that_lost_its_lock_says_so_and_leaves_the_other_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dedupkit.lease.RENEW_S", 0.1)
    with pytest.raises(dedupkit.RunError, match="lost to another run"):
        lose_lock("s3://bucket/runs/lost")
    assert Folder.at("s3://bucket/runs/lost").read_json(".dedupkit/lock")["machine"] == "another"


def test_a_lock_is_renewed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedupkit.lease.RENEW_S", 0.1)
    folder = Folder.at("s3://bucket/runs/renewed")
    with alone_in(folder):
        first = folder.read_json(".dedupkit/lock")
        time.sleep(1)
        second = folder.read_json(".dedupkit/lock")
    assert second["renewed"] > first["renewed"]
    assert second["token"] == first["token"]


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("s3://bucket/a", "s3://bucket/a/b"),
        ("s3://bucket/a/b", "s3://bucket/a"),
        ("s3://bucket/a/**/*.tar", "s3://bucket/a/b"),
        (["s3://bucket/b", "s3://bucket/a"], "s3://bucket/a/out"),
    ],
)
def test_source_and_output_do_not_lie_in_each_other(source: Any, out: str, store: Store) -> None:
    with pytest.raises(UsageError, match="name a folder outside of it"):
        check(out, source)


@pytest.mark.parametrize("source", ["s3://bucket/ab", "s3://bucket/*.tar", "/bucket/a", "s3://other/a/b"])
def test_a_source_beside_the_output_is_fine(source: str, store: Store) -> None:
    assert check("s3://bucket/a/", source).url == "s3://bucket/a"


def test_a_folder_with_other_files_is_refused(store: Store) -> None:
    fsspec.filesystem("s3").pipe_file("bucket/theirs/precious", b"mine")
    with pytest.raises(UsageError, match="did not write"):
        check("s3://bucket/theirs", None)


@pytest.mark.parametrize("out", ["https://example.org/out", "simplecache::s3://bucket/out", "nosuch://bucket/out"])
def test_what_cannot_be_written_is_refused(out: str) -> None:
    with pytest.raises(UsageError, match="cannot be"):
        check(out, None)


@pytest.mark.parametrize(("url", "extra"), [("s3://b/o", "s3"), ("gs://b/o", "gcs"), ("az://b/o", "azure")])
def test_a_missing_package_is_named(url: str, extra: str) -> None:
    code = f"""
import sys
sys.modules.update(dict.fromkeys(("s3fs", "gcsfs", "adlfs")))  # none of them can be imported
from dedupkit.outfolder import check
check({url!r}, None)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"pip install 'dedupkit[{extra}]'" in told.stderr.splitlines()[-1]

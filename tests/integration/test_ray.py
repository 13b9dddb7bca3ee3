"""A cluster of three nodes on this machine: the local engine's bytes, whatever is lost on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

import dedupkit
from dedupkit.errors import UsageError
from tests.integration.conftest import write_shards
from tests.integration.test_clean import tree
from tests.integration.test_resume import parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import Planted

pytest.importorskip("ray")
pytestmark = pytest.mark.extras

_PUBLISHED = ("dataset/", "decisions.parquet", "recipe.toml")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_shards(tmp_path_factory.mktemp("ray") / "shards", shards=10, pictures=12)


@pytest.fixture(scope="module")
def expected(source: Planted, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the local engine publishes; it has found what was planted."""
    out = tmp_path_factory.mktemp("local") / "out"
    decisions = dedupkit.clean(str(source.folder), out).decisions().to_pylist()
    assert {row["key"]: row["reason"] for row in decisions if row["action"] == "quarantine"} == source.faults
    assert sum(row["action"] == "drop" for row in decisions) == len(source.copies)
    return published(out)


def published(out: Path) -> dict[str, str]:
    return {name: digest for name, digest in tree(out).items() if name.startswith(_PUBLISHED)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Three nodes of one CPU each, started in a folder of their own."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_period_ms", "500")  # a node that is gone is missed after a second, not after ten
        patch.setenv("RAY_health_check_failure_threshold", "2")
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        started: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(2):
            started.add_node(num_cpus=1)
    yield started
    started.shutdown()


def run(cluster: Any, source: Any, out: Path, **options: Any) -> dedupkit.Result:
    from dedupkit.engines.ray import RayEngine

    with RayEngine(cluster.address, **options) as engine:
        return dedupkit.clean(source, out, engine=engine)


def start(cluster: Any, source: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """The command line, as a process of its own."""
    command = ["clean", str(source), str(out), "--engine", "ray", "--ray-address", cluster.address, *options]
    return subprocess.Popen(
        [sys.executable, "-m", "dedupkit", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def busy(raylet: int) -> list[int]:
    """The workers of a node that are fingerprinting a shard at this moment."""
    children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
    return [int(pid) for pid in children if _command(pid).startswith(b"ray::dedupkit fingerprints")]


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended in the meantime
        return b""


def raylet_of(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


class _Loss(Thread):
    """Waits for the moment when one of some nodes is at work on a shard, and then does its harm, once."""

    def __init__(self, nodes: list[Any], harm: Callable[[int], None]) -> None:
        super().__init__(daemon=True)
        self.raylets, self.harm, self.done = [raylet_of(node) for node in nodes], harm, False
        self.start()

    def run(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for raylet in self.raylets:
                for pid in busy(raylet):
                    self.harm(pid)
                    self.done = True
                    return
            time.sleep(0.005)


def test_a_cluster_writes_the_local_engines_bytes(
    cluster: Any, source: Planted, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.folder.parent)  # a relative source, read by nodes that were started elsewhere
    result = run(cluster, source.folder.name, tmp_path / "out")
    assert published(tmp_path / "out") == expected
    assert result.summary["samples"]["in"] == source.samples
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.match("reach-*") or path.suffix == ".partial"]
    assert left == []


def test_the_address_may_stand_in_the_environment(
    cluster: Any, source: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = dedupkit.find_duplicates(str(source.folder), recipe=dedupkit.Recipe(preset="fast"), engine="ray", workers=2)
    assert found.samples == source.samples
    assert found.faults == source.faults
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_is_lost_in_the_middle_costs_nothing(
    cluster: Any, source: Planted, expected: dict[str, str], tmp_path: Path
) -> None:
    lost = cluster.add_node(num_cpus=1)
    loss = _Loss([lost], lambda _: cluster.remove_node(lost, allow_graceful=False))
    result = run(cluster, str(source.folder), tmp_path / "out")
    loss.join()
    assert loss.done
    assert published(tmp_path / "out") == expected
    keys = result.decisions()["key"].to_pylist()
    assert len(keys) == len(set(keys)) == source.samples


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(
    cluster: Any, source: Planted, expected: dict[str, str], tmp_path: Path
) -> None:
    loss = _Loss(cluster.list_all_nodes(), lambda pid: os.kill(pid, signal.SIGKILL))
    run(cluster, str(source.folder), tmp_path / "out")
    assert loss.done
    assert published(tmp_path / "out") == expected


def test_a_driver_that_is_killed_goes_on_from_the_parts_that_are_made(
    cluster: Any, source: Planted, expected: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    killed = start(cluster, source.folder, out)
    while len(done := parts(out)) < 3:
        assert killed.poll() is None, killed.stderr and killed.stderr.read()
        time.sleep(0.01)
    killed.kill()
    killed.communicate(timeout=30)
    again = start(cluster, source.folder, out)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert published(out) == expected
    assert {part: part.stat().st_mtime_ns for part in done} == done


def test_what_a_task_raises_is_one_line_and_its_exit_code(cluster: Any, tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", shards=2, pictures=6).folder
    run(cluster, str(shards), tmp_path / "out")
    tar = shards / "00001.tar"
    stamp, data = tar.stat(), bytearray(tar.read_bytes())
    with tarfile.open(tar) as opened:
        data[opened.getmember("0010005.jpg").offset_data + 2000] ^= (
            1  # a kept picture, no longer what was decided about
        )
    tar.write_bytes(data)
    os.utime(tar, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    process = start(cluster, shards, tmp_path / "out", "--format", "webdataset")
    _, said = process.communicate(timeout=120)
    lines = [line for line in said.splitlines() if " parts used again" not in line]
    assert process.returncode == 1, said
    assert lines == ["dedupkit: 00001 changed while it was read (0010005); run again when nobody writes to the source"]


@pytest.fixture
def stranger(cluster: Any, tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder, and what adds a node that sees another one there: something is mounted over it for its processes."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("mounting needs root")
    folder = tmp_path / "unshared"
    folder.mkdir()
    started: list[subprocess.Popen[bytes]] = []

    def join() -> None:
        script = 'mount -t tmpfs none "$1" && exec "$2" start --address="$3" --num-cpus=1 --block'
        ray, known, until = str(Path(sys.executable).with_name("ray")), alive(cluster), time.monotonic() + 60
        node = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script, "node", str(folder), ray, cluster.address],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        started.append(node)
        while alive(cluster) == known:
            assert node.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)

    yield folder, join
    for node in started:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait(timeout=60)


def alive(cluster: Any) -> int:
    return len(cluster.global_state._live_node_ids())


def test_a_node_that_does_not_see_the_output_or_the_source_is_refused(
    cluster: Any, source: Planted, stranger: tuple[Path, Callable[[], None]], tmp_path: Path
) -> None:
    from dedupkit.engines.ray import RayEngine
    from dedupkit.sources import open_source
    from dedupkit.storage import Folder

    folder, join = stranger
    opened = open_source(str(source.folder))
    with RayEngine(cluster.address) as early:
        early.check_reach(Folder(str(folder / "work")), opened, opened.shards())  # all nodes see it until now
        join()
        with pytest.raises(UsageError, match="does not see the work folder"):
            list(early.map(time.sleep, [0.2] * 60))
    process = start(cluster, source.folder, folder / "out")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert len(said.splitlines()) == 1, said
    assert "does not see the work folder" in said
    assert "s3:// URL" in said
    assert parts(folder / "out") == {}
    shards = shutil.copytree(source.folder, folder / "shards")
    with pytest.raises(UsageError, match="does not see the source as this machine does"):
        run(cluster, str(shards), tmp_path / "out")

"""A Ray that the engine starts for itself, and clusters that it cannot join."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dedupkit

pytest.importorskip("ray")
pytestmark = pytest.mark.extras

_OWN = """
import os, sys
from dedupkit.engines.ray import RayEngine
with RayEngine({arguments}) as engine:
    print(sorted(engine.map(abs, [-1, -2])), os.environ["RAY_USAGE_STATS_ENABLED"])
import ray
print(ray.is_initialized())
"""


def run_own(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", _OWN.format(arguments=arguments)], cwd=folder, env=environment, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_ray_of_its_own_starts_and_ends_without_a_word(tmp_path: Path) -> None:
    run = run_own("'local'", tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["[(-2, 2), (-1, 1)] 0", "False"]
    assert run.stderr == ""


def test_without_an_address_it_joins_what_runs_on_this_machine_and_else_starts_its_own(tmp_path: Path) -> None:
    run = run_own("", tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["[(-2, 2), (-1, 1)] 0", "False"]
    assert run.stderr == ""


def test_more_than_this_machine_has_is_refused(tmp_path: Path) -> None:
    run = run_own("'local', cpus_a_task=100_000", tmp_path)
    assert run.stderr.splitlines()[-1].startswith("dedupkit.errors.UsageError: this machine has not 100000 CPUs")


def test_a_cluster_that_is_not_there_is_refused(tmp_path: Path) -> None:
    run = run_own("'127.0.0.1:1'", tmp_path)
    assert "UsageError: the Ray cluster 127.0.0.1:1 cannot be joined" in run.stderr.splitlines()[-1]


def test_nodes_without_dedupkit_are_refused_in_one_line(tmp_path: Path) -> None:
    """Whoever comes first on the path of the cluster's workers has the name and nothing else."""
    (tmp_path / "other" / "dedupkit").mkdir(parents=True)
    (tmp_path / "other" / "dedupkit" / "__init__.py").touch()
    script = """
import os, sys
os.environ["PYTHONPATH"] = sys.argv[1]
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
import dedupkit
from dedupkit.engines.ray import RayEngine
try:
    with RayEngine(cluster.address) as engine:
        list(engine.map(abs, [-1]))
except dedupkit.UsageError as error:
    print(error)
cluster.shutdown()
"""
    ours = str(Path(dedupkit.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "other"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": ours, "RAY_USAGE_STATS_ENABLED": "0"}, timeout=120,
    )  # fmt: skip
    assert run.stdout.splitlines() == [
        "a node of the cluster has no dedupkit, or another version; install the same on all nodes"
    ], run.stderr

"""What grows with the set, by hand and by the benchmarks it was measured in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dedupkit.engines.local import MOST_THREADS
from dedupkit.matching import proof
from dedupkit.planning import laws
from dedupkit.planning.estimate import Estimate
from dedupkit.planning.laws import Search

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
TWO = (Search(100, 1.0, 2.0, 100.0), Search(10_000, 100.0, 200.0, 1090.0))  # both times grow with power 1


def measured(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(("kind", "points"), [("descriptors", laws.DESCRIPTORS), ("hashes", laws.HASHES)])
def test_searches_are_those_of_the_benchmark(kind: str, points: tuple[Search, ...]) -> None:
    result = measured("search_scale.json")
    names = ("rows", "search_s", "search_cpu_s", "peak_rss_mib")
    runs = [Search(*(run[name] for name in names)) for run in result["runs"] if run["kind"] == kind]
    assert list(points) == runs
    assert result["threads"] == laws.SEARCH_THREADS


def test_last_powers_are_the_exponents_that_the_benchmark_reports() -> None:
    growth = measured("search_scale.json")["growth"]
    for kind, points in (("descriptors", laws.DESCRIPTORS), ("hashes", laws.HASHES)):
        last = [each for each in growth if each["kind"] == kind][-1]
        a, b = points[-2:]
        assert math.log(b.wall_s / a.wall_s) / math.log(b.rows / a.rows) == pytest.approx(last["exponent"], abs=1e-3)


def test_steps_over_the_set_and_busy_cores_are_those_of_the_benchmarks() -> None:
    steps = measured("stages.json")["over_the_set"]
    constants = {
        "decisions": laws.DECISIONS_S,
        "captions over the set": laws.SETTLED_CAPTIONS_S,
        "report": laws.REPORT_S,
    }
    assert constants == steps
    ours = next(tool for tool in measured("thorough.json")["tools"] if tool["name"].startswith("dedupkit"))
    assert pytest.approx(ours["cpu_s"] / ours["wall_s"] / 2, abs=5e-3) == laws.CORES_BUSY


def test_limits_are_those_of_the_code() -> None:
    assert proof._REFUSALS == laws.MOST_REFUSALS
    assert MOST_THREADS == laws.THREADS_A_SHARD


def test_a_search_of_a_measured_size_takes_what_was_measured() -> None:
    for points in (laws.DESCRIPTORS, laws.HASHES):
        for point in points:
            found = laws.search_cpu_s(points, Estimate.exact(point.rows))
            assert found.value == pytest.approx(point.cpu_s)
            assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("rows", "seconds"), [(10, 0.2), (1000, 20.0), (1_000_000, 20_000.0)])
def test_proportional_times_are_extrapolated_proportionally(rows: int, seconds: float) -> None:
    found = laws.search_cpu_s(TWO, Estimate.exact(rows))
    assert found.value == pytest.approx(seconds)
    assert found.low == pytest.approx(seconds / 1.5)
    assert found.high == pytest.approx(seconds * 1.5)


def test_beyond_what_was_measured_time_grows_by_the_power_of_the_last_step() -> None:
    points = (Search(100_000, 8.79, 16.3, 305.7), Search(1_000_000, 158.9, 253.78, 690.1))
    found = laws.search_cpu_s(points, Estimate.exact(10_000_000))
    assert found.value == pytest.approx(253.78 * 253.78 / 16.3)  # another factor of ten, the same growth


def test_more_cores_shorten_what_is_not_serial() -> None:
    half = (Search(1, 1.0, 1.0, 0.0), Search(2, 7.5, 10.0, 0.0))  # of 10 s, 5 alone and 5 in two threads
    times = [laws.search_wall_s(half, Estimate.exact(10.0), cores).value for cores in (1, 2, 5)]
    assert times == pytest.approx([10.0, 7.5, 6.0])


def test_memory_grows_by_what_a_row_more_took() -> None:
    assert laws.search_memory(TWO, 10_000) == pytest.approx(1090 << 20)
    assert laws.search_memory(TWO, 20_000) == pytest.approx(2090 << 20)  # 990 MiB for 9,900 rows


def test_least_memory_is_sixty_bytes_a_sample() -> None:
    assert laws.least_memory(1_000_000) - laws.least_memory(0) == 60_000_000


def test_neighbours_grow_with_the_set_until_lists_are_full() -> None:
    samples = [Estimate.exact(count) for count in (101, 201, 10_000)]
    near = [laws.neighbourhood(50, 0, 101, each, 32).near.value for each in samples]
    assert near == pytest.approx([100 / 101, 200 / 101, 32])


def test_of_no_near_pairs_the_interval_says_that_there_may_be_many_in_a_large_set() -> None:
    found = laws.neighbourhood(0, 0, 500, Estimate.exact(1e8), 32)
    assert found.near == Estimate(0.0, 0.0, 32.0)
    assert found.asked.value == 0
    assert found.asked.high == 5
    assert found.in_doubt.high == pytest.approx(1.0)


def test_what_a_sample_asked_is_asked_of_the_same_sample() -> None:
    found = laws.neighbourhood(400, 150, 1000, Estimate.exact(1000), 32)
    assert found.asked.value * 1000 == pytest.approx(150)

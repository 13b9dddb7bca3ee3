"""How the demonstration holds a run against the truth."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from dedupkit.demo import build_demo, compare, example_images
from dedupkit.sample import DECISIONS

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.planting import DemoTruth, Planted


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    return build_demo(example_images(), tmp_path_factory.mktemp("demo"), seed=1)


def decision(sample: Planted, **values: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(DECISIONS.names)
    return row | {"key": sample.key, "action": "keep", "reason": "unique"} | values


def test_copies_outside_their_originals_group_do_not_count_as_found(truth: DemoTruth, tmp_path: Path) -> None:
    rows = [decision(sample, group=sample.group if sample.edit != "half" else None) for sample in truth.samples]
    result = compare(truth, pa.Table.from_pylist(rows, DECISIONS), {}, tmp_path)
    assert result.found["half"] == 0
    assert result.found["mirrored"] == result.planted["mirrored"] == 5


def test_a_picture_without_a_kept_copy_is_lost(truth: DemoTruth, tmp_path: Path) -> None:
    rows = [decision(sample, action="drop" if sample.group == 7 else "keep") for sample in truth.samples]
    result = compare(truth, pa.Table.from_pylist(rows, DECISIONS), {}, tmp_path)
    assert [sample.group for sample in truth.samples if sample.key in result.lost] == [7]


def test_a_sample_without_a_decision_is_named_absent(truth: DemoTruth, tmp_path: Path) -> None:
    rows = [decision(sample) for sample in truth.samples if sample.fault != "empty"]
    result = compare(truth, pa.Table.from_pylist(rows, DECISIONS), {}, tmp_path)
    assert result.named["empty"] == Counter(absent=1)
    assert result.faults_named["empty"] == 0

"""A pair seen from its other end."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dedupkit.matching.evidence import turned_round
from dedupkit.matching.turns import ORIENTATIONS
from dedupkit.sample import PAIRS


def pairs_of(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=PAIRS)


def test_what_is_said_from_one_end_to_the_other_is_turned_round() -> None:
    pair = {"a": 3, "b": 9, "tier": "geometric", "hamming_bits": 4, "orientation": "turned 90°", "trimmed": "a"}
    pair |= {"transform": [0.5, 0.0, 0.25, 0.0, 2.0, -1.0], "score": 0.9}
    other = {"a": 1, "b": 2, "tier": "perceptual", "orientation": "transposed", "trimmed": "both"}
    first, second = turned_round(pairs_of(pair, other), np.array([True, False])).to_pylist()
    assert (first["a"], first["b"], first["orientation"], first["trimmed"]) == (9, 3, "turned 270°", "b")
    assert first["transform"] == pytest.approx([2.0, 0.0, -0.5, 0.0, 0.5, 0.5])  # x = u/2 + 1/4, y = 2v - 1, solved
    assert first["score"] == pytest.approx(0.9)
    assert (second["a"], second["b"], second["orientation"]) == (1, 2, "transposed")


def test_turning_round_twice_changes_nothing() -> None:
    rows = [{"a": 1, "b": 2, "tier": "perceptual", "orientation": name, "trimmed": "b"} for name in ORIENTATIONS]
    rows.append({"a": 4, "b": 5, "tier": "look_alike", "transform": [float("nan")] * 6})
    everything = np.ones(len(rows), dtype=bool)
    table = pairs_of(*rows)
    again = turned_round(turned_round(table, everything), everything)
    assert again.drop_columns("transform").equals(table.drop_columns("transform"))

"""Counts of measures, held against numpy over all of them at once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dedupkit.recipe import Hygiene, Recipe
from dedupkit.report.histograms import COLUMNS, SCALES, count_measures, drawn_bars


def measured(count: int) -> pa.Table:
    rng = np.random.default_rng(3)
    dark = rng.integers(0, 120, count)
    values = {
        "width": rng.integers(1, 9000, count),
        "height": rng.integers(1, 9000, count),
        "darkest": dark,
        "brightest": dark + rng.integers(0, 130, count),
        "blur": rng.uniform(0, 1, count),
    }
    return pa.table({name: values[name] for name in COLUMNS})


def test_every_picture_is_counted_once_in_the_right_bin() -> None:
    table = measured(3000)
    found = {each.scale.name: each for each in count_measures([table.slice(0, 1000), table.slice(1000)])}
    assert set(found) == {scale.name for scale in SCALES}
    assert {each.total for each in found.values()} == {3000}
    sharpness = 1 - table["blur"].to_numpy()
    assert list(found["sharpness"].counts) == [
        int(((sharpness >= low) & ((sharpness < low + 0.05) | ((low > 0.94) & (sharpness <= 1)))).sum())
        for low in np.round(np.arange(20) * 0.05, 4)
    ]
    shorter = np.minimum(table["width"].to_numpy(), table["height"].to_numpy())
    assert found["shorter_side"].counts[0] == (shorter < 16).sum()
    assert found["shorter_side"].counts[-1] == (shorter >= 4096).sum()
    aspect = np.maximum(table["width"].to_numpy(), table["height"].to_numpy()) / shorter
    assert found["aspect"].counts[-1] == (aspect >= 10).sum()


def test_what_was_not_measured_counts_nowhere() -> None:
    nothing = pa.table({name: pa.array([None, None], pa.uint32()) for name in COLUMNS})
    assert count_measures([nothing]) == ()
    assert count_measures([]) == ()


@pytest.mark.parametrize(("name", "limit"), [("sharpness", "20.00"), ("shorter_side", "7.14"), ("brightness", "")])
def test_the_recipes_limit_stands_where_it_cuts(name: str, limit: str) -> None:
    recipe = Recipe(hygiene=Hygiene(max_blur=0.8, min_side=16))
    (found,) = (each for each in count_measures([measured(50)]) if each.scale.name == name)
    assert drawn_bars(found, recipe)["limit"] == limit

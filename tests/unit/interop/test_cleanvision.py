"""CleanVision's findings, in the columns and mappings that its version 0.3.7 gave for a folder of drawings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from dedupkit.errors import UsageError
from dedupkit.interop import duplicates_of_cleanvision, overrides_of_cleanvision
from dedupkit.interop.overrides import Override

if TYPE_CHECKING:
    from pathlib import Path

INFO = {
    "exact_duplicates": {"sets": [["/d/a.png", "/d/same.jpg", "/d/sub/same.jpg"]], "num_sets": 1},
    "near_duplicates": {"sets": [["/d/b.png", "/d/small.jpg"]], "num_sets": 1},
}
ISSUES = pd.DataFrame(
    {
        "dark_score": [0.9, 0.1, 0.2],
        "is_dark_issue": [False, True, True],
        "blurry_score": [0.85, 1.0, 0.05],
        "is_blurry_issue": [False, False, True],
        "exact_duplicates_score": [1.0, 0.5, 0.5],
        "is_exact_duplicates_issue": [False, True, True],
    },
    index=["/d/a.png", "/d/b.png", "/d/sub/c.png"],
)


def test_sets_become_groups_with_the_tier_that_made_them() -> None:
    found = duplicates_of_cleanvision(INFO, root="/d")
    assert found.groups == [["a.png", "same.jpg", "sub/same.jpg"], ["b.png", "small.jpg"]]
    assert found.pairs["tier"].to_pylist() == ["exact", "exact", "perceptual"]
    assert [(each.key, each.action) for each in found.overrides()] == [
        ("same.jpg", "drop"),
        ("sub/same.jpg", "drop"),
        ("small.jpg", "drop"),
    ]


def test_a_set_whose_files_are_not_here_is_counted_and_left_out() -> None:
    found = duplicates_of_cleanvision(INFO, keys=["a.png", "sub/same.jpg"])
    assert found.groups == [["a.png", "sub/same.jpg"]]
    assert found.unmatched == ("/d/same.jpg", "/d/b.png", "/d/small.jpg")


@pytest.mark.parametrize("saved", [False, True])
def test_the_issues_that_count_become_drops_with_their_scores(saved: bool, tmp_path: Path) -> None:
    ISSUES.to_csv(tmp_path / "issues.csv")
    issues = tmp_path / "issues.csv" if saved else ISSUES
    assert overrides_of_cleanvision(issues, kinds=["dark", "blurry"], root="/d") == [
        Override("b.png", "drop", "dark (0.10), says CleanVision"),
        Override("sub/c.png", "drop", "dark (0.20), blurry (0.05), says CleanVision"),
    ]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("exact_duplicates", "give Imagelab.info to duplicates_of_cleanvision"),
        ("odd_size", "it has dark, blurry, exact_duplicates"),
    ],
)
def test_a_kind_that_cannot_be_is_refused(kind: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        overrides_of_cleanvision(ISSUES, kinds=[kind], root="/d")


def test_info_without_sets_is_refused() -> None:
    with pytest.raises(UsageError, match="after find_issues"):
        duplicates_of_cleanvision({}, root="/d")

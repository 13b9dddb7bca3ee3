"""Limits as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from dedupkit.checking.limits import Limit
from dedupkit.errors import UsageError


@pytest.mark.parametrize(
    ("written", "most"),
    [
        (1, 1),
        ("1", 1),
        (0, 0),
        (0.1, 100),
        ("0.1", 100),
        ("10%", 100),
        (".5%", 5),
        ("9.99%", 99),
        ("100%", 1000),
        (1.0, 1000),
    ],
)
def test_a_point_or_a_percent_sign_makes_a_share(written: Any, most: int) -> None:
    limit = Limit.of("max_duplicates", written)
    assert limit.allows(most, 1000)
    assert not limit.allows(most + 1, 1000)


def test_shares_are_exact() -> None:
    assert Limit.of("require_captions", "0.29").reached(29, 100)  # 0.29 * 100 is 28.999999999999996
    assert Limit.of("max_duplicates", 0.07).allows(7, 100)


@pytest.mark.parametrize("written", [-1, 1.5, "101%", "half", "", ".", "%", True, float("nan"), "1e-3", 1e-9])
def test_what_is_neither_is_refused(written: Any) -> None:
    with pytest.raises(UsageError, match="max_duplicates must be a count such as 10"):
        Limit.of("max_duplicates", written)
    with pytest.raises(UsageError, match="require_captions must be a share such as 99%"):
        Limit.of("require_captions", 7, share_only=True)

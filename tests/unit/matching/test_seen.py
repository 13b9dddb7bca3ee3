"""What is remembered lies in few pieces, however it came."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from dedupkit.errors import UsageError
from dedupkit.matching.seen import Seen, due_merge
from dedupkit.matching.sequential import Sequence
from dedupkit.matching.signatures import load
from dedupkit.recipe import Matching
from dedupkit.sample import FINGERPRINTS

if TYPE_CHECKING:
    from dedupkit.matching.signatures import Fingerprints


@pytest.mark.parametrize("size", [1, 7])
def test_a_thousand_additions_leave_few_pieces_and_are_seldom_rewritten(size: int) -> None:
    sizes: list[int] = []
    rewritten = 0
    for _ in range(1000):
        sizes.append(size)
        count = due_merge(sizes)
        if count > 1:
            sizes[-count:] = [sum(sizes[-count:])]
            rewritten += sizes[-1]
    assert sum(sizes) == 1000 * size
    assert len(sizes) <= 1 + math.log(1000, 3)
    assert rewritten / sum(sizes) < 3 * math.log2(1000)


def test_nothing_is_merged_into_what_is_much_larger() -> None:
    assert due_merge([900, 100, 30, 10]) == 1
    assert due_merge([900, 100, 20, 10]) == 2
    assert due_merge([100, 100, 100]) == 3
    assert due_merge([]) == 1


def prints_of(*positions: int) -> Fingerprints:
    rows = [dict.fromkeys(FINGERPRINTS.names) | {"position": each, "sha256": bytes(32)} for each in positions]
    return load([pa.Table.from_pylist(rows, schema=FINGERPRINTS)], Matching())


def test_entries_must_follow_one_another() -> None:
    sequence = Sequence(Seen(Matching(), 31, described=False))
    assert sequence.take(prints_of(), 5).pairs.num_rows == 0
    assert sequence.seen.count == 5
    with pytest.raises(UsageError, match="entries must be numbered from 5 to before 6, got 3 to 3"):
        sequence.take(prints_of(3), 6)

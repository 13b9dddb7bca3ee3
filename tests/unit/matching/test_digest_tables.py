"""The first entry of the same bytes."""

from __future__ import annotations

import numpy as np

from dedupkit.matching.digest_tables import DigestTable

NOBODY = np.empty(0, np.int64)


def test_the_first_entry_of_a_digest_is_found_and_others_are_not() -> None:
    digests = np.array([[5, 1, 1, 1], [5, 1, 1, 2], [0, 0, 0, 0], [9, 9, 9, 9]], np.uint64)
    table = DigestTable.merged(
        [DigestTable.of(digests[:2], np.array([3, 4])), DigestTable.of(digests[2:], np.array([7, 8]))]
    )
    asked = np.array([[5, 1, 1, 2], [5, 1, 1, 3], [9, 9, 9, 9], [5, 1, 1, 1]], np.uint64)
    assert table.first(asked, NOBODY).tolist() == [4, -1, 8, 3]


def test_what_is_gone_gives_way_to_what_came_later() -> None:
    digest = np.array([[5, 1, 1, 1]] * 2, np.uint64)
    table = DigestTable.of(digest, np.array([3, 9]))
    assert table.first(digest[:1], NOBODY).tolist() == [3]
    assert table.first(digest[:1], np.array([3])).tolist() == [9]
    assert table.first(digest[:1], np.array([3, 9])).tolist() == [-1]

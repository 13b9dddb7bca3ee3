"""Pairs nearest to the limits, held against sorting all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dedupkit.recipe import Matching
from dedupkit.report.borderline import MAX_OF_A_SIDE, Turns, choose_pairs, limits_of
from dedupkit.report.gallery import GalleryGroup, GalleryMember
from dedupkit.sample import PAIRS

LIMITS = limits_of(Matching(), 31)


def pair(a: int, b: int, tier: str, **evidence: Any) -> dict[str, Any]:
    return dict.fromkeys(PAIRS.names) | {"a": a, "b": b, "tier": tier} | evidence


def tables(rows: list[dict[str, Any]], size: int = 37) -> list[pa.Table]:
    return [pa.Table.from_pylist(rows[at : at + size], schema=PAIRS) for at in range(0, len(rows), size)]


def test_those_nearest_to_each_limit_are_picked_whatever_the_parts() -> None:
    rng = np.random.default_rng(1)
    scores, bits = rng.uniform(0.5, 1, 500), rng.integers(0, 32, 500)
    refused = rng.uniform(0, 0.5, 500)
    pairs = [pair(n, 1000 + n, "geometric", score=float(s), cosine=0.9) for n, s in enumerate(scores)]
    pairs += [pair(2000 + n, 3000 + n, "perceptual", hamming_bits=int(b)) for n, b in enumerate(bits)]
    pairs += [pair(5000, 5001, "exact")]
    alike = [pair(6000 + n, 7000 + n, "look_alike", score=float(s), cosine=0.8) for n, s in enumerate(refused)]
    found = choose_pairs(tables(pairs), tables(alike), LIMITS)
    score, hamming = found.measures
    assert (score.option, score.limit, hamming.option, hamming.limit) == ("min_score", 0.5, "max_hamming_bits", 31)
    assert [each.a for each in score.accepted] == np.argsort(scores, kind="stable")[:MAX_OF_A_SIDE].tolist()
    assert [each.a - 6000 for each in score.refused] == np.argsort(-refused, kind="stable")[:MAX_OF_A_SIDE].tolist()
    assert [each.hamming_bits for each in hamming.accepted] == sorted(bits.tolist(), reverse=True)[:MAX_OF_A_SIDE]
    assert found.look_alikes_total == 500


def test_what_is_gone_is_not_shown() -> None:
    found = choose_pairs(tables([pair(n, 50 + n, "perceptual", hamming_bits=n) for n in range(9)]), [], LIMITS)
    left = found.without(lambda position: position == 52)
    assert [each.a for each in left.measures[0].pairs] == [8, 7, 6, 5, 4, 3, 1, 0]
    assert left.without(lambda position: True).measures == ()


def test_a_mirrored_copy_says_so_whichever_of_the_two_comes_first() -> None:
    def member(position: int, kept: bool) -> GalleryMember:
        kept_key, tier = (None, None) if kept else ("k9", "geometric")
        return GalleryMember(position=position, key=f"k{position}", shard="s", kept=kept, kept_key=kept_key, tier=tier)

    group = GalleryGroup(group=1, members_total=3, members=(member(9, True), member(4, False), member(11, False)))
    rows = [
        pair(4, 9, "geometric", transform=[-1, 0, 1, 0, 1, 0]),
        pair(9, 11, "geometric", transform=[1, 0, 0, 0, 1, 0]),
    ]
    turns = Turns([group])
    assert sum(table.num_rows for table in turns.noting(tables(rows, 1))) == 2
    (found,) = turns.told()
    assert [each.turn for each in found.members] == [None, "mirrored", None]

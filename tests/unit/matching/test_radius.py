"""Radii: the binomial law by hand, and how they narrow."""

from __future__ import annotations

import math

import pytest

from dedupkit.matching import radius
from dedupkit.matching.radius import chance_pairs, layout_of, max_hamming_bits
from dedupkit.matching.turns import PDQ, PHASH
from dedupkit.recipe import Matching

TEN_TO = [10**power for power in range(10)]


@pytest.mark.parametrize(
    ("within", "share"),
    [
        (0, 2.0**-64),
        (4, (1 + 64 + 2016 + 41_664 + 635_376) / 2**64),  # 3.7e-14
        (6, 4.5e-12),
        (10, 1.0e-8),
    ],
)
def test_chance_of_64_fair_bits_is_the_binomial_one(within: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(radius._EFFECTIVE_BITS, PHASH, 64)
    assert chance_pairs(PHASH, within, 2, turned=False) == pytest.approx(share, rel=0.05)
    assert chance_pairs(PHASH, within, 2, turned=True) == pytest.approx(8 * share, rel=0.05)
    thousand = math.comb(1000, 2)
    assert chance_pairs(PHASH, within, 1000, turned=False) == pytest.approx(thousand * share, rel=0.05)


def test_few_samples_give_the_published_radius() -> None:
    for samples in (0, 1, 2, 100):
        assert max_hamming_bits(Matching(hash="pdq"), samples) == 31  # Meta, ThreatExchange
        assert max_hamming_bits(Matching(hash="phash"), samples) == 6


def test_pdq_keeps_its_radius_up_to_a_billion_pictures() -> None:
    assert [max_hamming_bits(Matching(), samples) for samples in TEN_TO] == [31] * 10


@pytest.mark.parametrize("turned", [True, False])
def test_phash_narrows_as_the_set_grows_and_expects_no_more_than_a_hundredth_of_a_pair(turned: bool) -> None:
    matching = Matching(hash="phash", turned=turned)
    radii = [max_hamming_bits(matching, samples) for samples in TEN_TO]
    assert radii == sorted(radii, reverse=True)
    assert radii[0] > radii[-1]
    for samples, bits in zip(TEN_TO, radii, strict=True):
        if bits:
            assert chance_pairs(PHASH, bits, samples, turned=turned) <= 0.01
        if bits < 6:
            assert chance_pairs(PHASH, bits + 1, samples, turned=turned) > 0.01


def test_turns_count_as_eight_chances() -> None:
    for samples in TEN_TO:
        plain, turned = (max_hamming_bits(Matching(hash="phash", turned=each), samples) for each in (False, True))
        assert turned <= plain


@pytest.mark.parametrize("bits", [0, 5, 15])
@pytest.mark.parametrize("samples", [2, 10**9])
def test_a_number_is_taken_as_it_is(bits: int, samples: int) -> None:
    for name in ("pdq", "phash"):
        matching = Matching.model_validate({"hash": name, "max_hamming_bits": bits})
        assert max_hamming_bits(matching, samples) == bits


def test_the_layout_is_that_of_the_recipes_hash() -> None:
    assert layout_of(Matching()) is PDQ
    assert layout_of(Matching(hash="phash")) is PHASH

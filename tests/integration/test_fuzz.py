"""Broken files once more: all that ever showed something, and a few fresh ones; docs/fuzzing.md has the long run."""

from __future__ import annotations

import pytest

from fuzz import corpus, images, shards, small
from fuzz.running import FuzzError, Run
from fuzz.trying import outcome

SMALL = corpus.small_files()


def test_images_of_the_corpus_and_fresh_ones_are_each_accounted_for_and_harm_no_other() -> None:
    fresh = [images.made(20261126, number) for number in range(1_000, 1_060)]
    run = images.tried([*corpus.images(), *fresh], "tar", "fast")
    assert run.code == 0
    assert run.guarded == []


@pytest.mark.parametrize("family", shards.FAMILIES)
def test_shards_of_the_corpus_and_fresh_ones_leave_the_whole_one_beside_them_alone(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "alone", lambda family: dict.fromkeys(shards.untouched(family).keys, "unique"))
    fresh = [shards.made(20261126, number, family) for number in range(900_000, 900_006)]
    assert shards.tried([*corpus.shards(family), *fresh], family).code == 0


@pytest.mark.parametrize("number", range(len(SMALL)), ids=[kind for kind, _ in SMALL])
def test_small_files_of_the_corpus_load_or_are_refused_in_one_line(number: int) -> None:
    assert outcome(*SMALL[number]) in ("loaded", "refused")


def test_fresh_small_files_load_or_are_refused_in_one_line() -> None:
    said = [outcome(*small.made(20261126, number)) for number in range(2 * len(small.KINDS))]
    assert set(said) == {"loaded", "refused"}


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in corpus.CORPUS.rglob("*") if path.is_file()) < 300_000


def test_a_run_that_loses_a_sample_or_decides_about_another_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [images.made(3, number) for number in range(3)]
    rows = [{"key": item.key, "reason": "unique", "action": "keep"} for item in [*items, *images.untouched()]]
    monkeypatch.setattr(images, "alone", lambda shape, preset: {row["key"]: "unique" for row in rows[3:]})

    def told(*changed: dict[str, str]) -> None:
        monkeypatch.setattr(images, "_run", lambda *_: Run(0, "", list(changed)))
        images.tried(items, "tar", "fast")

    told(*rows)
    with pytest.raises(FuzzError, match="unaccounted: \\['m000000'\\]"):
        told(*rows[1:])
    with pytest.raises(FuzzError, match="which nobody touched, is blank; alone it is unique"):
        told(*rows[:-1], {**rows[-1], "reason": "blank"})
    with pytest.raises(FuzzError, match="damaged shards"):
        told({**rows[0], "reason": "damaged_shard"}, *rows[1:])

"""Samples that took a process down are faults from then on; all others stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedupkit.guard.condemned import Condemned, Verdict, plain
from dedupkit.guard.recorder import tag_of
from dedupkit.sample import Fault, Reason, Sample
from dedupkit.sources.base import Shard
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Five:
    """Two shards of five samples."""

    def shards(self) -> Sequence[Shard]:
        return [Shard("a", "1", None), Shard("b", "1", None)]

    def fields(self, shard: Shard) -> None:
        return None

    def read(self, shard: Shard) -> Iterator[Sample]:
        yield from (Sample(f"{shard.name}{row}", b"image", "caption") for row in range(5))


CRASHED = Fault(Reason.DECODER_CRASHED, "SIGSEGV")


def condemned(verdict: Verdict) -> Condemned:
    return Condemned({tag_of(Five().shards()[0]).hex(): verdict})


def test_only_the_named_sample_has_no_image() -> None:
    source = condemned(Verdict({2: CRASHED})).over(Five())
    first, second = source.shards()
    samples = list(source.read(first))
    assert [sample.fault for sample in samples] == [None, None, CRASHED, None, None]
    assert [sample.image for sample in samples] == [b"image", b"image", None, b"image", b"image"]
    assert samples[2].caption == "caption"
    assert list(source.read(second)) == list(Five().read(second))


def test_a_shard_that_cannot_be_read_on_ends_as_a_damaged_one() -> None:
    source = condemned(Verdict(rows=3, detail="SIGSEGV")).over(Five())
    *samples, last = source.read(source.shards()[0])
    assert [sample.key for sample in samples] == ["a0", "a1", "a2"]
    assert last == Sample("a", None, fault=Fault(Reason.DAMAGED_SHARD, "SIGSEGV"))


def test_only_the_shard_with_a_verdict_is_another() -> None:
    before = Five().shards()
    after = condemned(Verdict({2: CRASHED})).over(Five()).shards()
    assert before[0].identity != after[0].identity
    assert before[1] == after[1]
    assert [plain(shard) for shard in after] == before
    assert condemned(Verdict({3: CRASHED})).over(Five()).shards()[0].identity != after[0].identity


def test_without_verdicts_a_source_is_itself() -> None:
    source = Five()
    assert Condemned().over(source) is source


def test_it_is_read_as_it_was_written_and_grows(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    first = condemned(Verdict({2: CRASHED}))
    first.write(folder)
    assert Condemned.read(folder) == first
    tag = next(iter(first.verdicts))
    joined = first.joined({tag: Verdict({4: CRASHED}, 5, "x")})
    assert joined.verdicts[tag] == Verdict({2: CRASHED, 4: CRASHED}, 5, "x")
    assert not Verdict()

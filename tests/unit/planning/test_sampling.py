"""Which samples a plan reads, and how it counts those that it does not."""

from __future__ import annotations

import io
import itertools
import random
import tarfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dedupkit.errors import UsageError
from dedupkit.parts import silent
from dedupkit.planning.counting import count_samples
from dedupkit.planning.sampling import MOST_SHARDS, draw
from dedupkit.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = b"\xff\xd8" + bytes(3000)  # sources never decode


def write_tar(path: Path, samples: int, mode: str = "w") -> None:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for number in range(samples):
            for ending, data in (("jpg", IMAGE + bytes(number % 7)), ("txt", b"a picture")):
                member = tarfile.TarInfo(f"{path.stem[:5]}{number:05d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """40 tars of 30 samples."""
    for number in range(40):
        write_tar(tmp_path / f"{number:05d}.tar", 30)
    return tmp_path


def test_a_sample_is_spread_over_the_shards(tars: Path) -> None:
    sampled = draw(open_source(tars), 160, silent)
    numbers = [int(each.shard.name) for each in sampled.drawn]
    assert len(numbers) == MOST_SHARDS
    assert {each.samples for each in sampled.drawn} == {10}
    assert numbers[0] <= 2
    assert numbers[-1] >= 37
    assert max(b - a for a, b in itertools.pairwise(numbers)) <= 3


def test_reading_a_sample_again_gives_it_again(tars: Path) -> None:
    source = open_source(tars)
    sampled = draw(source, 32, silent)
    for shard in sampled.shards():
        wanted = [sample.key for sample in source.read(shard)][:2]
        assert [sample.key for sample in sampled.read(shard)] == wanted


def test_samples_of_tars_are_estimated_by_bytes(tars: Path) -> None:
    count = count_samples(draw(open_source(tars), 160, silent)).samples
    assert count.value == pytest.approx(1200, rel=0.1)  # the tars' ends are padded to 10 KiB, which is 8 % of these
    assert count.low <= count.value <= count.high


def test_tars_that_are_read_to_the_end_are_counted(tars: Path) -> None:
    count = count_samples(draw(open_source(f"{tars}/0000[0-3].tar"), 1000, silent))
    assert count.samples.is_exact
    assert count.samples.value == 120


def test_compressed_tars_are_estimated_too(tmp_path: Path) -> None:
    for number in range(4):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            for place in range(200):
                data = random.Random(place).randbytes(20_000)
                member = tarfile.TarInfo(f"{place:05d}.jpg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        with pa.CompressedOutputStream(str(tmp_path / f"{number}.tar.zst"), "zstd") as out:
            out.write((tmp_path / f"{number}.tar").read_bytes())
        (tmp_path / f"{number}.tar").unlink()
    count = count_samples(draw(open_source(tmp_path), 400, silent)).samples
    assert count.value == pytest.approx(800, rel=0.4)  # compressed bytes are read ahead, up to 1 MiB


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_rows_of_tables_are_counted_exactly(tmp_path: Path, kind: str) -> None:
    for number, rows in enumerate((120, 7, 300)):
        table = pa.table({"image": pa.array([IMAGE] * rows, pa.binary()), "caption": ["a"] * rows})
        if kind == "parquet":
            pq.write_table(table, tmp_path / f"{number}.parquet")
        else:
            with pa.ipc.new_stream(tmp_path / f"{number}.arrow", table.schema) as out:
                out.write_table(table)
    count = count_samples(draw(open_source(tmp_path), 20, silent))
    assert count.samples.is_exact
    assert count.samples.value == 427


def test_files_of_a_folder_are_counted_exactly(tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number}.jpg").write_bytes(IMAGE)
    assert count_samples(draw(open_source(tmp_path), 10, silent)).samples.value == 70


def test_a_stream_of_unknown_length_asks_for_its_rows() -> None:
    class Endless:
        def __iter__(self) -> object:
            return ({"key": f"{number}", "image": IMAGE} for number in range(10_000))

    sampled = draw(open_source(Endless()), 10, silent)
    assert sampled.drawn[0].samples == 10
    with pytest.raises(UsageError, match="--rows"):
        count_samples(sampled)
    assert count_samples(sampled, 12345).samples.value == 12345


def test_more_rows_than_there_are_make_the_source_a_part_of_the_set(tars: Path) -> None:
    sampled = draw(open_source(f"{tars}/0000[0-3].tar"), 1000, silent)
    assert count_samples(sampled, 1200).times_source == 10
    assert count_samples(sampled, 100).times_source == 1

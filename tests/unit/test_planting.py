"""The demonstration's shards: what they hold."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from dedupkit.demo import example_images
from dedupkit.errors import UsageError
from dedupkit.planting import COPIES, DAMAGED_SHARD, EDITS, FAULTS, SHARDS, build_demo

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.planting import DemoTruth


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    return build_demo(example_images(), tmp_path_factory.mktemp("demo"), seed=1)


def members_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: handle.read() for member in tar if (handle := tar.extractfile(member))}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        build_demo(example_images(), tmp_path / name, seed)
    built = {name: [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.*"))] for name in ("a", "b", "c")}
    assert built["a"] == built["b"]
    assert built["a"] != built["c"]


def test_a_second_build_leaves_the_files_alone(tmp_path: Path) -> None:
    build_demo(example_images(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    build_demo(example_images(), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before


def test_every_picture_stands_whole_once_and_twenty_have_copies(truth: DemoTruth) -> None:
    originals = [sample.group for sample in truth.samples if sample.edit == "original"]
    copies = Counter(
        sample.group for sample in truth.samples if sample.edit in EDITS and not sample.key.startswith(DAMAGED_SHARD)
    )
    assert sorted(originals) == list(range(64))
    assert sorted(copies.values(), reverse=True) == sorted(COPIES, reverse=True)


def test_every_edit_is_planted_equally_often_in_the_whole_shards(truth: DemoTruth) -> None:
    edits = Counter(
        sample.edit for sample in truth.samples if sample.edit in EDITS and not sample.key.startswith(DAMAGED_SHARD)
    )
    assert edits == Counter(dict.fromkeys(EDITS, sum(COPIES) // len(EDITS)))


def test_every_fault_is_planted(truth: DemoTruth) -> None:
    assert {sample.fault for sample in truth.samples if sample.fault} == set(FAULTS)


def test_shards_have_the_members_of_img2dataset(truth: DemoTruth) -> None:
    for number in range(SHARDS):
        members = members_of(truth.shards / f"{number:05d}.tar")
        samples = [sample for sample in truth.samples if sample.key.startswith(f"{number:05d}")]
        for sample in samples:
            kinds = {name.removeprefix(f"{sample.key}.") for name in members if name.startswith(sample.key)}
            image = kinds - {"txt", "json"}
            assert {"txt", "json"} <= kinds
            assert len(image) == (sample.fault != "missing_image")
            assert json.loads(members[f"{sample.key}.json"])["key"] == sample.key


def test_whole_samples_decode_and_their_captions_are_text(truth: DemoTruth) -> None:
    for number in range(SHARDS):
        for name, data in members_of(truth.shards / f"{number:05d}.tar").items():
            (sample,) = [sample for sample in truth.samples if sample.key == name.split(".")[0]]
            if not sample.fault and name.endswith(".txt"):
                assert data.decode()
            elif not sample.fault and not name.endswith(".json"):
                Image.open(io.BytesIO(data)).load()


def test_the_damaged_shard_is_cut_after_two_whole_samples(truth: DemoTruth) -> None:
    with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
        members_of(truth.shards / f"{DAMAGED_SHARD}.tar")
    assert [sample.fault for sample in truth.samples[-3:]] == ["", "", "damaged_shard"]


def test_the_truth_lies_beside_the_shards(truth: DemoTruth) -> None:
    with (truth.shards.parent / "truth.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [tuple(row.values()) for row in rows] == [
        (sample.key, str(sample.group), sample.edit, sample.fault) for sample in truth.samples
    ]


def test_too_few_images_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(UsageError, match="must have 20 images or more"):
        build_demo(tmp_path, tmp_path / "out")


def test_a_folder_without_metadata_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"give a folder with metadata\.jsonl"):
        build_demo(tmp_path, tmp_path / "out")

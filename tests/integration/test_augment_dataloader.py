"""The on-line transform inside the loaders that people train with."""

from __future__ import annotations

import gc
import hashlib
import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from dedupkit.mitigation.online import AugmentedDataset, OnlineAugmenter
from dedupkit.recipe import Augment
from dedupkit.sinks import make_sink
from dedupkit.sinks.base import KeptSample, WrittenPart
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = Augment(preset="paper", contrast=0.1, crop_share=0.1, flip_probability=0.5)
COUNT = 12


def kept(number: int) -> KeptSample:
    pixels = np.random.default_rng(number).integers(60, 190, (40, 60, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return KeptSample(f"{number}.x", buffer.getvalue(), "png", None, 60, 40, 1 + number % 3, {})


def digest(image: Any) -> str:
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def digests(loader: Any) -> dict[str, str]:
    """Digest of each picture by key; every key once."""
    pairs = [(row["key"], digest(row["image"])) for batch in loader for row in batch]
    assert len(pairs) == len(dict(pairs)) == COUNT
    return dict(pairs)


def online() -> OnlineAugmenter:
    return OnlineAugmenter(OPTIONS, seed=3)


def expected(epoch: int) -> dict[str, str]:
    augmenter = online()
    augmenter.set_epoch(epoch)
    rows = [augmenter.sample(vars_of(kept(number))) for number in range(COUNT)]
    return {row["key"]: digest(row["image"]) for row in rows}


def vars_of(sample: KeptSample) -> dict[str, Any]:
    return {"key": sample.key, "image": sample.image, "group_size": sample.group_size}


def written(tmp_path: Path, format: str) -> Path:
    sink = make_sink(format)
    folder = Folder(str(tmp_path / "clean")).below(sink.folder)
    with folder.writing(sink.part_name(0)) as handle:
        sink.write_part(handle, map(kept, range(COUNT)), pa.schema([]))
    sink.finish(folder, [WrittenPart(sink.part_name(0), COUNT, sha256="0")], pa.schema([]))
    return tmp_path / "clean" / sink.folder


@pytest.fixture
def dataset(tmp_path: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.load_from_disk(str(written(tmp_path, "arrow")))


def test_a_dataset_with_the_transform_gives_other_pixels_every_epoch(dataset: Any) -> None:
    transform = online()
    shuffled = dataset.with_transform(transform.rows).shuffle(seed=5)  # copies the transform
    for epoch in (0, 1):
        transform.set_epoch(epoch)
        assert {row["key"]: digest(row["image"]) for row in shuffled} == expected(epoch)
    assert set(expected(0).values()).isdisjoint(expected(1).values())


def test_webdataset_maps_the_written_tars(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    tar = next(written(tmp_path, "webdataset").glob("*.tar"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # webdataset leaves the files it has read to the garbage collector
        pipeline = webdataset.WebDataset(str(tar), shardshuffle=False, empty_check=False)
        samples = list(pipeline.decode("pil").map(online().sample))
        gc.collect()
    assert {sample["json"]["key"]: digest(sample["png"]) for sample in samples} == expected(0)


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with fewer cores
@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("kind", ["set_transform", "dataset"])
def test_workers_change_no_pixel_in_any_epoch(dataset: Any, workers: int, start: str, kind: str) -> None:
    data = pytest.importorskip("torch.utils.data")
    transform = online()
    source: Any = AugmentedDataset([vars_of(kept(number)) for number in range(COUNT)], transform)
    if kind == "set_transform":
        source = dataset
        source.set_transform(transform.rows)
    choices = {"multiprocessing_context": start, "persistent_workers": True} if workers else {}
    loader = data.DataLoader(source, batch_size=5, shuffle=True, num_workers=workers, collate_fn=list, **choices)
    for epoch in (0, 1, 0):  # the workers live on from one to the next
        transform.set_epoch(epoch)
        assert digests(loader) == expected(epoch)


def test_grain_gives_other_pixels_every_epoch_and_the_same_in_every_run() -> None:
    grain = pytest.importorskip("grain")

    def run() -> list[str]:
        source = grain.MapDataset.source([vars_of(kept(number)) for number in range(COUNT)])
        return [digest(row["image"]) for row in source.seed(4).repeat(2).random_map(online().random_map)]

    first = run()
    assert first == run()
    assert len(set(first)) == 2 * COUNT

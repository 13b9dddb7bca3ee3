"""Streams inside the loaders that people train with: worker processes, shards, several epochs."""

from __future__ import annotations

import io
import multiprocessing
import signal
import tarfile
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from dedupkit import Recipe, StreamingDeduplicator
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAST = Recipe(preset="fast")
PICTURES = 12


def encoded(number: int, quality: int) -> bytes:
    target = io.BytesIO()
    draw_picture(number, 160, 120).save(target, "JPEG", quality=quality)
    return target.getvalue()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four tars that show the same twelve pictures, each encoded in its own way."""
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(4):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for number in range(PICTURES):
                for ending, data in (("jpg", encoded(number, 60 + 9 * shard)), ("txt", str(number).encode())):
                    member = tarfile.TarInfo(f"{shard}{number:03d}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return [str(path) for path in sorted(folder.glob("*.tar"))]


def shown(sample: dict[str, Any]) -> int:
    return int(sample["txt"])


def test_a_stage_of_a_webdataset_pipeline(shards: list[str]) -> None:
    import webdataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dedup = StreamingDeduplicator(recipe=FAST)
        passed = list(webdataset.WebDataset(shards, shardshuffle=False).compose(dedup))
        assert [shown(sample) for sample in passed] == list(range(PICTURES))
        assert dedup.dropped == {"perceptual_duplicate": 3 * PICTURES}
        decoded = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").compose(dedup).to_tuple("jpg", "txt")
        assert [int(caption) for _, caption in decoded] == list(range(PICTURES))


def _pass_some(state: str, shards: list[str], start: Any, results: Any) -> None:
    dedup = StreamingDeduplicator(recipe=FAST, state=state, shared=True, batch_samples=2, again="keep", threads=1)
    start.wait()
    results.put([(sample["key"], sample["number"]) for sample in dedup(_read(shards))])


def _read(shards: list[str]) -> Iterator[dict[str, Any]]:
    for shard in shards:
        with tarfile.open(shard) as tar:
            names = [name for name in tar.getnames() if name.endswith(".jpg")]
            for name in names:
                member = tar.extractfile(name)
                assert member is not None
                yield {"key": name, "image": member.read(), "number": int(name[1:4])}


def test_processes_that_share_a_folder_keep_each_picture_once(shards: list[str], tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    epochs = []
    for _ in range(2):  # the second time is another epoch: the same samples come again, and no others
        workers = [
            context.Process(target=_pass_some, args=(str(tmp_path / "state"), part, start, results))
            for part in (shards[:2], shards[2:])
        ]
        for worker in workers:
            worker.start()
        start.set()
        passed = sorted((each for _ in workers for each in results.get(timeout=120)), key=lambda each: each[1])
        for worker in workers:
            worker.join(60)
        assert [number for _, number in passed] == list(range(PICTURES))
        epochs.append(passed)
    assert epochs[0] == epochs[1]


def test_a_process_that_is_killed_holds_nobody_up_and_loses_nothing(shards: list[str], tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    start.set()
    arguments = (str(tmp_path / "state"), shards[:2] * 50, start, results)
    worker = context.Process(target=_pass_some, args=arguments)
    worker.start()
    deadline = time.monotonic() + 120
    while not list((tmp_path / "state").glob("*.kept")) and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.kill()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    dedup = StreamingDeduplicator(recipe=FAST, state=tmp_path / "state", shared=True, again="keep")
    assert sorted(sample["number"] for sample in dedup(_read(shards))) == list(range(PICTURES))


class _Shards:
    """What a worker reads of the shards, deduplicated."""

    def __init__(self, shards: list[str], dedup: StreamingDeduplicator) -> None:
        self.shards, self.dedup = shards, dedup

    def __iter__(self) -> Iterator[dict[str, Any]]:
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        mine = self.shards if worker is None else self.shards[worker.id :: worker.num_workers]
        return self.dedup(_read(mine))


def _loader(shards: list[str], dedup: StreamingDeduplicator) -> Any:
    from torch.utils.data import DataLoader, IterableDataset

    stream: Any = type("Stream", (_Shards, IterableDataset), {})
    return DataLoader(stream(shards, dedup), batch_size=None, num_workers=2)


@pytest.mark.extras
def test_workers_that_share_a_folder_see_what_the_others_kept(shards: list[str], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    options: dict[str, Any] = {"state": tmp_path / "state", "shared": True, "again": "keep", "batch_samples": 2}
    loader = _loader(shards, StreamingDeduplicator(recipe=FAST, **options))
    epochs = [sorted((sample["number"], sample["key"]) for sample in loader) for _ in range(2)]
    assert [number for number, _ in epochs[0]] == list(range(PICTURES))
    assert epochs[0] == epochs[1]


@pytest.mark.extras
@pytest.mark.parametrize("folder", [True, False], ids=["folder", "memory"])
def test_workers_on_their_own_keep_a_picture_once_each(shards: list[str], folder: bool, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    state = tmp_path / "state" if folder else None
    passed = list(_loader(shards, StreamingDeduplicator(recipe=FAST, state=state)))
    assert sorted(sample["number"] for sample in passed) == sorted([*range(PICTURES)] * 2)
    if folder:
        assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["worker-0", "worker-1"]


@pytest.mark.extras
def test_thorough_works_in_workers_that_were_forked(shards: list[str], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    used = StreamingDeduplicator(recipe=Recipe())
    assert len(list(used(_read(shards[:1])))) == PICTURES  # the network has run in this process before
    loader = _loader(shards, StreamingDeduplicator(recipe=Recipe(), state=tmp_path / "state", shared=True))
    assert sorted(sample["number"] for sample in loader) == list(range(PICTURES))


@pytest.mark.extras
def test_tensors_are_compared_by_their_pixels() -> None:
    torch = pytest.importorskip("torch")
    import numpy as np

    pixels = torch.from_numpy(np.array(draw_picture(1, 160, 120))).permute(2, 0, 1)
    items = [{"image": pixels, "key": "a"}, {"image": pixels.float() / 255, "key": "b"}]
    dedup = StreamingDeduplicator(recipe=FAST)
    assert [item["key"] for item in dedup(items)] == ["a"]
    assert dedup.dropped == {"exact_duplicate": 1}

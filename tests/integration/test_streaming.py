"""One pass inside a pipeline: what comes out is what cleaning keeps, whatever batches, windows and crashes do."""

from __future__ import annotations

import io
import json
import pickle
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from dedupkit import Index, Recipe, RunError, Sample, StreamDecision, StreamingDeduplicator, UsageError, clean
from tests.conftest import draw_picture
from tests.integration.index_sets import write_families

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from tests.integration.index_sets import Families

FAST, THOROUGH = Recipe(preset="fast"), Recipe(preset="thorough")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Families:
    return write_families(tmp_path_factory.mktemp("families") / "set", pictures=60, parts=4)


@pytest.fixture(scope="module")
def samples(families: Families) -> list[dict[str, Any]]:
    """In the order in which a folder is read."""
    places = sorted(families.folder.rglob("*.jpg"))
    return [{"key": str(place.relative_to(families.folder)), "image": place.read_bytes()} for place in places]


def keys(passed: Any) -> list[str]:
    return [sample["key"] for sample in passed]


def kept_by_clean(families: Families, out: Path, preset: Literal["fast", "thorough"]) -> set[str]:
    recipe = Recipe.of({"preset": preset, "keep": {"policy": "first"}}, name="test")
    rows = clean(str(families.folder), out, recipe=recipe).decisions().to_pylist()
    return {row["key"] for row in rows if row["action"] == "keep"}


def encoded(picture: Image.Image, quality: int = 90) -> bytes:
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=quality)
    return target.getvalue()


def pictures(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Each twice, the second time encoded anew."""
    drawn = [(number, draw_picture(number, 160, 120)) for number in range(first, first + count)]
    return [{"key": f"{number}-{quality}", "image": encoded(picture, quality)}
            for quality in (90, 70) for number, picture in drawn]  # fmt: skip


def test_fast_keeps_exactly_what_cleaning_keeps(
    families: Families, samples: list[dict[str, Any]], tmp_path: Path
) -> None:
    dedup = StreamingDeduplicator(recipe=FAST, expected_samples=len(samples))
    passed = list(dedup(samples))
    assert set(keys(passed)) == kept_by_clean(families, tmp_path / "out", "fast")
    assert all(any(sample is given for given in samples) for sample in passed)
    assert dedup.seen == len(samples) == dedup.kept + sum(dedup.dropped.values())
    assert dict(dedup.faults) == {"corrupt_image": 1}


def test_thorough_keeps_what_cleaning_keeps_and_few_more(
    families: Families, samples: list[dict[str, Any]], tmp_path: Path
) -> None:
    told: list[StreamDecision] = []
    dedup = StreamingDeduplicator(recipe=THOROUGH, expected_samples=len(samples), on_decision=told.append)
    passed = set(keys(dedup(samples)))
    cleaned = kept_by_clean(families, tmp_path / "out", "thorough")
    # cleaning also asks about pairs that only a third copy connects; a stream does not remember what it dropped
    assert cleaned <= passed
    assert len(passed - cleaned) <= 0.02 * len(samples)
    shown = {sample["key"]: families.shown.get(Path(sample["key"]).name) for sample in samples}
    for decision in told:
        if decision.match is not None:
            assert decision.match.key in passed
            assert shown[decision.match.key] == shown[decision.key]
    assert {decision.reason for decision in told} >= {"exact_duplicate", "perceptual_duplicate", "geometric_duplicate"}


@pytest.mark.parametrize("recipe", [FAST, THOROUGH], ids=["fast", "thorough"])
def test_batches_and_threads_change_nothing(recipe: Recipe, samples: list[dict[str, Any]]) -> None:
    some = samples[:60]
    expected = keys(StreamingDeduplicator(recipe=recipe)(some))
    for batch_samples, threads in ((1, 1), (7, 3), (200, 2)):
        dedup = StreamingDeduplicator(recipe=recipe, batch_samples=batch_samples, threads=threads)
        assert keys(dedup(iter(some))) == expected


@pytest.mark.parametrize("recipe", [FAST, THOROUGH], ids=["fast", "thorough"])
@pytest.mark.parametrize("folder", [True, False], ids=["folder", "bytes"])
def test_a_state_restored_anywhere_gives_the_rest_of_the_stream(
    recipe: Recipe, folder: bool, samples: list[dict[str, Any]], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"recipe": recipe, "batch_samples": 8, "threads": 2, "max_entries": 40}
    whole, some = StreamingDeduplicator(**options), samples[:110]
    expected = keys(whole(some))
    assert whole.kept > options["max_entries"]
    rng = random.Random(4)
    for trial in range(3):
        state = tmp_path / str(trial) if folder else None
        passing = StreamingDeduplicator(**options, state=state)
        running, wanted = iter(passing(some)), rng.randrange(5, len(expected) - 5)
        before = [next(running)["key"] for _ in range(wanted)]
        saved = pickle.loads(pickle.dumps(passing.state_dict()))
        _ = [next(running) for _ in range(4)]  # what comes after the state is not in it
        del running
        if state is not None:  # as a process leaves it that is killed while it writes
            with max(state.glob("*.kept")).open("ab") as handle:
                handle.write(b"\x10\0\0\0 half of a record")
        restored = StreamingDeduplicator(**options, state=state)
        restored.load_state_dict(saved)
        assert restored.state_dict() == saved
        after = keys(restored(iter(some[restored.seen :])))
        assert before + after == expected
        assert (restored.seen, restored.kept, restored.dropped) == (whole.seen, whole.kept, whole.dropped)


def test_a_state_of_other_rules_is_refused() -> None:
    saved = StreamingDeduplicator(recipe=FAST).state_dict()
    with pytest.raises(UsageError, match="another recipe"):
        StreamingDeduplicator(recipe=THOROUGH).load_state_dict(saved)
    with pytest.raises(UsageError, match="another max_entries"):
        StreamingDeduplicator(recipe=FAST, max_entries=5).load_state_dict(saved)
    with pytest.raises(UsageError, match="no state"):
        StreamingDeduplicator(recipe=FAST).load_state_dict({"seen": 3})


@pytest.mark.parametrize("most", [3, 10, 64])
def test_the_window_forgets_the_oldest_and_nothing_else(most: int) -> None:
    apart = pictures(20)[:20]
    again = [{"key": f"again-{number}", "image": apart[number]["image"]} for number in range(20)]
    for sample in again:
        dedup = StreamingDeduplicator(recipe=FAST, max_entries=most, batch_samples=7)
        dropped = sample["key"] not in keys(dedup([*apart, sample]))
        assert dropped == (20 - int(sample["key"].partition("-")[2]) <= most)


def test_memory_and_files_stay_bounded(tmp_path: Path) -> None:
    dedup = StreamingDeduplicator(recipe=FAST, max_entries=16, state=tmp_path / "state", batch_samples=5)
    assert len(list(dedup(pictures(60)[:60]))) == 60
    numbers = sorted(int(path.stem) for path in (tmp_path / "state").glob("*.kept"))
    assert set(range(22, 30)) <= set(numbers)  # two entries a file, the newest 16
    assert len(numbers) <= 8 + 3  # and those of the last batch before


def test_a_folder_remembers_beyond_a_process(tmp_path: Path) -> None:
    first, second = pictures(6)[:6], pictures(6)[6:]
    options: dict[str, Any] = {"recipe": FAST, "state": tmp_path / "state"}
    assert len(list(StreamingDeduplicator(**options)(first))) == 6
    with (tmp_path / "state" / "00000000.kept").open("ab") as handle:
        handle.write(b"\x10\0\0\0 half of a record")  # as a process leaves it that is killed while it writes
    assert list(StreamingDeduplicator(**options)(second)) == []
    fresh = pictures(2, first=50)[:2]
    assert keys(StreamingDeduplicator(**options)([*first, *fresh])) == keys(fresh)
    assert list(StreamingDeduplicator(**options)([*first, *fresh])) == []
    with pytest.raises(UsageError, match="another recipe"):
        list(StreamingDeduplicator(recipe=THOROUGH, state=tmp_path / "state")(first))


def test_one_process_at_a_time_uses_a_folder(tmp_path: Path) -> None:
    running = StreamingDeduplicator(recipe=FAST, state=tmp_path / "state")(pictures(4))
    next(running)
    with pytest.raises(UsageError, match="another process is using"):
        list(StreamingDeduplicator(recipe=FAST, state=tmp_path / "state")(pictures(1)))
    del running


def test_the_same_samples_come_again_where_that_is_wanted(tmp_path: Path) -> None:
    samples = [*pictures(5), {"key": "other name", "image": pictures(1)[0]["image"]}]
    dedup = StreamingDeduplicator(recipe=FAST, state=tmp_path / "state", again="keep")
    assert [keys(dedup(samples)) for _ in range(3)] == [[f"{number}-90" for number in range(5)]] * 3
    once = StreamingDeduplicator(recipe=FAST)
    assert [len(list(once(samples))) for _ in range(2)] == [5, 5]  # each call is a pass of its own


def test_an_index_is_asked_too_and_left_alone(tmp_path: Path) -> None:
    known, fresh = pictures(4), pictures(3, first=40)
    Index.build(tmp_path / "index", known[:4], recipe=FAST, name="known")
    told: list[StreamDecision] = []
    dedup = StreamingDeduplicator(tmp_path / "index", on_decision=told.append)
    assert keys(dedup([*known, *fresh])) == keys(fresh[:3])
    assert [(each.match.where, each.match.key) for each in told if each.match is not None] == [
        *[("index", f"{number}-90") for number in range(4)] * 2,
        *[("stream", f"{number}-90") for number in range(40, 43)],
    ]
    assert len(Index.open(tmp_path / "index")) == 4
    with pytest.raises(UsageError, match="another recipe"):
        StreamingDeduplicator(tmp_path / "index", recipe=THOROUGH)


def test_what_is_kept_goes_into_an_index_that_is_updated(tmp_path: Path) -> None:
    index = Index.build(tmp_path / "index", pictures(4)[:4], recipe=FAST)
    dedup = StreamingDeduplicator(index, update=True)
    assert len(list(dedup([*pictures(4), *pictures(3, first=40)]))) == 3
    assert len(Index.open(tmp_path / "index")) == 7
    assert list(StreamingDeduplicator(tmp_path / "index")(pictures(3, first=40))) == []
    with pytest.raises(UsageError, match="no state"):
        dedup.state_dict()


def test_thorough_finds_crops_of_what_an_index_holds(tmp_path: Path) -> None:
    picture = draw_picture(7, 320, 240)
    index = Index.build(tmp_path / "index", [{"key": "a", "image": encoded(picture)}], recipe=THOROUGH)
    told: list[StreamDecision] = []
    dedup = StreamingDeduplicator(index, on_decision=told.append)
    assert list(dedup([encoded(picture.crop((40, 30, 290, 220)))])) == []
    assert told[0].match is not None
    assert told[0].match.tier in ("geometric", "perceptual")


@pytest.mark.parametrize(("on_fault", "out"), [("drop", 1), ("keep", 3)])
def test_broken_images_are_dropped_or_kept_and_counted(on_fault: Literal["drop", "keep"], out: int) -> None:
    broken = [b"<html>", pictures(1)[0]["image"], b"<html>"]
    dedup = StreamingDeduplicator(recipe=FAST, on_fault=on_fault)
    assert len(list(dedup(broken))) == out
    assert dict(dedup.faults) == {"not_an_image": 2}
    with pytest.raises(RunError, match="not_an_image"):
        list(StreamingDeduplicator(recipe=FAST, on_fault="raise")(broken))


def test_every_kind_of_image_is_taken_and_given_back_as_it_is() -> None:
    picture = draw_picture(3, 160, 120)
    array = np.asarray(picture)
    items: list[Any] = [
        Sample("sample", encoded(picture)),
        {"jpg": encoded(picture, 80), "__key__": "web"},
        {"image": picture},
        (picture, "a caption"),
        array,
        array.transpose(2, 0, 1),
        (array / 255).astype(np.float32),
        {"image": {"bytes": encoded(picture, 60), "path": None}},
    ]
    assert [len(list(StreamingDeduplicator(recipe=FAST)([item, items[0]]))) for item in items] == [1] * len(items)
    assert next(iter(StreamingDeduplicator(recipe=FAST)(items))) is items[0]
    named = StreamingDeduplicator(recipe=FAST, image="picture", key=1)
    with pytest.raises(UsageError, match="no entry picture"):
        list(named([{"image": picture}]))


def test_pixels_that_were_normalised_are_refused() -> None:
    array = (np.asarray(draw_picture(3)) / 127.5 - 1).astype(np.float32)
    with pytest.raises(UsageError, match="before images are normalised"):
        list(StreamingDeduplicator(recipe=FAST)([array]))


def test_a_slow_stream_is_not_held_back() -> None:
    waits: list[float] = []

    def slowly() -> Iterator[dict[str, Any]]:
        for sample in pictures(8)[:8]:
            yield sample
            time.sleep(0.15)

    begun = time.monotonic()
    for _ in StreamingDeduplicator(recipe=FAST, max_wait_s=0.1, threads=2)(slowly()):
        waits.append(time.monotonic() - begun)
    assert waits[0] < 0.8  # of 1.2 s that all take
    assert waits[3] < waits[-1] - 0.3


def test_it_is_pickled_before_it_is_used_and_not_after() -> None:
    samples = pictures(3)
    dedup = pickle.loads(pickle.dumps(StreamingDeduplicator(recipe=FAST)))
    assert len(list(dedup(samples))) == 3
    with pytest.raises(UsageError, match="before it is used"):
        pickle.dumps(dedup)


@pytest.mark.parametrize(
    "options",
    [{"max_entries": 0}, {"again": "maybe"}, {"on_fault": "no"}, {"update": True}, {"shared": True}, {"max_wait_s": 0}],
)
def test_arguments_that_cannot_be_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        StreamingDeduplicator(recipe=FAST, **options)


def test_a_state_is_modest_without_a_folder_and_a_pointer_with_one(tmp_path: Path) -> None:
    samples = pictures(20)
    in_memory, in_folder = (StreamingDeduplicator(recipe=FAST, state=place) for place in (None, tmp_path / "state"))
    for dedup in (in_memory, in_folder):
        list(dedup(samples))
    assert len(in_memory.state_dict()["data"]) < 20_000
    assert len(json.dumps(in_folder.state_dict())) < 2_000

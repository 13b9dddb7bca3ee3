"""Disks, clocks and power that fail under a run: it ends in one line, and the next ends at the undisturbed bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import dedupkit
from dedupkit import Index, Recipe, RunError
from dedupkit.journey import Journey
from dedupkit.unfinished import NOTE
from tests.commands import Command
from tests.conftest import draw_picture
from tests.integration.conftest import encoded, write_shards
from tests.integration.store_servers import digests, local_contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dedupkit.parts import Progress
    from tests.integration.conftest import Planted

resource = pytest.importorskip("resource")
FAST = Recipe.of({"preset": "fast", "output": {"formats": ["arrow", "webdataset"]}}, name="test")
_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_shards(tmp_path_factory.mktemp("faults") / "shards", 3, 6)


@pytest.fixture(scope="module")
def whole(source: Planted, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed run leaves."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    dedupkit.clean(source.folder, out, recipe=FAST)
    return left_in(out)


def left_in(out: Path) -> dict[str, str]:
    return digests(local_contents(out))


def command(*arguments: str | Path, **options: Any) -> Command | subprocess.Popen[str]:
    """The command line, begun; formats and preset as in `FAST`.  With options for it, in an interpreter of its own."""
    chosen = ("--preset", "fast", "--format", "arrow", "--format", "webdataset") if arguments[0] == "clean" else ()
    if not options:
        return Command(*arguments, *chosen)
    given = [sys.executable, "-m", "dedupkit", *map(str, arguments), *chosen]
    return subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)


def ended(run: Command | subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and the last line of what was said."""
    _, told = run.communicate(timeout=120)
    assert "Traceback" not in told
    return run.wait(), (told.splitlines() or [""])[-1]


def mount(*arguments: str) -> None:
    if os.name == "nt" or subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode:
        pytest.skip("needs to be allowed to mount a disk")


@contextmanager
def mounted(*arguments: str) -> Iterator[None]:
    """What is mounted for a while at the last of the arguments."""
    mount(*arguments)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", arguments[-1]], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)):
        yield place


def when(stage: str, happens: Callable[[], None]) -> Callable[[Progress], None]:
    """An observer that lets something happen once a part of a stage is made."""
    done: list[str] = []

    def observe(progress: Progress) -> None:
        if progress.stage == stage and progress.parts and not done:
            done.append(stage)
            happens()

    return observe


@pytest.mark.parametrize("frozen", [".dedupkit/receipts/fingerprints", "dataset"])
def test_a_disk_that_becomes_read_only_ends_the_run_in_one_line(
    frozen: str, source: Planted, whole: dict[str, str], tmp_path: Path
) -> None:
    place = tmp_path / "out" / frozen

    def freeze() -> None:
        place.mkdir(exist_ok=True)
        mount("--bind", str(place), str(place))
        mount("-o", "remount,ro,bind", str(place))

    try:
        with pytest.raises(RunError, match="Read-only file system; make the disk writable, then run again") as told:
            dedupkit.clean(
                source.folder, tmp_path / "out", recipe=FAST, workers=1, progress=when("fingerprints", freeze)
            )
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
    assert "\n" not in str(told.value)
    dedupkit.clean(source.folder, tmp_path / "out", recipe=FAST)
    assert left_in(tmp_path / "out") == whole


def test_a_limit_on_file_sizes_is_named_and_the_next_run_goes_on(
    source: Planted, whole: dict[str, str], tmp_path: Path
) -> None:
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    code, told = ended(command("clean", source.folder, tmp_path / "out", preexec_fn=limit, env=unmeasured))
    assert code == 1
    assert told.endswith("File too large; allow larger files (ulimit -f), then run again to go on from the last part")
    dedupkit.clean(source.folder, tmp_path / "out", recipe=FAST)
    assert left_in(tmp_path / "out") == whole


@pytest.mark.parametrize("kind", ["tar", "image", "caption"])
def test_a_source_that_the_disk_cannot_read_is_no_fault_of_the_data(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    planted = write_shards(folder, 2, 3) if kind == "tar" else None
    if planted is None:
        folder.mkdir()
        for number in range(3):
            (folder / f"{number}.jpg").write_bytes(encoded(draw_picture(number)))
            (folder / f"{number}.txt").write_text(f"picture {number}")
    dedupkit.clean(folder, tmp_path / "undisturbed", recipe=FAST)
    broken = folder / {"tar": "00001.tar", "image": "2.jpg", "caption": "2.txt"}[kind]
    with mounted("--bind", f"/proc/{os.getpid()}/mem", str(broken)):  # its beginning reads as EIO
        with pytest.raises(OSError, match="Input/output error"):
            broken.read_bytes()
        with pytest.raises(RunError, match=rf"{broken.stem}.* could not be read: Input/output error; run again"):
            dedupkit.clean(folder, tmp_path / "out", recipe=FAST, workers=1)
    dedupkit.clean(folder, tmp_path / "out", recipe=FAST)
    assert left_in(tmp_path / "out") == left_in(tmp_path / "undisturbed")


def broken_off(source: Planted, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped when its pairs are made, as one whose process is killed."""
    with monkeypatch.context() as patch:
        patch.setattr(Journey, "decide", _stop)
        with pytest.raises(KeyboardInterrupt):
            dedupkit.clean(source.folder, out, recipe=FAST)


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def zeros(data: bytes) -> bytes:
    return bytes(len(data))


def zeros_in_the_middle(data: bytes) -> bytes:
    half, count = len(data) // 2, min(512, len(data) // 4)
    return data[:half] + bytes(count) + data[half + count :]


@pytest.mark.parametrize(("finished", "lost"), [(False, cut), (True, zeros), (True, zeros_in_the_middle)])
def test_parts_that_a_loss_of_power_took_are_made_again(
    finished: bool,
    lost: Callable[[bytes], bytes],
    source: Planted,
    whole: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    if finished:  # all of it was written, but not flushed
        dedupkit.clean(source.folder, out, recipe=FAST)
        (out / ".dedupkit" / NOTE).write_text("{}")
    else:
        broken_off(source, out, monkeypatch)
    harmed = [".dedupkit/fingerprints/00001.parquet", ".dedupkit/receipts/fingerprints/00002.parquet.json"]
    harmed += [".dedupkit/pairs/pairs.parquet", *(["dataset/data-00000.arrow", "webdataset/00001.tar"] * finished)]
    for name in harmed:
        (out / name).write_bytes(lost((out / name).read_bytes()))
    monkeypatch.setattr("dedupkit.unfinished.started", lambda: "another start of the machine")
    dedupkit.clean(source.folder, out, recipe=FAST)
    assert left_in(out) == whole


def test_parts_are_not_read_again_where_the_machine_stayed_up(
    source: Planted, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(source, tmp_path / "out", monkeypatch)
    monkeypatch.setattr("dedupkit.unfinished.discard_damaged", _stop)
    dedupkit.clean(source.folder, tmp_path / "out", recipe=FAST)
    assert left_in(tmp_path / "out") == whole


def test_notes_that_a_loss_of_power_took_are_made_again(
    source: Planted, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(source, tmp_path / "out", monkeypatch)
    for name in ("condemned.json", "dedupkit.json", NOTE):
        (tmp_path / "out" / ".dedupkit" / name).write_bytes(bytes(40))
    dedupkit.clean(source.folder, tmp_path / "out", recipe=FAST)
    assert left_in(tmp_path / "out") == whole


@pytest.mark.parametrize("left", [b"", bytes(2000)])
def test_a_damaged_takedown_list_lets_nothing_in_again(left: bytes, source: Planted, tmp_path: Path) -> None:
    dedupkit.clean(source.folder, tmp_path / "out", recipe=FAST)
    (tmp_path / "out" / "takedown.parquet").write_bytes(left)
    with pytest.raises(RunError, match=r"^takedown\.parquet in the output folder is damaged: .*put back a copy of it"):
        dedupkit.clean(source.folder, tmp_path / "out", recipe=FAST)


def test_a_stream_whose_rules_were_lost_is_refused_in_one_line(tmp_path: Path) -> None:
    pictures = [encoded(draw_picture(number)) for number in range(2)]
    assert len(list(dedupkit.StreamingDeduplicator(recipe=FAST, state=tmp_path / "state")(pictures))) == 2
    (tmp_path / "state" / "stream.json").write_bytes(bytes(300))
    with pytest.raises(dedupkit.UsageError, match=r"stream\.json is damaged; begin anew in a new or empty folder"):
        list(dedupkit.StreamingDeduplicator(recipe=FAST, state=tmp_path / "state")(pictures))


def test_a_clock_that_goes_backwards_changes_nothing(source: Planted, whole: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import itertools, time\n"
        "began, steps = time.time(), itertools.count()\n"
        "time.time = lambda: began - 3600 * next(steps)\n"
        "time.time_ns = lambda: int(time.time() * 1e9)\n"
    )
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{_ROOT}"}
    run = command("clean", source.folder, tmp_path / "out", env=env)
    time.sleep(1.2)
    run.kill()
    ended(run)
    assert ended(command("clean", source.folder, tmp_path / "out", env=env))[0] == 0
    assert left_in(tmp_path / "out") == whole


def test_of_two_runs_at_once_on_one_output_one_is_refused_in_one_line(
    source: Planted, whole: dict[str, str], tmp_path: Path
) -> None:
    holds, refused = tmp_path / "holds", tmp_path / "refused"
    (tmp_path / "sitecustomize.py").write_text(  # the first waits, its lock in hand, until the second has been refused
        "import contextlib, pathlib, time\n"
        "import dedupkit.locks as locks\n"
        "before = locks.locked\n"
        "@contextlib.contextmanager\n"
        "def locked(*arguments):\n"
        "    with before(*arguments):\n"
        f"        pathlib.Path({str(holds)!r}).touch()\n"
        f"        while not pathlib.Path({str(refused)!r}).exists():\n"
        "            time.sleep(0.05)\n"
        "        yield\n"
        "locks.locked = locked\n"
    )
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{_ROOT}"}
    first = command("clean", source.folder, tmp_path / "out", env=env)
    until = time.monotonic() + 60
    while not holds.exists() and time.monotonic() < until:
        time.sleep(0.05)
    line = f"dedupkit: another run is writing to {tmp_path / 'out'}; wait for it, or name another folder"
    second = ended(command("clean", source.folder, tmp_path / "out"))
    refused.touch()
    assert second == (2, line)
    assert ended(first)[0] == 0
    assert left_in(tmp_path / "out") == whole


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three folders; the first picture of each is the first of all."""
    folders = []
    for part in range(3):
        folder = tmp_path_factory.mktemp("photos") / f"part{part}"
        folder.mkdir()
        for number in range(6):
            seed = 0 if number == 0 else part * 10 + number
            (folder / f"{part}{number}.jpg").write_bytes(encoded(draw_picture(seed), quality=90 - part))
        folders.append(folder)
    return folders


def found_in(place: Path) -> list[list[str]]:
    pairs = Index.open(place).pairs()
    return sorted(sorted(pair) for pair in zip(pairs["a"].to_pylist(), pairs["b"].to_pylist(), strict=True))


def test_of_two_writers_at_once_each_adds_or_is_refused_and_nothing_is_lost(photos: list[Path], tmp_path: Path) -> None:
    index = Index.build(tmp_path / "index", photos[0], recipe=Recipe(preset="fast"))
    runs = [command("index", "add", index.path, source) for source in photos[1:]]
    found = [ended(run) for run in runs]
    busy = f"dedupkit: another process is writing to the index {index.path}; wait for it"
    assert {code for code, _ in found} <= {0, 2}
    assert all(told == busy for code, told in found if code == 2)
    for source in photos[1:]:
        index.add(source)  # those that are in it are passed over
    assert len(Index.open(index.path)) == 18
    assert found_in(tmp_path / "index") == [["00.jpg", "10.jpg"], ["00.jpg", "20.jpg"], ["10.jpg", "20.jpg"]]


def test_an_addition_to_an_index_on_a_full_disk_changes_nothing(photos: list[Path], disk: Path) -> None:
    index = Index.build(disk / "index", photos[0], recipe=Recipe(preset="fast"))
    before = (disk / "index" / "index.json").read_bytes()
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    for room in (4096, 40_000):
        ballast.write_bytes(bytes(free - room))
        with pytest.raises(RunError, match="No space left on device; free some space, then run again"):
            index.add(photos[1])
        ballast.unlink()
        assert (disk / "index" / "index.json").read_bytes() == before
        assert len(Index.open(disk / "index")) == 6
    index.add(photos[1])
    assert found_in(disk / "index") == [["00.jpg", "10.jpg"]]
    assert not any((disk / "index" / "work").glob("*"))


def test_a_stream_on_a_full_disk_ends_in_one_line_and_goes_on_from_its_state(disk: Path) -> None:
    pictures = [{"key": str(number), "image": encoded(draw_picture(number % 24))} for number in range(36)]
    dedup = dedupkit.StreamingDeduplicator(recipe=FAST, state=disk / "state", batch_samples=4)
    whole = [sample["key"] for sample in dedupkit.StreamingDeduplicator(recipe=FAST)(pictures)]
    passing, ballast = dedup(pictures), disk / "ballast"
    passed = [next(passing)["key"] for _ in range(10)]
    state = dedup.state_dict()
    ballast.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
    with pytest.raises(RunError, match="state could not be written: No space left on device; free some space, then"):
        list(passing)
    ballast.unlink()
    dedup.load_state_dict(state)
    assert passed + [sample["key"] for sample in dedup(pictures[dedup.seen :])] == whole

"""Folders for a while: who removes them, and when."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dedupkit.temporary import TemporaryFolder, sweep

HOLD = """
import sys
from pathlib import Path
from dedupkit.temporary import TemporaryFolder

with TemporaryFolder() as folder:
    Path(folder, "large").write_bytes(bytes(1000))
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def holder() -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a folder, which was made long ago, until its stdin ends."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    outer = Path(process.stdout.readline().strip()).parent
    age(outer)
    return process, outer


def age(folder: Path) -> None:
    long_ago = time.time() - 3600
    os.utime(folder, (long_ago, long_ago))


def end(process: subprocess.Popen[str], *, kill: bool = False) -> None:
    with process:
        if kill:
            process.kill()


def test_it_is_empty_and_goes_at_the_end_of_the_block(room: Path) -> None:
    with TemporaryFolder() as folder:
        assert list(Path(folder).iterdir()) == []
        Path(folder, "file").touch()
    assert list(room.iterdir()) == []


def test_it_goes_with_the_object(room: Path) -> None:
    held = TemporaryFolder()
    assert held.path.is_dir()
    del held
    gc.collect()
    assert list(room.iterdir()) == []


def test_it_goes_with_the_process(room: Path) -> None:
    process, outer = holder()
    assert outer.is_dir()
    end(process)
    assert list(room.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not(room: Path) -> None:
    living, held = holder()
    killed, left = holder()
    end(killed, kill=True)
    assert (left / "files" / "large").exists()
    assert sweep() == 1
    assert not left.exists()
    assert (held / "files" / "large").exists()
    end(living)


def test_the_next_process_sweeps(room: Path) -> None:
    killed, left = holder()
    end(killed, kill=True)
    following, _ = holder()
    assert not left.exists()
    end(following)


def test_what_was_made_just_now_is_left_alone(room: Path) -> None:
    killed, left = holder()
    end(killed, kill=True)
    os.utime(left)
    assert sweep() == 0
    assert left.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_does_not_take_it_away(room: Path) -> None:
    with TemporaryFolder() as folder:
        child = os.fork()
        if not child:
            TemporaryFolder.remove(_of(folder))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert Path(folder).is_dir()


def _of(folder: str) -> TemporaryFolder:
    """The object that holds a folder."""
    return next(each for each in gc.get_objects() if isinstance(each, TemporaryFolder) and str(each.path) == folder)


def test_nothing_else_is_removed(room: Path) -> None:
    """Folders of other programs and of other machines, damaged ones, and what a link leads to."""
    killed, left = holder()
    end(killed, kill=True)
    claim = json.loads((left / "claim.json").read_bytes())
    mine = room / "elsewhere"
    left.rename(mine)
    (room / "dedupkit-link").symlink_to(mine, target_is_directory=True)
    others = {"other-program": claim, "dedupkit-other": {**claim, "machine": "another"}, "dedupkit-odd": {"pid": "x"}}
    for name, said in others.items():
        (room / name).mkdir()
        (room / name / "claim.json").write_text(json.dumps(said))
        age(room / name)
    (room / "dedupkit-none").mkdir()
    (room / "dedupkit-file").touch()
    age(room / "dedupkit-none")
    before = sorted(room.rglob("*"))
    assert sweep() == 0
    assert sorted(room.rglob("*")) == before

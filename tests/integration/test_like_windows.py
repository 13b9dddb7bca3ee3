"""Runs under two rules of Windows: nothing that is open or mapped can be removed, renamed or written over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import write_shards

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux what is open")

RULES = """
import mmap, os, shutil, sys

def held():
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink("/proc/self/fd/" + fd))
        except OSError:
            pass
    with open("/proc/self/maps", encoding="utf-8") as maps:
        found.update(line.split(maxsplit=5)[5].rstrip("\\n") for line in maps if len(line.split(maxsplit=5)) == 6)
    return found

def ruled(call, name):
    def refuse_what_is_open(*paths, **options):
        for path in paths:
            if isinstance(path, (str, os.PathLike)) and not options.get("dir_fd"):
                whole = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
                if whole in held() and os.path.isfile(whole):
                    REFUSED.append(f"{name} {whole}")
                    raise PermissionError(13, "The process cannot access the file", whole)
        return call(*paths, **options)
    return refuse_what_is_open

REFUSED = []
for name in ("unlink", "remove", "rename", "replace"):
    setattr(os, name, ruled(getattr(os, name), name))
shutil._use_fd_functions = False
del mmap.MADV_DONTNEED
"""


def like_windows(tmp_path: Path, *words: object) -> None:
    """Run a command: what it may not remove at once is scratch work, and that is gone when it has ended."""
    temporary = tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)
    code = f"{RULES}\nsys.argv = ['dedupkit', *{[*map(str, words)]!r}]\nfrom dedupkit.cli import main\n"
    code += "try:\n    main()\nfinally:\n    print(*map('refused: {}'.format, REFUSED), sep='\\n', file=sys.stderr)\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    refused = [line for line in done.stderr.splitlines() if line.startswith("refused: ")]
    assert [line for line in refused if "/scratch/" not in line and str(temporary) not in line] == []
    assert list(temporary.iterdir()) == []
    assert list(tmp_path.rglob("scratch/*")) == []


def test_clean_find_and_an_index_need_nothing_removed_that_is_open(tmp_path: Path) -> None:
    shards, out, index = tmp_path / "shards", tmp_path / "out", tmp_path / "index"
    write_shards(shards, shards=2, pictures=6)
    like_windows(tmp_path, "clean", shards, out)
    like_windows(tmp_path, "clean", shards, out, "--keep", "last", "--format", "webdataset")
    like_windows(tmp_path, "find", shards)
    like_windows(tmp_path, "index", "build", index, shards)
    like_windows(tmp_path, "index", "remove", index, "--key", "0000003")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_script_without_a_guard_may_use_workers_however_processes_start(tmp_path: Path, method: str) -> None:
    write_shards(tmp_path / "shards", shards=3, pictures=4)
    script = tmp_path / "script.py"
    script.write_text(
        f"import multiprocessing\nmultiprocessing.set_start_method({method!r})\nimport dedupkit\n"
        "recipe = dedupkit.Recipe(preset='fast')\n"
        "print(dedupkit.clean('shards', 'out', recipe=recipe, workers=2).summary['samples']['in'])\n"
        "print(dedupkit.find_duplicates('shards', recipe=recipe, workers=2).samples)\n",
        encoding="utf-8",
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=env, capture_output=True, encoding="utf-8", check=False, timeout=300
    )
    assert done.stdout.split() == ["33", "33"], done.stderr

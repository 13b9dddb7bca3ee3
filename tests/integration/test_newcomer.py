"""The ways in which a newcomer goes wrong, through the real command: one line on stderr that ends in a remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import draw_picture

ROOT = Path(__file__).resolve().parents[2]

WRONG = [
    ("clean nowhere out", "check its name in"),
    ("find foto", "did you mean photos?"),
    (r"find photos\cats", "as in photos/cats"),
    (r"find C:\photos\cats", "folders are separated by /"),
    ("find empty", "give a folder of images"),
    ("find set.zip", "unpack it"),
    ("find videos", "frames as images first"),
    ("find videos/a.mp4", "frames as images first"),
    ("find photos/a.png", "give its folder, photos"),
    ("clean photos/a.png out", "is one image"),
    ("find my photos", "put a path with spaces in quotes"),
    ("find ''", "an empty path names nothing"),
    ("clean photos ''", "an empty path"),
    ("clean photos photos/out", "name a folder outside of it"),
    ("clean photos .", "name a folder outside of it"),
    ("clean photos file.txt", "is a file"),
    ("clean photos file.txt/out", "name another folder"),
    ("clean photos /proc/out", "name another folder"),
    ("find mixed", "move the others"),
    ("celan photos out", "Did you mean 'clean'"),
    ("recipe chek", "Did you mean 'check'"),
    ("find photos --prest fast", "--preset"),
    ("find photos --preset fats", "did you mean fast?"),
    ("clean photos out --keep bset", "did you mean best?"),
    ("clean photos out --format parket", "did you mean parquet?"),
    ("clean photos out --engine lokal", "did you mean local?"),
    ("clean photos out --recipe finetun", "did you mean finetune?"),
    ("clean photos out --recipe typo.toml", "did you mean keep.policy?"),
    ("recipe init privcy", "did you mean privacy?"),
    ("calibrate photos --edits croped", "did you mean crop"),
    ("clean photos out --block image=never", "did you mean blocklist.images?"),
    ("find table.parquet --image-column pictur", "picture"),
    ("find photos --image-column x", "leave it out"),
    ("find photos --workers two", "see dedupkit find --help"),
    ("clean photos", "see dedupkit clean --help"),
    ("find gs://bucket/photos", "pip install 'dedupkit[gcs]'"),
    ("find foo://bucket", "check the URL"),
    ("remove photos --key a", "name the folder it wrote"),
    ("index query nope photos/a.png", "dedupkit index build"),
    ("demo file.txt", "name a new folder"),
    ("demo photos", "name a new folder"),
    ("plan foto", "did you mean photos?"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands where the newcomer works."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    here = tmp_path_factory.mktemp("newcomer")
    for name in ("photos", "empty", "videos", "mixed"):
        (here / name).mkdir()
    for name in ("photos/a.png", "photos/b.png", "mixed/a.png"):
        draw_picture(1, 64, 64).save(here / name)
    table = pa.table({"picture": [(here / "photos/a.png").read_bytes()], "text": ["a cat"]})
    for name in ("table.parquet", "mixed/set.parquet"):
        pq.write_table(table, here / name)
    with zipfile.ZipFile(here / "set.zip", "w") as archive:
        archive.write(here / "photos/a.png", "a.png")
    (here / "videos/a.mp4").write_bytes(b"")
    (here / "file.txt").write_text("mine", encoding="utf-8")
    (here / "typo.toml").write_text('[keep]\npolcy = "best"\n', encoding="utf-8")
    return here


# In one process, which starts once: what a run does to a process (signals, logging) is the business of test_cli.py.
RUNNER = """
import contextlib, io, json, shlex, sys
from dedupkit.cli import main

for line in json.loads(sys.stdin.read()):
    words = [word.replace("\\0", "\\\\") for word in shlex.split(line.replace("\\\\", "\\0"))]
    out, err, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["dedupkit", *words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, tuple[int, str, str]]:
    """Exit code, stdout and stderr of each."""
    import json

    before = sorted(folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([command for command, _ in WRONG]),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "DEDUPKIT_SUPERVISE": "0"},  # all in one process
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=300,
    )
    assert sorted(folder.rglob("*")) == before  # nothing was written
    answers = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    return dict(zip([command for command, _ in WRONG], answers, strict=True))


@pytest.mark.parametrize(("command", "remedy"), WRONG)
def test_what_goes_wrong_is_one_line_with_a_remedy(
    said: dict[str, tuple[int, str, str]], command: str, remedy: str
) -> None:
    if "gs://" in command and _is_installed("gcsfs"):
        pytest.skip("the extra is installed")
    code, stdout, stderr = said[command]
    assert (code, stdout) == (2, "")
    assert stderr.startswith("dedupkit")
    assert stderr.count("\n") == 1
    assert remedy in stderr
    assert "Traceback" not in stderr
    assert "Errno" not in stderr


def test_a_python_that_is_too_old_is_told_which_one_is_needed() -> None:
    old, env = shutil.which("python3.10"), os.environ | {"PYENV_VERSION": "3.10"}  # which pyenv's shims ask for
    if old is None or subprocess.run([old, "-c", ""], env=env, check=False, capture_output=True).returncode:
        pytest.skip("there is no older Python here")
    done = subprocess.run(
        [old, "-c", "import dedupkit"], env=env, cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1
    assert "dedupkit needs Python 3.11 or newer, this is 3." in done.stderr


def _is_installed(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None

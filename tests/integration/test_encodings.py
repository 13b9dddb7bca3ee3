"""Locales and consoles that are not UTF-8 change no byte of what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import draw_picture

ROOT = Path(__file__).resolve().parents[2]
CAPTION = "猫 “größe” café"

WATCHING = """
import sys, warnings
warnings.simplefilter("default", EncodingWarning)
warnings.simplefilter = lambda *arguments, **options: None  # the command turns warnings off where nobody looks
sys.argv[0] = "dedupkit"
from dedupkit.cli import main
main()
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        draw_picture(number // 2).save(folder / f"photo {number}.png")
    rows = [{"file_name": f"photo {number}.png", "text": f"{CAPTION} {number}"} for number in range(3)]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return folder


def run(*words: object, code: str = "", **env: str) -> subprocess.CompletedProcess[bytes]:
    start = ["-X", "warn_default_encoding", "-c", code] if code else ["-m", "dedupkit"]
    return subprocess.run(
        [sys.executable, *start, *map(str, words)],
        env={name: value for name, value in os.environ.items() if not name.startswith("LC_")}
        | env
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def usual(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written where all is UTF-8."""
    out = tmp_path_factory.mktemp("usual") / "out"
    assert run("clean", photos, out, PYTHONUTF8="1").returncode == 0
    return out


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_run_in_another_locale_writes_the_same(
    photos: Path, usual: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    other = tmp_path / "other"
    done = run("clean", photos, other, **env)
    assert done.returncode == 0, done.stderr
    for name in ("report.json", "recipe.toml", "report.html", "decisions.parquet"):
        assert (usual / name).read_bytes() == (other / name).read_bytes(), name
    found = run("find", photos, **env)
    assert b"1 duplicate groups" in found.stdout, found.stderr
    assert b"2.png" not in found.stdout


def test_no_text_is_read_or_written_in_an_encoding_that_is_guessed(photos: Path, tmp_path: Path) -> None:
    for words in (("clean", photos, tmp_path / "out"), ("recipe", "explain"), ("doctor", "--json")):
        done = run(*words, code=WATCHING)
        assert done.returncode == 0, done.stderr
        warned = [line for line in done.stderr.decode().splitlines() if "EncodingWarning" in line]
        assert [line for line in warned if f"{ROOT / 'dedupkit'}" in line] == []

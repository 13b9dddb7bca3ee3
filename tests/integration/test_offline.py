"""The commands where there is no network: they do their work, and nothing in them, native code included, tries one.
Nor do they leave anything in the home of who runs them.

A Linux namespace that has no interface but the loopback holds also what no Python hook sees.  Tries are counted by
Python's audit hooks and, where strace is found, at the system calls, so that one that fails and is hidden counts too.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests import offline
from tests.conftest import draw_picture
from tests.integration.conftest import write_shards

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not offline.possible(), reason="needs Linux with user namespaces, and unshare")

EVERY_RUN = (
    ("doctor",),
    ("clean", "shards", "out"),
    ("find", "shards"),
    ("check", "shards", "--max-duplicates", "90%", "--max-quarantined", "90%"),
)
MORE = (
    ("clean", "shards", "planted", "--canaries", "2"),
    ("canaries", "list", "planted.canaries.private.json"),
    ("canaries", "verify", "planted.canaries.private.json", "planted"),
    ("report", "out"),
    ("index", "build", "index", "shards"),
    ("index", "query", "index", "picture.png"),
    ("decontaminate", "shards", "apart", "--against", "other"),
    ("plan", "shards"),
    ("audit", "extraction", "models:noise", "--data", "out", "--captions", "3", "--images", "2", "--out", "audited"),
    ("recipe", "init"),
    ("demo", "demo"),
)
MODEL = """
import numpy as np

def noise(captions, seeds):
    return np.stack([np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8) for seed in seeds])
"""
# A connection by Python, and one by the C library, which no hook of Python sees.
LEAKS = """
import ctypes, socket, struct

try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError:
    pass
libc = ctypes.CDLL(None)
address = struct.pack("=H", socket.AF_INET) + struct.pack(">H", 80) + socket.inet_aton("192.0.2.2") + bytes(8)
libc.connect(libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0), address, 16)
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards, others, and a model."""
    folder = tmp_path_factory.mktemp("desk")
    write_shards(folder / "shards", shards=2, pictures=6)
    write_shards(folder / "other", shards=1, pictures=5)
    draw_picture(0).save(folder / "picture.png")
    (folder / "models.py").write_text(MODEL, encoding="utf-8")
    return folder


def test_tries_of_python_and_of_native_code_are_counted(tmp_path: Path) -> None:
    seen = offline.visit([sys.executable, "-c", LEAKS], tmp_path)
    addresses = {each.rpartition(" ")[2] for each in seen.tries}
    assert addresses == {"192.0.2.1", "192.0.2.2"} if offline.counts_native_code() else {"192.0.2.1"}


@pytest.mark.parametrize("words", EVERY_RUN, ids=lambda words: words[0])
def test_a_command_works_and_tries_no_network(desk: Path, words: tuple[str, ...]) -> None:
    _works_alone(desk, words)


@pytest.mark.offline
def test_every_other_command_works_and_tries_no_network(desk: Path) -> None:
    _works_alone(desk, EVERY_RUN[1])
    for words in MORE:
        _works_alone(desk, words)


def _works_alone(desk: Path, words: tuple[str, ...]) -> None:
    seen = offline.visit([sys.executable, "-m", "dedupkit", *words], desk)
    assert seen.code == 0, f"{' '.join(words)}\n{seen.said}"
    assert seen.tries == ()
    assert all(file.startswith(".cache/matplotlib") for file in seen.left)  # its list of fonts, for the audit's figures


@pytest.mark.offline
def test_the_unit_tests_pass_and_try_no_network(tmp_path: Path) -> None:
    chosen = ["-m", "not extras and not browser and not offline", "-p", "no:cacheprovider"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--rootdir",
        str(offline.ROOT),
        *chosen,
        str(offline.ROOT / "tests/unit"),
    ]
    seen = offline.visit(command, tmp_path, show=True, timeout_s=3600)
    assert seen.code == 0
    assert seen.tries == ()

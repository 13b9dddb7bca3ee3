"""Every code block of every page of the documentation runs, or says in a marker why it cannot."""

from __future__ import annotations

import re
import shutil
import warnings
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from dedupkit.demo import example_images, run_demo
from tests.docs_pages import PAGES, ROOT, Reader, as_typed, blocks, in_this_process
from tests.integration.conftest import write_shards

if TYPE_CHECKING:
    from pathlib import Path

PHOTOS = ("astronaut", "cell", "chelsea", "coffee", "rocket", "motorcycle-left")
NOT_RUN = 31
"""Blocks that carry a marker; one more is a decision, and not an oversight."""


@pytest.fixture(scope="session")
def belongings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take to be there: a few photos with copies, shards, reference sets, and what `demo` leaves."""
    home = tmp_path_factory.mktemp("reader")
    _photos(home / "photos", PHOTOS, copies=True)
    for name, shown in {"eval": PHOTOS[:2], "train": PHOTOS, "examples": PHOTOS[4:], "more": PHOTOS[3:4]}.items():
        _photos(home / name, shown)
    shutil.copy(example_images() / "photo-coffee.jpg", home / "picture.jpg")
    write_shards(home / "shards" / "first", shards=1, pictures=5)
    write_shards(home / "shards" / "second", shards=2, pictures=4)
    (home / "shards" / "second" / "00000.tar").unlink()
    image = (example_images() / "photo-rocket.jpg").read_bytes()
    pq.write_table(pa.table({"image": [image], "caption": ["a rocket"]}), home / "benchmark.parquet")
    (home / "SOURCE").symlink_to("photos")
    run_demo(home / "demo")
    return home


def _photos(folder: Path, names: tuple[str, ...], *, copies: bool = False) -> None:
    folder.mkdir()
    for name in names:
        with Image.open(example_images() / f"photo-{name}.jpg") as photo:
            small = ImageOps.cover(photo.convert("RGB"), (264, 264))
        small.save(folder / f"{name}.jpg", quality=90)
        (folder / f"{name}.txt").write_text(f"a picture called {name}", encoding="utf-8")
        if copies:
            ImageOps.mirror(small).save(folder / f"{name}-mirrored.jpg", quality=80)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(
    page: Path, belongings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(belongings, home, symlinks=True)
    monkeypatch.chdir(home)
    if page.name == "tutorial.md":
        shutil.rmtree("demo")
    if page.name == "training.md":
        (home / "clean").symlink_to("demo/clean")
    if page.name == "publishing.md":
        warnings.simplefilter("ignore")  # of the libraries below mlcroissant; pytest puts it back
    reader = Reader(as_typed if page.name == "tutorial.md" else in_this_process)
    for block in blocks(page):
        reader.follow(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_code_escapes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^\s*(?:```|~~~)", text, re.M)) == 2 * len(blocks(page))
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    assert re.findall(r"(?:\A|\n\n|^#[^\n]*\n)(?: {4}|\t)[^\n]+", prose, re.M) == []
    assert text.count("<!-- not run:") == sum(bool(block.reason) for block in blocks(page))


def test_few_blocks_cannot_run() -> None:
    marked = [f"{block.page}:{block.line} {block.reason}" for page in PAGES for block in blocks(page) if block.reason]
    assert len(marked) == NOT_RUN, "\n".join(marked)


def test_what_comments_say_is_what_comes_out() -> None:
    """Expressions that stand before ``# [``, ``# {``: their value is the comment."""
    names: dict[str, object] = {}
    claims = 0
    for block in blocks(ROOT / "docs/imagededup.md"):
        if block.language == "python" and not block.reason:
            exec(block.body, names)
            for expression, value in re.findall(r"^(\S.*?)\s+# ([\[{].*)$", block.body, re.M):
                assert eval(expression, names) == eval(value)
                claims += 1
    assert claims == 3

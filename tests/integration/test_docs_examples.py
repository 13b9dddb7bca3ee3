"""The Python in some pages of the documentation runs, from the first block of a page to its last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import draw_picture

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    "page",
    [
        "audit.md",
        "audit_models.md",
        "augmentation.md",
        "calibrate.md",
        "canaries.md",
        "captions.md",
        "check.md",
        "decontaminate.md",
        "extending.md",
        "hygiene.md",
        "imagededup.md",
        "interop.md",
        "object_stores.md",
        "index.md",
        "notebooks.md",
        "plan.md",
        "publishing.md",
        "review.md",
        "report.md",
        "streaming.md",
    ],
)
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_what_comments_say_is_what_comes_out() -> None:
    """Expressions that stand before ``# [``, ``# {``: their value is the comment."""
    names: dict[str, object] = {}
    claims = 0
    for block in re.findall(
        r"^```python\n(.*?)^```$", (DOCS / "imagededup.md").read_text(encoding="utf-8"), re.M | re.S
    ):
        exec(block, names)
        for expression, value in re.findall(r"^(\S.*?)\s+# ([\[{].*)$", block, re.M):
            assert eval(expression, names) == eval(value)
            claims += 1
    assert claims == 3


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        draw_picture(number // 2).save(tmp_path / "photos" / f"{number}.png")
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
        exec(compile(block, "README.md", "exec"), names)
    assert names["found"].groups == [["0.png", "1.png"]]
    assert names["result"].summary["samples"]["kept"] == 2
    assert len(text.splitlines()) < 60

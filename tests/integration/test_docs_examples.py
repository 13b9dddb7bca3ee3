"""The Python in some pages of the documentation runs, from the first block of a page to its last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
        "decontaminate.md",
        "hygiene.md",
        "imagededup.md",
        "object_stores.md",
        "kept_index.md",
        "plan.md",
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

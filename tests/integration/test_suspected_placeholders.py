"""A picture that stands over very many different captions is reported, and nothing is dropped for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dedupkit
from tests.conftest import draw_picture
from tests.integration.conftest import encoded

if TYPE_CHECKING:
    from pathlib import Path


def test_many_captions_over_one_picture_are_suspicious(tmp_path: Path) -> None:
    missing, painting = encoded(draw_picture(1)), encoded(draw_picture(2))
    samples = [{"key": f"m{n}", "image": missing, "caption": f"thing number {n + 10}"} for n in range(12)]
    samples += [{"key": f"p{n}", "image": painting, "caption": f"The painting{'!' * n}"} for n in range(12)]
    samples += [{"key": "single", "image": encoded(draw_picture(3)), "caption": "a single one"}]
    summary = dedupkit.clean(samples, tmp_path / "out").summary
    expected = {"groups": 1, "samples": 12, "largest": [{"key": "m0", "samples": 12, "captions": 12}]}
    assert summary["suspected_placeholders"] == expected
    assert "Suspected placeholders" in (tmp_path / "out" / "report.html").read_text()
    assert summary["samples"]["kept"] == 3

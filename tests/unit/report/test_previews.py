"""Pictures that checks took out: which are shown, and how the page shows them."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import dedupkit
from dedupkit.hygiene.checks import OPTION
from dedupkit.recipe import Recipe
from dedupkit.report.build import build_report
from dedupkit.report.previews import choose_previews, taken_out
from dedupkit.report.thumbnails import thumbnail
from dedupkit.sample import DECISIONS, Reason
from tests.conftest import draw_picture
from tests.unit.report.test_report import EXACT_SEARCH, HOSTILE, NO_CAPTION_FACTS, decision

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"width": 300, "height": 200, "darkest": 10, "brightest": 240, "blur": 0.3}
NEAREST_FIRST: dict[Reason, list[dict[str, float]]] = {
    Reason.TOO_SMALL: [{"height": 15}, {"width": 9}, {"height": 2}],
    Reason.EXTREME_ASPECT: [{"width": 2400}, {"height": 4000}, {"width": 9000}],
    Reason.BLANK: [{"darkest": 233}, {"darkest": 0, "brightest": 3}, {"darkest": 240}],
    Reason.DARK: [{"brightest": 39}, {"brightest": 20}, {"brightest": 11}],
    Reason.OVEREXPOSED: [{"darkest": 236}, {"darkest": 238}, {"darkest": 239}],
    Reason.BLURRED: [{"blur": 0.86}, {"blur": 0.9}, {"blur": 1.0}],
    Reason.ANIMATED: [{}, {}, {}],
    Reason.PLACEHOLDER: [{}, {}, {}],
}
SAID = {Reason.PLACEHOLDER: ["looks like a, 31 of 256 bits differ", "looks like b, 4 of 256 bits differ", "is c"]}


SENSITIVE = {
    Reason.FACES,
    Reason.DOCUMENT,
    Reason.NSFW,
    Reason.CHECKED_OUT,
    Reason.BAD_CAPTION,
}  # are never shown, or show nothing


@pytest.mark.parametrize("reason", [each for each in OPTION if each not in SENSITIVE])
def test_those_nearest_to_the_limit_are_shown_first(reason: Reason) -> None:
    order = (2, 0, 1) if reason is not Reason.ANIMATED else (0, 1, 2)  # where each stands in the set
    said = SAID.get(reason, [""] * 3)
    rows = [decision(place, reason, key=f"{rank}", detail=said[rank]) for rank, place in enumerate(order)]
    seen = [GOOD | {"position": place} | NEAREST_FIRST[reason][rank] for rank, place in enumerate(order)]
    decisions = pa.Table.from_pylist([*rows, decision(7)], schema=DECISIONS)
    measured = pa.Table.from_pylist([GOOD | {"position": 7}, *seen])
    (group,) = choose_previews([(taken_out(decisions), measured)], max_pictures=2)
    assert (group.reason, group.total) == (reason, 3)
    assert [picture.key for picture in group.pictures] == ["0", "1"]


def test_what_could_not_be_decoded_is_not_shown() -> None:
    decisions = pa.Table.from_pylist([decision(0, Reason.CORRUPT_IMAGE), decision(1)], schema=DECISIONS)
    assert taken_out(decisions).num_rows == 0


def test_the_page_shows_the_picture_its_key_and_what_was_seen_escaped() -> None:
    row = decision(3, Reason.BLURRED, key=HOSTILE, detail=f"blur is 0.91 {HOSTILE}")
    decisions = pa.Table.from_pylist([row], schema=DECISIONS)
    groups = choose_previews([(taken_out(decisions), pa.Table.from_pylist([GOOD | {"position": 3}]))])
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(buffer, "PNG")
    small = thumbnail(buffer.getvalue())
    assert small is not None
    page = build_report(
        decisions,
        {3: small},
        source="photos",
        recipe_toml=Recipe().dumps(),
        samples_written={},
        gallery=(),
        search=EXACT_SEARCH,
        captions=NO_CAPTION_FACTS,
        previews=groups,
    ).to_html()
    before, _, rest = page.partition("Pictures that checks took out")
    shown = rest.partition("Quarantined samples")[0]
    assert "max_blur" in shown
    assert "blur is 0.91 &lt;script&gt;" in shown
    assert base64.b64encode(small).decode() in shown
    assert page.count("<script") == 2  # the data, and what shows it
    assert "style=" not in page
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in before


def test_real_pictures_are_shown_up_to_eight_a_check(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10):
        draw_picture(number).resize((5 + number, 40)).save(folder / f"small{number}.png")
    dark = draw_picture(20).point(lambda level: level // 8)
    dark.save(folder / "dark.png")
    draw_picture(30).save(folder / "good.png")
    draw_picture(30).save(folder / "good copy.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    dedupkit.clean(str(folder), tmp_path / "out", recipe=Recipe(preset="fast"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    shown = page.partition("Pictures that checks took out")[2].partition("Quarantined samples")[0]
    keys = re.findall(r'class="key" title="([^"]+)"', shown)
    assert keys == [*(f"small{number}.png" for number in range(9, 1, -1)), "dark.png"]
    assert "10 taken out, 8 shown" in shown
    assert "the shorter side has 14 pixels, the least is 16" in shown
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', shown)
    assert len(pictures) == 9
    with Image.open(io.BytesIO(base64.b64decode(pictures[-1]))) as last:
        assert last.size == (112, 84)
        assert np.asarray(last).mean() == pytest.approx(np.asarray(dark).mean(), abs=3)

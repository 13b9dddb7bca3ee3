"""What goes into the page: safe, and within its limit."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.matching.stage import SearchFacts
from dedupkit.mitigation.stage import CaptionFacts
from dedupkit.recipe import Augment, Canaries, Recipe
from dedupkit.report.build import Report, build_report
from dedupkit.report.content import script_json
from dedupkit.report.facts import SampleFacts
from dedupkit.report.flow import bands, drawing, spoken
from dedupkit.report.gallery import choose
from dedupkit.report.summary import summarise
from dedupkit.sample import Reason
from tests.unit.report.test_report import decision, group, table

HOSTILE = "</script><!--<script>\u2028\u2029&amp;'\"\\ \ud800"


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_value_survives_a_script_element_and_cannot_end_it(value: Any) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_strings_from_the_web_cannot_leave_the_data() -> None:
    assert json.loads(script_json({HOSTILE: HOSTILE})) == {HOSTILE: HOSTILE}


def shown(groups: int, limit: int, recipe: Recipe | None = None, caption: str = "a caption") -> Report:
    rows = [row for number in range(groups) for row in group(number, 3 * number, 3)]
    decisions = table(*rows)
    facts = {
        row["position"]: SampleFacts(
            position=row["position"], key=row["key"], action=row["action"], reason=row["reason"], caption=caption
        )
        for row in rows
    }
    return build_report(
        decisions,
        dict.fromkeys(facts, b"\xff" * 2200),
        source="photos",
        recipe_toml=(recipe or Recipe()).dumps(),
        samples_written={},
        gallery=choose(decisions, max_groups=200, max_drawn=200),
        search=SearchFacts(31),
        captions=CaptionFacts(found={}),
        facts=facts,
        max_page_bytes=limit,
    )


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("limit", [1 << 20, 2 << 20, 8 << 20])
def test_the_page_keeps_its_limit_and_says_how_much_it_shows(limit: int) -> None:
    page = shown(900, limit).to_html()
    assert len(page.encode()) <= limit
    groups = data_of(page)["groups"]
    largest, drawn = (sum(each["d"] == kind for each in groups) for kind in (0, 1))
    if limit == 8 << 20:
        assert (largest, drawn) == (200, 200)
    assert f"the largest {largest} groups of 900" in page
    assert (f"and {drawn} drawn at random" in page) == (drawn > 0)


def test_a_small_set_is_shown_whole() -> None:
    page = shown(3, 8 << 20).to_html()
    assert len(data_of(page)["groups"]) == 3
    assert "All 3." in page


def test_captions_without_end_do_not_break_the_limit() -> None:
    page = shown(400, 1 << 20, caption="\u202e" * 300).to_html()
    assert len(page.encode()) <= 1 << 20


def test_the_drawing_adds_up_and_is_told_in_words() -> None:
    rows = [decision(0), *group(1, 1, 4), decision(9, Reason.BLURRED), decision(10, Reason.BLOCKED)]
    summary = summarise(table(*rows))
    assert [(band.words, band.count) for band in bands(summary)] == [
        ("kept", 2),
        ("exact copies dropped", 3),
        ("blocked", 1),
        ("quarantined", 1),
    ]
    assert spoken(summary).startswith("Of 7 samples that came in: 2 kept, 3 exact copies dropped")
    drawn = drawing(summary, width=1000, middle=300, changed=False)
    assert sum(float(row["height"]) for row in drawn["rows"]) == pytest.approx(float(drawn["all"]), abs=1)


def test_changed_pixels_and_canaries_are_told_as_far_as_the_recipe_tells() -> None:
    recipe = Recipe(augment=Augment(preset="paper"), canaries=Canaries(planted=12, controls=12))
    page = shown(1, 8 << 20, recipe).to_html()
    assert ", pixels changed</text>" in page
    assert "12 canaries were planted; which they are" in page
    assert "canaries were planted" not in shown(1, 8 << 20).to_html()

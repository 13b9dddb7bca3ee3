"""The report's page in a real browser, opened from disk as people do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import dedupkit
from dedupkit.recipe import Recipe
from tests.browser.pages import HOSTILE, large_set, report_of
from tests.conftest import draw_picture
from tests.integration.conftest import encoded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import Opener

pytestmark = pytest.mark.browser

GROUPS = 28 + len(HOSTILE)
CARDS = "#group-list .group-card"


def said(page: Any, place: str) -> str:
    return str(page.locator(place).inner_text())


def drop_first(page: Any) -> str:
    """Mark the first kept sample as one to drop; its key."""
    figure = page.locator(f"{CARDS} figure.kept").first
    figure.get_by_role("button").click()
    return str(figure.locator(".key").inner_text())


def test_search_looks_into_keys_and_captions(opened: Opener, page_file: Path) -> None:
    page = opened(page_file)
    assert said(page, "#groups-result") == f"{GROUPS} of {GROUPS} groups"
    page.get_by_label("Key or caption").fill("CAT 4")
    assert said(page, "#groups-result") == f"1 of {GROUPS} groups"
    page.get_by_label("Key or caption").fill("photo-07")
    assert page.locator(CARDS).count() == 1
    page.get_by_label("Key or caption").fill("nothing is called this")
    assert page.locator(CARDS).count() == 0
    assert "reset the filters" in said(page, "#groups-result")
    page.get_by_role("button", name="Reset", exact=True).click()
    page.wait_for_function(f"document.querySelector('#groups-result').textContent.startsWith('{GROUPS} of')")


@pytest.mark.parametrize(
    ("label", "choice", "groups"),
    [
        ("Proven by", "near hash", 9),
        ("Proven by", "edited, proven by geometry", 9),
        ("Outcome", "Exact copy", 10 + len(HOSTILE)),
        ("Copies", "3", 2),
        ("Which", "the largest", GROUPS),
        ("Which", "drawn at random", 0),
    ],
)
def test_filters_leave_the_groups_that_fit(
    opened: Opener, page_file: Path, label: str, choice: str, groups: int
) -> None:
    page = opened(page_file)
    page.get_by_role("combobox", name=label, exact=True).select_option(label=choice)
    words = said(page, "#groups-result")
    assert words.startswith(f"{groups} of" if groups else "No group")


def test_the_slider_of_similarity_leaves_groups_with_weak_copies(opened: Opener, page_file: Path) -> None:
    page = opened(page_file)
    page.locator("#weakest").fill("60")
    assert said(page, "#weakest-is") == "60 %"
    assert said(page, "#groups-result") == f"3 of {GROUPS} groups"  # scores 0.52, 0.55 and 0.58
    page.locator("#order").select_option("weakest")
    assert "photo-02-0.jpg" in said(page, f"{CARDS} >> nth=0")


def test_groups_are_paged(opened: Opener, page_file: Path) -> None:
    page = opened(page_file)
    assert page.locator(CARDS).count() == 12
    pager = page.locator("#group-pager")
    assert "Page 1 of 3" in pager.inner_text()
    for _ in range(3):  # past the end
        pager.get_by_role("button", name="Next").press("Enter")
    assert "Page 3 of 3" in pager.inner_text()
    assert page.locator(CARDS).count() == GROUPS - 24


def test_the_limits_slider_tells_which_pairs_change_sides(opened: Opener, page_file: Path) -> None:
    page = opened(page_file)
    result = "#limit-result"
    assert "of the 17 pairs here none changes sides" in said(page, result)
    page.locator("#limit").fill("0.4")
    assert "min_score = 0.40" in said(page, result)
    assert "4 pairs more would be copies" in said(page, result)  # 0.49, 0.465, 0.44 and 0.415
    page.locator("#limit").fill("0.6")
    assert "3 pairs would be none any more" in said(page, result)
    assert page.locator("#pair-list .verdict.other").count() == 3
    page.get_by_role("button", name="Back to the recipe's").click()
    assert "none changes sides" in said(page, result)
    page.get_by_label("Bits that differ").check()
    page.locator("#limit").fill("10")
    assert "max_hamming_bits = 10" in said(page, result)
    assert "5 pairs would be none any more" in said(page, result)  # 13, 16, 19, 22 and 25


def test_marks_are_saved_as_overrides_and_loaded_again(opened: Opener, page_file: Path, tmp_path: Path) -> None:
    page = opened(page_file)
    page.get_by_label("Key or caption").fill("photo-04")
    page.get_by_role("button", name="Not a copy: photo-04-1.jpg").first.click()
    page.get_by_role("button", name="Undo group: photo-04-0.jpg").click()
    page.get_by_label("Key or caption").fill("photo-05")
    page.get_by_role("button", name="Drop: photo-05-0.jpg").first.click()
    assert said(page, "#marks-count") == "3 marks"
    page.get_by_role("button", name="List", exact=True).click()
    page.get_by_label("Note on photo-05-0.jpg").fill("ugly")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save overrides.json").click()
    assert download.value.suggested_filename == "overrides.json"
    download.value.save_as(tmp_path / "overrides.json")
    saved = json.loads((tmp_path / "overrides.json").read_text())
    assert saved == {
        "dedupkit_overrides": 1,
        "overrides": [
            {"key": "photo-04-1.jpg", "action": "keep"},
            {"key": "photo-04-0.jpg", "action": "keep_group"},
            {"key": "photo-05-0.jpg", "action": "drop", "note": "ugly"},
        ],
    }
    other = opened(page_file)  # another browser, that knows nothing
    assert said(other, "#marks-count") == "No marks yet"
    other.locator("#file").set_input_files(tmp_path / "overrides.json")
    other.wait_for_function("document.querySelector('#marks-count').textContent.startsWith('3 marks')")
    other.get_by_label("Key or caption").fill("photo-04")
    pressed = other.locator(f"{CARDS} button[aria-pressed=true]")
    assert sorted(pressed.all_inner_texts()) == ["Not a copy", "Undo group"]
    with other.expect_download() as again:
        other.get_by_role("button", name="Save overrides.json").click()
    again.value.save_as(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == saved


def test_marks_outlast_a_reload_and_are_taken_back(opened: Opener, page_file: Path) -> None:
    page = opened(page_file)
    key = drop_first(page)
    page.get_by_role("button", name="Not a copy").nth(0).click()
    page.reload()
    assert said(page, "#marks-count") == "2 marks"
    page.get_by_role("button", name="Take back", exact=True).click()
    assert said(page, "#marks-count") == "1 mark"
    page.get_by_role("button", name="List", exact=True).click()
    page.locator("#marks-list").get_by_role("button", name=f"Take back: {key}").click()
    assert said(page, "#marks-count") == "No marks yet"
    assert page.locator("button[aria-pressed=true]").count() == 0


def test_a_mark_shows_wherever_its_sample_stands(opened: Opener, page_file: Path) -> None:
    page = opened(page_file)
    page.get_by_label("Key or caption").fill("photo-02")
    page.locator(CARDS).get_by_role("button", name="Not a copy: photo-02-1.jpg").click()
    assert page.get_by_role("button", name="Not a copy: photo-02-1.jpg", pressed=True).count() == 2
    page.locator("#filters").get_by_label("Which").select_option("marked")
    assert page.locator(CARDS).count() == 1


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"dedupkit_overrides": 2, "overrides": []}', '{"dedupkit_overrides": 1, "overrides": [{"key": 1}]}'],
)
def test_other_files_are_refused_and_change_nothing(opened: Opener, page_file: Path, tmp_path: Path, text: str) -> None:
    page = opened(page_file)
    drop_first(page)
    (tmp_path / "other.json").write_text(text)
    page.locator("#file").set_input_files(tmp_path / "other.json")
    page.wait_for_function("document.querySelector('#marks-count').textContent.includes('no file of overrides')")
    page.get_by_role("button", name="Take back", exact=True).click()
    assert said(page, "#marks-count") == "No marks yet"


def test_names_and_captions_of_strangers_are_text(opened: Opener, page_file: Path) -> None:
    page = opened(page_file)  # a dialog, an error or a request would end the test
    for number, hostile in enumerate(HOSTILE):
        page.get_by_label("Key or caption").fill(f"copy {number}{hostile}"[:60])
        assert page.locator(CARDS).count() == 1, hostile[:30]
        key = page.locator(f"{CARDS} figure.kept .key").text_content()
        assert f"{number}{hostile}".startswith(key.rstrip("…"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("script").count() == 2
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("width", [375, 760, 1280])
def test_nothing_stands_out_of_the_page(opened: Opener, page_file: Path, width: int) -> None:
    page = opened(page_file, viewport={"width": width, "height": 800})
    page.get_by_label("Key or caption").fill("x" * 50)
    page.locator(f"{CARDS} figure.kept").get_by_role("button").first.click()
    page.get_by_role("button", name="List", exact=True).click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = """[...document.querySelectorAll('main *, aside *')].filter(each =>
        each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('pre, svg, .unseen, bdi')
    ).map(each => each.outerHTML.slice(0, 90))"""
    assert page.evaluate(wide) == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 375), ("dark", 1280)])
def test_axe_finds_nothing(opened: Opener, page_file: Path, scheme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(page_file, color_scheme=scheme, viewport={"width": width, "height": 900})
    drop_first(page)
    page.get_by_role("button", name="List", exact=True).click()
    page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true })")
    found = Axe().run(page).response
    wrong = [(each["id"], [node["html"][:120] for node in each["nodes"]][:3]) for each in found["violations"]]
    assert wrong == []


def test_every_control_is_reached_by_keyboard_and_shows_the_focus(opened: Opener, page_file: Path) -> None:
    page = opened(page_file, viewport={"width": 1280, "height": 900})
    reachable = """all => all.filter(each => each.offsetParent && each.tabIndex >= 0 && !each.disabled
        && !(each.type === 'radio' && !each.checked)).length"""
    wanted = page.locator("a[href], button, input, select, summary").evaluate_all(reachable)
    seen, blank = set(), []
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        at = page.evaluate("""() => { const each = document.activeElement; if (each === document.body) return null;
            const all = [...document.querySelectorAll('*')]; const box = each.getBoundingClientRect();
            const bar = document.querySelector('.marks').getBoundingClientRect();
            return [all.indexOf(each), getComputedStyle(each).outlineStyle,
                    each.closest('.marks') !== null || box.top < bar.top, each.outerHTML.slice(0, 80)]; }""")
        if at is None:
            break
        seen.add(at[0])
        blank += [at] if at[1] == "none" or not at[2] else []
    assert blank == []
    assert len(seen) >= wanted
    page.locator("#groups-title").click()
    page.locator(f"{CARDS} button").first.focus()
    page.keyboard.press("Space")
    assert said(page, "#marks-count") == "1 mark"


def test_without_scripts_numbers_flow_and_the_first_groups_are_there(opened: Opener, page_file: Path) -> None:
    page = opened(page_file, java_script_enabled=False)
    assert "Samples in" in said(page, ".numbers")
    assert page.locator(".flow svg:visible").count() == 1
    assert page.locator(CARDS).count() == 12
    assert "No script runs here" in said(page, "noscript")
    assert page.locator("#filters").is_hidden()
    assert page.locator(".marks").is_hidden()


def processor_seconds(page: Any) -> float:
    """What the page's process has taken until now; what else is at work on this machine does not count."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    measured = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return float(measured["ProcessTime"])


def test_a_hundred_thousand_samples_open_in_three_seconds(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_of(large_set(100_000)).to_html(), encoding="utf-8")
    assert path.stat().st_size <= 8 << 20
    page = opened(path)
    page.wait_for_selector(f"{CARDS} button.mark")
    assert processor_seconds(page) < 3
    assert "the largest 100 groups of" in said(page, "#groups")
    assert "and 60 drawn at random" in said(page, "#groups")
    assert said(page, "#groups-result") == "160 of 160 groups"
    assert page.locator("*").count() < 5000
    assert "The first 1,000 of 2,000" in said(page, "#quarantined")


def test_the_page_of_a_real_run_is_the_same_in_the_browser(opened: Opener, tmp_path: Path) -> None:
    photos = [{"key": f"p{n}{HOSTILE[n]}", "image": encoded(draw_picture(n)), "caption": HOSTILE[-n]} for n in range(3)]
    photos.append(photos[1] | {"key": "twin"})
    dedupkit.clean(photos, tmp_path / "out", recipe=Recipe(preset="fast"))
    page = opened(tmp_path / "out" / "report.html")
    assert page.locator(CARDS).count() == 1
    assert page.locator(f"{CARDS} img").count() == 2
    loaded = "all => all.every(each => each.complete && each.naturalWidth > 0)"
    assert page.locator("img").evaluate_all(loaded)

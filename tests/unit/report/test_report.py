from __future__ import annotations

import io
import json
import re
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from dedupkit.errors import RunError
from dedupkit.matching.stage import SearchFacts
from dedupkit.mitigation.stage import CaptionFacts
from dedupkit.recipe import Recipe
from dedupkit.report.build import Report, build_report
from dedupkit.report.gallery import choose
from dedupkit.report.summary import summarise
from dedupkit.report.thumbnails import thumbnail
from dedupkit.report.words import NOTES, REASONS
from dedupkit.sample import DECISIONS, Note, Reason

HOSTILE = "<script>alert(1)</script>\" onerror='x' \u202e{{ 7*7 }}"


def decision(position: int, reason: Reason = Reason.UNIQUE, **changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(DECISIONS.names) | {
        "position": position,
        "key": f"k{position}",
        "shard": "0.tar",
        "action": reason.action.value,
        "reason": reason.value,
        "group_size": 1,
    }
    return row | changes


def group(number: int, first: int, members: int, **changes: Any) -> list[dict[str, Any]]:
    common = {"group": number, "group_size": members}
    dropped = common | {"kept_key": f"k{first}", "tier": "exact"} | changes
    return [
        decision(first, Reason.REPRESENTATIVE, **common),
        *(decision(first + n, Reason.EXACT_DUPLICATE, **dropped) for n in range(1, members)),
    ]


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=DECISIONS)


EXACT_SEARCH = SearchFacts(31)
NO_CAPTION_FACTS = CaptionFacts(found={})


def built(
    decisions: pa.Table,
    recipe: Recipe | None = None,
    thumbnails: dict[int, bytes] | None = None,
    search: SearchFacts = EXACT_SEARCH,
    captions: CaptionFacts = NO_CAPTION_FACTS,
) -> Report:
    return build_report(
        decisions,
        thumbnails or {},
        source="photos",
        recipe_toml=(recipe or Recipe()).dumps(),
        samples_written={"arrow": 3},
        gallery=choose(decisions),
        search=search,
        captions=captions,
    )


@pytest.fixture
def decisions() -> pa.Table:
    near = {"tier": "perceptual", "kept_key": "k4", "group": 9, "group_size": 2}
    seen = {"hamming_bits": 12, "orientation": "mirrored left-right", "trimmed": "this"}
    return table(
        decision(0, notes=["caption_missing"]),
        *group(7, 1, 3),
        decision(4, Reason.REPRESENTATIVE, group=9, group_size=2),
        decision(5, Reason.PERCEPTUAL_DUPLICATE, evidence=seen, **near),
        decision(6, Reason.TRUNCATED_IMAGE, detail="file ends early", notes=["caption_missing", "animated"]),
    )


def test_the_counts_add_up(decisions: pa.Table) -> None:
    content = built(decisions).to_json()
    assert content["samples"] == {"in": 7, "kept": 3, "dropped": 3, "quarantined": 1}
    assert list(content["reasons"]) == [reason.value for reason in Reason]
    assert {reason: n for reason, n in content["reasons"].items() if n} == {
        "unique": 1,
        "representative": 2,
        "exact_duplicate": 2,
        "perceptual_duplicate": 1,
        "truncated_image": 1,
    }
    assert content["notes"]["caption_missing"] == 2
    assert {tier: n for tier, n in content["tiers"].items() if n} == {"exact": 2, "perceptual": 1}
    assert content["groups"] == {"count": 2, "largest": 3, "samples_in_groups": 5, "sizes": {"2": 1, "3": 1}}
    assert content["quarantined"] == [
        {"key": "k6", "shard": "0.tar", "reason": "truncated_image", "detail": "file ends early"}
    ]
    assert content["written"] == {"arrow": 3}


def test_evidence_is_told_in_words(decisions: pa.Table) -> None:
    groups = built(decisions).to_json()["largest_groups"]
    assert [member["evidence"] for member in groups[0]["members"]] == [None, "same bytes", "same bytes"]
    assert groups[1]["members"][1]["evidence"] == "12 of 256 bits differ, mirrored left-right, frame trimmed"


def test_bits_are_those_of_the_hash_in_the_recipe(decisions: pa.Table) -> None:
    report = built(decisions, Recipe.loads('[matching]\nhash = "phash"'))
    assert "12 of 64 bits differ" in report.to_html()


def test_a_report_is_the_same_each_time(decisions: pa.Table) -> None:
    one, two = built(decisions), built(decisions)
    assert json.dumps(one.to_json()) == json.dumps(two.to_json())
    assert one.to_html() == two.to_html()


def test_nothing_in_gives_a_report() -> None:
    report = built(table())
    assert report.to_json()["samples"] == {"in": 0, "kept": 0, "dropped": 0, "quarantined": 0}
    assert "no copies found" in report.to_html()


@pytest.mark.parametrize(
    "row",
    [
        decision(0, action="lost"),
        decision(0, action=None),
        decision(0, action="drop"),
        decision(0) | {"reason": "whim"},
    ],
    ids=["unknown action", "no action", "reason of another action", "unknown reason"],
)
def test_counts_that_do_not_add_up_end_the_run(row: dict[str, Any]) -> None:
    with pytest.raises(RunError, match="bug in dedupkit"):
        summarise(table(decision(1), row))


def test_quarantined_samples_are_listed_up_to_a_thousand() -> None:
    report = built(table(*(decision(n, Reason.NOT_AN_IMAGE) for n in range(1500))))
    assert [row["key"] for row in report.to_json()["quarantined"]] == [f"k{n}" for n in range(1000)]
    assert "The first 1,000 of 1,500" in report.to_html()


def test_the_largest_groups_are_chosen_and_of_equals_the_first() -> None:
    decisions = table(*group(5, 0, 2), *group(1, 10, 4), *group(2, 20, 2), *group(3, 30, 2))
    assert [found.group for found in choose(decisions, max_groups=3, max_drawn=0)] == [1, 5, 2]


def test_kept_members_are_shown_first() -> None:
    rows = group(1, 0, 5)
    rows[3] |= {"action": "keep", "reason": "spare_copy", "kept_key": None}
    (found,) = choose(table(*rows), max_members=3)
    assert found.positions == (0, 3, 1)
    assert found.members_total == 5


def test_what_comes_from_the_web_is_escaped() -> None:
    rows = [row | {"key": HOSTILE, "shard": HOSTILE} for row in group(1, 0, 2)]
    page = built(table(*rows, decision(9, Reason.CORRUPT_IMAGE, key=HOSTILE, detail=HOSTILE))).to_html()
    assert re.findall("<script[^>]*>", page) == [
        '<script type="application/json" id="data">',
        '<script type="text/javascript">',
    ]
    assert "{{ 7*7 }}" in page  # not a template
    assert page.count("&lt;script&gt;") >= 4


def test_the_page_loads_nothing_from_elsewhere(decisions: pa.Table) -> None:
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "JPEG")
    page = built(decisions, thumbnails={1: image.getvalue()}).to_html()
    assert "default-src 'none'" in page
    urls = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [url[:5] for url in urls if not url.startswith("#")] == ["data:"]
    assert "http" not in page.partition("<body>")[2]
    assert "style=" not in page  # the policy would refuse it


def test_every_reason_and_note_has_words() -> None:
    assert list(REASONS) == list(Reason)
    assert list(NOTES) == list(Note)


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def test_a_thumbnail_is_upright_small_and_without_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees for show
    exif[0x010E] = "secret"
    data = encoded(Image.new("RGB", (400, 200), "red"), "JPEG", exif=exif, comment=b"secret", icc_profile=b"secret")
    small = thumbnail(data, side=64)
    assert small is not None
    assert b"secret" not in small
    shown = Image.open(io.BytesIO(small))
    assert shown.size == (32, 64)
    assert "exif" not in shown.info


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_a_thumbnail_of_every_mode(mode: str) -> None:
    made = thumbnail(encoded(Image.new(mode, (300, 200)), "TIFF" if mode == "CMYK" else "PNG"))
    assert made is not None
    assert Image.open(io.BytesIO(made)).size == (112, 75)


def test_sixteen_bits_keep_their_brightness() -> None:
    made = thumbnail(encoded(Image.new("I;16", (64, 64), 40_000), "PNG"))
    assert made is not None
    assert Image.open(io.BytesIO(made)).convert("L").getpixel((9, 9)) == pytest.approx(40_000 / 257, abs=2)


def test_transparency_stands_on_white() -> None:
    made = thumbnail(encoded(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG"))
    assert made is not None
    assert Image.open(io.BytesIO(made)).getpixel((20, 20)) == (255, 255, 255)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xd8\xff\xe0 cut"])
def test_what_is_no_image_has_no_thumbnail(data: bytes) -> None:
    assert thumbnail(data) is None


def test_what_an_approximate_search_may_have_missed_is_said(decisions: pa.Table) -> None:
    search = {
        "max_hamming_bits": 24,
        "neighbour_recall": 0.9932,
        "capped_neighbours": 1203,
        "verified_pairs": 5000,
    }
    report = built(decisions, search=SearchFacts(24, 0.9932, 1203, 5000))
    assert report.to_json()["search"] == search
    page = report.to_html()
    assert "99.32 %" in page
    assert "1,203 samples have more near descriptors than were listed" in page
    assert "max_neighbours" in page
    assert "near descriptors" not in built(decisions).to_html()


def test_captions_are_counted_in_words_and_escaped() -> None:
    facts = CaptionFacts(
        found={"email": 3, "html": 0},
        changed=3,
        repeated=1,
        repeated_samples=12,
        most_repeated=({"caption": "<b>Frog</b>", "pictures": 12},),
    )
    report = built(table(decision(0)), captions=facts)
    page = report.to_html()
    assert "<b>3</b> e-mail addresses" in page
    assert "stand over several pictures, 12 samples" in page
    assert "&lt;b&gt;Frog&lt;/b&gt;" in page
    assert "<b>0</b>" not in page
    assert json.loads(json.dumps(report.to_json()))["captions"]["found"]["email"] == 3

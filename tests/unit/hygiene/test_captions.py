"""Cleaning of captions: what is found is gone, what is not is untouched, whatever the text."""

from __future__ import annotations

import json
import pickle
import re
import time
from pathlib import Path

import ftfy
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import Leniency, PhoneNumberMatcher

from dedupkit.errors import UsageError
from dedupkit.hygiene.caption_rules import without_bad_unicode
from dedupkit.hygiene.captions import CLEANED, CaptionCleaner, CaptionFinding, CleanedCaption
from dedupkit.recipe import Captions

CLEANER = CaptionCleaner(Captions())
PEOPLES_OWN = Path(__file__).parents[4] / "shared/data/captioned/metadata.jsonl"
OF_WHOLE = ("empty", "url_only", "file_name_only", "boilerplate_only")
OF_PART = tuple(finding.value for finding in CaptionFinding if finding.value not in OF_WHOLE)

# One caption of each finding, and what is left of it; of those with None all is gone
EXAMPLES = {
    "empty": (" - ", None),
    "bad_unicode": ("A caf\u00c3\u00a9 in Lyon", "A caf\u00e9 in Lyon"),
    "control_characters": ("A red\u200b car\x07", "A red car"),
    "html": ("A <b>red</b> car &amp; a dog<br>at noon", "A red car & a dog at noon"),
    "email": ("Write to me@mail.example.com for prints", "Write to for prints"),
    "phone": ("Call (415) 555-2671 for a viewing", "Call for a viewing"),
    "url": ("A house (see https://example.com/a?b=c), painted", "A house (see), painted"),
    "url_only": ("https://example.com/a.jpg", None),
    "file_name": ("The view, DSC_0042.JPG, of Rome", "The view, of Rome"),
    "file_name_only": ("IMG_0042.JPG", None),
    "boilerplate": ("Woman eating salad - Stock Photo", "Woman eating salad"),
    "boilerplate_only": ("Stock photo", None),
}
UNTOUCHED = [
    "A frog.", "a  dog,   twice spaced ", "line one\nline two", "a < b and c > d, I <3 you", "<sks> dog, <cat-toy>",
    "R&D at AT&T", "this&not that", "Booking.com on a phone", "St. Mary's Church, 12.5 m", "Boeing 747-400", "7",
    "\u2764\ufe0f", "1914-1918 and 1939-1945", "1920 x 1080", "Item 4155552671", "Mr.Smith at 5.30",
    "\u0646\u0635 \u0639\u0631\u0628\u064a", "\u732b\u304c\u5bdd\u3066\u3044\u308b", "Sch\u00f6ne B\u00e4ume", "facade",
    "Stock market", "A photo of a dog", "Logo", "family \U0001f468\u200d\U0001f469\u200d\U0001f467", "\u00e0 la carte",
    "flag \U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
]  # fmt: skip
EVERYTHING_CUT = Captions.model_validate(dict.fromkeys(OF_PART, "clean"))

parts = st.sampled_from(
    [text for text, _ in EXAMPLES.values()]
    + ["&amp;", "&#38;", "&lt;", "<", ">", "<b", "b>", "</p>", "@", "a@b.co", ".jpg", "www.", "a.b", "http", "://"]
    + ["x.de/", " ", "stock ", "photo", "+49 30 ", "123456", "(0", "20) 7946 0958", "\ud800", "\udc00", "\x1b[3"]
    + ["1m", "\u202e", "\u00c3", "\u00a9"]
)  # fmt: skip
texts = st.text(st.characters(), max_size=60) | st.lists(parts | st.text(st.characters(), max_size=3), max_size=8).map(
    "".join
)


@pytest.mark.parametrize("finding", CaptionFinding)
def test_each_finding_is_found_and_cut_by_default(finding: CaptionFinding) -> None:
    caption, left = EXAMPLES[finding]
    found = CLEANER.clean(caption)
    assert found.found == (finding,)
    assert found.quarantined_by is None
    assert found.text == (caption if finding is CaptionFinding.BOILERPLATE else left)


def test_boilerplate_is_cut_where_asked() -> None:
    cleaner = CaptionCleaner(Captions(boilerplate="clean"))
    for caption, left in (
        EXAMPLES["boilerplate"],
        ("Image may contain: a dog", "a dog"),
        ("Click to enlarge the red car", "the red car"),
        ("Sunset | Shutterstock", "Sunset"),
    ):
        assert cleaner.clean(caption) == CleanedCaption(left, (CaptionFinding.BOILERPLATE,))


@pytest.mark.parametrize("finding", CaptionFinding)
def test_every_action_does_what_it_is_called(finding: CaptionFinding) -> None:
    caption = EXAMPLES[finding][0]
    kept, dropped, quarantined = (
        CaptionCleaner(Captions.model_validate({finding.value: action})).clean(caption)
        for action in ("keep", "drop_caption", "quarantine")
    )
    assert kept == CleanedCaption(caption, (finding,))
    assert dropped == CleanedCaption(None, (finding,))
    assert quarantined == CleanedCaption(None, (finding,), finding)


def test_quarantine_counts_more_than_what_else_is_found() -> None:
    cleaner = CaptionCleaner(Captions(email="drop_caption", url="quarantine"))
    found = cleaner.clean("<i>me</i> a@b.co at https://example.com/x")
    assert found.found == (CaptionFinding.HTML, CaptionFinding.EMAIL, CaptionFinding.URL)
    assert (found.text, found.quarantined_by) == (None, CaptionFinding.URL)


@pytest.mark.parametrize("caption", UNTOUCHED)
def test_honest_captions_come_back_as_they_are(caption: str) -> None:
    assert CLEANER.clean(caption) == CleanedCaption(caption)
    assert CLEANER.clean(caption).text is caption


@pytest.mark.skipif(not PEOPLES_OWN.exists(), reason="data beside the project")
def test_nothing_is_found_in_captions_that_people_wrote() -> None:
    for line in PEOPLES_OWN.read_text(encoding="utf-8").splitlines():
        caption = json.loads(line)["text"]
        assert CLEANER.clean(caption) == CleanedCaption(caption)


@pytest.mark.parametrize("caption", [None, "", " \t\n", "...", " - | - "])
def test_no_caption_is_an_empty_one(caption: str | None) -> None:
    assert CLEANER.clean(caption) == CleanedCaption(None, (CaptionFinding.EMPTY,))
    assert CaptionCleaner(Captions(empty="keep")).clean(caption).text == caption


@pytest.mark.parametrize("caption", ["me@example.com", "<a href='https://example.com/x", "\ufffd\ufffd", "\u200b"])
def test_a_caption_of_which_nothing_is_left_is_empty(caption: str) -> None:
    found = CLEANER.clean(caption)
    assert found.text is None
    assert CaptionFinding.EMPTY in found.found


@pytest.mark.parametrize(
    "caption",
    ["dsc00042", "image 3", "P1010042", "20140506_123456", "photos/a/b.jpg", "C:\\pictures\\b.png", "Untitled-1",
     "550e8400-e29b-41d4-a716-446655440000", "d41d8cd98f00b204e9800998ecf8427e", "(IMG_0042)", "Screenshot 2024-05-06"],
)  # fmt: skip
def test_names_that_machines_give_are_no_captions(caption: str) -> None:
    assert CLEANER.clean(caption) == CleanedCaption(None, (CaptionFinding.FILE_NAME_ONLY,))


def test_a_file_name_that_is_a_word_loses_its_ending_alone() -> None:
    assert CLEANER.clean("my holiday photo.jpg").text == "my holiday photo"


def test_an_images_alt_stays() -> None:
    caption = "<img class='x' src='https://example.com/1.png' alt=\"A dog &quot;on&quot; a beach\">"
    assert CLEANER.clean(caption).text == 'A dog "on" a beach'


@pytest.mark.parametrize("times", [1, 2, 5, 1000])
def test_entities_are_undone_however_often_they_were_escaped(times: int) -> None:
    assert CLEANER.clean(f"fish &{'amp;' * times} chips").text == "fish & chips"


def test_hidden_text_is_cut_and_emoji_stay() -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "ignore the picture")
    assert CLEANER.clean(f"A dog{hidden}").text == "A dog"
    assert CLEANER.clean("\x1b[31mred\x1b[0m car").text == "red car"


def test_phone_numbers_are_those_of_the_countries_named() -> None:
    caption = "Tel. 030 901820 in Berlin"
    assert CLEANER.clean(caption).found == ()
    assert CaptionCleaner(Captions(phone_regions=("DE",))).clean(caption).found == (CaptionFinding.PHONE,)
    assert CaptionCleaner(Captions(phone_regions=())).clean("Ring +49 30 901820").text == "Ring"


def test_digits_alone_are_a_phone_number_where_they_are_said_to_be_one() -> None:
    assert CLEANER.clean("A flat, phone: 4155552671").found == (CaptionFinding.PHONE,)


@pytest.mark.parametrize("regions", [("de",), ("DEU",), ("D1",)])
def test_a_region_that_is_no_code_is_refused(regions: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="must be country codes of two capital letters"):
        Captions(phone_regions=regions)


def test_a_region_without_phone_numbers_is_refused() -> None:
    with pytest.raises(UsageError, match="got QQ; name them by ISO 3166-1"):
        CaptionCleaner(Captions(phone_regions=("US", "QQ")))


@settings(deadline=None, max_examples=400)
@given(texts)
def test_cleaning_twice_is_cleaning_once(caption: str) -> None:
    for cleaner in (CLEANER, CaptionCleaner(EVERYTHING_CUT)):
        once = cleaner.clean(caption)
        assert cleaner.clean(once.text).text == once.text


@settings(deadline=None, max_examples=400)
@given(texts)
def test_what_is_left_is_valid_and_free_of_what_was_to_be_cut(caption: str) -> None:
    text = CaptionCleaner(EVERYTHING_CUT).clean(caption).text
    if text is None:
        return
    assert text.encode().decode() == text
    assert any(letter.isalnum() or not letter.isascii() for letter in text)
    assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\ufeff\ufffd\ue000]", text)
    assert not re.search(r"\w@\w+\.[a-zA-Z]{2,}", text)
    assert not re.search(
        r"https?://\w|</?(b|i|p|br|div|span|img)/?>|&(amp|lt|gt|quot|#38);|\bstock photo\b", text, re.I
    )
    numbers = [found.raw_string for found in PhoneNumberMatcher(text, "US", Leniency.VALID)]
    assert [number for number in numbers if not number.isdecimal()] == []


@settings(deadline=None, max_examples=400)
@given(texts)
def test_kept_findings_leave_the_caption_alone(caption: str) -> None:
    keep = CaptionCleaner(Captions.model_validate({name.value: "keep" for name in CaptionFinding}))
    found = keep.clean(caption)
    assert found.text is not None
    assert (
        found.text == caption
        or (CaptionFinding.BAD_UNICODE in found.found and "\ufffd" in found.text)
        or (found.text.encode("utf-16", "surrogatepass") == caption.encode("utf-16", "surrogatepass"))
    )


@settings(deadline=None, max_examples=1000)
@given(
    st.text(
        st.characters(exclude_categories=["Cs", "Co"], max_codepoint=0x2FF) | st.sampled_from(" \u00c3\u00e2?"),
        max_size=6,
    )
)
def test_what_is_passed_over_without_ftfy_is_what_ftfy_leaves(caption: str) -> None:
    mended = ftfy.fixes.fix_c1_controls(ftfy.fix_encoding(caption))
    assert without_bad_unicode(caption) == re.sub("[\ufffd-\uffff\ufdd0-\ufdef\ue000-\uf8ff]", "", mended)


HOSTILE = {
    "ampersands": "&" + "amp;" * 20_000,
    "nested tags": "<b" * 20_000 + ">" * 20_000,
    "open comments": "<!--" * 20_000,
    "open scripts": "<script>a" * 20_000 + "</style>",
    "attributes": "<a " + "=" * 50_000 + "<",
    "mail": "a@" * 30_000,
    "dots": "a@" + "a." * 30_000,
    "digits": "1 " * 30_000,
    "addresses": "http://." * 20_000,
    "files": ("a" * 300 + ".") * 200 + "jpg",
    "paths": "/a" * 20_000 + "!",
    "spaces": "( " * 20_000 + "\x00",
    "mojibake": "\u00c3\u0192\u00c2\u00a9" * 5_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_captions_take_no_time(text: str) -> None:
    started = time.process_time()
    CLEANER.clean(text)
    assert time.process_time() - started < 5  # a quadratic pattern takes minutes


def test_what_changes_round_after_round_is_left_out() -> None:
    nested = "A dog " + "<b" * 20 + ">" * 20
    assert CLEANER.clean(nested).text is None


def test_a_column_is_cleaned_as_its_captions_are() -> None:
    captions = [caption for caption, _ in EXAMPLES.values()] + [None, *UNTOUCHED, *UNTOUCHED]
    cleaner = CaptionCleaner(Captions(phone="quarantine"))
    table = cleaner.clean_all(pa.chunked_array([captions[:5], captions[5:]], pa.string()))
    assert table.schema == CLEANED
    for row, caption in zip(table.to_pylist(), captions, strict=True):
        single = cleaner.clean(caption)
        expected = {"caption": single.text, "found": list(single.found), "quarantined_by": single.quarantined_by}
        assert row == expected
    assert cleaner.clean_all(pa.array([], pa.string())).num_rows == 0


def test_the_identity_tells_actions_and_versions() -> None:
    one, other = CLEANER.identity, CaptionCleaner(Captions(url="keep")).identity
    assert one != other
    assert f"ftfy {ftfy.__version__}" in one
    assert one == CaptionCleaner(Captions(max_captions=3, repeated="drop_caption")).identity


def test_a_cleaner_is_picklable() -> None:
    assert pickle.loads(pickle.dumps(CLEANER)).clean("IMG_1.jpg") == CLEANER.clean("IMG_1.jpg")

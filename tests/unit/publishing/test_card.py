"""Words of a card: ranges, licences, and text that must not become markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedupkit.publishing.card import escaped, fenced, size_category
from dedupkit.publishing.licenses import license_id, license_url


@given(st.integers(0, 10**14))
def test_a_size_lies_in_the_range_that_is_named(samples: int) -> None:
    number = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
    ends = [
        int(end[:-1]) * number[end[-1]] for end in size_category(samples).replace(">", "<").split("<") if end != "n"
    ]
    if samples < 1000 or samples >= 10**12:
        assert ends == [1000 if samples < 1000 else 10**12]
    else:
        assert ends[0] <= samples < ends[1] == 10 * ends[0]


@given(st.text())
def test_escaped_text_is_one_line_without_html(text: str) -> None:
    shown = escaped(text)
    assert not set("<>\n\r") & set(shown)
    assert shown.count("`") == shown.count("\\`")


@given(st.text(alphabet="`ab\n"))
def test_nothing_in_a_block_ends_it(text: str) -> None:
    fence, *inside, last = fenced(text).split("\n")
    assert fence == last
    assert not any(line.startswith(fence) for line in inside)


@pytest.mark.parametrize(
    ("named", "id", "url"),
    [
        ("CC-BY-SA-4.0", "cc-by-sa-4.0", "https://spdx.org/licenses/CC-BY-SA-4.0.html"),
        ("ODC-By-1.0", "odc-by", "https://spdx.org/licenses/ODC-By-1.0.html"),
        ("GPL-3.0-only", "gpl-3.0", "https://spdx.org/licenses/GPL-3.0-only.html"),
        ("openrail", "openrail", None),
    ],
)
def test_licences_are_known_by_both_names(named: str, id: str, url: str | None) -> None:
    assert license_id(named) == id
    assert license_url(id, None) == url
    assert license_url(id, "https://example.org/terms") == "https://example.org/terms"


def test_an_unknown_licence_is_answered_with_one_that_is_near() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'cc-by-4\.0'"):
        license_id("cc-by-4")

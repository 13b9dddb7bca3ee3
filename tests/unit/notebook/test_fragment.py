"""Pieces of HTML for notebooks: hostile text, and nothing loaded from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser

from dedupkit.notebook.fragment import Card, Fragment, Row, Shown, Table

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e$x$'


class Parsed(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def hostile() -> Fragment:
    return Fragment(
        title=HOSTILE,
        facts=[(HOSTILE, HOSTILE)],
        tables=(Table(("key", HOSTILE), ((HOSTILE, HOSTILE), (HOSTILE, 0.5))),),
        rows=(Row(HOSTILE, (Card(name=HOSTILE, words=HOSTILE, picture=b"jpeg", mark="kept"),), HOSTILE),),
        notes=[HOSTILE],
        hints=[(HOSTILE, HOSTILE)],
    )


def test_a_strangers_text_is_text() -> None:
    parsed = Parsed(hostile().html())
    assert [tag for tag, _ in parsed.tags if tag == "script"] == []
    assert [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")] == []
    assert parsed.words.count("<script>alert(1)</script>") == 14
    assert "\x1b" not in parsed.words
    assert "\u202e" not in parsed.words


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = hostile().html()
    sources = [attributes["src"] or "" for tag, attributes in Parsed(html).tags if "src" in attributes]
    assert [source.partition(",")[0] for source in sources] == ["data:image/jpeg;base64"]
    assert "url(" not in html
    assert "@import" not in html
    assert "http" not in html


def test_formulas_in_names_are_left_alone_by_a_notebook() -> None:
    assert "tex2jax_ignore" in str(Parsed(hostile().html()).tags[0][1]["class"])


def test_the_style_concerns_the_cell_alone() -> None:
    html = hostile().html()
    style = html[html.index("<style>") + 7 : html.index("</style>")]
    selectors = [selector for rule in style.split("}")[:-1] for selector in rule.partition("{")[0].split(",")]
    assert all(selector.strip().startswith(".dedupkit-cell") for selector in selectors)


def test_a_terminal_gets_a_few_lines_and_no_control_characters() -> None:
    text = repr(Shown(hostile()))
    assert len(text.splitlines()) == 4
    assert "\x1b" not in text

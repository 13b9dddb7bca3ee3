"""A piece of HTML for a notebook: nothing is loaded from elsewhere, everything is escaped, colours are its own."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from dedupkit.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A picture with its name.

    Attributes
    ----------
    name : str
        Key of the sample.
    words : str
        What is known of it.
    picture : bytes or None
        A JPEG; a blank is shown where there is none.
    mark : {"kept", "dropped", ""}
        What becomes of it.
    """

    name: str
    words: str = ""
    picture: bytes | None = None
    mark: Literal["kept", "dropped", ""] = ""

    @property
    def uri(self) -> str | None:
        """The picture as a data: URI."""
        return None if self.picture is None else f"data:image/jpeg;base64,{base64.b64encode(self.picture).decode()}"


@dataclass(frozen=True, slots=True)
class Row:
    """Cards side by side under a heading, with a line below."""

    heading: str
    cards: tuple[Card, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells under heads; the first column is words, numbers stand right.  A float in [0, 1] gets a bar."""

    heads: tuple[str, ...]
    cells: tuple[tuple[str | float, ...], ...]
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What a cell shows, from top to bottom.

    Attributes
    ----------
    title : str
        What it is.
    facts : sequence of (str, str)
        The main numbers, each with what it counts.
    tables : sequence of Table
        Numbers in full.
    rows : sequence of Row
        Pictures.
    notes : sequence of str
        What a reader should know.
    hints : sequence of (str, str)
        Code to go on with, each with what it does.
    """

    title: str
    facts: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()
    rows: Sequence[Row] = ()
    notes: Sequence[str] = ()
    hints: Sequence[tuple[str, str]] = ()

    def html(self) -> str:
        """The piece of HTML, with its own style."""
        return str(_template().render(fragment=self))

    def text(self) -> str:
        """A few lines for a terminal: title and numbers, notes, what to do next."""
        facts = ", ".join(f"{value} {label}" for value, label in self.facts)
        lines = [f"{self.title}: {facts}" if facts else self.title, *(f"  {note}" for note in self.notes)]
        if self.hints:
            lines.append("  next: " + ", ".join(code for code, _ in self.hints))
        return "\n".join(map(printable, lines))


class Shown:
    """Something to look at: a notebook shows it where a cell ends with it.

    Parameters
    ----------
    fragment : Fragment
        What is shown.
    """

    def __init__(self, fragment: Fragment) -> None:
        self.fragment = fragment

    def _repr_html_(self) -> str:
        return self.fragment.html()

    def __repr__(self) -> str:
        rows = [f"  {row.heading}: " + ", ".join(card.name for card in row.cards) for row in self.fragment.rows]
        return "\n".join([self.fragment.text(), *map(printable, rows)])


@lru_cache(maxsize=1)
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dedupkit.notebook"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["visible"] = printable
    return environment.get_template("fragment.html.j2")

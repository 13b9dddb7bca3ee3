"""What goes to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text from the web without what steers a terminal.

    Examples
    --------
    >>> printable("red \\x1b[31m")
    'red \\ufffd[31m'
    """
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)

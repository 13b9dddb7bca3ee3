"""What counts as a caption, and how its text is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dedupkit.sample import Note

if TYPE_CHECKING:
    from collections.abc import Iterable

CAPTION_NAMES = ("caption", "text", "TEXT", "captions", "prompt", "description", "title", "alt")
_SURROGATE = re.compile("[\ud800-\udfff]")  # Python's mark of bytes that are no text


def caption_name(names: Iterable[str]) -> str | None:
    """Which of some columns or entries holds captions, by its name; None where none is called so."""
    present = set(names)
    return next((name for name in CAPTION_NAMES if name in present), None)


def caption_of(value: Any) -> tuple[str | None, tuple[Note, ...]]:
    """The caption that a text file, a table's cell or a JSON entry holds, and what is odd about it.

    Of a list, the first item counts.  What is not valid UTF-8 is replaced by U+FFFD.

    Examples
    --------
    >>> caption_of(b"caf\\xc3\\xa9")
    ('café', ())
    >>> caption_of("")
    ('', (<Note.CAPTION_MISSING: 'caption_missing'>,))
    """
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    if value is None:
        return None, (Note.CAPTION_MISSING,)
    text, whole = utf8_text(value)
    notes = () if whole else (Note.CAPTION_NOT_UTF8,)
    return text, notes if text.strip() else (*notes, Note.CAPTION_MISSING)


def caption_of_file(data: bytes) -> tuple[str | None, tuple[Note, ...]]:
    """The caption in a text file: as `caption_of`, less a byte order mark and the line break at the end."""
    return caption_of(data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"))


def utf8_text(value: Any) -> tuple[str, bool]:
    """A value as text that UTF-8 can hold, and whether nothing had to be replaced."""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        try:
            return data.decode(), True
        except UnicodeDecodeError:
            return data.decode("utf-8", "replace"), False
    text = _SURROGATE.sub("\ufffd", str(value))
    return text, text == str(value)

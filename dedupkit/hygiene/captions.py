"""Captions that are none, and what no caption should hold: found, counted, and cleaned by rule."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import pyarrow as pa

from dedupkit.errors import UsageError
from dedupkit.hygiene import caption_rules as rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from dedupkit.recipe import Captions

STAGE = "captions/1"
_MAX_ROUNDS = 8  # honest captions take one or two; more are nested to get something through


class CaptionFinding(StrEnum):
    """What may be wrong with a caption: a closed list, each named like its option in the recipe's ``[captions]``."""

    EMPTY = "empty"
    BAD_UNICODE = "bad_unicode"
    CONTROL_CHARACTERS = "control_characters"
    HTML = "html"
    EMAIL = "email"
    PHONE = "phone"
    URL = "url"
    URL_ONLY = "url_only"
    FILE_NAME = "file_name"
    FILE_NAME_ONLY = "file_name_only"
    BOILERPLATE = "boilerplate"
    BOILERPLATE_ONLY = "boilerplate_only"


if TYPE_CHECKING:
    _Cutter = tuple[CaptionFinding, Callable[[str], str], bool]  # what it cuts, and whether that is to be cut

_ORDER = tuple(CaptionFinding)
CLEANED = pa.schema(
    {
        "caption": pa.string(),  # null where none is left
        "found": pa.list_(pa.string()),  # values of CaptionFinding
        "quarantined_by": pa.string(),  # null where the sample may stay
    }
)


@dataclass(frozen=True, slots=True)
class CleanedCaption:
    """A caption after its cleaning.

    Attributes
    ----------
    text : str or None
        The very caption, if nothing was to be cleaned; None where none is left.  Always valid in UTF-8.
    found : tuple of CaptionFinding
        Everything that was found, each once, in the order of the list, whatever became of it.
    quarantined_by : CaptionFinding or None
        The first finding for which the sample has to go.
    """

    text: str | None
    found: tuple[CaptionFinding, ...] = ()
    quarantined_by: CaptionFinding | None = None


class CaptionCleaner:
    """Cleans captions as a recipe's ``[captions]`` says.

    A caption is gone over until nothing more is found in it, so that what comes out is not changed by a second
    cleaning.  One that after 8 rounds still changes was nested to get something through; it is left out.  Lone
    surrogates, which no file can hold, become U+FFFD even where bad Unicode is kept.

    Parameters
    ----------
    options : Captions
        An action for each finding.

    Raises
    ------
    UsageError
        If one of `phone_regions` is no country that phone numbers are known of.

    Notes
    -----
    Time is linear in the length of a caption: about 20 microseconds for an ordinary one of five words in English, 35
    for one with many letters beyond ASCII, 100 to 300 for one that may hold a phone number.

    Examples
    --------
    >>> from dedupkit.recipe import Captions
    >>> cleaner = CaptionCleaner(Captions())
    >>> cleaner.clean("A caf\\u00c3\\u00a9 in <b>Lyon</b> &amp; its owner (me@example.com)").text
    'A café in Lyon & its owner'
    >>> cleaner.clean("DSC_0042.JPG")
    CleanedCaption(text=None, found=(<CaptionFinding.FILE_NAME_ONLY: 'file_name_only'>,), quarantined_by=None)
    """

    def __init__(self, options: Captions) -> None:
        self.options = options
        self._action: dict[CaptionFinding, str] = {each: getattr(options, each) for each in CaptionFinding}
        self._known_regions()
        self._characters = self._cutters(
            (CaptionFinding.BAD_UNICODE, rules.without_bad_unicode),
            (CaptionFinding.HTML, rules.without_html),
            (CaptionFinding.CONTROL_CHARACTERS, rules.without_control_characters),
        )
        addresses = frozenset({CaptionFinding.URL, CaptionFinding.FILE_NAME})
        self._wholes = (
            (CaptionFinding.URL_ONLY, rules.is_url, addresses),
            (CaptionFinding.FILE_NAME_ONLY, rules.is_file_name, addresses),
            (CaptionFinding.BOILERPLATE_ONLY, rules.is_boilerplate, frozenset({CaptionFinding.BOILERPLATE})),
        )
        self._parts = self._cutters(
            (CaptionFinding.EMAIL, rules.without_email),
            (CaptionFinding.URL, rules.without_url),
            (CaptionFinding.FILE_NAME, rules.without_file_name),
            (CaptionFinding.PHONE, partial(rules.without_phone, regions=options.phone_regions)),
            (CaptionFinding.BOILERPLATE, rules.without_boilerplate),
        )

    @property
    def identity(self) -> str:
        """All that decides what a caption becomes: version of the rules, of the libraries they use, and actions."""
        names = [*CaptionFinding, "phone_regions"]
        packages = [f"{name} {version(name)}" for name in ("ftfy", "phonenumbers")]
        return ", ".join([STAGE, *packages, *(f"{name} {getattr(self.options, name)}" for name in names)])

    def clean(self, caption: str | None) -> CleanedCaption:
        """Find and do what the options say; raises nothing, whatever the caption."""
        found: set[CaptionFinding] = set()
        text = self._settled(_utf8(caption, found), found) if caption is not None else None
        return self._judged(text, found, none=caption is None)

    def clean_all(self, captions: pa.Array | pa.ChunkedArray) -> pa.Table:
        """Clean a column.

        Parameters
        ----------
        captions : pyarrow.Array or ChunkedArray of string

        Returns
        -------
        pyarrow.Table
            One row a caption, in the schema `CLEANED`.

        Notes
        -----
        A caption that stands there many times is cleaned once.
        """
        known: dict[str | None, CleanedCaption] = {}
        rows = []
        for caption in captions.to_pylist():
            if caption not in known:
                known[caption] = self.clean(caption)
            rows.append(known[caption])
        columns = [
            [row.text for row in rows],
            [[str(each) for each in row.found] for row in rows],
            [row.quarantined_by and str(row.quarantined_by) for row in rows],
        ]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, CLEANED, strict=True)]
        return pa.table(arrays, schema=CLEANED)

    def _cutters(self, *cutters: tuple[CaptionFinding, Callable[[str], str]]) -> tuple[_Cutter, ...]:
        return tuple((finding, cut, self._action[finding] != "keep") for finding, cut in cutters)

    def _settled(self, text: str, found: set[CaptionFinding]) -> str | None:
        """The caption when nothing more is to be cut; empty where it goes as a whole."""
        for _ in range(_MAX_ROUNDS):
            before, text = text, self._round(text, found)
            if text == before:
                return text
        return None

    def _round(self, text: str, found: set[CaptionFinding]) -> str:
        before = text
        text = _cut(text, self._characters, found, frozenset())
        whole, contained = self._as_a_whole(text)
        if whole:
            found.add(whole)
            if self._action[whole] != "keep":
                return ""
        text = _cut(text, self._parts, found, contained)
        return text if text == before else rules.tidied(text)

    def _as_a_whole(self, text: str) -> tuple[CaptionFinding | None, Set[CaptionFinding]]:
        """What a caption is and nothing else, and what is not looked for in one that is kept all the same."""
        return next(((whole, parts) for whole, fits, parts in self._wholes if fits(text)), (None, frozenset()))

    def _judged(self, text: str | None, found: set[CaptionFinding], *, none: bool) -> CleanedCaption:
        whole_goes = text == "" and any(whole in found for whole, *_ in self._wholes)
        if none or (text is not None and not rules.is_read(text) and not whole_goes):
            found.add(CaptionFinding.EMPTY)
        listed = tuple(each for each in _ORDER if each in found) if found else ()
        quarantined_by = next((each for each in listed if self._action[each] == "quarantine"), None)
        if whole_goes or any(self._action[each] in ("drop_caption", "quarantine") for each in listed):
            text = None
        return CleanedCaption(text, listed, quarantined_by)

    def _known_regions(self) -> None:
        if not self.options.phone_regions:
            return
        from phonenumbers import SUPPORTED_REGIONS

        unknown = sorted(set(self.options.phone_regions) - SUPPORTED_REGIONS)
        if unknown:
            raise UsageError(
                f"phone_regions must be countries that have phone numbers, got {', '.join(unknown)}; "
                "name them by ISO 3166-1, such as DE"
            )


def _utf8(caption: str, found: set[CaptionFinding]) -> str:
    """A caption that UTF-8 can hold."""
    try:
        caption.encode()
    except UnicodeEncodeError:
        found.add(CaptionFinding.BAD_UNICODE)
        return caption.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # pairs become what they mean
    return caption


def _cut(text: str, cutters: Sequence[_Cutter], found: set[CaptionFinding], passed_over: Set[CaptionFinding]) -> str:
    """What the cutters leave of a text."""
    for finding, cut, is_cut in cutters:
        without = text if finding in passed_over else cut(text)
        if without is not text and without != text:
            found.add(finding)
            text = without if is_cut else text
    return text

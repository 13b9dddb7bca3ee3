"""``[captions]``: what becomes of captions."""

from __future__ import annotations

from string import Formatter
from typing import Literal

from pydantic import Field, field_validator

from dedupkit.recipe.part import RecipePart

_TEMPLATE_FIELDS = frozenset({"caption", "key", "width", "height"})
_OfPart = Literal["clean", "keep", "drop_caption", "quarantine"]
_OfWhole = Literal["keep", "drop_caption", "quarantine"]


class Captions(RecipePart):
    """What becomes of captions that hold what none should, that copies had, and that stand over several pictures.

    "clean" takes what was found out of the caption, "keep" counts it only, "drop_caption" leaves the sample without a
    caption, "quarantine" takes the sample out of the set.

    Attributes
    ----------
    empty : "keep", "drop_caption" or "quarantine"
        No caption, or none with a letter, digit or symbol, be it that cleaning left nothing.
    bad_unicode : "clean", "keep", "drop_caption" or "quarantine"
        UTF-8 read as something else, which is mended; U+FFFD, private and never assigned characters, which are cut.
    control_characters : "clean", "keep", "drop_caption" or "quarantine"
        Control and invisible characters and terminal escapes, but not line breaks, nor what scripts and emoji need.
    html : "clean", "keep", "drop_caption" or "quarantine"
        Tags, comments and entities of HTML; the text stays, and so does that of an image's alt.
    email : "clean", "keep", "drop_caption" or "quarantine"
        E-mail addresses.
    phone : "clean", "keep", "drop_caption" or "quarantine"
        Phone numbers that could be dialled, as they are written in `phone_regions` or internationally.
    phone_regions : tuple of str
        Countries (ISO 3166-1, two capital letters) whose national way of writing phone numbers is looked for.
    url : "clean", "keep", "drop_caption" or "quarantine"
        Addresses of pages and files among other words.
    url_only : "keep", "drop_caption" or "quarantine"
        Captions that are an address and nothing else.
    file_name : "clean", "keep", "drop_caption" or "quarantine"
        Names of files among other words; of those that are a plain word, the ending alone is cut.
    file_name_only : "keep", "drop_caption" or "quarantine"
        Captions that are a file's, camera's or counter's name and nothing else: ``IMG_0042``, ``a/b.jpg``, ``image 3``.
    boilerplate : "clean", "keep", "drop_caption" or "quarantine"
        Phrases of agencies and web pages among other words: "stock photo", "click to enlarge".
    boilerplate_only : "keep", "drop_caption" or "quarantine"
        Captions that are such phrases or placeholders and nothing else: "Image", "no alt text", "null".
    merge : bool
        Give each sample that stays the captions of its dropped copies too, so that training can draw one each time
        (Somepalli et al. 2023, arXiv 2305.20086).
    max_captions : int
        How many captions a sample then has, its own among them.
    repeated : "report", "template" or "drop_caption"
        What becomes of captions that stand over `min_repeats` or more different pictures: counted only, rewritten by
        `template`, or left out.
    min_repeats : int
        Over how many different pictures a caption has to stand to count as repeated.
    template : str
        A rewritten caption, made of {caption}, {key}, {width} and {height}; one of the last three has to be in it.
    """

    empty: _OfWhole = "drop_caption"
    bad_unicode: _OfPart = "clean"
    control_characters: _OfPart = "clean"
    html: _OfPart = "clean"
    email: _OfPart = "clean"
    phone: _OfPart = "clean"
    phone_regions: tuple[str, ...] = ("US", "GB")
    url: _OfPart = "clean"
    url_only: _OfWhole = "drop_caption"
    file_name: _OfPart = "clean"
    file_name_only: _OfWhole = "drop_caption"
    boilerplate: _OfPart = "keep"
    boilerplate_only: _OfWhole = "drop_caption"
    merge: bool = True
    max_captions: int = Field(default=20, ge=1)
    repeated: Literal["report", "template", "drop_caption"] = "report"
    min_repeats: int = Field(default=2, ge=2)
    template: str = "{caption} ({width} x {height})"

    @field_validator("phone_regions")
    @classmethod
    def _regions_are_codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(len(each) == 2 and each.isascii() and each.isalpha() and each.isupper() for each in value):
            raise ValueError('must be country codes of two capital letters, such as "DE"')
        return value

    @field_validator("template")
    @classmethod
    def _template_tells_pictures_apart(cls, value: str) -> str:
        parts = list(Formatter().parse(value))  # raises ValueError for a brace without its other
        names = {name for _, name, _, _ in parts if name is not None}
        if any(spec or conversion for _, _, spec, conversion in parts) or not names <= _TEMPLATE_FIELDS:
            raise ValueError("must hold no fields but {caption}, {key}, {width} and {height}, each as it stands here")
        if names <= {"caption"}:
            raise ValueError("must hold {key}, {width} or {height}; else what is rewritten repeats as before")
        return value

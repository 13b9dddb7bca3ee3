"""``[card]``: what is said of an emitted set that only its owner knows."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from dedupkit.publishing.licenses import OTHER, license_id
from dedupkit.recipe.part import RecipePart

_LANGUAGE = re.compile(r"[a-z]{2,3}")


class Card(RecipePart):
    """What the dataset card beside an emitted set says that dedupkit cannot know; see docs/publishing.md.

    Attributes
    ----------
    title : str or None
        What the set is called.
    description : str or None
        What it is, in Markdown.
    license : str or None
        Of the set, by its SPDX id or the Hub's: "CC-BY-4.0", "cc0-1.0", "other".
    license_link : str or None
        Where its text stands; "other" needs it.
    languages : tuple of str
        Of the captions, as ISO 639 codes: "en", "de".
    homepage : str or None
        URL of the set's own page.
    creators : tuple of str
        Who made it.
    citation : str or None
        How to cite it, in BibTeX.
    origin : str or None
        Where the pictures come from, in words; the last part of the source's path, or its URL, where nothing is said.
    contact : str or None
        Whom to ask, by URL or address, for a picture to be taken down.
    version : str
        Of the set: three numbers, as semantic versioning has them.
    published : str or None
        The day, such as "2026-11-30"; no date is put there unasked, so that equal runs give equal bytes.
    croissant : bool or "auto"
        Write Croissant metadata beside Parquet.  It needs ``dedupkit[croissant]``; "auto" does without where that is
        missing, and the card says so.
    """

    title: str | None = None
    description: str | None = None
    license: str | None = None
    license_link: str | None = None
    languages: tuple[str, ...] = ()
    homepage: str | None = None
    creators: tuple[str, ...] = ()
    citation: str | None = None
    origin: str | None = None
    contact: str | None = None
    version: str = "1.0.0"
    published: str | None = None
    croissant: bool | Literal["auto"] = "auto"

    @field_validator("license")
    @classmethod
    def _license_is_known(cls, value: str | None) -> str | None:
        return None if value is None else license_id(value)

    @field_validator("languages")
    @classmethod
    def _languages_are_codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(_LANGUAGE.fullmatch, value)):
            raise ValueError('must be ISO 639 codes of two or three small letters, such as "en"')
        return value

    @field_validator("homepage", "license_link")
    @classmethod
    def _links_are_urls(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s<>()\"]+", value):
            raise ValueError("must be a URL that begins with https:// or http://")
        return value

    @field_validator("version")
    @classmethod
    def _version_is_semantic(cls, value: str) -> str:
        if not re.fullmatch(r"\d+\.\d+\.\d+", value):
            raise ValueError('must be three numbers with dots between, such as "1.0.0"')
        return value

    @field_validator("published", mode="before")
    @classmethod
    def _published_is_a_day(cls, value: Any) -> Any:
        try:
            return value if value is None else date.fromisoformat(str(value)).isoformat()  # TOML has dates of its own
        except ValueError:
            raise ValueError("must be a day, such as 2026-11-30") from None

    @model_validator(mode="after")
    def _other_licences_are_linked(self) -> Self:
        if self.license == OTHER and self.license_link is None:
            raise ValueError('license = "other" needs license_link, the URL where its text stands')
        return self

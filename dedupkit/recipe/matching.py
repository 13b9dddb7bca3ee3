"""``[matching]`` and ``[keep]``: what a pair is, and who of a group stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dedupkit.recipe.part import RecipePart

_MAX_PHASH_BITS = 15


class Matching(RecipePart):
    """When two samples are a pair.

    Attributes
    ----------
    hash : "pdq" or "phash"
        The perceptual hash that is compared.
    max_hamming_bits : int or "auto"
        Largest Hamming distance of a pair.  "auto" starts at 31 of 256 bits for PDQ (Meta's recommendation) or 6 of
        64 for pHash and narrows as the set grows, so that chance pairs stay rare.
    turned : bool
        Also match mirrored and quarter-turned copies.
    min_pdq_quality : int
        Images below it are matched by their exact bytes only; Meta discards 49 and below.
    min_luminance_entropy : float
        Hashes of images below this many bits (of 5) are not compared: flat drawings, letters, blanks.
    min_cosine : float
        The floor: pairs of descriptors from here on are candidates, which geometry accepts or refuses.  0.96 where the
        source brings its own descriptors and nothing is said.
    sure_cosine : float
        Pairs of near hashes whose descriptors are at least as near as this need no geometry.
    max_neighbours : int
        How many nearest descriptors are looked at first; longer lists are followed up to 1,024.
    verify : "geometry" or "none"
        What makes a candidate a pair: "geometry", or "none" to take every one from `min_cosine` on, which is
        semantic deduplication unless the floor is high.  "none" where the source brings its own descriptors.
    min_score : float
        What geometry's evidence has to reach, in [0, 1].
    look_alikes : "report" or "drop"
        What becomes of pairs at `min_look_alike_cosine` or more that geometry refuses: burst shots, the same product,
        the same template.  "drop" treats them as copies.
    min_look_alike_cosine : float
        From where on a refused pair counts as look-alike.
    """

    hash: Literal["pdq", "phash"] = "pdq"
    max_hamming_bits: int | Literal["auto"] = "auto"
    turned: bool = True
    min_pdq_quality: int = Field(default=50, ge=0, le=100)
    min_luminance_entropy: float = Field(default=2.1, ge=0, le=5)
    min_cosine: float = Field(default=0.5, ge=0, le=1)
    sure_cosine: float = Field(default=0.6, ge=0, le=1)
    max_neighbours: int = Field(default=32, ge=1, le=1024)
    verify: Literal["geometry", "none"] = "geometry"
    min_score: float = Field(default=0.5, ge=0, le=1)
    look_alikes: Literal["report", "drop"] = "report"
    min_look_alike_cosine: float = Field(default=0.75, ge=0, le=1)

    @field_validator("max_hamming_bits")
    @classmethod
    def _radius_is_searchable(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 0 <= value <= 63:
            raise ValueError(f"must be in [0, 63], got {value}; wider radii match unrelated images")
        return value

    @model_validator(mode="after")
    def _radius_fits_the_hash(self) -> Self:
        if self.hash == "phash" and isinstance(self.max_hamming_bits, int) and self.max_hamming_bits > _MAX_PHASH_BITS:
            raise ValueError(
                f"max_hamming_bits must be in [0, {_MAX_PHASH_BITS}] for phash, got {self.max_hamming_bits}; "
                "wider radii match unrelated images"
            )
        return self


class Keep(RecipePart):
    """Which members of a duplicate group stay.

    Attributes
    ----------
    policy : "best", "first", "last" or callable
        "best": most pixels inside a uniform frame, then most bytes a pixel, then the longest caption, then the
        first.  A callable takes a `dedupkit.grouping.keep.Candidate` and returns something that sorts; the highest
        is kept.
    max_copies : int or "all"
        How many members of a group stay.  With more than one, each kept sample's `weight` is one over the number of
        copies of its picture that stay, for samplers that draw a picture as often as one without copies.
    """

    policy: Literal["best", "first", "last"] | Callable[[Any], Any] = "best"
    max_copies: int | Literal["all"] = 1

    @field_validator("max_copies")
    @classmethod
    def _at_least_one_stays(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError(f'must be 1 or more, or "all", got {value}')
        return value


def policy_name(policy: str | Callable[[Any], Any]) -> str:
    """How a keep policy is written down: its own name, or ``module:function`` for code."""
    if isinstance(policy, str):
        return policy
    return f"{getattr(policy, '__module__', '?')}:{getattr(policy, '__qualname__', type(policy).__qualname__)}"

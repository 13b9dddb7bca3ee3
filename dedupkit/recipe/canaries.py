"""``[canaries]``: what is planted to be looked for later."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from dedupkit.recipe.part import RecipePart


class Canaries(RecipePart):
    """Pictures with captions that no natural set holds, planted to measure later what a model has memorised.

    What is secret of them lies in the private manifest alone; this part of the recipe is published.

    Attributes
    ----------
    planted : int
        How many are planted; 0 plants none.
    controls : int
        How many are drawn like those and held out, for comparison.
    kinds : tuple of "texture", "blob", "pair", "scene" or "natural"
        Kinds that take turns; the last two need images of your own that are in no set, see docs/canaries.md.
    repetitions : tuple of int
        How often a canary stands in the set; the numbers take turns.  1 alone hides them also from a search for copies.
    assignment : "exact" or "independent"
        A coin for each decides.  "exact": all are flipped again until both counts are those asked for.  "independent":
        they count as they fall, as an audit in one run (Steinke et al. 2023, 2305.08846) presumes, so that the counts
        are those asked for only on average.
    manifest : str or None
        The private manifest; ``OUT.canaries.private.json`` beside OUT where none is named.  One that is named while
        `planted` is 0 protects canaries that the source already holds.
    exempt : tuple of "dedup" or "augmentation"
        What does not touch them.
    max_detection_auc : float
        AUC in [0.5, 1] of a simple test that tells them from the set, above which making them warns.
    """

    planted: int = Field(default=0, ge=0)
    controls: int = Field(default=0, ge=0)
    kinds: tuple[Literal["texture", "blob", "pair", "scene", "natural"], ...] = ("texture", "blob", "pair")
    repetitions: tuple[int, ...] = (1, 2, 4, 16, 64)
    assignment: Literal["exact", "independent"] = "exact"
    manifest: str | None = None
    exempt: tuple[Literal["dedup", "augmentation"], ...] = ("dedup", "augmentation")
    max_detection_auc: float = Field(default=0.6, ge=0.5, le=1)

    @property
    def asked_for(self) -> bool:
        """Whether a run plants or protects canaries."""
        return bool(self.planted) or self.manifest is not None

    @field_validator("kinds", "repetitions")
    @classmethod
    def _something_takes_turns(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value or any(isinstance(each, int) and each < 1 for each in value):
            raise ValueError("must name at least one, and repetitions of 1 or more")
        return value

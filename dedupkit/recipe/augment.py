"""``[augment]``: how far pixels are changed."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from dedupkit.recipe.part import RecipePart


class Augment(RecipePart):
    """How far pixels are changed, so that a model does not learn a picture exactly (Carlini et al. 2023, 2301.13188).

    Attributes
    ----------
    preset : "none", "light", "paper" or "strong"
        What `noise_sigma` and `brightness` are where nothing is said: 0 and 0, 5 and 0.05, 10 and 0.1, 20 and 0.2.  The
        paper names noise and brightness, but no numbers.
    noise_sigma : float
        Standard deviation, in levels of 0-255, of Gaussian noise in every pixel and channel.
    brightness : float
        Largest relative change of brightness: all levels are multiplied by a factor in [1 - it, 1 + it].
    contrast : float
        Largest relative change of contrast: distances from the picture's mean level are multiplied likewise.
    blur_sigma : float
        Largest standard deviation, in pixels, of a Gaussian blur; drawn from 0 up.
    jpeg_quality : list of two integers
        Lowest and highest quality at which pixels go through JPEG once more, for its artefacts.
    crop_share : float
        Largest share of each side that is cut away; the picture becomes smaller.
    flip_probability : float
        How often pictures are mirrored left to right.
    by_repetition : bool
        Multiply noise, brightness and contrast by 1 + log2(n) / 2 for a picture that stood n times in the source; its
        copy number k, from 0, counts as having stood k + 1 times.
    max_repetition_factor : float
        Where that factor ends; 3 is reached at 16 times.
    format : "same", "jpeg", "png" or "webp"
        How changed images are encoded; "same" is the source's encoding if it is one of the three, else PNG.
    quality : int
        Of JPEG and WebP.
    """

    _PRESETS: ClassVar[dict[str, tuple[float, float]]] = {
        "none": (0.0, 0.0),
        "light": (5.0, 0.05),
        "paper": (10.0, 0.1),
        "strong": (20.0, 0.2),
    }

    preset: Literal["none", "light", "paper", "strong"] = "none"
    noise_sigma: float | None = Field(default=None, ge=0, le=128)
    brightness: float | None = Field(default=None, ge=0, le=0.9)
    contrast: float = Field(default=0.0, ge=0, le=0.9)
    blur_sigma: float = Field(default=0.0, ge=0, le=20)
    jpeg_quality: tuple[int, int] | None = None
    crop_share: float = Field(default=0.0, ge=0, le=0.5)
    flip_probability: float = Field(default=0.0, ge=0, le=1)
    by_repetition: bool = True
    max_repetition_factor: float = Field(default=3.0, ge=1, le=10)
    format: Literal["same", "jpeg", "png", "webp"] = "same"
    quality: int = Field(default=95, ge=1, le=100)

    @field_validator("jpeg_quality")
    @classmethod
    def _qualities_are_a_range(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 1 <= value[0] <= value[1] <= 100:
            raise ValueError("must be the lowest and the highest quality, both in [1, 100]")
        return value

    @property
    def sigma(self) -> float:
        """Levels of noise: those said, else the preset's."""
        return self._PRESETS[self.preset][0] if self.noise_sigma is None else self.noise_sigma

    @property
    def brightness_change(self) -> float:
        """Largest relative change of brightness: the one said, else the preset's."""
        return self._PRESETS[self.preset][1] if self.brightness is None else self.brightness

    @property
    def changes_pixels(self) -> bool:
        """Whether anything is to be done."""
        shares = self.sigma, self.brightness_change, self.contrast, self.blur_sigma
        return any((*shares, self.crop_share, self.flip_probability)) or self.jpeg_quality is not None

"""How a model is run: where, in which precision, how many samples at once, and how it draws."""

from __future__ import annotations

from dataclasses import dataclass

from dedupkit.errors import UsageError

DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How a model is run.

    Attributes
    ----------
    device : str
        As torch names it; ``"auto"`` takes CUDA where there is one, and leaves a pipeline handed in where it is.
    dtype : str
        Of the weights: float32, float16 or bfloat16; ``"auto"`` is float32, and what a pipeline handed in has.
    batch : int
        Samples that go through the network at once.
    steps : int or None
        Steps of drawing; None takes the pipeline's own default.
    guidance : float or None
        Weight of the caption against none, when drawing and filling in; None takes the pipeline's own default.
    image_size : tuple of int or None
        Height and width in pixels of a latent model that was trained on another size than its files say.
    """

    device: str = "auto"
    dtype: str = "auto"
    batch: int = 8
    steps: int | None = None
    guidance: float | None = None
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", *DTYPES):
            raise UsageError(f"dtype must be auto, {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, got {self.dtype!r}")
        for name in ("batch", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be 1 or more, got {value}")
        if self.guidance is not None and self.guidance < 1:
            raise UsageError(f"guidance must be 1 (none) or more, got {self.guidance}")
        if self.image_size is not None and min(self.image_size) < 1:
            raise UsageError(f"image_size must be positive, got {self.image_size}")

"""Inpainting: is an image rebuilt from a part of it better than one that the model never saw?

After Carlini et al. 2023 (arXiv 2301.13188, section 5.3): an image is filled in many times, the model's own loss picks
the best tries, and how near those come to what was hidden is compared with controls.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.diffusion import Drawing, denoising_errors, within
from dedupkit.audit.diffusion import inpaint as fill_in
from dedupkit.audit.model import Denoiser, Inpainter, require
from dedupkit.audit.statistics import Curve, difference_p_value, holm, mean_interval, p_values
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dedupkit.audit.model import Captions
    from dedupkit.parts import Observer

MASKS = ("left", "right", "top", "bottom", "centre")


@dataclass(frozen=True, slots=True, kw_only=True)
class InpaintingOptions:
    """How images are hidden and filled in.

    Parameters
    ----------
    masks : tuple of str
        What is hidden: one of `MASKS` each; halves, or the middle quarter.
    tries : int
        Times that each is filled in.
    best : int
        Tries that count, those of the least loss; without a loss all of them.
    steps, resamplings : int
        Of RePaint, where the model has no way of its own.
    window : tuple of float
        Timesteps of the loss, in shares of all.
    seed : int
        Of the noise.
    """

    masks: tuple[str, ...] = ("left", "centre")
    tries: int = 20
    best: int = 3
    steps: int = 50
    resamplings: int = 2
    window: tuple[float, float] = (0.05, 0.3)
    seed: int = 0

    def __post_init__(self) -> None:
        for mask in self.masks:
            if mask not in MASKS:
                raise UsageError(f"masks must be some of {', '.join(MASKS)}, got {mask!r}")
        if not self.masks:
            raise UsageError(f"masks must be some of {', '.join(MASKS)}, got none")
        if not 1 <= self.best <= self.tries:
            raise UsageError(f"best must be in [1, tries], got {self.best} of {self.tries}")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One image, hidden in one way.

    Attributes
    ----------
    number : int
        Of the image among those given.
    mask : str
        What was hidden.
    error : float
        Root of the mean squared difference of what was hidden, in [0, 1], of the best tries on average.
    low, high : float
        95 % interval of that mean over the best tries, after Student; of a single try it has no bounds.
    gain : float
        How much less that is than the average of all its tries, in their standard deviations: whether the model's own
        loss knows the right filling.
    p_value : float
        Chance that a control comes as near; of a control NaN.
    image, shown, rebuilt : ndarray of uint8, shape (height, width, 3), RGB
        The image, what the model was shown, and its best try.
    """

    number: int
    mask: str
    error: float
    low: float
    high: float
    gain: float
    p_value: float
    image: NDArray[np.uint8] = field(repr=False)
    shown: NDArray[np.uint8] = field(repr=False)
    rebuilt: NDArray[np.uint8] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """All but the pictures."""
        p_value = None if np.isnan(self.p_value) else self.p_value
        bounds = (self.low, self.high) if np.isfinite(self.high) else (None, None)
        found = {"number": self.number, "mask": self.mask, "error": self.error, "low": bounds[0], "high": bounds[1]}
        return found | {"gain": self.gain, "p_value": p_value}


@dataclass(frozen=True)
class Inpainting:
    """How well hidden parts are rebuilt, of members and of controls.

    Attributes
    ----------
    members, controls : tuple of Rebuilt
        By image and mask.
    tries, best : int
        How many there were, and how many of them counted.
    by_loss : bool
        Whether the model's own loss picked the best.
    """

    members: tuple[Rebuilt, ...]
    controls: tuple[Rebuilt, ...]
    tries: int
    best: int
    by_loss: bool

    name = "inpainting"

    @cached_property
    def curve(self) -> Curve:
        """How well the error alone tells members from controls."""
        return Curve(-_errors(self.members), -_errors(self.controls))

    @cached_property
    def p_value(self) -> float:
        """Chance of members as near if they were like controls."""
        return difference_p_value(-_errors(self.members), -_errors(self.controls))

    @cached_property
    def difference(self) -> tuple[float, float, float]:
        """How much smaller the members' mean error is, and the bounds of its 95 % interval (Welch)."""
        mine, theirs = _errors(self.members), _errors(self.controls)
        apart = float(theirs.mean() - mine.mean())
        half = sum(((mean_interval(each)[1] - each.mean()) ** 2 for each in (mine, theirs)), 0.0) ** 0.5
        return apart, apart - float(half), apart + float(half)

    @cached_property
    def rebuilt(self) -> tuple[Rebuilt, ...]:
        """Members that are rebuilt as no control is, by p-values corrected for their number at 0.05."""
        corrected = holm([each.p_value for each in self.members])
        return tuple(each for each, p in zip(self.members, corrected.tolist(), strict=True) if p <= 0.05)

    @property
    def answer(self) -> str:
        """One sentence that says it."""
        apart, low, high = self.difference
        told = "are rebuilt better" if self.p_value <= 0.05 else "are not rebuilt better"
        mine, theirs = len(_errors(self.members)), len(_errors(self.controls))
        return (
            f"Hidden parts of {mine} training images {told} than those of {theirs} images that the model never saw "
            f"(error smaller by {apart:.3f}, 95 % interval {low:.3f} to {high:.3f}; p = {self.p_value:.2g}); "
            f"{len({each.number for each in self.rebuilt})} of them as no chance explains."
        )

    @property
    def limits(self) -> tuple[str, ...]:
        """What this does not show."""
        controls = len(_errors(self.controls))
        least, tests = 1 / (1 + controls), len(self.members)
        found = [
            f"With {controls} controls the smallest p-value of an image is {least:.2g}"
            + (
                f", and {min(1.0, least * tests):.2g} after correction for {tests} images and masks: none can stand "
                f"out by itself; {round(tests / 0.05)} controls would do."
                if least * tests > 0.05
                else "."
            ),
            f"Each was filled in {self.tries} times; the paper took 5,000, and more tries find more.",
            "Controls have to be like the training images in all else: drawn from the same source by a coin flip.",
        ]
        if not self.by_loss:
            found.append("The model gives no loss, so all tries count alike, which hides what the best of them show.")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """All of it but the pictures."""
        apart, low, high = self.difference
        return {
            "answer": self.answer,
            "limits": list(self.limits),
            "p_value": self.p_value,
            "difference": {"mean": apart, "low": low, "high": high},
            "tries": self.tries,
            "best": self.best,
            "by_loss": self.by_loss,
            "rebuilt": len(self.rebuilt),
            "curve": self.curve.to_json(),
            "members": [each.to_json() for each in self.members],
            "controls": [each.to_json() for each in self.controls],
        }


def inpainting(
    model: Any,
    members: NDArray[np.uint8],
    controls: NDArray[np.uint8],
    *,
    captions: Captions | None = None,
    control_captions: Captions | None = None,
    options: InpaintingOptions | None = None,
    observe: Observer | None = None,
) -> Inpainting:
    """Hide parts of images and have a model fill them in.

    Parameters
    ----------
    model : Denoiser or Inpainter
        The loss of a denoiser picks the best tries; one that has no way of its own to fill in does it by RePaint.
    members, controls : ndarray of uint8, shape (n, height, width, 3), RGB
        Images that the model was trained on, and others like them that it was not.
    captions, control_captions : sequence of str or None, optional
        One each; without any the model is asked without.
    options : InpaintingOptions, optional
        What is hidden, and how often it is filled in.
    observe : callable, optional
        Told of progress.

    Raises
    ------
    UsageError
        If the model can do neither, or there are no members or controls.
    """
    options = options or InpaintingOptions()
    if not isinstance(model, Denoiser):
        require(model, "inpainting", Inpainter)
    if not len(members) or not len(controls):
        raise UsageError("inpainting needs some training images and some controls; name images the model never saw")
    told = list(captions or [None] * len(members)), list(control_captions or [None] * len(controls))
    total = (len(members) + len(controls)) * len(options.masks)
    counter = _Counter(total, observe)
    theirs = _all_rebuilt(model, controls, told[1], options, counter)
    mine = _all_rebuilt(model, members, told[0], options, counter)
    null = {mask: [-each.error for each in theirs if each.mask == mask] for mask in options.masks}
    judged = tuple(_with_p_value(each, float(p_values([-each.error], null[each.mask])[0])) for each in mine)
    return Inpainting(judged, tuple(theirs), options.tries, options.best, isinstance(model, Denoiser))


def hidden(mask: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where an image is hidden by a mask, shape `size`."""
    height, width = size
    found = np.zeros(size, bool)
    places = {
        "left": (slice(None), slice(0, width // 2)),
        "right": (slice(None), slice(width // 2, None)),
        "top": (slice(0, height // 2), slice(None)),
        "bottom": (slice(height // 2, None), slice(None)),
        "centre": (slice(height // 4, height - height // 4), slice(width // 4, width - width // 4)),
    }
    found[places[mask]] = True
    return found


class _Counter:
    """Tells how many images are done."""

    def __init__(self, total: int, observe: Observer | None) -> None:
        self._done, self._total, self._observe = 0, total, observe

    def step(self) -> None:
        from dedupkit.parts import Progress

        self._done += 1
        if self._observe:
            self._observe(Progress("inpainting", self._done, self._total, self._done))


def _all_rebuilt(
    model: Any, images: NDArray[np.uint8], captions: Sequence[str | None], options: InpaintingOptions, counter: _Counter
) -> list[Rebuilt]:
    found = []
    for number, image in enumerate(images):
        for mask in options.masks:
            found.append(_rebuilt(model, image, captions[number], mask, number, options))
            counter.step()
    return found


def _rebuilt(
    model: Any, image: NDArray[np.uint8], caption: str | None, mask: str, number: int, options: InpaintingOptions
) -> Rebuilt:
    missing = hidden(mask, (image.shape[0], image.shape[1]))
    shown = np.where(missing[..., None], np.uint8(127), image)
    # The same seeds for every image, so that members and controls differ in nothing but what the model knows.
    seeds = np.random.default_rng([options.seed, 4]).integers(0, 1 << 62, options.tries).tolist()
    tried = _filled(model, shown, missing, [caption] * options.tries, seeds, options)
    gap = (tried.astype(np.float64) - image)[:, missing] / 255
    errors = np.sqrt(np.square(gap).mean(axis=(1, 2)))
    order = np.argsort(_losses(model, tried, caption, options), kind="stable") if isinstance(model, Denoiser) else None
    best = np.arange(options.tries) if order is None else order[: options.best]
    spread = float(errors.std()) or 1.0
    low, high = mean_interval(errors[best])
    return Rebuilt(
        number=number,
        mask=mask,
        error=float(errors[best].mean()),
        low=max(low, 0.0) if np.isfinite(low) else low,
        high=high,
        gain=float(errors.mean() - errors[best].mean()) / spread,
        p_value=float("nan"),
        image=image,
        shown=shown,
        rebuilt=tried[best[0]],
    )


def _filled(
    model: Any,
    shown: NDArray[np.uint8],
    missing: NDArray[np.bool_],
    captions: Captions,
    seeds: Sequence[int],
    options: InpaintingOptions,
) -> NDArray[np.uint8]:
    images, holes = np.repeat(shown[None], len(seeds), 0), np.repeat(missing[None], len(seeds), 0)
    if isinstance(model, Inpainter):
        filled: NDArray[np.uint8] = model.inpaint(images, holes, captions, seeds)
        return np.where(holes[..., None], filled, images)
    known = np.repeat(model.encode(shown[None]), len(seeds), 0)
    there = _on_grid(missing, (known.shape[2], known.shape[3]))
    how = Drawing(steps=options.steps, noisiness=1.0)
    drawn = fill_in(
        model, known, np.repeat(there[None], len(seeds), 0), captions, seeds, how, resamplings=options.resamplings
    )
    return np.where(holes[..., None], model.decode(drawn), images)


def _on_grid(missing: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask on the coarser grid of latents: a cell is missing where any pixel of it is."""
    rows, columns = (np.arange(side) * cells // side for side, cells in zip(missing.shape, size, strict=True))
    found = np.zeros(size, bool)
    np.logical_or.at(found, (rows[:, None], columns[None]), missing)
    return found


def _losses(
    model: Denoiser, images: NDArray[np.uint8], caption: str | None, options: InpaintingOptions
) -> NDArray[np.float64]:
    timesteps = within(model, *options.window, 3)
    errors = denoising_errors(
        model, model.encode(images), [caption] * len(images), timesteps=timesteps, seed=options.seed
    )
    return np.asarray(errors.mean(axis=(1, 2)))


def _errors(rebuilt: Sequence[Rebuilt]) -> NDArray[np.float64]:
    """The error of each image, over its masks."""
    by_image: dict[int, list[float]] = {}
    for each in rebuilt:
        by_image.setdefault(each.number, []).append(each.error)
    return np.array([float(np.mean(errors)) for errors in by_image.values()])


def _with_p_value(rebuilt: Rebuilt, p_value: float) -> Rebuilt:
    return replace(rebuilt, p_value=p_value)

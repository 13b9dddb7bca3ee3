"""What noise, brightness and their like did: some emitted samples before and after."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from dedupkit.errors import RunError
from dedupkit.mitigation.encoding import opened
from dedupkit.sample import ROW_BITS, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dedupkit.journey import Journey
    from dedupkit.recipe import Recipe
    from dedupkit.report.gallery import GalleryGroup

MAX_SHOWN = 6
_SIDE = 144  # pixels of the middle, at full scale: a reduced picture would show no noise
_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Change:
    """What decides how a sample's pixels are changed: its name, how often it stood there, which copy it is."""

    position: int
    key: str
    group_size: int
    copy: int


def choose_changes(journey: Journey, gallery: Sequence[GalleryGroup]) -> list[Change]:
    """Samples to show before and after: some kept out of groups, and the first that nothing else is like.

    Canaries are never among them, for one that did not change would give itself away; and so would one that is passed
    over in an order that others can tell.  So where there are canaries only groups are looked at, which hold none.
    """
    planting = journey.planting
    if not journey.recipe.augment.changes_pixels or (planting is not None and "dedup" not in planting.exempt):
        return []
    kept = [member.position for group in gallery for member in group.members[:1] if member.kept][: MAX_SHOWN // 2]
    single = [] if planting is not None else _first_single(journey)
    found: list[Change] = []
    for number in sorted({position >> ROW_BITS for position in (*kept, *single)}):
        table = journey.tables.decisions(number, ("position", "key", "group_size", "copy"))
        wanted = pa.array([*kept, *single], pa.uint64())
        found += [Change(**row) for row in table.filter(pc.is_in(table["position"], value_set=wanted)).to_pylist()]
    return found


def _first_single(journey: Journey) -> list[int]:
    """Positions of the first kept samples that stand in no group."""
    table = journey.tables.decisions(0, ("position", "reason"))
    single: list[int] = table.filter(pc.equal(table["reason"], Reason.UNIQUE.value))["position"].to_pylist()
    return single[: MAX_SHOWN // 2]


def before_and_after(image: bytes, change: Change, recipe: Recipe) -> dict[str, Any]:
    """The columns ``before``, ``after`` and ``change`` of a thumbnail; none where the image cannot be opened.

    What is emitted is made again: the same image, recipe and name give the same pixels.
    """
    from dedupkit.mitigation.augment import Augmenter

    augmenter = Augmenter(recipe.augment, recipe.seed, recipe.limits)
    try:
        plain = opened(image, recipe.limits, change.key).pixels
    except RunError:
        return {}
    changed = augmenter.pixels(plain, change.key, change.copy, repetition=change.group_size)
    words = augmenter.drawn(change.key, change.copy, repetition=change.group_size).words()
    return {"before": _middle(plain), "after": _middle(changed), "change": words}


def _middle(pixels: NDArray[np.uint8]) -> bytes:
    top, left = (max(0, (side - _SIDE) // 2) for side in pixels.shape[:2])
    buffer = io.BytesIO()
    middle = np.ascontiguousarray(pixels[top : top + _SIDE, left : left + _SIDE])
    Image.fromarray(middle).save(buffer, "JPEG", quality=_QUALITY, subsampling="4:4:4")
    return buffer.getvalue()

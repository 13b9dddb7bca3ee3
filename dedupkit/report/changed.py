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
from dedupkit.sample import ROW_BITS, Action

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
    """Samples to show before and after: half of those kept out of groups, half of the first that nothing else is like.

    Canaries are never among them, so that nobody learns from a picture that did not change.
    """
    if not journey.recipe.augment.changes_pixels:
        return []
    kept = [member.position for group in gallery for member in group.members[:1] if member.kept][: MAX_SHOWN // 2]
    shards = sorted({position >> ROW_BITS for position in kept} | {0})
    mine = _canaries(journey, shards[-1] + 1)
    found: list[Change] = []
    for number in shards:
        table = journey.tables.decisions(number, ("position", "key", "action", "group_size", "copy"))
        stays = table.filter(pc.equal(table["action"], Action.KEEP.value)).drop_columns("action")
        stays = stays.filter(pc.invert(pc.is_in(stays["position"], value_set=mine)))
        single = stays.filter(pc.equal(stays["group_size"], 1)).slice(0, 0 if found else MAX_SHOWN // 2)
        ours = stays.filter(pc.is_in(stays["position"], value_set=pa.array(kept, pa.uint64())))
        found += [Change(**row) for row in pa.concat_tables([ours, single]).to_pylist()]
    return found[:MAX_SHOWN]


def _canaries(journey: Journey, shards: int) -> pa.Array:
    planting = journey.planting
    positions = np.empty(0, np.uint64) if planting is None else planting.positions(journey.tables, shards)
    return pa.array(positions, pa.uint64())


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

"""Keep policies: which member of a duplicate group is the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from dedupkit.recipe import Keep

COLUMNS = (
    "position", "key", "shard", "caption", "width", "height", "trimmed_width", "trimmed_height", "format", "byte_size",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a keep policy sees of a member of a duplicate group.

    Attributes
    ----------
    key, shard : str
        Name of the sample as its source has it, and the shard it stands in.
    caption : str or None
        Its caption.
    width, height : int or None
        Pixels, as shown; None where a list does not say.
    trimmed_width, trimmed_height : int or None
        Pixels inside the uniform frame; None where there is none.
    format : str or None
        Encoding: jpeg, png ...; None where there is no image yet.
    byte_size : int or None
        Bytes of the encoded image; None where there is none yet.
    position : int
        Place in the source; smaller is earlier.
    """

    key: str
    shard: str
    caption: str | None
    width: int | None
    height: int | None
    trimmed_width: int | None
    trimmed_height: int | None
    format: str | None
    byte_size: int | None
    position: int


def ranks(members: pa.Table, keep: Keep) -> NDArray[np.int64]:
    """Rank of each member, 0 for the one that a group would rather keep than any other.

    Parameters
    ----------
    members : pyarrow.Table
        Fingerprints, at least `COLUMNS`, in the order of positions.
    keep : Keep
        The policy.

    Returns
    -------
    ndarray of int64, shape (n,)
        A permutation of 0 ... n - 1; equal members rank in the order of positions.
    """
    count = members.num_rows
    if callable(keep.policy):
        scores = [keep.policy(Candidate(**row)) for row in members.select(COLUMNS).to_pylist()]
        order: Any = sorted(range(count), key=scores.__getitem__, reverse=True)  # stable: earlier ones stay first
    elif keep.policy == "first":
        order = np.arange(count)
    elif keep.policy == "last":
        order = np.arange(count)[::-1]
    else:
        order = _best_first(members)
    ranking = np.empty(count, dtype=np.int64)
    ranking[order] = np.arange(count)
    return ranking


def _best_first(members: pa.Table) -> NDArray[np.int64]:
    import pyarrow.compute as pc

    known = {name: pc.fill_null(members[name], 0) for name in ("width", "height", "byte_size")}  # a list may not say
    sides = {name: known[name].to_numpy().astype(np.int64) for name in ("width", "height")}
    inside = {name: pc.coalesce(members[f"trimmed_{name}"], known[name]).to_numpy() for name in sides}
    bytes_a_pixel = known["byte_size"].to_numpy() / np.maximum(sides["width"] * sides["height"], 1)
    caption_length = pc.fill_null(pc.utf8_length(members["caption"]), 0).to_numpy()
    pixels_inside = inside["width"].astype(np.int64) * inside["height"].astype(np.int64)
    return np.lexsort((-caption_length.astype(np.int64), -bytes_a_pixel, -pixels_inside))

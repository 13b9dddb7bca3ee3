"""The largest duplicate groups, for a person to look at: which members are shown, and their thumbnails."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.report.decided import decided_of
from dedupkit.sample import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from dedupkit.report.decided import Decided

_QUALITY = 80
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryMember:
    """A sample of a group as it is shown.

    Attributes
    ----------
    position : int
        Place of the sample, by which its thumbnail is looked up.
    key, shard : str
        Its names.
    kept : bool
        Whether it stays in the set.
    kept_key : str or None
        The kept sample that a dropped one was matched with.
    tier : str or None
        Which stage of matching proved it a copy.
    hamming_bits : int or None
        How many bits of the hashes differ.
    orientation, trimmed : str or None
        How the two had to be turned, and whether a frame was cut away, for the match.
    cosine : float or None
        Of the two descriptors.
    inliers, blocks, agreement, conflict, outline, off_tone, overlap, score : number or None
        What geometry found, as in `dedupkit.sample.EVIDENCE`.
    """

    position: int
    key: str
    shard: str
    kept: bool
    kept_key: str | None
    tier: str | None
    hamming_bits: int | None = None
    orientation: str | None = None
    trimmed: str | None = None
    cosine: float | None = None
    inliers: int | None = None
    blocks: int | None = None
    agreement: float | None = None
    conflict: float | None = None
    outline: float | None = None
    off_tone: float | None = None
    overlap: float | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryGroup:
    """A duplicate group as it is shown.

    Attributes
    ----------
    group : int
        Its number in the decisions.
    members_total : int
        How many samples belong to it.
    members : tuple of GalleryMember
        Those that are shown: kept ones first, then by position.
    """

    group: int
    members_total: int
    members: tuple[GalleryMember, ...]

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions that thumbnails are wanted of."""
        return tuple(member.position for member in self.members)


def choose(decisions: pa.Table | Decided, max_groups: int = 24, max_members: int = 8) -> list[GalleryGroup]:
    """Pick the largest groups; of equal ones, those that begin first.

    Parameters
    ----------
    decisions : pyarrow.Table or callable
        In the schema of `dedupkit.sample.DECISIONS`; takes 24 bytes a sample that stands in a group.
    max_groups, max_members : int
        How many groups are shown, and how many members of each.
    """
    read = decided_of(decisions)
    group, counts = group_sizes(read)
    largest = np.argsort(-counts, kind="stable")[:max_groups]
    wanted = pa.array(group[largest], pa.uint64())
    names = ["group", "action", "position", "key", "shard", "kept_key", "tier", "evidence"]
    rows = pa.concat_tables(table.filter(pc.is_in(table["group"], value_set=wanted)) for table in read(names))
    return [
        GalleryGroup(group=each, members_total=total, members=_members(rows, each, max_members))
        for each, total in zip(group[largest].tolist(), counts[largest].tolist(), strict=True)
    ]


def group_sizes(read: Decided) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The duplicate groups in the order of their first members, and how many samples are in each."""
    members = [table["group"].drop_null().to_numpy().astype(np.uint64) for table in read(["group"])]
    groups = np.concatenate([np.empty(0, np.uint64), *members])
    group, first, counts = np.unique(groups, return_index=True, return_counts=True)
    order = np.argsort(first)
    return group[order], counts[order]


def _members(grouped: pa.Table, group: int, max_members: int) -> tuple[GalleryMember, ...]:
    rows = grouped.filter(pc.equal(grouped["group"], pa.scalar(group, pa.uint64())))
    kept = pc.equal(rows["action"], Action.KEEP.value)
    ordered = rows.append_column("kept", kept).sort_by([("kept", "descending"), ("position", "ascending")])
    names = ["position", "key", "shard", "kept", "kept_key", "tier", "evidence"]
    shown = ordered.select(names).slice(0, max_members).to_pylist()
    return tuple(GalleryMember(**(row.pop("evidence") or {}), **row) for row in shown)


def thumbnail(image: bytes, side: int = 128) -> bytes | None:
    """A small JPEG of an image, upright, transparency on white, without any metadata.

    Parameters
    ----------
    image : bytes
        The encoded image.
    side : int
        Longest side in pixels.

    Returns
    -------
    bytes or None
        None where the image cannot be decoded.
    """
    from PIL import Image

    from dedupkit.fingerprints.decode import upright

    try:
        with Image.open(io.BytesIO(image)) as opened:
            opened.draft("RGB", (side, side))  # a JPEG is decoded at the smallest scale that is no smaller
            orientation = opened.getexif().get(_ORIENTATION_TAG, 1)
            small = _true_colour(opened)
            small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
            shown = _on_white(upright(small, orientation))
            shown.info.clear()  # comments and profiles would be written again
            buffer = io.BytesIO()
            shown.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
            return buffer.getvalue()
    except Exception:  # noqa: BLE001 - decoders of hostile bytes raise whatever they like; a picture is not vital
        return None


def _true_colour(image: Image.Image) -> Image.Image:
    """The image in a mode that can be scaled smoothly."""
    if image.mode.startswith("I"):  # 16 bits a sample, which Pillow would clip to 8
        return image.point(lambda level: level / 257, "L" if image.mode == "I;16" else None).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")

"""The sample, the decision about it, and the Arrow schema of every table between stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ROW_BITS = 32


class Action(StrEnum):
    """What becomes of a sample."""

    KEEP = "keep"
    DROP = "drop"
    QUARANTINE = "quarantine"


class Reason(StrEnum):
    """Why it becomes so: a closed list, in the order a report shows it."""

    # keep
    UNIQUE = "unique"
    REPRESENTATIVE = "representative"
    SPARE_COPY = "spare_copy"
    KEPT_BY_HAND = "kept_by_hand"
    # drop
    EXACT_DUPLICATE = "exact_duplicate"
    PERCEPTUAL_DUPLICATE = "perceptual_duplicate"
    GEOMETRIC_DUPLICATE = "geometric_duplicate"
    DESCRIPTOR_DUPLICATE = "descriptor_duplicate"
    LOOK_ALIKE = "look_alike"
    BLOCKED = "blocked"
    CONTAMINATED = "contaminated"
    DROPPED_BY_HAND = "dropped_by_hand"
    # quarantine: the sample
    MISSING_IMAGE = "missing_image"
    EMPTY_IMAGE = "empty_image"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED_IMAGE = "truncated_image"
    CORRUPT_IMAGE = "corrupt_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_BYTES = "too_many_bytes"
    UNREADABLE_FILE = "unreadable_file"
    # quarantine: the picture, by a check of hygiene
    TOO_SMALL = "too_small"
    EXTREME_ASPECT = "extreme_aspect"
    BLANK = "blank"
    DARK = "dark"
    OVEREXPOSED = "overexposed"
    BLURRED = "blurred"
    ANIMATED = "animated"
    PLACEHOLDER = "placeholder"
    # quarantine: looking at it took the process down
    DECODER_CRASHED = "decoder_crashed"
    TIMED_OUT = "timed_out"
    TOO_MUCH_MEMORY = "too_much_memory"
    # quarantine: the picture, where the recipe looks for such
    FACES = "faces"
    DOCUMENT = "document"
    NSFW = "nsfw"
    # quarantine: the picture, by a check that a plugin brings; the detail begins with the check's name
    CHECKED_OUT = "checked_out"
    # quarantine: the caption, where the recipe wants that
    BAD_CAPTION = "bad_caption"
    # quarantine: what a damaged shard may have held
    DAMAGED_SHARD = "damaged_shard"

    @property
    def action(self) -> Action:
        """The one action this reason belongs to."""
        if self in _KEEP_REASONS:
            return Action.KEEP
        return Action.DROP if self in _DROP_REASONS else Action.QUARANTINE


_KEEP_REASONS = frozenset({Reason.UNIQUE, Reason.REPRESENTATIVE, Reason.SPARE_COPY, Reason.KEPT_BY_HAND})
_DROP_REASONS = frozenset(
    {
        Reason.EXACT_DUPLICATE,
        Reason.PERCEPTUAL_DUPLICATE,
        Reason.GEOMETRIC_DUPLICATE,
        Reason.DESCRIPTOR_DUPLICATE,
        Reason.LOOK_ALIKE,
        Reason.BLOCKED,
        Reason.CONTAMINATED,
        Reason.DROPPED_BY_HAND,
    }
)


class Note(StrEnum):
    """Something a kept or dropped sample carries that a person may want to know: counted, never a loss."""

    CAPTION_MISSING = "caption_missing"
    CAPTION_NOT_UTF8 = "caption_not_utf8"
    CAPTION_TOO_LONG = "caption_too_long"
    METADATA_MISSING = "metadata_missing"
    METADATA_INVALID = "metadata_invalid"
    KEY_RENAMED = "key_renamed"
    ANIMATED = "animated"
    EMBEDDING_MISSING = "embedding_missing"


class Tier(StrEnum):
    """What made a pair of two samples.

    Equal bytes; near hashes; descriptors nearby and geometry that proves it; descriptors alone, where geometry was not
    asked; or, where the recipe wants those gone too, descriptors nearby of what are no copies.
    """

    EXACT = "exact"
    PERCEPTUAL = "perceptual"
    GEOMETRIC = "geometric"
    DESCRIPTOR = "descriptor"
    LOOK_ALIKE = "look_alike"


@dataclass(frozen=True, slots=True)
class Fault:
    """What makes a sample unusable.

    Attributes
    ----------
    reason : Reason
        One of the quarantine reasons.
    detail : str
        What was seen, in words: usually the exception's text.  One line, no absolute paths.
    """

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One captioned image as a source streams it; nothing is decoded.

    Attributes
    ----------
    key : str
        Name of the sample, unique in its set as far as the source can tell; clashes are resolved later.
    image : bytes or None
        The encoded image as it stands in the source; None where `fault` says why.
    caption : str or None
        The caption; None where there is none.
    fields : mapping of str to object
        Everything else the source holds for this sample, untouched; values are what Arrow can hold.
    fault : Fault or None
        What the source already found wrong, such as an unreadable file.
    notes : tuple of Note
        What the source found odd but harmless.
    withheld : bytes or None
        The image of a sample that is blocked, for the case that a person says it stays.
    """

    key: str
    image: bytes | None
    caption: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    fault: Fault | None = None
    notes: tuple[Note, ...] = ()
    withheld: bytes | None = field(default=None, repr=False)


def position(shard: int, row: int) -> int:
    """Global place of a sample: shard number in the upper 32 bits, row in the shard in the lower."""
    return shard << ROW_BITS | row


def fixed_bytes(column: pa.ChunkedArray, width: int) -> NDArray[np.uint8]:
    """Hashes or digests of a column as ndarray of uint8, shape (n, width); zeros where there is none."""
    values = column.fill_null(b"\0" * width).combine_chunks().cast(pa.binary(width))
    start, stop = values.offset * width, (values.offset + len(values)) * width
    return np.frombuffer(values.buffers()[1] or b"", dtype=np.uint8)[start:stop].reshape(-1, width)


FINGERPRINTS = pa.schema(
    {
        "position": pa.uint64(),
        "key": pa.string(),
        "shard": pa.string(),
        "sha256": pa.binary(32),
        "phash": pa.uint64(),
        "pdq": pa.binary(32),
        "pdq_quality": pa.uint8(),
        "luminance_entropy": pa.float32(),  # bits, of the 64x64 luminance grid in 32 levels
        "trimmed_phash": pa.uint64(),  # null where no uniform frame was trimmed
        "trimmed_pdq": pa.binary(32),
        "trimmed_pdq_quality": pa.uint8(),
        "trimmed_luminance_entropy": pa.float32(),
        "trimmed_width": pa.uint32(),  # pixels inside the frame, at full scale
        "trimmed_height": pa.uint32(),
        "descriptor": pa.list_(pa.float16()),  # length 1, of what is inside the frame; null where none was taken
        "width": pa.uint32(),  # as shown: EXIF orientation applied
        "height": pa.uint32(),
        "format": pa.string(),
        "byte_size": pa.uint64(),
        "darkest": pa.uint8(),  # levels of luminance that 1 in 200 pixels is below, and above
        "brightest": pa.uint8(),
        "blur": pa.float32(),  # in [0, 1], 1 is blurred
        "faces": pa.list_(  # in shares of width and height; null where faces were not looked for, like the next three
            pa.struct({name: pa.float32() for name in ("left", "top", "width", "height", "score")})
        ),
        "text_share": pa.float32(),  # of the area
        "text_lines": pa.uint32(),
        "nsfw_score": pa.float32(),  # in [0, 1]
        "caption": pa.string(),
        "fault": pa.string(),  # a quarantine Reason, or "blocked": what is not to be matched
        "fault_detail": pa.string(),
        "notes": pa.list_(pa.string()),
    }
)

PAIRS = pa.schema(
    {
        "a": pa.uint64(),  # positions, a < b
        "b": pa.uint64(),
        "tier": pa.string(),
        "hamming_bits": pa.uint16(),  # null in tier exact
        "orientation": pa.string(),  # how b has to be turned to match a; null in tier exact
        "trimmed": pa.string(),  # which of the two had a frame trimmed for the match: none | a | b | both
        "cosine": pa.float32(),  # of the descriptors; null without
        "inliers": pa.uint16(),  # features that the transform carries onto each other; null where not verified
        "blocks": pa.uint16(),  # of the overlap, with something in them
        "agreement": pa.float32(),  # share of those blocks that agree
        "conflict": pa.float32(),  # share that shows something else
        "outline": pa.float32(),  # share of the strong edges of one picture that the other has too
        "off_tone": pa.float32(),  # share of blocks whose brightness no one change of tone explains
        "overlap": pa.float32(),  # share of the picture of lower resolution that the other covers
        # six numbers: rows of the affine map from a to b, sides of 1, inside the frames; in a list of any length, as
        # pyarrow before 26 cannot read lists of a fixed one back where some are null
        "transform": pa.list_(pa.float32()),
        "score": pa.float32(),  # of the evidence of geometry, in [0, 1]
    }
)

EVIDENCE = pa.struct(
    {
        "hamming_bits": pa.uint16(),
        "orientation": pa.string(),
        "trimmed": pa.string(),
        "cosine": pa.float32(),
        "inliers": pa.uint16(),
        "blocks": pa.uint16(),
        "agreement": pa.float32(),
        "conflict": pa.float32(),
        "outline": pa.float32(),
        "off_tone": pa.float32(),
        "overlap": pa.float32(),
        "score": pa.float32(),
    },
)

DECISIONS = pa.schema(
    {
        "position": pa.uint64(),
        "key": pa.string(),  # unique in the set
        "shard": pa.string(),
        "action": pa.string(),
        "reason": pa.string(),
        "group": pa.uint64(),  # null outside a duplicate group
        "group_size": pa.uint32(),  # 1 outside a group
        "kept_key": pa.string(),  # the kept sample that a dropped one was matched with; null where a person dropped it
        "copy": pa.uint32(),  # of a kept sample: 0 for a representative, 1 and more for further copies that stay
        "copies_kept": pa.uint32(),  # of a kept sample: how many of the picture stay, itself included
        "tier": pa.string(),
        "evidence": EVIDENCE,
        "detail": pa.string(),  # what a quarantined sample's decoder or source said; of a mark made by hand, its note
        "notes": pa.list_(pa.string()),
    }
)

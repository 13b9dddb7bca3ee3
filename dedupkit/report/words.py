"""Reasons, notes and evidence in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dedupkit.hygiene.captions import CaptionFinding
from dedupkit.sample import Note, Reason, Tier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.mitigation.stage import CaptionFacts

REASONS = {
    Reason.UNIQUE: ("Unique", "nothing else in the set looks like it"),
    Reason.REPRESENTATIVE: ("Best of its copies", "stays for its group"),
    Reason.SPARE_COPY: ("Further copy kept", "the recipe keeps more than one of a group"),
    Reason.KEPT_BY_HAND: ("Kept by hand", "a person said that it stays"),
    Reason.EXACT_DUPLICATE: ("Exact copy", "the bytes of a kept sample, or its URL where there are no images yet"),
    Reason.PERCEPTUAL_DUPLICATE: ("Near copy", "shows the same picture as a kept sample"),
    Reason.GEOMETRIC_DUPLICATE: ("Edited copy", "lies over a kept sample: cropped, turned, framed or written over"),
    Reason.DESCRIPTOR_DUPLICATE: ("Near by embedding", "its embedding is nearly that of a kept sample"),
    Reason.LOOK_ALIKE: ("Look-alike", "no copy, but very like a kept sample; the recipe drops those too"),
    Reason.BLOCKED: ("Blocked", "stands on the recipe's blocklist"),
    Reason.CONTAMINATED: ("Contaminated", "shows the same picture as a sample of a reference set"),
    Reason.DROPPED_BY_HAND: ("Dropped by hand", "a person said that it goes"),
    Reason.MISSING_IMAGE: ("Image missing", "a caption or metadata without an image"),
    Reason.EMPTY_IMAGE: ("Image empty", "no bytes"),
    Reason.NOT_AN_IMAGE: ("Not an image", "a web page, a text, or a format that is not known"),
    Reason.TRUNCATED_IMAGE: ("Image cut off", "the file ends before the picture does"),
    Reason.CORRUPT_IMAGE: ("Image damaged", "the decoder gave up"),
    Reason.TOO_MANY_PIXELS: ("Too many pixels", "over the recipe's limit, never decoded"),
    Reason.TOO_MANY_BYTES: ("Too many bytes", "over the recipe's limit, never decoded"),
    Reason.UNREADABLE_FILE: ("File unreadable", "storage gave an error"),
    Reason.TOO_SMALL: ("Too small", "fewer pixels than the recipe asks for"),
    Reason.EXTREME_ASPECT: ("Extreme aspect", "a strip or a banner"),
    Reason.BLANK: ("Blank", "one tone all over, or nearly"),
    Reason.DARK: ("Dark", "nothing in it is bright"),
    Reason.OVEREXPOSED: ("Overexposed", "nothing in it is dark"),
    Reason.BLURRED: ("Blurred", "no edges to speak of"),
    Reason.ANIMATED: ("Animated", "more than one frame, and the recipe wants none of those"),
    Reason.PLACEHOLDER: ("Placeholder", 'stands for a picture that is missing: "image not found" and the like'),
    Reason.DECODER_CRASHED: ("Decoder crashed", "looking at it ended the process"),
    Reason.TIMED_OUT: ("Timed out", "looking at it took longer than the recipe allows"),
    Reason.TOO_MUCH_MEMORY: ("Too much memory", "looking at it took more than the recipe allows"),
    Reason.FACES: ("Faces", "shows somebody's face, and the recipe wants none of those"),
    Reason.DOCUMENT: ("Document", "a page of text, and the recipe wants none of those"),
    Reason.NSFW: ("NSFW", "nudity or sex, as far as a network can tell"),
    Reason.CHECKED_OUT: ("Checked out", "failed a check of your own, named in the detail"),
    Reason.BAD_CAPTION: ("Caption unfit", "holds what the recipe quarantines for"),
    Reason.DAMAGED_SHARD: ("Shard damaged", "the rest of the shard could not be read; what it held is not known"),
}

NOTES = {
    Note.CAPTION_MISSING: "have no caption",
    Note.CAPTION_NOT_UTF8: "have a caption that is not UTF-8; what could not be read is replaced",
    Note.CAPTION_TOO_LONG: "have a caption longer than the recipe allows, which is left out",
    Note.METADATA_MISSING: "have no metadata",
    Note.METADATA_INVALID: "have metadata that could not be read",
    Note.KEY_RENAMED: "had the key of another sample and got the shard's name in front",
    Note.ANIMATED: "are animations, judged by their first frame",
    Note.EMBEDDING_MISSING: "have no embedding, or none of the usual length; only their hashes were compared",
}

FINDINGS = {
    CaptionFinding.EMPTY: "no caption, or nothing left of it",
    CaptionFinding.BAD_UNICODE: "broken Unicode",
    CaptionFinding.CONTROL_CHARACTERS: "control or invisible characters",
    CaptionFinding.HTML: "HTML",
    CaptionFinding.EMAIL: "e-mail addresses",
    CaptionFinding.PHONE: "phone numbers",
    CaptionFinding.URL: "web addresses",
    CaptionFinding.URL_ONLY: "nothing but a web address",
    CaptionFinding.FILE_NAME: "names of files",
    CaptionFinding.FILE_NAME_ONLY: "nothing but the name of a file",
    CaptionFinding.BOILERPLATE: 'boilerplate such as "stock photo"',
    CaptionFinding.BOILERPLATE_ONLY: "nothing but boilerplate",
}

TIERS = {
    Tier.EXACT: "same bytes",
    Tier.PERCEPTUAL: "near hash",
    Tier.GEOMETRIC: "edited, proven by geometry",
    Tier.DESCRIPTOR: "near by embedding",
    Tier.LOOK_ALIKE: "look-alike",
}

_TRIMMED = {"this": "frame trimmed", "kept": "frame of the kept one trimmed", "both": "frames trimmed"}


class Evidence(Protocol):
    """What speaks for a pair, be it of a decision or of the table of pairs."""

    @property
    def tier(self) -> str | None: ...
    @property
    def hamming_bits(self) -> int | None: ...
    @property
    def orientation(self) -> str | None: ...
    @property
    def turn(self) -> str | None: ...
    @property
    def trimmed(self) -> str | None: ...
    @property
    def cosine(self) -> float | None: ...
    @property
    def inliers(self) -> int | None: ...
    @property
    def blocks(self) -> int | None: ...
    @property
    def agreement(self) -> float | None: ...
    @property
    def overlap(self) -> float | None: ...
    @property
    def score(self) -> float | None: ...


def caption_words(facts: CaptionFacts) -> list[tuple[int, str]]:
    """Counts, and what of captions is counted; without what was not found."""
    rows = [(facts.found.get(finding, 0), words) for finding, words in FINDINGS.items()]
    rows += [
        (facts.changed, "cleaned or left out, in all"),
        (facts.merged, "captions of dropped copies given to the sample that stays"),
        (facts.left_out, "further captions of dropped copies left out, for there were too many"),
        (facts.repeated, f"different captions that stand over several pictures, {facts.repeated_samples:,} samples"),
    ]
    return [(count, words) for count, words in rows if count]


def evidence(member: Evidence, hash_bits: int | None) -> str:
    """Why a member counts as a copy, such as "12 of 256 bits differ, mirrored left-right, frame trimmed".

    Examples
    --------
    >>> from dedupkit.report.gallery import GalleryMember
    >>> member = GalleryMember(position=1, key="a", shard="s", kept=False, kept_key="b", tier="perceptual",
    ...                        hamming_bits=12, orientation="turned 90°", trimmed="this")
    >>> evidence(member, 256)
    '12 of 256 bits differ, turned 90°, frame trimmed'
    """
    if member.tier == Tier.EXACT:
        return "same bytes"
    of_descriptors = member.tier in (Tier.GEOMETRIC, Tier.DESCRIPTOR, Tier.LOOK_ALIKE)
    parts = [f"cosine {member.cosine:.2f}"] if of_descriptors and member.cosine is not None else []
    if member.tier == Tier.GEOMETRIC and member.agreement is not None:
        parts.append(f"{member.agreement:.0%} of {member.blocks} blocks agree over {member.overlap:.0%}")
    if member.hamming_bits is not None:
        parts.append(_bits(member.hamming_bits, hash_bits))
    if member.orientation not in (None, "as is"):
        parts.append(str(member.orientation))
    if member.trimmed in _TRIMMED:
        parts.append(_TRIMMED[str(member.trimmed)])
    return ", ".join(parts)


def _bits(count: int, hash_bits: int | None) -> str:
    if hash_bits is None:  # nobody says how long the hashes were
        return f"{count} bits of the hashes differ" if count > 1 else f"{count or 'no'} bit of the hashes differs"
    return f"{count or 'none'} of {hash_bits} bits {'differs' if count == 1 else 'differ'}"


def plain_words(seen: Evidence, hash_bits: int) -> str:
    """What a person wants to know first of a copy, such as "mirrored, 71 % of the frame, 212 matching points".

    Examples
    --------
    >>> from dedupkit.report.gallery import GalleryMember
    >>> member = GalleryMember(position=1, key="a", shard="s", kept=False, kept_key="b", tier="geometric",
    ...                        overlap=0.71, inliers=212, turn="mirrored")
    >>> plain_words(member, 256)
    'mirrored, 71 % of the frame, 212 matching points'
    """
    if seen.tier == Tier.EXACT:
        return "same bytes"
    turned = seen.turn if seen.orientation in (None, "as is") else seen.orientation
    parts = [turned] if turned else []
    if seen.trimmed in _TRIMMED:
        parts.append(_TRIMMED[str(seen.trimmed)])
    if seen.inliers:
        parts += [f"{100 * (seen.overlap or 0):.0f} % of the frame", f"{seen.inliers} matching points"]
    elif seen.inliers == 0:
        parts.append("nothing in them lies over the other")
    elif seen.hamming_bits is not None:
        parts.append(f"{seen.hamming_bits} of {hash_bits} bits differ" if seen.hamming_bits else "same hash")
    if seen.inliers is None and seen.hamming_bits is None and seen.cosine is not None:
        parts.append(f"embeddings agree to {seen.cosine:.2f}")
    return ", ".join(parts)


def similarity(seen: Evidence, hash_bits: int) -> float | None:
    """How sure a pair is, in [0, 1]: geometry's score, the share of bits that agree, or the cosine; 1 of same bytes."""
    if seen.tier == Tier.EXACT:
        return 1.0
    if seen.tier == Tier.GEOMETRIC and seen.score is not None:
        return seen.score
    if seen.tier == Tier.PERCEPTUAL and seen.hamming_bits is not None:
        return 1 - seen.hamming_bits / hash_bits
    return seen.cosine


def turn_words(transform: Sequence[float] | None) -> str | None:
    """How an affine map turns a picture, of `dedupkit.sample.PAIRS`; None where it does not.

    Examples
    --------
    >>> turn_words([-1, 0, 1, 0, 1, 0]), turn_words([0, -1, 1, 1, 0, 0]), turn_words([0.7, 0.1, 0, 0, 0.7, 0])
    ('mirrored', 'turned', None)
    """
    if transform is None:
        return None
    (xx, xy, _), (yx, yy, _) = transform[:3], transform[3:]
    size = xx * yy - xy * yx
    turned = abs(xy) + abs(yx) > abs(xx) + abs(yy) or (size > 0 and xx < 0)
    words = ["mirrored"] * (size < 0) + ["turned"] * turned
    return " and ".join(words) or None

"""Looking for canaries in an output, and taking them out of one."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError
from dedupkit.fingerprints.decode import decode
from dedupkit.fingerprints.perceptual import perceptual_hashes
from dedupkit.recipe import Fingerprints, Hygiene, Keep, Limits, Matching, Output, Recipe
from dedupkit.sample import Fault
from dedupkit.sources import open_source
from dedupkit.sources.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from dedupkit.canaries.manifest import Canary, Manifest
    from dedupkit.cleaning import Result
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Shard, Source

_OUTPUTS = ("dataset", "parquet", "webdataset")
_MAX_PDQ_BITS = 31  # Meta's recommendation for the same picture
_NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one canary.

    Attributes
    ----------
    number : int
        Its number in the manifest.
    kind : str
        How it was drawn.
    planted : bool
        Whether it should be there at all.
    wanted : int
        How often it should be there; 0 for a control.
    unchanged : int
        How often image and caption are there, byte for byte.
    recaptioned : int
        How often the image is, with another caption.
    changed : int
        How often its caption is, with an image that is near by PDQ; or, in a search by pictures, the image alone.
    """

    number: int
    kind: str
    planted: bool
    wanted: int
    unchanged: int
    recaptioned: int
    changed: int

    @property
    def right(self) -> bool:
        """Whether it is there as often as it should be, changed or not."""
        return self.unchanged + self.recaptioned + self.changed == self.wanted


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found of all canaries.

    Attributes
    ----------
    found : tuple of Found
        One a canary, controls too.
    samples : int
        Samples that were looked at.
    """

    found: tuple[Found, ...]
    samples: int

    @property
    def right(self) -> bool:
        """Whether all planted ones are there as often as they should be, and no control is."""
        return all(each.right for each in self.found)

    @property
    def unchanged(self) -> bool:
        """Whether they are so byte for byte, captions too."""
        return all(each.unchanged == each.wanted and not each.recaptioned + each.changed for each in self.found)


def verify(manifest: Manifest, output: Any, *, by_picture: bool = False) -> Verification:
    """Look for every canary in what a run wrote.

    Parameters
    ----------
    manifest : Manifest
        The private manifest.
    output : path, URL, dataset or Source
        An output folder of `dedupkit.clean`, or anything that can be a source.
    by_picture : bool
        Decode every image and compare it by PDQ; needed where both images and captions were changed.  Without, an
        image is decoded only if its caption is a canary's.

    Returns
    -------
    Verification

    Raises
    ------
    UsageError
        If there is nothing to look in.

    Notes
    -----
    Reads the output once; a control that is found means that it was published, and is of no use as one any more.
    """
    index = _Index(manifest)
    counts: Counter[tuple[int, str]] = Counter()
    samples = 0
    source = open_output(output)
    for shard in source.shards():
        for sample in source.read(shard):
            samples += 1
            if sample.image is not None and (seen := index.seen(sample.image, sample.caption, by_picture)):
                counts[seen] += 1
    return Verification(tuple(_found(canary, counts) for canary in manifest.canaries), samples)


def strip(manifest: Manifest, output: Any, out: str | os.PathLike[str], *, formats: Sequence[str] = ()) -> Result:
    """Write a copy of a set from which the planted canaries are gone, and nothing else.

    Parameters
    ----------
    manifest : Manifest
        The private manifest.
    output : path, URL, dataset or Source
        An output folder of `dedupkit.clean`, or anything that can be a source.
    out : path
        Folder for the copy; it gets decisions and a report of its own, that tell nothing of what was left out.
    formats : sequence of str
        As ``[output] formats`` of a recipe; "arrow" if none is named.

    Returns
    -------
    Result

    Raises
    ------
    UsageError
        If there is nothing to read, or `out` cannot be.

    Notes
    -----
    Canaries are told by the digest of their image: those that augmentation changed stay, and `verify` finds them.
    """
    from dedupkit.cleaning import clean

    digests = frozenset(canary.sha256 for canary in manifest.planted)
    return clean(StrippedSource(open_output(output), digests), out, recipe=_copying(formats))


@dataclass(frozen=True, slots=True)
class StrippedSource:
    """A source less the images of some digests."""

    source: Source
    digests: frozenset[bytes]

    def shards(self) -> Sequence[Shard]:
        """The source's own."""
        return self.source.shards()

    def fields(self, shard: Shard) -> pa.Schema | None:
        """The source's own."""
        return self.source.fields(shard)

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream the samples that stay."""
        for sample in self.source.read(shard):
            if sample.image is None or hashlib.sha256(sample.image).digest() not in self.digests:
                yield sample


def open_output(output: Any) -> Source:
    """The dataset in an output folder of `dedupkit.clean`; anything else as a source."""
    if isinstance(output, (str, os.PathLike)) and place_of(f"{os.fspath(output)}/.dedupkit").is_folder():
        places = (f"{os.fspath(output).rstrip('/')}/{name}" for name in _OUTPUTS)
        folder = next((place for place in places if place_of(place).is_folder()), None)
        if folder is None:
            raise UsageError(f"{output} holds no dataset with images; run `dedupkit clean` to its end first")
        return open_source(folder)
    return open_source(output)


class _Index:
    """Tells which canary an image or a caption is."""

    def __init__(self, manifest: Manifest) -> None:
        self._by_sha256 = {canary.sha256: canary for canary in manifest.canaries}
        self._by_caption = {canary.caption: canary for canary in manifest.canaries if canary.caption}
        self._hashes: dict[int, np.ndarray[Any, Any]] = {}
        self._canaries = manifest.canaries

    def seen(self, image: bytes, caption: str | None, by_picture: bool) -> tuple[int, str] | None:
        """Number of the canary and how it was met."""
        same = self._by_sha256.get(hashlib.sha256(image).digest())
        if same is not None:
            return same.number, "unchanged" if caption == same.caption else "recaptioned"
        named = self._by_caption.get(caption or "")
        asked = [named] if named is not None else self._canaries if by_picture else []
        mine = _pdq(image) if asked else None
        for canary in asked:
            if mine is not None and self._bits(mine, canary) <= _MAX_PDQ_BITS:
                return canary.number, "changed"
        return None

    def _bits(self, pdq: np.ndarray[Any, Any], canary: Canary) -> int:
        if canary.number not in self._hashes:
            own = _pdq(canary.data)
            self._hashes[canary.number] = np.zeros(32, np.uint8) if own is None else own
        return int(np.bitwise_count(pdq ^ self._hashes[canary.number]).sum())


def _pdq(image: bytes) -> np.ndarray[Any, Any] | None:
    decoded = decode(image, Limits())
    if isinstance(decoded, Fault):
        return None
    return np.frombuffer(perceptual_hashes(decoded.gray, decoded.height, decoded.width).pdq, np.uint8)


def _found(canary: Canary, counts: Counter[tuple[int, str]]) -> Found:
    met = [counts[canary.number, how] for how in ("unchanged", "recaptioned", "changed")]
    wanted = canary.repetitions if canary.planted else 0
    return Found(canary.number, canary.kind, canary.planted, wanted, *met)


def _copying(formats: Sequence[str]) -> Recipe:
    """A recipe that keeps everything as it is."""
    keeping = Hygiene(
        strip_metadata=False,
        drop_fields=(),
        min_side=0,
        max_aspect=float(_NO_LIMIT),
        min_contrast=0,
        min_brightest=0,
        max_darkest=255,
        max_blur=1.0,
    )
    return Recipe.of(
        {
            "preset": "fast",
            "fingerprints": Fingerprints(descriptor="none"),
            "hygiene": keeping,
            "matching": Matching(max_hamming_bits=0, turned=False),
            "keep": Keep(max_copies=_NO_LIMIT),
            "output": Output.model_validate({"formats": tuple(formats) or ("arrow",)}),
        }
    )

"""``[source]``, ``[limits]`` and ``[fingerprints]``: how samples are read, and what is computed of each."""

from __future__ import annotations

from typing import TypedDict

from pydantic import Field

from dedupkit.recipe.part import RecipePart


class SourceOptions(RecipePart):
    """How a source is read; what is not named is guessed, and the guess is said.

    Attributes
    ----------
    image_column, caption_column, key_column : str or None
        Columns of a table, or entries of a mapping; for an image folder, `caption_column` is the column of its
        metadata file.
    url_column : str or None
        Column of a table, or entry of a mapping, that says where an image comes from.
    embedding_column, hash_column : str or None
        Columns of a table that hold a descriptor, and a pHash or PDQ hash, of each image.  Where one is named, no image
        is decoded.
    """

    image_column: str | None = None
    caption_column: str | None = None
    key_column: str | None = None
    url_column: str | None = None
    embedding_column: str | None = None
    hash_column: str | None = None


class FileLimits(TypedDict):
    """What `dedupkit.sources.open_source` takes of the limits."""

    max_bytes: int
    max_expansion: int


class Limits(RecipePart):
    """What is refused before it is decoded.

    Attributes
    ----------
    max_pixels : int
        Width times height that the image's header may state.
    max_bytes : int
        Encoded size in bytes of an image; of a tar's sample also what stands beside its image.
    max_caption_bytes : int
        Of a caption in UTF-8; the sample of a longer one stays, without it.
    max_expansion : int
        How many times its own size, besides `max_bytes`, a compressed tar or a table may unpack to; what would come
        after that is a damaged shard.
    max_seconds : float
        How long one sample may be looked at; what takes longer is quarantined.
    max_memory_bytes : int
        Memory that looking at one sample may take; what takes more is quarantined.
    """

    max_pixels: int = Field(default=178_956_970, ge=1)  # where Pillow itself sees a decompression bomb
    max_bytes: int = Field(default=256 << 20, ge=1)
    max_caption_bytes: int = Field(default=256 << 10, ge=1)
    max_expansion: int = Field(default=200, ge=1)
    max_seconds: float = Field(default=120.0, gt=0)
    max_memory_bytes: int = Field(default=8 << 30, ge=1 << 20)  # a drawing of 100 megapixels takes 4 GiB

    @property
    def of_files(self) -> FileLimits:
        """The limits that hold while a source is read."""
        return {"max_bytes": self.max_bytes, "max_expansion": self.max_expansion}

    @property
    def of_headers(self) -> dict[str, int]:
        """The limits that what is found in a source depends on; the others only end what does not end."""
        names = ("max_pixels", "max_bytes", "max_caption_bytes", "max_expansion")
        return {name: getattr(self, name) for name in names}


class Fingerprints(RecipePart):
    """How images are fingerprinted.

    Attributes
    ----------
    draft : bool
        Decode JPEGs at reduced scale (at least 88 pixels a side) and greyscale: three times as fast, a few bits of each
        hash move.  Without it pHash equals imagededup's and PDQ the reference code's, bit for bit.
    max_frame_range : int
        Largest spread, in levels of 0-255, of a row or column that still counts as part of a uniform frame.
    descriptor : str
        The network that describes pictures: "dedupkit" (bundled), "none", "sscd", "sscd-distilled", "imagededup", the
        path of an ONNX file, "timm:NAME", "torchvision:NAME" or "clip:NAME"; see docs/descriptors.md.  "given" takes
        the embeddings of a list.  "auto" is "none" in the preset fast, else "given" of a list and "dedupkit" of images.
    """

    draft: bool = True
    max_frame_range: int = Field(default=10, ge=0, le=255)
    descriptor: str = "auto"

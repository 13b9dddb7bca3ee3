"""``[hygiene]``: pictures of no use, and what is hidden in files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dedupkit.recipe.part import RecipePart


class Hygiene(RecipePart):
    """Which pictures are of no use, and what is hidden in their files.

    Attributes
    ----------
    strip_metadata : bool
        Take EXIF, GPS, XMP, IPTC, comments and thumbnails out of every JPEG, PNG and WebP that is emitted, without
        touching a pixel; the colour profile stays, and the orientation.
    orientation : "keep" or "bake"
        What becomes of images that EXIF says are to be turned: "keep" leaves the tag to readers; "bake" turns the
        pixels of JPEG, PNG and WebP and takes the tag away, so that readers that ignore it see them upright too.
    drop_fields : tuple of str
        Fields of the samples that are not emitted: img2dataset puts the EXIF of an image there.
    min_side : int
        Pixels that the shorter side of a picture must have.
    max_aspect : float
        Longer side over shorter side that a picture may have.
    min_contrast : int
        Levels of 0-255 between the darkest and the brightest 1 in 200 pixels; below, a picture is blank.
    min_brightest : int
        Level that the brightest 1 in 200 pixels must reach; below, a picture is dark.
    max_darkest : int
        Level that the darkest 1 in 200 pixels may have; above, a picture is overexposed.
    max_blur : float
        Blur in [0, 1] (Crete et al. 2007) that a picture may have, seen at the scale of fingerprints, some 100 to 250
        pixels; sharp photos are at 0.2 to 0.5, and 1 lets everything pass.
    animated : "keep" or "quarantine"
        What becomes of animations; kept ones are judged by their first frame.
    placeholders : "keep" or "quarantine"
        What becomes of pictures that stand for a missing one, "image not found" and default avatars, known by hash; see
        docs/hygiene.md.
    placeholder_files : tuple of str
        Your own lists of such pictures: files of hexadecimal PDQ hashes, one a line, or ``FILE.parquet:COLUMN``.
    faces : "off", "count", "blur" or "quarantine"
        Look for faces and count them, blur them on the way out, or take pictures with one out of the set; pictures in
        which one is blurred are encoded anew, as `[augment]` says.  All but "off" needs ``dedupkit[faces]``.
    min_face_score : float
        How sure the detector has to be of a face, in [0.3, 1].
    min_face_share : float
        Share of the picture's area that a face has to have to count.
    documents : "off", "count" or "quarantine"
        Look for pages of text.  All but "off" needs ``dedupkit[documents]``.
    max_text_share : float
        Share of a picture's area that lines of text may take; above, with at least `min_text_lines`, it is a document.
    min_text_lines : int
        Lines of text that make a document.
    nsfw : "off", "count" or "quarantine"
        Look for nudity and sex.  All but "off" needs ``dedupkit[nsfw]``.
    max_nsfw : float
        Score in [0, 1] that a picture may have.
    checks : tuple of str
        Checks of your own that take pictures out of the set, by name; see docs/extending.md.
    """

    strip_metadata: bool = True
    orientation: Literal["keep", "bake"] = "keep"
    drop_fields: tuple[str, ...] = ("exif",)
    min_side: int = Field(default=16, ge=0)
    max_aspect: float = Field(default=10.0, ge=1)
    min_contrast: int = Field(default=8, ge=0, le=255)
    min_brightest: int = Field(default=40, ge=0, le=255)
    max_darkest: int = Field(default=235, ge=0, le=255)
    max_blur: float = Field(default=0.85, ge=0, le=1)
    animated: Literal["keep", "quarantine"] = "keep"
    placeholders: Literal["keep", "quarantine"] = "quarantine"
    placeholder_files: tuple[str, ...] = ()
    faces: Literal["off", "count", "blur", "quarantine"] = "off"
    min_face_score: float = Field(default=0.6, ge=0.3, le=1)
    min_face_share: float = Field(default=0.0, ge=0, le=1)
    documents: Literal["off", "count", "quarantine"] = "off"
    max_text_share: float = Field(default=0.2, ge=0, le=1)
    min_text_lines: int = Field(default=5, ge=1)
    nsfw: Literal["off", "count", "quarantine"] = "off"
    max_nsfw: float = Field(default=0.8, ge=0, le=1)
    checks: tuple[str, ...] = ()

"""``[blocklist]``: what must not stay."""

from __future__ import annotations

from pydantic import Field

from dedupkit.recipe.part import RecipePart


class Blocklist(RecipePart):
    """What must not stay, whatever else is like it: files of one entry a line, or ``FILE.parquet:COLUMN``.

    Attributes
    ----------
    urls : tuple of str
        Files of URLs, each as the source has it.
    domains : tuple of str
        Files of host names; what lies below one is blocked too.
    keys : tuple of str
        Files of the source's keys.
    sha256, md5 : tuple of str
        Files of hexadecimal digests of encoded images; for a source without images, of its columns of these names.
    pdq : tuple of str
        Files of hexadecimal PDQ hashes, as Meta's ThreatExchange has them.
    max_pdq_bits : int
        Largest Hamming distance from a blocked PDQ hash that is blocked too.
    images : tuple of str
        Images, and folders and tars of images: what shows the same picture as one of them is blocked, cropped,
        recoloured or mirrored as it may be; look-alikes are not.  The preset fast finds what hashes find.
    """

    urls: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    md5: tuple[str, ...] = ()
    pdq: tuple[str, ...] = ()
    max_pdq_bits: int = Field(default=31, ge=0, le=63)
    images: tuple[str, ...] = ()

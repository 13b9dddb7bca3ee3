"""Pictures that stand where a picture was to be: "image not found", "no photo", default avatars; known by hash.

The hashes stand in the fingerprints already, so that nothing is decoded, and another list decides anew.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.blocklist import ListFile, nearest_bits
from dedupkit.fingerprints.perceptual import PDQ_BITS
from dedupkit.sample import fixed_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.recipe import Hygiene

MAX_BITS = 31  # of `PDQ_BITS`, as PDQ's README recommends
# PDQ's README discards hashes of quality 49 and below, for it compares all with all.  Against some hundred hashes of
# pale drawings 20 is enough: the nearest of 18,051 real pictures is 68 bits away (docs/hygiene.md).
MIN_QUALITY = 20
COLUMNS = ("sha256", "pdq", "pdq_quality", "trimmed_pdq", "trimmed_pdq_quality")
_OF_BITS = f" of {PDQ_BITS} bits differ"
TABLE = Path(__file__).with_name("placeholders.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """One picture that is known to stand for a missing one.

    Attributes
    ----------
    name : str
        What it is called in words: its file and where that comes from.
    pdq : tuple of bytes
        PDQ hashes of the picture and of what is inside its uniform frame; without those of flat drawings, which mean
        nothing.
    sha256 : bytes or None
        Digest of its file; None where only its hash is listed.
    """

    name: str
    pdq: tuple[bytes, ...] = ()
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Which samples are placeholders.

    Attributes
    ----------
    mask : pyarrow.BooleanArray
        True where one is.
    details : pyarrow.StringArray
        Which one, in words; null elsewhere.
    """

    mask: pa.BooleanArray
    details: pa.StringArray


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Knows the placeholders of a recipe; small, and reads its files where it is first asked.

    Attributes
    ----------
    wanted : bool
        Whether they are looked for at all.
    files : tuple of ListFile
        The user's own lists of PDQ hashes.
    """

    wanted: bool = True
    files: tuple[ListFile, ...] = field(default=())

    @classmethod
    def of(cls, hygiene: Hygiene) -> Placeholders:
        """The placeholders of a recipe.

        Raises
        ------
        UsageError
            If a file is not there, is no list, or holds what is no PDQ hash.
        """
        files = tuple(ListFile.of("pdq", name, "placeholder file") for name in hygiene.placeholder_files)
        _known(files)  # what is wrong with a list is said at once, and whether it is used or not
        return cls(hygiene.placeholders != "keep", files)

    @property
    def identity(self) -> str:
        """Changes whenever something else may be a placeholder."""
        return " ".join([_table_identity(), *(each.identity for each in self.files)]) if self.wanted else ""

    def find(self, fingerprints: pa.Table) -> Found:
        """Look for them among fingerprints, of which `COLUMNS` are looked at; the time is in proportion to both."""
        known = _known(self.files)
        bits, which = known.nearest(fingerprints)
        near = bits <= MAX_BITS
        exact = pc.is_in(fingerprints["sha256"], known.digests).to_numpy()
        details: list[str | None] = [None] * len(near)
        for row in np.flatnonzero(near).tolist():
            details[row] = f"looks like {known.names[which[row]]}, {bits[row]}{_OF_BITS}"
        for row in np.flatnonzero(exact).tolist():
            details[row] = f"is {known.name_of[fingerprints['sha256'][row].as_py()]}, byte for byte"
        return Found(mask=pa.array(exact | near), details=pa.array(details, pa.string()))


def bits_of(details: pa.ChunkedArray) -> pa.ChunkedArray:
    """In how many bits what was found differs, out of what `Placeholders.find` said of it; 0 of equal files."""
    found = pc.struct_field(pc.extract_regex(details, rf"(?P<bits>\d+){_OF_BITS}$"), "bits")
    return pc.fill_null(pc.cast(found, pa.uint16()), 0)


@dataclass(frozen=True, slots=True)
class _Known:
    """Entries laid out for comparison."""

    codes: NDArray[np.uint8]
    names: list[str]
    digests: pa.Array
    name_of: dict[bytes, str]

    @classmethod
    def of(cls, entries: list[Placeholder]) -> _Known:
        hashed = [(code, each.name) for each in entries for code in each.pdq]
        codes = np.frombuffer(b"".join(code for code, _ in hashed), np.uint8).reshape(-1, 32)
        name_of = {each.sha256: each.name for each in reversed(entries) if each.sha256 is not None}
        return cls(codes, [name for _, name in hashed], pa.array(list(name_of), pa.binary(32)), name_of)

    def nearest(self, fingerprints: pa.Table) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Distance to the nearest entry and its number; `PDQ_BITS` + 1 where a sample's hashes mean nothing."""
        bits = np.full(fingerprints.num_rows, PDQ_BITS + 1, np.uint16)
        which = np.zeros(fingerprints.num_rows, np.int64)
        for column in ("pdq", "trimmed_pdq"):
            # A hash that a list brought along has no quality: nothing speaks against it.
            quality = fingerprints[f"{column}_quality"].fill_null(100).to_numpy()
            rows = np.flatnonzero(fingerprints[column].is_valid().to_numpy() & (quality >= MIN_QUALITY))
            found, entry = nearest_bits(fixed_bytes(fingerprints[column].take(pa.array(rows)), 32), self.codes)
            nearer = found < bits[rows]
            bits[rows[nearer]], which[rows[nearer]] = found[nearer], entry[nearer]
        return bits, which


@lru_cache(maxsize=2)
def _known(files: tuple[ListFile, ...]) -> _Known:
    own = [
        Placeholder(name=f"{code.hex()} in {each.file.name}", pdq=(code,))
        for each in files
        for code in dict.fromkeys(each.entries())
        if isinstance(code, bytes)
    ]
    return _Known.of([*shipped(), *own])


@cache
def shipped() -> tuple[Placeholder, ...]:
    """Those that come with the package, as ``training/placeholder_hashes.py`` wrote them."""
    with TABLE.open(encoding="utf-8", newline="") as handle:
        return tuple(_of_row(row) for row in csv.DictReader(handle))


def _of_row(row: dict[str, Any]) -> Placeholder:
    hashes = ((row["pdq"], row["quality"]), (row["trimmed_pdq"], row["trimmed_quality"]))
    return Placeholder(
        name=f'"{row["name"]}" of {row["package"]}',
        pdq=tuple(bytes.fromhex(code) for code, quality in hashes if int(quality) >= MIN_QUALITY),
        sha256=bytes.fromhex(row["sha256"]),
    )


@cache
def _table_identity() -> str:
    return hashlib.sha256(TABLE.read_bytes()).hexdigest()

"""What matching needs of all samples: digests, hashes and descriptors in arrays, which lie in files of a folder."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.matching.descriptors import DescriptorRows, descriptor_rows
from dedupkit.matching.radius import layout_of
from dedupkit.matching.turns import mirrored_distances
from dedupkit.sample import fixed_bytes
from dedupkit.scratch import release, scratch_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from dedupkit.matching.turns import HashLayout
    from dedupkit.recipe import Matching
    from dedupkit.scratch import Scratch

_MIN_DESCRIBED_ENTROPY = 0.2  # bits of 5
COLUMNS = (
    "position", "sha256", "fault",
    "phash", "pdq", "pdq_quality", "luminance_entropy",
    "trimmed_phash", "trimmed_pdq", "trimmed_pdq_quality", "trimmed_luminance_entropy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hashes:
    """The hashes of one kind, whole or trimmed, of many pictures.

    Attributes
    ----------
    codes : ndarray of uint8, shape (n, bits / 8)
        Hashes; zeros where there is none.
    present : ndarray of bool, shape (n,)
        Whether there is a hash.
    informative : ndarray of bool, shape (n,)
        Whether there is one, and of a picture with enough in it to be compared.
    entropy : ndarray of float32, shape (n,)
        Bits of the picture's luminance.
    """

    codes: NDArray[np.uint8]
    present: NDArray[np.bool_]
    informative: NDArray[np.bool_]
    entropy: NDArray[np.float32]

    def rows(self, which: Any) -> Hashes:
        """Those of some pictures."""
        return Hashes(*(getattr(self, each.name)[which] for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What matching needs of all samples: about 120 bytes each, and their descriptors.

    Attributes
    ----------
    positions : ndarray of uint64, shape (n,)
        Ascending.
    digests : ndarray of uint64, shape (n, 4)
        SHA-256 of the bytes.
    whole, trimmed : Hashes
        Of the picture, and of what is inside its uniform frame.
    descriptors : ndarray of float16, shape (n, dimensions)
        Zeros where there is none; without a column no dimensions.
    """

    positions: NDArray[np.uint64]
    digests: NDArray[np.uint64]
    whole: Hashes
    trimmed: Hashes
    descriptors: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.positions)

    def release(self) -> None:
        """Let go of the pages of what lies in files."""
        for values in (self.positions, self.digests, self.descriptors):
            release(values)
        for hashes in (self.whole, self.trimmed):
            for each in fields(hashes):
                release(getattr(hashes, each.name))


@contextmanager
def gathered(
    tables: Iterable[pa.Table], matching: Matching, folder: Path | None = None
) -> Iterator[tuple[Fingerprints, Scratch]]:
    """The fingerprints of all samples that have no fault, and a maker of further arrays beside them.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Fingerprints in the order of positions, at least `COLUMNS`; with a column ``descriptor``, that too.
    matching : Matching
        Which hash, and what makes it worth comparing.
    folder : Path, optional
        Where the arrays lie until the end; in memory if left out.

    Raises
    ------
    UsageError
        If descriptors are of different lengths.
    """
    with scratch_files(folder) as scratch:
        yield _gathered(tables, matching, scratch), scratch


def load(tables: Iterable[pa.Table], matching: Matching) -> Fingerprints:
    """The fingerprints of a few samples without fault, in memory."""
    with gathered(tables, matching) as (prints, _):
        return prints


def _gathered(tables: Iterable[pa.Table], matching: Matching, scratch: Scratch) -> Fingerprints:
    layout = layout_of(matching)
    columns = _Columns(scratch, layout.bits // 8)
    for table in tables:
        columns.add(_of_table(table, matching, layout))
    return columns.whole()


class _Columns:
    """The arrays as they grow, part after part."""

    def __init__(self, scratch: Scratch, code_bytes: int) -> None:
        self._positions = scratch.growing(np.uint64)
        self._digests = scratch.growing(np.uint64, (4,))
        self._hashes = [
            (
                scratch.growing(np.uint8, (code_bytes,)),
                *(scratch.growing(kind) for kind in (np.bool_, np.bool_, np.float32)),
            )
            for _ in range(2)
        ]
        self._descriptors = DescriptorRows(scratch)

    def add(self, part: Fingerprints) -> None:
        self._positions.append(part.positions)
        self._digests.append(part.digests)
        for growing, hashes in zip(self._hashes, (part.whole, part.trimmed), strict=True):
            for column, each in zip(growing, fields(hashes), strict=True):
                column.append(getattr(hashes, each.name))
        self._descriptors.add(part.descriptors)

    def whole(self) -> Fingerprints:
        whole, trimmed = (Hashes(*(column.whole() for column in growing)) for growing in self._hashes)
        return Fingerprints(self._positions.whole(), self._digests.whole(), whole, trimmed, self._descriptors.whole())


def _of_table(table: pa.Table, matching: Matching, layout: HashLayout) -> Fingerprints:
    table = table.filter(table["fault"].is_null())
    return Fingerprints(
        table["position"].to_numpy().astype(np.uint64),
        fixed_bytes(table["sha256"], 32).view(np.uint64).reshape(-1, 4),
        _hashes(table, "", matching, layout),
        _hashes(table, "trimmed_", matching, layout),
        _descriptors(table),
    )


def _descriptors(table: pa.Table) -> NDArray[np.float16]:
    if "descriptor" not in table.column_names:
        return np.empty((table.num_rows, 0), np.float16)
    rows = descriptor_rows(table["descriptor"])
    return rows if rows.size else np.empty((table.num_rows, 0), np.float16)


def _hashes(table: pa.Table, prefix: str, matching: Matching, layout: HashLayout) -> Hashes:
    column = table[prefix + matching.hash]
    if matching.hash == "pdq":
        codes = fixed_bytes(column, layout.bits // 8)
    else:
        codes = column.fill_null(0).to_numpy().astype(">u8").view(np.uint8).reshape(-1, 8)
    # A hash that a list brought along has neither: its quality is not known, and nothing speaks against it.
    quality = table[f"{prefix}pdq_quality"].fill_null(100).to_numpy()
    entropy = table[f"{prefix}luminance_entropy"].fill_null(5).to_numpy()
    present = column.is_valid().to_numpy()
    informative = present & (quality >= matching.min_pdq_quality) & (entropy >= matching.min_luminance_entropy)
    return Hashes(codes, present, informative, entropy.astype(np.float32))


def joined_hashes(parts: list[Hashes]) -> Hashes:
    """The hashes of several parts as one."""
    return Hashes(*(np.concatenate([getattr(part, name) for part in parts]) for name in Hashes.__slots__))


def comparable(whole: Hashes, trimmed: Hashes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of which pictures the whole hash, and of which the trimmed one, is compared."""
    plain_inside = trimmed.present & ~trimmed.informative  # the frame is all there is to the whole picture's hash
    return whole.informative & ~plain_inside, np.asarray(trimmed.informative)


def worth_describing(whole: Hashes, trimmed: Hashes) -> NDArray[np.bool_]:
    """Blank pictures are all alike to a network."""
    inside = np.where(trimmed.present, trimmed.entropy, whole.entropy)
    return np.asarray(inside >= _MIN_DESCRIBED_ENTROPY)


def differ_inside(trimmed: Hashes, a: NDArray[Any], b: NDArray[Any], layout: HashLayout) -> NDArray[np.bool_]:
    """Whether two pictures in frames show unrelated things inside: then their frames made the match."""
    framed = np.flatnonzero(trimmed.informative[a] & trimmed.informative[b])
    mine, theirs = trimmed.codes[a[framed]], trimmed.codes[b[framed]]
    words = layout.words(mine)
    nearest = np.minimum(
        mirrored_distances(words ^ layout.words(theirs)).min(axis=0),
        mirrored_distances(words ^ layout.words(layout.transposed(theirs))).min(axis=0),
    )
    differ = np.zeros(len(a), dtype=bool)
    differ[framed] = nearest > layout.bits * 3 // 8  # unrelated pictures are at 1/2; the trim may be a line off
    return differ

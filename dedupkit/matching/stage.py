"""The matching stage: all fingerprints in, candidate pairs out; set-level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.matching.descriptors import descriptor_rows
from dedupkit.matching.gathered import gathering
from dedupkit.matching.hamming import hamming_pairs
from dedupkit.matching.radius import layout_of, max_hamming_bits
from dedupkit.matching.turns import INVERSE, ORIENTATIONS, mirrored_distances
from dedupkit.sample import FINGERPRINTS, PAIRS, Tier, fixed_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dedupkit.matching.gathered import Gathered
    from dedupkit.matching.hamming import HammingPairs
    from dedupkit.matching.turns import HashLayout
    from dedupkit.recipe import Matching

STAGE = "candidates/1"
RADIUS_KEY = b"dedupkit.max_hamming_bits"
CAPPED_KEY = b"dedupkit.capped_neighbours"
RECALL_KEY = b"dedupkit.neighbour_recall"
VERIFIED_KEY = b"dedupkit.verified"
_MIN_DESCRIBED_ENTROPY = 0.2  # bits of 5
_COSINES = 1 << 15  # computed at a time
COLUMNS = (
    "position", "sha256", "fault",
    "phash", "pdq", "pdq_quality", "luminance_entropy",
    "trimmed_phash", "trimmed_pdq", "trimmed_pdq_quality", "trimmed_luminance_entropy",
)  # fmt: skip
_TRIMMED = ("none", "a", "b", "both")


@dataclass(frozen=True, slots=True)
class SearchFacts:
    """How pairs were searched.

    Attributes
    ----------
    max_hamming_bits : int
        The radius of hashes.
    neighbour_recall : float or None
        Share of the pairs of near descriptors that an exact search finds and this one found, measured on a sample; None
        where it was exact.
    capped_neighbours : int
        Samples with more near descriptors than their lists could take.
    verified_pairs : int
        Pairs that geometry was asked about.
    """

    max_hamming_bits: int
    neighbour_recall: float | None = None
    capped_neighbours: int = 0
    verified_pairs: int = 0

    @classmethod
    def of(cls, pairs: pa.Table) -> SearchFacts:
        """What the metadata of a table of pairs says."""
        said = {key: value.decode() for key, value in (pairs.schema.metadata or {}).items()}
        return cls(
            int(said[RADIUS_KEY]),
            float(said[RECALL_KEY]) if said.get(RECALL_KEY) else None,
            int(said.get(CAPPED_KEY, 0)),
            int(said.get(VERIFIED_KEY, 0)),
        )


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


def match(tables: Iterable[pa.Table], matching: Matching, threads: int = 1, scratch: Path | None = None) -> pa.Table:
    """Find all pairs that may be copies.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Fingerprints in the order of positions, at least `COLUMNS`; with a column ``descriptor``, neighbours are looked
        for too.
    matching : Matching
        When two samples are a pair.
    threads : int
        Threads that search.
    scratch : Path, optional
        Folder for files that are removed at the end; None keeps all descriptors in memory.

    Returns
    -------
    pyarrow.Table
        In the schema of `dedupkit.sample.PAIRS`, sorted by (tier, a, b); the radius that was searched stands in the
        metadata.  In tier ``exact`` every sample is paired
        with the first of the same bytes; in tiers ``perceptual`` and ``descriptor`` only those first ones are
        compared, so that a picture that stands 5,000 times costs one row each, not 12 million.
    """
    with gathering(scratch) as descriptors:
        return _match(load(tables, matching, descriptors), matching, threads, scratch)


def _match(prints: Fingerprints, matching: Matching, threads: int, scratch: Path | None) -> pa.Table:
    first = first_of_equals(prints.digests)
    copies = np.flatnonzero(first != np.arange(len(first)))
    copies = copies[np.argsort(first[copies], kind="stable")]
    exact = _table(prints.positions[first[copies]], prints.positions[copies], Tier.EXACT)
    distinct = np.flatnonzero(first == np.arange(len(first)))
    radius = max_hamming_bits(matching, len(distinct))
    near = _perceptual(prints, distinct, matching, radius, threads)
    metadata = {RADIUS_KEY: str(radius)}
    if prints.descriptors.shape[1]:
        near, facts = _with_neighbours(near, prints, distinct, matching, threads, scratch)
        metadata |= facts
    return pa.concat_tables([exact, near]).replace_schema_metadata(metadata)


def _with_neighbours(
    near: pa.Table,
    prints: Fingerprints,
    distinct: NDArray[np.int64],
    matching: Matching,
    threads: int,
    scratch: Path | None,
) -> tuple[pa.Table, dict[bytes, str]]:
    """Pairs of near hashes, with their cosines, and of near descriptors."""
    from dedupkit.matching.neighbours import neighbour_pairs

    rows, compared = prints.descriptors, np.zeros(len(prints.positions), dtype=bool)
    compared[distinct] = worth_describing(prints)[distinct]
    rows[~compared] = 0
    found = neighbour_pairs(
        rows, matching.min_cosine, max_neighbours=matching.max_neighbours, threads=threads, work=scratch
    )
    a, b = (np.searchsorted(prints.positions, near[end].to_numpy()) for end in ("a", "b"))
    cosine = pa.array(cosines(rows, a, b))
    near = near.set_column(PAIRS.get_field_index("cosine"), PAIRS.field("cosine"), cosine)
    new = ~np.isin(found.a * len(rows) + found.b, a * len(rows) + b)
    first, second = (prints.positions[end[new]] for end in (found.a, found.b))
    neighbours = _table(first, second, Tier.DESCRIPTOR, cosine=found.cosine[new])
    facts = {CAPPED_KEY: str(len(found.capped)), RECALL_KEY: "" if found.recall is None else f"{found.recall:.4f}"}
    return pa.concat_tables([near, neighbours]).sort_by([("a", "ascending"), ("b", "ascending")]), facts


def cosines(rows: NDArray[np.float16], a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosine of the descriptors of each pair of rows."""
    cosine = np.empty(len(a), np.float32)
    for start in range(0, len(a), _COSINES):
        part = slice(start, start + _COSINES)
        cosine[part] = np.einsum("nd,nd->n", rows[a[part]].astype(np.float32), rows[b[part]].astype(np.float32))
    return cosine


def worth_describing(prints: Fingerprints) -> NDArray[np.bool_]:
    """Blank pictures are all alike to a network."""
    inside = np.where(prints.trimmed.present, prints.trimmed.entropy, prints.whole.entropy)
    return np.asarray(inside >= _MIN_DESCRIBED_ENTROPY)


def load(tables: Iterable[pa.Table], matching: Matching, descriptors: Gathered) -> Fingerprints:
    """Collect the fingerprints of all samples that have no fault."""
    layout = layout_of(matching)
    parts = []
    for table in tables:
        part = _load_one(table, matching, layout)
        descriptors.add(part.descriptors)
        parts.append(replace(part, descriptors=part.descriptors[:0]))
    if not parts:
        parts = [_load_one(FINGERPRINTS.empty_table(), matching, layout)]
    return Fingerprints(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.digests for part in parts]),
        joined_hashes([part.whole for part in parts]),
        joined_hashes([part.trimmed for part in parts]),
        descriptors.matrix(),
    )


def _load_one(table: pa.Table, matching: Matching, layout: HashLayout) -> Fingerprints:
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


def first_of_equals(digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each row the number of the first row that equals it."""
    order = np.lexsort(digests.T)  # stable: equal rows stay in their order
    ordered = digests[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    return first


def _perceptual(
    prints: Fingerprints, distinct: NDArray[np.int64], matching: Matching, radius: int, threads: int
) -> pa.Table:
    """Pairs of different bytes whose hashes are near, whole or trimmed."""
    layout = layout_of(matching)
    whole, trimmed = prints.whole, prints.trimmed
    plain_inside = trimmed.present & ~trimmed.informative  # the frame is all there is to the whole picture's hash
    with_whole = distinct[(whole.informative & ~plain_inside)[distinct]]
    with_trimmed = distinct[trimmed.informative[distinct]]
    owners = np.concatenate([with_whole, with_trimmed])
    is_trimmed = np.arange(len(owners)) >= len(with_whole)
    codes = np.concatenate([whole.codes[with_whole], trimmed.codes[with_trimmed]])
    pairs = hamming_pairs(codes, layout, radius, turned=matching.turned, threads=threads)
    a, b, a_trimmed, b_trimmed = owners[pairs.a], owners[pairs.b], is_trimmed[pairs.a], is_trimmed[pairs.b]
    sound = (a != b) & ~(~a_trimmed & ~b_trimmed & differ_inside(trimmed, a, b, layout))
    return _evidence(prints, pairs, a, b, a_trimmed, b_trimmed, sound)


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


def _evidence(
    prints: Fingerprints,
    pairs: HammingPairs,
    a: NDArray[Any],
    b: NDArray[Any],
    a_trimmed: NDArray[Any],
    b_trimmed: NDArray[Any],
    sound: NDArray[np.bool_],
) -> pa.Table:
    """The pairs of samples, each with its nearest match, a before b."""
    swapped = a > b
    low, high = np.minimum(a, b), np.maximum(a, b)
    trimmed = np.where(swapped, b_trimmed + 2 * a_trimmed, a_trimmed + 2 * b_trimmed)
    turn = np.where(swapped, np.array(INVERSE)[pairs.turn], pairs.turn)
    order = np.lexsort((trimmed, pairs.distance, high, low))
    order = order[sound[order]]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (low[order[1:]] != low[order[:-1]]) | (high[order[1:]] != high[order[:-1]])
    best = order[fresh]
    return _table(
        prints.positions[low[best]],
        prints.positions[high[best]],
        Tier.PERCEPTUAL,
        pairs.distance[best],
        _named(ORIENTATIONS, turn[best]),
        _named(_TRIMMED, trimmed[best]),
    )


def _named(names: Sequence[str], numbers: NDArray[Any]) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(numbers.astype(np.uint8)))


def _table(
    a: NDArray[Any],
    b: NDArray[Any],
    tier: Tier,
    bits: NDArray[Any] | None = None,
    orientation: pa.Array | None = None,
    trimmed: pa.Array | None = None,
    cosine: NDArray[Any] | None = None,
) -> pa.Table:
    columns = {"a": a, "b": b, "tier": pa.repeat(tier.value, len(a)), "hamming_bits": bits}
    columns |= {"orientation": orientation, "trimmed": trimmed, "cosine": cosine}
    arrays = [
        pa.nulls(len(a), field.type) if columns.get(field.name) is None else pa.array(columns[field.name], field.type)
        for field in PAIRS
    ]
    return pa.Table.from_arrays(arrays, schema=PAIRS)

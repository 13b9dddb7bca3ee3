"""The matching stage: all fingerprints in, candidate pairs out; set-level."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.matching.equals import copies, first_of_equals
from dedupkit.matching.near_hashes import TRIMMED, near_hashes
from dedupkit.matching.radius import max_hamming_bits
from dedupkit.matching.signatures import COLUMNS, gathered, worth_describing
from dedupkit.matching.turns import ORIENTATIONS
from dedupkit.sample import PAIRS, Tier
from dedupkit.scratch import blocks, release

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dedupkit.engines import Spread
    from dedupkit.matching.neighbours import FoundNeighbours
    from dedupkit.matching.signatures import Fingerprints
    from dedupkit.recipe import Matching
    from dedupkit.scratch import Scratch

__all__ = ["COLUMNS", "STAGE", "FoundCandidates", "SearchFacts", "find_candidates", "match"]

STAGE = "candidates/3"
RADIUS_KEY = b"dedupkit.max_hamming_bits"
CAPPED_KEY = b"dedupkit.capped_neighbours"
RECALL_KEY = b"dedupkit.neighbour_recall"
VERIFIED_KEY = b"dedupkit.verified"
_COSINES = 1 << 15  # computed at a time
_PAIRS = 1 << 18  # of a table that is handed on


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
    def of(cls, pairs: pa.Table | pa.Schema) -> SearchFacts:
        """What the metadata of a table of pairs says."""
        schema = pairs if isinstance(pairs, pa.Schema) else pairs.schema
        said = {key: value.decode() for key, value in (schema.metadata or {}).items()}
        return cls(
            int(said[RADIUS_KEY]),
            float(said[RECALL_KEY]) if said.get(RECALL_KEY) else None,
            int(said.get(CAPPED_KEY, 0)),
            int(said.get(VERIFIED_KEY, 0)),
        )


@dataclass(frozen=True, slots=True)
class FoundCandidates:
    """Pairs that may be copies, found and not yet read.

    Attributes
    ----------
    schema : pyarrow.Schema
        `dedupkit.sample.PAIRS`; its metadata says how they were searched.
    tables : iterator of pyarrow.Table
        The pairs, sorted by (tier exact or not, a, b) over all tables.
    """

    schema: pa.Schema
    tables: Iterator[pa.Table]


def match(
    tables: Iterable[pa.Table],
    matching: Matching,
    threads: int = 1,
    scratch: Path | None = None,
    memory: int | None = None,
) -> pa.Table:
    """Find all pairs that may be copies, as one table; parameters and result as of `find_candidates`."""
    with find_candidates(tables, matching, threads=threads, scratch=scratch, memory=memory) as found:
        return pa.Table.from_batches(
            [batch for table in found.tables for batch in table.to_batches()], schema=found.schema
        )


@contextmanager
def find_candidates(
    tables: Iterable[pa.Table],
    matching: Matching,
    *,
    threads: int = 1,
    scratch: Path | None = None,
    memory: int | None = None,
    spread: Spread | None = None,
) -> Iterator[FoundCandidates]:
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
        Folder for files that are removed at the end: 120 bytes a sample, 100 a hash, three times the descriptors, and
        24 bytes a pair.  None keeps all of that in memory.
    memory : int, optional
        Bytes that the search may take, besides about 60 a sample.  The result does not depend on it.
    spread : callable, optional
        Runs tasks in other processes, which see `scratch`: there the search of large sets goes.

    Yields
    ------
    FoundCandidates
        In tier ``exact`` every sample is paired with the first of the same bytes; in tiers ``perceptual`` and
        ``descriptor`` only those first ones are compared, so that a picture that stands 5,000 times costs one row
        each, not 12 million.
    """
    with gathered(tables, matching, scratch) as (prints, files):
        yield _found(prints, matching, threads, files, memory, spread)


def _found(
    prints: Fingerprints,
    matching: Matching,
    threads: int,
    scratch: Scratch,
    memory: int | None,
    spread: Spread | None,
) -> FoundCandidates:
    first = first_of_equals(prints.digests, memory=memory, scratch=scratch)
    radius = max_hamming_bits(matching, len(first) - sum(map(len, copies(first))))
    options: Mapping[str, Any] = {"threads": threads, "scratch": scratch}
    near = near_hashes(prints, first, matching, radius, memory=memory, spread=spread, **options)
    metadata = {RADIUS_KEY: str(radius)}
    neighbours = None
    if prints.descriptors.shape[1]:
        neighbours = _neighbours(prints, first, matching, threads, scratch, spread)
        recall = "" if neighbours.recall is None else f"{neighbours.recall:.4f}"
        metadata |= {CAPPED_KEY: str(len(neighbours.capped)), RECALL_KEY: recall}
    return FoundCandidates(PAIRS.with_metadata(metadata), _tables(prints, first, near, neighbours))


def _neighbours(
    prints: Fingerprints,
    first: NDArray[np.int64],
    matching: Matching,
    threads: int,
    scratch: Scratch,
    spread: Spread | None,
) -> FoundNeighbours:
    """Pairs of near descriptors; those that are not compared are blanked out."""
    from dedupkit.matching.neighbours import find_neighbours

    rows = prints.descriptors
    for block in blocks(len(rows)):
        compared = first[block] == np.arange(block.start, block.stop)
        compared &= worth_describing(prints.whole.rows(block), prints.trimmed.rows(block))
        rows[block.start + np.flatnonzero(~compared)] = 0
        release(rows)
    prints.release()
    most = matching.max_neighbours
    return find_neighbours(rows, matching.min_cosine, scratch, max_neighbours=most, threads=threads, spread=spread)


def _tables(
    prints: Fingerprints, first: NDArray[np.int64], near: NDArray[Any], neighbours: FoundNeighbours | None
) -> Iterator[pa.Table]:
    positions = prints.positions
    for original, again in _copies(first):
        yield _table(positions[original], positions[again], np.full(len(again), Tier.EXACT.value, object))
    done = 0
    for hits in [] if neighbours is None else neighbours.pairs.merged():
        until = int(np.searchsorted(near["a"], hits["a"][-1], side="right")) if len(hits) else done
        yield from _near_tables(prints, near[done:until], hits)
        done = until
    for block in blocks(len(near) - done, _PAIRS):
        yield from _near_tables(prints, near[done + block.start : done + block.stop], None)


def _copies(first: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows that equal an earlier one, with that one, sorted by both."""
    again = np.concatenate([np.empty(0, np.int64), *copies(first)])
    again = again[np.argsort(first[again], kind="stable")]
    for block in blocks(len(again), _PAIRS):
        yield np.asarray(first[again[block]]), again[block]


def _near_tables(prints: Fingerprints, near: NDArray[Any], hits: NDArray[Any] | None) -> Iterator[pa.Table]:
    """Pairs of near hashes, with their cosines, and of near descriptors in the same range of a."""
    a, b = near["a"], near["b"]
    columns: dict[str, Any] = {
        "hamming_bits": near["bits"],
        "orientation": _named(ORIENTATIONS, near["turn"]),
        "trimmed": _named(TRIMMED, near["trimmed"]),
    }
    described = bool(prints.descriptors.shape[1])
    if described:
        columns["cosine"] = cosines(prints.descriptors, a, b)
    table = _table(prints.positions[a], prints.positions[b], np.full(len(a), Tier.PERCEPTUAL.value, object), columns)
    if hits is not None and len(hits):
        count = len(prints)
        new = hits[~np.isin(hits["a"].astype(np.int64) * count + hits["b"], a * count + b)]
        tier = np.full(len(new), Tier.DESCRIPTOR.value, object)
        others = _table(prints.positions[new["a"]], prints.positions[new["b"]], tier, {"cosine": new["cosine"]})
        table = pa.concat_tables([table, others]).sort_by([("a", "ascending"), ("b", "ascending")])
    prints.release()
    yield table


def cosines(rows: NDArray[np.float16], a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosine of the descriptors of each pair of rows."""
    cosine = np.empty(len(a), np.float32)
    for part in blocks(len(a), _COSINES):
        cosine[part] = np.einsum("nd,nd->n", rows[a[part]].astype(np.float32), rows[b[part]].astype(np.float32))
        release(rows)
    return cosine


def _named(names: Sequence[str], numbers: NDArray[Any]) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(numbers.astype(np.uint8)))


def _table(a: NDArray[Any], b: NDArray[Any], tier: NDArray[Any], columns: Mapping[str, Any] | None = None) -> pa.Table:
    given = {"a": a, "b": b, "tier": tier, **(columns or {})}
    arrays = [
        pa.array(given[field.name], field.type) if field.name in given else pa.nulls(len(a), field.type)
        for field in PAIRS
    ]
    return pa.Table.from_arrays(arrays, schema=PAIRS)

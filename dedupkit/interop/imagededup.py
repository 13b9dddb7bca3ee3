"""imagededup's encoding maps in, its dictionaries of duplicates out; imagededup itself is not needed for either.

An encoding map is what its ``encode_images`` returns: file names and 64-bit hashes in hexadecimal, of PHash, DHash,
AHash or WHash, or file names and vectors, of CNN.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.engines.local import available_cores
from dedupkit.errors import UsageError
from dedupkit.found import Found
from dedupkit.sample import PAIRS, Reason, Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

MAX_HAMMING_BITS, MIN_COSINE = 10, 0.9  # imagededup's own defaults
_WIDEST_BITS = 15  # of 64; beyond, unrelated pictures match
_HEX = re.compile(r"[0-9a-fA-F]{1,16}")
_EXACT_BELOW = 32_768


@dataclass(frozen=True, repr=False)
class FoundInEncodings(Found):
    """Duplicates among encodings: unlike those of a search over images, every near pair stands in `pairs`.

    Attributes
    ----------
    files : tuple of str
        All files that have an encoding, in the map's order; positions are places in it.
    """

    files: tuple[str, ...]


def duplicates_of_encodings(
    encoding_map: Mapping[str, Any], *, max_hamming_bits: int | None = None, min_cosine: float | None = None
) -> FoundInEncodings:
    """Find duplicates among imagededup's encodings, without images.

    Parameters
    ----------
    encoding_map : mapping of str to str, or of str to ndarray of shape (d,)
        Hashes of at most 16 hexadecimal digits, or vectors.  Files whose encoding is None have the fault
        ``missing_image``.
    max_hamming_bits : int, optional
        Of hashes: imagededup's ``max_distance_threshold``, in [0, 15]; 10 if left out, as there.
    min_cosine : float, optional
        Of vectors: imagededup's ``min_similarity_threshold``, in (0, 1]; 0.9 if left out, as there.

    Returns
    -------
    FoundInEncodings
        Tier ``perceptual`` with `hamming_bits`, or ``descriptor`` with `cosine`.  Nothing is proven: encodings of
        different pictures may be near, and geometry would need the images.

    Raises
    ------
    UsageError
        A limit out of range or for the other kind of encoding, or an encoding that is neither.

    Notes
    -----
    The same pairs as imagededup's, up to rounding of cosines, for fewer than 100,000 different hashes or 32,768
    different vectors.  Larger sets are searched through indexes that find nearly all pairs.

    Examples
    --------
    >>> found = duplicates_of_encodings({"a.jpg": "9f172786e71f1e00", "b.jpg": "9f172786e71f1e01", "c.jpg": "0" * 16})
    >>> to_duplicates(found, scores=True)
    {'a.jpg': [('b.jpg', 1)], 'b.jpg': [('a.jpg', 1)], 'c.jpg': []}
    """
    known = {str(name): value for name, value in encoding_map.items() if value is not None}
    faults = {str(name): Reason.MISSING_IMAGE.value for name, value in encoding_map.items() if value is None}
    of_hashes = all(isinstance(value, str) for value in known.values())
    _check(of_hashes, max_hamming_bits, min_cosine)
    radius = MAX_HAMMING_BITS if max_hamming_bits is None else max_hamming_bits
    floor = MIN_COSINE if min_cosine is None else min_cosine
    table = _near_hashes(known, radius) if of_hashes else _near_vectors(known, floor)
    pairs = _with_names(table, tuple(known))
    return FoundInEncodings(
        samples=len(encoding_map),
        pairs=pairs,
        faults=faults,
        max_hamming_bits=radius if of_hashes else 0,
        min_cosine=1.0 if of_hashes else floor,
        look_alikes=pairs.slice(0, 0),
        neighbour_recall=None,
        capped_neighbours=0,
        files=tuple(known),
    )


def to_duplicates(
    found: Found, scores: bool = False, *, files: Iterable[str] | None = None
) -> dict[str, list[str]] | dict[str, list[tuple[str, float]]]:
    """The dictionary that imagededup's ``find_duplicates`` returns.

    Parameters
    ----------
    found : Found
        Of `duplicates_of_encodings`, which gives the pairs; or of `dedupkit.find_duplicates`, which verifies no more
        pairs than its groups need: there the duplicates of a file are all others of its group.
    scores : bool
        Also give a number with each: bits of the hashes where the search was one of hashes, else cosines.  Two of a
        group that have no pair get the number of the weakest pair that ties them; a pair without a cosine gets 0.
    files : iterable of str, optional
        Names of all files, as imagededup wants a key for each.  Only needed where `found` does not name them: keys of
        an image folder are paths in it.

    Returns
    -------
    dict of str to list of str, or of str to list of (str, number)
        Symmetric; every file is a key.  Nearest first for bits, in the order of the files for cosines, as there.

    Raises
    ------
    UsageError
        Not all files are known.

    Notes
    -----
    A group of n files is n (n - 1) entries.
    """
    near = _direct(found) if isinstance(found, FoundInEncodings) else _through_groups(found)
    names = _all_files(found, files)
    place = {name: number for number, name in enumerate(names)}
    by_bits = _is_of_bits(found)
    duplicates: dict[str, list[tuple[str, float]]] = {}
    for name in names:
        rows = sorted(near.get(name, {}).items(), key=lambda row: (row[1] if by_bits else 0, place[row[0]]))
        duplicates[name] = [(other, number) for other, number in rows]
    if scores:
        return duplicates
    return {name: [other for other, _ in rows] for name, rows in duplicates.items()}


def _check(of_hashes: bool, max_hamming_bits: int | None, min_cosine: float | None) -> None:
    if of_hashes and min_cosine is not None:
        raise UsageError("min_cosine is of vectors, and these encodings are hashes; give max_hamming_bits")
    if not of_hashes and max_hamming_bits is not None:
        raise UsageError("max_hamming_bits is of hashes, and these encodings are vectors; give min_cosine")
    if max_hamming_bits is not None and not 0 <= max_hamming_bits <= _WIDEST_BITS:
        raise UsageError(
            f"max_hamming_bits must be in [0, {_WIDEST_BITS}], got {max_hamming_bits}; wider radii match unrelated "
            "images"
        )
    if min_cosine is not None and not 0 < min_cosine <= 1:
        raise UsageError(f"min_cosine must be in (0, 1], got {min_cosine}; imagededup's default is 0.9")


def _near_hashes(hashes: Mapping[str, str], radius: int) -> pa.Table:
    from dedupkit.matching.hamming import hamming_pairs
    from dedupkit.matching.turns import PHASH

    wrong = next((name for name, value in hashes.items() if not _HEX.fullmatch(value)), None)
    if wrong is not None:
        got = f"{hashes[wrong]!r} for {wrong!r}"
        raise UsageError(f"a hash must have 1 to 16 hexadecimal digits, got {got}; encode that file again")
    values = np.array([int(value, 16) for value in hashes.values()], dtype=">u8")
    distinct, group = np.unique(values, return_inverse=True)
    codes = distinct.astype(">u8").view(np.uint8).reshape(-1, 8)
    pairs = hamming_pairs(codes, PHASH, radius, turned=False, threads=available_cores())
    a, b, row = _of_all(group, pairs.a, pairs.b)
    bits = np.concatenate([pairs.distance, [0]])[row]  # row -1: equal hashes
    return _table(a, b, Tier.PERCEPTUAL, "hamming_bits", bits)


def _near_vectors(vectors: Mapping[str, Any], floor: float) -> pa.Table:
    from dedupkit.matching.neighbours import neighbour_pairs

    distinct, group = np.unique(_unit_rows(vectors), axis=0, return_inverse=True)
    most = len(distinct) if len(distinct) < _EXACT_BELOW else 1024
    pairs = neighbour_pairs(distinct, floor, max_neighbours=min(32, most), hard_limit=most, threads=available_cores())
    a, b, row = _of_all(group.reshape(-1), pairs.a, pairs.b)
    present = distinct[group.reshape(-1)[a]].any(axis=1)
    cosine = np.concatenate([pairs.cosine, [1.0]])[row]
    return _table(a[present], b[present], Tier.DESCRIPTOR, "cosine", cosine[present])


def _unit_rows(vectors: Mapping[str, Any]) -> NDArray[np.float32]:
    """The vectors at length 1; zeros where there is none or it is not finite."""
    try:
        rows = np.array([np.asarray(value, dtype=np.float32).reshape(-1) for value in vectors.values()], np.float32)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"encodings must be all hashes in hexadecimal or all vectors of one length: {error}; encode them again"
        ) from error
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    sound = np.isfinite(length) & (length > 0)
    return np.where(sound, rows / np.where(sound, length, 1), 0).astype(np.float32)


def _of_all(
    group: NDArray[np.int64], u: NDArray[np.int64], v: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of files from pairs of different encodings: their ends, a < b, and the row they come from.

    Parameters
    ----------
    group : ndarray of int64, shape (files,)
        Number of each file's encoding.
    u, v : ndarray of int64, shape (rows,)
        Pairs of encodings.  Files of equal encodings are paired too, with row -1.
    """
    members, sizes = np.argsort(group, kind="stable"), np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    several = np.flatnonzero(sizes > 1)
    row = np.concatenate([np.arange(len(u)), np.full(len(several), -1)])
    u, v = np.concatenate([u, several]), np.concatenate([v, several])
    counts = sizes[u] * sizes[v]
    pair = np.repeat(np.arange(len(u)), counts)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    one = members[starts[u[pair]] + within // sizes[v[pair]]]
    other = members[starts[v[pair]] + within % sizes[v[pair]]]
    once = (row[pair] >= 0) | (one < other)
    a, b, row = np.minimum(one, other)[once], np.maximum(one, other)[once], row[pair][once]
    order = np.lexsort((b, a))
    return a[order], b[order], row[order]


def _table(a: NDArray[Any], b: NDArray[Any], tier: Tier, name: str, values: NDArray[Any]) -> pa.Table:
    columns = {"a": a, "b": b, "tier": pa.repeat(tier.value, len(a)), name: values}
    arrays = [
        pa.array(columns[field.name]).cast(field.type) if field.name in columns else pa.nulls(len(a), field.type)
        for field in PAIRS
    ]
    return pa.Table.from_arrays(arrays, schema=PAIRS)


def _with_names(table: pa.Table, files: tuple[str, ...]) -> pa.Table:
    """In the columns of `Found.pairs`."""
    names = pa.array(files, pa.string())
    ends = {end: names.take(table[end].combine_chunks()) for end in ("a", "b")}
    rest = {name: table[name] for name in table.column_names if name not in ends}
    return pa.table(ends | {"a_position": table["a"], "b_position": table["b"]} | rest)


def _is_of_bits(found: Found) -> bool:
    """Whether hashes were all there was to the search."""
    return found.min_cosine >= 1 and not found.pairs["cosine"].is_valid().to_numpy().any()


def _numbers(found: Found) -> list[float]:
    """What each pair is scored by."""
    exact = [tier == Tier.EXACT for tier in found.pairs["tier"].to_pylist()]
    best, column = (0, "hamming_bits") if _is_of_bits(found) else (1.0, "cosine")
    values = found.pairs[column].to_pylist()
    return [best if same else value or 0 for same, value in zip(exact, values, strict=True)]


def _direct(found: Found) -> dict[str, dict[str, float]]:
    near: dict[str, dict[str, float]] = defaultdict(dict)
    for a, b, number in zip(found.pairs["a"].to_pylist(), found.pairs["b"].to_pylist(), _numbers(found), strict=True):
        near[a][b] = near[b][a] = number
    return near


def _through_groups(found: Found) -> dict[str, dict[str, float]]:
    """Pairs join the parts of a group from the strongest on: each is the weakest between the parts that it joins."""
    near: dict[str, dict[str, float]] = defaultdict(dict)
    part: dict[str, list[str]] = {}
    numbers = _numbers(found)
    strongest_first = sorted(range(len(numbers)), key=lambda row: numbers[row] * (1 if _is_of_bits(found) else -1))
    a, b = (found.pairs[end].to_pylist() for end in ("a", "b"))
    for row in strongest_first:
        here, there = (part.setdefault(end, [end]) for end in (a[row], b[row]))
        if here is there:
            continue
        for one in here:
            for other in there:
                near[one][other] = near[other][one] = numbers[row]
        here += there
        part.update(dict.fromkeys(there, here))
    for one, other, number in zip(a, b, numbers, strict=True):
        near[one][other] = near[other][one] = number
    return near


def _all_files(found: Found, files: Iterable[str] | None) -> list[str]:
    if isinstance(found, FoundInEncodings) and files is None:
        return list(found.files)
    paired = [key for group in found.groups for key in group]
    if files is None and len(paired) < found.samples - len(found.faults):
        raise UsageError(
            f"only {len(paired)} of {found.samples} files stand in a pair, and the others need a key too; give files, "
            "the names of all"
        )
    names = list(dict.fromkeys(paired if files is None else files))
    if missing := set(paired) - set(names):
        raise UsageError(f"files lacks {len(missing)} that have duplicates, such as {min(missing)!r}; give all names")
    return [name for name in names if name not in found.faults]

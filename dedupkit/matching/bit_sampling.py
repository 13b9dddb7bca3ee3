"""Pairs of hashes within a Hamming radius for sets too large to be searched completely.

Bit sampling (Indyk and Motwani 1998, doi:10.1145/276698.276876): hashes that agree in some bits chosen by chance are
compared, and that for many choices.  The choice widens with the logarithm of the set, so that few unrelated hashes
agree in it and time grows like the set.  Bits of odd frequencies are taken relative to one of their parity (see
`turns`), so that the four mirror images of a hash have one key; a second key, of the transposed one, brings the others.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.matching.runs import Runs, pack, packed_once
from dedupkit.matching.sampled_bits import Entries, EntryFiles, KeyTable, Slice, Task
from dedupkit.matching.turns import mirrored_distances
from dedupkit.scratch import Scratch, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from dedupkit.engines import Spread
    from dedupkit.matching.turns import HashLayout

_TABLES = 64
_REFERENCES = 2  # bits that say which mirror image it is
_CROWD = 64  # hashes of one key that are all compared with each other
_LEADERS, _FOLLOWERS = 4, 8  # of those that still agree each is compared with the first and with the next ones
_COMPARED = 1 << 17  # at a time: 30 MB
_BYTES_AN_ENTRY = 100  # while a slice is searched
_LEAST_MEMORY = 1 << 24


def sampled_pairs(
    words: NDArray[Any],
    transposed: NDArray[Any] | None,
    max_hamming_bits: int,
    *,
    threads: int = 1,
    memory: int | None = None,
    into: Runs | None = None,
    spread: Spread | None = None,
) -> Runs:
    """Find most pairs of hashes within a Hamming radius.

    Parameters
    ----------
    words : ndarray of uint64 or uint16, shape (n, 4)
        Different hashes, as words of the four parities; fewer than 2^31.
    transposed : ndarray of uint64 or uint16, shape (n, 4), or None
        The same for the transposed images; None compares hashes as they are, without any turn.
    max_hamming_bits : int
        Radius.
    threads : int
        Threads that search, a choice of bits each; the result does not depend on them.
    memory : int, optional
        Bytes that the search may take; None takes as much as is quickest.  The result does not depend on it.
    into : Runs, optional
        Where pairs are put.
    spread : callable, optional
        Runs tasks in other processes, which see the files that `words` and `transposed` are mapped from.

    Returns
    -------
    Runs
        Pairs of row numbers, packed as ``a << 32 | b``, a < b, each once, sorted.

    Notes
    -----
    A pair that differs in d bits, which may be any, is found with the chance that `expected_recall` gives.  For
    PDQ and all turns, with 64 choices of 18 bits at 200,000 hashes, 20 at a million, 24 at ten million:

    ============  ======  ======  ======  ======  ======  ======
    hashes        d = 8   d = 16  d = 20  d = 24  d = 28  d = 31
    ============  ======  ======  ======  ======  ======  ======
    200,000       1.000   1.000   1.000   1.000   1.000   0.998
    1,000,000     1.000   1.000   1.000   1.000   0.998   0.989
    10,000,000    1.000   1.000   1.000   0.996   0.971   0.919
    100,000,000   1.000   1.000   0.999   0.981   0.908   0.802
    ============  ======  ======  ======  ======  ======  ======

    A pair that matches transposed has about two such chances.

    Where more than 64 hashes agree in the chosen bits, up to 24 more bits are added; those that agree in these too are
    compared with 12 others each.  So a crowd of hashes that are all near each other costs at most some 64 comparisons
    a hash and choice, not its square; its members have pairs, though not with all others.

    Memory is 200 bytes a hash and thread, or `memory`: hashes whose chosen bits fall into the same slice are then
    searched together, and all are read once for each slice and choice.
    """
    entries = Entries(words, transposed)
    width = _sampled_bits(len(words), entries.bits, turned=entries.turned)
    slices = 1 if memory is None else -(-len(entries) * _BYTES_AN_ENTRY * threads // max(memory, _LEAST_MEMORY))
    found = into if into is not None else Runs(Scratch(), np.uint64, packed_once)
    tasks = [
        Task(KeyTable.drawn(number, width, words.dtype, turned=entries.turned), each, slices)
        for number in range(_TABLES)
        for each in range(slices)
    ]
    files = EntryFiles.of(entries)
    if spread is not None and files is not None:
        for _, pairs in spread(partial(_pairs_in_files, files=files, radius=max_hamming_bits), tasks):
            found.add(pairs)
        return found
    whole = entries.all() if slices == 1 else None
    with ThreadPoolExecutor(threads, thread_name_prefix="dedupkit") as pool:
        waiting: deque[Future[NDArray[np.uint64]]] = deque()
        for task in tasks:  # no more under way than there are threads, however long the first one takes
            waiting.append(pool.submit(_pairs_of, whole or entries, max_hamming_bits, task))
            if len(waiting) > threads:
                found.add(waiting.popleft().result())
        while waiting:
            found.add(waiting.popleft().result())
    return found


def expected_recall(samples: int, layout: HashLayout, distance: int, *, turned: bool = True) -> float:
    """Chance that a pair at a distance is found, where its differing bits may be any and no crowd stands near it.

    Parameters
    ----------
    samples : int
        Different hashes that are searched.
    layout : HashLayout
        Their layout.
    distance : int
        Bits in which the pair differs.
    turned : bool
        Whether all turns are searched.  A pair that matches transposed has a little more than this chance.
    """
    sampled = _sampled_bits(samples, layout.bits, turned=turned)
    agree = comb(layout.bits - distance, sampled) / comb(layout.bits, sampled)
    return float(1 - (1 - agree) ** _TABLES)


def _sampled_bits(samples: int, bits: int, *, turned: bool) -> int:
    """As many that one or two unrelated hashes agree in them."""
    return min(max(samples, 4).bit_length() - 2 + (_REFERENCES if turned else 0), bits // 2)


def _pairs_in_files(task: Task, *, files: EntryFiles, radius: int) -> NDArray[np.uint64]:
    transposed = None if files.transposed is None else files.transposed.opened()
    entries = Entries(files.words.opened(), transposed)
    return _pairs_of(entries.all() if task.slices == 1 else entries, radius, task)


def _pairs_of(entries: Entries | Slice, radius: int, task: Task) -> NDArray[np.uint64]:
    """Pairs of rows that one table finds in a slice, packed, each once."""
    chosen = entries if isinstance(entries, Slice) else entries.of_slice(task)
    found = [np.empty(0, dtype=np.uint64), *_found(chosen, radius, task.table)]
    return packed_once(np.concatenate(found))


def _found(entries: Slice, radius: int, table: KeyTable) -> Iterator[NDArray[np.uint64]]:
    crowded, run = np.arange(len(entries.words)), np.zeros(len(entries.words), dtype=np.int64)
    for level in range(len(table.masks)):
        order, lengths = _runs(entries, crowded, run, table, level)
        small = np.repeat(lengths <= _CROWD, lengths)
        yield from _in_runs(entries, radius, order[small], lengths[lengths <= _CROWD], _CROWD)
        crowded, lengths = order[~small], lengths[lengths > _CROWD]
        run = np.repeat(np.arange(len(lengths)), lengths)
    yield from _in_runs(entries, radius, crowded, lengths, _FOLLOWERS)
    for leader in range(_LEADERS):
        leaders = crowded[np.repeat(np.cumsum(lengths) - lengths + leader, lengths)]
        for block in blocks(len(crowded), _COMPARED):
            one, other = leaders[block], crowded[block]
            yield _near(entries, radius, one, other, entries.words[one], entries.words[other])


def _runs(
    entries: Slice, chosen: NDArray[np.int64], run: NDArray[np.int64], table: KeyTable, level: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Entries of one run that agree in the chosen bits side by side, in their order, and how many do."""
    packed = chosen.astype(np.uint64)
    for block in blocks(len(chosen), _COMPARED):
        packed[block] |= table.keys(entries.words.take(chosen[block], axis=0), level)
    if not level:  # all are of one run
        packed.sort()
        keys, order = packed >> np.uint64(32), (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
        fresh = keys[1:] != keys[:-1]
    else:  # never across runs, so that it does not matter which others are searched together with one
        place = np.lexsort((packed, run))
        keys, order, run = packed[place] >> np.uint64(32), chosen[place], run[place]
        fresh = (keys[1:] != keys[:-1]) | (run[1:] != run[:-1])
    starts = np.flatnonzero(fresh) + 1
    return order, np.diff(np.concatenate([[0], starts, [len(keys)]]) if len(keys) else [0])


def _in_runs(
    entries: Slice, radius: int, members: NDArray[np.int64], lengths: NDArray[np.int64], reach: int
) -> Iterator[NDArray[np.uint64]]:
    """Near pairs of a member and so many that follow it in its run."""
    members, lengths = members[np.repeat(lengths > 1, lengths)], lengths[lengths > 1]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    run = 0
    while run < len(lengths):
        start = ends[run]
        last = max(run + 1, int(np.searchsorted(ends, start + _COMPARED, side="right")) - 1)
        block, until = members[start : ends[last]], np.repeat(ends[run + 1 : last + 1] - start, lengths[run:last])
        words = entries.words.take(block, axis=0)
        places = np.arange(len(block))
        for ahead in range(1, reach + 1):
            places = places[places + ahead < until[places]]
            if not len(places):
                break
            one, other = places, places + ahead
            yield _near(entries, radius, block[one], block[other], words.take(one, axis=0), words.take(other, axis=0))
        run = last


def _near(
    entries: Slice,
    radius: int,
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    words: NDArray[Any],
    other_words: NDArray[Any],
) -> NDArray[np.uint64]:
    """Those of the pairs of entries that are within the radius, as pairs of rows."""
    difference = words ^ other_words
    near = np.flatnonzero(_least_distances(difference, turned=entries.turned) <= radius)
    one, other, difference = entries.numbers[one[near]], entries.numbers[other[near]], difference[near]
    if entries.turned:
        near = mirrored_distances(difference).min(axis=0) <= radius
        near &= (one & other & 1 == 0) & (one >> 1 != other >> 1)  # both transposed are found as they are
        one, other = one >> 1, other >> 1
    else:
        near = np.bitwise_count(difference).sum(axis=1, dtype=np.uint16) <= radius
    return pack(np.minimum(one, other)[near], np.maximum(one, other)[near])


def _least_distances(difference: NDArray[Any], *, turned: bool) -> NDArray[np.uint8]:
    """In how many bits a pair differs at least: each word mirrored or not, whichever is less."""
    differing = np.bitwise_count(difference)
    word = difference.itemsize * 8
    if turned:
        np.minimum(differing, np.array([2 * word, word, word, word], dtype=np.uint8) - differing, out=differing)
    np.minimum(differing, 63, out=differing)  # so that the sum stays below 256
    return np.asarray((differing.view(np.uint32)[:, 0] * np.uint32(0x01010101)) >> np.uint32(24)).astype(np.uint8)

"""The captions of a whole set, of which only what repeats is held in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.mitigation.captions import REPEATED, caption_digest, merged_captions, normal_forms, rewritten
from dedupkit.sample import ROW_BITS, Action
from dedupkit.scratch import blocks, release, shares_of
from dedupkit.scratch_tables import ScratchTable, rows_between

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.journey import Tables
    from dedupkit.recipe import Captions
    from dedupkit.scratch import Scratch

SETTLED = pa.schema({"caption": pa.string(), "captions": pa.list_(pa.string())})  # null for what does not stay
_MERGED = pa.schema({"position": pa.uint64(), "captions": pa.list_(pa.string()), "left_out": pa.uint32()})
_MERGING = ("key", "action", "reason", "kept_key")
_BYTES_COUNTED, _BYTES_MERGED = 100, 600  # a sample, while repeated captions are counted and copies' are merged
_BLOCK = 1 << 18


class SetCaptions:
    """What becomes of captions, when the decisions about all samples are made.

    Parameters
    ----------
    tables : Tables
        Fingerprints and decisions.
    shards : int
        How many there are.
    options : Captions
        The recipe's.
    exempt : ndarray of uint64
        Positions whose captions are neither counted as repeated nor rewritten.
    scratch : Scratch
        For 24 bytes a sample that stays, and the captions of those that have copies.
    memory : int, optional
        Bytes that may be taken, besides the repeated captions: samples are looked at in as many shares as that needs.
    """

    def __init__(
        self,
        tables: Tables,
        shards: int,
        options: Captions,
        exempt: NDArray[np.uint64],
        scratch: Scratch,
        memory: int | None = None,
    ) -> None:
        self._tables, self._shards, self._options, self._exempt = tables, shards, options, exempt
        self._scratch, self._memory = scratch, memory

    def settled(self) -> Iterator[tuple[pa.Table, dict[str, int]]]:
        """Repeated captions; then of each shard what its samples are emitted with, and counts."""
        repeated = self._repeated()
        yield repeated, {}
        merged = self._merged()
        for number in range(self._shards):
            bounds = number << ROW_BITS, (number + 1) << ROW_BITS
            yield self._of_shard(number, repeated, rows_between(merged, *bounds, _MERGED))

    def _rows(self, number: int, columns: Sequence[str]) -> pa.Table:
        """Decisions about a shard, with position, whether each stays, and its caption."""
        decided = self._tables.decisions(number, tuple(dict.fromkeys(("position", "action", *columns))))
        return decided.append_column("caption", self._tables.fingerprints(number, ("caption",))["caption"])

    def _counted(self, number: int) -> pa.Table:
        """Kept rows whose captions count when repeated ones are looked for, with the group of each."""
        rows = self._rows(number, ("group",))
        counts = pc.and_(pc.equal(rows["action"], Action.KEEP.value), rows["caption"].is_valid())
        return rows.filter(pc.and_(counts, pc.invert(pc.is_in(rows["position"], value_set=pa.array(self._exempt)))))

    def _repeated(self) -> pa.Table:
        """As `dedupkit.mitigation.captions.repeated_captions`, counted by 64 bits of each caption."""
        stored = self._scratch.growing(np.uint64, (3,))
        for number in range(self._shards):
            rows = self._counted(number)
            forms = normal_forms(rows["caption"]).to_pylist()
            digests = np.array([0 if form is None else caption_digest(form) | 1 for form in forms], dtype=np.uint64)
            position = rows["position"].to_numpy().astype(np.uint64)
            picture = pc.coalesce(rows["group"], rows["position"]).to_numpy().astype(np.uint64)
            stored.append(np.stack([digests, picture, position], axis=1)[digests != 0])
        records = stored.whole()
        shares = self._shares(len(records), _BYTES_COUNTED)
        found = np.concatenate(
            [_counted_share(records, share, shares, self._options.min_repeats) for share in range(shares)]
        )
        self._scratch.remove(records)
        found = found[np.lexsort((found[:, 0], -found[:, 1].astype(np.int64)))]
        return self._with_texts(found)

    def _with_texts(self, found: NDArray[np.uint64]) -> pa.Table:
        """The captions at some positions (column 0) with the numbers of pictures and samples (1 and 2)."""
        order = np.argsort(found[:, 0], kind="stable")
        positions, texts = found[order, 0], [pa.array([], pa.string())]
        for number in np.unique(positions >> np.uint64(ROW_BITS)).tolist():
            here = positions[positions >> np.uint64(ROW_BITS) == number] & np.uint64((1 << ROW_BITS) - 1)
            captions = self._tables.fingerprints(number, ("caption",))["caption"]
            texts += captions.take(pa.array(here)).chunks
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        caption = pa.chunked_array(texts, pa.string()).take(pa.array(place))
        columns = [
            caption,
            normal_forms(caption).cast(pa.string()),
            *(pa.array(found[:, at].astype(np.int64)) for at in (1, 2)),
        ]
        return pa.table(columns, schema=REPEATED)

    def _merged(self) -> list[ScratchTable]:
        """Position, captions and left_out of the samples that stay in a duplicate group."""
        if not self._options.merge:
            return []
        grouped = (self._tables.decisions(number, ("group",))["group"] for number in range(self._shards))
        shares = self._shares(sum(len(group) - group.null_count for group in grouped), _BYTES_MERGED)
        return [ScratchTable.of(self._merged_share(share, shares), self._scratch) for share in range(shares)]

    def _merged_share(self, share: int, shares: int) -> pa.Table:
        rows = []
        for number in range(self._shards):
            table = self._rows(number, ("group", *_MERGING))
            table = table.filter(table["group"].is_valid())
            group = table["group"].to_numpy().astype(np.uint64)
            rows.append(table.filter(pa.array(shares_of(group[:, None], shares) == share)))
        if not rows:
            return _MERGED.empty_table()
        table = pa.concat_tables(rows)
        merged = merged_captions(table.select(_MERGING), table["caption"], self._options.max_captions)
        merged = merged.append_column("position", table["position"]).select(_MERGED.names)
        return merged.filter(merged["captions"].is_valid()).cast(_MERGED)

    def _shares(self, rows: int, bytes_a_row: int) -> int:
        return 1 if self._memory is None else max(1, -(-rows * bytes_a_row // self._memory))

    def _of_shard(self, number: int, repeated: pa.Table, merged: pa.Table) -> tuple[pa.Table, dict[str, int]]:
        rows = self._rows(number, ("key",))
        sizes = self._tables.fingerprints(number, ("width", "height"))
        stays = pc.equal(rows["action"], Action.KEEP.value)
        own = pc.if_else(stays, rows["caption"], pa.scalar(None, pa.string()))
        given = pc.index_in(rows["position"], value_set=merged["position"])
        lists = merged["captions"].take(given.combine_chunks()) if merged.num_rows else _nulls(rows)
        lists = pc.if_else(lists.is_valid(), lists, _alone(own, stays))
        left_out = pc.sum(merged["left_out"].take(given.combine_chunks().drop_null())).as_py() or 0
        added = (pc.sum(pc.list_value_length(lists)).as_py() or 0) - (pc.sum(own.is_valid()).as_py() or 0)
        facts = {"key": rows["key"], "width": sizes["width"], "height": sizes["height"]}
        exempt = pc.is_in(rows["position"], value_set=pa.array(self._exempt))
        fresh = [
            pc.if_else(exempt, column, rewritten(column, repeated, self._options, facts)) for column in (own, lists)
        ]
        return pa.table(fresh, schema=SETTLED), {"merged": added, "left_out": left_out}


def _counted_share(records: NDArray[np.uint64], share: int, shares: int, min_repeats: int) -> NDArray[np.uint64]:
    """First position, pictures and samples of each caption of a share that stands over many pictures.

    Records are the caption's digest, the picture and the position of a sample each, in the order of positions.
    """
    chosen = [np.empty((0, 3), np.uint64)]
    for block in blocks(len(records), _BLOCK):
        part = np.asarray(records[block])
        chosen.append(part[shares_of(part[:, :1], shares) == share] if shares > 1 else part)
        release(records)
    digest, picture, position = np.concatenate(chosen).T
    order = np.lexsort((picture, digest))
    digest, picture, position = digest[order], picture[order], position[order]
    fresh = np.ones(len(digest), dtype=bool)
    fresh[1:] = digest[1:] != digest[:-1]
    other = fresh.copy()
    other[1:] |= picture[1:] != picture[:-1]
    starts = np.flatnonzero(fresh)
    if not len(starts):
        return np.empty((0, 3), np.uint64)
    pictures = np.add.reduceat(other.astype(np.int64), starts)
    samples = np.diff(np.append(starts, len(digest)))
    first = np.minimum.reduceat(position, starts)
    often = pictures >= min_repeats
    return np.stack([first, pictures.astype(np.uint64), samples.astype(np.uint64)], axis=1)[often]


def _alone(captions: pa.ChunkedArray, stays: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of one caption; empty where there is none, null for what does not stay."""
    texts = captions.combine_chunks()
    ends = np.concatenate([[0], np.cumsum(texts.is_valid().to_numpy(zero_copy_only=False))]).astype(np.int32)
    mask = pa.array(~stays.to_numpy())
    return pa.chunked_array([pa.ListArray.from_arrays(pa.array(ends), texts.drop_null(), mask=mask)])


def _nulls(rows: pa.Table) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(rows.num_rows, SETTLED.field("captions").type)])

"""The fingerprinting stage: a shard in, a table of fingerprints out; record-local, one decode an image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.engines.ordered import in_order
from dedupkit.fields import FieldTypes
from dedupkit.fingerprints.decode import DRAFT_SIDE, decode, reduced
from dedupkit.fingerprints.descriptors import open_describer
from dedupkit.fingerprints.descriptors.base import squeezed
from dedupkit.fingerprints.frame import frame_box
from dedupkit.fingerprints.perceptual import hash_all, hash_grids, phash_of_image
from dedupkit.guard.recorder import looking
from dedupkit.hygiene.brought import BroughtChecks
from dedupkit.hygiene.measures import measured
from dedupkit.hygiene.sensitive import COLUMNS as SENSITIVE_COLUMNS
from dedupkit.hygiene.sensitive import Lookout
from dedupkit.sample import FINGERPRINTS, Fault, Note, Reason, position

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.fingerprints.decode import Decoded
    from dedupkit.fingerprints.descriptors.base import Describer
    from dedupkit.fingerprints.perceptual import HashGrids, PerceptualHashes
    from dedupkit.hygiene.measures import Measures
    from dedupkit.hygiene.sensitive import Sensitive
    from dedupkit.recipe import Recipe
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Shard, Source

STAGE = "fingerprints/6"  # raised whenever the same input gives other fingerprints
FIELDS_KEY = b"dedupkit.fields"
_BATCH = 16  # larger batches fill more memory than the allocator keeps, and page faults eat what they gain
_BATCH_BYTES = 32 << 20  # of encoded images
_DESCRIBED = 4  # pictures at a time: larger batches are no quicker on CPUs and take more memory
_TABLE_ROWS = 4096
_MIN_INNER_SIDE = 32  # pixels at full scale; the hash of less does not tell a sign from its mirror image

Row = tuple[Any, ...]


def fingerprint_shard(
    numbered: tuple[int, Shard], *, source: Source, recipe: Recipe, threads: int = 1, with_fields: bool = True
) -> pa.Table:
    """Fingerprint every sample of one shard.

    Parameters
    ----------
    numbered : tuple of int and Shard
        The shard and its number in the source.
    source : Source
        Where to read it.
    recipe : Recipe
        Limits and the ways of fingerprinting.
    threads : int
        Threads that decode and hash.
    with_fields : bool
        Also find the types of the samples' other fields; they lie serialised in the table's metadata.

    Returns
    -------
    pyarrow.Table
        In the schema of `dedupkit.sample.FINGERPRINTS`, one row a sample, in the shard's order.  Memory is about
        300 bytes, the descriptor and the caption a sample.
    """
    number, shard = numbered
    declared = source.fields(shard) if with_fields else None
    types = FieldTypes()
    rows: list[Row] = []
    tables = []
    for count, (sample, row) in enumerate(_in_order(source.read(shard), recipe, threads)):
        rows.append((position(number, count), sample.key, shard.name, *row))
        if with_fields and declared is None:
            types.observe(sample.fields)
        if len(rows) == _TABLE_ROWS:  # Python's objects take four times the memory of Arrow's
            tables.append(_table(rows))
            rows = []
    table = pa.concat_tables([*tables, _table(rows)])
    if not with_fields:
        return table
    fields = declared if declared is not None else types.schema()
    return table.replace_schema_metadata({FIELDS_KEY: fields.serialize().to_pybytes()})


def _table(rows: list[Row]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([] for _ in FINGERPRINTS)
    arrays = [
        _descriptor_column(values) if kind.name == "descriptor" else pa.array(values, kind.type)
        for values, kind in zip(columns, FINGERPRINTS, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=FINGERPRINTS)


def _descriptor_column(rows: Sequence[NDArray[np.float16] | None]) -> pa.ListArray:
    present = [row for row in rows if row is not None]
    ends = np.cumsum([0] + [0 if row is None else len(row) for row in rows], dtype=np.int32)
    offsets = pa.array(ends, mask=np.array([row is None for row in rows] + [False], dtype=bool))
    values = np.concatenate(present) if present else np.empty(0, np.float16)
    return pa.ListArray.from_arrays(offsets, pa.array(values))


def _in_order(samples: Iterator[Sample], recipe: Recipe, threads: int) -> Iterator[tuple[Sample, Row]]:
    """Each sample and the rest of its row; at most a few batches are under way."""
    for batch, rows in in_order(partial(fingerprint_batch, recipe=recipe), _batches(samples), threads):
        yield from zip(batch, rows, strict=True)


def _batches(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    batch: list[Sample] = []
    room = _BATCH_BYTES
    for sample in samples:
        batch.append(sample)
        room -= len(sample.image or b"")
        if len(batch) == _BATCH or room <= 0:
            yield batch
            batch, room = [], _BATCH_BYTES
    if batch:
        yield batch


def fingerprint_batch(batch: Sequence[Sample], recipe: Recipe) -> list[Row]:
    """The rows of some samples in the fingerprints' schema, from column ``sha256`` on.

    Images are decoded one after the other, and their hashes finished together, which is quicker.
    """
    describer = open_describer(recipe.descriptor) if recipe.descriptor else None
    looked_at = []
    for sample in batch:
        with looking(recipe.limits.max_seconds):
            looked_at.append(_look_at(sample, recipe, describer))
    found = [seen for seen in looked_at if isinstance(seen, _Seen)]
    hashes = iter(hash_all([grid for seen in found for grid in (seen.whole, seen.inner) if grid]))
    descriptors = iter(_described([seen.squeezed for seen in found], describer))
    return [
        _row(sample, seen, hashes, next(descriptors)) if isinstance(seen, _Seen) else _faulty_row(sample, seen)
        for sample, seen in zip(batch, looked_at, strict=True)
    ]


def _described(
    pictures: Sequence[NDArray[np.uint8] | None], describer: Describer | None
) -> Sequence[NDArray[np.float16] | None]:
    squeezed_ones = [picture for picture in pictures if picture is not None]
    if describer is None or not squeezed_ones:
        return [None] * len(pictures)
    batches = (squeezed_ones[start : start + _DESCRIBED] for start in range(0, len(squeezed_ones), _DESCRIBED))
    return list(np.concatenate([describer.describe(np.stack(batch)) for batch in batches]).astype(np.float16))


@dataclass(frozen=True, slots=True)
class _Seen:
    """An image after its one decode, its pixels already let go."""

    decoded: Decoded
    whole: HashGrids
    inner: HashGrids | None
    inner_size: tuple[int, int] | None
    phash: int | None
    squeezed: NDArray[np.uint8] | None
    measures: Measures
    sensitive: Sensitive
    fault: Fault | None


def _look_at(sample: Sample, recipe: Recipe, describer: Describer | None) -> _Seen | Fault:
    if sample.image is None:
        return sample.fault or Fault(Reason.MISSING_IMAGE, "the source has no image for this sample")
    min_side = max(DRAFT_SIDE, describer.side) if describer else DRAFT_SIDE
    lookout, brought = Lookout.of(recipe.hygiene), BroughtChecks.of(recipe.hygiene)
    draft, wanted = recipe.fingerprints.draft, max(min_side, lookout.min_side, brought.min_side)
    colour = describer is not None or bool(lookout) or bool(brought)
    decoded = decode(sample.image, recipe.limits, draft=draft, min_side=wanted, colour=colour)
    if isinstance(decoded, Fault):
        return decoded
    sensitive = lookout.look(decoded.colour)
    fault = brought.look(sample, decoded)
    if wanted > min_side and draft:  # hashes and measures are of the same scale, whatever else is looked for
        decoded = reduced(decoded, min_side)
    whole = hash_grids(decoded.gray, decoded.height, decoded.width)
    inner, inner_size, box = _inside_frame(decoded, recipe.fingerprints.max_frame_range) or (None, None, None)
    square = None
    if describer is not None and decoded.colour is not None:
        square = squeezed(decoded.colour if box is None else decoded.colour[box], describer.side)
    phash = None if decoded.rgb is None else phash_of_image(decoded.rgb)  # full scale: pHash as imagededup takes it
    measures = measured(decoded.gray)
    return _Seen(decoded.without_pixels(), whole, inner, inner_size, phash, square, measures, sensitive, fault)


def _inside_frame(
    decoded: Decoded, max_frame_range: int
) -> tuple[HashGrids, tuple[int, int], tuple[slice, slice]] | None:
    """Grids, width and height, rows and columns of what is inside a uniform frame, if there is one."""
    gray = decoded.gray
    box = frame_box(gray, max_frame_range)
    if box is None:
        return None
    inner = gray[box]
    height = max(inner.shape[0], round(inner.shape[0] * decoded.height / gray.shape[0]))
    width = max(inner.shape[1], round(inner.shape[1] * decoded.width / gray.shape[1]))
    if min(height, width) < _MIN_INNER_SIDE:
        return None
    return hash_grids(inner, height, width), (width, height), box


def _row(
    sample: Sample, seen: _Seen, hashes: Iterator[PerceptualHashes], descriptor: NDArray[np.float16] | None
) -> Row:
    image, decoded, whole = sample.image or b"", seen.decoded, next(hashes)
    inner = next(hashes) if seen.inner else None
    phash = whole.phash if seen.phash is None else seen.phash
    return (
        hashlib.sha256(image).digest(),
        *(phash, whole.pdq, whole.pdq_quality, whole.luminance_entropy),
        *((inner.phash, inner.pdq, inner.pdq_quality, inner.luminance_entropy) if inner else (None,) * 4),
        *(seen.inner_size or (None, None)),
        descriptor,
        *(decoded.width, decoded.height, decoded.format, len(image), *seen.measures, *seen.sensitive, sample.caption),
        *((None, None) if seen.fault is None else (seen.fault.reason.value, seen.fault.detail)),
        [*sample.notes, Note.ANIMATED] if decoded.animated else list(sample.notes),
    )


def _faulty_row(sample: Sample, fault: Fault) -> Row:
    sha256 = None if sample.image is None else hashlib.sha256(sample.image).digest()
    size = None if sample.image is None else len(sample.image)
    facts = (None, None, None, size, None, None, None, *(None,) * len(SENSITIVE_COLUMNS), sample.caption)
    return (sha256, *(None,) * 11, *facts, fault.reason.value, fault.detail, list(sample.notes))

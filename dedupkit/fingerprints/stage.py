"""The fingerprinting stage: a shard in, a table of fingerprints out; record-local, one decode an image."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.fields import FieldTypes
from dedupkit.fingerprints.decode import decode
from dedupkit.fingerprints.frame import trim_frame
from dedupkit.fingerprints.perceptual import PerceptualHashes, perceptual_hashes, phash_of_image
from dedupkit.sample import FINGERPRINTS, Fault, Note, Reason, Sample, position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dedupkit.fingerprints.decode import Decoded
    from dedupkit.recipe import Recipe
    from dedupkit.sources.base import Shard, Source

STAGE = "fingerprints/1"  # raised whenever the same input gives other fingerprints
FIELDS_KEY = b"dedupkit.fields"
_BATCH = 32


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
        300 bytes and the caption a sample.
    """
    number, shard = numbered
    declared = source.fields(shard) if with_fields else None
    types = FieldTypes()
    rows: list[tuple[Any, ...]] = []
    for sample, row in _in_order(source.read(shard), recipe, threads):
        rows.append((position(number, len(rows)), sample.key, shard.name, *row))
        if with_fields and declared is None:
            types.observe(sample.fields)
    columns = zip(*rows, strict=True) if rows else ([] for _ in FINGERPRINTS)
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, FINGERPRINTS, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=FINGERPRINTS)
    if not with_fields:
        return table
    fields = declared if declared is not None else types.schema()
    return table.replace_schema_metadata({FIELDS_KEY: fields.serialize().to_pybytes()})


def _in_order(samples: Iterator[Sample], recipe: Recipe, threads: int) -> Iterator[tuple[Sample, tuple[Any, ...]]]:
    """Each sample, without its image, and the rest of its row; at most a few batches are under way."""
    if threads == 1:
        for sample in samples:
            yield sample, fingerprint(sample, recipe)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="dedupkit") as pool:
        waiting: deque[Future[list[tuple[Sample, tuple[Any, ...]]]]] = deque()
        while True:
            batch = list(islice(samples, _BATCH))
            if batch:
                waiting.append(pool.submit(_fingerprint_batch, batch, recipe))
            if not waiting:
                return
            if not batch or len(waiting) > 2 * threads:
                yield from waiting.popleft().result()


def _fingerprint_batch(batch: Iterable[Sample], recipe: Recipe) -> list[tuple[Sample, tuple[Any, ...]]]:
    return [(sample, fingerprint(sample, recipe)) for sample in batch]


def fingerprint(sample: Sample, recipe: Recipe) -> tuple[Any, ...]:
    """The row of one sample in the fingerprints' schema, from column ``sha256`` on."""
    if sample.image is None:
        fault = sample.fault or Fault(Reason.MISSING_IMAGE, "the source has no image for this sample")
        return _row(sample, None, fault)
    decoded = decode(sample.image, recipe.limits, draft=recipe.fingerprints.draft)
    if isinstance(decoded, Fault):
        return _row(sample, hashlib.sha256(sample.image).digest(), decoded)
    full, trimmed = _hashes(decoded, recipe.fingerprints.max_frame_range)
    notes = [*sample.notes, Note.ANIMATED] if decoded.animated else list(sample.notes)
    return (
        hashlib.sha256(sample.image).digest(),
        *_columns(full),
        *(_columns(trimmed) if trimmed else (None, None, None, None)),
        decoded.width,
        decoded.height,
        decoded.format,
        len(sample.image),
        sample.caption,
        None,
        None,
        notes,
    )


def _row(sample: Sample, sha256: bytes | None, fault: Fault) -> tuple[Any, ...]:
    size = None if sample.image is None else len(sample.image)
    nothing = (None,) * 8
    facts = (None, None, None, size, sample.caption)
    return (sha256, *nothing, *facts, fault.reason.value, fault.detail, list(sample.notes))


def _columns(hashes: PerceptualHashes) -> tuple[int, bytes, int, float]:
    return hashes.phash, hashes.pdq, hashes.pdq_quality, hashes.luminance_entropy


def _hashes(decoded: Decoded, max_frame_range: int) -> tuple[PerceptualHashes, PerceptualHashes | None]:
    """Hashes of the image and, if it has a uniform frame, of what is inside."""
    gray = decoded.gray
    full = perceptual_hashes(gray, decoded.height, decoded.width)
    if decoded.rgb is not None:  # a full decode was asked for: pHash as imagededup takes it
        full = PerceptualHashes(phash_of_image(decoded.rgb), full.pdq, full.pdq_quality, full.luminance_entropy)
    inner = trim_frame(gray, max_frame_range)
    if inner is None:
        return full, None
    height = max(inner.shape[0], round(inner.shape[0] * decoded.height / gray.shape[0]))
    width = max(inner.shape[1], round(inner.shape[1] * decoded.width / gray.shape[1]))
    return full, perceptual_hashes(inner, height, width)

"""Fingerprints that a list brings along: a shard in, the same table out as of images, and nothing is decoded."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.errors import UsageError
from dedupkit.fingerprints.decode import header
from dedupkit.fingerprints.stage import FIELDS_KEY
from dedupkit.hygiene.brought import BroughtChecks
from dedupkit.hygiene.sensitive import Lookout
from dedupkit.sample import FINGERPRINTS, Fault, Note, Reason, position
from dedupkit.sources.captions import utf8_text
from dedupkit.sources.columns import values_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.blocklist import Blocker
    from dedupkit.recipe import Limits, Recipe
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Shard
    from dedupkit.sources.lists import ListSource, Piece

STAGE = "given/1"  # raised whenever the same list gives other fingerprints
GIVEN = "given"
"""The recipe's name of the descriptors that a list brings along."""
GIVEN_MIN_COSINE = 0.96
_PHASH_BYTES, _PDQ_BYTES, _SHA256_BYTES, _MD5_BYTES = 8, 32, 32, 16
_HEX = re.compile(rb"[0-9a-fA-F]{16,}")  # no hash of 16 bytes or more looks like that by chance


def recipe_for_list(recipe: Recipe, source: ListSource) -> Recipe:
    """A recipe with the defaults of lists in place of those of images.

    Embeddings that others made are compared as they are: no geometry, and a floor of 0.96.  That is above 0.94, from
    where on clip-retrieval takes two results for the same (``get_non_uniques``); CLIP's cosine says how alike in
    meaning two pictures are, not whether one is a copy, and what goes here is gone.

    Raises
    ------
    UsageError
        If the recipe asks for what only images give.
    """
    chosen: dict[str, dict[str, Any]] = {
        "fingerprints": {"descriptor": _descriptor(recipe, source)},
        "matching": {"verify": "none", "min_cosine": GIVEN_MIN_COSINE},
        "output": {} if source.has_images else {"formats": ("list",)},
    }
    if source.given.hash_kind:
        chosen["matching"]["hash"] = source.given.hash_kind
    parts: dict[str, Any] = {}
    for name, values in chosen.items():
        part = getattr(recipe, name)
        unsaid = {option: value for option, value in values.items() if option not in part.model_fields_set}
        parts[name] = part.model_copy(update=unsaid)
    parts["fingerprints"] = recipe.fingerprints.model_copy(update=chosen["fingerprints"])
    fitting = recipe.model_copy(update=parts)
    _check(fitting, source)
    return fitting


def _descriptor(recipe: Recipe, source: ListSource) -> str:
    name = recipe.fingerprints.descriptor
    if name not in ("auto", "none", GIVEN):
        raise UsageError(f"descriptor {name!r} has to see images, and of a list none is decoded; leave it out")
    if name == GIVEN and not source.has_embeddings:
        raise UsageError("the list has no embeddings; name their column with embedding_column")
    wanted = name == GIVEN or (name == "auto" and recipe.preset != "fast")
    return GIVEN if wanted and source.has_embeddings else "none"


def _check(recipe: Recipe, source: ListSource) -> None:
    Lookout.of(recipe.hygiene).check(has_images=False)
    BroughtChecks.of(recipe.hygiene).check(has_images=False)
    if source.has_images:
        if "list" in recipe.output.formats:
            raise UsageError('format "list" is for lists without images; name arrow, parquet or webdataset')
        return
    if recipe.matching.verify != "none":
        raise UsageError('the list has no images to verify pairs by; leave verify out, or say verify = "none"')
    if recipe.output.formats != ("list",):
        raise UsageError(f'a list without images is written as "list", got {", ".join(recipe.output.formats)}')


def given_fingerprints(
    numbered: tuple[int, Shard], *, source: ListSource, recipe: Recipe, blocker: Blocker, with_fields: bool = True
) -> pa.Table:
    """Fingerprints of every sample of one shard of a list.

    The digest is that of the image where there is one; else what the column ``sha256`` says; else that of the URL, so
    that rows of the same URL are exact copies; else one of its own.

    Parameters
    ----------
    numbered : tuple of int and Shard
        The shard and its number in the source.
    source : ListSource
        Where to read it.
    recipe : Recipe
        As `recipe_for_list` made it.
    blocker : Blocker
        What is blocked.
    with_fields : bool
        Also tell the types of the other columns, serialised in the table's metadata.

    Returns
    -------
    pyarrow.Table
        In the schema of `dedupkit.sample.FINGERPRINTS`.  Memory is some 300 bytes and two bytes a number of its
        embedding a sample.
    """
    number, shard = numbered
    tables, rows, dimensions = [FINGERPRINTS.empty_table()], 0, 0
    for piece in source.pieces(shard):
        look = _Look(piece, source, recipe, blocker, shard.name, rows)
        vectors, described = look.descriptors(dimensions)
        dimensions = dimensions or vectors.shape[1]
        tables.append(look.table(position(number, rows), vectors, described))
        rows += len(piece.samples)
    table = pa.concat_tables(tables)
    if not with_fields:
        return table
    fields = source.fields(shard) or pa.schema([])
    return table.replace_schema_metadata({FIELDS_KEY: fields.serialize().to_pybytes()})


def given_digests(piece: Piece, source: ListSource, shard: str, first: int) -> list[bytes]:
    """What tells the samples of a list apart, 32 bytes each; `first` is the number of the first in its shard."""
    count = len(piece.samples)
    stated = _bytes_of(piece, source.given.sha256, (_SHA256_BYTES,))
    urls = _values(piece, source.given.url)
    named = (f"{shard}\0{first + row}" for row in range(count))
    return [
        digest or hashlib.sha256(_encoded(url or own)).digest()
        for digest, url, own in zip(stated, urls, named, strict=True)
    ]


def _text(value: Any) -> str | None:
    return None if value is None else utf8_text(value)[0]


def _encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@dataclass(slots=True)
class _Look:
    """A look at a few thousand samples of a list."""

    piece: Piece
    source: ListSource
    recipe: Recipe
    blocker: Blocker
    shard: str
    first: int
    notes: list[list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.notes = [[str(note) for note in sample.notes] for sample in self.piece.samples]

    def descriptors(self, dimensions: int) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """Embeddings scaled to length 1, and which samples have one; `dimensions` 0 takes what most have."""
        count = len(self.piece.samples)
        if self.recipe.descriptor != GIVEN or self.piece.rows is None:
            return np.zeros((count, dimensions), np.float16), np.zeros(count, dtype=bool)
        if self.piece.vectors is not None:
            rows, present = self.piece.vectors, np.ones(count, dtype=bool)
        else:
            rows, present = _vectors(self.piece.rows[self.source.given.embedding], dimensions)
        rows = rows.astype(np.float32)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        present &= (np.isfinite(length) & (length > 0))[:, 0]
        scaled = np.divide(rows, length, out=np.zeros_like(rows), where=present[:, None])
        for row in np.flatnonzero(~present).tolist():
            self.notes[row].append(Note.EMBEDDING_MISSING.value)
        return scaled.astype(np.float16), present

    def table(self, first: int, vectors: NDArray[np.float16], described: NDArray[np.bool_]) -> pa.Table:
        """The samples' fingerprints; `first` is the position of the first."""
        samples, piece = self.piece.samples, self.piece
        seen = [_facts(sample, self.source, self.recipe.limits) for sample in samples]
        digests = given_digests(piece, self.source, self.shard, self.first)
        digests = [digest if each.sha256 is None else each.sha256 for each, digest in zip(seen, digests, strict=True)]
        hashes = self._hashes()
        widths, heights = (_values(piece, name) for name in (self.source.given.width, self.source.given.height))
        faults = self._faults(seen, digests)
        columns: dict[str, Any] = {
            "position": np.arange(first, first + len(samples), dtype=np.uint64),
            "key": [sample.key for sample in samples],
            "shard": [self.shard] * len(samples),
            "sha256": digests,
            "phash": [None if code is None else int.from_bytes(code, "big") for code, _ in hashes],
            "pdq": [code for _, code in hashes],
            "descriptor": _list_column(vectors, described),
            "width": [each.width or _side(side) for each, side in zip(seen, widths, strict=True)],
            "height": [each.height or _side(side) for each, side in zip(seen, heights, strict=True)],
            "format": [each.format for each in seen],
            "byte_size": [None if sample.image is None else len(sample.image) for sample in samples],
            "caption": [sample.caption for sample in samples],
            "fault": [None if fault is None else fault.reason.value for fault in faults],
            "fault_detail": [None if fault is None else fault.detail for fault in faults],
            "notes": self.notes,
        }
        arrays = [pa.array(columns.get(kind.name, [None] * len(samples)), kind.type) for kind in FINGERPRINTS]
        return pa.Table.from_arrays(arrays, schema=FINGERPRINTS)

    def _hashes(self) -> list[tuple[bytes | None, bytes | None]]:
        """The pHash and the PDQ hash of each sample."""
        names = dict.fromkeys(name for name in (self.source.given.phash, self.source.given.pdq) if name)
        codes: list[list[bytes]] = [[] for _ in self.piece.samples]
        for name in names:
            stated = _values(self.piece, name)
            for row, code in enumerate(_bytes_of(self.piece, name, (_PHASH_BYTES, _PDQ_BYTES))):
                if code is not None:
                    codes[row].append(code)
                elif stated[row] is not None:
                    self.notes[row].append(Note.METADATA_INVALID.value)
        return [(_of_width(each, _PHASH_BYTES), _of_width(each, _PDQ_BYTES)) for each in codes]

    def _faults(self, seen: list[_Facts], digests: list[bytes]) -> list[Fault | None]:
        given = self.source.given
        urls, md5 = _values(self.piece, given.url), _bytes_of(self.piece, given.md5, (_MD5_BYTES,))
        if self.blocker.asks_for("md5") and self.source.has_images:
            md5 = [hashlib.md5(each.image or b"", usedforsecurity=False).digest() for each in self.piece.samples]
        return [
            each.fault or self.blocker.fault(key=sample.key, url=_text(url), sha256=sha256, md5=digest)
            for sample, each, url, sha256, digest in zip(self.piece.samples, seen, urls, digests, md5, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of one image without its pixels."""

    fault: Fault | None = None
    sha256: bytes | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None


def _facts(sample: Sample, source: ListSource, limits: Limits) -> _Facts:
    if sample.fault is not None or not source.has_images:
        return _Facts(sample.fault)
    if sample.image is None:
        return _Facts(Fault(Reason.MISSING_IMAGE, "the source has no image for this sample"))
    sha256, found = hashlib.sha256(sample.image).digest(), header(sample.image, limits)
    if isinstance(found, Fault):
        return _Facts(found, sha256)
    return _Facts(None, sha256, found.width, found.height, found.format)


def _vectors(column: pa.Array, dimensions: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The lists of a column as a matrix, and which rows have one of the right length, without nulls in it."""
    lists = column.cast(pa.large_list(column.type.value_type)) if not pa.types.is_large_list(column.type) else column
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    most = Counter(lengths[lengths > 0].tolist()).most_common(1)
    wanted = dimensions or (most[0][0] if most else 0)
    present = (lengths == wanted) & (lengths > 0)
    values = lists.filter(pa.array(present)).flatten().to_numpy(zero_copy_only=False)
    rows = np.zeros((len(column), wanted), values.dtype if values.dtype.kind == "f" else np.float32)
    rows[present] = values.reshape(-1, max(wanted, 1)) if present.any() else 0
    return rows, present


def _list_column(vectors: NDArray[np.float16], present: NDArray[np.bool_]) -> pa.ListArray:
    ends = np.concatenate([[0], np.cumsum(present * vectors.shape[1])]).astype(np.int32)
    offsets = pa.array(ends, mask=np.append(~present, False))
    return pa.ListArray.from_arrays(offsets, pa.array(vectors[present].reshape(-1)))


def _values(piece: Piece, name: str | None) -> list[Any]:
    if piece.rows is None or name is None or name not in piece.rows.schema.names:
        return [None] * len(piece.samples)
    return values_of(piece.rows.column(piece.rows.schema.names.index(name)))[0]


def _bytes_of(piece: Piece, name: str | None, widths: tuple[int, ...]) -> list[bytes | None]:
    """Hashes or digests of a column as bytes of one of some widths; None for what is neither."""
    found = map(_hash_bytes, _values(piece, name))
    return [value if value is not None and len(value) in widths else None for value in found]


def _hash_bytes(value: Any) -> bytes | None:
    if isinstance(value, int):
        return (value & (1 << 8 * _PHASH_BYTES) - 1).to_bytes(_PHASH_BYTES, "big")
    if value is None or (isinstance(value, bytes) and not _HEX.fullmatch(value)):
        return value
    try:
        return bytes.fromhex(_encoded(value).decode().strip().removeprefix("0x"))
    except ValueError:
        return None


def _of_width(codes: list[bytes], width: int) -> bytes | None:
    return next((code for code in codes if len(code) == width), None)


def _side(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and 0 < value < 1 << 32 else None

"""What must not stay: lists of URLs, domains, keys and hashes, and the samples that stand on them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.errors import UsageError
from dedupkit.sample import FINGERPRINTS, Fault, Reason, Sample
from dedupkit.sources.given_columns import URL_NAMES
from dedupkit.sources.listing import File, error_text, public
from dedupkit.sources.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dedupkit.recipe import Blocklist, SourceOptions
    from dedupkit.sources.base import Shard, Source

_KINDS = ("urls", "domains", "keys", "sha256", "md5", "pdq")
_DIGEST_BYTES = {"sha256": 32, "md5": 16, "pdq": 32}
_BLOCKED_ROWS = 4096  # hashes compared with all blocked ones at a time


@dataclass(frozen=True, slots=True)
class _ListFile:
    kind: str
    file: File
    column: str | None


@dataclass(frozen=True, slots=True)
class Blocker:
    """Knows what is blocked; small, and reads its files where it is first asked.

    Attributes
    ----------
    files : tuple
        The files and what each lists.
    max_pdq_bits : int
        Largest Hamming distance from a blocked PDQ hash that is blocked too.
    """

    files: tuple[_ListFile, ...] = ()
    max_pdq_bits: int = 31

    @classmethod
    def of(cls, blocklist: Blocklist) -> Blocker:
        """The blocker of a recipe.

        Raises
        ------
        UsageError
            If a file is not there, is no list, or holds what is no hash of its kind.
        """
        files = tuple(_list_file(kind, name) for kind in _KINDS for name in getattr(blocklist, kind))
        blocker = cls(files, blocklist.max_pdq_bits)
        _entries(blocker.files)
        return blocker

    @property
    def identity(self) -> str:
        """Changes whenever something else may be blocked."""
        files = [f"{each.kind} {each.file.stamp} {each.column}" for each in self.files]
        return " ".join([str(self.max_pdq_bits), *files]) if files else ""

    def asks_for(self, kind: str) -> bool:
        """Whether anything is blocked by this kind of entry."""
        return any(each.kind == kind for each in self.files)

    def fault(
        self, *, key: str, url: str | None = None, sha256: bytes | None = None, md5: bytes | None = None
    ) -> Fault | None:
        """Why a sample is blocked; None where it is not."""
        entries = _entries(self.files)
        found = next(
            (
                f"{kind} {value.hex() if isinstance(value, bytes) else value}"
                for kind, value in (("keys", key), ("urls", url), ("sha256", sha256), ("md5", md5))
                if value is not None and value in entries[kind]
            ),
            None,
        )
        if found is None and url is not None and entries["domains"]:
            domain = next((each for each in _domains_of(url) if each in entries["domains"]), None)
            found = None if domain is None else f"domains {domain}"
        return None if found is None else Fault(Reason.BLOCKED, f"on the blocklist: {found}")

    def without_blocked_hashes(self, fingerprints: pa.Table) -> pa.Table:
        """Fingerprints in which samples near to a blocked PDQ hash are marked; the time is in proportion to both."""
        blocked = np.array([list(each) for each in sorted(_entries(self.files)["pdq"])], np.uint8).reshape(-1, 32)
        if not len(blocked):
            return fingerprints
        column, faults = (fingerprints[name].combine_chunks() for name in ("pdq", "fault"))
        rows = np.flatnonzero(pc.and_(column.is_valid(), faults.is_null()).to_numpy(zero_copy_only=False))
        codes = np.array([list(each) for each in column.take(pa.array(rows)).to_pylist()], np.uint8).reshape(-1, 32)
        near = rows[_nearest_bits(codes, blocked) <= self.max_pdq_bits]
        mask = np.zeros(len(column), dtype=bool)
        mask[near] = True
        told = {"fault": Reason.BLOCKED.value, "fault_detail": "on the blocklist: pdq"}
        for name, text in told.items():
            place = FINGERPRINTS.get_field_index(name)
            marked = pc.if_else(pa.array(mask), pa.scalar(text), fingerprints[name].combine_chunks())
            fingerprints = fingerprints.set_column(place, FINGERPRINTS.field(name), marked)
        return fingerprints


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockingSource:
    """A source in which blocked samples stand with a fault in place of their image, so that none is decoded.

    Attributes
    ----------
    source : Source
        Where samples come from.
    blocker : Blocker
        What is blocked.
    url_field : str or None
        The field of URLs; None takes the first of the usual names.
    """

    source: Source
    blocker: Blocker
    url_field: str | None = None
    _names: tuple[str, ...] = field(default=URL_NAMES, repr=False)

    def shards(self) -> Sequence[Shard]:
        """The source's own."""
        return self.source.shards()

    def fields(self, shard: Shard) -> pa.Schema | None:
        """The source's own."""
        return self.source.fields(shard)

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream the samples of one shard."""
        for sample in self.source.read(shard):
            fault = sample.fault or self._fault(sample)
            yield sample if fault is None else replace(sample, image=None, fault=fault)

    def _fault(self, sample: Sample) -> Fault | None:
        image = sample.image or b""
        return self.blocker.fault(
            key=sample.key,
            url=_url_of(sample.fields, self.url_field),
            sha256=hashlib.sha256(image).digest() if self.blocker.asks_for("sha256") else None,
            md5=hashlib.md5(image, usedforsecurity=False).digest() if self.blocker.asks_for("md5") else None,
        )


def without_blocked(source: Source, blocker: Blocker, options: SourceOptions) -> Source:
    """A source less what is blocked by other things than PDQ hashes."""
    if all(each.kind == "pdq" for each in blocker.files):
        return source
    return BlockingSource(source=source, blocker=blocker, url_field=options.url_column)


def _url_of(fields: Mapping[str, Any], name: str | None) -> str | None:
    names = [name] if name else [each for each in fields if each.lower() in URL_NAMES]
    value = fields.get(names[0]) if names else None
    return value if isinstance(value, str) else None


def _domains_of(url: str) -> Iterator[str]:
    """The host of a URL and all domains that it lies below."""
    try:
        labels = (urlsplit(url).hostname or "").rstrip(".").split(".")
    except ValueError:
        return
    yield from (".".join(labels[start:]) for start in range(len(labels)))


def _nearest_bits(codes: Any, blocked: Any) -> Any:
    """For each hash the Hamming distance to the nearest blocked one."""
    nearest = np.full(len(codes), 256, np.int64)
    words, others = codes.view(np.uint64), blocked.view(np.uint64)
    for start in range(0, len(codes), _BLOCKED_ROWS):
        rows = slice(start, start + _BLOCKED_ROWS)
        for other in others:
            np.minimum(
                nearest[rows], np.bitwise_count(words[rows] ^ other).sum(axis=1, dtype=np.int64), out=nearest[rows]
            )
    return nearest


def _list_file(kind: str, name: str) -> _ListFile:
    table = re.fullmatch(r"(.*\.(?:parquet|pq)):([^:/]+)", name)
    path, column = (table[1], table[2]) if table else (name, None)
    try:
        return _ListFile(kind, place_of(path).file(), column)
    except OSError as error:
        raise UsageError(f"blocklist {public(path)} cannot be read: {error_text(error)}; check its name") from error


@lru_cache(maxsize=2)
def _entries(files: tuple[_ListFile, ...]) -> dict[str, frozenset[Any]]:
    """All entries by kind: some 100 bytes each."""
    found: dict[str, set[Any]] = {kind: set() for kind in _KINDS}
    for each in files:
        values = _read(each)
        found[each.kind].update(_parsed(each, number, value) for number, value in enumerate(values, 1) if value)
    return {kind: frozenset(values) for kind, values in found.items()}


def _read(listed: _ListFile) -> list[Any]:
    import pyarrow.parquet as pq

    file, column = listed.file, listed.column
    try:
        with file.open() as handle:
            if not file.path.lower().endswith((".parquet", ".pq")):
                return [line.strip() for line in handle.read().decode().splitlines()]
            names = pq.read_schema(handle).names
            if column is None and len(names) > 1:
                shown = ", ".join(names)
                raise UsageError(f"blocklist {file.name} has columns {shown}; say which, as in {file.name}:{names[0]}")
            handle.seek(0)
            return list(pq.read_table(handle, columns=[column or names[0]])[column or names[0]].to_pylist())
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UsageError(f"blocklist {file.name} cannot be read: {error_text(error)}; give text or Parquet") from error


def _parsed(listed: _ListFile, number: int, value: Any) -> str | bytes:
    if listed.kind not in _DIGEST_BYTES:
        text = str(value)
        return text.lower().strip(".") if listed.kind == "domains" else text
    try:
        digest = bytes(value) if isinstance(value, bytes) else bytes.fromhex(str(value))
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_BYTES[listed.kind]:
        wanted = 2 * _DIGEST_BYTES[listed.kind]
        raise UsageError(
            f"entry {number} of {listed.file.name} is no {listed.kind}: {str(value)[:80]!r}; it must be {wanted} "
            "hexadecimal digits"
        )
    return digest

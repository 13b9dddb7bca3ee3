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

    from numpy.typing import NDArray

    from dedupkit.recipe import Blocklist, SourceOptions
    from dedupkit.sources.base import Shard, Source

_KINDS = ("urls", "domains", "keys", "sha256", "md5", "pdq")
_DIGEST_BYTES = {"sha256": 32, "md5": 16, "pdq": 32}
_COMPARED_ROWS = 4096  # hashes compared with all others at a time


@dataclass(frozen=True, slots=True)
class ListFile:
    """A file of entries of one kind.

    Attributes
    ----------
    kind : str
        What it lists: "pdq", "sha256" and the like.
    file : File
        The file.
    column : str or None
        The column of Parquet that holds them.
    purpose : str
        What the list is for, as messages call it.
    """

    kind: str
    file: File
    column: str | None
    purpose: str = "blocklist"

    @classmethod
    def of(cls, kind: str, name: str, purpose: str = "blocklist") -> ListFile:
        """The file of a name, which may be ``FILE.parquet:COLUMN``; nothing is read.

        Raises
        ------
        UsageError
            If it is not there.
        """
        table = re.fullmatch(r"(.*\.(?:parquet|pq)):([^:/]+)", name)
        path, column = (table[1], table[2]) if table else (name, None)
        try:
            return cls(kind, place_of(path).file(), column, purpose)
        except OSError as error:
            raise UsageError(f"{purpose} {public(path)} cannot be read: {error_text(error)}; check its name") from error

    @property
    def identity(self) -> str:
        """Changes with the content."""
        return f"{self.kind} {self.file.stamp} {self.column}"

    def entries(self) -> list[str | bytes]:
        """What it lists, in its order, empty lines left out: some 100 bytes each.

        Raises
        ------
        UsageError
            If it is no list, or holds what is no hash of its kind.
        """
        return [_parsed(self, number, value) for number, value in enumerate(_read(self), 1) if value]


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

    files: tuple[ListFile, ...] = ()
    max_pdq_bits: int = 31

    @classmethod
    def of(cls, blocklist: Blocklist) -> Blocker:
        """The blocker of a recipe.

        Raises
        ------
        UsageError
            If a file is not there, is no list, or holds what is no hash of its kind.
        """
        files = tuple(ListFile.of(kind, name) for kind in _KINDS for name in getattr(blocklist, kind))
        blocker = cls(files, blocklist.max_pdq_bits)
        _entries(blocker.files)
        return blocker

    @property
    def identity(self) -> str:
        """Changes whenever something else may be blocked."""
        files = [each.identity for each in self.files]
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
        near = rows[nearest_bits(codes, blocked)[0] <= self.max_pdq_bits]
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
            if sample.fault is None and (fault := self._fault(sample)) is not None:
                sample = replace(sample, image=None, fault=fault, withheld=sample.image)
            yield sample if sample.fault is None else replace(sample, image=None)

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


def nearest_bits(codes: NDArray[np.uint8], others: NDArray[np.uint8]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """The nearest of some other hashes to each hash.

    Parameters
    ----------
    codes : ndarray of uint8, shape (n, bytes)
        Hashes of a multiple of 8 bytes.
    others : ndarray of uint8, shape (m, bytes)
        Those they are compared with, all with all: the time is in proportion to n times m.

    Returns
    -------
    bits : ndarray of uint16, shape (n,)
        Hamming distances; where there are no others, one bit more than a hash has.
    nearest : ndarray of int64, shape (n,)
        Row numbers of the nearest in `others`, of equals the first.
    """
    bits = np.full(len(codes), 8 * codes.shape[1] + 1, np.uint16)
    nearest = np.zeros(len(codes), np.int64)
    other_words = np.ascontiguousarray(others).view(np.uint64)
    for start in range(0, len(codes), _COMPARED_ROWS):
        rows = slice(start, start + _COMPARED_ROWS)
        columns = np.ascontiguousarray(np.ascontiguousarray(codes[rows]).view(np.uint64).T)  # sums of rows are slow
        for number, other in enumerate(other_words):
            distance = np.zeros(columns.shape[1], np.uint16)
            for column, word in zip(columns, other, strict=True):
                distance += np.bitwise_count(column ^ word)
            nearest[rows][distance < bits[rows]] = number
            np.minimum(bits[rows], distance, out=bits[rows])
    return bits, nearest


@lru_cache(maxsize=2)
def _entries(files: tuple[ListFile, ...]) -> dict[str, frozenset[Any]]:
    """All entries by kind: some 100 bytes each."""
    found: dict[str, set[Any]] = {kind: set() for kind in _KINDS}
    for each in files:
        found[each.kind].update(each.entries())
    return {kind: frozenset(values) for kind, values in found.items()}


def _read(listed: ListFile) -> list[Any]:
    import pyarrow.parquet as pq

    file, column = listed.file, listed.column
    try:
        with file.open() as handle:
            if not file.path.lower().endswith((".parquet", ".pq")):
                return [line.strip() for line in handle.read().decode().splitlines()]
            names = pq.read_schema(handle).names
            if column is None and len(names) > 1:
                shown = ", ".join(names)
                raise UsageError(
                    f"{listed.purpose} {file.name} has columns {shown}; say which, as in {file.name}:{names[0]}"
                )
            handle.seek(0)
            return list(pq.read_table(handle, columns=[column or names[0]])[column or names[0]].to_pylist())
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UsageError(
            f"{listed.purpose} {file.name} cannot be read: {error_text(error)}; give text or Parquet"
        ) from error


def _parsed(listed: ListFile, number: int, value: Any) -> str | bytes:
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

"""WebDataset shards: tars in which the files of a sample follow one another and share a name."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from dedupkit.sample import Fault, Note, Reason, Sample
from dedupkit.sources.base import Shard
from dedupkit.sources.captions import caption_name, caption_of, caption_of_file, utf8_text
from dedupkit.sources.listing import File, error_text, is_image_name, unique_names
from dedupkit.sources.tar import DamagedTarError, Member, tar_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from typing_extensions import Buffer

    from dedupkit.recipe import SourceOptions

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2")
_COMPRESSIONS = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_CAPTION_MEMBERS = ("txt", "caption")
_MEMBER_OVERHEAD = 512  # counted for each member, so that a million empty ones of one name do not fill the memory
_BUFFER_BYTES = 1 << 20
_PIECE_BYTES = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDatasetSource:
    """Tars as img2dataset and the webdataset library write them; one is one shard.

    Attributes
    ----------
    files : tuple of File
        The tars, plain or compressed with gzip, Zstandard or bzip2.
    options : SourceOptions
        `image_column` and `caption_column` name a member's extension, `caption_column` also an entry of the JSON
        member, `key_column` an entry of the JSON member; None takes what is usual.
    max_bytes : int
        Larger members are not read, and no more than this is held of one sample besides its image.
    """

    files: tuple[File, ...]
    options: SourceOptions
    max_bytes: int = 256 << 20

    def shards(self) -> Sequence[Shard]:
        """One for each tar, in the order they were given, called by its name without ending."""
        names = unique_names(_shard_name(file.name) for file in self.files)
        return [Shard(name, file.stamp, file, file.byte_size) for name, file in zip(names, self.files, strict=True)]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """None: the members of a tar have no declared types."""
        return None

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream one tar; what is not readable any more is one sample with reason ``damaged_shard``."""
        had_json = False
        try:
            with _opened(shard.location) as handle:
                for group in _groups(tar_members(handle), self.max_bytes):
                    yield _sample(group, self.options, self.max_bytes, had_json)
                    had_json = had_json or "json" in group.members
        except (ConnectionError, TimeoutError):  # the network, not the data: the task is tried again
            raise
        except (DamagedTarError, OSError, EOFError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            yield Sample(shard.name, None, fault=Fault(Reason.DAMAGED_SHARD, error_text(error)))


@dataclass(slots=True)
class _Group:
    """The members of one sample as far as they were read; the order is the tar's."""

    prefix: str
    members: dict[str, bytes] = field(default_factory=dict)
    too_large: dict[str, int] = field(default_factory=dict)
    no_files: list[str] = field(default_factory=list)
    held_bytes: int = 0

    def add(self, member: Member, ending: str, max_bytes: int) -> None:
        self.held_bytes += _MEMBER_OVERHEAD
        first_image = _is_image(ending) and not any(map(_is_image, self.members))
        room = max_bytes if first_image else max_bytes - self.held_bytes
        if not member.is_file:
            self.no_files.append(ending)
        elif member.byte_size > room:
            self.too_large[ending] = member.byte_size
        else:
            self.members[ending] = member.take()
            self.held_bytes += 0 if first_image else member.byte_size

    def has(self, ending: str) -> bool:
        return ending in self.members or ending in self.too_large or ending in self.no_files


def _groups(members: Iterator[Member], max_bytes: int) -> Iterator[_Group]:
    """Consecutive members that share a name up to the first dot of its last part, as webdataset has it.

    A member that the sample has already starts another sample of the same name.  Where the tar turns out to be
    damaged, the sample at hand is given only if it has all that the one before it had: else it is half of one.
    """
    group: _Group | None = None
    expected: set[str] | None = None
    try:
        for member in members:
            prefix, ending = _split(member.name)
            if member.is_folder or not ending:
                continue
            if group is None or group.prefix != prefix or group.has(ending):
                if group is not None:
                    yield group
                    expected = set(group.members)
                group = _Group(prefix)
            group.add(member, ending, max_bytes)
    except DamagedTarError as error:
        if group is not None and (error.complete if expected is None else expected <= set(group.members)):
            yield group
        raise
    if group is not None:
        yield group


def _split(name: str) -> tuple[str, str]:
    folder, slash, last = name.removeprefix("./").lstrip("/").rpartition("/")
    stem, _, ending = last.partition(".")
    return (f"{folder}{slash}{stem}", ending.lower()) if stem else ("", "")


def _sample(group: _Group, options: SourceOptions, max_bytes: int, json_expected: bool) -> Sample:
    fields: dict[str, Any] = dict(group.members)
    key, _ = utf8_text(group.prefix)
    entries, notes = _entries(fields.pop("json", None), json_expected)
    if not all(map(_is_image, group.too_large)):
        notes = (*notes, Note.METADATA_INVALID)
    image_name = options.image_column or _image_name([*group.members, *group.too_large, *group.no_files])
    image = fields.pop(image_name, None) if image_name else None
    caption, caption_notes, taken = _caption(fields, entries, options.caption_column)
    own = {"key": key, "caption": caption}
    entries = {
        name: value for name, value in entries.items() if name != taken and (name not in own or value != own[name])
    }
    if options.key_column and isinstance(entries.get(options.key_column), str | int):
        key, _ = utf8_text(entries[options.key_column])
    fault = None if image is not None else _fault(image_name, group, max_bytes)
    return Sample(key, image, caption, {**fields, **entries}, fault, (*caption_notes, *notes))


def _entries(data: bytes | None, expected: bool) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """The entries of a sample's JSON member."""
    if data is None:
        return {}, (Note.METADATA_MISSING,) if expected else ()
    text, whole = utf8_text(data)
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return {}, (Note.METADATA_INVALID,)
    if not isinstance(entries, dict):
        return {}, (Note.METADATA_INVALID,)
    return entries, () if whole else (Note.METADATA_INVALID,)


def _image_name(endings: list[str]) -> str | None:
    """The first image; one with a plain extension goes before ``seg.png`` and the like, which belong to it."""
    images = [ending for ending in endings if _is_image(ending)]
    return next((ending for ending in images if "." not in ending), images[0] if images else None)


def _caption(
    fields: dict[str, Any], entries: dict[str, Any], column: str | None
) -> tuple[str | None, tuple[Note, ...], str | None]:
    """Caption, notes, and the JSON entry that it was; takes the member that it was out of `fields`."""
    for member in (column,) if column else _CAPTION_MEMBERS:
        if member in fields:
            return *caption_of_file(fields.pop(member)), None
    name = column or caption_name(entries)
    value = entries.get(name) if name else None
    return *caption_of(value), None if isinstance(value, list) else name


def _fault(name: str | None, group: _Group, max_bytes: int) -> Fault:
    if name in group.too_large:
        return Fault(Reason.TOO_MANY_BYTES, f"{group.too_large[name]} bytes; the limit is {max_bytes}")
    if name in group.no_files:
        return Fault(Reason.MISSING_IMAGE, f"the member .{name} is a link or device, which is not followed")
    held = ", ".join(f".{ending}" for ending in [*group.members, *group.too_large][:10])
    return Fault(Reason.MISSING_IMAGE, utf8_text(f"no image among its members {held}".rstrip())[0])


def _is_image(ending: str) -> bool:
    return is_image_name(f".{ending}")


def _shard_name(name: str) -> str:
    ending = next((ending for ending in TAR_ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] or name


@contextmanager
def _opened(file: File) -> Iterator[IO[bytes]]:
    """The bytes of a tar, decompressed if its name says so."""
    with file.open() as handle:
        compression = next((kind for ending, kind in _COMPRESSIONS.items() if file.path.lower().endswith(ending)), None)
        if compression is None:
            yield handle
            return
        import pyarrow as pa

        with pa.CompressedInputStream(pa.PythonFile(handle, "r"), compression) as plain:
            yield io.BufferedReader(_InPieces(plain), _BUFFER_BYTES)


class _InPieces(io.RawIOBase):
    """Reads a little at a time: where the data is damaged, all that was asked for at once is lost."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        return int(self._plain.readinto(memoryview(buffer).cast("B")[:_PIECE_BYTES]))

"""A folder of image files, with captions in metadata files, or in text or JSON files beside the images."""

from __future__ import annotations

import io
import os
import zlib
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from dedupkit.errors import UsageError
from dedupkit.sample import Fault, Note, Reason, Sample
from dedupkit.sources.base import Shard
from dedupkit.sources.captions import caption_of_file, utf8_text
from dedupkit.sources.listing import Entry, error_text, is_image_name, list_folder, local_stamp, public
from dedupkit.sources.metadata import METADATA_NAMES, Metadata, Row, parse_about, parse_metadata
from dedupkit.storage import digest
from dedupkit.stores import check_machine, read_at_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

# Shards are cut where a name's checksum says so: a file more or less moves no border but its own shard's.
MIN_SHARD_FILES = 64
MAX_SHARD_FILES = 1024
CUT_EVERY = 512
MAX_METADATA_BYTES = 1 << 30  # of one file, which takes some eight times as much when it is read
_BATCH_FILES = 32  # requested from a remote filesystem at once
_BATCH_BYTES = 64 << 20


class Picture(NamedTuple):
    """One image of a folder as its shard's location holds it.

    Attributes
    ----------
    key : str
        Path in the folder.
    byte_size : int
        Size of the file.
    stamp : str
        Stamps of the image and of the files beside it.
    text : str or None
        Path in the folder of the text file that holds its caption, where there is one.
    row : Row or None
        What the metadata file above it says, where there is one.
    fault : Fault or None
        Why it cannot be read.
    about : str or None
        Path in the folder of the JSON file of its fields, as img2dataset writes it, where there is one.
    unread : tuple of str
        Those of these two that are not read: they are too large, or links that lead out.
    """

    key: str
    byte_size: int = 0
    stamp: str = ""
    text: str | None = None
    row: Row | None = None
    fault: Fault | None = None
    about: str | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSource:
    """Images in a folder and the folders below it.

    Attributes
    ----------
    root : str
        The folder, as its filesystem writes it.
    filesystem : fsspec filesystem or None
        None for a local folder.
    caption_column : str or None
        Column of the metadata files that holds captions; None guesses it by name.
    max_bytes : int
        Larger files are not read, but for metadata files, which may have 1 GiB.
    names : frozenset of str or None
        Only these paths in the folder; None takes all.
    """

    root: str
    filesystem: Any = None
    caption_column: str | None = None
    max_bytes: int = 256 << 20
    names: frozenset[str] | None = None

    def shards(self) -> Sequence[Shard]:
        """Ranges of the images, sorted by path.  Lists the folder and reads all metadata files: memory grows with both.

        Raises
        ------
        UsageError
            If the folder cannot be listed, or a metadata file is larger than can be held.
        """
        return [
            Shard(
                utf8_text(pictures[0].key)[0],
                digest(pictures),
                tuple(pictures),
                sum(picture.byte_size for picture in pictures),
            )
            for pictures in _cut(self._pictures())
        ]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """None: what metadata files hold has no declared types."""
        return None

    def has_changed(self, shard: Shard) -> bool:
        """Whether a JSON file beside an image is another than the one that was listed; stores are not asked so much."""
        if self.filesystem is not None:
            return False
        named = [picture for picture in shard.location if picture.about is not None]
        return any(_stamp_now(self.root, str(picture.about)) != picture.stamp.rpartition(" ")[2] for picture in named)

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream the images of one range; from a remote filesystem, up to 32 files or 64 MiB at once."""
        pictures: tuple[Picture, ...] = shard.location
        for batch in ([picture] for picture in pictures) if self.filesystem is None else _batches(pictures):
            contents = self._contents(batch)
            for picture in batch:
                yield self._sample(picture, contents)

    def has_images(self) -> bool:
        """Whether there is any image; stops at the first."""
        try:
            return any(is_image_name(entry.name) for entry in list_folder(self.filesystem, self.root))
        except OSError as error:
            raise self._unlistable(error) from error

    def _pictures(self) -> list[Picture]:
        try:
            entries = {entry.name: entry for entry in list_folder(self.filesystem, self.root)}
        except OSError as error:
            raise self._unlistable(error) from error
        sheets = _Sheets(self._metadata(entries))
        texts, abouts = _by_stem(entries, ".txt"), _by_stem(entries, ".json")
        named = sheets.named()
        pictures = [
            _picture(entry, texts.get(_stem(name)), abouts.get(_stem(name)), sheets.row(name), self.max_bytes)
            for name, entry in entries.items()
            if is_image_name(name) or name in named or name.endswith("/")
        ]
        pictures += [_missing(name, row) for name, row in named.items() if name not in entries]
        chosen = (picture for picture in pictures if self.names is None or picture.key in self.names)
        return sorted(chosen, key=lambda picture: picture.key)

    def _metadata(self, entries: dict[str, Entry]) -> dict[str, Metadata]:
        """Metadata by folder; where a folder has both kinds, the first of `METADATA_NAMES` counts."""
        found = {}
        for name in reversed(METADATA_NAMES):
            for path, entry in entries.items():
                folder, _, last = path.rpartition("/")
                if last == name:
                    _check_metadata(entry)
                    data = None if entry.refusal else self._contents([Picture(path)])[path]
                    usable = data if isinstance(data, bytes) else b"unreadable"
                    found[folder] = parse_metadata(name, usable, self.caption_column)
        return found

    def _contents(self, pictures: Sequence[Picture]) -> dict[str, bytes | BaseException]:
        """What the files of some pictures hold, or why they cannot be read, by their path in the folder."""
        readable = [picture for picture in pictures if self._fault(picture) is None]
        names = [name for picture in readable for name in _files_of(picture)]
        if self.filesystem is None:
            return {name: _read_local(self.root, name) for name in names}
        paths = {f"{self.root.rstrip('/')}/{name}": name for name in names}
        found = read_at_once(self.filesystem, list(paths))
        return {name: found.get(path, FileNotFoundError(2, "No such file")) for path, name in paths.items()}

    def _fault(self, picture: Picture) -> Fault | None:
        if picture.fault is None and picture.byte_size > self.max_bytes:
            return Fault(Reason.TOO_MANY_BYTES, f"{picture.byte_size} bytes; the limit is {self.max_bytes}")
        return picture.fault

    def _sample(self, picture: Picture, contents: dict[str, bytes | BaseException]) -> Sample:
        row = self._said(picture, contents)
        fault, image = self._fault(picture), contents.get(picture.key)
        if isinstance(image, BaseException):
            fault, image = Fault(Reason.UNREADABLE_FILE, error_text(image)), None
        return Sample(utf8_text(picture.key)[0], image, row.caption, row.fields, fault, row.notes)

    def _said(self, picture: Picture, contents: dict[str, bytes | BaseException]) -> Row:
        """Caption and fields of an image: those of its metadata row, its text file and its JSON file."""
        text = contents.get(picture.text) if picture.text is not None else None
        about = contents.get(picture.about) if picture.about is not None else None
        text = text if isinstance(text, bytes) else None
        unread = (Note.METADATA_INVALID,) if picture.text is not None and text is None else ()
        if picture.row is None and picture.about is not None:
            row = parse_about(picture.key, about or FileNotFoundError(), text, self.caption_column)
            return replace(row, notes=tuple(dict.fromkeys((*row.notes, *unread))))
        row = picture.row or Row(notes=(Note.CAPTION_MISSING, *unread))
        if row.caption is not None or text is None:
            return row
        caption, notes = caption_of_file(text)
        notes = (*notes, *(note for note in row.notes if note is not Note.CAPTION_MISSING))
        return Row(caption, row.fields, notes)

    def _unlistable(self, error: OSError) -> UsageError:
        return UsageError(f"{public(self.root)} cannot be listed: {error_text(error)}; check its name and permissions")


class _Sheets:
    """Which metadata row an image has: that of the nearest metadata file above it."""

    def __init__(self, by_folder: dict[str, Metadata]) -> None:
        self._by_folder = by_folder
        self._nearest: dict[str, str | None] = {}

    def row(self, name: str) -> Row | None:
        if not self._by_folder:
            return None
        folder = self._nearest_folder(name.rpartition("/")[0])
        if folder is None:
            return None
        metadata = self._by_folder[folder]
        odd = Note.METADATA_INVALID if metadata.bad_lines else Note.METADATA_MISSING
        return metadata.rows.get(name[len(folder) :].lstrip("/")) or Row(notes=(Note.CAPTION_MISSING, odd))

    def named(self) -> dict[str, Row]:
        return {
            f"{folder}/{name}" if folder else name: row
            for folder, metadata in self._by_folder.items()
            for name, row in metadata.rows.items()
        }

    def _nearest_folder(self, folder: str) -> str | None:
        if folder not in self._nearest:
            above = None if not folder else self._nearest_folder(folder.rpartition("/")[0])
            self._nearest[folder] = folder if folder in self._by_folder else above
        return self._nearest[folder]


def _picture(entry: Entry, text: Entry | None, about: Entry | None, row: Row | None, max_bytes: int) -> Picture:
    fault = Fault(Reason.UNREADABLE_FILE, entry.refusal) if entry.refusal else None
    about = about if row is None else None
    stamps = " ".join(each.stamp for each in (entry, text, about) if each is not None)
    text_name, about_name = (None if each is None else each.name for each in (text, about))
    beside = [each for each in (text, about) if each is not None]
    unread = tuple(each.name for each in beside if each.refusal or each.byte_size > max_bytes)
    return Picture(entry.name, entry.byte_size, stamps, text_name, row, fault, about_name, unread)


def _by_stem(entries: dict[str, Entry], ending: str) -> dict[str, Entry]:
    """The files of an ending, by their path without it."""
    return {name.removesuffix(ending): entry for name, entry in entries.items() if name.endswith(ending)}


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _files_of(picture: Picture) -> Iterator[str]:
    """What is read of one image: the file itself, and those beside it."""
    names = (picture.key, picture.text, picture.about)
    yield from (name for name in names if name is not None and name not in picture.unread)


def _check_metadata(entry: Entry) -> None:
    if entry.byte_size > MAX_METADATA_BYTES:
        raise UsageError(
            f"{entry.name} has {entry.byte_size} bytes, and is held in memory; the limit is {MAX_METADATA_BYTES}; "
            "write the set as tars or Parquet, or cut the folder into several"
        )


def _missing(name: str, row: Row) -> Picture:
    outside = name.startswith("/") or "//" in name or ".." in name.split("/")
    detail = "the metadata names a file outside the folder" if outside else "the metadata names it; it is not there"
    return Picture(name, row=row, fault=Fault(Reason.MISSING_IMAGE, detail))


def _cut(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    part: list[Picture] = []
    for picture in pictures:
        part.append(picture)
        checksum = zlib.crc32(picture.key.encode("utf-8", "surrogatepass"))  # JSON can name what no file is called
        if (checksum % CUT_EVERY == 0 and len(part) >= MIN_SHARD_FILES) or len(part) == MAX_SHARD_FILES:
            yield part
            part = []
    if part:
        yield part


def _batches(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    remaining = iter(pictures)
    while batch := list(islice(remaining, 1)):
        room = _BATCH_BYTES - batch[0].byte_size
        while room > 0 and len(batch) < _BATCH_FILES and (more := next(remaining, None)):
            batch.append(more)
            room -= more.byte_size
        yield batch


def _stamp_now(root: str, name: str) -> str:
    path = f"{root}/{name}"
    try:
        return local_stamp(path, os.stat(path))  # noqa: PTH116 - one for each image
    except OSError:
        return ""


def _read_local(root: str, name: str) -> bytes | BaseException:
    try:
        with io.FileIO(f"{root}/{name}") as handle:
            return handle.readall()
    except OSError as error:
        check_machine(error, name)
        return error

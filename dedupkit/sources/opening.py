"""From what a caller names to the source that reads it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError
from dedupkit.sources.expansion import MAX_EXPANSION
from dedupkit.sources.folder import FolderSource
from dedupkit.sources.listing import Entry, File, error_text, is_image_name, list_folder, public
from dedupkit.sources.places import Place, find_files, is_pattern, place_of, unreadable
from dedupkit.sources.webdataset import TAR_ENDINGS, WebDatasetSource

if TYPE_CHECKING:
    from dedupkit.recipe import SourceOptions
    from dedupkit.sources.base import Source
    from dedupkit.storage import Folder

TABLE_ENDINGS = (".parquet", ".pq", ".arrow", ".feather", ".ipc")  # of `tables`, which is not imported for tars
_ARCHIVE_ENDINGS = (".zip", ".7z", ".rar")
_VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
_KNOWN = "a folder of images, tars, Parquet or Arrow files, or a saved dataset"


def open_source(
    source: object,
    options: SourceOptions | None = None,
    *,
    max_bytes: int = 256 << 20,
    max_expansion: int = MAX_EXPANSION,
    spool_to: Folder | None = None,
) -> Source:
    """Find out what a source is and open it.

    Parameters
    ----------
    source : object
        A path or any fsspec URL of a folder of images, of tars or of tables, of one such file, of a saved
        `datasets` folder, a glob (``*``, ``?``, ``[]``, ``**``) or brace range (``{00000..00041}``, ``{a,b}``), or a
        list of these; a `datasets.Dataset` or `IterableDataset`; a pandas or polars DataFrame, a pyarrow table or
        reader, a DuckDB relation; an iterable of `Sample` objects or mappings; ``NAME:ADDRESS`` of a source that a
        plugin brings; or something that is a source already.
    options : SourceOptions, optional
        Names of columns; what they leave open is guessed.
    max_bytes : int
        A larger image file or member of a tar is not read.
    max_expansion : int
        How many times its own size, besides `max_bytes`, a compressed tar or a table may unpack to.
    spool_to : Folder, optional
        Where the samples of an iterator, which can be read only once, and the rows of a program's tables are written.

    Returns
    -------
    Source
        Nothing but listings, a table's schema and an iterator has been read so far.

    Raises
    ------
    UsageError
        If nothing is there, it holds no images, or it is of no known or of several kinds.

    Examples
    --------
    >>> source = open_source([{"key": "a", "image": b"...", "caption": "A cat."}])
    >>> [sample.caption for shard in source.shards() for sample in source.read(shard)]
    ['A cat.']
    """
    from dedupkit.recipe import SourceOptions

    options = options or SourceOptions()
    if isinstance(source, str) and ":" in source:
        from dedupkit.sources.brought import brought_source

        if brought := brought_source(source, options, max_bytes):
            return brought
    if isinstance(source, str | os.PathLike):
        return _expanding(_open_url(os.fsdecode(source), options, max_bytes), max_expansion)
    if isinstance(source, list | tuple) and source and all(isinstance(one, str | os.PathLike) for one in source):
        return _expanding(_open_urls([os.fsdecode(one) for one in source], options, max_bytes), max_expansion)
    if hasattr(source, "shards") and hasattr(source, "read"):
        already: Any = source
        return already  # type: ignore[no-any-return]
    return _open_object(source, options, max_bytes, spool_to)


def _expanding(source: Source, most: int) -> Source:
    """The source with a limit to what its files may unpack to."""
    if isinstance(source, WebDatasetSource):
        return replace(source, max_expansion=most)
    if not hasattr(source, "columns"):
        return source
    from dedupkit.sources.tables import TableSource

    return replace(source, max_expansion=most) if isinstance(source, TableSource) else source


def _open_object(source: object, options: SourceOptions, max_bytes: int, spool_to: Folder | None) -> Source:
    from dedupkit.sources.arrow_objects import as_arrow, open_arrow
    from dedupkit.sources.datasets_objects import kind_of_datasets_object, open_datasets_object
    from dedupkit.sources.iterables import Entries, IterableSource
    from dedupkit.sources.spooling import spool

    if kind_of_datasets_object(source):
        return open_datasets_object(source, options, max_bytes)
    if (table := as_arrow(source)) is not None:
        return open_arrow(table, options, max_bytes, spool_to)
    if isinstance(source, Mapping | bytes | bytearray) or not isinstance(source, Iterable):
        kind = type(source).__name__
        raise UsageError(f"a {kind} is no source; give a path or URL of {_KNOWN}, or an iterable of samples")
    if iter(source) is not source:
        return IterableSource(items=source, entries=Entries.of(options))
    if spool_to is None:
        kind = type(source).__name__
        raise UsageError(f"a {kind} can be read only once; give a list, or an object whose __iter__ starts afresh")
    return spool(source, spool_to, options)


def _open_url(url: str, options: SourceOptions, max_bytes: int) -> Source:
    _forget_listings(url)
    if is_pattern(url):
        root, files = find_files(url)
        return _open_files(files, root, options, max_bytes, public(url))
    place = place_of(url)
    if place.is_folder():
        return _open_folder(place, options, max_bytes, public(url))
    root = place.path.rstrip("/").rpartition("/")[0]
    return _open_files([_file_at(place, url)], root, options, max_bytes, public(url))


def _forget_listings(url: str) -> None:
    """An earlier run of this process may have listed what has changed since."""
    filesystem = place_of(url).filesystem
    if filesystem is not None:
        filesystem.invalidate_cache()


def _open_urls(urls: list[str], options: SourceOptions, max_bytes: int) -> Source:
    found: list[File] = []
    for url in urls:
        _forget_listings(url)
        place = None if is_pattern(url) else place_of(url)
        if place is None:
            found += find_files(url)[1]
        elif not place.is_folder():
            found.append(_file_at(place, url))
        elif not (below := [entry for entry in _entries_below(place) if entry.name.lower().endswith(_FILE_ENDINGS)]):
            raise UsageError(f"{public(url)} holds neither tars nor tables; a folder of images is given by itself")
        else:
            found += _files_of(below, place)
    if any(is_image_name(file.name) for file in found):
        raise UsageError(f"{public(urls[0])} is in a list with image files; give the folder that holds them, or a glob")
    files = list(dict.fromkeys(found))
    root = os.path.commonpath([os.path.dirname(file.path) for file in files])  # noqa: PTH120 - also of URLs
    named = [replace(file, name=public(file.path.removeprefix(root).lstrip("/"))) for file in files]
    return _open_files(list(dict.fromkeys(named)), root, options, max_bytes, f"the list of {len(urls)} paths")


def _open_folder(place: Place, options: SourceOptions, max_bytes: int, shown: str) -> Source:
    if place.has("dataset_dict.json"):
        raise UsageError(f"{shown} holds several splits; name one, {_splits(place, shown)}")
    if place.has("state.json") and place.has("dataset_info.json"):
        return _open_saved_dataset(place, options, max_bytes, shown)
    try:
        entries = _entries_below(place)
    except OSError as error:
        raise UsageError(f"{shown} cannot be listed: {error_text(error)}; check its permissions") from error
    if any(entry.name.lower().endswith(_FILE_ENDINGS) for entry in entries) and not _are_folders_described(entries):
        return _open_files(_files_of(entries, place), place.path, options, max_bytes, shown)
    source = _folder_source(place.path, place.filesystem, options, max_bytes, shown)
    if not source.has_images():
        raise UsageError(f"{shown} holds no images; {_instead([entry.name.lower() for entry in entries])}")
    return source


def _instead(names: list[str]) -> str:
    """What to do about a folder that holds only such files."""
    if any(name.endswith(_ARCHIVE_ENDINGS) for name in names):
        return "unpack its archives first"
    if any(name.endswith(_VIDEO_ENDINGS) for name in names):
        return "videos are not read: write their frames as images first, with ffmpeg for one"
    return f"give {_KNOWN}"


def _splits(place: Place, shown: str) -> str:
    try:
        names = [str(name) for name in json.loads(place.read("dataset_dict.json"))["splits"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        names = []
    return " or ".join(f"{shown}/{name}" for name in names) or f"such as {shown}/train"


def _open_saved_dataset(place: Place, options: SourceOptions, max_bytes: int, shown: str) -> Source:
    from dedupkit.sources.tables import check_saved_dataset, open_tables

    try:
        names = check_saved_dataset(json.loads(place.read("state.json")), shown)
        files = [Place(f"{place.path.rstrip('/')}/{name}", place.filesystem).file() for name in names]
    except UsageError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # also of names with a zero byte
        raise UsageError(f"{shown} is a saved dataset that is not whole: {error_text(error)}; save it again") from error
    return open_tables(tuple(files), options, place.path, place.filesystem, max_bytes)


def _open_files(files: list[File], root: str, options: SourceOptions, max_bytes: int, shown: str) -> Source:
    """A source of tars, tables or images, whichever of them the files are."""
    tars = [file for file in files if file.name.lower().endswith(TAR_ENDINGS)]
    tables = [file for file in files if file.name.lower().endswith(TABLE_ENDINGS)]
    images = [file for file in files if is_image_name(file.name)]
    if tars and _are_companions(tables, tars):
        tables = []
    kinds = {"tars": tars, "tables": tables, "images": images}
    present = [name for name, found in kinds.items() if found]
    if len(present) > 1:
        held = " and ".join(f"{name} ({kinds[name][0].name})" for name in present)
        remedy = f"name one kind with a glob, such as *{_ending(tars)}, or move the others"
        raise UsageError(f"{shown} holds {held}; {remedy}")
    if tars:
        return WebDatasetSource(files=tuple(tars), options=options, max_bytes=max_bytes)
    if tables:
        from dedupkit.sources.tables import open_tables

        return open_tables(tuple(tables), options, root, tables[0].filesystem, max_bytes)
    if images:
        source = _folder_source(root, images[0].filesystem, options, max_bytes, shown)
        return replace(source, names=frozenset(file.path[len(root.rstrip("/")) + 1 :] for file in images))
    if any(file.name.lower().endswith(_ARCHIVE_ENDINGS) for file in files):
        raise UsageError(f"{shown} is an archive that cannot be streamed; unpack it and give the folder")
    raise UsageError(f"{shown} is neither image, tar nor table; {_instead([file.name.lower() for file in files])}")


def _folder_source(root: str, filesystem: Any, options: SourceOptions, max_bytes: int, shown: str) -> FolderSource:
    for option in ("image_column", "key_column"):
        if getattr(options, option) is not None:
            raise UsageError(f"{option} does not apply to {shown}, an image folder; leave it out")
    return FolderSource(root=root, filesystem=filesystem, caption_column=options.caption_column, max_bytes=max_bytes)


def _entries_below(place: Place) -> list[Entry]:
    """What lies in a folder and in the folders directly below it; a shard that must not be read is not passed over."""
    entries = list(list_folder(place.filesystem, place.path, max_depth=2))
    for entry in entries:
        if entry.refusal and entry.name.lower().endswith(_FILE_ENDINGS):
            told = f"{public(entry.name)} cannot be read ({entry.refusal})"
            raise UsageError(f"{told}; take it out, or name the shards themselves with a glob")
    return [entry for entry in entries if not entry.refusal]


def _files_of(entries: list[Entry], place: Place) -> list[File]:
    """The files that a listing of a folder names, sorted."""
    folder = place.path.rstrip("/")
    return [
        File(public(entry.name), f"{folder}/{entry.name}", entry.byte_size, entry.stamp, place.filesystem)
        for entry in sorted(entries)
    ]


def _file_at(place: Place, url: str) -> File:
    try:
        return place.file()
    except OSError as error:
        raise unreadable(url, error) from error


def _are_companions(tables: list[File], tars: list[File]) -> bool:
    """Whether tables only describe tars: img2dataset writes ``00000.parquet`` beside ``00000.tar``."""
    stems = set(map(_stem, tars))
    return any(_stem(file) in stems for file in tables)


def _are_folders_described(entries: list[Entry]) -> bool:
    """Whether tables only describe folders of images: img2dataset writes ``00000.parquet`` beside ``00000/``."""
    described = {entry.name.rpartition(".")[0] for entry in entries if entry.name.lower().endswith(TABLE_ENDINGS)}
    with_images = {entry.name.rpartition("/")[0] for entry in entries if is_image_name(entry.name)}
    return not described.isdisjoint(with_images)


def _stem(file: File) -> str:
    folder, _, last = file.path.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def _ending(tars: list[File]) -> str:
    return ".tar" if tars else ".parquet"


_FILE_ENDINGS = TAR_ENDINGS + TABLE_ENDINGS

"""Tricks with names, links and paths: cases like those of `tests/hostile_cases.py`."""

from __future__ import annotations

import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from tests import hostile_pictures as pictures
from tests.hostile_cases import FINE, MAX_BYTES, Group, fine_files, fine_table, fine_tar, put

if TYPE_CHECKING:
    from pathlib import Path

NAMES = Group("Names of members", FINE, fine_tar)
LINKS = Group("Links, and files that are none", {f"{key}.png": reason for key, reason in FINE.items()}, fine_files)
PATHS = Group("Paths in tables, and keys", FINE, fine_table)
SECRET = pictures.drawn(900)  # outside of what is read
SECRET_CAPTION = "the caption of somebody else"
OUTSIDE = "a link that leads outside the folder"
SHEET = "the metadata names a file outside the folder"
NO_BYTES = "the row holds no bytes, and its path leads outside the source's folder"


def _named(done: str, *keys: str) -> None:
    @NAMES.add(done, dict.fromkeys(keys, "unique"))
    def _(folder: Path) -> None:
        with tarfile.open(folder / f"{_seed(keys[0])}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            for number, key in enumerate(keys):
                data = pictures.drawn(_seed(key) + number)
                info = tarfile.TarInfo("see the header")
                info.size, info.pax_headers = len(data), {"path": f"{key}.png"}
                tar.addfile(info, io.BytesIO(data))


def _seed(key: str) -> int:
    return 1000 + 50 * sum(key.encode("utf-8", "surrogateescape"))


_named("`../../escape`", "../../escape")
_named("a NUL in a name", "nul\0byte")
_named("what Windows keeps for devices", "CON", "aux/nul", "lpt1/x")
_named("what Windows does not take", "a:b", "what?", "back\\slash", "ends. /x")
_named("4,000 characters", "x" * 4_000)
_named("a folder of 500 folders", "d/" * 500 + "deep")
_named("names from right to left", "photo\u202egnp")
_named("escapes of a terminal, and HTML", "\x1b[2J\x07", "<img src=x onerror=alert(1)>")
_named("names that differ only in case", "Cat", "cat", "CAT")
_named("names that differ only in Unicode form", "caf\u00e9", "cafe\u0301")


@NAMES.add("a name that begins with `/`", {"absolute": "unique"})
def _(folder: Path) -> None:
    with tarfile.open(folder / "absolute.tar", "w") as tar:
        data = pictures.drawn(30)
        info = tarfile.TarInfo("/absolute.png")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def outside(folder: Path) -> Path:
    """Where the links lead: beside the source."""
    return folder.parent / "outside"


@LINKS.add("a link to a picture elsewhere", {"leak.png": "unreadable_file"}, OUTSIDE)
def _(folder: Path) -> None:
    put(outside(folder) / "secret.png", SECRET)
    (folder / "leak.png").symlink_to(outside(folder) / "secret.png")


@LINKS.add("a link to a folder elsewhere", {})
def _(folder: Path) -> None:
    (folder / "more").symlink_to(outside(folder), target_is_directory=True)


@LINKS.add("a caption that is a link to somebody's file", {"told.png": "unique"}, "metadata_invalid")
def _(folder: Path) -> None:
    put(folder / "told.png", pictures.drawn(31))
    put(outside(folder) / "told.txt", SECRET_CAPTION.encode())
    (folder / "told.txt").symlink_to(outside(folder) / "told.txt")


@LINKS.add("a link that leads to itself", {"loop.png": "unreadable_file"})
def _(folder: Path) -> None:
    (folder / "loop.png").symlink_to("loop.png")


@LINKS.add("a pipe called `.png`", {"pipe.png": "unreadable_file"}, "not a regular file")
def _(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")


@LINKS.add("metadata that names `/etc/passwd`", {"sheet//etc/passwd": "missing_image"}, SHEET)
def _(folder: Path) -> None:
    rows = [{"file_name": name} for name in ("/etc/passwd", "../../outside/secret.png")]
    put(folder / "sheet" / "metadata.jsonl", "\n".join(map(json.dumps, rows)).encode())


@LINKS.add("metadata that names `../../secret.png`", {"sheet/../../outside/secret.png": "missing_image"}, SHEET)
def _(folder: Path) -> None:
    pass  # the second line of the sheet above


@LINKS.add("a caption file larger than `max_bytes`", {"large.png": "unique"}, "metadata_invalid")
def _(folder: Path) -> None:
    put(folder / "large.png", pictures.drawn(32))
    with (folder / "large.txt").open("wb") as sparse:
        sparse.truncate(MAX_BYTES << 20)  # a terabyte that takes no room


@LINKS.add("a hard link, which nobody can tell from a file", {"hard.png": "unique"})
def _(folder: Path) -> None:
    put(outside(folder) / "hard.png", pictures.drawn(33))
    os.link(outside(folder) / "hard.png", folder / "hard.png")


_PATHS = ("../outside/secret.png", "/etc/passwd", "https://example.org/a.png", "file:///etc/passwd", "~/secret.png")


@PATHS.add("rows that name paths and addresses", {f"path{number}": "missing_image" for number in range(5)}, NO_BYTES)
def _(folder: Path) -> None:
    put(outside(folder) / "secret.png", SECRET)
    images = [{"bytes": None, "path": path} for path in _PATHS]
    rows = {"key": [f"path{number}" for number in range(5)], "image": images, "caption": ["c"] * 5}
    pq.write_table(pa.table(rows), folder / "paths.parquet")


@PATHS.add("the key of another sample", {"zz.parquet/fine0": "unique"}, "key_renamed")
def _(folder: Path) -> None:
    rows = {"key": ["fine0"], "image": [pictures.drawn(40)], "caption": ["c"]}
    pq.write_table(pa.table(rows), folder / "zz.parquet")

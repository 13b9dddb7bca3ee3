"""Planting: LAION-style shards with known copies and broken files, out of a folder of captioned images."""

from __future__ import annotations

import csv
import io
import json
import random
import struct
import tarfile
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dedupkit.edits import EDITS as CHANGES
from dedupkit.errors import UsageError
from dedupkit.sample import Note, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SHARDS = 4
COPIES = (8, 6, 4, 3, 2, 2, 2, *[1] * 13)  # of 20 images; most have few, some have many, as on the web
DAMAGED_SHARD = f"{SHARDS:05d}"

EDITS = ("exact", "jpeg60", "half", "mirrored", "turned", "grey", "brighter", "framed")

FAULTS: Mapping[str, frozenset[str]] = {
    "truncated": frozenset({Reason.TRUNCATED_IMAGE, Reason.CORRUPT_IMAGE}),
    "html": frozenset({Reason.NOT_AN_IMAGE}),
    "empty": frozenset({Reason.EMPTY_IMAGE}),
    "bomb_header": frozenset({Reason.TOO_MANY_PIXELS}),
    "missing_image": frozenset({Reason.MISSING_IMAGE}),
    "bad_utf8_caption": frozenset({Note.CAPTION_NOT_UTF8}),
    "damaged_shard": frozenset({Reason.DAMAGED_SHARD}),
}
"""What may be wrong with a planted sample, and how `dedupkit.clean` may name it."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One sample of the demonstration's shards.

    Attributes
    ----------
    key : str
        Its key; for ``damaged_shard``, the shard's name.
    group : int
        Number of the picture it shows; samples of one group are copies of one another.
    edit : str
        ``original``, or one of `EDITS`.
    fault : str
        Empty, or one of `FAULTS`.
    """

    key: str
    group: int
    edit: str
    fault: str


@dataclass(frozen=True, slots=True)
class DemoTruth:
    """What was built.

    Attributes
    ----------
    shards : Path
        Folder of the tars.
    samples : tuple of Planted
        One for each sample, in the order of the shards.
    """

    shards: Path
    samples: tuple[Planted, ...]


def build_demo(source: Path, out: Path, seed: int = 1) -> DemoTruth:
    """Build WebDataset shards with planted copies and broken files, in the layout that img2dataset writes.

    Parameters
    ----------
    source : Path
        Folder with images and ``metadata.jsonl``, one object a line with `file_name` and `text`; 20 or more images.
    out : Path
        Gets ``shards/00000.tar`` to ``shards/00003.tar``, ``shards/00004.tar``, which is cut short, and
        ``truth.csv``.  Files that already hold the right bytes are left alone.
    seed : int
        The same seed and images give the same samples.

    Returns
    -------
    DemoTruth

    Raises
    ------
    UsageError
        If `source` cannot be read or has too few images.
    """
    rng = random.Random(seed)
    pictures = _read_pictures(source)
    members = _original_members(pictures) + _planted_copies(pictures, rng) + _planted_faults(pictures, rng)
    rng.shuffle(members)
    samples: list[Planted] = []
    for number in range(SHARDS):
        shard = f"{number:05d}"
        archive, planted = _archive(shard, members[number::SHARDS])
        _write_if_changed(out / "shards" / f"{shard}.tar", archive)
        samples += planted
    archive, planted = _cut_archive(pictures)
    _write_if_changed(out / "shards" / f"{DAMAGED_SHARD}.tar", archive)
    truth = DemoTruth(out / "shards", (*samples, *planted))
    _write_if_changed(out / "truth.csv", _truth_table(truth.samples))
    return truth


@dataclass(frozen=True, slots=True)
class _Picture:
    group: int
    data: bytes
    extension: str
    caption: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Member:
    """A sample before it has a key; no data means that the shard has no image for it."""

    picture: _Picture
    edit: str
    fault: str
    data: bytes | None
    extension: str
    caption: bytes


def _read_pictures(source: Path) -> list[_Picture]:
    try:
        rows = [json.loads(line) for line in (source / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
        pictures = [_picture(source, group, row) for group, row in enumerate(rows)]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"demo data {source} cannot be read: {error!r}; give a folder with metadata.jsonl") from error
    if len(pictures) < len(COPIES):
        raise UsageError(f"demo data must have {len(COPIES)} images or more, {source} has {len(pictures)}")
    return pictures


def _picture(source: Path, group: int, row: dict[str, Any]) -> _Picture:
    path = source / row.pop("file_name")
    return _Picture(group, path.read_bytes(), path.suffix.lstrip("."), row.pop("text"), row)


def _original_members(pictures: Iterable[_Picture]) -> list[_Member]:
    return [_member(picture, "original", picture.data, picture.extension) for picture in pictures]


def _member(
    picture: _Picture, edit: str, data: bytes | None, extension: str, *, fault: str = "", caption: str | None = None
) -> _Member:
    text = (picture.caption if caption is None else caption).encode()
    return _Member(picture, edit, fault, data, extension, text + b"\xff\xfe\xfa" * (fault == "bad_utf8_caption"))


def _planted_copies(pictures: Sequence[_Picture], rng: random.Random) -> list[_Member]:
    """Copies of as many pictures as `COPIES` is long; each edit as often as any other, no edit of a picture twice."""
    members: list[_Member] = []
    used: Counter[str] = Counter()
    for picture, count in zip(rng.sample(pictures, len(COPIES)), COPIES, strict=True):
        order = sorted(EDITS, key=lambda edit: (used[edit], rng.random()))
        for edit in order[:count]:
            used[edit] += 1
            data, extension = _edited(picture, edit)
            caption = f"{picture.caption}{rng.choice(('', '', ', stock photo', ', free download'))}"
            members.append(_member(picture, edit, data, extension, caption=caption))
    return members


def _edited(picture: _Picture, edit: str) -> tuple[bytes, str]:
    """Encoded copy and its extension."""
    if edit == "exact":
        return picture.data, picture.extension
    change = CHANGES[edit]
    return change.apply(_flat(picture.data), np.random.default_rng(0)), change.extension


def _flat(data: bytes) -> Image.Image:
    """Mode RGB, on white."""
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _planted_faults(pictures: Sequence[_Picture], rng: random.Random) -> list[_Member]:
    """Broken samples of pictures that also stand whole in the set, so that none of them is a loss."""
    page = b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>"
    jpeg, png, *others = (
        rng.choice([picture for picture in pictures if picture.extension == "jpg"]),
        rng.choice([picture for picture in pictures if picture.extension == "png"]),
        *rng.sample(pictures, 5),
    )
    return [
        _member(jpeg, "", jpeg.data[: len(jpeg.data) // 3], "jpg", fault="truncated"),
        _member(png, "", png.data[: len(png.data) // 3], "png", fault="truncated"),
        _member(others[0], "", page, "jpg", fault="html"),
        _member(others[1], "", b"", "jpg", fault="empty"),
        _member(others[2], "", _bomb_header(60_000), "png", fault="bomb_header"),
        _member(others[3], "", None, "", fault="missing_image"),
        _member(others[4], "", others[4].data, others[4].extension, fault="bad_utf8_caption"),
    ]


def _bomb_header(side: int) -> bytes:
    """A small PNG that says it is `side` pixels wide and high."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _archive(shard: str, members: Iterable[_Member]) -> tuple[bytes, list[Planted]]:
    buffer, planted = io.BytesIO(), []
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for index, member in enumerate(members):
            key = f"{shard}{index:04d}"
            for name, content in _files(key, member):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            planted.append(Planted(key, member.picture.group, member.edit, member.fault))
    return buffer.getvalue(), planted


def _files(key: str, member: _Member) -> list[tuple[str, bytes]]:
    picture = member.picture
    url = f"https://images.example.org/{picture.group}/{key}.{member.extension or picture.extension}"
    fields = {"key": key, "url": url, "caption": member.caption.decode(errors="replace"), "status": "success"}
    image = [] if member.data is None else [(f"{key}.{member.extension}", member.data)]
    metadata = json.dumps({**fields, **picture.fields}, ensure_ascii=False).encode()
    return [*image, (f"{key}.txt", member.caption), (f"{key}.json", metadata)]


def _cut_archive(pictures: Sequence[_Picture]) -> tuple[bytes, list[Planted]]:
    """A shard of three exact copies, cut in the image of the last."""
    archive, planted = _archive(DAMAGED_SHARD, [_member(p, "exact", p.data, p.extension) for p in pictures[:3]])
    cut = archive.index(pictures[2].data) + len(pictures[2].data) // 2
    return archive[:cut], [*planted[:2], Planted(DAMAGED_SHARD, pictures[2].group, "", "damaged_shard")]


def _truth_table(samples: Iterable[Planted]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("key", "group", "edit", "fault"))
    rows.writerows((sample.key, sample.group, sample.edit, sample.fault) for sample in samples)
    return text.getvalue().encode()


def _write_if_changed(path: Path, data: bytes) -> None:
    """Leave a file that is right alone, so that a second run finds its source unchanged."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)

"""Bombs and tricks: what strangers may hand in, what the user is told of it, and what it may cost.

Each stands among samples that harm nobody. `tests/integration/test_bombs.py` and `test_tricks.py` hand them to the real
command, and `docs/hostile_table.py` writes the table of `docs/hostile_input.md` out of them.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from tests import hostile_pictures as pictures
from tests.quine import gzip_quine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Writer = Callable[[Path], None]

MAX_BYTES = 1 << 20  # of the recipe that the tests run with, which makes small bombs large; the default is 256 MiB
MANY = 2_000  # members, where `benchmarks/hostile_sets.py` has 100,000
CAPTION_BYTES = 512 << 10  # 100 MB there
ZEROS = 96 << 20
LONG = f"a caption of {CAPTION_BYTES >> 10} KiB"
UNPACKS = "it unpacks to more than"
LINK = "the member .png is a link or device, which is not followed"
REST = "what follows in that file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that a stranger may do.

    Attributes
    ----------
    done : str
        What it is, for the table.
    write : callable
        Writes it into the folder of its group.
    reasons : mapping of str to str
        What is decided about its samples, by key; the table shows the last.
    told : str
        What the user is told: in the detail of the last sample, or as its note.
    lost : str
        What of others is lost.
    """

    done: str
    write: Writer
    reasons: Mapping[str, str]
    told: str = ""
    lost: str = "nothing"


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that stand in one folder, beside samples that harm nobody."""

    title: str
    fine: Mapping[str, str]
    write_fine: Writer
    cases: list[Case] = field(default_factory=list)

    def add(
        self, done: str, reasons: Mapping[str, str], told: str = "", lost: str = "nothing"
    ) -> Callable[..., Writer]:
        """Decorate the function that writes a case."""

        def added(write: Writer) -> Writer:
            self.cases.append(Case(done=done, write=write, reasons=reasons, told=told, lost=lost))
            return write

        return added

    def file(self, done: str, name: str, make: Callable[[], bytes], reasons: Mapping[str, str], told: str = "") -> None:
        """A case that is one file."""
        self.add(done, reasons, told)(lambda folder: put(folder / name, make()))

    def write(self, folder: Path) -> dict[str, str]:
        """Write all of it; what is to be decided, by key."""
        folder.mkdir(parents=True)
        self.write_fine(folder)
        expected = dict(self.fine)
        for case in self.cases:
            case.write(folder)
            expected |= case.reasons
        return expected


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def tar_of(*files: tuple[str, bytes]) -> bytes:
    """A tar of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def fine_files(folder: Path) -> None:
    for key in FINE:
        put(folder / f"{key}.png", pictures.drawn(100 + int(key[-1])))


def fine_tar(folder: Path) -> None:
    files = [(f"{key}.png", pictures.drawn(100 + int(key[-1]))) for key in FINE]
    put(folder / "fine.tar", tar_of(*files))


def fine_table(folder: Path) -> None:
    rows = {"key": list(FINE), "image": [pictures.drawn(100 + int(key[-1])) for key in FINE], "caption": ["fine"] * 3}
    pq.write_table(pa.table(rows), folder / "fine.parquet")


FINE = {f"fine{number}": "unique" for number in range(3)}
PICTURES = Group("Pictures", {f"{key}.png": reason for key, reason in FINE.items()}, fine_files)
SHARDS = Group("Tars", FINE, fine_tar)
TABLES = Group("Parquet", FINE, fine_table)


def _picture(done: str, name: str, make: Callable[[], bytes], reason: str, told: str = "") -> None:
    PICTURES.file(done, name, make, {name: reason}, told)


_SIDES = "60000 x 60000 pixels, the limit is 178956970"
_INFLATED = "ValueError: Decompressed data too large"
_picture("a PNG of 60,000 x 60,000 pixels in 90 bytes", "a.png", pictures.png_header, "too_many_pixels", _SIDES)
_picture("a JPEG whose frame states them", "a.jpg", pictures.jpeg_header, "too_many_pixels", _SIDES)
_picture("a GIF of 8 x 8 with a frame of them", "a.gif", pictures.gif_frame, "too_many_pixels", _SIDES)
_picture("a TIFF of them", "a.tif", pictures.tiff_header, "too_many_pixels", _SIDES)
_picture("a BMP of them", "a.bmp", pictures.bmp_header, "too_many_pixels", _SIDES)
_picture("a WebP of 16,384 x 16,384 pixels", "a.webp", pictures.webp_header, "too_many_pixels", "16384 x 16384 pixels")
_ICON = "an icon of 16 x 16 that holds a PNG of 14,000 x 14,000"
_picture(_ICON, "a.ico", pictures.icon_bomb, "too_many_pixels", "14000 x 14000 pixels")
_picture("64 MiB of zeros in a PNG's `zTXt`", "ztxt.png", pictures.text_bomb, "corrupt_image", _INFLATED)
_picture("the same in its `iTXt`", "itxt.png", pictures.utf8_text_bomb, "corrupt_image", _INFLATED)
_picture("the same in its colour profile, `iCCP`", "iccp.png", pictures.profile_bomb, "corrupt_image", _INFLATED)
_picture("EXIF whose tables lead back to themselves", "loop.jpg", pictures.exif_loop, "unique")
_picture("EXIF with a tag of 4,294,967,295 values", "count.jpg", pictures.exif_count, "unique")
_picture("EXIF of 16 MiB", "exif.png", pictures.exif_of_megabytes, "too_many_bytes", "the limit is 1048576")
_picture("an animation of 2,000 frames", "frames.gif", pictures.many_frames, "unique", "animated")
_picture("a PostScript program called `.jpg`", "program.jpg", pictures.postscript, "not_an_image", "begins with b'%!PS")


def _bomb(key: str) -> bytes:
    files = [(f"{key}.png", pictures.drawn(10)), ("zeros.png", bytes(ZEROS)), ("rest.png", pictures.drawn(11))]
    return tar_of(*files)


@SHARDS.add("96 MiB of zeros in a `.tar.gz`", {"a": "representative", "gz": "damaged_shard"}, UNPACKS, REST)
def _(folder: Path) -> None:
    put(folder / "gz.tar.gz", gzip.compress(_bomb("a"), 6))


@SHARDS.add("the same in a `.tar.zst`", {"b": "exact_duplicate", "zst": "damaged_shard"}, UNPACKS, REST)
def _(folder: Path) -> None:
    with pa.CompressedOutputStream(pa.OSFile(str(folder / "zst.tar.zst"), "wb"), "zstd") as packed:
        packed.write(_bomb("b"))


def _in_a_tar(done: str, key: str, reason: str, *files: tuple[str, Callable[[], bytes]], told: str = "") -> None:
    @SHARDS.add(done, {key: reason}, told)
    def _(folder: Path) -> None:
        put(folder / f"{key}.tar", tar_of(*((f"{key}.{ending}", make()) for ending, make in files)))


def _json(value: object) -> Callable[[], bytes]:
    return lambda: json.dumps(value).encode()


def _drawn(seed: int) -> tuple[str, Callable[[], bytes]]:
    return "png", lambda: pictures.drawn(seed)


def _linking(done: str, key: str, kind: bytes, target: str = "") -> None:
    @SHARDS.add(done, {key: "missing_image"}, LINK)
    def _(folder: Path) -> None:
        info = tarfile.TarInfo(f"{key}.png")
        info.type, info.linkname = kind, target
        put(folder / f"{key}.tar", info.tobuf() + bytes(1024))


def _endless() -> bytes:
    """The header of a member of 2^62 bytes, the checksum put right."""
    header = bytearray(tarfile.TarInfo("endless.png").tobuf())
    header[124:136] = b"\x80" + (1 << 62).to_bytes(11, "big")
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * ord(" ") + sum(header[156:]))
    return bytes(header) + bytes(1024)


_NAMES = {f"field{number}": number for number in range(20_000)}
_WIDE = {f"field{number}": {f"part{part}": part for part in range(150)} for number in range(300)}
_DEEP = b"[" * 50_000 + b"]" * 50_000
_TEXT = b"a red cat " * (CAPTION_BYTES // 10)
_EMPTY = {f"m{number:05d}": "empty_image" for number in range(MANY)}


def _empty_members() -> bytes:
    return tar_of(*((f"{key}.png", b"") for key in _EMPTY))


_ONE = [(f"{number}.bin", bytes) for number in range(MANY)]
_NESTED = ("tar", lambda: tar_of(("n.tar", tar_of(("n.png", b"")))))
SHARDS.file(
    "a gzip file that unpacks to itself", "quine.tar.gz", gzip_quine, {"quine": "damaged_shard"}, "damaged header"
)
_in_a_tar("tars in tars in tars", "nested", "missing_image", _NESTED, told="no image among its members .tar")
SHARDS.file(f"{MANY:,} members, all empty", "m.tar", _empty_members, _EMPTY, "no bytes")
_in_a_tar(f"{MANY:,} members of one sample", "one", "unique", _drawn(13), *_ONE)
_in_a_tar("JSON of 20,000 entries", "names", "unique", _drawn(14), ("json", _json(_NAMES)))
_in_a_tar("JSON of 300 entries of 150 parts each", "wide", "unique", _drawn(15), ("json", _json(_WIDE)))
_in_a_tar("JSON nested 50,000 deep", "deep", "unique", _drawn(16), ("json", lambda: _DEEP), told="metadata_invalid")
_in_a_tar(
    f"a caption of {CAPTION_BYTES >> 10} KiB",
    "long",
    "unique",
    _drawn(17),
    ("txt", lambda: _TEXT),
    told="caption_too_long",
)
SHARDS.file("a member of 2^62 bytes", "end.tar", _endless, {"end": "damaged_shard"}, "the tar ends inside endless.png")
_linking("a member that is a link to `/etc/passwd`", "symbolic", tarfile.SYMTYPE, "/etc/passwd")
_linking("a member that is a hard link to `../../secret`", "hard", tarfile.LNKTYPE, "../../secret")
_linking("a member that is a device", "device", tarfile.CHRTYPE)


@TABLES.add("1 MB of Parquet whose 5,000 rows name one value", {"repeated.parquet": "damaged_shard"}, UNPACKS, REST)
def _(folder: Path) -> None:
    value = pictures.drawn(20) + bytes(256 << 10)
    images = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), pa.array([value], pa.binary()))
    rows = {"key": [f"repeated{number:04d}" for number in range(5_000)], "image": images}
    pq.write_table(pa.table(rows), folder / "repeated.parquet", compression="zstd")


@TABLES.add("10 KB of Parquet with a page of 96 MiB", {"page.parquet": "damaged_shard"}, UNPACKS, REST)
def _(folder: Path) -> None:
    rows = {"key": ["page"], "image": pa.array([bytes(ZEROS)], pa.binary())}
    pq.write_table(pa.table(rows), folder / "page.parquet", compression="zstd", use_dictionary=False)


@TABLES.add(LONG, {"long": "unique"}, "caption_too_long")
def _(folder: Path) -> None:
    rows = {"key": ["long"], "image": [pictures.drawn(21)], "caption": [_TEXT.decode()]}
    pq.write_table(pa.table(rows), folder / "long.parquet")

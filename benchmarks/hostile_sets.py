"""What do sets cost that were made to cost much, at full size?

    python benchmarks/hostile_sets.py [--only NAME ...] [--files 1000000] [--work FOLDER]

Each set stands in a folder of its own beside three pictures that harm nobody, and is cleaned by the command line with
default limits.  Time, memory of all processes and what the decisions say go to benchmarks/results/hostile_sets.json,
out of which docs/hostile_table.py makes a table.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from measure import DEDUPKIT, RESULTS, ROOT, environment, measure

sys.path.insert(0, str(ROOT))

from tests import hostile_pictures as pictures
from tests.hostile_cases import put, tar_of

if TYPE_CHECKING:
    from collections.abc import Callable

MEMBERS = 100_000
CAPTION = b"a red cat " * 10_000_000
ZEROS = 10 << 30
FINE = [(f"fine{number}.png", pictures.drawn(100 + number)) for number in range(3)]
_BLOCK = bytes(1 << 20)


def fine_tar(folder: Path) -> None:
    put(folder / "fine.tar", tar_of(*FINE))


def empty_members(folder: Path, _: int) -> None:
    fine_tar(folder)
    put(folder / "many.tar", tar_of(*((f"{number:06d}.png", b"") for number in range(MEMBERS))))


def members_of_one(folder: Path, _: int) -> None:
    fine_tar(folder)
    files = [(f"one.{number}.bin", b"") for number in range(MEMBERS)]
    put(folder / "one.tar", tar_of(("one.png", pictures.drawn(1)), *files))


def _zeros(handle: IO[bytes]) -> None:
    """A tar with a picture, 10 GiB of zeros, and another picture."""
    with tarfile.open(fileobj=handle, mode="w|") as tar:
        for name, size in (("a.png", 0), ("zeros.png", ZEROS), ("b.png", 0)):
            data = pictures.drawn(ord(name[0]))
            info = tarfile.TarInfo(name)
            info.size = size or len(data)
            tar.addfile(info, _Zeros(size) if size else io.BytesIO(data))


class _Zeros(io.RawIOBase):
    """A file of nothing."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        given = min(len(_BLOCK), self._left if size < 0 else min(size, self._left))
        self._left -= given
        return _BLOCK[:given]


def gzip_bomb(folder: Path, _: int) -> None:
    """One block of zeros, packed once and written over and over; nobody comes to the checksum."""
    fine_tar(folder)
    picture, header = tar_of(("a.png", pictures.drawn(97))), tarfile.TarInfo("zeros.png")
    header.size = ZEROS
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    begun = packer.compress(picture[: picture.rindex(b"IEND") // 512 * 512 + 512] + header.tobuf())
    begun += packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(_BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    with (folder / "bomb.tar.gz").open("wb") as file:
        file.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff" + begun)
        for _ in range(ZEROS // len(_BLOCK)):
            file.write(block)
        file.write(packer.flush() + bytes(8))


def zstd_bomb(folder: Path, _: int) -> None:
    fine_tar(folder)
    with pa.CompressedOutputStream(pa.OSFile(str(folder / "bomb.tar.zst"), "wb"), "zstd") as packed:
        _zeros(packed)


def one_value(folder: Path, _: int) -> None:
    rows = {"key": [name for name, _ in FINE], "image": [data for _, data in FINE]}
    pq.write_table(pa.table(rows), folder / "fine.parquet")
    value = pictures.drawn(20) + bytes(16 << 20)
    places = pa.array([0] * 1_000_000, pa.int32())
    images = pa.DictionaryArray.from_arrays(places, pa.array([value], pa.binary()))
    rows = {"key": [f"{number}" for number in range(1_000_000)], "image": images}
    pq.write_table(pa.table(rows), folder / "one.parquet", compression="zstd")


def long_in_tar(folder: Path, _: int) -> None:
    fine_tar(folder)
    put(folder / "long.tar", tar_of(("long.png", pictures.drawn(2)), ("long.txt", CAPTION)))


def long_in_parquet(folder: Path, _: int) -> None:
    rows = {"key": ["long"], "image": [pictures.drawn(3)], "caption": [CAPTION.decode()]}
    pq.write_table(pa.table(rows), folder / "long.parquet")
    rows = {"key": [name for name, _ in FINE], "image": [data for _, data in FINE], "caption": ["c"] * 3}
    pq.write_table(pa.table(rows), folder / "fine.parquet")


def long_beside(folder: Path, _: int) -> None:
    for name, data in [*FINE, ("long.png", pictures.drawn(4)), ("long.txt", CAPTION)]:
        put(folder / name, data)


def long_in_metadata(folder: Path, _: int) -> None:
    for name, data in [*FINE, ("long.png", pictures.drawn(5))]:
        put(folder / name, data)
    put(folder / "metadata.jsonl", json.dumps({"file_name": "long.png", "text": CAPTION.decode()}).encode())


def many_files(folder: Path, files: int) -> None:
    for number in range(files):
        (folder / f"{number:07d}.png").touch()
    for name, data in FINE:
        put(folder / name, data)


def large_picture(folder: Path, _: int) -> None:
    for name, data in [*FINE, ("large.png", pictures.png_of_zeros(13_300))]:
        put(folder / name, data)


SETS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "empty_members": ("100,000 empty members in a tar", empty_members),
    "members_of_one": ("100,000 members of one sample", members_of_one),
    "gzip_bomb": ("10 GiB of zeros in a `.tar.gz`", gzip_bomb),
    "zstd_bomb": ("10 GiB of zeros in a `.tar.zst`", zstd_bomb),
    "one_value": ("1,000,000 rows of Parquet that name one value of 16 MiB", one_value),
    "long_in_tar": ("a caption of 100 MB in a tar", long_in_tar),
    "long_in_parquet": ("a caption of 100 MB in Parquet", long_in_parquet),
    "long_beside": ("a caption of 100 MB in a text file", long_beside),
    "long_in_metadata": ("a caption of 100 MB in `metadata.jsonl`", long_in_metadata),
    "large_picture": ("a PNG of 13,300 x 13,300 pixels, which is within the limits", large_picture),
    "many_files": ("{files:,} empty files in a folder", many_files),
}


def measured(name: str, work: Path, files: int) -> dict[str, Any]:
    """Make a set, clean it, and say what that cost and what came of it."""
    done, write = SETS[name]
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    write(folder / "in", files)
    cost = measure([*DEDUPKIT, "clean", folder / "in", folder / "out", "--preset", "fast"])
    summary = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    rows = pq.read_table(folder / "out" / "decisions.parquet", columns=["key", "action", "reason", "detail", "notes"])
    fine = [row for row in rows.to_pylist() if row["key"].startswith("fine")]
    if len(fine) != len(FINE) or any(row["action"] != "keep" for row in fine):
        raise SystemExit(f"{name}: pictures that harm nobody were lost")
    shutil.rmtree(folder)
    return {
        "name": name,
        "done": done.format(files=files),
        "seconds": round(cost.wall_s, 1),
        "cpu_seconds": round(cost.cpu_s, 1),
        "peak_mib": round(cost.peak_tree_mib or cost.peak_process_mib),
        "told": _told(rows.to_pylist(), summary["samples"]),
    }


def _told(rows: list[dict[str, Any]], samples: dict[str, int]) -> str:
    counted = f"{samples['kept']:,} kept, {samples['dropped']:,} dropped, {samples['quarantined']:,} quarantined"
    odd = [row for row in rows if not row["key"].startswith("fine")]
    said = {row["detail"] for row in odd if row["detail"]} | {note for row in odd for note in row["notes"] or ()}
    said -= {"caption_missing"}
    return "; ".join([counted, *(f"`{each}`" for each in sorted(said)[:3])])


def main() -> None:
    """Measure the sets that are asked for, and keep the results of all others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "dedupkit-hostile-sets")
    chosen = parser.parse_args()
    place = RESULTS / "hostile_sets.json"
    before = json.loads(place.read_text(encoding="utf-8"))["sets"] if place.exists() else []
    found = {each["name"]: each for each in before}
    for name in chosen.only:
        found[name] = measured(name, chosen.work, chosen.files)
        print(json.dumps(found[name]), flush=True)
        sets = [found[each] for each in SETS if each in found]
        place.write_text(json.dumps({"environment": environment(["pillow", "pyarrow"]), "sets": sets}, indent=1) + "\n")


if __name__ == "__main__":
    main()

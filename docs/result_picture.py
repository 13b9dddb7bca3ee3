"""Draws docs/images/result.svg, the README's picture: groups of the demonstration, what stays and why the rest goes.

    python docs/result_picture.py [DEMO]

DEMO is the folder of `dedupkit demo`, which is made if it is not there.  Which groups are shown is theirs to say: those
whose copies were proven in the most different ways.
"""

from __future__ import annotations

import base64
import io
import sys
import textwrap
from collections import Counter, defaultdict
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow.parquet as pq
from PIL import Image, ImageStat

from dedupkit.demo import run_demo
from dedupkit.report.gallery import GalleryMember
from dedupkit.report.words import evidence
from dedupkit.sources import open_source

OUT = Path(__file__).resolve().parent / "images" / "result.svg"
GROUPS, COPIES = 3, 4
SIDE, GAP, TEXT = 132, 14, 62
_EVIDENCE = {field.name for field in fields(GalleryMember)}
_STYLE = """
text { font: 11px ui-sans-serif, system-ui, sans-serif; fill: #33353b }
.card { fill: #ffffff; stroke: #8b909c } .kept { stroke: #1a7f46; stroke-width: 3; fill: none }
.name { font-weight: 600 } .stays { fill: #1a7f46; font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #d4d7de } .card { fill: #1b1d22 } .kept { stroke: #4cc37f } .stays { fill: #4cc37f }
}
"""


def main() -> None:
    """Write the picture."""
    demo = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    if not (demo / "clean" / "decisions.parquet").is_file():
        run_demo(demo)
    rows = pq.read_table(demo / "clean" / "decisions.parquet").to_pylist()
    images = read(demo / "shards", {row["key"] for row in rows if row["group"] is not None})
    coloured = {key for key, image in images.items() if is_coloured(picture_of(image))}
    OUT.write_text(drawn(chosen(rows, coloured), images), encoding="utf-8")
    print(f"written: {OUT} ({OUT.stat().st_size / 1000:.0f} kB)")


def chosen(rows: list[dict[str, Any]], coloured: set[str]) -> list[list[dict[str, Any]]]:
    """Groups of coloured pictures, the kept one first: those with the most kinds of evidence, and not all the same."""
    groups = defaultdict(list)
    for row in rows:
        if row["group"] is not None and row["action"] in ("keep", "drop"):
            groups[row["group"]].append(row)
    candidates = []
    for members in groups.values():
        kept = [row for row in members if row["action"] == "keep"]
        dropped = [row for row in members if row["action"] == "drop" and row["kept_key"] == kept[0]["key"]]
        dropped.sort(key=lambda row: (words(row).count(","), row["key"]), reverse=True)
        if kept[0]["key"] in coloured:
            candidates.append([kept[0], *different(dropped)])
    seen: Counter[str] = Counter()
    found: list[list[dict[str, Any]]] = []
    while candidates and len(found) < GROUPS:
        candidates.sort(key=lambda group: (-sum(1 / (1 + seen[kind(row)]) for row in group[1:]), group[0]["key"]))
        found.append(candidates.pop(0))
        seen.update(map(kind, found[-1][1:]))
    return found


def different(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """So many that fit, of different kinds first."""
    of_kind = {kind(row): row for row in rows}
    rest = [row for row in rows if row not in of_kind.values()]
    return [*of_kind.values(), *rest][:COPIES]


def kind(row: dict[str, Any]) -> str:
    """How a copy was proven, in short."""
    said = row["evidence"] or {}
    return f"{row['tier']} {said.get('orientation')} {said.get('trimmed')}"


def words(row: dict[str, Any]) -> str:
    """The report's words on why a sample is a copy."""
    known = {name: value for name, value in (row["evidence"] or {}).items() if name in _EVIDENCE}
    own = {name: row[name] for name in ("position", "key", "shard", "kept_key", "tier")}
    return evidence(GalleryMember(kept=row["action"] == "keep", **own | known), 256)


def read(shards: Path, keys: set[str]) -> dict[str, bytes]:
    """The images of some keys; what is damaged was quarantined, and stands in no group."""
    source = open_source(shards)
    samples = (sample for shard in source.shards() for sample in source.read(shard))
    return {sample.key: sample.image for sample in samples if sample.key in keys and sample.image}


def picture_of(image: bytes) -> Image.Image:
    """The picture at twice the size it is shown in, what is transparent in it white."""
    with Image.open(io.BytesIO(image)) as opened:
        picture = opened.convert("RGBA")
    picture.thumbnail((SIDE * 2, SIDE * 2))
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def is_coloured(picture: Image.Image) -> bool:
    """Whether it is no drawing in ink, nor a grey photo."""
    return bool(ImageStat.Stat(picture.convert("HSV")).mean[1] > 40)


def drawn(groups: list[list[dict[str, Any]]], images: dict[str, bytes]) -> str:
    """The SVG; pictures stand in it."""
    width = (1 + COPIES) * (SIDE + GAP) + GAP
    height = len(groups) * (SIDE + TEXT + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img"><title>Groups of copies: the picture that stays, and why the others go</title>'
        f"<style>{_STYLE}</style>"
        f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>'
    ]
    for line, group in enumerate(groups):
        for place, row in enumerate(group):
            x, y = GAP + place * (SIDE + GAP), GAP + line * (SIDE + TEXT + GAP)
            parts += cell(x, y, row, images[row["key"]])
    return "\n".join([*parts, "</svg>"]) + "\n"


def cell(x: int, y: int, row: dict[str, Any], image: bytes) -> list[str]:
    """One picture, its key and what is to be said of it."""
    picture = picture_of(image)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=72, optimize=True)
    scale = SIDE / max(picture.size)
    wide, high = round(picture.width * scale), round(picture.height * scale)
    left, top = x + (SIDE - wide) // 2, y + SIDE - high
    box = f'x="{left}" y="{top}" width="{wide}" height="{high}"'
    kept = row["action"] == "keep"
    parts = [f'<image {box} href="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"/>']
    if kept:
        parts.append(f'<rect class="kept" {box}/>')
    said = [f"stays, {row['group_size']} in its group"] if kept else textwrap.wrap(words(row), 24)[:3]
    parts.append(f'<text class="name" x="{x}" y="{y + SIDE + 14}">{escape(row["key"])}</text>')
    for number, text in enumerate(said):
        name = ' class="stays"' if kept else ""
        parts.append(f'<text{name} x="{x}" y="{y + SIDE + 28 + 13 * number}">{escape(text)}</text>')
    return parts


if __name__ == "__main__":
    main()

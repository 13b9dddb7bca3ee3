"""The stage of small pictures: of what a report shows, and of some samples before and after their pixels changed."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.guard.recorder import looking
from dedupkit.parts import Part, make_parts, read_table, table_name, write_table
from dedupkit.sample import ROW_BITS
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL import Image

    from dedupkit.journey import Journey
    from dedupkit.recipe import Recipe
    from dedupkit.report.changed import Change
    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Stage

STAGE = "thumbnails/2"
SIDE = 112  # pixels; 2.2 KB each
MAX_SHARDS = 256
"""Shards that are read once more for pictures; of larger sets fewer are shown, for a shard may be a gigabyte."""
_QUALITY = 70
_ORIENTATION_TAG = 0x0112
_SCHEMA = pa.schema(
    {
        "position": pa.uint64(),
        "image": pa.binary(),
        "before": pa.binary(),  # the middle at full scale, and the same place of what was emitted; else null
        "after": pa.binary(),
        "change": pa.string(),  # in words
    }
)


@dataclass(frozen=True, slots=True)
class Pictures:
    """What was drawn.

    Attributes
    ----------
    thumbnails : mapping of int to bytes
        JPEG by position.
    changes : tuple of ChangedPicture
        Samples before and after.
    """

    thumbnails: Mapping[int, bytes]
    changes: tuple[ChangedPicture, ...] = ()

    @classmethod
    def of(cls, stage: Stage) -> Pictures:
        """Those that lie in the files of a stage."""
        return cls.out_of([read_table(stage, name) for name in stage.parts.names() if name.endswith(".parquet")])

    @classmethod
    def out_of(cls, tables: Sequence[pa.Table]) -> Pictures:
        """Those of some tables; earlier versions have no changes in theirs."""
        rows = [row for table in tables for row in table.to_pylist()]
        changes = [
            ChangedPicture(row["position"], row["before"], row["after"], row["change"])
            for row in rows
            if row.get("after") is not None
        ]
        return cls({row["position"]: row["image"] for row in rows if row["image"] is not None}, tuple(changes))


@dataclass(frozen=True, slots=True)
class ChangedPicture:
    """The middle of a picture at full scale, before and after, as JPEG; and what was done, in words."""

    position: int
    before: bytes
    after: bytes
    words: str


def within(positions: Sequence[int], max_shards: int = MAX_SHARDS) -> list[int]:
    """Those of some positions that lie in few shards, the first ones first; ascending.

    Examples
    --------
    >>> within([7, 1 << 32, 5, 2 << 32], max_shards=2)
    [5, 7, 4294967296]
    """
    shards: set[int] = set()
    found = set()
    for position in positions:
        shard = position >> ROW_BITS
        if shard in shards or len(shards) < max_shards:
            shards.add(shard)
            found.add(position)
    return sorted(found)


def draw_pictures(journey: Journey, positions: Sequence[int], changes: Sequence[Change] = ()) -> Pictures:
    """Small pictures of some samples, out of the shards that hold them.

    Parameters
    ----------
    journey : Journey
        The run, its decisions made.
    positions : sequence of int
        Where they are; each shard is read up to the last of its own.
    changes : sequence of Change
        Samples that are also shown before and after.
    """
    rows: dict[int, list[int]] = {}
    for position in sorted({*positions, *(change.position for change in changes)}):
        rows.setdefault(position >> ROW_BITS, []).append(position & ((1 << ROW_BITS) - 1))
    changed = {number: tuple(each for each in changes if each.position >> ROW_BITS == number) for number in rows}
    stage, seen = journey.tables.stage("thumbnails"), journey.fingerprint_digests()
    how = digest([journey.recipe.augment.model_dump(), journey.recipe.seed]) if changes else ""
    parts = [
        Part(
            table_name(number),
            {
                "stage": STAGE,
                "fingerprints": seen[number],
                "rows": digest(wanted),
                "changes": digest([how, [asdict(each) for each in changed[number]]]) if changed[number] else "",
            },
            (number, journey.shards[number], wanted, changed[number]),
            shard=journey.shards[number],
        )
        for number, wanted in rows.items()
    ]
    task = partial(_draw_part, source=journey.source, recipe=journey.recipe)
    make_parts("thumbnails", stage, parts, task, journey.engine, journey.observe)
    return Pictures.out_of([read_table(stage, part.name) for part in parts])


def _draw_part(
    item: tuple[int, Shard, Sequence[int], Sequence[Change]], handle: IO[bytes], *, source: Source, recipe: Recipe
) -> dict[str, Any]:
    """Pictures of some rows of a shard, which is read no further than the last of them."""
    number, shard, rows, changes = item
    wanted, changed = set(rows), {change.position: change for change in changes}
    found: list[dict[str, Any]] = []
    for row, sample in enumerate(source.read(shard)):
        if row in wanted and sample.image is not None:
            with looking(recipe.limits.max_seconds):
                found += _drawn(sample.image, number << ROW_BITS | row, changed, recipe)
        if row >= rows[-1]:
            break
    return write_table(pa.Table.from_pylist(found, schema=_SCHEMA), handle)


def _drawn(image: bytes, position: int, changed: Mapping[int, Change], recipe: Recipe) -> list[dict[str, Any]]:
    from dedupkit.report.changed import before_and_after

    picture = thumbnail(image)
    if not picture:
        return []
    more = before_and_after(image, changed[position], recipe) if position in changed else {}
    return [{"position": position, "image": picture} | more]


def thumbnail(image: bytes, side: int = SIDE, quality: int = _QUALITY) -> bytes | None:
    """A small JPEG of an image, upright, transparency on white, without any metadata.

    Parameters
    ----------
    image : bytes
        The encoded image.
    side : int
        Longest side in pixels.
    quality : int
        Of the JPEG.

    Returns
    -------
    bytes or None
        None where the image cannot be decoded.
    """
    from PIL import Image

    from dedupkit.fingerprints.decode import is_program, upright

    try:
        with Image.open(io.BytesIO(image)) as opened:
            if is_program(opened):
                return None
            scale = side / max(side, *opened.size)
            width, height = (max(1, round(scale * length)) for length in opened.size)
            opened.draft("RGB", (width, height))  # a JPEG is decoded at the smallest scale that is no smaller
            orientation = opened.getexif().get(_ORIENTATION_TAG, 1)
            small = _true_colour(opened)
            small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
            shown = _on_white(upright(small, orientation))
            shown.info.clear()  # comments and profiles would be written again
            buffer = io.BytesIO()
            shown.save(buffer, "JPEG", quality=quality, optimize=True)
            return buffer.getvalue()
    except Exception:  # noqa: BLE001 - decoders of hostile bytes raise whatever they like; a picture is not vital
        return None


def _true_colour(image: Image.Image) -> Image.Image:
    """The image in a mode that can be scaled smoothly."""
    if image.mode.startswith("I"):  # 16 bits a sample, which Pillow would clip to 8
        return image.point(lambda level: level / 257, "L" if image.mode == "I;16" else None).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")

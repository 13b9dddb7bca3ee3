"""Contact sheets: pictures in a grid with a few lines below each, for notebooks, which show what is returned."""

from __future__ import annotations

import io
import textwrap
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from dedupkit.errors import UsageError
from dedupkit.fingerprints.decode import header
from dedupkit.fingerprints.pillow import strict_pillow
from dedupkit.options import resolve_recipe
from dedupkit.recipe import Limits
from dedupkit.report.thumbnails import thumbnail
from dedupkit.report.words import REASONS
from dedupkit.sample import ROW_BITS, Fault, Reason, Tier
from dedupkit.sources import open_source

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from dedupkit.found import Found
    from dedupkit.recipe import Recipe
    from dedupkit.sources.base import Source

SIDE = 192  # pixels of a picture's longer side
_GAP, _LINE, _TEXT_SIZE, _CHARACTERS, _MAX_LINES = 12, 16, 12, 30, 6
_COLUMNS = 5
_QUALITY = 80
_INK, _PAPER, _BLANK = "#222222", "#ffffff", "#e4e4e8"


def contact_sheet(images: Sequence[bytes], captions: Sequence[str], *, limits: Limits | None = None) -> Image.Image:
    """Pictures in rows of five, each with its caption below.

    Parameters
    ----------
    images : sequence of bytes
        Encoded images.  One that cannot be decoded, or is larger than `limits`, is a blank that says so.
    captions : sequence of str
        One for each; long lines are broken, and six are shown.
    limits : Limits, optional
        What is refused before it is decoded; the recipe's defaults if left out.

    Returns
    -------
    PIL.Image.Image
        In mode RGB, at most 1,032 pixels wide.  Memory is about half a megabyte a picture.

    Raises
    ------
    UsageError
        Not as many captions as images.

    Examples
    --------
    >>> contact_sheet([b"broken"], ["a.jpg"]).size
    (216, 312)
    """
    if len(images) != len(captions):
        raise UsageError(
            f"captions must be one for each image, got {len(captions)} for {len(images)}; give '' for none"
        )
    columns = max(1, min(_COLUMNS, len(images)))
    rows = -(-len(images) // columns)
    width, height = SIDE + _GAP, SIDE + _MAX_LINES * _LINE + _GAP
    sheet = Image.new("RGB", (columns * width + _GAP, max(1, rows) * height + _GAP), _PAPER)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        place = number % columns * width + _GAP, number // columns * height + _GAP
        _draw(sheet, place, _small(image, limits or Limits()), caption)
    return sheet


def plot_duplicates(
    source: Any,
    found: Found,
    key: str,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    max_pictures: int = 25,
) -> Image.Image:
    """Show the duplicate group of a sample, with the evidence for each member.

    Parameters
    ----------
    source : object
        What was searched, such that it can be read again; only the shards that hold wanted samples are, each up to the
        last of them.
    found : Found
        What `dedupkit.find_duplicates` found there.
    key : str
        A member of the group, which is shown first.
    recipe : Recipe or path of a TOML file, optional
        The one of the search: its source options and limits are used.
    max_pictures : int
        How many are shown; the first caption says how many there are.

    Returns
    -------
    PIL.Image.Image
        Below each picture its key, and tier, bits, cosine and score of its pair with `key`; or, where it has none, of
        its strongest pair with another member, which is named.

    Raises
    ------
    UsageError
        No group has this key, or the source changed since the search.

    Examples
    --------
    >>> import dedupkit
    >>> from dedupkit.demo import example_images
    >>> photo = (example_images() / "photo-coffee.jpg").read_bytes()
    >>> photos = [{"key": name, "image": photo} for name in ("a", "b")]
    >>> found = dedupkit.find_duplicates(photos, recipe=dedupkit.Recipe(preset="fast"))
    >>> plot_duplicates(photos, found, "a").size
    (420, 312)
    """
    if max_pictures < 1:
        raise UsageError(f"max_pictures must be 1 or more, got {max_pictures}")
    chosen = resolve_recipe(recipe)
    members = next((group for group in found.groups if key in group), None)
    if members is None:
        raise UsageError(f"{key!r} is in no duplicate group; found.groups has the keys of those that are")
    shown = [key, *(member for member in members if member != key)][:max_pictures]
    positions = _positions(found, shown)
    opened = open_source(source, chosen.source, **chosen.limits.of_files)
    images = _read(opened, {positions[member]: member for member in shown})
    evidence = _evidence(found, key, set(members))
    count = f"{len(members)} in this group" + (f", {len(shown)} shown" if len(shown) < len(members) else "")
    captions = [f"{key}\n{count}", *(f"{member}\n{evidence[member]}" for member in shown[1:])]
    return contact_sheet([images[member] for member in shown], captions, limits=chosen.limits)


def _small(image: bytes, limits: Limits) -> Image.Image | str:
    """The picture at its size on the sheet, or why there is none."""
    facts = header(image, limits)
    if isinstance(facts, Fault):
        return REASONS[facts.reason][0]
    with strict_pillow():
        jpeg = thumbnail(image, SIDE, _QUALITY)
    return REASONS[Reason.CORRUPT_IMAGE][0] if jpeg is None else Image.open(io.BytesIO(jpeg))


def _draw(sheet: Image.Image, place: tuple[int, int], picture: Image.Image | str, caption: str) -> None:
    drawing, (left, top) = ImageDraw.Draw(sheet), place
    font = ImageFont.load_default(_TEXT_SIZE)
    if isinstance(picture, str):
        drawing.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), fill=_BLANK)
        drawing.text((left + SIDE // 2, top + SIDE // 2), picture, _INK, font, anchor="mm")
    else:
        sheet.paste(picture, (left + (SIDE - picture.width) // 2, top + SIDE - picture.height))
    for number, line in enumerate(_lines(caption)):
        drawing.text((left, top + SIDE + 4 + number * _LINE), line, _INK, font)


def _lines(caption: str) -> list[str]:
    """The caption in lines that fit below a picture; the last one says if there were more."""
    text = "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in caption)
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, _CHARACTERS)]
    return lines if len(lines) <= _MAX_LINES else [*lines[: _MAX_LINES - 1], lines[_MAX_LINES - 1][:-1] + "…"]


def _positions(found: Found, keys: Iterable[str]) -> dict[str, int]:
    wanted, positions = set(keys), {}
    for end in ("a", "b"):
        for key, position in zip(found.pairs[end].to_pylist(), found.pairs[f"{end}_position"].to_pylist(), strict=True):
            if key in wanted:
                positions[key] = position
    return positions


def _read(source: Source, wanted: Mapping[int, str]) -> dict[str, bytes]:
    """Images of the samples at some positions, by key; empty bytes where there is none any more."""
    rows: dict[int, dict[int, str]] = defaultdict(dict)
    for position, key in wanted.items():
        rows[position >> ROW_BITS][position & ((1 << ROW_BITS) - 1)] = key
    images, shards = dict.fromkeys(wanted.values(), b""), source.shards()
    for number, keys in rows.items():
        if number >= len(shards):
            raise UsageError(f"{next(iter(keys.values()))!r} is no longer in the source; search it again")
        for row, sample in enumerate(source.read(shards[number])):
            if row in keys and sample.key not in keys[row]:  # a key that clashed has the shard's name in front
                raise UsageError(f"the source has {sample.key!r} where {keys[row]!r} was; search it again")
            if row in keys:
                images[keys[row]] = sample.image or b""
            if row >= max(keys):
                break
    return images


def _evidence(found: Found, key: str, members: set[str]) -> dict[str, str]:
    """For each member the words about its pair with `key`, or else about its strongest."""
    best: dict[str, tuple[tuple[bool, float], str]] = {}
    for row in found.pairs.to_pylist():
        if row["a"] not in members:
            continue
        for member, other in ((row["a"], row["b"]), (row["b"], row["a"])):
            rank = other == key, strength(row)
            if member not in best or rank > best[member][0]:
                best[member] = rank, _words(row) + ("" if other == key else f"\nwith {other}")
    return {member: words for member, (_, words) in best.items()}


def strength(row: Mapping[str, Any]) -> float:
    """How sure a pair is: equal bytes above near hashes above what geometry or descriptors say."""
    if row["tier"] == Tier.EXACT:
        return 3.0
    if row["tier"] == Tier.PERCEPTUAL:
        return 2.0 - float(row["hamming_bits"] or 0) / 256
    return float(row["score"] or row["cosine"] or 0.0)


def _words(row: Mapping[str, Any]) -> str:
    """Tier and numbers of a pair, such as "perceptual, 12 bits, cosine 0.91"."""
    parts = ["same bytes" if row["tier"] == Tier.EXACT else str(row["tier"]).replace("_", " ")]
    if row["hamming_bits"] is not None:
        parts.append(f"{row['hamming_bits']} bits")
    for name in ("cosine", "score"):
        if row[name] is not None:
            parts.append(f"{name} {row[name]:.2f}")
    return ", ".join(parts)

"""Writes the option tables of docs/recipe.md out of `dedupkit.recipe.Recipe`.

python docs/recipe_table.py [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from dedupkit.recipe import Recipe

PAGE = Path(__file__).resolve().parent / "recipe.md"
OPENING, CLOSING = "<!-- options -->", "<!-- /options -->"

# Ranges that a validator checks, which the model's own types do not tell.
RANGES = {
    "matching.max_hamming_bits": "0 to 63",
    "keep.max_copies": "1 or more",
    "augment.jpeg_quality": "1 to 100, lowest first",
    "output.formats": "one or more, each once",
}

PDQ_README = "[PDQ's README](https://github.com/facebook/ThreatExchange/blob/main/pdq/README.md)"
SOURCES = {
    "preset": "`fast` stops at digests and hashes; `thorough` adds descriptors and geometry",
    "seed": "our own; what `[augment]` draws depends on it",
    "source.image_column": "guessed from names and types",
    "source.caption_column": "guessed from names and types",
    "source.key_column": "guessed from names and types",
    "source.url_column": "guessed from names and types",
    "source.embedding_column": "guessed from names and types, and only where there are no images",
    "source.hash_column": "guessed from names and types, and only where there are no images",
    "limits.max_pixels": "twice Pillow's `MAX_IMAGE_PIXELS`, where Pillow itself refuses",
    "limits.max_bytes": "256 MiB: more than any photo, less than any machine's memory",
    "fingerprints.draft": "[measured](benchmarks.md#how-far-draft-decoding-moves-the-hashes)",
    "fingerprints.descriptor": "[measured](../dedupkit/models/README.md)",
    "fingerprints.max_frame_range": "our own: what JPEG at low quality does to a frame of one colour",
    "matching.hash": "our own: 256 bits keep chance pairs rare in large sets, 64 do not",
    "matching.max_hamming_bits": f"31 of PDQ's 256 bits is what {PDQ_README} recommends; the rest is below",
    "matching.turned": "our own: a mirrored copy is a copy to a model",
    "matching.min_pdq_quality": f"{PDQ_README} advises to discard hashes of quality 49 and below",
    "matching.min_luminance_entropy": "our own: most photos lie above, letters, signs and blanks below",
    "matching.min_cosine": "[measured](../dedupkit/models/README.md)",
    "matching.sure_cosine": "[measured](../dedupkit/models/README.md)",
    "matching.max_neighbours": "[measured](../dedupkit/models/README.md)",
    "matching.verify": "our own",
    "matching.min_score": "the middle of a logistic regression, `training/geometry_score.py`",
    "matching.look_alikes": "our own: what is no copy is not dropped unasked",
    "matching.min_look_alike_cosine": "our own",
    "hygiene.strip_metadata": "our own: nobody wants GPS positions in a training set; pixels stay as they are",
    "hygiene.drop_fields": "img2dataset writes a column `exif`",
    "hygiene.min_side": "our own: less shows nothing",
    "hygiene.max_aspect": "our own: banners and strips",
    "hygiene.min_contrast": "our own: of 500 photos and 900 clothes none is below",
    "hygiene.min_brightest": "our own: of 500 photos and 900 clothes none is below",
    "hygiene.max_darkest": "our own: of 500 photos and 900 clothes none is above",
    "hygiene.max_blur": "our own: no photo of 500 is above 0.69; blurred by 4 pixels at 240 they are at 0.85",
    "hygiene.animated": "our own",
    "hygiene.faces": "our own: costs time, and needs an extra",
    "hygiene.min_face_score": "[measured](hygiene.md#how-well-they-are-found)",
    "hygiene.min_face_share": "our own: every face counts",
    "hygiene.documents": "our own: costs time, and needs an extra",
    "hygiene.max_text_share": "[measured](hygiene.md#how-well-they-are-found)",
    "hygiene.min_text_lines": "our own: signs and labels have fewer",
    "hygiene.nsfw": "our own: costs time, and needs an extra",
    "hygiene.max_nsfw": "what Yahoo names for open_nsfw",
    "captions.empty": "our own: such a caption says nothing",
    "captions.bad_unicode": "our own: [ftfy](https://ftfy.readthedocs.io) mends what it is sure of",
    "captions.control_characters": "our own",
    "captions.html": "our own",
    "captions.email": "our own: personal data",
    "captions.phone": "our own: personal data",
    "captions.phone_regions": "our own: most captions are English; add your countries",
    "captions.url": "our own",
    "captions.url_only": "our own: says nothing of the picture",
    "captions.file_name": "our own",
    "captions.file_name_only": "our own: says nothing of the picture",
    "captions.boilerplate": "our own: sometimes it is what the picture shows",
    "captions.boilerplate_only": "our own: says nothing of the picture",
    "captions.merge": "Somepalli et al. 2023, arXiv 2305.20086: several captions for a picture make a model copy less",
    "captions.max_captions": "our own",
    "captions.repeated": "our own: captions of class names repeat by nature",
    "captions.min_repeats": "the least that is a repetition",
    "captions.template": "our own",
    "keep.policy": "our own",
    "keep.max_copies": "Carlini et al. 2023, arXiv 2301.13188, advise to remove repetition",
    "blocklist.urls": "nothing is blocked",
    "blocklist.domains": "nothing is blocked",
    "blocklist.keys": "nothing is blocked",
    "blocklist.sha256": "nothing is blocked",
    "blocklist.md5": "nothing is blocked",
    "blocklist.pdq": "nothing is blocked",
    "blocklist.max_pdq_bits": f"{PDQ_README} recommends 31",
    "augment.preset": "Carlini et al. 2023, arXiv 2301.13188, advise noise and brightness; the numbers are our own",
    "augment.noise_sigma": "the preset's",
    "augment.brightness": "the preset's",
    "augment.contrast": "our own: off",
    "augment.blur_sigma": "our own: off",
    "augment.jpeg_quality": "our own: off",
    "augment.crop_share": "our own: off",
    "augment.flip_probability": "our own: off",
    "augment.by_repetition": "our own: what stands often is memorised most",
    "augment.max_repetition_factor": "our own",
    "augment.format": "our own",
    "augment.quality": "[measured](augmentation.md)",
    "output.formats": "what `datasets.load_from_disk` reads",
}


def options_text() -> str:
    """One table a part of the recipe, each row an option."""
    sections = [f"### The recipe itself\n\n{_table(Recipe, '')}"]
    for name, field in Recipe.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            summary = (part.__doc__ or "").strip().splitlines()[0]
            sections.append(f"### `[{name}]`\n\n{summary}\n\n{_table(part, f'{name}.')}")
    return "\n\n".join(sections)


def _table(part: type[BaseModel], prefix: str) -> str:
    described = _attributes(part.__doc__ or "")
    lines = ["| option | default | values | what it does | the default comes from |", "| --- | --- | --- | --- | --- |"]
    for name, field in part.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        values = "; ".join(filter(None, [_type(field.annotation), _bounds(field.metadata), RANGES.get(prefix + name)]))
        cells = (f"`{name}`", _default(field.default), values, described.get(name, ""), SOURCES[prefix + name])
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _attributes(docstring: str) -> dict[str, str]:
    """Names and descriptions out of a numpydoc section of attributes."""
    found: dict[str, str] = {}
    body = docstring.partition("Attributes\n")[2].partition("\n\n    ---")[0]
    names: list[str] = []
    for line in body.splitlines()[1:]:
        if head := re.match(r"^    (\w[\w, ]*) : ", line):
            names = head[1].split(", ")
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return {name: text.replace("``", "`").replace("  ", " ") for name, text in found.items()}


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    if origin is Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is Callable:
        return "a callable (Python only)"
    return {int: "integer", float: "number", str: "text", bool: "`true`, `false`"}[annotation]


def _bounds(metadata: list[Any]) -> str:
    low = next((item.ge for item in metadata if hasattr(item, "ge")), None)
    high = next((item.le for item in metadata if hasattr(item, "le")), None)
    if low is None and high is None:
        return ""
    return f"{low:,} to {high:,}" if high is not None else f"{low:,} or more"


def _default(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(f'{chr(34)}{item}{chr(34)}' if isinstance(item, str) else str(item) for item in value)}]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def filled(page: str) -> str:
    """The page with its tables made anew."""
    before, _, rest = page.partition(OPENING)
    return f"{before}{OPENING}\n{options_text()}\n{CLOSING}{rest.partition(CLOSING)[2]}"


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    if filled(page) != page:
        if check:
            sys.exit("docs/recipe.md is out of date: run python docs/recipe_table.py")
        PAGE.write_text(filled(page), encoding="utf-8")


if __name__ == "__main__":
    main()

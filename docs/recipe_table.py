"""Writes the option tables of docs/recipe.md out of `dedupkit.recipe.Recipe`.

python docs/recipe_table.py [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from dedupkit.recipe_options import options, parts, written

PAGE = Path(__file__).resolve().parent / "recipe.md"
OPENING, CLOSING = "<!-- options -->", "<!-- /options -->"

PDQ_README = "[PDQ's README](https://github.com/facebook/ThreatExchange/blob/main/pdq/README.md)"
SOURCES = {
    "preset": "our own: what is missed is learnt, time is not",
    "seed": "our own",
    "source.image_column": "guessed from names and types",
    "source.caption_column": "guessed from names and types",
    "source.key_column": "guessed from names and types",
    "source.url_column": "guessed from names and types",
    "source.embedding_column": "guessed from names and types, and only where there are no images",
    "source.hash_column": "guessed from names and types, and only where there are no images",
    "limits.max_pixels": "twice Pillow's `MAX_IMAGE_PIXELS`, where Pillow itself refuses",
    "limits.max_bytes": "256 MiB: more than any photo, less than any machine's memory",
    "limits.max_caption_bytes": "256 KiB: no caption comes near; half a second of cleaning for one made to be slow",
    "limits.max_expansion": "our own: captions shrink five times, pictures hardly; gzip's bombs a thousand times",
    "limits.max_seconds": "a hundred times what the slowest picture within the limits takes",
    "limits.max_memory_bytes": "8 GiB: twice what a drawing of 100 megapixels takes",
    "fingerprints.draft": "[measured](benchmarks.md#how-far-draft-decoding-moves-the-hashes)",
    "fingerprints.descriptor": "[measured](https://github.com/dedupkit/dedupkit/blob/main/dedupkit/models/README.md)",
    "fingerprints.max_frame_range": "our own: what JPEG at low quality does to a frame of one colour",
    "matching.hash": "our own: 256 bits keep chance pairs rare in large sets, 64 do not",
    "matching.max_hamming_bits": f"31 of PDQ's 256 bits is what {PDQ_README} recommends; the rest is below",
    "matching.turned": "our own: a mirrored copy is a copy to a model",
    "matching.min_pdq_quality": f"{PDQ_README} advises to discard hashes of quality 49 and below",
    "matching.min_luminance_entropy": "our own: most photos lie above, letters, signs and blanks below",
    "matching.min_cosine": "[measured](https://github.com/dedupkit/dedupkit/blob/main/dedupkit/models/README.md)",
    "matching.sure_cosine": "[measured](https://github.com/dedupkit/dedupkit/blob/main/dedupkit/models/README.md)",
    "matching.max_neighbours": "[measured](https://github.com/dedupkit/dedupkit/blob/main/dedupkit/models/README.md)",
    "matching.verify": "our own",
    "matching.min_score": "the middle of a logistic regression, `training/geometry_score.py`",
    "matching.look_alikes": "our own: what is no copy is not dropped unasked",
    "matching.min_look_alike_cosine": "our own",
    "hygiene.strip_metadata": "our own: nobody wants GPS positions in a training set; pixels stay as they are",
    "hygiene.orientation": "our own: a JPEG that is turned is encoded anew",
    "hygiene.drop_fields": "img2dataset writes a column `exif`",
    "hygiene.min_side": "our own: less shows nothing",
    "hygiene.max_aspect": "our own: banners and strips",
    "hygiene.min_contrast": "our own: of 500 photos and 900 clothes none is below",
    "hygiene.min_brightest": "our own: of 500 photos and 900 clothes none is below",
    "hygiene.max_darkest": "our own: of 500 photos and 900 clothes none is above",
    "hygiene.max_blur": "our own: no photo of 500 is above 0.69; blurred by 4 pixels at 240 they are at 0.85",
    "hygiene.animated": "our own",
    "hygiene.placeholders": "[measured](hygiene.md#placeholder-pictures)",
    "hygiene.placeholder_files": "none but those that come with the package",
    "hygiene.faces": "our own: costs time, and needs an extra",
    "hygiene.min_face_score": "[measured](hygiene.md#how-well-they-are-found)",
    "hygiene.min_face_share": "our own: every face counts",
    "hygiene.documents": "our own: costs time, and needs an extra",
    "hygiene.max_text_share": "[measured](hygiene.md#how-well-they-are-found)",
    "hygiene.min_text_lines": "our own: signs and labels have fewer",
    "hygiene.nsfw": "our own: costs time, and needs an extra",
    "hygiene.max_nsfw": "what Yahoo names for open_nsfw",
    "hygiene.checks": "none unasked",
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
    "canaries.planted": "none unasked",
    "canaries.controls": "none unasked; as many as planted tell most",
    "canaries.kinds": "those that need no images of your own",
    "canaries.repetitions": "Carlini et al. 2019, arXiv 1802.08232, plant at different counts; the numbers are our own",
    "canaries.assignment": "our own: counts as asked for",
    "canaries.manifest": "beside the output, never in it",
    "canaries.exempt": "our own: an audit needs them as they were planted",
    "canaries.max_detection_auc": "our own: 0.5 is a coin",
    "overrides.file": "nothing is said by hand",
    "overrides.sha256": "any file will do",
    "blocklist.urls": "nothing is blocked",
    "blocklist.domains": "nothing is blocked",
    "blocklist.keys": "nothing is blocked",
    "blocklist.sha256": "nothing is blocked",
    "blocklist.md5": "nothing is blocked",
    "blocklist.pdq": "nothing is blocked",
    "blocklist.images": "nothing is blocked unless it is asked for",
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
    "card.title": "only you know",
    "card.description": "only you know",
    "card.license": "only you know: dedupkit does not look for rights",
    "card.license_link": "SPDX's page of the licence",
    "card.languages": "only you know",
    "card.homepage": "only you know",
    "card.creators": "only you know",
    "card.citation": "only you know",
    "card.origin": "the source of the run, without folders above it and credentials",
    "card.contact": "only you know",
    "card.version": "[Croissant](https://docs.mlcommons.org/croissant/docs/croissant-spec.html) wants one",
    "card.published": "equal runs give equal bytes",
    "card.croissant": "our own: costs a second",
}


def options_text() -> str:
    """One table a part of the recipe, each row an option."""
    sections = []
    for part, summary in parts().items():
        heading = f"### `[{part}]`\n\n{summary}" if part else "### The recipe itself"
        sections.append(f"{heading}\n\n{_table(part)}")
    return "\n\n".join(sections)


def _table(part: str) -> str:
    lines = ["| option | default | values | what it does | the default comes from |", "| --- | --- | --- | --- | --- |"]
    for option in options():
        if option.part != part:
            continue
        default = written(option.default) if option.default is None else f"`{written(option.default)}`"
        kind = re.sub(r'"[^"]*"|\b(?:true|false)\b', lambda found: f"`{found[0]}`", option.kind)
        cells = (f"`{option.name}`", default, kind, option.meaning, SOURCES[option.path])
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


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

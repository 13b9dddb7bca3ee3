"""Making canaries: the set is measured, canaries are drawn and encoded like it, a coin plants each or holds it out."""

from __future__ import annotations

import logging
import secrets
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.calibration.drawing import draw
from dedupkit.canaries.captions import CaptionWriter
from dedupkit.canaries.commitment import commitment_of
from dedupkit.canaries.detectability import detect
from dedupkit.canaries.encodings import encoding_of
from dedupkit.canaries.kinds import DRAWN, NEED_HELD_OUT, fitting
from dedupkit.canaries.manifest import Canary, Manifest, write_manifest
from dedupkit.errors import UsageError
from dedupkit.fingerprints.decode import decode
from dedupkit.fingerprints.stage import fingerprint_batch
from dedupkit.hygiene.checks import checked
from dedupkit.hygiene.metadata import without_metadata
from dedupkit.hygiene.orientation import baked
from dedupkit.options import resolve_recipe
from dedupkit.parts import silent
from dedupkit.sample import FINGERPRINTS, Fault, Sample
from dedupkit.sinks.base import KeptSample
from dedupkit.sources import open_source
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from dedupkit.canaries.detectability import Detectability
    from dedupkit.parts import Observer
    from dedupkit.recipe import Canaries, Recipe

_log = logging.getLogger("dedupkit")

_MEASURED = 512  # samples of the set whose encoding and captions are taken as models
_HELD_OUT = 4096
_SCENE_PARTS = 64  # held-out pictures that scenes are put together from
_TRIES = 20
_MIN_JUDGED = 20  # canaries of a kind; the AUC of fewer says nothing


@dataclass(frozen=True, slots=True)
class Made:
    """What making canaries gave.

    Attributes
    ----------
    manifest : Manifest
        The private manifest, as it was written.
    commitment : str
        What may be published.
    detection : dict of str to Detectability
        How well a simple test tells the canaries of a kind from the measured samples; kinds of fewer than 20 are not
        judged.
    """

    manifest: Manifest
    commitment: str
    detection: dict[str, Detectability]


@dataclass(frozen=True, slots=True)
class _Measured:
    images: list[bytes]
    captions: list[str]


def make(
    source: Any,
    manifest: str | os.PathLike[str],
    options: Canaries,
    *,
    held_out: Any = None,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    passphrase: str | None = None,
    progress: Observer | None = None,
) -> Made:
    """Draw canaries that look like a set's own samples to any simple test, and write their private manifest.

    Parameters
    ----------
    source : path, URL, dataset, iterable of samples or Source
        The set; 512 samples out of at most 32 shards of it are measured, nothing is written.
    manifest : path
        Where the manifest goes; what is there is not overwritten.
    options : Canaries
        How many, of which kinds, how often: the part ``[canaries]`` of a recipe.
    held_out : path, URL, dataset, iterable of samples or Source, optional
        Your own images that are in no set; needed for the kinds "scene" and "natural".
    recipe : Recipe or path of a TOML file, optional
        Of the run that will plant them: columns, limits, and hygiene, which no canary may fail.
    passphrase : str, optional
        Encrypt the manifest.
    progress : callable, optional
        Told of progress with a `dedupkit.parts.Progress`.

    Returns
    -------
    Made

    Raises
    ------
    UsageError
        If the set has no image that can be imitated, held-out images are missing or too few, or the manifest cannot be
        written.

    Notes
    -----
    Chance comes from the system's entropy, never from the recipe's seed.  Each canary takes some tenths of a second at
    400 pixels a side, more in proportion to the pixels; the manifest holds every canary's image.
    """
    chosen = resolve_recipe(recipe)
    if Path(manifest).exists():
        raise UsageError(f"{manifest} exists already; a manifest is not overwritten, name another file")
    if options.planted + options.controls < 1:
        raise UsageError("neither planted nor controls says how many canaries to make; set one of them")
    secret = secrets.token_hex(32)
    rng = np.random.default_rng(int(secret, 16))
    observe = progress or silent
    measured = _measure(source, chosen, rng, observe)
    artist = _Artist(options, chosen, measured, _own_images(held_out, options, chosen, rng, observe), rng)
    canaries = tuple(_numbered(artist, options, rng))
    made = Manifest(secret=secret, assignment=options.assignment, canaries=canaries)
    write_manifest(made, manifest, passphrase=passphrase)
    detection = _detection(canaries, measured)
    _warn(detection, options.max_detection_auc)
    return Made(made, commitment_of(made), detection)


def coins(options: Canaries, rng: np.random.Generator) -> Iterator[tuple[int, bool]]:
    """Number and fate of each canary: a coin of its own decides, whatever its kind and repetitions.

    The coins land on `planted` with the share that is wanted.  "independent" takes them as they fall; "exact" flips all
    of them again until the counts are those asked for, so that every such division has the same chance.
    """
    total = options.planted + options.controls
    while True:  # about the square root of 6 * total times, for counts that are equal
        flipped = rng.random(total) < options.planted / total
        if options.assignment == "independent" or flipped.sum() == options.planted:
            break
    yield from enumerate(flipped.tolist())


def _numbered(artist: _Artist, options: Canaries, rng: np.random.Generator) -> Iterator[Canary]:
    """The canaries; kinds take turns, and repetitions each time that all kinds had theirs."""
    taken: set[str] = set()
    turns = len(options.kinds), len(options.repetitions)
    for number, planted in coins(options, rng):
        kind = options.kinds[number % turns[0]]
        picture, box = artist.picture(kind)
        caption = artist.caption(taken)
        taken.update({caption} if caption else ())
        yield Canary(
            number=number,
            kind=kind,
            planted=planted,
            repetitions=options.repetitions[number // turns[0] % turns[1]],
            caption=caption,
            hidden_box=box,
            image=b64encode(picture).decode(),
            salt=secrets.token_hex(32),
            **artist.facts(picture),
        )


class _Artist:
    """Draws canaries after models out of the measured samples, each of which is used once before any is again."""

    def __init__(
        self, options: Canaries, recipe: Recipe, measured: _Measured, own: list[bytes], rng: np.random.Generator
    ) -> None:
        self._recipe, self._measured, self._rng = recipe, measured, rng
        self._own = own
        parts = own[:_SCENE_PARTS] if "scene" in options.kinds else []
        self._pixels = [found[1] for each in parts if (found := encoding_of(each))]
        if "scene" in options.kinds and not self._pixels:
            raise UsageError("none of the held-out images is a plain JPEG, PNG or WebP; give some that are")
        self._writer = CaptionWriter(measured.captions)
        self._models: list[bytes] = []

    def picture(self, kind: str) -> tuple[bytes, tuple[int, int, int, int] | None]:
        """An encoded picture of a kind that the recipe's hygiene lets pass, and its hidden part."""
        for _ in range(_TRIES):
            data, box = self._tried(kind)
            if data and self._passes(data):
                return data, box
        raise UsageError(
            f"no canary of kind {kind} passes the recipe's hygiene; give larger images, or loosen [hygiene]"
        )

    def caption(self, taken: set[str]) -> str | None:
        """A caption that is not taken; None for a set without captions."""
        return self._writer.write(self._rng, taken) if self._measured.captions else None

    def facts(self, data: bytes) -> dict[str, Any]:
        """Format and size of an encoded picture."""
        decoded = decode(data, self._recipe.limits)
        if isinstance(decoded, Fault):
            raise TypeError("a canary that passed can be decoded")
        return {"format": decoded.format, "width": decoded.width, "height": decoded.height}

    def _tried(self, kind: str) -> tuple[bytes, tuple[int, int, int, int] | None]:
        if kind == "natural":
            return (self._own.pop() if self._own else b""), None
        found = encoding_of(self._model())
        if found is None:
            return b"", None
        encoding, pixels = found
        layers = DRAWN[kind](self._rng, pixels, self._pixels)
        data, _ = fitting(layers, pixels, encoding.encode, encoding.byte_size)
        return _bare(data, self._recipe), layers.hidden_box

    def _model(self) -> bytes:
        if not self._models:
            order = self._rng.permutation(len(self._measured.images))
            self._models = [self._measured.images[number] for number in order]
        return self._models.pop()

    def _passes(self, data: bytes) -> bool:
        """Whether the picture goes through the checks as any sample has to."""
        plain = self._recipe.model_copy(update={"preset": "fast"})
        row = fingerprint_batch([Sample("canary", data)], plain.model_copy(update={"fingerprints": _PLAIN}))[0]
        values = dict(zip(FINGERPRINTS.names, (0, "canary", "", *row), strict=True))
        table = pa.Table.from_pylist([values | {"descriptor": None}], schema=FINGERPRINTS)
        return not checked(table, self._recipe.hygiene)["fault"][0].is_valid


def _plain_fingerprints() -> Any:
    from dedupkit.recipe import Fingerprints

    return Fingerprints(descriptor="none")


_PLAIN = _plain_fingerprints()


def _measure(source: Any, recipe: Recipe, rng: np.random.Generator, observe: Observer) -> _Measured:
    """Images of the set that can be imitated, and its captions."""
    images, captions = _sampled(source, recipe, _MEASURED, rng, observe)
    usable = _as_emitted(images, recipe)
    usable = [data for data in usable if encoding_of(data) is not None]
    if not usable:
        raise UsageError("the set has no plain JPEG, PNG or WebP that canaries could look like; name another source")
    return _Measured(usable, captions)


def _own_images(
    held_out: Any, options: Canaries, recipe: Recipe, rng: np.random.Generator, observe: Observer
) -> list[bytes]:
    needing = NEED_HELD_OUT.intersection(options.kinds)
    if not needing:
        return []
    if held_out is None:
        named = " and ".join(sorted(needing))
        raise UsageError(f"kinds {named} need images of your own that are in no set; name them with --held-out")
    images, _ = _sampled(held_out, recipe, _HELD_OUT, rng, observe)
    found = [_bare(data, recipe) for data in images]
    wanted = -(-(options.planted + options.controls) * 3 // len(options.kinds)) if "natural" in options.kinds else 1
    if len(found) < wanted:
        raise UsageError(f"{len(found)} held-out images are too few for kind natural; give {wanted} or more")
    return [found[number] for number in rng.permutation(len(found))]


def _sampled(
    source: Any, recipe: Recipe, samples: int, rng: np.random.Generator, observe: Observer
) -> tuple[list[bytes], list[str]]:
    """Usable images and captions out of a source, each with the same chance."""
    with TemporaryFolder() as scratch:
        opened = open_source(source, recipe.source, **recipe.limits.of_files)
        drawn = draw(opened, samples, int(rng.integers(1 << 62)), Path(scratch), observe)
        pairs = [(file.read_bytes(), sample.caption) for sample, file in drawn.samples if sample.fault is None]
    images = [data for data, _ in pairs if data and not isinstance(decode(data, recipe.limits), Fault)]
    return images, [caption for _, caption in pairs if caption]


def _as_emitted(images: list[bytes], recipe: Recipe) -> list[bytes]:
    """Images as they will stand beside the canaries: with changed pixels, where the recipe changes them."""
    if not recipe.augment.changes_pixels or "augmentation" not in recipe.canaries.exempt:
        return [_bare(data, recipe) for data in images]
    from dedupkit.mitigation.augment import Augmenter

    augmenter, found = Augmenter(recipe.augment, recipe.seed, recipe.limits), []
    for number, data in enumerate(images):
        decoded = decode(data, recipe.limits)
        if not isinstance(decoded, Fault):
            sample = KeptSample(str(number), data, decoded.format, None, decoded.width, decoded.height, 1, {})
            found.append(augmenter.materialised(sample).image)
    return found


def _bare(data: bytes, recipe: Recipe) -> bytes:
    """An image as the recipe emits it, so that nothing is left to do to a canary."""
    data = baked(data) if recipe.hygiene.orientation == "bake" else data
    return without_metadata(data) if recipe.hygiene.strip_metadata else data


def _detection(canaries: Sequence[Canary], measured: _Measured) -> dict[str, Detectability]:
    others = [(data, 0.5) for data in measured.images]  # places are drawn later, evenly
    found = {}
    for kind in dict.fromkeys(canary.kind for canary in canaries):
        mine = [(canary.data, 0.5) for canary in canaries if canary.kind == kind]
        if len(mine) >= _MIN_JUDGED and len(others) >= _MIN_JUDGED:
            found[kind] = detect(mine, others)
    return found


def _warn(detection: dict[str, Detectability], max_auc: float) -> None:
    for kind, found in detection.items():
        if found.auc - 2 * found.standard_error > max_auc:
            _log.warning(
                "canaries of kind %s are told from the set by a simple test with AUC %.2f; [canaries] "
                "max_detection_auc is %.2f, other kinds may hide better",
                kind,
                found.auc,
                max_auc,
            )

"""The emitting stage: a shard and its decisions in, one part of the output out; record-local."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import IO, TYPE_CHECKING, Any

import cv2
import pyarrow as pa

from dedupkit.errors import DedupkitError
from dedupkit.guard.recorder import looking
from dedupkit.hygiene.boxes import blurred, counting
from dedupkit.hygiene.metadata import without_metadata
from dedupkit.hygiene.orientation import baked
from dedupkit.mitigation.stage import settled_digests
from dedupkit.outfolder import BROUGHT, of_others
from dedupkit.parts import Part, make_parts
from dedupkit.plugins import SINKS
from dedupkit.sample import Action
from dedupkit.sinks import FORMATS, make_sink, stage_of
from dedupkit.sinks.base import KeptSample, WrittenPart
from dedupkit.sinks.list_rows import FOLDER, emit_rows
from dedupkit.sources.changes import changed, check_unchanged
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dedupkit.canaries.planting import Planting
    from dedupkit.journey import Journey, Tables
    from dedupkit.mitigation.augment import Augmenter
    from dedupkit.recipe import Hygiene, Recipe
    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder

STAGE = "emit/5"
_DECIDED = ("key", "action", "group_size", "copy", "copies_kept")
_SEEN = ("sha256", "width", "height", "format", "faces")


def emit(journey: Journey, out: Folder, decisions: Sequence[dict[str, Any]], format: str) -> int:
    """Write what is kept in one format.

    Parameters
    ----------
    journey : Journey
        The run, its fingerprints and decisions made.
    out : Folder
        Where the output's folder is made.
    decisions : sequence of dict
        What `Journey.decide` reports.
    format : str
        Name of a sink.

    Returns
    -------
    int
        Samples written.
    """
    if format == FOLDER:
        return emit_rows(journey, out, decisions)
    sink = make_sink(format)
    recipe = journey.recipe
    hygiene = recipe.hygiene
    fields = _without(journey.field_types(), hygiene.drop_fields)
    stage = stage_of(format, out, journey.work)
    choices = {
        "stage": STAGE,
        "format": format,
        "fields": digest(fields.serialize().to_pybytes().hex()),
        "source options": digest(recipe.source.model_dump()),
        "strip metadata": str(hygiene.strip_metadata),
        "orientation": _orientation_identity(recipe),
        "augment": _augment_identity(recipe),
        "canaries": journey.planted_identity,
        "faces": _blur_identity(recipe),
        "pyarrow": pa.__version__,
    } | ({"sink": SINKS.find(format).identity} if SINKS.brings(format) else {})
    seen, captions = journey.fingerprint_digests(), settled_digests(journey)
    parts = [
        Part(
            sink.part_name(number),
            choices
            | {
                "shard": digest([shard.name, shard.identity]),
                "fingerprints": seen[number],
                "decisions": report["sha256"],
                "captions": captions[number],
            },
            (number, shard),
            shard.byte_size,
            shard,
        )
        for number, (shard, report) in enumerate(zip(journey.shards, decisions, strict=True))
    ]
    kept = partial(_kept, source=journey.source, tables=journey.tables, recipe=recipe, planting=journey.planting)
    task = partial(_emit_part, kept=kept, format=format, fields=fields)
    reports = make_parts(sink.folder, stage, parts, task, journey.engine, journey.observe)
    written = [
        WrittenPart(part.name, report["rows"], report["sha256"]) for part, report in zip(parts, reports, strict=True)
    ]
    _finish(format, stage.parts, written, fields)
    return sum(part.rows for part in written)


def discard_other_formats(out: Folder, work: Folder, formats: Sequence[str]) -> None:
    """Remove the outputs of an earlier recipe in formats that are not asked for any more."""
    folders = {format: make_sink(format).folder for format in FORMATS} | {FOLDER: FOLDER}
    for format, name in folders.items():
        if format not in formats:
            out.remove(name)
            work.below("receipts").remove(name)
    for name in of_others(out):
        if name not in formats:
            out.remove(name)
            work.below("receipts").remove(BROUGHT + name)


def _orientation_identity(recipe: Recipe) -> str:
    """All that turned pixels depend on."""
    if recipe.hygiene.orientation == "keep":
        return "keep"
    return " ".join(["bake", *(metadata.version(name) for name in ("opencv-python-headless", "pillow"))])


def _augment_identity(recipe: Recipe) -> str:
    """All that changed pixels depend on."""
    if not recipe.augment.changes_pixels:
        return ""
    versions = {name: metadata.version(name) for name in ("albumentations", "numpy", "pillow", "simplejpeg")}
    return digest([recipe.augment.model_dump(), recipe.seed, versions])


def _blur_identity(recipe: Recipe) -> str:
    """All that blurred faces depend on."""
    if recipe.hygiene.faces != "blur":
        return ""
    options = recipe.augment.format, recipe.augment.quality
    limits = recipe.hygiene.min_face_score, recipe.hygiene.min_face_share
    versions = {name: metadata.version(name) for name in ("numpy", "pillow", "simplejpeg")}
    return digest(["blur/1", options, limits, versions, cv2.__version__])


def _without(fields: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """The types of the other fields, without those of some names."""
    return pa.schema([field for field in fields if field.name not in names], metadata=fields.metadata)


def _emit_part(
    item: tuple[int, Shard],
    handle: IO[bytes],
    *,
    kept: Callable[[int, Shard], Iterator[KeptSample]],
    format: str,
    fields: pa.Schema,
) -> dict[str, Any]:
    with _named_where_it_fails(format):
        return {"rows": make_sink(format).write_part(handle, kept(*item), fields)}


def _finish(format: str, folder: Folder, parts: Sequence[WrittenPart], fields: pa.Schema) -> None:
    with _named_where_it_fails(format):
        make_sink(format).finish(folder, parts, fields)


@contextmanager
def _named_where_it_fails(format: str) -> Iterator[None]:
    """What a sink of others raises is told with its name; what disks and stores raise is told as ever."""
    try:
        yield
    except (DedupkitError, OSError):
        raise
    except Exception as error:
        if not SINKS.brings(format):
            raise
        raise SINKS.find(format).failed(error) from error


def _kept(
    number: int, shard: Shard, *, source: Source, tables: Tables, recipe: Recipe, planting: Planting | None
) -> Iterator[KeptSample]:
    """The kept samples of a shard as they are emitted."""
    augmenter = augmenter_of(recipe)
    for sample in _read_again(number, shard, source, tables, recipe.hygiene):
        if planting is not None and planting.exempts(hashlib.sha256(sample.image).digest(), "augmentation"):
            yield sample  # made without what is to be stripped
        else:
            with looking(recipe.limits.max_seconds):
                done = treated(sample, recipe, augmenter)
            yield done


def treated(sample: KeptSample, recipe: Recipe, augmenter: Augmenter | None) -> KeptSample:
    """A kept sample with all that the recipe does to images."""
    if augmenter is not None:
        return augmenter.materialised(sample, sample.copy)  # what is encoded anew has no metadata
    if sample.faces:
        return _without_faces(sample, recipe)
    return replace(sample, image=_rewritten(sample.image, recipe.hygiene))


def augmenter_of(recipe: Recipe) -> Augmenter | None:
    if not recipe.augment.changes_pixels:
        return None
    from dedupkit.mitigation.augment import Augmenter, prepare

    prepare()  # takes seconds, which no sample has to answer for
    return Augmenter(recipe.augment, recipe.seed, recipe.limits)


def _rewritten(image: bytes, hygiene: Hygiene) -> bytes:
    """An image without metadata and upright, as far as the recipe says so."""
    image = baked(image) if hygiene.orientation == "bake" else image
    return without_metadata(image) if hygiene.strip_metadata else image


def _without_faces(sample: KeptSample, recipe: Recipe) -> KeptSample:
    """A sample whose image is encoded anew, its faces blurred."""
    from dedupkit.mitigation.encoding import encoded, opened

    source = opened(sample.image, recipe.limits, sample.key)
    image, kind = encoded(blurred(source.pixels, sample.faces), recipe.augment.format, recipe.augment.quality, source)
    return replace(sample, image=image, format=kind)


def _read_again(number: int, shard: Shard, source: Source, tables: Tables, hygiene: Hygiene) -> Iterator[KeptSample]:
    """The kept samples of a shard, checked to be those that were decided about."""
    decided = tables.decisions(number, _DECIDED)
    seen = tables.fingerprints(number, _SEEN)
    said = tables.captions(number)
    columns = ((decided, _DECIDED), (seen, _SEEN), (said, ("caption", "captions")))
    facts = zip(*(table[name].to_pylist() for table, names in columns for name in names), strict=True)
    samples = source.read(shard)
    for key, action, group_size, copy, copies_kept, sha256, width, height, kind, faces, caption, captions in facts:
        sample = next(samples, None)
        if action != Action.KEEP:
            continue
        image = None if sample is None else sample.image or sample.withheld  # kept by hand, though it is blocked
        if sample is None or image is None or hashlib.sha256(image).digest() != sha256:
            raise changed(shard.name, key)
        yield KeptSample(
            key,
            image,
            kind,
            caption,
            width,
            height,
            group_size,
            sample.fields,
            captions=captions,
            copy=copy,
            copies_kept=copies_kept,
            faces=counting(faces, hygiene) if hygiene.faces == "blur" else (),
        )
    check_unchanged(source, shard)

"""The record-local half of a run: every shard becomes a table of fingerprints."""

from __future__ import annotations

from functools import partial
from typing import IO, TYPE_CHECKING, Any

import cv2
import numpy
import PIL
import pyarrow as pa
import simplejpeg

from dedupkit.examples import block_examples, fingerprint_examples
from dedupkit.fingerprints import stage as fingerprinting
from dedupkit.fingerprints.given import STAGE as GIVEN_STAGE
from dedupkit.fingerprints.given import given_fingerprints
from dedupkit.hygiene.brought import BroughtChecks
from dedupkit.hygiene.sensitive import Lookout
from dedupkit.mitigation.stage import clean_captions
from dedupkit.parts import Part, make_parts, table_name, write_table
from dedupkit.sources.lists import ListSource
from dedupkit.storage import digest
from dedupkit.takedown import block_taken_down

if TYPE_CHECKING:
    from dedupkit.blocklist import Blocker
    from dedupkit.journey.whole import Journey
    from dedupkit.recipe import Recipe
    from dedupkit.sources.base import Shard, Source


def fingerprint_shards(journey: Journey) -> list[dict[str, Any]]:
    """Fingerprint every shard; the report of each part."""
    if journey.examples is not None:
        fingerprint_examples(journey, journey.examples, _recipe_of_examples(journey))
    choices = fingerprint_choices(journey, journey.recipe) | {
        "source options": digest(journey.recipe.source.model_dump()),
        "sensitive": Lookout.of(journey.recipe.hygiene).identity,
        "blocklist": digest(journey.blocker.identity),
        "fields": str(journey.emits),
    }
    brought = BroughtChecks.of(journey.recipe.hygiene)
    if brought:
        choices["checks"] = brought.identity
    parts = [
        Part(
            table_name(number),
            choices | {"shard": digest([shard.name, shard.identity])},
            (number, shard),
            shard.byte_size,
            shard,
        )
        for number, shard in enumerate(journey.shards)
    ]
    task = partial(
        _fingerprint_part,
        source=journey.source,
        recipe=journey.recipe,
        blocker=journey.blocker,
        threads=journey.engine.threads_a_task(len(parts)),
        with_fields=journey.emits,
    )
    stage = journey.tables.stage("fingerprints")
    reports = make_parts("fingerprints", stage, parts, task, journey.engine, journey.observe)
    if journey.taken_down is not None:
        block_taken_down(journey, journey.taken_down, reports)
    if journey.examples is not None:
        block_examples(journey, journey.examples, reports)
    if journey.emits:
        clean_captions(journey, reports)
    return reports


def fingerprint_choices(journey: Journey, recipe: Recipe) -> dict[str, str]:
    """All that the fingerprints of any image depend on."""
    return {
        "stage": fingerprinting.STAGE,
        "limits": digest(recipe.limits.of_headers),
        "fingerprints": digest(recipe.fingerprints.model_dump()),
        "descriptor": _descriptor_identity(journey),
        "versions": digest([module.__version__ for module in (numpy, PIL, pa, simplejpeg)]),
    }


def _recipe_of_examples(journey: Journey) -> Recipe:
    """What examples are fingerprinted by; embeddings that a list brings cannot be made of an image."""
    if journey.recipe.descriptor != "given":
        return journey.recipe
    fingerprints = journey.recipe.fingerprints.model_copy(update={"descriptor": "none"})
    return journey.recipe.model_copy(update={"fingerprints": fingerprints})


def _descriptor_identity(journey: Journey) -> str:
    if isinstance(journey.source, ListSource):
        return f"{GIVEN_STAGE} {journey.recipe.descriptor}"
    if not journey.recipe.descriptor:
        return ""
    from dedupkit.fingerprints.descriptors import open_describer

    return f"{open_describer(journey.recipe.descriptor).identity} cv2 {cv2.__version__}"


def _fingerprint_part(
    item: tuple[int, Shard],
    handle: IO[bytes],
    *,
    source: Source,
    recipe: Recipe,
    blocker: Blocker,
    threads: int,
    with_fields: bool,
) -> dict[str, Any]:
    if isinstance(source, ListSource):
        table = given_fingerprints(item, source=source, recipe=recipe, blocker=blocker, with_fields=with_fields)
    else:
        table = fingerprinting.fingerprint_shard(
            item, source=source, recipe=recipe, threads=threads, with_fields=with_fields
        )
    return write_table(blocker.without_blocked_hashes(table), handle)

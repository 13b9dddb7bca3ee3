"""Manifests for the tests of audits: real canaries made over drawn pictures, and light ones without a picture."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dedupkit.canaries import make
from dedupkit.canaries.making import coins
from dedupkit.canaries.manifest import Canary, Manifest
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dedupkit.recipe import Canaries


def light_manifest(
    planted: Sequence[bool],
    *,
    kinds: Sequence[str] = ("texture",),
    repetitions: Sequence[int] = (1,),
    assignment: Any = "exact",
) -> Manifest:
    """Canaries without a picture; kinds and repetitions take turns as in `dedupkit.canaries.make`."""
    salt = hashlib.sha256(b"salt").hexdigest()
    turns = len(kinds), len(repetitions)
    canaries = tuple(
        Canary(
            number=number,
            kind=kinds[number % turns[0]],
            planted=bool(fate),
            repetitions=repetitions[number // turns[0] % turns[1]],
            caption=None,
            format="png",
            width=8,
            height=8,
            image="",
            salt=salt,
        )
        for number, fate in enumerate(planted)
    )
    return Manifest(secret="5a" * 32, assignment=assignment, canaries=canaries)


def halves(count: int, seed: int) -> list[bool]:
    """Coins of which exactly a half are heads."""
    fates = np.arange(count) % 2 == 0
    return [bool(each) for each in np.random.default_rng(seed).permutation(fates)]


def made_manifest(place: Path, options: Canaries) -> Manifest:
    """Canaries that dedupkit made over drawn pictures; the system's entropy is replaced, so they are the same ones."""
    source = []
    for seed in range(24):
        buffer = io.BytesIO()
        draw_picture(seed, 96, 72).save(buffer, "PNG")
        source.append({"key": f"{7 * seed:09d}", "image": buffer.getvalue(), "caption": f"a hill on day {seed}"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dedupkit.canaries.making.secrets.token_hex", lambda count: "5a" * count)
        return make(source, place / "canaries.json", options).manifest


def flipped(manifest: Manifest, options: Canaries, seed: int) -> Manifest:
    """The same canaries after another fall of their coins."""
    fates = dict(coins(options, np.random.default_rng(seed)))
    canaries = tuple(each.model_copy(update={"planted": fates[each.number]}) for each in manifest.canaries)
    return manifest.model_copy(update={"canaries": canaries})

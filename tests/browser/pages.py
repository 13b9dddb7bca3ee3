"""Decisions, pairs and pictures that a report is built from, without a run."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.matching.stage import SearchFacts
from dedupkit.mitigation.stage import CaptionFacts
from dedupkit.recipe import Matching, Recipe
from dedupkit.report.borderline import choose_pairs, limits_of
from dedupkit.report.build import build_report
from dedupkit.report.calibrated import Calibrated, EditRecall
from dedupkit.report.facts import sample_facts
from dedupkit.report.gallery import choose
from dedupkit.report.histograms import count_measures
from dedupkit.report.thumbnails import ChangedPicture, thumbnail
from dedupkit.sample import DECISIONS, FINGERPRINTS, PAIRS, Action, Reason
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.report.build import Report

HOSTILE = (
    "</script><script>alert('key')</script>",
    "<img src=x onerror=alert(1)><!-- ",
    "\u202egpj.exe\u202c \u2028\u2029 العربية",
    "x" * 10_000,
    "'\"&{{ 7 * 7 }}${7}`",
)


@dataclass
class Made:
    """What a page is made of."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    captions: list[str | None] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    look_alikes: list[dict[str, Any]] = field(default_factory=list)

    def add(self, reason: Reason, key: str, caption: str | None = None, **more: Any) -> int:
        """One sample more; its position."""
        position = len(self.rows)
        row = dict.fromkeys(DECISIONS.names) | {"position": position, "key": key, "shard": "00000.tar"}
        self.rows.append(row | {"action": reason.action.value, "reason": reason.value, "group_size": 1} | more)
        self.captions.append(caption)
        return position

    def group(self, copies: Sequence[tuple[Reason, dict[str, Any]]], names: Sequence[str], caption: str) -> list[int]:
        """A kept sample and its copies."""
        number = len(self.rows)
        common = {"group": number, "group_size": 1 + len(copies)}
        kept = self.add(Reason.REPRESENTATIVE, names[0], caption, **common, copy=0)
        places = [kept]
        for (reason, evidence), name in zip(copies, names[1:], strict=True):
            tier = reason.value.removesuffix("_duplicate")
            seen = evidence or None
            place = self.add(reason, name, caption, **common, kept_key=names[0], tier=tier, evidence=seen)
            places.append(place)
            if evidence:
                self.pairs.append(dict.fromkeys(PAIRS.names) | {"a": kept, "b": place, "tier": tier} | evidence)
        return places


def small_set() -> Made:
    """Thirty groups, pairs near the limits, sixty samples in quarantine."""
    made = Made()
    exact, near, edited = Reason.EXACT_DUPLICATE, Reason.PERCEPTUAL_DUPLICATE, Reason.GEOMETRIC_DUPLICATE
    copies: list[tuple[Reason, dict[str, Any]]]
    for number in range(28):
        if number % 3 == 0:
            copies = [(exact, {})] * (1 + number % 5)
        elif number % 3 == 1:
            copies = [(near, {"hamming_bits": number, "orientation": "mirrored left-right", "trimmed": "none"})]
        else:
            score = 0.5 + number / 100
            geometry = {"cosine": 0.8, "inliers": 40 + number, "blocks": 30, "agreement": 0.9, "overlap": 0.71}
            copies = [(edited, geometry | {"score": score})]
        names = [f"photo-{number:02}-{each}.jpg" for each in range(len(copies) + 1)]
        made.group(copies, names, f"a picture of the {'cat' if number == 4 else 'dog'} {number}")
    for number, hostile in enumerate(HOSTILE):
        made.group([(exact, {})], [f"{number}{hostile}", f"copy {number}{hostile}"], hostile)
    for number in range(8):
        a, b = (made.add(Reason.UNIQUE, f"alike-{number}-{end}.jpg", "a burst") for end in "ab")
        seen: dict[str, Any] = {
            "tier": "look_alike",
            "cosine": 0.9 - number / 50,
            "score": 0.49 - number / 40,
            "inliers": 9,
        }
        made.look_alikes.append(dict.fromkeys(PAIRS.names) | {"a": a, "b": b, "overlap": 0.3} | seen)
    for number in range(60):
        reason = Reason.TRUNCATED_IMAGE if number % 4 else Reason.EMPTY_IMAGE
        made.add(reason, f"broken-{number}", detail=f"ends after {number} bytes {HOSTILE[number % 5]}")
    return made


def large_set(samples: int) -> Made:
    """Two thirds in groups of two to nine, most of the rest alone."""
    made = Made()
    rng = np.random.default_rng(0)
    near = Reason.PERCEPTUAL_DUPLICATE
    while len(made.rows) < samples * 2 // 3:
        number, size = len(made.rows), int(rng.integers(1, 9))
        seen = {"hamming_bits": int(rng.integers(0, 32)), "orientation": "as is", "trimmed": "none"}
        names = [f"{number:09}-{each}" for each in range(size + 1)]
        made.group([(near, seen)] * size, names, f"caption of the picture number {number}, as long as they usually are")
    while len(made.rows) < samples - 2000:
        made.add(Reason.UNIQUE, f"{len(made.rows):09}", "alone")
    while len(made.rows) < samples:
        made.add(Reason.NOT_AN_IMAGE, f"{len(made.rows):09}", detail="begins with b'<!DOCTYPE html>'")
    return made


def report_of(made: Made, **options: Any) -> Report:
    """The report of it, built by the real parts."""
    decisions = pa.Table.from_pylist(made.rows, schema=DECISIONS)
    fingerprints = _fingerprints(made)
    tables = [pa.Table.from_pylist(rows, schema=PAIRS) for rows in (made.pairs, made.look_alikes)]
    gallery = choose(decisions)
    pairs = choose_pairs([tables[0]], [tables[1]], limits_of(Matching(), 31))
    positions = {*pairs.positions, *(each for group in gallery for each in group.positions)}
    facts = sample_facts(
        positions,
        lambda columns: [decisions if columns is None else decisions.select(columns)],
        lambda _, columns: fingerprints.select(columns),
        lambda _: fingerprints["caption"],
    )
    images = [_thumbnail(number) for number in range(24)]
    recipe = Recipe.of({"augment": {"preset": "paper"}})
    captions = CaptionFacts(
        found={"html": 3},
        changed=3,
        repeated=2,
        repeated_samples=9,
        most_repeated=tuple({"caption": text, "pictures": 5} for text in HOSTILE),
    )
    return build_report(
        decisions,
        {position: images[position % len(images)] for position in positions},
        source="photos <of> strangers",
        recipe_toml=recipe.dumps(),
        samples_written={"arrow": sum(row["action"] == Action.KEEP for row in made.rows)},
        gallery=gallery,
        search=SearchFacts(31, None, 0, 99),
        captions=captions,
        facts=facts,
        borderline=pairs,
        histograms=count_measures([fingerprints]),
        changes=[ChangedPicture(0, images[0], images[1], "noise 10.0, brightness x1.08")],
        calibration=Calibrated(20, (EditRecall("mirrored", 20, 18, 0.9, 0.7, 0.97),), 0.1, 1.0),
        **options,
    )


def _thumbnail(seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_picture(seed).save(buffer, "JPEG")
    image = thumbnail(buffer.getvalue())
    assert image is not None
    return image


def _fingerprints(made: Made) -> pa.Table:
    count, rng = len(made.rows), np.random.default_rng(1)
    known = {
        "position": pa.array(range(count), pa.uint64()),
        "width": rng.integers(200, 2000, count),
        "height": rng.integers(200, 2000, count),
        "format": ["jpeg"] * count,
        "darkest": rng.integers(0, 30, count),
        "brightest": rng.integers(200, 255, count),
        "blur": rng.uniform(0.1, 0.6, count),
        "caption": made.captions,
    }
    return pa.table({name: pa.array(values, FINGERPRINTS.field(name).type) for name, values in known.items()})

"""How many pictures show faces, are pages of text or NSFW, for the report; which of them it must not show."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from dedupkit.hygiene.boxes import counting
from dedupkit.hygiene.checks import documents, face_counts, unsafe
from dedupkit.hygiene.sensitive import COLUMNS, Lookout
from dedupkit.sample import ROW_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.journey import Journey
    from dedupkit.recipe import Hygiene


@dataclass(frozen=True, slots=True)
class SensitiveFacts:
    """What was found, over all samples that came in; None where nobody looked.

    Attributes
    ----------
    with_faces, faces : int
        Pictures with a face that counts, and such faces.
    largest_face_share : float
        Share that the largest of them has of its picture's area.
    blurred : int
        Pictures that were emitted with blurred faces.
    documents : int
        Pages of text.
    nsfw : int
        Pictures over the limit.
    """

    with_faces: int | None = None
    faces: int | None = None
    largest_face_share: float | None = None
    blurred: int | None = None
    documents: int | None = None
    nsfw: int | None = None

    def to_json(self) -> dict[str, Any]:
        """What is known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def sensitive_facts(journey: Journey) -> SensitiveFacts:
    """Count over all fingerprints of a run, its decisions made."""
    hygiene, facts = journey.recipe.hygiene, SensitiveFacts()
    if not Lookout.of(hygiene):
        return facts
    for number in range(len(journey.shards)):
        facts = _more(facts, journey, number, hygiene)
    return facts


def hidden(journey: Journey, positions: Sequence[int]) -> set[int]:
    """Which positions hold pictures that a report shall not show: with faces, of pages of text, NSFW."""
    hygiene = journey.recipe.hygiene
    if not Lookout.of(hygiene):
        return set()
    found: set[int] = set()
    for number in {position >> ROW_BITS for position in positions}:
        table = journey.tables.fingerprints(number, ("position", *COLUMNS))
        for fails in (pc.greater(face_counts(table, hygiene), 0), documents(table, hygiene), unsafe(table, hygiene)):
            found.update(table["position"].filter(pc.fill_null(fails, False)).to_pylist())
    return found.intersection(positions)


def sensitive_words(facts: SensitiveFacts) -> list[tuple[int, str]]:
    """Counts, and what is counted."""
    largest = f"the largest takes {facts.largest_face_share or 0:.0%} of its picture"
    rows = [
        (facts.with_faces, "show faces"),
        (facts.faces, f"faces in all; {largest}" if facts.faces else "faces in all"),
        (facts.blurred, "written with their faces blurred"),
        (facts.documents, "are pages of text"),
        (facts.nsfw, "are NSFW, as far as a network can tell"),
    ]
    return [(count, words) for count, words in rows if count is not None]


def _more(facts: SensitiveFacts, journey: Journey, number: int, hygiene: Hygiene) -> SensitiveFacts:
    """With what another shard holds."""
    table = journey.tables.fingerprints(number, COLUMNS)
    if hygiene.faces != "off":
        counts = face_counts(table, hygiene)
        any_face = pc.fill_null(pc.greater(counts, 0), False)
        facts = replace(
            facts,
            with_faces=(facts.with_faces or 0) + (pc.sum(any_face).as_py() or 0),
            faces=(facts.faces or 0) + (pc.sum(counts).as_py() or 0),
            largest_face_share=max(facts.largest_face_share or 0.0, _largest(table, hygiene)),
        )
        if hygiene.faces == "blur":
            kept = pc.equal(journey.tables.decisions(number, ("action",))["action"], "keep")
            emitted = pc.sum(pc.and_(any_face, kept)).as_py() or 0
            facts = replace(facts, blurred=(facts.blurred or 0) + emitted)
    if hygiene.documents != "off":
        facts = replace(facts, documents=(facts.documents or 0) + (pc.sum(documents(table, hygiene)).as_py() or 0))
    if hygiene.nsfw != "off":
        facts = replace(facts, nsfw=(facts.nsfw or 0) + (pc.sum(unsafe(table, hygiene)).as_py() or 0))
    return facts


def _largest(table: Any, hygiene: Hygiene) -> float:
    rows = table["faces"].to_pylist()
    return round(max((box.share for row in rows for box in counting(row, hygiene)), default=0.0), 4)

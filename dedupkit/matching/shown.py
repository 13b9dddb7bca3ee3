"""Which samples of a shard show one of a few given pictures: suspects by fingerprints, proved by geometry."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.engines.ordered import in_order
from dedupkit.matching.against import FAR, suspicions
from dedupkit.matching.score import score
from dedupkit.matching.stage import COLUMNS
from dedupkit.matching.turns import INVERSE, ORIENTATIONS
from dedupkit.parts import read_table, table_name, write_table
from dedupkit.sample import EVIDENCE, ROW_BITS, Tier
from dedupkit.storage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dedupkit.matching.against import Suspicions
    from dedupkit.matching.geometry import Alignment, View
    from dedupkit.recipe import Recipe
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder

_MOST_ASKED = 64  # given pictures that geometry compares one sample with, the nearest ones
_BATCH = 16
_TRIMMED = ("none", "this", "kept", "both")

VIEWS_NAME = "views.arrow"
BLOCKED = pa.schema(
    {
        "row": pa.uint32(),  # in the shard
        "given": pa.uint32(),  # number of the picture that it shows
        "tier": pa.string(),
        "evidence": EVIDENCE,
        "detail": pa.string(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Pictures that samples are compared with; picklable.

    Attributes
    ----------
    table : Stage
        Their fingerprints, in the one part `name`.
    name : str
        Its name.
    views : Folder or None
        Where `VIEWS_NAME` holds what geometry needs of them; None where geometry is not asked.
    said : str
        What a sample is said to be, such as "the same picture as example".
    only_sure : bool
        Whether equal bytes and near hashes alone count.
    """

    table: Stage
    name: str
    views: Folder | None
    said: str
    only_sure: bool = False


def find_shown(
    item: tuple[int, Shard],
    handle: IO[bytes],
    *,
    given: Given,
    work: Folder,
    source: Source,
    recipe: Recipe,
    radius: int,
    threads: int,
    earlier: Sequence[str],
) -> dict[str, Any]:
    """Write the part of one shard, in the schema `BLOCKED`; samples of `earlier` stages are passed over."""
    from dedupkit.blocking import with_blocked

    number, shard = item
    columns = (*COLUMNS, "descriptor") if recipe.descriptor else COLUMNS
    table = read_table(Stage(work.below("fingerprints"), work), table_name(number), columns)
    table = with_blocked(table, [read_table(Stage(work.below(each), work), table_name(number)) for each in earlier])
    pictures = read_table(given.table, given.name)
    suspects = suspicions(table, pictures.select(columns), recipe.matching, radius)
    found = _Finder(given, pictures["key"].to_pylist(), recipe, threads).find(suspects, source, shard)
    return write_table(pa.Table.from_pylist(found, schema=BLOCKED), handle)


class _Finder:
    """Tells samples that show a given picture from those that only look like one."""

    def __init__(self, given: Given, keys: Sequence[str], recipe: Recipe, threads: int) -> None:
        self._given, self._keys, self._recipe, self._threads = given, keys, recipe, threads

    def find(self, suspects: Suspicions, source: Source, shard: Shard) -> list[dict[str, Any]]:
        """Rows of `BLOCKED`, ascending."""
        sure = suspects.sure(self._recipe.matching)
        rows = (suspects.position & np.uint64((1 << ROW_BITS) - 1)).astype(np.int64)
        found: dict[int, dict[str, Any]] = {}
        doubtful: dict[int, list[int]] = {}
        for at, row in enumerate(rows.tolist()):
            if sure[at]:
                tier = Tier.EXACT if suspects.exact[at] else Tier.PERCEPTUAL
                found.setdefault(row, self._told(suspects, at, row, tier))
            elif self._given.views and len(asked := doubtful.setdefault(row, [])) < _MOST_ASKED:
                asked.append(at)
            elif self._recipe.matching.verify == "none" and not self._given.only_sure:
                found.setdefault(row, self._told(suspects, at, row, Tier.DESCRIPTOR))
        doubtful = {row: asked for row, asked in doubtful.items() if row not in found}
        for each in self._proven(suspects, doubtful, source, shard):
            found[each["row"]] = each
        return [found[row] for row in sorted(found)]

    def _proven(
        self, suspects: Suspicions, doubtful: Mapping[int, list[int]], source: Source, shard: Shard
    ) -> Iterator[dict[str, Any]]:
        """What geometry accepts; the shard is read again, no further than the last of its doubtful samples."""
        if not doubtful or self._given.views is None:
            return
        from dedupkit.matching.views import views_in

        read = enumerate(islice(source.read(shard), max(doubtful) + 1))
        chosen = ((row, sample) for row, sample in read if row in doubtful)
        batches = iter(lambda: list(islice(chosen, _BATCH)), [])
        with views_in(self._given.views, VIEWS_NAME) as views:

            def look(batch: Sequence[tuple[int, Sample]]) -> list[dict[str, Any] | None]:
                return [self._looked_at(suspects, doubtful[row], row, sample, views) for row, sample in batch]

            for _, answers in in_order(look, batches, self._threads):
                views.release()
                yield from (each for each in answers if each is not None)

    def _looked_at(
        self, suspects: Suspicions, asked: Sequence[int], row: int, sample: Sample, views: Any
    ) -> dict[str, Any] | None:
        """The first of the nearest given pictures that the sample shows."""
        import cv2
        import faiss

        from dedupkit.matching.views import compared, sample_view

        faiss.omp_set_num_threads(1)  # of this thread
        cv2.setNumThreads(1)
        view: View | None = sample_view(sample, self._recipe)
        for at in asked:
            given = views[int(suspects.given[at])]
            aligned, refused = compared(given, view, self._recipe.matching.min_luminance_entropy)
            likely = _score(aligned)
            if not refused and likely >= self._recipe.matching.min_score:
                return self._told(suspects, at, row, Tier.GEOMETRIC, aligned, likely)
        return None

    def _told(
        self, suspects: Suspicions, at: int, row: int, tier: Tier, aligned: Alignment | None = None, likely: float = 0
    ) -> dict[str, Any]:
        number = int(suspects.given[at])
        evidence = _evidence(suspects, at, aligned, likely) if tier is not Tier.EXACT else None
        words = _words(tier, evidence, 256 if self._recipe.matching.hash == "pdq" else 64)
        detail = f"{self._given.said} {self._keys[number]}: {words}"
        return {"row": row, "given": number, "tier": tier.value, "evidence": evidence, "detail": detail}


def _score(aligned: Alignment) -> float:
    names = ("inliers", "agreement", "outline", "off_tone")
    return float(score(*(np.array([getattr(aligned, name)], np.float32) for name in names))[0])


def _evidence(suspects: Suspicions, at: int, aligned: Alignment | None, likely: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if suspects.bits[at] != FAR:
        found["hamming_bits"] = int(suspects.bits[at])
        found["orientation"] = ORIENTATIONS[INVERSE[suspects.turn[at]]]
        found["trimmed"] = _TRIMMED[suspects.trimmed[at]]
    if not np.isnan(suspects.cosine[at]):
        found["cosine"] = float(suspects.cosine[at])
    if aligned is not None:
        names = ("inliers", "blocks", "agreement", "conflict", "outline", "off_tone", "overlap")
        found |= {name: getattr(aligned, name) for name in names} | {"score": likely}
        found |= {name: int(found[name]) for name in ("inliers", "blocks")}
    return found


def _words(tier: Tier, evidence: Mapping[str, Any] | None, hash_bits: int) -> str:
    if evidence is None:
        return "same bytes"
    parts = [f"{evidence['hamming_bits']} of {hash_bits} bits differ"] if "hamming_bits" in evidence else []
    if evidence.get("orientation") not in (None, "as is"):
        parts.append(str(evidence["orientation"]))
    if "cosine" in evidence:
        parts.append(f"cosine {evidence['cosine']:.2f}")
    if tier is Tier.GEOMETRIC:
        parts.append(f"{evidence['agreement']:.0%} of {evidence['blocks']} blocks agree")
    return ", ".join(parts)

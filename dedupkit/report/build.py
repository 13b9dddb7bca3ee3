"""The report of a run: report.json for machines and report.html for people, out of the same content."""

from __future__ import annotations

import base64
import tomllib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dedupkit._version import __version__
from dedupkit.fields.values import utf8
from dedupkit.report.page import rendered
from dedupkit.report.sensitive import SensitiveFacts, sensitive_words
from dedupkit.report.summary import summarise
from dedupkit.report.words import NOTES, REASONS, caption_words, evidence
from dedupkit.sample import Action, Note, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from dedupkit.matching.stage import SearchFacts
    from dedupkit.mitigation.stage import CaptionFacts
    from dedupkit.report.decided import Decided
    from dedupkit.report.gallery import GalleryGroup, GalleryMember
    from dedupkit.report.previews import PreviewGroup
    from dedupkit.report.summary import Summary

_HASH_BITS = {"pdq": 256, "phash": 64}
_NEAR = (
    Reason.PERCEPTUAL_DUPLICATE,
    Reason.GEOMETRIC_DUPLICATE,
    Reason.DESCRIPTOR_DUPLICATE,
    Reason.LOOK_ALIKE,
)
_SIZE_RANGES = ((2, 2), (3, 3), (4, 4), (5, 9), (10, 99), (100, None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did.

    Attributes
    ----------
    summary : Summary
        The counts.
    source : str
        The source in words.
    recipe_toml : str
        The recipe with every default.
    written : mapping of str to int
        Samples written by format.
    gallery : tuple of GalleryGroup
        The largest groups.
    thumbnails : mapping of int to bytes
        JPEG by position; where one is missing, a blank is shown.
    search : SearchFacts
        How pairs were searched.
    captions : CaptionFacts
        What was found in captions.
    placeholders : mapping
        What `dedupkit.report.placeholders.suspected_placeholders` counted.
    commitment : str or None
        To the canaries that were planted, see `dedupkit.canaries.prove`.
    previews : tuple of PreviewGroup
        Pictures that checks of hygiene took out.
    sensitive : SensitiveFacts
        What was found of faces, pages of text and nudity.
    version : str
        dedupkit's.
    """

    summary: Summary
    source: str
    recipe_toml: str
    written: Mapping[str, int]
    gallery: tuple[GalleryGroup, ...]
    thumbnails: Mapping[int, bytes]
    search: SearchFacts
    captions: CaptionFacts
    placeholders: Mapping[str, Any]
    commitment: str | None = None
    previews: tuple[PreviewGroup, ...] = ()
    sensitive: SensitiveFacts = field(default_factory=SensitiveFacts)
    version: str = __version__

    def to_json(self) -> dict[str, Any]:
        """The content of ``report.json``: the same for the same source and recipe, no times in it."""
        return {
            "samples": dict(self.summary.samples),
            "reasons": dict(self.summary.reasons),
            "notes": dict(self.summary.notes),
            "groups": self.summary.groups,
            "tiers": dict(self.summary.tiers),
            "search": asdict(self.search),
            "captions": asdict(self.captions),
            "suspected_placeholders": dict(self.placeholders),
            "canary_commitment": self.commitment,
            "sensitive": self.sensitive.to_json(),
            "quarantined": [dict(sample) for sample in self.summary.quarantined],
            "largest_groups": [self._group(group) for group in self.gallery],
            "recipe": self.recipe_toml,
            "source": self.source,
            "written": dict(self.written),
            "version": self.version,
        }

    def to_html(self) -> str:
        """The content of ``report.html``: one page that loads nothing from elsewhere."""
        return rendered(
            "report.html.j2",
            ("report.css",),
            report=self,
            samples=self.summary.samples,
            groups=self.summary.groups,
            bar=_bar(self.summary),
            reasons=_reasons(self.summary),
            notes=[(count, NOTES[Note(note)]) for note, count in self.summary.notes.items() if count],
            search=_search_words(self.search),
            captions=caption_words(self.captions),
            sensitive=sensitive_words(self.sensitive),
            repeated=self.captions.most_repeated,
            placeholders=self.placeholders,
            sizes=_size_ranges(self.summary),
            gallery=[(group, [self._shown(member) for member in group.members]) for group in self.gallery],
            previews=[
                (group, REASONS[group.reason], [(each, self._picture(each.position)) for each in group.pictures])
                for group in self.previews
            ],
            reason_words={reason.value: words[0] for reason, words in REASONS.items()},
        )

    @property
    def hash_bits(self) -> int:
        """Bits of the perceptual hash that the recipe compares."""
        try:
            return _HASH_BITS[tomllib.loads(self.recipe_toml)["matching"]["hash"]]
        except (tomllib.TOMLDecodeError, KeyError, TypeError):
            return _HASH_BITS["pdq"]

    def _group(self, group: GalleryGroup) -> dict[str, Any]:
        members = [
            {
                "key": member.key,
                "position": member.position,
                "shard": member.shard,
                "kept": member.kept,
                "kept_key": member.kept_key,
                "evidence": None if member.kept else evidence(member, self.hash_bits),
            }
            for member in group.members
        ]
        return {"group": group.group, "size": group.members_total, "members": members}

    def _picture(self, position: int) -> str | None:
        """The thumbnail of a sample as a data: URI."""
        image = self.thumbnails.get(position)
        return None if image is None else f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"

    def _shown(self, member: GalleryMember) -> tuple[GalleryMember, str | None, str]:
        """A member, its picture as a data: URI, and the words below it."""
        return member, self._picture(member.position), "" if member.kept else evidence(member, self.hash_bits)


def build_report(
    decisions: pa.Table | Decided,
    thumbnails: Mapping[int, bytes],
    *,
    source: str,
    recipe_toml: str,
    samples_written: Mapping[str, int],
    gallery: Sequence[GalleryGroup],
    search: SearchFacts,
    captions: CaptionFacts,
    placeholders: Mapping[str, Any] | None = None,
    commitment: str | None = None,
    previews: Sequence[PreviewGroup] = (),
    sensitive: SensitiveFacts | None = None,
) -> Report:
    """Make the report of a run.

    Parameters
    ----------
    decisions : pyarrow.Table or callable
        In the schema of `dedupkit.sample.DECISIONS`.
    thumbnails : mapping of int to bytes
        What `dedupkit.report.gallery.thumbnail` made, by position.
    source : str
        The source in words, without secrets.
    recipe_toml : str
        The resolved recipe.
    samples_written : mapping of str to int
        Samples by output format.
    gallery : sequence of GalleryGroup
        What `dedupkit.report.gallery.choose` picked.
    search : SearchFacts
        How pairs were searched.
    captions : CaptionFacts
        What was found in captions.
    placeholders : mapping, optional
        What `dedupkit.report.placeholders.suspected_placeholders` counted; none if left out.
    commitment : str, optional
        To the canaries that were planted.
    previews : sequence of PreviewGroup
        What `dedupkit.report.previews.choose_previews` picked.
    sensitive : SensitiveFacts, optional
        What was found of faces, pages of text and nudity.

    Raises
    ------
    RunError
        The decisions do not add up; see `dedupkit.report.summary.summarise`.
    """
    return Report(
        summary=summarise(decisions),
        source=utf8(source),  # a path need not be text
        recipe_toml=utf8(recipe_toml),
        written=dict(samples_written),
        gallery=tuple(gallery),
        thumbnails=dict(thumbnails),
        search=search,
        captions=captions,
        placeholders=placeholders or {"groups": 0, "samples": 0, "largest": []},
        commitment=commitment,
        previews=tuple(previews),
        sensitive=sensitive or SensitiveFacts(),
    )


def _bar(summary: Summary) -> list[dict[str, Any]]:
    """What happened to the samples as segments of one bar, in parts of 1000."""
    reasons = summary.reasons
    segments = [
        ("unique", "unique", reasons[Reason.UNIQUE]),
        ("copies-kept", "kept of copies", reasons[Reason.REPRESENTATIVE] + reasons[Reason.SPARE_COPY]),
        ("exact", "exact copies dropped", reasons[Reason.EXACT_DUPLICATE]),
        ("near", "near copies dropped", sum(reasons[reason] for reason in _NEAR)),
        ("quarantined", "quarantined", summary.samples["quarantined"]),
    ]
    scale = 1000 / max(1, summary.samples["in"])
    starts = [scale * sum(count for _, _, count in segments[:number]) for number in range(len(segments))]
    return [
        {"kind": kind, "words": words, "count": count, "x": f"{start:.2f}", "width": f"{scale * count:.2f}"}
        for (kind, words, count), start in zip(segments, starts, strict=True)
    ]


def _reasons(summary: Summary) -> list[dict[str, Any]]:
    names = {Action.KEEP: "kept", Action.DROP: "dropped", Action.QUARANTINE: "quarantined"}
    return [
        {"action": names[reason.action], "words": REASONS[reason], "count": summary.reasons[reason]}
        for reason in Reason
        if summary.reasons[reason]
    ]


def _search_words(search: SearchFacts) -> list[str]:
    """What a reader should know of how copies were searched."""
    words = [f"Hashes were compared up to {search.max_hamming_bits} bits."]
    if search.verified_pairs:
        words.append(f"Geometry looked at {search.verified_pairs:,} pairs.")
    recall, capped = search.neighbour_recall, search.capped_neighbours
    if recall is not None:
        words.append(f"Of the pairs of near descriptors the search found {100 * recall:.2f} %, as measured.")
    if capped:
        words.append(
            f"{capped:,} samples have more near descriptors than were listed; raise max_neighbours in [matching] to "
            "follow them all."
        )
    return words


def _size_ranges(summary: Summary) -> list[dict[str, Any]]:
    """Groups by size in a few ranges, with the width of each one's bar in parts of 100."""
    rows: list[tuple[str, int]] = []
    for low, high in _SIZE_RANGES:
        count = sum(n for size, n in summary.group_sizes.items() if low <= size and (high is None or size <= high))
        words = str(low) if low == high else f"{low}\N{EN DASH}{high}" if high else f"{low} or more"
        rows.append((words, count))
    most = max(count for _, count in rows)
    return [{"words": words, "count": count, "width": f"{100 * count / most:.1f}"} for words, count in rows if count]

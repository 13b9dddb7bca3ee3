"""The report of a run: report.json for machines and report.html for people, out of the same content."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dedupkit._version import __version__
from dedupkit.fields.values import utf8
from dedupkit.report.borderline import Borderline
from dedupkit.report.content import member_words, page_data, script_json
from dedupkit.report.flow import bands, drawing, spoken
from dedupkit.report.histograms import drawn_bars
from dedupkit.report.page import rendered
from dedupkit.report.sensitive import SensitiveFacts, sensitive_words
from dedupkit.report.summary import summarise
from dedupkit.report.told import told_recipe
from dedupkit.report.words import NOTES, REASONS, caption_words, evidence
from dedupkit.sample import Action, Note, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from dedupkit.matching.stage import SearchFacts
    from dedupkit.mitigation.stage import CaptionFacts
    from dedupkit.recipe import Recipe
    from dedupkit.report.calibrated import Calibrated
    from dedupkit.report.decided import Decided
    from dedupkit.report.facts import SampleFacts
    from dedupkit.report.gallery import GalleryGroup, GalleryMember
    from dedupkit.report.histograms import Histogram
    from dedupkit.report.previews import PreviewGroup
    from dedupkit.report.summary import Summary
    from dedupkit.report.thumbnails import ChangedPicture

_HASH_BITS = {"pdq": 256, "phash": 64}
MAX_PAGE_BYTES = 8 << 20
_IN_JSON = 24  # groups, of the largest
_WITHOUT_SCRIPT = 12  # groups that are shown where no script runs
_QUARANTINED_WITHOUT_SCRIPT = 20
_TRIES = 8
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
        The largest groups, and some drawn at random.
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
    facts : mapping of int to SampleFacts
        What is told of the samples that are shown, by position.
    borderline : Borderline
        Pairs nearest to the limits, and look-alikes.
    histograms : tuple of Histogram
        What was measured of the pictures.
    changes : tuple of ChangedPicture
        Samples before and after their pixels were changed.
    calibration : Calibrated or None
        Recall by edit.
    max_page_bytes : int
        What the page may take; fewer pairs and groups are shown where they do not fit.
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
    facts: Mapping[int, SampleFacts] = field(default_factory=dict)
    borderline: Borderline = field(default_factory=Borderline)
    histograms: tuple[Histogram, ...] = ()
    changes: tuple[ChangedPicture, ...] = ()
    calibration: Calibrated | None = None
    max_page_bytes: int = MAX_PAGE_BYTES
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
            "largest_groups": [self._group(group) for group in self.gallery if not group.drawn][:_IN_JSON],
            "measures": {each.scale.name: each.to_json() for each in self.histograms},
            "look_alikes": self.borderline.look_alikes_total,
            "recipe": self.recipe_toml,
            "source": self.source,
            "written": dict(self.written),
            "version": self.version,
        }

    def to_html(self) -> str:
        """The content of ``report.html``: one page that loads nothing from elsewhere."""
        room = self.max_page_bytes - len(self._page(0).encode())
        for _ in range(_TRIES):
            page = self._page(max(0, room))
            over = len(page.encode()) - self.max_page_bytes
            if over <= 0 or room <= 0:
                return page
            room -= over + room // 16  # the groups that need no script take room too
        return self._page(0)

    def _page(self, room: int) -> str:
        data = page_data(self, room)
        shown = sum(not group["d"] for group in data["groups"]), sum(group["d"] for group in data["groups"])
        first = [group for group in self.gallery if not group.drawn][: min(shown[0], _WITHOUT_SCRIPT)]
        return rendered(
            "report.html.j2",
            ("report.css", "review.css"),
            "report.js",
            report=self,
            data=script_json(data),
            has={name: bool(data[name]) for name in ("groups", "measures", "look_alikes")},
            shown=shown,
            samples=self.summary.samples,
            groups=self.summary.groups,
            flows=[
                drawing(self.summary, width=width, middle=middle, changed=self.changes_pixels)
                for width, middle in ((1030, 360), (330, 84))
            ],
            bands=bands(self.summary),
            spoken=spoken(self.summary),
            reasons=_reasons(self.summary),
            notes=[(count, NOTES[Note(note)]) for note, count in self.summary.notes.items() if count],
            search=_search_words(self.search),
            captions=caption_words(self.captions),
            sensitive=sensitive_words(self.sensitive),
            repeated=self.captions.most_repeated,
            placeholders=self.placeholders,
            sizes=_size_ranges(self.summary),
            gallery=[(group, [self._shown(member) for member in group.members]) for group in first],
            previews=[
                (group, REASONS[group.reason], [(each, self._picture(each.position)) for each in group.pictures])
                for group in self.previews
            ],
            quarantined=self.summary.quarantined[:_QUARANTINED_WITHOUT_SCRIPT],
            reason_words={reason.value: words[0] for reason, words in REASONS.items()},
            histograms=[drawn_bars(each, told_recipe(self.recipe_toml)) for each in self.histograms],
            changes=[(each, self._key(each.position), _uri(each.before), _uri(each.after)) for each in self.changes],
            canaries=_canary_words(told_recipe(self.recipe_toml)),
        )

    @property
    def changes_pixels(self) -> bool:
        """Whether the recipe changes the pixels of what stays."""
        return told_recipe(self.recipe_toml).augment.changes_pixels

    @property
    def hash_bits(self) -> int:
        """Bits of the perceptual hash that the recipe compares."""
        return _HASH_BITS[told_recipe(self.recipe_toml).matching.hash]

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
        return None if image is None else _uri(image)

    def _key(self, position: int) -> str:
        facts = self.facts.get(position)
        return "" if facts is None else facts.key

    def _shown(self, member: GalleryMember) -> tuple[GalleryMember, str | None, str, str]:
        """A member, its picture as a data: URI, the words below it, and its caption."""
        facts = self.facts.get(member.position)
        caption = (facts and facts.caption) or ""
        return member, self._picture(member.position), member_words(member, self.hash_bits), caption


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
    facts: Mapping[int, SampleFacts] | None = None,
    borderline: Borderline | None = None,
    histograms: Sequence[Histogram] = (),
    changes: Sequence[ChangedPicture] = (),
    calibration: Calibrated | None = None,
    max_page_bytes: int = MAX_PAGE_BYTES,
) -> Report:
    """Make the report of a run.

    Parameters
    ----------
    decisions : pyarrow.Table or callable
        In the schema of `dedupkit.sample.DECISIONS`.
    thumbnails : mapping of int to bytes
        What `dedupkit.report.thumbnails.thumbnail` made, by position.
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
    facts : mapping of int to SampleFacts, optional
        What `dedupkit.report.facts.sample_facts` knows of the samples that are shown.
    borderline : Borderline, optional
        What `dedupkit.report.borderline.choose_pairs` picked.
    histograms : sequence of Histogram
        What `dedupkit.report.histograms.count_measures` counted.
    changes : sequence of ChangedPicture
        Samples before and after.
    calibration : Calibrated, optional
        What `dedupkit.report.calibrated.read_calibration` read.
    max_page_bytes : int
        What the page may take.

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
        facts=facts or {},
        borderline=borderline or Borderline(),
        histograms=tuple(histograms),
        changes=tuple(changes),
        calibration=calibration,
        max_page_bytes=max_page_bytes,
    )


def _uri(image: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"


def _canary_words(recipe: Recipe) -> str:
    """What the recipe, which is public, says of canaries; empty where it says nothing."""
    if not recipe.canaries.asked_for:
        return ""
    planted = recipe.canaries.planted
    about = "about " if recipe.canaries.assignment == "independent" else ""
    return f"{about}{planted:,} canaries were planted" if planted else "canaries stand in the set"


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

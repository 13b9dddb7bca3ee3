"""What the page's script shows, as JSON that fits a limit: the most telling pairs and groups, the rest counted."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dedupkit.report.words import REASONS, TIERS, evidence, plain_words, similarity
from dedupkit.sample import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.report.borderline import ShownPair
    from dedupkit.report.build import Report
    from dedupkit.report.facts import SampleFacts
    from dedupkit.report.gallery import GalleryGroup, GalleryMember

_SHARE_OF_PAIRS, _SHARE_OF_QUARANTINE = 0.3, 0.1  # of the limit, at most
_SHORT = {"key": "k", "caption": "c", "width": "w", "height": "h", "format": "f", "action": "a", "reason": "r"}


def script_json(value: Any) -> str:
    """JSON that is safe inside a ``script`` element, whatever strings it holds.

    No ``<`` is left that could begin a tag or a comment, and all beyond ASCII is escaped.

    Examples
    --------
    >>> script_json("</script>\\u2028")
    '"\\\\u003c/script\\\\u003e\\\\u2028"'
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@dataclass(slots=True)
class Pack:
    """Fills the page up to a limit; what does not fit is left out and said to be.

    Attributes
    ----------
    facts : mapping of int to SampleFacts
        What is known of samples, by position.
    thumbnails : mapping of int to bytes
        JPEG by position.
    left : int
        Bytes that are left.
    samples : list of dict
        Those that are shown, once each.
    """

    facts: Mapping[int, SampleFacts]
    thumbnails: Mapping[int, bytes]
    left: int
    samples: list[dict[str, Any]] = field(default_factory=list)
    _place: dict[int, int] = field(default_factory=dict)

    def fits(self, positions: Sequence[int], text_bytes: int, reserve: int = 0) -> bool:
        """Take samples in if there is room for them and for what is said of them; else none."""
        fresh = [position for position in dict.fromkeys(positions) if position not in self._place]
        rows = [self._row(position) for position in fresh]
        cost = text_bytes + sum(len(script_json(row)) + 1 for row in rows)
        if cost > self.left - reserve:
            return False
        self.left -= cost
        for position, row in zip(fresh, rows, strict=True):
            self._place[position] = len(self.samples)
            self.samples.append(row)
        return True

    def place(self, position: int) -> int:
        """Where a sample stands among those that are shown."""
        return self._place[position]

    def _row(self, position: int) -> dict[str, Any]:
        facts, image = self.facts.get(position), self.thumbnails.get(position)
        row = {} if facts is None else {short: getattr(facts, name) for name, short in _SHORT.items()}
        row = {name: value for name, value in row.items() if value is not None}
        return row if image is None else row | {"t": base64.b64encode(image).decode()}


def page_data(report: Report, limit: int) -> dict[str, Any]:
    """All that the script shows.

    Parameters
    ----------
    report : Report
        What there is to show.
    limit : int
        Bytes that it may take.
    """
    pack = Pack(report.facts, report.thumbnails, limit)
    quarantined = _quarantined(report, pack, int(limit * _SHARE_OF_QUARANTINE))
    reserve = int(limit * (1 - _SHARE_OF_PAIRS - _SHARE_OF_QUARANTINE))
    pairs = _Pairs(pack, report.hash_bits, reserve)
    measures = [
        {
            "name": measure.name,
            "option": measure.option,
            "limit": measure.limit,
            "pairs": pairs.of(measure.accepted, accepted=True) + pairs.of(measure.refused, accepted=False),
        }
        for measure in report.borderline.measures
    ]
    look_alikes = pairs.of(report.borderline.look_alikes, accepted=False)
    groups = [each for group in report.gallery if (each := _group(group, pack, report.hash_bits)) is not None]
    return {
        "run": run_name(report),
        "mime": "image/jpeg",
        "bits": report.hash_bits,
        "samples": pack.samples,
        "groups": groups,
        "groups_total": report.summary.groups["count"],
        "measures": [measure for measure in measures if measure["pairs"]],
        "look_alikes": look_alikes,
        "look_alikes_total": report.borderline.look_alikes_total,
        "quarantined": quarantined,
        "quarantined_total": report.summary.samples["quarantined"],
        "reasons": {reason.value: words[0] for reason, words in REASONS.items()},
        "tiers": {tier.value: words for tier, words in TIERS.items()},
    }


def run_name(report: Report) -> str:
    """Tells the marks of one run from those of another in a browser's store."""
    said = [report.source, report.recipe_toml, dict(report.summary.samples), dict(report.summary.reasons)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def member_words(member: GalleryMember, hash_bits: int) -> str:
    """What is said below a copy; nothing below what stays."""
    return "" if member.kept else plain_words(member, hash_bits)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Puts pairs into the page."""

    pack: Pack
    hash_bits: int
    reserve: int

    def of(self, pairs: Sequence[ShownPair], *, accepted: bool) -> list[dict[str, Any]]:
        """Those that fit, in their order."""
        found = []
        for pair in pairs:
            row = {"y": accepted, "e": pair.words(self.hash_bits), "q": evidence(pair, self.hash_bits)}
            values = {"s": pair.score, "b": pair.hamming_bits, "o": pair.cosine}
            row |= {name: round(value, 4) for name, value in values.items() if value is not None}
            if not self.pack.fits((pair.a, pair.b), len(script_json(row)) + 24, self.reserve):
                break
            found.append(row | {"p": [self.pack.place(pair.a), self.pack.place(pair.b)]})
        return found


def _group(group: GalleryGroup, pack: Pack, hash_bits: int) -> dict[str, Any] | None:
    """A group, or None where it does not fit any more."""
    members = [_member(member, hash_bits) for member in group.members]
    if not pack.fits(group.positions, len(script_json(members)) + 16 * len(members) + 40):
        return None
    for row, member in zip(members, group.members, strict=True):
        row["i"] = pack.place(member.position)
    return {"n": group.members_total, "d": int(group.drawn), "m": members}


def _member(member: GalleryMember, hash_bits: int) -> dict[str, Any]:
    if member.kept:
        return {"x": 1}
    seen = similarity(member, hash_bits)
    row = {"x": 0, "t": member.tier, "e": plain_words(member, hash_bits)}
    if member.tier != Tier.EXACT:
        row["q"] = evidence(member, hash_bits)
    return row if seen is None else row | {"s": round(seen, 4)}


def _quarantined(report: Report, pack: Pack, limit: int) -> list[dict[str, Any]]:
    found = []
    for row in report.summary.quarantined:
        said = {"k": row["key"], "s": row["shard"], "r": row["reason"], "d": row["detail"] or ""}
        limit -= len(script_json(said)) + 1
        if limit < 0 or not pack.fits((), len(script_json(said)) + 1):
            break
        found.append(said)
    return found

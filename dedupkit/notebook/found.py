"""What a search found, as a notebook and a terminal show it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.interop.file_pairs import FoundInFiles
from dedupkit.notebook.fragment import Card, Fragment, Row
from dedupkit.report.contact_sheet import strength
from dedupkit.report.gallery import GalleryMember
from dedupkit.report.words import REASONS, evidence
from dedupkit.sample import Reason, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.found import Found

OVERVIEW_GROUPS = 6
_MEMBERS = 7  # of a group: what stands in one line
_TIERS = {
    Tier.EXACT: "of the same bytes",
    Tier.PERCEPTUAL: "by hashes",
    Tier.GEOMETRIC: "by geometry",
    Tier.DESCRIPTOR: "by descriptors alone",
}
_TRIMMED = {"a": "this", "b": "this", "both": "both"}
_NO_PICTURES = "the source can be read only once, so there are no pictures to show"


def overview(found: Found, *, pictures: bool = True) -> Fragment:
    """The main numbers, the largest groups, and what to do next."""
    sizes = [len(group) for group in found.groups]
    spare = sum(sizes) - len(sizes)
    shown = groups(found, OVERVIEW_GROUPS, 0).rows if pictures and sizes else ()
    facts = [
        (f"{found.samples:,}", "samples"),
        (f"{len(sizes):,}", _plural(len(sizes), "duplicate group")),
        (f"{spare:,}", "spare " + ("copy" if spare == 1 else "copies")),
        (f"{len(found.faults):,}", "without a usable image"),
    ]
    return Fragment(title="Found", facts=facts, rows=shown, notes=_notes(found), hints=_hints(found))


def groups(found: Found, n: int, first: int) -> Fragment:
    """Some groups, the largest first; each member with its pair with the first, or else with its strongest."""
    ordered = sorted(found.groups, key=len, reverse=True)
    chosen = ordered[first : first + n]
    keys = [key for group in chosen for key in group[:_MEMBERS]]
    rows = _rows_among(found, [key for group in chosen for key in group])
    pictures = _pictures(found, rows, keys)
    told = [_row(group, rows, pictures, first + place) for place, group in enumerate(chosen)]
    last = first + len(chosen)
    title = f"Groups {first + 1:,} to {last:,} of {len(ordered):,}, the largest first" if chosen else "No such groups"
    return Fragment(title=title, rows=told, notes=() if found.pictures or not chosen else (_NO_PICTURES,))


def pairs(found: Found, table: pa.Table, title: str) -> Fragment:
    """Pairs side by side, with their evidence."""
    rows = table.to_pylist()
    pictures = _pictures(found, rows, [row[end] for row in rows for end in ("a", "b")])
    told = [
        Row(
            pair_words(row) or "no evidence", tuple(Card(name=row[end], picture=pictures.get(row[end])) for end in "ab")
        )
        for row in rows
    ]
    return Fragment(title=title, rows=told, notes=() if found.pictures or not rows else (_NO_PICTURES,))


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _notes(found: Found) -> list[str]:
    tiers = Counter(found.pairs["tier"].to_pylist())
    named = [f"{tiers[tier]:,} {words}" for tier, words in _TIERS.items() if tiers[tier]]
    notes = [f"pairs: {', '.join(named)}"] if named else ["no pair of copies was found"]
    if found.look_alikes.num_rows:
        alike = _plural(found.look_alikes.num_rows, "pair")
        notes.append(f"{found.look_alikes.num_rows:,} {alike} of look-alikes, which are no copies")
    if found.faults:
        counted = Counter(found.faults.values())
        notes.append("unusable: " + ", ".join(f"{n:,} {_fault_words(reason)}" for reason, n in counted.most_common()))
    notes.append(_searched(found))
    if found.capped_neighbours:
        notes.append(f"{found.capped_neighbours:,} samples had more near descriptors than their lists could take")
    return notes


def _searched(found: Found) -> str:
    if isinstance(found, FoundInFiles):
        return f"found by {found.tool}, nothing is proven"
    limits = [f"hashes to {found.max_hamming_bits} bits"] if found.max_hamming_bits else []
    limits += [f"descriptors from cosine {found.min_cosine:g}"] if found.min_cosine < 1 else []
    recall = "" if found.neighbour_recall is None else f"; {found.neighbour_recall:.1%} of near descriptors found"
    return f"searched: {', '.join(limits) or 'equal bytes'}{recall}"


def _fault_words(reason: str) -> str:
    known = {each.value for each in Reason}
    return REASONS[Reason(reason)][0].lower() if reason in known else reason


def _hints(found: Found) -> list[tuple[str, str]]:
    if not found.pairs.num_rows:
        return [("dedupkit.calibrate(source)", "what this set's search misses")]
    if isinstance(found, FoundInFiles):
        return [("write_overrides(found.overrides(), path)", "let dedupkit clean drop what the other tool found")]
    more = [(f"found.show(12, first={OVERVIEW_GROUPS})", "more groups")]
    return [
        *(more if len(found.groups) > OVERVIEW_GROUPS else ()),
        ("found.show_pairs()", "the pairs that only just count: look at these when you choose limits"),
        ("found.at(max_hamming_bits=…, min_cosine=…)", "stricter, without searching again"),
        ("dedupkit.clean(source, out)", "write the set without its spare copies"),
    ]


def _rows_among(found: Found, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Pairs that have an end among some keys."""
    wanted = pa.array(keys, pa.string())
    return list(found.pairs.filter(pc.is_in(found.pairs["a"], value_set=wanted)).to_pylist())


def _pictures(found: Found, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, bytes]:
    if found.pictures is None:
        return {}
    position = {row[end]: row[f"{end}_position"] for row in rows for end in ("a", "b")}
    thumbnails = found.pictures.thumbnails({position[key]: key for key in keys})
    return {key: thumbnails[position[key]] for key in keys if position[key] in thumbnails}


def _row(group: list[str], rows: Sequence[Mapping[str, Any]], pictures: Mapping[str, bytes], number: int) -> Row:
    said = _evidence(group, rows)
    cards = tuple(Card(name=key, words=said.get(key, ""), picture=pictures.get(key)) for key in group[:_MEMBERS])
    more = len(group) - len(cards)
    note = f"and {more:,} more: found.groups has them all" if more else ""
    return Row(f"Group {number + 1:,} by size: {len(group):,} samples", cards, note)


def _evidence(group: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Words about the pair of each member with the first of its group, or else about its strongest pair."""
    lead, members = group[0], set(group)
    best: dict[str, tuple[tuple[bool, float], str]] = {}
    for row in rows:
        for member, other in ((row["a"], row["b"]), (row["b"], row["a"])) if row["a"] in members else ():
            rank = other == lead, strength(row)
            if member != lead and (member not in best or rank > best[member][0]):
                best[member] = rank, pair_words(row) + ("" if other == lead else f"; with {other}")
    return {member: words for member, (_, words) in best.items()}


def pair_words(row: Mapping[str, Any]) -> str:
    """What speaks for a pair, such as "cosine 0.83, 95% of 21 blocks agree over 97%"."""
    shared = {name: row.get(name) for name in GalleryMember.__slots__ if name in row}
    member: dict[str, Any] = dict.fromkeys(("position", "key", "shard", "kept", "kept_key"))
    trimmed = _TRIMMED.get(row.get("trimmed") or "")
    return evidence(GalleryMember(**(member | shared | {"trimmed": trimmed})), None)

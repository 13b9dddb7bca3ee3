"""How right a set of duplicate groups or pairs is, against a truth table."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


def read_truth(path: Path) -> list[dict[str, str]]:
    """Rows of a table with columns file (or key), group and family; the family of a source is ``original``."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{"file": row.get("file") or row["key"], "group": row["group"], "family": row["family"]} for row in rows]


def score(truth: Sequence[Mapping[str, str]], said: Mapping[str, Any]) -> dict[str, Any]:
    """Pair precision and recall, and for each family the share that is paired with its original.

    Parameters
    ----------
    truth : sequence of mapping
        From `read_truth`.
    said : mapping
        Either `groups`, of which all pairs inside a group count (groups that share a name are one), or `pairs`.
        Of names only the last part of a path counts.  Names that the truth does not know are distractors: what is
        paired with one is wrong, and pairs of two of them are not looked at.
    """
    group = {row["file"]: row["group"] for row in truth}
    true = sum(map(_pairs, Counter(group.values()).values()))
    home: dict[str, str] = {}
    pairs: set[frozenset[str]] = set()
    if "groups" in said:
        home = _homes(said["groups"])
        members = defaultdict(list)
        strangers: Counter[str] = Counter()
        for name, root in home.items():
            if name in group:
                members[root].append(group[name])
            else:
                strangers[root] += 1
        claimed = sum(_pairs(len(names)) + len(names) * strangers[root] for root, names in members.items())
        right = sum(_pairs(count) for names in members.values() for count in Counter(names).values())
    else:
        pairs = {frozenset(map(_name, pair)) for pair in said["pairs"]}
        claimed = len(pairs)
        right = sum(len({group[name] for name in pair}) == 1 for pair in pairs)

    def joined(name: str, source: str) -> bool:
        if "groups" in said:
            return name in home and home[name] == home.get(source)
        return frozenset((name, source)) in pairs

    originals = {row["group"]: row["file"] for row in truth if row["family"] == "original"}
    hits: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for row in truth:
        source = originals.get(row["group"])
        if source is not None and source != row["file"]:
            total[row["family"]] += 1
            hits[row["family"]] += joined(row["file"], source)
    return {
        "precision": right / claimed if claimed else 1.0,
        "recall": right / true if true else 1.0,
        "pairs_said": claimed,
        "pairs_true": true,
        "families": {family: hits[family] / count for family, count in sorted(total.items())},
    }


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _name(path: str) -> str:
    return PurePath(path).name


def _homes(groups: Iterable[Iterable[str]]) -> dict[str, str]:
    """A representative for every name, the same for all that hang together."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for names in groups:
        first, *others = map(_name, names)
        for other in others:
            parent[root(other)] = root(first)
        root(first)
    return {name: root(name) for name in parent}

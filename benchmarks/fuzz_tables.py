"""The tables of docs/fuzzing.md: what became of broken files, by kind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from markdown_tables import footing, table

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED = ("jpeg", "png", "webp", "gif", "tiff")
_OTHERS = "others"


def fuzz_images_table(result: Mapping[str, Any]) -> str:
    """Mutated images by reason and encoding."""
    counted = _joined(result["images"])
    tried, names = sum(map(sum, (each.values() for each in counted.values()))), (*_NAMED, _OTHERS)
    reasons = Counter[str]()
    for each in counted.values():
        reasons.update(each)
    rows = [
        (f"`{reason}`", *(f"{counted[name][reason]:,}" for name in names), f"{number:,}")
        for reason, number in reasons.most_common()
    ]
    rows += [("all", *(f"{sum(counted[name].values()):,}" for name in names), f"{tried:,}")]
    left_out = len(result["guarded"])
    about = (
        f"{tried:,} mutated images, in runs of some hundred among untouched ones, a quarter of the runs with preset "
        f"`thorough`; seed {result['seed']}. {_shown(result, 'image')} {left_out} of them took a process down, were "
        f"found out and quarantined. {_OTHERS.capitalize()}: {', '.join(sorted(set(result['images']) - set(_NAMED)))}. "
        f"{footing(result)}."
    )
    return f"{table(('', *names, 'all'), rows)}\n\n{about}"


def fuzz_shards_table(result: Mapping[str, Any]) -> str:
    """Mutated shards by what became of them."""
    kinds = result["shards"]
    outcomes = Counter[str]()
    for each in kinds.values():
        outcomes.update(each)
    rows = [
        (kind, *(f"{counted.get(outcome, 0):,}" for outcome, _ in outcomes.most_common()), f"{sum(counted.values()):,}")
        for kind, counted in kinds.items()
    ]
    head = (
        "",
        *(outcome.replace("damaged_shard", "`damaged_shard` alone") for outcome, _ in outcomes.most_common()),
        "all",
    )
    tried = f"{sum(outcomes.values()):,} mutated shards; seed {result['seed']}."
    about = f"{tried} {_shown(result, 'shard')} {footing(result)}."
    return f"{table(head, rows)}\n\n{about}"


def fuzz_small_table(result: Mapping[str, Any]) -> str:
    """Mutated small files: loaded or refused."""
    rows = [
        (kind, *(f"{counted.get(outcome, 0):,}" for outcome in ("loaded", "refused")))
        for kind, counted in result["small"].items()
    ]
    total = sum(sum(each.values()) for each in result["small"].values())
    about = f"{total:,} mutated files; seed {result['seed']}. {footing(result)}."
    return f"{table(('', 'loaded', 'refused in one line'), rows)}\n\n{about}"


def _joined(images: Mapping[str, Mapping[str, int]]) -> dict[str, Counter[str]]:
    """Counts of the encodings that have a column, and of all others together."""
    joined = {name: Counter[str](images.get(name, {})) for name in (*_NAMED, _OTHERS)}
    for kind, counted in images.items():
        if kind not in _NAMED:
            joined[_OTHERS].update(counted)
    return joined


def _shown(result: Mapping[str, Any], sort: str) -> str:
    found = [each for each in result["found"] if each.startswith(sort)]
    return f"{len(found)} runs failed, hung or lost a sample."

"""What is said of an exposure: one verdict that can be acted on, and its limits."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import TYPE_CHECKING

from dedupkit.audit.statistics import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.audit.canary_exposure import Cell, Exposure


def answer(by_repetitions: Sequence[Cell], overall: Cell, controls: str) -> str:
    """The verdict, by how often canaries stand in the set."""
    told = [cell for cell in by_repetitions if cell.corrected <= 1 - CONFIDENCE]
    rest = [cell for cell in by_repetitions if cell not in told]
    if told and not rest:
        return f"All canaries, also those that stood {_times(told[:1], by_repetitions)}, {_memorised(told, controls)}."
    if told:
        return (
            f"Canaries that stood {_times(told, by_repetitions)} {_memorised(told, controls)}; those that stood "
            f"{_times(rest, by_repetitions)} are not told from the controls ({_p(rest)}): {_unsafe(rest)}."
        )
    if overall.p_value <= 1 - CONFIDENCE:
        return (
            f"Canaries taken together are memorised (p = {_number(overall.p_value)}), but those of no one repetition "
            f"count are told from the controls ({_p(rest)}): do not take any image for safe by this."
        )
    return f"No canaries are told from the controls ({_p(rest)}): {_unsafe(rest)}."


def limits(found: Exposure) -> tuple[str, ...]:
    """What an exposure does not show, in numbers of this very one."""
    controls, least = len(found.curve.controls), 1 / (1 + int(found.standing.references.max()))
    said = [
        f"With {int(found.standing.references.max())} controls to compare with, the least p-value of one canary is "
        f"{_number(least)} and the most exposure by rank {found.ceiling_bits:.1f} bits; a canary known by heart "
        "shows no more.",
        f"p-values of tests come from {found.shuffles:,} shuffles: the least is {_number(1 / (1 + found.shuffles))}.",
        _missed(found.by_repetitions),
        "It speaks of canaries, which are unlike all other pictures of the set and for that reason perhaps memorised "
        "sooner than most; of rare pictures they say more than of common ones.",
        "It holds if controls were never published and never trained on, and if all canaries were asked for alike.",
    ]
    if least * found.overall.planted > 1 - CONFIDENCE:
        said.append(
            "No single canary can be named with 95 % confidence that none is a false alarm: for "
            f"{found.overall.planted} planted ones that takes "
            f"{int(found.overall.planted / (1 - CONFIDENCE) + 0.5) - 1:,} controls, and there are {controls}."
        )
    few = [cell for cell in found.by_repetitions if cell.planted < 6]
    if few:
        said.append(f"Of fewer than 6 canaries a median has no interval; so it is of {_times(few, few)}.")
    if found.extrapolated is not None and found.extrapolated.beyond.any():
        said.append(
            f"{int(found.extrapolated.beyond.sum())} extrapolated exposures reach beyond the "
            f"{found.extrapolated.shown_bits:.1f} bits that controls show, up to "
            f"{float(found.extrapolated.deviations.max()):.1f} standard deviations below the lowest control; there "
            "they hang on the shape of a fitted curve."
        )
    return tuple(said)


def _memorised(told: Sequence[Cell], controls: str) -> str:
    planted, above = sum(cell.planted for cell in told), sum(cell.above_all for cell in told)
    return f"are memorised ({_p(told, worst=True)}, {above} of {planted} rank above {controls})"


def _unsafe(rest: Sequence[Cell]) -> str:
    """What a null result leaves open, in the share that would have been missed."""
    reach = [cell.detectable for cell in rest]
    much = "an image that stands" if len(rest) == 1 and rest[0].repetitions == 1 else "an image that stands so often"
    once = " once" if len(rest) == 1 and rest[0].repetitions == 1 else ""
    if any(each is None for each in reach):
        return f"{much}{once} is not safe by this, there are too few canaries to see even if all were memorised"
    share = max(each for each in reach if each is not None)
    return f"{much}{once} is not safe by this, an effect on less than {100 * share:.0f} % of them would not be seen"


def _missed(cells: Sequence[Cell]) -> str:
    shares = [
        f"{_often(cell.repetitions or 0)} "
        + ("not even all" if cell.detectable is None else f"{100 * cell.detectable:.0f} %")
        for cell in cells
    ]
    return (
        "For a test to find something in 4 of 5 cases, so many canaries would have to rank above every control, of "
        f"those that stood {', '.join(shares)}; a null result leaves open that up to so many are memorised."
    )


def _times(cells: Sequence[Cell], of: Sequence[Cell]) -> str:
    """Repetition counts in words; a row up to the highest is "16 times or more"."""
    counts = sorted(cell.repetitions or 0 for cell in cells)
    every = sorted(cell.repetitions or 0 for cell in of)
    if len(counts) > 1 and counts == every[-len(counts) :] and len(counts) < len(every):
        return f"{_often(counts[0])} or more"
    if len(counts) == 1:
        return _often(counts[0])
    last = _often(counts[-1])
    return ", ".join("once" if each == 1 else str(each) for each in counts[:-1]) + f" or {last}"


def _often(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _p(cells: Sequence[Cell], *, worst: bool = False) -> str:
    """The corrected p-value: of findings the highest, of null results the lowest."""
    values = sorted(cell.corrected for cell in cells)
    if _number(values[0]) == _number(values[-1]):
        return f"p = {_number(values[0])}"
    return f"p ≤ {_number(values[-1], up=1)}" if worst else f"p ≥ {_number(values[0], up=-1)}"


def _number(p: float, up: int = 0) -> str:
    """Two digits that count, rounded to the nearest, up or down."""
    scale = 10 ** (1 - floor(log10(p)))
    digits = round(p * scale, 6)
    whole = ceil(digits) if up > 0 else floor(digits) if up < 0 else round(digits)
    return f"{whole / scale:.2g}"

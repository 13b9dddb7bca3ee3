"""Tables of docs/side_by_side.md that look across benchmarks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markdown_tables import fraction, mib, table
from measure import RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

OURS = "dedupkit find"
RUNS = {
    "speed": "first table",
    "thorough": "second table",
    "laion": "a set as from the web",
    "unseen": "edits that nothing was fitted on",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that every tool has.

    Attributes
    ----------
    name : str
        As the table shows it.
    of : callable
        The number, out of a tool's entry; None where it was not measured.
    shown : callable
        The number as text.
    less_is_better : bool
        Whether the least of it wins.
    """

    name: str
    of: Callable[[Mapping[str, Any]], float | None]
    shown: Callable[[float], str]
    less_is_better: bool = False

    def better(self, one: float, other: float) -> bool:
        """Whether one is really better than the other, as the table shows the two."""
        ahead = one < other if self.less_is_better else one > other
        return ahead and self.shown(one) != self.shown(other)


def _measures(families: Mapping[str, float]) -> Iterator[Measure]:
    yield Measure("time", lambda tool: tool["wall_s"], lambda value: f"{value:.1f} s", less_is_better=True)
    yield Measure("peak memory", lambda tool: tool["peak_tree_mib"], mib, True)
    yield Measure("pair precision", lambda tool: tool["precision"], fraction)
    yield Measure("pair recall", lambda tool: tool["recall"], fraction)
    for family in families:
        yield Measure(f"found: {family}", lambda tool, family=family: tool["families"][family], fraction)


def _behind(tools: list[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Measure, rivals that are ahead with what they reached, and what we did."""
    ours = next(tool for tool in tools if tool["name"] == OURS)
    for measure in _measures(ours["families"]):
        mine = measure.of(ours)
        values = {tool["name"]: measure.of(tool) for tool in tools if tool is not ours}
        ahead = {
            name: value
            for name, value in values.items()
            if mine is not None and value is not None and measure.better(value, mine)
        }
        if mine is not None and ahead:
            ordered = sorted(ahead, key=lambda name: ahead[name], reverse=not measure.less_is_better)
            yield (
                measure.name,
                ", ".join(f"{name} {measure.shown(ahead[name])}" for name in ordered),
                measure.shown(mine),
            )


def behind_table(_: Mapping[str, Any]) -> str:
    """Every number of the benchmarks against others in which another tool is ahead of dedupkit."""
    rows = []
    for name, title in RUNS.items():
        source = RESULTS / f"{name}.json"
        if source.is_file():
            tools = json.loads(source.read_text())["tools"]
            rows += [(f"{title}, {measure}", *values) for measure, *values in _behind(tools)]
    return table(("", "ahead of dedupkit", "dedupkit"), rows)

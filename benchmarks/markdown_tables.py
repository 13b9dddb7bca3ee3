"""What every table of the benchmarks has: its form, and where it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def footing(result: Mapping[str, Any]) -> str:
    """Where and with what it was measured."""
    where = result["environment"]
    return (
        f"{where['cpu']}, {where['cores']} cores, Python {where['python']}, commit {where['commit']}, {where['date']}"
    )


def fraction(value: float) -> str:
    """A fraction that is rounded to 1 only where it is 1."""
    return "1" if value == 1 else f"{min(value, 0.9999):.4f}" if value >= 0.999 else f"{value:.3f}"


def mib(value: float | None) -> str:
    """Memory, or that it was not measured."""
    return "?" if value is None else f"{value:,.0f} MiB"

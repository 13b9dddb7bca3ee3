"""What a calibration found, for people and for machines."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import tomli_w

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from dedupkit.calibration.shares import Share


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Calibration:
    """What a recipe finds of copies planted in a sample of a set.

    As a table (``polars.DataFrame(calibration)``, ``__arrow_c_stream__``) it is its `recall`.

    Attributes
    ----------
    samples : int
        Pictures that copies were made of.
    skipped : mapping of str to int
        Drawn samples that have no usable image, by quarantine reason.
    set_samples : int
        Samples in the set, estimated where `shards` is less than `all_shards`.
    shards, all_shards : int
        Shards the sample was drawn from, and shards there are.
    recall : pyarrow.Table
        One row an edit: ``edit``, copies ``planted`` and ``found``, ``recall`` with the ends ``low`` and ``high`` of
        its 95 % interval, and ``false_pairs`` that this edit made.
    missed : Share
        Of all copies, those that the recipe does not join to their picture.
    precision : Share
        Of all pairs with a copy in them, those of one picture.
    confused : Share
        Of all pairs of different pictures in the sample, those that any edit made the recipe take for copies.
    own_pairs : int
        Pairs that the recipe finds in the untouched sample; right or wrong, they are not judged.
    thresholds : pyarrow.Table
        One row for each set of limits that was tried: the limits (null where they do not apply), recall and precision
        with their intervals, ``false_pairs``, ``meets`` (the wanted precision), ``recipe`` and ``proposed``.
    misses : pyarrow.Table
        ``key`` and ``edit`` of each copy that the recipe misses.
    mistakes : pyarrow.Table
        The recipe's false pairs: ``edit``, keys ``a`` and ``b``, which of them is the copy, tier and evidence.
    proposed : mapping of str to number, or None
        Of the limits tried, those that find most at the wanted precision; None where none reaches it.
    wanted_precision : float
        What was wanted, in (0, 1].
    seed : int
        Which sample was drawn.
    """

    samples: int
    skipped: Mapping[str, int]
    set_samples: int
    shards: int
    all_shards: int
    recall: pa.Table
    missed: Share
    precision: Share
    confused: Share
    own_pairs: int
    thresholds: pa.Table
    misses: pa.Table
    mistakes: pa.Table
    proposed: Mapping[str, float | int] | None
    wanted_precision: float
    seed: int

    @property
    def toml(self) -> str:
        """The proposed limits as part of a recipe; empty where there are none."""
        return "" if self.proposed is None else tomli_w.dumps({"matching": dict(self.proposed)})

    def _repr_html_(self) -> str:
        from dedupkit.notebook.numbers import of_calibration

        return of_calibration(self).html()

    def __repr__(self) -> str:
        from dedupkit.notebook.numbers import of_calibration

        return of_calibration(self).text()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.recall.__arrow_c_stream__(requested_schema)

    def to_json(self) -> dict[str, Any]:
        """All of it in what JSON has types for."""
        return {
            "samples": self.samples,
            "skipped": dict(self.skipped),
            "set_samples": self.set_samples,
            "shards": self.shards,
            "all_shards": self.all_shards,
            "recall": self.recall.to_pylist(),
            "missed": self.missed.to_json(),
            "precision": self.precision.to_json(),
            "confused": self.confused.to_json(),
            "own_pairs": self.own_pairs,
            "thresholds": self.thresholds.to_pylist(),
            "misses": self.misses.to_pylist(),
            "mistakes": self.mistakes.to_pylist(),
            "proposed": None if self.proposed is None else dict(self.proposed),
            "toml": self.toml,
            "wanted_precision": self.wanted_precision,
            "seed": self.seed,
        }

    def text(self) -> str:
        """Tables to print: recall by edit, what is missed, precision, the limits tried, and those proposed."""
        from rich.console import Console

        console = Console(file=io.StringIO(), width=100)
        with console.capture() as capture:
            console.print(self._sample(), highlight=False)
            console.print(self._recall())
            console.print(self._findings(), highlight=False)
            console.print(self._limits())
            console.print(self._advice(), highlight=False, markup=False)
        return "\n".join(line.rstrip() for line in capture.get().splitlines())

    def _sample(self) -> str:
        about = "" if self.shards == self.all_shards else "about "
        of = f"{self.samples} pictures out of {about}{self.set_samples:,} samples"
        if self.shards < self.all_shards:
            of += f" ({self.shards} of {self.all_shards} shards read)"
        skipped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in sorted(self.skipped.items()))
        return of + (f"; skipped: {skipped}" if skipped else "")

    def _recall(self) -> Any:
        from rich.table import Table

        table = Table("edit", *(_right(name) for name in ("planted", "found", "recall", "95 %", "false pairs")))
        for row in self.recall.to_pylist():
            share = _number(row["recall"], 3), _interval(row["low"], row["high"])
            table.add_row(row["edit"], f"{row['planted']}", f"{row['found']}", *share, f"{row['false_pairs']}")
        return table

    def _findings(self) -> str:
        missed, precision, confused = self.missed, self.precision, self.confused
        lines = [
            f"missed: {_percent(missed.share)} of the copies (95 %: {_percent(missed.low)} to {_percent(missed.high)})",
            f"precision: {precision.hits} of {precision.of} pairs are right, {precision.share:.4f} "
            f"(95 %: {_interval(precision.low, precision.high)})",
            f"confused: {confused.hits} of {confused.of:,} pairs of different pictures (95 %: ≤ {confused.high:.1e})",
        ]
        if self.own_pairs:
            lines.append(f"the untouched sample has {self.own_pairs} pairs of its own, which are not judged")
        return "\n".join(lines)

    def _limits(self) -> Any:
        from rich.table import Table

        names = [name for name in self.thresholds.column_names[:3] if self.thresholds[name].null_count == 0]
        table = Table(*map(_right, (*names, "recall", "precision", "false pairs")), "")
        for row in self.thresholds.to_pylist():
            mark = "proposed" if row["proposed"] else "recipe" if row["recipe"] else ""
            mark = "recipe, proposed" if row["recipe"] and row["proposed"] else mark
            shares = (_number(row[name], 4) for name in ("recall", "precision"))
            table.add_row(*(f"{row[name]:g}" for name in names), *shares, f"{row['false_pairs']}", mark)
        return table

    def _advice(self) -> str:
        wanted = f"precision {self.wanted_precision:g}"
        if self.proposed is None:
            best = pc.max(self.thresholds["precision"]).as_py()
            return f"no limits tried reach {wanted}; the best have {_number(best, 4)}"
        row = self.thresholds.filter(self.thresholds["proposed"]).to_pylist()[0]
        lines = [f"of the limits that reach {wanted} these find most, or as good as most: recall {row['recall']:.4f}"]
        if row["precision_low"] < self.wanted_precision:
            low = f"{row['precision_low']:.4f}"
            lines.append(f"{self.samples} pictures cannot prove it: it may be as low as {low}; --samples draws more")
        if self._is_looser(row):
            lines.append("looser than the recipe's: a whole set holds more that is alike than a sample of it")
        return "\n".join([*lines, "", self.toml])

    def _is_looser(self, row: Mapping[str, Any]) -> bool:
        own = self.thresholds.filter(self.thresholds["recipe"]).to_pylist()[0]
        floors = [name for name in ("min_cosine", "min_score") if row[name] is not None]
        return row["max_hamming_bits"] > own["max_hamming_bits"] or any(row[name] < own[name] for name in floors)


def _right(name: str) -> Any:
    from rich.table import Column

    return Column(name, justify="right")


def _interval(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"

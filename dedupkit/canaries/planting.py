"""Planting: what a run needs to know of canaries, small enough to travel to every worker."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.canaries.commitment import commitment_of
from dedupkit.canaries.manifest import read_manifest
from dedupkit.errors import RunError, UsageError, public
from dedupkit.stores import is_remote, on_disk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.canaries.manifest import Manifest
    from dedupkit.canaries.source import CanarySource
    from dedupkit.journey import Tables
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe
    from dedupkit.sources.base import Source

PASSPHRASE_VARIABLE = "DEDUPKIT_PASSPHRASE"


@dataclass(frozen=True, slots=True)
class Planting:
    """The canaries of a run.

    Attributes
    ----------
    path : str
        The private manifest, read where it is first asked for.
    stamp : str
        Changes with the file.
    plants : bool
        Whether canaries are mixed into the source; else it holds them already, and they are only protected.
    exempt : tuple of str
        "dedup" and "augmentation" where those leave canaries alone.

    Examples
    --------
    >>> Planting.open("clean.canaries.private.json")  # doctest: +SKIP
    Planting(path='clean.canaries.private.json', ...)
    """

    path: str
    stamp: str
    plants: bool = True
    exempt: tuple[str, ...] = ("dedup", "augmentation")
    _passphrase: str | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        passphrase: str | None = None,
        *,
        plants: bool = True,
        exempt: Sequence[str] = ("dedup", "augmentation"),
    ) -> Planting:
        """Open a manifest.

        Raises
        ------
        UsageError
            If it cannot be read.
        """
        place = Path(path).absolute()
        read_manifest(place, passphrase=passphrase)  # with its warnings, once; workers read it again without
        status = place.stat()
        return cls(str(place), f"{status.st_size}-{status.st_mtime_ns}", plants, tuple(exempt), passphrase)

    @property
    def manifest(self) -> Manifest:
        """The private manifest."""
        return _manifest(self.path, self.stamp, self._passphrase)

    @property
    def commitment(self) -> str:
        """What the report may say."""
        return commitment_of(self.manifest)

    @property
    def identity(self) -> str:
        """For receipts: changes with manifest and options, and tells nobody without the secret which they are."""
        return self.manifest.keyed("identity", self.commitment, str(self.plants), *self.exempt).hex()

    def around(self, source: Source) -> Source:
        """The source with canaries among its samples; itself where they stand there already."""
        if not self.plants:
            return source
        from dedupkit.canaries.source import CanarySource

        planted: CanarySource = CanarySource(source=source, planting=self)
        return planted

    def holds(self, sha256: bytes) -> bool:
        """Whether an encoded image of this digest is that of a planted canary."""
        return sha256 in _digests(self.path, self.stamp, self._passphrase)

    def exempts(self, sha256: bytes, what: str) -> bool:
        """Whether an image is a canary's and `what` ("dedup", "augmentation") has to leave it alone."""
        return what in self.exempt and self.holds(sha256)

    def positions(self, tables: Tables, shards: int) -> NDArray[np.uint64]:
        """Positions of all planted canaries, ascending, found by their digests in the fingerprints."""
        digests = pa.array(sorted(_digests(self.path, self.stamp, self._passphrase)), pa.binary(32))
        found = [np.empty(0, np.uint64)]
        for number in range(shards):
            table = tables.fingerprints(number, ("position", "sha256"))
            found.append(table.filter(pc.is_in(table["sha256"], value_set=digests))["position"].to_numpy())
        return np.concatenate(found)

    def without_pairs(self, pairs: Iterable[pa.Table], tables: Tables, shards: int) -> Iterator[pa.Table]:
        """The pairs (or candidates) that touch no planted canary; all of them where dedup is not exempt.

        So every copy of a canary stays, and so does every picture that looks like one.
        """
        if "dedup" not in self.exempt:
            yield from pairs
            return
        mine = pa.array(self.positions(tables, shards), pa.uint64())
        for table in pairs:
            touching = pc.or_(pc.is_in(table["a"], value_set=mine), pc.is_in(table["b"], value_set=mine))
            yield table.filter(pc.invert(touching))

    def check(self, tables: Tables, shards: int) -> NDArray[np.uint64]:
        """Hold the fingerprints against the manifest: each planted canary as often as it should be.

        Returns
        -------
        ndarray of uint64
            What `positions` gives.

        Raises
        ------
        RunError
            If the source holds canaries already, or lost some.  The text names none of them.
        """
        counts = dict.fromkeys(_digests(self.path, self.stamp, self._passphrase), 0)
        for number in range(shards):
            for value in tables.fingerprints(number, ("sha256",))["sha256"].to_pylist():
                if value in counts:
                    counts[value] += 1
        wanted = {canary.sha256: canary.repetitions for canary in self.manifest.planted}
        more = sum(counts[each] > times for each, times in wanted.items())
        fewer = sum(counts[each] < times for each, times in wanted.items())
        if more:
            raise RunError(
                f"{more} canaries stand in the set more often than planted; if the source holds them already, set "
                "[canaries] planted = 0 and name the manifest"
            )
        if fewer and self.plants:
            raise RunError(f"{fewer} canaries are missing; the source changed under way, run again")
        return self.positions(tables, shards)

    def check_decisions(self, tables: Tables, shards: int, positions: NDArray[np.uint64]) -> None:
        """Hold the decisions against the manifest: the canaries at these positions stay, unless dedup may take them.

        Raises
        ------
        RunError
            If some would not stay.  The text names none of them.
        """
        mine = pa.array(positions, pa.uint64())
        lost = 0
        for number in range(shards):
            decided = tables.decisions(number, ("position", "action"))
            here = decided.filter(pc.is_in(decided["position"], value_set=mine))["action"]
            gone = ("drop", "quarantine") if "dedup" in self.exempt else ("quarantine",)
            lost += pc.sum(pc.is_in(here, value_set=pa.array(gone))).as_py() or 0
        if lost:
            raise RunError(
                f"{lost} copies of canaries would not stay in the set; make the canaries with this recipe "
                "(`dedupkit canaries make --recipe`), as [limits], [hygiene], [captions] or [blocklist] take them out"
            )


def planting_of(
    recipe: Recipe,
    source: Source,
    out: str | os.PathLike[str],
    *,
    passphrase: str | None = None,
    progress: Observer | None = None,
) -> Planting | None:
    """What a recipe says of canaries: None where it says nothing.

    A manifest that exists is used again.  Where `planted` is above 0 and there is none, canaries are drawn for the
    source and a manifest is written, beside OUT if the recipe names no place.

    Parameters
    ----------
    recipe : Recipe
        Its part ``[canaries]`` decides.
    source : Source
        The set, opened.
    out : path
        The output folder.
    passphrase : str, optional
        Of the manifest; else that of the environment's DEDUPKIT_PASSPHRASE.
    progress : callable, optional
        Told of progress.

    Raises
    ------
    UsageError
        If the manifest would lie in OUT, or one that exists holds other counts than the recipe asks for.
    """
    options = recipe.canaries
    if not options.asked_for:
        return None
    path = manifest_place(recipe, out)
    passphrase = passphrase or os.environ.get(PASSPHRASE_VARIABLE)
    if options.planted and not path.exists():
        from dedupkit.canaries.making import make

        make(source, path, options, recipe=recipe, passphrase=passphrase, progress=progress)
    opened = Planting.open(path, passphrase, plants=bool(options.planted), exempt=options.exempt)
    _check_counts(opened.manifest, recipe, path)
    return opened


def manifest_place(recipe: Recipe, out: str | os.PathLike[str]) -> Path:
    """Where the private manifest of a run lies: on this machine, and outside of what is published.

    Raises
    ------
    UsageError
        It would lie in OUT or on a store, or OUT is on a store and the recipe names no place.
    """
    named, shown = recipe.canaries.manifest, on_disk(os.fspath(out))
    if named and is_remote(str(named)):
        raise UsageError(f"the private manifest {public(named)} would lie on a store; name a local file")
    if is_remote(shown):
        if not named:
            raise UsageError(
                "the private manifest of canaries never lies on a store; name a local file for it, "
                "--manifest FILE or manifest in [canaries]"
            )
        return Path(named)
    path = Path(named) if named else manifest_beside(shown)
    if path.resolve().is_relative_to(Path(shown).resolve()):
        raise UsageError(f"the private manifest {path} would lie in the output folder; name a file outside of it")
    return path


def manifest_beside(out: str | os.PathLike[str]) -> Path:
    """Where the manifest of an output folder lies if nothing else is said."""
    place = Path(out).absolute()
    return place.with_name(f"{place.name}.canaries.private.json")


def _check_counts(manifest: Manifest, recipe: Recipe, path: Path) -> None:
    asked, found = recipe.canaries, (len(manifest.planted), len(manifest.controls))
    counts = (asked.planted, asked.controls)
    same = found == counts if manifest.assignment == "exact" else sum(found) == sum(counts)
    if asked.planted and not same:
        raise UsageError(
            f"{path} holds {found[0]} planted canaries and {found[1]} controls, the recipe asks for {counts[0]} and "
            f"{counts[1]}; name another manifest, or these numbers"
        )


@lru_cache(maxsize=2)
def _manifest(path: str, stamp: str, passphrase: str | None) -> Manifest:
    return read_manifest(path, passphrase=passphrase)


@lru_cache(maxsize=2)
def _digests(path: str, stamp: str, passphrase: str | None) -> frozenset[bytes]:
    return frozenset(canary.sha256 for canary in _manifest(path, stamp, passphrase).planted)

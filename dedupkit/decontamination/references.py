"""Reference sets as indexes: fingerprinted once, never compared with themselves, opened by every task."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError
from dedupkit.index.adding import added_to, identity_of
from dedupkit.index.beginning import check_recipe, local_folder, new_state
from dedupkit.index.kept import Index
from dedupkit.index.snapshot import Snapshot
from dedupkit.index.state import STATE_NAME, made_by, read_state, recipe_parts, write_state
from dedupkit.journey import Journey
from dedupkit.matching.radius import max_hamming_bits
from dedupkit.options import resolve_recipe
from dedupkit.sources import open_source
from dedupkit.sources.listing import public
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder, digest

if TYPE_CHECKING:
    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe, SourceOptions


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference set, fingerprinted; picklable.

    Attributes
    ----------
    name : str
        What decisions call it.
    folder : Folder
        Of its index.
    identity : str
        Changes with its content.
    entries : int
        Its samples.
    """

    name: str
    folder: Folder
    identity: str
    entries: int

    @classmethod
    def of(cls, name: str, folder: Folder) -> Reference:
        """A reference set whose index lies in a folder."""
        state = read_state(folder)
        return cls(name, folder, digest([asdict(state), folder.url]), state.entries)

    def snapshot(self, matching_samples: int) -> Snapshot:
        """What is searched, with the radius of hashes for a number of samples that are compared with it."""
        return _snapshot(self, matching_samples)


@lru_cache(maxsize=64)
def _snapshot(reference: Reference, samples: int) -> Snapshot:
    snapshot = Snapshot.open(reference.folder)
    snapshot.seen.radius = max_hamming_bits(snapshot.seen.matching, as_many(samples, reference.entries))
    return snapshot


def as_many(samples: int, others: int) -> int:
    """Size of a set with as many pairs in it as there are between two sets."""
    return int((2 * samples * others) ** 0.5) + 1


def named(against: Any) -> dict[str, Any]:
    """Reference sets by their names, from what a caller gave.

    Raises
    ------
    UsageError
        There is none, or two have one name.
    """
    if isinstance(against, Mapping):
        found = [(str(name), source) for name, source in against.items()]
    else:
        given = list(against) if isinstance(against, list | tuple) else [against]
        found = [(_name_of(source, number), source) for number, source in enumerate(given, 1)]
    if not found:
        raise UsageError("against names no reference set; give at least one set or index")
    names = [name for name, _ in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"against names {twice} twice; leave one out, or give a mapping from names to sets")
    return dict(found)


def _name_of(source: Any, number: int) -> str:
    if isinstance(source, Index):
        return source.path
    return public(os.fsdecode(source)) if isinstance(source, str | os.PathLike) else f"reference-{number}"


def folder_of_index(source: Any) -> Folder | None:
    """The folder of an index that is given as a reference set; None for any other source."""
    if isinstance(source, Index):
        return Folder(source.path)
    if isinstance(source, str | os.PathLike) and Path(source, STATE_NAME).is_file():
        return local_folder(source)
    return None


def recipe_for(sources: Mapping[str, Any], recipe: Recipe | str | os.PathLike[str] | None) -> Recipe:
    """The recipe of a run: what is given, else that of the indexes among the reference sets, else the default.

    Raises
    ------
    UsageError
        An index was built by another one.
    """
    folders = [folder for source in sources.values() if (folder := folder_of_index(source)) is not None]
    states = [(read_state(folder), folder) for folder in folders]
    chosen = states[0][0].chosen if recipe is None and states else resolve_recipe(recipe)
    for state, folder in states:
        check_recipe(state, chosen, folder)
    return chosen


def fingerprinted(
    sources: Mapping[str, Any],
    recipe: Recipe,
    options: SourceOptions,
    work: Folder,
    engine: Engine,
    observe: Observer,
) -> list[Reference]:
    """Fingerprint reference sets, each into an index below `work`; what lies there already is not made again."""
    found, names = [], []
    for name, source in sources.items():
        folder = folder_of_index(source)
        if folder is None:
            folder = _built(source, name, recipe, options, work, engine, observe)
            names.append(folder.url.rsplit("/", 1)[-1])
        found.append(Reference.of(name, folder))
        if not found[-1].entries:
            raise UsageError(f"the reference set {name} holds no samples; name a set with images")
    for other in work.names():
        if other not in names and other != "spool":
            work.remove(other)
    return found


def _built(
    source: Any, name: str, recipe: Recipe, options: SourceOptions, work: Folder, engine: Engine, observe: Observer
) -> Folder:
    """The index of one set, in a folder that is named after all that it depends on."""
    bare = recipe.model_copy(update={"source": options, "blocklist": type(recipe.blocklist)()})
    opened = open_source(source, options, **recipe.limits.of_files, spool_to=work.below("spool"))
    if isinstance(opened, ListSource):
        raise UsageError(f"the reference set {name} is a list without images; give the images")
    shards = [identity_of(name, shard) for shard in opened.shards()]
    folder = work.below(digest([shards, recipe_parts(recipe), made_by(recipe), options.model_dump()]))
    if folder.exists(STATE_NAME):
        return folder
    parts = folder.below("parts")
    journey = Journey(opened, bare, parts, engine, observe, emits=False)
    snapshot = Snapshot.begun(folder, new_state(recipe, 1, "keep"))
    state, _ = added_to(snapshot, journey, name, compares=False)
    write_state(folder, state)  # from here on it is whole
    folder.remove("parts")
    return folder

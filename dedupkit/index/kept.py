"""The index that is kept: built once, added to as a set grows, asked about single pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.engines.local import LocalEngine
from dedupkit.errors import UsageError
from dedupkit.index.adding import Added, Adding, identity_of, wanted_views
from dedupkit.index.asking import Twin, encoded, twins_of_entry, twins_of_image
from dedupkit.index.compacting import compacted
from dedupkit.index.files import write_table
from dedupkit.index.snapshot import Snapshot
from dedupkit.index.state import State, made_by, read_state, recipe_parts, write_state
from dedupkit.index.writing import WORK, alone_in, check_new, clear_leftovers
from dedupkit.journey import Journey
from dedupkit.matching.radius import max_hamming_bits
from dedupkit.options import resolve_recipe
from dedupkit.parts import silent
from dedupkit.recipe import SourceOptions
from dedupkit.sources import open_source
from dedupkit.sources.listing import public
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder, digest
from dedupkit.verification import views_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe

EXPECTED_SAMPLES = 1_000_000


class Index:
    """An index of a set of images, in a folder.

    Every sample is compared with all that came before it, by the rules of the index's recipe, so that many additions
    find the same pairs as one.  A reader holds the index as it was when it was opened; `refresh` opens it anew.  Make
    one with `build`, open one with `open`.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from dedupkit.demo import example_images
    >>> index = Index.build(mkdtemp(), example_images(), recipe=Recipe(preset="fast"))
    >>> picture = next(iter(example_images().glob("*.jpg")))
    >>> [twin.key == picture.name for twin in index.query(picture)]
    [True]
    """

    def __init__(self, folder: Folder, *, engine: Engine | None = None) -> None:
        self._folder, self._engine = folder, engine
        self._snapshot = Snapshot.open(folder)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        recipe: Recipe | str | os.PathLike[str] | None = None,
        workers: int | None = None,
    ) -> Index:
        """Open an index.

        Parameters
        ----------
        path : path
            Its folder.
        recipe : Recipe or path of a TOML file, optional
            What the index must have been built by, if given.
        workers : int, optional
            Worker processes for what is added.

        Raises
        ------
        UsageError
            There is no index, or one of another format, make or recipe.
        RunError
            A file of it is missing or damaged.
        """
        index = cls(_local(path), engine=LocalEngine(workers))
        if recipe is not None:
            _check_recipe(index._snapshot.state, resolve_recipe(recipe), index._folder)
        return index

    @classmethod
    def build(
        cls,
        path: str | os.PathLike[str],
        source: Any,
        *,
        recipe: Recipe | str | os.PathLike[str] | None = None,
        expected_samples: int = EXPECTED_SAMPLES,
        views: Literal["keep", "none"] = "keep",
        name: str | None = None,
        workers: int | None = None,
        progress: Observer | None = None,
    ) -> Index:
        """Make an index of a source.

        Parameters
        ----------
        path : path
            A new or empty folder.  One that holds a build that was killed is built on.
        source : object
            What `dedupkit.find_duplicates` takes, but no list without images.
        recipe : Recipe or path of a TOML file, optional
            How images are fingerprinted, checked and compared, for good.
        expected_samples : int
            How many samples the index will hold in the end: the radius of hashes is chosen for that many, for what is
            a pair must not change while the index grows.  More may be added.
        views : "keep" or "none"
            Keep what geometry needs of each picture, 30 KB; with "none", pairs in doubt are look-alikes.
        name : str, optional
            What the source is called in answers; its path if left out.
        workers : int, optional
            Worker processes.
        progress : callable, optional
            Told of progress with a `dedupkit.parts.Progress`.

        Raises
        ------
        UsageError
            Of a folder, source or recipe that cannot be.
        """
        chosen = resolve_recipe(recipe)
        _check_choices(expected_samples, views)
        folder = _local(path)
        check_new(folder)
        fresh = _new_state(chosen, expected_samples, views)
        with alone_in(folder):
            if folder.exists("index.json"):
                _check_unbuilt(folder, fresh)
            else:
                write_state(folder, fresh)
        index = cls(folder, engine=LocalEngine(workers))
        index.add(source, name=name, options=chosen.source, progress=progress)
        return index

    def __len__(self) -> int:
        """Number of samples, faulty ones among them, removed ones not."""
        return self._snapshot.state.entries - len(self._snapshot.removed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open but maps, which go with the index."""

    def refresh(self) -> None:
        """See what writers did since the index was opened."""
        if read_state(self._folder).generation != self._snapshot.state.generation:
            self._snapshot = Snapshot.open(self._folder)

    def add(
        self,
        source: Any,
        *,
        name: str | None = None,
        options: SourceOptions | None = None,
        progress: Observer | None = None,
    ) -> Added:
        """Compare the samples of a source with the index and with each other, and put them in.

        Parameters
        ----------
        source : object
            As of `build`.  Shards that were added before and have not changed are passed over.
        name : str, optional
            What the source is called in answers; its path if left out.
        options : SourceOptions, optional
            Columns of a table.
        progress : callable, optional
            Told of progress.

        Returns
        -------
        Added

        Raises
        ------
        UsageError
            The source cannot be read, or another process is writing.

        Notes
        -----
        The index stays as it was until all is done.  Fingerprints of an addition that was killed are used again by the
        next addition of the same source.
        """
        options = options or SourceOptions()
        with alone_in(self._folder):
            snapshot = Snapshot.open(self._folder)
            called = name or _name_of(source)
            work = digest([called, options.model_dump()])
            clear_leftovers(self._folder, snapshot.state.names, work)
            folder = Folder(f"{self._folder.url}/{WORK}/{work}")
            state, added = self._add(snapshot, source, called, options, folder, progress or silent)
            write_state(self._folder, state)
            clear_leftovers(
                self._folder, state.names | snapshot.state.names
            )  # readers may be about to open the old ones
        self.refresh()
        return added

    def _add(
        self, snapshot: Snapshot, source: Any, name: str, options: SourceOptions, work: Folder, observe: Observer
    ) -> tuple[State, Added]:
        recipe = snapshot.state.chosen.model_copy(update={"source": options})
        opened = open_source(source, options, max_bytes=recipe.limits.max_bytes, spool_to=work.below("spool"))
        if isinstance(opened, ListSource):
            raise UsageError("a list without images cannot be put into an index; give the images")
        journey = Journey(opened, recipe, work, self._engine or LocalEngine(), observe, emits=False)
        journey.fingerprint()
        known = {shard.identity for shard in snapshot.state.shards}
        numbered = [(number, shard, identity_of(name, shard)) for number, shard in enumerate(journey.shards)]
        adding = Adding(snapshot, journey, name, [each for each in numbered if each[2] not in known])
        files = []
        if adding.keeps_views:
            files = views_of(journey, wanted_views(journey, [number for number, _, _ in adding.numbers], snapshot))
        return adding.run(files)

    def query(self, image: Any, *, verify: bool = True) -> list[Twin]:
        """The samples that show the same picture.

        Parameters
        ----------
        image : bytes, path, PIL.Image.Image or ndarray of uint8, shape (height, width, 3)
            Encoded, or pixels, which are then compared as a PNG.
        verify : bool
            Ask geometry about pairs in doubt; without, only sure ones count.

        Returns
        -------
        list of Twin
            Those compared with the picture, then the others of their duplicate groups.

        Raises
        ------
        UsageError
            The image cannot be read.
        """
        return twins_of_image(self._snapshot, encoded(image), verify=verify)

    def query_key(self, key: str, *, source: str | None = None) -> list[Twin]:
        """The twins of a sample of the index, found when it or they were added.

        Raises
        ------
        UsageError
            There is none of that key, or there are several.
        """
        entries = self._of_keys([key], source)
        if len(entries) > 1:
            named = ", ".join(sorted({self._snapshot.state.shards[self._shard(each)].source for each in entries}))
            raise UsageError(f"{len(entries)} samples have the key {key!r}, from {named}; name the source")
        return twins_of_entry(self._snapshot, int(entries[0]))

    def groups(self) -> pa.Table:
        """Members of all duplicate groups: ``group`` (entry number of its first), ``entry``, key, source and shard."""
        group_of = self._snapshot.group_of
        members = np.flatnonzero(group_of >= 0)
        members = members[np.lexsort((members, group_of[members]))]
        return pa.table({"group": group_of[members], "entry": members, **self._names(members)})

    def pairs(self) -> pa.Table:
        """All pairs with their keys, ``a`` and ``b``, entry numbers and evidence, as `dedupkit.sample.PAIRS` has it."""
        return self._named(self._snapshot.pairs())

    def look_alikes(self) -> pa.Table:
        """What looks alike and is no copy, or was not verified, in the columns of `pairs`."""
        return self._named(self._snapshot.look_alikes())

    def faults(self) -> pa.Table:
        """Samples without a usable image: ``entry``, key, source, shard, reason and detail."""
        faulty = self._snapshot.entries["fault"].is_valid().to_numpy() & self._snapshot.living
        rows = np.flatnonzero(faulty)
        table = self._snapshot.entries.take(pa.array(rows))
        return pa.table({"entry": rows, **self._names(rows), "reason": table["fault"], "detail": table["detail"]})

    def remove(self, *, keys: Iterable[str] = (), source: str | None = None, like: Iterable[Any] = ()) -> pa.Table:
        """Take samples out of the index.

        Parameters
        ----------
        keys : iterable of str
            Samples by their keys, of every source or of `source`.
        source : str, optional
            The source of the keys.
        like : iterable of images
            Pictures as `query` takes them: all their twins go, the others of their groups too.

        Returns
        -------
        pyarrow.Table
            What was removed: ``entry``, key, source and shard.  Nothing is compared with it any more; a group that it
            held together falls apart.  `compact` gives its room back.

        Raises
        ------
        UsageError
            No sample has such a key, or another process is writing.
        """
        with alone_in(self._folder):
            self.refresh()
            snapshot, keys = self._snapshot, list(keys)
            clear_leftovers(self._folder, snapshot.state.names)
            wanted = set(self._of_keys(keys, source).tolist()) if keys else set()
            wanted |= {twin.entry for image in like for twin in self.query(image)}
            gone = np.array(sorted(wanted), np.int64)
            told = pa.table({"entry": gone, **self._names(gone)})
            removed = np.union1d(snapshot.removed, gone).astype(np.int64)
            name = f"removed-{snapshot.state.generation + 1:06d}.arrow"
            file = write_table(self._folder, name, pa.table({"entry": removed}), (0, snapshot.state.entries))
            write_state(self._folder, snapshot.state.next(files=snapshot.state.files | {"removed": (file,)}))
        self.refresh()
        return told

    def compact(self) -> None:
        """Give back the room of what was removed, and make one file of each kind; no image is read.

        Raises
        ------
        UsageError
            Another process is writing.
        """
        with alone_in(self._folder):
            snapshot = Snapshot.open(self._folder)
            clear_leftovers(self._folder, snapshot.state.names)
            state = compacted(snapshot)
            write_state(self._folder, state)
        self.refresh()

    def info(self) -> dict[str, Any]:
        """What the index is and holds, as ``dedupkit index info --json`` prints it."""
        snapshot, state = self._snapshot, self._snapshot.state
        groups = np.unique(snapshot.group_of[snapshot.group_of >= 0])
        return {
            "samples": len(self),
            "removed": len(snapshot.removed),
            "faulty": self.faults().num_rows,
            "groups": len(groups),
            "pairs": snapshot.pairs().num_rows,
            "look_alikes": snapshot.look_alikes().num_rows,
            "preset": state.recipe["preset"],
            "descriptor": state.chosen.descriptor or "none",
            "expected_samples": state.expected_samples,
            "max_hamming_bits": state.max_hamming_bits,
            "views": state.views,
            "lists_made_at": state.trained_at,
            "list_recall": state.recall,
            "bytes": {kind: sum(file.byte_size for file in files) for kind, files in state.files.items() if files},
            "files": sum(map(len, state.files.values())),
            "sources": sorted({shard.source for shard in state.shards}),
            "generation": state.generation,
        }

    def _of_keys(self, keys: list[str], source: str | None) -> Any:
        entries = self._snapshot.entries
        chosen = pc.is_in(entries["key"], pa.array(keys, pa.string())).to_numpy() & self._snapshot.living
        if source is not None:
            mine = [number for number, shard in enumerate(self._snapshot.state.shards) if shard.source == source]
            chosen &= pc.is_in(entries["shard"], pa.array(mine, pa.int32())).to_numpy()
        found = np.flatnonzero(chosen)
        missing = set(keys) - set(entries["key"].take(pa.array(found)).to_pylist())
        if missing:
            raise UsageError(f"the index holds no sample with the key {min(missing)!r}; `groups` shows keys")
        return found

    def _shard(self, entry: int) -> int:
        return int(self._snapshot.entries["shard"][int(entry)].as_py())

    def _names(self, entries: Any) -> dict[str, pa.Array]:
        """Key, source and shard of entries."""
        table = self._snapshot.entries.select(["key", "shard"]).take(pa.array(entries))
        shards = self._snapshot.state.shards
        number = table["shard"].combine_chunks()
        sources, names = (pa.array([getattr(each, end) for each in shards], pa.string()) for end in ("source", "name"))
        return {"key": table["key"], "source": sources.take(number), "shard": names.take(number)}

    def _named(self, pairs: pa.Table) -> pa.Table:
        ends = {name: pairs[name].to_numpy().astype(np.int64) for name in ("a", "b")}
        named = {name: self._names(entries)["key"] for name, entries in ends.items()}
        rest = {name: pairs[name] for name in pairs.column_names if name not in ends}
        return pa.table(named | {f"{name}_entry": entries for name, entries in ends.items()} | rest)


def _local(path: str | os.PathLike[str]) -> Folder:
    if "://" in os.fspath(path) or "::" in os.fspath(path):
        raise UsageError(f"{os.fspath(path)} is a URL; an index lies in a local folder, for its files are mapped")
    return Folder(str(Path(path).resolve()))


def _name_of(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        named = os.fsdecode(source)
        return public(named) if "://" in named else str(Path(named).resolve())
    return type(source).__name__


def _check_choices(expected_samples: int, views: str) -> None:
    if expected_samples < 1:
        raise UsageError(f"expected_samples must be 1 or more, got {expected_samples}; say how many there will be")
    if views not in ("keep", "none"):
        raise UsageError(f'views must be "keep" or "none", got {views!r}')


def _new_state(recipe: Recipe, expected_samples: int, views: Literal["keep", "none"]) -> State:
    if recipe.descriptor == "given":
        raise UsageError('descriptor must not be "given": an index describes images; name a network')
    looks = bool(recipe.descriptor) and recipe.matching.verify == "geometry"
    radius = max_hamming_bits(recipe.matching, expected_samples)
    return State(recipe_parts(recipe), made_by(recipe), expected_samples, radius, views if looks else "none")


def _check_unbuilt(folder: Folder, fresh: State) -> None:
    state = read_state(folder)
    if state.entries:
        raise UsageError(f"{folder.url} holds an index of {state.entries} samples; add to it, or name another folder")
    if (state.recipe, state.max_hamming_bits, state.views) != (fresh.recipe, fresh.max_hamming_bits, fresh.views):
        raise UsageError(f"{folder.url} holds an empty index of another recipe; remove it, or name another folder")


def _check_recipe(state: State, recipe: Recipe, folder: Folder) -> None:
    given = recipe_parts(recipe)
    changed = [name for name, value in given.items() if state.recipe.get(name) != value]
    if changed:
        raise UsageError(
            f"{folder.url} was built by another recipe ({', '.join(changed)} differ); open it without one, or build an "
            "index by yours"
        )

"""The index that is kept: built once, added to as a set grows, asked about single pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pyarrow as pa

from dedupkit.engines.local import LocalEngine
from dedupkit.errors import UsageError
from dedupkit.guard.enduring import enduring
from dedupkit.index.adding import Added, added_to
from dedupkit.index.asking import Twins, encoded, twins_of_entry, twins_of_image
from dedupkit.index.beginning import check_choices, check_recipe, check_unbuilt, local_folder, name_of, new_state
from dedupkit.index.compacting import compacted
from dedupkit.index.files import write_table
from dedupkit.index.naming import entries_of, names_of, with_keys
from dedupkit.index.snapshot import Snapshot
from dedupkit.index.state import STATE_NAME, read_state, write_state
from dedupkit.index.telling import told
from dedupkit.index.writing import WORK, alone_in, check_new, clear_leftovers
from dedupkit.journey import Journey
from dedupkit.options import resolve_recipe
from dedupkit.parts import silent
from dedupkit.recipe import SourceOptions
from dedupkit.sources import open_source
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder, digest
from dedupkit.unfinished import noted

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

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
    >>> from dedupkit import Recipe
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
        index = cls(local_folder(path), engine=LocalEngine(workers))
        if recipe is not None:
            check_recipe(index._snapshot.state, resolve_recipe(recipe), index._folder)
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
        check_choices(expected_samples, views)
        folder = local_folder(path)
        check_new(folder)
        fresh = new_state(chosen, expected_samples, views)
        with alone_in(folder):
            if folder.exists(STATE_NAME):
                check_unbuilt(folder, fresh)
            else:
                write_state(folder, fresh)
        index = cls(folder, engine=LocalEngine(workers))
        index.add(source, name=name, options=chosen.source, progress=progress)
        return index

    @property
    def path(self) -> str:
        """Its folder."""
        return self._folder.url

    @property
    def recipe(self) -> Recipe:
        """How its samples are fingerprinted, checked and compared."""
        return self._snapshot.state.chosen

    @property
    def snapshot(self) -> Snapshot:
        """What it holds, as it was when it was opened."""
        return self._snapshot

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
            called = name or name_of(source)
            work = digest([called, options.model_dump()])
            clear_leftovers(self._folder, snapshot.state.names, work)
            folder = Folder(f"{self._folder.url}/{WORK}/{work}")
            make = self._journey(snapshot, source, options, folder, progress or silent)
            with noted(folder):
                state, added = enduring(make, lambda journey: added_to(snapshot, journey, called))
            write_state(self._folder, state)
            clear_leftovers(
                self._folder, state.names | snapshot.state.names
            )  # readers may be about to open the old ones
        self.refresh()
        return added

    def _journey(
        self, snapshot: Snapshot, source: Any, options: SourceOptions, work: Folder, observe: Observer
    ) -> Callable[[], Journey]:
        """Makes the journey of a source, which is opened once."""
        recipe = snapshot.state.chosen.model_copy(update={"source": options})
        opened = open_source(source, options, **recipe.limits.of_files, spool_to=work.below("spool"))
        if isinstance(opened, ListSource):
            raise UsageError("a list without images cannot be put into an index; give the images")
        return partial(Journey, opened, recipe, work, self._engine or LocalEngine(), observe, emits=False)

    def query(self, image: Any, *, verify: bool = True) -> Twins:
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
            Those compared with the picture, then the others of their duplicate groups; a `Twins`, which a notebook
            shows as a table.

        Raises
        ------
        UsageError
            The image cannot be read.
        """
        return twins_of_image(self._snapshot, encoded(image), verify=verify)

    def query_key(self, key: str, *, source: str | None = None) -> Twins:
        """The twins of a sample of the index, found when it or they were added.

        Raises
        ------
        UsageError
            There is none of that key, or there are several.
        """
        entries = entries_of(self._snapshot, [key], source)
        if len(entries) > 1:
            named = ", ".join(sorted(set(names_of(self._snapshot, entries)["source"].to_pylist())))
            raise UsageError(f"{len(entries)} samples have the key {key!r}, from {named}; name the source")
        return twins_of_entry(self._snapshot, int(entries[0]))

    def groups(self) -> pa.Table:
        """Members of all duplicate groups: ``group`` (entry number of its first), ``entry``, key, source and shard."""
        group_of = self._snapshot.group_of
        members = np.flatnonzero(group_of >= 0)
        members = members[np.lexsort((members, group_of[members]))]
        return pa.table({"group": group_of[members], "entry": members, **names_of(self._snapshot, members)})

    def pairs(self) -> pa.Table:
        """All pairs with their keys, ``a`` and ``b``, entry numbers and evidence, as `dedupkit.sample.PAIRS` has it."""
        return with_keys(self._snapshot, self._snapshot.pairs())

    def look_alikes(self) -> pa.Table:
        """What looks alike and is no copy, or was not verified, in the columns of `pairs`."""
        return with_keys(self._snapshot, self._snapshot.look_alikes())

    def faults(self) -> pa.Table:
        """Samples without a usable image: ``entry``, key, source, shard, reason and detail."""
        faulty = self._snapshot.entries["fault"].is_valid().to_numpy() & self._snapshot.living
        rows = np.flatnonzero(faulty)
        table = self._snapshot.entries.take(pa.array(rows))
        return pa.table(
            {"entry": rows, **names_of(self._snapshot, rows), "reason": table["fault"], "detail": table["detail"]}
        )

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
            wanted = set(entries_of(snapshot, keys, source).tolist()) if keys else set()
            wanted |= {twin.entry for image in like for twin in self.query(image)}
            gone = np.array(sorted(wanted), np.int64)
            named = pa.table({"entry": gone, **names_of(snapshot, gone)})
            removed = np.union1d(snapshot.removed, gone).astype(np.int64)
            name = f"removed-{snapshot.state.generation + 1:06d}.arrow"
            file = write_table(self._folder, name, pa.table({"entry": removed}), (0, snapshot.state.entries))
            write_state(self._folder, snapshot.state.next(files=snapshot.state.files | {"removed": (file,)}))
        self.refresh()
        return named

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
        return told(self._snapshot)

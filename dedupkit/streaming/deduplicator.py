"""The deduplicator of a stream: an iterator over samples in, first seen out."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dedupkit.engines.local import available_cores
from dedupkit.errors import UsageError
from dedupkit.index.beginning import new_state
from dedupkit.index.kept import EXPECTED_SAMPLES, Index
from dedupkit.options import resolve_recipe
from dedupkit.storage import digest
from dedupkit.streaming.ahead import Pace, ahead
from dedupkit.streaming.checkpoint import Checkpoint
from dedupkit.streaming.decisions import StreamDecision, Tally
from dedupkit.streaming.inputs import Layout
from dedupkit.streaming.log import LOG_VERSION
from dedupkit.streaming.options import StreamOptions
from dedupkit.streaming.passing import Passing, worker_number
from dedupkit.streaming.preparing import Preparing
from dedupkit.streaming.putting import Putting

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dedupkit.recipe import Recipe
    from dedupkit.streaming.judging import Match
    from dedupkit.streaming.preparing import Prepared


class StreamingDeduplicator:
    """Lets the first of all copies through, sample by sample; use one as a function from an iterable to an iterator.

    A sample is dropped if it matches one that was kept before it, by the rules of the recipe; so the same samples stay
    as with `dedupkit.clean` and ``keep.policy = "first"``.  What comes out is the very object that went in.  Each call
    is a pass of its own and begins with nothing remembered, unless there is a `state` folder or a state was loaded.

    Parameters
    ----------
    index : Index or path, optional
        Also drop what an index holds; its recipe is then the stream's.
    recipe : Recipe or path of a TOML file, optional
        How samples are compared and checked; the default recipe, thorough, if left out.
    update : bool
        Put what is kept into the index, every 1,000 samples and at the end.
    image, key : str or int, optional
        The entries of a mapping, or of a tuple, that hold image and name; see docs/streaming.md for what is taken.
    max_entries : int
        How many kept samples are remembered, the newest.  One takes some 150 bytes and its key in memory, 550 more
        with a descriptor; on disk 700 bytes, and 37 KB for geometry.
    expected_samples : int
        For how many samples the radius of near hashes is chosen.
    state : path, optional
        Folder in which what was kept is remembered beyond this pass and process; else it lies in a temporary one.
    shared : bool
        Several processes use the folder `state` at once, and each drops what any of them kept.
    again : "drop" or "keep"
        What becomes of a sample of the same key and bytes as one that was kept, as in a second epoch.
    on_fault : "drop", "keep" or "raise"
        What becomes of samples without a usable image, and of those that a check of the recipe fails.
    on_decision : callable, optional
        Told of each sample with a `StreamDecision`.
    batch_samples, max_wait_s : int, float
        Samples are compared so many at a time, or fewer where they come slowly.
    threads : int, optional
        That decode ahead; one a core if left out, one in a worker of a DataLoader.

    Raises
    ------
    UsageError
        Of an argument that cannot be.

    Examples
    --------
    >>> from dedupkit.demo import example_images
    >>> pictures = [path.read_bytes() for path in sorted(example_images().glob("*.jpg"))[:3]]
    >>> first_seen = StreamingDeduplicator()
    >>> sum(1 for _ in first_seen([*pictures, *pictures])), dict(first_seen.dropped)
    (3, {'exact_duplicate': 3})
    """

    def __init__(
        self,
        index: Index | str | os.PathLike[str] | None = None,
        *,
        recipe: Recipe | str | os.PathLike[str] | None = None,
        update: bool = False,
        image: str | int | None = None,
        key: str | int | None = None,
        max_entries: int = 1_000_000,
        expected_samples: int = EXPECTED_SAMPLES,
        state: str | os.PathLike[str] | None = None,
        shared: bool = False,
        again: Literal["drop", "keep"] = "drop",
        on_fault: Literal["drop", "keep", "raise"] = "drop",
        on_decision: Callable[[StreamDecision], None] | None = None,
        batch_samples: int = 64,
        max_wait_s: float = 1.0,
        threads: int | None = None,
    ) -> None:
        if update and index is None:
            raise UsageError("update needs an index; give one, or leave update out")
        self._options = StreamOptions(
            update=update, layout=Layout(image, key), max_entries=max_entries,
            folder=None if state is None else Path(state).resolve(), shared=shared,
            again=again, on_fault=on_fault, on_decision=on_decision,
            batch_samples=batch_samples, max_wait_s=max_wait_s, threads=threads,
        )  # fmt: skip
        opened = None if index is None else _opened(index, recipe)
        self._index = None if opened is None else opened.path
        self._recipe = resolve_recipe(recipe) if opened is None else opened.recipe
        begun = new_state(self._recipe, expected_samples, "keep")
        self._radius = begun.max_hamming_bits if opened is None else opened.snapshot.state.max_hamming_bits
        self._looks = begun.views == "keep"
        self._rules = {
            "recipe": digest(begun.recipe),
            "version of the fingerprints": digest(begun.made_by),
            "expected_samples": str(self._radius),
            "max_entries": str(max_entries),
            "index": digest(self._index),
            "version of the log": LOG_VERSION,
        }
        self._loaded: Checkpoint | None = None
        self._passing: Passing | None = None
        self._begin(None)

    def _begin(self, loaded: Checkpoint | None) -> None:
        if loaded is None:
            self._tally = Tally()
        else:
            counts = Counter(loaded.dropped), Counter(loaded.faults)
            self._tally = Tally(loaded.seen, loaded.kept, loaded.entries, *counts)

    @property
    def seen(self) -> int:
        """Samples of this pass until now."""
        return self._tally.seen

    @property
    def kept(self) -> int:
        """Those that came out."""
        return self._tally.kept

    @property
    def dropped(self) -> Mapping[str, int]:
        """Those that went, by reason."""
        return self._tally.dropped

    @property
    def faults(self) -> Mapping[str, int]:
        """Samples with a fault, by reason, whatever became of them."""
        return self._tally.faults

    def __getstate__(self) -> dict[str, Any]:
        """What another process begins with.

        Raises
        ------
        UsageError
            The stream has begun here.
        """
        if self._passing is not None:
            raise UsageError("a StreamingDeduplicator is pickled before it is used; make another one for each process")
        return self.__dict__

    def __call__(self, samples: Iterable[Any]) -> Iterator[Any]:
        """Begin a pass over samples, or go on with one whose state was loaded.

        Parameters
        ----------
        samples : iterable
            Of `Sample` objects, mappings, tuples, encoded bytes, Pillow images, arrays or tensors.  After
            `load_state_dict` those from number `seen` on.

        Yields
        ------
        object
            The samples that stay, in their order.

        Raises
        ------
        UsageError
            An item has no image, or the state folder is another's.
        RunError
            A sample has a fault, where that is to be raised.

        Notes
        -----
        Reads ahead by a micro-batch for each thread, and one.
        """
        self._begin(self._loaded)
        return self._pass(samples)

    def _pass(self, samples: Iterable[Any]) -> Iterator[Any]:
        worker, options = worker_number(), self._options
        place, most = options.place(worker), options.max_entries
        passing = Passing(self._recipe, self._radius, most, self._rules, place, options.shared)
        threads = options.threads or (available_cores() if worker is None else 1)
        preparing = Preparing(self._recipe, options.layout, self._looks)
        index = None if self._index is None else Index.open(self._index)
        pace = Pace(options.batch_samples, options.max_wait_s, threads)
        with passing.going(self._loaded), closing(ahead(samples, preparing, pace, self.seen)) as batches:
            self._passing, self._loaded, self._tally.entries = passing, None, passing.memory.count
            putting = Putting(index if options.update else None)
            for items, prepared in batches:
                matches = passing.judge(prepared, None if index is None else index.snapshot)
                for item, decision in zip(items, self._decided(prepared, matches), strict=True):
                    if decision.kept:
                        yield item
                putting.put(prepared, matches)
            putting.rest()

    def _decided(self, prepared: Prepared, matches: list[Match | None]) -> Iterator[StreamDecision]:
        """What becomes of each sample of a batch, counted when it is asked for."""
        options, faults = self._options, (prepared.table[name].to_pylist() for name in ("fault", "fault_detail"))
        for sample, match, *fault in zip(prepared.samples, matches, *faults, strict=True):
            told: Any = tuple(fault)
            decision = self._tally.decide(sample.key, match, told, on_fault=options.on_fault, again=options.again)
            if options.on_decision is not None:
                options.on_decision(decision)
            yield decision

    def state_dict(self) -> dict[str, Any]:
        """The state after the last sample that came out, to be saved with a training checkpoint.

        Returns
        -------
        dict
            Of numbers, strings and bytes.  With a `state` folder it points there, and what it needs of it is not
            removed before the next one is made; without, what is remembered stands in it.

        Raises
        ------
        UsageError
            It would be larger than 256 MB, or the pass depends on other processes or adds to an index.
        """
        if self._options.shared or self._options.update:
            raise UsageError("there is no state of a pass that is shared or updates an index; its folder is what lasts")
        folder, data = (None, None) if self._passing is None else self._passing.state(self._tally.entries)
        counts = self.seen, self.kept, dict(self.dropped), dict(self.faults), self._tally.entries
        return (self._loaded or Checkpoint(self._rules, *counts, folder, data)).to_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next call go on where a state was made; it is given the samples from number `seen` on.

        Raises
        ------
        UsageError
            The state was made by another recipe or limit, or this has no folder and the state needs one.
        """
        loaded = Checkpoint.of(state, self._rules)
        if (loaded.folder is None) != (self._options.folder is None) and loaded.entries:
            raise UsageError(
                f"the state lies in {loaded.folder or 'no folder'}; give the deduplicator the same state=…"
            )
        self._passing = None
        self._loaded = loaded
        self._begin(loaded)


def _opened(index: Index | str | os.PathLike[str], recipe: Recipe | str | os.PathLike[str] | None) -> Index:
    if isinstance(index, Index):
        return index
    return Index.open(index, recipe=recipe)

"""Planning: a sample of a set is cleaned in a temporary folder, and what that took is extrapolated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError
from dedupkit.matching.radius import max_hamming_bits
from dedupkit.options import resolve_recipe
from dedupkit.parts import silent
from dedupkit.planning.counting import count_samples
from dedupkit.planning.machines import Machine
from dedupkit.planning.measuring import measure
from dedupkit.planning.sampling import draw
from dedupkit.planning.whole import Basis, check_size, whole
from dedupkit.recipe import Canaries
from dedupkit.sources import open_source
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    import os

    from dedupkit.parts import Observer
    from dedupkit.planning.result import Plan
    from dedupkit.recipe import Recipe

SAMPLES = 500


def plan(
    source: Any,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    samples: int = SAMPLES,
    rows: int | None = None,
    machine: Machine | str | None = None,
    machines: int = 1,
    progress: Observer | None = None,
) -> Plan:
    """Say what time, memory, disk and money cleaning a set would take, by cleaning a sample of it.

    Parameters
    ----------
    source : path, URL, datasets.Dataset, datasets.IterableDataset or list of samples
        The set; nothing is written to it.  It is listed, and the beginnings of up to 16 shards are read, some four
        times.
    recipe : Recipe or path of a TOML file, optional
        Every choice; the default recipe if left out.  Canaries, which a sample has no room for, are left out.
    samples : int
        How many to clean; fewer if there are no more.
    rows : int, optional
        Samples of the set; counted or estimated if left out.  More than the source holds say that it is a part of the
        set, which has as many more shards.
    machine : Machine or str, optional
        What it would run on: a text such as ``cores=64,memory=256GiB,disk=2TB,price=3.2`` with the price of an hour;
        this machine if left out.
    machines : int
        How many of them; more than one take the engine ray.
    progress : callable, optional
        Told of progress with a `dedupkit.parts.Progress`.

    Returns
    -------
    Plan

    Raises
    ------
    UsageError
        Of a source, recipe or argument that cannot be, of a source without samples, and of one that does not tell how
        many it has.

    Notes
    -----
    Works with one thread, in a temporary folder of about twice the sample's size.  docs/scale.md says how each stage
    is extrapolated.

    Examples
    --------
    >>> from dedupkit import Recipe
    >>> from dedupkit.demo import example_images
    >>> planned = plan(example_images(), recipe=Recipe(preset="fast"), samples=16, machine="cores=8,memory=16GiB")
    >>> int(planned.count.samples.value), planned.samples_read
    (64, 16)
    """
    chosen = _without_canaries(resolve_recipe(recipe))
    if samples < 1:
        raise UsageError(f"samples must be 1 or more, got {samples}; some hundred give narrow intervals")
    check_size(rows, machines)
    where = machine if isinstance(machine, Machine) else Machine.of(machine or "")
    opened = open_source(source, chosen.source, **chosen.limits.of_files)
    if isinstance(opened, ListSource):
        raise UsageError("a plan cleans a sample of images; give the images, without embeddings or hashes")
    observe = progress or silent
    sampled = draw(opened, samples, observe)
    if not sum(each.samples for each in sampled.drawn):
        raise UsageError("the source holds no samples; name a source with images")
    count = count_samples(sampled, rows)  # before anything is cleaned: it may end here
    fitting = _for_a_set_of(chosen, round(count.samples.value))
    with TemporaryFolder() as scratch:
        measured = measure(sampled, fitting, Folder(scratch, durable=False), observe)
    return whole(Basis(measured, sampled, chosen), rows, where, machines)


def _without_canaries(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"canaries": Canaries()})


def _for_a_set_of(recipe: Recipe, samples: int) -> Recipe:
    """The recipe for a sample: its radius is that of the whole set."""
    radius = max_hamming_bits(recipe.matching, samples)
    return recipe.model_copy(update={"matching": recipe.matching.model_copy(update={"max_hamming_bits": radius})})

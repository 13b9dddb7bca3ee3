"""What an attack is handed: the model, and what it was trained on, opened where it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.adapters.generations import Generations
from dedupkit.audit.album import Album
from dedupkit.audit.images import at_size, fitted
from dedupkit.audit.model import Denoiser, Generator, can
from dedupkit.audit.samples import Samples
from dedupkit.audit.training_set import TrainingSet
from dedupkit.canaries.checking import open_output
from dedupkit.storage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.audit.album import Budget
    from dedupkit.audit.options import AuditOptions
    from dedupkit.canaries.manifest import Manifest
    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe
    from dedupkit.storage import Folder


@dataclass
class Asking:
    """One audit under way.

    Attributes
    ----------
    model : object
        What `open_model` gave; `dedupkit.audit.model.can` says what it can.
    data, controls : object
        What the model was trained on, and like images that it never saw, as the caller named them.
    manifest : Manifest or None
        The canaries' private manifest; nothing of it is to be told.
    options, budget, recipe
        Those of the audit.
    work : Folder
        Where tables and drawn images lie.
    engine, observe
        Where tasks run, and who is told of progress.
    """

    model: Any
    data: Any
    controls: Any
    manifest: Manifest | None
    options: AuditOptions
    budget: Budget
    recipe: Recipe | None
    work: Folder
    engine: Engine
    observe: Observer

    @property
    def draws(self) -> bool:
        """Whether the model draws images, or drew them."""
        return isinstance(self.model, Generations) or can(self.model, Generator)

    def batches(self) -> Iterator[NDArray[np.uint8]]:
        """The images that a model drew beforehand, at the size of the first."""
        return (at_size(batch.images, self.size) for batch in self.model.batches())

    def sides(self, count: int) -> tuple[Samples, Samples]:
        """Members and controls that are alike in all but training, as many of both as there are."""
        if self.controls is None and self.manifest is not None:
            return tuple(self._canaries(self.manifest, planted, count) for planted in (True, False))  # type: ignore[return-value]
        rng = np.random.default_rng([self.options.seed, 7])
        pictures = self.training.pictures
        rows = np.sort(rng.permutation(pictures)[:count])
        captions = [self.training.captions[row] for row in rows]
        members = Samples(self.training.images(rows), captions)
        controls = self.control_samples
        return members, controls.rows(np.sort(rng.permutation(len(controls))[:count]))

    def _canaries(self, manifest: Manifest, planted: bool, count: int) -> Samples:
        chosen = (manifest.planted if planted else manifest.controls)[:count]
        return Samples(np.stack([fitted(each.data, self.size) for each in chosen]), [each.caption for each in chosen])

    @cached_property
    def album(self) -> Album:
        """Draws within the budget, and keeps what was drawn."""
        identity = str(getattr(self.model, "identity", ""))
        stage = Stage(self.work.below("drawn"), self.work.below("receipts").below("drawn")) if identity else None
        return Album(self.model, self.budget, stage, identity, self.observe)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures of the model."""
        if can(self.model, Denoiser):
            height, width = self.model.image_size
            return int(height), int(width)
        if isinstance(self.model, Generations):
            images = next(self.model.batches()).images
        else:
            images = next(self.album.parts("size", [None], [0]))
        return images.shape[1], images.shape[2]

    @cached_property
    def training(self) -> TrainingSet:
        """The training set, without canaries."""
        without = () if self.manifest is None else {each.sha256 for each in self.manifest.canaries}
        return TrainingSet.open(
            open_output(self.data), self.size, self.work.below("training"), self.engine, self.observe,
            recipe=self.recipe, without=without,
        )  # fmt: skip

    @cached_property
    def control_samples(self) -> Samples:
        """At most so many controls as membership takes, drawn by chance out of all."""
        controls = TrainingSet.open(
            open_output(self.controls), self.size, self.work.below("controls"), self.engine, self.observe,
            recipe=self.recipe,
        )  # fmt: skip
        rng = np.random.default_rng([self.options.seed, 8])
        rows = np.sort(rng.permutation(controls.pictures)[: self.options.samples])
        return Samples(controls.images(rows), [controls.captions[row] for row in rows])

"""The whole audit of a model: the three attacks and the canaries, one report."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.adapters.generations import Generations
from dedupkit.audit.album import Album, Budget
from dedupkit.audit.canary_findings import ask_about_canaries, look_for_canaries
from dedupkit.audit.extraction_attack import ExtractionOptions, extraction, judge_generations
from dedupkit.audit.images import at_size, fitted
from dedupkit.audit.inpainting_attack import InpaintingOptions, inpainting
from dedupkit.audit.membership_attack import MembershipOptions, membership
from dedupkit.audit.model import Denoiser, Generator, Inpainter, can
from dedupkit.audit.report import Audit
from dedupkit.audit.samples import Samples
from dedupkit.audit.training_set import TrainingSet
from dedupkit.canaries.checking import open_output
from dedupkit.canaries.commitment import commitment_of
from dedupkit.canaries.manifest import read_manifest
from dedupkit.engines.local import LocalEngine
from dedupkit.errors import UsageError
from dedupkit.options import resolve_recipe
from dedupkit.outfolder import alone_in
from dedupkit.parts import Progress, silent
from dedupkit.sources.listing import public
from dedupkit.storage import Folder, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from dedupkit.audit.canary_findings import CanaryFindings
    from dedupkit.audit.extracted import Extraction
    from dedupkit.audit.inpainting_attack import Inpainting
    from dedupkit.audit.membership_result import Membership
    from dedupkit.canaries.manifest import Manifest
    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe

_log = logging.getLogger("dedupkit")

ATTACKS = ("extraction", "inpainting", "membership", "exposure")
_MARK = ".dedupkit/audit.json"
_CHEAP_FIRST = ("exposure", "membership", "inpainting", "extraction")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """How much is asked of a model.

    Parameters
    ----------
    attacks : tuple of str
        Which of `ATTACKS`.
    samples : int
        Training images, and as many controls, that membership is asked of.
    inpainted : int
        The same for inpainting, which costs far more.
    canary_images : int
        Images drawn of each canary's caption, planted or not.
    extraction, inpainting, membership
        The options of each attack.
    show_canaries : bool
        Let the report name canaries and show their pictures; whoever sees it can find them in the set.
    seed : int
        Of the samples that are drawn.
    """

    attacks: tuple[str, ...] = ATTACKS
    samples: int = 500
    inpainted: int = 20
    canary_images: int = 2
    extraction: ExtractionOptions = field(default_factory=ExtractionOptions)
    inpainting: InpaintingOptions = field(default_factory=InpaintingOptions)
    membership: MembershipOptions = field(default_factory=MembershipOptions)
    show_canaries: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for each in self.attacks:
            if each not in ATTACKS:
                raise UsageError(f"attacks must be some of {', '.join(ATTACKS)}, got {each!r}")
        for name in ("samples", "inpainted"):
            if getattr(self, name) < 2:
                raise UsageError(f"{name} must be 2 or more, got {getattr(self, name)}")


def audit(
    model: Any,
    *,
    data: Any,
    out: str | os.PathLike[str] | None = None,
    canaries: str | os.PathLike[str] | None = None,
    passphrase: str | None = None,
    controls: Any = None,
    options: AuditOptions | None = None,
    budget: Budget | None = None,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    engine: Engine | None = None,
    workers: int | None = None,
    progress: Observer | None = None,
    **opening: Any,
) -> Audit:
    """Measure what a trained model gives away of its training set.

    Parameters
    ----------
    model : object
        The model, as `dedupkit.audit.adapters.open_model` takes it: a folder of ``save_pretrained``, a folder of
        images that it drew, ``module:function``, a function or an object.
    data : path, URL or anything that `dedupkit.clean` takes
        What it was trained on: the output folder of `clean`, or any source.
    out : path, optional
        Folder for ``audit.html``, ``audit.json`` and what a later run goes on from; nothing is written without one.
    canaries : path, optional
        The private manifest of the canaries that were planted in the set.
    passphrase : str, optional
        Of the manifest.
    controls : path, URL or anything that `dedupkit.clean` takes, optional
        Images like those of the set that the model never saw, set apart by a coin flip before training.  Without any,
        membership and inpainting are asked about the canaries.
    options : AuditOptions, optional
        What is asked.
    budget : Budget, optional
        What it may cost; what was left out is named.
    recipe : Recipe or path of a TOML file, optional
        How the set is read, and copies in it are found.
    engine, workers, progress
        As for `dedupkit.clean`.
    **opening
        Options of `open_model`, such as ``device`` and ``steps``.

    Returns
    -------
    Audit

    Raises
    ------
    UsageError
        Of a model, set, manifest or option that cannot be.
    """
    from dedupkit.audit.adapters import open_model

    options, budget = options or AuditOptions(), budget or Budget()
    _check_installed()
    manifest = None if canaries is None else read_manifest(canaries, passphrase=passphrase)
    opened = open_model(model, **opening)
    with _work_folder(out) as work:
        asking = _Asking(
            model=opened,
            data=data,
            controls=controls,
            manifest=manifest,
            options=options,
            budget=budget,
            recipe=resolve_recipe(recipe) if recipe is not None else None,
            work=work,
            engine=engine or LocalEngine(workers),
            observe=progress or silent,
        )
        findings, skipped = asking.ask()
        result = Audit(
            model=_named(model),
            data=_named(data),
            findings={name: findings[name] for name in ATTACKS if name in findings},
            skipped={name: skipped[name] for name in ATTACKS if name in skipped},
            asked=_asked(options, budget, opening),
            commitment=None if manifest is None else commitment_of(manifest),
            show_canaries=options.show_canaries,
            about_canaries=controls is None,
        )
        if out is not None:
            result.write(out)
    return result


@dataclass
class _Asking:
    """One audit under way."""

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

    def ask(self) -> tuple[dict[str, Any], dict[str, str]]:
        """What each attack found, and why the others were not made."""
        findings: dict[str, Any] = {}
        skipped: dict[str, str] = {}
        for name in _CHEAP_FIRST:
            why = self._why_not(name)
            if why is None:
                self.observe(Progress(name, 0, 1, 0))
                findings[name] = getattr(self, f"_{name}")()
                self.observe(Progress(name, 1, 1, 0))
            else:
                skipped[name] = why
                _log.info("%s is not asked: %s", name, why)
        return findings, skipped

    def _why_not(self, name: str) -> str | None:
        """Why an attack cannot be made; None if it can."""
        if name not in self.options.attacks:
            return "it was left out of attacks"
        if self.budget.over:
            return "the time of the budget ended"
        if name == "exposure":
            if self.manifest is None:
                return "no manifest of canaries was given; canaries have to be planted before training"
            return None if self._draws or can(self.model, Denoiser) else "the model neither draws nor tells its error"
        if name == "extraction":
            return None if self._draws else "the model cannot draw images"
        if self.controls is None and self.manifest is None:
            return "there are no images that the model never saw: give controls, or the manifest of canaries"
        if name == "membership":
            return None if can(self.model, Denoiser) else "the model cannot be asked for its noise"
        return None if can(self.model, Denoiser) or can(self.model, Inpainter) else "the model cannot fill in images"

    @property
    def _draws(self) -> bool:
        return isinstance(self.model, Generations) or can(self.model, Generator)

    def _exposure(self) -> CanaryFindings:
        manifest = self.manifest
        if manifest is None:
            raise UsageError("canaries cannot be asked about without their manifest; give canaries")
        if isinstance(self.model, Generations):
            return look_for_canaries(self._batches(), manifest, seed=self.options.seed)
        return ask_about_canaries(self._album, manifest, images=self.options.canary_images, seed=self.options.seed)

    def _membership(self) -> Membership:
        members, controls = self._sides(self.options.samples)
        return membership(self.model, members, controls, options=self.options.membership)

    def _inpainting(self) -> Inpainting:
        members, controls = self._sides(self.options.inpainted)
        return inpainting(
            self.model,
            members.images,
            controls.images,
            captions=members.prompts,
            control_captions=controls.prompts,
            options=self.options.inpainting,
            observe=self.observe,
        )

    def _extraction(self) -> Extraction:
        controls = None if self.controls is None else self._controls.images
        if isinstance(self.model, Generations):
            return judge_generations(self._batches(), self._training, self.options.extraction, controls=controls)
        return extraction(self._album, self._training, self.options.extraction, controls=controls)

    def _batches(self) -> Iterator[NDArray[np.uint8]]:
        return (at_size(batch.images, self._size) for batch in self.model.batches())

    def _sides(self, count: int) -> tuple[Samples, Samples]:
        """Members and controls that are alike in all but training, as many of both as there are."""
        if self.controls is None and self.manifest is not None:
            return tuple(self._canaries(self.manifest, planted, count) for planted in (True, False))  # type: ignore[return-value]
        rng = np.random.default_rng([self.options.seed, 7])
        pictures = self._training.pictures
        rows = np.sort(rng.permutation(pictures)[:count])
        captions = [self._training.captions[row] for row in rows]
        members = Samples(self._training.images(rows), captions)
        controls = self._controls
        return members, controls.rows(np.sort(rng.permutation(len(controls))[:count]))

    def _canaries(self, manifest: Manifest, planted: bool, count: int) -> Samples:
        chosen = (manifest.planted if planted else manifest.controls)[:count]
        return Samples(np.stack([fitted(each.data, self._size) for each in chosen]), [each.caption for each in chosen])

    @cached_property
    def _album(self) -> Album:
        identity = str(getattr(self.model, "identity", ""))
        stage = Stage(self.work.below("drawn"), self.work.below("receipts").below("drawn")) if identity else None
        return Album(self.model, self.budget, stage, identity, self.observe)

    @cached_property
    def _size(self) -> tuple[int, int]:
        if can(self.model, Denoiser):
            height, width = self.model.image_size
            return int(height), int(width)
        if isinstance(self.model, Generations):
            images = next(self.model.batches()).images
        else:
            images = next(self._album.parts("size", [None], [0]))
        return images.shape[1], images.shape[2]

    @cached_property
    def _training(self) -> TrainingSet:
        without = () if self.manifest is None else {each.sha256 for each in self.manifest.canaries}
        return TrainingSet.open(
            open_output(self.data), self._size, self.work.below("training"), self.engine, self.observe,
            recipe=self.recipe, without=without,
        )  # fmt: skip

    @cached_property
    def _controls(self) -> Samples:
        """At most so many controls as membership takes, drawn by chance out of all."""
        controls = TrainingSet.open(
            open_output(self.controls), self._size, self.work.below("controls"), self.engine, self.observe,
            recipe=self.recipe,
        )  # fmt: skip
        rng = np.random.default_rng([self.options.seed, 8])
        rows = np.sort(rng.permutation(controls.pictures)[: self.options.samples])
        return Samples(controls.images(rows), [controls.captions[row] for row in rows])


@contextmanager
def _work_folder(out: str | os.PathLike[str] | None) -> Iterator[Folder]:
    """Where tables and drawn images lie: below `out`, so that a later run goes on from there, or for this run alone."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="dedupkit-", ignore_cleanup_errors=True) as scratch:
            yield Folder(scratch, durable=False)
        return
    path = Path(out).resolve()
    if path.exists() and not path.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the audit")
    folder = Folder(str(path))
    names = [name for name in folder.names() if name not in ("audit.html", "audit.json", ".dedupkit")]
    if names and not folder.exists(_MARK):
        raise UsageError(f"{out} holds files that dedupkit did not write ({names[0]}); name an empty or new folder")
    with alone_in(folder):
        folder.write_json(_MARK, {"written_by": "dedupkit audit"})
        yield folder.below(".dedupkit")


def _check_installed() -> None:
    """What the report needs is there: nobody should learn at the end that it is not."""
    missing = [name for name in ("matplotlib", "networkx", "scipy") if find_spec(name) is None]
    if missing:
        raise UsageError(f"an audit needs {' and '.join(missing)}; pip install 'dedupkit[audit]'")


def _named(what: Any) -> str:
    return public(os.fspath(what)) if isinstance(what, (str, os.PathLike)) else type(what).__name__


def _asked(options: AuditOptions, budget: Budget, opening: Mapping[str, Any]) -> dict[str, Any]:
    """The options as plain values."""
    asked = json.loads(json.dumps(asdict(options), default=str))
    budgeted = {"generations": budget.generations, "seconds": budget.seconds, "drawn": budget.drawn}
    return {**asked, "budget": budgeted, "model": {name: str(value) for name, value in opening.items()}}

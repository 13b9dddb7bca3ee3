"""The whole audit of a model: the three attacks and the canaries, one report."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.album import Album, Budget
from dedupkit.audit.extraction import ExtractionOptions, extraction, judge_generations
from dedupkit.audit.inpainting import InpaintingOptions, inpainting
from dedupkit.audit.membership import MembershipOptions, membership
from dedupkit.audit.model import Denoiser, Generator, Inpainter, can
from dedupkit.audit.report import Audit
from dedupkit.audit.samples import Samples
from dedupkit.audit.training_set import TrainingSet
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from dedupkit.canaries.manifest import Manifest
    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe

_log = logging.getLogger("dedupkit")

ATTACKS = ("extraction", "inpainting", "membership", "exposure")
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
    options, budget = options or AuditOptions(), budget or Budget()
    asking = _Asking.of(model, data, canaries, passphrase, controls, options, budget, recipe, progress, opening)
    with _work_folder(out) as work:
        found, skipped = asking.ask(work, engine, workers)
    result = Audit(
        model=str(model) if isinstance(model, (str, os.PathLike)) else type(model).__name__,
        data=str(data) if isinstance(data, (str, os.PathLike)) else type(data).__name__,
        findings={name: found[name] for name in ATTACKS if name in found},
        skipped={name: skipped[name] for name in ATTACKS if name in skipped},
        asked=_asked(options, budget, opening),
        commitment=asking.commitment,
        show_canaries=options.show_canaries,
        about_canaries=asking.manifest is not None and controls is None,
    )
    if out is not None:
        result.write(out)
    return result

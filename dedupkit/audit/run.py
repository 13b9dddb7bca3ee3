"""The whole audit of a model: its attacks, cheapest first, and one report."""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.audit.album import Budget
from dedupkit.audit.asking import Asking
from dedupkit.audit.options import ATTACKS, AuditOptions
from dedupkit.audit.report import Audit
from dedupkit.canaries.commitment import commitment_of
from dedupkit.canaries.manifest import read_manifest
from dedupkit.engines.local import LocalEngine
from dedupkit.errors import UsageError
from dedupkit.options import resolve_recipe
from dedupkit.outfolder import alone_in
from dedupkit.parts import Progress, silent
from dedupkit.plugins import ATTACKS as KNOWN
from dedupkit.sources.listing import public
from dedupkit.storage import Folder
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dedupkit.audit.attacks import Attack
    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe

_log = logging.getLogger("dedupkit")

_MARK = ".dedupkit/audit.json"
_CHEAP_FIRST = ("exposure", "membership", "inpainting", "extraction")  # those that plugins bring come last


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
    attacks = {name: KNOWN.find(name).make() for name in (*_CHEAP_FIRST, *_brought(options))}
    opened = open_model(model, **opening)
    with _work_folder(out) as work:
        asking = Asking(
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
        findings, skipped = _asked_of(asking, attacks)
        result = Audit(
            model=_named(model),
            data=_named(data),
            findings={name: findings[name] for name in (*ATTACKS, *_brought(options)) if name in findings},
            skipped={name: skipped[name] for name in (*ATTACKS, *_brought(options)) if name in skipped},
            asked=_asked(options, budget, opening),
            commitment=None if manifest is None else commitment_of(manifest),
            show_canaries=options.show_canaries,
            about_canaries=controls is None,
            model_notes=tuple(getattr(opened, "notes", ())),
        )
        if out is not None:
            result.write(out)
    return result


def _brought(options: AuditOptions) -> list[str]:
    return [name for name in options.attacks if name not in ATTACKS]


def _asked_of(asking: Asking, attacks: Mapping[str, Attack]) -> tuple[dict[str, Any], dict[str, str]]:
    """What each attack found, and why the others were not made."""
    findings: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for name, attack in attacks.items():
        try:
            why = _why_not(asking, name, attack)
            if why is None:
                asking.observe(Progress(name, 0, 1, 0))
                findings[name] = attack.ask(asking)
                asking.observe(Progress(name, 1, 1, 0))
        except Exception as error:
            if name in ATTACKS:
                raise
            why = str(KNOWN.find(name).failed(error))  # hours of others' answers are not lost for it
        if why is not None:
            skipped[name] = why
            _log.info("%s is not asked: %s", name, why)
    return findings, skipped


def _why_not(asking: Asking, name: str, attack: Attack) -> str | None:
    """Why an attack cannot be made; None if it can."""
    if name not in asking.options.attacks:
        return "it was left out of attacks"
    if asking.budget.over:
        return "the time of the budget ended"
    return attack.why_not(asking)


@contextmanager
def _work_folder(out: str | os.PathLike[str] | None) -> Iterator[Folder]:
    """Where tables and drawn images lie: below `out`, so that a later run goes on from there, or for this run alone."""
    if out is None:
        with TemporaryFolder() as scratch:
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

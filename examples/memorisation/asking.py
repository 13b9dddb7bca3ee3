"""Trains a model on one set, and asks it what it has kept of the pictures."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sets import Pictures, Plan, TrainingSet, picture_of, read_set

from dedupkit.audit.extraction_attack import ExtractionOptions
from dedupkit.audit.inpainting_attack import InpaintingOptions, inpainting
from dedupkit.audit.losses import Queries
from dedupkit.audit.membership_attack import MembershipOptions
from dedupkit.audit.options import AuditOptions
from dedupkit.audit.run import audit
from dedupkit.audit.samples import Samples
from dedupkit.audit.statistics import Curve
from dedupkit.canaries import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from model import Architecture, SmallModel

    from dedupkit.audit.report import Audit
    from dedupkit.recipe import Recipe

SETS = ("repeated", "cleaned", "changed")
OFTEN = 16
"""Pictures that stand at least so often in the set "repeated" are asked about by themselves in all three."""
_QUERIES = Queries(flips=False)  # training mirrors nothing
_INPAINTING = InpaintingOptions(masks=("left",), tries=10, best=2, steps=25, resamplings=1)
_SHUFFLES = 99  # of the test by looks, which takes far longer than the attacks


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is trained and asked.

    Parameters
    ----------
    plan : Plan
        The set.
    width : int
        Of the model.
    steps : int
        Of training, the same for all sets.
    generations : int
        Pictures drawn of each model.
    asked : int
        Pictures that membership is asked of, and as many controls.
    inpainted : int
        The same for inpainting.
    max_l2 : float
        Largest distance of a copy: a third of the paper's, for two digits of 8 x 8 pixels can be 0.07 apart.
    """

    plan: Plan
    width: int
    steps: int
    generations: int
    asked: int
    inpainted: int
    max_l2: float = 0.05


def train_and_audit(
    seed: int, name: str, *, out: Path, size: Size, side: int, conditional: bool, recipe: Recipe
) -> dict[str, Any]:
    """Train on one of `SETS` and audit the model, on one core.

    Parameters
    ----------
    seed, name
        Which set.
    out : Path
        Where sets are, and models and audits go.
    size : Size
        How much.
    side, conditional
        Of the model.
    recipe : Recipe
        How copies are found.

    Returns
    -------
    dict
        What `results` needs, in plain types.
    """
    import torch
    from model import Training, train

    torch.set_num_threads(1)  # a model a core is faster than all cores on one small model
    folder, training = out / f"seed{seed}", Training(steps=size.steps)
    manifest = folder / "changed.canaries.private.json"
    path = folder / ("repeated.parquet" if name == "repeated" else f"{name}/dataset")
    samples = read_set(path, side)
    begun = time.process_time(), time.perf_counter()
    model, loss = train(samples, _architecture(folder, size, side, conditional), training, seed)
    spent = time.process_time() - begun[0], time.perf_counter() - begun[1]
    model.save(folder / f"{name}-model")
    begun = time.process_time(), time.perf_counter()
    found = audit(
        model,
        data=path if name == "repeated" else folder / name,
        out=folder / f"{name}-audit",
        canaries=manifest if name == "changed" else None,
        controls=folder / "controls.parquet",
        options=_options(size, seed),
        recipe=recipe,
        workers=1,
    )
    return {
        "seed": seed,
        "set": name,
        **_counted(samples, manifest),
        "training": asdict(training) | {"loss": loss, "cpu_s": spent[0], "wall_s": spent[1]},
        "extraction": _extracted(found, size.plan),
        "exposure": _exposures(found),
        "by_repetition": _by_repetition(model, folder, size, side),
        "answers": found.answers,
        "limits": {each: list(finding.limits) for each, finding in found.findings.items()},
        "audit": {"cpu_s": time.process_time() - begun[0], "wall_s": time.perf_counter() - begun[1]},
    }


def _architecture(folder: Path, size: Size, side: int, conditional: bool) -> Architecture:
    """The same for all three sets: canaries do not make a grey model see colour."""
    from model import Architecture

    controls = read_set(folder / "controls.parquet", side).images
    grey = bool((controls == controls[..., :1]).all())
    return Architecture(side=side, channels=1 if grey else 3, conditional=conditional, width=size.width)


def _options(size: Size, seed: int) -> AuditOptions:
    return AuditOptions(
        samples=size.asked,
        inpainted=min(20, size.inpainted),
        extraction=ExtractionOptions(generations=size.generations, max_l2=size.max_l2, captions=100, seed=seed),
        inpainting=_INPAINTING,
        membership=MembershipOptions(queries=_QUERIES, permutations=_SHUFFLES, seed=seed),
        seed=seed,
    )


def _counted(samples: TrainingSet, manifest: Path) -> dict[str, int]:
    """How many samples there are, how many pictures they show, how many are further copies, and how many canaries."""
    planted = {each.sha256 for each in read_manifest(manifest).planted}
    shown = [picture_of(key) for key, sha in zip(samples.keys, samples.digests, strict=True) if sha not in planted]
    distinct, count = len(set(shown)), len(samples)
    return {"samples": count, "pictures": distinct, "copies": len(shown) - distinct, "canaries": count - len(shown)}


def _extracted(found: Audit, plan: Plan) -> dict[str, Any]:
    """Pictures that came out, by how often they stand in the set "repeated"."""
    extraction, counts = found.findings["extraction"], plan.counts()
    came = {picture_of(pair.key) for pair in extraction.pairs}
    tried = {picture_of(each.key) for each in extraction.asked} or set(range(plan.pictures))
    if extraction.asked:  # by its caption a picture of another caption may come out too
        came &= tried
    by_count = [
        {
            "repetitions": count,
            "extracted": sum(counts[each] == count for each in came),
            "tried": sum(counts[each] == count for each in tried),
        }
        for count in np.unique(counts).tolist()
    ]
    false = extraction.false_matches
    return {
        "kind": extraction.kind,
        "generations": extraction.generations,
        "max_l2": extraction.max_l2,
        "extracted": len(came),
        "tried": len(tried),
        "by_repetitions": [{key: int(value) for key, value in each.items()} for each in by_count],
        "false_matches": {"successes": false.successes, "trials": false.trials} if false else None,
        "l2": sorted(round(pair.l2, 4) for pair in extraction.pairs),
    }


def _exposures(found: Audit) -> dict[str, Any] | None:
    """Exposure of each planted canary by its repetitions, ascending: nothing that tells which it is."""
    asked = found.findings.get("exposure")
    if asked is None or asked.exposure is None:
        return None
    exposure, losses = asked.exposure, asked.search.losses
    times = losses.repetitions[losses.planted]
    bits = {int(count): np.sort(exposure.standing.exposures[times == count]).tolist() for count in np.unique(times)}
    return {
        "controls": int((~losses.planted).sum()),
        "ceiling_bits": exposure.ceiling_bits,
        "bits": {str(count): values for count, values in bits.items()},
        "p_values": {str(cell.repetitions): cell.corrected for cell in exposure.by_repetitions},
        "trend": exposure.trend,
        "epsilon": None if asked.epsilon is None else asked.epsilon.to_json(),
        "extracted": {str(count): share.to_json() for count, share in asked.search.by_repetitions().items()},
        "false_hits": asked.search.false_hits.to_json(),
    }


def _by_repetition(model: SmallModel, folder: Path, size: Size, side: int) -> dict[str, Any]:
    """Membership and inpainting of the pictures that stood often, and of those that stood once."""
    repeated, counts = read_set(folder / "repeated.parquet", side), size.plan.counts()
    controls = _asked_of(read_set(folder / "controls.parquet", side)).rows(np.arange(size.asked))
    first = {picture_of(key): row for row, key in enumerate(repeated.keys) if key.endswith("-000")}
    found = {}
    for name, chosen in (("often", counts >= OFTEN), ("once", counts == 1)):
        rows = np.array([first[number] for number in np.flatnonzero(chosen)[: size.asked].tolist()])
        members = _asked_of(repeated).rows(rows)
        rebuilt = [each.rows(np.arange(min(size.inpainted, len(each)))) for each in (members, controls)]
        found[name] = {"membership": _told(model, members, controls), "inpainting": _rebuilt(model, *rebuilt)}
    return found


def _asked_of(pictures: Pictures) -> Samples:
    return Samples(pictures.images, pictures.captions)


def _told(model: SmallModel, members: Samples, controls: Samples) -> dict[str, Any]:
    """How well the loss tells members from controls, as in `dedupkit.audit.membership`."""
    curve = Curve(*(-_QUERIES.losses(model, each).mean(axis=1) for each in (members, controls)))
    low, high = curve.auc_interval
    at = curve.at(0.01).to_json()
    return {"auc": curve.auc, "low": low, "high": high, "members": len(members), "at": at}


def _rebuilt(model: SmallModel, members: Samples, controls: Samples) -> dict[str, Any]:
    result = inpainting(
        model,
        members.images,
        controls.images,
        captions=members.prompts,
        control_captions=controls.prompts,
        options=_INPAINTING,
    )
    apart, low, high = result.difference
    return {"difference": apart, "low": low, "high": high, "p_value": result.p_value, "auc": result.curve.auc}

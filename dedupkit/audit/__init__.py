"""What a trained model gives away: extraction, inpainting, membership, and the exposure of planted canaries.

`audit` asks for all four and writes one report; each attack can be called by itself.  After Carlini et al. 2023 (arXiv
2301.13188).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dedupkit.audit.adapters import Generations, open_model
    from dedupkit.audit.album import Album, Budget
    from dedupkit.audit.attacks import Finding
    from dedupkit.audit.canary_exposure import exposure
    from dedupkit.audit.canary_loss import canary_losses
    from dedupkit.audit.canary_search import found_among
    from dedupkit.audit.epsilon import epsilon_lower_bound
    from dedupkit.audit.extraction_attack import ExtractionOptions, extraction, judge_generations
    from dedupkit.audit.inpainting_attack import InpaintingOptions, inpainting
    from dedupkit.audit.lira import Shadows
    from dedupkit.audit.membership_attack import MembershipOptions, membership
    from dedupkit.audit.model import Denoiser, Generator, Inpainter, Prediction
    from dedupkit.audit.options import AuditOptions
    from dedupkit.audit.report import Audit
    from dedupkit.audit.run import audit
    from dedupkit.audit.samples import Samples
    from dedupkit.audit.splits import half_splits
    from dedupkit.audit.training_set import TrainingSet

_PUBLIC = {
    "Album": "album",
    "Audit": "report",
    "AuditOptions": "options",
    "Budget": "album",
    "Denoiser": "model",
    "ExtractionOptions": "extraction_attack",
    "Finding": "attacks",
    "Generations": "adapters",
    "Generator": "model",
    "Inpainter": "model",
    "InpaintingOptions": "inpainting_attack",
    "MembershipOptions": "membership_attack",
    "Prediction": "model",
    "Samples": "samples",
    "Shadows": "lira",
    "TrainingSet": "training_set",
    "audit": "run",
    "canary_losses": "canary_loss",
    "epsilon_lower_bound": "epsilon",
    "exposure": "canary_exposure",
    "extraction": "extraction_attack",
    "found_among": "canary_search",
    "half_splits": "splits",
    "inpainting": "inpainting_attack",
    "judge_generations": "extraction_attack",
    "membership": "membership_attack",
    "open_model": "adapters",
}

__all__ = [
    "Album",
    "Audit",
    "AuditOptions",
    "Budget",
    "Denoiser",
    "ExtractionOptions",
    "Finding",
    "Generations",
    "Generator",
    "Inpainter",
    "InpaintingOptions",
    "MembershipOptions",
    "Prediction",
    "Samples",
    "Shadows",
    "TrainingSet",
    "audit",
    "canary_losses",
    "epsilon_lower_bound",
    "exposure",
    "extraction",
    "found_among",
    "half_splits",
    "inpainting",
    "judge_generations",
    "membership",
    "open_model",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'dedupkit.audit' has no attribute {name!r}")
    value = getattr(import_module(f"dedupkit.audit.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

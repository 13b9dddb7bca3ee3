"""How much is asked of a model."""

from __future__ import annotations

from dataclasses import dataclass, field

from dedupkit.audit.extraction_attack import ExtractionOptions
from dedupkit.audit.inpainting_attack import InpaintingOptions
from dedupkit.audit.membership_attack import MembershipOptions
from dedupkit.errors import UsageError
from dedupkit.plugins import ATTACKS as _KNOWN

ATTACKS = tuple(_KNOWN.own)
"""Those of the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """How much is asked of a model.

    Parameters
    ----------
    attacks : tuple of str
        Which of `ATTACKS`, and of those that plugins bring.
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
            if each not in _KNOWN:
                raise UsageError(f"attacks must be some of {', '.join(_KNOWN.names())}, got {each!r}")
        for name in ("samples", "inpainted"):
            if getattr(self, name) < 2:
                raise UsageError(f"{name} must be 2 or more, got {getattr(self, name)}")

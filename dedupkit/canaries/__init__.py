"""Canaries: pictures with captions that no natural set holds, planted before training and asked about after.

After Carlini et al. 2019, "The Secret Sharer" (arXiv 1802.08232).  `make` draws them, `Planting` mixes them into a
source, `verify` finds them again, `strip` takes them out, `prove` shows that they were fixed before training.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dedupkit.canaries.checking import Verification, strip, verify
    from dedupkit.canaries.commitment import check_proof, commitment_of, prove
    from dedupkit.canaries.detectability import Detectability, detect
    from dedupkit.canaries.making import Made, make
    from dedupkit.canaries.manifest import Canary, Manifest, read_manifest, write_manifest
    from dedupkit.canaries.planting import Planting, planting_of

_PUBLIC = {
    "Canary": "manifest",
    "Detectability": "detectability",
    "Made": "making",
    "Manifest": "manifest",
    "Planting": "planting",
    "Verification": "checking",
    "check_proof": "commitment",
    "commitment_of": "commitment",
    "detect": "detectability",
    "make": "making",
    "planting_of": "planting",
    "prove": "commitment",
    "read_manifest": "manifest",
    "strip": "checking",
    "verify": "checking",
    "write_manifest": "manifest",
}

__all__ = [
    "Canary",
    "Detectability",
    "Made",
    "Manifest",
    "Planting",
    "Verification",
    "check_proof",
    "commitment_of",
    "detect",
    "make",
    "planting_of",
    "prove",
    "read_manifest",
    "strip",
    "verify",
    "write_manifest",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'dedupkit.canaries' has no attribute {name!r}")
    value = getattr(import_module(f"dedupkit.canaries.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

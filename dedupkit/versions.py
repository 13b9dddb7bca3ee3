"""Versions of what the bytes of an output depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedupkit._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

_DECIDING_PACKAGES = ("ftfy", "numpy", "phonenumbers", "pillow", "pyarrow", "simplejpeg")


def weights_of(descriptor: str) -> dict[str, str]:
    """The SHA-256 of the ONNX file that a recipe names, as the recipe beside the output holds it."""
    if ".onnx" not in descriptor.lower():
        return {}
    from dedupkit.fingerprints.descriptors import open_describer

    sha256 = getattr(open_describer(descriptor), "sha256", None)
    return {} if sha256 is None else {"descriptor_sha256": sha256}


def versions() -> Mapping[str, str]:
    """Versions of what an output depends on."""
    from importlib import metadata

    return {"dedupkit": __version__} | {name: metadata.version(name) for name in _DECIDING_PACKAGES}

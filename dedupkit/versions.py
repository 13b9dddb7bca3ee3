"""Versions of what the bytes of an output depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedupkit._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

_DECIDING_PACKAGES = ("ftfy", "numpy", "phonenumbers", "pillow", "pyarrow", "simplejpeg")


def versions() -> Mapping[str, str]:
    """Versions of what an output depends on."""
    from importlib import metadata

    return {"dedupkit": __version__} | {name: metadata.version(name) for name in _DECIDING_PACKAGES}

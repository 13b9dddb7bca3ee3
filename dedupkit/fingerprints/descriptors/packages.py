"""Packages that only some descriptors need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dedupkit.errors import UsageError


def imported(module: str, extra: str, descriptor: str) -> Any:
    """Import a module that an extra brings.

    Raises
    ------
    UsageError
        It is not there; the text has the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        remedy = f"pip install 'dedupkit[{extra}]'"
        raise UsageError(f"descriptor {descriptor} needs a package that is missing ({error}); {remedy}") from error

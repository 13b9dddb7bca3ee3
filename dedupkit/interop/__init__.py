"""Other tools' results in, results in other tools' formats out; none of those tools is needed for either."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dedupkit.interop.cleanvision import duplicates_of_cleanvision, overrides_of_cleanvision
    from dedupkit.interop.fastdup import duplicates_of_fastdup
    from dedupkit.interop.fiftyone import to_fiftyone
    from dedupkit.interop.imagededup import duplicates_of_encodings, to_duplicates
    from dedupkit.interop.label_studio import overrides_from_label_studio, to_label_studio
    from dedupkit.interop.overrides import Override, write_overrides

_PUBLIC = {
    "Override": "overrides",
    "duplicates_of_cleanvision": "cleanvision",
    "duplicates_of_encodings": "imagededup",
    "duplicates_of_fastdup": "fastdup",
    "overrides_from_label_studio": "label_studio",
    "overrides_of_cleanvision": "cleanvision",
    "to_duplicates": "imagededup",
    "to_fiftyone": "fiftyone",
    "to_label_studio": "label_studio",
    "write_overrides": "overrides",
}

__all__ = [
    "Override",
    "duplicates_of_cleanvision",
    "duplicates_of_encodings",
    "duplicates_of_fastdup",
    "overrides_from_label_studio",
    "overrides_of_cleanvision",
    "to_duplicates",
    "to_fiftyone",
    "to_label_studio",
    "write_overrides",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'dedupkit.interop' has no attribute {name!r}")
    value = getattr(import_module(f"dedupkit.interop.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

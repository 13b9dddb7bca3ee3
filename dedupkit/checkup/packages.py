"""Which packages are installed: those that every run needs, and those of the extras."""

from __future__ import annotations

import os
import shlex
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from dedupkit.checkup.result import Extra, Finding

if TYPE_CHECKING:
    from packaging.requirements import Requirement

BRINGS = {
    "audit": "dedupkit audit: what a trained model gives away",
    "azure": "sources and output on az:// and abfs://",
    "browser-tests": "tests of the report's page in a browser",
    "check": "JUnit files of dedupkit check",
    "croissant": "Croissant metadata beside emitted sets",
    "mds": "streaming.StreamingDataset over MDS output",
    "canaries": "encrypted manifests of canaries",
    "diffusers": "audits of diffusers pipelines",
    "docs": "the documentation as a site",
    "documents": "hygiene.documents: pages of text are found",
    "faces": "hygiene.faces: faces are found, and blurred if asked",
    "gcs": "sources and output on gs://",
    "imagededup": "imagededup's CNN as descriptor",
    "nsfw": "hygiene.nsfw: nudity is found",
    "ray": "--engine ray: runs on a cluster",
    "s3": "sources and output on s3://",
    "sscd": "SSCD as descriptor",
    "torch": "descriptors of timm, torchvision and CLIP",
    "webdataset": "streams out of webdataset pipelines",
}
_MODULES = {"faiss-cpu": "faiss", "opencv-python-headless": "cv2", "pillow": "PIL", "tomli-w": "tomli_w"}


def core_modules() -> list[str]:
    """Names by which the packages are imported that every run needs."""
    return [_MODULES.get(each.name, each.name) for each in _requirements() if "extra" not in str(each.marker)]


def core_packages() -> Finding:
    """Whether what every run needs is there, and new enough."""
    wanted = [each for each in _requirements() if "extra" not in str(each.marker) and _applies(each, "")]
    lacking = [word for each in wanted if (word := _lacking(each))]
    if lacking:
        said = f"{len(lacking)} of {len(wanted)} are missing or too old: {', '.join(lacking)}"
        return Finding("packages", "wrong", said, f"{python()} -m pip install --upgrade dedupkit")
    return Finding("packages", "ok", f"all {len(wanted)} that the core needs")


def extras() -> tuple[Extra, ...]:
    """Every extra, and what of it is missing."""
    names = metadata.metadata("dedupkit").get_all("Provides-Extra") or []
    return tuple(_extra(name) for name in sorted(names) if name != "dev")


def python() -> str:
    """This interpreter, as it is called on a command line."""
    return f'"{sys.executable}"' if os.name == "nt" else shlex.quote(sys.executable)


def _extra(name: str) -> Extra:
    wanted = [each for each in _requirements() if _applies(each, name) and not _applies(each, "")]
    missing = tuple(word for each in wanted if (word := _lacking(each)))
    if not wanted:  # such as one that asks for a newer Python
        missing = ("a newer Python",)
    mark = '"' if os.name == "nt" else "'"
    command = f"{python()} -m pip install {mark}dedupkit[{name}]{mark}"
    return Extra(name, BRINGS.get(name, "see docs/dependencies.md"), missing, command)


def _requirements() -> list[Requirement]:
    from packaging.requirements import Requirement  # comes with `datasets`

    return [Requirement(line) for line in metadata.requires("dedupkit") or []]


def _applies(wanted: Requirement, extra: str) -> bool:
    return wanted.marker is None or wanted.marker.evaluate({"extra": extra})


def _lacking(wanted: Requirement) -> str:
    """What is to be said of a package that is missing or too old; empty of one that will do."""
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return wanted.name
    return "" if wanted.specifier.contains(version, prereleases=True) else f"{wanted.name}{wanted.specifier}"

"""Writes docs/licences.md: what dedupkit and its light extras install, and under which licences.

    python docs/licences.py [--check]

pip-licenses reads the licences of what is installed in this environment; with --check nothing is written.  It fails on
a licence that is not in `ALLOWED`, and on a wheel that carries what is under the GPL or LGPL and is not in `CARRIED`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = Path(__file__).resolve().parent / "licences.md"
PROJECT = PAGE.parents[1] / "pyproject.toml"
EXTRAS = ("audit", "canaries", "check", "croissant", "s3", "webdataset")
ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "HPND", "ISC", "MIT", "MIT-0",
        "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
    }
)  # fmt: skip
# What packages say where they do not write as SPDX does.
_SPDX = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd license": "BSD",
    "historical permission notice and disclaimer (hpnd)": "HPND",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
_ELSEWHERE = {"mlcroissant": "Apache-2.0"}  # no word in its wheel; as conda-forge, which reads its sources, lists it
# The one reason that holds for all of these: they are libraries of their own beside the package's code, linked when it
# is loaded, unchanged, and brought by the package's own wheel; dedupkit hands none of them on.
CARRIED = {
    "faiss-cpu": "GCC's runtime libraries: libgfortran and libgomp (GPL-3.0 with GCC's runtime exception), libquadmath "
    "(LGPL-2.1)",
    "numpy": "GCC's runtime libraries: libgfortran (GPL-3.0 with GCC's runtime exception), libquadmath (LGPL-2.1)",
    "opencv-python-headless": "FFmpeg and GCC's libquadmath (LGPL-2.1), libgfortran (GPL-3.0 with the exception)",
    "pillow": "liblzma, of whose sources only tools that are not in the wheel are LGPL-2.1",
    "simsimd": "GCC's runtime library libgomp (GPL-3.0 with GCC's runtime exception)",
    "scipy": "GCC's runtime libraries: libgfortran (GPL-3.0 with GCC's runtime exception), libquadmath (LGPL-2.1)",
}
# The head of a licence, or a component's; others name the GPL to say that they go together with it, or as a choice.
_COPYLEFT = re.compile(
    r"^\s*GNU (?:LESSER |LIBRARY |AFFERO )?GENERAL PUBLIC LICENSE\s*$|\bLGPLv?-?\d|(?<!OR )\bA?GPL-\d", re.M
)
_COPYLEFT_LIBRARY = re.compile(r"lib(gfortran|gomp|quadmath|av(codec|format|util)|sw(resample|scale))\b")
_LICENCE_FILE = re.compile(r"licen[cs]e|copying|notice|third", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Package:
    """One package that is installed.

    Attributes
    ----------
    name, licence, url : str
        As its metadata say; the licence in SPDX's words where it has one.
    """

    name: str
    licence: str
    url: str

    @property
    def allowed(self) -> bool:
        """Whether each licence that it comes under is, or one of those to choose from."""
        together = re.split(r" AND |; ", self.licence)
        return all(any(each.strip("() ") in ALLOWED for each in one.split(" OR ")) for one in together)


def brought(extra: str = "") -> set[str]:
    """Names of all packages that dedupkit with an extra installs here, those that they bring included."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    own = [*project["dependencies"], *project["optional-dependencies"].get(extra, ())]
    waiting = [each for each in map(Requirement, own) if each.marker is None or each.marker.evaluate()]
    seen: dict[str, set[str]] = {}
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), {"", *wanted.extras}
        if not extras <= seen.get(name, set()):
            seen.setdefault(name, set()).update(extras)
            for each in _requirements(name):
                if each.marker is None or any(each.marker.evaluate({"extra": asked}) for asked in extras):
                    waiting.append(each)
    return set(seen)


def packages(names: Iterable[str]) -> list[Package]:
    """What pip-licenses says of some packages, by name."""
    command = [sys.executable, "-m", "piplicenses", "--from=mixed", "--format=json", "--with-system", "--packages"]
    done = subprocess.run([*command, *sorted(names)], capture_output=True, encoding="utf-8", check=True)
    rows = json.loads(done.stdout)
    said = {canonicalize_name(row["Name"]): _spdx(row["License"]) for row in rows}
    licences = said | {name: licence for name, licence in _ELSEWHERE.items() if said.get(name) == "UNKNOWN"}
    return [Package(name, licence, _home(name)) for name, licence in sorted(licences.items())]


def not_allowed(found: Iterable[Package]) -> list[str]:
    """What stands in the way: packages whose licence is not allowed, and copyleft in a wheel that has no reason."""
    wrong = [f"{each.name}: {each.licence} is not allowed" for each in found if not each.allowed]
    carrying = [each.name for each in found if each.name not in CARRIED and any(_copyleft(each.name))]
    return wrong + [
        f"{name}: its wheel carries what is under the GPL or LGPL; say in CARRIED why it may" for name in carrying
    ]


def _requirements(name: str) -> list[Requirement]:
    try:
        return [Requirement(line) for line in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:
        raise SystemExit(f"{name} is not installed; `make licences` installs what it looks at") from None


def _home(name: str) -> str:
    """Where a package is made, or told of; empty where it does not say."""
    urls = [each.partition(", ") for each in metadata.metadata(name).get_all("Project-URL") or []]
    by_label = {label.lower(): url for label, _, url in urls} | {"": metadata.metadata(name).get("Home-page") or ""}
    labels = ("source", "source code", "repository", "github", "homepage", "home", "", "documentation")
    return next((by_label[label] for label in labels if by_label.get(label)), "")


def _spdx(said: str) -> str:
    words = [_SPDX.get(each.strip().lower(), each.strip()) for each in said.split(";")]
    return "; ".join(dict.fromkeys(words))


def _copyleft(name: str) -> Iterator[str]:
    """Files of a package that are under the GPL or LGPL: libraries known by name, and licences of what it carries."""
    for file in metadata.files(name) or []:
        if _COPYLEFT_LIBRARY.match(file.name):
            yield str(file)
        elif _LICENCE_FILE.search(file.name) and not file.name.endswith((".py", ".pyc", ".so", ".csv")):
            path = Path(str(file.locate()))
            if path.is_file() and _COPYLEFT.search(path.read_text(encoding="utf-8", errors="replace")):
                yield str(file)


@cache
def page() -> str:
    """The page, and an error where something is not allowed."""
    core = brought()
    text = [
        "# Licences",
        "<!-- made by docs/licences.py -->",
        "dedupkit is Apache-2.0, and copies no code of others. What it installs is listed here with what that brings "
        "in turn, as pip-licenses reads it on Linux; `make licences` makes this page, and fails on a licence that is "
        f"not one of {', '.join(sorted(ALLOWED))}. MPL-2.0 asks for the source of its own files alone, and these are "
        "used unchanged. [Dependencies](dependencies.md) says why each is there and who keeps it.",
        "",
        "## The core",
        *_table(packages(core)),
    ]
    for extra in EXTRAS:
        more = brought(extra) - core
        text += ["", f"## Extra `{extra}`", *(_table(packages(more)) if more else ["Nothing that the core lacks."])]
    text += [
        "",
        "## Copyleft inside wheels",
        "Some wheels carry libraries of others that are under the GPL or LGPL. The "
        "libraries are files of their own, linked when they are loaded and unchanged, so they can be replaced; "
        "dedupkit links to none of them itself and hands none of them on.",
        "",
        "| wheel | carries |",
        "| --- | --- |",
        *(f"| {name} | {what} |" for name, what in sorted(CARRIED.items())),
        "",
        "The extras that are not listed here (`torch`, `diffusers`, `ray`, …) install hundreds of megabytes, on some "
        "machines with NVIDIA's own libraries; their packages' own licences stand in "
        "[Dependencies](dependencies.md#extras).",
    ]
    return "\n".join(text) + "\n"


def _table(found: list[Package]) -> list[str]:
    if wrong := not_allowed(found):
        raise SystemExit("\n".join(wrong))
    named = [f"[{each.name}]({each.url})" if each.url.startswith("http") else each.name for each in found]
    rows = [f"| {name} | {each.licence} |" for name, each in zip(named, found, strict=True)]
    return ["| package | licence |", "| --- | --- |", *rows]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="fail where the page would change; write nothing")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        raise SystemExit("docs/licences.md is out of date; run `make licences`")


if __name__ == "__main__":
    main()

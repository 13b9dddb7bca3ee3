"""The oldest versions that are tested are those that pyproject.toml allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("audit", "canaries", "check", "webdataset")


def test_every_lower_bound_is_one_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "tests/oldest.txt").read_text(encoding="utf-8"), re.M))
    for line in (
        *project["dependencies"],
        *(each for name in EXTRAS for each in project["optional-dependencies"][name]),
    ):
        wanted = Requirement(line)
        version = tested[canonicalize_name(wanted.name)]
        (least,) = [each.version for each in wanted.specifier if each.operator == ">="]
        said = f"{line}: {version} is tested; run `make test-oldest OLDEST=renew`, and say in pyproject.toml what works"
        assert wanted.specifier.contains(version), said
        assert version == least or version.startswith(f"{least}."), said

"""A check as SARIF 2.1.0, which GitHub's code scanning and editors show beside the files.

The OASIS standard: https://docs.oasis-open.org/sarif/sarif/v2.1.0/.  Libraries that write it have not been kept for
years or check nothing; what a check needs of it is a page of plain data, which tests hold against the schema.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dedupkit._version import __version__
from dedupkit.checking.result import RULES

if TYPE_CHECKING:
    from dedupkit.checking.result import Check, Finding

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_HOME = "https://github.com/dedupkit/dedupkit"


def sarif_of(check: Check) -> dict[str, Any]:
    """One run: a rule for each kind of finding, and a result a finding.

    Findings that a limit allows are notes; those against a limit that does not hold are errors.  Files are named as
    seen from the working folder, or, where they do not lie below it, from the source.
    """
    rules = [name for name in RULES if any(name == each.rule for each in check.outcomes)]
    failed = {(each.rule, each.set) for each in check.outcomes if not each.passed}
    driver = {
        "name": "dedupkit",
        "version": __version__,
        "informationUri": _HOME,
        "rules": [
            {"id": name, "shortDescription": {"text": RULES[name]}, "helpUri": f"{_HOME}/blob/main/docs/check.md"}
            for name in rules
        ],
    }
    results = [_result(each, check.folder, rules, failed) for each in check.findings]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(
    finding: Finding, folder: Path | None, rules: list[str], failed: set[tuple[str, str | None]]
) -> dict[str, Any]:
    told = "\0".join([finding.rule, finding.key, finding.other or "", finding.set or ""])
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": finding.key, "kind": "sample"}]}
    place = _place(finding.key, finding.shard, folder)
    if place is not None:
        location["physicalLocation"] = {"artifactLocation": place, "region": {"startLine": 1}}
    return {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": "error" if (finding.rule, finding.set) in failed else "note",
        "message": {"text": f"{finding.key}: {finding.message}"},
        "locations": [location],
        "partialFingerprints": {"sample/v1": hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()},
    }


def _place(key: str, shard: str, folder: Path | None) -> dict[str, str] | None:
    """The file that a sample is, or stands in; None where the source is no folder, or the file not found in it."""
    name = None if folder is None else next((each for each in (key, shard) if _is_file(folder, each)), None)
    if folder is None or name is None:
        return None
    path, here = (folder / name).resolve(), Path.cwd().resolve()
    if path.is_relative_to(here):
        return {"uri": quote(path.relative_to(here).as_posix()), "uriBaseId": "%SRCROOT%"}
    return {"uri": quote(name), "uriBaseId": "SOURCE"}


def _is_file(folder: Path, name: str) -> bool:
    try:
        return bool(name) and (folder / name).is_file()
    except (OSError, ValueError):  # too long, or with a zero byte: a key is whatever the source says
        return False

"""A check as JUnit XML, which CI servers show as tests: one test case a limit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from dedupkit.checking.result import Check

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


def require_junitparser() -> Any:
    """The library that writes JUnit XML.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import junitparser
    except ImportError as error:
        raise UsageError(f"--junit needs junitparser ({error}): pip install 'dedupkit[check]'") from error
    return junitparser


def junit_of(check: Check) -> bytes:
    """One suite; a limit that does not hold is a failure that names every sample."""
    library = require_junitparser()
    suite = library.TestSuite("dedupkit check")
    for outcome in check.outcomes:
        case = library.TestCase(_text(f"{outcome.name} {outcome.limit}"), classname="dedupkit.check", time=0)
        if not outcome.passed:
            failure = library.Failure(f"{outcome.found} of {check.samples} samples, {outcome.limit}", "limit")
            failure.text = _text("\n".join(f"{each.key}: {each.message}" for each in check.against(outcome)))
            case.result = [failure]
        suite.add_testcase(case)
    xml = library.JUnitXml()
    xml.add_testsuite(suite)
    return bytes(xml.tostring())


def _text(text: str) -> str:
    """Text without what XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)

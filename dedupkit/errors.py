"""What dedupkit raises on purpose, and how the errors of others are quoted; anything else that escapes is a bug."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_DETAIL = 300


class DedupkitError(Exception):
    """Base of every error that dedupkit raises on purpose; its text is one line that ends in a remedy."""


class UsageError(DedupkitError, ValueError):
    """The caller asked for something impossible: a wrong option, path, recipe or source (exit code 2)."""


class RunError(DedupkitError, RuntimeError):
    """The run could not be finished although it was asked for rightly (exit code 1)."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question that a remedy begins with where a name is nearly one of those there are; empty where it is not.

    Examples
    --------
    >>> did_you_mean("finetun", ["finetune", "privacy"])
    'did you mean finetune? '
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}? " if near else ""


def public(url: object) -> str:
    """A path or URL without user, password and query, as messages and shard names may show it."""
    text = re.sub(r"(?<=://)(?:[^/@\s]*:[^@\s]*@|[^/@\s]*@)", "", str(url))
    return re.sub(r"[?#][^?#\s]*=\S*", "", text)


def error_text(error: BaseException) -> str:
    """An error's text as a fault may quote it: one line, no absolute path, no credentials."""
    if isinstance(error, DedupkitError):
        return str(error)
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = public(" ".join(text.split()))
    text = re.sub(r"(?<!\w)[^\s/@:\"']+:[^\s/@\"']+@(?=\w)", "", text)  # user:secret@ of a URL cut to its path
    text = re.sub(r"(?<![\w:/.])/(?:[^\s/'\"]+/)+", "", text)
    return text[:_MAX_DETAIL] or type(error).__name__

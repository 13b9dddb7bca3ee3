"""What dedupkit raises on purpose; anything else that escapes is a bug."""


class DedupkitError(Exception):
    """Base of every error that dedupkit raises on purpose; its text is one line that ends in a remedy."""


class UsageError(DedupkitError, ValueError):
    """The caller asked for something impossible: a wrong option, path, recipe or source (exit code 2)."""


class RunError(DedupkitError, RuntimeError):
    """The run could not be finished although it was asked for rightly (exit code 1)."""

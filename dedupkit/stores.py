"""Object stores and other remote filesystems: how they are opened, and which of their errors are worth another try."""

from __future__ import annotations

import errno
import logging
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from dedupkit.errors import DedupkitError, RunError, UsageError, error_text, public

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenacity import RetryCallState

Answer = TypeVar("Answer")

_log = logging.getLogger("dedupkit")

_TRIES = 6  # ours, around those of the store's own client; their pauses add up to 15 seconds at most
_MAX_WAIT_S = 30
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # one letter is a drive of Windows
_EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "azure"),
}
_WRITE_WHOLE = frozenset({*_EXTRAS, "memory"})
"""Protocols under which an object appears whole or not at all."""
_READ_ONLY = frozenset({"http", "https", "data", "zip", "tar", "git", "github", "gist", "libarchive"})
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "EREMOTEIO", "EBUSY", "EAGAIN", "ETIMEDOUT", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EPIPE"),
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTUNREACH"),
    )
    if hasattr(errno, name)
)
OF_THE_MACHINE = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "EREMOTEIO", "ESTALE", "ENODEV", "ENXIO", "ENOTCONN"),
        *("EMFILE", "ENFILE", "ENOMEM"),
    )
    if hasattr(errno, name)
)
"""Errors of a disk, or of what this process may take, that say nothing about the file they came with."""
_PASSING_KINDS = frozenset(
    {
        *("HTTPClientError", "EndpointConnectionError", "ResponseParserError", "IncompleteReadError"),  # botocore
        *("ClientConnectionError", "ClientPayloadError"),  # aiohttp
        *("ServiceRequestError", "ServiceResponseError"),  # azure.core
        *("TransportError", "ChecksumError"),  # google.auth, gcsfs
    }
)


def is_url(text: str) -> bool:
    r"""Whether a text is a URL or a chain of them, and no path.

    Examples
    --------
    >>> is_url("s3://bucket/set"), is_url(r"C:\\data"), is_url("C://data")
    (True, False, False)
    """
    return _SCHEME.match(text) is not None or "::" in text


def is_remote(url: str) -> bool:
    """Whether a path or URL names something that is not on this machine's own filesystem."""
    return is_url(url) and not url.startswith(("file://", "local://"))


def on_disk(url: str) -> str:
    """A path, or the path that a ``file://`` URL stands for."""
    return re.sub("^(file|local)://(/(?=[A-Za-z]:))?", "", url)  # file:///C:/data is C:/data


def opened(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL that is written to, and the path on it; listings are never remembered.

    Raises
    ------
    UsageError
        The filesystem is unknown, not installed, or cannot be written.
    """
    import fsspec

    protocol = url.partition("://")[0]
    if "::" in url or protocol in _READ_ONLY:
        raise UsageError(f"{public(url)} cannot be written; name a local folder or one on s3://, gs:// or az://")
    options = {"use_listings_cache": False} if protocol in _EXTRAS else {}
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **options, **_patience(protocol))
    except ImportError as error:
        raise missing_package(url, error) from error
    except (ValueError, OSError) as error:
        raise UsageError(f"{public(url)} cannot be opened: {error_text(error)}; check the URL") from error
    if not options:
        filesystem.invalidate_cache()
    return filesystem, str(path).rstrip("/")


def _patience(protocol: str) -> dict[str, Any]:
    """What tells the client of S3 to try more than its default 5 times, unless the environment says how often.

    The clients of the other stores try 6 times (gcsfs) and 4 times (azure) by themselves.
    """
    import fsspec

    told = {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"}.intersection(os.environ)
    if protocol not in ("s3", "s3a") or told or "config_kwargs" in fsspec.config.conf.get("s3", {}):
        return {}
    return {"config_kwargs": {"retries": {"mode": "standard", "max_attempts": 8}}}


def missing_package(url: str, error: ImportError) -> UsageError:
    """The error of a URL whose filesystem is not installed."""
    extra = next((extra for name, extra in _EXTRAS.items() if f"{name}://" in url), None)
    remedy = f"pip install 'dedupkit[{extra}]'" if extra else "install it"
    return UsageError(f"{public(url)} needs a package that is missing ({error_text(error)}); {remedy}")


def writes_whole(filesystem: Any) -> bool:
    """Whether a file that is put there appears whole or not at all; elsewhere it has to be renamed into its place."""
    names = filesystem.protocol
    return not _WRITE_WHOLE.isdisjoint([names] if isinstance(names, str) else names)


def steady(what: str, call: Callable[..., Answer], *arguments: Any, **options: Any) -> Answer:
    """Call something that asks a store, again where the error is one that passes.

    Parameters
    ----------
    what : str
        What fails if it fails, in words: "clean/report.json could not be written".
    call : callable
        Done twice it has to leave what it leaves done once.

    Raises
    ------
    OSError
        What no other try would change, such as a file that is not there, or not to be read by this user.
    RunError
        Any other error, of the last try.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

    retrying = Retrying(
        stop=stop_after_attempt(_TRIES),
        wait=wait_random_exponential(multiplier=0.5, max=_MAX_WAIT_S),
        retry=retry_if_exception(is_passing),
        before_sleep=_say,
        reraise=True,
    )
    try:
        return retrying(call, *arguments, **options)
    except DedupkitError:
        raise
    except Exception as error:
        if type(error).__name__ == "ResourceNotFoundError":  # azure's, of a container
            raise FileNotFoundError(errno.ENOENT, "the container does not exist") from error
        if isinstance(error, OSError) and not is_passing(error):
            raise
        raise failed(what, error) from error  # every client has errors of its own


def read_at_once(filesystem: Any, paths: Sequence[str], most: int | None = None) -> dict[str, bytes | BaseException]:
    """What some small files hold, or their first bytes, asked for at once, or why that cannot be known, by path.

    Raises
    ------
    RunError
        One failed by an error that should have passed and did not.
    """
    if not paths:
        return {}
    how, start = at_once(filesystem), None if most is None else 0
    # ranges: `cat` would first ask of each file whether it is there
    ranges = [start] * len(paths), [most] * len(paths)
    contents = filesystem.cat_ranges(list(paths), *ranges, on_error="return", **how)
    found = dict(zip(paths, contents, strict=True))
    for path, data in found.items():
        if isinstance(data, Exception) and is_passing(data):
            found[path] = steady(f"{public(path)} could not be read", filesystem.cat_file, path, start, most, **how)
    return found


def at_once(filesystem: Any) -> dict[str, Any]:
    """Options of ``cat_file`` by which a small file is one request; s3fs would ask for its size first."""
    return {"max_concurrency": 1} if hasattr(filesystem, "call_s3") else {}


def failed(what: str, error: BaseException) -> RunError:
    """The error of a run whose files cannot be read or written any more."""
    if isinstance(error, PermissionError) or type(error).__name__ == "NoCredentialsError":
        remedy = "check the credentials and permissions, then run again"
    else:
        remedy = f"{first_remedy(error)}run again to go on from the last part"
    return RunError(f"{what}: {error_text(error)}; {remedy}")


def first_remedy(error: BaseException) -> str:
    """What has to be done before another try can end otherwise."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "free some space, then "
    if number == errno.EFBIG:
        return "allow larger files (ulimit -f), then "
    if number in (errno.EMFILE, errno.ENFILE):
        return "allow more open files (ulimit -n), then "
    return "make the disk writable, then " if number == errno.EROFS else ""


def check_machine(error: BaseException, name: str) -> None:
    """Tell an error of the machine from one of the data, which it must not be taken for.

    Raises
    ------
    RunError
        The disk failed, or this process may not have more files or memory: nothing is known of the file `name`.
    """
    if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
        remedy = f"{first_remedy(error)}run again to go on from the last part"
        if error.errno == errno.EIO:
            remedy += ", without that file in the source if the disk has lost it"
        raise RunError(f"{name} could not be read: {error_text(error)}; {remedy}") from error


def is_passing(error: BaseException) -> bool:
    """Whether an error of a store may be gone a moment later: throttling, an error of the server, a lost connection."""
    if isinstance(error, (FileNotFoundError, FileExistsError, PermissionError)):
        return False
    if isinstance(error, (TimeoutError, ConnectionError)):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    if not _PASSING_KINDS.isdisjoint(kind.__name__ for kind in type(error).__mro__):
        return True
    told = [getattr(error, name, None) for name in ("code", "status", "status_code")]
    return any(isinstance(code, int) and (code in (408, 429) or 500 <= code < 600) for code in told)


def abort_uploads(url: str) -> int:
    """Abort what killed runs left of uploads in several pieces below a URL, which S3 would keep and charge for.

    Others clean up by themselves: Google Cloud Storage and Azure forget such pieces after a week.
    """
    filesystem, path = opened(url)
    if not hasattr(filesystem, "call_s3"):
        return 0
    bucket, prefix, _ = filesystem.split_path(path)
    what = f"unfinished uploads below {public(url)} could not be aborted"
    found = steady(what, filesystem.call_s3, "list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/")
    uploads = found.get("Uploads") or []
    for each in uploads:
        named = {"Bucket": bucket, "Key": each["Key"], "UploadId": each["UploadId"]}
        with suppress(FileNotFoundError):
            steady(what, filesystem.call_s3, "abort_multipart_upload", **named)
    return len(uploads)


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if error is not None and state.next_action is not None:
        _log.info("a store failed (%s); asked again in %.1f s", error_text(error), state.next_action.sleep)

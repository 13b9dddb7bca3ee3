"""A real S3 server on this machine that can be told to fail, and a filesystem that does."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SECRET = "wJalrXUtnFEMI-planted-secret"
_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please ask less.</Message></Error>"
_INTERNAL = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We met an error.</Message></Error>"


class Store:
    """Moto's S3 behind a front that counts requests and fails some of them.

    Attributes
    ----------
    failing : float
        Share of requests that fail, by turns as 500, as 503, by a dropped connection, and by an answer that is lost
        after the store has done what was asked.
    hanging : float
        Share of requests that are answered only after `hangs_s`, when nobody waits any more.
    lags : bool
        Whether a listing shows what was there when it was asked for last before this was set: without what was written
        since, and with what was removed.
    knows_conditions : bool
        Whether it heeds ``If-None-Match``, as stores that only look like S3 may not.
    requests : Counter
        Requests by method.
    """

    def __init__(self) -> None:
        self.failing = self.hanging = 0.0
        self.hangs_s = 2.0
        self.lags = False
        self.knows_conditions = True
        self._listings: dict[str, tuple[Any, list[bytes]]] = {}
        self.requests: Counter[str] = Counter()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._rng, self._lock = random.Random(7), threading.Lock()
        self._server = make_server("127.0.0.1", 0, self, True, request_handler=MotoRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not self.knows_conditions:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        with self._lock:
            self.requests[environ["REQUEST_METHOD"]] += 1
            fault = self._rng.randrange(4) if self._rng.random() < self.failing else None
            hangs = self._rng.random() < self.hanging
        if hangs:
            time.sleep(self.hangs_s)
        if fault is None:
            return self._answered(environ, start_response)
        if fault == 1:
            list(self._app(environ, lambda *_: None))  # done, but nobody is told
        else:  # what stays unread would be taken for the next request of this connection
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if fault == 0:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionError
        code, body = ("503 Slow Down", _SLOW_DOWN) if fault == 2 else ("500 Internal Server Error", _INTERNAL)
        start_response(code, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    def _answered(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        query = f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        if environ["REQUEST_METHOD"] != "GET" or "list-type=2" not in query:
            return list(self._app(environ, start_response))
        heads: list[Any] = []
        body = list(self._app(environ, lambda *head: heads.append(head)))
        with self._lock:
            if not self.lags or query not in self._listings:
                self._listings[query] = heads[-1], body
            head, body = self._listings[query]
        start_response(*head)
        return body

    def empty(self) -> None:
        """Forget all that is stored; moto's servers of one process share it."""
        urlopen(Request(f"{self.url}/moto-api/reset", method="POST"), timeout=30).close()

    def stop(self) -> None:
        """End the server."""
        self.failing, self.lags = 0.0, False
        self.empty()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_store() -> Iterator[Store]:
    """A server that the environment points s3fs at, also in processes that are started, with an empty bucket."""
    store = Store()
    store.empty()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", store.url)
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").clear_instance_cache()
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
        yield store
    fsspec.filesystem("s3").clear_instance_cache()
    store.stop()


def contents(url: str) -> dict[str, bytes]:
    """All files below a folder on a store, by their path in it; without the lock."""
    filesystem, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
    files = filesystem.find(root, detail=True)
    paths = [  # a folder whose first file came while it was listed is listed as itself
        path for path, of in files.items() if of["type"] == "file" and not path.endswith("/.dedupkit/lock")
    ]
    return {path[len(root) + 1 :]: filesystem.cat_file(path) for path in paths}


def digests(files: dict[str, bytes]) -> dict[str, str]:
    """Digest of each file."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def local_contents(folder: Path) -> dict[str, bytes]:
    """All files below a local folder, by their path in it; without the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class FaultyFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Local files below ``faulty://``, of which a share of operations fails with EIO or, in writing, with ENOSPC."""

    protocol = "faulty"
    cachable = False
    io_errors = 0.0
    no_space = 0.0
    rng = random.Random(3)
    _disk = LocalFileSystem()

    def _fail(self, *, writing: bool = False) -> None:
        if type(self).rng.random() < self.io_errors:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if writing and type(self).rng.random() < self.no_space:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self._fail()
        return self._disk.ls(self._strip_protocol(path), detail=detail)

    def info(self, path: str, **kwargs: Any) -> Any:
        self._fail()
        return self._disk.info(self._strip_protocol(path))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._fail(writing=True)
        self._disk.makedirs(path, exist_ok=exist_ok)

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        self._fail()
        self._disk.rm(path, recursive=recursive)

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        self._fail(writing=True)
        os.replace(path1, path2)  # noqa: PTH105 - as the filesystem has them

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        self._fail(writing="r" not in mode)
        return _FaultyFile(self, open(path, mode))  # noqa: PTH123 - closed by who opens


class _FaultyFile:
    """A file that fails while it is read or written; what was written before the error stays, half."""

    def __init__(self, filesystem: FaultyFileSystem, file: Any) -> None:
        self._filesystem, self._file = filesystem, file
        self.size = os.fstat(file.fileno()).st_size

    def read(self, size: int = -1) -> bytes:
        self._filesystem._fail()
        return bytes(self._file.read(size))

    def write(self, data: bytes) -> int:
        self._file.write(data[: len(data) // 2])
        self._filesystem._fail(writing=True)
        return len(data[: len(data) // 2]) + int(self._file.write(data[len(data) // 2 :]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _FaultyFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

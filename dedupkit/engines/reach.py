"""Whether the machines that tasks run on see what the one that hands them out sees."""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedupkit.errors import DedupkitError, UsageError
from dedupkit.storage import Folder  # noqa: TC001 - a worker unpickles it

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.sources.base import Shard, Source

_MARK = "reach-"
_SEEN_WITHIN_S = 10.0  # network filesystems may show a new file late


@dataclass(frozen=True, slots=True)
class Reach:
    """What a worker has to find: a mark in the work folder, the source's first sample, the same versions.

    A folder of the same path that is another one on that machine has no such mark.  A source that is not there would
    not end a run: its samples would all be quarantined as unreadable.

    Attributes
    ----------
    folder : Folder
        The work folder.
    mark : str
        Name of the file in it; new for each run, so that no cache of the filesystem knows that it was not there.
    source : Source
        What tasks will read.
    shard : Shard or None
        Its first, None where there is none.
    sample : str
        Digest of what stands first in it.
    versions : mapping of str to str
        Those of the packages that the output's bytes depend on.
    """

    folder: Folder
    mark: str
    source: Source = field(repr=False)
    shard: Shard | None = field(repr=False)
    sample: str
    versions: Mapping[str, str]

    @classmethod
    def laid(cls, folder: Folder, source: Source, shards: Sequence[Shard]) -> Reach:
        """Write a mark into the work folder, and note what else is to be found; earlier runs' marks go."""
        for name in folder.names():
            if name.startswith(_MARK):
                folder.remove(name)
        mark = _MARK + secrets.token_hex(8)
        folder.write_bytes(mark, mark.encode())
        shard = next(iter(shards), None)
        return cls(folder, mark, source, shard, _first_sample(source, shard), _versions())

    def lift(self) -> None:
        """Remove the mark."""
        self.folder.remove(self.mark)

    def check(self) -> None:
        """Look, from where this is called.

        Raises
        ------
        UsageError
            Something cannot be seen from here, or is another.
        """
        host = socket.gethostname()
        self._check_versions(host)
        self._check_folder(host)
        if _first_sample(self.source, self.shard) != self.sample:
            raise UsageError(
                f"node {host} does not see the source as this machine does (shard "
                f"{'' if self.shard is None else self.shard.name}); put it on storage that all nodes mount at the "
                "same path, or name it by a URL such as s3://"
            )

    def _check_versions(self, host: str) -> None:
        here = _versions()
        other = [name for name in self.versions if here.get(name) != self.versions[name]]
        if other:
            had = ", ".join(f"{name} {here.get(name)} instead of {self.versions[name]}" for name in other)
            raise UsageError(f"node {host} has {had}; install the same versions on all nodes, the output depends on it")

    def _check_folder(self, host: str) -> None:
        until, why = time.monotonic() + _SEEN_WITHIN_S, ""
        while True:
            try:
                if self.folder.read_bytes(self.mark) == self.mark.encode():
                    return
            except Exception as error:  # noqa: BLE001 - whatever a filesystem raises, this node does not see it
                why = f"{type(error).__name__}: {error}".partition("\n")[0]
            if time.monotonic() > until:
                raise UsageError(
                    f"node {host} does not see the work folder {self.folder.url} ({why}); all nodes must: put the "
                    "output on a mount they share or name an s3:// URL; find and calibrate work below TMPDIR"
                )
            time.sleep(0.1)


def _first_sample(source: Source, shard: Shard | None) -> str:
    """Digest of the first sample of a shard and of what is wrong with it, or of what reading it raises."""
    if shard is None:
        return ""
    try:
        first = next(iter(source.read(shard)), None)
    except (OSError, DedupkitError) as error:
        return type(error).__name__
    found = None if first is None else (first.key, first.image, first.fault and first.fault.reason)
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _versions() -> dict[str, str]:
    from dedupkit.versions import versions

    return dict(versions())

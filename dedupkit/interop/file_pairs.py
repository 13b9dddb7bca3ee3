"""What other tools say of files, in the terms of a search: files matched with keys, and pairs of them."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.errors import UsageError
from dedupkit.found import Found
from dedupkit.interop.overrides import Override
from dedupkit.sample import PAIRS, Tier

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

_log = logging.getLogger("dedupkit")


@dataclass(frozen=True, repr=False)
class FoundInFiles(Found):
    """What another tool found, with the keys that the files have here.

    Attributes
    ----------
    tool : str
        Which.
    files : tuple of str
        Keys of all files it names, in its order; positions are places in it.
    unmatched : tuple of str
        Files it names that have no key here; nothing is said of them.
    """

    tool: str
    files: tuple[str, ...]
    unmatched: tuple[str, ...]

    def overrides(self) -> list[Override]:
        """What a cleaning run is to drop: all but one of each group, the first in the tool's order.

        As in a cleaning run, a file goes only for one that stays and that it has a pair with.
        """
        near: dict[int, list[int]] = defaultdict(list)
        for a, b in zip(self.pairs["a_position"].to_pylist(), self.pairs["b_position"].to_pylist(), strict=True):
            near[a].append(b)
            near[b].append(a)
        gone: dict[int, int] = {}
        for place in sorted(near):
            stays = min((other for other in near[place] if other < place and other not in gone), default=None)
            if stays is not None:
                gone[place] = stays
        return [
            Override(self.files[place], "drop", f"a copy of {self.files[stays]}, says {self.tool}")
            for place, stays in gone.items()
        ]


@dataclass(frozen=True, slots=True)
class FileKeys:
    """Which sample of a source a file is that another tool names.

    Attributes
    ----------
    root : str or None
        Folder of the images: keys are paths in it.
    keys : mapping of str to str
        Keys by themselves and by themselves without an ending.
    """

    root: PurePath | None
    keys: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, root: str | os.PathLike[str] | None, keys: Iterable[str] | None) -> FileKeys:
        """Matching by a folder, by the source's own keys, or by both.

        Raises
        ------
        UsageError
            Neither is given.
        """
        if root is None and keys is None:
            raise UsageError(
                "nothing says which sample a file is; give root, the folder of images, or the source's keys"
            )
        whole = list(keys or ())
        named = {_bare(key): key for key in whole} | {key: key for key in whole}
        return cls(None if root is None else PurePath(root), named)

    def key(self, path: str) -> str | None:
        """The key of a file; None where there is none.

        Examples
        --------
        >>> FileKeys.of("/data/photos", None).key("/data/photos/cats/1.jpg")
        'cats/1.jpg'
        >>> FileKeys.of(None, ["000000017"]).key("tmp/00000.tar/000000017.jpg")
        '000000017'
        """
        file = PurePath(path)
        if self.root is not None and file.is_relative_to(self.root):
            found = file.relative_to(self.root).as_posix()
            return found if not self.keys else self.keys.get(found)
        if self.root is not None and not self.keys:
            return None if file.is_absolute() else file.as_posix()
        ends = ["/".join(file.parts[start:]) for start in range(len(file.parts))]
        return next((self.keys[each] for end in ends for each in (end, _bare(end)) if each in self.keys), None)

    def all(self, paths: Sequence[str], tool: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """Keys by path, and the paths that have none.

        Raises
        ------
        UsageError
            None of them has one.
        """
        found = {path: key for path in paths if (key := self.key(path)) is not None}
        unmatched = tuple(path for path in paths if path not in found)
        if paths and not found:
            raise UsageError(
                f"none of the {len(paths)} files that {tool} names is a sample here, such as {paths[0]!r}; root must "
                "be the folder it was given, keys those of the source"
            )
        if unmatched:
            _log.warning("%d of %d files that %s names have no key here", len(unmatched), len(paths), tool)
        return found, unmatched


def pairs_table(
    rows: Sequence[tuple[int, int]], tier: Sequence[str], files: Sequence[str], **numbers: Sequence[Any]
) -> pa.Table:
    """Pairs of positions, a < b, in the columns of `dedupkit.Found.pairs`."""
    names = pa.array(files, pa.string())
    a, b = (pa.array([row[end] for row in rows], pa.uint64()) for end in (0, 1))
    given = {"tier": tier, **numbers}
    rest = {
        each.name: pa.array(given[each.name], each.type) if each.name in given else pa.nulls(len(rows), each.type)
        for each in PAIRS
        if each.name not in ("a", "b")
    }
    return pa.table({"a": names.take(a), "b": names.take(b), "a_position": a, "b_position": b} | rest)


def sets_as_pairs(sets: Iterable[Sequence[int]], tier: Tier) -> list[tuple[int, int, str]]:
    """Each member of a set with the first of it."""
    return [(min(group[0], each), max(group[0], each), tier.value) for group in sets for each in group[1:]]


def _bare(name: str) -> str:
    return re.sub(r"\.[A-Za-z0-9]{2,5}$", "", name)

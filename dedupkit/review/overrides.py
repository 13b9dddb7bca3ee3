"""The file of marks that a person made: read, checked, and put together by key."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from dedupkit.errors import UsageError
from dedupkit.fields.values import utf8
from dedupkit.recipe import Overrides as Choice
from dedupkit.sources.listing import error_text, public
from dedupkit.sources.places import place_of
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VERSION = 1
MARKS = pa.schema(
    {
        "key": pa.string(),  # as the decisions have it; each once
        "keep": pa.bool_(),
        "drop": pa.bool_(),
        "keep_group": pa.bool_(),
        "note": pa.string(),  # null where nobody said anything
    }
)
_SHAPE = '{"dedupkit_overrides": 1, "overrides": [{"key": "…", "action": "keep|drop|keep_group"}, …]}'


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    key: str
    action: Literal["keep", "drop", "keep_group"]
    note: str | None = None


_ROWS = TypeAdapter(list[_Row])


@dataclass(frozen=True, slots=True)
class Overrides:
    """Marks of one review.

    Attributes
    ----------
    marks : pyarrow.Table
        In the schema `MARKS`, sorted by key; some 100 bytes a key.
    sha256 : str
        Digest of the file, or of the rows that were given instead.
    file : str or None
        Its name without its folder.
    """

    marks: pa.Table
    sha256: str
    file: str | None = None

    @property
    def identity(self) -> str:
        """Changes with what the marks say; not with their order, or how the file is written."""
        return digest([VERSION, *self.marks.to_pydict().values()])

    @property
    def choice(self) -> Choice:
        """What the resolved recipe says of them."""
        return Choice(file=self.file, sha256=self.sha256)

    @classmethod
    def of(cls, given: str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Overrides:
        """The marks of a file, or of its content: the whole, or its rows.

        Raises
        ------
        UsageError
            It cannot be read, is of another version, or two of its rows contradict each other.
        """
        if isinstance(given, (str, os.PathLike)):
            name, data = _read(os.fspath(given))
            return cls(_marks(_rows(_parsed(data, name), name), name), hashlib.sha256(data).hexdigest(), name)
        whole = given if isinstance(given, Mapping) else {"dedupkit_overrides": VERSION, "overrides": list(given)}
        marks = _marks(_rows(whole, "overrides"), "overrides")
        told = json.dumps(whole, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
        return cls(marks, hashlib.sha256(told.encode()).hexdigest())

    @classmethod
    def chosen(cls, given: Any, choice: Choice) -> Overrides | None:
        """What a caller gave, else what the recipe names; None where neither says anything.

        Raises
        ------
        UsageError
            As of `of`; or the recipe's file is not there, or is not the one of the recipe's digest.
        """
        if given is not None:
            return cls.of(given)
        if choice.file is None:
            if choice.sha256 is not None:
                raise UsageError(
                    f"the recipe was used with marks of sha256 {choice.sha256[:12]}…, which were given in Python; give "
                    "them again, as overrides, or take [overrides] out of the recipe"
                )
            return None
        found = cls.of(choice.file)
        if choice.sha256 not in (None, found.sha256):
            raise UsageError(
                f"overrides {found.file} is not the file that the recipe names: its sha256 is {found.sha256[:12]}…, "
                f"the recipe says {str(choice.sha256)[:12]}…; give the right one with --overrides, or take sha256 out"
            )
        return found


def _read(path: str) -> tuple[str, bytes]:
    """Name without folder, and bytes, of a file on this machine or a store."""
    name = PurePosixPath(public(path).replace(os.sep, "/")).name
    try:
        with place_of(path).file().open() as handle:
            return name, handle.read()
    except OSError as error:
        raise UsageError(
            f"overrides {public(path)} cannot be read: {error_text(error)}; give the file that the report page saved, "
            "with --overrides"
        ) from error


def _parsed(data: bytes, name: str) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"overrides {name} is not JSON: {error_text(error)}; save it anew from the report page"
        ) from error


def _rows(whole: Any, name: str) -> list[_Row]:
    if not isinstance(whole, Mapping) or "dedupkit_overrides" not in whole:
        raise UsageError(f"overrides {name} holds no marks; it must be {_SHAPE}")
    version = whole["dedupkit_overrides"]
    if type(version) is not int or version != VERSION:
        raise UsageError(
            f"overrides {name} is of version {str(version)[:40]!r}, this dedupkit reads {VERSION}; save it anew "
            "from the report page, or update dedupkit"
        )
    if unknown := sorted(map(str, whole.keys() - {"dedupkit_overrides", "overrides"})):
        raise UsageError(f"overrides {name} holds {unknown[0][:80]!r}, which nobody reads; it must be {_SHAPE}")
    try:
        return _ROWS.validate_python(whole.get("overrides"))
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in first["loc"])
        raise UsageError(
            f"overrides {name}: overrides{place}: {first['msg']}, got {str(first['input'])[:80]!r}; it must be {_SHAPE}"
        ) from error


def _marks(rows: Iterable[_Row], name: str) -> pa.Table:
    """The rows put together by key, in its order."""
    actions: dict[str, set[str]] = {}
    notes: dict[str, set[str]] = {}
    for row in rows:
        key = utf8(row.key)
        actions.setdefault(key, set()).add(row.action)
        if row.note and (note := " ".join(utf8(row.note).split())):
            notes.setdefault(key, set()).add(note)
    for key, said in actions.items():
        if "drop" in said and len(said) > 1:
            other = min(said - {"drop"})
            raise UsageError(f"overrides {name} marks {key[:200]!r} both drop and {other}; leave one of the two out")
    keys = sorted(actions)
    columns = [
        keys,
        *([action in actions[key] for key in keys] for action in ("keep", "drop", "keep_group")),
        ["; ".join(sorted(notes[key])) if key in notes else None for key in keys],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, MARKS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=MARKS)

"""What an index is made of: one small file that names all others, replaced whole."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from dedupkit._version import __version__
from dedupkit.errors import RunError, UsageError
from dedupkit.fingerprints.stage import STAGE as FINGERPRINTS_STAGE
from dedupkit.index.files import File  # noqa: TC001 - pydantic evaluates annotations of this module
from dedupkit.matching.cell_means import ListRules
from dedupkit.matching.views import STAGE as VIEWS_STAGE
from dedupkit.recipe import Recipe
from dedupkit.storage import digest

if TYPE_CHECKING:
    from dedupkit.storage import Folder

FORMAT = 1
_FILE_NAME = re.compile(r"\w[\w.-]*")
STATE_NAME = "index.json"
KINDS = ("search", "entries", "pairs", "views", "means", "removed")
_PARTS = ("preset", "limits", "fingerprints", "hygiene", "matching")


@dataclass(frozen=True, slots=True)
class AddedShard:
    """A shard that was added: where from, what changes with its content, and which entries it became."""

    source: str
    name: str
    identity: str
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class State:
    """All that an index is.

    Attributes
    ----------
    recipe : dict
        The parts of the recipe that fingerprints and pairs depend on.
    made_by : dict of str to str
        Versions of what made the fingerprints, and the identity of the descriptor.
    expected_samples : int
        For how many samples the radius was chosen.
    max_hamming_bits : int
        The radius of near hashes.
    views : "keep" or "none"
        Whether what geometry needs of each picture is kept.
    lists : ListRules
        When descriptors are put into lists.
    generation : int
        Counts the changes.
    entries : int
        Samples in it, removed and faulty ones included.
    trained_at : int
        Number of entries that the lists were made at; 0 for no lists.
    recall : float or None
        Share of the nearest descriptors that are found of those that there are, when lists were made.
    files : dict of str to tuple of File
        Of each kind, in the order of entries.
    shards : tuple of AddedShard
        What was added.
    """

    recipe: dict[str, Any]
    made_by: dict[str, str]
    expected_samples: int
    max_hamming_bits: int
    views: Literal["keep", "none"]
    lists: ListRules = field(default_factory=ListRules)
    generation: int = 0
    entries: int = 0
    trained_at: int = 0
    recall: float | None = None
    files: dict[str, tuple[File, ...]] = field(default_factory=lambda: dict.fromkeys(KINDS, ()))
    shards: tuple[AddedShard, ...] = ()

    @property
    def chosen(self) -> Recipe:
        """The recipe by which samples are fingerprinted and compared."""
        return Recipe.of(self.recipe, name=STATE_NAME)

    @property
    def names(self) -> set[str]:
        """Names of all files."""
        return {file.name for files in self.files.values() for file in files}

    def next(self, **changes: Any) -> State:
        """The state after a change."""
        return replace(self, generation=self.generation + 1, **changes)


def recipe_parts(recipe: Recipe) -> dict[str, Any]:
    """The parts of a recipe that an index is bound to."""
    values = recipe.model_dump(mode="json", exclude_none=True)
    return {name: values[name] for name in _PARTS}


def made_by(recipe: Recipe) -> dict[str, str]:
    """What makes the fingerprints of a recipe: those of other makers cannot be compared with them."""
    identity = ""
    if recipe.descriptor:
        from dedupkit.fingerprints.descriptors import open_describer

        identity = open_describer(recipe.descriptor).identity
    return {"fingerprints": FINGERPRINTS_STAGE, "views": VIEWS_STAGE, "descriptor": identity}


def write_state(folder: Folder, state: State) -> None:
    """Replace the state: from here on the index is this one."""
    values = asdict(state) | {"format": FORMAT, "written_by": f"dedupkit {__version__}"}
    folder.write_json(STATE_NAME, values | {"digest": digest(values)})


def read_state(folder: Folder) -> State:
    """Read what the index is.

    Raises
    ------
    UsageError
        There is no index, or it is of another format, or its fingerprints were made by something else.
    RunError
        The file is damaged.
    """
    if not folder.exists(STATE_NAME):
        raise UsageError(f"{folder.url} is no index; make one with `dedupkit index build {folder.url} SOURCE`")
    try:
        values = json.loads(folder.read_bytes(STATE_NAME))
        said, form = values.pop("digest"), values["format"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _damaged(folder) from error
    if form != FORMAT:
        raise UsageError(
            f"{folder.url} is an index of format {form}, written by {values.get('written_by', 'something else')}; "
            f"dedupkit {__version__} reads format {FORMAT}: build it anew, or use the version that wrote it"
        )
    if digest(values) != said:
        raise _damaged(folder)
    try:
        state = _parsed(values)
    except ValueError as error:
        raise _damaged(folder) from error
    _check_makers(folder, state)
    return state


def _damaged(folder: Folder) -> RunError:
    return RunError(f"{folder.url}/{STATE_NAME} is damaged; put back a copy of the index, or build it anew")


def _parsed(values: dict[str, Any]) -> State:
    """The state that JSON holds; a digest that fits proves nothing, for anybody can compute it.

    Raises
    ------
    ValueError
        A value is of another kind, a file would lie outside of the folder, or numbers contradict each other.
    """
    told = {name: value for name, value in values.items() if name not in ("format", "written_by")}
    state: State = _adapter().validate_json(json.dumps(told), strict=True)
    if set(state.files) != set(KINDS):
        raise ValueError(f"kinds of files are {sorted(state.files)}")
    for file in (file for files in state.files.values() for file in files):
        if not _FILE_NAME.fullmatch(file.name) or not 0 <= file.start <= file.stop <= state.entries:
            raise ValueError(f"no file of {state.entries} entries: {file}")
    counts = (state.expected_samples - 1, state.trained_at, state.generation, state.max_hamming_bits)
    if min(counts) < 0 or any(shard.start < 0 or shard.count < 0 for shard in state.shards):
        raise ValueError("a number is negative")
    return state


@lru_cache(maxsize=1)
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(State)


def _check_makers(folder: Folder, state: State) -> None:
    now = made_by(state.chosen)
    changed = [name for name in now if now[name] != state.made_by.get(name)]
    if changed:
        raise UsageError(
            f"{folder.url} was made by another version of: {', '.join(changed)}; new samples cannot be compared with "
            "its entries: build it anew, or use the version that wrote it"
        )

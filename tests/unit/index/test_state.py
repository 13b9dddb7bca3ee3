"""The one file that names all others of an index, as a stranger may hand it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dedupkit.errors import RunError
from dedupkit.index.files import File
from dedupkit.index.state import KINDS, State, made_by, read_state, recipe_parts, write_state
from dedupkit.recipe import Recipe
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Folder, name: str) -> None:
    recipe = Recipe(preset="fast")
    files: dict[str, tuple[File, ...]] = dict.fromkeys(KINDS, ())
    files["entries"] = (File(name, 0, 0, 8),)
    write_state(folder, State(recipe_parts(recipe), made_by(recipe), 1, 31, "none", files=files))


def test_a_state_names_files_of_its_own_folder(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    written(folder, "entries-000001.arrow")
    assert read_state(folder).names == {"entries-000001.arrow"}


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", "a/b.arrow", "..\\secret.arrow", ""])
def test_an_index_that_names_files_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "index"))
    written(folder, name)
    with pytest.raises(RunError, match="is damaged; put back a copy of the index"):
        read_state(folder)

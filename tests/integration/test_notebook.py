"""A real notebook, run by a real kernel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = [
    "import dedupkit, shutil\nfrom pathlib import Path\nfrom dedupkit.demo import example_images",
    "photos = Path('photos'); photos.mkdir()\n"
    "first, second = sorted(example_images().glob('photo-*.jpg'))[:2]\n"
    "for name, file in (('a.jpg', first), ('b.jpg', second), ('copy of a.jpg', first)):\n"
    "    shutil.copy(file, photos / name)",
    "fast = dedupkit.Recipe(preset='fast')\nfound = dedupkit.find_duplicates(photos, recipe=fast)\nfound",
    "found.show(1)",
    "dedupkit.clean(photos, 'clean', recipe=fast)",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The data of what each of the last three cells shows, by MIME type."""
    folder = tmp_path_factory.mktemp("notebook")
    v4: Any = nbformat.v4
    cells = [v4.new_code_cell(cell) for cell in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    ran: Any = client.execute(env=_environment())
    return [shown for cell in ran.cells[2:] for shown in [_shown(cell)]]


def _environment() -> dict[str, str]:
    """The kernel finds what this process finds."""
    import os

    return os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2]), *sys.path[1:]])}


def _shown(cell: Any) -> dict[str, str]:
    (shown,) = [output["data"] for output in cell.outputs if output["output_type"] == "execute_result"]
    return dict(shown)


def test_a_cell_shows_a_search_with_its_pictures(outputs: list[dict[str, str]]) -> None:
    assert outputs[0]["text/html"].count("data:image/jpeg;base64,") == 2
    assert outputs[0]["text/plain"].startswith("Found: 3 samples, 1 duplicate group, 1 spare copy")


def test_a_cell_shows_groups_that_were_asked_for(outputs: list[dict[str, str]]) -> None:
    assert "copy of a.jpg" in outputs[1]["text/html"]
    assert outputs[1]["text/plain"].startswith("Groups 1 to 1 of 1")


def test_a_cell_shows_a_run_with_what_it_kept(outputs: list[dict[str, str]]) -> None:
    assert "dk-kept" in outputs[2]["text/html"]
    assert outputs[2]["text/plain"].startswith("Cleaned: 3 in, 2 kept, 1 dropped")

"""Sets for the tests of the index: pictures and edited copies of them, scattered over folders."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.edits import EDITS
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit import Index

CHANGES = ("exact", "jpeg60", "half", "mirrored", "turned", "crop875", "crop70", "brighter", "framed")
BROKEN = "broken.jpg"


@dataclass
class Families:
    """Folders ``part0`` and so on, and the number of the picture that each file shows."""

    folder: Path
    parts: int
    shown: dict[str, int] = field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        """The folders."""
        return [str(self.folder / f"part{number}") for number in range(self.parts)]

    def kin(self, name: str) -> set[str]:
        """Files that show the same picture."""
        return {other for other, picture in self.shown.items() if picture == self.shown[name]}


def write_families(folder: Path, pictures: int = 70, parts: int = 5) -> Families:
    """Some three files a picture, in folders drawn by chance, and one that is no image."""
    rng, families = np.random.default_rng(5), Families(folder, parts)
    for picture in range(pictures):
        image = draw_picture(picture, 200, 150)
        made = {"original": EDITS["jpeg60"].apply(image, rng)}
        for edit in rng.choice(CHANGES, int(rng.integers(0, 5)), replace=False).tolist():
            made[edit] = made["original"] if edit == "exact" else EDITS[edit].apply(image, rng)
        for edit, data in made.items():
            place = folder / f"part{rng.integers(0, parts)}" / f"{picture:03d}-{edit}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            families.shown[place.name] = picture
    (folder / "part1" / BROKEN).write_bytes(b"\xff\xd8\xff no image")
    return families


def told(index: Index) -> dict[str, Any]:
    """All that an index found, by entry numbers."""
    columns = ("a_entry", "b_entry", "tier", "hamming_bits", "orientation", "trimmed", "cosine", "inliers", "score")
    return {
        "samples": len(index),
        "groups": index.groups().select(["group", "entry"]).to_pylist(),
        "pairs": index.pairs().select(columns).to_pylist(),
        "look_alikes": index.look_alikes().select(columns).to_pylist(),
        "faults": index.faults().select(["entry", "reason"]).to_pylist(),
    }


def name(key: str) -> str:
    """The file's name without its folder."""
    return key.rpartition("/")[2]


def copy(index: Path, place: Path) -> Path:
    """A copy of an index."""
    shutil.copytree(index, place)
    return place

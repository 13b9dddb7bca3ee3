"""Sets on disk that models with known answers were trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from dedupkit.audit.training_set import TrainingSet
from dedupkit.engines.local import LocalEngine
from dedupkit.storage import Folder
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.parts import Progress

SIDE = 16


@dataclass
class Trained:
    """Drawn pictures, of which number n < 4 stands 2**n times; in the order of their files."""

    folder: Path
    images: np.ndarray  # as often as they stand
    captions: tuple[str, ...]
    controls: np.ndarray
    seen: list[Progress] = field(default_factory=list)

    def open(self, work: Path, **more: Any) -> TrainingSet:
        folder = Folder(str(work), durable=False)
        return TrainingSet.open(str(self.folder), (SIDE, SIDE), folder, LocalEngine(1), self.seen.append, **more)


def small_picture(seed: int) -> np.ndarray:
    return np.asarray(draw_picture(seed, 64, 64).resize((SIDE, SIDE), Image.Resampling.BOX).convert("RGB"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    images, captions = [], []
    for number in range(24):
        pixels = small_picture(number)
        for copy in range(2**number if number < 4 else 1):
            stem = folder / f"{number:02d}-{copy}"
            Image.fromarray(pixels).save(stem.with_suffix(".png"))
            stem.with_suffix(".txt").write_text(f"picture number {number}")
            images.append(pixels)
            captions.append(f"picture number {number}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    controls = np.stack([small_picture(1000 + number) for number in range(30)])
    return Trained(folder, np.stack(images), tuple(captions), controls)

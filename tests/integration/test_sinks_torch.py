"""The code of docs/training.md, run against a written set."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from dedupkit.sinks import make_sink
from dedupkit.sinks.base import KeptSample, WrittenPart
from dedupkit.storage import Folder

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def kept(number: int) -> KeptSample:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), (number, 90, 200)).save(buffer, "png")
    return KeptSample(str(number), buffer.getvalue(), "png", f"wall {number}" if number else None, 20, 10, 1, {})


def blocks() -> dict[str, str]:
    """Code blocks of the page by the heading they stand under."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        section.splitlines()[0]: "\n".join(re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL))
        for section in sections
    }


@pytest.fixture
def trained_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the page's first block leaves behind."""
    sink = make_sink("arrow")
    folder = Folder(str(tmp_path / "clean")).below(sink.folder)
    with folder.writing(sink.part_name(0)) as handle:
        sink.write_part(handle, map(kept, range(10)), pa.schema([]))
    sink.finish(folder, [WrittenPart(sink.part_name(0), 10, sha256="0")], pa.schema([]))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(blocks()["# Training from the cleaned set"], names)
    return names


@pytest.mark.extras
def test_a_torch_data_loader_reads_the_set(trained_from: dict[str, object]) -> None:
    exec(blocks()["PyTorch: a DataLoader with random access"], trained_from)


def test_an_iterable_dataset_reads_the_set(trained_from: dict[str, object]) -> None:
    exec(blocks()["Streaming: an iterable dataset"], trained_from)


def test_encoded_bytes_are_read_from_the_set(trained_from: dict[str, object]) -> None:
    exec(blocks()["Bytes instead of pixels"], trained_from)

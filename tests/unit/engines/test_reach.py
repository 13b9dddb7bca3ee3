"""What a machine must see before it may take tasks."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dedupkit.engines import reach as module
from dedupkit.engines.reach import Reach
from dedupkit.errors import UsageError
from dedupkit.sources import open_source
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SEEN_WITHIN_S", 0.2)


def write_tar(path: Path, image: bytes = b"\xff\xd8 not much of a picture") -> Path:
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("000.jpg")
        member.size = len(image)
        tar.addfile(member, io.BytesIO(image))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Any:
    return open_source(str(write_tar(tmp_path / "00000.tar")))


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_who_sees_the_same_is_not_refused_and_nothing_is_left(source: Any, tmp_path: Path, scheme: str) -> None:
    folder = Folder.at(f"{scheme}{tmp_path}/work")
    reach = Reach.laid(folder, source, source.shards())
    reach.check()
    assert folder.names() == [reach.mark]
    again = Reach.laid(folder, source, source.shards())
    assert folder.names() == [again.mark] != [reach.mark]
    again.lift()
    assert folder.names() == []


def test_another_folder_of_the_same_path_is_refused(source: Any, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "work"))
    reach = Reach.laid(folder, source, source.shards())
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    (tmp_path / "work").mkdir()
    with pytest.raises(UsageError, match=r"does not see the work folder .* s3:// URL") as caught:
        reach.check()
    assert "\n" not in str(caught.value)
    (tmp_path / "work" / reach.mark).write_bytes(b"of another run")
    with pytest.raises(UsageError, match="does not see the work folder"):
        reach.check()


def test_a_folder_that_shows_late_is_waited_for(source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Timer

    monkeypatch.setattr(module, "_SEEN_WITHIN_S", 5.0)
    reach = Reach.laid(Folder(str(tmp_path / "work")), source, source.shards())
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    timer = Timer(0.5, (tmp_path / "elsewhere").rename, [tmp_path / "work"])
    timer.start()
    reach.check()
    timer.join()


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: write_tar(path, b"another picture")])
def test_a_source_that_is_not_there_or_another_is_refused(source: Any, tmp_path: Path, change: Any) -> None:
    reach = Reach.laid(Folder(str(tmp_path / "work")), source, source.shards())
    change(tmp_path / "00000.tar")
    with pytest.raises(UsageError, match=r"does not see the source as this machine does \(shard 00000\)"):
        reach.check()


def test_other_versions_are_refused_by_name(source: Any, tmp_path: Path) -> None:
    reach = Reach.laid(Folder(str(tmp_path / "work")), source, source.shards())
    other = replace(reach, versions={**reach.versions, "pillow": "0.1"})
    with pytest.raises(UsageError, match=r"pillow \S+ instead of 0\.1; install the same versions"):
        other.check()

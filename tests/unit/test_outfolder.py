"""The output folder is ours or it is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dedupkit.errors import UsageError
from dedupkit.outfolder import check, claim


def claimed(out: Path, source: object = None, *, overwrite: bool = False) -> None:
    claim(check(out, source), overwrite=overwrite)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_new_or_empty_folder_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "deep/er/new", "empty"):
        claimed(tmp_path / name)
        assert files(tmp_path / name) == {".dedupkit/dedupkit.json"}


def test_checking_writes_nothing(tmp_path: Path) -> None:
    check(tmp_path / "new", None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_an_earlier_run_is_gone_on_with(tmp_path: Path) -> None:
    claimed(tmp_path)
    (tmp_path / ".dedupkit" / "part").write_bytes(b"1")
    (tmp_path / "report.html.77.partial").write_bytes(b"half")
    claimed(tmp_path)
    assert files(tmp_path) == {".dedupkit/dedupkit.json", ".dedupkit/part"}


def test_overwriting_removes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    claimed(tmp_path)
    for name in (
        "dataset/a.arrow",
        "parquet/p",
        "webdataset/t.tar",
        "report.html",
        "decisions.parquet",
        ".dedupkit/x/y",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "notes.txt").write_bytes(b"mine")
    claimed(tmp_path, overwrite=True)
    assert files(tmp_path) == {"notes.txt", ".dedupkit/dedupkit.json"}


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "precious").write_bytes(b"mine")
    with pytest.raises(UsageError, match="did not write"):
        claimed(tmp_path, overwrite=overwrite)
    assert files(tmp_path) == {"dataset/precious"}


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file"):
        check(tmp_path / "out", None)


@pytest.mark.parametrize(("source", "out"), [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "c/../a/b"), (".", "a")])
def test_source_and_output_do_not_lie_in_each_other(
    source: str, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for each in (source, Path(source)):
        with pytest.raises(UsageError, match="source"):
            check(out, each)


def test_a_link_into_the_source_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "source", target_is_directory=True)
    with pytest.raises(UsageError, match="source"):
        check(tmp_path / "link" / "out", tmp_path / "source")


@pytest.mark.parametrize("source", ["photos", "photos-clean/../photos", "s3://bucket/out", ["a", "b"], 7])
def test_a_source_beside_the_output_is_fine(source: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    claimed(Path("photos-clean"), source)


def test_a_source_in_a_list_is_looked_at_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="source"):
        check(tmp_path / "a" / "out", [str(tmp_path / "b"), str(tmp_path / "a")])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        claimed(tmp_path / "new")
    tmp_path.chmod(0o700)


def test_a_folder_below_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError) as caught:
        claimed(tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)

"""What a path, URL, glob or object is taken for, and what is refused in which words."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dedupkit.errors import UsageError
from dedupkit.sources import open_source
from dedupkit.sources.folder import FolderSource
from dedupkit.sources.listing import error_text, public, stamp_of
from dedupkit.sources.places import expand_braces
from dedupkit.sources.tables import TableSource
from dedupkit.sources.webdataset import WebDatasetSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``shards/`` of three tars with companions, ``tables/data/`` of Parquet, ``photos/`` of images, ``empty/``."""
    for name in ("shards", "tables/data", "photos/2020", "empty"):
        (tmp_path / name).mkdir(parents=True)
    for number in range(3):
        with tarfile.open(tmp_path / "shards" / f"{number:05d}.tar", "w") as tar:
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
        (tmp_path / "shards" / f"{number:05d}.parquet").write_bytes(b"?")
    pq.write_table(pa.table({"image": pa.array([b"x"])}), tmp_path / "tables" / "data" / "train-0.parquet")
    (tmp_path / "photos" / "2020" / "a.JPEG").write_bytes(b"x")
    (tmp_path / "photos" / "2020" / "b.png").write_bytes(b"x")
    return tmp_path


def keys(source: Any) -> list[str]:
    return [sample.key for shard in source.shards() for sample in source.read(shard)]


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("shards", WebDatasetSource, 3),
        ("shards/", WebDatasetSource, 3),
        ("shards/00001.tar", WebDatasetSource, 1),
        ("shards/*", WebDatasetSource, 3),
        ("shards/0000[02].tar", WebDatasetSource, 2),
        ("shards/0000?.tar", WebDatasetSource, 3),
        ("shards/{00000..00001}.tar", WebDatasetSource, 2),
        ("shards/{00002,00000}.tar", WebDatasetSource, 2),
        ("tables", TableSource, 1),
        ("tables/data/*.parquet", TableSource, 1),
        ("photos", FolderSource, 2),
        ("photos/*/*.png", FolderSource, 1),
        ("photos/**/*.[jJ]*", FolderSource, 1),
        ("photos/2020/a.JPEG", FolderSource, 1),
    ],
)
def test_a_path_is_taken_for_what_it_holds(folder: Path, name: str, kind: type, count: int) -> None:
    for written in (f"{folder}/{name}", f"file://{folder}/{name}"):
        source = open_source(written)
        assert isinstance(source, kind)
        assert len(keys(source)) == count


def test_a_path_object_and_a_relative_path_are_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    relative = open_source("photos")
    monkeypatch.chdir("/")
    assert keys(relative) == keys(open_source(folder / "photos")) == ["2020/a.JPEG", "2020/b.png"]


def test_brace_ranges_keep_their_order_and_lists_may_mix_ways_of_naming(folder: Path) -> None:
    shards = folder / "shards"
    assert keys(open_source(f"{shards}/{{00002..00000}}.tar")) == ["2", "1", "0"]
    assert keys(open_source([f"{shards}/0000[12].tar", shards / "00000.tar", shards])) == ["1", "2", "0"]


def test_shard_names_are_paths_below_where_the_pattern_starts(folder: Path) -> None:
    assert next(shard.name for shard in open_source(f"{folder}/sh*/*.tar").shards()) == "shards/00000"
    assert next(shard.name for shard in open_source(f"{folder}/shards/*.tar").shards()) == "00000"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a", ["a"]),
        ("{1..3}", ["1", "2", "3"]),
        ("{08..10}", ["08", "09", "10"]),
        ("x{a,b}y{0..1}", ["xay0", "xay1", "xby0", "xby1"]),
        ("{single}", ["{single}"]),
        ("{a,}", ["a", ""]),
    ],
)
def test_braces_expand_as_in_a_shell(pattern: str, expected: list[str]) -> None:
    assert expand_braces(pattern) == expected


def test_a_range_of_a_billion_files_is_refused() -> None:
    with pytest.raises(UsageError, match="over 1000000 files"):
        open_source("{000000000..999999999}.tar")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "nothing cannot be read: there is no such file or folder; check its name"),
        ("empty", "empty holds no images; give a folder of images, tars"),
        ("empty/*.tar", r"no file matches .*empty/\*\.tar; check the pattern"),
        ("shards/{00001..00009}.tar", r"00003.tar \(of .*\) cannot be read"),
        ("photos.zip", "is an archive that cannot be streamed; unpack it"),
        ("archives", "holds no images; unpack its archives first"),
        ("notes.md", "is neither image, tar nor table"),
    ],
)
def test_what_cannot_be_a_source_is_refused_with_a_remedy(folder: Path, name: str, message: str) -> None:
    (folder / "archives").mkdir()
    for path in (folder / "photos.zip", folder / "archives" / "photos.zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.jpg", b"x")
    (folder / "notes.md").write_text("x")
    with pytest.raises(UsageError, match=message) as caught:
        open_source(f"{folder}/{name}")
    assert "\n" not in str(caught.value)


def test_images_beside_tables_are_refused(folder: Path) -> None:
    (folder / "tables" / "a.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"holds tables \(.*\) and images \(a.jpg\); name one kind with a glob"):
        open_source(folder / "tables")


@pytest.mark.parametrize("thing", [7, None, b"bytes", {"image": b"x"}, object()])
def test_an_object_that_is_no_source_is_refused(thing: object) -> None:
    with pytest.raises(UsageError, match="is no source; give a path or URL"):
        open_source(thing)


def test_a_list_of_image_folders_or_image_files_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="a folder of images is given by itself"):
        open_source([folder / "photos", folder / "shards"])
    with pytest.raises(UsageError, match="give the folder that holds them"):
        open_source([folder / "photos" / "2020" / "a.JPEG"])


def test_something_that_is_a_source_already_is_taken_as_it_is(folder: Path) -> None:
    source = open_source(folder / "photos")
    assert open_source(source) is source


def test_an_unknown_protocol_is_refused_without_showing_credentials() -> None:
    with pytest.raises(UsageError, match=r"nosuch://bucket/a\.tar cannot be opened") as caught:
        open_source("nosuch://user:secret@bucket/a.tar?X-Amz-Signature=abc")
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:se/cret@bucket/a.tar", "s3://bucket/a.tar"),
        ("https://token@host/a.tar?sig=x&e=1", "https://host/a.tar"),
        ("simplecache::https://u:p@host/a.tar#x=1", "simplecache::https://host/a.tar"),
        ("/home/me@work/a.tar", "/home/me@work/a.tar"),
        ("s3://bucket/0?.tar", "s3://bucket/0?.tar"),
    ],
)
def test_messages_show_a_url_without_credentials(url: str, shown: str) -> None:
    assert public(url) == shown


def test_a_faults_text_has_no_absolute_path() -> None:
    assert error_text(OSError("cannot open '/home/me/data/a.jpg'\nnow")) == "cannot open 'a.jpg' now"


def test_a_remote_stamp_changes_with_tag_size_and_time() -> None:
    infos: list[dict[str, Any]] = [
        {"size": 1, "ETag": '"a"'},
        {"size": 1, "ETag": '"b"'},
        {"size": 2, "ETag": '"a"'},
        {"size": 1, "LastModified": 5.0},
        {"size": 1, "LastModified": 6.0},
    ]
    assert len(set(map(stamp_of, infos))) == 5


@pytest.mark.parametrize("prefix", ["", "simplecache::"])
def test_any_fsspec_url_is_read(prefix: str) -> None:
    filesystem = fsspec.filesystem("memory")
    for name in ("x/a.jpg", "x/b.jpg", "c.png"):
        filesystem.pipe(f"/any/{name}", b"data")
    assert keys(open_source(f"{prefix}memory://any")) == ["c.png", "x/a.jpg", "x/b.jpg"]
    assert keys(open_source(f"{prefix}memory://any/x/{{a,b}}.jpg")) == ["a.jpg", "b.jpg"]
    filesystem.store.clear()


def test_opening_a_folder_imports_neither_datasets_nor_parquet(folder: Path) -> None:
    code = (
        "import sys, dedupkit.sources as s; assert 'pyarrow' not in sys.modules;"
        f"s.open_source({str(folder / 'photos')!r}); s.open_source([{{'image': b''}}]);"
        "print([name for name in ('datasets', 'pyarrow.parquet') if name in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

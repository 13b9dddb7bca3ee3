"""Image folders: keys, captions, metadata, what cannot be read, and shards that stay where they are."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import fsspec
import pytest
from PIL import Image

from dedupkit.errors import UsageError
from dedupkit.recipe import SourceOptions
from dedupkit.sample import Note, Reason, Sample
from dedupkit.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.sources import Source


def jpeg(level: int = 0) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (8, 8), (level, 40, 90)).save(target, "JPEG")
    return target.getvalue()


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def read(source: Source) -> list[Sample]:
    return [sample for shard in source.shards() for sample in source.read(shard)]


def samples_of(folder: Path, options: SourceOptions | None = None) -> dict[str, Sample]:
    return {sample.key: sample for sample in read(open_source(folder, options))}


@pytest.fixture
def memory_url() -> Iterator[str]:
    yield "memory://photos"
    fsspec.filesystem("memory").store.clear()


def test_keys_are_paths_in_the_folder_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    write(
        tmp_path, {"b/x.PNG": b"1", "a.jpg": b"2", ".a.jpg": b"3", ".git/c.jpg": b"4", "notes.md": b"5", "a/z.tif": b""}
    )
    found = samples_of(tmp_path)
    assert list(found) == ["a.jpg", "a/z.tif", "b/x.PNG"]
    assert [sample.image for sample in found.values()] == [b"2", b"", b"1"]


def test_a_text_file_beside_an_image_is_its_caption(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": jpeg(), "a.txt": "A café.\r\n", "b.jpg": jpeg(), "c.jpg": jpeg(), "c.txt": ""})
    found = samples_of(tmp_path)
    assert [(sample.caption, sample.notes) for sample in found.values()] == [
        ("A café.", ()),
        (None, (Note.CAPTION_MISSING,)),
        ("", (Note.CAPTION_MISSING,)),
    ]


def test_a_caption_that_is_not_utf8_is_kept_with_replacements_and_noted(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": jpeg(), "a.txt": b"caf\xe9"})
    found = samples_of(tmp_path)["a.jpg"]
    assert (found.caption, found.notes) == ("caf\ufffd", (Note.CAPTION_NOT_UTF8,))


def test_metadata_jsonl_gives_captions_and_fields_to_the_files_below_it(tmp_path: Path) -> None:
    lines = [{"file_name": "x/a.jpg", "text": "A cat.", "score": 0.5, "tags": ["cat"]}, {"file_name": "b.jpg"}]
    write(tmp_path, {"in/x/a.jpg": jpeg(), "in/b.jpg": jpeg(), "in/metadata.jsonl": "\n".join(map(json.dumps, lines))})
    found = samples_of(tmp_path)
    assert found["in/x/a.jpg"].caption == "A cat."
    assert found["in/x/a.jpg"].fields == {"score": 0.5, "tags": ["cat"]}
    assert found["in/b.jpg"].notes == (Note.CAPTION_MISSING,)


def test_the_nearest_metadata_file_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "metadata.csv": "file_name,caption\nx/a.jpg,far\n",
            "x/metadata.csv": "file_name,caption\na.jpg,near\n",
            "x/a.jpg": jpeg(),
        },
    )
    assert samples_of(tmp_path)["x/a.jpg"].caption == "near"


def test_metadata_csv_is_read_as_text_and_the_named_caption_column_is_used(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": jpeg(), "metadata.csv": 'file_name,text,alt,year\na.jpg,no,"yes, this",1999\n'})
    found = samples_of(tmp_path, SourceOptions(caption_column="alt"))["a.jpg"]
    assert (found.caption, found.fields) == ("yes, this", {"text": "no", "year": "1999"})


def test_an_image_that_only_the_metadata_names_is_a_fault_under_its_name(tmp_path: Path) -> None:
    lines = '{"file_name": "gone.jpg", "text": "Gone."}\n{"file_name": "../secret.jpg"}\n'
    write(tmp_path, {"in/a.jpg": jpeg(), "in/metadata.jsonl": lines, "secret.jpg": jpeg()})
    found = samples_of(tmp_path / "in")
    faults = {key: sample.fault.reason for key, sample in found.items() if sample.fault}
    assert faults == {"gone.jpg": Reason.MISSING_IMAGE, "../secret.jpg": Reason.MISSING_IMAGE}
    assert found["gone.jpg"].caption == "Gone."
    assert found["../secret.jpg"].image is None


@pytest.mark.parametrize(
    "bad", ['{"file_name": "b.jpg", ', "[1]", '{"file_name": 3}', '{"text": "no name"}', "[" * 9999]
)
def test_a_bad_metadata_line_is_noted_on_the_images_that_have_no_row(tmp_path: Path, bad: str) -> None:
    good = '{"file_name": "a.jpg", "text": "A."}'
    write(tmp_path, {"a.jpg": jpeg(), "b.jpg": jpeg(), "metadata.jsonl": f"{good}\n{bad}\n\n"})
    found = samples_of(tmp_path)
    assert found["a.jpg"].notes == ()
    assert found["b.jpg"].notes == (Note.CAPTION_MISSING, Note.METADATA_INVALID)


def test_an_image_without_a_row_has_no_caption(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": jpeg(), "b.jpg": jpeg(), "metadata.csv": "file_name,caption\na.jpg,A.\n"})
    found = samples_of(tmp_path)["b.jpg"]
    assert (found.caption, found.notes) == (None, (Note.CAPTION_MISSING, Note.METADATA_MISSING))


def test_links_that_lead_outside_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"in/a.jpg": b"a", "out/secret.jpg": b"secret"})
    inside = tmp_path / "in"
    (inside / "inner.jpg").symlink_to("a.jpg")
    (inside / "leak.jpg").symlink_to(tmp_path / "out" / "secret.jpg")
    (inside / "dangling.jpg").symlink_to("nothing.jpg")
    (inside / "loop.jpg").symlink_to("loop.jpg")
    (inside / "folder").symlink_to(tmp_path / "out")
    found = samples_of(inside)
    assert {key: sample.image for key, sample in found.items()} == {
        "a.jpg": b"a",
        "inner.jpg": b"a",
        "leak.jpg": None,
        "dangling.jpg": None,
        "loop.jpg": None,
    }
    assert {sample.fault.reason for sample in found.values() if sample.fault} == {Reason.UNREADABLE_FILE}
    assert not any(str(tmp_path) in sample.fault.detail for sample in found.values() if sample.fault)


def test_a_pipe_with_an_images_name_is_refused_unopened(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": b"a"})
    os.mkfifo(tmp_path / "b.jpg")
    fault = samples_of(tmp_path)["b.jpg"].fault
    assert fault is not None
    assert fault.reason is Reason.UNREADABLE_FILE


def test_a_file_that_vanishes_after_listing_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": b"a", "b.jpg": b"b"})
    source = open_source(tmp_path)
    [shard] = source.shards()
    (tmp_path / "a.jpg").unlink()
    first, second = source.read(shard)
    assert first.fault is not None
    assert first.fault.reason is Reason.UNREADABLE_FILE
    assert second.image == b"b"


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": b"12345", "b.jpg": b"1234"})
    first, second = read(open_source(tmp_path, max_bytes=4))
    assert first.fault is not None
    assert first.fault.reason is Reason.TOO_MANY_BYTES
    assert second.image == b"1234"


def test_a_name_that_is_not_utf8_is_read_and_its_key_can_be_written(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(path, "wb") as handle:  # noqa: PTH123 - a name of bytes
        handle.write(b"x")
    [sample] = read(open_source(tmp_path))
    assert (sample.key.encode(), sample.image) == (b"caf\xef\xbf\xbd.jpg", b"x")


def test_a_file_more_disturbs_only_its_own_shard(tmp_path: Path) -> None:
    write(tmp_path, {f"{number:05d}.jpg": b"x" for number in range(3000)})
    before = {shard.identity for shard in open_source(tmp_path).shards()}
    write(tmp_path, {"01500a.jpg": b"x"})
    after = {shard.identity for shard in open_source(tmp_path).shards()}
    assert len(before) > 3
    assert len(after - before) <= 2


@pytest.mark.parametrize("changed", ["a.jpg", "a.txt", "metadata.jsonl"])
def test_identity_changes_with_image_caption_and_metadata(tmp_path: Path, changed: str) -> None:
    write(tmp_path, {"a.jpg": b"a", "a.txt": "A.", "metadata.jsonl": '{"file_name": "a.jpg"}'})
    [before] = open_source(tmp_path).shards()
    write(tmp_path, {changed: '{"file_name": "a.jpg", "text": "new"}'})
    [after] = open_source(tmp_path).shards()
    assert before.identity != after.identity
    assert before.name == after.name


def test_an_object_store_is_read_like_a_folder(memory_url: str) -> None:
    files = {"a.jpg": jpeg(1), "a.txt": b"A.", "x/b.png": jpeg(2), ".hidden/c.jpg": jpeg(3), "x/metadata.jsonl": b"{}"}
    for name, data in files.items():
        fsspec.filesystem("memory").pipe(f"/photos/{name}", data)
    found = read(open_source(memory_url))
    assert [(sample.key, sample.image, sample.caption) for sample in found] == [
        ("a.jpg", jpeg(1), "A."),
        ("x/b.png", jpeg(2), None),
    ]


def test_a_column_option_that_an_image_folder_cannot_use_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": jpeg()})
    with pytest.raises(UsageError, match="image_column does not apply"):
        open_source(tmp_path, SourceOptions(image_column="image"))


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that every user may look into; those of pytest are its user's own."""
    with TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        yield Path(scratch)


@pytest.mark.skipif(os.name == "nt", reason="has no such permissions")
def test_a_file_that_becomes_readable_is_another_file(open_to_all: Path) -> None:
    folder = write(open_to_all, {"a.jpg": jpeg(), "b.jpg": jpeg(9)})
    (folder / "b.jpg").chmod(0)
    source = open_source(folder)
    if os.geteuid() == 0:
        try:
            os.seteuid(65534)  # who may not read everything
        except OSError:
            pytest.skip("this namespace knows nobody else")
    try:
        before = source.shards()
        faults = {sample.key: sample.fault for shard in before for sample in source.read(shard)}
    finally:
        os.seteuid(os.getuid())
    (folder / "b.jpg").chmod(0o644)
    after = source.shards()
    assert faults["a.jpg"] is None
    assert faults["b.jpg"] is not None
    assert faults["b.jpg"].reason is Reason.UNREADABLE_FILE
    assert [shard.identity for shard in after] != [shard.identity for shard in before]

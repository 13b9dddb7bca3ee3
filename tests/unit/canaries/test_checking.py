from __future__ import annotations

import io
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dedupkit.canaries import strip, verify
from dedupkit.canaries.checking import Found, Verification, open_output
from dedupkit.errors import UsageError
from dedupkit.sources import open_source
from tests.unit.canaries.conftest import jpeg, make_canary, samples

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.canaries.manifest import Canary, Manifest


def planted(manifest: Manifest) -> list[dict[str, object]]:
    return [
        {"key": f"c{canary.number}-{copy}", "image": canary.data, "caption": canary.caption}
        for canary in manifest.planted
        for copy in range(canary.repetitions)
    ]


def changed(canary: Canary) -> bytes:
    """The image saved again at another quality."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(canary.data)).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def test_all_are_found_unchanged_where_they_are(manifest: Manifest) -> None:
    found = verify(manifest, [*samples(10), *planted(manifest)])
    assert found.right
    assert found.unchanged
    assert found.samples == 22
    assert [each.unchanged for each in found.found] == [1, 2, 3, 1, 2, 3, 0, 0]


def test_a_missing_copy_and_a_control_that_was_published_are_told(manifest: Manifest) -> None:
    control = manifest.controls[0]
    found = verify(manifest, [*planted(manifest)[1:], {"image": control.data, "caption": control.caption}])
    assert not found.right
    assert [each.number for each in found.found if not each.right] == [0, control.number]


def test_a_changed_image_is_known_by_its_caption_and_its_looks(manifest: Manifest) -> None:
    rows = planted(manifest)
    rows[0]["image"] = changed(manifest.planted[0])
    rows[1]["image"] = samples(1)[0]["image"]  # the caption of canary 1, another picture altogether
    rows[3] |= {"caption": "another"}
    found = verify(manifest, rows)
    assert [(each.unchanged, each.recaptioned, each.changed) for each in found.found[:3]] == [
        (0, 0, 1),
        (1, 0, 0),
        (2, 1, 0),
    ]
    assert not found.unchanged


def test_only_a_search_by_pictures_finds_what_lost_its_caption_too(manifest: Manifest) -> None:
    rows = planted(manifest)
    rows[0] = {"image": changed(manifest.planted[0]), "caption": "another"}
    assert not verify(manifest, rows).right
    assert verify(manifest, rows, by_picture=True).right


def test_a_stripped_copy_has_all_else_copies_too(manifest: Manifest, tmp_path: Path) -> None:
    plain = [*samples(10), samples(1)[0] | {"key": "copy"}, {"key": "flat", "image": flat(), "caption": "flat"}]
    plain = [row | {"exif": f"camera {number}"} for number, row in enumerate(plain)]
    result = strip(manifest, [*plain, *planted(manifest)], tmp_path / "stripped")
    assert result.summary["samples"] == {"in": 12, "kept": 12, "dropped": 0, "quarantined": 0}
    source = open_source(tmp_path / "stripped/dataset")
    kept = {sample.key: sample.image for shard in source.shards() for sample in source.read(shard)}
    assert kept == {row["key"]: row["image"] for row in plain}
    cameras = [sample.fields["exif"] for shard in source.shards() for sample in source.read(shard)]
    assert cameras == [row["exif"] for row in plain]  # which a run of the usual recipe leaves out
    assert all(each.unchanged == 0 for each in verify(manifest, tmp_path / "stripped").found)


def keys_in(source: Any) -> list[str]:
    return [sample.key for shard in source.shards() for sample in source.read(shard)]


def test_an_output_is_opened_by_the_first_form_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "out" / ".dedupkit").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds no dataset with images; run `dedupkit clean` to its end first"):
        open_output(tmp_path / "out")
    (tmp_path / "out" / "webdataset").mkdir()
    with tarfile.open(tmp_path / "out" / "webdataset" / "00000.tar", "w") as tar:
        for name, data in (("tarred.jpg", jpeg(1)), ("tarred.txt", b"a picture")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert keys_in(open_output(tmp_path / "out")) == ["tarred"]
    assert keys_in(open_output(f"{tmp_path}/out/")) == ["tarred"]
    spaced = shutil.copytree(tmp_path / "out", tmp_path / "out ")
    assert keys_in(open_output(spaced)) == ["tarred"]
    (tmp_path / "out" / "parquet").mkdir()
    pq.write_table(pa.table({"key": ["in a table"], "image": [jpeg(2)]}), tmp_path / "out" / "parquet" / "0.parquet")
    assert keys_in(open_output(tmp_path / "out")) == ["in a table"]
    assert keys_in(open_output(tmp_path / "out" / "webdataset")) == ["tarred"]


@pytest.mark.parametrize(
    ("counts", "right", "unchanged"),
    [
        ((2, 0, 0), True, True), ((1, 1, 0), True, False), ((0, 1, 1), True, False), ((1, 0, 1), True, False),
        ((1, 0, 0), False, False), ((3, 0, 0), False, False), ((2, 1, 0), False, False), ((2, 0, 1), False, False),
    ],
)  # fmt: skip
def test_one_is_right_that_is_there_as_often_as_it_should_be(
    counts: tuple[int, int, int], right: bool, unchanged: bool
) -> None:
    found = Found(0, "texture", True, 2, *counts)
    assert found.right is right
    whole = Verification((Found(1, "blob", True, 1, 1, 0, 0), found), 9)
    assert (whole.right, whole.unchanged) == (right, unchanged)


def test_what_was_found_is_named_as_the_manifest_has_it(manifest: Manifest) -> None:
    found = verify(manifest, planted(manifest)).found
    assert [(each.number, each.kind, each.planted, each.wanted) for each in found] == [
        *((number, "texture", True, number % 3 + 1) for number in range(6)),
        (6, "texture", False, 0), (7, "texture", False, 0),
    ]  # fmt: skip


def test_samples_without_an_image_are_looked_at_and_are_no_canaries(manifest: Manifest) -> None:
    rows = [*planted(manifest), {"key": "none", "image": None, "caption": manifest.planted[0].caption}]
    found = verify(manifest, rows)
    assert found.right
    assert found.samples == 13


def test_a_caption_alone_makes_no_canary_of_another_picture(manifest: Manifest) -> None:
    other = {"key": "x", "image": samples(1)[0]["image"], "caption": manifest.planted[0].caption}
    broken = {"key": "y", "image": b"no image", "caption": manifest.planted[0].caption}
    found = verify(manifest, [*planted(manifest), other, broken])
    assert found.right
    assert found.unchanged


def test_canaries_without_captions_are_found_by_digest_or_picture(manifest: Manifest) -> None:
    bare = manifest.model_copy(update={"canaries": tuple(make_canary(number, caption=None) for number in range(2))})
    rows = [{"key": "0", "image": bare.canaries[0].data}, {"key": "1", "image": changed(bare.canaries[1])}]
    assert [each.unchanged for each in verify(bare, rows).found] == [1, 0]
    assert [each.changed for each in verify(bare, rows, by_picture=True).found] == [0, 1]


def test_a_stripped_copy_comes_in_the_forms_asked_for(manifest: Manifest, tmp_path: Path) -> None:
    strip(manifest, [*samples(3), *planted(manifest)], tmp_path / "out", formats=("webdataset",))
    assert (tmp_path / "out" / "webdataset").is_dir()
    assert not (tmp_path / "out" / "dataset").exists()
    assert keys_in(open_output(tmp_path / "out")) == [each["key"] for each in samples(3)]


def flat() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 200), "black").save(buffer, "PNG")  # fails every check of hygiene
    return buffer.getvalue()

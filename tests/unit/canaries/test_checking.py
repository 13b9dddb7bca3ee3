from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from dedupkit.canaries import strip, verify
from dedupkit.sources import open_source
from tests.unit.canaries.conftest import samples

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
    result = strip(manifest, [*plain, *planted(manifest)], tmp_path / "stripped")
    assert result.summary["samples"] == {"in": 12, "kept": 12, "dropped": 0, "quarantined": 0}
    source = open_source(tmp_path / "stripped/dataset")
    kept = {sample.key: sample.image for shard in source.shards() for sample in source.read(shard)}
    assert kept == {row["key"]: row["image"] for row in plain}
    assert all(each.unchanged == 0 for each in verify(manifest, tmp_path / "stripped").found)


def flat() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 200), "black").save(buffer, "PNG")  # fails every check of hygiene
    return buffer.getvalue()

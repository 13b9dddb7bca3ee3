"""What img2dataset writes goes in as it is: tars, Parquet and files, each with its companions.

The writers here do what those of img2dataset 1.47 do, with the same libraries and the same schema.
"""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from webdataset import TarWriter

import dedupkit
from dedupkit.recipe import Recipe
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = pa.schema(
    {
        "url": pa.string(),
        "caption": pa.string(),
        "key": pa.string(),
        "status": pa.string(),
        "error_message": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "original_width": pa.int32(),
        "original_height": pa.int32(),
        "exif": pa.string(),
        "sha256": pa.string(),
    }
)
FAILED = 5  # of each shard, the download of this number fails
EACH, SHARDS = 8, 2


def downloaded(shard: int) -> Iterator[tuple[bytes | None, dict[str, Any]]]:
    """What the downloader hands to a writer: the image, and what is known of it."""
    for number in range(EACH):
        picture = 3 if (shard, number) == (1, 0) else shard * EACH + number  # one stands in both shards
        buffer = io.BytesIO()
        draw_picture(picture).save(buffer, "jpeg", quality=95)
        image = None if number == FAILED else buffer.getvalue()
        failed = image is None
        yield (
            image,
            {
                "url": f"https://example.org/{shard}/{number}.jpg",
                "caption": f"picture {number} of shard {shard}",
                "key": f"{shard:05d}{number:04d}",
                "status": "failed_to_download" if failed else "success",
                "error_message": "HTTP Error 404: Not Found" if failed else None,
                "width": None if failed else 320,
                "height": None if failed else 240,
                "original_width": None if failed else 640,
                "original_height": None if failed else 480,
                "exif": None if failed else '{"GPS": "51.5, -0.1"}',
                "sha256": None if failed else hashlib.sha256(image or b"").hexdigest(),
            },
        )


def write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema = SCHEMA) -> None:
    pq.write_table(pa.Table.from_pydict({name: [row[name] for row in rows] for name in schema.names}, schema), path)


def write_stats(folder: Path, shard: int) -> None:
    stats = {
        "count": EACH,
        "successes": EACH - 1,
        "failed_to_download": 1,
        "failed_to_resize": 0,
        "duration": 1.5,
        "start_time": 1700000000.0,
        "end_time": 1700000001.5,
        "status_dict": {"success": EACH - 1, "HTTP Error 404: Not Found": 1},
    }
    (folder / f"{shard:05d}_stats.json").write_text(json.dumps(stats, indent=4))


def as_webdataset(folder: Path, shard: int) -> None:
    with TarWriter(str(folder / f"{shard:05d}.tar")) as tar:
        for image, meta in downloaded(shard):
            if image is not None:
                about = json.dumps(meta, indent=4)
                tar.write({"__key__": meta["key"], "jpg": image, "txt": meta["caption"], "json": about})
    write_table(folder / f"{shard:05d}.parquet", [meta for _, meta in downloaded(shard)])


def as_parquet(folder: Path, shard: int) -> None:
    rows = [meta | {"jpg": image, "txt": image and meta["caption"]} for image, meta in downloaded(shard)]
    schema = SCHEMA.append(pa.field("jpg", pa.binary()))
    write_table(folder / f"{shard:05d}.parquet", rows, schema)


def as_files(folder: Path, shard: int) -> None:
    below = folder / f"{shard:05d}"
    below.mkdir()
    for image, meta in downloaded(shard):
        if image is not None:
            (below / f"{meta['key']}.jpg").write_bytes(image)
            (below / f"{meta['key']}.txt").write_text(meta["caption"])
            (below / f"{meta['key']}.json").write_text(json.dumps(meta, indent=4))
    write_table(folder / f"{shard:05d}.parquet", [meta for _, meta in downloaded(shard)])


WRITERS = {"webdataset": as_webdataset, "parquet": as_parquet, "files": as_files}


@pytest.mark.parametrize("form", WRITERS)
def test_what_img2dataset_wrote_goes_in_as_it_is(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "laion"
    folder.mkdir()
    for shard in range(SHARDS):
        WRITERS[form](folder, shard)
        write_stats(folder, shard)
    recipe = Recipe.of({"preset": "fast", "output": {"formats": ("parquet",)}})
    result = dedupkit.clean(folder, tmp_path / "out", recipe=recipe)
    failed = SHARDS if form == "parquet" else 0  # the other two leave out what could not be downloaded
    pictures = SHARDS * (EACH - 1)
    assert result.summary["samples"] == {
        "in": pictures + failed,
        "kept": pictures - 1,
        "dropped": 1,
        "quarantined": failed,
    }
    assert result.summary["reasons"]["missing_image"] == failed
    assert result.summary["reasons"]["exact_duplicate"] == 1
    rows = [
        row for path in sorted((tmp_path / "out/parquet").glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    asked = {meta["key"]: (image, meta) for shard in range(SHARDS) for image, meta in downloaded(shard)}
    for row in rows:
        image, meta = asked[row["key"].rpartition("/")[2].removesuffix(".jpg")]
        assert row["image"]["bytes"] == image
        assert row["caption"] == meta["caption"]
        assert {name: row[name] for name in ("url", "original_width", "status")} == {
            name: meta[name] for name in ("url", "original_width", "status")
        }
        assert "exif" not in row


def test_the_text_beside_an_image_goes_before_its_json(tmp_path: Path) -> None:
    for name, files in {
        "both": {".txt": "said\n", ".json": '{"caption": "other", "key": "both", "url": "u"}'},
        "json": {".json": '{"caption": "only here", "key": "json"}'},
        "broken": {".json": "[1"},
        "none": {},
    }.items():
        draw_picture(len(name)).save(tmp_path / f"{name}.jpg")
        for ending, text in files.items():
            (tmp_path / f"{name}{ending}").write_text(text)
    from dedupkit.sources import open_source

    source = open_source(tmp_path)
    found = {sample.key: sample for shard in source.shards() for sample in source.read(shard)}
    assert (found["both.jpg"].caption, found["both.jpg"].fields) == ("said", {"caption": "other", "url": "u"})
    assert (found["json.jpg"].caption, found["json.jpg"].fields) == ("only here", {})
    assert found["broken.jpg"].caption is None
    assert "metadata_invalid" in found["broken.jpg"].notes
    assert found["none.jpg"].notes == ("caption_missing",)

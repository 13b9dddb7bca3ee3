"""Blocking by example images: all versions of the pictures go, and nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

import dedupkit
from dedupkit.cli import app
from dedupkit.errors import UsageError
from dedupkit.recipe import Recipe
from tests.conftest import draw_picture
from tests.integration.takedown_sets import TakedownSet, cropped, save, write_takedown_set


@pytest.fixture(scope="module")
def takedown(tmp_path_factory: pytest.TempPathFactory) -> TakedownSet:
    return write_takedown_set(tmp_path_factory.mktemp("takedown"))


def blocking(*paths: Path, **choices: object) -> Recipe:
    return Recipe.of({"blocklist": {"images": tuple(map(str, paths))}, **choices})


def test_all_versions_of_an_example_go_and_nothing_else(takedown: TakedownSet, tmp_path: Path) -> None:
    arguments = ["clean", str(takedown.folder), str(tmp_path / "out"), "--block", f"images={takedown.examples}"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    rows = pq.read_table(tmp_path / "out" / "decisions.parquet").to_pylist()
    blocked = {Path(row["key"]).stem: row for row in rows if row["reason"] == "blocked"}
    assert set(blocked) == takedown.wanted
    for key, row in blocked.items():
        assert f"example example{key[3]}.jpg" in row["detail"]
        assert (row["action"], row["tier"]) in {("drop", "geometric"), ("drop", "perceptual")}
    assert not list((tmp_path / "out" / ".dedupkit").glob("*views*/*"))  # pictures of examples are not left behind


def test_what_has_only_another_copy_in_common_with_an_example_goes_too(tmp_path: Path) -> None:
    picture, folder = draw_picture(1, 480, 360), tmp_path / "set"
    folder.mkdir()
    save(picture, folder / "whole.jpg", 90)
    save(picture.crop((250, 0, 480, 360)), folder / "right.jpg", 90)
    save(draw_picture(2), folder / "other.jpg", 90)
    save(picture.crop((0, 0, 230, 360)), tmp_path / "left.jpg", 90)
    result = dedupkit.clean(str(folder), tmp_path / "out", recipe=blocking(tmp_path / "left.jpg"))
    detail = {row["key"]: row["detail"] for row in result.decisions().to_pylist() if row["reason"] == "blocked"}
    assert set(detail) == {"whole.jpg", "right.jpg"}
    assert detail["right.jpg"].startswith("a copy of the blocked sample whole.jpg (example left.jpg): ")


def test_hashes_find_what_is_mirrored_where_the_preset_is_fast(tmp_path: Path) -> None:
    folder, picture = tmp_path / "set", draw_picture(1)
    folder.mkdir()
    save(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), folder / "mirrored.jpg", 70)
    save(cropped(picture), folder / "cropped.jpg", 90)
    save(picture, tmp_path / "example.jpg", 90)
    recipe = blocking(tmp_path / "example.jpg", preset="fast")
    rows = dedupkit.clean(str(folder), tmp_path / "out", recipe=recipe).decisions().to_pylist()
    assert {row["key"]: row["reason"] for row in rows} == {"cropped.jpg": "unique", "mirrored.jpg": "blocked"}
    assert rows[1]["evidence"]["orientation"] == "mirrored left-right"


@pytest.mark.parametrize(("kind", "digits"), [("phash", 16), ("pdq", 64)])
def test_rows_of_a_list_whose_hash_is_that_of_an_example_go(kind: str, digits: int, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for number in range(6):
        save(draw_picture(number), tmp_path / "set" / f"{number}.jpg", 90)
    dedupkit.clean(str(tmp_path / "set"), tmp_path / "seen", recipe=Recipe(preset="fast"))
    (part,) = (tmp_path / "seen" / ".dedupkit" / "fingerprints").glob("*.parquet")
    hashes = [each if isinstance(each, bytes) else each.to_bytes(8) for each in pq.read_table(part)[kind].to_pylist()]
    texts = [each.hex() for each in hashes]
    assert {len(each) for each in texts} == {digits}
    columns = {"URL": [f"u{n}" for n in range(6)], "TEXT": ["a"] * 6, kind: texts}
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    draw_picture(3).resize((200, 150)).save(tmp_path / "example.png")
    recipe = blocking(tmp_path / "example.png", source={"hash_column": kind})
    result = dedupkit.clean(str(tmp_path / "list.parquet"), tmp_path / "out", recipe=recipe)
    reasons = result.decisions()["reason"].to_pylist()
    assert reasons == ["blocked" if number == 3 else "unique" for number in range(6)]
    assert result.dataset()["URL"] == [f"u{number}" for number in range(6) if number != 3]


def test_other_examples_decode_nothing_of_the_set_again(
    takedown: TakedownSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = takedown.examples / "example0.jpg"
    dedupkit.clean(str(takedown.folder), tmp_path / "out", recipe=blocking(first))
    with caplog.at_level(logging.INFO, "dedupkit"):
        again = dedupkit.clean(str(takedown.folder), tmp_path / "out", recipe=blocking(takedown.examples))
    assert "fingerprints: 1 of 1 parts used again" in caplog.text
    assert again.summary["reasons"]["blocked"] == len(takedown.wanted)


def test_an_example_that_cannot_be_decoded_is_named(takedown: TakedownSet, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"example image broken\.jpg cannot be used: .*; mend it or leave it out"):
        dedupkit.clean(str(takedown.folder), tmp_path / "out", recipe=blocking(tmp_path / "broken.jpg"))
    with pytest.raises(UsageError, match="absent"):
        dedupkit.clean(str(takedown.folder), tmp_path / "out", recipe=blocking(tmp_path / "absent.jpg"))

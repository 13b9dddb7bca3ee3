"""Results as notebooks, terminals and other libraries see them."""

from __future__ import annotations

import base64
import io
import re
import shutil
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from PIL import Image

import dedupkit
from dedupkit.demo import example_images

if TYPE_CHECKING:
    from pathlib import Path

FAST = dedupkit.Recipe(preset="fast")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs, one of them three times, once smaller; one broken file."""
    made = tmp_path_factory.mktemp("photos")
    photos = sorted(example_images().glob("photo-*.jpg"))[:3]
    for photo in photos:
        shutil.copy(photo, made / photo.name)
    shutil.copy(photos[0], made / "z<b>same.jpg")
    with Image.open(photos[0]) as opened:
        exif = opened.getexif()
        exif[0x010E] = "taken at home"
        opened.resize((opened.width // 2, opened.height // 2)).save(made / "zsmall.jpg", exif=exif)
    (made / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> dedupkit.Found:
    return dedupkit.find_duplicates(folder, recipe=FAST)


@pytest.fixture(scope="module")
def result(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dedupkit.Result:
    return dedupkit.clean(folder, tmp_path_factory.mktemp("out") / "clean", recipe=FAST)


def pictures(html: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)]


def test_a_search_tells_its_numbers_and_what_to_do_next(found: dedupkit.Found) -> None:
    first, *rest = repr(found).splitlines()
    assert first == "Found: 6 samples, 1 duplicate group, 2 spare copies, 1 without a usable image"
    assert "  pairs: 1 of the same bytes, 1 by hashes" in rest
    assert rest[-1].startswith("  next: found.show_pairs(")


def test_a_search_shows_its_groups_with_thumbnails_without_metadata(found: dedupkit.Found) -> None:
    html = found._repr_html_()
    shown = pictures(html)
    assert len(shown) == 3
    for picture in shown:
        with Image.open(io.BytesIO(picture)) as opened:
            assert max(opened.size) <= 128
            assert not opened.getexif()
        assert b"taken at home" not in picture
    assert "z&lt;b&gt;same.jpg" in html
    assert "same bytes" in html
    assert "bits of the hashes differ" in html


def test_pairs_stand_side_by_side(found: dedupkit.Found) -> None:
    shown = found.show_pairs()
    assert len(pictures(shown._repr_html_())) == 2
    assert "zsmall.jpg" in repr(shown)


def test_groups_are_shown_page_by_page(found: dedupkit.Found) -> None:
    assert "Groups 1 to 1 of 1" in repr(found.show(5))
    assert repr(found.show(5, first=1)) == "No such groups"
    with pytest.raises(dedupkit.UsageError, match="n and first must be 0 or more, got -1 and 0"):
        found.show(-1)


def test_a_source_that_can_be_read_only_once_is_shown_without_pictures(folder: Path) -> None:
    rows = ({"key": path.name, "image": path.read_bytes()} for path in sorted(folder.iterdir()))
    html = dedupkit.find_duplicates(rows, recipe=FAST)._repr_html_()
    assert pictures(html) == []
    assert "Group 1 by size: 3 samples" in html


def test_a_source_that_is_gone_or_changed_is_shown_without_pictures(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    first, second = (dedupkit.find_duplicates(copy, recipe=FAST) for _ in range(2))
    shutil.copy(copy / "zsmall.jpg", copy / "a-new-first.jpg")
    assert pictures(first._repr_html_()) == []
    shutil.rmtree(copy)
    assert pictures(second._repr_html_()) == []


def test_a_dataframe_is_shown_with_pictures(folder: Path) -> None:
    frame = pd.DataFrame({"path": [str(path) for path in sorted(folder.iterdir())]})
    assert len(pictures(dedupkit.find_duplicates(frame, recipe=FAST)._repr_html_())) == 3


def test_a_run_shows_what_it_kept_first_and_why_the_rest_is_gone(result: dedupkit.Result) -> None:
    html = result._repr_html_()
    assert len(pictures(html)) == 3
    assert html.index('class="dk-kept"') < html.index('class="dk-dropped"')
    assert repr(result).splitlines()[0] == "Cleaned: 6 in, 3 kept, 2 dropped, 1 quarantined"
    assert "Exact copy" in html


def test_a_run_is_opened_again_from_its_folder(result: dedupkit.Result, tmp_path: Path) -> None:
    assert repr(dedupkit.Result.open(result.out)) == repr(result)
    assert dedupkit.Result.open(result.out)._repr_html_() == result._repr_html_()
    with pytest.raises(dedupkit.UsageError, match=r"holds no report.json; name the output folder"):
        dedupkit.Result.open(tmp_path)


def test_a_run_without_its_work_files_is_shown_without_pictures(result: dedupkit.Result, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(result.out, out, ignore=shutil.ignore_patterns(".dedupkit"))
    html = dedupkit.Result.open(out)._repr_html_()
    assert pictures(html) == []
    assert "no picture" in html


def test_what_the_recipe_looks_for_is_not_shown(folder: Path, found: dedupkit.Found) -> None:
    assert found.pictures is not None
    keys = dict(zip(found.pairs["a_position"].to_pylist(), found.pairs["a"].to_pylist(), strict=True))
    hiding = type(found.pictures)(folder, FAST, hidden=frozenset(keys))
    assert found.pictures.thumbnails(keys)
    assert hiding.thumbnails(keys) == {}


def test_results_are_tables_to_other_libraries(found: dedupkit.Found, result: dedupkit.Result) -> None:
    frames: Any = pd.DataFrame  # its stubs are older
    for each, rows in ((found, found.pairs.num_rows), (result, 6)):
        assert len(pl.DataFrame(each)) == rows
        assert len(frames.from_arrow(each)) == rows
        assert duckdb.from_arrow(each).count("*").fetchall() == [(rows,)]


def test_pairs_and_decisions_pass_through_other_libraries_unchanged(
    found: dedupkit.Found, result: dedupkit.Result
) -> None:
    for given in (found.pairs, result.decisions()):
        rows = given.to_pylist()
        assert pl.DataFrame(pl.from_arrow(given)).to_dicts() == rows
        assert duckdb.connect().sql("select * from given").to_arrow_table().to_pylist() == rows
        frame = given.to_pandas(types_mapper=pd.ArrowDtype)
        assert frame.iloc[:, 0].tolist() == given.column(0).to_pylist()


def test_duckdb_reads_the_decisions_where_they_lie(result: dedupkit.Result) -> None:
    query = f"select kept_key, evidence.hamming_bits from '{result.out}/decisions.parquet' where action = 'drop'"
    assert sorted(duckdb.connect().sql(query).fetchall(), key=str) == sorted(
        (
            (row["kept_key"], row["evidence"] and row["evidence"]["hamming_bits"])
            for row in result.decisions().to_pylist()
            if row["action"] == "drop"
        ),
        key=str,
    )


def test_a_calibration_and_a_plan_show_their_numbers(folder: Path) -> None:
    calibration = dedupkit.calibrate(folder, recipe=FAST, samples=3, edits=["jpeg60"])
    assert "of the planted copies found" in repr(calibration)
    assert "jpeg60" in calibration._repr_html_()
    assert pl.DataFrame(calibration)["edit"].to_list() == ["jpeg60"]
    plan = dedupkit.plan(folder, recipe=FAST, samples=5, machine="cores=8,memory=16GiB")
    assert "by the clock" in repr(plan)
    assert "on 8 cores, 16 GiB memory" in plan._repr_html_()


def test_twins_show_what_speaks_for_them(folder: Path, tmp_path: Path) -> None:
    opened = dedupkit.Index.build(tmp_path / "index", folder, recipe=FAST)
    twins = opened.query(folder / "z<b>same.jpg")
    html = twins._repr_html_()
    assert "z&lt;b&gt;same.jpg" in html
    assert pl.DataFrame(twins.to_arrow())["tier"].to_list()[:2] == ["exact", "exact"]
    assert "No twins" in opened.query(Image.effect_noise((64, 64), 90).convert("RGB"))._repr_html_()

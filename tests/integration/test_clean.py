"""The main job through the library: what it decides, writes and refuses."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pytest

import dedupkit
from dedupkit.recipe import Hygiene, Keep, Matching, Output, Recipe, SourceOptions
from dedupkit.sample import DECISIONS
from tests.conftest import draw_picture
from tests.integration.conftest import encoded, write_shards

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from tests.integration.conftest import Planted


FAST = Recipe(preset="fast")
"""Where what a preset finds is not what a test is about."""


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def cleaned(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> dedupkit.Result:
    return dedupkit.clean(str(planted.folder), tmp_path_factory.mktemp("out") / "clean")


def rows(table: pa.Table) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in table.to_pylist()}


def test_every_sample_has_one_decision(cleaned: dedupkit.Result, planted: Planted) -> None:
    decisions = cleaned.decisions()
    assert decisions.schema.equals(DECISIONS)
    assert decisions.num_rows == planted.samples == len(set(decisions["key"].to_pylist()))
    samples = cleaned.summary["samples"]
    assert samples["in"] == planted.samples == samples["kept"] + samples["dropped"] + samples["quarantined"]


def test_planted_copies_and_faults_are_found_and_nothing_else(cleaned: dedupkit.Result, planted: Planted) -> None:
    decisions = rows(cleaned.decisions())
    assert {key: row["reason"] for key, row in decisions.items() if row["action"] == "quarantine"} == planted.faults
    for copy, original in planted.copies.items():
        assert decisions[copy]["group"] == decisions[original]["group"] is not None
        assert {decisions[copy]["action"], decisions[original]["action"]} == {"keep", "drop"}
    assert cleaned.summary["samples"]["dropped"] == len(planted.copies)


def test_every_drop_names_a_kept_sample_of_its_group(cleaned: dedupkit.Result) -> None:
    decisions = rows(cleaned.decisions())
    for row in decisions.values():
        if row["action"] == "drop":
            kept = decisions[str(row["kept_key"])]
            assert kept["action"] == "keep"
            assert kept["group"] == row["group"]


def test_kept_images_are_the_source_bytes(cleaned: dedupkit.Result, planted: Planted) -> None:
    import datasets

    from dedupkit.sources import open_source

    source = open_source(str(planted.folder))
    images = {sample.key: sample.image for shard in source.shards() for sample in source.read(shard)}
    dataset = cleaned.dataset()
    assert isinstance(dataset.features["image"], datasets.Image)
    raw = dataset.cast_column("image", datasets.Image(decode=False))
    assert len(raw) == cleaned.summary["samples"]["kept"]
    for row in raw:
        assert row["image"]["bytes"] == images[row["key"]]


def test_the_dataset_carries_captions_sizes_and_fields(cleaned: dedupkit.Result) -> None:
    dataset = cleaned.dataset()
    assert {"key", "image", "caption", "width", "height", "group_size", "url", "similarity"} <= set(
        dataset.column_names
    )
    row = dataset[0]
    assert row["image"].size == (row["width"], row["height"])
    assert row["url"] == f"https://example.org/{row['key']}"
    assert sorted(set(dataset["group_size"])) == [1, 2]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_a_byte(planted: Planted, cleaned: dedupkit.Result, tmp_path: Path, workers: int) -> None:
    from pathlib import Path

    dedupkit.clean(str(planted.folder), tmp_path / "out", workers=workers)
    assert tree(tmp_path / "out") == tree(Path(cleaned.out))


def test_a_second_run_over_the_output_drops_nothing(cleaned: dedupkit.Result, tmp_path: Path) -> None:
    again = dedupkit.clean(f"{cleaned.out}/dataset", tmp_path / "again")
    assert again.summary["samples"]["dropped"] == again.summary["samples"]["quarantined"] == 0
    assert again.summary["samples"]["kept"] == cleaned.summary["samples"]["kept"]


def test_max_copies_keeps_that_many(planted: Planted, tmp_path: Path) -> None:
    result = dedupkit.clean(
        str(planted.folder), tmp_path / "out", recipe=Recipe(preset="fast", keep=Keep(max_copies=2))
    )
    assert result.summary["samples"]["dropped"] == 0
    assert result.summary["reasons"]["spare_copy"] == len(planted.copies)


def test_all_copies_stay_with_weights_that_add_up_to_the_pictures(planted: Planted, tmp_path: Path) -> None:
    result = dedupkit.clean(
        str(planted.folder), tmp_path / "out", recipe=Recipe(preset="fast", keep=Keep(max_copies="all"))
    )
    assert result.summary["samples"]["dropped"] == 0
    dataset, decisions = result.dataset(), rows(result.decisions())
    copies = Counter(planted.copies.values())
    for key, weight in zip(dataset["key"], dataset["weight"], strict=True):
        original = planted.copies.get(key, key)
        assert weight == pytest.approx(1 / (1 + copies[original]))
        assert (decisions[key]["copy"] == 0) == (decisions[key]["reason"] != "spare_copy")
    assert sum(dataset["weight"]) == pytest.approx(len(dataset) - len(planted.copies))


def test_a_callable_policy_is_obeyed(planted: Planted, tmp_path: Path) -> None:
    policy = Keep(policy=lambda candidate: candidate.caption == "a copy")
    result = dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=Recipe(preset="fast", keep=policy))
    decisions = rows(result.decisions())
    assert all(decisions[copy]["action"] == "keep" for copy in planted.copies)
    assert all(decisions[original]["action"] == "drop" for original in planted.copies.values())


def test_every_format_holds_the_same_samples(planted: Planted, tmp_path: Path) -> None:
    formats = Output(formats=("arrow", "parquet", "webdataset"))
    result = dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=Recipe(preset="fast", output=formats))
    kept = set(result.decisions().filter(pc.field("action") == "keep")["key"].to_pylist())
    from dedupkit.sources import open_source

    for name in ("dataset", "parquet", "webdataset"):
        source = open_source(str(tmp_path / "out" / name))
        assert {sample.key for shard in source.shards() for sample in source.read(shard)} == kept


def test_clashing_keys_lose_no_sample(tmp_path: Path) -> None:
    first, second = write_shards(tmp_path / "a", 1, 3), write_shards(tmp_path / "b", 1, 3)
    (tmp_path / "all").mkdir()
    for name, planted in (("a.tar", first), ("b.tar", second)):
        (planted.folder / "00000.tar").rename(tmp_path / "all" / name)
    result = dedupkit.clean(str(tmp_path / "all"), tmp_path / "out")
    keys = result.decisions()["key"].to_pylist()
    assert len(set(keys)) == first.samples + second.samples
    assert sorted(key for key in keys if "/" in key) == sorted(f"b/{key}" for key in keys if "/" not in key)


def test_a_changed_keep_policy_redoes_decisions_only(
    planted: Planted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    dedupkit.clean(str(planted.folder), out)
    before = {path: path.stat().st_mtime_ns for path in (out / ".dedupkit" / "fingerprints").iterdir()}
    with caplog.at_level("INFO", logger="dedupkit"):
        dedupkit.clean(str(planted.folder), out, recipe=Recipe(keep=Keep(policy="last")))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "decisions: 4 parts made again, for what changed: keep" in caplog.text
    fresh = tmp_path / "fresh"
    dedupkit.clean(str(planted.folder), fresh, recipe=Recipe(keep=Keep(policy="last")))
    assert tree(out) == tree(fresh)


def test_a_changed_shard_is_fingerprinted_again_and_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    planted = write_shards(tmp_path / "shards", 3, 4)
    out = tmp_path / "out"
    dedupkit.clean(str(planted.folder), out)
    replacement = write_shards(tmp_path / "new", 1, 2)
    (replacement.folder / "00000.tar").replace(planted.folder / "00002.tar")
    with caplog.at_level("INFO", logger="dedupkit"):
        dedupkit.clean(str(planted.folder), out)
    assert "fingerprints: 2 of 3 parts used again" in caplog.text
    dedupkit.clean(str(planted.folder), tmp_path / "fresh")
    assert tree(out) == tree(tmp_path / "fresh")


def test_a_shard_that_is_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    planted = write_shards(tmp_path / "shards", 3, 4)
    dedupkit.clean(str(planted.folder), tmp_path / "out")
    (planted.folder / "00002.tar").unlink()
    dedupkit.clean(str(planted.folder), tmp_path / "out")
    dedupkit.clean(str(planted.folder), tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_format_that_is_not_asked_for_any_more_is_gone(planted: Planted, tmp_path: Path) -> None:
    both = Recipe(preset="fast", output=Output(formats=("arrow", "webdataset")))
    dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=both)
    dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=FAST)
    dedupkit.clean(str(planted.folder), tmp_path / "fresh", recipe=FAST)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_overwrite_starts_again_and_leaves_foreign_files_alone(planted: Planted, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dedupkit.clean(str(planted.folder), out, recipe=FAST)
    (out / "notes.txt").write_text("mine")
    before = (out / ".dedupkit" / "fingerprints" / "00000.parquet").stat().st_mtime_ns
    dedupkit.clean(str(planted.folder), out, recipe=FAST, overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / ".dedupkit" / "fingerprints" / "00000.parquet").stat().st_mtime_ns > before


def test_a_folder_of_somebody_else_is_refused(planted: Planted, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(dedupkit.UsageError, match=r"did not write \(thesis\.tex\)"):
            dedupkit.clean(str(planted.folder), tmp_path / "out", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_source_that_changes_under_way_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dedupkit.journey import Journey

    planted = write_shards(tmp_path / "shards", 1, 3)
    decide = Journey.decide

    def change_then_decide(journey: Journey, *arguments: object) -> object:
        write_shards(tmp_path / "new", 1, 5).folder.joinpath("00000.tar").replace(planted.folder / "00000.tar")
        return decide(journey, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Journey, "decide", change_then_decide)
    with pytest.raises(dedupkit.RunError, match="changed while it was read"):
        dedupkit.clean(str(planted.folder), tmp_path / "out")
    assert not (tmp_path / "out" / "dataset" / "state.json").exists()


def test_find_gives_the_groups_and_changes_nothing(planted: Planted) -> None:
    before = tree(planted.folder)
    found = dedupkit.find_duplicates(str(planted.folder))
    assert {frozenset(group) for group in found.groups} == {frozenset(pair) for pair in planted.copies.items()}
    assert found.faults == planted.faults
    assert found.samples == planted.samples
    assert tree(planted.folder) == before


def test_find_at_a_stricter_radius_equals_a_search_with_it(planted: Planted) -> None:
    found = dedupkit.find_duplicates(str(planted.folder), recipe=Recipe(preset="fast"))
    stricter = Recipe(preset="fast", matching=Matching(max_hamming_bits=8))
    searched = dedupkit.find_duplicates(str(planted.folder), recipe=stricter)
    assert found.at(8).pairs.equals(searched.pairs)
    assert len(found.at(8).groups) < len(found.groups)
    assert found.borderline(1)["hamming_bits"].to_pylist() == [max(found.pairs["hamming_bits"].to_pylist())]
    with pytest.raises(dedupkit.UsageError, match="search again"):
        found.at(40)


def test_find_at_a_higher_cosine_drops_the_far_pairs_that_geometry_proved(tmp_path: Path) -> None:
    for seed in range(4):
        image = draw_picture(seed)
        for name, edited in {
            "original": image,
            "cropped": image.crop((40, 30, 260, 200)),
            "turned": image.rotate(25, expand=True),
        }.items():
            edited.save(tmp_path / f"{seed}-{name}.png")
    found = dedupkit.find_duplicates(str(tmp_path))
    assert [len(group) for group in found.groups] == [3] * 4
    by_geometry = found.pairs.filter(pc.equal(found.pairs["tier"], "geometric"))
    limit = (min(by_geometry["cosine"].to_pylist()) + max(by_geometry["cosine"].to_pylist())) / 2
    left = found.at(min_cosine=limit).pairs
    gone = {(row["a"], row["b"]) for row in by_geometry.to_pylist() if row["cosine"] < limit}
    assert left.num_rows == found.pairs.num_rows - len(gone) < found.pairs.num_rows
    weakest = found.borderline(1).to_pylist()[0]
    assert weakest["score"] == min(by_geometry["score"].to_pylist())
    with pytest.raises(dedupkit.UsageError, match="search again"):
        found.at(min_cosine=0.1)
    members = found.members.to_pylist()
    assert [row["key"] for row in members] == [key for group in found.groups for key in group]


def test_sources_of_every_kind_give_the_same_groups(planted: Planted, tmp_path: Path) -> None:
    import datasets

    from dedupkit.sources import open_source

    source = open_source(str(planted.folder))
    samples = [sample for shard in source.shards() for sample in source.read(shard)]
    mappings = [{"key": sample.key, "image": sample.image, "caption": sample.caption} for sample in samples]
    features = datasets.Features(
        {"key": datasets.Value("string"), "image": datasets.Image(decode=False), "caption": datasets.Value("string")}
    )
    dataset = datasets.Dataset.from_list(
        [{**m, "image": {"bytes": m["image"], "path": None}} for m in mappings], features
    )
    dataset.save_to_disk(str(tmp_path / "saved"))
    dataset.to_parquet(tmp_path / "set.parquet")
    expected = {frozenset(pair) for pair in planted.copies.items()}
    for other in (
        samples,
        mappings,
        iter(mappings),
        dataset,
        dataset.to_iterable_dataset(num_shards=3),
        str(tmp_path / "saved"),
        str(tmp_path / "set.parquet"),
        f"{planted.folder}/0000{{0..3}}.tar",
        f"{planted.folder}/*.tar",
    ):
        found = dedupkit.find_duplicates(other, recipe=FAST)
        assert {frozenset(group) for group in found.groups} == expected
        assert found.samples == planted.samples


def test_another_caption_column_changes_the_captions_written(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [encoded(draw_picture(number)) for number in range(3)]
    table = pa.table({"image": images, "left": [["a"], ["a"], ["a"]], "right": [["b"], ["b"], ["b"]]})
    pq.write_table(table, tmp_path / "set.parquet")
    for column, caption in (("left", "a"), ("right", "b")):
        recipe = Recipe(preset="fast", source=SourceOptions(caption_column=column))
        result = dedupkit.clean(str(tmp_path / "set.parquet"), tmp_path / "out", recipe=recipe)
        assert result.dataset()["caption"][:] == [caption] * 3


def test_a_second_run_on_the_same_output_is_refused(planted: Planted, tmp_path: Path) -> None:
    from dedupkit.outfolder import alone_in
    from dedupkit.storage import Folder

    with alone_in(Folder(str(tmp_path / "out"))), pytest.raises(dedupkit.UsageError, match="another run"):
        dedupkit.clean(str(planted.folder), tmp_path / "out")
    result = dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=FAST)
    assert result.summary["samples"]["in"] == planted.samples


@pytest.mark.parametrize("left", [".dedupkit/dedupkit.json.12-7.partial", ".dedupkit/lock"])
def test_a_run_killed_while_it_claimed_the_folder_is_no_stranger(planted: Planted, tmp_path: Path, left: str) -> None:
    (tmp_path / "out" / ".dedupkit").mkdir(parents=True)
    (tmp_path / "out" / left).write_text("{")
    dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=FAST)
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_a_users_own_file_beside_the_dataset_is_left_alone(planted: Planted, tmp_path: Path) -> None:
    dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=FAST)
    (tmp_path / "out" / "dataset" / "README.md").write_text("mine")
    dedupkit.clean(str(planted.folder), tmp_path / "out", recipe=Recipe(preset="fast", keep=Keep(policy="last")))
    assert (tmp_path / "out" / "dataset" / "README.md").read_text() == "mine"


@pytest.mark.parametrize("out", ["https://example.org/out", "simplecache::out"])
def test_an_output_that_is_a_url_of_what_cannot_be_written_is_refused(planted: Planted, out: str) -> None:
    with pytest.raises(dedupkit.UsageError, match="local folder"):
        dedupkit.clean(str(planted.folder), out)


def test_an_output_may_be_a_url_of_a_local_folder(planted: Planted, tmp_path: Path) -> None:
    result = dedupkit.clean(str(planted.folder), f"file://{tmp_path}/out", recipe=Recipe(preset="fast"))
    assert (tmp_path / "out" / "report.html").is_file()
    assert result.dataset().num_rows == result.summary["samples"]["kept"]


@pytest.mark.parametrize("source", ["{root}/**/*.tar", "file://{root}", "{root}/*/a.tar"])
def test_an_output_below_what_a_pattern_or_url_reads_is_refused(tmp_path: Path, source: str) -> None:
    write_shards(tmp_path / "shards", 1, 2)
    with pytest.raises(dedupkit.UsageError, match="lies in the source"):
        dedupkit.clean(source.format(root=tmp_path / "shards"), tmp_path / "shards" / "out")


def test_a_strip_of_a_million_pixels_costs_no_more_memory_than_a_photo() -> None:
    from PIL import Image

    strip = encoded(Image.new("L", (1_000_000, 8), 90), "PNG")
    found = dedupkit.find_duplicates(
        [{"key": "strip", "image": strip}, {"key": "photo", "image": encoded(draw_picture(1))}],
        recipe=Recipe(hygiene=Hygiene(min_side=0, max_aspect=1e6, min_contrast=0, max_blur=1)),
    )
    assert (found.samples, found.groups, found.faults) == (2, [], {})

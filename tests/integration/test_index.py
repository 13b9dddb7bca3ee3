"""The index that is kept: additions find what one build finds, whatever happens in between."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from filelock import FileLock
from PIL import ImageOps
from typer.testing import CliRunner

from dedupkit import Index, Recipe
from dedupkit.cli import app
from dedupkit.errors import DedupkitError, RunError, UsageError
from dedupkit.index import saving
from dedupkit.index.adding import Adding
from dedupkit.matching import descriptor_tables, sequential
from tests.commands import Command, run
from tests.conftest import draw_picture
from tests.integration.index_sets import BROKEN, copy, name, told, write_families

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.index_sets import Families

PRESETS: tuple[Literal["fast", "thorough"], ...] = ("fast", "thorough")
AT_ONCE = {"fast": 1, "thorough": 2}
"""Samples of each of many additions."""


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Families:
    return write_families(tmp_path_factory.mktemp("families") / "set")


@pytest.fixture(scope="module")
def grown(families: Families, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An index of each preset, made through the command line of one folder after the other."""
    made: dict[str, Path] = {}
    for preset in PRESETS:
        made[preset] = tmp_path_factory.mktemp("grown") / preset
        said("build", made[preset], families.sources[0], "--preset", preset)
        for source in families.sources[1:]:
            said("add", made[preset], source)
    return made


@pytest.fixture(scope="module")
def begun(families: Families, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the first folder."""
    place = tmp_path_factory.mktemp("begun") / "index"
    Index.build(place, families.sources[0])
    return place


@pytest.fixture(scope="module")
def enlarged(families: Families, begun: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """That index with the second folder added through the command line, and the seconds that it took."""
    place = copy(begun, tmp_path_factory.mktemp("enlarged") / "index")
    adding = started("add", place, families.sources[1])
    assert adding.wait(timeout=120) == 0
    return place, time.monotonic() - adding.began


def batched(files: list[Path], size: int) -> Iterator[list[Path]]:
    for start in range(0, len(files), size):
        yield files[start : start + size]


def said(*arguments: Any) -> Any:
    """What a command prints as JSON."""
    result = CliRunner().invoke(app, ["index", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def started(*arguments: Any) -> Command:
    return Command("index", *arguments)


def ended(*arguments: Any) -> tuple[int, str]:
    """Exit code of a command, and what it says on stderr."""
    done = run("index", *arguments)
    return done.returncode, done.stderr


@pytest.mark.parametrize("preset", PRESETS)
def test_many_additions_find_what_one_build_finds(
    preset: Literal["fast", "thorough"], families: Families, grown: dict[str, Path], tmp_path: Path
) -> None:
    whole = Index.build(tmp_path / "whole", str(families.folder), recipe=Recipe(preset=preset))
    assert len(whole.groups()) > 100
    assert told(Index.open(grown[preset])) == told(whole)
    one_by_one = Index.build(tmp_path / "one", [], recipe=Recipe(preset=preset))
    for number, files in enumerate(batched(sorted(families.folder.rglob("part[01]/*.jpg")), AT_ONCE[preset])):
        one_by_one.add([{"key": file.name, "image": file.read_bytes()} for file in files], name=f"call {number}")
    count = len(one_by_one)
    first = Index.build(tmp_path / "first", families.sources[0], recipe=Recipe(preset=preset))
    first.add(families.sources[1])
    assert told(one_by_one) == told(first)
    assert count == len(first) > 60
    assert one_by_one.info()["files"] < 30


@pytest.mark.parametrize("preset", PRESETS)
def test_groups_are_of_copies_and_hold_most_of_them(preset: str, families: Families, grown: dict[str, Path]) -> None:
    groups = defaultdict(set)
    for row in Index.open(grown[preset]).groups().to_pylist():
        groups[row["group"]].add(name(row["key"]))
    assert all(group <= families.kin(min(group)) for group in groups.values())
    together = sum(len(group) * (len(group) - 1) for group in groups.values())
    wanted = sum(len(families.kin(file)) - 1 for file in families.shown)
    assert together / wanted > {"fast": 0.5, "thorough": 0.97}[preset]


def test_faulty_samples_are_entries_of_no_group(families: Families, grown: dict[str, Path]) -> None:
    index = Index.open(grown["thorough"])
    (faulty,) = index.faults().to_pylist()
    assert (faulty["key"], faulty["source"], faulty["reason"]) == (BROKEN, families.sources[1], "corrupt_image")
    assert len(index) == len(families.shown) + 1
    assert faulty["entry"] not in index.groups()["entry"].to_pylist()


def test_what_was_added_before_is_passed_over(families: Families, grown: dict[str, Path], tmp_path: Path) -> None:
    place = copy(grown["fast"], tmp_path / "index")
    before = told(Index.open(place))
    again = said("add", place, families.sources[2])
    assert (again["samples"], len(again["known_shards"]), again["known_samples"]) == (0, 1, 0)
    assert told(Index.open(place)) == before
    folder = tmp_path / "growing"
    folder.mkdir()
    draw_picture(900).save(folder / "a.png")
    said("add", place, folder)
    draw_picture(901).save(folder / "b.png")
    again = said("add", place, folder)
    assert (again["samples"], again["known_samples"], again["pairs"]) == (1, 1, 0)


def test_equal_keys_of_other_sources_are_other_samples(grown: dict[str, Path], tmp_path: Path) -> None:
    index = Index.open(copy(grown["fast"], tmp_path / "index"))
    pictures = [draw_picture(910), draw_picture(911)]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "same.png")
        index.add([{"key": "same", "image": (tmp_path / "same.png").read_bytes()}], name=f"source {number}")
    assert [twin.source for picture in pictures for twin in index.query(picture)] == ["source 0", "source 1"]
    with pytest.raises(UsageError, match="2 samples have the key 'same', from source 0, source 1; name the source"):
        index.query_key("same")
    assert index.query_key("same", source="source 1") == []


def test_a_query_finds_edited_copies_and_says_by_which_evidence(families: Families, grown: dict[str, Path]) -> None:
    index = Index.open(grown["thorough"])
    found = expected = 0
    for picture in range(20):
        image = draw_picture(picture, 200, 150)
        wanted = {file for file, shown in families.shown.items() if shown == picture}
        for query in (ImageOps.flip(image), image.crop((15, 10, 190, 140)), np.asarray(image.resize((150, 112)))):
            twins = index.query(query)
            keys = {name(twin.key) for twin in twins}
            assert keys <= wanted
            found, expected = found + len(keys), expected + len(wanted)
            for twin in twins:
                assert twin.tier is None or (twin.tier in ("perceptual", "geometric") and "cosine" in twin.evidence)
    assert found / expected > 0.95
    assert index.query(draw_picture(5000)) == []


def test_a_query_by_bytes_or_file_is_exact(families: Families, grown: dict[str, Path]) -> None:
    file = Path(families.sources[3], sorted(Path(families.sources[3]).iterdir())[0])
    twins = said("query", grown["thorough"], file)
    assert (file.name, families.sources[3], "exact") in {(each["key"], each["source"], each["tier"]) for each in twins}
    assert twins == [twin.to_json() for twin in Index.open(grown["thorough"]).query(file.read_bytes())]
    shown = CliRunner().invoke(app, ["index", "query", str(grown["thorough"]), str(file)])
    assert f"{file.name}  {families.sources[3]}: exact" in shown.stdout


def test_twins_of_a_sample_are_those_that_were_found(families: Families, grown: dict[str, Path]) -> None:
    index = Index.open(grown["thorough"])
    groups = defaultdict(set)
    for row in index.groups().to_pylist():
        groups[row["group"]].add(name(row["key"]))
    of_file = {file: group for group in groups.values() for file in group}
    paths = {path.name: path.read_bytes() for path in families.folder.rglob("*.jpg")}
    for file in families.shown:
        twins = index.query_key(file)
        assert {name(twin.key) for twin in twins} == of_file.get(file, {file}) - {file}
        same = {other for other, data in paths.items() if data == paths[file]} - {file}
        assert {name(twin.key) for twin in twins if twin.tier == "exact"} == same


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_removed_is_not_found_and_compacting_changes_nothing_else(
    preset: Literal["fast", "thorough"], families: Families, grown: dict[str, Path], tmp_path: Path
) -> None:
    index = Index.open(copy(grown[preset], tmp_path / "index"))
    exact = [file for file in families.shown if file.endswith("-exact.jpg")]
    originals = [file.replace("exact", "original") for file in exact[:4]]
    removed = index.remove(keys=[*originals, BROKEN], like=[draw_picture(7, 200, 150)])
    gone = {name(key) for key in removed["key"].to_pylist()}
    assert gone >= {*originals, BROKEN, "007-original.jpg"}
    assert len(index) == len(families.shown) + 1 - len(gone)
    assert gone.isdisjoint(map(name, index.groups()["key"].to_pylist()))
    assert index.query(draw_picture(7, 200, 150)) == []
    twins = index.query(Path(families.folder, next(iter(families.folder.rglob(originals[0])))))
    assert exact[0] in {name(twin.key) for twin in twins}  # it takes the place of the one of the same bytes
    size = sum(index.info()["bytes"].values())
    before, named = told(index), index.pairs().select(["a", "b", "tier"]).to_pylist()
    index.compact()
    after = told(index)
    assert sum(index.info()["bytes"].values()) < size
    assert [len(after[what]) for what in ("groups", "pairs", "look_alikes")] == [
        len(before[what]) for what in ("groups", "pairs", "look_alikes")
    ]
    assert sorted(map(str, index.pairs().select(["a", "b", "tier"]).to_pylist())) == sorted(map(str, named))
    twins_after = index.query(Path(families.folder, next(iter(families.folder.rglob(originals[0])))))
    assert [(twin.key, twin.tier) for twin in twins_after] == [(twin.key, twin.tier) for twin in twins]
    draw_picture(7, 200, 150).save(tmp_path / "seven.png")
    again = index.add([{"key": "seven", "image": (tmp_path / "seven.png").read_bytes()}], name="later")
    assert (again.samples, again.pairs) == (1, 0)


def test_additions_after_a_removal_do_not_depend_on_batches_either(families: Families, tmp_path: Path) -> None:
    for number in (1, 2):
        copy(Path(families.sources[number]), tmp_path / "both" / f"part{number}")
    found = []
    for number, sources in enumerate((families.sources[1:3], [str(tmp_path / "both")])):
        index = Index.build(tmp_path / str(number), families.sources[0])
        keys = sorted(index.groups()["key"].to_pylist())
        index.remove(keys=[*keys[::2], *(key for key in keys if key.endswith("-exact.jpg"))])
        for source in sources:
            index.add(source)
        found.append(told(index))
    assert found[0] == found[1]
    assert len(found[0]["groups"]) > 30


@pytest.mark.parametrize("moment", [0.2, 0.4, 0.55, 0.7, 0.85, 1.0])
def test_an_addition_that_is_killed_leaves_the_index_as_it_was(
    moment: float,
    families: Families,
    grown: dict[str, Path],
    begun: Path,
    enlarged: tuple[Path, float],
    tmp_path: Path,
) -> None:
    whole, taken = enlarged
    place = copy(begun, tmp_path / "index")
    adding = started("add", place, families.sources[1])
    time.sleep(taken * moment * random.uniform(0.9, 1.0))
    adding.send_signal(signal.SIGKILL)
    adding.wait(timeout=30)
    assert told(Index.open(place)) in (told(Index.open(begun)), told(Index.open(whole)))
    for source in families.sources[1:]:
        said("add", place, source)
    assert told(Index.open(place)) == told(Index.open(grown["thorough"]))
    assert not (place / "work").exists() or not list((place / "work").iterdir())


def test_fingerprints_of_an_addition_that_broke_off_are_used_again(
    families: Families, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = Index.build(tmp_path / "index", families.sources[0], recipe=Recipe(preset="fast"))

    def broken(self: Adding, view_files: list[str]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Adding, "run", broken)
        with pytest.raises(KeyboardInterrupt):
            index.add(families.sources[1])
    with caplog.at_level(logging.INFO, "dedupkit"):
        index.add(families.sources[1])
    assert "fingerprints: 1 of 1 parts used again" in caplog.text
    with monkeypatch.context() as patch:
        patch.setattr(Adding, "run", broken)
        with pytest.raises(KeyboardInterrupt):
            index.add(families.sources[2])
    index.add(families.sources[3])  # another source: what the one that broke off left is of no more use
    assert list((tmp_path / "index" / "work").iterdir()) == []


def test_readers_go_on_while_a_writer_adds(families: Families, begun: Path, tmp_path: Path) -> None:
    place = copy(begun, tmp_path / "index")
    file = sorted(Path(families.sources[0]).glob("*.jpg"))[0]
    stop, wrong, asked = threading.Event(), [], [0, 0]

    def read(reader: int) -> None:
        index = Index.open(place)
        mine, expected = len(index), index.query(file)
        while not stop.wait(0.05):  # the writer wants the processor, too
            if index.query(file) != expected or len(index) != mine:
                wrong.append("a reader's own index changed")
            fresh = Index.open(place)
            if file.name not in {twin.key for twin in fresh.query(file)}:
                wrong.append("a fresh reader finds less")
            asked[reader] += 1
        index.refresh()
        if len(index) <= mine:
            wrong.append("refresh shows nothing new")

    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    for source in families.sources[1:]:
        assert started("add", place, source).wait(timeout=120) == 0
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert min(asked) > 3


def test_a_second_writer_is_refused(families: Families, grown: dict[str, Path]) -> None:
    with FileLock(grown["fast"] / "lock"):
        line = f"dedupkit: another process is writing to the index {grown['fast']}; wait for it\n"
        assert ended("add", grown["fast"], families.sources[0]) == (2, line)


def changed_state(place: Path, **changes: Any) -> None:
    from dedupkit.storage import digest

    values = json.loads((place / "index.json").read_text()) | changes
    values.pop("digest")
    (place / "index.json").write_text(json.dumps(values | {"digest": digest(values)}))


def test_an_index_of_another_format_make_or_recipe_is_refused(grown: dict[str, Path], tmp_path: Path) -> None:
    place = copy(grown["thorough"], tmp_path / "index")
    with pytest.raises(UsageError, match=r"was built by another recipe \(matching differ"):
        Index.open(place, recipe=Recipe.of({"matching": {"min_cosine": 0.7}}))
    changed_state(place, made_by={"fingerprints": "fingerprints/6", "views": "views/4", "descriptor": "another"})
    with pytest.raises(UsageError, match=r"made by another version of: .*descriptor.*build it anew"):
        Index.open(place)
    changed_state(place, format=2)
    with pytest.raises(UsageError, match=r"is an index of format 2, .*reads format 1: build it anew"):
        Index.open(place)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("entries", {"name": "../../secret"}),
        ("entries", {"stop": 10**9}),
        ("pairs", {"byte_size": "many"}),
        ("search", {"start": -1}),
        ("", {"entries": 10**12}),
        ("", {"files": {}}),
        ("", {"shards": [1]}),
        ("", {"lists": {"first_entries": None}}),
    ],
)
def test_a_state_that_somebody_changed_is_refused_though_its_digest_fits(
    part: str, change: dict[str, Any], grown: dict[str, Path], tmp_path: Path
) -> None:
    place = copy(grown["fast"], tmp_path / "index")
    files = json.loads((place / "index.json").read_text())["files"]
    if part:
        files[part][0] |= change
    changed_state(place, **({"files": files} if part else change))
    with pytest.raises(RunError, match=r"is damaged[^\n]*; put back a copy of the index"):
        Index.open(place)


@pytest.mark.parametrize("kind", ["search", "entries", "pairs", "views"])
def test_offsets_that_lie_outside_of_a_file_do_not_end_the_process(
    kind: str, grown: dict[str, Path], tmp_path: Path
) -> None:
    place = copy(grown["thorough"], tmp_path / "index")
    named = json.loads((place / "index.json").read_text())["files"][kind][0]["name"]
    data = (place / named).read_bytes()
    wild = (1 << 30).to_bytes(4, "little")
    for at in range(0, len(data) - 8, max(8, len(data) // 64 & ~7)):
        (place / named).write_bytes(data[:at] + wild * 2 + data[at + 8 :])
        code, line = asked_for(place)
        assert code == 0 or "is damaged" in line, (at, line)


def asked_for(place: Path) -> tuple[int, str]:
    """What a process says that opens an index and asks it everything."""
    try:
        index = Index.open(place)
        index.query(draw_picture(1))
        for ask in (index.pairs, index.groups, index.faults):
            ask()
    except DedupkitError as error:
        return 1, str(error)
    return 0, ""


@pytest.mark.parametrize("kind", ["search", "entries", "pairs", "views"])
@pytest.mark.parametrize("harm", ["missing", "short"])
def test_a_damaged_file_is_named_in_one_line(kind: str, harm: str, grown: dict[str, Path], tmp_path: Path) -> None:
    place = copy(grown["thorough"], tmp_path / "index")
    file = place / json.loads((place / "index.json").read_text())["files"][kind][-1]["name"]
    if harm == "missing":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(RunError, match=rf"^{file} of the index is damaged: [^\n]*; put back a copy of the index"):
        Index.open(place)
    code, line = ended("info", place)
    assert (code, len(line.splitlines())) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("query", "absent", "x.jpg"), "is no index; make one with `dedupkit index build"),
        (("add", "s3://bucket/index", "x"), "is a URL; an index lies in a local folder"),
        (("build", "index", "SOURCE", "--expected-samples", "0"), "expected_samples must be 1 or more, got 0"),
        (("build", "index", "SOURCE", "--views", "some"), "views must be"),
        (("build", "GROWN", "SOURCE"), "holds an index of"),
        (("build", "SOURCE", "SOURCE"), "holds files that are no index"),
        (("query", "GROWN", "absent.jpg"), "absent.jpg cannot be read"),
        (("query", "GROWN", "BROKEN"), "the image cannot be compared"),
        (("remove", "GROWN"), "nothing is named to be removed"),
        (("remove", "GROWN", "--key", "nobody"), "the index holds no sample with the key 'nobody'"),
    ],
)
def test_wrong_arguments_end_in_one_line(
    arguments: tuple[str, ...], message: str, families: Families, grown: dict[str, Path], tmp_path: Path
) -> None:
    named = {"SOURCE": families.sources[0], "GROWN": str(grown["fast"]), "index": str(tmp_path / "index")}
    named["BROKEN"] = str(Path(families.sources[1], BROKEN))
    result = CliRunner().invoke(app, ["index", *(named.get(each, each) for each in arguments)])
    assert isinstance(result.exception, DedupkitError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_without_views_pairs_in_doubt_are_look_alikes(families: Families, tmp_path: Path) -> None:
    index = Index.build(tmp_path / "index", str(families.folder), views="none")
    assert "views" not in index.info()["bytes"]
    assert set(index.pairs()["tier"].to_pylist()) == {"exact", "perceptual"}
    assert set(index.look_alikes()["tier"].to_pylist()) == {"look_alike"}
    assert index.look_alikes()["score"].null_count == index.look_alikes().num_rows > 0


def test_the_radius_is_chosen_for_the_expected_size(tmp_path: Path) -> None:
    from dedupkit.matching.radius import max_hamming_bits
    from dedupkit.recipe import Matching

    sizes = (1000, 50_000_000)
    built = [Index.build(tmp_path / str(size), [], expected_samples=size).info() for size in sizes]
    assert [each["max_hamming_bits"] for each in built] == [max_hamming_bits(Matching(), size) for size in sizes]


def test_an_index_is_a_context_and_prints_what_it_holds(grown: dict[str, Path]) -> None:
    with Index.open(grown["thorough"]) as index:
        shown = CliRunner().invoke(app, ["index", "info", str(grown["thorough"])]).stdout
        assert shown.startswith(f"{len(index)} samples, 1 without a usable image, 0 removed\n")
        assert index.info()["expected_samples"] == 1_000_000


def test_lists_and_files_in_between_do_not_depend_on_additions_either(
    families: Families, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "_WRITTEN_FROM", 16)
    monkeypatch.setattr(sequential, "MOST_AT_ONCE", 16)
    monkeypatch.setattr(descriptor_tables, "_FEW_ROWS", 64)
    lists = {"first_entries": 40, "growth": 2, "rows_a_cell": 10, "visited_cells": 2}
    found = []
    for number, sources in enumerate((families.sources, [str(families.folder)])):
        place = tmp_path / str(number)
        Index.build(place, [])
        changed_state(place, lists=lists)
        index = Index.open(place)
        for source in sources:
            index.add(source)
        found.append(told(index))
        info = index.info()
        assert info["lists_made_at"] == 160
        assert 0 < info["list_recall"] <= 1
        index.remove(keys=index.faults()["key"].to_pylist())  # a writer clears away what no state names
        named = {
            file["name"] for files in json.loads((place / "index.json").read_text())["files"].values() for file in files
        }
        assert {path.name for path in place.glob("*.arrow")} <= named | {path.name for path in place.glob("removed-*")}
    assert found[0] == found[1]
    index.compact()
    after = told(index)
    assert (after["samples"], after["faults"]) == (found[1]["samples"] - 1, [])
    assert [pair["score"] for pair in after["pairs"]] == [pair["score"] for pair in found[1]["pairs"]]

"""Results for FiftyOne and Label Studio, and people's answers back."""

from __future__ import annotations

import base64
import io
import json
import shutil
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageOps

import dedupkit
from dedupkit.demo import example_images
from dedupkit.interop import Override, overrides_from_label_studio, to_fiftyone, to_label_studio, write_overrides

if TYPE_CHECKING:
    from pathlib import Path

FAST = dedupkit.Recipe(preset="fast")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, the first once more, once smaller and once mirrored; one broken file."""
    made = tmp_path_factory.mktemp("photos")
    photos = sorted(example_images().glob("photo-*.jpg"))[:2]
    for photo in photos:
        shutil.copy(photo, made / photo.name)
    shutil.copy(photos[0], made / "x-same.jpg")
    with Image.open(photos[0]) as opened:
        opened.resize((opened.width // 2, opened.height // 2)).save(made / "y-small.jpg")
        exif = opened.getexif()
        exif[0x010E] = "taken at home"
        ImageOps.mirror(opened).save(made / "z<b>mirror.jpg", exif=exif)
    (made / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return made


@pytest.fixture(scope="module")
def result(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dedupkit.Result:
    return dedupkit.clean(folder, tmp_path_factory.mktemp("out") / "clean", recipe=FAST)


@pytest.fixture(scope="module")
def found(folder: Path) -> dedupkit.Found:
    return dedupkit.find_duplicates(folder, recipe=FAST)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_fiftyone_gets_every_sample_of_a_run_with_its_decision(
    result: dedupkit.Result, folder: Path, tmp_path: Path
) -> None:
    """The mappings that FiftyOne 1.22's LegacyFiftyOneDatasetImporter makes samples of."""
    out = to_fiftyone(result, tmp_path / "fo", source=folder)
    samples = {sample["key"]: sample for sample in read(out / "samples.json")["samples"]}
    decided = {row["key"]: row for row in result.decisions().to_pylist()}
    assert samples.keys() == decided.keys()
    for key, sample in samples.items():
        assert sample["filepath"] == str(folder / key)
        assert sample["tags"] == [decided[key]["action"], decided[key]["reason"]]
        assert sample["kept_key"] == decided[key]["kept_key"]
    assert samples["x-same.jpg"]["similarity"] == 1.0
    assert len({samples[key]["duplicate_group"] for key in ("x-same.jpg", "y-small.jpg", "z<b>mirror.jpg")}) == 1
    fields = read(out / "metadata.json")["sample_fields"]
    assert all(set(sample) == set(fields) for sample in samples.values())


def test_pictures_that_are_no_files_are_written_beside_the_samples(
    found: dedupkit.Found, folder: Path, tmp_path: Path
) -> None:
    rows = [{"key": path.name, "image": path.read_bytes()} for path in sorted(folder.iterdir())]
    out = to_fiftyone(found, tmp_path / "fo", source=rows)
    samples = read(out / "samples.json")["samples"]
    assert [sample["key"] for sample in samples] == found.groups[0]
    for sample in samples:
        assert (out / sample["filepath"]).read_bytes() == (folder / sample["key"]).read_bytes()


def test_label_studio_gets_the_doubtful_pairs_of_a_run_with_small_pictures(
    result: dedupkit.Result, folder: Path, tmp_path: Path
) -> None:
    out = to_label_studio(result, tmp_path / "tasks", source=folder)
    tasks = read(out / "tasks.json")
    assert {task["data"]["key_b"] for task in tasks} == {"y-small.jpg", "z<b>mirror.jpg"}
    kept = {row["key"]: row["kept_key"] for row in result.decisions().to_pylist()}
    for task in tasks:
        data = task["data"]
        assert data["key_a"] == kept[data["key_b"]]
        for name in ("image_a", "image_b"):
            picture = base64.b64decode(data[name].removeprefix("data:image/jpeg;base64,"))
            assert b"taken at home" not in picture
            with Image.open(io.BytesIO(picture)) as opened:
                assert max(opened.size) <= 512
        (choice,) = task["predictions"][0]["result"]
        assert choice["value"] == {"choices": ["copy"]}


def test_the_labelling_interface_names_what_the_tasks_hold(
    result: dedupkit.Result, folder: Path, tmp_path: Path
) -> None:
    out = to_label_studio(result, tmp_path / "tasks", source=folder)
    tree = ElementTree.parse(out / "config.xml")
    wanted = {tag.get("value", "")[1:] for tag in tree.iter() if tag.get("value", "").startswith("$")}
    assert all(wanted <= task["data"].keys() for task in read(out / "tasks.json"))
    (choices,) = tree.iter("Choices")
    named = {tag.get("name") for tag in tree.iter()}
    assert {choices.get("name"), choices.get("toName")} <= named
    assert [choice.get("value") for choice in choices] == ["copy", "different", "unsure"]


def annotated(task: dict[str, Any], *answers: str) -> dict[str, Any]:
    """As Label Studio exports it in its format JSON."""
    made = [
        {"from_name": "answer", "to_name": "image_a", "type": "choices", "value": {"choices": [each]}}
        for each in answers
    ]
    return {"id": 1, **task, "annotations": [{"was_cancelled": False, "result": [choice]} for choice in made]}


def test_what_people_call_different_is_kept(result: dedupkit.Result, folder: Path, tmp_path: Path) -> None:
    tasks = {
        task["data"]["key_b"]: task for task in read(to_label_studio(result, tmp_path, source=folder) / "tasks.json")
    }
    answers = [annotated(tasks["y-small.jpg"], "copy"), annotated(tasks["z<b>mirror.jpg"], "different")]
    (tmp_path / "export.json").write_text(json.dumps(answers))
    (override,) = overrides_from_label_studio(tmp_path / "export.json")
    assert (override.key, override.action) == ("z<b>mirror.jpg", "keep")
    write_overrides([override], tmp_path / "overrides.json")
    assert read(tmp_path / "overrides.json") == {
        "dedupkit_overrides": 1,
        "overrides": [{"key": "z<b>mirror.jpg", "action": "keep", "note": override.note}],
    }


def pair(thought: str, dropped: str = "") -> dict[str, Any]:
    return {"data": {"key_a": "a", "key_b": "b", "thought": thought, "dropped": dropped}}


@pytest.mark.parametrize(
    ("task", "answers", "expected"),
    [
        (pair("copy", "b"), ["different"], [("b", "keep")]),
        (pair("copy"), ["different"], [("a", "keep"), ("b", "keep")]),
        (pair("different"), ["copy"], [("b", "drop")]),
        (pair("different"), ["different"], []),
        (pair("copy", "b"), ["unsure"], []),
        (pair("copy", "b"), [], []),
        (pair("copy", "b"), ["copy", "different"], []),
        (pair("copy", "b"), ["copy", "different", "different"], [("b", "keep")]),
    ],
)
def test_answers_become_overrides_where_most_people_disagree_with_the_run(
    task: dict[str, Any], answers: list[str], expected: list[tuple[str, str]]
) -> None:
    assert [(each.key, each.action) for each in overrides_from_label_studio([annotated(task, *answers)])] == expected


def test_a_sample_that_is_to_be_kept_for_one_pair_is_not_dropped_for_another() -> None:
    answers = [
        annotated(pair("different"), "copy"),
        annotated({"data": {**pair("copy")["data"], "key_a": "c"}}, "different"),
    ]
    assert [(each.key, each.action) for each in overrides_from_label_studio(answers)] == [("c", "keep"), ("b", "keep")]


@pytest.mark.parametrize("content", ["{}", "[{}]", "no JSON", '[{"data": {"image": "a.jpg"}}]'])
def test_another_export_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(dedupkit.UsageError, match="export"):
        overrides_from_label_studio(tmp_path / "export.json")


def test_overrides_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(dedupkit.UsageError, match=r"overrides of 'a' say keep and drop"):
        write_overrides([Override("a", "keep"), Override("a", "drop")], tmp_path / "overrides.json")
    with pytest.raises(dedupkit.UsageError, match="action must be one of keep, drop, keep_group"):
        Override("a", "burn")  # type: ignore[arg-type]


def test_a_result_without_its_source_is_refused(result: dedupkit.Result, tmp_path: Path) -> None:
    with pytest.raises(dedupkit.UsageError, match="give source, what was cleaned or searched"):
        to_fiftyone(result, tmp_path, source=None)

"""Marks made by hand are obeyed: through the CLI, by every stage, and without doing again what they do not touch."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import dedupkit
from dedupkit.canaries.planting import Planting
from dedupkit.recipe import Blocklist, Canaries, Captions, Keep, Recipe
from tests.commands import run
from tests.conftest import draw_picture
from tests.integration.conftest import Planted, encoded, write_shards
from tests.integration.test_clean import tree

if TYPE_CHECKING:
    from pathlib import Path

FAST = Recipe(preset="fast")


def file_of(folder: Path, *rows: dict[str, Any], name: str = "marks.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"dedupkit_overrides": 1, "overrides": list(rows)}), encoding="utf-8")
    return folder / name


def mark(key: str, action: str, note: str | None = None) -> dict[str, Any]:
    return {"key": key, "action": action} | ({} if note is None else {"note": note})


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in pq.read_table(out / "decisions.parquet").to_pylist()}


def folder_of(root: Path, **images: bytes) -> Path:
    (root / "images").mkdir(parents=True)
    for name, data in images.items():
        (root / "images" / f"{name}.jpg").write_bytes(data)
        (root / "images" / f"{name}.txt").write_text(f"what {name} shows, in words")
    return root / "images"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_shards(tmp_path_factory.mktemp("laion") / "shards", 3, 5)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four copies of one picture at falling quality, a picture of its own, a blank one and a broken file."""
    picture = draw_picture(1)
    copies = {f"copy{number}": encoded(picture, quality=95 - 10 * number) for number in range(4)}
    blank, alone = draw_picture(3).point(lambda _: 128), encoded(draw_picture(2))
    return folder_of(
        tmp_path_factory.mktemp("review"), **copies, alone=alone, blank=encoded(blank), broken=alone[: len(alone) // 3]
    )


def cleaned(source: Path, out: Path, *rows: dict[str, Any], recipe: Recipe = FAST) -> dict[str, dict[str, Any]]:
    result = dedupkit.clean(source, out, recipe=recipe, overrides=list(rows))
    emitted = result.dataset()
    found = rows_of(out)
    assert set(emitted["key"]) == {key for key, row in found.items() if row["action"] == "keep"}
    for row in emitted:
        assert row["weight"] == pytest.approx(1 / found[row["key"]]["copies_kept"])
    return found


def test_the_command_obeys_a_file_and_the_recipe_names_it_by_digest(images: Path, tmp_path: Path) -> None:
    marks = file_of(
        tmp_path / "secret folder",
        mark("copy0.jpg", "drop", "water\nmark"),
        mark("blank.jpg", "keep"),
        mark("alone.jpg", "keep", "mine"),
        mark("broken.jpg", "keep"),
        mark("nobody.jpg", "keep"),
        mark("alone.jpg", "keep_group"),
        mark("blank.jpg", "keep_group"),
    )
    out = tmp_path / "out"
    done = run("clean", images, out, "--preset", "fast", "--overrides", marks)
    assert done.returncode == 0, done.stderr
    rows = rows_of(out)
    assert (rows["copy0.jpg"]["reason"], rows["copy0.jpg"]["detail"]) == ("dropped_by_hand", "water mark")
    assert rows["copy0.jpg"]["kept_key"] is None
    assert rows["copy1.jpg"]["reason"] == "representative"
    assert {rows[f"copy{number}.jpg"]["kept_key"] for number in (2, 3)} == {"copy1.jpg"}
    assert (rows["blank.jpg"]["reason"], rows["blank.jpg"]["detail"]) == ("kept_by_hand", "instead of blank")
    assert (rows["alone.jpg"]["reason"], rows["alone.jpg"]["detail"]) == ("kept_by_hand", "mine")
    assert rows["broken.jpg"]["reason"] == "truncated_image"
    said = [line for line in done.stderr.splitlines() if "overrides" in line]
    assert len(said) == 2
    assert "1 marks are of keys that no sample has, such as nobody.jpg" in said[0]
    assert "1 marks could not be obeyed, such as broken.jpg" in said[1]
    digest = hashlib.sha256(marks.read_bytes()).hexdigest()
    report = json.loads((out / "report.json").read_text())
    assert report["overrides"] == {
        "file": "marks.json", "sha256": digest, "marks": 5, "kept": 2, "dropped": 1, "unknown_keys": 1,
        "not_obeyed": 1, "without_group": 0,
    }  # fmt: skip
    assert Recipe.load(out / "recipe.toml").overrides.sha256 == digest
    for name in ("recipe.toml", "report.json", "report.html"):
        assert "secret folder" not in (out / name).read_text(encoding="utf-8")
    assert "Kept by hand" in (out / "report.html").read_text(encoding="utf-8")
    again = run("clean", images, tmp_path / "again", "--recipe", out / "recipe.toml")
    assert again.returncode == 2
    assert "marks.json cannot be read" in again.stderr
    assert "--overrides" in again.stderr
    again = run("clean", images, tmp_path / "again", "--recipe", out / "recipe.toml", "--overrides", marks)
    assert again.returncode == 0
    assert tree(tmp_path / "again") == tree(out)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no marks"),
        ('{"dedupkit_overrides": 2, "overrides": []}', "is of version '2', this dedupkit reads 1"),
        ('{"dedupkit_overrides": 1, "overrides": [{"key": "a", "action": "burn"}]}', r"overrides\[0\].action"),
        ('{"dedupkit_overrides": 1, "overrides": [{"key": 1, "action": "keep"}]}', r"overrides\[0\].key"),
        ('{"dedupkit_overrides": 1, "overrides": [], "x": 1}', "holds 'x'"),
        (
            '{"dedupkit_overrides": 1, "overrides": [{"key": "a", "action": "keep"}, {"key": "a", "action": "drop"}]}',
            "marks 'a' both drop and keep; leave one",
        ),
        (
            '{"dedupkit_overrides": 1, "overrides": [{"key": "a", "action": "drop"}, {"key": "a", '
            '"action": "keep_group"}]}',
            "marks 'a' both drop and keep_group",
        ),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_written(text: str, said: str, images: Path, tmp_path: Path) -> None:
    (tmp_path / "marks.json").write_text(text)
    with pytest.raises(dedupkit.UsageError, match=said) as raised:
        dedupkit.clean(images, tmp_path / "out", overrides=tmp_path / "marks.json")
    assert "\n" not in str(raised.value)
    assert str(tmp_path) not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_what_a_person_keeps_stays_beside_the_representative_and_shares_its_weight(
    images: Path, tmp_path: Path
) -> None:
    rows = cleaned(images, tmp_path / "out", mark("copy2.jpg", "keep", "the crop"))
    assert rows["copy0.jpg"]["reason"] == "representative"
    assert (rows["copy2.jpg"]["reason"], rows["copy2.jpg"]["detail"]) == ("kept_by_hand", "the crop")
    assert {rows[f"copy{number}.jpg"]["copies_kept"] for number in (0, 2)} == {2}
    assert [rows[f"copy{number}.jpg"]["copy"] for number in (0, 2)] == [0, 1]
    assert [rows[f"copy{number}.jpg"]["kept_key"] for number in (1, 3)] == ["copy0.jpg"] * 2


def test_one_kept_and_the_representative_dropped_is_an_exchange(images: Path, tmp_path: Path) -> None:
    rows = cleaned(images, tmp_path / "out", mark("copy3.jpg", "keep"), mark("copy0.jpg", "drop"))
    assert {key for key, row in rows.items() if row["action"] == "keep"} == {"copy3.jpg", "alone.jpg"}
    assert [rows[f"copy{number}.jpg"]["kept_key"] for number in (1, 2)] == ["copy3.jpg"] * 2


def test_a_group_that_is_undone_is_none(images: Path, tmp_path: Path) -> None:
    rows = cleaned(images, tmp_path / "out", mark("copy0.jpg", "keep_group", "four views"), mark("copy1.jpg", "drop"))
    for number in (0, 2, 3):
        row = rows[f"copy{number}.jpg"]
        assert (row["reason"], row["detail"], row["group"], row["copies_kept"]) == (
            "kept_by_hand",
            "four views",
            None,
            1,
        )
    assert rows["copy1.jpg"]["reason"] == "dropped_by_hand"
    emitted = dedupkit.clean(
        images, tmp_path / "out", recipe=FAST, overrides=[mark("copy0.jpg", "keep_group")]
    ).dataset()
    assert all(len(row["captions"]) == 1 for row in emitted)


def test_captions_of_what_is_dropped_by_hand_go_to_nobody(images: Path, tmp_path: Path) -> None:
    emitted = dedupkit.clean(images, tmp_path / "out", recipe=FAST, overrides=[mark("copy0.jpg", "drop")]).dataset()
    captions = {row["key"]: row["captions"] for row in emitted}
    assert captions["copy1.jpg"] == [f"what copy{number} shows, in words" for number in (1, 2, 3)]


def test_max_copies_counts_who_is_left(images: Path, tmp_path: Path) -> None:
    recipe = Recipe(preset="fast", keep=Keep(max_copies=2))
    rows = cleaned(images, tmp_path / "out", mark("copy0.jpg", "drop"), mark("copy3.jpg", "keep"), recipe=recipe)
    kept = {key: row["copies_kept"] for key, row in rows.items() if key.startswith("copy") and row["action"] == "keep"}
    assert kept == {"copy3.jpg": 2, "copy1.jpg": 2}


def test_marks_win_over_blocklists_captions_and_reference_sets(images: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("alone.jpg\nbroken.jpg\ncopy3.jpg\n")
    recipe = Recipe(
        preset="fast",
        blocklist=Blocklist(keys=(str(tmp_path / "keys.txt"),)),
        captions=Captions(url_only="quarantine"),
    )
    source = folder_of(tmp_path, link=encoded(draw_picture(9)), **{
        name: (images / f"{name}.jpg").read_bytes() for name in ("alone", "broken", "copy3")
    })  # fmt: skip
    (source / "link.txt").write_text("https://example.org/9")
    before = cleaned(source, tmp_path / "out", recipe=recipe)
    assert {key: row["reason"] for key, row in before.items()} == {
        "alone.jpg": "blocked", "broken.jpg": "blocked", "copy3.jpg": "blocked", "link.jpg": "bad_caption",
    }  # fmt: skip
    wanted = [mark(f"{name}.jpg", "keep") for name in ("alone", "broken", "link")]
    after = cleaned(source, tmp_path / "out", *wanted, recipe=recipe)
    assert {key: row["reason"] for key, row in after.items()} == {
        "alone.jpg": "kept_by_hand", "broken.jpg": "blocked", "copy3.jpg": "blocked", "link.jpg": "kept_by_hand",
    }  # fmt: skip
    result = dedupkit.clean(source, tmp_path / "out", recipe=recipe, overrides=wanted)
    emitted = {row["key"]: row for row in result.dataset()}
    assert (emitted["alone.jpg"]["width"], emitted["alone.jpg"]["height"]) == (320, 240)
    found = dedupkit.decontaminate(
        source, {"eval": images}, tmp_path / "clean", recipe=FAST, overrides=[mark("alone.jpg", "keep", "ours")]
    )
    rows = rows_of(tmp_path / "clean")
    assert (rows["alone.jpg"]["reason"], rows["alone.jpg"]["tier"]) == ("kept_by_hand", None)
    assert rows["copy3.jpg"]["reason"] == "contaminated"
    assert found.result is not None


def test_what_was_taken_down_stays_out(images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dedupkit.clean(images, tmp_path / "out", recipe=FAST)
    dedupkit.remove(tmp_path / "out", keys=["alone.jpg"])
    rows = cleaned(images, tmp_path / "out", mark("alone.jpg", "keep"))
    assert rows["alone.jpg"]["reason"] == "blocked"
    assert "could not be obeyed, such as alone.jpg" in caplog.text


def receipts(out: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted((out / ".dedupkit" / "receipts").rglob("*.json")):
        name = str(path.relative_to(out / ".dedupkit" / "receipts"))
        found[name] = (path.stat().st_mtime_ns, path.read_bytes())
    return found


def test_a_second_run_after_review_does_again_what_depends_on_the_marks_alone(planted: Planted, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", Recipe()
    dedupkit.clean(planted.folder, out, recipe=recipe)
    before, whole = receipts(out), tree(out)
    copy, original = next(iter(planted.copies.items()))
    kept = next(each for each in (copy, original) if rows_of(out)[each]["action"] == "keep")
    dedupkit.clean(planted.folder, out, recipe=recipe, overrides=[mark(kept, "drop")])
    after = receipts(out)
    stages = {name.partition("/")[0] for name in after if before.get(name) != after[name]}
    assert stages == {"overrides", "decisions", "settled_captions", "dataset"} | (stages & {"thumbnails"})
    for stage in ("fingerprints", "candidates", "pairs", "captions"):
        assert {name for name in before if name.startswith(f"{stage}/")}
        assert all(before[name] == after[name] for name in before if name.startswith(f"{stage}/"))
    other = next(each for each in (copy, original) if each != kept)
    assert rows_of(out)[other]["action"] == "keep"
    changed = [name for name in after if name.startswith("dataset/") and before.get(name) != after[name]]
    assert len(changed) < 3  # only shards that hold one of the two
    dedupkit.clean(planted.folder, out, recipe=recipe)
    assert tree(out) == whole


def test_marks_hold_in_parts_with_little_memory_and_do_not_depend_on_how_the_run_went(
    planted: Planted, tmp_path: Path
) -> None:
    rows = [mark(key, ("keep", "keep_group")[number % 2]) for number, key in enumerate(planted.copies)]
    rows += [mark(key, "drop") for key in list(planted.copies.values())[::3]]
    rows += [mark(f"unknown-{number}", "keep", "x" * 20) for number in range(100_000)]
    first = dedupkit.clean(planted.folder, tmp_path / "a", recipe=FAST, overrides=rows)
    dedupkit.clean(planted.folder, tmp_path / "b", recipe=FAST)  # first without marks
    small = dedupkit.clean(planted.folder, tmp_path / "b", recipe=FAST, overrides=rows, memory="512MiB")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert first.summary["overrides"]["unknown_keys"] == 100_000
    assert small.summary["overrides"] == first.summary["overrides"]
    reasons = Counter(row["reason"] for row in rows_of(tmp_path / "a").values())
    assert reasons["dropped_by_hand"] == len(planted.copies.values()) // 3 + (len(planted.copies) % 3 > 0)


def test_lists_are_reviewed_too(tmp_path: Path) -> None:
    import pyarrow as pa

    urls = [f"https://example.org/{number}" for number in (1, 1, 2, 3)]
    table = pa.table({"key": ["a", "b", "c", "d"], "url": urls, "embedding": [[1.0, 0], [1.0, 0], [0, 1.0], [-1.0, 0]]})
    pq.write_table(table, tmp_path / "list.parquet")
    (tmp_path / "keys.txt").write_text("d\n")
    recipe = Recipe(blocklist=Blocklist(keys=(str(tmp_path / "keys.txt"),)))
    marks = [mark("b", "keep"), mark("d", "keep"), mark("c", "drop")]
    result = dedupkit.clean(tmp_path / "list.parquet", tmp_path / "out", recipe=recipe, overrides=marks)
    assert sorted(result.dataset()["key"]) == ["a", "b", "d"]


def test_canaries_cannot_be_dropped_and_nothing_says_which_they_are(tmp_path: Path) -> None:
    planted = write_shards(tmp_path / "shards", 1, 8)
    recipe = Recipe(preset="fast", canaries=Canaries(planted=2, controls=2, repetitions=(1, 2), kinds=("texture",)))
    out = tmp_path / "out"
    dedupkit.clean(planted.folder, out, recipe=recipe)
    planting = Planting.open(tmp_path / "out.canaries.private.json")
    seen = pq.read_table(out / ".dedupkit" / "fingerprints", columns=["position", "sha256"]).to_pylist()
    positions = {row["position"] for row in seen if row["sha256"] and planting.holds(row["sha256"])}
    secret = [key for key, row in rows_of(out).items() if row["position"] in positions]
    assert secret
    whole = tree(out)
    with pytest.raises(dedupkit.UsageError, match="1 planted canaries") as raised:
        dedupkit.clean(planted.folder, out, recipe=recipe, overrides=[mark(secret[0], "drop")])
    assert secret[0] not in str(raised.value)
    assert {name: each for name, each in tree(out).items() if not name.startswith(".dedupkit")} == {
        name: each for name, each in whole.items() if not name.startswith(".dedupkit")
    }
    ordinary = next(key for key, row in rows_of(out).items() if row["reason"] == "unique" and key not in secret)
    dedupkit.clean(planted.folder, out, recipe=recipe, overrides=[mark(secret[0], "keep"), mark(ordinary, "keep")])
    mine, theirs = (rows_of(out)[key] for key in (secret[0], ordinary))
    assert {name for name in mine if mine[name] != theirs[name]} <= {"position", "key", "shard"}

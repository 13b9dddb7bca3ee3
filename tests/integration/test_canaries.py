"""Canaries through real sources: a folder and tars, planted, cleaned, verified, proved, and kept secret."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import stat
import tarfile
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import dedupkit
from dedupkit.canaries import Planting, detect, make, read_manifest, verify
from dedupkit.canaries.commands import app
from dedupkit.demo import example_images
from dedupkit.errors import UsageError
from dedupkit.recipe import Canaries, Recipe
from dedupkit.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dedupkit.canaries import Made


@cache
def photos() -> list[Image.Image]:
    """The photographs that come with dedupkit."""
    return [Image.open(path).convert("RGB") for path in sorted(example_images().glob("photo-*.jpg"))]


def natural(seed: int) -> bytes:
    """A part of a photograph, in one of three sizes and one of three qualities."""
    rng, photo = np.random.default_rng(seed), photos()[seed % len(photos())]
    width, height = ((160, 120), (128, 128), (112, 144))[seed % 3]
    most = min(photo.width / width, photo.height / height)
    scale = rng.uniform(min(1, most), min(3, most))
    wide, high = int(width * scale), int(height * scale)
    left, top = int(rng.integers(photo.width - wide + 1)), int(rng.integers(photo.height - high + 1))
    part = photo.resize((width, height), Image.Resampling.LANCZOS, (left, top, left + wide, top + high))
    buffer = io.BytesIO()
    part.save(buffer, "JPEG", quality=(70, 80, 90)[int(rng.integers(3))])
    return buffer.getvalue()


def write_folder(folder: Path, count: int) -> Path:
    (folder / "set").mkdir(parents=True)
    for number in range(count):
        (folder / f"set/IMG_{3 * number + 1:05d}.jpg").write_bytes(natural(number))
        (folder / f"set/IMG_{3 * number + 1:05d}.txt").write_text(f"picture {number} of something in a garden")
    return folder / "set"


def write_tars(folder: Path, count: int) -> Path:
    (folder / "set").mkdir(parents=True)
    for shard in range(4):
        with tarfile.open(folder / f"set/{shard:05d}.tar", "w") as tar:
            for number in range(shard, count, 4):
                key = f"{shard:05d}{3 * number:05d}"
                meta = json.dumps({"url": f"https://example.org/{key}", "key": key, "width": 160}).encode()
                caption = f"picture {number} of something in a garden".encode()
                for ending, data in (("jpg", natural(number)), ("txt", caption), ("json", meta)):
                    member = tarfile.TarInfo(f"{key}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return folder / "set"


@pytest.fixture(scope="module", params=[write_folder, write_tars], ids=["folder", "tars"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Made]:
    """A set, its manifest, and what making it gave; each canary stands there once, as dedup is not told of them yet."""
    folder = tmp_path_factory.mktemp("canaries")
    write: Callable[[Path, int], Path] = request.param
    source = write(folder, 120)
    manifest = folder / "out.canaries.private.json"
    return source, manifest, make(source, manifest, Canaries(planted=12, controls=6, repetitions=(1,)))


def test_a_cleaned_set_holds_every_canary_and_tells_of_none(made: Any, tmp_path: Path) -> None:
    source, manifest, result = made
    planted = Planting.open(manifest).around(open_source(source))
    cleaned = dedupkit.clean(planted, tmp_path / "out", recipe=Recipe(preset="fast"))
    assert cleaned.summary["samples"]["in"] == 132
    found = verify(result.manifest, tmp_path / "out")
    assert found.right
    assert found.unchanged
    decisions = cleaned.decisions().to_pylist()
    canaries = {canary.sha256 for canary in result.manifest.planted}
    keys = {
        sample.key
        for shard in planted.shards()
        for sample in planted.read(shard)
        if hashlib.sha256(sample.image or b"").digest() in canaries
    }
    rows = [row for row in decisions if row["key"] in keys]
    assert len(rows) == 12
    assert {(row["action"], row["reason"], row["group_size"], row["detail"]) for row in rows} == {
        ("keep", "unique", 1, None)
    }
    assert not any(row["notes"] for row in rows)
    public = [tmp_path / "out" / name for name in ("report.json", "report.html", "recipe.toml")]
    for name in ("dataset_info.json", "state.json", "README.md"):
        public += (tmp_path / "out").rglob(name)
    texts = [path.read_text(encoding="utf-8") for path in public]
    texts += [path.read_text(encoding="utf-8") for path in (tmp_path / "out/.dedupkit/receipts").rglob("*.json")]
    private = [result.manifest.secret, *keys]
    private += [str(each.caption) for each in result.manifest.canaries]
    private += [each.sha256.hex() for each in result.manifest.canaries]
    assert [secret for secret in private for text in texts if secret in text] == []


def test_in_file_order_the_canaries_stand_anywhere(made: Any) -> None:
    source, manifest, result = made
    planted = Planting.open(manifest).around(open_source(source))
    own = {canary.sha256 for canary in result.manifest.planted}
    shares, keys = [], []
    for shard in planted.shards():
        samples = list(planted.read(shard))
        keys += [sample.key for sample in samples]
        shares += [
            row / len(samples)
            for row, sample in enumerate(samples)
            if hashlib.sha256(sample.image or b"").digest() in own
        ]
    assert keys == sorted(set(keys))
    assert len(shares) == 12
    assert 0.2 < np.mean(shares) < 0.8


def test_a_resumed_run_makes_the_same_bytes(made: Any, tmp_path: Path) -> None:
    source, manifest, _ = made
    outs = []
    for name in ("a", "b"):
        planted = Planting.open(manifest).around(open_source(source))
        dedupkit.clean(planted, tmp_path / name, recipe=Recipe(preset="fast"))
        outs.append((tmp_path / name / "decisions.parquet").read_bytes())
    assert outs[0] == outs[1]


def test_a_simple_test_hardly_tells_canaries_from_parts_of_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """150 canaries, as fewer teach it nothing: encoded with Pillow's defaults they have an AUC of about 0.7 here."""
    monkeypatch.setattr(secrets, "token_hex", lambda count: "5a" * count)  # the same canaries each time
    others: list[dict[str, Any]] = [{"image": natural(seed), "caption": "x"} for seed in range(400)]
    made = make(others, tmp_path / "m", Canaries(planted=75, controls=75, kinds=("texture",)))
    mine = [(canary.data, number % 7 / 7) for number, canary in enumerate(made.manifest.canaries)]
    found = detect(mine, [(sample["image"], number % 7 / 7) for number, sample in enumerate(others)])
    assert (found.canaries, found.others) == (150, 400)
    assert found.auc < 0.62


def test_the_commands_make_list_verify_prove_and_strip(made: Any, tmp_path: Path) -> None:
    source, _, _ = made
    run = CliRunner().invoke
    manifest = tmp_path / "m.private.json"
    first = run(app, ["make", str(source), str(manifest), "--planted", "3", "--controls", "2", "--repetitions", "1"])
    assert first.exit_code == 0, first.output
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o600
    commitment = first.output.split("commitment: ")[1].strip()
    held = read_manifest(manifest)
    captions = [str(canary.caption) for canary in held.canaries]
    listed = run(app, ["list", str(manifest)]).output
    assert listed.count("planted 1 times") == 3
    assert commitment in listed
    assert not any(caption in first.output + listed for caption in captions)
    assert all(caption in run(app, ["list", str(manifest), "--captions"]).output for caption in captions)
    planted = Planting.open(manifest).around(open_source(source))
    dedupkit.clean(planted, tmp_path / "out", recipe=Recipe(preset="fast"))
    verified = run(app, ["verify", str(manifest), str(tmp_path / "out")])
    assert "3 of 3 canaries are there as planted" in verified.output
    stripped = run(app, ["strip", str(manifest), str(tmp_path / "out"), str(tmp_path / "bare")])
    assert stripped.exit_code == 0, stripped.output
    assert run(app, ["verify", str(manifest), str(tmp_path / "bare")]).exit_code == 1
    proof = tmp_path / "proof.json"
    assert (
        run(app, ["prove", str(manifest), "--canary", str(held.canaries[1].number), "--out", str(proof)]).exit_code == 0
    )
    assert (
        f"under the commitment: {held.canaries[1].number}"
        in run(app, ["prove", str(proof), "--check", commitment]).output
    )
    refused = run(app, ["prove", str(proof), "--check", "0" * 64])
    assert isinstance(refused.exception, UsageError)
    assert not any(caption in str(refused.exception) for caption in captions)


def test_a_passphrase_comes_from_a_file_or_the_environment(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dedupkit.canaries import sealing

    monkeypatch.setattr(sealing, "_SCRYPT", {"n": 1 << 10, "r": 8, "p": 1})
    run = CliRunner().invoke
    manifest, words = tmp_path / "m.json", tmp_path / "words"
    words.write_text("four plain old words\n")
    arguments = ["make", str(made[0]), str(manifest), "--planted", "1", "--passphrase-file", str(words)]
    assert run(app, arguments).exit_code == 0
    assert isinstance(run(app, ["list", str(manifest)]).exception, UsageError)
    monkeypatch.setenv("DEDUPKIT_PASSPHRASE", "four plain old words")
    assert "planted 1 times" in run(app, ["list", str(manifest)]).output


def test_pictures_of_the_set_itself_are_not_touched(made: Any) -> None:
    source, manifest, _ = made
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in source.rglob("*") if path.is_file()}
    planted = Planting.open(manifest).around(open_source(source))
    assert sum(1 for shard in planted.shards() for _ in planted.read(shard)) == 132
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in source.rglob("*") if path.is_file()
    }
    assert Image.open(io.BytesIO(natural(0))).size == (160, 120)

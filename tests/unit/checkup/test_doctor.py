"""What the doctor says of an installation, whole or broken."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path

import numpy as np
import pdqhash
import pytest

from dedupkit.checkup import packages, run, surroundings, trial
from dedupkit.checkup.result import Checkup, Extra, Finding

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def checkup() -> Checkup:
    return run.doctor()


def test_this_installation_works(checkup: Checkup) -> None:
    assert checkup.works, checkup.text()
    assert "worker processes start" in next(each.said for each in checkup.findings if each.name == "trial")


def test_json_and_text_tell_the_same(checkup: Checkup) -> None:
    told = checkup.to_json()
    assert told["works"] == checkup.works
    for finding in told["findings"]:
        assert finding["name"] in checkup.text()
        assert (finding["state"] == "ok") or finding["remedy"]
    for extra in told["extras"]:
        assert extra["command"].endswith(f"-m pip install 'dedupkit[{extra['name']}]'")


def test_every_extra_is_said_to_bring_something() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(packages.BRINGS) == set(project["optional-dependencies"]) - {"dev"}


def test_the_picture_of_the_trial_has_the_hash_that_metas_library_gives_it() -> None:
    bits, quality = pdqhash.compute(trial.picture())
    assert int.from_bytes(np.packbits(bits).tobytes(), "big") == trial._EXPECTED_PDQ
    assert quality == 100


def test_another_picture_or_network_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "picture", lambda: np.full((128, 128, 3), 90, np.uint8))
    with pytest.raises(ValueError, match="descriptor of a drawn picture is off"):
        trial.descriptor()
    with pytest.raises(ValueError, match="hash of a drawn picture is off"):
        trial.hashes()


def test_the_expected_descriptor_has_as_many_numbers_as_the_network() -> None:
    assert len(base64.b64decode(trial._EXPECTED_DESCRIPTOR)) == 256


@pytest.mark.parametrize(
    ("printed", "code", "said"),
    [
        ('{"step": "import of cv2"}\n{"step": "import of cv2", "fault": "ImportError: libGL.so.1"}', 0, "libGL.so.1"),
        ('{"step": "import of faiss"}\n', -4, "import of faiss ended the process, code -4"),
        ("", 1, "start ended the process, code 1 no module"),
    ],
)
def test_what_fails_or_crashes_in_the_trial_is_named(printed: str, code: int, said: str) -> None:
    finding = run._judged(printed, code, "no module")
    assert finding.state == "wrong"
    assert said in finding.said
    assert "venv" in finding.remedy


def test_a_look_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Finding:
        raise RuntimeError("no psutil")

    monkeypatch.setattr(surroundings, "memory", broken)
    monkeypatch.setattr(run, "_trial", broken)
    found = run.doctor()
    assert [each.said for each in found.findings if "no psutil" in each.said] != []


def test_a_place_that_cannot_take_output_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert surroundings.disk("disk", str(tmp_path / "file"), "as OUT").state == "wrong"
    assert surroundings.disk("disk", str(tmp_path / "not" / "yet"), "as OUT").state != "wrong"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_something_wrong_is_enough_not_to_work() -> None:
    extra = Extra("audit", "audits", ("scipy",), "pip install 'dedupkit[audit]'")
    note, wrong = Finding("a", "note", "so", "do"), Finding("b", "wrong", "bad", "mend")
    assert Checkup({}, (note,), (extra,)).works
    assert not Checkup({}, (note, wrong), (extra,)).works
    assert "lacks scipy" in Checkup({}, (note,), (extra,)).text()

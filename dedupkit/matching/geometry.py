"""Geometric proof: do two pictures show the same pixels, cropped, turned, mirrored, framed or written over?

Binary features (ORB, Rublee et al. 2011) of the one are matched with those of the other and of its mirror image;
matches that agree about turn and scale (Jegou, Douze and Schmid 2008) give an affine map (RANSAC, Fischler and
Bolles 1981); the one picture is laid over the other, and the overlap is compared block by block.  A count of matches
alone is fooled by shared frames, captions and repeated ornament; what tells a copy is that nearly all blocks with
something in them agree, that the outlines of one picture are found in the other, and that one change of tone explains
the brightness of all parts.
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
_EDGE_BLUR, _STRONG_EDGE, _WEAK_EDGE, _SAME_DIRECTION = 0.8, 4.0, 1.0, 0.85  # pixels, levels a pixel, cosine
_OFF_TONE = 20.0  # levels
_MAX_SHIFT = 0.06  # of a side, of the corners of a picture that counts as in its place


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
    entropy : float
        Bits of the luminance, of 5: below some 2 there are letters, signs and silhouettes.
    """

    gray: NDArray[np.uint8]
    points: NDArray[np.float32]
    codes: NDArray[np.uint8]
    mirrored_codes: NDArray[np.uint8]
    entropy: float


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
    outline : float
        Share of the strong edges of one picture that the other has too, of the two pictures the larger, in [0, 1]:
        letters over a photo add edges and take few away.
    off_tone : float
        Share of blocks whose mean brightness is 20 levels or more off the line that explains it best from the other
        picture's, in [0, 1].
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
    outline: float
    off_tone: float
    overlap: float
    mirrored: bool
    transform: NDArray[np.float32]

    @property
    def in_place(self) -> bool:
        """Whether the one picture lies over the other as it is: not moved, turned, mirrored or cropped."""
        return bool(not self.mirrored and np.abs(self.transform @ _CORNERS - _CORNERS[:2]).max() <= _MAX_SHIFT)


_CORNERS = np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]], np.float32)
NOT_ALIGNED = Alignment(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, False, np.full((2, 3), np.nan, np.float32))


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
    whole = np.ascontiguousarray(gray if inner is None else inner)
    picture = _resized(whole, VIEW_SIDE)
    finder = _features()
    points, codes = finder.detectAndCompute(picture, None)
    compared = _resized(picture, COMPARED_SIDE)
    entropy = luminance_entropy(whole)  # resizing would soften edges, and add shades
    if codes is None:
        nothing = np.zeros((0, 32), np.uint8)
        return View(compared, np.zeros((0, 4), np.float32), nothing, nothing, entropy)
    table = np.array([(*point.pt, point.angle, point.size) for point in points], dtype=np.float32)
    return View(compared, table, codes, _mirrored_codes(picture, points, codes), entropy)


def luminance_entropy(gray: NDArray[np.uint8]) -> float:
    """Bits of the luminance in 32 steps."""
    counts = cv2.calcHist([gray], [0], None, [32], [0, 256])
    shares = counts[counts > 0] / gray.size
    return float(-(shares * np.log2(shares)).sum())


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
    likeness = _compare(a.gray, b.gray, affine)
    return Alignment(int(np.count_nonzero(inlying)), *likeness, mirrored, _relative(affine, a, b))


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
) -> tuple[int, float, float, float, float, float]:
    """What `Alignment` says from `blocks` to `overlap`."""
    linear: NDArray[Any] = affine[:, :2]
    shift = (affine[:, 2] + linear @ (0.5, 0.5) - 0.5) / 2  # pixel centres, at half the scale
    if abs(np.linalg.det(linear)) > 1:  # compare at the lower of the two resolutions
        linear = np.linalg.inv(linear)
        a, b, shift = b, a, -linear @ shift
    laid = np.column_stack([linear, shift])
    height, width = b.shape
    moved = np.asarray(cv2.warpAffine(a, laid, (width, height), flags=cv2.INTER_LINEAR), np.uint8)
    covered = cv2.warpAffine(np.full(a.shape, 255, np.uint8), laid, (width, height), flags=cv2.INTER_LINEAR)
    overlap = float(covered.mean()) / 255
    side = int(np.clip(np.sqrt(overlap * height * width / _WANTED_BLOCKS), _MIN_BLOCK, _MAX_BLOCK))
    inside = _blocks(covered, side).min(axis=1) > 250
    blocks, agreement, conflict, off_tone = _compare_blocks(*(_blocks(each, side)[inside] for each in (moved, b)))
    outline = _shared_outline(moved, b, np.asarray(cv2.erode(covered, np.ones((3, 3), np.uint8))) > 250)
    return blocks, agreement, conflict, outline, off_tone, overlap


def _compare_blocks(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> tuple[int, float, float, float]:
    """Blocks with something in them, the shares of those that agree and conflict, and the share of all off the tone."""
    means = mine.mean(axis=1), theirs.mean(axis=1)
    mine, theirs = mine - means[0][:, None], theirs - means[1][:, None]
    spread_mine, spread_theirs = (np.sqrt((each * each).mean(axis=1)) for each in (mine, theirs))
    correlation = (mine * theirs).mean(axis=1) / np.maximum(spread_mine * spread_theirs, 1e-3)
    less, more = np.minimum(spread_mine, spread_theirs), np.maximum(spread_mine, spread_theirs)
    blocks = int((more >= _TEXTURE).sum())
    agree = (more >= _TEXTURE) & (less >= _FLAT) & (correlation > _AGREES)
    conflict = (less >= _TEXTURE) & (correlation < _CONFLICTS)
    return blocks, float(agree.sum()) / max(blocks, 1), float(conflict.sum()) / max(blocks, 1), _off_tone(*means)


def _off_tone(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Share of blocks whose mean one straight line through all does not explain."""
    if len(mine) < 5:
        return 1.0
    aside = mine - mine.mean()
    slope = float((aside * theirs).sum()) / max(float((aside * aside).sum()), 1.0)
    return float((np.abs(theirs - theirs.mean() - slope * aside) > _OFF_TONE).mean())


def _shared_outline(a: NDArray[np.uint8], b: NDArray[np.uint8], compared: NDArray[np.bool_]) -> float:
    """Share of the strong edges of one picture that run in the same direction in the other; the larger of both."""
    (ax, ay), (bx, by) = _gradient(a), _gradient(b)
    mine, theirs = cv2.magnitude(ax, ay), cv2.magnitude(bx, by)
    same = (ax * bx + ay * by > _SAME_DIRECTION * mine * theirs) & (np.minimum(mine, theirs) > _WEAK_EDGE)
    shares = []
    for edges in (mine, theirs):
        strong = (edges > _STRONG_EDGE) & compared
        shares.append(float((same & strong).sum()) / max(int(strong.sum()), 1))
    return max(shares)


def _gradient(picture: NDArray[np.uint8]) -> tuple[Any, Any]:
    """Change along x and along y, in levels a pixel."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), _EDGE_BLUR)
    return cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)


def _blocks(picture: Any, side: int) -> NDArray[np.float32]:
    """Square blocks of a picture, a row each."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    cut = picture[: rows * side, : columns * side].astype(np.float32)
    return np.asarray(cut.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side * side))


def _relative(affine: NDArray[np.float64], a: View, b: View) -> NDArray[np.float32]:
    """The map between pictures whose sides are 1 long."""
    size_a, size_b = (2 * np.array(view.gray.shape[::-1], dtype=np.float64) for view in (a, b))
    return np.column_stack([affine[:, :2] * size_a / size_b[:, None], affine[:, 2] / size_b]).astype(np.float32)

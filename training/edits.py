"""Edits that a copy of an image may carry, harder than those met in the wild, straight to the network's input.

Geometry is one affine warp from the picture to the input; the rest works on the small result.
"""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 128
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz   ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%!?.@"))

Image = np.ndarray  # uint8, shape (SIDE, SIDE, 3), RGB


def plain(picture: Image) -> Image:
    """The picture itself at the network's input size, as dedupkit prepares it."""
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def light(picture: Image, rng: np.random.Generator) -> Image:
    """The picture as its owner might have published it: perhaps cropped a little, brighter, compressed."""
    image = warp(picture, rng, min_share=0.75, turn=0.08, flip=0.5, frame=0.05)
    if rng.random() < 0.5:
        image = colour(image, rng, strength=0.4)
    return compressed(image, rng, 40) if rng.random() < 0.4 else image


def hard(picture: Image, rng: np.random.Generator, other: Image) -> Image:
    """A copy as edited as one can still be recognised; `other` is a picture to stand beside or behind it."""
    image = warp(picture, rng, min_share=0.33, turn=0.4, flip=0.5, frame=0.25)
    if rng.random() < 0.12:
        image = collage(image, rng, other)
    if rng.random() < 0.55:
        image = colour(image, rng, strength=1.0)
    for probability, edit in ((0.12, gray), (0.3, covered), (0.12, banner), (0.2, text)):
        if rng.random() < probability:
            image = edit(image, rng)
    for probability, edit in ((0.18, blurred), (0.12, small), (0.18, noisy)):
        if rng.random() < probability:
            image = edit(image, rng)
    return compressed(image, rng, 5) if rng.random() < 0.3 else image


def warp(
    picture: Image, rng: np.random.Generator, *, min_share: float, turn: float, flip: float, frame: float
) -> Image:
    """Crop, turn, flip, squash, slant and frame in one resampling.

    The chances of a turn by any angle, of each flip and of a frame are in [0, 1]; `min_share` is of the area.
    """
    height, width = picture.shape[:2]
    area = rng.uniform(min_share, 1) if rng.random() < 0.75 else 1.0
    aspect = np.exp(rng.uniform(-0.25, 0.25)) if area < 1 else 1.0
    w, h = min(1.0, np.sqrt(area * aspect)) * width, min(1.0, np.sqrt(area / aspect)) * height
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    corners = np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]], np.float32)  # of the crop, in the picture
    target = np.array([[0, 0], [w, 0], [0, h], [w, h]], np.float32) - (w / 2, h / 2)
    background = fill(picture, rng)
    if rng.random() < turn:
        angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.8 else rng.integers(1, 4) * np.pi / 2
        target = target @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        whole = target[:, 0].max() - target[:, 0].min(), target[:, 1].max() - target[:, 1].min()
        zoom = rng.uniform(0.75, 1) if rng.random() < 0.4 else 1.0  # below 1 the corners are cut off
        extent = whole[0] * zoom, whole[1] * zoom
    else:
        extent = w, h
    if rng.random() < 0.1:
        target += rng.uniform(-0.08, 0.08, (4, 2)) * (w, h)  # a slant: perspective
    left = right = top = bottom = 0.0
    if rng.random() < frame:
        left, right, top, bottom = (
            rng.uniform(0, 0.3, 4) * (rng.random(4) < 0.7)
            if rng.random() < 0.5
            else (np.full(4, rng.uniform(0.02, 0.25)))
        )
    scale_x, scale_y = SIDE * (1 - left - right) / extent[0], SIDE * (1 - top - bottom) / extent[1]
    target = target * (scale_x, scale_y) + (SIDE * (1 + left - right) / 2, SIDE * (1 + top - bottom) / 2)
    if rng.random() < flip:
        target[:, 0] = SIDE - target[:, 0]
    if rng.random() < flip * 0.5:
        target[:, 1] = SIDE - target[:, 1]
    matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
    crop_only = corners if area < 1 else None
    source = picture
    if crop_only is not None:  # what lies outside the crop must not show at turned corners
        x0, y0, x1, y1 = int(x), int(y), int(np.ceil(x + w)), int(np.ceil(y + h))
        source = picture[y0:y1, x0:x1]
        matrix = matrix @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]], np.float64)
    return cv2.warpPerspective(
        np.ascontiguousarray(source),
        matrix,
        (SIDE, SIDE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=background,
    )


def fill(picture: Image, rng: np.random.Generator) -> tuple[float, ...]:
    """The colour of a frame or of a turned picture's corners."""
    kind = rng.random()
    if kind < 0.4:
        return (0, 0, 0)
    if kind < 0.75:
        return (255, 255, 255)
    return tuple(float(value) for value in rng.integers(0, 256, 3))


def collage(image: Image, rng: np.random.Generator, other: Image) -> Image:
    """The copy takes up 35 to 80 % of a picture that shows something else as well, or of a plain screen."""
    if rng.random() < 0.5:
        canvas = plain(other)
    else:
        canvas = np.full((SIDE, SIDE, 3), fill(other, rng), np.uint8)
        for _ in range(rng.integers(0, 8)):
            canvas = text(canvas, rng)
    w, h = (rng.uniform(0.6, 0.95, 2) * SIDE).astype(int)
    x, y = rng.integers(0, SIDE - w + 1), rng.integers(0, SIDE - h + 1)
    canvas = canvas.copy()
    canvas[y : y + h, x : x + w] = cv2.resize(image, (int(w), int(h)), interpolation=cv2.INTER_AREA)
    return canvas


def colour(image: Image, rng: np.random.Generator, *, strength: float) -> Image:
    """Brightness, contrast, saturation, hue, gamma."""
    values = image.astype(np.float32) * np.float32(np.exp(rng.uniform(-0.6, 0.5) * strength))
    mean = values.mean()
    values = (values - mean) * np.float32(np.exp(rng.uniform(-0.6, 0.5) * strength)) + mean
    luminance = values @ np.array([[0.299], [0.587], [0.114]], np.float32)
    values = luminance + (values - luminance) * np.float32(rng.uniform(1 - 0.9 * strength, 1 + strength))
    values *= rng.uniform(1 - 0.2 * strength, 1 + 0.2 * strength, 3).astype(np.float32)
    if rng.random() < 0.15 * strength:
        values = values[:, :, rng.permutation(3)]
    return np.clip(values, 0, 255).astype(np.uint8)


def gray(image: Image, rng: np.random.Generator) -> Image:
    """Greyscale, sepia now and then."""
    luminance = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    result = cv2.cvtColor(luminance, cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.2:
        result = np.clip(result * np.array([1.08, 0.95, 0.75]), 0, 255).astype(np.uint8)
    return result


def covered(image: Image, rng: np.random.Generator) -> Image:
    """Plain shapes over a part."""
    image = image.copy()
    for _ in range(rng.integers(1, 4)):
        tone = tuple(int(value) for value in rng.integers(0, 256, 3))
        x, y = (int(value) for value in rng.integers(0, SIDE, 2))
        w, h = (int(value) for value in rng.integers(8, SIDE // 2, 2))
        if rng.random() < 0.5:
            cv2.rectangle(image, (x, y), (x + w, y + h), tone, -1)
        else:
            cv2.ellipse(image, (x, y), (w // 2, h // 2), float(rng.uniform(0, 180)), 0, 360, tone, -1)
    return image


def banner(image: Image, rng: np.random.Generator) -> Image:
    """A bar across the picture, with text."""
    image, depth = image.copy(), int(rng.uniform(0.08, 0.35) * SIDE)
    tone = tuple(int(value) for value in (fill(image, rng)))
    lines = slice(0, depth) if rng.random() < 0.5 else slice(SIDE - depth, SIDE)
    image[lines] = tone
    words = "".join(rng.choice(_LETTERS, rng.integers(5, 26)))
    ink = (255, 255, 255) if sum(tone) < 380 else (0, 0, 0)
    base = lines.start + int(depth * 0.65)
    cv2.putText(image, words, (4, base), _FONTS[rng.integers(4)], rng.uniform(0.25, 0.5), ink, 1, cv2.LINE_AA)
    return image


def text(image: Image, rng: np.random.Generator) -> Image:
    """A line of letters anywhere."""
    image = image.copy()
    tone = tuple(int(value) for value in rng.integers(0, 256, 3))
    words = "".join(rng.choice(_LETTERS, rng.integers(3, 20)))
    place = int(rng.integers(-10, SIDE * 3 // 4)), int(rng.integers(8, SIDE))
    cv2.putText(
        image, words, place, _FONTS[rng.integers(4)], rng.uniform(0.25, 1.1), tone, int(rng.integers(1, 3)), cv2.LINE_AA
    )
    return image


def blurred(image: Image, rng: np.random.Generator) -> Image:
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.2))


def small(image: Image, rng: np.random.Generator) -> Image:
    """Reduced and enlarged again."""
    side = int(rng.integers(24, 90))
    reduced = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def noisy(image: Image, rng: np.random.Generator) -> Image:
    noise = rng.standard_normal((SIDE, SIDE, 3), np.float32) * np.float32(rng.uniform(3, 30))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def compressed(image: Image, rng: np.random.Generator, worst: int) -> Image:
    quality = int(rng.integers(worst, 70))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)

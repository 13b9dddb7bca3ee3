from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from dedupkit.demo import example_images
from dedupkit.errors import RunError, UsageError
from dedupkit.mitigation.augment import Augmenter, Drawn, before_and_after
from dedupkit.recipe import Augment, Limits, Recipe
from dedupkit.sinks.base import KeptSample

Pixels = NDArray[np.uint8]
Draw = Callable[..., Image.Image]
_IMAGES, _MIN_VALUES = 200, 100_000


def grey(level: int = 128, side: int = 400) -> Pixels:
    return np.full((side, side, 3), level, np.uint8)


def change(before: Pixels, after: Pixels) -> NDArray[np.float64]:
    return after.astype(np.float64) - before


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def kept(image: Image.Image, kind: str = "jpeg", key: str = "a", group_size: int = 1, **options: Any) -> KeptSample:
    data = encode(image, kind, **options)
    return KeptSample(key, data, kind, "a wall", image.width, image.height, group_size, {"source": "here"})


def reopened(sample: KeptSample) -> Image.Image:
    return Image.open(io.BytesIO(sample.image))


@lru_cache(maxsize=1)
def two_hundred(draw: Draw) -> list[tuple[str, Pixels, NDArray[np.bool_]]]:
    """The demo's photos and drawings that have enough pixels away from black and white, and drawn pictures.

    With each the values that noise of 10 levels does not move out of the range of 0-255.
    """
    images = [
        (path.name, np.asarray(Image.open(path).convert("RGB")))
        for path in sorted(Path(example_images()).iterdir())
        if path.suffix in (".jpg", ".png")
    ]
    images += [(f"drawn {seed}", np.asarray(draw(seed, 320, 240))) for seed in range(_IMAGES)]
    masked = ((name, image, (image >= 50) & (image <= 180)) for name, image in images)
    return [each for each in masked if each[2].sum() >= _MIN_VALUES][:_IMAGES]


def test_noise_on_200_images_has_the_mean_and_variance_asked(picture: Draw) -> None:
    augmenter = Augmenter(Augment(noise_sigma=10), seed=1)
    images = two_hundred(picture)
    assert len(images) == _IMAGES
    for name, image, inside in images:
        noise = change(image, augmenter.pixels(image, name))[inside]
        assert abs(noise.mean()) < 0.02 * 10, name
        assert noise.var() == pytest.approx(100, rel=0.02), name


def test_brightness_and_noise_on_200_images_change_what_was_asked(picture: Draw) -> None:
    augmenter = Augmenter(Augment(preset="paper"), seed=1)
    means, asked = [], []
    for name, image, inside in two_hundred(picture):
        more = augmenter.drawn(name).brightness - 1
        found, levels = change(image, augmenter.pixels(image, name))[inside], image[inside].astype(float)
        means.append(found.mean())
        asked.append(more * levels.mean())
        assert found.var() == pytest.approx(100 + more**2 * levels.var(), rel=0.02), name
        assert abs(means[-1] - asked[-1]) < 0.02 * max(abs(asked[-1]), 10), name
    assert np.polyfit(asked, means, 1)[0] == pytest.approx(1, rel=0.02)


def test_brightness_factors_are_uniform_over_the_range_asked() -> None:
    augmenter = Augmenter(Augment(brightness=0.3), seed=1)
    factors = np.array([augmenter.drawn(str(number)).brightness for number in range(20_000)])
    assert factors.min() >= 0.7
    assert factors.max() <= 1.3
    assert factors.mean() == pytest.approx(1, rel=0.02)
    assert factors.var() == pytest.approx(0.3**2 / 3, rel=0.02)  # of a uniform distribution 0.6 wide


@pytest.mark.parametrize("level", range(20, 200, 30))
def test_brightness_multiplies_levels_and_rounds(level: int) -> None:
    augmenter = Augmenter(Augment(brightness=0.2), seed=1)
    expected = level * augmenter.drawn("a").brightness
    assert np.abs(augmenter.pixels(grey(level, 8), "a") - expected).max() <= 0.5


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 5.0, 20.0])
def test_noise_is_exact_although_levels_are_whole_numbers(sigma: float) -> None:
    noise = change(grey(), Augmenter(Augment(noise_sigma=sigma), seed=3).pixels(grey(), "a"))
    assert noise.std() == pytest.approx(sigma, rel=0.01)
    assert abs(noise.mean()) < 0.01 * sigma


def test_noise_is_gaussian() -> None:
    noise = change(grey(), Augmenter(Augment(noise_sigma=12), seed=3).pixels(grey(), "a")) / 12
    assert (noise**3).mean() == pytest.approx(0, abs=0.02)
    assert (noise**4).mean() == pytest.approx(3, rel=0.02)
    assert (np.abs(noise) < 25 / 24).mean() == pytest.approx(0.7024, abs=0.005)  # erf(25/24 / sqrt 2): to a half level


def test_albumentations_own_noise_is_weaker_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why it is not used: truncation towards zero makes 10 levels sqrt(100 - 20 / sqrt(2 pi) + 1/3) = 9.6."""
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    library = import_module("albumentations")
    noisy = library.Compose([library.GaussNoise(std_range=(10 / 255, 10 / 255), p=1)], seed=1)(image=grey())["image"]
    assert change(grey(), noisy).std() == pytest.approx(9.616, rel=0.005)


def test_noise_of_channels_and_neighbours_is_independent() -> None:
    noise = change(grey(), Augmenter(Augment(noise_sigma=10), seed=3).pixels(grey(), "a"))
    for one, other in [(noise[..., 0], noise[..., 1]), (noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1])]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.01


def test_white_gets_the_half_of_the_noise_that_darkens() -> None:
    noise = change(grey(255), Augmenter(Augment(noise_sigma=10), seed=3).pixels(grey(255), "a"))
    assert noise.mean() == pytest.approx(-10 / (2 * np.pi) ** 0.5, rel=0.02)  # mean of min(0, noise)


def test_noise_of_a_large_image_does_not_repeat() -> None:
    tall = np.full((3000, 500, 3), 128, np.uint8)  # drawn in several bands
    noise = change(tall, Augmenter(Augment(noise_sigma=10), seed=3).pixels(tall, "a"))
    assert noise.std() == pytest.approx(10, rel=0.01)
    assert abs(np.corrcoef(noise[:500].ravel(), noise[-500:].ravel())[0, 1]) < 0.01


def test_the_same_names_give_the_same_pixels_and_others_do_not() -> None:
    augmenter = Augmenter(Augment(preset="paper"), seed=1)
    first = augmenter.pixels(grey(), "a", copy=0, epoch=None)
    assert np.array_equal(first, Augmenter(Augment(preset="paper"), seed=1).pixels(grey(), "a"))
    others = [
        augmenter.pixels(grey(), "b"),
        augmenter.pixels(grey(), "a", copy=1),
        augmenter.pixels(grey(), "a", epoch=0),
        augmenter.pixels(grey(), "a", epoch=1),
        Augmenter(Augment(preset="paper"), seed=2).pixels(grey(), "a"),
    ]
    assert len({each.tobytes() for each in [first, *others]}) == 6


def test_the_input_is_left_as_it_is(picture: Draw) -> None:
    everything = Augment(
        preset="strong", contrast=0.3, blur_sigma=2, jpeg_quality=(30, 60), crop_share=0.2, flip_probability=0.5
    )
    image = np.array(picture(1))
    before = image.copy()
    for key in "abcd":
        Augmenter(everything, seed=1).pixels(image, key)
    assert np.array_equal(image, before)


def test_an_option_does_not_change_what_others_draw() -> None:
    few = Augmenter(Augment(preset="paper"), seed=1).drawn("a")
    many = Augmenter(Augment(preset="paper", contrast=0.2, crop_share=0.1, flip_probability=1), seed=1).drawn("a")
    assert (few.noise_sigma, few.brightness) == (many.noise_sigma, many.brightness)


@pytest.mark.parametrize(("times", "factor"), [(1, 1.0), (2, 1.5), (4, 2.0), (8, 2.5), (16, 3.0), (1000, 3.0)])
def test_what_stood_often_gets_more(times: int, factor: float) -> None:
    augmenter = Augmenter(Augment(preset="light"), seed=1)
    once, often = augmenter.drawn("a"), augmenter.drawn("a", repetition=times)
    assert often.noise_sigma == pytest.approx(5 * factor)
    assert often.brightness - 1 == pytest.approx((once.brightness - 1) * factor)
    assert augmenter.drawn("a", copy=times - 1).noise_sigma == pytest.approx(5 * factor)
    even = Augmenter(Augment(preset="light", by_repetition=False), seed=1)
    assert even.drawn("a", repetition=times) == once


def test_repetition_stays_inside_the_limits_of_the_recipe() -> None:
    options = Augment(noise_sigma=100, brightness=0.8, contrast=0.8, max_repetition_factor=10)
    drawn = [Augmenter(options, seed=1).drawn(str(number), repetition=1 << 40) for number in range(500)]
    assert {each.noise_sigma for each in drawn} == {128.0}
    assert min(min(each.brightness, each.contrast) for each in drawn) > 0.1 - 1e-9


@pytest.mark.parametrize("options", [Augment(flip_probability=0.5), Augment(jpeg_quality=(50, 50)), Augment()])
def test_twins_differ_even_where_no_noise_is_asked(options: Augment, picture: Draw) -> None:
    image = np.asarray(picture(1, 64, 48))
    twins = {Augmenter(options, seed=1).pixels(image, "a", copy=copy).tobytes() for copy in range(10)}
    assert len(twins) == 10


@pytest.mark.parametrize("preset", ["light", "paper", "strong"])
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_written_twins_differ(preset: Any, kind: Any, picture: Draw) -> None:
    augmenter = Augmenter(Augment(preset=preset, format=kind, quality=75), seed=1)
    sample = kept(picture(1, 64, 48), "png", group_size=8)
    assert len({augmenter.materialised(sample, copy).image for copy in range(8)}) == 8


def test_contrast_spreads_levels_around_the_mean(picture: Draw) -> None:
    image = (np.asarray(picture(1)) // 4 + 96).astype(np.uint8)
    augmenter = Augmenter(Augment(contrast=0.4), seed=1)
    factors = []
    for key in "abcdef":
        changed, factor = augmenter.pixels(image, key), augmenter.drawn(key).contrast
        assert changed.mean() == pytest.approx(image.mean(), abs=0.1)
        assert changed.std() == pytest.approx(image.std() * factor, rel=0.02)
        factors.append(factor)
    assert max(factors) - min(factors) > 0.2


def test_blur_has_the_width_drawn() -> None:
    edge = np.zeros((32, 400, 3), np.uint8)
    edge[:, 200:] = 250
    augmenter = Augmenter(Augment(blur_sigma=6), seed=1)
    wide = [key for key in "abcdefgh" if augmenter.drawn(key).blur_sigma > 0.5]  # a narrower one is within rounding
    assert len(wide) > 5
    for key in wide:
        slope = np.diff(augmenter.pixels(edge, key)[16, :, 0].astype(float)) / 250
        width = np.average((np.arange(399) - 199) ** 2, weights=slope) ** 0.5
        assert width == pytest.approx(augmenter.drawn(key).blur_sigma, rel=0.02)


def test_jpeg_artefacts_are_those_of_pillow(picture: Draw) -> None:
    """And not those of a picture whose red and blue are swapped."""
    image = picture(1)
    through = Image.open(io.BytesIO(encode(image, "jpeg", quality=30))).convert("RGB")
    found = Augmenter(Augment(jpeg_quality=(30, 30)), seed=1).pixels(np.asarray(image), "a")
    assert np.abs(change(np.asarray(through), found)).mean() < 0.25
    assert np.abs(change(np.asarray(image), found)).mean() > 1


def test_crops_are_parts_of_the_picture(picture: Draw) -> None:
    image = np.asarray(picture(1, 60, 40))
    augmenter = Augmenter(Augment(crop_share=0.3), seed=1)
    sizes = set()
    for key in map(str, range(20)):
        found = augmenter.pixels(image, key)
        height, width, _ = found.shape
        windows = np.lib.stride_tricks.sliding_window_view(image, found.shape)[..., 0, :, :, :]
        assert (windows == found).all(axis=(2, 3, 4)).any()
        assert 42 <= width <= 60
        assert 28 <= height <= 40
        sizes.add(found.shape)
    assert len(sizes) > 5


def test_pictures_are_mirrored_as_often_as_asked(picture: Draw) -> None:
    image = np.asarray(picture(1, 30, 20))
    augmenter = Augmenter(Augment(flip_probability=0.3), seed=1)
    mirrored = [np.array_equal(augmenter.pixels(image, str(key)), image[:, ::-1]) for key in range(2000)]
    assert np.mean(mirrored) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (500, 1, 3)])
def test_the_smallest_pictures_pass(shape: tuple[int, int, int]) -> None:
    options = Augment(preset="strong", contrast=0.5, blur_sigma=3, jpeg_quality=(5, 9), crop_share=0.5)
    assert Augmenter(options, seed=1).pixels(np.zeros(shape, np.uint8), "a").ndim == 3


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), grey(side=0)]
)
def test_what_is_no_rgb_array_is_refused(image: Any) -> None:
    with pytest.raises(UsageError, match="image must be uint8 of shape"):
        Augmenter(Augment(preset="paper"), seed=1).pixels(image, "a")


@pytest.mark.parametrize("numbers", [{"copy": -1}, {"repetition": 0}])
def test_impossible_counts_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"copy must be 0 or more and repetition 1 or more"):
        Augmenter(Augment(preset="paper"), seed=1).drawn("a", **numbers)


@pytest.mark.parametrize(
    "line", ["noise_sigma = -1", "brightness = 1.5", "jpeg_quality = [90, 40]", "quality = 0", 'preset = "heavy"']
)
def test_a_recipe_out_of_range_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match=line.split()[0]):
        Recipe.loads(f"[augment]\n{line}")


def test_a_strength_overrides_the_preset() -> None:
    options = Recipe.loads('[augment]\npreset = "strong"\nnoise_sigma = 0').augment
    assert Augmenter(options, seed=1).drawn("a").noise_sigma == 0
    assert Augmenter(options, seed=1).drawn("a").brightness != 1


def test_a_written_sample_has_the_changed_pixels(picture: Draw) -> None:
    augmenter, image = Augmenter(Augment(preset="paper"), seed=1), picture(1)
    sample = kept(image, "png", group_size=3)
    written = augmenter.materialised(sample, copy=2)
    expected = augmenter.pixels(np.asarray(image), "a", copy=2, repetition=3)
    assert np.array_equal(np.asarray(reopened(written)), expected)
    assert (written.key, written.caption, written.group_size, written.fields) == ("a", "a wall", 3, sample.fields)


def test_nothing_is_encoded_anew_where_nothing_is_asked(picture: Draw) -> None:
    sample = kept(picture(1))
    assert Augmenter(Augment(format="png"), seed=1).materialised(sample) is sample


@pytest.mark.parametrize(
    ("source", "asked", "expected"),
    [
        ("jpeg", "same", "jpeg"),
        ("png", "same", "png"),
        ("webp", "same", "webp"),
        ("gif", "same", "png"),
        ("bmp", "same", "png"),
        ("png", "jpeg", "jpeg"),
        ("jpeg", "webp", "webp"),
    ],
)
def test_the_encoding_is_the_one_asked(source: str, asked: Any, expected: str, picture: Draw) -> None:
    written = Augmenter(Augment(preset="light", format=asked), seed=1).materialised(kept(picture(1), source))
    assert written.format == expected
    assert str(reopened(written).format).lower() == expected


def test_what_webp_cannot_hold_becomes_png() -> None:
    wide = kept(Image.new("RGB", (16_400, 2), "grey"), "png")
    written = Augmenter(Augment(preset="light", format="webp"), seed=1).materialised(wide)
    assert (written.format, reopened(written).size) == ("png", (16_400, 2))


def test_quality_is_that_of_the_recipe(picture: Draw) -> None:
    low, high = (
        Augmenter(Augment(preset="light", quality=quality), seed=1).materialised(kept(picture(1)))
        for quality in (40, 95)
    )
    tables = encode(picture(1), "jpeg", quality=40)
    assert getattr(reopened(low), "quantization") == getattr(Image.open(io.BytesIO(tables)), "quantization")  # noqa: B009
    assert len(low.image) < len(high.image) / 2


def test_a_colour_profile_stays_and_other_metadata_goes(picture: Draw) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    for kind in ("jpeg", "png", "webp"):
        sample = kept(picture(1), kind, icc_profile=profile, exif=exif)
        written = reopened(Augmenter(Augment(preset="light"), seed=1).materialised(sample))
        assert written.info["icc_profile"] == profile
        assert not written.getexif()


def test_a_profile_of_other_colours_does_not_stay() -> None:
    header = bytearray(128)
    header[16:20] = b"CMYK"
    sample = kept(Image.new("CMYK", (32, 32), (10, 40, 90, 0)), "jpeg", icc_profile=bytes(header))
    assert "icc_profile" not in reopened(Augmenter(Augment(preset="light"), seed=1).materialised(sample)).info


def test_a_turned_photo_is_written_upright(picture: Draw) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    sample = kept(picture(1, 60, 40), "jpeg", exif=exif, quality=95)
    written = Augmenter(Augment(noise_sigma=0.1, format="png"), seed=1).materialised(sample)
    upright = np.asarray(ImageOps.exif_transpose(reopened(sample)))
    assert (written.width, written.height) == (40, 60) == reopened(written).size
    assert np.abs(change(upright, np.asarray(reopened(written)))).mean() < 1


def test_transparency_becomes_white() -> None:
    sample = kept(Image.new("RGBA", (200, 200), (0, 0, 0, 0)), "png")
    assert np.asarray(reopened(Augmenter(Augment(noise_sigma=1), seed=1).materialised(sample))).mean() > 254


def test_a_crop_is_written_with_its_size(picture: Draw) -> None:
    written = Augmenter(Augment(crop_share=0.4), seed=1).materialised(kept(picture(1)))
    assert (written.width, written.height) == reopened(written).size
    assert written.width < 320


def test_very_long_pictures_keep_their_size() -> None:
    long = kept(Image.new("RGB", (9000, 20), "grey"), "png")
    written = Augmenter(Augment(preset="light"), seed=1).materialised(long)
    assert reopened(written).size == (9000, 20) == (written.width, written.height)


def test_what_cannot_be_decoded_is_named() -> None:
    broken = KeptSample("a.jpg", b"\xff\xd8\xff broken", "jpeg", None, 3, 2, 1, {})
    with pytest.raises(RunError, match=r"^a\.jpg cannot be augmented: "):
        Augmenter(Augment(preset="light"), seed=1).materialised(broken)


def test_limits_hold(picture: Draw) -> None:
    with pytest.raises(RunError, match="the limit is 100"):
        Augmenter(Augment(preset="light"), 1, Limits(max_pixels=100)).materialised(kept(picture(1)))


def test_what_was_drawn_is_said_in_words() -> None:
    drawn = Drawn(noise_sigma=5, contrast=0.9, blur_sigma=1, jpeg_quality=40, crop=(0.1, 0, 0), flipped=True)
    assert drawn.words() == "noise 5.0, contrast x0.90, blur 1.0 px, JPEG 40, 10% cut, mirrored"
    assert Drawn().words() == "unchanged"


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 2, 1), (2, 4, 1), (3, 5, 2), (5, 5, 2), (7, 5, 4)])
def test_the_contact_sheet_has_before_above_after(count: int, columns: int, rows: int, picture: Draw) -> None:
    samples = [kept(picture(seed), key=str(seed)) for seed in range(count)]
    sheet = before_and_after(samples, Augmenter(Augment(preset="strong"), seed=1))
    assert sheet.size == (columns * 204 + 12, rows * 300 + 12)
    if rows > 1:
        first, second = (np.asarray(sheet.crop((12, top, 204, top + 192))).astype(float) for top in (12, 312))
        assert 10 < np.abs(first - second).mean() < 60
